"""`nightshift simulate`: many nights in which everything goes wrong, and whether every promise was kept."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

# The sandbox is a development dependency: whoever runs this command has it, the layer has not.
from sandbox.simulation.bugs import BUGS
from sandbox.simulation.campaign import (
    HANGS,
    PATIENCE,
    Figures,
    Found,
    Hunt,
    Plan,
    Pool,
    campaign,
    drawn,
    hunt,
    known_bug,
    percentile,
)
from sandbox.simulation.shrink import RUNS, narrated, shrink

__all__ = ["run"]

ALL = "all"
"""the name that means every seeded bug"""
_RUNS = 20
"""seeds that are played where nobody says how many, or how long"""
_STORIES = 3
"""violations that are made into short stories: the first seed of so many promises"""
_SHOWN = 10
"""seeds that are named where many broke one promise"""
_MOTO = 10
"""how many times longer a run may take on the full cloud"""


def run(
    out: Console,
    *,
    seed: int = 1,
    runs: int | None = None,
    minutes: float | None = None,
    jobs: int | None = None,
    json: bool = False,
    story: bool = False,
    moto: bool = False,
    lives: bool = False,
    bug: str = "",
    short: bool = True,
) -> int:
    """
    Play seeds from ``seed`` on, or look for a planted ``bug``, or tell the story of one seed; show what came of it.

    A seed draws a story, or with ``lives`` plays the next of the lives in its weather.

    0 when every promise was kept (with a bug: when it was noticed); 1 otherwise. Raises NightshiftError for a bug that
    there is not.
    """
    if bug and (bug != ALL or story):
        known_bug(bug)
    plan = Plan(
        first=seed,
        runs=runs if runs is not None or minutes is not None else _RUNS,
        seconds=None if minutes is None else minutes * 60,
        thin=not moto,
        patience=PATIENCE * (_MOTO if moto else 1),
        lives=lives,
    )
    if story:
        return _tell_story(out, plan, bug, json=json)
    with Pool(jobs) as pool, out.status("Starting …") as status:
        if bug:
            return _hunt(out, pool, status, plan, bug, json=json, short=short)
        return _campaign(out, pool, status, plan, json=json, short=short)


def _campaign(out: Console, pool: Pool, status: Status, plan: Plan, *, json: bool, short: bool) -> int:
    began = time.perf_counter()
    told = set[Found]()

    def tell(so_far: Figures) -> None:
        if not json:  # a long campaign has something to look into before it is over
            for found in so_far.violations:
                if found not in told:
                    out.print(Text(f"BROKEN  {found.promise}, by seed {found.seed}", style="bold red"))
                    told.add(found)
        status.update(f"{so_far.seeds:,} seeds, {so_far.count:,} incidents, {len(so_far.violations)} violations …")

    figures = campaign(pool, plan, tell=tell)
    seconds = time.perf_counter() - began
    worst = _first_of_each(figures.violations)
    if not json:  # at once: making a story short may take longer than all of this
        out.print(_table(figures, plan.first, seconds))
        for found in worst:
            seeds = sorted({each.seed for each in figures.violations if each.promise == found.promise})
            out.print(Text(f"BROKEN  {found.promise}: {found.text}", style="bold red"))
            out.print(Text(f"        by {_seeds(seeds)}"))
    stories = _short_stories(pool, status, worst[:_STORIES], "", plan) if short else {}
    status.stop()
    if json:
        out.print_json(json_module.dumps({**figures.document(), "stories": _documents(stories)}))
    elif worst:
        for lines in stories.values():
            out.print()
            _print_story(out, lines)
    else:
        out.print(Text("Every promise was kept.", style="green") if figures.seeds else Text("Nothing was played."))
    return 1 if worst else 0


def _hunt(out: Console, pool: Pool, status: Status, plan: Plan, bug: str, *, json: bool, short: bool) -> int:
    def tell(hunts: Mapping[str, Hunt]) -> None:
        noticed = sum(each.noticed is not None for each in hunts.values())
        seeds = sum(each.figures.seeds for each in hunts.values())
        status.update(f"{noticed} of {len(hunts)} bugs noticed, {seeds:,} runs …")

    hunts = hunt(pool, tuple(BUGS) if bug == ALL else [bug], plan, tell=tell)
    found = [each.noticed for each in hunts.values() if each.noticed is not None]
    stories = _short_stories(pool, status, found, bug, plan) if short and bug != ALL else {}
    status.stop()
    if json:
        out.print_json(json_module.dumps({**_hunts_document(hunts), "stories": _documents(stories)}))
    else:
        out.print(_hunts_table(hunts))
        for each in found:
            _print_story(out, stories.get(each))
        asleep = [name for name, each in hunts.items() if each.noticed is None]
        out.print(
            Text(f"Not noticed: {', '.join(asleep)}", style="bold red")
            if asleep
            else Text("Every bug was noticed." if bug == ALL else "It was noticed.", style="green")
        )
    return 0 if len(found) == len(hunts) else 1


def _tell_story(out: Console, plan: Plan, bug: str, *, json: bool) -> int:
    told = drawn(plan.first, thin=plan.thin, bug=bug, lives=plan.lives)
    lines = narrated(told, thin=plan.thin, bug=bug, patience=plan.patience)
    broken = [line for line in lines if line.startswith("BROKEN  ")]
    if json:
        out.print_json(json_module.dumps({"schema": "nightshift.story/1", "seed": plan.first, "lines": lines}))
    else:
        out.print(Text(f"Seed {plan.first}", style="bold"))
        _print_story(out, lines)
    return 1 if broken else 0


# -- short stories -----------------------------------------------------------------------------------------------------


def _first_of_each(violations: Iterable[Found]) -> list[Found]:
    """The first violation of each promise, the earliest seeds first."""
    first: dict[str, Found] = {}
    for each in violations:
        first.setdefault(each.promise, each)
    return sorted(first.values(), key=lambda each: each.seed)


def _short_stories(
    pool: Pool, status: Status, violations: Sequence[Found], bug: str, plan: Plan
) -> dict[Found, list[str]]:
    """Each in a process of its own; where even that does not come back, there is no story."""
    if violations:
        status.update(f"Making {len(violations)} of the violations shorter, {RUNS} runs each at most …")
    told = {each: pool.submit(_short_story, each.seed, each.promise, bug, plan, RUNS) for each in violations}
    return {each: future.result() for each, future in told.items()}


def _short_story(seed: int, promise: str, bug: str, plan: Plan, runs: int) -> list[str]:
    """In a process of the pool."""
    story = drawn(seed, thin=plan.thin, bug=bug, lives=plan.lives)
    if promise == HANGS:
        return [line.replace("\n", ", ") for line in story.lines()]  # each try would take as long as a run may take
    try:
        return shrink(story, promise, thin=plan.thin, bug=bug, runs=runs, patience=plan.patience).lines()
    except ValueError as error:  # it does not fail twice: that is worth knowing, and no reason to lose the figures
        return [f"Played again, {error}. A run must not depend on what ran before it."]


def _documents(stories: Mapping[Found, list[str]]) -> list[dict[str, Any]]:
    return [{"seed": each.seed, "promise": each.promise, "lines": lines} for each, lines in stories.items()]


_STYLES = {"SCENE": "bold", "FAULT": "yellow", "died": "yellow", "write": "cyan", "mail": "green", "BROKEN": "bold red"}


def _print_story(out: Console, lines: Sequence[str] | None) -> None:
    for line in lines or ():
        words = line.split(maxsplit=2)
        kind = words[0] if line.startswith("BROKEN") else words[1] if len(words) > 1 and line[2:3] == ":" else ""
        out.print(Text(f"  {line}", style=_STYLES.get(kind, "")), soft_wrap=True)


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(figures: Figures, first: int, seconds: float) -> Table:
    made = Table(
        title="What came of it", box=SIMPLE_HEAD, show_header=False, title_justify="left", pad_edge=False, min_width=60
    )
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    cpu = max(figures.cpu_seconds, 0.001)
    made.add_row("seeds", f"{figures.seeds:,}, from {first} on")
    made.add_row("virtual time", f"{figures.virtual_seconds / 3600:,.0f} hours in {seconds:,.0f} seconds")
    made.add_row("incidents", f"{figures.count:,}; {figures.count / cpu:.1f} per CPU-second")
    for remediation, verdicts in sorted(figures.incidents.items()):
        made.add_row(f"  {remediation}", _counts(verdicts))
    made.add_row("invocations", f"{figures.invocations:,}")
    made.add_row("AWS calls", f"{figures.calls:,}; {figures.writes:,} writes to targets took effect")
    made.add_row("mails", f"{figures.mails:,}")
    made.add_row("faults", f"{figures.faults.total():,}")
    for fault, count in figures.faults.most_common():
        made.add_row(f"  {fault}", f"{count:,}")
    made.add_row("minutes to verdict", "half of them, nine of ten, all")
    for verdict in sorted(figures.minutes):
        within = (figures.percentile(verdict, share) for share in (0.5, 0.9, 1))
        made.add_row(f"  {verdict}", ", ".join(f"{minutes:.0f}" for minutes in within))
    if figures.applied:
        made.add_row("minutes to the first write", "the same, where nothing held it")
    for remediation in sorted(figures.applied):
        within = (percentile(figures.applied[remediation], share) for share in (0.5, 0.9, 1))
        made.add_row(f"  {remediation}", ", ".join(f"{minutes:.0f}" for minutes in within))
    broken = f"{len(figures.violations):,}" + (f" ({_counts(figures.broken)} seeds)" if figures.violations else "")
    made.add_row("violations", Text(broken, style="bold red" if figures.violations else "green"))
    return made


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def _seeds(seeds: Sequence[int]) -> str:
    shown = ", ".join(map(str, seeds[:_SHOWN])) + (", …" if len(seeds) > _SHOWN else "")
    return f"seed {shown}" if len(seeds) == 1 else f"{len(seeds)} seeds: {shown}"


def _hunts_table(hunts: Mapping[str, Hunt]) -> Table:
    made = Table(title="Seeded bugs", box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    made.add_column("bug", no_wrap=True)
    made.add_column("seeds", justify="right", no_wrap=True)
    made.add_column("noticed by", overflow="fold")
    made.add_column("what it is", overflow="fold")
    for name, each in hunts.items():
        if each.needed is None:
            others = f"; broke only: {_counts(each.figures.broken)}" if each.figures.violations else ""
            said = Text(f"nobody{others}", style="bold red")
            made.add_row(name, f"> {each.figures.seeds}", said, BUGS[name].what)
        else:
            made.add_row(name, str(each.needed), ", ".join(each.promises), BUGS[name].what)
    return made


def _hunts_document(hunts: Mapping[str, Hunt]) -> dict[str, Any]:
    return {
        "schema": "nightshift.bugs/1",
        "bugs": [
            {
                "bug": name,
                "what": BUGS[name].what,
                "needed": each.needed,
                "seed": each.noticed.seed if each.noticed else None,
                "promises": each.promises,
                "expected": sorted(BUGS[name].noticed_by),
                "figures": each.figures.document(),
            }
            for name, each in hunts.items()
        ],
    }
