"""Drift: what is declared elsewhere and changed here is told, with whoever will undo it; and no action is forgotten."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift import autoscaling
from nightshift.drift import DECLARED, UNDECLARED, Change, drift, owner
from nightshift.model import Arn, Call, CallRecord, Finding, Incident, Mode, Outcome, Phase, Plan, Step, Verdict
from nightshift.remediation import Remediation
from nightshift.remediations import REMEDIATIONS
from nightshift.report import Context, render, to_json

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
SERVICE = Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/api")
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:orders"
UP, DOWN = autoscaling.scale(SERVICE, 3, before=2), autoscaling.scale(SERVICE, 2, before=3, stops=True)
PLAN = Plan(
    "ecs-capacity-short", str(SERVICE), "one more", (Step("more", (UP,), timedelta(0), (DOWN,)),), "low", "none"
)
CONTEXT = Context(now=NOW, mode=Mode.AUTO)


def made(call: Call, step: str = "more", outcome: Outcome = Outcome.DONE) -> CallRecord:
    """The record of a call."""
    return CallRecord(NOW, step, call.action, call.resource, outcome, before=call.before, about=call.about)


def incident(*calls: CallRecord, **more: Any) -> Incident:
    """An incident whose plan was carried out so far."""
    record = Incident(
        id="20261119T0300-1a2b3c4d",
        remediation=PLAN.remediation,
        target=str(SERVICE),
        group="usage",
        opened_at=NOW,
        look_at=NOW,
        deadline=NOW + timedelta(hours=1),
        finding=Finding(PLAN.remediation, str(SERVICE), "busy"),
        phase=Phase.CLOSED,
        verdict=Verdict.FIXED,
        plan=PLAN,
        calls=calls,
        closed_at=NOW,
        owner="stack usage",
    )
    return replace(record, **more)


# -- nothing is forgotten --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remediation", REMEDIATIONS, ids=lambda each: each.name)
def test_every_action_that_may_be_written_is_one_that_somebody_declares_or_nobody(
    remediation: type[Remediation],
) -> None:
    """A new one has to say which properties of the declared ones it changes, or that there are none."""
    assert set(remediation.writes) <= {*DECLARED, *UNDECLARED}


def test_no_action_has_two_places_or_one_for_nothing() -> None:
    """What no remediation writes any more says nothing."""
    assert not set(DECLARED) & UNDECLARED
    assert {*DECLARED, *UNDECLARED} == {action for each in REMEDIATIONS for action in each.writes}


# -- what drifts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, found",
    [
        (UP, [("desiredCount", 2, 3)]),
        (replace(UP, before={"desiredCount": 3}), []),
        (replace(UP, before={}), [("desiredCount", None, 3)]),
        (
            Call("ecs", "UpdateService", str(SERVICE), {"forceNewDeployment": True}, before={"task_definition": "a:1"}),
            [],
        ),
        (
            Call("ecs", "UpdateService", str(SERVICE), {"taskDefinition": "a:1"}, before={"task_definition": "a:2"}),
            [("taskDefinition", "a:2", "a:1")],
        ),
        (
            Call(
                "dynamodb",
                "UpdateTable",
                "arn:aws:dynamodb:eu-central-1:123456789012:table/hot",
                {
                    "TableName": "hot",
                    "GlobalSecondaryIndexUpdates": [
                        {
                            "Update": {
                                "IndexName": "place",
                                "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 9},
                            }
                        }
                    ],
                },
                before={"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
            ),
            [("WriteCapacityUnits", 6, 9)],
        ),
        (
            Call("ecs", "StopServiceDeployment", str(SERVICE), before={"task_definition": "a:2"}),
            [("taskDefinition", "a:2", "the one that ran before")],
        ),
        (
            Call(
                "sqs",
                "SetQueueAttributes",
                QUEUE,
                {"Attributes": {"VisibilityTimeout": "90"}},
                before={"VisibilityTimeout": "30"},
            ),
            [("VisibilityTimeout", "30", "90")],
        ),
        (Call("events", "EnableRule", "rule", before={"State": "DISABLED"}), [("State", "DISABLED", "ENABLED")]),
        (
            Call(
                "application-autoscaling",
                "RegisterScalableTarget",
                "x",
                {"MinCapacity": 2, "MaxCapacity": 6, "SuspendedState": {"ScheduledScalingSuspended": True}},
                before={"MinCapacity": 2, "MaxCapacity": 4, "ScheduledScalingSuspended": False},
            ),
            [("MaxCapacity", 4, 6), ("ScheduledScalingSuspended", False, True)],
        ),
        (Call("sqs", "SendMessage", QUEUE, {"VisibilityTimeout": 3}), []),
    ],
)
def test_what_is_set_to_another_value_than_it_had_drifts(call: Call, found: list[tuple[str, Any, Any]]) -> None:
    """Of what somebody declares, and of nothing else."""
    assert drift([call]) == tuple(Change(call.resource, *each) for each in found)


@pytest.mark.parametrize(
    "tags, who",
    [
        ({}, ""),
        ({"aws:cloudformation:stack-name": "usage", "managed-by": "terraform"}, "stack usage"),
        ({"ManagedBy": "Terraform"}, "Terraform"),
        ({"terraform": "true"}, "Terraform"),
        ({"terraform": "false"}, ""),
        ({"managed-by": "pulumi"}, "pulumi"),
    ],
)
def test_who_declares_it_is_what_its_tags_say(tags: dict[str, str], who: str) -> None:
    """CloudFormation says it by itself; Terraform where somebody has it do so."""
    assert owner(tags) == who


# -- what is told ----------------------------------------------------------------------------------------------------


def test_what_stays_changed_is_told_with_who_will_undo_it() -> None:
    """In the report, and for machines."""
    text = render(incident(made(UP)), context=CONTEXT)
    assert "DRIFT  from what is declared\n  - service/prod/api: desiredCount 2 -> 3\n" in text
    assert "the next apply of stack usage undoes this" in text
    assert to_json(incident(made(UP)), context=CONTEXT)["drift"] == {
        "owner": "stack usage",
        "properties": [{"resource": str(SERVICE), "name": "desiredCount", "before": 2, "after": 3}],
    }


def test_where_nobody_says_who_it_is_that_is_said() -> None:
    """Somebody may."""
    assert "Whatever declares it (a stack, Terraform) undoes this" in render(
        incident(made(UP), owner=""), context=CONTEXT
    )


def test_what_would_be_changed_is_told_before_anybody_says_yes() -> None:
    """It may be a reason to say no."""
    assert "DRIFT  from what is declared, if it were done" in render(incident(), context=CONTEXT)


@pytest.mark.parametrize(
    "calls, more",
    [
        ((made(UP, outcome=Outcome.NOT_DONE),), {}),
        ((made(UP), made(DOWN, "undo more")), {}),
        ((), {"plan": None}),
    ],
)
def test_what_was_not_changed_or_was_taken_back_is_no_drift(
    calls: tuple[CallRecord, ...], more: dict[str, Any]
) -> None:
    """It is as it is declared."""
    assert "DRIFT" not in render(incident(*calls, **more), context=CONTEXT)


def limits(operation: str, way: str, **more: Any) -> Call:
    """Limits of a table's capacity: IAM knows those for reads and those for writes by one name."""
    nameless = "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/*"
    params = {"ScalableDimension": f"dynamodb:table:{way}CapacityUnits", **more}
    return Call("application-autoscaling", operation, nameless, params, before=dict.fromkeys(more))


READS, WRITES = (limits("RegisterScalableTarget", way, MinCapacity=5, MaxCapacity=20) for way in ("Read", "Write"))
NO_READS, NO_WRITES = (limits("DeregisterScalableTarget", way) for way in ("Read", "Write"))
BOTH = replace(PLAN, steps=(Step("more", (READS, WRITES), timedelta(0), (NO_READS, NO_WRITES)),))


@pytest.mark.parametrize(
    "calls, told, not_told",
    [
        ((made(READS), made(WRITES, outcome=Outcome.NOT_DONE)), ["Read"], ["Write"]),
        ((made(READS), made(WRITES)), ["Read", "Write"], []),
        (
            (made(READS), made(WRITES), made(NO_READS, "undo more", Outcome.NOT_DONE), made(NO_WRITES, "undo more")),
            ["Read", "Write"],
            [],
        ),
    ],
    ids=["one of two was made", "both were", "one of two was taken back"],
)
def test_two_calls_of_one_name_are_two(calls: tuple[CallRecord, ...], told: list[str], not_told: list[str]) -> None:
    """What became of one says nothing of the other; and a report says which is which."""
    record = incident(*calls, plan=BOTH)
    changed = to_json(record, context=CONTEXT)["drift"]["properties"]
    assert len(changed) == 2 * len(told)
    text = " ".join(render(record, context=CONTEXT).split())
    for way in told:
        assert f"ScalableDimension=dynamodb:table:{way}CapacityUnits): done" in text
    for way in not_told:
        assert f"ScalableDimension=dynamodb:table:{way}CapacityUnits): NOT DONE" in text
