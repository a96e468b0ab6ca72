"""
How a service behind a load balancer answers its requests, and what is behind it where it does not answer well.

For every remediation that judges requests. They are judged in parts of five minutes, of which two of three must be bad.
A part with few requests is neither good nor bad; what was bad before such parts is not well again because of them.

What may be behind it is asked in one order, because each can look like the next: a deployment under way, a release,
tasks killed for their memory, tasks that are missing or do not answer, what the service needs, its own CPU and memory.
What another remediation looks after waits for that one's incident. What is left is in the code, or in what all share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from nightshift import leaks, restarts, states
from nightshift.errors import Missing, Refused
from nightshift.model import Arn, MetricQuery, Queries, Target, Unknown
from nightshift.remediation import Reader, Readings, Series, Unread
from nightshift.signals import balancer_metric, group_metric, service_metric, split_service_arn
from nightshift.signals.metrics import LATE
from nightshift.states import minutes

__all__ = [
    "LATELY",
    "PART",
    "READS",
    "WINDOW",
    "Counts",
    "Found",
    "Part",
    "State",
    "Times",
    "behind",
    "bounds",
    "check_lasts",
    "judged",
    "onset",
]

PART = timedelta(minutes=5)
LATELY = 3
"""minutes, one by one, that show soonest whether it is over"""
WINDOW = 30
"""minutes that a look judges: what was bad in them, and has had too few requests since, is not well"""
HISTORY = 180
"""minutes in which a diagnosis looks for the beginning"""
READS = ("elasticloadbalancing:DescribeTargetHealth", "ecs:ListTasks", "ecs:DescribeTasks")
"""what a remediation that asks what is :func:`behind` must declare"""

_PERIOD = 300
_PARTS = 3  # the newest ones, of which two decide (R8)
_TWO = 2
_SHARED = 1.01  # of a service's requests, what its load balancer may count more and still have no other service
_TURN = timedelta(minutes=20)  # what a release's own incident gets before it is called the cause here
_SOON = timedelta(minutes=2)
_MINUTES = 5  # of CPU and memory that are looked at
_SICK = 3  # minutes in a row with an unhealthy target (R6)


# -- parts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Five minutes: when they began, how many requests came in, and what was measured of them, if anything was."""

    at: datetime
    requests: float
    value: float | None


class State(StrEnum):
    """What the parts say."""

    WELL = "well"
    BAD = "bad"
    UNTOLD = "untold"
    """bad when enough requests came in last, and too few since"""
    QUIET = "quiet"
    """too few requests all the while"""


def bounds(now: datetime, query: MetricQuery) -> tuple[datetime, ...]:
    """When each whole period of a query began, oldest first: as CloudWatch cuts them."""
    length = query.period
    end = datetime.fromtimestamp(int((now - LATE).timestamp()) // length * length, UTC)
    return tuple(end - timedelta(seconds=length * number) for number in range(query.minutes * 60 // length, 0, -1))


def judged(parts: Sequence[Part], above: float, least: int) -> State:
    """Bad where two of three parts are; well again where two of three are good."""
    told = [None if part.value is None or part.requests < least else part.value > above for part in parts]
    state = State.QUIET if all(bad is None for bad in told) else State.WELL
    for end in range(1, len(told) + 1):
        last = told[max(end - _PARTS, 0) : end]
        if last.count(True) >= _TWO:
            state = State.BAD
        elif last.count(False) >= _TWO:
            state = State.WELL
        elif state is State.BAD:
            state = State.UNTOLD
    return state


def onset(parts: Sequence[Part], above: float, least: int) -> datetime | None:
    """When what is bad now began: the first bad part after the last good one. None: nothing is bad."""
    found = None
    for part in reversed(parts):
        if part.value is None or part.requests < least:
            continue
        if part.value <= above:
            break
        found = part.at
    return found


def check_lasts(minutes: Sequence[Part], above: float) -> None:
    """
    Refuse, for now, what was well in the newest minute: the parts only lag behind.

    What was waited for (a loan, say) may have cured it; a minute shows that before two of three parts do.
    """
    told = [part.value for part in minutes if part.value is not None]
    if told and told[-1] <= above:
        raise Refused("passing", "in the last minute it was better", retry_after=timedelta(minutes=1))


@dataclass(frozen=True, slots=True)
class Counts:
    """
    What was answered and what failed, as metrics.

    What a load balancer answers itself (502: a task broke off, 503: no task, 504: no answer in time) is counted for all
    services behind it together. It is counted for this one only while no other one gets requests.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """

    requests: MetricQuery
    failed: MetricQuery
    through: MetricQuery
    own: MetricQuery
    codes: tuple[MetricQuery, ...]

    @classmethod
    def of(cls, target: Target, span: int, *, period: int = _PERIOD) -> Counts | None:
        """Those of a target; None where nobody has said which load balancer it stands behind."""
        balancer, group = target.load_balancer, target.target_group
        if balancer is None or group is None:
            return None
        return cls(
            group_metric(balancer, group, "RequestCount", "Sum", span, period=period),
            group_metric(balancer, group, "HTTPCode_Target_5XX_Count", "Sum", span, period=period),
            balancer_metric(balancer, "RequestCount", "Sum", span, period=period),
            balancer_metric(balancer, "HTTPCode_ELB_5XX_Count", "Sum", span, period=period),
            tuple(
                balancer_metric(balancer, f"HTTPCode_ELB_{code}_Count", "Sum", span, period=period)
                for code in (502, 503, 504)
            ),
        )

    @property
    def all(self) -> Queries:
        """What is to be read."""
        return (self.requests, self.failed, self.through, self.own, *self.codes)

    def read(self, seen: Readings) -> Answered | Unknown:
        """What they say; Unknown where one could not be read. A counter that was not reported is zero."""
        found: dict[MetricQuery, dict[datetime, float]] = {}
        for query in (self.requests, self.failed, self.through, self.own, *self.codes):
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            found[query] = dict(series.points)
        ours, all_of_them = (sum(found[query].values()) for query in (self.requests, self.through))
        alone = all_of_them <= ours * _SHARED
        nobody = self.codes[1]
        parts = []
        for at in bounds(seen.at, self.requests):
            requests = found[self.requests].get(at, 0.0) + (found[nobody].get(at, 0.0) if alone else 0.0)
            failed = found[self.failed].get(at, 0.0) + (found[self.own].get(at, 0.0) if alone else 0.0)
            parts.append(Part(at, requests, min(100 * failed / requests, 100.0) if requests else None))
        newest = {part.at for part in parts[-_PARTS:]}
        by_code = {
            word: round(sum(value for at, value in found[query].items() if at in newest))
            for query, word in zip(self.codes, _CODES, strict=True)
        }
        by_task = round(sum(value for at, value in found[self.failed].items() if at in newest))
        return Answered(tuple(parts), alone, by_task, {word: count for word, count in by_code.items() if count})


_CODES = (
    "502: a task broke the connection off, or crashed",
    "503: no task to send them to",
    "504: no answer in time",
)


@dataclass(frozen=True, slots=True)
class Answered:
    """
    How requests were answered.

    ``alone``: what the load balancer answered itself is this service's. ``by_task`` and ``by_balancer``: what failed in
    the newest three parts, and how.
    """

    parts: tuple[Part, ...]
    alone: bool
    by_task: int
    by_balancer: Mapping[str, int]

    @property
    def text(self) -> tuple[str, ...]:
        """What failed, and how, for a report."""
        lines = [f"{self.by_task} requests were answered with 5xx by tasks themselves, in 15 minutes"]
        lines += [f"{count} requests got {word}" for word, count in self.by_balancer.items()]
        if self.by_balancer and not self.alone:
            lines.append(
                "what the load balancer answers itself is counted for all services behind it, and others get requests "
                "too: it is not counted here"
            )
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Times:
    """How long answers take, as metrics: the 95th percentile, in seconds."""

    requests: MetricQuery
    p95: MetricQuery

    @classmethod
    def of(cls, target: Target, span: int, *, period: int = _PERIOD) -> Times | None:
        """Those of a target; None where nobody has said which load balancer it stands behind."""
        balancer, group = target.load_balancer, target.target_group
        if balancer is None or group is None:
            return None
        return cls(
            group_metric(balancer, group, "RequestCount", "Sum", span, period=period),
            group_metric(balancer, group, "TargetResponseTime", "p95", span, period=period),
        )

    @property
    def all(self) -> Queries:
        """What is to be read."""
        return (self.requests, self.p95)

    def read(self, seen: Readings) -> tuple[Part, ...] | Unknown:
        """What they say; Unknown where one could not be read."""
        requests, p95 = seen.metric(self.requests), seen.metric(self.p95)
        if isinstance(requests, Unread):
            return Unknown(requests.reason)
        if isinstance(p95, Unread):
            return Unknown(p95.reason)
        counted, took = dict(requests.points), dict(p95.points)
        return tuple(Part(at, counted.get(at, 0.0), took.get(at)) for at in bounds(seen.at, self.requests))


# -- what is behind it -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """
    What was found, in order.

    ``cause`` and ``advice`` are empty where nothing that can be seen from outside is the cause. ``leak`` is how full
    memory is, in per cent, where it is a leak.
    """

    service: Mapping[str, Any]
    evidence: tuple[str, ...]
    cause: str = ""
    advice: tuple[str, ...] = ()
    leak: float = 0.0


def behind(
    read: Reader, target: Target, since: datetime, *, suspect: timedelta, cpu: float, memory: float, history: timedelta
) -> Found:
    """
    What is behind bad answers that began at a time. Refuses, for now, what is another incident's.

    A leak is told before memory is called short: more tasks would leak, too.
    """
    arn = target.arn
    service = states.service(read, arn)
    _check_change(service)
    released = _released(read, arn, service, since, suspect)
    if released is not None:
        return released
    killed = _killed(read, arn, service)
    if killed is not None:
        return killed
    hosts = _check_hosts(read, target, service)
    for needed in target.depends_on:
        _check_needed(read, needed)
    used = {name: states.series(read, query) for name, query in _used(arn, history).items()}
    now = {name: _most(series) for name, series in used.items()}
    _check_busy(arn, now["CPU"], cpu, "CPU")
    went = leaks.trend(used["CPU"], used["memory"], history)
    evidence = (
        *hosts,
        *(f"{needed.name}, which it needs, is well" for needed in target.depends_on),
        *(f"{name} {'is not known' if value is None else f'at {value:.0f} %'}" for name, value in now.items()),
    )
    if went is not None and went.leaks:
        return Found(service, (*evidence, went.text), leak=went.memory[-1])
    _check_busy(arn, now["memory"], memory, "memory")
    return Found(service, evidence)


def _check_change(service: Mapping[str, Any]) -> None:
    rollouts = [str(each.get("rolloutState", "unknown")) for each in service.get("deployments", ())]
    if len(rollouts) != 1 or rollouts == ["IN_PROGRESS"]:
        reason = "the service is being deployed: what is wrong then may be over soon"
        raise Refused("mid-change", reason, numbers={"deployments": len(rollouts)}, retry_after=_SOON)


def _released(read: Reader, arn: Arn, service: Mapping[str, Any], since: datetime, suspect: timedelta) -> Found | None:
    """A release that came shortly before. Its own incident goes first; where there is none, people are told here."""
    began = states.began(states.primary(service))
    if began is None or not began - PART <= since <= began + suspect:
        return None
    when = f"the release of {began:%H:%M} UTC"
    if read.now() < max(since, began) + _TURN:
        raise Refused(
            "cause",
            f"{when} came first: its own incident goes before this one",
            numbers={"minutes_after": max(minutes(since - began), 0)},
            retry_after=_SOON,
            link=str(arn),
        )
    return Found(
        service,
        (f"it began {max(minutes(since - began), 0)} minutes after {when}",),
        cause=f"{when} of {arn.name} came shortly before",
        advice=(
            "compare what was released with what ran before it, and go back if you cannot tell",
            "a rollback does not undo what the release did to data",
        ),
    )


def _killed(read: Reader, arn: Arn, service: Mapping[str, Any]) -> Found | None:
    """Tasks that were killed for their memory in the last hour: by the reason, for exit code 137 alone is no proof."""
    cluster, name = split_service_arn(arn)
    listed = read(
        "ecs", "ListTasks", cluster=cluster, serviceName=name, desiredStatus="STOPPED", maxResults=restarts.TASKS
    ).get("taskArns", ())
    tasks = read("ecs", "DescribeTasks", cluster=cluster, tasks=list(listed)).get("tasks", ()) if listed else ()
    count = sum(any("OutOfMemory" in str(each.get("reason")) for each in task.get("containers", ())) for task in tasks)
    if not count:
        return None
    return Found(
        service,
        (f"{count} tasks were killed for their memory in the last hour",),
        cause=f"tasks of {arn.name} run out of memory and are killed",
        advice=(
            "give each task more memory, in a new revision of the task definition",
            "look for what they keep: a leak fills more memory, too",
        ),
    )


def _check_hosts(read: Reader, target: Target, service: Mapping[str, Any]) -> tuple[str, ...]:
    """Refuse while tasks are missing or do not answer their load balancer: other incidents are about that."""
    desired, running = service.get("desiredCount"), service.get("runningCount")
    if running != desired:
        raise Refused(
            "tasks",
            f"{running} of {desired} tasks run: what is desired has to run first",
            retry_after=_SOON,
            link=str(target.arn),
        )
    answer = read("elbv2", "DescribeTargetHealth", TargetGroupArn=str(target.target_group))
    health = [each.get("TargetHealth", {}).get("State") for each in answer.get("TargetHealthDescriptions", ())]
    sick = health.count("unhealthy")
    if sick:
        raise Refused(
            "hosts",
            f"{sick} of {len(health)} tasks do not answer their load balancer: they go first",
            numbers={"unhealthy": sick, "targets": len(health)},
            retry_after=_SOON,
            link=str(target.arn),
        )
    return (f"all {desired} tasks run, and {health.count('healthy')} are healthy",)


def _check_needed(read: Reader, arn: Arn) -> None:
    """Refuse while what the service needs is sick itself: that one's own incident is about it."""
    trouble = _trouble(read, arn)
    if trouble:
        raise Refused(
            "dependency", f"{arn.name}, which it needs, is sick itself: {trouble}", retry_after=_SOON, link=str(arn)
        )


def _trouble(read: Reader, arn: Arn) -> str:
    try:
        service = states.service(read, arn)
    except Missing:
        return "it does not exist"
    if not service.get("desiredCount"):
        return "somebody has stopped it"
    other = read.target(str(arn))
    if other is not None and other.load_balancer is not None and other.target_group is not None:
        query = group_metric(other.load_balancer, other.target_group, "UnHealthyHostCount", "Minimum")
        newest = states.series(read, query).last(_SICK)
        if len(newest) == _SICK and min(newest) >= 1:
            return f"{newest[-1]:.0f} of its tasks do not answer"
    return states.unfinished(service)


def _used(arn: Arn, history: timedelta) -> dict[str, MetricQuery]:
    span = minutes(history)
    metrics = {"CPU": "CPUUtilization", "memory": "MemoryUtilization"}
    return {word: service_metric(arn, metric, "Average", span) for word, metric in metrics.items()}


def _most(series: Series) -> float | None:
    """The most of the last minutes: what is over since one minute still shows in how requests are answered."""
    return max(series.last(_MINUTES), default=None)


def _check_busy(arn: Arn, value: float | None, limit: float, word: str) -> None:
    """Refuse while the tasks are too busy: another incident lends it more."""
    if value is not None and value > limit:
        raise Refused(
            "capacity",
            f"{word} of {arn.name} is at {value:.0f} %: it has too few tasks for its load",
            numbers={"percent": round(value, 1), "limit": limit},
            retry_after=_SOON,
            link=str(arn),
        )
