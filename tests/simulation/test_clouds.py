"""The thin cloud is as good as it is like the full one: the same stories, call by call, on both."""

import gc
import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnected
from botocore.retries.standard import ExponentialBackoff

from sandbox import World
from sandbox.faults import Kind
from sandbox.seam import answered
from sandbox.simulation.clouds import Difference, compare, difference, trace
from sandbox.simulation.lives import LIVES
from sandbox.simulation.nemesis import Fault
from sandbox.simulation.run import play
from sandbox.simulation.story import START, draw
from sandbox.thin import dynamodb
from sandbox.thin.client import half_the_backoff
from sandbox.thin.objects import Objects

SEEDS, CHUNK = 50, 5
LIVELY = 29
"""a seed in which a condition fails, a role is assumed and a letter is moved"""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Speed only: looking for cycles among moto's classes again and again is a third of a full run."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.simulated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_both_clouds_give_the_same_trace(first: int) -> None:
    """Every attempt of every call, and everything that comes of them, is the same on both clouds."""
    for seed in range(first, first + CHUNK):
        found = difference(draw(seed, small=True))
        assert found is None, f"seed {seed}: {found}"


@pytest.mark.simulated
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["requests that stop coming", "requests that fail", "bad task", "cache that cures"])
def test_both_clouds_agree_behind_a_load_balancer_and_a_cache(name: str) -> None:
    """What stands before a service or an API, and what it is asked, is the same on both: small stories have no such."""
    [life] = [each for each in LIVES if each.name == name]
    found = difference(life.story)
    assert found is None, str(found)


@pytest.mark.simulated
@pytest.mark.timeout(600)
def test_the_stories_meet_what_they_are_for() -> None:
    """The seeds that are compared meet every fault, every repetition of the SDK's and every verdict that is common."""
    faults: Counter[str] = Counter()
    attempts: Counter[int] = Counter()
    verdicts: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for seed in range(SEEDS):
        with play(draw(seed, small=True)) as played:
            faults.update(fault.value for fault in played.stage.nemesis.counts)
            attempts.update(event.attempt for event in played.stage.world.trail)
            calls.update(event.name for event in played.stage.world.trail)
            errors.update(event.error for event in played.stage.world.trail if event.error)
            verdicts.update(str(incident.verdict) for incident in played.incidents)
    assert faults.keys() >= {fault.value for fault in Fault}, set(Fault) - faults.keys()
    assert {2, 3} <= attempts.keys()
    assert {"fixed", "recovered", "refused", "escalated"} <= verdicts.keys()
    assert {
        "dynamodb.TransactWriteItems",
        "ecs.UpdateService",
        "s3.PutObject",
        "sqs.DeleteMessage",
        "sqs.SendMessage",
        "sqs.SetQueueAttributes",
        "sqs.StartMessageMoveTask",
        "sns.Publish",
        "sts.AssumeRole",
    } <= calls.keys()
    assert {"ConditionalCheckFailedException", "TransactionCanceledException"} <= errors.keys()


def test_small_stories_are_drawn_apart() -> None:
    """A small story is another one than the story of the same seed, which stays as it was."""
    assert draw(3, small=True) == draw(3, small=True) != draw(3)
    assert all(draw(seed, small=True).trouble <= 15 * 60 for seed in range(50))


# -- the comparison itself ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def full() -> list[str]:
    """A lively story on the full cloud."""
    with play(draw(LIVELY, small=True), thin=False) as played:
        return trace(played)


def _thin() -> list[str]:
    with play(draw(LIVELY, small=True)) as played:
        return trace(played)


def _forgiving(write: Any, old: Any) -> bool:
    return True


def _without_retries(client: Any, operation: str, context: Any, attempt: int, outcome: Any) -> None:
    return None


def _stores_nothing(store: Objects, call: Any) -> dict[str, Any]:
    return {"ETag": '"0"'}


@pytest.mark.parametrize(
    "lenient",
    [
        patch.object(dynamodb._Write, "holds", _forgiving),
        patch("sandbox.thin.client._Retries.delay", _without_retries),
        patch.object(Objects, "_put", _stores_nothing),
    ],
    ids=["conditions always hold", "nothing is repeated", "objects are not stored"],
)
def test_a_lenient_fake_is_noticed(full: list[str], lenient: Any) -> None:
    """A thin answer that is not AWS's is a difference; without it there is none."""
    assert compare(_thin(), full) is None
    with lenient:
        assert compare(_thin(), full) is not None


def test_a_difference_says_where() -> None:
    """A difference names its line and its letter, and shows the lines before it."""
    lines = [f"line {number}" for number in range(20)]
    other = [*lines[:15], "line 1x", *lines[16:]]
    found = compare(lines, other)
    assert found == Difference(15, tuple(lines[7:15]), "line 15", "line 1x")
    assert str(found).splitlines()[0] == "line 15, letter 6:"
    assert "  line 14" in str(found).splitlines()
    assert compare(lines, lines) is None
    shorter = compare(lines[:3], lines)
    assert shorter is not None
    assert shorter.thin is None
    assert "(no more lines)" in str(shorter)


# -- the SDK's retries -------------------------------------------------------------------------------------------------


def _half(backoff: Any, context: Any) -> float:
    return half_the_backoff(backoff._get_base_scale(context), context.attempt_number)


def _attempts(service: str, method: str, *, thin: bool, times: int, attempts: int | None, **fault: Any) -> list[Any]:
    """When each attempt of a few calls was made, how it ended, and what their caller got."""
    with World(START, thin=thin) as world, patch.object(ExponentialBackoff, "delay_amount", _half):
        queue = world.client("sqs").create_queue(QueueName="q")["QueueUrl"]
        world.client("sns").create_topic(Name="t")
        world.client("s3").create_bucket(
            Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": world.region}
        )
        world.run(timedelta(minutes=1))
        parameters: dict[str, dict[str, Any]] = {
            "get_item": {"TableName": "t", "Key": {"pk": {"S": "x"}}},
            "get_caller_identity": {},
            "head_bucket": {"Bucket": "a-bucket"},
            "receive_message": {"QueueUrl": queue},
            "publish": {"TopicArn": world.arn("sns", "t"), "Message": "m"},
        }
        _fault(world, **fault)
        retries = {"mode": "standard"} if attempts is None else {"mode": "standard", "total_max_attempts": attempts}
        session = boto3.Session(region_name=world.region)
        call = getattr(session.client(service, config=Config(retries=retries)), method)
        got: list[Any] = []
        for _ in range(times):
            try:
                call(**parameters[method])
                got.append("ok")
            except ClientError as error:
                got.append((error.response["Error"]["Code"], str(error)))
            except (HTTPClientError, NotConnected) as error:
                got.append(type(error).__name__)
        made = [event for event in world.trail if event.principal.name != "operator"]
        assert made
        return [*((event.at, event.attempt, event.error) for event in made), *got]


def _fault(
    world: World, *, kind: Kind | None = None, strikes: int | None = None, code: str = "", status: int = 0
) -> None:
    if kind is not None:
        world.faults.add(kind, times=strikes)
        return

    def around(call: Any, do: Any) -> Any:
        if call.principal.name == "operator":
            return do()
        return answered(call, {"Error": {"Code": code, "Message": "no"}}, status)

    world.seam.arounds.append(around)


_REPEATED = [kind for kind in Kind if kind not in (Kind.CRASH_AFTER, Kind.CRASH_BEFORE, Kind.LANDS_LATE)]
_CALLS = [("dynamodb", "get_item"), ("sqs", "receive_message"), ("sns", "publish"), ("s3", "head_bucket")]


@pytest.mark.parametrize("kind, strikes", [*itertools.product(_REPEATED, (2, None))])
def test_the_same_errors_are_repeated_after_the_same_time(kind: Kind, strikes: int | None) -> None:
    """What is repeated, when, how often and with what end is the same on both clouds, whatever the fault."""
    for service, method in (("sqs", "receive_message"), ("sns", "publish")):
        both = [
            _attempts(service, method, thin=thin, times=3, attempts=4, kind=kind, strikes=strikes)
            for thin in (True, False)
        ]
        assert both[0] == both[1], method


@pytest.mark.parametrize("status", [400, 403, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("code", ["SlowDown", "RequestTimeout", "PriorRequestNotComplete", "Unheard", "429"])
def test_the_same_answers_are_repeated(code: str, status: int) -> None:
    """Codes and statuses decide on both clouds alike."""
    both = [
        _attempts("dynamodb", "get_item", thin=thin, times=1, attempts=None, code=code, status=status)
        for thin in (True, False)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize("service, method", _CALLS)
@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.ERROR_BEFORE])
def test_the_quota_ends_alike(service: str, method: str, kind: Kind) -> None:
    """A client that fails for long stops repeating at the same call on both clouds."""
    both = [_attempts(service, method, thin=thin, times=60, attempts=4, kind=kind) for thin in (True, False)]
    assert both[0] == both[1]
    assert both[0][-61][1] == 1, "the quota was used up"


# -- refusals ----------------------------------------------------------------------------------------------------------

_ELSEWHERE = "https://sqs.eu-central-1.amazonaws.com/123456789012/nowhere"
_HERE = "https://sqs.eu-central-1.amazonaws.com/123456789012/q"
_REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("cloudformation", "describe_stacks", {"StackName": "nowhere"}),
    ("dynamodb", "get_item", {"TableName": "nowhere", "Key": {"pk": {"S": "x"}}}),
    ("s3", "get_object", {"Bucket": "nowhere-to-be-found", "Key": "x"}),
    ("s3", "get_object", {"Bucket": "a-bucket", "Key": "x"}),
    ("s3", "delete_object", {"Bucket": "a-bucket", "Key": "x", "IfMatch": '"x"'}),
    ("s3", "get_bucket_tagging", {"Bucket": "a-bucket"}),
    ("s3", "get_bucket_tagging", {"Bucket": "nowhere-to-be-found"}),
    ("s3", "head_bucket", {"Bucket": "nowhere-to-be-found"}),
    ("s3", "head_object", {"Bucket": "a-bucket", "Key": "x"}),
    ("s3", "list_objects_v2", {"Bucket": "nowhere-to-be-found"}),
    ("s3", "put_object", {"Bucket": "nowhere-to-be-found", "Key": "x", "Body": b"x"}),
    ("sns", "publish", {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:nowhere", "Message": "m"}),
    ("sqs", "delete_message", {"QueueUrl": _ELSEWHERE, "ReceiptHandle": "x"}),
    ("sqs", "get_queue_attributes", {"QueueUrl": _ELSEWHERE, "AttributeNames": ["All"]}),
    ("sqs", "get_queue_attributes", {"QueueUrl": _HERE, "AttributeNames": ["Unheard"]}),
    ("sqs", "list_queue_tags", {"QueueUrl": _ELSEWHERE}),
    ("sqs", "receive_message", {"QueueUrl": _ELSEWHERE}),
    ("sqs", "receive_message", {"QueueUrl": _HERE, "MaxNumberOfMessages": 11}),
    ("sqs", "receive_message", {"QueueUrl": _HERE, "WaitTimeSeconds": 21}),
    ("sqs", "change_message_visibility", {"QueueUrl": _HERE, "ReceiptHandle": "x", "VisibilityTimeout": 43_201}),
    ("sqs", "change_message_visibility", {"QueueUrl": _HERE, "ReceiptHandle": "x", "VisibilityTimeout": 1}),
    ("sqs", "delete_message", {"QueueUrl": _HERE, "ReceiptHandle": "x"}),
    ("sqs", "send_message", {"QueueUrl": _ELSEWHERE, "MessageBody": "x"}),
    ("sqs", "send_message", {"QueueUrl": _HERE, "MessageBody": "x", "DelaySeconds": 901}),
    ("sqs", "send_message", {"QueueUrl": _HERE, "MessageBody": "x" * 2_000_000}),
    *(
        ("sqs", "send_message_batch", {"QueueUrl": _HERE, "Entries": entries})
        for entries in (
            [{"Id": "1", "MessageBody": "x"}, {"Id": "1", "MessageBody": "y"}],
            [{"Id": "no space", "MessageBody": "x"}],
            [{"Id": str(number), "MessageBody": "x"} for number in range(11)],
            [{"Id": str(number), "MessageBody": "x" * 600_000} for number in range(2)],
        )
    ),
    ("sqs", "send_message_batch", {"QueueUrl": _HERE, "Entries": []}),
    ("sqs", "send_message_batch", {"QueueUrl": _ELSEWHERE, "Entries": [{"Id": "1", "MessageBody": "x"}]}),
    ("sqs", "set_queue_attributes", {"QueueUrl": _ELSEWHERE, "Attributes": {"VisibilityTimeout": "1"}}),
    ("sqs", "start_message_move_task", {"SourceArn": "arn:aws:sqs:eu-central-1:123456789012:q"}),
    ("ecs", "describe_services", {"cluster": "nowhere", "services": ["x"]}),
]


@pytest.mark.parametrize("service, method, params", _REFUSED, ids=[f"{case[1]}-{n}" for n, case in enumerate(_REFUSED)])
def test_the_same_is_refused(service: str, method: str, params: dict[str, Any]) -> None:
    """What is not there, or not allowed, is refused on both clouds with the same code and status."""
    got = []
    for thin in (True, False):
        with World(START, thin=thin) as world:
            world.client("sqs").create_queue(QueueName="q")
            world.client("s3").create_bucket(
                Bucket="a-bucket", CreateBucketConfiguration={"LocationConstraint": world.region}
            )
            client = boto3.Session(region_name=world.region).client(service, config=Config(retries=_ONCE))
            with pytest.raises(ClientError) as raised:
                getattr(client, method)(**params)
            answer = raised.value.response
            got.append((answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]))
    assert got[0] == got[1]


_ONCE = {"mode": "standard", "total_max_attempts": 1}
