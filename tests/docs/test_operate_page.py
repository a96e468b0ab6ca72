"""docs/how-to/operate.md says of every command what whoever types it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from nightshift.cli.app import app
from nightshift.standing import ACTIONS
from typer.core import TyperGroup
from typer.main import get_command

from tests.support.credentials import named, rows
from tools.iam.definitions import action

PERMISSIONS = Path(__file__).parents[2] / "docs" / "reference" / "permissions.md"


def commands(group: object, before: str = "") -> Iterator[str]:
    """Every command that can be typed, with the name of its group."""
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{name} ")
        else:
            yield f"{before}{name}"


def test_every_command_says_what_its_credentials_need() -> None:
    """Each stands in one row, by its whole name, and no row is about a command that there is not."""
    told = [command for row, _ in rows() for command in row]
    assert sorted(told) == sorted(commands(get_command(app)))


def test_no_row_means_the_one_above_it() -> None:
    """Rows are put in between: what is the same as another command's is said by that command's name."""
    assert [row for row, said in rows() if "the same" in said or "as above" in said] == []


def test_every_action_is_one_that_iam_knows() -> None:
    """A policy with a misspelt action allows nothing, and says nothing."""
    for row, _ in rows():
        for name in named(row[0]):
            action(name)


def test_health_names_what_it_asks_of_each_kind() -> None:
    """What AWS itself says of a target is read by an action that no remediation may need."""
    assert set(ACTIONS.values()) <= named("health")


def test_the_roles_that_rows_refer_to_are_there() -> None:
    """Their headings are the anchors."""
    text = PERMISSIONS.read_text(encoding="utf-8")
    anchors = {anchor for _, said in rows() for anchor in re.findall(r"/reference/permissions\.md#(\w+)\)", said)}
    assert anchors == {"sweep", "tick"}
    assert all(f"\n### {anchor}\n" in text for anchor in anchors)
