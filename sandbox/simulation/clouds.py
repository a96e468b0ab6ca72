"""
One story on both clouds, and their traces line by line.

A thin world is worth as much as it is like a full one: a fake that forgives what AWS does not hides bugs. So every
attempt of every call must be the same in both: when, by whom, which, with what, and how it ended; and so must what
comes of it. Only identifiers that a cloud makes up may differ, and those only in their letters: each is named by the
order in which it first appears, so that a call with another receipt handle is another call.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import zip_longest
from typing import Any

from sandbox.clock import to_ms
from sandbox.simulation.run import Played, play
from sandbox.simulation.story import START, Story
from sandbox.trail import Event

__all__ = ["Difference", "compare", "difference", "digest", "trace"]

CONTEXT = 8
"""lines that are shown before the first that differs"""
WIDTH = 300
"""letters that are shown of a line"""
_HANDLES = frozenset({"ReceiptHandle", "TaskHandle"})
_RANDOM = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"  # messages, requests, tokens, deployments
    r"|\b[0-9a-f]{32}\b"  # tasks of ECS
    r"|\bA(?:SIA|ROA|KIA)[0-9A-Z]{16}\b"
    r"|\b(?:vpc|subnet|sg|sgr|eni)-[0-9a-f]{8,17}\b"  # networks
    r"|\b[0-9a-f]{16}\b"  # load balancers, listeners, target groups; a plan's hash, which is over them
    r'|(?<=config_hash\\":\\")[0-9a-f]{12}\b|(?<=config_hash": ")[0-9a-f]{12}\b'  # and that of the configuration
    r"|(?<=configuration )[0-9a-f]{12}\b"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """The first line that is not the same in two traces, and the lines before it."""

    number: int
    before: tuple[str, ...]
    thin: str | None
    full: str | None

    def __str__(self) -> str:
        """As a person reads it: lines may be long, so that only what is around the first other letter is shown."""
        thin, full = self.thin or "(no more lines)", self.full or "(no more lines)"
        at = next((at for at, (a, b) in enumerate(zip(thin, full, strict=False)) if a != b), min(len(thin), len(full)))
        before = [f"  {line[:WIDTH]}" for line in self.before]
        here = max(at - WIDTH // 2, 0)
        pair = (("thin", thin), ("full", full))
        shown = [f"{cloud} {line[: WIDTH // 2]} … {line[here : here + WIDTH]}" for cloud, line in pair]
        return "\n".join([f"line {self.number}, letter {at}:", *before, *shown])


def difference(story: Story) -> Difference | None:
    """Play a story on both clouds: the first difference between them, if there is any."""
    with play(story, thin=True) as played:
        thin = trace(played)
    with play(story, thin=False) as played:
        full = trace(played)
    return compare(thin, full)


def compare(thin: Sequence[str], full: Sequence[str]) -> Difference | None:
    """The first difference between two traces."""
    for number, (ours, theirs) in enumerate(zip_longest(thin, full)):
        if ours != theirs:
            return Difference(number, tuple(thin[max(number - CONTEXT, 0) : number]), ours, theirs)
    return None


def digest(lines: Sequence[str]) -> str:
    """One hash over a trace."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def trace(played: Played) -> list[str]:
    """A run as text: its calls in the order in which they ended, and what came of it."""
    names = _Names()
    world = played.stage.world
    return [
        *(names.line("call", _call(event)) for event in world.trail),
        *(names.line(what, outcome) for what, outcome in _outcomes(played)),
    ]


def _call(event: Event) -> dict[str, Any]:
    return {
        "ms": to_ms(event.at) - to_ms(START),
        "function": event.function,
        "by": event.principal.name,
        "call": event.name,
        "attempt": event.attempt,
        "error": event.error,
        "fault": event.injected,
        "params": event.params,
    }


def _outcomes(played: Played) -> Iterator[tuple[str, Any]]:
    world = played.stage.world
    for incident in played.incidents:
        yield "incident", dataclasses.asdict(incident)
    yield "open at the end", played.open_at_end
    yield "holders", played.holders
    for mail in world.mail:
        yield "mail", {"at": mail.at, "by": mail.principal.name, "subject": mail.subject, "text": mail.text}
    for name in sorted(world.queues.backend.queues):
        queue = world.queues.find(name)
        yield "queue", {"name": name, "bodies": world.queues.bodies(queue), "depth": world.queues.depth(queue)}
    for done in world.processed:
        yield "processed", {"at": done.at, "queue": done.queue, "what": done.fingerprint}
    for key, body in sorted(played.quarantine.items()):
        yield "quarantine", {"key": key, "body": body}
    for invocation in world.lambdas.invocations:
        yield "invocation", {"at": invocation.at, "of": invocation.function, "error": type(invocation.error).__name__}
    for source, error in played.stage.errors:
        yield "error", f"{source}: {type(error).__name__}: {error}"


class _Names:
    """What a cloud made up, by the order in which it appeared."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def line(self, what: str, content: Any) -> str:
        """One line of a trace."""
        text = json.dumps(self._named(content), sort_keys=True, ensure_ascii=False, default=_plain)
        return f"{what} {_RANDOM.sub(lambda found: self._name(found[0]), text)}"

    def _named(self, value: Any) -> Any:
        """The same, with handles by their names: they are not made of anything that could be found in a text."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        if isinstance(value, dict):
            return {
                str(key): self._name(str(each)) if key in _HANDLES else self._named(each) for key, each in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._named(each) for each in value]
        return value

    def _name(self, made_up: str) -> str:
        return self._given.setdefault(made_up, f"<{len(self._given)}>")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)
