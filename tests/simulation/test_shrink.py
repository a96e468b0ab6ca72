"""From a seed that fails to the shortest story that does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.simulation.campaign import performed
from sandbox.simulation.nemesis import Fault
from sandbox.simulation.shrink import ddmin, narrated, shrink
from sandbox.simulation.story import Scene, draw

BUG, PROMISE = "lock-leaks", "locks released"
STORY = replace(
    draw(1, small=True, faults=False),
    documents=1,
    usage=1,
    loans=2,
    mode="auto",
    scenes=(
        Scene(300, "garbage"),
        Scene(360, "slow for ever", 1, (900,)),
        Scene(420, "flap", 1, (300, 3, 0)),
        Scene(480, "redeploy"),
    ),
    rates={Fault.SLOW: 0.05},
)
"""what is lent to the second slow queue: a lock that leaks shows itself; nothing else is needed"""


class TestDdmin:
    """Nothing that is left can be left out."""

    @pytest.mark.parametrize("needed", [{0}, {7}, {3, 12}, {0, 1, 19}, set(range(20))], ids=str)
    def test_what_is_needed_stays(self, needed: set[int]) -> None:
        """And nothing else."""
        assert set(ddmin(range(20), lambda items: needed <= set(items))) == needed

    def test_nothing_is_needed(self) -> None:
        """What fails anyhow needs no item."""
        assert ddmin(range(20), lambda _: True) == []

    def test_it_looks_rarely(self) -> None:
        """One of a thousand is found within some dozens of looks."""
        looks: list[int] = []

        def fails(items: list[int]) -> bool:
            looks.append(len(items))
            return 617 in items

        assert ddmin(range(1000), fails) == [617]
        assert len(looks) < 50


def test_a_story_becomes_short_and_fails_still() -> None:
    """Fewer scenes, no faults, one system; played again it breaks the same promise in the same way."""
    short = shrink(STORY, PROMISE, bug=BUG, runs=40)
    [scene] = short.story.scenes
    assert (scene.what, short.scenes, short.struck) == ("slow for ever", 4, ())
    assert short.story.documents + short.story.usage + short.story.loans == 1
    _, violations = performed(short.story, lambda *_: None, bug=BUG)
    assert tuple(each for each in violations if each.promise == PROMISE) == short.violations
    text = "\n".join(short.lines())
    for words in ("SCENE", "incident", "write", "mail", "closed: ", f"BROKEN  {PROMISE}: "):
        assert words in text
    assert text.endswith("\n\nAgain: nightshift simulate --seed 1 --runs 1 --bug lock-leaks")
    assert performed(short.story, lambda *_: None)[1] == []


def test_it_ends_when_enough_was_played() -> None:
    """With what it has by then: the whole story, if need be, with exactly the faults that struck."""
    short = shrink(STORY, PROMISE, bug=BUG, runs=1)
    assert (short.runs, short.story.scenes) == (1, STORY.scenes)
    assert short.struck
    assert short.story.only == frozenset(short.struck)
    assert performed(short.story, lambda *_: None, bug=BUG)[1] == list(short.violations)


def test_what_does_not_fail_cannot_be_made_shorter() -> None:
    """It says so."""
    with pytest.raises(ValueError, match="seed 1 does not break the promise 'locks released'"):
        shrink(STORY, PROMISE)


def test_a_story_is_told_in_the_order_in_which_it_happened() -> None:
    """Scenes, faults with who met them, what the world, the incidents and the mails say; and that all went well."""
    lines = narrated(STORY)
    assert lines[-1] == "Every promise was kept."
    times = [line[:8] for line in lines if line[2:3] == line[5:6] == ":"]
    assert times == sorted(times)
    assert any("  FAULT " in line and ", invocation " in line for line in lines)
    assert any("  world " in line and " is not well" in line for line in lines)
    assert all(len(line) < 200 for line in lines)
