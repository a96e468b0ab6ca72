"""
Runbook 1, OpenData Pulse: the table from which its API answers, and to which its ETL writes.

Resources  table opendata-pulse-hot-aggregates with 50 reads and 25 writes a second, and its index GeographicIndex
Causes     more load than its capacity; a hot key; the account's quota; somebody lowers, scales or autoscales it
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sandbox.fakes.tables import NAMESPACE, Capacity, Scalable, Tables
from sandbox.metrics import MINUTE_MS
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

INDEX = "GeographicIndex"
READS, WRITES = 50, 25
OF_INDEX = (25, 25)


class HotAggregates:
    """The table of one environment."""

    def __init__(self, world: World, env: str = "", *, tables: Tables | None = None) -> None:
        self.world = world
        self.name = f"opendata-pulse{env}-hot-aggregates"
        self.stack = f"OpenDataPulse{env}ApiStack"
        self.tables = tables or Tables(world)
        tags = {**OPT_IN, "aws:cloudformation:stack-name": self.stack}
        self.table = self.tables.add(self.name, read=READS, write=WRITES, indexes={INDEX: OF_INDEX}, tags=tags)
        self.arn = self.table.arn
        self.index_arn = f"{self.arn}/index/{INDEX}"
        world.stacks.add(self.stack)
        self.ask(read=10, write=5)

    @property
    def index(self) -> Capacity:
        """Its index."""
        return self.table.parts[INDEX]

    @property
    def capacity(self) -> tuple[int, int]:
        """Reads and writes a second that the table has."""
        units = self.table.own.provisioned
        return units["Read"], units["Write"]

    def most(self, way: str, index: str = "") -> int:
        """What the table, or its index, has."""
        return self.table.parts[index].provisioned[way]

    @property
    def throttles(self) -> bool:
        """Whether the table, or its index, cannot take what it is asked for."""
        return any(self.short(part) for part in self.table.parts.values())

    @property
    def scaled(self) -> bool:
        """Whether autoscaling sets all of the table's own capacity, by a policy."""
        theirs = [each for each in self.tables.scaled.values() if each.part is self.table.own]
        return len(theirs) > 1 and all(each.policies for each in theirs)

    @staticmethod
    def short(part: Capacity) -> bool:
        """Whether a table or an index cannot take what it is asked for."""
        return any(load > part.provisioned[way] * part.hot.get(way, 1.0) for way, load in part.load.items())

    # -- causes

    def ask(self, *, read: float | None = None, write: float | None = None, index: str = "") -> None:
        """So much it is asked for from now on: capacity units a second."""
        load = self.table.parts[index].load
        load |= {way: units for way, units in (("Read", read), ("Write", write)) if units is not None}

    def hot_key(self, way: str = "Write", *, share: float = 0.4, tells: bool = True) -> None:
        """All ask for one key, which gets a part of the capacity only; DynamoDB may say so."""
        self.table.own.hot[way], self.table.own.tells_key = share, tells

    def set_by_hand(self, read: int, write: int) -> None:
        """Somebody sets the table's capacity."""
        throughput = {"ReadCapacityUnits": read, "WriteCapacityUnits": write}
        self.world.client("dynamodb").update_table(TableName=self.name, ProvisionedThroughput=throughput)

    def has_lacked(self, *hours_ago: float, way: str = "Write", why: str = "", index: str = "") -> None:
        """So long ago it turned requests away for ten minutes."""
        now = self.world.agenda.ms // MINUTE_MS
        dims = {"TableName": self.name, **({"GlobalSecondaryIndexName": index} if index else {})}
        for ago in hours_ago:
            for name in (f"{way}ThrottleEvents", f"{way}{why}ThrottleEvents"):
                series = self.world.metrics.of(NAMESPACE, name, dims)
                for minute in range(10):
                    series.put(now - round(60 * ago) + minute, 60.0)

    def lowered(self, times: int, *, since: datetime) -> None:
        """Somebody has lowered its capacity so often today."""
        self.table.own.decreases += [since + timedelta(minutes=number) for number in range(times)]

    def autoscale(self, way: str, least: int, most: int, *, index: str = "", policy: bool = True) -> Scalable:
        """Somebody has it scaled by its use."""
        kind = f"index/{index}" if index else ""
        name = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": f"table/{self.name}{'/' if kind else ''}{kind}",
            "ScalableDimension": f"dynamodb:{'index' if index else 'table'}:{way}CapacityUnits",
        }
        client = self.world.client("application-autoscaling")
        client.register_scalable_target(**name, MinCapacity=least, MaxCapacity=most)
        if policy:
            client.put_scaling_policy(
                **name,
                PolicyName=f"{way}-use",
                PolicyType="TargetTrackingScaling",
                TargetTrackingScalingPolicyConfiguration={
                    "TargetValue": 70.0,
                    "PredefinedMetricSpecification": {"PredefinedMetricType": f"DynamoDB{way}CapacityUtilization"},
                },
            )
        return self.tables.scaled[name["ResourceId"], name["ScalableDimension"]]

    def tag(self, key: str, value: str) -> None:
        """Somebody tags the table."""
        self.world.client("dynamodb").tag_resource(ResourceArn=self.arn, Tags=[{"Key": key, "Value": value}])

    def untag(self, key: str) -> None:
        """Somebody takes a tag off the table."""
        self.world.client("dynamodb").untag_resource(ResourceArn=self.arn, TagKeys=[key])

    def dollars(self, price: Any) -> float:
        """What it has cost beyond what it had at first."""
        return self.tables.bill.dollars(price)


def table_target(system: HotAggregates, *, mode: str = "auto", more: str = "", index: bool = True) -> str:
    """The table, and its index, as targets of a configuration."""
    arns = (system.arn, system.index_arn) if index else (system.arn,)
    return "\n".join(f'[[systems.targets]]\narn = "{arn}"\nmode = "{mode}"\n{more}' for arn in arns)


def table_configuration(
    system: HotAggregates,
    *,
    mode: str = "auto",
    settings: Iterable[str] = (),
    more: str = "",
    index: bool = True,
    table: str = "dynamodb-throttled",
) -> str:
    """A deployment's TOML: the table, its index, and one remediation with these settings."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.{table}]
mode = "auto"
{chr(10).join(settings)}

[[systems]]
name = "opendata-pulse"
{table_target(system, mode=mode, more=more, index=index)}
"""
