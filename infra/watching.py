"""
The alarms that a service and a dead-letter queue should have, for a stack of yours or for Nightshift's own.

An alarm only makes Nightshift look: one rule hears every alarm of the account, and the dimensions of an alarm's metrics
say what it is about. So none of these needs an action; ``tell`` is for people. Needs nothing but the CDK.

What the runbooks' alarms measured and what was wrong with it stands at each alarm. Three rules hold for all of them:

- A metric is named by exactly the dimensions under which AWS publishes it; any others are another metric, without data.
- Missing data is bad only where silence is the failure (requests), fine where there is nothing to count (errors of no
  request, letters of an idle queue), and unknown everywhere else: an alarm without data says so.
- Several windows have to be bad, never one: a window that is not complete yet reads like an improvement or a failure.
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.watching_base import (
    ABOVE,
    AT_LEAST,
    BAD,
    BELOW,
    FINE,
    FIVE_MINUTES,
    MINUTE,
    UNKNOWN,
    Alarms,
    checked,
    computed,
)

__all__ = ["QueueAlarms", "QueueMetrics", "ServiceAlarms", "ServiceMetrics", "Thresholds"]

_HOURS = range(24)
_PERCENT = 100


@dataclass(frozen=True)
class Thresholds:
    """
    When an alarm of a service goes off. The defaults are the runbooks', or where they say none, Nightshift's own.

    Of fewer than ``judged_from`` requests in five minutes, neither errors nor slow answers say anything.
    ``fewest_requests`` is what comes in at least in five minutes when all is well; ``busy`` are the hours in which it
    does (UTC, from and to): outside them nobody is expected. None is always.
    """

    error_percent: float = 5
    slow_seconds: float = 1
    cpu_percent: float = 80
    memory_percent: float = 85
    judged_from: int = 50
    fewest_requests: int = 1
    busy: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("error_percent", "cpu_percent", "memory_percent"):
            if not 0 < getattr(self, name) < _PERCENT:
                raise ValueError(f"{name}: {getattr(self, name)} can never be exceeded, or always is. Say 1 to 99")
        for name in ("slow_seconds", "judged_from", "fewest_requests"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: {getattr(self, name)} is not more than nothing")
        if self.busy is not None and (self.busy[0] == self.busy[1] or not {*self.busy} <= {*_HOURS}):
            raise ValueError(f"busy: {self.busy} are no two different hours of the day (UTC). Say as in (7, 19)")


# -- what is measured ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ServiceMetrics:
    """
    The metrics of one ECS service, each under the dimensions that AWS publishes. Raises ValueError for a wrong name.

    ``shared`` says that its load balancer serves others too. What a load balancer answers itself is counted for it as a
    whole, so it is then nobody's in particular, and left out.
    """

    cluster_name: str
    service_name: str
    load_balancer_full_name: str | None = None
    target_group_full_name: str | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        for what in ("cluster_name", "service_name"):
            checked(what, getattr(self, what))
        if (self.load_balancer_full_name is None) != (self.target_group_full_name is None):
            raise ValueError("a load balancer's metrics need both load_balancer_full_name and target_group_full_name")
        for what in ("load_balancer_full_name", "target_group_full_name"):
            if getattr(self, what) is not None:
                checked(what, getattr(self, what))

    @property
    def answers(self) -> bool:
        """Whether it answers requests, as far as anybody said."""
        return self.load_balancer_full_name is not None

    def used(self, name: str) -> cloudwatch.Metric:
        """CPUUtilization or MemoryUtilization: with the service's name alone there is no such metric."""
        return self._of_service("AWS/ECS", name, "Average")

    def tasks(self, name: str) -> cloudwatch.Metric:
        """RunningTaskCount or DesiredTaskCount: AWS/ECS has neither, Container Insights has both, where it is on."""
        return self._of_service("ECS/ContainerInsights", name, "Average")

    def hosts(self, name: str, statistic: str) -> cloudwatch.Metric:
        """HealthyHostCount or UnHealthyHostCount."""
        return self._of_group(name, statistic, MINUTE)

    def requests(self) -> cloudwatch.Metric:
        """Requests that were given to a task: the others are in no count but the load balancer's own 503."""
        return self._of_group("RequestCount", "Sum", FIVE_MINUTES)

    def failed(self) -> cloudwatch.Metric:
        """Requests that its tasks answered with a failure of theirs."""
        return self._of_group("HTTPCode_Target_5XX_Count", "Sum", FIVE_MINUTES)

    def refused(self, kind: str = "5XX") -> cloudwatch.Metric:
        """
        What the load balancer answered itself: 502 (the task hung up), 503 (no task), 504 (too late), 5XX (all).

        Counted for the load balancer alone: under a target group there is no such metric.
        """
        return self._balancers(f"HTTPCode_ELB_{kind}_Count")

    def seconds(self, statistic: str) -> cloudwatch.Metric:
        """How long its tasks took to answer: a percentile, because an average hides the slow ones."""
        return self._of_group("TargetResponseTime", statistic, FIVE_MINUTES)

    def asked(self) -> cloudwatch.MathExpression:
        """All requests: also those for which there was no task, or an outage looks like a quiet night."""
        return computed(
            "FILL(requests, 0)" if self.shared else "FILL(requests, 0) + FILL(unavailable, 0)",
            "requests",
            requests=self.requests(),
            **({} if self.shared else {"unavailable": self.refused("503")}),
        )

    def error_percent(self, judged_from: int) -> cloudwatch.MathExpression:
        """The share of all requests that failed, none where there were too few of them to say."""
        asked = "FILL(requests, 0)" if self.shared else "(FILL(requests, 0) + FILL(unavailable, 0))"
        bad = "FILL(failed, 0)" if self.shared else "(FILL(failed, 0) + FILL(refused, 0))"
        return computed(
            f"IF({asked} >= {judged_from}, 100 * {bad} / {asked}, 0)",
            "failed requests, %",
            requests=self.requests(),
            failed=self.failed(),
            **({} if self.shared else {"refused": self.refused(), "unavailable": self.refused("503")}),
        )

    def _of_service(self, namespace: str, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=namespace,
            metric_name=name,
            dimensions_map={"ClusterName": self.cluster_name, "ServiceName": self.service_name},
            statistic=statistic,
            period=MINUTE,
        )

    def _of_group(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name=name,
            dimensions_map={
                "LoadBalancer": str(self.load_balancer_full_name),
                "TargetGroup": str(self.target_group_full_name),
            },
            statistic=statistic,
            period=period,
        )

    def _balancers(self, name: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/ApplicationELB",
            metric_name=name,
            dimensions_map={"LoadBalancer": str(self.load_balancer_full_name)},
            statistic="Sum",
            period=FIVE_MINUTES,
        )


@dataclass(frozen=True)
class QueueMetrics:
    """The metrics of one queue. Raises ValueError for a wrong name."""

    queue_name: str

    def __post_init__(self) -> None:
        checked("queue_name", self.queue_name)

    def visible(self) -> cloudwatch.Metric:
        """Letters that lie there. Not NumberOfMessagesSent: what SQS moves here by itself is not counted as sent."""
        return cloudwatch.Metric(
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            dimensions_map={"QueueName": self.queue_name},
            statistic="Maximum",
            period=MINUTE,
        )


# -- what is an alarm ------------------------------------------------------------------------------------------------


class ServiceAlarms(Alarms):
    """
    What should be known of one ECS service: of its tasks, and of its requests where a load balancer sends it some.

    ::

        ServiceAlarms(
            self,
            "ApiAlarms",
            ServiceMetrics(
                cluster_name=cluster.cluster_name,
                service_name=service.service_name,
                load_balancer_full_name=balancer.load_balancer_full_name,
                target_group_full_name=group.target_group_full_name,
            ),
        )
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        metrics: ServiceMetrics,
        *,
        thresholds: Thresholds | None = None,
        tell: sns.ITopic | None = None,
    ) -> None:
        called = f"{metrics.cluster_name}/{metrics.service_name}"
        super().__init__(scope, id_, about=metrics.service_name, called=called, tell=tell)
        self.metrics = metrics
        self.thresholds = thresholds or Thresholds()
        self._of_tasks()
        if self.metrics.answers:
            self._of_hosts()
            self._of_answers()
            self._of_silence()

    def _of_tasks(self) -> None:
        """CPU, memory, and whether as many tasks run as should."""
        limits = self.thresholds
        for suffix, name, limit in (
            ("high-cpu", "CPUUtilization", limits.cpu_percent),
            ("high-memory", "MemoryUtilization", limits.memory_percent),
        ):
            # Every minute of five: a deployment's start is over by then. No task reports nothing, which is neither.
            self.alarm(
                suffix,
                self.metrics.used(name),
                ABOVE,
                limit,
                of=(5, 5),
                missing=UNKNOWN,
                says=f"uses more than {limit:g} % of its {name.removesuffix('Utilization').lower()} (runbooks 2 and 4, "
                "high CPU or memory). Nightshift lends it tasks if load is the cause (ecs-capacity-short)",
            )
        # The runbook asked AWS/ECS, which has no such metric, for fewer than one: a service of four with one left is
        # well by that, and one that somebody stopped on purpose is not. No metric counts tasks that could not be
        # started: each is missing here instead. Without Container Insights there is no data, and the alarm says so.
        short = cloudwatch.MathExpression(
            expression="desired - running",
            label="tasks that are missing",
            using_metrics={
                "desired": self.metrics.tasks("DesiredTaskCount"),
                "running": self.metrics.tasks("RunningTaskCount"),
            },
            period=MINUTE,
        )
        self.alarm(
            "low-task-count",
            short,
            ABOVE,
            0,
            of=(5, 5),
            missing=UNKNOWN,
            says="runs fewer tasks than it should (runbook 2, task count low, startup failures). Nightshift restarts "
            "it once if that can help (ecs-service-stalled), or takes a release back (ecs-deployment-bad)",
        )

    def _of_hosts(self) -> None:
        """Whether its tasks answer their health checks. Where none is registered, nothing is reported: unknown."""
        # Minimum: a host that one of the load balancer's nodes has not checked yet is not unhealthy.
        self.alarm(
            "unhealthy-hosts",
            self.metrics.hosts("UnHealthyHostCount", "Minimum"),
            AT_LEAST,
            1,
            of=(3, 3),
            missing=UNKNOWN,
            says="has tasks that do not answer their health checks (runbook 4, unhealthy hosts). Nightshift stops a "
            "bad one while others are well (ecs-targets-unhealthy), or takes a release back (ecs-deployment-bad)",
        )
        # Maximum: as long as one node sees a healthy host, there is one.
        self.alarm(
            "no-healthy-host",
            self.metrics.hosts("HealthyHostCount", "Maximum"),
            BELOW,
            1,
            of=(2, 2),
            missing=UNKNOWN,
            says="has no task that answers its health checks (runbook 4, critical). Nightshift restarts it once "
            "(ecs-targets-unhealthy), or takes a release back (ecs-deployment-bad)",
        )

    def _of_answers(self) -> None:
        """How requests are answered. No request is neither an error nor slow: `low-requests` is about that."""
        limits = self.thresholds
        beside = " Answers of its load balancer itself are not counted: others share it." if self.metrics.shared else ""
        # A share, not a sum: five failures are much of a hundred requests and nothing of a million.
        self.alarm(
            "high-error-rate",
            self.metrics.error_percent(limits.judged_from),
            ABOVE,
            limits.error_percent,
            of=(2, 3),
            missing=FINE,
            says=f"fails more than {limits.error_percent:g} % of its requests (runbook 4, high error rate). Nightshift "
            f"takes a release back if it is the cause (ecs-deployment-bad), or tells why (ecs-errors-high).{beside}",
        )
        slow = computed(
            f"IF(FILL(requests, 0) >= {limits.judged_from}, slowest, 0)",
            "p95, s",
            requests=self.metrics.requests(),
            slowest=self.metrics.seconds("p95"),
        )
        self.alarm(
            "high-latency",
            slow,
            ABOVE,
            limits.slow_seconds,
            of=(2, 3),
            missing=FINE,
            says=f"answers one request in twenty after more than {limits.slow_seconds:g} s (runbook 4, high latency). "
            "Nightshift lends it tasks if load is the cause (ecs-capacity-short), restarts a leak, or tells why "
            "(ecs-latency-high)",
        )

    def _of_silence(self) -> None:
        """
        Fewer requests than there always are, in every window of a quarter of an hour.

        An alarm cannot ask what was normal at this hour a week ago; a number, and the hours in which it holds, can.
        What nobody reports is exactly what it is about, so missing data is bad here, and only here.
        """
        limits, asked = self.thresholds, self.metrics.asked()
        if limits.busy is not None:
            begins, ends = limits.busy
            within = "AND" if begins < ends else "OR"
            asked = computed(
                f"IF(HOUR(requests) >= {begins} {within} HOUR(requests) < {ends}, "
                f"{asked.expression}, {limits.fewest_requests})",
                "requests, enough outside busy hours",
                **dict(asked.using_metrics),
            )
        self.alarm(
            "low-requests",
            asked,
            BELOW,
            limits.fewest_requests,
            of=(3, 3),
            missing=BAD,
            says="gets fewer requests than it always does (runbook 4, no traffic). Nightshift changes nothing for it: "
            "it tells where their way is broken (alb-traffic-missing)",
        )


class QueueAlarms(Alarms):
    """What should be known of one dead-letter queue: that something lies in it."""

    def __init__(self, scope: Construct, id_: str, metrics: QueueMetrics, *, tell: sns.ITopic | None = None) -> None:
        super().__init__(scope, id_, about=metrics.queue_name, called=metrics.queue_name, tell=tell)
        self.metrics = metrics
        # A queue that has held nothing for six hours reports nothing: that is fine, and a letter makes it report again.
        self.alarm(
            "holds-letters",
            self.metrics.visible(),
            AT_LEAST,
            1,
            of=(2, 3),
            missing=FINE,
            says="holds letters that nobody could process (runbooks 1 and 3, dead letters). Nightshift sends them home "
            "once their consumer works again (sqs-dlq-backlog)",
        )
