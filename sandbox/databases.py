"""
Aurora clusters: capacity that follows load up to a maximum, connections, what waits for a reboot, and a bill.

Gap filled: moto's clusters carry no load, report no metrics and apply every change, so all that is asked of RDS is
answered here, on both clouds. Load is given in ACUs: an instance gets as many as it needs, between the least and the
most that its cluster's range allows, and its CPU is measured against the most. What is used is paid for, minute by
minute. A change of the range holds at once; the parameters that Aurora derives from it wait for a reboot, and what
somebody has left for the maintenance window waits until a change is to be applied immediately.

What is simpler than in AWS: capacity follows within a minute, connections cost nothing, and a cluster is either
available, stopped or being modified.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.bills import Bill
from sandbox.clock import Agenda
from sandbox.metrics import MINUTE_MS, Metrics, Sample
from sandbox.seam import Answer, AwsError, Call, Seam

__all__ = ["AuroraCluster", "Databases", "Instance"]

ACU = "aurora-acu"
LARGEST = 256.0
LAG = timedelta(minutes=5)
"""how long ago the newest time is to which a cluster can be restored"""
IDLE_CPU = 4.0
SNAPSHOT_TAKES = timedelta(minutes=4)


@dataclass(eq=False)
class Instance:
    """One instance: what its load and its memory need (in ACUs), and what it uses."""

    name: str
    writer: bool = False
    serverless: bool = True
    load: float = 0.0
    memory: float = 0.0
    connections: int = 10
    capacity: float = 0.0
    awaits_reboot: bool = False


@dataclass(eq=False)
class AuroraCluster:
    """
    One cluster. ``least`` and ``most`` are its range.

    ``pending`` is what somebody has left for the maintenance window, ``flushed`` what was applied before that.
    """

    arn: str
    instances: list[Instance]
    least: float
    most: float
    engine: str = "aurora-postgresql"
    status: str = "available"
    tags: dict[str, str] = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    flushed: list[str] = field(default_factory=list)
    pause_seconds: int | None = None
    leak_per_minute: float = 0.0
    retention: int = 35
    backed_up_until: datetime | None = None  # where its backups have stopped
    snapshots: dict[str, datetime] = field(default_factory=dict)
    spoiled: set[str] = field(default_factory=set)  # snapshots that come to nothing
    history: list[tuple[datetime, float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its own name."""
        return self.arn.rsplit(":", 1)[1]

    @property
    def serverless(self) -> bool:
        """Whether it has serverless instances, and so a range."""
        return any(each.serverless for each in self.instances)

    def scale(self, least: float, most: float, at: datetime) -> None:
        """Another range, which holds at once."""
        self.least, self.most = least, most
        self.history.append((at, most))
        for each in self.instances:
            each.awaits_reboot = each.serverless


class Databases:
    """The clusters of the account, and what RDS answers about them."""

    def __init__(self, agenda: Agenda, metrics: Metrics, seam: Seam, place: tuple[str, str], bill: Bill) -> None:
        self.all: dict[str, AuroraCluster] = {}
        self._bill = bill
        self._agenda = agenda
        self._metrics = metrics
        self._account, self._region = place
        seam.fake(
            "rds",
            CreateDBClusterSnapshot=self._snapshot,
            DescribeDBClusters=self._describe,
            DescribeDBClusterSnapshots=self._snapshots,
            DescribeDBInstances=self._instances,
            ListTagsForResource=self._tags,
            ModifyDBCluster=self._modify,
        )

    def make(self, name: str, *instances: Instance, **more: Any) -> AuroraCluster:
        """Somebody makes a cluster."""
        arn = f"arn:aws:rds:{self._region}:{self._account}:cluster:{name}"
        self.all[name] = AuroraCluster(arn, list(instances), **more)
        return self.all[name]

    # -- physics

    def measure(self, minute: int) -> None:
        """A minute of each cluster: what it uses of its range, which is paid for, and what RDS measures of it."""
        for cluster in self.all.values():
            if cluster.status == "stopped":
                for each in cluster.instances:
                    self._bill.has(f"{cluster.name}/{each.name}", ACU, 0)
                continue
            for each in cluster.instances:
                each.connections += round(cluster.leak_per_minute)
                each.capacity = min(max(each.load, each.memory, cluster.least), cluster.most)
                if each.serverless:
                    self._bill.has(f"{cluster.name}/{each.name}", ACU, each.capacity)
            self._report(cluster, minute)

    def _report(self, cluster: AuroraCluster, minute: int) -> None:
        together: dict[str, list[float]] = {}
        for each in cluster.instances:
            cpu = IDLE_CPU + (100 - IDLE_CPU) * min(each.load / cluster.most, 1.0)
            values = {"CPUUtilization": round(cpu, 2), "DatabaseConnections": float(each.connections)}
            if each.serverless:
                values["ServerlessDatabaseCapacity"] = each.capacity
                values["ACUUtilization"] = round(100 * each.capacity / cluster.most, 2)
            for name, value in values.items():
                self._metrics.of("AWS/RDS", name, {"DBInstanceIdentifier": each.name}).put(minute, value)
                together.setdefault(name, []).append(value)
        for name, found in together.items():
            self._metrics.of("AWS/RDS", name, {"DBClusterIdentifier": cluster.name}).put(minute, Sample.of(found))

    def past(self, hours: float) -> None:
        """They have run as they do now for so long: what RDS has measured of it."""
        now = self._agenda.ms // MINUTE_MS
        for cluster in self.all.values():
            for each in cluster.instances:
                each.capacity = min(max(each.load, each.memory, cluster.least), cluster.most)
            for minute in range(now - round(hours * 60), now):
                self._report(cluster, minute)

    # -- what AWS answers

    def _cluster(self, name: str) -> AuroraCluster:
        if name not in self.all:
            raise AwsError("DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)
        return self.all[name]

    def _describe(self, call: Call) -> Answer:
        return {"DBClusters": [self._shown(self._cluster(call.params["DBClusterIdentifier"]))]}

    def _shown(self, cluster: AuroraCluster) -> Answer:
        found: Answer = {
            "DBClusterIdentifier": cluster.name,
            "DBClusterArn": cluster.arn,
            "Engine": cluster.engine,
            "Status": cluster.status,
            "MasterUsername": "owner",
            "BackupRetentionPeriod": cluster.retention,
            "EarliestRestorableTime": self._agenda.now - timedelta(days=cluster.retention),
            "LatestRestorableTime": cluster.backed_up_until or self._agenda.now - LAG,
            "DBClusterMembers": [
                {
                    "DBInstanceIdentifier": each.name,
                    "IsClusterWriter": each.writer,
                    "DBClusterParameterGroupStatus": "pending-reboot" if each.awaits_reboot else "in-sync",
                    "PromotionTier": 1,
                }
                for each in cluster.instances
            ],
        }
        if cluster.pending:
            found["PendingModifiedValues"] = dict(cluster.pending)
        if cluster.serverless:
            pause = {} if cluster.pause_seconds is None else {"SecondsUntilAutoPause": cluster.pause_seconds}
            found["ServerlessV2ScalingConfiguration"] = {
                "MinCapacity": cluster.least,
                "MaxCapacity": cluster.most,
                **pause,
            }
        return found

    def _snapshot(self, call: Call) -> Answer:
        cluster, name = self._cluster(call.params["DBClusterIdentifier"]), call.params["DBClusterSnapshotIdentifier"]
        if any(name in each.snapshots for each in self.all.values()):
            raise AwsError("DBClusterSnapshotAlreadyExistsFault", f"{name} already exists")
        if cluster.status != "available":
            raise AwsError("InvalidDBClusterStateFault", f"DB cluster {cluster.name} is {cluster.status}")
        cluster.snapshots[name] = self._agenda.now
        arn = f"{cluster.arn.rpartition(':cluster:')[0]}:cluster-snapshot:{name}"
        return {"DBClusterSnapshot": {**self._snapshot_shown(cluster, name), "DBClusterSnapshotArn": arn}}

    def _snapshot_shown(self, cluster: AuroraCluster, name: str) -> Answer:
        at = cluster.snapshots[name]
        made = "failed" if name in cluster.spoiled else "available"
        return {
            "DBClusterSnapshotIdentifier": name,
            "DBClusterIdentifier": cluster.name,
            "SnapshotCreateTime": at,
            "SnapshotType": "manual",
            "Status": made if self._agenda.now - at >= SNAPSHOT_TAKES else "creating",
        }

    def _snapshots(self, call: Call) -> Answer:
        cluster = self._cluster(call.params["DBClusterIdentifier"])
        if call.params["SnapshotType"] != "manual":
            raise AwsError("InvalidParameterValue", "only snapshots that were made by hand are kept here")
        return {"DBClusterSnapshots": [self._snapshot_shown(cluster, name) for name in cluster.snapshots]}

    def _instances(self, call: Call) -> Answer:
        [asked] = call.params["Filters"]
        if asked["Name"] != "db-cluster-id":
            raise AwsError("InvalidParameterValue", f"Unrecognized filter name: {asked['Name']}")
        clusters = [each for each in self.all.values() if {each.name, each.arn} & set(asked["Values"])]
        return {
            "DBInstances": [
                {
                    "DBInstanceIdentifier": each.name,
                    "DBInstanceClass": "db.serverless" if each.serverless else "db.r6g.large",
                    "DBInstanceStatus": cluster.status,
                    "DBClusterIdentifier": cluster.name,
                    "Engine": cluster.engine,
                    "DBParameterGroups": [
                        {
                            "DBParameterGroupName": "default",
                            "ParameterApplyStatus": "pending-reboot" if each.awaits_reboot else "in-sync",
                        }
                    ],
                }
                for cluster in clusters
                for each in cluster.instances
            ]
        }

    def _tags(self, call: Call) -> Answer:
        found = next((each for each in self.all.values() if each.arn == call.params["ResourceName"]), None)
        if found is None:
            raise AwsError("DBClusterNotFoundFault", "DBCluster not found.", 404)
        return {"TagList": [{"Key": key, "Value": value} for key, value in found.tags.items()]}

    def _modify(self, call: Call) -> Answer:
        cluster, params = self._cluster(call.params["DBClusterIdentifier"]), call.params
        if cluster.status != "available":
            raise AwsError("InvalidDBClusterStateFault", f"DB cluster {cluster.name} is {cluster.status}")
        scaling: Mapping[str, Any] = params.get("ServerlessV2ScalingConfiguration") or {}
        least, most = (
            scaling.get("MinCapacity", cluster.least),
            scaling.get("MaxCapacity", cluster.most),
        )
        halves = all(math.isclose(2 * each, round(2 * each)) for each in (least, most))
        if not halves or not 0 <= least <= most <= LARGEST or most < 1:
            raise AwsError("InvalidParameterValue", "Serverless v2 capacity is not valid")
        if scaling and not cluster.serverless:
            raise AwsError("InvalidParameterCombination", "the cluster has no serverless instances")
        if params.get("ApplyImmediately") and cluster.pending:
            cluster.flushed += sorted(cluster.pending)
            cluster.pending.clear()
        if cluster.pause_seconds is not None and "SecondsUntilAutoPause" not in scaling:
            cluster.pause_seconds = 300
        if scaling:
            cluster.scale(float(least), float(most), self._agenda.now)
        return {"DBCluster": self._shown(cluster)}
