"""
Raw files of a pipeline whose function S3 calls itself (runbook 1): which it is given again, and which are left to whom.

Whatever happens, it is given no file twice, and never more at a time than half of what it may do at once.
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
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.etl import pipeline_configuration
from sandbox.systems.etl_direct import DirectEtl
from sandbox.trail import Event
from sandbox.world import World

HOUR = timedelta(hours=1)
BACKLOG, LETTERS = "pipeline-backlog", "lambda-dlq-backlog"


@dataclass(frozen=True)
class Night:
    """The pipeline, and Nightshift switched on."""

    world: World
    system: DirectEtl
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident about the bucket."""
        [incident] = self.nightshift.of(BACKLOG)
        return incident

    @property
    def calls(self) -> list[Event]:
        """What the function was given under an incident's name about the bucket."""
        return [each for each in self.world.trail.of("lambda.Invoke") if BACKLOG in str(each.principal.role_arn)]

    @property
    def given(self) -> list[str]:
        """The files that it was given, in order: one in each event."""
        every = [json.loads(each.params["Payload"])["Records"] for each in self.calls]
        return [unquote_plus(record["s3"]["object"]["key"]) for [record] in every]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def lose(self, files: int) -> list[str]:
        """So many files come in, of which nobody is told."""
        self.system.lose()
        lost = self.system.arrive(files)
        self.system.lose_no_more()
        return lost

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
def night(
    settings: str = "", *, thin: bool = True, keeps: bool = True, names: bool = True, **more: Any
) -> Iterator[Night]:
    """A night on which some files were processed as they should be."""
    with World(NIGHT, thin=thin) as world:
        system = DirectEtl(world, idempotent=more.get("idempotent", True))
        system.keeps, system.names_letters = keeps, names
        others = more.pop("others", keeps and names)
        toml = pipeline_configuration(system, settings=settings, others=others, **more)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.arrive(4)
            on = Night(world, system, nightshift)
            on.minutes(15)
            assert system.missing == []
            yield on
            assert system.duplicated == []
            assert [key for key, times in Counter(on.given).items() if times > 1] == []
            assert failures(world) == ()


# -- nobody was told ---------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.9", "pipeline-backlog")
@pytest.mark.parametrize("thin", [True, False])
def test_the_function_is_given_the_files_that_it_was_never_called_for_a_few_first(thin: bool) -> None:
    """Three, then the rest, each in an event of its own; those that were processed are left alone."""
    with night(thin=thin) as on:
        lost, good = on.lose(8), on.system.arrive(3)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.missing == []
        assert sorted(on.given) == lost
        assert on.system.again == 0
        assert all(on.system.runs[key] == 1 for key in (*lost, *good))
        assert len(on.incident.attempts) == 1
        first = {each.at.replace(second=0, microsecond=0) for each in on.calls[:3]}
        assert all(each.at.replace(second=0, microsecond=0) not in first for each in on.calls[3:])
        assert {each.params["InvocationType"] for each in on.calls} == {"Event"}
        assert on.world.trail.of("sqs.SendMessage", function="nightshift-tick") == []


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_what_an_outage_cost_is_processed_where_lambda_kept_nothing_of_it() -> None:
    """Three tries, and the event is gone: what is left of it is a raw file without a curated one."""
    with night(keeps=False) as on:
        on.system.outage()
        lost = on.system.arrive(5)
        on.minutes(8)
        on.system.outage_ends()
        assert on.system.missing == lost
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert (on.system.missing, sorted(on.given)) == ([], lost)


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_it_is_never_given_more_at_once_than_half_of_what_it_may_do() -> None:
    """With four calls at a time reserved, two; so not one call is turned away by it."""
    with night("canary = 2\n") as on:
        on.system.reserved = 4
        on.system.most = 0
        lost = on.lose(9)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert (on.system.missing, sorted(on.given)) == ([], lost)
        assert on.system.most == 2


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_where_an_answer_was_lost_the_function_is_not_given_the_file_again() -> None:
    """What Lambda has taken is processed; nobody asks twice in order to be sure."""
    with night() as on:
        lost = on.lose(2)
        on.world.faults.add(Kind.TIMEOUT_AFTER, "lambda.Invoke", times=1)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert (on.system.missing, on.system.again) == ([], 0)
        assert sorted(on.given) == lost


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_an_event_that_lambda_delivers_twice_does_no_harm_where_the_function_is_idempotent() -> None:
    """It promises at least once, and no more: a second run leaves the rows as they are."""
    with night() as on:
        [lost] = on.lose(1)
        on.until_settled()
        on.system.tell(lost)
        on.minutes(5)
        assert (on.system.runs[lost], on.system.duplicated) == (2, [])


# -- not ours to act, or not now ---------------------------------------------------------------------------------------


@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_files_whose_events_died_in_an_outage_are_the_dead_letter_queues() -> None:
    """They are given to the function out of that queue once it works; nobody gives it them a second time."""
    with night() as on:
        on.system.outage()
        on.system.arrive(5)
        on.minutes(8)
        on.system.outage_ends()
        on.minutes(1)
        on.system.arrive(1)  # a call that goes well, as there are all the time
        on.until_settled()
        [letters] = on.nightshift.of(LETTERS)
        assert letters.verdict is Verdict.FIXED
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.given == []
        assert (on.system.missing, on.system.again) == ([], 0)


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_where_failed_events_go_that_the_pipeline_does_not_name_a_person_is_told() -> None:
    """A file's event may be in a queue that nobody here looks into."""
    with night(names=False) as on:
        on.lose(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "which the pipeline does not name" in on.incident.why
        assert on.given == []


@pytest.mark.scenario("1.7", "pipeline-backlog")
def test_while_calls_are_turned_away_the_function_is_given_nothing() -> None:
    """And for a while after that: Lambda tries again by itself what it turned away."""
    with night() as on:
        lost = on.lose(1)
        on.system.throttled = True
        late = on.system.arrive(2)
        on.minutes(12)
        assert on.given == []
        on.system.throttled = False
        on.minutes(4)
        assert on.given == []
        on.until_settled()
        assert on.given == lost
        assert all(on.system.runs[key] == 1 for key in (*lost, *late))
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.7", "pipeline-backlog")
def test_when_it_is_stopped_after_the_first_few_it_is_given_no_more() -> None:
    """The wave is over, and nothing more is done before it works again."""
    with night() as on:
        lost = on.lose(8)
        on.world.run_until(lambda: len(on.given) == 3, HOUR)
        on.minutes(0.5)
        on.system.reserved = 0
        on.minutes(15)
        assert on.given == lost[:3]
        on.system.reserved = None
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert (on.system.missing, sorted(on.given)) == ([], lost)


@pytest.mark.parametrize("stopped", ["reserved", "state"])
def test_while_the_function_is_stopped_or_not_ready_nothing_is_done_and_that_is_said(stopped: str) -> None:
    """Somebody has switched it off, or AWS has not made it ready: nobody gives it anything."""
    with night('deadline = "PT1H"\n') as on:
        on.lose(2)
        on.system.reserved, on.system.state = (0, "Active") if stopped == "reserved" else (None, "Pending")
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "does not work yet" in on.incident.why
        assert on.given == []
        assert len(on.system.missing) == 2


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_nothing_is_given_to_it_where_nobody_said_that_a_file_may_be_processed_twice() -> None:
    """Lambda itself may deliver an event twice: a person is told which files."""
    with night(idempotent=False) as on:
        [lost] = on.lose(1)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "idempotent" in " ".join(on.incident.diagnosis.advice if on.incident.diagnosis else ())
        assert lost in on.world.mail[-1].text
        assert on.given == []


def test_where_the_bucket_does_not_call_the_function_nobody_else_does() -> None:
    """Whatever comes in next is lost too; and whom S3 does not call might not understand its words."""
    with night() as on:
        on.system.route(told=False)
        on.system.arrive(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "does not tell" in on.incident.why
        assert on.given == []


@pytest.mark.scenario("1.9", "pipeline-backlog")
def test_where_the_first_few_come_to_nothing_no_more_are_given_and_a_person_is_told_once() -> None:
    """The function answers, and makes nothing of them."""
    with night("max_attempts = 2\n") as on:
        on.system.forgets = True
        lost = on.lose(12)
        on.until_settled()
        assert (on.incident.verdict, len(on.incident.attempts)) == (Verdict.ESCALATED, 2)
        assert on.given == lost[:6]
        on.minutes(120)
        assert len(on.nightshift.of(BACKLOG)) == 1
        assert sum("ESCALATED" in (mail.subject or "") for mail in on.world.mail) == 1


# -- how far it may go -------------------------------------------------------------------------------------------------


def test_in_observe_mode_it_says_what_it_would_do() -> None:
    """And does nothing."""
    with night(mode="observe") as on:
        on.lose(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "have raw objects processed again" in on.world.mail[-1].text
        assert on.given == []


@pytest.mark.parametrize("yes", [True, False])
def test_in_approve_mode_a_person_is_asked(yes: bool) -> None:
    """Nothing is given to the function before, nor after a no."""
    with night(mode="approve") as on:
        lost = on.lose(2)
        on.until_asked()
        on.minutes(10)
        assert on.given == []
        on.nightshift.answer(on.incident, yes=yes, why="I have looked")
        on.until_settled()
        assert on.incident.verdict is (Verdict.FIXED if yes else Verdict.REFUSED)
        assert sorted(on.given) == (lost if yes else [])


def test_what_is_protected_is_left_alone() -> None:
    """Whoever tags the bucket so is obeyed."""
    with night() as on:
        on.system.tag("protected", "true")
        on.lose(2)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.given == []
