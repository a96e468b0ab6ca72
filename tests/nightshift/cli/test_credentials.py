"""What docs/how-to/operate.md says that a command needs of the incident table is what it asks of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from nightshift.incidents import Pointer
from nightshift.model import Phase, SwitchState
from nightshift.remediations.backup_on_demand import BackupOnDemand

from tests.nightshift.cli.desk import ID, NOW, Desk
from tests.nightshift.cli.test_backup import ORDERS
from tests.nightshift.cli.test_backup import office as office_of_backups
from tests.nightshift.cli.test_maintenance import BACKEND, start, typed
from tests.nightshift.cli.test_maintenance import office as office_of_services
from tests.support.credentials import actions_on_table, named

__all__ = ["office_of_backups", "office_of_services"]  # fixtures

TYPED: dict[str, list[tuple[str, ...]]] = {
    "status": [("status",)],
    "incidents": [("incidents",), ("incidents", "--open")],
    "leases": [("leases",)],
    "show": [("show", ID)],
    "timeline": [("timeline", ID)],
    "digest": [("digest", "weekly")],
    "approve": [("approve", ID, "--yes")],
    "deny": [("deny", ID, "--yes", "--why", "no")],
    "ack": [("ack", ID)],
    "pause": [("pause", "--why", "x")],
    "resume": [("resume", "--why", "x")],
    "maintenance list": [("maintenance", "list")],
}


def used(desk: Desk) -> set[str]:
    """What the last command needed of the table."""
    return set(actions_on_table(desk.cloud.calls, desk.table))


def said(command: str) -> set[str]:
    """What the page says that it needs of it: no other row of these is about a table of somebody else's."""
    return {action for action in named(command) if action.startswith("dynamodb:")}


@pytest.mark.parametrize("command", TYPED)
def test_a_command_asks_of_the_table_what_its_row_says(desk: Desk, command: str) -> None:
    """An operator with the row's actions is denied nothing, and holds nothing that is not used."""
    desk.store.set_switch(SwitchState.ON, reason="go", by="eve", now=NOW)
    record = desk.record(links=("20261120T0200-00000001",))
    assert record.phase is Phase.AWAITING
    needed = set()
    for group, *words in TYPED[command]:
        result = desk.on_table(group, *words)
        assert result.exit_code == 0, result.output
        needed |= used(desk)
    assert needed == said(command)


def test_maintenance_asks_of_the_table_what_its_rows_say(office_of_services: Desk) -> None:
    """To begin it, where an earlier one has just ended; and to end it."""
    desk = office_of_services
    desk.store.point(Pointer(BACKEND, "ecs-maintenance", "quiet", NOW - timedelta(hours=1), ID), was=None)
    assert start(desk).exit_code == 0
    assert used(desk) == said("maintenance start")
    assert typed(desk, "end", BACKEND).exit_code == 0
    assert used(desk) == said("maintenance end")


def test_a_backup_asks_of_the_table_what_its_row_says(office_of_backups: Desk) -> None:
    """Where an earlier one has just ended."""
    desk = office_of_backups
    desk.store.point(Pointer(ORDERS, BackupOnDemand.name, "quiet", NOW - timedelta(hours=1), ID), was=None)
    assert desk.run("backup", ORDERS, "--yes", "--config", str(desk.config)).exit_code == 0
    assert used(desk) == said("backup")
