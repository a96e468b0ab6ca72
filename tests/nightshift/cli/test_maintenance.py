"""Maintenance is asked for with a name, a time and a yes; nothing is written to the service from here."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from nightshift.model import Phase, SwitchState, Verdict
from nightshift.remediations.ecs_maintenance import EcsMaintenance

from tests.nightshift.cli.desk import ME, NOW, Desk, Toy
from tests.nightshift.signals.cloud import ACCOUNT, REGION

BACKEND = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/backend"
TOML = f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"
[notify]
emails = ["oncall@example.com"]
[remediations.ecs-maintenance]
mode = "auto"
[[systems]]
name = "lecture"
[[systems.targets]]
arn = "{BACKEND}"
mode = "auto"
[[systems.targets]]
arn = "arn:aws:ecs:{REGION}:{ACCOUNT}:service/test/backend"
[[systems.targets]]
arn = "arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/frontend"
"""
SERVICE: dict[str, Any] = {
    "serviceArn": BACKEND,
    "serviceName": "backend",
    "status": "ACTIVE",
    "desiredCount": 2,
    "runningCount": 2,
    "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED", "failedTasks": 0}],
    "tags": [{"key": "auto-remediation", "value": "enabled"}],
}


@pytest.fixture
def office(desk: Desk) -> Any:
    """A desk in front of a deployment with a service, of which AWS says what the test has it say."""
    desk.registry = (EcsMaintenance, Toy)
    desk.config.write_text(TOML, encoding="utf-8")
    desk.deploy()
    desk.store.set_switch(SwitchState.ON, reason="go", by="eve", now=NOW)
    client = desk.cloud.session.client("ecs")
    client.create_cluster(clusterName="prod")
    client.register_task_definition(family="backend", containerDefinitions=[{"name": "a", "image": "b", "memory": 64}])
    client.create_service(
        cluster="prod",
        serviceName="backend",
        taskDefinition="backend",
        desiredCount=2,
        tags=[{"key": "auto-remediation", "value": "enabled"}],
    )
    described = dict(SERVICE)
    with patch("nightshift.states.service", lambda _read, _arn: described):
        desk.described = described  # type: ignore[attr-defined]
        yield desk


def typed(desk: Desk, *words: str, **more: Any) -> Any:
    """Type a command of maintenance."""
    return desk.run("maintenance", *words, "--config", str(desk.config), **more)


def start(desk: Desk, *words: str, target: str = BACKEND, until: str = "2h") -> Any:
    """Ask for it, unseen."""
    return typed(desk, "start", target, "--until", until, "--yes", *words)


def test_it_is_written_down_with_who_why_and_until_and_their_yes(office: Desk) -> None:
    """The next tick does it; from here nothing is written but the record."""
    result = start(office, "--reason", "new schema")
    assert result.exit_code == 0, result.output
    assert office.wrote() == {"TransactWriteItems"}
    [incident] = office.store.recent()
    request = incident.finding.request
    assert request is not None
    assert (request.by, request.why, request.at) == (ME, "new schema", NOW)
    assert request.until == NOW.replace(second=0) + timedelta(hours=2)
    assert (incident.phase, incident.look_at, incident.deadline) == (Phase.AWAITING, NOW, request.until)
    assert incident.plan is not None
    assert incident.approval is not None
    assert (incident.approval.answer, incident.approval.by) == ("approved", ME)
    assert incident.approval.plan_hash == incident.plan.hash
    assert incident.approval.expires_at == request.until
    assert "nightshift maintenance end" in result.stdout


def test_the_plan_is_shown_and_a_no_leaves_nothing(office: Desk) -> None:
    """Asked back, with what would be done."""
    result = typed(office, "start", BACKEND, "--until", "2h", input="n\n")
    assert result.exit_code == 1
    assert "stop backend until 2026-11-20 05:07 UTC, then run 2 tasks again" in result.stdout
    assert office.store.recent() == []


def test_the_second_is_told_who_was_first(office: Desk) -> None:
    """And how to end theirs."""
    start(office)
    result = start(office, until="5h")
    assert result.exit_code == 1
    assert f"{ME} has asked for it already, until 2026-11-20 05:07" in result.stderr
    assert len(office.store.recent()) == 1


@pytest.mark.parametrize(
    "until, said",
    [
        ("", "takes a time"),
        ("tomorrow", "takes a time"),
        ("2026-11-20T06:00", "says no offset"),
        ("2026-11-20T03:00Z", "is over"),
        ("0m", "is over"),
    ],
)
def test_a_time_that_says_nothing_is_wrong_usage(office: Desk, until: str, said: str) -> None:
    """A time without an offset is another one for everybody."""
    result = start(office, until=until)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("until", ["2026-11-20T06:00+01:00", "2026-11-20T05:00Z", "112m", "1h52m"])
def test_a_time_and_a_span_are_the_same(office: Desk, until: str) -> None:
    """Whole minutes, in UTC."""
    document = start(office, "--json", until=until)
    assert document.exit_code == 0, document.output
    [incident] = office.store.recent()
    assert f"{incident.deadline:%H:%M:%S}" in {"05:00:00", "04:59:00"}


def test_what_speaks_against_it_for_good_is_said_and_nothing_is_written(office: Desk) -> None:
    """Stopped already; too long; not to be touched."""
    office.described["desiredCount"] = 0  # type: ignore[attr-defined]
    result = start(office)
    assert (result.exit_code, "has stopped the service" in result.stderr) == (1, True)
    office.described["desiredCount"] = 2  # type: ignore[attr-defined]
    assert "for 12 hours at most" in start(office, until="13h").stderr
    office.config.write_text(
        TOML.replace('mode = "auto"\n[[systems.targets]]', "[[systems.targets]]", 1), encoding="utf-8"
    )
    assert "the mode is observe" in start(office).stderr
    assert office.store.recent() == []


def test_what_only_waits_is_written_down_and_said(office: Desk) -> None:
    """The kill switch is off: it is done once it is on, if that is in time."""
    office.store.set_switch(SwitchState.HALTED, reason="no", by="eve", now=NOW)
    result = start(office)
    assert result.exit_code == 0, result.output
    assert "The kill switch is halted (no)" in result.stderr
    assert len(office.store.recent()) == 1


@pytest.mark.parametrize(
    "target, said",
    [
        ("backend", "is the name of 2 services"),
        ("frontent", "Did you mean frontend?"),
        (f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters", "is no service that ecs-maintenance takes"),
    ],
)
def test_a_service_that_is_not_meant_is_not_stopped(office: Desk, target: str, said: str) -> None:
    """Names are for where they are enough."""
    result = start(office, target=target)
    assert (result.exit_code, said in result.stderr) == (1, True)


def test_what_cannot_be_seen_is_not_stopped(office: Desk) -> None:
    """There is no such service."""
    result = start(office, target="frontend")
    assert result.exit_code == 1
    assert "is not stopped" in result.stderr


def test_without_the_remediation_it_says_how(desk: Desk) -> None:
    """It is not enabled where nobody wrote so."""
    desk.registry = (EcsMaintenance, Toy)
    result = typed(desk, "start", "backend", "--until", "2h", "--yes")
    assert "Write [remediations.ecs-maintenance] into it" in result.stderr
    assert typed(desk, "start", "backend", "--until", "2h", "--json").exit_code == 2


def test_the_list_says_what_is_stopped_by_whom_and_until_when(office: Desk) -> None:
    """In each state that it goes through."""
    assert "Nothing is stopped" in typed(office, "list").stdout
    start(office, "--reason", "new schema")
    told = typed(office, "list").stdout
    assert "about to be stopped" in told
    assert "new schema" in told
    [incident] = office.store.recent()
    claim = office.store.claim(incident.id, NOW)
    assert claim is not None
    attempt = replace(incident, phase=Phase.LEASED, lent=True, verdict=Verdict.FIXED, look_at=NOW)
    office.store.save(claim, attempt, ())
    assert "stopped" in typed(office, "list").stdout
    shown = office.run("status", "--config", str(office.config)).stdout
    assert f"{ME} wants backend stopped until 2026-11-20 05:07 UTC: new schema" in shown
    leases = office.run("leases", "--config", str(office.config)).stdout
    assert "2026-11-20 05:07:00" in leases
    assert '"stopped": true' in typed(office, "list", "--json").stdout


def test_who_ends_it_is_kept_and_once_is_enough(office: Desk) -> None:
    """By its name, which is enough where one is stopped."""
    start(office)
    result = typed(office, "end", "backend", "--reason", "done")
    assert result.exit_code == 0, result.output
    assert "is withdrawn" in result.stdout
    [incident] = office.store.recent()
    assert incident.recalled is not None
    assert (incident.recalled.by, incident.recalled.why) == (ME, "done")
    again = typed(office, "end", "backend")
    assert (again.exit_code, "has ended it already" in again.stderr) == (1, True)
    assert "being started again" in typed(office, "list").stdout
    other = typed(office, "end", "frontend")
    assert (other.exit_code, "Open is that of backend" in other.stderr) == (1, True)
