"""
A CloudFormation stack that does not go on: which of its states that is, and what its events say of why.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackEvents.html,
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from nightshift.model import Arn
from nightshift.remediation import Reader
from nightshift.upkeep import moment, time_of

__all__ = ["FAILED", "ROLLBACK_FAILED", "Events", "failures", "name_of", "newest", "own", "since"]

Events: TypeAlias = Sequence[Mapping[str, Any]]
"""the newest first, as CloudFormation gives them"""

ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
FAILED = frozenset(
    {
        "CREATE_FAILED",
        "DELETE_FAILED",
        "IMPORT_ROLLBACK_FAILED",
        "ROLLBACK_COMPLETE",  # its creation failed: it can only be deleted
        "ROLLBACK_FAILED",
        "UPDATE_FAILED",
        ROLLBACK_FAILED,
    }
)
"""states in which a stack takes no update"""

_SHOWN = 8  # failures that a report lists
_REASON = 200  # characters of a reason: what AWS and whoever provides a resource say
_BEGINS = frozenset({"CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "UPDATE_IN_PROGRESS"})
"""how the events of an operation begin: with one of the stack itself"""


def name_of(arn: Arn) -> str:
    """A stack's own name: its ARN ends with an id."""
    return arn.resource.split("/")[1] if "/" in arn.resource else arn.resource


def since(found: Mapping[str, Any]) -> datetime | None:
    """When what a stack is doing began; None where CloudFormation does not say."""
    times = (time_of(found, name) for name in ("CreationTime", "LastUpdatedTime", "DeletionTime"))
    return max((at for at in times if at is not None), default=None)


def newest(read: Reader, arn: Arn) -> Events:
    """One page of a stack's events: it holds some hundreds. Raises as any read does."""
    found: Events = read("cloudformation", "DescribeStackEvents", StackName=str(arn)).get("StackEvents", ())
    return found


def own(events: Events, arn: Arn) -> Iterator[Mapping[str, Any]]:
    """Those that are about the stack itself."""
    return (each for each in events if each.get("PhysicalResourceId") == str(arn))


def failures(events: Events, arn: Arn) -> tuple[str, ...]:
    """
    What failed in a stack's last operation, what failed first first: that is mostly why the rest did.

    What was cancelled because something else had failed is left out.
    """
    found = []
    for each in events:
        status, reason = str(each.get("ResourceStatus", "")), str(each.get("ResourceStatusReason") or "no reason given")
        itself = each.get("PhysicalResourceId") == str(arn)
        if status.endswith("_FAILED") and not itself and "cancelled" not in reason:
            at = time_of(each, "Timestamp")
            what = f"{each.get('LogicalResourceId')} ({each.get('ResourceType')})"
            found.append(f"{moment(at) if at else '?'} {what} {status}: {reason[:_REASON]}")
        elif itself and status in _BEGINS:
            break
    return tuple(found[::-1][:_SHOWN]) or ("its newest events name no failure",)
