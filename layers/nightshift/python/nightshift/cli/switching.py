"""Commands about the whole of Nightshift: `status`, `pause`, `resume`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Where, find
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table, Why
from nightshift.cli.telling import open_now
from nightshift.incidents import Switch
from nightshift.model import SwitchState
from nightshift.remediations.ecs_maintenance import EcsMaintenance
from nightshift.report import safe
from nightshift.report.words import duration, moment

__all__ = ["STALE", "pause", "reason", "resume", "status"]

STALE = timedelta(minutes=3)
"""after which a heartbeat is missed loudly: sweeps come once a minute"""
_MOST = 1000
"""open incidents that are looked through"""
_LONGEST = 400
"""characters of a reason: what every report shows of it"""


def status(
    ctx: typer.Context,
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Say whether Nightshift is awake, may act, and is busy: kill switch, storm brake, last sweep, open incidents."""
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    store, now = deployment.incidents, context.clock()
    switch, brake, beat = store.switch(), store.brake(), store.heartbeat()
    open_ids = sorted(store.open_ids(), reverse=True)
    stopped = [each for each in open_now(context, store, _MOST) if each.remediation == EcsMaintenance.name]
    age = now - beat[0] if beat else None
    stale = age is None or age > STALE
    document = {
        "schema": "nightshift.status/1",
        "deployment": deployment.name,
        "at": pages.time_document(now),
        "switch": _switch_document(switch),
        "brake": {
            "engaged": brake.engaged,
            "reason": safe(brake.reason, 400),
            "since": pages.time_document(brake.since),
            "sick": brake.sick,
        },
        "heartbeat": {
            "at": pages.time_document(beat[0]) if beat else None,
            "age_seconds": age.total_seconds() if age is not None else None,
            "stale": stale,
            "seen": beat[1] if beat else {},
        },
        "open": open_ids,
        "maintenance": [each.id for each in stopped],
    }
    figures = ", ".join(f"{value} {safe(name, 40)}" for name, value in sorted(beat[1].items())) if beat else ""
    sweep = (
        Text("never: no sweep was ever completed", "bold red")
        if age is None or beat is None
        else Text(f"{moment(beat[0])}, {duration(age)} ago: {figures}", "bold red" if stale else "")
    )
    storm = (
        f"ENGAGED since {moment(brake.since)}: {safe(brake.reason, 400)}"
        if brake.engaged and brake.since
        else "not engaged"
    )
    context.tell(
        document,
        pages.pairs(
            ("kill switch", _told(switch)),
            ("storm brake", Text(storm, "bold yellow" if brake.engaged else "")),
            ("last sweep", sweep),
            ("open", f"{len(open_ids)}{': ' if open_ids else ''}{', '.join(open_ids[:10])}"),
            *(("maintenance", safe(each.finding.symptom, 400, people=False)) for each in stopped[:10]),
        ),
    )
    if stale:
        last = "no sweep was ever completed" if age is None else f"the last sweep is {duration(age)} old"
        context.note(
            f"NOBODY IS WATCHING: {last}, and one should come every minute. The sweep function's log says why.",
            style="bold red",
        )


def pause(
    ctx: typer.Context,
    *,
    why: Why,
    hard: Annotated[
        bool, typer.Option("--hard", help="Halt: write nothing at all, not even to take back what was lent.")
    ] = False,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Stop it: nothing new is started, what it started is stopped, what it lent is taken back.

    It goes on looking and telling. Never loosens: what is halted stays halted until `nightshift resume`.
    """
    context = here(ctx, json=json)
    why = reason(why)
    deployment = find(context, Where(config, stack, table, profile, region))
    wanted = SwitchState.HALTED if hard else SwitchState.PAUSED
    before = deployment.incidents.switch()
    if wanted is SwitchState.PAUSED and before.state in (None, SwitchState.HALTED):
        raise _stricter(before)
    _set(context, deployment, before, wanted, why)


def resume(
    ctx: typer.Context,
    *,
    why: Why,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Switch it on: from now on modes and guardrails decide. A fresh deployment waits for this."""
    context = here(ctx, json=json)
    why = reason(why)
    deployment = find(context, Where(config, stack, table, profile, region))
    _set(context, deployment, deployment.incidents.switch(), SwitchState.ON, why)


def reason(why: str) -> str:
    """A reason that says something, and fits into a report. What Typer makes a usage error of otherwise."""
    why = why.strip()
    if not why or len(why) > _LONGEST:
        raise typer.BadParameter(f"--why takes a reason of 1 to {_LONGEST} characters")
    return why


def _stricter(switch: Switch) -> Declined:
    state = "halted" if switch.state else "not on"
    return Declined(
        f"it is {state} already, which is stricter than paused ({safe(switch.reason, 400)})",
        'Nothing is written to any target. To write that down with your reason: nightshift pause --hard --why "…"',
    )


def _set(context: Context, deployment: Deployment, before: Switch, wanted: SwitchState, why: str) -> None:
    store, by, now = deployment.incidents, deployment.caller.arn, context.clock()
    if not store.set_switch(wanted, reason=why, by=by, now=now, tighten=wanted is SwitchState.PAUSED):
        raise _stricter(store.switch())  # somebody has halted it meanwhile
    now_is = store.switch()
    document = {
        "schema": "nightshift.switch/1",
        "deployment": deployment.name,
        "before": _switch_document(before),
        "after": _switch_document(now_is),
    }
    context.tell(document, pages.pairs(("it was", _told(before)), ("it is", _told(now_is))))


def _switch_document(switch: Switch) -> dict[str, Any]:
    return {
        "state": switch.state.value if switch.state else None,
        "may_act": switch.state is SwitchState.ON,
        "reason": safe(switch.reason, 400),
        "by": safe(switch.by, 200, people=False),
        "at": switch.at or None,
    }


def _told(switch: Switch) -> Text:
    who = f" by {safe(switch.by, 200, people=False)}" if switch.by else ""
    at = f" at {_moment(switch.at)}" if switch.at else ""
    return Text.assemble(pages.state_text(switch.state), f"{who}{at}: {safe(switch.reason, 400)}")


def _moment(text: str) -> str:
    try:
        return moment(datetime.fromisoformat(text))
    except ValueError:
        return safe(text, 40)
