"""
Documents whose processing failed (runbook 3): which executions are run again, and which are left to people.

Whatever happens, no step is done twice for one document, and nobody reads what is in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.document_management import INDEX, SCANNER
from sandbox.systems.document_processing import CODE, NAME, OCR, DocumentProcessing, processing_configuration
from sandbox.world import World

REDRIVES, STARTS = "stepfunctions.RedriveExecution", "stepfunctions.StartExecution"


@dataclass(frozen=True)
class Night:
    """The processing of documents, and Nightshift switched on."""

    world: World
    system: DocumentProcessing
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.of(NAME)
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    @property
    def told(self) -> str:
        """All that people were told."""
        return " ".join(" ".join(mail.text for mail in self.world.mail).split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, limit: float = 8 * 60) -> None:
        """Let time pass until every incident has ended."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self.over:
            self.minutes(1)
        assert self.over

    @property
    def over(self) -> bool:
        """Whether there was an incident and none is open: it may have ended before anybody asked."""
        return bool(self.nightshift.all) and not self.nightshift.incidents.open_ids(limit=1)


@contextmanager
def night(settings: str = "", *, thin: bool = True, mode: str = "auto", kind: str = "STANDARD") -> Iterator[Night]:
    """A night on which two documents a minute are processed as they should be."""
    with World(NIGHT, thin=thin) as world:
        system = DocumentProcessing(world, kind=kind)
        with Deployment(world, processing_configuration(system, mode=mode, settings=settings)) as nightshift:
            nightshift.resume()
            system.offer(2)
            on = Night(world, system, nightshift)
            on.minutes(20)
            assert nightshift.all == []
            yield on
            assert system.twice == []
            assert "Mustermann" not in on.told
            assert failures(world) == ()


# -- what passes -------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.1", "execution-failed")
@pytest.mark.scenario("3.10", "execution-failed")
@pytest.mark.parametrize("thin", [True, False])
def test_what_failed_while_the_index_was_down_is_run_again(thin: bool) -> None:
    """The search index is down for a while: every execution that failed at it is redriven, and each has succeeded."""
    with night(thin=thin) as on:
        on.system.outage(INDEX, 8, documents=6)
        failed = on.system.failed
        assert len(failed) > 15
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert {each.status for each in failed} == {"SUCCEEDED"}
        assert {each.redrives for each in failed} == {1}
        assert set(on.written) == {REDRIVES}


@pytest.mark.scenario("3.10", "execution-failed")
def test_one_is_tried_first_and_the_others_a_few_a_minute() -> None:
    """The rest follows only when the first one has succeeded, five a minute."""
    with night() as on:
        on.system.outage(SCANNER, 6, documents=6)
        on.until_settled()
        at = [each.at for each in on.world.trail.of(REDRIVES)]
        assert at[1] - at[0] >= timedelta(minutes=1)
        assert max(sum(a <= each < a + timedelta(seconds=59) for each in at) for a in at) == 5
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("3.4", "execution-failed")
def test_what_timed_out_goes_on_where_it_had_stopped() -> None:
    """OCR hangs: what timed out at it is redriven, and the malware scan before it is not done again."""
    with night() as on:
        on.system.outage(OCR, 8, documents=4)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.failed == []
        assert {times for (step, _), times in on.system.machine.done.items() if step == "scan"} == {1}


def test_at_night_the_first_one_must_tell() -> None:
    """Nobody uploads anything any more: half an hour after the last failure one is tried, then the others."""
    with night() as on:
        on.system.down(INDEX)
        on.system.upload(12)
        on.system.offer(0)
        on.minutes(5)
        on.system.up(INDEX)
        last = max(each.stopped_ms or 0 for each in on.system.failed)
        on.until_settled()
        first = on.world.trail.of(REDRIVES)[0]
        assert first.at.timestamp() - last / 1000 >= 30 * 60
        assert on.incident.verdict is Verdict.FIXED


# -- what does not pass ------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.10", "execution-failed")
def test_nothing_is_hammered_while_it_still_fails() -> None:
    """As long as executions fail, none is run again; when the deadline comes, people are told what held it."""
    with night('deadline = "PT1H"') as on:
        on.system.down(INDEX)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert "executions still fail" in on.incident.why
        assert on.written == []


@pytest.mark.scenario("3.4", "execution-failed")
def test_a_corrupt_document_is_told_of_and_not_run_again() -> None:
    """Those that failed for a while are run again; the corrupt one is named with its size, never with its content."""
    with night() as on:
        bad = on.system.upload(1, corrupt=True)[0]
        on.system.outage(INDEX, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert [each.name for each in on.system.failed] == [bad.name]
        assert bad.redrives == 0
        assert f"{bad.name}: States.Runtime, {len(bad.input)} bytes of input: it can never work as it is" in on.told


@pytest.mark.scenario("3.10", "execution-failed")
def test_an_error_that_nobody_has_called_passing_is_left_to_people() -> None:
    """What failed by the code of a step would fail again: the report says so, and what would help."""
    with night() as on:
        on.system.outage(CODE, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.written == []
        assert "KeyError" in on.told
        assert "nobody has said that this error passes" in on.told


def test_an_error_that_the_configuration_calls_passing_is_run_again() -> None:
    """Which errors pass is the team's own knowledge."""
    with night('transient = ["KeyError"]') as on:
        on.system.outage(CODE, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.failed == []


@pytest.mark.scenario("3.10", "execution-failed")
def test_when_the_first_one_fails_again_it_is_not_tried_again() -> None:
    """What seemed to work still does not: each attempt tries another one, and then people are told, once."""
    with night('alone = "PT10M"\ncooldown = "PT1M"\nmax_attempts = 2') as on:
        on.system.down(INDEX)
        on.system.upload(12)
        on.system.offer(0)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert sorted(each.redrives for each in on.system.failed)[-3:] == [0, 1, 1]
        assert on.written == [REDRIVES] * 2
        assert "failed again" in on.incident.why
        assert sum("ESCALATED" in str(mail.subject) for mail in on.world.mail) == 1


def test_what_a_person_has_aborted_stays_aborted() -> None:
    """Somebody stops executions by hand: that is neither a failure nor ours."""
    with night() as on:
        stopped = on.system.upload(12)
        for each in stopped:
            on.system.machines.abort(on.system.machine, each.name)
        on.minutes(30)
        assert on.nightshift.all == []
        assert {each.status for each in stopped} == {"ABORTED"}


@pytest.mark.scenario("3.10", "execution-failed")
def test_executions_of_an_express_machine_are_only_told_of() -> None:
    """AWS keeps no list of them: the report says where to look."""
    with night(kind="EXPRESS") as on:
        on.system.outage(INDEX, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert "EXPRESS" in on.told
        assert on.written == []


@pytest.mark.scenario("3.1", "execution-failed")
def test_a_few_that_failed_among_many_are_no_failure_of_the_machine() -> None:
    """More than nine in ten succeed: nobody is told, unless the configuration says that one is enough."""
    with night() as on:
        on.system.upload(40)
        on.system.upload(2, corrupt=True)
        on.minutes(30)
        assert on.nightshift.all == []


def test_one_is_enough_where_the_configuration_says_so() -> None:
    """``any_failed``: a single one is run again, too."""
    with night("any_failed = true") as on:
        on.system.down(INDEX)
        on.system.upload(1)
        on.minutes(0.9)
        on.system.up(INDEX)
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.failed == []


# -- started anew ------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.10", "execution-failed")
def test_what_ran_by_an_old_definition_is_left_to_people() -> None:
    """A redrive would use the old definition, and nobody has said that starting an input twice does no harm."""
    with night() as on:
        on.system.outage(INDEX, 8, documents=6)
        on.system.release("r2")
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.written == []
        assert "the definition was changed since" in on.told


@pytest.mark.scenario("3.10", "execution-failed")
def test_it_is_started_anew_where_that_does_no_harm() -> None:
    """An idempotent machine: each input is started once under a name of its own, by the new definition."""
    with night('idempotent = ["dms-processing-prod"]') as on:
        on.system.outage(SCANNER, 8, documents=6)
        failed = on.system.failed
        on.system.release("r2")
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert set(on.written) == {STARTS}
        anew = [each for name, each in on.system.machine.executions.items() if name.startswith("remed-")]
        assert sorted(each.input for each in anew) == sorted(each.input for each in failed)
        assert {(each.status, each.revision) for each in anew} == {("SUCCEEDED", "r2")}


def test_what_cannot_be_redriven_is_started_anew_beside_the_others() -> None:
    """A history that is too long for a redrive: that one is started anew, the others are redriven."""
    with night('idempotent = ["dms-processing-prod"]') as on:
        on.system.outage(SCANNER, 8, documents=6)
        on.system.failed[0].lost = True
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.written.count(STARTS) == 1
        assert len(on.system.failed) == 1


# -- who decides -------------------------------------------------------------------------------------------------------


def test_nothing_is_run_again_where_it_is_only_watched() -> None:
    """In mode observe the report says what would be done."""
    with night(mode="observe") as on:
        on.system.outage(INDEX, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.written == []
        assert "run the failed executions of dms-processing-prod again" in on.told


def test_a_protected_machine_is_not_touched() -> None:
    """The tag ``protected`` on the state machine."""
    with night() as on:
        on.system.machine.tags["protected"] = "true"
        on.system.outage(INDEX, 8, documents=6)
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.written == []


def test_a_person_says_yes_first() -> None:
    """In mode approve nothing is run again before somebody has said yes to this plan."""
    with night(mode="approve") as on:
        on.system.outage(INDEX, 8, documents=6)
        on.world.run_until(lambda: on.incident.approval is not None, timedelta(hours=1))
        assert on.written == []
        assert on.nightshift.answer(on.incident, yes=True, why="the index is green again")
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.failed == []


def test_a_person_who_is_quicker_is_not_disturbed() -> None:
    """Somebody redrives them all by hand: it has recovered, and nothing is run twice."""
    with night(mode="approve") as on:
        on.system.outage(INDEX, 8, documents=6)
        on.world.run_until(lambda: on.incident.approval is not None, timedelta(hours=1))
        for each in on.system.failed:
            on.system.machines.redrive(on.system.machine, each)
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.written == []


# -- what AWS does not say ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.TIMEOUT_BEFORE])
@pytest.mark.parametrize("number", [1, 2, 4])
def test_a_redrive_whose_answer_is_lost_is_not_repeated_blindly(kind: Kind, number: int) -> None:
    """Whether it was begun is looked up: each is redriven once, and in the end all have succeeded."""
    seen: list[str] = []

    def this_one(call: object) -> bool:
        seen.append("")
        return len(seen) == number

    with night() as on:
        on.system.outage(INDEX, 8, documents=6)
        failed = on.system.failed
        on.world.faults.add(kind, REDRIVES, times=1, where=this_one)
        on.until_settled()
        assert {each.status for each in failed} == {"SUCCEEDED"}
        assert {each.redrives for each in failed} == {1}
        assert on.incident.verdict is Verdict.FIXED


def test_what_cannot_be_read_is_not_acted_on() -> None:
    """While executions cannot be described, nothing is run again; afterwards it is."""
    with night() as on:
        on.system.outage(INDEX, 8, documents=6)
        on.world.faults.add(Kind.DENIED, "stepfunctions.ListExecutions", times=60)
        on.minutes(12)
        assert on.written == []
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
