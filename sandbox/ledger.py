"""
The ground truth about messages: each one that entered the account, and where it ended, by a fingerprint of its body.

Ids change when a message is moved and receive counts restart; a body does not. So the fingerprint tells
whether a message was lost, finished once, or finished twice, whatever happened to it in between.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime


def fingerprint(body: str) -> str:
    """What identifies a message for ever: of a record about a function's failed event, that event."""
    return hashlib.sha256(_event(body).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _event(body: str) -> str:
    if '"requestPayload":' not in body:
        return body
    try:
        found = json.loads(body)
    except ValueError:
        return body
    whole = isinstance(found, dict) and "requestPayload" in found
    return json.dumps(found["requestPayload"], separators=(",", ":")) if whole else body


@dataclass(frozen=True, slots=True)
class Processed:
    """One message that a consumer finished."""

    at: datetime
    queue: str
    fingerprint: str
    body: str
    worker: str


class ProcessedLog:
    """What the consumers finished, in order."""

    def __init__(self) -> None:
        self.all: list[Processed] = []
        self.times: dict[str, list[datetime]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Processed]:
        return iter(self.all)

    def __contains__(self, body: object) -> bool:
        return isinstance(body, str) and fingerprint(body) in self.times

    def add(self, processed: Processed) -> None:
        """A message was finished."""
        self.all.append(processed)
        self.times[processed.fingerprint].append(processed.at)

    def count(self, body: str) -> int:
        """How often a body was finished."""
        return len(self.times.get(fingerprint(body), ()))

    @property
    def duplicates(self) -> dict[str, int]:
        """Fingerprints that were finished more than once, and how often."""
        return {each: len(times) for each, times in self.times.items() if len(times) > 1}


class Ledger:
    """Every way into and out of the queues, counted by fingerprint."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.processed = ProcessedLog()
        self.in_vain: Counter[str] = Counter()  # worked on by somebody who was too slow: it was somebody else's by then
        self.deleted: Counter[str] = Counter()  # by DeleteMessage, whoever called it
        self.expired: Counter[str] = Counter()  # its retention was over
        self.purged: Counter[str] = Counter()  # by PurgeQueue, or with its queue

    def unaccounted(self, present: Counter[str]) -> dict[str, int]:
        """
        Messages that are missing (positive) or from nowhere (negative), by fingerprint.

        Empty means conservation: sent = processed + deleted + expired + purged + present.
        """
        balance = Counter(self.sent)
        balance.subtract({each: len(times) for each, times in self.processed.times.items()})
        for gone in (self.deleted, self.expired, self.purged, present):
            balance.subtract(gone)
        return {each: count for each, count in balance.items() if count}
