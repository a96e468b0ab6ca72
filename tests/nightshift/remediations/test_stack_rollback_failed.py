"""A rollback that failed: who is asked, what is called and how often, and when nothing is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Observation,
    Outcome,
    Plan,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Unread
from nightshift.remediations.stack_rollback_failed import StackRollbackFailed

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Eyes

ARN = Arn.parse("arn:aws:cloudformation:eu-central-1:123456789012:stack/ApiStack/0a1b")
ROOT = "arn:aws:cloudformation:eu-central-1:123456789012:stack/Root/0c2d"
ROLE = "arn:aws:iam::123456789012:role/deploys"
TARGET = Target(ARN, "group")
READ = ResourceRead("cloudformation.stack", str(ARN))
FAILED = "UPDATE_ROLLBACK_FAILED"
CURE = StackRollbackFailed()


def stack(status: str | None = FAILED, **other: Any) -> dict[str, Any]:
    """A stack with a role of its own; what is None is not said."""
    found = {"StackStatus": status, "RoleARN": ROLE, **other}
    return {name: value for name, value in found.items() if value is not None}


def event(number: int, status: str, resource: str = "", token: str = "") -> dict[str, Any]:
    """An event of a resource, or of the stack itself."""
    return {
        "EventId": f"event-{number}",
        "LogicalResourceId": resource or "ApiStack",
        "PhysicalResourceId": resource or str(ARN),
        "ResourceType": "AWS::Test::Thing",
        "ResourceStatus": status,
        "ResourceStatusReason": "the instance is gone",
        "Timestamp": NOW - timedelta(minutes=60 - number),
        **({"ClientRequestToken": token} if token else {}),
    }


EVENTS = [
    event(4, FAILED),
    event(3, "UPDATE_FAILED", "Database"),
    event(2, "UPDATE_ROLLBACK_IN_PROGRESS"),
    event(1, "UPDATE_IN_PROGRESS"),
]


def read(found: Any, events: list[dict[str, Any]] | None = None) -> Reader:
    """A Reader of that stack, with these events."""
    answer = {"StackEvents": EVENTS if events is None else events}
    return cast("Reader", Eyes(found, CURE, {"DescribeStackEvents": answer}))


def seen(found: Any) -> Observation:
    """What a look finds."""
    return CURE.detect(TARGET, Readings(NOW, {READ: found}))


def diagnosed(found: Any, events: list[dict[str, Any]] | None = None) -> Diagnosis:
    """What a diagnosis finds."""
    return CURE.diagnose(read(found, events), TARGET, Finding(CURE.name, str(ARN), "it failed"))


def planned(found: Any = None, events: list[dict[str, Any]] | None = None) -> Plan:
    """The plan for it."""
    return CURE.plan(diagnosed(found or stack(), events))


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_rollback_that_failed_is_sick_and_every_other_end_is_not() -> None:
    """By the stack's status, which is read every five minutes."""
    assert CURE.watch(TARGET) == (READ,)
    found = seen(stack())
    assert isinstance(found, Sick)
    assert found.finding.symptom == "the stack ApiStack is UPDATE_ROLLBACK_FAILED, and takes no update"
    assert found.finding.severity is Severity.SEV2
    for status in ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_IN_PROGRESS"):
        well = seen(stack(status))
        assert isinstance(well, Healthy)
        assert not well.idle


@pytest.mark.parametrize("status", ["UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"])
def test_while_it_is_rolled_back_nobody_knows(status: str) -> None:
    """Somebody continues it: neither well nor sick."""
    found = seen(stack(status))
    assert isinstance(found, Healthy)
    assert found.idle


@pytest.mark.parametrize("found", [Unread("throttled"), None, {}])
def test_what_cannot_be_told_is_unknown(found: Any) -> None:
    """Unread, gone, without a status."""
    assert isinstance(seen(found), Unknown)


@given(st.dictionaries(st.sampled_from(["StackStatus", "RoleARN"]), st.one_of(st.none(), st.integers(), st.text())))
def test_any_reading_can_be_judged(found: dict[str, Any]) -> None:
    """It is one of the three."""
    assert isinstance(seen(found), Healthy | Sick | Unknown)


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_a_person_is_asked_with_what_failed_and_whose_leave_is_used() -> None:
    """Always, whatever the modes say; it is the last thing that is tried."""
    diagnosis = diagnosed(stack())
    assert diagnosis.advice == ()
    assert "Database (AWS::Test::Thing) UPDATE_FAILED: the instance is gone" in diagnosis.evidence[0]
    assert diagnosis.evidence[-1] == f"CloudFormation acts in it with {ROLE}"
    plan = CURE.plan(diagnosis)
    assert (plan.asks, plan.final, plan.lease, plan.dollars) == (True, True, None, 0)
    assert ROLE in plan.risk
    [step] = plan.steps
    [call] = step.calls
    assert step.undo == ()
    assert (call.action, call.resource) == ("cloudformation:ContinueUpdateRollback", str(ARN))
    assert call.params == {"StackName": str(ARN), "ClientRequestToken": diagnosis.facts["token"]}
    assert call.before == {"StackStatus": FAILED, "RoleARN": ROLE, "failed": "event-4"}


def test_the_same_failure_has_the_same_token_and_the_next_one_another() -> None:
    """So whatever is sent twice is done once, and one that failed again is another question."""
    again = [event(9, FAILED), *EVENTS]
    first, same, other = planned(), planned(), planned(events=again)
    assert first.hash == same.hash != other.hash
    tokens = [plan.steps[0].calls[0].params["ClientRequestToken"] for plan in (first, other)]
    assert tokens[0] != tokens[1]
    assert all(len(token) <= 128 and token.replace("-", "").isalnum() for token in tokens)


def test_without_a_role_of_its_own_it_is_only_told() -> None:
    """CloudFormation would act with our permissions: those are not there, and shall not be."""
    told = diagnosed(stack(RoleARN=None))
    assert f"aws cloudformation continue-update-rollback --stack-name {ARN} (a write)" in told.advice[1]
    assert "it has no role of its own" in told.evidence


@pytest.mark.parametrize("named", [{"ParentId": ROOT}, {"RootId": ROOT, "ParentId": "between"}])
def test_part_of_another_stack_is_only_told(named: dict[str, str]) -> None:
    """Only the root can be continued, and that may be nobody's target."""
    assert f"--stack-name {ROOT} (a write)" in diagnosed(stack(**named)).advice[1]


def test_what_is_not_so_any_more_or_not_known_yet_waits() -> None:
    """Somebody was quicker; or the events are behind the status."""
    with pytest.raises(Refused, match="UPDATE_ROLLBACK_COMPLETE now") as refused:
        diagnosed(stack("UPDATE_ROLLBACK_COMPLETE"))
    assert refused.value.retry_after == timedelta(minutes=1)
    for events in ([], EVENTS[1:], [EVENTS[0] | {"Timestamp": None}], [EVENTS[0] | {"EventId": None}]):
        with pytest.raises(Refused, match="do not say yet") as refused:
            diagnosed(stack(), events)
        assert refused.value.retry_after == timedelta(minutes=2)
    with pytest.raises(Unreadable, match="throttled"):
        diagnosed(Unread("throttled"))
    with pytest.raises(Missing):
        diagnosed(None)


# -- what became of it -------------------------------------------------------------------------------------------------


def test_a_call_whose_answer_was_lost_is_found_by_its_token() -> None:
    """Whatever the stack says by then; without the token, only the very same failure says that nothing happened."""
    [call] = planned().steps[0].calls
    began = [event(5, "UPDATE_ROLLBACK_IN_PROGRESS", token=call.params["ClientRequestToken"]), *EVENTS]
    others = [event(5, "UPDATE_ROLLBACK_IN_PROGRESS", token="somebody"), *EVENTS]
    again = [event(6, FAILED, token="somebody"), *others]
    for found, events, outcome in (
        (stack("UPDATE_ROLLBACK_IN_PROGRESS"), began, Outcome.DONE),
        (stack(), began, Outcome.DONE),
        (stack(), EVENTS, Outcome.NOT_DONE),
        (stack("UPDATE_ROLLBACK_IN_PROGRESS"), EVENTS, Outcome.UNKNOWN),
        (stack("UPDATE_ROLLBACK_IN_PROGRESS"), others, Outcome.UNKNOWN),
        (stack(), again, Outcome.UNKNOWN),
        (stack(), [], Outcome.UNKNOWN),
    ):
        assert CURE.reconcile(read(found, events), call, NOW) is outcome


def test_it_is_waited_for_until_it_ends_and_a_second_failure_is_not_continued() -> None:
    """Complete is the end, failed again the other; that it has not begun yet is neither."""
    plan = planned()
    again = [event(9, FAILED), *EVENTS]
    for found, events, progress in (
        (stack("UPDATE_ROLLBACK_IN_PROGRESS"), EVENTS, Progress.WAIT),
        (stack("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS"), EVENTS, Progress.WAIT),
        (stack("UPDATE_ROLLBACK_COMPLETE"), EVENTS, Progress.NEXT),
        (stack(), EVENTS, Progress.WAIT),
        (stack(), [], Progress.WAIT),
        (stack(), again, Progress.STOP),
    ):
        assert CURE.progress(read(found, events), plan, plan.steps[0], {})[0] is progress
