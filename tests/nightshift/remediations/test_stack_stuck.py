"""A stack that does not go on: which of its states is told, what failed first, and which way leads out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn, Healthy, ResourceRead, Severity, Sick, Target, Unknown
from nightshift.remediations.stack_stuck import StackStuck
from nightshift.stacks import FAILED, failures, name_of, since

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Kept

ARN = Arn.parse("arn:aws:cloudformation:eu-central-1:123456789012:stack/ApiStack/0a1b")
ROOT = "arn:aws:cloudformation:eu-central-1:123456789012:stack/Root/0c2d"
ROLE = "arn:aws:iam::123456789012:role/deploys"
KEPT = Kept(StackStuck(), Target(ARN, "group"))
HOUR = timedelta(hours=1)


def stack(status: str, **other: Any) -> dict[str, Any]:
    """A stack whose last operation began four hours ago."""
    plain = {
        "StackStatus": status,
        "CreationTime": NOW - 900 * HOUR,
        "LastUpdatedTime": NOW - 4 * HOUR,
        "RoleARN": ROLE,
    }
    return {name: value for name, value in {**plain, **other}.items() if value is not None}


def event(status: str, resource: str = "", reason: str = "", minutes: int = 0) -> dict[str, Any]:
    """An event of a resource, or of the stack itself."""
    return {
        "LogicalResourceId": resource or "ApiStack",
        "PhysicalResourceId": resource or str(ARN),
        "ResourceType": "AWS::Test::Thing",
        "ResourceStatus": status,
        "Timestamp": NOW - timedelta(minutes=minutes),
        **({"ResourceStatusReason": reason} if reason else {}),
    }


def test_it_reads_the_stack_and_its_events_and_writes_nothing() -> None:
    """The events only once, when people are told."""
    assert KEPT.remediation.watch(KEPT.target) == (ResourceRead("cloudformation.stack", str(ARN)),)
    assert KEPT.remediation.reads == ("cloudformation:DescribeStackEvents",)
    assert KEPT.remediation.writes == ()


@pytest.mark.parametrize(
    "status, way_out",
    [
        ("UPDATE_ROLLBACK_FAILED", f"continue-update-rollback --stack-name {ARN} (a write)"),
        ("UPDATE_FAILED", f"rollback-stack --stack-name {ARN} (a write)"),
        ("CREATE_FAILED", f"delete-stack --stack-name {ARN} (a write)"),
        ("ROLLBACK_FAILED", f"delete-stack --stack-name {ARN} (a write)"),
        ("ROLLBACK_COMPLETE", f"delete-stack --stack-name {ARN} (a write)"),
        ("DELETE_FAILED", f"delete-stack --stack-name {ARN} (a write)"),
        ("IMPORT_ROLLBACK_FAILED", "wait for AWS"),
    ],
)
def test_each_state_that_takes_no_update_is_told_with_its_way_out(status: str, way_out: str) -> None:
    """All of them, each with why; nothing is skipped or retained by surprise."""
    finding = KEPT.sick(stack(status))
    assert finding.symptom == f"the stack ApiStack is {status}: its last operation began 2026-11-18 23:00 UTC"
    assert finding.severity is (Severity.SEV2 if status == "UPDATE_ROLLBACK_FAILED" else Severity.SEV3)
    told = KEPT.told(stack(status))
    advice = " ".join(told.advice)
    assert told.cause
    assert "describe-stack-events" in told.advice[0]
    assert way_out in advice
    assert "resources-to-skip" not in advice
    assert told.evidence == (f"CloudFormation acts in it with {ROLE}",)
    assert status in FAILED


def test_part_of_another_stack_is_that_stacks_to_mend() -> None:
    """Whatever is done is done to the root."""
    told = KEPT.told(stack("UPDATE_ROLLBACK_FAILED", ParentId="parent", RootId=ROOT, RoleARN=None))
    assert told.advice[1:] == (f"it is part of the stack {ROOT}: whatever is done is done to that one",)
    assert told.evidence == ("it has no role of its own",)
    assert "the stack parent" in KEPT.told(stack("UPDATE_FAILED", ParentId="parent")).advice[1]


def test_a_rollback_that_another_remediation_asks_about_is_not_told_twice() -> None:
    """Where the configuration says so; every other state still is."""
    kept = Kept(StackStuck(rollbacks=False), KEPT.target)
    assert kept.healthy(stack("UPDATE_ROLLBACK_FAILED")) == "UPDATE_ROLLBACK_FAILED"
    assert kept.sick(stack("UPDATE_FAILED"))


@pytest.mark.parametrize("hours, sick", [(2.9, False), (3, False), (3.1, True)])
@pytest.mark.parametrize(
    "status", ["UPDATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"]
)
def test_an_operation_may_take_three_hours(status: str, hours: float, sick: bool) -> None:
    """From when it began, which does not move; cancelling is only for an update."""
    found = stack(status, LastUpdatedTime=NOW - hours * HOUR)
    assert isinstance(KEPT.seen(found), Sick) is sick
    if sick:
        assert KEPT.sick(found).symptom == f"the stack ApiStack is {status} since 2026-11-18 23:54 UTC"
        assert ("cancel-update-stack" in KEPT.told(found).advice[1]) is (status == "UPDATE_IN_PROGRESS")


def test_a_deletion_is_as_old_as_itself() -> None:
    """Not as the update before it."""
    assert isinstance(KEPT.seen(stack("DELETE_IN_PROGRESS", DeletionTime=NOW - HOUR)), Healthy)
    assert isinstance(KEPT.seen(stack("DELETE_IN_PROGRESS", DeletionTime=NOW - 4 * HOUR)), Sick)


@pytest.mark.parametrize("status", ["UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"])
def test_what_takes_an_update_is_well(status: str) -> None:
    """Also one whose update was rolled back, and one that waits for its first change set, for however long."""
    assert KEPT.healthy(stack(status)) == status


def test_what_cannot_be_told_is_unknown() -> None:
    """Unread, gone, deleted, without a status or a beginning."""
    for found in KEPT.blind():
        assert isinstance(KEPT.seen(found), Unknown)
    assert KEPT.unknown(stack("DELETE_COMPLETE")) == "the stack ApiStack was deleted"
    assert "how ApiStack is" in KEPT.unknown(stack("SOMETHING_NEW"))
    bare = {"StackStatus": "UPDATE_IN_PROGRESS"}
    assert "since when" in KEPT.unknown(bare)
    assert since(bare) is None
    assert KEPT.sick({"StackStatus": "UPDATE_FAILED"}).symptom == "the stack ApiStack is UPDATE_FAILED"


def test_what_failed_first_is_told_first_and_what_it_took_along_is_not() -> None:
    """Of the last operation alone."""
    events = [
        event("UPDATE_ROLLBACK_FAILED", minutes=1),
        event("UPDATE_FAILED", "Table", "the table is gone" + "x" * 900, minutes=2),
        event("UPDATE_FAILED", "Queue", "Resource update cancelled", minutes=3),
        event("UPDATE_FAILED", "Api", minutes=4),
        event("UPDATE_IN_PROGRESS", "Api", minutes=5),
        event("UPDATE_IN_PROGRESS", minutes=6),
        event("UPDATE_FAILED", "Old", "last week", minutes=7),
    ]
    found = failures(events, ARN)
    assert found[0] == "2026-11-19 02:56 UTC Api (AWS::Test::Thing) UPDATE_FAILED: no reason given"
    assert found[1].startswith("2026-11-19 02:58 UTC Table (AWS::Test::Thing) UPDATE_FAILED: the table is gonexxx")
    assert len(found) == 2
    assert len(found[1]) < 300
    assert failures([], ARN) == ("its newest events name no failure",)
    assert failures([event("CREATE_FAILED", "A") | {"Timestamp": None}], ARN)[0].startswith("? A")
    assert len(failures([event("CREATE_FAILED", str(number)) for number in range(20)], ARN)) == 8


def test_the_events_are_read_when_people_are_told() -> None:
    """They come after what is known of the stack."""
    found = stack("UPDATE_FAILED")
    events = {"StackEvents": [event("UPDATE_FAILED", "Table", "the table is gone")]}
    read = KEPT.read(found, DescribeStackEvents=events)
    told = KEPT.remediation.detail(read, KEPT.target, KEPT.told(found), {})
    assert told.evidence[0] == f"CloudFormation acts in it with {ROLE}"
    assert "the table is gone" in told.evidence[1]
    empty = KEPT.read(found, DescribeStackEvents={})
    assert "name no failure" in KEPT.remediation.detail(empty, KEPT.target, KEPT.told(found), {}).evidence[1]


def test_a_stack_has_a_name_whatever_its_arn_looks_like() -> None:
    """Between the slashes."""
    assert name_of(ARN) == "ApiStack"
    assert name_of(Arn.parse("arn:aws:cloudformation:eu-central-1:123456789012:stack")) == "stack"


@given(
    st.dictionaries(
        st.sampled_from([*stack("x"), "DeletionTime", "RootId", "ParentId"]),
        st.one_of(st.none(), st.integers(), st.sampled_from([*FAILED, "UPDATE_IN_PROGRESS"]), st.just(NOW)),
    )
)
def test_any_reading_can_be_judged(found: dict[str, Any]) -> None:
    """It is one of the three."""
    assert isinstance(KEPT.seen(found), Healthy | Sick | Unknown)
