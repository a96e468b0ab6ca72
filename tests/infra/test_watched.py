"""Alarms that the deployment makes: for the targets whose configuration asks, and each goes off for its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from nightshift.config import Policy, parse_toml
from nightshift.errors import ConfigError
from nightshift.events import alarm_targets, parse_alarms

from infra.watched import MOST
from sandbox.scenes import NIGHT, api_configuration
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World
from tests.infra.conftest import synthesize
from tests.infra.reading import Template, of_type
from tests.infra.test_watching import alarms, parts

MINUTE = timedelta(minutes=1)
QUIET = "low-requests"


def configuration(system: UsageMetrics, *, asked: bool = True) -> str:
    """Runbook 4's API, its aggregator and their dead letters, all of them with alarms or none."""
    more = "alarms = true\n" if asked else ""
    return f"""
{api_configuration(system)}{more}
[[systems.targets]]
arn = "{system.service_arn}"
queue = "{system.queue_arn}"
{more}
[[systems.targets]]
arn = "{system.dlq_arn}"
source = "{system.queue_arn}"
{more}
[remediations.sqs-dlq-backlog]
"""


@pytest.fixture(scope="module")
def text() -> str:
    """The configuration: a world of the same seed gives everything the same name."""
    with World(NIGHT, thin=True) as world:
        return configuration(UsageMetrics(world))


@pytest.fixture(scope="module")
def watched(text: str) -> Policy:
    """The configuration, validated."""
    return parse_toml(text, path="test.toml")


@pytest.fixture(scope="module")
def made(watched: Policy, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """What CloudFormation gets."""
    return synthesize(watched, tmp_path_factory.mktemp("watched"))


def theirs(template: Template) -> dict[str, dict[str, Any]]:
    """The alarms about targets: Nightshift's own have no names of ours."""
    named = {name: each for name, each in template["Resources"].items() if "AlarmName" in each.get("Properties", {})}
    return alarms({"Resources": named})


# -- what is made ----------------------------------------------------------------------------------------------------


def test_alarms_are_made_for_the_targets_that_ask(watched: Policy, made: Template, text: str, tmp_path: Path) -> None:
    """
    For each of them, and a dashboard for their system; where nobody asks there are none.

    Its name has the Region: an account's dashboards are global, and a deployment of the same name in another Region
    would take this one's page.
    """
    assert len(theirs(made)) == 8 + 3 + 1
    [page] = of_type(made, "AWS::CloudWatch::Dashboard").values()
    assert page["DashboardName"] == f"nightshift-demo-{watched.region}-ioanyt-delivery-prod"
    without = synthesize(parse_toml(text.replace("alarms = true", ""), path="test.toml"), tmp_path)
    assert theirs(without) == of_type(without, "AWS::CloudWatch::Dashboard") == {}


def test_they_cost_no_permission(made: Template, text: str, tmp_path: Path) -> None:
    """Whatever says who may do what is the same with and without them, and none of them has an action."""
    without = synthesize(parse_toml(text.replace("alarms = true", ""), path="test.toml"), tmp_path)
    kinds = ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::KMS::Key")
    for kind in kinds:
        assert of_type(made, kind) == of_type(without, kind)
    assert not any("AlarmActions" in each for each in theirs(made).values())


def test_a_load_balancer_with_two_targets_behind_it_is_shared(text: str, tmp_path: Path) -> None:
    """What it answers itself may be about either of them: no alarm of one counts it."""
    api = next(part for part in text.split("[[systems.targets]]") if "load_balancer" in part)
    other = api.replace("service/ioanyt-prod/delivery-standard", "service/ioanyt-prod/export").replace(
        "targetgroup/delivery-standard/", "targetgroup/export/"
    )
    template = synthesize(parse_toml(f"{text}\n[[systems.targets]]{other}", path="test.toml"), tmp_path)
    rates = [alarm for name, alarm in theirs(template).items() if name.endswith("/high-error-rate")]
    assert len(rates) == 2
    assert all("HTTPCode_ELB_5XX_Count" not in {name for _, name, *_ in parts(each).values()} for each in rates)


def test_a_load_balancer_that_cannot_be_is_an_explanation(text: str, tmp_path: Path) -> None:
    """What the configuration lets through and CloudWatch does not know is said, with the target's name."""
    wrong = text.replace("loadbalancer/app/ioanyt-prod-alb/", "loadbalancer/app/")
    with pytest.raises(ConfigError, match=r"delivery-standard: load_balancer_full_name: .*app/NAME/ID"):
        synthesize(parse_toml(wrong, path="test.toml"), tmp_path)


def test_more_alarms_than_a_stack_can_hold_are_refused(text: str, tmp_path: Path) -> None:
    """CloudFormation would refuse the stack as a whole, and with it Nightshift."""
    worker = next(
        part for part in text.split("[[systems.targets]]") if "usage-aggregator" in part and "dlq" not in part
    )
    more = "".join(f"[[systems.targets]]{worker.replace('usage-aggregator', f'worker-{n}')}" for n in range(MOST // 3))
    with pytest.raises(ConfigError, match=f"one stack makes {MOST}"):
        synthesize(parse_toml(text + more, path="test.toml"), tmp_path)


@pytest.mark.usefixtures("_validation")
def test_they_are_valid_to_the_cdk(watched: Policy, tmp_path: Path) -> None:
    """The CDK's own rules find nothing in them."""
    assert theirs(synthesize(watched, tmp_path))


# -- that they go off ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Night:
    """An hour before dawn in the account that the alarms were made for."""

    world: World
    system: UsageMetrics
    policy: Policy

    def minutes(self, count: int) -> None:
        """Let the world run for so many minutes."""
        self.world.run(count * MINUTE)

    @property
    def states(self) -> dict[str, str]:
        """The state of every alarm, without its cluster's name."""
        return {name.removeprefix("ioanyt-prod/"): self.world.alarms.state(name) for name in self.world.alarms.all}

    @property
    def raised(self) -> set[str]:
        """The alarms that ever went off."""
        changes = [event["detail"] for event in self.world.events.of("CloudWatch Alarm State Change")]
        return {each["alarmName"].removeprefix("ioanyt-prod/") for each in changes if each["state"]["value"] == "ALARM"}

    def woken(self, what: str) -> set[str]:
        """The targets that Nightshift looks at because an alarm went off."""
        events = self.world.events.of("CloudWatch Alarm State Change")
        heard = [
            parse_alarms(event, account=self.policy.account, region=self.policy.region)
            for event in events
            if event["detail"]["alarmName"].endswith(what)
        ]
        found = alarm_targets([alarm for each in heard for alarm in each.alarms], self.policy.targets)
        return {target.arn.name for target in found}


@contextmanager
def night(policy: Policy, definitions: Mapping[str, Mapping[str, Any]]) -> Iterator[Night]:
    """Runbook 4's system, at work for twenty minutes when it gets its alarms."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        system.requests(300)
        world.run(20 * MINUTE)
        for each in definitions.values():
            world.client("cloudwatch").put_metric_alarm(**each)  # CloudFormation's names are those of the API
        world.run(2 * MINUTE)
        yield Night(world, system, policy)


@pytest.fixture
def at_night(watched: Policy, made: Template) -> Iterator[Night]:
    """The night, with the alarms of the template."""
    with night(watched, theirs(made)) as found:
        yield found


@pytest.mark.scenario("2.13", "alarms")
def test_on_a_calm_day_none_goes_off(at_night: Night) -> None:
    """Requests vary, a task is replaced in good order, a release is shipped: every alarm has data, and is content."""
    at_night.minutes(60)
    at_night.system.api.deploy()
    at_night.system.offer(20)
    at_night.minutes(60)
    assert at_night.raised == set()
    assert set(at_night.states.values()) == {"OK"}
    assert len(at_night.states) == 12


def _no_task(system: UsageMetrics) -> None:
    """Every task ends, and none can be started."""
    system.break_pulls()
    for task in list(system.api.tasks):
        system.api.stop_task(task, "EssentialContainerExited", "OutOfMemory")


def _one_task_less(system: UsageMetrics) -> None:
    """One task ends, and none can be started."""
    system.break_pulls()
    system.api.stop_task(system.api.running[0], "EssentialContainerExited", "OutOfMemory")


def _one_bad_host(system: UsageMetrics) -> None:
    """One task fails its checks, and nobody replaces it."""
    system.ecs_stops_replacing()
    system.fail_checks(1)


def _no_good_host(system: UsageMetrics) -> None:
    """All fail their checks, and nobody replaces them."""
    system.ecs_stops_replacing()
    system.break_checks()


def _all_hang(system: UsageMetrics) -> None:
    """All stop answering, and nobody replaces them."""
    system.ecs_stops_replacing()
    system.hang_api()


CAUSES: Mapping[str, tuple[Callable[[UsageMetrics], object], set[str]]] = {
    "one request in ten fails": (lambda system: system.fail_requests(0.1), {"high-error-rate"}),
    "one request in fifty fails": (lambda system: system.fail_requests(0.02), set()),
    "there is no task": (_no_task, {"high-error-rate", "low-task-count", "no-healthy-host"}),
    "there is a task too few": (_one_task_less, {"low-task-count"}),
    "one host is bad": (_one_bad_host, {"unhealthy-hosts"}),
    "no host is good": (_no_good_host, {"unhealthy-hosts", "no-healthy-host"}),
    "nothing answers": (_all_hang, {"unhealthy-hosts", "no-healthy-host", "high-error-rate", "high-latency"}),
    "more load than it can carry": (lambda system: system.requests(1150), {"high-cpu", "high-latency"}),
    "a leak": (
        lambda system: system.leak_memory(120),
        {"high-memory", "high-latency"},
    ),  # what is nearly full collects garbage
    "nobody asks": (lambda system: system.requests(0), {"low-requests"}),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.scenario("2.15", "alarms")
@pytest.mark.scenario("4.2", "alarms")
@pytest.mark.scenario("4.3", "alarms")
@pytest.mark.scenario("4.4", "alarms")
@pytest.mark.scenario("4.5", "alarms")
def test_each_cause_raises_its_alarms_and_no_others(at_night: Night, cause: str) -> None:
    """Within half an hour; each makes Nightshift look at the API, and at nothing else."""
    bring, expected = CAUSES[cause]
    bring(at_night.system)
    at_night.minutes(35)
    assert at_night.raised == {f"delivery-standard/{what}" for what in expected}
    assert all(at_night.woken(f"/{what}") == {"delivery-standard"} for what in expected)


def test_a_letter_raises_the_alarm_of_its_queue(at_night: Night) -> None:
    """One is enough, and Nightshift looks at the queue."""
    at_night.world.client("sqs").send_message(QueueUrl=at_night.system.dlq_url, MessageBody="x")
    at_night.minutes(5)
    assert at_night.raised == {f"{at_night.system.shape.dead_letter_queue}/holds-letters"}
    assert at_night.woken("/holds-letters") == {at_night.system.shape.dead_letter_queue}


def test_what_is_over_is_over_in_its_alarm_too(at_night: Night) -> None:
    """It goes back by itself, and nobody has to."""
    at_night.system.fail_requests(0.3)
    at_night.minutes(15)
    assert at_night.states["delivery-standard/high-error-rate"] == "ALARM"
    at_night.system.fail_requests(0)
    at_night.minutes(15)
    assert at_night.states["delivery-standard/high-error-rate"] == "OK"


def test_a_bad_minute_is_not_an_alarm(at_night: Night) -> None:
    """A window or two of several: the next one may be well again."""
    at_night.system.fail_checks(1)  # ECS replaces it after two minutes
    at_night.system.fail_requests(0.12)
    at_night.minutes(1)
    at_night.system.fail_requests(0)
    at_night.minutes(20)
    assert at_night.raised == set()


THE_RUNBOOKS: Mapping[str, dict[str, Any]] = {
    "ECS-Service-TaskCount-Low": {
        "Namespace": "AWS/ECS",
        "MetricName": "RunningTaskCount",
        "Dimensions": [{"Name": "ServiceName", "Value": "delivery-standard"}],
        "Statistic": "Average",
        "Period": 300,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": 2,
    },
    "high CPU": {
        "Namespace": "AWS/ECS",
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "ServiceName", "Value": "delivery-standard"}],
        "Statistic": "Average",
        "Period": 60,
        "Threshold": 80,
        "ComparisonOperator": "GreaterThanThreshold",
        "EvaluationPeriods": 5,
    },
    "unhealthy hosts": {
        "Namespace": "AWS/ApplicationELB",
        "MetricName": "UnHealthyHostCount",
        "Dimensions": [{"Name": "LoadBalancer", "Value": "ioanyt-prod-alb"}],
        "Statistic": "Average",
        "Period": 60,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "EvaluationPeriods": 3,
    },
}


@pytest.mark.corrects("balancer-by-name")
@pytest.mark.corrects("ecs-without-cluster")
@pytest.mark.corrects("running-task-count")
@pytest.mark.scenario("2.15", "alarms")
def test_what_the_runbooks_measured_says_nothing_while_all_is_down(watched: Policy) -> None:
    """Namespace, dimensions or name are not those of any metric: the reason why the alarms here are others."""
    with night(watched, {name: {"AlarmName": name, **each} for name, each in THE_RUNBOOKS.items()}) as found:
        found.system.requests(2000)
        _one_task_less(found.system)
        _one_bad_host(found.system)
        found.minutes(35)
        assert set(found.states.values()) == {"INSUFFICIENT_DATA"}
