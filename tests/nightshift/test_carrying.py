"""Carrying letters: none is lost and none is sent twice, wherever it dies."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.carrying import Carrier, Routes, balance
from nightshift.errors import Ambiguous, AwsError, Denied, Missing, Rejected, Stopped
from nightshift.letters import Letter
from nightshift.model import Ledger, Step

from tests.nightshift.remediations.account import BUCKET, DLQ, NOW, SOURCE, Account, Hand, Store, letter, text

ROUTES = Routes(DLQ, SOURCE, BUCKET)
STEP = Step("s", (*ROUTES.store(50), ROUTES.send(50, {})), timedelta(0))
SENT, RECEIVE, DELETE, PUT = "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "s3:PutObject"


class Crash(BaseException):
    """The process dies."""


def carrier_of(account: Account, *, ever: int = 2, **of_hand: Any) -> tuple[Carrier, Hand]:
    """Whoever carries, and the hand it uses."""
    hand = Hand(account, STEP, **of_hand)
    return Carrier(hand, STEP, ever=ever), hand


def only(carrier: Carrier) -> Letter:
    """The one letter there is."""
    [found] = carrier.take(10)
    return found


def error(kind: type[AwsError], action: str = SENT) -> AwsError:
    """An error of AWS."""
    return kind(action, "Code")


def test_a_letter_goes_home_whole_and_leaves_the_queue_only_then() -> None:
    """Body and attributes as they were; the original is deleted after SQS has confirmed the copy."""
    account = Account(dead=[letter(1, "b", a=text("x"), z={"DataType": "Binary", "BinaryValue": b"\x00"})])
    carrier, hand = carrier_of(account)
    assert carrier.send(only(carrier))
    assert account.home == [
        {
            "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012/orders",
            "MessageBody": "b",
            "MessageAttributes": {
                "a": {"DataType": "String", "StringValue": "x"},
                "z": {"DataType": "Binary", "BinaryValue": b"\x00"},
            },
        }
    ]
    assert account.calls[-2:] == ["SendMessage", "DeleteMessage"]
    assert (account.dead, account.hidden) == ([], {})
    assert hand.ledger == Ledger(moved=1, remaining=1)


def test_a_letter_without_attributes_is_sent_without_any() -> None:
    """An empty map of attributes is one that SQS does not need."""
    account = Account(dead=[letter(1)])
    carrier, _ = carrier_of(account)
    carrier.send(only(carrier))
    assert "MessageAttributes" not in account.home[0]


def test_a_letter_is_stored_whole_under_its_own_name_and_deleted_only_then() -> None:
    """The object holds all that is needed to send it again by hand; its name is the same whoever stores it and when."""
    account = Account(dead=[letter(1, "no json", a={"DataType": "Binary", "BinaryValue": b"x"})])
    carrier, hand = carrier_of(account)
    found = only(carrier)
    assert carrier.store(found, "poison", "the rule")
    [(key, body)] = account.stored.items()
    assert key == f"letters/orders-dlq/{found.fingerprint}-m1.json"
    stored = json.loads(body)
    assert stored["body"] == "no json"
    assert stored["messageAttributes"] == {"a": {"DataType": "Binary", "BinaryValue": "eA=="}}
    assert stored["queue"] == str(DLQ)
    assert stored["attributes"]["DeadLetterQueueSourceArn"] == str(SOURCE)
    assert (stored["stored"]["means"], stored["stored"]["because"]) == ("poison", "the rule")
    assert account.calls[-2:] == ["PutObject", "DeleteMessage"]
    assert hand.ledger == Ledger(moved=1, quarantined=1)


def operations(account: Account, then: Callable[[], None]) -> Callable[[], None]:
    """Run ``then`` after every call, and before and after every note in the memory."""
    for action in (SENT, DELETE, PUT, RECEIVE, "sqs:ChangeMessageVisibility"):
        account.after[action] = then
    return then


class Dying(Store):
    """A memory with a process that dies at its ``k``-th operation: before it, after it, or after a call."""

    def __init__(self, counters: dict[str, int], countdown: Iterator[int]) -> None:
        super().__init__(counters)
        self.countdown = countdown

    def die(self) -> None:
        if next(self.countdown) == 0:
            raise Crash

    def add(self, key: str, amount: int = 1, *, limit: int | None = None) -> bool:
        self.die()
        done = super().add(key, amount, limit=limit)
        self.die()
        return done


def night(account: Account, crash_at: int) -> Hand:
    """Carry two letters home and store one; die once; then let the next tick do the rest."""
    store = Dying(account.memory, iter(range(crash_at, -1000, -1)))
    hand = Hand(account, STEP)
    hand.memory = store
    operations(account, store.die)
    with suppress(Crash):
        work(Carrier(hand, STEP, ever=2))
    account.after.clear()
    account.dead += account.hidden.values()  # what was hidden shows itself again
    account.hidden.clear()
    later = Hand(account, STEP)
    work(Carrier(later, STEP, ever=2))
    return later


def work(carrier: Carrier) -> None:
    """What a step does with what it finds."""
    for each in carrier.take(10):
        if each.body == "bad":
            carrier.store(each, "poison", "r")
        elif why := carrier.may_send(each):
            carrier.leave(why)
        else:
            carrier.send(each)


@pytest.mark.parametrize("crash_at", range(45))
def test_no_letter_is_lost_or_sent_twice_wherever_the_process_dies(crash_at: int) -> None:
    """After a crash between any two operations and a second run, each letter is somewhere, and no send was repeated."""
    account = Account(dead=[letter(1), letter(2), letter(3, "bad")])
    hand = night(account, crash_at)
    home = Counter(each["MessageBody"] for each in account.home)
    still = {each["Body"] for each in (*account.dead, *account.hidden.values())}
    stored = {json.loads(body)["body"] for body in account.stored.values()}
    assert {*home, *still, *stored} == {'{"order": 1}', '{"order": 2}', "bad"}
    assert max(home.values()) == 1
    ledger = hand.ledger
    assert ledger.balanced
    moved = len(account.home) + len(stored)
    assert ledger.moved <= moved <= ledger.moved + ledger.uncertain
    assert len(home.keys() & still) <= ledger.uncertain  # as many may exist twice as are said to


@pytest.mark.parametrize("crash_at", range(20))
def test_a_letter_that_came_back_is_told_once_wherever_the_process_dies(crash_at: int) -> None:
    """It was sent, and it is stored: that is one letter, and no crash between two counts makes two of it."""
    account = Account(dead=[letter(1)])
    work(Carrier(Hand(account, STEP), STEP, ever=2))
    account.dead = [letter(9, account.home[0]["MessageBody"], sent=account.now)]
    hand = Hand(account, STEP)
    hand.memory = store = Dying(account.memory, iter(range(crash_at, -1000, -1)))
    operations(account, store.die)
    with suppress(Crash):
        store_all(Carrier(hand, STEP, ever=2))
    account.after.clear()
    account.dead += account.hidden.values()
    account.hidden.clear()
    later = Hand(account, STEP)
    store_all(Carrier(later, STEP, ever=2))
    assert len(account.stored) == 1
    assert later.ledger.balanced
    assert later.ledger.moved <= 1 <= later.ledger.moved + later.ledger.uncertain


def store_all(carrier: Carrier) -> None:
    """What a step does with letters that came back."""
    for each in carrier.take(10):
        carrier.store(each, "poison", "it came back")


def test_a_night_without_a_crash_moves_everything() -> None:
    """The counterpart of the crashes: they do interrupt something."""
    account = Account(dead=[letter(1), letter(2), letter(3, "bad")])
    hand = night(account, 900)
    assert hand.ledger == Ledger(moved=3, remaining=2, quarantined=1)


def test_a_letter_whose_copy_is_confirmed_is_only_deleted_when_it_is_met_again() -> None:
    """A crash between send and delete: the next tick does the missing half."""
    account = Account(dead=[letter(1)])
    account.fails[DELETE] = Crash()
    carrier, _ = carrier_of(account)
    with pytest.raises(Crash):
        carrier.send(only(carrier))
    account.fails.clear()
    account.dead, account.hidden = list(account.hidden.values()), {}
    carrier, hand = carrier_of(account)
    found = only(carrier)
    assert carrier.may_send(found) == ""
    assert carrier.send(found)
    assert (len(account.home), account.dead, account.hidden) == (1, [], {})
    assert hand.ledger == Ledger(moved=1, remaining=1)


def test_a_send_whose_outcome_is_unknown_is_left_counted_and_never_repeated() -> None:
    """It may have happened: sending again would make two of it."""
    account = Account(dead=[letter(1)])
    account.fails[SENT] = error(Ambiguous)
    carrier, hand = carrier_of(account)
    found = only(carrier)
    assert not carrier.send(found)
    assert carrier.tired  # AWS is unwell: nothing new is begun
    assert hand.ledger == Ledger(left=1, uncertain=1)
    assert account.hidden  # not deleted
    again, _ = carrier_of(account)
    assert again.may_send(found) == "its sending has an unknown outcome"


@pytest.mark.parametrize("kind", [Denied, Missing])
def test_a_send_that_was_refused_for_good_is_no_uncertainty_and_ends_the_step(kind: type[AwsError]) -> None:
    """Nothing was sent; the engine must hear of it."""
    account = Account(dead=[letter(1)])
    account.fails[SENT] = error(kind)
    carrier, hand = carrier_of(account)
    found = only(carrier)
    with pytest.raises(kind):
        carrier.send(found)
    assert hand.ledger == Ledger()
    assert carrier.may_send(found) == ""


def test_the_kill_switch_between_two_calls_leaves_no_doubt() -> None:
    """Stopped before the send: nothing was sent. Stopped before the delete: the copy is known, and counted."""
    account = Account(dead=[letter(1)])
    account.fails[SENT] = Stopped("paused")
    carrier, hand = carrier_of(account)
    found = only(carrier)
    with pytest.raises(Stopped):
        carrier.send(found)
    assert hand.ledger == Ledger()
    account.fails = {DELETE: Stopped("paused")}
    with pytest.raises(Stopped):
        carrier.send(found)
    assert hand.ledger == Ledger(moved=1, remaining=1, uncertain=1)


@pytest.mark.hostile(25)
def test_a_letter_that_sqs_does_not_take_is_left() -> None:
    """Too large or of forbidden characters: it stays in the dead-letter queue, and others go on."""
    account = Account(dead=[letter(1)])
    account.fails[SENT] = error(Rejected)
    carrier, hand = carrier_of(account)
    assert not carrier.send(only(carrier))
    assert not carrier.tired
    assert carrier.left == {"SQS did not take it": 1}
    assert hand.ledger == Ledger(left=1)


@pytest.mark.parametrize("kind", [Ambiguous, Rejected, Missing])
def test_a_delete_that_is_not_certain_leaves_the_letter_counted_as_moved(kind: type[AwsError]) -> None:
    """Its copy is at home; the original may come back, and is then only deleted."""
    account = Account(dead=[letter(1)])
    account.fails[DELETE] = error(kind, DELETE)
    carrier, hand = carrier_of(account)
    assert carrier.send(only(carrier))
    assert carrier.halted is (kind is Ambiguous)
    assert hand.ledger == Ledger(moved=1, remaining=1, uncertain=1)


@pytest.mark.parametrize("kind", [Ambiguous, Rejected])
def test_a_letter_that_could_not_be_stored_is_not_deleted(kind: type[AwsError]) -> None:
    """Storing may be repeated; deleting may not come first."""
    account = Account(dead=[letter(1, "bad")])
    account.fails[PUT] = error(kind, PUT)
    carrier, hand = carrier_of(account)
    found = only(carrier)
    assert not carrier.store(found, "poison", "r")
    assert carrier.tired
    assert "DeleteMessage" not in account.calls
    assert hand.ledger == Ledger(left=1, uncertain=1 if kind is Ambiguous else 0)
    account.fails.clear()
    again, later = carrier_of(account)
    assert again.store(found, "poison", "r")
    assert later.ledger == Ledger(moved=1, quarantined=1)


@pytest.mark.parametrize("later", [error(Denied, PUT), error(Missing, PUT), error(Rejected, PUT), Stopped("paused")])
def test_a_letter_that_may_be_stored_stays_in_doubt_when_it_is_refused_the_next_time(later: Exception) -> None:
    """What was refused is not stored; what an earlier attempt did is as unknown as before.."""
    account = Account(dead=[letter(1, "bad")])
    account.fails[PUT] = error(Ambiguous, PUT)
    carrier, _ = carrier_of(account)
    found = only(carrier)
    carrier.store(found, "poison", "r")
    account.fails[PUT] = later
    again, _ = carrier_of(account)
    with suppress(type(later)):
        again.store(found, "poison", "r")
    assert again.account()["uncertain"] == 1
    account.fails.clear()
    last, hand = carrier_of(account)
    assert last.store(found, "poison", "r")
    assert hand.ledger == Ledger(moved=1, quarantined=1)


@pytest.mark.parametrize("trouble", [error(Denied, PUT), error(Missing, PUT), Stopped("paused")])
def test_a_quarantine_that_cannot_be_used_ends_the_step(trouble: Exception) -> None:
    """No permission, no bucket, no leave: the engine must hear of it, and nothing is in doubt."""
    account = Account(dead=[letter(1, "bad")])
    account.fails[PUT] = trouble
    carrier, hand = carrier_of(account)
    found = only(carrier)
    with pytest.raises(type(trouble)):
        carrier.store(found, "poison", "r")
    assert hand.ledger == Ledger()
    account.fails.clear()
    assert carrier.store(found, "poison", "r")
    assert hand.ledger == Ledger(moved=1, quarantined=1)


def test_a_stored_letter_whose_deletion_is_unknown_is_uncertain() -> None:
    """It is in the bucket, and perhaps also in the queue."""
    account = Account(dead=[letter(1, "bad")])
    account.fails[DELETE] = error(Ambiguous, DELETE)
    carrier, hand = carrier_of(account)
    assert not carrier.store(only(carrier), "poison", "r")
    assert hand.ledger == Ledger(left=1, uncertain=1)


def test_taking_ends_when_the_queue_is_dry_or_enough_is_in_hand() -> None:
    """An empty answer to a short poll proves nothing; three in a row are taken for an empty queue."""
    account = Account(dead=[letter(number) for number in range(25)], per_receive=4)
    carrier, _ = carrier_of(account)
    seen = [(len(carrier.take(count)), carrier.dry) for count in (8, 50)]
    assert seen == [(8, False), (17, True)]
    assert account.calls.count("ReceiveMessage") == 2 + 5 + 3


def test_taking_is_bounded_by_the_plan() -> None:
    """The plan says how often letters may be received in a step; asking for more ends there, without an error."""
    account = Account(dead=[letter(number) for number in range(99)], per_receive=1)
    carrier, _ = carrier_of(account)
    assert len(carrier.take(99)) == 50
    assert carrier.take(99) == []


def test_a_receive_whose_answer_is_lost_ends_the_work() -> None:
    """What it hid comes back by itself."""
    account = Account(dead=[letter(1)])
    account.fails[RECEIVE] = error(Ambiguous, RECEIVE)
    carrier, _ = carrier_of(account)
    assert carrier.take(10) == []
    assert carrier.tired
    assert not carrier.dry


def test_no_letter_is_taken_up_when_the_time_is_nearly_over() -> None:
    """A tick that ends in the middle of a letter leaves a question; one that ends before it leaves none."""
    carrier, _ = carrier_of(Account(dead=[letter(1)]), seconds=15.0)
    assert carrier.tired
    assert carrier.take(10) == []


@pytest.mark.parametrize("kind", [None, Ambiguous, Rejected, Missing])
def test_letters_that_stay_are_shown_again(kind: type[AwsError] | None) -> None:
    """At once where that works; a letter that cannot be given back comes back by itself."""
    account = Account(dead=[letter(1), letter(2)])
    carrier, _ = carrier_of(account)
    letters = carrier.take(10)
    if kind:
        account.fails["sqs:ChangeMessageVisibility"] = error(kind, "sqs:ChangeMessageVisibility")
    carrier.give_back(letters)
    assert len(account.dead) == (0 if kind else 2)


@pytest.mark.hostile(23)
def test_content_goes_home_in_a_limited_number_of_incidents_and_any_number_of_times_in_one() -> None:
    """Twins, messages of equal content, are not returns: they ride on the same claim."""
    account = Account()
    twins = [Letter.received(letter(number, "same")) for number in range(3)]
    for incident in ("i1", "i2"):
        carrier, _ = carrier_of(account, incident=incident)
        for each in twins:
            assert carrier.may_send(each) == ""
            carrier.claim_content(each)
    third, _ = carrier_of(account, incident="i3")
    assert third.may_send(twins[0]) == "its content was sent back in 2 earlier incidents"
    assert carrier_of(account, incident="i3", ever=3)[0].may_send(twins[0]) == ""


def test_a_letter_that_died_since_the_incident_began_is_not_sent() -> None:
    """In one incident nothing is sent twice, and what fails now fails with a consumer that works."""
    account = Account()
    fresh = Letter.received(letter(1, "same", sent=NOW))
    carrier, _ = carrier_of(account)
    assert carrier.may_send(fresh) == "it died while this incident was being worked on"
    assert not carrier.came_back(fresh)  # nothing of this content was sent
    carrier.claim_content(fresh)
    assert carrier.came_back(fresh)
    assert not carrier.came_back(Letter.received(letter(2, "same")))  # a twin that has waited all along


def test_since_is_the_first_attempt() -> None:
    """A letter that the first attempt sent is still known by the second."""
    later = NOW + timedelta(hours=1)
    carrier, _ = carrier_of(Account(), began=(NOW, later))
    assert carrier.since == NOW
    assert carrier_of(Account(now=later), began=())[0].since == later


def test_a_letter_that_came_back_and_is_stored_was_moved_once() -> None:
    """It went home, came back and was stored: one letter, which is in the quarantine now."""
    account = Account(dead=[letter(1, "same")])
    carrier, hand = carrier_of(account)
    carrier.send(only(carrier))
    account.dead = [letter(9, "same", sent=NOW + timedelta(minutes=5))]
    carrier, hand = carrier_of(account, ledger=replace(hand.ledger, remaining=0, returned=1))
    assert carrier.store(only(carrier), "poison", "came back")
    assert hand.ledger == Ledger(moved=1, quarantined=1)
    assert (carrier.sent_in_all, carrier.stored_in_all) == (1, 1)


def test_a_letter_that_was_stored_in_an_earlier_step_is_not_counted_again() -> None:
    """Two came back, one was stored by the step before: one is still there, and this step changes nothing about it."""
    before = Ledger(moved=3, processed=1, returned=1, quarantined=1)
    account = Account(memory={f"i1 {name}": count for name, count in {"sent": 3, "stored": 1, "again": 1}.items()})
    _, hand = carrier_of(account, ledger=before)
    assert hand.ledger == before


def test_what_a_full_move_has_moved_stays_in_the_ledger_of_the_next_attempt() -> None:
    """The ledger is the incident's, not the attempt's."""
    before = Ledger(moved=40, processed=38, returned=2)
    account = Account(dead=[letter(1, "bad")])
    carrier, hand = carrier_of(account, ledger=before)
    carrier.store(only(carrier), "poison", "r")
    assert hand.ledger == Ledger(moved=41, processed=38, returned=2, quarantined=1)
    assert carrier.account() == {"moved": 41, "by_tasks": 40, "sent": 0, "stored": 1, "left": 0, "uncertain": 0}


counts = st.integers(0, 50)


@given(counts, counts, counts, counts, counts, st.none() | counts, counts)
def test_every_ledger_balances(
    moved: int, stored: int, left: int, uncertain: int, returned: int, waiting: int | None, processed: int
) -> None:
    """Moved = processed + returned + quarantined + remaining, whatever was read, and nothing is below zero."""
    account = {"moved": moved, "stored": stored, "left": left, "uncertain": uncertain}
    ledger = balance(account, returned=returned, waiting=waiting, moved_by_task=3, processed=processed)
    assert ledger.balanced
    assert min(ledger.processed, ledger.returned, ledger.remaining, ledger.moved) >= 0


def test_a_key_of_the_customers_own_is_granted_for_what_it_is_needed_for() -> None:
    """SQS opens with the dead-letter queue's key and seals with the source's, in our name."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/"
    routes = Routes(DLQ, SOURCE, BUCKET, f"{key}d", f"{key}s")
    receive, put, delete, show = routes.store(1)
    assert receive.grants == (("kms:Decrypt", f"{key}d"),)
    assert routes.send(1, {}).grants == (("kms:GenerateDataKey", f"{key}s"), ("kms:Decrypt", f"{key}s"))
    assert [put.grants, delete.grants, show.grants] == [(), (), ()]
    assert not any(call.grants for call in STEP.calls)
