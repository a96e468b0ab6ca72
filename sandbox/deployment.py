"""
Nightshift, deployed into the world: its table, topic, queue, bucket and functions, as the stack would make them.

The real handlers are called with the real event shapes; nothing here stands in for any part of the service.
Making the resources anew for each world takes a few milliseconds, so every test and every scene has an
account of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

from nightshift import edge, remediations
from nightshift.asking import ask, asked_incident, in_the_way
from nightshift.aws import Aws, Serial
from nightshift.config import Policy, from_json, parse_toml, to_json
from nightshift.environment import Environment
from nightshift.escalation import level_name
from nightshift.incidents import Event, Incidents
from nightshift.model import Acknowledgement, Incident, Request, SwitchState
from nightshift.remediations.backup_on_demand import BackupOnDemand
from nightshift.remediations.ecs_maintenance import EcsMaintenance
from nightshift.service import Service, connect, utc_now

from functions import alarm, digest, sweep, tick
from sandbox.lambdas import Handler

if TYPE_CHECKING:
    from nightshift.remediation import Remediation

    from sandbox.world import World

__all__ = ["Deployment", "make_table"]

_HANDLERS: dict[str, Handler] = {
    "sweep": sweep.handler,
    "alarm": alarm.handler,
    "tick": tick.handler,
    "digest": digest.handler,
}

_WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems")
"""every operation of DynamoDB by which anybody here writes an item"""

TICK_TIMEOUT = timedelta(seconds=120)
"""as infra/functions.py sets it"""


@lru_cache(maxsize=64)
def _written(toml: str, registry: tuple[type[Remediation], ...]) -> Policy:
    """Speed only: nothing in a policy can be changed, so that whoever has the same text may have the same policy."""
    return parse_toml(toml, path="sandbox.toml", registry=registry)


@lru_cache(maxsize=64)
def _shipped(json: str, registry: tuple[type[Remediation], ...]) -> Policy:
    """As above: every environment that starts afresh reads what was shipped, which is a seventh of the simulation."""
    return from_json(json, registry=registry)


def make_table(dynamodb: Any, name: str) -> None:
    """Make the incident table and its index with a DynamoDB client, as infra/data.py says them."""
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk", "due_shard", "due_at")
        ],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "due",
                "KeySchema": [
                    {"AttributeName": "due_shard", "KeyType": "HASH"},
                    {"AttributeName": "due_at", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["state", "incident", "count"]},
            }
        ],
    )


class Deployment:
    """
    One deployment of Nightshift in a world, by a configuration in TOML.

    ``registry`` replaces the remediations that there are (a test brings its own), ``handlers`` gives the functions by
    the name of their file (the simulation has copies, which may run at the same time). The kill switch is off until
    somebody calls :meth:`resume`, as in any new deployment.
    """

    def __init__(
        self,
        world: World,
        toml: str,
        *,
        registry: Sequence[type[Remediation]] | None = None,
        handlers: Callable[[str], Handler] | None = None,
    ) -> None:
        self.world = world
        self._handler = handlers or _HANDLERS.__getitem__
        self._registry = registry
        self.policy: Policy = _written(toml, tuple(remediations.REMEDIATIONS if registry is None else registry))
        self._had_one = False
        self._known: list[Incident] | None = None
        self._stack = ExitStack()
        self.environment = self._make()
        self.incidents = Incidents(self._aws(), self.environment.table)
        for operation in _WRITES:
            world.seam.after("dynamodb", operation, self._forget)

    def __enter__(self) -> Self:
        scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="nightshift-")))
        self.config = scratch / "config.json"
        self.config.write_text(to_json(self.policy), encoding="utf-8")
        self._stack.enter_context(patch.dict(os.environ, self._variables(self.config)))
        if self._registry is not None:
            self._stack.enter_context(patch("nightshift.remediations.REMEDIATIONS", tuple(self._registry)))
        self._stack.enter_context(
            patch("nightshift.service.from_json", lambda text: _shipped(text, tuple(remediations.REMEDIATIONS)))
        )
        edge.forget()
        self._stack.callback(edge.forget)
        self._host()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- what a person does ------------------------------------------------------------------------------------

    def resume(self, why: str = "armed for the night") -> None:
        """Switch Nightshift on."""
        self.set_switch(SwitchState.ON, why)

    def pause(self, why: str, *, hard: bool = False) -> None:
        """Switch Nightshift off: nothing new starts, what it has under way is stopped (``hard``: nothing at all)."""
        self.set_switch(SwitchState.HALTED if hard else SwitchState.PAUSED, why)

    def set_switch(self, state: SwitchState, why: str) -> None:
        """Set the kill switch."""
        self.incidents.set_switch(state, reason=why, by=self._operator, now=utc_now())

    def answer(self, incident: Incident, *, yes: bool, why: str) -> bool:
        """Answer the question that an incident asks; False where it is not open any more."""
        asked = incident.approval
        if asked is None:
            return False
        answer = replace(
            asked, answer="approved" if yes else "denied", by=self._operator, why=why, answered_at=utc_now()
        )
        event = Event(utc_now(), "answered", f"{answer.answer} by {answer.by}: {why}")
        return self.incidents.answer(incident.id, answer, asked=asked, now=utc_now(), event=event)

    def start_maintenance(self, arn: object, lasts: timedelta, why: str = "", by: str = "") -> Incident | None:
        """Have a service stopped for so long; None where that cannot be, or somebody else has done so already."""
        return self._ask(EcsMaintenance, arn, lasts, why, by)

    def back_up(self, arn: object, why: str = "", by: str = "") -> Incident | None:
        """Have a table or a cluster backed up; None as above."""
        return self._ask(BackupOnDemand, arn, BackupOnDemand().deadline, why, by)

    def _ask(
        self, what: type[BackupOnDemand | EcsMaintenance], arn: object, lasts: timedelta, why: str, by: str
    ) -> Incident | None:
        cure, target = self.policy.remediations.get(what.name), self.policy.target(str(arn))
        if not isinstance(cure, BackupOnDemand | EcsMaintenance) or target is None:
            return None
        request = Request(by or self._operator, utc_now(), utc_now() + lasts, why)
        finding = cure.asked(target, request)
        told = self.service().engine.explain(target, cure, finding)
        if told.plan is None or in_the_way(told) is not None:
            return None
        incident = asked_incident(self.policy, target, finding, request, told, told.plan)
        return incident if ask(self.incidents, incident, now=utc_now()) else None

    def end_maintenance(self, incident: Incident, why: str = "") -> bool:
        """Say that the work is done; False where that was said already, or it is over."""
        word = Acknowledgement(self._operator, utc_now(), why)
        return self.incidents.recall(incident.id, word, event=Event(word.at, "ended", f"ended by {word.by}"))

    # -- what a person sees ------------------------------------------------------------------------------------

    @property
    def all(self) -> list[Incident]:
        """Every incident, oldest first; read again once a table was written to, for who waits asks all the time."""
        if self._known is None:
            found = self.incidents.recent(limit=sys.maxsize)
            self._known = sorted(found, key=lambda incident: (incident.opened_at, incident.id))
        return list(self._known)

    def of(self, remediation: str) -> list[Incident]:
        """The incidents of one remediation, oldest first."""
        return [incident for incident in self.all if incident.remediation == remediation]

    @property
    def settled(self) -> bool:
        """Whether there was an incident and none is open any more: cheap enough to be asked every minute."""
        if self.incidents.open_ids(limit=1):
            self._had_one = True
            return False
        return self._had_one

    def service(self) -> Service:
        """The service as a laptop would connect to it, with the operator's credentials."""
        return connect(self.policy, self._aws(), self.environment)

    # -- how it is made ------------------------------------------------------------------------------------------

    def _aws(self) -> Aws:
        return Aws(self.world.region, run=Serial())

    def _forget(self, *_: object) -> None:
        self._known = None

    @property
    def _operator(self) -> str:
        return f"arn:aws:iam::{self.world.account}:user/operator"

    def _make(self) -> Environment:
        world, name = self.world, f"nightshift-{self.policy.name}"
        make_table(world.client("dynamodb"), name)
        topic = world.client("sns").create_topic(Name=f"{name}-reports")["TopicArn"]
        queue = world.client("sqs").create_queue(QueueName=f"{name}-work", Attributes={"VisibilityTimeout": "720"})
        bucket = f"{name}-quarantine-{world.account}"
        world.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": world.region})
        return Environment(
            table=name,
            topic_arn=topic,
            topics={
                each: world.client("sns").create_topic(Name=f"{name}-reports-{each}")["TopicArn"]
                for each in (*self.policy.notify.severities, *map(level_name, range(len(self.policy.escalation))))
            },
            queue_url=queue["QueueUrl"],
            quarantine=bucket,
            write_roles=f"arn:aws:iam::{world.account}:role/nightshift/{self.policy.name}-{world.region}-",
            region=world.region,
        )

    def _variables(self, config: Path) -> dict[str, str]:
        environment = self.environment
        return {
            "NIGHTSHIFT_CONFIG": str(config),
            "NIGHTSHIFT_TABLE": environment.table,
            "NIGHTSHIFT_TOPIC_ARN": environment.topic_arn,
            "NIGHTSHIFT_TOPICS": " ".join(f"{each}={arn}" for each, arn in environment.topics.items()),
            "NIGHTSHIFT_QUEUE_URL": environment.queue_url,
            "NIGHTSHIFT_QUARANTINE": environment.quarantine,
            "NIGHTSHIFT_WRITE_ROLES": environment.write_roles,
            "AWS_REGION": self.world.region,
            "POWERTOOLS_SERVICE_NAME": "nightshift",
            "POWERTOOLS_METRICS_NAMESPACE": "Nightshift",
        }

    def _host(self) -> None:
        lambdas = self.world.lambdas
        lambdas.schedule(
            self._handler("sweep"),
            timedelta(minutes=1),
            name="nightshift-sweep",
            timeout=TICK_TIMEOUT,
            concurrency=1,
            late=timedelta(seconds=60),
        )
        lambdas.queue(
            self._handler("tick"),
            self.environment.queue_url,
            batch_size=5,
            name="nightshift-tick",
            timeout=TICK_TIMEOUT,
            concurrency=5,
        )
        lambdas.events(
            self._handler("alarm"),
            {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]},
            name="nightshift-alarm",
            concurrency=2,
        )
        if self.policy.notify.reports:
            lambdas.schedule(
                self._handler("digest"),
                timedelta(minutes=15),
                name="nightshift-digest",
                timeout=timedelta(minutes=5),
                concurrency=1,
                late=timedelta(minutes=10),
            )
