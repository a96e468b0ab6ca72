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

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import Missing, Refused, Rejected
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
from nightshift.signals import queue_metric, split_service_arn
from nightshift.states import minutes

__all__ = ["EcsServiceStalled"]

_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SKEW = timedelta(minutes=1)  # how far AWS's clock and ours may be apart
_TASKS = 100  # tasks that one DescribeTasks takes (AWS's limit): enough to know what runs
_MOST = 0.8  # share of the minutes that must have been reported before silence means anything

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?",
    re.ASCII,
)


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
        service = seen.resource(ResourceRead("ecs.service", str(target.arn)))
        if isinstance(service, Unread):
            return Unknown(service.reason)
        if service is None:
            return Unknown(f"{target.arn} does not exist")
        if service.get("status") != "ACTIVE":
            return Unknown(f"{target.arn.name} is {service.get('status')}")
        desired, running = service.get("desiredCount"), service.get("runningCount")
        if not isinstance(desired, int) or not isinstance(running, int):
            return Unknown(f"ECS did not say how many tasks of {target.arn.name} run")
        if desired == 0:
            return Healthy("stopped on purpose: desired count 0")
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
        _check_state(service)
        deployment = _check_deployment(service)
        _check_rolling(service)
        compared = self._check_images(read, target.arn, service)
        age = _age(deployment, read.now())
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

    def _check_images(self, read: Reader, arn: Arn, service: Mapping[str, Any]) -> tuple[str, ...]:
        """Refuse where a restart would run anything else: a forced deployment resolves every tag again."""
        running = _running_images(read, arn, service)
        if not running:
            raise Refused("image", "which images run cannot be told, so a restart might bring new code")
        return tuple(self._compared(read, image, digests) for image, digests in sorted(running.items()))

    def _compared(self, read: Reader, image: str, digests: frozenset[str]) -> str:
        if image.startswith(self.trusted_images):
            return f"{image} may be newer after a restart: the configuration says so"
        if "@sha256:" in image:
            return f"{image} is pinned by its digest"
        found = _ECR.fullmatch(image)
        if found is None:
            raise Refused("image", f"where the tag of {image} points to cannot be read: it is in no ECR repository")
        tag = found["tag"] or "latest"
        try:
            details = read(
                "ecr",
                "DescribeImages",
                registryId=found["registry"],
                repositoryName=found["repository"],
                imageIds=[{"imageTag": tag}],
            ).get("imageDetails", ())
        except (Missing, Rejected) as error:
            raise Refused(
                "image", f"{image} cannot be found any more ({error.code}): a restart could not pull it"
            ) from error
        now = {str(detail.get("imageDigest")) for detail in details}
        if digests != now:
            raise Refused(
                "image",
                f"the tag of {image} has moved on since it was deployed: a restart would bring new code",
                numbers={"running": _digests(digests), "tag": _digests(now)},
            )
        return f"{image} is what runs ({_digests(digests)})"

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        arn = Arn.parse(facts["service"])
        cluster, service = split_service_arn(arn)
        restart = Call(
            "ecs",
            "UpdateService",
            str(arn),
            params={"cluster": cluster, "service": service, "forceNewDeployment": True},
            before={"deployment": facts["deployment"], "task_definition": facts["task_definition"]},
            why="the same task definition and the same images, with new tasks",
        )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"restart the tasks of {service} in {cluster}, one after the other",
            steps=(Step("restart", calls=(restart,), settle=timedelta(minutes=2), why="replace every task"),),
            risk="work that a task holds is done again by another one; old and new tasks run side by side for minutes",
            undo_by_hand=(
                "what was replaced cannot be brought back; to stop the replacing: "
                f"aws ecs list-service-deployments --cluster {cluster} --service {service}; "
                "aws ecs stop-service-deployment --service-deployment-arn … --stop-type ABORT"
            ),
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        service = answer.get("service", {})
        primary = states.primary(service)
        return {"deployment": (primary or {}).get("id"), "task_definition": service.get("taskDefinition")}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """A newer deployment of the same task definition is ours: ECS takes no token by which to know it."""
        service = states.service(read, Arn.parse(call.resource))
        primary = states.primary(service)
        if primary is None:
            return Outcome.UNKNOWN
        if primary.get("id") == call.before["deployment"]:
            return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN
        began = primary.get("createdAt")
        same = primary.get("taskDefinition") == call.before["task_definition"]
        if same and isinstance(began, datetime) and began >= since - _SKEW:
            return Outcome.DONE
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        call = step.calls[0]
        service = states.service(read, Arn.parse(call.resource))
        return (*self._went(service, call.before, read.now()), None)

    def _went(self, service: Mapping[str, Any], before: Mapping[str, Json], now: datetime) -> tuple[Progress, str]:
        primary = states.primary(service)
        if primary is None or primary.get("id") == before["deployment"]:
            return Progress.STOP, "no new deployment has appeared"
        if primary.get("taskDefinition") != before["task_definition"]:
            return Progress.STOP, "somebody has deployed another task definition since"
        if primary.get("rolloutState") == "FAILED":
            return Progress.STOP, f"the deployment failed: {primary.get('rolloutStateReason', 'no reason was given')}"
        trouble = states.unfinished(service)
        if not trouble:
            return Progress.NEXT, f"{service.get('runningCount')} new tasks run"
        began = primary.get("createdAt")
        if isinstance(began, datetime) and now < began + self.rollout:
            return Progress.WAIT, trouble
        return Progress.STOP, f"after {minutes(self.rollout)} minutes still: {trouble}"

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Health during a rollout proves nothing: the old tasks may still be there."""
        seen = self.detect(target, after)
        service = after.resource(ResourceRead("ecs.service", str(target.arn)))
        if not isinstance(seen, Healthy) or not isinstance(service, Mapping):
            return seen
        trouble = states.unfinished(service)
        return Unknown(f"cannot be judged yet: {trouble}") if trouble else seen


# -- what ECS says, in our words -------------------------------------------------------------------------------------


def _check_state(service: Mapping[str, Any]) -> None:
    if service.get("status") != "ACTIVE":
        raise Refused("state", f"the service is {service.get('status')}")
    if not service.get("desiredCount"):
        raise Refused("state", "somebody has stopped the service (desired count 0)")
    controller = service.get("deploymentController", {}).get("type", "ECS")
    if controller != "ECS":
        raise Refused("controller", f"deployments of the service belong to {controller}, which does not take a restart")


def _check_deployment(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one deployment there is. Refuses while somebody is deploying, and after a deployment that failed."""
    deployments: Sequence[Mapping[str, Any]] = service.get("deployments", ())
    states = [str(each.get("rolloutState", "unknown")) for each in deployments]
    if states == ["FAILED"]:
        raise Refused("mid-change", "the last deployment failed: a restart would start the same again")
    if states != ["COMPLETED"]:
        raise Refused(
            "mid-change",
            f"the service is being deployed ({', '.join(states) or 'no deployment'})",
            numbers={"deployments": len(states)},
            retry_after=timedelta(minutes=2),
        )
    return deployments[0]


def _check_rolling(service: Mapping[str, Any]) -> None:
    """
    Refuse where ECS could not replace tasks without stopping all of them, or not at all.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
    """
    rules = service.get("deploymentConfiguration", {})
    desired = int(service["desiredCount"])
    least, most = rules.get("minimumHealthyPercent", 100), rules.get("maximumPercent", 200)
    stays, fits = math.ceil(desired * least / 100), math.floor(desired * most / 100)
    numbers = {"desired": desired, "minimum_percent": least, "maximum_percent": most}
    if stays < 1:
        raise Refused(
            "rolling",
            f"ECS may stop all {desired} tasks at once (minimum healthy {least} %): an outage",
            numbers=numbers,
        )
    if fits <= desired and stays >= desired:
        raise Refused(
            "rolling", f"ECS may neither stop a task nor start one more ({least} to {most} %)", numbers=numbers
        )


def _running_images(read: Reader, arn: Arn, service: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Each image that the service runs, with the digests that its name stood for when it was deployed."""
    cluster, name = split_service_arn(arn)
    tasks = read("ecs", "ListTasks", cluster=cluster, serviceName=name, maxResults=_TASKS).get("taskArns", ())
    if tasks:
        described = read("ecs", "DescribeTasks", cluster=cluster, tasks=list(tasks)).get("tasks", ())
        containers = [
            container
            for task in described
            if task.get("lastStatus") == "RUNNING" and task.get("taskDefinitionArn") == service.get("taskDefinition")
            for container in task.get("containers", ())
        ]
        if containers:
            return _by_image(containers)
    deployed = read(
        "ecs", "ListServiceDeployments", cluster=cluster, service=name, status=["SUCCESSFUL"], maxResults=1
    ).get("serviceDeployments", ())
    revisions = [str(each["targetServiceRevisionArn"]) for each in deployed if "targetServiceRevisionArn" in each]
    if not revisions:
        return {}
    found = read("ecs", "DescribeServiceRevisions", serviceRevisionArns=revisions).get("serviceRevisions", ())
    return _by_image(container for each in found for container in each.get("containerImages", ()))


def _by_image(containers: Iterable[Mapping[str, Any]]) -> dict[str, frozenset[str]]:
    """A container that does not say its digest makes its image one that cannot be compared: it has the digest ''."""
    found: dict[str, frozenset[str]] = {}
    for container in containers:
        image = str(container.get("image", ""))
        found[image] = found.get(image, frozenset()) | {str(container.get("imageDigest") or "")}
    return found


def _age(deployment: Mapping[str, Any], now: datetime) -> str:
    began = deployment.get("createdAt")
    return f"{max(0, (now - began) // timedelta(hours=1))} hours" if isinstance(began, datetime) else ""


def _digests(digests: Iterable[str]) -> str:
    return ", ".join(sorted(digest.removeprefix("sha256:")[:12] or "not said" for digest in digests)) or "none"
