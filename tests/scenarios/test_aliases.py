"""
Versions of functions of OpenData Pulse: an alias is pointed back where its last move is why, and nowhere else.

Played in the thin cloud, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Outcome, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.aliased_function import (
    ALIAS,
    DENIED,
    OUT_OF_MEMORY,
    TIMEOUT,
    UNCLEAR,
    AliasedFunction,
    AliasedFunctions,
    aliases_configuration,
)
from sandbox.world import World

BACK = "lambda-alias-bad"
FAILING = "lambda-failing"
TABLE = f'[remediations.{BACK}]\nmode = "auto"\n'
BOTH = f"{TABLE}\n[remediations.{FAILING}]\n"


@dataclass(frozen=True)
class Night:
    """A function that is called by its alias, and a Nightshift that has looked at it for a while."""

    world: World
    system: AliasedFunctions
    nightshift: Deployment

    @property
    def api(self) -> AliasedFunction:
        """The function."""
        return self.system.api

    @property
    def incident(self) -> Incident:
        """The one incident about the alias."""
        [incident] = self.nightshift.of(BACK)
        return incident

    @property
    def written(self) -> list[tuple[str, str]]:
        """To which versions which aliases were pointed under any incident's name, in order."""
        found = [each for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]
        assert {each.name for each in found} <= {"lambda.UpdateAlias"}
        return [(each.params["Name"], each.params["FunctionVersion"]) for each in found]

    @property
    def mail(self) -> str:
        """The last report, as one line."""
        last = list(self.world.mail)[-1]
        return " ".join(f"{last.subject} {last.text}".split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], limit: float = 120) -> None:
        """Until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def until_closed(self, limit: float = 180) -> None:
        """Until there was an incident and none is open."""
        self.world.run_until(lambda: self.nightshift.settled, timedelta(minutes=limit))

    def told(self, *texts: str) -> None:
        """It ended with people being told, once, of all of this; the alias is where it was."""
        self.until_closed()
        assert self.incident.verdict is Verdict.ESCALATED
        assert [text for text in texts if text not in self.mail] == []
        assert self.written == []
        assert len(self.world.mail) == 1
        assert "hunter2" not in self.mail


@contextmanager
def night(
    *, tables: str = TABLE, mode: str = "auto", free: bool = True, watched: float = 70, thin: bool = True, **has: Any
) -> Iterator[Night]:
    """A calm hour that sweeps have seen; ``free``: the function is tagged so that nobody is asked."""
    with World(NIGHT, thin=thin) as world:
        system = AliasedFunctions(world)
        for name, value in has.items():
            setattr(system.api, name, value)
        if free:
            system.api.tags["auto-rollback"] = "enabled"
        with Deployment(world, aliases_configuration(system, tables=tables, mode=mode)) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=watched))
            assert nightshift.all == []
            yield Night(world, system, nightshift)
            assert failures(world) == ()


# -- pointed back ------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.18", BACK)
@pytest.mark.parametrize("thin", [True, False])
def test_an_alias_is_pointed_back_to_the_version_that_worked(thin: bool) -> None:
    """In one write, to the version that sweeps saw there before; then hardly a call fails for ten minutes."""
    with night(thin=thin) as on:
        on.api.release("12")  # what the runbook would have gone back to, Versions[-2], is not what ran before
        on.api.versions["11"] = on.api.versions["7"]
        on.until_closed()
        assert (on.api.points_to, on.written) == ("7", [(ALIAS, "7")])
        assert on.incident.verdict is Verdict.FIXED
        [call] = on.incident.calls
        assert (call.action, call.outcome) == ("lambda:UpdateAlias", Outcome.DONE)
        assert (call.before["FunctionVersion"], call.after["FunctionVersion"]) == ("12", "7")
        for text in (
            "live was moved from version 7 to 12",
            "what differs: code",
            "FunctionVersion",
            "--function-version 12",
        ):
            assert text in on.mail
        assert "hunter2" not in on.mail
        on.minutes(60)
        assert on.written == [(ALIAS, "7")]


@pytest.mark.scenario("1.18", BACK)
@pytest.mark.parametrize("says", [TIMEOUT, OUT_OF_MEMORY])
def test_timeouts_and_memory_are_the_versions_own_too(says: str) -> None:
    """What the version before did not run into."""
    with night() as on:
        on.api.release(says=says)
        on.until(lambda: on.written)
        assert on.api.points_to == "7"


@pytest.mark.scenario("1.18", BACK)
def test_a_person_is_asked_unless_the_function_says_otherwise() -> None:
    """Mode auto, and no tag: it waits for a yes, also for longer than a version is a suspect."""
    with night(free=False) as on:
        on.api.release()
        on.until(lambda: on.nightshift.all and on.incident.approval is not None)
        on.minutes(70)
        assert on.written == []
        assert [mail.subject.split()[0] for mail in on.world.mail if mail.subject] == ["APPROVE?"]
        on.nightshift.answer(on.incident, yes=True, why="point it back")
        on.until_closed()
        assert on.incident.verdict is Verdict.FIXED
        assert on.written == [(ALIAS, "7")]


@pytest.mark.scenario("1.18", BACK)
def test_a_way_back_that_does_not_help_is_not_repeated_and_is_handed_over_once() -> None:
    """What both versions need breaks in the meantime: one write, one escalation that says where the alias is now."""
    with night() as on:
        on.api.release()
        on.until(lambda: on.written)
        on.api.versions["7"].failing = 0.5
        on.until_closed()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.written == [(ALIAS, "7")]
        assert "to point it forward again: aws lambda update-alias" in on.mail
        told = len(on.world.mail)
        on.minutes(120)
        assert on.written == [(ALIAS, "7")]
        assert len(on.world.mail) == told


@pytest.mark.scenario("1.18", BACK)
def test_an_answer_that_is_lost_is_found_out_by_looking() -> None:
    """Another revision, and ours is where it points: it is not sent again."""
    with night() as on:
        on.world.faults.add(Kind.TIMEOUT_AFTER, "lambda.UpdateAlias", times=1)
        on.api.release()
        on.until_closed()
        assert on.incident.verdict is Verdict.FIXED
        assert len(on.world.trail.of("lambda.UpdateAlias")) == 1


def test_an_alias_that_is_moved_at_the_same_moment_is_left_where_it_was_moved_to() -> None:
    """The revision that was read is gone: the write is refused by Lambda, and nobody tries again blindly."""
    with night() as on:
        on.api.versions["9"] = on.api.versions["7"]
        on.world.seam.before("lambda", "UpdateAlias", lambda _: on.api.point("9"))
        on.api.release()
        on.until_closed()
        assert on.written == []
        assert on.api.points_to == "9"
        assert len(on.world.trail.of("lambda.UpdateAlias")) == 1


def test_who_moves_the_alias_after_us_has_the_last_word() -> None:
    """Somebody deploys while ours settles: it is left there, and counts as no help of ours."""
    with night() as on:
        on.api.versions["9"] = on.api.versions["7"]
        on.api.release()
        on.until(lambda: on.written)
        on.api.point("9")
        on.until_closed()
        assert "somebody has moved live since" in on.mail
        assert (on.api.points_to, on.written) == ("9", [(ALIAS, "7")])


# -- where going back would be wrong -----------------------------------------------------------------------------------


@pytest.mark.scenario("1.18", BACK)
def test_a_permission_that_is_missing_is_not_blamed_on_the_version() -> None:
    """The version before would be refused the same."""
    with night() as on:
        on.api.release(says=DENIED)
        on.told("are of what it calls, or may not call", "--function-version 7 --revision-id", "Nothing was changed")


@pytest.mark.scenario("1.18", BACK)
def test_errors_of_which_nobody_knows_the_kind_are_told() -> None:
    """An event that it does not understand, say: that may be the sender's."""
    with night() as on:
        on.api.release(says=UNCLEAR)
        on.told("only 0 of", "errors in its log are of its own code")


@pytest.mark.scenario("1.18", BACK)
def test_what_failed_before_the_alias_was_moved_is_not_blamed_on_that() -> None:
    """One call in fifty did: then the version before is no cure that could be proved."""
    with night() as on:
        on.api.versions["7"].failing = 0.02
        on.minutes(40)
        on.api.release()
        on.told("30 minutes before: it was not well either")


@pytest.mark.scenario("1.18", BACK)
def test_what_was_hardly_called_before_is_not_known_to_be_well() -> None:
    """No error of no calls says nothing."""
    with night() as on:
        on.api.calls = 0
        on.minutes(40)
        on.api.calls = 60
        on.api.release()
        on.told("0 of 0 calls of version 7 failed", "too few to tell whether it was well")


@pytest.mark.scenario("1.18", BACK)
def test_a_version_that_was_there_for_minutes_has_proved_nothing() -> None:
    """Two releases within half an hour."""
    with night() as on:
        on.api.release("8", failing=0.0)
        on.minutes(30)
        on.api.release("9")
        on.told("whether that one is good is not known")


@pytest.mark.scenario("1.18", BACK)
def test_a_version_that_was_well_for_an_hour_is_not_to_blame() -> None:
    """Something else has changed since."""
    with night() as on:
        on.api.release(failing=0.0)
        on.minutes(75)
        on.api.versions["8"].failing = 0.4
        on.told("version 8 had been well for more than 60 minutes")


@pytest.mark.scenario("1.18", BACK)
def test_nobody_goes_back_twice() -> None:
    """A person has gone back already, and it still fails: the cause is another one."""
    with night() as on:
        on.api.release(failing=0.0)
        on.minutes(70)
        on.api.point("7")
        on.api.versions["7"].failing = 0.4
        on.told("version 7 had been there before: it is itself a way back")


@pytest.mark.scenario("1.18", BACK)
def test_nobody_goes_back_to_what_was_gone_back_from() -> None:
    """It was bad once; that it ran for an hour since does not make it the way back."""
    with night() as on:
        on.api.release("8", failing=0.0)
        on.minutes(10)
        on.api.point("7")
        on.minutes(10)
        on.api.point("8")
        on.minutes(70)
        on.api.release("9")
        on.told("version 8 was gone back from once")


@pytest.mark.scenario("1.18", BACK)
def test_equal_versions_and_those_that_are_gone_are_no_way_back() -> None:
    """Published twice from the same code."""
    with night() as on:
        on.api.release(code="code-7")
        on.told("versions 7 and 8 are equal")
    with night() as on:
        on.api.release()
        del on.api.versions["7"]
        on.told("version 7 is not there any more")


@pytest.mark.scenario("1.18", BACK)
def test_latest_is_no_version_to_go_back_to() -> None:
    """It is whatever was uploaded last."""
    with night() as on:
        on.api.versions["$LATEST"] = on.api.versions["7"]
        on.api.point("$LATEST")
        on.minutes(75)
        on.api.release()
        on.told("one of the two is $LATEST")


@pytest.mark.scenario("1.18", BACK)
def test_callers_that_name_no_alias_are_not_helped_by_moving_one() -> None:
    """Most of what fails is called by the function's name alone: it is said who does."""
    with night(bare=600) as on:
        on.api.release()
        on.api.bare_failing = 0.3
        on.told("do not name live, and would still fail", "opendata-pulse-api-events")


@pytest.mark.scenario("1.18", BACK)
def test_a_canary_is_left_to_whoever_runs_it() -> None:
    """CodeDeploy takes it back by its own alarms."""
    with night() as on:
        on.api.release()
        on.api.point("7", {"8": 0.5})
        on.told("is being moved between version 7 and 8", "CodeDeploy takes it back by its own alarms")


@pytest.mark.scenario("1.18", BACK)
def test_what_no_sweep_has_seen_is_not_known() -> None:
    """Nightshift has just been deployed: nobody knows what was there before."""
    with night(watched=3) as on:
        on.api.release()
        on.minutes(2)
        on.told("whether that one is good is not known")


@pytest.mark.scenario("1.18", BACK)
def test_while_nobody_looked_anything_may_have_been_there() -> None:
    """The sweep stood still for twenty minutes, in which the alias was moved."""
    with night() as on:
        on.world.lambdas.deaf_until_ms = on.world.agenda.ms + 20 * 60_000
        on.minutes(18)
        on.api.release()
        on.told("nobody looked for a while when it was moved")


@pytest.mark.scenario("1.18", BACK)
def test_what_is_only_watched_or_protected_is_not_touched() -> None:
    """The report says what would have been done."""
    with night(mode="observe") as on:
        on.api.release()
        on.until_closed()
        assert on.incident.verdict is Verdict.REFUSED
        assert "point live of opendata-pulse-api back from version 8 to 7" in on.mail
        assert on.written == []
    with night() as on:
        on.api.tags["protected"] = "true"
        on.api.release()
        on.until_closed()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.written == []


# -- whose it is to tell -----------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.18", BACK)
def test_a_version_that_is_bad_is_told_once_and_not_by_whoever_tells_of_functions() -> None:
    """That one waits, is linked with it, and ends when nothing fails any more."""
    with night(tables=BOTH) as on:
        on.api.release()
        on.until(lambda: on.nightshift.of(FAILING))
        on.until_closed()
        assert on.incident.verdict is Verdict.FIXED
        [waited] = on.nightshift.of(FAILING)
        assert waited.verdict is Verdict.RECOVERED
        assert waited.id in on.nightshift.incidents.links(on.incident.id)
        assert not any("neither its timeout nor its concurrency" in mail.text for mail in on.world.mail)


@pytest.mark.scenario("1.18", FAILING)
def test_what_no_move_explains_is_told_by_whoever_tells_of_functions() -> None:
    """With timeout, memory and what was changed; the alias has no report of its own."""
    with night(tables=BOTH) as on:
        on.api.versions["7"].failing = 0.3
        on.until(lambda: any(each.phase is Phase.CLOSED for each in on.nightshift.all))
        [told] = on.nightshift.of(FAILING)
        assert told.verdict is Verdict.ESCALATED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "one-cause"
        assert len(on.world.mail) == 1
        assert on.written == []
