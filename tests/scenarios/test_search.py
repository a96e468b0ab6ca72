"""
Search that does not work (runbook 3): what people are told of a domain of OpenSearch, and when nobody is.

Nothing is ever changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.search import NAME, DocumentSearch, search_configuration
from sandbox.world import World


@dataclass(frozen=True)
class Night:
    """A domain, and Nightshift switched on."""

    world: World
    system: DocumentSearch
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.of(NAME)
        return incident

    @property
    def told(self) -> str:
        """All that people were told."""
        return " ".join(" ".join(mail.text for mail in self.world.mail).split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_told(self, limit: float = 90) -> None:
        """Let time pass until the incident has ended, by telling people what only they can cure."""
        self.world.run_until(lambda: any(not each.open for each in self.nightshift.all), timedelta(minutes=limit))
        assert self.incident.verdict is Verdict.ESCALATED


@contextmanager
def night(*, thin: bool = True, nodes: int = 3, mode: str = "auto") -> Iterator[Night]:
    """A calm night until now."""
    with World(NIGHT, thin=thin) as world:
        system = DocumentSearch(world, nodes=nodes)
        system.account.past(24)
        with Deployment(world, search_configuration(system, mode=mode)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on
            assert [each for each in world.trail.of(writes=True) if each.principal.role_arn] == []
            assert failures(world) == ()


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
@pytest.mark.parametrize("thin", [True, False])
def test_a_red_domain_is_told_with_what_to_do_and_how_long_its_snapshots_last(thin: bool) -> None:
    """At the highest severity, in minutes; when the last snapshot is deleted is right to the hour."""
    with night(thin=thin) as on:
        on.system.lose_nodes(2)
        on.until_told()
        assert on.incident.severity is Severity.SEV1
        assert "dms-search-prod is red: at least one primary shard lies on no node" in on.told
        assert "10 of its shards lie on no node" in on.told
        assert "do not reconfigure it while it is red" in on.told.lower()
        assert "index documents again" in on.told.lower()
        found = re.search(r"is deleted at about (\S+ \S+) UTC", on.told)
        assert found is not None
        ends = datetime.strptime(found[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        assert on.system.domain.kept(ends - timedelta(hours=1))
        assert not on.system.domain.kept(ends + timedelta(hours=1))


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_snapshots_that_have_failed_for_days_are_counted_from_the_first() -> None:
    """Red for ten days before anybody looked: four are left."""
    with World(NIGHT, thin=True) as world:
        system = DocumentSearch(world)
        system.account.past(24)
        system.lose_nodes(2)
        system.account.past(10 * 24)
        with Deployment(world, search_configuration(system)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.until_told()
            assert "in 4.0 days: then nothing can be restored" in on.told


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_it_is_told_once_and_again_when_it_falls_ill_anew() -> None:
    """AWS replaces the node; then it fails again."""
    with night() as on:
        on.system.lose_nodes(2)
        on.until_told()
        on.minutes(90)
        assert len(on.nightshift.all) == 1
        on.system.replace_nodes()
        on.minutes(30)
        on.system.lose_nodes(2)
        on.minutes(30)
        assert len(on.nightshift.all) == 2


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_yellow_is_told_after_half_an_hour_where_it_should_not_be() -> None:
    """One node has failed, and replicas stand in for it; one that comes back within half an hour is no matter."""
    with night() as on:
        on.system.lose_nodes()
        on.minutes(20)
        on.system.replace_nodes()
        on.minutes(40)
        assert on.nightshift.all == []
        on.system.lose_nodes()
        on.until_told()
        assert on.incident.severity is Severity.SEV3
        assert "has had 5 of 6 nodes for 30 minutes" in on.told
        assert "has been yellow for 30 minutes" in on.told


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_a_domain_of_one_node_is_always_yellow() -> None:
    """There is no second node for its replicas."""
    with night(nodes=1) as on:
        on.minutes(90)
        assert on.nightshift.all == []


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_a_change_that_is_under_way_explains_replicas_on_their_way() -> None:
    """That is no news, and proves no health either, until the change is over."""
    with night() as on:
        on.system.change()
        on.system.lose_nodes()
        on.minutes(90)
        assert on.nightshift.all == []
        on.system.change(under_way=False)
        on.until_told()


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_storage_that_runs_out_is_told_before_and_after_writes_are_blocked() -> None:
    """What blocks them is said first, and what would make room."""
    with night() as on:
        on.system.fill_storage(85)
        on.until_told()
        assert on.incident.severity is Severity.SEV2
        assert "takes no writes" in on.told
        assert "a node of dms-search-prod has 15.0 GiB of storage left" in on.told
        assert "delete indexes that nobody needs" in on.told.lower()


@pytest.mark.scenario("3.8", "opensearch-unhealthy")
def test_memory_that_is_full_is_told_when_writes_are_about_to_be_blocked() -> None:
    """Above 92 % for half an hour, which is when the domain protects itself."""
    with night() as on:
        on.system.fill_memory(95)
        on.minutes(20)
        assert on.nightshift.all == []
        on.until_told()
        assert "95 % of its memory or more" in on.told


def test_only_watched_it_is_told_all_the_same() -> None:
    """Nothing is written, so no mode forbids it."""
    with night(mode="observe") as on:
        on.system.lose_nodes(2)
        on.until_told()


@pytest.mark.parametrize("operation", ["opensearch.DescribeDomain", "cloudwatch.GetMetricData"])
def test_what_cannot_be_seen_is_neither_sick_nor_well(operation: str) -> None:
    """People are told that nobody can see it, after half an hour, and nothing else."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, operation, times=10_000)
        on.system.lose_nodes(2)
        on.minutes(60)
        assert on.incident.verdict is Verdict.UNVERIFIABLE
        on.world.faults.clear()


def test_a_report_without_the_domains_own_word_is_better_than_none() -> None:
    """DescribeDomainHealth cannot be read: the report says so, and goes out."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "opensearch.DescribeDomainHealth", times=10_000)
        on.system.lose_nodes(2)
        on.until_told()
        assert "how its shards and nodes are could not be read" in on.told
