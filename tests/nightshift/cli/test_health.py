"""Health is what was read now: sick where anything is, unknown where anything could not be read, and else healthy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from nightshift.health import Check, hosts, logged, queued, tasks
from nightshift.model import Arn, Phase, Query, ResourceRead, Target
from nightshift.remediation import Readings, Unread

from tests.nightshift.cli.desk import ID, QUEUE, TOML, Desk

SERVICE = Arn.parse("arn:aws:ecs:eu-west-1:123456789012:service/prod/api")
TARGET = Target(SERVICE, group="shop")
PARCELS = QUEUE.replace("letters", "parcels")


def told(desk: Desk, *words: str) -> tuple[int, dict[str, Any]]:
    """What health says to a machine, and its exit code."""
    result = desk.run("health", "--config", str(desk.config), "--json", *words)
    return result.exit_code, json.loads(result.stdout)


def page(desk: Desk, *words: str) -> str:
    """What health says to a person."""
    return desk.run("health", "--config", str(desk.config), *words).stdout


def seen(query: Query, answer: Any) -> Readings:
    """Readings of one thing."""
    return Readings(datetime(2026, 11, 20, tzinfo=UTC), {query: answer})


# -- the command -------------------------------------------------------------------------------------------------------


def test_everything_read_and_well_is_healthy(desk: Desk) -> None:
    """Exit code 0, and only then; each queue's depth stands beside what the remediation says."""
    desk.letters()
    desk.letters("parcels")
    code, document = told(desk)
    assert (code, document["health"]) == (0, "healthy")
    [system] = document["systems"]
    assert (system["system"], system["health"]) == ("post", "healthy")
    assert system["targets"][0] == {
        "target": QUEUE,
        "health": "healthy",
        "checks": [
            {"check": "toy-backlog", "health": "healthy", "seen": "empty"},
            {"check": "queue", "health": None, "seen": "0 messages in letters"},
        ],
    }


def test_one_sick_target_makes_its_system_sick(desk: Desk) -> None:
    """Whatever else is unknown; what was measured is told."""
    desk.letters(messages=2)
    code, document = told(desk)
    assert (code, document["health"]) == (1, "sick")
    letters, parcels = document["systems"][0]["targets"]
    assert (letters["health"], parcels["health"]) == ("sick", "unknown")
    assert letters["checks"][0]["signals"][0]["value"] == 2
    shown = page(desk)
    assert "post: sick (2 targets: 1 sick, 1 unknown)" in shown
    assert "2 messages in letters" in shown


def test_what_could_not_be_read_is_not_healthy(desk: Desk) -> None:
    """A part that failed is listed with its reason, the others are told, and the exit code is not 0."""
    desk.letters()
    desk.letters("parcels")
    desk.cloud.fail("GetQueueAttributes", "AccessDenied", lambda params: params["QueueUrl"].endswith("letters"))
    code, document = told(desk)
    assert (code, document["health"]) == (1, "unknown")
    letters, parcels = document["systems"][0]["targets"]
    assert (letters["health"], parcels["health"]) == ("unknown", "healthy")
    assert all("AccessDenied" in check["seen"] for check in letters["checks"])
    assert "post: unknown (2 targets: 1 healthy, 1 unknown)" in page(desk)


def test_one_system_is_judged_by_itself(desk: Desk) -> None:
    """What is sick in another one is not even looked at."""
    more = f'\n[[systems]]\nname = "freight"\n[[systems.targets]]\narn = "{PARCELS}s"\n'
    desk.config.write_text(TOML + more, encoding="utf-8")
    desk.letters(messages=2)
    desk.letters("parcelss")
    code, document = told(desk, "freight")
    assert (code, [each["system"] for each in document["systems"]]) == (0, ["freight"])
    assert {params["QueueUrl"].rpartition("/")[2] for params in desk.cloud.asked("GetQueueAttributes")} == {"parcelss"}
    assert told(desk)[0] == 1
    assert "Every system is sick" not in page(desk)


def test_where_every_system_is_sick_the_first_thing_said_is_to_look_for_one_cause(desk: Desk) -> None:
    """Only where there are several."""
    desk.letters(messages=2)
    assert "Every system" not in page(desk)
    more = f'\n[[systems]]\nname = "freight"\n[[systems.targets]]\narn = "{PARCELS}s"\n'
    desk.config.write_text(TOML + more, encoding="utf-8")
    desk.letters("parcelss", messages=1)
    assert "Every system is sick at once: look for what they share first." in page(desk)


def test_a_system_that_there_is_not_gets_a_suggestion(desk: Desk) -> None:
    """And nothing is asked of AWS."""
    result = desk.run("health", "pots", "--config", str(desk.config))
    assert result.exit_code == 1
    assert "Did you mean post?" in result.stderr
    assert not desk.cloud.calls
    assert desk.run("health").exit_code == 2


def test_open_incidents_are_told_where_the_table_can_be_read(desk: Desk) -> None:
    """Those on the targets that were asked about; a record of another system is none of them."""
    desk.deploy()
    desk.letters()
    desk.letters("parcels")
    assert "No incident is open." in page(desk)
    desk.record()
    desk.record(id="20261120T0300-00000009", target=PARCELS.replace("parcels", "other"), group="freight")
    code, document = told(desk)
    assert (code, document["health"]) == (0, "healthy")
    assert [(each["id"], each["system"], each["phase"]) for each in document["incidents"]] == [
        (ID, "post", Phase.AWAITING.value)
    ]
    shown = page(desk)
    assert ID in shown
    assert "00000009" not in shown


@pytest.mark.parametrize("deployed", [True, False])
def test_incidents_that_cannot_be_read_are_said_to_be_not_known(desk: Desk, *, deployed: bool) -> None:
    """Not "none": with the reason. How the system is does not hang on it."""
    desk.letters()
    desk.letters("parcels")
    if deployed:
        desk.deploy()
        desk.cloud.fail("Query", "AccessDeniedException")
    code, document = told(desk)
    assert (code, document["health"], document["incidents"]) == (0, "healthy", None)
    reason = "AccessDenied" if deployed else "there is no stack nightshift-prod"
    assert reason in document["incidents_not_read"]
    assert f"Which incidents are open is not known: {document['incidents_not_read']}." in page(desk)


def test_health_writes_nothing_and_looks_only_into_its_own_account(desk: Desk) -> None:
    """Credentials that may read are enough; those of another account are refused before anything is read."""
    desk.deploy()
    desk.letters(messages=1)
    told(desk)
    assert desk.wrote() == set()
    desk.config.write_text(TOML.replace("123456789012", "210987654321"), encoding="utf-8")
    result = desk.run("health", "--config", str(desk.config))
    assert result.exit_code == 1
    assert "of account 123456789012" in result.stderr
    assert set(desk.cloud.count) == {"GetCallerIdentity"}


# -- tasks, load balancers, queues -------------------------------------------------------------------------------------


def service(**facts: Any) -> dict[str, Any]:
    """An ECS service as it is described."""
    return {"status": "ACTIVE", "desiredCount": 2, "runningCount": 2, "deployments": [{}], **facts}


@pytest.mark.parametrize(
    "answer, health, said",
    [
        (service(), "healthy", "2 of 2 tasks run"),
        (service(runningCount=1), "sick", "1 of 2 tasks run"),
        (service(runningCount=0), "sick", "0 of 2 tasks run"),
        (service(runningCount=3, deployments=[{}, {}]), "healthy", "3 of 2 tasks run; a deployment is under way"),
        (service(desiredCount=0, runningCount=0), "healthy", "stopped on purpose: desired count 0"),
        (service(runningCount=None), "unknown", "ECS did not say how many tasks of api run"),
        (service(desiredCount=None), "unknown", "ECS did not say how many tasks of api should run"),
        (service(status="DRAINING"), "unknown", "api is DRAINING"),
        (None, "unknown", f"{SERVICE} does not exist"),
        (Unread("denied\x1b[2J"), "unknown", "denied"),
    ],
)
def test_as_many_tasks_must_run_as_should(answer: Any, health: str, said: str) -> None:
    """Fewer are sick, more are a deployment; what ECS did not say is unknown."""
    assert tasks(TARGET, seen(ResourceRead("ecs.service", str(SERVICE)), answer)) == Check("tasks", health, said)


@pytest.mark.parametrize(
    "states, stopped, health, said",
    [
        (["healthy", "healthy"], False, "healthy", "2 healthy"),
        (["healthy", "draining", "initial"], False, "healthy", "1 draining, 1 healthy, 1 initial"),
        (["healthy", "unhealthy"], False, "sick", "1 healthy, 1 unhealthy"),
        (["initial"], False, "sick", "1 initial"),
        ([], False, "sick", "no task is registered"),
        ([], True, "healthy", "no task is registered"),
        (["draining"], True, "healthy", "1 draining"),
        (["unavailable"], False, "unknown", "1 unavailable"),
        ([""], False, "unknown", "1 not told"),
        (["un\nhealthy"], False, "sick", "1 un healthy"),
    ],
)
def test_a_load_balancer_must_have_somebody_to_ask(states: list[str], stopped: bool, health: str, said: str) -> None:
    """One unhealthy task is sick, and so is nobody; where health checks are off nobody can tell."""
    answer = {"TargetHealthDescriptions": [{"TargetHealth": {"State": state}} for state in states]}
    assert hosts(answer, stopped=stopped) == Check("load balancer", health, said)


@pytest.mark.parametrize(
    "answer, health, said",
    [
        ({"ApproximateNumberOfMessages": "1"}, "", "1 message in letters"),
        (
            {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "3"},
            "",
            "5 messages in letters",
        ),
        ({}, "unknown", "SQS did not say how many messages letters holds"),
        (None, "unknown", "letters does not exist"),
        (Unread("denied"), "unknown", "letters: denied"),
    ],
)
def test_how_much_a_queue_holds_is_a_figure(answer: Any, health: str, said: str) -> None:
    """Nobody's judgement: but what was not read is unknown."""
    readings = seen(ResourceRead("sqs.queue", QUEUE), answer)
    assert queued(Arn.parse(QUEUE), readings) == Check("queue", health, said)


@pytest.mark.corrects("grep-error")
def test_errors_of_a_log_are_looked_for_however_they_are_written() -> None:
    """A filter pattern tells ERROR from error: a line with `level=error` has no ERROR in it (runbook 3)."""
    group = Arn.parse("arn:aws:logs:eu-west-1:123456789012:log-group:/ecs/api")
    said = logged(group, datetime(2026, 11, 20, 3, tzinfo=UTC)).seen
    assert "--log-group-name /ecs/api --filter-pattern '?ERROR ?Error ?error' --start-time 1795140000000" in said
