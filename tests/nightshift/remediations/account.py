"""A small account: two queues, a service, a function, as a Reader and an Actor see them. No AWS, and its own clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from nightshift.errors import Undeclared
from nightshift.model import (
    Arn,
    Attempt,
    Call,
    Finding,
    Incident,
    Ledger,
    MetricQuery,
    Query,
    ResourceRead,
    Step,
    Target,
)
from nightshift.remediation import Memory, Readings, Remediation, Series, Unread

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
DLQ = Arn.parse("arn:aws:sqs:eu-central-1:123456789012:orders-dlq")
SOURCE = Arn.parse("arn:aws:sqs:eu-central-1:123456789012:orders")
SERVICE = Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/worker")
FUNCTION = Arn.parse("arn:aws:lambda:eu-central-1:123456789012:function:etl")
OLD = NOW - timedelta(hours=3)
BUCKET = "quarantine-bucket"


def letter(
    number: int, body: str = "", *, sent: datetime = OLD, source: Arn | None = SOURCE, **attributes: Any
) -> dict[str, Any]:
    """A message of the dead-letter queue, as ReceiveMessage gives it."""
    system = {"SentTimestamp": str(int(sent.timestamp() * 1000)), "ApproximateReceiveCount": "1"}
    if source is not None:
        system["DeadLetterQueueSourceArn"] = str(source)
    message = {
        "MessageId": f"m{number}",
        "ReceiptHandle": f"h{number}",
        "Body": body or f'{{"order": {number}}}',
        "Attributes": system,
    }
    if attributes:
        message["MessageAttributes"] = attributes
    return message


def text(value: str) -> dict[str, Any]:
    """A message attribute."""
    return {"DataType": "String", "StringValue": value, "StringListValues": []}


@dataclass
class Account:
    """What is there. ``fails`` raises in the place of a call; ``after`` runs once a call has had its effect."""

    now: datetime = NOW
    dead: list[dict[str, Any]] = field(default_factory=list)
    hidden: dict[str, dict[str, Any]] = field(default_factory=dict)
    home: list[dict[str, Any]] = field(default_factory=list)
    stored: dict[str, bytes] = field(default_factory=dict)
    attributes: dict[Arn, dict[str, Any] | Unread | None] = field(default_factory=dict)
    services: dict[Arn, dict[str, Any] | Unread | None] = field(default_factory=dict)
    metrics: dict[tuple[str, str], list[float] | Unread] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    registered: tuple[Target, ...] = ()
    memory: dict[str, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)
    after: dict[str, Callable[[], None]] = field(default_factory=dict)
    per_receive: int = 10
    accepts: int | None = 202  # what Lambda says of an event that it is given

    def __post_init__(self) -> None:
        policy = '{"deadLetterTargetArn": "x", "maxReceiveCount": "3"}'
        self.attributes.setdefault(
            SOURCE,
            {"ApproximateNumberOfMessages": "0", "VisibilityTimeout": "60", "RedrivePolicy": policy},
        )
        self.attributes.setdefault(DLQ, {"MessageRetentionPeriod": "1209600"})
        self.services.setdefault(SERVICE, service())
        self.answers.setdefault(
            "sqs:ListDeadLetterSourceQueues", ["https://sqs.eu-central-1.amazonaws.com/123456789012/orders"]
        )
        self.answers.setdefault("lambda:ListEventSourceMappings", [])
        self.metrics.setdefault(("orders", "NumberOfMessagesReceived"), [5.0] * 20)
        self.metrics.setdefault(("orders", "NumberOfMessagesDeleted"), [5.0] * 20)

    def queue(self, arn: Arn) -> Mapping[str, Any] | Unread | None:
        """A queue's attributes; those of the dead-letter queue follow from the letters in it."""
        found = self.attributes[arn]
        if arn != DLQ or not isinstance(found, dict):
            return found
        counts = {
            "ApproximateNumberOfMessages": str(len(self.dead)),
            "ApproximateNumberOfMessagesNotVisible": str(len(self.hidden)),
        }
        return {**counts, **found}

    def series(self, query: MetricQuery) -> Series | Unread:
        """A metric: its last value is that of two minutes ago."""
        name = query.dimensions[0][1]
        still = [float(len(self.dead))] * 20 if name == DLQ.name and query.metric.endswith("Visible") else []
        values = self.metrics.get((name, query.metric), still)
        if isinstance(values, Unread):
            return values
        end = self.now.replace(second=0, microsecond=0) - timedelta(minutes=2)
        start = end - timedelta(minutes=query.minutes)
        points = [(end - timedelta(minutes=ago), value) for ago, value in enumerate(reversed(values))]
        return Series(tuple(point for point in reversed(points) if point[0] > start))

    def receive(self, hide: int) -> list[dict[str, Any]]:
        """Some letters, hidden or not. What is not hidden goes to the end, as if others were asked next."""
        taken, self.dead = self.dead[: self.per_receive], self.dead[self.per_receive :]
        if hide:
            self.hidden |= {message["ReceiptHandle"]: message for message in taken}
        else:
            self.dead += taken
        return taken


class Eyes:
    """The Reader."""

    def __init__(self, account: Account, remediation: type[Remediation]) -> None:
        self.account = account
        self.declared = remediation.reads
        self.used: set[str] = set()
        self.looks = 0
        self.quarantine = BUCKET

    def _check(self, service: str, operation: str) -> str:
        action = Call(service, operation, "").action
        if action not in self.declared:
            raise Undeclared(action)
        self.used.add(action)
        if error := self.account.fails.get(action):
            raise error
        return action

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        action = self._check(service, operation)
        if action == "sqs:ReceiveMessage":
            assert (params["VisibilityTimeout"], params["WaitTimeSeconds"], params["MaxNumberOfMessages"]) == (0, 0, 10)
            self.looks += 1
            return {"Messages": self.account.receive(0)}
        if action == "sqs:ListMessageMoveTasks":
            return {"Results": self.account.tasks}
        answer = self.account.answers[action]
        found: dict[str, Any] = answer(**params) if callable(answer) else answer
        return found

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        yield from self.account.answers[self._check(service, operation)][:limit]

    def seen(self, *queries: Query) -> Readings:
        return Readings(self.account.now, {query: self._answer(query) for query in queries})

    def _answer(self, query: Query) -> Any:
        if isinstance(query, MetricQuery):
            return self.account.series(query)
        arn = Arn.parse(query.key)
        return self.account.queue(arn) if query.kind == "sqs.queue" else self.account.services[arn]

    def target(self, arn: str) -> Target | None:
        return next((each for each in self.account.registered if str(each.arn) == arn), None)

    def targets(self) -> tuple[Target, ...]:
        return self.account.registered

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        return {key: self.account.memory.get(key, 0) for key in keys}

    def now(self) -> datetime:
        return self.account.now


class Store:
    """The Memory."""

    def __init__(self, counters: dict[str, int]) -> None:
        self.counters = counters

    def get(self, key: str) -> int:
        return self.counters.get(key, 0)

    def recall(self, keys: Iterable[str]) -> None:
        """Nothing is gained by it here."""

    def add(self, key: str, amount: int = 1, *, limit: int | None = None) -> bool:
        if limit is not None and self.get(key) + amount > limit:
            return False
        self.counters[key] = self.get(key) + amount
        return True


class Hand:
    """The Actor: makes calls on the account, and refuses what the step does not allow."""

    def __init__(
        self,
        account: Account,
        step: Step,
        *,
        incident: str = "i1",
        began: tuple[datetime, ...] = (NOW,),
        ledger: Ledger | None = None,
        scratch: dict[str, Any] | None = None,
        seconds: float = 60.0,
    ) -> None:
        self.account = account
        self.step = step
        self.incident = Incident(
            id=incident,
            remediation="x",
            target=str(DLQ),
            group="g",
            opened_at=NOW,
            look_at=NOW,
            deadline=NOW + timedelta(hours=6),
            finding=Finding("x", str(DLQ), "s"),
            attempts=tuple(Attempt(number, "h", at) for number, at in enumerate(began, 1)),
        )
        self.memory: Memory = Store(account.memory)
        self.ledger = ledger or Ledger()
        self.scratch: dict[str, Any] = {} if scratch is None else scratch
        self.seconds = seconds
        self.made: dict[int, int] = {}

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        if call not in self.step.calls or not set(free) <= set(call.free):
            raise Undeclared(f"{call.action} {sorted(free)}")
        number = self.step.calls.index(call)
        self.made[number] = self.made.get(number, 0) + 1
        if self.made[number] > call.times:
            raise Undeclared(f"{call.action}: more than {call.times}")
        self.account.calls.append(call.operation)
        if error := self.account.fails.get(call.action):
            raise error
        answer = self._effect(call, {**call.params, **free})
        if then := self.account.after.get(call.action):
            then()
        return answer

    def _effect(self, call: Call, params: dict[str, Any]) -> dict[str, Any]:
        account = self.account
        match call.operation:
            case "ReceiveMessage":
                return {"Messages": account.receive(params["VisibilityTimeout"])}
            case "SendMessage":
                account.home.append(params)
            case "Invoke":
                account.home.append(params)
                return {} if account.accepts is None else {"StatusCode": account.accepts}
            case "PutObject":
                account.stored[params["Key"]] = params["Body"]
            case "DeleteMessage":
                account.hidden.pop(params["ReceiptHandle"])
            case "ChangeMessageVisibility":
                assert params["VisibilityTimeout"] == 0
                account.dead.append(account.hidden.pop(params["ReceiptHandle"]))
            case "StartMessageMoveTask":
                account.tasks.insert(0, task(started=account.now, to_move=len(account.dead)))
                return {"TaskHandle": "t"}
            case "ListMessageMoveTasks":
                return {"Results": account.tasks}
            case "CancelMessageMoveTask":
                account.tasks[0]["Status"] = "CANCELLING"
        return {}

    def now(self) -> datetime:
        return self.account.now

    def seconds_left(self) -> float:
        return self.seconds


def task(status: str = "RUNNING", *, started: datetime = NOW, moved: int = 0, to_move: int = 0) -> dict[str, Any]:
    """An entry of ListMessageMoveTasks."""
    entry: dict[str, Any] = {
        "Status": status,
        "StartedTimestamp": int(started.timestamp() * 1000),
        "ApproximateNumberOfMessagesMoved": moved,
        "ApproximateNumberOfMessagesToMove": to_move,
        "MaxNumberOfMessagesPerSecond": 10,
    }
    return entry | ({"TaskHandle": "t"} if status == "RUNNING" else {})


def service(**other: Any) -> dict[str, Any]:
    """A healthy service, as DescribeServices gives it."""
    deployment = {
        "id": "ecs-svc/1",
        "status": "PRIMARY",
        "taskDefinition": "td:7",
        "rolloutState": "COMPLETED",
        "failedTasks": 0,
        "createdAt": NOW - timedelta(days=2),
    }
    found = {
        "serviceName": "worker",
        "status": "ACTIVE",
        "desiredCount": 2,
        "runningCount": 2,
        "taskDefinition": "td:7",
        "deployments": [deployment | other.pop("deployment", {})],
        "deploymentConfiguration": {"minimumHealthyPercent": 100, "maximumPercent": 200},
    }
    return found | other


def read(kind: str, arn: Arn) -> ResourceRead:
    """A query for a resource."""
    return ResourceRead(kind, str(arn))
