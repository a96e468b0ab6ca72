"""
Runbook 4, the Usage Metrics API: an API behind a load balancer, and the usage events that it hands on.

Resources  cluster ioanyt-prod; service delivery-standard behind an application load balancer; queue usage-
           events-<env>, dead-letter queue usage-events-dlq-<env>, consumed by the service usage-aggregator
Causes     for the API: it hangs, it fails its health checks or requests, it leaks memory, a bad release, no
           task can be started, more load than it can carry; for the events: the rollup database is down, a
           malformed event, a hanging or bad aggregator, a deployment, a stop on purpose
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

from sandbox.images import Behaviour
from sandbox.load_balancers import TargetGroup
from sandbox.services import Deployment, Service
from sandbox.systems.queue_service import OPT_IN, QueueService, Shape, json_body
from sandbox.world import World

DATABASE = "rollup-database"
API = "delivery-standard"
PATHS = ("/v1/usage", "/v1/usage/daily", "/v1/customers/4711", "/v1/export")
"""what is asked of the API"""
_ENDPOINTS = ("/v1/usage", "/v1/usage/daily", "/v1/customers", "/v1/export", "/health")


class UsageMetrics(QueueService):
    """The usage metrics system of one environment."""

    def __init__(
        self, world: World, env: str = "prod", *, tasks: int = 2, per_second: float = 2.0, api: bool = True
    ) -> None:
        dice = world.dice(f"usage/{env}")
        shape = Shape(
            queue=f"usage-events-{env}",
            dead_letter_queue=f"usage-events-dlq-{env}",
            cluster=f"ioanyt-{env}",
            service="usage-aggregator",
            stack=f"ioanyt-delivery-{env}",
            needs=(DATABASE,),
            tasks=tasks,
            per_second=per_second,
            holds=timedelta(seconds=1),
            visibility_timeout=30,
            max_receive_count=5,
        )
        super().__init__(world, shape, usage_events(dice), malformed_events(dice), is_malformed)
        self._target_group = self._make_api() if api else None

    @property
    def target_group(self) -> TargetGroup:
        """What the load balancer sends requests to. Raises LookupError for a system without its API."""
        if self._target_group is None:
            raise LookupError("this system was made without its API")
        return self._target_group

    @property
    def log_group(self) -> str:
        """The ARN of the API's log group."""
        log = self.target_group.log
        return self.world.arn("logs", f"log-group:{log.name if log else ''}")

    @property
    def api(self) -> Service:
        """The service behind the load balancer."""
        return self.target_group.service

    # -- causes, of the events

    def database_down(self) -> None:
        """The rollup database stops answering."""
        self.break_dependency(DATABASE)

    def database_up(self) -> None:
        """The rollup database answers again."""
        self.heal_dependency(DATABASE)

    # -- load and causes, of the API

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
        self.world.images.push(API, behaviour=behaviour)
        return self.api.deploy()

    # -- building

    def _make_api(self) -> TargetGroup:
        world, cluster = self.world, self.shape.cluster
        subnets = [each["SubnetId"] for each in world.client("ec2").describe_subnets()["Subnets"][:2]]
        vpc = world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        elb = world.client("elbv2")
        tags = [{"Key": key, "Value": value} for key, value in OPT_IN.items()]
        balancer: dict[str, Any] = elb.create_load_balancer(Name=f"{cluster}-alb", Subnets=subnets, Tags=tags)[
            "LoadBalancers"
        ][0]
        group: dict[str, Any] = elb.create_target_group(
            Name=API, Protocol="HTTP", Port=3000, VpcId=vpc, TargetType="ip", HealthCheckPath="/health", Tags=tags
        )["TargetGroups"][0]
        elb.create_listener(
            LoadBalancerArn=balancer["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
        )
        attached = {"targetGroupArn": group["TargetGroupArn"], "containerName": API, "containerPort": 3000}
        service = self.make_service(API, tasks=2, load_balancer=attached)
        return world.target_groups.add(
            TargetGroup(
                agenda=world.agenda,
                metrics=world.metrics,
                dice=world.dice(f"requests/{cluster}"),
                arn=group["TargetGroupArn"],
                load_balancer_arn=balancer["LoadBalancerArn"],
                service=service,
                paths=PATHS,
                log=world.insights.add(f"/ecs/{API}-{cluster.rpartition('-')[2]}"),
            )
        )


def usage_events(dice: Random) -> Iterator[str]:
    """Bodies of good usage events, each different."""
    while True:
        event = f"evt-{dice.getrandbits(64):016x}"
        yield json_body(
            eventId=event,
            customerId=f"cust-{dice.randrange(200):03d}",
            endpoint=dice.choice(_ENDPOINTS),
            units=dice.randrange(1, 50),
        )


def malformed_events(dice: Random) -> Iterator[str]:
    """Bodies that can never be processed, of the kinds that real queues hold."""
    for good in usage_events(dice):
        event = f"evt-{dice.getrandbits(64):016x}"
        yield from (
            good[: dice.randrange(len(good) // 2, len(good) - 2)],  # cut off on the way
            json_body(eventId=event, customerId="cust-001", endpoint="/v1/usage", units=-1),
            json_body(eventId=event, schema="usage/v9"),
        )


def is_malformed(body: str) -> bool:
    """Whether the aggregator fails at a body, every time."""
    return not body.endswith("}") or '"units":-1' in body or '"schema"' in body
