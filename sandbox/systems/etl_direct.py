"""
Runbook 1 without a queue in between: S3 calls the function of OpenData Pulse itself, and nobody waits for its answer.

Resources  the buckets of :mod:`sandbox.systems.etl`, and their function; a queue in which Lambda keeps what it failed
           at for good, where it is told to
Causes     those of a pipeline with a queue; Lambda delivers an event twice; the function is not ready to be called

Gap filled: moto runs a function's code in Docker, and knows neither Lambda's own queue nor its retries. A call takes
eight seconds; one more at a time than are reserved is turned away, and tried again ten seconds later.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.lambdas import RETRIES, THROTTLED_AGAIN
from sandbox.ledger import Processed, fingerprint
from sandbox.seam import Answer, AwsError, Call, new_id
from sandbox.systems.ecs_system import OPT_IN
from sandbox.systems.etl import TIMEOUT, Etl

__all__ = ["DirectEtl"]

_TAKES = timedelta(seconds=8)


@dataclass(eq=False)
class _Event:
    """One event in Lambda's own queue."""

    body: str
    born: datetime
    tries: int = 0
    request: str = field(default_factory=new_id)


class DirectEtl(Etl):
    """A pipeline whose function S3 calls itself. Its ``queue`` is the one for failed events, if it ``keeps`` them."""

    cures_letters = "lambda-dlq-backlog"

    def _build(self, env: str) -> None:
        del env
        self.state = "Active"
        self.keeps = True  # what it failed at for good
        self.names_letters = True  # whether the configuration says where that goes
        self.running = 0
        self.most = 0  # how many calls there were at a time
        self._waiting: list[_Event] = []
        self._oldest = timedelta(0)  # that an event had waited when it was called, in this minute
        self.queue_url, self.queue_arn = self.dlq_url, self.dlq_arn
        self._changed = self.world.now - timedelta(days=9)
        self.world.queues.beside.append(lambda: [event.body for event in self._waiting])
        self.world.notifications.functions[self.function_arn] = self._hear
        self.world.seam.fake(
            "lambda",
            GetFunctionConcurrency=self._concurrency,
            GetFunctionConfiguration=self._configuration,
            Invoke=self._invoke,
            ListEventSourceMappings=lambda _: {"EventSourceMappings": []},
            ListTags=lambda _: {"Tags": dict(OPT_IN)},
        )

    @property
    def hears(self) -> str:
        return self.function_arn

    @property
    def named(self) -> str:
        return f'dead_letters = "{self.dlq_arn}"' if self.names_letters else ""

    @property
    def letters(self) -> str:
        return f'function = "{self.function_arn}"'

    # -- Lambda

    def _hear(self, body: str) -> None:
        """Lambda takes an event, and calls the function as soon as it can."""
        event = _Event(body, self.world.now)
        self.world.ledger.sent[fingerprint(body)] += 1
        self._waiting.append(event)
        self.world.at(timedelta(seconds=1), lambda: self._try(event), Order.PHYSICS)

    def _try(self, event: _Event) -> None:
        if self.throttled or (self.reserved is not None and self.running >= self.reserved):
            self._figures["Throttles"] += 1
            self.world.at(THROTTLED_AGAIN, lambda: self._try(event), Order.PHYSICS)
            return
        event.tries += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self._oldest = max(self._oldest, self.world.now - event.born)
        self.world.at(_TAKES, lambda: self._end(event), Order.PHYSICS)

    def _end(self, event: _Event) -> None:
        self.running -= 1
        self._figures["Invocations"] += 1
        if self._works(event.body):
            self._waiting.remove(event)
            done = Processed(self.world.now, self.function_arn, fingerprint(event.body), event.body, self.function)
            self.world.ledger.processed.add(done)
            return
        self._figures["Errors"] += 1
        if event.tries <= len(RETRIES):
            self.world.at(RETRIES[event.tries - 1], lambda: self._try(event), Order.PHYSICS)
            return
        self._waiting.remove(event)
        if not self.keeps:
            self.world.ledger.expired[fingerprint(event.body)] += 1
            return
        says = {"RequestID": event.request, "ErrorCode": "200", "ErrorMessage": "the store did not answer"}
        self.world.queues.hand_over(self.dlq, event.body, _attributes(says))

    def _measure(self) -> None:
        minute, oldest, self._oldest = self.world.agenda.ms // 60_000 - 1, self._oldest, timedelta(0)
        if self._figures:
            series = self.world.metrics.of("AWS/Lambda", "AsyncEventAge", {"FunctionName": self.function})
            series.put(minute, oldest / timedelta(milliseconds=1))
        super()._measure()

    # -- the calls

    def _invoke(self, call: Call) -> Answer:
        if call.params["FunctionName"] not in (self.function, self.function_arn):
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        payload = call.params["Payload"]
        body = payload if isinstance(payload, str) else bytes(payload).decode()
        json.loads(body)
        self._hear(body)
        return {"StatusCode": 202}

    def _configuration(self, call: Call) -> Answer:
        self._known(call)
        return {
            "FunctionName": self.function,
            "FunctionArn": self.function_arn,
            "Timeout": int(TIMEOUT.total_seconds()),
            "State": self.state,
            "LastUpdateStatus": "Successful",
            "LastModified": f"{self._changed.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000",
            **({"DeadLetterConfig": {"TargetArn": self.dlq_arn}} if self.keeps else {}),
        }


def _attributes(says: dict[str, str]) -> dict[str, Any]:
    return {
        name: {"DataType": "Number" if name == "ErrorCode" else "String", "StringValue": value}
        for name, value in says.items()
    }
