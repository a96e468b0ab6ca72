"""How events get to their consumers is read with as few calls as AWS allows."""

from __future__ import annotations

from typing import Any

from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

FUNCTION = str(Arn("aws", "lambda", REGION, ACCOUNT, "function:etl"))
OTHER = f"{FUNCTION}-2"
MAPPINGS, OF_OTHER = (ResourceRead("lambda.mappings", arn) for arn in (FUNCTION, OTHER))
POLICY = ResourceRead("lambda.policy", FUNCTION)
TOLD = ResourceRead("s3.notifications", "arn:aws:s3:::content")


def test_one_listing_serves_all_functions(cloud: Cloud) -> None:
    """Those of aliases and versions are the function's too; a page is not the end."""
    pages: list[dict[str, Any]] = [
        {"EventSourceMappings": [{"UUID": "1", "FunctionArn": FUNCTION, "BatchSize": 10}], "NextMarker": "2"},
        {
            "EventSourceMappings": [
                {"UUID": "2", "FunctionArn": f"{FUNCTION}:live"},
                {"UUID": "3", "FunctionArn": OTHER},
            ]
        },
    ]
    cloud.answers["ListEventSourceMappings"] = lambda params: pages["Marker" in params]
    found = gather(cloud.aws(), [MAPPINGS, OF_OTHER], now=NOW)
    first, second = {"UUID": "1", "FunctionArn": FUNCTION}, {"UUID": "2", "FunctionArn": f"{FUNCTION}:live"}
    assert found.resource(MAPPINGS) == {"Mappings": (first, second)}
    assert found.resource(OF_OTHER) == {"Mappings": ({"UUID": "3", "FunctionArn": OTHER},)}
    assert cloud.count == {"ListEventSourceMappings": 2}


def test_more_mappings_than_are_listed_are_unread(cloud: Cloud) -> None:
    """Half a listing is none."""
    page = {"EventSourceMappings": [{"UUID": "1", "FunctionArn": OTHER}] * 100, "NextMarker": "again"}
    cloud.answers["ListEventSourceMappings"] = lambda _: page
    assert isinstance(gather(cloud.aws(), [MAPPINGS], now=NOW).resource(MAPPINGS), Unread)


def test_a_policy_is_its_text_and_none_where_there_is_none(cloud: Cloud) -> None:
    """Denied is neither."""
    cloud.answers["GetPolicy"] = lambda _: {"Policy": '{"Statement":[]}', "RevisionId": "1"}
    assert gather(cloud.aws(), [POLICY], now=NOW).resource(POLICY) == {"Policy": '{"Statement":[]}'}
    assert cloud.asked("GetPolicy") == [{"FunctionName": "etl"}]
    cloud.fail("GetPolicy", "ResourceNotFoundException")
    assert gather(cloud.aws(), [POLICY], now=NOW).resource(POLICY) is None
    cloud.fail("GetPolicy", "AccessDeniedException")
    unread = gather(cloud.aws(), [POLICY], now=NOW).resource(POLICY)
    assert isinstance(unread, Unread)
    assert "grant lambda:GetPolicy" in unread.reason


def test_whom_a_bucket_tells_is_its_configuration(cloud: Cloud) -> None:
    """Empty where it tells nobody, None where there is no such bucket."""
    cloud.answers["GetBucketNotificationConfiguration"] = lambda _: {"EventBridgeConfiguration": {}}
    assert gather(cloud.aws(), [TOLD], now=NOW).resource(TOLD) == {"EventBridgeConfiguration": {}}
    cloud.fail("GetBucketNotificationConfiguration", "NoSuchBucket")
    assert gather(cloud.aws(), [TOLD], now=NOW).resource(TOLD) is None
