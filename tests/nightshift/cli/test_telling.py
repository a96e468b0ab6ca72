"""Incidents are listed newest first and shown whole; what they say is text, whatever is in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift.cli import telling
from nightshift.model import Approval, Attempt, Finding, Phase, Refusal, Verdict

from tests.nightshift.cli.desk import ID, ME, NOW, QUEUE, TOML, Desk, purge

CLOSED = "20261119T0300-00000001"


def closed(desk: Desk) -> None:
    """An incident of yesterday that was handed over to a person."""
    desk.record(
        id=CLOSED,
        remediation="other",
        opened_at=NOW - timedelta(days=1),
        phase=Phase.CLOSED,
        verdict=Verdict.ESCALATED,
        why="3 of 3 attempts made and still: 2 messages wait",
        closed_at=NOW - timedelta(hours=23),
    )


def test_nothing_recorded_is_said(desk: Desk) -> None:
    """An empty table would look like a failure to read."""
    assert desk.on_table("incidents").stdout == "No incident is recorded.\n"
    assert desk.on_table("incidents", "--open").stdout == "No incident is open.\n"
    assert desk.answer("incidents") == {"schema": "nightshift.incidents/1", "incidents": []}


def test_incidents_stand_newest_first(desk: Desk) -> None:
    """And the limit cuts off the oldest."""
    closed(desk)
    desk.record()
    assert [each["id"] for each in desk.answer("incidents")["incidents"]] == [ID, CLOSED]
    assert [each["id"] for each in desk.answer("incidents", "--limit", "1")["incidents"]] == [ID]


def test_only_what_is_open_when_asked_so(desk: Desk) -> None:
    """By the record itself: the index may lag."""
    closed(desk)
    desk.record()
    assert [each["id"] for each in desk.answer("incidents", "--open")["incidents"]] == [ID]


def test_a_row_says_what_where_how_it_stands_and_why(desk: Desk) -> None:
    """These names are stable."""
    closed(desk)
    (row,) = desk.answer("incidents")["incidents"]
    assert row == {
        "id": CLOSED,
        "opened_at": "2026-11-19T03:07:42+00:00",
        "closed_at": "2026-11-19T04:07:42+00:00",
        "remediation": "other",
        "target": QUEUE,
        "system": "post",
        "severity": "SEV3",
        "phase": "closed",
        "verdict": "escalated",
        "acknowledged_by": None,
        "why": "3 of 3 attempts made and still: 2 messages wait",
    }
    shown = desk.on_table("incidents").stdout
    for part in (CLOSED, "2026-11-19 03:07:42 UTC", "other", "letters", "closed", "escalated", "3 of 3 attempts"):
        assert part in shown


@pytest.mark.parametrize(
    "changes, why",
    [
        ({}, "asks for approval until 04:07 UTC"),
        ({"approval": Approval("", NOW, NOW)}, "nobody answered before 2026-11-20 03:07:42 UTC"),
        ({"approval": Approval("", NOW, NOW, "approved", ME)}, f"approved by {ME}"),
        ({"refusal": Refusal("storm", "4 fell sick")}, "held by storm: 4 fell sick"),
        ({"phase": Phase.LEASED, "refusal": Refusal("storm", "4 fell sick")}, "2 messages wait"),
        ({"phase": Phase.OPEN}, "2 messages wait"),
    ],
    ids=["asks", "expired", "answered", "held", "leased", "open"],
)
def test_an_open_incident_says_what_it_waits_for(desk: Desk, changes: dict[str, object], why: str) -> None:
    """A guardrail, an answer, or nothing but time."""
    desk.record(**changes)
    (row,) = desk.answer("incidents")["incidents"]
    assert row["why"] == why


def test_showing_gives_the_whole_report_with_timeline_and_links(desk: Desk) -> None:
    """With a few words about each linked incident, and nothing written."""
    closed(desk)
    desk.record()
    desk.store.link(ID, CLOSED)
    shown = desk.on_table("show", ID).stdout
    assert shown.startswith("APPROVE?  messages wait: letters\n")
    for part in ("SEEN", "CAUSE", "WANTS TO DO", "TIMELINE", "opened: 2 messages wait", f"nightshift approve {ID}"):
        assert part in shown
    assert f"{CLOSED}: other on letters, escalated" in shown
    assert desk.wrote() == set()


def test_a_machine_gets_the_report_under_stable_names(desk: Desk) -> None:
    """The same document as in the report itself."""
    closed(desk)
    desk.record()
    desk.store.link(ID, CLOSED)
    told = desk.answer("show", ID)
    assert told["schema"] == "nightshift.report/1"
    assert (told["incident"], told["state"], told["mode"]) == (ID, "APPROVE?", "approve")
    assert told["links"] == [CLOSED]
    assert [event["kind"] for event in told["timeline"]] == ["opened"]


@pytest.mark.parametrize(
    "changes, mode",
    [
        ({}, "approve"),
        ({"approval": None, "attempts": (Attempt(1, "", NOW),)}, "auto"),
        ({"approval": None, "phase": Phase.OPEN, "refusal": Refusal("mode", "observe")}, "observe"),
        ({"approval": None, "phase": Phase.OPEN, "refusal": Refusal("storm", "4 fell sick")}, "auto"),
    ],
)
def test_without_a_configuration_the_record_shows_the_mode(desk: Desk, changes: dict[str, object], mode: str) -> None:
    """Who was asked may only act with a yes; who acted unasked was free to."""
    desk.record(**changes)
    assert desk.answer("show", ID)["mode"] == mode


def test_with_a_configuration_its_mode_counts(desk: Desk) -> None:
    """Unless the target is no longer in it."""
    desk.record()
    desk.config.write_text(TOML.replace('mode = "approve"', 'mode = "observe"'), encoding="utf-8")
    result = desk.run("show", ID, "--config", str(desk.config), "--table", desk.table)
    assert "(toy-backlog, mode observe)" in result.stdout
    desk.config.write_text(TOML.replace("letters", "others"), encoding="utf-8")  # a target that is no longer in it
    assert "mode approve" in desk.run("show", ID, "--config", str(desk.config), "--table", desk.table).stdout


def test_an_incident_that_there_is_not_is_said(desk: Desk) -> None:
    """In a line, with nothing on stdout."""
    result = desk.on_table("show", "nonsense")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no incident nonsense" in result.stderr


def test_what_a_record_says_is_text_and_nothing_else(desk: Desk) -> None:
    """Markup, emoji codes and terminal sequences from outside do nothing here."""
    made = desk.record(finding=Finding("toy-backlog", QUEUE, "[red]x[/red] :bomb: \x1b[2Jy"), phase=Phase.OPEN)
    assert replace(made, phase=Phase.OPEN) == made
    for result in (desk.on_table("incidents"), desk.on_table("show", ID)):
        assert "[red]x[/red] :bomb:" in result.stdout
        assert "\x1b" not in result.stdout


# -- what is lent ------------------------------------------------------------------------------------------------------


def lent(desk: Desk, **more: Any) -> None:
    """Something that was lent half an hour ago, at 12 cents an hour, for two hours, with somebody's approval."""
    plan = replace(purge(), lease=timedelta(hours=2))
    approval = Approval(plan.hash, NOW, NOW + timedelta(hours=1), answer="approved", by="eva")
    facts: dict[str, Any] = {
        "plan": plan,
        "approval": approval,
        "phase": Phase.LEASED,
        "attempts": (Attempt(1, plan.hash, NOW - timedelta(minutes=30)),),
        "lease_ends": NOW + timedelta(minutes=90),
        "lent": True,
    }
    desk.record(**(facts | more))


def test_nothing_lent_is_said(desk: Desk) -> None:
    """Also where incidents are open, or were closed."""
    closed(desk)
    desk.record()
    assert desk.on_table("leases").stdout == "Nothing is lent.\n"
    assert desk.answer("leases") == {"schema": "nightshift.leases/1", "leases": []}


def test_what_is_lent_says_who_why_since_until_and_for_how_much(desk: Desk) -> None:
    """These names are stable."""
    lent(desk)
    (row,) = desk.answer("leases")["leases"]
    assert row == {
        "incident": ID,
        "target": QUEUE,
        "remediation": "toy-backlog",
        "what": "Throw all messages away.",
        "why": "2 messages wait",
        "by": "eva",
        "since": "2026-11-20T02:37:42+00:00",
        "until": "2026-11-20T04:37:42+00:00",
        "left_out": False,
        "dollars_per_hour": 0.12,
        "dollars_so_far": 0.06,
        "dollars_in_all": 0.24,
        "undo_by_hand": "none",
    }
    shown = desk.on_table("leases").stdout
    assert "$0.06" in shown
    assert shown.endswith("$0.12 an hour in all, $0.06 so far, $0.24 at most.\n")
    total = {"dollars_per_hour": 0.12, "dollars_so_far": 0.06, "dollars_in_all": 0.24}
    assert desk.answer("leases")["total"] == total


def test_what_could_not_be_given_back_stays_in_the_list(desk: Desk) -> None:
    """The incident is closed; what it left out is not."""
    verdict = {"verdict": Verdict.ESCALATED, "why": "could NOT be given back", "closed_at": NOW}
    lent(desk, phase=Phase.CLOSED, approval=None, plan=replace(purge(), cost_per_hour=None), **verdict)
    (row,) = desk.answer("leases")["leases"]
    assert (row["left_out"], row["by"], row["dollars_per_hour"]) == (True, "nightshift", None)
    shown = desk.on_table("leases").stdout
    assert "LEFT OUT" in shown
    assert "unknown" in shown
    assert "what nobody knows of 1 of them" in shown


def test_what_was_left_out_stays_in_the_list_for_ever(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many incidents are newer: nobody else will give it back."""
    monkeypatch.setattr(telling, "_MOST", 1)
    ended: dict[str, Any] = {"phase": Phase.CLOSED, "verdict": Verdict.ESCALATED, "why": "no", "closed_at": NOW}
    lent(desk, approval=None, **ended)
    desk.record(id="20261120T0306-00000002", remediation="other", opened_at=NOW, **ended)
    assert [each["incident"] for each in desk.answer("leases")["leases"]] == [ID]


def test_what_is_not_judged_yet_has_no_end(desk: Desk) -> None:
    """Its lease begins when it has helped."""
    lent(desk, phase=Phase.VERIFYING, lease_ends=None)
    assert desk.answer("leases")["leases"][0]["until"] is None
    assert "until it is judged" in " ".join(desk.on_table("leases").stdout.split())


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("incidents",), ("incidents", "--open"), ("leases",), ("status",)], ids=" ".join)
def test_a_record_that_cannot_be_read_keeps_nobody_from_the_others(desk: Desk, words: tuple[str, ...]) -> None:
    """Written by another version, say: it is counted aloud, and the others are told."""
    lent(desk)
    broken = desk.record(id="20261120T0306-00000002", remediation="other")
    desk.cloud.session.client("dynamodb").update_item(
        TableName=desk.table,
        Key={"pk": {"S": f"INCIDENT#{broken.id}"}, "sk": {"S": "INCIDENT"}},
        UpdateExpression="SET body = :body",
        ExpressionAttributeValues={":body": {"S": "{}"}},
    )
    result = desk.on_table(*words)
    assert result.exit_code == 0, result.output
    assert ID in result.stdout
    assert "1 record cannot be read, and is not in this." in result.stderr
