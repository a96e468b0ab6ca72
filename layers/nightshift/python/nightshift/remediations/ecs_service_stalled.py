"""
A service hangs: start its tasks anew.

Symptom   fewer tasks run than should, or a consumer has finished nothing for a quarter of an hour while messages wait
Cause     the running tasks hang, and nobody changes anything: same task definition and images, no deployment
Cure      a forced new deployment of what runs already; ECS replaces the tasks one after the other
Proof     one completed deployment, as many tasks as desired, none failed, and messages are finished again
Undo      none: a task that was replaced cannot be brought back
Source    runbook 4 "Force Restart All Tasks", runbook 0 task 3 option 1; R3

What it will not do: restart where that would ship new code (the image's tag has moved on), interrupt a deployment, stop
the only task of a service, or start what somebody has stopped. A restart that does not help is not repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import restarts, states
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
from nightshift.remediation import Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import queue_metric
from nightshift.states import minutes

__all__ = ["EcsServiceStalled"]

_MOST = 0.8  # share of the minutes that must have been reported before silence means anything


class EcsServiceStalled(Remediation):
    """An ECS service whose tasks hang."""

    name: ClassVar[str] = "ecs-service-stalled"
    title: ClassVar[str] = "the service hangs"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    reads: ClassVar[tuple[str, ...]] = (
        "ecs:ListTasks",
        "ecs:DescribeTasks",
        "ecs:ListServiceDeployments",
        "ecs:DescribeServiceRevisions",
        "ecr:DescribeImages",
    )
    writes: ClassVar[tuple[str, ...]] = ("ecs:UpdateService",)
    freeze_safe: ClassVar[bool] = True  # it starts what runs already: a restart that would ship new code is refused

    max_attempts: PositiveInt = Field(default=1, le=3, description="restarts per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(minutes=60), description="between two restarts of one service")
    confirm: PositiveInt = Field(default=3, description="sick looks in a row: ECS itself replaces a task that ended")
    stalled_for: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=5),
        le=timedelta(hours=3),
        description="how long nothing was finished while messages waited; longer than the longest job takes",
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
        service = ResourceRead("ecs.service", str(target.arn))
        return (service,) if target.queue is None else (service, *self._flow(target.queue))

    def _flow(self, queue: Arn) -> tuple[MetricQuery, MetricQuery]:
        """What shows a consumer that has stopped: messages waiting, and none finished."""
        window = minutes(self.stalled_for)
        return (
            queue_metric(queue, "ApproximateNumberOfMessagesVisible", "Minimum", window),
            queue_metric(queue, "NumberOfMessagesDeleted", "Sum", window),
        )

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        A service with fewer tasks than desired is sick also while it is being deployed: it does have too few tasks.

        That this is not ours to fix then is for the diagnosis to say.
        """
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        desired, running = service["desiredCount"], service.get("runningCount")
        if not isinstance(running, int):
            return Unknown(f"ECS did not say how many tasks of {target.arn.name} run")
        if running < desired:
            return Sick(self._too_few(target, desired, running))
        if target.queue is None:
            return Healthy(f"{running} of {desired} tasks run")
        return self._consuming(target, target.queue, seen)

    def _consuming(self, target: Target, queue: Arn, seen: Readings) -> Observation:
        waiting, finished = (seen.metric(query) for query in self._flow(queue))
        if isinstance(waiting, Unread):
            return Unknown(waiting.reason)
        if isinstance(finished, Unread):
            return Unknown(finished.reason)
        window = minutes(self.stalled_for)
        if len(waiting.points) < window * _MOST:
            return Healthy(f"{queue.name} is quiet: it reported {len(waiting.points)} of {window} minutes")
        least = min(value for _, value in waiting.points)
        if least == 0 or finished.total > 0:
            return Healthy(f"{finished.total:.0f} messages finished in {window} minutes")
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{target.arn.name} has finished nothing for {window} minutes; messages wait in {queue.name}",
                signals=(
                    Signal("NumberOfMessagesDeleted", 0.0, 1.0, f"{window} minutes", "messages"),
                    Signal("ApproximateNumberOfMessagesVisible", least, 0.0, f"{window} minutes", "messages"),
                ),
                severity=Severity.SEV2,
            )
        )

    def _too_few(self, target: Target, desired: int, running: int) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{running} of {desired} tasks of {target.arn.name} run",
            signals=(Signal("runningCount", running, desired, "now", "tasks"),),
            severity=Severity.SEV1 if running == 0 else Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        service = states.service(read, target.arn)
        restarts.check_state(service)
        deployment = restarts.check_deployment(service)
        restarts.check_rolling(service)
        compared = restarts.check_images(read, target.arn, service, self.trusted_images)
        age = restarts.age(deployment, read.now())
        return Diagnosis(
            target=str(target.arn),
            cause=f"the tasks of {target.arn.name} hang; nobody is changing the service",
            evidence=(
                finding.symptom,
                f"deployment {deployment['id']} is complete{f' since {age}' if age else ''}, and there is no other",
                *compared,
            ),
            rejected=(
                Alternative("a deployment is under way", "there is one deployment, and it is complete"),
                Alternative("somebody stopped it", f"{service['desiredCount']} tasks are desired"),
                Alternative("a restart would bring new code", "every image is what its tag points to"),
            ),
            facts={
                "service": str(target.arn),
                "deployment": deployment["id"],
                "task_definition": service["taskDefinition"],
            },
        )

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        risk = "work that a task holds is done again by another one; old and new tasks run side by side for minutes"
        return restarts.plan(self.name, diagnosis.facts, risk=risk)

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
        """Health during a rollout proves nothing: the old tasks may still be there."""
        seen = self.detect(target, after)
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        if not isinstance(seen, Healthy) or not isinstance(service, Mapping):
            return seen
        trouble = states.unfinished(service)
        return Unknown(f"cannot be judged yet: {trouble}") if trouble else seen
