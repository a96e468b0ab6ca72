"""State machines behave as those of Step Functions do: what is done, in which order, and what AWS refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.scenes import NIGHT
from sandbox.systems.document_management import INDEX
from sandbox.systems.document_processing import OCR, DocumentProcessing
from sandbox.world import World


@pytest.fixture(params=[True, False], ids=["thin", "full"])
def system(request: pytest.FixtureRequest) -> Iterator[DocumentProcessing]:
    """The processing of documents, on either cloud."""
    with World(NIGHT, thin=request.param) as world:
        yield DocumentProcessing(world)


def states(system: DocumentProcessing) -> Any:
    """The operator's client."""
    return system.world.client("stepfunctions")


def refused(call: Any, **params: Any) -> str:
    """The code with which AWS refuses a call."""
    with pytest.raises(ClientError) as error:
        call(**params)
    return str(error.value.response["Error"]["Code"])


def test_an_execution_goes_step_by_step_and_is_measured(system: DocumentProcessing) -> None:
    """It succeeds when the last step is done, and each was done once."""
    [execution] = system.upload()
    assert execution.status == "RUNNING"
    system.world.run(timedelta(minutes=2))
    assert execution.status == "SUCCEEDED"
    assert [step for step, _ in system.machine.done] == ["scan", "ocr", "thumbnails", "index"]
    series = system.world.metrics.find("AWS/States", "ExecutionsSucceeded", (("StateMachineArn", system.arn),))
    assert series is not None
    assert series.values == [1.0]


def test_a_redrive_goes_on_where_it_failed(system: DocumentProcessing) -> None:
    """What was done before is not done again; under the same token it is begun once."""
    [execution] = system.outage(INDEX, 2, documents=1)
    assert (execution.status, execution.error) == ("FAILED", "Lambda.TooManyRequestsException")
    for _ in range(2):
        states(system).redrive_execution(executionArn=execution.arn, clientToken="t1")
    assert execution.redrives == 1
    again = states(system).redrive_execution
    assert refused(again, executionArn=execution.arn, clientToken="t2") == "ExecutionNotRedrivable"
    system.world.run(timedelta(minutes=1))
    assert states(system).describe_execution(executionArn=execution.arn)["status"] == "SUCCEEDED"
    assert system.twice == []


def test_what_timed_out_says_no_error_and_a_long_history_cannot_be_redriven(system: DocumentProcessing) -> None:
    """As AWS describes them."""
    [execution] = system.outage(OCR, 2, documents=1)
    described = states(system).describe_execution(executionArn=execution.arn)
    assert (described["status"], described.get("error"), described["redriveStatus"]) == (
        "TIMED_OUT",
        None,
        "REDRIVABLE",
    )
    execution.lost = True
    assert states(system).describe_execution(executionArn=execution.arn)["redriveStatus"] == "NOT_REDRIVABLE"


def test_a_name_can_exist_only_once(system: DocumentProcessing) -> None:
    """While it runs, the same input is the same execution; afterwards the name is taken."""
    params = {"stateMachineArn": system.arn, "name": "one", "input": "{}"}
    first = states(system).start_execution(**params)
    assert states(system).start_execution(**params)["executionArn"] == first["executionArn"]
    assert refused(states(system).start_execution, **{**params, "input": "[]"}) == "ExecutionAlreadyExists"
    system.world.run(timedelta(minutes=2))
    assert refused(states(system).start_execution, **params) == "ExecutionAlreadyExists"


def test_executions_are_listed_by_status_newest_first_in_pages(system: DocumentProcessing) -> None:
    """And not at all of what is EXPRESS, or of what is not there."""
    for _ in range(3):
        system.upload()
        system.world.run(timedelta(seconds=1))
    system.upload()
    page = states(system).list_executions(stateMachineArn=system.arn, statusFilter="RUNNING", maxResults=3)
    assert [each["name"][:9] for each in page["executions"]] == ["doc-00004", "doc-00003", "doc-00002"]
    more = states(system).list_executions(
        stateMachineArn=system.arn, statusFilter="RUNNING", maxResults=3, nextToken=page["nextToken"]
    )
    assert (len(more["executions"]), "nextToken" in more) == (1, False)
    system.machine.kind = "EXPRESS"
    assert refused(states(system).list_executions, stateMachineArn=system.arn) == "StateMachineTypeNotSupported"
    gone = system.arn + "x"
    assert refused(states(system).describe_state_machine, stateMachineArn=gone) == "StateMachineDoesNotExist"
    assert refused(states(system).describe_execution, executionArn=gone) == "ExecutionDoesNotExist"
