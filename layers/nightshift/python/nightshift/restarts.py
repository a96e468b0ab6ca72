"""
A restart of an ECS service, for every remediation that makes one: when it is safe, the call, and how it goes.

A forced new deployment starts every task anew and resolves every tag again. So it is refused where it would ship other
code than what runs, interrupt a deployment, start what somebody has stopped, or stop all tasks at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightshift import states
from nightshift.errors import Missing, Refused, Rejected
from nightshift.model import Arn, Call, Json, Outcome, Plan, Step
from nightshift.remediation import Progress, Reader
from nightshift.signals import split_service_arn
from nightshift.states import minutes

__all__ = [
    "LANDS",
    "REACH",
    "TASKS",
    "age",
    "call",
    "check_deployment",
    "check_images",
    "check_rolling",
    "check_state",
    "effect",
    "plan",
    "reconcile",
    "tagged",
    "went",
]

LANDS = timedelta(seconds=60)
"""how long a request whose answer was lost may still take effect"""
TASKS = 100
"""tasks that one ListTasks gives and one DescribeTasks takes (AWS's limit)"""
REACH = timedelta(minutes=3)
"""how long after a call was intended it may still be made, by a function's longest life, and then land"""
_SKEW = timedelta(minutes=1)  # how far AWS's clock and ours may be apart

_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?",
    re.ASCII,
)


# -- whether it is safe ----------------------------------------------------------------------------------------------


def check_state(service: Mapping[str, Any], theirs: str = "which does not take a restart") -> None:
    """Refuse what somebody has stopped, and what ECS does not deploy itself; ``theirs``: why that is left alone."""
    if service.get("status") != "ACTIVE":
        raise Refused("state", f"the service is {service.get('status')}")
    if not service.get("desiredCount"):
        raise Refused("state", "somebody has stopped the service (desired count 0)")
    controller = service.get("deploymentController", {}).get("type", "ECS")
    if controller != "ECS":
        raise Refused("controller", f"deployments of the service belong to {controller}, {theirs}")


def check_deployment(
    service: Mapping[str, Any], failed: str = "a restart would start the same again"
) -> Mapping[str, Any]:
    """The one deployment there is. Refuses while somebody is deploying, and, for ``failed``, after one that failed."""
    deployments: Sequence[Mapping[str, Any]] = service.get("deployments", ())
    rollouts = [str(each.get("rolloutState", "unknown")) for each in deployments]
    if rollouts == ["FAILED"]:
        raise Refused("mid-change", f"the last deployment failed: {failed}")
    if rollouts != ["COMPLETED"]:
        raise Refused(
            "mid-change",
            f"the service is being deployed ({', '.join(rollouts) or 'no deployment'})",
            numbers={"deployments": len(rollouts)},
            retry_after=timedelta(minutes=2),
        )
    return deployments[0]


def check_rolling(service: Mapping[str, Any]) -> None:
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


def check_images(read: Reader, arn: Arn, service: Mapping[str, Any], trusted: tuple[str, ...]) -> tuple[str, ...]:
    """
    Refuse where a restart would run anything else: a forced deployment resolves every tag again.

    What begins like one of ``trusted`` may be newer afterwards.
    """
    running = _running_images(read, arn, service)
    if not running:
        raise Refused("image", "which images run cannot be told, so a restart might bring new code")
    return tuple(_compared(read, image, digests, trusted) for image, digests in sorted(running.items()))


def _compared(read: Reader, image: str, digests: frozenset[str], trusted: tuple[str, ...]) -> str:
    if image.startswith(trusted):
        return f"{image} may be newer after a restart: the configuration says so"
    if "@sha256:" in image:
        return f"{image} is pinned by its digest"
    now = tagged(read, image)
    if digests != now:
        raise Refused(
            "image",
            f"the tag of {image} has moved on since it was deployed: a restart would bring new code",
            numbers={"running": _digests(digests), "tag": _digests(now)},
        )
    return f"{image} is what runs ({_digests(digests)})"


def tagged(read: Reader, image: str) -> frozenset[str]:
    """The digests that an image's tag stands for now. Refuses what ECR does not know, or not any more."""
    found = _ECR.fullmatch(image)
    if found is None:
        raise Refused("image", f"where the tag of {image} points to cannot be read: it is in no ECR repository")
    asked = {
        "registryId": found["registry"],
        "repositoryName": found["repository"],
        "imageIds": [{"imageTag": found["tag"] or "latest"}],
    }
    try:
        details = read("ecr", "DescribeImages", **asked).get("imageDetails", ())
    except (Missing, Rejected) as error:
        raise Refused(
            "image", f"{image} cannot be found any more ({error.code}): a new task could not pull it"
        ) from error
    return frozenset(str(detail.get("imageDigest")) for detail in details)


def _running_images(read: Reader, arn: Arn, service: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Each image that the service runs, with the digests that its name stood for when it was deployed."""
    cluster, name = split_service_arn(arn)
    tasks = read("ecs", "ListTasks", cluster=cluster, serviceName=name, maxResults=TASKS).get("taskArns", ())
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


def _digests(digests: Iterable[str]) -> str:
    return ", ".join(sorted(digest.removeprefix("sha256:")[:12] or "not said" for digest in digests)) or "none"


# -- the call, and how it goes ---------------------------------------------------------------------------------------


def call(arn: Arn, *, deployment: str, task_definition: str) -> Call:
    """The restart of a service that is at that deployment of that task definition."""
    cluster, service = split_service_arn(arn)
    return Call(
        "ecs",
        "UpdateService",
        str(arn),
        params={"cluster": cluster, "service": service, "forceNewDeployment": True},
        before={"deployment": deployment, "task_definition": task_definition},
        why="the same task definition and the same images, with new tasks",
    )


def plan(remediation: str, facts: Mapping[str, Json], *, risk: str, final: bool = False) -> Plan:
    """The plan to restart the ``service`` that a diagnosis' facts name, with its deployment and task definition."""
    arn = Arn.parse(facts["service"])
    cluster, service = split_service_arn(arn)
    restart = call(arn, deployment=facts["deployment"], task_definition=facts["task_definition"])
    return Plan(
        remediation=remediation,
        target=str(arn),
        summary=f"restart the tasks of {service} in {cluster}, one after the other",
        steps=(Step("restart", calls=(restart,), settle=timedelta(minutes=2), why="replace every task"),),
        risk=risk,
        undo_by_hand=(
            "what was replaced cannot be brought back; to stop the replacing: "
            f"aws ecs list-service-deployments --cluster {cluster} --service {service}; "
            "aws ecs stop-service-deployment --service-deployment-arn … --stop-type ABORT"
        ),
        final=final,
    )


def effect(answer: Mapping[str, Any]) -> Mapping[str, Json]:
    """What the answer says is there now, by the names of the call's ``before``."""
    service = answer.get("service", {})
    primary = states.primary(service)
    return {"deployment": (primary or {}).get("id"), "task_definition": service.get("taskDefinition")}


def reconcile(read: Reader, call: Call, since: datetime) -> Outcome:
    """
    A deployment of the same task definition, begun when ours could be, is ours: ECS takes no token to know it by.

    Whoever restarts the same service in these minutes cannot be told from us.
    """
    service = states.service(read, Arn.parse(call.resource))
    primary = states.primary(service)
    if primary is None:
        return Outcome.UNKNOWN
    if primary.get("id") == call.before["deployment"]:
        return Outcome.NOT_DONE if read.now() >= since + LANDS else Outcome.UNKNOWN
    began = primary.get("createdAt")
    same = primary.get("taskDefinition") == call.before["task_definition"]
    ours = same and isinstance(began, datetime) and since - _SKEW <= began <= since + REACH
    return Outcome.DONE if ours else Outcome.UNKNOWN


def went(read: Reader, call: Call, rollout: timedelta) -> tuple[Progress, str]:
    """How a restart is doing, which may take as long as ``rollout``."""
    service, before = states.service(read, Arn.parse(call.resource)), call.before
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
    if isinstance(began, datetime) and read.now() < began + rollout:
        return Progress.WAIT, trouble
    return Progress.STOP, f"after {minutes(rollout)} minutes still: {trouble}"


def age(deployment: Mapping[str, Any], now: datetime) -> str:
    """How long ago a deployment began, in words; empty where ECS does not say."""
    began = deployment.get("createdAt")
    return f"{max(0, (now - began) // timedelta(hours=1))} hours" if isinstance(began, datetime) else ""
