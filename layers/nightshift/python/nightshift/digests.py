"""
What a week or a month came to: figures from the records, and nothing that the records do not prove.

An incident counts where it ended; what was done counts when it was begun. What could not be read, or was not watched,
is listed as unknown: a week in which nothing happened and a week in which nobody looked are not the same. Pure, but for
:func:`collect`, which reads.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from nightshift.aws import Aws
from nightshift.checklists import Every
from nightshift.config import Policy
from nightshift.incidents import Incidents, Watched
from nightshift.measures import Measure, measured, wanted
from nightshift.model import Incident, Outcome, Verdict
from nightshift.report.context import given_back
from nightshift.report.words import utc
from nightshift.signals import gather

__all__ = [
    "MOST",
    "OFTEN",
    "Digest",
    "Kind",
    "Lent",
    "Period",
    "Recurrence",
    "collect",
    "counted",
    "last_whole",
    "lent",
    "until_now",
]

MOST = 2000
"""incidents that one digest looks through: the newest"""
OFTEN = 3
"""so often in a week the same on the same target: a cure is no cure any more"""
_WEEK = timedelta(days=7)
_LENGTH: Mapping[Every, timedelta] = {Every.WEEKLY: _WEEK, Every.MONTHLY: timedelta(days=30)}
_ARRIVED = timedelta(minutes=1)
"""so that the last hour of a span counts as over"""


@dataclass(frozen=True, slots=True)
class Period:
    """A span that a digest is about, in UTC, ``until`` not included. ``name`` is what it is noted under."""

    every: Every
    name: str
    since: datetime
    until: datetime

    @property
    def span(self) -> timedelta:
        """How long it is."""
        return self.until - self.since


def last_whole(every: Every, now: datetime) -> Period:
    """
    The last whole week (from Monday) or calendar month before ``now``.

    >>> last_whole(Every.WEEKLY, datetime(2026, 3, 4, 7, tzinfo=UTC)).name
    '2026-W09'
    >>> str(last_whole(Every.MONTHLY, datetime(2026, 1, 1, tzinfo=UTC)).since)
    '2025-12-01 00:00:00+00:00'
    """
    today = now.astimezone(UTC).date()
    if every is Every.WEEKLY:
        end = today - timedelta(days=today.weekday())
        begin = end - _WEEK
        year, week, _ = begin.isocalendar()
        return Period(every, f"{year}-W{week:02d}", _midnight(begin), _midnight(end))
    end = today.replace(day=1)
    begin = (end - timedelta(days=1)).replace(day=1)
    return Period(every, f"{begin:%Y-%m}", _midnight(begin), _midnight(end))


def until_now(every: Every, now: datetime) -> Period:
    """The last 7 or 30 days and what there is of today, this moment too: what a person at a terminal asks for."""
    begin = now.astimezone(UTC).date() - _LENGTH[every]
    return Period(every, f"{begin} to {now:%Y-%m-%d}", _midnight(begin), now + timedelta(microseconds=1))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# -- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind:
    """What one remediation came to: incidents that ended, by verdict; those in which something was done, and cured."""

    remediation: str
    ended: Mapping[str, int]
    acted: int
    fixed: int


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The same on the same target, again and again: at most so often in any seven days of the span."""

    remediation: str
    target: str
    group: str
    actions: int
    incidents: int
    newest: str


@dataclass(frozen=True, slots=True)
class Lent:
    """A temporary change that is out. ``until`` is None while its cure is still judged; ``left_out``: for a person."""

    incident: str
    target: str
    what: str
    since: datetime
    until: datetime | None
    dollars_per_hour: float | None
    left_out: bool


@dataclass(frozen=True, slots=True)
class Digest:
    """All that a digest says, as numbers and names."""

    period: Period
    days: Mapping[date, Watched] = field(default_factory=dict)
    opened: int = 0
    still_open: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    kinds: tuple[Kind, ...] = ()
    attempts: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    recurring: tuple[Recurrence, ...] = ()
    lent: tuple[Lent, ...] = ()
    dollars_planned: float = 0.0
    dollars_spent: float = 0.0
    unpriced: int = 0
    unclear_calls: int = 0
    unreadable: int = 0
    cut: bool = False
    measures: tuple[Measure, ...] = ()
    unmeasured: int = 0
    not_read: tuple[str, ...] = ()

    @property
    def acted(self) -> int:
        """Incidents that ended, and in which something was done."""
        return sum(kind.acted for kind in self.kinds)

    @property
    def fixed(self) -> int:
        """Those of them that the record proves cured: our change, then health that lasted."""
        return sum(kind.fixed for kind in self.kinds)

    @property
    def sweeps(self) -> int:
        """Sweeps that were completed."""
        return sum(day.sweeps for day in self.days.values())

    @property
    def expected(self) -> int:
        """Sweeps that there should have been: one a minute."""
        return int(self.period.span / timedelta(minutes=1))

    @property
    def missed(self) -> int:
        """Minutes in which nobody looked."""
        return max(0, self.expected - self.sweeps)

    @property
    def quiet(self) -> bool:
        """Whether nothing happened, as far as the records say."""
        return not (self.opened or self.still_open or self.ended or self.unreadable)


def counted(  # noqa: PLR0913 - all that is known of a span
    period: Period,
    ended: Iterable[Incident | None],
    still_open: Iterable[Incident | None],
    *,
    now: datetime,
    days: Mapping[date, Watched],
    measures: Sequence[Measure] = (),
    unmeasured: int = 0,
    cut: bool = False,
    not_read: Sequence[str] = (),
) -> Digest:
    """The figures. ``None`` among the records is one that nobody can read. Records are looked at one by one."""
    count = _Count(period, now)
    for incident in ended:
        count.end(incident)
    for incident in still_open:
        count.open(incident)
    kinds = tuple(
        Kind(name, dict(sorted(count.verdicts[name].items())), count.acted[name], count.fixed[name])
        for name in sorted(count.verdicts)
    )
    every: Counter[str] = Counter()
    for verdicts in count.verdicts.values():
        every.update(verdicts)
    return Digest(
        period=period,
        days=days,
        opened=count.opened,
        still_open=count.still_open,
        ended=dict(sorted(every.items())),
        kinds=kinds,
        attempts=count.attempts,
        held=dict(count.held.most_common()),
        recurring=tuple(sorted(count.recurring(), key=lambda each: (-each.actions, -each.incidents, each.target))),
        lent=tuple(sorted(count.lent, key=lambda each: utc(each.since))),
        dollars_planned=count.planned,
        dollars_spent=count.spent,
        unpriced=count.unpriced,
        unclear_calls=count.unclear,
        unreadable=count.unreadable,
        cut=cut,
        measures=tuple(measures),
        unmeasured=unmeasured,
        not_read=tuple(not_read),
    )


class _Count:
    """Adds up, so that no more than a hundred records are held at a time."""

    def __init__(self, period: Period, now: datetime) -> None:
        self._period, self._now = period, now
        self.opened = self.still_open = self.attempts = self.unpriced = self.unclear = self.unreadable = 0
        self.planned = self.spent = 0.0
        self.verdicts: dict[str, Counter[str]] = defaultdict(Counter)
        self.acted: Counter[str] = Counter()
        self.fixed: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.lent: list[Lent] = []
        self._times: dict[tuple[str, str], tuple[list[datetime], list[datetime]]] = {}
        self._newest: dict[tuple[str, str], Incident] = {}

    def end(self, incident: Incident | None) -> None:
        """Count one that has ended."""
        if incident is None:
            self.unreadable += 1
            return
        verdict = incident.verdict or Verdict.BROKEN
        self.verdicts[incident.remediation][verdict.value] += 1
        if _done(incident):
            self.acted[incident.remediation] += 1
            self.fixed[incident.remediation] += verdict is Verdict.FIXED
        if verdict is Verdict.REFUSED and incident.refusal is not None:
            self.held[incident.refusal.guard] += 1
        self._all(incident)

    def open(self, incident: Incident | None) -> None:
        """Count one that is open."""
        if incident is None:
            self.unreadable += 1
            return
        if not incident.open:  # the index lags: it ended meanwhile, and is counted as that
            return
        self.still_open += 1
        if incident.refusal is not None and not incident.decided:
            self.held[incident.refusal.guard] += 1
        self._all(incident)

    def _all(self, incident: Incident) -> None:
        inside = [each for each in incident.attempts if self._inside(each.started_at)]
        if self._inside(incident.opened_at):
            self.opened += 1
        self.attempts += len(inside)
        self.unclear += sum(each.outcome is Outcome.UNKNOWN for each in incident.calls if self._inside(each.at))
        self._money(incident, len(inside))
        key = (incident.remediation, incident.target)
        actions, openings = self._times.setdefault(key, ([], []))
        actions += [utc(each.started_at) for each in inside]
        openings += [utc(incident.opened_at)] if self._inside(incident.opened_at) else []
        newest = self._newest.get(key)
        if newest is None or utc(newest.opened_at) < utc(incident.opened_at):
            self._newest[key] = incident
        if incident.lent and incident.plan is not None:
            self.lent.append(lent(incident))

    def _money(self, incident: Incident, attempts: int) -> None:
        """As planned, and as far as it has come: what was given back early did not cost what was planned."""
        plan = incident.plan
        if plan is None or not attempts:
            return
        if plan.dollars is None or plan.cost_per_hour is None:
            self.unpriced += attempts
            return
        self.planned += attempts * plan.dollars
        back = given_back(incident)
        gone = utc(back[-1].at if back else self._now) - utc(incident.attempts[-1].started_at)
        longest = plan.dollars if plan.lease is None else float("inf")
        hours = max(gone / timedelta(hours=1), 0.0)
        self.spent += (attempts - 1) * plan.dollars + min(plan.cost_per_hour * hours, longest)

    def _inside(self, at: datetime) -> bool:
        return self._period.since <= utc(at) < self._period.until

    def recurring(self) -> Iterator[Recurrence]:
        """What was done, or seen, too often in any seven days."""
        for (remediation, target), (actions, openings) in self._times.items():
            most, seen = _most_in_a_week(actions), _most_in_a_week(openings)
            if max(most, seen) >= OFTEN:
                newest = self._newest[remediation, target]
                yield Recurrence(remediation, target, newest.group, most, seen, newest.id)


def _done(incident: Incident) -> bool:
    """Whether anything was done: a call that certainly did not happen is nothing."""
    return any(call.outcome is not Outcome.NOT_DONE for call in incident.calls)


def _most_in_a_week(times: Sequence[datetime]) -> int:
    ordered = sorted(times)
    return max((bisect_left(ordered, at + _WEEK) - place for place, at in enumerate(ordered)), default=0)


def lent(incident: Incident) -> Lent:
    """What an incident has lent, as far as its record says."""
    plan = incident.plan
    return Lent(
        incident=incident.id,
        target=incident.target,
        what=plan.summary if plan is not None else "",
        since=incident.attempts[-1].started_at if incident.attempts else incident.opened_at,
        until=incident.lease_ends,
        dollars_per_hour=plan.cost_per_hour if plan is not None else None,
        left_out=not incident.open,
    )


# -- reading ---------------------------------------------------------------------------------------------------------


def collect(period: Period, policy: Policy | None, aws: Aws, incidents: Incidents, *, now: datetime) -> Digest:
    """
    Read all that a digest needs: at most :data:`MOST` records, and the span's metrics.

    Raises StoreUnavailable: without records there is no digest, and the next try makes it. A metric that cannot be read
    is unknown. Without a policy nothing is measured.
    """
    ids = incidents.ended(period.since, period.until, limit=MOST + 1)
    pending = incidents.open_ids(limit=MOST + 1)
    measures: tuple[Measure, ...] = ()
    unmeasured = 0
    if policy is not None:
        those, unmeasured = wanted(policy, period.span)
        queries = [query for each in those for query in (*each.queries, *each.before)]
        measures = measured(those, gather(aws, queries, now=period.until + _ARRIVED))
    return counted(
        period,
        incidents.records(ids[:MOST]),
        incidents.records(pending[:MOST]),
        now=now,
        days=incidents.watched(period.since, period.until - timedelta(microseconds=1)),
        measures=measures,
        unmeasured=unmeasured,
        cut=len(ids) > MOST or len(pending) > MOST,
        not_read=() if policy is not None else ("figures of the targets: no configuration was named",),
    )
