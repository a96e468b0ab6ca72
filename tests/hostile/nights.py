"""Nights on which other people's text is hostile: everything that the real handlers and commands let out of them."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.model import Incident
from typer.testing import CliRunner

from sandbox.deployment import Deployment
from sandbox.mailbox import Mail
from sandbox.scenes import NIGHT, Stage, configuration, failures
from sandbox.seam import OPERATOR_KEY, Call, Do, Outcome
from sandbox.systems.document_management import DocumentManagement
from sandbox.world import World


@dataclass
class Let:
    """What was let out in a night, by where it went."""

    incidents: tuple[Incident, ...] = ()
    mail: tuple[Mail, ...] = ()
    logs: str = ""
    table: str = ""
    keys: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    terminal: dict[str, str] = field(default_factory=dict)
    work: str = ""
    raised: tuple[str, ...] = ()
    bodies: tuple[str, ...] = ()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The log, line by line: each is one JSON document."""
        return [json.loads(line) for line in self.logs.splitlines()]

    @property
    def sinks(self) -> dict[str, str]:
        """Everything but what is in queues and in the quarantine."""
        mails = {
            f"mail {number}": f"{mail.subject}\n{mail.text}\n{mail.attributes}" for number, mail in enumerate(self.mail)
        }
        return {
            **mails,
            "logs and metrics": self.logs,
            "records and timelines": self.table,
            "names of stored letters": "\n".join(self.keys),
            "the work queue": self.work,
            "what was raised": "\n".join(self.raised),
            **self.terminal,
        }


@contextmanager
def stage(*, stalled_for: str = "PT15M") -> Iterator[tuple[Stage, Callable[[], Let]]]:
    """The document management system at work, Nightshift switched on, and everything it says on a tape."""
    with World(NIGHT) as world, TemporaryDirectory() as scratch, taped() as tape:
        system = DocumentManagement(world)
        quick = 'confirm = 1\nhealthy_for = "PT5M"'
        toml = configuration(system, settings=quick)
        hangs = "[remediations.ecs-service-stalled]"
        toml = toml.replace(hangs, f'{hangs}\nconfirm = 1\nstalled_for = "{stalled_for}"')
        config = Path(scratch) / "demo.toml"
        config.write_text(toml, encoding="utf-8")
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            world.run(timedelta(minutes=6))
            on = Stage(world, system, nightshift)
            yield on, partial(_let, on, config, tape)


def until_over(on: Stage) -> None:
    """Let time pass until every incident has ended; one that is refused at its first look ends in the same minute."""
    for _ in range(240):
        on.minutes(1)
        if on.nightshift.all and not on.nightshift.incidents.open_ids(limit=1):
            return
    raise AssertionError("nothing ends")


def rewrite(on: Stage, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Let AWS answer a call (``"ecs.DescribeServices"``) with something else in it."""

    def around(call: Call, do: Do) -> Outcome:
        outcome = do()
        if call.name == name and outcome[0] is not None and "Error" not in outcome[0][1]:
            change(outcome[0][1])
        return outcome

    on.world.seam.arounds.append(around)


@contextmanager
def taped() -> Iterator[io.StringIO]:
    """Logs and metrics, as they would go to CloudWatch."""
    tape = io.StringIO()
    ours = [each for each in logging.getLogger("nightshift").handlers if isinstance(each, logging.StreamHandler)]
    streams = [handler.setStream(tape) for handler in ours]
    try:
        with redirect_stdout(tape):
            yield tape
    finally:
        for handler, stream in zip(ours, streams, strict=True):
            handler.setStream(stream or sys.stdout)


def _let(on: Stage, config: Path, tape: io.StringIO) -> Let:
    world, environment = on.world, on.nightshift.environment
    logs = tape.getvalue()
    s3, sqs = world.client("s3"), world.client("sqs")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=environment.quarantine).get("Contents", ())]
    pages = world.client("dynamodb").get_paginator("scan").paginate(TableName=environment.table)
    incidents = tuple(on.nightshift.all)
    return Let(
        incidents=incidents,
        mail=tuple(world.mail),
        logs=logs,
        table=json.dumps([item for page in pages for item in page["Items"]], ensure_ascii=False),
        keys=tuple(keys),
        objects=tuple(s3.get_object(Bucket=environment.quarantine, Key=key)["Body"].read().decode() for key in keys),
        terminal=_typed(on, config, [incident.id for incident in incidents]),
        work=str(sqs.receive_message(QueueUrl=environment.queue_url, MaxNumberOfMessages=10).get("Messages")),
        raised=(*failures(world), *(each.trace for each in world.lambdas.errors)),
        bodies=tuple(world.queues.bodies(on.system.dlq)),
    )


def _typed(on: Stage, config: Path, ids: list[str]) -> dict[str, str]:
    """What a person sees who asks about that night."""
    where = ("--config", str(config), "--table", on.nightshift.environment.table)
    commands = [("status",), ("incidents",), *(("show", each) for each in ids)]
    commands += [(*command, "--json") for command in commands]
    typed = [(*command, *where) for command in commands]
    typed += [(*command, *where) for command in (("explain", "sqs-dlq-backlog", on.system.dlq_arn),)]
    typed += [("scan", "--config", str(config)), ("scan", "--config", str(config), "--json")]
    typed += [("health", "--config", str(config)), ("health", "--config", str(config), "--json")]
    found = {}
    for words in typed:
        context = Context(session=_session(on.world), run=Serial(), clock=lambda: on.world.now)
        result = CliRunner().invoke(app, list(words), obj=context)
        well = (0, 1) if words[0] == "health" else (0,)  # 1 is what it says of a sick system
        assert result.exit_code in well, (words, result.output, result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        found[" ".join(words[:3])] = result.output
    return found


def _session(world: World) -> Callable[[str | None], boto3.Session]:
    return lambda _: boto3.Session(
        aws_access_key_id=OPERATOR_KEY, aws_secret_access_key="sandbox", region_name=world.region
    )
