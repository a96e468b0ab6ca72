"""docs/how-to/operate.md shows commands as they can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from nightshift.cli.app import app
from nightshift.config import parse_toml
from nightshift.model import Severity
from typer.core import TyperGroup
from typer.main import get_command

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
TYPED = [line for block in BLOCKS for line in block.splitlines() if line.startswith("nightshift ")]


@pytest.mark.parametrize("line", dict.fromkeys(TYPED))
def test_every_command_on_the_page_can_be_typed(line: str) -> None:
    """The command exists, and takes these words and options."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    _, name, *words = shlex.split(line, comments=True)
    command, context = group.commands[name], typer.Context(group)
    if isinstance(command, TyperGroup):
        context = typer.Context(command, parent=context, info_name=name)
        name, *words = words
        command = command.commands[name]
    parsed = command.make_context(name, words, parent=context)
    assert not parsed.args


def test_the_page_shows_every_command_but_those_to_try_it() -> None:
    """Whoever operates it finds everything there is on one page."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert {shlex.split(line)[1] for line in TYPED} == set(group.commands) - {"demo", "simulate"}


def test_the_tables_on_the_page_are_a_configuration() -> None:
    """What is shown of severities, levels and the calendar can be copied into a file as it stands."""
    shown = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    example = (ROOT / "config" / "example.toml").read_text(encoding="utf-8")
    policy = parse_toml(f"{example}\n{shown}", path="operate.md")
    assert [level.emails for level in policy.escalation] == [("oncall@example.com",), ("lead@example.com",)]
    assert policy.label(Severity.SEV1) == "P0"
    assert [window.name for window in policy.calendar.windows] == ["sunday"]
