"""Who is told when Nightshift cannot tell anybody."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.infra.reading import Template, named, of_type, text_of

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("alarm, topic", [("ReportsNotDelivered", "Reports"), ("AlarmsNotDelivered", "Alarms")])
def test_a_message_that_reached_somebody_not_is_told_to_the_others(template: Template, alarm: str, topic: str) -> None:
    """One notification that SNS could not deliver, on either topic, raises an alarm at once."""
    found = named(template, "AWS::CloudWatch::Alarm", alarm)
    (name,) = (each for each in of_type(template, "AWS::SNS::Topic") if topic in each)
    (dimension,) = found["Dimensions"]
    assert (found["Namespace"], found["MetricName"]) == ("AWS/SNS", "NumberOfNotificationsFailed")
    assert (dimension["Name"], text_of(dimension["Value"])) == ("TopicName", f"${{{name}}}")
    assert (found["Threshold"], found["EvaluationPeriods"]) == (1, 1)


def test_work_that_fails_minute_after_minute_is_told_long_before_it_is_given_up(template: Template) -> None:
    """
    A batch that fails is no error of the function: what its ticks count raises the alarm, in minutes.

    A report that cannot be published fails its tick. The dead-letter queue would tell of it after an hour only.
    """
    alarm = named(template, "AWS::CloudWatch::Alarm", "WorkFails")
    work = named(template, "AWS::SQS::Queue", "Work")
    dead_man = named(template, "AWS::CloudWatch::Alarm", "SweepSilent")
    assert (alarm["Namespace"], alarm["Dimensions"]) == (dead_man["Namespace"], dead_man["Dimensions"])
    assert alarm["Period"] * alarm["EvaluationPeriods"] < work["VisibilityTimeout"]
    assert alarm["MetricName"] in counted(ROOT / "functions" / "tick.py")


def test_the_heartbeat_is_counted_by_the_sweep(template: Template) -> None:
    """What the dead man listens for is what the sweep says."""
    alarm = named(template, "AWS::CloudWatch::Alarm", "SweepSilent")
    assert alarm["MetricName"] in counted(ROOT / "functions" / "sweep.py")


def counted(path: Path) -> set[str]:
    """The metrics that a function counts, by name."""
    return {
        str(node.args[0].value)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "edge.count"
        and isinstance(node.args[0], ast.Constant)
    }


def test_no_alarm_asks_for_more_than_one_metric(template: Template) -> None:
    """Each alarm is a metric and a number: nothing to be computed, and so nothing to be wrong about at night."""
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert "Metrics" not in alarm
