"""
A function's failed events (runbooks 1 and 3): which it is given again, which are set apart, which are told.

Whatever happens, each event is processed once, or lies where somebody can find it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Ledger, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.etl_function import EtlFunction, etl_configuration
from sandbox.world import World

EVENTS, LETTERS = "lambda-dlq-backlog", "sqs-dlq-backlog"


@dataclass(frozen=True)
class Night:
    """The function, its queue, and Nightshift switched on."""

    world: World
    system: EtlFunction
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident there is."""
        [incident] = self.nightshift.all
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    @property
    def stored(self) -> int:
        """How many letters stand in the quarantine."""
        found = self.world.client("s3").list_objects_v2(Bucket=self.nightshift.environment.quarantine)
        return len(found.get("Contents", ()))

    @property
    def report(self) -> str:
        """What people were told last."""
        return self.world.mail[-1].text

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, limit: float = 12 * 60) -> None:
        """Let time pass until every incident has ended."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self.nightshift.settled:
            self.minutes(1)
        assert self.nightshift.settled

    def processed(self, payloads: list[str]) -> list[int]:
        """How often each of these events was processed."""
        return [self.system.times(payload) for payload in payloads]


@contextmanager
def night(*, thin: bool = True, named: bool = True, **more: Any) -> Iterator[Night]:
    """A night on which the function works at first. ``named``: whether the configuration says whose events they are."""
    of_system = {key: more.pop(key) for key in ("destination", "retention", "timeout") if key in more}
    with World(NIGHT, thin=thin) as world:
        system = EtlFunction(world, **of_system)
        toml = etl_configuration(system, **more)
        if not named:
            toml = toml.replace(f'function = "{system.arn}"', "").replace(EVENTS, LETTERS)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            system.per_minute = 1
            on.minutes(12)
            yield on
            assert world.unaccounted() == {}
            assert failures(world) == ()


# -- events that met an outage -----------------------------------------------------------------------------------------


@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
@pytest.mark.parametrize("destination", [False, True])
@pytest.mark.parametrize("thin", [True, False])
def test_events_of_an_outage_are_processed_once_it_is_over(destination: bool, thin: bool) -> None:
    """Three first, then the rest, whichever way Lambda kept them; each is processed, and none twice."""
    with night(thin=thin, destination=destination) as on:
        events = on.system.outage(10, 12)
        assert on.system.dead >= 12
        on.until_settled()
        assert (on.incident.remediation, on.incident.verdict) == (EVENTS, Verdict.FIXED)
        moved = on.incident.ledger.moved
        assert (moved >= 12, on.incident.ledger) == (True, Ledger(moved=moved, processed=moved))
        assert on.processed(events) == [1] * 12
        assert on.system.clean


@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
def test_nothing_is_given_to_a_function_that_still_fails() -> None:
    """The incident waits for as long as the outage lasts; then the events go, and not before."""
    with night() as on:
        on.system.source_down = True
        events = on.system.submit(6)
        on.minutes(60)
        assert (on.system.dead > 6, on.written) == (True, [])
        on.system.source_down = False
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.processed(events) == [1] * 6


@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
def test_a_function_that_nobody_calls_does_not_look_well_because_it_is_quiet() -> None:
    """It has failed at its last call: nothing is given to it until one has gone well, or three hours have passed."""
    with night() as on:
        on.system.per_minute = 0
        on.system.source_down = True
        events = on.system.submit(6)
        on.minutes(120)
        assert (on.system.dead >= 6, on.written) == (True, [])
        on.system.source_down = False
        on.system.submit(1)
        on.until_settled()
        assert (on.incident.verdict, on.processed(events)) == (Verdict.FIXED, [1] * 6)


def test_nothing_is_given_to_a_function_that_somebody_switched_off() -> None:
    """A reserved concurrency of 0 is somebody's decision: at the deadline it is refused, and the events are there."""
    with night(settings='deadline = "PT40M"\n') as on:
        on.system.letters(4)
        on.system.reserved = 0
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.REFUSED, [], 4)
        assert "somebody has switched it off" in on.incident.why


def test_nothing_is_given_to_a_function_that_was_just_changed() -> None:
    """It must have been well for a while as it is now."""
    with night() as on:
        on.system.letters(4)
        on.system.deploy()
        on.minutes(8)
        assert on.written == []
        on.until_settled()
        assert (on.incident.verdict, on.system.clean) == (Verdict.FIXED, True)


# -- events that can never be processed --------------------------------------------------------------------------------


@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
def test_an_event_that_comes_back_is_set_apart_and_the_others_are_processed() -> None:
    """The function works, and fails at this one: it is stored, whole, and never given to it again."""
    with night() as on:
        on.system.fails_at.add("bad")
        bad, good = on.system.letters(1, kind="bad"), on.system.letters(8)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert (on.processed(good), on.processed(bad), on.stored) == ([1] * 8, [0], 1)
        assert on.system.clean


def test_what_nobody_can_read_is_set_apart_and_never_tried() -> None:
    """A letter that looks like an event until somebody reads it."""
    with night() as on:
        on.system.rubbish(2)
        on.until_settled()
        assert (on.incident.verdict, on.stored, on.system.dead) == (Verdict.FIXED, 2, 0)
        assert "lambda.Invoke" not in on.written


@pytest.mark.scenario("1.8", "lambda-dlq-backlog")
@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
def test_where_it_does_not_help_it_escalates_once() -> None:
    """The function looks well and fails at all of these: a few are tried, three times, and people are told once."""
    with night(settings='deadline = "PT12H"\n') as on:
        on.system.fails_at.add("old")
        on.system.letters(40, kind="old")
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert len(on.incident.attempts) == 3
        assert on.system.dead + on.stored == 40
        assert len(on.world.trail.of("lambda.Invoke")) <= 9
        assert [mail.subject for mail in on.world.mail if str(mail.subject).startswith("ESCALATED")] == [
            on.world.mail[-1].subject
        ]


def test_an_event_that_lambda_cannot_write_back_stops_everything() -> None:
    """It fails again, and its queue does not take it: nothing more is given to the function, and the loss is told."""
    with night() as on:
        on.system.fails_at.add("old")
        on.system.letters(20, kind="old")
        on.system.queue_closed = True
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert len(on.world.trail.of("lambda.Invoke")) == 3
        assert on.system.dead == 17
        assert "3 failed events could not be written" in on.report
        assert "sqs:SendMessage" in on.report


# -- what is not ours --------------------------------------------------------------------------------------------------


def test_events_of_another_version_are_left() -> None:
    """The record names who failed at it; another version may do something else with it."""
    with night(destination=True) as on:
        on.system.qualifier = "7"
        on.system.letters(5)
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.REFUSED, [], 5)
        assert "another function, version or alias failed at it" in on.incident.why


def test_events_of_an_alias_go_to_that_alias() -> None:
    """Where the configuration names it; the call asks for it, and so does the permission."""
    function = "arn:aws:lambda:eu-central-1:123456789012:function:opendata-etl:live"
    with night(destination=True, function=function) as on:
        on.system.qualifier = "live"
        events = on.system.letters(5)
        on.until_settled()
        assert (on.incident.verdict, on.processed(events)) == (Verdict.FIXED, [1] * 5)
        assert {call.params["FunctionName"] for call in on.world.trail.of("lambda.Invoke")} == {function}


def test_letters_of_a_function_that_has_another_queue_are_left() -> None:
    """A dead-letter queue's letters do not say whose they are; the function's settings say that they are not its."""
    with night() as on:
        on.system.dead_letter_config = False
        on.system.letters(5)
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.REFUSED, [], 5)
        assert "has no dead-letter queue" in on.incident.why


@pytest.mark.scenario("1.8", "sqs-dlq-backlog")
@pytest.mark.parametrize("mode", ["observe", "auto"])
@pytest.mark.parametrize("thin", [True, False])
def test_what_eventbridge_could_not_deliver_is_told(mode: str, thin: bool) -> None:
    """Which rule, which target, which error; nothing is moved, for SQS cannot give it back."""
    with night(named=False, mode=mode, thin=thin) as on:
        on.system.undelivered(4)
        on.until_settled()
        assert (on.incident.remediation, on.incident.verdict) == (LETTERS, Verdict.ESCALATED)
        assert (on.written, on.system.dead) == ([], 4)
        assert "4 x rule arn:aws:events" in on.report
        assert "NO_PERMISSIONS" in on.report
        assert "somebody's words" not in on.report


def test_events_of_a_function_that_nobody_named_are_told() -> None:
    """The report says what to write into the configuration."""
    with night(named=False) as on:
        on.system.letters(4)
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.ESCALATED, [], 4)
        assert "`function`" in " ".join(on.report.split())


# -- who may ---------------------------------------------------------------------------------------------------------


def test_nothing_is_done_where_it_is_only_watched() -> None:
    """In mode observe the report says what would be done."""
    with night(mode="observe") as on:
        on.system.letters(4)
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.REFUSED, [], 4)
        assert "opendata-etl again" in on.report


@pytest.mark.parametrize("yes", [True, False])
def test_a_person_is_asked_where_the_configuration_says_so(yes: bool) -> None:
    """A yes gives the events back, a no leaves them."""
    with night(mode="approve") as on:
        events = on.system.letters(4)
        while on.nightshift.all == [] or on.incident.approval is None:
            on.minutes(1)
        assert on.written == []
        on.nightshift.answer(on.incident, yes=yes, why="I looked")
        on.until_settled()
        assert on.incident.verdict is (Verdict.FIXED if yes else Verdict.REFUSED)
        assert on.processed(events) == [int(yes)] * 4


def test_a_protected_function_is_given_nothing() -> None:
    """Its own tag counts as the queue's does: the plan touches both."""
    with night() as on:
        on.system.letters(4)
        on.system.tags["protected"] = "true"
        on.until_settled()
        assert (on.incident.verdict, on.written, on.system.dead) == (Verdict.REFUSED, [], 4)


@pytest.mark.parametrize("fault", [Kind.TIMEOUT_AFTER, Kind.ERROR_BEFORE])
def test_an_event_whose_fate_is_not_known_is_not_given_twice(fault: Kind) -> None:
    """The answer is lost, or the call was: its letter stays, counted as uncertain, for a person to look at."""
    with night() as on:
        events = on.system.letters(6)
        on.world.faults.add(fault, "lambda.Invoke", times=1)
        on.until_settled()
        assert max(on.processed(events)) == 1
        assert on.incident.ledger.uncertain == 1
        assert on.system.dead == 1
        assert on.incident.verdict is Verdict.ESCALATED


# -- before they are lost ----------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
@pytest.mark.parametrize("hours, severity", [(24 * 14, Severity.SEV3), (47, Severity.SEV2), (4, Severity.SEV1)])
def test_the_sooner_the_first_event_is_lost_the_louder(hours: int, severity: Severity) -> None:
    """SQS deletes what is older than the queue's retention: the report says when."""
    with night(mode="observe", retention=timedelta(hours=hours)) as on:
        on.system.letters(4)
        lost = on.world.now + timedelta(hours=hours)
        on.until_settled()
        assert on.incident.severity is severity
        assert f"lost at {lost:%Y-%m-%d %H:%M} UTC" in on.report
        on.minutes(60 * hours if hours < 24 else 0)
        assert on.system.dead == (0 if hours < 24 else 4)


def test_what_has_to_wait_becomes_urgent_by_waiting() -> None:
    """Nothing may be given to a function that somebody switched off, and its events are lost in four hours."""
    with night(settings='deadline = "PT40M"\n', retention=timedelta(hours=4)) as on:
        on.system.letters(4)
        on.system.reserved = 0
        on.until_settled()
        assert (on.incident.verdict, on.incident.severity, on.written) == (Verdict.REFUSED, Severity.SEV1, [])


# -- once they are lost ------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
@pytest.mark.parametrize("mode", ["auto", "approve"])
@pytest.mark.parametrize("thin", [True, False])
def test_events_that_expire_while_they_wait_have_not_recovered(mode: str, thin: bool) -> None:
    """The queue is empty because SQS has deleted them, not because anybody has processed them: that is a loss."""
    with night(thin=thin, mode=mode, retention=timedelta(hours=2)) as on:
        on.system.letters(4)
        on.system.reserved = 0 if mode == "auto" else on.system.reserved
        on.until_settled()
        assert on.system.dead == 0
        assert on.world.ledger.expired.total() == 4
        assert (on.incident.verdict, on.written) == (Verdict.ESCALATED, [])
        assert "4 letters are gone that nobody has moved or deleted" in " ".join(on.report.split())


def test_what_people_have_taken_out_before_it_expires_is_not_lost() -> None:
    """Somebody works through them by hand, in time."""
    with night(retention=timedelta(hours=2)) as on:
        on.system.letters(4)
        on.system.reserved = 0
        on.minutes(20)
        sqs, url = on.world.client("sqs"), on.system.dlq_url
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED


@pytest.mark.scenario("3.4", "lambda-dlq-backlog")
def test_where_some_have_expired_before_the_others_were_processed_it_is_not_fixed() -> None:
    """The function works again too late for the first few: a person hears how many, though the rest was cured."""
    with night(retention=timedelta(hours=2)) as on:
        first = on.system.letters(4)
        on.system.reserved = 0
        on.minutes(90)
        later = on.system.letters(3)
        on.minutes(35)
        on.system.reserved = None
        on.until_settled()
        assert [on.system.times(each) for each in (*first, *later)] == [0, 0, 0, 0, 1, 1, 1]
        assert on.world.ledger.expired.total() == 4
        assert on.incident.verdict is Verdict.ESCALATED
        assert "4 letters are gone that nobody has moved or deleted" in " ".join(on.report.split())
        assert on.incident.ledger.moved == 3


def test_what_was_given_back_in_time_is_fixed() -> None:
    """The function works again half an hour before the first of them expires."""
    with night(retention=timedelta(hours=2)) as on:
        payloads = on.system.letters(4)
        on.system.reserved = 0
        on.minutes(85)
        on.system.reserved = None
        on.until_settled()
        assert [on.system.times(each) for each in payloads] == [1, 1, 1, 1]
        assert on.incident.verdict is Verdict.FIXED
