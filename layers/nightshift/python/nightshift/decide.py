"""
What to do about one incident, from what is known: pure and total.

``decide(incident, observation, rules, now)`` looks at the record, at what was just seen, at the remediation's settings
and at the time, and names the next move. It reads nothing and writes nothing; every combination of phase and
observation has an answer (a test walks through all of them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from nightshift.model import Acknowledgement, Approval, Healthy, Incident, Observation, Phase, Sick, Unknown, Verdict

__all__ = [
    "Close",
    "Decision",
    "Pace",
    "Progressing",
    "Propose",
    "Reconcile",
    "Retry",
    "Return",
    "Wait",
    "decide",
    "failed",
]


@dataclass(frozen=True, slots=True)
class Pace:
    """
    The settings that decide: copied from the remediation, so that this module needs to know no remediation.

    ``every`` is how long between two looks.
    """

    confirm: int
    looks: int
    max_attempts: int
    every: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing now; look again at ``until``."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Propose:
    """Still sick, and ours to fix: diagnose, plan, ask the guardrails, then ask a person or act."""


@dataclass(frozen=True, slots=True)
class Reconcile:
    """An intent without an outcome: something died while acting. Describe reality, replay nothing."""


@dataclass(frozen=True, slots=True)
class Progressing:
    """The step's settle time is over: ask the remediation how it is doing."""


@dataclass(frozen=True, slots=True)
class Return:
    """Give back what was lent: the lease is over."""


@dataclass(frozen=True, slots=True)
class Close:
    """This incident has ended; ``attempt`` is the verdict of the attempt under way, where there is one."""

    verdict: Verdict
    why: str
    attempt: Verdict | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The attempt under way did not help; there are attempts left."""

    attempt: Verdict
    why: str


Decision: TypeAlias = Wait | Propose | Reconcile | Progressing | Return | Close | Retry


def decide(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    """
    Name the next move for ``incident``, whose look counters already include ``seen``.

    Unknown never acts and never counts as cured. Past its deadline an incident ends, with a verdict.
    """
    return _BY_PHASE[incident.phase](incident, seen, pace, now)


def _open(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    again = now + pace.every
    if incident.recalled is not None:
        return _withdrawn(incident, incident.recalled)
    if isinstance(seen, Healthy):
        if incident.healthy_looks >= pace.looks:
            return _healed(incident, seen)
        return Wait(again, f"healthy, look {incident.healthy_looks} of {pace.looks}")
    if now >= incident.deadline:
        return _overdue(incident, seen)
    if isinstance(seen, Unknown):
        return Wait(again, f"cannot be seen: {seen.reason}")
    if incident.sick_looks < pace.confirm:
        return Wait(again, f"sick, look {incident.sick_looks} of {pace.confirm}")
    if incident.hold_until is not None and now < incident.hold_until:
        return Wait(again, "held" if incident.refusal is None else f"held: {incident.refusal.reason}")
    return Propose()


def _awaiting(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    again = now + pace.every
    approval = incident.approval
    if incident.recalled is not None:
        return _withdrawn(incident, incident.recalled)
    if isinstance(seen, Healthy):
        if incident.healthy_looks >= pace.looks:
            return _healed(incident, seen)
        return Wait(again, f"healthy, look {incident.healthy_looks} of {pace.looks}")
    if approval is not None and approval.answer == "denied":
        return Close(Verdict.REFUSED, f"denied by {approval.by}: {approval.why}")
    if approval is not None and now >= approval.expires_at:
        return Close(Verdict.REFUSED, _unused(incident, approval))
    if isinstance(seen, Unknown):
        if now >= incident.deadline:
            return _overdue(incident, seen)
        return Wait(again, f"cannot be seen: {seen.reason}")
    if approval is None or approval.answer == "approved":  # None: a record that asks without a question asks again
        return Propose()
    return Wait(again, "waiting for an answer")


def _acting(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    del incident, seen, pace, now
    return Reconcile()


def _settling(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    del seen, pace
    if incident.settle_until is not None and now < incident.settle_until:
        return Wait(incident.settle_until, "waiting for the step to take effect")
    return Progressing()


def _verifying(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    if isinstance(seen, Healthy):
        if incident.healthy_looks >= pace.looks:
            return Close(Verdict.FIXED, seen.summary, attempt=Verdict.FIXED)
        return Wait(now + pace.every, f"healthy, look {incident.healthy_looks} of {pace.looks}")
    if incident.verify_until is not None and now < incident.verify_until:
        why = seen.reason if isinstance(seen, Unknown) else seen.finding.symptom
        return Wait(now + pace.every, f"not healthy yet: {why}")
    if isinstance(seen, Unknown):
        return Close(
            Verdict.UNVERIFIABLE,
            f"acted, but whether it helped cannot be seen: {seen.reason}",
            attempt=Verdict.UNVERIFIABLE,
        )
    return failed(incident, pace, now, seen.finding.symptom)


def _leased(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    del seen, pace
    if incident.recalled is None and incident.lease_ends is not None and now < incident.lease_ends:
        return Wait(incident.lease_ends, "what was lent is out until then")
    return Return()


def _ending(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    """What was decided stays decided, whatever is to be seen now: people may have heard it already."""
    del seen, pace, now
    return Close(incident.verdict or Verdict.BROKEN, incident.why)


def _closed(incident: Incident, seen: Observation, pace: Pace, now: datetime) -> Decision:
    del seen, pace
    return Wait(max(now, incident.deadline), "closed")


_BY_PHASE: Mapping[Phase, Callable[[Incident, Observation, Pace, datetime], Decision]] = {
    Phase.OPEN: _open,
    Phase.AWAITING: _awaiting,
    Phase.ACTING: _acting,
    Phase.SETTLING: _settling,
    Phase.VERIFYING: _verifying,
    Phase.LEASED: _leased,
    Phase.ENDING: _ending,
    Phase.CLOSED: _closed,
}


def failed(incident: Incident, pace: Pace, now: datetime, symptom: str) -> Close | Retry:
    """
    The attempt under way did not help: try again, or hand over to a person.

    Ineffective counts as failure. At most ``max_attempts``, none after a plan that is final, never past the deadline.
    """
    made = len(incident.attempts)
    if made >= pace.max_attempts:
        return Close(
            Verdict.ESCALATED,
            f"{made} of {pace.max_attempts} attempt{'s' if made != 1 else ''} made and still: {symptom}",
            attempt=Verdict.INEFFECTIVE,
        )
    if incident.plan is not None and incident.plan.final:
        return Close(
            Verdict.ESCALATED,
            f"nothing else is left to try, and still: {symptom}",
            attempt=Verdict.INEFFECTIVE,
        )
    if now >= incident.deadline:
        return Close(Verdict.ESCALATED, f"out of time, and still: {symptom}", attempt=Verdict.INEFFECTIVE)
    return Retry(Verdict.INEFFECTIVE, f"still: {symptom}")


def _withdrawn(incident: Incident, word: Acknowledgement) -> Close:
    """Somebody wants back what is not lent (any more): nothing (else) is begun."""
    done = "anything else" if incident.attempts else "anything"
    return Close(Verdict.REFUSED, f"withdrawn by {word.by} before {done} was done{f': {word.why}' if word.why else ''}")


def _unused(incident: Incident, approval: Approval) -> str:
    if approval.answer != "approved":
        return "nobody answered before the question expired"
    held = f", held by {incident.refusal.guard}: {incident.refusal.reason}" if incident.refusal is not None else ""
    return f"the approval expired before it could be used{held}"


def _healed(incident: Incident, seen: Healthy) -> Close:
    """Health without (or long after) a change of ours is a recovery, never our fix."""
    if incident.scratch.get("blind"):  # nobody had seen it sick
        return Close(Verdict.RECOVERED, f"it can be seen again: {seen.summary}")
    tried = f" after {len(incident.attempts)} attempt(s) that did not show" if incident.attempts else ""
    return Close(Verdict.RECOVERED, f"healed by itself{tried}: {seen.summary}")


def _overdue(incident: Incident, seen: Sick | Unknown) -> Close:
    if isinstance(seen, Unknown):
        return Close(Verdict.UNVERIFIABLE, f"cannot be seen, and the deadline has passed: {seen.reason}")
    if incident.refusal is None:
        return Close(Verdict.ESCALATED, f"not cured by the deadline: {seen.finding.symptom}")
    held = f"held by {incident.refusal.guard} until the deadline: {incident.refusal.reason}"
    if incident.attempts:  # something was begun, so somebody has to look at how it stands
        return Close(Verdict.ESCALATED, f"{held}; still: {seen.finding.symptom}")
    return Close(Verdict.REFUSED, held)
