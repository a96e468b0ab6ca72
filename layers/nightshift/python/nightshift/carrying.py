"""
Carrying dead letters elsewhere without losing one, whatever dies between two calls.

A letter leaves the dead-letter queue only after AWS has confirmed that it is somewhere else. The price is paid in the
other direction: a letter whose sending has an unknown outcome may exist twice. It is then left alone and counted, never
sent again blindly.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final

from nightshift.errors import Ambiguous, Denied, Missing, Rejected, Stopped
from nightshift.letters import DRY, Letter, plain, receive_params
from nightshift.model import Arn, Call, Json, Ledger, Step
from nightshift.remediation import Actor
from nightshift.signals import queue_url

__all__ = ["HOLD", "Carrier", "Routes", "account_of", "balance", "counted_in"]

HOLD: Final = timedelta(minutes=2)
"""for how long a letter that we work on is hidden from others; after a crash it comes back by itself then"""

_SPARE = 15.0  # seconds: no new letter is taken up when a tick has no more than this left


# -- the calls -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Routes:
    """
    The calls by which letters leave a dead-letter queue: to the quarantine ``bucket``, and home to ``source``.

    ``source`` is a queue, or the function whose events they are. The keys are the ARNs of the customer's own keys of
    both queues, where they have one.
    """

    dlq: Arn
    source: Arn
    bucket: str
    dlq_key: str = ""
    source_key: str = ""

    @property
    def prefix(self) -> str:
        """Where this queue's letters are stored: the same for every incident."""
        return f"letters/{self.dlq.name}/"

    def store(self, times: int) -> tuple[Call, ...]:
        """Receive letters, store them, delete them, or show them again."""
        url = {"QueueUrl": queue_url(self.dlq)}
        handle = ("ReceiptHandle",)
        bucket = {"Bucket": self.bucket, "ContentType": "application/json", "ExpectedBucketOwner": self.dlq.account}
        dlq = str(self.dlq)
        return (
            Call(
                "sqs",
                "ReceiveMessage",
                dlq,
                params=receive_params(self.dlq, hide=HOLD),
                times=times,  # a short poll may give one letter a call
                grants=self.opens,
            ),
            Call(
                "s3",
                "PutObject",
                f"arn:{self.dlq.partition}:s3:::{self.bucket}/{self.prefix}*",
                params=bucket,
                free=("Key", "Body"),
                times=times,
            ),
            Call("sqs", "DeleteMessage", dlq, params=url, free=handle, times=times),
            Call(
                "sqs",
                "ChangeMessageVisibility",
                dlq,
                params={**url, "VisibilityTimeout": 0},
                free=handle,
                times=times,
                stops=True,
            ),
        )

    def send(self, times: int, before: Mapping[str, Json]) -> Call:
        """Send letters home."""
        return Call(
            "sqs",
            "SendMessage",
            str(self.source),
            params={"QueueUrl": queue_url(self.source)},
            free=("MessageBody", "MessageAttributes"),
            times=times,
            grants=self.seals,
            before=before,
        )

    def recall(self, times: int, before: Mapping[str, Json]) -> Call:
        """Give a function events again, to be worked on when it gets to it: nobody waits for what becomes of them."""
        return Call(
            "lambda",
            "Invoke",
            str(self.source),
            params={"FunctionName": str(self.source), "InvocationType": "Event"},
            free=("Payload",),
            times=times,
            before=before,
        )

    @property
    def opens(self) -> tuple[tuple[str, str], ...]:
        """What SQS does with the dead-letter queue's key in our name."""
        return (("kms:Decrypt", self.dlq_key),) if self.dlq_key else ()

    @property
    def seals(self) -> tuple[tuple[str, str], ...]:
        """What SQS does with the source queue's key in our name."""
        key = self.source_key
        return (("kms:GenerateDataKey", key), ("kms:Decrypt", key)) if key else ()


# -- carrying --------------------------------------------------------------------------------------------------------


class Carrier:
    """
    Carries letters out of a dead-letter queue, in one step of a plan, one at a time.

    The order of every move is: note that it begins, make the copy, note that the copy is there, delete the original,
    note that it ended. So a crash anywhere leaves a note from which the next tick can tell what is known:

    ==============================  ==========================================================================
    found again in the queue        what is done
    ==============================  ==========================================================================
    never begun                     it is moved
    begun, copy confirmed           only the original is deleted
    begun, copy not confirmed       left, and counted as uncertain: sending it again might make two of it
    ==============================  ==========================================================================

    Storing writes under a name made of the letter alone, so it may be repeated; sending may not.
    """

    letter: ClassVar[type[Letter]] = Letter
    taker: ClassVar[str] = "SQS"
    """who takes what is sent"""

    def __init__(self, act: Actor, step: Step, *, ever: int) -> None:
        self._act = act
        self._calls = {call.operation: call for call in step.calls}
        self._ever = ever
        self._incident = act.incident.id
        self._before = act.ledger
        self._counts = self._recalled()
        self._by_tasks = max(0, act.ledger.moved - self._moved)
        self._again_before = self._counts["again"]
        self.since = min((attempt.started_at for attempt in act.incident.attempts), default=act.now())
        self.left: Counter[str] = Counter()
        self.sent = 0
        self.stored = 0
        self.dry = False
        self.halted = False
        self._receives = 0
        self._note()

    def _recalled(self) -> Counter[str]:
        self._act.memory.recall(self._own(name) for name in _COUNTED)
        return Counter({name: self._act.memory.get(self._own(name)) for name in _COUNTED})

    # -- taking and giving back

    def take(self, count: int) -> list[Letter]:
        """Up to ``count`` letters, hidden for :data:`HOLD`. ``dry`` says whether the queue seemed to have no more."""
        found: dict[str, Letter] = {}
        receive = self._calls["ReceiveMessage"]
        idle = 0
        while len(found) < count and self._receives < receive.times and not self.tired:
            self._receives += 1
            try:
                messages = self._act(receive).get("Messages", ())
            except Ambiguous:  # what it hid comes back by itself
                self.halted = True
                break
            found |= {letter.id: letter for letter in map(self.letter.received, messages)}
            idle = 0 if messages else idle + 1
            if idle >= DRY:
                self.dry = True
                break
        self._act.memory.recall(key for letter in found.values() for key in self._notes_on(letter))
        return list(found.values())

    def _notes_on(self, letter: Letter) -> tuple[str, ...]:
        """The counters that tell what is known of a letter."""
        of_the_letter = (f"{what} {letter.id}" for what in ("copied", "sending", "storing", "counted"))
        return (*of_the_letter, self._own(f"sent {letter.fingerprint}"), f"redriven {letter.fingerprint}")

    def give_back(self, letters: Iterable[Letter]) -> None:
        """Show letters to everybody again, now. One that does not go comes back by itself."""
        for letter in letters:
            try:
                self._act(self._calls["ChangeMessageVisibility"], ReceiptHandle=letter.handle)
            except (Ambiguous, Rejected, Missing):
                continue

    @property
    def tired(self) -> bool:
        """No new letter should be taken up in this tick: the time is nearly over, or AWS has left an answer open."""
        return self.halted or self._act.seconds_left() <= _SPARE

    # -- what is known of a letter

    def came_back(self, letter: Letter) -> bool:
        """Whether we sent this very content in this incident, and this letter of it was sent since: it died again."""
        return letter.sent_since(self.since) and bool(self._act.memory.get(self._own(f"sent {letter.fingerprint}")))

    @property
    def sent_in_all(self) -> int:
        """How many letters were sent in this incident."""
        return self._counts["sent"]

    @property
    def stored_in_all(self) -> int:
        """How many letters were stored in this incident."""
        return self._counts["stored"]

    def may_send(self, letter: Letter) -> str:
        """Why this letter must not be sent; empty where it may be."""
        memory = self._act.memory
        if memory.get(f"copied {letter.id}"):
            return ""  # only its original is still to be deleted
        if memory.get(f"sending {letter.id}"):
            return "its sending has an unknown outcome"
        if letter.sent_since(self.since):
            return "it died while this incident was being worked on"
        if (
            not memory.get(self._own(f"sent {letter.fingerprint}"))
            and memory.get(f"redriven {letter.fingerprint}") >= self._ever
        ):
            return f"its content was sent back in {self._ever} earlier incidents"
        return ""

    def leave(self, why: str) -> None:
        """Count a letter that stays where it is."""
        self.left[why] += 1
        self._note()

    def claim_content(self, letter: Letter) -> None:
        """Note that this content is sent back in this incident: once an incident, however many letters have it."""
        if self._act.memory.add(self._own(f"sent {letter.fingerprint}"), limit=1):
            self._act.memory.add(f"redriven {letter.fingerprint}")

    # -- the two moves

    def send(self, letter: Letter) -> bool:
        """Send a letter home: whether it is there. To be asked first: :meth:`may_send`."""
        memory = self._act.memory
        if not memory.get(f"copied {letter.id}"):
            self.claim_content(letter)
            self._count("begun")
            memory.add(f"sending {letter.id}")
            try:
                self._deliver(letter)
            except Ambiguous:
                self.halted = True
                self.leave("its sending has an unknown outcome")
                return False
            except (Denied, Missing, Rejected, Stopped) as error:  # nothing was sent
                memory.add(f"sending {letter.id}", -1)
                self._count("ended")
                if not isinstance(error, Rejected):
                    raise
                self.leave(f"{self.taker} did not take it")
                return False
            memory.add(f"copied {letter.id}")
            self._count("sent")
            memory.add(f"counted {letter.id}")
            self.sent += 1
        if self._delete(letter) and memory.get(f"counted {letter.id}"):
            self._count("ended")  # else a crash came before the count, perhaps: it stays uncertain
        return True

    def _deliver(self, letter: Letter) -> None:
        """Make the copy, as the letter was. Raises what the call raises."""
        content: dict[str, Any] = {"MessageBody": letter.body}
        if letter.attributes:
            content["MessageAttributes"] = {name: dict(value) for name, value in letter.attributes.items()}
        self._act(self._calls["SendMessage"], **content)

    def store(self, letter: Letter, means: str, reason: str) -> bool:
        """Store a letter apart, whole, then delete it: whether that is done."""
        memory, put = self._act.memory, self._calls["PutObject"]
        returned = self.came_back(letter)
        anew = not memory.get(f"storing {letter.id}")  # else an earlier attempt may have stored it
        if anew:
            self._count("begun")
            memory.add(f"storing {letter.id}")
        try:
            self._act(put, Key=_key(put, letter), Body=self._whole(letter, means, reason))
        except (Ambiguous, Denied, Missing, Rejected, Stopped) as error:
            if anew and not isinstance(error, Ambiguous):  # nothing was stored, now or before
                memory.add(f"storing {letter.id}", -1)
                self._count("ended")
            if not isinstance(error, Ambiguous | Rejected):
                raise
            self.halted = True  # it may be repeated: the same letter has the same name
            self.leave("the quarantine did not take it")
            return False
        if not self._delete(letter):
            self.leave("it is stored, and whether it was deleted is not known")
            return False
        if returned:  # first: a crash in between tells of one letter too few, which is uncertain, and never of two
            self._count("again")
        self._count("stored")
        self.stored += 1
        self._count("ended")
        return True

    def _delete(self, letter: Letter) -> bool:
        """Delete the original. Where that is not certain it may come back, and is then deleted: its copy is known."""
        try:
            self._act(self._calls["DeleteMessage"], ReceiptHandle=letter.handle)
        except Ambiguous:
            self.halted = True
            return False
        except (Rejected, Missing):
            return False
        return True

    def _whole(self, letter: Letter, means: str, reason: str) -> bytes:
        """Everything that is needed to send it again one day, by hand."""
        text = json.dumps(
            {
                "queue": self._calls["DeleteMessage"].resource,
                "messageId": letter.id,
                "body": letter.body,
                "messageAttributes": plain(letter.attributes),
                "attributes": dict(letter.system),
                "stored": {
                    "by": "nightshift",
                    "incident": self._incident,
                    "at": self._act.now().isoformat(),
                    "means": means,
                    "because": reason,
                },
            },
            ensure_ascii=True,
        )
        return text.encode()

    # -- the account

    def _own(self, key: str) -> str:
        return f"{self._incident} {key}"

    def _count(self, name: str) -> None:
        self._act.memory.add(self._own(name))
        self._counts[name] += 1
        self._note()

    @property
    def _moved(self) -> int:
        return self._counts["sent"] + self._counts["stored"] - self._counts["again"]

    def _note(self) -> None:
        """Keep the ledger true at every moment: whatever ends the step, what is known by then stands in it."""
        returned = max(0, self._before.returned - (self._counts["again"] - self._again_before))
        account = self.account()
        self._act.ledger = balance(account, returned=returned, waiting=None, processed=self._before.processed)

    def account(self) -> dict[str, int]:
        """What :func:`balance` needs to know: for the step's notes, because progress is judged without a carrier."""
        return account_of(self._counts, by_tasks=self._by_tasks, left=self.left.total())


_COUNTED = ("begun", "ended", "sent", "stored", "again")


def counted_in(incident: str) -> dict[str, str]:
    """The durable counters of one incident: what each is called in the memory, by what it counts."""
    return {name: f"{incident} {name}" for name in _COUNTED}


def account_of(counts: Mapping[str, int], *, by_tasks: int, left: int) -> dict[str, int]:
    """An account from counters: ``by_tasks`` letters were moved by moves of the whole queue, ``left`` were left."""
    return {
        "moved": counts["sent"] + counts["stored"] - counts["again"] + by_tasks,
        "by_tasks": by_tasks,
        "sent": counts["sent"],
        "stored": counts["stored"],
        "left": left,
        "uncertain": max(0, counts["begun"] - counts["ended"]),
    }


def balance(
    account: Mapping[str, int], *, returned: int, waiting: int | None, moved_by_task: int = 0, processed: int = 0
) -> Ledger:
    """
    A ledger that balances, made from what is known: ``returned`` came back, at most ``waiting`` are not finished yet.

    What is not known to be processed counts as remaining. Without ``waiting``, ``processed`` is what was known before.
    """
    moved = account["moved"] + moved_by_task
    out = max(0, moved - account["stored"])
    back = min(returned, out)
    remaining = out - back - min(processed, out - back) if waiting is None else min(out - back, waiting)
    return Ledger(
        moved=max(moved, account["stored"]),
        processed=out - back - remaining,
        returned=back,
        quarantined=account["stored"],
        remaining=remaining,
        left=account["left"],
        uncertain=account["uncertain"],
    )


def _key(put: Call, letter: Letter) -> str:
    """The object's name: the prefix that the plan has permission for, and the letter, whoever stores it and when."""
    prefix = Arn.parse(put.resource).resource.partition("/")[2].removesuffix("*")
    return f"{prefix}{letter.fingerprint}-{letter.id}.json"
