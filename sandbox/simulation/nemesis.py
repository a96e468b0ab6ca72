"""
What goes wrong, call by call.

Nothing is drawn while it happens: whether the third `dynamodb.Query` of a run is throttled follows from the seed, the
name and the number three. So a run can be repeated with fewer faults and everything else as it was, which is how a
failing seed becomes a short story. Each seed has its own mixture: some runs are nearly quiet, some meet one kind of
fault only, some meet all of them.
"""

from __future__ import annotations

import copy
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from sandbox.clock import Order
from sandbox.seam import AwsError, Call, Do, Outcome, refused
from sandbox.simulation.hub import Fate, Running
from sandbox.trail import READS

if TYPE_CHECKING:
    from sandbox.world import World

__all__ = ["Death", "Denial", "Fault", "Nemesis", "Weather"]

STALE_MS = 60_000
"""how old a stale answer may be"""
AIM = 5.0
"""how much more often a call is struck that acts on a target: there are few of them, and they matter most"""
LATE_MS = 40_000
"""how much later a request may take effect whose caller has given up"""
_STALE = {
    "cloudformation.DescribeStacks",
    "dynamodb.DescribeTable",
    "ecs.DescribeServices",
    "ecs.ListServiceDeployments",
    "ecs.ListTasks",
    "sqs.GetQueueAttributes",
    "sqs.ListQueues",
}
"""reads whose answers may be old, besides queries of an index"""
_MASK = (1 << 32) - 1
_SCALE = float(1 << 32)


class Fault(StrEnum):
    """What can happen to a call."""

    THROTTLED = "throttled"
    ERROR_BEFORE = "5xx before the effect"
    ERROR_AFTER = "5xx after the effect"
    TIMEOUT_BEFORE = "timeout before the effect"
    TIMEOUT_AFTER = "timeout after the effect"
    LANDS_LATE = "timeout, and the effect lands later"
    CRASH_BEFORE = "crash before the call"
    CRASH_AFTER = "crash after the call"
    SLOW = "slow call"
    STALE = "stale read"
    DENIED = "access denied"


_WRITES_ONLY = frozenset({Fault.ERROR_AFTER, Fault.TIMEOUT_AFTER, Fault.LANDS_LATE})


@dataclass(frozen=True, slots=True)
class Denial:
    """An operation that is denied for a while (milliseconds of the epoch): somebody has edited a policy."""

    name: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Death:
    """A crash at one call of a run, counted over all functions from 1, on one side of it; of everybody, or of one."""

    call: int
    after: bool = False
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class Weather:
    """The mixture of one run: how often each fault strikes a call that it can strike, and until when."""

    rates: Mapping[Fault, float] = field(default_factory=dict)
    denials: tuple[Denial, ...] = ()
    skew_ms: int = 0
    until_ms: int = 0
    death: Death | None = None


class Nemesis:
    """Decides the fate of every call of a function. ``only``: the strikes that happen; None for all that are drawn."""

    def __init__(self, world: World, seed: int, weather: Weather, *, only: frozenset[str] | None = None) -> None:
        self.struck: list[tuple[str, Fault, int]] = []  # key, fault, when
        self.counts: Counter[Fault] = Counter()
        self.effects: list[Call] = []
        self.calls: list[Call] = []  # of functions, in the order in which they were begun
        self._world = world
        self._agenda = world.agenda
        self._seed = seed
        self._weather = weather
        self._only = only
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._answers: dict[str, tuple[int, Outcome]] = {}
        self.ambushes: list[tuple[int, Callable[[], object]]] = []  # after so many more writes to targets: do that
        self._rates = [(fault, rate) for fault, rate in weather.rates.items() if rate]
        self._total = sum(rate for _, rate in self._rates)
        arounds = world.seam.arounds
        arounds.insert(arounds.index(world.trail.around) + 1, self.around)
        arounds.append(self._effect)

    def skew_ms(self, function: str, number: int) -> int:
        """How far the clock of an invocation is off."""
        most = self._weather.skew_ms
        return int((2 * self._chance("skew", function, number) - 1) * most) if most else 0

    # -- fate

    def fate(self, call: Call, running: Running) -> Fate:
        """What is in store for a call."""
        self.calls.append(call)
        name = call.name
        self._numbers[name] = number = self._numbers[name] + 1
        chance = self._chance("", name, number)
        takes = 4 + int(chance * 1009) % 40
        death = self._weather.death
        if death is not None and death.call == len(self.calls):
            return Fate(takes, crash_before=not death.after, crash_after=death.after, everybody=death.everybody)
        if self._agenda.ms >= self._weather.until_ms:
            return Fate(takes)
        fault = self._denied(call)
        aimed = chance / AIM if call.principal.role_arn is not None else chance
        if fault is None and aimed < self._total:
            fault = self._chosen(aimed, call)
        if fault is None:
            return Fate(takes)
        key = f"{name}/{number}"
        if self._only is not None and key not in self._only:
            return Fate(takes)
        self.struck.append((key, fault, self._agenda.ms))
        self.counts[fault] += 1
        running.faults.append(fault.value)
        match fault:
            case Fault.CRASH_BEFORE:
                return Fate(takes, crash_before=True)
            case Fault.CRASH_AFTER:
                return Fate(takes, crash_after=True)
            case Fault.SLOW:
                span = (5_000, 30_000, 100_000)[int(self._chance("slow", name, number) * 3)]
                before = self._chance("side", name, number) < 0.5
                return Fate(takes + span) if before else Fate(takes, answers_ms=span)
        call.notes["fault"] = fault
        if fault in (Fault.TIMEOUT_AFTER, Fault.TIMEOUT_BEFORE, Fault.LANDS_LATE):
            return Fate(takes, answers_ms=3_000 if fault is Fault.TIMEOUT_BEFORE else self._patience(call))
        return Fate(takes)

    @staticmethod
    def _patience(call: Call) -> int:
        """How long the caller waits for an answer (aws.py: 10 s for its own and for reading, 20 s for acting)."""
        return 20_000 if call.principal.role_arn is not None else 10_000

    def _chosen(self, chance: float, call: Call) -> Fault | None:
        for fault, rate in self._rates:
            if chance < rate:
                reads = call.operation.startswith(READS)
                if (fault in _WRITES_ONLY and reads) or (fault is Fault.STALE and _subject(call) is None):
                    return None
                return fault
            chance -= rate
        return None

    def _denied(self, call: Call) -> Fault | None:
        now = self._agenda.ms
        for denial in self._weather.denials:
            if denial.name == call.name and denial.start_ms <= now < denial.end_ms:
                return Fault.DENIED
        return None

    def _chance(self, what: str, name: str, number: int) -> float:
        """Between 0 and 1, always the same for the same (hashes of whole numbers do not depend on the process)."""
        return (hash((self._seed, _id(what), _id(name), number)) & _MASK) / _SCALE

    # -- at the seam

    def around(self, call: Call, do: Do) -> Outcome:
        """Let a fault have its way with a call, on its side of the effect."""
        fault = call.notes.get("fault")
        if fault is None:
            subject = _subject(call)
            if subject is None or not call.function:
                return do()
            return self._remembered(subject, do)
        call.injected = fault.value
        return self._strike(fault, call, do)

    def _remembered(self, subject: str, do: Do) -> Outcome:
        """Answer with what is so now, which somebody may be told again later."""
        outcome = do()
        self._answers[subject] = (self._agenda.ms, copy.copy(outcome))
        return outcome

    def _strike(self, fault: Fault, call: Call, do: Do) -> Outcome:
        match fault:
            case Fault.THROTTLED:
                return refused(call, AwsError("ThrottlingException", "Rate exceeded"))
            case Fault.DENIED:
                code = "AccessDenied" if call.service in ("sqs", "s3", "sts") else "AccessDeniedException"
                return refused(call, AwsError(code, f"not authorized to perform {call.name}", 403))
            case Fault.STALE:
                subject = _subject(call) or ""
                old = self._answers.get(subject)
                fresh = old is not None and old[0] >= self._agenda.ms - STALE_MS
                return old[1] if old is not None and fresh else self._remembered(subject, do)
            case Fault.TIMEOUT_BEFORE:
                return None, ConnectTimeoutError(endpoint_url=call.url)
            case Fault.LANDS_LATE:
                late = int(self._chance("late", call.name, call.number) * LATE_MS)
                self._agenda.at_ms(self._agenda.ms + late, do)
            case Fault.ERROR_AFTER | Fault.TIMEOUT_AFTER:
                do()
        if fault in (Fault.ERROR_AFTER, Fault.ERROR_BEFORE):
            return refused(call, AwsError("InternalFailure", "We encountered an internal error.", 500))
        return None, ReadTimeoutError(endpoint_url=call.url)

    def _effect(self, call: Call, do: Do) -> Outcome:
        """Note what really happened, whatever its caller was told, and when."""
        outcome = do()
        response, raised = outcome
        happened = raised is None and response is not None and response[0].status_code < 300
        if happened and response is not None and (call.principal.role_arn is not None or call.service == "sns"):
            call.notes["effect_ms"] = self._agenda.ms
            call.notes["answer"] = response[1]
            self.effects.append(call)
        if happened and call.principal.role_arn is not None:
            self._spring()
        return outcome

    def _spring(self) -> None:
        """Something was written to a target: whoever waits for that does what he came for, before the next call."""
        waiting = [(after - 1, do) for after, do in self.ambushes]
        self.ambushes = [(after, do) for after, do in waiting if after > 0]
        for after, do in waiting:
            if after <= 0:
                self._agenda.at_ms(self._agenda.ms, do, Order.PHYSICS)


@cache
def _id(text: str) -> int:
    return zlib.crc32(text.encode())


def _subject(call: Call) -> str | None:
    """What an answer that may be old is about: equal for equal questions. None where answers are never old."""
    if call.name == "dynamodb.Query":
        return f"index {call.params['ExpressionAttributeValues'][':shard']}" if "IndexName" in call.params else None
    params: dict[str, Any] = call.params
    if call.name == "dynamodb.GetItem":
        return None if params.get("ConsistentRead") else f"item {params['Key']}"
    if call.name == "dynamodb.BatchGetItem":
        [request] = params["RequestItems"].values()
        return None if request.get("ConsistentRead") else f"items {request['Keys']}"
    if call.name not in _STALE:
        return None
    return call.name + repr(sorted((name, repr(value)) for name, value in params.items()))
