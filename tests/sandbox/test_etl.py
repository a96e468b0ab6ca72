"""Events that nobody waits for: tried three times, then kept where somebody can find them, until they expire."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.systems.etl_function import EtlFunction

MINUTE = timedelta(minutes=1)


def received(world: World, system: EtlFunction) -> list[dict[str, object]]:
    """What lies in the queue for failed events."""
    answer = world.client("sqs").receive_message(
        QueueUrl=system.dlq_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    found: list[dict[str, object]] = answer.get("Messages", [])
    return found


def test_an_event_is_tried_three_times_before_it_is_a_letter(world: World) -> None:
    """After one minute and after two more; the letter is the event, and says beside it how it failed."""
    system = EtlFunction(world)
    system.source_down = True
    [event] = system.submit()
    world.run(3 * MINUTE)
    assert system.dead == 0
    world.run(MINUTE)
    [letter] = received(world, system)
    assert letter["Body"] == event
    assert set(letter["MessageAttributes"]) == {"RequestID", "ErrorCode", "ErrorMessage"}  # type: ignore[call-overload]
    assert world.unaccounted() == {}


def test_an_event_that_met_a_short_outage_is_done_at_another_try(world: World) -> None:
    """Nobody hears of it."""
    system = EtlFunction(world)
    system.source_down = True
    [event] = system.submit()
    world.run(timedelta(seconds=30))
    system.source_down = False
    world.run(5 * MINUTE)
    assert (system.times(event), system.dead) == (1, 0)
    assert world.unaccounted() == {}


def test_a_destination_is_told_of_the_event_and_of_its_function(world: World) -> None:
    """In a record of Lambda's, which counts as the same message."""
    system = EtlFunction(world, destination=True)
    system.source_down = True
    [event] = system.submit()
    world.run(5 * MINUTE)
    record = json.loads(str(received(world, system)[0]["Body"]))
    assert record["requestPayload"] == json.loads(event)
    assert record["requestContext"]["functionArn"] == f"{system.arn}:$LATEST"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert world.unaccounted() == {}


def test_a_queue_that_takes_nothing_loses_what_fails(world: World) -> None:
    """And Lambda counts that."""
    system = EtlFunction(world)
    system.source_down = system.queue_closed = True
    system.submit()
    world.run(6 * MINUTE)
    assert system.dead == 0
    series = world.metrics.find("AWS/Lambda", "DeadLetterErrors", (("FunctionName", system.name),))
    assert series is not None
    assert series.values == [1.0]


def test_letters_expire_when_their_queue_has_kept_them_long_enough(world: World) -> None:
    """Nobody is asked."""
    system = EtlFunction(world, retention=timedelta(hours=1))
    system.letters(3)
    world.run(59 * MINUTE)
    assert len(received(world, system)) == 3
    world.run(2 * MINUTE)
    assert received(world, system) == []
    assert sum(world.ledger.expired.values()) == 3


def test_lambda_takes_an_event_without_waiting_for_it(world: World) -> None:
    """It says that it was taken; what is no JSON, or for nobody, it refuses."""
    system, client = EtlFunction(world), world.client("lambda")
    assert client.invoke(FunctionName=system.arn, InvocationType="Event", Payload=b"{}")["StatusCode"] == 202
    for name, payload in ((system.name, b"no json"), (system.name, b'"' + b"x" * 1024 * 1024 + b'"'), ("other", b"{}")):
        with pytest.raises(ClientError):
            client.invoke(FunctionName=name, InvocationType="Event", Payload=payload)
    world.run(MINUTE)
    assert system.done == ["{}"]
