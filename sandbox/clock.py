"""
The virtual clock and the agenda: the only source of time in the sandbox, and the order in which things happen.

Time stands still until the agenda moves it to the next entry. There is no real clock, no sleep and no thread,
so a run is the same every time, and a quiet week takes as long as the things that happened in it.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any

Action = Callable[[], object]


class Order(IntEnum):
    """What comes first within one instant: the world moves, is measured, is judged, and then code looks at it."""

    PHYSICS = 0
    METERS = 1
    ALARMS = 2
    CODE = 3


class NeverHappened(AssertionError):
    """`run_until` reached its limit and the condition was still false."""

    def __init__(self, limit: timedelta, now: datetime) -> None:
        super().__init__(f"the condition was still false after {limit}, at {now:%Y-%m-%d %H:%M:%S}Z")
        self.limit = limit
        self.now = now


@dataclass(eq=False, slots=True)
class Entry:
    """One thing that will happen, unless it is cancelled."""

    due: int
    order: int
    number: int
    action: Action
    period: int = 0
    cancelled: bool = False

    def cancel(self) -> None:
        """It will not happen."""
        self.cancelled = True


def to_ms(when: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(when.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """The moment as an aware datetime in UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def span_ms(span: timedelta) -> int:
    """A span in milliseconds."""
    return round(span.total_seconds() * 1000)


class Agenda:
    """A heap of entries and the clock that jumps from one to the next."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("the start needs a time zone; use UTC")
        self.ms = to_ms(start)
        self._heap: list[tuple[int, int, int, Entry]] = []  # by when, what comes first then, and who came first
        self._now = from_ms(self.ms)
        self._number = 0
        self._moved: Callable[[float], Any] = lambda _seconds: None

    def bind(self, moved: Callable[[float], Any]) -> None:
        """Tell `moved` every new time, in seconds since the epoch: it moves Python's own clock."""
        self._moved = moved
        self._moved(self.ms / 1000)

    @property
    def now(self) -> datetime:
        """The present."""
        return self._now

    @property
    def next_due(self) -> int | None:
        """When the next entry is due, in milliseconds."""
        while self._heap and self._heap[0][3].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def at_ms(self, due: int, action: Action, order: Order = Order.PHYSICS) -> Entry:
        """Do something at a time in milliseconds; the past means now."""
        self._number += 1
        entry = Entry(max(due, self.ms), order, self._number, action)
        self._push(entry)
        return entry

    def at(self, when: datetime | timedelta, action: Action, order: Order = Order.CODE) -> Entry:
        """Do something at a moment, or after a span from now."""
        due = self.ms + span_ms(when) if isinstance(when, timedelta) else to_ms(when)
        return self.at_ms(due, action, order)

    def every(
        self, period: timedelta, action: Action, *, first: datetime | None = None, order: Order = Order.CODE
    ) -> Entry:
        """Do something at every multiple of the period since the epoch (or from `first` on), until it is cancelled."""
        step = span_ms(period)
        if step <= 0:
            raise ValueError(f"a period must be longer than nothing, not {period}")
        due = to_ms(first) if first else (self.ms // step + 1) * step
        entry = self.at_ms(due, action, order)
        entry.period = step
        return entry

    def run(self, for_: timedelta) -> None:
        """Let the world run for a span."""
        self._run_to(self.ms + span_ms(for_))

    def run_until(self, condition: Callable[[], object], limit: timedelta) -> timedelta:
        """
        Let the world run until the condition holds, and say how long that took.

        The condition is asked once before the first and after every instant in which something happened.
        """
        started, deadline = self.ms, self.ms + span_ms(limit)
        while not condition():
            due = self.next_due
            if due is None or due > deadline:
                self.move(deadline)
                if condition():
                    break
                raise NeverHappened(limit, self.now)
            self._run_to(due)
        return timedelta(milliseconds=self.ms - started)

    def _run_to(self, end: int) -> None:
        while (due := self.next_due) is not None and due <= end:
            entry = heapq.heappop(self._heap)[3]
            if due > self.ms:
                self.move(due)
            if entry.period:
                self._number += 1
                entry.due, entry.number = entry.due + entry.period, self._number
                self._push(entry)
            entry.action()
        self.move(end)

    def move(self, ms: int) -> None:
        """Move the clock alone: for who knows that nothing is due before then."""
        if ms > self.ms:
            self.ms, self._now = ms, from_ms(ms)
            self._moved(ms / 1000)

    def _push(self, entry: Entry) -> None:
        heapq.heappush(self._heap, (entry.due, entry.order, entry.number, entry))
