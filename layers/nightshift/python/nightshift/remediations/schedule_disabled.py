"""
A schedule is disabled: find out who did that, ask, enable it, and wait for its next run.

Symptom   the rule that starts a function is disabled; or it is enabled, and starts nothing or fails to
Cause     somebody disabled it, for a while or by accident; or its target or its permission to start that is wrong
Cure      enable it, once a person has said yes
Proof     it is enabled, and starts its function within one period and five minutes
Undo      by hand: what was enabled stays so
Source    runbook 1 "NSW API Data Ingestion Failure": diagnosis 2, resolution 3; R12

Who disables a rule mostly means it. So what is meant to be disabled (the configuration or the rule's tag `expected`
says so), what AWS manages and what we enabled a day ago already is not enabled by itself, and the report names who it
was, as CloudTrail has it. Nobody is asked only where the service is free to act (mode `auto`, the rule's tag
`auto-enable=enabled`) and the last to disable it was a role that the configuration calls an automation (`automations`).

A rule that is enabled and starts nothing is told, with its figures: permissions and targets are people's to mend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, ClassVar

from pydantic import Field

from nightshift import states, strict_json
from nightshift.errors import Refused
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Schedule,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import rule_metric, split_rule_arn

__all__ = ["ScheduleDisabled"]

_SLACK = timedelta(minutes=5)  # on top of a period: until a run has begun and is counted
_AGAIN = timedelta(hours=24)  # what is disabled so soon after we enabled it was disabled on purpose
_TRAIL_LAG = timedelta(minutes=15)  # how late CloudTrail may tell of a call
_TOLD = 50  # events of one name, the newest: one page of CloudTrail's
_EVENT = 256 * 1024  # bytes of an event: CloudTrail's limit
_NAME = 200  # characters of a name that are told
_NONE = "invocations"
"""the signal of a rule that is enabled, and starts nothing"""
_ENABLED_AT = "enabled at"
"""under what it is noted when we last enabled a rule, in seconds since 1970"""


@dataclass(frozen=True, slots=True)
class _Act:
    """
    Somebody's call that enabled or disabled a rule, as CloudTrail has it.

    ``role`` is empty where it was no role's session, ``through`` where no service of AWS called in that name.
    """

    what: str
    at: datetime
    enables: bool
    who: str
    role: str = ""
    through: str = ""

    def __str__(self) -> str:
        through = f" through {self.through}" if self.through else ""
        return f"{self.what} by {self.who}{through} at {self.at:%Y-%m-%d %H:%M} UTC"


class ScheduleDisabled(Remediation):
    """A rule of EventBridge that is disabled, or that starts nothing."""

    name: ClassVar[str] = "schedule-disabled"
    title: ClassVar[str] = "a schedule is disabled"
    kinds: ClassVar[tuple[str, ...]] = ("events:rule",)
    needs: ClassVar[tuple[str, ...]] = ("schedule",)
    reads: ClassVar[tuple[str, ...]] = ("cloudtrail:LookupEvents", "events:ListTagsForResource")
    writes: ClassVar[tuple[str, ...]] = ("events:EnableRule",)
    auto_tag: ClassVar[str] = "auto-enable"

    automations: tuple[str, ...] = Field(
        default=(),
        max_length=20,
        description="names of roles that disable rules for a while and may forget to enable them: after anybody else a "
        "person is asked, whatever the modes and tags say",
    )

    deadline: timedelta = Field(default=timedelta(hours=9), description="how long an incident may stay open")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        if target.schedule is None:
            return ()
        return (_read(target.arn), *_counters(target.arn, target.schedule))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        Disabled, or silent for one and a half periods, or failing to start its function.

        EventBridge reports its figures only where they are not zero: no points are none.
        """
        schedule = target.schedule
        if schedule is None:
            return Unknown(f"nobody has said what {target.arn.name} starts")
        rule = seen.resource(_read(target.arn))
        if isinstance(rule, Unread):
            return Unknown(rule.reason)
        if rule is None:
            return Unknown(f"{target.arn} does not exist")
        state = rule.get("State")
        if state == "DISABLED" and schedule.expected == "disabled":
            return Healthy("disabled, as the configuration says that it is meant to be")
        if state == "DISABLED":
            return Sick(self._finding(target, f"{target.arn.name} is disabled"))
        if not _enabled(state):
            return Unknown(f"EventBridge did not say whether {target.arn.name} is enabled")
        if schedule.expected == "disabled":
            return Healthy("enabled, and nobody expects it to be")
        return self._runs(target, schedule, seen)

    def _runs(self, target: Target, schedule: Schedule, seen: Readings) -> Observation:
        calls, failed = (seen.metric(query) for query in _counters(target.arn, schedule))
        if isinstance(calls, Unread):
            return Unknown(calls.reason)
        if isinstance(failed, Unread):
            return Unknown(failed.reason)
        window, failed_at = _minutes(schedule), _last(failed)
        if failed_at is not None and failed_at >= (_last(calls) or failed_at):
            signal = Signal("failed invocations", failed.total, 0, f"{window} minutes")
            symptom = f"{target.arn.name} fails to start {schedule.function.name}"
            return Sick(self._finding(target, symptom, signal, Severity.SEV2))
        if calls.total == 0:
            signal = Signal(_NONE, 0, 1, f"{window} minutes")
            symptom = f"{target.arn.name} is enabled, and started nothing in {window} minutes"
            return Sick(self._finding(target, symptom, signal))
        return Healthy(f"enabled, and started {schedule.function.name} {calls.total:.0f} times in {window} minutes")

    def _finding(
        self, target: Target, symptom: str, signal: Signal | None = None, severity: Severity = Severity.SEV3
    ) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=symptom,
            signals=() if signal is None else (signal,),
            severity=severity,
        )

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Whoever enables a rule waits for its next run: until then it is no recovery, and no silence either."""
        seen = self.detect(target, after)
        if isinstance(seen, Sick) and not before.signals and [each.name for each in seen.finding.signals] == [_NONE]:
            return Unknown("it was enabled, and has not run since")
        return seen

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        schedule = target.schedule
        if schedule is None:
            raise Refused("schedule", "nobody has said what the rule starts")
        rule = states.rule(read, target.arn)
        if rule.get("ManagedBy"):
            raise Refused("managed", f"the rule is managed by {rule['ManagedBy']}, and only that may change it")
        if rule.get("State") != "DISABLED":
            return self._silent(read, target, schedule)
        tags = read("events", "ListTagsForResource", ResourceARN=str(target.arn)).get("Tags", ())
        if {"Key": "expected", "Value": "disabled"} in [dict(tag) for tag in tags]:
            raise Refused("on-purpose", "the rule carries the tag expected=disabled: it is meant to be disabled")
        acts = _acts(read, target.arn)
        last = self._last_act(read, target, schedule, acts)
        asks = self._asks(read, target, last)
        return Diagnosis(
            target=str(target.arn),
            cause=f"the rule was disabled: {last or 'CloudTrail does not say by whom'}",
            evidence=(f"its schedule is {rule.get('ScheduleExpression') or 'not said'}", *map(str, acts[:5])),
            rejected=(Alternative("it is meant to be disabled", "neither the configuration nor a tag says so"),),
            facts={"rule": str(target.arn), "period": schedule.period.total_seconds(), "asks": asks},
        )

    def _last_act(self, read: Reader, target: Target, schedule: Schedule, acts: list[_Act]) -> _Act | None:
        """
        Who disabled it, or None where that will never be known.

        What CloudTrail says last may be old: it is not what disabled the rule where that was enabled or has run since.
        Raises Refused while CloudTrail may yet know better.
        """
        ran = _last(states.series(read, _counters(target.arn, schedule)[0]))
        if acts and not acts[0].enables and (ran is None or ran < acts[0].at):
            return acts[0]
        if ran is not None and read.now() < ran + schedule.period + _TRAIL_LAG:
            raise Refused("trail", "CloudTrail does not say yet who disabled it", retry_after=timedelta(minutes=2))
        return None

    def _asks(self, read: Reader, target: Target, last: _Act | None) -> str:
        """Why a person must be asked; empty where nobody need be."""
        if last is None:
            return "nobody knows who disabled it"
        enabled = _enabled_at(read, target)
        if enabled < last.at < enabled + _AGAIN:
            return "it was enabled here, and within a day somebody disabled it again"
        if last.through or last.role not in self.automations:
            return f"{last.who} may have meant it"
        return ""

    def _silent(self, read: Reader, target: Target, schedule: Schedule) -> Diagnosis:
        """Enabled, and starts nothing or fails to: told, unless it was enabled so lately that it could not run yet."""
        window = timedelta(minutes=_minutes(schedule))
        calls, failed = states.sums(read, *_counters(target.arn, schedule))
        since, ours = read.now() - window, _enabled_at(read, target)
        if read.now() >= ours + schedule.period + _SLACK:  # what we enabled has had its time
            since = max(since, ours + _SLACK)
        lately = [act for act in _acts(read, target.arn) if act.enables and act.at > since]
        if lately and not failed:
            later = timedelta(minutes=5)
            raise Refused("just-enabled", f"it may not have run yet since then: {lately[0]}", retry_after=later)
        bus, name = split_rule_arn(target.arn)
        which = f"--rule {name}{f' --event-bus-name {bus}' if bus else ''}"
        return Diagnosis(
            target=str(target.arn),
            cause=(
                f"EventBridge cannot start {schedule.function.name}: its permission or the rule's target is wrong"
                if failed
                else f"the rule is enabled, and does not start {schedule.function.name}: it may have no target"
            ),
            evidence=(f"{calls:.0f} invocations in {_minutes(schedule)} minutes, of which {failed:.0f} failed",),
            rejected=(Alternative("it is disabled", "EventBridge says that it is enabled"),),
            facts={"failed": failed},
            advice=(
                f"see what the rule starts: aws events list-targets-by-rule {which} (read only)",
                f"see who may start it: aws lambda get-policy --function-name {schedule.function.name} (read only)",
                "deploy the rule and its function again where either, or the leave of events.amazonaws.com, is missing",
            ),
        )

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """CloudTrail is late: that nobody has just enabled the rule is believed when it still says so later."""
        del target
        if diagnosis.facts["failed"]:
            return diagnosis
        asked = notes.setdefault("asked", read.now().isoformat())
        left = datetime.fromisoformat(asked) + _TRAIL_LAG - read.now()
        if left > timedelta(0):
            raise Refused("trail", "CloudTrail may not know yet that somebody has just enabled it", retry_after=left)
        return diagnosis

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        rule = Arn.parse(facts["rule"])
        bus, name = split_rule_arn(rule)
        where = {"EventBusName": bus} if bus else {}
        enable = Call(
            "events",
            "EnableRule",
            str(rule),
            params={"Name": name, **where},
            before={"State": "DISABLED", "period": facts["period"]},
        )
        back = f"aws events disable-rule --name {name}{f' --event-bus-name {bus}' if bus else ''}"
        return Plan(
            remediation=self.name,
            target=str(rule),
            summary=f"enable the rule {name}",
            steps=(Step("enable", (enable,), settle=timedelta(minutes=1), why="let the schedule start its function"),),
            risk=f"medium: {facts['asks']}"
            if facts["asks"]
            else "low: an automation disabled it, and has forgotten it",
            undo_by_hand=back,
            asks=bool(facts["asks"]),
        )

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """Note when, then enable it: what runs before then proves nothing."""
        now = int(act.now().timestamp())
        act.memory.add(_ENABLED_AT, now - act.memory.get(_ENABLED_AT))
        super().apply(act, plan, step)

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        state = states.rule(read, Arn.parse(call.resource)).get("State")
        if _enabled(state):
            return Outcome.DONE
        return Outcome.NOT_DONE if state == call.before["State"] else Outcome.UNKNOWN

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        """
        Enabled, and then a run of it that did not fail, within one period and five minutes.

        Raises Refused where there was none: nothing more is to be tried. What fails to start has a diagnosis.
        """
        rule = Arn.parse(plan.target)
        target = read.target(plan.target)
        if target is None or target.schedule is None:
            return Progress.STOP, "the configuration does not name the rule any more", None
        if not _enabled(states.rule(read, rule).get("State")):
            return Progress.STOP, f"{rule.name} is disabled again", None
        enabled = _enabled_at(read, target)
        calls, failed = (states.series(read, query) for query in _counters(rule, target.schedule))
        started, wrong = (sum(value for at, value in each.points if at >= enabled) for each in (calls, failed))
        if started > wrong:
            return Progress.NEXT, f"{rule.name} is enabled, and has started {target.schedule.function.name}", None
        if read.now() >= enabled + target.schedule.period + _SLACK:
            if not wrong:
                raise Refused("run", f"{rule.name} is enabled, and still starts nothing")
            return Progress.STOP, f"{rule.name} is enabled, and fails to start {target.schedule.function.name}", None
        return Progress.WAIT, f"{rule.name} is enabled, and has not run yet", None


# -- what is read ------------------------------------------------------------------------------------------------------


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("events.rule", str(arn))


def _enabled(state: object) -> bool:
    """Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_DescribeRule.html."""
    return state in {"ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"}


def _minutes(schedule: Schedule) -> int:
    """One and a half periods, and some."""
    return ceil(1.5 * schedule.period / timedelta(minutes=1)) + states.minutes(_SLACK)


def _counters(arn: Arn, schedule: Schedule) -> tuple[MetricQuery, MetricQuery]:
    """Runs that the rule began, failed ones included; and those that failed for good."""
    window = _minutes(schedule)
    return rule_metric(arn, "Invocations", "Sum", window), rule_metric(arn, "FailedInvocations", "Sum", window)


def _enabled_at(read: Reader, target: Target) -> datetime:
    """When we last enabled a rule, or were about to; 1970 where we never did."""
    return datetime.fromtimestamp(read.counters(target, (_ENABLED_AT,))[_ENABLED_AT], UTC)


def _last(series: Series) -> datetime | None:
    """The newest minute of a counter in which there was one."""
    return max((at for at, value in series.points if value > 0), default=None)


def _acts(read: Reader, rule: Arn) -> list[_Act]:
    """
    Who enabled or disabled a rule, the newest first; of each way to do so the newest page.

    Source: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
    """
    found: list[_Act] = []
    for name in ("DisableRule", "EnableRule", "PutRule"):
        wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
        events = read("cloudtrail", "LookupEvents", LookupAttributes=wanted, MaxResults=_TOLD).get("Events", ())
        found += [act for each in events if (act := _act(each, rule)) is not None]
    return sorted(found, key=lambda act: act.at, reverse=True)


def _act(event: Mapping[str, Any], rule: Arn) -> _Act | None:
    """
    An event, if it enabled or disabled that rule. Of what it says only names are kept.

    Who puts a rule without saying its state enables it.
    """
    bus, name = split_rule_arn(rule)
    try:
        told = strict_json.loads(event["CloudTrailEvent"], limit=_EVENT)
        asked, who, what = told["requestParameters"], told["userIdentity"], str(event["EventName"])
        about = str(asked.get("eventBusName") or "default").rpartition("/")[2], asked.get("name")
        if about != (bus or "default", name) or told.get("errorCode"):
            return None
        session = who.get("sessionContext", {}) if who.get("type") == "AssumedRole" else {}
        return _Act(
            what,
            event["EventTime"].astimezone(UTC),
            what == "EnableRule" or (what == "PutRule" and asked.get("state") != "DISABLED"),
            str(who.get("arn") or who.get("invokedBy") or "somebody without a name")[:_NAME],
            str(session.get("sessionIssuer", {}).get("userName") or ""),
            str(who.get("invokedBy") or "")[:_NAME],
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
