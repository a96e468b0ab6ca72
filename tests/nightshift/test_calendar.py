"""Windows and freezes begin and end when a clock in their time zone says so, also when that clock is changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.calendar import Calendar, Dates, Day, Freeze, Window, zone

MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(begins: str, ends: str, *days: Day, timezone: str = "UTC", name: str = "sunday") -> Window:
    """A window."""
    return Window(name=name, days=days or (Day.SUN,), begins=begins, ends=ends, timezone=timezone)


def berlin(begins: str, ends: str) -> Window:
    """A window on Sundays, when clocks are changed: on 29 March 2026 from 2 to 3, on 25 October from 3 to 2."""
    return window(begins, ends, timezone="Europe/Berlin")


# -- windows ---------------------------------------------------------------------------------------------------------


def test_a_window_is_open_from_its_first_minute_to_before_its_last() -> None:
    """Sunday 02:00 is in it, 06:00 is not."""
    sunday = window("02:00", "06:00")
    assert sunday.open_until(utc("2026-03-01T01:59:59")) is None
    assert sunday.open_until(utc("2026-03-01T02:00")) == utc("2026-03-01T06:00")
    assert sunday.open_until(utc("2026-03-01T05:59:59")) == utc("2026-03-01T06:00")
    assert sunday.open_until(utc("2026-03-01T06:00")) is None


def test_on_other_days_it_is_closed_and_opens_on_the_next_of_its_days() -> None:
    """On a Saturday, on its day before it opens, and while it is open: then the next is a week later."""
    sunday = window("02:00", "06:00")
    assert sunday.open_until(utc("2026-02-28T03:00")) is None
    assert sunday.opens(utc("2026-02-28T03:00")) == utc("2026-03-01T02:00")
    assert sunday.opens(utc("2026-03-01T01:00")) == utc("2026-03-01T02:00")
    assert sunday.opens(utc("2026-03-01T02:00")) == utc("2026-03-08T02:00")


def test_a_window_that_crosses_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    """Sunday 22:00 to 02:00 is open on Monday at one, and not on Sunday at one."""
    night = window("22:00", "02:00")
    assert night.open_until(utc("2026-03-01T01:00")) is None
    assert night.open_until(utc("2026-03-01T23:00")) == utc("2026-03-02T02:00")
    assert night.open_until(utc("2026-03-02T01:00")) == utc("2026-03-02T02:00")
    assert night.open_until(utc("2026-03-02T02:00")) is None


def test_the_day_is_that_of_the_place() -> None:
    """At 23:30 UTC on a Saturday it is Sunday in Berlin."""
    assert berlin("00:00", "01:00").open_until(utc("2026-01-03T23:30")) == utc("2026-01-04T00:00")


@pytest.mark.parametrize(
    "begins, ends, opens, closes",
    [
        ("02:00", "06:00", "2026-03-29T01:00", "2026-03-29T04:00"),  # an hour shorter
        ("02:30", "04:00", "2026-03-29T01:00", "2026-03-29T02:00"),  # begins when the clock jumps over 02:30
        ("01:00", "02:30", "2026-03-29T00:00", "2026-03-29T01:00"),  # ends when it does
        ("02:15", "02:45", "2026-04-05T00:15", "2026-04-05T00:45"),  # is not, on that day
        ("02:00", "03:00", "2026-04-05T00:00", "2026-04-05T01:00"),
    ],
)
def test_of_an_hour_that_is_skipped_nothing_is_open(begins: str, ends: str, opens: str, closes: str) -> None:
    """When clocks go forward."""
    it = berlin(begins, ends)
    assert it.opens(utc("2026-03-28T12:00")) == utc(opens)
    assert it.open_until(utc(opens)) == utc(closes)


@pytest.mark.parametrize(
    "begins, ends, opens, closes",
    [
        ("02:00", "03:00", "2026-10-25T00:00", "2026-10-25T02:00"),  # two hours
        ("02:30", "04:00", "2026-10-25T00:30", "2026-10-25T03:00"),  # from the first half past two
        ("01:00", "02:30", "2026-10-24T23:00", "2026-10-25T01:30"),  # to the last, and open in between
    ],
)
def test_an_hour_that_comes_twice_is_open_twice(begins: str, ends: str, opens: str, closes: str) -> None:
    """When clocks go back."""
    it = berlin(begins, ends)
    assert it.opens(utc("2026-10-24T12:00")) == utc(opens)
    assert it.open_until(utc(opens)) == utc(closes)
    assert it.open_until(utc(closes) - MINUTE) == utc(closes)


@given(
    at=st.integers(0, 3 * 365 * 1440).map(lambda minutes: utc("2025-01-01") + minutes * MINUTE),
    begins=st.integers(0, 1439),
    length=st.integers(1, 1439),
    days=st.sets(st.sampled_from(Day), min_size=1),
    where=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_what_is_open_closes_and_what_is_closed_opens(
    at: datetime, begins: int, length: int, days: set[Day], where: str
) -> None:
    """At any time: when it is said to close it is closed or open anew, and when it is said to open it is open."""
    ends = (begins + length) % 1440
    it = window(f"{begins // 60:02}:{begins % 60:02}", f"{ends // 60:02}:{ends % 60:02}", *days, timezone=where)
    closes = it.open_until(at)
    if closes is not None:
        assert at < closes <= at + timedelta(hours=26)
        assert it.open_until(closes - timedelta(seconds=1)) is not None
    opens = it.opens(at)
    assert opens > at
    assert it.open_until(opens) is not None


def test_of_several_windows_the_last_to_close_and_the_first_to_open_count() -> None:
    """What nobody has named is not asked."""
    names = ("early", "late")
    both = Calendar(windows=(window("02:00", "04:00", name="early"), window("03:00", "06:00", name="late")))
    assert both.open_until(names, utc("2026-03-01T03:30")) == ("late", utc("2026-03-01T06:00"))
    assert both.opens(names, utc("2026-03-01T00:00")) == ("early", utc("2026-03-01T02:00"))
    assert both.open_until(("other",), utc("2026-03-01T03:30")) is None
    assert both.opens(("other",), utc("2026-03-01T03:30")) is None


# -- freezes ---------------------------------------------------------------------------------------------------------

LAST_WEEK = Freeze(last_days_of_quarter=7)


@pytest.mark.parametrize(
    "first, thaw",
    [
        ("2026-03-25", "2026-04-01"),
        ("2026-06-24", "2026-07-01"),
        ("2026-09-24", "2026-10-01"),
        ("2026-12-25", "2027-01-01"),
    ],
)
def test_the_last_days_of_each_quarter_are_frozen(first: str, thaw: str) -> None:
    """Seven of them, to the end of the last."""
    assert LAST_WEEK.at(utc(first) - MINUTE) is None
    for at in (utc(first), utc(thaw) - MINUTE):
        frozen = LAST_WEEK.at(at)
        assert frozen is not None
        assert frozen.until == utc(thaw)
    assert LAST_WEEK.at(utc(thaw)) is None


def test_days_that_follow_on_each_other_are_one_freeze() -> None:
    """It is over when none of them is on any more; each keeps its name."""
    dates = Dates(name="inventory", first=date(2026, 12, 30), last=date(2027, 1, 3))
    both = Freeze(last_days_of_quarter=7, dates=(dates,))
    for at, why in (("2026-12-29T12:00", "the last 7 days of the quarter"), ("2027-01-02T12:00", "inventory")):
        frozen = both.at(utc(at))
        assert frozen is not None
        assert (frozen.why, frozen.until) == (why, utc("2027-01-04"))


def test_a_day_begins_where_the_freeze_is() -> None:
    """At 23:00 UTC in winter it is the next day in Berlin."""
    freeze = Freeze(last_days_of_quarter=7, timezone="Europe/Berlin")
    frozen = freeze.at(utc("2026-12-24T23:00"))
    assert frozen is not None
    assert frozen.until == utc("2026-12-31T23:00")
    assert freeze.at(utc("2026-12-24T22:59")) is None


def test_a_day_that_begins_at_one_begins_at_one() -> None:
    """In Cairo clocks skip the hour after midnight when summer begins: a freeze that ends then ends at one."""
    dates = Dates(name="release", first=date(2026, 4, 20), last=date(2026, 4, 23))
    frozen = Freeze(dates=(dates,), timezone="Africa/Cairo").at(utc("2026-04-21"))
    assert frozen is not None
    assert frozen.until == utc("2026-04-23T22:00")


def test_a_freeze_without_an_end_has_one_that_is_far_away() -> None:
    """Nobody looks for ever."""
    frozen = Freeze(dates=(Dates(name="x", first=date(2020, 1, 1), last=date(2090, 1, 1)),)).at(utc("2026-01-01"))
    assert frozen is not None
    assert frozen.until > utc("2028-01-01")


def test_without_a_calendar_nothing_is_frozen() -> None:
    """The default is no window and no freeze."""
    assert Calendar().freeze.at(utc("2026-12-31")) is None
    assert Calendar().open_until((), utc("2026-12-31")) is None


@pytest.mark.parametrize("name", ["Europe/Atlantis", "Europe", "", "../etc/passwd", "/etc/passwd"])
def test_what_is_no_time_zone_is_none(name: str) -> None:
    """Neither a place that there is not, nor a directory, nor a path."""
    assert zone(name) is None


def test_utc_needs_no_time_zones_on_the_system(monkeypatch: Any) -> None:
    """A function without them still knows UTC, and says of any other that it is not there."""
    monkeypatch.setattr("nightshift.calendar.ZoneInfo", lambda name: (_ for _ in ()).throw(KeyError(name)))
    zone.cache_clear()
    assert zone("UTC") is UTC
    assert zone("Europe/Berlin") is None
    zone.cache_clear()
