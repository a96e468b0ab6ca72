"""A rule's schedule in the configuration: what it starts, how often, and what that leaves where."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, load_toml, parse_toml, to_json
from nightshift.events import Alarm, alarm_targets
from nightshift.model import Arn

HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.schedule-disabled]
[[systems]]
name = "data"
[[systems.targets]]
arn = "arn:aws:events:eu-central-1:123456789012:rule/hourly"
"""
SCHEDULE = """
[systems.targets.schedule]
function = "arn:aws:lambda:eu-central-1:123456789012:function:ingest"
period = "PT1H"
"""
HOURS = """
[systems.targets.schedule.hours]
bucket = "arn:aws:s3:::raw"
keys = "air/year=%Y/month=%m/day=%d/hour=%H/"
"""
FULL = HEAD + SCHEDULE + HOURS


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_rule_says_what_it_starts_how_often_and_what_that_leaves() -> None:
    """The function and the bucket count as linked; JSON says the same as TOML."""
    policy = parsed(FULL)
    [target] = policy.targets
    assert target.schedule is not None
    assert (target.schedule.period, target.schedule.expected) == (timedelta(hours=1), "enabled")
    assert target.schedule.hours is not None
    assert (target.schedule.hours.most, target.schedule.hours.idempotent) == (24, False)
    assert target.linked == (target.schedule.function, Arn.parse("arn:aws:s3:::raw"))
    assert from_json(to_json(policy)) == policy
    bare = parsed(HEAD + SCHEDULE)
    assert from_json(to_json(bare)) == bare
    assert bare.targets[0].schedule is not None
    assert bare.targets[0].linked == (bare.targets[0].schedule.function,)


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD, "no enabled remediation takes the kind events:rule"),
        (FULL.replace("rule/hourly", "rule/a/b/c"), "does not name one events:rule"),
        (FULL.replace("function:ingest", "function:ingest:live"), "names a version or an alias"),
        (FULL.replace("lambda:eu-central-1", "lambda:us-east-1"), "its region is us-east-1"),
        (
            FULL.replace("lambda:eu-central-1:123456789012:function:ingest", "sqs:eu-central-1:123456789012:q"),
            "is of kind",
        ),
        (FULL.replace("arn:aws:s3:::raw", "arn:aws:sqs:eu-central-1:123456789012:q"), "is of kind sqs:queue"),
        (FULL.replace("PT1H", "PT2H"), "is longer than the hours"),
        (FULL.replace("PT1H", "PT5H"), "4 hours"),
        (FULL.replace("PT1H", "PT30S"), "1 minute"),
        (FULL.replace("/hour=%H", ""), "keys"),
        (FULL.replace("year=%Y/month=%m", "month=%m/year=%Y"), "keys"),
        (FULL.replace("hour=%H", "hour=%H/%H"), "keys"),
        (FULL.replace("air/year=%Y", "%Y"), "keys"),
        (FULL.replace("air/year", "air/*year"), "keys"),
        (FULL + "most = 25\n", "most"),
        (FULL + 'timestamp = "a b"\n', "timestamp"),
        (HEAD + SCHEDULE + 'expected = "off"\n', "expected"),
        (
            HEAD.replace("arn:aws:events:eu-central-1:123456789012:rule/hourly", "arn:aws:s3:::raw") + SCHEDULE,
            "has no schedule",
        ),
    ],
)
def test_what_could_start_or_fill_in_something_else_is_no_configuration(text: str, says: str) -> None:
    """It is said, with the line."""
    with pytest.raises(ConfigErrors) as error:
        parsed(text)
    assert says in str(error.value)
    assert error.value.line


def test_the_example_is_valid() -> None:
    """As it stands."""
    policy = load_toml(Path(__file__).parents[2] / "config" / "opendata-pulse.toml")
    assert set(policy.remediations) >= {"schedule-disabled", "hours-missing"}


def test_an_alarm_about_a_rule_names_it_by_bus_and_name() -> None:
    """Its namesake on another bus is not meant."""
    [target] = parsed(HEAD + SCHEDULE).targets
    for dimensions, found in (({"RuleName": "hourly"}, (target,)), ({"RuleName": "hourly", "EventBusName": "x"}, ())):
        alarm = Alarm(name="a", arn="x", state="ALARM", dimensions=(dimensions,))
        assert alarm_targets([alarm], [target]) == found
