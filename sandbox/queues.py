# ruff: noqa: SLF001 - this module is the one that works on the inside of moto's queues
"""
Queues: moto's SQS, made to behave like the real one, and to say what happens in it.

Gaps filled: moto receives strictly in order (real standard queues do not), scans every message several times
per call, forgets the source of a dead letter, keeps expired messages, limits visibility from the first send
instead of the receive, hangs in a long poll when time stands still, and is silent about its traffic. Kept
from SQS: a message that reaches maxReceiveCount moves to the dead-letter queue at the next receive, with its
id and its original SentTimestamp, so its retention goes on counting from the first send.
"""

import copy
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from unittest.mock import patch

from moto.sqs import exceptions, models
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from sandbox.clock import Agenda, Order, from_ms
from sandbox.ledger import Ledger, Processed, fingerprint
from sandbox.seam import Answer, Call, Seam, new_id

TWELVE_HOURS_MS = 12 * 3600 * 1000

Arrived = Callable[[], None]


@dataclass(slots=True)
class Tally:
    """What happened on one queue in the current minute, and when anything last did."""

    sent: int = 0
    received: int = 0
    empty_receives: int = 0
    deleted: int = 0
    last_activity: int = 0

    def reset(self) -> None:
        """A new minute begins."""
        self.sent = self.received = self.empty_receives = self.deleted = 0


@dataclass(frozen=True, slots=True)
class Depth:
    """What a queue holds."""

    visible: int
    in_flight: int
    delayed: int
    oldest_ms: int | None

    @property
    def total(self) -> int:
        """All of it."""
        return self.visible + self.in_flight + self.delayed


class Queues:
    """The physics of all queues of one account and region."""

    def __init__(self, agenda: Agenda, ledger: Ledger, dice: Random, account: str, region: str) -> None:
        self.ledger = ledger
        self.short_poll_misses = (
            0.0  # the share of messages that a short poll does not see, as on a real, nearly empty queue
        )
        self.beside: list[Callable[[], Iterable[str]]] = []  # what waits elsewhere: Lambda has a queue of its own
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.touched: set[str] = set()  # queues (by ARN) in which something happened since the last minute
        self.dead_letter_sources: dict[str, str] = {}  # message id -> ARN of the queue that it died in
        self._arrived_ms: dict[str, int] = {}  # message id -> when it came into its dead-letter queue
        self._received_ms: dict[str, int] = {}  # message id -> when it was last received
        self._agenda = agenda
        self._dice = dice
        self._handles = Random(dice.random())
        self._place = (account, region)
        self._backend: SQSBackend | None = None
        self._listeners: dict[str, list[Arrived]] = defaultdict(list)
        self._patches: list[Any] = []

    # -- what the physics and the tests use

    @property
    def backend(self) -> SQSBackend:
        """The queues as moto keeps them."""
        if self._backend is None:
            account, region = self._place
            self._backend = sqs_backends[account][region]
        return self._backend

    def find(self, url_arn_or_name: str) -> Queue:
        """A queue by its URL, ARN or name."""
        return self.backend.get_queue(url_arn_or_name.rpartition("/")[2].rpartition(":")[2])

    def exists(self, url_arn_or_name: str) -> bool:
        """Whether there is such a queue."""
        return url_arn_or_name.rpartition("/")[2].rpartition(":")[2] in self.backend.queues

    def depth(self, queue: Queue | str) -> Depth:
        """What a queue holds now."""
        queue = self.find(queue) if isinstance(queue, str) else queue
        now, visible, in_flight, delayed = self._agenda.ms, 0, 0, 0
        oldest: int | None = None
        arrived = self._arrived_ms.get
        for message in queue._messages:
            if message.delayed_until > now:
                delayed += 1
            elif message.visible_at > now:
                in_flight += 1
            else:
                visible += 1
            born = arrived(message.id) or vars(message)["sent_timestamp"]
            if oldest is None or born < oldest:
                oldest = born
        return Depth(visible, in_flight, delayed, oldest)

    def empty(self, queue: Queue) -> bool:
        """Whether a queue holds nothing, not even in flight."""
        return not queue._messages

    def idle(self, queue: Queue) -> bool:
        """Whether nothing waits in a queue."""
        now = self._agenda.ms
        return all(each.delayed_until > now or each.visible_at > now for each in queue._messages)

    def bodies(self, queue: Queue | str) -> list[str]:
        """The bodies of everything that a queue holds, in flight or not."""
        queue = self.find(queue) if isinstance(queue, str) else queue
        return [message.body for message in queue._messages]

    def present(self) -> Counter[str]:
        """Fingerprints of everything in every queue, and of what waits in queues that AWS keeps for itself."""
        found = Counter(
            fingerprint(message.body) for queue in self.backend.queues.values() for message in queue._messages
        )
        for bodies in self.beside:
            found.update(map(fingerprint, bodies()))
        return found

    def put(self, queue: Queue, body: str, attributes: dict[str, Any] | None = None) -> Message:
        """A producer sends a message: what SendMessage does, without the call."""
        return self._lay(queue, body, attributes or {})

    def hand_over(self, queue: Queue, body: str, attributes: dict[str, Any]) -> Message:
        """AWS puts a message there that was in the account before, in a queue of AWS's own."""
        self.ledger.sent[fingerprint(body)] -= 1
        return self._lay(queue, body, attributes)

    def _lay(self, queue: Queue, body: str, attributes: dict[str, Any]) -> Message:
        message = Message(new_id(), body)
        vars(message)["sent_timestamp"] = self._agenda.ms
        if queue.fifo_queue:  # a few groups, and whoever sends tells messages apart by what is in them
            message.group_id, message.deduplication_id = f"group-{fingerprint(body)[:1]}", fingerprint(body)
        message.message_attributes = attributes
        queue.add_message(message)
        return message

    def take(self, queue: Queue, count: int, visibility_timeout: int, *, short_poll: bool = False) -> list[Message]:
        """A consumer receives up to `count` messages; those that were received too often become dead letters."""
        now, tally = self._agenda.ms, self.tallies[queue.queue_arn]
        self._expire(queue, now)
        ready, dead = self._ready(queue, now)
        for message in dead:
            self._bury(queue, message, now)
        if dead:
            gone = set(map(id, dead))
            queue._messages = [message for message in queue._messages if id(message) not in gone]
        if short_poll and self.short_poll_misses:
            ready = [message for message in ready if self._dice.random() >= self.short_poll_misses]
        taken = ready[:count] if queue.fifo_queue else self._dice.sample(ready, min(count, len(ready)))
        for message in taken:
            queue._pending_messages.add(message)
            message.approximate_receive_count += 1
            message.approximate_first_receive_timestamp = message.approximate_first_receive_timestamp or now
            message.visible_at = now + visibility_timeout * 1000
            self._received_ms[message.id] = now
            if message.receipt_handle is not None:
                message._old_receipt_handles.append(message.receipt_handle)
            message.receipt_handle = self._new_handle()
        tally.received += len(taken)
        tally.empty_receives += not taken
        self._touch(queue)
        return taken

    def finish(self, queue: Queue, messages: Iterable[Message], worker: str) -> None:
        """A consumer finished messages: they are processed and deleted, unless somebody else deleted them first."""
        finished = {id(message): message for message in messages}
        kept = []
        for message in queue._messages:
            if id(message) not in finished:
                kept.append(message)
                continue
            self._forget(queue, message)
            self.ledger.processed.add(
                Processed(self._agenda.now, queue.queue_arn, fingerprint(message.body), message.body, worker)
            )
        self.tallies[queue.queue_arn].deleted += len(queue._messages) - len(kept)
        queue._messages = kept
        self._touch(queue)

    def move(self, source: Queue, destination: Queue, messages: Iterable[Message]) -> None:
        """Move messages as a move task does: new ids, a new SentTimestamp, a receive count of zero."""
        moved = {id(message) for message in messages}
        for message in [each for each in source._messages if id(each) in moved]:
            self._forget(source, message)
            fresh = Message(new_id(), message.body, message.system_attributes)
            fresh.message_attributes = message.message_attributes
            fresh.group_id, fresh.deduplication_id = message.group_id, message.deduplication_id
            vars(fresh)["sent_timestamp"] = self._agenda.ms
            self._arrive(destination, fresh)
            self.tallies[destination.queue_arn].sent += 1
        source._messages = [message for message in source._messages if id(message) not in moved]
        self._touch(source)
        self._touch(destination)

    def ready(self, queue: Queue) -> list[Message]:
        """The messages that a receive could return now."""
        return self._ready(queue, self._agenda.ms)[0]

    def next_ready_ms(self, queue: Queue) -> int | None:
        """When the next hidden message of a queue becomes visible."""
        now = self._agenda.ms
        hidden = (max(message.visible_at, message.delayed_until) for message in queue._messages)
        return min((math.ceil(due) for due in hidden if due > now), default=None)

    def on_arrival(self, queue: Queue, listener: Arrived) -> None:
        """Call somebody whenever a message comes into a queue or may become visible earlier than planned."""
        self._listeners[queue.queue_arn].append(listener)

    def expire_all(self) -> None:
        """Remove what is older than its queue's retention."""
        for queue in self.backend.queues.values():
            if queue._messages:
                self._expire(queue, self._agenda.ms)

    # -- the patches

    def install(self, seam: Seam) -> None:
        """Put the physics into moto."""
        physics = self

        def add_message(queue: Queue, message: Message) -> None:
            if queue.fifo_queue and physics._repeated(queue, message):
                return
            physics.ledger.sent[fingerprint(message.body)] += 1
            physics.tallies[queue.queue_arn].sent += 1
            physics._arrive(queue, message)

        def delete_message(queue: Queue, receipt_handle: str) -> None:
            physics._delete(queue, receipt_handle)

        def receive_message(
            backend: SQSBackend,
            queue_name: str,
            count: int,
            wait_seconds_timeout: int,
            visibility_timeout: int,
            message_attribute_names: list[str] | None = None,
        ) -> list[Message]:
            queue = backend.get_queue(queue_name)
            taken = physics._poll(queue, count, wait_seconds_timeout, visibility_timeout)
            copies = [copy.copy(message) for message in taken]
            for each in copies:
                models._filter_message_attributes(each, message_attribute_names or [])
            return copies

        def change_message_visibility(
            backend: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int
        ) -> None:
            physics._change_visibility(backend.get_queue(queue_name), receipt_handle, int(visibility_timeout))

        def purge_queue(backend: SQSBackend, queue_name: str) -> None:
            physics._purge(backend.get_queue(queue_name))

        def delete_queue(backend: SQSBackend, queue_name: str) -> None:
            physics._purge(backend.get_queue(queue_name))
            del backend.queues[queue_name]

        self._patches = [
            patch.object(Queue, "add_message", add_message),
            patch.object(Queue, "delete_message", delete_message),
            patch.object(Queue, "messages", property(self._visible)),
            patch.object(Message, "visible", property(lambda message: message.visible_at <= physics._agenda.ms)),
            patch.object(Message, "delayed", property(lambda message: message.delayed_until > physics._agenda.ms)),
            patch.object(
                Queue, "approximate_number_of_messages_not_visible", property(lambda q: self.depth(q).in_flight)
            ),
            patch.object(SQSBackend, "receive_message", receive_message),
            patch.object(SQSBackend, "change_message_visibility", change_message_visibility),
            patch.object(SQSBackend, "purge_queue", purge_queue),
            patch.object(SQSBackend, "delete_queue", delete_queue),
            patch.object(models, "generate_receipt_handle", self._new_handle),
        ]
        for each in self._patches:
            each.start()
        seam.after("sqs", "ReceiveMessage", self._name_dead_letter_sources)
        for operation in ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "SetQueueAttributes"):
            seam.after("sqs", operation, self._look_again)
        for operation in ("CreateQueue", "GetQueueAttributes", "GetQueueUrl"):
            seam.after("sqs", operation, self._active)

    def remove(self) -> None:
        """Take the physics out of moto again."""
        while self._patches:
            self._patches.pop().stop()

    # -- inside

    def _new_handle(self) -> str:
        return f"AQEB{self._handles.getrandbits(512):0128x}"

    def _visible(self, queue: Queue) -> list[Message]:
        now = self._agenda.ms
        return [each for each in queue._messages if each.visible_at <= now and each.delayed_until <= now]

    def _ready(self, queue: Queue, now: int) -> tuple[list[Message], list[Message]]:
        """What a receive could return, and what it would bury instead."""
        policy = vars(queue)["redrive_policy"]
        limit = policy["maxReceiveCount"] if queue.dead_letter_queue is not None and policy else None
        ready, dead, groups = [], [], set()
        for message in queue._messages:
            if message.visible_at > now:
                groups.add(message.group_id)
                continue
            queue._pending_messages.discard(message)
            if message.delayed_until > now:
                continue
            if limit is not None and message.approximate_receive_count >= limit:
                dead.append(message)
            elif not queue.fifo_queue or message.group_id not in groups:
                ready.append(message)
        return ready, dead

    def _bury(self, queue: Queue, message: Message, now: int) -> None:
        graveyard = queue.dead_letter_queue
        if graveyard is None:
            raise RuntimeError(f"{queue.name} has no dead-letter queue")
        queue._pending_messages.discard(message)
        message.visible_at = message.delayed_until = 0.0
        if queue.fifo_queue:  # else two letters with one deduplication id would be one
            message.deduplication_id = message.id
        self.dead_letter_sources[message.id] = queue.queue_arn
        self._arrived_ms[message.id] = now
        self._arrive(graveyard, message)
        self._touch(queue)

    def _arrive(self, queue: Queue, message: Message) -> None:
        queue._messages.append(message)
        self._touch(queue)
        for listener in self._listeners.get(queue.queue_arn, ()):
            listener()

    def _repeated(self, queue: Queue, message: Message) -> bool:
        newest = sent_ms(message) - models.DEDUPLICATION_TIME_IN_SECONDS * 1000
        return message.deduplication_id is not None and any(
            each.deduplication_id == message.deduplication_id and sent_ms(each) > newest for each in queue._messages
        )

    def _poll(self, queue: Queue, count: int, wait_seconds: int, visibility_timeout: int) -> list[Message]:
        taken = self.take(queue, count, visibility_timeout, short_poll=wait_seconds == 0)
        deadline = self._agenda.ms + wait_seconds * 1000
        while not taken and self._agenda.ms < deadline:
            self._agenda.run(timedelta(seconds=1))
            if self.ready(queue):
                taken = self.take(queue, count, visibility_timeout)
        return taken

    def _delete(self, queue: Queue, receipt_handle: str) -> None:
        if receipt_handle in queue.deleted_messages:
            return
        for index, message in enumerate(queue._messages):
            if receipt_handle == message.receipt_handle or receipt_handle in message._old_receipt_handles:
                del queue._messages[index]
                self._forget(queue, message)
                self.ledger.deleted[fingerprint(message.body)] += 1
                self.tallies[queue.queue_arn].deleted += 1
                self._touch(queue)
                return
        if not receipt_handle.startswith("AQEB"):
            raise exceptions.ReceiptHandleIsInvalid

    def _change_visibility(self, queue: Queue, receipt_handle: str, seconds: int) -> None:
        now = self._agenda.ms
        message = next((each for each in queue._messages if each.had_receipt_handle(receipt_handle)), None)
        if message is None:
            raise exceptions.ReceiptHandleIsInvalid
        if message.visible_at <= now:
            raise exceptions.SQSException("AWS.SimpleQueueService.MessageNotInflight", "The message is not in flight.")
        if now + seconds * 1000 - self._received_ms[message.id] > TWELVE_HOURS_MS:
            raise exceptions.InvalidParameterValue(
                f"Value {seconds} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the "
                "message is beyond the limit [43200 seconds]"
            )
        message.visible_at = now + seconds * 1000
        if not seconds:
            queue._pending_messages.discard(message)

    def _forget(self, queue: Queue, message: Message) -> None:
        queue._pending_messages.discard(message)
        queue.deleted_messages.update(each for each in message.all_receipt_handles if each)
        self._arrived_ms.pop(message.id, None)
        self._received_ms.pop(message.id, None)
        self.dead_letter_sources.pop(message.id, None)

    def _expire(self, queue: Queue, now: int) -> None:
        born_after = now - setting(queue, "message_retention_period") * 1000
        expired = [message for message in queue._messages if vars(message)["sent_timestamp"] <= born_after]
        for message in expired:
            self._forget(queue, message)
            self.ledger.expired[fingerprint(message.body)] += 1
        if expired:
            gone = set(map(id, expired))
            queue._messages = [message for message in queue._messages if id(message) not in gone]
            self._touch(queue)

    def _purge(self, queue: Queue) -> None:
        for message in queue._messages:
            self._forget(queue, message)
            self.ledger.purged[fingerprint(message.body)] += 1
        queue._messages = []
        queue._pending_messages = set()
        queue.last_purged_at = self._agenda.ms / 1000
        self._touch(queue)

    def _touch(self, queue: Queue) -> None:
        self.touched.add(queue.queue_arn)
        self.tallies[queue.queue_arn].last_activity = self._agenda.ms

    def _named(self, call: Call) -> Queue | None:
        name = str(call.params.get("QueueUrl") or call.params.get("QueueName") or "").rpartition("/")[2]
        return self.backend.queues.get(name)

    def _active(self, call: Call, _answer: Answer) -> None:
        queue = self._named(call)
        if queue is not None:
            self._touch(queue)

    def _look_again(self, call: Call, answer: Answer) -> None:
        self._active(call, answer)
        queue = self._named(call)
        if queue is not None and call.operation == "SetQueueAttributes":
            queue.last_modified_timestamp = self._agenda.ms // 1000
        for listener in self._listeners.get(queue.queue_arn, ()) if queue else ():
            self._agenda.at_ms(self._agenda.ms, listener, Order.PHYSICS)

    def _name_dead_letter_sources(self, call: Call, answer: Answer) -> None:
        asked = {*call.params.get("MessageSystemAttributeNames", ()), *call.params.get("AttributeNames", ())}
        if not asked & {"All", "DeadLetterQueueSourceArn"}:
            return
        for message in answer.get("Messages", ()):
            source = self.dead_letter_sources.get(message["MessageId"])
            if source:
                message.setdefault("Attributes", {})["DeadLetterQueueSourceArn"] = source


def redrive_policy(dead_letter_arn: str, max_receive_count: int) -> str:
    """A RedrivePolicy as SQS takes it."""
    return json.dumps({"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": max_receive_count})


def setting(queue: Queue, name: str) -> int:
    """A numeric setting of a queue, by moto's name for it: it sets them by name, so no type declares them."""
    return int(vars(queue)[name])


def sent_ms(message: Message) -> int:
    """When a message was first sent, in milliseconds."""
    return int(vars(message)["sent_timestamp"])


def sent_at(message: Message) -> datetime:
    """When a message was first sent."""
    return from_ms(sent_ms(message))
