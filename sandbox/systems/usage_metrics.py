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

from sandbox.systems.api_service import ApiService
from sandbox.systems.queue_service import QueueService, Shape, json_body
from sandbox.world import World

DATABASE = "rollup-database"
API = "delivery-standard"
PATHS = ("/v1/usage", "/v1/usage/daily", "/v1/customers/4711", "/v1/export")
"""what is asked of the API"""
_ENDPOINTS = ("/v1/usage", "/v1/usage/daily", "/v1/customers", "/v1/export", "/health")


class UsageMetrics(QueueService, ApiService):
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
        if api:
            group, log = API if env == "prod" else f"{API}-{env}", f"/ecs/{API}-{env}"
            self.make_api(API, balancer=f"{shape.cluster}-alb", group=group, paths=PATHS, log=log)

    # -- causes, of the events

    def database_down(self) -> None:
        """The rollup database stops answering."""
        self.break_dependency(DATABASE)

    def database_up(self) -> None:
        """The rollup database answers again."""
        self.heal_dependency(DATABASE)


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
