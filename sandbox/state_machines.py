"""
State machines of Step Functions: executions that take their steps one after the other, on the world's clock.

Gap filled: moto runs no definition and knows no RedriveExecution, so all that is asked of Step Functions is answered
here, on both clouds. A step needs a dependency, which may be down: then the execution fails with that step's error.
A redrive goes on from the step that failed, by the definition that the execution began with; what went before is not
done again.

What is simpler than in AWS: a step fails at once and is not retried, lists and descriptions are never late, and nobody
has encrypted anything with a key of their own.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.clock import Agenda, Order, from_ms, span_ms
from sandbox.consumers import Dependencies
from sandbox.metrics import Metrics
from sandbox.seam import Answer, AwsError, Call, Seam

__all__ = ["Execution", "StateMachine", "StateMachines", "TaskStep"]

ENDED_BADLY = ("FAILED", "TIMED_OUT", "ABORTED")
REDRIVABLE = timedelta(days=14)
TOKENS = 10  # client tokens that AWS remembers for one execution
TOKEN_LIVES = timedelta(minutes=15)
PAGE = 100
_METRICS = {
    "RUNNING": "ExecutionsStarted",
    "SUCCEEDED": "ExecutionsSucceeded",
    "FAILED": "ExecutionsFailed",
    "TIMED_OUT": "ExecutionsTimedOut",
    "ABORTED": "ExecutionsAborted",
}


@dataclass(frozen=True)
class TaskStep:
    """
    One step: how long it takes, what it needs, and what an execution fails with while that is down.

    ``times_out``: it hangs then, until the whole execution times out.
    """

    name: str
    takes: timedelta = timedelta(seconds=10)
    needs: str = ""
    error: str = "Lambda.ServiceException"
    times_out: bool = False


@dataclass(eq=False)
class Execution:
    """One execution. ``runs`` counts how often it was begun: once, and once more for each redrive."""

    arn: str
    name: str
    input: str
    revision: str
    started_ms: int
    status: str = "RUNNING"
    step: int = 0
    stopped_ms: int | None = None
    error: str | None = None
    redriven_ms: int | None = None
    runs: int = 1
    lost: bool = False  # whether its history is too long for a redrive
    tokens: dict[str, int] = field(default_factory=dict)

    @property
    def redrives(self) -> int:
        """How often it was redriven."""
        return self.runs - 1


@dataclass(eq=False)
class StateMachine:
    """
    One state machine, its executions, and what they did.

    ``done`` counts how often each step was done for each input: the ground truth. ``bad`` names the step at which an
    input fails for ever, if there is one.
    """

    arn: str
    steps: tuple[TaskStep, ...]
    kind: str = "STANDARD"
    status: str = "ACTIVE"
    revision: str = ""  # the first one has no name
    bad: Callable[[str], str | None] = lambda _text: None
    tags: dict[str, str] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    measured: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        """Its own name."""
        return self.arn.rsplit(":", 1)[1]

    def of(self, *statuses: str) -> list[Execution]:
        """Its executions of these statuses, oldest first."""
        return [each for each in self.executions.values() if each.status in statuses]

    @property
    def finished(self) -> Counter[str]:
        """How often each input came to the end."""
        last = self.steps[-1].name
        return Counter({text: times for (step, text), times in self.done.items() if step == last})


class StateMachines:
    """The state machines of the account, and what Step Functions answers about them."""

    def __init__(
        self, agenda: Agenda, dependencies: Dependencies, metrics: Metrics, seam: Seam, place: tuple[str, str]
    ) -> None:
        self.all: dict[str, StateMachine] = {}
        self._agenda = agenda
        self._dependencies = dependencies
        self._metrics = metrics
        self._account, self._region = place
        seam.fake(
            "stepfunctions",
            DescribeStateMachine=self._describe,
            DescribeStateMachineForExecution=self._definition_of,
            DescribeExecution=self._described,
            ListExecutions=self._list,
            ListTagsForResource=self._tags,
            StartExecution=self._start,
            RedriveExecution=self._redrive,
        )

    def make(self, name: str, *steps: TaskStep, **more: Any) -> StateMachine:
        """Somebody makes a state machine."""
        arn = f"arn:aws:states:{self._region}:{self._account}:stateMachine:{name}"
        self.all[arn] = StateMachine(arn, steps, **more)
        return self.all[arn]

    # -- physics

    def start(self, machine: StateMachine, name: str, text: str) -> Execution:
        """Begin an execution."""
        arn = f"{machine.arn.replace(':stateMachine:', ':execution:')}:{name}"
        execution = Execution(arn, name, text, machine.revision, self._agenda.ms)
        machine.executions[name] = execution
        machine.measured["RUNNING"] += 1
        self._go_on(machine, execution)
        return execution

    def abort(self, machine: StateMachine, name: str) -> None:
        """A person stops an execution."""
        self._end(machine, machine.executions[name], "ABORTED")

    def redrive(self, machine: StateMachine, execution: Execution) -> None:
        """Go on with an execution that ended badly, where it did."""
        execution.status, execution.stopped_ms, execution.error = "RUNNING", None, None
        execution.redriven_ms = self._agenda.ms
        execution.runs += 1
        self._go_on(machine, execution)

    def release(self, machine: StateMachine, revision: str) -> None:
        """Somebody changes the machine's definition; executions keep the one that they began with."""
        machine.revision = revision

    def _go_on(self, machine: StateMachine, execution: Execution) -> None:
        due = self._agenda.ms + span_ms(machine.steps[execution.step].takes)
        run = execution.runs
        self._agenda.at_ms(due, lambda: self._take_step(machine, execution, run), Order.PHYSICS)

    def _take_step(self, machine: StateMachine, execution: Execution, run: int) -> None:
        if execution.status != "RUNNING" or execution.runs != run:
            return
        step = machine.steps[execution.step]
        if step.needs in self._dependencies.down:
            if step.times_out:  # AWS names no error then
                self._end(machine, execution, "TIMED_OUT")
            else:
                self._end(machine, execution, "FAILED", step.error)
        elif machine.bad(execution.input) == step.name:
            self._end(machine, execution, "FAILED", "States.Runtime")
        else:
            machine.done[step.name, execution.input] += 1
            execution.step += 1
            if execution.step < len(machine.steps):
                self._go_on(machine, execution)
            else:
                self._end(machine, execution, "SUCCEEDED")

    def _end(self, machine: StateMachine, execution: Execution, status: str, error: str | None = None) -> None:
        execution.status, execution.stopped_ms, execution.error = status, self._agenda.ms, error
        machine.measured[status] += 1

    def measure(self, minute: int) -> None:
        """A minute of each machine, as Step Functions measures it: only what happened is reported."""
        for machine in self.all.values():
            for status, count in machine.measured.items():
                self._metrics.of("AWS/States", _METRICS[status], {"StateMachineArn": machine.arn}).put(
                    minute, float(count)
                )
            machine.measured.clear()

    # -- what AWS answers

    def _machine(self, arn: str) -> StateMachine:
        if arn not in self.all:
            raise AwsError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")
        return self.all[arn]

    def _execution(self, call: Call) -> tuple[StateMachine, Execution]:
        arn = call.params["executionArn"]
        machine = self.all.get(arn.rpartition(":")[0].replace(":execution:", ":stateMachine:"))
        execution = machine.executions.get(arn.rpartition(":")[2]) if machine is not None else None
        if machine is None or execution is None:
            raise AwsError("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")
        return machine, execution

    def _describe(self, call: Call) -> Answer:
        machine = self._machine(call.params["stateMachineArn"])
        return {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "status": machine.status,
            "type": machine.kind,
            "roleArn": f"arn:aws:iam::{self._account}:role/{machine.name}",
            "definition": "" if call.params.get("includedData") == "METADATA_ONLY" else "{}",
            "creationDate": from_ms(0),
            **({"revisionId": machine.revision} if machine.revision else {}),
        }

    def _definition_of(self, call: Call) -> Answer:
        machine, execution = self._execution(call)
        return {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "roleArn": f"arn:aws:iam::{self._account}:role/{machine.name}",
            "definition": "" if call.params.get("includedData") == "METADATA_ONLY" else "{}",
            "updateDate": from_ms(0),
            **({"revisionId": execution.revision} if execution.revision else {}),
        }

    def _described(self, call: Call) -> Answer:
        machine, execution = self._execution(call)
        redrivable = self._why_not(execution) is None
        more = {"error": execution.error, "cause": None if execution.error is None else f"about {execution.input}"}
        return {
            **self._entry(machine, execution),
            "input": execution.input,
            **{name: value for name, value in more.items() if value is not None},
            "redriveStatus": "REDRIVABLE" if redrivable else "NOT_REDRIVABLE",
        }

    def _why_not(self, execution: Execution) -> str | None:
        if execution.status not in ENDED_BADLY or execution.stopped_ms is None:
            return f"Execution is {execution.status} and cannot be redriven"
        if execution.lost:
            return "Execution history event limit exceeded"
        late = self._agenda.ms - execution.stopped_ms > span_ms(REDRIVABLE)
        return "Execution redrivable period exceeded" if late else None

    @staticmethod
    def _entry(machine: StateMachine, execution: Execution) -> Answer:
        times: Mapping[str, int | None] = {
            "startDate": execution.started_ms,
            "stopDate": execution.stopped_ms,
            "redriveDate": execution.redriven_ms,
        }
        return {
            "executionArn": execution.arn,
            "stateMachineArn": machine.arn,
            "name": execution.name,
            "status": execution.status,
            "redriveCount": execution.redrives,
            **{name: from_ms(ms) for name, ms in times.items() if ms is not None},
        }

    def _list(self, call: Call) -> Answer:
        machine = self._machine(call.params["stateMachineArn"])
        if machine.kind == "EXPRESS":
            raise AwsError("StateMachineTypeNotSupported", "This operation is not supported by this type of machine")
        wanted = call.params.get("statusFilter")
        found = [each for each in machine.executions.values() if wanted in {None, each.status}]
        found.sort(key=lambda each: each.started_ms, reverse=True)
        first, most = int(call.params.get("nextToken") or 0), call.params.get("maxResults") or PAGE
        more = {"nextToken": str(first + most)} if len(found) > first + most else {}
        return {"executions": [self._entry(machine, each) for each in found[first : first + most]], **more}

    def _tags(self, call: Call) -> Answer:
        machine = self.all.get(call.params["resourceArn"])
        if machine is None:
            raise AwsError("ResourceNotFound", "Resource not found")
        return {"tags": [{"key": key, "value": value} for key, value in machine.tags.items()]}

    def _start(self, call: Call) -> Answer:
        machine = self._machine(call.params["stateMachineArn"])
        name, text = call.params["name"], call.params.get("input", "{}")
        there = machine.executions.get(name)
        if there is not None and (there.status != "RUNNING" or there.input != text):
            raise AwsError("ExecutionAlreadyExists", f"Execution Already Exists: '{there.arn}'")
        execution = there or self.start(machine, name, text)
        return {"executionArn": execution.arn, "startDate": from_ms(execution.started_ms)}

    def _redrive(self, call: Call) -> Answer:
        machine, execution = self._execution(call)
        if machine.kind == "EXPRESS":
            raise AwsError("StateMachineTypeNotSupported", "This operation is not supported by this type of machine")
        token, now = call.params.get("clientToken"), self._agenda.ms
        known = dict(list(execution.tokens.items())[-TOKENS:])
        if token in known and now - known[token] <= span_ms(TOKEN_LIVES):
            return {"redriveDate": from_ms(known[token])}
        why_not = self._why_not(execution)
        if why_not is not None:
            raise AwsError("ExecutionNotRedrivable", why_not)
        if token is not None:
            execution.tokens[token] = now
        self.redrive(machine, execution)
        return {"redriveDate": from_ms(now)}
