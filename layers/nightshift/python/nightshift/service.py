"""Everything put together: the one place that constructs, so that nothing else makes a client."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightshift.acting import Acting
from nightshift.aws import Aws
from nightshift.config import Policy, from_json
from nightshift.engine import Engine
from nightshift.environment import Environment
from nightshift.errors import AwsError, Unsent
from nightshift.incidents import Incidents
from nightshift.notify import Notifier
from nightshift.reports import Reports
from nightshift.sweep import Sweep

__all__ = ["Service", "WorkQueue", "connect", "from_environment", "utc_now"]

_BATCH = 10
"""messages SendMessageBatch takes at once"""


def utc_now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class WorkQueue:
    """The queue of what is to be looked at next. A message is a hint: losing or doubling it changes only when."""

    def __init__(self, aws: Aws, url: str) -> None:
        self._aws = aws
        self._url = url

    def incidents(self, due: Mapping[str, datetime], *, now: datetime) -> None:
        """Ask for a tick of each incident when it is due (at most 15 minutes from now)."""
        self._send([({"incident": incident_id}, _delay(at, now)) for incident_id, at in due.items()])

    def targets(self, arns: Iterable[str]) -> None:
        """Ask for a look at each target, now."""
        self._send([({"look": arn}, 0) for arn in arns])

    def _send(self, messages: Sequence[tuple[dict[str, str], int]]) -> None:
        for start in range(0, len(messages), _BATCH):
            entries = [
                {"Id": str(number), "MessageBody": json.dumps(body), "DelaySeconds": delay}
                for number, (body, delay) in enumerate(messages[start : start + _BATCH])
            ]
            try:
                self._aws.own("sqs", "SendMessageBatch", QueueUrl=self._url, Entries=entries)
            except AwsError as error:
                raise Unsent(str(error)) from error


def _delay(at: datetime, now: datetime) -> int:
    """Whole seconds, rounded up: a message that comes early would find nothing due."""
    return min(max(math.ceil((at - now).total_seconds()), 0), 900)


@dataclass(frozen=True, slots=True)
class Service:
    """Nightshift in one account and Region."""

    policy: Policy
    aws: Aws
    incidents: Incidents
    engine: Engine
    sweep: Sweep
    work: WorkQueue
    reports: Reports


def connect(policy: Policy, aws: Aws, environment: Environment, *, clock: Callable[[], datetime] = utc_now) -> Service:
    """Put the parts together."""
    incidents = Incidents(aws, environment.table)
    notifier = Notifier(aws, environment.topic_arn, environment.topics)
    acting = Acting(aws, incidents, role_prefix=environment.write_roles, clock=clock)
    engine = Engine(policy, aws, incidents, acting, notifier, quarantine=environment.quarantine, clock=clock)
    sweep = Sweep(policy, aws, incidents, notifier, quarantine=environment.quarantine, clock=clock)
    reports = Reports(policy, aws, incidents, notifier, sweep, clock=clock)
    return Service(policy, aws, incidents, engine, sweep, WorkQueue(aws, environment.queue_url), reports)


def from_environment(environment: Environment, *, clock: Callable[[], datetime] = utc_now) -> Service:
    """The deployed service: the configuration comes with the code, as a layer. Raises ConfigError."""
    policy = from_json(Path(environment.config).read_text(encoding="utf-8"))
    return connect(policy, Aws(policy.region), environment, clock=clock)
