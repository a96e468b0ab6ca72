"""A function's failed events: given to it again a few first, when it works, and never when there is doubt."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift.dead_letters import AGE, VISIBLE
from nightshift.errors import Refused, Unreadable
from nightshift.letters import Rule
from nightshift.model import Arn, Call, Diagnosis, Finding, Ledger, Outcome, Plan, Sick, Step, Target
from nightshift.remediation import Progress, Unread
from nightshift.remediations.lambda_dlq_backlog import LambdaDlqBacklog
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog

from tests.nightshift.remediations.account import (
    BUCKET,
    DLQ,
    FUNCTION,
    NOW,
    Account,
    Eyes,
    Hand,
    letter,
    text,
)

CURE = LambdaDlqBacklog()
LIVE = replace(FUNCTION, resource="function:etl:live")
TARGET = Target(DLQ, "etl", function=FUNCTION)
FINDING = Finding(CURE.name, str(DLQ), "s")
MINUTE = timedelta(minutes=1)
RULE = Rule.model_validate(
    {
        "name": "old rows",
        "means": "obsolete",
        "when": {"test": "json-equals", "path": "/order", "value": 0},
    }
)


def described(**other: Any) -> dict[str, Any]:
    """The function, as it is read; a field that is None is not said."""
    said = {
        "FunctionName": "etl",
        "Timeout": 30,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "LastModified": "2026-11-01T00:00:00.000+0000",
        "DeadLetterConfig": {"TargetArn": str(DLQ)},
    }
    return {name: value for name, value in (said | other).items() if value is not None}


def failed(number: int, body: str = "", **more: Any) -> dict[str, Any]:
    """A letter of the function's dead-letter queue."""
    return letter(number, body, source=None, RequestID=text(f"r{number}"), ErrorCode=text("200"), **more)


def events(count: int, **more: Any) -> list[dict[str, Any]]:
    """So many failed events, each with its own content."""
    return [failed(number, **more) for number in range(count)]


def record(number: int, function: str = str(FUNCTION)) -> dict[str, Any]:
    """A letter of its on-failure destination."""
    context = {"functionArn": function, "condition": "RetriesExhausted"}
    body = json.dumps({"requestContext": context, "requestPayload": {"order": number}})
    return letter(number, body, source=None)


def account(dead: list[dict[str, Any]], *, function: Any = ..., **more: Any) -> Account:
    """An account in which the function works and was called a little."""
    metrics = {("etl", "Invocations"): [2.0] * 10, ("etl", "Errors"): [0.0] * 10} | more.pop("metrics", {})
    answers = {"sqs:ListDeadLetterSourceQueues": []} | more.pop("answers", {})
    services = {FUNCTION: described() if function is ... else function}
    return Account(dead=dead, metrics=metrics, answers=answers, services=services, **more)


def diagnosed(there: Account, target: Target = TARGET, cure: LambdaDlqBacklog = CURE) -> Diagnosis:
    """The diagnosis."""
    return cure.diagnose(Eyes(there, LambdaDlqBacklog), target, FINDING)


def refused(there: Account, target: Target = TARGET) -> Refused:
    """What the diagnosis says no to."""
    with pytest.raises(Refused) as caught:
        diagnosed(there, target)
    return caught.value


class Case:
    """One attempt: steps are applied, and asked how they go, with the notes in between."""

    def __init__(self, there: Account, cure: LambdaDlqBacklog = CURE, target: Target = TARGET) -> None:
        self.account, self.cure, self.target = there, cure, target
        self.diagnosis = diagnosed(there, target, cure)
        self.plan: Plan = cure.plan(self.diagnosis)
        self.scratch: dict[str, Any] = {}
        self.ledger = Ledger()
        self.quiet()

    def quiet(self) -> None:
        """From here on the figures are what the test says."""
        for metric in ("Invocations", "Errors"):
            self.account.metrics["etl", metric] = []

    def step(self, name: str) -> Step:
        """A step by its name."""
        return next(step for step in self.plan.steps if step.name == name)

    def apply(self, name: str) -> Hand:
        """Make a step's calls."""
        hand = Hand(self.account, self.step(name), scratch=self.scratch, ledger=self.ledger)
        hand.incident = replace(hand.incident, diagnosis=self.diagnosis)
        self.cure.apply(hand, self.plan, self.step(name))
        self.scratch, self.ledger = dict(hand.scratch), hand.ledger
        assert self.ledger.balanced
        return hand

    def went(self, name: str) -> tuple[Progress, str]:
        """How a step goes."""
        progress, why, ledger = self.cure.progress(
            Eyes(self.account, LambdaDlqBacklog), self.plan, self.step(name), self.scratch
        )
        if ledger is not None:
            assert ledger.balanced
            self.ledger = ledger
        return progress, why

    def last_word(self, *, known: Ledger | None = None, scratch: dict[str, Any] | None = None, **more: Any) -> Ledger:
        """What the final report says of the events."""
        incident = Hand(self.account, self.step("redrive"), ledger=known or Ledger()).incident
        more = {"plan": self.plan} | more
        incident = replace(
            incident, ledger=known or Ledger(), scratch=self.scratch if scratch is None else scratch, **more
        )
        ledger = self.cure.settle_ledger(Eyes(self.account, LambdaDlqBacklog), self.target, incident)
        assert ledger.balanced
        return ledger

    def pass_time(self, minutes: int, *, calls: float = 0.0, errors: float = 0.0) -> None:
        """Time passes, in which the function was called so often, and failed so often."""
        self.account.now += minutes * MINUTE
        self.account.metrics["etl", "Invocations"] = [calls]
        self.account.metrics["etl", "Errors"] = [errors]

    def fail_again(self, count: int) -> None:
        """So many of the events that were given to it are back: in new letters, sent now."""
        for number, sent in enumerate(self.account.home[-count:]):
            again = failed(1000 + number, sent["Payload"].decode(), sent=self.account.now)
            self.account.dead.append(again)


# -- whose queue it is -------------------------------------------------------------------------------------------------


def test_a_queue_that_names_its_function_is_this_ones_and_no_other_ones() -> None:
    """One failure, one remediation: the other takes what names no function."""
    assert (CURE.takes(TARGET), SqsDlqBacklog().takes(TARGET)) == (True, False)
    plain = Target(DLQ, "etl")
    assert (CURE.takes(plain), SqsDlqBacklog().takes(plain)) == (False, True)


def test_it_sees_letters_as_the_other_does() -> None:
    """By the metric of the sweep, and by the queue's attributes at a closer look."""
    there = account(events(2))
    seen = CURE.detect(TARGET, Eyes(there, LambdaDlqBacklog).seen(*CURE.examine(TARGET)))
    assert isinstance(seen, Sick)
    assert (seen.finding.remediation, seen.finding.symptom) == (CURE.name, "2 dead letters in orders-dlq")
    assert {getattr(query, "metric", "") for query in (*CURE.watch(TARGET), *CURE.examine(TARGET))} == {
        "",
        VISIBLE,
        AGE,
    }


# -- diagnosis ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dead", [events(4), [record(number) for number in range(4)]])
def test_events_of_a_function_that_works_again_are_ours_to_give_back(dead: list[dict[str, Any]]) -> None:
    """From its dead-letter queue or its destination; the diagnosis says what it saw and moves nothing."""
    there = account(dead)
    found = diagnosed(there)
    assert found.facts == {
        "dlq": str(DLQ),
        "function": str(FUNCTION),
        "bucket": BUCKET,
        "dlq_key": "",
        "timeout": 30,
    }
    said = " ".join((found.cause, *found.evidence))
    assert "lambda etl failed at these events, and works now: 0 of 20 calls failed in 10 minutes" in said
    assert "4 of about 4 letters looked at are its events: 4 transient" in said
    assert "is lost at 2026-12-03 00:00 UTC" in said
    assert (len(found.rejected), found.advice, len(there.dead)) == (2, (), 4)


def test_the_diagnosis_uses_no_more_than_it_declares_and_declares_no_more_than_it_uses() -> None:
    """A permission that nobody needs is one too many."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/k"
    there = account(
        events(4), attributes={DLQ: {"KmsMasterKeyId": "k"}}, answers={"kms:DescribeKey": {"KeyMetadata": {"Arn": key}}}
    )
    eyes = Eyes(there, LambdaDlqBacklog)
    assert CURE.diagnose(eyes, TARGET, FINDING).facts["dlq_key"] == key
    assert eyes.used == set(CURE.reads)


@pytest.mark.parametrize(
    "function, metrics, why",
    [
        (None, {}, "it does not exist"),
        (described(State="Pending"), {}, "its state is Pending"),
        (described(State=None), {}, "its state is not known"),
        (described(LastUpdateStatus="InProgress"), {}, "its last update is InProgress"),
        (described(LastUpdateStatus=None), {}, "its last update is not known"),
        (described(ReservedConcurrentExecutions=0), {}, "switched it off"),
        (described(LastModified="2026-11-19T02:51:00.000+0000"), {}, "it was changed 9 minutes ago"),
        (described(LastModified="yesterday"), {}, "is not known"),
        (described(), {"Errors": [1.0]}, "1 of 20 calls failed"),
        (described(), {"Throttles": [1.0]}, "1 calls were turned away"),
        (described(), {"Errors": [1.0], "Invocations": [200.0] * 10 + [1.0]}, "no call has gone well since"),
        (described(), {"Errors": [1.0] + [0.0] * 30, "Invocations": [1.0] + [0.0] * 30}, "no call has gone well since"),
    ],
)
def test_events_wait_until_the_function_works(function: Any, metrics: dict[str, Any], why: str) -> None:
    """Given to one that fails they would only fail again; and to one that cannot write them back they would be lost."""
    there = account(events(4), function=function, metrics={("etl", name): each for name, each in metrics.items()})
    said = refused(there, Target(DLQ, "etl", function=LIVE))
    assert (said.guard, said.retry_after, said.link) == ("consumer", 2 * MINUTE, str(FUNCTION))
    assert why in said.reason


def test_a_function_that_went_well_after_it_failed_works() -> None:
    """A minute with a failure, and a later one without: that it failed three hours ago is no reason either."""
    for errors, calls in (([9.0, *[0.0] * 12], [9.0, *[0.0] * 11, 1.0]), ([9.0, *[0.0] * 180], [9.0, *[0.0] * 180])):
        there = account(events(4), metrics={("etl", "Errors"): errors, ("etl", "Invocations"): calls})
        assert diagnosed(there).advice == ()


@pytest.mark.parametrize("metric", ["DeadLetterErrors", "DestinationDeliveryFailures"])
def test_where_failed_events_are_lost_nothing_is_given_and_people_are_told(metric: str) -> None:
    """Given to the function again they would be gone for good at the next failure: whoever may must mend its queue."""
    found = diagnosed(account(events(4), function=described(State="Pending"), metrics={("etl", metric): [1.0, 2.0]}))
    assert found.evidence == ("3 failed events could not be written in the last 3 hours, and are gone",)
    assert "sqs:SendMessage" in found.advice[0]


def test_a_function_that_was_not_called_is_tried_with_a_few() -> None:
    """Nobody may ever call it but the events that it failed at: the canary is what finds out."""
    there = account(events(4), metrics={("etl", "Invocations"): [], ("etl", "Errors"): []})
    assert "0 of 0 calls failed" in diagnosed(there).cause
    limited = described(ReservedConcurrentExecutions=5, LastModified="2026-11-19T02:50:00.000+0000")
    assert diagnosed(account(events(4), function=limited)).facts["timeout"] == 30


@pytest.mark.parametrize("timeout, taken", [(900, 900), (901, 900), (0, 900), (None, 900), ("30", 900), (1, 1)])
def test_how_long_a_call_may_take_is_what_aws_says_or_the_most(timeout: Any, taken: int) -> None:
    """Who waits too long loses minutes; who waits too little believes an event that is still being tried."""
    assert diagnosed(account(events(4), function=described(Timeout=timeout))).facts["timeout"] == taken


@pytest.mark.parametrize(
    "there, target, guard, reason",
    [
        (account([]), Target(DLQ, "etl"), "source", "names no function"),
        (
            account([], attributes={replace(DLQ, resource="q.fifo"): {}}),
            replace(TARGET, arn=replace(DLQ, resource="q.fifo")),
            "fifo",
            "order",
        ),
        (account([], attributes={DLQ: {"RedrivePolicy": "{}"}}), TARGET, "dead-letter-queue", "of its own"),
        (
            account(events(1), answers={"sqs:ListDeadLetterSourceQueues": ["https://h/1/orders"]}),
            TARGET,
            "source",
            "orders names orders-dlq as its dead-letter queue",
        ),
        (account(events(2), function=described(DeadLetterConfig=None)), TARGET, "source", "has no dead-letter queue"),
        (account(events(2), function=described(DeadLetterConfig="x")), TARGET, "source", "has no dead-letter queue"),
        (
            account(events(2), function=described(DeadLetterConfig={"TargetArn": str(DLQ) + "2"})),
            TARGET,
            "source",
            "has another dead-letter queue",
        ),
        (
            account([record(1, str(LIVE)), record(2, f"{FUNCTION}2")]),
            TARGET,
            "source",
            "no letter looked at is an event for lambda etl: 2 x another function, version or alias failed at it",
        ),
        (account([letter(1)]), TARGET, "source", "something unknown"),
    ],
)
@pytest.mark.hostile(24)
def test_what_is_not_ours_to_give_back_is_refused_for_good(
    there: Account, target: Target, guard: str, reason: str
) -> None:
    """With its reason: waiting does not change it."""
    said = refused(there, target)
    assert (said.guard, said.retry_after) == (guard, None)
    assert re.search(reason, said.reason), said.reason


def test_letters_that_nobody_can_see_are_looked_for_again() -> None:
    """The count of a queue may lag behind it."""
    there = account(
        [], attributes={DLQ: {"ApproximateNumberOfMessages": "3"}}, metrics={("orders-dlq", VISIBLE): [3.0] * 20}
    )
    said = refused(there)
    assert (said.guard, said.retry_after) == ("letters", MINUTE)


def test_letters_of_others_are_told() -> None:
    """A rule's letters in a function's queue: whose they are, and what to do; nothing is done by what they claim."""
    rule, target = "arn:aws:events:eu-central-1:123456789012:rule/hourly", str(FUNCTION)
    says: dict[str, Any] = {"RULE_ARN": text(rule), "TARGET_ARN": text(target), "ERROR_CODE": text("NO_PERMISSIONS")}
    found = diagnosed(account([letter(1, **says)]))
    assert any(f"1 x rule {rule}, target {target}: NO_PERMISSIONS" in line for line in found.evidence)
    assert "EventBridge does not take it back" in found.advice[1]


def test_a_destination_needs_no_dead_letter_queue() -> None:
    """Its record names the function itself."""
    assert diagnosed(account([record(1)], function=described(DeadLetterConfig=None))).facts["function"] == str(FUNCTION)


def test_a_few_strangers_do_not_hide_the_events_among_them() -> None:
    """What is not ours is left, letter by letter; what is ours is counted."""
    assert "1 of about 3 letters" in diagnosed(account([letter(1), record(2, str(LIVE)), record(3)])).evidence[0]


def test_what_cannot_be_read_is_no_diagnosis() -> None:
    """The engine tries again; nothing is guessed."""
    for there in (
        account(events(1), attributes={DLQ: Unread("throttled")}),
        account(events(1), function=Unread("throttled")),
        account(events(1), metrics={("etl", "Throttles"): Unread("no data")}),
    ):
        with pytest.raises(Unreadable):
            diagnosed(there)


def test_a_queues_own_rules_come_first_and_bind_the_plan() -> None:
    """They stand in the diagnosis, and are what its steps go by."""
    case = Case(account(events(3)), target=replace(TARGET, letters=(RULE,)))
    assert case.diagnosis.facts["rules"] == [RULE.model_dump(mode="json")]
    assert "1 obsolete, 2 transient" in case.diagnosis.evidence[0]
    case.apply("quarantine")
    assert [json.loads(body)["stored"]["because"] for body in case.account.stored.values()] == ["old rows"]


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_plan_does_not_change_while_the_queue_does() -> None:
    """What is done next is still what was decided."""
    before = CURE.plan(diagnosed(account([*events(40), failed(99, "no json")])))
    after = CURE.plan(diagnosed(account(events(7), now=NOW + 9 * MINUTE)))
    assert before.hash == after.hash
    assert [step.name for step in before.steps] == ["quarantine", "canary", "redrive"]


def test_every_action_of_the_plan_is_declared_and_every_declared_one_is_planned() -> None:
    """The role is made from the declaration, the session from the plan."""
    found = diagnosed(account(events(4)))
    plan = CURE.plan(replace(found, facts={**found.facts, "dlq_key": "arn:aws:kms:eu-central-1:1:key/k"}))
    assert {call.action for call in plan.calls} == set(CURE.writes)
    assert {action for call in plan.calls for action, _ in call.grants} == set(CURE.delegates)


def test_everything_is_bound_to_the_queue_the_function_and_one_prefix_of_the_quarantine() -> None:
    """The version or alias that was registered is the one that is called, and nobody waits for its answer."""
    plan = CURE.plan(diagnosed(account(events(4)), replace(TARGET, function=LIVE)))
    assert {call.resource for call in plan.calls} == {
        str(DLQ),
        str(LIVE),
        f"arn:aws:s3:::{BUCKET}/letters/orders-dlq/*",
    }
    calls = [call for call in plan.calls if call.operation == "Invoke"]
    assert [call.times for call in calls] == [CURE.canary, CURE.batch]
    for call in calls:
        assert call.params == {"FunctionName": str(LIVE), "InvocationType": "Event"}
        assert (call.free, call.stops, call.before) == (("Payload",), False, {"timeout": 30})


def test_what_is_not_known_to_have_happened_is_unknown() -> None:
    """An event cannot be looked up; what only hid letters left nothing behind."""
    plan, eyes = CURE.plan(diagnosed(account(events(4)))), Eyes(account([]), LambdaDlqBacklog)
    found = {call.operation: CURE.reconcile(eyes, call, NOW) for call in plan.calls}
    assert found.pop("ReceiveMessage") is found.pop("ChangeMessageVisibility") is Outcome.NOT_DONE
    assert set(found.values()) == {Outcome.UNKNOWN}


def test_a_letter_that_was_not_read_as_an_event_is_no_event() -> None:
    """Whoever reads letters in another way cannot have them given to anybody."""
    from nightshift.letters import Letter

    assert CURE.not_for(Letter.received(failed(1)), str(FUNCTION)) == "it was not read as an event"


# -- acting ------------------------------------------------------------------------------------------------------------


def test_events_that_nobody_can_read_are_stored_and_strangers_are_left() -> None:
    """Poison is set apart; what is another's stays where it is."""
    case = Case(account([*events(2), failed(8, "no json"), letter(9), record(10, str(LIVE))]))
    case.apply("quarantine")
    assert (len(case.account.stored), len(case.account.dead), case.account.home) == (1, 4, [])
    left = case.scratch["quarantine"]["left"]
    assert left["it is no failed event of a function"] == 1
    assert left["another function, version or alias failed at it"] == 1
    assert case.went("quarantine") == (Progress.NEXT, "1 letters stored")


def test_the_canary_gives_a_few_as_they_were_written() -> None:
    """Three, and the others are shown to everybody again."""
    case = Case(account(events(20)))
    case.apply("canary")
    payloads = {each["Payload"].decode() for each in case.account.home}
    assert len(payloads) == 3
    assert payloads <= {message["Body"] for message in events(20)}
    assert (len(case.account.dead), case.ledger) == (17, Ledger(moved=3, remaining=3))


def test_the_canary_is_waited_for_until_all_that_lambda_tries_is_over() -> None:
    """Three calls of thirty seconds, and the minutes between them: only then is it known whether one comes back."""
    case = Case(account(events(20)))
    assert case.went("canary")[0] is Progress.AGAIN  # a crash took the notes
    case.apply("canary")
    case.pass_time(6, calls=3)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(1, calls=3)
    progress, why = case.went("canary")
    assert (progress, why) == (Progress.NEXT, "3 events given to it, 3 calls went well since, 0 came back")
    assert case.ledger == Ledger(moved=3, processed=3)


def test_the_wait_for_a_slow_function_is_bounded() -> None:
    """By the setting, where its calls may take a quarter of an hour."""
    case = Case(account(events(20), function=described(Timeout=900)), LambdaDlqBacklog(canary_patience=10 * MINUTE))
    case.apply("canary")
    case.pass_time(11, calls=3)
    assert case.went("canary")[0] is Progress.WAIT
    case.pass_time(1, calls=3)
    assert case.went("canary")[0] is Progress.NEXT
    assert case.ledger == Ledger(moved=3, remaining=3)  # may yet come back, and is not called processed


@pytest.mark.parametrize("back, ends", [(1, Progress.NEXT), (2, Progress.STOP), (3, Progress.STOP)])
def test_a_canary_that_comes_back_stops_the_attempt(back: int, ends: Progress) -> None:
    """More than half of it: the function still fails at them."""
    case = Case(account(events(20)))
    case.apply("canary")
    case.pass_time(7, calls=3 + 2 * back, errors=3 * back)
    case.fail_again(back)
    progress, why = case.went("canary")
    assert progress is ends, why
    assert case.ledger == Ledger(moved=3, processed=3 - back, returned=back)


def test_events_that_nobody_is_seen_to_work_on_stop_the_attempt() -> None:
    """Lambda took them, and no call went well: what became of them is not known."""
    case = Case(account(events(20)))
    case.apply("canary")
    case.pass_time(7)
    assert case.went("canary") == (Progress.STOP, "3 events were given to it, and 0 calls went well since")


@pytest.mark.parametrize("step", ["canary", "redrive"])
def test_an_event_that_is_lost_stops_everything(step: str) -> None:
    """The function fails, and Lambda cannot write the event back: nothing more is given to it, and it is said."""
    case = Case(account(events(20)))
    case.apply(step)
    case.account.now += 5 * MINUTE
    case.account.metrics["etl", "DeadLetterErrors"] = [1.0]
    progress, why = case.went(step)
    assert progress is Progress.STOP
    assert "1 events could not be written into their queue" in why


def test_a_canary_without_events_opens_the_way_or_says_why_there_were_none() -> None:
    """Nothing to try it with is no failure; nothing that may be tried is."""
    case = Case(account(events(3)))
    case.account.dead.clear()
    case.apply("canary")
    assert case.went("canary") == (Progress.NEXT, "there was no event to try it with")
    case = Case(account(events(3)))
    case.account.dead[:] = [letter(1)]
    case.apply("canary")
    said = "none of the events may be given to it: 1 x it is no failed event of a function"
    assert case.went("canary") == (Progress.STOP, said)


def test_the_rest_goes_in_batches() -> None:
    """So many a tick, until the queue has no more."""
    case = Case(account(events(25)), LambdaDlqBacklog(batch=10))
    case.apply("redrive")
    assert case.went("redrive") == (Progress.AGAIN, "10 events moved, 15 to go")
    case.pass_time(1, calls=10, errors=5)
    assert case.went("redrive") == (Progress.WAIT, "5 calls failed since: waiting whether events come back")
    case.pass_time(6, calls=10, errors=5)
    assert case.went("redrive")[0] is Progress.AGAIN  # they went well at another try
    case.apply("redrive")
    case.apply("redrive")
    case.pass_time(2, calls=25)
    assert case.went("redrive") == (Progress.WAIT, "waiting whether events come back")
    case.pass_time(5, calls=25)
    assert case.went("redrive") == (Progress.NEXT, "25 events given to it, 0 came back")
    assert case.ledger == Ledger(moved=25, processed=25)


def test_a_rest_whose_notes_were_lost_is_made_again() -> None:
    """After a crash: what was given to the function is known, and not given to it again."""
    case = Case(account(events(3)))
    assert case.went("redrive")[0] is Progress.AGAIN


def test_too_many_that_come_back_stop_the_rest() -> None:
    """More than the share that may."""
    case = Case(account(events(10)))
    case.apply("redrive")
    case.fail_again(1)
    case.pass_time(7, calls=10)
    progress, why = case.went("redrive")
    assert (progress, why) == (Progress.STOP, "10 events given to it, 1 came back; 1 are still there")
    case.fail_again(2)
    assert case.went("redrive")[1] == "3 of 10 events came back"


def test_an_event_that_comes_back_is_stored_and_never_given_to_it_again() -> None:
    """In the next attempt it is poison: the function works, and fails at this one."""
    case = Case(account(events(1)))
    case.apply("canary")
    case.account.dead.clear()
    case.account.now += 7 * MINUTE
    case.fail_again(1)
    case.apply("quarantine")
    [body] = case.account.stored.values()
    assert json.loads(body)["stored"]["because"] == "it came back after it was sent home to a consumer that works"
    assert len(case.account.home) == 1


def test_what_may_not_be_moved_ends_the_rest() -> None:
    """With the reasons, and not by going round and round."""
    case = Case(account(events(25)), LambdaDlqBacklog(batch=10, one_by_one=10))
    case.apply("redrive")
    case.apply("redrive")
    assert case.went("redrive") == (Progress.STOP, "no more events may be moved: the limit is reached")
    case = Case(account([*events(2), letter(50)]))
    case.apply("redrive")
    case.pass_time(7, calls=2)
    said = "2 events given to it, 0 came back; 1 are still there: 1 x it is no failed event of a function"
    assert case.went("redrive") == (Progress.STOP, said)


def test_what_is_counted_but_not_seen_is_waited_for() -> None:
    """The count of a queue may lag behind it."""
    case = Case(account(events(2)))
    case.apply("redrive")
    case.pass_time(7, calls=2)
    case.account.attributes[DLQ] = {"ApproximateNumberOfMessages": "1"}
    assert case.went("redrive") == (Progress.WAIT, "2 events given to it, 0 came back; 1 cannot be seen")


# -- the last word -----------------------------------------------------------------------------------------------------


def test_the_last_word_on_the_ledger_is_what_the_counters_and_the_queue_say() -> None:
    """Also where a crash took the notes, or the queue cannot be read any more."""
    case = Case(account(events(4)))
    assert case.last_word(known=Ledger(moved=1, remaining=1), scratch={}) == Ledger(moved=1, remaining=1)
    assert case.last_word(plan=None) == Ledger()
    case.apply("redrive")
    assert case.last_word(scratch={}) == Ledger(moved=4, remaining=4)
    case.pass_time(9, calls=4)
    assert case.last_word() == Ledger(moved=4, processed=4)
    assert case.last_word(attempts=()) == Ledger(moved=4, processed=4)
    case.fail_again(1)
    assert case.last_word() == Ledger(moved=4, processed=3, returned=1)
    case.account.attributes[DLQ] = Unread("denied")
    assert case.last_word(known=Ledger(moved=4, processed=2, returned=1, remaining=1)) == Ledger(
        moved=4, processed=2, returned=1, remaining=1
    )


def test_what_came_back_is_estimated_where_it_cannot_be_counted() -> None:
    """A sample of a large queue: its share of all."""
    case = Case(account(events(60)), LambdaDlqBacklog(batch=10, sample=10))
    case.apply("redrive")
    case.account.dead[:] = [*events(5, sent=case.account.now), *events(50)[5:]]
    assert case.last_word().returned == 10  # no more than were given to it


def test_a_call_is_told_by_its_name_in_the_trail() -> None:
    """IAM calls it something else."""
    assert Call("lambda", "Invoke", str(FUNCTION)).action == "lambda:InvokeFunction"
    assert Arn.parse(str(LIVE)).kind == "lambda:function"


def test_events_are_lost_by_their_own_hour() -> None:
    """What Lambda wrote into the queue is as old as it says, and nobody moves such a queue as a whole."""
    eyes = Eyes(Account(), LambdaDlqBacklog)
    assert CURE.dies_within(eyes, TARGET) == timedelta(0)
    assert CURE.moved_since(eyes, DLQ, NOW) == 0
