"""The bucket into which an archive is backed up, and what a person would find in it."""

from __future__ import annotations

import json
import re
from typing import Any

from sandbox.systems.transient_trigger import TransientTrigger, with_key

__all__ = ["PREFIX", "Backups", "backup_table"]

PREFIX = "changes/"
_COMPLETE = re.compile(rf"{PREFIX}complete/(?P<run>[^.]+)\.(?P<objects>\d+)\.(?P<bytes>\d+)\.json")


class Backups:
    """The backups of one bucket of triggers."""

    def __init__(self, system: TransientTrigger, *, key: str = "") -> None:
        self.system = system
        self.key = key
        self.bucket = f"{system.bucket}-backup"
        self._s3 = system.world.client("s3")
        where = {"LocationConstraint": system.world.region}
        self._s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:aws:s3:::{self.bucket}"

    @property
    def keys(self) -> list[str]:
        """Everything that stands in the bucket."""
        return [each["Key"] for each in self._s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())]

    @property
    def complete(self) -> list[str]:
        """The runs that call themselves complete, the oldest first."""
        return [found["run"] for key in self.keys if (found := _COMPLETE.fullmatch(key))]

    def body(self, key: str) -> bytes:
        """What stands under a key."""
        body = self._s3.get_object(Bucket=self.bucket, Key=key)["Body"]
        return body if isinstance(body, bytes) else bytes(body.read())

    def copies(self, run: str) -> dict[str, bytes]:
        """What a run holds, by the keys of the archive."""
        under = f"{PREFIX}objects/{run}/"
        return {key.removeprefix(under): self.body(key) for key in self.keys if key.startswith(under)}

    def wrong(self, run: str) -> list[str]:
        """What is not true of a run that calls itself complete, by its own manifest and by the archive's history."""
        marks = (_COMPLETE.fullmatch(key) for key in self.keys)
        found = next(mark for mark in marks if mark is not None and mark["run"] == run)
        parts = json.loads(self.body(found.string))["part"]
        listed: list[dict[str, Any]] = []
        for part in range(1, parts + 1):
            key = f"{PREFIX}manifests/{run}/{part:06d}.json"
            listed += json.loads(self.body(key))["objects"] if key in self.keys else []
        copies = self.copies(run)
        said = (int(found["objects"]), int(found["bytes"]))
        wrong = []
        if said != (len({each["key"] for each in listed}), sum(each["size"] for each in listed)):
            wrong.append(f"{run} says {said[0]} objects, and its manifest has {len(listed)}")
        for each in listed:
            body = copies.get(each["key"])
            if body is None or len(body) != each["size"]:
                wrong.append(f"{each['key']} is not in {run} as its manifest says")
        return wrong

    def save(self, change: str) -> None:
        """A run of yesterday has a change as it stands now, and is complete."""
        run, key = "20261118T0300-0a1b2c3d", f"archive/{change}.json"
        body = json.dumps(self.system.archived(change)).encode()
        self.put(f"{PREFIX}objects/{run}/{key}", body)
        listed = [{"key": key, "size": len(body), "etag": "", "copy": ""}]
        self.put(f"{PREFIX}manifests/{run}/000001.json", json.dumps({"objects": listed}).encode())
        self.put(f"{PREFIX}complete/{run}.1.{len(body)}.json", b'{"part": 1}')

    def put(self, key: str, body: bytes = b"{}") -> None:
        """Somebody puts an object into the bucket."""
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def remove(self, key: str) -> None:
        """Somebody deletes an object of it."""
        self._s3.delete_object(Bucket=self.bucket, Key=key)


def backup_table(backups: Backups) -> str:
    """What the target of the bucket says of its backup."""
    return f'\n[systems.targets.backup]\nbucket = "{backups.arn}"\nprefix = "{PREFIX}"\n{with_key(backups.key)}'
