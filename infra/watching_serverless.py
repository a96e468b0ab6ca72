"""
The alarms that functions, tables, GraphQL APIs and Aurora should have, and what is drawn of triggers.

As those of :mod:`infra.watching`: they need no action, because Nightshift hears every alarm of the account. The
runbook's (1, "Alerts Configuration") could not do what they say: five errors are no five per cent, ``4XXError`` counts
what callers did wrong, and ``ThrottledRequests`` has no data under a table's name alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.watching_base import ABOVE, DAY, FINE, FIVE_MINUTES, MINUTE, UNKNOWN, Alarms, checked, computed

__all__ = [
    "BucketMetrics",
    "ClusterAlarms",
    "ClusterMetrics",
    "FunctionAlarms",
    "FunctionMetrics",
    "GraphAlarms",
    "GraphMetrics",
    "TableAlarms",
    "TableMetrics",
    "TriggerMetrics",
]


@dataclass(frozen=True)
class FunctionMetrics:
    """The metrics of one Lambda function, of all its versions and aliases together. Raises ValueError."""

    function_name: str

    def __post_init__(self) -> None:
        checked("function_name", self.function_name)

    def counted(self, name: str, period: cdk.Duration = FIVE_MINUTES) -> cloudwatch.Metric:
        """Invocations, Errors or Throttles: what was turned away is in neither of the other two."""
        return self._of(name, "Sum", period)

    def at_once(self) -> cloudwatch.Metric:
        """How many of its invocations ran at a time, at most."""
        return self._of("ConcurrentExecutions", "Maximum", MINUTE)

    def milliseconds(self, statistic: str) -> cloudwatch.Metric:
        """How long its invocations ran."""
        return self._of("Duration", statistic, FIVE_MINUTES)

    def error_percent(self, judged_from: int) -> cloudwatch.MathExpression:
        """The share of its invocations that failed, none where fewer than ``judged_from`` did: a few say nothing."""
        return computed(
            f"IF(FILL(errors, 0) >= {judged_from}, 100 * errors / invocations, 0)",
            "failed invocations, %",
            errors=self.counted("Errors"),
            invocations=self.counted("Invocations"),
        )

    def turned_away_percent(self) -> cloudwatch.MathExpression:
        """The share of all calls for which there was no room: they are no invocations."""
        return cloudwatch.MathExpression(
            expression="IF(FILL(throttles, 0) > 0, 100 * throttles / (throttles + FILL(invocations, 0)), 0)",
            label="calls turned away, %",
            using_metrics={
                "throttles": self.counted("Throttles", MINUTE),
                "invocations": self.counted("Invocations", MINUTE),
            },
            period=MINUTE,
        )

    def _of(self, name: str, statistic: str, period: cdk.Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/Lambda",
            metric_name=name,
            dimensions_map={"FunctionName": self.function_name},
            statistic=statistic,
            period=period,
        )


@dataclass(frozen=True)
class TableMetrics:
    """
    The metrics of one DynamoDB table and of its global secondary indexes. Raises ValueError for a wrong name.

    ``whole`` says whether the table itself is meant, too.
    """

    table_name: str
    indexes: tuple[str, ...] = ()
    whole: bool = True

    def __post_init__(self) -> None:
        checked("table_name", self.table_name)
        for index in self.indexes:
            checked("indexes", index)

    @property
    def parts(self) -> tuple[str | None, ...]:
        """The table itself, then each index: what is throttled of one is not counted for the other."""
        return (*((None,) if self.whole else ()), *self.indexes)

    def throttled(self, index: str | None = None) -> cloudwatch.MathExpression:
        """Reads and writes that were refused in a minute."""
        return cloudwatch.MathExpression(
            expression="FILL(reads, 0) + FILL(writes, 0)",
            label=f"{index or self.table_name}: throttled",
            using_metrics={
                "reads": self._of("ReadThrottleEvents", index, MINUTE),
                "writes": self._of("WriteThrottleEvents", index, MINUTE),
            },
            period=MINUTE,
        )

    def counted(self, name: str, index: str | None = None) -> cloudwatch.Metric:
        """One of its counters, in five minutes: consumed units, or events of throttling."""
        return self._of(name, index, FIVE_MINUTES)

    def _of(self, name: str, index: str | None, period: cdk.Duration) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/DynamoDB",
            metric_name=name,
            dimensions_map={
                "TableName": self.table_name,
                **({"GlobalSecondaryIndexName": index} if index is not None else {}),
            },
            statistic="Sum",
            period=period,
        )


@dataclass(frozen=True)
class GraphMetrics:
    """The metrics of one AppSync GraphQL API, by its id. Raises ValueError for what is none."""

    api_id: str

    def __post_init__(self) -> None:
        checked("api_id", self.api_id)

    def requests(self) -> cloudwatch.Metric:
        """How many were answered: ``Requests`` counts those of all APIs of the account, so latencies are counted."""
        return self._of("Latency", "SampleCount")

    def milliseconds(self) -> cloudwatch.Metric:
        """How long an answer took: AWS says average, and nothing of percentiles."""
        return self._of("Latency", "Average")

    def failed(self) -> cloudwatch.Metric:
        """Requests that failed while they were carried out."""
        return self._of("5XXError", "Sum")

    def rejected(self) -> cloudwatch.Metric:
        """Requests that were wrong, or not allowed: their callers' doing, mostly."""
        return self._of("4XXError", "Sum")

    def error_percent(self, judged_from: int) -> cloudwatch.MathExpression:
        """The share of its requests that failed, none where there were too few to say."""
        return computed(
            f"IF(FILL(requests, 0) >= {judged_from}, 100 * FILL(failed, 0) / requests, 0)",
            "failed requests, %",
            requests=self.requests(),
            failed=self.failed(),
        )

    def _of(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/AppSync",
            metric_name=name,
            dimensions_map={"GraphQLAPIId": self.api_id},
            statistic=statistic,
            period=FIVE_MINUTES,
        )


@dataclass(frozen=True)
class ClusterMetrics:
    """The metrics of one Aurora cluster, Serverless v2, over all its instances. Raises ValueError for a wrong name."""

    cluster_id: str

    def __post_init__(self) -> None:
        checked("cluster_id", self.cluster_id)

    def percent(self, name: str) -> cloudwatch.Metric:
        """CPUUtilization, or ACUUtilization: how much of the highest capacity is in use."""
        return self._of(name, "Average")

    def connections(self) -> cloudwatch.Metric:
        """How many connections are open, at most."""
        return self._of("DatabaseConnections", "Maximum")

    def capacity(self) -> cloudwatch.Metric:
        """Aurora capacity units in use, of all instances on average."""
        return self._of("ServerlessDatabaseCapacity", "Average")

    def stored(self) -> cloudwatch.Metric:
        """
        Bytes that its volume takes, which all instances share, and which grows by itself.

        Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.Managing.Performance.html
        """
        return self._of("VolumeBytesUsed", "Average")

    def free(self) -> cloudwatch.Metric:
        """Bytes free for temporary tables and logs, of the instance that has the fewest: they do not grow."""
        return self._of("FreeLocalStorage", "Minimum")

    def _of(self, name: str, statistic: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/RDS",
            metric_name=name,
            dimensions_map={"DBClusterIdentifier": self.cluster_id},
            statistic=statistic,
            period=FIVE_MINUTES,
        )


@dataclass(frozen=True)
class BucketMetrics:
    """
    How large an S3 bucket is, which S3 says once a day. Raises ValueError for a wrong name.

    DynamoDB has no such metric: how large a table is stands in its description alone.
    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
    """

    bucket_name: str

    def __post_init__(self) -> None:
        checked("bucket_name", self.bucket_name)

    def stored(self) -> cloudwatch.Metric:
        """Bytes in standard storage, as in the digest: S3 sums none over all its classes."""
        return self._of("BucketSizeBytes", "StandardStorage")

    def objects(self) -> cloudwatch.Metric:
        """How many objects there are, of all classes, each version counted."""
        return self._of("NumberOfObjects", "AllStorageTypes")

    def _of(self, name: str, storage: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace="AWS/S3",
            metric_name=name,
            dimensions_map={"BucketName": self.bucket_name, "StorageType": storage},
            statistic="Average",
            period=DAY,
        )


@dataclass(frozen=True)
class TriggerMetrics:
    """What a system counts of its own triggers (runbook 0, task 5), in a namespace of its own, without dimensions."""

    namespace: str

    def counted(self, name: str, label: str) -> cloudwatch.Metric:
        """One of its counters, in five minutes."""
        return self._of(name, "Sum", label)

    def age(self, statistic: str) -> cloudwatch.Metric:
        """How many seconds a trigger had stood when it was deleted."""
        return self._of("TriggerAge", statistic, statistic.lower())

    def _of(self, name: str, statistic: str, label: str) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=self.namespace, metric_name=name, statistic=statistic, label=label, period=FIVE_MINUTES
        )


class FunctionAlarms(Alarms):
    """What should be known of one Lambda function: that it fails, and that its calls are turned away."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        metrics: FunctionMetrics,
        *,
        error_percent: float = 5,
        judged_from: int = 5,
        tell: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id_, about=metrics.function_name, called=metrics.function_name, tell=tell)
        self.metrics, self.limit, self.judged_from = metrics, error_percent, judged_from
        # The runbook's went off at six errors in five minutes, of however many invocations.
        self.alarm(
            "high-error-rate",
            metrics.error_percent(judged_from),
            ABOVE,
            error_percent,
            of=(2, 2),
            missing=FINE,
            says=f"fails at more than {error_percent:g} % of its invocations (runbook 1, function errors). "
            "Nightshift tells why (lambda-failing)",
        )
        self.alarm(
            "calls-throttled",
            metrics.turned_away_percent(),
            ABOVE,
            1,
            of=(3, 5),
            missing=FINE,
            says="turns away more than 1 % of its calls (runbook 1, processing backlog). Nightshift lends it "
            "concurrency if its own is used up (lambda-throttled), or tells why (lambda-failing)",
        )


class TableAlarms(Alarms):
    """What should be known of one DynamoDB table: that it throttles, or one of its indexes does."""

    def __init__(self, scope: Construct, id_: str, metrics: TableMetrics, *, tell: sns.ITopic | None = None) -> None:
        super().__init__(scope, id_, about=metrics.table_name, called=metrics.table_name, tell=tell)
        self.metrics = metrics
        # An alarm on AWS/DynamoDB ignores missing data and stays raised; what is computed with FILL always has data.
        for index in metrics.parts:
            self.alarm(
                "throttled" if index is None else f"{index}-throttled",
                metrics.throttled(index),
                ABOVE,
                10,
                of=(5, 5),
                missing=FINE,
                says=f"refuses more than 10 reads and writes a minute{f' at its index {index}' if index else ''} "
                "(runbook 1, DynamoDB throttling). Nightshift lends it capacity if that can help, or tells why "
                "(dynamodb-throttled)",
            )


class GraphAlarms(Alarms):
    """What should be known of one GraphQL API: that its requests fail, and that they are slow."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        metrics: GraphMetrics,
        *,
        error_percent: float = 5,
        slow_milliseconds: float = 2000,
        judged_from: int = 100,
        tell: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id_, about=metrics.api_id, called=metrics.api_id, tell=tell)
        self.metrics, self.limit, self.slow, self.judged_from = metrics, error_percent, slow_milliseconds, judged_from
        # The runbook's counted 4XXError: what callers do wrong. Five of them are no five per cent, either.
        self.alarm(
            "high-error-rate",
            metrics.error_percent(judged_from),
            ABOVE,
            error_percent,
            of=(2, 3),
            missing=FINE,
            says=f"fails at more than {error_percent:g} % of its requests (runbook 1, API errors). Nightshift "
            "changes nothing for it: it looks at what the API stands on",
        )
        slow = computed(
            f"IF(FILL(requests, 0) >= {judged_from}, took, 0)",
            "average, ms",
            requests=metrics.requests(),
            took=metrics.milliseconds(),
        )
        self.alarm(
            "high-latency",
            slow,
            ABOVE,
            slow_milliseconds,
            of=(3, 3),
            missing=FINE,
            says=f"takes more than {slow_milliseconds:g} ms to answer (runbook 1, GraphQL latency). Nightshift looks "
            "at what it stands on first, and asks for a cache where one may be (appsync-slow)",
        )


class ClusterAlarms(Alarms):
    """What should be known of one Aurora cluster: that it has grown as far as it may, and is still busy."""

    def __init__(self, scope: Construct, id_: str, metrics: ClusterMetrics, *, tell: sns.ITopic | None = None) -> None:
        super().__init__(scope, id_, about=metrics.cluster_id, called=metrics.cluster_id, tell=tell)
        self.metrics = metrics
        # CPU alone says little: below its highest capacity, Aurora is still growing.
        saturated = computed(
            "IF(used >= 90, cpu, 0)",
            "CPU at full capacity, %",
            used=metrics.percent("ACUUtilization"),
            cpu=metrics.percent("CPUUtilization"),
        )
        self.alarm(
            "saturated",
            saturated,
            ABOVE,
            80,
            of=(3, 3),
            missing=UNKNOWN,
            says="uses more than 80 % of its CPU at its highest capacity (runbook 3, database saturated). "
            "Nightshift lends it capacity where that can help, or tells why (aurora-saturated)",
        )
