"""
Gap filled: moto copies an object over whatever stands there.

S3 copies only if what stands there has the ETag of IfMatch, and with IfNoneMatch only where nothing stands; what was
deleted in a bucket with versions does not stand. With CopySourceIfMatch it copies only what has that ETag.
"""

from moto.s3.models import s3_backends

from sandbox.seam import AwsError, Call, Seam


class ConditionalCopies:
    """What is asked of the object that a copy would replace."""

    def __init__(self, account: str, seam: Seam) -> None:
        self._account = account
        seam.before("s3", "CopyObject", self._check)

    def _check(self, call: Call) -> None:
        wanted, params = call.params.get("IfMatch"), call.params
        meant = params.get("CopySourceIfMatch")
        if meant is not None:
            bucket, _, key = str(params["CopySource"]).partition("/")
            source = s3_backends[self._account]["aws"].get_object(bucket, key)
            if source is None:
                raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
            if meant.strip('"') != source.etag.strip('"'):
                raise AwsError("PreconditionFailed", "At least one of the pre-conditions did not hold", 412)
        there = s3_backends[self._account]["aws"].get_object(params["Bucket"], params["Key"])
        if there is None:
            if wanted is not None:
                raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        elif params.get("IfNoneMatch") == "*" or (wanted is not None and wanted.strip('"') != there.etag.strip('"')):
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions did not hold", 412)
