"""
Functions of OpenData Pulse whose calls are turned away: what is lent and given back, and what is told, or left alone.

Played in the thin cloud, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Phase, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.pulse_functions import PulseFunction, PulseFunctions, functions_configuration
from sandbox.world import World

THROTTLED = "lambda-throttled"
FAILING = "lambda-failing"
BURST = 390
"""calls a minute, of two seconds each: of ten at once three hundred are run"""
TABLE = f'[remediations.{THROTTLED}]\nmode = "auto"\n'


@dataclass(frozen=True)
class Night:
    """The functions, ten reserved for each, and a Nightshift that looks at their concurrency."""

    world: World
    system: PulseFunctions
    nightshift: Deployment

    @property
    def etl(self) -> PulseFunction:
        """The one that most nights are about."""
        return self.system.etl

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.all
        return incident

    @property
    def written(self) -> list[int]:
        """What was reserved under any incident's name, in order."""
        found = [each for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]
        assert {each.name for each in found} <= {"lambda.PutFunctionConcurrency"}
        return [each.params["ReservedConcurrentExecutions"] for each in found]

    @property
    def mail(self) -> str:
        """The last report, as one line."""
        last = list(self.world.mail)[-1]
        return " ".join(f"{last.subject} {last.text}".split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 180) -> None:
        """Let time pass until the incident has come so far."""
        self.world.run_until(lambda: any(each.phase is phase for each in self.nightshift.all), timedelta(minutes=limit))

    def until_lent(self) -> None:
        """Let time pass until something is lent."""
        self.world.run_until(lambda: any(each.lent for each in self.nightshift.all), timedelta(minutes=60))

    def told(self, *texts: str) -> None:
        """It ended with people being told of all of this, and nothing was changed."""
        self.until(Phase.CLOSED)
        assert self.incident.verdict is Verdict.ESCALATED
        assert [text for text in texts if text not in self.mail] == []
        assert self.written == []


@contextmanager
def night(
    *names: str, tables: str = TABLE, mode: str = "auto", warm: float = 5, thin: bool = True, **has: Any
) -> Iterator[Night]:
    """A calm night until now, after a calm evening."""
    with World(NIGHT, thin=thin) as world:
        system = PulseFunctions(world, *names)
        for name, value in has.items():
            setattr(system.etl if hasattr(system.etl, name) else system, name, value)
        system.has_a_past()
        with Deployment(world, functions_configuration(system, tables=tables, mode=mode)) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=warm))
            assert nightshift.all == []
            yield Night(world, system, nightshift)
            assert failures(world) == ()


# -- lent, and given back ----------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.scenario("1.25", THROTTLED)
@pytest.mark.parametrize("thin", [True, False])
def test_a_function_whose_reservation_is_used_up_is_lent_half_as_much_again_for_two_hours(thin: bool) -> None:
    """Nothing is turned away any more, that is proven for ten minutes, and the old reservation comes back."""
    with night(thin=thin) as on:
        on.etl.asks = BURST
        on.until_lent()
        assert on.etl.reserved == 15
        on.until(Phase.LEASED)
        assert on.incident.verdict is Verdict.FIXED
        assert "$0.00" not in on.mail
        on.etl.asks = 60
        on.until(Phase.CLOSED)
        assert (on.etl.reserved, on.written) == (10, [15, 10])
        assert on.incident.closed_at == on.incident.attempts[0].started_at + timedelta(hours=2)
        assert [(call.before, call.after) for call in on.incident.calls] == [
            ({"ReservedConcurrentExecutions": 10}, {"ReservedConcurrentExecutions": 15}),
            ({"ReservedConcurrentExecutions": 15}, {"ReservedConcurrentExecutions": 10}),
        ]
        on.minutes(30)
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_backlog_that_comes_again_each_minute_is_worked_off() -> None:
    """What is turned away of a queue comes again, and more of it: with more at once it is less each minute."""
    with night(comes_again=True, asks=300) as on:
        on.etl.waiting = 500
        on.until_lent()
        assert on.etl.waiting > 0
        on.until(Phase.LEASED)
        assert on.etl.waiting == 0


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize("value", [30, 0])
def test_a_reservation_that_somebody_has_set_since_is_theirs(value: int) -> None:
    """Also 0, which stops the function: it is never started again by giving back a loan."""
    with night() as on:
        on.etl.asks = BURST
        on.until(Phase.LEASED)
        on.etl.reserved = value
        on.until(Phase.CLOSED)
        assert (on.etl.reserved, on.written) == (value, [15])
        assert "changed by somebody else" in on.mail


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_loan_that_does_not_help_is_given_back_and_handed_over_once() -> None:
    """Twice as much comes in as fifteen at once can do: one loan, no second one."""
    with night() as on:
        on.etl.asks = 3 * BURST
        on.until(Phase.CLOSED)
        assert (on.etl.reserved, on.written, on.incident.verdict) == (10, [15, 10], Verdict.REVERTED)
        on.minutes(240)
        assert len(on.nightshift.all) == 1


# -- the account's own -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize(
    "has, lent",
    [
        ({"limit": 163}, 13),  # 153 are not reserved, and 150 stay so
        ({"limit": 400, "others": 337}, 13),  # so many as the others use, and 50 more
        ({"reserved": 200, "limit": 5000}, 250),  # at most 50 more
    ],
    ids=["AWS's minimum and a margin", "what others use", "a step"],
)
def test_no_more_is_lent_than_the_others_can_spare(has: dict[str, Any], lent: int) -> None:
    """AWS's hundred and fifty more stay without a reservation, and what others use, and fifty more."""
    with night(tables=f"{TABLE}ceiling = 1000\n", **has) as on:
        on.etl.asks = round(BURST * (on.etl.reserved or 0) / 10)
        on.until_lent()
        assert on.etl.reserved == lent


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize("has", [{"limit": 160}, {"limit": 110}, {"others": 950}])
def test_where_the_account_has_none_to_spare_its_quota_is_told(has: dict[str, Any]) -> None:
    """And who could give some away."""
    with night(**has) as on:
        on.etl.asks = BURST
        on.told("the account has none to spare", "aws service-quotas request-service-quota-increase")
        assert on.incident.severity is Severity.SEV2


@pytest.mark.scenario("1.7", THROTTLED)
def test_two_that_take_from_the_account_at_once_never_leave_too_little() -> None:
    """One of them is lent some; the other is told that there is none, or gives back what it took too much."""
    with night("one", "other", limit=175) as on:
        for function in on.system.all.values():
            function.asks = BURST
        while len(on.nightshift.all) < 2 or any(each.open and not each.lent for each in on.nightshift.all):
            on.minutes(1)
            assert on.system.unreserved >= 100
        on.minutes(10)
        assert on.system.unreserved >= 150
        assert sum(each.reserved or 0 for each in on.system.all.values()) <= 25
        on.minutes(300)
        assert [each.reserved for each in on.system.all.values()] == [10, 10]


@pytest.mark.scenario("1.7", THROTTLED)
def test_somebody_who_takes_the_rest_meanwhile_is_given_way() -> None:
    """Right after our loan somebody else reserves what was left: ours is given back."""
    with night("one", "other", limit=200) as on:
        on.etl.asks = BURST
        on.until_lent()
        on.system.all["other"].reserved = 70
        assert on.system.unreserved == 115
        on.until(Phase.CLOSED)
        assert (on.etl.reserved, on.incident.verdict) == (10, Verdict.REVERTED)
        assert "somebody else took some, too" in on.mail


# -- what a higher reservation would not help --------------------------------------------------------------------------


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_function_that_somebody_has_stopped_is_never_started() -> None:
    """Reserved concurrency 0 turns every call away, and is meant to."""
    with night(reserved=0) as on:
        on.etl.asks = BURST
        on.minutes(240)
        assert (on.nightshift.all, on.etl.reserved) == ([], 0)


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_function_that_is_stopped_while_we_look_is_left_alone() -> None:
    """Nothing is reserved for it, and nothing taken back."""
    with night(mode="approve") as on:
        on.etl.asks = BURST
        on.until(Phase.AWAITING)
        on.etl.reserved = 0
        on.until(Phase.CLOSED)
        assert (on.written, on.etl.reserved, on.incident.verdict) == ([], 0, Verdict.RECOVERED)


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_function_without_a_reservation_is_told_with_the_accounts_quota() -> None:
    """None is made for it: it would take from the others, and be the most that it may have."""
    with night(reserved=None, others=995) as on:
        on.etl.asks = BURST
        on.told("the account's concurrency is used up, by it or by others", "L-B99A9384")
        assert on.etl.reserved is None


@pytest.mark.scenario("1.23", THROTTLED)
@pytest.mark.corrects("provisioned-parameters")
def test_where_nothing_is_used_up_provisioned_concurrency_is_told_with_what_it_costs() -> None:
    """It is paid for as long as it stands: nothing that is lent without a person."""
    with night(reserved=None) as on:
        on.etl.too_fast = 30
        on.told(
            "neither a reservation nor the account's concurrency is used up", "provisioned concurrency, at AWS's price"
        )
        assert "never to $LATEST" in on.mail


@pytest.mark.scenario("1.7", THROTTLED)
def test_calls_that_take_longer_than_before_are_told_and_not_multiplied() -> None:
    """What they wait for is busy: with more of them at once it would be busier."""
    with night(shares=10) as on:
        on.etl.takes = 30
        on.told("take longer than before", "Look at what its calls wait for")
        assert on.etl.reserved == 10


@pytest.mark.scenario("1.7", THROTTLED)
def test_calls_that_fail_are_not_had_more_of() -> None:
    """They wait for what makes them fail, and say so; once it is over, what is still turned away is lent to."""
    with night() as on:
        on.etl.asks, on.etl.failing = BURST, 0.5
        on.minutes(30)
        assert (on.written, on.incident.refusal and on.incident.refusal.guard) == ([], "cause")
        on.etl.failing = 0.0
        on.until_lent()
        assert on.etl.reserved == 15


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize("limit, text", [(4, "MaximumConcurrency"), (None, "Spread them")])
def test_where_the_reservation_is_not_the_limit_it_is_told_what_is(limit: int | None, text: str) -> None:
    """An event source's own limit, or calls in bursts: some of what is reserved is free."""
    with night(source_limit=limit) as on:
        on.etl.too_fast = 30
        on.told("some of the 10 that are reserved for it are free", text)


@pytest.mark.scenario("1.7", THROTTLED)
def test_the_ceiling_is_never_exceeded() -> None:
    """A loan stops at it; who has reached it is refused."""
    with night(tables=f"{TABLE}ceiling = 12\n") as on:
        on.etl.asks = BURST
        on.until_lent()
        assert on.etl.reserved == 12
    with night(tables=f"{TABLE}ceiling = 10\n") as on:
        on.etl.asks = BURST
        on.until(Phase.CLOSED)
        assert (on.etl.reserved, on.incident.verdict) == (10, Verdict.REFUSED)
        assert "the ceiling is 10" in on.mail


@pytest.mark.scenario("1.7", THROTTLED)
def test_a_few_or_one_burst_are_no_symptom() -> None:
    """Less than one in a hundred; or two minutes, and over."""
    with night() as on:
        on.etl.asks = 302
        on.minutes(30)
        on.etl.asks = 60
        on.minutes(10)
        on.etl.asks = BURST
        on.minutes(2)
        on.etl.asks = 60
        on.minutes(60)
        assert on.nightshift.all == []


# -- what is forbidden, and who is asked -------------------------------------------------------------------------------


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize("forbidden", ["protected", "not opted in", "observe"])
def test_what_may_not_be_touched_is_not(forbidden: str) -> None:
    """What would have been done stands in the report of who only watches."""
    with night(mode="observe" if forbidden == "observe" else "auto") as on:
        if forbidden == "protected":
            on.etl.tags["protected"] = "true"
        elif forbidden == "not opted in":
            on.etl.tags.clear()
        on.etl.asks = BURST
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)


@pytest.mark.scenario("1.7", THROTTLED)
@pytest.mark.parametrize("yes", [True, False])
def test_a_person_is_asked_in_mode_approve(yes: bool) -> None:
    """And their word is taken."""
    with night(mode="approve") as on:
        on.etl.asks = BURST
        on.until(Phase.AWAITING)
        assert "let 15 calls of opendata-pulse-etl run at once instead of 10, for 120 minutes" in on.mail
        on.nightshift.answer(on.incident, yes=yes, why="because")
        on.until(Phase.LEASED if yes else Phase.CLOSED)
        assert on.etl.reserved == (15 if yes else 10)


# -- one cause, one report ---------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.7", FAILING)
@pytest.mark.scenario("1.7", THROTTLED)
def test_calls_that_are_turned_away_are_not_told_twice() -> None:
    """`lambda-failing` waits for the loan, is linked with it, and ends when nothing is turned away any more."""
    with night(tables=f"{TABLE}[remediations.{FAILING}]\n") as on:
        on.etl.asks = BURST
        on.until_lent()
        on.minutes(60)
        [lent], [waited] = on.nightshift.of(THROTTLED), on.nightshift.of(FAILING)
        assert (lent.verdict, waited.verdict) == (Verdict.FIXED, Verdict.RECOVERED)
        assert waited.id in on.nightshift.incidents.links(lent.id)
