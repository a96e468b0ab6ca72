"""
What AWS itself says of a function, a table, a bucket, an API, a database or a state machine: whether it can be used.

The runbooks' health checks (1, "health-check.sh"; 3, "Daily") took any other word than Active for a failure, and asked
GraphQL APIs for a status that there is not. A state that this does not know is unknown, and never healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.aws import Aws
from nightshift.errors import AwsError, Missing
from nightshift.model import Arn
from nightshift.report import safe

__all__ = ["ACTIONS", "Said", "Standing", "standing"]

Said = tuple[str, str]
"""healthy, sick or unknown, and why"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thing is asked for its state, by leave of which IAM action, and what its answer means."""

    action: str
    service: str
    operation: str
    parameters: Callable[[Arn], dict[str, Any]]
    judge: Callable[[Mapping[str, Any]], Said]


def standing(aws: Aws, arn: Arn) -> Said | None:
    """What AWS says of it; None for a kind whose state says nothing."""
    how = _KINDS.get(arn.kind)
    if how is None:
        return None
    try:
        answer = aws.read(how.service, how.operation, **how.parameters(arn))
    except Missing:
        return "sick", f"{safe(str(arn), 200)} does not exist"
    except AwsError as error:
        return "unknown", safe(str(error), 400)
    health, why = how.judge(answer)
    return health, safe(why, 400)


def function(answer: Mapping[str, Any]) -> Said:
    """
    A function. Inactive is one that nobody has called for weeks: the next call wakes it.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    state, updated = answer.get("State"), answer.get("LastUpdateStatus")
    if state == "Failed":
        return "sick", f"its state is Failed: {answer.get('StateReason') or 'AWS does not say why'}"
    if updated == "Failed":
        return "sick", f"its last update failed: {answer.get('LastUpdateStatusReason') or 'AWS does not say why'}"
    if state == "Inactive":
        return "healthy", "idle: the next call wakes it"
    if state == "Active":
        return "healthy", "active" + ("; an update is under way" if updated == "InProgress" else "")
    return "unknown", f"its state is {state or 'not told'}"


def table(answer: Mapping[str, Any]) -> Said:
    """
    A DynamoDB table. One that is being updated takes requests meanwhile.

    Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
    """
    return _of(answer.get("Table") or {}, "TableStatus", healthy={"ACTIVE", "UPDATING"}, unknown={"CREATING"})


def bucket(_: Mapping[str, Any]) -> Said:
    """A bucket answers, or it does not."""
    return "healthy", "it answers"


def graph(answer: Mapping[str, Any]) -> Said:
    """
    A GraphQL API of AppSync: it has no status, and that it can be described is all that AWS says of it.

    Source: https://docs.aws.amazon.com/appsync/latest/APIReference/API_GraphqlApi.html
    """
    found = (answer.get("graphqlApi") or {}).get("apiId")
    return ("healthy", "it is there") if found else ("unknown", "AppSync did not describe it")


def database(answer: Mapping[str, Any]) -> Said:
    """
    An Aurora cluster: nearest to the runbook's SELECT 1 that there is without its network and its password.

    One whose storage is optimized is fully operational meanwhile, for a day or longer.

    Source: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/accessing-monitoring.html
    """
    cluster: Mapping[str, Any] = next(iter(answer.get("DBClusters") or ()), {})
    return _of(cluster, "Status", healthy={"available", "backing-up", "storage-optimization"}, unknown=_PASSING)


_PASSING = {
    "creating",
    "maintenance",
    "migrating",
    "modifying",
    "preparing-data-migration",
    "promoting",
    "rebooting",
    "renaming",
    "resetting-master-credentials",
    "starting",
    "update-iam-db-auth",
    "upgrading",
}
"""states of a cluster that somebody has asked for, and that end by themselves"""


def machine(answer: Mapping[str, Any]) -> Said:
    """A state machine of Step Functions."""
    return _of(answer, "status", healthy={"ACTIVE"}, unknown=set())


def _of(thing: Mapping[str, Any], key: str, *, healthy: set[str], unknown: set[str]) -> Said:
    """By its status: what is neither well nor passing is sick; what was not told is unknown."""
    status = thing.get(key)
    if not isinstance(status, str):
        return "unknown", "AWS did not say how it is"
    if status in healthy:
        return "healthy", status.lower()
    return "unknown" if status in unknown else "sick", f"it is {status}"


_KINDS: Mapping[str, Standing] = {
    "lambda:function": Standing(
        "lambda:GetFunctionConfiguration",
        "lambda",
        "GetFunctionConfiguration",
        lambda arn: {"FunctionName": arn.resource.split(":")[1]},
        function,
    ),
    "dynamodb:table": Standing(
        "dynamodb:DescribeTable",
        "dynamodb",
        "DescribeTable",
        lambda arn: {"TableName": arn.resource.split("/")[1]},
        table,
    ),
    "s3:bucket": Standing("s3:ListBucket", "s3", "HeadBucket", lambda arn: {"Bucket": arn.name}, bucket),
    "appsync:apis": Standing(
        "appsync:GetGraphqlApi", "appsync", "GetGraphqlApi", lambda arn: {"apiId": arn.name}, graph
    ),
    "rds:cluster": Standing(
        "rds:DescribeDBClusters", "rds", "DescribeDBClusters", lambda arn: {"DBClusterIdentifier": arn.name}, database
    ),
    "states:stateMachine": Standing(
        "states:DescribeStateMachine",
        "stepfunctions",
        "DescribeStateMachine",
        lambda arn: {"stateMachineArn": str(arn), "includedData": "METADATA_ONLY"},  # its definition may have a key
        machine,
    ),
}
"""by kind; of a service and a queue, what runs and what waits says more"""

ACTIONS: Mapping[str, str] = {kind: how.action for kind, how in _KINDS.items()}
"""by kind, the IAM action without which nobody is told"""
