"""
OpenData Pulse (runbook 1) once more: its functions, which share the concurrency of one account.

Gap filled: moto knows no GetAccountSettings, lets anybody reserve what others need, and measures nothing. Here a
function is so many calls a minute, each of which takes a while: as many run at once as come in, up to what is reserved
for it, or to what all without a reservation share. What is more is turned away, and is neither a call nor an error.

Causes     more comes in; what it calls is slow, or busy; it fails; others use the account up; somebody reserves, stops
           it, or gives an event source a limit of its own

Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sandbox.clock import Order
from sandbox.metrics import Sample
from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = ["FUNCTION", "PulseFunction", "PulseFunctions", "functions_configuration", "functions_target"]

FUNCTION = "opendata-pulse-etl"
_NAMESPACE = "AWS/Lambda"
_LEAST = 100  # that AWS keeps for functions without a reservation
_RESERVED = "ReservedConcurrentExecutions"


@dataclass(eq=False)
class PulseFunction:
    """One function: what it is asked for, how long a call takes, and what it may have."""

    name: str
    changed: datetime
    reserved: int | None = 10
    asks: int = 60  # calls a minute
    waiting: int = 0  # that were turned away, and come again the next minute
    comes_again: bool = False  # whether they do: a queue's messages, an event that nobody waits for
    takes: float = 2.0  # seconds
    shares: int | None = None  # calls at once that what it needs can serve: more of them only wait for each other
    failing: float = 0.0  # share of calls
    too_fast: int = 0  # calls a minute that come in bursts of less than a second, and are turned away for that
    source_limit: int | None = None  # the MaximumConcurrency of its event source mapping
    measured: bool = True
    state: str = "Active"  # as Lambda says: Inactive is idle, Failed cannot be called
    tags: dict[str, str] = field(default_factory=lambda: dict(OPT_IN))


@dataclass(frozen=True, slots=True)
class _Minute:
    """What became of a function's calls in a minute."""

    ran: int = 0
    away: int = 0
    at_once: int = 0
    seconds: float = 0.0


class PulseFunctions:
    """The functions of an account, its limit, and what can go wrong with them."""

    def __init__(self, world: World, *names: str, limit: int = 1000) -> None:
        self.world = world
        self.limit = limit
        self.others = 20  # that run at once of functions nobody looks after here, none of which has a reservation
        since = world.now - timedelta(days=9)
        self.all = {name: PulseFunction(name, since) for name in names or (FUNCTION,)}
        self.silent = False  # whether Lambda says nothing of the account's limits
        world.every(timedelta(minutes=1), self._measure, order=Order.METERS)
        world.seam.fake(
            "lambda",
            GetAccountSettings=self._settings,
            GetFunctionConfiguration=self._configuration,
            GetFunctionConcurrency=self._concurrency,
            PutFunctionConcurrency=self._reserve,
            ListEventSourceMappings=self._mappings,
            ListTags=lambda call: {"Tags": dict(self._of_arn(str(call.params["Resource"])).tags)},
        )

    # -- what is so

    @property
    def etl(self) -> PulseFunction:
        """The first of them."""
        return next(iter(self.all.values()))

    def arn(self, name: str = "") -> str:
        """A function's ARN."""
        return self.world.arn("lambda", f"function:{name or self.etl.name}")

    @property
    def unreserved(self) -> int:
        """What functions without a reservation share."""
        return self.limit - sum(each.reserved or 0 for each in self.all.values())

    def well(self, function: PulseFunction) -> bool:
        """Whether it takes all that it is asked for."""
        return not function.too_fast and not self._minute(function).away

    # -- causes

    def has_a_past(self, minutes: int = 120) -> None:
        """It has been called as it is now for a while before this world began."""
        now = self.world.agenda.ms // 60_000 - 1
        for function in self.all.values():
            ran = self._minute(function).ran
            for minute in range(now - minutes, now) if ran else ():
                self._put(function, "Duration", minute, Sample.of([1000 * function.takes] * ran))

    # -- physics

    def _minute(self, function: PulseFunction) -> _Minute:
        asked = function.asks + function.waiting
        most = max(self.unreserved - self.others, 0) if function.reserved is None else function.reserved
        if not most or not asked:
            return _Minute(away=asked)
        at_once = min(most, math.ceil(asked * function.takes / 60))
        seconds = function.takes * max(1.0, at_once / (function.shares or at_once))
        ran = min(asked, int(most * 60 / seconds))
        return _Minute(ran, asked - ran, min(most, math.ceil(ran * seconds / 60)), seconds)

    def _measure(self) -> None:
        """A minute of everybody's calls, as Lambda measures them; of who was not called it reports nothing."""
        minute, shared = self.world.agenda.ms // 60_000 - 1, self.others
        for function in self.all.values():
            came = self._minute(function)
            function.waiting = came.away if function.comes_again and function.reserved != 0 else 0
            away = came.away + function.too_fast
            if away or came.ran:
                self._put(function, "Throttles", minute, float(away))
            if came.ran:
                self._put(function, "Invocations", minute, float(came.ran))
                self._put(function, "Errors", minute, float(round(came.ran * function.failing)))
                self._put(function, "Duration", minute, Sample.of([1000 * came.seconds] * came.ran))
                if function.measured:
                    self._put(function, "ConcurrentExecutions", minute, float(came.at_once))
            shared += came.at_once if function.reserved is None else 0
        if shared:
            self.world.metrics.of(_NAMESPACE, "UnreservedConcurrentExecutions").put(minute, float(shared))

    def _put(self, function: PulseFunction, metric: str, minute: int, value: float | Sample) -> None:
        self.world.metrics.of(_NAMESPACE, metric, {"FunctionName": function.name}).put(minute, value)

    # -- the calls

    def _named(self, call: Call) -> PulseFunction:
        found = self.all.get(str(call.params["FunctionName"]))
        if found is None:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        return found

    def _of_arn(self, arn: str) -> PulseFunction:
        return self.all[arn.split(":")[6]]

    def _settings(self, call: Call) -> Answer:
        if self.silent:
            return {}
        limit = {"ConcurrentExecutions": self.limit, "UnreservedConcurrentExecutions": self.unreserved}
        return {"AccountLimit": limit, "AccountUsage": {"FunctionCount": len(self.all)}}

    def _configuration(self, call: Call) -> Answer:
        function = self._named(call)
        return {
            "FunctionName": function.name,
            "FunctionArn": self.arn(function.name),
            "Timeout": 60,
            "MemorySize": 256,
            "State": function.state,
            "LastUpdateStatus": "Successful",
            "LastModified": f"{function.changed.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000",
        }

    def _concurrency(self, call: Call) -> Answer:
        reserved = self._named(call).reserved
        return {} if reserved is None else {_RESERVED: reserved}

    def _reserve(self, call: Call) -> Answer:
        """AWS takes no reservation that would leave the others less than a hundred."""
        function, wanted = self._named(call), int(call.params[_RESERVED])
        if wanted and self.unreserved + (function.reserved or 0) - wanted < _LEAST:
            raise AwsError(
                "InvalidParameterValueException",
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
                f"below its minimum value of [{_LEAST}].",
            )
        function.reserved = wanted
        return {_RESERVED: wanted}

    def _mappings(self, call: Call) -> Answer:
        function = self.all.get(str(call.params.get("FunctionName")))
        if function is None or function.source_limit is None:
            return {"EventSourceMappings": []}
        mapping = {
            "UUID": "0",
            "FunctionArn": self.arn(function.name),
            "EventSourceArn": self.world.arn("sqs", f"{function.name}-events"),
            "State": "Enabled",
            "ScalingConfig": {"MaximumConcurrency": function.source_limit},
        }
        return {"EventSourceMappings": [mapping]}


def functions_target(system: PulseFunctions, name: str = "", *, mode: str = "auto", more: str = "") -> str:
    """A function as a target of a configuration."""
    return f'\n[[systems.targets]]\narn = "{system.arn(name)}"\nmode = "{mode}"\n{more}\n'


def functions_configuration(
    system: PulseFunctions, *, tables: str, mode: str = "auto", names: Iterable[str] | None = None, more: str = ""
) -> str:
    """A deployment's TOML for functions, and for whatever remediations ``tables`` has."""
    world = system.world
    targets = "".join(functions_target(system, name, mode=mode, more=more) for name in names or system.all)
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

{tables}

[[systems]]
name = "pulse"
{targets}
"""
