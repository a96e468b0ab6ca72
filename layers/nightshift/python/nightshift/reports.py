"""
What is told by the clock: a digest of each week and month.

Which report is due follows from the time and from what was told last, never from the event that woke us: one that is
lost, late, doubled or forged changes when a report is sent, not whether, and not how often. Told first and noted
then: a crash in between tells twice, never not at all. A deployment's first report is of the first span that ends
after its first look at the clock: what was before it, it did not watch.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from nightshift.aws import Aws
from nightshift.checklists import Every
from nightshift.config import Policy
from nightshift.digests import Period, collect, last_whole
from nightshift.incidents import Incidents
from nightshift.notify import Notifier
from nightshift.report.digest import digest_notice
from nightshift.report.notices import Notice

__all__ = ["Reports"]


class Reports:
    """Tells what is due, each once."""

    def __init__(
        self, policy: Policy, aws: Aws, incidents: Incidents, notifier: Notifier, *, clock: Callable[[], datetime]
    ) -> None:
        self.policy = policy
        self._aws = aws
        self._incidents = incidents
        self._notify = notifier
        self._clock = clock

    def __call__(self) -> tuple[str, ...]:
        """Tell what is due, and name it. Raises StoreUnavailable or Unsent: the next look at the clock tells it."""
        told = []
        for every in map(Every, self.policy.notify.digests):
            period = last_whole(every, self._clock() - self._after_midnight)
            if self._once(every.value, period.name, partial(self._digest, period)):
                told.append(f"{every.value} {period.name}")
        return tuple(told)

    @property
    def _after_midnight(self) -> timedelta:
        hours, _, minutes = self.policy.notify.reports_at.partition(":")
        return timedelta(hours=int(hours), minutes=int(minutes))

    def _once(self, name: str, span: str, made: Callable[[], Notice | None]) -> bool:
        """Tell a report of a span, unless that was done; whether it was told now."""
        last = self._incidents.reported(name)
        if last == span:
            return False
        notice = made() if last is not None else None
        if notice is not None:
            self._notify(notice)
        self._incidents.note_reported(name, span, self._clock())
        return notice is not None

    def _digest(self, period: Period) -> Notice:
        digest = collect(period, self.policy, self._aws, self._incidents, now=self._clock())
        return digest_notice(digest, self.policy)
