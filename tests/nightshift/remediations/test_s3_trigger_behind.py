"""Triggers that come faster than they go: when that is told, whose it is, and what would help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Query,
    Sick,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Reader, Readings, Series, Unread
from nightshift.remediations.s3_trigger_behind import S3TriggerBehind

from tests.nightshift.remediations.account import NOW

SQS = "arn:aws:sqs:eu-central-1:123456789012"
HTS = Customer(
    "hts",
    Arn.parse(f"{SQS}:hts"),
    Arn.parse(f"{SQS}:hts-dlq"),
    Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"),
)
TARGET = Target(Arn.parse("arn:aws:s3:::metadata"), "changes", triggers=Triggers("customers/", "archive/", (HTS,)))


def standing(count: int = 60, age: float = 8, customer: str = "hts") -> dict[str, Any]:
    """A listing of so many triggers of a customer."""
    at = NOW - timedelta(minutes=age)
    oldest = [{"Key": f"customers/{customer}/{n}.json", "LastModified": at} for n in range(min(count, 100))]
    return {"Count": count, "Oldest": tuple(oldest), "Truncated": False}


def holds(number: int) -> dict[str, str]:
    """A queue with so many messages."""
    return {"ApproximateNumberOfMessages": str(number)}


@dataclass
class Eyes:
    """What there is to be read."""

    listing: Any = field(default_factory=standing)
    made: Any = None
    deleted: Any = None
    queue: Any = field(default_factory=lambda: holds(40))
    dead: Any = field(default_factory=lambda: holds(0))
    service: Any = field(default_factory=lambda: {"runningCount": 2, "desiredCount": 2})

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(query) for query in queries})

    def _answer(self, query: Query) -> Any:
        if isinstance(query, MetricQuery):
            value = self.made if query.metric == "TriggerCreationRate" else self.deleted
            return value if isinstance(value, Unread) else Series(() if value is None else ((NOW, float(value)),))
        by_key: Mapping[str, Any] = {f"{SQS}:hts": self.queue, f"{SQS}:hts-dlq": self.dead}
        return {"s3.triggers": self.listing, "ecs.service": self.service}.get(query.kind, by_key.get(query.key))

    def look(self, **settings: Any) -> Healthy | Sick | Unknown:
        """What a look finds."""
        one = S3TriggerBehind(**settings)
        return one.detect(TARGET, self.seen(*one.watch(TARGET)))

    def diagnose(self, target: Target = TARGET) -> Diagnosis:
        """What a diagnosis says."""
        one = S3TriggerBehind()
        return one.diagnose(cast("Reader", self), target, Finding(one.name, str(TARGET.arn), "x"))


def test_many_that_stand_for_minutes_are_told() -> None:
    """Where nobody counts what is made and deleted, what stands says it alone."""
    seen = Eyes().look()
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "60 triggers stand in metadata, the oldest for 8 minutes"
    [signal] = seen.finding.signals
    assert (signal.value, signal.threshold) == (60, 50)


@pytest.mark.parametrize("listing", [standing(49), standing(60, 5), standing(0)], ids=["few", "young", "none"])
def test_few_or_young_ones_are_none(listing: Any) -> None:
    """A burst is processed within minutes."""
    assert isinstance(Eyes(listing).look(), Healthy)


def test_what_gets_worse_stays_sick() -> None:
    """An hour later it is another one's too, and no recovery."""
    assert isinstance(Eyes(standing(500, 90)).look(), Sick)


def test_as_many_that_go_as_come_are_no_failure() -> None:
    """The system's own counters, where it has both; fewer deleted are a figure of the report."""
    seen = Eyes(made=1000, deleted=900).look()
    assert isinstance(seen, Healthy)
    assert seen.summary.endswith("90 % of what was made in an hour was deleted")
    behind = Eyes(made=1000, deleted=899).look()
    assert isinstance(behind, Sick)
    assert [(each.value, each.unit) for each in behind.finding.signals] == [(60, ""), (89.9, "%")]
    for one in (Eyes(made=1000), Eyes(deleted=5), Eyes(made=0, deleted=0)):
        seen = one.look()
        assert isinstance(seen, Sick)
        assert len(seen.finding.signals) == 1


@pytest.mark.parametrize(
    "on",
    [
        Eyes(Unread("no")),
        Eyes(None),
        Eyes({"Count": "x", "Oldest": ()}),
        Eyes({"Count": 60, "Oldest": [{}]}),
        Eyes(made=Unread("no")),
        Eyes(deleted=Unread("no")),
    ],
)
def test_what_cannot_be_read_is_unknown(on: Eyes) -> None:
    """Never well, never sick."""
    assert isinstance(on.look(), Unknown)


def test_a_bucket_without_triggers_is_not_its() -> None:
    """Nobody has said what stands in it."""
    bare = Target(TARGET.arn, "g")
    assert not S3TriggerBehind().takes(bare)
    assert S3TriggerBehind().watch(bare) == ()
    assert isinstance(S3TriggerBehind().detect(bare, Readings(NOW)), Unknown)
    with pytest.raises(Refused):
        Eyes().diagnose(bare)


@pytest.mark.parametrize(
    "other, why, more",
    [
        ({}, "its consumer finishes less than it is told", True),
        ({"service": {"runningCount": 1, "desiredCount": 2}}, "1 of its 2 tasks run", True),
        ({"queue": holds(0), "dead": holds(3)}, "its messages die", False),
        ({"queue": holds(0)}, "nobody tells its consumer, or that cannot finish", False),
        ({"queue": Unread("no"), "dead": None, "service": None}, "its queue cannot be read", False),
    ],
)
def test_the_cause_is_the_line_of_whoever_has_most(other: dict[str, Any], why: str, more: bool) -> None:
    """More tasks are recommended only where messages wait for those that there are."""
    found = Eyes(**other).diagnose()
    assert found.cause == f"60 of the 60 oldest are hts's: {why}"
    advice = "\n".join(found.advice)
    assert ("update-service --cluster prod --service hts --desired-count 3 (a write)" in advice) is more
    assert "aws ecs describe-services --cluster prod --services hts (read only)" in advice


def test_the_evidence_is_every_customers_line() -> None:
    """What cannot be read has a question mark."""
    [evidence] = Eyes(dead=Unread("no"), service=None).diagnose().evidence
    assert evidence == "hts: 60 of the 60 oldest; 40 messages in its queue, ? dead, ? of ? tasks run"


def test_triggers_of_nobody_are_told_as_such() -> None:
    """A customer that nobody has configured."""
    found = Eyes(standing(customer="new")).diagnose()
    assert found.cause == "60 of the 60 oldest are nobody's: its triggers are told to no queue that is known"
    assert found.advice == ("name its customer in the configuration, with its queues; or delete what nobody needs",)


def test_what_is_gone_meanwhile_is_not_told() -> None:
    """The diagnosis looks again."""
    for listing in (standing(0), None):
        with pytest.raises(Refused) as refused:
            Eyes(listing).diagnose()
        assert refused.value.retry_after is not None


@given(
    st.dictionaries(st.sampled_from(["Count", "Oldest"]), st.none() | st.integers() | st.lists(st.text())) | st.none()
)
def test_any_listing_is_judged(listing: Any) -> None:
    """Whatever stands in it."""
    assert isinstance(Eyes(listing).look(), Healthy | Sick | Unknown)
