"""One page that shows how a system is: its alarms first, then what they are about. Needs nothing but the CDK."""

from __future__ import annotations

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra.watching import QueueAlarms, ServiceAlarms

__all__ = ["SystemDashboard"]

_ROW = 24
"""CloudWatch's columns"""
_HEIGHT = 6


class SystemDashboard(Construct):
    """One CloudWatch dashboard for the services and dead-letter queues of one system, by their alarms."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        dashboard_name: str,
        services: Sequence[ServiceAlarms] = (),
        queues: Sequence[QueueAlarms] = (),
    ) -> None:
        super().__init__(scope, id_)
        if not services and not queues:
            raise ValueError(f"{dashboard_name}: a dashboard of nothing. Name services, queues or both")
        alarms = [alarm for each in (*services, *queues) for alarm in each.all]
        rows: list[list[cloudwatch.IWidget]] = [
            [cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=_ROW, height=4)]
        ]
        for service in services:
            rows += _of_service(service)
        if queues:
            letters = [_label(each.metrics.visible(), each.metrics.queue_name) for each in queues]
            rows.append([_graph("Dead letters", letters)])
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


def _label(metric: cloudwatch.Metric, label: str) -> cloudwatch.Metric:
    return metric.with_(label=label)


def _graph(
    title: str,
    left: Sequence[cloudwatch.IMetric],
    *,
    limits: dict[str, float] | None = None,
    right: Sequence[cloudwatch.IMetric] = (),
    right_limits: dict[str, float] | None = None,
) -> cloudwatch.GraphWidget:
    """A graph with what its alarms go off at. It begins at nothing: cut off below, a ripple looks like a wave."""
    return cloudwatch.GraphWidget(
        title=title,
        left=list(left),
        right=list(right),
        left_annotations=_lines(limits),
        right_annotations=_lines(right_limits),
        left_y_axis=cloudwatch.YAxisProps(min=0),
        right_y_axis=cloudwatch.YAxisProps(min=0),
        width=_ROW // 2,
        height=_HEIGHT,
    )


def _lines(limits: dict[str, float] | None) -> list[cloudwatch.HorizontalAnnotation]:
    return [
        cloudwatch.HorizontalAnnotation(label=f"alarm: {name}", value=value) for name, value in (limits or {}).items()
    ]
