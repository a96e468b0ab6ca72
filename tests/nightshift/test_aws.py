"""What an AWS error means, how often we ask, and that half an answer is none."""

from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)
from nightshift.aws import Aws, Serial, Threads, kept_out, throttled, translate
from nightshift.errors import Ambiguous, AwsError, Denied, Missing, Rejected, Unreadable
from nightshift.model import Call

from tests.support.toy import ACCOUNT, REGION, Account

CALL = Call("sqs", "SendMessage", "arn")


def client_error(code: str, status: int) -> ClientError:
    """What AWS answers."""
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "X")


@pytest.mark.parametrize(
    "error, reading, writing",
    [
        (client_error("AccessDenied", 403), Denied, Denied),
        (client_error("AccessDeniedException", 400), Denied, Denied),
        (client_error("KMS.AccessDeniedException", 400), Denied, Denied),
        (client_error("403", 403), Denied, Denied),  # of a HEAD, which has no body
        (client_error("NoSuchVersion", 404), Missing, Missing),
        (client_error("QueueDoesNotExist", 400), Missing, Missing),
        (client_error("ServiceNotFoundException", 400), Missing, Missing),
        (client_error("ThrottlingException", 400), Unreadable, Rejected),
        (client_error("RequestThrottled", 403), Unreadable, Rejected),
        (client_error("SlowDown", 503), Unreadable, Rejected),
        (client_error("InternalFailure", 500), Unreadable, Ambiguous),
        (client_error("ServiceUnavailable", 503), Unreadable, Ambiguous),
        (client_error("Unknown", 0), Unreadable, Ambiguous),
        (client_error("InvalidParameterValue", 400), Rejected, Rejected),
        (ParamValidationError(report="x"), Rejected, Rejected),
        (ConnectTimeoutError(endpoint_url="x"), Unreadable, Rejected),
        (EndpointConnectionError(endpoint_url="x"), Unreadable, Rejected),
        (ReadTimeoutError(endpoint_url="x"), Unreadable, Ambiguous),
        (NoCredentialsError(), Unreadable, Ambiguous),
    ],
    ids=range(19),
)
def test_what_an_error_means(error: Any, reading: type[AwsError], writing: type[AwsError]) -> None:
    """What is not known to have been refused before it had an effect is ambiguous for a write."""
    assert type(translate(error, CALL, writing=False)) is reading
    said = translate(error, CALL, writing=True)
    assert type(said) is writing
    assert said.action == "sqs:SendMessage"


def test_an_answer_without_an_error_is_unclear() -> None:
    """Whatever AWS sends."""
    assert isinstance(translate(ClientError({}, "X"), CALL, writing=True), Ambiguous)


def test_throttled() -> None:
    """At the door; nothing else is."""
    assert throttled(translate(client_error("Throttling", 400), CALL, writing=True))
    assert not throttled(translate(client_error("InternalFailure", 500), CALL, writing=True))
    assert not throttled(ValueError())


@pytest.mark.parametrize(
    "error, out",
    [
        (client_error("Throttling", 400), True),
        (ConnectTimeoutError(endpoint_url="x"), True),
        (EndpointConnectionError(endpoint_url="x"), True),
        (ReadTimeoutError(endpoint_url="x"), False),
        (client_error("InternalFailure", 500), False),
        (client_error("ValidationError", 400), False),
    ],
)
def test_what_was_kept_out_may_get_in_later(error: ClientError | BotoCoreError, *, out: bool) -> None:
    """Nothing happened, and nobody said that the request is wrong."""
    assert kept_out(translate(error, CALL, writing=True)) is out


def test_reads_are_repeated_and_writes_are_not(account: Account) -> None:
    """One layer repeats: the SDK's, for reads."""
    client = account.aws.client("sqs")
    assert client.meta.config.retries["total_max_attempts"] == 4
    hand = account.aws.assume(
        f"arn:aws:iam::{ACCOUNT}:role/x",
        session_name="name",
        policy="{}",
        source_identity="name",
        duration=timedelta(minutes=15),
    )
    hand(Call("sqs", "CreateQueue", "*"), {"QueueName": "q"})
    assert hand._clients["sqs"].meta.config.retries["total_max_attempts"] == 1


def test_a_client_is_made_once(account: Account) -> None:
    """And shared."""
    assert account.aws.client("sqs") is account.aws.client("sqs")


def test_pages(account: Account) -> None:
    """Every item over all pages; more than the limit is an error, because half an answer must not pass for a whole."""
    for number in range(5):
        account.aws.client("sqs").create_queue(QueueName=f"page-{number}")
    params = {"QueueNamePrefix": "page-", "MaxResults": 2}
    assert len(list(account.aws.pages("sqs", "ListQueues", "QueueUrls", limit=5, **params))) == 5
    with pytest.raises(Unreadable, match="more than 4"):
        list(account.aws.pages("sqs", "ListQueues", "QueueUrls", limit=4, **params))
    account.wire.fail("sqs:ListQueues", "AccessDenied", status=403)
    with pytest.raises(Denied):
        list(account.aws.pages("sqs", "ListQueues", "QueueUrls", limit=5, **params))


def test_a_read_names_its_subject(account: Account) -> None:
    """A denial that does not say on what helps nobody."""
    account.wire.fail("sqs:GetQueueAttributes", "AccessDenied", status=403)
    with pytest.raises(Denied) as denied:
        account.aws.read("sqs", "GetQueueAttributes", QueueUrl="https://q", AttributeNames=["All"])
    assert denied.value.resource == "https://q"
    assert denied.value.action == "sqs:GetQueueAttributes"


@pytest.mark.parametrize("run", [Serial(), Threads(3)], ids=["serial", "threads"])
def test_results_come_in_the_order_of_the_work(run: Any) -> None:
    """However it is run."""
    assert run([lambda number=number: number for number in range(10)]) == list(range(10))
    assert run([]) == []
    with pytest.raises(ZeroDivisionError):
        run([lambda: 1, lambda: 1 // 0])


def test_threads_run_together() -> None:
    """Three at a time meet at one barrier."""
    barrier = Barrier(3, timeout=10)
    assert len(Threads(3)([barrier.wait] * 3)) == 3


def test_the_region_is_ours() -> None:
    """Whatever the shell says."""
    assert Aws(REGION).client("sqs").meta.region_name == REGION
