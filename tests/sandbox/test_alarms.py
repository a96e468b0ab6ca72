"""Alarms are judged on the virtual clock, and their events are shaped as EventBridge shapes them."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from sandbox import World
from sandbox.systems.document_management import DocumentManagement

MINUTE = timedelta(minutes=1)


def alarm(world: World, **more: Any) -> str:
    """An alarm on the dead-letter queue: 2 of 3 minutes with a message in it."""
    settings: dict[str, Any] = {
        "AlarmName": "dms-dlq",
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": "dms-processing-dlq-prod"}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    } | more
    world.client("cloudwatch").put_metric_alarm(**settings)
    return str(settings["AlarmName"])


def test_an_alarm_is_born_without_an_opinion(world: World, dms: DocumentManagement) -> None:
    """INSUFFICIENT_DATA until there is data; DescribeAlarms says the same."""
    name = alarm(world)
    assert world.alarms.state(name) == "INSUFFICIENT_DATA"
    world.run(4 * MINUTE)
    shown = world.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    assert (shown["StateValue"], world.alarms.state(name)) == ("OK", "OK")


def test_m_of_n(world: World, dms: DocumentManagement) -> None:
    """One breaching minute of three is not enough, two are; and it clears when the cause is gone."""
    name = alarm(world)
    world.run(5 * MINUTE)
    world.client("sqs").send_message(QueueUrl=dms.dlq_url, MessageBody="x")
    sent = world.now
    world.run_until(lambda: world.alarms.state(name) == "ALARM", 10 * MINUTE)
    assert world.now - sent == 3 * MINUTE
    world.client("sqs").purge_queue(QueueUrl=dms.dlq_url)
    world.run_until(lambda: world.alarms.state(name) == "OK", 10 * MINUTE)
    assert [event["detail"]["state"]["value"] for event in world.events.all] == ["OK", "ALARM", "OK"]


@pytest.mark.parametrize(
    "treat, state",
    [("missing", "INSUFFICIENT_DATA"), ("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "INSUFFICIENT_DATA")],
)
def test_missing_data_means_what_the_alarm_says(world: World, treat: str, state: str) -> None:
    """Nothing at all was reported: the alarm's own setting decides."""
    name = alarm(world, MetricName="Nothing", Namespace="App", TreatMissingData=treat)
    world.run(10 * MINUTE)
    assert world.alarms.state(name) == state


def test_the_event_has_the_real_shape(world: World, dms: DocumentManagement) -> None:
    """Every field that EventBridge sends for a metric alarm, with a time zone without a colon and JSON within JSON."""
    name = alarm(world, AlarmDescription="documents that could not be processed")
    world.run(5 * MINUTE)
    dms.scanner_down()
    dms.send(3)
    world.run_until(lambda: world.alarms.state(name) == "ALARM", 30 * MINUTE)
    event = world.events.all[-1]
    assert json.loads(json.dumps(event)) == event
    assert sorted(event) == sorted(
        ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"]
    )
    assert (event["detail-type"], event["source"]) == ("CloudWatch Alarm State Change", "aws.cloudwatch")
    assert event["resources"] == [f"arn:aws:cloudwatch:{world.region}:{world.account}:alarm:{name}"]
    detail = event["detail"]
    assert sorted(detail) == ["alarmName", "configuration", "previousState", "state"]
    assert (detail["previousState"]["value"], detail["state"]["value"]) == ("OK", "ALARM")
    assert detail["state"]["timestamp"].endswith("+0000")
    assert datetime.strptime(detail["state"]["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z") == world.now
    assert detail["state"]["reason"].startswith("Threshold Crossed: 2 out of the last 3 datapoints [3.0 (")
    reason = json.loads(detail["state"]["reasonData"])
    assert (reason["version"], reason["threshold"], reason["period"], reason["statistic"]) == (
        "1.0",
        1.0,
        60,
        "Maximum",
    )
    assert detail["configuration"]["description"] == "documents that could not be processed"
    metric = detail["configuration"]["metrics"][0]
    assert metric["metricStat"] == {
        "metric": {
            "namespace": "AWS/SQS",
            "name": "ApproximateNumberOfMessagesVisible",
            "dimensions": {"QueueName": "dms-processing-dlq-prod"},
        },
        "period": 60,
        "stat": "Maximum",
    }
    assert metric["returnData"] is True


def test_a_forged_state_is_an_event_like_any_other(world: World, dms: DocumentManagement) -> None:
    """SetAlarmState puts a real event on the bus, and the next judgement takes the state back."""
    name = alarm(world)
    world.run(5 * MINUTE)
    world.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")
    assert world.events.all[-1]["detail"]["state"] | {"timestamp": ""} == {
        "value": "ALARM",
        "reason": "test",
        "timestamp": "",
    }
    world.run(MINUTE)
    assert world.alarms.state(name) == "OK"


def test_a_changed_alarm_keeps_its_state(world: World, dms: DocumentManagement) -> None:
    """PutMetricAlarm on an alarm that exists changes its settings only."""
    name = alarm(world)
    world.run(5 * MINUTE)
    alarm(world, AlarmDescription="new words")
    assert world.alarms.state(name) == "OK"


def rate(world: World, expression: str = "100 * FILL(e, 0) / n", *, period: int = 60) -> str:
    """An alarm on how many of 100 went wrong, above 5."""

    def of(id_: str, name: str, seconds: int) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": "App", "MetricName": name}, "Period": seconds, "Stat": "Sum"}
        return {"Id": id_, "MetricStat": stat, "ReturnData": False}

    world.client("cloudwatch").put_metric_alarm(
        AlarmName="rate",
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        Metrics=[
            of("e", "errors", period),
            of("n", "all", 60),
            {"Id": "rate", "Expression": expression, "ReturnData": True},
        ],
    )
    return "rate"


def put(world: World, **values: float) -> None:
    """Report values of this minute."""
    data = [{"MetricName": name, "Value": value} for name, value in values.items()]
    world.client("cloudwatch").put_metric_data(Namespace="App", MetricData=data)


def test_metric_math_is_judged(world: World) -> None:
    """What was not reported is filled; what is made of nothing is missing."""
    name = rate(world)
    for everything, wrong, state in ((100, None, "OK"), (100, 6, "ALARM"), (200, 6, "OK")):
        put(world, all=everything, **({"errors": wrong} if wrong else {}))
        world.run(2 * MINUTE)
        assert world.alarms.state(name) == state
    world.run(10 * MINUTE)
    assert world.alarms.state(name) == "INSUFFICIENT_DATA"


@pytest.mark.parametrize("how", ["another function", "two periods", "a band"])
def test_metric_math_that_is_not_understood_is_not_judged(world: World, how: str) -> None:
    """Such an alarm keeps the state that it has; its event names every metric."""
    expression = {"another function": "RATE(e)", "a band": "ANOMALY_DETECTION_BAND(e, 2)"}.get(how, "e / n")
    name = rate(world, expression, period=300 if how == "two periods" else 60)
    put(world, all=1, errors=1)
    world.run(5 * MINUTE)
    assert world.alarms.state(name) == "INSUFFICIENT_DATA"
    world.client("cloudwatch").set_alarm_state(AlarmName="rate", StateValue="ALARM", StateReason="test")
    metrics = world.events.all[-1]["detail"]["configuration"]["metrics"]
    assert [(metric["id"], metric["returnData"], "metricStat" in metric) for metric in metrics] == [
        ("e", False, True),
        ("n", False, True),
        ("rate", True, False),
    ]
