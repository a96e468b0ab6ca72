"""One incident after the other, from its first sign to its end, on an account in this process."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, ClassVar
from unittest.mock import Mock, patch

import pytest
from botocore.exceptions import ReadTimeoutError
from nightshift import loans
from nightshift.calendar import Calendar, Dates, Day, Freeze, Window
from nightshift.config import Level, Limits, SeverityTable, Storm
from nightshift.decide import Close
from nightshift.engine import _unclear
from nightshift.errors import Denied, Refused, StoreUnavailable, Unreadable, Unsent
from nightshift.guardrails import Brake, _within
from nightshift.incidents import Claim, Event, Incidents
from nightshift.model import (
    Acknowledgement,
    Arn,
    Call,
    CallRecord,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Json,
    Ledger,
    Mode,
    Observation,
    Outcome,
    Phase,
    Plan,
    Severity,
    Sick,
    Signal,
    SwitchState,
    Target,
    Unknown,
    Verdict,
)
from nightshift.remediation import Progress, Reader, Readings, ReportOnly
from nightshift.signals import queue_url
from pydantic import PositiveInt

from tests.support.toy import (
    ACCOUNT,
    MINUTE,
    START,
    Account,
    Crash,
    Moody,
    Night,
    Toy,
    change,
    policy,
    queue_arn,
)

CURE = "sqs:SetQueueAttributes"
HOUR = 60 * MINUTE


def night(account: Account, toy: Toy | None = None, **more: Any) -> Night:
    """A night with one sick queue."""
    return Night(account, toy or Toy(), account.queue("orders", delay=5), **more)


def answer(account: Account, incident: Incident, word: str) -> bool:
    """A person's answer to the question that is open."""
    asked = incident.approval
    assert asked is not None
    given = replace(asked, answer=word, by="arn:aws:iam::1:user/eva", why="because", answered_at=account.clock())
    said = Event(account.clock(), "answered", word)
    return account.incidents.answer(incident.id, given, asked=asked, now=account.clock(), event=said)


# -- the ways it ends --------------------------------------------------------------------------------------------------


def test_what_is_sick_is_acted_on_once_and_proven(account: Account) -> None:
    """Sick → confirmed → intent → acted → settled → healthy looks → fixed, told once."""
    here = night(account, Toy(confirm=2, looks=2))
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert account.wire.written == [CURE]
    assert here.kinds() == ["opened", "intent", "acted", "settled", "closed"]
    assert [mail.split()[0] for mail in account.mails()] == ["FIXED"]
    assert incident.calls[0].after == {"DelaySeconds": "0"}
    assert account.incidents.pointers() == {}


def test_the_trail_names_the_incident(account: Account) -> None:
    """The write role is assumed under the incident's id, twice named, with the plan's policy."""
    here = night(account)
    incident = here.until_closed()
    [(_, assumed)] = account.wire.made("sts:AssumeRole")
    assert assumed["RoleSessionName"] == assumed["SourceIdentity"] == incident.id
    assert assumed["RoleArn"].endswith("-toy")
    assert assumed["Policy"] == (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sqs:SetQueueAttributes"],'
        f'"Resource":["{here.target.arn}"]}}]}}'
    )


def test_what_heals_by_itself_is_left_alone(account: Account) -> None:
    """A target that recovers before it is confirmed is not touched, and that is what the report says."""
    here = night(account, Toy(confirm=3, looks=2))
    here.look()
    account.set(here.target, DelaySeconds="0")
    here.minutes(3)
    assert here.incident.verdict is Verdict.RECOVERED
    assert account.wire.written == []
    assert "RECOVERED" in account.mails()[0]


class Losing(Toy):
    """What is gone of it was lost, or nobody can read whether it was."""

    unread: ClassVar[bool] = False

    def lost(self, read: Reader, target: Target, incident: Incident) -> str:
        if self.unread:
            raise Denied("cloudwatch:GetMetricData", "AccessDenied")
        return "two of them were lost" if incident.target == str(target.arn) else ""


class LosingUnseen(Losing):
    """Nobody can read it."""

    unread: ClassVar[bool] = True


@pytest.mark.parametrize(
    "toy, verdict, why",
    [
        (Losing(confirm=3, looks=2), Verdict.ESCALATED, "two of them were lost"),
        (LosingUnseen(confirm=3, looks=2), Verdict.UNVERIFIABLE, "but whether anything was lost cannot be read"),
    ],
)
def test_what_is_gone_because_it_was_lost_has_not_recovered(
    account: Account, toy: Toy, verdict: Verdict, why: str
) -> None:
    """A healthy look is no end of it: a person hears of the loss, and of what nobody can tell."""
    here = night(account, toy)
    here.look()
    account.set(here.target, DelaySeconds="0")
    here.minutes(3)
    assert here.incident.verdict is verdict
    assert why in here.incident.why
    assert len(account.mails()) == 1
    assert account.wire.written == []


@pytest.mark.parametrize(
    "toy, verdict, why",
    [
        (Losing(), Verdict.ESCALATED, "; but two of them were lost"),
        (LosingUnseen(), Verdict.UNVERIFIABLE, "but whether anything was lost cannot be read"),
    ],
)
def test_what_was_lost_in_part_is_not_fixed_though_the_rest_was_cured(
    account: Account, toy: Toy, verdict: Verdict, why: str
) -> None:
    """The cure was made and shows; a person hears of the loss all the same, once."""
    here = night(account, toy)
    incident = here.until_closed()
    assert account.wire.written != []
    assert incident.verdict is verdict
    assert why in incident.why
    assert [verdict.name in mail for mail in account.mails()] == [True]


def test_observe_says_what_it_would_do(account: Account) -> None:
    """In mode observe nothing is written, and the report shows the plan."""
    here = night(account, Toy(mode=Mode.OBSERVE))
    incident = here.until_closed()
    assert account.wire.written == []
    assert incident.plan is not None
    assert incident.refusal is not None
    assert (incident.verdict, incident.refusal.guard) == (Verdict.REFUSED, "mode")
    [mail] = account.mails()
    assert "set the delay to 0" in mail
    here.minutes(5)
    assert account.mails() == []


@pytest.mark.hostile(32)
def test_what_does_not_help_is_tried_again_and_handed_over_once(account: Account) -> None:
    """Ineffective counts; cooldown between attempts; at most max_attempts; one page; then quiet while it stays sick."""
    here = night(account, Toy(cures=False, max_attempts=2, patience=2 * MINUTE))
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert [attempt.verdict for attempt in incident.attempts] == [Verdict.INEFFECTIVE] * 2
    assert incident.attempts[1].started_at - incident.attempts[0].started_at >= timedelta(minutes=10)
    assert account.wire.written == [CURE] * 2
    assert len(account.mails()) == 1
    here.minutes(10)
    assert len(here.ids) == 1
    assert account.mails() == []


def test_quiet_ends_with_health(account: Account) -> None:
    """After three healthy sweeps the next sickness is a new incident."""
    here = night(account, Toy(cures=False, max_attempts=1, patience=MINUTE))
    here.until_closed()
    account.set(here.target, DelaySeconds="0")
    here.minutes(2)
    account.set(here.target, DelaySeconds="7")
    here.minutes(1)
    assert len(here.ids) == 1  # two healthy sweeps are not three
    account.set(here.target, DelaySeconds="0")
    here.minutes(3)
    account.set(here.target, DelaySeconds="7")
    here.minutes(1)
    assert len(here.ids) == 2


def test_unknown_never_acts_and_ends_unverifiable(account: Account) -> None:
    """A sick target that cannot be seen any more is not acted on, and at its deadline somebody is told."""
    here = night(account, Toy(confirm=2, deadline=10 * MINUTE))
    here.look()
    account.wire.fail("sqs:GetQueueAttributes", "ServiceUnavailable", status=503, times=1000)
    incident = here.until_closed()
    assert incident.verdict is Verdict.UNVERIFIABLE
    assert account.wire.written == []
    assert len(account.mails()) == 1


def test_acted_and_blind_is_unverifiable(account: Account) -> None:
    """What cannot be seen after the fix is not counted as cured."""
    here = night(account)
    here.look()
    assert account.wire.written == [CURE]
    account.wire.fail("sqs:GetQueueAttributes", "ServiceUnavailable", status=503, times=1000)
    incident = here.until_closed()
    assert incident.verdict is Verdict.UNVERIFIABLE
    assert incident.attempts[0].verdict is Verdict.UNVERIFIABLE


def test_a_diagnosis_that_says_never_ends_it(account: Account) -> None:
    """Refused without a delay: closed as refused, told."""
    here = night(account, Toy(refuses="poison"))
    incident = here.until_closed()
    assert (incident.verdict, incident.why) == (Verdict.REFUSED, "the diagnosis says no")


# -- would it have healed by itself? -----------------------------------------------------------------------------------


class Measured(Toy):
    """A toy whose finding says how long messages are delayed; up to a second is well."""

    confirm: PositiveInt = 2

    def detect(self, target: Target, seen: Readings) -> Observation:
        found = super().detect(target, seen)
        if not isinstance(found, Sick):
            return found
        delay = float(found.finding.symptom.split()[-2])
        signals = (Signal("delay", delay, 1.0, "now", "seconds"),)
        return Sick(replace(found.finding, signals=signals)) if delay > 1 else Healthy("hardly delayed")


def test_what_was_already_recovering_is_left_alone(account: Account) -> None:
    """Nearer to well at every look: nothing is done, and the verdict is that it recovered."""
    here = night(account, Measured())
    for delay in (90, 70, 50, 30, 10):
        account.set(here.target, DelaySeconds=str(delay))
        here.look()
        account.clock.pass_(MINUTE)
    assert here.incident.refusal is not None
    assert here.incident.refusal.guard == "recovering"
    assert "50 → 30 → 10" in here.incident.refusal.reason
    account.set(here.target, DelaySeconds="1")
    assert here.until_closed().verdict is Verdict.RECOVERED
    assert account.wire.written == []


def test_what_stops_getting_better_is_cured(account: Account) -> None:
    """It is left alone for as long as it recovers, and not a look longer."""
    here = night(account, Measured())
    for delay in (90, 70, 50, 50):
        account.set(here.target, DelaySeconds=str(delay))
        here.look()
        account.clock.pass_(MINUTE)
    assert here.until_closed().verdict is Verdict.FIXED
    assert here.incident.attempts[0].started_at == START + 3 * MINUTE


def test_what_gets_better_after_a_cure_is_the_cures_doing(account: Account) -> None:
    """The trend is that of before: what a second attempt sees begins anew."""
    here = night(account, Measured(cures=False, patience=MINUTE, max_attempts=2))
    here.look()
    here.minutes(1)
    assert len(here.incident.attempts) == 1
    assert here.until_closed().verdict is Verdict.ESCALATED
    assert len(here.incident.attempts) == 2


CALM = Storm(targets=99, floor=99)


def others(account: Account, count: int, **more: Any) -> list[Target]:
    """Sick queues of the same system that Nightshift only watches."""
    return [account.queue(f"other-{n}", delay=5, mode=Mode.OBSERVE, **more) for n in range(count)]


def test_what_healed_together_with_those_that_were_left_alone_was_not_our_cure(account: Account) -> None:
    """Everything sick in the same way is well again, treated or not: recovered, and the attempt proves nothing."""
    peers = others(account, 2)
    here = Night(account, Toy(confirm=2), account.queue("orders", delay=5), *peers, storm=CALM)
    here.look()
    here.minutes(1)
    [mine] = [each for each in map(account.incidents.get, here.ids) if each and each.target == str(here.target.arn)]
    assert account.wire.written == [CURE]
    for peer in peers:
        account.set(peer, DelaySeconds="0")
    here.until_closed()
    ended = account.incidents.get(mine.id)
    assert ended is not None
    assert ended.verdict is Verdict.RECOVERED
    assert ended.attempts[0].verdict is Verdict.UNVERIFIABLE
    assert "all 2 that were sick like it" in ended.why


@pytest.mark.parametrize("healed", [0, 1])
def test_a_cure_is_proven_by_those_that_were_left_alone_and_are_still_sick(account: Account, healed: int) -> None:
    """One that is still sick is proof, and the report says so."""
    peers = others(account, 2)
    here = Night(account, Toy(confirm=2), account.queue("orders", delay=5), *peers, storm=CALM)
    here.look()
    here.minutes(1)
    for peer in peers[:healed]:
        account.set(peer, DelaySeconds="0")
    here.minutes(5)
    [mine] = [each for each in map(account.incidents.get, here.ids) if each and each.target == str(here.target.arn)]
    assert mine.verdict is Verdict.FIXED
    assert f"of 2 like it that were left alone {2 - healed} are still sick" in mine.why


def test_those_that_were_treated_themselves_of_another_system_or_well_are_no_control(account: Account) -> None:
    """Both are cured, at the same time or one after the other: each by its own cure, as far as anybody can tell."""
    peers = [
        account.queue("treated", delay=5),
        account.queue("elsewhere", delay=5, group="another", mode=Mode.OBSERVE),
        account.queue("well"),
    ]
    here = Night(account, Toy(confirm=2), account.queue("orders", delay=5), *peers, storm=CALM)
    here.look()
    here.minutes(1)
    account.set(peers[1], DelaySeconds="0")
    here.until_closed()
    incidents = [each for each in map(account.incidents.get, here.ids) if each]
    cured = [each for each in incidents if each.attempts]
    assert [each.verdict for each in cured] == [Verdict.FIXED] * 2
    assert {each.why for each in cured} == {"messages are not delayed"}


def test_who_was_treated_before_midnight_is_no_control_after_it(account: Account) -> None:
    """Budgets are counted by the day, and a control is one that nobody has touched in the hour either."""
    account.clock.pass_(timedelta(hours=20, minutes=57))  # 23:57
    treated = account.queue("treated", delay=5)
    here = Night(account, Toy(cures=False, max_attempts=1, patience=MINUTE), treated, storm=CALM)
    here.until_closed()
    account.clock.pass_(2 * MINUTE)
    assert account.clock().hour == 0
    mine = account.queue("orders", delay=5)
    there = Night(account, Toy(), mine, treated, storm=CALM)
    there.look()
    account.set(treated, DelaySeconds="0")
    there.minutes(5)
    [cured] = [each for each in map(account.incidents.get, there.ids) if each and each.target == str(mine.arn)]
    assert (cured.controls, cured.verdict) == ((), Verdict.FIXED)


def test_what_fell_sick_long_before_is_no_control(account: Account) -> None:
    """It has another cause, as far as anybody can tell: that it heals now says nothing of our cure."""
    [peer] = others(account, 1)
    here = Night(account, Toy(confirm=2), account.queue("orders"), peer, storm=CALM)
    here.look()
    here.minutes(1)
    account.clock.pass_(61 * MINUTE)
    account.set(here.target, DelaySeconds="5")
    here.look()
    here.minutes(1)
    assert account.wire.written == [CURE]
    account.set(peer, DelaySeconds="0")
    here.minutes(5)
    assert (here.incident.verdict, here.incident.why) == (Verdict.FIXED, "messages are not delayed")


def test_those_that_cannot_be_seen_any_more_say_nothing(account: Account) -> None:
    """Gone, or gone from the configuration: the cure stands as it did."""
    [peer] = others(account, 1)
    here = Night(account, Toy(confirm=2), account.queue("orders", delay=5), peer, storm=CALM)
    here.look()
    here.minutes(1)
    account.aws.client("sqs").delete_queue(QueueUrl=queue_url(peer.arn))
    here.minutes(5)
    [mine] = [each for each in map(account.incidents.get, here.ids) if each and each.target == str(here.target.arn)]
    assert (mine.verdict, mine.why) == (Verdict.FIXED, "messages are not delayed")


# -- nothing happened --------------------------------------------------------------------------------------------------


class Idle(Toy):
    """A toy whose queue is as good as well while it is not used: so much that nobody can tell."""

    def detect(self, target: Target, seen: Readings) -> Observation:
        found = super().detect(target, seen)
        return Healthy("nothing was sent", idle=True) if isinstance(found, Healthy) else found


def test_what_was_sick_and_is_not_used_since_has_not_recovered(account: Account) -> None:
    """That nothing happened is no health: nobody is told that it recovered; at the deadline nobody can tell."""
    here = night(account, Idle(confirm=3, deadline=10 * MINUTE))
    here.look()
    account.set(here.target, DelaySeconds="0")
    assert here.until_closed().verdict is Verdict.UNVERIFIABLE
    assert here.incident.closed_at is not None
    assert here.incident.closed_at >= START + 10 * MINUTE


def test_a_cure_after_which_nothing_happened_is_not_proven(account: Account) -> None:
    """Acted, and then too little to tell: unverifiable, not fixed."""
    here = night(account, Idle())
    incident = here.until_closed()
    assert account.wire.written == [CURE]
    assert incident.verdict is Verdict.UNVERIFIABLE
    assert "nothing was sent" in incident.why


def test_a_control_that_is_not_used_says_nothing(account: Account) -> None:
    """It may be as sick as before."""
    peers = others(account, 1)
    here = Night(account, Idle(confirm=2), account.queue("orders", delay=5), *peers, storm=CALM)
    here.look()
    here.minutes(1)
    account.set(peers[0], DelaySeconds="0")
    seen = [each for each in map(account.incidents.get, here.ids) if each and each.target == str(here.target.arn)]
    close = Close(Verdict.FIXED, "well", attempt=Verdict.FIXED)
    case = Mock(now=account.clock(), remediation=here.policy.remediations["toy"])
    assert here.engine._compared(case, seen[0], close) == close


def test_what_is_idle_opens_nothing(account: Account) -> None:
    """It is well enough to be left alone."""
    here = Night(account, Idle(), account.queue("orders"))
    here.look()
    here.minutes(5)
    assert here.ids == []


# -- what only people can cure -----------------------------------------------------------------------------------------

ADVICE = ("set the delay back: aws sqs set-queue-attributes …", "ask who set it")


def test_what_only_people_can_cure_is_told_with_what_to_do(account: Account) -> None:
    """Cause, evidence and advice in one report, nothing written, and then quiet while it stays sick."""
    here = night(account, Toy(advises=ADVICE))
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert incident.plan is None
    assert account.attribute(here.target, "DelaySeconds") == "5"
    [mail] = account.mails()
    told = [
        "Nothing was changed.",
        "Only people can cure this: somebody delayed them.",
        "since Monday",
        "Set the delay back",
        "Ask who set it.",
    ]
    assert [text for text in told if text not in " ".join(mail.split())] == []
    here.minutes(10)
    assert len(here.ids) == 1
    assert account.mails() == []


class Thorough(Toy):
    """A toy that finds out more right before it is told, which takes a while."""

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        if "began" not in notes:
            notes["began"] = read.now().isoformat()
            raise Refused("evidence", "on its way", retry_after=MINUTE)
        return replace(diagnosis, evidence=(*diagnosis.evidence, f"counted since {notes['began']}"))


class Blind(Toy):
    """A toy that may not find out more."""

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        raise Denied("logs:StartQuery", "AccessDeniedException")


def test_what_is_dear_to_find_out_is_begun_once_and_told(account: Account) -> None:
    """Right before people are told; what it has begun stands on the record until then."""
    here = night(account, Thorough(advises=ADVICE))
    here.look()
    assert here.incident.open
    assert here.until_closed().verdict is Verdict.ESCALATED
    [mail] = account.mails()
    assert f"counted since {START.isoformat()}" in " ".join(mail.split())


def test_what_cannot_be_found_out_does_not_keep_the_rest_from_being_told(account: Account) -> None:
    """The report says what is missing."""
    here = night(account, Blind(advises=ADVICE))
    assert here.until_closed().verdict is Verdict.ESCALATED
    [mail] = account.mails()
    assert "logs:StartQuery" in mail
    assert "since Monday" in mail


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("switch", SwitchState)
def test_to_tell_needs_no_mode_and_no_switch(account: Account, mode: Mode, switch: SwitchState) -> None:
    """Nothing is written, so nothing has to be allowed."""
    here = night(account, Toy(advises=ADVICE, mode=mode))
    account.incidents.set_switch(switch, reason="test", by="eva", now=account.clock())
    assert here.until_closed().verdict is Verdict.ESCALATED
    assert len(account.mails()) == 1


def test_what_is_only_told_waits_while_people_are_at_work(account: Account) -> None:
    """In a maintenance window the failure may be the work itself: it is told when the window has closed."""
    target = account.queue("orders", delay=5, maintenance=("sunday",))
    here = Night(account, Toy(advises=ADVICE), target, calendar=Calendar(windows=(SUNDAY,)))
    here.look()
    here.minutes(59)
    assert here.incident.open
    assert here.until_closed().closed_at == START + 60 * MINUTE


def test_what_is_only_told_waits_while_too_much_is_sick_at_once(account: Account) -> None:
    """The storm brake has told people already: no report for each target."""
    here = night(account, Toy(advises=ADVICE, confirm=2))
    here.look()
    brake = Brake(engaged=True, reason="half of everything is sick", since=account.clock(), sick=9)
    account.incidents.set_brake(brake)
    here.minutes(5)
    assert here.incident.open
    assert here.incident.refusal is not None
    assert here.incident.refusal.guard == "storm"
    account.set(here.target, DelaySeconds="0")
    assert here.until_closed().verdict is Verdict.RECOVERED


def test_what_was_tried_before_only_people_could_help_stays_told(account: Account) -> None:
    """An attempt that did not help, then a cause for people: the report names both."""

    class Learning(Toy):
        def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
            found = super().diagnose(read, target, finding)
            return replace(found, advice=ADVICE) if account.wire.written else found

    here = night(account, Learning(cures=False, patience=2 * MINUTE))
    incident = here.until_closed()
    assert (incident.verdict, len(incident.attempts)) == (Verdict.ESCALATED, 1)
    [mail] = account.mails()
    assert "Tried so far: set the delay to 0 (1 attempt)." in mail
    assert "Ask who set it." in mail
    assert "Nothing was changed." not in mail


def test_a_cure_that_is_under_way_is_stopped_where_only_people_can_go_on(account: Account) -> None:
    """Between two steps the world became one that nothing is planned for: what is left goes to people."""

    class Turning(Toy):
        def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
            found = super().diagnose(read, target, finding)
            return replace(found, advice=ADVICE) if account.wire.written else found

    here = night(account, Turning(steps=2))
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert account.attribute(here.target, "DelaySeconds") == "5"
    assert [attempt.verdict for attempt in incident.attempts] == [Verdict.INEFFECTIVE]
    assert "only people can cure what is left" in incident.why


class Telling(ReportOnly, Toy):  # its plan is ReportOnly's
    """A remediation that only tells, and forgets to say what to do."""


def test_a_report_without_advice_acts_on_nothing(account: Account) -> None:
    """A bug in a remediation that only tells ends refused, with the cause."""
    here = night(account, Telling())
    incident = here.until_closed()
    assert (incident.verdict, account.wire.written) == (Verdict.REFUSED, [])
    assert "somebody delayed them" in incident.why
    call = Call("sqs", "SetQueueAttributes", str(here.target.arn))
    assert Telling().reconcile(None, call, START) is Outcome.UNKNOWN  # type: ignore[arg-type] # it reads nothing


def test_explaining_what_only_people_can_cure_says_what_to_do(account: Account) -> None:
    """And plans nothing."""
    here = night(account)
    told = here.engine.explain(here.target, Toy(advises=ADVICE, mode=Mode.OBSERVE))
    assert (told.plan, told.advice, told.refusals) == (None, ADVICE, ())


# -- a person's yes ----------------------------------------------------------------------------------------------------


def test_approve_asks_once_and_acts_once(account: Account) -> None:
    """Asked, answered, acted once: a second answer is no answer."""
    here = night(account, Toy(mode=Mode.APPROVE))
    here.look()
    here.minutes(3)
    assert here.incident.phase is Phase.AWAITING
    assert [mail.split()[0] for mail in account.mails()] == ["APPROVE?"]
    assert answer(account, here.incident, "approved")
    assert not answer(account, here.incident, "denied")
    here.look()
    assert account.wire.written == [CURE]
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert account.wire.written == [CURE]


@pytest.mark.hostile(27)
def test_an_approval_is_used_once(account: Account) -> None:
    """The second attempt asks again: a yes is for one application."""
    here = night(account, Toy(mode=Mode.APPROVE, cures=False, patience=MINUTE, cooldown=MINUTE))
    here.look()
    answer(account, here.incident, "approved")
    here.minutes(6)
    assert account.wire.written == [CURE]
    assert here.incident.phase is Phase.AWAITING
    assert len(account.mails()) == 2


@pytest.mark.parametrize("name", [CURE, "sts:AssumeRole"])
def test_a_yes_that_came_to_nothing_is_asked_for_again_aloud(account: Account, name: str) -> None:
    """Turned away at the door, the yes is used up: people hear the same question a second time."""
    here = night(account, Toy(mode=Mode.APPROVE))
    here.look()
    answer(account, here.incident, "approved")
    account.wire.fail(name, "ThrottlingException")
    here.minutes(5)
    assert (here.incident.phase, account.wire.written) == (Phase.AWAITING, [])
    assert [mail.split()[0] for mail in account.mails()] == ["APPROVE?", "APPROVE?"]
    here.minutes(5)
    assert account.mails() == []


def test_the_same_plan_is_asked_for_aloud_before_each_attempt(account: Account) -> None:
    """Somebody has undone the first cure: the second attempt is the same plan, and another question."""
    here = night(account, Toy(mode=Mode.APPROVE, patience=MINUTE, cooldown=MINUTE))
    here.look()
    first = here.incident.approval
    answer(account, here.incident, "approved")
    here.look()
    account.set(here.target, DelaySeconds="5")
    here.minutes(6)
    second = here.incident.approval
    assert first is not None
    assert second is not None
    assert (second.plan_hash, second.answer) == (first.plan_hash, "")
    assert [mail.split()[0] for mail in account.mails()] == ["APPROVE?", "APPROVE?"]


def test_no_means_no(account: Account) -> None:
    """Denied: closed as refused, with the person's reason, and nothing done."""
    here = night(account, Toy(mode=Mode.APPROVE))
    here.look()
    assert answer(account, here.incident, "denied")
    here.look()
    assert here.incident.verdict is Verdict.REFUSED
    assert "because" in here.incident.why
    assert account.wire.written == []


def test_a_question_expires(account: Account) -> None:
    """Nobody answers: refused at the expiry, not acted on by a late yes."""
    here = night(account, Toy(mode=Mode.APPROVE), limits=Limits(approval_expiry=5 * MINUTE))
    here.look()
    asked = here.incident
    here.minutes(5)
    assert here.incident.verdict is Verdict.REFUSED
    assert not answer(account, asked, "approved")
    assert account.wire.written == []


@pytest.mark.hostile(27)
def test_an_answer_after_expiry_is_late(account: Account) -> None:
    """A yes that arrives in the minute in which the question expires is not used."""
    here = night(account, Toy(mode=Mode.APPROVE), limits=Limits(approval_expiry=5 * MINUTE))
    here.look()
    account.clock.pass_(6 * MINUTE)
    assert answer(account, here.incident, "approved")
    here.look()
    assert here.incident.verdict is Verdict.REFUSED
    assert account.wire.written == []


@pytest.mark.hostile(27)
def test_a_changed_plan_is_asked_for_again(account: Account) -> None:
    """Approved was another plan than the one that the world now asks for: a new question."""
    here = night(account, Toy(mode=Mode.APPROVE))
    here.look()
    first = here.incident.approval
    answer(account, here.incident, "approved")
    account.set(here.target, DelaySeconds="9")
    here.look()
    second = here.incident.approval
    assert first is not None
    assert second is not None
    assert second.plan_hash != first.plan_hash
    assert second.answer == ""
    assert account.wire.written == []
    assert len(account.mails()) == 2


def test_an_approved_incident_that_is_held_says_why_it_was_not_done(account: Account) -> None:
    """Approved, but held until the approval expired: the reason names the hold, and no second answer is taken."""
    here = night(account, Toy(mode=Mode.APPROVE), limits=Limits(approval_expiry=5 * MINUTE))
    here.look()
    answer(account, here.incident, "approved")
    account.switch(SwitchState.PAUSED)
    here.minutes(1)
    assert not answer(account, here.incident, "denied")  # it would not be heeded, so it is not taken
    here.minutes(5)
    assert here.incident.verdict is Verdict.REFUSED
    assert "kill-switch" in here.incident.why
    assert account.wire.written == []


# -- what AWS does -----------------------------------------------------------------------------------------------------


def test_a_lost_answer_is_found_out_and_never_sent_again(account: Account) -> None:
    """A time-out after the effect: one call, its outcome found by looking, and the line in the report is one."""
    here = night(account)
    account.wire.lose(CURE, ReadTimeoutError(endpoint_url="https://sqs"))
    here.look()
    assert here.incident.phase is Phase.ACTING
    assert [record.outcome for record in here.incident.calls] == [Outcome.UNKNOWN]
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert account.wire.written == [CURE]
    assert [record.outcome for record in incident.calls] == [Outcome.DONE]


def test_a_lost_request_is_not_counted(account: Account) -> None:
    """A 5xx without effect: found by looking that nothing happened; the attempt is not counted, and is made again."""
    here = night(account)
    account.wire.fail(CURE, "InternalFailure", status=500)
    here.look()
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert len(incident.attempts) == 1
    assert account.wire.written == [CURE]
    assert [record.outcome for record in incident.calls] == [Outcome.NOT_DONE, Outcome.DONE]


def test_reality_is_not_asked_before_a_late_request_has_landed(account: Account) -> None:
    """A request whose answer was lost may still take effect for a minute, so until then "not done" proves nothing."""
    here = night(account)
    account.wire.fail(CURE, "InternalFailure", status=500)
    here.look()
    account.clock.pass_(timedelta(seconds=30))
    account.aws.client("dynamodb").update_item(  # as if somebody made it due
        TableName="nightshift",
        Key={"pk": {"S": f"INCIDENT#{here.ids[0]}"}, "sk": {"S": "INCIDENT"}},
        UpdateExpression="SET due_at = :now",
        ExpressionAttributeValues={":now": {"S": account.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")}},
    )
    assert here.engine.tick(here.ids[0]) is not None
    assert here.incident.phase is Phase.ACTING
    assert account.wire.written == []


def test_an_outcome_that_nobody_can_tell_counts_as_done(account: Account) -> None:
    """Unknown stays unknown in the report, is not repeated, and verification decides."""
    here = night(account, Toy(calls=2))
    account.wire.lose("sqs:TagQueue", ReadTimeoutError(endpoint_url="https://sqs"))
    here.look()
    here.minutes(3)
    assert account.wire.written[0] == "sqs:TagQueue"
    incident = here.until_closed()
    assert account.wire.written.count("sqs:TagQueue") <= len(incident.attempts) + 1


def test_denied_half_way_names_what_is_missing(account: Account) -> None:
    """Access denied is final: stop, hand over, name the action to grant."""
    here = night(account, Toy(calls=3))
    account.wire.fail(CURE, "AccessDenied", status=403)
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert CURE in incident.why
    assert account.wire.written == ["sqs:TagQueue"] * 2
    [mail] = account.mails()
    assert "sqs:SetQueueAttributes" in mail
    assert [(record.outcome, record.count) for record in incident.calls] == [(Outcome.DONE, 2), (Outcome.NOT_DONE, 1)]


def test_denied_in_the_diagnosis_names_what_is_missing(account: Account) -> None:
    """The same where it was only a read."""
    here = night(account)
    denied = [0]

    def rule(name: str, params: dict[str, Any]) -> None:
        denied[0] += name == "sqs:GetQueueAttributes"
        if denied[0] == 3:  # the sweep's, the look's, the diagnosis's
            account.wire.before.remove(rule)
            account.wire.fail("sqs:GetQueueAttributes", "AccessDenied", status=403)
            account.wire.before[-1](name, params)

    account.wire.before.append(rule)
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert "AccessDenied" in incident.why
    assert "sqs:GetQueueAttributes" in incident.why


@pytest.mark.parametrize("name", [CURE, "sts:AssumeRole"])
def test_throttled_is_later_and_not_counted(account: Account, name: str) -> None:
    """Turned away at the door: nothing happened, nothing is counted, the cooldown does not stand in the way."""
    here = night(account)
    account.wire.fail(name, "ThrottlingException")
    here.look()
    assert here.incident.phase is Phase.OPEN
    assert here.incident.attempts == ()
    incident = here.until_closed(10)
    assert incident.verdict is Verdict.FIXED
    assert len(incident.attempts) == 1


def test_a_rejected_request_counts(account: Account) -> None:
    """AWS refused the request as made: the attempt failed, nothing else is tried at once."""
    here = night(account, Toy(max_attempts=1))
    account.wire.fail(CURE, "InvalidAttributeValue")
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert incident.attempts[0].verdict is Verdict.INEFFECTIVE


# -- the kill switch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.HALTED])
def test_the_kill_switch_stops_between_two_calls_of_a_step(account: Account, state: SwitchState) -> None:
    """Flipped after the first call: the second is not made; what was begun ends as ineffective."""
    here = night(account, Toy(calls=2))
    flipped: list[str] = []

    def flip(name: str, params: dict[str, Any]) -> None:
        if name == "sqs:TagQueue" and not flipped:
            flipped.append(name)
            account.switch(state)

    account.wire.after.append(flip)
    here.look()
    assert account.wire.written == ["sqs:TagQueue"]
    here.minutes(5)
    assert account.wire.written == ["sqs:TagQueue"]
    account.switch(SwitchState.ON)
    account.clock.pass_(timedelta(minutes=10))
    assert here.until_closed().verdict is Verdict.FIXED


def test_nothing_begins_while_it_is_off_and_the_deadline_ends_it(account: Account) -> None:
    """Halted before anything began: held, then closed as refused at the deadline."""
    account.switch(SwitchState.HALTED)
    here = night(account, Toy(deadline=20 * MINUTE))
    incident = here.until_closed()
    assert incident.verdict is Verdict.REFUSED
    assert account.wire.written == []
    assert "kill-switch" in incident.why


def test_paused_takes_back_what_is_at_work(account: Account) -> None:
    """While a step of ours settles, pausing makes its undo calls, which stop or take back."""
    Moody.says[:] = [Progress.WAIT]
    here = night(account, Moody(undoes=True))
    here.look()
    account.switch(SwitchState.PAUSED)
    here.minutes(1)
    assert account.wire.written == [CURE, "sqs:UntagQueue"]
    assert here.incident.phase is Phase.OPEN


def test_halted_writes_nothing_and_still_ends(account: Account) -> None:
    """Halted while a step settles: not even the undo is made; at the deadline somebody is told that it is still out."""
    Moody.says[:] = [Progress.WAIT]
    here = night(account, Moody(undoes=True, deadline=10 * MINUTE))
    here.look()
    account.switch(SwitchState.HALTED)
    incident = here.until_closed()
    assert account.wire.written == [CURE]
    assert incident.verdict is Verdict.ESCALATED
    assert "could not be stopped" in incident.why


def test_a_step_without_undo_settles_while_paused(account: Account) -> None:
    """There is nothing to stop: the cure that was made is verified, and called what it is."""
    here = night(account)
    here.look()
    account.switch(SwitchState.PAUSED)
    assert here.until_closed().verdict is Verdict.FIXED


# -- what is lent ------------------------------------------------------------------------------------------------------


def lend(**more: Any) -> Toy:
    """A toy that raises something for ten minutes."""
    return Toy(lease=10 * MINUTE, **more)


def tick_all(account: Account, here: Night) -> None:
    """Work on whatever is open."""
    for each in account.incidents.open_ids():
        here.engine.tick(each)


def not_back(account: Account, here: Night) -> Incident:
    """The incident about the loan that is not back."""
    [found] = [each for each in account.incidents.recent() if each.remediation == loans.NAME]
    assert account.incidents.links(here.incident.id) == (found.id,)
    assert account.incidents.links(found.id) == (here.incident.id,)
    return found


def test_what_was_lent_is_given_back(account: Account) -> None:
    """Fixed, on lease, and back at its end."""
    here = night(account, lend())
    here.minutes(3)
    assert here.incident.phase is Phase.LEASED
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert not incident.lent
    assert [mail[:20].split("  ")[0] for mail in account.mails()] == ["FIXED, ON LEASE", "FIXED"]


def test_after_a_loan_nothing_is_planned_until_aws_surely_says_what_was_there_before(account: Account) -> None:
    """Sick again at once: the next incident waits three minutes, or our own value would be what it goes back to."""
    here = night(account, lend(cooldown=MINUTE))
    here.until_closed()
    first = here.incident
    assert first.verdict is Verdict.FIXED
    account.set(here.target, DelaySeconds="5")
    here.minutes(1)
    assert here.incident.id != first.id
    assert here.incident.refusal is not None
    assert here.incident.refusal.guard == "cooldown"
    here.minutes(3)
    assert first.closed_at is not None
    assert here.incident.attempts[0].started_at >= first.closed_at + 3 * MINUTE


def test_what_is_too_dear_is_not_done(account: Account) -> None:
    """What a loan would cost is compared with what one application may: refused, told with the figures, not done."""
    here = night(account, lend(dollars=6.0), limits=Limits(dollars_per_action=0.99))
    incident = here.until_closed()
    assert incident.verdict is Verdict.REFUSED
    assert incident.refusal is not None
    assert incident.refusal.guard == "cost"
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert "$1.00" in account.mails()[-1]


def test_nobody_pays_what_nobody_knows(account: Account) -> None:
    """A price that is not known refuses."""
    here = night(account, lend(dollars=None))
    assert here.until_closed().verdict is Verdict.REFUSED
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


def test_a_day_s_money_is_spent_once(account: Account) -> None:
    """What the first loan may cost leaves too little for a second one, though it was given back."""
    targets = [account.queue(name, delay=5) for name in ("orders", "letters")]
    here = Night(
        account, lend(dollars=6.0, deadline=40 * MINUTE), *targets, limits=Limits(dollars_per_day=1.5), storm=CALM
    )
    here.until_closed(120)
    assert account.incidents.dollars(account.clock()) == 1.0
    ends = [incident.verdict for incident in map(account.incidents.get, here.ids) if incident is not None]
    assert sorted(ends, key=str) == [Verdict.FIXED, Verdict.REFUSED]


def test_what_somebody_else_changed_is_left(account: Account) -> None:
    """The value is no longer ours: it is left as it is, and said."""
    here = night(account, lend())
    here.minutes(3)
    account.set(here.target, VisibilityTimeout="60")
    incident = here.until_closed()
    assert account.attribute(here.target, "VisibilityTimeout") == "60"
    assert incident.verdict is Verdict.FIXED
    assert "somebody else" in incident.why
    own = not_back(account, here)
    assert (own.verdict, own.severity) == (Verdict.ESCALATED, Severity.SEV3)
    assert own.diagnosis is not None
    assert own.diagnosis.evidence == (f"DelaySeconds of {here.target.arn}: 5 -> 0",)
    assert [mail.split("  ")[0] for mail in account.mails()] == ["FIXED, ON LEASE", "FIXED", "ESCALATED"]


def test_what_did_not_help_is_taken_back(account: Account) -> None:
    """Not cured: what was lent goes back at once, before the next attempt and before the hand-over."""
    here = night(account, lend(cures=False, max_attempts=2, patience=MINUTE, cooldown=MINUTE))
    incident = here.until_closed()
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert incident.verdict is Verdict.REVERTED
    raised = [params["Attributes"].get("VisibilityTimeout") for _, params in account.wire.made(CURE)]
    assert raised == ["99", "30", "99", "30"]
    undone = next(each.at for each in account.incidents.events(incident.id) if each.kind == "undone")
    assert incident.attempts[1].started_at >= undone + 3 * MINUTE  # until AWS surely says what was there before


def test_what_cannot_be_given_back_is_tried_again_and_then_told(account: Account) -> None:
    """An undo that AWS refuses is tried twelve times, then a person must."""
    here = night(account, lend())
    here.minutes(3)
    account.wire.fail(CURE, "InvalidAttributeValue", times=100)
    incident = here.until_closed(120)
    assert incident.verdict is Verdict.ESCALATED
    assert "NOT be given back" in incident.why
    assert account.attribute(here.target, "VisibilityTimeout") == "99"


class Kept(Toy):
    """A toy whose queue runs on what was lent, as the test says."""

    name: ClassVar[str] = "kept"
    needed: ClassVar[list[str | Unreadable]] = []
    """what :meth:`still_needed` answers or raises, in order; the last answer is repeated"""

    def still_needed(self, read: Reader, plan: Plan) -> str:
        said = self.needed.pop(0) if len(self.needed) > 1 else self.needed[0]
        if isinstance(said, Unreadable):
            raise said
        return said


def test_what_the_target_runs_on_stays_out_and_is_told_after_an_hour(account: Account) -> None:
    """The lease is over, and to take it back would do harm: a person must decide, and it is on the record."""
    Kept.needed[:] = ["it runs on that"]
    here = night(account, Kept(lease=10 * MINUTE))
    incident = here.until_closed(120)
    assert incident.verdict is Verdict.ESCALATED
    assert "what was lent was NOT given back: it runs on that" in incident.why
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    assert incident.lent
    assert incident.lease_ends is not None
    assert incident.closed_at is not None
    assert timedelta(minutes=50) <= incident.closed_at - incident.lease_ends <= timedelta(minutes=65)
    assert [attempt.verdict for attempt in incident.attempts] == [Verdict.FIXED]
    assert sum(each.kind == "kept" for each in account.incidents.events(incident.id)) == 12


@pytest.mark.parametrize("first", ["it runs on that", Unreadable("sqs:GetQueueAttributes", "Throttled")])
def test_what_is_not_needed_any_more_is_given_back_then(account: Account, first: str | Unreadable) -> None:
    """It is asked again every five minutes; that nobody can tell is a reason to leave it, too."""
    Kept.needed[:] = [first, first, ""]
    here = night(account, Kept(lease=10 * MINUTE))
    incident = here.until_closed(60)
    assert incident.verdict is Verdict.FIXED
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert not incident.lent


def test_what_did_not_help_and_is_needed_is_handed_over_at_once(account: Account) -> None:
    """Nobody waits an hour to hear of a cure that failed: it ends with what was lent left, and says so."""
    Kept.needed[:] = ["it runs on that"]
    here = night(account, Kept(lease=10 * MINUTE, cures=False, max_attempts=1, patience=MINUTE))
    incident = here.until_closed(30)
    assert incident.verdict is Verdict.ESCALATED
    assert "what was lent was left: it runs on that" in incident.why
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    assert incident.lent
    assert [attempt.verdict for attempt in incident.attempts] == [Verdict.INEFFECTIVE]
    assert incident.closed_at is not None
    assert incident.closed_at < incident.opened_at + 15 * MINUTE


def needed_and_in_vain(account: Account, **rules: Any) -> Night:
    """A loan that did not help, and that its target runs on all the same: it has ended with what was lent left out."""
    Kept.needed[:] = ["it runs on that"]
    here = night(account, Kept(lease=10 * MINUTE, cures=False, max_attempts=1, patience=MINUTE), **rules)
    here.until_closed(30)
    return here


def test_a_loan_that_ends_with_what_was_lent_out_is_told_once(account: Account) -> None:
    """Its report names the incident about what is out, at the severity of that; which calls nobody for itself."""
    here = needed_and_in_vain(account)
    own = not_back(account, here)
    tick_all(account, here)
    own = not_back(account, here)
    assert (own.verdict, own.phase) == (Verdict.ESCALATED, Phase.CLOSED)
    assert f"told with the end of {here.incident.id}" in own.why
    [mail] = account.mails()
    assert mail.startswith("ESCALATED")
    assert f"{own.id}: what was lent is not back" in mail
    assert here.incident.severity is own.severity is Severity.SEV2


def test_what_is_out_is_told_to_the_next_level_where_nobody_answers(account: Account) -> None:
    """Once, for what is out; the loan's own end calls no level beside it."""
    here = needed_and_in_vain(
        account,
        escalation=(Level(emails=("boss@example.com",)),),
        severities={Severity.SEV2: SeverityTable(respond_within=30 * MINUTE)},
    )
    tick_all(account, here)
    account.mails()
    account.clock.pass_(HOUR)
    for due, _ in account.incidents.reminders(account.clock()):
        here.engine.tick(due)
    [mail] = account.mails()
    assert "for L1" in mail
    assert not_back(account, here).id in mail


def test_an_end_that_was_not_written_down_is_not_told_of_what_is_out(account: Account) -> None:
    """Whoever dies before that may find a minute later that it can go back: then it is not told that it did not."""
    Kept.needed[:] = ["it runs on that"]
    here = night(account, Kept(lease=10 * MINUTE, cures=False, max_attempts=1, patience=MINUTE))
    written = Incidents.checkpoint

    def dies(incidents: Incidents, claim: Claim, incident: Incident, events: Sequence[Event] = ()) -> None:
        if incident.phase is Phase.ENDING:
            raise Crash
        written(incidents, claim, incident, events)

    with patch.object(Incidents, "checkpoint", dies), pytest.raises(Crash):
        here.until_closed(30)
    Kept.needed[:] = [""]
    assert here.until_closed(30).verdict is Verdict.REVERTED
    assert [each.remediation for each in account.incidents.recent()] == [Kept.name]


def test_what_somebody_has_changed_since_is_not_asked_about(account: Account) -> None:
    """It is not ours any more, needed or not."""
    Kept.needed[:] = ["it runs on that"]
    here = night(account, Kept(lease=10 * MINUTE))
    here.minutes(3)
    account.set(here.target, VisibilityTimeout="60")
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert "somebody else" in incident.why


def test_what_is_not_back_is_an_incident_of_its_own_until_it_is(account: Account) -> None:
    """Told once, at its own severity, with what to do by hand; who is next is told until it is back, and not after."""
    levels = (Level(emails=("boss@example.com",)), Level(emails=("hers@example.com",), after=6 * HOUR))
    here = night(
        account, lend(), escalation=levels, severities={Severity.SEV2: SeverityTable(respond_within=30 * MINUTE)}
    )
    here.minutes(3)
    account.mails()
    account.switch(SwitchState.HALTED)
    for _ in range(90):
        account.clock.pass_(MINUTE)
        tick_all(account, here)
        for due, at in account.incidents.reminders(account.clock()):
            assert at <= account.clock()
            here.engine.tick(due)
    own = not_back(account, here)
    assert (own.verdict, own.severity, own.attempts) == (Verdict.ESCALATED, Severity.SEV2, ())
    first, second = account.mails()
    assert first.startswith("ESCALATED  what was lent is not back: orders")
    assert "is not back as it was" in first
    assert "Set it back, where nobody wants it to stay: " in first
    assert "for L1" in second
    account.switch(SwitchState.ON)
    here.until_closed()
    account.clock.pass_(10 * HOUR)
    here.engine.tick(own.id)
    assert [mail.split("  ")[0] for mail in account.mails()] == ["FIXED"]
    assert account.incidents.events(own.id)[-1].text == "what was lent is back: nobody else is told"


def test_what_is_back_before_anybody_was_told_is_told_as_such(account: Account) -> None:
    """It was late, and no more."""
    here = night(account, lend())
    here.minutes(3)
    account.switch(SwitchState.HALTED)
    for _ in range(4):
        account.clock.pass_(6 * MINUTE)
        here.engine.tick(here.ids[0])
    account.switch(SwitchState.ON)
    account.clock.pass_(6 * MINUTE)
    here.engine.tick(here.ids[0])
    assert here.until_closed().verdict is Verdict.FIXED
    assert not_back(account, here).verdict is Verdict.RECOVERED
    assert account.incidents.pointers() == {}


def test_a_person_may_want_back_what_is_lent_before_its_time(account: Account) -> None:
    """It is given back at the next look; a second word, or one of what has ended, counts for nothing."""
    here = night(account, Toy(lease=6 * HOUR))
    here.minutes(3)
    word = Acknowledgement("arn:aws:iam::1:user/eva", account.clock(), "enough")
    assert account.incidents.recall(here.ids[0], word, event=Event(word.at, "ended", "by eva"))
    assert not account.incidents.recall(here.ids[0], word, event=Event(word.at, "ended", "by eva"))
    here.minutes(1)
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert here.incident.why.endswith("; ended by arn:aws:iam::1:user/eva: enough")
    assert here.incident.verdict is Verdict.FIXED
    assert not account.incidents.recall("20260101T0000-nobody", word, event=Event(word.at, "ended", "by eva"))


class Spared(Toy):
    """A toy whose loan is ours, and cannot go back for so many looks."""

    name: ClassVar[str] = "spared"
    looks_left: ClassVar[list[int]] = []

    def still_ours(self, read: Reader, plan: Plan) -> bool | None:
        if self.looks_left and self.looks_left.pop():
            raise Refused("allowance", "no decrease is left today")
        return super().still_ours(read, plan)


def test_what_cannot_go_back_yet_stays_out_and_is_told(account: Account) -> None:
    """It is asked again every five minutes, however often, people hear of it once, and then it goes back."""
    Spared.looks_left[:] = [1] * 15
    here = night(account, Spared(lease=10 * MINUTE))
    here.minutes(3)
    here.minutes(60)
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    assert here.incident.phase is Phase.LEASED
    incident = here.until_closed()
    assert (incident.verdict, account.attribute(here.target, "VisibilityTimeout")) == (Verdict.FIXED, "30")
    mails = account.mails()
    assert len(mails) == 3
    assert "no decrease is left today" in " ".join(mails[1].lower().split())


def test_what_never_can_go_back_is_a_persons_in_the_end(account: Account) -> None:
    """A day and two hours after its lease, tries begin to count: an hour later a person must."""
    Spared.looks_left[:] = [1] * 1000
    here = night(account, Spared(lease=10 * MINUTE))
    here.minutes(3)
    account.clock.pass_(timedelta(hours=27))
    incident = here.until_closed()
    assert (incident.verdict, incident.lent) == (Verdict.ESCALATED, True)
    assert "could NOT be given back: no decrease is left today" in incident.why


def test_a_halt_does_not_make_us_forget_what_is_out(account: Account) -> None:
    """Halted for hours past the end of the lease: told once, and given back when the switch is on again."""
    here = night(account, lend())
    here.minutes(3)
    account.mails()
    account.switch(SwitchState.HALTED)
    for _ in range(20):
        account.clock.pass_(6 * MINUTE)
        tick_all(account, here)
    assert here.incident.phase is Phase.LEASED
    [mail] = account.mails()
    assert "what was lent is not back" in mail
    account.switch(SwitchState.PAUSED)
    here.until_closed()
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


@pytest.mark.parametrize("heals", [True, False])
def test_no_deadline_ends_what_is_out_while_halted(account: Account, *, heals: bool) -> None:
    """Halted from before the proof until after the deadline: told, and open until it could be given back."""
    here = night(account, lend(cures=False, deadline=5 * MINUTE))
    here.look()
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    account.switch(SwitchState.HALTED)
    if heals:
        account.set(here.target, DelaySeconds="0")
    for _ in range(40):
        account.clock.pass_(MINUTE)
        tick_all(account, here)
    assert here.incident.open
    assert here.incident.lent
    told = account.mails()
    assert len(told) == 1 + heals
    assert "halted" in told[-1]
    account.switch(SwitchState.ON)
    incident = here.until_closed()
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert not incident.lent
    assert incident.verdict is (Verdict.FIXED if heals else Verdict.REVERTED)


@pytest.mark.parametrize("lent, deaths", [(False, 5), (True, 20)])
def test_a_record_that_kills_every_tick_is_given_up_last_where_something_is_out(
    account: Account, *, lent: bool, deaths: int
) -> None:
    """Five deaths, and twenty while something of ours is out: then a person must."""
    here = night(account, lend() if lent else Toy(cures=False))
    here.minutes(3)
    assert here.incident.lent is lent
    died = 0
    with patch.object(Toy, "examine", side_effect=Crash):
        while here.incident.open and died <= deaths:
            account.clock.pass_(11 * MINUTE)
            try:
                here.engine.tick(here.ids[0])
            except Crash:
                died += 1
    assert died == deaths
    assert here.incident.verdict is Verdict.BROKEN
    assert ("still OUT" in here.incident.why) is lent


def test_a_pause_past_the_deadline_takes_back_what_is_out_and_gives_up_in_the_end(account: Account) -> None:
    """Paused, and AWS refuses the undo: twelve tries, then a person must."""
    here = night(account, lend(cures=False, deadline=5 * MINUTE))
    here.look()
    account.wire.fail(CURE, "InvalidAttributeValue", times=100)
    account.switch(SwitchState.PAUSED)
    incident = here.until_closed(120)
    assert incident.verdict is Verdict.ESCALATED
    assert "NOT be given back" in incident.why


def test_what_is_found_out_of_one_intent_says_nothing_of_the_one_before() -> None:
    """What nobody knows of an earlier attempt, or an earlier tick of this one, stays unknown in the report."""
    found = CallRecord(START + 9 * MINUTE, "raise", CURE, queue_arn("orders"), Outcome.DONE)
    before, now = (replace(found, at=START + at * MINUTE, outcome=Outcome.UNKNOWN) for at in (1, 8))
    assert _unclear(now, found, since=START + 7 * MINUTE)
    assert not _unclear(before, found, since=START + 7 * MINUTE)
    assert not _unclear(replace(now, outcome=Outcome.NOT_DONE), found, since=START)
    assert not _unclear(replace(now, step="other"), found, since=START)


def test_what_a_later_tick_finds_out_does_not_hide_what_an_earlier_one_left_unknown(account: Account) -> None:
    """One attempt, two ticks, each with a call whose answer was lost: the report keeps the first as it is."""
    here = night(account, Toy(patience=30 * MINUTE))
    account.wire.lose(CURE, ReadTimeoutError(endpoint_url="https://sqs"))
    here.look()
    incident = here.incident
    assert incident.intent is not None
    assert incident.plan is not None
    lost = CallRecord(START, "cure", CURE, str(here.target.arn), Outcome.UNKNOWN)
    later = replace(incident, calls=(lost,), intent=replace(incident.intent, written_at=START + 5 * MINUTE, known=()))
    case = Mock(remediation=Mock(reconcile=Mock(return_value=Outcome.NOT_DONE)), now=START + 9 * MINUTE)
    after, [found] = here.engine._found(case, later, "cure", incident.plan.steps[0].calls[:1])
    assert [each.outcome for each in after.calls] == [Outcome.UNKNOWN, Outcome.NOT_DONE]
    assert after.calls[1] == found


def test_an_undo_whose_answer_was_lost_is_not_somebody_elses_change(account: Account) -> None:
    """A time-out after the undo: found by looking, once."""
    here = night(account, lend())
    here.minutes(3)
    account.wire.lose(CURE, ReadTimeoutError(endpoint_url="https://sqs"))
    incident = here.until_closed()
    assert incident.verdict is Verdict.FIXED
    assert "somebody else" not in incident.why
    assert len(account.wire.made(CURE)) == 2
    assert [record.outcome for record in incident.calls] == [Outcome.DONE, Outcome.DONE]


def test_recovered_while_something_is_out_takes_it_back(account: Account) -> None:
    """The kill switch stopped it half-way and it healed by itself: what was lent is not forgotten."""
    here = night(account, lend(cures=False))
    here.look()
    account.switch(SwitchState.HALTED)
    here.minutes(2)
    account.set(here.target, DelaySeconds="0")
    account.switch(SwitchState.ON)
    here.until_closed()
    here.minutes(15)
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


def test_nothing_is_begun_on_top_of_what_is_still_out(account: Account) -> None:
    """Open again with something lent still out: it is taken back first, and only the next look plans anew."""
    here = night(account, lend(cures=False))
    here.look()
    account.clock.pass_(MINUTE)
    claim = account.incidents.claim(here.ids[0], account.clock())
    assert claim is not None
    assert claim.incident.lent
    account.incidents.save(claim, replace(claim.incident, phase=Phase.OPEN, settle_until=None), ())
    here.engine.tick(here.ids[0])
    assert account.attribute(here.target, "VisibilityTimeout") == "30"
    assert not here.incident.lent
    assert len(here.incident.attempts) == 1


def forge(account: Account, here: Night, **more: Any) -> None:
    """Write into the record, as somebody could who may write to the table."""
    account.clock.pass_(4 * MINUTE)
    claim = account.incidents.claim(here.ids[0], account.clock())
    assert claim is not None
    now = account.clock()
    forged = replace(claim.incident, phase=Phase.LEASED, lent=True, verdict=Verdict.FIXED, why="well", look_at=now)
    account.incidents.save(claim, replace(forged, **more), ())


def plan_with(incident: Incident, *undo: Call, **more: Any) -> Plan:
    """The incident's plan, with another undo."""
    assert incident.plan is not None
    return replace(incident.plan, steps=tuple(replace(step, undo=undo) for step in incident.plan.steps), **more)


def back(resource: str, seconds: str, *, stops: bool = True) -> Call:
    """An undo call that gives a queue some visibility timeout."""
    return change(resource, {"VisibilityTimeout": seconds}, {"VisibilityTimeout": "99"}, stops=stops)


@pytest.mark.parametrize("lends", [True, False], ids=["lending", "not lending"])
@pytest.mark.parametrize(
    "undo",
    [
        back(queue_arn("orders"), "0"),
        back(queue_arn("protected"), "30"),
        back(queue_arn("orders"), "30", stops=False),
        Call("sqs", "UntagQueue", queue_arn("orders"), {"TagKeys": ["protected"]}, stops=True),
    ],
    ids=["another value", "another resource", "more than taking back", "another call"],
)
def test_a_forged_undo_is_not_made(account: Account, undo: Call, *, lends: bool) -> None:
    """Whatever a record says: only what the remediation itself would undo is undone, and else somebody is told."""
    here = night(account, lend() if lends else Toy())
    account.queue("protected", tags={"protected": "true"})
    here.look()
    before = account.wire.written
    account.set(here.target, VisibilityTimeout="99")
    forge(account, here, plan=plan_with(here.incident, undo), phase=Phase.LEASED)
    account.mails()
    here.engine.tick(here.ids[0])
    assert account.wire.written == before
    assert here.incident.verdict is Verdict.BROKEN
    assert f"{undo.action} on {undo.resource}" in here.incident.why or "does not name" in here.incident.why
    assert "still OUT" in here.incident.why
    [mail] = account.mails()
    assert mail.startswith("BROKEN")
    assert "still OUT" in " ".join(mail.split())


@pytest.mark.parametrize("facts", [None, {}, {"delay": ["5"], "wait": {}}, {"delay": "7"}])
def test_a_forged_diagnosis_makes_no_undo(account: Account, facts: dict[str, Any] | None) -> None:
    """Whatever a remediation does with facts that are none: without a plan of its own there is no undo."""
    here = night(account, lend())
    here.look()
    assert here.incident.diagnosis is not None
    diagnosis = None if facts is None else replace(here.incident.diagnosis, facts=facts)
    forge(account, here, diagnosis=diagnosis)
    here.engine.tick(here.ids[0])
    assert account.attribute(here.target, "VisibilityTimeout") == "99"
    assert here.incident.verdict is Verdict.BROKEN


def test_a_forged_loan_that_was_never_made_is_nobodys_to_take_back(account: Account) -> None:
    """Plan and diagnosis agree, and the target never had what we are said to have lent: it is left as it is."""
    here = night(account, lend(confirm=2))
    here.look()
    told = here.engine.explain(here.target, lend())
    assert told.plan is not None
    facts = {"delay": "5"}
    forge(account, here, plan=told.plan, diagnosis=Diagnosis(str(here.target.arn), "none", facts=facts))
    here.engine.tick(here.ids[0])
    assert account.wire.written == []
    assert "somebody else" in here.incident.why


def test_a_cancel_that_is_not_the_remediations_ends_the_incident(account: Account) -> None:
    """Also where nothing is lent: what is at work is stopped by its own undo, and by no other."""
    Moody.says[:] = [Progress.STOP]
    here = night(account, Moody(undoes=True))
    here.look()
    forge(
        account,
        here,
        phase=Phase.SETTLING,
        lent=False,
        verdict=None,
        why="",
        plan=plan_with(here.incident, back(str(here.target.arn), "0")),
    )
    here.engine.tick(here.ids[0])
    assert account.wire.written == [CURE]
    assert here.incident.verdict is Verdict.BROKEN
    assert here.incident.attempts[-1].verdict is Verdict.INEFFECTIVE
    assert "may still be at work" in here.incident.why


def test_what_was_lent_goes_back_whatever_was_protected_since(account: Account) -> None:
    """The tag forbids to begin something, not to end it."""
    here = night(account, lend())
    here.minutes(3)
    url = queue_url(here.target.arn)
    with account.wire.unheard():
        account.aws.client("sqs").tag_queue(QueueUrl=url, Tags={"protected": "true", "auto-remediation": "disabled"})
    assert here.until_closed().verdict is Verdict.FIXED
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


def test_what_was_lent_goes_back_under_new_settings(account: Account) -> None:
    """A deployment meanwhile: how long, how dear and how patient does not count for what is out already."""
    here = night(account, lend())
    here.minutes(3)
    newer = account.engine(policy([here.target], [lend(settle=3 * MINUTE, patience=9 * MINUTE, max_attempts=1)]))
    account.clock.pass_(20 * MINUTE)
    newer.tick(here.ids[0])
    assert here.incident.verdict is Verdict.FIXED
    assert account.attribute(here.target, "VisibilityTimeout") == "30"


# -- steps -------------------------------------------------------------------------------------------------------------


def test_steps_are_made_one_by_one(account: Account) -> None:
    """The second step comes after the first has settled, under the same attempt."""
    Moody.says[:] = [Progress.WAIT, Progress.NEXT]
    here = night(account, Moody(steps=2))
    here.look()
    assert account.wire.written == ["sqs:TagQueue"]
    here.minutes(1)
    assert account.wire.written == ["sqs:TagQueue"]
    incident = here.until_closed()
    assert account.wire.written == ["sqs:TagQueue", CURE]
    assert len(incident.attempts) == 1
    assert incident.verdict is Verdict.FIXED


def test_a_step_may_go_on_over_several_ticks(account: Account) -> None:
    """AGAIN makes the same step again: one attempt, one line in the report, with its count."""
    Moody.says[:] = [Progress.AGAIN, Progress.NEXT]
    here = night(account, Moody(cures=False, calls=2, max_attempts=1, patience=MINUTE))
    here.minutes(1)
    here.minutes(1)
    assert here.incident.attempts[-1].number == 1


def test_a_step_that_does_harm_is_stopped(account: Account) -> None:
    """STOP makes the undo calls and counts the attempt as ineffective."""
    Moody.says[:] = [Progress.STOP]
    Moody.ledger = Ledger(moved=3, remaining=3)
    here = night(account, Moody(undoes=True, cures=False, max_attempts=1))
    incident = here.until_closed()
    Moody.ledger = None
    assert incident.verdict is Verdict.ESCALATED
    assert account.wire.written == [CURE, "sqs:UntagQueue"]
    assert incident.ledger.moved == 3


@pytest.mark.parametrize("said", [Progress.WAIT, Progress.AGAIN])
def test_a_step_that_never_settles_ends_at_the_deadline(account: Account, said: Progress) -> None:
    """Whatever the step says, the deadline ends it."""
    Moody.says[:] = [said]
    here = night(account, Moody(cures=False, undoes=True, deadline=15 * MINUTE))
    incident = here.until_closed()
    assert incident.verdict is Verdict.ESCALATED
    assert incident.closed_at is not None
    assert incident.closed_at - incident.opened_at <= timedelta(minutes=16)


def test_a_second_step_that_is_held_ends_at_the_deadline(account: Account) -> None:
    """The brake holds the second step for ever: the incident still ends, with what was begun taken back."""
    Moody.says[:] = [Progress.NEXT]
    here = night(account, Moody(steps=2, undoes=True, deadline=15 * MINUTE))
    here.look()
    account.incidents.set_brake(Brake(True, "a storm", account.clock(), sick=5, told=True))
    incident_id = here.ids[0]
    for _ in range(20):
        account.clock.pass_(MINUTE)
        here.engine.tick(incident_id)
    assert here.incident.verdict is Verdict.ESCALATED
    assert account.wire.written == ["sqs:TagQueue", "sqs:UntagQueue"]


def test_unknown_does_not_go_on_to_the_next_step(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that cannot be seen between two steps is not acted on further, though the diagnosis could be made."""
    Moody.says[:] = [Progress.NEXT]
    here = night(account, Moody(steps=2))
    here.look()
    with monkeypatch.context() as blind:
        blind.setattr(Moody, "verify", lambda *args: Unknown("no answer"))
        here.minutes(3)
    assert account.wire.written == ["sqs:TagQueue"]
    assert here.until_closed().verdict is Verdict.FIXED


# -- our own failures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("helps", [True, False])
def test_an_end_that_was_told_is_the_end(account: Account, *, helps: bool) -> None:
    """
    A tick that dies right after it has told the end: the next one tells the same, whatever the target looks like.

    People hear it twice, and it is one verdict.
    """
    here = night(account, Toy(max_attempts=1, patience=MINUTE, cures=helps))
    account.wire.lose("sns:Publish", Crash())
    with pytest.raises(Crash):
        here.until_closed()
    assert here.incident.phase is Phase.ENDING
    verdict, why = here.incident.verdict, here.incident.why
    account.set(here.target, DelaySeconds="9" if helps else "0")
    account.clock.pass_(5 * MINUTE)
    here.engine.tick(here.ids[0])
    assert (here.incident.phase, here.incident.verdict, here.incident.why) == (Phase.CLOSED, verdict, why)
    expected = Verdict.FIXED if helps else Verdict.ESCALATED
    assert verdict is expected
    assert [mail.split()[0].rstrip(",").lower() for mail in account.mails()] == [expected.value] * 2
    assert here.kinds().count("closed") == 1
    pointer = [each.state for each in account.incidents.pointers().values()]
    assert pointer == ([] if helps else ["quiet"])


@pytest.mark.hostile(34)
def test_a_report_that_cannot_be_sent_leaves_the_record_as_it_was(account: Account) -> None:
    """SNS is down: nothing is closed before it is told, however long that takes, and nothing dies of it."""
    here = night(account)
    here.minutes(2)
    account.wire.fail("sns:Publish", "InternalError", status=500, times=10)
    for _ in range(10):
        account.clock.pass_(MINUTE)
        with pytest.raises(Unsent):
            here.engine.tick(here.ids[0])
    account.clock.pass_(MINUTE)
    here.engine.tick(here.ids[0])
    assert here.incident.verdict is Verdict.FIXED
    assert len(account.mails()) == 1


def test_what_was_done_is_recorded_even_where_it_cannot_be_told(account: Account) -> None:
    """Denied half-way while SNS is down: the calls that were made are in the record all the same."""
    here = night(account, Toy(calls=2))
    account.wire.fail(CURE, "AccessDenied", status=403)
    account.wire.fail("sns:Publish", "InternalError", status=500)
    with pytest.raises(Unsent):
        here.look()
    [opened] = account.incidents.recent()
    assert [record.outcome for record in opened.calls] == [Outcome.DONE, Outcome.NOT_DONE]


def test_a_record_whose_ticks_always_die_is_closed_as_broken(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five ticks die on it: the sixth closes it and says so."""
    here = night(account, Toy(confirm=3))
    here.look()

    def dies(*args: object) -> object:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Toy, "examine", dies)
    for _ in range(5):
        account.clock.pass_(MINUTE)
        with pytest.raises(RuntimeError):
            here.engine.tick(here.ids[0])
    account.clock.pass_(MINUTE)
    here.engine.tick(here.ids[0])
    assert here.incident.verdict is Verdict.BROKEN
    assert account.mails()[0].startswith("BROKEN")


@pytest.mark.parametrize("also_dies", [False, True])
def test_what_died_half_way_is_counted_when_it_is_given_up(
    account: Account, monkeypatch: pytest.MonkeyPatch, *, also_dies: bool
) -> None:
    """What no tick could save stands in the counters: they are asked once; if that dies, too, it is told without."""
    Moody.says[:] = [Progress.WAIT]
    here = night(account, Moody())
    here.look()
    account.mails()

    def dies(*args: object, **more: object) -> Progress:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Moody, "examine", dies)
    monkeypatch.setattr(
        Moody, "settle_ledger", dies if also_dies else lambda *_: Ledger(moved=2, remaining=2, uncertain=1)
    )
    for _ in range(6 if also_dies else 5):
        account.clock.pass_(MINUTE)
        with pytest.raises(RuntimeError):
            here.engine.tick(here.ids[0])
    account.clock.pass_(MINUTE)
    here.engine.tick(here.ids[0])
    assert here.incident.verdict is Verdict.BROKEN
    assert here.incident.ledger.uncertain == (0 if also_dies else 1)
    [mail] = account.mails()
    assert ("may exist twice" in mail) is not also_dies


def test_a_record_that_nobody_can_read_is_closed_as_broken(account: Account) -> None:
    """A body from another version: after five claims it is closed from what stands beside it, and told."""
    here = night(account, Toy(confirm=3))
    here.look()
    key = {"pk": {"S": f"INCIDENT#{here.ids[0]}"}, "sk": {"S": "INCIDENT"}}
    account.aws.client("dynamodb").update_item(
        TableName="nightshift",
        Key=key,
        UpdateExpression="SET body = :body",
        ExpressionAttributeValues={":body": {"S": '{"from": "the future"}'}},
    )
    for _ in range(5):
        account.clock.pass_(5 * MINUTE)
        with pytest.raises(StoreUnavailable):
            here.engine.tick(here.ids[0])
    account.clock.pass_(5 * MINUTE)
    here.engine.tick(here.ids[0])
    assert here.incident.verdict is Verdict.BROKEN
    assert len(account.mails()) == 1


def test_a_target_that_left_the_configuration_is_let_go(account: Account) -> None:
    """Nothing unlisted is touched: refused before it was acted on, handed over after."""
    here = night(account, Toy(confirm=3))
    here.look()
    account.clock.pass_(MINUTE)
    other = account.engine(policy([account.queue("other")], [Toy()]))
    other.tick(here.ids[0])
    assert here.incident.verdict is Verdict.REFUSED
    here = Night(account, lend(), account.queue("lender", delay=5))
    here.look()
    account.clock.pass_(MINUTE)
    other.tick(here.ids[0])
    assert here.incident.verdict is Verdict.ESCALATED
    assert "still OUT" in here.incident.why


@pytest.mark.hostile(35)
def test_no_record_no_action(account: Account) -> None:
    """The table does not answer after the diagnosis: nothing is written anywhere."""
    here = night(account)
    here.sweep()
    account.wire.fail("dynamodb:TransactWriteItems", "InternalServerError", status=500)
    [incident_id] = account.incidents.open_ids()
    with pytest.raises(StoreUnavailable):
        here.engine.tick(incident_id)
    assert account.wire.written == []


@pytest.mark.hostile(33)
def test_two_engines_one_effect(account: Account) -> None:
    """A doubled message: the second claim finds nothing to do."""
    here = night(account)
    here.sweep()
    [incident_id] = account.incidents.open_ids()
    first = here.engine.tick(incident_id)
    assert first is not None
    assert account.engine(here.policy).tick(incident_id) is None
    assert account.wire.written == [CURE]


def test_budgets_hold_between_incidents(account: Account) -> None:
    """A target that falls sick again and again is acted on so often a day, and no more."""
    here = night(account, Toy(cooldown=MINUTE, deadline=30 * MINUTE), limits=Limits(per_target_per_day=2))
    for _ in range(2):
        assert here.until_closed().verdict is Verdict.FIXED
        account.set(here.target, DelaySeconds="5")
        account.clock.pass_(5 * MINUTE)
    incident = here.until_closed()
    assert incident.verdict is Verdict.REFUSED
    assert "target-budget" in incident.why
    assert len(account.wire.written) == 2


def test_explain_writes_nothing(account: Account) -> None:
    """What would be done, and what speaks against it, from the same code."""
    here = night(account, Toy(mode=Mode.APPROVE))
    told = here.engine.explain(here.target, Toy(mode=Mode.APPROVE))
    assert isinstance(told.observation, Sick)
    assert told.plan is not None
    assert [refusal.guard for refusal in told.refusals] == ["approval"]
    refused = here.engine.explain(here.target, Toy(refuses="poison"))
    assert refused.diagnosis_refused is not None
    account.set(here.target, DelaySeconds="0")
    assert isinstance(here.engine.explain(here.target, Toy()).observation, Healthy)
    assert account.wire.written == []
    assert account.incidents.recent() == []


# -- what a plan may touch ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resource, inside",
    [
        ("service/apps/api", True),
        ("service/apps/other", False),
        ("task/apps/1", True),
        ("task/apps-2/1", False),
        ("task/other/1", False),
        ("task-set/apps/api/1", False),
    ],
)
def test_a_plan_for_a_service_may_touch_the_tasks_of_its_cluster(account: Account, resource: str, inside: bool) -> None:
    """Which of them are the service's own, IAM cannot say: the diagnosis does."""
    service = Target(Arn.parse(f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/apps/api"), "g")
    bounds = account.engine(policy([service], [Toy()]))._bounds(service)
    assert _within(f"arn:aws:ecs:eu-west-1:{ACCOUNT}:{resource}", bounds) is inside


def test_a_plan_for_a_service_may_touch_the_alarms_by_which_it_is_scaled(account: Account) -> None:
    """AWS asks that of whoever sets its limits: its own alarms, and no others."""
    service = Target(Arn.parse(f"arn:aws:ecs:eu-west-1:{ACCOUNT}:service/apps/api"), "g")
    bounds = account.engine(policy([service], [Toy()]))._bounds(service)
    alarm = f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:"
    assert _within(f"{alarm}TargetTracking-service/apps/api-AlarmHigh-1f0c", bounds)
    assert not _within(f"{alarm}TargetTracking-service/apps/api-2-AlarmHigh-1f0c", bounds)
    assert not _within(f"{alarm}api-5xx", bounds)


@pytest.mark.parametrize("resource", ["service/api", "service//api", "cluster/apps/api"])
def test_what_names_no_cluster_has_no_tasks(account: Account, resource: str) -> None:
    """A pattern without a cluster would be every cluster."""
    service = Target(Arn.parse(f"arn:aws:ecs:eu-west-1:{ACCOUNT}:{resource}"), "g")
    assert not any("task/" in bound for bound in account.engine(policy([service], [Toy()]))._bounds(service))


# -- the wrong time ----------------------------------------------------------------------------------------------------

SUNDAY = Window(name="sunday", days=(Day.SUN,), begins="02:00", ends="04:00")
"""it is Sunday, three o'clock"""
ALL_YEAR = Dates(name="for ever", first=date(2026, 1, 1), last=date(2026, 12, 31))


class Calm(Toy):
    """A toy that a freeze does not stop."""

    freeze_safe: ClassVar[bool] = True


def test_in_a_freeze_nothing_is_done_until_it_is_over(account: Account) -> None:
    """The queue stays as it is, people hear why, and the day after it is cured."""
    today = Dates(name="inventory", first=account.clock().date(), last=account.clock().date())
    account.clock.pass_(20 * 60 * MINUTE + 30 * MINUTE)
    here = night(account, calendar=Calendar(freeze=Freeze(dates=(today,))))
    here.look()
    here.minutes(15)
    assert account.attribute(here.target, "DelaySeconds") == "5"
    assert here.incident.refusal is not None
    assert here.incident.refusal.guard == "freeze"
    [mail] = account.mails()
    assert "inventory" in mail
    assert here.until_closed().verdict is Verdict.FIXED
    assert here.incident.attempts[0].started_at >= account.clock().replace(hour=0, minute=0)


def test_what_is_safe_in_a_freeze_is_done(account: Account) -> None:
    """A cure that changes neither code nor settings does not wait."""
    here = Night(
        account,
        Calm(),
        account.queue("orders", delay=5),
        calendar=Calendar(freeze=Freeze(dates=(ALL_YEAR,))),
    )
    assert here.until_closed().verdict is Verdict.FIXED


def test_a_target_in_its_maintenance_window_is_left_alone(account: Account) -> None:
    """It is cured when the window has closed, and not a minute before."""
    target = account.queue("orders", delay=5, maintenance=("sunday",))
    here = Night(account, Toy(), target, calendar=Calendar(windows=(SUNDAY,)))
    here.look()
    here.minutes(59)
    assert account.attribute(target, "DelaySeconds") == "5"
    assert account.wire.written == []
    assert here.until_closed().verdict is Verdict.FIXED
    assert here.incident.attempts[0].started_at == START + 60 * MINUTE


def test_a_remediation_with_windows_of_its_own_waits_for_one(account: Account) -> None:
    """Half an hour before it opens it waits; then it acts."""
    account.clock.pass_(-90 * MINUTE)
    here = Night(
        account,
        Toy(only_in=("sunday",)),
        account.queue("orders", delay=5),
        calendar=Calendar(windows=(SUNDAY,)),
    )
    assert here.until_closed().verdict is Verdict.FIXED
    assert here.incident.attempts[0].started_at == START - 60 * MINUTE


def test_what_was_lent_comes_back_in_a_freeze_and_in_a_window(account: Account) -> None:
    """Taking back is no change of ours that could wait: nothing lent stays out over the holidays."""
    target = account.queue("orders", delay=5, maintenance=("sunday",))
    freeze = Freeze(dates=(Dates(name="later", first=START.date(), last=START.date()),))
    account.clock.pass_(-3 * 60 * MINUTE - 10 * MINUTE)  # ten minutes before midnight
    calendar = Calendar(windows=(Window(name="sunday", begins="00:10", ends="04:00"),), freeze=freeze)
    here = Night(account, Toy(lease=30 * MINUTE), target, calendar=calendar)
    assert here.until_closed(90).verdict is Verdict.FIXED
    assert account.attribute(target, "VisibilityTimeout") == "30"
    assert account.clock() < START
