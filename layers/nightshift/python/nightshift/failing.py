"""
Calls of a Lambda function that fail: how many of those that ran, and whether that lasts.

Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nightshift import turned_away
from nightshift.remediation import Series

__all__ = ["MINUTES", "Failing", "since"]

MINUTES = 10
"""that are looked at, in two halves"""
_STILL = 2  # minutes with calls, the newest, in one of which some still failed


@dataclass(frozen=True, slots=True)
class Failing:
    """Calls of ten minutes, and those that failed; the lower share (in per cent) of two halves; whether still."""

    calls: float
    errors: float
    lower: float
    still: bool

    @property
    def percent(self) -> float:
        """How many of all that ran."""
        return 100 * self.errors / self.calls if self.calls else 0.0

    def lasts(self, percent: float, least: int) -> bool:
        """In each half, and still: a burst that is over, and a few failures of few calls, are no rate (R11)."""
        return self.errors >= least and self.lower > percent and self.still


def since(calls: Series, errors: Series, now: datetime) -> Failing:
    """What became of the calls of the last ten minutes."""
    middle = turned_away.end(now) - turned_away.WINDOW
    halves = [
        tuple(sum(value for at, value in series.points if (at < middle) is older) for series in (calls, errors))
        for older in (True, False)
    ]
    shares = [100 * bad / every if every else 0.0 for every, bad in halves]
    return Failing(calls.total, errors.total, min(shares), any(errors.last(_STILL)))
