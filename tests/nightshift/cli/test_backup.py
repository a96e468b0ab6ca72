"""A backup is asked for with a name and a yes; nothing is written to what it is of from here."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from nightshift.model import Phase, SwitchState
from nightshift.remediations.backup_on_demand import BackupOnDemand

from tests.nightshift.cli.desk import ME, NOW, Desk, Toy
from tests.nightshift.signals.cloud import ACCOUNT, REGION

ORDERS = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
TOML = f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"
[notify]
emails = ["oncall@example.com"]
[remediations.backup-on-demand]
mode = "auto"
[[systems]]
name = "pulse"
[[systems.targets]]
arn = "{ORDERS}"
mode = "auto"
[[systems.targets]]
arn = "arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/protected"
mode = "auto"
protected = true
"""


@pytest.fixture
def office(desk: Desk) -> Any:
    """A desk in front of a deployment with a table that nobody has backed up."""
    desk.registry = (BackupOnDemand, Toy)
    desk.config.write_text(TOML, encoding="utf-8")
    desk.deploy()
    desk.store.set_switch(SwitchState.ON, reason="go", by="eve", now=NOW)
    client = desk.cloud.session.client("dynamodb")
    for name in ("orders", "protected"):
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            Tags=[{"Key": "auto-remediation", "Value": "enabled"}],
        )
    with patch("nightshift.states.backups", lambda _read, _arn: {"Backups": []}):
        yield desk


def typed(desk: Desk, *words: str, target: str = ORDERS, yes: bool = True, **more: Any) -> Any:
    """Type the command."""
    said = ("--yes",) if yes else ()
    return desk.run("backup", target, *words, *said, "--config", str(desk.config), **more)


def test_it_is_written_down_with_who_and_why_and_their_yes(office: Desk) -> None:
    """The next tick makes it; from here nothing is written but the record."""
    result = typed(office, "--reason", "new schema")
    assert result.exit_code == 0, result.output
    assert office.wrote() == {"TransactWriteItems"}
    [incident] = office.store.recent()
    request = incident.finding.request
    assert request is not None
    assert (request.by, request.why, request.at) == (ME, "new schema", NOW)
    assert incident.phase is Phase.AWAITING
    assert incident.approval is not None
    assert incident.plan is not None
    assert (incident.approval.answer, incident.approval.plan_hash) == ("approved", incident.plan.hash)
    assert "Change nothing before it is available" in result.stdout
    assert f"nightshift show {incident.id}" in result.stdout


def test_the_plan_is_shown_and_a_no_leaves_nothing(office: Desk) -> None:
    """Asked back, with what would be made."""
    result = typed(office, yes=False, input="n\n")
    assert result.exit_code == 1
    assert "make the backup nightshift-20261120-" in result.stdout
    assert office.store.recent() == []


def test_the_second_is_told_of_the_first(office: Desk) -> None:
    """And where to see how it goes."""
    typed(office)
    result = typed(office, "--json")
    assert result.exit_code == 1
    assert "a backup of it is under way" in result.stderr
    assert len(office.store.recent()) == 1


def test_it_is_no_maintenance(office: Desk) -> None:
    """What is backed up is not stopped: status and the list of what is stopped do not say so."""
    typed(office)
    listed = office.run("maintenance", "list", "--config", str(office.config)).stdout
    assert "Nothing is stopped" in listed
    assert '"maintenance": []' in office.run("status", "--json", "--config", str(office.config)).stdout


def test_the_document_has_the_plan_and_what_it_waits_for(office: Desk) -> None:
    """For whoever reads it by machine, before a migration."""
    office.store.set_switch(SwitchState.HALTED, reason="no", by="eve", now=NOW)
    result = typed(office, "--json", "--reason", "x")
    assert result.exit_code == 0, result.output
    for part in ('"schema": "nightshift.backup/1"', "dynamodb:CreateBackup", '"kill-switch"', '"why": "x"'):
        assert part in result.stdout
    assert "The kill switch is halted (no)" in result.stderr


def test_what_may_not_be_touched_is_not_backed_up(office: Desk) -> None:
    """Said at once, with why."""
    result = typed(office, target="protected")
    assert result.exit_code == 1
    assert "protected is not backed up" in result.stderr
    assert office.store.recent() == []


@pytest.mark.parametrize("target", ["order", f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"])
def test_what_is_not_meant_is_not_backed_up(office: Desk, target: str) -> None:
    """A name that none has is no guess."""
    result = typed(office, target=target)
    assert result.exit_code == 1
    assert "is no table or cluster that backup-on-demand takes" in result.stderr


def test_a_document_asks_nothing_back(office: Desk) -> None:
    """Nobody would answer."""
    assert typed(office, "--json", yes=False).exit_code == 2


def test_who_was_faster_and_is_done_already_is_said_to_be_so(office: Desk) -> None:
    """Between the look and the record: then it can be asked for again."""
    with patch("nightshift.cli.requests.ask", lambda *_, **__: False):
        result = typed(office)
    assert (result.exit_code, "could not be written down" in result.stderr) == (1, True)


def test_without_the_remediation_it_says_how(desk: Desk) -> None:
    """It is not enabled where nobody wrote so."""
    desk.registry = (BackupOnDemand, Toy)
    assert "Write [remediations.backup-on-demand] into it" in typed(desk).stderr
