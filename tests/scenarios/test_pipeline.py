"""
Raw files that never became curated ones (runbook 1): which are processed again, and which are left to whom.

Whatever happens, no file is told of twice, and where the function is not idempotent no row is written twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_plus

import pytest
from nightshift.model import Incident, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.etl import Etl, pipeline_configuration
from sandbox.trail import Event
from sandbox.world import World

HOUR = timedelta(hours=1)
BACKLOG, LETTERS = "pipeline-backlog", "sqs-dlq-backlog"


@dataclass(frozen=True)
class Night:
    """The pipeline, and Nightshift switched on."""

    world: World
    system: Etl
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident about the bucket."""
        [incident] = self.nightshift.of(BACKLOG)
        return incident

    @property
    def sends(self) -> list[Event]:
        """What the queue was told under an incident's name, but for letters that were sent home."""
        sends = [each for each in self.world.trail.of("sqs.SendMessage") if each.principal.role_arn]
        return [each for each in sends if BACKLOG in str(each.principal.role_arn)]

    @property
    def told(self) -> list[str]:
        """The files that it was told of, in order."""
        bodies = [json.loads(each.params["MessageBody"]) for each in self.sends]
        return [unquote_plus(body["Records"][0]["s3"]["object"]["key"]) for body in bodies]

    @property
    def stored(self) -> list[Event]:
        """The letters that were set apart."""
        return [each for each in self.world.trail.of("s3.PutObject") if each.principal.role_arn]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_asked(self) -> None:
        """Let time pass until a person is asked."""
        self.world.run_until(lambda: any(each.phase is Phase.AWAITING for each in self.nightshift.all), HOUR)

    def until_settled(self, limit: float = 8 * 60) -> None:
        """Let time pass until every incident has ended."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self.nightshift.settled:
            self.minutes(1)
        assert self.nightshift.settled


@contextmanager
def night(settings: str = "", *, thin: bool = True, **more: Any) -> Iterator[Night]:
    """A night on which some files were processed as they should be."""
    with World(NIGHT, thin=thin) as world:
        system = Etl(world, idempotent=more.get("idempotent", True))
        with Deployment(world, pipeline_configuration(system, settings=settings, **more)) as nightshift:
            nightshift.resume()
            system.arrive(4)
            on = Night(world, system, nightshift)
            on.minutes(15)
            assert system.missing == []
            yield on
            assert system.duplicated == []
            assert [key for key, times in Counter(on.told).items() if times > 1] == []
            assert failures(world) == ()


# -- nobody was told ---------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.9", "pipeline-backlog")
@pytest.mark.parametrize("thin", [True, False])
def test_files_that_nobody_was_told_of_are_processed_a_few_first(thin: bool) -> None:
    """Three, then the rest; those that were processed are left alone, however new they are."""
    with night(thin=thin) as on:
        on.system.lose()
        lost = on.system.arrive(8)
        on.system.lose_no_more()
        good = on.system.arrive(3)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.missing == []
        assert sorted(on.told) == lost
        assert on.system.again == 0
        assert all(on.system.runs[key] == 1 for key in (*lost, *good))
        assert len(on.incident.attempts) == 1


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_many_are_told_of_in_waves_of_half_of_what_the_function_may_do_at_once() -> None:
    """With six calls at a time reserved, three files at a time; one plan, one attempt, and the rest tick by tick."""
    with night() as on:
        on.system.reserved = 6
        on.system.lose()
        lost = on.system.arrive(20)
        on.system.lose_no_more()
        on.until_settled()
        assert (on.incident.verdict, len(on.incident.attempts)) == (Verdict.FIXED, 1)
        assert on.system.missing == []
        assert sorted(on.told) == lost
        waves = Counter(each.at.replace(second=0, microsecond=0) for each in on.sends)
        assert max(waves.values()) == 3


def test_no_more_than_the_limit_are_told_of_in_one_incident() -> None:
    """What is over it is handed to people, once."""
    with night("most = 5\nmax_attempts = 1\n") as on:
        on.system.lose()
        on.system.arrive(8)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "one incident tells of no more" in on.incident.attempts[-1].why
        assert (len(on.told), len(on.system.missing)) == (5, 3)


@pytest.mark.corrects("all-of-today")
def test_files_of_yesterday_that_were_processed_are_not_processed_again() -> None:
    """Never everything of a day: only what has no curated file."""
    with night() as on:
        on.system.lose()
        [lost] = on.system.arrive()
        on.system.lose_no_more()
        on.system.arrive(30)
        on.until_settled()
        assert on.told == [lost]
        assert on.system.again == 0


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_a_message_that_comes_twice_is_counted_and_does_no_harm_where_the_function_is_idempotent() -> None:
    """SQS promises at least once: the sandbox counts a second run, and no row is there twice."""
    with night() as on:
        on.system.lose()
        [lost] = on.system.arrive()
        on.until_settled()
        on.system.tell(lost)
        on.minutes(5)
        assert (on.system.again, on.system.runs[lost]) == (1, 2)
        assert on.system.duplicated == []


# -- not ours to act, or not now ---------------------------------------------------------------------------------------


@pytest.mark.scenario("1.8", "sqs-dlq-backlog")
@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_files_whose_messages_died_in_an_outage_are_the_dead_letter_queues() -> None:
    """Their letters are sent home once the function works; nothing is told of a second time."""
    with night() as on:
        on.system.outage()
        on.system.arrive(5)
        on.minutes(8)
        on.system.outage_ends()
        on.until_settled()
        [letters] = on.nightshift.of(LETTERS)
        assert letters.verdict is Verdict.FIXED
        assert on.incident.verdict is Verdict.RECOVERED
        assert letters.id in on.incident.links
        assert on.told == []
        assert (on.system.missing, on.system.again) == ([], 0)


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_a_file_at_which_the_function_always_fails_is_not_told_of_again() -> None:
    """Its letter is set apart as poison; one that was lost since is processed, and the poison is handed to a person."""
    with night() as on:
        poison = on.system.arrive_poison()
        on.world.run_until(lambda: on.stored, HOUR)
        on.minutes(1)
        on.system.lose()
        [lost] = on.system.arrive()
        on.system.lose_no_more()
        on.until_settled()
        assert on.told == [lost]
        assert on.system.missing == [poison]
        assert on.incident.verdict is Verdict.ESCALATED
        assert "set apart" in on.incident.why


@pytest.mark.scenario("1.7", "pipeline-backlog")
def test_while_calls_are_turned_away_nothing_is_told_of() -> None:
    """More would be turned away too, and their messages die; it is done when there is room again."""
    with night() as on:
        on.system.lose()
        [lost] = on.system.arrive()
        on.system.lose_no_more()
        on.system.throttled = True
        on.system.arrive(2)
        on.minutes(2.5)
        on.system.throttled = False
        on.minutes(6)
        assert on.told == []
        on.until_settled()
        assert on.told == [lost]
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.parametrize("stopped", ["reserved", "mapping"])
def test_while_the_function_is_stopped_nothing_is_told_of(stopped: str) -> None:
    """Somebody has switched it off, or what feeds it: that person is told, and nothing else is done."""
    with night('deadline = "PT1H"\n') as on:
        on.system.lose()
        on.system.arrive(2)
        on.system.reserved, on.system.enabled = (0, True) if stopped == "reserved" else (None, False)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "does not work yet" in on.incident.why
        assert on.told == []
        assert len(on.system.missing) == 2


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_nothing_is_processed_again_where_nobody_said_that_it_may_be() -> None:
    """The function adds its rows again at every run: a person is told which files, and nothing is sent."""
    with night(idempotent=False) as on:
        on.system.lose()
        [lost] = on.system.arrive()
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "idempotent" in " ".join(on.incident.diagnosis.advice if on.incident.diagnosis else ())
        assert lost in on.world.mail[-1].text
        assert on.told == []


def test_where_the_bucket_tells_nobody_any_more_that_is_mended_first() -> None:
    """Whatever comes in next is lost too: a person mends the notifications."""
    with night() as on:
        on.system.route(told=False)
        on.system.arrive(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "does not tell" in on.incident.why
        assert on.told == []


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_where_the_first_few_are_not_processed_no_more_are_told_of_and_a_person_is_told_once() -> None:
    """The function finishes its messages and makes nothing of them: each try is the first few, and then it ends."""
    with night("max_attempts = 2\n") as on:
        on.system.forgets = True
        on.system.lose()
        lost = on.system.arrive(12)
        on.until_settled()
        assert (on.incident.verdict, len(on.incident.attempts)) == (Verdict.ESCALATED, 2)
        assert on.told == lost[:6]
        on.minutes(120)
        assert len(on.nightshift.of(BACKLOG)) == 1
        assert sum("ESCALATED" in (mail.subject or "") for mail in on.world.mail) == 1


def test_what_somebody_processes_by_hand_meanwhile_has_recovered() -> None:
    """It is looked at again right before anything is done."""
    with night("confirm = 4\n") as on:
        on.system.lose()
        [lost] = on.system.arrive()
        on.minutes(7)
        on.system.tell(lost)
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.told == []


# -- how far it may go -------------------------------------------------------------------------------------------------


def test_in_observe_mode_it_says_what_it_would_do() -> None:
    """And does nothing."""
    with night(mode="observe") as on:
        on.system.lose()
        on.system.arrive(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "have raw objects processed again" in on.world.mail[-1].text
        assert on.told == []


@pytest.mark.parametrize("yes", [True, False])
def test_in_approve_mode_a_person_is_asked(yes: bool) -> None:
    """More files come in late while the answer is awaited: they are part of what was asked for."""
    with night(mode="approve") as on:
        on.system.lose()
        on.system.arrive(2)
        on.until_asked()
        on.system.arrive(2)
        on.minutes(10)
        on.nightshift.answer(on.incident, yes=yes, why="I have looked")
        on.until_settled()
        assert on.incident.verdict is (Verdict.FIXED if yes else Verdict.REFUSED)
        assert len(on.told) == (4 if yes else 0)


def test_what_is_protected_is_left_alone() -> None:
    """Whoever tags the bucket so is obeyed."""
    with night() as on:
        on.system.tag("protected", "true")
        on.system.lose()
        on.system.arrive(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.told == []
