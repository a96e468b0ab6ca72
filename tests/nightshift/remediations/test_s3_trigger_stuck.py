"""Triggers: what is proven, what is not, and that nothing is done about the latter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift.acting import POLICY_LIMIT, session_policy
from nightshift.errors import Ambiguous, Denied, Fenced, Missing, Refused, Rejected, Stopped, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Ledger,
    MetricQuery,
    Outcome,
    Plan,
    Queries,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Memory, Progress, Readings, Series, Unread
from nightshift.remediations.s3_trigger_stuck import S3TriggerStuck

from tests.nightshift.remediations.account import Store

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
OLD = NOW - timedelta(minutes=40)
BUCKET = Arn.parse("arn:aws:s3:::metadata")


def customer(name: str) -> Customer:
    """A customer with its three resources."""
    sqs = f"arn:aws:sqs:eu-central-1:123456789012:{name}"
    service = Arn.parse(f"arn:aws:ecs:eu-central-1:123456789012:service/prod/{name}")
    return Customer(name, Arn.parse(sqs), Arn.parse(f"{sqs}-dlq"), service)


HTS, OTHER = customer("hts"), customer("other")
TRIGGERS = Triggers("customers/", "archive/", (HTS, OTHER))
TARGET = Target(BUCKET, "changes", triggers=TRIGGERS)
ALONE = replace(TARGET, triggers=Triggers("customers/", "archive/", (HTS,)))
LISTING = ResourceRead("s3.triggers", "arn:aws:s3:::metadata/customers/")
STUCK = S3TriggerStuck(customer_field="customerCode", timestamp_field="timestamp", idempotent=True)
FINDING = Finding("s3-trigger-stuck", str(BUCKET), "stuck")
KEY = "customers/hts/CHG-1.json"


def etag(body: bytes) -> str:
    """As S3 makes it."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def entry(who: object = "hts", at: object = None, kind: object = "processed") -> dict[str, object]:
    """An entry of the archive, a minute after the trigger was written if not said otherwise."""
    at = f"{OLD + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}" if at is None else at
    return {"modificationType": kind, "customerCode": who, "timestamp": at}


def iso(at: datetime) -> str:
    """A time as the consumer writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def attributes(visible: int = 0, hidden: int = 0, **more: str) -> dict[str, str]:
    """A queue's attributes."""
    return {
        "ApproximateNumberOfMessages": str(visible),
        "ApproximateNumberOfMessagesNotVisible": str(hidden),
        "VisibilityTimeout": "60",
        "MessageRetentionPeriod": "86400",
        "RedrivePolicy": '{"maxReceiveCount": "3"}',
        **more,
    }


def notification(queue: Arn = HTS.queue, prefix: str = "customers/hts/", **more: Any) -> dict[str, Any]:
    """One configuration of a bucket's."""
    rules = [{"Name": "Prefix", "Value": prefix}, {"Name": "suffix", "Value": ".json"}]
    return {
        "QueueArn": str(queue),
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    } | more


@dataclass
class Account:
    """A bucket, its customers' queues, and what was done. ``fails`` raises instead of a call; ``before`` runs first."""

    now: datetime = NOW
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    queues: dict[Arn, dict[str, str] | Unread | None] = field(default_factory=dict)
    metrics: dict[tuple[str, str], list[float] | Unread] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=lambda: [notification()])
    target: Target | None = TARGET
    memory: dict[str, int] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    apart: dict[str, datetime] = field(default_factory=dict)
    fails: dict[str, BaseException] = field(default_factory=dict)
    listing: dict[str, Any] | Unread | None = field(default_factory=dict)

    def trigger(self, key: str = KEY, body: bytes = b"{}", at: datetime = OLD) -> None:
        """Somebody writes a trigger."""
        self.objects[key] = (body, at)

    def archive(self, *entries: object, change: str = "CHG-1", body: bytes | None = None) -> None:
        """What the archive says of a change."""
        document = json.dumps({"changeId": change, "modifications": list(entries)}).encode()
        self.objects[f"archive/{change}.json"] = (document if body is None else body, NOW)

    def get(self, params: dict[str, Any]) -> dict[str, Any]:
        """An object, if it is the one that is wanted."""
        if params["Key"] not in self.objects:
            raise Missing("s3:GetObject", "NoSuchKey")
        body, at = self.objects[params["Key"]]
        if params.get("IfMatch", etag(body)) != etag(body):
            raise Rejected("s3:GetObject", "PreconditionFailed")
        return {"Body": body, "ETag": etag(body), "LastModified": at}

    def readings(self) -> Readings:
        """What a look reads."""
        found = self.listing if self.listing != {} else self.listed()
        return Readings(self.now, {LISTING: found})

    def listed(self) -> dict[str, Any]:
        """The listing, oldest first."""
        oldest = sorted(
            (
                {"Key": key, "ETag": etag(body), "LastModified": at, "Size": len(body)}
                for key, (body, at) in self.objects.items()
                if key.startswith("customers/")
            ),
            key=lambda each: (each["LastModified"], each["Key"]),
        )
        return {"Count": len(oldest), "Oldest": tuple(oldest), "Truncated": False}


class Eyes:
    """The Reader."""

    quarantine = "quarantine"

    def __init__(self, account: Account) -> None:
        self.account = account

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        action = Call(service, operation, "").action
        if action not in S3TriggerStuck.reads:
            raise Undeclared(action)
        assert params["ExpectedBucketOwner"] == "123456789012"
        if error := self.account.fails.get(operation):
            raise error
        if operation == "GetBucketNotificationConfiguration":
            return {"QueueConfigurations": self.account.told}
        if operation == "ListObjectsV2":
            assert params["Bucket"] == self.quarantine
            found = [(key, at) for key, at in self.account.apart.items() if key.startswith(params["Prefix"])]
            page = [{"Key": key, "LastModified": at} for key, at in found[: params["MaxKeys"]]]
            return {"Contents": page, "IsTruncated": len(page) < len(found)}
        return self.account.get(params)

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        raise NotImplementedError

    def seen(self, *queries: Query) -> Readings:
        return Readings(self.account.now, {query: self._answer(query) for query in queries})

    def _answer(self, query: Query) -> Any:
        if isinstance(query, MetricQuery):
            values = self.account.metrics.get((query.dimensions[0][1], query.metric), [])
            if isinstance(values, Unread):
                return values
            return Series(tuple((NOW - timedelta(minutes=len(values) - n), each) for n, each in enumerate(values)))
        if query.kind == "s3.triggers":
            return self.account.readings().resource(query)
        return self.account.queues.get(Arn.parse(query.key), attributes())

    def target(self, arn: str) -> Target | None:
        return self.account.target

    def targets(self) -> tuple[Target, ...]:
        raise NotImplementedError

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        return {key: self.account.memory.get(key, 0) for key in keys}

    def now(self) -> datetime:
        return self.account.now


class Hand:
    """The Actor."""

    def __init__(self, account: Account, step: Step) -> None:
        self.account = account
        self.step = step
        self.memory: Memory = Store(account.memory)
        self.ledger = Ledger()
        self.scratch: dict[str, Any] = {}
        self.incident: Incident
        self.made: list[Call] = []

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        assert call in self.step.calls
        assert set(free) == set(call.free)
        assert call.action in S3TriggerStuck.writes
        self.made.append(call)
        assert self.made.count(call) <= call.times
        if error := self.account.fails.get(f"act {call.operation}"):
            raise error
        params = {**call.params, **free}
        if call.service == "s3":
            assert params["ExpectedBucketOwner"] == "123456789012"
        match call.operation:
            case "GetObject":
                return self.account.get(params)
            case "PutObject":
                self.account.stored[params["Key"]] = params["Body"]
            case "DeleteObject":
                assert params["IfMatch"]
                del self.account.objects[params["Key"]]
                return {"VersionId": "v2"}
            case "SendMessage":
                self.account.sent.append({"queue": call.resource, **json.loads(params["MessageBody"])})
        return {}

    def now(self) -> datetime:
        return self.account.now

    def seconds_left(self) -> float:
        return 60.0


def stuck(*entries: object, body: bytes | None = None) -> Account:
    """A stuck trigger, and what the archive says of its change."""
    account = Account()
    account.trigger()
    account.archive(*entries, body=body)
    return account


def diagnosed(account: Account, remediation: S3TriggerStuck = STUCK, target: Target = TARGET) -> Diagnosis:
    """What is found out about it."""
    account.target = target
    return remediation.diagnose(Eyes(account), target, FINDING)


def planned(account: Account, remediation: S3TriggerStuck = STUCK) -> tuple[Plan, Step]:
    """The plan, and its one step."""
    plan = remediation.plan(diagnosed(account, remediation))
    [step] = plan.steps
    return plan, step


def applied(account: Account, plan: Plan, step: Step) -> Hand:
    """Carry it out."""
    hand = Hand(account, step)
    STUCK.apply(hand, plan, step)
    return hand


def call(step: Step, operation: str) -> Call:
    """The last call of that operation."""
    return [each for each in step.calls if each.operation == operation][-1]


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_trigger_is_stuck_after_a_quarter_of_an_hour() -> None:
    """Sick by its age, worse after an hour; told by customer, also where a key is no customer's."""
    account = Account()
    account.trigger(at=NOW - timedelta(minutes=15))
    assert isinstance(STUCK.detect(TARGET, account.readings()), Healthy)
    account.trigger(at=NOW - timedelta(minutes=16))
    account.trigger("customers/we ird/CHG-1.json", at=NOW - timedelta(minutes=17))
    seen = STUCK.detect(TARGET, account.readings())
    assert isinstance(seen, Sick)
    assert (seen.finding.severity, seen.finding.evidence) == (Severity.SEV3, ("?: 1", "hts: 1"))
    assert "2 triggers" in seen.finding.symptom
    account.trigger(at=NOW - timedelta(minutes=61))
    seen = STUCK.detect(TARGET, account.readings())
    assert isinstance(seen, Sick)
    assert seen.finding.severity is Severity.SEV2


def test_what_cannot_be_listed_is_unknown() -> None:
    """Not read, not there, not understood, not all of it, or not configured: never healthy."""
    account = Account()
    assert STUCK.watch(TARGET) == (LISTING,) == STUCK.examine(TARGET)
    bare = Target(BUCKET, "changes")
    nothing: Queries = ()
    assert STUCK.watch(bare) == nothing
    assert not STUCK.takes(bare)
    assert isinstance(STUCK.detect(bare, account.readings()), Unknown)
    for listing in (Unread("denied"), None, {"Oldest": ()}, {"Count": 0, "Oldest": (1,), "Truncated": False}):
        account.listing = listing
        assert isinstance(STUCK.detect(TARGET, account.readings()), Unknown), listing
    account.listing = {"Count": 10_000, "Oldest": (), "Truncated": True}
    assert isinstance(STUCK.detect(TARGET, account.readings()), Unknown)


# -- proof -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entries, target",
    [
        ([entry()], TARGET),
        ([entry("other"), entry(at="2026-11-01T00:00:00Z"), entry()], TARGET),
        ([entry(at=iso(OLD))], TARGET),
        ([entry(at="2026-11-19T03:21:00.5+01:00")], TARGET),
        ([entry()], ALONE),
    ],
    ids=["one", "among others", "the same second", "another zone", "the only customer"],
)
def test_an_entry_for_this_customer_since_the_trigger_was_written_is_proof(
    entries: list[object], target: Target
) -> None:
    """Then it is planned to be deleted, by name and with its version, and nothing is planned to be sent."""
    diagnosis = diagnosed(stuck(*entries), target=target)
    assert [each["key"] for each in diagnosis.facts["delete"]] == [KEY]
    assert diagnosis.facts["send"] == []
    [step] = STUCK.plan(diagnosis).steps
    assert call(step, "DeleteObject").params["IfMatch"] == etag(b"{}")
    assert all(each.operation != "SendMessage" for each in step.calls)
    assert STUCK.plan(diagnosis).hash == STUCK.plan(diagnosis).hash


def test_the_only_customer_needs_no_name_in_an_entry() -> None:
    """Where a bucket serves one, every entry is that one's; where it serves two, nobody can tell."""
    nameless = S3TriggerStuck(timestamp_field="timestamp", idempotent=True)
    anonymous = {"modificationType": "processed", "timestamp": iso(NOW)}
    assert diagnosed(stuck(anonymous), nameless, ALONE).facts["delete"]
    assert "does not say where" in diagnosed(stuck(anonymous), nameless).cause


@pytest.mark.parametrize(
    "entries",
    [
        [entry(None)],
        [entry("")],
        [entry("HTS")],
        [entry(at=7)],
        [entry(at="yesterday")],
        [entry(at="2026-11-19T02:30:00")],
        [entry(at="0001-01-01T00:00:00+14:00")],
        [entry(at=iso(NOW + timedelta(minutes=5)))],
        [entry(at=iso(OLD - timedelta(minutes=4)))],
        [entry(kind=None)],
    ],
    ids=["whose", "nobody's", "case", "no text", "no time", "no zone", "no year", "to come", "just before", "which"],
)
def test_an_entry_that_may_be_about_it_is_neither_proof_nor_leave_to_send(entries: list[object]) -> None:
    """What can be read in two ways is for a person."""
    diagnosis = diagnosed(stuck(*entries))
    assert diagnosis.advice
    assert "may or may not be about it" in diagnosis.cause


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"modifications": {}}', b'{"modifications": [1]}'])
def test_an_archive_that_cannot_be_read_is_for_a_person(body: bytes) -> None:
    """It is to be restored first."""
    [advice] = diagnosed(stuck(body=body)).advice
    assert "Restore" in advice


def test_an_archive_that_is_not_there_or_not_readable_is_for_a_person() -> None:
    """The same; but where AWS itself is not to be understood, it is asked again later."""
    account = Account()
    account.trigger()
    assert "no object for its change" in diagnosed(account).cause
    account.fails["GetObject"] = Rejected("s3:GetObject", "InvalidObjectState")
    assert "InvalidObjectState" in diagnosed(account).cause
    account.fails["GetObject"] = Unreadable("s3:GetObject", "SlowDown")
    with pytest.raises(Unreadable):
        diagnosed(account)


def test_an_odd_key_or_an_unknown_customer_is_for_a_person() -> None:
    """What IAM could read as a pattern, and who has no queue: never acted on."""
    account = Account()
    account.trigger("customers/hts/CHG*.json")
    account.trigger("customers/nobody/CHG-1.json")
    assert "2 triggers: no customer of that name" in diagnosed(account).cause


@pytest.mark.parametrize("entries", [[], [entry("other")], [entry(at="2026-11-19T02:00:00Z")], [entry(kind="created")]])
def test_without_an_entry_it_is_sent_once_more(entries: list[object]) -> None:
    """None, another customer's, one from long before, or one about something else: nobody has processed it."""
    diagnosis = diagnosed(stuck(*entries))
    assert [each["key"] for each in diagnosis.facts["send"]] == [KEY]
    assert diagnosis.facts["delete"] == []


# -- whose it is -------------------------------------------------------------------------------------------------------


def refused(account: Account) -> Refused:
    """Why it is not acted on."""
    with pytest.raises(Refused) as error:
        diagnosed(account)
    return error.value


@pytest.mark.parametrize(
    "queue, dead, guard, link",
    [
        (attributes(visible=2), None, "consumer", HTS.consumer),
        (attributes(hidden=2), None, "consumer", HTS.consumer),
        (attributes(), attributes(visible=1), "dead-letters", HTS.dead_letters),
        (attributes(), attributes(hidden=1), "dead-letters", HTS.dead_letters),
        (attributes(), Unread("denied"), "dead-letters", HTS.dead_letters),
        (Unread("denied"), None, "in-flight", None),
        ({"ApproximateNumberOfMessages": "0"}, None, "in-flight", None),
    ],
)
def test_what_waits_or_died_is_left_to_the_incident_of_its_cause(
    queue: Any, dead: Any, guard: str, link: Arn | None
) -> None:
    """Later, and linked to what must be well first."""
    account = stuck()
    account.queues = {HTS.queue: queue} | ({HTS.dead_letters: dead} if dead is not None else {})
    error = refused(account)
    assert (error.guard, error.link) == (guard, str(link) if link else None)
    assert error.retry_after


@pytest.mark.parametrize("policy", ['{"maxReceiveCount": "100"}', "{", "[]", '{"maxReceiveCount": "x"}', "{}"])
def test_what_may_still_be_under_way_is_left_alone_though_it_was_processed(policy: str) -> None:
    """Until its message would be a dead letter, the longest where that cannot be told; then it is as any other."""
    account = stuck(entry())
    account.queues[HTS.queue] = attributes(hidden=1, RedrivePolicy=policy)
    assert refused(account).guard == "in-flight"
    account.queues[HTS.queue] = attributes(hidden=1)
    assert diagnosed(account).facts["delete"]


def test_queues_must_have_been_empty_for_a_while() -> None:
    """Each of the last minutes, in both; a queue that reports nothing is asleep and empty."""
    account = stuck()
    for queue in (HTS.queue, HTS.dead_letters):
        for which in ("Visible", "NotVisible"):
            account.metrics = {(queue.name, f"ApproximateNumberOfMessages{which}"): [0.0, 1.0, 0.0, 0.0, 0.0]}
            assert "was not empty" in refused(account).reason
    account.metrics = {(HTS.queue.name, "ApproximateNumberOfMessagesVisible"): [0.0] * 5}
    assert diagnosed(account).facts["send"]
    account.metrics = {(HTS.queue.name, "ApproximateNumberOfMessagesVisible"): Unread("throttled")}
    with pytest.raises(Unreadable):
        diagnosed(account)


@pytest.mark.parametrize(
    "told",
    [
        [],
        [notification(OTHER.queue)],
        [notification(prefix="customers/other/")],
        [notification(Events=["s3:ObjectRemoved:*"])],
        [notification(Filter={"Key": {"FilterRules": [{"Name": "suffix", "Value": ".xml"}]}})],
        [notification(Filter={"Key": {"FilterRules": [{"Name": "tag", "Value": "x"}]}})],
    ],
)
def test_what_the_bucket_does_not_tell_is_not_told_by_us(told: list[dict[str, Any]]) -> None:
    """The notification must be mended first."""
    account = stuck()
    account.told = told
    assert "does not tell hts" in diagnosed(account).cause


def test_a_bucket_may_tell_of_puts_alone_and_without_a_filter() -> None:
    """Both are ways to tell of a trigger that is put."""
    account = stuck()
    account.told = [notification(OTHER.queue), {"QueueArn": str(HTS.queue), "Events": ["s3:ObjectCreated:Put"]}]
    assert diagnosed(account).facts["send"]


def test_reasons_not_to_send_again() -> None:
    """Too old, a queue with a key of its own, sent before, and a consumer that may mail twice."""
    account = stuck()
    account.queues[HTS.queue] = attributes(MessageRetentionPeriod="600")
    assert "older than hts keeps" in diagnosed(account).cause
    account.queues[HTS.queue] = attributes(KmsMasterKeyId="arn:aws:kms:x:1:key/y")
    assert "a key of its own" in diagnosed(account).cause
    account.queues[HTS.queue] = attributes(KmsMasterKeyId="alias/aws/sqs")
    assert diagnosed(account).facts["send"]
    careful = STUCK.model_copy(update={"idempotent": False})
    diagnosis = diagnosed(account, careful)
    assert "may be told twice" in diagnosis.cause
    assert diagnosis.advice[0].startswith("Set idempotent = true")
    account.target = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Eyes, "target", lambda *_: None)
        assert "sent again before" in diagnosed(account).cause
    plan, step = planned(account)
    applied(account, plan, step)
    assert "sent again before" in diagnosed(account).cause


def test_what_may_have_been_set_apart_is_not_sent_again() -> None:
    """A letter that was poison is in no queue: one of this customer's, since the trigger was written, may be it."""
    account = stuck()
    account.apart["letters/other-dlq/a.json"] = NOW
    account.apart["letters/hts-dlq/a.json"] = OLD - timedelta(seconds=1)
    assert diagnosed(account).facts["send"]
    account.apart["letters/hts-dlq/b.json"] = OLD
    diagnosis = diagnosed(account)
    assert "1 letters of hts-dlq were set apart since" in diagnosis.cause
    assert "s3://quarantine/letters/hts-dlq/" in diagnosis.advice[0]
    account.apart = {f"letters/hts-dlq/{n}.json": OLD - timedelta(days=1) for n in range(1001)}
    assert "more than 1000 letters" in diagnosed(account).cause
    account.fails["ListObjectsV2"] = Unreadable("s3:ListBucket", "SlowDown")
    with pytest.raises(Unreadable):
        diagnosed(account)


def test_nothing_is_diagnosed_of_what_is_not_there() -> None:
    """Gone, unread, or a target without triggers."""
    account = Account()
    assert "no trigger is stuck any more" in refused(account).reason
    for listing in (None, Unread("denied")):
        account.listing = listing
        with pytest.raises(Unreadable):
            diagnosed(account)
    with pytest.raises(Refused):
        diagnosed(account, target=Target(BUCKET, "changes"))


def test_what_is_proven_comes_first_and_the_others_are_told_of() -> None:
    """Deletes before sends; what waits is an alternative that was seen; one plan names so many and no more."""
    account = stuck(entry())
    for number in range(2, 6):
        account.trigger(f"customers/hts/CHG-{number}.json", at=OLD + timedelta(seconds=number))
        account.archive(*([entry()] if number < 5 else []), change=f"CHG-{number}")
    account.trigger("customers/other/CHG-1.json")
    account.queues[OTHER.queue] = attributes(visible=1)
    diagnosis = diagnosed(account, STUCK.model_copy(update={"batch": 2}))
    assert [each["change"] for each in diagnosis.facts["delete"]] == ["CHG-1", "CHG-2"]
    assert diagnosis.facts["send"] == []
    assert [each.cause for each in diagnosis.rejected] == ["its message waits in the queue"]
    long = "x" * 190
    for number in range(10):
        account.trigger(f"customers/hts/{long}{number}.json", at=OLD - timedelta(minutes=1))
        account.archive(entry(), change=f"{long}{number}")
    keys = [each["key"] for each in diagnosed(account).facts["delete"]]
    assert sum(long in key for key in keys) == 2  # no more of them fit into a session's policy
    assert sum(map(len, keys)) <= 490


def test_the_longest_plan_of_the_longest_bucket_fits_into_a_session() -> None:
    """STS takes 2,048 characters; a bucket's name may have 63, and stands in the policy with each key."""
    account = Account()
    for number in range(10):
        change = f"CHG-{number:0>26}"
        account.trigger(f"customers/hts/{change}.json", at=OLD + timedelta(seconds=number))
        account.archive(entry(), change=change)
    found = diagnosed(account)
    assert len(found.facts["delete"]) == 10
    key = "arn:aws:kms:ap-southeast-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    longest = {"bucket": f"arn:aws:s3:::{'b' * 63}", "quarantine": "q" * 63, "key": key}
    [step] = STUCK.plan(replace(found, facts={**found.facts, **longest})).steps
    assert len(session_policy(step.calls)) <= POLICY_LIMIT


# -- acting ------------------------------------------------------------------------------------------------------------


def test_a_trigger_is_stored_before_it_is_deleted() -> None:
    """As it was, under a name that says what it was."""
    account = stuck(entry())
    plan, step = planned(account)
    hand = applied(account, plan, step)
    assert KEY not in account.objects
    [(name, body)] = account.stored.items()
    assert (name.startswith(f"triggers/metadata/{KEY}/{OLD.isoformat()}-"), body) == (True, b"{}")
    assert [each.operation for each in hand.made] == ["GetObject", "GetObject", "PutObject", "DeleteObject"]
    assert STUCK.effect(call(step, "DeleteObject"), {"VersionId": "v"}) == {"deleted": True, "delete_marker": "v"}
    assert STUCK.effect(call(step, "DeleteObject"), {}) == {"deleted": True}
    assert STUCK.effect(call(step, "GetObject"), {}) == {}
    assert STUCK.progress(Eyes(account), plan, step, {})[0] is Progress.NEXT
    assert "processed again" in plan.undo_by_hand


def changed(account: Account, how: str) -> None:
    """What somebody does between the look and the deed."""
    match how:
        case "gone":
            del account.objects[KEY]
        case "another content":
            account.trigger(body=b'{"again": 1}', at=NOW)
        case "the same content":
            account.trigger(at=NOW)
        case "no archive":
            del account.objects["archive/CHG-1.json"]
        case "another archive":
            account.archive(entry("HTS"))


@pytest.mark.parametrize("entries", [[entry()], []], ids=["delete", "send"])
@pytest.mark.parametrize("how", ["gone", "another content", "the same content", "no archive", "another archive"])
def test_what_is_no_longer_as_it_was_judged_is_left(entries: list[object], how: str) -> None:
    """It is read once more before anything is done, and the archive too; where all changed, the attempt says so."""
    account = stuck(*entries)
    plan, step = planned(account)
    changed(account, how)
    objects = dict(account.objects)
    with pytest.raises(Refused):
        applied(account, plan, step)
    assert (account.objects, account.sent, account.stored) == (objects, [], {})


def test_what_was_processed_meanwhile_is_not_sent() -> None:
    """The consumer was quicker than we."""
    account = stuck()
    plan, step = planned(account)
    account.archive(entry())
    with pytest.raises(Refused):
        applied(account, plan, step)
    assert account.sent == []


@pytest.mark.parametrize(
    "error",
    [Missing("s3:DeleteObject", "NoSuchKey"), Rejected("s3:DeleteObject", "PreconditionFailed")],
    ids=["gone", "changed"],
)
def test_a_delete_that_is_too_late_is_nothing(error: Exception) -> None:
    """Somebody was quicker, or has written it anew: the one is done, the other is another trigger."""
    account = stuck(entry())
    plan, step = planned(account)
    account.fails["act DeleteObject"] = error
    with pytest.raises(Refused):
        applied(account, plan, step)


@pytest.mark.parametrize("operation", ["GetObject", "DeleteObject"])
def test_what_aws_refuses_for_another_reason_is_told(operation: str) -> None:
    """It is not taken for a change."""
    account = stuck(entry())
    plan, step = planned(account)
    account.fails[f"act {operation}"] = Rejected(f"s3:{operation}", "InvalidRequest")
    with pytest.raises(Rejected):
        applied(account, plan, step)


def test_a_trigger_is_sent_in_s3s_own_words() -> None:
    """To its customer's queue, as the notification that was lost."""
    account = stuck()
    plan, step = planned(account)
    hand = applied(account, plan, step)
    [message] = account.sent
    assert message["queue"] == str(HTS.queue)
    [record] = message["Records"]
    assert (record["eventSource"], record["eventName"]) == ("aws:s3", "ObjectCreated:Put")
    assert record["eventTime"] == "2026-11-19T02:20:00.000Z"
    assert record["s3"]["bucket"] == {"name": "metadata", "arn": str(BUCKET)}
    assert record["s3"]["object"]["key"] == KEY
    assert record["s3"]["object"]["eTag"] == etag(b"{}").strip('"')
    assert hand.scratch["sent"] == NOW.isoformat()
    assert KEY in account.objects
    with pytest.raises(Refused):  # the same step again, as after a crash
        applied(account, plan, step)
    assert len(account.sent) == 1


@pytest.mark.parametrize(
    "error, noted",
    [
        (Ambiguous("sqs:SendMessage", "ReadTimeoutError"), 1),
        (Fenced("i"), 1),
        (Undeclared("x"), 1),
        (Denied("sqs:SendMessage", "AccessDenied"), 0),
        (Missing("sqs:SendMessage", "QueueDoesNotExist"), 0),
        (Rejected("sqs:SendMessage", "InvalidMessageContents"), 0),
        (Stopped("paused"), 0),
    ],
)
def test_only_what_was_certainly_not_sent_may_be_sent_again(error: Exception, noted: int) -> None:
    """The note stands wherever the message may have arrived."""
    account = stuck()
    plan, step = planned(account)
    account.fails["act SendMessage"] = error
    with pytest.raises(type(error)):
        applied(account, plan, step)
    assert sum(account.memory.values()) == noted


def test_only_so_many_are_sent_in_an_attempt() -> None:
    """One first, if nobody has said more; to each its own queue."""
    account = stuck()
    account.trigger("customers/other/CHG-1.json")
    account.told.append(notification(OTHER.queue, "customers/other/"))
    assert len(diagnosed(account).facts["send"]) == 1
    plan, step = planned(account, STUCK.model_copy(update={"resend": 3}))
    applied(account, plan, step)
    assert sorted(each["queue"] for each in account.sent) == [str(HTS.queue), str(OTHER.queue)]
    assert all(each["Records"][0]["s3"]["object"]["key"].split("/")[1] in each["queue"] for each in account.sent)


# -- how it goes -------------------------------------------------------------------------------------------------------


def test_a_delete_that_did_not_happen_ends_the_attempt() -> None:
    """It still stands as it was."""
    account = stuck(entry())
    plan, step = planned(account)
    assert STUCK.progress(Eyes(account), plan, step, {})[0] is Progress.STOP
    account.trigger(at=NOW)  # written anew: another trigger
    assert STUCK.progress(Eyes(account), plan, step, {})[0] is Progress.NEXT


def test_what_was_sent_again_has_its_time() -> None:
    """Until the consumer should have processed it; where the note of when is lost, until the deadline."""
    account = stuck()
    plan, step = planned(account)
    sent = {"sent": NOW.isoformat()}
    account.now = NOW + timedelta(minutes=19)
    assert STUCK.progress(Eyes(account), plan, step, sent)[0] is Progress.WAIT
    account.now = NOW + timedelta(minutes=20)
    assert STUCK.progress(Eyes(account), plan, step, sent)[0] is Progress.STOP
    assert STUCK.progress(Eyes(account), plan, step, {})[0] is Progress.WAIT
    del account.objects[KEY]
    assert STUCK.progress(Eyes(account), plan, step, sent)[0] is Progress.NEXT


def test_what_is_encrypted_with_a_key_is_read_with_it_and_no_other() -> None:
    """Whoever deletes or sends reads first, the trigger and what the archive says of it; nobody writes there."""
    account, key = stuck(entry()), "arn:aws:kms:eu-central-1:123456789012:key/of-the-bucket"
    keyed = replace(TARGET, triggers=replace(TRIGGERS, key=Arn.parse(key)))
    [step] = STUCK.plan(STUCK.diagnose(Eyes(account), keyed, FINDING)).steps
    for each in step.calls:
        assert (("kms:Decrypt", key) in each.grants) is (each.operation == "GetObject")
    assert {action for each in step.calls for action, _ in each.grants} == set(STUCK.delegates)
    assert {grant for each in planned(account)[1].calls for grant in each.grants} == {("s3:ListBucket", str(BUCKET))}


def test_what_was_found_before_keys_were_asked_for_is_planned_all_the_same() -> None:
    """A record that is open while Nightshift is deployed anew has no word of them."""
    found = diagnosed(stuck(entry()))
    before = {name: value for name, value in found.facts.items() if name != "key"}
    assert STUCK.plan(replace(found, facts=before)) == STUCK.plan(found)


def test_what_became_of_a_delete_shows() -> None:
    """Gone is done; as it was is not done, once it would have landed; written anew cannot be told."""
    account = stuck(entry())
    plan, step = planned(account)
    delete = call(step, "DeleteObject")
    account.fails["act DeleteObject"] = Ambiguous("s3:DeleteObject", "InternalError")
    with pytest.raises(Ambiguous):
        applied(account, plan, step)

    def found(since: datetime) -> Outcome:
        return STUCK.reconcile(Eyes(account), delete, since)

    assert found(NOW) is Outcome.UNKNOWN
    assert found(NOW - timedelta(minutes=2)) is Outcome.NOT_DONE
    account.trigger(at=NOW)
    assert found(NOW - timedelta(minutes=2)) is Outcome.UNKNOWN
    del account.objects[KEY]
    assert found(NOW) is Outcome.DONE
    assert STUCK.reconcile(Eyes(account), call(step, "GetObject"), NOW) is Outcome.NOT_DONE
    assert STUCK.reconcile(Eyes(account), call(step, "PutObject"), NOW) is Outcome.UNKNOWN


def test_what_was_not_noted_before_it_was_deleted_somebody_else_deleted() -> None:
    """It need not be stored, so no report may say that it is. Of what is registered no more nobody knows."""
    account = stuck(entry())
    _, step = planned(account)
    delete = call(step, "DeleteObject")
    del account.objects[KEY]
    assert STUCK.reconcile(Eyes(account), delete, NOW - timedelta(minutes=2)) is Outcome.NOT_DONE
    account.target = None
    assert STUCK.reconcile(Eyes(account), delete, NOW - timedelta(minutes=2)) is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "error", [Missing("s3:DeleteObject", "NoSuchKey"), Rejected("s3:DeleteObject", "PreconditionFailed")]
)
def test_what_was_not_deleted_for_certain_is_not_noted(error: Exception) -> None:
    """Somebody was quicker, or has written it anew: whoever deletes it afterwards is not us."""
    account = stuck(entry())
    plan, step = planned(account)
    account.fails["act DeleteObject"] = error
    with pytest.raises(Refused):
        applied(account, plan, step)
    assert not any(account.memory.values())


def test_what_became_of_a_send_does_not_show_but_what_was_not_noted_was_not_sent() -> None:
    """The note comes first."""
    account = stuck()
    plan, step = planned(account)
    send = call(step, "SendMessage")
    assert STUCK.reconcile(Eyes(account), send, NOW) is Outcome.NOT_DONE
    applied(account, plan, step)
    assert STUCK.reconcile(Eyes(account), send, NOW) is Outcome.UNKNOWN
    account.memory.clear()
    account.target = None
    assert STUCK.reconcile(Eyes(account), send, NOW) is Outcome.UNKNOWN
