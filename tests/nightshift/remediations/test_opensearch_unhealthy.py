"""A domain of OpenSearch: the worst that is wrong is said first, with what helps, and nothing is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied, Missing, Refused
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Query,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Readings, Series, Unread
from nightshift.remediations.opensearch_unhealthy import OpensearchUnhealthy
from nightshift.signals import domain_metric

from tests.nightshift.remediations.account import NOW, Account, Eyes, read

TELLS = OpensearchUnhealthy()
DOMAIN = Arn.parse("arn:aws:es:eu-central-1:123456789012:domain/search")
SEARCH = Target(DOMAIN, "documents")
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RED, YELLOW, BLOCKED = "ClusterStatus.red", "ClusterStatus.yellow", "ClusterIndexWritesBlocked"
MEMORY, FREE, NODES, SNAPSHOT = "JVMMemoryPressure", "FreeStorageSpace", "Nodes", "AutomatedSnapshotFailure"
STATS = {
    RED: "Maximum",
    BLOCKED: "Maximum",
    MEMORY: "Maximum",
    FREE: "Minimum",
    NODES: "Minimum",
    YELLOW: "Maximum",
    SNAPSHOT: "Maximum",
}
WELL: Mapping[str, float] = {RED: 0, BLOCKED: 0, MEMORY: 60, FREE: 60_000, NODES: 6, YELLOW: 0, SNAPSHOT: 0}
CONFIG: Mapping[str, Any] = {"InstanceCount": 3, "DedicatedMasterEnabled": True, "DedicatedMasterCount": 3}
DESCRIBED: Mapping[str, Any] = {
    "DomainName": "search",
    "Processing": False,
    "UpgradeProcessing": False,
    "Deleted": False,
    "ClusterConfig": CONFIG,
    "EBSOptions": {"VolumeSize": 100},
}
HEALTH = {
    "TotalUnAssignedShards": "4",
    "DataNodeCount": "2",
    "ActiveAvailabilityZoneCount": "0",
    "MasterNode": "Available",
}
FINDING = Finding(TELLS.name, str(DOMAIN), "search is red")
LONG = 14 * 24 * 60


def domain(**other: Any) -> dict[str, Any]:
    """A domain, as DescribeDomain gives it."""
    return {**DESCRIBED, **other}


def measured(**now: Any) -> dict[str, Any]:
    """Half an hour of each metric: well, but for ``now``."""
    return {name: now.get(name.replace(".", "_"), [float(value)] * 30) for name, value in WELL.items()}


def seen(described: Any = None, **now: Any) -> Readings:
    """What a look read."""
    found: dict[Query, Any] = {read("es.domain", DOMAIN): domain() if described is None else described}
    for name, values in measured(**now).items():
        answer: Any = values
        if not isinstance(values, Unread):
            answer = Series(tuple((NOW - (len(values) + 1 - n) * MINUTE, each) for n, each in enumerate(values)))
        found[domain_metric(DOMAIN, name, STATS[name], 30)] = answer
    return Readings(NOW, found)


def look(described: Any = None, **now: Any) -> Observation:
    """What it makes of that."""
    return TELLS.detect(SEARCH, seen(described, **now))


def finding(described: Any = None, **now: Any) -> Finding:
    """What is wrong."""
    found = look(described, **now)
    assert isinstance(found, Sick)
    return found.finding


class Told(Eyes):
    """The account; of the last fourteen days it has another series."""

    past: Series | Unread = Series()

    def seen(self, *queries: Query) -> Readings:
        found = super().seen(*queries)
        long = {query: self.past for query in queries if getattr(query, "minutes", 0) == LONG}
        return replace(found, answers={**found.answers, **long})


def diagnosed(
    described: Any = None, *, past: Series | Unread | None = None, health: Any = None, **now: Any
) -> Diagnosis:
    """The diagnosis."""
    there = Account(
        services={DOMAIN: domain() if described is None else described},
        metrics={("123456789012", name): values for name, values in measured(**now).items()},
        answers={"es:DescribeDomainHealth": HEALTH},
    )
    if health is not None:
        there.fails["es:DescribeDomainHealth"] = health
    eyes = Told(there, OpensearchUnhealthy)
    eyes.past = Series() if past is None else past
    return TELLS.diagnose(eyes, SEARCH, FINDING)


def hours(count: int, *, well_before: bool = True) -> Series:
    """So many whole hours up to now in each of which it was red."""
    points = [(NOW - (n + 1) * HOUR, 1.0) for n in range(count)]
    return Series(tuple(reversed([*points, *([(NOW - (count + 1) * HOUR, 0.0)] if well_before else [])])))


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_a_domain_and_all_that_is_measured_of_it_are_read() -> None:
    """By its name and its account."""
    metrics = tuple(domain_metric(DOMAIN, name, stat, 30) for name, stat in STATS.items())
    assert set(TELLS.watch(SEARCH)) == {read("es.domain", DOMAIN), *metrics}
    assert metrics[0].dimensions == (("ClientId", "123456789012"), ("DomainName", "search"))


def test_a_domain_with_which_nothing_is_wrong_is_well() -> None:
    """Green, or yellow for less than half an hour."""
    assert look() == Healthy("green")
    assert look(ClusterStatus_yellow=[0.0] + [1.0] * 29) == Healthy("yellow")


@pytest.mark.parametrize(
    "now, says, severity",
    [
        ({"ClusterStatus_red": [1.0, 1.0]}, "is red", Severity.SEV1),
        ({BLOCKED: [1.0] * 5}, "takes no writes", Severity.SEV2),
        ({MEMORY: [92.1] * 30}, "92 % of its memory or more for 30 minutes", Severity.SEV2),
        ({FREE: [20_479.0] * 5}, "a node of search has 20.0 GiB of storage left", Severity.SEV2),
        ({NODES: [5.0] * 30}, "has had 5 of 6 nodes for 30 minutes", Severity.SEV3),
        ({"ClusterStatus_yellow": [1.0] * 30}, "has been yellow for 30 minutes", Severity.SEV3),
        ({SNAPSHOT: [1.0] * 5}, "the automated snapshots of search fail", Severity.SEV3),
    ],
)
def test_each_thing_that_can_be_wrong_is_seen(now: dict[str, list[float]], says: str, severity: Severity) -> None:
    """With its own severity, as long as it must last."""
    found = finding(**now)
    assert says in found.symptom
    assert found.severity is severity
    [name] = now
    shorter = {name: [WELL[name.replace("_", ".")], *now[name][1:]]}
    assert isinstance(look(**shorter), Healthy)


@pytest.mark.parametrize("now", [{MEMORY: [92.0] * 30}, {FREE: [20_480.0] * 5}, {NODES: [6.0] * 30}])
def test_at_its_bound_nothing_is_wrong(now: dict[str, list[float]]) -> None:
    """Above, below and fewer mean what they say."""
    assert isinstance(look(**now), Healthy)


@pytest.mark.parametrize("name", [BLOCKED, MEMORY, FREE, NODES, "ClusterStatus_yellow", SNAPSHOT])
def test_too_few_minutes_of_anything_but_red_say_nothing(name: str) -> None:
    """Some are reported of some domains only."""
    assert isinstance(look(**{name: []}), Healthy)


def test_the_worst_is_said_first() -> None:
    """Red explains the rest."""
    both = {"ClusterStatus_red": [1.0] * 2, MEMORY: [99.0] * 30, SNAPSHOT: [1.0] * 5}
    assert "is red" in finding(**both).symptom


def test_one_node_is_always_yellow() -> None:
    """And a domain that does not say how many it has may have one."""
    alone = domain(ClusterConfig={"InstanceCount": 1})
    assert look(alone, ClusterStatus_yellow=[1.0] * 30) == Healthy("yellow")
    assert isinstance(look(domain(ClusterConfig=None), ClusterStatus_yellow=[1.0] * 30), Healthy)


@pytest.mark.parametrize("change", ["Processing", "UpgradeProcessing"])
def test_a_change_under_way_explains_yellow_and_missing_nodes_and_nothing_else(change: str) -> None:
    """It opens no incident, and ends none."""
    there = domain(**{change: True})
    found = look(there, ClusterStatus_yellow=[1.0] * 30, Nodes=[5.0] * 30)
    assert isinstance(found, Healthy)
    assert found.idle
    assert isinstance(look(there, ClusterStatus_red=[1.0] * 2), Sick)


@pytest.mark.parametrize(
    "config, nodes",
    [
        ({"InstanceCount": 3}, 3),
        ({"InstanceCount": 3, "DedicatedMasterEnabled": False, "DedicatedMasterCount": 3}, 3),
        ({"InstanceCount": 3, "WarmEnabled": True, "WarmCount": 2}, 5),
        (CONFIG, 6),
    ],
)
def test_every_node_that_it_should_have_is_counted(config: dict[str, Any], nodes: int) -> None:
    """Of data, of masters, and of what is seldom asked for."""
    there = domain(ClusterConfig=config)
    assert isinstance(look(there, Nodes=[float(nodes)] * 30), Healthy)
    assert f"of {nodes} nodes" in finding(there, Nodes=[float(nodes - 1)] * 30).symptom


def test_without_a_known_size_twenty_gibibytes_must_be_free() -> None:
    """Instances with storage of their own say no size of a volume."""
    there = domain(EBSOptions={"EBSEnabled": False})
    assert isinstance(look(there, FreeStorageSpace=[20_480.0] * 5), Healthy)
    assert isinstance(look(there, FreeStorageSpace=[20_479.0] * 5), Sick)


@pytest.mark.parametrize("described", [Unread("no"), domain(Deleted=True)])
def test_what_cannot_be_told_is_unknown(described: Any) -> None:
    """Nothing is guessed."""
    assert isinstance(look(described), Unknown)


def test_a_domain_that_is_gone_is_unknown() -> None:
    """Somebody should take it out of the configuration."""
    found = seen()
    gone = replace(found, answers={**found.answers, read("es.domain", DOMAIN): None})
    assert TELLS.detect(SEARCH, gone) == Unknown(f"{DOMAIN} does not exist")


def test_a_metric_that_cannot_be_read_or_was_not_reported_is_unknown() -> None:
    """Red is reported once a minute by every domain."""
    assert look(Nodes=Unread("throttled")) == Unknown("throttled")
    assert look(ClusterStatus_red=[1.0]) == Unknown(f"{RED} was reported in 1 of 2 minutes")


@given(described=st.dictionaries(st.sampled_from([*DESCRIBED]), st.none() | st.integers() | st.text(max_size=3)))
def test_detection_is_total(described: dict[str, Any]) -> None:
    """Whatever AWS may say of a domain has an answer."""
    assert isinstance(look(domain(**described), Nodes=[0.0] * 30), Healthy | Sick | Unknown)


# -- diagnosis -------------------------------------------------------------------------------------------------------


def test_the_report_says_all_that_is_wrong_and_what_helps_the_worst_first() -> None:
    """What the domain says of its shards and nodes is in it; of what is not so, nothing."""
    found = diagnosed(ClusterStatus_red=[1.0] * 30, FreeStorageSpace=[1024.0] * 30)
    assert found.cause.startswith("search: shards lie on no node")
    assert "a node of search has 1.0 GiB of storage left" in found.evidence
    assert "4 of its shards lie on no node" in found.evidence
    assert "it has 2 data nodes" in found.evidence
    assert "its master node is Available" in found.evidence
    assert not any("Availability Zones" in each for each in found.evidence)
    assert found.advice[0].startswith("do not reconfigure it while it is red")
    assert any("delete indexes that nobody needs" in each for each in found.advice)
    assert len(set(found.advice)) == len(found.advice)
    assert found.facts == {}


def test_advice_that_two_things_share_is_given_once() -> None:
    """Room is what both want."""
    found = diagnosed(ClusterIndexWritesBlocked=[1.0] * 30, FreeStorageSpace=[1024.0] * 30)
    assert sum("delete indexes" in each for each in found.advice) == 1


@pytest.mark.parametrize(
    "past, since, left",
    [
        (Series(), NOW, "14.0"),
        (hours(3), NOW - 3 * HOUR, "13.9"),
        (hours(10 * 24), NOW - 240 * HOUR, "4.0"),
        (Series((*hours(5).points[:3], *hours(2).points)), NOW - 2 * HOUR, "13.9"),
    ],
)
def test_snapshots_are_counted_down_from_the_hour_in_which_it_began(past: Series, since: Any, left: str) -> None:
    """Up to now without a break; less than an hour ago where no hour says so."""
    found = " ".join(diagnosed(past=past, ClusterStatus_red=[1.0] * 30).evidence)
    assert f"since about {since:%Y-%m-%d %H:%M} UTC" in found
    assert f"in {left} days: then nothing can be restored" in found


def test_hours_that_nobody_reported_are_no_part_of_it() -> None:
    """What is older than a gap may have been something else."""
    old = Series(((NOW - 30 * HOUR, 1.0), (NOW - 2 * HOUR, 1.0)))
    assert "since about 2026-11-19 01:00" in " ".join(diagnosed(past=old, ClusterStatus_red=[1.0] * 30).evidence)


def test_after_fourteen_days_there_may_be_nothing_left() -> None:
    """That is what is said."""
    found = diagnosed(past=hours(336, well_before=False), ClusterStatus_red=[1.0] * 30)
    assert "there may be none left to restore" in " ".join(found.evidence)


def test_failing_snapshots_are_counted_down_too() -> None:
    """Whatever makes them fail."""
    found = diagnosed(past=hours(24), AutomatedSnapshotFailure=[1.0] * 30)
    assert "in 11.5 days" in " ".join(found.evidence)
    nothing = diagnosed(JVMMemoryPressure=[99.0] * 30)
    assert not any("snapshot" in each for each in nothing.evidence)


def test_what_cannot_be_read_is_said_and_keeps_nothing_back() -> None:
    """Neither the past nor the domain's own word."""
    denied = Denied("es:DescribeDomainHealth", "AccessDenied")
    found = " ".join(diagnosed(past=Unread("throttled"), health=denied, ClusterStatus_red=[1.0] * 30).evidence)
    assert "since when it is so could not be read" in found
    assert "how its shards and nodes are could not be read" in found


def test_a_change_under_way_is_said() -> None:
    """Red and being changed may be stuck."""
    found = diagnosed(domain(Processing=True), ClusterStatus_red=[1.0] * 30)
    assert "its configuration is being changed, or its version" in found.evidence


def test_what_is_over_by_then_is_not_told() -> None:
    """It is asked again; and a domain that is gone has no diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnosed(Nodes=Unread("no"))
    assert caught.value.retry_after is not None
    with pytest.raises(Missing):
        TELLS.diagnose(Eyes(Account(services={DOMAIN: None}), OpensearchUnhealthy), SEARCH, FINDING)


def test_nothing_is_ever_written() -> None:
    """It only tells."""
    assert OpensearchUnhealthy.writes == ()


def test_what_is_red_since_a_moment_may_have_had_no_snapshot_for_days() -> None:
    """The last one is as old as the older of the two says, and a failure begins a day and a half after it."""

    class Both(Told):
        def seen(self, *queries: Query) -> Readings:
            found = super().seen(*queries)
            past: dict[Query, Any] = {
                each: hours(240) if each.metric == SNAPSHOT else Series()
                for each in queries
                if isinstance(each, MetricQuery) and each.minutes == LONG
            }
            return replace(found, answers={**found.answers, **past})

    there = Account(
        services={DOMAIN: domain()},
        metrics={
            ("123456789012", name): values
            for name, values in measured(ClusterStatus_red=[1.0] * 30, AutomatedSnapshotFailure=[1.0] * 30).items()
        },
        answers={"es:DescribeDomainHealth": HEALTH},
    )
    found = " ".join(TELLS.diagnose(Both(there, OpensearchUnhealthy), SEARCH, FINDING).evidence)
    assert "in 2.5 days" in found
