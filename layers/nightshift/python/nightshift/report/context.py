"""What a report needs to know besides the record, and what it calls the state that the record is in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from nightshift.drift import Change, drift
from nightshift.model import CallRecord, Incident, Mode, Outcome, Phase, Verdict
from nightshift.report.safe import safe
from nightshift.report.words import utc

__all__ = [
    "Context",
    "TimelineEvent",
    "asking",
    "drifted",
    "given_back",
    "headline",
    "left_as_it_is",
    "missing_permission",
    "observed_only",
    "sentence",
    "state",
    "unknown_calls",
    "why",
]


class TimelineEvent(Protocol):
    """One line of an incident's timeline (:class:`nightshift.incidents.Event` is one)."""

    @property
    def at(self) -> datetime:
        """When it happened."""

    @property
    def kind(self) -> str:
        """What sort of thing happened, in a word."""

    @property
    def text(self) -> str:
        """What happened."""


@dataclass(frozen=True, slots=True)
class Context:
    """
    Facts beside the record.

    ``mode`` is the one in force for this remediation on this target. ``title`` and ``case`` are the remediation's own:
    its title, and its file's docstring, whose Proof the report quotes. ``deployment`` is the configuration's name.
    ``linked`` says a few words about each linked incident or target. ``label`` is what people call the incident's
    severity, ``respond_within`` how soon somebody must say that they are on it (None: nobody said). ``level`` is whom
    this is for, where those that were told before have not answered. ``next_update`` is when people hear of it again.
    """

    now: datetime
    mode: Mode
    title: str = ""
    case: str = ""
    deployment: str = ""
    linked: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    respond_within: timedelta | None = None
    level: str = ""
    next_update: datetime | None = None


def headline(incident: Incident, context: Context) -> str:
    """What is wrong, in a few words."""
    return safe(context.title, 80) or safe(incident.remediation.replace("-", " "), 80) or "an unnamed failure"


def state(incident: Incident, context: Context) -> str:
    """The word that a report begins with."""
    if observed_only(incident, context):
        return "WOULD ACT"
    asked = incident.finding.request is not None
    if incident.decided:
        if asked and incident.verdict is Verdict.FIXED:
            if given_back(incident):
                return "STARTED AGAIN"
            if incident.lease_ends is None:
                return "DONE"
        return (incident.verdict or Verdict.BROKEN).value.upper()
    if relapsed(incident):
        return "SICK AGAIN, ON LEASE"
    if incident.phase is Phase.LEASED:
        return "STOPPED" if asked else "FIXED, ON LEASE"
    if asking(incident):
        return "APPROVE?"
    if incident.phase in (Phase.OPEN, Phase.AWAITING):
        return "HELD" if incident.refusal is not None else "OPEN"
    return incident.phase.value.upper()


def relapsed(incident: Incident) -> bool:
    """Whether it is sick again, look after look, though what was lent for it is still out."""
    return incident.phase is Phase.LEASED and incident.finding.request is None and incident.sick_looks >= _AGAIN


_AGAIN = 3


def asking(incident: Incident) -> bool:
    """Whether a question is out that nobody has answered."""
    return incident.phase is Phase.AWAITING and incident.approval is not None and not incident.approval.answer


def why(incident: Incident) -> str:
    """The incident's own sentence for how it stands, with a full stop; empty where it has none."""
    text = safe(incident.why, 400)
    return sentence(text) if text else ""


def sentence(text: str) -> str:
    """The words as a sentence: a capital first, a full stop last."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def unknown_calls(incident: Incident) -> tuple[CallRecord, ...]:
    """Calls of which nobody knows whether they happened."""
    return tuple(record for record in incident.calls if record.outcome is Outcome.UNKNOWN)


def given_back(incident: Incident) -> tuple[CallRecord, ...]:
    """Calls that took back what we had changed; none where any of it did not succeed in the end."""
    since = _last_change(incident)
    back = (
        each for each in incident.calls if each.step.startswith("undo ") and (since is None or utc(each.at) >= since)
    )
    last = {(record.action, record.resource, record.about): record for record in back}
    return tuple(last.values()) if all(record.outcome is Outcome.DONE for record in last.values()) else ()


def _last_change(incident: Incident) -> datetime | None:
    """When the newest attempt began that may have changed anything: what was taken back before is another loan."""
    made = [
        utc(each.at)
        for each in incident.calls
        if not each.step.startswith("undo ") and each.outcome is not Outcome.NOT_DONE
    ]
    began = (utc(each.started_at) for each in incident.attempts)
    return max((at for at in began if made and at <= max(made)), default=None)


def left_as_it_is(incident: Incident) -> bool:
    """Whether a lease has ended and we gave nothing back: somebody else had changed what was lent."""
    over = incident.decided and not incident.lent and incident.lease_ends is not None
    return over and not given_back(incident) and not unknown_calls(incident)


def drifted(incident: Incident) -> tuple[Change, ...]:
    """What is changed, or would be, of what somebody else declares; nothing of what was taken back."""
    if incident.plan is None or given_back(incident):
        return ()
    made = [
        record
        for record in incident.calls
        if record.outcome is not Outcome.NOT_DONE and not record.step.startswith("undo ")
    ]
    calls = [call for step in incident.plan.steps for call in step.calls]
    planned = not incident.calls
    return drift(call for call in calls if planned or any(record.tells_of(call) for record in made))


def observed_only(incident: Incident, context: Context) -> bool:
    """Whether nothing was done for no other reason than that Nightshift only observes here."""
    if incident.plan is None or incident.calls:
        return False
    if incident.decided:
        return incident.verdict is Verdict.REFUSED and incident.refusal is not None and incident.refusal.guard == "mode"
    return incident.phase is Phase.OPEN and context.mode is Mode.OBSERVE


_DENIED = re.compile(
    r"\b(?:Access ?Denied|UnauthorizedOperation|AuthorizationError|NotAuthorized|not authorized)", re.IGNORECASE
)
_ACTION = re.compile(r"\b[a-z][a-z0-9-]{1,40}:[A-Z][A-Za-z0-9]{2,80}\b")


def missing_permission(incident: Incident) -> str:
    """The IAM action that AWS denied, where the record says that it denied one."""
    for record in incident.calls:
        if _DENIED.search(record.error[:2000]):
            return _named(record.error) or safe(record.action, 100)
    refusal = incident.refusal
    for text in (incident.why, refusal.reason if refusal else "", *(attempt.why for attempt in incident.attempts)):
        if _DENIED.search(text[:2000]) and (action := _named(text)):
            return action
    return ""


def _named(text: str) -> str:
    match = _ACTION.search(text[:2000])
    return match[0] if match else ""
