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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from nightshift.model import Arn, MetricQuery, Query, ResourceRead
from nightshift.remediation import Readings, Unread
from nightshift.signals.alarms import alarm_pieces
from nightshift.signals.archives import archive_pieces
from nightshift.signals.backups import backup_pieces
from nightshift.signals.batch import Answer, Piece
from nightshift.signals.clusters import cluster_pieces, snapshot_pieces
from nightshift.signals.domains import domain_pieces
from nightshift.signals.functions import alias_pieces, function_pieces
from nightshift.signals.hours import hour_pieces
from nightshift.signals.locks import lock_pieces
from nightshift.signals.machines import machine_pieces
from nightshift.signals.metrics import metric_pieces
from nightshift.signals.names import (
    alarm_name,
    api_metric,
    balancer_metric,
    cluster_metric,
    domain_metric,
    function_metric,
    group_metric,
    instance_metric,
    machine_metric,
    pool_metric,
    queue_arn,
    queue_metric,
    queue_url,
    rule_metric,
    service_metric,
    split_rule_arn,
    split_service_arn,
    split_table_arn,
    table_metric,
)
from nightshift.signals.pipelines import pipeline_pieces
from nightshift.signals.queues import attribute_pieces, exists_pieces
from nightshift.signals.rules import rule_pieces
from nightshift.signals.services import service_pieces
from nightshift.signals.tables import scaling_pieces, table_pieces
from nightshift.signals.triggers import trigger_pieces
from nightshift.signals.upkeep import (
    bucket_pieces,
    certificate_pieces,
    secret_pieces,
    stack_pieces,
    table_access_pieces,
    table_backup_pieces,
)
from nightshift.signals.wiring import mapping_pieces, notification_pieces, policy_pieces

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = [
    "ACTIONS",
    "KINDS",
    "Answered",
    "Kind",
    "actions",
    "alarm_name",
    "answered",
    "api_metric",
    "balancer_metric",
    "cluster_metric",
    "commonest",
    "domain_metric",
    "function_metric",
    "gather",
    "group_metric",
    "instance_metric",
    "machine_metric",
    "pool_metric",
    "queue_arn",
    "queue_metric",
    "queue_url",
    "rule_metric",
    "service_metric",
    "split_rule_arn",
    "split_service_arn",
    "split_table_arn",
    "table_metric",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """
    How one kind of resource is read. ``names`` is the :attr:`Arn.kind` that its keys must have.

    ``timed``: what is read depends on when, which its pieces are told too. ``alone``: it is read of targets where a
    query says so, and never of what they are linked to.
    """

    names: str
    actions: tuple[str, ...]
    pieces: Callable[..., Iterator[Piece[ResourceRead]]]
    timed: bool = False
    alone: bool = False

    @property
    def service(self) -> str:
        """The client that reads it."""
        service = self.names.partition(":")[0]
        return _CLIENTS.get(service, service)


_CLIENTS = {"es": "opensearch", "states": "stepfunctions"}
"""services that the SDK knows by another name than ARNs do"""


KINDS: Mapping[str, Kind] = {
    "cloudwatch.alarm": Kind("cloudwatch:alarm", ("cloudwatch:DescribeAlarms",), alarm_pieces),
    "sqs.exists": Kind("sqs:queue", ("sqs:ListQueues",), exists_pieces),
    "sqs.queue": Kind("sqs:queue", ("sqs:GetQueueAttributes",), attribute_pieces),
    "lambda.function": Kind(
        "lambda:function", ("lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration"), function_pieces
    ),
    "lambda.alias": Kind("lambda:function", ("lambda:GetAlias",), alias_pieces, alone=True),
    "lambda.mappings": Kind("lambda:function", ("lambda:ListEventSourceMappings",), mapping_pieces),
    "lambda.policy": Kind("lambda:function", ("lambda:GetPolicy",), policy_pieces, alone=True),
    "rds.cluster": Kind("rds:cluster", ("rds:DescribeDBClusters",), cluster_pieces),
    "rds.snapshots": Kind(
        "rds:cluster",
        ("rds:DescribeDBClusterSnapshots", "rds:DescribeDBClusters"),
        snapshot_pieces,
        alone=True,
    ),
    "es.domain": Kind("es:domain", ("es:DescribeDomain",), domain_pieces),
    "ecs.service": Kind("ecs:service", ("ecs:DescribeServices",), service_pieces),
    "s3.notifications": Kind("s3:bucket", ("s3:GetBucketNotification",), notification_pieces, alone=True),
    "s3.pipeline": Kind("s3:bucket", ("s3:ListBucket",), pipeline_pieces, timed=True),
    "states.machine": Kind(
        "states:stateMachine", ("states:DescribeStateMachine", "states:ListExecutions"), machine_pieces
    ),
    "s3.archive": Kind("s3:bucket", ("s3:GetObject", "s3:ListBucketVersions"), archive_pieces, timed=True),
    "events.rule": Kind("events:rule", ("events:DescribeRule",), rule_pieces),
    "s3.hours": Kind("s3:bucket", ("s3:ListBucket",), hour_pieces, timed=True),
    "s3.runs": Kind("s3:bucket", ("s3:ListBucket",), backup_pieces, timed=True),
    "s3.triggers": Kind("s3:bucket", ("s3:ListBucket",), trigger_pieces),
    "dynamodb.table": Kind("dynamodb:table", ("dynamodb:DescribeTable",), table_pieces),
    "dynamodb.scaling": Kind("dynamodb:table", ("application-autoscaling:DescribeScalableTargets",), scaling_pieces),
    "secretsmanager.secret": Kind(
        "secretsmanager:secret", ("secretsmanager:DescribeSecret", "secretsmanager:ListSecretVersionIds"), secret_pieces
    ),
    "cloudformation.stack": Kind("cloudformation:stack", ("cloudformation:DescribeStacks",), stack_pieces),
    "acm.certificate": Kind("acm:certificate", ("acm:DescribeCertificate",), certificate_pieces),
    "dynamodb.locks": Kind("dynamodb:table", ("dynamodb:GetItem",), lock_pieces, alone=True),
    "dynamodb.backups": Kind(
        "dynamodb:table",
        ("dynamodb:DescribeContinuousBackups", "dynamodb:ListBackups"),
        table_backup_pieces,
        timed=True,
        alone=True,
    ),
    "dynamodb.access": Kind(
        "dynamodb:table",
        ("dynamodb:DescribeTimeToLive", "dynamodb:GetResourcePolicy"),
        table_access_pieces,
        alone=True,
    ),
    "s3.backups": Kind(
        "s3:bucket", ("s3:GetBucketVersioning", "s3:GetReplicationConfiguration"), bucket_pieces, alone=True
    ),
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
        pieces += KINDS[kind].pieces(aws, reads, *([now] if KINDS[kind].timed else []))
    services = {KINDS[kind].service for kind in located} | ({"cloudwatch"} if metrics else set())
    for service in sorted(services):
        aws.client(service)  # made here: a session is not safe to make clients from in several threads at once
    for given in aws.run(piece.answers for piece in pieces):
        answers.update(given)
    return Readings(now, {query: answers.get(query, Unread("nobody answered")) for query in asked})


@dataclass(frozen=True, slots=True)
class Answered:
    """
    What a service of AWS was asked, how much of that it did not answer, and the commonest reason why not.

    ``things`` is about how many resources: of a bucket or a queue several things may be asked.
    """

    service: str
    things: int = 0
    asked: int = 0
    unread: int = 0
    reason: str = ""

    @property
    def silent(self) -> bool:
        """Whether it was asked, and answered nothing. A thing that is not there is an answer."""
        return 0 < self.asked == self.unread


def answered(readings: Readings) -> tuple[Answered, ...]:
    """
    How each service answered what was read of it (metrics are CloudWatch's), by its name.

    Evidence for the storm brake: a service that answers nothing is one failure, of AWS or of our own.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    things: dict[str, set[str]] = defaultdict(set)
    asked: Counter[str] = Counter()
    for query, answer in readings.answers.items():
        service = "cloudwatch" if isinstance(query, MetricQuery) else query.kind.partition(".")[0]
        asked[service] += 1
        things[service].add(_thing(query))
        if isinstance(answer, Unread):
            reasons[service].append(answer.reason)
    return tuple(
        Answered(service, len(things[service]), count, len(reasons[service]), commonest(reasons[service]))
        for service, count in sorted(asked.items())
    )


def _thing(query: Query) -> str:
    """What a query is about: a prefix of a bucket is the bucket."""
    if isinstance(query, MetricQuery):
        return repr(query.dimensions)
    return query.key.partition("/")[0] if query.kind.startswith("s3.") else query.key


def commonest(reasons: Sequence[str]) -> str:
    """One of the reasons that occur most often, whatever they are about: it stands after "on" or not at all."""
    kinds = Counter(reason.partition(" on ")[0] for reason in reasons)
    most = max(kinds.values(), default=0)
    return next((reason for reason in reasons if kinds[reason.partition(" on ")[0]] == most), "")


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
