"""Who is told next: each level once, in order, when its time has come, until somebody says that they are on it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from nightshift.config import Level, SeverityTable
from nightshift.errors import StoreUnavailable, Unsent
from nightshift.escalation import next_turn
from nightshift.incidents import Event
from nightshift.model import (
    Acknowledgement,
    Approval,
    Finding,
    Incident,
    Mode,
    Phase,
    Severity,
    SwitchState,
    Verdict,
)

from tests.support.toy import MINUTE, START, TABLE, Account, Crash, Night, Toy, policy, queue_arn

LEAD, CTO = Level(emails=("lead@example.com",)), Level(emails=("cto@example.com",), after=5 * MINUTE)
SOON = {Severity.SEV3: SeverityTable(label="P2", respond_within=10 * MINUTE)}
RULES = policy([], [], severities=SOON, escalation=(LEAD, CTO))


def incident(**more: Any) -> Incident:
    """An incident that ended a minute after the beginning, and needs a person."""
    facts: dict[str, Any] = {
        "id": "20260301T0300-12345678",
        "remediation": "toy",
        "target": queue_arn("orders"),
        "group": "system",
        "opened_at": START,
        "look_at": START,
        "deadline": START + 60 * MINUTE,
        "finding": Finding("toy", queue_arn("orders"), "sick"),
        "phase": Phase.CLOSED,
        "verdict": Verdict.ESCALATED,
        "closed_at": START,
    }
    return Incident(**(facts | more))


def turns(record: Incident, rules: Any = RULES) -> list[tuple[str, timedelta]]:
    """All turns there will be if nobody answers: who, and how long after the beginning."""
    found = []
    while (turn := next_turn(record, rules)) is not None:
        found.append((turn.level, turn.at - START))
        record = replace(record, notices=(*record.notices, f"unanswered:{turn.level}"))
    return found


# -- the rule, pure --------------------------------------------------------------------------------------------------


def test_the_first_level_is_told_after_the_response_time_and_each_other_after_its_own() -> None:
    """Ten minutes for whoever was told first, five more before the second level."""
    assert turns(incident()) == [("L1", 10 * MINUTE), ("L2", 15 * MINUTE)]


def test_a_level_that_says_nothing_has_the_response_time() -> None:
    """As in runbook 0: respond within an hour, escalate after two."""
    rules = policy([], [], escalation=(LEAD, LEAD, LEAD))
    hours = [timedelta(hours=each) for each in (1, 2, 3)]
    assert [at for _, at in turns(incident(severity=Severity.SEV2), rules)] == hours


def test_a_first_level_may_wait_a_little_longer() -> None:
    """Its own time is added to the response time, never taken from it."""
    rules = policy([], [], severities=SOON, escalation=(CTO,))
    assert turns(incident(), rules) == [("L1", 15 * MINUTE)]


def test_a_severity_may_say_itself_when_it_goes_on() -> None:
    """At once, or later than somebody must respond: the levels after the first one follow it."""
    for after, first in ((timedelta(0), 0), (30 * MINUTE, 30)):
        table = SeverityTable(respond_within=10 * MINUTE, escalate_after=after)
        rules = policy([], [], severities={Severity.SEV3: table}, escalation=(LEAD, CTO))
        assert turns(incident(), rules) == [("L1", first * MINUTE), ("L2", (first + 5) * MINUTE)]


@pytest.mark.parametrize("verdict", Verdict)
def test_ends_that_need_a_person_call_one(verdict: Verdict) -> None:
    """What is cured calls nobody, nor what somebody has forbidden or only watches."""
    wanted = verdict in {Verdict.ESCALATED, Verdict.REVERTED, Verdict.UNVERIFIABLE, Verdict.BROKEN}
    assert bool(turns(incident(verdict=verdict))) is wanted


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in {Phase.CLOSED, Phase.ENDING}])
def test_while_it_is_open_only_a_question_calls(phase: Phase) -> None:
    """From when it was asked, and not when it is answered."""
    asked = Approval("hash", START + MINUTE, START + 240 * MINUTE)
    record = incident(phase=phase, verdict=None, closed_at=None, approval=asked)
    assert turns(record) == ([("L1", 11 * MINUTE), ("L2", 16 * MINUTE)] if phase is Phase.AWAITING else [])
    assert turns(replace(record, approval=replace(asked, answer="approved"))) == []


def test_whoever_is_on_it_ends_it() -> None:
    """Also in the middle."""
    word = Acknowledgement("eva", START)
    assert turns(incident(acknowledged=word)) == []
    assert turns(incident(acknowledged=word, notices=("unanswered:L1",))) == []


def test_a_level_that_heard_the_question_does_not_hear_the_end() -> None:
    """Each is told once of an incident."""
    assert turns(incident(notices=("unanswered:L1",)))[0][0] == "L2"


def test_without_levels_nobody_is_told_again() -> None:
    """The default."""
    assert turns(incident(), policy([], [])) == []


# -- on an account ---------------------------------------------------------------------------------------------------


def hopeless(account: Account, **more: Any) -> Night:
    """A queue that no cure helps: its incident ends as escalated."""
    toy = more.pop("toy", None) or Toy(cures=False, max_attempts=1)
    rules = {"severities": SOON, "escalation": (LEAD, CTO), **more}
    return Night(account, toy, account.queue("orders", delay=5), **rules)


def later(here: Night, count: int) -> None:
    """Let minutes go by, with sweeps, and ticks for whatever they hand out."""
    for _ in range(count):
        here.account.clock.pass_(MINUTE)
        for each, at in here.sweep().due.items():
            if at <= here.account.clock():
                here.engine.tick(each)


def words(account: Account) -> list[str]:
    """The subjects' first words of what was told since the last time this was asked."""
    return [params["Subject"].partition(":")[0] for _, params in account.wire.made("sns:Publish")]


def on_it(account: Account, record: Incident, at: datetime | None = None) -> bool:
    """Somebody says that they are on it."""
    when = at or account.clock()
    return account.incidents.acknowledge(
        record.id, Acknowledgement("eva", when, "looking"), event=Event(when, "acknowledged", "eva is on it")
    )


TOLD = ["ESCALATED, needs you", "UNANSWERED, L1", "UNANSWERED, L2"]


def test_an_end_that_nobody_answers_goes_up_level_by_level(account: Account) -> None:
    """Told at the end, after ten minutes, after five more, and then never again."""
    here = hopeless(account)
    ended = here.until_closed()
    later(here, 9)
    assert words(account) == TOLD[:1]
    later(here, 1)
    assert words(account) == TOLD[:2]
    later(here, 5)
    assert words(account) == TOLD
    later(here, 60)
    assert words(account) == TOLD
    assert here.kinds()[-2:] == ["unanswered", "unanswered"]
    after = here.incident
    assert (after.verdict, after.why, after.closed_at) == (ended.verdict, ended.why, ended.closed_at)
    assert after.remind_at is None


def test_levels_may_follow_each_other_by_the_minute(account: Account) -> None:
    """A reminder lets go of its record at once."""
    here = hopeless(account, escalation=(LEAD, Level(emails=CTO.emails, after=MINUTE)))
    here.until_closed()
    later(here, 11)
    assert words(account) == TOLD


def test_a_reminder_is_no_second_end(account: Account) -> None:
    """Its transition is another, so whoever counts ends counts one."""
    here = hopeless(account)
    here.until_closed()
    later(here, 20)
    kinds = [params["MessageAttributes"]["transition"]["StringValue"] for _, params in account.wire.made("sns:Publish")]
    assert kinds == ["closed", "unanswered", "unanswered"]


def test_somebody_who_is_on_it_ends_the_calling(account: Account) -> None:
    """Between the first level and the second; the record keeps who, when and why."""
    here = hopeless(account)
    here.until_closed()
    later(here, 10)
    assert on_it(account, here.incident)
    later(here, 60)
    assert words(account) == TOLD[:2]
    assert here.incident.acknowledged is not None
    assert here.incident.acknowledged.why == "looking"
    assert account.incidents.reminders(account.clock()) == []


def test_a_word_counts_once(account: Account) -> None:
    """The first is kept; of an incident that there is not none is."""
    here = hopeless(account)
    here.until_closed()
    assert on_it(account, here.incident)
    assert not on_it(account, here.incident, START)
    assert here.incident.acknowledged is not None
    assert here.incident.acknowledged.at == account.clock()
    assert not on_it(account, replace(here.incident, id="20260301T0300-00000000"))


def test_a_word_that_comes_before_the_end_holds_for_the_end(account: Account) -> None:
    """Whoever is on it while the cure is tried is on it when it has failed; the tick's own writes keep the word."""
    here = hopeless(account)
    here.look()
    assert on_it(account, here.incident)
    here.until_closed()
    later(here, 60)
    assert words(account) == TOLD[:1]
    assert here.incident.acknowledged is not None


def test_a_target_that_is_healthy_again_calls_nobody(account: Account) -> None:
    """Somebody has mended it and said nothing: after a few healthy sweeps nobody else is woken."""
    here = hopeless(account)
    here.until_closed()
    account.set(here.target, DelaySeconds="0")
    later(here, 30)
    assert words(account) == TOLD[:1]
    assert here.kinds()[-1] == "healed"


def test_a_question_that_nobody_answers_goes_up_too(account: Account) -> None:
    """From when it was asked; an answer ends it."""
    here = hopeless(account, toy=Toy(mode=Mode.APPROVE))
    here.look()
    assert here.incident.phase is Phase.AWAITING
    here.minutes(9)
    assert words(account) == ["APPROVE? by 07"]
    here.minutes(7)
    assert words(account) == ["APPROVE? by 07", "UNANSWERED, L1", "UNANSWERED, L2"]
    assert here.incident.phase is Phase.AWAITING


def test_a_question_that_somebody_is_on_waits_in_silence(account: Account) -> None:
    """An acknowledgement is no answer: the question stays open."""
    here = hopeless(account, toy=Toy(mode=Mode.APPROVE))
    here.look()
    assert on_it(account, here.incident)
    here.minutes(20)
    assert words(account) == ["APPROVE? by 07"]
    assert here.incident.phase is Phase.AWAITING


def test_the_kill_switch_silences_nobody(account: Account) -> None:
    """Telling changes nothing at any target."""
    here = hopeless(account)
    here.until_closed()
    account.switch(SwitchState.HALTED)
    later(here, 15)
    assert words(account) == TOLD


def test_a_reminder_writes_nothing_but_its_own_record(account: Account) -> None:
    """The lock, the quiet pointer and the target are as they were: what ended stays ended."""
    here = hopeless(account)
    here.until_closed()
    written, quiet = list(account.wire.written), account.incidents.pointers()
    later(here, 15)
    assert account.wire.written == written
    assert account.incidents.pointers() == quiet
    assert account.incidents.open_ids() == []


@pytest.mark.parametrize("nth", range(3))
def test_a_crash_tells_twice_rather_than_never(account: Account, nth: int) -> None:
    """Whatever call of a reminder's tick is its last, each level hears of it, and in order."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(10 * MINUTE)
    seen = [0]

    def dies(name: str, params: dict[str, Any]) -> None:
        if name in {"dynamodb:UpdateItem", "sns:Publish", "dynamodb:TransactWriteItems"}:
            seen[0] += 1
            if seen[0] == nth + 1:
                raise Crash

    account.wire.after.append(dies)
    with pytest.raises(Crash):
        here.engine.tick(ended.id)
    account.wire.after.clear()
    later(here, 20)
    assert list(dict.fromkeys(words(account))) == TOLD
    assert len(words(account)) <= len(TOLD) + 1


def test_what_cannot_be_told_is_told_later(account: Account) -> None:
    """Nothing is recorded as told that was not."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(10 * MINUTE)
    account.wire.fail("sns:Publish", "Throttling", times=7)
    for _ in range(7):
        with pytest.raises(Unsent):
            here.engine.tick(ended.id)
    assert here.incident.notices == ended.notices
    later(here, 1)
    assert words(account) == TOLD[:2]


def test_a_lost_answer_tells_no_level_twice_in_the_record(account: Account) -> None:
    """The record's write arrived though its answer did not: the next tick goes on from there."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(10 * MINUTE)
    account.wire.lose("dynamodb:TransactWriteItems", ReadTimeoutError(endpoint_url="x"))
    with pytest.raises(Exception, match="TransactWriteItems"):
        here.engine.tick(ended.id)
    later(here, 20)
    assert words(account) == TOLD


def test_two_ticks_at_once_tell_once(account: Account) -> None:
    """A doubled message finds nothing to claim."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(10 * MINUTE)
    here.engine.tick(ended.id)
    here.engine.tick(ended.id)
    assert words(account) == TOLD[:2]


def test_a_record_that_was_closed_before_there_were_levels_is_left_alone(account: Account) -> None:
    """Nobody is woken by a new configuration for what ended long ago."""
    here = hopeless(account, escalation=())
    ended = here.until_closed()
    account.clock.pass_(60 * MINUTE)
    now = Night(account, Toy(cures=False), here.target, severities=SOON, escalation=(LEAD,))
    assert now.engine.tick(ended.id) is None
    later(now, 5)
    assert words(account) == TOLD[:1]


def test_levels_that_are_gone_are_not_waited_for(account: Account) -> None:
    """A deployment that takes the levels away takes away their calls."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(60 * MINUTE)
    now = Night(account, Toy(cures=False), here.target)
    now.engine.tick(ended.id)
    assert words(account) == TOLD[:1]
    assert account.incidents.reminders(account.clock()) == []


def test_what_ended_broken_calls_however_healthy_it_looks(account: Account) -> None:
    """Its last change may be half made, so somebody has to look."""
    here = hopeless(account)
    ended = here.until_closed()
    account.clock.pass_(10 * MINUTE)
    claim = account.incidents.claim(ended.id, account.clock())
    assert claim is not None
    broken = replace(claim.incident, verdict=Verdict.BROKEN, remind_at=account.clock() + 5 * MINUTE)
    account.incidents.reminded(claim, broken, ())
    account.set(here.target, DelaySeconds="0")
    later(here, 20)
    assert words(account) == TOLD


def test_a_closed_record_that_nobody_can_read_is_given_up_without_a_second_end(account: Account) -> None:
    """Its end was told; all that is lost is that somebody is reminded of it."""
    here = hopeless(account)
    ended = here.until_closed()
    key = {"pk": {"S": f"INCIDENT#{ended.id}"}, "sk": {"S": "INCIDENT"}}
    values = {":b": {"S": "{"}}
    account.aws.client("dynamodb").update_item(
        TableName=TABLE, Key=key, UpdateExpression="SET body = :b", ExpressionAttributeValues=values
    )
    for _ in range(8):
        account.clock.pass_(10 * MINUTE)
        with suppress(StoreUnavailable):
            here.engine.tick(ended.id)
    assert words(account) == TOLD[:1]
    assert account.incidents.reminders(account.clock()) == []


def test_a_record_from_before_there_were_levels_can_be_read(account: Account) -> None:
    """Without the words that it could not know: nobody is on it, and nobody is due."""
    here = hopeless(account, escalation=())
    ended = here.until_closed()
    client = account.aws.client("dynamodb")
    key = {"pk": {"S": f"INCIDENT#{ended.id}"}, "sk": {"S": "INCIDENT"}}
    body = json.loads(client.get_item(TableName=TABLE, Key=key)["Item"]["body"]["S"])
    assert {body.pop("acknowledged", 0), body.pop("remind_at", 0)} == {None}
    values = {":b": {"S": json.dumps(body)}}
    client.update_item(TableName=TABLE, Key=key, UpdateExpression="SET body = :b", ExpressionAttributeValues=values)
    assert account.incidents.get(ended.id) == ended
