"""An answer is bound to the plan that was shown, kept under who gave it, and counts once; else nothing is written."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from nightshift.incidents import Event
from nightshift.model import Acknowledgement, Approval, Diagnosis, Phase, SwitchState, Verdict

from tests.nightshift.cli.desk import ID, ME, NOW, QUEUE, Desk, purge


def test_a_yes_is_kept_with_the_plan_and_the_caller_as_sts_names_it(desk: Desk) -> None:
    """The answer carries the plan's hash, the reason, the time and the caller's ARN, and says so."""
    asked = desk.record()
    result = desk.on_table("approve", ID, "--why", "they are copies", "--yes")
    assert result.exit_code == 0, result.output
    kept = desk.store.get(ID)
    assert kept is not None
    assert kept.approval == replace(
        asked.approval or Approval("", NOW, NOW), answer="approved", by=ME, why="they are copies", answered_at=NOW
    )
    assert ME in result.stdout
    assert asked.plan is not None
    assert asked.plan.hash in result.stdout


def test_an_answer_is_due_at_once_and_stands_in_the_timeline(desk: Desk) -> None:
    """The next sweep takes it up, and the record tells who said what."""
    plan = desk.record(look_at=NOW + timedelta(minutes=1)).plan
    assert desk.store.due(NOW) == []
    desk.on_table("approve", ID, "--yes")
    assert desk.store.due(NOW) == [(ID, NOW)]
    assert plan is not None
    assert desk.store.events(ID)[-1] == Event(NOW, "approved", f"approved plan {plan.hash} by {ME}")


def test_the_tick_claims_the_record_with_the_answer_in_it(desk: Desk) -> None:
    """Written beside the body, read as part of it."""
    desk.record()
    desk.on_table("approve", ID, "--yes")
    claim = desk.store.claim(ID, NOW)
    assert claim is not None
    assert claim.incident.approval is not None
    assert claim.incident.approval.answer == "approved"


@pytest.mark.parametrize("second", [("approve",), ("deny", "--why", "no")])
def test_an_answer_counts_once(desk: Desk, second: tuple[str, ...]) -> None:
    """Neither a second yes nor a late no replaces the first answer; its author is named."""
    desk.record()
    assert desk.on_table("approve", ID, "--yes").exit_code == 0
    first = desk.store.get(ID)
    result = desk.on_table(*second, ID, "--yes")
    assert result.exit_code == 1
    assert "approved already" in result.stderr
    assert ME in result.stderr
    assert desk.store.get(ID) == first


def test_a_no_keeps_its_reason(desk: Desk) -> None:
    """The reason is in the record and in the timeline."""
    desk.record()
    result = desk.on_table("deny", ID, "--why", "they are invoices", "--yes")
    assert result.exit_code == 0, result.output
    kept = desk.store.get(ID)
    assert kept is not None
    assert kept.approval is not None
    assert (kept.approval.answer, kept.approval.why, kept.approval.by) == ("denied", "they are invoices", ME)
    assert desk.store.events(ID)[-1].text.endswith(": they are invoices")


@pytest.mark.parametrize("why", ["", "   ", "x" * 401])
def test_a_no_without_a_reason_that_can_be_kept_is_wrong_usage(desk: Desk, why: str) -> None:
    """Empty, blank and endless reasons are turned away before anything is read."""
    desk.record()
    assert desk.on_table("deny", ID, "--why", why, "--yes").exit_code == 2
    assert desk.wrote() == set()


def test_the_plan_is_shown_before_the_question(desk: Desk) -> None:
    """Target, calls, reasons, cost, risk and expiry come first."""
    desk.record()
    result = desk.on_table("approve", ID, input="y\n")
    assert result.exit_code == 0, result.output
    shown, _, _ = result.stdout.partition("Approve plan")
    for part in (QUEUE, "sqs:PurgeQueue", "nobody reads them", "$0.12 an hour", "high: they are gone", "04:07:42 UTC"):
        assert part in shown


def test_a_person_who_hesitates_has_said_nothing(desk: Desk) -> None:
    """No, and nothing at all, write nothing."""
    desk.record()
    assert desk.on_table("approve", ID, input="n\n").exit_code == 1
    assert desk.on_table("approve", ID, input="").exit_code == 1
    assert desk.wrote() == set()


def test_an_answer_after_the_expiry_is_refused(desk: Desk) -> None:
    """At the very second of the expiry it is over."""
    desk.record()
    desk.now = NOW + timedelta(hours=1)
    result = desk.on_table("approve", ID, "--yes")
    assert result.exit_code == 1
    assert "expired at 2026-11-20 04:07:42 UTC" in result.stderr
    assert desk.wrote() == set()


def test_a_question_that_expires_while_it_is_read_is_not_answered(desk: Desk) -> None:
    """The time is looked at again after the person has read."""
    desk.record()
    desk.meanwhile = lambda: setattr(desk, "now", NOW + timedelta(hours=2))
    result = desk.on_table("approve", ID, input="y\n")
    assert result.exit_code == 1
    assert "expired" in result.stderr
    assert desk.wrote() == set()


def test_a_question_that_is_asked_anew_while_it_is_read_is_not_answered(desk: Desk) -> None:
    """The yes is for the plan that was shown, not for the one that is there by now."""
    desk.record()
    other = purge(QUEUE.replace("letters", "parcels"))

    def anew() -> None:
        claim = desk.store.claim(ID, NOW)
        assert claim is not None
        asked = Approval(other.hash, NOW, NOW + timedelta(hours=1))
        desk.store.save(claim, replace(claim.incident, plan=other, approval=asked), ())

    desk.meanwhile = anew
    result = desk.on_table("approve", ID, input="y\n")
    assert result.exit_code == 1
    assert "asked anew" in result.stderr
    kept = desk.store.get(ID)
    assert kept is not None
    assert kept.approval is not None
    assert not kept.approval.answer


def test_whoever_is_second_is_told_so(desk: Desk) -> None:
    """Also where the first answer was taken into the record between our look and our answer."""
    asked = desk.record()

    def faster() -> None:
        claim = desk.store.claim(ID, NOW)
        assert claim is not None
        assert asked.approval is not None
        theirs = replace(asked.approval, answer="approved", by="arn:aws:sts::1:user/eve", answered_at=NOW)
        desk.store.save(claim, replace(claim.incident, approval=theirs), ())

    desk.meanwhile = faster
    result = desk.on_table("deny", ID, "--why", "no", input="y\n")
    assert result.exit_code == 1
    assert "approved already, by arn:aws:sts::1:user/eve" in result.stderr


def test_a_target_that_healed_meanwhile_needs_no_answer(desk: Desk) -> None:
    """Recovered is said to be good news, not an error of the person."""
    desk.record(phase=Phase.CLOSED, verdict=Verdict.RECOVERED, why="healed by itself: empty", closed_at=NOW)
    result = desk.on_table("approve", ID, "--yes")
    assert result.exit_code == 1
    assert "healed by itself meanwhile" in result.stderr


def test_a_closed_incident_says_how_it_ended(desk: Desk) -> None:
    """With its verdict and its reason."""
    desk.record(phase=Phase.CLOSED, verdict=Verdict.REFUSED, why="nobody answered", closed_at=NOW)
    result = desk.on_table("approve", ID, "--yes")
    assert result.exit_code == 1
    assert "refused: nobody answered" in result.stderr


@pytest.mark.parametrize(
    "phase", [Phase.OPEN, Phase.ACTING, Phase.SETTLING, Phase.VERIFYING, Phase.LEASED, Phase.ENDING]
)
def test_an_incident_that_does_not_ask_says_where_it_is(desk: Desk, phase: Phase) -> None:
    """Every other phase has its own sentence, and is left as it is."""
    desk.record(phase=phase)
    result = desk.on_table("approve", ID, "--yes")
    assert result.exit_code == 1
    assert f"(phase {phase.value})" in result.stderr
    assert desk.wrote() == set()


@pytest.mark.parametrize(
    "changes", [{"approval": None}, {"plan": None}, {"plan": purge("arn:aws:sqs:eu-west-1:123456789012:other")}]
)
def test_a_question_without_its_plan_cannot_be_answered(desk: Desk, changes: dict[str, object]) -> None:
    """A record without question, without plan, or with another plan than asked about."""
    desk.record(**changes)
    result = desk.on_table("approve", ID, "--yes")
    assert result.exit_code == 1
    assert "no question open" in result.stderr


def test_an_incident_that_there_is_not_is_said(desk: Desk) -> None:
    """In a line, with nothing on stdout."""
    result = desk.on_table("approve", "20261120T0300-00000000", "--yes")
    assert result.exit_code == 1
    assert "there is no incident 20261120T0300-00000000" in result.stderr


def test_a_yes_unseen_can_be_bound_to_the_plan_that_was_read(desk: Desk) -> None:
    """``--plan`` makes ``--yes`` safe for a script."""
    plan = desk.record().plan
    assert plan is not None
    assert desk.on_table("approve", ID, "--yes", "--plan", "0123456789abcdef").exit_code == 1
    assert desk.wrote() == set()
    assert desk.on_table("approve", ID, "--yes", "--plan", plan.hash).exit_code == 0


def test_a_machine_is_not_asked_back(desk: Desk) -> None:
    """A prompt would stand between it and its document."""
    desk.record()
    result = desk.on_table("approve", ID, "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert desk.wrote() == set()


def test_what_a_machine_is_told_names_everything_the_answer_is_bound_to(desk: Desk) -> None:
    """These names are stable."""
    plan = desk.record().plan
    assert plan is not None
    desk.store.set_switch(SwitchState.ON, reason="go", by=ME, now=NOW)
    assert desk.answer("approve", ID, "--yes") == {
        "schema": "nightshift.answer/1",
        "incident": ID,
        "target": QUEUE,
        "plan": plan.hash,
        "answer": "approved",
        "by": ME,
        "why": "",
        "answered_at": "2026-11-20T03:07:42+00:00",
        "expires_at": "2026-11-20T04:07:42+00:00",
        "switch": "on",
    }


def test_a_yes_that_the_kill_switch_keeps_from_working_says_so(desk: Desk) -> None:
    """The yes is kept; that nothing will follow yet is said at once."""
    desk.record()
    result = desk.on_table("approve", ID, "--yes")
    assert "kill switch is not on" in result.stderr
    assert json.dumps(result.stdout)


def test_what_the_plan_says_is_text_and_nothing_else(desk: Desk) -> None:
    """Markup and terminal sequences in a name or a cause change nothing of what the person sees."""
    desk.record(diagnosis=Diagnosis(QUEUE, "[bold]gone[/bold] \x1b[2Jaway"))
    shown = desk.on_table("approve", ID, input="n\n").stdout
    assert "[bold]gone[/bold]" in shown
    assert "\x1b" not in shown


# -- ack -------------------------------------------------------------------------------------------------------------


def test_whoever_is_on_it_is_kept_as_sts_names_them(desk: Desk) -> None:
    """Who, when and why stand in the record and in the timeline; the question that it asks stays open."""
    asked = desk.record()
    result = desk.on_table("ack", ID, "--why", "restoring the queue")
    assert result.exit_code == 0, result.output
    kept = desk.store.get(ID)
    assert kept == replace(asked, acknowledged=Acknowledgement(ME, NOW, "restoring the queue"))
    assert desk.store.events(ID)[-1] == Event(NOW, "acknowledged", f"{ME} is on it: restoring the queue")
    assert ME in result.stdout


def test_the_first_who_is_on_it_is_the_one(desk: Desk) -> None:
    """A second one is told who it is, and nothing is written."""
    desk.record()
    assert desk.on_table("ack", ID).exit_code == 0
    result = desk.on_table("ack", ID)
    assert result.exit_code == 1
    assert f"{ME} is on it already" in result.stderr
    assert desk.wrote() == set()


@pytest.mark.parametrize("verdict", [Verdict.FIXED, Verdict.RECOVERED])
def test_nobody_need_be_on_what_is_well(desk: Desk, verdict: Verdict) -> None:
    """What has ended well takes no word."""
    desk.record(phase=Phase.CLOSED, verdict=verdict, why="it is well", closed_at=NOW)
    result = desk.on_table("ack", ID)
    assert result.exit_code == 1
    assert "nobody is needed" in result.stderr
    assert desk.wrote() == set()


@pytest.mark.parametrize("verdict", [Verdict.ESCALATED, Verdict.UNVERIFIABLE, Verdict.BROKEN, Verdict.REFUSED])
def test_what_has_ended_and_needs_a_person_takes_their_word(desk: Desk, verdict: Verdict) -> None:
    """And machines are answered in JSON."""
    desk.record(phase=Phase.CLOSED, verdict=verdict, why="no help", closed_at=NOW)
    said = desk.answer("ack", ID)
    assert (said["schema"], said["incident"], said["by"]) == ("nightshift.acknowledgement/1", ID, ME)


def test_of_an_incident_that_there_is_not_nothing_is_written(desk: Desk) -> None:
    """A mistyped id makes no record."""
    result = desk.on_table("ack", "20261120T0300-00000000")
    assert result.exit_code == 1
    assert desk.wrote() == set()
    assert desk.store.recent() == []


@pytest.mark.parametrize("why", ["   ", "x" * 401])
def test_a_word_that_cannot_be_kept_is_wrong_usage(desk: Desk, why: str) -> None:
    """As for every other reason."""
    desk.record()
    assert desk.on_table("ack", ID, "--why", why).exit_code == 2
    assert desk.wrote() == set()
