"""S3 for the thin cloud: buckets in memory, with what tells one version of an object from another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.seam import Answer, AwsError, Call

__all__ = ["Objects"]

_PAGE = 1000  # objects: AWS's limit


@dataclass
class Objects:
    """S3's operations, one method each. ``objects`` is bucket to key to body, ``written`` when each was put."""

    now: Callable[[], datetime]
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    written: dict[tuple[str, str], datetime] = field(default_factory=dict)
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def operations(self) -> Mapping[str, Callable[[Call], Answer]]:
        """What it answers."""
        return {
            "CreateBucket": self._create,
            "DeleteObject": self._delete,
            "GetBucketTagging": self._get_tags,
            "GetObject": self._get,
            "HeadBucket": self._head_bucket,
            "HeadObject": self._head,
            "ListObjectsV2": self._list,
            "PutBucketTagging": self._put_tags,
            "PutObject": self._put,
        }

    def _bucket(self, call: Call) -> dict[str, bytes]:
        found = self.objects.get(call.params["Bucket"])
        if found is None:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        return found

    def _create(self, call: Call) -> Answer:
        self.objects.setdefault(call.params["Bucket"], {})
        return {"Location": f"/{call.params['Bucket']}"}

    def _head_bucket(self, call: Call) -> Answer:
        if call.params["Bucket"] not in self.objects:
            raise AwsError("404", "Not Found", 404)
        return {}

    def _get_tags(self, call: Call) -> Answer:
        self._bucket(call)
        if call.params["Bucket"] not in self.tags:
            raise AwsError("NoSuchTagSet", "The TagSet does not exist", 404)
        return {"TagSet": [dict(tag) for tag in self.tags[call.params["Bucket"]]]}

    def _put_tags(self, call: Call) -> Answer:
        self._bucket(call)
        self.tags[call.params["Bucket"]] = [dict(tag) for tag in call.params["Tagging"]["TagSet"]]
        return {}

    def _put(self, call: Call) -> Answer:
        body = call.params.get("Body", b"")
        body = body.encode() if isinstance(body, str) else bytes(body)
        self._bucket(call)[call.params["Key"]] = body
        self.written[call.params["Bucket"], call.params["Key"]] = self.now().replace(microsecond=0)
        return {"ETag": _etag(body)}

    def _described(self, call: Call) -> dict[str, Any]:
        bucket, key = call.params["Bucket"], call.params["Key"]
        body = self._bucket(call)[key]
        return {"ETag": _etag(body), "LastModified": self.written[bucket, key]}

    def _get(self, call: Call) -> Answer:
        body = self._bucket(call).get(call.params["Key"])
        if body is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        self._check(call, body)
        return {"Body": body, "ContentLength": len(body), **self._described(call)}

    def _head(self, call: Call) -> Answer:
        body = self.objects.get(call.params["Bucket"], {}).get(call.params["Key"])
        if body is None:
            raise AwsError("404", "Not Found", 404)
        return {"ContentLength": len(body), **self._described(call)}

    def _delete(self, call: Call) -> Answer:
        body = self._bucket(call).get(call.params["Key"])
        if body is None and "IfMatch" in call.params:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if body is not None:
            self._check(call, body)
            del self._bucket(call)[call.params["Key"]]
        return {}

    def _check(self, call: Call, body: bytes) -> None:
        wanted = call.params.get("IfMatch")
        if wanted is not None and wanted.strip('"') != _etag(body).strip('"'):
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)

    def _list(self, call: Call) -> Answer:
        bucket, params = self._bucket(call), call.params
        after = params.get("ContinuationToken", params.get("StartAfter", ""))
        keys = sorted(key for key in bucket if key.startswith(params.get("Prefix", "")) and key > after)
        page = keys[: min(params.get("MaxKeys", _PAGE), _PAGE)]
        shown = [
            {
                "Key": key,
                "Size": len(bucket[key]),
                "ETag": _etag(bucket[key]),
                "LastModified": self.written[params["Bucket"], key],
            }
            for key in page
        ]
        more = len(page) < len(keys)
        answer: Answer = {"KeyCount": len(page), "Contents": shown, "IsTruncated": more}
        return answer | ({"NextContinuationToken": page[-1]} if more else {})


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
