"""Incidents as they happen: a redrive, and a service scaled out on a lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from nightshift.model import (
    Alternative,
    Approval,
    Attempt,
    Call,
    CallRecord,
    Diagnosis,
    Finding,
    Incident,
    Ledger,
    Mode,
    Outcome,
    Phase,
    Plan,
    Refusal,
    Severity,
    Signal,
    Step,
    Verdict,
)
from nightshift.report import Context

NIGHT = datetime(2025, 3, 2, 3, 14, tzinfo=UTC)
DLQ = "arn:aws:sqs:eu-central-1:111122223333:orders-dlq"
SOURCE = "arn:aws:sqs:eu-central-1:111122223333:orders"
SERVICE = "arn:aws:ecs:eu-central-1:111122223333:service/prod/thumbnails"
REDRIVE_CASE = """
Dead letters pile up: redrive them once their consumer works again.

Symptom   the dead-letter queue holds messages
Proof     processed + returned + quarantined + remaining = moved,
          and the queue stays empty
Undo      cancel the move
"""


def at(minutes: float) -> datetime:
    """So many minutes after the beginning."""
    return NIGHT + timedelta(minutes=minutes)


def redrive_plan() -> Plan:
    """Everything back to the source queue."""
    call = Call(
        "sqs",
        "StartMessageMoveTask",
        DLQ,
        params={"SourceArn": DLQ, "MaxNumberOfMessagesPerSecond": 10},
        why="the consumer finishes messages again",
    )
    return Plan(
        remediation="sqs-dlq-backlog",
        target=DLQ,
        summary="Move 12 messages back to orders, 10 a second.",
        steps=(Step("redrive", (call,), timedelta(minutes=5)),),
        risk="low: messages may be processed twice",
        undo_by_hand=(
            f"aws sqs list-message-move-tasks --source-arn {DLQ}\naws sqs cancel-message-move-task --task-handle …"
        ),
    )


def scale_plan() -> Plan:
    """Twice the tasks, for two hours."""
    up = Call(
        "ecs",
        "UpdateService",
        SERVICE,
        params={"cluster": "prod", "service": "thumbnails", "desiredCount": 4},
        before={"desiredCount": 2},
        why="CPU is the bottleneck, and nothing shared is",
    )
    down = Call(
        "ecs",
        "UpdateService",
        SERVICE,
        params={"cluster": "prod", "service": "thumbnails", "desiredCount": 2},
        before={"desiredCount": 4},
        stops=True,
    )
    return Plan(
        remediation="ecs-cpu-high",
        target=SERVICE,
        summary="Run 4 tasks instead of 2.",
        steps=(Step("scale out", (up,), timedelta(minutes=10), undo=(down,)),),
        risk="low: more tasks, more connections to the database",
        undo_by_hand="aws ecs update-service --cluster prod --service thumbnails --desired-count 2",
        cost_per_hour=0.12,
        lease=timedelta(hours=2),
    )


def _redriven(**changes: object) -> Incident:
    """Dead letters, moved back and processed."""
    plan = redrive_plan()
    facts: dict[str, object] = {
        "id": "20250302T0314-1a2b3c4d",
        "remediation": "sqs-dlq-backlog",
        "target": DLQ,
        "group": "document-management",
        "opened_at": NIGHT,
        "look_at": at(23),
        "deadline": at(360),
        "severity": Severity.SEV3,
        "finding": Finding(
            "sqs-dlq-backlog",
            DLQ,
            "12 messages in the dead-letter queue",
            signals=(Signal("ApproximateNumberOfMessagesVisible", 12, 1, "3 minutes", "messages"),),
            evidence=("the first letter arrived 02:51 UTC", "consumer prod/orders: 2 of 2 tasks run"),
        ),
        "diagnosis": Diagnosis(
            DLQ,
            "The consumer failed from 02:51 to 03:09 UTC and finishes messages again.",
            evidence=("312 messages finished in the last 5 minutes, 0 failed",),
            rejected=(
                Alternative("poison messages", "no body hash was seen failing after 03:09 UTC"),
                Alternative("a bad deployment", "the last one was 9 days ago"),
            ),
        ),
        "plan": plan,
        "phase": Phase.CLOSED,
        "attempts": (Attempt(1, plan.hash, at(2), Verdict.FIXED, "the queue is empty"),),
        "calls": (
            CallRecord(
                at(2),
                "redrive",
                "sqs:StartMessageMoveTask",
                DLQ,
                Outcome.DONE,
                request_id="7a62c49f-347e-4fc4-9331-6e8e7a96aa73",
                before={"ApproximateNumberOfMessages": 12},
                after={"ApproximateNumberOfMessages": 0},
            ),
        ),
        "ledger": Ledger(moved=12, processed=12),
        "healthy_looks": 3,
        "verdict": Verdict.FIXED,
        "why": "the dead-letter queue is empty and stays empty",
        "closed_at": at(23),
        "config_hash": "5f1d9c02",
    }
    return Incident(**(facts | changes))  # type: ignore[arg-type]  # a test's incident, by keyword


def _scaled(**changes: object) -> Incident:
    """A service with too few tasks, scaled out; the tasks are on lease."""
    plan = scale_plan()
    facts: dict[str, object] = {
        "id": "20250302T0314-99aabbcc",
        "remediation": "ecs-cpu-high",
        "target": SERVICE,
        "group": "lecture",
        "severity": Severity.SEV2,
        "finding": Finding(
            "ecs-cpu-high",
            SERVICE,
            "the tasks have no CPU left",
            signals=(Signal("CPUUtilization", 93.4, 80, "5 minutes", "%"),),
        ),
        "diagnosis": Diagnosis(SERVICE, "More work arrives than 2 tasks can do."),
        "plan": plan,
        "phase": Phase.LEASED,
        "attempts": (Attempt(1, plan.hash, at(2)),),
        "calls": (
            CallRecord(
                at(2),
                "scale out",
                "ecs:UpdateService",
                SERVICE,
                Outcome.DONE,
                request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
                before={"desiredCount": 2},
                after={"desiredCount": 4},
            ),
        ),
        "ledger": Ledger(),
        "verdict": Verdict.FIXED,
        "lease_ends": at(122),
        "closed_at": None,
    }
    return _redriven(**(facts | changes))


def _asked(**changes: object) -> Incident:
    """A redrive that waits for a person."""
    plan = redrive_plan()
    facts: dict[str, object] = {
        "phase": Phase.AWAITING,
        "approval": Approval(plan.hash, asked_at=at(2), expires_at=at(242)),
        "attempts": (),
        "calls": (),
        "ledger": Ledger(),
        "verdict": None,
        "why": "",
        "closed_at": None,
        "healthy_looks": 0,
        "sick_looks": 2,
    }
    return _redriven(**(facts | changes))


def _held(
    guard: str = "mid-change", retry_after: timedelta | None = timedelta(minutes=5), **changes: object
) -> Incident:
    """A redrive that a guardrail holds."""
    refusal = Refusal(guard, "the service prod/orders is being deployed", {"changes": 1}, retry_after=retry_after)
    return _asked(**({"phase": Phase.OPEN, "approval": None, "refusal": refusal} | changes))


def _backdrop(minutes: float = 23, mode: Mode = Mode.AUTO, **changes: object) -> Context:
    facts: dict[str, object] = {"now": at(minutes), "mode": mode, "title": "Dead letters pile up", "case": REDRIVE_CASE}
    return Context(**(facts | changes))  # type: ignore[arg-type]  # a test's context, by keyword


@dataclass(frozen=True)
class Event:
    """A line of a timeline."""

    at: datetime
    kind: str
    text: str


@pytest.fixture
def redriven() -> Callable[..., Incident]:
    """Make a redrive that worked; keywords change the record."""
    return _redriven


@pytest.fixture
def scaled() -> Callable[..., Incident]:
    """Make a service scaled out on a lease; keywords change the record."""
    return _scaled


@pytest.fixture
def asked() -> Callable[..., Incident]:
    """Make a redrive that waits for an answer; keywords change the record."""
    return _asked


@pytest.fixture
def held() -> Callable[..., Incident]:
    """Make a redrive that a guardrail holds: guard, retry_after; keywords change the record."""
    return _held


@pytest.fixture
def backdrop() -> Callable[..., Context]:
    """Make a context: minutes after the incident's beginning, mode."""
    return _backdrop


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make a line of a timeline: minutes after the incident's beginning, kind, text."""
    return lambda minutes, kind, text: Event(at(minutes), kind, text)
