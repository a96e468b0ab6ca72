"""Who is told of what: a topic for each severity with recipients of its own, and for each level of escalation."""

from __future__ import annotations

from pathlib import Path

import pytest
from nightshift.config import Policy, parse_toml
from nightshift.environment import Environment
from nightshift.model import Severity

from tests.infra.conftest import TOML, synthesize
from tests.infra.reading import Template, allowed, named, of_type, role_of, text_of

MORE = """
[notify.severities.SEV1]
emails = ["pager@example.com", "lead@example.com"]

[[escalation]]
emails = ["lead@example.com"]

[[escalation]]
emails = ["cto@example.com"]
after = "PT15M"
"""
TOPICS = ("SEV1", "L1", "L2")


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Template]:
    """A deployment that calls people by severity and level."""
    policy = parse_toml(TOML + MORE, path="test.toml")
    return policy, synthesize(policy, tmp_path_factory.mktemp("assembly"))


def topic(template: Template, name: str) -> str:
    """The reference of the report topic of that name; of the one for everything else, where it is empty."""
    found = [each for each in of_type(template, "AWS::SNS::Topic") if f"Reports{name}" in each]
    return f"${{{min(found, key=len)}}}"


def published(template: Template, role: str) -> set[str]:
    """Where a role may publish."""
    those = allowed(template, role_of(template, role))
    return {resource for action, resource, _ in those if action == "sns:Publish"}


def test_each_topic_has_its_own_readers_and_those_of_everything_read_every_severity(
    called: tuple[Policy, Template],
) -> None:
    """A level's readers are its own; nobody is subscribed to one topic twice."""
    policy, template = called
    told: dict[str, list[str]] = {}
    for each in of_type(template, "AWS::SNS::Subscription").values():
        told.setdefault(text_of(each["TopicArn"]), []).append(each["Endpoint"])
    everything = [*policy.notify.emails]
    assert told[topic(template, "")] == everything
    assert told[topic(template, "SEV1")] == [*everything, "pager@example.com"]
    assert told[topic(template, "L1")] == ["lead@example.com"]
    assert told[topic(template, "L2")] == ["cto@example.com"]


@pytest.mark.parametrize("function", ["Sweep", "Tick"])
def test_the_functions_know_the_topics_by_the_names_that_they_use(
    called: tuple[Policy, Template], function: str
) -> None:
    """What the stack sets is what the environment takes."""
    _, template = called
    variables = named(template, "AWS::Lambda::Function", function)["Environment"]["Variables"]
    said = text_of(variables["NIGHTSHIFT_TOPICS"])
    assert said == " ".join(f"{name}={topic(template, name)}" for name in TOPICS)
    arns = {name: f"arn:aws:sns:eu-central-1:111122223333:{name}" for name in TOPICS}
    for name in TOPICS:
        said = said.replace(topic(template, name), arns[name])
    assert Environment.model_validate({**GOOD, "topics": said}).topics == arns


GOOD = {
    "table": "nightshift",
    "topic_arn": "arn:aws:sns:eu-central-1:111122223333:reports",
    "queue_url": "https://sqs.eu-central-1.amazonaws.com/111122223333/work",
    "quarantine": "quarantine",
    "write_roles": "arn:aws:iam::111122223333:role/nightshift/prod-eu-central-1-",
    "region": "eu-central-1",
}


@pytest.mark.parametrize("role, names", [("TickRole", ("", *TOPICS)), ("SweepRole", ("SEV1",)), ("AlarmRole", ())])
def test_each_function_may_publish_where_it_tells_and_nowhere_else(
    called: tuple[Policy, Template], role: str, names: tuple[str, ...]
) -> None:
    """The sweep tells of storms only, which are SEV1."""
    _, template = called
    assert published(template, role) == {topic(template, name) for name in names}


def test_a_report_that_reaches_nobody_is_an_alarm_on_every_topic(called: tuple[Policy, Template]) -> None:
    """The last row of what nobody would notice does not grow."""
    _, template = called
    for name in ("", *TOPICS):
        alarms = [
            alarm
            for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
            if alarm["MetricName"] == "NumberOfNotificationsFailed"
            and topic(template, name).strip("${}") in str(alarm["Dimensions"])
        ]
        assert len(alarms) == 1, name


def test_a_person_finds_every_topic_by_the_stacks_outputs(called: tuple[Policy, Template]) -> None:
    """To confirm its subscriptions."""
    _, template = called
    for name in TOPICS:
        assert text_of(template["Outputs"][f"Topic{name}"]["Value"]) == topic(template, name)


def test_where_every_severity_has_its_own_the_tick_tells_by_them_alone(tmp_path: Path) -> None:
    """No permission stands that nothing uses."""
    every = "".join(f'[notify.severities.{each}]\nemails = ["a@example.com"]\n' for each in Severity)
    template = synthesize(parse_toml(TOML + every, path="test.toml"), tmp_path)
    assert published(template, "TickRole") == {topic(template, each) for each in Severity}
