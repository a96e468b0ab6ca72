"""Reports by the clock: what a week came to, from the records and from what was measured; never silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from nightshift.checklists import Every
from nightshift.digests import Digest, collect, last_whole, until_now
from nightshift.model import Verdict
from nightshift.report.digest import digest_to_json, render_digest

from sandbox.deployment import Deployment
from sandbox.mailbox import Mail
from sandbox.scenes import DLQ, Stage, configuration, failures
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.transient_trigger import FIELDS, TransientTrigger, archive_configuration
from sandbox.world import World

SUNDAY = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
"""four hours before a week ends"""
WEEKLY = 'digests = ["weekly"]\nreports_at = "00:00"\n'


@contextmanager
def staged(at: datetime = SUNDAY, *, notify: str = WEEKLY, mode: str = "auto") -> Iterator[Stage]:
    """The document management system on a Sunday evening; Nightshift is on, and was there before."""
    with World(at, thin=True) as world:
        system = DocumentManagement(world)
        toml = configuration(system, mode=mode).replace("[limits]", f"{notify}\n[limits]")
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(16)
            yield stage
            assert failures(world) == ()


def digests(stage: Stage) -> list[Mail]:
    """The digests that were mailed."""
    return [mail for mail in stage.world.mail if mail.attributes["transition"] == "digest"]


def figures(nightshift: Deployment) -> Digest:
    """What a person who asks now is told."""
    service, now = nightshift.service(), nightshift.world.now
    return collect(until_now(Every.WEEKLY, now), service.policy, service.aws, service.incidents, now=now)


def until_monday(stage: Stage, hour: int = 0, minute: int = 1) -> None:
    """Let time pass until early on Monday."""
    when = SUNDAY.replace(day=23, hour=hour, minute=minute)
    stage.world.run(when - stage.world.now)


@pytest.mark.scenario("0.14", "digest")
def test_a_week_is_told_once_with_what_was_done_and_how_it_ended() -> None:
    """On Monday: what was cured as its record proves it, what was measured, and the runbook's checklist."""
    with staged() as stage:
        stage.outage()
        stage.until_settled()
        [letters] = stage.nightshift.of(DLQ)
        assert letters.verdict is Verdict.FIXED
        assert digests(stage) == []
        until_monday(stage)
        [mail] = digests(stage)
        assert mail.subject == "WEEKLY 2026-W47: 1 incident, 1 of 1 cured [SEV4]"
        assert "sqs-dlq-backlog: 1 fixed; cured 1 of 1" in mail.text
        assert "Dead-letter queues near zero (0.14): " in mail.text
        assert "dead letters, average, dms-processing-dlq-prod: " in mail.text
        stage.minutes(120)
        assert digests(stage) == [mail]


@pytest.mark.scenario("0.14", "digest")
def test_a_week_without_anything_says_so_and_that_it_was_watched() -> None:
    """Silence would be the same as a Nightshift that is dead: so it says how often it looked, and when it did not."""
    with staged() as stage:
        until_monday(stage)
        [mail] = digests(stage)
        assert mail.subject == "WEEKLY 2026-W47: nothing was seen; not all was watched [SEV4]"
        assert "239 sweeps of 10,080 (one a minute)" in mail.text
        assert "6 d 20 h in which no sweep was completed: nobody watched then" in mail.text
        assert "Nothing was opened, nothing ended and nothing is open." in mail.text


@pytest.mark.scenario("2.17", "digest")
def test_what_only_a_person_can_look_at_says_how() -> None:
    """The weekly list of the lecture runbook: nothing of it is ticked off, each line says what to do."""
    with staged() as stage:
        until_monday(stage)
        [mail] = digests(stage)
        assert "Rules of security groups (2.17): for a person" in mail.text
        assert "How: aws ec2 describe-security-groups" in mail.text
        assert "Updates of the Terraform providers (2.17): for a person" in mail.text
        assert "Cost: what could be saved (2.17): for a person to judge" in mail.text


def test_a_halted_nightshift_tells_its_week_all_the_same() -> None:
    """The kill switch forbids writes to targets, not words to people."""
    with staged() as stage:
        stage.nightshift.pause("enough", hard=True)
        until_monday(stage)
        assert len(digests(stage)) == 1


@pytest.mark.scenario("0.15", "digest")
def test_the_archives_audit_stands_on_the_weekly_list() -> None:
    """Of a bucket of triggers: what the week's audit found, and no trigger that was left standing."""
    with World(SUNDAY, thin=True) as world:
        system = TransientTrigger(world)
        audit = f'[remediations.archive-broken]\n{FIELDS}customers_field = "customers"\n'
        with Deployment(world, archive_configuration(system, audit)) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=5))
            page = render_digest(figures(nightshift), nightshift.policy)
            assert "Archive: every change has its entries and its meeting (0.15): unknown" in page
            assert "archive-broken: 0 incidents ended" in page
            assert "Average trigger age below 5 minutes (0.14): unknown" in page


def test_what_could_not_be_published_is_told_a_quarter_of_an_hour_later() -> None:
    """The look at the clock that fails is not the last one."""
    with staged() as stage:
        until_monday(stage, 0, 14)
        assert len(digests(stage)) == 1
        stage.nightshift.incidents.note_reported("weekly", "2026-W46", stage.world.now)
        stage.minutes(2)
        assert [mail.at.minute for mail in digests(stage)] == [0, 15]


def test_it_waits_for_the_hour_that_was_asked_for() -> None:
    """A week that ended at midnight is told at seven."""
    with staged(SUNDAY.replace(day=23, hour=6, minute=30), notify='digests = ["weekly"]\n') as stage:
        stage.nightshift.incidents.note_reported("weekly", "2026-W46", stage.world.now)
        stage.world.run(SUNDAY.replace(day=23, hour=6, minute=59) - stage.world.now)
        assert digests(stage) == []
        stage.minutes(2)
        assert [mail.at.hour for mail in digests(stage)] == [7]


@pytest.mark.scenario("0.16", "digest")
@pytest.mark.scenario("0.17", "digest")
@pytest.mark.scenario("2.18", "digest")
@pytest.mark.scenario("2.19", "digest")
def test_a_month_has_its_list_and_a_quarter_its_reminders() -> None:
    """On the first of October the monthly list and the quarterly one; findings that exist stand beside their line."""
    at = datetime(2026, 9, 30, 22, 0, tzinfo=UTC)
    with staged(at, notify='digests = ["monthly"]\nreports_at = "00:00"\n') as stage:
        stage.outage()
        stage.until_settled()
        stage.world.run(at + timedelta(hours=2, minutes=1) - stage.world.now)
        [mail] = digests(stage)
        assert mail.subject is not None
        assert mail.subject.startswith("MONTHLY 2026-09: 1 incident, 1 of 1 cured")
        for line in (
            "Encryption of buckets, queues and tables (0.17): for a person",
            "ECS: sizes of the tasks (0.16): for a person to judge",
            "Access keys and secrets: rotate what is old (2.18): for a person",
            "A backup can be restored (2.18): for a person",
            "QUARTERLY CHECKLIST",
            "Disaster recovery test (2.19): for a person",
        ):
            assert line in mail.text
        november = last_whole(Every.MONTHLY, datetime(2026, 12, 1, tzinfo=UTC))
        service = stage.nightshift.service()
        empty = collect(november, service.policy, service.aws, service.incidents, now=stage.world.now)
        assert "QUARTERLY" not in render_digest(empty, service.policy)


def test_the_same_cure_again_and_again_is_called_by_its_name() -> None:
    """Three times in a week: the cure works, and the cause is still there."""
    with staged() as stage:
        for _ in range(3):
            stage.outage(letters=4)
            stage.until_settled()
            stage.minutes(25)
        found = figures(stage.nightshift)
        [again] = found.recurring
        assert (again.remediation, again.actions, again.incidents) == (DLQ, 3, 3)
        page = render_digest(found, stage.nightshift.policy)
        assert "RECURRING  3 times or more within seven days: fix the root cause" in page


def test_what_is_held_back_is_counted_by_its_guardrail() -> None:
    """In observe mode everything is: nothing was done, and the digest says by what it was skipped."""
    with staged(mode="observe") as stage:
        stage.outage()
        stage.until_settled()
        found = figures(stage.nightshift)
        assert (found.acted, found.attempts, dict(found.held)) == (0, 0, {"mode": 1})
        page = render_digest(found, stage.nightshift.policy)
        assert "Nothing was done to any target." in page
        assert "- mode: 1 incident" in page


def test_a_machine_reads_the_same() -> None:
    """One JSON document, with numbers as numbers and what is unknown as a list."""
    with staged() as stage:
        stage.outage()
        stage.until_settled()
        document = json.loads(
            json.dumps(digest_to_json(figures(stage.nightshift), stage.nightshift.policy, "demo"), allow_nan=False)
        )
        assert document["schema"] == "nightshift.digest/1"
        assert document["incidents"]["fixed"] == 1
        assert {each["scenario"] for each in document["checklists"]} == {"0.14", "0.16", "2.17"}
        assert any("no sweep was completed" in each for each in document["unknown"])
