"""Events are hints: true, late, doubled, forged or broken, they can at most make us look."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import EventRejected
from nightshift.events import (
    BATCH_LIMIT,
    LIMIT,
    Heard,
    alarm_targets,
    check_batch,
    parse_alarms,
    parse_schedule,
    parse_work,
)
from nightshift.model import Arn, Target

from tests.hostile import shapes
from tests.hostile.shapes import ACCOUNT, OTHERS, REGION, WAYS, Event, Metric, Told, eventbridge
from tests.support.toy import queue_arn

SCHEDULE = OTHERS["schedule"]
QUEUE = Target(Arn.parse(queue_arn("orders-dlq")), "system")
SERVICE = Target(Arn.parse(f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/worker"), "system")
FUNCTION = Target(Arn.parse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:worker"), "system")
ALARM = Target(Arn.parse(Told().arn), "system")
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:"


def behind(name: str) -> Target:
    """A service behind the load balancer that they all share."""
    return Target(
        Arn.parse(f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/{name}"),
        "system",
        load_balancer=Arn.parse(f"{ELB}loadbalancer/app/front/50dc6c495c0c9188"),
        target_group=Arn.parse(f"{ELB}targetgroup/{name}/6d0ecf831eec9f09"),
    )


API, PAGES = behind("api"), behind("pages")
ALL = (QUEUE, SERVICE, FUNCTION, API, PAGES)
FRONT = {"LoadBalancer": "app/front/50dc6c495c0c9188"}
OF_API = Metric({**FRONT, "TargetGroup": "targetgroup/api/6d0ecf831eec9f09"})
WORKER = Metric({"ClusterName": "prod", "ServiceName": "worker"})
LETTERS = Metric({"QueueName": "orders-dlq"})
OTHER = Metric({"QueueName": "other"})
BY_EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))


def heard(event: object) -> Heard:
    """What we make of an event."""
    return parse_alarms(event, account=ACCOUNT, region=REGION)


def targets(event: object) -> tuple[Target, ...]:
    """The registered targets that we would look at because of it."""
    return alarm_targets(heard(event).alarms, ALL)


def why(event: object) -> str:
    """Why an event is none of ours: the one line."""
    found = heard(event)
    assert found.alarms == ()
    [line] = found.rejected
    return line


# -- one alarm, by every way -------------------------------------------------------------------------------------------

ALARMS: Mapping[str, tuple[Told, tuple[Target, ...]]] = {
    "one metric": (Told(), (QUEUE,)),
    "a service's": (Told(metrics=(WORKER,)), (SERVICE,)),
    "a function's": (Told(metrics=(Metric({"FunctionName": "worker"}),)), (FUNCTION,)),
    "a dimension too many": (Told(metrics=(Metric({**WORKER.dimensions, "TaskId": "x"}),)), (SERVICE,)),
    "metric math": (Told(metrics=(Metric(expression="m2/m3"), OTHER, LETTERS)), (QUEUE,)),
    "anomaly detection": (Told(metrics=(LETTERS, Metric(expression="ANOMALY_DETECTION_BAND(m1, 2)"))), (QUEUE,)),
    "Metrics Insights": (Told(metrics=(Metric(expression='SELECT MAX(Visible) FROM "AWS/SQS"'),)), ()),
    "a target group's": (Told(metrics=(OF_API,)), (API,)),
    "a load balancer's": (Told(metrics=(Metric(FRONT),)), (API, PAGES)),
    "a rate of both": (Told(metrics=(Metric(expression="m1/m2"), Metric(FRONT), OF_API)), (API,)),
    "another load balancer's": (Told(metrics=(Metric({"LoadBalancer": "app/front/0000000000000000"}),)), ()),
    "a load balancer's bare name": (Told(metrics=(Metric({"LoadBalancer": "front"}),)), ()),
    "several targets": (Told(metrics=(LETTERS, WORKER)), (QUEUE, SERVICE)),
    "nobody's": (Told(metrics=(OTHER,)), ()),
    "no dimension": (Told(metrics=(Metric(),)), ()),
    "composite": (Told(metrics=()), ()),
    "composite, suppressed": (Told(metrics=(), suppressed=True), ()),
    "suppressed": (Told(suppressed=True), (QUEUE,)),
    "with tags": (Told(tags={"team": "orders", "QueueName": "other"}), (QUEUE,)),
    "a name with everything in it": (Told(name='a:b/c "d" <e> é'), (QUEUE,)),
    "well again": (Told(state="OK"), ()),
    "no data": (Told(state="INSUFFICIENT_DATA"), ()),
}


@pytest.mark.hostile(1)
@pytest.mark.hostile(2)
@pytest.mark.hostile(3)
@pytest.mark.hostile(4)
@pytest.mark.hostile(8)
@BY_EVERY_WAY
@pytest.mark.parametrize("told, named", ALARMS.values(), ids=ALARMS.keys())
def test_an_alarm_names_its_targets(way: Callable[[Told], Event], told: Told, named: tuple[Target, ...]) -> None:
    """By the dimensions of every metric that it watches, never by the first, and only in state ALARM."""
    found = heard(way(told))
    assert found.rejected == ()
    [alarm] = found.alarms
    assert (alarm.arn, alarm.name, alarm.state) == (told.arn, told.name, told.state)
    assert targets(way(told)) == named


def test_an_alarm_names_a_state_machine_by_its_whole_arn() -> None:
    """Its metrics have no other dimension."""
    machine = Target(Arn.parse(f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:documents"), "system")
    named = heard(shapes.eventbridge(Told(metrics=(Metric({"StateMachineArn": str(machine.arn)}),))))
    assert alarm_targets(named.alarms, [machine]) == (machine,)
    assert alarm_targets(heard(shapes.eventbridge(Told())).alarms, [machine]) == ()


@pytest.mark.parametrize(
    "arn, dimension", [("rds:{}:{}:cluster:dms", "DBClusterIdentifier"), ("es:{}:{}:domain/dms", "DomainName")]
)
def test_an_alarm_names_a_database_or_a_domain_by_its_name(arn: str, dimension: str) -> None:
    """Whatever else stands among the dimensions."""
    target = Target(Arn.parse(f"arn:aws:{arn.format(REGION, ACCOUNT)}"), "system")
    for name, named in (("dms", (target,)), ("other", ())):
        metrics = (Metric({dimension: name, "ClientId": ACCOUNT}),)
        assert alarm_targets(heard(shapes.eventbridge(Told(metrics=metrics))).alarms, [target]) == named


@pytest.mark.parametrize(
    "arn, dimensions",
    [
        ("arn:aws:s3:::papers", {"BucketName": "papers", "FilterId": "EntireBucket"}),
        (f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/a-b", {"CertificateArn": "arn:aws:acm:{}:{}:certificate/a-b"}),
    ],
)
def test_an_alarm_names_a_bucket_or_a_certificate_by_its_dimension(arn: str, dimensions: dict[str, str]) -> None:
    """Refused requests of a bucket, days until a certificate ends: what is registered is not somebody else's."""
    target = Target(Arn.parse(arn), "system")
    named = {name: value.format(REGION, ACCOUNT) for name, value in dimensions.items()}
    assert alarm_targets(heard(shapes.eventbridge(Told(metrics=(Metric(named),)))).alarms, [target]) == (target,)
    other = {name: f"{value}-other" for name, value in named.items()}
    assert alarm_targets(heard(shapes.eventbridge(Told(metrics=(Metric(other),)))).alarms, [target]) == ()


def test_an_alarm_of_a_table_is_not_one_of_its_indexes() -> None:
    """What is counted for an index names the index beside the table."""
    table, index = (
        Target(Arn.parse(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/hot{more}"), "system")
        for more in ("", "/index/place")
    )
    of_table = heard(shapes.eventbridge(Told(metrics=(Metric({"TableName": "hot"}),))))
    assert alarm_targets(of_table.alarms, [table, index]) == (table,)
    dimensions = {"TableName": "hot", "GlobalSecondaryIndexName": "place"}
    of_index = heard(shapes.eventbridge(Told(metrics=(Metric(dimensions),))))
    assert alarm_targets(of_index.alarms, [table, index]) == (index,)


TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30)
NAME = st.sampled_from(["orders-dlq", "other", "prod", "worker"]) | TEXT
DIMENSION = st.sampled_from(["QueueName", "ClusterName", "ServiceName", "FunctionName"]) | TEXT
METRIC = st.builds(Metric, st.dictionaries(DIMENSION, NAME, max_size=4)) | st.builds(
    Metric, expression=st.sampled_from(["m1+m2", "SELECT 1"])
)
TOLD = st.builds(
    Told,
    name=st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=40),
    state=st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA"]),
    metrics=st.lists(METRIC, max_size=4).map(tuple),
    suppressed=st.booleans(),
    tags=st.dictionaries(TEXT, TEXT, max_size=2),
    reason=TEXT,
)


@pytest.mark.hostile(5)
@pytest.mark.hostile(6)
@given(TOLD)
def test_the_same_alarm_means_the_same_whichever_way_it_comes(told: Told) -> None:
    """EventBridge, Lambda action, SNS, SNS in SQS, raw or not, EventBridge in either: one alarm, the same look."""
    [first, *rest] = [heard(way(told)) for way in WAYS]
    assert first.rejected == ()
    assert all(other == first for other in rest)
    assert alarm_targets(first.alarms, ALL) == targets(shapes.eventbridge(told))


@pytest.mark.hostile(6)
def test_what_sns_says_beside_the_alarm_is_not_believed() -> None:
    """Neither its Subject nor a Region's display name nor an account's number: the alarm's ARN is what counts."""
    event = shapes.sns(Told())
    said = json.loads(event["Records"][0]["Sns"]["Message"])
    event["Records"][0]["Sns"] |= {
        "Subject": "OK: nothing",
        "Message": json.dumps({**said, "Region": "US East (N. Virginia)", "AWSAccountId": "999999999999"}),
    }
    assert targets(event) == (QUEUE,)
    foreign = json.dumps({**said, "AlarmArn": Told(account="999999999999").arn})
    assert "another account" in why(shapes.sns_records(foreign))


@pytest.mark.hostile(8)
def test_an_old_event_is_worth_a_look_and_no_more() -> None:
    """Late, from the future or without any time: what is done follows from what is read now, so it does not matter."""
    event = eventbridge(Told())
    for time in ("1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "yesterday"):
        assert targets({**event, "time": time}) == (QUEUE,)


def test_a_batch_is_taken_apart_one_by_one() -> None:
    """What is none of ours in it does not keep the rest from being heard; each target is named once."""
    said = json.dumps(Told().notification)
    event = shapes.sqs_records(said, "no JSON", said, "[1]")
    assert len(heard(event).alarms) == 2
    assert len(heard(event).rejected) == 2
    assert targets(event) == (QUEUE,)


# -- what is none of ours ----------------------------------------------------------------------------------------------

BROKEN: Mapping[str, Mapping[str, Any]] = {
    "foreign account": {"account": "999999999999"},
    "foreign region": {"region": "us-east-1"},
    "another source": {"source": "my.app"},
    "another type": {"detail-type": "AWS API Call via CloudTrail"},
    "another service's resource": {"resources": [queue_arn("orders")]},
    "a foreign alarm": {"resources": [f"arn:aws:cloudwatch:{REGION}:999999999999:alarm:letters"]},
    "a second, foreign alarm": {"resources": [Told().arn, Told(account="999999999999").arn]},
    "ours in the name of a foreign one": {
        "resources": [f"arn:aws:cloudwatch:us-east-1:999999999999:alarm:x:cloudwatch:{REGION}:{ACCOUNT}:alarm:y"]
    },
    "no resource": {"resources": []},
    "no detail": {"detail": {}},
    "a detail that is text": {"detail": "FORGED"},
    "a line break": {"region": "eu-west-1\nFORGED log line"},
    "digits of another script": {"account": "١٢٣٤٥٦٧٨٩٠١٢"},
    "text of its own": {"detail": {"state": {"value": "FORGED"}, "configuration": {"metrics": {"FORGED": 1}}}},
    "ten thousand metrics": {"detail": {**Told().detail, "configuration": {"metrics": [{}] * 10_000}}},
    "huge": {"padding": "x" * LIMIT},
    "a megabyte": {"padding": "x" * 1024 * 1024},
    "no number": {"padding": float("nan")},
    "no JSON": {"padding": {1, 2}},
}


@pytest.mark.hostile(9)
@pytest.mark.hostile(10)
@pytest.mark.hostile(20)
@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_right_is_rejected_in_one_line(change: Mapping[str, Any]) -> None:
    """One clear line, in which nothing of the event's text stands."""
    line = why({**eventbridge(Told()), **change})
    assert len(line.splitlines()) == 1
    assert len(line) < 300
    assert "FORGED" not in line


def test_more_than_lambda_can_bring_is_rejected() -> None:
    """A batch may be larger than an event, up to Lambda's own limit; each message of it may not."""
    assert "bytes, more than" in why({**shapes.sns(Told()), "padding": "x" * BATCH_LIMIT})
    big = json.dumps({**Told().notification, "padding": "x" * LIMIT})
    found = heard(shapes.sqs_records(big, json.dumps(Told().notification)))
    assert (len(found.alarms), len(found.rejected)) == (1, 1)


@pytest.mark.hostile(1)
@pytest.mark.parametrize("way", [shapes.eventbridge, shapes.action], ids=lambda way: str(way.__name__))
def test_what_is_truncated_is_rejected(way: Callable[[Told], Event]) -> None:
    """Nothing is filled in: every field that is looked at must be there."""
    whole = way(Told())
    needed = {"detail", "account", "region", "source", "detail-type", "resources", "alarmArn", "alarmData"}
    if way is shapes.action:
        needed -= {"region"}  # its ARN says it
    for cut in needed & set(whole):
        assert why({key: value for key, value in whole.items() if key != cut})


@pytest.mark.hostile(1)
def test_a_truncated_notification_is_rejected() -> None:
    """The same for what SNS says."""
    for cut in ("AlarmArn", "NewStateValue"):
        said = {key: value for key, value in Told().notification.items() if key != cut}
        assert why(shapes.sns_records(json.dumps(said)))


@pytest.mark.hostile(7)
@pytest.mark.parametrize("event", OTHERS.values(), ids=OTHERS.keys())
def test_what_else_comes_by_is_no_alarm(event: Event) -> None:
    """Events of other services, of other kinds and in other wrappings: each is said to be none, and that is all."""
    found = heard(event)
    assert found.alarms == ()
    assert found.rejected
    assert all(line.startswith("not an alarm's change of state: ") for line in found.rejected)


@pytest.mark.hostile(13)
def test_no_text_of_an_event_stands_in_what_is_said_of_it() -> None:
    """Names of fields included, wherever they stand: a log line is ours."""
    forged = "FORGED\n" * 3
    for place in ("", "detail", "detail.state", "detail.configuration.metrics"):
        event = eventbridge(Told())
        at: Any = event
        for part in filter(None, place.split(".")[:-1]):
            at = at[part]
        if place:
            at[place.split(".")[-1]] = {forged: {forged: forged}}
        else:
            event = {forged: forged}
        assert "FORGED" not in why(event)
    event = eventbridge(Told())
    event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]["dimensions"] = {forged: 5}
    assert "FORGED" not in why(event)
    said = {**Told().notification, "Trigger": {"Dimensions": [{forged: forged}], "Metrics": forged}}
    assert "FORGED" not in why(shapes.sns_records(json.dumps(said)))
    assert "FORGED" not in why(shapes.sns_records(forged))


def test_the_schedule_is_ours() -> None:
    """Or it is rejected."""
    parse_schedule(SCHEDULE, account=ACCOUNT, region=REGION)
    for other in ({**SCHEDULE, "account": "999999999999"}, eventbridge(Told()), OTHERS["scheduler"]):
        with pytest.raises(EventRejected):
            parse_schedule(other, account=ACCOUNT, region=REGION)


# -- work --------------------------------------------------------------------------------------------------------------


def test_work() -> None:
    """One incident, or one target."""
    assert parse_work('{"incident": "20260301T0300-99fbd465"}').incident == "20260301T0300-99fbd465"
    assert parse_work(json.dumps({"look": queue_arn("orders")})).look == queue_arn("orders")


@pytest.mark.hostile(9)
@pytest.mark.hostile(10)
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
        '{"incident": "20260301T0300-99fbd465", "incident": "20260301T0300-99fbd466"}',
        '{"look": ""}',
        '{"look": NaN}',
        "[" * 4000,
        "1" * 4999,
        '{"look": "' + "x" * 4096 + '"}',
        '{"look": "' + "é" * 2100 + '"}',
    ],
    ids=range(16),
)
def test_work_that_is_none_of_ours_is_rejected(body: str) -> None:
    """Dropped once, never retried."""
    with pytest.raises(EventRejected):
        parse_work(body)


@pytest.mark.parametrize(
    "batch",
    [
        None,
        {},
        {"Records": []},
        {"Records": [None]},
        {"Records": [{"body": "{}", "eventSource": "aws:sqs"}]},
        {"Records": [{"messageId": "", "body": "{}", "eventSource": "aws:sqs"}]},
        {"Records": [{"messageId": "m", "body": 5, "eventSource": "aws:sqs"}]},
        shapes.sns(Told()),
        OTHERS["DynamoDB stream"],
        {"Records": [{}] * 10_001},
    ],
    ids=range(10),
)
def test_a_batch_that_lambda_cannot_have_made_is_rejected(batch: object) -> None:
    """As a whole: whoever calls us by hand may look up how."""
    check_batch(shapes.sqs_records("{}"))
    with pytest.raises(EventRejected):
        check_batch(batch)


# -- anything at all ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def twisted(draw: st.DrawFn) -> Any:
    """A real event with something else at one place of it, also inside the JSON that a message carries."""
    event: Any = draw(st.sampled_from([way(Told()) for way in WAYS] + list(OTHERS.values())))
    return json.loads(_twist(draw, json.dumps(event)))


def _twist(draw: st.DrawFn, text: str) -> str:
    document = json.loads(text)
    place = document
    for _ in range(draw(st.integers(0, 8))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place))) if isinstance(place, list) else []
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if isinstance(inner, str) and inner.startswith("{") and draw(st.booleans()):
            place[key] = _twist(draw, inner)
            break
        if draw(st.booleans()) or not isinstance(inner, dict | list):
            place[key] = draw(JSON)
            break
        place = inner
    return json.dumps(document)


@pytest.mark.hostile(9)
@pytest.mark.hostile(11)
@given(JSON | twisted())
def test_any_json_is_understood_or_rejected(event: Any) -> None:
    """It is an alarm of ours, in whole, or a line that says why not. Nothing is ever raised but that."""
    found = heard(event)
    assert found.alarms or found.rejected
    assert all(len(line.splitlines()) == 1 and line.isascii() for line in found.rejected)
    assert all(alarm.arn.startswith(f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:") for alarm in found.alarms)
    assert set(targets(event)) <= set(ALL)
    for check in (check_batch, lambda each: parse_schedule(each, account=ACCOUNT, region=REGION)):
        with suppress(EventRejected):
            check(event)


@given(JSON.map(json.dumps) | st.text(max_size=60))
def test_any_work_is_understood_or_rejected(body: str) -> None:
    """Nothing else is ever raised."""
    try:
        work = parse_work(body)
    except EventRejected:
        return
    assert bool(work.incident) != bool(work.look)


@BY_EVERY_WAY
def test_an_alarm_that_is_a_target_is_spoken_of_by_its_arn(way: Callable[[Told], Event]) -> None:
    """Whatever it measures, composite ones too; only while it is raised, and no other alarm."""
    for told in (Told(), Told(metrics=())):
        assert ALARM in alarm_targets(heard(way(told)).alarms, [ALARM])
    assert alarm_targets(heard(way(Told(state="OK"))).alarms, [ALARM]) == ()
    assert alarm_targets(heard(way(Told(name="other"))).alarms, [ALARM]) == ()
