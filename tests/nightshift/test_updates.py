"""Between the first word and the last: once in each span, what has changed, until somebody is on it or it is over."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ReadTimeoutError
from nightshift.config import Level, SeverityTable
from nightshift.errors import Unsent
from nightshift.escalation import MOST_UPDATES, next_update, updated
from nightshift.incidents import Event, Incidents
from nightshift.model import Acknowledgement, Approval, Incident, Mode, Phase, Severity, SwitchState, Verdict

from tests.nightshift.test_escalation import hopeless, incident, later, on_it, words
from tests.support.toy import MINUTE, START, Account, Crash, Night, Toy, policy

EVERY = 30 * MINUTE
OFTEN = {Severity.SEV3: SeverityTable(label="P2", update_every=EVERY)}
RULES = policy([], [], severities=OFTEN)
ALONE: dict[str, Any] = {"severities": OFTEN, "escalation": ()}
"""no levels: nothing but updates"""
END = "ESCALATED, needs you"


def leap(here: Night, *minutes: int) -> None:
    """Let time go by in leaps, each with one sweep at its end, and ticks for whatever that hands out."""
    for each in minutes:
        here.account.clock.pass_((each - 1) * MINUTE)
        later(here, 1)


def updates(account: Account) -> list[str]:
    """The first words of what was told after the end."""
    return [word.partition(",")[0] for word in words(account) if word != END]


# -- the rule, pure --------------------------------------------------------------------------------------------------


def test_one_comes_in_each_span_since_a_person_is_wanted() -> None:
    """Numbered by the span, so that a look that comes late or twice makes none of its own."""
    record = incident()
    due = next_update(record, RULES, START)
    assert due is not None
    assert (due.number, due.at) == (1, START + EVERY)
    told = updated(record, due)
    for late in (EVERY, EVERY + 29 * MINUTE):
        again = next_update(told, RULES, START + late)
        assert again is not None
        assert again.at == START + 2 * EVERY


def test_what_was_missed_is_not_made_up_for() -> None:
    """After hours in which nothing ran there is one update, and the next one comes in its time."""
    late = START + 5 * EVERY + MINUTE
    due = next_update(incident(), RULES, late)
    assert due is not None
    assert due.number == 5
    after = next_update(updated(incident(), due), RULES, late)
    assert after is not None
    assert after.at == START + 6 * EVERY


def test_only_the_newest_is_kept() -> None:
    """A record does not grow by being told of; what else was told stays."""
    record = incident(notices=("closed:escalated", "unanswered:L1"))
    for _ in range(9):
        due = next_update(record, RULES, START)
        assert due is not None
        record = updated(record, due)
    assert record.notices == ("closed:escalated", "unanswered:L1", f"update:{int(START.timestamp())}:9")


def test_it_ends_after_a_day_of_half_hours() -> None:
    """Everything has a limit."""
    assert timedelta(days=1) == MOST_UPDATES * EVERY
    assert next_update(incident(), RULES, START + timedelta(days=1)) is not None
    assert next_update(incident(), RULES, START + timedelta(days=1) + EVERY) is None


def test_a_question_and_an_end_are_counted_each_for_itself() -> None:
    """Whoever was asked for hours and then hears the end hears again half an hour later, not after hours."""
    asked = Approval("hash", START, START + 240 * MINUTE)
    waiting = incident(phase=Phase.AWAITING, verdict=None, closed_at=None, approval=asked)
    due = next_update(waiting, RULES, START + 3 * EVERY)
    assert due is not None
    ended = replace(
        updated(waiting, due), phase=Phase.CLOSED, verdict=Verdict.ESCALATED, closed_at=START + 100 * MINUTE
    )
    after = next_update(ended, RULES, START + 100 * MINUTE)
    assert after is not None
    assert (after.number, after.at) == (1, START + 130 * MINUTE)


@pytest.mark.parametrize(
    "record",
    [
        incident(acknowledged=Acknowledgement("eva", START)),
        incident(verdict=Verdict.FIXED),
        incident(verdict=Verdict.REFUSED),
        incident(phase=Phase.OPEN, verdict=None),
        incident(severity=Severity.SEV4),
    ],
    ids=["somebody is on it", "cured", "forbidden", "open", "not so bad"],
)
def test_nobody_hears_where_nobody_is_wanted(record: Incident) -> None:
    """Or where nobody asked to hear."""
    assert next_update(record, RULES, START + 9 * EVERY) is None


# -- on an account ---------------------------------------------------------------------------------------------------


def test_people_hear_every_half_hour_what_has_changed(account: Account) -> None:
    """What stands in the timeline since the last notice, when they hear again, and how to end it."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    first = account.wire.made("sns:Publish")[-1][1]["Message"]
    assert "The next update comes at" in first
    leap(here, 29)
    assert updates(account) == []
    account.incidents.remark(ended.id, Event(account.clock(), "remark", "eva looked at the disk"))
    leap(here, 2, 30)
    assert updates(account) == ["UPDATE 1", "UPDATE 2"]
    one, two = (params["Message"] for _, params in account.wire.made("sns:Publish")[-2:])
    assert "remark: eva looked at the disk" in one
    assert "The target has not been seen healthy yet." in one
    assert "Nothing is new in the record." in two
    for text in (one, two):
        assert "needs a person: nobody has said in" in text
        assert f"nightshift ack {ended.id}" in text


def test_somebody_who_is_on_it_ends_them(account: Account) -> None:
    """At once."""
    here = hopeless(account, **ALONE)
    here.until_closed()
    leap(here, 31)
    assert on_it(account, here.incident)
    leap(here, 30, 30)
    assert updates(account) == ["UPDATE 1"]
    assert here.incident.remind_at is None


def test_what_is_healthy_again_is_told_as_resolved_once(account: Account) -> None:
    """Those who were promised an update hear that it is over; its verdict stays what it was."""
    here = hopeless(account, **ALONE)
    here.until_closed()
    leap(here, 31)
    account.set(here.target, DelaySeconds="0")
    leap(here, 1, 1, 1, 1, 30, 30, 30)
    one, over = updates(account)
    assert (one, over[:14]) == ("UPDATE 1", "RESOLVED after")
    text = account.wire.made("sns:Publish")[-1][1]["Message"]
    assert "its verdict stays what it was. There are no more updates." in " ".join(text.split())
    assert f"nightshift timeline {here.incident.id}" in text
    assert (here.incident.verdict, here.incident.remind_at) == (Verdict.ESCALATED, None)


def test_the_kill_switch_silences_nobody(account: Account) -> None:
    """Telling changes nothing at any target."""
    here = hopeless(account, **ALONE)
    here.until_closed()
    written = list(account.wire.written)
    account.switch(SwitchState.HALTED)
    leap(here, 31, 30)
    assert updates(account) == ["UPDATE 1", "UPDATE 2"]
    assert account.wire.written == written


def test_levels_and_updates_do_not_disturb_each_other(account: Account) -> None:
    """A level is told once, in its time; those who were told first hear in theirs."""
    level = Level(emails=("lead@example.com",))
    soon = {Severity.SEV3: SeverityTable(respond_within=10 * MINUTE, update_every=EVERY)}
    here = hopeless(account, severities=soon, escalation=(level,))
    here.until_closed()
    leap(here, 11, 20, 30)
    assert updates(account) == ["UNANSWERED", "UPDATE 1", "UPDATE 2"]


def test_a_question_is_repeated_until_it_is_answered(account: Account) -> None:
    """And its answer ends it: what becomes of it is told by itself."""
    here = hopeless(account, toy=Toy(mode=Mode.APPROVE), **ALONE)
    here.look()
    assert here.incident.phase is Phase.AWAITING
    leap(here, 30, 30)
    told = [word.partition(",")[0] for word in words(account)]
    assert told == ["APPROVE? by 07", "UPDATE 1", "UPDATE 2"]
    assert here.incident.phase is Phase.AWAITING


def test_the_last_one_says_that_it_is(account: Account) -> None:
    """After a day nobody waits for another."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    account.clock.pass_(timedelta(days=1))
    here.engine.tick(ended.id)
    assert updates(account) == [f"UPDATE {MOST_UPDATES}"]
    assert "This is the last update." in account.wire.made("sns:Publish")[-1][1]["Message"]
    assert here.incident.remind_at is None


@pytest.mark.parametrize("nth", range(5))
def test_a_crash_never_makes_two_of_one(account: Account, nth: int) -> None:
    """Whatever call of its tick is the last: at most one in each span, and the next span has its own."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    account.clock.pass_(EVERY)
    seen = [0]

    def dies(name: str, params: dict[str, Any]) -> None:
        if name.startswith(("dynamodb:UpdateItem", "sns:", "dynamodb:Transact", "dynamodb:GetItem")):
            seen[0] += 1
            if seen[0] == nth + 1:
                raise Crash

    account.wire.after.append(dies)
    with contextlib.suppress(Crash):
        here.engine.tick(ended.id)
    account.wire.after.clear()
    leap(here, 5, 24)
    assert updates(account) in ([], ["UPDATE 1"])
    leap(here, 2, 28)
    assert updates(account)[-1] == "UPDATE 2"
    assert len(updates(account)) == len(set(updates(account)))


def test_one_that_could_not_be_told_is_in_the_next(account: Account) -> None:
    """Whether SNS took it is not known, so it is not sent again: what it said, the next one says."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    account.clock.pass_(EVERY)
    account.incidents.remark(ended.id, Event(account.clock(), "remark", "eva looked at the disk"))
    account.wire.fail("sns:Publish", "Throttling")
    with pytest.raises(Unsent):
        here.engine.tick(ended.id)
    assert updates(account) == []
    leap(here, 20, 10)
    assert updates(account) == ["UPDATE 2"]
    assert "eva looked at the disk" in account.wire.made("sns:Publish")[-1][1]["Message"]


def test_the_end_of_it_is_told_twice_rather_than_never(account: Account) -> None:
    """Resolved is an end: the record's write is lost, and the next tick tells it again."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    account.set(here.target, DelaySeconds="0")
    leap(here, 1, 1, 1, 1)
    account.clock.pass_(EVERY)
    account.wire.lose("sns:Publish", ReadTimeoutError(endpoint_url="x"))
    with pytest.raises(Unsent):
        here.engine.tick(ended.id)
    later(here, 2)
    assert [word.startswith("RESOLVED") for word in updates(account)][-1]
    assert here.incident.remind_at is None


def test_who_was_told_that_it_is_over_hears_no_update_after_that(account: Account) -> None:
    """Its tick died of telling, and it is sick again before the next one: that is an incident of its own."""
    here = hopeless(account, **ALONE)
    ended = here.until_closed()
    account.set(here.target, DelaySeconds="0")
    leap(here, 1, 1, 1, 1)
    account.clock.pass_(EVERY)
    account.wire.lose("sns:Publish", ReadTimeoutError(endpoint_url="x"))
    with pytest.raises(Unsent):
        here.engine.tick(ended.id)
    account.set(here.target, DelaySeconds="5")
    with patch.object(Incidents, "seen_healthy", return_value=False):
        account.clock.pass_(MINUTE)
        here.engine.tick(ended.id)
    assert {word.split()[0] for word in updates(account)} == {"RESOLVED"}
    told = account.incidents.get(ended.id)
    assert told is not None
    assert told.remind_at is None
