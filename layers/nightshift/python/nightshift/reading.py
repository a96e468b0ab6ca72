"""The :class:`~nightshift.remediation.Reader` that a remediation is handed: it reads what was declared, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeGuard

from nightshift.aws import Aws
from nightshift.config import Policy
from nightshift.errors import Undeclared
from nightshift.incidents import Incidents, memory_scope
from nightshift.model import Call, Query, ResourceRead, Target
from nightshift.remediation import KEPT, Readings, Remediation, Series, Unread
from nightshift.signals import gather

__all__ = ["Reading"]


class Reading:
    """Reads the account for one remediation. ``quarantine`` is the name of the quarantine bucket."""

    def __init__(
        self,
        aws: Aws,
        incidents: Incidents,
        policy: Policy,
        remediation: Remediation,
        *,
        quarantine: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._aws = aws
        self._incidents = incidents
        self._policy = policy
        self._remediation = remediation
        self._clock = clock
        self.quarantine = quarantine

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Make one declared read. Raises Undeclared, Denied, Missing, Rejected or Unreadable."""
        self._check(service, operation, params)
        return self._aws.read(service, operation, **params)

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        """Every item under ``key`` over all pages of one declared read."""
        self._check(service, operation, params)
        return self._aws.pages(service, operation, key, limit=limit, **params)

    def seen(self, *queries: Query) -> Readings:
        """Answer queries as the sweep would, now; and what sweeps have noted, whichever remediation keeps it."""
        noted: dict[Query, Series | Mapping[str, Any] | Unread | None] = {
            query: {KEPT: self._incidents.kept(query.key)} for query in queries if _is_history(query)
        }
        found = gather(self._aws, [query for query in queries if query not in noted], now=self._clock())
        return replace(found, answers={**found.answers, **noted})

    def target(self, arn: str) -> Target | None:
        """The registered target of that ARN, if there is one."""
        return self._policy.target(arn)

    def targets(self) -> tuple[Target, ...]:
        """Every registered target."""
        return self._policy.targets

    def counters(self, target: Target, keys: Sequence[str]) -> Mapping[str, int]:
        """What the remediation has counted for that target, durably."""
        scope = memory_scope(self._remediation.name, str(target.arn))
        found = self._incidents.counters(scope, keys)
        return {key: found[key] if key in found else self._incidents.counter(scope, key) for key in keys}

    def now(self) -> datetime:
        """The time, by the clock that everything here uses."""
        return self._clock()

    def _check(self, service: str, operation: str, params: Mapping[str, Any]) -> None:
        action = Call(service, operation, "", params).action
        if action not in self._remediation.reads:
            msg = f"{self._remediation.name} does not declare that it reads {action}"
            raise Undeclared(msg)


def _is_history(query: Query) -> TypeGuard[ResourceRead]:
    return isinstance(query, ResourceRead) and query.kind == KEPT
