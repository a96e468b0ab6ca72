"""
Bills: what a thing has of a unit that is paid by the hour, above what it had at first, for how long.

Whatever can be lent says here how much there is of it, whenever that changes: one bill for the account. A report's
dollars are compared with what stands here: list prices, to the millisecond.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.clock import Agenda

HOUR_MS = 3_600_000


@dataclass
class _Line:
    """One item of one thing."""

    at_first: float
    now: float
    since_ms: int
    unit_hours: float = 0.0

    def until(self, ms: int) -> float:
        """Unit-hours above what there was at first."""
        return self.unit_hours + (self.now - self.at_first) * (ms - self.since_ms) / HOUR_MS


class Bill:
    """All that is paid by the hour."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._lines: dict[tuple[str, str], _Line] = {}

    def has(self, thing: str, item: str, units: float) -> None:
        """So many units of an item a thing has from now on; the first number is what it has anyway."""
        line = self._lines.setdefault((thing, item), _Line(units, units, self._agenda.ms))
        line.unit_hours, line.since_ms, line.now = line.until(self._agenda.ms), self._agenda.ms, units

    def anew(self) -> None:
        """What everything has now is what it has anyway: nothing above that was had so far."""
        for line in self._lines.values():
            line.at_first, line.since_ms, line.unit_hours = line.now, self._agenda.ms, 0.0

    def extra_hours(self, thing: str, item: str) -> float:
        """Unit-hours of an item that a thing has had above what it had at first; fewer than none, if it had less."""
        line = self._lines.get((thing, item))
        return line.until(self._agenda.ms) if line is not None else 0.0

    def dollars(self, price: Callable[[str], float]) -> float:
        """What all of that costs, by the price of each item."""
        return sum(price(item) * line.until(self._agenda.ms) for (_, item), line in self._lines.items())
