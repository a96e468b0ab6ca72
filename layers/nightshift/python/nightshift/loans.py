"""
What was lent and is not back: an incident of its own, told once, with what to do by hand. Pure.

It is linked to the incident that lent. Nothing is planned for it: whatever Nightshift may still do about the loan is
that one's, which goes on trying. Where that one ends with what it lent out, its report tells of both, as gravely as
what is out deserves: nobody is called twice about one loan. Three things make one: what should be back is still out (an
undo that fails, or a kill switch that forbids it), it was given up, or somebody has changed it since and it was left.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from nightshift.drift import flat
from nightshift.incidents import Event, incident_id
from nightshift.model import Call, Diagnosis, Finding, Incident, Outcome, Severity
from nightshift.report import GIVE_BACK

__all__ = ["NAME", "TITLE", "ends_out", "not_back", "not_restored", "own_id"]

NAME = "lease-not-restored"
TITLE = "what was lent is not back"
_OPEN = timedelta(hours=1)  # longer than it takes to be told: it ends at its first look
_SHOWN = 20


def not_back(before: Incident, after: Incident, events: Iterable[Event]) -> str:
    """Why what was lent is not back as it was; empty where it is, or where it need not be yet."""
    if not before.lent and not after.lent:
        return ""
    if any(event.kind == "superseded" for event in events):
        return "somebody else has changed it since, so it was left as it is"
    if ends_out(after):
        return after.why
    held = [each.refusal for each in (before, after) if each.refusal is not None and each.refusal.guard == GIVE_BACK]
    return held[-1].reason if after.lent and len(held) > 1 else ""  # the first try may fail for once


def ends_out(loan: Incident) -> bool:
    """Whether an incident has ended, and what it lent is still out."""
    return loan.decided and loan.lent


def own_id(loan: Incident) -> str:
    """The id of the incident about a loan that is not back: each loan has one."""
    return incident_id(NAME, loan.id, loan.opened_at)


def not_restored(loan: Incident, why: str, now: datetime) -> Incident:
    """The incident about a loan that is not back. The same loan always makes the one of the same id."""
    out = loan.lent
    stands = "is still out, and should not be" if out else "was not put back"
    by_hand = [line for line in (loan.plan.undo_by_hand if loan.plan is not None else "").splitlines() if line.strip()]
    advice = [
        "look what stands there now, and what should" + (": Nightshift goes on trying" if out and loan.open else ""),
        *(f"set it back, where nobody wants it to stay: {line} (this writes)" for line in by_hand),
    ]
    diagnosis = Diagnosis(loan.target, why or "nobody knows why", evidence=_lent(loan), advice=tuple(advice))
    severity = Severity.SEV2 if out else Severity.SEV3
    what = loan.plan.summary if loan.plan is not None else "something was lent"
    return Incident(
        id=own_id(loan),
        remediation=NAME,
        target=loan.target,
        group=loan.group,
        opened_at=now,
        look_at=now,
        deadline=now + _OPEN,
        finding=Finding(NAME, loan.target, f"what {loan.remediation} lent {stands} ({what})", severity=severity),
        severity=severity,
        diagnosis=diagnosis,
        scratch={"loan": loan.id},
        links=(loan.id,),
        config_hash=loan.config_hash,
    )


def _lent(loan: Incident) -> tuple[str, ...]:
    """What was changed, from what to what: by the plan, of the calls that may have been made."""
    made = {(record.action, record.resource) for record in loan.calls if record.outcome is not Outcome.NOT_DONE}
    steps = loan.plan.steps if loan.plan is not None else ()
    calls = [call for step in steps for call in step.calls if (call.action, call.resource) in made]
    return tuple(line for call in calls for line in _changed(call))[:_SHOWN]


def _changed(call: Call) -> list[str]:
    after = flat(call.params)
    return [
        f"{name} of {call.resource}: {old} -> {after[name]}"
        for name, old in call.before.items()
        if name in after and after[name] != old
    ]
