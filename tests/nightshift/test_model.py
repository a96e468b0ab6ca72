"""The words of the design: what they say of themselves, and that they survive a trip through JSON."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn, Call, Incident, Ledger, Mode, Plan, Step, Target, Verdict
from nightshift.remediation import Remediation, Series
from pydantic import TypeAdapter, ValidationError

from tests.support.toy import START, Toy, queue_arn

ARN = queue_arn("orders")


@pytest.mark.parametrize(
    "text, kind, name",
    [
        (ARN, "sqs:queue", "orders"),
        ("arn:aws:ecs:eu-west-1:123456789012:service/prod/worker", "ecs:service", "worker"),
        ("arn:aws:lambda:eu-west-1:123456789012:function:worker", "lambda:function", "worker"),
        ("arn:aws:s3:::bucket", "s3:bucket", "bucket"),
        ("arn:aws-cn:sns:cn-north-1:123456789012:topic", "sns:topic", "topic"),
    ],
)
def test_an_arn_is_taken_apart(text: str, kind: str, name: str) -> None:
    """And put together again."""
    arn = Arn.parse(text)
    assert (str(arn), arn.kind, arn.name) == (text, kind, name)


@pytest.mark.parametrize(
    "text",
    ["", "orders", "arn:aws:sqs", "arn:aws:sqs:eu-west-1:12:q", f"{ARN}\n", "arn:aws:sqs:eu-west-1::", f" {ARN}"],
)
def test_anything_else_is_no_arn(text: str) -> None:
    """With a message that says what is expected."""
    with pytest.raises(ValueError, match="not an ARN"):
        Arn.parse(text)


@given(st.text(max_size=80))
def test_parsing_an_arn_never_fails_otherwise(text: str) -> None:
    """Whatever the text."""
    with suppress(ValueError):
        assert str(Arn.parse(text)) == text


def test_modes_are_ordered() -> None:
    """Observe < approve < auto."""
    assert [mode.rank for mode in (Mode.OBSERVE, Mode.APPROVE, Mode.AUTO)] == [0, 1, 2]


def test_links() -> None:
    """What is named beside a target."""
    arn = Arn.parse(ARN)
    assert Target(arn, "s").linked == ()
    assert Target(arn, "s", consumer=arn, queue=arn).linked == (arn, arn)


def plan(**call: Any) -> Plan:
    """A plan of one call."""
    one = Call("sqs", "SetQueueAttributes", ARN, **{"params": {"b": 1, "a": [1, 2]}, **call})
    return Plan("toy", ARN, "summary", (Step("one", (one,), timedelta(seconds=5)),), risk="r", undo_by_hand="u")


def test_equal_plans_hash_equally() -> None:
    """In whatever order mappings were filled, and whatever is said about it."""
    assert plan().hash == plan(params={"a": (1, 2), "b": 1}).hash
    assert replace(plan(), summary="other", risk="other").hash == plan().hash
    assert len(plan().hash) == 16


@pytest.mark.parametrize(
    "change",
    [
        {"params": {"a": [1, 2], "b": 2}},
        {"resource": ARN + "x"},
        {"before": {"x": 1}},
        {"times": 2},
        {"free": ("x",)},
        {"grants": (("kms:Decrypt", "key"),)},
    ],
)
def test_whatever_would_be_done_counts(change: dict[str, Any]) -> None:
    """A yes to one plan is no yes to another."""
    [step] = plan().steps
    [call] = step.calls
    other = replace(plan(), steps=(replace(step, calls=(replace(call, **change),)),))
    assert other.hash != plan().hash


def test_time_and_money_and_undo_count() -> None:
    """And how long, how dear, how it is undone."""
    [step] = plan().steps
    others = [
        replace(plan(), cost_per_hour=1.0),
        replace(plan(), lease=timedelta(hours=1)),
        replace(plan(), target=ARN + "x"),
        replace(plan(), steps=(replace(step, settle=timedelta(0)),)),
        replace(plan(), steps=(replace(step, undo=step.calls),)),
        replace(plan(), steps=(step, step)),
    ]
    assert len({other.hash for other in others} | {plan().hash}) == len(others) + 1


def test_a_plan_is_the_same_after_json() -> None:
    """The hash that was approved is the hash that is acted on, whatever the table made of tuples."""
    toy = Toy(lease=timedelta(hours=1), steps=2, undoes=True)
    made = replace(plan(params={"a": (1, 2)}), steps=(toy._step(ARN, 1, {"delay": "5"}),), lease=toy.lease)
    adapter = TypeAdapter(Plan)
    assert adapter.validate_json(adapter.dump_json(made)).hash == made.hash


def test_nothing_that_json_has_not_gets_into_a_hash() -> None:
    """NaN has no equal."""
    with pytest.raises(ValueError, match="JSON"):
        _ = plan(params={"a": float("nan")}).hash


def test_iam_has_its_own_names() -> None:
    """What the call is called in a policy."""
    assert Call("s3", "CopyObject", "*").action == "s3:PutObject"
    assert Call("ecs", "UpdateService", "*").action == "ecs:UpdateService"
    assert Call("elbv2", "DescribeTargetHealth", "*").action == "elasticloadbalancing:DescribeTargetHealth"


@given(st.builds(Ledger))
def test_a_ledger_says_whether_it_adds_up(ledger: Ledger) -> None:
    """Moved = processed + returned + quarantined + remaining."""
    whole = replace(ledger, moved=ledger.processed + ledger.returned + ledger.quarantined + ledger.remaining)
    assert whole.balanced
    assert not replace(whole, moved=whole.moved + 1).balanced
    assert not Ledger()
    assert Ledger(left=1)


@given(st.from_type(Verdict))
def test_an_incident_is_the_same_after_json(verdict: Verdict) -> None:
    """The record in the table is the record."""
    incident = Incident(
        "i", "toy", ARN, "s", START, START, START, finding=_finding(), verdict=verdict, scratch={"a": 1}
    )
    adapter = TypeAdapter(Incident)
    assert adapter.validate_json(adapter.dump_json(incident)) == incident


def _finding() -> Any:
    from nightshift.model import Finding

    return Finding("toy", ARN, "it hurts")


def test_settings_are_strict() -> None:
    """No unknown setting, no change afterwards, at most three attempts, careful by default."""
    with pytest.raises(ValidationError):
        Toy(max_attempts=4)
    with pytest.raises(ValidationError):
        Toy(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Toy().mode = Mode.AUTO  # type: ignore[misc]
    assert Remediation.model_fields["mode"].default is Mode.OBSERVE


def test_an_explicit_list_decides_who_takes_a_target() -> None:
    """Else its kind does."""
    arn = Arn.parse(ARN)
    assert Toy().takes(Target(arn, "s"))
    assert not Toy().takes(Target(arn, "s", remediations=("other",)))
    assert not Toy().takes(Target(Arn.parse("arn:aws:s3:::b"), "s"))
    assert Toy().takes(Target(Arn.parse("arn:aws:s3:::b"), "s", remediations=("toy",)))


def test_a_series() -> None:
    """The newest points, and their sum."""
    series = Series(tuple((START + timedelta(minutes=n), float(n)) for n in range(4)))
    assert series.last(2) == (2.0, 3.0)
    assert series.last(9) == (0.0, 1.0, 2.0, 3.0)
    assert series.total == 6.0
    assert Series().total == 0
