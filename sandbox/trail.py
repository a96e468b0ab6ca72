"""The audit trail: every attempt of every AWS call, by whom, with what, when, and how it ended."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.seam import Call, Do, Outcome, Principal, error_code

READS = ("Get", "List", "Describe", "BatchGet", "Query", "Scan", "Head", "Receive", "Lookup", "Simulate", "Filter")


@dataclass(frozen=True, slots=True)
class Event:
    """One attempt of one call."""

    number: int
    at: datetime
    service: str
    operation: str
    params: dict[str, Any]
    principal: Principal
    function: str | None
    attempt: int
    error: str | None
    injected: str | None

    @property
    def name(self) -> str:
        """The call as people write it: `sqs.SendMessage`."""
        return f"{self.service}.{self.operation}"

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing, by its name (ReceiveMessage hides messages for a while: a read here)."""
        return self.operation.startswith(READS)

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.principal.name} {self.name} {self.error or 'ok'}"


class Trail:
    """The events, in the order in which they ended."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def around(self, call: Call, do: Do) -> Outcome:
        """Record what happened to a call."""
        try:
            outcome = do()
        except BaseException as crash:
            self._record(call, type(crash).__name__)
            raise
        self._record(call, error_code(outcome))
        return outcome

    def of(
        self,
        name: str | None = None,
        *,
        principal: str | None = None,
        function: str | None = None,
        writes: bool = False,
        where: Callable[[Event], bool] = lambda _event: True,
    ) -> list[Event]:
        """Events by call name (`sqs.SendMessage`), by who made them, or only those that change something."""
        return [
            event
            for event in self.events
            if (name is None or event.name == name)
            and (principal is None or event.principal.name == principal)
            and (function is None or event.function == function)
            and not (writes and event.reads)
            and where(event)
        ]

    def digest(self) -> str:
        """One hash over everything that was recorded: two runs with the same digest were the same run."""
        lines = hashlib.sha256()
        for event in self.events:
            lines.update(f"{event.at.isoformat()} {event.principal.name} {event.name} {event.error} ".encode())
            lines.update(json.dumps(event.params, sort_keys=True, default=str).encode())
        return lines.hexdigest()

    def _record(self, call: Call, error: str | None) -> None:
        self.events.append(
            Event(
                call.number,
                call.at,
                call.service,
                call.operation,
                call.params,
                call.principal,
                call.function,
                call.attempt,
                error,
                call.injected,
            )
        )
