"""
A queue that gives its messages too little time: what is raised, what never is, and who is told instead.

Played in the thin cloud, where an hour takes a second, except for the one night that is told whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.queue_service import WORK, tuning_configuration
from sandbox.world import World

MEASURED = f'processing_metric = "{WORK}"\n'
DAY_MS = 86_400_000
SLOW = timedelta(seconds=65)
"""about as long as a message is hidden: some of the work is done in time, and some is not"""


@dataclass(frozen=True)
class Night:
    """The document system and a Nightshift that looks at nothing but its queues."""

    world: World
    system: DocumentManagement
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.all
        return incident

    @property
    def written(self) -> list[dict[str, str]]:
        """What was set under any incident's name."""
        made = [each for each in self.world.trail.of(writes=True) if each.principal.role_arn and not each.error]
        assert {each.name for each in made} <= {"sqs.SetQueueAttributes"}
        return [dict(each.params["Attributes"]) for each in made]

    @property
    def told(self) -> list[str]:
        """What was mailed, by its first words."""
        return [(mail.subject or "").partition(":")[0] for mail in self.world.mail]

    @property
    def text(self) -> str:
        """All mail as one line."""
        return " ".join(" ".join(mail.text.split()) for mail in self.world.mail)

    @property
    def in_vain(self) -> int:
        """How often work was done by somebody who was too slow."""
        return self.world.ledger.in_vain.total()

    def attribute(self, name: str, *, letters: bool = False) -> int:
        """What one of the queues says of itself."""
        url = self.system.dlq_url if letters else self.system.queue_url
        found = self.world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return int(found[name])

    def set(self, *, letters: bool = False, **attributes: str) -> None:
        """Somebody sets attributes of one of the queues."""
        url = self.system.dlq_url if letters else self.system.queue_url
        self.world.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 180) -> None:
        """Let time pass until the incident has come so far."""
        self.world.run_until(lambda: any(each.phase is phase for each in self.nightshift.all), timedelta(minutes=limit))

    def yes(self) -> None:
        """Wait for the question, and answer it."""
        self.until(Phase.AWAITING)
        assert self.nightshift.answer(self.incident, yes=True, why="go")


@contextmanager
def night(
    *, settings: str = MEASURED, mode: str = "auto", thin: bool = True, measured: bool = True, function: bool = False
) -> Iterator[Night]:
    """A calm night until now. Where a function consumes the queue, it is as fast as the service would be."""
    with World(NIGHT, thin=thin) as world:
        system = DocumentManagement(world, per_second=1.0)
        if measured:
            system.report_work()
        toml = tuning_configuration(system, mode=mode, settings=settings)
        if function:
            toml = toml.replace(system.service_arn, _consumed_by_function(world))
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            yield Night(world, system, nightshift)
            assert failures(world) == ()
            assert world.unaccounted() == {}


def _consumed_by_function(world: World) -> str:
    """A function that may run for a minute, and waits five seconds for a batch: all that Lambda says of it."""
    arn = world.arn("lambda", "function:etl")
    mapping = {"UUID": "0", "FunctionArn": arn, "State": "Enabled", "MaximumBatchingWindowInSeconds": 5}
    world.seam.fake(
        "lambda",
        ListEventSourceMappings=lambda _: {"EventSourceMappings": [mapping]},
        GetFunctionConcurrency=lambda _: {},
        GetFunctionConfiguration=lambda _: {"FunctionName": "etl", "Timeout": 60, "State": "Active"},
    )
    return arn


# -- the visibility timeout ------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_timeout_that_work_outlasts_is_raised_once_a_person_has_said_yes() -> None:
    """Work is done twice and dies as letters; after the raise it is done once, which is proven, and it stays raised."""
    with night(thin=False) as on:
        on.system.slow_down(SLOW)
        on.until(Phase.AWAITING)
        assert (on.written, on.attribute("VisibilityTimeout")) == ([], 60)
        assert on.in_vain > 50
        question = on.text
        assert "hide messages of dms-processing-prod for 2 min once received instead of 1 min, for good" in question
        assert "is a dead letter after up to 6 min; the next deployment of stack dms-prod undoes this" in question
        assert on.nightshift.answer(on.incident, yes=True, why="go")
        on.until(Phase.VERIFYING)
        done = on.in_vain
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.FIXED, [{"VisibilityTimeout": "120"}])
        assert on.in_vain == done
        assert on.told[-1].startswith("FIXED")
        assert "--attributes VisibilityTimeout=60" in on.text
        on.minutes(65)
        assert (len(on.nightshift.all), on.attribute("VisibilityTimeout")) == (1, 120)


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_only_a_queue_with_the_tag_is_raised_without_a_question() -> None:
    """Mode `auto` is not enough: the queue itself must carry auto-raise=enabled."""
    with night() as on:
        on.system.tag(on.system.queue_arn, "auto-raise", "enabled")
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.FIXED, [{"VisibilityTimeout": "120"}])


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_consumer_that_fails_is_not_given_more_time() -> None:
    """Messages come back because they fail, in good time: the timeout stays, and people are told so, once."""
    with night() as on:
        on.system.tag(on.system.queue_arn, "auto-raise", "enabled")
        on.world.every(timedelta(minutes=1), lambda: on.system.send_poison(4))
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.ESCALATED, [])
        assert "their consumer fails" in on.text
        on.minutes(60)
        assert len(on.told) == 1


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_where_nobody_measures_the_work_people_are_told_how_to() -> None:
    """It may be slow and it may fail: nothing is changed, and the report says how to tell, and what would help."""
    with night(settings="", measured=False) as on:
        on.system.tag(on.system.queue_arn, "auto-raise", "enabled")
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.ESCALATED, [])
        assert "--attributes VisibilityTimeout=SECONDS (a write; never lower it)" in on.text
        assert "name that as `processing_metric`" in on.text


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_raise_that_does_not_help_is_handed_over_once() -> None:
    """The consumer fails as well: no second raise, one report, and what was raised stays raised."""
    with night() as on:
        on.system.slow_down(SLOW)
        on.until(Phase.AWAITING)
        on.system.slow_down(timedelta(seconds=150))
        assert on.nightshift.answer(on.incident, yes=True, why="go")
        on.until(Phase.CLOSED)
        assert on.incident.verdict is Verdict.ESCALATED
        assert [attempt.verdict for attempt in on.incident.attempts] == [Verdict.INEFFECTIVE]
        assert len(on.written) == 1
        on.minutes(60)
        assert (len(on.nightshift.all), on.told[-1].partition(",")[0]) == (1, "ESCALATED")


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_what_would_need_more_than_the_ceiling_is_refused() -> None:
    """With the numbers; nothing is set to the ceiling instead."""
    with night(settings=f'{MEASURED}ceiling = "PT1M"') as on:
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])
        assert "it would have to be 2 min, and the ceiling is 1 min" in on.text


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_timeout_that_somebody_raises_meanwhile_is_theirs() -> None:
    """The question is not asked any more: it heals without us, and nothing is written."""
    with night() as on:
        on.system.slow_down(SLOW)
        on.until(Phase.AWAITING)
        on.set(VisibilityTimeout="300")
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.RECOVERED, [])
        assert on.attribute("VisibilityTimeout") == 300


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_slow_work_that_fits_is_nothing() -> None:
    """As long as it is done before the message comes back."""
    with night() as on:
        on.system.slow_down(timedelta(seconds=45))
        on.minutes(120)
        assert (on.nightshift.all, on.in_vain) == ([], 0)


@pytest.mark.scenario("0.25", "visibility-timeout-short")
@pytest.mark.parametrize("how", ["observe", "protected", "not opted in"])
def test_what_may_not_be_touched_is_not(how: str) -> None:
    """Watched only, protected, or without the tag that says yes: refused, and told."""
    with night(mode="observe" if how == "observe" else "auto") as on:
        if how == "protected":
            on.system.protect(on.system.queue_arn)
        if how == "not opted in":
            on.system.opt_out(on.system.queue_arn)
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])
        assert len(on.told) == 1


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_nobody_answers_and_nothing_is_done() -> None:
    """The question expires."""
    with night(settings=f'{MEASURED}deadline = "PT1H"') as on:
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])


# -- how long letters are kept ---------------------------------------------------------------------------------------


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_letters_that_would_be_forgotten_are_kept_for_14_days() -> None:
    """Four days from when they were first sent may be over in an hour: a yes, and they are kept."""
    with night() as on:
        on.set(letters=True, MessageRetentionPeriod="345600")
        on.set(MessageRetentionPeriod="345600")
        on.minutes(20)
        assert on.nightshift.all == []  # nothing waits there, and it keeps what comes as long as the queue would
        letter = on.world.queues.put(on.system.dlq, next(on.system.producer.bodies))
        vars(letter)["sent_timestamp"] -= 4 * DAY_MS - 50 * 60_000  # it died a while after it was sent
        on.yes()
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.FIXED, [{"MessageRetentionPeriod": "1209600"}])
        assert on.attribute("MessageRetentionPeriod", letters=True) == 1_209_600
        assert on.attribute("MessageRetentionPeriod") == 345_600
        on.minutes(60)
        assert (on.system.dead > 0, on.world.ledger.expired.total()) == (True, 0)


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_dead_letter_queue_that_forgets_sooner_than_its_queue_is_no_place_for_letters() -> None:
    """Also before there is any."""
    with night() as on:
        on.system.tag(on.system.dlq_arn, "auto-raise", "enabled")
        on.set(letters=True, MessageRetentionPeriod="86400")
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.FIXED, [{"MessageRetentionPeriod": "1209600"}])
        assert "keeps its letters for 1 days, and messages of dms-processing-prod for 14 days" in on.text


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_no_other_attribute_of_a_queue_changes() -> None:
    """Its policy, its redrive policy and its key are what they were."""
    with night() as on:
        on.system.tag(on.system.queue_arn, "auto-raise", "enabled")
        sqs, url = on.world.client("sqs"), on.system.queue_url
        before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        on.system.slow_down(SLOW)
        on.until(Phase.CLOSED)
        after = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        counts = {name for name in changed if name.startswith("Approximate") or name.endswith("Timestamp")}
        assert changed - counts == {"VisibilityTimeout"}
        assert json.loads(after["RedrivePolicy"]) == json.loads(before["RedrivePolicy"])


# -- a function that consumes ----------------------------------------------------------------------------------------


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_function_gets_six_times_its_own_timeout_and_its_batch_window() -> None:
    """What AWS asks for; no metric of the application is needed."""
    with night(settings="", measured=False, function=True) as on:
        on.system.slow_down(SLOW)
        on.yes()
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.FIXED, [{"VisibilityTimeout": "365"}])


@pytest.mark.scenario("0.25", "visibility-timeout-short")
def test_a_function_that_fails_is_not_given_more_time() -> None:
    """Its failing is what brings messages back: held until that is over, and refused at the deadline."""
    with night(settings='deadline = "PT30M"', measured=False, function=True) as on:
        on.system.slow_down(SLOW)
        calls = on.world.metrics.of("AWS/Lambda", "Invocations", (("FunctionName", "etl"),))
        calls.put(on.world.agenda.ms // 60_000, 10.0, 1 << 40)
        errors = on.world.metrics.of("AWS/Lambda", "Errors", (("FunctionName", "etl"),))
        errors.put(on.world.agenda.ms // 60_000, 4.0, 1 << 40)
        on.until(Phase.CLOSED)
        assert (on.incident.verdict, on.written) == (Verdict.REFUSED, [])
        assert "calls of etl failed: that brings messages back" in on.text
