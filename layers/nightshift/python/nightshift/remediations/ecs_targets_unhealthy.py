"""
Tasks do not answer their load balancer: replace the one that is bad, or start all of them anew, once.

Symptom   the load balancer has called at least one task unhealthy for three minutes
Cause     the task hangs or fails, ECS has not replaced it within five minutes, and no release came shortly before
Cure      stop the one bad task while the others are healthy; where none is, one forced new deployment
Proof     five minutes without an unhealthy task, every desired task running, no deployment under way
Undo      none: a task that was stopped cannot be brought back
Source    runbook 4 "Unhealthy Hosts", runbook 2 "Startup failures"; R6

What it will not do: stop more than one task at a time, or the last one that is healthy; stop all where all are bad (the
load balancer then sends requests to every one of them); act before ECS had its time to replace a task by itself, where
a release came first, or where tasks cannot be started. A restart that does not help is the last thing that it tries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift import restarts, states
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
from nightshift.remediation import Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import group_metric, split_service_arn
from nightshift.states import minutes

__all__ = ["EcsTargetsUnhealthy"]

_REASON = "nightshift: unhealthy behind its load balancer"  # what ECS shows of the task, and by which we know our own
_LATE = timedelta(minutes=3)  # how old the start of the newest minute may be, and one of the minutes missing
_ONSET = timedelta(hours=24)  # how far back the beginning of a failure is looked for: longer than an incident lasts
_SOON = timedelta(minutes=2)
_LATER = timedelta(minutes=5)
_CRITICAL = 2  # minutes without any healthy task

_KNOWN = {
    "Target.FailedHealthChecks": "refuses the connection or breaks it off",
    "Target.Timeout": "does not answer in time",
    "Target.ResponseCodeMismatch": "answers, but not as a healthy one",
}
"""
Why a load balancer calls a task unhealthy, where that is the task's doing; the worst first: one that nobody reaches.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetHealth.html
"""
_PASSING = frozenset({"initial", "draining", "unhealthy.draining"})  # on its way in or out: nobody's illness

_STARTUP = "never started: image or secrets could not be fetched"
_MEMORY = "killed: out of memory"
_PLACE = "taken away by AWS: Spot, or the machine under it"
_CHECKS = "replaced by ECS: failed the load balancer's health checks"
_EARLY = "replaced by ECS as soon as the grace period was over: perhaps shorter than a start takes"
_KILLED = "killed while it was being stopped (exit code 137, which alone does not mean memory)"
_ENDED = "ended by itself"
_BACK_OFF = "ECS is unable to consistently start tasks, and waits longer before each try"


@dataclass(frozen=True, slots=True)
class _Task:
    """A running task, and why its load balancer calls it unhealthy; no reason where it is healthy."""

    arn: str
    started: datetime
    reason: str

    @property
    def rank(self) -> tuple[int, datetime, str]:
        """Of those that have a reason: the worst first, then the oldest."""
        return (list(_KNOWN).index(self.reason), self.started, self.arn)


class EcsTargetsUnhealthy(Remediation):
    """An ECS service whose tasks do not answer their load balancer."""

    name: ClassVar[str] = "ecs-targets-unhealthy"
    title: ClassVar[str] = "tasks do not answer their load balancer"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    needs: ClassVar[tuple[str, ...]] = ("load_balancer", "target_group")
    reads: ClassVar[tuple[str, ...]] = (
        "elasticloadbalancing:DescribeTargetHealth",
        "ecs:ListTasks",
        "ecs:DescribeTasks",
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecr:DescribeImages",
    )
    writes: ClassVar[tuple[str, ...]] = ("ecs:StopTask", "ecs:UpdateService")
    freeze_safe: ClassVar[bool] = True  # new tasks of the same images

    unhealthy_for: timedelta = Field(
        default=timedelta(minutes=3),
        ge=timedelta(minutes=2),
        le=timedelta(minutes=30),
        description="how long a task must be unhealthy, minute by minute, to be a failure",
    )
    stuck_for: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(minutes=3),
        le=timedelta(hours=1),
        description="how long ECS itself has to replace an unhealthy task, after its grace period",
    )
    well_for: timedelta = Field(
        default=timedelta(minutes=5),
        ge=timedelta(minutes=2),
        le=timedelta(minutes=30),
        description="how long every task must be healthy to prove the cure",
    )
    suspect: timedelta = Field(
        default=timedelta(minutes=60),
        ge=timedelta(minutes=15),
        le=timedelta(hours=3),
        description="a failure that begins so soon after a deployment is the deployment's, and not cured by a new task",
    )
    rollout: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long the new deployment, or the stop of one task, may take",
    )
    patience: timedelta = Field(default=timedelta(minutes=15), description="how long a cure may take to show")
    trusted_images: tuple[str, ...] = Field(
        default=(),
        max_length=20,
        description="image names (or beginnings of them) that may be newer after a restart, such as a sidecar's",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        hosts = self._hosts(target)
        return () if hosts is None else (*hosts, ResourceRead("ecs.service", str(target.arn)))

    def _hosts(self, target: Target) -> tuple[MetricQuery, MetricQuery] | None:
        """How many tasks are unhealthy and healthy. AWS's advice: the least of the one, the most of the other."""
        if target.load_balancer is None or target.target_group is None:
            return None
        window = minutes(max(self.unhealthy_for, self.well_for) + _LATE)
        between = (target.load_balancer, target.target_group)
        return (
            group_metric(*between, "UnHealthyHostCount", "Minimum", window),
            group_metric(*between, "HealthyHostCount", "Maximum", window),
        )

    def detect(self, target: Target, seen: Readings) -> Observation:
        """A service is sick also while it is being deployed: that this is not ours to fix is for the diagnosis."""
        hosts = self._hosts(target)
        if hosts is None:
            return Unknown(f"nobody has said which load balancer {target.arn.name} stands behind")
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        desired = int(service["desiredCount"])
        unhealthy, healthy = (seen.metric(query) for query in hosts)
        if isinstance(unhealthy, Unread):
            return Unknown(unhealthy.reason)
        if isinstance(healthy, Unread):
            return Unknown(healthy.reason)
        return self._judged(target, desired, unhealthy, healthy, seen.at)

    def _judged(self, target: Target, desired: int, unhealthy: Series, healthy: Series, now: datetime) -> Observation:
        """What the minutes say; those that nobody reported are neither healthy nor sick."""
        bad = _newest(unhealthy, self.unhealthy_for, now)
        good = _newest(healthy, timedelta(minutes=_CRITICAL), now)
        if not bad or not good:
            return Unknown(f"the load balancer has not reported the tasks of {target.arn.name} in every minute")
        if min(bad) >= 1:
            return Sick(self._unanswered(target, desired, min(bad), max(good)))
        if max(bad[-1], good[-1]) < 1:
            return Unknown(f"no task of {target.arn.name} is healthy or unhealthy: the load balancer has none")
        return Healthy(f"{good[-1]:.0f} healthy tasks of {desired}, {bad[-1]:.0f} unhealthy")

    def _unanswered(self, target: Target, desired: int, bad: float, good: float) -> Finding:
        window = f"{minutes(self.unhealthy_for)} minutes"
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{bad:.0f} of {desired} tasks of {target.arn.name} have been unhealthy for {window}",
            signals=(
                Signal("UnHealthyHostCount", bad, 1.0, window, "tasks"),
                Signal("HealthyHostCount", good, float(desired), f"{_CRITICAL} minutes", "tasks"),
            ),
            severity=Severity.SEV1 if good < 1 else Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        service = states.service(read, target.arn)
        restarts.check_state(service)
        deployment = restarts.check_deployment(service)
        history = _history(read, target.arn, service)
        _check_running(target, service, history)
        since = self._unhealthy_minutes(read, target)
        self._check_cause(target, deployment, since, read.now())
        tasks = _tasks(read, target)
        bad = sorted([task for task in tasks if task.reason], key=lambda task: task.rank)
        self._check_stuck(bad, service, since, read.now())
        evidence = (
            finding.symptom,
            *(f"{count} of {len(tasks)} tasks: {reason}, {_KNOWN[reason]}" for reason, count in _counted(bad)),
            f"deployment {deployment['id']} is complete since {restarts.age(deployment, read.now())}",
            *history,
        )
        facts = {
            "service": str(target.arn),
            "deployment": deployment["id"],
            "task_definition": service["taskDefinition"],
        }
        rejected = (
            Alternative("a release broke it", f"none began within {minutes(self.suspect)} minutes before"),
            Alternative("ECS is replacing it", f"it had {minutes(self.stuck_for)} minutes, and has not"),
            Alternative(
                "the service hangs as a whole",
                f"{service['runningCount']} tasks run: else ecs-service-stalled goes first",
            ),
        )
        name = target.arn.name
        if len(bad) < len(tasks):
            cause = f"{len(bad)} of {len(tasks)} tasks of {name} are unhealthy and the others are well: it is the task"
            worst = bad[0].arn
            return Diagnosis(str(target.arn), cause, evidence, rejected, {**facts, "task": worst})
        restarts.check_rolling(service)
        images = restarts.check_images(read, target.arn, service, self.trusted_images)
        cause = f"all {len(tasks)} tasks of {name} are unhealthy, and nobody is changing the service"
        return Diagnosis(str(target.arn), cause, (*evidence, *images), rejected, facts)

    def _unhealthy_minutes(self, read: Reader, target: Target) -> Series:
        """The unhealthy tasks of each minute, back to before a deployment would be suspect."""
        load_balancer, group = target.load_balancer, target.target_group
        if load_balancer is None or group is None:
            raise Refused("load-balancer", "the configuration names no load balancer and target group of the service")
        window = minutes(self.suspect + _ONSET)
        return states.series(read, group_metric(load_balancer, group, "UnHealthyHostCount", "Minimum", window))

    def _check_cause(self, target: Target, deployment: Mapping[str, Any], since: Series, now: datetime) -> None:
        """
        Refuse where a release came first, or since: what it broke, new tasks do not mend.

        A deployment after it fell ill has brought new tasks already, and they did not help: no second restart.
        """
        began, onset = states.began(deployment), _onset(since) or now
        if began is not None and began + self.suspect <= onset:
            return
        numbers = {"suspect_minutes": minutes(self.suspect)}
        if began is None:
            said = "ECS does not say when it was deployed"
        elif began > onset:
            said = "it has been deployed since it fell ill, and new tasks have not helped"
        else:
            numbers["minutes_after"] = minutes(onset - began)
            said = f"the release came first: it fell ill {minutes(onset - began)} minutes after a deployment"
        raise Refused("cause", said, numbers=numbers, retry_after=_LATER, link=str(target.arn))

    def _check_stuck(self, bad: list[_Task], service: Mapping[str, Any], since: Series, now: datetime) -> None:
        """Refuse while ECS may yet replace what is unhealthy: unless as many tasks were so for all that time."""
        grace = timedelta(seconds=int(service.get("healthCheckGracePeriodSeconds") or 0))
        window = _newest(since, self.stuck_for, now)
        young = [task for task in bad if now - task.started < self.stuck_for + grace]
        if not bad or young or not window or min(window) < len(bad):
            raise Refused(
                "replacing",
                f"ECS replaces unhealthy tasks itself, and has had less than {minutes(self.stuck_for)} minutes for it",
                numbers={"unhealthy": len(bad), "young": len(young)},
                retry_after=timedelta(minutes=1),
            )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        if "task" not in facts:
            return self._restart(facts)
        return self._stop(Arn.parse(facts["service"]), facts["task"])

    def _stop(self, arn: Arn, task: str) -> Plan:
        cluster, service = split_service_arn(arn)
        stop = Call(
            "ecs",
            "StopTask",
            task,
            params={"cluster": cluster, "task": task, "reason": _REASON},
            before={"desired_status": "RUNNING"},
            why="ECS starts another one in its place",
        )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"stop the unhealthy task {Arn.parse(task).name} of {service} in {cluster}",
            steps=(Step("stop-task", calls=(stop,), settle=timedelta(minutes=1), why="ECS replaces the task"),),
            risk="requests that the task holds are lost; until its successor runs, the others carry the load",
            undo_by_hand="a task that was stopped cannot be brought back; ECS starts another one in its place",
        )

    def _restart(self, facts: Mapping[str, Json]) -> Plan:
        risk = "requests that a task holds may be lost; old and new tasks run side by side for minutes"
        return restarts.plan(self.name, facts, risk=risk, final=True)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        if call.operation == "UpdateService":
            return restarts.effect(answer)
        return {"desired_status": answer.get("task", {}).get("desiredStatus")}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """A task that was stopped for our reason, ECS says, was stopped by us; any other may have been anybody's."""
        if call.operation == "UpdateService":
            return restarts.reconcile(read, call, since)
        task = _described(read, call)
        if task is None:
            return Outcome.UNKNOWN
        if _meant_to_run(task):
            return Outcome.NOT_DONE if read.now() >= since + restarts.LANDS else Outcome.UNKNOWN
        return Outcome.DONE if task.get("stoppedReason") == _REASON else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        call = step.calls[0]
        if call.operation == "UpdateService":
            return (*restarts.went(read, call, self.rollout), None)
        return (*self._stopped(_described(read, call), read.now()), None)

    def _stopped(self, task: Mapping[str, Any] | None, now: datetime) -> tuple[Progress, str]:
        """A task that drains may take minutes; ECS does not always say since when."""
        if task is None or task.get("lastStatus") == "STOPPED":
            return Progress.NEXT, "the task has stopped"
        if _meant_to_run(task):
            return Progress.STOP, "the task was not stopped"
        began = task.get("stoppingAt")
        if not isinstance(began, datetime) or now < began + self.rollout:
            return Progress.WAIT, f"the task is {task.get('lastStatus')}"
        return Progress.STOP, f"after {minutes(self.rollout)} minutes the task is still {task.get('lastStatus')}"

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Health during a rollout, or of a minute, proves nothing: the bad task may be back in the next one."""
        seen = self.detect(target, after)
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        hosts = self._hosts(target)
        if not isinstance(seen, Healthy) or not isinstance(service, Mapping) or hosts is None:
            return seen
        if not service.get("desiredCount"):
            return seen
        trouble = states.unfinished(service)
        if trouble:
            return Unknown(f"cannot be judged yet: {trouble}")
        unhealthy = after.metric(hosts[0])
        window = _newest(unhealthy, self.well_for, after.at) if isinstance(unhealthy, Series) else ()
        if not window or max(window) >= 1:
            return Unknown(f"cannot be judged yet: not every task was healthy for {minutes(self.well_for)} minutes")
        return seen


# -- minutes ---------------------------------------------------------------------------------------------------------


def _newest(series: Series, span: timedelta, now: datetime) -> tuple[float, ...]:
    """The values of the newest whole minutes of that span, one of which may be missing; none where more are."""
    count = minutes(span)
    values = tuple(value for at, value in series.points if at >= now - span - _LATE)[-count:]
    return values if len(values) == count else ()


def _onset(series: Series) -> datetime | None:
    """When what lasts until now began: the first of the last unbroken run of minutes with an unhealthy task."""
    onset = None
    for at, value in reversed(series.points):
        if value < 1:
            break
        onset = at
    return onset


# -- what the load balancer and ECS say, in our words ------------------------------------------------------------------


def _check_running(target: Target, service: Mapping[str, Any], history: tuple[str, ...]) -> None:
    """Refuse where tasks are missing: ECS is starting some, or cannot, and then one fewer would be worse."""
    desired, running = service["desiredCount"], service.get("runningCount", 0)
    if running >= desired:
        return
    numbers = {"desired": desired, "running": running}
    cannot = [line for line in history if _STARTUP in line or _BACK_OFF in line]
    if cannot:
        raise Refused(
            "startup", f"{running} of {desired} tasks run, and more cannot be started: {cannot[0]}", numbers=numbers
        )
    raise Refused(
        "replacing",
        f"{running} of {desired} tasks run: ECS is starting others, or ecs-service-stalled goes first",
        numbers=numbers,
        retry_after=_SOON,
        link=str(target.arn),
    )


def _tasks(read: Reader, target: Target) -> tuple[_Task, ...]:
    """
    Every running task, with what its load balancer says of it.

    Refuses where the two do not fit together: what is bad must be known for certain before it is stopped.
    """
    running = _running(read, target.arn)
    reasons: dict[str, str] = {}
    answer = read("elbv2", "DescribeTargetHealth", TargetGroupArn=str(target.target_group))
    for each in answer.get("TargetHealthDescriptions", ()):
        health, address = each.get("TargetHealth", {}), str(each.get("Target", {}).get("Id"))
        state, reason = health.get("State"), str(health.get("Reason", "not said"))
        if state in _PASSING:
            continue
        if state != "healthy" and (state != "unhealthy" or reason not in _KNOWN):
            raise Refused("reason", f"the load balancer calls a target {state} ({reason}), which no new task cures")
        if address in running:
            reasons[address] = reasons.get(address) or (reason if state == "unhealthy" else "")
        elif state == "unhealthy":
            raise Refused("replacing", "an unhealthy target belongs to no running task", retry_after=_SOON)
    if missing := running.keys() - reasons.keys():
        numbers = {"running": len(running), "without": len(missing)}
        raise Refused("replacing", "tasks are on their way into the load balancer", numbers=numbers, retry_after=_SOON)
    now = read.now()
    return tuple(_Task(str(task["taskArn"]), _started(task, now), reasons[where]) for where, task in running.items())


def _running(read: Reader, arn: Arn) -> dict[str, Mapping[str, Any]]:
    """The running tasks of a service by their address. Refuses where one has none of its own, or there are too many."""
    described = _listed(read, arn, "RUNNING")
    running = [task for task in described if task.get("lastStatus") == "RUNNING"]
    found = {address: task for task in running if (address := _address(task))}
    if len(found) < len(running) or len(described) >= restarts.TASKS:
        raise Refused(
            "tasks",
            "which task is which target cannot be told",
            numbers={"tasks": len(described), "with_address": len(found), "most": restarts.TASKS - 1},
        )
    return found


def _listed(read: Reader, arn: Arn, status: str) -> tuple[Mapping[str, Any], ...]:
    """Tasks of a service that are, or are meant to be, of that status. ECS keeps stopped ones for about an hour."""
    cluster, name = split_service_arn(arn)
    listed = read(
        "ecs", "ListTasks", cluster=cluster, serviceName=name, desiredStatus=status, maxResults=restarts.TASKS
    ).get("taskArns", ())
    return tuple(read("ecs", "DescribeTasks", cluster=cluster, tasks=list(listed)).get("tasks", ())) if listed else ()


def _described(read: Reader, call: Call) -> Mapping[str, Any] | None:
    """The task that a call is about; None where ECS does not know it any more."""
    tasks = read("ecs", "DescribeTasks", cluster=call.params["cluster"], tasks=[call.resource]).get("tasks", ())
    return tasks[0] if tasks else None


def _meant_to_run(task: Mapping[str, Any]) -> bool:
    return task.get("desiredStatus") == "RUNNING" and task.get("lastStatus") == "RUNNING"


def _address(task: Mapping[str, Any]) -> str:
    """The address of a task's own network interface; empty for one that shares its host's."""
    details = (each for one in task.get("attachments", ()) for each in one.get("details", ()))
    return next((str(each.get("value")) for each in details if each.get("name") == "privateIPv4Address"), "")


def _started(task: Mapping[str, Any], now: datetime) -> datetime:
    """Since when a task runs; of one that does not say, not before now."""
    at = task.get("startedAt")
    return at if isinstance(at, datetime) else now


def _counted(bad: Iterable[_Task]) -> list[tuple[str, int]]:
    return sorted(Counter(task.reason for task in bad).items())


# -- tasks that ended ------------------------------------------------------------------------------------------------


def _history(read: Reader, arn: Arn, service: Mapping[str, Any]) -> tuple[str, ...]:
    """
    What became of the service's tasks in the last hour, a line for each kind of end. None of AWS's texts is quoted.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
    """
    grace = timedelta(seconds=int(service.get("healthCheckGracePeriodSeconds") or 0))
    ends = Counter(end for task in _listed(read, arn, "STOPPED") if (end := _end(task, grace)))
    lines = [f"{count} stopped task{'s' if count > 1 else ''}: {end}" for end, count in sorted(ends.items())]
    deployed = states.began(states.primary(service))
    said = (each for each in service.get("events", ()) if "unable to consistently start" in str(each.get("message")))
    if any(deployed is not None and _since(each, deployed) for each in said):
        lines.append(_BACK_OFF)
    return tuple(lines)


def _since(event: Mapping[str, Any], at: datetime) -> bool:
    said = event.get("createdAt")
    return isinstance(said, datetime) and said >= at


def _end(task: Mapping[str, Any], grace: timedelta) -> str:
    """Why a task ended, in our words; empty where somebody, or a deployment, has stopped it in good order."""
    containers = task.get("containers", ())
    said = " ".join([str(task.get("stoppedReason")), *(str(each.get("reason")) for each in containers)])
    code = task.get("stopCode")
    if "CannotPull" in said or "ResourceInitialization" in said:
        return _STARTUP
    if any("OutOfMemory" in str(each.get("reason")) for each in containers):
        return _MEMORY
    if code in {"SpotInterruption", "TerminationNotice", "InfrastructureHealth"}:
        return _PLACE
    if "failed ELB health checks" in said:
        started, stopping = task.get("startedAt"), task.get("stoppingAt")
        if isinstance(started, datetime) and isinstance(stopping, datetime) and stopping - started <= grace + _SOON:
            return _EARLY
        return _CHECKS
    if any(each.get("exitCode") == 137 for each in containers):  # noqa: PLR2004 - 128 + SIGKILL
        return _KILLED
    return _ENDED if code == "EssentialContainerExited" else ""
