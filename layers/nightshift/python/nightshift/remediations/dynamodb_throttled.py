"""
A DynamoDB table or index turns requests away: lend it capacity for an hour.

Symptom   more than ten reads, or writes, were throttled in each of the last five minutes
Cause     more is asked for than is provisioned, and what is provisioned is used up
Cure      half as much capacity again, or what its peak needs, at most twice as much and within the ceiling; where
          autoscaling is at its maximum a higher maximum, where it has done nothing for ten minutes a higher minimum
Proof     it is active, and nothing was throttled for ten minutes; by the figures themselves, because alarms on
          DynamoDB ignore minutes without any and stay raised
Undo      what stood before is set again when the lease ends and AWS allows a decrease, unless somebody else has set
          another value since
Source    runbook 1 "DynamoDB Throttling" and "High GraphQL API Latency"; R9

A table and each of its indexes are targets of their own: each is changed, and given back, alone. An index that
throttles writes holds up those of its table, and comes first.

What only people can cure is told: a key that is asked for more than one partition can give (what is provisioned is not
used up), a quota of the account, a table on demand, whose capacity is nobody's to set.

AWS counts decreases: four a day, and one more in an hour without any. Where none is left, the loan stays out, and
costs, until there is one again; people are told so.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import autoscaling, states
from nightshift.errors import Refused
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
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import split_table_arn, table_metric
from nightshift.states import minutes

__all__ = ["DynamodbThrottled"]

_LATE = timedelta(minutes=4)  # after that a minute is there if it ever will be
_WAYS = ("Write", "Read")  # as AWS's names begin; writes first: what is not written may be lost
_ITEMS = {"Write": "dynamodb-write-unit", "Read": "dynamodb-read-unit"}
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_CLEAN = 10  # minutes without a throttled request that prove a cure (R9)
_AUTOSCALING = 10  # minutes that autoscaling gets for its own work (R9)
_PEAK = 60  # minutes back that are asked for the peak
_AIM = 0.7  # of what is provisioned is to be used at the peak (R9)
_SOON = timedelta(minutes=2)
_HOUR = timedelta(hours=1)
_A_DAY, _AT_ANY_TIME = 27, 4  # decreases of a table, or of an index, in a day (UTC): AWS's limits
_SCALED = "application-autoscaling"


@dataclass(frozen=True, slots=True)
class _Measured:
    """
    What was measured of the reads, or the writes: of the last minutes, but for ``peak``.

    ``throttled`` is by minute; ``key``, ``account`` and ``maximum`` are how many of those for which reason. ``used``
    and ``peak`` are capacity units a second, lately, and in the last hour at most. ``now`` is provisioned.
    """

    way: str
    throttled: tuple[float, ...]
    key: float
    account: float
    maximum: float
    used: float | None
    peak: float
    now: int

    @property
    def total(self) -> float:
        """All that was throttled."""
        return sum(self.throttled)


class DynamodbThrottled(Remediation):
    """A table, or an index of one, with too little capacity."""

    name: ClassVar[str] = "dynamodb-throttled"
    title: ClassVar[str] = "requests to the table are throttled"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table",)
    reads: ClassVar[tuple[str, ...]] = (
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "dynamodb:DescribeLimits",
    )
    writes: ClassVar[tuple[str, ...]] = ("dynamodb:UpdateTable", "application-autoscaling:RegisterScalableTarget")
    delegates: ClassVar[tuple[str, ...]] = (
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:PutMetricAlarm",
        "dynamodb:DescribeTable",
    )

    max_attempts: PositiveInt = Field(default=1, le=3, description="loans per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two loans to one table or index")
    looks: PositiveInt = Field(default=5, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=40), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    throttles: PositiveInt = Field(
        default=10, le=1_000_000, description="throttled requests a minute above which there are too many"
    )
    throttled_for: PositiveInt = Field(default=5, le=_CLEAN, description="minutes in a row above that which count")
    used_up: float = Field(
        default=80,
        gt=0,
        le=100,
        description="per cent of its capacity that must be used while it throttles: with less, more would not help",
    )
    read_ceiling: PositiveInt = Field(
        default=1000, le=1_000_000, description="read capacity units that a loan may never bring anything above"
    )
    write_ceiling: PositiveInt = Field(default=1000, le=1_000_000, description="the same of write capacity units")
    lease: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=5),
        le=timedelta(hours=24),
        description="how long what was lent may stay",
    )
    read_dollars_per_hour: float | None = Field(
        default=None, ge=0, le=1, description="what a read capacity unit costs, in US dollars; the list price if unsaid"
    )
    write_dollars_per_hour: float | None = Field(
        default=None, ge=0, le=1, description="the same of a write capacity unit"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        table = ResourceRead("dynamodb.table", str(target.arn))
        try:
            return (table, *(_throttles(target.arn, way, _CLEAN) for way in _WAYS))
        except ValueError:  # neither a table nor an index: the answer to the first read says so
            return (table,)

    def examine(self, target: Target) -> Queries:
        """With what was used: a proof that fails says whether more capacity could have helped."""
        queries = self.watch(target)
        used = (_used(target.arn, way, _CLEAN) for way in _WAYS) if len(queries) > 1 else ()
        return (*queries, *used)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Sick while too many requests were throttled in each of the last minutes.

        A minute of which nothing was reported is one without any: DynamoDB reports these where they are not zero.
        """
        table = _seen_table(target, seen)
        if isinstance(table, Unknown):
            return table
        lately = {}
        for way in _WAYS:
            series = _seen_lately(target, seen, way)
            if isinstance(series, Unknown):
                return series
            lately[way] = self._last(series, seen.at)
        short = tuple(
            Signal(f"{way}ThrottleEvents", min(values), self.throttles, f"{self.throttled_for} minutes")
            for way, values in lately.items()
            if self._too_many(values)
        )
        if short:
            return Sick(self._finding(target.arn, short))
        some = "; ".join(f"{sum(each):.0f} {_many(way)} throttled" for way, each in lately.items() if each)
        return Healthy(f"{some or 'nothing throttled'} in {self.throttled_for} minutes")

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """A minute that is not reported may be one without any, or one that CloudWatch has not got yet."""
        del before
        seen = self.detect(target, after)
        if not isinstance(seen, Healthy):
            return seen
        since = after.at.replace(second=0, microsecond=0) - _LATE
        for way in _WAYS:
            series = _seen_lately(target, after, way)
            if not isinstance(series, Unknown) and any(
                at >= since and value > self.throttles for at, value in series.items()
            ):
                return Unknown(
                    f"{_many(way)} were throttled a moment ago, and it is too early to tell whether they are"
                )
        return seen

    def _last(self, series: Mapping[datetime, float], now: datetime) -> tuple[float, ...]:
        """What was reported of the last whole minutes: of fewer, where nothing happened in some."""
        since = now.replace(second=0, microsecond=0) - timedelta(minutes=self.throttled_for + 1)
        return tuple(value for at, value in series.items() if at >= since)

    def _too_many(self, values: tuple[float, ...]) -> bool:
        return len(values) >= self.throttled_for and min(values) > self.throttles

    def _finding(self, arn: Arn, signals: tuple[Signal, ...]) -> Finding:
        ways = " and ".join(_many(each.name.removesuffix("ThrottleEvents")) for each in signals)
        return Finding(
            remediation=self.name,
            target=str(arn),
            symptom=f"more than {self.throttles} {ways} a minute of {_name(arn)} were throttled for "
            f"{self.throttled_for} minutes",
            signals=signals,
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn = target.arn
        table = states.table(read, arn)
        _check_state(arn, table)
        found = [self._measured(read, arn, way, table) for way in _WAYS]
        short = [each for each in found if self._too_many(each.throttled)]
        if not short:
            raise Refused("signal", "it does not throttle any more", retry_after=_SOON)
        if any(each.way == "Write" for each in short) and (told := self._of_indexes(read, arn, table)):
            return told
        if _on_demand(table):
            return _told_on_demand(arn, short[0])
        _check_settled(table, read.now())
        whys = {each.way: self._beyond_capacity(arn, each) for each in short}
        curable = [each for each in short if whys[each.way] is None]
        if not curable:
            return next(why for why in whys.values() if why is not None)
        if table.get("Replicas"):
            raise Refused("replicas", "it is a global table: its capacity is set for all its Regions together")
        scaled = _scaling(read, arn)
        others = (why.cause for why in whys.values() if why is not None)
        evidence = (finding.symptom, *(_in_words(each) for each in short), *others)
        if not scaled:
            facts, owner = self._bare(read, target, table, curable), "it does not scale this"
            how = (_would_scale(arn, each, self._ceiling(target, each.way)) for each in curable)
            evidence = (*evidence, *(line for lines in how for line in lines))
        elif all(each.way in scaled for each in curable):
            facts, owner = self._limits(read, target, table, curable, scaled), "see the evidence"
            evidence = (*evidence, *(str(each["why"]) for each in facts["limits"]))
        else:
            bare = [each for each in found if each.way not in scaled]
            how = (_would_scale(arn, each, self._ceiling(target, each.way)) for each in bare)
            return _told_half_scaled(arn, scaled, evidence, tuple(line for lines in how for line in lines))
        return Diagnosis(
            target=str(arn),
            cause=f"{_name(arn)} has less capacity than it is asked for",
            evidence=evidence,
            rejected=(
                Alternative("a key that is asked for too often", "what is provisioned is used up"),
                Alternative("a quota of the account", "DynamoDB counts none of these requests to it"),
                Alternative("autoscaling will see to it", owner),
            ),
            facts={"arn": str(arn), "standard": _standard(table), **facts},
        )

    def _measured(self, read: Reader, arn: Arn, way: str, table: Mapping[str, Any]) -> _Measured:
        span = self.throttled_for
        reasons = ("KeyRangeThroughput", "AccountLimit", "MaxOnDemandThroughput")
        key, account, maximum = states.sums(
            read, *(table_metric(arn, f"{way}{reason}ThrottleEvents", "Sum", span) for reason in reasons)
        )
        used = states.series(read, _used(arn, way, span)).last(span)
        return _Measured(
            way,
            throttled=states.series(read, _throttles(arn, way, span)).last(span),
            key=key,
            account=account,
            maximum=maximum,
            used=max(used) / 60 if used else None,
            peak=max(states.series(read, _used(arn, way, _PEAK)).last(_PEAK), default=0.0) / 60,
            now=_provisioned(table)[way],
        )

    def _of_indexes(self, read: Reader, arn: Arn, table: Mapping[str, Any]) -> Diagnosis | None:
        """An index that throttles writes makes its table do so, too. Refuses where it is looked after itself."""
        if "Index" in table:
            return None
        for each in table["GlobalSecondaryIndexes"]:
            index = Arn.parse(f"{arn}/index/{each['IndexName']}")
            if not states.series(read, _throttles(index, "Write", self.throttled_for)).total:
                continue
            if read.target(str(index)) is not None:
                raise Refused(
                    "index",
                    f"its index {index.name} throttles writes, and so holds up those of the table",
                    retry_after=_SOON,
                    link=str(index),
                )
            return Diagnosis(
                target=str(arn),
                cause=f"the index {index.name} of {_name(arn)} throttles writes, and so holds up those of the table",
                evidence=(f"{index} is not registered, so its capacity is not ours to raise",),
                advice=(f"raise the index's write capacity, or register {index}",),
            )
        return None

    def _beyond_capacity(self, arn: Arn, of: _Measured) -> Diagnosis | None:
        """Why more capacity would not help, where it would not."""
        what = f"{_many(of.way)} of {_name(arn)}"
        if of.account:
            return Diagnosis(
                target=str(arn),
                cause=f"{what} are throttled by a quota of this account and Region",
                evidence=(_in_words(of), f"{of.account:.0f} of them by the account's limit"),
                advice=(
                    "ask AWS for a higher quota (Service Quotas, DynamoDB); until then, let other tables use less",
                ),
            )
        if of.key * 2 >= of.total:
            return _told_hot(arn, of, f"{of.key:.0f} of {of.total:.0f} by the limit of a partition")
        if of.used is None:
            raise Refused("evidence", "how much of its capacity is used was not reported", retry_after=_SOON)
        if of.used * 100 < of.now * self.used_up:
            return _told_hot(arn, of, f"{_share(of.used, of.now)} of its capacity is used while it throttles")
        return None

    def _bare(
        self, read: Reader, target: Target, table: Mapping[str, Any], curable: list[_Measured]
    ) -> dict[str, Json]:
        """What UpdateTable has to say: both numbers, the one that nothing is wrong with as it stands."""
        now = _provisioned(table)
        to = {each.way: self._more(read, target, table, each, each.now) for each in curable}
        return {"units": {way: [now[way], to.get(way, now[way])] for way in _WAYS}}

    def _limits(
        self,
        read: Reader,
        target: Target,
        table: Mapping[str, Any],
        curable: list[_Measured],
        scaled: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, Json]:
        """What limits autoscaling has to have. Refuses while the capacity is autoscaling's, or a person's."""
        followed = {
            str(each.get("ScalableDimension"))
            for each in read(
                _SCALED, "DescribeScalingPolicies", ServiceNamespace="dynamodb", ResourceId=target.arn.resource
            ).get("ScalingPolicies", ())
        }
        limits, waits = [], []
        for each in curable:
            scaling = scaled[each.way]
            try:
                _check_scaling(scaling, each, followed)
                limits.append(self._limit(read, target, table, each, scaling))
            except Refused as refused:
                waits.append(refused)
        if not limits:
            raise waits[0]
        return {"limits": limits}

    def _limit(
        self, read: Reader, target: Target, table: Mapping[str, Any], of: _Measured, scaling: Mapping[str, Any]
    ) -> dict[str, Json]:
        least, most = int(scaling["MinCapacity"]), int(scaling["MaxCapacity"])
        limit = {"way": of.way, "scalable_target": str(scaling["ScalableTargetARN"]), "before": [least, most]}
        if of.now >= most:
            to = self._more(read, target, table, of, most)
            why = f"autoscaling is at its maximum of {most} {_many(of.way)} a second"
            return {**limit, "after": [least, to], "units": to - most, "why": why}
        waited = states.series(read, _throttles(target.arn, of.way, _AUTOSCALING)).last(_AUTOSCALING)
        if len(waited) < _AUTOSCALING:
            raise Refused(
                "autoscaling",
                f"autoscaling may still raise it itself: it has {of.now} of {most}, and gets {_AUTOSCALING} minutes",
                numbers={"now": of.now, "maximum": most},
                retry_after=_SOON,
            )
        to = min(self._more(read, target, table, of, of.now), most)
        why = f"autoscaling has left it at {of.now} of {most} for {_AUTOSCALING} minutes in which it throttled"
        return {**limit, "after": [to, most], "units": to - of.now, "why": why}

    def _more(self, read: Reader, target: Target, table: Mapping[str, Any], of: _Measured, now: int) -> int:
        """What the peak needs, at least half as much again, at most twice: within the ceiling and AWS's limits."""
        ceiling = self._ceiling(target, of.way)
        if now >= ceiling:
            raise Refused(
                "ceiling",
                f"it has {now} {_many(of.way)} a second already; the ceiling is {ceiling}",
                numbers={"now": now, "ceiling": ceiling},
            )
        limits = read("dynamodb", "DescribeLimits")
        quota = min(int(limits[f"{whose}Max{of.way}CapacityUnits"]) for whose in ("Account", "Table"))
        room = quota - _together(table, of.way)
        if room <= 0:
            raise Refused(
                "quota",
                f"a quota of AWS allows {quota} {_many(of.way)} a second, which it and its indexes have already",
                numbers={"quota": quota},
            )
        wanted = max(math.ceil(of.peak / _AIM), math.ceil(1.5 * now))
        return min(wanted, 2 * now, ceiling, now + room)

    def _ceiling(self, target: Target, way: str) -> int:
        """What the target says, or else the setting."""
        own, write = target.throughput or Throughput(), way == "Write"
        return (own.write or self.write_ceiling) if write else (own.read or self.read_ceiling)

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """The numbers are the diagnosis's, so that a ceiling which is changed meanwhile changes no undo."""
        facts = diagnosis.facts
        arn = Arn.parse(facts["arn"])
        if "limits" in facts:
            limits = facts["limits"]
            there = tuple(_set_limits(arn, each, "before", "after") for each in limits)
            back = tuple(_set_limits(arn, each, "after", "before", stops=True) for each in limits)
            more = {str(each["way"]): int(each["units"]) for each in limits}
            name = "other-limits"
            summary = " and ".join(_limit_in_words(each) for each in limits)
        else:
            units = {way: (int(facts["units"][way][0]), int(facts["units"][way][1])) for way in _WAYS}
            before, after = ({way: pair[n] for way, pair in units.items()} for n in (0, 1))
            there = (_provision(arn, after, before=before),)
            back = (_provision(arn, before, before=after, stops=True),)
            more = {way: to - now for way, (now, to) in units.items() if to != now}
            name = "more-capacity"
            summary = " and ".join(f"provision {units[way][1]} {_many(way)} instead of {units[way][0]}" for way in more)
        if not more or min(more.values()) <= 0:
            msg = f"{more} is no loan"
            raise ValueError(msg)
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"{summary} a second for {_name(arn)}, for {minutes(self.lease)} minutes",
            steps=(Step(name, calls=there, settle=_SOON, undo=back, why="more capacity takes more requests"),),
            risk="none to the data; it goes back only as often as AWS takes decreases: four a day, then one an hour",
            undo_by_hand="; ".join(_by_hand(call) for call in back),
            cost_per_hour=self._dollars(arn, more, standard=bool(facts["standard"])),
            lease=self.lease,
        )

    def _dollars(self, arn: Arn, more: Mapping[str, int], *, standard: bool) -> float | None:
        """What it costs an hour at most; None where nobody knows: the list has prices of the standard class alone."""
        dollars = []
        for way, units in more.items():
            own = self.write_dollars_per_hour if way == "Write" else self.read_dollars_per_hour
            price = per_hour(arn.region, _ITEMS[way]) if own is None and standard else own
            if price is None:
                return None
            dollars.append(price * units)
        return round(sum(dollars), 6)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        del answer  # UpdateTable answers with what was there before, RegisterScalableTarget with an ARN
        return _written(call)

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands, and nobody is changing it just now."""
        arn = _arn_of(call)
        table = states.table(read, arn)
        found = _found(read, arn, table, call)
        if call.operation == "UpdateTable" and _changing(table):
            return Outcome.UNKNOWN  # it says what was there before until the change is made
        if found == _written(call):
            return Outcome.DONE
        if found == call.before and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """Until the change is made; what somebody has set otherwise since is for the proof to judge."""
        arn = Arn.parse(plan.target)
        table = states.table(read, arn)
        if status := _changing(table):
            return Progress.WAIT, status, None
        for call in step.calls:
            found = _found(read, arn, table, call)
            if found == call.before:
                return Progress.STOP, f"nothing has changed: {found}", None
            if found != _written(call):
                return Progress.NEXT, f"somebody has set {found} since", None
        return Progress.NEXT, "it is as it was set", None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Cured is less than not sick: active, and nothing throttled for ten minutes."""
        seen = self.detect(target, after)
        table = after.resource(ResourceRead("dynamodb.table", str(target.arn)))
        if isinstance(seen, Unknown):
            return seen
        still = []
        if isinstance(table, Mapping) and (status := _changing(table)):
            still.append(status)
        for way in _WAYS:
            series = _seen_lately(target, after, way)
            if isinstance(series, dict) and series:  # that both can be read is said above
                total = sum(series.values())
                still.append(f"{total:.0f} {_many(way)} throttled in {_CLEAN} minutes{self._hint(target, after, way)}")
        if still:
            symptom = f"{_name(target.arn)}: {'; '.join(still)}"
            return Sick(Finding(self.name, str(target.arn), symptom, before.signals, severity=before.severity))
        return Healthy(f"nothing was throttled for {_CLEAN} minutes")

    def _hint(self, target: Target, after: Readings, way: str) -> str:
        """What a proof that fails says of the cause, where it can be told."""
        used = after.metric(_used(target.arn, way, _CLEAN))
        table = after.resource(ResourceRead("dynamodb.table", str(target.arn)))
        now = _provisioned(table)[way] if isinstance(table, Mapping) else 0
        if isinstance(used, Unread) or not used.points or not now:
            return ""
        rate = used.points[-1][1] / 60
        hot = "; that is a hot key, which capacity does not help" if rate * 100 < now * self.used_up else ""
        return f", with {_share(rate, now)} of its capacity used{hot}"

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """
        Whether what we set still stands, and nobody has taken it into their own hands since.

        Raises Refused while it is being changed, and while AWS takes no decrease of it: then the loan stays out.
        """
        arn, calls = Arn.parse(plan.target), plan.steps[0].calls
        table = states.table(read, arn)
        if status := _changing(table):
            raise Refused("updating", f"{status}: it can be given back after that")
        scaled = _scaling(read, arn)
        if calls[0].operation == "UpdateTable":
            if scaled or _found(read, arn, table, calls[0]) != _written(calls[0]):
                return False
            _check_decrease(arn, table, read.now())
            return True
        ours = [_found(read, arn, table, call) for call in calls]
        if any(_suspended(each) for each in scaled.values()):
            return False
        if any(found not in (_written(call), call.before) for found, call in zip(ours, calls, strict=True)):
            return False  # one that is back already may be set again: it is the same
        now = _provisioned(table)
        if any(now[_way_of(call)] > int(call.before["MaxCapacity"]) for call in calls):
            _check_decrease(arn, table, read.now())
        return True


# -- what is read ------------------------------------------------------------------------------------------------------


def _throttles(arn: Arn, way: str, span: int) -> MetricQuery:
    return table_metric(arn, f"{way}ThrottleEvents", "Sum", span)


def _used(arn: Arn, way: str, span: int) -> MetricQuery:
    return table_metric(arn, f"Consumed{way}CapacityUnits", "Sum", span)


def _seen_table(target: Target, seen: Readings) -> Mapping[str, Any] | Unknown:
    """A table, or an index with its table, as a look found it: one that takes requests."""
    table = seen.resource(ResourceRead("dynamodb.table", str(target.arn)))
    if isinstance(table, Unread):
        return Unknown(table.reason)
    if table is None:
        return Unknown(f"{target.arn} does not exist")
    statuses = _statuses(table)
    if not set(statuses) <= {"ACTIVE", "UPDATING"}:
        return Unknown(f"{_name(target.arn)} is {' and '.join(statuses)}")
    return table


def _seen_lately(target: Target, seen: Readings, way: str) -> dict[datetime, float] | Unknown:
    """What was throttled, by the minute, in the span that proves a cure."""
    try:
        series = seen.metric(_throttles(target.arn, way, _CLEAN))
    except ValueError as error:
        return Unknown(str(error))
    return Unknown(series.reason) if isinstance(series, Unread) else dict(series.points)


def _scaling(read: Reader, arn: Arn) -> dict[str, Mapping[str, Any]]:
    """What autoscaling has been told about the table or index, by way; nothing where it does not scale it."""
    found = read(_SCALED, "DescribeScalableTargets", ServiceNamespace="dynamodb", ResourceIds=[arn.resource]).get(
        "ScalableTargets", ()
    )
    ways = {_dimension(arn, way): way for way in _WAYS}
    return {
        ways[each["ScalableDimension"]]: each
        for each in found
        if each.get("ResourceId") == arn.resource and each.get("ScalableDimension") in ways
    }


def _found(read: Reader, arn: Arn, table: Mapping[str, Any], call: Call) -> dict[str, Any] | None:
    """What stands now in the place of what a call sets."""
    if call.operation == "UpdateTable":
        return _units(_provisioned(table))
    scaling = _scaling(read, arn).get(_way_of(call))
    return None if scaling is None else {name: scaling[name] for name in ("MinCapacity", "MaxCapacity")}


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _statuses(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The table's, and the index's where it is about one."""
    index = table.get("Index")
    of_index = (str(index.get("IndexStatus")),) if isinstance(index, Mapping) else ()
    return (str(table.get("TableStatus")), *of_index)


def _changing(table: Mapping[str, Any]) -> str:
    """That it is being changed, where it is."""
    other = [each for each in _statuses(table) if each != "ACTIVE"]
    return f"it is {other[0]}" if other else ""


def _throughput(table: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (table.get("Index") or table).get("ProvisionedThroughput") or {}
    return found


def _provisioned(table: Mapping[str, Any]) -> dict[str, int]:
    """Capacity units by way; 0 on demand."""
    return {way: int(_throughput(table).get(f"{way}CapacityUnits") or 0) for way in _WAYS}


def _units(by_way: Mapping[str, int]) -> dict[str, Json]:
    """As AWS names them."""
    return {f"{way}CapacityUnits": number for way, number in sorted(by_way.items())}


def _together(table: Mapping[str, Any], way: str) -> int:
    """What a table and its indexes have together, which is what a quota counts."""
    parts = (table, *table["GlobalSecondaryIndexes"])
    return sum(int((each.get("ProvisionedThroughput") or {}).get(f"{way}CapacityUnits") or 0) for each in parts)


def _on_demand(table: Mapping[str, Any]) -> bool:
    return bool((table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED") != "PROVISIONED")


def _standard(table: Mapping[str, Any]) -> bool:
    return bool((table.get("TableClassSummary") or {}).get("TableClass", "STANDARD") == "STANDARD")


def _suspended(scaling: Mapping[str, Any]) -> bool:
    return any(scaling.get("SuspendedState", {}).values())


def _check_state(arn: Arn, table: Mapping[str, Any]) -> None:
    if status := _changing(table):
        raise Refused("state", f"{status}: AWS takes no other change meanwhile", retry_after=_SOON, link=str(arn))


def _check_settled(table: Mapping[str, Any], now: datetime) -> None:
    """What was used before somebody changed the capacity says nothing of how much of it is used since."""
    found = _throughput(table)
    for name in ("LastIncreaseDateTime", "LastDecreaseDateTime"):
        at = found.get(name)
        if isinstance(at, datetime) and now < at + timedelta(minutes=_AUTOSCALING):
            ago = minutes(now - at)
            raise Refused(
                "changed",
                f"its capacity was changed {ago} minutes ago: what was measured is from before",
                numbers={"minutes": ago},
                retry_after=_SOON,
            )


def _check_scaling(scaling: Mapping[str, Any], of: _Measured, followed: set[str]) -> None:
    """That autoscaling is at work, and new limits would not take away what somebody has set."""
    least, most = int(scaling["MinCapacity"]), int(scaling["MaxCapacity"])
    numbers: dict[str, str | int | float] = {"now": of.now, "minimum": least, "maximum": most}
    if _suspended(scaling):
        raise Refused("autoscaling", "somebody has suspended its autoscaling", numbers=numbers)
    if scaling["ScalableDimension"] not in followed:
        reason = "autoscaling has limits for it, and no policy by which it would use higher ones"
        raise Refused("autoscaling", reason, numbers=numbers)
    if "ScalableTargetARN" not in scaling:
        raise Refused("autoscaling", "AWS does not say by which name IAM knows its limits", numbers=numbers)
    if not least <= of.now <= most:  # any new limits would clamp it
        reason = f"somebody has set {of.now}, which autoscaling's limits ({least} to {most}) do not allow"
        raise Refused("autoscaling", reason, numbers=numbers, retry_after=timedelta(minutes=_AUTOSCALING))


def _check_decrease(arn: Arn, table: Mapping[str, Any], now: datetime) -> None:
    """
    Whether AWS takes a decrease now: four at any time of a day (UTC), and one more in an hour without any, 27 in all.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
    """
    found = _throughput(table)
    today, last = int(found.get("NumberOfDecreasesToday") or 0), found.get("LastDecreaseDateTime")
    spared = isinstance(last, datetime) and now >= last + _HOUR and today < _A_DAY
    if today < _AT_ANY_TIME or spared:
        return
    waits = f"an hour after the last one, of {last:%H:%M} UTC" if isinstance(last, datetime) else "later"
    until = "tomorrow (UTC)" if today >= _A_DAY else waits
    raise Refused(
        "decreases",
        f"the capacity of {_name(arn)} was lowered {today} times today: AWS takes the next decrease {until}, "
        "and what was lent is out, and costs, until then",
    )


# -- the two things that may be lent ---------------------------------------------------------------------------------


def _provision(arn: Arn, units: Mapping[str, int], *, before: Mapping[str, int], stops: bool = False) -> Call:
    """
    Set a table's capacity, or an index's: AWS takes both numbers or none, and IAM knows an index by its table.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
    """
    table, index = split_table_arn(arn)
    throughput = _units(units)
    of_index = [{"Update": {"IndexName": index, "ProvisionedThroughput": throughput}}]
    what = {"GlobalSecondaryIndexUpdates": of_index} if index else {"ProvisionedThroughput": throughput}
    return Call(
        "dynamodb",
        "UpdateTable",
        str(_table(arn)),
        params={"TableName": table, **what},
        before=_units(before),
        why="another capacity, and nothing else",
        stops=stops,
    )


def _set_limits(arn: Arn, limit: Mapping[str, Any], now: str, to: str, *, stops: bool = False) -> Call:
    """
    Set both of autoscaling's limits, whichever changes: any call of the kind clamps the capacity into them.

    What is suspended is not said, and so stays as it is. AWS checks that whoever sets limits could set the capacity,
    and follow it.

    Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    """
    (least, most), before = limit[to], limit[now]
    table = str(_table(arn))
    return Call(
        _SCALED,
        "RegisterScalableTarget",
        str(limit["scalable_target"]),
        params={
            "ServiceNamespace": "dynamodb",
            "ResourceId": arn.resource,
            "ScalableDimension": _dimension(arn, limit["way"]),
            "MinCapacity": int(least),
            "MaxCapacity": int(most),
        },
        before={"MinCapacity": int(before[0]), "MaxCapacity": int(before[1])},
        grants=(("dynamodb:DescribeTable", table), ("dynamodb:UpdateTable", table), *autoscaling.alarms_made(arn)),
        why="other limits; autoscaling itself sets the capacity",
        stops=stops,
    )


def _written(call: Call) -> dict[str, Json]:
    """What a call sets, by the names of its ``before``."""
    if call.operation != "UpdateTable":
        return {name: call.params[name] for name in ("MinCapacity", "MaxCapacity")}
    whole = call.params.get("ProvisionedThroughput")
    return dict(whole or call.params["GlobalSecondaryIndexUpdates"][0]["Update"]["ProvisionedThroughput"])


def _arn_of(call: Call) -> Arn:
    """The table or index that a call is about: neither a scalable target's own ARN nor the table's says which index."""
    arn = Arn.parse(call.resource)
    if call.operation != "UpdateTable":
        return Arn(arn.partition, "dynamodb", arn.region, arn.account, str(call.params["ResourceId"]))
    indexes = call.params.get("GlobalSecondaryIndexUpdates")
    return Arn.parse(f"{arn}/index/{indexes[0]['Update']['IndexName']}") if indexes else arn


def _table(arn: Arn) -> Arn:
    table, _ = split_table_arn(arn)
    return Arn(arn.partition, arn.service, arn.region, arn.account, f"table/{table}")


def _dimension(arn: Arn, way: str) -> str:
    """What Application Auto Scaling calls the capacity."""
    return f"dynamodb:{'index' if '/index/' in arn.resource else 'table'}:{way}CapacityUnits"


def _way_of(call: Call) -> str:
    return str(call.params["ScalableDimension"]).rpartition(":")[2].removesuffix("CapacityUnits")


# -- in words ----------------------------------------------------------------------------------------------------------


def _name(arn: Arn) -> str:
    """The table's name, or whose index it is."""
    table, index = split_table_arn(arn)
    return f"index {index} of {table}" if index else table


def _many(way: str) -> str:
    return f"{way.lower()}s"


def _share(used: float, now: int) -> str:
    return f"{100 * used / now:.0f} %" if now else f"{used:.0f} a second"


def _in_words(of: _Measured) -> str:
    used = "" if of.used is None else f", {of.used:.0f} of {of.now} {_many(of.way)} a second used"
    return f"{of.total:.0f} {_many(of.way)} throttled in {len(of.throttled)} minutes{used}"


def _limit_in_words(limit: Mapping[str, Any]) -> str:
    (least, most), (to_least, to_most) = limit["before"], limit["after"]
    what, now, to = ("least", least, to_least) if most == to_most else ("most", most, to_most)
    return f"let autoscaling provision at {what} {to} {_many(limit['way'])} instead of {now}"


def _told_hot(arn: Arn, of: _Measured, why: str) -> Diagnosis:
    what = _many(of.way)
    table = shlex.quote(split_table_arn(arn)[0])
    command = f"aws dynamodb update-contributor-insights --table-name {table} --contributor-insights-action ENABLE"
    return Diagnosis(
        target=str(arn),
        cause=f"{what} of {_name(arn)} are throttled though it has capacity left: one key, or one partition, is asked "
        "for too often, or all at once",
        evidence=(_in_words(of), why),
        rejected=(Alternative("too little capacity", "more would be spread over partitions that do not need it"),),
        advice=(
            f"find the key, which CloudWatch shows after {command} (a write, which costs)",
            f"spread its {what} over more keys, cache what is read again and again, or spread bursts over time",
        ),
    )


def _told_on_demand(arn: Arn, of: _Measured) -> Diagnosis:
    """On demand there is no capacity to be set: why it throttles all the same."""
    if of.account:
        cause, advice = "by a quota of this account and Region", "ask AWS for a higher quota (Service Quotas, DynamoDB)"
    elif of.maximum:
        cause, advice = (
            "by the most that it may use on demand",
            "raise its maximum throughput, if that is meant to be more",
        )
    elif of.key * 2 >= of.total:
        return _told_hot(arn, of, f"{of.key:.0f} of {of.total:.0f} by the limit of a partition")
    else:
        cause = "because more than twice its last peak was asked for within half an hour"
        advice = "let load rise more slowly, or warm the table up; on demand it grows by itself"
    return Diagnosis(
        target=str(arn),
        cause=f"{_many(of.way)} of {_name(arn)}, which is on demand, are throttled {cause}",
        evidence=(_in_words(of),),
        advice=(advice,),
    )


def _told_half_scaled(
    arn: Arn, scaled: Mapping[str, Mapping[str, Any]], evidence: tuple[str, ...], how: tuple[str, ...]
) -> Diagnosis:
    """UpdateTable says both numbers, and would write over the one that autoscaling sets."""
    ours = " and ".join(_many(way) for way in _WAYS if way not in scaled)
    theirs = " and ".join(_many(way) for way in scaled)
    return Diagnosis(
        target=str(arn),
        cause=f"{_name(arn)} has too little capacity for its {ours}; autoscaling sets its {theirs}, and not these",
        evidence=evidence,
        advice=(f"have autoscaling set its {ours}, too: whoever sets them by hand sets its {theirs} with them", *how),
    )


def _would_scale(arn: Arn, of: _Measured, ceiling: int) -> tuple[str, str]:
    """
    The two calls by which autoscaling would scale it: limits alone scale nothing.

    Source: https://docs.aws.amazon.com/autoscaling/application/userguide/services-that-can-integrate-dynamodb.html
    """
    resource, dimension = shlex.quote(arn.resource), _dimension(arn, of.way)
    what = f"--service-namespace dynamodb --resource-id {resource} --scalable-dimension {dimension}"
    limits = f"--min-capacity {of.now} --max-capacity {max(of.now, ceiling)}"
    register = f"aws application-autoscaling register-scalable-target {what}"
    policy = f"of type TargetTrackingScaling: DynamoDB{of.way}CapacityUtilization at 70 %"
    return (
        f"to have autoscaling set its {_many(of.way)}: {register} {limits}",
        f"limits alone scale nothing: then aws application-autoscaling put-scaling-policy for the same, {policy}",
    )


def _by_hand(call: Call) -> str:
    params = call.params
    if call.operation != "UpdateTable":
        return (
            f"aws application-autoscaling register-scalable-target --service-namespace dynamodb --resource-id "
            f"{shlex.quote(params['ResourceId'])} --scalable-dimension {params['ScalableDimension']} "
            f"--min-capacity {params['MinCapacity']} --max-capacity {params['MaxCapacity']}"
        )
    units = ",".join(f"{name}={number}" for name, number in _written(call).items())
    command = f"aws dynamodb update-table --table-name {shlex.quote(params['TableName'])}"
    if "ProvisionedThroughput" in params:
        return f"{command} --provisioned-throughput {units}"
    index = params["GlobalSecondaryIndexUpdates"][0]["Update"]["IndexName"]
    return (
        f"{command} --global-secondary-index-updates "
        f"'Update={{IndexName={shlex.quote(index)},ProvisionedThroughput={{{units}}}}}'"
    )
