"""A queue that gives its messages too little time: what counts as that, what is raised, and what never is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Mode,
    Observation,
    Outcome,
    Query,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Series, Unread
from nightshift.remediations import REMEDIATIONS
from nightshift.remediations.visibility_timeout_short import VisibilityTimeoutShort

from tests.nightshift.remediations.account import DLQ, FUNCTION, NOW, SERVICE, SOURCE

QUEUE = Target(SOURCE, "group", consumer=SERVICE)
LETTERS = Target(DLQ, "group", source=SOURCE, consumer=SERVICE)
MEASURED = VisibilityTimeoutShort(processing_metric="ProcessingTime")
DAY = 86_400
QUIET: Mapping[str, Any] = {
    "VisibilityTimeout": "60",
    "MessageRetentionPeriod": str(14 * DAY),
    "ApproximateNumberOfMessages": "0",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "ApproximateNumberOfMessagesDelayed": "0",
    "RedrivePolicy": json.dumps({"deadLetterTargetArn": str(DLQ), "maxReceiveCount": 3}),
}


@dataclass
class Eyes:
    """
    What there is to be read: the queue, its dead-letter queue, its function, and the hour's figures.

    ``received`` and ``finished`` are what each of 60 minutes counted, or one number for each.
    """

    received: Any = 20.0
    finished: Any = 10.0
    held: Any = field(default_factory=lambda: [0.0])
    work: Any = field(default_factory=lambda: [90.0] * 12)
    exists: Any = field(default_factory=lambda: {"QueueUrl": "x"})
    queue: Any = field(default_factory=lambda: dict(QUIET))
    letters: Any = field(default_factory=lambda: dict(QUIET))
    function: Any = field(default_factory=lambda: {"FunctionName": "etl", "Timeout": 60})
    mappings: list[dict[str, Any]] = field(default_factory=list)
    failed: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
    time: datetime = NOW

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(query) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return self.time

    def __call__(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """The tags of the queue."""
        assert (service, operation) == ("sqs", "ListQueueTags")
        return {"Tags": dict(self.tags)} if self.tags else {}

    def pages(self, service: str, operation: str, key: str, *, limit: int, **params: Any) -> Iterator[Any]:
        """Its event source mappings."""
        assert (service, operation, key, params) == (
            "lambda",
            "ListEventSourceMappings",
            "EventSourceMappings",
            {"EventSourceArn": str(SOURCE)},
        )
        assert limit
        yield from self.mappings

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery):
            own = {str(SOURCE): self.queue, str(DLQ): self.letters}
            kinds: Mapping[str, Any] = {"sqs.exists": self.exists, "lambda.function": self.function}
            return kinds[query.kind] if query.kind in kinds else own[query.key]
        values = {
            "NumberOfMessagesReceived": self.received,
            "NumberOfMessagesDeleted": self.finished,
            "ApproximateNumberOfMessagesNotVisible": self.held,
            "ProcessingTime": self.work,
            "Errors": self.failed,
            "Invocations": 10.0,
        }[query.metric]
        if isinstance(values, Unread):
            return values
        values = [values] * query.minutes if isinstance(values, float) else values[-query.minutes :]
        end = NOW - timedelta(minutes=1)
        times = [end - timedelta(seconds=query.period * back) for back in range(len(values), 0, -1)]
        return Series(tuple(zip(times, values, strict=True)))


def detect(on: Eyes, target: Target = QUEUE, one: VisibilityTimeoutShort = MEASURED) -> Observation:
    """What a look finds."""
    return one.detect(target, on.seen(*one.watch(target)))


def diagnose(on: Eyes, target: Target = QUEUE, one: VisibilityTimeoutShort = MEASURED) -> Diagnosis:
    """What a diagnosis says of what a look found."""
    seen = detect(on, target, one)
    finding = seen.finding if isinstance(seen, Sick) else Finding(one.name, str(target.arn), "it was sick")
    return one.diagnose(cast("Reader", on), target, finding)


def refused(on: Eyes, target: Target = QUEUE, one: VisibilityTimeoutShort = MEASURED) -> Refused:
    """Why there is no diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnose(on, target, one)
    return caught.value


def raised(on: Eyes, target: Target = QUEUE, one: VisibilityTimeoutShort = MEASURED) -> Mapping[str, Any]:
    """What would be set."""
    diagnosis = diagnose(on, target, one)
    assert diagnosis.advice == ()
    [call] = one.plan(diagnosis).calls
    assert (call.action, call.resource, call.free) == ("sqs:SetQueueAttributes", str(target.arn), ())
    return cast("Mapping[str, Any]", call.params["Attributes"])


# -- what it is ------------------------------------------------------------------------------------------------------


def test_only_these_two_attributes_are_ever_set_by_any_remediation() -> None:
    """Whoever may set one attribute of a queue may set its policy: what is declared is all that is ever sent."""
    declared = {name for each in REMEDIATIONS for name in each.sets}
    assert declared == {"VisibilityTimeout", "MessageRetentionPeriod"}


def test_it_watches_until_more_is_allowed_and_is_free_only_with_the_queues_own_tag() -> None:
    """As every remediation; a queue without the tag is asked for."""
    assert (MEASURED.mode, MEASURED.auto_tag) == (Mode.OBSERVE, "auto-raise")


# -- messages that come back -------------------------------------------------------------------------------------------


def test_twice_as_many_received_as_finished_is_a_symptom() -> None:
    """With the figures."""
    seen = detect(Eyes())
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "orders: 1200 messages were received and 600 finished in 60 minutes"
    [signal] = seen.finding.signals
    assert (signal.value, signal.threshold) == (2.0, 1.5)


def test_half_as_many_more_is_none() -> None:
    """It takes more than that."""
    assert detect(Eyes(received=15.0)) == Healthy("900 messages were received and 600 finished in 60 minutes")


@pytest.mark.parametrize(
    "received", [[10.0] * 45 + [40.0] * 15, [40.0] * 45 + [10.0] * 15], ids=["has just begun", "is over"]
)
def test_a_while_of_it_is_none(received: list[float]) -> None:
    """Before the last quarter of the hour, and in it."""
    assert isinstance(detect(Eyes(received=received)), Healthy)


@pytest.mark.parametrize(
    "received", [[0.0] * 45 + [10.0] * 15, [10.0] * 45 + [0.0] * 15, 0.5], ids=["before", "lately", "all the time"]
)
def test_few_messages_say_nothing(received: Any) -> None:
    """Neither that it is sick, nor that it has recovered."""
    seen = detect(Eyes(received=received, finished=0.0))
    assert isinstance(seen, Healthy)
    assert seen.idle


def test_what_a_consumer_has_in_its_hands_is_not_held_against_it() -> None:
    """It has been received, and cannot be finished yet."""
    assert isinstance(detect(Eyes(received=16.0, held=[0.0, 100.0])), Healthy)
    assert isinstance(detect(Eyes(received=16.0, held=[100.0, 0.0])), Sick)
    assert isinstance(detect(Eyes(received=16.0, held=[])), Sick)


def test_nothing_finished_is_a_symptom_too() -> None:
    """Where every message comes back before it is done, none is ever finished."""
    assert isinstance(detect(Eyes(finished=0.0)), Sick)


@pytest.mark.parametrize("what", ["received", "finished", "held", "exists"])
def test_what_cannot_be_read_is_unknown(what: str) -> None:
    """Any of it."""
    unread: dict[str, Any] = {what: Unread("denied")}
    assert detect(Eyes(**unread)) == Unknown("denied")


def test_a_queue_that_is_gone_is_unknown() -> None:
    """It is no healthy one."""
    assert isinstance(detect(Eyes(exists=None)), Unknown)


# -- how long letters are kept -----------------------------------------------------------------------------------------


def kept(letters: int, queue: int = 14 * DAY, waiting: str = "0") -> Eyes:
    """A dead-letter queue and its source that keep their messages so long."""
    own = {**QUIET, "MessageRetentionPeriod": str(letters), "ApproximateNumberOfMessages": waiting}
    return Eyes(letters=own, queue={**QUIET, "MessageRetentionPeriod": str(queue)})


def test_letters_that_are_kept_as_long_as_sqs_can_are_well() -> None:
    """Whatever waits."""
    assert isinstance(detect(kept(14 * DAY, waiting="9"), LETTERS), Healthy)


def test_letters_that_wait_are_kept_for_14_days() -> None:
    """Where none waits, as long as the queue keeps its messages is enough."""
    assert isinstance(detect(kept(4 * DAY, 4 * DAY), LETTERS), Healthy)
    seen = detect(kept(4 * DAY, 4 * DAY, waiting="2"), LETTERS)
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "orders-dlq keeps its letters for 4 days, and 2 wait"


def test_letters_are_never_kept_shorter_than_messages() -> None:
    """Also before there is one: a letter keeps the age that it had as a message."""
    seen = detect(kept(DAY + 1, 4 * DAY), LETTERS)
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "orders-dlq keeps its letters for 86401 s, and messages of orders for 4 days"


@pytest.mark.parametrize("whose", ["queue", "letters"])
@pytest.mark.parametrize(
    "said",
    [
        Unread("denied"),
        None,
        {**QUIET, "MessageRetentionPeriod": "long"},
        {**QUIET, "ApproximateNumberOfMessages": "many"},
    ],
)
def test_a_queue_that_does_not_say_is_unknown(whose: str, said: Any) -> None:
    """Either of the two."""
    on: dict[str, Any] = {whose: said}
    assert isinstance(detect(Eyes(**on), LETTERS), Unknown)


def test_letters_are_raised_to_14_days_and_nothing_else() -> None:
    """Of the dead-letter queue, not of its source."""
    assert raised(kept(4 * DAY, waiting="1"), LETTERS) == {"MessageRetentionPeriod": "1209600"}
    plan = MEASURED.plan(diagnose(kept(4 * DAY, waiting="1"), LETTERS))
    assert plan.steps[0].settle == timedelta(minutes=15)
    assert plan.risk.startswith("none: nothing is deleted sooner")


def test_letters_that_somebody_keeps_longer_by_now_are_let_be() -> None:
    """Between the look and the diagnosis."""
    assert refused(kept(14 * DAY), LETTERS).guard == "queue"


# -- why, and how much more -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds, to", [(49.0, "120"), (96.0, "120"), (97.0, "240"), (500.0, "960")], ids=str)
def test_the_timeout_is_doubled_until_the_work_fits_well(seconds: float, to: str) -> None:
    """Into four fifths of it; the same for a while, so that somebody can say yes to it."""
    assert raised(Eyes(work=[seconds] * 12)) == {"VisibilityTimeout": to}


def test_a_timeout_of_nothing_is_raised_to_what_sqs_gives_first() -> None:
    """From 0 no doubling leads anywhere."""
    on = Eyes(queue={**QUIET, "VisibilityTimeout": "0"}, work=[4.0])
    assert raised(on) == {"VisibilityTimeout": "30"}


def test_milliseconds_are_milliseconds() -> None:
    """As the application counts."""
    one = VisibilityTimeoutShort(processing_metric="ProcessingTime", processing_unit="milliseconds")
    assert raised(Eyes(work=[90_000.0]), one=one) == {"VisibilityTimeout": "120"}


@pytest.mark.parametrize("work", [[48.0] * 12, [1.0] * 7 + [900.0] * 5], ids=["in time", "slow for a while"])
def test_work_that_is_done_in_time_most_of_the_hour_is_not_the_cause(work: list[float]) -> None:
    """People are told that the consumer fails."""
    diagnosis = diagnose(Eyes(work=work))
    assert "their consumer fails" in diagnosis.cause
    assert len(diagnosis.advice) == 1


@pytest.mark.parametrize(
    "one, work", [(VisibilityTimeoutShort(), [90.0]), (MEASURED, [])], ids=["nobody measures it", "nobody reported it"]
)
def test_work_that_nobody_measures_is_told_with_what_would_tell(one: VisibilityTimeoutShort, work: list[float]) -> None:
    """Unknown never acts: the command stands there, without a number."""
    diagnosis = diagnose(Eyes(work=work), one=one)
    assert "their consumer fails, or takes longer than 1 min" in diagnosis.cause
    assert "VisibilityTimeout=SECONDS" in diagnosis.advice[1]
    assert any("not known" in line for line in diagnosis.evidence)


def test_more_than_the_ceiling_is_refused() -> None:
    """With its numbers, and for good."""
    why = refused(Eyes(work=[6000.0]))
    assert (why.guard, why.retry_after) == ("ceiling", None)
    assert why.numbers == {"now": 60, "needed": 7680, "ceiling": 7200}


@pytest.mark.parametrize(
    "policy, fits", [(QUIET["RedrivePolicy"], False), ("", True)], ids=["3 receives", "no letters"]
)
def test_a_message_must_become_a_letter_before_it_is_forgotten(policy: str, fits: bool) -> None:
    """The timeout times the receives is less than the retention, or nothing is raised."""
    on = Eyes(queue={**QUIET, "MessageRetentionPeriod": "300", "RedrivePolicy": policy})
    if fits:
        assert raised(on) == {"VisibilityTimeout": "120"}
    else:
        assert refused(on).guard == "retention"


def test_a_queue_that_does_not_say_its_timeout_is_asked_again_later() -> None:
    """It is not guessed."""
    assert refused(Eyes(queue={**QUIET, "VisibilityTimeout": "x"})).retry_after is not None


@pytest.mark.parametrize("minutes, settled", [(14, False), (15, True), (500, True)])
def test_figures_from_before_a_change_say_nothing(minutes: int, *, settled: bool) -> None:
    """Somebody may have done already what helps: it is looked at again when the figures are from afterwards."""
    changed = int((NOW - timedelta(minutes=minutes)).timestamp())
    on = Eyes(queue={**QUIET, "LastModifiedTimestamp": str(changed)})
    if settled:
        assert raised(on) == {"VisibilityTimeout": "120"}
    else:
        why = refused(on)
        assert (why.guard, why.numbers) == ("changed", {"minutes": minutes})
        assert why.retry_after is not None


# -- functions ---------------------------------------------------------------------------------------------------------

TAKEN = Target(SOURCE, "group", consumer=FUNCTION)


def mapped(arn: object = FUNCTION, **more: Any) -> list[dict[str, Any]]:
    """One event source mapping of the queue."""
    return [{"FunctionArn": str(arn), "State": "Enabled", **more}]


@pytest.mark.parametrize("window, to", [(0, "360"), (None, "360"), (20, "380")])
def test_a_function_needs_six_times_its_timeout_and_its_window(window: int | None, to: str) -> None:
    """What AWS asks for, whatever is measured."""
    on = Eyes(mappings=mapped(MaximumBatchingWindowInSeconds=window))
    assert raised(on, TAKEN, VisibilityTimeoutShort()) == {"VisibilityTimeout": to}


def test_the_slower_mapping_counts() -> None:
    """A queue may have more than one."""
    on = Eyes(mappings=[*mapped(MaximumBatchingWindowInSeconds=300), *mapped(MaximumBatchingWindowInSeconds=0)])
    assert raised(on, TAKEN) == {"VisibilityTimeout": "660"}


def test_a_function_that_has_enough_time_is_not_given_more() -> None:
    """Then people are told."""
    on = Eyes(mappings=mapped(), queue={**QUIET, "VisibilityTimeout": "360"})
    assert "their consumer fails" in diagnose(on, TAKEN).cause


def test_a_mapping_that_is_switched_off_takes_nothing() -> None:
    """Nor one without a function: what is left is the application's own metric."""
    on = Eyes(mappings=[*mapped(State="Disabled"), {"UUID": "0"}])
    assert raised(on, TAKEN) == {"VisibilityTimeout": "120"}


def test_a_service_that_consumes_is_not_asked_for_functions() -> None:
    """The configuration says who consumes."""
    assert raised(Eyes(mappings=mapped("arn:aws:lambda:eu-central-1:123456789012:function:other"))) == {
        "VisibilityTimeout": "120"
    }


@pytest.mark.parametrize("arn", [f"{FUNCTION}:live", "arn:aws:lambda:eu-central-1:123456789012:function:other"])
@pytest.mark.parametrize("consumer", [FUNCTION, None])
def test_a_function_that_is_not_the_configured_one_is_not_judged(arn: str, consumer: Arn | None) -> None:
    """Its timeout may be another one."""
    why = refused(Eyes(mappings=mapped(arn)), Target(SOURCE, "group", consumer=consumer))
    assert (why.guard, why.retry_after) == ("consumer", None)


def test_an_alias_that_is_the_configured_consumer_is_not_judged_by_the_function() -> None:
    """What is read is the function's own timeout: that of the version behind the alias may be another one."""
    live = Arn.parse(f"{FUNCTION}:live")
    why = refused(Eyes(mappings=mapped(live)), Target(SOURCE, "group", consumer=live))
    assert (why.guard, why.retry_after) == ("consumer", None)
    assert why.reason.startswith(f"{live} consumes it")


def test_a_function_that_fails_comes_first() -> None:
    """Its failing brings messages back; once it works, the timeout is looked at again."""
    why = refused(Eyes(mappings=mapped(), failed=0.6), TAKEN)
    assert (why.guard, why.link) == ("consumer", str(FUNCTION))
    assert why.retry_after is not None
    assert raised(Eyes(mappings=mapped(), failed=0.5), TAKEN) == {"VisibilityTimeout": "360"}


def test_a_function_without_a_timeout_is_asked_again_later() -> None:
    """It is not guessed."""
    assert refused(Eyes(mappings=mapped(), function={"FunctionName": "etl"}), TAKEN).retry_after is not None


# -- the plan ----------------------------------------------------------------------------------------------------------


def diagnosis(attribute: str = "VisibilityTimeout", now: int = 60, to: int = 120, **facts: Any) -> Diagnosis:
    """A diagnosis as it stands on a record."""
    said = {"queue": str(SOURCE), "attribute": attribute, "from": now, "to": to, "receives": 3, "stack": "", **facts}
    return Diagnosis(str(SOURCE), "why", facts=said)


@given(
    st.sampled_from(["VisibilityTimeout", "MessageRetentionPeriod"]),
    st.integers(-1, 1_300_000),
    st.integers(-1, 1_300_000),
)
def test_only_a_raise_within_awss_limits_is_ever_planned(name: str, now: int, to: int) -> None:
    """Whatever stands on the record."""
    most = {"VisibilityTimeout": 43_200, "MessageRetentionPeriod": 1_209_600}[name]
    if 0 <= now < to <= most:
        [call] = MEASURED.plan(diagnosis(name, now, to)).calls
        assert (call.params["Attributes"], call.before) == ({name: str(to)}, {name: str(now)})
    else:
        with pytest.raises(ValueError, match="is no raise"):
            MEASURED.plan(diagnosis(name, now, to))


def test_no_other_attribute_is_ever_planned() -> None:
    """A record that asks for a policy gets no plan."""
    with pytest.raises(KeyError):
        MEASURED.plan(diagnosis("Policy"))


def test_the_plan_says_what_it_means_and_who_undoes_it() -> None:
    """How long a dead consumer's message waits, when one that fails dies, and which stack sets it back."""
    plan = MEASURED.plan(diagnose(Eyes(tags={"aws:cloudformation:stack-name": "shop"})))
    assert plan.summary == "hide messages of orders for 2 min once received instead of 1 min, for good"
    assert plan.risk == (
        "a message whose consumer dies comes back after 2 min instead of 1 min; one that always fails is a dead letter "
        "after up to 6 min; the next deployment of stack shop undoes this, unless its template says 120 too"
    )
    assert (plan.lease, plan.cost_per_hour, plan.steps[0].undo) == (None, 0.0, ())
    assert plan.steps[0].settle == timedelta(minutes=3)
    assert "whatever makes the queue may undo this" in MEASURED.plan(diagnosis()).risk
    assert "comes back until it is forgotten" in MEASURED.plan(diagnosis(receives=None)).risk
    assert "FIFO" in MEASURED.plan(diagnosis(queue=f"{SOURCE}.fifo")).risk


def test_the_undo_is_a_line_that_checks_first() -> None:
    """By compare-and-set: what somebody has set since is left."""
    assert MEASURED.plan(diagnosis()).undo_by_hand == (
        '[ "$(aws sqs get-queue-attributes --queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/orders '
        '--attribute-names VisibilityTimeout --query Attributes.VisibilityTimeout --output text)" = 120 ] && '
        "aws sqs set-queue-attributes --queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/orders "
        "--attributes VisibilityTimeout=60"
    )


def test_a_long_timeout_is_not_waited_out() -> None:
    """What was received before comes back within an hour, or is not waited for."""
    assert MEASURED.plan(diagnosis(now=7200, to=14_400)).steps[0].settle == timedelta(minutes=62)


# -- what became of it -------------------------------------------------------------------------------------------------

CALL = MEASURED.plan(diagnosis()).calls[0]


@pytest.mark.parametrize(
    "there, minutes, outcome",
    [
        ("120", 0, Outcome.DONE),
        ("60", 1, Outcome.NOT_DONE),
        ("60", 0, Outcome.UNKNOWN),
        ("90", 5, Outcome.UNKNOWN),
    ],
)
def test_a_lost_answer_is_found_out_by_looking(there: str, minutes: int, outcome: Outcome) -> None:
    """Not done only once the request can no longer take effect, and only where the old value still stands."""
    on = Eyes(queue={**QUIET, "VisibilityTimeout": there}, time=NOW + timedelta(minutes=minutes))
    assert MEASURED.reconcile(cast("Reader", on), CALL, NOW) is outcome


@pytest.mark.parametrize(
    "there, progress",
    [("120", Progress.NEXT), ("300", Progress.NEXT), ("60", Progress.STOP), ("", Progress.WAIT)],
)
def test_the_queue_must_say_what_was_written_or_more(there: str, progress: Progress) -> None:
    """What somebody has set lower since is theirs, and no success of ours."""
    plan = MEASURED.plan(diagnosis())
    on = Eyes(queue={**QUIET, "VisibilityTimeout": there})
    assert MEASURED.progress(cast("Reader", on), plan, plan.steps[0], {})[0] is progress


def test_the_report_says_what_is_there_now() -> None:
    """As written."""
    assert MEASURED.effect(CALL, {}) == {"VisibilityTimeout": "120"}


# -- anything may be read ----------------------------------------------------------------------------------------------

ANYTHING = st.none() | st.text() | st.integers() | st.floats() | st.dictionaries(st.text(), st.text())
ATTRIBUTES = st.dictionaries(st.sampled_from(sorted(QUIET)), ANYTHING)
FIGURES = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60)


@given(FIGURES, FIGURES, FIGURES, ATTRIBUTES, ATTRIBUTES)
def test_detection_is_total(
    received: list[float], finished: list[float], held: list[float], queue: Any, letters: Any
) -> None:
    """Whatever AWS says, a look has an answer."""
    on = Eyes(received=received, finished=finished, held=held, queue=queue, letters=letters)
    for target in (QUEUE, LETTERS):
        assert isinstance(detect(on, target), Healthy | Sick | Unknown)
