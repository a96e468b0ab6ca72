"""
The incident table: one record per incident, its timeline, the locks, the budgets, the switches.

One DynamoDB table (on demand, point-in-time recovery). Every write that matters carries a condition, so that two ticks
of one incident, a duplicate event and a crashed function cannot both win. The index finds records and may lag; a claim
is a conditional write on the table itself. Items that may go carry ``expires`` for DynamoDB's TTL, which may be days
late and is therefore never trusted: whatever has a time limit has that limit compared in the condition.

====================================  =====================  ==========================================================
pk                                    sk                     what
====================================  =====================  ==========================================================
``INCIDENT#<id>``                     ``INCIDENT``           the record: ``body`` and what conditions need
``INCIDENT#<id>``                     ``EVENT#<time>#<n>``   one event of the timeline
``INCIDENT#<id>``                     ``LINK#<id>``          an incident that this one waited for, or that waited for it
``INCIDENT#<id>``                     ``END``                when it ended: what a week's digest is found by
``KEPT#<kind>|<key>``                 ``KEPT``               what a reading was, and from when until when
``MEMORY#<scope>``                    ``<key>``              a counter that must survive a crash in the middle of a step
``TARGET#<arn>``                      ``OPEN#<remediation>`` which incident is open, or that we are quiet about it
``TARGET#<arn>``                      ``LEASE``              who may act on the target, and since when it cools down
``BUDGET#…``                          ``<day or hour>``      applications used, and millionths of dollars
``SWITCH``, ``BRAKE``, ``HEARTBEAT``  the same               the kill switch, the storm brake, the last sweep
``HEARTBEAT``                         ``<day>``              how many sweeps there were, and how much they did not see
``REPORTS``                           ``<name>``             of which day, week or month a report was told last
====================================  =====================  ==========================================================
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from nightshift.aws import Aws
from nightshift.errors import AwsError, Fenced, NightshiftError, StoreUnavailable
from nightshift.guardrails import Brake
from nightshift.model import (
    Acknowledgement,
    Approval,
    Finding,
    Incident,
    Json,
    Phase,
    Refusal,
    SwitchState,
)
from nightshift.remediation import Kept

__all__ = [
    "AFTER_UNDO",
    "Claim",
    "Event",
    "Incidents",
    "LeaseState",
    "Pointer",
    "Switch",
    "Watched",
    "incident_id",
    "memory_scope",
]

UNREADABLE = 5
"""claims after which a record that nobody can read is handed out as what is left of it, to be closed and told of"""
KEEP = timedelta(days=90)
"""how long a closed incident stays readable"""

_INCIDENT: TypeAdapter[Incident] = TypeAdapter(Incident)
_APPROVAL: TypeAdapter[Approval] = TypeAdapter(Approval)
_ACKNOWLEDGEMENT: TypeAdapter[Acknowledgement] = TypeAdapter(Acknowledgement)
_KEPT: TypeAdapter[tuple[Kept, ...]] = TypeAdapter(tuple[Kept, ...])
_KEPT_EVERY = timedelta(minutes=5)
"""how exactly is known until when a reading was so"""
_KEPT_MOST = 20
"""changes of a reading that are kept"""
_AT_ONCE = 100
"""keys that BatchGetItem takes"""
AFTER_UNDO = timedelta(minutes=3)
"""how long after something was taken back no plan is made from what AWS says of it: that may still be our own value"""
_MONEY = "BUDGET#DOLLARS"
_MILLION = 1_000_000
_BODY_LIMIT = 350_000
"""bytes; DynamoDB's limit is 400 KB for the whole item"""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an incident's timeline."""

    at: datetime
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A record that is ours until ``until``: ``epoch`` fences it, ``claims`` counts claims since the last save.

    ``killed`` is when whoever works on it is ended by Lambda, where it is known: that may be sooner.
    """

    incident: Incident
    epoch: int
    claims: int
    until: datetime
    killed: datetime | None = None

    @property
    def ends(self) -> datetime:
        """When all work on it must be over."""
        return self.until if self.killed is None else min(self.until, self.killed)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What we have going on one target for one remediation. ``state`` is ``open``, ``quiet`` or ``unknown``."""

    target: str
    remediation: str
    state: str
    since: datetime
    incident: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Who acts on a target, and until when it cools down."""

    holder: str | None = None
    until: datetime | None = None
    cooldown_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """How a day was watched: sweeps that were completed, looks that they took, and those of them that saw nothing."""

    sweeps: int = 0
    looks: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """The kill switch as it stands: ``state`` is None where it was never set (which counts as halted)."""

    state: SwitchState | None
    reason: str = ""
    by: str = ""
    at: str = ""


def incident_id(remediation: str, target: str, opened_at: datetime) -> str:
    """
    An id that sorts by time, and fits where it must: a role session name and a source identity.

    2 to 64 letters, digits and ``_+=,.@-``.

    Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    digest = hashlib.sha256(f"{remediation}|{target}|{opened_at.isoformat()}".encode()).hexdigest()[:8]
    return f"{opened_at:%Y%m%dT%H%M}-{digest}"


def memory_scope(remediation: str, target: str) -> str:
    """Where a remediation's durable counters for one target stand."""
    return f"{remediation}#{target}"


class Incidents:
    """
    Reads and writes the incident table.

    Raises StoreUnavailable when the table cannot be used: without a record there is no action.
    """

    def __init__(self, aws: Aws, table: str, *, lease: timedelta = timedelta(seconds=180)) -> None:
        self._aws = aws
        self._table = table
        self._lease = lease

    # -- opening and finding -----------------------------------------------------------------------------------

    def open(self, incident: Incident, event: Event, *, over: str = "") -> bool:
        """
        Write a new incident, unless one is open on that target, or we are quiet about it: then False.

        ``over``: the incident that we were quiet about, and are no longer.
        """
        pointer = _pointer_item(Pointer(incident.target, incident.remediation, "open", incident.opened_at, incident.id))
        items: list[dict[str, Any]] = [
            {"Put": {"Item": self._record(incident), "ConditionExpression": "attribute_not_exists(pk)"}},
            {
                "Put": {
                    "Item": pointer,
                    "ConditionExpression": "attribute_not_exists(pk) OR #s = :unknown "
                    "OR (#s = :quiet AND incident = :over)",
                    "ExpressionAttributeNames": {"#s": "state"},
                    "ExpressionAttributeValues": {
                        ":unknown": {"S": "unknown"},
                        ":quiet": {"S": "quiet"},
                        ":over": {"S": over or "-"},
                    },
                }
            },
            {"Put": {"Item": _event_item(incident.id, 0, event)}},
        ]
        return self._transact(items) is None

    def open_beside(self, incident: Incident, event: Event) -> bool:
        """Write a new incident beside what is open on its target; False where it was written before."""
        items: list[dict[str, Any]] = [
            {"Put": {"Item": self._record(incident), "ConditionExpression": "attribute_not_exists(pk)"}},
            {"Put": {"Item": _event_item(incident.id, 0, event)}},
        ]
        return self._transact(items) is None

    def get(self, incident_id: str) -> Incident | None:
        """The record as it stands, consistently read; None where there is none."""
        item = self._get(f"INCIDENT#{incident_id}", "INCIDENT")
        return _load(item) if item else None

    def due(self, until: datetime, *, limit: int = 500) -> list[tuple[str, datetime]]:
        """Open incidents to be looked at before ``until``, and when; the first due first; the index may lag."""
        items = self._query(
            limit=limit,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :until",
            ExpressionAttributeValues={":shard": {"S": "DUE"}, ":until": _time(until)},
        )
        return [(_id_of(item["pk"]["S"]), _must(_when(item["due_at"]))) for item in items]

    def reminders(self, until: datetime, *, limit: int = 500) -> list[tuple[str, datetime]]:
        """Closed incidents of which somebody is to be reminded before ``until``, and when; the index may lag."""
        items = self._query(
            limit=limit,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at <= :until",
            ExpressionAttributeValues={":shard": {"S": "REMIND"}, ":until": _time(until)},
        )
        return [(_id_of(item["pk"]["S"]), _must(_when(item["due_at"]))) for item in items]

    def open_ids(self, *, limit: int = 1000) -> list[str]:
        """Ids of all open incidents, by the index."""
        items = self._query(
            limit=limit,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": "DUE"}},
        )
        return [_id_of(item["pk"]["S"]) for item in items]

    def recent(self, *, limit: int | None = 100, unreadable: list[str] | None = None) -> list[Incident]:
        """
        Incidents, open and closed, newest first: a scan, for a person at a terminal. All of them without ``limit``.

        ``unreadable`` takes the ids of those that cannot be read; without it one of them is StoreUnavailable.
        """
        found: list[Incident] = []
        for item in self._pages(
            "Scan",
            "Items",
            FilterExpression="sk = :sk",
            ExpressionAttributeValues={":sk": {"S": "INCIDENT"}},
        ):
            try:
                found.append(_load(item))
            except StoreUnavailable:
                if unreadable is None:
                    raise
                unreadable.append(_id_of(item["pk"]["S"]))
        return sorted(found, key=lambda incident: incident.opened_at, reverse=True)[:limit]

    def ended(self, since: datetime, until: datetime, *, limit: int) -> list[str]:
        """Ids of incidents that ended from ``since`` up to ``until``, the newest first, ``limit`` at most."""
        items = self._query(
            limit=limit,
            IndexName="due",
            KeyConditionExpression="due_shard = :shard AND due_at BETWEEN :since AND :until",
            ExpressionAttributeValues={
                ":shard": {"S": "ENDED"},
                ":since": _time(since),
                ":until": _time(until - timedelta(microseconds=1)),
            },
            ScanIndexForward=False,
        )
        return [_id_of(item["pk"]["S"]) for item in items]

    def records(self, ids: Sequence[str], *, consistent: bool = False) -> Iterator[Incident | None]:
        """
        The records of these ids, a hundred a call, one after the other; None for one that cannot be read.

        What is not there (any more) is left out. ``consistent``: as they stand now, whatever was just written.
        """
        for start in range(0, len(ids), _AT_ONCE):
            wanted = [_key(f"INCIDENT#{each}", "INCIDENT") for each in ids[start : start + _AT_ONCE]]
            while wanted:
                request = {"Keys": wanted, **({"ConsistentRead": True} if consistent else {})}
                answer = self._call("BatchGetItem", RequestItems={self._table: request})
                found = answer["Responses"].get(self._table, [])
                left = (answer.get("UnprocessedKeys") or {}).get(self._table, {}).get("Keys", [])
                if left and not found:
                    raise StoreUnavailable(f"BatchGetItem answers none of {len(left)} records")
                for item in found:
                    try:
                        yield _load(item)
                    except StoreUnavailable:
                        yield None
                wanted = left

    def pointers(self) -> dict[tuple[str, str], Pointer]:
        """What is going on, by (target, remediation): by the index, which may lag."""
        items = self._query(
            IndexName="due",
            KeyConditionExpression="due_shard = :shard",
            ExpressionAttributeValues={":shard": {"S": "POINTER"}},
        )
        pointers = [_pointer(item) for item in items]
        return {(pointer.target, pointer.remediation): pointer for pointer in pointers}

    def point(self, pointer: Pointer, *, was: str | None) -> bool:
        """Write a pointer if its state is still ``was`` (None: there is none); False where it has moved on."""
        put: dict[str, Any] = {"TableName": self._table, "Item": _pointer_item(pointer)}
        if was is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put["ConditionExpression"] = "#s = :was"
            put["ExpressionAttributeNames"] = {"#s": "state"}
            put["ExpressionAttributeValues"] = {":was": {"S": was}}
        return self._conditional("PutItem", **put)

    def forget(self, pointer: Pointer) -> bool:
        """Remove a pointer if it is still in that state."""
        return self._conditional(
            "DeleteItem",
            TableName=self._table,
            Key=_key(f"TARGET#{pointer.target}", f"OPEN#{pointer.remediation}"),
            ConditionExpression="#s = :was",
            ExpressionAttributeNames={"#s": "state"},
            ExpressionAttributeValues={":was": {"S": pointer.state}},
        )

    def pointer(self, target: str, remediation: str) -> Pointer | None:
        """What is going on of one remediation on one target, consistently read; None where nothing is."""
        item = self._get(f"TARGET#{target}", f"OPEN#{remediation}")
        return _pointer(item) if item is not None else None

    def open_on(self, target: str) -> tuple[str, ...]:
        """Ids of incidents open on a target, consistently read."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :open)",
            ExpressionAttributeValues={":pk": {"S": f"TARGET#{target}"}, ":open": {"S": "OPEN#"}},
            ConsistentRead=True,
        )
        return tuple(item["incident"]["S"] for item in items if item["state"]["S"] == "open")

    def open_of(self, remediation: str, target: str) -> str | None:
        """The id of the incident that a remediation has open on a target, consistently read; None where it has none."""
        item = self._get(f"TARGET#{target}", f"OPEN#{remediation}")
        return item["incident"]["S"] if item is not None and item["state"]["S"] == "open" else None

    def sick_since(self, remediation: str, target: str) -> datetime | None:
        """
        Since when a target is known to be sick, consistently read; None where it is not, or was seen healthy since.

        Of one whose incident has ended: since that end, as far as this can tell.
        """
        pointer = self.pointer(target, remediation)
        return pointer.since if pointer and pointer.state in {"open", "quiet"} and not pointer.count else None

    # -- the life of a record ----------------------------------------------------------------------------------

    def claim(self, incident_id: str, now: datetime) -> Claim | None:
        """
        Take the record for one tick: None where there is none, it is closed, not due, or another tick holds it.

        Not before it is due: a doubled message must not make two looks out of one. A closed one is due where people
        are to be reminded of it.
        """
        until = now + self._lease
        try:
            answer = self._call(
                "UpdateItem",
                TableName=self._table,
                Key=_key(f"INCIDENT#{incident_id}", "INCIDENT"),
                UpdateExpression="SET lease_until = :until, epoch = epoch + :one, claims = claims + :one",
                ConditionExpression="lease_until <= :now AND due_at <= :now "
                "AND (phase <> :closed OR attribute_exists(due_shard))",
                ExpressionAttributeValues={
                    ":until": _time(until),
                    ":now": _time(now),
                    ":one": {"N": "1"},
                    ":closed": {"S": Phase.CLOSED.value},
                },
                ReturnValues="ALL_NEW",
            )
        except _ConditionFailed:
            return None
        item = answer["Attributes"]
        epoch, claims = int(item["epoch"]["N"]), int(item["claims"]["N"])
        try:
            incident = _load(item)
        except StoreUnavailable as error:
            if claims <= UNREADABLE:
                raise
            incident = _unreadable(item, now, str(error))
        return Claim(incident, epoch, claims, until)

    def save(self, claim: Claim, incident: Incident, events: Sequence[Event], *, quiet: bool = False) -> None:
        """
        Write the record and its new events, and let go of it. Raises Fenced where it is no longer ours.

        A closed incident also lets go of its target; ``quiet`` keeps its pointer, so that we stay silent about the
        target until it has been seen healthy.
        """
        items: list[dict[str, Any]] = [self._save_item(claim, incident, release=True, alive=True)]
        if incident.phase is Phase.CLOSED:
            items += self._releasing(incident)
            items.append({"Put": {"Item": _end_item(incident)}})
            pointer = Pointer(incident.target, incident.remediation, "quiet", _at(incident), incident.id)
            if quiet:
                items.append({"Put": {"Item": _pointer_item(pointer)}})
            else:
                items.append({"Delete": {"Key": _key(f"TARGET#{incident.target}", f"OPEN#{incident.remediation}")}})
        self._add_events(
            items, incident.id, claim.epoch * 100 + 50, events
        )  # after those of intend(), at the same time
        if self._transact(items) is not None:
            raise Fenced(incident.id)

    def _releasing(self, incident: Incident) -> list[dict[str, Any]]:
        """Let go of the target, if it is ours, in the same transaction as the end: so no end leaves a lock."""
        item = self._get(f"TARGET#{incident.target}", "LEASE")
        if item is None or item.get("holder", {}).get("S") != incident.id:
            return []
        update: dict[str, Any] = {
            "Key": _key(f"TARGET#{incident.target}", "LEASE"),
            "UpdateExpression": "REMOVE holder, #until",
            "ConditionExpression": "holder = :me",
            "ExpressionAttributeNames": {"#until": "until"},
            "ExpressionAttributeValues": {":me": {"S": incident.id}},
        }
        if incident.plan is not None and incident.plan.lease is not None:
            cool = max(_at(incident) + AFTER_UNDO, _when(item.get("cooldown_until")) or _at(incident))
            update["UpdateExpression"] = f"SET cooldown_until = :cool {update['UpdateExpression']}"
            update["ExpressionAttributeValues"][":cool"] = _time(cool)
        return [{"Update": update}]

    def checkpoint(self, claim: Claim, incident: Incident, events: Sequence[Event] = ()) -> None:
        """Write the record without letting go of it: what a crash from here on must not lose. Raises Fenced."""
        items: list[dict[str, Any]] = [self._save_item(claim, incident, release=False, alive=False)]
        self._add_events(items, incident.id, claim.epoch * 100 + 50, events)
        if self._transact(items) is not None:
            raise Fenced(incident.id)

    def reminded(self, claim: Claim, incident: Incident, events: Sequence[Event]) -> None:
        """Write a closed record and let go of it; its target was let go of when it ended. Raises Fenced."""
        items: list[dict[str, Any]] = [self._save_item(claim, incident, release=True, alive=True)]
        self._add_events(items, incident.id, claim.epoch * 100 + 50, events)
        if self._transact(items) is not None:
            raise Fenced(incident.id)

    def let_go(self, claim: Claim, *, died: bool) -> None:
        """
        Give a record back as it was, after a tick that failed, so that the next need not wait for the lease to end.

        ``died`` counts the claim among those that the record did not survive.
        """
        update = "SET lease_until = :free" + ("" if died else ", claims = claims - :one")
        values: dict[str, Any] = {":epoch": {"N": str(claim.epoch)}, ":free": _time(datetime.fromtimestamp(0, UTC))}
        with contextlib.suppress(StoreUnavailable):  # then the lease ends by itself
            self._conditional(
                "UpdateItem",
                TableName=self._table,
                Key=_key(f"INCIDENT#{claim.incident.id}", "INCIDENT"),
                UpdateExpression=update,
                ConditionExpression="epoch = :epoch",
                ExpressionAttributeValues=values if died else {**values, ":one": {"N": "1"}},
            )

    def intend(  # noqa: PLR0913 - all that is claimed at once, or not at all
        self,
        claim: Claim,
        incident: Incident,
        events: Sequence[Event],
        *,
        now: datetime,
        hold: timedelta,
        cooldown: timedelta,
        per_target_per_day: int,
        per_account_per_hour: int,
        dollars: float = 0.0,
        dollars_per_day: float = 0.0,
        first: bool,
    ) -> Refusal | None:
        """
        Write down what is about to be done, and take everything it needs, in one transaction, or nothing of it.

        The record's intent, the lease on the target for ``hold``, and (for the ``first`` step of an attempt) the
        cooldown, one application from each budget, and what it may cost in US dollars. Returns the refusal of what was
        not free. Raises Fenced.
        """
        target_key = f"TARGET#{incident.target}"
        values: dict[str, Any] = {
            ":me": {"S": incident.id},
            ":until": _time(now + hold),
            ":now": _time(now),
        }
        update = "SET holder = :me, #until = :until"
        condition = "(attribute_not_exists(holder) OR holder = :me OR #until <= :now)"
        if first:
            update += ", cooldown_until = :cool, cooldown_by = :attempt"
            condition += " AND (attribute_not_exists(cooldown_until) OR cooldown_until <= :now)"
            values[":cool"] = _time(now + cooldown)
            values[":attempt"] = {"S": f"{incident.id}#{len(incident.attempts)}"}
        items: list[dict[str, Any]] = [
            self._save_item(claim, incident, release=False, alive=True),
            {
                "Update": {
                    "Key": _key(target_key, "LEASE"),
                    "UpdateExpression": update,
                    "ConditionExpression": condition,
                    "ExpressionAttributeNames": {"#until": "until"},
                    "ExpressionAttributeValues": values,
                }
            },
            {
                "ConditionCheck": {
                    "Key": _key("BRAKE", "BRAKE"),
                    "ConditionExpression": "attribute_not_exists(pk) OR engaged = :no",
                    "ExpressionAttributeValues": {":no": {"BOOL": False}},
                }
            },
        ]
        if first:
            items.append(_spend(_day_budget(incident.target), f"{now:%Y-%m-%d}", per_target_per_day, now))
            items.append(_spend("BUDGET#ACCOUNT", f"{now:%Y-%m-%dT%H}", per_account_per_hour, now))
        if first and dollars:
            items.append(_spend(_MONEY, f"{now:%Y-%m-%d}", _micros(dollars_per_day), now, _micros(dollars)))
        self._add_events(items, incident.id, claim.epoch * 100, events)
        failed = self._transact(items)
        if failed is None:
            return None
        if failed == 0:
            raise Fenced(incident.id)
        soon = timedelta(minutes=1)
        return {
            1: Refusal("lease", "another incident acts on the target, or it is cooling down", retry_after=soon),
            2: Refusal("storm", "the storm brake was engaged a moment ago", retry_after=soon),
            3: Refusal("target-budget", "the target's applications for today are used up", retry_after=soon * 60),
            4: Refusal("account-budget", "the account's applications for this hour are used up", retry_after=soon * 5),
            5: Refusal("cost", "what today's applications may cost is spoken for", retry_after=soon * 60),
        }.get(failed, Refusal("lease", "the intent could not be written", retry_after=soon))

    def still_ours(self, claim: Claim, now: datetime) -> tuple[bool, Switch]:
        """
        Whether the record is still ours, and the kill switch: both read consistently, now, in one call.

        Asked right before every write to a target.
        """
        keys = [_key(f"INCIDENT#{claim.incident.id}", "INCIDENT"), _key("SWITCH", "SWITCH")]
        answer = self._call(
            "BatchGetItem",
            RequestItems={
                self._table: {
                    "Keys": keys,
                    "ConsistentRead": True,
                    "ProjectionExpression": "pk, epoch, #state, reason, #by, #at",
                    "ExpressionAttributeNames": {"#state": "state", "#by": "by", "#at": "at"},
                }
            },
        )
        if answer.get("UnprocessedKeys"):
            msg = "the record and the kill switch could not both be read"
            raise StoreUnavailable(msg)
        items = {item["pk"]["S"]: item for item in answer["Responses"].get(self._table, [])}
        record = items.get(f"INCIDENT#{claim.incident.id}")
        ours = record is not None and int(record["epoch"]["N"]) == claim.epoch and now < claim.until
        return ours, _switch(items.get("SWITCH"))

    def uncool(self, incident: Incident) -> None:
        """Take back the cooldown of an attempt that turned out not to have happened."""
        self._conditional(
            "UpdateItem",
            TableName=self._table,
            Key=_key(f"TARGET#{incident.target}", "LEASE"),
            UpdateExpression="REMOVE cooldown_until, cooldown_by",
            ConditionExpression="cooldown_by = :attempt",
            ExpressionAttributeValues={":attempt": {"S": f"{incident.id}#{len(incident.attempts)}"}},
        )

    def lease(self, target: str, now: datetime) -> LeaseState:
        """Who acts on the target now, and until when it cools down; consistently read."""
        item = self._get(f"TARGET#{target}", "LEASE")
        if item is None:
            return LeaseState()
        until = _when(item.get("until"))
        held = "holder" in item and until is not None and until > now
        return LeaseState(
            holder=item["holder"]["S"] if held else None,
            until=until if held else None,
            cooldown_until=_when(item.get("cooldown_until")),
        )

    def used(self, target: str, now: datetime) -> tuple[int, int]:
        """Applications used: to this target today, in the account this hour."""
        day = self._get(_day_budget(target), f"{now:%Y-%m-%d}")
        hour = self._get("BUDGET#ACCOUNT", f"{now:%Y-%m-%dT%H}")
        return (int(day["used"]["N"]) if day else 0, int(hour["used"]["N"]) if hour else 0)

    def dollars(self, now: datetime) -> float:
        """What today's applications in the account may cost, US dollars."""
        item = self._get(_MONEY, f"{now:%Y-%m-%d}")
        return int(item["used"]["N"]) / _MILLION if item else 0.0

    # -- people ------------------------------------------------------------------------------------------------

    def answer(self, incident_id: str, approval: Approval, *, asked: Approval, now: datetime, event: Event) -> bool:
        """
        Record a person's answer to the question that is open; False where it is not that question any more.

        The answer is written beside the record's body, not into it: the tick that runs meanwhile is not disturbed.
        """
        asked_text = _APPROVAL.dump_json(asked).decode()
        items: list[dict[str, Any]] = [
            {
                "Update": {
                    "Key": _key(f"INCIDENT#{incident_id}", "INCIDENT"),
                    "UpdateExpression": "SET answer = :answer, due_at = :now",
                    "ConditionExpression": "phase = :awaiting AND question = :asked AND attribute_not_exists(answer)",
                    "ExpressionAttributeValues": {
                        ":answer": {"S": _APPROVAL.dump_json(approval).decode()},
                        ":asked": {"S": asked_text},
                        ":awaiting": {"S": Phase.AWAITING.value},
                        ":now": _time(now),
                    },
                }
            }
        ]
        items.append({"Put": {"Item": _event_item(incident_id, 10**9, event)}})
        return self._transact(items) is None

    def acknowledge(self, incident_id: str, word: Acknowledgement, *, event: Event) -> bool:
        """
        Record a person's word that they are on it; False where there is no such incident, or somebody was faster.

        Written beside the record's body, as an answer is: a tick that runs meanwhile is not disturbed.
        """
        update = {
            "Update": {
                "Key": _key(f"INCIDENT#{incident_id}", "INCIDENT"),
                "UpdateExpression": "SET acknowledged = :word",
                "ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(acknowledged)",
                "ExpressionAttributeValues": {":word": {"S": _ACKNOWLEDGEMENT.dump_json(word).decode()}},
            }
        }
        return self._transact([update, {"Put": {"Item": _event_item(incident_id, 10**9 + 1, event)}}]) is None

    def recall(self, incident_id: str, word: Acknowledgement, *, event: Event) -> bool:
        """
        Record that a person wants back what is lent; False where it has ended, or somebody was faster.

        Written beside the record's body. A tick that runs meanwhile may not see it, and puts off the next look.
        """
        update = {
            "Update": {
                "Key": _key(f"INCIDENT#{incident_id}", "INCIDENT"),
                "UpdateExpression": "SET recalled = :word, due_at = :now",
                "ConditionExpression": "attribute_exists(pk) AND attribute_not_exists(recalled) "
                "AND phase <> :closed AND phase <> :ending",
                "ExpressionAttributeValues": {
                    ":word": {"S": _ACKNOWLEDGEMENT.dump_json(word).decode()},
                    ":now": _time(word.at),
                    ":closed": {"S": Phase.CLOSED.value},
                    ":ending": {"S": Phase.ENDING.value},
                },
            }
        }
        return self._transact([update, {"Put": {"Item": _event_item(incident_id, 10**9 + 3, event)}}]) is None

    def remark(self, incident_id: str, event: Event) -> bool:
        """Write what a person did into an incident's timeline; False where there is no such incident (any more)."""
        exists = {
            "ConditionCheck": {
                "Key": _key(f"INCIDENT#{incident_id}", "INCIDENT"),
                "ConditionExpression": "attribute_exists(pk)",
            }
        }
        return self._transact([exists, {"Put": {"Item": _event_item(incident_id, 10**9 + 2, event)}}]) is None

    def seen_healthy(self, incident: Incident) -> bool:
        """Whether sweeps have seen a closed incident's target healthy since: they are no longer quiet about it."""
        pointer = self.pointer(incident.target, incident.remediation)
        return pointer is None or pointer.state == "unknown"  # counted again as unreadable only once we were not quiet

    def events(self, incident_id: str) -> list[Event]:
        """The timeline, oldest first."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :event)",
            ExpressionAttributeValues={":pk": {"S": f"INCIDENT#{incident_id}"}, ":event": {"S": "EVENT#"}},
            ConsistentRead=True,
        )
        return [Event(_must(_when(item["at"])), item["kind"]["S"], item["text"]["S"]) for item in items]

    def link(self, one: str, other: str) -> None:
        """Say in both incidents that they belong together."""
        for here, there in ((one, other), (other, one)):
            self._call(
                "PutItem",
                TableName=self._table,
                Item={**_key(f"INCIDENT#{here}", f"LINK#{there}"), "incident": {"S": there}},
            )

    def links(self, incident_id: str) -> tuple[str, ...]:
        """Incidents that belong with this one."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND begins_with(sk, :link)",
            ExpressionAttributeValues={":pk": {"S": f"INCIDENT#{incident_id}"}, ":link": {"S": "LINK#"}},
            ConsistentRead=True,
        )
        return tuple(item["incident"]["S"] for item in items)

    # -- switches ----------------------------------------------------------------------------------------------

    def switch(self) -> Switch:
        """The kill switch, consistently read, never cached."""
        return _switch(self._get("SWITCH", "SWITCH"))

    def set_switch(self, state: SwitchState, *, reason: str, by: str, now: datetime, tighten: bool = False) -> bool:
        """
        Set the kill switch. Only people do (the command line): no function and no stack writes it.

        ``tighten``: only where it is on or paused; False, with nothing written, where it is stricter by now.
        """
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": {
                **_key("SWITCH", "SWITCH"),
                "state": {"S": state.value},
                "reason": {"S": reason},
                "by": {"S": by},
                "at": _time(now),
            },
        }
        if tighten:
            put["ConditionExpression"] = "#s = :on OR #s = :paused"
            put["ExpressionAttributeNames"] = {"#s": "state"}
            put["ExpressionAttributeValues"] = {
                ":on": {"S": SwitchState.ON.value},
                ":paused": {"S": SwitchState.PAUSED.value},
            }
        return self._conditional("PutItem", **put)

    def brake(self) -> Brake:
        """The storm brake, consistently read."""
        item = self._get("BRAKE", "BRAKE")
        if item is None:
            return Brake()
        return Brake(
            engaged=item["engaged"]["BOOL"],
            reason=item["reason"]["S"],
            since=_when(item.get("since")),
            calm_since=_when(item.get("calm_since")),
            sick=int(item["sick"]["N"]),
            told=item["told"]["BOOL"],
            dark=int(item.get("dark", {"N": "0"})["N"]),
        )

    def set_brake(self, brake: Brake) -> None:
        """Set the storm brake: only the sweep does."""
        item = {
            **_key("BRAKE", "BRAKE"),
            "engaged": {"BOOL": brake.engaged},
            "reason": {"S": brake.reason},
            "sick": {"N": str(brake.sick)},
            "told": {"BOOL": brake.told},
            "dark": {"N": str(brake.dark)},
        }
        if brake.since is not None:
            item["since"] = _time(brake.since)
        if brake.calm_since is not None:
            item["calm_since"] = _time(brake.calm_since)
        self._call("PutItem", TableName=self._table, Item=item)

    def beat(self, now: datetime, figures: Mapping[str, int]) -> None:
        """Note that a sweep was completed, and count it into its day: in a transaction, so that none counts twice."""
        item: dict[str, Any] = {**_key("HEARTBEAT", "HEARTBEAT"), "at": _time(now)}
        item |= {name: {"N": str(value)} for name, value in figures.items()}
        day = {
            "Key": _key("HEARTBEAT", f"{now:%Y-%m-%d}"),
            "UpdateExpression": "ADD sweeps :one, looks :looks, unseen :unseen SET expires = :expires",
            "ExpressionAttributeValues": {
                ":one": {"N": "1"},
                ":looks": {"N": str(figures.get("targets", 0))},
                ":unseen": {"N": str(figures.get("unknown", 0))},
                ":expires": _epoch(now + KEEP),
            },
        }
        self._transact([{"Put": {"Item": item}}, {"Update": day}])

    def watched(self, since: datetime, until: datetime) -> dict[date, Watched]:
        """How each day (UTC) from ``since`` to ``until`` was watched; a day without a sweep is left out."""
        items = self._query(
            KeyConditionExpression="pk = :pk AND sk BETWEEN :since AND :until",
            ExpressionAttributeValues={
                ":pk": {"S": "HEARTBEAT"},
                ":since": {"S": f"{since.astimezone(UTC):%Y-%m-%d}"},
                ":until": {"S": f"{until.astimezone(UTC):%Y-%m-%d}"},
            },
        )
        return {
            date.fromisoformat(item["sk"]["S"]): Watched(
                *(int(item[key]["N"]) for key in ("sweeps", "looks", "unseen"))
            )
            for item in items
        }

    def heartbeat(self) -> tuple[datetime, dict[str, int]] | None:
        """When the last sweep was completed, and what it saw."""
        item = self._get("HEARTBEAT", "HEARTBEAT")
        if item is None:
            return None
        return _must(_when(item["at"])), {name: int(value["N"]) for name, value in item.items() if "N" in value}

    # -- scheduled reports -------------------------------------------------------------------------------------

    def reported(self, name: str) -> str | None:
        """Of which day, week or month a scheduled report was told last; None where it never was."""
        item = self._get("REPORTS", name)
        return item["period"]["S"] if item else None

    def note_reported(self, name: str, period: str, now: datetime) -> None:
        """Note that a scheduled report was told."""
        self._call(
            "PutItem",
            TableName=self._table,
            Item={**_key("REPORTS", name), "period": {"S": period}, "at": _time(now)},
        )

    # -- memory ------------------------------------------------------------------------------------------------

    def counter(self, scope: str, key: str) -> int:
        """A counter's value; 0 where it was never set."""
        item = self._get(f"MEMORY#{scope}", key)
        return int(item["count"]["N"]) if item else 0

    def counters(self, scope: str, keys: Sequence[str]) -> dict[str, int]:
        """Many counters' values, a hundred a call, consistently read."""
        found: dict[str, int] = {}
        for start in range(0, len(keys), _AT_ONCE):
            wanted = keys[start : start + _AT_ONCE]
            request = {"Keys": [_key(f"MEMORY#{scope}", key) for key in wanted], "ConsistentRead": True}
            answer = self._call("BatchGetItem", RequestItems={self._table: request})
            if answer.get("UnprocessedKeys"):  # half an answer is none: they are read one by one when they are needed
                continue
            values = {item["sk"]["S"]: int(item["count"]["N"]) for item in answer["Responses"].get(self._table, [])}
            found |= {key: values.get(key, 0) for key in wanted}
        return found

    def count(self, scope: str, key: str, amount: int, *, limit: int | None, expires: datetime) -> bool:
        """Add to a counter; False, with nothing added, where that would pass ``limit``."""
        update: dict[str, Any] = {
            "Key": _key(f"MEMORY#{scope}", key),
            "UpdateExpression": "ADD #count :amount SET expires = :expires",
            "ExpressionAttributeNames": {"#count": "count"},
            "ExpressionAttributeValues": {":amount": {"N": str(amount)}, ":expires": _epoch(expires)},
        }
        if limit is not None:
            if amount > limit:
                return False
            update["ConditionExpression"] = "attribute_not_exists(#count) OR #count <= :room"
            update["ExpressionAttributeValues"][":room"] = {"N": str(limit - amount)}
        return self._transact([{"Update": update}]) is None  # a transaction, because the SDK may send it twice

    # -- what readings were ------------------------------------------------------------------------------------

    def kept(self, name: str) -> tuple[Kept, ...]:
        """What a reading was, consistently read, the oldest first. What cannot be read is as good as never noted."""
        return _kept(self._get(f"KEPT#{name}", "KEPT"))

    def keep(self, name: str, what: Mapping[str, Json], now: datetime) -> None:
        """
        Note what a reading is now.

        While it stays the same it is written every few minutes only. Of two sweeps at once one writes, and whichever
        that is, it saw it.
        """
        item = self._get(f"KEPT#{name}", "KEPT")
        before = _kept(item)
        newest = before[-1] if before else None
        if newest is not None and newest.what == what:
            if now - newest.seen < _KEPT_EVERY:
                return
            after = (*before[:-1], replace(newest, seen=now))
        else:
            after = (*before, Kept(what, now, now))[-_KEPT_MOST:]
        put: dict[str, Any] = {
            "Item": {
                **_key(f"KEPT#{name}", "KEPT"),
                "body": {"S": _KEPT.dump_json(after).decode()},
                "seen": _time(now),
                "expires": _epoch(now + KEEP),
            },
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        if item is not None:
            put["ConditionExpression"] = "seen = :seen"
            put["ExpressionAttributeValues"] = {":seen": item["seen"]}
        self._conditional("PutItem", TableName=self._table, **put)

    # -- the plumbing ------------------------------------------------------------------------------------------

    def _record(self, incident: Incident) -> dict[str, Any]:
        attributes = _attributes(incident)
        return {
            **_key(f"INCIDENT#{incident.id}", "INCIDENT"),
            **attributes,
            "epoch": {"N": "0"},
            "claims": {"N": "0"},
            "lease_until": _time(datetime.fromtimestamp(0, UTC)),
        }

    def _save_item(self, claim: Claim, incident: Incident, *, release: bool, alive: bool) -> dict[str, Any]:
        attributes = _attributes(incident)
        values: dict[str, Any] = {":epoch": {"N": str(claim.epoch)}}
        names: dict[str, str] = {}
        sets: list[str] = []
        if alive:
            values[":zero"] = {"N": "0"}
            sets.append("claims = :zero")
        removes: list[str] = []
        if release:
            values[":free"] = _time(datetime.fromtimestamp(0, UTC))
            sets.append("lease_until = :free")
        removes += [name for name in ("due_shard", "due_at", "expires", "question") if name not in attributes]
        if "question" not in attributes or _asked(incident) != _asked(claim.incident):
            removes.append("answer")  # taken into the body, or an answer to a question that is no longer open
        for number, (name, value) in enumerate(attributes.items()):
            names[f"#a{number}"] = name
            values[f":a{number}"] = value
            sets.append(f"#a{number} = :a{number}")
        expression = "SET " + ", ".join(sets) + (" REMOVE " + ", ".join(removes) if removes else "")
        return {
            "Update": {
                "Key": _key(f"INCIDENT#{incident.id}", "INCIDENT"),
                "UpdateExpression": expression,
                "ConditionExpression": "epoch = :epoch",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": values,
            }
        }

    def _add_events(self, items: list[dict[str, Any]], incident_id: str, start: int, events: Iterable[Event]) -> None:
        for number, event in enumerate(events):
            items.append({"Put": {"Item": _event_item(incident_id, start + number, event)}})

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        item: dict[str, Any] | None = self._call(
            "GetItem", TableName=self._table, Key=_key(pk, sk), ConsistentRead=True
        ).get("Item")
        return item

    def _query(self, *, limit: int | None = None, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        for item in self._pages("Query", "Items", **query):
            items.append(item)
            if limit is not None and len(items) >= limit:
                break
        return items

    def _pages(self, operation: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        start: dict[str, Any] = {}
        while True:
            answer = self._call(operation, TableName=self._table, **params, **start)
            yield from answer.get(key, ())
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def _transact(self, items: list[dict[str, Any]]) -> int | None:
        """Write all or nothing: None when written, else the number of the first item whose condition failed."""
        for item in items:
            for part in item.values():
                part["TableName"] = self._table
        try:
            self._call("TransactWriteItems", TransactItems=items)
        except _Cancelled as cancelled:
            return cancelled.first
        return None

    def _conditional(self, operation: str, **params: Any) -> bool:
        try:
            self._call(operation, **params)
        except _ConditionFailed:
            return False
        return True

    def _call(self, operation: str, **params: Any) -> dict[str, Any]:
        try:
            return self._aws.own("dynamodb", operation, **params)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                raise _ConditionFailed from error
            reasons = [reason.get("Code") for reason in _cancellation(error)]
            if "ConditionalCheckFailed" in reasons:
                raise _Cancelled(reasons.index("ConditionalCheckFailed")) from error
            msg = f"{error.action}: {error.code}"
            raise StoreUnavailable(msg) from error


def _cancellation(error: AwsError) -> list[dict[str, Any]]:
    """Why a transaction was cancelled, item by item; empty where it was something else that failed."""
    reasons = error.details.get("CancellationReasons", [])
    return reasons if isinstance(reasons, list) else []


class _ConditionFailed(NightshiftError):
    """A conditional write lost. Internal: callers see False, None or Fenced."""


class _Cancelled(NightshiftError):
    """A transaction lost; ``first`` is the number of the item whose condition failed."""

    def __init__(self, first: int) -> None:
        self.first = first
        super().__init__(str(first))


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _id_of(pk: str) -> str:
    return pk.removeprefix("INCIDENT#")


def _time(at: datetime) -> dict[str, str]:
    """Fixed width, so that text order is time order."""
    return {"S": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _when(value: Mapping[str, str] | None) -> datetime | None:
    return datetime.fromisoformat(value["S"]) if value else None


def _epoch(at: datetime) -> dict[str, str]:
    return {"N": str(int(at.timestamp()))}


def _must(value: datetime | None) -> datetime:
    if value is None:  # pragma: no cover - the table's own items always carry their time
        msg = "an item of the table lacks its time"
        raise StoreUnavailable(msg)
    return value


def _at(incident: Incident) -> datetime:
    return incident.closed_at or incident.opened_at


def _day_budget(target: str) -> str:
    return f"BUDGET#TARGET#{target}"


def _micros(dollars: float) -> int:
    """Whole millionths of a dollar, upwards: sums of them are exact."""
    return math.ceil(dollars * _MILLION)


def _spend(pk: str, sk: str, limit: int, now: datetime, much: int = 1) -> dict[str, Any]:
    """Take so much of a budget, or nothing where less is left."""
    return {
        "Update": {
            "Key": _key(pk, sk),
            "UpdateExpression": "ADD used :one SET expires = :expires",
            # the first of a day or an hour is within the limit: the guardrails have compared them
            "ConditionExpression": "attribute_not_exists(used) OR used <= :limit",
            "ExpressionAttributeValues": {
                ":one": {"N": str(much)},
                ":limit": {"N": str(limit - much)},
                ":expires": _epoch(now + timedelta(days=3)),
            },
        }
    }


def _attributes(incident: Incident) -> dict[str, Any]:
    """What conditions, the index and a person in the console need beside the body."""
    body = _dumped(incident)
    if len(body) > _BODY_LIMIT:
        body = _dumped(_bounded(incident))
    attributes: dict[str, Any] = {
        "body": {"S": body.decode()},
        "phase": {"S": incident.phase.value},
        "target": {"S": incident.target},
        "remediation": {"S": incident.remediation},
    }
    if incident.open:
        attributes["due_shard"] = {"S": "DUE"}
        attributes["due_at"] = _time(incident.look_at)
    else:
        attributes["expires"] = _epoch(_at(incident) + KEEP)
        if incident.remind_at is not None:
            attributes["due_shard"] = {"S": "REMIND"}
            attributes["due_at"] = _time(incident.remind_at)
    if incident.phase is Phase.AWAITING and incident.approval is not None and not incident.approval.answer:
        asked = Approval(incident.approval.plan_hash, incident.approval.asked_at, incident.approval.expires_at)
        attributes["question"] = {"S": _APPROVAL.dump_json(asked).decode()}
    return attributes


def _bounded(incident: Incident) -> Incident:
    """The same incident with less evidence, because it would not fit into one item."""
    finding = dataclasses.replace(incident.finding, evidence=_cut(incident.finding.evidence))
    diagnosis = incident.diagnosis and dataclasses.replace(
        incident.diagnosis, evidence=_cut(incident.diagnosis.evidence), rejected=incident.diagnosis.rejected[:20]
    )
    incident = dataclasses.replace(incident, finding=finding, diagnosis=diagnosis)
    if not _fits(incident):
        incident = dataclasses.replace(incident, calls=incident.calls[-200:])
    if not _fits(incident) and incident.decided:  # nothing will be done with it any more: the end must be written
        incident = dataclasses.replace(incident, diagnosis=None, plan=None, scratch={}, calls=incident.calls[-20:])
    if not _fits(incident):
        raise StoreUnavailable(f"the record of {incident.id} does not fit into {_BODY_LIMIT} bytes")
    return incident


def _fits(incident: Incident) -> bool:
    return len(_dumped(incident)) <= _BODY_LIMIT


def _dumped(incident: Incident) -> bytes:
    """The record as JSON. Half a character, which UTF-8 cannot say, becomes a question mark: it must be written."""
    try:
        return _INCIDENT.dump_json(incident)
    except PydanticSerializationError:
        return _INCIDENT.dump_json(_speakable(incident))


def _speakable(value: Any) -> Any:
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {_speakable(key): _speakable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_speakable, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{each.name: _speakable(getattr(value, each.name)) for each in dataclasses.fields(value)}
        )
    return value


def _cut(evidence: tuple[str, ...]) -> tuple[str, ...]:
    return (*(line[:500] for line in evidence[:20]), "… (cut: too large)")


def _load(item: Mapping[str, Any]) -> Incident:
    try:
        incident = _INCIDENT.validate_json(item["body"]["S"])
        if "answer" in item and incident.approval is not None and not incident.approval.answer:
            answer = _APPROVAL.validate_json(item["answer"]["S"])
            if (answer.plan_hash, answer.asked_at) == (incident.approval.plan_hash, incident.approval.asked_at):
                incident = dataclasses.replace(incident, approval=answer)
        if "acknowledged" in item:
            word = _ACKNOWLEDGEMENT.validate_json(item["acknowledged"]["S"])
            incident = dataclasses.replace(incident, acknowledged=word)
        if "recalled" in item:
            word = _ACKNOWLEDGEMENT.validate_json(item["recalled"]["S"])
            incident = dataclasses.replace(incident, recalled=word)
    except (ValidationError, KeyError) as error:
        msg = f"record {item.get('pk', {}).get('S', '?')} cannot be read: {type(error).__name__}"
        raise StoreUnavailable(msg) from error
    return incident


def _unreadable(item: Mapping[str, Any], now: datetime, why: str) -> Incident:
    """What can be said of a record whose body cannot be read, from what stands beside it."""
    remediation, target = item["remediation"]["S"], item["target"]["S"]
    return Incident(
        id=_id_of(item["pk"]["S"]),
        remediation=remediation,
        target=target,
        group="",
        opened_at=now,
        look_at=now,
        deadline=now,
        finding=Finding(remediation, target, why),
        phase=Phase.CLOSED if item["phase"]["S"] == Phase.CLOSED.value else Phase.OPEN,
    )


def _pointer_item(pointer: Pointer) -> dict[str, Any]:
    return {
        **_key(f"TARGET#{pointer.target}", f"OPEN#{pointer.remediation}"),
        "state": {"S": pointer.state},
        "incident": {"S": pointer.incident},
        "count": {"N": str(pointer.count)},
        "due_shard": {"S": "POINTER"},
        "due_at": _time(pointer.since),
    }


def _pointer(item: Mapping[str, Any]) -> Pointer:
    return Pointer(
        target=item["pk"]["S"].removeprefix("TARGET#"),
        remediation=item["sk"]["S"].removeprefix("OPEN#"),
        state=item["state"]["S"],
        since=_must(_when(item["due_at"])),
        incident=item["incident"]["S"],
        count=int(item["count"]["N"]),
    )


def _asked(incident: Incident) -> datetime | None:
    return incident.approval.asked_at if incident.approval else None


def _end_item(incident: Incident) -> dict[str, Any]:
    """What finds a closed record by when it ended: an item of its own, because the record may be due for a reminder."""
    ended = _at(incident)
    return {
        **_key(f"INCIDENT#{incident.id}", "END"),
        "due_shard": {"S": "ENDED"},
        "due_at": _time(ended),
        "expires": _epoch(ended + KEEP),
    }


def _event_item(incident_id: str, number: int, event: Event) -> dict[str, Any]:
    at = _time(event.at)
    return {
        **_key(f"INCIDENT#{incident_id}", f"EVENT#{at['S']}#{number:010d}"),
        "at": at,
        "kind": {"S": event.kind},
        "text": {"S": event.text[:4000].encode("utf-8", "replace").decode()},
        "expires": _epoch(event.at + KEEP),
    }


def _kept(item: Mapping[str, Any] | None) -> tuple[Kept, ...]:
    """Begun anew, where somebody has written something else: no sweep may fail for ever over one reading."""
    try:
        return _KEPT.validate_json(item["body"]["S"]) if item is not None else ()
    except (ValidationError, LookupError, TypeError):
        return ()


def _switch(item: Mapping[str, Any] | None) -> Switch:
    """Absent, or in words that we do not know: as good as halted, and the state says so."""
    if item is None:
        return Switch(None, "it was never switched on (nightshift resume)")
    text = {name: item.get(name, {}).get("S", "") for name in ("state", "reason", "by", "at")}
    try:
        return Switch(SwitchState(text["state"]), text["reason"], text["by"], text["at"])
    except ValueError:
        return Switch(None, f"it says {text['state'][:20]!r}, which is no state")
