"""A person at a terminal, with credentials for an account in this process and a watch that stands still."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.errors import Refused
from nightshift.incidents import Event, Incidents
from nightshift.model import (
    Approval,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Incident,
    Observation,
    Outcome,
    Phase,
    Plan,
    Queries,
    ResourceRead,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, Remediation, Unread
from nightshift.signals import queue_url
from typer.testing import CliRunner, Result

from tests.nightshift.signals.cloud import ACCOUNT, REGION, Cloud
from tests.support.table import make_table

NOW = datetime(2026, 11, 20, 3, 7, 42, tzinfo=UTC)
ME = f"arn:aws:sts::{ACCOUNT}:user/moto"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
ID = "20261120T0300-1a2b3c4d"

TOML = f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"

[notify]
emails = ["oncall@example.com"]

[remediations.toy-backlog]
mode = "auto"

[[systems]]
name = "post"

[[systems.targets]]
arn = "{QUEUE}"
mode = "approve"

[[systems.targets]]
arn = "arn:aws:sqs:{REGION}:{ACCOUNT}:parcels"
"""

READS = ("BatchGet", "Describe", "Get", "Head", "List", "Query", "Scan")


class Toy(Remediation):
    """Messages wait: take them out."""

    name: ClassVar[str] = "toy-backlog"
    title: ClassVar[str] = "messages wait"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("sqs:PurgeQueue",)

    def watch(self, target: Target) -> Queries:
        """The queue's attributes."""
        return (_attributes(target),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick from one message on."""
        queue = seen.resource(_attributes(target))
        if queue is None or isinstance(queue, Unread):
            return Unknown(queue.reason if queue else "there is no such queue")
        waiting = int(queue["ApproximateNumberOfMessages"])
        signal = Signal("waiting", waiting, 1, "now", "messages")
        return Sick(Finding(self.name, str(target.arn), f"{waiting} wait", (signal,))) if waiting else Healthy("empty")

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """Three are too many for us, and one is for people."""
        if finding.signals[0].value > 2:
            raise Refused("toy", "too many to throw away", retry_after=timedelta(minutes=5))
        advice = ("read them",) if finding.signals[0].value == 1 else ()
        return Diagnosis(finding.target, "nobody reads them", advice=advice)

    def plan(self, diagnosis: Diagnosis) -> Plan:
        """Purge."""
        return purge(diagnosis.target)

    def reconcile(self, read: Reader, call: Call, since: object) -> Outcome:
        """Nobody can tell."""
        return Outcome.UNKNOWN


def _attributes(target: Target) -> ResourceRead:
    return ResourceRead("sqs.queue", str(target.arn))


def purge(target: str = QUEUE, summary: str = "Throw all messages away.") -> Plan:
    """A plan of one call."""
    call = Call("sqs", "PurgeQueue", target, {"QueueUrl": queue_url(Arn.parse(target))}, why="nobody reads them")
    step = Step("purge", (call,), timedelta(minutes=5))
    return Plan("toy-backlog", target, summary, (step,), "high: they are gone", "none", cost_per_hour=0.12)


def incident(**changes: Any) -> Incident:
    """An incident that asks for approval of :func:`purge`, since a minute and for an hour."""
    plan = purge()
    facts: dict[str, Any] = {
        "id": ID,
        "remediation": "toy-backlog",
        "target": QUEUE,
        "group": "post",
        "opened_at": NOW - timedelta(minutes=7),
        "look_at": NOW,
        "deadline": NOW + timedelta(hours=6),
        "finding": Finding("toy-backlog", QUEUE, "2 messages wait"),
        "diagnosis": Diagnosis(QUEUE, "nobody reads them"),
        "plan": plan,
        "phase": Phase.AWAITING,
        "approval": Approval(plan.hash, NOW - timedelta(minutes=1), NOW + timedelta(hours=1)),
    }
    return Incident(**(facts | changes))


class Desk:
    """
    Where commands are typed.

    ``now`` is the time that they see. ``meanwhile`` happens once, before a command reads the clock for the second time:
    while the person reads what is shown.
    """

    def __init__(self, cloud: Cloud, path: Path) -> None:
        self.cloud = cloud
        self.now = NOW
        self.meanwhile: Callable[[], None] | None = None
        self.config = path / "prod.toml"
        self.config.write_text(TOML, encoding="utf-8")
        self.table = make_table(cloud.session.client("dynamodb"))
        self.store = Incidents(cloud.aws(), self.table)
        self.registry: tuple[type[Remediation], ...] = (Toy,)
        self._clock_reads = 0

    def run(self, *words: str, input: str | None = None) -> Result:  # noqa: A002 - the runner's own word
        """Type a command."""
        self._clock_reads = 0
        context = Context(session=lambda _: self.cloud.session, run=Serial(), clock=self._clock, registry=self.registry)
        self.cloud.calls.clear()
        return CliRunner(env={"NIGHTSHIFT_DEPLOYMENT": None}).invoke(app, list(words), obj=context, input=input)

    def on_table(self, command: str, *words: str, input: str | None = None) -> Result:  # noqa: A002
        """Type a command about the deployment whose table this is."""
        return self.run(command, *words, "--table", self.table, "--region", REGION, input=input)

    def answer(self, command: str, *words: str) -> dict[str, Any]:
        """What a command answers to a machine."""
        result = self.on_table(command, *words, "--json")
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def deploy(self, **more: str) -> None:
        """Let there be the stack that the configuration is deployed as."""
        outputs = {
            "Name": "prod",
            "Table": self.table,
            "Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:reports",
            "Queue": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/work",
            "Quarantine": "quarantine",
            "WriteRoles": f"arn:aws:iam::{ACCOUNT}:role/nightshift/prod-{REGION}-",
            **more,
        }
        template = {
            "Resources": {"Work": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
        client = self.cloud.session.client("cloudformation")
        client.create_stack(StackName="nightshift-prod", TemplateBody=json.dumps(template))

    def record(self, **changes: Any) -> Incident:
        """Let there be an incident."""
        made = incident(**changes)
        assert self.store.open(made, Event(made.opened_at, "opened", "2 messages wait"))
        return made

    def letters(self, queue: str = "letters", *, messages: int = 0, tags: Mapping[str, str] | None = None) -> None:
        """Let there be a queue with messages in it."""
        sqs = self.cloud.session.client("sqs")
        url = sqs.create_queue(QueueName=queue, tags=dict(tags or {}))["QueueUrl"]
        for number in range(messages):
            sqs.send_message(QueueUrl=url, MessageBody=str(number))

    def wrote(self) -> set[str]:
        """The operations of the last command that are not reads."""
        return {operation for operation in self.cloud.count if not operation.startswith(READS)}

    def _clock(self) -> datetime:
        self._clock_reads += 1
        if self._clock_reads > 1 and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            happens()
        return self.now
