"""One resource, now: a value, or an error that says why there is none."""

from __future__ import annotations

from typing import Any

import pytest
from nightshift import states
from nightshift.errors import Missing, Unreadable
from nightshift.remediation import Unread
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from nightshift.signals import queue_metric

from tests.nightshift.remediations.account import NOW, SERVICE, SOURCE, Account, Eyes, service

DELETED = queue_metric(SOURCE, "NumberOfMessagesDeleted", "Sum")


def eyes(account: Account) -> Eyes:
    """A reader of it."""
    return Eyes(account, SqsDlqBacklog)


def test_what_can_be_read_is_given() -> None:
    """Attributes, a service, a series."""
    read = eyes(Account())
    assert states.queue(read, SOURCE)["VisibilityTimeout"] == "60"
    assert states.service(read, SERVICE)["status"] == "ACTIVE"
    assert states.series(read, DELETED).total == 75.0
    assert states.sums(read, DELETED, DELETED) == (75.0, 75.0)


def test_what_does_not_exist_is_missing_and_what_cannot_be_read_is_unreadable() -> None:
    """A diagnosis without a reading has nothing to say, and never takes it for an empty one."""
    gone = eyes(Account(attributes={SOURCE: None}, services={SERVICE: None}))
    blind = eyes(
        Account(
            attributes={SOURCE: Unread("throttled")},
            services={SERVICE: Unread("throttled")},
            metrics={("orders", "NumberOfMessagesDeleted"): Unread("throttled")},
        )
    )
    with pytest.raises(Missing, match="orders"):
        states.queue(gone, SOURCE)
    with pytest.raises(Missing, match="worker"):
        states.service(gone, SERVICE)
    with pytest.raises(Unreadable, match="throttled"):
        states.queue(blind, SOURCE)
    with pytest.raises(Unreadable, match="throttled"):
        states.service(blind, SERVICE)
    with pytest.raises(Unreadable, match="throttled"):
        states.series(blind, DELETED)


@pytest.mark.parametrize(
    "attributes, count",
    [
        ({"ApproximateNumberOfMessages": "3"}, 3),
        (
            {
                "ApproximateNumberOfMessages": "3",
                "ApproximateNumberOfMessagesNotVisible": "4",
                "ApproximateNumberOfMessagesDelayed": "5",
            },
            12,
        ),
        ({"ApproximateNumberOfMessagesNotVisible": "4"}, None),
        ({"ApproximateNumberOfMessages": "many"}, None),
    ],
)
def test_all_messages_of_a_queue_are_counted_or_none(attributes: dict[str, Any], count: int | None) -> None:
    """In hands and delayed count too; without the visible ones there is no count, and no zero either."""
    assert states.messages(attributes) == count


@pytest.mark.parametrize(
    "described, why",
    [
        (service(), ""),
        (service(deployments=[]), "0 deployments"),
        (service(deployments=[{}, {}]), "2 deployments"),
        (service(deployment={"rolloutState": "IN_PROGRESS"}), "its deployment is IN_PROGRESS"),
        (service(deployments=[{"id": "x"}]), "in an unknown state"),
        (service(deployment={"failedTasks": 3}), "3 tasks of its deployment failed"),
        (service(runningCount=1), "1 of 2 tasks run"),
        (service(runningCount=3), "3 of 2 tasks run"),
    ],
)
def test_a_service_is_finished_only_when_one_complete_deployment_has_every_task(
    described: dict[str, Any], why: str
) -> None:
    """Anything else is said."""
    assert why in states.unfinished(described)
    assert bool(why) == bool(states.unfinished(described))


def test_the_primary_deployment_and_its_beginning_are_known_or_not() -> None:
    """What ECS does not say is None."""
    assert (states.primary(service()) or {})["id"] == "ecs-svc/1"
    assert states.primary({}) is None
    assert states.began({"createdAt": NOW}) == NOW
    assert states.began({}) is None
    assert states.began(None) is None
