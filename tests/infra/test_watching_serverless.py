"""The alarms that a team puts on its functions, tables, GraphQL APIs and Aurora, and the page of triggers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nightshift.config import parse_toml
from nightshift.remediations import REMEDIATIONS

from infra.dashboards import SystemDashboard
from infra.watching import QueueAlarms, QueueMetrics
from infra.watching_serverless import (
    BucketMetrics,
    ClusterAlarms,
    ClusterMetrics,
    FunctionAlarms,
    FunctionMetrics,
    GraphAlarms,
    GraphMetrics,
    TableAlarms,
    TableMetrics,
    TriggerMetrics,
)
from sandbox.metric_math import formula
from tests.infra.conftest import synthesize
from tests.infra.reading import Template, of_type
from tests.infra.test_watching import NOON, Theirs, alarms, drawn, expression, parts, widgets

API = "abcdefghijklmnopqrstuvwxyz"
FUNCTION = frozenset({"FunctionName"})
TABLE = frozenset({"TableName"})
INDEX = frozenset({"TableName", "GlobalSecondaryIndexName"})
GRAPH = frozenset({"GraphQLAPIId"})
CLUSTER = frozenset({"DBClusterIdentifier"})
DASHBOARD = "AWS::CloudWatch::Dashboard"
PUBLISHED: Mapping[tuple[str, str], tuple[frozenset[str], ...]] = {
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    **{("AWS/Lambda", name): (FUNCTION,) for name in ("Invocations", "Errors", "Throttles", "Duration")},
    ("AWS/Lambda", "ConcurrentExecutions"): (FUNCTION,),
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    **{
        ("AWS/DynamoDB", f"{kind}{name}"): (TABLE, INDEX)
        for kind, name in (("Read", "ThrottleEvents"), ("Write", "ThrottleEvents"))
    },
    **{("AWS/DynamoDB", f"Consumed{kind}CapacityUnits"): (TABLE, INDEX) for kind in ("Read", "Write")},
    # https://docs.aws.amazon.com/appsync/latest/devguide/monitoring.html
    **{("AWS/AppSync", name): (GRAPH,) for name in ("4XXError", "5XXError", "Latency")},
    # https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html
    **{
        ("AWS/RDS", name): (CLUSTER,)
        for name in ("ACUUtilization", "CPUUtilization", "DatabaseConnections", "ServerlessDatabaseCapacity")
    },
    **{("AWS/RDS", name): (CLUSTER,) for name in ("FreeLocalStorage", "VolumeBytesUsed")},
}
"""what AWS publishes, under which dimensions"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """OpenData Pulse: its API, a function, its hot table with an index, dead letters; and a database beside it."""
    stack = Theirs(tmp_path_factory.mktemp("serverless"))
    about = [
        GraphAlarms(stack, "Api", GraphMetrics(API)),
        FunctionAlarms(stack, "Etl", FunctionMetrics("opendata-pulse-etl")),
        TableAlarms(stack, "Hot", TableMetrics("opendata-pulse-hot-aggregates", ("by-station",))),
        ClusterAlarms(stack, "Database", ClusterMetrics("dms-prod")),
        QueueAlarms(stack, "Letters", QueueMetrics("opendata-pulse-processing-dlq")),
    ]
    SystemDashboard(
        stack, "Page", dashboard_name="pulse", about=about, waiting=[QueueMetrics("opendata-pulse-processing")]
    )
    return stack.template()


def shown(template: Template) -> set[tuple[str, str]]:
    """Every metric of the dashboard that is drawn as it is, or computed with."""
    return {(namespace, name) for namespace, name, _ in drawn(template)}


@pytest.mark.corrects("throttled-requests")
def test_every_metric_is_one_that_aws_publishes(theirs: Template) -> None:
    """A table's throttling is counted for the table and for each index apart; a table's ThrottledRequests is not."""
    measured = [each[:3] for alarm in alarms(theirs).values() for each in parts(alarm).values()]
    found = [each for each in (*measured, *drawn(theirs)) if each[0] != "AWS/SQS"]
    assert found
    for namespace, name, dimensions in found:
        assert dimensions.keys() in PUBLISHED[namespace, name], name


@pytest.mark.scenario("1.28", "alarms")
def test_what_the_runbook_has_alarms_for_has_one(theirs: Template) -> None:
    """Errors of the API, errors of functions, throttling of tables; and what its other chapters ask about."""
    assert set(alarms(theirs)) == {
        f"{API}/high-error-rate",
        f"{API}/high-latency",
        "dms-prod/saturated",
        "opendata-pulse-etl/calls-throttled",
        "opendata-pulse-etl/high-error-rate",
        "opendata-pulse-hot-aggregates/by-station-throttled",
        "opendata-pulse-hot-aggregates/throttled",
        "opendata-pulse-processing-dlq/holds-letters",
    }


@pytest.mark.parametrize(
    "seen, percent",
    [
        ((5, 100), 5),
        ((60, 100), 60),
        ((6, 1_000_000), 0.0006),  # six of a million: the runbook's alarm would have rung
        ((4, 4), 0),  # too few to say
        ((None, 100), 0),
        ((None, None), 0),
    ],
)
@pytest.mark.scenario("1.28", "alarms")
def test_a_functions_errors_are_a_share_of_its_invocations(
    theirs: Template, seen: tuple[int | None, int | None], percent: float
) -> None:
    """The runbook called the sixth error of five minutes "exceeds threshold", of however many invocations."""
    alarm = alarms(theirs)["opendata-pulse-etl/high-error-rate"]
    rate = formula(expression(alarm))
    assert rate(dict(zip(("errors", "invocations"), seen, strict=True)), NOON) == pytest.approx(percent)
    assert alarm["Threshold"] == 5


@pytest.mark.parametrize(
    "seen, percent",
    [((100, 900), 10), ((10, None), 100), ((None, 900), 0), ((None, None), 0)],
)
def test_a_call_that_was_turned_away_is_no_invocation(
    theirs: Template, seen: tuple[int | None, int | None], percent: float
) -> None:
    """Throttles are in neither Invocations nor Errors: a function that is turned away altogether looks idle."""
    rate = formula(expression(alarms(theirs)["opendata-pulse-etl/calls-throttled"]))
    assert rate(dict(zip(("throttles", "invocations"), seen, strict=True)), NOON) == percent


@pytest.mark.corrects("sum-called-percent")
@pytest.mark.scenario("1.28", "alarms")
def test_an_apis_errors_are_its_own_and_a_share(theirs: Template) -> None:
    """Five 4XX are five wrong requests of callers, not "error rate exceeds 5 %"."""
    alarm = alarms(theirs)[f"{API}/high-error-rate"]
    assert {name for _, name, *_ in parts(alarm).values()} == {"5XXError", "Latency"}
    rate = formula(expression(alarm))
    assert rate({"requests": 1000, "failed": 60}, NOON) == 6
    assert rate({"requests": 1000, "failed": None}, NOON) == 0
    assert rate({"requests": 99, "failed": 99}, NOON) == 0
    assert rate({"requests": None, "failed": None}, NOON) == 0


@pytest.mark.corrects("throttled-requests")
@pytest.mark.scenario("1.28", "alarms")
def test_throttling_ends_in_the_alarm_too(theirs: Template) -> None:
    """An alarm on AWS/DynamoDB ignores missing data: what is computed with FILL has data in every minute."""
    for what in ("throttled", "by-station-throttled"):
        refused = formula(expression(alarms(theirs)[f"opendata-pulse-hot-aggregates/{what}"]))
        assert refused({"reads": 7, "writes": 5}, NOON) == 12
        assert refused({"reads": None, "writes": None}, NOON) == 0


def test_an_index_that_is_watched_by_itself_has_its_own_alarm(tmp_path: Path) -> None:
    """A table and each of its indexes are targets of their own."""
    stack = Theirs(tmp_path)
    TableAlarms(stack, "Index", TableMetrics("hot", ("by-station",), whole=False))
    [name] = alarms(stack.template())
    assert name == "hot/by-station-throttled"


def test_a_busy_database_that_can_still_grow_is_no_alarm(theirs: Template) -> None:
    """Below its highest capacity Aurora is about to add some."""
    busy = formula(expression(alarms(theirs)["dms-prod/saturated"]))
    assert busy({"used": 100, "cpu": 95}, NOON) == 95
    assert busy({"used": 70, "cpu": 95}, NOON) == 0


def test_silence_is_bad_nowhere(theirs: Template) -> None:
    """What nobody calls does not fail."""
    missing = {alarm["TreatMissingData"] for alarm in alarms(theirs).values()}
    assert missing == {"notBreaching", "missing"}


def test_what_is_computed_uses_what_is_measured_and_all_of_it(theirs: Template) -> None:
    """Every name in an expression is one of the alarm's metrics, and none is paid for in vain."""
    for alarm in alarms(theirs).values():
        if "Metrics" in alarm:
            assert set(re.findall(r"\b[a-z]\w*", expression(alarm))) == set(parts(alarm))
            assert len({seconds for *_, seconds in parts(alarm).values()}) == 1


def test_each_alarm_says_where_it_comes_from_and_what_follows(theirs: Template) -> None:
    """Its runbook, and a remediation that there is, or that Nightshift changes nothing."""
    known = {each.name for each in REMEDIATIONS}
    for name, alarm in alarms(theirs).items():
        said = alarm["AlarmDescription"]
        named = set(re.findall(r"\(([a-z0-9]+-[a-z-]+)\)", said))
        assert "runbook" in said, name
        assert named <= known, name
        assert named or "changes nothing" in said, name
        assert said.isascii()


@pytest.mark.scenario("3.2", "alarms")
def test_the_page_shows_what_the_runbook_watches(theirs: Template) -> None:
    """Requests and errors of the API, concurrent executions, depth of the queues, connections of the database."""
    assert {
        ("AWS/AppSync", "Latency"),
        ("AWS/AppSync", "5XXError"),
        ("AWS/Lambda", "ConcurrentExecutions"),
        ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
        ("AWS/RDS", "DatabaseConnections"),
        ("AWS/RDS", "VolumeBytesUsed"),
        ("AWS/RDS", "FreeLocalStorage"),
    } <= shown(theirs)
    titles = {each["properties"]["title"] for each in widgets(theirs)}
    assert {"Alarms", "Waiting", "Dead letters"} <= titles


@pytest.mark.scenario("0.13", "alarms")
def test_the_page_of_triggers_has_the_runbooks_three_widgets(tmp_path: Path) -> None:
    """Created and deleted as sums, age on average and at most, updates of the archive that were written and failed."""
    stack = Theirs(tmp_path)
    SystemDashboard(stack, "Page", dashboard_name="triggers", triggers=TriggerMetrics("CustomMetrics"))
    [page] = of_type(stack.template(), "AWS::CloudWatch::Dashboard").values()
    body = str(page["DashboardBody"])
    for name in ("TriggerCreationRate", "TriggerDeletionRate", "ArchiveUpdateSuccess", "ArchiveUpdateFailure"):
        assert re.search(rf'"CustomMetrics","{name}",\{{[^}}]*"stat":"Sum"', body), name
    for statistic in ("Average", "Maximum"):
        assert re.search(rf'"TriggerAge",\{{[^}}]*"stat":"{statistic}"|"TriggerAge",\{{"label":"average"', body)


CONFIGURATION = """
name = "pulse"
account = "111122223333"
region = "eu-west-1"
notify.emails = ["oncall@example.com"]

[remediations.lambda-failing]

[remediations.s3-trigger-behind]
namespace = "Changes"

[[systems]]
name = "etl"

[[systems.targets]]
arn = "arn:aws:lambda:eu-west-1:111122223333:function:opendata-pulse-etl"
alarms = true

[[systems]]
name = "mail"

[[systems.targets]]
arn = "arn:aws:s3:::metadata-bucket"
alarms = true

[systems.targets.triggers]
prefix = "customers/"
archive = "archive/"

[[systems.targets.triggers.customers]]
name = "hts"
queue = "arn:aws:sqs:eu-west-1:111122223333:customer-hts-changes"
dead_letters = "arn:aws:sqs:eu-west-1:111122223333:customer-hts-changes-dlq"
consumer = "arn:aws:ecs:eu-west-1:111122223333:service/processors/hts"
"""


@pytest.mark.scenario("0.13", "alarms")
def test_the_stack_makes_them_for_the_targets_that_ask(tmp_path: Path) -> None:
    """A function gets its alarms; a bucket of triggers a page with its counters and its customers' queues."""
    template = synthesize(parse_toml(CONFIGURATION, path="test.toml"), tmp_path)
    names = [
        each["Properties"]["AlarmName"]
        for each in template["Resources"].values()
        if "/" in str(each.get("Properties", {}).get("AlarmName", ""))
    ]
    assert sorted(names) == ["opendata-pulse-etl/calls-throttled", "opendata-pulse-etl/high-error-rate"]
    pages: dict[str, Any] = {
        each["DashboardName"]: str(each["DashboardBody"])
        for each in of_type(template, "AWS::CloudWatch::Dashboard").values()
    }
    assert pages.keys() == {"nightshift-pulse-eu-west-1-etl", "nightshift-pulse-eu-west-1-mail"}
    assert '"Changes","TriggerCreationRate"' in pages["nightshift-pulse-eu-west-1-mail"]
    assert "customer-hts-changes" in pages["nightshift-pulse-eu-west-1-mail"]
    assert '"AWS/S3","BucketSizeBytes","BucketName","metadata-bucket"' in pages["nightshift-pulse-eu-west-1-mail"]
    assert "AWS/S3" not in pages["nightshift-pulse-eu-west-1-etl"]


@pytest.mark.scenario("0.13", "alarms")
@pytest.mark.scenario("3.2", "alarms")
def test_the_page_shows_how_large_buckets_are(tmp_path: Path) -> None:
    """By the metrics that S3 publishes once a day, over two weeks; of too many the first, and that is said."""
    stack = Theirs(tmp_path)
    few = [BucketMetrics(f"bucket-{number}") for number in range(2)]
    SystemDashboard(stack, "Few", dashboard_name="few", stored=few)
    SystemDashboard(stack, "Many", dashboard_name="many", stored=[BucketMetrics(f"b-{number}") for number in range(51)])
    pages = {
        each["DashboardName"]: str(each["DashboardBody"]) for each in of_type(stack.template(), DASHBOARD).values()
    }
    for metric, storage in (("BucketSizeBytes", "StandardStorage"), ("NumberOfObjects", "AllStorageTypes")):
        for bucket in few:
            name = f'"AWS/S3","{metric}","BucketName","{bucket.bucket_name}","StorageType","{storage}"'
            assert name in pages["few"]
    assert pages["few"].count('"start":"-P14D"') == 2
    assert pages["few"].count('"period":86400') == 4
    assert "Buckets: objects (the first 50 of 51 buckets)" in pages["many"]
    assert "b-49" in pages["many"]
    assert "b-50" not in pages["many"]


@pytest.mark.parametrize(
    "what, name",
    [
        (FunctionMetrics, "arn:aws:lambda:eu-west-1:111122223333:function:etl"),
        (FunctionMetrics, "etl:live"),
        (TableMetrics, "arn:aws:dynamodb:eu-west-1:111122223333:table/hot"),
        (TableMetrics, "hot/index/by-station"),
        (GraphMetrics, "opendata-pulse-api"),
        (BucketMetrics, "arn:aws:s3:::metadata-bucket"),
        (ClusterMetrics, "arn:aws:rds:eu-west-1:111122223333:cluster:dms"),
    ],
)
def test_a_name_under_which_there_is_no_data_is_refused(what: type, name: str) -> None:
    """The CDK and CloudFormation take it, and the alarm would never go off."""
    with pytest.raises(ValueError, match="names nothing in CloudWatch"):
        what(name)
