"""The report as a person reads it at three in the morning."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest
from nightshift.model import (
    Acknowledgement,
    Approval,
    Attempt,
    CallRecord,
    Incident,
    Ledger,
    Mode,
    Outcome,
    Phase,
    Refusal,
    Verdict,
)
from nightshift.report import Context, TimelineEvent, render, to_json, unanswered

Make: TypeAlias = Callable[..., Incident]
Backdrop: TypeAlias = Callable[..., Context]

NIGHT = datetime(2025, 3, 2, 3, 14, tzinfo=UTC)

GOLDEN = """\
FIXED  Dead letters pile up: orders-dlq

  Nightshift acted, and the target is healthy again. The dead-letter queue is empty and stays empty.
  You need to do nothing.

  Severity  SEV3
  Target    arn:aws:sqs:eu-central-1:111122223333:orders-dlq
  In        system document-management, account 111122223333, Region eu-central-1
  Incident  20250302T0314-1a2b3c4d (sqs-dlq-backlog, mode auto)
  Cure      Move 12 messages back to orders, 10 a second (1 attempt)
  Opened    2025-03-02 03:14:00 UTC
  Closed    2025-03-02 03:37:00 UTC, after 23 min

SEEN
  12 messages in the dead-letter queue
  - ApproximateNumberOfMessagesVisible: 12 messages (threshold 1, over 3 minutes)
  - the first letter arrived 02:51 UTC
  - consumer prod/orders: 2 of 2 tasks run

CAUSE
  The consumer failed from 02:51 to 03:09 UTC and finishes messages again.
  - 312 messages finished in the last 5 minutes, 0 failed
  Considered and rejected:
  - poison messages: no body hash was seen failing after 03:09 UTC
  - a bad deployment: the last one was 9 days ago

DONE  1 call
  2025-03-02 03:16:00  sqs:StartMessageMoveTask on orders-dlq: done
                       ApproximateNumberOfMessages 12 -> 0
                       step redrive, request id 7a62c49f-347e-4fc4-9331-6e8e7a96aa73

MESSAGES
  moved 12 = processed 12 + returned 0 + quarantined 0 + remaining 0
  - 12 were finished by the consumer

VERIFICATION
  Passed: after the change the target was healthy, look after look.
  Last seen healthy 3 times in a row.
  What counts as proof: processed + returned + quarantined + remaining = moved, and the queue stays
  empty.

UNDO BY HAND
    aws sqs list-message-move-tasks --source-arn arn:aws:sqs:eu-central-1:111122223333:orders-dlq
    aws sqs cancel-message-move-task --task-handle …

NEXT
  - Nothing more tonight. If this comes back, the cause behind it is still there.

MORE
    nightshift show 20250302T0314-1a2b3c4d
  What CloudTrail recorded under this incident's name:
    https://eu-central-1.console.aws.amazon.com/cloudtrailv2/home?region=eu-central-1#/events?Username=20250302T0314-1a2b3c4d
  Decided under configuration 5f1d9c02.
"""


def test_the_whole_report(redriven: Make, backdrop: Backdrop) -> None:
    """The one report that is compared letter by letter: verdict first, in the issue's order."""
    assert render(redriven(), context=backdrop()) == GOLDEN


def test_sections_stand_in_the_promised_order(scaled: Make, backdrop: Backdrop) -> None:
    """A reader who knows one report finds everything in the next."""
    headings = re.findall(r"^([A-Z][A-Z ]+)(?:  .*)?$", render(scaled(links=("a",)), context=backdrop()), re.MULTILINE)
    promised = "SEEN, CAUSE, DONE, VERIFICATION, ON LEASE, DRIFT, UNDO BY HAND, NEXT, LINKED, MORE"
    assert headings == promised.split(", ")


def test_capacity_on_lease_says_until_when_and_what_it_costs(scaled: Make, backdrop: Backdrop) -> None:
    """What is out, until when, at what cost, and that it comes back by itself."""
    text = render(scaled(), context=backdrop())
    assert text.startswith("FIXED, ON LEASE  ")
    assert "goes back to its old value at 05:16 UTC (in 1 h 39 min), by itself" in text
    assert "- service/prod/thumbnails: desiredCount 2 -> 4" in text
    assert "$0.12 an hour, about $0.24 for 2 h" in text
    assert "aws ecs update-service --cluster prod --service thumbnails --desired-count 2" in text
    assert "overdue by 8 min" in render(scaled(), context=backdrop(130))


def _return(incident: Incident) -> CallRecord:
    assert incident.lease_ends is not None
    return replace(
        incident.calls[0],
        step="undo scale out",
        at=incident.lease_ends,
        before={"desiredCount": 4},
        after={"desiredCount": 2},
    )


def test_a_lease_that_somebody_else_has_ended_is_no_nothing_to_do(scaled: Make, backdrop: Backdrop) -> None:
    """What we left as it is has an incident of its own: this one does not say that all is as it was."""
    out = scaled(phase=Phase.CLOSED, verdict=Verdict.FIXED, lent=False)
    left = render(out, context=backdrop(125))
    assert "You need to do nothing" not in left
    assert "changed by somebody else and was left as it is: see the incident about that" in " ".join(left.split())
    back = render(replace(out, calls=(*out.calls, _return(out))), context=backdrop(125))
    assert "You need to do nothing" in back
    assert "left as it is" not in back


def test_a_lease_that_was_returned(scaled: Make, backdrop: Backdrop) -> None:
    """Once it is back there is nothing to undo by hand."""
    out = scaled()
    text = render(replace(out, phase=Phase.CLOSED, calls=(*out.calls, _return(out))), context=backdrop(125))
    assert "Returned: what was changed was put back at 2025-03-02 05:16:00 UTC." in text
    assert "desiredCount 4 -> 2" in text
    assert "UNDO BY HAND" not in text


def test_a_lease_that_is_no_longer_ours(scaled: Make, backdrop: Backdrop) -> None:
    """When somebody else changed the value it is left, and said."""
    text = render(scaled(phase=Phase.CLOSED), context=backdrop(125))
    assert "Not put back by Nightshift: the value was no longer the one that it had set" in text
    assert "UNDO BY HAND" in text


def test_a_question_carries_everything_to_answer_it(asked: Make, backdrop: Backdrop) -> None:
    """What would be done, at what cost and risk, the two commands, and what silence means."""
    text = render(asked(), context=backdrop(3, Mode.APPROVE))
    assert text.startswith("APPROVE?  ")
    assert "It needs your answer before 07:16 UTC" in text
    assert "WANTS TO DO" in text
    assert "sqs:StartMessageMoveTask on orders-dlq" in text
    assert "Cost      nothing extra" in text
    assert "Risk      low: messages may be processed twice" in text
    assert "\n    nightshift approve 20250302T0314-1a2b3c4d\n" in text
    assert '\n    nightshift deny 20250302T0314-1a2b3c4d --why "…"\n' in text
    assert "If nobody answers before 07:16 UTC, nothing is done" in text


def test_an_id_cannot_smuggle_a_command(asked: Make, backdrop: Backdrop) -> None:
    """What is meant to be pasted into a shell is one word to the shell."""
    assert "nightshift approve 'x; rm -rf ~'\n" in render(asked(id="x; rm -rf ~"), context=backdrop(3, Mode.APPROVE))


def test_observe_says_what_would_have_been_done(held: Make, backdrop: Backdrop) -> None:
    """In mode observe the plan is shown, and that nothing was changed."""
    text = render(held("mode", None), context=backdrop(3, Mode.OBSERVE))
    assert text.startswith("WOULD ACT  ")
    assert "nothing was changed" in text
    assert "WOULD HAVE DONE" in text
    assert "DONE  nothing: no call was made that changes anything" in text
    assert "set the mode to approve or auto" in text


def test_a_hold_names_the_guardrail_and_its_numbers(held: Make, backdrop: Backdrop) -> None:
    """Which guardrail, its reason, the numbers it compared, and when it is asked again."""
    refusal = Refusal("target-budget", "4 of 4 are used up", {"used": 4, "limit": 4}, timedelta(hours=1), link="arn:x")
    text = render(held(refusal=refusal), context=backdrop(13))
    assert text.startswith("HELD  ")
    assert 'HELD BY  the guardrail "target budget"' in text
    assert "- used: 4" in text
    assert "- limit: 4" in text
    assert "asked again after 1 h" in text
    assert "It waits for this one to work: arn:x" in text


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_says_what_it_means_and_what_is_next(
    verdict: Verdict, redriven: Make, backdrop: Backdrop
) -> None:
    """No verdict leaves the reader alone."""
    text = render(redriven(verdict=verdict), context=backdrop())
    assert text.startswith(f"{verdict.value.upper()}  ")
    assert re.search(r"^  (You need|It needs|It can wait)", text, re.MULTILINE)
    assert re.search(r"^NEXT\n  - \S", text, re.MULTILINE)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("mode", Mode)
def test_every_phase_can_be_told(phase: Phase, mode: Mode, redriven: Make, backdrop: Backdrop) -> None:
    """`nightshift show` works at any time, also on a record with hardly anything in it."""
    full = redriven(phase=phase, verdict=None, closed_at=None)
    bare = replace(full, plan=None, diagnosis=None, calls=(), attempts=(), healthy_looks=0, config_hash="", group="")
    for incident in (full, bare):
        assert "\nNEXT\n" in render(incident, context=backdrop(mode=mode))


def test_escalation_says_what_was_tried(redriven: Make, backdrop: Backdrop) -> None:
    """Somebody who is woken must not try the same again."""
    tries = tuple(Attempt(n, "x", redriven().opened_at, Verdict.INEFFECTIVE, "still 4 letters") for n in (1, 2, 3))
    text = render(redriven(verdict=Verdict.ESCALATED, attempts=tries), context=backdrop())
    assert "It needs a person now" in text
    assert "Tried so far: Move 12 messages back to orders, 10 a second (3 attempts)." in text
    assert "attempt 3, 2025-03-02 03:14:00 UTC, ineffective: still 4 letters" in text


def test_a_denied_call_names_the_missing_permission(redriven: Make, backdrop: Backdrop) -> None:
    """Access denied is for a person to settle: which action, for whom."""
    error = "kms:Decrypt on arn:aws:kms:x: AccessDeniedException: User is not authorized"
    call = replace(redriven().calls[0], outcome=Outcome.NOT_DONE, error=error)
    text = render(redriven(verdict=Verdict.ESCALATED, calls=(call,)), context=backdrop())
    assert "AWS denied kms:Decrypt. Waiting does not help: grant kms:Decrypt to Nightshift's role" in text
    by_why = redriven(verdict=Verdict.ESCALATED, calls=(), why="sqs:GetQueueAttributes: AccessDenied")
    assert "AWS denied sqs:GetQueueAttributes." in render(by_why, context=backdrop())


def test_an_unknown_outcome_is_the_first_thing_to_check(redriven: Make, backdrop: Backdrop) -> None:
    """Not done and done are never guessed: UNKNOWN stands in DONE and in NEXT."""
    call = replace(redriven().calls[0], outcome=Outcome.UNKNOWN, after={}, count=3)
    text = render(redriven(calls=(call,)), context=backdrop())
    assert "DONE  3 calls, 1 of unknown outcome" in text
    assert "(3 times): UNKNOWN whether it happened" in text
    assert "ApproximateNumberOfMessages was 12" in text
    assert "last request id" in text
    assert "NEXT\n  - Check by hand whether sqs:StartMessageMoveTask on orders-dlq happened" in text
    assert "You need to do nothing." not in text


def test_messages_are_an_equation(redriven: Make, backdrop: Backdrop) -> None:
    """Moved = processed + returned + quarantined + remaining; what does not add up is shouted, one is singular."""
    ledger = Ledger(moved=12, processed=7, returned=2, quarantined=1, remaining=1, left=3, uncertain=1)
    text = render(redriven(ledger=ledger), context=backdrop())
    assert "moved 12 = processed 7 + returned 2 + quarantined 1 + remaining 1" in text
    assert "THIS DOES NOT ADD UP: 1 message not accounted for." in text
    assert "- 1 is stored in the quarantine bucket" in text
    assert "- 3 were looked at and left where they are (left)" in text
    assert "- up to 1 message may exist twice (uncertain): nobody knows whether its send happened" in text
    assert "MESSAGES" not in render(redriven(ledger=Ledger()), context=backdrop())


@pytest.mark.parametrize(
    "approval, sentence",
    [
        (("denied", "jane@example.com", "not tonight"), "Denied by jane@example.com: not tonight"),
        (("", "", ""), "Nobody answered the question in time."),
    ],
)
def test_an_answer_is_told_with_its_name(
    approval: tuple[str, str, str], sentence: str, asked: Make, backdrop: Backdrop
) -> None:
    """Who said no, and why; or that nobody said anything."""
    answer, by, why = approval
    opened = asked().opened_at
    question = Approval("x", asked_at=opened, expires_at=opened, answer=answer, by=by, why=why)
    closed = asked(phase=Phase.CLOSED, verdict=Verdict.REFUSED, approval=question)
    assert sentence in render(closed, context=backdrop(mode=Mode.APPROVE))


def test_a_timeline_is_short(redriven: Make, backdrop: Backdrop, event: Callable[..., TimelineEvent]) -> None:
    """The beginning and the end of a long story, in order."""
    events = [event(minutes, "look", f"look number {minutes}") for minutes in reversed(range(100))]
    text = render(redriven(), events, context=backdrop())
    assert text.index("look number 0\n") < text.index("look number 9\n") < text.index("look number 99\n")
    assert "… 60 events left out …" in text
    assert "look number 10\n" not in text


def test_nothing_from_outside_starts_a_line(redriven: Make, backdrop: Backdrop) -> None:
    """Other people's text cannot look like a heading of ours, nor be wider than the page."""
    forged = "x\n\nVERDICT\nFIXED  all is well " + "and well " * 60
    incident = redriven(why=forged, group=forged, links=(forged,), config_hash=forged)
    incident = replace(incident, finding=replace(incident.finding, symptom=forged, evidence=(forged,) * 50))
    text = render(incident, context=backdrop(title=forged))
    for line in text.splitlines()[2:]:
        assert not line.startswith(("VERDICT", "FIXED"))
        assert len(line) <= 100 or " " not in line.strip() or line.startswith("    ")
    assert "… and 30 more" in text


def test_a_plan_of_several_steps_and_a_question_of_cost(scaled: Make, backdrop: Backdrop) -> None:
    """Each step with its wait; what a call would change as before and after; what it costs while it is out."""
    full = scaled(phase=Phase.AWAITING, calls=(), verdict=None, lease_ends=None, attempts=())
    assert full.plan is not None
    plan = replace(full.plan, steps=full.plan.steps * 2)
    question = Approval(plan.hash, asked_at=full.opened_at, expires_at=full.opened_at + timedelta(hours=30))
    text = render(replace(full, plan=plan, approval=question), context=backdrop(3, Mode.APPROVE))
    assert "step 1, scale out, then wait 10 min and look" in text
    assert "desiredCount 2 -> 4" in text
    assert "Cost      $0.12 an hour, about $0.24 for 2 h" in text
    assert "Lasts     2 h, then it is taken back" in text
    assert "before 2025-03-03 09:14 UTC" in text


def test_long_lists_are_cut_and_say_so(redriven: Make, backdrop: Backdrop) -> None:
    """A report is read to its end: a hundred lines of calls are enough, and how many are left off is said."""
    full = redriven()
    text = render(replace(full, calls=full.calls * 130), context=backdrop())
    assert "… and 30 lines more" in text
    assert full.plan is not None
    step = replace(full.plan.steps[0], calls=full.plan.steps[0].calls * 130)
    text = render(replace(full, calls=(), plan=replace(full.plan, steps=(step,))), context=backdrop())
    assert "… and 30 lines more" in text


def test_loose_ends_can_wait_but_are_named(redriven: Make, backdrop: Backdrop) -> None:
    """Fixed, but somebody has to look at what was set aside."""
    ledger = Ledger(moved=12, processed=9, returned=2, quarantined=1, uncertain=2)
    text = render(redriven(ledger=ledger), context=backdrop(deployment="prod"))
    assert "It can wait for the morning, but not for ever: see NEXT." in text
    assert "- Look at the 1 message in quarantine: somebody has to mend or drop it." in text
    assert "- 2 messages failed again" in text
    assert "- Up to 2 messages may be processed twice" in text
    assert "deployment prod" in text


def test_what_was_called_elsewhere_is_named_in_full(redriven: Make, backdrop: Backdrop) -> None:
    """Another account or Region is the first thing to see about a call; at home the short name will do."""
    away = "arn:aws:sqs:us-east-1:444455556666:orders"
    call = replace(redriven().calls[0], resource=away)
    assert f"on {away}: done" in render(redriven(calls=(call,)), context=backdrop())


def test_access_denied_in_words_is_understood_too(redriven: Make, backdrop: Backdrop) -> None:
    """However the record says it, the missing action is named."""
    why = "access denied: sqs:StartMessageMoveTask on arn:aws:sqs:x is not granted"
    text = render(redriven(verdict=Verdict.ESCALATED, calls=(), why=why), context=backdrop())
    assert "AWS denied sqs:StartMessageMoveTask." in text


def test_a_cure_that_people_stopped_is_not_called_a_failure(redriven: Make, backdrop: Backdrop) -> None:
    """The kill switch in the middle of a cure: the report says who ended it, and what resuming does not do."""
    held = Refusal("kill-switch", "the kill switch is paused: asked to", retry_after=timedelta(minutes=1))
    text = render(redriven(verdict=Verdict.ESCALATED, refusal=held), context=backdrop())
    assert "Somebody stopped Nightshift in the middle of the cure" in text
    assert "could not cure" not in text
    assert "It is asked again" not in text


def test_a_command_names_its_deployment_so_that_it_can_be_typed_as_it_stands(asked: Make, backdrop: Backdrop) -> None:
    """Stack and Region stand in it: no file and no setting of the reader's machine is needed."""
    text = render(asked(), context=backdrop(3, Mode.APPROVE, deployment="prod"))
    for command in ("show", "approve", "deny"):
        assert f"nightshift {command} 20250302T0314-1a2b3c4d --stack nightshift-prod --region eu-central-1" in text


# -- severity, response, acknowledgement -------------------------------------------------------------------------------

CALLED = {"label": "Medium", "respond_within": timedelta(minutes=15), "deployment": "prod"}


@pytest.mark.parametrize("verdict", [Verdict.ESCALATED, Verdict.REVERTED, Verdict.UNVERIFIABLE, Verdict.BROKEN])
def test_who_is_wanted_is_told_how_soon_and_how_to_answer(verdict: Verdict, redriven: Make, backdrop: Backdrop) -> None:
    """The severity as people here call it, the response time, until when, and the command as it stands."""
    text = render(redriven(verdict=verdict), context=backdrop(**CALLED))
    assert "  Severity  SEV3, Medium: respond within 15 min, by 03:52 UTC\n" in text
    assert "    nightshift ack 20250302T0314-1a2b3c4d --stack nightshift-prod --region eu-central-1\n" in text


def test_a_question_is_told_with_its_response_time(asked: Make, backdrop: Backdrop) -> None:
    """Saying that you are on it is no answer, so both are there."""
    text = render(asked(), context=backdrop(**CALLED))
    assert "respond within 15 min, by 03:31 UTC" in text
    assert text.index("nightshift approve") < text.index("nightshift ack")


@pytest.mark.parametrize("verdict", [Verdict.FIXED, Verdict.RECOVERED, Verdict.REFUSED])
def test_who_is_not_wanted_is_not_hurried(verdict: Verdict, redriven: Make, backdrop: Backdrop) -> None:
    """The label stays, the clock does not tick."""
    text = render(redriven(verdict=verdict), context=backdrop(**CALLED))
    assert "  Severity  SEV3, Medium\n" in text
    assert "nightshift ack" not in text


def test_who_is_on_it_is_named(redriven: Make, backdrop: Backdrop) -> None:
    """With the time and the reason, and nobody is hurried any more."""
    word = Acknowledgement("arn:aws:iam::111122223333:user/eva", NIGHT + timedelta(minutes=30), "restoring <b>it</b>")
    text = render(redriven(verdict=Verdict.ESCALATED, acknowledged=word), context=backdrop(40, **CALLED))
    assert "  On it     arn:aws:iam::111122223333:user/eva, 2025-03-02 03:44:00 UTC: restoring" in text
    assert "respond within" not in text
    assert "nightshift ack" not in text


def test_the_next_level_is_told_why_it_is_told(redriven: Make, backdrop: Backdrop) -> None:
    """A subject of its own, a key of its own, how long nobody answered, and the whole report."""
    ended = redriven(verdict=Verdict.ESCALATED)
    notice = unanswered(ended, "L2", context=backdrop(53, **CALLED))
    assert notice.subject == "UNANSWERED, L2: orders-dlq - Dead letters pile up [SEV3]"
    assert (notice.key, notice.level) == ("unanswered:L2", "L2")
    assert "Nobody has said in 30 min that they are on it. This is for L2." in notice.body
    assert notice.body.startswith("ESCALATED  Dead letters pile up: orders-dlq")


def test_machines_are_told_the_same(redriven: Make, backdrop: Backdrop) -> None:
    """Label, seconds, and who is on it."""
    word = Acknowledgement("eva", NIGHT, "looking")
    document = to_json(redriven(acknowledged=word), context=backdrop(**CALLED))
    assert (document["severity_label"], document["respond_within_seconds"]) == ("Medium", 900)
    assert document["acknowledged"] == {"by": "eva", "at": "2025-03-02T03:14:00+00:00", "why": "looking"}
    assert to_json(redriven(), context=backdrop())["acknowledged"] is None
