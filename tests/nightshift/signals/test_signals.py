"""gather answers every query, never raises for what AWS does, and needs no permission that it does not declare."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nightshift.model import Query, ResourceRead
from nightshift.remediation import Readings, Series, Unread
from nightshift.signals import (
    ACTIONS,
    KINDS,
    Answered,
    actions,
    answered,
    commonest,
    gather,
    queue_metric,
    service_metric,
)

from tests.nightshift.signals.cloud import NOW, REGION, Cloud, queue
from tests.nightshift.signals.test_services import service

ABOUT = {
    "sqs": str(queue("a")),
    "ecs": str(service("api")),
    "s3": "arn:aws:s3:::a-bucket/customers/",
    "cloudwatch": f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:a",
    "lambda": f"arn:aws:lambda:{REGION}:123456789012:function:a",
    "lambda.alias": f"arn:aws:lambda:{REGION}:123456789012:function:a:live",
    "events": f"arn:aws:events:{REGION}:123456789012:rule/a",
    "states": f"arn:aws:states:{REGION}:123456789012:stateMachine:a",
    "dynamodb": f"arn:aws:dynamodb:{REGION}:123456789012:table/abc",
    "secretsmanager": f"arn:aws:secretsmanager:{REGION}:123456789012:secret:a-a1B2c3",
    "cloudformation": f"arn:aws:cloudformation:{REGION}:123456789012:stack/a/1",
    "acm": f"arn:aws:acm:{REGION}:123456789012:certificate/a",
    "rds": f"arn:aws:rds:{REGION}:123456789012:cluster:a",
    "es": f"arn:aws:es:{REGION}:123456789012:domain/abc",
    "dynamodb.locks": f"arn:aws:dynamodb:{REGION}:123456789012:table/locks,states/a.tfstate",
    "s3.hours": "arn:aws:s3:::a-bucket/raw/%Y/%m/%d/%H/",
    "s3.pipeline": "arn:aws:s3:::a-bucket/raw/*.json>b-bucket/made/*.parquet#86400d",
}
"""by the kind, or by the service"""
NAMES = {
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
}
"""what IAM calls operations that it calls otherwise"""
OPERATIONS = ("GetMetricData", "ListQueues", "GetQueueAttributes", "DescribeServices")


def one_of_each() -> list[Query]:
    """A query of every kind, about things that are not there."""
    return [
        queue_metric(queue("a"), "NumberOfMessagesDeleted", "Sum"),
        service_metric(service("api"), "CPUUtilization", "Average"),
        *(ResourceRead(kind, ABOUT.get(kind) or ABOUT[kind.partition(".")[0]]) for kind in KINDS),
    ]


@pytest.mark.parametrize(
    "kind, key, says",
    [
        ("sqs.colour", str(queue("a")), "nobody reads 'sqs.colour'"),
        ("sqs.queue", "orders-dlq", "not an ARN"),
        ("sqs.queue", str(service("api")), "sqs.queue reads sqs:queue"),
        ("sqs.exists", str(queue("a", region="us-east-1")), f"in us-east-1, and this reads {REGION}"),
    ],
)
def test_what_cannot_be_asked_is_unknown(cloud: Cloud, kind: str, key: str, says: str) -> None:
    """A query that makes no sense here costs no call and is never "does not exist"."""
    answer = gather(cloud.aws(), [ResourceRead(kind, key)], now=NOW).resource(ResourceRead(kind, key))
    assert isinstance(answer, Unread)
    assert says in answer.reason
    assert not cloud.calls


def test_nothing_asked_is_nothing_read(cloud: Cloud) -> None:
    """No query, no call, no answer."""
    assert gather(cloud.aws(), [], now=NOW) == Readings(NOW)
    assert not cloud.calls


def test_the_declared_actions_are_the_ones_used(cloud: Cloud) -> None:
    """Reading one of each kind makes exactly the calls that the kinds declare."""
    cloud.queues(["a"])
    cloud.services("prod", ["api"])
    cloud.bucket("a-bucket", "customers/hts/CHG-1.json")
    cloud.answers["GetFunctionConfiguration"] = cloud.answers["GetFunctionConcurrency"] = lambda _: {}
    cloud.answers["GetAlias"] = lambda _: {"FunctionVersion": "1", "RevisionId": "r"}
    cloud.answers["GetPolicy"] = lambda _: {"Policy": "{}"}
    cloud.answers["DescribeRule"] = lambda _: {"Name": "a"}
    cloud.answers["DescribeStateMachine"] = lambda _: {"type": "STANDARD"}
    cloud.answers["DescribeTable"] = lambda _: {"Table": {"TableName": "a"}}
    cloud.answers["DescribeScalableTargets"] = lambda _: {"ScalableTargets": []}
    cloud.answers["ListExecutions"] = lambda _: {"executions": []}
    cloud.answers["DescribeSecret"] = lambda _: {}
    cloud.answers["ListSecretVersionIds"] = lambda _: {"Versions": []}
    cloud.answers["DescribeStacks"] = lambda _: {"Stacks": [{"StackName": "a", "StackStatus": "CREATE_COMPLETE"}]}
    cloud.answers["DescribeCertificate"] = lambda _: {"Certificate": {"Status": "ISSUED"}}
    cloud.answers["GetItem"] = lambda _: {}
    cloud.answers["DescribeContinuousBackups"] = lambda _: {"ContinuousBackupsDescription": {}}
    cloud.answers["ListBackups"] = lambda _: {"BackupSummaries": []}
    cloud.answers["DescribeTimeToLive"] = lambda _: {"TimeToLiveDescription": {}}
    cloud.answers["GetResourcePolicy"] = lambda _: {"Policy": "{}"}
    cloud.answers["DescribeDBClusters"] = lambda _: {"DBClusters": [{}]}
    cloud.answers["DescribeDBClusterSnapshots"] = lambda _: {"DBClusterSnapshots": []}
    cloud.answers["DescribeDomain"] = lambda _: {"DomainStatus": {}}
    used = set()
    for query in one_of_each():
        cloud.calls.clear()
        assert not isinstance(gather(cloud.aws(), [query], now=NOW).answers[query], Unread)
        declared = actions([query])
        assert {action.partition(":")[2] for action in declared} == {NAMES.get(name, name) for name in cloud.count}
        used |= set(declared)
    assert used == {action for needed in ACTIONS.values() for action in needed}
    assert actions(one_of_each()) == tuple(sorted(used))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    failing=st.dictionaries(
        st.sampled_from(OPERATIONS),
        st.sampled_from(["AccessDenied", "ThrottlingException", "InternalFailure", "Strange"]),
    ),
    threads=st.booleans(),
)
def test_whatever_fails_only_its_own_queries_are_unknown(cloud: Cloud, failing: dict[str, str], threads: bool) -> None:
    """Any operations may fail in any way: each query has an answer, and it is unknown just where its call failed."""
    cloud.faults.clear()
    cloud.answers["DescribeTimeToLive"] = lambda _: {"TimeToLiveDescription": {}}  # moto's code for no table is no code
    for operation, code in failing.items():
        cloud.fail(operation, code)
    readings = gather(cloud.aws(threads=threads), one_of_each(), now=NOW)
    assert list(readings.answers) == one_of_each()
    for query, answer in readings.answers.items():
        needed = [action for action in actions([query]) if action.partition(":")[2] in failing]
        if needed:
            assert isinstance(answer, Unread)
            assert needed[0] in answer.reason
        elif not (isinstance(query, ResourceRead) and query.kind == "sqs.exists"):  # an empty account proves nothing
            assert not isinstance(answer, Unread)


def test_threads_and_order_make_no_difference(cloud: Cloud) -> None:
    """Many at a time or one after the other, asked in any order: the same answers."""
    arns = cloud.queues([f"q{number:02}" for number in range(20)])
    queries: list[Query] = [ResourceRead(kind, str(arn)) for arn in arns for kind in ("sqs.exists", "sqs.queue")]
    queries += [queue_metric(arn, "NumberOfMessagesSent", "Sum", minutes) for arn in arns for minutes in (5, 15)]
    one = gather(cloud.aws(), queries, now=NOW)
    many = gather(cloud.aws(threads=True), queries[::-1], now=NOW)
    assert one == many


def test_how_a_service_answered_is_counted_by_service() -> None:
    """Evidence for the brake: how much of what a service should have said is unknown. None and empty are answers."""
    metric = queue_metric(queue("a"), "NumberOfMessagesSent", "Sum")
    readings = Readings(
        NOW,
        {
            metric: Series(),
            queue_metric(queue("b"), "NumberOfMessagesSent", "Sum"): Unread("throttled"),
            ResourceRead("sqs.queue", "a"): None,
            ResourceRead("ecs.service", "a"): Unread("denied"),
            ResourceRead("s3.triggers", "bucket/customers/"): Unread("denied"),
            ResourceRead("s3.notifications", "bucket"): Unread("denied"),
        },
    )
    found = {each.service: each for each in answered(readings)}
    assert found["cloudwatch"] == Answered("cloudwatch", 2, 2, 1, "throttled")
    assert found["ecs"] == Answered("ecs", 1, 1, 1, "denied")
    assert found["s3"] == Answered("s3", 1, 2, 2, "denied")  # one bucket, of which two things were asked
    assert [each.service for each in found.values() if each.silent] == ["ecs", "s3"]
    assert answered(Readings(NOW)) == ()


def test_the_commonest_reason_is_the_same_error_of_different_things() -> None:
    """One of them stands for all."""
    reasons = ["timed out", "sqs:ListQueues on a: Denied", "sqs:ListQueues on b: Denied"]
    assert commonest(reasons) == "sqs:ListQueues on a: Denied"
    assert commonest([]) == ""
