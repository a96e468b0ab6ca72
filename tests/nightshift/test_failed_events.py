"""A function's failed events: what the event is, whose it is, and that it is given back as it was written."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.carrying import Routes
from nightshift.errors import Ambiguous, Denied, Rejected
from nightshift.failed_events import LARGEST, FailedEvent, Recaller, same_function, unqualified
from nightshift.letters import ABSENT, BUILT_IN_RULES, Meaning, meaning
from nightshift.model import Ledger, Step

from tests.nightshift.remediations.account import BUCKET, DLQ, FUNCTION, Account, Hand, letter, text

OF_QUEUE = {"RequestID": text("r"), "ErrorCode": text("200"), "ErrorMessage": text("m")}
ROUTES = Routes(DLQ, FUNCTION, BUCKET)
STEP = Step("s", (*ROUTES.store(50), ROUTES.recall(50, {})), timedelta(0))


def failed(number: int, body: str = "", **more: Any) -> dict[str, Any]:
    """A letter of a function's dead-letter queue."""
    return letter(number, body, source=None, **{**OF_QUEUE, **more})


def record(event: str, function: str = str(FUNCTION), **more: Any) -> str:
    """What an on-failure destination is told, with the event as somebody wrote it."""
    context = {"requestId": "r", "functionArn": function, "condition": "RetriesExhausted"}
    said = json.dumps(context | more)
    return f'{{"version" : "1.0",\n "requestContext": {said}, "requestPayload" :\t{event} , "x": [1]}}'


def event(message: dict[str, Any]) -> FailedEvent:
    """A letter, read as an event."""
    return FailedEvent.received(message)


# -- what it is --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message, payload",
    [
        (failed(1, '{"a": 1.10}'), '{"a": 1.10}'),
        (failed(1, "no json"), "no json"),
        (letter(1, record('{"a":  1.10, "b": [ 2e0 ]}'), source=None), '{"a":  1.10, "b": [ 2e0 ]}'),
        (letter(1, record("null"), source=None), "null"),
        (letter(1, record('"{,:}"'), source=None), '"{,:}"'),
        (letter(1, '{"requestPayload": 7, "requestContext": {"functionArn": "f", "condition": "c"}}'), "7"),
        (failed(1, record("1")), record("1")),  # the attributes count: somebody's event looks like a record
    ],
)
def test_the_event_is_given_back_as_it_was_written(message: dict[str, Any], payload: str) -> None:
    """To the letter: what is read and written again may lose digits."""
    assert event(message).payload == payload


@pytest.mark.hostile(24)
@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        "null",
        '"requestPayload"',
        '{"requestPayload": 1}',
        '{"requestContext": {"condition": "c", "functionArn": "f"}}',
        '{"requestContext": {"condition": "c"}, "requestPayload": 1}',
        '{"requestContext": [], "requestPayload": 1}',
        '{"requestContext": {"condition": "c", "functionArn": "f"}, "requestPayload": 1, "requestPayload": 2}',
        '{"requestContext": {"condition": "c", "functionArn": "f"}, "requestPayload": NaN}',
        "[" * 5000,
    ],
)
def test_what_is_no_failed_event_has_none(body: str) -> None:
    """And says so, instead of being given to anybody."""
    found = event(letter(1, body))
    assert found.payload is None
    assert found.not_of(FUNCTION) == "it is no failed event of a function"


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    body=st.text(),
)
@pytest.mark.hostile(24)
def test_any_event_comes_out_of_its_record_and_any_body_is_read_without_an_error(value: Any, body: str) -> None:
    """Whatever stands in it."""
    written = json.dumps(value, indent=1)
    assert event(letter(1, record(written))).payload == written
    for message in (letter(1, body or " "), failed(1, body or " ")):
        found = event(message)
        assert (len(found.fingerprint), isinstance(found.not_of(FUNCTION), str)) == (32, True)


def test_rules_read_the_event_whichever_way_it_came() -> None:
    """S3's test event is obsolete in a record too, and a record about no JSON cannot be."""
    test = '{"Event": "s3:TestEvent"}'
    for message in (failed(1, test), letter(1, record(test), source=None)):
        assert meaning(event(message), BUILT_IN_RULES, Meaning.TRANSIENT)[0] is Meaning.OBSOLETE
    assert meaning(event(failed(1, "no json")), BUILT_IN_RULES, Meaning.TRANSIENT)[0] is Meaning.POISON
    assert event(failed(1, "no json")).document is ABSENT


def test_an_event_has_the_same_fingerprint_each_time_that_it_fails() -> None:
    """With another request id, another message, in a record or not, and however Lambda writes its JSON."""
    same = [
        failed(1, '{"a": 1, "b": 2}'),
        failed(2, '{"b":2,"a":1}', RequestID=text("other"), ErrorMessage=text("words")),
        letter(3, record('{"a":1,"b":2}', requestId="third")),
    ]
    assert len({event(each).fingerprint for each in same}) == 1
    other = [failed(1, '{"a": 2}'), failed(1, "no json"), failed(1, '"no json"'), letter(1, record('{"a": 3}'))]
    assert len({event(each).fingerprint for each in (*same, *other)}) == 5


# -- whose it is -------------------------------------------------------------------------------------------------------

LIVE = replace(FUNCTION, resource="function:etl:live")


@pytest.mark.parametrize(
    "named, function, same",
    [
        (str(FUNCTION), FUNCTION, True),
        (f"{FUNCTION}:$LATEST", FUNCTION, True),
        (str(FUNCTION), replace(FUNCTION, resource="function:etl:$LATEST"), True),
        (str(LIVE), LIVE, True),
        (str(LIVE), FUNCTION, False),
        (str(FUNCTION), LIVE, False),
        (f"{FUNCTION}:7", LIVE, False),
        (f"{FUNCTION}2", FUNCTION, False),
        ("", FUNCTION, False),
    ],
)
def test_an_event_is_given_to_the_very_version_or_alias_that_failed_at_it(
    named: str, function: Any, same: bool
) -> None:
    """Who asks for no version gets the latest, under either name."""
    assert same_function(named, function) is same
    said = event(letter(1, record("{}", named))).not_of(function)
    assert said == ("" if same else "another function, version or alias failed at it")


def test_a_letter_that_names_no_function_is_taken_for_the_one_that_is_registered() -> None:
    """A dead-letter queue's letter says how it failed, not where: its queue is looked at for that."""
    assert event(failed(1)).not_of(LIVE) == ""


def test_an_event_that_is_too_large_is_left() -> None:
    """Lambda would not take it."""
    assert event(failed(1, '"' + "x" * (LARGEST - 2) + '"')).not_of(FUNCTION) == ""
    assert "larger" in event(failed(1, '"' + "x" * (LARGEST - 1) + '"')).not_of(FUNCTION)


def test_a_function_itself_has_no_version() -> None:
    """Its settings and its figures are of all of them."""
    assert unqualified(LIVE) == unqualified(FUNCTION) == FUNCTION


# -- giving it back ----------------------------------------------------------------------------------------------------


def recaller(account: Account) -> tuple[Recaller, Hand]:
    """Whoever carries, and the hand it uses."""
    hand = Hand(account, STEP)
    return Recaller(hand, STEP, ever=2), hand


def test_an_event_leaves_the_queue_when_lambda_has_taken_it() -> None:
    """The call names the function and does not wait for it; the letter is deleted only then."""
    account = Account(dead=[failed(1, '{"a": 1}')])
    carrier, hand = recaller(account)
    [found] = carrier.take(10)
    assert carrier.send(found)
    assert account.home == [{"FunctionName": str(FUNCTION), "InvocationType": "Event", "Payload": b'{"a": 1}'}]
    assert account.calls[-2:] == ["Invoke", "DeleteMessage"]
    assert (account.dead, account.hidden) == ([], {})
    assert hand.ledger == Ledger(moved=1, remaining=1)


@pytest.mark.parametrize("status", [200, 500, None])
def test_an_answer_that_is_no_acceptance_is_an_unknown_outcome(status: int | None) -> None:
    """The letter stays, is counted as uncertain, and is never given to the function again blindly."""
    account = Account(dead=[failed(1)], accepts=status)
    carrier, hand = recaller(account)
    [found] = carrier.take(10)
    assert not carrier.send(found)
    assert found.handle in account.hidden
    assert (hand.ledger.uncertain, hand.ledger.moved) == (1, 0)
    assert recaller(account)[0].may_send(found) == "its sending has an unknown outcome"


def test_what_happened_to_nobody_is_tried_again() -> None:
    """A throttled call did nothing; a refused one ends the step, and nothing was sent either."""
    account = Account(dead=[failed(1)], fails={"lambda:InvokeFunction": Rejected("lambda:InvokeFunction", "Throttled")})
    carrier, hand = recaller(account)
    [found] = carrier.take(10)
    assert not carrier.send(found)
    assert (carrier.left, hand.ledger.uncertain) == ({"Lambda did not take it": 1}, 0)
    account.fails = {"lambda:InvokeFunction": Denied("lambda:InvokeFunction", "AccessDenied")}
    with pytest.raises(Denied):
        recaller(account)[0].send(found)
    assert recaller(account)[0].may_send(found) == ""
    account.fails = {"lambda:InvokeFunction": Ambiguous("lambda:InvokeFunction", "Timeout")}
    assert not recaller(account)[0].send(found)
    assert recaller(account)[0].may_send(found) == "its sending has an unknown outcome"


def test_what_is_no_event_is_never_given_to_anybody() -> None:
    """Whoever forgets to ask is refused before anything is sent."""
    account = Account(dead=[letter(1)])
    carrier, _ = recaller(account)
    [found] = carrier.take(10)
    assert not carrier.send(found)
    assert (account.home, "Invoke" in account.calls) == ([], False)
