"""
Triggers stay in their bucket: delete those that were processed, send lost ones again, leave the rest to their cause.

Symptom   a trigger has stood under its customer's prefix for a quarter of an hour
Cause     it was processed and not deleted; or nobody was ever told of it; or its consumer hangs; or its message died
Cure      store and delete what the archive proves to be processed for this very customer; else, where nobody was told,
          tell once more; a consumer and a dead-letter queue have incidents of their own, which come first
Proof     the trigger is gone; one that was sent again is processed first
Undo      none: what was deleted is stored apart, and to put it back is to have it processed again
Source    runbook 0 task 3, task 4 "trigger delete failed" and "archive update failed"; R1

A wrong fix here mails a customer twice, or loses a change. So what is not known is never acted on. The archive is one
object for all customers, and another customer's entry in it proves nothing. Nor does one from before the trigger was
written, or one whose customer or time cannot be read: that one is no proof, and it is no leave to send either.

Nothing is sent again unless the configuration says that a consumer which is told twice mails once (``idempotent``), the
queue and its dead-letter queue are empty and have been, S3 still tells that queue, and it was never sent before. Where
a letter of that dead-letter queue was set apart since the trigger was written, that may be its message: a person looks.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from pydantic import Field

from nightshift import retelling, states
from nightshift.archives import NAME, Words, key_of, understood
from nightshift.errors import Missing, Refused, Rejected, Unreadable
from nightshift.keys import decrypting, named
from nightshift.letters import SKEW
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.retelling import Standing, marker, standing
from nightshift.signals import queue_metric, queue_url
from nightshift.states import minutes
from nightshift.wiring import Share, tells

__all__ = ["S3TriggerStuck"]

_TRIGGER = re.compile(rf"({NAME.pattern})/({NAME.pattern})\.json")
_ORPHAN = timedelta(hours=1)  # a trigger that stands for so long is more than late (runbook 0, weekly maintenance)
_NEAR = timedelta(minutes=5)  # how far a consumer's clock and S3's may be apart before an entry means nothing
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_POLLS = 5  # minutes of metrics, in which a queue must have been empty (R1: three polls, a minute apart)
_KEYS = 490  # characters of keys in one plan: a session policy has 2,048, and names each with its bucket (63 at most)
_CHANGED = frozenset({"412", "ConditionalRequestConflict", "PreconditionFailed"})
"""how S3 says that an object is no longer the one that was meant"""


class Fate(StrEnum):
    """What became of a trigger, and so whose it is to act."""

    PROCESSED = "processed, and not deleted"
    LOST = "its queue was never told"
    WAITING = "its message waits in the queue"
    DEAD = "its message may be a dead letter"
    UNDER_WAY = "it may be under way"
    UNCLEAR = "a person must look"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One object under the prefix, as it was listed. ``customer`` and ``change`` are empty where the key is odd."""

    key: str
    etag: str
    modified: datetime
    size: int
    customer: str = ""
    change: str = ""

    @classmethod
    def listed(cls, entry: Mapping[str, Any], prefix: str) -> Trigger:
        """An entry of ListObjectsV2."""
        key = str(entry["Key"])
        match = _TRIGGER.fullmatch(key.removeprefix(prefix)) if key.startswith(prefix) else None
        customer, change = match.groups() if match else ("", "")
        return cls(key, str(entry["ETag"]), entry["LastModified"], int(entry["Size"]), customer, change)

    @property
    def seen(self) -> dict[str, Json]:
        """What tells it from one that was written later, also from one with the same content."""
        return {"etag": self.etag, "modified": self.modified.isoformat(), "size": self.size}


@dataclass(frozen=True, slots=True)
class _Found:
    """A trigger, what became of it, why we think so, whose it is first, and what a person should do about it."""

    trigger: Trigger
    fate: Fate
    why: str
    link: Arn | None = None
    advice: str = ""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """Why only a person can judge a trigger, and what that person should do."""

    why: str
    advice: str


class S3TriggerStuck(Remediation, Words):
    """Triggers in an S3 bucket that nobody processes, or that were processed and stay."""

    name: ClassVar[str] = "s3-trigger-stuck"
    title: ClassVar[str] = "triggers are stuck"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("triggers",)
    reads: ClassVar[tuple[str, ...]] = (
        "cloudwatch:GetMetricData",  # of the customers' queues
        "s3:GetObject",
        "s3:GetBucketNotification",
        "s3:ListBucket",  # of the quarantine: a message that was set apart is in no queue, and was not lost
    )
    writes: ClassVar[tuple[str, ...]] = (
        "s3:GetObject",  # the trigger and the archive, once more, right before anything is done about them
        "s3:PutObject",
        "s3:DeleteObject",
        "sqs:SendMessage",
    )
    delegates: ClassVar[tuple[str, ...]] = (
        "kms:Decrypt",  # where the bucket's objects are encrypted with a key
        "s3:ListBucket",  # without it S3 says of what is not there that it is denied (403, and not 404)
    )

    cooldown: timedelta = Field(default=timedelta(minutes=5), description="between two applications to one bucket")
    patience: timedelta = Field(
        default=timedelta(minutes=5), description="how long others may take to go by themselves"
    )
    stuck_for: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=5),
        le=timedelta(hours=24),
        description="how long a trigger may stand; longer than a change takes to be processed",
    )
    sample: int = Field(default=50, ge=1, le=100, description="stuck triggers that are looked at, the oldest first")
    batch: int = Field(default=10, ge=1, le=10, description="triggers that one attempt deletes")
    resend: int = Field(default=1, ge=1, le=3, description="triggers that one attempt sends again")
    reprocess: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="how long a trigger that was sent again may take to be processed",
    )
    idempotent: bool = Field(
        default=False,
        description="whether a consumer that is told twice of one trigger mails once: nothing is sent again without it",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return () if target.triggers is None else (_listing(target.arn, target.triggers),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        By age alone. S3 dates an object by its last writing: one that was old at two looks was the same at both.

        How many others there are makes no difference, but that where not all could be listed, young ones prove nothing.
        """
        if target.triggers is None:
            return Unknown(f"nobody has said what stands in {target.arn.name}")
        found = seen.resource(_listing(target.arn, target.triggers))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn} does not exist")
        try:
            stuck = self._stuck(target.triggers, found, seen.at)
            total, truncated = int(found["Count"]), bool(found["Truncated"])
        except (KeyError, TypeError, ValueError) as error:
            return Unknown(f"the listing of {target.arn.name} cannot be understood: {type(error).__name__}")
        if stuck:
            return Sick(self._finding(target, stuck, seen.at))
        if truncated:
            return Unknown(f"{target.arn.name} holds more objects under {target.triggers.prefix} than were listed")
        return Healthy(f"{total} triggers, none older than {minutes(self.stuck_for)} minutes")

    def _stuck(self, triggers: Triggers, listing: Mapping[str, Any], now: datetime) -> list[Trigger]:
        listed = [Trigger.listed(each, triggers.prefix) for each in listing["Oldest"]]
        return [each for each in listed if now - each.modified > self.stuck_for]

    def _finding(self, target: Target, stuck: Sequence[Trigger], now: datetime) -> Finding:
        age = now - stuck[0].modified
        by_customer = Counter(each.customer or "?" for each in stuck)
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{_many(len(stuck))} in {target.arn.name} for more than {minutes(self.stuck_for)} minutes",
            signals=(Signal("age of the oldest trigger", minutes(age), minutes(self.stuck_for), "now", "minutes"),),
            evidence=tuple(f"{name}: {count}" for name, count in sorted(by_customer.items())),
            severity=Severity.SEV2 if age > _ORPHAN else Severity.SEV3,
            newest=max(each.modified for each in stuck) + self.stuck_for,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        triggers = target.triggers
        if triggers is None:
            raise Refused("triggers", "nobody has said what stands in the bucket")
        found = self._look(read, target.arn, triggers)
        if not found:
            raise Refused("triggers", "no trigger is stuck any more", retry_after=timedelta(minutes=1))
        done = self._of(found, Fate.PROCESSED, self.batch)
        lost = () if done else self._of(found, Fate.LOST, self.resend)
        if not done and not lost:
            return self._others(target, found)
        return Diagnosis(
            target=str(target.arn),
            cause=(
                "they were processed, each for its customer, and were not deleted"
                if done
                else f"{triggers.prefix} tells their queues, and these were never told of them, or have lost it"
            ),
            evidence=tuple(f"{each.trigger.key}: {each.fate}: {each.why}" for each in (*done, *lost)),
            rejected=tuple(
                Alternative(fate.value, f"of {count} others, which stay as they are")
                for fate, count in sorted(Counter(each.fate for each in found).items())
                if fate not in {Fate.PROCESSED, Fate.LOST}
            ),
            facts={
                "bucket": str(target.arn),
                "archive": triggers.archive,
                "account": triggers.customers[0].queue.account,
                "quarantine": read.quarantine,
                "key": named(triggers.key),
                "alone": len(triggers.customers) == 1,
                "delete": [self._fact(triggers, each.trigger) for each in done],
                "send": [self._fact(triggers, each.trigger) for each in lost],
            },
        )

    def _look(self, read: Reader, bucket: Arn, triggers: Triggers) -> tuple[_Found, ...]:
        """What became of the oldest that are stuck. Raises Unreadable where they, or what is known, cannot be read."""
        query = _listing(bucket, triggers)
        listing = read.seen(query).resource(query)
        if not isinstance(listing, Mapping):
            reason = listing.reason if isinstance(listing, Unread) else "it does not exist"
            raise Unreadable("s3:ListBucket", "Unread", reason, resource=str(bucket))
        now = read.now()
        stuck = self._stuck(triggers, listing, now)[: self.sample]
        queues = {each.name: standing(read, each.queue) for each in triggers.customers if _has(stuck, each.name)}
        return tuple(self._judge(read, bucket, triggers, each, queues.get(each.customer), now) for each in stuck)

    def _judge(
        self, read: Reader, bucket: Arn, triggers: Triggers, trigger: Trigger, queue: Standing | None, now: datetime
    ) -> _Found:
        customer = triggers.customer(trigger.customer)
        if customer is None:
            return _unclear(trigger, _Doubt("no customer of that name is configured", _NAME_IT))
        if queue is None:
            return _Found(trigger, Fate.UNDER_WAY, f"{customer.queue.name} cannot be read")
        age = now - trigger.modified
        if queue.hidden and age <= queue.longest:
            return _Found(
                trigger, Fate.UNDER_WAY, f"{queue.hidden} messages of {customer.queue.name} are being worked on"
            )
        where = {"Bucket": bucket.name, "ExpectedBucketOwner": customer.queue.account}
        try:
            archive = read("s3", "GetObject", Key=key_of(triggers.archive, trigger.change), **where)["Body"]
        except Missing:
            return _unclear(trigger, _Doubt("the archive has no object for its change", _RESTORE))
        except Rejected as error:
            return _unclear(trigger, _Doubt(f"the archive's object cannot be read: {error.code}", _RESTORE))
        proof = self._proof(archive, trigger, alone=len(triggers.customers) == 1, now=now)
        if isinstance(proof, _Doubt):
            return _unclear(trigger, proof)
        if proof is not None:
            return _Found(trigger, Fate.PROCESSED, f"processed for {customer.name} at {proof:%Y-%m-%d %H:%M:%S}")
        return self._unprocessed(read, bucket, trigger, customer, queue, age)

    def _unprocessed(
        self, read: Reader, bucket: Arn, trigger: Trigger, customer: Customer, queue: Standing, age: timedelta
    ) -> _Found:
        """Where the message of a trigger is that was certainly not processed."""
        if queue.waiting or queue.hidden:
            count = queue.waiting + queue.hidden
            return _Found(trigger, Fate.WAITING, f"{count} messages are in {customer.queue.name}", customer.consumer)
        dead = standing(read, customer.dead_letters)
        if dead is None:
            return _Found(trigger, Fate.DEAD, f"{customer.dead_letters.name} cannot be read", customer.dead_letters)
        if dead.waiting or dead.hidden:
            count = dead.waiting + dead.hidden
            why = f"{count} letters are in {customer.dead_letters.name}"
            return _Found(trigger, Fate.DEAD, why, customer.dead_letters)
        if busy := _was_busy(read, customer):
            return _Found(trigger, Fate.UNDER_WAY, busy)
        doubt = self._may_not_send(read, bucket, trigger, customer, queue, age)
        if doubt is not None:
            return _unclear(trigger, doubt)
        return _Found(trigger, Fate.LOST, f"{customer.queue.name} and its dead-letter queue are empty, and were")

    def _may_not_send(
        self, read: Reader, bucket: Arn, trigger: Trigger, customer: Customer, queue: Standing, age: timedelta
    ) -> _Doubt | None:
        """Why a trigger must not be sent again, though nobody seems to have been told; None where it may."""
        name = customer.queue.name
        if age > queue.retention:
            return _Doubt(f"it is older than {name} keeps a message", _BY_HAND)
        if queue.own_key:
            return _Doubt(f"{name} is encrypted with a key of its own, with which nothing is sent", _BY_HAND)
        told = read(
            "s3", "GetBucketNotificationConfiguration", Bucket=bucket.name, ExpectedBucketOwner=customer.queue.account
        )
        if tells(told, "Queue", customer.queue, start=trigger.key, end=trigger.key) is not Share.ALL:
            return _Doubt(f"the bucket does not tell {name} of such keys (any more)", f"{_MEND}; then {_BY_HAND}")
        if apart := _set_apart(read, customer, trigger.modified):
            where = f"s3://{read.quarantine}/{retelling.letters_of(customer.dead_letters)}"
            return _Doubt(apart, f"see in {where} why it died; then {_BY_HAND}")
        target, noted = read.target(str(bucket)), marker(trigger.key, trigger.etag)
        if target is None or read.counters(target, (noted,))[noted]:
            return _Doubt("it was sent again before, which is done once", _LOGS)
        if not self.idempotent:
            return _Doubt("nobody has said that its consumer may be told twice", f"{_DECLARE}; or {_BY_HAND}")
        return None

    def _proof(self, archive: bytes, trigger: Trigger, *, alone: bool, now: datetime) -> datetime | _Doubt | None:
        """
        When a trigger was processed for its customer, as the archive proves; None where it certainly was not.

        ``alone``: the bucket has one customer, so that every entry is that one's.
        """
        if not self.timestamp_field or not (self.customer_field or alone):
            return _Doubt("the configuration does not say where the archive names customer and time", _FIELDS)
        said = understood(archive, self)
        if isinstance(said, str):
            return _Doubt(f"the archive's object cannot be read: {said}", _RESTORE)
        doubts = 0
        for entry in said.entries:
            if entry.kind != self.processed:
                doubts += entry.kind is None
                continue
            who = entry.customer if self.customer_field else trigger.customer
            if who != trigger.customer:
                doubts += who is None or who.casefold() == trigger.customer.casefold()
                continue
            if entry.at is not None and trigger.modified <= entry.at <= now + SKEW:
                return entry.at
            doubts += entry.at is None or entry.at > trigger.modified - _NEAR
        return (
            _Doubt(f"{doubts} entries of the archive's object may or may not be about it", _BY_HAND) if doubts else None
        )

    def _of(self, found: Iterable[_Found], fate: Fate, most: int) -> tuple[_Found, ...]:
        """The oldest of that fate, as many as one plan may name."""
        chosen: list[_Found] = []
        for each in found:
            if each.fate is not fate or len(chosen) == most:
                continue
            if sum(len(every.trigger.key) for every in (*chosen, each)) <= _KEYS:
                chosen.append(each)
        return tuple(chosen)

    def _others(self, target: Target, found: Sequence[_Found]) -> Diagnosis:
        """What only people can judge. Raises Refused while there is something that must come first."""
        for fate, guard in ((Fate.WAITING, "consumer"), (Fate.DEAD, "dead-letters"), (Fate.UNDER_WAY, "in-flight")):
            these = [each for each in found if each.fate is fate]
            if these:
                raise Refused(
                    guard,
                    f"{_many(len(these))}: {these[0].why}",
                    numbers={"triggers": len(these), "stuck": len(found)},
                    retry_after=timedelta(minutes=2),
                    link=str(these[0].link) if these[0].link is not None else None,
                )
        reasons = Counter(each.why for each in found)
        return Diagnosis(
            target=str(target.arn),
            cause="; ".join(f"{_many(count)}: {why}" for why, count in sorted(reasons.items())),
            evidence=tuple(f"{each.trigger.key}: {each.why}" for each in found),
            advice=tuple(dict.fromkeys(each.advice for each in found)),
        )

    def _fact(self, triggers: Triggers, trigger: Trigger) -> dict[str, Json]:
        customer = triggers.customer(trigger.customer)
        queue = str(customer.queue) if customer is not None else ""
        return {
            "key": trigger.key,
            "customer": trigger.customer,
            "change": trigger.change,
            "queue": queue,
        } | trigger.seen

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """Either deletes or sends, and names every trigger: what a person approves is what is done, and no more."""
        facts = diagnosis.facts
        bucket = Arn.parse(facts["bucket"])
        deletes, sends = facts["delete"], facts["send"]
        owner = {"ExpectedBucketOwner": facts["account"]}
        here = {"Bucket": bucket.name, **owner}
        archive = Call(
            "s3",
            "GetObject",
            f"{bucket}/{facts['archive']}*",
            params=here,
            free=("Key",),
            times=len(deletes) + len(sends),
            before={"alone": facts["alone"], "prefix": facts["archive"]},
            grants=(("s3:ListBucket", str(bucket)), *decrypting(facts.get("key", ""))),
        )
        gets = [_get(bucket, here, each, key=facts.get("key", "")) for each in (*deletes, *sends)]
        if deletes:
            put = Call(
                "s3",
                "PutObject",
                f"arn:{bucket.partition}:s3:::{facts['quarantine']}/triggers/{bucket.name}/*",
                params={"Bucket": facts["quarantine"], "ContentType": "application/json", **owner},
                free=("Key", "Body"),
                times=len(deletes),
            )
            acts = [put, *(_delete(bucket, here, each) for each in deletes)]
            step = Step(
                "delete",
                calls=(archive, *gets, *acts),
                settle=timedelta(minutes=1),
                why="store each trigger that was processed, then delete it, if it is still the same",
            )
        else:
            acts = [_send(bucket, queue, sends) for queue in sorted({each["queue"] for each in sends})]
            step = Step(
                "send",
                calls=(archive, *gets, *acts),
                settle=timedelta(minutes=2),
                why="tell the queue of each trigger once more, if it is still the same and still not processed",
            )
        stored = f"s3://{facts['quarantine']}/triggers/{bucket.name}/"
        return Plan(
            remediation=self.name,
            target=str(bucket),
            summary=f"{step.name} {_many(len(gets))}: {', '.join(each['key'] for each in (*deletes, *sends))}",
            steps=(step,),
            risk=(
                "none that was processed is needed; a copy of each is kept"
                if deletes
                else "a consumer that was told after all processes a change again, and must mail once all the same"
            ),
            undo_by_hand=(
                f"what is deleted is stored under {stored}; copied back, it is processed again, and its customer mailed"
                if deletes
                else "none: a message that was sent cannot be called back"
            ),
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        Each trigger by itself: read it once more, and what the archive says, and then act on it, or leave it.

        Raises Refused where all were left: nothing was done, and whatever comes next is not of our making.
        """
        archive, *others = step.calls
        gets = {call.resource: call for call in others if call.operation == "GetObject"}
        puts = [call for call in others if call.operation == "PutObject"]
        if step.name == "send":
            act.scratch["sent"] = act.now().isoformat()
        acted = 0
        for key, get in gets.items():
            body = self._unchanged(act, get)
            if body is None:
                continue
            proven = self._proven_now(act, archive, get)
            for call in others:
                if call.operation == "DeleteObject" and call.resource == key and proven:
                    act(puts[0], Key=_stored(get), Body=body)
                    acted += _delete_if_same(act, call)
                elif call.operation == "SendMessage" and call.resource == get.before["queue"] and proven is False:
                    acted += self._send_once(act, call, get)
        if not acted:
            raise Refused("same-plan", f"{_many(len(gets))}: none is any more what it was when this was planned")

    def _unchanged(self, act: Actor, get: Call) -> bytes | None:
        """A trigger's content, if it is the one that was judged; None where it is gone or was written anew since."""
        try:
            found = act(get)
        except Missing:
            return None
        except Rejected as error:
            if error.code in _CHANGED:
                return None
            raise
        body: bytes = found["Body"]
        same = found["LastModified"].isoformat() == get.before["modified"]  # also where its content is the same
        return body if same and len(body) == get.before["size"] else None

    def _proven_now(self, act: Actor, archive: Call, get: Call) -> bool | None:
        """What the archive proves now; None where it proves neither."""
        try:
            body = act(archive, Key=key_of(archive.before["prefix"], get.before["change"]))["Body"]
        except Missing:
            return None
        proof = self._proof(body, _judged(get), alone=archive.before["alone"], now=act.now())
        return None if isinstance(proof, _Doubt) else proof is not None

    def _send_once(self, act: Actor, send: Call, get: Call) -> bool:
        """Send a trigger again, unless it was."""
        return retelling.send_once(act, send, (marker(get.params["Key"], get.before["etag"]),), _event(get))

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        if call.operation != "DeleteObject":
            return {}
        marker = answer.get("VersionId")
        return {"deleted": True} | ({"delete_marker": str(marker)} if marker else {})

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """
        A delete shows, a send does not. Neither was tried of what was not noted first.

        So what is gone without a note somebody else has deleted, and no copy of it need be in the quarantine.
        """
        if call.operation == "GetObject":
            return Outcome.NOT_DONE  # it changes nothing
        if call.operation == "DeleteObject":
            target, name = read.target(call.resource.removesuffix(f"/{call.params['Key']}")), _deleting(call)
            if target is not None and not read.counters(target, [name])[name]:
                return Outcome.NOT_DONE
            stands = _stands(read, call)
            if stands is None:
                return Outcome.UNKNOWN if target is None else Outcome.DONE
            landed = read.now() >= since + _LANDS
            return Outcome.NOT_DONE if stands and landed else Outcome.UNKNOWN
        if call.operation == "SendMessage":
            target = read.target(call.before["bucket"])
            noted = read.counters(target, call.before["markers"]) if target is not None else {"": 1}
            return Outcome.UNKNOWN if any(noted.values()) else Outcome.NOT_DONE
        return Outcome.UNKNOWN  # stored or not: it is stored under the same name again

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        gets = [call for call in step.calls if call.operation == "GetObject" and call.before.get("etag")]
        standing = [call for call in gets if _stands(read, call)]
        if not standing:
            return Progress.NEXT, f"{_many(len(gets))}: none stands any more as it was", None
        told = f"{len(standing)} of {_many(len(gets))} as before"
        if step.name == "delete":
            return Progress.STOP, told, None
        sent = scratch.get("sent")
        if sent is None or read.now() < datetime.fromisoformat(sent) + self.reprocess:
            return Progress.WAIT, told, None
        return Progress.STOP, f"{told}, {minutes(self.reprocess)} minutes after they were sent again", None


# -- what is read ------------------------------------------------------------------------------------------------------


def _listing(bucket: Arn, triggers: Triggers) -> ResourceRead:
    return ResourceRead("s3.triggers", f"{bucket}/{triggers.prefix}")


def _has(stuck: Iterable[Trigger], customer: str) -> bool:
    return any(each.customer == customer for each in stuck)


def _was_busy(read: Reader, customer: Customer) -> str:
    """Why a customer's queues have not been empty for long enough; empty where they have. One that sleeps is empty."""
    for queue in (customer.queue, customer.dead_letters):
        for which in ("Visible", "NotVisible"):
            query = queue_metric(queue, f"ApproximateNumberOfMessages{which}", "Maximum", _POLLS)
            if any(value > 0 for value in states.series(read, query).last(_POLLS)):
                return f"{queue.name} was not empty within the last {_POLLS} minutes"
    return ""


def _set_apart(read: Reader, customer: Customer, since: datetime) -> str:
    """Why a trigger's message may be a letter that was set apart; empty where none was since it was written."""
    name, found = customer.dead_letters.name, retelling.set_apart(read, customer.dead_letters)
    if found is None:
        return f"more than {retelling.LETTERS} letters of {name} were set apart, and its message may be one"
    later = sum(at >= since for at in found)
    return f"{later} letters of {name} were set apart since it was written, and its message may be one" if later else ""


def _stands(read: Reader, call: Call) -> bool | None:
    """Whether the trigger of a call is there as it was; False where it was written anew; None where it is gone."""
    where = {name: call.params[name] for name in ("Bucket", "Key", "ExpectedBucketOwner")}
    try:
        found = read("s3", "HeadObject", **where)
    except Missing:
        return None
    same: bool = found["ETag"] == call.before["etag"] and found["LastModified"].isoformat() == call.before["modified"]
    return same


# -- the calls of a plan -----------------------------------------------------------------------------------------------

_SEEN: Final = ("change", "customer", "etag", "modified", "queue", "size")


def _get(bucket: Arn, here: Mapping[str, str], fact: Mapping[str, Json], *, key: str) -> Call:
    params = {**here, "Key": fact["key"], "IfMatch": fact["etag"]}
    before = {name: fact[name] for name in _SEEN}
    return Call("s3", "GetObject", f"{bucket}/{fact['key']}", params=params, before=before, grants=decrypting(key))


def _delete(bucket: Arn, here: Mapping[str, str], fact: Mapping[str, Json]) -> Call:
    params = {**here, "Key": fact["key"], "IfMatch": fact["etag"]}
    before = {name: fact[name] for name in ("etag", "modified")}
    return Call("s3", "DeleteObject", f"{bucket}/{fact['key']}", params=params, before=before)


def _send(bucket: Arn, queue: str, sends: Iterable[Mapping[str, Json]]) -> Call:
    markers = [marker(each["key"], each["etag"]) for each in sends if each["queue"] == queue]
    return Call(
        "sqs",
        "SendMessage",
        queue,
        params={"QueueUrl": queue_url(Arn.parse(queue))},
        free=("MessageBody",),
        times=len(markers),
        before={"bucket": str(bucket), "markers": markers},
    )


def _deleting(delete: Call) -> str:
    """Under what it is noted that a trigger is about to be deleted: its copy is stored by then."""
    which = f"{delete.params['Key']} {delete.before['etag']} {delete.before['modified']}"
    return f"deleting {hashlib.sha256(which.encode()).hexdigest()[:32]}"


def _delete_if_same(act: Actor, delete: Call) -> bool:
    try:
        with retelling.noted(act, _deleting(delete)):
            act(delete)
    except Missing:
        return False  # somebody was quicker
    except Rejected as error:
        if error.code not in _CHANGED:
            raise
        return False
    return True


def _judged(get: Call) -> Trigger:
    seen = get.before
    modified = datetime.fromisoformat(seen["modified"])
    return Trigger(get.params["Key"], seen["etag"], modified, seen["size"], seen["customer"], seen["change"])


def _stored(get: Call) -> str:
    """The copy's name: the same for the same trigger, whoever stores it and when."""
    bucket, key, etag = get.params["Bucket"], get.params["Key"], get.before["etag"].strip('"')
    return f"triggers/{bucket}/{key}/{get.before['modified']}-{etag}.json"


def _event(get: Call) -> str:
    seen, arn = get.before, Arn.parse(get.resource)
    return retelling.event(
        replace(arn, resource=get.params["Bucket"]),
        get.params["Key"],
        seen["etag"],
        datetime.fromisoformat(seen["modified"]),
        seen["size"],
        region=Arn.parse(seen["queue"]).region,
    )


# -- words -------------------------------------------------------------------------------------------------------------

_NAME_IT: Final = "Name its customer in the configuration, with its queues; or delete it, where nobody needs it"
_RESTORE: Final = "Restore the change's object in the archive, from a version of it or from the backup"
_FIELDS: Final = "Say in the configuration how the archive calls an entry's customer (customer_field) and time"
_MEND: Final = "mend the bucket's notifications"
_BY_HAND: Final = (
    "see in the consumer's log and mail log whether it was processed for this customer; then delete the trigger, or "
    "process it by hand (ccoe-customer-contact-manager --action process-sqs-message)"
)
_LOGS: Final = (
    "Look for its change in the consumer's log: it may not write the archive (IAM), not assume the role that sends "
    "mail, or have reached a quota of SES"
)
_DECLARE: Final = "set idempotent = true, if its consumer mails once when it is told twice"


def _unclear(trigger: Trigger, doubt: _Doubt) -> _Found:
    advice = doubt.advice[:1].upper() + doubt.advice[1:]
    return _Found(trigger, Fate.UNCLEAR, doubt.why, advice=advice)


def _many(count: int) -> str:
    return f"{count} trigger{'s' if count != 1 else ''}"
