"""
A service has too few tasks for its load: lend it more for an hour.

Symptom   CPU above 80 %, or memory above 85 %, in each of the last five minutes
Cause     more comes in than the running tasks can carry: no release, no leak, no task that is too small
Cure      half as many tasks again, within the ceiling; where autoscaling is at its maximum, a higher maximum
Proof     every desired task runs, and both stay below 75 % for a quarter of an hour
Undo      what stood before is set again when the lease ends, unless somebody else has set another value since
Source    runbook 4 "High CPU" and "Scale Service", runbook 2 "Scaling ECS Services" and "High CPU/Memory Usage"; R4

What it will not do: scale what somebody stopped, suspended or is deploying, what was released within the hour, or a
leak, which more tasks only spread. While autoscaling is below its maximum the number of tasks is autoscaling's. No task
is taken away that was not lent.

What was lent goes back at once, and not task by task: a lease ends once. Load that is still there then is a new
incident, with the same bounds. Whether what the tasks wait for (a database, say) can take more is not known here; where
it cannot, the proof fails and what was lent is taken back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import autoscaling, leaks, restarts, states
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
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import service_metric, split_service_arn
from nightshift.states import minutes

__all__ = ["EcsCapacityShort"]

_CPU, _MEMORY = "CPUUtilization", "MemoryUtilization"
_WORDS = {_CPU: "CPU", _MEMORY: "memory"}
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_AUTOSCALING = timedelta(minutes=10)  # what autoscaling gets for its own work before it is looked at again (R4)
_TASKS = 100  # tasks that one DescribeTasks takes (AWS's limit)


class EcsCapacityShort(Remediation):
    """An ECS service whose tasks cannot carry the load."""

    name: ClassVar[str] = "ecs-capacity-short"
    title: ClassVar[str] = "the service has too few tasks for its load"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    reads: ClassVar[tuple[str, ...]] = (
        "application-autoscaling:DescribeScalableTargets",
        "application-autoscaling:DescribeScalingPolicies",
        "ecs:ListTasks",
        "ecs:DescribeTasks",
    )
    writes: ClassVar[tuple[str, ...]] = ("ecs:UpdateService", "application-autoscaling:RegisterScalableTarget")
    delegates: ClassVar[tuple[str, ...]] = (
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:PutMetricAlarm",
        "ecs:DescribeServices",
    )

    max_attempts: PositiveInt = Field(default=1, le=3, description="loans per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two loans to one service")
    looks: PositiveInt = Field(default=10, description="healthy looks in a row that prove a cure or a recovery")
    patience: timedelta = Field(default=timedelta(minutes=30), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    cpu: float = Field(default=80, gt=0, le=100, description="per cent of CPU above which a service is short of it")
    memory: float = Field(default=85, gt=0, le=100, description="per cent of memory above which it is short of it")
    cured: float = Field(default=75, gt=0, le=100, description="per cent of both below which it has enough again")
    short_for: PositiveInt = Field(default=5, le=60, description="minutes in a row above (or below) that count")
    ceiling: PositiveInt = Field(default=10, le=1000, description="tasks that a loan may never bring the service above")
    lease: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=5),
        le=timedelta(hours=24),
        description="how long what was lent may stay",
    )
    starting: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=2),
        le=timedelta(hours=1),
        description="how long the new tasks may take to run",
    )
    release: timedelta = Field(
        default=timedelta(hours=1),
        le=timedelta(hours=24),
        description="how long after a release that is taken for the cause",
    )
    history: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=20),
        le=timedelta(hours=3),
        description="how far back memory is compared with load, to tell a leak",
    )
    # one vCPU and 2 GB on Fargate in us-east-1 are 0.04048 + 2 * 0.004445; source: https://aws.amazon.com/fargate/pricing/
    task_dollars_per_hour: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="what one task costs an hour, in US dollars: without it none is lent, as with any unknown price",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        service = ResourceRead("ecs.service", str(target.arn))
        try:
            return (service, *self._used(target.arn, self.short_for).values())
        except ValueError:  # the short ARN of a service: the answer to the first read says what is wrong with it
            return (service,)

    def _used(self, arn: Arn, span: int) -> dict[str, MetricQuery]:
        """What tells how busy a service is. Raises ValueError where its ARN does not say which cluster it is in."""
        return {metric: service_metric(arn, metric, "Average", span) for metric in (_CPU, _MEMORY)}

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Short while every one of the last minutes is above a threshold; one that is not says that it is not short.

        A minute that was not reported may have been either. Desired 0 is somebody's decision, and not a symptom. Why it
        is short is for the diagnosis to say.
        """
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        used = self._values(target, seen)
        if isinstance(used, Unknown):
            return used
        limits = {_CPU: self.cpu, _MEMORY: self.memory}
        above = {metric: values for metric, values in used.items() if all(value > limits[metric] for value in values)}
        for metric, values in above.items():
            if len(values) < self.short_for:
                return self._gap(metric, values)
        if above:
            window = f"{self.short_for} minutes"
            return Sick(
                self._finding(
                    target, tuple(Signal(each, min(above[each]), limits[each], window, "%") for each in above)
                )
            )
        return Healthy("; ".join(f"{_WORDS[metric]} {values[-1]:.0f} %" for metric, values in used.items()))

    def _values(self, target: Target, seen: Readings) -> dict[str, tuple[float, ...]] | Unknown:
        """What was reported of the last minutes, by metric."""
        found = {}
        try:
            queries = self._used(target.arn, self.short_for)
        except ValueError as error:
            return Unknown(str(error))
        for metric, query in queries.items():
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            found[metric] = series.last(self.short_for)
        return found

    def _gap(self, metric: str, values: tuple[float, ...]) -> Unknown:
        return Unknown(f"{metric} was reported in {len(values)} of {self.short_for} minutes")

    def _finding(self, target: Target, signals: tuple[Signal, ...]) -> Finding:
        above = " and ".join(f"{_WORDS[each.name]} above {each.threshold:.0f} %" for each in signals)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{target.arn.name} has had {above} for {self.short_for} minutes",
            signals=signals,
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        arn = target.arn
        service = states.service(read, arn)
        _check_state(service)
        deployment = restarts.check_deployment(service, "what it left is not to be had more of")
        self._check_release(arn, deployment, read.now())
        _check_tasks(arn, service)
        _check_size(read, arn)
        compared = self._check_leak(read, arn)
        scaling = autoscaling.found(read, arn)
        desired = int(service["desiredCount"])
        if scaling is None:
            facts: dict[str, Json] = {"desired": desired, "to": self._more(desired, "the service")}
            owner = Alternative("autoscaling will see to it", "it does not scale this service")
        else:
            facts = self._above_maximum(read, arn, desired, scaling)
            owner = Alternative("autoscaling will see to it", f"it is at its maximum of {facts['maximum']} tasks")
        return Diagnosis(
            target=str(arn),
            cause=f"{desired} tasks of {arn.name} cannot carry the load",
            evidence=(finding.symptom, f"all {desired} tasks run", compared),
            rejected=(
                Alternative("a release", f"the last one is older than {minutes(self.release)} minutes"),
                Alternative("a leak", "memory has not risen by itself"),
                Alternative("tasks that are too small", "none was killed for its memory"),
                owner,
            ),
            facts={"service": str(arn), **facts},
        )

    def _check_release(self, arn: Arn, deployment: Mapping[str, Any], now: datetime) -> None:
        """What began soon after a release is the release's doing: more tasks of it are no cure."""
        began = states.began(deployment)
        if began is not None and now >= began + self.release:
            return
        age = "at a time that ECS does not say" if began is None else f"{minutes(now - began)} minutes ago"
        raise Refused(
            "cause",
            f"{arn.name} was released {age}: the release may be the cause",
            numbers={"minutes": minutes(self.release)},
            retry_after=timedelta(minutes=5),
            link=str(arn),
        )

    def _check_leak(self, read: Reader, arn: Arn) -> str:
        """Refuse where memory has risen all the while and load has not: more tasks would leak, too."""
        used = {metric: states.series(read, query) for metric, query in self._used(arn, minutes(self.history)).items()}
        trend = leaks.trend(used[_CPU], used[_MEMORY], self.history)
        if trend is None:
            raise Refused(
                "history",
                f"too little was reported in {minutes(self.history)} minutes to tell load from a leak",
                numbers={
                    "reported": min(len(series.points) for series in used.values()),
                    "minutes": minutes(self.history),
                },
                retry_after=timedelta(minutes=5),
            )
        if trend.leaks:
            raise Refused(
                "leak",
                f"a leak, not load: {trend.text}; restart its tasks, and look for what they keep",
                numbers={"memory_before": round(trend.memory[0], 1), "memory_now": round(trend.memory[-1], 1)},
            )
        return trend.text

    def _above_maximum(self, read: Reader, arn: Arn, desired: int, scaling: Mapping[str, Any]) -> dict[str, Json]:
        """What a higher maximum needs to know. Refuses while the number of tasks is autoscaling's, or a person's."""
        least, most = int(scaling["MinCapacity"]), int(scaling["MaxCapacity"])
        numbers: dict[str, Json] = {"desired": desired, "minimum": least, "maximum": most}
        if autoscaling.suspended(scaling):
            raise Refused("autoscaling", "somebody has suspended its autoscaling", numbers=numbers)
        if not read(
            "application-autoscaling", "DescribeScalingPolicies", ServiceNamespace="ecs", **autoscaling.named(arn)
        ).get("ScalingPolicies"):
            reason = "autoscaling has limits for it, and no policy by which it would use higher ones"
            raise Refused("autoscaling", reason, numbers=numbers)
        if "ScalableTargetARN" not in scaling:
            raise Refused("autoscaling", "AWS does not say by which name IAM knows its limits", numbers=numbers)
        if desired > most or desired < least:  # any new limits would clamp it
            reason = f"somebody has set {desired} tasks, which autoscaling's limits ({least} to {most}) do not allow"
            raise Refused("autoscaling", reason, numbers=numbers, retry_after=_AUTOSCALING)
        if desired < most:
            reason = f"autoscaling may still start tasks itself: it has {desired} of {most}"
            raise Refused("autoscaling", reason, numbers=numbers, retry_after=_AUTOSCALING)
        return {
            "scalable_target": str(scaling["ScalableTargetARN"]),
            "minimum": least,
            "maximum": most,
            "to": self._more(most, "autoscaling's maximum"),
        }

    def _more(self, now: int, what: str) -> int:
        """Half as many again, within the ceiling."""
        if now >= self.ceiling:
            raise Refused(
                "ceiling",
                f"{what} is at {now} tasks already; the ceiling is {self.ceiling}",
                numbers={"now": now, "ceiling": self.ceiling},
            )
        return min(now + math.ceil(now / 2), self.ceiling)

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """The number to go to is the diagnosis's, so that a ceiling which is changed meanwhile changes no undo."""
        facts = diagnosis.facts
        arn = Arn.parse(facts["service"])
        cluster, service = split_service_arn(arn)
        limits = "scalable_target" in facts
        now, to = int(facts["maximum" if limits else "desired"]), int(facts["to"])
        if not 0 < now < to:
            msg = f"from {now} to {to} tasks is no loan"
            raise ValueError(msg)
        if limits:
            least = int(facts["minimum"])
            there = _limit(arn, facts["scalable_target"], least, to, before=now)
            back = _limit(arn, facts["scalable_target"], least, now, before=to, stops=True)
            name, summary = "higher-maximum", f"let autoscaling run up to {to} tasks of {service} instead of {now}"
            by_hand = (
                "aws application-autoscaling register-scalable-target --service-namespace ecs --resource-id "
                f"{arn.resource} --scalable-dimension {autoscaling.DIMENSION} "
                f"--min-capacity {least} --max-capacity {now}"
            )
        else:
            there, back = autoscaling.scale(arn, to, before=now), autoscaling.scale(arn, now, before=to, stops=True)
            name, summary = "more-tasks", f"run {to} tasks of {service} instead of {now}"
            by_hand = f"aws ecs update-service --cluster {cluster} --service {service} --desired-count {now}"
        why, each = "more tasks share the load", self.task_dollars_per_hour
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"{summary}, for {minutes(self.lease)} minutes",
            steps=(Step(name, calls=(there,), settle=timedelta(minutes=2), undo=(back,), why=why),),
            risk="what the tasks share (a database, a quota) gets more load; at the end of the lease tasks are stopped",
            undo_by_hand=by_hand,
            cost_per_hour=None if each is None else round((to - now) * each, 4),
            lease=self.lease,
        )

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        act.scratch["began"] = act.now().isoformat()
        super().apply(act, plan, step)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        if call.operation == "UpdateService":
            return {"desiredCount": answer.get("service", {}).get("desiredCount")}
        return {name: call.params[name] for name in ("MinCapacity", "MaxCapacity")}  # it answers with the ARN alone

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        found = _found(read, autoscaling.service_of(call), call)
        if found is None:
            return Outcome.UNKNOWN
        if found == {name: call.params[name] for name in found}:
            return Outcome.DONE
        if found == call.before and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        service = states.service(read, Arn.parse(plan.target))
        return (*self._went(service, step.calls[0], read.now(), str(scratch.get("began", ""))), None)

    def _went(self, service: Mapping[str, Any], call: Call, now: datetime, began: str) -> tuple[Progress, str]:
        """Where a crash has left no note of when it began, the verification waits instead."""
        desired, running = int(service["desiredCount"]), int(service["runningCount"])
        missing = f"{running} of {desired} tasks run"
        over = not began or now >= datetime.fromisoformat(began) + self.starting
        if running < desired:
            said = _unplaced(service, since=now - self.starting)
            if said:
                return Progress.STOP, f"{missing}; ECS says: {said}"
            if over and began:
                return Progress.STOP, f"after {minutes(self.starting)} minutes still: {missing}"
            return (Progress.NEXT if over else Progress.WAIT), missing
        if call.operation == "UpdateService" and desired != call.params["desiredCount"]:
            return Progress.NEXT, f"somebody has set {desired} tasks since"
        if call.operation == "RegisterScalableTarget" and desired <= int(str(call.before["MaxCapacity"])):
            return (Progress.NEXT if over else Progress.WAIT), f"autoscaling has not gone beyond {desired} tasks"
        return Progress.NEXT, missing

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Cured is less than not short: every desired task runs, and every minute is well below the thresholds."""
        seen = self.detect(target, after)
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        used = self._values(target, after)
        if not isinstance(seen, Healthy) or not isinstance(service, Mapping):
            return seen
        if isinstance(used, Unknown):
            return used
        for metric, values in used.items():
            if len(values) < self.short_for:  # stopped meanwhile, say: without tasks there is no load to be carried
                return self._gap(metric, values)
        desired, running = service.get("desiredCount"), service.get("runningCount")
        if not isinstance(desired, int) or not isinstance(running, int):
            return Unknown(f"ECS did not say how many tasks of {target.arn.name} run")
        still = [
            f"{_WORDS[metric]} was at {max(values):.0f} % in the last {self.short_for} minutes"
            for metric, values in used.items()
            if max(values) >= self.cured
        ]
        if running != desired:
            still = [f"{running} of {desired} tasks run", *still]
        if still:
            symptom = f"{target.arn.name}: {'; '.join(still)}"
            return Sick(Finding(self.name, str(target.arn), symptom, before.signals, severity=before.severity))
        return seen

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """
        Whether the value that we set still stands, and nobody has taken the service into their own hands since.

        Whoever registers, suspends or removes autoscaling, or stops the service, owns the number now: new limits would
        start again what a person has stopped.
        """
        arn, call = Arn.parse(plan.target), plan.steps[0].calls[0]
        scaling = autoscaling.found(read, arn)
        if (scaling is None) != (call.operation == "UpdateService"):
            return False
        if scaling is not None and (
            autoscaling.suspended(scaling) or not states.service(read, arn).get("desiredCount")
        ):
            return False
        found = _found(read, arn, call)
        return found is not None and found == {name: call.params[name] for name in found}


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _check_state(service: Mapping[str, Any]) -> None:
    restarts.check_state(service, "and so do its tasks")
    if service.get("schedulingStrategy", "REPLICA") != "REPLICA":
        raise Refused("state", "it runs one task on each instance: ECS takes no number of tasks for it")


def _check_tasks(arn: Arn, service: Mapping[str, Any]) -> None:
    """Tasks that are missing (or too many) come first: what is desired has to run before more is."""
    desired, running = int(service["desiredCount"]), int(service.get("runningCount", 0))
    if running != desired:
        raise Refused(
            "tasks",
            f"{running} of {desired} tasks run: what is desired has to run first",
            numbers={"running": running, "desired": desired},
            retry_after=timedelta(minutes=2),
            link=str(arn),
        )


def _check_size(read: Reader, arn: Arn) -> None:
    """A task that was killed for its memory is too small: more of them are killed, too. ECS keeps them for an hour."""
    cluster, name = split_service_arn(arn)
    stopped = read(
        "ecs", "ListTasks", cluster=cluster, serviceName=name, desiredStatus="STOPPED", maxResults=_TASKS
    ).get("taskArns", ())
    if not stopped:
        return
    described = read("ecs", "DescribeTasks", cluster=cluster, tasks=list(stopped)).get("tasks", ())
    killed = sum(_out_of_memory(task) for task in described)
    if killed:
        raise Refused(
            "size",
            f"{killed} tasks were killed for their memory: they need more of it each, not more of their kind",
            numbers={"killed": killed},
        )


def _out_of_memory(task: Mapping[str, Any]) -> bool:
    """By the reason: exit code 137 alone is any task that did not stop in time."""
    reasons = (task.get("stoppedReason"), *(each.get("reason") for each in task.get("containers", ())))
    return any("OutOfMemory" in str(reason) for reason in reasons)


def _unplaced(service: Mapping[str, Any], *, since: datetime) -> str:
    """What ECS says of a task for which it has no place, if it has said so lately."""
    for event in service.get("events", ()):
        at, message = event.get("createdAt"), str(event.get("message", ""))
        if isinstance(at, datetime) and at >= since and "unable to place a task" in message:
            return message
    return ""


# -- autoscaling, and the two numbers that may be lent ---------------------------------------------------------------


def _found(read: Reader, arn: Arn, call: Call) -> dict[str, Any] | None:
    """What stands now in the place of what a call sets."""
    if call.operation == "UpdateService":
        return {"desiredCount": states.service(read, arn).get("desiredCount")}
    scaling = autoscaling.found(read, arn)
    return None if scaling is None else {name: scaling[name] for name in ("MinCapacity", "MaxCapacity")}


def _limit(arn: Arn, target: str, least: int, most: int, *, before: int, stops: bool = False) -> Call:
    """
    Set both limits, whatever changes: any call of the kind clamps the number of tasks into them.

    What is suspended is not said, and so stays as it is. AWS checks that whoever sets limits could set the number,
    and follow it.

    Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html,
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/auto-scaling-IAM.html
    """
    return Call(
        "application-autoscaling",
        "RegisterScalableTarget",
        target,
        params={"ServiceNamespace": "ecs", **autoscaling.named(arn), "MinCapacity": least, "MaxCapacity": most},
        before={"MinCapacity": least, "MaxCapacity": before},
        grants=(("ecs:DescribeServices", str(arn)), ("ecs:UpdateService", str(arn)), *autoscaling.alarms_made(arn)),
        why="another maximum; autoscaling itself starts the tasks",
        stops=stops,
    )
