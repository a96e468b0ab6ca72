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

import re
from dataclasses import dataclass
from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

__all__ = ["QueueAlarms", "QueueMetrics", "ServiceAlarms", "ServiceMetrics", "Thresholds"]

MINUTE: Final = cdk.Duration.minutes(1)
FIVE_MINUTES: Final = cdk.Duration.minutes(5)
_HOURS = range(24)
_PERCENT = 100

_FINE = cloudwatch.TreatMissingData.NOT_BREACHING
_BAD = cloudwatch.TreatMissingData.BREACHING
_UNKNOWN = cloudwatch.TreatMissingData.MISSING
_ABOVE = cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD
_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_BELOW = cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD

_SHAPES = {
    "cluster_name": (r"[\w-]{1,255}", "the cluster's name, not its ARN"),
    "service_name": (r"[\w-]{1,255}", "the service's name, not its ARN"),
    "load_balancer_full_name": (
        r"app/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}",
        "app/NAME/ID: CloudWatch knows a load balancer by all three, and only application load balancers have answers",
    ),
    "target_group_full_name": (
        r"targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]{16}",
        "targetgroup/NAME/ID: CloudWatch knows a target group by all three, not by its name",
    ),
    "queue_name": (r"[\w-]{1,80}|[\w-]{1,75}\.fifo", "the queue's name, not its URL or ARN"),
}


def _checked(what: str, value: str) -> str:
    """``value``, if CloudWatch calls such a thing so; what the CDK only knows later is taken. Raises ValueError."""
    shape, remedy = _SHAPES[what]
    if not cdk.Token.is_unresolved(value) and not re.fullmatch(shape, value, re.ASCII):
        raise ValueError(f"{what}: {value!r} names nothing in CloudWatch. Write {remedy}")
    return value


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
            _checked(what, getattr(self, what))
        if (self.load_balancer_full_name is None) != (self.target_group_full_name is None):
            raise ValueError("a load balancer's metrics need both load_balancer_full_name and target_group_full_name")
        for what in ("load_balancer_full_name", "target_group_full_name"):
            if getattr(self, what) is not None:
                _checked(what, getattr(self, what))

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
        return _math(
            "FILL(requests, 0)" if self.shared else "FILL(requests, 0) + FILL(unavailable, 0)",
            "requests",
            requests=self.requests(),
            **({} if self.shared else {"unavailable": self.refused("503")}),
        )

    def error_percent(self, judged_from: int) -> cloudwatch.MathExpression:
        """The share of all requests that failed, none where there were too few of them to say."""
        asked = "FILL(requests, 0)" if self.shared else "(FILL(requests, 0) + FILL(unavailable, 0))"
        bad = "FILL(failed, 0)" if self.shared else "(FILL(failed, 0) + FILL(refused, 0))"
        return _math(
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
        _checked("queue_name", self.queue_name)

    def visible(self) -> cloudwatch.Metric:
        """Letters that lie there. Not NumberOfMessagesSent: what SQS moves here by itself is not counted as sent."""
        return cloudwatch.Metric(
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            dimensions_map={"QueueName": self.queue_name},
            statistic="Maximum",
            period=MINUTE,
        )


def _math(expression: str, label: str, **metrics: cloudwatch.IMetric) -> cloudwatch.MathExpression:
    """What an expression makes of five-minute windows: with FILL, because what did not happen is not reported."""
    return cloudwatch.MathExpression(expression=expression, label=label, using_metrics=metrics, period=FIVE_MINUTES)


# -- what is an alarm ------------------------------------------------------------------------------------------------


class _Alarms(Construct):
    """Alarms about one thing, each called ``<what it is about>/<what is wrong>``: no name of AWS has a slash in it."""

    def __init__(self, scope: Construct, id_: str, *, about: str, called: str, tell: sns.ITopic | None) -> None:
        super().__init__(scope, id_)
        self.all: list[cloudwatch.Alarm] = []
        """as they were made"""
        self._about = about
        self._called = called
        self._action = actions.SnsAction(tell) if tell is not None else None

    def _alarm(
        self,
        suffix: str,
        metric: cloudwatch.IMetric,
        comparison: cloudwatch.ComparisonOperator,
        threshold: float,
        *,
        of: tuple[int, int],
        missing: cloudwatch.TreatMissingData,
        says: str,
    ) -> None:
        """Go off when ``of[0]`` of the last ``of[1]`` windows are bad; people are told when it begins and ends."""
        alarm = cloudwatch.Alarm(
            self,
            "".join(part.capitalize() for part in suffix.split("-")),
            alarm_name=f"{self._called}/{suffix}",
            alarm_description=f"{self._about} {says}",
            metric=metric,
            comparison_operator=comparison,
            threshold=threshold,
            datapoints_to_alarm=of[0],
            evaluation_periods=of[1],
            treat_missing_data=missing,
        )
        if self._action is not None:
            alarm.add_alarm_action(self._action)
            alarm.add_ok_action(self._action)
        self.all.append(alarm)


class ServiceAlarms(_Alarms):
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
            self._alarm(
                suffix,
                self.metrics.used(name),
                _ABOVE,
                limit,
                of=(5, 5),
                missing=_UNKNOWN,
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
        self._alarm(
            "low-task-count",
            short,
            _ABOVE,
            0,
            of=(5, 5),
            missing=_UNKNOWN,
            says="runs fewer tasks than it should (runbook 2, task count low, startup failures). Nightshift restarts "
            "it once if that can help (ecs-service-stalled), or takes a release back (ecs-deployment-bad)",
        )

    def _of_hosts(self) -> None:
        """Whether its tasks answer their health checks. Where none is registered, nothing is reported: unknown."""
        # Minimum: a host that one of the load balancer's nodes has not checked yet is not unhealthy.
        self._alarm(
            "unhealthy-hosts",
            self.metrics.hosts("UnHealthyHostCount", "Minimum"),
            _AT_LEAST,
            1,
            of=(3, 3),
            missing=_UNKNOWN,
            says="has tasks that do not answer their health checks (runbook 4, unhealthy hosts). Nightshift stops a "
            "bad one while others are well (ecs-targets-unhealthy), or takes a release back (ecs-deployment-bad)",
        )
        # Maximum: as long as one node sees a healthy host, there is one.
        self._alarm(
            "no-healthy-host",
            self.metrics.hosts("HealthyHostCount", "Maximum"),
            _BELOW,
            1,
            of=(2, 2),
            missing=_UNKNOWN,
            says="has no task that answers its health checks (runbook 4, critical). Nightshift restarts it once "
            "(ecs-targets-unhealthy), or takes a release back (ecs-deployment-bad)",
        )

    def _of_answers(self) -> None:
        """How requests are answered. No request is neither an error nor slow: `low-requests` is about that."""
        limits = self.thresholds
        beside = " Answers of its load balancer itself are not counted: others share it." if self.metrics.shared else ""
        # A share, not a sum: five failures are much of a hundred requests and nothing of a million.
        self._alarm(
            "high-error-rate",
            self.metrics.error_percent(limits.judged_from),
            _ABOVE,
            limits.error_percent,
            of=(2, 3),
            missing=_FINE,
            says=f"fails more than {limits.error_percent:g} % of its requests (runbook 4, high error rate). Nightshift "
            f"takes a release back if it is the cause (ecs-deployment-bad), or tells why (ecs-errors-high).{beside}",
        )
        slow = _math(
            f"IF(FILL(requests, 0) >= {limits.judged_from}, slowest, 0)",
            "p95, s",
            requests=self.metrics.requests(),
            slowest=self.metrics.seconds("p95"),
        )
        self._alarm(
            "high-latency",
            slow,
            _ABOVE,
            limits.slow_seconds,
            of=(2, 3),
            missing=_FINE,
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
            asked = _math(
                f"IF(HOUR(requests) >= {begins} {within} HOUR(requests) < {ends}, "
                f"{asked.expression}, {limits.fewest_requests})",
                "requests, enough outside busy hours",
                **dict(asked.using_metrics),
            )
        self._alarm(
            "low-requests",
            asked,
            _BELOW,
            limits.fewest_requests,
            of=(3, 3),
            missing=_BAD,
            says="gets fewer requests than it always does (runbook 4, no traffic). Nightshift changes nothing for it: "
            "it tells where their way is broken (alb-traffic-missing)",
        )


class QueueAlarms(_Alarms):
    """What should be known of one dead-letter queue: that something lies in it."""

    def __init__(self, scope: Construct, id_: str, metrics: QueueMetrics, *, tell: sns.ITopic | None = None) -> None:
        super().__init__(scope, id_, about=metrics.queue_name, called=metrics.queue_name, tell=tell)
        self.metrics = metrics
        # A queue that has held nothing for six hours reports nothing: that is fine, and a letter makes it report again.
        self._alarm(
            "holds-letters",
            self.metrics.visible(),
            _AT_LEAST,
            1,
            of=(2, 3),
            missing=_FINE,
            says="holds letters that nobody could process (runbooks 1 and 3, dead letters). Nightshift sends them home "
            "once their consumer works again (sqs-dlq-backlog)",
        )
