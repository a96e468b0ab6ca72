"""S3 for the thin cloud: buckets in memory, with what tells one version of an object from another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

from sandbox.seam import Answer, AwsError, Call

__all__ = ["Objects"]

_PAGE = 1000  # objects: AWS's limit


@dataclass(frozen=True)
class Version:
    """One version of an object; a marker that it was deleted has no body."""

    id: str
    body: bytes | None
    at: datetime

    def told(self) -> dict[str, Any]:
        """As S3 tells of it."""
        said: dict[str, Any] = {"VersionId": self.id, "LastModified": self.at}
        return said if self.body is None else {**said, "ETag": _etag(self.body), "Size": len(self.body)}


@dataclass
class Objects:
    """
    S3's operations, one method each. ``objects`` is bucket to key to body, ``written`` when each was put.

    ``versions`` is bucket to key to every version, the oldest first, where a bucket keeps them.
    """

    now: Callable[[], datetime]
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    written: dict[tuple[str, str], datetime] = field(default_factory=dict)
    tags: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    versions: dict[str, dict[str, list[Version]]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def operations(self) -> Mapping[str, Callable[[Call], Answer]]:
        """What it answers."""
        return {
            "CopyObject": self._copy,
            "CreateBucket": self._create,
            "DeleteObject": self._delete,
            "GetBucketReplication": self._not_replicated,
            "GetBucketTagging": self._get_tags,
            "GetBucketVersioning": self._keeps,
            "GetObject": self._get,
            "GetObjectTagging": self._not_tagged,
            "HeadBucket": self._head_bucket,
            "HeadObject": self._head,
            "ListObjectVersions": self._list_versions,
            "ListObjectsV2": self._list,
            "PutBucketTagging": self._put_tags,
            "PutBucketVersioning": self._keep,
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
        return self._write(call, body.encode() if isinstance(body, str) else bytes(body))

    def _write(self, call: Call, body: bytes) -> Answer:
        bucket, key = call.params["Bucket"], call.params["Key"]
        self._bucket(call)[key] = body
        self.written[bucket, key] = self.now().replace(microsecond=0)
        return {"ETag": _etag(body), **self._keep_version(bucket, key, body)}

    def _described(self, call: Call) -> dict[str, Any]:
        bucket, key = call.params["Bucket"], call.params["Key"]
        body = self._bucket(call)[key]
        return {"ETag": _etag(body), "LastModified": self.written[bucket, key]}

    def _get(self, call: Call) -> Answer:
        if "VersionId" in call.params:
            found = self._version(call.params["Bucket"], call.params["Key"], call.params["VersionId"])
            return {"Body": found.body, "ContentLength": len(found.body or b""), **found.told()}
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

    def _forget(self, call: Call) -> Answer:
        """Delete a version for good: only one that is not the latest can be deleted here."""
        every = self.versions.get(call.params["Bucket"], {}).get(call.params["Key"], [])
        if not every or every[-1].id == call.params["VersionId"]:
            raise AwsError("NotImplemented", "the thin cloud does not delete the latest version of an object", 501)
        every[:] = [each for each in every if each.id != call.params["VersionId"]]
        return {"VersionId": call.params["VersionId"]}

    def _delete(self, call: Call) -> Answer:
        if "VersionId" in call.params:
            return self._forget(call)
        body = self._bucket(call).get(call.params["Key"])
        if body is None and "IfMatch" in call.params:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if body is not None:
            self._check(call, body)
            del self._bucket(call)[call.params["Key"]]
        marked = self._keep_version(call.params["Bucket"], call.params["Key"], None)
        return {"DeleteMarker": True, **marked} if marked else {}

    def _copy(self, call: Call) -> Answer:
        source, _, wanted = call.params["CopySource"].partition("?versionId=")
        bucket, _, named = source.partition("/")
        body = self._version(bucket, named, wanted).body if wanted else self._source(call, bucket, named)
        key = call.params["Key"]
        there = self._bucket(call).get(key)
        if there is None and "IfMatch" in call.params:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        if there is not None:
            self._check(call, there)
            if call.params.get("IfNoneMatch") == "*":
                raise AwsError("PreconditionFailed", "At least one of the pre-conditions did not hold", 412)
        answer = self._write(call, body or b"")
        result = {"ETag": answer.pop("ETag"), "LastModified": self.written[call.params["Bucket"], key]}
        return {**answer, "CopyObjectResult": result}

    def _source(self, call: Call, bucket: str, key: str) -> bytes:
        """What stands there to be copied, if it is what was meant."""
        if bucket not in self.objects:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        body = self.objects[bucket].get(key)
        if body is None:
            raise AwsError("NoSuchKey", "The specified key does not exist.", 404)
        self._check(call, body, "CopySourceIfMatch")
        return body

    def _check(self, call: Call, body: bytes, condition: str = "IfMatch") -> None:
        wanted = call.params.get(condition)
        if wanted is not None and wanted.strip('"') != _etag(body).strip('"'):
            raise AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)

    # -- versions

    def _keep(self, call: Call) -> Answer:
        """Only for a bucket that is empty yet."""
        self.versions.setdefault(call.params["Bucket"], {})
        return {}

    def _keeps(self, call: Call) -> Answer:
        self._bucket(call)
        return {"Status": "Enabled"} if call.params["Bucket"] in self.versions else {}

    def _not_replicated(self, call: Call) -> Answer:
        self._bucket(call)
        raise AwsError("ReplicationConfigurationNotFoundError", "The replication configuration was not found", 404)

    def _not_tagged(self, call: Call) -> Answer:
        """Here nobody tags objects."""
        self._version(call.params["Bucket"], call.params["Key"], call.params["VersionId"])
        return {"TagSet": []}

    def _keep_version(self, bucket: str, key: str, body: bytes | None) -> dict[str, Any]:
        if bucket not in self.versions:
            return {}
        made = Version(f"v{next(self.numbers):06d}", body, self.now().replace(microsecond=0))
        self.versions[bucket].setdefault(key, []).append(made)
        return {"VersionId": made.id}

    def _version(self, bucket: str, key: str, wanted: str) -> Version:
        for each in self.versions.get(bucket, {}).get(key, ()):
            if each.id == wanted and each.body is not None:
                return each
        raise AwsError("NoSuchVersion", "The specified version does not exist.", 404)

    def _list_versions(self, call: Call) -> Answer:
        """By key, and the newest first of each; without versions each object is its only one."""
        bucket, params = self._bucket(call), call.params
        kept = self.versions.get(params["Bucket"])
        if kept is None:
            kept = {key: [Version("null", body, self.written[params["Bucket"], key])] for key, body in bucket.items()}
        every = [
            (key, each, number == 0)
            for key in sorted(kept)
            if key.startswith(params.get("Prefix", ""))
            for number, each in enumerate(reversed(kept[key]))
        ]
        after = (params.get("KeyMarker", ""), params.get("VersionIdMarker", ""))
        start = next((n + 1 for n, (key, each, _) in enumerate(every) if (key, each.id) == after), 0)
        page = every[start:][: min(params.get("MaxKeys", _PAGE), _PAGE)]
        more = start + len(page) < len(every)
        answer: Answer = {"IsTruncated": more}
        for key, each, latest in page:
            listed = {"Key": key, "IsLatest": latest, **each.told()}
            answer.setdefault("DeleteMarkers" if each.body is None else "Versions", []).append(listed)
        if more:
            answer |= {"NextKeyMarker": page[-1][0], "NextVersionIdMarker": page[-1][1].id}
        return answer

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
