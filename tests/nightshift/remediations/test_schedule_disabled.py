"""A rule that is disabled or starts nothing: when it is one, who is asked, and what is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Outcome,
    Query,
    Schedule,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Series, Unread
from nightshift.remediations.schedule_disabled import ScheduleDisabled

from tests.nightshift.remediations.account import NOW, Account, Hand

RULE = Arn.parse("arn:aws:events:eu-central-1:123456789012:rule/hourly")
ON_BUS = Arn.parse("arn:aws:events:eu-central-1:123456789012:rule/orders/hourly")
FUNCTION = Arn.parse("arn:aws:lambda:eu-central-1:123456789012:function:ingest")
TARGET = Target(RULE, "group", schedule=Schedule(FUNCTION, timedelta(hours=1)))
ROLE = "deploy-pipeline"
BY_ROLE = {
    "type": "AssumedRole",
    "arn": f"arn:aws:sts::123456789012:assumed-role/{ROLE}/job-17",
    "sessionContext": {"sessionIssuer": {"userName": ROLE}},
}
BY_PERSON = {"type": "IAMUser", "arn": "arn:aws:iam::123456789012:user/kim"}
HOURLY = [(90, 1.0), (30, 1.0)]


def event(name: str = "DisableRule", ago: float = 20, who: Mapping[str, Any] = BY_ROLE, **asked: Any) -> dict[str, Any]:
    """An event as CloudTrail tells it."""
    error = {"errorCode": asked.pop("errorCode")} if "errorCode" in asked else {}
    told = {"userIdentity": who, "requestParameters": {"name": "hourly", **asked}, **error}
    at = NOW - timedelta(minutes=ago)
    return {"EventName": name, "EventTime": at, "CloudTrailEvent": json.dumps(told)}


@dataclass
class Eyes:
    """What there is to be read. Runs are (minutes ago, how many)."""

    rule: Any = field(default_factory=lambda: {"Name": "hourly", "State": "DISABLED"})
    runs: Any = field(default_factory=lambda: list(HOURLY))
    failed: Any = field(default_factory=list)
    tags: list[dict[str, str]] = field(default_factory=list)
    events: list[Mapping[str, Any]] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    at: datetime = NOW
    registered: Target | None = TARGET

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """A read that is no batch's."""
        if operation == "ListTagsForResource":
            return {"Tags": self.tags}
        assert (service, operation) == ("cloudtrail", "LookupEvents")
        [wanted] = params["LookupAttributes"]
        assert wanted["AttributeKey"] == "EventName"
        return {"Events": [each for each in self.events if each.get("EventName") == wanted["AttributeValue"]]}

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(self.at, {query: self._answer(query) for query in queries})

    def counters(self, target: Target, keys: tuple[str, ...]) -> dict[str, int]:
        """What was noted."""
        return {key: self.memory.get(key, 0) for key in keys}

    def target(self, arn: str) -> Target | None:
        """What is registered."""
        return self.registered

    def now(self) -> datetime:
        """The time."""
        return self.at

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery):
            assert query.kind == "events.rule"
            return self.rule
        values = {"Invocations": self.runs, "FailedInvocations": self.failed}[query.metric]
        if isinstance(values, Unread):
            return values
        return Series(tuple((NOW - timedelta(minutes=ago), value) for ago, value in values))


def enabled(**other: Any) -> Eyes:
    """A rule that is enabled, and this."""
    return Eyes(rule={"Name": "hourly", "State": "ENABLED"}, **other)


def detect(on: Eyes, target: Target = TARGET) -> Observation:
    """What a look finds."""
    one = ScheduleDisabled()
    return one.detect(target, on.seen(*one.watch(target)))


def sick(on: Eyes) -> Finding:
    """The finding."""
    seen = detect(on)
    assert isinstance(seen, Sick), seen
    return seen.finding


def diagnose(on: Eyes, target: Target = TARGET, **settings: Any) -> Diagnosis:
    """What a diagnosis says."""
    one = ScheduleDisabled(automations=(ROLE,), **settings)
    return one.diagnose(cast("Reader", on), target, Finding(one.name, str(RULE), "disabled"))


def refused(on: Eyes, target: Target = TARGET) -> Refused:
    """What refuses a diagnosis."""
    with pytest.raises(Refused) as caught:
        diagnose(on, target)
    return caught.value


def meant_off(target: Target = TARGET) -> Target:
    """A rule that is meant to be disabled."""
    return Target(target.arn, "group", schedule=Schedule(FUNCTION, timedelta(hours=1), expected="disabled"))


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_disabled_is_sick() -> None:
    """Whatever its figures say."""
    assert sick(Eyes()).symptom == "hourly is disabled"


@pytest.mark.parametrize("state", ["ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"])
def test_both_ways_to_be_enabled_are_enabled(state: str) -> None:
    """And a rule that runs is well."""
    assert detect(Eyes(rule={"State": state})) == Healthy("enabled, and started ingest 2 times in 95 minutes")


def test_what_is_meant_to_be_disabled_is_well_either_way() -> None:
    """The configuration says so."""
    assert isinstance(detect(Eyes(), meant_off()), Healthy)
    assert isinstance(detect(enabled(runs=[]), meant_off()), Healthy)


def test_a_rule_that_starts_nothing_for_one_and_a_half_periods_is_sick() -> None:
    """Its figures are only reported where they are not zero: no points are none."""
    finding = sick(enabled(runs=[]))
    assert finding.symptom == "hourly is enabled, and started nothing in 95 minutes"
    assert finding.severity is Severity.SEV3


def test_a_rule_that_fails_to_start_its_function_is_sick_until_it_succeeds() -> None:
    """The newest run counts."""
    finding = sick(enabled(runs=[(90, 1.0), (30, 1.0)], failed=[(30, 1.0)]))
    assert (finding.symptom, finding.severity) == ("hourly fails to start ingest", Severity.SEV2)
    assert isinstance(sick(enabled(runs=[], failed=[(30, 1.0)])), Finding)
    assert isinstance(detect(enabled(failed=[(90, 1.0)])), Healthy)
    assert isinstance(detect(enabled(failed=[(30, 0.0)])), Healthy)


@pytest.mark.parametrize(
    "on",
    [
        Eyes(rule=Unread("throttled")),
        Eyes(rule=None),
        Eyes(rule={}),
        Eyes(rule={"State": "PAUSED"}),
        enabled(runs=Unread("x")),
        enabled(failed=Unread("x")),
    ],
)
def test_what_cannot_be_seen_is_unknown(on: Eyes) -> None:
    """And neither sick nor well."""
    assert isinstance(detect(on), Unknown)


def test_a_rule_of_which_nothing_is_said_is_not_looked_at() -> None:
    """It has no schedule: nothing is watched, and nothing known."""
    bare = Target(RULE, "group")
    assert not ScheduleDisabled().takes(bare)
    assert ScheduleDisabled().takes(TARGET)
    assert ScheduleDisabled().watch(bare) == ()
    assert isinstance(detect(Eyes(), bare), Unknown)
    assert refused(Eyes(), bare).guard == "schedule"


@given(state=st.one_of(st.none(), st.text(), st.integers(), st.just("DISABLED")))
def test_any_state_has_an_answer(state: Any) -> None:
    """Detection is total."""
    assert isinstance(detect(Eyes(rule={"State": state})), Healthy | Sick | Unknown)


def test_whoever_enables_a_rule_waits_for_its_next_run() -> None:
    """What was disabled is neither well nor silent before it has run; what fails then is sick all the same."""
    one, before = ScheduleDisabled(), sick(Eyes())

    def recovered(on: Eyes, finding: Finding = before) -> Observation:
        return one.recovered(TARGET, finding, on.seen(*one.watch(TARGET)))

    assert isinstance(recovered(enabled(runs=[])), Unknown)
    assert isinstance(recovered(enabled(runs=[], failed=[(3, 1.0)])), Sick)
    assert isinstance(recovered(enabled()), Healthy)
    assert isinstance(recovered(Eyes()), Sick)
    assert isinstance(recovered(enabled(runs=[]), sick(enabled(runs=[]))), Sick)


# -- who did it --------------------------------------------------------------------------------------------------------


def test_what_an_automation_disabled_asks_nobody() -> None:
    """The configuration calls it one."""
    found = diagnose(Eyes(events=[event()]))
    assert f"DisableRule by {BY_ROLE['arn']}" in found.cause
    assert not ScheduleDisabled().plan(found).asks


@pytest.mark.parametrize(
    "events, why",
    [
        ([event(who=BY_PERSON)], "user/kim may have meant it"),
        ([event(who={**BY_ROLE, "type": "Root"})], "may have meant it"),
        ([event(who={**BY_ROLE, "invokedBy": "cloudformation.amazonaws.com"})], "may have meant it"),
        ([event(who={"type": "AWSService", "invokedBy": "events.amazonaws.com"})], "events.amazonaws.com may"),
        ([event(who={"type": "Unknown"})], "somebody without a name may"),
        ([event(ago=25), event(ago=20, who=BY_PERSON)], "user/kim may have meant it"),
        ([event("PutRule", state="DISABLED", who=BY_PERSON)], "user/kim may have meant it"),
    ],
)
def test_after_anybody_else_a_person_is_asked(events: list[Mapping[str, Any]], why: str) -> None:
    """The newest of those who did it counts, whichever call it was."""
    found = diagnose(Eyes(events=events))
    assert why in found.facts["asks"]
    plan = ScheduleDisabled().plan(found)
    assert plan.asks
    assert why in plan.risk


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event(ago=40)],  # it has run since: somebody has enabled it, and somebody disabled it again
        [event(ago=25), event("EnableRule", ago=20)],
        [event(ago=25), event("PutRule", ago=20)],  # who puts a rule without its state enables it
        [event(name="DisableRule", who=BY_ROLE) | {"CloudTrailEvent": "{"}],
        [
            event(name="DisableRule")
            | {"CloudTrailEvent": '{"userIdentity": 1, "requestParameters": {"name": "hourly"}}'}
        ],
        [{"EventName": "DisableRule"}],
        [event(errorCode="AccessDenied")],
        [event(eventBusName="orders")],
        [{**event(), "CloudTrailEvent": json.dumps({"userIdentity": BY_ROLE, "requestParameters": None})}],
    ],
)
def test_while_cloudtrail_may_yet_say_who_it_was_it_is_waited_for(events: list[Mapping[str, Any]]) -> None:
    """It is late by a quarter of an hour: only after that nobody knows, and a person is asked."""
    on = Eyes(events=events)
    later = refused(on)
    assert (later.guard, later.retry_after) == ("trail", timedelta(minutes=2))
    on.at = NOW + timedelta(minutes=46)
    found = diagnose(on)
    assert "CloudTrail does not say by whom" in found.cause
    assert found.facts["asks"] == "nobody knows who disabled it"


def test_a_rule_that_never_ran_lately_was_not_disabled_just_now() -> None:
    """So nothing is waited for."""
    assert diagnose(Eyes(runs=[])).facts["asks"] == "nobody knows who disabled it"
    assert diagnose(Eyes(runs=[], events=[event(ago=9000)])).facts["asks"] == ""


def test_what_we_enabled_and_somebody_disabled_again_is_asked() -> None:
    """Within a day; and not where our own call was before that."""
    noted = {"enabled at": int((NOW - timedelta(hours=3)).timestamp())}
    assert "disabled it again" in diagnose(Eyes(events=[event()], memory=noted)).facts["asks"]
    old = {"enabled at": int((NOW - timedelta(hours=30)).timestamp())}
    assert diagnose(Eyes(events=[event()], memory=old)).facts["asks"] == ""
    after = {"enabled at": int(NOW.timestamp())}
    assert diagnose(Eyes(events=[event()], memory=after)).facts["asks"] == ""


def test_a_rule_on_a_bus_of_its_own_is_told_from_its_namesake() -> None:
    """By the bus, which CloudTrail gives by name or ARN; and it is enabled on that bus."""
    target = Target(ON_BUS, "group", schedule=TARGET.schedule)
    on = Eyes(events=[event(eventBusName="arn:aws:events:eu-central-1:123456789012:event-bus/orders")])
    plan = ScheduleDisabled().plan(diagnose(on, target))
    [call] = plan.calls
    assert call.params == {"Name": "hourly", "EventBusName": "orders"}
    assert "--event-bus-name orders" in plan.undo_by_hand
    advice = diagnose(enabled(runs=[]), target).advice
    assert "--rule hourly --event-bus-name orders" in advice[0]


# -- what is left ------------------------------------------------------------------------------------------------------


def test_what_aws_manages_is_left() -> None:
    """Only the service that made it may change it."""
    assert refused(Eyes(rule={"State": "DISABLED", "ManagedBy": "ecs.amazonaws.com"})).guard == "managed"


def test_what_its_tag_calls_meant_is_left() -> None:
    """For good."""
    said = refused(Eyes(tags=[{"Key": "expected", "Value": "disabled"}]))
    assert (said.guard, said.retry_after) == ("on-purpose", None)
    assert diagnose(Eyes(events=[event()], tags=[{"Key": "expected", "Value": "enabled"}])).facts["asks"] == ""


def test_a_rule_that_is_gone_or_cannot_be_read_has_no_diagnosis() -> None:
    """Nothing is made up."""
    with pytest.raises(Missing):
        diagnose(Eyes(rule=None))
    with pytest.raises(Unreadable):
        diagnose(Eyes(rule=Unread("throttled")))


# -- what is told ------------------------------------------------------------------------------------------------------


def test_a_rule_that_starts_nothing_is_told_a_quarter_of_an_hour_later() -> None:
    """CloudTrail may yet say that somebody has only just enabled it."""
    on, notes = enabled(runs=[]), dict[str, Any]()
    found = diagnose(on)
    assert "does not start ingest" in found.cause
    assert found.advice
    one = ScheduleDisabled()
    with pytest.raises(Refused) as caught:
        one.detail(cast("Reader", on), TARGET, found, notes)
    assert caught.value.retry_after == timedelta(minutes=15)
    on.at = NOW + timedelta(minutes=15)
    assert one.detail(cast("Reader", on), TARGET, found, notes) == found


def test_a_rule_that_fails_to_start_is_told_at_once() -> None:
    """Nothing that CloudTrail says would change that."""
    on = enabled(failed=[(30, 1.0)], events=[event("EnableRule", ago=60)])
    found = diagnose(on)
    assert "its permission or the rule's target is wrong" in found.cause
    assert found.evidence == ("2 invocations in 95 minutes, of which 1 failed",)
    assert ScheduleDisabled().detail(cast("Reader", on), TARGET, found, {}) == found


def test_a_rule_that_was_enabled_lately_is_not_called_silent() -> None:
    """By anybody; but what we enabled has had its time after one period."""
    on = enabled(runs=[], events=[event("EnableRule", ago=70)])
    assert refused(on).guard == "just-enabled"
    on.memory = {"enabled at": int((NOW - timedelta(minutes=70)).timestamp())}
    assert "does not start" in diagnose(on).cause
    on.memory = {"enabled at": int((NOW - timedelta(minutes=50)).timestamp())}
    assert refused(on).guard == "just-enabled"
    assert "does not start" in diagnose(enabled(runs=[], events=[event("EnableRule", ago=96)])).cause


# -- acting ------------------------------------------------------------------------------------------------------------


def test_it_notes_when_and_enables_that_rule_and_no_other() -> None:
    """Once; the note is an absolute time."""
    one = ScheduleDisabled()
    plan = one.plan(diagnose(Eyes(events=[event()])))
    account = Account(memory={"enabled at": 5})
    [step] = plan.steps
    one.apply(cast("Actor", Hand(account, step)), plan, step)
    assert account.calls == ["EnableRule"]
    assert account.memory == {"enabled at": int(NOW.timestamp())}
    [call] = plan.calls
    assert (call.action, call.resource, call.params) == ("events:EnableRule", str(RULE), {"Name": "hourly"})


@pytest.mark.parametrize(
    "state, outcome",
    [("ENABLED", Outcome.DONE), ("DISABLED", Outcome.NOT_DONE), ("PAUSED", Outcome.UNKNOWN)],
)
def test_what_became_of_a_lost_answer_is_seen(state: str, outcome: Outcome) -> None:
    """By the state of the rule."""
    [call] = ScheduleDisabled().plan(diagnose(Eyes(events=[event()]))).calls
    assert ScheduleDisabled().reconcile(cast("Reader", Eyes(rule={"State": state})), call, NOW) is outcome


def progress(on: Eyes, *, ago: float = 20) -> tuple[Progress, str]:
    """How it goes, so many minutes after it was enabled."""
    one = ScheduleDisabled()
    plan = one.plan(diagnose(Eyes(events=[event()])))
    on.memory = {"enabled at": int((NOW - timedelta(minutes=ago)).timestamp())}
    found, why, _ = one.progress(cast("Reader", on), plan, plan.steps[0], {})
    return found, why


def test_the_next_run_is_the_proof() -> None:
    """One from before it was enabled proves nothing, nor does one that failed."""
    assert progress(enabled(runs=[(30, 1.0)]))[0] is Progress.WAIT
    assert progress(enabled(runs=[(30, 1.0), (20, 1.0)]))[0] is Progress.NEXT
    assert progress(enabled(runs=[(10, 1.0)], failed=[(10, 1.0)]))[0] is Progress.WAIT
    assert progress(enabled(runs=[(60, 1.0)], failed=[(60, 1.0)]), ago=65)[0] is Progress.STOP


def test_where_there_is_none_a_person_is_told() -> None:
    """After one period and five minutes, and nothing else is tried."""
    assert progress(enabled(runs=[]), ago=64)[0] is Progress.WAIT
    with pytest.raises(Refused) as caught:
        progress(enabled(runs=[]), ago=65)
    assert caught.value.retry_after is None


def test_what_is_disabled_again_meanwhile_stays_so() -> None:
    """Nor does anything go on that the configuration does not name any more."""
    assert progress(Eyes())[0] is Progress.STOP
    assert progress(enabled(registered=None))[0] is Progress.STOP
    assert progress(enabled(registered=Target(RULE, "group")))[0] is Progress.STOP
