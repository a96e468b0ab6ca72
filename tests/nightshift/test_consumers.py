"""Consumers: who finishes a queue's messages, and whether it works."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from nightshift.consumers import check_flow, check_function, check_works, consumers_of, short
from nightshift.errors import Refused
from nightshift.model import Arn, Target
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog

from tests.nightshift.remediations.account import DLQ, FUNCTION, NOW, SERVICE, SOURCE, Account, Eyes, service

TEN = timedelta(minutes=10)
MAPPING = {"FunctionArn": str(FUNCTION), "State": "Enabled"}


def works(account: Account, consumer: Arn) -> None:
    """Ask whether it works; Refused where it does not."""
    check_works(Eyes(account, SqsDlqBacklog), consumer, SOURCE, healthy_for=TEN, error_percent=1)


def lambda_account(errors: float = 0.0, **answers: Any) -> Account:
    """An account with a function that was invoked a hundred times."""
    given = {
        "lambda:ListEventSourceMappings": answers.get("mappings", [MAPPING]),
        "lambda:GetFunctionConcurrency": answers.get("concurrency", {}),
    }
    return Account(answers=given, metrics={("etl", "Errors"): [errors], ("etl", "Invocations"): [100.0]})


def test_the_configured_consumer_is_the_consumer() -> None:
    """Whoever else there may be."""
    other = Target(SERVICE, "g", queue=SOURCE)
    account = Account(registered=(other,))
    assert consumers_of(Eyes(account, SqsDlqBacklog), Target(DLQ, "g", consumer=FUNCTION), SOURCE) == (FUNCTION,)


def test_else_it_is_every_registered_service_of_that_queue() -> None:
    """Others' queues, and targets that are no services, do not count."""
    other = Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/other")
    registered = (Target(SERVICE, "g", queue=SOURCE), Target(other, "g", queue=DLQ), Target(SOURCE, "g", queue=SOURCE))
    assert consumers_of(Eyes(Account(registered=registered), SqsDlqBacklog), Target(DLQ, "g"), SOURCE) == (SERVICE,)


def test_else_it_is_whatever_function_the_queue_is_mapped_to() -> None:
    """A mapping that names no function is none."""
    account = lambda_account(mappings=[MAPPING, {"State": "Enabled"}])
    assert consumers_of(Eyes(account, SqsDlqBacklog), Target(DLQ, "g"), SOURCE) == (FUNCTION,)


def test_where_nobody_is_known_it_is_refused_for_good() -> None:
    """A person must say who consumes; waiting does not tell."""
    with pytest.raises(Refused, match="nobody is known to consume orders") as refused:
        consumers_of(Eyes(Account(), SqsDlqBacklog), Target(DLQ, "g"), SOURCE)
    assert refused.value.retry_after is None


def test_a_service_that_has_been_up_and_unchanged_works() -> None:
    """Deployed two days ago, complete, every task runs."""
    works(Account(), SERVICE)


@pytest.mark.parametrize(
    "described, why",
    [
        (None, "it does not exist"),
        (service(status="DRAINING"), "it is DRAINING"),
        (service(desiredCount=0, runningCount=0), "somebody has stopped it"),
        (service(runningCount=1), "1 of 2 tasks run"),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "IN_PROGRESS"),
        (service(deployment={"createdAt": None}), "since when it runs is not known"),
        (service(deployment={"createdAt": NOW - timedelta(minutes=9)}), "deployed 9 minutes ago"),
    ],
)
def test_a_service_that_does_not_work_holds_what_waits_for_it(described: dict[str, Any] | None, why: str) -> None:
    """Later, with its reason, and linked to the service: its own incident must end first."""
    with pytest.raises(Refused, match=why) as refused:
        works(Account(services={SERVICE: described}), SERVICE)
    assert refused.value.guard == "consumer"
    assert refused.value.retry_after == timedelta(minutes=2)
    assert refused.value.link == str(SERVICE)


def test_a_service_works_from_the_tenth_minute_on() -> None:
    """Not before, and not only after."""
    works(Account(services={SERVICE: service(deployment={"createdAt": NOW - TEN})}), SERVICE)


@pytest.mark.parametrize("suffix", ["", ":live"])
def test_a_function_works_whose_mapping_is_enabled(suffix: str) -> None:
    """Also where the mapping names an alias of it."""
    mapping = {"FunctionArn": f"{FUNCTION}{suffix}", "State": "Enabled"}
    works(lambda_account(mappings=[mapping]), FUNCTION)


@pytest.mark.parametrize(
    "other, why",
    [
        ({"mappings": []}, "mapping is missing"),
        ({"mappings": [{**MAPPING, "State": "Disabled"}]}, "mapping is Disabled"),
        ({"mappings": [{**MAPPING, "FunctionArn": f"{FUNCTION}2"}]}, "missing"),
        ({"concurrency": {"ReservedConcurrentExecutions": 0}}, "switched it off"),
        ({"errors": 2.0}, "2 of 100 invocations failed"),
    ],
)
def test_a_function_that_does_not_work_holds_what_waits_for_it(other: dict[str, Any], why: str) -> None:
    """Reserved concurrency 0 is somebody's deliberate act; more than one per cent of errors is not health."""
    with pytest.raises(Refused, match=why) as refused:
        works(lambda_account(**other), FUNCTION)
    assert refused.value.retry_after is not None


@pytest.mark.parametrize("other", [{"errors": 1.0}, {"concurrency": {"ReservedConcurrentExecutions": 5}}])
def test_a_function_may_fail_at_one_in_a_hundred_and_be_limited(other: dict[str, Any]) -> None:
    """A reservation is a limit, not an end; one error is not many."""
    works(lambda_account(**other), FUNCTION)


def test_a_consumer_that_is_neither_is_refused_for_good() -> None:
    """Nobody knows how to tell whether it works."""
    with pytest.raises(Refused, match="neither") as refused:
        works(Account(), DLQ)
    assert refused.value.retry_after is None


@pytest.mark.parametrize(
    "waiting, received, deleted, visible, guard",
    [
        (0, [], [], [], ""),  # nothing to do
        (0, [0.0] * 10, [0.0] * 10, [0.0] * 10, ""),
        (0, [9.0], [9.0], [3.0], ""),
        (0, [40.0], [20.0], [], ""),  # 1.5 x 20 and 10 in work at the edge
        (0, [41.0], [20.0], [], "consumer"),
        (0, [], [0.0] * 10, [1.0], "consumer"),  # messages waited, none was finished
        (1, [], [], [], "consumer"),
        (100, [1.0], [1.0], [], ""),
        (101, [1.0], [1.0], [], "source-backlog"),
        (101, [101.0], [101.0], [], ""),  # ten minutes of work
    ],
)
def test_what_is_taken_must_be_finished(
    waiting: int, received: list[float], deleted: list[float], visible: list[float], guard: str
) -> None:
    """Nothing finished, much received again and again, or a queue that is behind: each holds, with its numbers."""
    account = Account(
        metrics={
            ("orders", "NumberOfMessagesReceived"): received,
            ("orders", "NumberOfMessagesDeleted"): deleted,
            ("orders", "ApproximateNumberOfMessagesVisible"): visible,
        }
    )
    attributes = {"ApproximateNumberOfMessages": str(waiting)}
    read = Eyes(account, SqsDlqBacklog)
    if not guard:
        assert f"{waiting} wait" in check_flow(read, SERVICE, SOURCE, attributes, healthy_for=TEN, backlog=100)
        return
    with pytest.raises(Refused) as refused:
        check_flow(read, SERVICE, SOURCE, attributes, healthy_for=TEN, backlog=100)
    assert refused.value.guard == guard
    assert refused.value.retry_after == timedelta(minutes=2)
    assert refused.value.numbers["waiting"] == waiting


def test_names_for_people_are_short() -> None:
    """What a person calls it."""
    assert (short(SERVICE), short(FUNCTION)) == ("ecs prod/worker", "lambda etl")


@pytest.mark.parametrize(
    "said, errors, why",
    [
        (None, 0.0, "it does not exist"),
        ({"State": "Inactive", "LastUpdateStatus": "Successful"}, 0.0, "its state is Inactive"),
        ({"State": "Active"}, 0.0, "its last update is not known"),
        (
            {"State": "Active", "LastUpdateStatus": "Successful", "ReservedConcurrentExecutions": 0},
            0.0,
            "switched it off",
        ),
        ({"State": "Active", "LastUpdateStatus": "Successful"}, 2.0, "2 of 100 invocations failed"),
        ({"State": "Active", "LastUpdateStatus": "Successful"}, 1.0, ""),
    ],
)
def test_a_function_that_is_called_itself_must_be_there_to_be_called(said: Any, errors: float, why: str) -> None:
    """Whatever AWS does not say of it is no yes; and no mapping is asked for."""
    account = lambda_account(errors)
    account.services[FUNCTION] = said

    def ask() -> Any:
        return check_function(Eyes(account, SqsDlqBacklog), FUNCTION, healthy_for=TEN, error_percent=1)

    if not why:
        assert ask() == said
        return
    with pytest.raises(Refused, match=why) as refused:
        ask()
    assert refused.value.retry_after is not None
