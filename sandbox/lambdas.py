"""
Lambda functions without Lambda: the real handlers, hosted in this process, called with the real event shapes.

Schedules and events are asynchronous invocations: a handler that raises is tried again after one and after
two minutes, and then the event goes to the function's on-failure queue. Queues are event source mappings:
batches, partial batch responses, the visibility timeout, and the dead-letter queue after maxReceiveCount.
What a handler raises is recorded, and never reaches the loop.

An invocation runs to its end at once, unless somebody says otherwise: `lambdas.runner` is given the work of each, and
may hold it at any AWS call while others go on (see `sandbox.simulation.hub`).
"""

import contextlib
import hashlib
import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

from moto.events.models import EventPattern
from moto.sqs.models import Message, Queue

from sandbox.clock import Agenda, Entry, Order
from sandbox.faults import Crash
from sandbox.queues import Queues, setting
from sandbox.seam import Seam, new_id

Event = dict[str, Any]
Handler = Callable[[Event, Any], Any]
RETRIES = (timedelta(seconds=60), timedelta(seconds=120))
THROTTLED_AGAIN = timedelta(seconds=10)


@dataclass
class Context:
    """What Lambda passes as `context`."""

    function_name: str
    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int
    clock: Callable[[], int]
    memory_limit_in_mb: int = 512
    function_version: str = "$LATEST"
    log_group_name: str = ""
    log_stream_name: str = ""
    identity: None = None
    client_context: None = None

    def get_remaining_time_in_millis(self) -> int:
        """How much of the timeout is left, in virtual time."""
        return max(self.deadline_ms - self.clock(), 0)


@dataclass(frozen=True)
class Invocation:
    """One call of a handler."""

    at: datetime
    function: str
    event: Event
    result: Any
    error: BaseException | None
    trace: str

    @property
    def ok(self) -> bool:
        """It returned."""
        return self.error is None


@dataclass(eq=False)
class Function:
    """One hosted handler."""

    name: str
    handler: Handler
    timeout: timedelta = timedelta(minutes=1)
    on_failure: str | None = None  # the URL or ARN of the queue for events that failed for good
    environment: Mapping[str, str] = field(default_factory=dict)
    concurrency: int | None = None  # invocations at a time; None: as many as come
    late: timedelta = timedelta(hours=6)  # how old an event may become before it is given up
    busy: int = field(default=0, init=False)

    @property
    def full(self) -> bool:
        """No further invocation may start now."""
        return self.concurrency is not None and self.busy >= self.concurrency


Runner = Callable[[Function, Context, Callable[[], None]], None]


def at_once(function: Function, context: Context, work: Callable[[], None]) -> None:
    """Run an invocation to its end."""
    work()


class Lambdas:
    """The functions of the account, and what calls them."""

    def __init__(self, agenda: Agenda, queues: Queues, seam: Seam, place: tuple[str, str]) -> None:
        self.invocations: list[Invocation] = []
        self.discarded: list[tuple[str, Event]] = []  # events that failed for good and had no on-failure queue
        self.runner: Runner = at_once
        self.deaf_until_ms = 0  # schedules do not fire before
        self._schedules: dict[str, Function] = {}
        self._agenda = agenda
        self._queues = queues
        self._seam = seam
        self._account, self._region = place
        self._rules: list[tuple[EventPattern, Function]] = []

    @property
    def errors(self) -> list[Invocation]:
        """The invocations that raised."""
        return [each for each in self.invocations if not each.ok]

    # -- what calls a function

    def schedule(self, handler: Handler, every: timedelta, name: str | None = None, **more: Any) -> Entry:
        """An EventBridge schedule calls the handler."""
        function = self._function(handler, name, more)
        self._schedules[function.name] = function

        def tick() -> None:
            if self._agenda.ms >= self.deaf_until_ms:
                self.fire(function.name)

        return self._agenda.every(every, tick, order=Order.CODE)

    def fire(self, name: str) -> None:
        """A schedule fires now, once more than it should perhaps."""
        function = self._schedules[name]
        self._invoke_async(function, self._scheduled_event(function))

    def queue(
        self, handler: Handler, queue: str, batch_size: int = 10, name: str | None = None, **more: Any
    ) -> Function:
        """An event source mapping calls the handler with what comes into a queue."""
        function = self._function(handler, name, more)
        _Mapping(self, self._agenda, self._queues, self._queues.find(queue), function, batch_size)
        return function

    def events(self, handler: Handler, pattern: Mapping[str, Any], name: str | None = None, **more: Any) -> Function:
        """An EventBridge rule calls the handler with the events that match its pattern."""
        function = self._function(handler, name, more)
        self._rules.append((EventPattern.load(_json(pattern)), function))
        return function

    def deliver(self, event: Event) -> None:
        """Put an event on the bus: every rule that matches calls its function."""
        for pattern, function in self._rules:
            if pattern.matches_event(cast("Any", event)):
                self._agenda.at(timedelta(0), self._later(function, event), Order.CODE)

    def invoke(self, function: Function | Handler, event: Event) -> Invocation:
        """Call a function once, now."""
        target = function if isinstance(function, Function) else self._function(function, None, {})
        ended: list[Invocation] = []
        self._call(target, event, ended.append)
        return ended[0]

    # -- how a function is called

    def _function(self, handler: Handler, name: str | None, more: dict[str, Any]) -> Function:
        return Function(name or str(getattr(handler, "__name__", "handler")), handler, **more)

    def _later(self, function: Function, event: Event, attempt: int = 0) -> Callable[[], None]:
        born = self._agenda.ms
        return lambda: self._invoke_async(function, event, attempt, born)

    def _invoke_async(self, function: Function, event: Event, attempt: int = 0, born: int | None = None) -> None:
        born = self._agenda.ms if born is None else born
        if function.full:  # AWS keeps the event, and tries again until it is too old
            late = timedelta(milliseconds=self._agenda.ms - born) + THROTTLED_AGAIN > function.late
            if late:
                self.discarded.append((function.name, event))
            else:
                self._agenda.at(THROTTLED_AGAIN, lambda: self._invoke_async(function, event, attempt, born), Order.CODE)
            return
        self._call(function, event, lambda done: self._ended(function, event, attempt, done))

    def _ended(self, function: Function, event: Event, attempt: int, done: Invocation) -> None:
        if done.ok:
            return
        if attempt < len(RETRIES):
            self._agenda.at(RETRIES[attempt], self._later(function, event, attempt + 1), Order.CODE)
        elif function.on_failure:
            record = record_of(self._arn(function), event, self._agenda.now, done.error, attempt + 1)
            self._queues.put(self._queues.find(function.on_failure), _json(record))
        else:
            self.discarded.append((function.name, event))

    def _call(self, function: Function, event: Event, then: Callable[[Invocation], None]) -> None:
        request_id = new_id()
        context = Context(
            function_name=function.name,
            aws_request_id=request_id,
            invoked_function_arn=self._arn(function),
            deadline_ms=self._agenda.ms + round(function.timeout.total_seconds() * 1000),
            clock=lambda: self._agenda.ms,
            log_group_name=f"/aws/lambda/{function.name}",
            log_stream_name=f"{self._agenda.now:%Y/%m/%d}/[$LATEST]{request_id.replace('-', '')}",
        )
        at = self._agenda.now
        function.busy += 1

        def work() -> None:
            result, error, trace = None, None, ""
            with self._as(function):
                try:
                    result = function.handler(_copy(event), context)
                except (Exception, Crash) as raised:  # noqa: BLE001 - Lambda, too, outlives whatever a handler raises
                    error, trace = raised, traceback.format_exc()
            function.busy -= 1
            done = Invocation(at, function.name, event, result, error, trace)
            self.invocations.append(done)
            then(done)

        self.runner(function, context, work)

    @contextlib.contextmanager
    def _as(self, function: Function) -> Iterator[None]:
        before = self._seam.function
        self._seam.function = function.name
        try:
            if function.environment:
                with patch.dict(os.environ, function.environment):
                    yield
            else:
                yield
        finally:
            self._seam.function = before

    def _arn(self, function: Function) -> str:
        return f"arn:aws:lambda:{self._region}:{self._account}:function:{function.name}"

    def _scheduled_event(self, function: Function) -> Event:
        return {
            "version": "0",
            "id": new_id(),
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": self._account,
            "time": f"{self._agenda.now:%Y-%m-%dT%H:%M:%SZ}",
            "region": self._region,
            "resources": [f"arn:aws:events:{self._region}:{self._account}:rule/{function.name}"],
            "detail": {},
        }


def record_of(arn: str, event: Any, now: datetime, error: BaseException | None, tries: int) -> Event:
    """What an on-failure destination is told of an event that failed for good."""
    return {
        "version": "1.0",
        "timestamp": f"{now:%Y-%m-%dT%H:%M:%S.000Z}",
        "requestContext": {
            "requestId": new_id(),
            "functionArn": arn,
            "condition": "RetriesExhausted",
            "approximateInvokeCount": tries,
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": {"errorType": type(error).__name__, "errorMessage": str(error)},
    }


class _Mapping:
    """One event source mapping: looks at its queue whenever there may be something in it."""

    def __init__(
        self, lambdas: Lambdas, agenda: Agenda, queues: Queues, queue: Queue, function: Function, batch_size: int
    ) -> None:
        self._lambdas = lambdas
        self._agenda = agenda
        self._queues = queues
        self._queue = queue
        self._function = function
        self._batch_size = batch_size
        self._next: Entry | None = None
        queues.on_arrival(queue, self._plan)
        self._plan()

    def _plan(self) -> None:
        now = self._agenda.ms
        due = now if self._queues.ready(self._queue) else self._queues.next_ready_ms(self._queue)
        if due is None:
            return
        if self._next is not None and not self._next.cancelled:
            if now <= self._next.due <= due:
                return
            self._next.cancel()
        self._next = self._agenda.at_ms(due, self._poll, Order.CODE)

    def _poll(self) -> None:
        if self._next is not None:
            self._next.cancel()
        if self._function.full or not self._queues.exists(self._queue.queue_arn):
            return
        visibility = setting(self._queue, "visibility_timeout")
        taken = self._queues.take(self._queue, self._batch_size, visibility)
        if taken:
            event = {"Records": [self._record(message) for message in taken]}
            self._lambdas._call(  # noqa: SLF001 - one mechanism, two classes
                self._function, event, lambda done: self._ended(taken, done)
            )
        self._plan()

    def _ended(self, taken: list[Message], done: Invocation) -> None:
        self._settle(taken, done)
        self._plan()  # the queue may have waited for this invocation to end

    def _settle(self, taken: list[Message], done: Invocation) -> None:
        if not done.ok:
            return
        failed = self._failed(done.result, {message.id for message in taken})
        if failed is None:
            return
        for message in taken:
            if message.id not in failed and message.receipt_handle:
                self._queue.delete_message(message.receipt_handle)

    @staticmethod
    def _failed(result: Any, ids: set[str]) -> set[str] | None:
        """Which messages failed; None when the whole batch did, because the response makes no sense."""
        if not isinstance(result, Mapping) or not result.get("batchItemFailures"):
            return set()
        failed = set()
        for each in result["batchItemFailures"]:
            identifier = each.get("itemIdentifier") if isinstance(each, Mapping) else None
            if not identifier or identifier not in ids:
                return None
            failed.add(identifier)
        return failed

    def _record(self, message: Message) -> Event:
        attributes = {
            "ApproximateReceiveCount": str(message.approximate_receive_count),
            "SentTimestamp": str(message.sent_timestamp),
            "SenderId": message.sender_id,
            "ApproximateFirstReceiveTimestamp": str(message.approximate_first_receive_timestamp),
        }
        optional = {
            "MessageGroupId": message.group_id,
            "MessageDeduplicationId": message.deduplication_id,
            "SequenceNumber": message.sequence_number,
            "DeadLetterQueueSourceArn": self._queues.dead_letter_sources.get(message.id),
        }
        attributes |= {name: value for name, value in optional.items() if value is not None}
        return {
            "messageId": message.id,
            "receiptHandle": message.receipt_handle,
            "body": message.body,
            "attributes": attributes,
            "messageAttributes": {
                name: {
                    "stringValue": value.get("StringValue"),
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": value.get("DataType"),
                }
                for name, value in message.message_attributes.items()
            },
            "md5OfBody": hashlib.md5(message.body.encode(), usedforsecurity=False).hexdigest(),
            "eventSource": "aws:sqs",
            "eventSourceARN": self._queue.queue_arn,
            "awsRegion": self._queue.region,
        }


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _copy(event: Event) -> Event:
    """Events travel as JSON: what a handler does to its event, nobody else sees."""
    copied: Event = json.loads(json.dumps(event))
    return copied
