"""The evaluator decides as AWS would, and refuses to guess."""

from __future__ import annotations

from typing import Any

import pytest

from tools.iam.policy import (
    Condition,
    Decision,
    Grant,
    NotUnderstood,
    decide,
    glob,
    grants,
    holds,
    overlap,
    parse,
    permitted,
)

QUEUE = "arn:aws:sqs:eu-central-1:111122223333:orders"


def policy(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy of these statements, which allow on everything unless they say otherwise."""
    filled = [
        {
            "Effect": "Allow",
            **({} if "NotAction" in each else {"Action": "sqs:SendMessage"}),
            **({} if "NotResource" in each else {"Resource": "*"}),
            **each,
        }
        for each in statements
    ]
    return {"Version": "2012-10-17", "Statement": filled}


@pytest.mark.parametrize(
    "statements, decision",
    [
        ([{}], Decision.ALLOWED),
        ([{"Action": ["sqs:ReceiveMessage", "SQS:sendmessage"]}], Decision.ALLOWED),
        ([{"Action": "sqs:Send*"}], Decision.ALLOWED),
        ([{"Action": "sqs:SendMessag?"}], Decision.ALLOWED),
        ([{"Action": "sqs:ReceiveMessage"}], Decision.SILENT),
        ([{"Resource": [QUEUE, "arn:aws:sqs:eu-central-1:111122223333:other"]}], Decision.ALLOWED),
        ([{"Resource": "arn:aws:sqs:eu-central-1:111122223333:ord*"}], Decision.ALLOWED),
        ([{"Resource": "arn:aws:sqs:eu-central-1:111122223333:Orders"}], Decision.SILENT),
        ([{"NotAction": "iam:*"}], Decision.ALLOWED),
        ([{"NotAction": ["sqs:*"]}], Decision.SILENT),
        ([{"NotResource": QUEUE}], Decision.SILENT),
        ([{"NotResource": "arn:aws:sqs:eu-central-1:111122223333:other"}], Decision.ALLOWED),
        ([{}, {"Effect": "Deny"}], Decision.DENIED),
        ([{"Effect": "Deny"}, {}], Decision.DENIED),
        ([{}, {"Effect": "Deny", "NotAction": "sqs:SendMessage"}], Decision.ALLOWED),
        ([{}, {"Effect": "Deny", "NotResource": QUEUE}], Decision.ALLOWED),
        ([{}, {"Effect": "Deny", "Resource": "arn:aws:s3:::x"}], Decision.ALLOWED),
    ],
)
def test_a_deny_wins_and_an_allow_is_needed(statements: list[dict[str, Any]], decision: Decision) -> None:
    """Actions without regard to case, resources with it, ``*`` and ``?`` in both."""
    assert decide(parse(policy(*statements)), "sqs:SendMessage", QUEUE, {}) is decision


@pytest.mark.parametrize(
    "operator, wanted, said, met",
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", "a*", "ab", False),
        ("StringLike", "a*", "ab", True),
        ("StringLike", "????T????-????????", "20261119T0125-1407baf7", False),
        ("StringLike", "????????T????-????????", "20261119T0125-1407baf7", True),
        ("ArnEquals", "arn:aws:ecs:*:1:cluster/a", "arn:aws:ecs:eu:1:cluster/a", True),
        ("ArnLike", "arn:aws:*:cluster/a", "arn:aws:ecs:eu:1:cluster/a", False),
        ("Bool", "true", "True", True),
        ("ForAnyValue:StringEquals", "SWITCH", "SWITCH", True),
        ("ForAnyValue:StringEquals", "SWITCH", "INCIDENT#…", False),
        ("StringEquals", "a", None, False),
        ("BoolIfExists", "false", None, True),
        ("BoolIfExists", "false", "true", False),
        ("BoolIfExists", "false", "false", True),
    ],
)
def test_a_condition_holds_or_not(operator: str, wanted: str, said: str | None, met: bool) -> None:
    """What a request says is compared as the operator does; what it is known not to say matches only if it need not."""
    assert holds(Condition(operator, "key", ("something else", wanted)), {"key": said}) is met


@pytest.mark.parametrize(
    "document",
    [
        {"Version": "2008-10-17", "Statement": []},
        {"Statement": []},
        policy({"Principal": "*"}),
        policy({"Effect": "Maybe"}),
        policy({"NotAction": "a:b", "Action": "a:b"}),
        policy({"NotResource": "a", "Resource": "b"}),
        policy({"Resource": "arn:aws:s3:::${aws:username}"}),
        policy({"Resource": {"Fn::GetAtt": ["a", "Arn"]}}),
    ],
    ids=["version", "no-version", "principal", "effect", "actions", "resources", "variable", "intrinsic"],
)
def test_a_policy_that_is_not_understood_is_refused(document: dict[str, Any]) -> None:
    """Nobody reads past what he does not know."""
    with pytest.raises(NotUnderstood):
        parse(document)


@pytest.mark.parametrize(
    "condition",
    [{"NumericLessThan": {"key": "1"}}, {"ForAllValues:StringEquals": {"key": "1"}}, {"StringEquals": {"other": "1"}}],
    ids=["operator", "set-operator", "key"],
)
def test_a_condition_that_is_not_understood_is_refused(condition: dict[str, Any]) -> None:
    """Also where another condition of the same statement already fails."""
    statement = policy({"Condition": {"StringEquals": {"key": "never"}, **condition}})
    if "StringEquals" in condition:
        statement = policy({"Condition": {"StringEquals": {"key": "never", "other": "1"}}})
    with pytest.raises(NotUnderstood):
        decide(parse(statement), "sqs:SendMessage", QUEUE, {"key": "1"})


def test_every_layer_must_allow() -> None:
    """A role, its boundary and its session policy: each can only take away."""
    both, one = parse(policy({"Action": ["sqs:SendMessage", "sqs:ReceiveMessage"]})), parse(policy({}))
    assert permitted([both, one], "sqs:SendMessage", QUEUE, {})
    assert not permitted([both, one], "sqs:ReceiveMessage", QUEUE, {})


def test_grants_are_what_is_allowed_taken_apart() -> None:
    """One action, one resource, one value of each condition; an allow of all but something cannot be listed."""
    on = {"StringEquals": {"x": ["1", "2"], "y": "3"}}
    found = set(grants(parse(policy({"Action": ["a:B", "a:C"], "Resource": ["r"], "Condition": on}))))
    assert found == {
        Grant(action, "r", (Condition("StringEquals", "x", (x,)), Condition("StringEquals", "y", ("3",))))
        for action in ("a:B", "a:C")
        for x in ("1", "2")
    }
    assert not list(grants(parse(policy({"Effect": "Deny"}))))
    with pytest.raises(NotUnderstood):
        list(grants(parse(policy({"NotAction": "a:B"}))))


@pytest.mark.parametrize(
    "one, other, both",
    [
        ("a*", "*b", True),
        ("a*c", "ab*", True),
        ("a?c", "abc", True),
        ("a*", "b*", False),
        ("task/*", "task/apps/*", True),
        ("task/*/*", "cluster/*", False),
        ("", "*", True),
        ("", "a", False),
    ],
)
def test_two_patterns_overlap_where_a_text_matches_both(one: str, other: str, both: bool) -> None:
    """Whichever is asked first."""
    assert overlap(one, other) is overlap(other, one) is both


def test_nothing_but_the_two_wildcards_is_special() -> None:
    """Brackets, dots and plus signs are themselves."""
    assert glob("a[b].c+", "a[b].c+")
    assert not glob("a[b]", "ab")
    assert not glob("a.c", "abc")
