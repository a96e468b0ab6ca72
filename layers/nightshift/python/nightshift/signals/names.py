"""
Names that detectors and readers share: queue URLs, the two parts of a service's ARN, and the metrics of both.

>>> queue = Arn.parse("arn:aws:sqs:eu-central-1:111122223333:orders-dlq")
>>> queue_url(queue)
'https://sqs.eu-central-1.amazonaws.com/111122223333/orders-dlq'
>>> queue_arn(queue_url(queue)) == queue
True
>>> split_service_arn(Arn.parse("arn:aws:ecs:eu-central-1:111122223333:service/prod/api"))
('prod', 'api')
"""

from __future__ import annotations

import re

from nightshift.model import Arn, MetricQuery

__all__ = [
    "alarm_name",
    "api_metric",
    "balancer_metric",
    "cluster_metric",
    "domain_metric",
    "function_metric",
    "group_metric",
    "instance_metric",
    "machine_metric",
    "pool_metric",
    "queue_arn",
    "queue_metric",
    "queue_url",
    "rule_metric",
    "service_metric",
    "split_rule_arn",
    "split_service_arn",
    "split_table_arn",
    "table_metric",
]

_DOMAINS = {
    "aws": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
    "aws-us-gov": "amazonaws.com",
    "aws-eusc": "amazonaws.eu",
}
"""The DNS suffix of each partition: botocore's own list (botocore/data/partitions.json), less the isolated ones."""

_QUEUE_URL = re.compile(
    r"https://sqs\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z.]+)/(?P<account>\d{12})/(?P<name>[A-Za-z0-9_-]+(?:\.fifo)?)",
    re.ASCII,
)
_SERVICE_PARTS = 3
_ALB = "AWS/ApplicationELB"


def queue_url(arn: Arn) -> str:
    """
    The URL of a queue, without asking AWS for it. Raises ValueError for what is no queue, or for an unknown partition.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
    """
    if arn.kind != "sqs:queue":
        raise ValueError(f"not a queue: {arn}")
    if arn.partition not in _DOMAINS:
        raise ValueError(f"no queue URLs are known for partition {arn.partition!r}: {arn}")
    return f"https://sqs.{arn.region}.{_DOMAINS[arn.partition]}/{arn.account}/{arn.resource}"


def queue_arn(url: str) -> Arn:
    """The ARN of the queue at a URL of today's form. Raises ValueError for any other."""
    match = _QUEUE_URL.fullmatch(url)
    if match is None or match["domain"] not in _DOMAINS.values():
        raise ValueError(f"not a queue URL: {url[:200]!r} (expected https://sqs.region.amazonaws.com/account/name)")
    if match["domain"] == _DOMAINS["aws"]:
        partition = "aws-us-gov" if match["region"].startswith("us-gov-") else "aws"
    else:
        partition = next(name for name, domain in _DOMAINS.items() if domain == match["domain"])
    return Arn(partition, "sqs", match["region"], match["account"], match["name"])


def queue_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one queue.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    if arn.kind != "sqs:queue":
        raise ValueError(f"not a queue: {arn}")
    return MetricQuery("AWS/SQS", metric, (("QueueName", arn.resource),), stat, period, minutes)


def alarm_name(arn: Arn) -> str:
    """The whole name of an alarm, which may have colons and slashes in it. Raises ValueError for what is no alarm."""
    if arn.kind != "cloudwatch:alarm" or not (name := arn.resource.removeprefix("alarm:")):
        raise ValueError(f"not an alarm: {arn}")
    return name


def function_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one Lambda function, all its versions together.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    """
    if arn.kind != "lambda:function":
        raise ValueError(f"not a function: {arn}")
    return MetricQuery("AWS/Lambda", metric, (("FunctionName", arn.resource.split(":")[1]),), stat, period, minutes)


def api_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 300) -> MetricQuery:
    """
    A metric of one GraphQL API of AppSync. Its requests are the samples of its latency: ``Requests`` is the account's.

    Source: https://docs.aws.amazon.com/appsync/latest/devguide/monitoring.html
    """
    if arn.kind != "appsync:apis":
        raise ValueError(f"not a GraphQL API: {arn}")
    return MetricQuery("AWS/AppSync", metric, (("GraphQLAPIId", arn.name),), stat, period, minutes)


def pool_metric(arn: Arn, client: str, metric: str, stat: str, minutes: int = 15, *, period: int = 300) -> MetricQuery:
    """
    A metric of one client of a Cognito user pool.

    Source: https://docs.aws.amazon.com/cognito/latest/developerguide/metrics-for-cognito-user-pools.html
    """
    if arn.kind != "cognito-idp:userpool":
        raise ValueError(f"not a user pool: {arn}")
    dimensions = (("UserPool", arn.name), ("UserPoolClient", client))
    return MetricQuery("AWS/Cognito", metric, dimensions, stat, period, minutes)


def machine_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one state machine of Step Functions.

    Source: https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
    """
    if arn.kind != "states:stateMachine":
        raise ValueError(f"not a state machine: {arn}")
    return MetricQuery("AWS/States", metric, (("StateMachineArn", str(arn)),), stat, period, minutes)


def cluster_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of the instances of one Aurora cluster together: its Maximum is that of the one that has most.

    Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/dimensions.html
    """
    if arn.kind != "rds:cluster":
        raise ValueError(f"not an Aurora cluster: {arn}")
    return MetricQuery("AWS/RDS", metric, (("DBClusterIdentifier", arn.name),), stat, period, minutes)


def instance_metric(name: str, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """A metric of one instance of a cluster, by its name: which ones there are is the cluster's affair."""
    return MetricQuery("AWS/RDS", metric, (("DBInstanceIdentifier", name),), stat, period, minutes)


def domain_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one domain of OpenSearch, whose dimensions are its name and its account.

    Source: https://docs.aws.amazon.com/opensearch-service/latest/developerguide/managedomains-cloudwatchmetrics.html
    """
    if arn.kind != "es:domain":
        raise ValueError(f"not a domain of OpenSearch: {arn}")
    return MetricQuery("AWS/ES", metric, (("ClientId", arn.account), ("DomainName", arn.name)), stat, period, minutes)


def split_service_arn(arn: Arn) -> tuple[str, str]:
    """
    The cluster's and the service's name. Raises ValueError for what is not a service.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-account-settings.html#ecs-resource-ids
    """
    parts = arn.resource.split("/")
    if arn.kind != "ecs:service":
        raise ValueError(f"not an ECS service: {arn}")
    if len(parts) == _SERVICE_PARTS - 1 and parts[1]:
        raise ValueError(
            f"the short ARN of a service does not say which cluster it runs in: {arn} "
            f"(write service/CLUSTER/{parts[1]}; `aws ecs put-account-setting` makes AWS use the long form)"
        )
    if len(parts) != _SERVICE_PARTS or not all(parts):
        raise ValueError(f"not the ARN of a service: {arn} (expected …:service/CLUSTER/NAME)")
    return parts[1], parts[2]


def balancer_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one application load balancer as a whole. Answers of its own (``HTTPCode_ELB_5XX_Count``) are only here.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """
    return MetricQuery(_ALB, metric, (("LoadBalancer", _balancer(arn)),), stat, period, minutes)


def group_metric(
    balancer: Arn, group: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60
) -> MetricQuery:
    """
    A metric of one target group behind one application load balancer: requests, answers, and how many hosts are well.

    Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    """
    if group.kind != "elasticloadbalancing:targetgroup":
        raise ValueError(f"not a target group: {group}")
    dimensions = (("LoadBalancer", _balancer(balancer)), ("TargetGroup", group.resource))
    return MetricQuery(_ALB, metric, dimensions, stat, period, minutes)


def _balancer(arn: Arn) -> str:
    """``app/<name>/<id>``: CloudWatch knows a load balancer by all three, not by its name."""
    kind, _, name = arn.resource.partition("/")
    if arn.service != "elasticloadbalancing" or kind != "loadbalancer" or not name.startswith("app/"):
        raise ValueError(f"not an application load balancer: {arn}")
    return name


def service_metric(
    arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60, namespace: str = "AWS/ECS"
) -> MetricQuery:
    """
    A metric of one ECS service; ``ECS/ContainerInsights`` has the same dimensions.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/available-metrics.html
    """
    cluster, service = split_service_arn(arn)
    return MetricQuery(namespace, metric, (("ClusterName", cluster), ("ServiceName", service)), stat, period, minutes)


def split_rule_arn(arn: Arn) -> tuple[str, str]:
    """
    The event bus, empty for the default one, and the rule's name. Raises ValueError for what is not a rule.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    """
    kind, *parts = arn.resource.split("/")
    if arn.service != "events" or kind != "rule" or not parts or not all(parts):
        raise ValueError(f"not a rule: {arn} (expected …:rule/NAME or …:rule/BUS/NAME)")
    return "/".join(parts[:-1]), parts[-1]


def rule_metric(arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60) -> MetricQuery:
    """
    A metric of one rule. EventBridge reports these only where they are not zero.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
    """
    bus, name = split_rule_arn(arn)
    dimensions = (("EventBusName", bus), ("RuleName", name)) if bus else (("RuleName", name),)
    return MetricQuery("AWS/Events", metric, dimensions, stat, period, minutes)


def split_table_arn(arn: Arn) -> tuple[str, str]:
    """
    The table's and the index's name, the latter empty for the table itself. Raises ValueError for what is neither.

    Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    """
    match arn.resource.split("/"):
        case ["table", table] if arn.service == "dynamodb" and table:
            return table, ""
        case ["table", table, "index", index] if arn.service == "dynamodb" and table and index:
            return table, index
    raise ValueError(f"not a table or an index of one: {arn} (expected …:table/NAME or …:table/NAME/index/NAME)")


def table_metric(
    arn: Arn, metric: str, stat: str, minutes: int = 15, *, period: int = 60, operation: str = ""
) -> MetricQuery:
    """
    A metric of one DynamoDB table, without its indexes, or of one index. Most are reported only where not zero.

    With an ``operation``, one of that kind of requests to the table, which includes those to its indexes.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    """
    table, index = split_table_arn(arn)
    of_index = (("GlobalSecondaryIndexName", index),) if index else ()
    part = (("Operation", operation),) if operation else of_index
    return MetricQuery("AWS/DynamoDB", metric, (*part, ("TableName", table)), stat, period, minutes)
