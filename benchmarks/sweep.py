"""
How many calls, and how long, one sweep's reading of many dead-letter queues takes.

::

    python -m benchmarks.sweep --queues 100 1000 10000

Every queue is read and judged as `sqs-dlq-backlog` does it in a sweep: whether it exists, and one metric. (A
whole sweep makes six calls more, however many targets there are: four to its own table, two probes.) The account is
moto; GetMetricData is answered here, because moto takes minutes for it. Requests are counted where botocore sends them,
so retries, and calls that our own code forgets to mention, count as well. "Minimum" is what AWS's limits allow: 1,000
queues a page of ListQueues, 500 metrics a call of GetMetricData.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.sqs.models import sqs_backends
from nightshift.aws import Aws
from nightshift.model import Arn, Target, Unknown
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from nightshift.signals import gather

ACCOUNT, REGION = "123456789012", "eu-central-1"
NOW = datetime(2026, 11, 20, 3, 7, 42, tzinfo=UTC)
ALLOWED = 1.1
"""calls made, as a multiple of the fewest possible"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one reading took."""

    queues: int
    calls: Counter[str]
    minimum: int
    seconds: float
    unread: int

    @property
    def ratio(self) -> float:
        """Calls made for each that had to be made."""
        return self.calls.total() / self.minimum


def measure(queues: int, *, latency: float = 0.0) -> Cost:
    """Read that many queues once; ``latency`` is how many seconds each call waits for the network."""
    arns = [Arn("aws", "sqs", REGION, ACCOUNT, f"team-{number % 7}-orders-{number:05}-dlq") for number in range(queues)]
    remediation = SqsDlqBacklog()
    targets = [Target(arn, group="benchmark") for arn in arns]
    queries = [query for target in targets for query in remediation.watch(target)]
    with _account(arns, latency) as (aws, calls):
        for service in ("cloudwatch", "sqs"):
            aws.client(service)  # a warm function has its clients
        began = time.perf_counter()
        readings = gather(aws, queries, now=NOW)
        seen = [remediation.detect(target, readings) for target in targets]
        seconds = time.perf_counter() - began
    unread = sum(isinstance(each, Unknown) for each in seen)
    return Cost(queues, calls, -(-queues // 1_000) + -(-queues // 500), seconds, unread)


@contextmanager
def _account(arns: Sequence[Arn], latency: float) -> Iterator[tuple[Aws, Counter[str]]]:
    """An account with these queues, and a count of the calls made to it."""
    calls: Counter[str] = Counter()
    lock = threading.Lock()

    def sent(event_name: str, **_: Any) -> None:
        with lock:
            calls[event_name.rsplit(".", 1)[-1]] += 1
        time.sleep(latency)

    def answer(event_name: str, context: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        sent(event_name)  # botocore sends nothing where it is answered before the call
        return _metric_data(context["asked"])

    with mock_aws():
        backend = sqs_backends[ACCOUNT][REGION]
        for arn in arns:
            backend.create_queue(arn.resource, {})
        session = boto3.Session("testing", "testing", "testing", region_name=REGION)
        session.events.register_first("before-send", sent)
        session.events.register("provide-client-params.cloudwatch.GetMetricData", _keep)
        session.events.register("before-call.cloudwatch.GetMetricData", answer)
        yield Aws(REGION, session=session), calls


def _keep(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["asked"] = params


def _metric_data(asked: dict[str, Any]) -> tuple[AWSResponse, dict[str, Any]]:
    """A point a minute for every metric, all complete."""
    minutes = int((asked["EndTime"] - asked["StartTime"]).total_seconds()) // 60
    times = [asked["StartTime"] + timedelta(minutes=minute) for minute in range(minutes)]
    results = [
        {"Id": query["Id"], "Timestamps": times, "Values": [0.0] * minutes, "StatusCode": "Complete"}
        for query in asked["MetricDataQueries"]
    ]
    answer = {"MetricDataResults": results, "ResponseMetadata": {"HTTPStatusCode": 200}}
    return AWSResponse("https://benchmark", 200, {}, None), answer


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 where more calls were made than allowed (or fewer than possible), or anything was not read."""
    parser = argparse.ArgumentParser(prog="benchmarks.sweep", description="Calls and seconds of one sweep's reading.")
    parser.add_argument("--queues", type=int, nargs="+", default=[100, 1_000, 10_000], metavar="N")
    parser.add_argument("--latency", type=float, default=50.0, metavar="MS", help="of each call, in the last column")
    options = parser.parse_args(words)

    waiting = f"at {options.latency:g} ms a call"
    print("| queues | ListQueues | GetMetricData | other | calls | minimum | ratio | seconds | " + waiting + " |")
    print("|---:" * 9 + "|")
    good = True
    for queues in options.queues:
        cost, slow = measure(queues), measure(queues, latency=options.latency / 1_000)
        listed, measured = cost.calls["ListQueues"], cost.calls["GetMetricData"]
        calls = cost.calls.total()
        row = (f"{queues:,}", listed, measured, calls - listed - measured, calls, cost.minimum, f"{cost.ratio:.2f}")
        print(f"| {' | '.join(map(str, row))} | {cost.seconds:.2f} | {slow.seconds:.2f} |")
        good = good and 1 <= cost.ratio <= ALLOWED and not cost.unread
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
