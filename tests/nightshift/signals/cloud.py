"""An AWS account in this process for the readers' tests: moto, an answer to GetMetricData, faults, and a count."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from nightshift.aws import Aws, Serial, Threads
from nightshift.model import Arn, MetricQuery

REGION = "eu-west-1"
ACCOUNT = "123456789012"
NOW = datetime(2026, 11, 20, 3, 7, 42, tzinfo=UTC)

Params = dict[str, Any]
Dimensions = tuple[tuple[str, str], ...]
Fault = Callable[[Params], str | None]
Page = Callable[[Params], dict[str, Any]]

STATUS = {"InternalFailure": 500, "ServiceUnavailable": 503}


class Cloud:
    """
    Every call passes here before moto sees it, and is counted on botocore's own events.

    ``faults[operation]`` names the error code that a call gets by its parameters; ``answers[operation]`` replaces moto.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Params]] = []
        self.faults: dict[str, Fault] = {}
        self.answers: dict[str, Page] = {"GetMetricData": self.metric_data}
        self.points: dict[tuple[str, str, Dimensions, str], list[tuple[datetime, float]]] = defaultdict(list)
        self._lock = threading.Lock()
        self.session = boto3.Session("testing", "testing", "testing", region_name=REGION)
        self.session.events.register("provide-client-params", self._remember)
        self.session.events.register("before-call", self._answer)
        self._ways = {
            threads: Aws(REGION, session=self.session, run=Threads() if threads else Serial())
            for threads in (False, True)
        }

    def aws(self, *, threads: bool = False) -> Aws:
        """The way to this account, with its clients: making those takes longer than all that is asked of them."""
        return self._ways[threads]

    @property
    def count(self) -> Counter[str]:
        """Calls by operation."""
        return Counter(operation for operation, _ in self.calls)

    def asked(self, operation: str) -> list[Params]:
        """The parameters of every call of an operation."""
        return [params for name, params in self.calls if name == operation]

    def fail(self, operation: str, code: str, when: Callable[[Params], object] = lambda _: True) -> None:
        """Let calls fail, all or those of some parameters."""
        self.faults[operation] = lambda params: code if when(params) else None

    def report(self, query: MetricQuery, *values: float, end: datetime = NOW) -> None:
        """Let a metric have these values in the periods up to the one that ``end`` lies in."""
        last = int(end.timestamp()) // query.period * query.period
        self.points[query.namespace, query.metric, query.dimensions, query.stat] += [
            (datetime.fromtimestamp(last - back * query.period, UTC), value)
            for back, value in zip(range(len(values) - 1, -1, -1), values, strict=True)
        ]

    def queues(self, names: Iterable[str]) -> list[Arn]:
        """Make queues."""
        sqs = self.session.client("sqs")
        made = [sqs.create_queue(QueueName=name)["QueueUrl"].rsplit("/", 1)[-1] for name in names]
        self.calls.clear()
        return [Arn("aws", "sqs", REGION, ACCOUNT, name) for name in made]

    def services(self, cluster: str, names: Iterable[str]) -> list[Arn]:
        """Make ECS services."""
        ecs = self.session.client("ecs")
        ecs.create_cluster(clusterName=cluster)
        ecs.register_task_definition(
            family="task", containerDefinitions=[{"name": "main", "image": "image", "memory": 1}]
        )
        made = [
            ecs.create_service(
                cluster=cluster, serviceName=name, taskDefinition="task", tags=[{"key": "system", "value": "test"}]
            )
            for name in names
        ]
        self.calls.clear()
        return [Arn.parse(one["service"]["serviceArn"]) for one in made]

    def bucket(self, name: str, *keys: str) -> None:
        """Make a bucket with empty objects in it."""
        s3 = self.session.client("s3")
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        for key in keys:
            s3.put_object(Bucket=name, Key=key)
        self.calls.clear()

    def metric_data(self, params: Params) -> dict[str, Any]:
        """What GetMetricData would say: one page, everything complete."""
        start, end = params["StartTime"], params["EndTime"]
        results = []
        for asked in params["MetricDataQueries"]:
            stat = asked["MetricStat"]
            metric = stat["Metric"]
            dimensions = tuple((each["Name"], each["Value"]) for each in metric["Dimensions"])
            points = self.points[metric["Namespace"], metric["MetricName"], dimensions, stat["Stat"]]
            inside = [(at, value) for at, value in points if start <= at < end]
            results.append(result(asked["Id"], inside))
        return {"MetricDataResults": results, "Messages": []}

    def _remember(self, params: Params, model: Any, context: Params, **_: Any) -> None:
        context["cloud"] = params
        with self._lock:
            self.calls.append((model.name, dict(params)))

    def _answer(self, model: Any, context: Params, **_: Any) -> tuple[AWSResponse, dict[str, Any]] | None:
        params = context["cloud"]
        fault = self.faults.get(model.name)
        if fault and (code := fault(params)):
            said = {"Code": code, "Message": f"{code} of the test"}
            return _answered(STATUS.get(code, 400), {"Error": said})
        answer = self.answers.get(model.name)
        return _answered(200, answer(params)) if answer else None


def result(
    name: str, points: Iterable[tuple[datetime, float]] = (), status: str = "Complete", **more: Any
) -> dict[str, Any]:
    """One of GetMetricData's results, newest first as AWS gives them by default."""
    newest_first = sorted(points, reverse=True)
    return {
        "Id": name,
        "Label": name,
        "Timestamps": [at for at, _ in newest_first],
        "Values": [value for _, value in newest_first],
        "StatusCode": status,
        **more,
    }


def minutes_ago(minutes: int) -> datetime:
    """The start of the minute that many minutes before the one that is NOW."""
    return NOW.replace(second=0) - timedelta(minutes=minutes)


def queue(name: str, account: str = ACCOUNT, region: str = REGION) -> Arn:
    """The ARN of a queue, made or not."""
    return Arn("aws", "sqs", region, account, name)


def _answered(status: int, body: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
    body["ResponseMetadata"] = {"HTTPStatusCode": status, "RequestId": "test", "HTTPHeaders": {}}
    return AWSResponse("https://test", status, {}, None), body
