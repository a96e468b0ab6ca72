"""Backups of an archive: what is due, what is copied and compared, and what calls itself complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift.backups import Complete, Copied, complete_key, completed, manifest, manifested
from nightshift.errors import Denied, Missing, NightshiftError, Refused, Rejected, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Attempt,
    Backup,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Ledger,
    Outcome,
    Plan,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Memory, Progress, Readings, Unread
from nightshift.remediations.archive_backup_due import ArchiveBackupDue

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUCKET = Arn.parse("arn:aws:s3:::metadata")
QUEUE = Arn.parse("arn:aws:sqs:eu-central-1:123456789012:hts")
HTS = Customer("hts", QUEUE, QUEUE, Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"))
BACKUP = Backup(Arn.parse("arn:aws:s3:::safe"), "changes/")
TARGET = Target(BUCKET, "changes", triggers=Triggers("customers/", "archive/", (HTS,)), backup=BACKUP)
QUERY = ResourceRead("s3.runs", "arn:aws:s3:::safe/changes/")
DUE = ArchiveBackupDue(batch=2)
FINDING = Finding("archive-backup-due", str(BUCKET), "due", evidence=("run x",))
RUN = "20261126T0300-0a1b2c3d"
KMS = "arn:aws:kms:eu-central-1:123456789012:key/"
GOOD = b'{"modifications": []}'


def etag(body: bytes) -> str:
    """As S3 makes it."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def run(ago: float, objects: int = 100, name: str = "20261125T0300-00000000") -> Complete:
    """A run that is complete since so many hours."""
    return Complete(name, objects, NOW - ago * HOUR)


@dataclass
class Account:
    """Two buckets, of which the second may encrypt: then its ETags are its own. ``fails`` raises in place of a call."""

    archive: dict[str, bytes] = field(default_factory=dict)
    backup: dict[str, bytes] = field(default_factory=dict)
    runs: Any = ()
    fails: dict[str, NightshiftError] = field(default_factory=dict)
    encrypts: bool = False
    page: int = 1000  # objects that a listing gives at most
    registered: Target | None = TARGET
    before: Any = lambda key: None  # somebody is quicker than a copy

    def listed(self, bucket: str, prefix: str, after: str) -> list[dict[str, Any]]:
        """What stands there, by name."""
        objects = self.archive if bucket == "metadata" else self.backup
        salt = b"salt" if self.encrypts and bucket == "safe" else b""
        return [
            {"Key": key, "Size": len(body), "ETag": etag(salt + body), "LastModified": NOW}
            for key, body in sorted(objects.items())
            if key.startswith(prefix) and key > after
        ]

    def readings(self) -> Readings:
        """What a look reads."""
        found = {"Complete": self.runs} if isinstance(self.runs, tuple) else self.runs
        return Readings(NOW, {QUERY: found})


class Eyes:
    """The Reader."""

    quarantine = "quarantine"

    def __init__(self, account: Account) -> None:
        self.account = account
        self.used: set[str] = set()

    def _check(self, service: str, operation: str, params: dict[str, Any]) -> None:
        action = Call(service, operation, "", params).action
        if action not in DUE.reads:
            raise Undeclared(action)
        self.used.add(action)
        assert params["ExpectedBucketOwner"] == "123456789012"
        if error := self.account.fails.get(params.get("Key", operation)):
            raise error

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        self._check(service, operation, params)
        match operation:
            case "GetBucketVersioning":
                return {"Status": "Enabled"}
            case "GetBucketReplication":
                return {"ReplicationConfiguration": {"Rules": []}}
            case "GetObject":
                assert params["Bucket"] == "safe"
                if params["Key"] not in self.account.backup:
                    raise Missing("s3:GetObject", "NoSuchKey")
                return {"Body": self.account.backup[params["Key"]]}
        return {"Contents": self.account.listed(params["Bucket"], params["Prefix"], "")[: params["MaxKeys"]]}

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        self._check(service, operation, params)
        assert (params["Bucket"], params["Prefix"]) == ("safe", "changes/")
        yield from self.account.listed("safe", params["Prefix"], params["StartAfter"])[:limit]

    def seen(self, *queries: Query) -> Readings:
        assert queries == (QUERY,)
        return self.account.readings()

    def target(self, arn: str) -> Target | None:
        assert arn == str(BUCKET)
        return self.account.registered

    def targets(self) -> tuple[Target, ...]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def now(self) -> datetime:
        return NOW


class Hand:
    """The Actor: does to the account what a call says, within what the step allows."""

    memory: Memory
    ledger = Ledger()

    def __init__(self, account: Account, step: Step, scratch: dict[str, Any], *, attempt: int = 1) -> None:
        self.account, self.step, self.scratch, self.seconds = account, step, scratch, 60.0
        attempts = tuple(Attempt(number, "h", NOW) for number in range(1, attempt + 1))
        self.incident = Incident(RUN, "archive-backup-due", str(BUCKET), "g", NOW, NOW, NOW, FINDING, attempts=attempts)
        self.made: dict[int, int] = {}

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        assert call in self.step.calls
        assert call.action in DUE.writes
        assert set(free) <= set(call.free)
        number = self.step.calls.index(call)
        self.made[number] = self.made.get(number, 0) + 1
        if self.made[number] > call.times:
            raise Undeclared(call.action)
        params = {**call.params, **free}
        assert params["ExpectedBucketOwner"] == "123456789012"
        if error := self.account.fails.get(params.get("Key", call.operation)):
            raise error
        if call.operation == "ListObjectsV2":
            found = self.account.listed(params["Bucket"], params["Prefix"], params.get("StartAfter", ""))
            most = min(params["MaxKeys"], self.account.page)
            return {"Contents": found[:most], "IsTruncated": len(found) > most}
        assert params["Bucket"] == "safe"
        assert f"arn:aws:s3:::safe/{params['Key']}".startswith(call.resource.removesuffix("*"))
        if call.operation == "PutObject":
            self.account.backup[params["Key"]] = params["Body"]
            return {}
        return self._copy(params)

    def _copy(self, params: dict[str, Any]) -> dict[str, Any]:
        self.account.before(params["CopySource"].partition("/")[2])
        bucket, _, key = params["CopySource"].partition("/")
        assert (bucket, params["TaggingDirective"]) == ("metadata", "REPLACE")
        body = self.account.archive.get(key)
        if body is None:
            raise Missing("s3:PutObject", "NoSuchKey")
        if etag(body) != params["CopySourceIfMatch"]:
            raise Rejected("s3:PutObject", "PreconditionFailed")
        self.account.backup[params["Key"]] = body
        salt = b"salt" if self.account.encrypts else b""
        self.seconds -= 1
        return {"CopyObjectResult": {"ETag": etag(salt + body)}}

    def now(self) -> datetime:
        return NOW

    def seconds_left(self) -> float:
        return self.seconds


def filled(count: int) -> Account:
    """An account with so many changes in its archive."""
    bodies = {f"archive/C-{number}.json": GOOD + b" " * number for number in range(count)}
    return Account(archive={**bodies, "customers/hts/x.json": b"{}"})


def planned() -> Plan:
    """What is planned for any of them."""
    return DUE.plan(DUE.diagnose(Eyes(filled(1)), TARGET, FINDING))


COPY, COMPLETE = planned().steps


def made(account: Account, scratch: dict[str, Any], *, attempt: int = 1, step: Step = COPY) -> Hand:
    """A tick of a step."""
    hand = Hand(account, step, scratch, attempt=attempt)
    DUE.apply(hand, planned(), step)
    return hand


def went(account: Account, scratch: dict[str, Any], step: Step = COPY) -> tuple[Progress, str]:
    """How it goes."""
    how, why, ledger = DUE.progress(Eyes(account), planned(), step, scratch)
    assert ledger is None
    return how, why


# -- seeing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hours, severity",
    [(26, None), (26.1, Severity.SEV3), (52, Severity.SEV3), (52.1, Severity.SEV2), (-1, None)],
)
def test_a_run_is_due_when_the_last_is_too_old(hours: float, severity: Severity | None) -> None:
    """And soon it is urgent."""
    seen = DUE.detect(TARGET, Account(runs=(run(hours),)).readings())
    if severity is None:
        assert isinstance(seen, Healthy)
        assert seen.summary.startswith("100 objects backed up ")
    else:
        assert isinstance(seen, Sick)
        assert (seen.finding.severity, seen.finding.evidence) == (
            severity,
            ("run 20261125T0300-00000000: 100 objects",),
        )


@pytest.mark.parametrize("runs", [(), None, {}, {"Complete": ("odd",)}])
def test_where_there_is_none_one_is_due(runs: Any) -> None:
    """Also where the bucket does not exist."""
    seen = DUE.detect(TARGET, Account(runs=runs).readings())
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "the archive of metadata was not backed up in five weeks"


def test_what_was_not_read_is_not_known() -> None:
    """Nor what nobody has configured."""
    assert DUE.detect(TARGET, Account(runs=Unread("denied")).readings()) == Unknown("denied")
    nowhere = replace(TARGET, backup=None)
    assert isinstance(DUE.detect(nowhere, Account().readings()), Unknown)
    assert isinstance(DUE.recovered(nowhere, FINDING, Account().readings()), Unknown)
    assert DUE.watch(nowhere) == ()
    assert DUE.watch(TARGET) == (QUERY,)
    assert DUE.takes(TARGET)
    assert not DUE.takes(nowhere)


@pytest.mark.parametrize("new, told", [(99, False), (98, True), (100, False), (0, True)])
def test_a_run_with_less_in_it_than_the_one_before_is_no_end(new: int, *, told: bool) -> None:
    """One object in a hundred may go; more is told, and only at the end of an incident: the run itself is complete."""
    readings = Account(runs=(run(1, new), run(27))).readings()
    assert isinstance(DUE.detect(TARGET, readings), Healthy)
    for seen in (DUE.verify(TARGET, FINDING, readings), DUE.recovered(TARGET, FINDING, readings)):
        assert isinstance(seen, Sick) is told
        if isinstance(seen, Sick):
            assert seen.finding.symptom.startswith(f"the archive holds {new} objects, and held 100 at 2026-11-25 00:00")


def test_whoever_is_sick_has_not_recovered() -> None:
    """However many there were before."""
    assert isinstance(DUE.recovered(TARGET, FINDING, Account(runs=(run(30),)).readings()), Sick)


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_a_diagnosis_says_how_the_archive_is_kept() -> None:
    """Versions and replication, and what the last run was; nothing in its facts moves by itself."""
    account = filled(1)
    first = DUE.diagnose(Eyes(account), TARGET, FINDING)
    assert first.evidence == ("versions of the bucket: enabled", "replication of the bucket: 0 of 0 rules enabled")
    assert first.cause == "the last complete run under s3://safe/changes/ is too old: none in five weeks"
    account.runs = (run(30, 1),)
    second = DUE.diagnose(Eyes(account), TARGET, FINDING)
    assert second.cause.endswith("run 20261125T0300-00000000, 1 object")
    assert first.facts == second.facts


@pytest.mark.parametrize(
    "account, cause",
    [
        (Account(runs=None), "safe, into which it is backed up, does not exist"),
        (Account(), "nothing stands under archive/: there is nothing to back up"),
        (Account(runs=(run(1, 90), run(27))), "the archive holds 90 objects, and held 100 at 2026-11-25 00:00 UTC"),
    ],
)
def test_what_only_people_can_mend_is_told(account: Account, cause: str) -> None:
    """With what to do about it."""
    found = DUE.diagnose(Eyes(account), TARGET, FINDING)
    assert found.cause == cause
    assert found.advice


def test_what_cannot_be_told_is_refused() -> None:
    """A run that is complete by now; what cannot be read; what nobody has configured."""
    with pytest.raises(Refused) as refused:
        DUE.diagnose(Eyes(Account(runs=(run(1),))), TARGET, FINDING)
    assert refused.value.retry_after == timedelta(minutes=1)
    with pytest.raises(Unreadable):
        DUE.diagnose(Eyes(Account(runs=Unread("denied"))), TARGET, FINDING)
    for target in (replace(TARGET, backup=None), replace(TARGET, triggers=None)):
        with pytest.raises(Refused):
            DUE.diagnose(Eyes(filled(1)), target, FINDING)


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_a_plan_writes_under_the_backup_and_reads_the_archive() -> None:
    """And nothing else, in either bucket."""
    plan = planned()
    under = "arn:aws:s3:::safe/changes/"
    assert {call.resource for call in plan.calls} == {
        str(BUCKET),
        *(f"{under}{each}/*" for each in ("objects", "manifests", "complete")),
    }
    assert {grant for call in plan.calls for grant in call.grants} == {("s3:GetObject", f"{BUCKET}/archive/*")}
    assert {call.action for call in plan.calls} == set(DUE.writes)
    keyed = replace(
        TARGET,
        triggers=Triggers("customers/", "archive/", (HTS,), Arn.parse(f"{KMS}of-the-archive")),
        backup=replace(BACKUP, key=Arn.parse(f"{KMS}of-the-backup")),
    )
    plan = DUE.plan(DUE.diagnose(Eyes(filled(1)), keyed, FINDING))
    copy, *stored = (call for call in plan.calls if call.action == "s3:PutObject")
    made = ("kms:GenerateDataKey", f"{KMS}of-the-backup")
    assert set(copy.grants) == {*COPY.calls[1].grants, ("kms:Decrypt", f"{KMS}of-the-archive"), made}
    assert [call.grants for call in stored] == [(made,)] * 2
    assert {action for call in plan.calls for action, _ in call.grants} == set(DUE.delegates)
    assert plan.cost_per_hour == 0.0
    assert [step.undo for step in plan.steps] == [(), ()]


# -- copying -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypts", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_all_of_an_archive_is_copied_part_by_part(count: int, *, encrypts: bool) -> None:
    """No part is larger than a batch; each is compared; only after the last the run is called complete."""
    account, scratch = filled(count), dict[str, Any]()
    account.encrypts = encrypts
    how, parts = Progress.AGAIN, 0
    while how is Progress.AGAIN:
        made(account, scratch)
        how, _ = went(account, scratch)
        parts += 1
    assert (how, parts) == (Progress.NEXT, (count + 1) // 2)
    assert not any("complete/" in key for key in account.backup)
    made(account, scratch, step=COMPLETE)
    stand = {key.removeprefix(f"changes/objects/{RUN}/") for key in account.backup if "/objects/" in key}
    assert stand == {key for key in account.archive if key.startswith("archive/")}
    size = sum(len(body) for key, body in account.archive.items() if key in stand)
    assert json.loads(account.backup[complete_key(BACKUP, RUN, count, size)]) == {
        "run": RUN,
        "objects": count,
        "bytes": size,
        "part": parts,
    }


def test_what_died_within_a_tick_is_made_again() -> None:
    """Its notes were not written: the same part comes once more, as the archive is then."""
    account, scratch = filled(3), dict[str, Any]()
    assert went(account, scratch)[0] is Progress.AGAIN
    made(account, scratch)
    made(account, dict(scratch))  # this one's notes are lost
    account.archive["archive/C-2.json"] = b'{"modifications": [1]}'
    assert went(account, scratch)[0] is Progress.AGAIN
    made(account, scratch)
    assert went(account, scratch)[0] is Progress.NEXT
    assert account.backup[f"changes/objects/{RUN}/archive/C-2.json"] == b'{"modifications": [1]}'


def test_what_is_written_anew_meanwhile_is_listed_again() -> None:
    """And what is gone is not in it."""
    account, scratch = filled(4), dict[str, Any]()
    del account.archive["archive/C-3.json"]

    def quicker(key: str) -> None:
        if key == "archive/C-0.json":
            account.archive["archive/C-1.json"] = b"new"
            account.archive.pop("archive/C-2.json", None)

    account.before = quicker
    made(account, scratch)
    assert scratch["backup"]["end"] == "archive/C-1.json"
    assert went(account, scratch)[0] is Progress.NEXT
    assert account.backup[f"changes/objects/{RUN}/archive/C-1.json"] == b"new"


def test_what_is_deleted_meanwhile_is_not_in_it() -> None:
    """Neither in the copies nor in the manifest."""
    account, scratch = filled(3), dict[str, Any]()
    account.before = lambda key: account.archive.pop("archive/C-1.json", None)
    made(account, scratch)
    assert [each["key"] for each in json.loads(account.backup[f"changes/manifests/{RUN}/000001.json"])["objects"]] == [
        "archive/C-0.json",
        "archive/C-2.json",
    ]


def test_an_object_that_is_written_all_the_time_holds_up_one_tick_only() -> None:
    """After a few listings it is left to the next."""
    account, scratch = filled(2), dict[str, Any]()
    writes = iter(range(100))

    def always(key: str) -> None:
        account.archive[key] = str(next(writes)).encode()

    account.before = always
    made(account, scratch)
    assert scratch == {}
    account.before = lambda key: always(key) if key == "archive/C-1.json" else None
    made(account, scratch)
    assert (scratch["backup"]["objects"], scratch["backup"]["dry"]) == (1, False)
    account.archive.pop("archive/C-1.json")
    made(account, scratch)
    assert (scratch["backup"]["objects"], scratch["backup"]["part"], scratch["backup"]["dry"]) == (1, 1, True)


def test_s3_may_list_fewer_than_it_is_asked_for() -> None:
    """Then it is listed once more, and the part is as large all the same."""
    account, scratch = filled(4), dict[str, Any]()
    account.page = 1
    made(account, scratch)
    assert (scratch["backup"]["count"], scratch["backup"]["dry"]) == (2, False)


def test_a_tired_tick_ends_early() -> None:
    """What it has copied counts."""
    account, scratch = filled(2), dict[str, Any]()
    hand = Hand(account, COPY, scratch)
    hand.seconds = 10.5
    DUE.apply(hand, planned(), COPY)
    assert (scratch["backup"]["count"], scratch["backup"]["dry"]) == (1, False)


@pytest.mark.parametrize(
    "error",
    [Missing("s3:PutObject", "NoSuchBucket"), Rejected("s3:PutObject", "EntityTooLarge"), Denied("s3:PutObject", "x")],
)
def test_what_else_s3_says_ends_the_tick(error: NightshiftError) -> None:
    """Nothing is noted of it."""
    account, scratch = filled(1), dict[str, Any]()
    account.fails[f"changes/objects/{RUN}/archive/C-0.json"] = error
    with pytest.raises(type(error)):
        made(account, scratch)
    assert scratch == {}


def test_a_new_attempt_begins_anew() -> None:
    """Something was wrong with the one before: none of it is gone on with, and none of it called complete."""
    account, scratch = filled(3), dict[str, Any]()
    made(account, scratch)
    made(account, scratch)
    assert scratch["backup"]["dry"]
    with pytest.raises(Refused):
        made(account, scratch, attempt=2, step=COMPLETE)
    with pytest.raises(Refused):
        made(account, {}, step=COMPLETE)
    made(account, scratch, attempt=2)
    assert (scratch["backup"]["part"], scratch["backup"]["objects"], scratch["backup"]["dry"]) == (1, 2, False)


# -- comparing ---------------------------------------------------------------------------------------------------------


def test_what_does_not_stand_there_as_it_was_copied_is_found() -> None:
    """By its manifest, whatever else stands there."""
    account, scratch = filled(2), dict[str, Any]()
    made(account, scratch)
    account.backup[f"changes/objects/{RUN}/archive/C-00.json"] = b"more is no harm"
    assert went(account, scratch)[0] is Progress.NEXT
    under = f"changes/objects/{RUN}/archive"
    for wrong in ({f"{under}/C-1.json": b"other"}, {f"{under}/C-1.json": GOOD}, {f"{under}/C-1.json": b"x" * 22}):
        spoilt = replace(account, backup={**account.backup, **wrong})
        how, why = went(spoilt, scratch)
        assert (how, "1 of 2 objects are not there as they were copied; archive/C-1.json" in why) == (
            Progress.STOP,
            True,
        )
    gone = replace(account, backup={key: body for key, body in account.backup.items() if not key.endswith("C-0.json")})
    assert went(gone, scratch)[0] is Progress.STOP


def test_a_manifest_that_is_not_the_one_that_was_written_is_found() -> None:
    """It is gone, no manifest, or another's."""
    account, scratch = filled(2), dict[str, Any]()
    made(account, scratch)
    key = f"changes/manifests/{RUN}/000001.json"
    one = manifest(manifested(account.backup[key])[:1])  # type: ignore[index]
    for body in (None, b"", b"[]", b'{"objects": [{"key": 1}]}', b'{"objects": 3}', one):
        stand = {name: each for name, each in account.backup.items() if name != key}
        spoilt = replace(account, backup=stand if body is None else {**stand, key: body})
        assert went(spoilt, scratch)[0] is Progress.STOP


def test_a_sample_of_every_part_is_opened() -> None:
    """What cannot be read though its ETag says nothing of its content; what has another size; what is gone."""
    account, scratch = filled(2), dict[str, Any]()
    made(account, scratch)
    key = f"changes/objects/{RUN}/archive/C-0.json"
    account.fails = {key: Missing("s3:GetObject", "NoSuchKey")}
    assert went(account, scratch) == (Progress.STOP, f"part 1 of run {RUN}: archive/C-0.json is not there any more")
    account.fails, account.registered = {}, replace(TARGET, triggers=None)
    assert went(account, scratch)[0] is Progress.STOP
    account.registered = None
    assert went(account, scratch)[0] is Progress.STOP


@pytest.mark.parametrize("encrypts", [False, True])
def test_what_nobody_can_read_in_the_archive_is_no_fault_of_the_copy(*, encrypts: bool) -> None:
    """With the same ETag it is the same; where ETags say nothing, what cannot be read is no backup."""
    account, scratch = Account(archive={"archive/C-0.json": b"?", "archive/notes.txt": b"?"}), dict[str, Any]()
    account.encrypts = encrypts
    made(account, scratch)
    how, why = went(account, scratch)
    assert how is (Progress.STOP if encrypts else Progress.NEXT)
    assert encrypts == ("the copy of archive/C-0.json cannot be read" in why)


def test_a_copy_that_is_shorter_than_what_was_listed_is_none() -> None:
    """Whatever its listing says."""

    class Short(Eyes):
        def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
            found = super().__call__(service, operation, **params)
            return {"Body": found["Body"][:-1]} if "/objects/" in params["Key"] else found

    account, scratch = filled(1), dict[str, Any]()
    made(account, scratch)
    how, why, _ = DUE.progress(Short(account), planned(), COPY, scratch)
    assert (how, "has 20 bytes, and should have 21" in why) == (Progress.STOP, True)


# -- complete ----------------------------------------------------------------------------------------------------------


def test_a_run_is_over_when_it_is_seen_to_be_complete() -> None:
    """By its own mark; another's is not its own."""
    account, scratch = filled(1), dict[str, Any]()
    made(account, scratch)
    account.runs = (run(1),)
    assert went(account, scratch, COMPLETE)[0] is Progress.AGAIN
    account.runs = (run(0, 1, RUN), run(1))
    assert went(account, scratch, COMPLETE) == (Progress.NEXT, "1 object backed up, 21 bytes")
    account.runs = Unread("denied")
    assert went(account, scratch, COMPLETE)[0] is Progress.AGAIN


def test_what_a_part_came_to_is_not_guessed() -> None:
    """It is copied anew; a listing changes nothing."""
    outcomes = {call.operation: DUE.reconcile(Eyes(filled(1)), call, NOW) for call in planned().calls}
    assert outcomes == {
        "ListObjectsV2": Outcome.NOT_DONE,
        "CopyObject": Outcome.UNKNOWN,
        "PutObject": Outcome.UNKNOWN,
    }


def test_every_action_is_used() -> None:
    """And no other, on the way of a whole run."""
    account, scratch = filled(1), dict[str, Any]()
    eyes = Eyes(account)
    diagnosis: Diagnosis = DUE.diagnose(eyes, TARGET, FINDING)
    made(account, scratch)
    DUE.progress(eyes, DUE.plan(diagnosis), COPY, scratch)
    assert eyes.used == set(DUE.reads)


# -- names -------------------------------------------------------------------------------------------------------------


def test_only_what_is_called_as_a_run_is_one() -> None:
    """The newest first, by when they were complete."""
    names = ["complete/20261125T0300-00000000.7.9.json", "complete/20261126T0300-00000000.8.9.json"]
    odd = ["complete/x.json", "manifests/20261125T0300-00000000/000001.json", "complete/20261125T0300-00000000.7.json"]
    listed = [
        {"Key": f"changes/{name}", "LastModified": NOW - number * HOUR} for number, name in enumerate([*names, *odd])
    ]
    assert completed("changes/", listed) == (
        Complete("20261125T0300-00000000", 7, NOW),
        Complete("20261126T0300-00000000", 8, NOW - HOUR),
    )


def test_a_manifest_says_what_was_written() -> None:
    """Whatever a key has in it."""
    copied = (Copied('archive/ü"\n.json', 3, "e", "c"),)
    assert manifested(manifest(copied)) == copied
