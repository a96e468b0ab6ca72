"""Mail is what SNS would have sent, and SNS is strict."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox import World


@pytest.fixture
def topic(world: World) -> str:
    """A topic."""
    arn: str = world.client("sns").create_topic(Name="reports")["TopicArn"]
    return arn


def test_everything_that_was_published_can_be_read(world: World, topic: str) -> None:
    """Subject, text and attributes, in order, with who and when."""
    sns = boto3.client("sns")
    sns.publish(TopicArn=topic, Subject="first", Message="one")
    sns.publish(
        TopicArn=topic, Message="two", MessageAttributes={"verdict": {"DataType": "String", "StringValue": "fixed"}}
    )
    assert [(mail.subject, mail.text) for mail in world.mail] == [("first", "one"), (None, "two")]
    assert (world.mail[1].attributes, world.mail[0].at, len(world.mail.about("one"))) == (
        {"verdict": "fixed"},
        world.now,
        1,
    )


@pytest.mark.parametrize(
    "message",
    [
        {"Subject": "x" * 100, "Message": "m"},
        {"Subject": "", "Message": "m"},
        {"Subject": "two\nlines", "Message": "m"},
        {"Subject": "naïve", "Message": "m"},
        {"Subject": "ok", "Message": ""},
        {"Subject": "ok", "Message": "é" * (128 * 1024 + 1)},
    ],
    ids=["long", "empty", "newline", "not ascii", "no message", "too many bytes"],
)
def test_what_sns_refuses_is_refused(world: World, topic: str, message: dict[str, Any]) -> None:
    """A report that SNS would not send must not look as if it had been sent."""
    with pytest.raises(ClientError) as caught:
        boto3.client("sns").publish(TopicArn=topic, **message)
    assert caught.value.response["Error"]["Code"] == "InvalidParameter"
    assert len(world.mail) == 0


def test_the_limits_themselves_are_allowed(world: World, topic: str) -> None:
    """99 characters, and 256 KiB to the byte."""
    boto3.client("sns").publish(TopicArn=topic, Subject="x" * 99, Message="m" * 256 * 1024)
    assert len(world.mail) == 1
