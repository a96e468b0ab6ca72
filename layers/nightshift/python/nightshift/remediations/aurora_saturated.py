"""
An Aurora cluster has reached its capacity: lend it a higher maximum for a day.

Symptom   an instance of Aurora Serverless v2 is at 90 % of the cluster's maximum or above, and its CPU above 80 %, in
          each of the last 15 minutes; or 85 % of the connections that an instance takes are used
Cause     more comes in than the maximum can carry: no release of who uses it, and connections enough
Cure      twice the maximum in ACUs, in steps of half an ACU, within the ceiling; the minimum stays
Proof     below 90 % of the new maximum, and CPU below 75 %, within a quarter of an hour
Undo      the old maximum after a day, unless somebody else has set another since, or the cluster runs on what was lent
Source    runbook 3 "High Database CPU" and "Scale Aurora ACUs", runbook 2 "RDS Connection Issues" and "Database
          Performance"; R16

What it will not do: lend to connections that are used up, which more capacity does not help (how many an instance takes
is fixed until it is rebooted), to provisioned instances, to what is stopped, being changed or waiting for a change, or
soon after a release of a service that uses it. These are told, with who uses it and what of that was released.

The range is changed at once and without a restart. Nothing else is sent: to apply a change immediately would apply
whatever else waits for the maintenance window, too. The maximum holds for every instance of the cluster, and so does
the price. What Aurora derives from the maximum (buffers, connections) waits for a reboot, and the report says so.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import prices, states
from nightshift.errors import AwsError, Refused
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
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import cluster_metric, instance_metric
from nightshift.states import minutes

__all__ = ["AuroraSaturated"]

_ACU, _CPU, _CONNECTIONS, _CAPACITY = (
    "ACUUtilization",
    "CPUUtilization",
    "DatabaseConnections",
    "ServerlessDatabaseCapacity",
)
_WORDS = {_ACU: "capacity", _CPU: "CPU"}
_SERVERLESS = "db.serverless"  # the class of an instance of Aurora Serverless v2
_HALF = 0.5  # ACUs are counted in halves
_LARGEST = 256  # ACUs: AWS's limit for the newest versions; older ones refuse more than 128
_CROWDED = 5  # minutes in a row with hardly a connection left
_HOUR = 60  # minutes of connections that a report compares
_GROWN = 1.2  # how many times as many connections in each third of it as in the one before are a leak, perhaps
_SOME = 0.8  # the share of a span that must have been reported to be judged
_PERIOD = 300  # seconds, of what is asked for hours
_INSTANCES = 20  # instances that are asked for: a cluster has 16 at most, and AWS takes no smaller number
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect


class AuroraSaturated(Remediation):
    """An Aurora cluster that cannot carry its load with the capacity that it may have."""

    name: ClassVar[str] = "aurora-saturated"
    title: ClassVar[str] = "the database has reached its capacity"
    kinds: ClassVar[tuple[str, ...]] = ("rds:cluster",)
    needs: ClassVar[tuple[str, ...]] = ("database",)
    reads: ClassVar[tuple[str, ...]] = ("rds:DescribeDBInstances",)
    writes: ClassVar[tuple[str, ...]] = ("rds:ModifyDBCluster",)

    max_attempts: PositiveInt = Field(default=1, le=3, description="loans per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two loans to one cluster")
    looks: PositiveInt = Field(default=5, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=15), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    capacity: float = Field(default=90, gt=0, le=100, description="per cent of the maximum that are all of it")
    cpu: float = Field(default=80, gt=0, le=100, description="per cent of CPU above which that is for load")
    cured: float = Field(default=75, gt=0, le=100, description="per cent of CPU below which it has enough again")
    saturated_for: PositiveInt = Field(default=15, ge=_CROWDED, le=60, description="minutes in a row that count")
    crowded: float = Field(default=85, gt=0, le=100, description="per cent of its connections that are too many")
    ceiling: float = Field(
        default=8, ge=1, le=_LARGEST, multiple_of=_HALF, description="ACUs above which no maximum is ever lent"
    )
    lease: timedelta = Field(
        default=timedelta(hours=24),
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
        description="how long the higher maximum stays at least",
    )
    calm: timedelta = Field(
        default=timedelta(hours=6),
        ge=timedelta(minutes=10),
        le=timedelta(hours=24),
        description="how long it must have used less than `calm_share` of the old maximum before that is set again",
    )
    calm_share: float = Field(default=0.8, gt=0, le=1, description="share of the old maximum that is calm")
    release: timedelta = Field(
        default=timedelta(hours=1),
        le=timedelta(hours=24),
        description="how long after a release of what uses it that is taken for the cause",
    )
    acu_dollars_per_hour: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="what an ACU costs an hour, in US dollars; the list price of the Region when not said",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("rds.cluster", str(target.arn)), *self._used(target.arn).values())

    def _used(self, arn: Arn) -> dict[str, MetricQuery]:
        """What tells how busy a cluster is: the instance that has most of each."""
        return {name: cluster_metric(arn, name, "Maximum", self.saturated_for) for name in (_CONNECTIONS, _ACU, _CPU)}

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Full while each of the last minutes is above both thresholds, crowded while each of the last five is.

        Much capacity without CPU is memory that is well used. Much CPU below the maximum is not full either: Aurora is
        still giving it more. A minute that was not reported may have been anything.
        """
        cluster = seen.resource(ResourceRead("rds.cluster", str(target.arn)))
        if isinstance(cluster, Unread):
            return Unknown(cluster.reason)
        if cluster is None:
            return Unknown(f"{target.arn} does not exist")
        if not str(cluster.get("Engine", "")).startswith("aurora"):
            return Unknown(f"{target.arn.name} is no Aurora cluster, but {cluster.get('Engine')}")
        if target.database is None:
            return Unknown("nobody has said how many connections it takes (database)")
        if cluster.get("Status") == "stopped":
            return Healthy("stopped on purpose", idle=True)
        used: dict[str, tuple[float, ...]] = {}
        for name, query in self._used(target.arn).items():
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            used[name] = series.last(self.saturated_for)
        return self._crowd(target, used[_CONNECTIONS]) or self._full(target, cluster, used)

    def _crowd(self, target: Target, counts: Sequence[float]) -> Observation | None:
        """Sick where hardly a connection is left."""
        most = target.database.connections if target.database is not None else math.inf
        limit, last = round(most * self.crowded / 100, 1), counts[-_CROWDED:]
        if not last:
            return Unknown(f"{_CONNECTIONS} was not reported")
        if min(last) < limit:
            return None
        if len(last) < _CROWDED:
            return _gap(_CONNECTIONS, last, _CROWDED)
        signal = Signal(_CONNECTIONS, min(last), limit, f"{_CROWDED} minutes")
        symptom = f"{target.arn.name} has had {min(last):.0f} of {most:.0f} connections in use for {_CROWDED} minutes"
        return self._sick(target, symptom, signal)

    def _full(self, target: Target, cluster: Mapping[str, Any], used: Mapping[str, Sequence[float]]) -> Observation:
        limits = {_CPU: self.cpu} if _range(cluster) is None else {_ACU: self.capacity, _CPU: self.cpu}
        for name in limits:
            if not all(self._much(name, value) for value in used[name]):
                return Healthy("; ".join(f"{_WORDS[each]} {used[each][-1]:.0f} %" for each in limits if used[each]))
        for name in limits:
            if len(used[name]) < self.saturated_for:
                return _gap(name, used[name], self.saturated_for)
        window = f"{self.saturated_for} minutes"
        signals = tuple(Signal(name, min(used[name]), limit, window, "%") for name, limit in limits.items())
        what = " and ".join(f"{_WORDS[name]} at {min(used[name]):.0f} % or more" for name in limits)
        return self._sick(target, f"{target.arn.name} has had {what} for {window}", *signals)

    def _much(self, name: str, value: float) -> bool:
        return value >= self.capacity if name == _ACU else value > self.cpu

    def _sick(self, target: Target, symptom: str, *signals: Signal) -> Sick:
        return Sick(Finding(self.name, str(target.arn), symptom, signals, severity=Severity.SEV2))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn, cluster = target.arn, states.cluster(read, target.arn)
        if any(signal.name == _CONNECTIONS for signal in finding.signals):
            return self._crowded(read, target, finding)
        scaling, slow = _range(cluster), _slow(cluster)
        if scaling is None:
            return self._provisioned(read, target, finding, slow)
        _check_state(cluster)
        serverless = [each for each in _instances(read, arn) if each.get("DBInstanceClass") == _SERVERLESS]
        busy = self._busiest(read, serverless)
        self._check_releases(read, target)
        least, most = scaling
        to = self._more(target, most)
        if to <= most:
            return self._at_ceiling(read, target, finding, most, slow)
        facts: dict[str, Json] = {
            "cluster": str(arn),
            "minimum": least,
            "maximum": most,
            "to": to,
            "instances": len(serverless),
            "dollars": self.acu_dollars_per_hour or prices.per_hour(arn.region, "aurora-acu"),
        }
        pause = cluster["ServerlessV2ScalingConfiguration"].get("SecondsUntilAutoPause")
        waiting = [each["DBInstanceIdentifier"] for each in serverless if _awaits_reboot(each)]
        return Diagnosis(
            target=str(arn),
            cause=f"a maximum of {_acus(most)} is not enough for the load of {arn.name}",
            evidence=(
                finding.symptom,
                f"{busy} has both; {_acus(most)} are the maximum of each of {len(serverless)} instances",
                *_reboots(waiting),
            ),
            rejected=(
                Alternative("connections that are used up", f"fewer than {self.crowded:.0f} % are"),
                Alternative("a release", _no_release(target, self.release)),
                Alternative("Aurora is still scaling", f"for {self.saturated_for} minutes it has been at its maximum"),
            ),
            facts=facts if pause is None else {**facts, "pause": int(pause)},
        )

    def _busiest(self, read: Reader, instances: Sequence[Mapping[str, Any]]) -> str:
        """The instance that has both. Refuses where the figures of the cluster are those of several, or of another."""
        for each in instances:
            name = str(each.get("DBInstanceIdentifier"))
            used = {
                metric: states.series(read, instance_metric(name, metric, "Maximum", self.saturated_for)).last(
                    self.saturated_for
                )
                for metric in (_ACU, _CPU)
            }
            if any(len(values) < self.saturated_for for values in used.values()):
                continue
            if all(self._much(metric, value) for metric, values in used.items() for value in values):
                return name
        raise Refused(
            "instance",
            "none of its serverless instances has both much of the maximum and much CPU: a higher one may not help",
            numbers={"serverless": len(instances)},
            retry_after=timedelta(minutes=5),
        )

    def _more(self, target: Target, most: float) -> float:
        """Twice as much, in halves, within the ceiling."""
        own = target.database.ceiling if target.database is not None else None
        return math.floor(min(2 * most, own or self.ceiling, _LARGEST) / _HALF) * _HALF

    def _check_releases(self, read: Reader, target: Target) -> None:
        """What began soon after a release of who uses it is the release's doing: it goes first."""
        for arn in _users(target):
            at = _released(read, arn)
            if at is None or read.now() < at + self.release:
                age = "at a time that AWS does not say" if at is None else f"{minutes(read.now() - at)} minutes ago"
                raise Refused(
                    "cause",
                    f"{arn.name}, which uses it, was released {age}: the release may be the cause",
                    numbers={"minutes": minutes(self.release)},
                    retry_after=timedelta(minutes=5),
                    link=str(arn),
                )

    # -- what only people can cure ---------------------------------------------------------------------------------

    def _crowded(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """More capacity would not help: how many connections an instance takes is fixed until it is rebooted."""
        counts = states.series(read, cluster_metric(target.arn, _CONNECTIONS, "Maximum", _HOUR)).last(_HOUR)
        before, between, now = _thirds(counts)
        grown = between >= _GROWN * before and now >= _GROWN * between
        evidence, lately = self._use(read, target)
        leak = ["they only ever grow: look for code that opens connections and does not close them"] if grown else []
        suspects = [f"{name} was released in that time" for name in lately]
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name} has hardly a connection left",
            evidence=(
                finding.symptom,
                f"of the last hour, its first third saw {before:.0f}, its second {between:.0f}, its last {now:.0f}",
                *evidence,
            ),
            rejected=(Alternative("too little capacity", "more of it takes no connection more before a reboot"),),
            advice=(
                *[f"a suspect: {each}; if it opens more connections than it did, take that back" for each in suspects],
                *leak,
                f"end sessions that do nothing, the oldest first: {_idle(states.cluster(read, target.arn))}",
                "limit the pool of each client: all their maxima together must fit, at their greatest number of tasks",
                "put an RDS Proxy before it, which shares few connections among many clients",
            ),
        )

    def _provisioned(self, read: Reader, target: Target, finding: Finding, slow: tuple[str, ...]) -> Diagnosis:
        return Diagnosis(
            target=str(target.arn),
            cause=f"the instances of {target.arn.name} are as large as they are: it is provisioned",
            evidence=(finding.symptom, *self._use(read, target)[0]),
            advice=(*slow, "a larger class of instance, or Aurora Serverless v2, if the load will stay"),
        )

    def _at_ceiling(
        self, read: Reader, target: Target, finding: Finding, most: float, slow: tuple[str, ...]
    ) -> Diagnosis:
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name} uses all of {_acus(most)}, and may not have more",
            evidence=(finding.symptom, *self._use(read, target)[0]),
            advice=(*slow, "a higher ceiling in Nightshift's configuration, if this load is what is wanted"),
        )

    def _use(self, read: Reader, target: Target) -> tuple[list[str], list[str]]:
        """Who uses it, as far as it is known, for a report; and the names of those that were released lately."""
        said, lately = [], []
        for arn in _users(target):
            try:
                at = _released(read, arn)
            except AwsError as error:
                said.append(f"{arn.name} uses it; when it was released last cannot be read: {error}")
                continue
            if at is None:
                said.append(f"{arn.name} uses it; AWS does not say when it was released last")
            elif read.now() < at + 2 * self.release:
                said.append(f"{arn.name} uses it, and was released {minutes(read.now() - at)} minutes ago")
                lately.append(arn.name)
            else:
                said.append(f"{arn.name} uses it; its last release is from {at:%Y-%m-%d %H:%M} UTC")
        return said or ["who uses it is not said in Nightshift's configuration (used_by)"], lately

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """The maximum to go to is the diagnosis's, so that a ceiling which is changed meanwhile changes no undo."""
        facts = diagnosis.facts
        arn, least, now, to = Arn.parse(facts["cluster"]), facts["minimum"], facts["maximum"], facts["to"]
        if not 0 <= least <= now < to <= _LARGEST:
            msg = f"from {now} to {to} ACUs is no loan"
            raise ValueError(msg)
        more = facts["instances"] * (to - now)
        dollars = facts["dollars"]
        there = _set(arn, facts, to, before=now)
        back = _set(arn, facts, now, before=to, stops=True)
        why = "more capacity for the same load; no instance is restarted for it"
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"let each instance of {arn.name} use {_acus(to)} instead of {now:g}, for {_hours(self.lease)}",
            steps=(Step("higher-maximum", calls=(there,), settle=timedelta(minutes=3), undo=(back,), why=why),),
            risk=f"up to {_acus(more)} more are paid for while they are used; a query that is slow stays slow",
            undo_by_hand=(
                f"aws rds modify-db-cluster --db-cluster-identifier {arn.name} --serverless-v2-scaling-configuration "
                f"MinCapacity={least:g},MaxCapacity={now:g}"
            ),
            cost_per_hour=None if dollars is None else round(more * dollars, 4),
            lease=self.lease,
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return _found(answer.get("DBCluster", {}))

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old range still stands: a third one may have been written over ours."""
        found = _found(states.cluster(read, Arn.parse(call.resource)))
        if found == _wanted(call):
            return Outcome.DONE
        if found == call.before and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """What waits for a reboot is said here, and on the record."""
        cluster = states.cluster(read, Arn.parse(plan.target))
        if cluster.get("Status") != "available":
            return Progress.WAIT, f"the cluster is {cluster.get('Status')}", None
        members = cluster.get("DBClusterMembers", ())
        waiting = [
            str(each.get("DBInstanceIdentifier"))
            for each in members
            if each.get("DBClusterParameterGroupStatus") == "pending-reboot"
        ]
        return Progress.NEXT, "; ".join(("the new maximum holds", *_reboots(waiting))), None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Cured is less than not full: the newest minutes are all below the maximum, and CPU is well below."""
        seen = self.detect(target, after)
        if not isinstance(seen, Healthy) or seen.idle:
            return seen
        limits, still = {_ACU: self.capacity, _CPU: self.cured}, []
        for name, limit in limits.items():
            series = after.metric(self._used(target.arn)[name])
            values = series.last(_CROWDED) if isinstance(series, Series) else ()
            if len(values) < _CROWDED:
                return _gap(name, values, _CROWDED)
            if max(values) >= limit:
                still.append(f"{_WORDS[name]} was at {max(values):.0f} % in the last {_CROWDED} minutes")
        if still:
            symptom = f"{target.arn.name}: {'; '.join(still)}"
            return Sick(Finding(self.name, str(target.arn), symptom, before.signals, severity=before.severity))
        return seen

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """Whether the range that we set still stands."""
        return _found(states.cluster(read, Arn.parse(plan.target))) == _wanted(plan.steps[0].calls[0])

    def still_needed(self, read: Reader, plan: Plan) -> str:
        """To set the old maximum again would take from the cluster what it runs on: not before it has been calm."""
        old = float(str(plan.steps[0].calls[0].before["MaxCapacity"]))
        limit, span = self.calm_share * old, minutes(self.calm)
        for each in _instances(read, Arn.parse(plan.target)):
            if each.get("DBInstanceClass") != _SERVERLESS:
                continue
            name = str(each.get("DBInstanceIdentifier"))
            used = states.series(read, instance_metric(name, _CAPACITY, "Maximum", span, period=_PERIOD))
            if len(used.points) < _SOME * (span * 60 // _PERIOD):
                return f"it is not known what {name} has used in the last {_hours(self.calm)}"
            most = max(value for _, value in used.points)
            if most >= limit:
                return f"{name} has used up to {_acus(most)} in the last {_hours(self.calm)}, and {old:g} would be all"
        return ""


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _gap(metric: str, values: Sequence[float], span: int) -> Unknown:
    return Unknown(f"{metric} was reported in {len(values)} of {span} minutes")


def _thirds(counts: Sequence[float]) -> tuple[float, float, float]:
    """The averages of three equal parts, oldest first; nothing where there is too little for three."""
    part = len(counts) // 3
    first, second, third = (sum(counts[n * part : (n + 1) * part]) / max(part, 1) for n in range(3))
    return first, second, third


def _range(cluster: Mapping[str, Any]) -> tuple[float, float] | None:
    """The least and the most ACUs of each instance; None where the cluster has no serverless ones."""
    scaling = cluster.get("ServerlessV2ScalingConfiguration")
    if not isinstance(scaling, Mapping) or not {"MinCapacity", "MaxCapacity"} <= scaling.keys():
        return None
    return float(scaling["MinCapacity"]), float(scaling["MaxCapacity"])


def _found(cluster: Mapping[str, Any]) -> dict[str, Json]:
    """What stands now in the place of what a call sets."""
    found = _range(cluster)
    return {} if found is None else {"MinCapacity": found[0], "MaxCapacity": found[1]}


def _wanted(call: Call) -> dict[str, Json]:
    scaling = call.params["ServerlessV2ScalingConfiguration"]
    return {name: scaling[name] for name in ("MinCapacity", "MaxCapacity")}


def _check_state(cluster: Mapping[str, Any]) -> None:
    """What is being changed, or waits for a change, is somebody's: and what waits must not come along."""
    if cluster.get("Status") != "available":
        raise Refused("state", f"the cluster is {cluster.get('Status')}", retry_after=timedelta(minutes=2))
    pending = sorted(cluster.get("PendingModifiedValues") or ())
    if pending:
        raise Refused(
            "state",
            f"a change of it waits for its maintenance window ({', '.join(pending)}): whoever made it goes first",
            numbers={"pending": len(pending)},
            retry_after=timedelta(minutes=10),
        )


def _instances(read: Reader, arn: Arn) -> Sequence[Mapping[str, Any]]:
    """The instances of a cluster."""
    found = read(
        "rds",
        "DescribeDBInstances",
        Filters=[{"Name": "db-cluster-id", "Values": [str(arn)]}],
        MaxRecords=_INSTANCES,
    )
    instances: Sequence[Mapping[str, Any]] = found.get("DBInstances", ())
    return instances


def _awaits_reboot(instance: Mapping[str, Any]) -> bool:
    groups = instance.get("DBParameterGroups", ())
    return any(each.get("ParameterApplyStatus") == "pending-reboot" for each in groups)


def _reboots(names: Sequence[str]) -> list[str]:
    return [f"parameters of {', '.join(names)} wait for a reboot, which is a person's to make"] if names else []


def _users(target: Target) -> tuple[Arn, ...]:
    return target.database.used_by if target.database is not None else ()


def _released(read: Reader, arn: Arn) -> datetime | None:
    """When a service or function was released last; None where AWS does not say."""
    if arn.kind == "ecs:service":
        return states.began(states.primary(states.service(read, arn)))
    try:  # Lambda says it as text
        text = str(states.function(read, arn).get("LastModified"))
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _no_release(target: Target, release: timedelta) -> str:
    names = ", ".join(arn.name for arn in _users(target))
    return f"the last one of {names} is over {minutes(release)} minutes old" if names else "nobody has said who uses it"


def _idle(cluster: Mapping[str, Any]) -> str:
    """What shows the sessions that do nothing."""
    if cluster.get("Engine") == "aurora-mysql":
        return "SELECT id, user, time FROM information_schema.processlist WHERE command = 'Sleep' ORDER BY time DESC"
    return "SELECT pid, usename, state_change FROM pg_stat_activity WHERE state LIKE 'idle%' ORDER BY state_change"


def _slow(cluster: Mapping[str, Any]) -> tuple[str, ...]:
    """What to do about a load that capacity does not carry."""
    longest = (
        "SELECT pid, now() - query_start AS duration, query FROM pg_stat_activity WHERE state = 'active' ORDER BY 2"
    )
    if cluster.get("Engine") == "aurora-mysql":
        longest = "SELECT id, time, info FROM information_schema.processlist WHERE command <> 'Sleep' ORDER BY time"
    return (
        f"look at what runs, the longest first: {longest} DESC",
        "an index for what scans whole tables; Performance Insights shows the statements that cost most",
    )


def _acus(count: float) -> str:
    return f"{count:g} ACU{'s' if count != 1 else ''}"


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} hours" if span >= timedelta(hours=2) else f"{minutes(span)} minutes"


def _set(arn: Arn, facts: Mapping[str, Json], most: float, *, before: float, stops: bool = False) -> Call:
    """
    Another maximum, and nothing else.

    What is not said of a range that pauses might be set to its default: so how soon it pauses is said again.
    """
    pause = {"SecondsUntilAutoPause": facts["pause"]} if "pause" in facts else {}
    scaling = {"MinCapacity": facts["minimum"], "MaxCapacity": most, **pause}
    return Call(
        "rds",
        "ModifyDBCluster",
        str(arn),
        params={"DBClusterIdentifier": arn.name, "ServerlessV2ScalingConfiguration": scaling},
        before={"MinCapacity": facts["minimum"], "MaxCapacity": before},
        why="another maximum of the range, and nothing else: what waits for the maintenance window goes on waiting",
        stops=stops,
    )
