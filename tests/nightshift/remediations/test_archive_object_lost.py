"""Lost objects of an archive: what is put back, from what, and what is left to people."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift.backups import Complete
from nightshift.errors import Denied, Missing, NightshiftError, Refused, Rejected, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Backup,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Ledger,
    Outcome,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Memory, Readings, Unread
from nightshift.remediations.archive_object_lost import ArchiveObjectLost

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUCKET = Arn.parse("arn:aws:s3:::metadata")
QUEUE = Arn.parse("arn:aws:sqs:eu-central-1:123456789012:hts")
HTS = Customer("hts", QUEUE, QUEUE, Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"))
TARGET = Target(BUCKET, "changes", triggers=Triggers("customers/", "archive/", (HTS,)))
SAFE = Backup(Arn.parse("arn:aws:s3:::safe"), "changes/")
SAVED = replace(TARGET, backup=SAFE)
QUERY = ResourceRead("s3.archive", "arn:aws:s3:::metadata/archive/")
RUNS = ResourceRead("s3.runs", "arn:aws:s3:::safe/changes/")
RUN = "20261118T0300-0a1b2c3d"
LOST = ArchiveObjectLost()
FINDING = Finding("archive-object-lost", str(BUCKET), "lost")
KEY = "archive/CHG-1.json"
GOOD = b'{"modifications": [{"modificationType": "submitted"}]}'
BAD = b'{"modif'


def etag(body: bytes) -> str:
    """As S3 makes it."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


@dataclass
class Account:
    """A bucket with versions: of each key every body, the newest last; None is a marker that it was deleted."""

    versions: dict[str, list[tuple[bytes | None, datetime]]] = field(default_factory=dict)
    now: datetime = NOW
    status: str | None = "Enabled"
    told: dict[str, Any] = field(default_factory=dict)
    fails: dict[str, NightshiftError] = field(default_factory=dict)
    tags: int = 0
    full: bool = False
    seen: Any = field(default_factory=dict)
    runs: Any = field(default_factory=dict)  # what the backup says of its runs
    copies: dict[str, bytes] = field(default_factory=dict)  # what stands in the backup

    def put(self, body: bytes | None, key: str = KEY, ago: timedelta = HOUR) -> None:
        """Somebody writes an object, or deletes it."""
        self.versions.setdefault(key, []).append((body, NOW - ago))

    def latest(self, key: str) -> dict[str, Any]:
        """An entry of a listing: the newest version."""
        return self.listed(key)[0]

    def listed(self, key: str) -> list[dict[str, Any]]:
        """Every version of an object, the newest first."""
        found = []
        for number, (body, at) in enumerate(self.versions[key]):
            entry = {"Key": key, "VersionId": f"{key}#{number}", "LastModified": at, "IsLatest": False}
            found.append(entry if body is None else {**entry, "ETag": etag(body), "Size": len(body)})
        found[-1]["IsLatest"] = True
        return found[::-1]

    def archive(self) -> dict[str, Any]:
        """What a look reads."""
        stand: dict[str, bytes] = {
            key: body for key, every in self.versions.items() if (body := every[-1][0]) is not None
        }
        deleted = [{**self.latest(key), "Written": self.listed(key)[-1]["LastModified"]} for key in self.versions]
        found: dict[str, Any] = {
            "Keys": frozenset(stand),
            "Recent": tuple(self.latest(key) for key in stand),
            "Bodies": stand,
            "Unread": {},
            "Deleted": tuple(each for each in deleted if each["Key"] not in stand),
            "Truncated": False,
        }
        return {**found, **self.seen}

    def readings(self) -> Readings:
        """What a look reads."""
        return Readings(self.now, {QUERY: self.archive()})


class Eyes:
    """The Reader."""

    quarantine = "quarantine"

    def __init__(self, account: Account) -> None:
        self.account = account
        self.used: set[str] = set()

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        action = Call(service, operation, "", params).action
        if action not in LOST.reads:
            raise Undeclared(action)
        self.used.add(action)
        bucket = "safe" if action == "s3:GetObject" else "metadata"
        assert (params["Bucket"], params["ExpectedBucketOwner"]) == (bucket, "123456789012")
        of = "tags" if operation == "GetObjectTagging" else params.get("VersionId", operation)
        if error := self.account.fails.get(of):
            raise error
        if action == "s3:GetObject":
            if params["Key"] not in self.account.copies:
                raise Missing("s3:GetObject", "NoSuchKey")
            copy = self.account.copies[params["Key"]]
            return {"Body": copy, "ETag": etag(copy)}
        if operation == "GetBucketVersioning":
            return {"Status": self.account.status} if self.account.status else {}
        if operation == "GetBucketNotificationConfiguration":
            return self.account.told
        if operation == "GetObject":
            body = self.account.versions[params["Key"]][int(params["VersionId"].rpartition("#")[2])][0]
            return {"Body": body}
        if operation == "GetObjectTagging":
            return {"TagSet": [{"Key": "keep", "Value": "long"}] * self.account.tags}
        every = [
            each
            for key in self.account.versions
            if key.startswith(params["Prefix"])
            for each in self.account.listed(key)
        ]
        return {
            "Versions": [each for each in every if "ETag" in each],
            "DeleteMarkers": [each for each in every if "ETag" not in each],
            "IsTruncated": self.account.full,
        }

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def seen(self, *queries: Query) -> Readings:
        found = self.account.seen
        answer = found if found is None or isinstance(found, Unread) else self.account.archive()
        if queries == (RUNS,):
            answer = self.account.runs
            self.used.add("s3:ListBucket")
        return Readings(self.account.now, dict.fromkeys(queries, answer))

    def target(self, arn: str) -> Target | None:
        raise NotImplementedError  # it never asks: the test fails where it does

    def targets(self) -> tuple[Target, ...]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def now(self) -> datetime:
        return self.account.now


class Hand:
    """The Actor. ``fails`` raises in the place of a call on that key."""

    incident: Incident
    memory: Memory
    ledger = Ledger()

    def __init__(self) -> None:
        self.scratch: dict[str, Any] = {}
        self.copied: list[str] = []
        self.fails: dict[str, NightshiftError] = {}

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        assert call.action in LOST.writes
        assert not free
        if error := self.fails.get(call.params["Key"]):
            raise error
        self.copied.append(call.params["CopySource"])
        return {"VersionId": "new", "CopyObjectResult": {"ETag": call.before["copied"]}}

    def now(self) -> datetime:
        return NOW

    def seconds_left(self) -> float:
        return 100.0


def deleted(*more: str) -> Account:
    """An account in which an object was deleted, and perhaps others."""
    account = Account()
    for key in (KEY, *more):
        account.put(GOOD, key, ago=3 * HOUR)
        account.put(None, key)
    return account


def written_over() -> Account:
    """An account in which an object was written over."""
    account = Account()
    account.put(GOOD, ago=3 * HOUR)
    account.put(BAD)
    return account


def backed_up(*keys: str, body: bytes = GOOD) -> Account:
    """An account in which an object was deleted of which no version is left, and a backup that has these keys."""
    account = Account()
    account.put(BAD, ago=3 * HOUR)
    account.put(None)
    old = Complete("20261117T0300-0a1b2c3d", 9, NOW - 2 * timedelta(days=1))
    account.runs = {"Complete": (Complete(RUN, 9, NOW - timedelta(days=1)), old)}
    account.copies = {f"changes/objects/{RUN}/{key}": body for key in keys}
    account.copies[f"changes/objects/{old.run}/{KEY}"] = b'{"modifications": [{"modificationType": "old"}]}'
    return account


def diagnosed(account: Account, remediation: ArchiveObjectLost = LOST) -> Diagnosis:
    """What is said of an account."""
    return remediation.diagnose(Eyes(account), TARGET, FINDING)


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_an_object_that_was_deleted_or_cannot_be_read_is_lost() -> None:
    """Each with when, and with nothing of what stands in it."""
    account = deleted()
    account.put(BAD, "archive/CHG-2.json")
    found = LOST.detect(TARGET, account.readings())
    assert isinstance(found, Sick)
    assert found.finding.symptom.startswith("2 objects of the archive of metadata are")
    gone, bad = found.finding.evidence
    assert gone == "archive/CHG-1.json: deleted at 2026-11-19 02:00:00"
    assert bad.startswith("archive/CHG-2.json: written at 2026-11-19 02:00:00, cannot be read: ")
    assert "modif" not in "".join(found.finding.evidence)
    assert found.finding.severity is Severity.SEV2


def test_more_than_a_few_are_the_highest_severity() -> None:
    """A prefix was deleted."""
    account = deleted(*(f"archive/CHG-{number}.json" for number in range(2, 5)))
    found = LOST.detect(TARGET, account.readings())
    assert isinstance(found, Sick)
    assert found.finding.severity is Severity.SEV1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'"x"', b"{}", b'{"modifications": 3}', b'{"modifications": [3]}', b"\xff"]
)
def test_what_is_no_list_of_what_was_done_cannot_be_read(body: bytes) -> None:
    """By the one way in which everybody reads JSON."""
    account = Account()
    account.put(body)
    assert isinstance(LOST.detect(TARGET, account.readings()), Sick)


def test_whatever_else_lies_there_is_nobodys_change() -> None:
    """Neither lost nor looked into."""
    account = deleted()
    account.versions = {"archive/a/b.json": account.versions[KEY], "archive/notes.txt": [(BAD, NOW)]}
    account.seen = {"Unread": {"archive/notes.txt": "denied"}}
    assert isinstance(LOST.detect(TARGET, account.readings()), Healthy)


@pytest.mark.parametrize("age, lost", [(timedelta(hours=2), True), (timedelta(hours=3), False)])
def test_what_the_bucket_itself_lets_expire_is_not_lost(age: timedelta, *, lost: bool) -> None:
    """Where the configuration says after how long: what was younger was deleted by somebody."""
    account = Account()
    account.put(GOOD, ago=HOUR + age)
    account.put(None)
    found = ArchiveObjectLost(expires_after=timedelta(hours=3)).detect(TARGET, account.readings())
    assert isinstance(found, Sick) is lost


@pytest.mark.parametrize(
    "seen, said",
    [
        (Unread("denied"), "denied"),
        (None, "does not exist"),
        ({"Truncated": True}, "more versions under archive/ than were listed"),
        ({"Unread": {KEY: "denied"}, "Bodies": {}}, f"1 objects of the archive were not read; {KEY}: denied"),
        ({"Recent": 3}, "cannot be understood: TypeError"),
        ({"Unread": None}, "cannot be understood: AttributeError"),
    ],
)
def test_what_could_not_be_seen_is_unknown(seen: Any, said: str) -> None:
    """It never acts, and is no health."""
    account = Account()
    account.put(GOOD)
    answer = {**account.archive(), **seen} if isinstance(seen, dict) else seen
    found = LOST.detect(TARGET, Readings(NOW, {QUERY: answer}))
    assert isinstance(found, Unknown)
    assert said in found.reason


def test_what_is_lost_shows_whatever_else_could_not_be_read() -> None:
    """One that is gone is gone."""
    account = deleted()
    account.seen = {"Truncated": True, "Unread": {KEY: "denied"}}
    assert isinstance(LOST.detect(TARGET, account.readings()), Sick)


def test_all_that_stand_and_can_be_read_are_healthy() -> None:
    """With how many there are."""
    account = Account()
    account.put(GOOD)
    assert LOST.detect(TARGET, account.readings()) == Healthy("1 objects, none of them lost within a week")


def test_a_bucket_of_which_nobody_said_what_stands_in_it_is_not_looked_at() -> None:
    """Nothing is read, nothing is known, nothing is diagnosed."""
    nobody = replace(TARGET, triggers=None)
    assert LOST.watch(nobody) == ()
    assert isinstance(LOST.detect(nobody, Readings(NOW)), Unknown)
    with pytest.raises(Refused, match="nobody has said"):
        LOST.diagnose(Eyes(Account()), nobody, FINDING)
    assert LOST.watch(TARGET) == (QUERY,)


def test_what_was_deleted_long_ago_has_not_recovered() -> None:
    """It is not seen any more, and still is not there; what was put back, by whomever, is."""
    account = deleted()
    before = LOST.detect(TARGET, account.readings())
    assert isinstance(before, Sick)
    assert isinstance(LOST.recovered(TARGET, before.finding, account.readings()), Sick)
    account.seen = {"Deleted": ()}
    found = LOST.recovered(TARGET, before.finding, account.readings())
    assert isinstance(found, Unknown)
    assert found.reason == f"{KEY} is still not there, and was deleted long ago"
    account.put(GOOD)
    assert isinstance(LOST.recovered(TARGET, before.finding, account.readings()), Healthy)
    assert isinstance(LOST.recovered(replace(TARGET, triggers=None), before.finding, account.readings()), Unknown)


# -- diagnosis and plan ------------------------------------------------------------------------------------------------


def test_what_was_deleted_comes_back_only_where_nothing_stands() -> None:
    """The plan names the version, and S3 is asked to copy it only if nobody has written the object since."""
    [step] = LOST.plan(diagnosed(deleted())).steps
    [call] = step.calls
    assert call.params == {
        "Bucket": "metadata",
        "Key": KEY,
        "CopySource": f"metadata/{KEY}?versionId={KEY}#0",
        "ExpectedBucketOwner": "123456789012",
        "ExpectedSourceBucketOwner": "123456789012",
        "IfNoneMatch": "*",
    }
    assert (call.action, call.resource) == ("s3:PutObject", f"{BUCKET}/{KEY}")
    assert call.grants == (("s3:GetObjectVersion", f"{BUCKET}/{KEY}"),)
    assert call.before == {
        "version": f"{KEY}#1",
        "modified": "2026-11-19 02:00:00",
        "etag": "",
        "copied": etag(GOOD),
    }


def test_what_was_written_over_is_replaced_only_if_it_is_still_that() -> None:
    """By its ETag."""
    [call] = LOST.plan(diagnosed(written_over())).steps[0].calls
    assert call.params["IfMatch"] == etag(BAD)
    assert "IfNoneMatch" not in call.params


def test_every_permission_that_is_declared_is_used() -> None:
    """And no other is."""
    account = backed_up(KEY)
    account.put(GOOD, "archive/CHG-2.json", ago=3 * HOUR)
    account.put(None, "archive/CHG-2.json")
    eyes = Eyes(account)
    archive, safe = (f"arn:aws:kms:eu-central-1:123456789012:key/{each}" for each in ("archive", "safe"))
    triggers = Triggers("customers/", "archive/", (HTS,), Arn.parse(archive))
    keyed = replace(TARGET, triggers=triggers, backup=replace(SAFE, key=Arn.parse(safe)))
    plan = LOST.plan(LOST.diagnose(eyes, keyed, FINDING))
    assert eyes.used == set(LOST.reads)
    assert {call.action for call in plan.calls} == set(LOST.writes)
    assert {action for call in plan.calls for action, _ in call.grants} == set(LOST.delegates)
    for call in plan.calls:  # from a version in the bucket itself, or from the backup, onto the archive
        whence = archive if "versionId" in call.params["CopySource"] else safe
        assert {grant for grant in call.grants if grant[0].startswith("kms:")} == {
            ("kms:Decrypt", whence),
            ("kms:GenerateDataKey", archive),
        }


def test_versions_that_say_nothing_or_cannot_be_opened_are_passed_over() -> None:
    """The newest that can be read and says something; an object of a like name is another one."""
    account = Account()
    account.put(GOOD, ago=9 * HOUR)
    account.put(GOOD + b" ", ago=8 * HOUR)
    account.put(None, ago=7 * HOUR)
    account.put(b'{"modifications": []}', ago=6 * HOUR)
    account.put(BAD, ago=5 * HOUR)
    account.put(GOOD, f"{KEY}.json", ago=timedelta(0))
    account.put(None, ago=HOUR)
    account.fails[f"{KEY}#1"] = Rejected("s3:GetObject", "InvalidObjectState")
    [fact] = diagnosed(account).facts["objects"]
    assert fact["back"]["version"] == f"{KEY}#0"


def test_two_versions_of_one_second_keep_the_order_that_s3_gives_them() -> None:
    """The newest is listed first."""
    account = Account()
    account.put(GOOD, ago=HOUR)
    account.put(GOOD + b" ", ago=HOUR)
    account.put(None, ago=HOUR)
    [fact] = diagnosed(account).facts["objects"]
    assert fact["back"]["version"] == f"{KEY}#1"


@pytest.mark.parametrize(
    "error", [Denied("s3:GetObject", "AccessDenied"), Missing("s3:GetObject", "NoSuchVersion"), None], ids=str
)
def test_what_has_no_version_that_can_be_read_is_for_people(error: NightshiftError | None) -> None:
    """The backup may have it."""
    account = written_over()
    if error is None:
        account.versions[KEY] = [(GOOD, NOW - 9 * HOUR), *((BAD, NOW - 8 * HOUR) for _ in range(6))]
    else:
        account.fails[f"{KEY}#0"] = error
    found = diagnosed(account)
    assert "none of the last 5 versions before it can be read" in found.cause
    assert "from the backup" in found.advice[0]


def test_what_has_no_version_left_comes_from_the_newest_complete_backup() -> None:
    """If the copy is still the one that was read, and nothing stands where it goes."""
    found = LOST.diagnose(Eyes(backed_up(KEY)), SAVED, FINDING)
    assert found.evidence[-1] == f"{KEY}: the version from the backup of 2026-11-18 03:00:00 can be read"
    plan = LOST.plan(found)
    [call] = plan.steps[0].calls
    copy = f"safe/changes/objects/{RUN}/{KEY}"
    assert call.params == {
        "Bucket": "metadata",
        "Key": KEY,
        "CopySource": copy,
        "ExpectedBucketOwner": "123456789012",
        "ExpectedSourceBucketOwner": "123456789012",
        "IfNoneMatch": "*",
        "CopySourceIfMatch": etag(GOOD),
        "TaggingDirective": "REPLACE",  # a backup has no tags, and nobody may take any along
    }
    assert call.grants == (("s3:GetObject", f"arn:aws:s3:::{copy}"),)
    assert call.before["copied"] == etag(GOOD)
    assert plan.summary == f"put back 1 object: {KEY} from the backup of 2026-11-18 03:00:00"


def test_a_version_that_can_be_read_is_newer_than_any_backup() -> None:
    """What was written since the backup is in it."""
    account = backed_up(KEY)
    account.versions = written_over().versions
    [fact] = LOST.diagnose(Eyes(account), SAVED, FINDING).facts["objects"]
    assert fact["back"]["version"] == f"{KEY}#0"


@pytest.mark.parametrize("what", ["no copy", "bad", "says nothing", "no run", "no bucket", "denied"])
def test_a_backup_that_does_not_have_it_or_cannot_be_read_is_for_people(what: str) -> None:
    """An older run is not tried: what it holds may be long out of date."""
    body = {"bad": BAD, "says nothing": b'{"modifications": []}'}.get(what, GOOD)
    account = backed_up(*([] if what == "no copy" else [KEY]), body=body)
    if what in {"no run", "no bucket"}:
        account.runs = {"Complete": ()} if what == "no run" else None
    if what == "denied":
        account.fails["GetObject"] = Denied("s3:GetObject", "AccessDenied")
    found = LOST.diagnose(Eyes(account), SAVED, FINDING)
    assert "none of the last 5 versions before it can be read" in found.cause
    assert found.facts == {}


def test_a_backup_that_cannot_be_seen_for_now_is_asked_again_later() -> None:
    """Whether it has it is not known."""
    account = backed_up(KEY)
    account.runs = Unread("throttled")
    with pytest.raises(Unreadable, match="throttled"):
        LOST.diagnose(Eyes(account), SAVED, FINDING)


def test_without_versions_the_copy_is_named_and_nothing_is_written_over() -> None:
    """What stands there would be gone: a person keeps it first."""
    account = backed_up(KEY)
    account.versions = {KEY: [(BAD, NOW - HOUR)]}
    account.status = None
    found = LOST.diagnose(Eyes(account), SAVED, FINDING)
    assert found.facts == {}
    assert "Keep what stands in its place first" in found.advice[0]
    assert f"--copy-source safe/changes/objects/{RUN}/{KEY}" in found.advice[0]
    assert f"--bucket metadata --key {KEY}" in found.advice[0]
    account.copies = {}
    assert "from the backup" in LOST.diagnose(Eyes(account), SAVED, FINDING).advice[0]
    account.runs = Unread("denied")  # what is only told does not wait until it can be read
    assert "from the backup" in LOST.diagnose(Eyes(account), SAVED, FINDING).advice[0]


def test_a_version_that_could_not_be_read_for_now_is_not_passed_over() -> None:
    """An older one would lose what it holds: that is asked again later."""
    account = written_over()
    account.fails[f"{KEY}#0"] = Unreadable("s3:GetObject", "SlowDown")
    with pytest.raises(Unreadable):
        diagnosed(account)


def test_versions_that_cannot_all_be_listed_are_for_people() -> None:
    """Half an answer is none."""
    account = deleted()
    account.full = True
    assert "cannot be told apart" in diagnosed(account).cause


def test_versions_of_which_none_is_the_latest_are_for_people() -> None:
    """Somebody changes them at this moment."""
    account = deleted()
    lost = account.archive()
    account.seen = {"Deleted": lost["Deleted"]}
    account.versions = {}
    assert "cannot be told apart" in diagnosed(account).cause


def test_a_version_with_tags_is_for_people() -> None:
    """They would be copied too, which nobody was allowed."""
    account = deleted()
    account.tags = 1
    assert "has tags" in diagnosed(account).cause
    account.tags = 0
    account.fails["tags"] = Denied("s3:GetObjectTagging", "AccessDenied")
    found = diagnosed(account)
    assert "whether its version has tags, which would be copied too, cannot be read (AccessDenied)" in found.cause
    assert found.facts == {}


@pytest.mark.parametrize("status, said", [(None, "versions are off"), ("Suspended", "versions are suspended")])
def test_without_versions_nothing_is_put_back(status: str | None, said: str) -> None:
    """What would be written over would be gone for good."""
    account = written_over()
    account.status = status
    found = diagnosed(account)
    assert said in found.cause
    assert any("Switch the bucket's versions on" in each for each in found.advice)


def configured(events: Sequence[str] = ("s3:ObjectCreated:*",), **rules: str) -> dict[str, Any]:
    """One receiver of a bucket's notifications."""
    said = [{"Name": name, "Value": value} for name, value in rules.items()]
    return {"QueueArn": "q", "TopicArn": "t", "Events": list(events), "Filter": {"Key": {"FilterRules": said}}}


@pytest.mark.parametrize(
    "told, who",
    [
        ({"EventBridgeConfiguration": {}}, "EventBridge"),
        ({"QueueConfigurations": [configured(Prefix="archive/", suffix=".json")]}, "q"),
        ({"TopicConfigurations": [configured(("s3:ObjectCreated:Copy",))]}, "t"),
        ({"LambdaFunctionConfigurations": [{"Events": ["s3:ObjectCreated:*"]}]}, "LambdaFunctionConfigurations"),
        ({"QueueConfigurations": [configured(Prefix="customers/")]}, ""),
        ({"QueueConfigurations": [configured(suffix=".txt")]}, ""),
        ({"QueueConfigurations": [configured(("s3:ObjectCreated:Put", "s3:ObjectRemoved:*"))]}, ""),
    ],
)
def test_where_anybody_is_told_of_a_copy_it_is_for_people(told: dict[str, Any], who: str) -> None:
    """More would come of it than an object."""
    account = deleted()
    account.told = told
    found = diagnosed(account)
    assert bool(found.advice) is bool(who)
    assert not who or f"{who} is told of what is written to the archive" in found.cause


def test_many_at_once_are_for_people() -> None:
    """Nothing more is read, and nothing is synced."""
    account = deleted(*(f"archive/CHG-{number}.json" for number in range(2, 30)))
    eyes = Eyes(account)
    found = LOST.diagnose(eyes, TARGET, FINDING)
    assert found.cause.startswith("29 objects of the archive are lost at once")
    assert "Do not sync a backup over the archive" in found.advice[0]
    assert len(found.evidence) == 20
    assert eyes.used == set()


@pytest.mark.parametrize("count", [3, 4])
def test_three_are_put_back_and_four_are_not(count: int) -> None:
    """Or as few as the configuration says."""
    account = deleted(*(f"archive/CHG-{number}.json" for number in range(2, count + 1)))
    assert bool(diagnosed(account).advice) is (count > 3)
    assert diagnosed(account, ArchiveObjectLost(most=2)).advice


def test_those_that_can_be_put_back_are_and_the_others_are_named() -> None:
    """One plan for a few; what it leaves out stands beside it."""
    account = deleted("archive/CHG-2.json")
    account.put(BAD, "archive/CHG-3.json")
    found = diagnosed(account)
    assert [each["key"] for each in found.facts["objects"]] == [KEY, "archive/CHG-2.json"]
    assert [each.cause for each in found.rejected] == ["archive/CHG-3.json"]
    assert LOST.plan(found).summary == (
        f"put back 2 objects: {KEY} of 2026-11-19 00:00:00, archive/CHG-2.json of 2026-11-19 00:00:00"
    )


def test_what_is_lost_no_more_is_refused_for_now() -> None:
    """Somebody was quicker."""
    account = Account()
    account.put(GOOD)
    with pytest.raises(Refused, match="no object is lost any more") as caught:
        diagnosed(account)
    assert caught.value.retry_after == timedelta(minutes=1)


@pytest.mark.parametrize("seen, said", [(Unread("denied"), "denied"), (None, "does not exist")])
def test_what_cannot_be_read_again_is_not_diagnosed(seen: Any, said: str) -> None:
    """Unknown never acts."""
    account = deleted()
    account.seen = seen
    with pytest.raises(Unreadable, match=said):
        diagnosed(account)


# -- acting ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        Rejected("s3:PutObject", "PreconditionFailed"),
        Rejected("s3:PutObject", "ConditionalRequestConflict"),
        Missing("s3:PutObject", "NoSuchKey"),
    ],
    ids=lambda error: error.code,
)
def test_one_that_somebody_has_written_since_is_left_and_the_others_are_copied(error: NightshiftError) -> None:
    """Each by itself; where none is left to copy, nothing was done."""
    plan = LOST.plan(diagnosed(deleted("archive/CHG-2.json")))
    hand = Hand()
    hand.fails[KEY] = error
    LOST.apply(hand, plan, plan.steps[0])
    assert hand.copied == ["metadata/archive/CHG-2.json?versionId=archive/CHG-2.json#0"]
    hand.fails["archive/CHG-2.json"] = error
    with pytest.raises(Refused, match="none is any more what it was"):
        LOST.apply(hand, plan, plan.steps[0])


def test_any_other_error_ends_the_step() -> None:
    """It is not known to mean that somebody was quicker."""
    plan = LOST.plan(diagnosed(deleted()))
    hand = Hand()
    hand.fails[KEY] = Rejected("s3:PutObject", "InvalidRequest")
    with pytest.raises(Rejected):
        LOST.apply(hand, plan, plan.steps[0])


def test_the_report_says_which_version_came_of_it() -> None:
    """As S3 says."""
    [call] = LOST.plan(diagnosed(deleted())).steps[0].calls
    assert LOST.effect(call, Hand()(call)) == {"version": "new", "etag": etag(GOOD)}
    assert LOST.effect(call, {}) == {"version": "", "etag": ""}


@pytest.mark.parametrize("make", [deleted, written_over])
def test_whether_a_copy_was_made_shows_in_what_stands_there(make: Any) -> None:
    """The copy: done. What was found: not done, once it could have landed. A third thing: unknown."""
    account = make()
    [call] = LOST.plan(diagnosed(account)).steps[0].calls
    eyes = Eyes(account)
    assert LOST.reconcile(eyes, call, NOW - timedelta(seconds=59)) is Outcome.UNKNOWN
    assert LOST.reconcile(eyes, call, NOW - timedelta(seconds=60)) is Outcome.NOT_DONE
    account.put(GOOD, ago=timedelta(0))
    assert LOST.reconcile(eyes, call, NOW) is Outcome.DONE
    account.put(GOOD + b" ", ago=timedelta(0))
    assert LOST.reconcile(eyes, call, NOW) is Outcome.UNKNOWN
    account.put(None, ago=timedelta(0))
    assert LOST.reconcile(eyes, call, NOW) is Outcome.UNKNOWN
    account.full = True
    assert LOST.reconcile(eyes, call, NOW) is Outcome.UNKNOWN


def test_what_is_replaced_is_read_by_whoever_replaces_it_and_what_is_missing_is_not() -> None:
    """S3 compares an IfMatch for nobody who may not read what stands there."""
    [step] = LOST.plan(diagnosed(written_over())).steps
    assert step.calls[0].params["IfMatch"]
    assert ("s3:GetObject", f"{BUCKET}/{KEY}") in step.calls[0].grants
    [step] = LOST.plan(diagnosed(deleted())).steps
    assert "IfMatch" not in step.calls[0].params
    assert "s3:GetObject" not in {action for action, _ in step.calls[0].grants}
