"""
The calendar: when people work on what we look after, and when nothing is to be changed. Pure.

A window is open from the first moment at which a clock in its time zone shows ``begins`` to the last at which one shows
``ends``. So an hour that the clock shows twice is in it twice, and of an hour that the clock skips nothing is. A window
that ends at or before the time it begins ends on the following day; ``days`` are those on which it begins.

Time zones come from the system: Lambda's Python runs on Amazon Linux 2023, which has /usr/share/zoneinfo since release
2023.3.20231218. Where there is none, a configuration that names a zone cannot be loaded, and so nothing acts.

Source: https://github.com/amazonlinux/amazon-linux-2023/issues/615
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Calendar", "Dates", "Day", "Freeze", "Frozen", "Window", "zone"]

_DAY = timedelta(days=1)
_AHEAD = 16
"""days looked ahead for the next opening: a window of one day a week may fall into a skipped hour once"""
_LONGEST_FREEZE = 800
"""days after which nobody looks for a freeze's end any more: it is asked again long before"""
_CLOCK = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
_ZONE = "^[A-Za-z][A-Za-z0-9_+/-]*$"
_NAME = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$"


class Day(StrEnum):
    """A day of the week."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Window(_Table):
    """A span of time that comes every week, in the time of one place."""

    name: str = Field(
        pattern=_NAME, max_length=32, description="what targets and remediations call it: lower-case, with hyphens"
    )
    days: tuple[Day, ...] = Field(
        default=tuple(Day), min_length=1, description="the days on which it begins, as in sun; every day when not said"
    )
    begins: str = Field(pattern=_CLOCK, description='when it begins, by the clock of its time zone, as in "02:00"')
    ends: str = Field(
        pattern=_CLOCK, description='when it ends, as in "06:00"; on the following day where that is not later'
    )
    timezone: str = Field(
        default="UTC", pattern=_ZONE, max_length=64, description='UTC, or a place, as in "Europe/Berlin"'
    )

    def open_until(self, at: datetime) -> datetime | None:
        """When it closes; None where it is not open."""
        return next((ends for begins, ends in self._spans(at) if begins <= at < ends), None)

    def opens(self, at: datetime) -> datetime:
        """When it opens next, after ``at``."""
        return next(begins for begins, ends in self._spans(at) if at < begins < ends)

    def _spans(self, at: datetime) -> Iterator[tuple[datetime, datetime]]:
        """When it opens and closes, in order, from the day before: that one may last until now."""
        where = _known(self.timezone)
        begins, ends = time.fromisoformat(self.begins), time.fromisoformat(self.ends)
        today = at.astimezone(where).date()
        for number in range(-1, _AHEAD):
            day = today + number * _DAY
            if list(Day)[day.weekday()] in self.days:
                last = day if begins < ends else day + _DAY
                yield (
                    _shown(datetime.combine(day, begins), where, fold=0),
                    _shown(datetime.combine(last, ends), where, fold=1),
                )


class Dates(_Table):
    """Days in a row, both ends included."""

    name: str = Field(min_length=1, max_length=80, description='what it is called, as in "end of the year"')
    first: date = Field(description='its first day, in quotes, as in "2026-12-20"')
    last: date = Field(description='its last day, in quotes, as in "2027-01-03"')


class Freeze(_Table):
    """Days on which nothing is changed that could wait."""

    last_days_of_quarter: int = Field(
        default=0, ge=0, le=31, description="so many days at the end of each quarter; 7 is the last week"
    )
    dates: tuple[Dates, ...] = Field(
        default=(), description="[[calendar.freeze.dates]], each with name, first and last"
    )
    timezone: str = Field(default="UTC", pattern=_ZONE, max_length=64, description="where a day begins and ends")
    override: tuple[str, ...] = Field(
        default=(), description="remediations that may act all the same: somebody has decided that they must"
    )

    def at(self, when: datetime) -> Frozen | None:
        """The freeze that is on, and when the last of those that follow on it is over; None where there is none."""
        where = _known(self.timezone)
        today = when.astimezone(where).date()
        why = self._why(today)
        if why is None:
            return None
        days = (today + number * _DAY for number in range(1, _LONGEST_FREEZE))
        thaw = next((day for day in days if self._why(day) is None), today + _LONGEST_FREEZE * _DAY)
        return Frozen(why, _shown(datetime.combine(thaw, time()), where, fold=0))

    def _why(self, day: date) -> str | None:
        if _days_left_in_quarter(day) < self.last_days_of_quarter:
            return f"the last {self.last_days_of_quarter} days of the quarter"
        return next((each.name for each in self.dates if each.first <= day <= each.last), None)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A freeze that is on."""

    why: str
    until: datetime


class Calendar(_Table):
    """Windows by name, and the freeze."""

    windows: tuple[Window, ...] = Field(default=(), description="[[calendar.windows]], each with a name, begins, ends")
    freeze: Freeze = Field(default=Freeze(), description="when only what is safe in a freeze is done")

    def named(self, names: tuple[str, ...]) -> tuple[Window, ...]:
        """The windows of these names."""
        return tuple(window for window in self.windows if window.name in names)

    def open_until(self, names: tuple[str, ...], at: datetime) -> tuple[str, datetime] | None:
        """The window of these that is open, and when it closes: of several the one that closes last."""
        found = [(ends, each.name) for each in self.named(names) if (ends := each.open_until(at)) is not None]
        return (max(found)[1], max(found)[0]) if found else None

    def opens(self, names: tuple[str, ...], at: datetime) -> tuple[str, datetime] | None:
        """The window of these that opens next, and when; None where none has such a name."""
        found = [(each.opens(at), each.name) for each in self.named(names)]
        return (min(found)[1], min(found)[0]) if found else None


# -- clocks ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def zone(name: str) -> tzinfo | None:
    """The time zone of that name; None where there is none, or the system has no time zones. UTC needs none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, no such path, a directory
        return None


def _known(name: str) -> tzinfo:
    found = zone(name)
    if found is None:  # a configuration is not loaded with one that is not there
        raise LookupError(name)
    return found


def _shown(wall: datetime, where: tzinfo, *, fold: int) -> datetime:
    """
    When a clock shows ``wall``: of two times the first (``fold`` 0) or the last (1).

    Where the clock never shows it, when it jumps over it.
    """
    at = wall.replace(tzinfo=where, fold=fold).astimezone(UTC)
    if at.astimezone(where).replace(tzinfo=None, fold=0) == wall:
        return at
    before, after = sorted(wall.replace(tzinfo=where, fold=each).astimezone(UTC) for each in (0, 1))
    offset = before.astimezone(where).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(where).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _days_left_in_quarter(day: date) -> int:
    """Days of the quarter after this one: 0 on its last."""
    month = (day.month - 1) // 3 * 3 + 4  # the first of the next quarter, 13 for January
    following = date(day.year + month // 13, (month - 1) % 12 + 1, 1)
    return (following - day).days - 1
