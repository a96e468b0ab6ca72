"""
What OpenData Pulse (runbook 1) has at its heart: a function that events start, and a queue for those it failed at.

Gap filled: moto runs a function's code in Docker, and knows neither the queue in which Lambda keeps events that nobody
waits for, nor its retries, nor where an event goes when all of them failed. Here the function is a rule about events
(which it fails at, and what it needs), and everything around it is as Lambda does it.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html,
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Any

from sandbox.clock import Order
from sandbox.lambdas import RETRIES, THROTTLED_AGAIN, record_of
from sandbox.ledger import Processed, fingerprint
from sandbox.seam import Answer, AwsError, Call, new_id
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

if TYPE_CHECKING:
    from moto.sqs.models import Queue

__all__ = ["EtlFunction", "etl_configuration"]

FUNCTION = "opendata-etl"
_LARGEST = 1024 * 1024
_TAKES = timedelta(seconds=2)


@dataclass(eq=False)
class _Event:
    """One event in Lambda's own queue."""

    payload: str
    born: datetime
    tries: int = 0
    request: str = field(default_factory=new_id)


class EtlFunction:
    """The function, its failed events' queue, and what can go wrong with them."""

    def __init__(
        self,
        world: World,
        name: str = FUNCTION,
        *,
        destination: bool = False,
        timeout: int = 30,
        retention: timedelta = timedelta(days=14),
    ) -> None:
        self.world = world
        self.name = name
        self.destination = destination  # whether the queue is its on-failure destination, not its dead-letter queue
        self.dead_letter_config = not destination
        self.timeout = timeout  # seconds
        self.changed = world.now - timedelta(days=9)
        self.state = "Active"
        self.reserved: int | None = None
        self.source_down = False  # what every event needs
        self.fails_at: set[str] = set()  # kinds of events that it can never process
        self.queue_closed = False  # whether its role may not send to the queue
        self.qualifier = "$LATEST"  # the version or alias that whoever calls it names
        self.done: list[str] = []
        self._waiting: list[_Event] = []
        self._figures: Counter[str] = Counter()
        self._numbers = count(1)
        made = world.client("sqs").create_queue(
            QueueName=f"{name}-failed",
            Attributes={"MessageRetentionPeriod": str(int(retention.total_seconds()))},
            tags=OPT_IN,
        )
        self.dlq_url = str(made["QueueUrl"])
        self.tags: dict[str, str] = dict(OPT_IN)
        world.queues.beside.append(lambda: [event.payload for event in self._waiting])
        self.per_minute = 0  # events that come in, of whoever causes them
        world.every(timedelta(minutes=1), lambda: self.submit(self.per_minute), order=Order.PHYSICS)
        world.every(timedelta(minutes=1), self._measure, order=Order.METERS)
        world.seam.fake(
            "lambda",
            Invoke=self._invoke,
            GetFunctionConfiguration=self._configuration,
            GetFunctionConcurrency=self._concurrency,
            ListTags=self._list_tags,
        )

    # -- what is so

    @property
    def arn(self) -> str:
        """The function's ARN."""
        return self.world.arn("lambda", f"function:{self.name}")

    @property
    def dlq_arn(self) -> str:
        """The ARN of the queue for its failed events."""
        return self.world.arn("sqs", f"{self.name}-failed")

    @property
    def dlq(self) -> Queue:
        """That queue itself."""
        return self.world.queues.find(self.dlq_url)

    @property
    def dead(self) -> int:
        """Everything in it, in flight or not."""
        return self.world.queues.depth(self.dlq).total

    @property
    def clean(self) -> bool:
        """Whether it is empty."""
        return self.world.queues.empty(self.dlq)

    def times(self, payload: str) -> int:
        """How often an event was processed."""
        return self.done.count(payload)

    # -- load and causes

    def submit(self, number: int = 1, *, kind: str = "raw") -> list[str]:
        """So many events come in, as whoever causes them gives them to Lambda."""
        payloads = [self.event(kind) for _ in range(number)]
        for payload in payloads:
            self._accept(payload)
        return payloads

    def event(self, kind: str = "raw") -> str:
        """An event that nobody has seen before."""
        return _text({"kind": kind, "of": self.name, "hour": next(self._numbers), "rows": [1.5, 20, None]})

    def letters(self, number: int, *, kind: str = "raw") -> list[str]:
        """So many events have failed for good by now."""
        payloads = [self.event(kind) for _ in range(number)]
        for payload in payloads:
            self.world.queues.put(self.dlq, *self._letter(_Event(payload, self.world.now)))
        return payloads

    def rubbish(self, number: int = 1) -> None:
        """So many letters that look like events until somebody reads them."""
        for _ in range(number):
            body, says = self._letter(_Event(self.event(), self.world.now))
            self.world.queues.put(self.dlq, body[:-1], says)

    def outage(self, minutes: float, events: int, *, kind: str = "raw") -> list[str]:
        """What it needs is down for a while, in which so many events come in."""
        self.source_down = True
        payloads = self.submit(events, kind=kind)
        self.world.run(timedelta(minutes=minutes))
        self.source_down = False
        return payloads

    def undelivered(self, number: int, *, rule: str = "hourly", target: str = "loader") -> None:
        """An EventBridge rule could not reach its target, and has put its events into this queue."""
        for _ in range(number):
            says = {
                "RULE_ARN": self.world.arn("events", f"rule/{rule}"),
                "TARGET_ARN": self.world.arn("lambda", f"function:{target}"),
                "ERROR_CODE": "NO_PERMISSIONS",
                "ERROR_MESSAGE": "somebody's words",
                "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts",
                "RETRY_ATTEMPTS": "185",
            }
            self.world.queues.put(self.dlq, self.event(), _attributes(says))

    def deploy(self) -> None:
        """Somebody changes the function."""
        self.changed = self.world.now

    # -- Lambda

    def _accept(self, payload: str) -> None:
        """Take an event into Lambda's own queue."""
        event = _Event(payload, self.world.now)
        self.world.ledger.sent[fingerprint(payload)] += 1
        self._waiting.append(event)
        self.world.at(timedelta(seconds=1), lambda: self._try(event), Order.PHYSICS)

    def _try(self, event: _Event) -> None:
        if self.reserved == 0:
            self._figures["Throttles"] += 1
            self.world.at(THROTTLED_AGAIN, lambda: self._try(event), Order.PHYSICS)
            return
        event.tries += 1
        self.world.at(_TAKES, lambda: self._end(event), Order.PHYSICS)

    def _end(self, event: _Event) -> None:
        self._figures["Invocations"] += 1
        if not self.source_down and json.loads(event.payload).get("kind") not in self.fails_at:
            self._waiting.remove(event)
            self.done.append(event.payload)
            self.world.ledger.processed.add(
                Processed(self.world.now, self.arn, fingerprint(event.payload), event.payload, self.name)
            )
            return
        self._figures["Errors"] += 1
        if event.tries <= len(RETRIES):
            self.world.at(RETRIES[event.tries - 1], lambda: self._try(event), Order.PHYSICS)
            return
        self._waiting.remove(event)
        if self.queue_closed:
            self._figures["DestinationDeliveryFailures" if self.destination else "DeadLetterErrors"] += 1
            self.world.ledger.expired[fingerprint(event.payload)] += 1
            return
        self.world.queues.hand_over(self.dlq, *self._letter(event))

    def _letter(self, event: _Event) -> tuple[str, dict[str, Any]]:
        """What Lambda writes of an event that failed for good."""
        if not self.destination:
            says = {"RequestID": event.request, "ErrorCode": "200", "ErrorMessage": "the source did not answer"}
            return event.payload, _attributes(says)
        arn = f"{self.arn}:{self.qualifier}"
        error = RuntimeError("the source did not answer")
        return _text(record_of(arn, json.loads(event.payload), self.world.now, error, 3)), {}

    def _measure(self) -> None:
        """A minute of figures. Lambda reports nothing of a minute without calls."""
        minute = self.world.agenda.ms // 60_000 - 1
        figures, self._figures = self._figures, Counter()
        if figures["Invocations"]:
            figures.setdefault("Errors", 0)
        for name, value in figures.items():
            self.world.metrics.of("AWS/Lambda", name, {"FunctionName": self.name}).put(minute, float(value))

    # -- the calls

    def _named(self, call: Call) -> bool:
        named = str(call.params.get("FunctionName") or call.params.get("Resource"))
        return self.name in named.split(":")

    def _check_named(self, call: Call) -> None:
        if not self._named(call):
            raise AwsError("ResourceNotFoundException", "Function not found", 404)

    def _invoke(self, call: Call) -> Answer:
        self._check_named(call)
        payload = bytes(call.params["Payload"])
        if len(payload) > _LARGEST:
            raise AwsError("RequestTooLargeException", "Request must be smaller than 1048576 bytes", 413)
        try:
            text = payload.decode()
            json.loads(text)
        except ValueError as error:
            raise AwsError("InvalidRequestContentException", "Could not parse request body into json") from error
        self._accept(text)
        return {"StatusCode": 202}

    def _configuration(self, call: Call) -> Answer:
        self._check_named(call)
        return {
            "FunctionName": self.name,
            "FunctionArn": self.arn,
            "Timeout": self.timeout,
            "State": self.state,
            "LastUpdateStatus": "Successful",
            "LastModified": f"{self.changed.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000",
            **({"DeadLetterConfig": {"TargetArn": self.dlq_arn}} if self.dead_letter_config else {}),
        }

    def _concurrency(self, call: Call) -> Answer:
        self._check_named(call)
        return {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}

    def _list_tags(self, call: Call) -> Answer:
        if call.params["Resource"] != self.arn:
            raise AwsError("InvalidParameterValueException", "Lambda tagging functionality is of functions alone")
        return {"Tags": dict(self.tags)}


def etl_target(system: EtlFunction, *, mode: str = "auto", function: str = "", more: str = "") -> str:
    """The queue as a target of the configuration."""
    return f"""
[[systems.targets]]
arn = "{system.dlq_arn}"
mode = "{mode}"
function = "{function or system.arn}"
{more}
"""


def etl_configuration(
    system: EtlFunction, *, mode: str = "auto", settings: str = "", function: str = "", more: str = ""
) -> str:
    """A deployment's TOML for the queue of one function's failed events."""
    return f"""
name = "demo"
account = "{system.world.account}"
region = "{system.world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.lambda-dlq-backlog]
mode = "auto"
{settings}

[[systems]]
name = "opendata"
{etl_target(system, mode=mode, function=function, more=more)}
"""


def _attributes(says: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"DataType": "Number" if name == "ErrorCode" else "String", "StringValue": value}
        for name, value in says.items()
    }


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
