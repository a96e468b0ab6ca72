"""Many seeds: what is added up, and that one run that goes wrong is a violation and not the end of the others."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from nightshift.errors import NightshiftError

from sandbox.simulation import campaign
from sandbox.simulation.campaign import BREAKS, HANGS, Figures, Found, Hunt, Plan, Pool, Task, hunt, performed
from sandbox.simulation.story import Scene, Story, draw
from tests.support.at_once import AtOnce, InThisProcess

SHORT = replace(
    draw(1, small=True, faults=False),
    documents=0,
    usage=0,
    loans=1,
    mode="auto",
    scenes=(Scene(360, "slow", 0, (600,)),),
)


def one(*, seed: int = 1, **more: Any) -> Figures:
    """The figures of one seed."""
    return Figures(
        seeds=1,
        calls=100,
        writes=2,
        incidents={"sqs-dlq-backlog": Counter({"fixed": 2, "refused": 1})},
        faults=Counter({"slow call": 3}),
        minutes={"fixed": Counter({10.0: 1, 20.0: 1}), "refused": Counter({5.5: 1})},
        applied={"sqs-dlq-backlog": Counter({1.0: 2})},
        violations=[Found("in bounds", "this was touched", seed)],
        **more,
    )


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    """A pool in this process, in which seed 6 is deadly."""
    monkeypatch.setattr(Pool, "_new", lambda self: AtOnce((6,)))
    return Pool(2)


class TestFigures:
    """Sums."""

    def test_they_can_be_added(self) -> None:
        """Every figure of both is in it, and violations stand in the order of their seeds."""
        both = one(seed=9)
        both.add(one(seed=3, cpu_seconds=1.5))
        assert (both.seeds, both.calls, both.writes, both.count, both.cpu_seconds) == (2, 200, 4, 6, 1.5)
        assert both.verdicts == {"fixed": 4, "refused": 2}
        assert both.faults == {"slow call": 6}
        assert both.applied == {"sqs-dlq-backlog": Counter({1.0: 4})}
        assert [each.seed for each in both.violations] == [3, 9]
        assert both.broken == {"in bounds": 2}

    def test_percentiles(self) -> None:
        """The value within which the share lies."""
        figures = Figures(minutes={"fixed": Counter({10.0: 5, 20.0: 4, 60.0: 1})})
        assert [figures.percentile("fixed", share) for share in (0.5, 0.9, 1)] == [10, 20, 60]

    def test_json_there_and_back(self) -> None:
        """What a long run has written can be read, and added to."""
        figures = one(virtual_seconds=60.0, cpu_seconds=2.0, mails=1, invocations=7)
        assert Figures.of(json.loads(json.dumps(figures.document()))) == figures


class TestOneRun:
    """Whatever goes wrong with it is a violation."""

    def test_what_is_seen_and_what_is_broken(self) -> None:
        """A quiet story keeps every promise."""
        seen, violations = performed(SHORT, campaign._figures)
        assert violations == []
        assert seen is not None
        assert (seen.seeds, seen.count, list(seen.incidents)) == (1, 1, ["queue-slow"])
        assert seen.calls > 50
        [(verdict, minutes)] = seen.minutes.items()
        assert {verdict: minutes.total()} == dict(seen.verdicts)

    def test_a_run_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is ended by the CPU that it has used, says where it was, and leaves no alarm behind."""

        @contextlib.contextmanager
        def play(story: Story, *, thin: bool) -> Iterator[None]:
            while True:
                with contextlib.suppress(Exception):
                    sum(range(1_000))

        monkeypatch.setattr(campaign, "play", play)
        before = signal.getsignal(signal.SIGPROF)
        seen, [violation] = performed(SHORT, lambda *_: 1, patience=0.2)
        assert (seen, violation.promise) == (None, HANGS)
        assert "in play (" in violation.text
        assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
        assert signal.getsignal(signal.SIGPROF) is before

    def test_a_run_that_breaks_off(self) -> None:
        """An error of the simulation itself is told with its place."""
        broken = replace(SHORT, scenes=(Scene(360, "slow", 7, (600,)),))
        seen, [violation] = performed(broken, lambda *_: 1)
        assert (seen, violation.promise) == (None, BREAKS)
        assert violation.text.startswith("IndexError")

    def test_runs_do_not_depend_on_what_ran_before(self) -> None:
        """Calls, faults and ends of a seed are the same again."""
        first, _ = performed(draw(1, small=True), campaign._figures)
        performed(SHORT, campaign._figures)
        again, _ = performed(draw(1, small=True), campaign._figures)
        assert first == again


class TestMany:
    """Seeds are shared out, in order."""

    def test_chunks(self) -> None:
        """No seed is left out or played twice, and the last chunks are small."""
        chunks = list(Plan(first=5, runs=11).chunks(4, jobs=2))
        assert [seed for chunk in chunks for seed in chunk] == list(range(5, 16))
        assert [len(chunk) for chunk in chunks] == [4, 3, 2, 1, 1]

    def test_in_processes(self) -> None:
        """Two seeds, in processes of their own, as they are in this one."""
        expected = Figures()
        for seed in (2, 3):
            expected.add(campaign._one(seed, Task((seed,), patience=60)))
        told: list[int] = []
        with Pool(2) as pool:
            found = campaign.campaign(pool, Plan(first=2, runs=2), tell=lambda so_far: told.append(so_far.seeds))
        assert told == [1, 2]
        assert found.cpu_seconds > 0
        found.cpu_seconds = expected.cpu_seconds = 0
        assert found == expected

    def test_no_time_is_no_seed(self, pool: Pool) -> None:
        """Once the time is over nothing is begun."""
        assert campaign.campaign(pool, Plan(seconds=0)).seeds == 0

    def test_a_seed_that_kills_its_process(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        """It alone is told to hang; every other seed that was with it is played."""
        monkeypatch.setattr(campaign, "_one", lambda seed, _: Figures(seeds=1))
        found = campaign.campaign(pool, Plan(runs=12))
        assert found.seeds == 12
        assert [(each.promise, each.seed) for each in found.violations] == [(HANGS, 6)]

    def test_a_worker_ends_when_it_has_seen_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Or when the time is over: one seed is played in any case."""
        monkeypatch.setattr(campaign, "_one", lambda seed, _: one(seed=seed))
        assert campaign._work(Task((1, 2, 3))).seeds == 3
        assert campaign._work(Task((1, 2, 3), enough=frozenset({"in bounds"}))).seeds == 1
        assert campaign._work(Task((1, 2, 3), until=0)).seeds == 1


class TestBugs:
    """Each must be noticed, by a promise that its line in the catalogue names."""

    def test_one_is_noticed(self) -> None:
        """A lock that leaks is seen by the first seed that closes an incident."""
        with InThisProcess(1) as pool:
            found = hunt(pool, ["lock-leaks"], Plan(runs=5))["lock-leaks"]
        assert found.needed in range(1, 6)
        assert "locks released" in found.promises

    def test_another_promise_does_not_count(self) -> None:
        """What broke besides says nothing about the check that must be awake."""
        found = Hunt("lock-leaks", 1, one(seed=4))
        assert (found.noticed, found.needed, found.promises) == (None, None, [])
        found.figures.add(Figures(violations=[Found("locks released", "held", 4)]))
        assert (found.needed, found.promises) == (4, ["in bounds", "locks released"])

    def test_one_that_there_is_not(self, pool: Pool) -> None:
        """The error names those that there are."""
        with pytest.raises(NightshiftError, match="there is no bug 'nope'; there are: claim-without-condition, "):
            hunt(pool, ["nope"], Plan())


def test_places_are_told_from_here() -> None:
    """A person can open them."""
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 // 0
    assert campaign._where(raised.value).startswith(f"in test_places_are_told_from_here ({os.path.relpath(__file__)}:")
