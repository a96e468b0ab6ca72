"""
Everything that can go wrong, by what the reader of the error should do next.

::

    NightshiftError
    ├── ConfigError            the deployment's TOML is wrong: file, line, problem, remedy
    ├── EventRejected          an event is not what it should be: count it, never retry it
    ├── Refused                a guardrail or a diagnosis says no; `retry_after` says whether "later" or "never"
    ├── Undeclared             code asked for a call that its remediation or its plan did not declare
    ├── Stopped                the kill switch is off, or could not be read: no mutation
    ├── Fenced                 the record is no longer ours (another tick claimed it): let go of it
    ├── Unsent                 a report could not be published: nothing is recorded as told
    ├── StoreUnavailable       the incident table cannot be read or written: no record, no action
    └── AwsError               a call to AWS failed
        ├── Denied             access denied: terminal; names the missing action
        ├── Missing            the resource does not exist (any more)
        ├── Rejected           AWS refused the request as made; nothing happened
        ├── Unreadable         throttled, 5xx or timed out while *reading*: unknown, try later
        └── Ambiguous          5xx or timed out while *writing*: done, not done — unknown
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

__all__ = [
    "Ambiguous",
    "AwsError",
    "ConfigError",
    "Denied",
    "EventRejected",
    "Fenced",
    "Missing",
    "NightshiftError",
    "Refused",
    "Rejected",
    "Stopped",
    "StoreUnavailable",
    "Undeclared",
    "Unreadable",
    "Unsent",
]


class NightshiftError(Exception):
    """Root of every error that this package raises on purpose."""


class ConfigError(NightshiftError):
    """
    The configuration is wrong, and where.

    ``problem`` says what is wrong, ``remedy`` what to do; ``path`` and ``line`` say where (line 1 is the first;
    ``None`` where no line can be named).
    """

    def __init__(self, problem: str, *, remedy: str, path: str = "", line: int | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.path = path
        self.line = line
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{where}{problem}. {remedy}")


class EventRejected(NightshiftError):
    """
    An event that is not what it should be.

    ``reason`` is one line, safe to log; the event's own text is not in it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Refused(NightshiftError):
    """
    A guardrail or a diagnosis says no.

    ``guard`` is the one that spoke, ``reason`` what it said to a person, ``numbers`` the figures it compared.
    ``retry_after`` answers "when?": a delay means *later* (the incident waits and looks again), ``None`` means *never*
    (the incident closes as refused). ``link`` names another target whose own incident must end first.
    """

    def __init__(
        self,
        guard: str,
        reason: str,
        *,
        numbers: Mapping[str, str | int | float] | None = None,
        retry_after: timedelta | None = None,
        link: str | None = None,
    ) -> None:
        self.guard = guard
        self.reason = reason
        self.numbers = dict(numbers or {})
        self.retry_after = retry_after
        self.link = link
        super().__init__(f"{guard}: {reason}")


class Undeclared(NightshiftError):
    """Code asked for a call that was not declared. Always a bug in a remediation; nothing was sent."""


class Stopped(NightshiftError):
    """The kill switch forbids the call, or could not be read. Nothing was sent."""


class Fenced(NightshiftError):
    """Another tick holds the record now. Nothing may be written in its name any more."""


class Unsent(NightshiftError):
    """A report could not be published. What it was about stays untold, and is told again."""


class StoreUnavailable(NightshiftError):
    """The incident table cannot be used. Without a record there is no action."""


class AwsError(NightshiftError):
    """
    A call to AWS failed.

    ``action`` is IAM's name for it (``sqs:GetQueueAttributes``), ``code`` is AWS's error code, ``details`` is AWS's
    whole answer, where there was one.
    """

    def __init__(
        self,
        action: str,
        code: str,
        message: str = "",
        *,
        resource: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.action = action
        self.code = code
        self.message = message
        self.resource = resource
        self.details = details or {}
        on = f" on {resource}" if resource else ""
        super().__init__(f"{action}{on}: {code}{': ' + message if message else ''}")


class Denied(AwsError):
    """Access denied. Waiting does not help; a person must grant ``action``."""


class Missing(AwsError):
    """The resource does not exist, or not any more."""


class Rejected(AwsError):
    """AWS refused the request as made; nothing happened."""


class Unreadable(AwsError):
    """A read was throttled, failed or timed out. What it would have said is unknown."""


class Ambiguous(AwsError):
    """A write failed in a way that leaves open whether it happened (5xx, time-out, broken connection)."""
