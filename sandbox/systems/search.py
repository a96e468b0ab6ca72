"""
The search of runbook 3: a domain of OpenSearch in which documents are found.

Resources  domain dms-search-<env>: three data nodes, three masters
Causes     nodes fail, and replicas stand in for them or not; its storage or memory fills up; its configuration is being
           changed; a domain of one node
"""

from __future__ import annotations

from sandbox.search_domains import SearchDomain, SearchDomains
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = ["NAME", "DocumentSearch", "search_configuration", "search_domains", "search_target"]

NAME = "opensearch-unhealthy"


class DocumentSearch:
    """The search of one environment."""

    def __init__(
        self, world: World, env: str = "prod", *, nodes: int = 3, account: SearchDomains | None = None
    ) -> None:
        self.world = world
        self.account = account or search_domains(world)
        masters = 3 if nodes > 1 else 0
        self.domain: SearchDomain = self.account.make(
            f"dms-search-{env}", nodes=nodes, masters=masters, copies=1 if nodes > 1 else 0, tags=dict(OPT_IN)
        )

    @property
    def arn(self) -> str:
        """The domain's ARN."""
        return self.domain.arn

    # -- causes

    def lose_nodes(self, count: int = 1) -> None:
        """So many of its nodes fail."""
        self.domain.lost = count

    def replace_nodes(self) -> None:
        """AWS has replaced those that had failed, and their shards are on them."""
        self.domain.lost = 0

    def fill_storage(self, gib: float) -> None:
        """So much of each node's volume is used."""
        self.domain.used = gib

    def fill_memory(self, percent: float) -> None:
        """So much of its memory is used."""
        self.domain.memory = percent

    def change(self, *, under_way: bool = True) -> None:
        """Somebody changes its configuration."""
        self.domain.changing = under_way


def search_domains(world: World) -> SearchDomains:
    """The domains of a world's account."""
    found = SearchDomains(world.agenda, world.metrics, world.seam, (world.account, world.region))
    world.meters.all.append(found.measure)
    return found


def search_target(system: DocumentSearch, *, mode: str = "auto") -> str:
    """The domain as a target."""
    return f'[[systems.targets]]\narn = "{system.arn}"\nmode = "{mode}"\n'


def search_configuration(system: DocumentSearch, *, mode: str = "auto", settings: str = "") -> str:
    """A deployment's TOML for one domain."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.{NAME}]
{settings}

[[systems]]
name = "documents"
{search_target(system, mode=mode)}"""
