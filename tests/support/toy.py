"""
One queue under care, and what it takes to work on it: a toy remediation, a clock, an account in this process.

The queue is sick while its messages are delayed (``DelaySeconds`` is not 0). The cure sets attributes; what it really
does to the queue is up to the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar
from unittest.mock import patch

import boto3
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from nightshift.acting import Acting
from nightshift.aws import Aws, Serial
from nightshift.calendar import Calendar
from nightshift.config import Limits, Notify, Policy, Storm
from nightshift.engine import Engine
from nightshift.errors import Refused
from nightshift.incidents import Incidents
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Json,
    Ledger,
    Mode,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Sick,
    Step,
    SwitchState,
    Target,
    Unknown,
)
from nightshift.notify import Notifier
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import queue_url
from nightshift.sweep import Sweep
from pydantic import PositiveInt

REGION = "eu-west-1"
ACCOUNT = "123456789012"
START = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
TABLE = "nightshift"
QUARANTINE = "nightshift-quarantine"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/nightshift/test-{REGION}-"
MINUTE = timedelta(minutes=1)


class Clock:
    """The time, as the test has it."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, duration: timedelta) -> None:
        """Let time go by."""
        self.now += duration


def queue_arn(name: str) -> str:
    """The ARN of a queue of this account."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


class Toy(Remediation):
    """Messages are delayed: set the delay back."""

    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "Messages are delayed"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
    reads: ClassVar[tuple[str, ...]] = ("sqs:GetQueueAttributes",)
    writes: ClassVar[tuple[str, ...]] = ("sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue")
    sets: ClassVar[tuple[str, ...]] = ("DelaySeconds", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout")

    mode: Mode = Mode.AUTO
    confirm: PositiveInt = 1
    looks: PositiveInt = 1
    patience: timedelta = timedelta(minutes=5)
    settle: timedelta = timedelta(minutes=1)
    cooldown: timedelta = timedelta(minutes=10)
    cures: bool = True
    """whether the cure helps"""
    lease: timedelta | None = None
    """how long the queue's visibility timeout is raised"""
    steps: PositiveInt = 1
    """how many steps a plan has: each tags the queue, the last one cures it"""
    undoes: bool = False
    """whether each step can be taken back"""
    calls: PositiveInt = 1
    """how many calls the last step makes before the one that cures"""
    refuses: str = ""
    """a guard that the diagnosis speaks for"""
    dollars: float | None = 0.0
    """what an hour of it costs"""
    advises: tuple[str, ...] = ()
    """what the diagnosis says that people should do"""

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("sqs.queue", str(target.arn)),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        queue = seen.resource(ResourceRead("sqs.queue", str(target.arn)))
        if isinstance(queue, Unread):
            return Unknown(queue.reason)
        if queue is None:
            return Unknown("the queue is gone")
        delay = int(queue["DelaySeconds"])
        if delay == 0:
            return Healthy("messages are not delayed")
        return Sick(Finding(self.name, str(target.arn), f"messages are delayed by {delay} s"))

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        if self.refuses:
            raise Refused(self.refuses, "the diagnosis says no")
        queue = self._queue(read, str(target.arn))
        facts = {"delay": queue["DelaySeconds"]}
        if not self.cures:  # each application leaves its mark
            facts["wait"] = str(int(queue["ReceiveMessageWaitTimeSeconds"]) + 1)
        return Diagnosis(str(target.arn), "somebody delayed them", ("since Monday",), facts=facts, advice=self.advises)

    def plan(self, diagnosis: Diagnosis) -> Plan:
        arn = diagnosis.target
        steps = [self._step(arn, number, diagnosis.facts) for number in range(self.steps)]
        return Plan(
            self.name,
            arn,
            "set the delay to 0",
            tuple(steps),
            risk="none",
            undo_by_hand="aws sqs …",
            cost_per_hour=self.dollars,
            lease=self.lease,
        )

    def _step(self, arn: str, number: int, facts: Mapping[str, Json]) -> Step:
        last = number == self.steps - 1
        url = queue_url(Arn.parse(arn))
        tags = [tag(arn, f"step-{number}-{extra}", "yes") for extra in range(self.calls - last)]
        undo: tuple[Call, ...] = ()
        if self.undoes:
            undo = (Call("sqs", "UntagQueue", arn, {"QueueUrl": url, "TagKeys": [f"step-{number}-0"]}, stops=True),)
        if last:
            after = {"DelaySeconds": "0"} if self.cures else {"ReceiveMessageWaitTimeSeconds": facts["wait"]}
            if self.lease is not None:
                after["VisibilityTimeout"] = "99"
                undo += (change(arn, {"VisibilityTimeout": "30"}, {"VisibilityTimeout": "99"}, stops=True),)
            tags.append(change(arn, after, {"DelaySeconds": facts["delay"]}))
        return Step(f"step-{number}", tuple(tags), self.settle, undo)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return dict(call.params.get("Attributes", {}))

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        if call.operation != "SetQueueAttributes":
            return Outcome.UNKNOWN
        queue = self._queue(read, call.resource)
        if call.params["Attributes"].items() <= queue.items():
            return Outcome.DONE
        return Outcome.NOT_DONE if call.before.items() <= queue.items() else Outcome.UNKNOWN

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        if self.lease is None:
            return True
        return bool(self._queue(read, plan.target)["VisibilityTimeout"] == "99")

    def _queue(self, read: Reader, arn: str) -> Mapping[str, str]:
        url = queue_url(Arn.parse(arn))
        answer = read("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
        queue: Mapping[str, str] = answer["Attributes"]
        return queue


class Moody(Toy):
    """A toy whose steps do as the test says."""

    name: ClassVar[str] = "moody"
    says: ClassVar[list[Progress]] = []
    """what :meth:`progress` answers, in order; the last answer is repeated"""
    ledger: ClassVar[Ledger | None] = None

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return said, f"it says {said.value}", self.ledger


def tag(arn: str, key: str, value: str, **more: Any) -> Call:
    """A call that tags a queue."""
    return Call("sqs", "TagQueue", arn, {"QueueUrl": queue_url(Arn.parse(arn)), "Tags": {key: value}}, **more)


def change(arn: str, after: Mapping[str, str], before: Mapping[str, str], *, stops: bool = False) -> Call:
    """A call that sets attributes of a queue."""
    params = {"QueueUrl": queue_url(Arn.parse(arn)), "Attributes": dict(after)}
    return Call("sqs", "SetQueueAttributes", arn, params, before=before, stops=stops)


def policy(
    targets: Sequence[Target], remediations: Sequence[Remediation], *, limits: Limits | None = None, **more: Any
) -> Policy:
    """A policy of these."""
    return Policy(
        name="test",
        account=ACCOUNT,
        region=REGION,
        notify=Notify(emails=("oncall@example.com",)),
        limits=limits or Limits(),
        storm=more.pop("storm", Storm()),
        calendar=more.pop("calendar", Calendar()),
        severities=more.pop("severities", {}),
        escalation=more.pop("escalation", ()),
        targets=tuple(targets),
        remediations={each.name: each for each in remediations},
    )


# -- an AWS account in this process ------------------------------------------------------------------------------------


class Crash(BaseException):
    """The function's execution environment is gone."""


class Wire:
    """
    Everything that goes over the wire, in order, and what a test does to it.

    ``rules`` are asked before and after each call; whatever they raise is raised there.
    """

    WRITES: ClassVar[frozenset[str]] = frozenset({"SetQueueAttributes", "TagQueue", "UntagQueue"})

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.before: list[Callable[[str, dict[str, Any]], None]] = []
        self.after: list[Callable[[str, dict[str, Any]], None]] = []
        self._original = BaseClient._make_api_call
        self._deaf = False

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """What happens meanwhile is somebody else's doing."""
        self._deaf = True
        yield
        self._deaf = False

    def __call__(self, client: Any, operation: str, params: dict[str, Any]) -> Any:
        if self._deaf:
            return self._original(client, operation, params)
        name = f"{client.meta.service_model.service_name}:{operation}"
        for rule in tuple(self.before):
            rule(name, params)
        self.calls.append((name, params))
        answer = self._original(client, operation, params)
        for rule in tuple(self.after):
            rule(name, params)
        return answer

    @contextmanager
    def listening(self) -> Iterator[Wire]:
        """Sit between boto3 and AWS."""
        wire = self

        def _make_api_call(client: Any, operation: str, params: dict[str, Any]) -> Any:
            return wire(client, operation, params)

        with patch.object(BaseClient, "_make_api_call", _make_api_call):
            yield self

    def made(self, *names: str) -> list[tuple[str, dict[str, Any]]]:
        """The calls of these names that were made."""
        return [call for call in self.calls if call[0] in names]

    @property
    def written(self) -> list[str]:
        """What was changed at targets."""
        return [name for name, _ in self.calls if name.partition(":")[2] in self.WRITES]

    def fail(self, name: str, code: str, *, status: int = 400, times: int = 1) -> None:
        """Let AWS refuse the next calls of that name."""
        left = [times]

        def rule(called: str, params: dict[str, Any]) -> None:
            if called == name and left[0]:
                left[0] -= 1
                response = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
                raise ClientError(response, called.partition(":")[2])

        self.before.append(rule)

    def lose(self, name: str, error: BaseException) -> None:
        """Let the next call of that name have its effect and lose its answer."""
        left = [1]

        def rule(called: str, params: dict[str, Any]) -> None:
            if called == name and left[0]:
                left[0] = 0
                raise error

        self.after.append(rule)


@lru_cache(maxsize=1)
def shared_session() -> boto3.Session:
    """Making a client costs more than a whole tick: one session, one client a service, for all tests."""
    return boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", aws_session_token="testing", region_name=REGION
    )


@lru_cache(maxsize=1)
def shared_aws() -> Aws:
    """Its clients are made once and serve every test: moto answers whoever asks."""
    return Aws(REGION, session=shared_session(), run=Serial())


def make_table(aws: Aws) -> None:
    """The incident table, as the stack makes it."""
    key = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    due = [{"AttributeName": "due_shard", "KeyType": "HASH"}, {"AttributeName": "due_at", "KeyType": "RANGE"}]
    aws.client("dynamodb").create_table(
        TableName=TABLE,
        KeySchema=key,
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "due_shard", "due_at")
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": due,
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["state", "incident", "count"]},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )


class Account:
    """The account, Nightshift in it, and the queues it takes care of."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.clock = Clock()
        self.aws = shared_aws()
        make_table(self.aws)
        self.topic = self.aws.client("sns").create_topic(Name="reports")["TopicArn"]
        self.mail = self.aws.client("sqs").create_queue(QueueName="mail")["QueueUrl"]
        self.aws.client("sns").subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=queue_arn("mail"), Attributes={"RawMessageDelivery": "true"}
        )
        self.aws.client("s3").create_bucket(Bucket=QUARANTINE, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.incidents = Incidents(self.aws, TABLE)
        self.incidents.set_switch(SwitchState.ON, reason="testing", by="me", now=self.clock())

    # -- what is in the account --

    def queue(self, name: str, *, delay: int = 0, tags: Mapping[str, str] | None = None, **more: Any) -> Target:
        """A queue under care; ``delay`` makes it sick."""
        self.aws.client("sqs").create_queue(
            QueueName=name,
            Attributes={"DelaySeconds": str(delay), "VisibilityTimeout": "30"},
            tags={"auto-remediation": "enabled"} if tags is None else dict(tags),
        )
        return Target(Arn.parse(queue_arn(name)), more.pop("group", "system"), mode=more.pop("mode", Mode.AUTO), **more)

    def set(self, target: Target, **attributes: str) -> None:
        """Change the queue, as somebody else would."""
        with self.wire.unheard():
            self.aws.client("sqs").set_queue_attributes(QueueUrl=queue_url(target.arn), Attributes=attributes)

    def attribute(self, target: Target, name: str) -> str:
        """An attribute of the queue as it stands."""
        answer = self.aws.client("sqs").get_queue_attributes(QueueUrl=queue_url(target.arn), AttributeNames=[name])
        return str(answer["Attributes"][name])

    def mails(self) -> list[str]:
        """Everything that was told so far, since the last time this was asked."""
        found: list[str] = []
        while True:
            answer = self.aws.client("sqs").receive_message(QueueUrl=self.mail, MaxNumberOfMessages=10)
            messages = answer.get("Messages", [])
            if not messages:
                return found
            found += [message["Body"] for message in messages]
            for message in messages:
                self.aws.client("sqs").delete_message(QueueUrl=self.mail, ReceiptHandle=message["ReceiptHandle"])

    def switch(self, state: SwitchState) -> None:
        """Set the kill switch."""
        self.incidents.set_switch(state, reason="a test says so", by="me", now=self.clock())

    # -- Nightshift --

    def engine(self, policy: Policy) -> Engine:
        """The engine, as a function would make it."""
        acting = Acting(self.aws, self.incidents, role_prefix=ROLES, clock=self.clock)
        notifier = Notifier(self.aws, self.topic)
        return Engine(policy, self.aws, self.incidents, acting, notifier, quarantine=QUARANTINE, clock=self.clock)

    def sweep(self, policy: Policy) -> Sweep:
        """The sweep, as a function would make it."""
        notifier = Notifier(self.aws, self.topic)
        return Sweep(policy, self.aws, self.incidents, notifier, quarantine=QUARANTINE, clock=self.clock)


class Night:
    """One target, others like it, one remediation, and minutes that go by."""

    def __init__(
        self, account: Account, remediation: Remediation, target: Target, *others: Target, **more: Any
    ) -> None:
        self.account = account
        self.policy = policy([target, *others], [remediation], **more)
        self.target = target
        self.engine = account.engine(self.policy)
        self.sweep = account.sweep(self.policy)
        self.ids: list[str] = []

    def look(self) -> None:
        """One sweep, and whatever is due by then."""
        swept = self.sweep()
        self.ids += [each for each in swept.opened if each not in self.ids]
        for incident_id in self.account.incidents.open_ids():
            self.engine.tick(incident_id)

    def minutes(self, count: int = 1) -> None:
        """Let minutes go by, with a look after each."""
        for _ in range(count):
            self.account.clock.pass_(MINUTE)
            self.look()

    def until_closed(self, limit: int = 60) -> Incident:
        """Let minutes go by until nothing is open any more; the last incident."""
        for _ in range(limit):
            self.look()
            if not self.account.incidents.open_ids():
                return self.incident
            self.account.clock.pass_(MINUTE)
        raise AssertionError(f"still open after {limit} minutes: {self.incident}")

    @property
    def incident(self) -> Incident:
        """The newest incident."""
        found = self.account.incidents.get(self.ids[-1])
        assert found is not None
        return found

    def kinds(self) -> list[str]:
        """The kinds of the newest incident's events, in order."""
        return [event.kind for event in self.account.incidents.events(self.ids[-1])]


@contextmanager
def an_account() -> Iterator[Account]:
    """An empty account, with Nightshift in it."""
    from moto import mock_aws

    wire = Wire()
    with mock_aws(), wire.listening():
        yield Account(wire)
