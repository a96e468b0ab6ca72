"""
Calls of a Lambda function that were turned away: how many of those that were asked for, and whether that lasts.

What is turned away counts neither as a call nor as an error (R10).

Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift.remediation import Series

__all__ = ["WINDOW", "TurnedAway", "end", "since"]

WINDOW = timedelta(minutes=5)
_LASTS = 3  # minutes of those five


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """What became of the calls that were asked for in a while, and in how many of its minutes some were turned away."""

    throttled: float
    asked: float
    minutes: int

    @property
    def percent(self) -> float:
        """How many of all that were asked for."""
        return 100 * self.throttled / self.asked if self.asked else 0.0

    def lasts(self, percent: float) -> bool:
        """Whether more than a few are turned away, and not in one burst."""
        return self.minutes >= _LASTS and self.percent > percent

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.throttled:.0f} of {self.asked:.0f} calls were turned away"


def end(now: datetime) -> datetime:
    """Where the last whole minute ends that is not too new to be complete."""
    return (now - timedelta(minutes=1)).replace(second=0, microsecond=0)


def since(calls: Series, throttles: Series, now: datetime, span: timedelta = WINDOW) -> TurnedAway:
    """What was asked for in the last whole minutes."""
    start = end(now) - span
    ran = sum(value for at, value in calls.points if at >= start)
    away = [value for at, value in throttles.points if at >= start]
    return TurnedAway(sum(away), ran + sum(away), sum(value > 0 for value in away))
