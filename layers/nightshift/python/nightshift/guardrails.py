"""
The guardrails: an ordered tuple of pure functions, each passing a plan (None) or refusing it with a reason and numbers.

Everything a guardrail compares stands in :class:`Facts`, read by the engine right before; a fact that could not be read
is ``None`` or :class:`~nightshift.remediation.Unread`, and refuses. The order is the order a person would ask in: ours?
allowed? stopped? too many at once? the wrong time? being changed by somebody else? recovering? too soon? too often?
too dear? still the same plan? approved?
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from nightshift.calendar import Calendar
from nightshift.model import Approval, Call, Look, Mode, Plan, Refusal, SwitchState, Target
from nightshift.remediation import Unread

__all__ = [
    "APPROVAL",
    "GUARDRAILS",
    "MODE",
    "NOT_NOW",
    "ONE_CAUSE",
    "OPT_IN_TAG",
    "PROTECTED_TAG",
    "SWITCH",
    "Brake",
    "Facts",
    "Guardrail",
    "refusals",
    "switched_off",
    "undo_refused",
    "waits_for",
]

OPT_IN_TAG = ("auto-remediation", "enabled")
"""the tag a resource must carry before anything is done to it (remediations.md X5)"""
PROTECTED_TAG = "protected"
"""the tag that forbids everything, whatever its value, unless that is "false" """

SWITCH = "kill-switch"
MODE = "mode"
APPROVAL = "approval"
ONE_CAUSE = "one-cause"

_SOON = timedelta(minutes=1)
_LATER = timedelta(minutes=5)
_TREND = 2
"""looks that show where it goes; one more is asked where there is one"""
_LONG = timedelta(hours=1)  # so that a calendar that somebody corrects counts within the hour
_NO = frozenset({"false", "no", "0"})


@dataclass(frozen=True, slots=True)
class Brake:
    """
    The storm brake: engaged when too much is sick at once for it to be many separate failures.

    ``dark`` counts the sweeps in a row, the last one included, that proved nothing.
    """

    engaged: bool = False
    reason: str = ""
    since: datetime | None = None
    calm_since: datetime | None = None
    sick: int = 0
    told: bool = False
    dark: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """
    What the guardrails look at, read right before they are asked.

    ``step`` counts from 0; ``attempts`` are those already begun (the one under way included when ``step`` > 0).
    ``bounds`` are the ARNs (or ARN prefixes ending in ``*``) that the plan may touch. ``changing`` says what is being
    deployed or updated around the target. ``used_today`` and ``used_this_hour`` are applications already counted.
    ``dollars_today`` is what they may cost in the account, and is read only for a plan that costs anything.
    ``freeze_safe`` and ``only_in`` are the remediation's: whether a freeze lets it act, and in which windows it begins.
    ``asked_for``: people have asked for it, who work in windows too. ``stopped`` says which maintenance has stopped the
    target, or what it is linked to, and until when.
    ``trend`` is what the last looks measured, oldest first; ``patience`` how long a cure of ours would be given.
    """

    now: datetime
    target: Target | None
    mode: Mode
    plan: Plan
    planned_hash: str
    bounds: tuple[str, ...]
    continuing: bool
    attempts: int
    max_attempts: int
    tags: Mapping[str, str] | Unread
    switch: SwitchState | None
    switch_reason: str
    brake: Brake | None
    changing: tuple[str, ...] | Unread
    holder: str | None
    cooldown_until: datetime | None
    used_today: int
    used_this_hour: int
    per_target_per_day: int
    per_account_per_hour: int
    dollars_today: float = 0.0
    dollars_per_action: float = 0.0
    dollars_per_day: float = 0.0
    approval: Approval | None = None
    cause: tuple[str, str] | None = None  # why something else is the cause, and the target that must heal first
    calendar: Calendar = field(default_factory=Calendar)
    freeze_safe: bool = False
    only_in: tuple[str, ...] = ()
    asked_for: bool = False
    stopped: tuple[str, datetime] | None = None
    trend: tuple[Look, ...] = ()
    patience: timedelta = timedelta(0)
    linked_tags: Mapping[str, Mapping[str, str] | Unread] = field(default_factory=dict)


Guardrail = Callable[[Facts], Refusal | None]


def registered(facts: Facts) -> Refusal | None:
    """Only what the configuration lists is touched: the target, and everything the plan's calls name."""
    if facts.target is None:
        return Refusal("registered", "the target is not in the configuration (any more)")
    outside = _outside(facts.plan.calls, facts.bounds)
    if outside:
        return Refusal(
            "registered",
            f"the plan would touch {outside[0]}, which the configuration does not name for this target",
            {"outside": len(outside)},
        )
    return None


def protected(facts: Facts) -> Refusal | None:
    """What is protected, by configuration or by tag, is never touched; nor is what may be, for all that we can read."""
    if facts.target is not None and facts.target.protected:
        return Refusal("protected", "the configuration protects the target")
    for name, tags in {"the target": facts.tags, **facts.linked_tags}.items():
        if isinstance(tags, Unread):
            return Refusal("protected", f"the tags of {name} cannot be read: {tags.reason}", retry_after=_SOON)
        if PROTECTED_TAG in tags and tags[PROTECTED_TAG].strip().lower() not in _NO:
            return Refusal("protected", f"{name} carries the tag {PROTECTED_TAG}={tags[PROTECTED_TAG]}")
    return None


def opted_in(facts: Facts) -> Refusal | None:
    """The resource's own tag must say yes too: the configuration alone is one person's word."""
    name, value = OPT_IN_TAG
    if isinstance(facts.tags, Unread):
        return Refusal("opted-in", f"the target's tags cannot be read: {facts.tags.reason}", retry_after=_SOON)
    if facts.tags.get(name) != value:
        return Refusal("opted-in", f"the target does not carry the tag {name}={value}")
    return None


def mode(facts: Facts) -> Refusal | None:
    """In mode ``observe`` nothing is done; the report says what would have been."""
    if facts.mode is Mode.OBSERVE:
        return Refusal(MODE, "the mode is observe: nothing is done, this is what would have been")
    return None


def kill_switch(facts: Facts) -> Refusal | None:
    """Anything but a readable ``on`` stops. The switch is read again right before every single write."""
    return switched_off(facts.switch, facts.switch_reason)


def switched_off(switch: SwitchState | None, reason: str) -> Refusal | None:
    """What :func:`kill_switch` says of a switch: also asked before a diagnosis, which may disturb, is made again."""
    if switch is SwitchState.ON:
        return None
    state = f"is {switch.value}" if switch is not None else "is as good as off"
    return Refusal(SWITCH, f"the kill switch {state}{f': {reason}' if reason else ''}", retry_after=_SOON)


def attempts_left(facts: Facts) -> Refusal | None:
    """A bounded number of applications per incident; an ineffective one counts."""
    if not facts.continuing and facts.attempts >= facts.max_attempts:
        return Refusal(
            "attempts",
            f"{facts.attempts} of {facts.max_attempts} attempts are used up",
            {"attempts": facts.attempts, "max_attempts": facts.max_attempts},
        )
    return None


def storm_brake(facts: Facts) -> Refusal | None:
    """When too much is sick at once, the cause is elsewhere: no fix per target, one page."""
    if facts.brake is None:
        return Refusal("storm", "the storm brake cannot be read, which counts as engaged", retry_after=_SOON)
    if facts.brake.engaged:
        return Refusal("storm", facts.brake.reason, {"sick": facts.brake.sick}, retry_after=_LATER)
    return None


def freeze(facts: Facts) -> Refusal | None:
    """
    In a change freeze only what is safe in one is done, and what somebody has decided must be.

    Also between two steps: what was begun before waits, and at its deadline is taken back.
    """
    if facts.freeze_safe or facts.plan.remediation in facts.calendar.freeze.override:
        return None
    frozen = facts.calendar.freeze.at(facts.now)
    if frozen is None:
        return None
    return Refusal(
        "freeze",
        f"a change freeze ({frozen.why}) lasts until {frozen.until:%Y-%m-%d %H:%M} UTC",
        {"freeze": frozen.why, "until": frozen.until.isoformat()},
        retry_after=min(frozen.until - facts.now, _LONG),
    )


def window(facts: Facts) -> Refusal | None:
    """While people work on the target it is left alone, and what has windows of its own begins in one."""
    if facts.stopped is not None:
        whose, until = facts.stopped
        return Refusal(
            "window",
            f"people work on the target: {whose} until {until:%Y-%m-%d %H:%M} UTC",
            {"until": until.isoformat()},
            retry_after=_LATER,
        )
    maintenance = facts.calendar.open_until(facts.target.maintenance if facts.target else (), facts.now)
    if maintenance is not None and not facts.asked_for:
        name, until = maintenance
        return Refusal(
            "window",
            f"people work on the target: its maintenance window {name} is open until {until:%Y-%m-%d %H:%M} UTC",
            {"window": name, "until": until.isoformat()},
            retry_after=min(until - facts.now, _LONG),
        )
    if facts.continuing or not facts.only_in or facts.calendar.open_until(facts.only_in, facts.now) is not None:
        return None
    following = facts.calendar.opens(facts.only_in, facts.now)
    if following is None:
        return Refusal("window", f"there is no window {' or '.join(facts.only_in)} in which it may begin")
    name, opens = following
    return Refusal(
        "window",
        f"it begins in the window {name} only, which opens at {opens:%Y-%m-%d %H:%M} UTC",
        {"window": name, "opens": opens.isoformat()},
        retry_after=min(opens - facts.now, _LONG),
    )


def mid_change(facts: Facts) -> Refusal | None:
    """What somebody else is changing right now is left alone until they are done."""
    if isinstance(facts.changing, Unread):
        return Refusal(
            "mid-change", f"cannot tell whether it is being changed: {facts.changing.reason}", retry_after=_SOON
        )
    if facts.changing:
        return Refusal("mid-change", "; ".join(facts.changing), {"changes": len(facts.changing)}, retry_after=_LATER)
    return None


def one_cause(facts: Facts) -> Refusal | None:
    """One cause, one action: while a release is on trial, nothing that may come of it is cured by itself."""
    return waits_for(facts.cause)


def waits_for(cause: tuple[str, str] | None) -> Refusal | None:
    """What :func:`one_cause` says of a cause: also said instead of a diagnosis that can only say "later"."""
    if cause is None:
        return None
    reason, link = cause
    return Refusal(ONE_CAUSE, reason, retry_after=_SOON, link=link)


def recovering(facts: Facts) -> Refusal | None:
    """
    What gets better by itself is left alone for as long as it does, and soon would be well.

    What was begun is not asked about: then it may be our doing.
    """
    if facts.continuing or len(facts.trend) < _TREND:
        return None
    looks = [look for look in facts.trend if look.threshold == facts.trend[-1].threshold][-_TREND - 1 :]
    gaps = [abs(look.value - look.threshold) for look in looks]
    if len(looks) < _TREND or not all(after < before for before, after in pairwise(gaps)):
        return None
    lasted = (looks[-1].at - looks[0].at).total_seconds()
    left = timedelta(seconds=lasted * gaps[-1] / (gaps[0] - gaps[-1]))
    if left > facts.patience:
        return None
    values = " → ".join(f"{look.value:g}" for look in looks)
    return Refusal(
        "recovering",
        f"it is getting better by itself ({values}; {looks[-1].threshold:g} is the threshold)",
        {"minutes_left": int(left.total_seconds() // 60)},
        retry_after=_SOON,
    )


def lease_free(facts: Facts) -> Refusal | None:
    """One incident at a time acts on a target."""
    if facts.holder is not None:
        return Refusal("lease", f"incident {facts.holder} is acting on the target", retry_after=_SOON)
    return None


def cooldown(facts: Facts) -> Refusal | None:
    """Time for the last application to show before the next one."""
    if facts.continuing or facts.cooldown_until is None or facts.cooldown_until <= facts.now:
        return None
    left = facts.cooldown_until - facts.now
    return Refusal(
        "cooldown",
        f"acted recently; cooling down until {facts.cooldown_until:%H:%M} UTC",
        {"seconds_left": int(left.total_seconds())},
        retry_after=left,
    )


def target_budget(facts: Facts) -> Refusal | None:
    """So many applications to one target in a day, and no more."""
    if facts.continuing or facts.used_today < facts.per_target_per_day:
        return None
    return Refusal(
        "target-budget",
        f"{facts.used_today} of {facts.per_target_per_day} applications to this target are used up today",
        {"used": facts.used_today, "limit": facts.per_target_per_day},
        retry_after=timedelta(hours=1),
    )


def account_budget(facts: Facts) -> Refusal | None:
    """So many applications in the whole account in an hour, and no more."""
    if facts.continuing or facts.used_this_hour < facts.per_account_per_hour:
        return None
    return Refusal(
        "account-budget",
        f"{facts.used_this_hour} of {facts.per_account_per_hour} applications in this account are used up this hour",
        {"used": facts.used_this_hour, "limit": facts.per_account_per_hour},
        retry_after=_LATER,
    )


def cost(facts: Facts) -> Refusal | None:
    """
    What costs money is bounded for one application and for a day, and what nobody knows the price of is not done.

    A day's money is counted as it was planned, also where it was given back earlier. It is asked once an attempt.
    """
    dollars = facts.plan.dollars
    if facts.continuing or dollars == 0:
        return None
    if dollars is None or not math.isfinite(dollars) or dollars < 0:
        return Refusal("cost", "nobody knows what it costs: its price is not in the configuration")
    if dollars > facts.dollars_per_action:
        return Refusal(
            "cost",
            f"it would cost ${dollars:,.2f}, more than the ${facts.dollars_per_action:,.2f} that one application may",
            {"dollars": round(dollars, 4), "limit": facts.dollars_per_action},
        )
    if facts.dollars_today + dollars > facts.dollars_per_day:
        return Refusal(
            "cost",
            f"it would cost ${dollars:,.2f}, and ${facts.dollars_today:,.2f} of today's "
            f"${facts.dollars_per_day:,.2f} are spoken for",
            {"dollars": round(dollars, 4), "today": facts.dollars_today, "limit": facts.dollars_per_day},
            retry_after=timedelta(hours=1),
        )
    return None


def same_plan(facts: Facts) -> Refusal | None:
    """What is about to be done is what was decided: the world is looked at again, and the plan must come out equal."""
    if facts.planned_hash and facts.plan.hash != facts.planned_hash:
        return Refusal(
            "same-plan",
            "the world has changed since the plan was made; a new one is needed",
            {"planned": facts.planned_hash, "now": facts.plan.hash},
            retry_after=_SOON,
        )
    return None


def approval(facts: Facts) -> Refusal | None:
    """In mode ``approve`` a person's yes is needed: for this very plan, not expired, not used before."""
    if facts.mode is not Mode.APPROVE:
        return None
    given = facts.approval
    if given is None or given.answer != "approved":
        return Refusal(APPROVAL, "waiting for a person's approval", retry_after=_SOON)
    if given.plan_hash != facts.plan.hash:
        return Refusal(APPROVAL, "the approval was for another plan", {"approved": given.plan_hash}, retry_after=_SOON)
    if facts.continuing:  # the yes covers every step of the attempt that it began
        return None
    if given.used_at is not None:
        return Refusal(APPROVAL, "the approval has been used", retry_after=_SOON)
    if facts.now >= given.expires_at:
        return Refusal(APPROVAL, f"the approval expired at {given.expires_at:%H:%M} UTC", retry_after=_SOON)
    return None


GUARDRAILS: tuple[Guardrail, ...] = (
    registered,
    protected,
    opted_in,
    attempts_left,
    mode,
    kill_switch,
    storm_brake,
    freeze,
    window,
    mid_change,
    one_cause,
    recovering,
    lease_free,
    cooldown,
    target_budget,
    account_budget,
    cost,
    same_plan,
    approval,
)
"""in the order in which they are asked; the first refusal is the one that counts"""

NOT_NOW: tuple[Guardrail, ...] = (storm_brake, window, mid_change, one_cause)
"""what also waits that is only told: while one of these speaks, what was found may have another cause"""


def refusals(facts: Facts, guardrails: Iterable[Guardrail] | None = None) -> tuple[Refusal, ...]:
    """Every refusal of :data:`GUARDRAILS`, or of others, in order. None: the plan may be carried out."""
    asked = GUARDRAILS if guardrails is None else guardrails
    return tuple(refusal for guard in asked if (refusal := guard(facts)) is not None)


def undo_refused(target: str, recorded: Plan, planned: Plan | None, made: slice, bounds: tuple[str, ...]) -> str | None:
    """
    Why the undo of the steps that were ``made`` is not made: a record says what we did, and whoever writes it can lie.

    They may name only what the configuration does, only stop or take back, and be no others than the remediation plans
    (``planned``) from the record's diagnosis; of a plan that lends, neither may the calls, which tell whether the loan
    is still ours. Tags are not asked: what we lent goes back, also where somebody has protected the target since.
    """
    undo = [call for step in recorded.steps[made] for call in step.undo]
    if outside := _outside(undo, bounds):
        return f"it would touch {outside[0]}, which the configuration does not name for this target"
    if lasting := [call for call in undo if not call.stops]:
        return f"{_named(lasting)} would do more than stop or take back"
    if planned is None or planned.target != target:
        return f"{_named(undo)} cannot be planned from the diagnosis"
    lends = planned.lease is not None
    if _does(recorded, made, lends=lends) != _does(planned, made, lends=lends):
        return f"{_named(undo)} is not what the remediation plans from the diagnosis"
    return None


def _does(plan: Plan, made: slice, *, lends: bool) -> list[tuple[str, bool]]:
    calls = [call for step in plan.steps[made] for call in (*(step.calls if lends else ()), *step.undo)]
    return [(call.essence, call.stops) for call in calls]


def _named(calls: Iterable[Call]) -> str:
    return ", ".join(dict.fromkeys(f"{call.action} on {call.resource}" for call in calls))


def _outside(calls: Iterable[Call], bounds: tuple[str, ...]) -> list[str]:
    """What calls would touch that is not within bounds: what they name, then what they would have AWS touch for us."""
    calls = tuple(calls)
    named = {_touched(call) for call in calls}
    # the key of a queue is the queue's own: its role names the queue it serves; and to describe alarms touches none
    granted = {arn for call in calls for action, arn in call.grants if not action.startswith(_ELSEWHERE)}
    return [arn for arns in (named, granted) for arn in sorted(arns) if not _within(arn, bounds)]


def _touched(call: Call) -> str:
    """
    What a call changes, as the configuration would name it: what IAM checks, except for the limits of autoscaling.

    A scalable target has a name of AWS's making, which says nothing, and none before it is made. What it scales stands
    in the call's parameters, and is what must be within bounds; in the account and Region of the scalable target, and
    nowhere else.

    Of a call for which IAM knows no resource, what the parameters name is looked at here: nobody does afterwards.
    """
    if call.checked != call.resource:
        return f"{call.resource.rpartition('/')[0]}/{call.params.get('apiId')}"
    found = _SCALABLE.fullmatch(call.resource)
    namespace = call.params.get("ServiceNamespace")
    nameless = call.resource.endswith("/*")
    if found is None or namespace not in _SCALED or (nameless and namespace != _NAMELESS):
        return call.resource
    return f"arn:{found['partition']}:{namespace}:{found['place']}:{call.params.get('ResourceId')}"


_ELSEWHERE = ("kms:", "cloudwatch:DescribeAlarms")
_NAMELESS = "dynamodb"  # of which we have something scaled that was not before
_SCALED = ("ecs", "dynamodb")  # which the ARNs of what they scale call the same


_SCALABLE = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):application-autoscaling:(?P<place>[a-z0-9-]+:\d{12}):scalable-target/(?:[A-Za-z0-9]+|\*)",
    re.ASCII,
)


def _within(resource: str, bounds: tuple[str, ...]) -> bool:
    return any(resource.startswith(bound[:-1]) if bound.endswith("*") else resource == bound for bound in bounds)
