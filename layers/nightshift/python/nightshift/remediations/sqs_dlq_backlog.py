"""
Dead letters pile up: send them home once their consumer works again.

Symptom   the dead-letter queue holds messages
Cause     the consumer failed for a while, and has finished messages for ten minutes now; or the letter itself is bad
Cure      store letters that can never be processed, send a few others home, and the rest when those were finished
Proof     moved = processed + returned + quarantined + remaining, no letter comes back, and the queue stays empty
Undo      cancel the move; what was moved stays moved, what was stored stays stored
Source    runbook 3 "Messages in Dead Letter Queue", runbook 0 task 4, runbook 1 "ETL backlog"; R2

Letters of a FIFO queue have an order, and looking at one holds up its group. So none is looked at: SQS itself moves all
of them, the oldest first, one a second, and it is stopped when more than a few come back. A person says yes each time,
because what was sent in their groups since is processed before them.

What it will not do: touch a queue whose letters have several homes without being told which, or a letter that a rule
calls unknown. Letters of EventBridge, of SNS, or of a function that the configuration does not name,
have no home queue: people are told whose they are.

What a letter means is told by the queue's own ``letters`` first, then by ``rules``. One that no rule knows is taken for
``otherwise``, transient by default: it is well formed, it died of a consumer that failed and by now demonstrably works,
and the attempt is bounded (a few first; a letter that comes back is stored as poison; none is sent twice in an
incident, no content in more than two).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from nightshift import dead_letters, states, strict_json
from nightshift.carrying import Carrier, Routes, account_of, balance, counted_in
from nightshift.consumers import READS as CONSUMER_READS
from nightshift.consumers import check_flow, check_works, consumers_of, short
from nightshift.dead_letters import (
    AGE,
    LATE,
    LOST,
    SETTLE,
    VISIBLE,
    DeadLetters,
    check_queue,
    first_loss,
    key_arn,
    own_rules,
    quarantine_went,
    told,
)
from nightshift.errors import AwsError, Missing, Refused, Rejected
from nightshift.letters import SKEW, Letter, Meaning, look
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Incident,
    Json,
    Ledger,
    Outcome,
    Plan,
    Step,
    Target,
)
from nightshift.origins import of_others
from nightshift.remediation import Actor, Progress, Reader
from nightshift.signals import queue_metric
from nightshift.states import minutes

__all__ = ["SqsDlqBacklog"]

_ONE_TASK_PER = timedelta(hours=24)  # full moves of one queue (R2)
_HOUR = timedelta(hours=1)
_IN_ORDER = 1  # letters a second that have an order: none can be tried first, and so it must show that they come back
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_ACTIVE = ("RUNNING", "CANCELLING")
_POLICY_LIMIT = 4096  # bytes of a RedrivePolicy: an ARN and a number
_HOURS = 180  # minutes of metrics that cover a step, whatever its patience


class SqsDlqBacklog(DeadLetters):
    """Dead letters of an SQS queue whose consumer works."""

    name: ClassVar[str] = "sqs-dlq-backlog"
    title: ClassVar[str] = "dead letters pile up"
    reads: ClassVar[tuple[str, ...]] = (
        "sqs:ListDeadLetterSourceQueues",
        "sqs:ListMessageMoveTasks",
        "sqs:ReceiveMessage",  # with VisibilityTimeout=0: nothing is hidden from anybody
        *CONSUMER_READS,
        "kms:DescribeKey",
    )
    writes: ClassVar[tuple[str, ...]] = (
        "sqs:ReceiveMessage",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:SendMessage",
        "sqs:StartMessageMoveTask",
        "sqs:ListMessageMoveTasks",  # a move can be cancelled only by what the list says of it
        "sqs:CancelMessageMoveTask",
        "s3:PutObject",
    )
    delegates: ClassVar[tuple[str, ...]] = (
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:SendMessage",
        "kms:Decrypt",
        "kms:GenerateDataKey",
    )

    rate: int = Field(
        default=10,
        ge=1,
        le=500,
        description="letters a second in a full move; a good value is half of what the consumer can do, at most 50",
    )
    source_backlog: int = Field(
        default=100, ge=1, le=1_000_000, description="messages that may wait in the source queue besides"
    )

    def takes(self, target: Target) -> bool:
        """A queue of a function's failed events is another one's."""
        return super().takes(target) and target.function is None

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        dlq = states.queue(read, target.arn)
        ordered = target.arn.name.endswith(".fifo")
        check_queue(target.arn, dlq, unseen=ordered)
        sources = dead_letters.sources(read, target.arn)
        if not sources and not ordered:
            return self._of_others(read, target, dlq)
        if ordered and len(sources) != 1:
            raise Refused("source", f"{len(sources)} queues send their letters here: their order cannot be kept apart")
        home = self._home(target, sources)
        source = states.queue(read, home)
        may_move_all = self._check_tasks(read, target.arn)
        if ordered and not may_move_all:
            raise Refused("move-task", "they were moved within a day, and not one by one", retry_after=_HOUR)
        consumers = consumers_of(read, target, home)
        for consumer in consumers:
            check_works(read, consumer, home, healthy_for=self.healthy_for, error_percent=self.error_percent)
        flow = check_flow(read, consumers[0], home, source, healthy_for=self.healthy_for, backlog=self.source_backlog)
        self.check_calm(read, target.arn, dlq)
        cause = (
            f"letters died in {home.name} while its consumer failed; {', '.join(map(short, consumers))} has worked "
            f"for {minutes(self.healthy_for)} minutes now, and the dead letters have become no more"
        )
        facts = {
            "dlq": str(target.arn),
            "source": str(home),
            "bucket": read.quarantine,
            "dlq_key": key_arn(read, dlq),
            "source_key": key_arn(read, source),
            "visibility_timeout": states.number(source, "VisibilityTimeout") or 0,
            "receives": _receives(source),
        }
        if ordered:
            count = f"about {states.messages(dlq)} letters, none of which was looked at: that would hold up its group"
            return Diagnosis(str(target.arn), cause, evidence=(flow, count), facts={**facts, "ordered": True})
        letters = look(read, target.arn, self.sample)
        means = self.check_letters(letters, states.messages(dlq) or 0, target)
        return Diagnosis(
            target=str(target.arn),
            cause=cause,
            evidence=(
                flow,
                f"{len(letters)} of about {states.messages(dlq)} letters looked at: "
                + ", ".join(f"{count} {what}" for what, count in sorted(means.items())),
                *first_loss(letters, dlq, read.now()),
            ),
            rejected=(
                Alternative("the consumer still fails", "it finishes what it takes, and the backlog does not grow"),
                Alternative(
                    "the letters are all bad", f"{means[Meaning.TRANSIENT]} of those looked at are well formed"
                ),
            ),
            facts={**facts, "full": len(sources) == 1 and may_move_all, **own_rules(target)},
        )

    def _of_others(self, read: Reader, target: Target, dlq: Mapping[str, Any]) -> Diagnosis:
        """What is no SQS queue's: only people can say where it belongs."""
        letters = look(read, target.arn, self.sample)
        if not letters:
            raise Refused("letters", "no letter could be seen just now", retry_after=timedelta(minutes=1))
        return of_others(target.arn, letters, first_loss(letters, dlq, read.now()))

    def _home(self, target: Target, sources: Sequence[Arn]) -> Arn:
        """The queue the letters came from: the one there is, or the one of several that the configuration names."""
        if target.source is not None and target.source not in sources:
            raise Refused(
                "source",
                f"the configuration says that the letters came from {target.source.name}, but that queue does not name "
                f"{target.arn.name} as its dead-letter queue; {_named(sources)} does",
            )
        if target.source is None and len(sources) > 1:
            raise Refused(
                "source",
                f"{len(sources)} queues share this dead-letter queue ({_named(sources)}): say in the configuration "
                "which `source` is meant",
                numbers={"sources": len(sources)},
            )
        return target.source or sources[0]

    def _check_tasks(self, read: Reader, dlq: Arn) -> bool:
        """Refuse while a move is under way; whether the last one is long enough ago for another."""
        tasks = _tasks(read, dlq)
        if tasks and tasks[0].status in _ACTIVE:
            raise Refused(
                "move-task",
                f"a move of this queue is under way already ({tasks[0].status})",
                numbers={"moved": tasks[0].moved},
                retry_after=timedelta(minutes=2),
            )
        return all(task.started_at < read.now() - _ONE_TASK_PER for task in tasks)

    # -- what became of them -----------------------------------------------------------------------------------------

    def moved_since(self, read: Reader, dlq: Arn, since: datetime) -> int:
        return sum(task.moved for task in _tasks(read, dlq) if task.started_at >= since)

    def dies_within(self, read: Reader, target: Target) -> timedelta:
        """By the slowest of the queues that its letters came from."""
        homes = [target.source] if target.source is not None else dead_letters.sources(read, target.arn)
        found = [states.queue(read, home) for home in homes]
        return max((_time_to_die(each) for each in found), default=timedelta(0))

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        Always the same three steps: what is in the queue changes by our own hand, and the plan must not.

        Each step decides by the letters that it holds; the plan says what it may do with them, and how often.
        """
        facts = diagnosis.facts
        routes = Routes(
            Arn.parse(facts["dlq"]), Arn.parse(facts["source"]), facts["bucket"], facts["dlq_key"], facts["source_key"]
        )
        if facts.get("ordered"):
            return self._plan_in_order(facts, routes)
        send = partial(routes.send, before={name: facts[name] for name in ("visibility_timeout", "receives")})
        full = (_start(routes, self.rate),) if facts["full"] else ()
        rest = "a full move" if full else f"one by one, {self.batch} a tick"
        dlq, source = routes.dlq, routes.source
        quarantine = Step(
            "quarantine",
            calls=routes.store(self.batch),
            settle=SETTLE,
            why="store letters that nobody can ever process, then delete them from the queue",
        )
        canary = Step(
            "canary",
            calls=(*routes.store(self.batch), send(self.canary)),
            settle=SETTLE,
            why=f"send {self.canary} letters home and see whether they are finished",
        )
        redrive = Step(
            "redrive",
            calls=(*routes.store(self.batch), send(self.batch), *full),
            undo=_stop(routes) if full else (),
            settle=SETTLE,
            why=f"send the rest home: {rest}",
        )
        return Plan(
            remediation=self.name,
            target=str(dlq),
            summary=f"send the dead letters in {dlq.name} home to {source.name}: {self.canary} first, then {rest}",
            steps=(quarantine, canary, redrive),
            risk=(
                "letters are processed again: a consumer that is not idempotent repeats what it did before it failed; "
                "order is not kept; ids and retention start anew"
            ),
            undo_by_hand=(
                f"aws sqs list-message-move-tasks --source-arn {dlq}; "
                "aws sqs cancel-message-move-task --task-handle …; "
                f"stored letters are in s3://{facts['bucket']}/{routes.prefix}"
            ),
        )

    def _plan_in_order(self, facts: Mapping[str, Any], routes: Routes) -> Plan:
        """One move by SQS itself, which keeps the order that the letters have among themselves; and a person's word."""
        dlq, source = routes.dlq, routes.source
        before = {name: facts[name] for name in ("source", "visibility_timeout", "receives")}
        redrive = Step(
            "redrive",
            calls=(replace(_start(routes, _IN_ORDER), before=before),),
            undo=_stop(routes),
            settle=SETTLE,
            why=f"have SQS send all of them home, the oldest first, {_IN_ORDER} a second",
        )
        return Plan(
            remediation=self.name,
            target=str(dlq),
            summary=f"have SQS send the dead letters in {dlq.name} home to {source.name}, in their order",
            steps=(redrive,),
            risk=(
                "what was sent in their groups since is processed before them; one that fails again holds up its group "
                "until it is dead; a consumer that is not idempotent repeats what it did before it failed; none can be "
                "tried first; ids and retention start anew"
            ),
            undo_by_hand=(
                f"aws sqs list-message-move-tasks --source-arn {dlq}; "
                "aws sqs cancel-message-move-task --task-handle …; what was moved stays moved"
            ),
            final=True,  # one move of a queue a day, and nothing else keeps the order
            asks=True,
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        if step.name.startswith("undo "):
            _cancel(act, step)
            return
        if _in_order(plan):
            _move_in_order(act, step)
            return
        carrier = Carrier(act, step, ever=self.redrives_ever)
        home = _home_of(plan).resource
        self.carry(act, step, carrier, home, at_once=partial(self._all_at_once, act, carrier, step))

    def not_for(self, letter: Letter, home: str) -> str:
        return "" if letter.source in {None, home} else "it came from another queue"

    def _all_at_once(
        self, act: Actor, carrier: Carrier, step: Step, goes_home: Callable[[Letter], bool], notes: dict[str, Json]
    ) -> bool:
        """
        Start a full move, where the plan has one and a whole sample shows nothing that must not move.

        It cannot choose and cannot be counted letter by letter, so it is for queues that hold more than a sample, and
        not for one of which an earlier sample was mixed.
        """
        one_by_one = act.scratch.get(step.name, {}).get("mode") == "letters"
        if one_by_one or not _may_move_all(step) or act.memory.get(f"{act.incident.id} task"):
            return False
        letters = carrier.take(self.sample)
        carrier.give_back(letters)
        if len(letters) < self.sample or not all(map(goes_home, letters)):
            return False
        for letter in letters:
            carrier.claim_content(letter)
        act.memory.add(f"{act.incident.id} task")
        notes["mode"] = "task"
        act.scratch[step.name] = dict(notes)  # stands there even where the answer to the next call is lost
        act(_call(step, "StartMessageMoveTask"))
        return True

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        if call.operation == "CancelMessageMoveTask":
            return {"moved": int(answer.get("ApproximateNumberOfMessagesMoved", 0))}
        return {}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """A full move can be looked up. A letter cannot: its move is known from the memory around each call."""
        if call.operation in {"ReceiveMessage", "ChangeMessageVisibility"}:
            return Outcome.NOT_DONE  # whatever was hidden shows itself again: nothing lasts
        if call.operation == "StartMessageMoveTask":
            if any(task.started_at >= since - SKEW for task in _tasks(read, Arn.parse(call.resource))):
                return Outcome.DONE
            return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN
        return Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        notes = scratch.get(step.name)
        if step.name == "quarantine":
            return (*quarantine_went(notes), None)
        state = self._state(read, plan, scratch)
        if step.name == "canary":
            return (*self._canary_went(read, state, notes), state.ledger(scratch))
        task = next(iter(state.tasks), None) if _may_move_all(step) else None
        if task is not None or (notes is not None and notes["mode"] == "task"):
            return (*self._task_goes(state, task, notes), state.ledger(scratch, task))
        return (*self._letters_go(state, notes, scratch), state.ledger(scratch))

    def _state(self, read: Reader, plan: Plan, scratch: Mapping[str, Any]) -> _State:
        """What the two queues say now."""
        home = _home_of(plan)
        ordered = _in_order(plan)
        dlq, source = Arn.parse(plan.target), Arn.parse(home.before["source"] if ordered else home.resource)
        now = read.now()
        since = _time(scratch.get("since"), now - _ONE_TASK_PER)
        dead, waiting = states.messages(states.queue(read, dlq)) or 0, states.messages(states.queue(read, source)) or 0
        longest = timedelta(seconds=home.before["visibility_timeout"] * home.before["receives"])
        return _State(
            now=now,
            dlq=dlq,
            source=source,
            dead=dead,
            waiting=waiting,
            oldest=_oldest(read, source),
            letters=look(read, dlq, self.sample) if dead and not ordered else (),
            tasks=tuple(task for task in _tasks(read, dlq) if task.started_at >= since - SKEW),
            since=since,
            longest=longest,
            window=min(max(longest, LATE), self.canary_patience) + LATE,
            last_sent=_time(scratch.get("last_sent"), since),
            ordered=ordered,
        )

    def _canary_went(self, read: Reader, state: _State, notes: Mapping[str, Any] | None) -> tuple[Progress, str]:
        if notes is None:
            return Progress.AGAIN, LOST
        sent = int(notes["sent"])
        if not sent:
            if notes["left"]:
                return Progress.STOP, f"none of the letters may be sent home: {told(notes['left'])}"
            return Progress.NEXT, "there was no letter to try it with"
        began = _time(notes["at"], state.now)
        back = max(state.came_back(began), self._risen(read, state, began))
        if back * 2 > sent:
            return Progress.STOP, f"{min(back, sent)} of {sent} letters came back: the consumer still fails at them"
        finished = states.series(read, queue_metric(state.source, "NumberOfMessagesDeleted", "Sum", _HOURS)).points
        done = sum(value for at, value in finished if at >= began - SKEW)
        if done + back < sent:
            if state.now < began + self.canary_patience + LATE:
                return Progress.WAIT, f"{done:.0f} messages finished since {sent} letters were sent home"
            return Progress.STOP, f"{sent} letters were sent home, and {done:.0f} messages were finished since"
        if state.on_their_way and state.now < began + state.window:
            return Progress.WAIT, f"{done:.0f} messages finished; waiting whether letters come back"
        return Progress.NEXT, f"{sent} letters sent home, {done:.0f} messages finished, {back} came back"

    def _risen(self, read: Reader, state: _State, since: datetime) -> int:
        """How many more letters there are since: in a large queue a sample hardly meets the few that came back."""
        points = states.series(read, queue_metric(state.dlq, VISIBLE, "Minimum", _HOURS)).points
        settled = [value for at, value in points if at >= since + LATE]
        return max(0, state.dead - int(min(settled, default=state.dead)))

    def _letters_go(
        self, state: _State, notes: Mapping[str, Any] | None, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str]:
        if notes is None:
            return Progress.AGAIN, LOST
        attempt = scratch["attempt"]
        sent = int(scratch["account"]["sent"]) - int(attempt["sent_before"])
        back = state.came_back(_time(attempt["at"], state.now))
        if self.too_many(back, sent):
            return Progress.STOP, f"{back} of {sent} letters came back"
        handled = int(notes["sent"]) + int(notes["stored"])
        if notes["more"] and state.dead:
            if handled:
                return Progress.AGAIN, f"{handled} letters moved, {state.dead} to go"
            return Progress.STOP, f"no more letters may be moved: {told(notes['left']) or 'the limit is reached'}"
        if state.on_their_way and state.now < _time(notes["at"], state.now) + state.window:
            return Progress.WAIT, f"waiting whether letters come back; {state.waiting} messages are not finished"
        return _end(state, f"{sent} letters sent home, {back} came back", notes["left"])

    def _task_goes(self, state: _State, task: _Task | None, notes: Mapping[str, Any] | None) -> tuple[Progress, str]:
        if task is None:
            began = _time(notes["at"] if notes else None, state.now)
            if state.now < began + self.canary_patience:
                return Progress.WAIT, "the move does not show yet"
            return Progress.STOP, "the move was started and never showed"
        back = state.came_back(task.started_at)
        if self.too_many(back, task.moved):
            return Progress.STOP, f"{back} of {task.moved} letters came back"
        if task.status == "FAILED":
            return Progress.STOP, f"the move failed: {task.failure}"
        if task.status == "CANCELLED":
            return Progress.STOP, f"somebody cancelled the move after {task.moved} letters"
        if task.status != "COMPLETED":
            of = "" if task.to_move is None else f" of about {task.to_move}"
            return Progress.WAIT, f"{task.moved}{of} letters moved"
        if state.on_their_way and state.now < task.last_sent + state.window:
            return Progress.WAIT, f"all moved; {state.waiting} messages are not finished"
        return _end(state, f"{task.moved} letters moved, {back} came back", {})

    def settle_ledger(self, read: Reader, target: Target, incident: Incident) -> Ledger:
        """
        From the durable counters, which are true wherever a step died, and from what the queues say now.

        The notes of the steps add what no letter's counter knows: what whole moves took, and what was left alone.
        """
        plan, scratch, known = incident.plan, incident.scratch, incident.ledger
        if plan is None:
            return known
        names = counted_in(incident.id)
        task = f"{incident.id} task"
        found = read.counters(target, (*names.values(), task))
        counts = {name: found[key] for name, key in names.items()}
        if not any(found.values()) and "account" not in scratch:
            return known
        began = incident.attempts[0].started_at if incident.attempts else incident.opened_at
        noted = scratch.get("account", {})
        account = account_of(counts, by_tasks=int(noted.get("by_tasks", 0)), left=int(noted.get("left", 0)))
        try:
            state = self._state(read, plan, {"since": began.isoformat(), **scratch})
        except AwsError:  # what the queues hold cannot be told; what left this one was counted all the same
            account["moved"] = max(known.moved, account["moved"])
            return balance(account, returned=known.returned, waiting=None, processed=known.processed)
        by_task = _moved_by_task(state, scratch, started=bool(found[task]))
        account["moved"] = max(known.moved - by_task, account["moved"])
        returned = state.came_back(state.since)
        return balance(account, returned=returned, waiting=state.on_their_way, moved_by_task=by_task)


def _moved_by_task(state: _State, scratch: Mapping[str, Any], *, started: bool) -> int:
    """
    How many letters the full move of the attempt under way has moved by now, also one that was cancelled since.

    The account of a later attempt has an earlier one's in it already. Somebody else's later move is not ours. Where the
    notes of a move that was ``started`` were lost, it is the first since this incident began (there is one at most).
    """
    notes, attempt = scratch.get("redrive"), scratch.get("attempt")
    if notes is None and started:
        counted = int(scratch.get("account", {}).get("by_tasks", 0))
        return max(0, state.tasks[-1].moved - counted) if state.tasks else 0
    if notes is None or notes["mode"] != "task" or (attempt is not None and notes["at"] < attempt["at"]):
        return 0
    began = _time(notes["at"], state.now) - SKEW
    ours = [task.moved for task in state.tasks if task.started_at >= began]  # the newest stands first
    return ours[-1] if ours else 0


# -- what was read, in our words -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    """
    One move of a whole queue, as SQS lists it. How many it is to move SQS says only once it has begun: None before.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasksResultEntry.html
    """

    status: str
    started_at: datetime
    moved: int
    to_move: int | None
    failure: str
    handle: str
    per_second: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Task:
        """An entry of ListMessageMoveTasks."""
        to_move = entry.get("ApproximateNumberOfMessagesToMove")
        return cls(
            status=str(entry.get("Status", "")),
            started_at=datetime.fromtimestamp(int(entry.get("StartedTimestamp", 0)) / 1000, UTC),
            moved=int(entry.get("ApproximateNumberOfMessagesMoved", 0)),
            to_move=None if to_move is None else int(to_move),
            failure=str(entry.get("FailureReason", "no reason was given")),
            handle=str(entry.get("TaskHandle", "")),
            per_second=int(entry.get("MaxNumberOfMessagesPerSecond", 1)),
        )

    @property
    def last_sent(self) -> datetime:
        """About when it sent its last letter, at its pace: SQS does not say when a move ended."""
        return self.started_at + timedelta(seconds=self.moved / self.per_second)


@dataclass(frozen=True, slots=True)
class _State:
    """
    The two queues now: ``dead`` letters, some of which are ``letters``; messages ``waiting`` or in work at home.

    ``oldest`` is when the oldest of those was sent. ``since`` is when this incident began to move letters; it has
    started ``tasks`` and has last sent one home itself at ``last_sent``. A letter comes back after at most ``longest``
    once its consumer has begun with it; nobody waits longer than ``window`` for that.
    """

    now: datetime
    dlq: Arn
    source: Arn
    dead: int
    waiting: int
    oldest: datetime | None
    letters: tuple[Letter, ...]
    tasks: tuple[_Task, ...]
    since: datetime
    longest: timedelta
    window: timedelta
    last_sent: datetime
    ordered: bool = False

    @property
    def on_their_way(self) -> int:
        """How many letters may be at home still, neither finished nor back: none once all that wait were sent later."""
        last = max((self.last_sent, *(task.last_sent for task in self.tasks)))
        gone = self.oldest is not None and self.oldest > last + SKEW and self.now > last + self.longest
        return 0 if gone else self.waiting

    def came_back(self, since: datetime) -> int:
        """
        About how many letters died since: counted where all could be seen, else estimated from those that were.

        Of letters with an order none is looked at: there it is what is there besides those that are to be moved yet,
        which is all of it while SQS does not say how many these are.
        """
        if self.ordered:
            left = (self.dead if task.to_move is None else task.to_move - task.moved for task in self.tasks[:1])
            return max(0, self.dead - max(left, default=self.dead))
        fresh = sum(letter.sent_since(since) for letter in self.letters)
        return fresh if self.dead <= len(self.letters) else round(fresh / max(1, len(self.letters)) * self.dead)

    def ledger(self, scratch: Mapping[str, Any], task: _Task | None = None) -> Ledger | None:
        """Where the letters are now; None where the notes were lost."""
        if "account" not in scratch:
            return None
        return balance(
            scratch["account"],
            returned=self.came_back(self.since),
            waiting=self.on_their_way,
            moved_by_task=task.moved if task else 0,
        )


def _receives(source: Mapping[str, Any]) -> int:
    """How often the source queue gives a message out before it is a dead letter."""
    try:
        policy = strict_json.loads(source.get("RedrivePolicy", "{}"), limit=_POLICY_LIMIT)
        return int(policy.get("maxReceiveCount", 0))
    except (ValueError, TypeError, AttributeError):
        return 0


def _time_to_die(source: Mapping[str, Any]) -> timedelta:
    return timedelta(seconds=(states.number(source, "VisibilityTimeout") or 0) * _receives(source))


def _tasks(read: Reader, dlq: Arn) -> tuple[_Task, ...]:
    """The last ten moves of the queue, newest first."""
    entries = read("sqs", "ListMessageMoveTasks", SourceArn=str(dlq), MaxResults=10).get("Results", ())
    return tuple(sorted(map(_Task.of, entries), key=lambda task: task.started_at, reverse=True))


def _oldest(read: Reader, queue: Arn) -> datetime | None:
    """When the oldest message of a queue was sent, as of a minute or two ago; None where nothing is said."""
    points = states.series(read, queue_metric(queue, AGE, "Maximum")).points
    return points[-1][0] - timedelta(seconds=points[-1][1]) if points else None


def _end(state: _State, how: str, left: Mapping[str, int]) -> tuple[Progress, str]:
    """Everything was tried. What is still there does not go away by waiting for it."""
    if state.letters or (state.ordered and state.dead):
        return Progress.STOP, f"{how}; {state.dead} are still there{': ' + told(left) if left else ''}"
    return (Progress.WAIT, f"{how}; {state.dead} cannot be seen") if state.dead else (Progress.NEXT, how)


# -- the calls of a plan ---------------------------------------------------------------------------------------------


_DELEGATED = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
"""
what SQS does to the dead-letter queue in our name while it starts or cancels a full move

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_sqs.html (API operations)
"""


def _start(routes: Routes, rate: int) -> Call:
    """A full move. It names no destination: SQS then sends every letter back to where it came from."""
    dlq = str(routes.dlq)
    return Call(
        "sqs",
        "StartMessageMoveTask",
        dlq,
        params={"SourceArn": dlq, "MaxNumberOfMessagesPerSecond": rate},
        grants=(
            *((action, dlq) for action in _DELEGATED),
            ("sqs:SendMessage", str(routes.source)),
            *routes.opens,
            *routes.seals,
        ),
    )


def _stop(routes: Routes) -> tuple[Call, Call]:
    """How a full move is stopped: what was moved by then stays moved. SQS asks for more than the two actions' names."""
    dlq = str(routes.dlq)
    listing = Call(
        "sqs",
        "ListMessageMoveTasks",
        dlq,
        params={"SourceArn": dlq, "MaxResults": 10},
        grants=(("sqs:GetQueueAttributes", dlq),),
        stops=True,
    )
    grants = (*((action, dlq) for action in _DELEGATED), *routes.opens)
    return listing, Call("sqs", "CancelMessageMoveTask", dlq, free=("TaskHandle",), grants=grants, stops=True)


def _call(step: Step, operation: str) -> Call:
    return next(call for call in step.calls if call.operation == operation)


def _home_of(plan: Plan) -> Call:
    """The call that sends letters home, which names their home; of letters with an order, the one that moves them."""
    operation = "StartMessageMoveTask" if _in_order(plan) else "SendMessage"
    return next(call for call in plan.calls if call.operation == operation)


def _in_order(plan: Plan) -> bool:
    """Whether it moves letters that have an order, which are moved by SQS alone."""
    return all(call.operation != "SendMessage" for call in plan.calls)


def _move_in_order(act: Actor, step: Step) -> None:
    """Note that the move begins, then begin it: SQS takes one of a queue at a time, and lists those that there were."""
    act.memory.add(f"{act.incident.id} task")
    now = act.now().isoformat()
    nothing = account_of(dict.fromkeys(counted_in(act.incident.id), 0), by_tasks=0, left=0)
    act.scratch |= {"since": now, "account": nothing, step.name: {"at": now, "mode": "task"}}
    act(_call(step, "StartMessageMoveTask"))


def _may_move_all(step: Step) -> bool:
    return any(call.operation == "StartMessageMoveTask" for call in step.calls)


def _cancel(act: Actor, step: Step) -> None:
    """
    Cancel our own move, if it still runs.

    Where the notes say that we moved letters one by one, a move is somebody else's. Where a crash took the notes, it is
    ours: the plan has one only where none was started for a day.
    """
    listing, cancel = step.calls
    if act.scratch.get("redrive", {"mode": "task"})["mode"] != "task":
        return
    tasks = map(_Task.of, act(listing).get("Results", ()))
    handle = next((task.handle for task in tasks if task.status == "RUNNING"), "")
    if not handle:
        return
    try:
        act(cancel, TaskHandle=handle)
    except Missing:
        return
    except Rejected as error:
        if not error.code.endswith("UnsupportedOperation"):
            raise


# -- words -----------------------------------------------------------------------------------------------------------


def _named(queues: Iterable[Arn]) -> str:
    return ", ".join(queue.name for queue in queues)


def _time(text: str | None, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else otherwise
