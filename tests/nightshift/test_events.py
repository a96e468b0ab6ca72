"""Events are hints: true, late, doubled, forged or broken, they can at most make us look."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import EventRejected
from nightshift.events import LIMIT, alarm_targets, parse_alarm, parse_schedule, parse_work
from nightshift.model import Arn, Target

from tests.support.toy import ACCOUNT, REGION, queue_arn


def metric(name: str = "orders-dlq", dimension: str = "QueueName") -> dict[str, Any]:
    """One metric of an alarm."""
    return {
        "id": "m1",
        "metricStat": {
            "metric": {"namespace": "AWS/SQS", "name": "Visible", "dimensions": {dimension: name}},
            "period": 60,
            "stat": "Maximum",
        },
        "returnData": True,
    }


def alarm(*metrics: dict[str, Any], state: str = "ALARM") -> dict[str, Any]:
    """AWS's own example of an alarm state change, cut down to what varies."""
    return {
        "version": "0",
        "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
        "detail-type": "CloudWatch Alarm State Change",
        "source": "aws.cloudwatch",
        "account": ACCOUNT,
        "time": "2026-03-01T03:00:00Z",
        "region": REGION,
        "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:letters"],
        "detail": {
            "alarmName": "letters",
            "configuration": {"description": "…", "metrics": list(metrics or (metric(),))},
            "previousState": {"reason": "…", "timestamp": "2026-03-01T02:59:00.000+0000", "value": "OK"},
            "state": {"reason": "…", "reasonData": "{}", "timestamp": "2026-03-01T03:00:00.000+0000", "value": state},
        },
    }


SCHEDULE = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": ACCOUNT,
    "time": "2026-03-01T03:00:00Z",
    "region": REGION,
    "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/sweep"],
    "detail": {},
}
QUEUE = Target(Arn.parse(queue_arn("orders-dlq")), "system")
SERVICE = Target(Arn.parse(f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/worker"), "system")
FUNCTION = Target(Arn.parse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker"), "system")
ALL = (QUEUE, SERVICE, FUNCTION)


def targets(event: object) -> tuple[Target, ...]:
    """The registered targets that an alarm speaks of."""
    return alarm_targets(parse_alarm(event, account=ACCOUNT, region=REGION), ALL)


def test_an_alarm_names_its_targets() -> None:
    """By the dimensions of every metric: composite, metric-math and anomaly alarms have several, or none."""
    both = metric("prod", "ClusterName")
    both["metricStat"]["metric"]["dimensions"]["ServiceName"] = "worker"
    assert targets(alarm()) == (QUEUE,)
    assert targets(alarm(both)) == (SERVICE,)
    assert targets(alarm({"id": "e1", "expression": "m1/m2"}, metric("other"), metric())) == (QUEUE,)
    assert targets(alarm(metric("other"))) == ()
    composite = alarm()
    composite["detail"]["configuration"] = {"alarmRule": "ALARM(a) OR ALARM(b)", "actionsSuppressor": "c"}
    assert targets(composite) == ()


@pytest.mark.parametrize("state", ["OK", "ALARM", "INSUFFICIENT_DATA"])
def test_every_state_is_understood(state: str) -> None:
    """What follows from it is the handler's."""
    assert parse_alarm(alarm(state=state), account=ACCOUNT, region=REGION).detail.state.value == state


def test_fields_that_we_do_not_know_are_ignored() -> None:
    """AWS adds some now and then."""
    event = alarm()
    event["detail"]["alarmTags"] = {"a": "b"}
    event["new"] = None
    assert targets(event) == (QUEUE,)


BROKEN: dict[str, dict[str, Any]] = {
    "foreign account": {"account": "999999999999"},
    "foreign region": {"region": "us-east-1"},
    "another source": {"source": "my.app"},
    "another type": {"detail-type": "AWS API Call via CloudTrail"},
    "another service's resource": {"resources": [queue_arn("orders")]},
    "a foreign alarm": {"resources": [f"arn:aws:cloudwatch:{REGION}:999999999999:alarm:letters"]},
    "no resource": {"resources": []},
    "no detail": {"detail": {}},
    "a detail that is text": {"detail": "x"},
    "a line break": {"region": "eu-west-1\nFORGED log line"},
    "digits of another script": {"account": "١٢٣٤٥٦٧٨٩٠١٢"},
    "huge": {"padding": "x" * LIMIT},
    "no JSON": {"padding": {1, 2}},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_right_is_rejected_in_one_line(change: dict[str, Any]) -> None:
    """One clear line, in which nothing of the event's text stands."""
    with pytest.raises(EventRejected) as rejected:
        parse_alarm({**alarm(), **change}, account=ACCOUNT, region=REGION)
    assert len(rejected.value.reason.splitlines()) == 1
    assert len(rejected.value.reason) < 300
    assert "FORGED" not in rejected.value.reason


@pytest.mark.parametrize("cut", ["detail", "account", "region", "source", "detail-type", "resources"])
def test_what_is_truncated_is_rejected(cut: str) -> None:
    """Nothing is filled in."""
    event = alarm()
    del event[cut]
    with pytest.raises(EventRejected):
        parse_alarm(event, account=ACCOUNT, region=REGION)


def test_the_schedule_is_ours() -> None:
    """Or it is rejected."""
    parse_schedule(SCHEDULE, account=ACCOUNT, region=REGION)
    with pytest.raises(EventRejected):
        parse_schedule({**SCHEDULE, "account": "999999999999"}, account=ACCOUNT, region=REGION)
    with pytest.raises(EventRejected):
        parse_schedule(alarm(), account=ACCOUNT, region=REGION)


def test_work() -> None:
    """One incident, or one target."""
    assert parse_work('{"incident": "20260301T0300-99fbd465"}').incident == "20260301T0300-99fbd465"
    assert parse_work(json.dumps({"look": queue_arn("orders")})).look == queue_arn("orders")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"incident": ""}',
        '{"incident": 5}',
        '{"incident": "../x"}',
        '{"incident": "20260301T0300-99fbd465", "look": "arn"}',
        '{"incident": "20260301T0300-99fbd465", "do": "it"}',
        '{"look": ""}',
        "[" * 4000,
        "1" * 4999,
        '{"look": "' + "x" * 4096 + '"}',
    ],
    ids=range(13),
)
def test_work_that_is_none_of_ours_is_rejected(body: str) -> None:
    """Dropped once, never retried."""
    with pytest.raises(EventRejected):
        parse_work(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def twisted(draw: st.DrawFn) -> Any:
    """A real event with something else at one place of it."""
    event: Any = json.loads(json.dumps(alarm()))
    place = event
    for _ in range(draw(st.integers(0, 6))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = draw(JSON)
            break
        place = place[key]
    return event


@given(JSON | twisted())
def test_any_json_is_understood_or_rejected(event: Any) -> None:
    """Nothing else is ever raised, and the line is one."""
    lines: list[str] = []
    for parse in (parse_alarm, parse_schedule):
        try:
            parse(event, account=ACCOUNT, region=REGION)
        except EventRejected as rejected:
            lines.append(rejected.reason)
    with suppress(EventRejected):
        targets(event)
    assert all(len(line.splitlines()) == 1 for line in lines)


@given(JSON.map(json.dumps) | st.text(max_size=60))
def test_any_work_is_understood_or_rejected(body: str) -> None:
    """Nothing else is ever raised."""
    try:
        work = parse_work(body)
    except EventRejected:
        return
    assert bool(work.incident) != bool(work.look)
