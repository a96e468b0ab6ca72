"""A move task follows the rules of AWS."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.queues import redrive_policy
from sandbox.systems.document_management import DocumentManagement

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def dead_letters(world: World, dms: DocumentManagement) -> DocumentManagement:
    """The system with ten dead letters and a consumer that somebody stopped."""
    dms.scanner_down()
    dms.send(10)
    world.run_until(lambda: dms.dead == 10, 20 * MINUTE)
    dms.scanner_up()
    dms.stop_service()
    return dms


def start(world: World, arn: str, **more: Any) -> str:
    """Start a move, and return its handle."""
    handle: str = world.client("sqs").start_message_move_task(SourceArn=arn, **more)["TaskHandle"]
    return handle


def tasks(world: World, arn: str) -> list[dict[str, Any]]:
    """Everything that SQS says about a queue's moves, newest first."""
    found: list[dict[str, Any]] = world.client("sqs").list_message_move_tasks(SourceArn=arn, MaxResults=10)["Results"]
    return found


def test_everything_goes_home_at_the_pace_that_was_asked_for(world: World, dead_letters: DocumentManagement) -> None:
    """Per second so many, with new ids, a new retention, and a receive count of zero."""
    before = world.client("sqs").receive_message(
        QueueUrl=dead_letters.dlq_url, VisibilityTimeout=0, MaxNumberOfMessages=10
    )
    start(world, dead_letters.dlq_arn, MaxNumberOfMessagesPerSecond=2)
    world.run(3 * SECOND)
    assert (dead_letters.dead, dead_letters.backlog) == (4, 6)
    world.run(3 * SECOND)
    assert (dead_letters.dead, dead_letters.backlog) == (0, 10)
    after = world.client("sqs").receive_message(
        QueueUrl=dead_letters.queue_url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert not {each["MessageId"] for each in after} & {each["MessageId"] for each in before["Messages"]}
    assert {each["Attributes"]["ApproximateReceiveCount"] for each in after} == {"1"}
    assert all("DeadLetterQueueSourceArn" not in each["Attributes"] for each in after)
    assert world.unaccounted() == {}


def test_a_handle_is_shown_only_while_the_task_runs(world: World, dead_letters: DocumentManagement) -> None:
    """What is over cannot be cancelled, and does not say how."""
    handle = start(world, dead_letters.dlq_arn, MaxNumberOfMessagesPerSecond=5)
    running = tasks(world, dead_letters.dlq_arn)[0]
    assert (running["TaskHandle"], running["Status"], running["ApproximateNumberOfMessagesToMove"]) == (
        handle,
        "RUNNING",
        10,
    )
    assert running["StartedTimestamp"] == int(world.now.timestamp() * 1000)
    world.run(5 * SECOND)
    done = tasks(world, dead_letters.dlq_arn)[0]
    assert (done["Status"], done["ApproximateNumberOfMessagesMoved"], "TaskHandle" in done) == ("COMPLETED", 10, False)
    with pytest.raises(ClientError) as caught:
        world.client("sqs").cancel_message_move_task(TaskHandle=handle)
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.UnsupportedOperation"


def test_how_many_are_to_be_moved_is_said_only_once_it_has_begun(
    world: World, dead_letters: DocumentManagement
) -> None:
    """Until it was selected to start, a task runs and has no number."""
    world.move_tasks.selected_after = MINUTE
    start(world, dead_letters.dlq_arn)
    [asked] = tasks(world, dead_letters.dlq_arn)
    assert (asked["Status"], "ApproximateNumberOfMessagesToMove" in asked) == ("RUNNING", False)
    world.run(2 * MINUTE)
    [done] = tasks(world, dead_letters.dlq_arn)
    assert (done["Status"], done["ApproximateNumberOfMessagesToMove"]) == ("COMPLETED", 10)


def test_what_moved_stays_moved_after_a_cancel(world: World, dead_letters: DocumentManagement) -> None:
    """Cancelling stops the rest, and brings nothing back."""
    handle = start(world, dead_letters.dlq_arn, MaxNumberOfMessagesPerSecond=1)
    world.run(3 * SECOND)
    assert world.client("sqs").cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"] == 3
    assert tasks(world, dead_letters.dlq_arn)[0]["Status"] == "CANCELLING"
    world.run(MINUTE)
    assert tasks(world, dead_letters.dlq_arn)[0]["Status"] == "CANCELLED"
    assert (dead_letters.dead, dead_letters.backlog) == (7, 3)


def test_one_move_at_a_time(world: World, dead_letters: DocumentManagement) -> None:
    """A second task is refused while the first is active, and welcome afterwards."""
    start(world, dead_letters.dlq_arn)
    with pytest.raises(ClientError, match="There is already a task running") as caught:
        start(world, dead_letters.dlq_arn)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterValue"
    world.run(MINUTE)
    start(world, dead_letters.dlq_arn)
    assert [each["Status"] for each in tasks(world, dead_letters.dlq_arn)] == ["RUNNING", "COMPLETED"]


def test_only_dead_letter_queues_move(world: World, dms: DocumentManagement) -> None:
    """A queue that is nobody's dead-letter queue, or that does not exist, is refused."""
    with pytest.raises(ClientError, match="must be configured as a Dead Letter Queue"):
        start(world, dms.queue_arn)
    with pytest.raises(ClientError) as caught:
        start(world, world.arn("sqs", "nowhere"))
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


@pytest.mark.parametrize("pace", [0, -1, 501])
def test_the_pace_has_limits(world: World, dms: DocumentManagement, pace: int) -> None:
    """One to five hundred messages a second."""
    with pytest.raises(ClientError, match="MaxNumberOfMessagesPerSecond"):
        start(world, dms.dlq_arn, MaxNumberOfMessagesPerSecond=pace)


def test_a_message_that_did_not_die_has_no_way_home(world: World, dms: DocumentManagement) -> None:
    """Somebody sent it straight to the dead-letter queue: without a destination the task fails."""
    world.client("sqs").send_message(QueueUrl=dms.dlq_url, MessageBody="x")
    start(world, dms.dlq_arn)
    world.run(5 * SECOND)
    assert tasks(world, dms.dlq_arn)[0] | {"StartedTimestamp": 0} == {
        "Status": "FAILED",
        "FailureReason": "CouldNotDetermineMessageSource",
        "SourceArn": dms.dlq_arn,
        "ApproximateNumberOfMessagesMoved": 0,
        "ApproximateNumberOfMessagesToMove": 1,
        "StartedTimestamp": 0,
    }
    start(world, dms.dlq_arn, DestinationArn=dms.queue_arn)
    world.run(5 * SECOND)
    assert (dms.dead, tasks(world, dms.dlq_arn)[0]["Status"]) == (0, "COMPLETED")


def test_letters_of_several_queues_go_each_to_its_own(world: World, dms: DocumentManagement) -> None:
    """A dead-letter queue may be shared."""
    sqs = world.client("sqs")
    other = sqs.create_queue(
        QueueName="other", Attributes={"VisibilityTimeout": "0", "RedrivePolicy": redrive_policy(dms.dlq_arn, 1)}
    )["QueueUrl"]
    sqs.send_message(QueueUrl=other, MessageBody="other")
    for _ in range(2):
        sqs.receive_message(QueueUrl=other)
    dms.scanner_down()
    mine = dms.send(1)
    world.run_until(lambda: dms.dead == 2, 20 * MINUTE)
    dms.stop_service()
    start(world, dms.dlq_arn)
    world.run(10 * SECOND)
    assert (world.queues.bodies("other"), world.queues.bodies(dms.queue)) == (["other"], mine)


def test_a_forged_handle_is_refused(world: World, dms: DocumentManagement) -> None:
    """A handle that SQS did not give is invalid, not unknown."""
    with pytest.raises(ClientError, match="TaskHandle is invalid"):
        world.client("sqs").cancel_message_move_task(TaskHandle="nonsense")
