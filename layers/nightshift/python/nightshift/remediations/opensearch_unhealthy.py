"""
A domain of OpenSearch is not well: say what is wrong with it, and how long its snapshots still help.

Symptom   red for two minutes; writes blocked; memory above 92 %, or yellow, or fewer nodes than it should have, for
          half an hour; hardly any storage left; its automated snapshots fail
Cause     shards that lie on no node, for want of nodes, storage or memory: as far as the domain says it
Cure      none of ours: which index may be deleted, restored or made again is for people to say
Proof     it is green, writes are taken, and snapshots succeed
Undo      nothing was changed
Source    runbook 3 "Search Not Working" and "OpenSearch restore"; R17

What it will not do: call a domain of one node unwell because it is yellow, which it always is; blame a change of its
configuration, while that is under way, for replicas that are being moved; reconfigure a domain, which is the worst that
can be done to a red one; or read what is in an index.

Source: https://docs.aws.amazon.com/opensearch-service/latest/developerguide/handling-errors.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift import states
from nightshift.errors import AwsError, Refused
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Series, Unread
from nightshift.signals import domain_metric

__all__ = ["OpensearchUnhealthy"]

_RED, _YELLOW, _BLOCKED = "ClusterStatus.red", "ClusterStatus.yellow", "ClusterIndexWritesBlocked"
_MEMORY, _FREE, _NODES, _SNAPSHOT = "JVMMemoryPressure", "FreeStorageSpace", "Nodes", "AutomatedSnapshotFailure"
_STATS = {
    _RED: "Maximum",
    _BLOCKED: "Maximum",
    _MEMORY: "Maximum",
    _FREE: "Minimum",
    _NODES: "Minimum",
    _YELLOW: "Maximum",
    _SNAPSHOT: "Maximum",
}
"""what is measured, and the statistic that AWS gives for it"""
_HALF_HOUR = 30  # minutes
_MINUTES = {_RED: 2, _BLOCKED: 5, _MEMORY: _HALF_HOUR, _FREE: 5, _NODES: _HALF_HOUR, _YELLOW: _HALF_HOUR, _SNAPSHOT: 5}
"""how many minutes in a row count"""
_SMALL = 20 * 1024  # MiB of free storage, below which AWS blocks writes where a volume's size is not known
_GIB = 1024  # MiB
_KEPT = timedelta(days=14)  # how long an automated snapshot is kept, whatever becomes of the domain
_HOUR = timedelta(hours=1)
_LAST_SNAPSHOT = {_RED: timedelta(0), _SNAPSHOT: timedelta(hours=36)}
"""how long before it began the last snapshot was made: AWS says that they fail after 36 hours without one"""
_HEALTH = (
    ("TotalUnAssignedShards", "{} of its shards lie on no node"),
    ("DataNodeCount", "it has {} data nodes"),
    ("ActiveAvailabilityZoneCount", "{} Availability Zones are active"),
    ("MasterNode", "its master node is {}"),
)
"""what DescribeDomainHealth says, in our words"""


@dataclass(frozen=True, slots=True)
class _Fault:
    """One thing that is wrong with a domain, and what people should do about it, what helps most first."""

    metric: str
    symptom: str
    signal: Signal
    severity: Severity
    cause: str
    advice: tuple[str, ...]


class OpensearchUnhealthy(ReportOnly):
    """A domain of OpenSearch that is red, blocks writes, or is about to."""

    name: ClassVar[str] = "opensearch-unhealthy"
    title: ClassVar[str] = "search is not well"
    kinds: ClassVar[tuple[str, ...]] = ("es:domain",)
    reads: ClassVar[tuple[str, ...]] = ("es:DescribeDomainHealth",)

    memory: float = Field(default=92, gt=0, le=100, description="per cent of memory above which writes will be blocked")
    free: float = Field(default=20, gt=0, lt=100, description="per cent of a node's storage that must be free")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("es.domain", str(target.arn)), *_measured(target.arn).values())

    def detect(self, target: Target, seen: Readings) -> Observation:
        """The worst of what is wrong with it. A minute that was not reported may have been anything."""
        domain = seen.resource(ResourceRead("es.domain", str(target.arn)))
        if isinstance(domain, Unread):
            return Unknown(domain.reason)
        if domain is None or domain.get("Deleted"):
            return Unknown(f"{target.arn} does not exist")
        values: dict[str, tuple[float, ...]] = {}
        for name, query in _measured(target.arn).items():
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            values[name] = series.last(_MINUTES[name])
        if len(values[_RED]) < _MINUTES[_RED]:
            return Unknown(f"{_RED} was reported in {len(values[_RED])} of {_MINUTES[_RED]} minutes")
        fault = next(self._faults(target, domain, values), None)
        if fault is not None:
            return Sick(Finding(self.name, str(target.arn), fault.symptom, (fault.signal,), severity=fault.severity))
        if _changing(domain) and _held(_YELLOW, values):
            return Healthy("yellow while it is being changed: its replicas may be on their way", idle=True)
        return Healthy("yellow" if values[_YELLOW] and values[_YELLOW][-1] else "green")

    def _faults(
        self, target: Target, domain: Mapping[str, Any], values: Mapping[str, tuple[float, ...]]
    ) -> Iterator[_Fault]:
        """All that is wrong, the worst first."""
        name, limit, nodes = target.arn.name, self._least_free(domain), _nodes(domain)
        changing = _changing(domain)
        if _held(_RED, values):
            yield _fault(_RED, f"{name} is red: at least one primary shard lies on no node", 1, Severity.SEV1)
        if _held(_BLOCKED, values):
            yield _fault(_BLOCKED, f"{name} takes no writes", 1, Severity.SEV2)
        if _all(_MEMORY, values, lambda value: value > self.memory):
            least = min(values[_MEMORY])
            symptom = f"{name} has used {least:.0f} % of its memory or more for {_HALF_HOUR} minutes"
            yield _fault(_MEMORY, symptom, self.memory, Severity.SEV2, value=least, unit="%")
        if _all(_FREE, values, lambda value: value < limit):
            most = max(values[_FREE])
            symptom = f"a node of {name} has {most / _GIB:.1f} GiB of storage left"
            yield _fault(_FREE, symptom, limit, Severity.SEV2, value=most, unit="MiB")
        if not changing and _all(_NODES, values, lambda value: value < nodes):
            most = max(values[_NODES])
            symptom = f"{name} has had {most:.0f} of {nodes} nodes for {_HALF_HOUR} minutes"
            yield _fault(_NODES, symptom, nodes, Severity.SEV3, value=most)
        if not changing and _data_nodes(domain) > 1 and _held(_YELLOW, values):
            symptom = f"{name} has been yellow for {_HALF_HOUR} minutes: replicas lie on no node"
            yield _fault(_YELLOW, symptom, 1, Severity.SEV3)
        if _held(_SNAPSHOT, values):
            yield _fault(_SNAPSHOT, f"the automated snapshots of {name} fail", 1, Severity.SEV3)

    def _least_free(self, domain: Mapping[str, Any]) -> float:
        """How many MiB of a node's storage must be free."""
        size = _count(_part(domain, "EBSOptions"), "VolumeSize")
        return size * _GIB * self.free / 100 if size > 0 else float(_SMALL)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        domain = states.domain(read, target.arn)
        seen = read.seen(*_measured(target.arn).values())
        series = {name: seen.metric(query) for name, query in _measured(target.arn).items()}
        values = {name: each.last(_MINUTES[name]) if isinstance(each, Series) else () for name, each in series.items()}
        faults = list(self._faults(target, domain, values))
        if not faults:
            raise Refused("domain", "nothing is wrong with it any more", retry_after=timedelta(minutes=1))
        worst, others = faults[0], [each for each in faults[1:] if each.symptom != faults[0].symptom]
        evidence = [worst.symptom, *[each.symptom for each in others], *self._health(read, target.arn)]
        advice = list(worst.advice)
        if failing := [metric for metric in _LAST_SNAPSHOT if any(each.metric == metric for each in faults)]:
            evidence += _countdown(read, target.arn, failing)
        if _changing(domain):
            evidence.append("its configuration is being changed, or its version")
        for each in others:
            advice += [line for line in each.advice if line not in advice]
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name}: {worst.cause}",
            evidence=tuple(evidence),
            advice=tuple(advice),
        )

    def _health(self, read: Reader, arn: Arn) -> list[str]:
        """What the domain says of its shards and nodes; a report without that is better than none."""
        try:
            found = read("opensearch", "DescribeDomainHealth", DomainName=arn.name)
        except AwsError as error:
            return [f"how its shards and nodes are could not be read: {error}"]
        return [words.format(found[name]) for name, words in _HEALTH if found.get(name) not in {None, "0"}]


# -- what is measured --------------------------------------------------------------------------------------------------


def _measured(arn: Arn) -> dict[str, MetricQuery]:
    return {name: domain_metric(arn, name, stat, _HALF_HOUR) for name, stat in _STATS.items()}


def _held(name: str, values: Mapping[str, tuple[float, ...]]) -> bool:
    """Whether something that is 0 or 1 was 1 in each of its minutes."""
    return _all(name, values, lambda value: value >= 1)


def _all(name: str, values: Mapping[str, tuple[float, ...]], holds: Callable[[float], bool]) -> bool:
    return len(values[name]) >= _MINUTES[name] and all(map(holds, values[name]))


def _changing(domain: Mapping[str, Any]) -> bool:
    return bool(domain.get("Processing") or domain.get("UpgradeProcessing"))


def _part(domain: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = domain.get(name)
    return found if isinstance(found, Mapping) else {}


def _count(config: Mapping[str, Any], name: str) -> int:
    found = config.get(name)
    return found if isinstance(found, int) else 0


def _data_nodes(domain: Mapping[str, Any]) -> int:
    return _count(_part(domain, "ClusterConfig"), "InstanceCount")


def _nodes(domain: Mapping[str, Any]) -> int:
    """How many nodes it should have: of data, and those of its own for masters and for what is seldom asked for."""
    config = _part(domain, "ClusterConfig")
    masters = _count(config, "DedicatedMasterCount") if config.get("DedicatedMasterEnabled") else 0
    return _data_nodes(domain) + masters + (_count(config, "WarmCount") if config.get("WarmEnabled") else 0)


# -- what is wrong, and what helps -------------------------------------------------------------------------------------

_CAUSES = {
    _RED: "shards lie on no node, so what is in them is not found, and no snapshot succeeds",
    _BLOCKED: "it blocks writes, for want of storage or of memory",
    _MEMORY: "its memory is full, and it will block writes to protect itself",
    _FREE: "its storage is nearly full, and it will block writes to protect itself",
    _NODES: "nodes are missing",
    _YELLOW: "replicas lie on no node: one more node that fails may turn it red",
    _SNAPSHOT: "nothing new could be restored, were it lost",
}
_ROOM = "delete indexes that nobody needs, the oldest first: GET _cat/indices?v&s=store.size:desc"
_ADVICE: Mapping[str, tuple[str, ...]] = {
    _RED: (
        "do not reconfigure it while it is red: that may leave it stuck in a change",
        "find the red indexes, and why: GET _cat/indices?v&health=red, GET _cluster/allocation/explain",
        "delete a red index that can be made again: that is what ends it soonest",
        "or close it and restore it from the newest snapshot of before: GET _snapshot/cs-automated-enc/_all",
        "after an hour AWS tries to mend it by itself; if it is red then, open a case",
        "index documents again, from where they are stored, only once it is green",
    ),
    _BLOCKED: (
        "see what blocks: GET _cluster/settings?flat_settings, GET _cat/allocation?v, GET _nodes/stats/jvm",
        _ROOM,
        "index again what was refused meanwhile, once it takes writes: dead letters and the log say what",
    ),
    _MEMORY: (
        "clear what is cached, which may break off queries: POST INDEX/_cache/clear?fielddata=true",
        "look for queries with aggregations on text, wildcards or long ranges: GET _tasks?actions=*search*&detailed",
        "fewer shards, or larger nodes, once it is calm",
    ),
    _FREE: (_ROOM, "larger volumes, or one data node more: a change that takes its time, so make room first"),
    _NODES: ("AWS replaces nodes that fail; one that has been missing for a day is a case for its support",),
    _YELLOW: (
        "see why a replica has no place: GET _cluster/allocation/explain",
        "wait where it gets better: GET _cat/recovery?active_only=true&v",
        "an index with as many replicas as there are data nodes, or more, stays yellow for ever: give it fewer",
    ),
    _SNAPSHOT: ("see why: GET _snapshot/cs-automated-enc/_all; a red index is the usual cause",),
}


def _fault(metric: str, symptom: str, limit: float, severity: Severity, *, value: float = 1, unit: str = "") -> _Fault:
    signal = Signal(metric, value, limit, f"{_MINUTES[metric]} minutes", unit)
    return _Fault(metric, symptom, signal, severity, _CAUSES[metric], _ADVICE[metric])


def _countdown(read: Reader, arn: Arn, failing: Sequence[str]) -> list[str]:
    """Since when no snapshot has succeeded, and until when the last one from before is kept."""
    span = int(_KEPT / timedelta(minutes=1))
    queries = {metric: domain_metric(arn, metric, "Maximum", span, period=3600) for metric in failing}
    try:
        since = min(
            _since(states.series(read, query), read.now()) - _LAST_SNAPSHOT[metric] for metric, query in queries.items()
        )
    except AwsError as error:
        return [f"since when it is so could not be read: {error}"]
    ends = since + _KEPT
    if ends <= read.now() + _HOUR:
        return ["for 14 days or more no snapshot has succeeded: there may be none left to restore"]
    days = (ends - read.now()) / timedelta(days=1)
    return [
        f"no automated snapshot has succeeded since about {since:%Y-%m-%d %H:%M} UTC",
        f"the last one is deleted at about {ends:%Y-%m-%d %H:%M} UTC, in {days:.1f} days: then nothing can be restored",
    ]


def _since(series: Series, now: datetime) -> datetime:
    """When the hours began in each of which it was so, up to now; less than an hour ago where there is none."""
    since = now
    for at, value in reversed(series.points):
        if value < 1 or since - at > 3 * _HOUR:  # the newest hour is not over, and may not be reported yet
            break
        since = at
    return since
