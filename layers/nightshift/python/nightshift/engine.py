"""
One tick of one incident: claim → observe → decide → write intent → act → save.

A tick may die anywhere. What it had not saved is found out again by the next one from the world itself; what it had
begun to do is known from the intent that was written before. Nothing is remembered between ticks but the record.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from nightshift import autoscaling, loans, surroundings
from nightshift import decide as deciding
from nightshift.acting import Acting, Done
from nightshift.aws import Aws, kept_out, throttled
from nightshift.config import Policy
from nightshift.decide import Close, Decision, Pace, Progressing, Propose, Reconcile, Retry, Return, Wait, decide
from nightshift.drift import owner
from nightshift.errors import (
    Ambiguous,
    AwsError,
    Denied,
    Fenced,
    Refused,
    Stopped,
    StoreUnavailable,
    Unreadable,
    Unsent,
)
from nightshift.escalation import Turn, next_turn, next_update, updated
from nightshift.guardrails import (
    APPROVAL,
    MODE,
    NOT_NOW,
    SWITCH,
    Brake,
    Facts,
    refusals,
    switched_off,
    undo_refused,
    waits_for,
)
from nightshift.incidents import AFTER_UNDO, Claim, Event, Incidents, Switch
from nightshift.model import (
    Approval,
    Arn,
    Attempt,
    Call,
    CallRecord,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Intent,
    Look,
    Mode,
    Observation,
    Outcome,
    Phase,
    Plan,
    Refusal,
    Severity,
    Sick,
    Step,
    SwitchState,
    Target,
    Unknown,
    Verdict,
)
from nightshift.notify import Notifier
from nightshift.reading import Reading
from nightshift.remediation import Progress, Remediation, Unread
from nightshift.report import GIVE_BACK, Context, Notice, given_back, hold_in_storm, transition, unanswered
from nightshift.report.notices import asking_key
from nightshift.report.updates import resolved_notice, update_notice
from nightshift.signals import gather

__all__ = ["Engine", "Explanation"]

EVERY = timedelta(minutes=1)
"""between two looks at an incident"""
LATE = timedelta(seconds=60)
"""how long a request whose answer was lost may still take effect: before that, reality proves nothing"""
_WELL = frozenset({Verdict.FIXED, Verdict.RECOVERED})
"""how an incident ends of which nothing may have been lost"""
DEATHS = 5
"""claims without a save after which a record is closed as broken"""
GIVE_BACK_EVERY = timedelta(minutes=5)
GIVE_BACK_TRIES = 12
"""an hour of trying to take back what was lent, then a person must; a kill switch that forbids it does not count"""
_HELD_FOR = timedelta(hours=26)
"""how long after its lease what cannot go back yet is held without counting: AWS's longest allowances are of a day"""
_HOUR = timedelta(hours=1)
_LOOKS = 5
"""of a trend that are kept"""
_PEERS = 20
"""targets of the same system that are asked whether they are sick, too"""
_CONTROLS = 5
"""of them that are watched beside one that is treated"""
_TRIES = "give_back_tries"
_OVER = "over"
"""among the notices of an incident: that it is over is about to be told"""
_LEFT_OUT = "; what was lent is still OUT and must be taken back by hand"


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would be done about a target now, and what speaks against it."""

    observation: Observation
    diagnosis_refused: Refusal | None = None
    plan: Plan | None = None
    diagnosis: Diagnosis | None = None
    cause: str = ""
    advice: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    mode: Mode = Mode.OBSERVE


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything one tick works with."""

    claim: Claim
    target: Target
    remediation: Remediation
    reading: Reading
    now: datetime


@dataclass(frozen=True, slots=True)
class _Next:
    """The record as it shall be saved, and what happened."""

    incident: Incident
    events: tuple[Event, ...] = ()
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class _Back:
    """
    What taking back came to.

    ``over``: nothing of ours is out any more, or it is not ours any more (``superseded``). ``counts``: a try that
    failed. ``needed``: why it stays out, because the target runs on it; ``held``: why it is ours, and cannot go back
    yet.
    """

    incident: Incident
    events: tuple[Event, ...] = ()
    over: bool = True
    superseded: bool = False
    counts: bool = True
    needed: str = ""
    held: str = ""


class _Disbelieved(Exception):
    """The record asks for an undo that its remediation would not make: none is made, and the incident ends."""

    def __init__(self, incident: Incident, why: str) -> None:
        self.incident = incident
        super().__init__(why)


class Engine:
    """Works on incidents, one tick at a time."""

    def __init__(
        self,
        policy: Policy,
        aws: Aws,
        incidents: Incidents,
        acting: Acting,
        notifier: Notifier,
        *,
        quarantine: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._aws = aws
        self._incidents = incidents
        self._acting = acting
        self._notify = notifier
        self._quarantine = quarantine
        self._clock = clock

    # -- the tick ----------------------------------------------------------------------------------------------

    def tick(self, incident_id: str, *, left: timedelta | None = None) -> Incident | None:
        """
        Do what is due for one incident; None where there was nothing to claim, or it is over and people were reminded.

        ``left`` is how long whoever calls may still run, where that is known: nothing is begun shortly before its end.
        Raises StoreUnavailable, Unsent or Fenced: the record then stays as it was, and is taken up again.
        """
        now = self._clock()
        claim = self._incidents.claim(incident_id, now)
        if claim is None:
            return None
        if left is not None:
            claim = replace(claim, killed=now + left)
        try:
            return self._work_on(claim)
        except Fenced:
            raise
        except (StoreUnavailable, Unsent):  # not this record's fault: it does not die of it
            self._incidents.let_go(claim, died=False)
            raise
        except Exception:
            self._incidents.let_go(claim, died=True)
            raise

    def _work_on(self, claim: Claim) -> Incident | None:
        if claim.incident.phase is Phase.CLOSED:
            self._remind(claim)
            return None
        if claim.incident.phase is Phase.ENDING and claim.claims <= DEATHS * 4:
            return self._finish(claim, _last(claim.incident))
        deaths = DEATHS * 4 if claim.incident.lent else DEATHS  # what is out is given up last
        if claim.claims > deaths:
            return self._finish(claim, self._broken(claim, counted=claim.claims == deaths + 1))
        if claim.incident.remediation == loans.NAME:
            return self._finish(claim, self._not_restored(claim.incident))
        target = self.policy.target(claim.incident.target)
        remediation = self.policy.remediations.get(claim.incident.remediation)
        if target is None or remediation is None:
            return self._finish(claim, self._orphaned(claim))
        case = _Case(claim, target, remediation, self._reading(remediation), self._clock())
        observation = self._observe(case)
        incident = _counted(_sighted(claim.incident, observation, remediation), observation, case.now)
        self._relate(case, incident)
        try:
            after = self._stop_switch(case, incident)
            if after is None:
                decision = decide(incident, observation, _pace(remediation), case.now)
                after = self._carry_out(case, incident, observation, decision)
        except _Disbelieved as error:
            why = str(error)
            incident = _ended(error.incident, Verdict.INEFFECTIVE, why)
            after = _closed(incident, Verdict.BROKEN, why, self._clock())
        return self._finish(claim, after)

    def _carry_out(self, case: _Case, incident: Incident, seen: Observation, decision: Decision) -> _Next:
        match decision:
            case Wait(until=until):
                patient = incident.phase is Phase.LEASED and (incident.plan is None or incident.plan.until is None)
                near = min(until, case.now + GIVE_BACK_EVERY) if patient else _next_look(case.now, until)
                return _Next(replace(incident, look_at=near))
            case Propose():
                return self._propose(case, incident, seen)
            case Reconcile():
                return self._reconcile(case, incident)
            case Progressing():
                return self._progress(case, incident, seen)
            case Return():
                return self._give_back(case, incident)
            case Retry():
                return self._again(case, incident, decision)
            case Close():
                return self._close(case, incident, decision)

    def _finish(self, claim: Claim, after: _Next) -> Incident:
        """
        Notify, then record: the other way round a crash in between would make an end that nobody hears of.

        A verdict is written down before it is told, though. Else a crash after the telling would have the next tick
        look again, find another world, and tell another verdict of the same incident.
        """
        before, incident, events = claim.incident, after.incident, after.events
        ends_out = loans.ends_out(incident)
        if ends_out:  # its end is told where what is out would be
            incident = replace(incident, severity=min(incident.severity, Severity.SEV2))
        else:
            self._check_loan(before, incident, events)
        if self._notices(before, incident):
            if incident.phase is Phase.CLOSED and before.phase is not Phase.ENDING:
                self._incidents.checkpoint(claim, replace(incident, phase=Phase.ENDING, look_at=self._clock()), events)
                events = ()
            if ends_out:
                self._check_loan(before, incident, events)
            incident = replace(incident, links=self._incidents.links(incident.id))
            timeline = (*self._incidents.events(incident.id), *events)
            for notice in self._notices(before, incident, timeline):
                self._notify(notice)
                incident = replace(incident, notices=(*incident.notices, notice.key))
        if incident.open:
            turn = next_turn(incident, self.policy)
            if turn is not None and turn.at <= self._clock():
                incident, told = self._tell_level(incident, turn)
                events = (*events, told)
            incident, events = self._tell_update(claim, incident, events)
        else:
            # what is out wants somebody for itself
            incident = replace(incident, remind_at=None if incident.lent else self._again_at(incident))
        self._incidents.save(claim, incident, events, quiet=after.quiet)
        return incident

    def _notices(self, before: Incident, after: Incident, events: Sequence[Event] = ()) -> tuple[Notice, ...]:
        found = transition(before, after, context=self._context(after), events=events)
        return () if any(hold_in_storm(each) for each in found) and self._storm_told() else found

    def _storm_told(self) -> bool:
        """Whether people were told of a storm that lasts: then each hold of its own says nothing new."""
        brake = self._brake()
        return brake is not None and brake.engaged and brake.told

    def _context(self, after: Incident) -> Context:
        remediation = self.policy.remediations.get(after.remediation)
        return Context(
            now=self._clock(),
            mode=self._mode(after),
            title=remediation.title if remediation else loans.TITLE if after.remediation == loans.NAME else "",
            case=inspect.getdoc(inspect.getmodule(type(remediation))) or "" if remediation else "",
            deployment=self.policy.name,
            label=self.policy.label(after.severity),
            respond_within=self.policy.respond_within(after.severity),
            next_update=self._next_update_at(after),
            linked={loans.own_id(after): loans.TITLE} if loans.ends_out(after) else {},
        )

    def _next_update_at(self, incident: Incident) -> datetime | None:
        update = next_update(incident, self.policy, self._clock())
        return update.at if update is not None else None

    # -- telling again -----------------------------------------------------------------------------------------

    def _remind(self, claim: Claim) -> None:
        """
        Tell the next level of an incident that has ended, unless somebody is on it or the target is healthy again.

        Nothing is written to any target, so no switch is asked. A crash after the telling tells twice, not never. What
        ended as ``broken`` may be half made, so there health is no reason to be silent.
        """
        incident = claim.incident
        events: tuple[Event, ...] = ()
        again = self._again_at(incident)
        if claim.claims > DEATHS:  # every try to tell of it has died; its end was told
            again = None
        elif again is not None and incident.remediation == loans.NAME and self._is_back(incident):
            incident, events = self._resolved(claim, "what was lent is back")
            again = None
        elif again is not None and (
            _OVER in incident.notices or (incident.verdict is not Verdict.BROKEN and self._is_healthy(incident))
        ):
            incident, events = self._resolved(claim, "healthy again")
            again = None
        else:
            turn = next_turn(incident, self.policy)
            if turn is not None and turn.at <= self._clock():
                incident, told = self._tell_level(incident, turn)
                events = (told,)
            incident, events = self._tell_update(claim, incident, events)
            again = self._again_at(incident)
        self._incidents.reminded(claim, replace(incident, remind_at=again), events)

    def _again_at(self, incident: Incident) -> datetime | None:
        """When somebody hears again of an incident that has ended: a level, or those who were told first."""
        turn, update = next_turn(incident, self.policy), self._next_update_at(incident)
        return min((at for at in (turn.at if turn else None, update) if at is not None), default=None)

    def _resolved(self, claim: Claim, what: str) -> tuple[Incident, tuple[Event, ...]]:
        """
        It is over: those who were promised updates are told so, nobody else is called.

        That it is over is written down first: who was told so hears no more, though it be sick again when a tick that
        died is made up for.
        """
        incident = claim.incident
        said = Event(self._clock(), "healed", f"{what}: nobody else is told")
        if self._next_update_at(incident) is None:
            return incident, (said,)
        if _OVER not in incident.notices:
            incident = replace(incident, notices=(*incident.notices, _OVER))
            self._incidents.checkpoint(claim, incident)
        timeline = self._incidents.events(incident.id)
        notice = resolved_notice(incident, context=self._context(incident), events=timeline)
        self._notify(notice)
        return replace(incident, notices=(*incident.notices, notice.key)), (said,)

    def _tell_update(
        self, claim: Claim, incident: Incident, events: tuple[Event, ...]
    ) -> tuple[Incident, tuple[Event, ...]]:
        """
        Tell what has changed, where it is time: its number is written down first, so nobody hears twice in one span.

        That it was told is written afterwards: what a lost one would have said, the next one says. ``events`` are those
        that are not written yet; written twice they are the same.
        """
        update = next_update(incident, self.policy, self._clock())
        if update is None or update.at > self._clock():
            return incident, events
        timeline = (*self._incidents.events(incident.id), *events)
        incident = updated(incident, update)
        if not incident.open:
            incident = replace(incident, remind_at=self._again_at(incident))
        self._incidents.checkpoint(claim, incident, events)
        healthy = not incident.open and self._is_healthy(incident)
        context = self._context(incident)
        notice = update_notice(
            incident, incident.notices[-1], update.number, context=context, events=timeline, healthy=healthy
        )
        self._notify(notice)
        said = Event(self._clock(), "updated", f"nobody has said that they are on it: update {update.number} was told")
        return incident, (*events, said)

    def _is_healthy(self, incident: Incident) -> bool:
        return incident.remediation != loans.NAME and self._incidents.seen_healthy(incident)

    # -- what is not back ----------------------------------------------------------------------------------------

    def _check_loan(self, before: Incident, after: Incident, events: Sequence[Event]) -> None:
        """
        Open an incident about a loan that is not back: first of all, so that no end of the loan's own hides it.

        But where that end says it: then once the end is written down, so that it cannot turn out to be another one.
        """
        why = loans.not_back(before, after, events)
        if not why:
            return
        own = loans.not_restored(after, why, self._clock())
        if self._incidents.open_beside(own, Event(own.opened_at, "opened", own.finding.symptom)) or after.decided:
            self._incidents.link(after.id, own.id)

    def _not_restored(self, incident: Incident) -> _Next:
        """
        Tell it, unless it is back meanwhile. Whatever may still be done about it is the loan's own.

        Where that has ended, its report says it, and names this incident: nobody is called twice about one loan.
        """
        loan = self._loan(incident)
        if self._is_back(incident):
            after = _closed(incident, Verdict.RECOVERED, "what was lent is back", self._clock())
        else:
            cause = incident.diagnosis.cause if incident.diagnosis is not None else "nobody knows why"
            if loan is not None and loans.ends_out(loan):
                incident = replace(incident, notices=(*incident.notices, f"closed:{Verdict.ESCALATED.value}"))
                cause = f"{cause} (told with the end of {loan.id})"
            after = _closed(incident, Verdict.ESCALATED, f"what was lent is not back: {cause}", self._clock())
        return replace(after, quiet=False)

    def _loan(self, incident: Incident) -> Incident | None:
        return self._incidents.get(str(incident.scratch.get("loan", "")))

    def _is_back(self, incident: Incident) -> bool:
        loan = self._loan(incident)
        return loan is not None and not loan.lent and bool(given_back(loan))

    def _tell_level(self, incident: Incident, turn: Turn) -> tuple[Incident, Event]:
        timeline = self._incidents.events(incident.id)
        notice = unanswered(incident, turn.level, context=self._context(incident), events=timeline)
        self._notify(notice)
        said = Event(self._clock(), "unanswered", f"nobody has said that they are on it: {turn.level} was told")
        return replace(incident, notices=(*incident.notices, notice.key)), said

    # -- seeing ------------------------------------------------------------------------------------------------

    def _reading(self, remediation: Remediation) -> Reading:
        return Reading(
            self._aws, self._incidents, self.policy, remediation, quarantine=self._quarantine, clock=self._clock
        )

    def _observe(self, case: _Case) -> Observation:
        incident = case.claim.incident
        queries = case.remediation.examine(case.target)
        readings = gather(self._aws, queries, now=case.now)
        kept = incident.phase is Phase.LEASED and case.remediation.asked_for
        if kept or incident.phase in {Phase.SETTLING, Phase.VERIFYING}:
            return _shown(case.remediation.verify(case.target, incident.finding, readings))
        return _shown(case.remediation.recovered(case.target, incident.finding, readings))

    def _stop_switch(self, case: _Case, incident: Incident) -> _Next | None:
        """While a step of ours is still at work, the kill switch must reach it: None where it does not forbid it."""
        if incident.phase is not Phase.SETTLING or not _undoing(incident):
            return None
        switch = self._switch()
        if switch.state is SwitchState.ON:
            return None
        state = switch.state.value if switch.state else "unreadable"
        refusal = Refusal(SWITCH, f"the kill switch is {state}: {switch.reason}", retry_after=EVERY)
        incident = replace(incident, refusal=refusal)
        pause = case.now + EVERY
        back = _Back(incident, over=False, counts=False)
        if switch.state is SwitchState.PAUSED:
            back = self._take_back(case, incident)
            incident = back.incident
            if back.over:
                incident = _ended(self._ledger(case, incident), Verdict.INEFFECTIVE, "stopped by the kill switch")
                return _hold(incident, refusal, case.now, *back.events)
        if case.now >= incident.deadline and incident.lent:  # no end leaves something lent behind
            return self._still_out(case, back, incident, refusal.reason)
        if case.now >= incident.deadline:
            why = f"out of time while {refusal.reason}; what was begun could not be stopped"
            incident = self._ledger(case, incident)
            return _closed(_ended(incident, Verdict.INEFFECTIVE, why), Verdict.ESCALATED, why, case.now, *back.events)
        return _Next(replace(incident, look_at=pause, settle_until=pause), back.events)

    def _switch(self) -> Switch:
        try:
            return self._incidents.switch()
        except StoreUnavailable as error:
            return Switch(None, str(error))

    # -- planning ----------------------------------------------------------------------------------------------

    def _propose(
        self, case: _Case, incident: Incident, seen: Observation, *, step: int = 0, continuing: bool = False
    ) -> _Next:
        """Look, diagnose and plan anew; ask every guardrail; then ask a person, act, wait or give up."""
        finding = seen.finding if isinstance(seen, Sick) else incident.finding
        if incident.lent and not continuing:  # nothing new is begun on top of what is still out
            return self._clear(case, incident)
        off = self._off_again(case, incident)
        if off is not None:
            return self._held(case, incident, off, continuing=continuing)
        try:
            diagnosis = case.remediation.diagnose(case.reading, case.target, finding)
            plan = None if diagnosis.advice else case.remediation.plan(diagnosis)
        except Refused as refused:
            if not continuing:  # what waits may become urgent by waiting
                incident = replace(incident, severity=finding.severity)
            return self._held(case, incident, self._first_cause(case, refused), continuing=continuing)
        except Denied as error:
            return self._close(case, incident, _denied(error, incident))
        except AwsError as error:
            reason = f"the diagnosis could not read: {error}"
            return self._held(case, incident, Refusal("diagnosis", reason, retry_after=EVERY), continuing=continuing)
        if plan is None:
            return self._advise(case, incident, finding, diagnosis, continuing=continuing)
        facts = self._facts(case, incident, plan, continuing=continuing)
        spoken = refusals(facts)
        if isinstance(facts.tags, Mapping):
            incident = replace(incident, owner=owner(facts.tags))
        if not continuing:
            incident = replace(incident, diagnosis=diagnosis, plan=plan, severity=finding.severity)
        if spoken and spoken[0].guard == APPROVAL:
            return self._ask(case, incident, plan)
        if spoken:
            return self._held(case, incident, _with_others(spoken), continuing=continuing)
        return self._act(case, incident, plan, step, first=not continuing)

    def _advise(
        self, case: _Case, incident: Incident, finding: Finding, diagnosis: Diagnosis, *, continuing: bool
    ) -> _Next:
        """
        Hand over what only people can cure: the incident ends with its cause, its evidence and what to do.

        No mode and no switch is asked, because nothing is written. What makes a cure wait makes this wait too: while
        too much is sick at once, people are at work or a release is on trial, the cause may be another one.
        """
        if continuing:  # a cure of ours is under way, and the world is not any more what it was planned for
            why = f"only people can cure what is left: {diagnosis.cause}"
            return self._held(case, incident, Refusal("diagnosis", why), continuing=True)
        spoken = refusals(self._facts(case, incident, _nothing(incident), continuing=False), NOT_NOW)
        wait = spoken[0] if spoken else self._of_another(case.target, diagnosis)
        if wait is not None:
            return self._held(case, incident, wait)
        notes = dict(incident.scratch)
        try:
            diagnosis = case.remediation.detail(case.reading, case.target, diagnosis, notes)
        except Refused as refused:
            return self._held(case, replace(incident, scratch=notes), _refusal(refused))
        except AwsError as error:  # what cannot be read must not keep the rest from being told
            diagnosis = replace(diagnosis, evidence=(*diagnosis.evidence, f"more could not be read: {error}"))
        plan = incident.plan if incident.attempts else None  # what was tried before stays told
        incident = replace(incident, diagnosis=diagnosis, plan=plan, severity=finding.severity, refusal=None)
        return self._close(case, incident, Close(Verdict.ESCALATED, f"only people can cure this: {diagnosis.cause}"))

    def _of_another(self, target: Target, diagnosis: Diagnosis) -> Refusal | None:
        """A cause that another remediation looks after on this very target: it is cured, or told, there."""
        other = self.policy.remediations.get(diagnosis.whose)
        if other is None or not other.takes(target):
            return None
        return waits_for((f"{diagnosis.cause}: {other.name} looks after that", str(target.arn)))

    def _off_again(self, case: _Case, incident: Incident) -> Refusal | None:
        """
        The kill switch, once the cause is known: while it is off, no diagnosis is made every minute.

        The first one is made all the same: the report says what would be done. Mode ``observe`` needs no switch.
        """
        if incident.diagnosis is None or self.policy.mode_for(case.target, case.remediation) is Mode.OBSERVE:
            return None
        switch = self._switch()
        return switched_off(switch.state, switch.reason)

    def _facts(self, case: _Case, incident: Incident, plan: Plan, *, continuing: bool) -> Facts:
        target = case.target
        linked = {str(arn): surroundings.tags_of(self._aws, arn) for arn in _touched(plan, target)}
        tags = surroundings.tags_of(self._aws, target.arn)
        seen = gather(self._aws, surroundings.deployments_to_watch(target), now=case.now)
        lease = self._incidents.lease(str(target.arn), case.now)
        today, this_hour = self._incidents.used(str(target.arn), case.now)
        dollars = self._incidents.dollars(case.now) if plan.dollars else 0.0
        switch = self._switch()
        return Facts(
            now=case.now,
            target=target,
            mode=self._mode_here(case, tags, plan),
            plan=plan,
            planned_hash=incident.plan.hash if continuing and incident.plan else "",
            bounds=self._bounds(target),
            continuing=continuing,
            attempts=len(incident.attempts),
            max_attempts=case.remediation.max_attempts,
            tags=tags,
            linked_tags=linked,
            switch=switch.state,
            switch_reason=switch.reason,
            brake=self._brake(),
            changing=surroundings.changes(self._aws, target, tags, seen, own=not case.remediation.cures_deployments),
            holder=lease.holder if lease.holder != incident.id else None,
            cooldown_until=lease.cooldown_until,
            used_today=today,
            used_this_hour=this_hour,
            per_target_per_day=self.policy.limits.per_target_per_day,
            per_account_per_hour=self.policy.limits.per_account_per_hour,
            dollars_today=dollars,
            dollars_per_action=self.policy.limits.dollars_per_action,
            dollars_per_day=self.policy.limits.dollars_per_day,
            approval=incident.approval,
            cause=None if case.remediation.cures_deployments else self._cause(target),
            calendar=self.policy.calendar,
            freeze_safe=case.remediation.freeze_safe,
            only_in=case.remediation.only_in,
            asked_for=case.remediation.asked_for,
            stopped=self._stopped(target, incident),
            trend=incident.trend if case.remediation.mends_itself else (),
            patience=case.remediation.patience,
        )

    def _relate(self, case: _Case, incident: Incident) -> None:
        """Link what is sick for the first time and a release on trial that may be behind it, whichever came first."""
        if incident.phase is not Phase.OPEN or incident.sick_looks != 1:
            return
        if case.remediation.cures_deployments:
            others = self._incidents.open_on(incident.target)
        else:
            others = tuple(found for found, _, _ in self._trials(case.target))
        for other in others:
            if other != incident.id:
                self._incidents.link(incident.id, other)

    def _cause(self, target: Target) -> tuple[str, str] | None:
        """Why the cause may be a release on trial, and whose: of the target itself, or of what it is linked to."""
        for found, title, arn in self._trials(target):
            return f"incident {found} is about what may be the cause: {title}", str(arn)
        return None

    def _trials(self, target: Target) -> Iterator[tuple[str, str, Arn]]:
        """The open incidents about releases of a target and of what it is linked to: id, title, target."""
        for arn in (target.arn, *target.linked):
            other = self.policy.target(arn)
            for remediation in self.policy.remediations.values() if other is not None else ():
                if remediation.cures_deployments and other is not None and remediation.takes(other):
                    found = self._incidents.open_of(remediation.name, str(arn))
                    if found is not None:
                        yield found, remediation.title, arn

    def _stopped(self, target: Target, own: Incident) -> tuple[str, datetime] | None:
        """Which maintenance has stopped a target, or what it is linked to, and until when: what waits stops nothing."""
        for found, arn in self._maintenance(target):
            incident = self._incidents.get(found) if found != own.id else None
            request = incident.finding.request if incident is not None and incident.lent else None
            if request is not None:
                because = f" ({request.why})" if request.why else ""
                return f"{request.by} has stopped {arn.name}{because}, incident {found},", request.until
        return None

    def _maintenance(self, target: Target) -> Iterator[tuple[str, Arn]]:
        """The open incidents that people have asked for, of a target and of what it is linked to: id, target."""
        for arn in (target.arn, *target.linked):
            other = self.policy.target(arn)
            for remediation in self.policy.remediations.values() if other is not None else ():
                if remediation.asked_for and other is not None and remediation.takes(other):
                    found = self._incidents.open_of(remediation.name, str(arn))
                    if found is not None:
                        yield found, arn

    def _first_cause(self, case: _Case, refused: Refused) -> Refusal:
        """What holds it up: a release on trial, where there is one, before anything else that may be over later."""
        said = _refusal(refused)
        if said.retry_after is None or case.remediation.cures_deployments:
            return said
        return waits_for(self._cause(case.target)) or said

    def _mode_here(self, case: _Case, tags: Mapping[str, str] | Unread, plan: Plan) -> Mode:
        """How far it may go: what asks, or takes a tag of its own to be free, asks a person where the tag is not."""
        mode, tag = self.policy.mode_for(case.target, case.remediation), case.remediation.auto_tag
        free = not plan.asks and (not tag or (isinstance(tags, Mapping) and tags.get(tag) == "enabled"))
        return mode if free or mode is not Mode.AUTO else Mode.APPROVE

    def _brake(self) -> Brake | None:
        try:
            return self._incidents.brake()
        except StoreUnavailable:
            return None

    def _bounds(self, target: Target) -> tuple[str, ...]:
        """The ARNs that a plan may touch: the target, its parts, what it names, and where letters are stored."""
        bucket = f"arn:{target.arn.partition}:s3:::{self._quarantine}/*"
        named = (target.arn, *target.linked, *target.roles)
        return (*map(str, named), *_parts(target), bucket)

    def _held(self, case: _Case, incident: Incident, refusal: Refusal, *, continuing: bool = False) -> _Next:
        """A guardrail said "later" (the incident waits, and looks again) or "never" (it ends here)."""
        if refusal.link is not None:
            for other in self._incidents.open_on(refusal.link):
                if other != incident.id:  # what must heal first may be another failure of the same target
                    self._incidents.link(incident.id, other)
        if refusal.retry_after is not None:
            return _pause(incident, refusal, case.now) if continuing else _hold(incident, refusal, case.now)
        incident = replace(incident, refusal=refusal)
        if not continuing:
            return self._close(case, incident, Close(Verdict.REFUSED, refusal.reason))
        incident, events = self._halt(case, incident)
        why = f"stopped half-way by {refusal.guard}: {refusal.reason}"
        closed = self._close(case, incident, Close(Verdict.ESCALATED, why, attempt=Verdict.INEFFECTIVE))
        return replace(closed, events=(*events, *closed.events))

    def _ask(self, case: _Case, incident: Incident, plan: Plan) -> _Next:
        """Ask a person, once per plan: the question is bound to the plan's hash and expires."""
        asked = incident.approval
        if asked is not None and asked.plan_hash == plan.hash and not asked.answer and case.now < asked.expires_at:
            return _Next(replace(incident, phase=Phase.AWAITING, look_at=case.now + EVERY))
        expires = min(case.now + self.policy.limits.approval_expiry, max(incident.deadline, case.now + EVERY))
        question = Approval(plan.hash, asked_at=case.now, expires_at=expires)
        incident = replace(
            incident,
            phase=Phase.AWAITING,
            approval=question,
            refusal=None,
            hold_until=None,
            look_at=case.now + EVERY,
            notices=tuple(key for key in incident.notices if key != asking_key(plan.hash)),  # asked aloud, once more
        )
        return _Next(incident, (Event(case.now, "asked", f"asked for approval of plan {plan.hash}: {plan.summary}"),))

    # -- acting ------------------------------------------------------------------------------------------------

    def _act(self, case: _Case, incident: Incident, plan: Plan, number: int, *, first: bool) -> _Next:
        step = plan.steps[number]
        before = incident
        attempts = incident.attempts
        if first:
            attempts = (*attempts, Attempt(len(attempts) + 1, plan.hash, case.now))
        controls = self._controls(case) if first else incident.controls
        deadline = case.now + step.settle + case.remediation.patience
        approval = incident.approval and replace(incident.approval, used_at=incident.approval.used_at or case.now)
        incident = replace(
            incident,
            phase=Phase.ACTING,
            step=number,
            attempts=attempts,
            intent=Intent(len(attempts), number, plan.hash, case.now, deadline),
            approval=approval,
            lent=incident.lent or plan.lease is not None,
            controls=controls,
            refusal=None,
            hold_until=None,
            look_at=case.claim.until,
            scratch=_untried(incident) if first else incident.scratch,
        )
        event = Event(case.now, "intent", f"attempt {len(attempts)}, step {step.name}: {step.why or plan.summary}")
        refusal = self._incidents.intend(
            case.claim,
            incident,
            (event,),
            now=case.now,
            hold=step.settle + case.remediation.patience + _HOUR + (plan.lease or timedelta(0)),
            cooldown=case.remediation.cooldown,
            per_target_per_day=self.policy.limits.per_target_per_day,
            per_account_per_hour=self.policy.limits.per_account_per_hour,
            dollars=plan.dollars or 0.0,
            dollars_per_day=self.policy.limits.dollars_per_day,
            first=first,
        )
        if refusal is not None:
            return self._held(case, before, refusal, continuing=not first)
        done = self._acting.perform(case.remediation, case.claim, incident, plan, step)
        incident = _recorded(incident, done)
        if done.records:  # what was done is written down before anything else, also where our time is over
            self._incidents.checkpoint(case.claim, incident)
        return self._acted(case, incident, step, done, first=first)

    def _acted(self, case: _Case, incident: Incident, step: Step, done: Done, *, first: bool) -> _Next:
        """What a step's calls came to: go on, find out, wait, or take back and give up."""
        now = self._clock()
        said = Event(now, "acted", _told(step, done))
        error = done.error
        if error is None:
            settle = now + step.settle
            return _Next(
                replace(
                    incident, phase=Phase.SETTLING, intent=None, settle_until=settle, look_at=_next_look(now, settle)
                ),
                (said,),
            )
        if isinstance(error, Fenced):
            raise error
        if isinstance(error, Ambiguous):  # leave the intent: the next tick describes reality
            return _Next(replace(incident, look_at=now + LATE), (said,))
        later = None
        if isinstance(error, Stopped):
            later = Refusal(SWITCH, str(error), retry_after=EVERY)
        elif isinstance(error, Unreadable) or kept_out(error):
            later = Refusal("throttled" if throttled(error) else "unreachable", str(error), retry_after=EVERY * 2)
        if later is not None and not first:  # an attempt is under way: it goes on, or the kill switch ends it
            return _pause(replace(incident, intent=None), later, now, said)
        if later is not None and not done.changed:
            return _hold(self._not_done(incident), later, now, said)
        if isinstance(error, Stopped):
            back = self._take_back(case, incident)
            incident = _ended(back.incident, Verdict.INEFFECTIVE, str(error))
            return _hold(incident, Refusal(SWITCH, str(error), retry_after=EVERY), now, said, *back.events)
        incident = replace(incident, intent=None, lent=incident.lent and (not first or done.changed))
        incident, events = self._halt(case, incident) if done.changed else (incident, ())
        ended: Close | Retry
        if isinstance(error, Denied):
            ended = _denied(error, incident)
        else:
            ended = deciding.failed(incident, _pace(case.remediation), now, str(error))
        return self._end(case, incident, ended, said, *events)

    def _end(self, case: _Case, incident: Incident, ended: Close | Retry, *events: Event) -> _Next:
        """The attempt is over, and with it perhaps the incident."""
        after = self._again(case, incident, ended) if isinstance(ended, Retry) else self._close(case, incident, ended)
        return replace(after, events=(*events, *after.events))

    def _reconcile(self, case: _Case, incident: Incident) -> _Next:
        """Finish an intent without an outcome by describing reality. What cannot be told counts as done."""
        intent = incident.intent
        plan = incident.plan
        if intent is None or plan is None:  # nothing was intended: nothing to finish
            return _Next(replace(incident, phase=Phase.OPEN, intent=None, look_at=case.now + EVERY))
        if intent.undo:  # what it had begun was being taken back: that is gone on with, and no call of the step's
            incident = replace(incident, phase=Phase.SETTLING)
            return self._stop(case, incident, "a step ended early, and a tick died while it was taken back")
        if case.now < intent.written_at + LATE:
            return _Next(replace(incident, look_at=intent.written_at + LATE))
        step = plan.steps[intent.step]
        earlier = _changed_by(incident, step.name)
        incident, found = self._found(case, incident, step.name, step.calls)
        text = "; ".join(f"{record.action}: {record.outcome.value}" for record in found) or "all calls are known"
        event = Event(case.now, "reconciled", f"step {step.name} ended without an answer; found by looking: {text}")
        if not _changed_by(incident):
            return _Next(_reopened(self._not_done(incident), case.now), (event,))
        settle = intent.written_at + step.settle
        if not _changed_by(incident, step.name) and not earlier:  # the step before was made, this one was not
            incident, settle = replace(incident, step=max(intent.step - 1, 0)), case.now
        incident = replace(incident, phase=Phase.SETTLING, intent=None, settle_until=settle)
        return _Next(replace(incident, look_at=_next_look(case.now, settle)), (event,))

    def _found(
        self, case: _Case, incident: Incident, step: str, calls: Sequence[Call]
    ) -> tuple[Incident, tuple[CallRecord, ...]]:
        """What reality says about the calls of an intent whose outcome nobody learned."""
        intent = incident.intent
        if intent is None:
            return incident, ()
        records = list(incident.calls)
        found = []
        for call in calls:
            if _key(call) in intent.known:
                continue
            try:
                outcome = case.remediation.reconcile(case.reading, call, intent.written_at)
            except (AwsError, Refused):
                outcome = Outcome.UNKNOWN
            record = CallRecord(
                at=case.now,
                step=step,
                action=call.action,
                resource=call.resource,
                outcome=outcome,
                before=call.before,
                error="its answer was lost; this is what was found by looking",
                about=call.about,
            )
            found.append(record)
            same = [old for old in records if _unclear(old, record, since=intent.written_at)]
            if same and outcome is Outcome.UNKNOWN:
                continue
            records = [*(old for old in records if old not in same), record]
        return replace(incident, calls=tuple(records)), tuple(found)

    def _not_done(self, incident: Incident) -> Incident:
        """An attempt that certainly did not happen is not counted, and leaves no cooldown; its budget stays spent."""
        self._incidents.uncool(incident)
        return replace(incident, attempts=incident.attempts[:-1], intent=None, lent=False)

    # -- with a control ------------------------------------------------------------------------------------------

    def _controls(self, case: _Case) -> tuple[str, ...]:
        """
        Targets of the same system that are sick in the same way now, and that nobody of us has touched today.

        None of what people have asked for: that says nothing of it elsewhere. What is linked with the target is none of
        them, either: it heals with it.
        """
        if case.remediation.asked_for:
            return ()
        ours = {case.target.arn, *case.target.linked}
        peers = [
            each
            for each in self.policy.targets
            if each.group == case.target.group
            and each.arn not in ours
            and case.target.arn not in each.linked
            and case.remediation.takes(each)
        ]
        sick = (each for each in peers[:_PEERS] if self._sick_lately(case, each))
        return tuple(str(each.arn) for each in islice(filter(self._untreated, sick), _CONTROLS))

    def _sick_lately(self, case: _Case, target: Target) -> bool:
        """Whether it fell sick, or was let go of, so late that it may be for the same cause."""
        since = self._incidents.sick_since(case.remediation.name, str(target.arn))
        return since is not None and since >= case.now - _HOUR

    def _untreated(self, target: Target) -> bool:
        now, arn = self._clock(), str(target.arn)
        days = {at.date(): at for at in (now - _HOUR, now)}  # shortly after midnight, yesterday's treatments count too
        untouched = all(self._incidents.used(arn, at)[0] == 0 for at in days.values())
        return untouched and self._incidents.lease(arn, now).holder is None

    def _compared(self, case: _Case, incident: Incident, close: Close) -> Close:
        """
        What the untreated say of a cure that seems to have worked.

        Where every one of them that can be seen is healthy, too, the cause has gone by itself, and this is no cure.
        """
        peers = [peer for arn in incident.controls if (peer := self.policy.target(arn)) is not None]
        seen = [
            _shown(case.remediation.detect(peer, gather(self._aws, case.remediation.examine(peer), now=case.now)))
            for peer in peers
            if self._untreated(peer)
        ]
        well, sick = (sum(isinstance(each, kind) for each in seen) for kind in (Healthy, Sick))
        if sick:
            return replace(
                close, why=f"{close.why}; of {well + sick} like it that were left alone {sick} are still sick"
            )
        if not well:
            return close
        why = f"{close.why}; but so are all {well} that were sick like it and were left alone"
        return Close(Verdict.RECOVERED, why, attempt=Verdict.UNVERIFIABLE)

    # -- while it settles, and afterwards ------------------------------------------------------------------------

    def _progress(self, case: _Case, incident: Incident, seen: Observation) -> _Next:
        plan = incident.plan
        if plan is None:  # a record that settles without a plan: look whether it is healthy
            return _Next(self._verifying(case, incident))
        step = plan.steps[incident.step]
        overdue = case.now >= incident.deadline
        try:
            progress, why, ledger = case.remediation.progress(case.reading, plan, step, incident.scratch)
        except Refused as refused:
            if overdue:
                return self._stop(case, incident, f"out of time, held by {refused.guard}: {refused.reason}")
            return self._held(case, incident, _refusal(refused), continuing=True)
        except AwsError as error:
            progress, why, ledger = Progress.WAIT, f"cannot be seen: {error}", None
        if ledger is not None:
            incident = replace(incident, ledger=ledger)
        over = progress is Progress.NEXT and (incident.step + 1 >= len(plan.steps) or isinstance(seen, Healthy))
        event = Event(case.now, "settled", f"step {step.name}: {why}")
        if over:
            return _Next(self._verifying(case, incident), (event,))
        if progress is Progress.STOP or overdue:
            return self._stop(case, incident, why if progress is Progress.STOP else f"out of time: {why}")
        if progress is Progress.WAIT or isinstance(seen, Unknown):  # what cannot be seen is not acted on
            pause = case.now + EVERY
            return _Next(replace(incident, settle_until=pause, look_at=pause))
        number = incident.step if progress is Progress.AGAIN else incident.step + 1
        after = self._propose(case, incident, seen, step=number, continuing=True)
        return replace(after, events=(event, *after.events)) if after.incident.step > incident.step else after

    def _verifying(self, case: _Case, incident: Incident) -> Incident:
        return replace(
            incident,
            phase=Phase.VERIFYING,
            settle_until=None,
            refusal=None,
            verify_until=case.now + case.remediation.patience,
            healthy_looks=0,
            sick_looks=0,
            unknown_looks=0,
            look_at=case.now + EVERY,
        )

    def _stop(self, case: _Case, incident: Incident, why: str) -> _Next:
        """What we do does harm or no good: stop it, take it back, and count the attempt as ineffective."""
        back = self._take_back(case, incident) if not incident.lent else _Back(incident)
        if not back.over and case.now < incident.deadline:  # it may still be at work: stop it first
            pause = case.now + EVERY
            return _Next(replace(back.incident, settle_until=pause, look_at=pause), back.events)
        ended = deciding.failed(back.incident, _pace(case.remediation), case.now, why)
        return self._end(case, back.incident, ended, *back.events)

    def _halt(self, case: _Case, incident: Incident) -> tuple[Incident, tuple[Event, ...]]:
        """Stop what may be at work; what was lent is taken back when the attempt ends."""
        if incident.lent:
            return incident, ()
        back = self._take_back(case, incident)
        return back.incident, back.events

    def _take_back(self, case: _Case, incident: Incident) -> _Back:
        """
        Make the undo calls of what is out, the last step's first, where what was changed is still ours.

        An intent is written before, as for every other write: a crash in between is found out, not taken for somebody
        else's doing.
        """
        if incident.plan is None or not _undoing(incident):
            return _Back(replace(incident, lent=False))
        plan = self._believed(case, incident, incident.plan)
        calls = _undoing(replace(incident, plan=plan))
        now = self._clock()
        name = plan.steps[incident.step].name
        died = incident.intent if incident.intent is not None and incident.intent.undo else None
        try:
            ours = self._ours(case, plan)
        except Refused as refused:
            return _Back(incident, over=False, counts=False, held=refused.reason)
        if died is not None:
            if now < died.written_at + LATE:
                return _Back(incident, over=False, counts=False)
            incident, _ = self._found(case, incident, f"undo {name}", calls)
            incident = replace(incident, intent=None)
            outcomes = {_outcome(incident, f"undo {name}", call) for call in calls}
            if outcomes == {Outcome.DONE} or (ours is False and Outcome.NOT_DONE not in outcomes):
                text = f"undo of step {name}: its answer was lost; found by looking: it is no longer what we had set"
                return _Back(replace(incident, lent=False), (Event(now, "undone", text),))
        if ours is False:
            event = Event(now, "superseded", "somebody else has changed it since: left as it is")
            return _Back(replace(incident, lent=False), (event,), superseded=True)
        if ours is None and incident.lent:
            return _Back(incident, (), over=False)
        if incident.lent and (kept := self._kept(case, incident, plan)) is not None:
            return kept
        incident = replace(
            incident,
            intent=Intent(len(incident.attempts), incident.step, plan.hash, now, case.claim.until, undo=True),
        )
        self._incidents.checkpoint(case.claim, incident)
        undo = Step(name, (), timedelta(0), undo=calls)
        done = self._acting.undo(case.remediation, case.claim, incident, plan, undo)
        incident = _recorded(incident, done)
        if done.records:
            self._incidents.checkpoint(case.claim, incident)
        if isinstance(done.error, Fenced):
            raise done.error
        if not isinstance(done.error, Ambiguous):
            incident = replace(incident, intent=None)
        text = f"undo of step {name}: " + ("done" if done.error is None else str(done.error))
        event = Event(self._clock(), "undone", text)
        if done.error is None:
            return _Back(replace(incident, lent=False), (event,))
        stopped = isinstance(done.error, Stopped)
        passing = stopped or isinstance(done.error, Ambiguous | Unreadable) or kept_out(done.error)
        return _Back(incident, (event,), over=not incident.lent and not passing, counts=not stopped)

    def _kept(self, case: _Case, incident: Incident, plan: Plan) -> _Back | None:
        """What is lent and stays out for now, and why; None where it may go back."""
        try:
            why = needed = case.remediation.still_needed(case.reading, plan)
        except AwsError as error:  # that nobody can tell now is a reason to leave it, and none to give up
            why, needed = f"it cannot be told whether it is still needed: {error}", ""
        if not why:
            return None
        event = Event(self._clock(), "kept", f"what was lent stays out: {why}")
        return _Back(incident, (event,), over=False, needed=needed)

    def _believed(self, case: _Case, incident: Incident, recorded: Plan) -> Plan:
        """
        The plan that is undone: as the remediation makes it from the record's diagnosis, not as the record has it.

        Raises _Disbelieved where the record's own would undo anything else.
        """
        planned = _planned_again(case.remediation, incident)
        why = undo_refused(incident.target, recorded, planned, _out(incident), self._bounds(case.target))
        if planned is not None and why is None:
            return planned
        why = f"the record asks for an undo that is refused: {why}; nothing was undone"
        still = _LEFT_OUT if incident.lent else "; what was begun may still be at work, and must be stopped by hand"
        raise _Disbelieved(incident, f"{why}{still}, once the account's trail shows that it was ours")

    def _clear(self, case: _Case, incident: Incident) -> _Next:
        """Take back what is still out before anything else is begun."""
        back = self._take_back(case, incident)
        if back.over:
            hold = case.now + AFTER_UNDO if back.events else back.incident.hold_until
            return _Next(replace(back.incident, look_at=case.now + EVERY, hold_until=hold), back.events)
        return self._still_out(case, back, incident)

    def _still_out(
        self, case: _Case, back: _Back, incident: Incident, said: str = "it cannot be told whether it is still ours"
    ) -> _Next:
        """Something lent could not be taken back now: stay, say so, try again; after so many times a person must."""
        incident = back.incident
        overdue = case.now >= (incident.lease_ends or incident.deadline) + _HELD_FOR
        tries = int(incident.scratch.get(_TRIES, 0)) + (back.counts or (bool(back.held) and overdue))
        said = back.needed or (back.events[-1].text if back.events else back.held or said)
        incident = replace(incident, scratch={**incident.scratch, _TRIES: tries})
        if tries >= GIVE_BACK_TRIES:
            why = f"what was lent could NOT be given back: {said}"
            if back.needed:
                why = f"what was lent was NOT given back: {said}; make it permanent, or take it back by hand"
            why = f"{incident.why}; {why}" if incident.why else why
            return _closed(_ended(incident, Verdict.INEFFECTIVE, why), Verdict.ESCALATED, why, case.now, *back.events)
        pause = case.now + GIVE_BACK_EVERY
        phase = incident.phase
        if phase in {Phase.ACTING, Phase.SETTLING}:
            phase = Phase.VERIFYING
        refusal = Refusal(GIVE_BACK, said, retry_after=GIVE_BACK_EVERY)
        stay = replace(incident, phase=phase, refusal=refusal, hold_until=None, settle_until=None, look_at=pause)
        if phase is Phase.VERIFYING:
            stay = replace(stay, verify_until=case.now)
        return _Next(stay, back.events)

    def _ours(self, case: _Case, plan: Plan) -> bool | None:
        try:
            return case.remediation.still_ours(case.reading, plan)
        except AwsError:
            return None

    def _again(self, case: _Case, incident: Incident, retry: Retry) -> _Next:
        back = self._take_back(case, incident) if incident.lent else _Back(incident)
        if not back.over:
            return self._still_out(case, back, incident)
        incident = _ended(self._ledger(case, back.incident), retry.attempt, retry.why)
        number = len(incident.attempts)
        event = Event(case.now, "ineffective", f"attempt {number}: {retry.why}")
        after = _reopened(incident, case.now)
        if back.events:  # what AWS says of it now may still be what we had lent: that must not become "before"
            after = replace(after, hold_until=case.now + AFTER_UNDO)
        return _Next(after, (*back.events, event))

    def _close(self, case: _Case, incident: Incident, close: Close) -> _Next:
        now = self._clock()
        incident = self._ledger(case, incident)
        if close.verdict is Verdict.FIXED and incident.lent and _undo_intent(incident) is not None:
            why = f"{close.why}; but what was lent may have been taken back before"
            close = Close(Verdict.RECOVERED, why, attempt=Verdict.UNVERIFIABLE)
        if close.verdict is Verdict.FIXED:
            close = self._compared(case, incident, close)
        if close.verdict in _WELL:
            close = self._not_lost(case, incident, close)
        if incident.lent and close.verdict is Verdict.FIXED and incident.plan is not None:
            plan = incident.plan
            ends = plan.until or _began(incident) + (plan.lease or timedelta(0))
            incident = _ended(incident, Verdict.FIXED, close.why)
            leased = replace(
                incident,
                phase=Phase.LEASED,
                verdict=close.verdict,
                why=close.why,
                refusal=None,
                scratch=_untried(incident),
                lease_ends=ends,
                look_at=_next_look(now, ends),
                healthy_looks=0,
                sick_looks=0,
                unknown_looks=0,
            )
            event = Event(now, "leased", f"fixed; what was lent is out until {ends:%Y-%m-%d %H:%M} UTC")
            return _Next(leased, (event,))
        back = self._take_back(case, incident) if incident.lent else _Back(incident)
        if back.needed and close.verdict is not Verdict.RECOVERED:  # nobody waits for people to be told of that
            why = f"{close.why}; what was lent was left: {back.needed}"
            return _closed(_ended(incident, Verdict.INEFFECTIVE, close.why), Verdict.ESCALATED, why, now, *back.events)
        if not back.over:
            return self._still_out(case, back, incident)
        verdict, why = close.verdict, close.why
        if incident.lent and back.superseded:
            why = f"{why}; what was lent had been changed by somebody else and was left"
        elif incident.lent and verdict is Verdict.ESCALATED:
            verdict = Verdict.REVERTED
        incident = back.incident
        if close.attempt is not None:
            incident = _ended(incident, close.attempt, close.why)
        return _closed(incident, verdict, why, self._clock(), *back.events)

    def _not_lost(self, case: _Case, incident: Incident, close: Close) -> Close:
        """
        What is gone because it was lost has not recovered, nor was it fixed, whatever became of the rest.

        Where that cannot be told, nobody says that it has.
        """
        try:
            lost = case.remediation.lost(case.reading, case.target, incident)
        except AwsError as error:
            why = f"{close.why}; but whether anything was lost cannot be read: {error}"
            return replace(close, verdict=Verdict.UNVERIFIABLE, why=why)
        if not lost:
            return close
        why = f"{close.why}; but {lost}" if close.verdict is Verdict.FIXED else lost
        return replace(close, verdict=Verdict.ESCALATED, why=why)

    def _give_back(self, case: _Case, incident: Incident) -> _Next:
        """The lease is over: put back what was there, if it is still ours to put back."""
        back = self._take_back(case, incident)
        if not back.over:
            return self._still_out(case, back, incident)
        why, verdict, incident = incident.why, incident.verdict or Verdict.BROKEN, back.incident
        word, asked_for = incident.recalled, case.remediation.asked_for
        if word is not None:
            ended = f"ended by {word.by}{f': {word.why}' if word.why else ''}"
            why = ended if asked_for else f"{why}; {ended}"
        if back.superseded:
            why = f"{why}; what was lent had been changed by somebody else and was left"
        elif asked_for and word is None:  # who asked for it has not come back: people hear of that
            why = "nobody has ended it, so it was taken back at its end: whoever works on it must know"
            incident, verdict = replace(incident, severity=Severity.SEV2), Verdict.ESCALATED
        return _closed(incident, verdict, why, self._clock(), *back.events)

    def _ledger(self, case: _Case, incident: Incident) -> Incident:
        """Where the messages are, in the end. What cannot be read is told as it was last known."""
        if not incident.attempts or incident.plan is None:
            return incident
        try:
            ledger = case.remediation.settle_ledger(case.reading, case.target, incident)
        except (AwsError, StoreUnavailable):
            return incident
        return replace(incident, ledger=ledger)

    # -- ends that need no remediation ---------------------------------------------------------------------------

    def _broken(self, claim: Claim, *, counted: bool) -> _Next:
        """
        Given up: no tick gets through with this record.

        What was moved is ``counted`` once more, because what a tick that died had not saved stands in the counters
        alone; where this tick dies of that, too, the next one does without.
        """
        incident = claim.incident
        target, remediation = self.policy.target(incident.target), self.policy.remediations.get(incident.remediation)
        if counted and target is not None and remediation is not None:
            case = _Case(claim, target, remediation, self._reading(remediation), self._clock())
            incident = self._ledger(case, incident)
        why = f"{claim.claims - 1} ticks in a row died on this record; the last known phase was {incident.phase.value}"
        why += _LEFT_OUT if incident.lent else ""
        return _closed(_ended(incident, Verdict.UNVERIFIABLE, why), Verdict.BROKEN, why, self._clock())

    def _orphaned(self, claim: Claim) -> _Next:
        why = "the target or its remediation is no longer in the configuration"
        why += _LEFT_OUT if claim.incident.lent else ""
        refusal = Refusal("registered", why)
        verdict = Verdict.REFUSED if not claim.incident.attempts else Verdict.ESCALATED
        incident = _ended(replace(claim.incident, refusal=refusal), Verdict.UNVERIFIABLE, why)
        return _closed(incident, verdict, why, self._clock())

    # -- asking ahead ------------------------------------------------------------------------------------------

    def explain(self, target: Target, remediation: Remediation, asked: Finding | None = None) -> Explanation:
        """
        What would be done about a target now, and which guardrails would speak. Writes nothing.

        ``asked``: not about what is seen, but about what a person asks for.
        """
        now = self._clock()
        reading = self._reading(remediation)
        readings = gather(self._aws, remediation.examine(target), now=now)
        seen = remediation.recovered(target, asked, readings) if asked else remediation.detect(target, readings)
        mode = self.policy.mode_for(target, remediation)
        if not isinstance(seen, Sick):
            return Explanation(seen, mode=mode)
        try:
            diagnosis = remediation.diagnose(reading, target, seen.finding)
        except Refused as refused:
            return Explanation(seen, diagnosis_refused=_refusal(refused), mode=mode)
        except AwsError as error:
            return Explanation(seen, diagnosis_refused=Refusal("diagnosis", str(error)), mode=mode)
        plan = None if diagnosis.advice else remediation.plan(diagnosis)
        blank = Incident(
            id="explain",
            remediation=remediation.name,
            target=str(target.arn),
            group=target.group,
            opened_at=now,
            look_at=now,
            deadline=now + remediation.deadline,
            finding=seen.finding,
        )
        case = _Case(Claim(blank, 0, 0, now), target, remediation, reading, now)
        facts = self._facts(case, blank, plan or _nothing(blank), continuing=False)
        spoken = refusals(facts) if plan else refusals(facts, NOT_NOW)
        return Explanation(
            seen,
            plan=plan,
            diagnosis=diagnosis,
            cause=diagnosis.cause,
            advice=diagnosis.advice,
            refusals=spoken,
            mode=mode,
        )

    def _mode(self, incident: Incident) -> Mode:
        target = self.policy.target(incident.target)
        remediation = self.policy.remediations.get(incident.remediation)
        return self.policy.mode_for(target, remediation) if target and remediation else Mode.OBSERVE


# -- small pure pieces ---------------------------------------------------------------------------------------------


def _pace(remediation: Remediation) -> Pace:
    return Pace(remediation.confirm, remediation.looks, remediation.max_attempts, EVERY)


def _shown(seen: Observation) -> Observation:
    """What a look shows of something that was sick: that nothing happened since is no health."""
    return Unknown(seen.summary) if isinstance(seen, Healthy) and seen.idle else seen


def _counted(incident: Incident, seen: Observation, now: datetime) -> Incident:
    """The record with this look counted: runs of equal looks, so one look of another kind starts again."""
    match seen:
        case Healthy():
            return replace(incident, healthy_looks=incident.healthy_looks + 1, sick_looks=0, unknown_looks=0, trend=())
        case Sick():
            trend = _trend(incident, seen.finding, now)
            return replace(incident, healthy_looks=0, sick_looks=incident.sick_looks + 1, unknown_looks=0, trend=trend)
        case Unknown():
            return replace(incident, healthy_looks=0, unknown_looks=incident.unknown_looks + 1, trend=())


def _sighted(incident: Incident, seen: Observation, remediation: Remediation) -> Incident:
    """An incident about what could not be seen becomes one about what is seen: with its finding, and its time."""
    if not isinstance(seen, Sick) or not incident.scratch.get("blind"):
        return incident
    notes = {name: value for name, value in incident.scratch.items() if name != "blind"}
    ends = max(incident.deadline, incident.opened_at + remediation.deadline)
    finding = seen.finding
    return replace(incident, finding=finding, severity=finding.severity, deadline=ends, scratch=notes)


def _trend(incident: Incident, finding: Finding, now: datetime) -> tuple[Look, ...]:
    """What the newest looks measured. Two in one minute see the same metrics, so they are one."""
    if incident.phase not in {Phase.OPEN, Phase.AWAITING}:  # what is seen now may be our doing
        return ()
    looks = incident.trend
    if not looks and incident.sick_looks == 0 and not incident.attempts and incident.finding.signals:
        first = incident.finding.signals[0]
        looks = (Look(incident.opened_at, first.value, first.threshold),)
    if finding.signals and (not looks or now - looks[-1].at >= EVERY / 2):
        looks = (*looks, Look(now, finding.signals[0].value, finding.signals[0].threshold))
    return looks[-_LOOKS:]


def _nothing(incident: Incident) -> Plan:
    """The plan to do nothing, for asking what holds also that up."""
    return Plan(incident.remediation, incident.target, summary="", steps=(), risk="", undo_by_hand="")


def _refusal(refused: Refused) -> Refusal:
    return Refusal(refused.guard, refused.reason, refused.numbers, refused.retry_after, refused.link)


def _with_others(spoken: Sequence[Refusal]) -> Refusal:
    """The first refusal, which says in observe mode what else would have held the plan back."""
    first, *others = spoken
    others = [other for other in others if other.guard != APPROVAL]
    if first.guard != MODE or not others:
        return first
    also = "; ".join(f"{other.guard}: {other.reason}" for other in others)
    return replace(first, reason=f"{first.reason}; besides, it would have been held by {also}")


def _hold(incident: Incident, refusal: Refusal, now: datetime, *events: Event) -> _Next:
    """Wait where we are (or before the first step), look every minute, ask the guardrails again when they said."""
    again = now + (refusal.retry_after or EVERY)
    phase = Phase.AWAITING if incident.phase is Phase.AWAITING else Phase.OPEN
    held = replace(
        incident,
        phase=phase,
        intent=_undo_intent(incident),
        settle_until=None,
        refusal=refusal,
        hold_until=again,
        look_at=now + EVERY,
    )
    return _Next(held, (*events, *_changed(incident.refusal, refusal, now)))


def _untried(incident: Incident) -> dict[str, Any]:
    """The notes of an incident as they are before the first try to give back."""
    return {name: value for name, value in incident.scratch.items() if name != _TRIES}


def _undo_intent(incident: Incident) -> Intent | None:
    """An intent to take back whose outcome is open stays open; any other has ended."""
    return incident.intent if incident.intent is not None and incident.intent.undo else None


def _pause(incident: Incident, refusal: Refusal, now: datetime, *events: Event) -> _Next:
    """Between two steps of an attempt: stay there, and ask again."""
    again = now + min(refusal.retry_after or EVERY, timedelta(minutes=5))
    held = replace(incident, phase=Phase.SETTLING, refusal=refusal, settle_until=again, look_at=now + EVERY)
    return _Next(held, (*events, *_changed(incident.refusal, refusal, now)))


def _began(incident: Incident) -> datetime:
    """When the attempt under way began."""
    return incident.attempts[-1].started_at if incident.attempts else incident.opened_at


def _changed_by(incident: Incident, step: str | None = None) -> bool:
    """Whether the attempt under way (or one step of it) may have changed anything."""
    return any(
        record.at >= _began(incident) and record.outcome is not Outcome.NOT_DONE and step in {None, record.step}
        for record in incident.calls
    )


def _outcome(incident: Incident, step: str, call: Call) -> Outcome:
    """What is known of a call of the attempt under way: done if it ever was."""
    outcomes = {
        record.outcome
        for record in incident.calls
        if record.at >= _began(incident) and record.step == step and record.tells_of(call)
    }
    return next((each for each in (Outcome.DONE, Outcome.UNKNOWN) if each in outcomes), Outcome.NOT_DONE)


def _unclear(old: CallRecord, found: CallRecord, *, since: datetime) -> bool:
    """Whether ``old`` says, of the same intent, that nobody knows what ``found`` now tells."""
    same = old.step == found.step and old.tells_of(found)
    return same and old.at >= since and old.outcome is Outcome.UNKNOWN


def _undoing(incident: Incident) -> tuple[Call, ...]:
    """The calls that take back what is out: of every step made where it was lent, else of the step under way."""
    if incident.plan is None:
        return ()
    steps = reversed(incident.plan.steps[_out(incident)])
    return tuple(call for step in steps for call in step.undo if not _never_made(incident, step, call))


def _never_made(incident: Incident, step: Step, call: Call) -> bool:
    """Whether what an undo call would take back was certainly not done: AWS refused it, and may refuse this, too."""
    outcomes = {
        record.outcome
        for record in incident.calls
        if record.at >= _began(incident) and record.step == step.name and record.tells_of(call)
    }
    return outcomes == {Outcome.NOT_DONE}


def _out(incident: Incident) -> slice:
    """Which steps of the plan are out."""
    return slice(0 if incident.lent else incident.step, incident.step + 1)


def _planned_again(remediation: Remediation, incident: Incident) -> Plan | None:
    """What the remediation plans from the diagnosis on the record; None where it cannot."""
    if incident.diagnosis is None:
        return None
    try:
        return remediation.plan(incident.diagnosis)
    except Exception:  # noqa: BLE001 - the diagnosis may be anybody's, and whatever it breaks, it is no plan
        return None


def _changed(before: Refusal | None, after: Refusal, now: datetime) -> tuple[Event, ...]:
    if before is not None and before.guard == after.guard:
        return ()
    return (Event(now, "held", f"{after.guard}: {after.reason}"),)


def _denied(error: Denied, incident: Incident) -> Close:
    why = f"access denied ({error.code}): {error.action} on {error.resource or 'the resource'} is not granted"
    return Close(Verdict.ESCALATED, why, attempt=Verdict.INEFFECTIVE if incident.attempts else None)


def _told(step: Step, done: Done) -> str:
    made = ", ".join(
        f"{record.action}{f' x{record.count}' if record.count > 1 else ''}: {record.outcome.value}"
        for record in done.records
    )
    return f"step {step.name}: {made or 'no call was made'}" + (f"; ended early: {done.error}" if done.error else "")


def _recorded(incident: Incident, done: Done) -> Incident:
    intent = incident.intent
    if intent is not None:
        unclear = {_key(record) for record in done.records if record.outcome is Outcome.UNKNOWN}
        known = {_key(record) for record in done.records} - unclear
        intent = replace(intent, known=tuple(sorted(known)))
    return replace(
        incident,
        calls=_merged(incident.calls, done.records, since=_began(incident)),
        intent=intent,
        ledger=done.ledger,
        scratch=dict(done.scratch),
    )


def _key(call: Call | CallRecord) -> str:
    """What an intent notes of a call."""
    return f"{call.action} {call.resource} {call.about}".rstrip()


def _merged(before: tuple[CallRecord, ...], new: tuple[CallRecord, ...], *, since: datetime) -> tuple[CallRecord, ...]:
    """Calls of one attempt's step that came to the same are one line with a count, also over several ticks."""
    merged = list(before)
    for record in new:
        for number, old in enumerate(merged):
            if old.at < since or record.outcome is Outcome.UNKNOWN:
                continue
            same = (old.step, old.outcome, old.error) == (record.step, record.outcome, record.error)
            if same and old.tells_of(record):
                more = replace(old, count=old.count + record.count, request_id=record.request_id or old.request_id)
                if any(old.step == each.step and each.tells_of(record) for each in merged[number + 1 :]):
                    del merged[number]  # it came to something else in between: the last line says how it ended
                    merged.append(more)
                else:
                    merged[number] = more
                break
        else:
            merged.append(record)
    return tuple(merged)


def _ended(incident: Incident, verdict: Verdict, why: str) -> Incident:
    """The attempt under way has ended so; where none is under way, nothing changes."""
    if not incident.attempts or incident.attempts[-1].verdict is not None:
        return incident
    return replace(
        incident, attempts=(*incident.attempts[:-1], replace(incident.attempts[-1], verdict=verdict, why=why))
    )


def _reopened(incident: Incident, now: datetime) -> Incident:
    return replace(
        incident,
        phase=Phase.OPEN,
        intent=None,
        settle_until=None,
        verify_until=None,
        approval=None,
        refusal=None,
        hold_until=None,
        healthy_looks=0,
        sick_looks=0,
        unknown_looks=0,
        look_at=now + EVERY,
    )


def _closed(incident: Incident, verdict: Verdict, why: str, now: datetime, *events: Event) -> _Next:
    incident = replace(
        incident,
        phase=Phase.CLOSED,
        verdict=verdict,
        why=why,
        closed_at=now,
        intent=None,
        settle_until=None,
        hold_until=None,
    )
    return _Next(incident, (*events, Event(now, "closed", f"{verdict.value}: {why}")), quiet=_stays_quiet(verdict))


def _last(incident: Incident) -> _Next:
    """What is left to do for an incident whose end was decided, and perhaps told, when its tick died."""
    quiet = _stays_quiet(incident.verdict) and incident.remediation != loans.NAME
    return _Next(replace(incident, phase=Phase.CLOSED), quiet=quiet)


def _stays_quiet(verdict: Verdict | None) -> bool:
    """Whether the target is probably still sick: then we say no more of it until it was seen healthy."""
    return verdict not in {Verdict.FIXED, Verdict.RECOVERED}


def _next_look(now: datetime, until: datetime) -> datetime:
    """Never longer than a minute away, so that the kill switch and a healed target are noticed."""
    return min(max(until, now), now + EVERY)


def _parts(target: Target) -> tuple[str, ...]:
    """What belongs to a target, and so may be touched with it: tasks, executions, snapshots, alarms, an alias."""
    arn = target.arn
    if target.triggers is not None:
        backup = (f"{target.backup.bucket}/{target.backup.prefix}*",) if target.backup is not None else ()
        return (*(f"{arn}/{prefix}*" for prefix in (target.triggers.prefix, target.triggers.archive)), *backup)
    match arn.resource.split("/"):
        case ["service", cluster, service] if arn.service == "ecs" and cluster:
            parts = (f"task/{cluster}/*", f"service-deployment/{cluster}/{service}/*")
            return (*(str(replace(arn, resource=part)) for part in parts), *autoscaling.alarms(arn))
    if arn.kind == "states:stateMachine":
        return (str(replace(arn, resource=f"execution:{arn.name}:*")),)
    if arn.kind == "rds:cluster":
        return (str(replace(arn, resource="cluster-snapshot:nightshift-*")),)
    if arn.kind == "dynamodb:table":
        return autoscaling.alarms(arn)
    return (f"{arn}:{target.provisioned.alias}",) if target.provisioned is not None else ()


def _touched(plan: Plan, target: Target) -> tuple[Arn, ...]:
    """Other registered resources that the plan's calls write to."""
    named = {call.resource for call in plan.calls} | {arn for call in plan.calls for _, arn in call.grants}
    return tuple(arn for arn in target.linked if str(arn) in named)
