"""
What a day's health report says: how everything is now, and what nobody has looked after for long.

Beside how every target is: alarms that have been raised, or without data, for more than a day; incidents that are open;
what is lent; and when anybody last looked. A part that cannot be read is said to be unknown, and the others are told.

Source: runbooks 1 (health-check.sh), 2 ("Customer status"), 3 ("Daily")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from nightshift.digests import Lent, lent
from nightshift.errors import AwsError, StoreUnavailable
from nightshift.events import Alarm, alarm_targets
from nightshift.health import SystemHealth, look
from nightshift.model import Severity
from nightshift.report.safe import safe
from nightshift.report.words import name_of, utc

if TYPE_CHECKING:
    from nightshift.aws import Aws
    from nightshift.config import Policy
    from nightshift.incidents import Incidents
    from nightshift.model import Incident
    from nightshift.sweep import Sweep

__all__ = ["MOST", "STUCK", "Daily", "OpenIncident", "StuckAlarm", "stuck_alarms", "today"]

T = TypeVar("T")

MOST = 1000
"""records, and alarms, that one report looks through"""
STUCK = timedelta(hours=24)
"""an alarm that has not changed for so long is looked at by nobody"""
_KEPT = timedelta(days=90)
"""how long records are kept: what was left out before is in nobody's list"""
_SILENT = timedelta(minutes=10)
"""after the last sweep: it comes every minute"""
_PAGE = 100


@dataclass(frozen=True, slots=True)
class StuckAlarm:
    """An alarm that has been in its state for more than a day, and what it is about of what is registered here."""

    name: str
    state: str
    since: datetime | None
    about: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """An incident that is open, in as few words as a list has room for."""

    id: str
    opened_at: datetime
    target: str
    group: str
    remediation: str
    severity: Severity
    phase: str


@dataclass(frozen=True, slots=True)
class Daily:
    """All that a day's report says. ``since`` is the day of the report before it; ``other_alarms`` are not ours."""

    day: date
    at: datetime
    since: date | None = None
    systems: tuple[SystemHealth, ...] = ()
    alarms: tuple[StuckAlarm, ...] = ()
    other_alarms: int = 0
    incidents: tuple[OpenIncident, ...] = ()
    lent: tuple[Lent, ...] = ()
    swept: datetime | None = None
    not_read: tuple[str, ...] = ()

    @property
    def watched(self) -> bool:
        """Whether a sweep was completed lately."""
        return self.swept is not None and self.at - utc(self.swept) <= _SILENT


def today(
    policy: Policy,
    aws: Aws,
    incidents: Incidents,
    sweep: Sweep,
    *,
    day: date,
    since: date | None,
    now: datetime,
) -> Daily:
    """Look at everything. Raises nothing for what cannot be read: the report says which part that is, and why."""
    parts = _Parts()
    no_alarms: tuple[tuple[StuckAlarm, ...], int] = ((), 0)
    nothing_open: tuple[Incident, ...] = ()
    nothing_lent: tuple[Lent, ...] = ()
    alarms, others = parts.read("alarms", no_alarms, lambda: stuck_alarms(aws, policy, now, parts))
    records = parts.read("incidents that are open", nothing_open, lambda: _open(incidents, parts))
    left_out = parts.read("what was lent and left out", nothing_lent, lambda: _left_out(incidents, now, parts))
    swept = parts.read("when the last sweep was completed", None, incidents.heartbeat)
    return Daily(
        day=day,
        at=now,
        since=since,
        systems=look(aws, sweep, policy.groups, now=now),
        alarms=alarms,
        other_alarms=others,
        incidents=tuple(_row(each) for each in records),
        lent=(*(lent(each) for each in records if each.lent), *left_out),
        swept=swept[0] if swept is not None else None,
        not_read=tuple(parts.missing),
    )


class _Parts:
    """The parts of a report, each read for itself: one that fails is listed, and the others are told."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def read(self, what: str, otherwise: T, made: Callable[[], T]) -> T:
        try:
            return made()
        except (AwsError, StoreUnavailable) as error:
            self.missing.append(f"{what}: {safe(str(error), 300)}")
            return otherwise


# -- alarms ----------------------------------------------------------------------------------------------------------


def stuck_alarms(aws: Aws, policy: Policy, now: datetime, parts: _Parts) -> tuple[tuple[StuckAlarm, ...], int]:
    """
    Alarms about what is registered here that have not changed for a day, and how many there are about anything else.

    One that drives autoscaling is raised for as long as there is little to do: it says nothing.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
    """
    found: list[StuckAlarm] = []
    others = 0
    for state in ("ALARM", "INSUFFICIENT_DATA"):
        for alarm in _alarms(aws, state, parts):
            since = _since(alarm)
            if _scales(alarm) or (since is not None and now - since <= STUCK):
                continue
            name = str(alarm.get("AlarmName"))
            about = _about(alarm, name, policy)
            found += [StuckAlarm(name, state, since, about)] if about else []
            others += not about
    return tuple(sorted(found, key=lambda each: (each.since or now, each.name))), others


def _alarms(aws: Aws, state: str, parts: _Parts) -> Iterator[Mapping[str, Any]]:
    request = {"StateValue": state, "AlarmTypes": ["CompositeAlarm", "MetricAlarm"], "MaxRecords": _PAGE}
    for _ in range(MOST // _PAGE):
        answer = aws.read("cloudwatch", "DescribeAlarms", **request)
        yield from (*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ()))
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]
    parts.missing.append(f"alarms in state {state} beyond the first {MOST:,}: they are not looked at")


def _since(alarm: Mapping[str, Any]) -> datetime | None:
    stamps = (alarm.get(field) for field in ("StateTransitionedTimestamp", "StateUpdatedTimestamp"))
    return next((utc(stamp) for stamp in stamps if isinstance(stamp, datetime)), None)


def _scales(alarm: Mapping[str, Any]) -> bool:
    return any(":scalingPolicy:" in str(action) for action in alarm.get("AlarmActions") or ())


def _about(alarm: Mapping[str, Any], name: str, policy: Policy) -> tuple[str, ...]:
    """What an alarm is about: Nightshift itself, or registered targets, by the metrics that it is made of."""
    if name.startswith(f"nightshift-{policy.name}-"):
        return ("Nightshift itself",)
    metrics = [each.get("MetricStat", {}).get("Metric", {}) for each in alarm.get("Metrics") or ()]
    named = tuple(
        {str(each.get("Name")): str(each.get("Value")) for each in metric.get("Dimensions") or ()}
        for metric in (alarm, *metrics)
    )
    heard = Alarm(str(alarm.get("AlarmArn")), name, "ALARM", named)
    return tuple(name_of(str(target.arn)) for target in alarm_targets([heard], policy.targets))


# -- records ---------------------------------------------------------------------------------------------------------


def _open(incidents: Incidents, parts: _Parts) -> tuple[Incident, ...]:
    ids = incidents.open_ids(limit=MOST + 1)
    if len(ids) > MOST:
        parts.missing.append(f"open incidents beyond the first {MOST:,}: they are not looked at")
    return tuple(each for each in _readable(incidents.records(ids[:MOST]), parts) if each.open)


def _left_out(incidents: Incidents, now: datetime, parts: _Parts) -> tuple[Lent, ...]:
    ids = incidents.ended(now - _KEPT, now, limit=MOST + 1)
    if len(ids) > MOST:
        parts.missing.append(f"what was left out by incidents before the last {MOST:,}: they are not looked at")
    return tuple(lent(each) for each in _readable(incidents.records(ids[:MOST]), parts) if each.lent and not each.open)


def _readable(records: Iterable[Incident | None], parts: _Parts) -> Iterator[Incident]:
    unreadable = 0
    for each in records:
        if each is None:
            unreadable += 1
        else:
            yield each
    if unreadable:
        parts.missing.append(f"records that nobody can read: {unreadable:,}")


def _row(incident: Incident) -> OpenIncident:
    return OpenIncident(
        incident.id,
        incident.opened_at,
        incident.target,
        incident.group,
        incident.remediation,
        incident.severity,
        incident.phase.value,
    )
