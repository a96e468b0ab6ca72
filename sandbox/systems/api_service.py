"""
An ECS service behind a load balancer, and its requests: what every API is, whatever else its system has.

Causes     it hangs, it fails its health checks or requests, it leaks memory, a bad release, no task can be
           started, more load than it can carry
"""

from __future__ import annotations

from typing import Any

from sandbox.images import Behaviour
from sandbox.load_balancers import TargetGroup
from sandbox.services import Deployment, Service
from sandbox.systems.ecs_system import OPT_IN, EcsSystem


class ApiService(EcsSystem):
    """A system with an API. One that calls :meth:`make_api` never has none."""

    _target_group: TargetGroup | None = None

    @property
    def target_group(self) -> TargetGroup:
        """What the load balancer sends requests to. Raises LookupError for a system without its API."""
        if self._target_group is None:
            raise LookupError("this system was made without its API")
        return self._target_group

    @property
    def api(self) -> Service:
        """The service behind the load balancer."""
        return self.target_group.service

    @property
    def log_group(self) -> str:
        """The ARN of the API's log group."""
        log = self.target_group.log
        return self.world.arn("logs", f"log-group:{log.name if log else ''}")

    @property
    def healthy(self) -> int:
        """How many of its tasks the load balancer calls healthy."""
        return [state for _, state, _ in self.target_group.targets].count("healthy")

    # -- load and causes

    def requests(self, per_minute: float) -> None:
        """Requests come in at this rate from now on."""
        self.target_group.per_minute = per_minute

    def hang_api(self, tasks: int | None = None) -> None:
        """Running tasks of the API stop answering (all, or the first few); ECS replaces them when it notices."""
        self.api.wedge(self.api.running[:tasks])

    def fail_checks(self, tasks: int | None = None, why: str = "Target.FailedHealthChecks") -> None:
        """Running tasks of the API (all, or the first few) fail their health checks until they are replaced."""
        self.target_group.failing |= {task.id: why for task in self.api.running[:tasks]}

    def break_checks(self, why: str = "Target.ResponseCodeMismatch") -> None:
        """What every health check of the API needs is gone: every task fails them, whenever it was started."""
        self.target_group.all_failing = why

    def mend_checks(self) -> None:
        """What the health checks need is back."""
        self.target_group.all_failing = None

    def break_pulls(self) -> None:
        """The API's image cannot be pulled any more: no task can be started."""
        self.api.cannot_start = "CannotPullContainerError: pull access denied"

    def ecs_stops_replacing(self) -> None:
        """Health checks no longer make ECS replace a task: an unhealthy target stays."""
        self.target_group.replaced_after = None

    def fail_requests(self, share: float) -> None:
        """This share of the requests fails in the application, whatever the tasks' health."""
        self.target_group.errors = share

    def fail_path(self, path: str, share: float) -> None:
        """This share of the requests to one path fails."""
        self.target_group.failing_paths[path] = share

    def slow_path(self, path: str, seconds: float) -> None:
        """Answers to one path take so much longer."""
        self.target_group.slow_paths[path] = seconds

    def slow_dependency(self, seconds: float) -> None:
        """What the API calls answers so much later: every answer takes longer, and no CPU is used for it."""
        self.target_group.slow = seconds

    def leak_memory(self, percent_per_hour: float) -> None:
        """The API's tasks leak: memory rises with their age until they are replaced, or killed."""
        self.api.leak_percent_per_hour = percent_per_hour

    def ship_bad_api(self, behaviour: Behaviour = Behaviour.CRASHES) -> Deployment:
        """Somebody ships a bad release of the API."""
        self.push(self.api, behaviour)
        return self.api.deploy()

    # -- building

    def make_api(
        self, name: str, *, balancer: str, group: str, tasks: int = 2, paths: tuple[str, ...] = ("/",), log: str = ""
    ) -> None:
        """The load balancer, its target group and the service; the first two have names of their own in the account."""
        world = self.world
        subnets = [each["SubnetId"] for each in world.client("ec2").describe_subnets()["Subnets"][:2]]
        vpc = world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        elb = world.client("elbv2")
        tags = [{"Key": key, "Value": value} for key, value in OPT_IN.items()]
        made: dict[str, Any] = elb.create_load_balancer(Name=balancer, Subnets=subnets, Tags=tags)["LoadBalancers"][0]
        to: dict[str, Any] = elb.create_target_group(
            Name=group, Protocol="HTTP", Port=3000, VpcId=vpc, TargetType="ip", HealthCheckPath="/health", Tags=tags
        )["TargetGroups"][0]
        elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": to["TargetGroupArn"]}],
        )
        attached = {"targetGroupArn": to["TargetGroupArn"], "containerName": name, "containerPort": 3000}
        service = self.make_service(name, tasks, load_balancer=attached)
        self._target_group = world.target_groups.add(
            TargetGroup(
                agenda=world.agenda,
                metrics=world.metrics,
                dice=world.dice(f"requests/{self.cluster}"),
                arn=to["TargetGroupArn"],
                load_balancer_arn=made["LoadBalancerArn"],
                service=service,
                paths=paths,
                log=world.insights.add(log or f"/ecs/{group}"),
            )
        )
