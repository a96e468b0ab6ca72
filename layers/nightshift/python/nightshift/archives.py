"""
What an archive's object says of a change: what was done about it, for whom, and when.

One object serves all customers of a bucket of triggers. What it is made of is not in any runbook, so its words are
settings; what cannot be read by them is not known, and proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from nightshift import strict_json
from nightshift.aws import LONGEST_BODY
from nightshift.errors import AwsError, Rejected
from nightshift.model import Arn, ResourceRead, Triggers
from nightshift.remediation import Reader

__all__ = [
    "NAME",
    "Archived",
    "Entry",
    "Words",
    "archive_of",
    "change_of",
    "key_of",
    "replication",
    "triggers_of",
    "understood",
    "versioning",
]

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
"""of a customer and of a change: what IAM reads as it stands, and an event carries as it stands"""


class Words(BaseModel):
    """How an archive calls things: settings of whoever reads one."""

    modifications: str = Field(
        default="modifications", max_length=64, description="where the archive lists what was done"
    )
    type_field: str = Field(
        default="modificationType", max_length=64, description="what says of an entry what was done"
    )
    processed: str = Field(
        default="processed", max_length=64, description="what it says where the change was processed"
    )
    customer_field: str = Field(
        default="", max_length=64, description="what says of an entry for whom; empty: nobody knows, nothing proves it"
    )
    timestamp_field: str = Field(
        default="", max_length=64, description="what says of an entry when; empty: nobody knows, nothing proves it"
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. What does not stand there, or cannot be read, is None."""

    kind: str | None
    customer: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Archived:
    """An object of the archive that could be read."""

    document: Mapping[str, Any]
    entries: tuple[Entry, ...]


def understood(body: bytes, words: Words) -> Archived | str:
    """What an object says; or why it cannot be read, in words that hold nothing of it."""
    try:
        document = strict_json.loads(body, limit=LONGEST_BODY)
    except strict_json.NotStrict as error:
        return str(error)
    entries = document.get(words.modifications) if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) for each in entries):
        return f"it has no list {words.modifications}"
    return Archived(document, tuple(_entry(each, words) for each in entries))


def _entry(said: Mapping[str, Any], words: Words) -> Entry:
    return Entry(_text(said, words.type_field), _text(said, words.customer_field), _moment(said, words.timestamp_field))


def _text(said: Mapping[str, Any], name: str) -> str | None:
    found = said.get(name) if name else None
    return found if isinstance(found, str) and found else None


def _moment(said: Mapping[str, Any], name: str) -> datetime | None:
    """A time that everybody reads alike: with its zone."""
    try:
        at = datetime.fromisoformat(_text(said, name) or "")
        return at.astimezone(UTC) if at.tzinfo is not None else None
    except (OverflowError, ValueError):
        return None


# -- where it stands ---------------------------------------------------------------------------------------------------


def archive_of(bucket: Arn, triggers: Triggers) -> ResourceRead:
    """What stands in the archive, what was written lately and what was deleted."""
    return ResourceRead("s3.archive", f"{bucket}/{triggers.archive}")


def triggers_of(bucket: Arn, triggers: Triggers) -> ResourceRead:
    """The oldest triggers that stand."""
    return ResourceRead("s3.triggers", f"{bucket}/{triggers.prefix}")


def key_of(archive: str, change: str) -> str:
    """Under what a change stands in an archive, of which this is the prefix."""
    return f"{archive}{change}.json"


def change_of(triggers: Triggers, key: str) -> str:
    """The change that a key of the archive is about; empty where whatever lies there is none."""
    name = key.removeprefix(triggers.archive).removesuffix(".json")
    return name if NAME.fullmatch(name) and key == key_of(triggers.archive, name) else ""


# -- how it is kept ----------------------------------------------------------------------------------------------------


def versioning(read: Reader, here: Mapping[str, str]) -> str:
    """Whether a bucket keeps versions, in words."""
    try:
        status = read("s3", "GetBucketVersioning", **here).get("Status", "off")
    except AwsError as error:
        return f"whether the bucket keeps versions cannot be read: {error}"
    return f"versions of the bucket: {str(status).lower()}"


def replication(read: Reader, here: Mapping[str, str]) -> str:
    """Whether a bucket is replicated, in words."""
    try:
        rules = read("s3", "GetBucketReplication", **here)["ReplicationConfiguration"]["Rules"]
    except Rejected as error:
        if error.code != "ReplicationConfigurationNotFoundError":
            return f"whether the bucket is replicated cannot be read: {error.code}"
        return "replication of the bucket: none"
    except AwsError as error:
        return f"whether the bucket is replicated cannot be read: {error}"
    on = sum(each.get("Status") == "Enabled" for each in rules)
    return f"replication of the bucket: {on} of {len(rules)} rules enabled"
