"""
Gap filled: nothing uses the capacity of moto's tables, no change of it takes time, and nobody counts decreases.

Tables with a load against a capacity: what is more than provisioned is throttled, and both are measured. A hot key uses
a part of the capacity only. An index that throttles writes holds up those of its table. UpdateTable takes a while, in
which the old numbers stand; it refuses what AWS refuses: the same numbers again, a table that is being changed, a
decrease too many, more than a quota allows. Tables that are not in here are moto's, or the thin cloud's.

Autoscaling of tables acts after two minutes above its target, and lowers after fifteen well below it; a call that sets
its limits brings the capacity into them, as soon as the table takes it. Limits alone scale nothing.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.metrics import MINUTE_MS
from sandbox.seam import Answer, AwsError, Call, new_id
from sandbox.world import World

NAMESPACE = "AWS/DynamoDB"
WAYS = ("Read", "Write")
ITEMS = {"Read": "dynamodb-read-unit", "Write": "dynamodb-write-unit"}
OUT_AFTER, IN_AFTER = 2, 15
BELOW = 0.9
_SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


@dataclass(eq=False)
class Capacity:
    """What a table itself, or one of its indexes, can take, and is asked for: capacity units a second, by way."""

    name: str  # of the index; empty for the table itself
    provisioned: dict[str, int]
    load: dict[str, float] = field(default_factory=lambda: dict.fromkeys(WAYS, 0.0))
    hot: dict[str, float] = field(default_factory=dict)  # the share of the capacity that a hot key can use
    tells_key: bool = True  # whether DynamoDB says that a partition's limit was reached
    account_limit: bool = False  # whether what is throttled is so by the account's quota
    status: str = "ACTIVE"
    increased_at: datetime | None = None
    decreases: list[datetime] = field(default_factory=list)

    def decreases_today(self, now: datetime) -> int:
        """As AWS counts them: by the day in UTC."""
        return sum(at.date() == now.date() for at in self.decreases)

    def may_decrease(self, now: datetime) -> bool:
        """Four at any time, and one more in an hour without any, 27 in all."""
        today = self.decreases_today(now)
        spared = not self.decreases or now - self.decreases[-1] >= timedelta(hours=1)
        return today < 4 or (spared and today < 27)


@dataclass(eq=False)
class Table:
    """A table of DynamoDB, with its indexes."""

    name: str
    arn: str
    parts: dict[str, Capacity]
    tags: dict[str, str]
    on_demand: bool = False
    replicas: int = 0
    table_class: str = "STANDARD"

    @property
    def own(self) -> Capacity:
        """The table without its indexes."""
        return self.parts[""]

    @property
    def status(self) -> str:
        """A table is being changed while one of its indexes is."""
        return "ACTIVE" if all(each.status == "ACTIVE" for each in self.parts.values()) else "UPDATING"


@dataclass(eq=False)
class Scalable:
    """A capacity that autoscaling may set."""

    arn: str
    resource: str
    dimension: str
    table: Table
    part: Capacity
    way: str
    least: int
    most: int
    suspended: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(_SUSPENDED, False))
    policies: dict[str, float] = field(default_factory=dict)  # by name: per cent of the capacity that is to be used
    asleep: bool = False  # its alarms do not fire
    clamps: bool = False  # limits were set, and the capacity has not been brought into them yet


class Tables:
    """The tables of an account that have a load."""

    def __init__(self, world: World) -> None:
        self.all: dict[str, Table] = {}
        self.scaled: dict[tuple[str, str], Scalable] = {}  # by resource and dimension
        self.bill = world.bill
        self.takes = timedelta(seconds=90)
        self.has_role = True  # whether AWS's own role is there by which it scales tables
        self.limits = {"Account": 80_000, "Table": 40_000}
        self._world = world
        world.meters.all.append(self._measure)
        world.every(timedelta(minutes=1), self._act, order=Order.ALARMS)
        self._fake("dynamodb", self._ours, self._operations)
        self._fake("application-autoscaling", _of_tables, self._scaling_operations)
        world.seam.fake("dynamodb", DescribeLimits=self._limits)

    def _fake(
        self, service: str, ours: Callable[[Call], bool], operations: dict[str, Callable[[Call], Answer]]
    ) -> None:
        """Answer for what is in here; for the rest whoever did before."""
        fakes = self._world.seam.fakes
        for name, answer in operations.items():
            self._world.seam.fake(service, **{name: _either(answer, ours, fakes.get((service, name)))})

    def add(
        self, name: str, *, read: int, write: int, indexes: dict[str, tuple[int, int]], tags: dict[str, str]
    ) -> Table:
        """Somebody has made a table, a while ago."""
        parts = {
            part: Capacity(part, {"Read": units[0], "Write": units[1]})
            for part, units in {"": (read, write), **indexes}.items()
        }
        table = self.all[name] = Table(name, self._world.arn("dynamodb", f"table/{name}"), parts, dict(tags))
        for part in parts.values():
            self._billed(table, part)
        return table

    # -- what happens

    def _measure(self, minute: int) -> None:
        for table in self.all.values():
            held = min((_served(each, "Write", table) for each in table.parts.values() if each.name), default=1.0)
            for part in table.parts.values():
                for way in WAYS:
                    share = _served(part, way, table)
                    if way == "Write" and not part.name:
                        share = min(share, held)
                    self._put(table, part, way, share, minute)

    def _put(self, table: Table, part: Capacity, way: str, share: float, minute: int) -> None:
        index = (("GlobalSecondaryIndexName", part.name),) if part.name else ()
        dims = (*index, ("TableName", table.name))
        load = part.load[way]
        throttled = round(load * (1 - share) * 60)
        reason = "AccountLimit" if part.account_limit else "ProvisionedThroughput"
        if part.hot.get(way) is not None and part.tells_key:
            reason = "KeyRangeThroughput"
        found = {f"Consumed{way}CapacityUnits": round(load * share * 60, 3), f"{way}ThrottleEvents": throttled}
        found[f"{way}{reason}ThrottleEvents"] = throttled
        for name, value in found.items():
            if value:
                self._world.metrics.of(NAMESPACE, name, dims).put(minute, float(value))

    def set(self, table: Table, part: Capacity, units: dict[str, int]) -> None:
        """Change a capacity, as UpdateTable does; it is there after a while. Raises AwsError."""
        now = self._world.now
        if table.on_demand:
            raise AwsError("ValidationException", "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified")
        if table.status != "ACTIVE":
            raise AwsError(
                "ResourceInUseException", f"Attempt to change a resource which is still in use: {table.name}"
            )
        if units == part.provisioned:
            raise AwsError(
                "ValidationException",
                "The provisioned throughput will not change. The requested value equals the current",
            )
        lower = any(units[way] < part.provisioned[way] for way in WAYS)
        if lower and not part.may_decrease(now):
            raise AwsError(
                "LimitExceededException", "Subscriber limit exceeded: Provisioned throughput decreases are limited"
            )
        for way in WAYS:
            others = sum(each.provisioned[way] for each in table.parts.values() if each is not part)
            if units[way] + others > min(self.limits.values()):
                raise AwsError(
                    "LimitExceededException", "Subscriber limit exceeded: capacity units per table or account"
                )
        if lower:
            part.decreases.append(now)
        if any(units[way] > part.provisioned[way] for way in WAYS):
            part.increased_at = now
        part.status = "UPDATING"
        self._billed(table, part, units)
        self._world.at(self.takes, lambda: self._updated(part, units), Order.PHYSICS)

    @staticmethod
    def _updated(part: Capacity, units: dict[str, int]) -> None:
        part.provisioned, part.status = dict(units), "ACTIVE"

    def _billed(self, table: Table, part: Capacity, units: dict[str, int] | None = None) -> None:
        """What is asked for is paid from then on."""
        for way in WAYS:
            self.bill.has(f"{table.name}/{part.name}", ITEMS[way], (units or part.provisioned)[way])

    # -- what autoscaling does

    def _act(self) -> None:
        for each in self.scaled.values():
            now = each.part.provisioned[each.way]
            within = min(max(now, each.least), each.most)
            if each.clamps and within != now:
                self._scale(each, within)
            each.clamps = each.clamps and each.part.provisioned[each.way] != within
            for target in each.policies.values() if not each.asleep else ():
                self._track(each, target)

    def _track(self, each: Scalable, target: float) -> None:
        now = each.part.provisioned[each.way]
        used = [100 * value / 60 / now for value in self._used(each, IN_AFTER)]
        high = used[-OUT_AFTER:]
        out = len(high) == OUT_AFTER and min(high) > target and not each.suspended["DynamicScalingOutSuspended"]
        low = len(used) == IN_AFTER and max(used) < target * BELOW
        if out or (low and not each.suspended["DynamicScalingInSuspended"]):
            wanted = math.ceil(now * used[-1] / target)
            self._scale(each, min(max(wanted, each.least), each.most))

    def _used(self, each: Scalable, span: int) -> list[float]:
        index = (("GlobalSecondaryIndexName", each.part.name),) if each.part.name else ()
        dims = (*index, ("TableName", each.table.name))
        series = self._world.metrics.find(NAMESPACE, f"Consumed{each.way}CapacityUnits", dims)
        end = self._world.agenda.ms // MINUTE_MS
        return [value for _, value in (series.plain(end - span, end) if series is not None else None) or ()]

    def _scale(self, each: Scalable, units: int) -> None:
        """Autoscaling tries, and tries again a minute later where the table does not take it."""
        if units == each.part.provisioned[each.way] or each.table.status != "ACTIVE":
            return
        if units < each.part.provisioned[each.way] and not each.part.may_decrease(self._world.now):
            return
        self.set(each.table, each.part, {**each.part.provisioned, each.way: units})

    # -- what is answered: tables

    @property
    def _operations(self) -> dict[str, Callable[[Call], Answer]]:
        return {
            "DescribeTable": lambda call: {"Table": self._shown(self._named(call))},
            "UpdateTable": self._update,
            "ListTagsOfResource": lambda call: {"Tags": _pairs(self._named(call).tags)},
            "TagResource": self._tag,
            "UntagResource": self._untag,
        }

    def _ours(self, call: Call) -> bool:
        return self._name(call) in self.all

    @staticmethod
    def _name(call: Call) -> str:
        return str(call.params.get("TableName") or call.params.get("ResourceArn", "").rpartition("/")[2])

    def _named(self, call: Call) -> Table:
        return self.all[self._name(call)]

    def _shown(self, table: Table) -> Answer:
        told = {
            "TableName": table.name,
            "TableArn": table.arn,
            "TableStatus": table.status,
            "ProvisionedThroughput": self._throughput(table, table.own),
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": part.name,
                    "IndexArn": f"{table.arn}/index/{part.name}",
                    "IndexStatus": part.status,
                    "ProvisionedThroughput": self._throughput(table, part),
                }
                for part in table.parts.values()
                if part.name
            ],
        }
        if table.on_demand:
            told["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST"}
        if table.replicas:
            told["Replicas"] = [{"RegionName": f"region-{number}"} for number in range(table.replicas)]
        if table.table_class != "STANDARD":
            told["TableClassSummary"] = {"TableClass": table.table_class}
        return told

    def _throughput(self, table: Table, part: Capacity) -> Answer:
        units = dict.fromkeys(WAYS, 0) if table.on_demand else part.provisioned
        told: Answer = {f"{way}CapacityUnits": units[way] for way in WAYS}
        told["NumberOfDecreasesToday"] = part.decreases_today(self._world.now)
        if part.increased_at is not None:
            told["LastIncreaseDateTime"] = part.increased_at
        if part.decreases:
            told["LastDecreaseDateTime"] = part.decreases[-1]
        return told

    def _update(self, call: Call) -> Answer:
        table, params = self._named(call), call.params
        asked = {each["Update"]["IndexName"]: each["Update"] for each in params.get("GlobalSecondaryIndexUpdates", ())}
        if "ProvisionedThroughput" in params:
            asked[""] = params
        if len(asked) != 1:  # refused loudly: AWS takes several, and an answer that changed one would be believed
            raise NotImplementedError("the sandbox changes the capacity of one table or index at a time")
        [(name, update)] = asked.items()
        units = {way: update["ProvisionedThroughput"][f"{way}CapacityUnits"] for way in WAYS}
        if name not in table.parts:
            raise AwsError("ValidationException", f"The table does not have the specified index: {name}")
        self.set(table, table.parts[name], units)
        return {"TableDescription": self._shown(table)}

    def _tag(self, call: Call) -> Answer:
        self._named(call).tags.update({each["Key"]: each["Value"] for each in call.params["Tags"]})
        return {}

    def _untag(self, call: Call) -> Answer:
        for key in call.params["TagKeys"]:
            self._named(call).tags.pop(key, None)
        return {}

    def _limits(self, call: Call) -> Answer:
        del call
        return {f"{whose}Max{way}CapacityUnits": most for whose, most in self.limits.items() for way in WAYS}

    # -- what is answered: autoscaling

    @property
    def _scaling_operations(self) -> dict[str, Callable[[Call], Answer]]:
        return {
            "DescribeScalableTargets": self._describe_scalable,
            "DescribeScalingPolicies": self._describe_policies,
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "PutScalingPolicy": self._put_policy,
        }

    def _asked(self, call: Call) -> Iterator[Scalable]:
        params = call.params
        resources = params.get("ResourceIds") or ([params["ResourceId"]] if "ResourceId" in params else None)
        for each in self.scaled.values():
            dimension = params.get("ScalableDimension", each.dimension)
            if dimension == each.dimension and (resources is None or each.resource in resources):
                yield each

    def _describe_scalable(self, call: Call) -> Answer:
        return {
            "ScalableTargets": [
                {
                    "ServiceNamespace": "dynamodb",
                    "ResourceId": each.resource,
                    "ScalableDimension": each.dimension,
                    "MinCapacity": each.least,
                    "MaxCapacity": each.most,
                    "SuspendedState": dict(each.suspended),
                    "ScalableTargetARN": each.arn,
                }
                for each in self._asked(call)
            ]
        }

    def _describe_policies(self, call: Call) -> Answer:
        return {
            "ScalingPolicies": [
                {
                    "PolicyName": name,
                    "PolicyARN": f"{each.arn}:policyName/{name}",
                    "ServiceNamespace": "dynamodb",
                    "ResourceId": each.resource,
                    "ScalableDimension": each.dimension,
                    "PolicyType": "TargetTrackingScaling",
                    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": target},
                }
                for each in self._asked(call)
                for name, target in each.policies.items()
            ]
        }

    def _register(self, call: Call) -> Answer:
        params = call.params
        key = params["ResourceId"], params["ScalableDimension"]
        each = self.scaled.get(key)
        least, most = (params.get(f"{end}Capacity", old) for end, old in _ends(each))
        if least is None or most is None or least > most:
            raise AwsError("ValidationException", "MinCapacity and MaxCapacity are required, in this order")
        if each is None and not self.has_role:
            raise AwsError("AccessDeniedException", "not authorized to perform: iam:CreateServiceLinkedRole", 403)
        if each is None:
            each = self.scaled[key] = self._scalable(*key)
            call.notes["nameless"] = True  # who asks cannot know its name yet
        each.least, each.most = least, most
        each.suspended |= params.get("SuspendedState", {})
        each.clamps = True
        self._scale(each, min(max(each.part.provisioned[each.way], least), most))
        return {"ScalableTargetARN": each.arn}

    def _scalable(self, resource: str, dimension: str) -> Scalable:
        _, name, *index = resource.split("/")
        if name not in self.all or (index[1:] or [""])[0] not in self.all[name].parts:
            raise AwsError("ValidationException", f"DynamoDB table or index does not exist: {resource}")
        table = self.all[name]
        part = table.parts[(index[1:] or [""])[0]]
        arn = self._world.arn("application-autoscaling", f"scalable-target/0dd5{new_id().replace('-', '')}")
        way = dimension.rpartition(":")[2].removesuffix("CapacityUnits")
        return Scalable(arn, resource, dimension, table, part, way, 0, 0)

    def _known(self, call: Call) -> Scalable:
        found = self.scaled.get((call.params["ResourceId"], call.params["ScalableDimension"]))
        if found is None:
            raise AwsError("ObjectNotFoundException", "No scalable target registered for it.")
        return found

    def _deregister(self, call: Call) -> Answer:
        each = self._known(call)
        del self.scaled[each.resource, each.dimension]
        return {}

    def _put_policy(self, call: Call) -> Answer:
        each, tracking = self._known(call), call.params["TargetTrackingScalingPolicyConfiguration"]
        metric = tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
        if metric != f"DynamoDB{each.way}CapacityUtilization":
            raise NotImplementedError("of policies of tables the sandbox knows target tracking on their own use")
        name = call.params["PolicyName"]
        each.policies[name] = tracking["TargetValue"]
        return {"PolicyARN": f"{each.arn}:policyName/{name}", "Alarms": []}


def _served(part: Capacity, way: str, table: Table) -> float:
    """The share of what is asked for that a table or index can take."""
    load = part.load[way]
    if not load:
        return 1.0
    able = math.inf if table.on_demand and way not in part.hot else part.provisioned[way] * part.hot.get(way, 1.0)
    return min(able / load, 1.0)


def _ends(each: Scalable | None) -> tuple[tuple[str, int | None], ...]:
    return (("Min", None), ("Max", None)) if each is None else (("Min", each.least), ("Max", each.most))


def _of_tables(call: Call) -> bool:
    return bool(call.params.get("ServiceNamespace") == "dynamodb")


def _either(answer: Any, ours: Callable[[Call], bool], before: Any) -> Any:
    return lambda call: answer(call) if ours(call) else before(call) if before else None


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
