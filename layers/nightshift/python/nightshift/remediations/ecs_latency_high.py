"""
Answers take too long: start leaking tasks anew, once; tell people of anything else.

Symptom   the 95th percentile of the response time is above one second, in two of the last three parts of five minutes
Cause     asked in order: a deployment or a release, tasks killed for their memory, tasks that are missing or do not
          answer, what the service needs, its CPU, a leak, its memory; what is left is one path, or what all share
Cure      of a leak, one forced new deployment of what runs; what another remediation looks after waits for that one
Proof     two parts after the restart well below what it was, and below the threshold, with enough requests to tell
Undo      none: a task that was replaced cannot be brought back
Source    runbook 4 "High Latency", "View Logs"; R8, R3

What it will not do: restart for anything but a leak that load does not explain, restart twice, or restart where that
would bring new code. A restart that does not help is the last thing that it tries. Too few requests are no recovery.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import paths, restarts, serving, states
from nightshift.errors import Refused, Unreadable
from nightshift.model import (
    Alternative,
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
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.serving import Found, Part, State, Times
from nightshift.states import minutes

__all__ = ["EcsLatencyHigh"]

_BETTER = 0.8  # of what it was before, what it may be at most to count as cured: just below the threshold is chance
_AFTER = 2  # whole parts after a restart that prove it
_SHOWN = 5  # paths in a report


class EcsLatencyHigh(Remediation):
    """An ECS service that takes too long to answer."""

    name: ClassVar[str] = "ecs-latency-high"
    title: ClassVar[str] = "answers take too long"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    needs: ClassVar[tuple[str, ...]] = ("load_balancer", "target_group")
    reads: ClassVar[tuple[str, ...]] = (
        *serving.READS,
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecr:DescribeImages",
        *paths.READS,
    )
    writes: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    freeze_safe: ClassVar[bool] = True  # it starts what runs already: a restart that would ship new code is refused

    max_attempts: PositiveInt = Field(default=1, le=1, description="restarts per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two restarts of one service")
    patience: timedelta = Field(default=timedelta(minutes=30), description="how long a cure may take to show")
    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    seconds: float = Field(default=1, gt=0, le=60, description="seconds that 95 of 100 answers may take")
    requests: PositiveInt = Field(default=50, description="requests in five minutes that it takes to tell")
    suspect: timedelta = Field(
        default=timedelta(minutes=60),
        le=timedelta(hours=3),
        description="how long after a release what begins is taken for its doing",
    )
    cpu: float = Field(default=80, gt=0, le=100, description="per cent of CPU above which it is short of tasks")
    memory: float = Field(default=85, gt=0, le=100, description="per cent of memory above which it is short of tasks")
    leaked: float = Field(default=70, gt=0, le=100, description="per cent of memory from which a leak slows tasks")
    history: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=20),
        le=timedelta(hours=3),
        description="how far back memory is compared with load, to tell a leak",
    )
    rollout: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long the new deployment may take",
    )
    trusted_images: tuple[str, ...] = Field(
        default=(),
        max_length=20,
        description="image names (or beginnings of them) that may be newer after a restart, such as a sidecar's",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        times = Times.of(target, serving.WINDOW)
        return () if times is None else (*times.all, ResourceRead("ecs.service", str(target.arn)))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Why it is slow is for the diagnosis to say; that the service is being deployed, too."""
        times = Times.of(target, serving.WINDOW)
        if times is None:
            return Unknown(f"nobody has said which load balancer {target.arn.name} stands behind")
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        parts = times.read(seen)
        if isinstance(parts, Unknown):
            return parts
        match serving.judged(parts, self.seconds, self.requests):
            case State.BAD:
                return Sick(self._finding(target, parts))
            case State.UNTOLD:
                return Unknown("answers took too long, and too few have been given since to tell whether they still do")
            case State.QUIET:
                return Healthy(f"too few requests to tell: fewer than {self.requests} in five minutes", idle=True)
        return Healthy(f"95 of 100 answers take at most {self.seconds:g} s")

    def _finding(self, target: Target, parts: tuple[Part, ...]) -> Finding:
        worst = max((part.value or 0.0) for part in parts[-3:])
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"5 of 100 answers of {target.arn.name} take {worst:.1f} s or longer",
            signals=(
                Signal("TargetResponseTime p95", round(worst, 2), self.seconds, "5 minutes, 2 of 3", "s"),
                Signal(
                    "RequestCount",
                    sum(part.requests for part in parts[-3:]),
                    float(self.requests),
                    "15 minutes",
                    "requests",
                ),
            ),
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        since = (
            serving.onset(self._parts(read, target, Times.of(target, serving.HISTORY)), self.seconds, self.requests)
            or read.now()
        )
        found = serving.behind(
            read,
            target,
            since,
            suspect=self.suspect,
            cpu=self.cpu,
            memory=self.memory,
            history=self.history,
        )
        serving.check_lasts(self._parts(read, target, Times.of(target, serving.LATELY, period=60)), self.seconds)
        evidence = (finding.symptom, f"it began at {since:%H:%M} UTC", *found.evidence)
        if found.cause:
            return Diagnosis(str(target.arn), found.cause, evidence, advice=found.advice)
        if found.leak >= self.leaked:
            return self._leak(read, target, found, evidence)
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name} is slow in its code, or in what it calls",
            evidence=evidence,
            rejected=(
                Alternative("a release", f"none came within {minutes(self.suspect)} minutes before"),
                Alternative("tasks that are sick", "every task runs and answers its health checks"),
                Alternative("too little capacity", "neither CPU nor memory is short"),
                Alternative("a leak", "memory has not risen by itself to where it slows a task down"),
            ),
            facts={"by_path": True},
            advice=(
                "look at what all paths share: the database and the services it calls, their locks and connections",
                "let calls end sooner than the callers give up, and break the circuit to what is slow",
            ),
        )

    def _parts(self, read: Reader, target: Target, times: Times | None) -> tuple[Part, ...]:
        if times is None:
            raise Refused("load-balancer", "the configuration names no load balancer and target group of the service")
        parts = times.read(read.seen(*times.all))
        if isinstance(parts, Unknown):
            raise Unreadable("cloudwatch:GetMetricData", "Unread", parts.reason, resource=target.arn.name)
        return parts

    def _leak(self, read: Reader, target: Target, found: Found, evidence: tuple[str, ...]) -> Diagnosis:
        """A restart, where it is safe; where it never will be, people are told what stands against it."""
        arn, service = target.arn, found.service
        cause = f"{arn.name} leaks memory, and is slow because of it"
        try:
            restarts.check_state(service)
            deployment = restarts.check_deployment(service)
            restarts.check_rolling(service)
            images = restarts.check_images(read, arn, service, self.trusted_images)
        except Refused as refused:
            if refused.retry_after is not None:
                raise
            advice = ("restart its tasks once that is safe", "look for what they keep")
            against = f"no restart was made: {refused.reason}"
            return Diagnosis(str(arn), cause, (*evidence, against), advice=advice)
        return Diagnosis(
            target=str(arn),
            cause=cause,
            evidence=(*evidence, *images),
            rejected=(
                Alternative("a release", f"none came within {minutes(self.suspect)} minutes before"),
                Alternative("load", "CPU has not risen with memory"),
                Alternative("a restart would bring new code", "every image is what its tag points to"),
            ),
            facts={
                "service": str(arn),
                "deployment": deployment["id"],
                "task_definition": service["taskDefinition"],
            },
        )

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """One path, or all: by the log of the application itself."""
        if not diagnosis.facts.get("by_path"):
            return diagnosis
        found = paths.counted(read, target.log_group, notes)
        if isinstance(found, Unread):
            said = f"which paths are slow cannot be told: {found.reason}"
            return replace(diagnosis, evidence=(*diagnosis.evidence, said))
        worst = sorted(found, key=lambda path: (-path.slow, path.name))[:_SHOWN]
        evidence = (*diagnosis.evidence, *(path.text for path in worst))
        slow = [path for path in worst if path.slow > self.seconds * 1000]
        if not slow:
            said = "by the application's own log no path is slow: the time goes by before or behind it"
            return replace(diagnosis, evidence=(*evidence, said))
        if len(found) > 1 and len(slow) == 1:
            cause = f"one path of {target.arn.name} is slow: {slow[0].name}"
            advice = (f"look at the code behind {slow[0].name}, and at what only that calls", *diagnosis.advice[1:])
            return replace(diagnosis, cause=cause, evidence=evidence, advice=advice)
        cause = f"{len(slow)} or more of {len(found)} paths of {target.arn.name} are slow: it is what they share"
        return replace(diagnosis, cause=cause, evidence=evidence)

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        risk = "requests that a task holds may be lost; the leak is still there, and memory will rise again"
        return restarts.plan(self.name, diagnosis.facts, risk=risk, final=True)

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return restarts.effect(answer)

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        return restarts.reconcile(read, call, since)

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        return (*restarts.went(read, step.calls[0], self.rollout), None)

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Answers before the restart prove nothing, and neither do a few, nor some that are hardly quicker."""
        seen = self.detect(target, after)
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        times = Times.of(target, serving.WINDOW)
        parts = () if times is None else times.read(after)
        if not isinstance(seen, Healthy) or not isinstance(service, Mapping) or isinstance(parts, Unknown):
            return seen
        if not service.get("desiredCount"):
            return seen
        trouble = states.unfinished(service)
        began = states.began(states.primary(service))
        if trouble or began is None:
            return Unknown(f"cannot be judged yet: {trouble or 'ECS does not say when it was deployed'}")
        since = [part.value for part in parts if part.at >= began and part.requests >= self.requests]
        newest = [value for value in since[-_AFTER:] if value is not None]
        if len(newest) < _AFTER:
            return Unknown("cannot be judged yet: too few answers since the restart")
        was = next((signal.value for signal in before.signals), self.seconds)  # first it could not be seen
        worst = max(newest)
        if worst > min(self.seconds, _BETTER * was):
            symptom = f"{target.arn.name} is hardly quicker: {worst:.2f} s, and {was:.2f} s before the restart"
            return Sick(replace(before, symptom=symptom))
        return Healthy(f"95 of 100 answers take at most {worst:.2f} s; before the restart it was {was:.2f} s")
