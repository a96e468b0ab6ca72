"""
State machines of Step Functions: what each is, and how its newest executions ended.

``states.machine`` is the machine by AWS's own field names, without its definition, with ``Executions``: of a STANDARD
machine those that failed, timed out, run or succeeded, a thousand of each at most; ``Truncated`` says that more have
failed or timed out than were listed. None where there is no such machine. What went in and what came out is not read.

AWS lists no executions of EXPRESS machines.

Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_ListExecutions.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["LISTED", "machine_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

LISTED = 1000
"""executions: one page, the longest that AWS gives"""
_FAILED = ("FAILED", "TIMED_OUT")
_STATUSES = (*_FAILED, "RUNNING", "SUCCEEDED")
_KEPT = ("revisionId", "status", "type")
_OF_EXECUTION = ("executionArn", "name", "status", "startDate", "stopDate", "redriveCount", "redriveDate")


def machine_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a machine."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_machine, aws, read, str(arn)))


def _machine(aws: Aws, read: ResourceRead, arn: str) -> dict[ResourceRead, Answer]:
    executions: list[dict[str, Any]] = []
    truncated = False
    try:
        found = aws.read("stepfunctions", "DescribeStateMachine", stateMachineArn=arn, includedData="METADATA_ONLY")
        for status in _STATUSES if found.get("type") == "STANDARD" else ():
            page = aws.read(
                "stepfunctions", "ListExecutions", stateMachineArn=arn, statusFilter=status, maxResults=LISTED
            )
            executions += [{name: each[name] for name in _OF_EXECUTION if name in each} for each in page["executions"]]
            truncated |= status in _FAILED and "nextToken" in page
    except Missing:
        return {read: None}
    kept = {name: found[name] for name in _KEPT if name in found}
    return {read: {**kept, "Executions": tuple(executions), "Truncated": truncated}}
