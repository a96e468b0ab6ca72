"""
The one module that changes anything outside Nightshift's own table, topic and queue.

To act it assumes the remediation's write role, cut down by a session policy that is made from the step's own calls:
these actions on these ARNs, nothing else. The incident is session name and source identity, so that what the account's
trail shows under that name must equal what the report says. Right before every single write it reads the kill switch
and the record's epoch again, consistently and uncached. Nothing is ever sent twice: acting clients make one attempt,
and a call whose outcome is unknown is recorded as unknown, for somebody to look at reality.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from nightshift.aws import ActingClients, Aws
from nightshift.errors import Ambiguous, AwsError, Fenced, NightshiftError, Stopped, StoreUnavailable, Undeclared
from nightshift.incidents import Claim, Incidents, memory_scope
from nightshift.model import Call, CallRecord, Incident, Json, Ledger, Outcome, Plan, Step, SwitchState
from nightshift.remediation import Memory, Remediation

__all__ = ["Acting", "Done", "session_policy"]

POLICY_LIMIT = 2048
"""characters of a session policy (STS: AssumeRole, Policy)"""
SESSION = timedelta(minutes=15)
"""the shortest session STS gives"""
_MARGIN = timedelta(seconds=30)  # more than the longest a call may take (aws._ACTING: 3 s to connect, 20 s to answer)
"""
a write is not begun closer than this to the end of our claim, or of the function's own time: it must be over before
another tick may start, and its answer must be heard
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a step's calls came to. ``error`` is what ended them early, if anything did."""

    records: tuple[CallRecord, ...]
    ledger: Ledger
    scratch: Mapping[str, Json]
    error: NightshiftError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything may have happened: an unknown outcome counts as a yes."""
        return any(record.outcome is not Outcome.NOT_DONE for record in self.records)


class Acting:
    """Carries out steps of plans. ``role_prefix`` + the remediation's name is the write role's ARN."""

    def __init__(self, aws: Aws, incidents: Incidents, *, role_prefix: str, clock: Callable[[], datetime]) -> None:
        self._aws = aws
        self._incidents = incidents
        self._role_prefix = role_prefix
        self._clock = clock

    def perform(self, remediation: Remediation, claim: Claim, incident: Incident, plan: Plan, step: Step) -> Done:
        """Make a step's calls. Never raises a NightshiftError: what ended it early is in the answer."""
        return self._run(
            remediation, claim, incident, step, step.calls, lambda hand: remediation.apply(hand, plan, step)
        )

    def undo(self, remediation: Remediation, claim: Claim, incident: Incident, plan: Plan, step: Step) -> Done:
        """Make a step's undo calls, each as the remediation carries it out."""
        back = Step(name=f"undo {step.name}", calls=step.undo, settle=timedelta(0))
        return self._run(
            remediation, claim, incident, back, back.calls, lambda hand: remediation.apply(hand, plan, back)
        )

    def _run(
        self,
        remediation: Remediation,
        claim: Claim,
        incident: Incident,
        step: Step,
        calls: tuple[Call, ...],
        work: Callable[[_Hand], None],
    ) -> Done:
        hand = _Hand(self._incidents, claim, incident, remediation, step, self._clock)
        try:
            hand.clients = self._assume(remediation, incident, calls)
            work(hand)
        except NightshiftError as error:
            return Done(tuple(hand.records), hand.ledger, hand.scratch, error)
        return Done(tuple(hand.records), hand.ledger, hand.scratch)

    def _assume(self, remediation: Remediation, incident: Incident, calls: tuple[Call, ...]) -> ActingClients:
        return self._aws.assume(
            self._role_prefix + remediation.name,
            session_name=incident.id,
            policy=session_policy(calls),
            source_identity=incident.id,
            duration=SESSION,
        )


def session_policy(calls: Iterable[Call]) -> str:
    """
    The permission that a list of calls needs, and no more, as a session policy.

    Raises Undeclared where it would not fit STS's limit: a plan that wide is refused, not widened.
    Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
    """
    by_resource: dict[str, set[str]] = {}
    for call in calls:
        for action, resource in ((call.action, call.checked), *call.grants):
            by_resource.setdefault(resource, set()).add(action)
    by_actions: dict[tuple[str, ...], list[str]] = {}
    for resource, actions in sorted(by_resource.items()):
        by_actions.setdefault(tuple(sorted(actions)), []).append(resource)
    statements = [
        {"Effect": "Allow", "Action": list(actions), "Resource": resources}
        for actions, resources in sorted(by_actions.items())
    ]
    if not statements:  # an empty list of statements is no policy, and no policy would mean the whole role
        msg = "a step without calls needs no permission and gets none"
        raise Undeclared(msg)
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > POLICY_LIMIT:
        msg = f"the plan's session policy has {len(text)} characters; STS takes {POLICY_LIMIT}"
        raise Undeclared(msg)
    return text


_SETS = "sqs:SetQueueAttributes"


def _others(call: Call, sets: Iterable[str]) -> list[str]:
    """What a call would set of a queue besides ``sets``. Which attributes it is about must stand in the plan."""
    if "Attributes" in call.free:
        return ["whatever it likes"]
    return sorted(set(call.params.get("Attributes", ())) - set(sets))


@dataclass
class _Memory:
    """
    The remediation's durable counters: one scope per remediation and target.

    What was read is kept for the step: whoever holds the target is the only one who writes them.
    """

    incidents: Incidents
    scope: str
    clock: Callable[[], datetime]
    known: dict[str, int] = field(default_factory=dict)

    def get(self, key: str) -> int:
        if key not in self.known:
            self.known[key] = self.incidents.counter(self.scope, key)
        return self.known[key]

    def add(self, key: str, amount: int = 1, *, limit: int | None = None) -> bool:
        before = self.known.pop(key, None)  # a write that fails half-way leaves nothing believed
        expires = self.clock() + timedelta(days=400)
        added = self.incidents.count(self.scope, key, amount, limit=limit, expires=expires)
        if added and before is not None:
            self.known[key] = before + amount
        return added

    def recall(self, keys: Iterable[str]) -> None:
        missing = [key for key in dict.fromkeys(keys) if key not in self.known]
        self.known |= self.incidents.counters(self.scope, missing)


@dataclass
class _Hand:
    """The Actor of one step (see :class:`nightshift.remediation.Actor`)."""

    incidents: Incidents
    claim: Claim
    incident: Incident
    remediation: Remediation
    step: Step
    clock: Callable[[], datetime]
    clients: ActingClients | None = None
    records: list[CallRecord] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    scratch: dict[str, Any] = field(init=False)
    memory: Memory = field(init=False)
    _made: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = self.incident.ledger
        self.scratch = dict(self.incident.scratch)
        self.memory = _Memory(self.incidents, memory_scope(self.remediation.name, self.incident.target), self.clock)

    def now(self) -> datetime:
        return self.clock()

    def seconds_left(self) -> float:
        return (self.claim.ends - _MARGIN - self.clock()).total_seconds()

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        self._check_declared(call, free)
        self._check_allowed(call)
        position = self.step.calls.index(call)
        self._made[position] = self._made.get(position, 0) + 1
        if self.clients is None:  # pragma: no cover - perform() assumes the role before it hands over
            raise Undeclared(call.action)
        try:
            answer = self.clients(call, {**call.params, **free})
        except AwsError as error:
            self._record(call, Outcome.UNKNOWN if isinstance(error, Ambiguous) else Outcome.NOT_DONE, error=str(error))
            raise
        self._record(call, Outcome.DONE, answer=answer)
        return answer

    def _check_declared(self, call: Call, free: Mapping[str, Any]) -> None:
        if call not in self.step.calls:
            msg = f"{call.action} on {call.resource} is not in step {self.step.name!r}"
            raise Undeclared(msg)
        if call.action not in self.remediation.writes:
            raise Undeclared(f"{self.remediation.name} does not declare that it writes {call.action}")
        if call.action == _SETS and (others := _others(call, self.remediation.sets)):
            raise Undeclared(f"{self.remediation.name} does not declare that it sets {', '.join(others)} of a queue")
        if unknown := sorted(set(free) - set(call.free) | set(free) & set(call.params)):
            msg = f"{call.action}: {', '.join(unknown)} was not left free by the plan"
            raise Undeclared(msg)
        if self._made.get(self.step.calls.index(call), 0) >= call.times:
            msg = f"{call.action}: the plan allows it {call.times} time(s)"
            raise Undeclared(msg)

    def _check_allowed(self, call: Call) -> None:
        """Look again, last thing before a write, whether it is still allowed and the record still ours."""
        now = self.clock()
        if now >= self.claim.ends - _MARGIN:
            raise Fenced(self.incident.id)
        try:
            ours, switch = self.incidents.still_ours(self.claim, now)
        except StoreUnavailable as error:
            msg = f"the kill switch cannot be read: {error}"
            raise Stopped(msg) from error
        if not ours:
            raise Fenced(self.incident.id)
        allowed = (SwitchState.ON, SwitchState.PAUSED) if call.stops else (SwitchState.ON,)
        if switch.state not in allowed:
            state = switch.state.value if switch.state else "unreadable"
            msg = f"the kill switch is {state}{': ' + switch.reason if switch.reason else ''}"
            raise Stopped(msg)

    def _record(
        self, call: Call, outcome: Outcome, *, answer: Mapping[str, Any] | None = None, error: str = ""
    ) -> None:
        """Equal calls are one line with a count: a step of a hundred messages must fit into a record."""
        request_id = str((answer or {}).get("ResponseMetadata", {}).get("RequestId", ""))
        for number, record in enumerate(self.records):
            if record.tells_of(call) and (record.outcome, record.error) == (outcome, error[:500]):
                self.records[number] = replace(record, count=record.count + 1, request_id=request_id)
                return
        self.records.append(
            CallRecord(
                at=self.clock(),
                step=self.step.name,
                action=call.action,
                resource=call.resource,
                outcome=outcome,
                request_id=request_id,
                before=call.before,
                error=error[:500],
                about=call.about,
            )
        )
        if answer is not None:  # after the record: a call that was made must not be lost to a line of its report
            self.records[-1] = replace(self.records[-1], after=dict(self.remediation.effect(call, answer)))
