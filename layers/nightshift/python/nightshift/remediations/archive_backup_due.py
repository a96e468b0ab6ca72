"""
An archive was not backed up for more than a day: copy every object of it into another bucket.

Symptom   under the prefix where backups stand, no run was completed within the last 26 hours
Cause     the last one is a day old, as it should be; or it was never made, or did not get to its end
Cure      copy the archive object by object, a bounded part a tick, each part with its manifest: key, size and ETag
Proof     each part is listed and compared with its manifest before the next is begun; then the run is called complete
Undo      none: a run that did not get to its end is not called complete, and stays; nothing is ever pruned
Source    runbook 0 "Daily Archive Backup"; R19

What it will not do: copy over what an earlier run has copied; delete anything, in either bucket; copy into the bucket
that it copies from; or call a run complete because of how many objects a listing has. Where the archive has lost more
than one object in a hundred since the run before, the new run is kept beside the old one, and people are told.

A run is named by its incident, and goes on where it stopped: whatever dies within a tick, its part is made again. S3
copies an object only if it is still the one that was listed; what was written meanwhile is listed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from pydantic import Field

from nightshift.archives import Archived, Words, change_of, replication, understood, versioning
from nightshift.aws import LONGEST_BODY
from nightshift.backups import (
    Complete,
    Copied,
    backup_of,
    complete_key,
    copies_under,
    manifest,
    manifest_key,
    manifested,
)
from nightshift.errors import Missing, Refused, Rejected, Unreadable
from nightshift.keys import decrypting, encrypting, named
from nightshift.model import (
    Arn,
    Backup,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Queries,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread

__all__ = ["ArchiveBackupDue"]

_LISTS = 4  # listings that a part takes, where objects are written while they are copied
_TIRED = 10.0  # seconds that must be left to begin another copy
_SAMPLE = 3  # copies of a part that are opened
_MOST = 10_000  # copies that are listed to compare a part: what was deleted meanwhile stands among them
_NEVER = timedelta(days=35)  # as old as a run is called of which there is none: nobody looks further back
_CHANGED = frozenset({"412", "PreconditionFailed"})
"""how S3 says that an object is no longer the one that was listed"""


class ArchiveBackupDue(Remediation):
    """Archives whose last backup is more than a day old."""

    name: ClassVar[str] = "archive-backup-due"
    title: ClassVar[str] = "the archive was not backed up for more than a day"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("triggers", "backup")
    reads: ClassVar[tuple[str, ...]] = (
        "s3:GetBucketVersioning",
        "s3:GetObject",  # of the backup: its manifest, and a sample
        "s3:GetReplicationConfiguration",
        "s3:ListBucket",
    )
    writes: ClassVar[tuple[str, ...]] = (
        "s3:ListBucket",  # what is copied is listed right before
        "s3:PutObject",
    )
    delegates: ClassVar[tuple[str, ...]] = (  # what S3 copies, and the keys of what is encrypted with one
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "s3:GetObject",
    )
    freeze_safe: ClassVar[bool] = True  # no code and no setting is changed

    patience: timedelta = Field(default=timedelta(minutes=5), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=20), description="how long a run may take")
    every: timedelta = Field(
        default=timedelta(hours=26),
        ge=timedelta(hours=1),
        le=timedelta(days=8),
        description="how old the last complete run may become: a day, and what a run takes",
    )
    batch: int = Field(default=300, ge=1, le=500, description="objects that are copied in one tick")
    fell_percent: int = Field(
        default=1, ge=1, le=50, description="share of its objects that an archive may lose from one run to the next"
    )
    modifications: str = Field(
        default="modifications", max_length=64, description="where the archive lists what was done"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return () if target.backup is None else (backup_of(target.backup),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """By the age of the newest complete run; a bucket that does not exist holds none."""
        if target.backup is None:
            return Unknown("nobody has said where the archive is backed up")
        found = seen.resource(backup_of(target.backup))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        newest = next(iter(_runs(found)), None)
        age = _NEVER if newest is None else max(timedelta(0), seen.at - newest.at)
        if newest is not None and age <= self.every:
            return Healthy(f"{_many(newest.objects)} backed up {_hours(age)} hours ago")
        since = "in five weeks" if newest is None else f"for {_hours(age)} hours"
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"the archive of {target.arn.name} was not backed up {since}",
                signals=(Signal("age of the last backup", _hours(age), _hours(self.every), "now", "hours"),),
                evidence=() if newest is None else (f"run {newest.run}: {_many(newest.objects)}",),
                severity=Severity.SEV2 if age > 2 * self.every else Severity.SEV3,
            )
        )

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """A run that is complete and holds far less than the one before is no end of it: people must know."""
        seen = self.detect(target, after)
        if not isinstance(seen, Healthy) or target.backup is None:
            return seen
        fell = self._fell(_runs(after.resource(backup_of(target.backup))))
        if not fell:
            return seen
        return Sick(Finding(self.name, str(target.arn), fell, evidence=before.evidence, severity=Severity.SEV2))

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        return self.recovered(target, before, after)

    def _fell(self, runs: Sequence[Complete]) -> str:
        """What an archive has lost between its last two runs, in words; empty where it lost no more than it may."""
        if len(runs) <= 1 or runs[0].objects * 100 >= runs[1].objects * (100 - self.fell_percent):
            return ""
        new, old = runs[:2]
        return f"the archive holds {_many(new.objects)}, and held {old.objects} at {old.at:%Y-%m-%d %H:%M} UTC"

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        triggers, backup = target.triggers, target.backup
        if triggers is None or backup is None:
            raise Refused("backup", "nobody has said where the archive is backed up")
        query = backup_of(backup)
        seen = read.seen(query)
        found = seen.resource(query)
        if isinstance(found, Unread):
            raise Unreadable("s3:ListBucket", "Unread", found.reason, resource=str(backup.bucket))
        if found is None:
            return _told(target, f"{backup.bucket.name}, into which it is backed up, does not exist", _MAKE)
        runs = _runs(found)
        if runs and seen.at - runs[0].at <= self.every:
            if fell := self._fell(runs):
                kept = f"runs {runs[0].run} and {runs[1].run} are both kept"
                return _told(target, fell, _FELL, _KEEP, evidence=(kept,))
            raise Refused("backup", f"run {runs[0].run} is complete", retry_after=timedelta(minutes=1))
        account = triggers.customers[0].queue.account
        here = {"Bucket": target.arn.name, "ExpectedBucketOwner": account}
        if not read("s3", "ListObjectsV2", Prefix=triggers.archive, MaxKeys=1, **here).get("Contents"):
            return _told(target, f"nothing stands under {triggers.archive}: there is nothing to back up", _EMPTY)
        last = f"run {runs[0].run}, {_many(runs[0].objects)}" if runs else "none in five weeks"
        return Diagnosis(
            target=str(target.arn),
            cause=f"the last complete run under s3://{backup.bucket.name}/{backup.prefix} is too old: {last}",
            evidence=(versioning(read, here), replication(read, here)),
            facts={
                "bucket": str(target.arn),
                "archive": triggers.archive,
                "account": account,
                "backup": str(backup.bucket),
                "prefix": backup.prefix,
                "key": named(triggers.key),
                "backup_key": named(backup.key),
            },
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """Always the same two steps, and no object by its name: the archive is written to while it is copied."""
        facts = diagnosis.facts
        bucket, backup = Arn.parse(facts["bucket"]), Backup(Arn.parse(facts["backup"]), facts["prefix"])
        archive, account = facts["archive"], facts["account"]
        listing = Call(
            "s3",
            "ListObjectsV2",
            str(bucket),
            params={
                "Bucket": bucket.name,
                "Prefix": archive,
                "MaxKeys": self.batch,
                "ExpectedBucketOwner": account,
            },
            free=("StartAfter",),
            times=_LISTS,
        )
        there = {"Bucket": backup.bucket.name, "ExpectedBucketOwner": account}
        under = f"{backup.bucket}/{backup.prefix}"
        copy = Call(
            "s3",
            "CopyObject",
            f"{under}objects/*",
            # what is copied is told apart by its content: tags would need a permission of their own
            params={**there, "ExpectedSourceBucketOwner": account, "TaggingDirective": "REPLACE"},
            free=("Key", "CopySource", "CopySourceIfMatch"),
            times=self.batch + _LISTS,
            grants=(
                ("s3:GetObject", f"{bucket}/{archive}*"),
                *decrypting(facts.get("key", "")),
                *encrypting(facts.get("backup_key", "")),
            ),
        )
        put, key = {**there, "ContentType": "application/json"}, encrypting(facts.get("backup_key", ""))
        note = Call("s3", "PutObject", f"{under}manifests/*", params=put, free=("Key", "Body"), grants=key)
        mark = Call("s3", "PutObject", f"{under}complete/*", params=put, free=("Key", "Body"), grants=key)
        return Plan(
            remediation=self.name,
            target=str(bucket),
            summary=(
                f"copy what stands under {archive} of {bucket.name} to s3://{backup.bucket.name}/{backup.prefix}, "
                f"{self.batch} objects a tick"
            ),
            steps=(
                Step(
                    "copy",
                    calls=(listing, copy, note),
                    settle=timedelta(seconds=10),
                    why="copy the next part of the archive, write down what was copied, and compare",
                ),
                Step(
                    "complete",
                    calls=(mark,),
                    settle=timedelta(seconds=10),
                    why="call the run complete: every part of it was compared with its manifest",
                ),
            ),
            risk="what is stored a second time costs what S3 asks for it, until a lifecycle rule of yours deletes it",
            undo_by_hand="none is needed: an archive is only read; a run that nobody wants is deleted by its prefix",
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        The next part, or the mark that all are there.

        What is noted of an earlier attempt is not gone on with: something was wrong with it, so a new one begins anew.
        """
        notes, attempt = act.scratch.get("backup"), len(act.incident.attempts)
        if notes is not None and notes["attempt"] != attempt:
            notes = None
        if step.name == "copy":
            self._copy(act, step, notes or {"attempt": attempt, "part": 0, "end": "", "objects": 0, "bytes": 0})
        elif notes is None:
            raise Refused("same-plan", "nothing says what this attempt has copied")
        else:
            key = complete_key(_backup(plan), notes["run"], notes["objects"], notes["bytes"])
            said = {name: notes[name] for name in ("run", "objects", "bytes", "part")}
            act(step.calls[0], Key=key, Body=json.dumps(said).encode())

    def _copy(self, act: Actor, step: Step, before: Mapping[str, Any]) -> None:
        """Copy what comes next. It is noted when all is done: where anything dies before, the part is made anew."""
        listing, copy, note = step.calls
        backup, run, part = _under(copy), act.incident.id, before["part"] + 1
        copied, dry = self._part(act, listing, copy, copies_under(backup, run), before["end"])
        if not copied:
            if before["part"]:
                act.scratch["backup"] = {**before, "dry": dry}
            return
        act(note, Key=manifest_key(backup, run, part), Body=manifest(copied))
        size = sum(each.size for each in copied)
        act.scratch["backup"] = {
            "run": run,
            "attempt": before["attempt"],
            "part": part,
            "start": before["end"],
            "end": copied[-1].key,
            "count": len(copied),
            "objects": before["objects"] + len(copied),
            "bytes": before["bytes"] + size,
            "dry": dry,
        }

    def _part(self, act: Actor, listing: Call, copy: Call, under: str, start: str) -> tuple[list[Copied], bool]:
        """What was copied of what stands after ``start``, and whether nothing stands behind it."""
        source, copied = Arn.parse(listing.resource).name, list[Copied]()
        for _ in range(_LISTS):
            after = copied[-1].key if copied else start
            page = act(listing, **({"StartAfter": after} if after else {}))
            for each in page.get("Contents", ()):
                if len(copied) >= self.batch or act.seconds_left() < _TIRED:
                    return copied, False
                etag = _copied(act, copy, f"{under}{each['Key']}", f"{source}/{each['Key']}", each["ETag"])
                if not etag:
                    break  # it was written anew, or is gone: it is listed again
                copied.append(Copied(each["Key"], each["Size"], each["ETag"], etag))
            else:
                if not page["IsTruncated"] or len(copied) >= self.batch:
                    return copied, not page["IsTruncated"]
        return copied, False

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """What of a part was copied nobody asks: it is copied anew, onto itself, and compared then."""
        return Outcome.NOT_DONE if call.operation == "ListObjectsV2" else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """Each part is compared with its manifest before the next is begun, and the last before all is called whole."""
        notes = scratch.get("backup")
        if notes is None:
            return Progress.AGAIN, "nothing is noted of the run yet: its first part is made again", None
        backup = _backup(plan)
        if step.name == "complete":
            query = backup_of(backup)
            there = any(each.run == notes["run"] for each in _runs(read.seen(query).resource(query)))
            if not there:
                return Progress.AGAIN, "the run is not called complete yet", None
            return Progress.NEXT, f"{_many(notes['objects'])} backed up, {notes['bytes']} bytes", None
        if wrong := self._compared(read, plan, backup, notes):
            return Progress.STOP, f"part {notes['part']} of run {notes['run']}: {wrong}", None
        how = f"{_many(notes['objects'])} copied"
        return (Progress.NEXT, f"{how}, which is all", None) if notes["dry"] else (Progress.AGAIN, how, None)

    def _compared(self, read: Reader, plan: Plan, backup: Backup, notes: Mapping[str, Any]) -> str:
        """What is wrong with a part, by its manifest, by what is listed, and by a sample; empty where nothing is."""
        here = {name: _copy_of(plan).params[name] for name in ("Bucket", "ExpectedBucketOwner")}
        try:
            body = read("s3", "GetObject", Key=manifest_key(backup, notes["run"], notes["part"]), **here)["Body"]
        except Missing:
            return "its manifest is not there"
        said = manifested(body)
        if said is None or len(said) != notes["count"]:
            return "its manifest is not the one that was written"
        under = copies_under(backup, notes["run"])
        stand, end = dict[str, tuple[int, str]](), f"{under}{notes['end']}"
        where = {"Prefix": backup.prefix, "StartAfter": f"{under}{notes['start']}", **here}
        for each in read.pages("s3", "ListObjectsV2", "Contents", limit=_MOST, **where):
            if each["Key"] > end:
                break
            stand[each["Key"]] = (each["Size"], each["ETag"])
        differ = [each for each in said if stand.get(f"{under}{each.key}") != (each.size, each.copy)]
        if differ:
            return f"{len(differ)} of {_many(len(said))} are not there as they were copied; {differ[0].key}"
        return self._sampled(read, plan, under, said, here)

    def _sampled(self, read: Reader, plan: Plan, under: str, said: Sequence[Copied], here: Mapping[str, str]) -> str:
        """
        Why what was copied cannot be used, by a few of it.

        What nobody can read in the archive either is no fault of the copy: with the same ETag it is the same content.
        """
        target = read.target(plan.target)
        if target is None or target.triggers is None:
            return "the archive is not registered any more"
        triggers = target.triggers
        changes = [each for each in said if change_of(triggers, each.key) and each.size <= LONGEST_BODY]
        for each in changes[:: max(1, len(changes) // _SAMPLE)][:_SAMPLE]:
            try:
                body = read("s3", "GetObject", Key=f"{under}{each.key}", **here)["Body"]
            except Missing:
                return f"{each.key} is not there any more"
            if len(body) != each.size:
                return f"the copy of {each.key} has {len(body)} bytes, and should have {each.size}"
            readable = isinstance(understood(body, Words(modifications=self.modifications)), Archived)
            if not readable and each.copy != each.etag:
                return f"the copy of {each.key} cannot be read"
        return ""


# -- what is read ------------------------------------------------------------------------------------------------------


def _runs(found: object) -> tuple[Complete, ...]:
    """The complete runs, the newest first; none where they were not read."""
    runs = found.get("Complete", ()) if isinstance(found, Mapping) else ()
    return tuple(each for each in runs if isinstance(each, Complete))


# -- the calls of a plan -----------------------------------------------------------------------------------------------


def _copy_of(plan: Plan) -> Call:
    return plan.steps[0].calls[1]


def _backup(plan: Plan) -> Backup:
    return _under(_copy_of(plan))


def _under(copy: Call) -> Backup:
    """Where the backup stands, by the call that copies into it."""
    bucket, _, under = copy.resource.partition("/")
    return Backup(Arn.parse(bucket), under.removesuffix("objects/*"))


def _copied(act: Actor, copy: Call, key: str, source: str, etag: str) -> str:
    """
    The ETag of a copy of what was listed; empty where that is no longer what stands there.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
    """
    try:
        answer = act(copy, Key=key, CopySource=source, CopySourceIfMatch=etag)
    except Missing as error:
        if error.code != "NoSuchKey":
            raise
        return ""
    except Rejected as error:
        if error.code not in _CHANGED:
            raise
        return ""
    return str(answer["CopyObjectResult"]["ETag"])


# -- words -------------------------------------------------------------------------------------------------------------

_MAKE: Final = (
    "Make the bucket, in this account, closed to the public and with versions on; the next look begins the first run"
)
_EMPTY: Final = (
    "See whether `archive` is the right prefix. If somebody has deleted what stood there: restore it, object by object,"
    " from the bucket's versions or from an earlier run, which is kept"
)
_FELL: Final = (
    "Find out who deleted them (CloudTrail: DeleteObject, DeleteObjects), and whether that was meant: compare the two "
    "runs' manifests"
)
_KEEP: Final = "Delete no earlier run, and let no lifecycle rule do it, until you know"


def _told(target: Target, cause: str, *advice: str, evidence: tuple[str, ...] = ()) -> Diagnosis:
    return Diagnosis(target=str(target.arn), cause=cause, evidence=evidence, advice=advice)


def _many(count: int) -> str:
    return f"{count} object{'s' if count != 1 else ''}"


def _hours(age: timedelta) -> int:
    return age // timedelta(hours=1)
