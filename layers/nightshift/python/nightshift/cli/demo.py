"""`nightshift demo`: eight nights in an AWS account that exists on this machine only, told while they happen."""

from __future__ import annotations

import json as json_module
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nightshift.errors import NightshiftError
from nightshift.model import Verdict

# The sandbox is a development dependency: whoever runs this command has it, the layer has not.
from sandbox.scenes import SCENES, Played, Scene, play

__all__ = ["run"]

_AT_ONCE = 2
"""nights that are played at the same time: each takes a core"""
_COLOUR = {
    Verdict.FIXED: "green",
    Verdict.RECOVERED: "green",
    Verdict.REFUSED: "yellow",
    Verdict.ESCALATED: "red",
}


def run(out: Console, *, json: bool = False, only: Sequence[str] = (), reports: Path) -> int:
    """
    Play the scenes (or those named in ``only``), write the reports under ``reports``, and show how each night ended.

    0 when every night ended as it should and no message was lost; 1 otherwise. Raises NightshiftError for a scene that
    there is not.
    """
    scenes = _chosen(only)
    reports.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    played = []
    with ProcessPoolExecutor(_AT_ONCE, mp_context=get_context("spawn")) as pool:  # one world at a time in a process
        nights = [pool.submit(_play, scene.key, reports) for scene in scenes]
        for number, (scene, night) in enumerate(zip(scenes, nights, strict=True), 1):
            with out.status(f"[bold]{scene.title}[/] … {scene.breaks}"):
                played.append(night.result())
            if not json:
                _tell(out, number, played[-1])
    if json:
        out.print_json(json_module.dumps([_facts(night) for night in played]))
    else:
        _summary(out, played, time.perf_counter() - began, reports)
    return 0 if all(night.as_told for night in played) else 1


def _play(key: str, reports: Path) -> Played:
    """
    Play one night, in a process of its own, and write down what would have been mailed and logged.

    The functions' log lines and metrics go to a file, as they would go to CloudWatch: the terminal is for the story.
    """
    [scene] = _chosen([key])
    with (reports / f"{key}.log.jsonl").open("w", encoding="utf-8") as log, redirect_stdout(log):
        handlers = [
            each for each in logging.getLogger("nightshift").handlers if isinstance(each, logging.StreamHandler)
        ]
        for handler in handlers:
            handler.setStream(log)
        night = play(scene)
        _write(night, reports)
        for handler in handlers:
            handler.setStream(sys.__stderr__)
    return replace(night, trail=())


def _chosen(only: Sequence[str]) -> tuple[Scene, ...]:
    known = {scene.key: scene for scene in SCENES}
    if unknown := [key for key in only if key not in known]:
        msg = f"there is no scene {unknown[0]!r}; there are: {', '.join(known)}"
        raise NightshiftError(msg)
    return tuple(known[key] for key in only) if only else SCENES


def _tell(out: Console, number: int, night: Played) -> None:
    out.print(f"\n[bold]{number}. {night.scene.title}[/]  [dim]{night.scene.breaks}[/]")
    for incident in night.incidents:
        verdict = incident.verdict
        line = Text("   ")
        line.append(
            f"{verdict.value if verdict else 'open':<11}", style=_COLOUR.get(verdict, "bold") if verdict else ""
        )
        line.append(f"{incident.remediation}: {incident.why}")
        out.print(line)


def _summary(out: Console, played: Sequence[Played], seconds: float, reports: Path) -> None:
    table = Table(
        title="How the nights ended",
        box=SIMPLE_HEAD,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        caption="moved = processed + returned + quarantined + remaining; nothing is lost",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("night", "verdict"):
        table.add_column(column, no_wrap=True)
    for column in ("moved", "proc.", "ret.", "quar.", "rem.", "lost", "mails"):
        table.add_column(column, justify="right", no_wrap=True)
    for night in played:
        ledger = night.ledger
        verdicts = ", ".join(incident.verdict.value if incident.verdict else "open" for incident in night.incidents)
        numbers = (ledger.moved, ledger.processed, ledger.returned, ledger.quarantined, ledger.remaining, night.lost)
        style = "" if night.as_told else "bold red"
        table.add_row(night.scene.key, verdicts, *map(str, numbers), str(len(night.mail)), style=style)
    out.print()
    out.print(table)
    hours = sum(night.virtual.total_seconds() for night in played) / 3600
    calls = sum(night.calls for night in played)
    out.print(f"{hours:.0f} hours in {seconds:.0f} seconds, {calls:,} AWS calls, none of which left this machine.")
    out.print(f"The reports that would have been mailed: {reports}")
    for night in played:
        if not night.as_told:
            out.print(f"[bold red]{night.scene.key} did not end as it should[/]: {'; '.join(_wrong(night))}")


def _wrong(night: Played) -> Iterable[str]:
    ends = [
        (incident.remediation, incident.verdict.value if incident.verdict else "open") for incident in night.incidents
    ]
    if sorted(ends) != sorted((name, verdict.value) for name, verdict in night.scene.ends):
        yield f"ended as {ends}"
    if night.lost:
        yield f"{night.lost} messages lost or made up"
    if not night.ledger.balanced:
        yield f"the ledger does not balance: {night.ledger}"
    yield from night.errors[:3]


def _write(night: Played, reports: Path) -> None:
    for old in reports.glob(f"{night.scene.key}-*.txt"):  # of an earlier run
        old.unlink()
    for number, mail in enumerate(night.mail, 1):
        text = f"Subject: {mail.subject}\nDate: {mail.at:%Y-%m-%d %H:%M:%S} UTC\n\n{mail.text}"
        (reports / f"{night.scene.key}-{number}.txt").write_text(text, encoding="utf-8")


def _facts(night: Played) -> dict[str, object]:
    return {
        "scene": night.scene.key,
        "as_told": night.as_told,
        "incidents": [
            {
                "id": incident.id,
                "remediation": incident.remediation,
                "target": incident.target,
                "verdict": incident.verdict.value if incident.verdict else None,
                "why": incident.why,
            }
            for incident in night.incidents
        ],
        "ledger": {
            name: getattr(night.ledger, name)
            for name in ("moved", "processed", "returned", "quarantined", "remaining", "left", "uncertain")
        },
        "lost": night.lost,
        "duplicates": night.duplicates,
        "mails": [mail.subject for mail in night.mail],
        "virtual_seconds": night.virtual.total_seconds(),
        "calls": night.calls,
        "writes": night.writes,
    }
