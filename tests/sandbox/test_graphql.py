"""The sandbox's GraphQL API: latency follows its load; a cache takes minutes, costs money, and helps or does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.systems.graphql import CALM, GraphQl
from sandbox.world import World

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
SMALL: dict[str, Any] = {"ttl": 300, "apiCachingBehavior": "FULL_REQUEST_CACHING", "type": "SMALL"}


def _code(do: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        do(**params)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize("thin", [True, False])
def test_a_cache_takes_minutes_to_come_and_to_go_and_is_paid_for_meanwhile(thin: bool) -> None:
    """While it changes it takes no other change; there is one at most."""
    with World(START, thin=thin) as world:
        api, appsync = GraphQl(world), world.client("appsync")
        assert _code(appsync.get_api_cache, apiId=api.id) == "NotFoundException"
        made = appsync.create_api_cache(apiId=api.id, **SMALL)["apiCache"]
        assert made["status"] == "CREATING"
        for do, more in ((appsync.create_api_cache, SMALL), (appsync.delete_api_cache, {})):
            assert _code(do, apiId=api.id, **more) == "ConcurrentModificationException"
        world.run(timedelta(minutes=7))
        assert appsync.get_api_cache(apiId=api.id)["apiCache"]["status"] == "AVAILABLE"
        assert api.works
        assert _code(appsync.create_api_cache, apiId=api.id, **SMALL) == "BadRequestException"
        paid = api.dollars
        assert paid > 0
        appsync.delete_api_cache(apiId=api.id)
        world.run(timedelta(minutes=4))
        assert _code(appsync.get_api_cache, apiId=api.id) == "NotFoundException"
        assert api.dollars > paid


def test_latency_follows_what_the_table_is_asked() -> None:
    """A cache takes away what repeats itself; one for single resolvers nothing while no resolver uses it."""
    with World(START, thin=True) as world:
        api = GraphQl(world)
        assert api.latency == CALM
        api.busy()
        slow = api.latency
        assert slow > 2000
        api.make_cache()
        assert api.latency < CALM
        api.repeats = 0.0
        assert api.latency == slow
        api.repeats = 0.9
        api.make_cache(apiCachingBehavior="PER_RESOLVER_CACHING")
        assert api.latency == slow
        api.resolvers["listSuburbs"] = True
        assert api.latency < CALM


def test_two_apis_answer_each_for_itself() -> None:
    """In one account."""
    with World(START, thin=True) as world:
        one, other = GraphQl(world, "one"), GraphQl(world, "other")
        world.client("appsync").create_api_cache(apiId=other.id, **SMALL)
        assert one.cache is None
        assert other.cache is not None
