"""Time belongs to the agenda."""

import functools
import time
from datetime import UTC, datetime, timedelta

import pytest

from sandbox import NeverHappened, World
from sandbox.clock import Agenda, Order

MINUTE = timedelta(minutes=1)


def test_python_and_the_world_read_the_same_clock(world: World) -> None:
    """Every clock that code may read stands still until the world moves it."""
    before = time.time(), time.monotonic(), datetime.now(UTC)
    assert before[2] == world.now
    world.run(MINUTE)
    assert (time.time() - before[0], time.monotonic() - before[1], datetime.now(UTC) - before[2]) == (60, 60, MINUTE)


def test_sleeping_runs_the_world(world: World) -> None:
    """A sleep takes virtual time, in which everything else goes on."""
    happened = []
    world.at(timedelta(seconds=5), lambda: happened.append(world.now))
    time.sleep(10)
    assert len(happened) == 1


def test_the_clock_jumps_to_what_happens_next() -> None:
    """Nothing happens between entries, and entries happen exactly when they are due."""
    agenda, seen = Agenda(datetime(2026, 1, 1, tzinfo=UTC)), []
    agenda.at(3 * MINUTE, lambda: seen.append(agenda.now))
    agenda.every(2 * MINUTE, lambda: seen.append(agenda.now))
    agenda.run(5 * MINUTE)
    assert [f"{each:%H:%M}" for each in seen] == ["00:02", "00:03", "00:04"]
    assert f"{agenda.now:%H:%M}" == "00:05"


def test_within_an_instant_the_world_moves_before_code_looks() -> None:
    """Physics, meters, alarms, code: in this order, whatever was planned first."""
    agenda, seen = Agenda(datetime(2026, 1, 1, tzinfo=UTC)), list[Order]()
    for order in reversed(Order):
        agenda.at(MINUTE, functools.partial(seen.append, order), order)
    agenda.run(MINUTE)
    assert seen == list(Order)


def test_waiting_for_what_never_happens_ends() -> None:
    """A condition that stays false is an error that says so, at the limit."""
    agenda = Agenda(datetime(2026, 1, 1, tzinfo=UTC))
    agenda.every(MINUTE, lambda: None)
    with pytest.raises(NeverHappened) as caught:
        agenda.run_until(lambda: False, 10 * MINUTE)
    assert (caught.value.limit, agenda.now.minute) == (10 * MINUTE, 10)


def test_a_cancelled_entry_does_not_happen() -> None:
    """Cancelling also ends what repeats."""
    agenda, seen = Agenda(datetime(2026, 1, 1, tzinfo=UTC)), []
    entry = agenda.every(MINUTE, lambda: seen.append(1))
    agenda.run(2 * MINUTE)
    entry.cancel()
    agenda.run(5 * MINUTE)
    assert len(seen) == 2
