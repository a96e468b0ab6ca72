"""
What a week or a month measured, beside the same span before it: what the runbooks ask for in their reviews.

Pure but for what is asked, which is data: a few metrics over the whole span, hour by hour, so that ten thousand targets
would still be a few calls. An average is what was summed over what was counted, never an average of averages. What was
not reported, or could not be read, is unknown and not zero.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html,
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from nightshift.config import Policy
from nightshift.model import MetricQuery, Target
from nightshift.remediation import Readings, Series, Unread
from nightshift.signals.names import queue_metric, service_metric

__all__ = ["MOST", "Measure", "Wanted", "measured", "wanted"]

MOST = 100
"""things of one kind that are measured: a longer list is read by nobody"""
_HOUR, _DAY = 3600, 86_400
_OWN_COUNTERS = "CustomMetrics"
"""where the email distribution system counts, unless the configuration says otherwise (runbook 0, Task 5)"""

_Sums = Callable[[Sequence[Series]], float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """
    One figure of a span. ``value`` is None where it is unknown, and then ``why`` says why.

    ``before`` is the same of the span before, where that is known. ``good`` compares with what the runbook asks for;
    None where it asks for nothing, or nobody can tell.
    """

    name: str
    of: str
    unit: str = ""
    value: float | None = None
    before: float | None = None
    limit: float | None = None
    below: bool = True
    why: str = ""

    @property
    def good(self) -> bool | None:
        """Whether it is what the runbook asks for."""
        if self.value is None or self.limit is None:
            return None
        return self.value < self.limit if self.below else self.value > self.limit


@dataclass(frozen=True, slots=True)
class Wanted:
    """A figure, the metrics that it is made from, and how."""

    measure: Measure
    queries: tuple[MetricQuery, ...]
    made: _Sums

    @property
    def before(self) -> tuple[MetricQuery, ...]:
        """The same metrics over the span before."""
        return tuple(replace(query, ago=query.ago + query.minutes) for query in self.queries)


def wanted(policy: Policy, span: timedelta) -> tuple[tuple[Wanted, ...], int]:
    """What is to be measured of what is registered, and how many things are left out because there are too many."""
    minutes = int(span / timedelta(minutes=1))
    found: list[Wanted] = []
    left = 0
    for kind in (_triggers, _dead_letters, _services, _throughput, _sizes):
        those = [each for target in policy.targets for each in kind(policy, target, minutes)]
        unique = {(each.measure.name, each.measure.of, each.queries): each for each in those}
        few = [*unique.values()][: 2 * MOST]
        found += few
        left += len(unique) - len(few)
    return tuple(found), left


def measured(those: Sequence[Wanted], seen: Readings) -> tuple[Measure, ...]:
    """The figures. What nobody reported is unknown, and says so."""
    return tuple(_measured(each, seen) for each in those)


def _measured(each: Wanted, seen: Readings) -> Measure:
    now = _made(each, each.queries, seen)
    if isinstance(now, Unread):
        return replace(each.measure, why=now.reason)
    before = _made(each, each.before, seen)
    return replace(each.measure, value=now, before=None if isinstance(before, Unread) else before)


def _made(each: Wanted, queries: Sequence[MetricQuery], seen: Readings) -> float | Unread:
    answers = [seen.metric(query) for query in queries]
    for answer in answers:
        if isinstance(answer, Unread):
            return answer
    value = each.made([answer for answer in answers if isinstance(answer, Series)])
    return Unread("nothing was reported") if value is None else value


# -- how a figure is made ----------------------------------------------------------------------------------------------


def _average(series: Sequence[Series]) -> float | None:
    total, counted = series
    return total.total / counted.total if counted.total else None


def _highest(series: Sequence[Series]) -> float | None:
    return max((value for _, value in series[0].points), default=None)


def _sum(series: Sequence[Series]) -> float | None:
    return series[0].total if series[0].points else None


def _newest(series: Sequence[Series]) -> float | None:
    return next(iter(series[0].last(1)), None)


def _share(series: Sequence[Series]) -> float | None:
    """Per cent of the first in both: where no failure was ever counted there was none, but of nothing there is none."""
    done, failed = series
    every = done.total + failed.total
    return 100 * done.total / every if every else None


# -- what is measured --------------------------------------------------------------------------------------------------


def _triggers(policy: Policy, target: Target, minutes: int) -> Iterator[Wanted]:
    """0.14: average trigger age below 5 minutes, archive updates above 99 %, as the system itself counts them."""
    if target.triggers is None:
        return
    behind = policy.remediations.get("s3-trigger-behind")
    namespace = getattr(behind, "namespace", _OWN_COUNTERS)
    of = target.arn.name

    def query(metric: str, stat: str) -> MetricQuery:
        return MetricQuery(namespace, metric, (), stat, _HOUR, minutes)

    age = tuple(query("TriggerAge", stat) for stat in ("Sum", "SampleCount"))
    yield Wanted(Measure("trigger age, average", of, "s", limit=300.0), age, _average)
    updates = (query("ArchiveUpdateSuccess", "Sum"), query("ArchiveUpdateFailure", "Sum"))
    yield Wanted(Measure("archive updates that succeeded", of, "%", limit=99.0, below=False), updates, _share)


def _dead_letters(_: Policy, target: Target, minutes: int) -> Iterator[Wanted]:
    """0.14: the depth of dead-letter queues near zero."""
    customers = target.triggers.customers if target.triggers is not None else ()
    own = (target.arn,) if target.arn.kind == "sqs:queue" and (target.source or target.function) else ()
    for arn in (*own, *(each.dead_letters for each in customers)):
        depth = tuple(
            queue_metric(arn, "ApproximateNumberOfMessagesVisible", stat, minutes, period=_HOUR)
            for stat in ("Sum", "SampleCount")
        )
        yield Wanted(Measure("dead letters, average", arn.name, limit=1.0), depth, _average)


def _services(_: Policy, target: Target, minutes: int) -> Iterator[Wanted]:
    """0.14, 0.16: how much of what tasks have is used."""
    if target.arn.kind != "ecs:service":
        return
    for metric, what in (("CPUUtilization", "CPU"), ("MemoryUtilization", "memory")):
        total, counted, highest = (
            service_metric(target.arn, metric, stat, minutes, period=_HOUR)
            for stat in ("Sum", "SampleCount", "Maximum")
        )
        yield Wanted(Measure(f"{what}, average", target.arn.name, "%"), (total, counted), _average)
        yield Wanted(Measure(f"{what}, highest", target.arn.name, "%"), (highest,), _highest)


def _throughput(_: Policy, target: Target, minutes: int) -> Iterator[Wanted]:
    """0.14, 0.16: how much went through the queues."""
    customers = target.triggers.customers if target.triggers is not None else ()
    for arn in (target.source, target.queue, *(each.queue for each in customers)):
        if arn is not None and arn.kind == "sqs:queue":
            deleted = queue_metric(arn, "NumberOfMessagesDeleted", "Sum", minutes, period=_HOUR)
            yield Wanted(Measure("messages done", arn.name), (deleted,), _sum)


def _sizes(_: Policy, target: Target, minutes: int) -> Iterator[Wanted]:
    """0.14, 0.16: how buckets grow. S3 says so once a day."""
    if target.arn.kind == "s3:bucket":
        on = (("BucketName", target.arn.name), ("StorageType", "StandardStorage"))
        size = MetricQuery("AWS/S3", "BucketSizeBytes", on, "Average", _DAY, minutes)
        yield Wanted(Measure("size, standard storage", target.arn.name, "bytes"), (size,), _newest)
