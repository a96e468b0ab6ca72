"""What tests of what people keep up have in common: a reading, what is seen in it, and a Reader that gives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from nightshift.errors import Undeclared
from nightshift.model import Call, Diagnosis, Finding, Healthy, Observation, Query, Sick, Target, Unknown
from nightshift.remediation import Reader, Readings, Remediation, Unread
from nightshift.upkeep import Upkeep

from tests.nightshift.remediations.account import NOW

__all__ = ["Eyes", "Kept"]


@dataclass
class Eyes:
    """A Reader that sees one reading, whatever is asked, and answers what a remediation has declared."""

    found: Any
    remediation: Remediation
    answers: dict[str, Any] = field(default_factory=dict)

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One read."""
        del params
        action = Call(service, operation, "").action
        if action not in self.remediation.reads:
            raise Undeclared(action)
        answer: dict[str, Any] = self.answers[operation]
        return answer

    def seen(self, *queries: Query) -> Readings:
        """The one reading."""
        return Readings(NOW, dict.fromkeys(queries, self.found))


@dataclass(frozen=True)
class Kept:
    """One target under one remediation."""

    remediation: Upkeep
    target: Target

    def seen(self, found: Any) -> Observation:
        """What a look finds."""
        return self.remediation.detect(self.target, Readings(NOW, {self.remediation.query(self.target): found}))

    def sick(self, found: Any) -> Finding:
        """The finding of a look."""
        seen = self.seen(found)
        assert isinstance(seen, Sick), seen
        return seen.finding

    def healthy(self, found: Any) -> str:
        """What a look that finds nothing says."""
        seen = self.seen(found)
        assert isinstance(seen, Healthy), seen
        return seen.summary

    def unknown(self, found: Any) -> str:
        """Why a look cannot tell."""
        seen = self.seen(found)
        assert isinstance(seen, Unknown), seen
        return seen.reason

    def read(self, found: Any, **answers: Any) -> Reader:
        """A Reader that sees it."""
        return cast("Reader", Eyes(found, self.remediation, answers))

    def told(self, found: Any) -> Diagnosis:
        """What people are told."""
        finding = Finding(self.remediation.name, str(self.target.arn), "it was so a minute ago")
        return self.remediation.diagnose(self.read(found), self.target, finding)

    def blind(self) -> tuple[Any, ...]:
        """Readings of which nobody can tell anything."""
        return (Unread("throttled"), None, {}, {"RotationEnabled": True}, {"Status": 3}, {"StackStatus": None})
