"""
Alarms: a hundred a call, metric alarms and composite ones alike.

``cloudwatch.alarm`` is the alarm by AWS's own field names, and None where there is none of that name. AWS leaves
composite alarms out, without a word, for whoever may not describe all alarms, and unless they are asked for.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals.batch import Answer, Piece, chunks
from nightshift.signals.names import alarm_name

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["alarm_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_ALARMS = 100  # names a call, and alarms a page: AWS's limits
_PAGES = 3  # AWS may turn the page sooner than it must


def alarm_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a call; an ARN without a name is a piece by itself, without a call."""
    named: dict[ResourceRead, str] = {}
    for read, arn in reads.items():
        try:
            named[read] = alarm_name(arn)
        except ValueError as error:
            yield Piece((read,), partial(_unread, read, str(error)))
    for part in chunks(tuple(named), _ALARMS):
        yield Piece(tuple(part), partial(_read, aws, {read: named[read] for read in part}))


def _unread(read: ResourceRead, reason: str) -> dict[ResourceRead, Answer]:
    return {read: Unread(reason)}


def _read(aws: Aws, named: Mapping[ResourceRead, str]) -> dict[ResourceRead, Answer]:
    request: dict[str, Any] = {
        "AlarmNames": sorted(set(named.values())),
        "AlarmTypes": ["CompositeAlarm", "MetricAlarm"],
        "MaxRecords": _ALARMS,
    }
    found: dict[str, Mapping[str, Any]] = {}
    for _ in range(_PAGES):
        answer = aws.read("cloudwatch", "DescribeAlarms", **request)
        for alarm in (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())):
            found[str(alarm.get("AlarmName"))] = dict(alarm)
        if not answer.get("NextToken"):
            return {read: found.get(name) for read, name in named.items()}
        request["NextToken"] = answer["NextToken"]
    return {read: found.get(name, Unread("cloudwatch:DescribeAlarms has no end")) for read, name in named.items()}
