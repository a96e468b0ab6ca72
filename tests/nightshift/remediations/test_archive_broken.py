"""The audit of an archive: what is certainly wrong with a change, and that nothing else is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift.errors import Denied, NightshiftError, Refused, Rejected, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Readings, Unread
from nightshift.remediations.archive_broken import ArchiveBroken

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
BUCKET = Arn.parse("arn:aws:s3:::metadata")


def customer(name: str) -> Customer:
    """A customer with its three resources."""
    sqs = f"arn:aws:sqs:eu-central-1:123456789012:{name}"
    service = Arn.parse(f"arn:aws:ecs:eu-central-1:123456789012:service/prod/{name}")
    return Customer(name, Arn.parse(sqs), Arn.parse(f"{sqs}-dlq"), service)


TARGET = Target(BUCKET, "changes", triggers=Triggers("customers/", "archive/", (customer("hts"), customer("other"))))
ALONE = replace(TARGET, triggers=Triggers("customers/", "archive/", (customer("hts"),)))
ARCHIVE = ResourceRead("s3.archive", "arn:aws:s3:::metadata/archive/")
TRIGGERS = ResourceRead("s3.triggers", "arn:aws:s3:::metadata/customers/")
FINDING = Finding("archive-broken", str(BUCKET), "broken")
AUDIT = ArchiveBroken(
    customer_field="customerCode",
    timestamp_field="timestamp",
    customers_field="customers",
    submitted="submitted",
    meeting_wanted="meetingRequired",
    meeting_field="meeting",
)
KEY = "archive/CHG-1.json"


def entry(kind: object = "processed", who: object = "hts", ago: int | None = 119, **more: object) -> dict[str, object]:
    """An entry of the archive, of so many minutes ago."""
    at = "?" if ago is None else f"{NOW - timedelta(minutes=ago):%Y-%m-%dT%H:%M:%SZ}"
    return {"modificationType": kind, "customerCode": who, "timestamp": at, **more}


SUBMITTED = entry("submitted", "web", 120)


@dataclass
class Account:
    """An archive, its triggers, and what else can be read."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    triggers: dict[str, datetime] = field(default_factory=dict)
    archive: Any = field(default_factory=dict)
    listing: Any = field(default_factory=dict)
    queue: Any = field(default_factory=lambda: {"ApproximateNumberOfMessages": "4"})
    fails: dict[str, NightshiftError] = field(default_factory=dict)
    status: str | None = "Enabled"

    def change(self, *entries: object, key: str = KEY, ago: int = 118, **more: object) -> Account:
        """Somebody writes a change: what was done about it, so many minutes ago."""
        return self.body(json.dumps({"modifications": list(entries), **more}).encode(), key=key, ago=ago)

    def body(self, body: bytes, *, key: str = KEY, ago: int = 118) -> Account:
        """Somebody writes an object."""
        self.bodies[key], self.written[key] = body, NOW - timedelta(minutes=ago)
        return self

    def trigger(self, name: str = "hts/CHG-1.json", ago: int = 100) -> Account:
        """A trigger stands."""
        self.triggers[f"customers/{name}"] = NOW - timedelta(minutes=ago)
        return self

    def readings(self) -> Readings:
        """What a look reads."""
        recent = tuple({"Key": key, "LastModified": at} for key, at in self.written.items())
        archive = {
            "Keys": frozenset(self.bodies),
            "Recent": recent,
            "Bodies": self.bodies,
            "Unread": {},
            "Deleted": (),
            "Truncated": False,
        }
        oldest = tuple({"Key": key, "LastModified": at} for key, at in self.triggers.items())
        listing = {"Count": len(oldest), "Oldest": oldest, "Truncated": False}
        return Readings(NOW, {ARCHIVE: _with(archive, self.archive), TRIGGERS: _with(listing, self.listing)})


def _with(answer: dict[str, Any], instead: Any) -> Any:
    return {**answer, **instead} if isinstance(instead, dict) else instead


class Eyes:
    """The Reader."""

    quarantine = "quarantine"

    def __init__(self, account: Account) -> None:
        self.account = account
        self.used: set[str] = set()

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        action = Call(service, operation, "", params).action
        if action not in AUDIT.reads:
            raise Undeclared(action)
        self.used.add(action)
        assert params == {"Bucket": "metadata", "ExpectedBucketOwner": "123456789012"}
        if error := self.account.fails.get(operation):
            raise error
        if operation == "GetBucketVersioning":
            return {"Status": self.account.status} if self.account.status else {}
        return {"ReplicationConfiguration": {"Rules": [{"Status": "Enabled"}, {"Status": "Disabled"}]}}

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def seen(self, *queries: Query) -> Readings:
        of_bucket = self.account.readings().answers
        return Readings(NOW, {query: of_bucket.get(query, self.account.queue) for query in queries})

    def target(self, arn: str) -> Target | None:
        raise NotImplementedError  # it never asks: the test fails where it does

    def targets(self) -> tuple[Target, ...]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def now(self) -> datetime:
        return NOW


def told(account: Account, audit: ArchiveBroken = AUDIT, target: Target = TARGET) -> tuple[str, ...]:
    """What is told of an account; nothing where it is healthy."""
    found = audit.detect(target, account.readings())
    if isinstance(found, Healthy):
        return ()
    assert isinstance(found, Sick), found
    return found.finding.evidence


# -- for whom a change was processed -----------------------------------------------------------------------------------


def test_a_change_that_was_processed_for_each_of_its_customers_is_well() -> None:
    """And says so."""
    account = Account().change(SUBMITTED, entry(), entry(who="other"), customers=["hts", "other"])
    assert AUDIT.detect(TARGET, account.readings()) == Healthy("1 changes of the last week, none of them broken")


def test_another_customers_entry_is_not_this_ones() -> None:
    """The archive serves all of them."""
    account = Account().change(SUBMITTED, entry(), customers=["hts", "other"])
    assert told(account) == (f"{KEY}: neither processed nor triggered for other",)


def test_a_customer_that_it_is_not_for_misses_nothing() -> None:
    """Nor does one that nobody has configured."""
    assert told(Account().change(SUBMITTED, entry(), customers=["hts", "stranger"])) == ()


def test_one_whose_trigger_stands_is_the_triggers_business() -> None:
    """Its trigger, and no other customer's."""
    account = Account().change(SUBMITTED, customers=["hts", "other"]).trigger()
    assert told(account) == (f"{KEY}: neither processed nor triggered for other",)


@pytest.mark.parametrize("ago, expected", [(60, 0), (61, 1)])
def test_a_change_has_an_hour(ago: int, expected: int) -> None:
    """Since it was last written."""
    assert len(told(Account().change(SUBMITTED, customers=["hts"], ago=ago))) == expected


def test_an_entry_of_nobody_may_be_anybodys() -> None:
    """Nothing is told that is not certain."""
    assert told(Account().change(SUBMITTED, entry(who=None), customers=["hts", "other"])) == ()
    assert told(Account().change(SUBMITTED, entry(kind=7, who="web"), customers=["hts"])) == ()


@pytest.mark.parametrize("customers", [None, [], "hts", [1]])
def test_where_nobody_says_for_whom_a_change_is_one_entry_is_enough(customers: object) -> None:
    """And one trigger; with neither it was lost for everybody."""
    assert told(Account().change(SUBMITTED, entry(), customers=customers)) == ()
    assert told(Account().change(SUBMITTED, customers=customers).trigger()) == ()
    assert told(Account().change(SUBMITTED, {}, customers=customers)) == ()
    assert told(Account().change(SUBMITTED, customers=customers)) == (f"{KEY}: neither processed nor triggered",)


def test_a_bucket_with_one_customer_needs_nobody_to_say() -> None:
    """Every change is that one's, and so is an entry without a name."""
    audit = ArchiveBroken()
    assert told(Account().change(SUBMITTED), audit, ALONE) == (f"{KEY}: neither processed nor triggered for hts",)
    assert told(Account().change(SUBMITTED, entry(who="?")), audit, ALONE) == ()


def test_where_not_all_triggers_are_known_nobody_is_said_to_have_none() -> None:
    """It is unknown, and no health."""
    for listing in ({"Count": 2}, {"Truncated": True}):
        account = Account(listing=listing).change(SUBMITTED, customers=["hts"]).trigger("other/CHG-1.json")
        found = AUDIT.detect(TARGET, account.readings())
        assert isinstance(found, Unknown)
        assert "more triggers under customers/" in found.reason


# -- handed in again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processed, expected", [(106, 1), (105, 0), (99, 0), (None, 0)])
def test_a_change_that_was_handed_in_again_is_processed_again(processed: int | None, expected: int) -> None:
    """Clocks may be five minutes apart, and a time that cannot be read may be any."""
    account = Account().change(SUBMITTED, entry("submitted", "web", 100), entry(ago=processed), customers=["hts"])
    assert told(account) == (f"{KEY}: handed in again, and not processed since for hts",) * expected


def test_what_is_not_known_to_hand_a_change_in_does_not() -> None:
    """Nor does one whose time cannot be read: it may have been before."""
    again = entry("submitted", "web", 30)
    account = Account().change(entry(), again, customers=["hts"])
    assert len(told(account)) == 1
    assert told(account, AUDIT.model_copy(update={"submitted": ""})) == ()
    assert told(Account().change(entry(), again, entry("submitted", "web", None), customers=["hts"])) == ()


@pytest.mark.parametrize("at", ["2026-11-19T00:00:00", "0001-01-01T00:00:00+23:00", 7, ""])
def test_a_time_that_not_everybody_reads_alike_is_none(at: object) -> None:
    """Without its zone, or of no day that there is: it may be before or after."""
    said = entry() | {"timestamp": at}
    assert told(Account().change(entry("submitted", "web", 30), said, customers=["hts"])) == ()


# -- what else is wrong ------------------------------------------------------------------------------------------------


def test_an_object_that_says_nothing_or_cannot_be_read_is_told_after_an_hour() -> None:
    """Whoever puts it back has an hour for it."""
    assert told(Account().change()) == (f"{KEY}: says nothing of what was done",)
    assert told(Account().body(b"{")) == (f"{KEY}: cannot be read",)
    assert told(Account().body(b"{", ago=60)) == ()


@pytest.mark.parametrize("ago, expected", [(60, 0), (61, 1)])
def test_an_object_that_was_deleted_is_told_after_an_hour(ago: int, expected: int) -> None:
    """But for what the bucket itself lets expire, where the configuration says after how long."""
    at = NOW - timedelta(minutes=ago)
    gone = {"Key": KEY, "LastModified": at, "Written": at - timedelta(days=9)}
    account = Account(archive={"Deleted": (gone, {**gone, "Key": "archive/notes.txt"})})
    assert told(account) == (f"{KEY}: deleted",) * expected
    assert told(account, AUDIT.model_copy(update={"expires_after": timedelta(days=9)})) == ()
    assert len(told(account, AUDIT.model_copy(update={"expires_after": timedelta(days=10)}))) == expected


@pytest.mark.parametrize("ago, expected", [(15, 0), (16, 1)])
def test_a_trigger_without_a_change_is_told(ago: int, expected: int) -> None:
    """The change is written first; one that was deleted is told as that."""
    account = Account().trigger(ago=ago)
    assert told(account) == (f"{KEY}: a trigger, and no object in the archive for hts",) * expected
    account.archive = {"Deleted": ({"Key": KEY, "LastModified": NOW, "Written": NOW},)}
    assert told(account) == ()


def test_odd_keys_are_nobodys_trigger_and_no_change() -> None:
    """Whatever they are."""
    account = Account().trigger("a b/CHG-1.json").trigger("hts/-.json").trigger("hts/CHG-1.txt")
    assert told(account.body(b"?", key="archive/notes.txt")) == ()


def test_where_not_the_whole_archive_was_listed_no_change_is_said_to_be_missing() -> None:
    """It may be among the others."""
    found = AUDIT.detect(TARGET, Account(archive={"Truncated": True}).trigger().readings())
    assert isinstance(found, Unknown)
    assert "more versions under archive/" in found.reason


@pytest.mark.parametrize(
    "wanted, entries, missed",
    [
        (True, (), True),
        ("yes", (), True),
        ("no", (), False),
        (None, (), False),
        (True, (entry("meeting", meeting={"url": "x"}),), False),
        (True, (entry("meeting", meeting=None),), True),
    ],
)
def test_a_change_that_wants_a_meeting_has_one(wanted: object, entries: tuple[object, ...], missed: bool) -> None:
    """In itself or in an entry of it; where the configuration does not name both, nobody looks for one."""
    account = Account().change(SUBMITTED, entry(), *entries, customers=["hts"], meetingRequired=wanted)
    assert told(account) == (f"{KEY}: without its meeting",) * missed
    for name in ("meeting_wanted", "meeting_field"):
        assert told(account, AUDIT.model_copy(update={name: ""})) == ()


def test_a_missing_meeting_alone_is_less_urgent_than_a_lost_change() -> None:
    """Nobody was forgotten."""
    meeting = Account().change(SUBMITTED, entry(), customers=["hts"], meetingRequired=True)
    found = AUDIT.detect(TARGET, meeting.readings())
    assert isinstance(found, Sick)
    assert found.finding.severity is Severity.SEV3
    meeting.body(b"?", key="archive/CHG-2.json")
    found = AUDIT.detect(TARGET, meeting.readings())
    assert isinstance(found, Sick)
    assert found.finding.severity is Severity.SEV2
    assert found.finding.symptom == "2 changes of the archive of metadata: 1 cannot be read, 1 without its meeting"


# -- what cannot be seen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seen, said",
    [
        ({"archive": Unread("denied")}, "denied"),
        ({"listing": Unread("denied")}, "denied"),
        ({"archive": None}, "does not exist"),
        ({"listing": None}, "does not exist"),
        (
            {"archive": {"Unread": {KEY: "denied", "archive/notes.txt": "?"}}},
            f"1 objects of the archive .* {KEY}: denied",
        ),
        ({"archive": {"Recent": 3}}, "cannot be understood: TypeError"),
        ({"listing": {"Oldest": [{}]}}, "cannot be understood: KeyError"),
    ],
)
def test_what_could_not_be_seen_is_unknown(seen: dict[str, Any], said: str) -> None:
    """And no health."""
    found = AUDIT.detect(TARGET, Account(**seen).readings())
    assert isinstance(found, Unknown)
    assert re.search(said, found.reason)


def test_a_bucket_of_which_nobody_said_what_stands_in_it_is_not_looked_at() -> None:
    """Nothing is read, nothing is known, nothing is diagnosed."""
    nobody, diagnosis = replace(TARGET, triggers=None), Diagnosis(str(BUCKET), "x", facts={"customers": []})
    assert AUDIT.watch(nobody) == ()
    assert isinstance(AUDIT.detect(nobody, Readings(NOW)), Unknown)
    with pytest.raises(Refused, match="nobody has said"):
        AUDIT.diagnose(Eyes(Account()), nobody, FINDING)
    assert AUDIT.detail(Eyes(Account()), nobody, diagnosis, {}) is diagnosis
    assert AUDIT.watch(TARGET) == (ARCHIVE, TRIGGERS)


# -- what is told ------------------------------------------------------------------------------------------------------


def test_each_kind_of_fault_has_its_cause_and_its_advice() -> None:
    """Once, however many changes have it."""
    account = Account().body(b"?").body(b"?", key="archive/CHG-2.json").change(SUBMITTED, key="archive/CHG-3.json")
    found = AUDIT.diagnose(Eyes(account), TARGET, FINDING)
    assert found.cause.startswith("2 cannot be read: somebody or something wrote over them; 1 neither processed")
    assert len(found.advice) == 2
    assert "never a prefix" in found.advice[0]
    assert "nightshift verify-change CHANGE" in found.advice[1]


def test_what_is_broken_no_more_is_refused_for_now() -> None:
    """Somebody was quicker."""
    with pytest.raises(Refused, match="no change is broken any more") as caught:
        AUDIT.diagnose(Eyes(Account()), TARGET, FINDING)
    assert caught.value.retry_after == timedelta(minutes=1)


@pytest.mark.parametrize("seen, said", [({"archive": Unread("denied")}, "denied"), ({"listing": None}, "not exist")])
def test_what_cannot_be_read_again_is_not_diagnosed(seen: dict[str, Any], said: str) -> None:
    """Unknown is never told as a cause."""
    with pytest.raises(Unreadable, match=said):
        AUDIT.diagnose(Eyes(Account(**seen)), TARGET, FINDING)


def detailed(account: Account) -> tuple[str, ...]:
    """What is read once, right before people are told."""
    eyes = Eyes(account)
    diagnosis = AUDIT.diagnose(eyes, TARGET, FINDING)
    assert eyes.used == set()
    found = AUDIT.detail(eyes, TARGET, diagnosis, {}).evidence[len(diagnosis.evidence) :]
    assert eyes.used == set(AUDIT.reads)
    return found


def test_what_waits_for_those_it_is_about_is_told_once() -> None:
    """Depths, never a message; where it is about nobody by name, everybody's."""
    account = Account().change(SUBMITTED, entry(), customers=["hts", "other"])
    assert detailed(account) == (
        "other: 4 messages",
        "other-dlq: 4 messages",
        "versions of the bucket: enabled",
        "replication of the bucket: 1 of 2 rules enabled",
    )
    assert len(detailed(Account(status=None).body(b"?"))) == 6


def test_what_cannot_be_read_then_is_said() -> None:
    """And the rest is told all the same."""
    denied = Denied("s3:x", "AccessDenied")
    none = Rejected("s3:x", "ReplicationConfigurationNotFoundError")
    account = Account(queue=Unread("denied"), status=None, fails={"GetBucketReplication": none}).body(b"?")
    *queues, versions, copies = detailed(account)
    assert all("cannot be read: " in each for each in queues)
    assert (versions, copies) == ("versions of the bucket: off", "replication of the bucket: none")
    account.queue = {}
    account.fails = {"GetBucketReplication": Rejected("s3:x", "Odd"), "GetBucketVersioning": denied}
    *queues, versions, copies = detailed(account)
    assert queues[0] == "hts: an unknown number of messages"
    assert "keeps versions cannot be read" in versions
    assert copies.endswith("replicated cannot be read: Odd")
    account.fails["GetBucketReplication"] = denied
    assert "replicated cannot be read: s3:x" in detailed(account)[-1]
