"""The report as a JSON event, for machines: the same facts under stable names, as safe as the text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from nightshift.model import Call, CallRecord, Incident, Plan, Refusal
from nightshift.report.context import Context, TimelineEvent, drifted, missing_permission, state
from nightshift.report.safe import safe
from nightshift.report.words import arn_of, shown, utc

__all__ = ["SCHEMA", "to_json"]

SCHEMA = "nightshift.report/1"
_FEW, _MANY = 20, 200
_ARN = 1100


def to_json(incident: Incident, events: Iterable[TimelineEvent] = (), *, context: Context) -> dict[str, Any]:
    """The facts of :func:`nightshift.report.render` as a mapping that ``json.dumps(…, allow_nan=False)`` takes."""
    arn, finding, diagnosis, ledger = arn_of(incident.target), incident.finding, incident.diagnosis, incident.ledger
    return {
        "schema": SCHEMA,
        "incident": safe(incident.id, 100),
        "remediation": safe(incident.remediation, 80),
        "title": safe(context.title, 80),
        "deployment": safe(context.deployment, 40),
        "mode": context.mode.value,
        "state": state(incident, context),
        "phase": incident.phase.value,
        "verdict": incident.verdict.value if incident.verdict else None,
        "why": safe(incident.why, 400),
        "severity": incident.severity.value,
        "severity_label": safe(context.label, 20),
        "respond_within_seconds": context.respond_within.total_seconds() if context.respond_within else None,
        "target": safe(incident.target, _ARN),
        "account": arn.account if arn else "",
        "region": arn.region if arn else "",
        "system": safe(incident.group, 80),
        "opened_at": _time(incident.opened_at),
        "closed_at": _time(incident.closed_at),
        "reported_at": _time(context.now),
        "seen": {
            "symptom": safe(finding.symptom, 400),
            "signals": [
                {
                    "name": safe(signal.name, 100),
                    "value": shown(signal.value),
                    "threshold": shown(signal.threshold),
                    "window": safe(signal.window, 60),
                    "unit": safe(signal.unit, 30),
                }
                for signal in finding.signals[:_FEW]
            ],
            "evidence": [safe(text, 300) for text in finding.evidence[:_FEW]],
        },
        "cause": None
        if diagnosis is None
        else {
            "cause": safe(diagnosis.cause, 600),
            "evidence": [safe(text, 300) for text in diagnosis.evidence[:_FEW]],
            "rejected": [
                {"cause": safe(other.cause, 200), "why_not": safe(other.why_not, 300)}
                for other in diagnosis.rejected[:_FEW]
            ],
            "advice": [safe(text, 400) for text in diagnosis.advice[:_FEW]],
        },
        "plan": None if incident.plan is None else _plan(incident.plan),
        "calls": [_made(record) for record in incident.calls[:_MANY]],
        "calls_left_off": max(0, len(incident.calls) - _MANY),
        "attempts": [
            {
                "number": attempt.number,
                "plan": safe(attempt.plan_hash, 40),
                "started_at": _time(attempt.started_at),
                "verdict": attempt.verdict.value if attempt.verdict else None,
                "why": safe(attempt.why, 200),
            }
            for attempt in incident.attempts[:_FEW]
        ],
        "refusal": None if incident.refusal is None else _refusal(incident.refusal),
        "approval": None
        if incident.approval is None
        else {
            "plan": safe(incident.approval.plan_hash, 40),
            "asked_at": _time(incident.approval.asked_at),
            "expires_at": _time(incident.approval.expires_at),
            "answer": safe(incident.approval.answer, 20),
            "by": safe(incident.approval.by, 200, people=False),
            "why": safe(incident.approval.why, 300),
        },
        "acknowledged": None
        if incident.acknowledged is None
        else {
            "by": safe(incident.acknowledged.by, 200, people=False),
            "at": _time(incident.acknowledged.at),
            "why": safe(incident.acknowledged.why, 300),
        },
        "messages": {
            "moved": ledger.moved,
            "processed": ledger.processed,
            "returned": ledger.returned,
            "quarantined": ledger.quarantined,
            "remaining": ledger.remaining,
            "left": ledger.left,
            "uncertain": ledger.uncertain,
            "balanced": ledger.balanced,
        },
        "looks": {"healthy": incident.healthy_looks, "sick": incident.sick_looks, "unknown": incident.unknown_looks},
        "drift": {
            "owner": safe(incident.owner, 200),
            "properties": [
                {
                    "resource": safe(each.resource, _ARN),
                    "name": safe(each.name, 100),
                    "before": shown(each.old),
                    "after": shown(each.new),
                }
                for each in drifted(incident)[:_MANY]
            ],
        },
        "lease_ends": _time(incident.lease_ends),
        "missing_permission": missing_permission(incident),
        "links": [safe(link, _ARN) for link in incident.links[:_FEW]],
        "timeline": [
            {"at": _time(event.at), "kind": safe(event.kind, 30), "text": safe(event.text, 300)}
            for event in [*events][-_MANY:]
        ],
        "config_hash": safe(incident.config_hash, 64),
    }


def _time(when: datetime | None) -> str | None:
    return utc(when).isoformat() if when is not None else None


def _plan(plan: Plan) -> dict[str, Any]:
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
                "calls": [_planned(call) for call in step.calls[:_MANY]],
                "undo": [_planned(call) for call in step.undo[:_MANY]],
            }
            for step in plan.steps[:_FEW]
        ],
    }


def _planned(call: Call) -> dict[str, Any]:
    return {
        "action": safe(call.action, 100),
        "resource": safe(call.resource, _ARN),
        "params": shown(call.params),
        "before": shown(call.before),
        "times": call.times,
        "why": safe(call.why, 300),
    }


def _made(record: CallRecord) -> dict[str, Any]:
    return {
        "at": _time(record.at),
        "step": safe(record.step, 60),
        "action": safe(record.action, 100),
        "resource": safe(record.resource, _ARN),
        "about": safe(record.about, 300),
        "outcome": record.outcome.value,
        "count": record.count,
        "request_id": safe(record.request_id, 80),
        "before": shown(record.before),
        "after": shown(record.after),
        "error": safe(record.error, 400),
    }


def _refusal(refusal: Refusal) -> dict[str, Any]:
    return {
        "guard": safe(refusal.guard, 60),
        "reason": safe(refusal.reason, 400),
        "numbers": shown(refusal.numbers),
        "retry_after_seconds": refusal.retry_after.total_seconds() if refusal.retry_after is not None else None,
        "link": safe(refusal.link or "", _ARN),
    }
