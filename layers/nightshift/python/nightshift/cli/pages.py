"""What commands show on a terminal: tables and lines, in one look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from nightshift.model import (
    Call,
    Incident,
    Json,
    Observation,
    Phase,
    Plan,
    Refusal,
    Sick,
    SwitchState,
    Verdict,
)
from nightshift.report import safe
from nightshift.report.words import changes, clock, duration, moment, money, number, shown, utc

__all__ = [
    "HEALTH",
    "headed",
    "how_it_stands",
    "lines",
    "pairs",
    "plan_document",
    "plan_lines",
    "refusal_document",
    "state_text",
    "table",
    "time_document",
    "verdict_text",
]

HEALTH: Mapping[str, str] = {"healthy": "green", "sick": "bold red", "unknown": "bold yellow"}
_VERDICT = {Verdict.FIXED: "green", Verdict.RECOVERED: "green", Verdict.REFUSED: "yellow"}
_SWITCH = {SwitchState.ON: "bold green", SwitchState.PAUSED: "bold yellow", SwitchState.HALTED: "bold red"}


def table(*columns: str, rows: Iterable[Sequence[str | Text]], title: str = "") -> Table:
    """A table whose cells are folded rather than cut: what is shown is all there is."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def pairs(*rows: tuple[str, str | Text]) -> Table:
    """What something is called, and how it is: a line each."""
    made = Table.grid(padding=(0, 3, 0, 0))
    made.add_column(style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(Text(name), value if isinstance(value, Text) else Text(value))
    return made


def lines(*parts: str | Text | tuple[str, str]) -> Text:
    """Lines of text; a (text, style) pair is a line in that style."""
    made = (
        part if isinstance(part, Text) else Text(*part) if isinstance(part, tuple) else Text(part) for part in parts
    )
    return Text("\n").join(made)


def headed(page: str, first: str = "bold") -> Text:
    """A page with its headings set off: only they begin in the first column."""
    said: list[tuple[str, str]] = []
    for place, line in enumerate(page.rstrip("\n").split("\n")):
        heading = bool(line) and not line[0].isspace()
        said.append((line, first if place == 0 else "bold" if heading else ""))
    return lines(*said)


def time_document(when: datetime | None) -> str | None:
    """A time for machines."""
    return utc(when).isoformat() if when is not None else None


# -- what was seen ---------------------------------------------------------------------------------------------------


def signal_lines(observation: Observation) -> list[str]:
    """What was measured, against what, and the evidence: a line each."""
    if not isinstance(observation, Sick):
        return []
    finding = observation.finding
    measured = [
        f"  - {safe(signal.name, 100)}: {number(signal.value)}{f' {safe(signal.unit, 30)}' if signal.unit else ''}"
        f" (threshold {number(signal.threshold)}{f', over {safe(signal.window, 60)}' if signal.window else ''})"
        for signal in finding.signals
    ]
    return [*measured, *(f"  - {safe(text, 300)}" for text in finding.evidence)]


# -- a plan ----------------------------------------------------------------------------------------------------------


def plan_lines(plan: Plan) -> list[str | tuple[str, str]]:
    """All that a plan would do, undo included: what a person says yes or no to."""
    said: list[str | tuple[str, str]] = [(f"Plan {safe(plan.hash, 16)}: {safe(plan.summary, 400)}", "bold")]
    for step in plan.steps:
        said.append(f"  step {safe(step.name, 60)}, then wait {duration(step.settle)} and look")
        for call in step.calls:
            said += _call_lines(call)
        for call in step.undo:
            said += _call_lines(call, "to take it back: ")
    said += [
        f"  Cost  {_cost(plan)}",
        f"  Risk  {safe(plan.risk, 300) or 'not stated'}",
        f"  Lasts {f'{duration(plan.lease)}, then it is taken back' if plan.lease else 'nothing to take back'}",
    ]
    return said


def _call_lines(call: Call, prefix: str = "") -> list[str]:
    times = f", at most {call.times:,} times" if call.times != 1 else ""
    said = [f"    {prefix}{safe(call.action, 100)} on {safe(call.resource, 1100)}{times}"]
    after: Mapping[str, Json] = call.params
    said += [f"        {line}" for line in changes(call.before, after)]
    said += [f"        and what AWS does for it: {action} on {safe(arn, 1100)}" for action, arn in call.grants]
    if call.why:
        said.append(f"        because {safe(call.why, 300)}")
    return said


def _cost(plan: Plan) -> str:
    if plan.cost_per_hour is None:
        return "nobody knows"
    if plan.cost_per_hour == 0:
        return "nothing extra"
    text = f"{money(plan.cost_per_hour)} an hour"
    if plan.lease is None:
        return text
    return f"{text}, about {money(plan.cost_per_hour * (plan.lease / timedelta(hours=1)))} for {duration(plan.lease)}"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The same for machines."""
    return {
        "hash": safe(plan.hash, 40),
        "summary": safe(plan.summary, 400),
        "risk": safe(plan.risk, 300),
        "cost_per_hour_usd": shown(plan.cost_per_hour),
        "lease_seconds": plan.lease.total_seconds() if plan.lease is not None else None,
        "undo_by_hand": safe(plan.undo_by_hand, 4000),
        "steps": [
            {
                "name": safe(step.name, 60),
                "settle_seconds": step.settle.total_seconds(),
                "calls": [_call_document(call) for call in step.calls],
                "undo": [_call_document(call) for call in step.undo],
            }
            for step in plan.steps
        ],
    }


def _call_document(call: Call) -> dict[str, Any]:
    return {
        "action": safe(call.action, 100),
        "resource": safe(call.resource, 1100),
        "params": shown(call.params),
        "before": shown(call.before),
        "times": call.times,
        "why": safe(call.why, 300),
    }


def refusal_document(refusal: Refusal) -> dict[str, Any]:
    """What a guardrail said, for machines."""
    return {
        "guard": safe(refusal.guard, 60),
        "reason": safe(refusal.reason, 400),
        "numbers": shown(refusal.numbers),
        "retry_after_seconds": refusal.retry_after.total_seconds() if refusal.retry_after is not None else None,
        "link": safe(refusal.link or "", 1100),
    }


# -- an incident -----------------------------------------------------------------------------------------------------


def how_it_stands(incident: Incident, now: datetime) -> str:
    """Why an incident is where it is, in a sentence."""
    if incident.decided:
        return safe(incident.why, 300)
    if incident.refusal is not None and incident.phase is not Phase.LEASED:
        return f"held by {safe(incident.refusal.guard, 60)}: {safe(incident.refusal.reason, 300)}"
    asked = incident.approval
    if incident.phase is Phase.AWAITING and asked is not None:
        if asked.answer:
            return f"{safe(asked.answer, 20)} by {safe(asked.by, 200, people=False)}"
        if now >= asked.expires_at:
            return f"nobody answered before {moment(asked.expires_at)}"
        return f"asks for approval until {clock(asked.expires_at, now)}"
    return safe(incident.finding.symptom, 300)


def verdict_text(incident: Incident) -> Text:
    """The verdict, coloured by whether a person is wanted."""
    if incident.verdict is None:
        return Text("")
    return Text(incident.verdict.value, _VERDICT.get(incident.verdict, "bold red"))


def state_text(state: SwitchState | None) -> Text:
    """The kill switch's state. One that was never set, or says what we do not know, stops everything."""
    if state is None:
        return Text("as good as halted", "bold red")
    return Text(state.value, _SWITCH[state])
