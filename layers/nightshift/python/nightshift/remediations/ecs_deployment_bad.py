"""
A new release is bad: go back to the revision that ran well before it.

Symptom   since a deployment requests fail, targets are unhealthy or nothing is consumed any more, and before it they
          were well; or its tasks fail to start, it does not get on, or it has failed and was left lying
Cause     what was deployed: another task definition or other images than the revision that had run well
Cure      under way: ECS stops the deployment and rolls it back; complete: the task definition of the newest revision
          that had succeeded before it
Proof     one completed deployment of that revision, as many tasks as desired, and what showed the failure is well again
          for a while, with enough requests to tell
Undo      none: rolling forward is for people
Source    runbook 4 "Rollback Deployment", "Unhealthy Hosts"; R5

What it will not do: interrupt ECS's own circuit breaker, go to "revision - 1" (what was registered is not what ran), go
back to what had not proved itself, go back twice, or roll back where an image's tag has moved on meanwhile. A rollback
does not undo what the release did to data: a person says yes, unless the service is tagged ``auto-rollback=enabled``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

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
from nightshift.signals import group_metric, queue_metric, split_service_arn
from nightshift.states import minutes

__all__ = ["EcsDeploymentBad"]

_SKEW = timedelta(minutes=1)  # how far AWS's clock and ours may be apart
_MINUTE = timedelta(minutes=1)
_PART = timedelta(minutes=5)  # requests are judged in parts, of which two must be bad (R8)
_BEFORE = 30  # minutes before a deployment that say how it was then: always the same ones, however late that is asked
_HISTORY = 20  # deployments that are looked at, newest first: as many revisions as one call describes (AWS's limit)
_SUCCESSFUL = "SUCCESSFUL"
_YOUNG = timedelta(minutes=5)  # metrics come late, and windows must lie after a deployment as a whole
_UNHEALTHY = 3  # minutes in a row with an unhealthy target that are no accident
_GONE_BACK = "ROLLBACK_SUCCESSFUL"
_UNDER_WAY = ("PENDING", "IN_PROGRESS")
_GOING_BACK = ("ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "STOP_REQUESTED")
"""what ECS calls its deployments: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html"""


class EcsDeploymentBad(Remediation):
    """A deployment of an ECS service after which the service is not well."""

    name: ClassVar[str] = "ecs-deployment-bad"
    title: ClassVar[str] = "the new release is bad"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    reads: ClassVar[tuple[str, ...]] = (
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecs:DescribeTaskDefinition",
        "ecr:DescribeImages",
    )
    writes: ClassVar[tuple[str, ...]] = ("ecs:StopServiceDeployment", "ecs:UpdateService")
    delegates: ClassVar[tuple[str, ...]] = ("iam:PassRole",)
    cures_deployments: ClassVar[bool] = True
    auto_tag: ClassVar[str] = "auto-rollback"

    max_attempts: PositiveInt = Field(default=1, le=1, description="rollbacks per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(hours=24), description="between two rollbacks of one service")
    confirm: PositiveInt = Field(default=2, description="sick looks in a row before a release is called bad")
    looks: PositiveInt = Field(default=5, description="healthy looks in a row that prove the rollback")
    suspect_for: timedelta = Field(
        default=timedelta(minutes=60),
        ge=timedelta(minutes=10),
        le=timedelta(hours=3),
        description="how long after a deployment what goes wrong is blamed on it",
    )
    proven_after: timedelta = Field(
        default=timedelta(minutes=60), description="how long the revision to go back to must have run before"
    )
    rollout: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long a deployment may take, and a rollback",
    )
    failed_tasks: PositiveInt = Field(
        default=3, description="tasks of a deployment that failed before it is called bad"
    )
    error_percent: PositiveInt = Field(default=5, le=100, description="answers with 5xx that are too many")
    requests: PositiveInt = Field(default=50, description="requests that it takes to tell")
    stalled_for: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long nothing was finished while messages waited",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("ecs.service", str(target.arn)), *self._flows(target).metrics)

    def _flows(self, target: Target) -> _Flows:
        """What tells how a service serves, from some time before the oldest deployment that is blamed for anything."""
        return _Flows.of(target, minutes(self.suspect_for) + _BEFORE)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Whether the service's last deployment is bad: sick since then, and well before.

        What was sick before already, or long after, has another cause: then the deployment is healthy here.
        """
        described = self._described(target, seen)
        if isinstance(described, Healthy | Unknown):
            return described
        stuck = self._stuck(described, seen.at)
        if stuck:
            return self._sick(target, stuck, (), described.severity)
        if seen.at - described.began > self.suspect_for:
            return Healthy(f"deployed {(seen.at - described.began) // timedelta(hours=1)} hours ago")
        after = self._after(target, seen, described)
        if isinstance(after, Unknown):
            return after
        found = [each for each in after if each.sick and each.well_before]
        if found:
            text = " and ".join(each.text for each in found)
            signals = tuple(signal for each in found for signal in each.signals)
            return self._sick(target, f"since the deployment of {described.began:%H:%M} UTC {text}", signals)
        return Healthy(f"deployed at {described.began:%H:%M} UTC, and nothing has become worse since")

    def _described(self, target: Target, seen: Readings) -> _Deployed | Healthy | Unknown:
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        deployments = service.get("deployments")
        readable = isinstance(deployments, list) and all(isinstance(each, Mapping) for each in deployments)
        primary = states.primary(service) if readable else None
        began = states.began(primary)
        if primary is None or began is None or began.tzinfo is None:
            return Unknown(f"ECS did not say when {target.arn.name} was deployed")
        failed = primary.get("failedTasks", 0)
        running = service.get("runningCount")
        return _Deployed(
            began=began,
            state=str(primary.get("rolloutState", "")),
            failed=failed if isinstance(failed, int) else 0,
            severity=Severity.SEV1 if running == 0 else Severity.SEV2,
        )

    def _stuck(self, deployed: _Deployed, now: datetime) -> str:
        """What ECS itself says is wrong with a deployment; empty where it says nothing."""
        when = f"the deployment of {deployed.began:%H:%M} UTC"
        if deployed.state == "FAILED":
            return f"{when} has failed, and ECS has left it so"
        if deployed.state != "IN_PROGRESS":
            return ""
        if deployed.failed >= self.failed_tasks:
            return f"{deployed.failed} tasks of {when} failed"
        late = now - deployed.began
        return f"{when} is not complete after {minutes(late)} minutes" if late > self.rollout else ""

    def _after(self, target: Target, seen: Readings, deployed: _Deployed) -> list[_Effect] | Unknown:
        """How the service has served since its deployment, and how it had before."""
        flows = self._flows(target)
        read: dict[MetricQuery, Series] = {}
        for query in flows.metrics:
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            read[query] = series
        found = []
        if flows.requests is not None and flows.failed is not None and flows.unhealthy is not None:
            found.append(self._errors((read[flows.requests], read[flows.failed]), deployed.began))
            found.append(_unhealthy(read[flows.unhealthy], deployed.began))
        if flows.waiting is not None and flows.finished is not None:
            found.append(self._stalled(read[flows.waiting], read[flows.finished], deployed.began))
        return found

    def _errors(self, counted: Sequence[Series], began: datetime) -> _Effect:
        """
        Requests fail now, and did five minutes ago: what failed for a while and is over is nobody's to roll back.

        Too few requests before the deployment say nothing of how it was then, and so blame nobody.
        """
        first, last = (_failed(counted, began + 2 * _MINUTE, part=part) for part in (-2, -1))
        requests, failed = (one + other for one, other in zip(first, last, strict=True))
        earlier, failed_earlier = _failed(counted, began - _BEFORE * _MINUTE, before=began - _MINUTE)
        percent, before = _percent(requests, failed), _percent(earlier, failed_earlier)
        lasts = min(_percent(*first), _percent(*last)) > self.error_percent
        return _Effect(
            sick=requests >= self.requests and lasts,
            well_before=earlier >= self.requests and before <= self.error_percent,
            known=requests >= self.requests,
            text=f"{percent:.0f} % of {requests:.0f} requests failed ({before:.0f} % before)",
            well=f"{percent:.0f} % of {requests:.0f} requests failed",
            signals=(Signal("5xx answers", round(percent, 1), self.error_percent, "10 minutes", "%"),),
        )

    def _stalled(self, waiting: Series, finished: Series, began: datetime) -> _Effect:
        """
        Nothing finished while messages waited, in all of the last minutes, which all lie after the deployment.

        A consumer that had finished nothing before either does not owe that to its release.
        """
        window = minutes(self.stalled_for)
        since = [value for at, value in waiting.points if at >= began][-window:]
        done = [value for at, value in finished.points if at >= began][-window:]
        earlier = sum(value for at, value in finished.points if began - _BEFORE * _MINUTE <= at < began)
        whole = len(since) >= window
        return _Effect(
            sick=whole and min(since) > 0 and sum(done) == 0,
            well_before=earlier > 0,
            known=whole or sum(done) > 0,
            text=f"nothing is finished while messages wait, for {window} minutes",
            well=f"{sum(done):.0f} messages finished in {len(done)} minutes",
            signals=(Signal("NumberOfMessagesDeleted", sum(done), 1.0, f"{window} minutes", "messages"),),
        )

    def _sick(
        self, target: Target, symptom: str, signals: tuple[Signal, ...], severity: Severity = Severity.SEV2
    ) -> Sick:
        return Sick(Finding(self.name, str(target.arn), symptom, signals=signals, severity=severity))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        service = states.service(read, target.arn)
        restarts.check_state(service, "which rolls them back itself")
        history = _history(read, target.arn)
        newest = history[0]
        _check_not_going_back(newest.status)
        under_way = newest.status in _UNDER_WAY
        if under_way:
            _check_breaker(service)
        good = self._proven(history)
        facts: dict[str, Json] = {
            "service": str(target.arn),
            "deployment": str((states.primary(service) or {}).get("id")),
            "task_definition": newest.task_definition,
            "back_to": good.task_definition,
            "roles": [],
        }
        if under_way:
            facts["service_deployment"] = newest.arn
        elif good.task_definition == newest.task_definition:
            raise Refused(
                "image",
                f"both releases are {_short(good.task_definition)}, whose tag has moved on: push the good image again "
                f"({good.digests}), and deploy",
            )
        else:
            self._check_images(read, good)
            facts["roles"] = _roles(read, good.task_definition, target)
        now, was = _short(newest.task_definition), _short(good.task_definition)
        return Diagnosis(
            target=str(target.arn),
            cause=f"the release of {newest.began:%H:%M} UTC is bad ({now})",
            evidence=(
                finding.symptom,
                f"before it {was} had run for {_hours(good.ran(_kept(history)))} hours",
                f"what differs: task definition {was} -> {now}, images {good.digests} -> {newest.digests}",
                "the release may have changed data: a rollback does not undo that",
                "whoever deploys from code will bring the release back with the next deployment",
            ),
            rejected=(
                Alternative("it was sick before", "it was well until the deployment"),
                Alternative("ECS rolls it back itself", f"it does not: {_why_not_itself(service, newest.status)}"),
                Alternative("it is a restart", "task definition or images have changed"),
            ),
            facts=facts,
        )

    def _proven(self, history: Sequence[_Release]) -> _Release:
        """
        The newest release before this one that succeeded and ran something else. Refuses where it has proved nothing.

        Refuses for a restart, which brought nothing new, and for what is itself a return: nobody goes back twice. From
        what was rolled back ECS has returned within the same service deployment: what ran before it runs again.
        """
        newest, *older = history = _kept(history)
        if older and older[0].content == newest.content and older[0].status == _SUCCESSFUL:
            raise Refused("release", "it started what had run before: a restart, and nothing to go back from")
        if any(each.content == newest.content for each in older if each.status == _SUCCESSFUL):
            raise Refused("rollback", "what was deployed last had run before: it is itself a way back")
        good = next((each for each in older if each.status == _SUCCESSFUL), None)
        if good is None:
            raise Refused("history", "no release before it had succeeded")
        if newest.status in _UNDER_WAY and good is not older[0]:
            raise Refused("history", "ECS would go back to the release before it, which had not succeeded either")
        ran = good.ran(history)
        if ran < self.proven_after:
            raise Refused(
                "history",
                f"the release before it had run for {minutes(ran)} minutes only: whether that one is good is not known",
                numbers={"minutes": minutes(ran), "needed": minutes(self.proven_after)},
            )
        return good

    def _check_images(self, read: Reader, release: _Release) -> None:
        """Refuse where going back would start another image than the one that was good: tags are resolved again."""
        for _, image, digest in release.images:
            if "@sha256:" in image:
                continue
            if restarts.tagged(read, image) != {digest}:
                raise Refused(
                    "image", f"the tag of {image} has moved on since it ran: going back would start something else"
                )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        arn = Arn.parse(facts["service"])
        cluster, service = split_service_arn(arn)
        before = {"deployment": facts["deployment"], "task_definition": facts["task_definition"]}
        stop = facts.get("service_deployment")
        if stop is not None:
            call = Call(
                "ecs",
                "StopServiceDeployment",
                stop,
                params={"serviceDeploymentArn": stop, "stopType": "ROLLBACK"},
                grants=(("ecs:StopServiceDeployment", str(arn)),),
                before=before,
                why="ECS stops the deployment and goes back to the revision before it",
            )
        else:
            call = Call(
                "ecs",
                "UpdateService",
                str(arn),
                params={"cluster": cluster, "service": service, "taskDefinition": facts["back_to"]},
                grants=tuple(("iam:PassRole", role) for role in facts["roles"]),
                before=before,
                why="the task definition of the newest revision that had run well",
            )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"roll {service} in {cluster} back to {_short(facts['back_to'])}",
            steps=(Step("roll-back", calls=(call,), settle=timedelta(minutes=2), why="replace every task"),),
            risk="data that the release has changed stays changed; old and new tasks run side by side for minutes",
            undo_by_hand=(
                f"to roll forward again: aws ecs update-service --cluster {cluster} --service {service} "
                f"--task-definition {_short(facts['task_definition'])}"
            ),
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        service = answer.get("service", {})
        primary = states.primary(service)
        found = {"deployment": (primary or {}).get("id"), "task_definition": service.get("taskDefinition")}
        return {name: value for name, value in found.items() if value}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """ECS takes no token: what is there now tells. A deployment that ended otherwise was not ended by us."""
        if call.operation == "StopServiceDeployment":
            return self._was_stopped(read, call, since)
        service = states.service(read, Arn.parse(call.resource))
        primary = states.primary(service)
        if primary is None:
            return Outcome.UNKNOWN
        if primary.get("id") == call.before["deployment"]:
            return Outcome.NOT_DONE if read.now() >= since + restarts.LANDS else Outcome.UNKNOWN
        began = states.began(primary)
        same = primary.get("taskDefinition") == call.params["taskDefinition"]
        ours = same and began is not None and since - _SKEW <= began <= since + restarts.REACH
        return Outcome.DONE if ours else Outcome.UNKNOWN

    def _was_stopped(self, read: Reader, call: Call, since: datetime) -> Outcome:
        status = _status(read, call)
        if status in _UNDER_WAY or status == "SUCCESSFUL":
            return Outcome.NOT_DONE if read.now() >= since + restarts.LANDS else Outcome.UNKNOWN
        return Outcome.DONE if status.startswith("ROLLBACK") else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """
        A stop is a request, and the rollback starts after it: until then the deployment that is given up stays first.

        Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stop-service-deployment.html
        """
        call = step.calls[0]
        service = states.service(read, Arn.parse(plan.target))
        there = (states.primary(service) or {}).get("id") == call.before["deployment"]
        if there and call.operation == "StopServiceDeployment" and (status := _status(read, call)) in _GOING_BACK:
            return Progress.WAIT, f"ECS has not begun to roll back: {status}", None
        return (*self._went(service, call, read.now()), None)

    def _went(self, service: Mapping[str, Any], call: Call, now: datetime) -> tuple[Progress, str]:
        primary = states.primary(service)
        if primary is None or primary.get("id") == call.before["deployment"]:
            return Progress.STOP, "no rollback has appeared"
        wanted = call.params.get("taskDefinition")
        if wanted is not None and primary.get("taskDefinition") != wanted:
            return Progress.STOP, "somebody has deployed another task definition since"
        if primary.get("rolloutState") == "FAILED":
            return Progress.STOP, f"the rollback failed: {primary.get('rolloutStateReason', 'no reason was given')}"
        trouble = states.unfinished(service)
        if not trouble:
            return Progress.NEXT, f"{service.get('runningCount')} tasks of the revision before run"
        began = states.began(primary)
        if began is not None and now < began + self.rollout:
            return Progress.WAIT, trouble
        return Progress.STOP, f"after {minutes(self.rollout)} minutes still: {trouble}"

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """
        What is sick has not recovered for want of somebody to blame: not after an hour, nor upon another bad release.

        And what somebody has deployed since is not well for being new: it gets the time in which it would fail.
        """
        seen, deployed = self.detect(target, after), self._described(target, after)
        if not isinstance(seen, Healthy) or not isinstance(deployed, _Deployed):
            return seen
        effects = self._after(target, after, deployed)
        if isinstance(effects, Unknown):
            return effects
        still = [each.text for each in effects if each.sick]
        if still:
            return self._sick(target, " and ".join(still), before.signals, before.severity)
        young = after.at - deployed.began < self.stalled_for + _YOUNG
        if young and not all(each.known for each in effects):
            return Unknown(f"deployed at {deployed.began:%H:%M} UTC, which is too lately to tell")
        return seen

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """
        Well since the rollback, whatever was before: and only what can be told counts.

        Nothing is said while tasks are still being replaced, nor before enough requests came in to tell.
        """
        deployed = self._described(target, after)
        if isinstance(deployed, Healthy | Unknown):
            return deployed if isinstance(deployed, Unknown) else Unknown("somebody has stopped the service since")
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        trouble = states.unfinished(service) if isinstance(service, Mapping) else "not described"
        if trouble:
            return Unknown(f"cannot be judged yet: {trouble}")
        effects = self._after(target, after, deployed)
        if isinstance(effects, Unknown):
            return effects
        sick = [each.text for each in effects if each.sick]
        if sick:
            return self._sick(target, f"since the rollback {' and '.join(sick)}", before.signals, before.severity)
        silent = [each.well for each in effects if not each.known]
        if silent:
            return Unknown(f"too little since the rollback to tell: {' and '.join(silent)}")
        return Healthy("; ".join(each.well for each in effects) or "every task of the revision runs")


# -- what is compared ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Deployed:
    """The last deployment, as far as it is described."""

    began: datetime
    state: str
    failed: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class _Effect:
    """One way in which a release shows: sick now, known to be well before, and whether there was enough to tell now."""

    sick: bool
    well_before: bool
    known: bool
    text: str
    well: str
    signals: tuple[Signal, ...]


@dataclass(frozen=True, slots=True)
class _Flows:
    """The metrics that tell how a service serves: its requests, its targets, what it consumes. None: it has no such."""

    requests: MetricQuery | None = None
    failed: MetricQuery | None = None
    unhealthy: MetricQuery | None = None
    waiting: MetricQuery | None = None
    finished: MetricQuery | None = None

    @classmethod
    def of(cls, target: Target, window: int) -> _Flows:
        """Those of a target, over so many minutes."""
        balancer, group, queue = target.load_balancer, target.target_group, target.queue
        found: dict[str, MetricQuery] = {}
        if balancer is not None and group is not None:
            found["requests"] = group_metric(balancer, group, "RequestCount", "Sum", window)
            found["failed"] = group_metric(balancer, group, "HTTPCode_Target_5XX_Count", "Sum", window)
            found["unhealthy"] = group_metric(balancer, group, "UnHealthyHostCount", "Minimum", window)
        if queue is not None:
            found["waiting"] = queue_metric(queue, "ApproximateNumberOfMessagesVisible", "Minimum", window)
            found["finished"] = queue_metric(queue, "NumberOfMessagesDeleted", "Sum", window)
        return cls(**found)

    @property
    def metrics(self) -> tuple[MetricQuery, ...]:
        """What is to be read."""
        every = (self.requests, self.failed, self.unhealthy, self.waiting, self.finished)
        return tuple(query for query in every if query is not None)


def _failed(
    counted: Sequence[Series], since: datetime, *, part: int = 0, before: datetime | None = None
) -> tuple[float, float]:
    """
    Requests, and how many of them failed since a moment: before another, or in one of the last parts of five minutes.

    What a load balancer answers by itself is left out: it counts that for all services behind it together. The minutes
    around a deployment belong to neither side: tasks of both revisions may serve then.
    """
    newest = max((at for series in counted for at, _ in series.points), default=None)
    if newest is None:
        return 0.0, 0.0
    start = newest + _MINUTE + part * _PART
    requests, failed = (
        sum(
            value
            for at, value in series.points
            if at >= since and (at < before if before is not None else start <= at < start + _PART)
        )
        for series in counted
    )
    return max(requests, failed), failed


def _percent(requests: float, failed: float) -> float:
    return 100 * failed / requests if requests else 0.0


def _unhealthy(series: Series, began: datetime) -> _Effect:
    """A target is unhealthy in each of the last minutes: AWS advises the minimum, over more than one point (R6)."""
    since = [value for at, value in series.points if at >= began + 2 * _MINUTE][-_UNHEALTHY:]
    earlier = [value for at, value in series.points if at < began - _MINUTE][-_UNHEALTHY:]
    now = since[-1] if since else 0.0
    return _Effect(
        sick=len(since) == _UNHEALTHY and min(since) >= 1,
        well_before=len(earlier) == _UNHEALTHY and min(earlier) < 1,
        known=len(since) == _UNHEALTHY,
        text=f"{now:.0f} target{'' if now == 1 else 's'} unhealthy",
        well="every target healthy",
        signals=(Signal("UnHealthyHostCount", now, 1.0, f"{_UNHEALTHY} minutes", "targets"),),
    )


# -- what ECS says, in our words -------------------------------------------------------------------------------------


def _kept(history: Sequence[_Release]) -> list[_Release]:
    """What was deployed and not rolled back."""
    return [each for each in history if each.status != _GONE_BACK]


def _status(read: Reader, call: Call) -> str:
    """How the service deployment is that a call stops; empty where ECS does not say."""
    answer = read("ecs", "DescribeServiceDeployments", serviceDeploymentArns=[call.resource])
    return next((str(each.get("status")) for each in answer.get("serviceDeployments", ())), "")


def _check_not_going_back(status: str) -> None:
    if status in _GOING_BACK:
        raise Refused("rollback", f"the deployment is being rolled back already ({status})", retry_after=2 * _MINUTE)
    if status == _GONE_BACK:
        raise Refused("rollback", "the deployment has been rolled back already: the cause is another one")
    if status not in {*_UNDER_WAY, "SUCCESSFUL", "STOPPED"}:
        raise Refused("rollback", f"the last deployment is {status}: only a person can tell what is running")


def _check_breaker(service: Mapping[str, Any]) -> None:
    """
    Leave a deployment to ECS while ECS itself watches it and would roll it back.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
    """
    rules = service.get("deploymentConfiguration", {})
    for name, who in (("deploymentCircuitBreaker", "circuit breaker"), ("alarms", "deployment alarms")):
        rule = rules.get(name) or {}
        if rule.get("enable") and rule.get("rollback"):
            raise Refused(
                "circuit-breaker",
                f"ECS's own {who} watches the deployment and rolls it back",
                retry_after=2 * _MINUTE,
            )


@dataclass(frozen=True, slots=True)
class _Release:
    """One deployment of a service, with what it was to run: (container, image, digest) of each of its containers."""

    arn: str
    status: str
    began: datetime
    finished: datetime | None
    task_definition: str
    images: tuple[tuple[str, str, str], ...]

    @property
    def content(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """What it runs: two releases with equal content are one."""
        return self.task_definition, frozenset((name, digest or image) for name, image, digest in self.images)

    @property
    def digests(self) -> str:
        """The digests of its images, shortened."""
        return ", ".join(digest.removeprefix("sha256:")[:12] or "not said" for _, _, digest in self.images) or "none"

    def ran(self, history: Sequence[_Release]) -> timedelta:
        """
        How long it had run, restarts included, until something else was deployed.

        Not at all where ECS does not say when it was complete.
        """
        at = history.index(self)
        again = takewhile(lambda each: each.content == self.content and each.finished is not None, history[at:])
        since = [each.finished for each in again if each.finished is not None]
        return history[at - 1].began - min(since) if since else timedelta(0)


def _history(read: Reader, arn: Arn) -> list[_Release]:
    """The last releases, newest first. Refuses where ECS does not say enough, or there is nothing to go back to."""
    cluster, name = split_service_arn(arn)
    listed = read("ecs", "ListServiceDeployments", cluster=cluster, service=name, maxResults=_HISTORY)
    deployments = listed.get("serviceDeployments", ())
    arns = sorted({str(each.get("targetServiceRevisionArn")) for each in deployments})
    if len(deployments) < 2:  # noqa: PLR2004 - this one, and one before it
        raise Refused("history", "ECS keeps no deployment before this one")
    answer = read("ecs", "DescribeServiceRevisions", serviceRevisionArns=arns)
    revisions = {str(each.get("serviceRevisionArn")): each for each in answer.get("serviceRevisions", ())}
    found = [_release(each, revisions.get(str(each.get("targetServiceRevisionArn")))) for each in deployments]
    return sorted(found, key=lambda each: each.began, reverse=True)


def _release(deployment: Mapping[str, Any], revision: Mapping[str, Any] | None) -> _Release:
    began, finished = deployment.get("createdAt"), deployment.get("finishedAt")
    if revision is None or not isinstance(began, datetime):
        raise Refused("history", "ECS does not say what one of the last deployments was to run")
    return _Release(
        arn=str(deployment.get("serviceDeploymentArn")),
        status=str(deployment.get("status")),
        began=began,
        finished=finished if isinstance(finished, datetime) else None,
        task_definition=str(revision.get("taskDefinition")),
        images=tuple(
            (str(each.get("containerName")), str(each.get("image")), str(each.get("imageDigest") or ""))
            for each in revision.get("containerImages", ())
        ),
    )


def _roles(read: Reader, definition: str, target: Target) -> list[str]:
    """The roles that starting a task definition passes on. Refuses those that the configuration does not name."""
    described = read("ecs", "DescribeTaskDefinition", taskDefinition=definition).get("taskDefinition", {})
    if described.get("status") != "ACTIVE":
        raise Refused("definition", f"{_short(definition)} has been deregistered: nothing to go back to")
    roles = sorted({str(described[name]) for name in ("taskRoleArn", "executionRoleArn") if described.get(name)})
    strange = [role for role in roles if role not in set(map(str, target.roles))]
    if strange:
        raise Refused("roles", f"going back would pass on {strange[0]}, which the target's roles do not name")
    return roles


def _short(definition: object) -> str:
    """``family:revision`` of a task definition's ARN."""
    return str(definition).rpartition("/")[2]


def _hours(span: timedelta) -> int:
    return span // timedelta(hours=1)


def _why_not_itself(service: Mapping[str, Any], status: str) -> str:
    if status not in _UNDER_WAY:
        return f"the deployment is {status}"
    rules = service.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})
    return "its circuit breaker only stops" if rules.get("enable") else "it has no circuit breaker"
