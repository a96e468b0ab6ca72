"""
What people keep up, and forget: it goes wrong over days, and nothing fails until it does.

A remediation of this kind names one reading of its target (a secret, a certificate) and says what that means
(:meth:`Upkeep.judge`); the rest is the same for all of them. It is looked at once an hour, in a minute of its own, told
once, and again when it says something else or a week has passed; it is over when it was mended.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from nightshift.errors import Refused, Unreadable
from nightshift.model import (
    Alternative,
    Diagnosis,
    Finding,
    Healthy,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread

__all__ = ["READ_ONLY", "WRITE", "Neglected", "Upkeep", "day", "moment", "time_of"]

READ_ONLY, WRITE = "(read only)", "(a write)"
"""what stands behind a command in an advice"""


@dataclass(frozen=True, slots=True)
class Neglected:
    """
    What is wrong with a target, as people are told it.

    The symptom must read the same tomorrow, so it names dates and no ages: one that reads otherwise is told anew.
    """

    symptom: str
    cause: str
    advice: tuple[str, ...]
    severity: Severity = Severity.SEV3
    signals: tuple[Signal, ...] = ()
    evidence: tuple[str, ...] = ()
    rejected: tuple[Alternative, ...] = ()


class Upkeep(ReportOnly):
    """What is told of one target by one reading of it."""

    turn: ClassVar[timedelta] = timedelta(hours=1)
    retold: ClassVar[timedelta] = timedelta(days=7)
    steady: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ()  # a diagnosis reads as the sweep does

    @abstractmethod
    def query(self, target: Target) -> ResourceRead:
        """The reading by which the target is judged."""

    @abstractmethod
    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        """What the reading means: pure; what it raises over a reading that cannot be understood makes it unknown."""

    def watch(self, target: Target) -> Queries:
        return (self.query(target),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        found = self._judged(target, seen)
        if not isinstance(found, Neglected):
            return found
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=found.symptom,
                signals=found.signals,
                severity=found.severity,
            )
        )

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """By a reading of now. Raises Refused where nothing is wrong any more, Unreadable where that cannot be told."""
        del finding
        found = self._judged(target, read.seen(self.query(target)))
        if isinstance(found, Unknown):
            raise Unreadable(self.query(target).kind, "Unread", found.reason, resource=str(target.arn))
        if isinstance(found, Healthy):
            raise Refused("upkeep", f"it was mended: {found.summary}", retry_after=timedelta(minutes=1))
        return Diagnosis(
            target=str(target.arn),
            cause=found.cause,
            evidence=found.evidence,
            rejected=found.rejected,
            advice=found.advice,
        )

    def _judged(self, target: Target, seen: Readings) -> Neglected | Healthy | Unknown:
        found = seen.resource(self.query(target))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn} does not exist")
        try:
            return self.judge(target, found, seen.at)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            return Unknown(f"what was read of {target.arn} cannot be understood: {type(error).__name__}")


def time_of(found: Mapping[str, Any], name: str) -> datetime | None:
    """A time that AWS says; None where it says none."""
    at = found.get(name)
    return at if isinstance(at, datetime) and at.tzinfo is not None else None


def moment(at: datetime) -> str:
    """A time, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(at: datetime) -> str:
    """A time, to the day."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"
