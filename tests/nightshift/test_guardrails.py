"""Each guardrail passes what it should and refuses the rest, with a reason and its numbers."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift import guardrails
from nightshift.calendar import Calendar, Dates, Day, Freeze, Window
from nightshift.guardrails import GUARDRAILS, Brake, Facts, refusals, undo_refused
from nightshift.model import Approval, Arn, Call, Look, Mode, Plan, Step, SwitchState, Target
from nightshift.remediation import Unread

from tests.support.toy import MINUTE, START, queue_arn

HERE, OTHER = queue_arn("orders"), queue_arn("other")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
YES = {"auto-remediation": "enabled"}


def plan(*calls: Call) -> Plan:
    """A plan of these calls."""
    return Plan("toy", HERE, "do it", (Step("one", calls, timedelta(0)),), risk="", undo_by_hand="")


CALL = Call("sqs", "SetQueueAttributes", HERE)
PLAN = plan(CALL)


def facts(**more: Any) -> Facts:
    """What passes every guardrail, but for ``more``."""
    passing = Facts(
        now=START,
        target=Target(Arn.parse(HERE), "system"),
        mode=Mode.AUTO,
        plan=PLAN,
        planned_hash="",
        bounds=(HERE, "arn:aws:s3:::quarantine/*"),
        continuing=False,
        attempts=0,
        max_attempts=3,
        tags=YES,
        switch=SwitchState.ON,
        switch_reason="",
        brake=Brake(),
        changing=(),
        holder=None,
        cooldown_until=None,
        used_today=0,
        used_this_hour=0,
        per_target_per_day=4,
        per_account_per_hour=10,
    )
    return replace(passing, **more)


def said(**more: Any) -> list[str]:
    """The guards that refuse."""
    return [refusal.guard for refusal in refusals(facts(**more))]


def test_what_is_in_order_passes() -> None:
    """Nothing speaks against it."""
    assert refusals(facts()) == ()


APPROVED = Approval(PLAN.hash, START - MINUTE, START + MINUTE, answer="approved", by="eva")
PASSES: list[dict[str, Any]] = [
    {"plan": plan(Call("s3", "PutObject", "arn:aws:s3:::quarantine/a/*"))},
    {"plan": plan(replace(CALL, grants=(("kms:Decrypt", KEY),)))},
    {"tags": {**YES, "protected": "False "}},
    {"linked_tags": {OTHER: {}}},
    {"attempts": 2},
    {"attempts": 3, "continuing": True},
    {"cooldown_until": START},
    {"cooldown_until": START + MINUTE, "continuing": True},
    {"used_today": 3, "used_this_hour": 9},
    {"used_today": 4, "used_this_hour": 10, "continuing": True},
    {"planned_hash": PLAN.hash},
    {"mode": Mode.APPROVE, "approval": APPROVED},
    {"mode": Mode.APPROVE, "approval": replace(APPROVED, used_at=START), "continuing": True},
]
HOURS = timedelta(hours=2)
MONEY = {"dollars_per_action": 3.0, "dollars_per_day": 10.0}


def dear(dollars: float | None, lease: timedelta | None = HOURS) -> Plan:
    """A plan that costs so many dollars an hour."""
    return replace(PLAN, cost_per_hour=dollars, lease=lease)


PASSES += [
    {**MONEY, "plan": dear(1.5)},
    {**MONEY, "plan": dear(1.5), "dollars_today": 7.0},
    {**MONEY, "plan": dear(0.125, None)},
    {**MONEY, "plan": dear(5.0), "continuing": True},
    {"plan": dear(0.0), "dollars_today": 1.0},
]


SUNDAY = Window(name="sunday", days=(Day.SUN,), begins="02:00", ends="06:00")
MONDAY = Window(name="monday", days=(Day.MON,), begins="02:00", ends="06:00")
OPEN = {"calendar": Calendar(windows=(SUNDAY, MONDAY))}  # it is Sunday, three o'clock
CARED = Target(Arn.parse(HERE), "system", maintenance=("monday", "sunday"))
WEEK = Freeze(dates=(Dates(name="inventory", first=START.date(), last=START.date()),))
FROZEN = {"calendar": Calendar(freeze=WEEK)}
PASSES += [
    OPEN,
    {**OPEN, "target": replace(CARED, maintenance=("monday",))},
    {**OPEN, "only_in": ("sunday",)},
    {**OPEN, "target": CARED, "asked_for": True},
    {**OPEN, "only_in": ("monday",), "continuing": True},
    {**FROZEN, "freeze_safe": True},
    {**FROZEN, "now": START + timedelta(days=1)},
    {"calendar": Calendar(freeze=WEEK.model_copy(update={"override": ("toy",)}))},
]


@pytest.mark.parametrize("more", PASSES)
def test_passes(more: dict[str, Any]) -> None:
    """What is just inside passes."""
    assert refusals(facts(**more)) == ()


REFUSES: list[tuple[str, dict[str, Any], bool]] = [
    ("registered", {"target": None}, False),
    ("registered", {"plan": plan(replace(CALL, resource=OTHER))}, False),
    ("registered", {"plan": plan(replace(CALL, grants=(("sqs:SendMessage", OTHER),)))}, False),
    ("registered", {"plan": plan(replace(CALL, resource=HERE + "-dlq"))}, False),
    ("registered", {"plan": plan(Call("s3", "PutObject", "arn:aws:s3:::quarantine-other/a"))}, False),
    ("window", {"stopped": ("eva has stopped it", START + MINUTE)}, True),
    ("window", {"stopped": ("eva has stopped it", START + MINUTE), "asked_for": True}, True),
    ("protected", {"target": Target(Arn.parse(HERE), "system", protected=True)}, False),
    ("protected", {"tags": {**YES, "protected": ""}}, False),
    ("protected", {"tags": {**YES, "protected": "true"}}, False),
    ("protected", {"linked_tags": {OTHER: {"protected": "yes"}}}, False),
    ("protected", {"linked_tags": {OTHER: Unread("no")}}, True),
    ("opted-in", {"tags": {}}, False),
    ("opted-in", {"tags": {"auto-remediation": "disabled"}}, False),
    ("mode", {"mode": Mode.OBSERVE}, False),
    ("kill-switch", {"switch": None}, True),
    ("kill-switch", {"switch": SwitchState.PAUSED, "switch_reason": "a freeze"}, True),
    ("kill-switch", {"switch": SwitchState.HALTED}, True),
    ("kill-switch", {"switch": SwitchState.HALTED, "continuing": True}, True),
    ("attempts", {"attempts": 3}, False),
    ("storm", {"brake": None}, True),
    ("storm", {"brake": Brake(True, "a storm", sick=5)}, True),
    ("freeze", FROZEN, True),
    ("freeze", {**FROZEN, "continuing": True}, True),
    ("freeze", {"calendar": Calendar(freeze=WEEK.model_copy(update={"override": ("other",)}))}, True),
    ("window", {**OPEN, "target": CARED}, True),
    ("window", {**OPEN, "target": CARED, "continuing": True}, True),
    ("window", {**OPEN, "target": CARED, "freeze_safe": True, "only_in": ("sunday",)}, True),
    ("window", {**OPEN, "only_in": ("monday",)}, True),
    ("window", {"only_in": ("gone",)}, False),
    ("mid-change", {"changing": Unread("no")}, True),
    ("mid-change", {"changing": ("a deployment",)}, True),
    ("one-cause", {"cause": ("a release is on trial", OTHER)}, True),
    ("lease", {"holder": "another"}, True),
    ("cooldown", {"cooldown_until": START + MINUTE}, True),
    ("target-budget", {"used_today": 4}, True),
    ("account-budget", {"used_this_hour": 10}, True),
    ("cost", {**MONEY, "plan": dear(None)}, False),
    ("cost", {**MONEY, "plan": dear(math.nan)}, False),
    ("cost", {**MONEY, "plan": dear(-1.0)}, False),
    ("cost", {**MONEY, "plan": dear(1.51)}, False),
    ("cost", {**MONEY, "plan": dear(0.126, None)}, False),
    ("cost", {**MONEY, "plan": dear(1.5), "dollars_today": 7.01}, True),
    ("cost", {"plan": dear(0.001)}, False),
    ("same-plan", {"planned_hash": "another"}, True),
    ("approval", {"mode": Mode.APPROVE}, True),
    ("approval", {"mode": Mode.APPROVE, "approval": replace(APPROVED, answer="")}, True),
    ("approval", {"mode": Mode.APPROVE, "approval": replace(APPROVED, answer="denied")}, True),
    ("approval", {"mode": Mode.APPROVE, "approval": replace(APPROVED, plan_hash="another")}, True),
    ("approval", {"mode": Mode.APPROVE, "approval": replace(APPROVED, used_at=START)}, True),
    ("approval", {"mode": Mode.APPROVE, "approval": replace(APPROVED, expires_at=START)}, True),
]


SERVICE = "arn:aws:ecs:eu-central-1:123456789012:service/prod/api"
LIMITS = Call(
    "application-autoscaling",
    "RegisterScalableTarget",
    "arn:aws:application-autoscaling:eu-central-1:123456789012:scalable-target/0ec5abc",
    params={"ServiceNamespace": "ecs", "ResourceId": "service/prod/api"},
)


@pytest.mark.parametrize(
    "call, ours",
    [
        (LIMITS, True),
        (replace(LIMITS, params={**LIMITS.params, "ResourceId": "service/prod/api2"}), False),
        (replace(LIMITS, params={**LIMITS.params, "ResourceId": "service/prod/"}), False),
        (replace(LIMITS, params={**LIMITS.params, "ServiceNamespace": "dynamodb"}), False),
        (replace(LIMITS, params={}), False),
        (replace(LIMITS, params={"ServiceNamespace": "ecs"}), False),
        (replace(LIMITS, resource=LIMITS.resource.replace("eu-central-1", "us-east-1")), False),
        (replace(LIMITS, resource=LIMITS.resource.replace("123456789012", "999999999999")), False),
        (replace(LIMITS, resource=LIMITS.resource.replace("scalable-target", "scaling-policy")), False),
        (replace(LIMITS, resource=LIMITS.resource.replace("0ec5abc", "*")), False),
        (replace(LIMITS, resource=LIMITS.resource.replace("aws:application", "aws-cn:application")), False),
        (replace(LIMITS, resource="*"), False),
        (replace(LIMITS, resource="arn:aws:iam::123456789012:role/x"), False),
    ],
)
def test_the_limits_of_autoscaling_are_those_of_the_service_that_they_are_for(call: Call, ours: bool) -> None:
    """A scalable target's own name says nothing: what the call's parameters scale must be what is registered."""
    target = Target(Arn.parse(SERVICE), "system")
    spoken = refusals(facts(target=target, bounds=(SERVICE,), plan=plan(call)))
    assert [refusal.guard for refusal in spoken] == ([] if ours else ["registered"])


API = "arn:aws:appsync:eu-central-1:123456789012:apis/a1"
CACHE = Call("appsync", "CreateApiCache", API, params={"apiId": "a1", "ttl": 300})


@pytest.mark.parametrize(
    "call, ours",
    [
        (CACHE, True),
        (replace(CACHE, operation="DeleteApiCache"), True),
        (replace(CACHE, params={"apiId": "a2"}), False),
        (replace(CACHE, params={}), False),
        (replace(CACHE, params={}, free=("apiId",)), False),
        (replace(CACHE, resource=API.replace("eu-central-1", "us-east-1")), False),
        (replace(CACHE, resource=API.replace("123456789012", "999999999999")), False),
        (replace(CACHE, resource="*"), False),
    ],
)
def test_the_cache_is_that_of_the_api_that_is_registered(call: Call, ours: bool) -> None:
    """IAM knows no resource for it, so nobody but this looks at which API the call's parameters name."""
    target = Target(Arn.parse(API), "system")
    spoken = refusals(facts(target=target, bounds=(API,), plan=plan(call)))
    assert [refusal.guard for refusal in spoken] == ([] if ours else ["registered"])


@pytest.mark.parametrize("resource, ours", [("table/hot", True), ("table/hot/index/place", False), ("table/h", False)])
def test_the_limits_of_a_table_are_not_its_indexes(resource: str, ours: bool) -> None:
    """Each is a target of its own."""
    table = "arn:aws:dynamodb:eu-central-1:123456789012:table/hot"
    call = replace(LIMITS, params={"ServiceNamespace": "dynamodb", "ResourceId": resource})
    spoken = refusals(facts(target=Target(Arn.parse(table), "system"), bounds=(table,), plan=plan(call)))
    assert [refusal.guard for refusal in spoken] == ([] if ours else ["registered"])


@pytest.mark.parametrize(
    "resource, grant, ours",
    [
        ("table/hot", "cloudwatch:DescribeAlarms on *", True),
        ("table/hot", "cloudwatch:PutMetricAlarm on *", False),
        ("table/hot/index/place", "cloudwatch:DescribeAlarms on *", False),
        ("table/other", "cloudwatch:DescribeAlarms on *", False),
    ],
)
def test_what_is_scaled_is_the_table_that_is_registered(resource: str, grant: str, ours: bool) -> None:
    """It has no name before it is made, and none that says anything after; to describe alarms touches none."""
    table = "arn:aws:dynamodb:eu-central-1:123456789012:table/hot"
    nameless = LIMITS.resource.rpartition("/")[0] + "/*"
    action, _, on = grant.partition(" on ")
    params = {"ServiceNamespace": "dynamodb", "ResourceId": resource}
    call = replace(LIMITS, operation="PutScalingPolicy", resource=nameless, params=params, grants=((action, on),))
    spoken = refusals(facts(target=Target(Arn.parse(table), "system"), bounds=(table,), plan=plan(call)))
    assert [refusal.guard for refusal in spoken] == ([] if ours else ["registered"])


@pytest.mark.parametrize("guard, more, later", REFUSES)
def test_refuses(guard: str, more: dict[str, Any], later: bool) -> None:
    """What is just outside is refused by exactly one guardrail, for now or for good, with a reason."""
    [refusal] = refusals(facts(**more))
    assert refusal.guard == guard
    assert (refusal.retry_after is not None) is later
    assert refusal.reason


def test_what_waits_for_its_cause_names_what_must_heal_first() -> None:
    """So that both incidents know each other."""
    [refusal] = refusals(facts(cause=("a release is on trial", OTHER)))
    assert refusal.link == OTHER


def test_a_freeze_says_how_long_it_lasts_and_is_asked_about_again_within_the_hour() -> None:
    """The report shows its end; a correction of the calendar counts sooner."""
    [refusal] = refusals(facts(**FROZEN))
    assert refusal.numbers == {"freeze": "inventory", "until": "2026-03-02T00:00:00+00:00"}
    assert refusal.retry_after == timedelta(hours=1)
    [refusal] = refusals(facts(**FROZEN, now=START + timedelta(hours=20, minutes=50)))
    assert refusal.retry_after == 10 * MINUTE


def test_a_window_says_when_it_closes_or_opens() -> None:
    """A target's own window is waited out, a remediation's own is waited for."""
    [refusal] = refusals(facts(**OPEN, target=CARED, now=START + timedelta(hours=2, minutes=30)))
    assert refusal.numbers == {"window": "sunday", "until": "2026-03-01T06:00:00+00:00"}
    assert refusal.retry_after == 30 * MINUTE
    [refusal] = refusals(facts(**OPEN, only_in=("monday",)))
    assert refusal.numbers == {"window": "monday", "opens": "2026-03-02T02:00:00+00:00"}
    assert refusal.retry_after == timedelta(hours=1)


# -- undo --------------------------------------------------------------------------------------------------------------

BACK = replace(CALL, params={"Attributes": {"DelaySeconds": "0"}}, stops=True)


def undoing(*undo: Call, calls: tuple[Call, ...] = (CALL,), lease: timedelta | None = None) -> Plan:
    """A plan of two steps, of which the second can be undone."""
    two = Step("two", calls, timedelta(0), undo=undo)
    return replace(PLAN, steps=(*PLAN.steps, two), lease=lease)


def undone(recorded: Plan, planned: Plan | None, made: slice = slice(2)) -> str | None:
    """Why that plan of a record is not undone, where the remediation plans another one."""
    return undo_refused(HERE, recorded, planned, made, facts().bounds)


@pytest.mark.parametrize(
    "now",
    [
        undoing(BACK),
        replace(undoing(BACK), cost_per_hour=2.0, risk="high"),
        undoing(BACK, calls=(replace(CALL, params={"Attributes": {"DelaySeconds": "9"}}),)),
    ],
)
def test_an_undo_is_made_as_the_remediation_plans_it(now: Plan) -> None:
    """Whatever else new settings make of the plan: as long as nothing is lent, the undo alone is compared."""
    assert undone(undoing(BACK), now) is None


def test_of_a_loan_the_calls_are_compared_too() -> None:
    """By them it is told whether what stands there is still ours."""
    lent = undoing(BACK, lease=MINUTE)
    assert undone(lent, replace(lent, lease=9 * MINUTE)) is None
    assert undone(lent, replace(lent, steps=undoing(BACK, calls=(replace(CALL, params={"x": 1}),)).steps)) is not None


@pytest.mark.parametrize(
    "recorded, planned, reason",
    [
        (undoing(replace(BACK, resource=OTHER)), undoing(replace(BACK, resource=OTHER)), "does not name"),
        (undoing(replace(BACK, grants=(("sqs:SendMessage", OTHER),))), undoing(BACK), "does not name"),
        (undoing(replace(BACK, stops=False)), undoing(replace(BACK, stops=False)), "more than stop"),
        (undoing(BACK), None, "cannot be planned"),
        (undoing(BACK), replace(undoing(BACK), target=OTHER), "cannot be planned"),
        (undoing(BACK), undoing(), "is not what the remediation plans"),
        (undoing(replace(BACK, params={"Attributes": {"DelaySeconds": "900"}})), undoing(BACK), "is not what"),
        (undoing(BACK), undoing(replace(BACK, stops=False)), "is not what"),
    ],
)
def test_an_undo_of_somebody_elses_making_is_refused(recorded: Plan, planned: Plan | None, reason: str) -> None:
    """Other resources, calls that do more than take back, and calls that the remediation would not plan."""
    assert reason in (undone(recorded, planned) or "")


def test_only_the_steps_that_were_made_are_asked_about() -> None:
    """What was not made is not undone either."""
    assert undone(undoing(BACK), undoing(), slice(1)) is None


def test_tags_that_cannot_be_read_refuse_twice() -> None:
    """Neither the protection nor the opt-in is known."""
    assert said(tags=Unread("no")) == ["protected", "opted-in"]


def test_a_cooldown_is_asked_again_when_it_is_over() -> None:
    """The delay is what is left."""
    [refusal] = refusals(facts(cooldown_until=START + 7 * MINUTE))
    assert refusal.retry_after == 7 * MINUTE
    assert refusal.numbers == {"seconds_left": 420}


def looks(*values: float, threshold: float = 80.0, every: timedelta = timedelta(minutes=1)) -> tuple[Look, ...]:
    """A look a minute, the last one now."""
    return tuple(Look(START - every * (len(values) - 1 - at), each, threshold) for at, each in enumerate(values))


@pytest.mark.parametrize(
    "trend, holds",
    [
        (looks(95, 88), True),
        (looks(95, 91, 86), True),
        (looks(3, 5, threshold=8), True),  # too few, and more of them with every look
        (looks(99, 95, 91, 86), True),  # the last three count
        (looks(80, 95, 91, 86), True),
        (looks(95), False),
        (looks(), False),
        (looks(95, 95), False),
        (looks(90, 95), False),
        (looks(95, 90, 92), False),
        (looks(99.0, 98.5), False),  # at that pace it takes longer than a cure may
        (looks(95, 88)[:1] + looks(88, threshold=85), False),  # another threshold is another measure
        (looks(70, 95, threshold=80), False),  # further away, on the other side
        (looks(80, 80), False),  # at the threshold, and stays there
    ],
)
def test_what_gets_better_by_itself_is_left_alone_for_as_long_as_it_does(trend: tuple[Look, ...], holds: bool) -> None:
    """Nearer at every look, and well within the time that a cure would be given."""
    said = refusals(facts(trend=trend, patience=timedelta(minutes=20)))
    assert [each.guard for each in said] == (["recovering"] if holds else [])
    assert all(each.retry_after == timedelta(minutes=1) for each in said)
    assert refusals(facts(trend=trend, patience=timedelta(minutes=20), continuing=True)) == ()


def test_numbers_are_attributes() -> None:
    """A report shows them without parsing prose."""
    [refusal] = refusals(facts(used_today=5))
    assert refusal.numbers == {"used": 5, "limit": 4}


def test_they_are_asked_in_the_order_of_the_list() -> None:
    """The first refusal is the one that counts: what forbids for good comes before what passes by itself."""
    everything = {
        name: value for _, more, _ in reversed(REFUSES) for name, value in more.items() if name != "continuing"
    }
    spoken = said(**{**everything, "tags": {"protected": "yes"}, "used_today": 9})
    order = [guard.__name__.replace("_", "-") for guard in GUARDRAILS]
    assert spoken[0] == "registered"
    assert [name for name in spoken if name in order] == sorted(
        [name for name in spoken if name in order], key=order.index
    )


def test_every_guardrail_is_in_the_list() -> None:
    """A guardrail that nobody asks is worse than none."""
    public = {
        each
        for name, each in vars(guardrails).items()
        if callable(each) and getattr(each, "__annotations__", {}) == {"facts": "Facts", "return": "Refusal | None"}
    }
    assert public == set(GUARDRAILS)
