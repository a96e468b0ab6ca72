"""
Rules of EventBridge: whether each is enabled, and what it does when.

``events.rule`` is DescribeRule's answer by AWS's own field names, and None where there is no such rule. AWS has no
batch for it: a call a rule.

Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeRule.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece
from nightshift.signals.names import split_rule_arn

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["rule_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_KEPT = ("Name", "State", "ScheduleExpression", "ManagedBy", "EventBusName")


def rule_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a rule."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_rule, aws, read, arn))


def _rule(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    bus, name = split_rule_arn(arn)
    try:
        found = aws.read("events", "DescribeRule", Name=name, **({"EventBusName": bus} if bus else {}))
    except Missing:
        return {read: None}
    return {read: {field: found[field] for field in _KEPT if field in found}}
