"""What was lent and is not back: when that is told, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from nightshift import autoscaling, loans
from nightshift.incidents import Event
from nightshift.model import Arn, CallRecord, Finding, Incident, Outcome, Phase, Plan, Refusal, Severity, Step, Verdict
from nightshift.report import GIVE_BACK

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
SERVICE = Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/api")
UP, DOWN = autoscaling.scale(SERVICE, 3, before=2), autoscaling.scale(SERVICE, 2, before=3, stops=True)
PLAN = Plan(
    "ecs-capacity-short",
    str(SERVICE),
    "run 3 tasks instead of 2",
    (Step("more", (UP,), timedelta(0), (DOWN,)),),
    "low",
    "aws ecs update-service --desired-count 2",
)
OUT = Incident(
    id="20261119T0300-1a2b3c4d",
    remediation=PLAN.remediation,
    target=str(SERVICE),
    group="usage",
    opened_at=NOW,
    look_at=NOW,
    deadline=NOW + timedelta(hours=1),
    finding=Finding(PLAN.remediation, str(SERVICE), "busy"),
    phase=Phase.LEASED,
    plan=PLAN,
    calls=(CallRecord(NOW, "more", UP.action, UP.resource, Outcome.DONE, before=UP.before),),
    lent=True,
)
HELD = replace(OUT, refusal=Refusal(GIVE_BACK, "it cannot be told whether it is still ours"))
CLOSED = replace(OUT, phase=Phase.CLOSED, verdict=Verdict.ESCALATED, why="it could NOT be given back")
BACK = replace(CLOSED, lent=False, verdict=Verdict.FIXED)
TAKEN = Event(NOW, "superseded", "somebody else has changed it since: left as it is")


@pytest.mark.parametrize(
    "before, after, events, why",
    [
        (OUT, OUT, (), ""),
        (OUT, HELD, (), ""),  # the first try may fail for once
        (HELD, HELD, (), "it cannot be told whether it is still ours"),
        (HELD, OUT, (), ""),
        (HELD, BACK, (), ""),
        (OUT, BACK, (), ""),
        (OUT, CLOSED, (), "it could NOT be given back"),
        (OUT, BACK, (TAKEN,), "somebody else has changed it since, so it was left as it is"),
        (BACK, BACK, (TAKEN,), ""),  # it was not lent
        (HELD, replace(HELD, refusal=Refusal("kill-switch", "no")), (), ""),
    ],
)
def test_what_is_not_back_is_told_when_it_should_be(
    before: Incident, after: Incident, events: tuple[Event, ...], why: str
) -> None:
    """Not while it may be out, nor after one try that failed."""
    assert loans.not_back(before, after, events) == why


def test_it_says_what_was_changed_and_how_to_set_it_back() -> None:
    """Whoever reads it at night needs nothing else."""
    told = loans.not_restored(OUT, "halted", NOW)
    assert told.finding.symptom == (
        "what ecs-capacity-short lent is still out, and should not be (run 3 tasks instead of 2)"
    )
    assert told.diagnosis is not None
    assert told.diagnosis.evidence == (f"desiredCount of {SERVICE}: 2 -> 3",)
    assert told.diagnosis.advice == (
        "look what stands there now, and what should: Nightshift goes on trying",
        "set it back, where nobody wants it to stay: aws ecs update-service --desired-count 2 (this writes)",
    )
    assert (told.severity, told.links, told.target) == (Severity.SEV2, (OUT.id,), str(SERVICE))


def test_the_same_loan_makes_the_same_incident_and_another_one_another() -> None:
    """So no crash doubles it."""
    told = loans.not_restored(OUT, "halted", NOW)
    assert loans.not_restored(BACK, "left", NOW + timedelta(days=1)).id == told.id
    assert loans.not_restored(replace(OUT, id="20261119T0300-00000000"), "halted", NOW).id != told.id


def test_a_record_that_has_lost_its_plan_is_told_all_the_same() -> None:
    """What could be read of it."""
    told = loans.not_restored(replace(CLOSED, plan=None, calls=()), "", NOW)
    assert told.diagnosis is not None
    assert (told.diagnosis.cause, told.diagnosis.evidence) == ("nobody knows why", ())
    assert told.diagnosis.advice == ("look what stands there now, and what should",)


def test_what_was_left_can_wait_for_the_morning() -> None:
    """It is somebody's, and not out of control."""
    assert loans.not_restored(BACK, "left", NOW).severity is Severity.SEV3
