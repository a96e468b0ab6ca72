"""
What is told by the clock: each day how everything is, and a digest of each week and month.

Which report is due follows from the time and from what was told last, never from the event that woke us: one that is
lost, late, doubled or forged changes when a report is sent, not whether, and not how often. Told first and noted
then: a crash in between tells twice, never not at all. A deployment's first report is of the first span that ends
after its first look at the clock (of the first day that begins after it): what was before it, it did not watch. One
that cannot be sent keeps no other from being sent, and one that cannot be made is told in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TypeAlias

from nightshift.aws import Aws
from nightshift.calendar import zone
from nightshift.checklists import Every
from nightshift.config import Policy
from nightshift.daily import today
from nightshift.digests import Period, collect, last_whole
from nightshift.errors import NightshiftError
from nightshift.incidents import Incidents
from nightshift.notify import Notifier
from nightshift.report.daily import daily_notice, not_built
from nightshift.report.digest import digest_notice
from nightshift.report.notices import Notice
from nightshift.sweep import Sweep

__all__ = ["HEALTH", "Reports", "newest_day"]

_LOG = logging.getLogger(__name__)

HEALTH = "health"
"""what the day's report is noted under"""

_Made: TypeAlias = Callable[[str], Notice]
"""makes a report, told of which span the one before it was"""


def newest_day(at: str, timezone: str, now: datetime) -> date:
    """
    The newest day on which a clock in that place has come to ``at``. As time passes it never goes back.

    >>> str(newest_day("07:00", "Europe/Berlin", datetime(2026, 11, 27, 5, 59, tzinfo=UTC)))
    '2026-11-26'
    >>> str(newest_day("07:00", "Europe/Berlin", datetime(2026, 11, 27, 6, 0, tzinfo=UTC)))
    '2026-11-27'
    """
    where = zone(timezone) or UTC  # the configuration takes no zone that there is not
    tomorrow = now.astimezone(where).date() + timedelta(days=1)
    days = (tomorrow - timedelta(days=number) for number in range(3))
    begun = (day for day in days if datetime.combine(day, time.fromisoformat(at), where).astimezone(UTC) <= now)
    return next(begun, tomorrow - timedelta(days=3))


class Reports:
    """Tells what is due, each once."""

    def __init__(
        self,
        policy: Policy,
        aws: Aws,
        incidents: Incidents,
        notifier: Notifier,
        sweep: Sweep,
        *,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._aws = aws
        self._incidents = incidents
        self._notify = notifier
        self._sweep = sweep
        self._clock = clock

    def __call__(self) -> tuple[str, ...]:
        """Tell what is due, and name it. Raises StoreUnavailable or Unsent: the next look at the clock tells it."""
        told, failed = [], []
        for name, span, made in self._due(self._clock()):
            try:
                if self._once(name, span, made):
                    told.append(f"{name} {span}")
            except NightshiftError as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return tuple(told)

    def _due(self, now: datetime) -> Iterator[tuple[str, str, _Made]]:
        """Each report's name, the span that it is due for now, and how it is made."""
        notify = self.policy.notify
        if notify.health_at is not None:
            day = newest_day(notify.health_at, notify.timezone, now)
            yield HEALTH, day.isoformat(), partial(self._health, day)
        for every in map(Every, notify.digests):
            begun = datetime.combine(newest_day(notify.reports_at, notify.timezone, now), time(), UTC)
            period = last_whole(every, min(begun, now))  # weeks and months are those of UTC
            yield every.value, period.name, partial(self._digest, period)

    def _once(self, name: str, span: str, made: _Made) -> bool:
        """Tell a report of a span, unless that was done; whether it was told now."""
        last = self._incidents.reported(name)
        if last is not None and last >= span:
            return False
        notice = self._built(name, span, partial(made, last)) if last is not None else None
        if notice is not None:
            self._notify(notice)
        self._incidents.note_reported(name, span, self._clock())
        return notice is not None

    def _built(self, name: str, span: str, made: Callable[[], Notice]) -> Notice:
        """The report; in its place what people must know where a defect keeps it from being made."""
        try:
            return made()
        except NightshiftError:  # of what answers again soon: the next look at the clock makes it
            raise
        except Exception as error:  # noqa: BLE001 - the bulkhead: a defect of one report silences nobody
            _LOG.exception("a report could not be made", extra={"report": name, "span": span})
            return not_built(name, span, type(error).__name__)

    def _digest(self, period: Period, before: str) -> Notice:
        del before
        digest = collect(period, self.policy, self._aws, self._incidents, now=self._clock())
        return digest_notice(digest, self.policy)

    def _health(self, day: date, before: str) -> Notice:
        since, now = date.fromisoformat(before), self._clock()
        daily = today(self.policy, self._aws, self._incidents, self._sweep, day=day, since=since, now=now)
        return daily_notice(daily, self.policy)
