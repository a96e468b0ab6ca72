"""The Lecture infrastructure of runbook 2: the same service for every customer, and nothing shared by accident."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sandbox import World
from sandbox.images import Behaviour
from sandbox.systems.lecture import BACKEND, Lecture


@pytest.fixture
def lecture() -> Iterator[Lecture]:
    """All customers, with requests, in one account."""
    with World(datetime(2026, 11, 19, 1, 0, tzinfo=UTC), thin=True) as world:
        system = Lecture(world)
        system.requests(300)
        world.run(timedelta(minutes=5))
        yield system


def healthy(lecture: Lecture) -> dict[str, int]:
    """How many tasks of each customer are healthy."""
    return {name: each.healthy for name, each in lecture.customers.items()}


def test_names_are_the_runbooks(lecture: Lecture) -> None:
    """One service name in three clusters; what is the account's, and not a cluster's, has a name for each customer."""
    arns = {name: service.arn for name, service in lecture.services.items()}
    assert {name: arn.rpartition(":")[2] for name, arn in arns.items()} == {
        name: f"service/lecture-{name}-cluster/{BACKEND}" for name in ("dhbw", "edt", "unilux")
    }
    for one, other in itertools.combinations(lecture.customers.values(), 2):
        assert one.target_group.arn != other.target_group.arn
        assert one.target_group.load_balancer_arn != other.target_group.load_balancer_arn
        assert one.execution_role != other.execution_role
        assert one.api.task_definition != other.api.task_definition
        assert one.api.primary.image.repository != other.api.primary.image.repository


def test_a_cause_is_one_customers(lecture: Lecture) -> None:
    """Hanging, failing checks, a bad release, pulls: whoever it happens to, the others have their two tasks."""
    lecture.ecs_stops_replacing()
    lecture["dhbw"].hang_api()
    lecture["edt"].fail_checks(1)
    lecture["edt"].break_pulls()
    assert healthy(lecture) == {"dhbw": 0, "edt": 1, "unilux": 2}
    lecture["unilux"].ship_bad_api(Behaviour.HANGS)
    lecture["unilux"].release_of(lecture["unilux"].api)
    lecture["dhbw"].api.deploy()  # of its own image, which nobody has touched
    lecture.world.run(timedelta(minutes=15))
    assert healthy(lecture) == {"dhbw": 2, "edt": 1, "unilux": 2}


def test_what_all_need_is_everybodys(lecture: Lecture) -> None:
    """Gone for all, and back for all."""
    lecture.break_what_all_need()
    assert healthy(lecture) == {"dhbw": 0, "edt": 0, "unilux": 0}
    lecture.mend_what_all_need()
    assert healthy(lecture) == {"dhbw": 2, "edt": 2, "unilux": 2}


def test_a_customers_tag_finds_what_is_the_customers() -> None:
    """In the full account: the service, by the tag customer, and nobody else's."""
    with World(datetime(2026, 11, 19, 1, 0, tzinfo=UTC)) as world:
        lecture = Lecture(world)
        answer = world.client("resourcegroupstaggingapi").get_resources(
            TagFilters=[{"Key": "customer", "Values": ["edt"]}]
        )
        assert [each["ResourceARN"] for each in answer["ResourceTagMappingList"]] == [lecture["edt"].api.arn]
