"""
Between the first word and the last: what has changed while an incident waits for a person, and that it is over. Pure.

An update repeats no report. It says what happened since people heard of it last, what was done, when they hear again,
and how to end it: `nightshift show` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from nightshift.model import Incident, Outcome
from nightshift.report.context import Context, TimelineEvent, asking, headline, sentence, state, why
from nightshift.report.notices import Notice, short
from nightshift.report.render import where
from nightshift.report.safe import safe
from nightshift.report.words import Page, clock, duration, moment, name_of, shell, utc

__all__ = ["HEARD", "resolved_notice", "update_notice"]

HEARD = frozenset({"asked", "closed", "unanswered", "updated"})
"""events of a timeline at which people were told"""
_SHOWN = 20


def update_notice(
    incident: Incident,
    key: str,
    number: int,
    *,
    context: Context,
    events: Iterable[TimelineEvent] = (),
    healthy: bool = False,
) -> Notice:
    """What has changed since people were told last. ``context.next_update`` is None where this is the last update."""
    since = incident.wanted_since or incident.opened_at
    news, heard = _news(events, since)
    page = Page()
    page.title(
        f"UPDATE {number}  {state(incident, context)}  {headline(incident, context)}: {name_of(incident.target)}"
    )
    page.blank()
    waited = duration(utc(context.now) - utc(since))
    asks = "It still asks for an answer" if asking(incident) else "It still needs a person"
    page.text(f"{asks}: nobody has said in {waited} that they are on it.")
    _facts(page, incident, context)
    page.section("SINCE THE LAST NOTICE", f"of {clock(heard, context.now)}")
    page.items([f"{_at(each.at)}  {safe(each.kind, 30)}: {safe(each.text, 300)}" for each in news[-_SHOWN:]], _SHOWN)
    if not news:
        page.item("Nothing is new in the record.")
    if not incident.open:
        page.item("The target has been seen healthy." if healthy else "The target has not been seen healthy yet.")
    _actions(page, incident)
    page.section("NEXT")
    if context.next_update is None:
        page.item("This is the last update. The incident stays in the record, and needs a person all the same.")
    else:
        page.item(f"The next update comes at {clock(context.next_update, context.now)}.")
    page.text("Say that you are on it, and there are no more:")
    _commands(page, incident, context, "ack", "show")
    subject = (
        f"UPDATE {number}, needs you: {short(incident)} - {headline(incident, context)} [{incident.severity.value}]"
    )
    return Notice(key, subject, str(page), incident.severity)


def resolved_notice(incident: Incident, *, context: Context, events: Iterable[TimelineEvent] = ()) -> Notice:
    """It is over: the target was seen healthy, look after look. By whom is not known."""
    since = incident.wanted_since or incident.opened_at
    news, heard = _news(events, since)
    lasted = duration(utc(context.now) - utc(incident.opened_at))
    page = Page()
    page.title(f"RESOLVED  after {lasted}: {headline(incident, context)}: {name_of(incident.target)}")
    page.blank()
    page.text(
        "The target was seen healthy, look after look. This incident had let go of it before: its verdict stays what it"
        " was. There are no more updates."
    )
    _facts(page, incident, context)
    page.section("SINCE THE LAST NOTICE", f"of {clock(heard, context.now)}")
    page.items([f"{_at(each.at)}  {safe(each.kind, 30)}: {safe(each.text, 300)}" for each in news[-_SHOWN:]], _SHOWN)
    if not news:
        page.item("Nothing but that it is healthy.")
    page.section("CAUSE")
    cause = incident.diagnosis.cause if incident.diagnosis is not None else ""
    page.text(sentence(safe(cause, 600)) if cause else "Not known: no diagnosis was made.")
    _actions(page, incident)
    page.section("NEXT")
    page.text("What happened when, with blanks for root cause and prevention, for the review:")
    _commands(page, incident, context, "timeline")
    subject = f"RESOLVED after {lasted}: {short(incident)} - {headline(incident, context)} [{incident.severity.value}]"
    return Notice("resolved", subject, str(page), incident.severity)


def _news(events: Iterable[TimelineEvent], since: datetime) -> tuple[Sequence[TimelineEvent], datetime]:
    """What happened after people were told last, and when that was."""
    every = sorted(events, key=lambda each: utc(each.at))
    heard = max((utc(each.at) for each in every if each.kind in HEARD), default=utc(since))
    return [each for each in every if utc(each.at) > heard], heard


def _facts(page: Page, incident: Incident, context: Context) -> None:
    page.blank()
    label = f", {safe(context.label, 20)}" if context.label else ""
    page.pair("Severity", f"{incident.severity.value}{label}")
    page.pair("Target", safe(incident.target, 1100))
    page.pair("Incident", f"{safe(incident.id, 100)} ({safe(incident.remediation, 80)})")
    page.pair("Opened", f"{moment(incident.opened_at)}, {duration(utc(context.now) - utc(incident.opened_at))} ago")
    if text := why(incident):
        page.pair("Stands", text)


def _actions(page: Page, incident: Incident) -> None:
    """What was done, a line for each call."""
    page.section("DONE")
    said = {
        f"{safe(call.action, 100)} on {name_of(call.resource)}: "
        f"{'done' if call.outcome is Outcome.DONE else 'NOT KNOWN whether it happened'}": None
        for call in incident.calls
        if call.outcome is not Outcome.NOT_DONE
    }
    page.items([*said] or ["Nothing was changed."], _SHOWN)


def _commands(page: Page, incident: Incident, context: Context, *names: str) -> None:
    for name in names:
        page.command(f"nightshift {name} {shell(incident.id)}{where(incident, context)}")


def _at(at: datetime) -> str:
    return moment(at).removesuffix(" UTC")
