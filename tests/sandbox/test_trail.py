"""The trail knows every attempt, who made it, and how it ended."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from sandbox import World
from sandbox.faults import Crash, Kind
from sandbox.systems.document_management import DocumentManagement

ONCE = Config(retries={"total_max_attempts": 1})


def test_a_role_session_acts_under_its_own_name(world: World, dms: DocumentManagement) -> None:
    """The session's name, its source identity and its policy stand beside every call made with its credentials."""
    sts = boto3.client("sts")
    policy = '{"Version": "2012-10-17", "Statement": []}'
    credentials = sts.assume_role(
        RoleArn=f"arn:aws:iam::{world.account}:role/write",
        RoleSessionName="inc-42",
        SourceIdentity="inc-42",
        Policy=policy,
    )["Credentials"]
    client = boto3.client(
        "sqs",
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    )
    client.send_message(QueueUrl=dms.queue_url, MessageBody="x")
    event = world.trail.of(principal="inc-42")[0]
    assert (event.name, event.params["MessageBody"], event.at) == ("sqs.SendMessage", "x", world.now)
    assert (event.principal.source_identity, event.principal.policy) == ("inc-42", policy)


def test_fakes_and_moto_are_recorded_alike(world: World, dms: DocumentManagement) -> None:
    """Move tasks, services and metrics are answered here, and stand in the trail like everything else."""
    world.client("ecs").update_service(cluster="dms-prod", service="dms-processor", forceNewDeployment=True)
    with pytest.raises(ClientError):
        world.client("sqs").start_message_move_task(SourceArn=dms.queue_arn)
    last = world.trail.events[-2:]
    assert [(event.name, event.principal.name, event.error) for event in last] == [
        ("ecs.UpdateService", "operator", None),
        ("sqs.StartMessageMoveTask", "operator", "InvalidParameterValue"),
    ]
    assert [event.name for event in world.trail.of(writes=True)][-2:] == [
        "ecs.UpdateService",
        "sqs.StartMessageMoveTask",
    ]


def test_a_timeout_after_the_effect_happens_three_times(world: World, dms: DocumentManagement) -> None:
    """The SDK's own retries repeat what has already happened; with one attempt it happens once."""
    dms.stop_service()
    world.faults.add(Kind.TIMEOUT_AFTER, "sqs.SendMessage", times=None)
    with pytest.raises(ReadTimeoutError):
        boto3.client("sqs").send_message(QueueUrl=dms.queue_url, MessageBody="retried")
    with pytest.raises(ReadTimeoutError):
        boto3.client("sqs", config=ONCE).send_message(QueueUrl=dms.queue_url, MessageBody="once")
    bodies = world.queues.bodies(dms.queue)
    assert (bodies.count("retried"), bodies.count("once")) == (3, 1)
    assert [event.attempt for event in world.trail.of("sqs.SendMessage")] == [1, 2, 3, 1]


@pytest.mark.parametrize("name", ["ecs.UpdateService", "sqs.SendMessage"])
@pytest.mark.parametrize(
    "kind, happened, error",
    [
        (Kind.THROTTLED, False, ClientError),
        (Kind.DENIED, False, ClientError),
        (Kind.ERROR_BEFORE, False, ClientError),
        (Kind.ERROR_AFTER, True, ClientError),
        (Kind.TIMEOUT_BEFORE, False, ConnectTimeoutError),
        (Kind.TIMEOUT_AFTER, True, ReadTimeoutError),
        (Kind.CRASH_BEFORE, False, Crash),
        (Kind.CRASH_AFTER, True, Crash),
    ],
)
def test_the_effect_happens_or_does_not(
    world: World, dms: DocumentManagement, name: str, kind: Kind, happened: bool, error: type[BaseException]
) -> None:
    """Before means not done, after means done: for moto's operations and for ours."""
    dms.stop_service()
    world.run(timedelta(minutes=2))
    world.faults.add(kind, name)
    sqs, ecs = boto3.client("sqs", config=ONCE), boto3.client("ecs", config=ONCE)
    act: dict[str, Callable[[], Any]] = {
        "sqs.SendMessage": lambda: sqs.send_message(QueueUrl=dms.queue_url, MessageBody="x"),
        "ecs.UpdateService": lambda: ecs.update_service(
            cluster="dms-prod", service="dms-processor", forceNewDeployment=True
        ),
    }
    with pytest.raises(error):
        act[name]()
    done = dms.backlog if name == "sqs.SendMessage" else len(dms.service.history) - 1
    assert done == happened
    assert world.trail.events[-1].injected == kind


def test_a_late_landing(world: World, dms: DocumentManagement) -> None:
    """The caller saw a timeout; half a minute later it happens all the same."""
    dms.stop_service()
    world.faults.add(Kind.LANDS_LATE, "sqs.SendMessage")
    with pytest.raises(ReadTimeoutError):
        boto3.client("sqs", config=ONCE).send_message(QueueUrl=dms.queue_url, MessageBody="x")
    assert dms.backlog == 0
    world.run(timedelta(seconds=31))
    assert dms.backlog == 1


def test_faults_spare_the_operator_and_can_be_counted(world: World, dms: DocumentManagement) -> None:
    """Skip the first, strike the next two, then no more; a person is never struck unless asked for."""
    world.faults.add(Kind.DENIED, "sqs.*", skip=1, times=2)
    client, outcomes = boto3.client("sqs", config=ONCE), []
    for _ in range(5):
        world.client("sqs").get_queue_url(QueueName="dms-processing-prod")
        try:
            client.get_queue_url(QueueName="dms-processing-prod")
            outcomes.append("ok")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    assert outcomes == ["ok", "AccessDenied", "AccessDenied", "ok", "ok"]


def test_throttling_is_retried_by_the_sdk_in_virtual_time(world: World, dms: DocumentManagement) -> None:
    """Two throttles cost two waits, and no real second."""
    world.faults.add(Kind.THROTTLED, "ecs.DescribeServices", times=2)
    before = world.now
    answer = boto3.client("ecs").describe_services(cluster="dms-prod", services=["dms-processor"])
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2
    assert world.now > before
