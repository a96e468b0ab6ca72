"""Failed executions: which are run again and when, which are not, and that none is redriven twice for one failure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from nightshift.errors import Ambiguous, Missing, Refused, Rejected, Stopped, Undeclared, Unreadable
from nightshift.model import (
    Arn,
    Attempt,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Ledger,
    MetricQuery,
    Outcome,
    Plan,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Memory, Progress, Readings, Series, Unread
from nightshift.remediations.execution_failed import ExecutionFailed
from pydantic import ValidationError

from tests.nightshift.remediations.account import Store

NOW = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)
MACHINE = Arn.parse("arn:aws:states:eu-central-1:123456789012:stateMachine:documents")
TARGET = Target(MACHINE, "dms")
READ = ResourceRead("states.machine", str(MACHINE))
FAILED = ExecutionFailed()
TWICE = ExecutionFailed(idempotent=("documents",))
FINDING = Finding("execution-failed", str(MACHINE), "9 of 20 executions failed")
SECRET = '{"owner": "Erika Mustermann"}'
TRANSIENT, POISON, OTHER = "Lambda.ServiceException", "States.Runtime", "KeyError"


def minutes(count: float) -> timedelta:
    """A span."""
    return timedelta(minutes=count)


def arn(name: str) -> str:
    """An execution's ARN."""
    return f"arn:aws:states:eu-central-1:123456789012:execution:documents:{name}"


@dataclass
class Run:
    """An execution, as AWS knows it."""

    status: str = "FAILED"
    error: str | None = TRANSIENT
    ended: float = 40  # minutes ago
    started: float = 41
    redrives: int = 0
    redriven: float | None = None
    redrivable: bool = True
    revision: str | None = None
    input: str = SECRET


@dataclass
class Account:
    """
    One state machine. ``fails`` raises instead of a call.

    A redrive makes an execution run; ``then`` is how what is run again ends, at once.
    """

    now: datetime = NOW
    runs: dict[str, Run] = field(default_factory=dict)
    kind: str = "STANDARD"
    status: str = "ACTIVE"
    revision: str | None = None
    truncated: bool = False
    metrics: dict[str, float | Unread] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    fails: dict[str, BaseException] = field(default_factory=dict)
    read: Mapping[str, Any] | Unread | None = None  # what the machine is read as, where that is not what it is
    target: Target | None = TARGET
    then: str = "SUCCEEDED"
    late: bool = False  # whether a list still shows what has run again as failed
    tokens: list[str] = field(default_factory=list)
    seconds: float = 60.0

    def entry(self, name: str) -> dict[str, Any]:
        """As ListExecutions shows one."""
        run = self.runs[name]
        found: dict[str, Any] = {
            "executionArn": arn(name),
            "name": name,
            "status": run.status,
            "startDate": NOW - minutes(run.started),
            "redriveCount": run.redrives,
        }
        if run.status != "RUNNING":
            found["stopDate"] = NOW - minutes(run.ended)
        if run.redriven is not None:
            found["redriveDate"] = NOW - minutes(run.redriven)
        return found

    def describe(self, execution: str) -> dict[str, Any]:
        """As DescribeExecution shows one."""
        name = execution.rpartition(":")[2]
        if name not in self.runs:
            raise Missing("states:DescribeExecution", "ExecutionDoesNotExist")
        run = self.runs[name]
        more = {} if run.error is None else {"error": run.error, "cause": SECRET}
        status = "REDRIVABLE" if run.redrivable else "NOT_REDRIVABLE"
        return {**self.entry(name), **more, "input": run.input, "redriveStatus": status}

    def machine(self) -> dict[str, Any]:
        """As the sweep reads it."""
        names = [name for name, run in self.runs.items() if run.status != "ABORTED"]
        executions = tuple(self.entry(name) for name in names)
        if self.late:
            executions = tuple({**each, "status": "FAILED"} for each in executions)
        more = {} if self.revision is None else {"revisionId": self.revision}
        return {
            "status": self.status,
            "type": self.kind,
            "Executions": executions,
            "Truncated": self.truncated,
            **more,
        }

    def readings(self, *, closer: bool = True) -> Readings:
        """What a look reads; the sweep does not look closer."""
        queries = FAILED.examine(TARGET) if closer else FAILED.watch(TARGET)
        return Eyes(self).seen(*queries)

    def again(self, name: str, *, redriven: bool) -> None:
        """Something runs again."""
        run = self.runs[name]
        run.status, run.redrives = self.then, run.redrives + redriven
        run.redriven = (NOW - self.now) / minutes(1) if redriven else None

    def definition(self, execution: str) -> dict[str, Any]:
        """Which definition an execution runs by."""
        revision = self.runs[execution.rpartition(":")[2]].revision
        return {} if revision is None else {"revisionId": revision}


class Eyes:
    """The Reader."""

    quarantine = "quarantine"

    def __init__(self, account: Account) -> None:
        self.account = account

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        action = Call(service, operation, "").action
        if action not in FAILED.reads:
            raise Undeclared(action)
        if error := self.account.fails.get(operation):
            raise error
        if operation == "DescribeExecution":
            return self.account.describe(params["executionArn"])
        assert params["includedData"] == "METADATA_ONLY"
        return self.account.definition(params["executionArn"])

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def seen(self, *queries: Query) -> Readings:
        return Readings(self.account.now, {query: self._answer(query) for query in queries})

    def _answer(self, query: Query) -> Any:
        if isinstance(query, MetricQuery):
            value = self.account.metrics.get(query.metric, 0.0)
            return value if isinstance(value, Unread) else Series(((NOW, value),) if value else ())
        return self.account.read or self.account.machine()

    def target(self, arn: str) -> Target | None:
        return self.account.target

    def targets(self) -> tuple[Target, ...]:
        raise NotImplementedError  # it never asks: the test fails where it does

    def counters(self, target: Target, keys: Sequence[str]) -> dict[str, int]:
        return {key: self.account.memory.get(key, 0) for key in keys}

    def now(self) -> datetime:
        return self.account.now


class Hand:
    """The Actor, in attempt ``attempt`` of one incident."""

    def __init__(self, account: Account, step: Step, scratch: dict[str, Any], attempt: int = 1) -> None:
        self.account = account
        self.step = step
        self.memory: Memory = Store(account.memory)
        self.ledger = Ledger()
        self.scratch = scratch
        attempts = tuple(Attempt(number + 1, "hash", NOW) for number in range(attempt))
        self.incident = Incident(
            "i1", "execution-failed", str(MACHINE), "dms", NOW, NOW, NOW + minutes(60), FINDING, attempts=attempts
        )
        self.made: list[Call] = []

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        assert call in self.step.calls
        assert set(free) == set(call.free)
        assert call.action in FAILED.writes
        self.made.append(call)
        assert self.made.count(call) <= call.times
        if error := self.account.fails.get(f"act {call.operation}"):
            raise error
        return self._done(call.operation, {**call.params, **free})

    def _done(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        account = self.account
        match operation:
            case "ListExecutions":
                found = account.machine()["Executions"]
                return {"executions": [each for each in found if each["status"] == params["statusFilter"]]}
            case "DescribeExecution":
                return account.describe(params["executionArn"])
            case "DescribeStateMachineForExecution":
                return account.definition(params["executionArn"])
            case "RedriveExecution":
                name = params["executionArn"].rpartition(":")[2]
                assert account.runs[name].status in {"FAILED", "TIMED_OUT"}
                account.tokens.append(params["clientToken"])
                account.again(name, redriven=True)
            case "StartExecution":
                if params["name"] in account.runs:
                    raise Rejected("states:StartExecution", "ExecutionAlreadyExists")
                now = (NOW - account.now) / minutes(1)
                account.runs[params["name"]] = Run(account.then, started=now, ended=now, input=params["input"])
        return {}

    def now(self) -> datetime:
        return self.account.now

    def seconds_left(self) -> float:
        return self.account.seconds


def failed(count: int = 3, **more: Any) -> Account:
    """So many executions failed forty minutes ago, and one that was started since has succeeded."""
    runs = {f"doc-{number}": Run(ended=40 - number, **more) for number in range(count)}
    return Account(runs={**runs, "well": Run("SUCCEEDED", None, started=10, ended=9)})


def diagnosed(account: Account, remediation: ExecutionFailed = FAILED) -> Diagnosis:
    """What is found out about it."""
    return remediation.diagnose(Eyes(account), TARGET, FINDING)


def planned(account: Account, remediation: ExecutionFailed = FAILED) -> tuple[Plan, Step, Step]:
    """The plan, and its two steps."""
    plan = remediation.plan(diagnosed(account, remediation))
    canary, rest = plan.steps
    return plan, canary, rest


@dataclass
class Cure:
    """A plan that is being carried out."""

    account: Account
    remediation: ExecutionFailed = FAILED
    scratch: dict[str, Any] = field(default_factory=dict)
    attempt: int = 1

    def __post_init__(self) -> None:
        self.plan, self.canary, self.rest = planned(self.account, self.remediation)

    def apply(self, step: Step) -> None:
        """Carry a step out, in one tick."""
        self.remediation.apply(Hand(self.account, step, self.scratch, self.attempt), self.plan, step)

    def progress(self, step: Step) -> tuple[Progress, str]:
        """How it goes."""
        progress, why, ledger = self.remediation.progress(Eyes(self.account), self.plan, step, self.scratch)
        assert ledger is None
        return progress, why

    def statuses(self) -> list[str]:
        """Of what had failed."""
        return [run.status for name, run in self.account.runs.items() if name.startswith("doc")]


def call(step: Step, operation: str) -> Call:
    """The call of that operation."""
    [found] = [each for each in step.calls if each.operation == operation]
    return found


# -- seeing ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "started, bad, timed_out, sick",
    [
        (10, 1, 0, False),
        (10, 1, 1, True),
        (9, 9, 0, False),
        (100, 9, 1, False),
        (100, 6, 5, True),
        (0, 10, 0, True),
        (0, 0, 0, False),
    ],
)
def test_fewer_than_nine_in_ten_of_at_least_ten(started: float, bad: float, timed_out: float, sick: bool) -> None:
    """Failed and timed out count alike; what fails now may have been started long ago."""
    metrics: dict[str, float | Unread] = {
        "ExecutionsStarted": started,
        "ExecutionsFailed": bad,
        "ExecutionsTimedOut": timed_out,
    }
    seen = FAILED.detect(TARGET, Account(metrics=metrics).readings(closer=False))
    assert isinstance(seen, Sick) is sick
    if isinstance(seen, Sick):
        assert seen.finding.severity is Severity.SEV2
    else:
        assert isinstance(seen, Healthy)
        assert seen.idle is (started == 0)


def test_one_is_enough_where_the_configuration_says_so() -> None:
    """``any_failed``: less urgent, and whatever the share."""
    account = Account(metrics={"ExecutionsStarted": 100.0, "ExecutionsFailed": 1.0})
    seen = ExecutionFailed(any_failed=True).detect(TARGET, account.readings())
    assert isinstance(seen, Sick)
    assert seen.finding.severity is Severity.SEV3
    assert seen.finding.symptom == "1 of 100 executions of documents failed in 15 minutes"


def test_what_cannot_be_read_is_unknown() -> None:
    """A metric, the machine, no machine, a version of one: never healthy."""
    assert isinstance(FAILED.detect(TARGET, Account(metrics={"ExecutionsFailed": Unread("x")}).readings()), Unknown)
    for answer in (Unread("denied"), None):
        assert isinstance(FAILED.detect(TARGET, Readings(NOW, {READ: answer})), Unknown)
    version = Target(replace(MACHINE, resource="stateMachine:documents:3"), "dms")
    assert isinstance(FAILED.detect(version, Account().readings()), Unknown)
    assert isinstance(FAILED.detect(TARGET, Readings(NOW)), Unknown)


def test_it_is_sick_until_nothing_that_failed_is_left() -> None:
    """Others succeed, and nothing fails any more: what has failed has failed all the same."""
    account = failed()
    assert isinstance(FAILED.detect(TARGET, account.readings()), Healthy)
    for look in (FAILED.recovered, FAILED.verify):
        seen = look(TARGET, FINDING, account.readings())
        assert isinstance(seen, Sick)
        assert seen.finding.symptom == "3 failed executions of documents not run again: doc-0, doc-1, doc-2"
    for run in account.runs.values():
        run.status = "SUCCEEDED"
    seen = FAILED.verify(TARGET, FINDING, account.readings())
    assert isinstance(seen, Healthy)
    assert not seen.idle


def test_what_runs_again_is_not_yet_well() -> None:
    """Neither a redriven nor a new execution counts before it has ended; one that never failed does not matter."""
    account = Account(runs={"doc-0": Run("RUNNING", redrives=1), "new": Run("RUNNING")})
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings()), Unknown)
    account.runs["doc-0"].redrives = 0
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings()), Healthy)


def test_by_its_metrics_alone_where_there_is_no_list() -> None:
    """EXPRESS machines, and a look that did not read the list."""
    account = Account(kind="EXPRESS", metrics={"ExecutionsStarted": 5.0})
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings()), Healthy)
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings(closer=False)), Healthy)
    account.metrics["ExecutionsFailed"] = Unread("x")
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings()), Unknown)


def test_what_is_too_old_for_this_incident_is_another_matter() -> None:
    """Nothing that an incident began with gets too old before it is over; and a report says how far it has looked."""
    hours = FAILED.deadline / minutes(1)
    assert isinstance(FAILED.verify(TARGET, FINDING, failed(1).readings()), Sick)
    account = Account(runs={"doc-0": Run(ended=hours + 59)})
    assert isinstance(FAILED.verify(TARGET, FINDING, account.readings()), Sick)
    account.runs["doc-0"].ended = hours + 61
    seen = FAILED.verify(TARGET, FINDING, account.readings())
    assert isinstance(seen, Healthy)
    since = account.readings().at - FAILED.deadline - timedelta(hours=1)
    assert seen.summary.startswith(f"no execution that failed since {since:%H:%M} UTC is left; ")


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_what_failed_with_errors_that_pass_is_ours() -> None:
    """The facts say which machine, by which definition, and whether an input may be started twice."""
    account = failed(2)
    account.runs["doc-1"] = Run("TIMED_OUT", None)
    found = diagnosed(account)
    assert found.facts == {"machine": str(MACHINE), "revision": "the first revision", "idempotent": False}
    assert not found.advice
    assert found.evidence == (
        "1 executions that were started since the last failure, at 02:20 UTC, have succeeded",
        "2 of 2 failed executions looked at: 1 x Lambda.ServiceException, 1 x States.Timeout",
    )


def test_nothing_is_begun_while_it_still_fails() -> None:
    """Ten minutes of calm, by whatever failed last: later, not never."""
    account = failed()
    account.runs["late"] = Run(ended=9)
    with pytest.raises(Refused) as refused:
        diagnosed(account)
    assert (refused.value.guard, refused.value.retry_after) == ("calm", minutes(2))
    account.runs["late"].ended = 10
    account.runs["well"].started = 9
    assert diagnosed(account).facts
    account.runs["late"].ended = 9
    account.runs["late"].error = OTHER  # which says nothing of what the others failed at
    assert diagnosed(account).facts


def test_where_none_has_succeeded_since_it_waits_longer() -> None:
    """Half an hour; then the first one must tell."""
    account = failed(1)
    account.runs["doc-0"].ended = 29
    account.runs["well"].started = 30
    with pytest.raises(Refused) as refused:
        diagnosed(account)
    assert (refused.value.guard, refused.value.retry_after) == ("cause", minutes(2))
    account.runs["doc-0"].ended = 30
    assert "the one that is run again first must tell" in diagnosed(account).evidence[0]


def test_a_failure_without_an_end_is_a_fresh_one() -> None:
    """What AWS does not say is not taken for long ago."""
    account = failed(1)
    machine = account.machine()
    del machine["Executions"][0]["stopDate"]
    account.read = machine
    with pytest.raises(Refused, match="still fail"):
        diagnosed(account)


@pytest.mark.parametrize(
    "run, why",
    [
        (Run(error=POISON), "it can never work as it is"),
        (Run(error=OTHER), "nobody has said that this error passes"),
        (Run(error=None), "nobody has said that this error passes"),
        (Run(redrives=2), "it was redriven 2 times before"),
        (Run(redrivable=False), "AWS cannot redrive it, and nobody has said that its input may be started twice"),
        (Run(revision="r0"), "the definition was changed since, and a redrive uses the old one, and nobody has said"),
    ],
)
def test_what_is_not_ours_is_told(run: Run, why: str) -> None:
    """With its error, the size of its input and the reason; never with what is in it."""
    found = diagnosed(Account(runs={"doc-0": run}))
    assert found.advice
    assert found.cause == "1 failed execution of documents not to be run again before somebody has looked"
    assert found.evidence[1].startswith("doc-0: ")
    assert f"{len(SECRET)} bytes of input: {why}" in found.evidence[1]
    assert "Mustermann" not in str(found)


def test_errors_are_told_by_name_only() -> None:
    """Whoever writes a state machine may name an error by anything, also by what is in a document."""
    found = diagnosed(Account(runs={"doc-0": Run(error="no owner Erika Mustermann")}))
    assert "an error without a plain name" in found.evidence[1]
    assert "Mustermann" not in str(found)


def test_what_failed_again_is_not_tried_again() -> None:
    """One that we redrove and that failed again; one that we began twice and that AWS did not."""
    account = failed(2)
    account.memory = {"redriven doc-0": 1, "redriven doc-1": 2}
    account.runs["doc-0"].redrives = 1
    found = diagnosed(account)
    assert "it was run again, and failed again" in found.evidence[1]
    assert "it was to be redriven twice, and AWS did not begin" in found.evidence[2]
    account.memory = {"redriven doc-1": 1}  # begun, and it does not show: once more does no harm
    assert diagnosed(account).facts


def test_settings_say_what_passes() -> None:
    """A name in both lists never passes."""
    account = Account(runs={"doc-0": Run(error=OTHER), "well": Run("SUCCEEDED", started=1)})
    assert diagnosed(account, ExecutionFailed(transient=(OTHER,))).facts
    assert diagnosed(account, ExecutionFailed(transient=(OTHER,), poison=(OTHER,))).advice
    with pytest.raises(ValidationError):
        ExecutionFailed(calm=minutes(1))


def test_many_are_named_up_to_a_limit() -> None:
    """A report stays readable: twenty executions, and how many more there are."""
    account = Account(runs={f"doc-{number:02}": Run(error=OTHER) for number in range(22)})
    found = diagnosed(account)
    assert found.evidence[0] == "22 of 22 failed executions looked at: 22 x KeyError"
    assert (len(found.evidence), found.evidence[-1]) == (22, "and 2 more")
    seen = FAILED.verify(TARGET, FINDING, account.readings())
    assert isinstance(seen, Sick)
    assert seen.finding.symptom.endswith("doc-19 and 2 more")
    found = diagnosed(account, ExecutionFailed(sample=5))
    assert found.evidence[0] == "5 of 22 failed executions looked at: 5 x KeyError"


def test_what_cannot_be_listed_is_told() -> None:
    """EXPRESS machines keep no list, and more than a thousand are not run again blindly."""
    assert "EXPRESS" in diagnosed(Account(kind="EXPRESS")).cause
    account = failed()
    account.truncated = True
    found = diagnosed(account)
    assert "more than 1000" in found.cause
    assert found.advice


def test_what_is_gone_is_refused() -> None:
    """A machine that is being deleted: never. Nothing left to run again: later, until the look shows it too."""
    with pytest.raises(Refused, match="DELETING") as refused:
        diagnosed(Account(status="DELETING"))
    assert refused.value.retry_after is None
    with pytest.raises(Refused, match="no failed execution is left") as refused:
        diagnosed(Account())
    assert refused.value.retry_after == minutes(1)
    account = failed()
    for run in account.runs.values():
        run.status = "SUCCEEDED"
    account.late = True
    with pytest.raises(Refused, match="no failed execution is left"):
        diagnosed(account)


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_the_plan_does_not_move_by_our_own_hand() -> None:
    """Which executions are left is not in it; which definition they would run by is."""
    plan, canary, rest = planned(failed())
    assert [call(step, "RedriveExecution").times for step in (canary, rest)] == [1, 5]
    assert {each.operation for each in canary.calls if each.operation == "StartExecution"} == set()
    assert planned(failed(1))[0].hash == plan.hash
    changed = failed(revision="r2")
    changed.revision = "r2"
    assert planned(changed)[0].hash != plan.hash
    assert call(planned(failed(), TWICE)[1], "StartExecution").resource == str(MACHINE)


# -- acting ------------------------------------------------------------------------------------------------------------


def test_one_first_then_a_few_a_minute() -> None:
    """The oldest first; the rest follows when it has succeeded."""
    cure = Cure(failed(8))
    cure.apply(cure.canary)
    assert cure.statuses() == ["SUCCEEDED", *["FAILED"] * 7]
    assert cure.progress(cure.canary) == (Progress.NEXT, "1 of 1 that were run again have succeeded")
    cure.apply(cure.rest)
    assert cure.statuses().count("SUCCEEDED") == 6
    assert cure.progress(cure.rest) == (Progress.AGAIN, "5 of 5 that were run again have succeeded")
    cure.apply(cure.rest)
    assert cure.progress(cure.rest) == (Progress.NEXT, "7 of 7 that were run again have succeeded")
    assert len(set(cure.account.tokens)) == 8
    assert {len(token) for token in cure.account.tokens} == {64}
    assert isinstance(FAILED.verify(TARGET, FINDING, cure.account.readings()), Healthy)


def test_where_one_was_all_there_is_nothing_more_to_do() -> None:
    """The first one is the only one."""
    cure = Cure(failed(1))
    cure.apply(cure.canary)
    assert cure.progress(cure.canary)[0] is Progress.NEXT


def test_it_waits_for_what_still_runs() -> None:
    """Also for what does not show yet: AWS is a little late."""
    cure = Cure(failed())
    cure.account.then = "RUNNING"
    cure.apply(cure.canary)
    assert cure.progress(cure.canary) == (Progress.WAIT, "0 of 1 that were run again have succeeded; 1 still run")
    cure.account.runs["doc-0"] = Run()
    assert cure.progress(cure.canary)[0] is Progress.WAIT
    cure.account.now += minutes(2)
    assert cure.progress(cure.canary) == (
        Progress.STOP,
        "0 of 1 that were run again have succeeded; 3 were not begun",
    )


def test_when_the_first_one_fails_again_all_is_stopped() -> None:
    """And in the next attempt it is not tried again, but told of."""
    cure = Cure(failed(2))
    cure.account.then = "FAILED"
    cure.apply(cure.canary)
    progress, why = cure.progress(cure.canary)
    assert (progress, why) == (Progress.STOP, "0 of 1 that were run again have succeeded; failed again: doc-0")
    cure.attempt = 2
    cure.account.then = "SUCCEEDED"
    cure.apply(cure.canary)
    assert cure.statuses() == ["FAILED", "SUCCEEDED"]
    progress, why = cure.progress(cure.canary)
    assert (progress, why) == (Progress.STOP, "1 of 1 that were run again have succeeded; 1 are for people: doc-0")


def test_of_the_others_one_may_fail_again_and_not_two() -> None:
    """One is told of in the end; at two nothing more is begun."""
    cure = Cure(failed(9))
    cure.apply(cure.canary)
    cure.apply(cure.rest)
    cure.account.runs["doc-1"].status = "ABORTED"
    assert cure.progress(cure.rest)[0] is Progress.AGAIN
    cure.account.runs["doc-2"].status = "FAILED"
    progress, why = cure.progress(cure.rest)
    assert (progress, why) == (Progress.STOP, "3 of 5 that were run again have succeeded; failed again: doc-1, doc-2")


def test_no_more_than_the_limit_in_one_incident() -> None:
    """What is left then is for people."""
    cure = Cure(failed(6), ExecutionFailed(limit=2))
    cure.apply(cure.canary)
    cure.apply(cure.rest)
    assert cure.statuses().count("SUCCEEDED") == 3
    assert cure.progress(cure.rest) == (
        Progress.STOP,
        "2 of 2 that were run again have succeeded; 3 were not begun",
    )


def test_none_is_begun_when_a_tick_is_nearly_over() -> None:
    """The next tick goes on."""
    cure = Cure(failed(3))
    cure.apply(cure.canary)
    cure.account.seconds = 15
    cure.apply(cure.rest)
    assert cure.statuses().count("FAILED") == 2
    assert cure.progress(cure.rest)[0] is Progress.AGAIN


def test_a_new_attempt_counts_anew() -> None:
    """What an earlier attempt had begun is not judged again."""
    cure = Cure(failed(4))
    cure.apply(cure.canary)
    cure.apply(cure.rest)
    cure.attempt = 2
    cure.apply(cure.rest)
    assert cure.progress(cure.rest) == (Progress.NEXT, "0 of 0 that were run again have succeeded")


def test_only_what_is_ours_is_touched() -> None:
    """Not poison, not what a person has aborted, not what has ended well since it was listed."""
    account = failed(1)
    account.runs |= {"doc-p": Run(error=POISON, ended=60), "doc-a": Run("ABORTED"), "doc-w": Run("SUCCEEDED", ended=50)}
    cure = Cure(account)
    account.late = True
    cure.apply(cure.rest)
    assert cure.statuses() == ["SUCCEEDED", "FAILED", "ABORTED", "SUCCEEDED"]
    assert account.runs["doc-w"].redrives == 0
    account.late = False
    progress, why = cure.progress(cure.rest)
    assert (progress, why) == (Progress.STOP, "1 of 1 that were run again have succeeded; 1 are for people: doc-p")


def test_a_machine_that_is_registered_no_more_is_left_alone() -> None:
    """Nobody can say any more what may be done about it."""
    cure = Cure(failed(1))
    cure.apply(cure.canary)
    cure.account.target = None
    assert cure.progress(cure.canary)[0] is Progress.STOP


def test_notes_that_were_lost_lead_to_no_second_first_one() -> None:
    """The tick died: it is asked again, and what was begun first stands in the memory."""
    cure = Cure(failed(3))
    cure.apply(cure.canary)
    cure.scratch.clear()
    assert cure.progress(cure.canary)[0] is Progress.AGAIN
    cure.apply(cure.canary)
    assert cure.statuses().count("SUCCEEDED") == 1
    assert cure.progress(cure.canary) == (Progress.STOP, "0 of 0 that were run again have succeeded; 2 were not begun")


# -- what AWS does not say ---------------------------------------------------------------------------------------------


def test_what_was_not_begun_is_not_counted() -> None:
    """AWS refuses one: it is left. AWS refuses because of too many calls, or the switch is off: the step ends."""
    cure = Cure(failed(2))
    cure.account.fails["act RedriveExecution"] = Rejected("states:RedriveExecution", "ExecutionNotRedrivable")
    cure.apply(cure.canary)
    assert (cure.scratch["canary"]["began"], set(cure.account.memory.values())) == ([], {0})
    for error in (Rejected("states:RedriveExecution", "ThrottlingException"), Stopped("off"), Missing("x", "y")):
        cure.account.fails["act RedriveExecution"] = error
        with pytest.raises(type(error)):
            cure.apply(cure.canary)
        assert (cure.scratch["canary"]["began"], set(cure.account.memory.values())) == ([], {0})


def test_an_answer_that_was_lost_is_looked_up() -> None:
    """It stays noted: where it was begun it shows; where it was not, it is begun once more, under the same token."""
    cure = Cure(failed(1))
    cure.account.fails["act RedriveExecution"] = Ambiguous("states:RedriveExecution", "ReadTimeoutError")
    with pytest.raises(Ambiguous):
        cure.apply(cure.canary)
    assert cure.account.memory["redriven doc-0"] == 1
    cure.account.again("doc-0", redriven=True)
    assert cure.progress(cure.canary)[0] is Progress.NEXT
    cure.account.runs["doc-0"] = Run()
    del cure.account.fails["act RedriveExecution"]
    cure.apply(cure.rest)
    assert cure.account.runs["doc-0"].redrives == 1
    assert cure.account.memory["redriven doc-0"] == 2


@pytest.mark.parametrize("remediation", [FAILED, TWICE])
def test_what_became_of_a_call_is_looked_up(remediation: ExecutionFailed) -> None:
    """A redrive leaves its date, a start its name; a read leaves nothing."""
    account = failed(1)
    _, canary, _ = planned(account, remediation)
    eyes = Eyes(account)
    for operation in ("ListExecutions", "DescribeExecution", "DescribeStateMachineForExecution"):
        assert remediation.reconcile(eyes, call(canary, operation), NOW) is Outcome.NOT_DONE
    redrive = call(canary, "RedriveExecution")
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.UNKNOWN
    assert remediation.reconcile(eyes, redrive, NOW - minutes(2)) is Outcome.NOT_DONE
    account.runs["doc-0"].redriven = 0
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.UNKNOWN  # a person's: we had noted none
    account.memory["redriven doc-0"] = 1
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.DONE
    account.runs["doc-1"], account.memory["redriven doc-1"] = Run(), 1
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.UNKNOWN  # one of two was, and may have had its answer
    account.runs["doc-1"].redrives = 1
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.DONE
    account.runs["doc-0"].redriven = 0.75  # minutes ago: that of the step before
    assert remediation.reconcile(eyes, redrive, NOW) is Outcome.UNKNOWN
    if remediation is TWICE:
        start = call(canary, "StartExecution")
        assert remediation.reconcile(eyes, start, NOW - minutes(2)) is Outcome.NOT_DONE
        account.runs["remed-1"] = Run("RUNNING", started=0)
        assert remediation.reconcile(eyes, start, NOW) is Outcome.DONE
    account.read = Unread("denied")
    with pytest.raises(Unreadable):
        remediation.reconcile(eyes, redrive, NOW)


# -- started anew ------------------------------------------------------------------------------------------------------


def test_what_cannot_be_redriven_is_started_anew_where_that_does_no_harm() -> None:
    """Once, with the same input, under a name made of its own; what can be redriven is."""
    account = failed(2)
    account.runs["doc-0"].redrivable = False
    cure = Cure(account, TWICE)
    cure.apply(cure.canary)
    [(name, anew)] = [(name, run) for name, run in account.runs.items() if name.startswith("remed-")]
    assert len(name) <= 80
    assert anew.input == SECRET
    assert cure.progress(cure.canary)[0] is Progress.NEXT
    cure.apply(cure.rest)
    assert cure.progress(cure.rest)[0] is Progress.NEXT
    assert [name for name in account.runs if name.startswith("remed-")] == [name]
    assert cure.statuses() == ["FAILED", "SUCCEEDED"]
    assert isinstance(TWICE.verify(TARGET, FINDING, account.readings()), Healthy)


def test_what_was_started_anew_is_not_started_again() -> None:
    """Not while it runs, and not when it has failed again, or was aborted: then it is told of."""
    account = failed(1)
    account.runs["doc-0"].redrivable = False
    cure = Cure(account, TWICE)
    account.then = "RUNNING"
    cure.apply(cure.canary)
    assert cure.progress(cure.canary)[0] is Progress.WAIT
    cure.apply(cure.rest)
    assert cure.scratch["rest"]["began"] == []
    assert isinstance(TWICE.verify(TARGET, FINDING, account.readings()), Unknown)
    [name] = [name for name in account.runs if name.startswith("remed-")]
    for status in ("FAILED", "ABORTED"):
        account.runs[name].status = status
        assert cure.progress(cure.canary) == (
            Progress.STOP,
            f"0 of 1 that were run again have succeeded; failed again: {name}",
        )
        account.now += minutes(15)
        assert "it was started anew, and failed again" in str(diagnosed(account, TWICE).evidence)
    assert [each for each in account.runs if each.startswith("remed-")] == [name]


def test_nothing_is_started_with_an_invented_input() -> None:
    """Where AWS does not show what went in, a person must."""
    account = failed(1, redrivable=False, input="")
    found = diagnosed(account, TWICE)
    assert "0 bytes of input: AWS cannot redrive it, and AWS does not show its input" in found.evidence[1]


def test_a_start_whose_answer_was_lost_is_done_where_the_name_is_there() -> None:
    """The name can exist only once: where AWS says so, it was begun. Anything else that AWS refuses was not."""
    account = failed(1)
    account.runs["doc-0"].redrivable = False
    cure = Cure(account, TWICE)
    account.fails["act StartExecution"] = Rejected("states:StartExecution", "ExecutionAlreadyExists")
    cure.apply(cure.canary)
    assert len(cure.scratch["canary"]["began"]) == 1
    assert cure.progress(cure.canary)[0] is Progress.WAIT
    account.now += minutes(2)
    assert cure.progress(cure.canary)[0] is Progress.STOP
    account.fails["act StartExecution"] = Rejected("states:StartExecution", "ExecutionLimitExceeded")
    cure.apply(cure.rest)
    assert cure.scratch["rest"]["began"] == []
