"""
Faults, injected at the seam: what AWS does to its callers on a bad day, and what the world does to a process.

A fault stands between the caller and the effect, so that the effect really does or really does not happen:
throttling, 5xx and AccessDenied before it; a lost answer, a 5xx or a crash after it; a request that times out
and lands later all the same. The SDK's retries see the fault as they would see the real one. The operator's
calls are spared unless a fault asks for them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from random import Random
from typing import Any

from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from sandbox.clock import Agenda
from sandbox.seam import AwsError, Call, Do, Outcome, refused


class Crash(BaseException):
    """The process is gone. Not an Exception: nothing in the code under test may catch it."""


class Kind(StrEnum):
    """What goes wrong, and on which side of the effect."""

    THROTTLED = "throttled"
    DENIED = "access denied"
    ERROR_BEFORE = "5xx before the effect"
    ERROR_AFTER = "5xx after the effect"
    TIMEOUT_BEFORE = "timeout before the effect"
    TIMEOUT_AFTER = "timeout after the effect"
    LANDS_LATE = "timeout, and the effect lands later"
    CRASH_BEFORE = "crash before the effect"
    CRASH_AFTER = "crash after the effect"


AFTER = (Kind.ERROR_AFTER, Kind.TIMEOUT_AFTER, Kind.CRASH_AFTER)

Match = Callable[[Call], bool]


def functions_only(call: Call) -> bool:
    """Every caller but the operator."""
    return call.principal.name != "operator"


@dataclass
class Fault:
    """One thing that goes wrong: for which calls, how often, after how many, how likely."""

    kind: Kind
    name: str | None = None  # "sqs.SendMessage", "sqs.*", or None for every call
    times: int | None = 1
    skip: int = 0
    chance: float = 1.0
    where: Match = functions_only
    late_by: timedelta = timedelta(seconds=30)
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def concerns(self, call: Call) -> bool:
        """Whether the fault is about this call at all."""
        if self.times is not None and self.struck >= self.times:
            return False
        if self.name is not None and self.name not in (call.name, f"{call.service}.*"):
            return False
        return self.where(call)

    def strikes(self, dice: Random) -> bool:
        """Count the call, and decide."""
        self.seen += 1
        if self.seen <= self.skip or (self.chance < 1 and dice.random() >= self.chance):
            return False
        self.struck += 1
        return True


class Faults:
    """The plan of what goes wrong. Empty until somebody plans something."""

    def __init__(self, agenda: Agenda, dice: Random) -> None:
        self.plan: list[Fault] = []
        self._agenda = agenda
        self._dice = dice

    def add(self, kind: Kind, name: str | None = None, **more: Any) -> Fault:
        """Plan a fault: `world.faults.add(Kind.THROTTLED, "sqs.SendMessage", times=2)`."""
        fault = Fault(kind, name, **more)
        self.plan.append(fault)
        return fault

    def crash(self, at_call: int, *, after: bool = False, where: Match = functions_only) -> Fault:
        """Crash the process at the k-th call from now (the first is 1), before or after its effect."""
        return self.add(Kind.CRASH_AFTER if after else Kind.CRASH_BEFORE, skip=at_call - 1, where=where)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.plan.clear()

    def around(self, call: Call, do: Do) -> Outcome:
        """Let the first fault that strikes have its way with a call."""
        fault = next((each for each in self.plan if each.concerns(call) and each.strikes(self._dice)), None)
        if fault is None:
            return do()
        call.injected = fault.kind.value
        if fault.kind in AFTER:
            do()
        elif fault.kind is Kind.LANDS_LATE:
            self._agenda.at(fault.late_by, do)
        return self._outcome(fault.kind, call)

    @staticmethod
    def _outcome(kind: Kind, call: Call) -> Outcome:
        match kind:
            case Kind.CRASH_BEFORE | Kind.CRASH_AFTER:
                raise Crash(f"{kind} of {call.name} (call {call.number})")
            case Kind.THROTTLED:
                return refused(call, AwsError("ThrottlingException", "Rate exceeded"))
            case Kind.DENIED:
                message = f"User: {call.principal.name} is not authorized to perform: {call.service}:{call.operation}"
                return refused(
                    call, AwsError("AccessDenied" if call.service == "sqs" else "AccessDeniedException", message, 403)
                )
            case Kind.ERROR_BEFORE | Kind.ERROR_AFTER:
                return refused(
                    call, AwsError("InternalFailure", "We encountered an internal error. Please try again.", 500)
                )
            case Kind.TIMEOUT_BEFORE:
                return None, ConnectTimeoutError(endpoint_url=call.url)
            case _:
                return None, ReadTimeoutError(endpoint_url=call.url)
