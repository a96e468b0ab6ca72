"""
The thin cloud: the same account, the same physics, the same seam, and answers without a web server.

Where the sandbox has a fake of its own (ECS, metrics, move tasks, images, stacks), that is what answers, here as in a
full world. What moto would answer, answer the small stores of this package. An operation that nobody answers is an
error, not an empty answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.ecs.exceptions import ECSException
from moto.ecs.models import ecs_backends

from sandbox.seam import Answer, AwsError, Call, Outcome, answered, new_id, refused
from sandbox.thin.client import ThinClient, ThinSession
from sandbox.thin.doors import Doors
from sandbox.thin.dynamodb import DynamoDb
from sandbox.thin.objects import Objects
from sandbox.thin.queues import Sqs
from sandbox.thin.rules import Rules

if TYPE_CHECKING:
    from sandbox.world import World

__all__ = ["ThinCloud"]


class ThinCloud:
    """What answers in a thin world."""

    def __init__(self, world: World) -> None:
        self.seam = world.seam
        self._world = world
        store = Objects(lambda: world.now)
        self.objects = store.objects  # bucket -> key -> body
        self._sessions = 0
        self._topics: set[str] = set()
        tables = DynamoDb(lambda: world.now)
        self._answers: dict[tuple[str, str], Callable[[Call], Answer]] = {
            **{("dynamodb", name): _of_params(do) for name, do in tables.operations.items()},
            **{("sqs", name): do for name, do in Sqs(lambda: world.queues.backend, world.region).operations.items()},
            **{("s3", name): do for name, do in store.operations.items()},
            **Doors(world.account, world.region).operations,
            **Rules(world.account, world.region).operations,
            ("cloudformation", "DescribeStacks"): self._no_stack,
            ("cloudwatch", "ListTagsForResource"): self._tags_of_alarm,
            ("ecs", "CreateCluster"): self._create_cluster,
            ("ecs", "CreateService"): self._create_service,
            ("ecs", "ListTagsForResource"): self._tags_of_service,
            ("ecs", "RegisterTaskDefinition"): self._register,
            ("ecs", "DescribeTaskDefinition"): self._describe_definition,
            ("ecs", "TagResource"): self._tag_service,
            ("ecs", "UntagResource"): self._untag_service,
            ("sns", "CreateTopic"): self._create_topic,
            ("sns", "Publish"): self._publish,
            ("sts", "AssumeRole"): self._assume_role,
            ("sts", "GetCallerIdentity"): self._caller,
        }

    def session(self, *_: Any, region_name: str | None = None, **__: Any) -> ThinSession:
        """What stands in for `boto3.Session`."""
        return ThinSession(self, region_name or self._world.region)

    def client(self, service: str, key: str) -> ThinClient:
        """A client with an access key."""
        return ThinClient(self, service, self._world.region, key, 4)

    def knows(self, service: str, operation: str) -> bool:
        """Whether there is an answer to this operation."""
        return (service, operation) in self._answers or (service, operation) in self.seam.fakes

    def answer(self, call: Call) -> Outcome:
        """Answer one attempt of one call. Raises NotImplementedError for what nobody answers."""
        do = self._answers.get((call.service, call.operation))
        if do is None:
            raise NotImplementedError(f"the thin cloud does not answer {call.name}")
        try:
            return answered(call, do(call))
        except AwsError as error:
            return refused(call, error)

    # -- ECS

    @property
    def _containers(self) -> Any:
        return ecs_backends[self._world.account][self._world.region]

    def _create_cluster(self, call: Call) -> Answer:
        made = self._containers.create_cluster(call.params["clusterName"])
        return {"cluster": {"clusterArn": made.arn, "clusterName": made.name, "status": "ACTIVE"}}

    def _register(self, call: Call) -> Answer:
        params = call.params
        made = self._containers.register_task_definition(
            params["family"],
            copy.deepcopy(params["containerDefinitions"]),
            network_mode=params.get("networkMode"),
            requires_compatibilities=params.get("requiresCompatibilities"),
            cpu=params.get("cpu"),
            memory=params.get("memory"),
            task_role_arn=params.get("taskRoleArn"),
            execution_role_arn=params.get("executionRoleArn"),
        )
        return {"taskDefinition": {"taskDefinitionArn": made.arn, "family": made.family, "revision": made.revision}}

    def _describe_definition(self, call: Call) -> Answer:
        try:
            found = self._containers.describe_task_definition(call.params["taskDefinition"].rpartition("/")[2])
        except ECSException as error:
            raise AwsError("ClientException", "Unable to describe task definition.") from error
        roles = {"taskRoleArn": "task_role_arn", "executionRoleArn": "execution_role_arn"}  # moto sets what there is
        shown = {"taskDefinitionArn": found.arn, "family": found.family, "status": found.status}
        named = {name: vars(found)[key] for name, key in roles.items() if key in vars(found)}
        return {"taskDefinition": shown | named}

    def _create_service(self, call: Call) -> Answer:
        params = call.params
        made = self._containers.create_service(
            params["cluster"],
            params["serviceName"],
            params["desiredCount"],
            params["taskDefinition"],
            copy.deepcopy(params.get("loadBalancers")),
            None,
            [dict(tag) for tag in params.get("tags") or ()] or None,
            params.get("deploymentController"),
            params.get("launchType"),
        )
        return {
            "service": {
                "serviceArn": made.arn,
                "clusterArn": made.cluster_arn,
                "serviceName": made.name,
                "taskDefinition": made.task_definition,
            }
        }

    # -- the rest

    def _tags_of_alarm(self, call: Call) -> Answer:
        tags = cloudwatch_backends[self._world.account][self._world.region].list_tags_for_resource(
            call.params["ResourceARN"]
        )
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _no_stack(self, call: Call) -> Answer:
        raise AwsError("ValidationError", f"Stack with id {call.params.get('StackName')} does not exist")

    def _service_tags(self, call: Call) -> list[dict[str, str]]:
        service = self._world.ecs.static(call.params["resourceArn"])
        if service is None:
            raise AwsError("ServiceNotFoundException", "Service not found.")
        if service.tags is None:
            service.tags = []
        tags: list[dict[str, str]] = service.tags
        return tags

    def _tags_of_service(self, call: Call) -> Answer:
        return {"tags": [dict(tag) for tag in self._service_tags(call)]}

    def _tag_service(self, call: Call) -> Answer:
        tags, new = self._service_tags(call), call.params["tags"]
        names = {tag["key"] for tag in new}
        tags[:] = [*(tag for tag in tags if tag["key"] not in names), *map(dict, new)]
        return {}

    def _untag_service(self, call: Call) -> Answer:
        tags = self._service_tags(call)
        tags[:] = [tag for tag in tags if tag["key"] not in call.params["tagKeys"]]
        return {}

    def _create_topic(self, call: Call) -> Answer:
        arn = self._world.arn("sns", call.params["Name"])
        self._topics.add(arn)
        return {"TopicArn": arn}

    def _publish(self, call: Call) -> Answer:
        if call.params.get("TopicArn") not in self._topics:
            raise AwsError("NotFound", "Topic does not exist", 404)
        return {"MessageId": new_id()}

    def _assume_role(self, call: Call) -> Answer:
        self._sessions += 1
        key = f"ASIASANDBOX{self._sessions:09d}"
        name = call.params["RoleArn"].rpartition("/")[2]
        arn = f"arn:aws:sts::{self._world.account}:assumed-role/{name}/{call.params['RoleSessionName']}"
        return {
            "Credentials": {
                "AccessKeyId": key,
                "SecretAccessKey": "sandbox",
                "SessionToken": "sandbox",
                "Expiration": self._world.now + timedelta(seconds=call.params.get("DurationSeconds", 3600)),
            },
            "AssumedRoleUser": {"AssumedRoleId": f"AROA:{call.params['RoleSessionName']}", "Arn": arn},
        }

    def _caller(self, call: Call) -> Answer:
        account = self._world.account
        return {"Account": account, "UserId": "AIDA", "Arn": f"arn:aws:iam::{account}:user/{call.principal.name}"}


def _of_params(do: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Call], Answer]:
    return lambda call: do(call.params)
