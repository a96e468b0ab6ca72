"""Letters: told apart by rules, hashed, looked at; nothing of what they say comes out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.letters import BUILT_IN_RULES, Letter, Meaning, Rule, look, meaning, origin
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from pydantic import ValidationError

from tests.nightshift.remediations.account import DLQ, NOW, SOURCE, Account, Eyes, letter, text

SECRET = "tenant-4711"
A, B = text("a"), text("b")


def a_letter(body: str = "{}", **attributes: Any) -> Letter:
    """A letter that says so."""
    return Letter.received(letter(1, body, **attributes))


def a_rule(**when: Any) -> Rule:
    """A rule with this test."""
    return Rule.model_validate({"name": "r", "means": "poison", "when": when})


def test_nothing_that_a_letter_says_is_in_its_repr() -> None:
    """A letter may end up in a log or an error by its repr: body, attributes and handle are not in it."""
    shown = repr(a_letter(f'{{"who": "{SECRET}"}}', who=text(SECRET)))
    assert SECRET not in shown
    assert "h1" not in shown
    assert "m1" in shown


def test_equal_content_has_an_equal_fingerprint_whatever_the_message_is_called() -> None:
    """SQS gives what is sent again a new id: only content tells that it is the same."""
    first, second = (Letter.received(letter(number, "same", a=text("x"))) for number in (1, 2))
    assert first.fingerprint == second.fingerprint
    assert len(first.fingerprint) == 32
    ordered, turned = (Letter("m", "h", "s", given) for given in ({"a": A, "b": B}, {"b": B, "a": A}))
    assert ordered.fingerprint == turned.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        letter(1, "other", a=text("x")),
        letter(1, "same", a=text("y")),
        letter(1, "same", b=text("x")),
        letter(1, "same"),
        letter(1, "same", a={"DataType": "Binary", "BinaryValue": b"x"}),
    ],
)
def test_other_content_has_another_fingerprint(other: dict[str, Any]) -> None:
    """Body, and names, types and values of attributes, are content."""
    assert Letter.received(other).fingerprint != a_letter("same", a=text("x")).fingerprint


@given(st.text(alphabet=st.characters()))
def test_any_body_has_a_fingerprint_and_a_meaning(body: str) -> None:
    """Whatever stands in a letter, lone surrogates included, reading it raises nothing."""
    read = a_letter(body or "x")
    assert read.fingerprint
    assert meaning(read, BUILT_IN_RULES, Meaning.UNKNOWN)[0] in Meaning


@pytest.mark.parametrize("body", ["{", "", "[" * 100_000, '{"a": 1} {"b": 2}', "1" * 5_000])
def test_what_cannot_be_parsed_is_not_json(body: str) -> None:
    """Cut off, empty, nested until the stack ends, two documents, a number of five thousand digits."""
    assert meaning(Letter("m", "h", body), BUILT_IN_RULES, Meaning.TRANSIENT) == (
        Meaning.POISON,
        "the body is not JSON",
    )


@pytest.mark.hostile(7)
def test_the_test_event_of_s3_is_obsolete() -> None:
    """S3 sends it once when a notification is set up; no consumer expects it."""
    event = a_letter('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}')
    assert meaning(event, BUILT_IN_RULES, Meaning.TRANSIENT) == (Meaning.OBSOLETE, "S3's test event")


@pytest.mark.parametrize(
    "when, body, holds",
    [
        ({"test": "not-json"}, "x", True),
        ({"test": "not-json"}, "{}", False),
        ({"test": "key-missing", "path": "a.b"}, '{"a": {}}', True),
        ({"test": "key-missing", "path": "a.b"}, '{"a": {"b": null}}', False),
        ({"test": "key-missing", "path": "a"}, "not json", False),
        ({"test": "json-equals", "path": "a", "value": 1}, '{"a": 1}', True),
        ({"test": "json-equals", "path": "a", "value": 1}, '{"a": 1.0}', True),
        ({"test": "json-equals", "path": "a", "value": 1}, '{"a": true}', False),
        ({"test": "json-equals", "path": "a", "value": 1}, '{"a": "1"}', False),
        ({"test": "json-equals", "path": "a", "value": True}, '{"a": true}', True),
        ({"test": "json-equals", "path": "a", "value": True}, '{"a": 1}', False),
        ({"test": "json-equals", "path": "l.1.k", "value": "v"}, '{"l": [0, {"k": "v"}]}', True),
        ({"test": "json-equals", "path": "l.2", "value": "v"}, '{"l": [0, "v"]}', False),
        ({"test": "json-equals", "path": "l.x", "value": "v"}, '{"l": ["v"]}', False),
        ({"test": "json-equals", "path": "a", "value": "x"}, "no json", False),
        ({"test": "json-equals", "path": "/l/1/k", "value": "v"}, '{"l": [0, {"k": "v"}]}', True),
        ({"test": "json-equals", "path": "/a.b/c~1d~0e", "value": 1}, '{"a.b": {"c/d~e": 1}}', True),
        ({"test": "json-equals", "path": "/", "value": 1}, '{"": 1}', True),
        ({"test": "json-equals", "path": "/a/b", "value": 1}, '{"a": 1}', False),
        ({"test": "json-is-not", "path": "a", "kind": "object"}, '{"a": []}', True),
        ({"test": "json-is-not", "path": "a", "kind": "object"}, '{"a": {}}', False),
        ({"test": "json-is-not", "path": "a", "kind": "list"}, '{"a": []}', False),
        ({"test": "json-is-not", "path": "a", "kind": "text"}, '{"a": ""}', False),
        ({"test": "json-is-not", "path": "a", "kind": "number"}, '{"a": 1.5}', False),
        ({"test": "json-is-not", "path": "a", "kind": "number"}, '{"a": true}', True),
        ({"test": "json-is-not", "path": "a", "kind": "boolean"}, '{"a": true}', False),
        ({"test": "json-is-not", "path": "a", "kind": "null"}, '{"a": null}', False),
        ({"test": "json-is-not", "path": "a", "kind": "null"}, "{}", True),
        ({"test": "json-is-not", "path": "a", "kind": "null"}, "no json", False),
        ({"test": "body-contains", "text": "needle"}, "hay needle hay", True),
        ({"test": "body-contains", "text": "Needle"}, "hay needle hay", False),
        ({"test": "attribute-equals", "name": "code", "value": "42"}, "{}", True),
        ({"test": "attribute-equals", "name": "code", "value": "43"}, "{}", False),
        ({"test": "attribute-equals", "name": "else", "value": "42"}, "{}", False),
    ],
)
def test_a_rule_holds_for_what_it_says_and_for_nothing_else(when: Mapping[str, Any], body: str, holds: bool) -> None:
    """Each test, in both directions."""
    assert a_rule(**when).when.holds(a_letter(body, code=text("42"))) is holds


def test_the_first_rule_that_holds_decides() -> None:
    """Order is the configuration's."""
    first = Rule.model_validate({"name": "a", "means": "permission", "when": {"test": "body-contains", "text": "x"}})
    rules = (first, *BUILT_IN_RULES)
    assert meaning(a_letter("x"), rules, Meaning.TRANSIENT) == (Meaning.PERMISSION, "a")
    assert meaning(a_letter("y"), rules, Meaning.TRANSIENT)[0] is Meaning.POISON
    assert meaning(a_letter("{}"), rules, Meaning.UNKNOWN) == (Meaning.UNKNOWN, "no rule holds")


@pytest.mark.parametrize(
    "when",
    [
        {"test": "regex", "text": "(a+)+$"},
        {"test": "body-contains", "text": ""},
        {"test": "json-equals", "path": "", "value": 1},
        {"test": "not-json", "path": "a"},
        {"test": "json-is-not", "path": "a", "kind": "integer"},
        {},
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(when: dict[str, Any]) -> None:
    """An empty text is in every body, a pattern can run for hours, and a word too many is a misunderstanding."""
    with pytest.raises(ValidationError):
        a_rule(**when)


def test_the_time_a_letter_was_sent_is_known_or_not_known() -> None:
    """What SQS does not say is None, and not the beginning of time."""
    sent = a_letter()
    assert sent.sent_at == NOW - timedelta(hours=3)
    assert sent.sent_since(NOW - timedelta(hours=3))
    assert sent.sent_since(NOW - timedelta(hours=3) + timedelta(seconds=59))  # two clocks may differ so much
    assert not sent.sent_since(NOW - timedelta(hours=2))
    assert Letter("m", "h", "b").sent_at is None
    assert not Letter("m", "h", "b").sent_since(NOW)


def test_a_letter_says_where_it_died() -> None:
    """Where SQS says so."""
    assert a_letter().source == str(SOURCE)
    assert Letter.received(letter(1, source=None)).source is None


@pytest.mark.parametrize(
    "message, kind",
    [
        (letter(1, RULE_ARN=text("r"), TARGET_ARN=text("t"), ERROR_CODE=text("e")), "an EventBridge rule"),
        (letter(1, RequestID=text("r"), ErrorCode=text("200"), ErrorMessage=text("m")), "asynchronous invocations"),
        (
            letter(1, '{"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {}}'),
            "on-failure destination",
        ),
        (letter(1, '{"requestContext": {"condition": "x"}}'), "something unknown"),
        (letter(1, '{"Type": "Notification", "TopicArn": "t", "Message": "m"}'), "an SNS subscription"),
        (letter(1, '{"Type": "Notification"}'), "something unknown"),
        (letter(1, RULE_ARN=text("r"), TARGET_ARN=text("t")), "an EventBridge rule"),
        (letter(1, RULE_ARN=text("r")), "something unknown"),
    ],
)
@pytest.mark.hostile(24)
def test_what_fills_a_queue_is_told_by_its_letters(message: dict[str, Any], kind: str) -> None:
    """Lambda, EventBridge and SNS leave their marks on what they could not deliver."""
    assert kind in origin(Letter.received(message))


def test_looking_hides_nothing_and_finds_each_letter_once() -> None:
    """Short polls give some letters, some of them twice; looking goes on until it has enough or learns nothing new."""
    account = Account(dead=[letter(number) for number in range(25)], per_receive=7)
    found = look(Eyes(account, SqsDlqBacklog), DLQ, 30)
    assert sorted(each.id for each in found) == sorted(f"m{number}" for number in range(25))
    assert len(account.dead) == 25
    assert len(look(Eyes(account, SqsDlqBacklog), DLQ, 10)) == 10
    assert look(Eyes(Account(), SqsDlqBacklog), DLQ, 10) == ()
    eyes = Eyes(Account(dead=[letter(number) for number in range(25)]), SqsDlqBacklog)
    assert len(look(eyes, DLQ, 10)) == 10
    assert eyes.looks == 1  # enough is enough
    few = Account(dead=[letter(1)])
    eyes = Eyes(few, SqsDlqBacklog)
    assert len(look(eyes, DLQ, 10)) == 1
    assert eyes.looks == 1 + 3  # three in a row with nothing new
    many = Account(dead=[letter(number) for number in range(99)], per_receive=1)
    assert len(look(Eyes(many, SqsDlqBacklog), DLQ, 30)) == 12  # bounded, whatever the queue holds
