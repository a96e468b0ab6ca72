"""Commands that tell what happened: `incidents`, `show`, `timeline`, `leases`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Where, find
from nightshift.cli.looking import case_of
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table
from nightshift.guardrails import MODE
from nightshift.incidents import Event, Incidents
from nightshift.model import Incident, Mode, Verdict
from nightshift.report import Context as ReportContext
from nightshift.report import render, safe, to_json
from nightshift.report.timeline import timeline_to_json
from nightshift.report.words import count, moment, money, name_of

__all__ = ["incidents", "leases", "load", "open_now", "row_document", "show", "timeline"]

_MOST = 1000
"""incidents that are listed at most: a table of more is not read, and a scan is paid for by the item"""


def incidents(
    ctx: typer.Context,
    *,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are not closed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="How many, newest first.")] = 50,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """List incidents, newest first: what was wrong, where it stands, how it ended."""
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    store = deployment.incidents
    found = open_now(context, store, limit) if only_open else _all(context, store)[:limit]
    now = context.clock()
    document = {"schema": "nightshift.incidents/1", "incidents": [row_document(context, each) for each in found]}
    rows = [
        (
            each.id,
            moment(each.opened_at),
            safe(each.remediation, 60),
            name_of(each.target),
            safe(each.group, 80),
            each.phase.value,
            pages.verdict_text(each),
            pages.how_it_stands(each, now),
        )
        for each in found
    ]
    if not rows:
        context.tell(document, "No incident is open." if only_open else "No incident is recorded.")
        return
    columns = ("ID", "OPENED", "REMEDIATION", "TARGET", "SYSTEM", "PHASE", "VERDICT", "WHY")
    context.tell(document, pages.table(*columns, rows=rows))


def open_now(context: Context, store: Incidents, limit: int) -> list[Incident]:
    """
    What is open, newest first.

    By the index, which may lag: each record is read again, and one that was closed since is left out. One that cannot
    be read keeps nobody from the others.
    """
    records = list(store.records(tuple(dict.fromkeys(store.open_ids())), consistent=True))
    found = [each for each in records if each is not None and each.open]
    _say_unreadable(context, len(records) - sum(each is not None for each in records))
    return sorted(found, key=lambda incident: incident.opened_at, reverse=True)[:limit]


def _all(context: Context, store: Incidents) -> list[Incident]:
    """Every record that can be read, newest first."""
    unreadable: list[str] = []
    found = store.recent(limit=None, unreadable=unreadable)
    _say_unreadable(context, len(unreadable))
    return found


def _say_unreadable(context: Context, much: int) -> None:
    if much:
        context.note(f"{count(much, 'record')} cannot be read, and {'is' if much == 1 else 'are'} not in this.")


def row_document(context: Context, each: Incident) -> dict[str, Any]:
    """An incident in a list, for machines."""
    return {
        "id": each.id,
        "opened_at": pages.time_document(each.opened_at),
        "closed_at": pages.time_document(each.closed_at),
        "remediation": safe(each.remediation, 80),
        "target": safe(each.target, 1100),
        "system": safe(each.group, 80),
        "severity": each.severity.value,
        "phase": each.phase.value,
        "verdict": each.verdict.value if each.verdict else None,
        "acknowledged_by": safe(each.acknowledged.by, 200, people=False) if each.acknowledged else None,
        "why": pages.how_it_stands(each, context.clock()),
    }


def show(
    ctx: typer.Context,
    incident: Annotated[str, typer.Argument(metavar="ID", help="The incident's id.")],
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Show the whole report on an incident: what was seen, the cause, every call, the timeline, what to do next."""
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    found, events = _whole(deployment.incidents, incident)
    about = _about(context, deployment, found)
    document = to_json(found, events, context=about)
    context.tell(document, _page(render(found, events, context=about), found))


def timeline(
    ctx: typer.Context,
    incident: Annotated[str, typer.Argument(metavar="ID", help="The incident's id.")],
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Write the draft of a post-incident review, as Markdown: what happened when (UTC), decisions, calls, who was told.

    Root cause, impact and prevention are headings that are left blank: those are for people.
    """
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    found, events = _whole(deployment.incidents, incident)
    about = _about(context, deployment, found)
    document = timeline_to_json(found, events, context=about)
    context.tell(document, Text(str(document["markdown"]).rstrip("\n")))


def _whole(store: Incidents, incident: str) -> tuple[Incident, list[Event]]:
    """The record with its links, and its timeline."""
    found = load(store, incident)
    links = store.links(found.id)
    found = replace(found, links=tuple(dict.fromkeys((*found.links, *links))))
    return found, store.events(found.id)


# -- what is lent --------------------------------------------------------------------------------------------------


def leases(
    ctx: typer.Context,
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    List what is lent: every temporary change that is out, who made it and why, until when, and what it costs.

    What could not be given back stays in the list as LEFT OUT: a person must.
    """
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    out = [each for each in _all(context, deployment.incidents) if each.lent and each.plan is not None]
    out.sort(key=lambda each: not each.open)
    now = context.clock()
    found = [_lease_document(each, now) for each in out]
    document: dict[str, Any] = {"schema": "nightshift.leases/1", "leases": found}
    if not found:
        context.tell(document, "Nothing is lent.")
        return
    rows = [
        (each.id, name_of(each.target), said["what"], said["why"], said["by"], *_lease_cells(each, said))
        for each, said in zip(out, found, strict=True)
    ]
    columns = ("INCIDENT", "TARGET", "WHAT", "WHY", "BY", "SINCE", "UNTIL", "AN HOUR", "SO FAR", "AT MOST")
    document["total"] = total = {
        name: round(sum(each[name] or 0.0 for each in found), 4)
        for name in ("dollars_per_hour", "dollars_so_far", "dollars_in_all")
    }
    unknown = sum(each["dollars_per_hour"] is None for each in found)
    but = f", and what nobody knows of {unknown} of them" if unknown else ""
    context.tell(
        document,
        pages.table(*columns, rows=rows),
        f"{money(total['dollars_per_hour'])} an hour in all, {money(total['dollars_so_far'])} so far, "
        f"{money(total['dollars_in_all'])} at most{but}.",
    )


def _lease_document(incident: Incident, now: datetime) -> dict[str, Any]:
    plan = incident.plan
    assert plan is not None  # noqa: S101 - `leases` lists no others
    since = incident.attempts[-1].started_at if incident.attempts else incident.opened_at
    rate, hours = plan.cost_per_hour, (now - since) / timedelta(hours=1)
    asked = incident.approval
    return {
        "incident": incident.id,
        "target": safe(incident.target, 1100),
        "remediation": safe(incident.remediation, 80),
        "what": safe(plan.summary, 200),
        "why": safe(incident.finding.symptom, 200),
        "by": safe(asked.by, 200, people=False) if asked is not None and asked.by else "nightshift",
        "since": pages.time_document(since),
        "until": pages.time_document(incident.lease_ends or plan.until),
        "left_out": not incident.open,
        "dollars_per_hour": rate,
        "dollars_so_far": None if rate is None else round(rate * hours, 4),
        "dollars_in_all": None if plan.dollars is None else round(plan.dollars, 4),
        "undo_by_hand": safe(plan.undo_by_hand, 4000),
    }


def _lease_cells(incident: Incident, lease: dict[str, Any]) -> tuple[str | Text, ...]:
    """Since when, until when and for how much, as a person reads it."""
    ends = incident.lease_ends or (incident.plan.until if incident.plan is not None else None)
    until: str | Text = moment(ends) if ends else "until it is judged"
    if not incident.open:
        until = Text("LEFT OUT", "bold red")
    since = incident.attempts[-1].started_at if incident.attempts else incident.opened_at
    prices = (lease["dollars_per_hour"], lease["dollars_so_far"], lease["dollars_in_all"])
    return moment(since), until, *("unknown" if each is None else money(each) for each in prices)


def load(store: Incidents, incident: str) -> Incident:
    """The record of that id. Raises Declined where there is none."""
    found = store.get(incident)
    if found is None:
        raise Declined(f"there is no incident {safe(incident, 80)}", "`nightshift incidents` lists them")
    return found


def _about(context: Context, deployment: Deployment, incident: Incident) -> ReportContext:
    remediation = {each.name: each for each in context.registry}.get(incident.remediation)
    linked = {}
    for link in incident.links:
        other = deployment.incidents.get(link)
        if other is not None:
            how = other.verdict.value if other.verdict else other.phase.value
            linked[link] = f"{other.remediation} on {name_of(other.target)}, {how}"
    return ReportContext(
        now=context.clock(),
        mode=_mode(deployment, incident),
        title=remediation.title if remediation else "",
        case=case_of(remediation) if remediation else "",
        deployment=deployment.name,
        linked=linked,
        label=deployment.policy.label(incident.severity) if deployment.policy else "",
        respond_within=deployment.policy.respond_within(incident.severity) if deployment.policy else None,
    )


def _mode(deployment: Deployment, incident: Incident) -> Mode:
    """The mode in force; without a configuration, the one that the record itself shows."""
    policy = deployment.policy
    if policy is not None:
        target, remediation = policy.target(incident.target), policy.remediations.get(incident.remediation)
        if target is not None and remediation is not None:
            return policy.mode_for(target, remediation)
    if incident.approval is not None:
        return Mode.APPROVE
    if incident.attempts or (incident.refusal is not None and incident.refusal.guard != MODE):
        return Mode.AUTO
    return Mode.OBSERVE


def _page(report: str, incident: Incident) -> Text:
    """The report with its headings set off: only they begin in the first column."""
    wanted = incident.decided and incident.verdict not in (Verdict.FIXED, Verdict.RECOVERED)
    first = "bold red" if wanted else "bold green" if incident.decided else "bold yellow"
    return pages.headed(report, first)
