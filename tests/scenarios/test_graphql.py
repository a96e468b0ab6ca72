"""
A GraphQL API that is slow, and people who cannot sign in (runbook 1): what is lent, and what is told.

Whatever happens, no cache is made without a person's yes, and none of somebody else's is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift import loans
from nightshift.model import Incident, Phase, Severity, SwitchState, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.graphql import (
    HOLDS,
    GraphQl,
    UserPool,
    graphql_configuration,
    graphql_target,
    pool_target,
)
from sandbox.world import World

SLOW, SIGN_INS = "appsync-slow", "sign-ins-failing"
REGION = "ap-southeast-2"  # where the runbook's system is, and where the price of a cache is known
LENDS = f'[remediations.{SLOW}]\nmode = "auto"\nlease = "PT2H"\n'


@dataclass(frozen=True)
class Night:
    """The API, the pool, and Nightshift switched on."""

    world: World
    api: GraphQl
    pool: UserPool
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident, beside what is said of a loan that is not back."""
        [incident] = [each for each in self.nightshift.all if each.remediation != loans.NAME]
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], limit: float = 600) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def until_phase(self, phase: Phase, limit: float = 600) -> None:
        """Until an incident has come so far."""
        self.until(lambda: any(each.phase is phase for each in self.nightshift.all), limit)

    def until_settled(self, limit: float = 700) -> None:
        """Until there was an incident and none is open."""
        self.until(lambda: self.nightshift.settled, limit)

    def say(self, *, yes: bool = True) -> None:
        """A person answers the question, once there is one."""
        self.until_phase(Phase.AWAITING)
        assert self.nightshift.answer(self.incident, yes=yes, why="air quality is nobody's secret")


@contextmanager
def night(*settings: str, thin: bool = True, region: str = REGION, **target: Any) -> Iterator[Night]:
    """A calm night until now."""
    with World(NIGHT, thin=thin, region=region) as world:
        api = GraphQl(world)
        toml = graphql_configuration(world, graphql_target(api, **target), settings=settings or (LENDS,))
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, api, UserPool(world), nightshift)
            on.minutes(20)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


# -- a cache, lent and given back ------------------------------------------------------------------------------------


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.parametrize("thin", [True, False])
def test_a_slow_api_is_lent_a_cache_once_a_person_has_said_yes(thin: bool) -> None:
    """The question says what it holds, how old answers get and what it costs; it helps, and goes in the end."""
    with night(thin=thin) as on:
        on.api.busy()
        on.until_phase(Phase.AWAITING)
        question = on.world.mail[-1].text
        for said in (HOLDS, "300 seconds old", "header", "comes back at once", "API_KEY"):
            assert said in " ".join(question.split())
        assert on.api.dollars == 0
        on.say()
        on.until(lambda: on.api.cache)
        assert on.api.cache is not None
        assert on.api.cache.status == "CREATING"
        assert on.api.cache.asked["transitEncryptionEnabled"]
        assert on.api.cache.asked["atRestEncryptionEnabled"]
        on.until_phase(Phase.LEASED)
        assert on.api.latency < 100
        on.api.requests = 200
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.written == ["appsync.CreateApiCache", "appsync.DeleteApiCache"]
        on.minutes(5)
        paid = on.api.dollars
        on.minutes(5)
        assert on.api.dollars == paid  # it is gone
        plan = on.incident.plan
        assert plan is not None
        assert plan.cost_per_hour == 0.058
        assert plan.dollars is not None
        assert 0.1 < paid <= plan.dollars * 1.1


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.parametrize("who", ["table", "index", "function"])
def test_what_it_stands_on_goes_first_where_it_is_throttled(who: str) -> None:
    """No cache is proposed meanwhile; where it has been throttled for long, people are told who that is."""
    with night() as on:
        on.api.throttles = who
        on.api.busy()
        on.until(lambda: on.nightshift.all)
        on.minutes(5)
        assert on.incident.phase is Phase.OPEN
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "dependency"
        named = on.api.function if who == "function" else on.api.table
        assert named in on.incident.refusal.reason
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert named in on.incident.why
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
def test_an_api_that_is_quick_again_when_its_table_is_has_recovered() -> None:
    """Somebody gave the table what it needed: nobody is asked for a cache."""
    with night() as on:
        on.api.throttles = "table"
        on.api.busy()
        on.until(lambda: on.nightshift.all)
        on.api.carries = 1000
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_somebody_has_changed_is_theirs() -> None:
    """It is left as it is when the lease ends, and people hear that once, with the line that takes it back."""
    with night() as on:
        on.api.busy()
        on.say()
        on.until_phase(Phase.LEASED)
        on.api.change_cache(ttl=60)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert "changed by somebody else" in on.incident.why
        assert on.api.cache is not None
        assert on.written == ["appsync.CreateApiCache"]
        on.minutes(30)
        [own] = on.nightshift.of(loans.NAME)
        assert (own.verdict, own.severity, own.links) == (Verdict.ESCALATED, Severity.SEV3, (on.incident.id,))
        [told] = [mail for mail in on.world.mail if "what was lent is not back" in (mail.subject or "")]
        by_hand = "aws appsync delete-api-cache --api-id opendatapulsegraphqlapi (this writes)"
        assert by_hand in " ".join(told.text.split())


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_does_not_help_is_taken_back_and_told_once() -> None:
    """What is asked differs each time: nothing it keeps is asked for again."""
    with night() as on:
        on.api.repeats = 0.0
        on.api.busy()
        on.say()
        on.until_settled()
        assert on.incident.verdict is Verdict.REVERTED
        on.minutes(5)
        assert on.api.cache is None
        on.minutes(120)
        assert on.written == ["appsync.CreateApiCache", "appsync.DeleteApiCache"]


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_aws_cannot_make_is_taken_back() -> None:
    """It would be paid for, and help nobody."""
    with night() as on:
        on.api.cannot = True
        on.api.busy()
        on.say()
        on.until_settled()
        assert on.incident.verdict is Verdict.REVERTED
        on.minutes(5)
        assert on.api.cache is None


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_is_being_made_for_too_long_is_taken_back_when_that_is_over() -> None:
    """AWS deletes none that it is still making: it is tried until it does."""
    with night(LENDS + 'creating = "PT10M"\n') as on:
        on.api.takes = timedelta(minutes=25)
        on.api.busy()
        on.say()
        on.until_settled()
        on.minutes(5)
        assert on.api.cache is None


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.parametrize(
    "operation, kind",
    [
        *(
            ("CreateApiCache", kind)
            for kind in (Kind.TIMEOUT_AFTER, Kind.TIMEOUT_BEFORE, Kind.ERROR_BEFORE, Kind.LANDS_LATE)
        ),
        *(("DeleteApiCache", kind) for kind in Kind if kind.value.startswith(("timeout", "5xx", "throttled"))),
    ],
)
def test_an_answer_that_is_lost_leaves_no_cache_behind(operation: str, kind: Kind) -> None:
    """What became of the call is found out by looking; where nothing did, a person is asked once more."""
    with night() as on:
        on.world.faults.add(kind, f"appsync.{operation}", times=1)
        on.api.busy()
        on.say()
        on.minutes(10)
        if on.api.cache is None:
            on.say()
        on.until(lambda: on.api.works)
        on.api.requests = 400
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        on.minutes(5)
        assert on.api.cache is None


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_may_not_be_made_is_told() -> None:
    """One attempt is all there is, and there is nothing to be taken back."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "appsync.CreateApiCache", times=1)
        on.api.busy()
        on.say()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.api.cache is None


# -- and what is not lent --------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.10", "appsync-slow")
def test_no_is_no() -> None:
    """Nothing is made, and nothing is paid."""
    with night() as on:
        on.api.busy()
        on.say(yes=False)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.api.dollars == 0


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.parametrize(
    "target, says",
    [
        ({"cache": None}, "does not say what it may hold"),
        ({"public": False}, "whoever asks may see"),
    ],
)
def test_what_nobody_has_declared_safe_is_not_cached(target: dict[str, Any], says: str) -> None:
    """A cache may show one user what another one asked for: it is told what would have to be said first."""
    with night(**target) as on:
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert says in on.world.mail[-1].text.replace("\n", " ")
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_whose_price_nobody_knows_is_not_lent() -> None:
    """The table of prices has none for this Region, and the configuration says none."""
    with night(region="eu-central-1") as on:
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.scenario("1.12", "appsync-slow")
@pytest.mark.parametrize("there", [True, False])
def test_a_cache_that_no_resolver_uses_does_nothing_and_is_told(there: bool) -> None:
    """Whether there is one, or one would be made: the fields are named, and no resolver is changed."""
    with night(cache="per-resolver") as on:
        if there:
            on.api.make_cache(apiCachingBehavior="PER_RESOLVER_CACHING")
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "getAirQualityData" in on.world.mail[-1].text
        assert on.written == []


@pytest.mark.scenario("1.12", "appsync-slow")
def test_a_cache_for_single_resolvers_is_lent_where_one_is_set_up_for_it() -> None:
    """Then it does something."""
    with night(cache="per-resolver") as on:
        on.api.resolvers["getAirQualityData"] = True
        on.api.busy()
        on.say()
        on.until_phase(Phase.LEASED)
        assert on.api.cache is not None
        assert on.api.cache.asked["apiCachingBehavior"] == "PER_RESOLVER_CACHING"


@pytest.mark.scenario("1.10", "appsync-slow")
def test_a_cache_that_is_there_is_left_alone() -> None:
    """It is slow all the same: that is for people."""
    with night() as on:
        on.api.make_cache()
        on.api.repeats = 0.0
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "although it has a cache" in on.incident.why
        assert on.api.cache is not None


@pytest.mark.scenario("1.10", "appsync-slow")
def test_an_api_whose_requests_fail_is_not_cached() -> None:
    """What fails is slow, and no cache keeps it."""
    with night() as on:
        on.api.failing = 0.3
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "30 % of the requests" in on.incident.why
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
def test_what_is_only_watched_is_told_and_gets_no_cache() -> None:
    """In mode observe the report says what would be done."""
    with night(mode="observe") as on:
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "a small cache" in on.world.mail[-1].text
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
@pytest.mark.parametrize("tags, guard", [({"protected": "true"}, "protected"), (None, "opted-in")])
def test_what_its_tags_do_not_allow_is_not_touched(tags: dict[str, str] | None, guard: str) -> None:
    """Whatever the configuration says."""
    with night() as on:
        if tags is None:
            on.api.tags.clear()
        on.api.tags.update(tags or {})
        on.api.busy()
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == guard
        assert on.written == []


@pytest.mark.scenario("1.10", "appsync-slow")
def test_while_its_stack_is_updated_nobody_is_asked() -> None:
    """Whoever deploys it may be making a cache."""
    with night() as on:
        on.world.stacks.set_status(on.api.stack, "UPDATE_IN_PROGRESS")
        on.api.busy()
        on.until(lambda: on.nightshift.all)
        on.minutes(20)
        assert on.incident.phase is Phase.OPEN
        on.world.stacks.set_status(on.api.stack, "UPDATE_COMPLETE")
        on.until_phase(Phase.AWAITING)


def test_the_kill_switch_makes_no_cache_and_takes_a_lent_one_back() -> None:
    """Paused, nothing new is begun; what was lent goes back when its time is up."""
    with night() as on:
        on.api.busy()
        on.say()
        on.until_phase(Phase.LEASED)
        on.nightshift.set_switch(SwitchState.PAUSED, "not tonight")
        on.api.requests = 200
        on.until_settled()
        on.minutes(5)
        assert on.api.cache is None


# -- who cannot sign in ----------------------------------------------------------------------------------------------


@contextmanager
def people(*, opens: bool = True, thin: bool = True) -> Iterator[Night]:
    """An evening on which most sign-ins have succeeded so far."""
    with World(NIGHT, thin=thin, region=REGION) as world:
        api = GraphQl(world)
        pool = UserPool(world, api if opens else None)
        toml = graphql_configuration(world, pool_target(pool), settings=(f"[remediations.{SIGN_INS}]\n",))
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, api, pool, nightshift)
            on.minutes(30)
            assert nightshift.all == []
            yield on
            assert on.written == []
            for secret in (pool.SECRET, pool.ADDRESS, "4711"):  # the tick's own records among it
                assert all(secret not in mail.text for mail in world.mail)
                assert secret not in repr(nightshift.all)
            assert failures(world) == ()


def _gone(on: Night) -> None:
    on.pool.client.gone = True


def _no_flow(on: Night) -> None:
    on.pool.client.settings["ExplicitAuthFlows"] = ["ALLOW_REFRESH_TOKEN_AUTH"]


def _quota(on: Night) -> None:
    on.pool.client.turned_away = 40


def _trigger(on: Night) -> None:
    on.pool.settings["LambdaConfig"] = {"PreAuthentication": on.pool.trigger_arn}
    on.pool.trigger_errors = 9


def _messages(on: Night) -> None:
    on.pool.settings["SmsConfigurationFailure"] = "SNSSandbox"


def _changed(on: Night) -> None:
    on.pool.client.settings["LastModifiedDate"] = on.world.now


def _nothing(on: Night) -> None:
    del on


@pytest.mark.scenario("1.13", "sign-ins-failing")
@pytest.mark.scenario("3.3", "sign-ins-failing")
@pytest.mark.parametrize(
    "cause, says",
    [
        (_gone, "there is no client"),
        (_no_flow, "has no way to sign in"),
        (_quota, "more than the account's quota"),
        (_trigger, "which Cognito calls at a sign-in (PreAuthentication)"),
        (_messages, "Cognito cannot send text messages: SNSSandbox"),
        (_changed, "was changed at"),
        (_nothing, "explain it"),
    ],
)
def test_people_are_told_which_setting_keeps_them_out(cause: Callable[[Night], None], says: str) -> None:
    """Once, at the severity of many users; nothing of a user, no address and no secret is in any report or record."""
    with people() as on:
        cause(on)
        on.pool.client.failing = 0.9
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.incident.severity is Severity.SEV2
        assert says in on.incident.why
        assert "update-user-pool-client" in on.world.mail[-1].text
        on.minutes(60)
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("1.13", "sign-ins-failing")
@pytest.mark.parametrize("thin", [True, False])
def test_an_api_that_takes_another_pools_tokens_is_told(thin: bool) -> None:
    """People sign in, and then their tokens are refused."""
    with people(thin=thin) as on:
        on.api.pool = "ap-southeast-2_Another"
        on.api.refused = 0.4
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "takes no tokens of" in on.incident.why
        assert "flush-api-cache" in on.world.mail[-1].text


@pytest.mark.scenario("1.13", "sign-ins-failing")
def test_some_who_mistype_and_a_night_without_anybody_tell_nobody() -> None:
    """Only most sign-ins of many are a failure."""
    with people(opens=False) as on:
        on.pool.client.failing = 0.4
        on.minutes(40)
        on.pool.client.failing, on.pool.client.sign_ins = 1.0, 2
        on.minutes(40)
        on.pool.client.sign_ins = 0
        on.minutes(40)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.13", "sign-ins-failing")
def test_who_can_sign_in_again_has_recovered() -> None:
    """What passes before it is told is told as passed."""
    with people() as on:
        on.pool.client.failing = 0.9
        on.until(lambda: on.nightshift.all)
        on.pool.client.failing = 0.0
        on.world.stacks.add("x")
        on.until_settled()
        assert on.incident.verdict in {Verdict.RECOVERED, Verdict.ESCALATED}
