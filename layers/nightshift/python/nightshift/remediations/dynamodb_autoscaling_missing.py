"""
A DynamoDB table or index has had too little capacity again and again, and nothing scales it: have it scaled.

Symptom   more than fifty reads, or writes, were throttled in an hour, at least twice in a week and hours apart, and no
          autoscaling sets that capacity
Cause     load that comes and goes, and a capacity that somebody sets by hand
Cure      autoscaling: limits from what it has now up to four times as much, within the ceiling, and a policy that
          follows its use at 70 %. Both of each, reads and writes, or nothing: limits alone scale nothing
Proof     the limits and the policy are there as they were asked for
Undo      by hand, with the command in the report: it is no loan. What fails half-way is taken back at once, unless
          somebody has changed it since
Source    runbook 1 "DynamoDB Throttling", "Enable auto-scaling for future"; R9

A person always says yes: it stays, and what it costs is what is asked for from then on, up to the highest limit. That
is the price that is told, and that must be within the limits of what an action may cost. What throttles just now is
waited for, and so is a loan, whose capacity would else become the least for good.

What more capacity does not help does not count: requests for a hot key, or beyond a quota of the account. A table on
demand has no capacity to be scaled; limits that are there already are somebody's, and stay as they are.

The role by which AWS scales tables is AWS's own, and made when somebody registers the first table of an account. Nobody
of us makes roles: where it is missing AWS refuses, nothing is changed, and people are told.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import autoscaling, states
from nightshift.errors import Missing, Refused
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Throughput,
    Unknown,
)
from nightshift.prices import per_hour
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import split_table_arn, table_metric

__all__ = ["DynamodbAutoscalingMissing"]

_WAYS = ("Write", "Read")  # as AWS's names begin; writes first: what is not written may be lost
_ITEMS = {"Write": "dynamodb-write-unit", "Read": "dynamodb-read-unit"}
_SERVICE = "application-autoscaling"
_POLICY = "nightshift-target-tracking"
_USED = 70.0  # per cent of the capacity that is to be used (R9)
_WEEK = 7 * 24 * 60
_HOUR_S = 3600
_NO_CURE = ("KeyRangeThroughput", "AccountLimit")  # reasons that more capacity does not help
_QUIET = 15  # minutes in which nothing may have been throttled
_SETTLED = timedelta(minutes=10)
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SOON = timedelta(minutes=10)
_ROLE = "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"


class DynamodbAutoscalingMissing(Remediation):
    """A table, or an index of one, whose capacity nobody scales, and which lacked some more than once."""

    name: ClassVar[str] = "dynamodb-autoscaling-missing"
    title: ClassVar[str] = "nothing scales a table that lacks capacity again and again"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table",)
    reads: ClassVar[tuple[str, ...]] = (
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
    )
    writes: ClassVar[tuple[str, ...]] = (
        "application-autoscaling:DeregisterScalableTarget",
        "application-autoscaling:PutScalingPolicy",
        "application-autoscaling:RegisterScalableTarget",
    )
    delegates: ClassVar[tuple[str, ...]] = (
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:PutMetricAlarm",
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
    )
    turn: ClassVar[timedelta] = timedelta(minutes=15)
    retold: ClassVar[timedelta] = timedelta(days=7)

    max_attempts: PositiveInt = Field(default=1, le=3, description="attempts per incident before it escalates")
    deadline: timedelta = Field(default=timedelta(days=2), description="how long an incident may stay open")
    throttles: PositiveInt = Field(
        default=50, le=1_000_000, description="throttled requests an hour above which it lacked capacity then"
    )
    times: PositiveInt = Field(default=2, le=100, description="times in a week that it must have lacked capacity")
    apart: timedelta = Field(
        default=timedelta(hours=3),
        ge=timedelta(hours=1),
        le=timedelta(days=2),
        description="how long nothing was throttled between one time and the next",
    )
    most: float = Field(default=4, gt=1, le=100, description="how many times what it has now it may get at most")
    read_ceiling: PositiveInt = Field(
        default=1000, le=1_000_000, description="read capacity units that autoscaling may never go above"
    )
    write_ceiling: PositiveInt = Field(default=1000, le=1_000_000, description="the same of write capacity units")
    read_dollars_per_hour: float | None = Field(
        default=None, ge=0, le=1, description="what a read capacity unit costs, in US dollars; the list price if unsaid"
    )
    write_dollars_per_hour: float | None = Field(
        default=None, ge=0, le=1, description="the same of a write capacity unit"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        """A week, hour by hour: requests that were throttled, and those of them that capacity would not have helped."""
        reads = (_table_of(target.arn), _scaling_of(target.arn))
        try:
            return (*reads, *(query for way in _WAYS for query in _week(target.arn, way)))
        except ValueError:  # neither a table nor an index: the answer to the first read says so
            return reads

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick where it lacked a capacity that nothing scales, as often as that takes."""
        table, scaling = (seen.resource(query) for query in (_table_of(target.arn), _scaling_of(target.arn)))
        if isinstance(table, Unread) or isinstance(scaling, Unread):
            return Unknown(next(each.reason for each in (table, scaling) if isinstance(each, Unread)))
        if table is None or scaling is None:
            return Unknown(f"{target.arn} does not exist")
        if _on_demand(table):
            return Healthy("it is on demand, and grows by itself")
        bare = [way for way in _WAYS if _dimension(target.arn, way) not in scaling]
        if not bare:
            return Healthy("autoscaling sets its capacity")
        lacked = {}
        for way in bare:
            try:
                found = self._lacked(target.arn, way, seen)
            except ValueError as error:  # neither a table nor an index
                return Unknown(str(error))
            if isinstance(found, Unknown):
                return found
            lacked[way] = found
        short = tuple(
            Signal(f"{way}ThrottleEvents", len(found), self.times, "7 days")
            for way, found in lacked.items()
            if len(found) >= self.times
        )
        if not short:
            return Healthy(f"it lacked capacity {max(map(len, lacked.values()))} times in 7 days")
        return Sick(self._finding(target.arn, short))

    def _lacked(self, arn: Arn, way: str, seen: Readings) -> list[datetime] | Unknown:
        """When it lacked capacity: the first hour of each time."""
        throttled, *others = (seen.metric(query) for query in _week(arn, way))
        if isinstance(throttled, Unread):
            return Unknown(throttled.reason)
        no_cure: dict[datetime, float] = {}
        for each in others:
            if isinstance(each, Unread):
                return Unknown(each.reason)
            for at, value in each.points:
                no_cure[at] = no_cure.get(at, 0.0) + value
        hours = [at for at, value in throttled.points if value - no_cure.get(at, 0.0) > self.throttles]
        before = [None, *hours[:-1]]
        return [at for last, at in zip(before, hours, strict=bool(hours)) if last is None or at - last > self.apart]

    def _finding(self, arn: Arn, signals: tuple[Signal, ...]) -> Finding:
        ways = " and ".join(_many(each.name.removesuffix("ThrottleEvents")) for each in signals)
        return Finding(
            remediation=self.name,
            target=str(arn),
            symptom=f"{_name(arn)} had too little capacity for its {ways} at least {self.times} times in 7 days, "
            "and nothing scales it",
            signals=signals,
            severity=Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn = target.arn
        table = states.table(read, arn)
        _check_state(arn, table, read.now())
        for way in _WAYS:
            if states.series(read, table_metric(arn, f"{way}ThrottleEvents", "Sum", _QUIET)).total:
                reason = f"{_many(way)} are throttled just now: first the failure, then what keeps it from coming back"
                raise Refused("throttled", reason, retry_after=_SOON)
        if any(each.name == "WriteThrottleEvents" for each in finding.signals):
            self._check_indexes(read, arn, table)
        scaled = _limits(read, arn)
        now = _provisioned(table)
        ways: list[Json] = []
        for way in _WAYS:
            if _dimension(arn, way) in scaled:
                continue
            to = min(int(now[way] * self.most), self._ceiling(target, way))
            if to <= now[way]:
                numbers: dict[str, str | int | float] = {"now": now[way], "ceiling": to}
                reason = f"it has {now[way]} {_many(way)} a second already; the ceiling is {to}"
                raise Refused("ceiling", reason, numbers=numbers)
            ways.append({"way": way, "least": now[way], "most": to})
        if not ways:
            raise Refused("autoscaling", "somebody has it scaled meanwhile", retry_after=_SOON)
        return Diagnosis(
            target=str(arn),
            cause=f"the capacity of {_name(arn)} is what somebody has set, and its load is not always the same",
            evidence=(
                finding.symptom,
                *(f"{_said(each)} {each.threshold:.0f} times are enough" for each in finding.signals),
            ),
            rejected=(
                Alternative("a key that is asked for too often", "such requests were not counted"),
                Alternative("another loan", "it comes too late each time, and goes back"),
            ),
            facts={"arn": str(arn), "standard": _standard(table), "ways": ways},
        )

    def _check_indexes(self, read: Reader, arn: Arn, table: Mapping[str, Any]) -> None:
        """An index that throttles writes holds up those of its table, which need not lack any capacity itself."""
        for each in table["GlobalSecondaryIndexes"] if "Index" not in table else ():
            index = Arn.parse(f"{arn}/index/{each['IndexName']}")
            found = states.series(read, next(_week(index, "Write")))
            if any(value > self.throttles for _, value in found.points):
                reason = f"its index {index.name} throttled writes, and so held up those of the table: look at {index}"
                raise Refused("index", reason, link=str(index))

    def _ceiling(self, target: Target, way: str) -> int:
        """What the target says, or else the setting."""
        own, write = target.throughput or Throughput(), way == "Write"
        return (own.write or self.write_ceiling) if write else (own.read or self.read_ceiling)

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """All calls are one step: what became of one of them is known before it is said that any has helped."""
        facts = diagnosis.facts
        arn, ways = Arn.parse(facts["arn"]), [dict(each) for each in facts["ways"]]
        if not ways or any(not 0 < int(each["least"]) < int(each["most"]) for each in ways):
            msg = f"{ways} leaves autoscaling nothing to do"
            raise ValueError(msg)
        calls = tuple(call for each in ways for call in (_register(arn, each), _follow(arn, str(each["way"]))))
        back = tuple(_take_back(arn, str(each["way"])) for each in reversed(ways))
        limits = " and ".join(f"{each['least']} to {each['most']} {_many(str(each['way']))}" for each in ways)
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"have {_name(arn)} scaled by its use: {limits} a second, for good",
            steps=(Step("autoscaling", calls, settle=timedelta(minutes=1), undo=back, why="limits, and a policy"),),
            risk=(
                f"high: it stays, and costs what is asked for up to the limits; AWS needs {_ROLE}, which only people "
                "make (without it nothing is changed); whatever makes the table (a stack, Terraform) may set its "
                "capacity back, or remove this, unless it says the same"
            ),
            undo_by_hand="; ".join(_by_hand(arn, str(each["way"])) for each in ways),
            cost_per_hour=self._dollars(arn, ways, standard=bool(facts["standard"])),
            final=True,
            asks=True,
        )

    def _dollars(self, arn: Arn, ways: list[dict[str, Any]], *, standard: bool) -> float | None:
        """What it costs an hour at most; None where nobody knows: the list has prices of the standard class alone."""
        dollars = []
        for each in ways:
            way = str(each["way"])
            own = self.write_dollars_per_hour if way == "Write" else self.read_dollars_per_hour
            price = per_hour(arn.region, _ITEMS[way]) if own is None and standard else own
            if price is None:
                return None
            dollars.append(price * (int(each["most"]) - int(each["least"])))
        return round(sum(dollars), 6)

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """As written; what is taken back may have been gone before."""
        del plan
        for call in step.calls:
            try:
                act(call)
            except Missing:
                if call.operation != "DeregisterScalableTarget":
                    raise

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        del answer  # none of them says what is there now
        return _written(call)

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where what stood before still does."""
        found = _found(read, call)
        if found == _written(call):
            return Outcome.DONE
        if found == call.before and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """All of it, or none: what is not as it was written is taken back, where it is ours."""
        for call in step.calls:
            if (found := _found(read, call)) != _written(call):
                return Progress.STOP, f"{call.operation} of {call.params['ScalableDimension']}: {found}", None
        return Progress.NEXT, "limits and policies are there", None

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """
        Whether nobody but us has had anything scaled here: what is taken back takes its policies with it.

        Limits that are gone are nobody's; others than ours, or a policy of another's, make it theirs.
        """
        arn = Arn.parse(plan.target)
        limits, policies = _limits(read, arn), _policies(read, arn)
        for call in plan.steps[0].calls:
            dimension = str(call.params["ScalableDimension"])
            if call.operation == "RegisterScalableTarget" and limits.get(dimension, _written(call)) != _written(call):
                return False
            if set(policies.get(dimension, {})) - {_POLICY}:
                return False
        return True


# -- what is read ------------------------------------------------------------------------------------------------------


def _table_of(arn: Arn) -> ResourceRead:
    return ResourceRead("dynamodb.table", str(arn))


def _scaling_of(arn: Arn) -> ResourceRead:
    return ResourceRead("dynamodb.scaling", str(arn))


def _week(arn: Arn, way: str) -> Iterator[MetricQuery]:
    """All that was throttled, then what of that more capacity would not have helped."""
    for reason in ("", *_NO_CURE):
        yield table_metric(arn, f"{way}{reason}ThrottleEvents", "Sum", _WEEK, period=_HOUR_S)


def _limits(read: Reader, arn: Arn) -> dict[str, dict[str, Json]]:
    """The limits that autoscaling has, by dimension."""
    found = read(_SERVICE, "DescribeScalableTargets", ServiceNamespace="dynamodb", ResourceIds=[arn.resource])
    return {
        str(each["ScalableDimension"]): {name: each[name] for name in ("MinCapacity", "MaxCapacity")}
        for each in found.get("ScalableTargets", ())
        if each.get("ResourceId") == arn.resource
    }


def _policies(read: Reader, arn: Arn) -> dict[str, dict[str, Json]]:
    """What each policy follows, by dimension and name; nothing known of one that follows no target."""
    found = read(_SERVICE, "DescribeScalingPolicies", ServiceNamespace="dynamodb", ResourceId=arn.resource)
    policies: dict[str, dict[str, Json]] = {}
    for each in found.get("ScalingPolicies", ()):
        tracking = each.get("TargetTrackingScalingPolicyConfiguration") or {}
        policies.setdefault(str(each["ScalableDimension"]), {})[str(each["PolicyName"])] = tracking.get("TargetValue")
    return policies


def _found(read: Reader, call: Call) -> dict[str, Json]:
    """What stands now in the place of what a call writes; nothing where nothing does."""
    arn, dimension = _arn_of(call), str(call.params["ScalableDimension"])
    if call.operation == "PutScalingPolicy":
        policies = _policies(read, arn).get(dimension, {})
        return {"TargetValue": policies[_POLICY]} if _POLICY in policies else _NO_POLICY
    limits = _limits(read, arn).get(dimension)
    if call.operation == "DeregisterScalableTarget":
        return _GONE if limits is None else _THERE
    return _NO_LIMITS if limits is None else limits


_NO_LIMITS: dict[str, Json] = {"MinCapacity": None, "MaxCapacity": None}
_NO_POLICY: dict[str, Json] = {"TargetValue": None}
_THERE: dict[str, Json] = {"limits": "ours"}
_GONE: dict[str, Json] = {"limits": "none"}


def _provisioned(table: Mapping[str, Any]) -> dict[str, int]:
    found = (table.get("Index") or table).get("ProvisionedThroughput") or {}
    return {way: int(found.get(f"{way}CapacityUnits") or 0) for way in _WAYS}


def _on_demand(table: Mapping[str, Any]) -> bool:
    billing = table.get("BillingModeSummary")
    mode = billing.get("BillingMode", "PROVISIONED") if isinstance(billing, Mapping) else "PROVISIONED"
    return bool(mode != "PROVISIONED")


def _standard(table: Mapping[str, Any]) -> bool:
    return bool((table.get("TableClassSummary") or {}).get("TableClass", "STANDARD") == "STANDARD")


def _check_state(arn: Arn, table: Mapping[str, Any], now: datetime) -> None:
    """That it is what it was a while ago: what is lent just now must not become the least."""
    index = table.get("Index") or {}
    busy = [each for each in (table.get("TableStatus"), index.get("IndexStatus", "ACTIVE")) if each != "ACTIVE"]
    if busy:
        raise Refused("state", f"it is {busy[0]}: AWS takes no other change meanwhile", retry_after=_SOON)
    if _on_demand(table):
        raise Refused("on-demand", f"{_name(arn)} is on demand now, and grows by itself")
    if table.get("Replicas"):
        raise Refused("replicas", "it is a global table: its capacity is scaled in all its Regions together")
    found = (index or table).get("ProvisionedThroughput") or {}
    for name in ("LastIncreaseDateTime", "LastDecreaseDateTime"):
        at = found.get(name)
        if isinstance(at, datetime) and now < at + _SETTLED:
            reason = "its capacity was changed a moment ago: what it is then becomes the least"
            raise Refused("changed", reason, retry_after=_SOON)


# -- the calls ---------------------------------------------------------------------------------------------------------


def _call(arn: Arn, operation: str, way: str, more: Mapping[str, Json], **about: Any) -> Call:
    """A scalable target has no name before AWS has made it: which one it is, the parameters say."""
    return Call(
        _SERVICE,
        operation,
        str(Arn(arn.partition, _SERVICE, arn.region, arn.account, "scalable-target/*")),
        params={
            "ServiceNamespace": "dynamodb",
            "ResourceId": arn.resource,
            "ScalableDimension": _dimension(arn, way),
            **more,
        },
        **about,
    )


def _register(arn: Arn, limits: Mapping[str, Any]) -> Call:
    """
    Limits where there are none: the least is what it has, so that nothing is changed by them.

    Whoever sets limits must be allowed to set the capacity, and to follow it.

    Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    """
    table = str(_whole(arn))
    more = {"MinCapacity": int(limits["least"]), "MaxCapacity": int(limits["most"])}
    grants = (("dynamodb:DescribeTable", table), ("dynamodb:UpdateTable", table), *autoscaling.alarms_made(arn))
    why = "between these limits autoscaling may set the capacity"
    return _call(arn, "RegisterScalableTarget", str(limits["way"]), more, before=_NO_LIMITS, grants=grants, why=why)


def _follow(arn: Arn, way: str) -> Call:
    """
    A policy, without which limits scale nothing.

    AWS makes its alarms, and checks that whoever asks could make, see and delete them.

    Source: https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html
    """
    metric = {"PredefinedMetricType": f"DynamoDB{way}CapacityUtilization"}
    more: dict[str, Json] = {
        "PolicyName": _POLICY,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": _USED,
            "PredefinedMetricSpecification": metric,
        },
    }
    why = "without it limits do nothing"
    return _call(arn, "PutScalingPolicy", way, more, before=_NO_POLICY, grants=autoscaling.alarms_made(arn), why=why)


def _take_back(arn: Arn, way: str) -> Call:
    """Its policy and the alarms of that go with it."""
    gone = autoscaling.alarms_gone(arn)
    return _call(arn, "DeregisterScalableTarget", way, {}, before=_THERE, grants=gone, stops=True)


def _written(call: Call) -> dict[str, Json]:
    """What a call writes, by the names of its ``before``."""
    if call.operation == "DeregisterScalableTarget":
        return _GONE
    if call.operation == "PutScalingPolicy":
        return {"TargetValue": call.params["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]}
    return {name: call.params[name] for name in ("MinCapacity", "MaxCapacity")}


def _arn_of(call: Call) -> Arn:
    """The table or index that a call is about."""
    arn = Arn.parse(call.resource)
    return Arn(arn.partition, "dynamodb", arn.region, arn.account, str(call.params["ResourceId"]))


def _whole(arn: Arn) -> Arn:
    """The table, also of an index: IAM knows an index by its table."""
    return Arn(arn.partition, arn.service, arn.region, arn.account, f"table/{split_table_arn(arn)[0]}")


def _dimension(arn: Arn, way: str) -> str:
    """What Application Auto Scaling calls the capacity."""
    return f"dynamodb:{'index' if '/index/' in arn.resource else 'table'}:{way}CapacityUnits"


# -- in words ----------------------------------------------------------------------------------------------------------


def _name(arn: Arn) -> str:
    """The table's name, or whose index it is."""
    table, index = split_table_arn(arn)
    return f"index {index} of {table}" if index else table


def _many(way: str) -> str:
    return f"{way.lower()}s"


def _said(signal: Signal) -> str:
    return f"its {_many(signal.name.removesuffix('ThrottleEvents'))} lacked capacity {signal.value:.0f} times;"


def _by_hand(arn: Arn, way: str) -> str:
    return (
        "aws application-autoscaling deregister-scalable-target --service-namespace dynamodb "
        f"--resource-id {shlex.quote(arn.resource)} --scalable-dimension {_dimension(arn, way)}"
    )
