"""
Many seeds on all cores, and what came of them, in figures that can be added up.

A run that hangs or breaks off must not take the others with it: each has so much CPU, after which it is a
violation like any other. What outlives even that (a loop that never comes back to Python) takes its process along, and
the seeds that were being played there are played again, one by one, each in a process of its own.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from typing import Any, Self, TypeVar

from nightshift.errors import NightshiftError
from nightshift.model import Incident

from sandbox.clock import from_ms
from sandbox.simulation.bugs import BUGS
from sandbox.simulation.lives import LIVES
from sandbox.simulation.promises import Violation, check
from sandbox.simulation.run import Played, play
from sandbox.simulation.story import START, Story, draw, weathered

__all__ = [
    "BREAKS",
    "HANGS",
    "PATIENCE",
    "Figures",
    "Found",
    "Hunt",
    "Plan",
    "Pool",
    "campaign",
    "drawn",
    "hunt",
    "known_bug",
    "percentile",
    "performed",
]

T = TypeVar("T")

HANGS, BREAKS = "comes to an end", "plays without an error"
"""what is promised of every run, before anything in it is looked at"""
PATIENCE = 180.0
"""seconds of CPU that a run may take, so that a busy machine makes no run a hanging one; the longest takes thirty"""
_AGAIN = 10.0
"""seconds until a run that did not heed that its time was over is told so again: longer than putting everything back"""
_BUSY = 60
"""how many times longer it may take on the real clock, with what else the machine does, before its process is ended"""
_CHUNK = 4
"""seeds that a process plays before it answers: few enough for a campaign to end in time"""
_ENDS = frozenset({"leased", "closed"})
"""the lines of a timeline with which a verdict is there"""


# -- one run -------------------------------------------------------------------------------------------------------


class Hanging(BaseException):
    """A run has taken too long. Not an Exception: nothing in between may take it for an error of its own."""


def performed(
    story: Story,
    look: Callable[[Played, list[Violation]], T],
    *,
    thin: bool = True,
    bug: str = "",
    patience: float = PATIENCE,
) -> tuple[T | None, list[Violation]]:
    """
    Play a story, with a bug planted where one is named: what ``look`` made of it, and the promises that were not kept.

    Whatever goes wrong with the run itself is a violation, too; ``look`` has then nothing to say.
    """
    try:
        with _patience(patience), _planted(bug), play(story, thin=thin) as played:
            violations = check(played)
            return look(played, violations), violations
    except Hanging as hanging:
        return None, [Violation(HANGS, f"not after {patience:.0f} seconds of CPU; it was {_where(hanging)}")]
    except Exception as error:  # noqa: BLE001 - whatever it is, the other seeds are played
        return None, [Violation(BREAKS, f"{type(error).__name__}: {str(error)[:200]}, {_where(error)}")]


def drawn(seed: int, *, thin: bool = True, bug: str = "", lives: bool = False) -> Story:
    """
    The story of a seed: a small one on the full cloud, whose calls are dear, and for a bug, which needs many.

    Of ``lives`` it is the next of them, in this seed's weather: every way that every remediation can go, in turn.
    """
    if lives:
        life = LIVES[seed % len(LIVES)]
        return weathered(life.story, seed, life.name, operations=life.does)
    return draw(seed, small=not thin or bool(bug))


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    return " < ".join(f"in {frame.name} ({os.path.relpath(frame.filename)}:{frame.lineno})" for frame in frames[::-1])


def _planted(bug: str) -> AbstractContextManager[None]:
    return BUGS[bug].planted() if bug else nullcontext()


def known_bug(name: str) -> str:
    """The name. Raises NightshiftError where no bug is called so."""
    if name not in BUGS:
        msg = f"there is no bug {name!r}; there are: {', '.join(BUGS)}"
        raise NightshiftError(msg)
    return name


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Raise Hanging when so much CPU is used up, and again while that is not heeded."""

    def raise_it(*_: object) -> None:
        raise Hanging

    try:
        old = signal.signal(signal.SIGPROF, raise_it)
    except ValueError:  # only the main thread may
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


# -- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A promise that was not kept, with which seed."""

    promise: str
    text: str
    seed: int


@dataclass
class Figures:
    """What came of some seeds. Everything is a sum, so that two of them can be added."""

    seeds: int = 0
    calls: int = 0  # of the functions, every attempt
    writes: int = 0  # to targets, that really happened
    mails: int = 0
    invocations: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    incidents: dict[str, Counter[str]] = field(default_factory=dict)  # by remediation, by verdict
    faults: Counter[str] = field(default_factory=Counter)
    minutes: dict[str, Counter[float]] = field(default_factory=dict)  # from symptom to verdict: how often, by verdict
    applied: dict[str, Counter[float]] = field(default_factory=dict)  # the same to the first write, by remediation
    violations: list[Found] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Add the figures of other seeds."""
        for name in ("seeds", "calls", "writes", "mails", "invocations", "virtual_seconds", "cpu_seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for remediation, verdicts in other.incidents.items():
            self.incidents.setdefault(remediation, Counter()).update(verdicts)
        for verdict, minutes in other.minutes.items():
            self.minutes.setdefault(verdict, Counter()).update(minutes)
        for remediation, minutes in other.applied.items():
            self.applied.setdefault(remediation, Counter()).update(minutes)
        self.faults.update(other.faults)
        self.violations = sorted([*self.violations, *other.violations], key=lambda each: (each.seed, each.promise))

    @property
    def count(self) -> int:
        """How many incidents there were."""
        return sum(verdicts.total() for verdicts in self.incidents.values())

    @property
    def verdicts(self) -> Counter[str]:
        """How incidents ended."""
        found: Counter[str] = Counter()
        for verdicts in self.incidents.values():
            found.update(verdicts)
        return found

    @property
    def broken(self) -> Counter[str]:
        """How many seeds broke each promise."""
        return Counter(promise for promise, _ in {(each.promise, each.seed) for each in self.violations})

    def percentile(self, verdict: str, share: float) -> float:
        """Within how many virtual minutes so large a share of the incidents that ended so had their verdict."""
        return percentile(self.minutes[verdict], share)

    def document(self) -> dict[str, Any]:
        """As JSON has it. :meth:`of` reads it again."""
        return {
            "schema": "nightshift.simulation/1",
            "seeds": self.seeds,
            "incidents": {name: dict(verdicts) for name, verdicts in self.incidents.items()},
            "calls": self.calls,
            "writes": self.writes,
            "mails": self.mails,
            "invocations": self.invocations,
            "faults": dict(self.faults),
            "virtual_seconds": round(self.virtual_seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "minutes": _pairs(self.minutes),
            "applied": _pairs(self.applied),
            "violations": [{"promise": each.promise, "text": each.text, "seed": each.seed} for each in self.violations],
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(
            **{
                name: document[name]
                for name in ("seeds", "calls", "writes", "mails", "invocations", "virtual_seconds", "cpu_seconds")
            },
            incidents={name: Counter(verdicts) for name, verdicts in document["incidents"].items()},
            faults=Counter(document["faults"]),
            minutes={verdict: Counter(dict(minutes)) for verdict, minutes in document["minutes"].items()},
            applied={name: Counter(dict(minutes)) for name, minutes in document["applied"].items()},
            violations=[Found(**each) for each in document["violations"]],
        )


def percentile(minutes: Counter[float], share: float) -> float:
    """The least value that so large a share does not exceed. Raises ValueError where there is none."""
    rank, seen = share * minutes.total(), 0
    for value in sorted(minutes):
        seen += minutes[value]
        if seen >= rank:
            return value
    raise ValueError("there is nothing of which this could be a share")


def _pairs(counted: Mapping[str, Counter[float]]) -> dict[str, list[list[float]]]:
    return {name: sorted([value, count] for value, count in minutes.items()) for name, minutes in counted.items()}


def _figures(played: Played, violations: list[Violation]) -> Figures:
    stage = played.stage
    found = Figures(
        seeds=1,
        calls=sum(running.calls for running in stage.hub.all),
        writes=sum(call.principal.role_arn is not None for call in played.effects),
        mails=len(stage.world.mail),
        invocations=len(stage.hub.all),
        virtual_seconds=(stage.world.now - START).total_seconds(),
        faults=Counter({fault.value: count for fault, count in stage.nemesis.counts.items()}),
    )
    for incident in played.incidents:
        verdict = incident.verdict.value if incident.verdict else "open"
        found.incidents.setdefault(incident.remediation, Counter())[verdict] += 1
        if incident.verdict is not None:
            found.minutes.setdefault(verdict, Counter())[_minutes(played, incident)] += 1
        if incident.attempts and not incident.approval and not _held(played, incident):
            waited = incident.attempts[0].started_at - incident.opened_at
            found.applied.setdefault(incident.remediation, Counter())[round(waited.total_seconds() / 60, 1)] += 1
    return found


def _held(played: Played, incident: Incident) -> bool:
    """Whether anything made it wait before it first acted."""
    lines = played.stage.nightshift.incidents.events(incident.id)
    return any(line.kind == "held" and line.at <= incident.attempts[0].started_at for line in lines)


def _minutes(played: Played, incident: Incident) -> float:
    """From the moment at which its target was no longer well, as the world has it, to the incident's verdict."""
    began = incident.opened_at
    for ms, well in reversed(played.stage.health.get(incident.target, ())):
        if from_ms(ms) < incident.opened_at:
            if well:
                break
            began = from_ms(ms)
    lines = played.stage.nightshift.incidents.events(incident.id)
    ended = min((line.at for line in lines if line.kind in _ENDS), default=incident.closed_at or began)
    return round(max(ended - began, timedelta()) / timedelta(minutes=1), 1)


def _one(seed: int, task: Task) -> Figures:
    began = time.process_time()
    story = drawn(seed, thin=task.thin, bug=task.bug, lives=task.lives)
    figures, violations = performed(story, _figures, thin=task.thin, bug=task.bug, patience=task.patience)
    figures = figures or Figures(seeds=1)
    figures.cpu_seconds = time.process_time() - began
    figures.violations = [Found(each.promise, each.text[:500], seed) for each in violations]
    return figures


# -- many ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Which seeds: from ``first`` on, so many, or for so many seconds, whichever is over first. And on which cloud.

    ``lives``: each seed plays a life in its weather, instead of drawing a story.
    """

    first: int = 1
    runs: int | None = None
    seconds: float | None = None
    thin: bool = True
    patience: float = PATIENCE
    lives: bool = False

    def chunks(self, size: int, jobs: int = 1) -> Iterator[tuple[int, ...]]:
        """The seeds in order, so many at a time; fewer towards the end, so that all processes end at the same time."""
        seed, end = self.first, None if self.runs is None else self.first + self.runs
        while end is None or seed < end:
            now = size if end is None else max(1, min(size, (end - seed) // jobs))
            yield tuple(range(seed, seed + now))
            seed += now


@dataclass(frozen=True, slots=True)
class Task:
    """Some seeds for one process: until when (seconds of the epoch), and which promises end it when they break."""

    seeds: tuple[int, ...]
    thin: bool = True
    bug: str = ""
    until: float | None = None
    patience: float = PATIENCE
    enough: frozenset[str] = frozenset()
    lives: bool = False


def _work(task: Task) -> Figures:
    """In a process of the pool."""
    found = Figures()
    for seed in task.seeds:
        if task.until is not None and time.time() > task.until and found.seeds:
            break
        faulthandler.dump_traceback_later(task.patience * _BUSY, exit=True)  # where no signal is heeded
        try:
            found.add(_one(seed, task))
        finally:
            faulthandler.cancel_dump_traceback_later()
        if task.enough & found.broken.keys():
            break
    return found


class Pool:
    """Processes that play. They begin afresh (spawn): one world at a time in each, and many after one another."""

    def __init__(self, jobs: int | None = None) -> None:
        self.jobs = jobs or os.cpu_count() or 1
        self._pool = self._new()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _new(self) -> ProcessPoolExecutor:
        # a person's Ctrl-C is for the campaign: it ends with what there is
        return ProcessPoolExecutor(
            self.jobs,
            mp_context=get_context("spawn"),
            initializer=partial(signal.signal, signal.SIGINT, signal.SIG_IGN),
        )

    def submit(self, do: Callable[..., T], *args: Any, **more: Any) -> Future[T]:
        """Have something done by the next process that is free."""
        return self._pool.submit(do, *args, **more)

    def flow(self, tasks: Iterable[Task], take: Callable[[Task, Figures], None]) -> None:
        """Work tasks off, as many at a time as there are processes; they are drawn only when it is their turn."""
        waiting, under_way = iter(tasks), dict[Future[Figures], Task]()
        while True:
            while len(under_way) < self.jobs and (task := next(waiting, None)) is not None:
                under_way[self._pool.submit(_work, task)] = task
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                task = under_way.pop(future)
                try:
                    take(task, future.result())
                except BrokenProcessPool:
                    lost = [task, *under_way.values()]
                    under_way.clear()
                    self._again(lost, take)
                    break

    def _again(self, lost: Iterable[Task], take: Callable[[Task, Figures], None]) -> None:
        """A process has died, and nobody knows over which seed: each of those is played alone."""
        for task in lost:
            for seed in task.seeds:
                self._pool.shutdown()
                self._pool = self._new()
                alone = replace(task, seeds=(seed,), until=None, enough=frozenset())
                try:
                    take(task, self._pool.submit(_work, alone).result())
                except BrokenProcessPool:
                    said = f"its process had to be ended, or died, within {task.patience * _BUSY:.0f} seconds"
                    take(task, Figures(seeds=1, violations=[Found(HANGS, said, seed)]))
        self._pool.shutdown()
        self._pool = self._new()


def campaign(pool: Pool, plan: Plan, *, tell: Callable[[Figures], None] = lambda _: None) -> Figures:
    """
    Play the seeds of a plan, and check every promise.

    ``tell`` hears the figures so far. A KeyboardInterrupt ends it early, with what there is.
    """
    until = None if plan.seconds is None else time.time() + plan.seconds
    found = Figures()

    def tasks() -> Iterator[Task]:
        for seeds in plan.chunks(_CHUNK, pool.jobs):
            if until is not None and time.time() >= until:
                return
            yield Task(seeds, plan.thin, "", until, plan.patience, lives=plan.lives)

    def take(_: Task, figures: Figures) -> None:
        found.add(figures)
        tell(found)

    with suppress(KeyboardInterrupt):
        pool.flow(tasks(), take)
    return found


# -- seeded bugs -------------------------------------------------------------------------------------------------------


@dataclass
class Hunt:
    """How one seeded bug fared: what was played with it, and the first seed that gave it away."""

    bug: str
    first: int
    figures: Figures = field(default_factory=Figures)

    @property
    def noticed(self) -> Found | None:
        """The first violation of a promise that must notice this bug."""
        ours = (each for each in self.figures.violations if each.promise in BUGS[self.bug].noticed_by)
        return min(ours, key=lambda each: each.seed, default=None)

    @property
    def needed(self) -> int | None:
        """How many seeds it took."""
        return None if self.noticed is None else self.noticed.seed - self.first + 1

    @property
    def promises(self) -> list[str]:
        """Every promise that the seed broke by which it was noticed."""
        by = self.noticed
        return sorted({each.promise for each in self.figures.violations if by is not None and each.seed == by.seed})


def hunt(
    pool: Pool, bugs: Iterable[str], plan: Plan, *, tell: Callable[[Mapping[str, Hunt]], None] = lambda _: None
) -> dict[str, Hunt]:
    """
    Plant each bug, and play the seeds of a plan until a promise that must notice it is broken.

    They take turns, so that a bug that shows itself rarely does not keep the others waiting.
    """
    until = None if plan.seconds is None else time.time() + plan.seconds
    hunts = {bug: Hunt(known_bug(bug), plan.first) for bug in bugs}

    def tasks() -> Iterator[Task]:
        for seeds in plan.chunks(_CHUNK):
            for bug in [bug for bug, each in hunts.items() if each.noticed is None]:
                if until is not None and time.time() >= until:
                    return
                if hunts[bug].noticed is None:  # not even by now
                    yield Task(seeds, plan.thin, bug, until, plan.patience, BUGS[bug].noticed_by, plan.lives)
            if all(each.noticed is not None for each in hunts.values()):
                return

    def take(task: Task, figures: Figures) -> None:
        hunts[task.bug].figures.add(figures)
        tell(hunts)

    with suppress(KeyboardInterrupt):
        pool.flow(tasks(), take)
    return hunts
