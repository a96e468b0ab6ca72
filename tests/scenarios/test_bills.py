"""
The dollars that people are told are those of the bill, of whatever costs money that is not lent without a price.

Each of them is played until all of what it gave is used: an hour of it is what the report says, and the whole loan is
no more than what was planned for it. What is added to the registry and costs money, and is not here, fails.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from nightshift import loans
from nightshift.model import Incident, Phase, Plan
from nightshift.prices import per_hour
from nightshift.remediation import Remediation
from nightshift.remediations import REMEDIATIONS
from nightshift.report.words import money

from sandbox.databases import ACU
from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.services import TASK
from sandbox.systems.aurora import AuroraDatabase, aurora_configuration, aurora_target
from sandbox.systems.graphql import CACHE, GraphQl, graphql_configuration, graphql_target
from sandbox.systems.hot_aggregates import HotAggregates, table_configuration
from sandbox.systems.pulse_functions import PulseFunctions, functions_configuration
from sandbox.systems.ready_instances import ITEM, ReadyInstances, instances_configuration
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

SYDNEY = "ap-southeast-2"
HOUR = timedelta(hours=1)
READS, WRITES = "dynamodb-read-unit", "dynamodb-write-unit"


def nothing() -> None:
    """Nothing has to happen."""


def sick_already(nightshift: Deployment) -> None:
    """It has been short for long."""


@dataclass(frozen=True)
class Lender:
    """What makes it lend, what uses all of that, what ends the need; and what its items cost, by the hour."""

    toml: str
    short: Callable[[Deployment], object]
    full: Callable[[], object] = nothing
    calm: Callable[[], object] = nothing
    prices: Mapping[str, float] = field(default_factory=dict)


def tables(world: World) -> Lender:
    """Capacity of a table: units."""
    system = HotAggregates(world)
    return Lender(
        table_configuration(system),
        short=lambda _: system.ask(write=35),
        calm=lambda: system.ask(write=5),
        prices={READS: listed(READS), WRITES: listed(WRITES)},
    )


def scaled_tables(world: World) -> Lender:
    """What autoscaling may give a table at most, for good: it costs that while all of it is asked for."""
    system = HotAggregates(world)
    system.has_lacked(60, 20)
    missing = "dynamodb-autoscaling-missing"
    return Lender(
        table_configuration(system, index=False, table=missing),
        short=sick_already,
        full=lambda: system.ask(read=1000, write=1000),
        calm=lambda: system.ask(read=10, write=5),
        prices={READS: listed(READS), WRITES: listed(WRITES)},
    )


def databases(world: World) -> Lender:
    """A higher maximum of a cluster: each of its instances may use all of it, and the price is set by hand."""
    system = AuroraDatabase(world)
    price = 0.31
    settings = f'acu_dollars_per_hour = {price}\nlease = "PT40M"\ncalm = "PT20M"\n'
    return Lender(
        aurora_configuration(aurora_target(system), world=world, settings=settings),
        short=lambda _: system.offer(2.8, readers=2.8),
        full=lambda: system.offer(4.0, readers=4.0),
        calm=lambda: system.offer(0.6),
        prices={ACU: price},
    )


def caches(world: World) -> Lender:
    """A cache of an API."""
    system = GraphQl(world)
    lends = '[remediations.appsync-slow]\nmode = "auto"\nlease = "PT2H"\n'
    return Lender(
        graphql_configuration(world, graphql_target(system), settings=(lends,)),
        short=lambda _: system.busy(),
        calm=lambda: system.busy(200),
        prices={CACHE: listed(CACHE)},
    )


def tasks(world: World) -> Lender:
    """Tasks of a service, at a price that is set by hand."""
    system = UsageMetrics(world)
    lends = '[remediations.ecs-capacity-short]\nmode = "auto"\nhistory = "PT20M"\ntask_dollars_per_hour = 0.07\n'
    return Lender(
        of_service(world, system, lends),
        short=lambda _: system.requests(1150),
        calm=lambda: system.requests(600),
        prices={TASK: 0.07},
    )


def maintenance(world: World) -> Lender:
    """No task at all, for a while: what that saves is not counted."""
    system = UsageMetrics(world)
    return Lender(
        of_service(world, system, '[remediations.ecs-maintenance]\nmode = "auto"\n'),
        short=lambda nightshift: nightshift.start_maintenance(system.api.arn, HOUR, "new schema"),
        prices={TASK: 0.07},
    )


def reservations(world: World) -> Lender:
    """Reserved concurrency, which AWS gives away."""
    system = PulseFunctions(world)
    system.has_a_past()
    lends = '[remediations.lambda-throttled]\nmode = "auto"\n'

    def asks(count: int) -> None:
        system.etl.asks = count

    return Lender(
        functions_configuration(system, tables=lends), short=lambda _: asks(390), calm=lambda: asks(60), prices={}
    )


def instances(world: World) -> Lender:
    """Instances that are kept ready, by their memory."""
    system = ReadyInstances(world)
    lends = '[remediations.lambda-cold-starts]\nmode = "auto"\n'
    return Lender(
        instances_configuration(system, tables=lends),
        short=lambda _: system.steep(),
        calm=lambda: system.steep(0.0),
        prices={ITEM: listed(ITEM)},
    )


def of_service(world: World, system: UsageMetrics, table: str) -> str:
    """A deployment that looks at one service."""
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"
[notify]
emails = ["oncall@example.com"]
{table}
[[systems]]
name = "usage"
[[systems.targets]]
arn = "{system.api.arn}"
mode = "auto"
"""


def listed(item: str) -> float:
    """The list price in Sydney."""
    found = per_hour(SYDNEY, item)
    assert found is not None
    return found


COMPARED: dict[str, Callable[[World], Lender]] = {
    "appsync-slow": caches,
    "aurora-saturated": databases,
    "dynamodb-autoscaling-missing": scaled_tables,
    "dynamodb-throttled": tables,
    "ecs-capacity-short": tasks,
    "ecs-maintenance": maintenance,
    "lambda-cold-starts": instances,
    "lambda-throttled": reservations,
}


def costs(remediation: type[Remediation]) -> bool:
    """Whether it lends, or says of a plan what it costs."""
    lends = remediation.still_ours is not Remediation.still_ours
    return lends or "cost_per_hour=" in inspect.getsource(remediation)


def test_whatever_costs_money_is_compared_with_the_bill() -> None:
    """Whoever adds a lender says here what makes it lend, and what its items cost."""
    assert {each.name for each in REMEDIATIONS if costs(each)} == set(COMPARED)


@dataclass(frozen=True)
class Told:
    """One loan, as it was told, beside what the bill shows."""

    plan: Plan
    mails: str
    an_hour: float
    in_all: float


def played(name: str) -> Told:
    """A loan from its cause to its end."""
    with World(NIGHT, thin=True, region=SYDNEY) as world:
        lender = COMPARED[name](world)
        price = {**dict.fromkeys((TASK, ACU, CACHE, ITEM, READS, WRITES), 0.0), **lender.prices}.__getitem__
        with Deployment(world, lender.toml) as nightshift:
            nightshift.resume()
            if lender.short is not sick_already:
                world.run(timedelta(minutes=25))
                assert nightshift.all == []
                lender.short(nightshift)
            if name != "ecs-maintenance":  # which takes away, and at once
                world.run(timedelta(minutes=3))
            world.bill.anew()

            def incident() -> Incident | None:
                return next((each for each in nightshift.all if each.remediation != loans.NAME), None)

            def has(*phases: Phase) -> bool:
                found = incident()
                if found is not None and found.phase is Phase.AWAITING:
                    nightshift.answer(found, yes=True, why="it is needed")
                return found is not None and found.phase in phases

            world.run_until(lambda: has(Phase.LEASED, Phase.CLOSED), timedelta(hours=3))
            lender.full()
            world.run(timedelta(minutes=20))  # what is given may come step by step
            before = world.bill.dollars(price)
            world.run(timedelta(minutes=10))
            an_hour = 6 * (world.bill.dollars(price) - before)
            lender.calm()
            world.run_until(lambda: has(Phase.CLOSED), timedelta(hours=30))
            world.run(timedelta(minutes=10))
            found = incident()
            assert found is not None
            assert found.plan is not None
            assert failures(world) == ()
            mails = " ".join(" ".join(mail.text for mail in world.mail).split())
            return Told(found.plan, mails, an_hour, world.bill.dollars(price))


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_the_dollars_that_people_are_told_are_those_of_the_bill(name: str) -> None:
    """
    An hour costs what the report says of it, and all of it no more than was planned.

    But for what the last minutes cost: of tasks that stop, of a cache that AWS takes down. What is saved is not told.
    """
    told = played(name)
    assert told.plan.cost_per_hour is not None
    assert told.plan.dollars is not None
    assert told.plan.cost_per_hour == pytest.approx(max(told.an_hour, 0.0), abs=1e-6)
    assert told.in_all <= told.plan.dollars + told.plan.cost_per_hour * (timedelta(minutes=4) / HOUR)
    if told.plan.cost_per_hour:
        assert f"{money(told.plan.cost_per_hour)} an hour" in told.mails
