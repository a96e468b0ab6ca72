"""
Batched readers: what all remediations want to know about all targets, in as few calls as AWS allows.

:func:`gather` never raises for what AWS does. Each query gets its own answer: a :class:`Series` (empty where AWS says
that it is complete and nothing was reported), a mapping, None for what does not exist — or Unread, with the reason, for
exactly the queries that a failed call was about.

A new kind of resource is a line in :data:`KINDS`: which ARNs it takes, which IAM actions it needs, and how to cut many
reads into independent pieces (:class:`~nightshift.signals.batch.Piece`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nightshift.model import Arn, MetricQuery, Query, ResourceRead
from nightshift.remediation import Readings, Unread
from nightshift.signals.alarms import alarm_pieces
from nightshift.signals.batch import Answer, Piece
from nightshift.signals.functions import function_pieces
from nightshift.signals.hours import hour_pieces
from nightshift.signals.metrics import metric_pieces
from nightshift.signals.names import (
    alarm_name,
    balancer_metric,
    function_metric,
    group_metric,
    queue_arn,
    queue_metric,
    queue_url,
    rule_metric,
    service_metric,
    split_rule_arn,
    split_service_arn,
)
from nightshift.signals.queues import attribute_pieces, exists_pieces
from nightshift.signals.rules import rule_pieces
from nightshift.signals.services import service_pieces
from nightshift.signals.triggers import trigger_pieces

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = [
    "ACTIONS",
    "KINDS",
    "Kind",
    "actions",
    "alarm_name",
    "balancer_metric",
    "blind_services",
    "function_metric",
    "gather",
    "group_metric",
    "queue_arn",
    "queue_metric",
    "queue_url",
    "rule_metric",
    "service_metric",
    "split_rule_arn",
    "split_service_arn",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """
    How one kind of resource is read. ``names`` is the :attr:`Arn.kind` that its keys must have.

    ``dated``: what is asked for depends on the time, which ``pieces`` is given too.
    """

    names: str
    actions: tuple[str, ...]
    pieces: Callable[..., Iterator[Piece[ResourceRead]]]
    dated: bool = False

    @property
    def service(self) -> str:
        """The client that reads it."""
        return self.names.partition(":")[0]


KINDS: Mapping[str, Kind] = {
    "cloudwatch.alarm": Kind("cloudwatch:alarm", ("cloudwatch:DescribeAlarms",), alarm_pieces),
    "sqs.exists": Kind("sqs:queue", ("sqs:ListQueues",), exists_pieces),
    "sqs.queue": Kind("sqs:queue", ("sqs:GetQueueAttributes",), attribute_pieces),
    "lambda.function": Kind(
        "lambda:function", ("lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration"), function_pieces
    ),
    "ecs.service": Kind("ecs:service", ("ecs:DescribeServices",), service_pieces),
    "events.rule": Kind("events:rule", ("events:DescribeRule",), rule_pieces),
    "s3.hours": Kind("s3:bucket", ("s3:ListBucket",), hour_pieces, dated=True),
    "s3.triggers": Kind("s3:bucket", ("s3:ListBucket",), trigger_pieces),
}
"""Every kind of :class:`ResourceRead` that can be answered."""

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "metric": ("cloudwatch:GetMetricData",),
    **{name: kind.actions for name, kind in KINDS.items()},
}
"""The IAM actions that reading each kind takes: a role is made from what is watched."""


def actions(queries: Iterable[Query]) -> tuple[str, ...]:
    """The IAM actions that these queries take, sorted. Raises KeyError for a kind that nobody can read."""
    return tuple(sorted({action for query in queries for action in ACTIONS[_kind(query)]}))


def gather(aws: Aws, queries: Iterable[Query], *, now: datetime) -> Readings:
    """Answer every query, each once, however many remediations and targets ask it."""
    asked = dict.fromkeys(queries)
    answers: dict[Query, Answer] = {}
    metrics: list[MetricQuery] = []
    located: dict[str, dict[ResourceRead, Arn]] = defaultdict(dict)
    for query in asked:
        if isinstance(query, MetricQuery):
            metrics.append(query)
            continue
        try:
            located[query.kind][query] = _locate(query, aws.region)
        except ValueError as error:
            answers[query] = Unread(str(error))

    pieces: list[Piece[MetricQuery] | Piece[ResourceRead]] = list(metric_pieces(aws, metrics, now))
    for kind, reads in located.items():
        pieces += KINDS[kind].pieces(aws, reads, now) if KINDS[kind].dated else KINDS[kind].pieces(aws, reads)
    services = {KINDS[kind].service for kind in located} | ({"cloudwatch"} if metrics else set())
    for service in sorted(services):
        aws.client(service)  # made here: a session is not safe to make clients from in several threads at once
    for given in aws.run(piece.answers for piece in pieces):
        answers.update(given)
    return Readings(now, {query: answers.get(query, Unread("nobody answered")) for query in asked})


def blind_services(readings: Readings) -> dict[str, float]:
    """
    The share of answers that are Unread, by the service that should have given them (metrics are CloudWatch's).

    Evidence for the storm brake: many targets that cannot be read at once are one failure, of AWS or of our own.
    """
    asked: Counter[str] = Counter()
    unread: Counter[str] = Counter()
    for query, answer in readings.answers.items():
        service = "cloudwatch" if isinstance(query, MetricQuery) else query.kind.partition(".")[0]
        asked[service] += 1
        unread[service] += isinstance(answer, Unread)
    return {service: unread[service] / asked[service] for service in sorted(asked)}


def _kind(query: Query) -> str:
    return "metric" if isinstance(query, MetricQuery) else query.kind


def _locate(query: ResourceRead, region: str) -> Arn:
    """The ARN that a read is about, if it is one that we can read here. Raises ValueError with the reason if not."""
    if query.kind not in KINDS:
        raise ValueError(f"nobody reads {query.kind!r}; the kinds are {', '.join(KINDS)}")
    arn = Arn.parse(query.key)
    if arn.kind != KINDS[query.kind].names:
        raise ValueError(f"{query.kind} reads {KINDS[query.kind].names}, and {arn} is {arn.kind}")
    if arn.region != region and arn.service != "s3":  # the ARNs of S3 say no Region
        raise ValueError(f"{arn} is in {arn.region or 'no Region'}, and this reads {region}")
    return arn
