"""A function is read with two calls; its environment is not kept."""

from __future__ import annotations

from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

READ = ResourceRead("lambda.function", str(Arn("aws", "lambda", REGION, ACCOUNT, "function:etl")))


def test_a_function_is_its_configuration_and_its_concurrency(cloud: Cloud) -> None:
    """Reserved 0 is not the same as none reserved; secrets in its environment are left where they are."""
    said = {"Timeout": 3, "State": "Active", "Environment": {"Variables": {"PASSWORD": "hunter2"}}}
    cloud.answers["GetFunctionConfiguration"] = lambda _: said
    cloud.answers["GetFunctionConcurrency"] = lambda _: {"ReservedConcurrentExecutions": 0}
    found = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert found == {"Timeout": 3, "State": "Active", "ReservedConcurrentExecutions": 0}
    cloud.answers["GetFunctionConcurrency"] = lambda _: {}
    assert gather(cloud.aws(), [READ], now=NOW).resource(READ) == {"Timeout": 3, "State": "Active"}
    assert {params["FunctionName"] for name, params in cloud.calls} == {"etl"}


def test_a_function_that_is_named_with_its_alias_is_read_by_itself(cloud: Cloud) -> None:
    """
    Leave to read is leave for the function itself, and AWS knows the concurrency of a function alone.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConcurrency.html
    """
    read = ResourceRead("lambda.function", f"{READ.key}:live")
    cloud.answers["GetFunctionConfiguration"] = lambda _: {"Timeout": 3}
    cloud.answers["GetFunctionConcurrency"] = lambda _: {}
    assert gather(cloud.aws(), [read], now=NOW).resource(read) == {"Timeout": 3}
    assert {params["FunctionName"] for name, params in cloud.calls} == {"etl"}


def test_gone_is_none_and_denied_is_unread(cloud: Cloud) -> None:
    """With what to grant."""
    cloud.answers["GetFunctionConfiguration"] = lambda _: {}
    cloud.fail("GetFunctionConcurrency", "ResourceNotFoundException")
    assert gather(cloud.aws(), [READ], now=NOW).resource(READ) is None
    cloud.fail("GetFunctionConcurrency", "AccessDeniedException")
    unread = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert isinstance(unread, Unread)
    assert "grant lambda:GetFunctionConcurrency" in unread.reason


ALIAS = ResourceRead("lambda.alias", f"{READ.key}:live")


def test_an_alias_is_where_it_points_and_what_it_is_moved_to(cloud: Cloud) -> None:
    """Its version, its revision, and the weights of others while it is being moved; its description is left out."""
    said = {"FunctionVersion": "8", "RevisionId": "r8", "Description": "x"}
    cloud.answers["GetAlias"] = lambda _: said
    found = gather(cloud.aws(), [ALIAS], now=NOW).resource(ALIAS)
    assert found == {"FunctionVersion": "8", "RevisionId": "r8", "Weights": {}}
    cloud.answers["GetAlias"] = lambda _: said | {"RoutingConfig": {"AdditionalVersionWeights": {"9": 0.1}}}
    found = gather(cloud.aws(), [ALIAS], now=NOW).resource(ALIAS)
    assert found == {"FunctionVersion": "8", "RevisionId": "r8", "Weights": {"9": 0.1}}
    assert cloud.calls == [("GetAlias", {"FunctionName": "etl", "Name": "live"})] * 2


def test_an_alias_that_is_not_there_is_none(cloud: Cloud) -> None:
    """And one that may not be read is unread, with what to grant."""
    cloud.fail("GetAlias", "ResourceNotFoundException")
    assert gather(cloud.aws(), [ALIAS], now=NOW).resource(ALIAS) is None
    cloud.fail("GetAlias", "AccessDeniedException")
    unread = gather(cloud.aws(), [ALIAS], now=NOW).resource(ALIAS)
    assert isinstance(unread, Unread)
    assert "grant lambda:GetAlias" in unread.reason
