"""
Dead letters pile up: send them home once their consumer works again.

Symptom   the dead-letter queue holds messages
Cause     the consumer failed for a while, and has finished messages for ten minutes now; or the letter itself is bad
Cure      store letters that can never be processed, send a few others home, and the rest when those were finished
Proof     moved = processed + returned + quarantined + remaining, no letter comes back, and the queue stays empty
Undo      cancel the move; what was moved stays moved, what was stored stays stored
Source    runbook 3 "Messages in Dead Letter Queue", runbook 0 task 4, runbook 1 "ETL backlog"; R2

What it will not do: touch a FIFO queue (order), a queue whose letters have several homes without being told which, one
of Lambda's, EventBridge's or SNS's letters (nothing to send them home to), or a letter that a rule calls unknown.

What a letter means is told by ``rules``. One that no rule knows is taken for ``otherwise``, transient by default: it is
well formed, it died of a consumer that failed and by now demonstrably works, and the attempt is bounded (a few first; a
letter that comes back is stored as poison; none is sent twice in an incident, no content in more than two).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field

from nightshift import states, strict_json
from nightshift.carrying import Carrier, Routes, account_of, balance, counted_in
from nightshift.consumers import READS as CONSUMER_READS
from nightshift.consumers import check_flow, check_works, consumers_of, short
from nightshift.errors import AwsError, Missing, Refused, Rejected
from nightshift.letters import (
    BUILT_IN_RULES,
    SKEW,
    Letter,
    Meaning,
    Rule,
    kind_of_queue,
    look,
    meaning,
)
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
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
    Unknown,
)
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import queue_metric, queue_url
from nightshift.states import minutes

__all__ = ["SqsDlqBacklog"]

VISIBLE: Final = "ApproximateNumberOfMessagesVisible"
AGE: Final = "ApproximateAgeOfOldestMessage"

_POINTS = 3  # of which two must show letters: one could be somebody's test (R2)
_SICK_POINTS = 2
_SOON = timedelta(hours=48)  # a letter that is lost this soon is a page (R2)
_ONE_TASK_PER = timedelta(hours=24)  # full moves of one queue (R2)
_LATE = timedelta(minutes=2)  # CloudWatch shows a minute one to two minutes after it ended
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_ACTIVE = ("RUNNING", "CANCELLING")
_SETTLE = timedelta(minutes=1)  # for queue attributes to be right about what we did
_POLICY_LIMIT = 4096  # bytes of a RedrivePolicy: an ARN and a number
_HOURS = 180  # minutes of metrics that cover a step, whatever its patience

Percent = Annotated[int, Field(ge=1, le=50)]


class SqsDlqBacklog(Remediation):
    """Dead letters of an SQS queue whose consumer works."""

    name: ClassVar[str] = "sqs-dlq-backlog"
    mends_itself: ClassVar[bool] = False  # letters that grow fewer may be letters that expire
    title: ClassVar[str] = "dead letters pile up"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
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
    freeze_safe: ClassVar[bool] = True  # letters go where they came from: no code and no setting is changed

    threshold: int = Field(default=1, ge=1, le=1_000_000, description="dead letters that make a backlog")
    healthy_for: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=5),
        le=timedelta(hours=1),
        description="how long the consumer must have worked, and no letter have died, before any is sent home",
    )
    canary: int = Field(default=3, ge=1, le=10, description="letters that are sent home first")
    canary_patience: timedelta = Field(
        default=timedelta(minutes=20),
        ge=timedelta(minutes=5),
        le=timedelta(hours=2),
        description="the longest wait for the first letters, where visibility timeout x receives would be longer",
    )
    bounce_percent: Percent = Field(default=10, description="share of letters that may come back before all is stopped")
    rate: int = Field(
        default=10,
        ge=1,
        le=500,
        description="letters a second in a full move; a good value is half of what the consumer can do, at most 50",
    )
    sample: int = Field(default=30, ge=10, le=30, description="letters that are looked at before anything is planned")
    batch: int = Field(default=100, ge=10, le=300, description="letters that are moved one by one in one tick")
    one_by_one: int = Field(
        default=1000, ge=10, le=100_000, description="letters that are moved one by one in one incident"
    )
    quarantine_limit: int = Field(
        default=20,
        ge=1,
        le=1000,
        description="letters that are stored apart in one incident; more are a wrong rule or a broken producer",
    )
    redrives_ever: int = Field(
        default=2, ge=1, le=5, description="incidents in which the same content may be sent home"
    )
    source_backlog: int = Field(
        default=100, ge=1, le=1_000_000, description="messages that may wait in the source queue besides"
    )
    error_percent: Percent = Field(default=1, description="share of a Lambda consumer's invocations that may fail")
    rules: tuple[Rule, ...] = Field(
        default=BUILT_IN_RULES, max_length=50, description="what letters mean; the first rule that holds decides"
    )
    otherwise: Meaning = Field(default=Meaning.TRANSIENT, description="what a letter means that no rule knows")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (ResourceRead("sqs.exists", str(target.arn)), queue_metric(target.arn, VISIBLE, "Maximum"))

    def examine(self, target: Target) -> Queries:
        return (ResourceRead("sqs.queue", str(target.arn)), queue_metric(target.arn, AGE, "Maximum"))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """
        By the queue's own attributes where they were read, else by its metric.

        A listed queue without points is asleep: SQS reports a queue that holds messages or was used in the last six
        hours, and resumes within 15 minutes. Asking ten thousand idle queues for their attributes instead would cost
        ten thousand calls a minute, to learn of a first letter a quarter of an hour sooner.
        """
        if ResourceRead("sqs.queue", str(target.arn)) in seen.answers:
            return self._by_attributes(target, seen)
        exists = seen.resource(ResourceRead("sqs.exists", str(target.arn)))
        if isinstance(exists, Unread):
            return Unknown(exists.reason)
        if exists is None:
            return Unknown(f"{target.arn} does not exist")
        series = seen.metric(queue_metric(target.arn, VISIBLE, "Maximum"))
        if isinstance(series, Unread):
            return Unknown(series.reason)
        points = series.last(_POINTS)
        if not points:
            return Healthy("no dead letters: the queue is asleep and reports nothing")
        over = sum(value >= self.threshold for value in points)
        if over < _SICK_POINTS:
            return Healthy(f"no dead letters in {len(points) - over} of the last {len(points)} minutes")
        return Sick(self._finding(target, points[-1], f"{over} of the last {len(points)} minutes", Severity.SEV3))

    def _by_attributes(self, target: Target, seen: Readings) -> Observation:
        attributes = seen.resource(ResourceRead("sqs.queue", str(target.arn)))
        if isinstance(attributes, Unread):
            return Unknown(attributes.reason)
        if attributes is None:
            return Unknown(f"{target.arn} does not exist")
        visible, total = states.number(attributes, "ApproximateNumberOfMessages"), states.messages(attributes)
        if visible is None or total is None:
            return Unknown(f"SQS did not say how many messages {target.arn.name} holds")
        if visible >= self.threshold:
            age = seen.metric(queue_metric(target.arn, AGE, "Maximum"))
            severity = _urgency(attributes, age)
            return Sick(self._finding(target, float(visible), "now", severity))
        if total >= self.threshold:
            return Unknown(f"{total - visible} dead letters are in somebody's hands and may come back")
        return Healthy(f"{total} dead letters")

    def _finding(self, target: Target, count: float, window: str, severity: Severity) -> Finding:
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{int(count)} dead letter{'s' if count != 1 else ''} in {target.arn.name}",
            signals=(Signal(VISIBLE, count, self.threshold, window, "messages"),),
            severity=severity,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        dlq = states.queue(read, target.arn)
        _check_queue(target.arn, dlq)
        sources = _sources(read, target.arn)
        home = self._home(read, target, sources)
        source = states.queue(read, home)
        may_move_all = self._check_tasks(read, target.arn)
        consumers = consumers_of(read, target, home)
        for consumer in consumers:
            check_works(read, consumer, home, healthy_for=self.healthy_for, error_percent=self.error_percent)
        flow = check_flow(read, consumers[0], home, source, healthy_for=self.healthy_for, backlog=self.source_backlog)
        self._check_calm(read, target.arn, dlq)
        letters = look(read, target.arn, self.sample)
        means = self._check_letters(letters, states.messages(dlq) or 0)
        return Diagnosis(
            target=str(target.arn),
            cause=(
                f"letters died in {home.name} while its consumer failed; {', '.join(map(short, consumers))} has worked "
                f"for {minutes(self.healthy_for)} minutes now, and the dead letters have become no more"
            ),
            evidence=(
                flow,
                f"{len(letters)} of about {states.messages(dlq)} letters looked at: "
                + ", ".join(f"{count} {what}" for what, count in sorted(means.items())),
                *_first_loss(letters, dlq, read.now()),
            ),
            rejected=(
                Alternative("the consumer still fails", "it finishes what it takes, and the backlog does not grow"),
                Alternative(
                    "the letters are all bad", f"{means[Meaning.TRANSIENT]} of those looked at are well formed"
                ),
            ),
            facts={
                "dlq": str(target.arn),
                "source": str(home),
                "full": len(sources) == 1 and may_move_all,
                "bucket": read.quarantine,
                "dlq_key": _key_arn(read, dlq),
                "source_key": _key_arn(read, source),
                "visibility_timeout": states.number(source, "VisibilityTimeout") or 0,
                "receives": _receives(source),
            },
        )

    def _home(self, read: Reader, target: Target, sources: Sequence[Arn]) -> Arn:
        """The queue the letters came from: the one there is, or the one of several that the configuration names."""
        if not sources:
            origin = kind_of_queue(look(read, target.arn, 10))
            raise Refused(
                "source",
                f"no queue names {target.arn.name} as its dead-letter queue, so its letters cannot be sent home; "
                f"they seem to come from {origin}",
            )
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

    def _check_calm(self, read: Reader, dlq: Arn, attributes: Mapping[str, Any]) -> None:
        """Refuse while there are more and more letters: what is sent home now would die too."""
        window = minutes(self.healthy_for)
        query = queue_metric(dlq, VISIBLE, "Maximum", window + 5)
        start = read.now() - self.healthy_for
        series = states.series(read, query)
        before = [value for at, value in series.points if at <= start]
        after = [value for at, value in series.points if at > start]
        newest = max((*after, float(states.messages(attributes) or 0)))
        if not before:
            raise Refused(
                "calm",
                f"the dead-letter queue was seen for less than {window} minutes: whether it still grows is not known",
                numbers={"points": len(series.points)},
                retry_after=timedelta(minutes=2),
            )
        if newest > before[-1]:
            raise Refused(
                "calm",
                f"letters still die: {before[-1]:.0f} {window} minutes ago, {newest:.0f} since",
                numbers={"before": before[-1], "since": newest},
                retry_after=timedelta(minutes=2),
            )

    def _check_letters(self, letters: Sequence[Letter], total: int) -> Counter[Meaning]:
        """What the sample means; refuse where nothing of it is ours to move."""
        means = Counter(self._meaning(letter)[0] for letter in letters)
        reasons = Counter(self._meaning(letter)[1] for letter in letters)
        if not letters:
            raise Refused(
                "letters",
                f"none of about {total} letters could be seen just now",
                retry_after=timedelta(minutes=1),
            )
        bad = sum(count for what, count in means.items() if what.stored)
        told = ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
        if bad > self.quarantine_limit:
            raise Refused(
                "letters",
                f"{bad} of {len(letters)} letters look as if nobody could ever process them ({told}): so many are a "
                "wrong rule or a broken producer, and a person must look",
                numbers={"bad": bad, "limit": self.quarantine_limit},
            )
        if not bad and not means[Meaning.TRANSIENT]:
            raise Refused(
                "letters",
                f"what is left needs a person: {told}",
                numbers={str(what): count for what, count in sorted(means.items())},
            )
        return means

    def _meaning(self, letter: Letter) -> tuple[Meaning, str]:
        return meaning(letter, self.rules, self.otherwise)

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
        send = partial(routes.send, before={name: facts[name] for name in ("visibility_timeout", "receives")})
        full = (_start(routes, self.rate),) if facts["full"] else ()
        rest = "a full move" if full else f"one by one, {self.batch} a tick"
        dlq, source = routes.dlq, routes.source
        quarantine = Step(
            "quarantine",
            calls=routes.store(self.batch),
            settle=_SETTLE,
            why="store letters that nobody can ever process, then delete them from the queue",
        )
        canary = Step(
            "canary",
            calls=(*routes.store(self.batch), send(self.canary)),
            settle=_SETTLE,
            why=f"send {self.canary} letters home and see whether they are finished",
        )
        redrive = Step(
            "redrive",
            calls=(*routes.store(self.batch), send(self.batch), *full),
            undo=_stop(routes) if full else (),
            settle=_SETTLE,
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

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        if step.name.startswith("undo "):
            _cancel(act, step)
            return
        carrier = Carrier(act, step, ever=self.redrives_ever)
        act.scratch["since"] = carrier.since.isoformat()
        _open_attempt(act, carrier)
        notes: dict[str, Json] = {"at": act.now().isoformat(), "mode": "letters"}
        home = _send(plan).resource
        if step.name == "quarantine":
            stay = self._work(carrier, carrier.take(self.sample), home, lambda: False)
        elif step.name == "canary":
            stay = self._first(act, carrier, home, notes)
        elif self._all_at_once(act, carrier, step, notes):
            stay = []
        else:
            stay = self._one_by_one(carrier, home)
        carrier.give_back(stay)
        notes = {
            "sent": carrier.sent,
            "stored": carrier.stored,
            "more": not carrier.dry,
            "left": dict(carrier.left),
        } | notes
        if carrier.sent:
            act.scratch["last_sent"] = act.now().isoformat()
        act.scratch["account"] = carrier.account()
        act.scratch[step.name] = notes

    def _first(self, act: Actor, carrier: Carrier, home: str, notes: dict[str, Json]) -> list[Letter]:
        """The canary: so many letters an attempt, also where a crash made it begin again."""
        key = f"{act.incident.id} canary {len(act.incident.attempts)}"
        if act.memory.get(key):
            notes["at"] = act.scratch["attempt"]["at"]
        stay = self._work(carrier, carrier.take(self.sample), home, lambda: act.memory.add(key, limit=self.canary))
        notes["sent"] = act.memory.get(key)
        return stay

    def _all_at_once(self, act: Actor, carrier: Carrier, step: Step, notes: dict[str, Json]) -> bool:
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
        if len(letters) < self.sample or not all(self._goes_home(carrier, letter) for letter in letters):
            return False
        for letter in letters:
            carrier.claim_content(letter)
        act.memory.add(f"{act.incident.id} task")
        notes["mode"] = "task"
        act.scratch[step.name] = dict(notes)  # stands there even where the answer to the next call is lost
        act(_call(step, "StartMessageMoveTask"))
        return True

    def _goes_home(self, carrier: Carrier, letter: Letter) -> bool:
        return self._meaning(letter)[0] is Meaning.TRANSIENT and not carrier.may_send(letter)

    def _one_by_one(self, carrier: Carrier, home: str) -> list[Letter]:
        """As many as one tick may: what stays is held until the end, so that it is not received again and again."""
        return self._work(carrier, carrier.take(self.batch), home, lambda: carrier.sent_in_all < self.one_by_one)

    def _work(
        self, carrier: Carrier, letters: Iterable[Letter], home: str, may_send: Callable[[], bool]
    ) -> list[Letter]:
        """Store what must be stored, send home what may be; give what stays."""
        return [letter for letter in letters if carrier.tired or not self._move(carrier, letter, home, may_send)]

    def _move(self, carrier: Carrier, letter: Letter, home: str, may_send: Callable[[], bool]) -> bool:
        """Move one letter where it belongs: whether it was moved."""
        if letter.source not in {None, home}:
            carrier.leave("it came from another queue")
            return False
        means, reason = self._meaning(letter)
        if carrier.came_back(letter):
            means, reason = Meaning.POISON, "it came back after it was sent home to a consumer that works"
        if means.stored:
            if carrier.stored_in_all >= self.quarantine_limit:
                carrier.leave(f"more than {self.quarantine_limit} letters to store")
                return False
            return carrier.store(letter, means, reason)
        why_not = f"{means}: {reason}" if means is not Meaning.TRANSIENT else carrier.may_send(letter)
        if why_not:
            carrier.leave(why_not)
            return False
        return may_send() and carrier.send(letter)

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
            return (*_quarantine_went(notes), None)
        state = self._state(read, plan, scratch)
        if step.name == "canary":
            return (*self._canary_went(read, state, notes), state.ledger(scratch))
        task = next(iter(state.tasks), None) if _may_move_all(step) else None
        if task is not None or (notes is not None and notes["mode"] == "task"):
            return (*self._task_goes(state, task, notes), state.ledger(scratch, task))
        return (*self._letters_go(state, notes, scratch), state.ledger(scratch))

    def _state(self, read: Reader, plan: Plan, scratch: Mapping[str, Any]) -> _State:
        """What the two queues say now."""
        send = _send(plan)
        dlq, source = Arn.parse(plan.target), Arn.parse(send.resource)
        now = read.now()
        since = _time(scratch.get("since"), now - _ONE_TASK_PER)
        dead, waiting = states.messages(states.queue(read, dlq)) or 0, states.messages(states.queue(read, source)) or 0
        longest = timedelta(seconds=send.before["visibility_timeout"] * send.before["receives"])
        return _State(
            now=now,
            dlq=dlq,
            source=source,
            dead=dead,
            waiting=waiting,
            oldest=_oldest(read, source),
            letters=look(read, dlq, self.sample) if dead else (),
            tasks=tuple(task for task in _tasks(read, dlq) if task.started_at >= since - SKEW),
            since=since,
            longest=longest,
            window=min(max(longest, _LATE), self.canary_patience) + _LATE,
            last_sent=_time(scratch.get("last_sent"), since),
        )

    def _canary_went(self, read: Reader, state: _State, notes: Mapping[str, Any] | None) -> tuple[Progress, str]:
        if notes is None:
            return Progress.AGAIN, _LOST
        sent = int(notes["sent"])
        if not sent:
            if notes["left"]:
                return Progress.STOP, f"none of the letters may be sent home: {_told(notes['left'])}"
            return Progress.NEXT, "there was no letter to try it with"
        began = _time(notes["at"], state.now)
        back = max(state.came_back(began), self._risen(read, state, began))
        if back * 2 > sent:
            return Progress.STOP, f"{min(back, sent)} of {sent} letters came back: the consumer still fails at them"
        finished = states.series(read, queue_metric(state.source, "NumberOfMessagesDeleted", "Sum", _HOURS)).points
        done = sum(value for at, value in finished if at >= began - SKEW)
        if done + back < sent:
            if state.now < began + self.canary_patience + _LATE:
                return Progress.WAIT, f"{done:.0f} messages finished since {sent} letters were sent home"
            return Progress.STOP, f"{sent} letters were sent home, and {done:.0f} messages were finished since"
        if state.on_their_way and state.now < began + state.window:
            return Progress.WAIT, f"{done:.0f} messages finished; waiting whether letters come back"
        return Progress.NEXT, f"{sent} letters sent home, {done:.0f} messages finished, {back} came back"

    def _risen(self, read: Reader, state: _State, since: datetime) -> int:
        """How many more letters there are since: in a large queue a sample hardly meets the few that came back."""
        points = states.series(read, queue_metric(state.dlq, VISIBLE, "Minimum", _HOURS)).points
        settled = [value for at, value in points if at >= since + _LATE]
        return max(0, state.dead - int(min(settled, default=state.dead)))

    def _letters_go(
        self, state: _State, notes: Mapping[str, Any] | None, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str]:
        if notes is None:
            return Progress.AGAIN, _LOST
        attempt = scratch["attempt"]
        sent = int(scratch["account"]["sent"]) - int(attempt["sent_before"])
        back = state.came_back(_time(attempt["at"], state.now))
        if self._too_many(back, sent):
            return Progress.STOP, f"{back} of {sent} letters came back"
        handled = int(notes["sent"]) + int(notes["stored"])
        if notes["more"] and state.dead:
            if handled:
                return Progress.AGAIN, f"{handled} letters moved, {state.dead} to go"
            return Progress.STOP, f"no more letters may be moved: {_told(notes['left']) or 'the limit is reached'}"
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
        if self._too_many(back, task.moved):
            return Progress.STOP, f"{back} of {task.moved} letters came back"
        if task.status == "FAILED":
            return Progress.STOP, f"the move failed: {task.failure}"
        if task.status == "CANCELLED":
            return Progress.STOP, f"somebody cancelled the move after {task.moved} letters"
        if task.status != "COMPLETED":
            return Progress.WAIT, f"{task.moved} of about {task.to_move} letters moved"
        if state.on_their_way and state.now < task.last_sent + state.window:
            return Progress.WAIT, f"all moved; {state.waiting} messages are not finished"
        return _end(state, f"{task.moved} letters moved, {back} came back", {})

    def _too_many(self, back: int, sent: int) -> bool:
        """One is no share; from two on the percentage counts."""
        return back > 1 and back * 100 > sent * self.bounce_percent

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


_LOST = "the notes of this step were lost: again, which sends nothing twice"


# -- what was read, in our words -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Task:
    """One move of a whole queue, as SQS lists it."""

    status: str
    started_at: datetime
    moved: int
    to_move: int
    failure: str
    handle: str
    per_second: int

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> _Task:
        """An entry of ListMessageMoveTasks."""
        return cls(
            status=str(entry.get("Status", "")),
            started_at=datetime.fromtimestamp(int(entry.get("StartedTimestamp", 0)) / 1000, UTC),
            moved=int(entry.get("ApproximateNumberOfMessagesMoved", 0)),
            to_move=int(entry.get("ApproximateNumberOfMessagesToMove", 0)),
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

    @property
    def on_their_way(self) -> int:
        """How many letters may be at home still, neither finished nor back: none once all that wait were sent later."""
        last = max((self.last_sent, *(task.last_sent for task in self.tasks)))
        gone = self.oldest is not None and self.oldest > last + SKEW and self.now > last + self.longest
        return 0 if gone else self.waiting

    def came_back(self, since: datetime) -> int:
        """About how many letters died since: counted where all could be seen, else estimated from those that were."""
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


def _check_queue(arn: Arn, attributes: Mapping[str, Any]) -> None:
    if arn.name.endswith(".fifo"):
        raise Refused("fifo", "letters of a FIFO queue have an order that a move would not keep")
    if attributes.get("RedrivePolicy"):
        raise Refused(
            "dead-letter-queue",
            f"{arn.name} has a dead-letter queue of its own: looking at its letters would count as failing at them",
        )


def _sources(read: Reader, dlq: Arn) -> tuple[Arn, ...]:
    """The queues that name this one as their dead-letter queue: of the same account and Region, as SQS requires."""
    urls = read.pages("sqs", "ListDeadLetterSourceQueues", "queueUrls", limit=1000, QueueUrl=queue_url(dlq))
    return tuple(replace(dlq, resource=name) for name in sorted(str(url).rsplit("/", 1)[-1] for url in urls))


def _tasks(read: Reader, dlq: Arn) -> tuple[_Task, ...]:
    """The last ten moves of the queue, newest first."""
    entries = read("sqs", "ListMessageMoveTasks", SourceArn=str(dlq), MaxResults=10).get("Results", ())
    return tuple(sorted(map(_Task.of, entries), key=lambda task: task.started_at, reverse=True))


def _key_arn(read: Reader, attributes: Mapping[str, Any]) -> str:
    """The ARN of the customer's own key, if the queue has one: IAM knows keys by nothing else."""
    key = str(attributes.get("KmsMasterKeyId", ""))
    if not key or key.endswith("alias/aws/sqs"):
        return ""
    return str(read("kms", "DescribeKey", KeyId=key)["KeyMetadata"]["Arn"])


def _first_loss(letters: Sequence[Letter], attributes: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    """When the first letter expires: SQS counts from when it was first sent, not from when it died."""
    retention = states.number(attributes, "MessageRetentionPeriod")
    sent = [letter.sent_at for letter in letters if letter.sent_at is not None]
    if retention is None or not sent:
        return ()
    left = min(sent) + timedelta(seconds=retention) - now
    return (f"the first of those looked at is lost in {max(0, left // timedelta(hours=1))} hours",)


def _urgency(attributes: Mapping[str, Any], age: Series | Unread) -> Severity:
    """
    Severity 2 where a letter is lost within two days, else 3.

    The metric counts from when a letter died, expiry from when it was sent: so at worst this says it late, never early.
    """
    retention = states.number(attributes, "MessageRetentionPeriod")
    if retention is None or isinstance(age, Unread) or not age.points:
        return Severity.SEV3
    left = retention - age.points[-1][1]
    return Severity.SEV2 if left < _SOON.total_seconds() else Severity.SEV3


def _quarantine_went(notes: Mapping[str, Any] | None) -> tuple[Progress, str]:
    if notes is None:
        return Progress.AGAIN, _LOST
    if notes["stored"] and notes["more"]:
        return Progress.AGAIN, f"{notes['stored']} letters stored; there may be more"
    return Progress.NEXT, f"{notes['stored']} letters stored"


def _oldest(read: Reader, queue: Arn) -> datetime | None:
    """When the oldest message of a queue was sent, as of a minute or two ago; None where nothing is said."""
    points = states.series(read, queue_metric(queue, AGE, "Maximum")).points
    return points[-1][0] - timedelta(seconds=points[-1][1]) if points else None


def _end(state: _State, how: str, left: Mapping[str, int]) -> tuple[Progress, str]:
    """Everything was tried. What is still there does not go away by waiting for it."""
    if state.letters:
        return Progress.STOP, f"{how}; {state.dead} are still there{': ' + _told(left) if left else ''}"
    return (Progress.WAIT, f"{how}; {state.dead} cannot be seen") if state.dead else (Progress.NEXT, how)


def _open_attempt(act: Actor, carrier: Carrier) -> None:
    """Note, once an attempt, when it began and how much had been sent by then: what comes back is measured by that."""
    number = len(act.incident.attempts)
    if act.scratch.get("attempt", {}).get("number") != number:
        began = act.incident.attempts[-1].started_at if number else act.now()
        act.scratch["attempt"] = {"number": number, "at": began.isoformat(), "sent_before": carrier.sent_in_all}
        for name in ("quarantine", "canary", "redrive"):
            act.scratch.pop(name, None)


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


def _send(plan: Plan) -> Call:
    """The call that sends letters home, which names their home."""
    return next(call for call in plan.calls if call.operation == "SendMessage")


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


def _told(left: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {why}" for why, count in sorted(left.items()))


def _time(text: str | None, otherwise: datetime) -> datetime:
    return datetime.fromisoformat(text) if text else otherwise
