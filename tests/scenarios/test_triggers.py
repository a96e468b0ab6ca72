"""
Triggers that stay (runbook 0): which are deleted, which are sent again, and which are left to whoever must act first.

Whatever happens, no customer is mailed twice about the same writing of a change, and no change is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.queue_service import QueueService
from sandbox.systems.transient_trigger import FIELDS, TransientTrigger, trigger_configuration
from sandbox.world import World

STUCK = "s3-trigger-stuck"
SENDS = f"{FIELDS}idempotent = true\n"


@dataclass(frozen=True)
class Night:
    """The email distribution system, and Nightshift switched on."""

    world: World
    system: TransientTrigger
    nightshift: Deployment

    @property
    def hts(self) -> QueueService:
        """The first customer's queues and service."""
        return self.system.lines["hts"]

    @property
    def incident(self) -> Incident:
        """The one incident about the bucket."""
        [incident] = self.nightshift.of(STUCK)
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    @property
    def stored(self) -> list[str]:
        """What stands in the quarantine."""
        found = self.world.client("s3").list_objects_v2(Bucket=self.nightshift.environment.quarantine)
        return [each["Key"] for each in found.get("Contents", ())]

    def mailed(self, change: str) -> list[str]:
        """Who was mailed about a change, once for each mail."""
        return sorted(each.customer for each in self.system.mails if each.change == change)

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, limit: float = 8 * 60) -> None:
        """Let time pass until every incident has ended."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self.nightshift.settled:
            self.minutes(1)
        assert self.nightshift.settled


@contextmanager
def night(settings: str = FIELDS, *, thin: bool = True, **more: Any) -> Iterator[Night]:
    """A night on which one change was processed as it should be."""
    customers = more.pop("customers", ("hts", "htsnonprod"))
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world, customers=customers)
        with Deployment(world, trigger_configuration(system, settings=settings, **more)) as nightshift:
            nightshift.resume()
            system.submit()
            on = Night(world, system, nightshift)
            on.minutes(20)
            assert (system.triggers, len(system.mails)) == ([], len(customers))
            yield on
            assert system.twice == []
            assert failures(world) == ()


# -- processed, and not deleted ----------------------------------------------------------------------------------------


@pytest.mark.scenario("0.2", "s3-trigger-stuck")
@pytest.mark.scenario("0.9", "s3-trigger-stuck")
@pytest.mark.parametrize("thin", [True, False])
def test_triggers_that_were_processed_are_stored_and_deleted(thin: bool) -> None:
    """The consumers cannot delete: what the archive proves to be done for each customer is taken away for them."""
    with night(thin=thin) as on:
        on.system.deletes_fail = True
        change = on.system.submit()
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.triggers == []
        assert on.mailed(change) == ["hts", "htsnonprod"]
        assert [key.split("/")[3:5] for key in on.stored] == [
            ["hts", f"{change}.json"],
            ["htsnonprod", f"{change}.json"],
        ]
        assert "s3.DeleteObject" in on.written
        assert "sqs.SendMessage" not in on.written


def test_many_are_deleted_a_few_at_a_time() -> None:
    """One plan names at most so many triggers; the next attempt takes the next ones."""
    with night(f"{FIELDS}batch = 4\n") as on:
        on.system.deletes_fail = True
        for _ in range(3):
            on.system.submit()
        on.until_settled()
        assert (on.incident.verdict, len(on.incident.attempts)) == (Verdict.FIXED, 2)
        assert on.system.triggers == []


def test_nothing_is_deleted_where_it_is_only_watched() -> None:
    """In mode observe the report names what would be deleted."""
    with night(mode="observe") as on:
        on.system.deletes_fail = True
        change = on.system.submit("hts")
        on.until_settled()
        assert on.incident.verdict is Verdict.REFUSED
        assert on.system.triggers == [f"hts/{change}.json"]
        assert f"customers/hts/{change}.json" in on.world.mail[-1].text


def test_another_customers_entry_proves_nothing() -> None:
    """The archive serves all customers: that one was processed says nothing of the other."""
    with night() as on:
        on.system.lose("hts")
        change = on.system.submit()
        on.until_settled()
        assert on.mailed(change) == ["htsnonprod"]
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.written == []


def test_an_entry_from_before_the_trigger_was_written_proves_nothing() -> None:
    """A change that is submitted once more is to be processed once more, whatever was done before."""
    with night() as on:
        change = on.system.submit("hts")
        on.minutes(30)
        on.system.lose("hts")
        on.system.submit("hts", change=change)
        on.until_settled()
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.written == []


@pytest.mark.parametrize(
    "settings",
    ["", 'customer_field = "customerCode"\n', 'timestamp_field = "timestamp"\n'],
    ids=["none", "who", "when"],
)
def test_nothing_is_done_while_the_archives_words_are_not_known(settings: str) -> None:
    """Without knowing where an entry names customer and time, none proves anything, and none is no leave to send."""
    with night(f"{settings}idempotent = true\n") as on:
        on.system.deletes_fail = True
        on.system.submit()
        on.system.lose("hts")
        on.system.submit()
        on.until_settled()
        assert len(on.system.triggers) == 4
        assert on.written == []
        assert "does not say where the archive names" in on.incident.why


def test_a_trigger_that_is_written_anew_is_not_deleted() -> None:
    """Between the look and the deed somebody submits the change once more: same content, another trigger."""
    with night() as on:
        on.system.deletes_fail = True
        change = on.system.submit("hts")
        assumed: list[Any] = []

        def meanwhile(call: Any, _answer: Any) -> None:
            assumed.append(call)
            if len(assumed) == 1:
                on.system.submit("hts", change=change)

        on.world.seam.after("sts", "AssumeRole", meanwhile)
        on.world.run_until(lambda: assumed, timedelta(hours=1))
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.written == []
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED  # it is young again, which is not our doing
        on.minutes(60)  # it is processed once more, and stuck once more
        assert on.mailed(change) == ["hts", "hts"]
        assert on.system.triggers == []


def test_what_is_under_way_is_left_alone() -> None:
    """A consumer that takes half an hour for a change holds its message: it will end, or its message will die."""
    with night() as on:
        on.world.client("sqs").set_queue_attributes(QueueUrl=on.hts.queue_url, Attributes={"VisibilityTimeout": "3600"})
        on.hts.consumer.holds = timedelta(minutes=30)
        change = on.system.submit("hts")
        on.until_settled()
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.mailed(change) == ["hts"]
        assert on.written == []


@pytest.mark.parametrize("body", [None, b"{", b"[]", b'{"modifications": {}}', b'{"modifications": [1]}'])
def test_an_archive_that_cannot_be_read_is_for_a_person(body: bytes | None) -> None:
    """Missing, broken, or of another form: nothing is deleted and nothing is sent, and somebody is told."""
    with night(SENDS) as on:
        on.system.lose("hts")
        change = on.system.submit("hts")
        if body is None:
            on.system.remove(f"archive/{change}.json")
        else:
            on.system.write(f"archive/{change}.json", body)
        on.until_settled()
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.written == []
        assert "the archive" in on.world.mail[-1].text


# -- never told --------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.8", "s3-trigger-stuck")
@pytest.mark.parametrize("thin", [True, False])
def test_a_lost_notification_is_sent_once_more(thin: bool) -> None:
    """Both queues are empty and S3 still tells them: the consumer is told in S3's own words, and processes it."""
    with night(SENDS, thin=thin) as on:
        on.system.lose("hts")
        change = on.system.submit()
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.written == ["sqs.SendMessage"]
        assert on.system.triggers == []
        assert on.mailed(change) == ["hts", "htsnonprod"]


def test_nothing_is_sent_again_unless_somebody_says_that_it_may_be() -> None:
    """Whether a consumer that is told twice mails once is not to be seen from here: the configuration must say so."""
    with night() as on:
        on.system.lose("hts")
        change = on.system.submit("hts")
        on.until_settled()
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.written == []
        assert "may be told twice" in on.world.mail[-1].text


@pytest.mark.scenario("0.10", "s3-trigger-stuck")
def test_a_bucket_that_no_longer_tells_the_queue_is_for_a_person() -> None:
    """A notification that is gone would be gone for the next trigger too: it is reported, and nothing is sent."""
    with night(SENDS) as on:
        on.system.route("htsnonprod")
        change = on.system.submit()
        on.until_settled()
        assert on.mailed(change) == ["htsnonprod"]
        assert on.written == []
        assert "does not tell customer-hts-changes" in on.world.mail[-1].text


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.ERROR_AFTER, Kind.ERROR_BEFORE, Kind.LANDS_LATE])
def test_a_send_whose_answer_was_lost_is_never_repeated(kind: Kind) -> None:
    """It may have arrived: whoever sends again may have a customer mailed twice."""
    with night(SENDS) as on:
        on.system.idempotent = False  # so that a second message would show
        on.world.faults.add(kind, "sqs.SendMessage", times=1, where=lambda call: bool(call.principal.role_arn))
        on.system.lose("hts")
        change = on.system.submit("hts")
        on.until_settled()
        assert on.written == ["sqs.SendMessage"]
        arrived = kind is not Kind.ERROR_BEFORE
        assert on.mailed(change) == ["hts"] * arrived
        assert on.incident.verdict is (Verdict.FIXED if arrived else Verdict.ESCALATED)


def test_a_send_that_never_left_is_made_in_the_next_attempt() -> None:
    """No connection: nothing was sent, so it may be."""
    with night(SENDS) as on:
        on.world.faults.add(Kind.TIMEOUT_BEFORE, "sqs.SendMessage", where=lambda call: bool(call.principal.role_arn))
        on.system.lose("hts")
        change = on.system.submit("hts")
        on.until_settled()
        assert on.written == ["sqs.SendMessage"] * 2
        assert on.mailed(change) == ["hts"]
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.parametrize("kind", [Kind.CRASH_AFTER, Kind.CRASH_BEFORE])
@pytest.mark.parametrize("operation", ["sqs.SendMessage", "dynamodb.UpdateItem", "dynamodb.PutItem"])
def test_a_crash_in_the_middle_sends_nothing_twice(kind: Kind, operation: str) -> None:
    """It is noted before it is sent: what died in between is not sent once more."""
    with night(SENDS) as on:
        on.system.idempotent = False
        on.system.lose("hts")
        change = on.system.submit("hts")
        assumed: list[Any] = []
        on.world.seam.after("sts", "AssumeRole", lambda call, _: assumed.append(call))
        on.world.faults.add(kind, operation, times=1, where=lambda _call: bool(assumed))
        end = on.world.now + timedelta(hours=8)
        while on.world.now < end and not on.nightshift.settled:
            on.minutes(1)
        assert on.written.count("sqs.SendMessage") <= 1
        assert on.mailed(change) in ([], ["hts"])
        assert on.mailed(change) or on.system.triggers
        on.world.lambdas.invocations.clear()  # one of them was to die


@pytest.mark.scenario("0.11", "s3-trigger-stuck")
def test_a_change_whose_archive_could_not_be_written_is_tried_once_more() -> None:
    """The consumer mailed, could not write the archive, and let the message go: once more, and it is done."""
    with night(SENDS) as on:
        on.system.archive_fails = on.system.forgives = True
        change = on.system.submit("hts")
        on.minutes(5)
        on.system.archive_fails = False
        on.until_settled()
        assert on.incident.verdict is Verdict.FIXED
        assert on.system.triggers == []
        assert on.mailed(change) == ["hts"]


@pytest.mark.scenario("0.11", "s3-trigger-stuck")
def test_a_change_whose_archive_still_cannot_be_written_is_for_a_person() -> None:
    """One retry and no other: then a person is told, and the trigger stands."""
    with night(SENDS) as on:
        on.system.archive_fails = on.system.forgives = True
        change = on.system.submit("hts")
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.written == ["sqs.SendMessage"]
        assert on.system.triggers == [f"hts/{change}.json"]


@pytest.mark.scenario("0.2", "s3-trigger-stuck")
def test_a_trigger_that_comes_to_stand_after_an_end_is_told_though_the_old_one_still_stands() -> None:
    """Nobody hears of the old one again for a day; of new ones they hear once, and not of each."""
    with night(SENDS) as on:
        on.system.archive_fails = on.system.forgives = True
        on.system.submit("hts")
        on.until_settled()
        assert on.incident.verdict is Verdict.ESCALATED
        for _ in range(3):
            on.minutes(10)
            on.system.submit("htsnonprod")
        on.minutes(60)
        on.until_settled()
        _, again = on.nightshift.all
        assert again.verdict is Verdict.ESCALATED
        assert "4 triggers" in again.finding.symptom
        on.minutes(180)
        assert len(on.nightshift.all) == 2


# -- whose it is -------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.7", "s3-trigger-stuck")
def test_a_consumer_that_hangs_is_restarted_first() -> None:
    """The messages wait: that is the service's own incident, to which this one is linked. Then they are processed."""
    with night(SENDS) as on:
        on.hts.wedge_consumer()
        change = on.system.submit()
        on.until_settled()
        [restart] = on.nightshift.of("ecs-service-stalled")
        assert restart.verdict is Verdict.FIXED
        assert on.incident.verdict is Verdict.RECOVERED
        assert restart.id in on.incident.links
        assert set(on.written) == {"ecs.UpdateService"}
        assert on.mailed(change) == ["hts", "htsnonprod"]


@pytest.mark.scenario("0.12", "s3-trigger-stuck")
def test_a_change_whose_mail_failed_waits_for_the_dead_letters() -> None:
    """Its message died: the dead-letter queue's incident sends it home, and nothing is sent beside it."""
    with night(SENDS, letters='healthy_for = "PT25M"\n') as on:
        on.system.mail_fails = True
        change = on.system.submit("hts")
        on.minutes(20)
        assert on.hts.dead == 1
        on.system.mail_fails = False
        on.until_settled()
        [redrive] = on.nightshift.of("sqs-dlq-backlog")
        assert redrive.verdict is Verdict.FIXED
        assert redrive.id in on.incident.links
        assert on.incident.verdict is Verdict.RECOVERED
        assert on.mailed(change) == ["hts"]
        assert "s3.DeleteObject" not in on.written


def test_what_was_set_apart_as_poison_is_not_sent_again() -> None:
    """Its message died, came back, and was stored: both queues are empty, and yet its consumer was told of it."""
    with night(SENDS) as on:
        on.system.mail_fails = True
        change = on.system.submit("hts")
        on.world.run_until(lambda: on.stored, timedelta(hours=6))
        on.system.mail_fails = False
        on.until_settled()
        assert on.hts.dead == on.hts.backlog == 0
        assert on.system.triggers == [f"hts/{change}.json"]
        assert on.mailed(change) == []
        assert on.nightshift.of(STUCK)[-1].verdict is Verdict.ESCALATED
        assert "set apart since it was written" in on.world.mail[-1].text


def test_a_customer_that_nobody_has_named_is_for_a_person() -> None:
    """A trigger under another name has no queue that we know: it is told of, and stands."""
    with night(SENDS) as on:
        on.system.write("customers/someone/CHG-1.json", {})
        on.until_settled()
        assert on.system.triggers == ["someone/CHG-1.json"]
        assert on.written == []
        assert "no customer of that name" in on.incident.why
