"""What is lent goes back, once, and is told as what it is: also where a tick dies, or AWS does not answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from nightshift import loans
from nightshift.config import Level, SeverityTable
from nightshift.errors import Unreadable
from nightshift.model import Incident, Phase, Severity, Step, Verdict
from nightshift.report.context import given_back, left_as_it_is

from tests.nightshift.test_engine import CURE, HOUR, Kept, lend, night, tick_all
from tests.support.toy import MINUTE, Account, Crash, Night, Toy, change


def of_loans(account: Account) -> list[Incident]:
    """Incidents about what is out."""
    return [each for each in account.incidents.recent() if each.remediation == loans.NAME]


def remind(account: Account, here: Night) -> None:
    """What is due to be told again."""
    for due, _ in account.incidents.reminders(account.clock()):
        here.engine.tick(due)


def until(here: Night, so: Callable[[], bool], most: int = 120) -> None:
    """Minutes pass until it is so."""
    for _ in range(most):
        if so():
            return
        here.minutes(1)
    raise AssertionError("it never came to that")


def refused(operation: str) -> ClientError:
    """What AWS takes for no request of its kind."""
    answer: Any = {
        "Error": {"Code": "InvalidAttributeValue", "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    return ClientError(answer, operation)


class Pair(Toy):
    """A step of two calls, of which only the first is a loan."""

    name: ClassVar[str] = "pair"

    def _step(self, arn: str, number: int, facts: Any) -> Step:
        raised = change(arn, {"VisibilityTimeout": "99"}, {"VisibilityTimeout": "30"})
        cured = change(arn, {"DelaySeconds": "0"}, {"DelaySeconds": facts["delay"]})
        return replace(super()._step(arn, number, facts), calls=(raised, cured))


def test_what_falls_sick_again_while_something_is_lent_is_told_once(account: Account) -> None:
    """A lease may last a day, and nothing new is opened about the target meanwhile. What is lent stays where it is."""
    here = night(account, Toy(lease=6 * HOUR))
    here.minutes(3)
    assert here.incident.phase is Phase.LEASED
    account.mails()
    for _ in range(2):
        account.set(here.target, DelaySeconds="5")
        here.minutes(60)
        account.set(here.target, DelaySeconds="0")
        here.minutes(60)
    [mail] = account.mails()
    assert mail.startswith("SICK AGAIN, ON LEASE  ")
    assert "though what it lent is still out. It needs a person." in " ".join(mail.split())
    assert here.incident.lent


def test_our_own_taking_back_of_half_a_step_is_nobody_elses_change(account: Account) -> None:
    """The second call was refused, the first was taken back, and then the tick died: the next one goes on with that."""
    here = night(account, Pair(lease=10 * MINUTE, max_attempts=2, cooldown=MINUTE, patience=2 * MINUTE))
    calls = [0]

    def before(name: str, params: Any) -> None:
        del params
        calls[0] += name == CURE
        if name == CURE and calls[0] == 2:
            raise refused("SetQueueAttributes")

    def after(name: str, params: Any) -> None:
        del params
        if name == CURE and calls[0] == 3:
            calls[0] = 100
            raise Crash

    account.wire.before.append(before)
    account.wire.after.append(after)
    with pytest.raises(Crash):
        here.look()
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    account.clock.pass_(4 * MINUTE)
    here.minutes(4)
    assert of_loans(account) == []
    assert any(each.step.startswith("undo ") for each in here.incident.calls)
    kinds = {each.kind for each in account.incidents.events(here.ids[0])}
    assert "undone" in kinds
    assert "superseded" not in kinds


def test_what_was_taken_back_of_an_earlier_loan_says_nothing_of_a_later_one(account: Account) -> None:
    """The second was changed by a person, and is left: that is told as left, and not as back."""
    here = night(account, lend(cures=False, max_attempts=3, patience=2 * MINUTE, cooldown=MINUTE))
    until(here, lambda: bool(here.ids) and len(here.incident.attempts) == 2 and here.incident.phase is Phase.VERIFYING)
    account.set(here.target, DelaySeconds="0")
    here.minutes(2)
    assert here.incident.phase is Phase.LEASED
    account.set(here.target, VisibilityTimeout="60")
    incident = here.until_closed()
    assert left_as_it_is(incident)
    assert [each.verdict for each in of_loans(account)] == [Verdict.ESCALATED]


def test_what_went_back_at_the_third_try_is_back(account: Account) -> None:
    """One of its two calls had gone back at the first: the last word on each counts, and nobody is paged about it."""
    here = night(
        account,
        lend(undoes=True),
        escalation=(Level(emails=("boss@example.com",)),),
        severities={Severity.SEV2: SeverityTable(respond_within=30 * MINUTE)},
    )
    here.minutes(3)
    account.wire.fail(CURE, "InvalidAttributeValue")
    here.minutes(8)
    account.wire.fail("sqs:UntagQueue", "ThrottlingException")
    incident = here.until_closed(120)
    account.mails()
    for _ in range(60):
        account.clock.pass_(MINUTE)
        tick_all(account, here)
        remind(account, here)
    assert account.mails() == []
    assert given_back(incident)
    assert not left_as_it_is(incident)


def test_a_need_that_cannot_be_told_for_a_moment_gives_no_loan_up(account: Account) -> None:
    """One throttled read: the next try tells, and gives it back."""
    Kept.needed[:] = [Unreadable("rds:DescribeDBInstances", "Throttling"), ""]
    here = night(account, Kept(lease=10 * MINUTE, cures=False, max_attempts=1, patience=MINUTE))
    incident = here.until_closed(60)
    assert not incident.lent
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


def test_tries_to_give_an_earlier_loan_back_do_not_count_against_a_later_one(account: Account) -> None:
    """Each has its whole hour."""
    settings: dict[str, Any] = {"max_attempts": 3, "patience": 2 * MINUTE, "cooldown": MINUTE, "deadline": 6 * HOUR}
    here = night(account, lend(cures=False, **settings))
    here.minutes(1)
    account.wire.fail(CURE, "InvalidAttributeValue", times=10)
    until(here, lambda: len(here.incident.attempts) == 2)
    account.set(here.target, DelaySeconds="0")
    here.minutes(4)
    assert here.incident.phase is Phase.LEASED
    account.wire.fail(CURE, "InvalidAttributeValue", times=2)
    assert not here.until_closed(120).lent


def test_what_may_have_been_taken_back_has_not_fixed_it(account: Account) -> None:
    """The answer to the taking back was lost, and then the target healed: nothing is out, and nothing is on lease."""
    here = night(account, lend(cures=False, max_attempts=2, patience=2 * MINUTE, cooldown=MINUTE))
    here.minutes(1)
    account.wire.lose(CURE, ReadTimeoutError(endpoint_url="https://sqs"))
    until(here, lambda: account.attribute(here.target, "VisibilityTimeout") == "30", 20)
    account.set(here.target, DelaySeconds="0")
    account.mails()
    here.minutes(7)
    assert here.incident.verdict is Verdict.RECOVERED
    assert not any("ON LEASE" in mail for mail in account.mails())
