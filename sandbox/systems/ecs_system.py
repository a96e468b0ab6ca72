"""
A cluster and the ECS services in it, deployed by one stack: what all systems are made of.

Every cause of a failure is a method with the cause's name. What it leads to is left to physics.
"""

from __future__ import annotations

from typing import Any

from sandbox.images import Behaviour, Image
from sandbox.services import Deployment, Service
from sandbox.world import World

OPT_IN = {"auto-remediation": "enabled"}


class EcsSystem:
    """The services of one cluster, and what people do to them."""

    def __init__(self, world: World, cluster: str, stack: str) -> None:
        self.world = world
        self.cluster = cluster
        self.stack = stack
        world.stacks.add(stack)

    # -- what is so

    @property
    def execution_role(self) -> str:
        """The role with which ECS starts the tasks."""
        return f"arn:aws:iam::{self.world.account}:role/{self.cluster}-execution"

    @property
    def tags(self) -> dict[str, str]:
        """What every resource of the system carries from its beginning."""
        return {**OPT_IN, "aws:cloudformation:stack-name": self.stack}

    @property
    def environment(self) -> dict[str, str]:
        """What every container is told."""
        return {}

    def image_of(self, service: str) -> str:
        """The name of a service's image and task definition: those are the account's, not the cluster's."""
        return service

    # -- causes

    def push(self, service: Service, behaviour: Behaviour = Behaviour.WORKS) -> Image:
        """Somebody pushes an image under the tag that a service runs, and deploys nothing."""
        return self.world.images.push(self.image_of(service.name), behaviour=behaviour)

    def release_of(self, service: Service, behaviour: Behaviour = Behaviour.WORKS) -> Deployment:
        """Somebody releases a version of its own: a new image under a new tag, in a new task definition."""
        tag, image = f"v{len(service.history) + 1}", self.image_of(service.name)
        self.world.images.push(image, tag, behaviour)
        definition = self._register(service.name, self.world.images.uri(image, tag))
        self.world.client("ecs").update_service(
            cluster=service.cluster, service=service.name, taskDefinition=definition
        )
        return service.primary

    def start_stack_update(self) -> None:
        """Somebody updates the stack that the system belongs to."""
        self.world.stacks.set_status(self.stack, "UPDATE_IN_PROGRESS")

    def finish_stack_update(self) -> None:
        """The stack's update is complete."""
        self.world.stacks.set_status(self.stack, "UPDATE_COMPLETE")

    def tag(self, arn: str, key: str, value: str) -> None:
        """Somebody tags one of the system's resources."""
        self.world.client("ecs").tag_resource(resourceArn=arn, tags=[{"key": key, "value": value}])

    def untag(self, arn: str, key: str) -> None:
        """Somebody removes a tag from one of the system's resources."""
        self.world.client("ecs").untag_resource(resourceArn=arn, tagKeys=[key])

    def protect(self, arn: str) -> None:
        """Somebody says hands off: `protected=true`."""
        self.tag(arn, "protected", "true")

    def opt_out(self, arn: str) -> None:
        """Somebody takes back the consent to remediation."""
        self.untag(arn, "auto-remediation")

    # -- building

    def make_service(self, name: str, tasks: int, load_balancer: dict[str, Any] | None = None) -> Service:
        """A service in the system's cluster that has run well for a week."""
        world, image = self.world, self.image_of(name)
        ecs = world.client("ecs")
        ecs.create_cluster(clusterName=self.cluster)
        world.images.push(image)
        definition = self._register(name, world.images.uri(image))
        ecs.create_service(
            cluster=self.cluster,
            serviceName=name,
            taskDefinition=definition,
            desiredCount=tasks,
            launchType="FARGATE",
            deploymentConfiguration={"minimumHealthyPercent": 100, "maximumPercent": 200},
            tags=[{"key": key, "value": value} for key, value in self.tags.items()],
            **({"loadBalancers": [load_balancer]} if load_balancer else {}),
        )
        service = world.ecs.find(self.cluster, name)
        service.settle()
        return service

    def _register(self, name: str, image: str) -> str:
        """A new revision of a service's task definition, by its ARN."""
        registered = self.world.client("ecs").register_task_definition(
            family=self.image_of(name),
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn=self.execution_role,
            containerDefinitions=[
                {
                    "name": name,
                    "image": image,
                    "essential": True,
                    "environment": [{"name": key, "value": value} for key, value in self.environment.items()],
                }
            ],
        )
        return str(registered["taskDefinition"]["taskDefinitionArn"])
