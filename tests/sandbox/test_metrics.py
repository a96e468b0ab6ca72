"""Metrics say what happened, a minute late, as CloudWatch does."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.fakes.metric_data import ExpressionsAreNotAnswered
from sandbox.metrics import Sample, Series
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.usage_metrics import UsageMetrics

MINUTE = timedelta(minutes=1)


def query(
    name: str, dims: dict[str, str], stat: str = "Maximum", namespace: str = "AWS/SQS", period: int = 60
) -> dict[str, Any]:
    """One MetricStat query."""
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": k, "Value": v} for k, v in dims.items()],
    }
    return {"Id": "m", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def ask(world: World, *queries: dict[str, Any], minutes: int = 10, **more: Any) -> list[dict[str, Any]]:
    """Ask GetMetricData about the last minutes, oldest first."""
    more = {"ScanBy": "TimestampAscending"} | more
    answer = world.client("cloudwatch").get_metric_data(
        StartTime=world.now - minutes * MINUTE, EndTime=world.now, MetricDataQueries=list(queries), **more
    )
    results: list[dict[str, Any]] = answer["MetricDataResults"]
    return results


def test_a_minute_is_visible_one_minute_after_it_is_over(world: World, dms: DocumentManagement) -> None:
    """What happened in 03:00 can be read from 03:02 on."""
    dms.stop_service()
    dms.send(7)
    visible = query("ApproximateNumberOfMessagesVisible", {"QueueName": "dms-processing-prod"})
    world.run(MINUTE)
    assert ask(world, visible)[0]["Timestamps"] == []
    world.run(59 * timedelta(seconds=1))
    assert ask(world, visible)[0]["Values"] == []
    world.run(timedelta(seconds=1))
    result = ask(world, visible)[0]
    assert (result["Values"], result["Timestamps"], result["StatusCode"]) == (
        [7.0],
        [world.now - 2 * MINUTE],
        "Complete",
    )


def test_queue_metrics_agree_with_the_truth(world: World, dms: DocumentManagement) -> None:
    """What was sent and deleted, by the metrics, is what was sent and processed."""
    dms.offer(per_minute=12)
    world.run(10 * MINUTE)
    dms.offer(per_minute=0)
    world.run(5 * MINUTE)
    dims = {"QueueName": "dms-processing-prod"}
    sums = [
        sum(ask(world, query(name, dims, "Sum"), minutes=20)[0]["Values"])
        for name in ("NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted")
    ]
    assert sums == [dms.producer.sent, dms.producer.sent, len(world.processed)]


def test_a_dead_letter_is_not_a_message_that_was_sent(world: World, dms: DocumentManagement) -> None:
    """NumberOfMessagesSent of a dead-letter queue stays 0; its age counts from the death."""
    dms.send_poison(2)
    world.run(20 * MINUTE)
    dims = {"QueueName": "dms-processing-dlq-prod"}
    sent = ask(world, query("NumberOfMessagesSent", dims, "Sum"), minutes=20)[0]["Values"]
    age = ask(world, query("ApproximateAgeOfOldestMessage", dims), minutes=20)[0]["Values"]
    assert (sum(sent), max(age) < 18 * 60, max(age) > 10 * 60) == (0, True, True)


def test_a_queue_where_nothing_happens_stops_reporting(world: World) -> None:
    """Six hours after the last activity an empty queue falls silent; a call to it wakes it."""
    url = world.client("sqs").create_queue(QueueName="quiet")["QueueUrl"]
    visible = query("ApproximateNumberOfMessagesVisible", {"QueueName": "quiet"})
    world.run(timedelta(hours=5))
    assert ask(world, visible)[0]["Values"] == [0.0] * 8 + [0.0]
    world.run(timedelta(hours=2))
    assert ask(world, visible)[0]["Values"] == []
    world.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    world.run(5 * MINUTE)
    assert ask(world, visible, minutes=3)[0]["Values"] == [0.0, 0.0]


def test_statistics(world: World) -> None:
    """Everything that a period holds, by every statistic, percentiles included."""
    data = [{"MetricName": "latency", "Values": [float(value) for value in range(1, 101)]}]
    world.client("cloudwatch").put_metric_data(Namespace="App", MetricData=data)
    world.run(3 * MINUTE)
    got = {
        stat: ask(world, query("latency", {}, stat, "App", 300))[0]["Values"]
        for stat in ("SampleCount", "Sum", "Average", "Minimum", "Maximum", "p50", "p99")
    }
    assert got == {
        "SampleCount": [100.0],
        "Sum": [5050.0],
        "Average": [50.5],
        "Minimum": [1.0],
        "Maximum": [100.0],
        "p50": [50.0],
        "p99": [99.0],
    }


def test_data_may_come_late_and_in_pieces(world: World) -> None:
    """PutMetricData adds to minutes that are long over."""
    cloudwatch, then = world.client("cloudwatch"), world.now
    world.run(10 * MINUTE)
    for value in (1.0, 3.0):
        data = [{"MetricName": "n", "Dimensions": [{"Name": "A", "Value": "b"}], "Timestamp": then, "Value": value}]
        cloudwatch.put_metric_data(Namespace="App", MetricData=data)
    cloudwatch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "n", "Value": 9.0}])
    assert ask(world, query("n", {"A": "b"}, "Average", "App"), minutes=12)[0]["Values"] == [2.0]


def test_newest_first_unless_asked(world: World, dms: DocumentManagement) -> None:
    """The default order is descending, and labels and ids come back."""
    world.run(6 * MINUTE)
    asked = query("ApproximateNumberOfMessagesVisible", {"QueueName": "dms-processing-prod"}) | {"Label": "depth"}
    result = ask(world, asked, ScanBy="TimestampDescending")[0]
    assert result["Timestamps"] == sorted(result["Timestamps"], reverse=True)
    assert (result["Id"], result["Label"]) == ("m", "depth")


def test_pages(world: World, dms: DocumentManagement) -> None:
    """A page holds as many datapoints as it may; all pages together hold all of them."""
    world.run(20 * MINUTE)
    names = ("ApproximateNumberOfMessagesVisible", "NumberOfMessagesSent", "ApproximateAgeOfOldestMessage")
    queries = [
        query(name, {"QueueName": "dms-processing-prod"}) | {"Id": f"m{number}"} for number, name in enumerate(names)
    ]
    window = {"StartTime": world.now - 15 * MINUTE, "EndTime": world.now, "MetricDataQueries": queries}
    pages = list(world.client("cloudwatch").get_paginator("get_metric_data").paginate(**window, MaxDatapoints=10))
    counts: dict[str, int] = {}
    for page in pages:
        assert sum(len(result["Values"]) for result in page["MetricDataResults"]) <= 10
        for result in page["MetricDataResults"]:
            counts[result["Id"]] = counts.get(result["Id"], 0) + len(result["Values"])
    assert (len(pages) > 3, counts) == (True, {"m0": 14, "m1": 14, "m2": 14})


@pytest.mark.parametrize(
    "queries, says",
    [
        ([query("x", {}) | {"Id": f"m{number}"} for number in range(501)], "must not have a size greater than 500"),
        ([query("x", {}), query("y", {})], "not unique"),
        ([query("x", {}) | {"Id": "Upper"}], "lowercase letter"),
        ([query("x", {}, period=90)], "Period 90"),
        ([query("x", {}, stat="Mean")], "Stat"),
    ],
)
def test_what_cloudwatch_refuses_is_refused(world: World, queries: list[dict[str, Any]], says: str) -> None:
    """At most 500 queries, unique ids, known periods and statistics."""
    with pytest.raises(ClientError, match=says):
        ask(world, *queries)


def test_metric_math_is_refused_loudly(world: World) -> None:
    """No answer is better than an empty one that somebody believes."""
    with pytest.raises(ExpressionsAreNotAnswered):
        ask(world, {"Id": "e", "Expression": "FILL(m, 0)"})


def test_ten_thousand_queues_are_read_in_twenty_calls(world: World) -> None:
    """Five hundred series a call, a quarter of an hour each."""
    for number in range(10_000):
        world.queues.put(world.queues.backend.create_queue(f"q{number}"), "x")
    world.run(17 * MINUTE)
    started, points = time.process_time(), 0
    for first in range(0, 10_000, 500):
        queries = [
            query("ApproximateNumberOfMessagesVisible", {"QueueName": f"q{number}"}) | {"Id": f"q{number}"}
            for number in range(first, first + 500)
        ]
        points += sum(len(result["Values"]) for result in ask(world, *queries, minutes=15))
    assert points == 140_000
    assert time.process_time() - started < 10


def test_services_report_their_load(world: World, dms: DocumentManagement) -> None:
    """CPU follows the work; a hanging task does none; the task counts are Container Insights'."""
    dms.offer(per_minute=40)
    world.run(10 * MINUTE)
    dims = {"ClusterName": "dms-prod", "ServiceName": "dms-processor"}
    busy = ask(world, query("CPUUtilization", dims, "Average", "AWS/ECS"))[0]["Values"][-1]
    running = ask(world, query("RunningTaskCount", dims, "Average", "ECS/ContainerInsights"))[0]["Values"][-1]
    dms.wedge_consumer()
    world.run(5 * MINUTE)
    hanging = ask(world, query("CPUUtilization", dims, "Average", "AWS/ECS"))[0]["Values"][-1]
    assert (busy > 40, running, hanging < 5) == (True, 2.0, True)


def test_a_load_balancer_reports_what_its_targets_do(world: World) -> None:
    """Requests, errors only when there are any, latency that grows with load, and who is healthy."""
    usage = UsageMetrics(world)
    usage.requests(600)
    dims = dict(usage.target_group.dims)

    def last(name: str, stat: str = "Sum") -> list[float]:
        values: list[float] = ask(world, query(name, dims, stat, "AWS/ApplicationELB"), minutes=3)[0]["Values"]
        return values[-1:]

    world.run(5 * MINUTE)
    calm = last("TargetResponseTime", "p95")[0]
    assert (last("HealthyHostCount", "Minimum"), last("UnHealthyHostCount", "Maximum")) == ([2.0], [0.0])
    assert last("HTTPCode_Target_5XX_Count") == []
    usage.fail_requests(0.2)
    usage.requests(1150)
    world.run(5 * MINUTE)
    assert 0.15 < last("HTTPCode_Target_5XX_Count")[0] / last("RequestCount")[0] < 0.25
    assert last("TargetResponseTime", "p95")[0] > 2 * calm


def test_an_unhealthy_target_is_replaced_unless_nobody_does(world: World) -> None:
    """ECS replaces what fails its health check; with that broken, the target stays unhealthy until a restart."""
    usage = UsageMetrics(world)
    elb, arn = world.client("elbv2"), usage.target_group.arn

    def states() -> list[str]:
        targets = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return sorted(target["TargetHealth"]["State"] for target in targets)

    usage.hang_api(1)
    assert states() == ["healthy", "unhealthy"]
    world.run(6 * MINUTE)
    assert states() == ["healthy", "healthy"]
    usage.ecs_stops_replacing()
    usage.hang_api()
    world.run(20 * MINUTE)
    assert states() == ["unhealthy", "unhealthy"]
    world.client("ecs").update_service(cluster="ioanyt-prod", service="delivery-standard", forceNewDeployment=True)
    world.run(10 * MINUTE)
    assert states() == ["healthy", "healthy"]


def test_a_task_may_fail_its_health_checks_and_nothing_else(world: World) -> None:
    """It runs and answers requests; its successor is well, unless what the checks need is gone: then none is."""
    usage = UsageMetrics(world)
    usage.requests(300)
    usage.ecs_stops_replacing()
    elb, arn = world.client("elbv2"), usage.target_group.arn

    def reasons() -> list[str | None]:
        targets = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        return [target["TargetHealth"].get("Reason") for target in targets]

    usage.fail_checks(1)
    assert reasons() == ["Target.FailedHealthChecks", None]
    usage.api.stop_task(usage.api.running[0], "UserInitiated", "bad")
    usage.api.reconcile()
    world.run(5 * MINUTE)
    assert reasons() == [None, None]
    usage.break_checks()
    world.run(5 * MINUTE)
    assert reasons() == ["Target.ResponseCodeMismatch"] * 2
    metric = query("HTTPCode_Target_2XX_Count", dict(usage.target_group.dims), "Sum", "AWS/ApplicationELB")
    assert ask(world, metric, minutes=3)[0]["Values"][-1] > 200  # it fails open


def test_a_deployment_waits_until_the_load_balancer_calls_its_tasks_healthy(world: World) -> None:
    """Until then the old tasks stay."""
    usage = UsageMetrics(world)
    usage.ecs_stops_replacing()
    old = set(usage.api.running)
    usage.break_checks()
    usage.api.deploy()
    world.run(15 * MINUTE)
    assert (usage.api.completed, old <= set(usage.api.running)) == (False, True)
    usage.mend_checks()
    world.run(5 * MINUTE)
    assert (usage.api.completed, old.isdisjoint(usage.api.running)) == (True, True)


def test_tasks_that_cannot_be_started_say_why_and_are_tried_again(world: World) -> None:
    """Those that run go on."""
    usage = UsageMetrics(world)
    usage.break_pulls()
    usage.api.scale(3)
    world.run(5 * MINUTE)
    ended = [task for task in usage.api.tasks if task.status == "STOPPED"]
    assert len(ended) > 1
    assert {task.stop_code for task in ended} == {"TaskFailedToStart"}
    assert "CannotPull" in str(ended[0].stopped_reason)
    assert len(usage.api.running) == 2


def test_a_leak_fills_the_memory_and_a_restart_empties_it(world: World) -> None:
    """Memory rises with a task's age; at the end the kernel kills the task."""
    usage = UsageMetrics(world)
    world.client("ecs").update_service(cluster="ioanyt-prod", service="delivery-standard", forceNewDeployment=True)
    usage.leak_memory(percent_per_hour=20)
    world.run(timedelta(hours=2))
    dims = {"ClusterName": "ioanyt-prod", "ServiceName": "delivery-standard"}
    assert ask(world, query("MemoryUtilization", dims, "Average", "AWS/ECS"))[0]["Values"][-1] > 70
    world.run(timedelta(hours=2))
    stopped = world.client("ecs").list_tasks(
        cluster="ioanyt-prod", serviceName="delivery-standard", desiredStatus="STOPPED"
    )
    tasks = world.client("ecs").describe_tasks(cluster="ioanyt-prod", tasks=stopped["taskArns"])["tasks"]
    assert {task["containers"][0]["exitCode"] for task in tasks} == {137}
    assert all("OutOfMemory" in task["containers"][0]["reason"] for task in tasks)


def test_a_series_is_runs_of_equal_minutes() -> None:
    """However it was written: puts, holds and late additions give the same minutes."""
    series = Series()
    series.put(0, 1.0)
    series.put(1, 1.0)
    series.put(2, 5.0, until=100)
    series.put(50, 7.0)
    series.merge(10, Sample.of([15.0]))
    found = {first: bucket.statistic("Average") for first, bucket in series.buckets(0, 200, 1).items()}
    assert (found[0], found[1], found[2], found[10], found[49], found[50], max(found)) == (
        1.0,
        1.0,
        5.0,
        10.0,
        5.0,
        7.0,
        50,
    )
    assert series.buckets(0, 10, 5)[0].statistic("Sum") == 1 + 1 + 5 * 3


def test_statistics_of_the_older_call(world: World, dms: DocumentManagement) -> None:
    """GetMetricStatistics and ListMetrics read the same store."""
    dms.stop_service()
    dms.send(4)
    world.run(5 * MINUTE)
    dims = [{"Name": "QueueName", "Value": "dms-processing-prod"}]
    points = world.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=dims,
        StartTime=world.now - timedelta(hours=1),
        EndTime=world.now,
        Period=60,
        Statistics=["Maximum", "Average"],
    )["Datapoints"]
    assert {(point["Maximum"], point["Average"]) for point in points} == {(4.0, 4.0)}
    assert isinstance(points[0]["Timestamp"], datetime)
    listed = world.client("cloudwatch").list_metrics(Namespace="AWS/SQS", Dimensions=dims)["Metrics"]
    assert "NumberOfMessagesSent" in {metric["MetricName"] for metric in listed}
