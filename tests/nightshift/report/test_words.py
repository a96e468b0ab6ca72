"""Times, numbers and values read as a person would say them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.report.words import (
    HIDDEN,
    changes,
    clock,
    count,
    duration,
    joined,
    moment,
    money,
    name_of,
    number,
    shown,
)


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (1385, "23 min 5 s"),
        (7500, "2 h 5 min"),
        (7200, "2 h"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: int, said: str) -> None:
    """The two largest units are enough."""
    assert duration(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    "value, said",
    [(12.0, "12"), (93.4, "93.4"), (1_250_000, "1,250,000"), (0.00012, "0.00012"), (float("nan"), "nan"), (0.5, "0.5")],
)
def test_numbers(value: float, said: str) -> None:
    """No trailing zeros, and no number is rounded to nothing."""
    assert number(value) == said


def test_plurals_and_lists() -> None:
    """One message, two messages; one, two and three."""
    assert [count(n, "message") for n in (0, 1, 2, 1200)] == ["0 messages", "1 message", "2 messages", "1,200 messages"]
    assert [joined(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_money() -> None:
    """A known zero is zero; less than a cent is not nothing."""
    assert [money(value) for value in (0.0, 0.004, 0.12, float("inf"))] == [
        "$0.00",
        "less than $0.01",
        "$0.12",
        "an unknown amount",
    ]


def test_times_are_utc() -> None:
    """Every time is UTC and says so; a date is said when it is not today's."""
    tokyo = datetime(2025, 3, 2, 12, 14, 5, tzinfo=timezone(timedelta(hours=9)))
    assert moment(tokyo) == "2025-03-02 03:14:05 UTC"
    assert clock(tokyo, datetime(2025, 3, 2, tzinfo=UTC)) == "03:14 UTC"
    assert clock(tokyo, datetime(2025, 3, 1, tzinfo=UTC)) == "2025-03-02 03:14 UTC"
    assert moment(datetime.max.replace(tzinfo=timezone(-timedelta(hours=9)))).startswith("9999-12-31")


def test_changes_are_before_and_after() -> None:
    """What changed is an arrow; what only one side knows says which side."""
    assert changes({"desiredCount": 2, "x": 1, "gone": "y"}, {"desiredCount": 4, "x": 1, "new": [1]}) == [
        "desiredCount 2 -> 4",
        "x 1, unchanged",
        "gone was y",
        "new is [1]",
    ]


def test_bodies_and_secrets_are_named_never_shown() -> None:
    """A message's body, a payload, a receipt handle, an environment: that there is one is all that a report says."""
    value = {
        "MessageBody": "canary", "Payload": {"a": "canary"}, "deep": [{"ReceiptHandle": "canary"}],
        "environment": [{"name": "X", "value": "canary"}], "dbPassword": "canary", "SecretArn": "arn:x",
    }  # fmt: skip
    assert "canary" not in json.dumps(shown(value))
    assert shown(value)["MessageBody"] == HIDDEN
    assert shown(value)["SecretArn"] == "arn:x"


def test_a_name_is_what_a_person_calls_it() -> None:
    """The last part of an ARN; other text as it is; never nothing."""
    assert name_of("arn:aws:sqs:eu-central-1:111122223333:orders-dlq") == "orders-dlq"
    assert [name_of(text) for text in ("orders", "", "\x00")] == ["orders", "(no name)", "(no name)"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)


@given(_JSON)
def test_any_value_can_be_published(value: Any) -> None:
    """Whatever was in a parameter becomes strict JSON that encodes."""
    json.dumps(shown(value), allow_nan=False, ensure_ascii=False).encode()
