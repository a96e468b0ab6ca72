"""Dead letters: seen, understood, moved a few first, and never when there is doubt."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.dead_letters import AGE, VISIBLE
from nightshift.errors import Ambiguous, AwsError, Missing, Refused, Rejected, Unreadable
from nightshift.letters import Letter, Rule
from nightshift.model import (
    Call,
    Finding,
    Healthy,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Query,
    Severity,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Series, Unread
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from nightshift.signals import queue_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import (
    BUCKET,
    DLQ,
    FUNCTION,
    NOW,
    OLD,
    SERVICE,
    SOURCE,
    Account,
    Eyes,
    Hand,
    letter,
    read,
    service,
    task,
    text,
)

CURE = SqsDlqBacklog()
TARGET = Target(DLQ, "orders", consumer=SERVICE, source=SOURCE)
FINDING = Finding(CURE.name, str(DLQ), "s")
MINUTE = timedelta(minutes=1)
VISIBLE_QUERY = queue_metric(DLQ, VISIBLE, "Maximum")
AGE_QUERY = queue_metric(DLQ, AGE, "Maximum")


def letters(count: int, **of_each: Any) -> list[dict[str, Any]]:
    """So many letters, each with its own content."""
    return [letter(number, **of_each) for number in range(count)]


def points(*values: float) -> Series:
    """A series of the last minutes."""
    return Series(tuple((NOW - (len(values) + 1 - n) * MINUTE, value) for n, value in enumerate(values)))


def swept(exists: Any = None, metric: Any = None) -> Readings:
    """What the sweep read."""
    answers: dict[Query, Any] = {read("sqs.exists", DLQ): exists, VISIBLE_QUERY: metric}
    return Readings(NOW, {query: answer for query, answer in answers.items() if answer is not ...})


def looked(attributes: Any, age: Any = Series()) -> Readings:  # noqa: B008 - frozen
    """What a closer look read."""
    return Readings(NOW, {read("sqs.queue", DLQ): attributes, AGE_QUERY: age})


def counts(visible: object, hidden: object = 0, **other: str) -> dict[str, str]:
    """Attributes of the dead-letter queue."""
    return {
        "ApproximateNumberOfMessages": str(visible),
        "ApproximateNumberOfMessagesNotVisible": str(hidden),
    } | other


def symptom(seen: Observation) -> str:
    """The symptom of what must be sick."""
    assert isinstance(seen, Sick), seen
    return seen.finding.symptom


def planned(account: Account, cure: SqsDlqBacklog = CURE, target: Target = TARGET) -> Plan:
    """Diagnose and plan."""
    return cure.plan(cure.diagnose(Eyes(account, SqsDlqBacklog), target, FINDING))


def refused(account: Account, cure: SqsDlqBacklog = CURE, target: Target = TARGET) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        cure.diagnose(Eyes(account, SqsDlqBacklog), target, FINDING)
    return caught.value


class Case:
    """One attempt: steps are applied, and asked how they go, with the notes in between."""

    def __init__(self, account: Account, cure: SqsDlqBacklog = CURE, target: Target = TARGET) -> None:
        self.account = account
        self.cure = cure
        self.diagnosis = cure.diagnose(Eyes(account, SqsDlqBacklog), target, FINDING)
        self.plan = cure.plan(self.diagnosis)
        self.scratch: dict[str, Any] = {}
        self.ledger = Ledger()
        self.began = [account.now]

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.plan.steps if step.name == name)

    def apply(self, name: str, **of_hand: Any) -> Hand:
        """Make a step's calls."""
        step = self.step(name.removeprefix("undo "))
        if name.startswith("undo "):
            step = Step(name, step.undo, timedelta(0))
        began = tuple(self.began)
        hand = Hand(self.account, step, began=began, scratch=self.scratch, ledger=self.ledger, **of_hand)
        hand.incident = replace(hand.incident, diagnosis=self.diagnosis)
        try:
            self.cure.apply(hand, self.plan, step)
        finally:
            self.scratch, self.ledger = dict(hand.scratch), hand.ledger
        assert self.ledger.balanced
        return hand

    def went(self, name: str) -> tuple[Progress, str]:
        """How a step goes."""
        eyes = Eyes(self.account, SqsDlqBacklog)
        progress, why, ledger = self.cure.progress(eyes, self.plan, self.step(name), self.scratch)
        if ledger is not None:
            assert ledger.balanced
            self.ledger = ledger
        return progress, why

    def last_word(self, *, known: Ledger | None = None, scratch: dict[str, Any] | None = None) -> Ledger:
        """What the final report says of the letters."""
        step = self.step("redrive")
        incident = Hand(self.account, step, began=tuple(self.began), ledger=known or Ledger()).incident
        incident = replace(
            incident, plan=self.plan, ledger=known or Ledger(), scratch=self.scratch if scratch is None else scratch
        )
        ledger = self.cure.settle_ledger(Eyes(self.account, SqsDlqBacklog), TARGET, incident)
        assert ledger.balanced
        return ledger

    def pass_time(self, minutes: int, *, deleted: float = 0.0, waiting: int = 0) -> None:
        """Time passes, in which the consumer finished so much."""
        self.account.now += minutes * MINUTE
        self.account.metrics["orders", "NumberOfMessagesDeleted"] = [deleted]
        source = self.account.attributes[SOURCE]
        assert isinstance(source, dict)
        source["ApproximateNumberOfMessages"] = str(waiting)

    def die_again(self, count: int) -> None:
        """So many of the letters that went home are dead letters again: under new ids, sent when we sent them."""
        for sent in self.account.home[-count:]:
            self.account.dead.append(letter(1000 + len(self.account.dead), sent["MessageBody"], sent=self.account.now))


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_the_sweep_reads_what_batches_and_a_look_reads_the_queue_itself() -> None:
    """Ten thousand queues are listed and their metric is read; one queue is asked."""
    assert CURE.watch(TARGET) == (read("sqs.exists", DLQ), VISIBLE_QUERY)
    assert CURE.examine(TARGET) == (read("sqs.queue", DLQ), AGE_QUERY)
    assert CURE.takes(TARGET)


@pytest.mark.parametrize(
    "values, sick",
    [((1, 1, 1), True), ((0, 1, 1), True), ((1, 0, 1), True), ((1, 1, 0), True), ((0, 0, 1), False), ((1,), False)],
)
def test_two_of_three_minutes_with_letters_are_a_backlog(values: tuple[float, ...], sick: bool) -> None:
    """One minute could be somebody's test."""
    assert isinstance(CURE.detect(TARGET, swept({}, points(5, 5, 5, *values))), Sick) is sick or len(values) == 1
    assert isinstance(CURE.detect(TARGET, swept({}, points(*values))), Sick) is sick


def test_the_newest_minutes_decide() -> None:
    """What was a quarter of an hour ago is over."""
    assert isinstance(CURE.detect(TARGET, swept({}, points(9, 9, 9, 9, 0, 0, 0))), Healthy)


def test_a_threshold_is_a_threshold() -> None:
    """From the configured number on."""
    cure = SqsDlqBacklog(threshold=5)
    assert isinstance(cure.detect(TARGET, swept({}, points(4, 4, 4))), Healthy)
    assert symptom(cure.detect(TARGET, swept({}, points(5, 5, 5)))) == "5 dead letters in orders-dlq"


def test_a_listed_queue_without_points_is_asleep() -> None:
    """SQS reports nothing for a queue that is empty and was not used for six hours."""
    seen = CURE.detect(TARGET, swept({}, Series()))
    assert isinstance(seen, Healthy)
    assert "asleep" in seen.summary


@pytest.mark.parametrize(
    "readings, reason",
    [
        (swept(None, points(1, 1, 1)), "does not exist"),
        (swept(Unread("throttled"), points(1, 1, 1)), "throttled"),
        (swept(..., points(1, 1, 1)), "was not read"),
        (swept({}, Unread("no data")), "no data"),
        (looked(Unread("denied")), "denied"),
        (looked(None), "does not exist"),
        (looked({}), "did not say how many"),
        (looked(counts("many")), "did not say how many"),
        (looked(counts(0, 3)), "3 dead letters are in somebody's hands"),
        (Readings(NOW), "was not read"),
    ],
)
def test_what_cannot_be_seen_is_unknown(readings: Readings, reason: str) -> None:
    """Never sick, never healthy; letters in somebody's hands may come back."""
    seen = CURE.detect(TARGET, readings)
    assert isinstance(seen, Unknown)
    assert reason in seen.reason


def test_a_look_goes_by_the_queue_itself() -> None:
    """Its attributes are newer than its metric."""
    assert symptom(CURE.detect(TARGET, looked(counts(1)))) == "1 dead letter in orders-dlq"
    assert isinstance(CURE.detect(TARGET, looked(counts(0))), Healthy)
    assert CURE.verify(TARGET, FINDING, looked(counts(0))) == Healthy("0 dead letters")
    cure = SqsDlqBacklog(threshold=5)
    kinds = [type(cure.detect(TARGET, looked(counts(*each)))) for each in ((5, 0), (4, 1), (4, 0))]
    assert kinds == [Sick, Unknown, Healthy]


@pytest.mark.parametrize(
    "attributes, age, severity",
    [
        (counts(1, MessageRetentionPeriod="345600"), points(172_679.0), Severity.SEV3),
        (counts(1, MessageRetentionPeriod="345600"), points(172_681.0), Severity.SEV2),
        (counts(1, MessageRetentionPeriod="345600"), points(331_079.0), Severity.SEV2),
        (counts(1, MessageRetentionPeriod="345600"), points(331_081.0), Severity.SEV1),
        (counts(1, MessageRetentionPeriod="345600"), points(1e300), Severity.SEV3),
        (counts(1, MessageRetentionPeriod="345600"), Series(), Severity.SEV3),
        (counts(1, MessageRetentionPeriod="345600"), Unread("x"), Severity.SEV3),
        (counts(1), points(172_801.0), Severity.SEV3),
    ],
)
def test_the_sooner_a_letter_is_lost_the_more_urgent(attributes: Any, age: Any, severity: Severity) -> None:
    """Four days of retention: two days before the end it is for today, four hours before it wakes somebody."""
    seen = CURE.detect(TARGET, looked(attributes, age))
    assert isinstance(seen, Sick)
    assert seen.finding.severity is severity


# -- diagnosis -------------------------------------------------------------------------------------------------------


def test_letters_of_an_outage_that_is_over_are_ours_to_move() -> None:
    """The diagnosis says what it saw, and which other causes it rejected."""
    account = Account(dead=letters(4))
    found = CURE.diagnose(Eyes(account, SqsDlqBacklog), TARGET, FINDING)
    assert found.facts == {
        "dlq": str(DLQ),
        "source": str(SOURCE),
        "full": True,
        "bucket": BUCKET,
        "dlq_key": "",
        "source_key": "",
        "visibility_timeout": 60,
        "receives": 3,
    }
    said = " ".join((found.cause, *found.evidence))
    assert "ecs prod/worker has worked for 10 minutes" in said
    assert "4 of about 4 letters looked at: 4 transient" in said
    assert "is lost at 2026-12-03 00:00 UTC, in 333 hours" in said  # 14 days, of which 3 hours are over
    assert len(found.rejected) == 2
    assert len(account.dead) == 4


def test_the_diagnosis_uses_no_more_than_it_declares_and_declares_no_more_than_it_uses() -> None:
    """A permission that nobody needs is one too many."""
    key = {"KeyMetadata": {"Arn": "arn:aws:kms:eu-central-1:123456789012:key/k"}}
    answers = {
        "sqs:ListDeadLetterSourceQueues": ["https://sqs.eu-central-1.amazonaws.com/123456789012/orders"],
        "lambda:ListEventSourceMappings": [{"FunctionArn": str(FUNCTION), "State": "Enabled"}],
        "lambda:GetFunctionConcurrency": {},
        "kms:DescribeKey": key,
    }
    account = Account(dead=letters(4), attributes={DLQ: {"KmsMasterKeyId": "alias/mine"}}, answers=answers)
    eyes = Eyes(account, SqsDlqBacklog)
    found = CURE.diagnose(eyes, replace(TARGET, consumer=None), FINDING)
    assert eyes.used == set(CURE.reads)
    assert found.facts["dlq_key"] == key["KeyMetadata"]["Arn"]


@pytest.mark.parametrize("key", ["", "alias/aws/sqs", "arn:aws:kms:eu-central-1:1:alias/aws/sqs"])
def test_a_key_of_aws_needs_no_permission(key: str) -> None:
    """Its own policy lets everybody in the account use it through SQS."""
    account = Account(dead=letters(4), attributes={DLQ: {"KmsMasterKeyId": key}})
    found = CURE.diagnose(Eyes(account, SqsDlqBacklog), TARGET, FINDING)
    assert found.facts["dlq_key"] == ""


@pytest.mark.parametrize(
    "account, target, guard, reason",
    [
        (Account(attributes={DLQ: {"RedrivePolicy": "{}"}}), TARGET, "dead-letter-queue", "of its own"),
        (
            Account(answers={"sqs:ListDeadLetterSourceQueues": []}, dead=[letter(1)]),
            TARGET,
            "source",
            "something unknown",
        ),
        (Account(), replace(TARGET, source=replace(SOURCE, resource="other")), "source", "orders does"),
        (
            Account(answers={"sqs:ListDeadLetterSourceQueues": ["https://h/1/orders", "https://h/1/invoices"]}),
            replace(TARGET, source=None),
            "source",
            "2 queues share this dead-letter queue \\(invoices, orders\\)",
        ),
        (Account(dead=letters(1)), replace(TARGET, consumer=None), "consumer", "nobody is known"),
    ],
)
@pytest.mark.hostile(24)
def test_what_is_not_ours_to_move_is_refused_for_good(
    account: Account, target: Target, guard: str, reason: str
) -> None:
    """With its reason: waiting does not change it."""
    account.answers.setdefault("lambda:ListEventSourceMappings", [])
    said = refused(account, target=target)
    assert said.guard == guard
    assert said.retry_after is None
    assert re.search(reason, said.reason), said.reason


@pytest.mark.parametrize(
    "dead, whose, advice",
    [
        (letter(1, RULE_ARN=text("r"), TARGET_ARN=text("t")), "an EventBridge rule", "put-events"),
        (letter(1, RequestID=text("r"), ErrorCode=text("4")), "asynchronous invocations", "`function`"),
        (letter(1, '{"Type": "Notification", "TopicArn": "t"}'), "an SNS subscription", "not to the topic"),
    ],
)
@pytest.mark.hostile(24)
def test_letters_that_no_queue_sent_are_told(dead: dict[str, Any], whose: str, advice: str) -> None:
    """Whose they are, when the first is lost, and what people should do: no move gives them back."""
    there = Account(answers={"sqs:ListDeadLetterSourceQueues": []}, dead=[dead])
    found = CURE.diagnose(Eyes(there, SqsDlqBacklog), replace(TARGET, source=None), FINDING)
    assert whose in found.cause
    assert any(advice in line for line in found.advice)
    assert "is lost at 2026-12-03 00:00 UTC" in found.evidence[-1]
    there.dead.clear()
    said = refused(there)
    assert (said.guard, said.retry_after) == ("letters", MINUTE)


def test_a_queues_own_rules_come_before_the_rules_for_all() -> None:
    """What its letters mean is known where they lie; the plan carries it from the diagnosis to the last step."""
    rule = Rule.model_validate(
        {"name": "mine", "means": "keep", "when": {"test": "json-equals", "path": "/order", "value": 1}}
    )
    target = replace(TARGET, letters=(rule,))
    case = Case(Account(dead=letters(3)), target=target)
    assert "1 keep, 2 transient" in case.diagnosis.evidence[1]
    case.apply("canary")
    assert [each["MessageBody"] for each in case.account.home] == ['{"order": 0}', '{"order": 2}']
    assert case.scratch["canary"]["left"] == {"keep: mine": 1}
    assert refused(Account(dead=[letter(1)]), target=target).reason == "what is left needs a person: 1 x mine"
    kept = Rule.model_validate({"name": "plain", "means": "keep", "when": {"test": "not-json"}})
    other = replace(TARGET, letters=(kept,))  # the rules for all call this poison
    assert (
        refused(Account(dead=[letter(1, "no json")]), target=other).reason == "what is left needs a person: 1 x plain"
    )


def test_letters_of_a_stalled_consumer_wait_for_its_own_incident() -> None:
    """Redriven to a consumer that hangs they would only die again."""
    said = refused(Account(dead=letters(4), services={SERVICE: service(runningCount=0)}))
    assert (said.guard, said.link) == ("consumer", str(SERVICE))
    assert said.retry_after == 2 * MINUTE


def test_letters_wait_while_nothing_is_finished() -> None:
    """Tasks that run and finish nothing are no consumer."""
    account = Account(
        dead=letters(4),
        metrics={
            ("orders", "NumberOfMessagesDeleted"): [0.0] * 10,
            ("orders", VISIBLE): [3.0] * 10,
        },
    )
    assert refused(account).guard == "consumer"


@pytest.mark.parametrize("status", ["RUNNING", "CANCELLING"])
def test_letters_wait_while_somebody_moves_them(status: str) -> None:
    """SQS allows one move at a time, and so do we."""
    said = refused(Account(dead=letters(4), tasks=[task("COMPLETED", started=OLD), task(status)]))
    assert (said.guard, said.retry_after) == ("move-task", 2 * MINUTE)


@pytest.mark.parametrize(
    "series, dead, holds",
    [
        ([4.0] * 15, 4, ""),
        ([9.0] * 5 + [4.0] * 10, 4, ""),  # fewer than there were
        ([4.0] * 7 + [1.0] * 3 + [4.0] * 5, 4, ""),  # somebody held some for a while
        ([3.0] * 7 + [4.0] * 8, 4, "letters still die: 3 10 minutes ago, 4 since"),
        ([3.0] * 7 + [5.0] + [3.0] * 7, 3, "letters still die"),
        ([4.0] * 15, 5, "letters still die"),  # one more than the metric knows of
        ([4.0] * 5, 4, "seen for less than 10 minutes"),
        ([], 4, "seen for less than 10 minutes"),
    ],
)
def test_letters_wait_while_others_die(series: list[float], dead: int, holds: str) -> None:
    """Until the queue has not grown for ten minutes, and has been seen for as long."""
    account = Account(dead=letters(dead), metrics={("orders-dlq", VISIBLE): series})
    if not holds:
        assert planned(account).steps
        return
    said = refused(account)
    assert (said.guard, said.retry_after) == ("calm", 2 * MINUTE)
    assert holds in said.reason


def test_letters_that_nobody_can_see_are_looked_for_again() -> None:
    """The count of a queue may lag behind it."""
    account = Account(attributes={DLQ: counts(3)}, metrics={("orders-dlq", VISIBLE): [3.0] * 20})
    said = refused(account)
    assert (said.guard, said.retry_after) == ("letters", MINUTE)


def test_too_much_poison_is_a_wrong_rule() -> None:
    """A queue that never spoke JSON must not be emptied into the quarantine."""
    dead = [letter(number, "plain text") for number in range(21)]
    said = refused(Account(dead=dead))
    assert (said.guard, said.retry_after) == ("letters", None)
    assert said.numbers == {"bad": 21, "limit": 20}
    assert planned(Account(dead=dead[:20])).steps


def test_letters_that_need_a_person_are_left_to_one() -> None:
    """Nothing transient, nothing to store: the reason is the rules' names, never the letters'."""
    rule = {"name": "denied", "means": "permission", "when": {"test": "body-contains", "text": "order"}}
    cure = SqsDlqBacklog.model_validate({"rules": [rule]})
    said = refused(Account(dead=letters(3)), cure)
    assert said.reason == "what is left needs a person: 3 x denied"
    assert said.retry_after is None
    assert refused(Account(dead=letters(3)), SqsDlqBacklog.model_validate({"otherwise": "unknown"})).guard == "letters"


def test_what_cannot_be_read_is_no_diagnosis() -> None:
    """The engine tries again; nothing is guessed."""
    with pytest.raises(Unreadable):
        planned(Account(dead=letters(1), attributes={DLQ: Unread("throttled")}))
    with pytest.raises(Missing):
        planned(Account(dead=letters(1), attributes={SOURCE: None}))


@pytest.mark.parametrize("policy", ["", "no json", "[]", '{"maxReceiveCount": null}'])
def test_a_source_without_a_readable_redrive_policy_has_no_number_of_receives(policy: str) -> None:
    """It has one, or ListDeadLetterSourceQueues would not name it; what AWS might send is read all the same."""
    account = Account(dead=letters(4), attributes={SOURCE: counts(0, VisibilityTimeout="60", RedrivePolicy=policy)})
    assert planned(account).steps[1].calls[-1].before == {"visibility_timeout": 60, "receives": 0}


def test_the_first_loss_is_said_where_it_is_known() -> None:
    """SQS counts retention from when a letter was first sent."""
    eyes = Eyes(Account(dead=letters(4), attributes={DLQ: {}}), SqsDlqBacklog)
    assert not any("lost" in each for each in CURE.diagnose(eyes, TARGET, FINDING).evidence)


# -- the plan --------------------------------------------------------------------------------------------------------


def test_the_plan_does_not_change_while_the_queue_does() -> None:
    """Poison stored, letters sent, counts moved: what is done next is still what was decided."""
    before = planned(Account(dead=[*letters(40), letter(99, "poison")]))
    after = planned(Account(dead=letters(7), now=NOW + 9 * MINUTE))
    assert before.hash == after.hash
    assert [step.name for step in before.steps] == ["quarantine", "canary", "redrive"]


def test_every_action_of_the_plan_is_declared_and_every_declared_one_is_planned() -> None:
    """The role is made from the declaration, the session from the plan."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/k"
    found = CURE.diagnose(Eyes(Account(dead=letters(4)), SqsDlqBacklog), TARGET, FINDING)
    plan = CURE.plan(replace(found, facts={**found.facts, "dlq_key": key, "source_key": key}))
    assert {call.action for call in plan.calls} == set(CURE.writes)
    assert {action for call in plan.calls for action, _ in call.grants} == set(CURE.delegates)


def test_everything_is_bound_to_the_two_queues_and_one_prefix_of_the_quarantine() -> None:
    """Nothing else is touched, whatever is in the letters."""
    plan = planned(Account(dead=letters(4)))
    prefix = f"arn:aws:s3:::{BUCKET}/letters/orders-dlq/*"
    assert {call.resource for call in plan.calls} == {str(DLQ), str(SOURCE), prefix}
    [put] = {call.params["ExpectedBucketOwner"] for call in plan.calls if call.operation == "PutObject"}
    assert put == DLQ.account


def test_the_canary_can_send_no_more_than_a_canary() -> None:
    """The bound stands in the plan, not only in the code that makes the calls."""
    plan = planned(Account(dead=letters(4)), SqsDlqBacklog(canary=2))
    assert [call.times for call in plan.steps[1].calls if call.operation == "SendMessage"] == [2]
    assert not any(call.operation == "SendMessage" for call in plan.steps[0].calls)


def test_only_what_takes_back_may_go_on_while_paused() -> None:
    """Showing letters again, and ending a move."""
    plan = planned(Account(dead=letters(4)))
    going = {call.operation for call in plan.calls if call.stops}
    assert going == {"ChangeMessageVisibility", "ListMessageMoveTasks", "CancelMessageMoveTask"}


@pytest.mark.parametrize(
    "account, target",
    [
        (Account(dead=letters(4), tasks=[task("COMPLETED", started=NOW - timedelta(hours=23))]), TARGET),
        (
            Account(
                dead=letters(4),
                answers={"sqs:ListDeadLetterSourceQueues": ["https://h/1/orders", "https://h/1/invoices"]},
            ),
            TARGET,
        ),
    ],
)
def test_a_full_move_is_made_once_a_day_and_only_to_one_home(account: Account, target: Target) -> None:
    """Else letters are moved one by one, and there is nothing to cancel."""
    plan = planned(account, target=target)
    assert "StartMessageMoveTask" not in {call.operation for call in plan.calls}
    assert plan.steps[-1].undo == ()
    old = Account(dead=letters(4), tasks=[task("COMPLETED", started=NOW - timedelta(hours=25))])
    assert planned(old).steps[-1].undo


# -- acting ----------------------------------------------------------------------------------------------------------


def test_the_quarantine_takes_what_nobody_can_process_and_nothing_else() -> None:
    """Poison and the obsolete are stored; the rest is given back at once."""
    case = Case(Account(dead=[*letters(3), letter(8, "no json"), letter(9, '{"Event": "s3:TestEvent"}')]))
    case.apply("quarantine")
    assert len(case.account.stored) == 2
    assert sorted(each["MessageId"] for each in case.account.dead) == ["m0", "m1", "m2"]
    assert case.ledger == Ledger(moved=2, quarantined=2)
    assert case.went("quarantine") == (Progress.NEXT, "2 letters stored")


def test_the_quarantine_goes_on_while_it_finds_something() -> None:
    """A pass is bounded; one that stored something and did not reach the end is followed by another."""
    case = Case(Account(dead=letters(35)))
    case.apply("quarantine")
    assert case.went("quarantine")[0] is Progress.NEXT  # a whole sample without poison
    case.account.dead.insert(0, letter(98, "no json"))
    case.apply("quarantine")
    assert case.went("quarantine")[0] is Progress.AGAIN


def test_a_quarantine_whose_notes_were_lost_is_made_again() -> None:
    """After a crash: storing may be repeated."""
    assert Case(Account(dead=letters(1))).went("quarantine")[0] is Progress.AGAIN


def test_no_more_is_stored_than_an_incident_may() -> None:
    """What is over the limit is left, and said."""
    case = Case(Account(dead=[letter(n, "no json") for n in range(3)]), SqsDlqBacklog(quarantine_limit=3))
    case.cure = SqsDlqBacklog(quarantine_limit=2)
    case.apply("quarantine")
    assert len(case.account.stored) == 2
    assert case.scratch["quarantine"]["left"] == {"more than 2 letters to store": 1}


def test_the_canary_sends_a_few() -> None:
    """Three, and the others are given back."""
    case = Case(Account(dead=letters(20)))
    case.apply("canary")
    assert len(case.account.home) == 3
    assert len(case.account.dead) == 17
    assert case.ledger == Ledger(moved=3, remaining=3)


def test_a_canary_that_a_crash_interrupted_sends_no_more_than_a_canary() -> None:
    """Two were sent, the process died, its notes are lost: one is sent now, and all three are waited for."""
    case = Case(Account(dead=letters(20)))
    sent: list[int] = []

    def die() -> None:
        sent.append(1)
        if len(sent) == 2:
            raise KeyboardInterrupt

    case.account.after["sqs:DeleteMessage"] = die
    with pytest.raises(KeyboardInterrupt):
        case.apply("canary")
    case.scratch, case.ledger = {}, Ledger()
    assert case.went("canary")[0] is Progress.AGAIN
    case.account.dead += case.account.hidden.values()
    case.account.hidden.clear()
    case.account.now += MINUTE
    case.apply("canary")
    assert len(case.account.home) == 3
    assert case.scratch["canary"]["sent"] == 3
    assert case.scratch["canary"]["at"] == NOW.isoformat()  # when the attempt began: the first two went out then
    assert (case.ledger.moved, case.ledger.uncertain) == (3, 1)


@pytest.mark.hostile(24)
def test_a_letter_of_another_queue_is_left() -> None:
    """Where several queues share a dead-letter queue, only the configured one's letters are ours: poison too."""
    other = replace(SOURCE, resource="invoices")
    case = Case(Account(dead=[*letters(2), letter(8, source=other), letter(9, "no json", source=other)]))
    case.apply("quarantine")
    case.apply("canary")
    assert case.account.stored == {}
    assert len(case.account.home) == 2
    assert case.scratch["canary"]["left"] == {"it came from another queue": 2}


def test_a_letter_without_a_source_is_taken_for_the_only_ones() -> None:
    """Put in by hand, perhaps; it is in this queue, whose letters have one home."""
    case = Case(Account(dead=letters(2, source=None)))
    case.apply("canary")
    assert len(case.account.home) == 2


def test_letters_that_need_a_person_are_left_and_said() -> None:
    """By the rule that says so."""
    rule = {"name": "denied", "means": "permission", "when": {"test": "json-equals", "path": "order", "value": 0}}
    case = Case(Account(dead=letters(3)), SqsDlqBacklog.model_validate({"rules": [rule]}))
    case.apply("canary")
    assert case.scratch["canary"]["left"] == {"permission: denied": 1}
    assert case.ledger == Ledger(moved=2, remaining=2, left=1)


def test_a_large_clean_queue_is_moved_at_once() -> None:
    """A whole sample without anything that must not move: given back, then all of it moves at the planned rate."""
    case = Case(Account(dead=letters(60)))
    case.apply("redrive")
    assert case.account.calls[-1] == "StartMessageMoveTask"
    assert case.account.home == []
    assert len(case.account.dead) == 60
    assert case.scratch["redrive"]["mode"] == "task"


def test_what_came_back_from_a_full_move_and_was_in_its_sample_is_poison() -> None:
    """The contents of the sample are noted before the move: the next attempt knows them."""
    case = Case(Account(dead=letters(30)))
    case.apply("redrive")
    case.account.now += 5 * MINUTE
    case.account.dead = [letter(500, '{"order": 7}', sent=case.account.now)]
    case.began.append(case.account.now)
    case.apply("quarantine")
    assert len(case.account.stored) == 1


def test_a_small_queue_is_moved_one_by_one() -> None:
    """Every letter of it is known then, and counted."""
    case = Case(Account(dead=letters(29)))
    case.apply("redrive")
    assert len(case.account.home) == 29
    assert case.scratch["redrive"]["mode"] == "letters"
    assert not case.scratch["redrive"]["more"]


def test_a_mixed_queue_is_moved_one_by_one() -> None:
    """A full move cannot choose: one letter that must not move, and each is looked at."""
    case = Case(Account(dead=letters(149)))
    case.account.dead.insert(0, letter(999, "no json"))
    case.apply("redrive")
    assert len(case.account.home) == 100
    assert case.went("redrive") == (Progress.AGAIN, "100 letters moved, 50 to go")
    case.apply("redrive")  # also where the next sample happens to be clean
    assert (len(case.account.home), len(case.account.stored)) == (149, 1)
    assert "StartMessageMoveTask" not in case.account.calls


def test_a_second_full_move_is_not_started_in_one_incident() -> None:
    """Also where the first one's notes were lost."""
    case = Case(Account(dead=letters(60)))
    case.apply("redrive")
    case.scratch = {}
    case.apply("redrive")
    assert case.account.calls.count("StartMessageMoveTask") == 1
    assert case.account.home


def test_a_full_move_whose_answer_is_lost_is_remembered() -> None:
    """The notes stand before the call: what became of it is looked up, not repeated."""
    case = Case(Account(dead=letters(60)))
    case.account.fails["sqs:StartMessageMoveTask"] = Ambiguous("sqs:StartMessageMoveTask", "Timeout")
    with pytest.raises(Ambiguous):
        case.apply("redrive")
    assert case.scratch["redrive"]["mode"] == "task"


def test_no_more_is_moved_one_by_one_than_an_incident_may() -> None:
    """What is over the limit stays for a person; a step that moves nothing more stops."""
    case = Case(Account(dead=letters(25)), SqsDlqBacklog(one_by_one=10))
    case.apply("redrive")
    assert len(case.account.home) == 10
    case.scratch["redrive"]["more"] = True
    case.apply("redrive")
    case.scratch["redrive"]["more"] = True
    assert case.went("redrive") == (Progress.STOP, "no more letters may be moved: the limit is reached")


def test_moving_one_by_one_goes_on_while_anything_is_moved() -> None:
    """Letters stored count as much as letters sent."""
    case = Case(Account(dead=[*letters(2), letter(8, "no json"), letter(9, "none either")]))
    case.apply("redrive")
    case.scratch["redrive"]["more"] = True
    case.account.dead = letters(1)
    assert case.went("redrive") == (Progress.AGAIN, "4 letters moved, 1 to go")


@pytest.mark.hostile(23)
def test_content_that_came_back_is_poison() -> None:
    """It died again with a consumer that works: it is stored, not sent again."""
    case = Case(Account(dead=letters(2)))
    case.apply("canary")
    case.account.now += 5 * MINUTE
    case.die_again(1)
    case.apply("redrive")
    assert len(case.account.home) == 2
    assert len(case.account.stored) == 1
    assert b"it came back" in next(iter(case.account.stored.values()))
    assert case.ledger == Ledger(moved=2, quarantined=1, remaining=1)


def test_a_new_attempt_begins_with_clean_notes() -> None:
    """What the first attempt noted of its steps says nothing about the second's; the account goes on."""
    case = Case(Account(dead=letters(20)))
    case.apply("canary")
    later = NOW + 30 * MINUTE
    case.began.append(later)
    case.account.now = later
    case.apply("quarantine")
    assert "canary" not in case.scratch
    assert case.scratch["attempt"] == {"number": 2, "at": later.isoformat(), "sent_before": 3}
    assert case.scratch["since"] == NOW.isoformat()
    assert case.scratch["account"]["sent"] == 3


def test_a_step_without_an_attempt_begins_now() -> None:
    """The engine counts an attempt before it acts; what comes without one is taken as beginning now."""
    case = Case(Account(dead=letters(2)))
    case.began = []
    case.apply("canary")
    assert case.scratch["attempt"]["at"] == NOW.isoformat()


@pytest.mark.hostile(22)
def test_no_word_of_a_letter_is_in_what_is_kept() -> None:
    """Notes, memory, plan and evidence hold hashes, counts and the rules' names."""
    secret = "tenant-4711"
    dead = [letter(1, f'{{"who": "{secret}"}}', who=text(secret)), letter(2, f"no json {secret}")]
    case = Case(Account(dead=dead))
    found = CURE.diagnose(Eyes(case.account, SqsDlqBacklog), TARGET, FINDING)
    for name in ("quarantine", "canary", "redrive"):
        case.apply(name)
    assert secret not in f"{found}{case.plan}{case.scratch}{case.account.memory}{case.ledger}"
    assert case.account.home
    assert case.account.stored


# -- taking back -----------------------------------------------------------------------------------------------------


def test_a_move_of_ours_is_cancelled_while_it_runs() -> None:
    """By the handle that the list gives; what was moved stays moved."""
    case = Case(Account(dead=letters(60)))
    case.apply("redrive")
    case.apply("undo redrive")
    assert case.account.calls[-2:] == ["ListMessageMoveTasks", "CancelMessageMoveTask"]


def test_a_move_that_is_over_needs_no_cancelling() -> None:
    """SQS gives a handle only while it runs."""
    case = Case(Account(dead=letters(60)))
    case.apply("redrive")
    case.account.tasks = [task("COMPLETED")]
    case.apply("undo redrive")
    assert case.account.calls[-1] == "ListMessageMoveTasks"


def test_somebody_elses_move_is_not_cancelled() -> None:
    """We moved one by one; the move that runs is not ours."""
    case = Case(Account(dead=letters(5)))
    case.apply("redrive")
    case.account.tasks = [task()]
    calls = len(case.account.calls)
    case.apply("undo redrive")
    assert len(case.account.calls) == calls


def test_a_move_whose_notes_were_lost_is_cancelled() -> None:
    """The plan has one only where none was started for a day: what runs is ours."""
    case = Case(Account(dead=letters(60)))
    case.account.tasks = [task()]
    case.apply("undo redrive")
    assert case.account.calls[-1] == "CancelMessageMoveTask"


@pytest.mark.parametrize(
    "error, passes",
    [
        (Missing("a", "ResourceNotFoundException"), True),
        (Rejected("a", "AWS.SimpleQueueService.UnsupportedOperation"), True),
        (Rejected("a", "ThrottlingException"), False),
    ],
)
def test_a_move_that_ended_in_between_is_no_error(error: AwsError, passes: bool) -> None:
    """Over between the list and the call; anything else is said."""
    case = Case(Account(dead=letters(60)))
    case.apply("redrive")
    case.account.fails["sqs:CancelMessageMoveTask"] = error
    if passes:
        case.apply("undo redrive")
        return
    with pytest.raises(Rejected):
        case.apply("undo redrive")


def test_the_report_says_how_many_a_cancelled_move_had_moved() -> None:
    """As SQS says."""
    cancel = Call("sqs", "CancelMessageMoveTask", str(DLQ))
    assert CURE.effect(cancel, {"ApproximateNumberOfMessagesMoved": 7}) == {"moved": 7}
    assert CURE.effect(Call("sqs", "SendMessage", str(SOURCE)), {}) == {}


@pytest.mark.parametrize(
    "operation, tasks, later, outcome",
    [
        ("ReceiveMessage", [], 0, Outcome.NOT_DONE),
        ("ChangeMessageVisibility", [], 0, Outcome.NOT_DONE),
        ("SendMessage", [], 99, Outcome.UNKNOWN),
        ("DeleteMessage", [], 99, Outcome.UNKNOWN),
        ("PutObject", [], 99, Outcome.UNKNOWN),
        ("StartMessageMoveTask", [task()], 0, Outcome.DONE),
        ("StartMessageMoveTask", [task("FAILED")], 0, Outcome.DONE),
        ("StartMessageMoveTask", [], 59, Outcome.UNKNOWN),
        ("StartMessageMoveTask", [], 60, Outcome.NOT_DONE),
        ("StartMessageMoveTask", [task("COMPLETED", started=OLD)], 60, Outcome.NOT_DONE),
    ],
)
def test_what_became_of_a_call_is_found_by_looking(
    operation: str, tasks: list[dict[str, Any]], later: int, outcome: Outcome
) -> None:
    """A move is listed; a late request may still land within a minute; letters cannot be looked up."""
    eyes = Eyes(Account(now=NOW + timedelta(seconds=later), tasks=tasks), SqsDlqBacklog)
    assert CURE.reconcile(eyes, Call("sqs", operation, str(DLQ)), NOW) is outcome


# -- how it goes -----------------------------------------------------------------------------------------------------


def canary(dead: int = 20, **settings: Any) -> Case:
    """A case whose canary is on its way."""
    case = Case(Account(dead=letters(dead)), SqsDlqBacklog(**settings))
    case.apply("canary")
    return case


def test_a_canary_that_was_finished_opens_the_way() -> None:
    """Three messages were finished since, nothing waits at home, nothing came back."""
    case = canary()
    case.pass_time(3, deleted=3.0)
    assert case.went("canary") == (Progress.NEXT, "3 letters sent home, 3 messages finished, 0 came back")
    assert case.ledger == Ledger(moved=3, processed=3)


def test_a_canary_is_waited_for() -> None:
    """Nothing finished yet, or finished and still something at home that may be ours."""
    case = canary()
    case.pass_time(3, deleted=2.0)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(0, deleted=3.0, waiting=1)
    assert case.went("canary")[0] is Progress.WAIT
    assert case.ledger == Ledger(moved=3, processed=2, remaining=1)


def test_a_canary_is_waited_for_as_long_as_a_letter_takes_to_die_again() -> None:
    """Visibility timeout x receives, and what CloudWatch needs to show it; with live traffic something always waits."""
    case = canary()
    case.pass_time(4, deleted=30.0, waiting=5)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(1, deleted=30.0, waiting=5)
    assert case.went("canary")[0] is Progress.NEXT


def test_letters_are_known_to_be_gone_when_all_that_wait_were_sent_later() -> None:
    """Live traffic keeps the queue filled; its oldest message is younger than ours."""
    case = canary()
    case.account.metrics["orders", AGE] = [90.0]
    case.pass_time(4, deleted=30.0, waiting=5)
    assert case.went("canary")[0] is Progress.WAIT  # the oldest might still be ours
    case.account.metrics["orders", AGE] = [30.0]
    assert case.went("canary")[0] is Progress.NEXT
    assert case.ledger == Ledger(moved=3, processed=3)


def test_the_wait_for_a_canary_is_bounded() -> None:
    """A visibility timeout of hours would hold everything up: at most the canary's patience."""
    source = counts(0, VisibilityTimeout="43200", RedrivePolicy='{"maxReceiveCount": 3}')
    case = Case(Account(dead=letters(20), attributes={SOURCE: source}))
    case.apply("canary")
    case.pass_time(21, deleted=9.0, waiting=5)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(1, deleted=9.0, waiting=5)
    assert case.went("canary")[0] is Progress.NEXT


def test_a_canary_that_nobody_finishes_stops_the_attempt() -> None:
    """Not at once: after the canary's patience."""
    case = canary()
    case.pass_time(21)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(1)
    assert case.went("canary") == (
        Progress.STOP,
        "3 letters were sent home, and 0 messages were finished since",
    )


@pytest.mark.parametrize("back, progress", [(1, Progress.NEXT), (2, Progress.STOP), (3, Progress.STOP)])
def test_most_of_a_canary_coming_back_stops_the_attempt(back: int, progress: Progress) -> None:
    """One of three is a bad letter, and will be stored; two of three are a consumer that fails."""
    case = canary()
    case.pass_time(3, deleted=3.0 - back)
    case.die_again(back)
    assert case.went("canary")[0] is progress
    assert case.ledger.returned == back


def test_half_of_a_canary_coming_back_is_not_most_of_it() -> None:
    """One of two."""
    case = canary(canary=2)
    case.pass_time(3, deleted=1.0)
    case.die_again(1)
    assert case.went("canary")[0] is Progress.NEXT


def test_in_a_large_queue_what_came_back_shows_in_its_size() -> None:
    """A sample of thirty of hundreds would hardly meet three."""
    case = canary(400)
    case.account.metrics["orders-dlq", VISIBLE] = [397.0, 397.0, 397.0]
    case.account.dead += letters(3)  # not told apart by when they were sent
    case.pass_time(6, deleted=9.0)
    assert case.went("canary")[0] is Progress.STOP


def test_a_canary_without_letters_opens_the_way_or_says_why_there_were_none() -> None:
    """All were stored before: go on. All must be left: stop."""
    case = Case(Account(dead=[letter(1, "no json")]))
    case.apply("quarantine")
    case.apply("canary")
    assert case.went("canary") == (Progress.NEXT, "there was no letter to try it with")
    case = Case(Account(dead=letters(2)))
    fingerprints = [Letter.received(each).fingerprint for each in case.account.dead]
    case.account.memory |= {f"redriven {fingerprint}": 2 for fingerprint in fingerprints}
    case.apply("canary")
    progress, why = case.went("canary")
    assert progress is Progress.STOP
    assert "2 x its content was sent back in 2 earlier incidents" in why


def redrive(dead: int = 60, **settings: Any) -> Case:
    """A case whose redrive is on its way."""
    case = Case(Account(dead=letters(dead)), SqsDlqBacklog(**settings))
    case.apply("redrive")
    return case


def test_a_full_move_that_nobody_came_back_from_is_over_when_home_is_empty() -> None:
    """Waited for while it runs, and while what it moved may still be at home."""
    case = redrive()
    case.account.tasks = [task(moved=20, to_move=60)]
    assert case.went("redrive") == (Progress.WAIT, "20 of about 60 letters moved")
    case.account.dead = []
    case.account.tasks = [task("COMPLETED", moved=60)]
    case.pass_time(2, waiting=40)
    assert case.went("redrive") == (Progress.WAIT, "all moved; 40 messages are not finished")
    assert case.ledger == Ledger(moved=60, processed=20, remaining=40)
    case.pass_time(0)
    assert case.went("redrive") == (Progress.NEXT, "60 letters moved, 0 came back")
    assert case.ledger == Ledger(moved=60, processed=60)


def test_a_full_move_is_over_when_the_last_letter_has_had_its_time() -> None:
    """Home is never empty where there is live traffic: moved / rate, then as long as a letter takes to die again."""
    case = redrive()
    case.account.dead = []
    case.account.tasks = [task("COMPLETED", moved=600)]
    case.pass_time(5, waiting=9)
    assert case.went("redrive")[0] is Progress.WAIT
    case.pass_time(1, waiting=9)
    assert case.went("redrive")[0] is Progress.NEXT


@pytest.mark.parametrize("back, progress", [(6, Progress.WAIT), (7, Progress.STOP)])
def test_more_than_a_tenth_coming_back_stops_a_full_move(back: int, progress: Progress) -> None:
    """While it runs; the step's undo cancels it then."""
    case = redrive(400)
    case.account.dead = [letter(number, sent=NOW + MINUTE) for number in range(back)]
    case.account.tasks = [task(moved=60, to_move=400)]
    case.pass_time(3)
    assert case.went("redrive")[0] is progress


def test_what_came_back_is_estimated_where_it_cannot_be_counted() -> None:
    """Of thirty looked at, ten died since; of three hundred that would be a hundred."""
    case = redrive(400)
    fresh = [letter(1000 + number, sent=NOW + MINUTE) for number in range(10)]
    case.account.dead = [*fresh, *letters(290)]
    case.account.tasks = [task(moved=110, to_move=400)]
    assert case.went("redrive") == (Progress.STOP, "100 of 110 letters came back")


def test_a_single_letter_that_comes_back_is_no_share() -> None:
    """One of five would be twenty per cent."""
    case = redrive()
    case.account.dead = [letter(1, sent=NOW + MINUTE)]
    case.account.tasks = [task(moved=5, to_move=60)]
    assert case.went("redrive")[0] is Progress.WAIT


@pytest.mark.parametrize(
    "entry, why",
    [
        (task("FAILED") | {"FailureReason": "CouldNotDetermineMessageSource"}, "CouldNotDetermineMessageSource"),
        (task("FAILED"), "no reason was given"),
        (task("CANCELLED", moved=9), "somebody cancelled the move after 9 letters"),
    ],
)
def test_a_full_move_that_did_not_finish_stops_the_attempt(entry: dict[str, Any], why: str) -> None:
    """With SQS's own reason."""
    case = redrive()
    case.account.tasks = [entry]
    progress, said = case.went("redrive")
    assert progress is Progress.STOP
    assert why in said


def test_a_full_move_that_never_shows_stops_the_attempt() -> None:
    """Its answer was lost, and the list never had it."""
    case = redrive()
    case.account.tasks = []
    assert case.went("redrive") == (Progress.WAIT, "the move does not show yet")
    case.pass_time(20)
    assert case.went("redrive")[0] is Progress.STOP


def test_a_redrive_whose_notes_were_lost_is_found_by_looking() -> None:
    """A move that shows is ours. Where there is none, letters were moved one by one, or nothing was: again."""
    case = redrive()
    case.scratch = {}
    case.account.tasks = [task(moved=5, to_move=60)]
    assert case.went("redrive") == (Progress.WAIT, "5 of about 60 letters moved")
    case.account.tasks = [task("COMPLETED", started=NOW - timedelta(hours=25))]
    assert case.went("redrive")[0] is Progress.AGAIN


def test_what_is_left_at_the_end_stops_the_attempt() -> None:
    """Nobody waits for what will not go away by itself: the next diagnosis says what it is."""
    case = redrive(5)
    case.account.dead = letters(1)
    case.pass_time(3)
    assert case.went("redrive") == (Progress.STOP, "5 letters sent home, 0 came back; 1 are still there")


def test_what_is_counted_but_not_seen_is_waited_for() -> None:
    """The count of a queue may lag behind it."""
    case = redrive(5)
    case.account.attributes[DLQ] = counts(1)
    case.pass_time(3)
    assert case.went("redrive")[0] is Progress.WAIT


def test_letters_moved_one_by_one_are_waited_for() -> None:
    """While they may be at home still."""
    case = redrive(5)
    case.pass_time(3, waiting=2)
    assert case.went("redrive")[0] is Progress.WAIT
    assert case.ledger == Ledger(moved=5, processed=3, remaining=2)
    case.pass_time(2, waiting=2)
    assert case.went("redrive") == (Progress.NEXT, "5 letters sent home, 0 came back")


def test_too_many_letters_coming_back_stop_moving_one_by_one() -> None:
    """Two of five are not one in ten."""
    case = redrive(5)
    case.account.now += MINUTE
    case.die_again(2)
    case.pass_time(3)
    assert case.went("redrive") == (Progress.STOP, "2 of 5 letters came back")


def test_the_bounce_is_measured_by_the_attempt_and_the_ledger_by_the_incident() -> None:
    """What the first attempt sent and got back does not stop the second; it is in the account all the same."""
    case = redrive(5)
    case.account.now += MINUTE
    case.die_again(2)
    later = NOW + timedelta(hours=1)
    case.account.now = later
    case.began.append(later)
    case.apply("quarantine")  # the two that came back are stored
    assert len(case.account.stored) == 2
    case.account.dead = letters(3)
    for number, each in enumerate(case.account.dead):
        each.update(MessageId=f"n{number}", Body=f'{{"later": {number}}}')
    case.apply("redrive")
    case.pass_time(3)
    assert case.went("redrive") == (Progress.NEXT, "3 letters sent home, 0 came back")
    assert case.ledger == Ledger(moved=8, processed=6, quarantined=2)


def test_the_last_word_on_the_ledger_is_what_the_queues_say() -> None:
    """At the end of the incident the queues are asked again; without notes the ledger stays as it was."""
    case = redrive(5)
    known = Ledger(moved=7, processed=2, remaining=5)
    case.pass_time(5)
    assert case.last_word(known=known) == Ledger(moved=7, processed=7)
    case.account.memory.clear()
    assert case.last_word(known=known, scratch={}) == known
    assert case.last_word(known=known, scratch={"since": "x"}) == known


def _die_when(condition: Callable[[], bool]) -> None:
    if condition():
        raise KeyboardInterrupt


def test_a_step_that_died_without_notes_is_told_by_the_durable_counters() -> None:
    """One letter was sent and confirmed, the second sent when the tick died: the report knows both all the same."""
    case = Case(Account(dead=letters(5)))
    case.account.after["sqs:SendMessage"] = partial(_die_when, lambda: len(case.account.home) == 2)
    with pytest.raises(KeyboardInterrupt):
        case.apply("canary")
    case.pass_time(5)
    ledger = case.last_word(scratch={})
    assert (ledger.moved, ledger.uncertain) == (1, 1)


def test_without_a_plan_the_last_word_is_what_was_known() -> None:
    """A record that has lost its plan names no queues to look at."""
    case = redrive(60)
    known = Ledger(moved=3, processed=2, returned=1)
    incident = replace(Hand(case.account, case.step("redrive"), ledger=known).incident, plan=None, ledger=known)
    assert CURE.settle_ledger(Eyes(case.account, SqsDlqBacklog), TARGET, incident) == known


def test_what_was_counted_is_told_also_where_the_queues_cannot_be_read() -> None:
    """The tick that sent a letter died, and nobody may look at the queues since: it is told that a letter was sent."""
    case = Case(Account(dead=letters(5)))
    case.account.after["sqs:SendMessage"] = partial(_die_when, lambda: len(case.account.home) == 2)
    with pytest.raises(KeyboardInterrupt):
        case.apply("canary")
    case.account.attributes[SOURCE] = Unread("not allowed")
    assert case.last_word(scratch={}) == Ledger(moved=1, remaining=1, uncertain=1)
    known = Ledger(moved=3, processed=2, returned=1)
    assert case.last_word(known=known, scratch={}) == replace(known, uncertain=1)


def test_the_move_that_a_dead_tick_has_started_is_told_too() -> None:
    """The notes of the step were lost; that a move was begun stands in the memory, how far it came SQS says."""
    case = redrive(60)
    case.scratch = {}
    case.account.memory = {"i1 task": 1}
    case.account.tasks = [task("COMPLETED", moved=60, to_move=60)]
    case.pass_time(5)
    assert case.last_word().moved == 60
    case.scratch = {"account": {"by_tasks": 60}}  # a later attempt has it in its account
    assert case.last_word().moved == 60
    case.scratch = {}
    case.account.tasks = []
    assert case.last_word().moved == 0


@pytest.mark.parametrize(
    "tasks, moved",
    [
        ([task("CANCELLED", moved=70, to_move=400)], 70),
        ([task("COMPLETED", started=NOW + 5 * MINUTE, moved=9), task("CANCELLED", moved=70, to_move=400)], 70),
        ([], 0),
    ],
    ids=["cancelled since", "and somebody else moved the rest later", "not listed any more"],
)
def test_what_a_cancelled_move_has_moved_by_then_is_counted(tasks: list[dict[str, Any]], moved: int) -> None:
    """A move goes on between the last look and its end: the last word is what SQS lists, and only of our own move."""
    case = redrive(60)
    account = case.scratch["account"]["moved"]
    case.scratch["redrive"] = {**case.scratch["redrive"], "mode": "task", "at": NOW.isoformat()}
    case.account.tasks = tasks
    case.account.now = NOW + 10 * MINUTE
    assert case.last_word().moved == account + moved


def test_the_move_of_an_earlier_attempt_is_not_counted_twice() -> None:
    """A later attempt's account has it already."""
    case = redrive(60)
    case.scratch["redrive"] = {**case.scratch["redrive"], "mode": "task", "at": NOW.isoformat()}
    case.scratch["attempt"] = {**case.scratch["attempt"], "at": (NOW + MINUTE).isoformat()}
    case.account.tasks = [task("CANCELLED", moved=70, to_move=400)]
    assert case.last_word().moved == case.scratch["account"]["moved"]


# -- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"rate": 0},
        {"rate": 501},
        {"canary": 0},
        {"sample": 31},
        {"bounce_percent": 0},
        {"bounce_percent": 51},
        {"healthy_for": timedelta(minutes=1)},
        {"threshold": 0},
        {"redrives_ever": 0},
        {"otherwise": "fine"},
        {"purge": True},
    ],
)
def test_a_setting_out_of_bounds_is_refused_where_it_is_written(settings: dict[str, Any]) -> None:
    """Before anything is deployed."""
    with pytest.raises(ValidationError):
        SqsDlqBacklog(**settings)


def test_the_defaults_are_those_of_the_reference() -> None:
    """R2, as far as it says a number; the rest is small enough to be undone by hand."""
    cure = SqsDlqBacklog()
    assert (cure.threshold, cure.canary, cure.bounce_percent, cure.sample, cure.redrives_ever) == (1, 3, 10, 30, 2)
    assert (cure.rate, cure.batch, cure.one_by_one, cure.quarantine_limit, cure.source_backlog) == (
        10,
        100,
        1000,
        20,
        100,
    )
    assert (cure.healthy_for, cure.canary_patience, cure.error_percent) == (10 * MINUTE, 20 * MINUTE, 1)


@given(st.none() | st.dictionaries(st.sampled_from([*counts(0), "MessageRetentionPeriod"]), st.text() | st.integers()))
def test_any_attributes_give_an_observation(attributes: dict[str, Any] | None) -> None:
    """Whatever SQS says: healthy, sick or unknown, and never an error."""
    assert isinstance(CURE.detect(TARGET, looked(attributes, points(1.0))), Observation)


def test_the_settings_survive_json() -> None:
    """They travel to the function as JSON."""
    rule = {"name": "r", "means": "obsolete", "when": {"test": "json-equals", "path": "a.0", "value": True}}
    cure = SqsDlqBacklog.model_validate({"rules": [rule], "healthy_for": timedelta(minutes=12)})
    assert SqsDlqBacklog.model_validate_json(cure.model_dump_json()) == cure


def test_the_one_home_there_is_may_be_found() -> None:
    """Where only one queue names this one, nobody must say which is meant."""
    eyes = Eyes(Account(dead=letters(2)), SqsDlqBacklog)
    assert CURE.diagnose(eyes, replace(TARGET, source=None), FINDING).facts["source"] == str(SOURCE)


def test_the_consumer_of_a_queue_may_be_found() -> None:
    """A registered service that names the queue is as good as a configured consumer."""
    worker = Target(SERVICE, "orders", queue=SOURCE)
    assert planned(Account(dead=letters(2), registered=(worker,)), target=replace(TARGET, consumer=None)).steps


# -- what became of letters that are gone ------------------------------------------------------------------------------

HOUR = 60 * MINUTE
GONE = (*[4.0] * 20, 0.0, 0.0)
"""four letters, and then none"""
OLDEST = (*[3600.0 - 60 * ago for ago in range(20, 0, -1)], 0.0, 0.0)
"""the first of them had died an hour before it was gone"""


def missing(target: Target = TARGET, **more: Any) -> str:
    """What is said to be lost of an account in which four letters are gone, an hour after they died."""
    attributes = {**counts(0), "MessageRetentionPeriod": "3600", **more.pop("dlq", {})}
    metrics = {(DLQ.name, VISIBLE): [*GONE], (DLQ.name, AGE): [*OLDEST], **more.pop("metrics", {})}
    account = Account(attributes={DLQ: attributes, **more.pop("attributes", {})}, metrics=metrics, **more)
    account.attributes[SOURCE] = {"VisibilityTimeout": "60", "RedrivePolicy": '{"maxReceiveCount": 3}'}
    return CURE.lost(Eyes(account, SqsDlqBacklog), target, Hand(account, Step("x", (), MINUTE)).incident)


def test_letters_that_are_gone_when_they_expire_are_lost() -> None:
    """Nobody has moved or deleted them, and SQS keeps no letter longer."""
    assert missing().startswith(
        "4 letters are gone that nobody has moved or deleted, as far as SQS says: it keeps them"
    )
    assert missing(target=replace(TARGET, source=None)) == missing()
    one = {(DLQ.name, "NumberOfMessagesDeleted"): [0.0, 3.0]}
    assert missing(metrics=one).startswith("1 letter is gone ")


@pytest.mark.parametrize(
    "more",
    [
        {"metrics": {(DLQ.name, "NumberOfMessagesDeleted"): [4.0]}},
        {"tasks": [task("COMPLETED", moved=4)]},
        {"dlq": counts(4)},
        {"dlq": {"MessageRetentionPeriod": "86400"}},
        {"dlq": {"MessageRetentionPeriod": "x"}},
        {"metrics": {(DLQ.name, AGE): []}},
        {"metrics": {(DLQ.name, AGE): [1e300]}},
        {"metrics": {(DLQ.name, VISIBLE): []}},
    ],
    ids=["deleted", "moved", "there", "long before", "no retention", "no age", "no calendar has it", "never any"],
)
def test_letters_that_may_have_gone_otherwise_are_not_called_lost(more: dict[str, Any]) -> None:
    """Somebody deleted or moved them; they are not gone; or they would not have expired by then."""
    assert missing(**more) == ""


def test_a_move_from_before_took_none_of_these_letters() -> None:
    """What it moved was not here any more."""
    assert missing(tasks=[task("COMPLETED", started=OLD, moved=4)])


def test_a_letter_may_be_older_than_its_death() -> None:
    """SQS counts from when it was first sent: a letter may be lost as much sooner as its consumer had tried."""
    late = {(DLQ.name, AGE): [age - 240 if age else 0.0 for age in OLDEST]}
    assert missing(metrics=late) == missing()
    later = {(DLQ.name, AGE): [age - 480 if age else 0.0 for age in OLDEST]}
    assert missing(metrics=later) == ""


def test_what_cannot_be_read_is_not_guessed() -> None:
    """Raises, for whoever asks to say so."""
    with pytest.raises(Unreadable):
        missing(metrics={(DLQ.name, VISIBLE): Unread("denied")})


# -- letters with an order ---------------------------------------------------------------------------------------------

FIFO = replace(DLQ, resource="orders-dlq.fifo")
HOME = replace(SOURCE, resource="orders.fifo")
IN_ORDER = replace(TARGET, arn=FIFO, source=HOME)


def ordered(**more: Any) -> Account:
    """An account with seven letters in a FIFO queue, whose consumer works."""
    count = more.pop("dead", 7)
    home = {"ApproximateNumberOfMessages": "0", "VisibilityTimeout": "60", "RedrivePolicy": '{"maxReceiveCount": "3"}'}
    steady = {
        ("orders.fifo", "NumberOfMessagesReceived"): [5.0] * 20,
        ("orders.fifo", "NumberOfMessagesDeleted"): [5.0] * 20,
        ("orders-dlq.fifo", VISIBLE): [7.0] * 20,
    }
    named = {"sqs:ListDeadLetterSourceQueues": ["https://sqs.eu-central-1.amazonaws.com/123456789012/orders.fifo"]}
    return Account(
        attributes={FIFO: {**counts(count), "MessageRetentionPeriod": "1209600"}, HOME: home},
        metrics={**steady, **more.pop("metrics", {})},
        answers={**named, **more.pop("answers", {})},
        **more,
    )


def moving(account: Account) -> Plan:
    """What is planned for it."""
    eyes = Eyes(account, SqsDlqBacklog)
    plan = CURE.plan(CURE.diagnose(eyes, IN_ORDER, FINDING))
    assert (eyes.looks, "sqs:ReceiveMessage" in eyes.used) == (0, False)
    return plan


def test_letters_with_an_order_are_moved_by_sqs_alone_and_a_person_is_asked() -> None:
    """None is looked at, none is sent by us, and nothing else is tried after it."""
    plan = moving(ordered())
    [step] = plan.steps
    assert (plan.asks, plan.final) == (True, True)
    assert [call.operation for call in step.calls] == ["StartMessageMoveTask"]
    assert step.calls[0].params["MaxNumberOfMessagesPerSecond"] == 1
    assert [call.operation for call in step.undo] == ["ListMessageMoveTasks", "CancelMessageMoveTask"]
    assert "processed before them" in plan.risk


@pytest.mark.parametrize(
    "account, guard",
    [
        (ordered(answers={"sqs:ListDeadLetterSourceQueues": []}), "source"),
        (ordered(answers={"sqs:ListDeadLetterSourceQueues": ["https://x/orders", "https://x/orders.fifo"]}), "source"),
        (ordered(tasks=[task("COMPLETED", started=NOW - 2 * HOUR)]), "move-task"),
        (ordered(services={SERVICE: service(runningCount=0)}), "consumer"),
    ],
    ids=["nobody's", "of two queues", "moved today", "consumer fails"],
)
def test_letters_with_an_order_stay_where_it_could_not_be_kept(account: Account, guard: str) -> None:
    """Or where another move would be the second one of a day."""
    with pytest.raises(Refused) as caught:
        CURE.diagnose(Eyes(account, SqsDlqBacklog), IN_ORDER, FINDING)
    assert caught.value.guard == guard


def gone(account: Account, plan: Plan) -> dict[str, Any]:
    """The move is begun: what is noted of it."""
    hand = Hand(account, plan.steps[0])
    CURE.apply(hand, plan, plan.steps[0])
    return hand.scratch


@pytest.mark.parametrize(
    "status, moved, dead, how",
    [
        ("RUNNING", 3, 4, Progress.WAIT),
        ("RUNNING", 3, 5, Progress.WAIT),  # one that came back is no share
        ("RUNNING", 3, 6, Progress.STOP),
        ("COMPLETED", 7, 0, Progress.NEXT),
        ("COMPLETED", 7, 1, Progress.STOP),
        ("CANCELLED", 3, 4, Progress.STOP),
        ("FAILED", 3, 4, Progress.STOP),
    ],
)
def test_how_a_move_in_order_goes_is_told_by_what_is_there(status: str, moved: int, dead: int, how: Progress) -> None:
    """What is there besides what is to be moved yet has come back."""
    account = ordered()
    plan = moving(account)
    scratch = gone(account, plan)
    account.attributes[FIFO] = counts(dead)
    account.tasks = [task(status, moved=moved, to_move=7)]
    account.now = NOW + 30 * MINUTE
    found, _, ledger = CURE.progress(Eyes(account, SqsDlqBacklog), plan, plan.steps[0], scratch)
    assert found is how
    assert ledger is not None
    assert (ledger.moved, ledger.returned, ledger.balanced) == (moved, max(0, dead - (7 - moved)), True)


def test_a_move_in_order_that_has_not_begun_brings_no_letter_back() -> None:
    """SQS says how many are to be moved only once it has begun: until then all that is there is to be moved yet."""
    account = ordered()
    plan = moving(account)
    scratch = gone(account, plan)
    account.tasks = [task()]
    del account.tasks[0]["ApproximateNumberOfMessagesToMove"]
    account.now = NOW + 2 * MINUTE
    found, why, ledger = CURE.progress(Eyes(account, SqsDlqBacklog), plan, plan.steps[0], scratch)
    assert (found, why) == (Progress.WAIT, "0 letters moved")
    assert ledger is not None
    assert (ledger.moved, ledger.returned, ledger.balanced) == (0, 0, True)


def test_a_move_in_order_that_does_not_show_is_waited_for() -> None:
    """SQS lists it late, or it was never begun."""
    account = ordered()
    plan = moving(account)
    scratch = gone(account, plan)
    account.tasks = []
    eyes = Eyes(account, SqsDlqBacklog)
    assert CURE.progress(eyes, plan, plan.steps[0], scratch)[0] is Progress.WAIT
    account.now = NOW + 2 * HOUR
    assert CURE.progress(eyes, plan, plan.steps[0], scratch)[0] is Progress.STOP


@pytest.mark.parametrize("moved, uncertain, says", [(3, 0, "1 letter is gone "), (3, 1, ""), (4, 0, "")])
def test_what_we_have_moved_ourselves_is_not_lost_though_no_metric_shows_it_yet(
    moved: int, uncertain: int, says: str
) -> None:
    """Nor is what we may have moved: the ledger knows of both."""
    account = Account(
        attributes={DLQ: {**counts(0), "MessageRetentionPeriod": "3600"}},
        metrics={(DLQ.name, VISIBLE): [*GONE], (DLQ.name, AGE): [*OLDEST]},
    )
    incident = replace(
        Hand(account, Step("x", (), MINUTE)).incident, ledger=Ledger(moved=moved, processed=moved, uncertain=uncertain)
    )
    found = CURE.lost(Eyes(account, SqsDlqBacklog), TARGET, incident)
    assert found.startswith(says)
    assert bool(found) is bool(says)
