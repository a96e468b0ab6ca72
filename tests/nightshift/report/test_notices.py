"""What people are told: everything they need, once, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Incident, Mode, Phase, Refusal, Severity, Verdict
from nightshift.report import Context, Notice, blind_notice, storm_notice, storm_over_notice, transition
from nightshift.report.notices import BODY_LIMIT, QUIET_GUARDS

Make: TypeAlias = Callable[..., Incident]
Backdrop: TypeAlias = Callable[..., Context]

NIGHT = datetime(2025, 3, 2, 3, 14, tzinfo=UTC)


def keys(before: Incident | None, after: Incident, context: Context) -> list[str]:
    """The keys of what would be told."""
    return [notice.key for notice in transition(before, after, context=context)]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_end_is_told_once(verdict: Verdict, redriven: Make, backdrop: Backdrop) -> None:
    """Every incident ends in exactly one report, whatever its verdict; nothing ends silently."""
    closed = redriven(verdict=verdict)
    assert keys(replace(closed, phase=Phase.VERIFYING), closed, backdrop()) == [f"closed:{verdict.value}"]
    told = replace(closed, notices=("closed:fixed",))
    assert keys(closed, told, backdrop()) == []


def test_an_end_without_a_verdict_is_broken(redriven: Make, backdrop: Backdrop) -> None:
    """A record that says nothing about itself is still told."""
    (notice,) = transition(None, redriven(verdict=None), context=backdrop())
    assert (notice.key, notice.subject[:17]) == ("closed:broken", "BROKEN, needs you")


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.ACTING, Phase.SETTLING, Phase.VERIFYING])
def test_work_in_progress_is_not_mailed(phase: Phase, redriven: Make, backdrop: Backdrop) -> None:
    """Looks, steps and attempts that another one follows are for the timeline and the final report."""
    working = redriven(phase=phase, verdict=None, closed_at=None)
    assert keys(replace(working, phase=Phase.OPEN), working, backdrop()) == []


def test_a_lease_is_told_when_it_goes_out_and_when_it_comes_back(scaled: Make, backdrop: Backdrop) -> None:
    """Two mails: fixed with capacity on lease; then how it ended."""
    out = scaled()
    (lent,) = transition(replace(out, phase=Phase.VERIFYING), out, context=backdrop())
    assert lent.key == "leased"
    assert lent.subject == "FIXED, ON LEASE until 05:16 UTC: thumbnails of lecture - Dead letters pile up [SEV2]"
    assert keys(out, replace(out, notices=("leased",)), backdrop()) == []
    back = replace(out.calls[0], step="undo scale out")
    closed = replace(out, phase=Phase.CLOSED, calls=(*out.calls, back), notices=("leased",))
    (ended,) = transition(out, closed, context=backdrop(123))
    assert ended.subject.startswith("FIXED, lease returned: thumbnails")


def test_a_question_is_asked_once_per_plan(asked: Make, backdrop: Backdrop) -> None:
    """Another plan is another question; an answered one is none."""
    question = asked()
    assert question.approval is not None
    key = f"asking:{question.approval.plan_hash}"
    (notice,) = transition(None, question, context=backdrop(3, Mode.APPROVE))
    assert notice.key == key
    assert notice.subject == "APPROVE? by 07:16 UTC: orders-dlq - Dead letters pile up [SEV3]"
    assert keys(question, replace(question, notices=(key,)), backdrop(4, Mode.APPROVE)) == []
    other = replace(question, approval=replace(question.approval, plan_hash="other"), notices=(key,))
    assert keys(question, other, backdrop(4, Mode.APPROVE)) == ["asking:other"]
    answered = replace(question, approval=replace(question.approval, answer="approved"))
    assert keys(question, answered, backdrop(4, Mode.APPROVE)) == []


def test_observing_tells_once_what_it_would_do(held: Make, backdrop: Backdrop) -> None:
    """In mode observe the plan is the notice, whichever guardrail would have spoken too."""
    seen = held("mode", None)
    assert keys(None, seen, backdrop(3, Mode.OBSERVE)) == ["would-act"]
    assert keys(None, held("protected", None), backdrop(3, Mode.OBSERVE)) == ["would-act"]
    assert keys(seen, replace(seen, notices=("would-act",)), backdrop(60, Mode.OBSERVE)) == []
    assert keys(None, replace(seen, plan=None), backdrop(3, Mode.OBSERVE)) == []


@pytest.mark.parametrize(
    "minutes, stood_before, retry_minutes, told",
    [
        (3, False, 5, False),  # a moment ago, and soon asked again
        (30, False, 5, False),  # new: perhaps over at the next look
        (3, True, 5, False),  # stands, but the incident is young
        (30, True, 5, True),  # stands
        (3, False, 60, True),  # says itself that it takes long
        (3, False, None, True),  # for ever
    ],
)
def test_a_hold_is_told_when_it_lasts(
    minutes: int, stood_before: bool, retry_minutes: int | None, told: bool, held: Make, backdrop: Backdrop
) -> None:
    """A few minutes of waiting wake nobody; a hold that lasts is told."""
    after = held("kill-switch", timedelta(minutes=retry_minutes) if retry_minutes else None)
    before = after if stood_before else replace(after, refusal=None)
    assert keys(before, after, backdrop(minutes)) == (["held:kill-switch"] if told else [])


def test_a_hold_is_told_once_per_guardrail(held: Make, backdrop: Backdrop) -> None:
    """The same guardrail again is not news; another one is."""
    after = held(notices=("held:mid-change",))
    assert keys(after, after, backdrop(60)) == []
    other = replace(after, refusal=Refusal("target-budget", "used up", retry_after=timedelta(hours=1)))
    (notice,) = transition(after, other, context=backdrop(60))
    assert (notice.key, notice.subject[:22]) == ("held:target-budget", "HELD by target budget:")


@pytest.mark.parametrize("guard", sorted(QUIET_GUARDS))
def test_quiet_guardrails_wait_for_the_report(guard: str, held: Make, backdrop: Backdrop) -> None:
    """What passes by itself, or is told in another way (one page for a storm), is no mail per incident."""
    after = held(guard)
    assert keys(after, after, backdrop(60)) == []


def test_a_lease_that_cannot_come_back_is_told(scaled: Make, backdrop: Backdrop) -> None:
    """What we lent is out and a guardrail keeps it there: a person must know."""
    refusal = Refusal("kill-switch", "the kill switch is halted", retry_after=timedelta(minutes=1))
    stopped = scaled(notices=("leased",), refusal=refusal)
    assert keys(stopped, stopped, backdrop(123)) == ["held:kill-switch"]


@pytest.mark.parametrize("phase", [Phase.ACTING, Phase.VERIFYING])
def test_a_refusal_from_before_the_cure_is_stale(phase: Phase, held: Make, backdrop: Backdrop) -> None:
    """While calls are made or verified nothing is held, whatever the record still carries."""
    after = held("kill-switch", None, phase=phase)
    assert keys(after, after, backdrop(60)) == []


def test_only_observing_ends_in_what_would_have_been_done(held: Make, backdrop: Backdrop) -> None:
    """In mode observe an incident may end at once: its one report says what would have been done."""
    closed = held("mode", None, phase=Phase.CLOSED, verdict=Verdict.REFUSED, why="the mode is observe")
    (notice,) = transition(None, closed, context=backdrop(3, Mode.OBSERVE))
    assert (notice.key, notice.subject) == ("closed:refused", "WOULD ACT: orders-dlq - Dead letters pile up [SEV3]")
    assert "only observes: nothing was changed" in notice.body
    assert "WOULD HAVE DONE" in notice.body


def test_a_cancelled_move_is_no_lease(redriven: Make, backdrop: Backdrop) -> None:
    """What was undone between two attempts is not called a lease that came back."""
    full = redriven()
    undone = replace(full, calls=(replace(full.calls[0], step="undo redrive"), *full.calls))
    (notice,) = transition(None, undone, context=backdrop())
    assert notice.subject.startswith("FIXED: orders-dlq")
    assert "lent" not in notice.body


def test_the_subject_says_it_on_a_locked_telephone(redriven: Make, backdrop: Backdrop) -> None:
    """State first, then which one, what is wrong, how bad; a very long name keeps both its ends."""
    (notice,) = transition(None, redriven(), context=backdrop())
    assert notice.subject == "FIXED: orders-dlq - Dead letters pile up [SEV3]"
    assert notice.severity is Severity.SEV3
    long = "arn:aws:sqs:eu-central-1:111122223333:" + "begin-" + "x" * 70 + "-dlq"
    (notice,) = transition(None, redriven(target=long), context=backdrop())
    assert notice.subject.startswith("FIXED: begin-")
    assert "-dlq - Dead letters pile up [SEV3]" in notice.subject


def test_a_service_is_told_with_its_system(redriven: Make, backdrop: Backdrop) -> None:
    """Its name is its cluster's, and another customer has one of the same; a queue's is the account's."""
    arn = "arn:aws:ecs:eu-central-1:111122223333:service/lecture-{0}-cluster/lecture-backend-service"
    subjects = {
        transition(None, redriven(target=arn.format(name), group=name), context=backdrop())[0].subject
        for name in ("dhbw", "edt")
    }
    assert subjects == {
        f"FIXED: lecture-backend-service of {name} - Dead letters pile up [SEV3]" for name in ("dhbw", "edt")
    }
    long = redriven(target=arn.format("a") + "x" * 40, group="a-customer-with-a-long-name")
    (notice,) = transition(None, long, context=backdrop())
    assert notice.subject.startswith("FIXED: lecture-...xxxxxxxxx of a-customer-with-a-long-name - ")
    assert "[SEV3]" in notice.subject


def test_a_storm_is_one_page(backdrop: Backdrop) -> None:
    """All of it in one mail: why, since when, how many per system, who, and where to look."""
    sick = [f"arn:aws:sqs:eu-central-1:111122223333:q{number:03}" for number in range(100)]
    notice = storm_notice(
        "100 of 120 targets are sick",
        sick,
        since=NIGHT,
        now=NIGHT + timedelta(minutes=3),
        groups={"a": (1, 20), "b": (99, 100)},
        evidence={"IN COMMON": [], "PROBES": ["STS: answers"]},
        deployment="prod",
    )
    assert "PROBES\n  - STS: answers" in notice.body
    assert "IN COMMON" not in notice.body
    assert (notice.key, notice.severity) == ("storm", Severity.SEV1)
    assert notice.subject == "STORM, needs you: 100 targets sick at once [SEV1]"
    assert "100 of 120 targets are sick." in notice.body
    assert "deployment prod" in notice.body
    assert "2025-03-02 03:14:00 UTC, for 3 min" in notice.body
    assert notice.body.index("b: 99 of 100 targets sick") < notice.body.index("a: 1 of 20 targets sick")
    assert "q000" in notice.body
    assert "… and 60 more" in notice.body


def test_a_storm_in_which_nothing_can_be_seen_does_not_count_what_is_sick() -> None:
    """Nobody is woken by a zero."""
    notice = storm_notice("STS does not answer", [], since=NIGHT)
    assert notice.subject == "STORM, needs you: what everything runs on does not answer [SEV1]"
    assert "nothing that can be seen" in notice.body


def test_the_end_of_a_storm_says_how_long_it_lasted_and_what_is_left() -> None:
    """At the severity of its beginning: whoever was woken hears that it is over."""
    arn = "arn:aws:sqs:eu-central-1:111122223333:q"
    notice = storm_over_notice(
        "3 targets fell sick at once", [arn, arn], since=NIGHT, now=NIGHT + timedelta(minutes=40)
    )
    assert (notice.key, notice.severity) == ("storm-over", Severity.SEV1)
    assert notice.subject == "STORM OVER after 40 min: 1 target still sick [SEV1]"
    assert "3 targets fell sick at once." in notice.body
    assert arn in notice.body
    assert "nothing is sick" in storm_over_notice("", [], since=NIGHT, now=NIGHT).subject


def test_blindness_is_told() -> None:
    """Not seen is not healthy: what, why, and what to do about it."""
    notice = blind_notice({"sqs": "sqs:ListQueues: AccessDenied", "ecs": "timed out"}, since=NIGHT, now=NIGHT)
    assert notice.key == "blind"
    assert notice.subject == "BLIND: cannot read ecs and 1 more [SEV2]"
    assert "- sqs: sqs:ListQueues: AccessDenied" in notice.body


def test_a_long_body_is_cut_and_says_so() -> None:
    """SNS counts bytes, not letters; the cut is at a line's end, and visible."""
    notice = Notice("k", "s", "\n".join(["ü" * 90] * 5000), Severity.SEV4)
    assert BODY_LIMIT - 300 < len(notice.body.encode()) <= BODY_LIMIT
    assert notice.body.endswith("ü\n[The report was too long and ends here; `nightshift show` has all of it.]\n")


@given(
    st.text(st.characters(exclude_categories=()), max_size=300),
    st.text(st.characters(exclude_categories=()), max_size=300),
)
def test_any_notice_can_be_sent(subject: str, body: str) -> None:
    """Whatever it is made from, SNS takes it."""
    notice = Notice("key", subject, body, Severity.SEV3)
    assert 1 <= len(notice.subject) <= 99
    assert notice.body.strip()
    assert len(notice.body.encode()) <= BODY_LIMIT
    assert notice.body.replace("\n", "").isprintable() or all(ord(char) > 31 or char == "\n" for char in notice.body)
