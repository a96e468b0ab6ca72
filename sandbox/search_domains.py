"""
Domains of OpenSearch: nodes, shards, storage and memory, and automated snapshots that are kept for fourteen days.

Gap filled: moto's domains are never unwell, report no metrics and know no DescribeDomainHealth, so all that is asked of
OpenSearch is answered here, on both clouds. A domain that loses a node is yellow while replicas stand in for its
shards, and red where none are left. It blocks writes when a fifth of its storage is not free any more, or when its
memory has been full for half an hour. Each hour it takes a snapshot, which fails while it is red.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Agenda
from sandbox.metrics import MINUTE_MS, Metrics
from sandbox.seam import Answer, AwsError, Call, Seam

__all__ = ["SearchDomain", "SearchDomains"]

GIB = 1024.0  # MiB
KEPT = timedelta(days=14)
FULL, CALM = 92.0, 88.0  # per cent of memory
_HALF_HOUR = 30


@dataclass(eq=False)
class SearchDomain:
    """
    One domain. ``lost`` counts its nodes that have failed, ``copies`` how many of them replicas stand in for.

    ``used`` is GiB of each node's volume. ``snapshots`` are when one succeeded.
    """

    arn: str
    nodes: int = 3
    masters: int = 3
    volume: int = 100
    copies: int = 1
    lost: int = 0
    used: float = 40.0
    memory: float = 55.0
    changing: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    snapshots: list[datetime] = field(default_factory=list)
    full_minutes: int = 0
    failed: bool = False

    @property
    def name(self) -> str:
        """Its own name."""
        return self.arn.rsplit("/", 1)[1]

    @property
    def red(self) -> bool:
        """Whether shards lie on no node."""
        return self.lost > self.copies

    @property
    def yellow(self) -> bool:
        """Whether replicas lie on no node: always, where there is no second one for them."""
        return not self.red and (self.lost > 0 or self.nodes == 1)

    @property
    def blocked(self) -> bool:
        """Whether it takes no writes."""
        return self.used > 0.8 * self.volume or self.full_minutes >= _HALF_HOUR

    def overdue(self, now: datetime) -> bool:
        """What AWS calls a failure of its snapshots: none for a day and a half."""
        return bool(self.snapshots) and now - self.snapshots[-1] >= timedelta(hours=36)

    def kept(self, now: datetime) -> list[datetime]:
        """The snapshots that can still be restored."""
        return [at for at in self.snapshots if now < at + KEPT]


class SearchDomains:
    """The domains of the account, and what OpenSearch Service answers about them."""

    def __init__(self, agenda: Agenda, metrics: Metrics, seam: Seam, place: tuple[str, str]) -> None:
        self.all: dict[str, SearchDomain] = {}
        self._agenda = agenda
        self._metrics = metrics
        self._account, self._region = place
        seam.fake("opensearch", DescribeDomain=self._describe, DescribeDomainHealth=self._health, ListTags=self._tags)

    def make(self, name: str, **more: Any) -> SearchDomain:
        """Somebody makes a domain."""
        arn = f"arn:aws:es:{self._region}:{self._account}:domain/{name}"
        self.all[name] = SearchDomain(arn, **more)
        return self.all[name]

    # -- physics

    def measure(self, minute: int) -> None:
        """A minute of each domain, as OpenSearch Service measures it."""
        for domain in self.all.values():
            if domain.memory > FULL:
                domain.full_minutes += 1
            elif domain.memory <= CALM:
                domain.full_minutes = 0
            if minute % 60 == 0:
                if not domain.red:
                    domain.snapshots.append(self._agenda.now)
                domain.failed = domain.overdue(self._agenda.now)
            self._report(domain, minute)

    def _report(self, domain: SearchDomain, minute: int) -> None:
        for name, value in (
            ("ClusterStatus.green", float(not domain.red and not domain.yellow)),
            ("ClusterStatus.yellow", float(domain.yellow)),
            ("ClusterStatus.red", float(domain.red)),
            ("ClusterIndexWritesBlocked", float(domain.blocked)),
            ("JVMMemoryPressure", domain.memory),
            ("FreeStorageSpace", (domain.volume - domain.used) * GIB),
            ("Nodes", float(domain.nodes + domain.masters - domain.lost)),
            ("AutomatedSnapshotFailure", float(domain.failed)),
        ):
            self._metrics.of("AWS/ES", name, {"DomainName": domain.name, "ClientId": self._account}).put(minute, value)

    def past(self, hours: float) -> None:
        """They have been as they are now for so long: what was measured of it, and their snapshots."""
        now = self._agenda.ms // MINUTE_MS
        for domain in self.all.values():
            for minute in range(now - round(hours * 60), now):
                at = self._agenda.now - timedelta(minutes=now - minute)
                if minute % 60 == 0 and not domain.red:
                    domain.snapshots.append(at)
                domain.failed = domain.overdue(at)
                self._report(domain, minute)

    # -- what AWS answers

    def _domain(self, name: str) -> SearchDomain:
        if name not in self.all:
            raise AwsError("ResourceNotFoundException", f"Domain not found: {name}", 409)
        return self.all[name]

    def _describe(self, call: Call) -> Answer:
        domain = self._domain(call.params["DomainName"])
        return {
            "DomainStatus": {
                "DomainId": f"{self._account}/{domain.name}",
                "DomainName": domain.name,
                "ARN": domain.arn,
                "Created": True,
                "Deleted": False,
                "Endpoint": f"search-{domain.name}.{self._region}.es.amazonaws.com",
                "Processing": domain.changing,
                "UpgradeProcessing": False,
                "EngineVersion": "OpenSearch_2.19",
                "ClusterConfig": {
                    "InstanceType": "r6g.large.search",
                    "InstanceCount": domain.nodes,
                    "DedicatedMasterEnabled": domain.masters > 0,
                    "DedicatedMasterCount": domain.masters,
                },
                "EBSOptions": {"EBSEnabled": True, "VolumeType": "gp3", "VolumeSize": domain.volume},
            }
        }

    def _health(self, call: Call) -> Answer:
        domain = self._domain(call.params["DomainName"])
        health = "Red" if domain.red else "Yellow" if domain.yellow else "Green"
        return {
            "DomainState": "Processing" if domain.changing else "Active",
            "DataNodeCount": str(domain.nodes - domain.lost),
            "DedicatedMaster": domain.masters > 0,
            "MasterNode": "Available",
            "ClusterHealth": health,
            "TotalShards": "30",
            "TotalUnAssignedShards": str(5 * domain.lost),
        }

    def _tags(self, call: Call) -> Answer:
        found = next((each for each in self.all.values() if each.arn == call.params["ARN"]), None)
        if found is None:
            raise AwsError("ResourceNotFoundException", "Domain not found", 409)
        return {"TagList": [{"Key": key, "Value": value} for key, value in found.tags.items()]}
