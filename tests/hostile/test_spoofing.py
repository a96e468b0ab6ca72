"""
Whoever can forge an event can make us look, and no more.

The real handlers in the sandbox, on a system that is well: events by every way and messages on the work queue, forged
in every way that somebody with such a permission could. Afterwards the account is as it was, and so is the table.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nightshift.model import Verdict

from functions import alarm, sweep, tick
from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, Stage, configuration
from sandbox.systems.document_management import DocumentManagement
from sandbox.world import World
from tests.hostile import shapes
from tests.hostile.shapes import OTHERS, WAYS, Event, Metric, Told
from tests.nightshift.test_events import JSON, twisted


@pytest.fixture(scope="module")
def on() -> Iterator[Stage]:
    """A system that is well, and Nightshift switched on."""
    with World(NIGHT) as world:
        system = DocumentManagement(world)
        with Deployment(world, configuration(system)) as nightshift:
            nightshift.resume()
            system.offer(6)
            world.run(timedelta(minutes=11))
            yield Stage(world, system, nightshift)


@pytest.fixture(scope="module")
def closed(on: Stage) -> str:
    """An incident that is over: letters that a colleague took away."""
    on.world.client("sqs").send_message(QueueUrl=on.system.dlq_url, MessageBody="{}")
    on.until(lambda: on.nightshift.all)
    on.world.client("sqs").purge_queue(QueueUrl=on.system.dlq_url)
    on.until_settled()
    [incident] = on.nightshift.all
    assert incident.verdict is Verdict.RECOVERED
    return incident.id


def picture(on: Stage) -> dict[str, Any]:
    """The account and the incident table, as anybody could find them; without the sweep's heartbeat."""
    table = on.world.client("dynamodb").scan(TableName=on.nightshift.environment.table)["Items"]
    return {
        "records": sorted(json.dumps(item, sort_keys=True) for item in table if item["pk"]["S"] != "HEARTBEAT"),
        "acted": len([event for event in on.world.trail.of(writes=True) if event.principal.role_arn]),
        "mail": len(on.world.mail),
        "dead": on.system.dead,
        "stored": on.world.client("s3").list_objects_v2(Bucket=on.nightshift.environment.quarantine)["KeyCount"],
        "deployments": len(on.world.trail.of("ecs.UpdateService")),
        "failed": len(on.world.lambdas.errors),
    }


def told(on: Stage, **changes: Any) -> Told:
    """An alarm that speaks of both targets, though both are well."""
    shape = on.system.shape
    metrics = (
        Metric({"QueueName": shape.dead_letter_queue}),
        Metric({"ClusterName": shape.cluster, "ServiceName": shape.service}),
    )
    facts = {"account": on.world.account, "region": on.world.region, "metrics": metrics}
    return replace(Told(), **(facts | changes))


@pytest.mark.hostile(18)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_a_forged_alarm_about_what_is_well_changes_nothing(on: Stage, way: Any) -> None:
    """By every way, doubled, late and from the future: both targets are looked at, found well, and left."""
    before, looked = picture(on), len(on.world.trail.of("ecs.DescribeServices"))
    event = way(told(on))
    for each in (event, event, {**event, "time": "1970-01-01T00:00:00Z"}, {**event, "time": "2999-01-01T00:00:00Z"}):
        done = on.world.lambdas.invoke(alarm.handler, each)
        assert done.result == {"targets": 2}
    on.minutes(3)
    assert len(on.world.trail.of("ecs.DescribeServices")) > looked
    assert picture(on) == before


@pytest.mark.hostile(20)
@pytest.mark.parametrize(
    "changes",
    [
        {"account": "999999999999"},
        {"region": "us-east-1"},
        {"metrics": (Metric({"QueueName": "somebody-elses"}),)},
        {"metrics": (Metric({"QueueName": "*"}), Metric({"QueueName": ""}), Metric())},
        {"metrics": ()},
        {"state": "OK"},
        {"state": "INSUFFICIENT_DATA"},
    ],
    ids=range(7),
)
def test_an_alarm_about_anything_else_does_not_even_make_us_look(on: Stage, changes: dict[str, Any]) -> None:
    """Another account, another Region, what is not registered, a pattern, nothing, or a state that is no alarm."""
    before, sent = picture(on), len(on.world.trail.of("sqs.SendMessageBatch"))
    for way in WAYS:
        done = on.world.lambdas.invoke(alarm.handler, way(told(on, **changes)))
        assert done.ok
        assert done.result.keys() == {"rejected"} or done.result == {"targets": 0}
    assert len(on.world.trail.of("sqs.SendMessageBatch")) == sent
    assert picture(on) == before


@pytest.mark.hostile(17)
def test_a_bus_does_not_take_an_alarm_from_anybody_else(on: Stage) -> None:
    """PutEvents refuses AWS's own sources; what comes under another name reaches no function of ours."""
    before, called = picture(on), len(on.world.lambdas.invocations)
    event = shapes.eventbridge(told(on))
    for source in ("aws.cloudwatch", "my.app"):
        entry = {"Source": source, "DetailType": event["detail-type"], "Detail": json.dumps(event["detail"])}
        answer = on.world.client("events").put_events(Entries=[{**entry, "Resources": event["resources"]}])
        assert answer["FailedEntryCount"] == (source == "aws.cloudwatch")
    assert len(on.world.lambdas.invocations) == called
    assert picture(on) == before
    for other in OTHERS.values():
        assert on.world.lambdas.invoke(alarm.handler, other).result.keys() == {"rejected"}
    assert picture(on) == before


@pytest.mark.hostile(18)
def test_forged_work_changes_nothing(on: Stage, closed: str) -> None:
    """An incident that there is not, one that is over, a target that is not ours, one that is well, and no work."""
    before = picture(on)
    ours, foreign = on.system.dlq_arn, on.system.dlq_arn.replace(on.world.account, "999999999999")
    bodies = [
        json.dumps({"incident": "20991231T2359-00000000"}),
        json.dumps({"incident": closed}),
        json.dumps({"incident": closed}),
        *(json.dumps({"look": arn}) for arn in (ours, on.system.service_arn, foreign, on.system.queue_arn, "*", "x")),
        json.dumps({"look": ours, "act": True}),
        json.dumps({"incident": f"{closed}#", "look": ours}),
        json.dumps(shapes.eventbridge(told(on))),
        "[" * 10_000,
        "\x00",
        "x" * 200_000,
    ]
    sqs = on.world.client("sqs")
    for body in bodies:
        sqs.send_message(QueueUrl=on.nightshift.environment.queue_url, MessageBody=body)
    on.minutes(3)
    assert picture(on) == before
    assert on.world.queues.depth(on.nightshift.environment.queue_url).total == 0  # none of them comes again


@pytest.mark.hostile(9)
def test_the_largest_events_are_dropped_in_a_few_words(on: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """256 KiB, a megabyte, ten thousand metrics, ten thousand messages: a line each, or one for all that are alike."""
    before = picture(on)
    capsys.readouterr()
    many = [{"metricStat": {"metric": {"dimensions": {"QueueName": f"q{n}"}}}} for n in range(10_000)]
    event = shapes.eventbridge(told(on))
    for each in (
        {**event, "padding": "x" * 262_144},
        {**event, "padding": "x" * 1024 * 1024},
        {**event, "detail": {**event["detail"], "configuration": {"metrics": many}}},
        shapes.sqs_records(*["{" + "x" * 400] * 10_000),
        shapes.sns_records("x" * 5 * 1024 * 1024),
    ):
        for handler in (alarm.handler, sweep.handler):
            assert on.world.lambdas.invoke(handler, each).result.keys() == {"rejected"}
    assert len(capsys.readouterr().out) < 20_000
    assert picture(on) == before


@pytest.mark.hostile(9)
@pytest.mark.hostile(10)
@pytest.mark.hostile(18)
@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.sampled_from([alarm.handler, sweep.handler, tick.handler]), JSON | twisted())
def test_whatever_a_function_is_called_with_it_neither_fails_nor_acts(on: Stage, handler: Any, event: Event) -> None:
    """Any JSON at all, given to any of our functions by hand: no exception, no record, no call on a target."""
    before = picture(on)
    done = on.world.lambdas.invoke(handler, event)
    assert done.ok, done.trace
    assert picture(on) == before
