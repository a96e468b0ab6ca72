"""
A leak, told from load: memory that rises all the while, and CPU that does not.

Means of quarters of a history are compared. Load explains a rise of memory if CPU rose with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from nightshift.remediation import Series
from nightshift.states import minutes

__all__ = ["Trend", "trend"]

_QUARTERS = 4  # parts of the history whose means are compared
_MOST = 0.8  # share of a quarter's minutes that must have been reported
_STEP = 0.5  # points by which memory must rise from quarter to quarter before that is more than noise
_EXPLAINED = 0.5  # of a rise of memory, what CPU must rise by for load to explain it


@dataclass(frozen=True, slots=True)
class Trend:
    """How memory and CPU went: the means of the history's quarters, the newest last."""

    span: timedelta
    cpu: tuple[float, ...]
    memory: tuple[float, ...]

    @property
    def leaks(self) -> bool:
        """Whether memory rose in every quarter, and load does not explain it."""
        rises = list(zip(_rises(self.memory), _rises(self.cpu), strict=True))
        steadily = all(rise >= _STEP for rise, _ in rises)
        return steadily and any(load < rise * _EXPLAINED for rise, load in rises)

    @property
    def text(self) -> str:
        """Both, from the oldest quarter to the newest."""
        return (
            f"in {minutes(self.span)} minutes memory went from {self.memory[0]:.0f} to {self.memory[-1]:.0f} %, "
            f"CPU from {self.cpu[0]:.0f} to {self.cpu[-1]:.0f} %"
        )


def trend(cpu: Series, memory: Series, span: timedelta) -> Trend | None:
    """How both went in that span; None where too few of its minutes were reported to tell load from a leak."""
    quarters = [_quarters(series, span) for series in (cpu, memory)]
    if not all(quarters):
        return None
    return Trend(span, *quarters)


def _quarters(series: Series, span: timedelta) -> tuple[float, ...]:
    part = span / _QUARTERS
    aged = [(series.points[-1][0] - at, value) for at, value in series.points]
    parts = [
        [value for age, value in aged if ago * part <= age < (ago + 1) * part] for ago in reversed(range(_QUARTERS))
    ]
    if min(map(len, parts)) < minutes(span) / _QUARTERS * _MOST:
        return ()
    return tuple(sum(part) / len(part) for part in parts)


def _rises(values: Sequence[float]) -> list[float]:
    return [after - before for before, after in pairwise(values)]
