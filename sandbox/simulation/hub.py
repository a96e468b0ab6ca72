"""
The hub: who runs when.

One thread. Each invocation of a function is a greenlet. At every AWS call it says how long the call will take and steps
aside; whatever is due before then goes first: another invocation, the physics, a person. So two ticks of one incident
interleave at AWS calls, in an order that follows from the seed alone, and production code knows nothing of it. A crash
is a BaseException, so nothing in between catches it; an invocation that is dead makes no further call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from greenlet import greenlet

from sandbox.clock import Order, from_ms, span_ms
from sandbox.faults import Crash
from sandbox.seam import Call, Do, Outcome

if TYPE_CHECKING:
    from sandbox.lambdas import Context, Function
    from sandbox.world import World

__all__ = ["Fate", "Hub", "Running"]


@dataclass(frozen=True, slots=True)
class Fate:
    """What is in store for a call: how long until its effect, and until its answer; whether its caller outlives it."""

    takes_ms: int = 0
    answers_ms: int = 0
    crash_before: bool = False
    crash_after: bool = False
    everybody: bool = False  # with it every invocation that runs, as where a zone goes down


@dataclass(eq=False, slots=True)
class Running:
    """One invocation."""

    number: int
    function: str
    started_ms: int
    deadline_ms: int
    skew_ms: int
    greenlet: greenlet = field(repr=False)
    dead: str = ""
    calls: int = 0
    ended_ms: int | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def started(self) -> datetime:
        """When it began."""
        return from_ms(self.started_ms)


class Hub:
    """Runs the invocations of a world, and decides nothing: ``fate`` says what happens to each call."""

    def __init__(
        self, world: World, *, fate: Callable[[Call, Running], Fate], skew_ms: Callable[[str, int], int]
    ) -> None:
        self.all: list[Running] = []
        self.current: Running | None = None
        self._world = world
        self._agenda = world.agenda
        self._fate = fate
        self._skew_ms = skew_ms
        self._numbers = itertools.count(1)
        self._main = greenlet.getcurrent()
        world.lambdas.runner = self.spawn
        world.seam.arounds.insert(0, self.around)

    # -- invocations

    def spawn(self, function: Function, context: Context, work: Callable[[], None]) -> None:
        """Begin an invocation; it runs until its first call that others go before."""
        number = next(self._numbers)

        def run() -> None:
            try:
                work()
            finally:
                running.ended_ms = self._agenda.ms

        running = Running(
            number,
            function.name,
            self._agenda.ms,
            context.deadline_ms,
            self._skew_ms(function.name, number),
            greenlet(run, self._main),
        )
        self.all.append(running)
        self._go_on(running)

    def close(self) -> None:
        """End what still runs: a greenlet that is held in the middle is never collected, nor is its world."""
        for running in self.all:
            if running.ended_ms is None:
                running.dead = "the world ended"
                running.greenlet.throw(Crash(running.dead))

    def _go_on(self, running: Running) -> None:
        before, self.current = self.current, running
        seam, function = self._world.seam, self._world.seam.function
        seam.function = running.function
        self._set_clock(running.skew_ms)
        try:
            running.greenlet.switch()
        finally:
            self.current, seam.function = before, function
            self._set_clock(0)

    def _set_clock(self, skew_ms: int) -> None:
        self._world.set_clock(self._agenda.ms + skew_ms)

    # -- calls

    def around(self, call: Call, do: Do) -> Outcome:
        """Hold a function's call for as long as it takes, then let it have its effect, or not."""
        running = self.current
        if running is None:
            return do()
        if running.dead:
            raise Crash(f"this invocation is dead: {running.dead}")
        running.calls += 1
        call.notes["invocation"] = running.number
        fate = self._fate(call, running)
        self._wait(running, fate.takes_ms)
        if fate.crash_before:
            self._die(running, f"crash before {call.name}", everybody=fate.everybody)
        if running.skew_ms:
            self._set_clock(0)
            try:
                outcome = do()
            finally:
                self._set_clock(running.skew_ms)
        else:
            outcome = do()
        if fate.answers_ms:
            self._wait(running, fate.answers_ms)
        if fate.crash_after:
            self._die(running, f"crash after {call.name}", everybody=fate.everybody)
        return outcome

    def sleep(self, seconds: float) -> None:
        """What `time.sleep` is: the others go on meanwhile."""
        if self.current is None:
            self._agenda.run(timedelta(seconds=seconds))
        else:
            self._wait(self.current, span_ms(timedelta(seconds=seconds)))

    def _wait(self, running: Running, span: int) -> None:
        """Step aside for a span. Raises Crash where the function's time is over by then."""
        agenda = self._agenda
        due = agenda.ms + span
        ends = min(due, running.deadline_ms)
        following = agenda.next_due
        if following is None or following > ends:  # nothing happens meanwhile: the clock alone moves
            agenda.move(ends)
            if running.skew_ms:
                self._set_clock(running.skew_ms)
        else:
            agenda.at_ms(ends, lambda: self._go_on(running), Order.CODE)
            self._main.switch()
        if due >= running.deadline_ms:
            self._die(running, "its time was over")
        if running.dead:
            raise Crash(f"this invocation is dead: {running.dead}")

    def _die(self, running: Running, why: str, *, everybody: bool = False) -> None:
        running.dead = why
        if everybody:
            for other in self.all:
                if other.ended_ms is None and not other.dead:
                    other.dead = why
        raise Crash(why)
