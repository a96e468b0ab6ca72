"""What a policy says to a service of AWS, and whom a bucket tells: yes, no, and what nobody can tell from here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn
from nightshift.wiring import Asked, Share, Word, relays, says, tells

QUEUE = Arn.parse("arn:aws:sqs:eu-central-1:123456789012:orders")
BUCKET = "arn:aws:s3:::content"
ASKED = Asked("s3.amazonaws.com", "sqs:SendMessage", str(QUEUE), BUCKET, "123456789012")
ALLOW: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "SQS:SendMessage",
    "Resource": str(QUEUE),
    "Condition": {"ArnLike": {"aws:SourceArn": BUCKET}, "StringEquals": {"aws:SourceAccount": "123456789012"}},
}
DENY = {**ALLOW, "Effect": "Deny", "Principal": "*"}


def said(*statements: Any) -> Word:
    """What a policy of these statements says."""
    one = statements[0] if len(statements) == 1 else list(statements)
    return says(json.dumps({"Version": "2012-10-17", "Statement": one}), ASKED)


def on(**conditions: Any) -> dict[str, Any]:
    """An Allow under these conditions."""
    return {**ALLOW, "Condition": conditions}


# -- policies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"Principal": "*"},
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": ["*"]}},
        {"Principal": {"Service": ["sns.amazonaws.com", "s3.amazonaws.com"]}},
        {"Action": ["sqs:Receive*", "sqs:Send*"]},
        {"Action": "*"},
        {"Action": "sqs:SendMessag?"},
        {"Resource": "*"},
        {"Resource": ["arn:aws:sqs:eu-central-1:123456789012:other", "arn:aws:sqs:*:123456789012:orders"]},
        {"Action": None, "NotAction": "sqs:DeleteMessage"},
        {"Resource": None, "NotResource": "arn:aws:sqs:eu-central-1:123456789012:other"},
        {"Condition": None},
        {"Condition": {}},
    ],
)
def test_a_statement_that_fits_allows(change: dict[str, Any]) -> None:
    """Whoever writes it, one of a thing or a list of them; names of actions have no case."""
    assert said({key: value for key, value in {**ALLOW, **change}.items() if value is not None}) is Word.ALLOWED


@pytest.mark.parametrize(
    "change",
    [
        {"Principal": {"Service": "sns.amazonaws.com"}},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
        {"Principal": "s3.amazonaws.com"},
        {"Action": "sqs:ReceiveMessage"},
        {"Action": None, "NotAction": ["sqs:send*"]},
        {"Resource": "arn:aws:sqs:eu-central-1:123456789012:orders-dlq"},
        {"Resource": "arn:aws:sqs:eu-central-1:123456789012:order[s]"},
        {"Resource": None, "NotResource": "*"},
        {"Effect": "allow"},
    ],
)
def test_a_statement_about_something_else_says_nothing(change: dict[str, Any]) -> None:
    """Then nothing lets it."""
    assert said({key: value for key, value in {**ALLOW, **change}.items() if value is not None}) is Word.SILENT


def test_no_policy_is_silent_and_one_that_cannot_be_read_is_unclear() -> None:
    """A policy that two readers might read in two ways is no proof of anything."""
    assert says(None, ASKED) is says("", ASKED) is Word.SILENT
    assert says('{"Statement": []}', ASKED) is says("{}", ASKED) is Word.SILENT
    for text in ("{", "[]", '{"Statement": ["x"]}', '{"Statement": [], "Statement": []}'):
        assert says(text, ASKED) is Word.UNCLEAR


@pytest.mark.parametrize(
    "conditions, word",
    [
        ({"ArnEquals": {"AWS:SourceArn": "arn:aws:s3:*:*:content"}}, Word.ALLOWED),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:s3:::other"}}, Word.SILENT),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:s3*"}}, Word.SILENT),
        ({"ArnLike": {"aws:SourceArn": ["arn:aws:s3:::other", "arn:aws:s3:::con*"]}}, Word.ALLOWED),
        ({"ArnNotEquals": {"aws:SourceArn": BUCKET}}, Word.SILENT),
        ({"ArnNotLike": {"aws:SourceArn": "arn:aws:s3:::other"}}, Word.ALLOWED),
        ({"StringEquals": {"aws:SourceArn": BUCKET}}, Word.ALLOWED),
        ({"StringEquals": {"aws:SourceArn": "arn:aws:s3:::*"}}, Word.SILENT),
        ({"StringNotEquals": {"aws:SourceAccount": "999999999999"}}, Word.ALLOWED),
        ({"StringLike": {"aws:SourceArn": "arn:aws:s3:::c*"}}, Word.ALLOWED),
        ({"StringNotLike": {"aws:SourceArn": "arn:aws:s3:::c*"}}, Word.SILENT),
        ({"StringEqualsIfExists": {"aws:SourceAccount": ["1", "123456789012"]}}, Word.ALLOWED),
        ({"StringEqualsIgnoreCase": {"aws:PrincipalServiceName": "S3.amazonaws.com"}}, Word.ALLOWED),
        ({"StringEquals": {"aws:SourceAccount": "999999999999"}}, Word.SILENT),
        ({"Bool": {"aws:SecureTransport": True}}, Word.ALLOWED),
        ({"Bool": {"aws:SecureTransport": "false"}}, Word.SILENT),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, Word.ALLOWED),
        ({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}, Word.UNCLEAR),
        ({"ForAnyValue:StringEquals": {"aws:SourceAccount": "123456789012"}}, Word.UNCLEAR),
        ({"Null": {"aws:SourceArn": "false"}}, Word.UNCLEAR),
        ({"StringEquals": "odd"}, Word.UNCLEAR),
        (  # one that does not hold is enough
            {"StringEquals": {"aws:PrincipalOrgID": "o-1", "aws:SourceAccount": "999999999999"}},
            Word.SILENT,
        ),
    ],
)
def test_a_condition_holds_fails_or_is_not_known(conditions: dict[str, Any], word: Word) -> None:
    """A wildcard of an ARN does not reach over a colon; what is not known here is no yes and no no."""
    assert said(on(**conditions)) is word


def test_conditions_that_are_none_are_unclear() -> None:
    """As is a principal that is named by whom it is not, and a statement about nothing."""
    assert said({**ALLOW, "Condition": ["x"]}) is Word.UNCLEAR
    assert said({**ALLOW, "NotPrincipal": {"AWS": "*"}}) is Word.UNCLEAR
    assert said({key: value for key, value in ALLOW.items() if key != "Resource"}) is Word.UNCLEAR


def test_a_deny_wins_and_one_that_may_fit_makes_it_unclear() -> None:
    """Requests of AWS's own services are encrypted on their way: the usual Deny is not about them."""
    assert said(ALLOW, DENY) is Word.DENIED
    assert said({**DENY, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}}, ALLOW) is Word.UNCLEAR
    assert said({**DENY, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}, ALLOW) is Word.ALLOWED
    assert said(on(StringEquals={"aws:PrincipalOrgID": "o-1"}), ALLOW) is Word.ALLOWED


@given(st.text() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_any_text_gets_an_answer(text: str) -> None:
    """Nothing in a policy makes it crash."""
    assert says(text, ASKED) in Word


# -- notifications -----------------------------------------------------------------------------------------------------


def told(prefix: str = "", suffix: str = "", *, events: tuple[str, ...] = ("s3:ObjectCreated:*",), **more: str) -> Any:
    """A configuration that tells the queue of keys that begin and end so."""
    rules = [{"Name": "Prefix", "Value": prefix}, {"Name": "suffix", "Value": suffix}]
    rules += [{"Name": name, "Value": value} for name, value in more.items()]
    return {"QueueArn": str(QUEUE), "Events": list(events), "Filter": {"Key": {"FilterRules": rules}}}


@pytest.mark.parametrize(
    "each, share",
    [
        ({"QueueArn": str(QUEUE), "Events": ["s3:ObjectCreated:Put"]}, Share.ALL),  # without a filter
        (told(), Share.ALL),
        (told("customers/"), Share.ALL),
        (told("customers/hts/", ".json"), Share.ALL),
        (told("customers/hts/", "n"), Share.ALL),
        (told("customers/hts/2026-"), Share.SOME),
        (told("customers/hts/", "-a.json"), Share.SOME),
        (told("customers/hts/", odd="x"), Share.SOME),
        (told("customers/ht*"), Share.NONE),  # text, no pattern
        (told("customers/other/"), Share.NONE),
        (told("Customers/"), Share.NONE),
        (told("", ".xml"), Share.NONE),
        (told(events=("s3:ObjectRemoved:*",)), Share.NONE),
        (told(events=("s3:ObjectCreated:Copy",)), Share.NONE),
        ({**told(), "QueueArn": "arn:aws:sqs:eu-central-1:123456789012:other"}, Share.NONE),
    ],
)
def test_a_filter_takes_all_keys_some_or_none(each: dict[str, Any], share: Share) -> None:
    """By text at their beginning and at their end."""
    found = tells({"QueueConfigurations": [each]}, "Queue", QUEUE, start="customers/hts/", end=".json")
    assert found is share


def test_of_several_filters_the_widest_counts() -> None:
    """One that is about something else takes nothing from it."""
    every = [told("archive/"), told("customers/hts/a"), told("customers/")]
    where = {"start": "customers/hts/", "end": ".json"}
    assert tells({"QueueConfigurations": every}, "Queue", QUEUE, **where) is Share.ALL
    assert tells({"QueueConfigurations": every[:2]}, "Queue", QUEUE, **where) is Share.SOME
    assert tells({"QueueConfigurations": None}, "Queue", QUEUE, **where) is Share.NONE


def test_a_topic_and_eventbridge_may_tell_others() -> None:
    """A topic only of the keys that it is told of."""
    topic = {"TopicArn": "arn:aws:sns:eu-central-1:123456789012:t", "Events": ["s3:ObjectCreated:*"]}
    assert relays({"EventBridgeConfiguration": {}}) == "EventBridge"
    assert relays({"TopicConfigurations": [topic]}) == "a topic"
    filtered = {**topic, "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "logs/"}]}}}
    assert relays({"TopicConfigurations": [filtered]}, start="customers/", end="") == ""
    assert relays({}) == ""
