"""
Runbook 2, the Lecture infrastructure: the same API for every customer, each in a cluster of its own.

Resources  for each customer: cluster lecture-<customer>-cluster, service lecture-backend-service behind the
           load balancer lecture-<customer>-alb and target group lecture-<customer>-backend; all carry the
           tag customer=<customer>
Causes     those of any API, for each customer; what all of them need is gone

Every customer's service has the same name: only its cluster tells whose it is.
"""

from __future__ import annotations

from sandbox.services import Service
from sandbox.systems.api_service import ApiService
from sandbox.world import World

CUSTOMERS = ("dhbw", "edt", "unilux")
BACKEND = "lecture-backend-service"


class LectureCustomer(ApiService):
    """The backend of one customer."""

    def __init__(self, world: World, customer: str, *, tasks: int = 2) -> None:
        self.customer = customer
        super().__init__(world, f"lecture-{customer}-cluster", f"lecture-{customer}")
        self.make_api(BACKEND, balancer=f"lecture-{customer}-alb", group=f"lecture-{customer}-backend", tasks=tasks)

    @property
    def execution_role(self) -> str:
        """The role with which ECS starts the tasks."""
        return f"arn:aws:iam::{self.world.account}:role/lecture-{self.customer}-ecs-role"

    @property
    def tags(self) -> dict[str, str]:
        """Whose it is, besides."""
        return {**super().tags, "customer": self.customer}

    def image_of(self, service: str) -> str:
        """Released for each customer by itself."""
        return f"lecture-{self.customer}-{service.removeprefix('lecture-').removesuffix('-service')}"


class Lecture:
    """All customers, in one account."""

    def __init__(self, world: World, customers: tuple[str, ...] = CUSTOMERS, *, tasks: int = 2) -> None:
        self.world = world
        self.customers = {name: LectureCustomer(world, name, tasks=tasks) for name in customers}

    def __getitem__(self, customer: str) -> LectureCustomer:
        """One customer."""
        return self.customers[customer]

    @property
    def services(self) -> dict[str, Service]:
        """Every customer's backend."""
        return {name: each.api for name, each in self.customers.items()}

    def requests(self, per_minute: float) -> None:
        """Requests come in for every customer at this rate from now on."""
        for each in self.customers.values():
            each.requests(per_minute)

    # -- causes

    def ecs_stops_replacing(self) -> None:
        """Health checks no longer make ECS replace a task, for any customer."""
        for each in self.customers.values():
            each.ecs_stops_replacing()

    def break_what_all_need(self) -> None:
        """What every customer's health checks need is gone (a database, a network path): all of them fail."""
        for each in self.customers.values():
            each.break_checks()

    def mend_what_all_need(self) -> None:
        """It is back."""
        for each in self.customers.values():
            each.mend_checks()
