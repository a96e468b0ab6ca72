"""
Consumers and producers: what takes messages out of a queue and what puts them in.

A consumer takes messages at a rate per worker that works, holds each for a while, and finishes it or fails. A
failed message is left alone: its visibility timeout passes, its receive count grows, and at maxReceiveCount
it becomes a dead letter. Poison always fails; everything fails while a dependency is down; what a worker held
when it was killed or wedged comes back by itself. Who works on a message for longer than its visibility timeout
does its work, but may not delete it any more: somebody else has it by then, and does the same work again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Protocol

from moto.sqs.models import Message, Queue

from sandbox.clock import Agenda, Entry, Order, span_ms
from sandbox.images import Behaviour
from sandbox.ledger import fingerprint
from sandbox.queues import Queues, setting
from sandbox.services import Service, Task

STEP_MS = 5_000
IDLE_STEP_MS = 60_000


class Worker(Protocol):
    """One thing that takes messages."""

    @property
    def id(self) -> str:
        """Its name in the record of what was processed."""

    @property
    def works(self) -> bool:
        """It takes messages now."""

    @property
    def finishes(self) -> bool:
        """What it took earlier, it still finishes."""

    @property
    def fails(self) -> bool:
        """It fails at whatever it takes."""


@dataclass(frozen=True)
class TaskWorker:
    """An ECS task as a worker."""

    task: Task

    @property
    def id(self) -> str:
        return self.task.id

    @property
    def works(self) -> bool:
        return self.task.works

    @property
    def finishes(self) -> bool:
        return self.task.finishes

    @property
    def fails(self) -> bool:
        return self.task.image.behaviour is Behaviour.FAILS


@dataclass
class Poller:
    """A Lambda event source mapping's poller as a worker."""

    id: str
    enabled: Callable[[], bool]

    @property
    def works(self) -> bool:
        return self.enabled()

    @property
    def finishes(self) -> bool:
        return True

    @property
    def fails(self) -> bool:
        return False


class Dependencies:
    """The named things that consumers need, and which of them are down."""

    def __init__(self) -> None:
        self.down: set[str] = set()

    def fail(self, name: str) -> None:
        """A dependency goes down."""
        self.down.add(name)

    def heal(self, name: str) -> None:
        """A dependency is up again."""
        self.down.discard(name)


@dataclass(eq=False)
class Consumer:
    """What takes one queue's messages."""

    agenda: Agenda
    queues: Queues
    dependencies: Dependencies
    dice: Random
    queue: Queue
    workers: Callable[[], list[Worker]]
    per_second: float = 1.0  # messages that one worker takes per second
    holds: timedelta = timedelta(seconds=3)  # how long a worker works on a message
    needs: tuple[str, ...] = ()  # dependencies without which everything fails
    poison: Callable[[str], bool] = lambda _body: False
    failures: int = field(default=0, init=False)
    measured: bool = False  # whether the application says how long it works on a message
    worked: list[float] = field(default_factory=list, init=False)  # so many seconds, since that was last reported
    _taken: int = field(default=0, init=False)
    _credit: float = field(default=0.0, init=False)
    _next: Entry | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.queues.on_arrival(self.queue, self.wake)
        self.wake()

    def busy(self) -> float:
        """How busy the workers were since the last time somebody asked a minute ago: 0 to 1."""
        taken, self._taken = self._taken, 0
        workers = sum(worker.works for worker in self.workers())
        return min(taken / (self.per_second * 60 * workers), 1.0) if workers else 0.0

    def wake(self) -> None:
        """Something changed: look at the queue soon."""
        self._plan(self.agenda.ms + STEP_MS)

    def _plan(self, due: int) -> None:
        if self._next is not None and not self._next.cancelled:
            if self._next.due <= due:
                return
            self._next.cancel()
        self._next = self.agenda.at_ms(due, self._step, Order.PHYSICS)

    def _step(self) -> None:
        if self._next is not None:
            self._next.cancel()
        workers = [worker for worker in self.workers() if worker.works]
        if not workers or not self.queues.exists(self.queue.queue_arn):
            self._credit = 0.0
            if self.queue.messages:
                self._plan(self.agenda.ms + IDLE_STEP_MS)  # a service wakes us earlier; a mapping does not
            return
        capacity = self.per_second * STEP_MS / 1000 * len(workers)
        self._credit = min(self._credit + capacity, capacity + 1)
        count = int(self._credit)
        if count:
            taken = self.queues.take(self.queue, count, setting(self.queue, "visibility_timeout"))
            self._credit -= len(taken)
            self._taken += len(taken)
            if taken:
                groups = (
                    {message.group_id: index for index, message in enumerate(taken)} if self.queue.fifo_queue else {}
                )
                batch = [  # what has an order within its group is one worker's
                    (workers[groups.get(message.group_id, index) % len(workers)], message, message.receipt_handle)
                    for index, message in enumerate(taken)
                ]
                work = span_ms(self.holds) * self.dice.uniform(0.8, 1.2)
                self.agenda.at_ms(self.agenda.ms + round(work), lambda: self._end(batch, work / 1000), Order.PHYSICS)
        self._plan_next()

    def _plan_next(self) -> None:
        if self.queues.ready(self.queue):
            self._plan(self.agenda.ms + STEP_MS)
            return
        due = self.queues.next_ready_ms(self.queue)
        if due is not None:
            self._plan(max(due, self.agenda.ms + STEP_MS))

    def _end(self, batch: list[tuple[Worker, Message, str | None]], seconds: float) -> None:
        done = dict[str, list[Message]]()
        for worker, message, handle in batch:
            if not worker.finishes:
                continue  # it is gone, and what it held comes back by itself
            if worker.fails or self.poison(message.body) or not self.dependencies.down.isdisjoint(self.needs):
                self.failures += 1
                continue
            if self.measured:
                self.worked.append(seconds)
            if message.receipt_handle == handle:
                done.setdefault(worker.id, []).append(message)
            else:  # another worker has received it since: the work is done, and will be done again
                self.queues.ledger.in_vain[fingerprint(message.body)] += 1
        for worker_id, messages in done.items():
            self.queues.finish(self.queue, messages, worker_id)


@dataclass(eq=False)
class Producer:
    """Offered load: messages per minute, evenly, until told otherwise."""

    agenda: Agenda
    queues: Queues
    queue: Queue
    bodies: Iterator[str]
    per_minute: float = 0.0
    sent: int = field(default=0, init=False)
    _owed: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.agenda.every(timedelta(seconds=10), self._step, order=Order.PHYSICS)

    def _step(self) -> None:
        self._owed += self.per_minute / 6
        count, self._owed = int(self._owed), self._owed % 1
        self.send(count)

    def send(self, count: int) -> list[str]:
        """Send messages now, and say what they were."""
        bodies = [next(self.bodies) for _ in range(count)]
        for body in bodies:
            self.queues.put(self.queue, body)
        self.sent += count
        return bodies


def tasks_of(service: Service) -> Callable[[], list[Worker]]:
    """The tasks of a service as workers."""

    def workers() -> list[Worker]:
        return [TaskWorker(task) for task in service.tasks]

    return workers


def pollers(name: str, count: int, enabled: Callable[[], bool]) -> Callable[[], list[Worker]]:
    """A fixed number of Lambda pollers as workers, while the mapping is enabled."""
    workers: Iterable[Worker] = [Poller(f"{name}-{number}", enabled) for number in range(count)]
    fixed = list(workers)
    return lambda: fixed
