"""
From a seed that fails to a story that a person can read: fewer scenes, fewer faults, fewer systems, and it fails still.

Every candidate is played in full and must break the same promise. Which call a fault strikes follows from the seed and
the call's number, not from dice that are thrown on the way, so leaving things out leaves the rest much as it was. How
many candidates are played is bounded by number, not by the clock: the same seed gives the same short story everywhere.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby, product
from typing import Any, TypeVar
from unittest.mock import patch

from nightshift.model import Incident

from sandbox.clock import from_ms, to_ms
from sandbox.ledger import fingerprint
from sandbox.seam import Call
from sandbox.simulation.campaign import PATIENCE, performed
from sandbox.simulation.hub import Fate, Running
from sandbox.simulation.nemesis import Nemesis
from sandbox.simulation.promises import Violation
from sandbox.simulation.run import Played, Stage
from sandbox.simulation.story import START, Scene, Story

__all__ = ["RUNS", "Short", "ddmin", "narrated", "shrink"]

T = TypeVar("T")

RUNS = 150
"""candidates that are played at most"""
_ROUNDS = 3
"""how often everything is tried again because something has become smaller"""
_WIDTH = 150
"""columns of a line of the timeline"""


@dataclass(frozen=True)
class Short:
    """What is left of a story, of how many ``scenes``, and how it reads. ``runs`` candidates were played for it."""

    story: Story
    promise: str
    violations: tuple[Violation, ...]
    struck: tuple[str, ...]
    scenes: int
    runs: int
    bug: str = ""
    thin: bool = True

    @property
    def command(self) -> str:
        """What repeats it: the seed is played, fails, and is made as short again."""
        more = (f" --bug {self.bug}" if self.bug else "") + ("" if self.thin else " --moto")
        more += " --lives" if self.story.life else ""
        return f"nightshift simulate --seed {self.story.seed} --runs 1{more}"

    def lines(self) -> list[str]:
        """The story, what happened, and how to see it again."""
        left = f"{len(self.story.scenes)} of {self.scenes} scenes and {len(self.struck)} faults"
        said = [f"Seed {self.story.seed}: {left} are enough ({self.runs} runs to find out)."]
        said += narrated(self.story, self.promise, thin=self.thin, bug=self.bug)
        return [*said, "", f"Again: {self.command}"]


# -- less and less -----------------------------------------------------------------------------------------------------


def ddmin(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """
    The items without which it does not fail: no single one of them can be left out.

    Delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002). That all items
    together fail is taken for granted.
    """
    left, parts = list(items), 2
    while left:
        size = -(-len(left) // parts)
        chunks = [left[start : start + size] for start in range(0, len(left), size)]
        rests = [[each for other in chunks if other is not chunk for each in other] for chunk in chunks]
        for number, candidate in enumerate((*chunks, *rests) if len(chunks) > 1 else rests):
            if len(candidate) < len(left) and fails(candidate):
                left = candidate
                parts = 2 if number < len(chunks) and len(chunks) > 1 else max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(left))
    return left


class _Spent(Exception):
    """Enough has been played."""


class _Shrinking:
    """The shortest story so far that breaks the promise."""

    def __init__(self, promise: str, *, bug: str, thin: bool, runs: int, patience: float) -> None:
        self.promise = promise
        self.played = 0
        self.story: Story | None = None
        self.struck: tuple[str, ...] | None = None  # not known of a run that did not come to its end
        self.violations: tuple[Violation, ...] = ()
        self._how: dict[str, Any] = {"bug": bug, "thin": thin, "patience": patience}
        self._runs = runs
        self._known: set[str] = set()

    def fails(self, candidate: Story) -> bool:
        """Play a candidate; where it breaks the same promise, it is the shortest story from now on."""
        key = repr((replace(candidate, only=None), candidate.only and sorted(candidate.only)))
        if key in self._known:
            return False
        if self.played >= self._runs:
            raise _Spent
        self.played += 1
        struck, violations = performed(
            candidate, lambda played, _: tuple(key for key, *_ in played.stage.nemesis.struck), **self._how
        )
        ours = tuple(each for each in violations if each.promise == self.promise)
        if not ours:
            self._known.add(key)
            return False
        self.story, self.struck, self.violations = candidate, struck, ours
        return True

    def once(self) -> None:
        """Try to leave out everything once, the cheapest first."""
        if self.struck or self.struck is None:
            self.fails(replace(self._best(), only=frozenset()))
        self._calm()
        ddmin(self._best().scenes, lambda scenes: self.fails(replace(self._best(), scenes=tuple(scenes))))
        if self.struck:
            ddmin(self.struck, lambda keys: self.fails(replace(self._best(), only=frozenset(keys))))
        for smaller in _fewer_systems(self._best()):
            if self.fails(smaller):
                break
        for number in range(len(self._best().scenes)):
            self._simpler(number)
        for trouble in (15 * 60, 30 * 60, 60 * 60):
            now = self._best()
            long = trouble < now.trouble and all(scene.at < now.warm_up + trouble for scene in now.scenes)
            if long and self.fails(replace(now, trouble=trouble)):
                break

    def _best(self) -> Story:
        assert self.story is not None  # noqa: S101 - the first candidate was the whole story
        return self.story

    def _calm(self) -> None:
        if self._best().skew_ms:
            self.fails(replace(self._best(), skew_ms=0))
        if self._best().denials:
            self.fails(replace(self._best(), denials=()))

    def _simpler(self, number: int) -> None:
        """One scene with fewer letters."""
        scenes = list(self._best().scenes)
        scene = scenes[number]
        if len(scene.numbers) != 3:
            return
        span, letters, poison = scene.numbers
        for numbers in ((span, 1, 0), (span, letters, 0), (span, 1, poison), (span, 3, poison)):
            if numbers[1] <= letters and numbers != scene.numbers:
                scenes[number] = replace(scene, numbers=numbers)
                if self.fails(replace(self._best(), scenes=tuple(scenes))):
                    return


def shrink(
    story: Story,
    promise: str,
    *,
    thin: bool = True,
    bug: str = "",
    runs: int = RUNS,
    patience: float = PATIENCE,
) -> Short:
    """The shortest story found in so many runs that breaks the promise. Raises ValueError where this one does not."""
    search = _Shrinking(promise, bug=bug, thin=thin, runs=max(runs, 1), patience=patience)
    if not search.fails(story):
        msg = f"seed {story.seed} does not break the promise {promise!r}"
        raise ValueError(msg)
    try:
        for _ in range(_ROUNDS):
            before = search.story
            search.once()
            if search.story == before:
                break
    except _Spent:
        pass
    found = search.story or story
    if search.struck is not None:
        found = replace(found, only=frozenset(search.struck))  # the same run: nothing else struck
    return Short(found, promise, search.violations, search.struck or (), len(story.scenes), search.played, bug, thin)


def _fewer_systems(story: Story) -> Iterator[Story]:
    """The same with fewer systems, the fewest first; scenes find another system where theirs is gone."""
    have = (story.documents, story.usage, story.loans)
    sizes = sorted(product(*(range(most + 1) for most in have)), key=lambda size: (sum(size), size))
    for documents, usage, loans in sizes:
        queues = documents + usage
        if 0 < queues + loans < min(sum(have), 4):
            scenes = tuple(
                replace(scene, which=scene.which % (max(loans, 1) if _lends(scene) else max(queues, 1)))
                for scene in story.scenes
                if (loans if _lends(scene) else queues)
            )
            yield replace(story, documents=documents, usage=usage, loans=loans, scenes=scenes)


def _lends(scene: Scene) -> bool:
    return scene.what.startswith("slow") or scene.what == "set visibility"


# -- how it reads ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    ms: int
    kind: str
    text: str
    among: str = ""  # lines of one kind that follow each other and have this in common are one


def narrated(
    story: Story, promise: str = "", *, thin: bool = True, bug: str = "", patience: float = PATIENCE
) -> list[str]:
    """What a story is made of, and what happened: to the incidents that a violation is about, or to all."""
    struck: list[tuple[str, Running]] = []
    original = Nemesis.fate

    def fate(nemesis: Nemesis, call: Call, running: Running) -> Fate:
        before = len(nemesis.struck)
        found = original(nemesis, call, running)
        if len(nemesis.struck) > before:
            struck.append((nemesis.struck[-1][0], running))
        return found

    with patch.object(Nemesis, "fate", fate):
        told, violations = performed(
            story,
            lambda played, broken: _told(played, [each for each in broken if each.promise == promise], struck),
            thin=thin,
            bug=bug,
            patience=patience,
        )
    ours = [each for each in violations if not promise or each.promise == promise]
    if told is None:
        told = ["The story:", *("  " + line.replace("\n", ", ") for line in story.lines())]
    return [*told, "", *(f"BROKEN  {each}" for each in ours)] if ours else [*told, "", "Every promise was kept."]


def _told(played: Played, broken: list[Violation], struck: list[tuple[str, Running]]) -> list[str]:
    stage, story = played.stage, played.story
    about = _concerned(played, broken)
    tables = {f"remediations.{incident.remediation}" for incident in about} | {"limits", "storm"}
    heading = [
        f"{story.life and f'{story.life}: '}{story.systems}; mode {story.mode}",
        *(f"[{table}] " + text.replace("\n", "; ") for table, text in story.settings.items() if table in tables),
    ]
    if story.skew_ms:
        heading.append(f"clocks up to {story.skew_ms} ms off")
    lines = [*_scenes(stage), *_faults(stage, struck), *_world(stage, about), *_happened(played, about)]
    width = _WIDTH - len("00:00:00  incident  ")
    said = [*heading, ""]
    for line in _joined(sorted(lines, key=lambda each: each.ms)):
        first, *rest = textwrap.wrap(line.text, width, break_on_hyphens=False) or [""]
        said.append(f"{from_ms(line.ms):%H:%M:%S}  {line.kind:<8}  {first}")
        said += (f"{'':20}{more}" for more in rest)
    return said


def _concerned(played: Played, broken: list[Violation]) -> list[Incident]:
    """The incidents that violations are about: by id, by target, by a message; all where nothing tells."""
    texts = " ".join(each.text for each in broken)
    prints = {
        call.principal.name
        for call in played.effects
        if "MessageBody" in call.params and fingerprint(call.params["MessageBody"]) in texts
    }
    for chosen in (
        [each for each in played.incidents if each.id in texts],
        [each for each in played.incidents if each.target in texts],
        [each for each in played.incidents if each.id in prints],
    ):
        if chosen:
            return chosen
    return list(played.incidents)


def _scenes(stage: Stage) -> Iterator[_Line]:
    for scene in stage.story.scenes:
        names = stage.loans.names if _lends(scene) else [system.shape.queue for system in stage.queues]
        whose = f", {names[scene.which % len(names)]}" if names else ""
        numbers = f" {scene.numbers}" if scene.numbers else ""
        yield _Line(to_ms(START + timedelta(seconds=scene.at)), "SCENE", f"{scene.what}{whose}{numbers}")
    yield _Line(to_ms(stage.story.quiet_at), "SCENE", "from here on every cause is healed, and nothing is disturbed")


def _faults(stage: Stage, struck: list[tuple[str, Running]]) -> Iterator[_Line]:
    who = dict(struck)
    for key, fault, ms in stage.nemesis.struck:
        running = who[key]
        yield _Line(ms, "FAULT", f"{key}: {fault.value} ({running.function}, invocation {running.number})", fault.value)
    for running in stage.hub.all:
        if running.dead and running.ended_ms is not None:
            yield _Line(running.ended_ms, "died", f"{running.function}, invocation {running.number}: {running.dead}")


def _world(stage: Stage, about: list[Incident]) -> Iterator[_Line]:
    for target in dict.fromkeys(incident.target for incident in about):
        before = True
        for ms, well in stage.health.get(target, ()):
            if well is not before:
                before = well
                yield _Line(ms, "world", f"{target.rpartition(':')[2]} is {'well again' if well else 'not well'}")


def _happened(played: Played, about: list[Incident]) -> Iterator[_Line]:
    ids = {incident.id for incident in about}
    for incident in about:
        for event in played.stage.nightshift.incidents.events(incident.id):
            yield _Line(to_ms(event.at), "incident", f"{incident.id} {event.kind}: {event.text}")
    for call in played.effects:
        if call.principal.name in ids:
            by = f"{call.principal.name}, invocation {call.notes.get('invocation')}"
            yield _Line(call.notes["effect_ms"], "write", f"{call.name} {_object(call)}", by)
    for mail in played.stage.world.mail:
        if any(id_ in mail.text for id_ in ids):
            yield _Line(to_ms(mail.at), "mail", mail.subject or "(no subject)")


def _object(call: Call) -> str:
    names = ("QueueUrl", "SourceArn", "service", "Key", "TaskHandle")
    found = next((str(call.params[name]) for name in names if name in call.params), "")
    return found.split("/")[-1].split(":")[-1][:60]


def _joined(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Lines that follow each other and have something in common are one."""
    for (_, among), group in groupby(lines, key=lambda each: (each.kind, each.among)):
        first, *more = list(group)
        if not among or not more:
            yield from (first, *more)
            continue
        times = Counter(each.text for each in (first, *more))
        text = ", ".join(text if count == 1 else f"{text} x{count}" for text, count in times.items())
        yield replace(first, text=text)
