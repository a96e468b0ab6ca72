"""A queue exists when it is listed, is gone when a listing of its own account lacks it, and else is unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Readings, Unread
from nightshift.signals import gather, queue_url

from tests.nightshift.signals.cloud import ACCOUNT, NOW, Cloud, Params, queue


def exists(arn: Arn) -> ResourceRead:
    """Whether it exists."""
    return ResourceRead("sqs.exists", str(arn))


def attributes(arn: Arn) -> ResourceRead:
    """What it is like."""
    return ResourceRead("sqs.queue", str(arn))


def said(readings: Readings, read: ResourceRead) -> str:
    """The reason of an answer that must be unknown."""
    answer = readings.resource(read)
    assert isinstance(answer, Unread)
    return answer.reason


def listing(*pages: list[Arn]) -> Callable[[Params], dict[str, Any]]:
    """ListQueues with these pages; the token is the number of the page."""

    def answer(params: Params) -> dict[str, Any]:
        number = int(params.get("NextToken", "0"))
        page: dict[str, Any] = {"QueueUrls": [queue_url(arn) for arn in pages[number]]}
        return page | ({"NextToken": str(number + 1)} if number + 1 < len(pages) else {})

    return answer


def test_a_listing_answers_for_a_thousand_queues_a_page(cloud: Cloud) -> None:
    """2,001 queues are three pages, and every one that is not there is known to be gone."""
    there = [queue(f"orders-{number:04}-dlq") for number in range(2_001)]
    gone = [queue(f"orders-{number:04}-old") for number in (0, 1000, 2000)]
    cloud.answers["ListQueues"] = listing(there[:1000], there[1000:2000], there[2000:])
    readings = gather(cloud.aws(), map(exists, [*there, *gone]), now=NOW)
    assert [readings.resource(exists(arn)) for arn in there] == [{"QueueUrl": queue_url(arn)} for arn in there]
    assert [readings.resource(exists(arn)) for arn in gone] == [None, None, None]
    assert cloud.count == {"ListQueues": 3}
    assert {(params["MaxResults"], params["QueueNamePrefix"]) for params in cloud.asked("ListQueues")} == {
        (1000, "orders-")
    }


def test_the_listing_ends_when_all_were_seen(cloud: Cloud) -> None:
    """Queues of other people at the end of the list are not read."""
    mine = [queue(name) for name in ("a", "b", "c")]
    cloud.answers["ListQueues"] = listing(mine, [queue("d")], [queue("e")])
    gather(cloud.aws(), map(exists, mine), now=NOW)
    assert cloud.count == {"ListQueues": 1}
    assert "QueueNamePrefix" not in cloud.asked("ListQueues")[0]


def test_very_few_queues_are_listed_by_their_own_names(cloud: Cloud) -> None:
    """A queue and its dead-letter queue are one call however many queues the account has; two other queues are two."""
    cloud.queues(["orders", "orders-dlq", "payments", "other"])
    readings = gather(cloud.aws(), map(exists, map(queue, ["orders", "orders-dlq"])), now=NOW)
    assert [params["QueueNamePrefix"] for params in cloud.asked("ListQueues")] == ["orders"]
    assert None not in readings.answers.values()
    cloud.calls.clear()
    readings = gather(cloud.aws(), map(exists, map(queue, ["orders-dlq", "payments"])), now=NOW)
    assert [params["QueueNamePrefix"] for params in cloud.asked("ListQueues")] == ["orders-dlq", "payments"]
    assert None not in readings.answers.values()


@pytest.mark.parametrize("others", [0, 1, 4])
def test_a_deleted_queue_is_none(cloud: Cloud, others: int) -> None:
    """Gone is an answer: None, by the listing as by the queue's own attributes."""
    arns = cloud.queues(["gone", "nightshift-work", *(f"other-{number}" for number in range(others))])
    cloud.session.client("sqs").delete_queue(QueueUrl=queue_url(arns[0]))
    wanted = [arns[0], *arns[2:]]
    readings = gather(cloud.aws(), [*map(exists, wanted), *map(attributes, wanted)], now=NOW)
    assert readings.resource(exists(arns[0])) is None
    assert readings.resource(attributes(arns[0])) is None
    assert list(readings.answers.values()).count(None) == 2


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalFailure", "AccessDenied"])
def test_a_listing_that_breaks_off_proves_only_what_it_showed(cloud: Cloud, code: str) -> None:
    """A page that fails makes exactly the queues unknown that were not on the pages before it. None of them is gone."""
    first, second = [queue(f"a{number}") for number in range(3)], [queue(f"b{number}") for number in range(3)]
    cloud.answers["ListQueues"] = listing(first, second)
    cloud.fail("ListQueues", code, lambda params: "NextToken" in params)
    readings = gather(cloud.aws(), map(exists, first + second), now=NOW)
    assert [readings.resource(exists(arn)) for arn in first] == [{"QueueUrl": queue_url(arn)} for arn in first]
    assert all(code in said(readings, exists(arn)) for arn in second)


def test_a_listing_without_end_is_no_listing(cloud: Cloud) -> None:
    """More queues than we will page through leave the ones not yet seen unknown."""
    page = [queue_url(queue(f"other-{number}")) for number in range(1_000)]
    tokens = iter(range(1_000_000))
    cloud.answers["ListQueues"] = lambda _: {"QueueUrls": page, "NextToken": str(next(tokens))}
    readings = gather(cloud.aws(), [exists(queue("mine"))], now=NOW)
    assert "more than 100000 items" in said(readings, exists(queue("mine")))


def test_a_denied_listing_names_the_action(cloud: Cloud) -> None:
    """Who reads the reason knows what to grant."""
    cloud.fail("ListQueues", "AccessDenied")
    assert said(gather(cloud.aws(), [exists(queue("a"))], now=NOW), exists(queue("a"))).endswith("grant sqs:ListQueues")


def test_another_accounts_queue_is_not_gone(cloud: Cloud) -> None:
    """A listing shows one account. It says nothing about another's queue of the same name."""
    foreign = queue("mine", account="999999999999")
    cloud.queues(["mine"])
    readings = gather(cloud.aws(), [exists(queue("mine")), exists(foreign)], now=NOW)
    assert isinstance(readings.resource(exists(queue("mine"))), dict)
    assert f"account {ACCOUNT} only" in said(readings, exists(foreign))


def test_an_empty_listing_proves_nothing(cloud: Cloud) -> None:
    """An empty list is not "all gone": with no queue in sight nobody can tell whose account this is."""
    reads = [exists(queue(name)) for name in ("a", "b", "c")]
    assert "no queue at all" in said(gather(cloud.aws(), reads[:1], now=NOW), reads[0])
    assert "no queue at all" in said(gather(cloud.aws(), reads, now=NOW), reads[0])


def test_attributes_are_awss_own(cloud: Cloud) -> None:
    """One call a queue, every attribute, as text."""
    arns = cloud.queues(["a", "b"])
    readings = gather(cloud.aws(threads=True), map(attributes, arns), now=NOW)
    answer = readings.resource(attributes(arns[0]))
    assert isinstance(answer, dict)
    assert (answer["QueueArn"], answer["ApproximateNumberOfMessages"]) == (str(arns[0]), "0")
    assert cloud.count == {"GetQueueAttributes": 2}


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalFailure", "AccessDenied", "InvalidAddress"])
def test_one_queue_that_cannot_be_read_is_unknown_alone(cloud: Cloud, code: str) -> None:
    """Its neighbours are read; the reason names the call and the queue."""
    arns = cloud.queues(["a", "b", "c"])
    cloud.fail("GetQueueAttributes", code, lambda params: params["QueueUrl"].endswith("/b"))
    readings = gather(cloud.aws(threads=True), map(attributes, arns), now=NOW)
    reason = said(readings, attributes(arns[1]))
    assert all(part in reason for part in (code, "sqs:GetQueueAttributes", "/b"))
    assert [type(readings.resource(attributes(arn))) for arn in arns] == [dict, Unread, dict]


def test_no_attributes_is_no_answer(cloud: Cloud) -> None:
    """A queue always has attributes. None at all is half an answer."""
    cloud.answers["GetQueueAttributes"] = lambda _: {}
    assert "gave no attributes" in said(gather(cloud.aws(), [attributes(queue("a"))], now=NOW), attributes(queue("a")))
