"""Severities, escalation and the calendar, by the real handlers: who is told what and when, what is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from nightshift.incidents import Event
from nightshift.model import Acknowledgement, Incident, Mode, Phase, Verdict
from nightshift.report import Context as ReportContext
from nightshift.report.timeline import timeline_markdown

from sandbox.deployment import Deployment
from sandbox.mailbox import Mail
from sandbox.scenes import DLQ, NIGHT, STALLED, Stage, configuration, failures
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

EVA = "arn:aws:iam::123456789012:user/eva"
PEOPLE = """
[notify.severities.SEV2]
emails = ["pager@example.com"]

[severities.SEV2]
label = "High"
respond_within = "PT15M"

[[escalation]] # L1
emails = ["oncall@example.com"]

[[escalation]] # L2
emails = ["lead@example.com"]
after = "PT30M"

[[escalation]] # L3
emails = ["cto@example.com"]
after = "PT1H"
"""


@contextmanager
def staged(more: str, *, maintenance: str = "") -> Iterator[Stage]:
    """The usage metrics system at work, with ``more`` configuration, and Nightshift switched on."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world, api=False)
        toml = configuration(system)
        if maintenance:
            toml = toml.replace("[[systems]]", f'[[systems]]\nmaintenance = ["{maintenance}"]')
        with Deployment(world, toml + more) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(20)
            yield stage
            assert failures(world) == ()


def hopeless(stage: Stage) -> Incident:
    """A release whose tasks run and do nothing: one restart, which cannot help, and the incident has ended."""
    stage.system.ship_bad_image()
    stage.system.finish_deployment()
    stage.until(lambda: any(not each.open for each in stage.nightshift.of(STALLED)), timedelta(hours=4))
    [incident] = stage.nightshift.of(STALLED)
    assert incident.verdict is Verdict.ESCALATED
    return incident


def about(stage: Stage, incident: Incident) -> list[Mail]:
    """What was mailed about an incident."""
    return [mail for mail in stage.world.mail if f"Incident  {incident.id} " in mail.text]


def topics(mails: list[Mail]) -> list[str]:
    """Where mails went, by the last part of the topic's name."""
    return [mail.topic_arn.rpartition("-")[2] for mail in mails]


@pytest.mark.scenario("4.11", "escalation")
def test_what_nobody_answers_goes_from_level_to_level_once_each() -> None:
    """The end; a quarter of an hour later L1; half an hour later L2; an hour later L3; then never again."""
    with staged(PEOPLE) as stage:
        incident = hopeless(stage)
        stage.minutes(130)
        mails = about(stage, incident)
        assert topics(mails) == ["SEV2", "L1", "L2", "L3"]
        told = [mail.at - incident.closed_at for mail in mails if incident.closed_at]
        due = [timedelta(minutes=each) for each in (0, 15, 45, 105)]
        assert all(at <= when <= at + timedelta(minutes=2) for at, when in zip(due, told, strict=True))
        assert [mail.attributes["transition"] for mail in mails] == ["closed", *["unanswered"] * 3]


@pytest.mark.scenario("4.11", "escalation")
def test_whoever_says_that_they_are_on_it_ends_the_calling() -> None:
    """After L1 has heard of it somebody is on it: neither L2 nor L3 is woken, and nothing else about it changes."""
    with staged(PEOPLE) as stage:
        incident = hopeless(stage)
        stage.until(lambda: len(about(stage, incident)) == 2)
        now = stage.world.now
        word = Acknowledgement(EVA, now, "rolling back")
        assert stage.nightshift.incidents.acknowledge(incident.id, word, event=Event(now, "acknowledged", EVA))
        stage.minutes(60)
        assert topics(about(stage, incident)) == ["SEV2", "L1"]
        after = stage.nightshift.incidents.get(incident.id)
        assert after is not None
        assert (after.acknowledged, after.verdict, after.phase) == (word, Verdict.ESCALATED, Phase.CLOSED)


@pytest.mark.scenario("4.11", "escalation")
def test_a_halted_nightshift_still_calls() -> None:
    """The kill switch forbids writes to targets, not words to people."""
    with staged(PEOPLE) as stage:
        incident = hopeless(stage)
        stage.nightshift.pause("enough", hard=True)
        stage.minutes(20)
        assert topics(about(stage, incident)) == ["SEV2", "L1"]


@pytest.mark.scenario("2.1", "severities")
def test_a_report_says_how_bad_it_is_how_soon_to_respond_and_how_to_say_so() -> None:
    """The severity as people here call it, its response time, and the command; to those who hear of that severity."""
    with staged(PEOPLE) as stage:
        incident = hopeless(stage)
        [mail] = about(stage, incident)
        assert topics([mail]) == ["SEV2"]
        assert "SEV2, High: respond within 15 min, by " in mail.text
        assert f"nightshift ack {incident.id} " in mail.text


@pytest.mark.scenario("2.1", "severities")
def test_what_is_not_so_bad_does_not_ring_the_pager() -> None:
    """A severity without recipients of its own goes to those who hear of everything."""
    with staged(PEOPLE) as stage:
        stage.outage()
        stage.until_settled()
        [letters] = stage.nightshift.of(DLQ)
        assert letters.severity.value != "SEV2"
        assert set(topics(about(stage, letters))) == {"reports"}


UPDATES = """
[severities.SEV1]
update_every = "PT30M"

[severities.SEV2]
label = "Sev 2"
update_every = "PT30M"
"""


@pytest.mark.scenario("1.27", "updates")
@pytest.mark.scenario("1.21", "updates")
def test_people_hear_every_half_hour_until_it_is_resolved() -> None:
    """The first word says when the next one comes; each says what has changed; the last one that it is over."""
    with staged(UPDATES) as stage:
        incident = hopeless(stage)
        stage.minutes(65)
        stage.system.ship_good_image()
        stage.system.finish_deployment()
        stage.minutes(65)
        mails = about(stage, incident)
        assert [mail.attributes["transition"] for mail in mails] == ["closed", "update", "update", "resolved"]
        first, *_, over = mails
        assert incident.closed_at is not None
        assert "Severity  SEV2, Sev 2" in first.text
        assert f"The next update comes at {incident.closed_at + timedelta(minutes=30):%H:%M UTC}" in first.text
        told = [mail.at - incident.closed_at for mail in mails]
        due = [timedelta(minutes=each) for each in (0, 30, 60)]
        assert all(at <= when <= at + timedelta(minutes=2) for at, when in zip(due, told, strict=False))
        assert f"nightshift timeline {incident.id}" in over.text


@pytest.mark.scenario("1.27", "updates")
def test_whoever_is_on_it_hears_no_more() -> None:
    """And the kill switch is no reason to be silent before that."""
    with staged(UPDATES) as stage:
        incident = hopeless(stage)
        stage.nightshift.pause("enough", hard=True)
        stage.minutes(35)
        now = stage.world.now
        word = Acknowledgement(EVA, now, "rolling back")
        assert stage.nightshift.incidents.acknowledge(incident.id, word, event=Event(now, "acknowledged", EVA))
        stage.minutes(65)
        assert [mail.attributes["transition"] for mail in about(stage, incident)] == ["closed", "update"]


@pytest.mark.scenario("0.20", "timeline")
@pytest.mark.scenario("1.26", "timeline")
def test_what_happened_is_a_draft_for_the_review() -> None:
    """Every call with its outcome, every decision, in their order; root cause and prevention are for people."""
    with staged("") as stage:
        incident = hopeless(stage)
        events = stage.nightshift.incidents.events(incident.id)
        context = ReportContext(now=stage.world.now, mode=Mode.AUTO, title="The consumer does nothing")
        text = timeline_markdown(incident, events, context=context)
        assert "| call | ecs:UpdateService on " in text
        assert "| closed | escalated: " in text
        assert "- Attempt 1, " in text
        assert "## Root cause (for people)" in text


WINDOW = f"""
[[calendar.windows]]
name = "release"
begins = "{NIGHT:%H:%M}"
ends = "{NIGHT + timedelta(minutes=90):%H:%M}"
"""


@pytest.mark.scenario("4.12", "calendar")
def test_what_people_work_on_by_plan_is_left_alone_until_they_are_done() -> None:
    """In its system's maintenance window nothing is written to it; then the same incident is cured."""
    with staged(WINDOW, maintenance="release") as stage:
        stage.system.wedge_consumer()
        stage.until(lambda: stage.world.now >= NIGHT + timedelta(minutes=89))
        assert stage.world.trail.of("ecs.UpdateService") == []
        [incident] = stage.nightshift.of(STALLED)
        assert incident.refusal is not None
        assert incident.refusal.guard == "window"
        stage.until_settled()
        [incident] = stage.nightshift.of(STALLED)
        assert incident.verdict is Verdict.FIXED
        assert incident.attempts[0].started_at >= NIGHT + timedelta(minutes=90)


@pytest.mark.scenario("4.12", "calendar")
def test_a_restart_is_made_in_a_freeze_too() -> None:
    """It starts what runs already: that is no change, and an outage does not wait for the quarter's end."""
    freeze = f"""
[calendar.freeze]
dates = [{{name = "quarter", first = "{NIGHT:%Y-%m-%d}", last = "{NIGHT + timedelta(days=7):%Y-%m-%d}"}}]
"""
    with staged(freeze) as stage:
        stage.system.wedge_consumer()
        stage.until_settled()
        [incident] = stage.nightshift.of(STALLED)
        assert incident.verdict is Verdict.FIXED
