"""
Too many requests fail: find out why, and tell.

Symptom   more than 5 % of the requests got 5xx, in two of the last three parts of five minutes
Cause     asked in order: a deployment or a release, tasks killed for their memory, tasks that are missing or do not
          answer, what the service needs, its CPU and memory; what is left is one path, or what all paths share
Cure      none of its own: what another remediation looks after waits for that one, anything else is for people
Proof     requests are answered again, with enough of them to tell
Undo      nothing to undo
Source    runbook 4 "High Error Rate", "View Logs"; R8

502 (a task broke off), 503 (no task) and 504 (no answer in time) are told apart. Too few requests are no recovery.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from pydantic import Field, PositiveInt

from nightshift import paths, serving, states
from nightshift.errors import Refused, Unreadable
from nightshift.model import (
    Alternative,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.serving import Answered, Counts, State
from nightshift.states import minutes

__all__ = ["EcsErrorsHigh"]

_MOSTLY = 0.8  # of what fails, what one path must have for the others to count as well
_SHOWN = 5  # paths in a report


class EcsErrorsHigh(ReportOnly):
    """An ECS service that answers too many requests with errors."""

    name: ClassVar[str] = "ecs-errors-high"
    title: ClassVar[str] = "too many requests fail"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    needs: ClassVar[tuple[str, ...]] = ("load_balancer", "target_group")
    reads: ClassVar[tuple[str, ...]] = (*serving.READS, *paths.READS)

    deadline: timedelta = Field(default=timedelta(hours=2), description="how long an incident may stay open")
    percent: float = Field(default=5, gt=0, le=100, description="per cent of requests that may fail")
    requests: PositiveInt = Field(default=50, description="requests in five minutes that it takes to tell")
    suspect: timedelta = Field(
        default=timedelta(minutes=60),
        le=timedelta(hours=3),
        description="how long after a release what begins is taken for its doing",
    )
    cpu: float = Field(default=80, gt=0, le=100, description="per cent of CPU above which it is short of tasks")
    memory: float = Field(default=85, gt=0, le=100, description="per cent of memory above which it is short of tasks")
    history: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=20),
        le=timedelta(hours=3),
        description="how far back memory is compared with load, to tell a leak",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        counts = Counts.of(target, serving.WINDOW)
        return () if counts is None else (*counts.all, ResourceRead("ecs.service", str(target.arn)))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Why they fail is for the diagnosis to say; that the service is being deployed, too."""
        counts = Counts.of(target, serving.WINDOW)
        if counts is None:
            return Unknown(f"nobody has said which load balancer {target.arn.name} stands behind")
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        answered = counts.read(seen)
        if isinstance(answered, Unknown):
            return answered
        match serving.judged(answered.parts, self.percent, self.requests):
            case State.BAD:
                return Sick(self._finding(target, answered))
            case State.UNTOLD:
                return Unknown("requests failed, and too few have come in since to tell whether they still do")
            case State.QUIET:
                return Healthy(f"too few requests to tell: fewer than {self.requests} in five minutes", idle=True)
        return Healthy(f"at most {self.percent:.0f} % of requests fail")

    def _finding(self, target: Target, answered: Answered) -> Finding:
        worst = max((part.value or 0.0) for part in answered.parts[-3:])
        total = sum(part.requests for part in answered.parts[-3:])
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"up to {worst:.0f} % of the requests to {target.arn.name} fail",
            signals=(
                Signal("5xx answers", round(worst, 1), self.percent, "5 minutes, 2 of 3", "%"),
                Signal("RequestCount", total, float(self.requests), "15 minutes", "requests"),
            ),
            evidence=answered.text,
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        answered = self._answered(read, target, Counts.of(target, serving.HISTORY))
        since = serving.onset(answered.parts, self.percent, self.requests) or read.now()
        found = serving.behind(
            read,
            target,
            since,
            suspect=self.suspect,
            cpu=self.cpu,
            memory=self.memory,
            history=self.history,
        )
        serving.check_lasts(
            self._answered(read, target, Counts.of(target, serving.LATELY, period=60)).parts, self.percent
        )
        evidence = (finding.symptom, f"it began at {since:%H:%M} UTC", *answered.text, *found.evidence)
        if found.cause:
            return Diagnosis(str(target.arn), found.cause, evidence, advice=found.advice)
        if found.leak:
            cause = f"{target.arn.name} leaks memory: it is {found.leak:.0f} % full, and load does not explain it"
            advice = ("restart its tasks, which gives time", "look for what they keep")
            return Diagnosis(str(target.arn), cause, evidence, advice=advice)
        return Diagnosis(
            target=str(target.arn),
            cause=f"requests to {target.arn.name} fail in the application, or in what it calls",
            evidence=evidence,
            rejected=(
                Alternative("a release", f"none came within {minutes(self.suspect)} minutes before"),
                Alternative("tasks that are sick", "every task runs and answers its health checks"),
                Alternative("too little capacity", "neither CPU nor memory is short"),
            ),
            facts={"by_path": True},
            advice=_advice(answered),
        )

    def _answered(self, read: Reader, target: Target, counts: Counts | None) -> Answered:
        if counts is None:
            raise Refused("load-balancer", "the configuration names no load balancer and target group of the service")
        answered = counts.read(read.seen(*counts.all))
        if isinstance(answered, Unknown):
            raise Unreadable("cloudwatch:GetMetricData", "Unread", answered.reason, resource=target.arn.name)
        return answered

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """One path, or all: by the log of the application itself."""
        if not diagnosis.facts.get("by_path"):
            return diagnosis
        found = paths.counted(read, target.log_group, notes)
        if isinstance(found, Unread):
            said = f"which paths fail cannot be told: {found.reason}"
            return replace(diagnosis, evidence=(*diagnosis.evidence, said))
        worst = sorted(found, key=lambda path: (-path.failed, path.name))[:_SHOWN]
        evidence = (*diagnosis.evidence, *(path.text for path in worst))
        failed = sum(path.failed for path in found)
        bad = [path for path in found if 100 * path.failed > self.percent * path.requests]
        if not failed:
            said = "the application's log knows of no request that went wrong"
            return replace(diagnosis, evidence=(*evidence, said))
        if len(found) > 1 and len(bad) == 1 and bad[0].failed >= _MOSTLY * failed:
            cause = f"one path of {target.arn.name} fails: {bad[0].name}"
            advice = (f"look at the code behind {bad[0].name}, and at what only that calls", *diagnosis.advice[1:])
            return replace(diagnosis, cause=cause, evidence=evidence, advice=advice)
        cause = f"{len(bad)} of {len(found)} paths of {target.arn.name} fail: it is what they share"
        return replace(diagnosis, cause=cause, evidence=evidence)


def _advice(answered: Answered) -> tuple[str, ...]:
    """What people should look at, by how requests fail."""
    shared = "look at what all paths share: the database, the caches and services it calls, credentials and quotas"
    by_code = {
        "502": "502: look for tasks that end, and for connections that they close before the load balancer does",
        "503": "503: look whether the target group has tasks, and the listener's rule points to it",
        "504": "504: look for what does not answer in time, and let calls to it end sooner",
    }
    said = (line for code, line in by_code.items() if any(each.startswith(code) for each in answered.by_balancer))
    return (shared, *said, "where something it calls is down, break the circuit and answer without it")
