"""
Gap filled: moto has no StartMessageMoveTask, ListMessageMoveTasks or CancelMessageMoveTask.

The rules are AWS's: only dead-letter queues of SQS queues, one active task per queue, 1 to 500 messages per
second, a task handle only while the task runs, new ids and a new retention for what was moved, and what was
moved stays moved after a cancel. A message that did not die in a queue has no way home: without a
destination, the task fails on it. How many messages are to be moved is said only once a task was selected to start,
which it is `selected_after` it was asked for.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasksResultEntry.html
"""

import base64
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from moto.sqs.models import Message, Queue

from sandbox.clock import Agenda, Order
from sandbox.queues import Queues
from sandbox.seam import Answer, AwsError, Call, Seam, new_id

SECOND_MS = 1000
OWN_PACE = 200  # messages per second when the caller names none; AWS chooses by backlog
ACTIVE = ("RUNNING", "CANCELLING")


@dataclass(slots=True)
class MoveTask:
    """One move of everything in a dead-letter queue."""

    handle: str
    source_arn: str
    destination_arn: str | None
    per_second: int | None
    to_move: int | None  # None until it was selected to start
    started_ms: int
    status: str = "RUNNING"
    moved: int = 0
    failure: str | None = None

    def entry(self) -> dict[str, Any]:
        """The task as ListMessageMoveTasks shows it."""
        shown = {
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "Status": self.status,
            "SourceArn": self.source_arn,
            "DestinationArn": self.destination_arn,
            "MaxNumberOfMessagesPerSecond": self.per_second,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
            "FailureReason": self.failure,
            "StartedTimestamp": self.started_ms,
        }
        return {name: value for name, value in shown.items() if value is not None}


class MoveTasks:
    """All move tasks of the account, oldest first."""

    def __init__(self, agenda: Agenda, queues: Queues, seam: Seam) -> None:
        self.all: list[MoveTask] = []
        self.selected_after = timedelta(0)
        self._agenda = agenda
        self._queues = queues
        seam.fake(
            "sqs", StartMessageMoveTask=self._start, ListMessageMoveTasks=self._list, CancelMessageMoveTask=self._cancel
        )

    def _start(self, call: Call) -> Answer:
        source = self._existing(call.params["SourceArn"], "SourceArn")
        destination = call.params.get("DestinationArn") or None
        per_second = call.params.get("MaxNumberOfMessagesPerSecond")
        if not self._queues.backend.list_dead_letter_source_queues(source.name):
            raise AwsError("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        if destination is not None:
            target = self._existing(destination, "DestinationArn")
            if bool(target.fifo_queue) is not bool(source.fifo_queue):
                raise AwsError(
                    "InvalidParameterValue", "The source queue and destination queue must be of the same queue type."
                )
        if per_second is not None and not 1 <= per_second <= 500:
            reason = "Reason: Must be between 1 and 500."
            message = f"Value {per_second} for parameter MaxNumberOfMessagesPerSecond is invalid. {reason}"
            raise AwsError("InvalidParameterValue", message)
        if any(task.source_arn == source.queue_arn and task.status in ACTIVE for task in self.all):
            reason = "Only one active task is allowed for a source queue arn at a given time."
            raise AwsError("InvalidParameterValue", f"There is already a task running. {reason}")
        identity = {"taskId": new_id(), "sourceArn": source.queue_arn}
        task = MoveTask(
            handle=base64.b64encode(json.dumps(identity, separators=(",", ":")).encode()).decode(),
            source_arn=source.queue_arn,
            destination_arn=destination,
            per_second=per_second,
            to_move=None,
            started_ms=self._agenda.ms,
        )
        self.all.append(task)
        if self.selected_after:
            self._agenda.at(self.selected_after, lambda: self._select(task), Order.PHYSICS)
        else:
            self._select(task)
        return {"TaskHandle": task.handle}

    def _list(self, call: Call) -> Answer:
        source = self._existing(call.params["SourceArn"], "SourceArn")
        limit = call.params.get("MaxResults") or 1
        if not 1 <= limit <= 10:
            reason = "Reason: Value must be greater than or equal to 1 and less than or equal to 10."
            raise AwsError("InvalidParameterValue", f"Value {limit} for parameter MaxResults is invalid. {reason}")
        newest_first = [task for task in reversed(self.all) if task.source_arn == source.queue_arn]
        return {"Results": [task.entry() for task in newest_first[:limit]]}

    def _cancel(self, call: Call) -> Answer:
        handle = call.params["TaskHandle"]
        try:
            source_arn = json.loads(base64.b64decode(handle, validate=True))["sourceArn"]
        except (ValueError, KeyError, TypeError):
            raise AwsError("InvalidParameterValue", "Value for parameter TaskHandle is invalid.") from None
        task = next((each for each in self.all if each.handle == handle), None)
        if task is None or not self._queues.exists(source_arn):
            raise AwsError("ResourceNotFoundException", "Task does not exist.", 404)
        if task.status != "RUNNING":
            raise AwsError("AWS.SimpleQueueService.UnsupportedOperation", "Only active tasks can be cancelled.")
        task.status = "CANCELLING"
        return {"ApproximateNumberOfMessagesMoved": task.moved}

    def _existing(self, arn: str, parameter: str) -> Queue:
        if not arn.startswith("arn:") or not self._queues.exists(arn):
            message = f"The resource that you specified for the {parameter} parameter doesn't exist."
            raise AwsError("ResourceNotFoundException", message, 404)
        return self._queues.find(arn)

    def _select(self, task: MoveTask) -> None:
        """Begin with it: from now on it says how many messages it is to move."""
        if self._queues.exists(task.source_arn):
            task.to_move = len(self._queues.ready(self._queues.find(task.source_arn)))
        self._next(task)

    def _next(self, task: MoveTask) -> None:
        self._agenda.at_ms(self._agenda.ms + SECOND_MS, lambda: self._second(task), Order.PHYSICS)

    def _second(self, task: MoveTask) -> None:
        """Move as many messages as one second allows."""
        if task.status == "CANCELLING":
            task.status = "CANCELLED"
            return
        if not self._queues.exists(task.source_arn):
            self._fail(task, "AWS.SimpleQueueService.NonExistentQueue")
            return
        source = self._queues.find(task.source_arn)
        pace = task.per_second or OWN_PACE
        waiting = self._queues.ready(source)
        failure = self._move(task, source, waiting[:pace])
        if failure:
            self._fail(task, failure)
        elif len(waiting) <= pace:
            task.status = "COMPLETED"
        else:
            self._next(task)

    def _move(self, task: MoveTask, source: Queue, messages: list[Message]) -> str | None:
        """Move messages home, up to the first that has none; then say why."""
        homes: dict[str, list[Message]] = {}
        failure = None
        for message in messages:
            home = task.destination_arn or self._queues.dead_letter_sources.get(message.id)
            if home is None or not self._queues.exists(home):
                failure = "AWS.SimpleQueueService.NonExistentQueue" if home else "CouldNotDetermineMessageSource"
                break
            homes.setdefault(home, []).append(message)
        for home, going in homes.items():
            self._queues.move(source, self._queues.find(home), going)
            task.moved += len(going)
        return failure

    @staticmethod
    def _fail(task: MoveTask, reason: str) -> None:
        task.status, task.failure = "FAILED", reason
