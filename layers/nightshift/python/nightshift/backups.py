"""
Where a backup of an archive stands, and what it says of itself.

Under the prefix of a target's ``backup``, whose runs are named by the incident that made them, and so by time:

===========================================  ==========================================================================
``complete/<run>.<objects>.<bytes>.json``    written last: a run without it is none
``manifests/<run>/<part>.json``              what was copied: key, size, ETag there and ETag of the copy
``objects/<run>/<key>``                      the copies, by the key that they had in the archive
===========================================  ==========================================================================

That a run is complete, and of how many objects, stands in a name, so one listing says it of every run.

>>> Backup = __import__("nightshift.model", fromlist=["Backup"]).Backup
>>> where = Backup(Arn.parse("arn:aws:s3:::safe"), "changes/")
>>> complete_key(where, "20261126T0300-0a1b2c3d", 120, 48000)
'changes/complete/20261126T0300-0a1b2c3d.120.48000.json'
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from nightshift import strict_json
from nightshift.aws import LONGEST_BODY
from nightshift.model import Backup, ResourceRead

__all__ = [
    "LATELY",
    "Complete",
    "Copied",
    "backup_of",
    "complete_key",
    "completed",
    "copies_under",
    "manifest",
    "manifest_key",
    "manifested",
]

LATELY: Final = timedelta(days=35)
"""how far back complete runs are looked for: by then whoever was to hear of a missing one has"""
_COMPLETE = re.compile(r"complete/(?P<run>[0-9]{8}T[0-9]{4}-[0-9a-f]{8})\.(?P<objects>[0-9]{1,12})\.[0-9]{1,18}\.json")


@dataclass(frozen=True, slots=True)
class Complete:
    """A run that is complete: of how many objects, and since when."""

    run: str
    objects: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Copied:
    """An object that was copied: as it was listed in the archive, and the ETag of its copy."""

    key: str
    size: int
    etag: str
    copy: str


def backup_of(backup: Backup) -> ResourceRead:
    """Which runs are complete."""
    return ResourceRead("s3.runs", f"{backup.bucket}/{backup.prefix}")


def complete_key(backup: Backup, run: str, objects: int, size: int) -> str:
    """Under what it stands that a run is complete."""
    return f"{backup.prefix}complete/{run}.{objects}.{size}.json"


def completed(prefix: str, listed: Iterable[Mapping[str, Any]]) -> tuple[Complete, ...]:
    """The complete runs among what was listed under a backup's prefix, the newest first."""
    found = ((each, _COMPLETE.fullmatch(str(each["Key"]).removeprefix(prefix))) for each in listed)
    runs = (Complete(named["run"], int(named["objects"]), each["LastModified"]) for each, named in found if named)
    return tuple(sorted(runs, key=lambda each: (each.at, each.run), reverse=True))


def copies_under(backup: Backup, run: str) -> str:
    """What the keys of a run's copies start with; the key in the archive follows."""
    return f"{backup.prefix}objects/{run}/"


def manifest_key(backup: Backup, run: str, part: int) -> str:
    """Where a part of a run's manifest stands."""
    return f"{backup.prefix}manifests/{run}/{part:06d}.json"


def manifest(copied: Iterable[Copied]) -> bytes:
    """A part of a manifest."""
    lines = [{"key": each.key, "size": each.size, "etag": each.etag, "copy": each.copy} for each in copied]
    return json.dumps({"objects": lines}, separators=(",", ":")).encode()


def manifested(body: bytes) -> tuple[Copied, ...] | None:
    """What a part of a manifest says; None where it is none."""
    try:
        return tuple(Copied(**each) for each in strict_json.loads(body, limit=LONGEST_BODY)["objects"])
    except (KeyError, TypeError, strict_json.NotStrict):
        return None
