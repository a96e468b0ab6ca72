"""The incident table: every conditional path, won and lost."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from nightshift.errors import Fenced, StoreUnavailable
from nightshift.guardrails import Brake
from nightshift.incidents import Claim, Event, Incidents, Pointer, Watched, incident_id
from nightshift.model import (
    Approval,
    CallRecord,
    Diagnosis,
    Finding,
    Incident,
    Outcome,
    Phase,
    Plan,
    SwitchState,
    Verdict,
)

from tests.support.toy import MINUTE, START, TABLE, Account, queue_arn

TARGET = queue_arn("orders")
EVENT = Event(START, "opened", "it hurts")


def incident(number: int = 0, target: str = TARGET, **more: Any) -> Incident:
    """An incident on a target."""
    at = START + timedelta(seconds=number)
    record = Incident(
        id=incident_id("toy", target, at),
        remediation="toy",
        target=target,
        group="system",
        opened_at=at,
        look_at=START,
        deadline=START + 60 * MINUTE,
        finding=Finding("toy", target, "it hurts"),
    )
    return replace(record, **more)


@pytest.fixture
def store(account: Account) -> Incidents:
    """The table."""
    return account.incidents


def claimed(store: Incidents, record: Incident) -> Claim:
    """A claim on a new record."""
    assert store.open(record, EVENT)
    claim = store.claim(record.id, START)
    assert claim is not None
    return claim


def intend(store: Incidents, claim: Claim, record: Incident, **more: Any) -> Any:
    """Write an intent with room for everything."""
    wanted: dict[str, Any] = {
        "now": START,
        "hold": 30 * MINUTE,
        "cooldown": 10 * MINUTE,
        "per_target_per_day": 4,
        "per_account_per_hour": 10,
        "first": True,
        **more,
    }
    return store.intend(claim, record, (), **wanted)


def dump(account: Account) -> list[dict[str, Any]]:
    """The whole table."""
    items: list[dict[str, Any]] = account.aws.client("dynamodb").scan(TableName=TABLE)["Items"]
    return sorted(items, key=json.dumps)


# -- opening -----------------------------------------------------------------------------------------------------------


def test_one_open_incident_a_target_and_remediation(store: Incidents) -> None:
    """The second one is not written, not even in part; another target's is."""
    assert store.open(incident(), EVENT)
    assert not store.open(incident(1), EVENT)
    assert store.get(incident(1).id) is None
    assert store.open(incident(1, queue_arn("other")), EVENT)
    assert store.open_on(TARGET) == (incident().id,)


def test_an_id_fits_a_session_name() -> None:
    """2 to 64 of what STS takes, sortable by time."""
    assert incident_id("toy", TARGET, START) == "20260301T0300-99fbd465"


def test_a_record_comes_back_as_it_was(store: Incidents) -> None:
    """The body is the whole incident."""
    record = incident(scratch={"a": [1, {"b": None}]}, links=("x",))
    assert store.open(record, EVENT)
    assert store.get(record.id) == record
    assert store.recent() == [record]
    assert store.events(record.id) == [EVENT]


# -- claiming ----------------------------------------------------------------------------------------------------------


@pytest.mark.hostile(33)
def test_only_one_of_two_claims_wins(store: Incidents) -> None:
    """The loser learns it; after the lease another may."""
    assert store.open(incident(), EVENT)
    first = store.claim(incident().id, START)
    assert first is not None
    assert store.claim(incident().id, START) is None
    assert store.claim(incident().id, first.until - timedelta(seconds=1)) is None
    second = store.claim(incident().id, first.until)
    assert second is not None
    assert (second.epoch, second.claims) == (first.epoch + 1, 2)


def test_not_before_it_is_due(store: Incidents) -> None:
    """A doubled message does not make two looks out of one."""
    assert store.open(incident(look_at=START + MINUTE), EVENT)
    assert store.claim(incident().id, START) is None
    assert store.claim(incident().id, START + MINUTE) is not None


def test_what_is_not_there_is_not_claimed(store: Incidents) -> None:
    """No record is made by asking for it."""
    assert store.claim("20260301T0300-00000000", START) is None
    assert store.get("20260301T0300-00000000") is None


def test_what_is_closed_is_not_claimed(store: Incidents) -> None:
    """And is not due any more."""
    claim = claimed(store, incident())
    store.save(claim, replace(claim.incident, phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=START), ())
    assert store.claim(incident().id, START + 60 * MINUTE) is None
    assert store.due(START + 60 * MINUTE) == []
    assert store.open_ids() == []


@pytest.mark.hostile(33)
def test_a_lost_lease_is_fenced(account: Account, store: Incidents) -> None:
    """Whoever was overtaken writes nothing any more: no save, no checkpoint, no intent, no letting go."""
    first = claimed(store, incident())
    second = store.claim(incident().id, first.until)
    assert second is not None
    before = dump(account)
    for late in (
        lambda: store.save(first, first.incident, (EVENT,)),
        lambda: store.checkpoint(first, first.incident),
        lambda: intend(store, first, first.incident),
    ):
        with pytest.raises(Fenced):
            late()
    store.let_go(first, died=True)
    assert dump(account) == before
    assert store.still_ours(first, START)[0] is False
    assert store.still_ours(second, first.until)[0] is True


def test_a_claim_that_ran_out_is_not_ours(store: Incidents) -> None:
    """Even where nobody else took it."""
    claim = claimed(store, incident())
    assert store.still_ours(claim, claim.until)[0] is False


def test_saving_lets_go(store: Incidents) -> None:
    """The next claim need not wait for the lease to end."""
    claim = claimed(store, incident())
    store.save(claim, claim.incident, ())
    again = store.claim(incident().id, START)
    assert again is not None
    assert again.claims == 1


@pytest.mark.parametrize("died, claims", [(True, 2), (False, 1)])
def test_a_failed_tick_lets_go(store: Incidents, died: bool, claims: int) -> None:
    """The record is as it was; whether it counts as a death depends on whose fault it was."""
    claim = claimed(store, incident())
    store.let_go(claim, died=died)
    again = store.claim(incident().id, START)
    assert again is not None
    assert again.claims == claims


def test_a_checkpoint_is_no_sign_of_life(store: Incidents) -> None:
    """A tick that always dies after its checkpoint is counted all the same."""
    claim = claimed(store, incident())
    store.checkpoint(claim, replace(claim.incident, why="so far"))
    again = store.claim(incident().id, claim.until)
    assert again is not None
    assert (again.claims, again.incident.why) == (2, "so far")


def test_letting_go_never_fails(account: Account, store: Incidents) -> None:
    """Where the table does not answer, the lease ends by itself."""
    claim = claimed(store, incident())
    account.wire.fail("dynamodb:UpdateItem", "InternalServerError", status=500)
    store.let_go(claim, died=True)


# -- intending ---------------------------------------------------------------------------------------------------------


def test_an_intent_takes_all_it_needs(store: Incidents) -> None:
    """Lease, cooldown and both budgets, and the record, at once."""
    claim = claimed(store, incident())
    assert intend(store, claim, replace(claim.incident, phase=Phase.ACTING)) is None
    lease = store.lease(TARGET, START)
    assert (lease.holder, lease.cooldown_until) == (incident().id, START + 10 * MINUTE)
    assert store.used(TARGET, START) == (1, 1)
    assert store.lease(TARGET, START + 30 * MINUTE).holder is None


def test_a_later_step_takes_only_the_lease(store: Incidents) -> None:
    """An attempt is counted once, however many steps it has."""
    claim = claimed(store, incident())
    assert intend(store, claim, claim.incident, first=False) is None
    assert store.used(TARGET, START) == (0, 0)
    assert store.lease(TARGET, START).cooldown_until is None


@pytest.mark.parametrize("what", ["lease", "cooldown", "storm", "target-budget", "account-budget", "cost"])
def test_what_is_not_free_takes_nothing(account: Account, store: Incidents, what: str) -> None:
    """One of six is taken: refused by its name, and the table is byte for byte as it was."""
    other = incident(1, queue_arn("other"))
    limits: dict[str, Any] = {}
    if what in {"lease", "cooldown"}:
        blocking = claimed(store, incident(2, remediation="toy2"))
        intend(store, blocking, blocking.incident)
        if what == "cooldown":
            done = replace(blocking.incident, phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=START)
            store.save(blocking, done, ())
            assert store.lease(TARGET, START).holder is None
    elif what == "storm":
        store.set_brake(Brake(True, "a storm"))
    elif what == "target-budget":
        blocking = claimed(store, incident(2, remediation="toy2"))
        intend(store, blocking, blocking.incident, cooldown=timedelta(0))
        store.save(blocking, replace(blocking.incident, phase=Phase.CLOSED, closed_at=START), ())
        limits = {"per_target_per_day": 1}
    elif what == "cost":
        blocking = claimed(store, other)
        intend(store, blocking, blocking.incident, dollars=7.000001, dollars_per_day=10.0)
        limits = {"dollars": 3.0, "dollars_per_day": 10.0}
    else:
        blocking = claimed(store, other)
        intend(store, blocking, blocking.incident)
        limits = {"per_account_per_hour": 1}
    claim = claimed(store, incident())
    before = dump(account)
    refusal = intend(store, claim, replace(claim.incident, phase=Phase.ACTING), **limits)
    assert refusal is not None
    assert refusal.guard == ("lease" if what == "cooldown" else what)
    assert refusal.retry_after is not None
    assert dump(account) == before


def test_money_is_counted_to_its_last_part(store: Incidents) -> None:
    """What is planned adds up to the limit and no further; what costs nothing takes none, and a day has its own."""
    for number, dollars in enumerate((0.1, 0.2, 0.7)):
        claim = claimed(store, incident(number, queue_arn(f"q{number}")))
        assert intend(store, claim, claim.incident, dollars=dollars, dollars_per_day=1.0) is None
    assert store.dollars(START) == 1.0
    free, dear = (claimed(store, incident(number, queue_arn(f"q{number}"))) for number in (3, 4))
    assert intend(store, free, free.incident, dollars_per_day=1.0) is None
    refusal = intend(store, dear, dear.incident, dollars=0.000001, dollars_per_day=1.0)
    assert refusal is not None
    assert refusal.guard == "cost"
    assert store.dollars(START + timedelta(days=1)) == 0.0


def test_budgets_are_by_day_and_hour(store: Incidents) -> None:
    """The next hour has its own, the next day too."""
    claim = claimed(store, incident())
    intend(store, claim, claim.incident)
    assert store.used(TARGET, START + 60 * MINUTE) == (1, 0)
    assert store.used(TARGET, START + timedelta(days=1)) == (0, 0)


def test_an_attempt_that_did_not_happen_leaves_no_cooldown(store: Incidents) -> None:
    """Only its own: another attempt's stays."""
    claim = claimed(store, incident())
    intend(store, claim, claim.incident)
    store.uncool(incident(1))
    assert store.lease(TARGET, START).cooldown_until is not None
    store.uncool(claim.incident)
    assert store.lease(TARGET, START).cooldown_until is None


def test_events_of_one_tick_do_not_overwrite_each_other(store: Incidents) -> None:
    """The intent and what came of it may bear the same time."""
    claim = claimed(store, incident())
    store.intend(
        claim,
        claim.incident,
        (Event(START, "intent", "a"),),
        now=START,
        hold=MINUTE,
        cooldown=MINUTE,
        per_target_per_day=1,
        per_account_per_hour=1,
        first=True,
    )
    store.save(claim, claim.incident, (Event(START, "acted", "b"), Event(START, "settled", "c")))
    assert [event.kind for event in store.events(incident().id)] == ["opened", "intent", "acted", "settled"]


# -- ending ------------------------------------------------------------------------------------------------------------


def test_an_end_lets_go_of_the_target_at_once(store: Incidents) -> None:
    """In one transaction: no end leaves a lock, and none takes another's."""
    claim = claimed(store, incident())
    intend(store, claim, claim.incident)
    store.save(claim, replace(claim.incident, phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=START), ())
    assert store.lease(TARGET, START).holder is None
    assert store.lease(TARGET, START).cooldown_until is not None
    assert store.pointers() == {}


def test_an_end_leaves_anothers_lock(store: Incidents) -> None:
    """Only the holder lets go."""
    holder = claimed(store, incident(1, remediation="toy2"))
    intend(store, holder, holder.incident)
    claim = claimed(store, incident())
    store.save(claim, replace(claim.incident, phase=Phase.CLOSED, verdict=Verdict.REFUSED, closed_at=START), ())
    assert store.lease(TARGET, START).holder == holder.incident.id


def test_quiet_keeps_the_pointer(store: Incidents) -> None:
    """No new incident until it is forgotten."""
    claim = claimed(store, incident())
    closed = replace(claim.incident, phase=Phase.CLOSED, verdict=Verdict.ESCALATED, closed_at=START)
    store.save(claim, closed, (), quiet=True)
    assert not store.open(incident(1), EVENT)
    [pointer] = store.pointers().values()
    assert (pointer.state, pointer.incident) == ("quiet", incident().id)
    assert store.forget(pointer)
    assert not store.forget(pointer)
    assert store.open(incident(1), EVENT)


def test_a_pointer_moves_only_from_where_it_was(store: Incidents) -> None:
    """A sweep that read an old index does not undo what a tick wrote."""
    unknown = Pointer(TARGET, "toy", "unknown", START, count=1)
    assert not store.point(unknown, was="unknown")
    assert store.point(unknown, was=None)
    assert not store.point(unknown, was=None)
    assert store.point(replace(unknown, count=2), was="unknown")
    assert store.open(incident(), EVENT)
    assert not store.point(replace(unknown, count=3), was="unknown")
    assert not store.forget(unknown)


# -- people ------------------------------------------------------------------------------------------------------------


QUESTION = Approval("hash", START, START + 60 * MINUTE)


def asked(store: Incidents) -> Claim:
    """A record with an open question, saved."""
    claim = claimed(store, incident())
    store.save(claim, replace(claim.incident, phase=Phase.AWAITING, approval=QUESTION, look_at=START + MINUTE), ())
    return claim


def answered(store: Incidents, word: str = "approved", question: Approval = QUESTION) -> bool:
    """A person answers."""
    given = replace(question, answer=word, by="eva")
    return store.answer(incident().id, given, asked=question, now=START, event=Event(START, "answered", word))


@pytest.mark.hostile(27)
def test_an_answer_is_taken_once(store: Incidents) -> None:
    """The first one counts, and makes the record due."""
    asked(store)
    assert answered(store)
    assert not answered(store, "denied")
    claim = store.claim(incident().id, START)
    assert claim is not None
    assert claim.incident.approval is not None
    assert claim.incident.approval.answer == "approved"


@pytest.mark.hostile(27)
def test_an_answer_to_another_question_is_not_taken(store: Incidents) -> None:
    """Bound to the plan and to when it was asked."""
    asked(store)
    assert not answered(store, question=replace(QUESTION, plan_hash="another"))
    assert not answered(store, question=replace(QUESTION, asked_at=START + MINUTE))


def test_an_answer_survives_the_tick_that_runs_meanwhile(store: Incidents) -> None:
    """Answered while a tick has the record in its hands: the next one finds it."""
    asked(store)
    claim = store.claim(incident().id, START + MINUTE)
    assert claim is not None
    assert answered(store)
    store.save(claim, claim.incident, ())
    record = store.get(incident().id)
    assert record is not None
    assert record.approval is not None
    assert record.approval.answer == "approved"


def test_an_answer_does_not_survive_its_question(store: Incidents) -> None:
    """Asked anew meanwhile: the answer to the old question is gone."""
    asked(store)
    claim = store.claim(incident().id, START + MINUTE)
    assert claim is not None
    assert answered(store)
    anew = replace(QUESTION, plan_hash="another", asked_at=START + MINUTE)
    store.save(claim, replace(claim.incident, approval=anew), ())
    record = store.get(incident().id)
    assert record is not None
    assert record.approval == anew


def test_no_second_answer_once_the_first_is_taken_in(store: Incidents) -> None:
    """An approved incident that is held takes no "denied" that would not be heeded."""
    asked(store)
    assert answered(store)
    claim = store.claim(incident().id, START)
    assert claim is not None
    store.save(claim, claim.incident, ())
    assert not answered(store, "denied")


# -- switches, budgets, memory -----------------------------------------------------------------------------------------


def test_an_absent_switch_is_halted(account: Account, store: Incidents) -> None:
    """Never set, or set to something else: no state at all."""
    account.aws.client("dynamodb").delete_item(TableName=TABLE, Key={"pk": {"S": "SWITCH"}, "sk": {"S": "SWITCH"}})
    assert store.switch().state is None
    claim = claimed(store, incident())
    assert store.still_ours(claim, START)[1].state is None
    account.aws.client("dynamodb").put_item(
        TableName=TABLE, Item={"pk": {"S": "SWITCH"}, "sk": {"S": "SWITCH"}, "state": {"S": "On"}}
    )
    assert store.switch().state is None
    store.set_switch(SwitchState.PAUSED, reason="a freeze", by="eva", now=START)
    assert store.still_ours(claim, START)[1].reason == "a freeze"


def test_half_an_answer_is_none(account: Account, store: Incidents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one of record and switch could be read, neither is believed."""
    claim = claimed(store, incident())
    monkeypatch.setattr(store, "_call", lambda *args, **kwargs: {"Responses": {}, "UnprocessedKeys": {TABLE: {}}})
    with pytest.raises(StoreUnavailable):
        store.still_ours(claim, START)


def test_the_brake_comes_back_as_it_was(store: Incidents) -> None:
    """Absent is not engaged."""
    assert store.brake() == Brake()
    brake = Brake(True, "a storm", START, START + MINUTE, 4, told=True)
    store.set_brake(brake)
    assert store.brake() == brake
    store.set_brake(Brake())
    assert store.brake() == Brake()


def test_counters_are_bounded(store: Incidents) -> None:
    """What would pass the limit is not added."""
    expires = START + timedelta(days=1)
    assert store.counter("scope", "key") == 0
    assert store.count("scope", "key", 2, limit=3, expires=expires)
    assert not store.count("scope", "key", 2, limit=3, expires=expires)
    assert not store.count("scope", "other", 4, limit=3, expires=expires)
    assert store.count("scope", "key", 1, limit=3, expires=expires)
    assert store.count("scope", "key", 5, limit=None, expires=expires)
    assert store.counter("scope", "key") == 8
    assert store.counter("scope", "other") == 0


def test_a_counter_bears_being_sent_twice(account: Account, store: Incidents) -> None:
    """The SDK repeats a request whose answer was lost: a transaction's token makes that one addition."""
    store.count("scope", "key", 1, limit=None, expires=START)
    assert account.wire.made("dynamodb:TransactWriteItems")


def test_the_heartbeat(store: Incidents) -> None:
    """When the last sweep was completed, and what it saw."""
    assert store.heartbeat() is None
    store.beat(START, {"targets": 3})
    assert store.heartbeat() == (START, {"targets": 3})


def test_sweeps_are_counted_by_day(account: Account, store: Incidents) -> None:
    """So that a week without incidents is not a week without looks; a lost answer must not make two of one."""
    late = START.replace(hour=23, minute=59)
    for at, figures in ((START, {"targets": 3}), (late, {"targets": 3, "unknown": 2}), (late + MINUTE, {"targets": 1})):
        store.beat(at, figures)
    day = START.date()
    assert store.watched(START, late) == {day: Watched(2, 6, 2)}
    assert store.watched(START, late + MINUTE) == {day: Watched(2, 6, 2), day + timedelta(days=1): Watched(1, 1, 0)}
    assert store.watched(START - timedelta(days=9), START - timedelta(days=1)) == {}
    assert len(account.wire.made("dynamodb:TransactWriteItems")) == 3


def ended(store: Incidents, number: int, at: datetime) -> Incident:
    """An incident that ended then."""
    record = incident(number, queue_arn(f"q{number}"))
    claim = claimed(store, record)
    record = replace(record, phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=at)
    store.save(claim, record, ())
    return record


def test_what_ended_is_found_by_when_it_ended(store: Incidents) -> None:
    """From the first moment, and not at the last; the newest first; what is open is not among it."""
    records = [ended(store, number, START + number * MINUTE) for number in range(4)]
    claimed(store, incident(9, queue_arn("open")))
    found = store.ended(START + MINUTE, START + 3 * MINUTE, limit=9)
    assert found == [records[2].id, records[1].id]
    assert store.ended(START, START + 9 * MINUTE, limit=1) == [records[3].id]
    assert {each.id for each in store.records(found) if each} == {each.id for each in records[1:3]}
    assert store.due(START + 60 * MINUTE) == [(incident(9, queue_arn("open")).id, START)]
    assert store.reminders(START + 60 * MINUTE) == []


def test_a_reminder_does_not_make_an_end_twice(store: Incidents) -> None:
    """Whoever is reminded of a closed record writes it again; it has ended once."""
    record = ended(store, 0, START)
    assert store.ended(START, START + MINUTE, limit=9) == [record.id]
    assert store.events(record.id) == [EVENT]
    assert store.links(record.id) == ()


def test_a_record_that_nobody_can_read_is_counted_as_one(account: Account, store: Incidents) -> None:
    """One that is gone is left out."""
    record = ended(store, 0, START)
    account.aws.client("dynamodb").update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"INCIDENT#{record.id}"}, "sk": {"S": "INCIDENT"}},
        UpdateExpression="SET body = :b",
        ExpressionAttributeValues={":b": {"S": "{"}},
    )
    assert list(store.records([record.id, "20260301T0300-00000000"])) == [None]


def test_what_a_batch_leaves_over_is_asked_for_again(store: Incidents, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it comes; a table that answers none of it cannot be used."""
    records = [ended(store, number, START) for number in range(2)]
    call, asked = store._call, []

    def half(operation: str, **params: Any) -> dict[str, Any]:
        if operation != "BatchGetItem":
            return call(operation, **params)
        keys = params["RequestItems"][TABLE]["Keys"]
        asked.append(len(keys))
        answer = call(operation, RequestItems={TABLE: {"Keys": keys[:1]}})
        return {**answer, "UnprocessedKeys": {TABLE: {"Keys": keys[1:]}} if keys[1:] else {}}

    monkeypatch.setattr(store, "_call", half)
    assert list(store.records([each.id for each in records])) == records
    assert asked == [2, 1]
    keys = {TABLE: {"Keys": [{"pk": {"S": "x"}, "sk": {"S": "x"}}]}}
    monkeypatch.setattr(store, "_call", lambda *args, **kwargs: {"Responses": {}, "UnprocessedKeys": keys})
    with pytest.raises(StoreUnavailable):
        list(store.records(["x"]))


def test_a_scheduled_report_is_noted(store: Incidents) -> None:
    """By its name: the newest counts."""
    assert store.reported("weekly") is None
    store.note_reported("weekly", "2026-W09", START)
    store.note_reported("weekly", "2026-W10", START)
    store.note_reported("monthly", "2026-02", START)
    assert (store.reported("weekly"), store.reported("monthly")) == ("2026-W10", "2026-02")


def test_links_are_mutual(store: Incidents) -> None:
    """Both sides know."""
    store.link("one", "other")
    assert store.links("one") == ("other",)
    assert store.links("other") == ("one",)


def test_due_in_order(store: Incidents) -> None:
    """What is due first comes first; what is due later does not come."""
    for number, minutes in enumerate((3, 1, 2, 9)):
        target = queue_arn(f"queue-{number}")
        store.open(incident(number, target, look_at=START + minutes * MINUTE), EVENT)
    due = store.due(START + 3 * MINUTE)
    assert [at for _, at in due] == [START + minutes * MINUTE for minutes in (1, 2, 3)]
    assert len(store.due(START + 3 * MINUTE, limit=2)) == 2
    assert len(store.open_ids()) == 4


# -- what readings were ------------------------------------------------------------------------------------------------

ALIAS = "lambda.alias|arn:aws:lambda:eu-central-1:123456789012:function:etl:live"


def test_what_a_reading_was_is_kept_with_from_when_until_when(store: Incidents) -> None:
    """In the order in which it was seen; what stays the same is one line, renewed every few minutes."""
    assert store.kept(ALIAS) == ()
    for minute, version in enumerate("777777888"):
        store.keep(ALIAS, {"FunctionVersion": version}, START + minute * MINUTE)
    seven, eight = store.kept(ALIAS)
    assert (seven.what, seven.since, seven.seen) == ({"FunctionVersion": "7"}, START, START + 5 * MINUTE)
    assert (eight.what, eight.since, eight.seen) == ({"FunctionVersion": "8"}, START + 6 * MINUTE, START + 6 * MINUTE)
    assert store.kept("lambda.alias|other") == ()


def test_only_the_newest_of_what_a_reading_was_is_kept(store: Incidents) -> None:
    """What changes all the time fills no table."""
    for number in range(30):
        store.keep(ALIAS, {"FunctionVersion": str(number)}, START + number * MINUTE)
    assert [each.what["FunctionVersion"] for each in store.kept(ALIAS)] == [str(number) for number in range(10, 30)]


def test_of_two_sweeps_at_once_one_notes_what_it_saw(account: Account, store: Incidents) -> None:
    """The other one read before that, and its note is not written over it."""
    store.keep(ALIAS, {"FunctionVersion": "7"}, START)
    raced = Incidents(account.aws, store._table)
    stale = store._get(f"KEPT#{ALIAS}", "KEPT")
    raced.keep(ALIAS, {"FunctionVersion": "8"}, START + MINUTE)
    with patch.object(store, "_get", lambda *_: stale):
        store.keep(ALIAS, {"FunctionVersion": "9"}, START + MINUTE)
    assert [each.what["FunctionVersion"] for each in store.kept(ALIAS)] == ["7", "8"]


@pytest.mark.hostile(16)
def test_a_note_that_nobody_can_read_is_begun_anew(store: Incidents) -> None:
    """No sweep fails for ever over one reading, and nothing is believed of it."""
    store.keep(ALIAS, {"FunctionVersion": "7"}, START)
    for body in ("rubbish", '[{"what": 3}]', "[]"):
        item = store._get(f"KEPT#{ALIAS}", "KEPT")
        assert item is not None
        store._call("PutItem", TableName=store._table, Item={**item, "body": {"S": body}})
        assert store.kept(ALIAS) == ()
        store.keep(ALIAS, {"FunctionVersion": "8"}, START + MINUTE)
        assert [each.what["FunctionVersion"] for each in store.kept(ALIAS)] == ["8"]


# -- size and failure --------------------------------------------------------------------------------------------------


def record_of(size: int, count: int) -> Incident:
    """A record with much evidence and many calls."""
    calls = tuple(
        CallRecord(START, "step", "sqs:SendMessage", f"{TARGET}-{number}", Outcome.DONE, error="x" * 500)
        for number in range(count)
    )
    finding = Finding("toy", TARGET, "it hurts", evidence=("y" * size,) * 50)
    return incident(finding=finding, diagnosis=Diagnosis(TARGET, "cause", evidence=("z" * size,) * 50), calls=calls)


@pytest.mark.parametrize("size, count", [(20_000, 10), (2_000_000, 0), (10, 2000)])
@pytest.mark.hostile(16)
def test_a_body_always_fits(store: Incidents, size: int, count: int) -> None:
    """Evidence and old calls are cut, and it is said; the record can always be written."""
    record = record_of(size, count)
    assert store.open(record, EVENT)
    back = store.get(record.id)
    assert back is not None
    assert back.id == record.id
    assert back.calls == record.calls[-len(back.calls) :] if back.calls else not count


@pytest.mark.hostile(16)
def test_an_end_can_always_be_written(store: Incidents) -> None:
    """A plan too large to be kept is no reason never to end."""
    claim = claimed(store, incident())
    plan = Plan("toy", TARGET, "s" * 400_000, (), risk="", undo_by_hand="")
    with pytest.raises(StoreUnavailable):
        store.checkpoint(claim, replace(claim.incident, plan=plan))
    store.save(claim, replace(claim.incident, plan=plan, phase=Phase.CLOSED, closed_at=START), ())
    back = store.get(incident().id)
    assert back is not None
    assert not back.open


@pytest.mark.hostile(35)
def test_no_table_no_record(account: Account, store: Incidents) -> None:
    """Every failure of the table is one error, whatever AWS calls it."""
    account.wire.fail("dynamodb:GetItem", "ProvisionedThroughputExceededException")
    with pytest.raises(StoreUnavailable):
        store.get("x")
    account.wire.fail("dynamodb:TransactWriteItems", "TransactionCanceledException")
    with pytest.raises(StoreUnavailable):
        store.open(incident(), EVENT)
