"""
People want to work on a service: stop it for them, and start it again when they are done, or when their time is over.

Symptom   none: somebody has asked for it, with "nightshift maintenance start", and says until when
Cause     their work
Cure      suspend autoscaling, which would start tasks meanwhile, then set the number of tasks to 0
Proof     no task runs
Undo      the number of tasks that stood before, then autoscaling as it was; by "nightshift maintenance end", or at the
          time that was said, and then people are told; nothing of it where somebody has set anything else since
Source    runbook 2 "Maintenance Windows"; R22

Whoever asks has seen the plan and said yes to it: that is their approval, and it counts for this very plan. Where the
service has changed when it is to be stopped, they are asked again. While it is stopped, no cure begins there.

What it will not do: stop what is being deployed, what is stopped already, or what runs more or fewer tasks than
autoscaling's limits allow (the call that suspends would bring it within them). Where it dies half-way, what was done is
taken back. It backs nothing up, and tells no customers: both come before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import autoscaling, restarts, states
from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Queries,
    Request,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import split_service_arn
from nightshift.states import minutes

__all__ = ["EcsMaintenance"]

_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
_SHORTEST = timedelta(minutes=5)  # less is over before the tasks have stopped


class EcsMaintenance(Remediation):
    """An ECS service that people want stopped for a while."""

    name: ClassVar[str] = "ecs-maintenance"
    title: ClassVar[str] = "people work on the service"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    reads: ClassVar[tuple[str, ...]] = ("application-autoscaling:DescribeScalableTargets",)
    writes: ClassVar[tuple[str, ...]] = ("ecs:UpdateService", "application-autoscaling:RegisterScalableTarget")
    delegates: ClassVar[tuple[str, ...]] = (
        "cloudwatch:DeleteAlarms",
        "cloudwatch:DescribeAlarms",
        "cloudwatch:PutMetricAlarm",
        "ecs:DescribeServices",
    )
    asked_for: ClassVar[bool] = True
    mends_itself: ClassVar[bool] = False

    max_attempts: PositiveInt = Field(default=1, le=3, description="tries to stop it before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=1), description="between two of one service")
    confirm: PositiveInt = Field(default=1, description="looks before it is begun")
    looks: PositiveInt = Field(default=1, description="looks in a row at which no task runs")
    patience: timedelta = Field(default=timedelta(minutes=15), description="how long its tasks may take to stop")
    longest: timedelta = Field(
        default=timedelta(hours=12),
        ge=_SHORTEST,
        le=timedelta(days=7),
        description="how long it may be stopped at most",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def asked(self, target: Target, request: Request) -> Finding:
        """What a person asks for, as an incident begins with it."""
        because = f": {request.why}" if request.why else ""
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{request.by} wants {target.arn.name} stopped until {_shown(request.until)}{because}",
            severity=Severity.SEV4,
            request=request,
        )

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("ecs.service", str(target.arn)),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Nothing that can be seen of a service says that somebody wants to work on it."""
        service = states.seen_service(target, seen)
        return service if isinstance(service, Unknown) else Healthy("nobody has asked for it to be stopped")

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """What was asked for is wanted, as long as the service can be seen."""
        seen = self.detect(target, after)
        return seen if isinstance(seen, Unknown) else Sick(before)

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        if service is None or isinstance(service, Unread):
            return Unknown(f"{target.arn} does not exist" if service is None else service.reason)
        left = _left(service)
        if left is None:
            return Unknown(f"ECS did not say how many tasks of {target.arn.name} run")
        return Sick(before) if left else Healthy(f"no task of {target.arn.name} runs")

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        request, arn = finding.request, target.arn
        if request is None:
            raise Refused("request", f"nobody has asked for {arn.name} to be stopped")
        self._check_time(request, read.now())
        service = states.service(read, arn)
        restarts.check_state(service, "and so do its tasks")
        if service.get("schedulingStrategy", "REPLICA") != "REPLICA":
            raise Refused("state", "it runs one task on each instance: ECS takes no number of tasks for it")
        restarts.check_deployment(service, "it has to be deployed whole before it is stopped")
        desired = int(service["desiredCount"])
        scaling = autoscaling.found(read, arn)
        return Diagnosis(
            target=str(arn),
            cause=f"{request.by} works on {arn.name}{f': {request.why}' if request.why else ''}",
            evidence=(f"asked for at {_shown(request.at)}, until {_shown(request.until)}", _stands(desired, scaling)),
            facts={
                "service": str(arn),
                "desired": desired,
                "since": request.at.isoformat(),
                "until": request.until.isoformat(),
                "scaling": None if scaling is None else _limits(scaling, desired),
            },
        )

    def _check_time(self, request: Request, now: datetime) -> None:
        left = request.until - now
        if left < _SHORTEST:
            reason = f"its end, {_shown(request.until)}, is over or less than {minutes(_SHORTEST)} minutes away"
            raise Refused("request", reason, numbers={"minutes_left": minutes(left)})
        if request.until - request.at > self.longest:
            hours = self.longest / timedelta(hours=1)
            raise Refused("request", f"it may be stopped for {hours:g} hours at most", numbers={"hours": hours})

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        arn, desired, scaling = Arn.parse(facts["service"]), int(facts["desired"]), facts["scaling"]
        since, until = (datetime.fromisoformat(facts[name]) for name in ("since", "until"))
        if desired <= 0 or until <= since:
            msg = f"stopping {desired} tasks from {since} until {until} is no maintenance"
            raise ValueError(msg)
        cluster, service = split_service_arn(arn)
        calls = [autoscaling.scale(arn, 0, before=desired)]
        undo = [autoscaling.scale(arn, desired, before=0, stops=True)]
        by_hand = [f"aws ecs update-service --cluster {cluster} --service {service} --desired-count {desired}"]
        if scaling is not None:
            all_of_it, as_it_was = dict.fromkeys(_SUSPENDED, True), {name: scaling[name] for name in _SUSPENDED}
            # suspended first: else autoscaling would start what is to be stopped, and the other way round
            calls = [_suspend(arn, scaling["target"], all_of_it, before=as_it_was), *calls]
            undo = [*undo, _suspend(arn, scaling["target"], as_it_was, before=all_of_it, stops=True)]
            words = ",".join(f"{name}={str(value).lower()}" for name, value in as_it_was.items())
            by_hand.append(
                f"aws application-autoscaling register-scalable-target --service-namespace ecs --resource-id "
                f"{arn.resource} --scalable-dimension {autoscaling.DIMENSION} --suspended-state {words}"
            )
        step = Step(
            "stop",
            calls=tuple(calls),
            settle=timedelta(minutes=1),
            undo=tuple(undo),
            why="people work on it",
        )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"stop {service} until {_shown(until)}, then run {desired} task{'s' if desired != 1 else ''} again",
            steps=(step,),
            risk="nobody is served by it until then; it starts again at that time, whether the work is done or not",
            undo_by_hand="\n".join(by_hand),
            lease=until - since,
            until=until,
            asks=True,
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        if call.operation == "UpdateService":
            return {"desiredCount": answer.get("service", {}).get("desiredCount")}
        return dict(call.params["SuspendedState"])  # it answers with the ARN alone

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Not done only where the old value still stands: a third one may have been written over ours."""
        found = _standing(read, autoscaling.service_of(call), call)
        if found is None:
            return Outcome.UNKNOWN
        if found == _wanted(call):
            return Outcome.DONE
        if found == call.before and read.now() >= since + _LANDS:
            return Outcome.NOT_DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """Stopped half-way (or started by somebody since): what was done is taken back, and people ask again."""
        service = states.service(read, Arn.parse(plan.target))
        desired = service.get("desiredCount")
        if desired != 0:
            return Progress.STOP, f"it was to be stopped, and should run {desired} tasks", None
        left = _left(service)
        return (Progress.WAIT if left else Progress.NEXT), f"{left} tasks are still there", None

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        """
        Whether anything still stands as we set it, and everything else as it was before.

        So what was half taken back, by us or by anybody, is taken back whole; and where a single value is neither ours
        nor the old one, somebody has it in hand. Limits that would not take the old number have been set by somebody.
        """
        arn, ours = Arn.parse(plan.target), False
        scaling = autoscaling.found(read, arn)
        [step] = plan.steps
        if (scaling is None) != (len(step.calls) == 1):
            return False
        for call in step.calls:
            found = _standing(read, arn, call)
            if found not in (_wanted(call), call.before):
                return False
            ours = ours or found != call.before
        desired = int(step.undo[0].params["desiredCount"])
        return ours and (scaling is None or int(scaling["MinCapacity"]) <= desired <= int(scaling["MaxCapacity"]))


# -- what AWS says, in our words -------------------------------------------------------------------------------------


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _left(service: Mapping[str, Any]) -> int | None:
    """Tasks that should run, do, or are about to; None where ECS does not say."""
    counts = [service.get("desiredCount"), service.get("runningCount"), service.get("pendingCount", 0)]
    known = [each for each in counts if isinstance(each, int)]
    return max(known) if len(known) == len(counts) else None


def _stands(desired: int, scaling: Mapping[str, Any] | None) -> str:
    tasks = f"{desired} task{'s' if desired != 1 else ''} should run"
    if scaling is None:
        return f"{tasks}; autoscaling does not scale it"
    return f"{tasks}; autoscaling may run {scaling['MinCapacity']} to {scaling['MaxCapacity']}"


def _limits(scaling: Mapping[str, Any], desired: int) -> dict[str, Json]:
    """What is kept of autoscaling. Refuses where suspending it would change the number of tasks."""
    least, most = int(scaling["MinCapacity"]), int(scaling["MaxCapacity"])
    if "ScalableTargetARN" not in scaling:
        raise Refused("autoscaling", "AWS does not say by which name IAM knows its limits")
    if not least <= desired <= most:
        reason = (
            f"somebody has set {desired} tasks, which autoscaling's limits ({least} to {most}) do not allow: "
            "suspending it would bring them within these"
        )
        raise Refused("autoscaling", reason, numbers={"desired": desired, "minimum": least, "maximum": most})
    return {"target": str(scaling["ScalableTargetARN"]), "minimum": least, "maximum": most, **_state(scaling)}


def _state(scaling: Mapping[str, Any]) -> dict[str, bool]:
    said = scaling.get("SuspendedState", {})
    return {name: bool(said.get(name, False)) for name in _SUSPENDED}


def _standing(read: Reader, arn: Arn, call: Call) -> dict[str, Any] | None:
    """What stands now in the place of what a call sets."""
    if call.operation == "UpdateService":
        return {"desiredCount": states.service(read, arn).get("desiredCount")}
    scaling = autoscaling.found(read, arn)
    return None if scaling is None else dict(_state(scaling))


def _wanted(call: Call) -> dict[str, Any]:
    """What a call sets, as it then stands."""
    if call.operation == "UpdateService":
        return {"desiredCount": call.params["desiredCount"]}
    return dict(call.params["SuspendedState"])


def _suspend(
    arn: Arn, target: str, state: Mapping[str, bool], *, before: Mapping[str, bool], stops: bool = False
) -> Call:
    """
    Suspend autoscaling, or let it go on. Its limits are not said, and so stay as they are.

    So it makes no new one either, where somebody has removed it: AWS asks for limits then. Any call of the kind clamps
    the number of tasks into the limits that there are.

    Source: https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    """
    return Call(
        "application-autoscaling",
        "RegisterScalableTarget",
        target,
        params={"ServiceNamespace": "ecs", **autoscaling.named(arn), "SuspendedState": dict(state)},
        before=dict(before),
        grants=(("ecs:DescribeServices", str(arn)), ("ecs:UpdateService", str(arn)), *autoscaling.alarms_made(arn)),
        why="it must not start what is stopped" if not stops else "it goes on as before",
        stops=stops,
    )
