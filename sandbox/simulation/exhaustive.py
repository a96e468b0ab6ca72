"""
Systematic too: every life once, and then with a crash before and after each of its calls, one at a time.

A *life* (:mod:`.lives`) is a short story without faults. A crash at a call kills the invocation that makes it; what it
had not saved the next one finds out again from the world. The promises must hold wherever that is.

Two crashes are the same where the account is the same afterwards, and who is gone. A read leaves nothing (a test looks
at the account before and after each), so between two writes of one invocation all crashes are one: after the first
write, before and after every read that follows, and before the second write. Nobody sees when in between it died: an
invocation that is dead makes no call. Played *merged*, a crash before each write and one after the last call of each
invocation stand for all. ``ReceiveMessage`` counts as a write, because it counts receives.

Where several invocations run at a time, all of them also die at once, as where a zone of AWS goes down.

    python -m sandbox.simulation.exhaustive [--all | --gate] [--life NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sandbox.clock import to_ms
from sandbox.seam import Call
from sandbox.simulation.hub import Running
from sandbox.simulation.lives import LIVES, Life
from sandbox.simulation.nemesis import Death, Fault
from sandbox.simulation.promises import Violation, check
from sandbox.simulation.run import Played, play
from sandbox.trail import READS

__all__ = ["Broken", "Extent", "Figures", "Outcome", "Point", "crash", "explore", "live", "main", "points"]

_LOG = logging.getLogger(__name__)


class Extent(StrEnum):
    """
    How much is played.

    ``all``: before and after every call. ``merged``: those that stand for all, which comes to the same. ``gate``: of
    those one of each kind, which may miss something: in lives of one remediation that end alike, an invocation had made
    calls of the same names by then, and the life had made writes of the same names to its targets.
    """

    ALL = "all"
    MERGED = "merged"
    GATE = "gate"


# -- one life, with and without a crash --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """One crash to be played: of which life, where, at a call of which name, for how many, and what it is like."""

    life: str
    death: Death
    name: str
    stands_for: int = 1
    kind: int = 0

    def __str__(self) -> str:
        side, who = "after" if self.death.after else "before", "everybody" if self.death.everybody else "a crash"
        return f"{self.life}: {who} {side} call {self.death.call}, {self.name}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that a crash broke."""

    life: str
    call: int
    side: str
    everybody: bool
    name: str
    promise: str
    text: str

    def __str__(self) -> str:
        who = "everybody, " if self.everybody else ""
        return f"{self.life}: {who}{self.side} call {self.call}, {self.name}: {self.promise}: {self.text}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one crash."""

    point: Point
    ends: tuple[str, ...]
    violations: tuple[Violation, ...]
    seconds: float


def live(life: Life, death: Death | None = None) -> tuple[Played, list[Violation]]:
    """A life to its end, with or without a crash in it, and which promises were not kept."""
    crash = {Fault.CRASH_AFTER if death.after else Fault.CRASH_BEFORE: 0.0} if death is not None else {}
    with play(replace(life.story, death=death, rates=crash)) as played:
        found = check(played)
        if death is not None and not life.story.denials:  # nothing but a crash: every other error is ours
            found += [
                Violation("no defect", f"{where} raised {type(error).__name__}: {str(error)[:200]}")
                for where, error in played.stage.errors
                if type(error).__name__ not in {"Crash", "Fenced"}
            ]
        return played, found


def writes(call: Call) -> bool:
    """Whether a call may leave anything. What is received is counted, so that it is not only read."""
    return not call.operation.startswith(READS) or call.operation.startswith("Receive")


def points(life: Life, *, merged: bool = True) -> tuple[int, list[Point]]:
    """How many calls a life has, and its crashes: all of them, or those that stand for all."""
    played, _ = live(life)
    running = played.stage.hub.all
    whole = {each.number for each in running if not each.dead}  # the last may have begun when the world ended
    calls = [call for call in played.stage.nemesis.calls if call.notes["invocation"] in whole]
    mine: dict[int, list[tuple[int, Call]]] = defaultdict(list)
    for number, call in enumerate(calls, 1):
        mine[call.notes["invocation"]].append((number, call))
    deaths = [each for made in mine.values() for each in (_merged(made) if merged else _single(made))]
    together = [
        (replace(death, everybody=True), 1) for death, _ in deaths if _in_company(calls[death.call - 1], running)
    ]
    found = []
    for death, stands_for in (*deaths, *together):
        call = calls[death.call - 1]
        kind = _kind(life, mine[call.notes["invocation"]], calls, death)
        found.append(Point(life.name, death, call.name, stands_for, kind))
    return len(calls), found


def _single(made: Iterable[tuple[int, Call]]) -> Iterator[tuple[Death, int]]:
    for number, _ in made:
        yield Death(number), 1
        yield Death(number, after=True), 1


def _merged(made: Sequence[tuple[int, Call]]) -> Iterator[tuple[Death, int]]:
    """One crash for each number of writes that an invocation has made by then, and for how many it stands."""
    same = 0
    for number, call in made:
        if writes(call):
            yield Death(number), same + 1
            same = 1
        else:
            same += 2
    yield Death(made[-1][0], after=True), same


def _kind(life: Life, made: Iterable[tuple[int, Call]], calls: Sequence[Call], death: Death) -> int:
    """What distinguishes a crash for the gate: equal where everything that is named here has equal names."""
    before = death.call + death.after
    history = [call.name for number, call in made if number < before]
    done = sorted({call.name for call in calls[: before - 1] if call.principal.role_arn is not None})
    return zlib.crc32(repr((life.remediation, life.ends, death.everybody, history, done)).encode())


def _in_company(call: Call, running: Iterable[Running]) -> bool:
    """Whether other invocations ran when this call was made."""
    now, mine = to_ms(call.at), call.notes["invocation"]
    return any(
        each.number != mine and each.started_ms <= now and (each.ended_ms is None or now < each.ended_ms)
        for each in running
    )


_LIVES = {life.name: life for life in LIVES}


def crash(point: Point) -> Outcome:
    """Play one crash."""
    began, life = time.process_time(), _LIVES[point.life]
    played, found = live(life, point.death)
    calls = played.stage.nemesis.calls
    if len(calls) < point.death.call or calls[point.death.call - 1].name != point.name:
        found.append(Violation("the same life", f"call {point.death.call} was not {point.name} this time"))
    elif not any(running.dead.startswith("crash") for running in played.stage.hub.all):
        found.append(Violation("the same life", "nobody died"))
    ends = tuple(str(incident.verdict and incident.verdict.value) for incident in played.incidents)
    return Outcome(point, ends, tuple(found), time.process_time() - began)


# -- all of them -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """What was played, and what came of it."""

    lives: int = 0
    calls: int = 0
    crashes: int = 0
    """calls on two sides: what there is to play of one invocation alone"""
    played: int = 0
    merged: int = 0
    """crashes of one that need not be played, because another stands for them"""
    left_out: int = 0
    """crashes that the gate leaves to the long run"""
    together: int = 0
    """of those played: crashes of everybody at once"""
    cpu_seconds: float = 0.0
    ends: dict[str, dict[str, int]] = field(default_factory=dict)
    """by life: how often its incidents ended how"""
    violations: list[Broken] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield (
            f"{self.lives} lives, {self.calls} calls, {self.crashes} crashes of one invocation: "
            f"{self.merged} are the same as another one, {self.left_out} left to the long run; "
            f"{self.played} played, {self.together} of them of all that ran; "
            f"{len(self.violations)} violations; {self.cpu_seconds:.0f} CPU-s"
        )
        yield from map(str, self.violations)


def explore(
    lives: Sequence[Life] = LIVES, *, extent: Extent = Extent.MERGED, workers: int = 0, most: int | None = None
) -> Figures:
    """
    Play the crashes of some lives, on so many processes; on none but this one where ``workers`` is 0.

    Where there are more than ``most``, so many of them are played, evenly spread over all lives.
    """
    if not workers:
        return _explored(lives, map, extent, most)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return _explored(lives, partial(pool.map, chunksize=_CHUNK), extent, most)


_CHUNK = 4
"""crashes that a process is given at a time: they take differently long"""
_SAID_EVERY = 200


def _explored(lives: Sequence[Life], spread: Callable[..., Iterable[Any]], extent: Extent, most: int | None) -> Figures:
    figures, every = Figures(lives=len(lives)), list[Point]()
    for calls, found in spread(partial(points, merged=extent is not Extent.ALL), lives):
        figures.calls += calls
        every += found
    figures.crashes = 2 * figures.calls
    figures.merged = sum(point.stands_for - 1 for point in every)
    if extent is Extent.GATE:
        chosen = list({point.kind: point for point in reversed(every)}.values())[::-1]
        figures.left_out = len(every) - len(chosen)
        every = chosen
    if most is not None and len(every) > most:
        figures.left_out += len(every) - most
        every = [every[number * len(every) // most] for number in range(most)]
    figures.played = len(every)
    figures.together = sum(point.death.everybody for point in every)
    for number, outcome in enumerate(spread(crash, every), 1):
        _note(figures, outcome)
        if number % _SAID_EVERY == 0:
            _LOG.info("%d of %d crashes played, now %s", number, len(every), outcome.point)
    return figures


def _note(figures: Figures, outcome: Outcome) -> None:
    point, death = outcome.point, outcome.point.death
    figures.cpu_seconds += outcome.seconds
    ends = figures.ends.setdefault(point.life, {})
    key = ", ".join(outcome.ends) or "nothing"
    ends[key] = ends.get(key, 0) + 1
    for each in outcome.violations:
        side = "after" if death.after else "before"
        broken = Broken(point.life, death.call, side, death.everybody, point.name, each.promise, each.text)
        figures.violations.append(broken)
        _LOG.warning("%s", broken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, say what came of it, and fail where a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.simulation.exhaustive", description="A crash at every call."
    )
    parser.add_argument("--all", dest="extent", action="store_const", const=Extent.ALL, help="every single crash")
    parser.add_argument("--gate", dest="extent", action="store_const", const=Extent.GATE, help="one crash of each kind")
    parser.add_argument("--life", action="append", default=[], help="only lives whose names contain this")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.INFO)  # a violation is told when it is found
    lives = [life for life in LIVES if not options.life or any(part in life.name for part in options.life)]
    figures = explore(lives, extent=options.extent or Extent.MERGED, workers=options.workers)
    sys.stdout.writelines(f"{line}\n" for line in figures.lines())
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(figures), indent=1), encoding="utf-8")
    return 1 if figures.violations else 0


if __name__ == "__main__":
    sys.exit(main())
