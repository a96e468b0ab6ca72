"""
The draft of a post-incident review, as Markdown: what happened when, and headed blanks for what only people know.

Everything in it is from the record; why it could happen at all, whom it hurt and what must change is not, and is left
blank rather than guessed. Other people's text is escaped: it opens no heading, no table cell, no link and no tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightshift.model import CallRecord, Incident, Outcome, Signal
from nightshift.report.context import Context, TimelineEvent, headline, sentence, state, why
from nightshift.report.safe import inert, safe
from nightshift.report.words import capped, changes, count, duration, joined, moment, name_of, number, utc

__all__ = ["Entry", "entries", "timeline_markdown", "timeline_to_json"]

_ENTRIES = 500
"""lines of a timeline: the oldest and the newest, where there are more"""
_EVIDENCE = 40
_SPECIAL = re.compile(r"[\\`*_\[\]<>|~#!&$]")
_MENTION = re.compile(r"(?<!\w)@(?=\w)")

_BLANKS = (
    ("Impact", "Who noticed what, from when to when? What was lost or late?"),
    ("Root cause", "Why could it happen? Nightshift's diagnosis is a start, not the answer."),
    ("What went well, what did not", "How was it noticed? Was the right person told in time?"),
    ("Prevention", "What makes this impossible, or harmless, next time? Who does it, by when?"),
    ("Runbook and alarms", "What was missing in the runbook, in an alarm, in this configuration?"),
)
"""what only people can fill in"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    at: datetime
    kind: str
    text: str


def entries(incident: Incident, events: Iterable[TimelineEvent]) -> tuple[Entry, ...]:
    """What happened, oldest first: the timeline, every call with its outcome, who answered and who was on it."""
    found = [Entry(event.at, safe(event.kind, 30), safe(event.text, 400)) for event in events]
    found += [Entry(call.at, "call", _call(call)) for call in incident.calls]
    kinds = {entry.kind for entry in found}
    asked = incident.approval
    if asked is not None and asked.answered_at is not None and "answered" not in kinds:
        by = safe(asked.by, 200, people=False)
        found.append(Entry(asked.answered_at, "answered", f"{safe(asked.answer, 20)} by {by}: {safe(asked.why, 300)}"))
    if incident.acknowledged is not None and "acknowledged" not in kinds:
        word = incident.acknowledged
        found.append(Entry(word.at, "acknowledged", f"{safe(word.by, 200, people=False)}: {safe(word.why, 300)}"))
    if "opened" not in kinds:
        found.append(Entry(incident.opened_at, "opened", safe(incident.finding.symptom, 400)))
    if incident.closed_at is not None and "closed" not in kinds:
        found.append(Entry(incident.closed_at, "closed", safe(incident.why, 400)))
    return tuple(sorted(found, key=lambda entry: utc(entry.at)))


def _call(record: CallRecord) -> str:
    outcome = {
        Outcome.DONE: "done",
        Outcome.NOT_DONE: "NOT DONE",
        Outcome.UNKNOWN: "UNKNOWN whether it happened",
    }[record.outcome]
    times = f" ({record.count:,} times)" if record.count != 1 else ""
    what = joined(changes(record.before, record.after))
    error = safe(record.error, 300)
    request = f"request id {safe(record.request_id, 80)}" if record.request_id else ""
    about = f" ({safe(record.about, 300)})" if record.about else ""
    said = f"{safe(record.action, 100)} on {safe(record.resource, 1100)}{about}{times}: {outcome}"
    return "; ".join(filter(None, (said, what, error, request)))


# -- Markdown ----------------------------------------------------------------------------------------------------------


def timeline_markdown(incident: Incident, events: Iterable[TimelineEvent] = (), *, context: Context) -> str:
    """The whole draft. Total: there is no record that it cannot tell."""
    return "\n".join(_lines(incident, entries(incident, events), context)) + "\n"


def _lines(incident: Incident, happened: tuple[Entry, ...], context: Context) -> Iterator[str]:
    yield f"# Post-incident review: {_md(headline(incident, context))}, {_md(name_of(incident.target))}"
    yield ""
    yield "A draft, made from Nightshift's record. Times are UTC. The headings at the end are for people to fill in."
    yield ""
    yield from _table(("", ""), _facts(incident, context))
    yield from _section("What happened")
    yield from _table(("UTC", "What", "Details"), _rows(happened))
    yield from _section("Signals")
    yield from _list(map(_signal, incident.finding.signals), "No signal was recorded.")
    yield from _list((safe(text, 400) for text in incident.finding.evidence), "")
    yield from _section("Decisions")
    yield from _list(_decisions(incident), "None was recorded.")
    yield from _section("Who was told")
    yield from _list((safe(key, 120) for key in incident.notices), "Nobody, as far as the record says.")
    yield from _section("How it ended")
    yield _md(why(incident) or "It has not ended.") if incident.decided else "It has not ended."
    for title, question in _BLANKS:
        yield from _section(f"{title} (for people)")
        yield f"*{question}*"
        yield ""
        yield "TODO"  # what people write there: a draft says where it is unfinished


def _facts(incident: Incident, context: Context) -> Iterator[tuple[str, str]]:
    label = f", {safe(context.label, 20)}" if context.label else ""
    yield "Incident", safe(incident.id, 100)
    yield "State", state(incident, context)
    yield "Severity", f"{incident.severity.value}{label}"
    yield "Target", safe(incident.target, 1100)
    yield "System", safe(incident.group, 80) or "(none)"
    yield "Deployment", safe(context.deployment, 40) or "(not known)"
    yield "Remediation", f"{safe(incident.remediation, 80)}, mode {context.mode.value}"
    yield "Opened", moment(incident.opened_at)
    if incident.closed_at is not None:
        lasted = duration(utc(incident.closed_at) - utc(incident.opened_at))
        yield "Ended", f"{moment(incident.closed_at)}, after {lasted}"
    yield "Linked", joined([safe(link, 100) for link in incident.links[:_EVIDENCE]]) or "(none)"


def _rows(happened: tuple[Entry, ...]) -> Iterator[tuple[str, str, str]]:
    left = len(happened) - _ENTRIES
    for place, entry in enumerate(happened):
        if left > 0 and _ENTRIES // 2 <= place < _ENTRIES // 2 + left:
            if place == _ENTRIES // 2:
                yield "…", "…", f"{count(left, 'line')} left out"
            continue
        yield moment(entry.at).removesuffix(" UTC"), entry.kind, entry.text


def _signal(signal: Signal) -> str:
    unit = f" {safe(signal.unit, 30)}" if signal.unit else ""
    window = f", over {safe(signal.window, 60)}" if signal.window else ""
    return f"{safe(signal.name, 100)}: {number(signal.value)}{unit} (threshold {number(signal.threshold)}{window})"


def _decisions(incident: Incident) -> Iterator[str]:
    diagnosis, plan, refusal, asked = incident.diagnosis, incident.plan, incident.refusal, incident.approval
    if diagnosis is not None:
        yield f"Diagnosis: {sentence(safe(diagnosis.cause, 600) or 'not named')}"
        for text in diagnosis.evidence[:_EVIDENCE]:
            yield f"Evidence: {safe(text, 300)}"
        for other in diagnosis.rejected[:_EVIDENCE]:
            yield f"Rejected: {safe(other.cause, 200)}: {safe(other.why_not, 300)}"
        for text in diagnosis.advice[:_EVIDENCE]:
            yield f"Advice to people: {safe(text, 400)}"
    if plan is not None:
        yield f"Plan {safe(plan.hash, 16)}: {safe(plan.summary, 400)} Risk: {safe(plan.risk, 300) or 'not stated'}"
    if refusal is not None:
        yield f"Guardrail {safe(refusal.guard, 60)}: {sentence(safe(refusal.reason, 400) or 'it gave no reason')}"
    if asked is not None:
        how = f"{safe(asked.answer, 20)} by {safe(asked.by, 200, people=False)}" if asked.answer else "nobody answered"
        yield f"Approval, asked {moment(asked.asked_at)}: {how}"
    for attempt in incident.attempts[:_EVIDENCE]:
        verdict = attempt.verdict.value if attempt.verdict else "not ended"
        because = f": {safe(attempt.why, 300)}" if attempt.why else ""
        yield f"Attempt {attempt.number}, {moment(attempt.started_at)}: {verdict}{because}"


def _section(title: str) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""


def _list(texts: Iterable[str], none: str) -> Iterator[str]:
    few, rest = capped([*texts], _EVIDENCE)
    for text in few:
        yield f"- {_md(text)}"
    if rest:
        yield f"- … and {rest:,} more"
    if not few and none:
        yield none


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(map(_md, row))} |"


def _md(text: str) -> str:
    """One line of other people's text that stays text: nothing in it is markup, and it calls nobody."""
    return _MENTION.sub("@ ", _SPECIAL.sub(r"\\\g<0>", inert(text)))


# -- for machines ------------------------------------------------------------------------------------------------------


def timeline_to_json(incident: Incident, events: Iterable[TimelineEvent] = (), *, context: Context) -> dict[str, Any]:
    """What happened, for machines, and the draft beside it."""
    events = [*events]
    return {
        "schema": "nightshift.timeline/1",
        "incident": safe(incident.id, 100),
        "state": state(incident, context),
        "entries": [
            {"at": utc(each.at).isoformat(), "kind": each.kind, "text": each.text} for each in entries(incident, events)
        ],
        "for_people": [title for title, _ in _BLANKS],
        "markdown": timeline_markdown(incident, events, context=context),
    }
