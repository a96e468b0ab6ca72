"""Queues keep what they are given, until somebody takes it away for good."""

import contextlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import World
from sandbox.queues import redrive_policy

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


def make(world: World, *, visibility: int = 60, tries: int = 3, retention: int = 4 * 86400) -> tuple[str, str]:
    """A queue with a dead-letter queue, by their URLs."""
    sqs = world.client("sqs")
    dead = sqs.create_queue(QueueName="dead", Attributes={"MessageRetentionPeriod": "1209600"})["QueueUrl"]
    attributes = {
        "VisibilityTimeout": str(visibility),
        "MessageRetentionPeriod": str(retention),
        "RedrivePolicy": redrive_policy(world.arn("sqs", "dead"), tries),
    }
    return sqs.create_queue(QueueName="queue", Attributes=attributes)["QueueUrl"], dead


def receive(world: World, url: str, count: int = 10, **more: Any) -> list[dict[str, Any]]:
    """Receive as a person would, with everything that SQS says about a message."""
    answer = world.client("sqs").receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=count,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
        **more,
    )
    messages: list[dict[str, Any]] = answer.get("Messages", [])
    return messages


def test_a_message_that_is_received_too_often_dies(world: World) -> None:
    """At maxReceiveCount the next receive buries it: same id, same first send, and the name of where it died."""
    url, dead = make(world)
    sent = world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    started = world.now
    for _ in range(3):
        assert len(receive(world, url)) == 1
        assert receive(world, url) == []
        world.run(MINUTE)
    assert receive(world, dead) == [], "only a receive buries it"
    assert receive(world, url) == []
    message = receive(world, dead)[0]
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["SentTimestamp"] == str(int(started.timestamp() * 1000))
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == world.arn("sqs", "queue")


def test_the_source_is_named_only_when_asked_for(world: World) -> None:
    """DeadLetterQueueSourceArn is a system attribute like any other."""
    url, dead = make(world, tries=1, visibility=0)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    receive(world, url)
    receive(world, url)
    plain = world.client("sqs").receive_message(QueueUrl=dead, VisibilityTimeout=0)["Messages"][0]
    named = world.client("sqs").receive_message(QueueUrl=dead, MessageSystemAttributeNames=["DeadLetterQueueSourceArn"])
    assert "Attributes" not in plain
    assert named["Messages"][0]["Attributes"] == {"DeadLetterQueueSourceArn": world.arn("sqs", "queue")}


def test_a_standard_queue_has_no_order(world: World) -> None:
    """Looking without hiding shows different subsets each time."""
    url, _ = make(world, tries=1000)
    for number in range(30):
        world.client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    looks = {tuple(each["Body"] for each in receive(world, url, VisibilityTimeout=0)) for _ in range(5)}
    assert len(looks) == 5


def test_a_fifo_queue_keeps_the_order_of_its_groups(world: World) -> None:
    """In a group, nothing overtakes, and nothing comes while something is in flight."""
    sqs = world.client("sqs")
    url = sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})[
        "QueueUrl"
    ]
    for number in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId="g")
    sqs.send_message(QueueUrl=url, MessageBody="4", MessageGroupId="g")
    assert [each["Body"] for each in receive(world, url, count=2)] == ["0", "1"]
    assert receive(world, url) == []


def test_retention_counts_from_the_first_send(world: World) -> None:
    """A dead letter expires by its original send, not by its death."""
    url, dead = make(world, tries=1, retention=13 * 86400)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    world.run(timedelta(days=12))
    receive(world, url)
    world.run(MINUTE)
    receive(world, url)
    assert world.queues.depth(dead).total == 1
    world.run(timedelta(days=1, hours=23))
    assert world.queues.depth(dead).total == 1
    world.run(timedelta(hours=1))
    assert world.queues.depth(dead).total == 0
    assert sum(world.ledger.expired.values()) == 1
    assert world.unaccounted() == {}


def test_an_old_message_can_be_hidden_and_shown_again(world: World) -> None:
    """The twelve hours of visibility count from the receive, not from the send."""
    url, _ = make(world, retention=14 * 86400)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    world.run(timedelta(days=2))
    handle = receive(world, url)[0]["ReceiptHandle"]
    world.client("sqs").change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    world.client("sqs").receive_message(QueueUrl=url, VisibilityTimeout=43200)
    world.run(timedelta(hours=2))
    with pytest.raises(ClientError, match="beyond the limit"):
        world.client("sqs").change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=39600)


def test_long_polling_ends(world: World) -> None:
    """On an empty queue it takes its virtual time; a message that comes meanwhile ends it."""
    url, _ = make(world)
    started = world.now
    assert receive(world, url, WaitTimeSeconds=20) == []
    assert world.now - started == 20 * SECOND
    world.at(3 * SECOND, lambda: world.queues.put(world.queues.find(url), "late"))
    assert [each["Body"] for each in receive(world, url, WaitTimeSeconds=20)] == ["late"]
    assert world.now - started == 23 * SECOND


def test_attributes_count_what_is_there(world: World) -> None:
    """Visible, in flight and delayed are three numbers."""
    url, _ = make(world)
    sqs = world.client("sqs")
    for delay in (0, 0, 0, 30):
        sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=delay)
    receive(world, url, count=1)
    names = (
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    )
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [attributes[name] for name in names] == ["2", "1", "1"]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.sampled_from(["send", "receive", "delete", "wait", "move", "purge-dead"]), max_size=40),
    seed=st.integers(0, 99),
)
def test_no_message_is_lost_or_made_up(steps: list[str], seed: int) -> None:
    """Whatever is done to the queues, in whatever order: every message is somewhere, or somebody took it away."""
    with World(datetime(2026, 11, 2, 3, 0, tzinfo=UTC), seed=seed) as world:
        url, dead = make(world, tries=2, visibility=30)
        sqs, handles = world.client("sqs"), list[str]()
        for number, step in enumerate(steps):
            match step:
                case "send":
                    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"n": number % 7}))
                case "receive":
                    handles += [each["ReceiptHandle"] for each in receive(world, url, count=3)]
                case "delete" if handles:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=handles.pop())
                case "wait":
                    world.run(MINUTE)
                case "move":
                    with contextlib.suppress(ClientError):  # one at a time
                        sqs.start_message_move_task(SourceArn=world.arn("sqs", "dead"), MaxNumberOfMessagesPerSecond=1)
                case "purge-dead":
                    sqs.purge_queue(QueueUrl=dead)
            assert world.unaccounted() == {}
