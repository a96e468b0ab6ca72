"""The page on reliability says what is checked."""

from __future__ import annotations

from pathlib import Path

from sandbox.simulation.bugs import BUGS
from sandbox.simulation.lives import LIVES
from sandbox.simulation.promises import PROMISES

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_every_check_of_a_promise_is_named() -> None:
    """With what it holds the simulation to."""
    assert [name for name in PROMISES if f"`{name}`" not in PAGE] == []


def test_every_seeded_bug_has_its_row() -> None:
    """With what must notice it."""
    assert [name for name in BUGS if f"(`{name}`)" not in PAGE] == []


def test_there_are_as_many_lives_as_the_page_says() -> None:
    """Whoever adds one says what crashes at each of its calls came to."""
    assert f"\n{len(LIVES)} short lives take every remediation" in PAGE
    assert f"nightshift simulate --lives --runs {len(LIVES)} " in PAGE
