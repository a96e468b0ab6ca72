"""`nightshift simulate`: what it shows and answers."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from nightshift.cli import simulate
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.cli.simulate import run
from nightshift.errors import NightshiftError
from rich.console import Console
from typer.testing import CliRunner

from sandbox.simulation.campaign import Figures, Found
from sandbox.simulation.lives import LIVES
from tests.support.at_once import InThisProcess


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """No processes: what they are good for is tested where they are (tests/simulation)."""
    monkeypatch.setattr(simulate, "Pool", InThisProcess)


def said(**how: Any) -> tuple[int, str]:
    """The exit code, and what was shown."""
    out = io.StringIO()
    return run(Console(file=out, width=120), **how), out.getvalue()


def test_figures_of_a_run() -> None:
    """One table, and 0 when every promise was kept."""
    code, shown = said(seed=2, runs=1, jobs=1)
    assert code == 0
    assert "1, from 2 on" in shown
    for words in ("incidents", "AWS calls", "faults", "minutes to verdict", "Every promise was kept."):
        assert words in shown


def test_a_broken_promise_is_told_with_its_short_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that is planted is noticed, and the first seed that shows it is made short."""
    monkeypatch.setattr(simulate, "RUNS", 4)
    code, shown = said(seed=2, runs=5, jobs=1, bug="lock-leaks")
    assert code == 0
    assert re.search(r"lock-leaks +\d +locks released +a closed incident keeps its target", shown)
    assert "BROKEN  locks released" in shown
    assert re.search(r"Again: nightshift simulate --seed \d --runs 1 --bug lock-leaks", shown)


def test_a_bug_that_nobody_notices_is_a_failure() -> None:
    """The check would be asleep: 1, and its name."""
    code, shown = said(seed=1, minutes=0, jobs=1, bug="lock-leaks")
    assert code == 1
    assert "Not noticed: lock-leaks" in shown


def test_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each promise once, with the seeds that broke it: 1."""
    broken = Figures(seeds=3, violations=[Found("in bounds", "x was touched", 2), Found("in bounds", "y", 3)])
    monkeypatch.setattr(simulate, "campaign", lambda *_, **__: broken)
    code, shown = said(runs=3, jobs=1, short=False)
    assert code == 1
    assert shown.count("BROKEN") == 1
    assert "in bounds: x was touched" in shown
    assert "2 seeds: 2, 3" in shown
    code, shown = said(runs=3, jobs=1, short=False, json=True)
    assert (code, Figures.of(json.loads(shown)).violations) == (1, broken.violations)


def test_the_story_of_a_seed() -> None:
    """What was drawn, and what happened."""
    code, shown = said(seed=2, story=True)
    assert code == 0
    assert shown.startswith("Seed 2\n")
    assert "SCENE" in shown


def test_on_the_full_cloud() -> None:
    """A smaller story, with the same promises."""
    code, shown = said(seed=3, runs=1, moto=True)
    assert (code, "1, from 3 on" in shown) == (0, True)


def test_lives() -> None:
    """The next one of them, in the weather of its seed; and its story says which it is."""
    code, shown = said(seed=3, runs=1, lives=True)
    assert (code, "1, from 3 on" in shown) == (0, True)
    code, shown = said(seed=3, lives=True, story=True)
    assert code == 0
    assert LIVES[3].name in shown


def test_json_is_one_document() -> None:
    """With ``json`` there is nothing on the terminal but one document."""
    code, shown = said(seed=2, story=True, json=True)
    document = json.loads(shown)
    assert (code, document["schema"], document["seed"]) == (0, "nightshift.story/1", 2)


def test_a_bug_that_there_is_not_is_a_clear_error() -> None:
    """The error names the bugs that there are."""
    with pytest.raises(NightshiftError, match="there is no bug 'nope'; there are: claim-without-condition, "):
        said(bug="nope")
    with pytest.raises(NightshiftError, match="there is no bug 'all'"):
        said(bug="all", story=True)


@pytest.mark.parametrize(
    "words, code, error",
    [
        (("--bug", "nope"), 1, "nightshift: there is no bug 'nope'"),
        (("--runs", "0"), 2, "--runs"),
        (("--seed", "x"), 2, "--seed"),
        (("--minutes", "-1"), 2, "--minutes"),
    ],
    ids=str,
)
def test_bad_input_on_the_command_line(words: tuple[str, ...], code: int, error: str) -> None:
    """One clear line, and nothing is played."""
    out = io.StringIO()
    context = Context(out=Console(file=out), err=Console(file=out, width=200))
    result = CliRunner().invoke(app, ["simulate", *words], obj=context)
    assert result.exit_code == code
    assert error in out.getvalue() + result.stderr
    assert "Traceback" not in out.getvalue() + result.output
