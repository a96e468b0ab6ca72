"""
Maintenance: `nightshift maintenance start`, `end`, `list`.

The service is stopped by the next tick, with its own permission and under the incident's name; nothing is written to it
here. It starts again when somebody ends the maintenance, or by itself at the time that was said.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from nightshift.cli import pages, requests
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Where, find
from nightshift.cli.looking import policy_for, suggestion
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table, Yes
from nightshift.cli.switching import reason
from nightshift.cli.telling import open_now
from nightshift.incidents import Event, Incidents
from nightshift.model import Acknowledgement, Incident, Phase, Plan, Refusal, Request, Target
from nightshift.remediations.ecs_maintenance import EcsMaintenance
from nightshift.report import safe
from nightshift.report.words import duration, moment, name_of

__all__ = ["maintenance"]

_MOST = 1000
"""open incidents that are looked through"""
_SPAN = re.compile(r"(?:(?P<hours>[0-9]{1,3})h)?(?:(?P<minutes>[0-9]{1,4})m)?", re.ASCII)
_TEXT = 40  # characters of a time: no way of writing one needs more

maintenance = typer.Typer(no_args_is_help=True, help="Stop a service for work on it, and have it started again.")

_Target = Annotated[str, typer.Argument(help="The service's ARN, or its name where only one is called so.")]
_Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="What the work is, if you like. It is kept, and shown.")
]


@maintenance.command("start")
def start(
    ctx: typer.Context,
    target: _Target,
    *,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            metavar="WHEN",
            help="When it starts again by itself: 2026-11-29T04:00Z, or from now on: 90m, 2h.",
        ),
    ],
    why: _Reason = "",
    yes: Yes = False,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Have a service stopped until a time. Shows the plan first; your yes is its approval.

    Within a minute or two it is stopped, if everything still holds: autoscaling is suspended, then the number of tasks
    is set to 0. While that lasts Nightshift begins no cure there. At the end it starts again by itself, and people are
    told that nobody had ended it.
    """
    context = here(ctx, json=json)
    if json and not yes:
        raise typer.BadParameter("--json asks nothing back: say --yes")
    why = reason(why) if why else ""
    now = context.clock()
    ends = _when(until, now)
    policy = policy_for(context, config)
    cure, aimed = requests.chosen(policy, EcsMaintenance, target, "service", "services")
    deployment = find(context, Where(config, stack, table, profile, region))
    request = Request(deployment.caller.arn, now, ends, why)
    asked = requests.Asked(cure, aimed, cure.asked(aimed, request), request, "Stop", "is not stopped")
    done = requests.put(context, policy, deployment, asked, yes=yes)
    if done is None:
        raise _taken(deployment.incidents, cure, aimed)
    _begun(context, deployment, *done)


@maintenance.command("end")
def end(
    ctx: typer.Context,
    target: _Target,
    *,
    why: _Reason = "",
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Have a service started again, as it ran before. What was not begun yet is withdrawn."""
    context = here(ctx, json=json)
    why = reason(why) if why else ""
    deployment = find(context, Where(config, stack, table, profile, region))
    store = deployment.incidents
    found = _asked(context, store)
    matches = [each for each in found if target in (each.target, name_of(each.target))]
    if not matches:
        names = [name_of(each.target) for each in found]
        raise Declined(f"no maintenance of {safe(target, 300)} is open", suggestion(target, names, "Open is that of"))
    if len(matches) > 1:
        raise Declined(
            f"{safe(target, 80)} is the name of {len(matches)} services",
            f"Name one of {', '.join(safe(each.target, 300) for each in matches)}",
        )
    [incident] = matches
    word = Acknowledgement(deployment.caller.arn, context.clock(), why)
    because = f": {why}" if why else ""
    if not store.recall(incident.id, word, event=Event(word.at, "ended", f"ended by {word.by}{because}")):
        raise _ended(store.get(incident.id) or incident)
    document = {**_document(incident), "ended_by": word.by, "ended_at": pages.time_document(word.at)}
    said = f"{word.by} has ended the maintenance of {name_of(incident.target)}."
    follows = (
        "It was not begun, and is withdrawn." if not incident.attempts else "It starts again within a minute or two."
    )
    context.tell(document, pages.lines((said, "bold green"), follows))
    requests.waits(context, store)


@maintenance.command("list")
def list_(
    ctx: typer.Context,
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """List what is stopped for work on it, or is about to be: who asked for it, why, since when and until when."""
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    found = _asked(context, deployment.incidents)
    document = {"schema": "nightshift.maintenances/1", "maintenance": [_document(each) for each in found]}
    if not found:
        context.tell(document, "Nothing is stopped for maintenance.")
        return
    rows = [
        (
            each.id,
            name_of(each.target),
            safe(request.by, 200, people=False),
            safe(request.why, 200),
            moment(request.at),
            moment(request.until),
            _stands(each),
        )
        for each in found
        if (request := each.finding.request) is not None
    ]
    context.tell(document, pages.table("INCIDENT", "SERVICE", "BY", "WHY", "ASKED", "UNTIL", "IT IS", rows=rows))


# -- what was said ---------------------------------------------------------------------------------------------------


def _when(text: str, now: datetime) -> datetime:
    """A time with its offset from UTC, or how long from now. What Typer makes a usage error of otherwise."""
    text = text.strip()
    span = _SPAN.fullmatch(text[:_TEXT])
    if text and span is not None:
        ends = now + timedelta(hours=int(span["hours"] or 0), minutes=int(span["minutes"] or 0))
    else:
        try:
            ends = datetime.fromisoformat(text[:_TEXT])
        except ValueError:
            raise typer.BadParameter("--until takes a time, as in 2026-11-29T04:00Z, or a span: 90m, 2h") from None
        if ends.tzinfo is None:
            raise typer.BadParameter(f"--until {text} says no offset: write {text}Z where UTC is meant")
    ends = ends.astimezone(UTC).replace(second=0, microsecond=0)
    if ends <= now:
        raise typer.BadParameter(f"--until {moment(ends)} is over")
    return ends


# -- what is said ----------------------------------------------------------------------------------------------------


def _asked(context: Context, store: Incidents) -> list[Incident]:
    """What is open of it: a backup that people have asked for is none."""
    return [each for each in open_now(context, store, _MOST) if each.remediation == EcsMaintenance.name]


def _stands(incident: Incident) -> str:
    if incident.recalled is not None:
        return "being started again"
    if incident.phase is Phase.LEASED:
        return "stopped"
    if incident.attempts:
        return "being stopped"
    return f"waiting: {safe(incident.refusal.guard, 60)}" if incident.refusal is not None else "about to be stopped"


def _document(incident: Incident) -> dict[str, Any]:
    request = incident.finding.request
    return {
        "incident": incident.id,
        "target": safe(incident.target, 1100),
        "by": safe(request.by, 200, people=False) if request else None,
        "why": safe(request.why, 400) if request else None,
        "asked_at": pages.time_document(request.at if request else None),
        "until": pages.time_document(request.until if request else None),
        "phase": incident.phase.value,
        "stopped": incident.lent,
        "undo_by_hand": safe(incident.plan.undo_by_hand, 4000) if incident.plan else None,
    }


def _begun(context: Context, deployment: Deployment, incident: Incident, plan: Plan, held: list[Refusal]) -> None:
    document = {
        "schema": "nightshift.maintenance/1",
        **_document(incident),
        **requests.document(plan, held),
    }
    said = f"{name_of(incident.target)} is to be stopped: incident {incident.id}."
    ends = incident.deadline
    context.tell(
        document,
        pages.lines(
            (said, "bold green"),
            "Within a minute or two it looks again, and stops it if everything still holds.",
            f"It starts again at {moment(ends)}, {duration(ends - context.clock())} from now, or when somebody says:",
            f"  nightshift maintenance end {incident.target}",
        ),
    )
    requests.waits(context, deployment.incidents, held)


def _taken(store: Incidents, cure: EcsMaintenance, target: Target) -> Declined:
    """Somebody was faster, or has it stopped already."""
    other = requests.first(store, cure, target)
    request = other.finding.request if other is not None else None
    if other is None or request is None:
        return Declined("it could not be written down", "Try again")
    return Declined(
        f"{safe(request.by, 200, people=False)} has asked for it already, until {moment(request.until)} "
        f"(incident {other.id})",
        f"Talk to them; to end theirs: nightshift maintenance end {target.arn}",
    )


def _ended(incident: Incident) -> Declined:
    word = incident.recalled
    if word is not None:
        return Declined(f"{safe(word.by, 200, people=False)} has ended it already, at {moment(word.at)}")
    how = incident.verdict.value if incident.verdict else incident.phase.value
    return Declined(f"it is over ({how}: {safe(incident.why, 300)})")
