"""A state machine is read with its newest executions; what went in and what came out is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather, machine_metric

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

MACHINE = Arn("aws", "states", REGION, ACCOUNT, "stateMachine:documents")
READ = ResourceRead("states.machine", str(MACHINE))
AT = datetime(2026, 11, 19, tzinfo=UTC)


def execution(name: str, status: str) -> dict[str, Any]:
    """As AWS lists one."""
    return {
        "executionArn": f"arn:{name}",
        "stateMachineArn": str(MACHINE),
        "name": name,
        "status": status,
        "startDate": AT,
    }


def kept(name: str, status: str) -> dict[str, Any]:
    """What is kept of it."""
    return {"executionArn": f"arn:{name}", "name": name, "status": status, "startDate": AT}


def test_a_machine_is_what_it_is_and_how_its_executions_ended(cloud: Cloud) -> None:
    """By status, a page of each; its definition is left where it is."""
    said = {"type": "STANDARD", "status": "ACTIVE", "revisionId": "r2", "definition": "secret", "name": "documents"}
    cloud.answers["DescribeStateMachine"] = lambda _: said
    cloud.answers["ListExecutions"] = lambda params: {"executions": [execution("x", params["statusFilter"])]}
    found = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    statuses = ("FAILED", "TIMED_OUT", "RUNNING", "SUCCEEDED")
    assert found == {
        "type": "STANDARD",
        "status": "ACTIVE",
        "revisionId": "r2",
        "Executions": tuple(kept("x", status) for status in statuses),
        "Truncated": False,
    }
    assert {params.get("includedData", "METADATA_ONLY") for _, params in cloud.calls} == {"METADATA_ONLY"}


@pytest.mark.parametrize("status, truncated", [("FAILED", True), ("TIMED_OUT", True), ("SUCCEEDED", False)])
def test_more_failures_than_are_listed_are_said(cloud: Cloud, status: str, truncated: bool) -> None:
    """More that succeeded are no matter."""
    cloud.answers["DescribeStateMachine"] = lambda _: {"type": "STANDARD"}
    cloud.answers["ListExecutions"] = lambda params: {
        "executions": [],
        **({"nextToken": "t"} if params["statusFilter"] == status else {}),
    }
    found = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert isinstance(found, dict)
    assert found["Truncated"] is truncated


def test_an_express_machine_has_no_list(cloud: Cloud) -> None:
    """AWS would refuse to list them: it is not asked."""
    cloud.answers["DescribeStateMachine"] = lambda _: {"type": "EXPRESS"}
    found = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert found == {"type": "EXPRESS", "Executions": (), "Truncated": False}
    assert [name for name, _ in cloud.calls] == ["DescribeStateMachine"]


def test_gone_is_none_and_denied_is_unread(cloud: Cloud) -> None:
    """With what to grant."""
    cloud.fail("DescribeStateMachine", "StateMachineDoesNotExist")
    assert gather(cloud.aws(), [READ], now=NOW).resource(READ) is None
    cloud.fail("DescribeStateMachine", "AccessDeniedException")
    unread = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert isinstance(unread, Unread)
    assert "grant states:DescribeStateMachine" in unread.reason


def test_a_metric_is_of_the_machine() -> None:
    """By its whole ARN; nothing else has such metrics."""
    assert machine_metric(MACHINE, "ExecutionsFailed", "Sum").dimensions == (("StateMachineArn", str(MACHINE)),)
    with pytest.raises(ValueError, match="not a state machine"):
        machine_metric(Arn.parse("arn:aws:sqs:eu-central-1:123456789012:orders"), "ExecutionsFailed", "Sum")
