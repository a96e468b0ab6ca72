"""The day's health report, by the clock: once a day, whatever crashes; what could not be read is not healthy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.mailbox import Mail
from sandbox.scenes import Stage, configuration, failures
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.pulse_functions import PulseFunctions, functions_configuration
from sandbox.world import World

NIGHT = datetime(2026, 11, 22, 5, 40, tzinfo=UTC)
"""twenty minutes before seven in Berlin"""
DAILY = 'health_at = "07:00"\ntimezone = "Europe/Berlin"\n'


@contextmanager
def staged(*, more: str = "", begins: int = 16, dies: bool = False) -> Iterator[Stage]:
    """The document management system early in the morning; of the day before people were told."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world)
        toml = configuration(system).replace("[limits]", f"{DAILY}\n[limits]") + more
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            nightshift.incidents.note_reported("health", "2026-11-21", NIGHT)
            stage = Stage(world, system, nightshift)
            stage.minutes(begins)
            yield stage
            assert bool(failures(world)) is dies


def told(world: World) -> list[Mail]:
    """The reports that were mailed."""
    return [mail for mail in world.mail if mail.attributes["transition"] == "health"]


@pytest.mark.scenario("1.29", "health")
@pytest.mark.scenario("2.3", "health")
@pytest.mark.scenario("3.18", "health")
def test_every_morning_people_are_told_how_everything_is_once() -> None:
    """At the hour that was asked for, by the clock of the place that was named."""
    with staged() as stage:
        assert told(stage.world) == []
        stage.minutes(6)
        [mail] = told(stage.world)
        assert (mail.at.hour, mail.at.minute) == (6, 0)
        assert mail.subject == "HEALTH 2026-11-22: 2 healthy [SEV4]"
        stage.minutes(32)
        assert told(stage.world) == [mail]


@pytest.mark.scenario("2.3", "health")
@pytest.mark.scenario("3.18", "health")
def test_what_is_sick_comes_first_with_its_reason_and_its_incident() -> None:
    """Letters lie in the dead-letter queue: the subject says how many things are sick, the first lines say what."""
    with staged(begins=2) as stage:
        stage.nightshift.pause("we look ourselves")
        stage.outage(8, letters=8)
        stage.minutes(12)
        [mail] = told(stage.world)
        assert mail.subject == "HEALTH 2026-11-22: 1 sick, 1 healthy, 1 open [SEV4]"
        first, *_, sick = mail.text.partition("UNKNOWN")[0].partition("SYSTEMS")[0].strip().splitlines()
        assert first == "HEALTH  1 sick, 1 healthy, 1 open"
        assert sick.strip()
        assert "- dms-processing-dlq-prod of dms" in mail.text[:400]
        assert "sqs-dlq-backlog on dms-processing-dlq-prod" in mail.text


@pytest.mark.scenario("1.29", "health")
@pytest.mark.scenario("2.3", "health")
def test_what_cannot_be_read_is_unknown_and_the_rest_is_told() -> None:
    """ECS answers nothing: the service is unknown with the reason, the queue is what it is, and nothing is healthy."""
    with staged(begins=2) as stage:
        stage.world.faults.add(Kind.DENIED, "ecs.DescribeServices", times=None)
        stage.minutes(19)
        [mail] = told(stage.world)
        assert mail.subject is not None
        assert mail.subject.startswith("HEALTH 2026-11-22: 1 unknown, 1 healthy")
        unknown = " ".join(mail.text.partition("UNKNOWN")[2].partition("SYSTEMS")[0].split())
        assert "not the same as healthy" in unknown
        assert "AccessDenied" in unknown


@pytest.mark.scenario("3.18", "health")
def test_an_idle_function_is_none_that_failed() -> None:
    """Nobody has called it for weeks: the next call wakes it. One that failed is sick."""
    with World(NIGHT, thin=True) as world:
        functions = PulseFunctions(world, "opendata-pulse-etl", "opendata-pulse-api")
        functions.all["opendata-pulse-etl"].state = "Inactive"
        functions.all["opendata-pulse-api"].state = "Failed"
        toml = functions_configuration(functions, tables="[remediations.lambda-failing]", mode="observe")
        with Deployment(world, toml.replace("[notify]", f"[notify]\n{DAILY}")) as nightshift:
            nightshift.incidents.note_reported("health", "2026-11-21", NIGHT)
            world.run(timedelta(minutes=21))
            [mail] = told(world)
            text = " ".join(mail.text.split())
            assert "opendata-pulse-api of pulse (lambda:function)" in text.partition("SYSTEMS")[0]
            assert "its state is Failed" in text
            assert "opendata-pulse-etl" not in text.partition("SYSTEMS")[0]
            assert "HEALTHY - pulse: opendata-pulse-etl" in text


def settings(queue: str) -> dict[str, Any]:
    """An alarm on a queue that is raised whatever is in it, and without data where there is no such queue."""
    return {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": -1,
        "ComparisonOperator": "GreaterThanThreshold",
    }


@pytest.mark.scenario("3.18", "health")
def test_an_alarm_that_nobody_looks_after_is_told_with_what_it_is_about() -> None:
    """Raised, or without data, for more than a day; one that is about nothing registered is only counted."""
    with staged(begins=1) as stage:
        alarms = stage.world.client("cloudwatch")
        for name, queue in (("letters-high", "dms-processing-dlq-prod"), ("elsewhere", "other")):
            alarms.put_metric_alarm(AlarmName=name, **settings(queue))
        stage.minutes(2)
        for alarm in stage.world.alarms.all.values():
            alarm.state_updated_timestamp -= timedelta(days=2)
        alarms.put_metric_alarm(AlarmName="young", **settings("dms-processing-dlq-prod"))
        stage.minutes(18)
        [mail] = told(stage.world)
        text = " ".join(mail.text.split())
        assert "letters-high: raised, for 2 d" in text
        assert "about dms-processing-dlq-prod" in text
        assert "Besides, 1 alarm about nothing that is registered here." in text
        assert "elsewhere" not in text
        assert "young" not in text


def test_a_crash_before_it_is_told_costs_no_report_and_makes_no_second_one() -> None:
    """The function dies with the report in its hands: whoever looks at the clock next tells it, once."""
    with staged(begins=18, dies=True) as stage:
        stage.world.faults.add(Kind.CRASH_BEFORE, "sns.Publish")
        stage.minutes(40)
        [mail] = told(stage.world)
        assert mail.at.hour == 6
