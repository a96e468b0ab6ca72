"""What is told by the clock: each span once, whatever crashes, comes late or comes twice; and never silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from nightshift.environment import Environment
from nightshift.errors import StoreUnavailable, Unsent
from nightshift.model import Healthy
from nightshift.reports import Reports, newest_day
from nightshift.service import connect

from tests.support.toy import MINUTE, QUARANTINE, REGION, ROLES, TABLE, Account, Crash, Toy, an_account, policy

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def reports(account: Account, **notify: Any) -> Reports:
    """What is told of one queue that is sick, and of one that is well."""
    rules = policy([account.queue("orders", delay=5), account.queue("well")], [Toy()])
    rules = replace(rules, notify=rules.notify.model_copy(update={"health_at": "07:00", **notify}))
    environment = Environment(
        table=TABLE,
        topic_arn=account.topic,
        queue_url="https://not-used/not-used",
        quarantine=QUARANTINE,
        write_roles=ROLES,
        region=REGION,
    )
    return connect(rules, account.aws, environment, clock=account.clock).reports


# -- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "at, place, now, day",
    [
        ("07:00", "UTC", datetime(2026, 3, 1, 6, 59, tzinfo=UTC), date(2026, 2, 28)),
        ("07:00", "UTC", datetime(2026, 3, 1, 7, 0, tzinfo=UTC), date(2026, 3, 1)),
        ("07:00", "Pacific/Auckland", datetime(2026, 3, 1, 18, 0, tzinfo=UTC), date(2026, 3, 2)),
        ("07:00", "America/Los_Angeles", datetime(2026, 3, 2, 14, 59, tzinfo=UTC), date(2026, 3, 1)),
        ("02:30", "Europe/Berlin", datetime(2026, 3, 29, 1, 29, tzinfo=UTC), date(2026, 3, 28)),  # there is no 02:30
        ("02:30", "Europe/Berlin", datetime(2026, 3, 29, 1, 30, tzinfo=UTC), date(2026, 3, 29)),
        ("02:30", "Europe/Berlin", datetime(2026, 10, 25, 0, 30, tzinfo=UTC), date(2026, 10, 25)),  # the first of two
        (
            "02:30",
            "Europe/Berlin",
            datetime(2026, 10, 25, 1, 10, tzinfo=UTC),
            date(2026, 10, 25),
        ),  # 02:10 again
        ("07:00", "There/Is_None", datetime(2026, 3, 1, 7, 0, tzinfo=UTC), date(2026, 3, 1)),
    ],
)
def test_a_day_begins_when_a_clock_of_that_place_says_so(at: str, place: str, now: datetime, day: date) -> None:
    """An hour that it skips or shows twice moves the day's report, and makes neither none nor two."""
    assert newest_day(at, place, now) == day


@pytest.mark.parametrize("place", ["Europe/Berlin", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe"])
@pytest.mark.parametrize("at", ["00:00", "00:30", "02:30", "23:59"])
def test_the_newest_day_never_goes_back(at: str, place: str) -> None:
    """Whatever a place does with its clocks in a year."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    days = [newest_day(at, place, start + number * HOUR) for number in range(366 * 24)]
    assert days == sorted(days)
    assert len(set(days)) in {366, 367}


def test_a_day_is_told_once_however_often_anybody_looks(account: Account) -> None:
    """Nothing at the first look, for the day had begun before anybody watched; then each day at its hour."""
    told = reports(account)
    assert told() == ()
    account.clock.pass_(4 * HOUR)
    assert told() == ("health 2026-03-01",)
    assert told() == ()
    account.clock.pass_(23 * HOUR)
    assert told() == ()
    account.clock.pass_(HOUR)
    assert told() == ("health 2026-03-02",)
    assert [mail.splitlines()[0] for mail in account.mails()] == ["HEALTH  NOT WATCHED, 1 sick, 1 healthy"] * 2


def test_a_clock_that_goes_back_tells_nothing_again(account: Account) -> None:
    """Nor does another time zone in the configuration, by which it is still yesterday."""
    told = reports(account)
    told()
    account.clock.pass_(4 * HOUR)
    told()
    assert reports(account, timezone="Pacific/Honolulu")() == ()
    assert len(account.mails()) == 1


def test_days_without_a_report_are_said_in_the_next_one(account: Account) -> None:
    """What was on those days nobody can tell any more: that nobody was told they are told."""
    told = reports(account)
    told()
    account.clock.pass_(3 * DAY + 4 * HOUR)
    assert told() == ("health 2026-03-04",)
    [mail] = account.mails()
    assert "Of 3 days before this one there was no report: the last was of 2026-02-28." in mail


def test_digests_are_sent_by_the_same_clock_and_their_weeks_stay_those_of_utc(account: Account) -> None:
    """In Auckland Monday begins on Sunday: the week is told once it is over in UTC, too."""
    told = reports(account, health_at=None, digests=("weekly",), reports_at="07:00", timezone="Pacific/Auckland")
    told()  # the first of March is a Sunday
    account.clock.pass_(16 * HOUR)  # Monday, eight o'clock there
    assert told() == ()
    account.clock.pass_(5 * HOUR)
    assert told() == ("weekly 2026-W09",)


# -- whatever fails --------------------------------------------------------------------------------------------------


def test_what_could_not_be_sent_is_sent_at_the_next_look(account: Account) -> None:
    """It is noted only once it was told."""
    told = reports(account)
    told()
    account.clock.pass_(4 * HOUR)
    account.wire.fail("sns:Publish", "InternalError", status=500, times=9)
    with pytest.raises(Unsent):
        told()
    account.wire.before.clear()
    account.clock.pass_(15 * MINUTE)
    assert told() == ("health 2026-03-01",)
    assert len(account.mails()) == 1


def crashes(account: Account, told: Reports, at: int) -> str:
    """Look at the clock, and crash after the call of that number; which one it was, empty where there is none."""
    burnt: list[str] = []
    count = [0]

    def fuse(name: str, params: dict[str, Any]) -> None:
        count[0] += 1
        if count[0] == at:
            burnt.append(name)
            raise Crash(name)

    account.wire.after.append(fuse)
    try:
        told()
    except Crash:
        pass
    finally:
        account.wire.after.remove(fuse)
    return "".join(burnt)


def test_a_crash_after_any_call_costs_no_report() -> None:
    """The next look tells what the one that died did not; only where it died between telling and noting, both do."""
    twice = []
    for at in range(1, 100):
        with an_account() as account:
            told = reports(account)
            told()
            account.clock.pass_(4 * HOUR)
            burnt = crashes(account, told, at)
            told()
            told()
            mails = account.mails()
            assert mails, f"after {burnt} nobody was told"
            twice += [burnt] * (len(mails) - 1)
            if not burnt:
                break
    else:
        pytest.fail("there was no end of calls")
    assert twice == ["sns:Publish"]


def test_a_report_that_cannot_be_made_is_told_in_its_place(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours: people hear that there is no report, once, with its kind; and no word of what it was about."""

    def defect(*_: object, **__: object) -> None:
        raise KeyError("a secret")

    told = reports(account)
    told()
    account.clock.pass_(4 * HOUR)
    monkeypatch.setattr("nightshift.reports.today", defect)
    assert told() == ("health 2026-03-01",)
    assert told() == ()
    [mail] = account.mails()
    assert "This report could not be made: KeyError. It says nothing about how anything is." in " ".join(mail.split())
    assert "secret" not in mail


def test_one_report_that_fails_keeps_no_other_from_being_sent(account: Account) -> None:
    """The week's digest needs a table that answers; the day's health says what it could not read, and is told."""
    told = reports(account, digests=("weekly",), reports_at="00:00")
    told()
    account.clock.pass_(DAY + 4 * HOUR)
    account.wire.fail("dynamodb:Query", "AccessDeniedException", times=999)
    with pytest.raises(StoreUnavailable):
        told()
    [mail] = account.mails()
    assert "not all was read" in mail.splitlines()[0]
    said = " ".join(mail.split())
    assert "incidents that are open: " in said
    assert "what was lent and left out: " in said


def test_a_target_whose_look_fails_is_unknown_and_the_others_are_told(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in what is read of one target is that target's, and is said."""
    look: Callable[..., Any] = Toy.detect

    def detect(self: Toy, target: Any, seen: Any) -> Any:
        if target.arn.name == "well":
            raise ZeroDivisionError
        return look(self, target, seen)

    monkeypatch.setattr(Toy, "detect", detect)
    told = reports(account)
    told()
    account.clock.pass_(4 * HOUR)
    told()
    [mail] = account.mails()
    assert mail.splitlines()[0] == "HEALTH  NOT WATCHED, 1 sick, 1 unknown"
    assert "toy failed: ZeroDivisionError" in mail


def test_health_is_told_where_only_it_is_asked_for(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where everything is well it says so: silence would be the same as a Nightshift that is dead."""
    monkeypatch.setattr(Toy, "detect", lambda *_: Healthy("fine"))
    told = reports(account)
    assert told.policy.notify.reports
    told()
    account.clock.pass_(4 * HOUR)
    account.incidents.beat(account.clock(), {"targets": 2, "sick": 0, "unknown": 0})
    told()
    [mail] = account.mails()
    assert mail.splitlines()[0] == "HEALTH  2 healthy"
