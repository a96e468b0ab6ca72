"""
Executions of a state machine failed: run them again once what failed them works.

Symptom   fewer than 90 % of at least ten executions succeed; or, where the configuration says so, one failed
Cause     a dependency failed for a while, and nothing has failed at it for ten minutes now; or the input is bad
Cure      redrive each, which goes on from the step that failed: one first, then five a minute; where AWS cannot redrive
          it or its definition was changed since, start its input anew, under a name that can exist only once
Proof     every execution that was run again has succeeded, and none that failed is left
Undo      none: what an execution has done stays done; one that still runs can be stopped by hand
Source    runbook 3 "Processing success", "Reprocess failed document"; R15

What it will not do: touch what a person has aborted; run anything again whose error nobody has called passing; run one
again that failed again, or that was redriven twice; start an input anew where nobody has said that this does no harm;
or show anybody what is in an input. That somebody has started the same input by hand it cannot know: who does so
protects the machine first, or leaves it to this.

EXPRESS machines keep no list of their executions: they are told of, and that is all.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.aws import kept_out
from nightshift.errors import Denied, Missing, Refused, Rejected, Stopped
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    MetricQuery,
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
from nightshift.remediation import Actor, Progress, Reader, Readings, Remediation, Unread
from nightshift.signals import machine_metric
from nightshift.signals.machines import LISTED
from nightshift.states import minutes

__all__ = ["ExecutionFailed"]

_MINUTES: Final = 15
_BAD: Final = ("FAILED", "TIMED_OUT")
_RUNS: Final = ("RUNNING", "PENDING_REDRIVE")
_ANEW: Final = "remed-"
"""how the names of executions begin that were started anew"""
_REDRIVES = 2  # of one execution, by whomever (R15)
_REDRIVABLE = timedelta(days=14)  # after it ended: AWS's limit
_SKEW = timedelta(seconds=30)  # how far AWS's clock and ours may be apart: less than from one step to the next
_LANDS = timedelta(minutes=2)  # how long a request may take to show: what AWS lists and describes is a little late
_SPARE = 15.0  # seconds: none is begun when a tick has no more than this left
_SHOWN = 20  # executions that a report names
_COMMANDS = 3  # commands that it gives
_SOME_AGAIN = 2  # of those run again that may fail again before all is stopped
_NAME = re.compile(r"[\w.$-]{1,80}", re.ASCII)
"""of an error, as it is told: whoever writes a state machine may name one by anything"""


class Way(StrEnum):
    """What is to be done about a failed execution."""

    REDRIVE = "redrive"
    START = "start anew"
    UNDER_WAY = "started anew already"
    PEOPLE = "for people"


@dataclass(frozen=True, slots=True)
class _Run:
    """One failed execution, as it is described; ``size`` is that of its input, which is not kept (0: none shows)."""

    arn: Arn
    status: str
    error: str
    size: int
    redrives: int
    redrivable: bool

    @classmethod
    def of(cls, described: Mapping[str, Any], now: datetime) -> _Run:
        """An answer of DescribeExecution."""
        status = str(described.get("status", ""))
        stopped = described.get("stopDate")
        return cls(
            arn=Arn.parse(str(described["executionArn"])),
            status=status,
            error=str(described.get("error") or ("States.Timeout" if status == "TIMED_OUT" else "")),
            size=len(str(described.get("input", "")).encode()),
            redrives=int(described.get("redriveCount", 0)),
            redrivable=described.get("redriveStatus") == "REDRIVABLE"
            and isinstance(stopped, datetime)
            and now - stopped <= _REDRIVABLE,
        )

    @property
    def name(self) -> str:
        """The execution's own name."""
        return self.arn.name

    @property
    def told(self) -> str:
        """Its error, where that is a name; an error may be named by anything, also by what is in a document."""
        return self.error if _NAME.fullmatch(self.error) else "an error without a plain name"

    @property
    def anew(self) -> Arn:
        """The execution that its input is started anew as."""
        return replace(self.arn, resource=f"{self.arn.resource.rpartition(':')[0]}:{_anew(self.name)}")


@dataclass(frozen=True, slots=True)
class _Seen:
    """How executions are looked at: by a diagnosis, or by a step under its own permission."""

    describe: Callable[[str], Mapping[str, Any]]
    definition: Callable[[str], Mapping[str, Any]]

    def status(self, arn: Arn) -> str:
        """The status of an execution; empty where there is none."""
        try:
            return str(self.describe(str(arn)).get("status", ""))
        except Missing:
            return ""

    def revision(self, arn: Arn) -> str:
        """The revision of the definition that an execution runs by."""
        return _revision(self.definition(str(arn)))


@dataclass(frozen=True, slots=True)
class _Found:
    """Failed executions of which it was looked what is to be done: which, how, and why not."""

    runs: tuple[tuple[_Run, Way, str], ...]
    failed: int

    def of(self, *ways: Way) -> list[tuple[_Run, str]]:
        """Those about which that is to be done."""
        return [(run, why) for run, way, why in self.runs if way in ways]


class ExecutionFailed(Remediation):
    """Executions of a STANDARD state machine that failed at something that works again."""

    name: ClassVar[str] = "execution-failed"
    title: ClassVar[str] = "executions of a state machine failed"
    kinds: ClassVar[tuple[str, ...]] = ("states:stateMachine",)
    reads: ClassVar[tuple[str, ...]] = ("states:DescribeExecution", "states:DescribeStateMachineForExecution")
    writes: ClassVar[tuple[str, ...]] = (
        "states:ListExecutions",  # right before each is run again it is looked at again
        "states:DescribeExecution",
        "states:DescribeStateMachineForExecution",
        "states:RedriveExecution",
        "states:StartExecution",
    )
    mends_itself: ClassVar[bool] = False  # what has failed stays failed, however many others succeed
    freeze_safe: ClassVar[bool] = True  # what was to be done is done: no code and no setting is changed

    success_percent: float = Field(
        default=90.0, gt=0, lt=100, description="per cent of executions that must succeed (runbook 3: alert below 90)"
    )
    least: PositiveInt = Field(default=10, description="fewer executions in 15 minutes are no share")
    any_failed: bool = Field(default=False, description="whether a single failed execution is enough")
    transient: tuple[str, ...] = Field(
        default=(
            "States.Timeout",
            "States.HeartbeatTimeout",
            "Lambda.AWSLambdaException",
            "Lambda.ClientExecutionTimeoutException",
            "Lambda.SdkClientException",
            "Lambda.ServiceException",
            "Lambda.TooManyRequestsException",
            "ThrottlingException",
        ),
        max_length=100,
        description="names of errors that pass: what failed with one of them may be run again",
    )
    poison: tuple[str, ...] = Field(
        default=("States.Runtime", "States.DataLimitExceeded"),
        max_length=100,
        description="names of errors that never pass, also where `transient` names them",
    )
    idempotent: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="names of state machines of which the same input may be started twice without harm",
    )
    calm: timedelta = Field(
        default=timedelta(minutes=10),
        ge=timedelta(minutes=2),
        le=timedelta(hours=1),
        description="how long no execution may have failed before any is run again",
    )
    alone: timedelta = Field(
        default=timedelta(minutes=30),
        ge=timedelta(minutes=2),
        le=timedelta(hours=6),
        description="the same where none has succeeded since: then the one that is tried first must tell",
    )
    batch: int = Field(default=5, ge=1, le=25, description="executions that are run again in one minute")
    limit: int = Field(default=100, ge=1, le=500, description="executions that are run again in one incident")
    sample: int = Field(default=50, ge=5, le=200, description="failed executions that are looked at one by one")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return _counters(target.arn)

    def examine(self, target: Target) -> Queries:
        return (*_counters(target.arn), _read(target.arn))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """By the machine's metrics: an execution that was aborted is neither a success nor a failure."""
        if target.arn.resource.count(":") != 1:
            return Unknown("name the state machine itself, without a version or an alias")
        if _read(target.arn) in seen.answers:
            machine = seen.resource(_read(target.arn))
            if isinstance(machine, Unread):
                return Unknown(machine.reason)
            if machine is None:
                return Unknown(f"there is no state machine {target.arn.name}")
        totals = []
        for query in _counters(target.arn):
            series = seen.metric(query)
            if isinstance(series, Unread):
                return Unknown(series.reason)
            totals.append(series.total)
        started, bad = totals[0], sum(totals[1:])
        asked = max(started, bad)  # what fails now may have started long ago
        percent = 100 * (asked - bad) / asked if asked else 100.0
        if asked == 0:
            return Healthy(f"no execution in {_MINUTES} minutes", idle=True)
        rate = asked >= self.least and percent < self.success_percent
        if not rate and not (self.any_failed and bad):
            return Healthy(f"{bad:.0f} of {asked:.0f} executions failed in {_MINUTES} minutes")
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{bad:.0f} of {asked:.0f} executions of {target.arn.name} failed in {_MINUTES} minutes",
                signals=(Signal("success", round(percent, 1), self.success_percent, f"{_MINUTES} minutes", "%"),),
                severity=Severity.SEV2 if rate else Severity.SEV3,
            )
        )

    def recovered(self, target: Target, before: Finding, after: Readings) -> Observation:
        """What has failed stays failed when others succeed: it is sick until nothing of it is left."""
        return self._whole(target, before, after)

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        return self._whole(target, before, after)

    def _whole(self, target: Target, before: Finding, after: Readings) -> Observation:
        """By the metrics, and then by what the machine's own list says."""
        seen = self.detect(target, after)
        machine = after.resource(_read(target.arn))
        if not isinstance(seen, Healthy) or not isinstance(machine, Mapping) or machine.get("type") != "STANDARD":
            return seen
        failed = self._failed(machine, after.at)
        if failed:
            names = _listed(str(each["name"]) for each in failed)
            symptom = f"{_many(len(failed))} of {target.arn.name} not run again: {names}"
            return Sick(replace(before, symptom=symptom, severity=Severity.SEV3))
        again = [each for each in machine["Executions"] if each["status"] in _RUNS and _of_ours(each)]
        if again:
            return Unknown(f"{len(again)} executions that were run again have not ended")
        return Healthy(f"no execution that failed since {self._since(after.at):%H:%M} UTC is left; {seen.summary}")

    def _failed(self, machine: Mapping[str, Any], now: datetime) -> list[Mapping[str, Any]]:
        """
        Failed executions that are neither too old nor started anew since, those first that ended first.

        An incident is over before what it began with is too old: so nothing drops out of sight.
        """
        since = self._since(now)
        executions: Sequence[Mapping[str, Any]] = machine["Executions"]
        anew = {each["name"] for each in executions if each["status"] not in _BAD}
        failed = [
            each
            for each in executions
            if each["status"] in _BAD
            and each.get("stopDate", now) >= since
            and not each["name"].startswith(_ANEW)
            and _anew(each["name"]) not in anew
        ]
        return sorted(failed, key=lambda each: (each.get("stopDate", now), each["name"]))

    def _since(self, now: datetime) -> datetime:
        """What failed before is not looked at."""
        return now - self.deadline - timedelta(hours=1)

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        machine = states.machine(read, target.arn)
        if machine.get("status") != "ACTIVE":
            raise Refused("machine", f"the state machine is {machine.get('status')}")
        if machine.get("type") != "STANDARD":
            return _express(target.arn, finding)
        if machine["Truncated"]:
            return _too_many(target.arn)
        found = self._look(read, target, machine)
        ours, theirs = found.of(Way.REDRIVE, Way.START), found.of(Way.PEOPLE)
        if not ours and not theirs:
            raise Refused("executions", "no failed execution is left to run again", retry_after=timedelta(minutes=1))
        evidence = (_counted(found), *_named(theirs))
        if not ours:
            return Diagnosis(
                target=str(target.arn),
                cause=f"{_many(len(theirs))} of {target.arn.name} not to be run again before somebody has looked",
                evidence=evidence,
                rejected=(Alternative("what they need failed for a while", "no error that passes is left"),),
                advice=_advice(target.arn, theirs),
            )
        over = self._check_over(machine, found, read.now())
        return Diagnosis(
            target=str(target.arn),
            cause=f"executions of {target.arn.name} failed at something that works again",
            evidence=(over, *evidence),
            rejected=(
                Alternative("it still fails", f"no execution has failed for {minutes(self.calm)} minutes"),
                Alternative("their inputs are bad", f"{len(ours)} failed with errors that pass"),
            ),
            facts={
                "machine": str(target.arn),
                "revision": _revision(machine),
                "idempotent": target.arn.name in self.idempotent,
            },
        )

    def _look(self, read: Reader, target: Target, machine: Mapping[str, Any]) -> _Found:
        """Look at failed executions one by one, as many as a sample has: what each is, and whose it is to act."""
        seen = _Seen(
            lambda arn: read("stepfunctions", "DescribeExecution", executionArn=arn),
            lambda arn: read(
                "stepfunctions", "DescribeStateMachineForExecution", executionArn=arn, includedData="METADATA_ONLY"
            ),
        )
        failed = self._failed(machine, read.now())
        listed = failed[: self.sample]
        begun = read.counters(target, [_tried(each["name"]) for each in listed])
        revision, twice = _revision(machine), target.arn.name in self.idempotent
        runs = []
        for each in listed:
            run = _Run.of(seen.describe(each["executionArn"]), read.now())
            if run.status in _BAD:  # a list may be late
                runs.append((run, *self._way(run, begun[_tried(run.name)], revision, seen, twice=twice)))
        return _Found(tuple(runs), len(failed))

    def _way(self, run: _Run, begun: int, revision: str, seen: _Seen, *, twice: bool) -> tuple[Way, str]:
        """
        What is to be done about a failed execution, and why it is for people.

        ``begun`` is how often we began to redrive it: one that has no redrive by now was never begun, as far as AWS
        knows, and once more does no harm. ``twice``: whether its input may be started twice.
        """
        if run.error in self.poison:
            return Way.PEOPLE, "it can never work as it is"
        if run.error not in self.transient:
            return Way.PEOPLE, "nobody has said that this error passes"
        if begun and run.redrives:
            return Way.PEOPLE, "it was run again, and failed again"
        if run.redrives >= _REDRIVES:
            return Way.PEOPLE, f"it was redriven {run.redrives} times before"
        if begun > 1:
            return Way.PEOPLE, "it was to be redriven twice, and AWS did not begin"
        why = "" if run.redrivable else "AWS cannot redrive it"
        if not why and seen.revision(run.arn) != revision:
            why = "the definition was changed since, and a redrive uses the old one"
        if not why:
            return Way.REDRIVE, ""
        if not twice:
            return Way.PEOPLE, f"{why}, and nobody has said that its input may be started twice"
        if not run.size:
            return Way.PEOPLE, f"{why}, and AWS does not show its input"
        status = seen.status(run.anew)
        if not status:
            return Way.START, why
        ended = status not in (*_RUNS, "SUCCEEDED")
        return (Way.PEOPLE, "it was started anew, and failed again") if ended else (Way.UNDER_WAY, "")

    def _check_over(self, machine: Mapping[str, Any], found: _Found, now: datetime) -> str:
        """Refuse while what failed them may still fail; else what shows that it does not."""
        passing = {run.error for run, _ in found.of(Way.REDRIVE, Way.START)}
        other = {run.name for run, _, _ in found.runs if run.error not in passing}  # failed at something else
        ends = [
            each["stopDate"]
            for each in machine["Executions"]
            if each["status"] in _BAD and each["name"] not in other and "stopDate" in each
        ]
        last = max(ends, default=now)
        if now - last < self.calm:
            raise Refused(
                "calm",
                f"executions still fail: the last one did {minutes(now - last)} minutes ago",
                numbers={"minutes": minutes(now - last), "calm": minutes(self.calm)},
                retry_after=timedelta(minutes=2),
            )
        since = sum(each["status"] == "SUCCEEDED" and each["startDate"] > last for each in machine["Executions"])
        if not since and now - last < self.alone:
            raise Refused(
                "cause",
                f"none that was started since the last one failed has succeeded, {minutes(now - last)} minutes ago",
                numbers={"minutes": minutes(now - last), "alone": minutes(self.alone)},
                retry_after=timedelta(minutes=2),
            )
        at = f"{last:%H:%M} UTC"
        if since:
            return f"{since} executions that were started since the last failure, at {at}, have succeeded"
        return f"none was started since the last failure, at {at}: the one that is run again first must tell"

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """
        Always the same two steps: which executions are left changes by our own hand, and the plan must not.

        Each step looks at what is there; the plan says what it may do with it, and how often.
        """
        machine = Arn.parse(diagnosis.facts["machine"])
        first = Step(
            "canary",
            calls=self._calls(diagnosis.facts, times=1),
            settle=timedelta(minutes=1),
            why="run one execution again and see whether it succeeds",
        )
        rest = Step(
            "rest",
            calls=self._calls(diagnosis.facts, times=self.batch),
            settle=timedelta(minutes=1),
            why=f"run the others again, {self.batch} a minute",
        )
        return Plan(
            remediation=self.name,
            target=str(machine),
            summary=(
                f"run the failed executions of {machine.name} again: one first, then {self.batch} a minute, "
                f"at most {self.limit}"
            ),
            steps=(first, rest),
            risk="a step that failed half-way is done again: one that is not idempotent repeats what it had done",
            undo_by_hand=f"aws stepfunctions stop-execution --execution-arn {_executions(machine)[:-1]}…",
        )

    def _calls(self, facts: Mapping[str, Json], *, times: int) -> tuple[Call, ...]:
        machine = str(facts["machine"])
        executions = _executions(Arn.parse(machine))
        before = {"definition": facts["revision"]}
        start = Call(
            "stepfunctions",
            "StartExecution",
            machine,
            params={"stateMachineArn": machine},
            free=("name", "input"),
            times=times,
            before=before,
        )
        return (
            Call(
                "stepfunctions",
                "ListExecutions",
                machine,
                params={"stateMachineArn": machine, "maxResults": LISTED},
                free=("statusFilter",),
                times=len(_BAD),
            ),
            Call("stepfunctions", "DescribeExecution", executions, free=("executionArn",), times=2 * self.sample),
            Call(
                "stepfunctions",
                "DescribeStateMachineForExecution",
                executions,
                params={"includedData": "METADATA_ONLY"},
                free=("executionArn",),
                times=self.sample,
            ),
            Call(
                "stepfunctions",
                "RedriveExecution",
                executions,
                free=("executionArn", "clientToken"),
                times=times,
                before=before,
            ),
            *((start,) if facts["idempotent"] else ()),
        )

    # -- acting ----------------------------------------------------------------------------------------------------

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        """
        Run executions again, as many as the step may: each is looked at once more right before.

        What is begun is noted before it is begun. So whatever dies, no execution is redriven twice for one failure.
        """
        del plan
        attempt = len(act.incident.attempts)
        first = step.name == "canary"
        notes = act.scratch.get(step.name)
        if first or notes is None or notes["attempt"] != attempt:
            notes = {"attempt": attempt, "began": []}
        act.scratch[step.name] = notes
        notes["more"] = False
        key = f"{act.incident.id} first {attempt}" if first else f"{act.incident.id} rest"
        room = 1 if first else self.limit
        for made, (run, way, described) in enumerate(self._chosen(act, step)):
            if made == (1 if first else self.batch) or act.seconds_left() <= _SPARE:
                notes["more"] = True
                break
            if not act.memory.add(key, limit=room):
                break
            redrives = way is Way.REDRIVE
            note: dict[str, Json] = {
                "arn": str(run.arn if redrives else run.anew),
                "redrives": run.redrives if redrives else None,
                "at": act.now().isoformat(),
            }
            notes["began"].append(note)
            try:
                if redrives:
                    _redrive(act, _call(step, "RedriveExecution"), run)
                else:
                    _start(act, _call(step, "StartExecution"), run, str(described["input"]))
            except (Denied, Missing, Rejected, Stopped) as error:  # nothing was begun
                notes["began"].remove(note)
                act.memory.add(key, -1)
                if not isinstance(error, Rejected) or kept_out(error):
                    raise

    def _chosen(self, act: Actor, step: Step) -> Iterator[tuple[_Run, Way, Mapping[str, Any]]]:
        """The executions to run again, as they are now, with how, and their descriptions."""
        listing, describing = _call(step, "ListExecutions"), _call(step, "DescribeExecution")
        seen = _Seen(
            lambda arn: act(describing, executionArn=arn),
            lambda arn: act(_call(step, "DescribeStateMachineForExecution"), executionArn=arn),
        )
        executions = [each for status in _BAD for each in act(listing, statusFilter=status)["executions"]]
        failed = self._failed({"Executions": executions}, act.now())[: self.sample]
        act.memory.recall(_tried(each["name"]) for each in failed)
        revision = str(_call(step, "RedriveExecution").before["definition"])
        twice = any(call.operation == "StartExecution" for call in step.calls)
        for each in failed:
            described = seen.describe(each["executionArn"])
            run = _Run.of(described, act.now())
            if run.status in _BAD:
                begun = act.memory.get(_tried(run.name))
                way, _ = self._way(run, begun, revision, seen, twice=twice)
                if way in {Way.REDRIVE, Way.START}:
                    yield run, way, described

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """
        A redrive leaves its date, a start its name: whether there is one since then.

        What is redriven is noted before, so that of others a person did it. Where one that was noted was not redriven,
        those that were may be of the calls that had an answer.
        """
        if call.operation not in {"RedriveExecution", "StartExecution"}:
            return Outcome.NOT_DONE  # a read: nothing lasts
        arn = Arn.parse(call.resource)
        of = replace(arn, resource=f"stateMachine:{arn.resource.split(':')[1]}")
        machine, target = states.machine(read, of), read.target(str(of))
        executions = machine["Executions"]
        if call.operation == "StartExecution":
            anew = [each for each in executions if each["name"].startswith(_ANEW)]
            if any(_is_since(each["startDate"], since) for each in anew):
                return Outcome.DONE
        else:
            redriven = [each for each in executions if _is_since(each.get("redriveDate"), since)]
            failed = [each for each in self._failed(machine, read.now())[: self.sample] if each not in redriven]
            keys = [_tried(each["name"]) for each in (*redriven, *failed)]
            begun = read.counters(target, keys) if target is not None else {}
            if any(begun.get(_tried(each["name"]), 1) for each in redriven):
                noted = (begun.get(_tried(each["name"]), 0) > each.get("redriveCount", 0) for each in failed)
                return Outcome.UNKNOWN if any(noted) else Outcome.DONE
        return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        notes = scratch.get(step.name)
        if notes is None:
            return Progress.AGAIN, "the notes of this step were lost: again, which redrives nothing twice", None
        fates = [(_name(each["arn"]), _fate(read, each)) for each in notes["began"]]
        again, running, well = (
            [name for name, fate in fates if fate is which] for which in (_Fate.AGAIN, _Fate.RUNS, _Fate.WELL)
        )
        told = f"{len(well)} of {len(fates)} that were run again have succeeded"
        if len(again) >= (1 if step.name == "canary" else _SOME_AGAIN):
            return Progress.STOP, f"{told}; failed again: {_listed(again)}", None
        if step.name == "rest" and notes["more"]:
            return Progress.AGAIN, told, None
        if running:
            return Progress.WAIT, f"{told}; {len(running)} still run", None
        target = read.target(plan.target)
        if target is None:
            return Progress.STOP, f"{told}; the machine is not registered any more", None
        found = self._look(read, target, states.machine(read, target.arn))
        ours, theirs = found.of(Way.REDRIVE, Way.START), found.of(Way.PEOPLE)
        if step.name == "canary" and ours and well:
            return Progress.NEXT, told, None
        if ours:
            return Progress.STOP, f"{told}; {len(ours)} were not begun", None
        if theirs:
            names = _listed(run.name for run, _ in theirs)
            return Progress.STOP, f"{told}; {len(theirs)} are for people: {names}", None
        return Progress.NEXT, told, None


# -- running one again -------------------------------------------------------------------------------------------------


def _is_since(at: datetime | None, since: datetime) -> bool:
    return at is not None and at >= since - _SKEW


def _redrive(act: Actor, call: Call, run: _Run) -> None:
    """
    Redrive one execution, noted before: the same failure always under the same token.

    AWS gives the same answer for the same token for a quarter of an hour, and refuses to redrive what runs.
    """
    key = _tried(run.name)
    act.memory.add(key)
    token = hashlib.sha256(f"{run.arn} {run.redrives}".encode()).hexdigest()[:64]
    try:
        act(call, executionArn=str(run.arn), clientToken=token)
    except (Denied, Missing, Rejected, Stopped):
        act.memory.add(key, -1)
        raise


def _start(act: Actor, call: Call, run: _Run, text: str) -> None:
    """Start an execution's input anew, under the one name that is made of its own: it can exist only once."""
    try:
        act(call, name=run.anew.name, input=text)
    except Rejected as error:
        if error.code != "ExecutionAlreadyExists":
            raise


class _Fate(StrEnum):
    """What became of an execution that was run again."""

    WELL = "succeeded"
    RUNS = "runs, or does not show yet"
    AGAIN = "failed again"
    NOT_BEGUN = "was not begun"


def _fate(read: Reader, note: Mapping[str, Any]) -> _Fate:
    try:
        described = read("stepfunctions", "DescribeExecution", executionArn=note["arn"])
    except Missing:
        described = {}
    status = described.get("status")
    if status == "SUCCEEDED":
        return _Fate.WELL
    if status in _RUNS:
        return _Fate.RUNS
    untouched = status in _BAD and described.get("redriveCount", 0) == note["redrives"]
    if status is not None and not untouched:
        return _Fate.AGAIN
    young = read.now() < datetime.fromisoformat(note["at"]) + _LANDS
    return _Fate.RUNS if young else _Fate.NOT_BEGUN


# -- names and words ---------------------------------------------------------------------------------------------------


def _read(arn: Arn) -> ResourceRead:
    return ResourceRead("states.machine", str(arn))


def _counters(arn: Arn) -> tuple[MetricQuery, ...]:
    """Executions that started, failed, and timed out."""
    names = ("ExecutionsStarted", "ExecutionsFailed", "ExecutionsTimedOut")
    return tuple(machine_metric(arn, name, "Sum", _MINUTES) for name in names)


def _executions(machine: Arn) -> str:
    """The machine's executions, as IAM names them."""
    return str(replace(machine, resource=f"execution:{machine.name}:*"))


def _revision(described: Mapping[str, Any]) -> str:
    """Which revision of a definition it is; to the first one AWS gives no name."""
    return str(described.get("revisionId") or "the first revision")


def _many(count: int) -> str:
    return f"{count} failed execution{'s' if count != 1 else ''}"


def _name(arn: str) -> str:
    return Arn.parse(arn).name


def _anew(name: str) -> str:
    """The name of the execution that an execution's input is started anew as: always the same, and short enough."""
    return f"{_ANEW}{hashlib.sha256(name.encode()).hexdigest()[:40]}-1"


def _tried(name: str) -> str:
    """The durable counter of how often an execution was begun to be redriven, ever."""
    return f"redriven {name}"


def _of_ours(execution: Mapping[str, Any]) -> bool:
    """Whether it was run again, by whomever, or started anew."""
    return bool(execution.get("redriveCount")) or str(execution["name"]).startswith(_ANEW)


def _call(step: Step, operation: str) -> Call:
    return next(call for call in step.calls if call.operation == operation)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _counted(found: _Found) -> str:
    errors = Counter(run.told for run, _, _ in found.runs)
    told = ", ".join(f"{count} x {error}" for error, count in sorted(errors.items()))
    return f"{len(found.runs)} of {_many(found.failed)} looked at: {told}"


def _named(runs: Sequence[tuple[_Run, str]]) -> tuple[str, ...]:
    """Those that are for people, each with its error, the size of its input and the reason."""
    lines = [f"{run.name}: {run.told}, {run.size} bytes of input: {why}" for run, why in runs[:_SHOWN]]
    return (*lines, *([f"and {len(runs) - _SHOWN} more"] if len(runs) > _SHOWN else []))


def _advice(machine: Arn, runs: Sequence[tuple[_Run, str]]) -> tuple[str, ...]:
    looks = [
        f"look at {run.name}: aws stepfunctions get-execution-history --reverse-order --max-results 10 "
        f"--execution-arn {shlex.quote(str(run.arn))}"
        for run, _ in runs[:_COMMANDS]
    ]
    by_hand = (
        "once its cause is gone, redrive one by hand (aws stepfunctions redrive-execution --execution-arn …), or start "
        f"its input anew (aws stepfunctions start-execution --state-machine-arn {shlex.quote(str(machine))} --input …)"
    )
    return (
        *looks,
        by_hand,
        "an error that passes by itself belongs into `transient` of execution-failed, in the configuration",
    )


def _express(machine: Arn, finding: Finding) -> Diagnosis:
    log = (
        "its own log group has the failed executions, if its logging is on; "
        f"aws stepfunctions describe-state-machine --state-machine-arn {shlex.quote(str(machine))} names it"
    )
    return Diagnosis(
        target=str(machine),
        cause=f"executions of {machine.name} fail, and it is an EXPRESS machine, whose executions AWS does not keep",
        evidence=(finding.symptom,),
        advice=(
            log,
            "whoever started them must start them again: AWS cannot redrive them",
        ),
    )


def _too_many(machine: Arn) -> Diagnosis:
    look = (
        "find out what failed them, and whether they are still wanted: "
        f"aws stepfunctions list-executions --status-filter FAILED --state-machine-arn {shlex.quote(str(machine))}"
    )
    return Diagnosis(
        target=str(machine),
        cause=f"more than {LISTED} executions of {machine.name} have failed: too many for anybody to run again blindly",
        evidence=(f"AWS lists more than {LISTED} that failed or timed out",),
        advice=(look,),
    )
