"""
The databases of runbook 3 (documents' metadata) and runbook 2 (one of each customer): Aurora Serverless v2.

Resources  cluster dms-cluster-<env>, or lecture-<customer>-cluster: a writer and a reader, half an ACU to two
Causes     more load than its maximum carries; load that no capacity carries; connections that are opened and not
           closed; a change that waits for the maintenance window; somebody stops it or sets another maximum;
           provisioned instances
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sandbox.databases import AuroraCluster, Databases, Instance
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = ["BACKUPS", "NAME", "PRICE", "AuroraDatabase", "aurora_configuration", "aurora_target", "databases"]

NAME = "aurora-saturated"
BACKUPS = "database-backup-stale"
PRICE = 0.19
"""US dollars an hour, for an ACU"""
CONNECTIONS = 189
"""that an instance of two ACUs takes"""


class AuroraDatabase:
    """One cluster, and what happens to it."""

    def __init__(
        self,
        world: World,
        name: str = "dms-cluster-prod",
        *,
        least: float = 0.5,
        most: float = 2.0,
        readers: int = 1,
        serverless: bool = True,
        account: Databases | None = None,
    ) -> None:
        self.world = world
        self.account = account or databases(world)
        instances = [Instance(f"{name}-{n}", writer=n == 0, serverless=serverless) for n in range(1 + readers)]
        self.cluster: AuroraCluster = self.account.make(name, *instances, least=least, most=most, tags=dict(OPT_IN))
        self.offer(0.6)

    @property
    def arn(self) -> str:
        """The cluster's ARN."""
        return self.cluster.arn

    @property
    def writer(self) -> Instance:
        """The instance that writes, and has the load."""
        return self.cluster.instances[0]

    # -- load

    def offer(self, acus: float, *, readers: float = 0.5) -> None:
        """Queries that need so many ACUs come in from now on."""
        for each in self.cluster.instances:
            each.load = acus if each.writer else readers

    def connect(self, count: int) -> None:
        """Clients hold so many connections to the writer from now on."""
        self.writer.connections = count

    # -- causes

    def leak_connections(self, per_minute: float) -> None:
        """Clients open connections that they do not close."""
        self.cluster.leak_per_minute = per_minute

    def fill_memory(self, acus: float) -> None:
        """What is asked for often fills the writer's memory."""
        self.writer.memory = acus

    def shorten_backups(self, days: int) -> None:
        """Somebody has automated backups kept for so many days."""
        self.cluster.retention = days

    def stop_backups(self) -> None:
        """Nothing is backed up any more."""
        self.cluster.backed_up_until = self.world.now

    def take_snapshot(self, name: str) -> None:
        """Somebody makes a snapshot."""
        self.cluster.snapshots[name] = self.world.now

    def stop(self) -> None:
        """Somebody stops the cluster."""
        self.cluster.status = "stopped"

    def leave_for_the_window(self) -> None:
        """Somebody has another version come with the next maintenance window."""
        self.cluster.pending["EngineVersion"] = "16.9"

    def protect(self) -> None:
        """Somebody says hands off: `protected=true`."""
        self.cluster.tags["protected"] = "true"

    def scale_by_hand(self, most: float) -> None:
        """Somebody sets another maximum."""
        self.cluster.scale(self.cluster.least, most, self.world.now)

    def reboot(self) -> None:
        """Somebody reboots every instance."""
        for each in self.cluster.instances:
            each.awaits_reboot = False

    # -- what is so

    @property
    def full(self) -> bool:
        """Whether more comes in than its maximum can carry."""
        return any(each.load >= 0.9 * self.cluster.most for each in self.cluster.instances)


def databases(world: World) -> Databases:
    """The clusters of a world's account."""
    found = Databases(world.agenda, world.metrics, world.seam, (world.account, world.region), world.bill)
    world.meters.all.append(found.measure)
    return found


def aurora_target(
    system: AuroraDatabase, *, mode: str = "auto", users: Sequence[str] = (), ceiling: float | None = None
) -> str:
    """The cluster as a target."""
    own = "" if ceiling is None else f"ceiling = {ceiling}\n"
    return (
        f'[[systems.targets]]\narn = "{system.arn}"\nmode = "{mode}"\n'
        f"[systems.targets.database]\nconnections = {CONNECTIONS}\n{own}used_by = {json.dumps(list(users))}\n"
    )


def aurora_configuration(
    *targets: str, world: World, settings: str = f"acu_dollars_per_hour = {PRICE}\n", dollars: float = 30
) -> str:
    """A deployment's TOML for clusters."""
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[limits]
dollars_per_action = {dollars}

[remediations.{NAME}]
mode = "auto"
{settings}

[[systems]]
name = "documents"
{"".join(targets)}"""
