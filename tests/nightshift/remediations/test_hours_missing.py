"""Hours without data: which are missing, what must be so before any is asked for, and that each is asked for once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Ambiguous, Refused, Rejected, Unreadable
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Hours,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Query,
    Schedule,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Series, Unread
from nightshift.remediations.hours_missing import HoursMissing

from tests.nightshift.remediations.account import Account, Hand

NOW = datetime.fromisoformat("2026-11-19T12:20:00+00:00")  # the hour before this one is due
RULE = Arn.parse("arn:aws:events:eu-central-1:123456789012:rule/hourly")
FUNCTION = Arn.parse("arn:aws:lambda:eu-central-1:123456789012:function:ingest")
HOURS = Hours(Arn.parse("arn:aws:s3:::raw"), "air/%Y/%m/%d/%H/")
TARGET = Target(RULE, "group", schedule=Schedule(FUNCTION, timedelta(hours=1), hours=HOURS))
THIS = NOW.replace(minute=0)


def at(back: int) -> datetime:
    """An hour so many hours ago: 1 is the newest that is over."""
    return THIS - timedelta(hours=back)


@dataclass
class Eyes:
    """What there is to be read: every hour has data but the ``lost``."""

    lost: tuple[int, ...] = ()
    listing: Any = None
    rule: Any = field(default_factory=lambda: {"State": "ENABLED"})
    runs: Any = field(default_factory=lambda: [20.0])  # minutes ago
    throttled: float = 0
    function: Any = field(default_factory=lambda: {"Timeout": 60})
    memory: dict[str, int] = field(default_factory=dict)
    at: datetime = NOW
    registered: Target | None = TARGET

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(self.at, {query: self._answer(query) for query in queries})

    def counters(self, target: Target, keys: list[str]) -> dict[str, int]:
        """What was noted."""
        return {key: self.memory.get(key, 0) for key in keys}

    def target(self, arn: str) -> Target | None:
        """What is registered."""
        return self.registered

    def now(self) -> datetime:
        """The time."""
        return self.at

    def _answer(self, query: Query) -> Any:
        if isinstance(query, MetricQuery):
            if isinstance(self.runs, Unread):
                return self.runs
            ago = {"Invocations": self.runs, "Errors": [1.0], "Throttles": [1.0] * int(self.throttled)}[query.metric]
            return Series(tuple((self.at - timedelta(minutes=each), 1.0) for each in ago))
        if query.kind == "s3.hours":
            assert query.key == "arn:aws:s3:::raw/air/%Y/%m/%d/%H/"
            there = [each for each in range(49) if each not in self.lost]
            full = {"Hours": {f"{at(each):%Y-%m-%dT%H}": 1 for each in there}}
            return full if self.listing is None else self.listing if self.listing != "none" else None
        return {"events.rule": self.rule, "lambda.function": self.function}[query.kind]


def detect(on: Eyes, target: Target = TARGET) -> Observation:
    """What a look finds."""
    one = HoursMissing()
    return one.detect(target, on.seen(*one.examine(target)))


def sick(on: Eyes) -> Finding:
    """The finding."""
    seen = detect(on)
    assert isinstance(seen, Sick), seen
    return seen.finding


def diagnose(on: Eyes, target: Target = TARGET) -> Diagnosis:
    """What a diagnosis says."""
    return HoursMissing().diagnose(cast("Reader", on), target, Finding("hours-missing", str(RULE), "missing"))


def refused(on: Eyes, target: Target = TARGET) -> Refused:
    """What refuses it."""
    with pytest.raises(Refused) as caught:
        diagnose(on, target)
    return caught.value


def planned(on: Eyes) -> Plan:
    """What is planned."""
    return HoursMissing().plan(diagnose(on))


class Store(Hand):
    """The account's own side: a bucket with objects by hour, and a function that fills it in."""

    def __init__(self, on: Eyes, plan: Plan, *, fails: Any = None, sizes: tuple[int, ...] = (7,)) -> None:
        super().__init__(Account(now=on.at, memory=on.memory), plan.steps[0])
        self.on = on
        self.fails = fails
        self.sizes = sizes
        self.asked: list[dict[str, Any]] = []

    def _effect(self, call: Call, params: dict[str, Any]) -> dict[str, Any]:
        if call.operation == "ListObjectsV2":
            hour = datetime.strptime(f"{params['Prefix']}+0000", "air/%Y/%m/%d/%H/%z")
            there = round((THIS - hour) / timedelta(hours=1)) not in self.on.lost
            return {"Contents": [{"Size": size} for size in self.sizes]} if there else {}
        assert (params["FunctionName"], params["InvocationType"]) == ("ingest", "RequestResponse")
        self.asked.append(json.loads(params["Payload"]))
        if isinstance(self.fails, Exception):
            raise self.fails
        return {"StatusCode": 200} | ({"FunctionError": "Unhandled"} if self.fails else {})


def apply(on: Eyes, plan: Plan, **more: Any) -> list[str]:
    """Carry out one tick of a plan: the hours that were asked for."""
    hand = Store(on, plan, **more)
    HoursMissing().apply(cast("Actor", hand), plan, plan.steps[0])
    return [str(each["timestamp"]) for each in hand.asked]


def progress(on: Eyes, plan: Plan) -> tuple[Progress, str]:
    """How it goes."""
    found, why, _ = HoursMissing().progress(cast("Reader", on), plan, plan.steps[0], {})
    return found, why


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_hours_that_have_data_are_well() -> None:
    """The last 24 that are due."""
    assert detect(Eyes()) == Healthy("each of the last 24 hours of raw has data")


def test_an_hour_between_two_with_data_is_missing() -> None:
    """It is named; four of them are more than late."""
    finding = sick(Eyes(lost=(3, 5)))
    assert finding.symptom == "2 hours of raw have no data"
    assert finding.evidence == ("2026-11-19T07: no data", "2026-11-19T09: no data")
    assert finding.severity is Severity.SEV3
    assert sick(Eyes(lost=(3, 4, 5, 6))).severity is Severity.SEV2


def test_an_hour_is_due_when_it_is_over_and_a_quarter_has_passed() -> None:
    """Not before; and nobody looks further back than said."""
    assert isinstance(detect(Eyes(lost=(1,), at=THIS + timedelta(minutes=14))), Healthy)
    assert isinstance(detect(Eyes(lost=(1,), at=THIS + timedelta(minutes=15))), Sick)
    assert isinstance(detect(Eyes(lost=(24,))), Sick)
    assert isinstance(detect(Eyes(lost=(25,))), Healthy)


def test_before_the_first_hour_none_is_missing() -> None:
    """An ingestion that began this morning has missed nothing."""
    assert isinstance(detect(Eyes(lost=tuple(range(6, 49)))), Healthy)


def test_the_newest_hours_are_missing_where_the_rule_runs_in_vain() -> None:
    """A run of ten minutes ago has stored nothing; a younger one may yet."""
    assert sick(Eyes(lost=(0, 1, 2))).symptom == "hourly runs, and raw gets no data"
    assert detect(Eyes(lost=(0, 1, 2), runs=[9.0])) == Healthy(
        "the newest hours have no data, and hourly has not run since", idle=True
    )


@pytest.mark.parametrize("rule", [{"State": "DISABLED"}, None])
def test_that_a_disabled_rule_stores_nothing_is_not_ours_to_say(rule: Any) -> None:
    """It opens no incident, and ends none."""
    seen = detect(Eyes(lost=(0, 1, 2), rule=rule))
    assert isinstance(seen, Healthy)
    assert seen.idle


@pytest.mark.parametrize(
    "on",
    [
        Eyes(listing=Unread("throttled")),
        Eyes(listing="none"),
        Eyes(listing={}),
        Eyes(listing={"Hours": {"yesterday": 1}}),
        Eyes(listing={"Hours": {}}),
        Eyes(lost=(0, 1), rule=Unread("x")),
        Eyes(lost=(0, 1), runs=Unread("x")),
    ],
)
def test_what_cannot_be_seen_is_unknown(on: Eyes) -> None:
    """And so is a bucket without any hour."""
    assert isinstance(detect(on), Unknown)


@given(st.dictionaries(st.text(), st.integers()) | st.none() | st.integers() | st.lists(st.text()))
def test_any_listing_has_an_answer(hours: Any) -> None:
    """Detection is total."""
    assert isinstance(detect(Eyes(listing={"Hours": hours})), Healthy | Sick | Unknown)


def test_a_schedule_that_leaves_nothing_anywhere_is_not_looked_at() -> None:
    """Nothing is watched, and nothing known."""
    for bare in (Target(RULE, "group"), Target(RULE, "group", schedule=Schedule(FUNCTION, timedelta(hours=1)))):
        assert not HoursMissing().takes(bare)
        assert HoursMissing().watch(bare) == ()
        assert isinstance(detect(Eyes(), bare), Unknown)
        assert refused(Eyes(), bare).guard == "schedule"
    assert HoursMissing().takes(TARGET)


# -- before anything is asked for --------------------------------------------------------------------------------------


def test_the_plan_names_the_first_and_the_last_hour() -> None:
    """It is final, and the same while it goes on, whichever of them are there by now."""
    on = Eyes(lost=(3, 5, 6))
    plan = planned(on)
    assert plan.summary == "start ingest for each hour from 2026-11-19T06 to 2026-11-19T09 without data"
    assert apply(on, plan) == ["2026-11-19T06:00:00Z"]
    on.lost = (3, 5)
    assert planned(on).hash == plan.hash
    on.lost = (3,)  # somebody was quicker
    assert planned(on).hash == plan.hash
    on.at = NOW + timedelta(hours=30)
    assert plan.final


def test_what_was_filled_in_before_does_not_belong_to_the_next_plan() -> None:
    """A gap of its own has a plan of its own."""
    on = Eyes(lost=(20,))
    assert apply(on, planned(on)) == ["2026-11-18T16:00:00Z"]
    on.lost = (3,)
    assert "2026-11-19T09 to 2026-11-19T09" in planned(on).summary


def test_a_disabled_rule_comes_first() -> None:
    """Its own incident is linked."""
    said = refused(Eyes(lost=(3,), rule={"State": "DISABLED"}))
    assert (said.guard, said.link) == ("rule", str(RULE))
    assert said.retry_after is not None


def test_what_is_down_is_not_hammered() -> None:
    """The newest hours are missing, too: it waits for a regular run that stores something."""
    said = refused(Eyes(lost=(0, 1, 5)))
    assert said.guard == "regular-run"
    assert "1 of 1 calls of ingest failed" in said.reason
    assert said.retry_after is not None


def test_a_function_that_somebody_has_stopped_is_not_started() -> None:
    """Reserved concurrency 0 is a decision."""
    assert refused(Eyes(lost=(3,), function={"Timeout": 60, "ReservedConcurrentExecutions": 0})).guard == "stopped"


def test_calls_that_lambda_may_yet_make_are_waited_for() -> None:
    """Unless a second run changes nothing."""
    on = Eyes(lost=(3,), throttled=2)
    assert refused(on).guard == "queued"
    schedule = replace(cast("Schedule", TARGET.schedule), hours=replace(HOURS, idempotent=True))
    assert diagnose(on, replace(TARGET, schedule=schedule)).facts["first"] == "2026-11-19T09:00:00+00:00"


def test_nothing_is_planned_where_nothing_is_missing_any_more_or_can_be_read() -> None:
    """Later."""
    assert refused(Eyes()).retry_after == timedelta(minutes=1)
    with pytest.raises(Unreadable):
        diagnose(Eyes(listing=Unread("throttled")))


def test_what_was_asked_for_in_vain_is_told() -> None:
    """With the command that a person would type."""
    on = Eyes(lost=(3,), memory={"started 2026-11-19T09": 1})
    found = diagnose(on)
    assert "1 hour were asked for" in found.cause
    assert '\'{"backfill": true, "timestamp": "2026-11-19T09:00:00Z"}\'' in found.advice[1]


# -- acting ------------------------------------------------------------------------------------------------------------


def test_one_hour_at_a_time_the_oldest_first_each_once() -> None:
    """And it is noted before."""
    on = Eyes(lost=(3, 4, 5))
    plan = planned(on)
    asked = [*apply(on, plan), *apply(on, plan), *apply(on, plan)]
    assert asked == ["2026-11-19T07:00:00Z", "2026-11-19T08:00:00Z", "2026-11-19T09:00:00Z"]
    with pytest.raises(Refused) as caught:
        apply(on, plan)
    assert caught.value.guard == "same-plan"


def test_an_hour_that_has_data_by_now_is_not_asked_for() -> None:
    """It is looked at once more, right before; an empty object is no data."""
    on = Eyes(lost=(3, 4))
    plan = planned(on)
    on.lost = (3,)
    assert apply(on, plan) == ["2026-11-19T09:00:00Z"]
    on = Eyes(lost=(3, 4))
    plan = planned(on)
    on.lost = (3,)
    assert apply(on, plan, sizes=(0, 0)) == ["2026-11-19T08:00:00Z"]


def test_more_objects_than_are_looked_at_are_data() -> None:
    """What is not known asks for nothing."""
    on = Eyes(lost=(3,))
    plan = planned(on)

    class Many(Store):
        def _effect(self, call: Call, params: dict[str, Any]) -> dict[str, Any]:
            return {"Contents": [{"Size": 0}], "IsTruncated": True}

    with pytest.raises(Refused):
        HoursMissing().apply(cast("Actor", Many(on, plan)), plan, plan.steps[0])


def test_only_what_aws_certainly_did_not_take_may_be_asked_for_again() -> None:
    """An answer that was lost is none."""
    on = Eyes(lost=(3,))
    plan = planned(on)
    with pytest.raises(Rejected):
        apply(on, plan, fails=Rejected("lambda:InvokeFunction", "TooManyRequestsException"))
    assert on.memory["started 2026-11-19T09"] == 0
    with pytest.raises(Ambiguous):
        apply(on, plan, fails=Ambiguous("lambda:InvokeFunction", "ReadTimeoutError"))
    assert on.memory["started 2026-11-19T09"] == 1


def test_an_hour_that_somebody_else_has_just_noted_is_left() -> None:
    """Of two that race, one asks."""
    on = Eyes(lost=(3,))
    plan = planned(on)

    class Late(Store):
        def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
            answer = super().__call__(call, **free)
            on.memory["started 2026-11-19T09"] = 1
            return answer

    hand = Late(on, plan)
    with pytest.raises(Refused):
        HoursMissing().apply(cast("Actor", hand), plan, plan.steps[0])
    assert hand.asked == []


def test_what_the_report_says_of_a_call() -> None:
    """Whether the function failed; a listing changes nothing."""
    one = HoursMissing()
    listing, invoke = planned(Eyes(lost=(3,))).calls
    assert one.effect(invoke, {"FunctionError": "Handled"}) == {"function_error": True}
    assert one.effect(invoke, {}) == {"function_error": False}
    assert one.effect(listing, {}) == {}


def test_what_became_of_a_lost_answer_is_not_known_once_it_was_noted() -> None:
    """Before that it certainly was not made."""
    on = Eyes(lost=(3,))
    one, plan = HoursMissing(), planned(on)
    listing, invoke = plan.calls
    reader = cast("Reader", on)
    assert one.reconcile(reader, listing, NOW) is Outcome.NOT_DONE
    assert one.reconcile(reader, invoke, NOW) is Outcome.NOT_DONE
    apply(on, plan)
    assert one.reconcile(reader, invoke, NOW) is Outcome.UNKNOWN
    assert one.reconcile(reader, invoke, NOW + timedelta(minutes=1)) is Outcome.NOT_DONE
    on.registered = None
    assert one.reconcile(reader, invoke, NOW) is Outcome.UNKNOWN


# -- how it goes -------------------------------------------------------------------------------------------------------


def test_the_next_hour_comes_when_the_last_one_is_there() -> None:
    """And it has settled when all are."""
    on = Eyes(lost=(3, 4))
    plan = planned(on)
    apply(on, plan)
    assert progress(on, plan)[0] is Progress.WAIT
    on.lost = (3,)
    assert progress(on, plan) == (Progress.AGAIN, "1 of 2 hours have data, 0 failed")
    apply(on, plan)
    on.lost = ()
    assert progress(on, plan) == (Progress.NEXT, "2 of 2 hours have data, 0 failed")


def test_an_hour_has_as_long_as_the_function_may_take() -> None:
    """And a minute; then it has failed."""
    on = Eyes(lost=(3, 4))
    plan = planned(on)
    apply(on, plan)
    on.at = NOW + timedelta(seconds=119)
    assert progress(on, plan)[0] is Progress.WAIT
    on.at = NOW + timedelta(seconds=120)
    assert progress(on, plan) == (Progress.AGAIN, "0 of 2 hours have data, 1 failed")


def test_after_two_that_failed_it_stops() -> None:
    """What the function itself says counts at once, also where something was stored."""
    on = Eyes(lost=(3, 4, 5))
    plan = planned(on)
    apply(on, plan, fails=True)
    assert progress(on, plan) == (Progress.AGAIN, "0 of 3 hours have data, 1 failed")
    on.lost = (3,)
    apply(on, plan, fails=True)
    on.lost = ()
    assert progress(on, plan)[0] is Progress.STOP


def test_what_cannot_be_seen_is_waited_for_and_what_is_not_registered_stops() -> None:
    """Nothing is asked for blindly."""
    on = Eyes(lost=(3,))
    plan = planned(on)
    on.listing = Unread("throttled")
    assert progress(on, plan)[0] is Progress.WAIT
    for other in (None, Target(RULE, "group")):
        on.registered = other
        assert progress(on, plan)[0] is Progress.STOP
