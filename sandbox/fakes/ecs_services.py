"""
Gap filled: moto's services start no task, finish no deployment, and know no service deployments, revisions or events.

CreateService, UpdateService and DeleteService still pass through moto, which keeps what is static (clusters,
task definitions, tags); what moves is answered from the physics in `sandbox.services`.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime
from random import Random
from typing import Any

from moto.ecs.models import ecs_backends

from sandbox.clock import Agenda
from sandbox.images import Images
from sandbox.seam import Answer, AwsError, Call, Seam
from sandbox.services import Deployment, Place, Service, Task

Shown = dict[str, Any]


def _shown(**fields: Any) -> Shown:
    return {name: value for name, value in fields.items() if value is not None}


def _short(name_or_arn: str | None) -> str:
    return (name_or_arn or "default").rpartition("/")[2]


class EcsServices:
    """ECS's operations on services, tasks and deployments."""

    def __init__(self, agenda: Agenda, images: Images, seam: Seam, dice: Random, place: tuple[str, str]) -> None:
        self.all: dict[tuple[str, str], Service] = {}  # (cluster name, service name) -> service
        self.created: list[Callable[[Service], None]] = []  # told about every new service
        self._account, self._region = place
        self._place = Place(agenda, images, self._containers, dice)
        self._agenda = agenda
        seam.after("ecs", "CreateService", self._created)
        seam.after("ecs", "DeleteService", self._deleted)
        seam.after("ecs", "ListTaskDefinitions", self._sort)
        seam.fake(
            "ecs",
            DescribeServices=self._describe_services,
            UpdateService=self._update_service,
            ListTasks=self._list_tasks,
            DescribeTasks=self._describe_tasks,
            StopTask=self._stop_task,
            ListServiceDeployments=self._list_service_deployments,
            DescribeServiceDeployments=self._describe_service_deployments,
            DescribeServiceRevisions=self._describe_service_revisions,
            StopServiceDeployment=self._stop_service_deployment,
        )

    def find(self, cluster: str, service: str) -> Service:
        """A service by the names or ARNs of its cluster and itself."""
        found = self.all.get((_short(cluster), _short(service)))
        if found is None:
            raise KeyError(f"no service {service} in cluster {cluster}")
        return found

    def static(self, arn: str) -> Any:
        """What moto keeps of a service (tags, say), by its ARN; None where there is none."""
        cluster, _, name = arn.partition(":service/")[2].partition("/")
        return self._backend.services.get(f"{cluster}:{name}")

    # -- services

    @property
    def _backend(self) -> Any:
        return ecs_backends[self._account][self._region]

    def _containers(self, task_definition: str) -> dict[str, str]:
        described = self._backend.describe_task_definition(task_definition)
        return {each["name"]: each["image"] for each in described.container_definitions}

    def _created(self, call: Call, answer: Answer) -> None:
        params, made = call.params, answer["service"]
        rules = params.get("deploymentConfiguration") or {}
        breaker = rules.get("deploymentCircuitBreaker") or {}
        groups = [each["targetGroupArn"] for each in params.get("loadBalancers", ()) if "targetGroupArn" in each]
        service = Service(
            place=self._place,
            arn=made["serviceArn"],
            cluster_arn=made["clusterArn"],
            name=made["serviceName"],
            desired=params.get("desiredCount", 0),
            task_definition=made["taskDefinition"],
            controller=(params.get("deploymentController") or {}).get("type", "ECS"),
            minimum_percent=rules.get("minimumHealthyPercent", 100),
            maximum_percent=rules.get("maximumPercent", 200),
            breaker=breaker.get("enable", False),
            breaker_rolls_back=breaker.get("rollback", False),
            target_group_arn=groups[0] if groups else None,
        )
        self.all[service.cluster, service.name] = service
        answer["service"] = self._service(service)
        for listener in self.created:
            listener(service)

    def _deleted(self, call: Call, answer: Answer) -> None:
        service = self.all.get((_short(call.params.get("cluster")), _short(call.params["service"])))
        if service is not None:
            service.status, service.desired = "INACTIVE", 0
            for task in service.running:
                service.stop_task(task, "ServiceSchedulerInitiated", "Service deleted")
            answer["service"] = self._service(service)

    @staticmethod
    def _sort(call: Call, answer: Answer) -> None:
        """Sort newest first: moto ignores sort=DESC."""
        if call.params.get("sort") == "DESC":
            answer["taskDefinitionArns"].sort(key=lambda arn: int(arn.rpartition(":")[2]), reverse=True)

    def _of_cluster(self, call: Call) -> str:
        name = _short(call.params.get("cluster"))
        if name not in self._backend.clusters:
            raise AwsError("ClusterNotFoundException", "Cluster not found.")
        return name

    def _known(self, call: Call) -> Service:
        service = self.all.get((self._of_cluster(call), _short(call.params["service"])))
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        return service

    def _describe_services(self, call: Call) -> Answer:
        cluster = self._of_cluster(call)
        if len(call.params["services"]) > 10:
            raise AwsError("InvalidParameterException", "Cannot describe more than 10 services at once.")
        found, failures = [], []
        for asked in call.params["services"]:
            service = self.all.get((cluster, _short(asked)))
            if service is None:
                arn = (
                    asked
                    if asked.startswith("arn:")
                    else f"arn:aws:ecs:{self._region}:{self._account}:service/{cluster}/{asked}"
                )
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                found.append(self._service(service, tags="TAGS" in call.params.get("include", ())))
        return {"services": found, "failures": failures}

    def _update_service(self, call: Call) -> Answer:
        service, params = self._known(call), call.params
        if service.status != "ACTIVE":
            raise AwsError("ServiceNotActiveException", "Service was not ACTIVE.")
        if service.controller != "ECS" and (params.get("forceNewDeployment") or "taskDefinition" in params):
            message = (
                "Unable to update service with a deployment controller other than ECS: use the controller to deploy."
            )
            raise AwsError("InvalidParameterException", message)
        definition = (
            self._definition(params["taskDefinition"]) if "taskDefinition" in params else service.task_definition
        )
        rules = params.get("deploymentConfiguration") or {}
        service.minimum_percent = rules.get("minimumHealthyPercent", service.minimum_percent)
        service.maximum_percent = rules.get("maximumPercent", service.maximum_percent)
        if "deploymentCircuitBreaker" in rules:
            service.breaker = rules["deploymentCircuitBreaker"]["enable"]
            service.breaker_rolls_back = rules["deploymentCircuitBreaker"]["rollback"]
        if params.get("forceNewDeployment") or definition != service.task_definition:
            service.desired = params.get("desiredCount", service.desired)
            service.deploy(definition)
        elif "desiredCount" in params:
            service.scale(params["desiredCount"])
        return {"service": self._service(service)}

    def _definition(self, asked: str) -> str:
        try:
            return str(self._backend.describe_task_definition(asked.rpartition("/")[2]).arn)
        except Exception as error:
            raise AwsError("ClientException", "Unable to describe task definition.") from error

    def _service(self, service: Service, *, tags: bool = False) -> Shown:
        static = self._backend.services.get(f"{service.cluster}:{service.name}")
        shown = _shown(
            serviceArn=service.arn,
            serviceName=service.name,
            clusterArn=service.cluster_arn,
            status=service.status,
            desiredCount=service.desired,
            runningCount=len(service.running),
            pendingCount=sum(task.live and not task.running for task in service.tasks),
            launchType=getattr(static, "launch_type", None) or "FARGATE",
            platformVersion="LATEST",
            platformFamily="Linux",
            taskDefinition=service.task_definition,
            deploymentConfiguration={
                "deploymentCircuitBreaker": {"enable": service.breaker, "rollback": service.breaker_rolls_back},
                "maximumPercent": service.maximum_percent,
                "minimumHealthyPercent": service.minimum_percent,
                "strategy": "ROLLING",
            },
            deploymentController={"type": service.controller},
            deployments=[self._deployment(service, each) for each in service.deployments],
            events=[dict(event) for event in service.events],
            createdAt=service.created_at,
            loadBalancers=list(getattr(static, "load_balancers", None) or ()),
            serviceRegistries=[],
            placementConstraints=[],
            placementStrategy=[],
            schedulingStrategy="REPLICA",
            enableECSManagedTags=False,
            propagateTags="NONE",
            enableExecuteCommand=False,
        )
        if tags:
            shown["tags"] = [dict(tag) for tag in getattr(static, "tags", None) or ()]
        return shown

    @staticmethod
    def _deployment(service: Service, deployment: Deployment) -> Shown:
        tasks = service.tasks_of(deployment)
        running = sum(task.running for task in tasks)
        primary = deployment is service.primary
        return {
            "id": deployment.id,
            "status": deployment.status,
            "taskDefinition": deployment.task_definition,
            "desiredCount": service.desired if primary else len(tasks),
            "pendingCount": len(tasks) - running,
            "runningCount": running,
            "failedTasks": deployment.failed,
            "createdAt": deployment.created_at,
            "updatedAt": deployment.updated_at,
            "launchType": "FARGATE",
            "platformVersion": "1.4.0",
            "platformFamily": "Linux",
            "rolloutState": deployment.rollout,
            "rolloutStateReason": deployment.reason,
        }

    # -- tasks

    def _services_in(self, cluster: str) -> list[Service]:
        return [service for (name, _), service in self.all.items() if name == cluster]

    def _list_tasks(self, call: Call) -> Answer:
        cluster, params = self._of_cluster(call), call.params
        services = self._services_in(cluster)
        if "serviceName" in params:
            services = [service for service in services if service.name == _short(params["serviceName"])]
            if not services:
                raise AwsError("ServiceNotFoundException", "Service not found.")
        if "family" in params:
            services = [
                each
                for each in services
                if each.task_definition.rpartition("/")[2].partition(":")[0] == params["family"]
            ]
        wanted = params.get("desiredStatus", "RUNNING")
        arns = [
            task.arn
            for service in services
            for task in service.tasks
            if ("RUNNING" if task.live else "STOPPED") == wanted
        ]
        start, size = int(params.get("nextToken") or 0), min(params.get("maxResults") or 100, 100)
        answer: Answer = {"taskArns": arns[start : start + size]}
        if start + size < len(arns):
            answer["nextToken"] = str(start + size)
        return answer

    def _task(self, cluster: str, asked: str) -> tuple[Service, Task] | None:
        for service in self._services_in(cluster):
            for task in service.tasks:
                if task.id == _short(asked):
                    return service, task
        return None

    def _describe_tasks(self, call: Call) -> Answer:
        cluster = self._of_cluster(call)
        tasks, failures = [], []
        for asked in call.params["tasks"]:
            found = self._task(cluster, asked)
            if found is None:
                arn = (
                    asked
                    if asked.startswith("arn:")
                    else f"arn:aws:ecs:{self._region}:{self._account}:task/{cluster}/{asked}"
                )
                failures.append({"arn": arn, "reason": "MISSING"})
            else:
                tasks.append(self._shown_task(*found))
        return {"tasks": tasks, "failures": failures}

    def _stop_task(self, call: Call) -> Answer:
        found = self._task(self._of_cluster(call), call.params["task"])
        if found is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        service, task = found
        service.stop_task(task, "UserInitiated", call.params.get("reason") or "Task stopped by user")
        service.reconcile()
        return {"task": self._shown_task(service, task)}

    @staticmethod
    def _shown_task(service: Service, task: Task) -> Shown:
        base = task.arn.replace(":task/", ":container/")
        containers = [
            _shown(
                containerArn=f"{base}/{hashlib.sha256(name.encode()).hexdigest()[:32]}",
                taskArn=task.arn,
                name=name,
                image=uri,
                imageDigest=image.digest if task.started_at else None,
                lastStatus="RUNNING" if task.running else task.status,
                exitCode=task.exit_code,
                reason=task.container_reason,
                healthStatus="UNKNOWN",
            )
            for name, (uri, image) in task.deployment.images.items()
        ]
        return _shown(
            taskArn=task.arn,
            clusterArn=service.cluster_arn,
            taskDefinitionArn=task.deployment.task_definition,
            group=f"service:{service.name}",
            startedBy=task.deployment.id,
            launchType="FARGATE",
            lastStatus=task.status,
            desiredStatus="RUNNING" if task.live else "STOPPED",
            healthStatus="UNKNOWN",
            connectivity="CONNECTED" if task.running else "DISCONNECTED",
            createdAt=task.created_at,
            startedAt=task.started_at,
            stoppingAt=task.stopping_at,
            stoppedAt=task.stopped_at,
            stopCode=task.stop_code,
            stoppedReason=task.stopped_reason,
            containers=containers,
            attachments=[
                {
                    "type": "ElasticNetworkInterface",
                    "status": "ATTACHED",
                    "details": [{"name": "privateIPv4Address", "value": task.address}],
                }
            ],
        )

    # -- service deployments and revisions

    def _by_deployment(self, arn: str) -> tuple[Service, Deployment] | None:
        return next(
            ((service, each) for service in self.all.values() for each in _own(service) if each.arn == arn), None
        )

    def _list_service_deployments(self, call: Call) -> Answer:
        service, params = self._known(call), call.params
        window = params.get("createdAt") or {}
        after, before = window.get("after"), window.get("before")
        briefs = [
            _shown(
                serviceDeploymentArn=each.arn,
                serviceArn=service.arn,
                clusterArn=service.cluster_arn,
                createdAt=each.created_at,
                startedAt=each.created_at,
                finishedAt=each.finished_at,
                targetServiceRevisionArn=each.revision_arn,
                status=each.outcome,
                statusReason=each.reason or None,
            )
            for each in reversed(_own(service))
            if (not params.get("status") or each.outcome in params["status"])
            and _between(each.created_at, after, before)
        ]
        start, size = int(params.get("nextToken") or 0), min(params.get("maxResults") or 20, 100)
        answer: Answer = {"serviceDeployments": briefs[start : start + size]}
        if start + size < len(briefs):
            answer["nextToken"] = str(start + size)
        return answer

    def _describe_service_deployments(self, call: Call) -> Answer:
        found, failures = [], []
        for arn in call.params["serviceDeploymentArns"]:
            known = self._by_deployment(arn)
            if known is None:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            service, each = known
            tasks = service.tasks_of(each)
            running = sum(task.running for task in tasks)
            found.append(
                _shown(
                    serviceDeploymentArn=each.arn,
                    serviceArn=service.arn,
                    clusterArn=service.cluster_arn,
                    createdAt=each.created_at,
                    startedAt=each.created_at,
                    finishedAt=each.finished_at,
                    updatedAt=each.updated_at,
                    sourceServiceRevisions=[{"arn": arn} for arn in each.replaced],
                    targetServiceRevision={
                        "arn": each.revision_arn,
                        "requestedTaskCount": service.desired,
                        "runningTaskCount": running,
                        "pendingTaskCount": len(tasks) - running,
                    },
                    status=each.outcome,
                    statusReason=each.reason or None,
                    rollback=_rollback(each),
                    deploymentConfiguration={
                        "deploymentCircuitBreaker": {"enable": service.breaker, "rollback": service.breaker_rolls_back},
                        "maximumPercent": service.maximum_percent,
                        "minimumHealthyPercent": service.minimum_percent,
                    },
                    deploymentCircuitBreaker={
                        "status": "MONITORING" if service.breaker else "DISABLED",
                        "failureCount": each.failed,
                        "threshold": max(3, -(-service.desired // 2)),
                    },
                )
            )
        return {"serviceDeployments": found, "failures": failures}

    def _describe_service_revisions(self, call: Call) -> Answer:
        by_revision = {each.revision_arn: (service, each) for service in self.all.values() for each in _own(service)}
        found, failures = [], []
        for arn in call.params["serviceRevisionArns"]:
            if arn not in by_revision:
                failures.append({"arn": arn, "reason": "MISSING"})
                continue
            service, each = by_revision[arn]
            found.append(
                {
                    "serviceRevisionArn": arn,
                    "serviceArn": service.arn,
                    "clusterArn": service.cluster_arn,
                    "taskDefinition": each.task_definition,
                    "launchType": "FARGATE",
                    "platformVersion": "1.4.0",
                    "platformFamily": "Linux",
                    "containerImages": [
                        {"containerName": name, "imageDigest": image.digest, "image": uri}
                        for name, (uri, image) in each.images.items()
                    ],
                    "createdAt": each.created_at,
                }
            )
        return {"serviceRevisions": found, "failures": failures}

    def _stop_service_deployment(self, call: Call) -> Answer:
        arn = call.params["serviceDeploymentArn"]
        known = self._by_deployment(arn)
        if known is None:
            raise AwsError("ServiceDeploymentNotFoundException", "The service deployment was not found.")
        service, deployment = known
        if deployment.outcome not in ("PENDING", "IN_PROGRESS"):
            raise AwsError(
                "ConflictException",
                f"The service deployment is in the {deployment.outcome} state and cannot be stopped.",
            )
        service.stop_deployment(deployment, roll_back=call.params.get("stopType", "ROLLBACK") == "ROLLBACK")
        return {"serviceDeploymentArn": arn}


def _own(service: Service) -> list[Deployment]:
    """The service deployments, oldest first: a rollback belongs to the one that it gives up."""
    return [each for each in service.history if each.rollback_of is None]


def _rollback(deployment: Deployment) -> Shown | None:
    back = deployment.rollback
    if back is None:
        return None
    return {"reason": deployment.reason, "startedAt": back.created_at, "serviceRevisionArn": back.revision_arn}


def _between(moment: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or moment >= after) and (before is None or moment <= before)
