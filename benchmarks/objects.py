"""
What one tick takes of a bucket with a million keys, or of a dead-letter queue with a hundred thousand messages.

::

    python -m benchmarks.objects --keys 1000 10000 100000 1000000

A bucket of triggers is listed and judged as `s3-trigger-stuck` does it, a pipeline as `pipeline-backlog` does it, and a
dead-letter queue is looked at and carried from as `sqs-dlq-backlog` does it in one tick, an archive is copied from as
`archive-backup-due` does it in one. The account is a generator: what it holds is made as it is asked for, so that the
memory measured (tracemalloc's peak) is our own. Calls are those that reach it. What must hold: from where there is more
than one look lists, neither grows any more; what was left is taken up by the next tick, which begins with the oldest of
what is left.
"""

from __future__ import annotations

import argparse
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, cast

from nightshift.aws import Aws, Serial
from nightshift.model import (
    Arn,
    Attempt,
    Call,
    Customer,
    Diagnosis,
    Finding,
    Incident,
    Ledger,
    Observation,
    Pipeline,
    ResourceRead,
    Sick,
    Target,
    Triggers,
)
from nightshift.remediation import Actor, Remediation
from nightshift.remediations.archive_backup_due import ArchiveBackupDue
from nightshift.remediations.pipeline_backlog import PipelineBacklog
from nightshift.remediations.s3_trigger_stuck import S3TriggerStuck
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from nightshift.signals import gather

__all__ = ["FLAT", "Cost", "main", "measure"]

NOW = datetime(2026, 11, 20, 3, 7, 42, tzinfo=UTC)
FLAT = 1.5
"""peak memory of ten times as many keys, as a multiple, where there are more than one look lists"""
BOUND = 10_000
"""keys from which on neither calls nor memory grow: what one look lists"""
_PAGE = 1_000
_SQS, _BUCKET = "arn:aws:sqs:eu-central-1:123456789012", Arn.parse("arn:aws:s3:::bucket")
_CUSTOMER = Customer(
    "hts",
    Arn.parse(f"{_SQS}:hts"),
    Arn.parse(f"{_SQS}:hts-dlq"),
    Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"),
)
_PIPELINE = Pipeline(
    "raw/",
    ".json",
    Arn.parse("arn:aws:s3:::curated"),
    "made/",
    ".parquet",
    Arn.parse(f"{_SQS}:etl"),
    Arn.parse(f"{_SQS}:etl-dlq"),
    Arn.parse("arn:aws:lambda:eu-central-1:123456789012:function:etl"),
    timedelta(minutes=1),
    timedelta(hours=24),
    dated=False,
)


@dataclass
class _S3:
    """An S3 client: two buckets with so many keys, the oldest of which are ``gone``; made a page at a time."""

    keys: int
    gone: int = 0
    calls: Counter[str] = field(default_factory=Counter)

    def client(self, _service: str, **_: Any) -> _S3:
        """It is its own session, too."""
        return self

    def get_paginator(self, _name: str) -> _S3:
        """And its own paginator."""
        return self

    def paginate(self, *, Bucket: str, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:  # noqa: N803 - AWS's names
        """Every page of a listing, as it is asked for."""
        entries = self._entries(Bucket, Prefix)
        while page := list(islice(entries, _PAGE)):
            self.calls["ListObjectsV2"] += 1
            yield {"Contents": page}

    def _entries(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        """Triggers or raw files; of the latter all but each hundredth is processed."""
        middle, suffix = ("hts/", ".json") if bucket == "bucket" and prefix == "customers/" else ("", ".json")
        for number in range(self.gone, self.keys):
            if bucket == "curated" and not number % 100:
                continue
            yield {
                "Key": f"{prefix}{middle}{number:07}{'.parquet' if bucket == 'curated' else suffix}",
                "ETag": '"d41d8cd98f00b204e9800998ecf8427e"',
                "LastModified": NOW - timedelta(hours=20) + timedelta(milliseconds=number),
                "Size": 100,
            }


@dataclass
class _Letters:
    """An actor and a dead-letter queue with so many letters, made as they are received."""

    letters: int
    taken: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    scratch: dict[str, Any] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def memory(self) -> _Letters:
        """It remembers, too."""
        return self

    @property
    def incident(self) -> Incident:
        """Whose letters they are."""
        finding = Finding("sqs-dlq-backlog", str(_CUSTOMER.dead_letters), "dead letters")
        return Incident(
            "i1",
            "sqs-dlq-backlog",
            str(_CUSTOMER.dead_letters),
            "g",
            opened_at=NOW,
            look_at=NOW,
            deadline=NOW,
            finding=finding,
            attempts=(Attempt(1, "h", NOW),),
        )

    def __call__(self, call: Call, /, **_: Any) -> dict[str, Any]:
        self.calls[call.operation] += 1
        if call.operation != "ReceiveMessage":
            return {}
        first, self.taken = self.taken, min(self.taken + 10, self.letters)
        return {"Messages": [_letter(number) for number in range(first, self.taken)]}

    def get(self, key: str) -> int:
        """What was counted."""
        return self.counters[key]

    def recall(self, keys: Iterable[str]) -> None:
        """Nothing is gained by it here."""

    def add(self, key: str, amount: int = 1, *, limit: int | None = None) -> bool:
        """Count."""
        if limit is not None and self.counters[key] + amount > limit:
            return False
        self.counters[key] += amount
        return True

    def now(self) -> datetime:
        """Time stands still."""
        return NOW

    def seconds_left(self) -> float:
        """There is always enough: what bounds the work is not the clock."""
        return 600.0


@dataclass
class _Archive(_Letters):
    """An actor and an archive with so many objects, made as they are listed; what it has copied it forgets."""

    first: str = ""

    def __call__(self, call: Call, /, **free: Any) -> dict[str, Any]:
        self.calls[call.operation] += 1
        if call.operation == "CopyObject":
            self.first = self.first or str(free["Key"])
            return {"CopyObjectResult": {"ETag": free["CopySourceIfMatch"]}}
        if call.operation == "PutObject":
            return {}
        start = int(str(free.get("StartAfter", "archive/-1.json"))[len("archive/") : -len(".json")]) + 1
        end = min(start + int(call.params["MaxKeys"]), self.letters)
        page = [{"Key": f"archive/{number:07}.json", "ETag": '"e"', "Size": 100} for number in range(start, end)]
        return {"Contents": page, "IsTruncated": end < self.letters}


def _letter(number: int) -> dict[str, Any]:
    sent = str(int((NOW - timedelta(hours=3)).timestamp() * 1000))
    system = {"SentTimestamp": sent, "ApproximateReceiveCount": "1", "DeadLetterQueueSourceArn": str(_CUSTOMER.queue)}
    body = f'{{"order": {number}, "text": "{"x" * 200}"}}'
    return {"MessageId": f"m{number}", "ReceiptHandle": f"h{number}", "Body": body, "Attributes": system}


@dataclass(frozen=True, slots=True)
class Cost:
    """What one tick took. ``worked`` names what it would work on, or how many letters it moved."""

    what: str
    size: int
    calls: Counter[str]
    peak: int
    worked: str


def _triggers(size: int, gone: int) -> Cost:
    target = Target(_BUCKET, "g", triggers=Triggers("customers/", "archive/", (_CUSTOMER,)))
    return _look("triggers", S3TriggerStuck(), target, _S3(size, gone))


def _raw(size: int, gone: int) -> Cost:
    return _look("raw files", PipelineBacklog(), Target(_BUCKET, "g", pipeline=_PIPELINE), _S3(size, gone))


def _look(what: str, remediation: Remediation, target: Target, s3: _S3) -> Cost:
    aws = Aws("eu-central-1", session=cast("Any", s3), run=Serial())
    [query] = remediation.watch(target)

    def work() -> str:
        readings = gather(aws, (query,), now=NOW)
        seen: Observation = remediation.detect(target, readings)
        found = readings.resource(cast("ResourceRead", query))
        if not isinstance(seen, Sick) or not isinstance(found, Mapping):
            raise RuntimeError(f"{what}: {seen}")  # noqa: TRY004 - not about a type
        return str(found["Oldest"][0]["Key"])

    worked, peak = _measured(work)
    return Cost(what, s3.keys, s3.calls, peak, worked)


def _dead(size: int, gone: int) -> Cost:
    """A tick of the last step, one by one; how many are in the queue it does not know."""
    remediation, hand = SqsDlqBacklog(one_by_one=100_000), _Letters(size, gone)
    facts = {
        "dlq": str(_CUSTOMER.dead_letters),
        "source": str(_CUSTOMER.queue),
        "full": False,
        "bucket": "quarantine",
        "dlq_key": "",
        "source_key": "",
        "visibility_timeout": 60,
        "receives": 3,
    }
    plan = remediation.plan(Diagnosis(str(_CUSTOMER.dead_letters), "it failed", facts=facts))

    def work() -> str:
        remediation.apply(cast("Actor", hand), plan, plan.steps[-1])
        return str(hand.calls["SendMessage"])

    worked, peak = _measured(work)
    return Cost("dead letters", size, hand.calls, peak, worked)


def _backup(size: int, gone: int) -> Cost:
    """A tick of a backup that has copied so many; how many there are it does not know."""
    remediation, hand = ArchiveBackupDue(), _Archive(size)
    facts = {
        "bucket": str(_BUCKET),
        "archive": "archive/",
        "account": _CUSTOMER.queue.account,
        "backup": "arn:aws:s3:::backup",
        "prefix": "changes/",
    }
    plan = remediation.plan(Diagnosis(str(_BUCKET), "it is due", facts=facts))
    if gone:
        end = f"archive/{gone - 1:07}.json"
        hand.scratch["backup"] = {"attempt": 1, "part": 1, "end": end, "objects": gone, "bytes": 100 * gone}

    def work() -> str:
        remediation.apply(cast("Actor", hand), plan, plan.steps[0])
        return hand.first

    worked, peak = _measured(work)
    return Cost("archive to back up", size, hand.calls, peak, worked)


def _measured(work: Callable[[], str]) -> tuple[str, int]:
    """What came of it, and the most memory that it held at a time."""
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


KINDS: Mapping[str, Callable[[int, int], Cost]] = {
    "triggers": _triggers,
    "raw files": _raw,
    "dead letters": _dead,
    "archive to back up": _backup,
}
"""what there may be many of: how many, of which how many, the oldest, are gone already"""


def measure(what: str, size: int) -> Cost:
    """What one tick takes of that many. Of a few before, for what is made once."""
    KINDS[what](200, 0)
    return KINDS[what](size, 0)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 where calls or memory grow with what is more than one look lists."""
    parser = argparse.ArgumentParser(prog="benchmarks.objects", description="Calls and memory of one tick, by size.")
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], metavar="N")
    options = parser.parse_args(words)

    print("| what | how many | calls | peak memory, KB | ratio to the size before |")
    print("|---|---:|---:|---:|---:|")
    good = True
    for what in KINDS:
        before: Cost | None = None
        for size in options.keys:
            cost = measure(what, size)
            ratio = cost.peak / before.peak if before is not None else 1.0
            print(f"| {what} | {size:,} | {cost.calls.total()} | {cost.peak // 1024:,} | {ratio:.2f} |")
            if before is not None and before.size > BOUND:
                good = good and ratio <= FLAT and cost.calls == before.calls
            before = cost
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
