"""Names are made from ARNs, without asking AWS."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
from pathlib import Path

import botocore
import pytest
from nightshift.model import Arn, MetricQuery
from nightshift.signals import (
    alarm_name,
    api_metric,
    balancer_metric,
    function_metric,
    group_metric,
    names,
    pool_metric,
    queue_arn,
    queue_metric,
    queue_url,
    service_metric,
    split_service_arn,
    table_metric,
)

from tests.nightshift.signals.cloud import ACCOUNT, REGION, Cloud, queue


def test_the_examples_in_the_docstrings_are_true() -> None:
    """What the module's docstring shows is what it does."""
    assert doctest.testmod(names).failed == 0


@pytest.mark.parametrize(
    "region, partition, url",
    [
        ("eu-central-1", "aws", "https://sqs.eu-central-1.amazonaws.com/123456789012/q"),
        ("cn-north-1", "aws-cn", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q"),
        ("us-gov-west-1", "aws-us-gov", "https://sqs.us-gov-west-1.amazonaws.com/123456789012/q"),
        ("eusc-de-east-1", "aws-eusc", "https://sqs.eusc-de-east-1.amazonaws.eu/123456789012/q"),
    ],
)
def test_a_url_and_an_arn_name_the_same_queue(region: str, partition: str, url: str) -> None:
    """In every partition a queue's URL follows from its ARN, and its ARN from its URL."""
    arn = Arn(partition, "sqs", region, ACCOUNT, "q")
    assert queue_url(arn) == url
    assert queue_arn(url) == arn


def test_the_partitions_are_those_of_the_sdk() -> None:
    """Our list of DNS suffixes is the SDK's own, less the isolated partitions."""
    data = json.loads((Path(botocore.__file__).parent / "data/partitions.json").read_text())
    theirs = {each["id"]: each["outputs"]["dnsSuffix"] for each in data["partitions"] if "-iso" not in each["id"]}
    assert theirs == names._DOMAINS


def test_the_url_is_the_one_that_aws_gives(cloud: Cloud) -> None:
    """The URL that we make is the one that CreateQueue answers with."""
    url = cloud.session.client("sqs").create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})[
        "QueueUrl"
    ]
    assert queue_url(queue("orders.fifo")) == url


@pytest.mark.parametrize(
    "text",
    ["arn:aws:sns:eu-west-1:123456789012:topic", "arn:aws-iso:sqs:us-iso-east-1:123456789012:q"],
)
def test_no_url_is_guessed(text: str) -> None:
    """Another thing, or a partition that we do not know, has no queue URL."""
    with pytest.raises(ValueError, match="arn:aws"):
        queue_url(Arn.parse(text))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.com/123456789012/q",
        "https://sqs.eu-west-1.amazonaws.com.example.org/123456789012/q",
        "http://sqs.eu-west-1.amazonaws.com/123456789012/q",
        "https://sqs.eu-west-1.amazonaws.com/123456789012/q/more",
        "https://sqs.eu-west-1.amazonaws.com/1234/q",
    ],
)
def test_no_arn_is_guessed(url: str) -> None:
    """What is not exactly a queue URL names no queue."""
    with pytest.raises(ValueError, match="not a queue URL"):
        queue_arn(url)


def test_metrics_of_queues_and_services() -> None:
    """The dimensions are AWS's own."""
    service = Arn("aws", "ecs", REGION, ACCOUNT, "service/prod/api")
    assert queue_metric(queue("q"), "NumberOfMessagesDeleted", "Sum", 5) == MetricQuery(
        "AWS/SQS", "NumberOfMessagesDeleted", (("QueueName", "q"),), "Sum", 60, 5
    )
    assert service_metric(service, "CPUUtilization", "Average", period=300) == MetricQuery(
        "AWS/ECS", "CPUUtilization", (("ClusterName", "prod"), ("ServiceName", "api")), "Average", 300, 15
    )
    with pytest.raises(ValueError, match="not a queue"):
        queue_metric(service, "NumberOfMessagesDeleted", "Sum")


def test_metrics_of_apis_pools_and_tables() -> None:
    """The dimensions are AWS's own; a table's requests are counted by kind, those to its indexes among them."""
    api, pool, table = (
        Arn("aws", service, REGION, ACCOUNT, resource)
        for service, resource in (("appsync", "apis/a1"), ("cognito-idp", "userpool/p_1"), ("dynamodb", "table/hot"))
    )
    assert api_metric(api, "Latency", "Average") == MetricQuery(
        "AWS/AppSync", "Latency", (("GraphQLAPIId", "a1"),), "Average", 300, 15
    )
    assert pool_metric(pool, "web", "SignInSuccesses", "Average", 30) == MetricQuery(
        "AWS/Cognito", "SignInSuccesses", (("UserPool", "p_1"), ("UserPoolClient", "web")), "Average", 300, 30
    )
    assert table_metric(table, "ReadThrottleEvents", "Sum", 10).dimensions == (("TableName", "hot"),)
    assert table_metric(table, "ThrottledRequests", "Sum", operation="Query") == MetricQuery(
        "AWS/DynamoDB", "ThrottledRequests", (("Operation", "Query"), ("TableName", "hot")), "Sum", 60, 15
    )
    with pytest.raises(ValueError, match="not a GraphQL API"):
        api_metric(table, "Latency", "Average")
    with pytest.raises(ValueError, match="not a user pool"):
        pool_metric(table, "web", "SignInSuccesses", "Average")
    with pytest.raises(ValueError, match="not a table"):
        table_metric(api, "ReadThrottleEvents", "Sum")


@pytest.mark.parametrize(
    "resource, says",
    [
        ("service/api", "does not say which cluster"),
        ("service/prod/", "not the ARN of a service"),
        ("service/prod/api/more", "not the ARN of a service"),
        ("service", "not the ARN of a service"),
        ("cluster/prod", "not an ECS service"),
    ],
)
def test_only_the_long_arn_of_a_service_is_understood(resource: str, says: str) -> None:
    """The short form lacks the cluster: the error says so, and what to write."""
    with pytest.raises(ValueError, match=says):
        split_service_arn(Arn("aws", "ecs", REGION, ACCOUNT, resource))


BALANCER = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/api/50dc6c495c0c9188")
GROUP = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/api/6d0ecf831eec9f09")


def test_metrics_of_load_balancers_and_their_target_groups() -> None:
    """CloudWatch knows them by type, name and id: the dimension is not the name (remediations.md section 3)."""
    whole = balancer_metric(BALANCER, "HTTPCode_ELB_5XX_Count", "Sum", 15)
    group = group_metric(BALANCER, GROUP, "UnHealthyHostCount", "Minimum", 3)

    assert whole.namespace == group.namespace == "AWS/ApplicationELB"
    assert whole.dimensions == (("LoadBalancer", "app/api/50dc6c495c0c9188"),)
    assert group.dimensions == (*whole.dimensions, ("TargetGroup", "targetgroup/api/6d0ecf831eec9f09"))


@pytest.mark.parametrize("resource", ["loadbalancer/net/api/50dc", "loadbalancer/api", "targetgroup/api/6d0e"])
def test_no_other_load_balancer_has_these_metrics(resource: str) -> None:
    """Network and classic load balancers count under other names."""
    with pytest.raises(ValueError, match="not an application load balancer"):
        balancer_metric(replace(BALANCER, resource=resource), "RequestCount", "Sum")
    with pytest.raises(ValueError, match="not a target group"):
        group_metric(BALANCER, BALANCER, "RequestCount", "Sum")


def test_an_alarms_name_is_all_of_it() -> None:
    """Colons and slashes are parts of it; what is no alarm, or has no name, is refused."""
    assert alarm_name(Arn("aws", "cloudwatch", REGION, ACCOUNT, "alarm:team/5xx:api")) == "team/5xx:api"
    for resource in ("alarm:", "dashboard/alarm:x"):
        with pytest.raises(ValueError, match="not an alarm"):
            alarm_name(Arn("aws", "cloudwatch", REGION, ACCOUNT, resource))


def test_a_functions_metric_is_of_all_its_versions() -> None:
    """By its name alone."""
    function = Arn("aws", "lambda", REGION, ACCOUNT, "function:etl")
    assert function_metric(function, "Errors", "Sum", 10) == MetricQuery(
        "AWS/Lambda", "Errors", (("FunctionName", "etl"),), "Sum", 60, 10
    )
    with pytest.raises(ValueError, match="not a function"):
        function_metric(Arn("aws", "lambda", REGION, ACCOUNT, "layer:etl"), "Errors", "Sum")
