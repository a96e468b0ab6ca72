"""`nightshift digest` and `nightshift timeline`, at a terminal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from nightshift.model import Attempt, Phase, Verdict

from tests.nightshift.cli.desk import ID, NOW, QUEUE, Desk


def ended(desk: Desk) -> None:
    """An incident that ended just now."""
    record = desk.record(attempts=(Attempt(1, "x", NOW),))
    claim = desk.store.claim(record.id, NOW)
    assert claim is not None
    closed = replace(record, phase=Phase.CLOSED, verdict=Verdict.ESCALATED, why="no help", closed_at=NOW)
    desk.store.save(claim, closed, ())


def test_a_week_is_told_from_the_records(desk: Desk) -> None:
    """What ended up to this moment; without a configuration nothing is measured, which is said; nothing is written."""
    ended(desk)
    desk.store.beat(NOW, {"targets": 2})
    desk.cloud.count.clear()
    result = desk.on_table("digest", "weekly")
    assert result.exit_code == 0
    assert result.stdout.startswith("WEEKLY DIGEST  1 incident")
    assert "toy-backlog: 1 escalated" in result.stdout
    assert "figures of the targets: no configuration was named" in result.stdout
    assert desk.wrote() == set()
    document = desk.answer("digest", "monthly")
    assert (document["every"], document["incidents"]["ended"]) == ("monthly", {"escalated": 1})


def test_with_a_configuration_the_lists_are_there(desk: Desk) -> None:
    """What is registered is measured; what was not reported is unknown."""
    desk.deploy()
    ended(desk)
    result = desk.run("digest", "weekly", "--config", str(desk.config))
    assert result.exit_code == 0
    assert "WEEKLY CHECKLIST" in result.stdout
    assert "nightshift leases --stack nightshift-prod --region" in result.stdout


def test_another_span_is_refused(desk: Desk) -> None:
    """By its name, as wrong usage."""
    result = desk.on_table("digest", "hourly")
    assert result.exit_code == 2
    assert "there is no digest hourly: say weekly or monthly" in " ".join(result.stderr.replace("│", " ").split())


def test_a_timeline_is_markdown_and_nothing_else(desk: Desk) -> None:
    """So that it can be sent into a file as it stands."""
    desk.record(attempts=(Attempt(1, "x", NOW - timedelta(minutes=3)),))
    result = desk.on_table("timeline", ID)
    assert result.exit_code == 0
    assert result.stdout.startswith("# Post-incident review: ")
    assert f"| Target | {QUEUE} |" in result.stdout
    assert "\n## Root cause (for people)\n" in result.stdout
    document = desk.answer("timeline", ID)
    assert document["markdown"] == result.stdout
    assert [each["kind"] for each in document["entries"]] == ["opened"]


def test_a_timeline_of_nothing_is_refused(desk: Desk) -> None:
    """As `show` does."""
    result = desk.on_table("timeline", "20260101T0000-00000000")
    assert result.exit_code == 1
    assert "there is no incident" in result.stderr
