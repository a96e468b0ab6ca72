"""
What people ask for: an incident that begins with their request, the plan that they have seen, and their yes to it.

So plan, guardrails, permission, lease, record and report are those of any other incident; only that nobody found
anything. The yes is bound to the plan's hash: where the world has changed when it is to be done, they are asked again.
"""

from __future__ import annotations

from datetime import datetime

from nightshift.config import Policy
from nightshift.engine import Explanation
from nightshift.guardrails import APPROVAL
from nightshift.incidents import Event, Incidents, incident_id
from nightshift.model import Approval, Finding, Incident, Phase, Plan, Refusal, Request, Target

__all__ = ["ask", "asked_incident", "in_the_way"]


def in_the_way(told: Explanation) -> Refusal | None:
    """What speaks against a request for good; None where it can be done, now or later."""
    if told.diagnosis_refused is not None:
        return told.diagnosis_refused
    return next((each for each in told.refusals if each.retry_after is None and each.guard != APPROVAL), None)


def asked_incident(
    policy: Policy, target: Target, finding: Finding, request: Request, told: Explanation, plan: Plan
) -> Incident:
    """The incident by which a plan, as it was shown, is carried out for whoever has asked for it and said yes."""
    arn, now = str(target.arn), request.at
    approval = Approval(
        plan_hash=plan.hash,
        asked_at=now,
        expires_at=min(now + policy.limits.approval_expiry, request.until),
        answer="approved",
        by=request.by,
        why=request.why,
        answered_at=now,
    )
    return Incident(
        id=incident_id(finding.remediation, arn, now),
        remediation=finding.remediation,
        target=arn,
        group=target.group,
        opened_at=now,
        look_at=now,
        deadline=request.until,
        finding=finding,
        phase=Phase.AWAITING,
        severity=finding.severity,
        diagnosis=told.diagnosis,
        plan=plan,
        approval=approval,
        config_hash=policy.hash,
    )


def ask(store: Incidents, incident: Incident, *, now: datetime) -> bool:
    """Write it down, for the next tick to do; False where the same was asked for before, and is not over."""
    before = store.pointer(incident.target, incident.remediation)
    if before is not None and before.state != "open":  # how an earlier one ended says nothing of this one
        store.forget(before)
    approval = incident.approval
    yes = f"; approved plan {approval.plan_hash} by {approval.by}" if approval is not None else ""
    return store.open(incident, Event(now, "asked for", f"{incident.finding.symptom}{yes}"))
