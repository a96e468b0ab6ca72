"""
An object of the archive is gone, or nobody can read it any more: put back its newest version that can be read.

Symptom   a change's object in the archive was deleted within the last week, or is no JSON with a list of what was done
Cause     somebody or something deleted it, or wrote over it
Cure      copy the newest earlier version that can be read to where it stood, if that is still as it was found
Proof     the archive is read again: every object of the last week is there and can be read
Undo      none is needed: what stood there is the version before
Source    runbook 0 "Backup and Recovery", runbook 3 "S3 recovery"; R19

A person says yes to each, unless the bucket is tagged `auto-restore=enabled`: a deletion may have been meant, and what
was written after the version that comes back is not in it. One object at a time is put back and never a prefix. More
than a few at once are no accident of one object: they are told, at the highest severity, and nothing is copied over
what is still written to.

It works by the bucket's own versions; where none of these can be read (a lifecycle rule deletes old ones), by the
newest complete backup that `archive-backup-due` has made. Where versions are off, what was deleted cannot be seen, and
what stands there and cannot be read would be lost for good by being written over: that is only told, with the copy that
a person could put back. What the objects say of changes is audited by `archive-broken`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import Field

from nightshift.archives import Archived, Words, archive_of, change_of, understood
from nightshift.backups import Complete, backup_of, copies_under
from nightshift.errors import Denied, Missing, Refused, Rejected, Unreadable
from nightshift.keys import decrypting, encrypting, named
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Observation,
    Outcome,
    Plan,
    Queries,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Actor, Reader, Readings, Remediation, Unread

__all__ = ["ArchiveObjectLost"]

_VERSIONS = 1000  # of one object: one page of a listing
_TRIED = 5  # of them that are opened, the newest first: what is worse than that is for a person
_SHOWN = 20  # keys that a report names
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_CHANGED = frozenset({"412", "ConditionalRequestConflict", "PreconditionFailed"})
"""how S3 says that what stands there is no longer what was meant"""


@dataclass(frozen=True, slots=True)
class _Lost:
    """An object that is gone or cannot be read: since when, and how it was seen to be."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class _Found:
    """A lost object as it is now, and the version that would come back; or why none does, and what a person can do."""

    key: str
    now: Mapping[str, Json]
    back: Mapping[str, Json]
    why: str = ""
    advice: str = ""


class ArchiveObjectLost(Remediation):
    """Objects of an archive that were deleted, or that nobody can read."""

    name: ClassVar[str] = "archive-object-lost"
    title: ClassVar[str] = "an object of the archive is lost"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("triggers",)
    reads: ClassVar[tuple[str, ...]] = (
        "s3:GetBucketNotification",
        "s3:GetBucketVersioning",
        "s3:GetObject",  # of a backup, as the next
        "s3:GetObjectVersion",
        "s3:GetObjectVersionTagging",
        "s3:ListBucket",
        "s3:ListBucketVersions",
    )
    writes: ClassVar[tuple[str, ...]] = ("s3:PutObject",)
    delegates: ClassVar[tuple[str, ...]] = (  # what S3 copies, and the keys of what is encrypted with one
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:GetObject",
        "s3:GetObjectVersion",
    )
    auto_tag: ClassVar[str] = "auto-restore"

    cooldown: timedelta = Field(default=timedelta(minutes=5), description="between two applications to one bucket")
    patience: timedelta = Field(default=timedelta(minutes=10), description="how long a cure may take to show")
    most: int = Field(
        default=3, ge=1, le=3, description="objects that are put back; more at once are told, and left alone"
    )
    expires_after: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="the age at which a lifecycle rule of the bucket deletes an object, if one does: that is no loss",
    )
    modifications: str = Field(
        default="modifications", max_length=64, description="where the archive lists what was done"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return () if target.triggers is None else (archive_of(target.arn, target.triggers),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """A lost object shows whatever else could not be read; that there is none only where everything could."""
        if target.triggers is None:
            return Unknown(f"nobody has said what stands in {target.arn.name}")
        found = seen.resource(archive_of(target.arn, target.triggers))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn} does not exist")
        try:
            lost = self._lost(target.triggers, found)
            unread = {key: why for key, why in found["Unread"].items() if change_of(target.triggers, key)}
            stand, truncated = len(found["Keys"]), bool(found["Truncated"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return Unknown(f"the archive of {target.arn.name} cannot be understood: {type(error).__name__}")
        if lost:
            return Sick(self._finding(target, lost))
        if truncated:
            return Unknown(f"{target.arn.name} holds more versions under {target.triggers.archive} than were listed")
        if unread:
            key, why = next(iter(sorted(unread.items())))
            return Unknown(f"{len(unread)} objects of the archive were not read; {key}: {why}")
        return Healthy(f"{stand} objects, none of them lost within a week")

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Whoever was missing and still is has not recovered, though it was deleted too long ago to be seen by now."""
        seen = self.detect(target, after)
        if not isinstance(seen, Healthy) or target.triggers is None:
            return seen
        found = after.resource(archive_of(target.arn, target.triggers))
        keys = found["Keys"] if isinstance(found, Mapping) else frozenset()
        missing = [key for key in (each.partition(": ")[0] for each in before.evidence) if key not in keys]
        return Unknown(f"{missing[0]} is still not there, and was deleted long ago") if missing else seen

    def _lost(self, triggers: Triggers, found: Mapping[str, Any]) -> list[_Lost]:
        deleted = [
            _Lost(each["Key"], f"deleted at {each['LastModified']:%Y-%m-%d %H:%M:%S}")
            for each in found["Deleted"]
            if change_of(triggers, each["Key"]) and not self._expired(each)
        ]
        bad = [
            _Lost(each["Key"], f"written at {each['LastModified']:%Y-%m-%d %H:%M:%S}, cannot be read: {why}")
            for each in found["Recent"]
            if change_of(triggers, each["Key"]) and (why := self._bad(found["Bodies"].get(each["Key"])))
        ]
        return sorted((*deleted, *bad), key=lambda each: each.key)

    def _expired(self, deleted: Mapping[str, Any]) -> bool:
        """Whether it was as old when it was deleted as the bucket lets an object become."""
        age: timedelta = deleted["LastModified"] - deleted["Written"]
        return self.expires_after is not None and age >= self.expires_after

    def _bad(self, body: bytes | None) -> str:
        """Why what stands there is no object of an archive; empty where it is one, or was not opened."""
        said = self._said(body) if body is not None else None
        return said if isinstance(said, str) else ""

    def _said(self, body: bytes) -> Archived | str:
        return understood(body, Words(modifications=self.modifications))

    def _finding(self, target: Target, lost: Sequence[_Lost]) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{_many(len(lost))} of the archive of {target.arn.name} {_is(len(lost))} deleted or unreadable",
            signals=(Signal("lost objects", len(lost), 0, "7 days", "objects"),),
            evidence=tuple(f"{each.key}: {each.why}" for each in lost[:_SHOWN]),
            severity=Severity.SEV1 if len(lost) > self.most else Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        triggers = target.triggers
        if triggers is None:
            raise Refused("triggers", "nobody has said what stands in the bucket")
        account = triggers.customers[0].queue.account
        here = {"Bucket": target.arn.name, "ExpectedBucketOwner": account}
        lost = self._look(read, target.arn, triggers)
        if not lost:
            raise Refused("archive", "no object is lost any more", retry_after=timedelta(minutes=1))
        evidence = tuple(f"{each.key}: {each.why}" for each in lost[:_SHOWN])
        if len(lost) > self.most:
            return Diagnosis(
                target=str(target.arn),
                cause=f"{_many(len(lost))} of the archive are lost at once: that is no accident of one object",
                evidence=evidence,
                advice=(_PREFIX, _KEEP),
            )
        if (status := read("s3", "GetBucketVersioning", **here).get("Status", "off")) != "Enabled":
            why = f"the bucket's versions are {str(status).lower()}"
            return self._told(target, evidence, why, (*(self._copies(read, target, lost) or (_BACKUP,)), _SWITCH))
        if heard := _heard(read("s3", "GetBucketNotificationConfiguration", **here), lost):
            return self._told(target, evidence, f"{heard} is told of what is written to the archive", (_BY_HAND,))
        found = [self._judge(read, here, target, each) for each in lost]
        chosen = [each for each in found if each.back]
        if not chosen:
            reasons = "; ".join(f"{each.key}: {each.why}" for each in found)
            return self._told(target, evidence, reasons, tuple(dict.fromkeys(each.advice for each in found)))
        return Diagnosis(
            target=str(target.arn),
            cause=f"{_many(len(chosen))} {_is(len(chosen))} deleted or written over; what was there can be read",
            evidence=(
                *evidence,
                *(f"{each.key}: the version {_whence(each.back)} can be read" for each in chosen),
            ),
            rejected=tuple(Alternative(each.key, each.why) for each in found if not each.back),
            facts={
                "bucket": str(target.arn),
                "account": account,
                "key": named(triggers.key),
                "backup_key": named(target.backup.key) if target.backup is not None else "",
                "objects": [{"key": each.key, "now": dict(each.now), "back": dict(each.back)} for each in chosen],
            },
        )

    def _look(self, read: Reader, bucket: Arn, triggers: Triggers) -> list[_Lost]:
        """What is lost now. Raises Unreadable."""
        query = archive_of(bucket, triggers)
        found = read.seen(query).resource(query)
        if not isinstance(found, Mapping):
            reason = found.reason if isinstance(found, Unread) else "it does not exist"
            raise Unreadable("s3:ListBucketVersions", "Unread", reason, resource=str(bucket))
        return self._lost(triggers, found)

    def _told(self, target: Target, evidence: tuple[str, ...], why: str, advice: tuple[str, ...]) -> Diagnosis:
        cause = f"an object of the archive is deleted or unreadable, and it is not for Nightshift to put it back: {why}"
        return Diagnosis(target=str(target.arn), cause=cause, evidence=evidence, advice=advice)

    def _judge(self, read: Reader, here: Mapping[str, str], target: Target, lost: _Lost) -> _Found:
        """The newest version before the one that stands there, if one of the last few can be read; or its backup."""
        versions = _versions(read, here, lost.key)
        if not versions or not versions[0]["IsLatest"]:
            return _Found(lost.key, {}, {}, "its versions cannot be told apart", _BACKUP)
        for each in [each for each in versions[1:] if "ETag" in each][:_TRIED]:
            try:
                answer = read("s3", "GetObject", Key=lost.key, VersionId=each["VersionId"], **here)
            except (Denied, Missing, Rejected):
                continue  # in an archive tier, say: then an older one, or a person
            if not isinstance(said := self._said(answer["Body"]), Archived) or not said.entries:
                continue
            if why := _tagged(read, here, lost.key, each["VersionId"]):
                return _Found(lost.key, {}, {}, why, _BY_HAND)
            return _Found(lost.key, _stands(versions[0]), _stands(each))
        copied = self._copy_of(read, target, lost.key)
        if copied is not None:
            return _Found(lost.key, _stands(versions[0]), copied)
        return _Found(lost.key, {}, {}, f"none of the last {_TRIED} versions before it can be read", _BACKUP)

    def _copies(self, read: Reader, target: Target, lost: Sequence[_Lost]) -> tuple[str, ...]:
        """How a person puts back what the backup has. A report without it is better than none."""
        try:
            copies = [self._copy_of(read, target, each.key) for each in lost]
        except Unreadable:
            return ()
        return tuple(_from_copy(target, each) for each in copies if each is not None)

    def _copy_of(self, read: Reader, target: Target, key: str) -> Mapping[str, Json] | None:
        """Its copy in the newest complete run of the backup, if there is one that can be read. Raises Unreadable."""
        backup, triggers = target.backup, target.triggers
        if backup is None or triggers is None:
            return None
        query = backup_of(backup)
        found = read.seen(query).resource(query)
        if isinstance(found, Unread):
            raise Unreadable("s3:ListBucket", "Unread", found.reason, resource=str(backup.bucket))
        runs = found.get("Complete", ()) if found is not None else ()
        newest = next((each for each in runs if isinstance(each, Complete)), None)
        if newest is None:
            return None
        where = f"{copies_under(backup, newest.run)}{key}"
        here = {"Bucket": backup.bucket.name, "ExpectedBucketOwner": triggers.customers[0].queue.account}
        try:
            answer = read("s3", "GetObject", Key=where, **here)
        except (Denied, Missing, Rejected):
            return None
        said = self._said(answer["Body"])
        if not isinstance(said, Archived) or not said.entries:
            return None
        stands = {"modified": f"{newest.at:%Y-%m-%d %H:%M:%S}", "etag": str(answer["ETag"])}
        return {**stands, "bucket": backup.bucket.name, "copy": where}

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """One copy for each object, from a version that is named to where it stood, if nobody was there since."""
        facts = diagnosis.facts
        bucket, objects = Arn.parse(facts["bucket"]), facts["objects"]
        step = Step(
            "restore",
            calls=tuple(_copy(bucket, facts, each) for each in objects),
            settle=timedelta(minutes=1),
            why="copy what can be read to where it stood, if that is as it was found",
        )
        of = ", ".join(f"{each['key']} {_whence(each['back'])}" for each in objects)
        return Plan(
            remediation=self.name,
            target=str(bucket),
            summary=f"put back {_many(len(objects))}: {of}",
            steps=(step,),
            risk="what was written after that is not in it: whoever was processed since is not known to be; a "
            "deletion may have been meant",
            undo_by_hand="what stood there is the version before: copy it back, or delete the object again",
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        Each object by itself: S3 copies it only if what stands there is what was found.

        Raises Refused where none was copied: nothing was done, and whatever comes next is not of our making.
        """
        if not sum([_copied(act, call) for call in step.calls]):
            raise Refused("same-plan", f"{_many(len(step.calls))}: none is any more what it was when this was planned")

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        copied = answer.get("CopyObjectResult") or {}
        return {"version": str(answer.get("VersionId", "")), "etag": str(copied.get("ETag", ""))}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """What stands there now is the copy, or what was found, or a third thing, of which nobody knows."""
        here = {name: call.params[name] for name in ("Bucket", "ExpectedBucketOwner")}
        versions = _versions(read, here, call.params["Key"])
        if not versions or not versions[0]["IsLatest"]:
            return Outcome.UNKNOWN
        stands = _stands(versions[0])
        if stands == {name: call.before[name] for name in stands}:
            return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN
        return Outcome.DONE if stands.get("etag") == call.before["copied"] else Outcome.UNKNOWN


# -- what is read ------------------------------------------------------------------------------------------------------


def _versions(read: Reader, here: Mapping[str, str], key: str) -> list[Mapping[str, Any]]:
    """Every version and marker of one object, the newest first; none where there are more than a page of them."""
    found = read("s3", "ListObjectVersions", Prefix=key, MaxKeys=_VERSIONS, **here)
    if found.get("IsTruncated"):
        return []
    every = (*found.get("Versions", ()), *found.get("DeleteMarkers", ()))
    own = [each for each in every if each["Key"] == key]
    return sorted(own, key=lambda each: (each["IsLatest"], each["LastModified"]), reverse=True)


def _stands(version: Mapping[str, Any]) -> dict[str, Json]:
    """What tells a version from every other; a marker that says that it was deleted has no content."""
    said = {"version": version["VersionId"], "modified": f"{version['LastModified']:%Y-%m-%d %H:%M:%S}"}
    return {**said, "etag": version.get("ETag", "")}


def _heard(configuration: Mapping[str, Any], lost: Sequence[_Lost]) -> str:
    """
    Who is told of a copy to one of these keys, so that more would come of it than an object; empty where nobody is.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    """
    if "EventBridgeConfiguration" in configuration:
        return "EventBridge"
    for kind, arn in _RECEIVERS.items():
        for each in configuration.get(kind, ()):
            if any(_reaches(each, one.key) for one in lost):
                return str(each.get(arn, kind))
    return ""


_RECEIVERS: Final = {
    "QueueConfigurations": "QueueArn",
    "TopicConfigurations": "TopicArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}


def _reaches(configuration: Mapping[str, Any], key: str) -> bool:
    if not {"s3:ObjectCreated:*", "s3:ObjectCreated:Copy"} & {*configuration.get("Events", ())}:
        return False
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    named = {str(rule.get("Name", "")).lower(): str(rule.get("Value", "")) for rule in rules}
    return key.startswith(named.get("prefix", "")) and key.endswith(named.get("suffix", ""))


# -- the calls of a plan -----------------------------------------------------------------------------------------------


def _copy(bucket: Arn, facts: Mapping[str, Any], fact: Mapping[str, Any]) -> Call:
    """
    One copy onto the object itself: only where nothing stands, or where what stands is what was found.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    account, key, now, back = facts["account"], fact["key"], fact["now"], fact["back"]
    only = {"IfMatch": now["etag"]} if now["etag"] else {"IfNoneMatch": "*"}
    resource = f"{bucket}/{key}"
    source, grant = f"{bucket.name}/{key}?versionId={back.get('version')}", ("s3:GetObjectVersion", resource)
    keys = (*decrypting(facts.get("backup_key" if "copy" in back else "key", "")), *encrypting(facts.get("key", "")))
    if "copy" in back:  # of a backup, whose copies are never written over: but somebody might
        source = f"{back['bucket']}/{back['copy']}"
        only |= {"CopySourceIfMatch": back["etag"], "TaggingDirective": "REPLACE"}  # no run has copied any tags
        grant = ("s3:GetObject", f"{_in(bucket, source)}")
    return Call(
        "s3",
        "CopyObject",
        resource,
        params={
            "Bucket": bucket.name,
            "Key": key,
            "CopySource": source,  # the SDK encodes it
            "ExpectedBucketOwner": account,
            "ExpectedSourceBucketOwner": account,
            **only,
        },
        # IfMatch reads what stands there
        grants=(grant, *((("s3:GetObject", resource),) if now["etag"] else ()), *keys),
        before={**now, "copied": back["etag"]},
    )


def _tagged(read: Reader, here: Mapping[str, str], key: str, version: str) -> str:
    """
    Why a version is not copied for its tags, which S3 would copy too; empty where it has none.

    Asked for by itself: beside the object S3 tells their number only to whoever may read them, and nobody else that
    it does not. To copy them needs leave to set tags, by which rules and permissions may go.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html (TagCount)
    """
    try:
        tags = read("s3", "GetObjectTagging", Key=key, VersionId=version, **here)["TagSet"]
    except (Denied, Missing, Rejected) as error:
        return f"whether its version has tags, which would be copied too, cannot be read ({error.code})"
    return "its version has tags, which would be copied too" if tags else ""


def _in(bucket: Arn, source: str) -> str:
    """An object by its ARN."""
    return f"{str(bucket).removesuffix(bucket.resource)}{source}"


def _copied(act: Actor, call: Call) -> bool:
    try:
        act(call)
    except Missing:
        return False  # of what was to be replaced nothing stands, or the version is gone
    except Rejected as error:
        if error.code not in _CHANGED:
            raise
        return False
    return True


def _whence(back: Mapping[str, Any]) -> str:
    """Which it is that comes back, in words."""
    return f"from the backup of {back['modified']}" if "copy" in back else f"of {back['modified']}"


def _from_copy(target: Target, copy: Mapping[str, Any]) -> str:
    """How a person puts a copy back, where writing over what stands there would lose that."""
    key = copy["copy"].partition("/objects/")[2].partition("/")[2]
    to, source = f"--bucket {target.arn.name} --key {shlex.quote(key)}", f"{copy['bucket']}/{copy['copy']}"
    return (
        f"The backup of {copy['modified']} has {key}, and can be read. Keep what stands in its place first; then: "
        f"aws s3api copy-object {to} --copy-source {shlex.quote(source)}"
    )


# -- words -------------------------------------------------------------------------------------------------------------

_PREFIX: Final = (
    "Find out who deleted or wrote them (CloudTrail: DeleteObject, DeleteObjects, PutObject), and stop that first. Do "
    "not sync a backup over the archive: it would undo what was written since"
)
_KEEP: Final = (
    "Then put them back one by one, each from its newest version that can be read (aws s3api list-object-versions; "
    "copy-object --copy-source '<bucket>/<key>?versionId=<id>' --if-none-match '*')"
)
_BACKUP: Final = "Restore the object from the backup (aws s3 cp of this one object), if nobody has written it since"
_SWITCH: Final = "Switch the bucket's versions on: without them what is deleted cannot be seen, nor put back"
_BY_HAND: Final = (
    "Put it back by hand, when you know what comes of it: aws s3api copy-object --copy-source "
    "'<bucket>/<key>?versionId=<id>'"
)


def _many(count: int) -> str:
    return f"{count} object{'s' if count != 1 else ''}"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
