"""The alarms that a team puts on its own services and queues: what each may measure, and how it judges it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_sns as sns
from nightshift.remediations import REMEDIATIONS

from app import make_app
from infra.dashboards import SystemDashboard
from infra.watching import QueueAlarms, QueueMetrics, ServiceAlarms, ServiceMetrics, Thresholds
from sandbox.metric_math import formula
from tests.infra.reading import Template, of_type

API: dict[str, Any] = {
    "cluster_name": "ioanyt-prod",
    "service_name": "delivery-standard",
    "load_balancer_full_name": "app/ioanyt-prod-alb/50dc6c495c0c9188",
    "target_group_full_name": "targetgroup/delivery-standard/6d0ecf831eec9f09",
}
NOON = 12 * 60
SERVICE = frozenset({"ClusterName", "ServiceName"})
BALANCER = frozenset({"LoadBalancer"})
GROUP = frozenset({"LoadBalancer", "TargetGroup"})
PUBLISHED: Mapping[tuple[str, str], frozenset[str]] = {
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    ("AWS/ECS", "CPUUtilization"): SERVICE,
    ("AWS/ECS", "MemoryUtilization"): SERVICE,
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
    ("ECS/ContainerInsights", "RunningTaskCount"): SERVICE,
    ("ECS/ContainerInsights", "DesiredTaskCount"): SERVICE,
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    ("AWS/ApplicationELB", "HealthyHostCount"): GROUP,
    ("AWS/ApplicationELB", "UnHealthyHostCount"): GROUP,
    ("AWS/ApplicationELB", "RequestCount"): GROUP,
    ("AWS/ApplicationELB", "TargetResponseTime"): GROUP,
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): GROUP,
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_ELB_502_Count"): BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_ELB_503_Count"): BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_ELB_504_Count"): BALANCER,
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): frozenset({"QueueName"}),
}
"""what AWS publishes, under which dimensions: under any others it is another metric, without data"""

Metric = tuple[str, str, dict[str, str], str, int]
"""namespace, name, dimensions, statistic, seconds"""


class Theirs(cdk.Stack):
    """A stack of a team's own."""

    def __init__(self, outdir: Path) -> None:
        self.app = make_app(outdir=str(outdir))
        super().__init__(self.app, "Theirs")

    def template(self) -> Template:
        """What CloudFormation gets; cdk-nag has nothing against it."""
        self.app.synth()
        found: Template = json.loads((Path(self.app.outdir) / "Theirs.template.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """An API behind a load balancer, the service that takes its events, their dead letters, and one dashboard."""
    stack = Theirs(tmp_path_factory.mktemp("theirs"))
    api = ServiceAlarms(stack, "Api", ServiceMetrics(**API))
    worker = ServiceAlarms(stack, "Worker", ServiceMetrics("ioanyt-prod", "usage-aggregator"))
    letters = QueueAlarms(stack, "Letters", QueueMetrics("usage-events-dlq"))
    SystemDashboard(stack, "Page", dashboard_name="usage-metrics", about=[api, worker, letters])
    return stack.template()


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """Every alarm, by its name."""
    return {each["AlarmName"]: each for each in of_type(template, "AWS::CloudWatch::Alarm").values()}


def of(template: Template, what: str) -> dict[str, Any]:
    """The API's alarm of that name."""
    return alarms(template)[f"ioanyt-prod/delivery-standard/{what}"]


def parts(alarm: Mapping[str, Any]) -> dict[str, Metric]:
    """The metrics of an alarm by their ids; a plain one has the id of its own name."""
    if "MetricName" in alarm:
        stat = str(alarm.get("Statistic") or alarm["ExtendedStatistic"])
        return {alarm["MetricName"]: (alarm["Namespace"], alarm["MetricName"], dims(alarm), stat, alarm["Period"])}
    return {
        each["Id"]: (
            each["MetricStat"]["Metric"]["Namespace"],
            each["MetricStat"]["Metric"]["MetricName"],
            dims(each["MetricStat"]["Metric"]),
            each["MetricStat"]["Stat"],
            each["MetricStat"]["Period"],
        )
        for each in alarm["Metrics"]
        if "MetricStat" in each
    }


def dims(metric: Mapping[str, Any]) -> dict[str, str]:
    """Dimensions, as a person would write them."""
    return {each["Name"]: each["Value"] for each in metric["Dimensions"]}


def expression(alarm: Mapping[str, Any]) -> str:
    """The one expression of an alarm."""
    [found] = [str(each["Expression"]) for each in alarm["Metrics"] if "Expression" in each]
    return found


def widgets(template: Template) -> list[dict[str, Any]]:
    """What the one dashboard shows; references in it are any text."""
    [page] = of_type(template, "AWS::CloudWatch::Dashboard").values()
    body = page["DashboardBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else json.dumps(part).replace('"', "'") for part in body)
    found: list[dict[str, Any]] = json.loads(text)["widgets"]
    return found


def drawn(template: Template) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every metric of the dashboard: namespace, name, dimensions."""
    for widget in widgets(template):
        for line in widget["properties"].get("metrics", ()):
            if isinstance(line[0], str):
                namespace, name, *rest = [part for part in line if isinstance(part, str)]
                yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))


# -- what is measured ------------------------------------------------------------------------------------------------


def test_every_metric_is_one_that_aws_publishes(theirs: Template) -> None:
    """Exactly the dimensions under which it has data, in alarms and on the dashboard."""
    measured = [(*each[:2], each[2]) for alarm in alarms(theirs).values() for each in parts(alarm).values()]
    shown = list(drawn(theirs))
    assert measured
    assert shown
    for namespace, name, dimensions in (*measured, *shown):
        assert PUBLISHED[namespace, name] == dimensions.keys(), name


@pytest.mark.scenario("2.13", "alarms")
def test_all_that_the_runbook_lists_of_a_service_is_measured(theirs: Template) -> None:
    """Service health and task count, latency and error rates, and what lies in the dead-letter queue."""
    assert {name.removeprefix("ioanyt-prod/") for name in alarms(theirs)} == {
        *(
            f"delivery-standard/{what}"
            for what in (
                "high-cpu",
                "high-error-rate",
                "high-latency",
                "high-memory",
                "low-requests",
                "low-task-count",
                "no-healthy-host",
                "unhealthy-hosts",
            )
        ),
        *(f"usage-aggregator/{what}" for what in ("high-cpu", "high-memory", "low-task-count")),
        "usage-events-dlq/holds-letters",
    }


@pytest.mark.scenario("2.15", "alarms")
def test_tasks_are_counted_where_they_are_counted(theirs: Template) -> None:
    """AWS/ECS has no RunningTaskCount: Container Insights has, and what should run is no number of ours."""
    found = parts(of(theirs, "low-task-count"))
    assert {(namespace, name) for namespace, name, *_ in found.values()} == {
        ("ECS/ContainerInsights", "RunningTaskCount"),
        ("ECS/ContainerInsights", "DesiredTaskCount"),
    }
    missing = formula(expression(of(theirs, "low-task-count")))
    assert missing({"desired": 4, "running": 1}, NOON) == 3
    assert missing({"desired": 0, "running": 0}, NOON) == 0  # stopped on purpose


def test_letters_are_counted_where_they_lie(theirs: Template) -> None:
    """What SQS moves to a dead-letter queue by itself is not counted as sent."""
    [(_, name, _, statistic, _)] = parts(alarms(theirs)["usage-events-dlq/holds-letters"]).values()
    assert (name, statistic) == ("ApproximateNumberOfMessagesVisible", "Maximum")


def test_what_is_computed_uses_what_is_measured_and_all_of_it(theirs: Template) -> None:
    """Every name in an expression is one of the alarm's metrics, and none is paid for in vain."""
    computed = [alarm for alarm in alarms(theirs).values() if "Metrics" in alarm]
    assert len(computed) == 5
    for alarm in computed:
        assert set(re.findall(r"\b[a-z]\w*", expression(alarm))) == set(parts(alarm))
        assert [each.get("ReturnData", True) for each in alarm["Metrics"]].count(True) == 1
        assert len({seconds for *_, seconds in parts(alarm).values()}) == 1


@pytest.mark.parametrize(
    "seen, percent",
    [
        ((1000, None, None, None), 0),
        ((1000, 60, None, None), 6),
        ((1000, None, 60, None), 6),  # 502 and 504: they had a task
        ((900, None, 100, 100), 10),  # 503: they had none, and are in no other count
        ((None, None, 100, 100), 100),  # there is no task at all
        ((40, 40, None, None), 0),  # too few to say
        ((None, None, None, None), 0),
    ],
)
@pytest.mark.scenario("4.2", "alarms")
def test_the_error_rate_counts_requests_that_never_reached_a_task(
    theirs: Template, seen: tuple[int | None, ...], percent: int
) -> None:
    """A share of all requests in five minutes, whoever answered them; what was not reported did not happen."""
    alarm = of(theirs, "high-error-rate")
    names = ("requests", "failed", "refused", "unavailable")
    assert formula(expression(alarm))(dict(zip(names, seen, strict=True)), NOON) == percent
    assert alarm["Threshold"] == 5
    assert parts(alarm)["refused"][1] == "HTTPCode_ELB_5XX_Count"


def test_what_a_shared_load_balancer_answers_is_nobodys(tmp_path: Path) -> None:
    """Its answers are counted for it as a whole: none of them makes an alarm about one of the services behind it."""
    stack = Theirs(tmp_path)
    service = ServiceAlarms(stack, "Api", ServiceMetrics(**API, shared=True))
    SystemDashboard(stack, "Page", dashboard_name="x", about=[service])
    template = stack.template()
    of_balancer = {name for (_, name), where in PUBLISHED.items() if where == BALANCER}
    measured = {name for alarm in alarms(template).values() for _, name, *_ in parts(alarm).values()}
    assert (measured | {name for _, name, _ in drawn(template)}) & of_balancer == set()
    assert "others share it" in of(template, "high-error-rate")["AlarmDescription"]
    assert formula(expression(of(template, "high-error-rate")))({"requests": 1000, "failed": 60}, NOON) == 6


# -- how it is judged ------------------------------------------------------------------------------------------------

RULES = {
    # (statistic, seconds) of what is measured, how many bad windows of how many, missing data
    "high-cpu": ({("Average", 60)}, (5, 5), "missing"),
    "high-memory": ({("Average", 60)}, (5, 5), "missing"),
    "low-task-count": ({("Average", 60)}, (5, 5), "missing"),
    "unhealthy-hosts": ({("Minimum", 60)}, (3, 3), "missing"),
    "no-healthy-host": ({("Maximum", 60)}, (2, 2), "missing"),
    "high-error-rate": ({("Sum", 300)}, (2, 3), "notBreaching"),
    "high-latency": ({("Sum", 300), ("p95", 300)}, (2, 3), "notBreaching"),
    "low-requests": ({("Sum", 300)}, (3, 3), "breaching"),
}


@pytest.mark.parametrize("what", RULES)
def test_each_alarm_judges_as_its_remediation_does(theirs: Template, what: str) -> None:
    """Windows, how many of them, and what it means that nothing was reported."""
    alarm, (stats, (bad, of_all), missing) = of(theirs, what), RULES[what]
    assert {(statistic, seconds) for *_, statistic, seconds in parts(alarm).values()} == stats
    assert (alarm["DatapointsToAlarm"], alarm["EvaluationPeriods"]) == (bad, of_all)
    assert alarm["TreatMissingData"] == missing


def test_silence_is_bad_only_where_it_is_the_failure(theirs: Template) -> None:
    """Missing data is a cause for alarm where nothing was asked, and nowhere else."""
    bad = [name for name, alarm in alarms(theirs).items() if alarm["TreatMissingData"] == "breaching"]
    assert bad == ["ioanyt-prod/delivery-standard/low-requests"]


def test_a_slow_answer_of_a_few_says_nothing(theirs: Template) -> None:
    """One request in twenty, of at least fifty."""
    slow = formula(expression(of(theirs, "high-latency")))
    assert slow({"requests": 50, "slowest": 3.0}, NOON) == 3.0
    assert slow({"requests": 49, "slowest": 3.0}, NOON) == 0
    assert slow({"requests": None, "slowest": None}, NOON) == 0


@pytest.mark.parametrize(
    "busy, hour, requests, low",
    [
        (None, 3, None, True),
        ((7, 19), 3, None, False),
        ((7, 19), 7, None, True),
        ((7, 19), 18, 99, True),
        ((7, 19), 18, 100, False),
        ((7, 19), 19, None, False),
        ((22, 6), 3, None, True),
        ((22, 6), 12, None, False),
    ],
)
@pytest.mark.scenario("4.5", "alarms")
def test_what_is_normal_is_a_number_and_the_hours_in_which_it_holds(
    tmp_path: Path, busy: tuple[int, int] | None, hour: int, requests: int | None, low: bool
) -> None:
    """A shop that is shut gets no requests, and nobody is woken for it."""
    stack = Theirs(tmp_path)
    ServiceAlarms(stack, "Api", ServiceMetrics(**API), thresholds=Thresholds(fewest_requests=100, busy=busy))
    alarm = of(stack.template(), "low-requests")
    asked = formula(expression(alarm))({"requests": requests, "unavailable": None}, hour * 60)
    assert asked is not None
    assert (alarm["ComparisonOperator"], asked < alarm["Threshold"]) == ("LessThanThreshold", low)


def test_an_outage_is_not_taken_for_a_quiet_night(theirs: Template) -> None:
    """Requests for which there was no task are requests."""
    alarm = of(theirs, "low-requests")
    assert formula(expression(alarm))({"requests": None, "unavailable": 1500}, NOON) == 1500


# -- what it says, and to whom ---------------------------------------------------------------------------------------


def test_each_alarm_says_where_it_comes_from_and_what_follows(theirs: Template) -> None:
    """Its runbook, and a remediation that there is, or that Nightshift changes nothing."""
    known = {each.name for each in REMEDIATIONS}
    for name, alarm in alarms(theirs).items():
        said = alarm["AlarmDescription"]
        assert "runbook" in said, name
        named = set(re.findall(r"\(((?:alb|ecs|sqs)-[a-z-]+)\)", said))
        assert named <= known, name
        assert named or "Nightshift changes nothing" in said, name
        assert said.isascii()


def test_an_alarm_needs_no_action_and_no_permission(theirs: Template) -> None:
    """Nightshift hears of every alarm of the account. There is nothing but alarms and their page."""
    assert {each["Type"] for each in theirs["Resources"].values()} == {
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::Dashboard",
    }
    assert all("AlarmActions" not in alarm for alarm in alarms(theirs).values())


def test_people_are_told_of_the_beginning_and_the_end(tmp_path: Path) -> None:
    """Where a team names a topic."""
    stack = Theirs(tmp_path)
    topic = sns.Topic.from_topic_arn(stack, "Pager", "arn:aws:sns:eu-central-1:111122223333:pager")
    ServiceAlarms(stack, "Api", ServiceMetrics(**API), tell=topic)
    QueueAlarms(stack, "Letters", QueueMetrics("letters"), tell=topic)
    found = alarms(stack.template()).values()
    assert len(found) == 9
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [topic.topic_arn] for alarm in found)


def test_no_widget_holds_more_alarms_than_cloudwatch_takes(tmp_path: Path) -> None:
    """A hundred: with one more it takes no dashboard, and CloudFormation takes back the stack, Nightshift with it."""
    stack = Theirs(tmp_path)
    letters = [QueueAlarms(stack, f"Letters{n}", QueueMetrics(f"letters-{n}")) for n in range(101)]
    SystemDashboard(stack, "Page", dashboard_name="many", about=letters)
    template = stack.template()
    counts = [len(each["properties"]["alarms"]) for each in widgets(template) if each["type"] == "alarm"]
    assert counts == [100, 1]
    assert sum(counts) == len(alarms(template))


@pytest.mark.scenario("2.15", "alarms")
def test_the_dashboard_shows_every_alarm_and_all_that_is_measured(theirs: Template) -> None:
    """Alarms first; then requests, errors by kind, latency, hosts, CPU and memory, tasks, dead letters."""
    first, *_ = widgets(theirs)
    assert first["type"] == "alarm"
    assert len(first["properties"]["alarms"]) == len(alarms(theirs))
    all_parts = [each for alarm in alarms(theirs).values() for each in parts(alarm).values()]
    measured = {(namespace, name, *sorted(dimensions.values())) for namespace, name, dimensions, *_ in all_parts}
    shown = {(namespace, name, *sorted(dimensions.values())) for namespace, name, dimensions in drawn(theirs)}
    assert measured <= shown
    assert {name for _, name, *_ in shown} == {name for _, name in PUBLISHED}
    times = [
        line[-1]["stat"]
        for widget in widgets(theirs)
        for line in widget["properties"].get("metrics", ())
        if "TargetResponseTime" in line
    ]
    assert times == ["p50", "p95", "p99"]


def test_no_two_widgets_of_the_dashboard_lie_on_each_other(theirs: Template) -> None:
    """Each has its own place in CloudWatch's 24 columns."""
    places = [
        (column, row)
        for each in widgets(theirs)
        for column in range(each["x"], each["x"] + each["width"])
        for row in range(each["y"], each["y"] + each["height"])
    ]
    assert len(places) == len(set(places))
    assert max(column for column, _ in places) < 24


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"load_balancer_full_name": "ioanyt-prod-alb"}, "app/NAME/ID"),
        ({"load_balancer_full_name": "net/ioanyt-prod-nlb/50dc6c495c0c9188"}, "only application load balancers"),
        ({"load_balancer_full_name": "loadbalancer/app/ioanyt-prod-alb/50dc6c495c0c9188"}, "app/NAME/ID"),
        ({"target_group_full_name": "delivery-standard"}, "targetgroup/NAME/ID"),
        ({"load_balancer_full_name": None}, "need both"),
        ({"target_group_full_name": None}, "need both"),
        ({"cluster_name": "arn:aws:ecs:eu-central-1:111122223333:cluster/ioanyt-prod"}, "not its ARN"),
        ({"service_name": "ioanyt-prod/delivery-standard"}, "not its ARN"),
        ({"service_name": ""}, "not its ARN"),
        ({"service_name": "delivery-standard\n"}, "not its ARN"),
    ],
)
def test_a_name_under_which_there_is_no_data_is_refused(wrong: dict[str, str | None], says: str) -> None:
    """The CDK and CloudFormation take it, and the alarm would never go off."""
    with pytest.raises(ValueError, match=says):
        ServiceMetrics(**{**API, **wrong})


@pytest.mark.parametrize("name", ["https://sqs.eu-central-1.amazonaws.com/111122223333/q", "arn:aws:sqs:a:1:q", ""])
def test_so_is_a_queues_url_or_arn(name: str) -> None:
    """CloudWatch knows queues by their names."""
    with pytest.raises(ValueError, match="not its URL or ARN"):
        QueueMetrics(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"error_percent": 0},
        {"cpu_percent": 100},
        {"memory_percent": -1},
        {"slow_seconds": 0},
        {"judged_from": 0},
        {"fewest_requests": 0},
        {"busy": (7, 7)},
        {"busy": (7, 24)},
    ],
)
def test_a_threshold_that_always_or_never_holds_is_refused(wrong: dict[str, Any]) -> None:
    """Each says what it is about."""
    [name] = wrong
    with pytest.raises(ValueError, match=f"^{name}: "):
        Thresholds(**wrong)


def test_names_that_only_the_deployment_knows_are_taken(tmp_path: Path) -> None:
    """A load balancer has its id when it is made, in this stack or in another one."""
    stack = Theirs(tmp_path)
    cluster, service, balancer, group = (cdk.Fn.import_value(name) for name in API)
    ServiceAlarms(stack, "Api", ServiceMetrics(cluster, service, balancer, group))
    found = of_type(stack.template(), "AWS::CloudWatch::Alarm").values()
    [hosts] = [each for each in found if each.get("MetricName") == "UnHealthyHostCount"]
    found_as: Mapping[str, Any] = dims(hosts)
    assert found_as["LoadBalancer"] == {"Fn::ImportValue": "load_balancer_full_name"}


def test_a_dashboard_of_nothing_is_refused(tmp_path: Path) -> None:
    """An empty page reads like a quiet night."""
    with pytest.raises(ValueError, match="dashboard of nothing"):
        SystemDashboard(Theirs(tmp_path), "Page", dashboard_name="x")
