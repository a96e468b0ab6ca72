"""One page that shows how a system is: its alarms first, then what they are about. Needs nothing but the CDK."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.watching import QueueAlarms, QueueMetrics, ServiceAlarms
from infra.watching_base import Alarms
from infra.watching_serverless import (
    BucketMetrics,
    ClusterAlarms,
    FunctionAlarms,
    GraphAlarms,
    TableAlarms,
    TriggerMetrics,
)

__all__ = ["SystemDashboard"]

_ROW = 24
"""CloudWatch's columns"""
_HEIGHT = 6
_ALARMS = 100
"""
that one widget takes: with more CloudWatch takes no dashboard at all, and CloudFormation takes the stack back

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""
_BUCKETS = 50
"""that one graph has room for: CloudWatch would draw 500 lines, and nobody could tell them apart"""


class SystemDashboard(Construct):
    """
    One CloudWatch dashboard for what makes one system: what it has alarms ``about``, and what it works off.

    ``waiting`` are the queues that it works off, ``triggers`` what it counts of its own triggers, ``stored`` the
    buckets whose size is drawn. Raises ValueError for a dashboard of nothing.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        dashboard_name: str,
        about: Sequence[Alarms] = (),
        waiting: Sequence[QueueMetrics] = (),
        triggers: TriggerMetrics | None = None,
        stored: Sequence[BucketMetrics] = (),
    ) -> None:
        super().__init__(scope, id_)
        if not about and not waiting and not stored and triggers is None:
            raise ValueError(f"{dashboard_name}: a dashboard of nothing. Name services, functions, queues or the like")
        rows: list[list[cloudwatch.IWidget]] = []
        alarms = [alarm for each in about for alarm in each.all]
        for start in range(0, len(alarms), _ALARMS):
            title = f"Alarms ({start // _ALARMS + 1})" if start else "Alarms"
            some = alarms[start : start + _ALARMS]
            rows.append([cloudwatch.AlarmStatusWidget(title=title, alarms=list(some), width=_ROW, height=4)])
        if triggers is not None:
            rows += _of_triggers(triggers)
        for each in about:
            rows += _of(each)
        letters = [each.metrics for each in about if isinstance(each, QueueAlarms)]
        queues = [
            _graph(title, [_label(each.visible(), each.queue_name) for each in found])
            for title, found in (("Waiting", waiting), ("Dead letters", letters))
            if found
        ]
        if queues:
            rows.append(list(queues))
        if stored:
            rows.append(_of_buckets(stored))
        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=dashboard_name,
            widgets=rows,
            default_interval=cdk.Duration.hours(12),  # a night
        )


def _of_service(service: ServiceAlarms) -> list[list[cloudwatch.IWidget]]:
    metrics, limits = service.metrics, service.thresholds
    name = metrics.service_name
    tasks: list[cloudwatch.IWidget] = [
        _graph(
            f"{name}: CPU and memory, %",
            [_label(metrics.used("CPUUtilization"), "CPU"), _label(metrics.used("MemoryUtilization"), "memory")],
            limits={"CPU": limits.cpu_percent, "memory": limits.memory_percent},
        ),
        _graph(
            f"{name}: tasks",
            [
                _label(metrics.tasks("RunningTaskCount"), "running"),
                _label(metrics.tasks("DesiredTaskCount"), "desired"),
            ],
        ),
    ]
    if not metrics.answers:
        return [tasks]
    own = () if metrics.shared else ("502", "503", "504")
    kinds = [_label(metrics.refused(kind), f"load balancer, {kind}") for kind in own]
    requests: list[cloudwatch.IWidget] = [
        _graph(f"{name}: requests in 5 minutes", [metrics.asked()]),
        _graph(
            f"{name}: failed requests",
            [_label(metrics.failed(), "tasks, 5XX"), *kinds],
            right=[metrics.error_percent(limits.judged_from)],
            right_limits={"failed requests, %": limits.error_percent},
        ),
    ]
    answers: list[cloudwatch.IWidget] = [
        _graph(
            f"{name}: seconds to answer",
            [_label(metrics.seconds(each), each) for each in ("p50", "p95", "p99")],
            limits={"p95": limits.slow_seconds},
        ),
        _graph(
            f"{name}: hosts",
            [
                _label(metrics.hosts("HealthyHostCount", "Maximum"), "healthy"),
                _label(metrics.hosts("UnHealthyHostCount", "Minimum"), "unhealthy"),
            ],
        ),
    ]
    return [requests, answers, tasks]


def _of(alarms: Alarms) -> list[list[cloudwatch.IWidget]]:
    """The rows that one thing gets. Queues have theirs together."""
    match alarms:
        case ServiceAlarms():
            return _of_service(alarms)
        case GraphAlarms():
            return [_of_api(alarms)]
        case FunctionAlarms():
            return [_of_function(alarms)]
        case TableAlarms():
            return [_of_table(alarms)]
        case ClusterAlarms():
            return [_of_cluster(alarms)]
    return []


def _of_triggers(triggers: TriggerMetrics) -> list[list[cloudwatch.IWidget]]:
    """Runbook 0, "TransientTriggerMonitoring": its three widgets."""
    return [
        [
            _graph(
                "Triggers: created and deleted",
                [
                    triggers.counted("TriggerCreationRate", "created"),
                    triggers.counted("TriggerDeletionRate", "deleted"),
                ],
            ),
            _graph("Triggers: seconds until deleted", [triggers.age("Average"), triggers.age("Maximum")]),
        ],
        [
            _graph(
                "Archive: updates",
                [
                    triggers.counted("ArchiveUpdateSuccess", "written"),
                    triggers.counted("ArchiveUpdateFailure", "failed"),
                ],
            )
        ],
    ]


def _of_api(api: GraphAlarms) -> list[cloudwatch.IWidget]:
    metrics, name = api.metrics, api.metrics.api_id
    return [
        _graph(
            f"{name}: requests in 5 minutes",
            [
                _label(metrics.requests(), "answered"),
                _label(metrics.failed(), "5XX"),
                _label(metrics.rejected(), "4XX"),
            ],
            right=[metrics.error_percent(api.judged_from)],
            right_limits={"failed requests, %": api.limit},
        ),
        _graph(
            f"{name}: milliseconds to answer",
            [_label(metrics.milliseconds(), "average")],
            limits={"average": api.slow},
        ),
    ]


def _of_function(function: FunctionAlarms) -> list[cloudwatch.IWidget]:
    metrics, name = function.metrics, function.metrics.function_name
    return [
        _graph(
            f"{name}: invocations in 5 minutes",
            [_label(metrics.counted(each), each.lower()) for each in ("Invocations", "Errors", "Throttles")],
            right=[metrics.error_percent(function.judged_from)],
            right_limits={"failed invocations, %": function.limit},
        ),
        _graph(
            f"{name}: at once, and milliseconds",
            [_label(metrics.at_once(), "at once")],
            right=[_label(metrics.milliseconds(each), each) for each in ("p50", "p99")],
        ),
    ]


def _of_table(table: TableAlarms) -> list[cloudwatch.IWidget]:
    metrics = table.metrics

    def drawn(name: str) -> list[cloudwatch.IMetric]:
        return [
            _label(metrics.counted(name.format(kind), index), f"{index or metrics.table_name}, {kind.lower()}s")
            for index in metrics.parts
            for kind in ("Read", "Write")
        ]

    return [
        _graph(f"{metrics.table_name}: units in 5 minutes", drawn("Consumed{}CapacityUnits")),
        _graph(f"{metrics.table_name}: throttled in 5 minutes", drawn("{}ThrottleEvents")),
    ]


def _of_cluster(cluster: ClusterAlarms) -> list[cloudwatch.IWidget]:
    metrics, name = cluster.metrics, cluster.metrics.cluster_id
    return [
        _graph(
            f"{name}: CPU and capacity, %",
            [
                _label(metrics.percent("CPUUtilization"), "CPU"),
                _label(metrics.percent("ACUUtilization"), "of the highest capacity"),
            ],
            limits={"CPU at full capacity": 80},
        ),
        _graph(
            f"{name}: connections and capacity units",
            [_label(metrics.connections(), "connections")],
            right=[_label(metrics.capacity(), "capacity units")],
        ),
        _graph(
            f"{name}: bytes",
            [_label(metrics.stored(), "in its volume")],
            right=[_label(metrics.free(), "free for temporary tables and logs")],
        ),
    ]


def _of_buckets(buckets: Sequence[BucketMetrics]) -> list[cloudwatch.IWidget]:
    """Two weeks of them: S3 measures once a day, so that of a night there may be nothing to draw."""
    few = buckets[:_BUCKETS]
    cut = f" (the first {_BUCKETS} of {len(buckets)} buckets)" if len(buckets) > _BUCKETS else ""
    return [
        _graph(f"Buckets: {what}{cut}", [_label(measured(each), each.bucket_name) for each in few], days=14)
        for what, measured in (("bytes, standard storage", BucketMetrics.stored), ("objects", BucketMetrics.objects))
    ]


def _label(metric: cloudwatch.Metric, label: str) -> cloudwatch.Metric:
    return metric.with_(label=label)


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    limits: dict[str, float] | None = None,
    right: Sequence[cloudwatch.IMetric] = (),
    right_limits: dict[str, float] | None = None,
    days: int | None = None,
) -> cloudwatch.GraphWidget:
    """
    A graph with what its alarms go off at. It begins at nothing: cut off below, a ripple looks like a wave.

    It shows so many ``days``, and else what the page shows.
    """
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=_lines(limits),
        right_annotations=_lines(right_limits),
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
        start=f"-P{days}D" if days is not None else None,
        width=_ROW // 2,
        height=_HEIGHT,
    )


def _lines(limits: dict[str, float] | None) -> list[cloudwatch.HorizontalAnnotation]:
    return [
        cloudwatch.HorizontalAnnotation(label=f"alarm: {name}", value=value) for name, value in (limits or {}).items()
    ]
