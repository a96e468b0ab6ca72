"""The daily checks of runbook 0: each customer's queues and service, the archive, and whether triggers keep up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.model import Verdict
from typer.testing import CliRunner

from sandbox.clock import Order
from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.transient_trigger import TransientTrigger, trigger_configuration
from sandbox.world import World


@dataclass(frozen=True)
class Desk:
    """A person in front of the email distribution system, of which nothing is deployed."""

    world: World
    system: TransientTrigger
    config: Path

    def health(self) -> tuple[int, dict[str, tuple[str | None, str]]]:
        """What `nightshift health` says of the bucket: its exit code, and each check by its name."""
        context = Context(session=lambda _: boto3.Session(), run=Serial(), clock=lambda: self.world.now)
        words = ["health", "--config", str(self.config), "--json"]
        result = CliRunner(env={"NIGHTSHIFT_DEPLOYMENT": None}).invoke(app, words, obj=context)
        document: dict[str, Any] = json.loads(result.stdout)
        [target] = [each for each in document["systems"][0]["targets"] if each["target"] == self.system.arn]
        return result.exit_code, {each["check"]: (each["health"], each["seen"]) for each in target["checks"]}


@contextmanager
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Ten minutes after one change was processed."""
    with World(NIGHT, thin=True) as world:
        system = TransientTrigger(world)
        system.submit()
        world.run(timedelta(minutes=10))
        config = tmp_path / "changes.toml"
        config.write_text(trigger_configuration(system), encoding="utf-8")
        yield Desk(world, system, config)
        assert [each.name for each in world.trail.of(writes=True) if each.function] == []


@pytest.mark.scenario("0.1", "health")
def test_each_customers_queues_and_the_archives_changes_are_told(tmp_path: Path) -> None:
    """Nothing waits, nothing has died, and one change was archived within the hour."""
    with desk(tmp_path) as on:
        _, checks = on.health()
        assert checks["customer hts"] == (
            "healthy",
            "0 messages in customer-hts-changes; 0 messages in customer-hts-changes-dlq; 2 of 2 tasks run",
        )
        assert checks["customer htsnonprod"][0] == "healthy"
        assert checks["archive"] == (None, "1 change in the last hour, the newest at 2026-11-19 01:00:09 UTC")
        on.world.run(timedelta(hours=2))
        assert on.health()[1]["archive"][1].startswith("0 changes in the last hour, the newest at 2026-11-19 01:00")


@pytest.mark.scenario("0.3", "health")
def test_a_customer_whose_service_runs_too_little_is_sick_and_the_others_are_not(tmp_path: Path) -> None:
    """With what waits for it meanwhile."""
    with desk(tmp_path) as on:
        line = on.system.lines["hts"]
        line.service.tasks.pop()
        on.system.lines["hts"].wedge_consumer()
        on.system.submit()
        on.world.run(timedelta(seconds=10))
        code, checks = on.health()
        assert code == 1
        assert checks["customer hts"][0] == "sick"
        assert "1 of 2 tasks run" in checks["customer hts"][1]
        assert "1 message in customer-hts-changes;" in checks["customer hts"][1]
        assert checks["customer htsnonprod"][0] == "healthy"


@pytest.mark.scenario("0.1", "health")
def test_what_could_not_be_read_of_a_customer_is_unknown(tmp_path: Path) -> None:
    """A queue that nobody may read is neither empty nor full; an archive neither."""
    with desk(tmp_path) as on:
        everybody = {"times": None, "where": lambda call: call.name == "s3.ListObjectsV2" or "hts-" in str(call.params)}
        on.world.faults.add(Kind.DENIED, "sqs.GetQueueAttributes", **everybody)
        on.world.faults.add(Kind.DENIED, "s3.ListObjectsV2", **everybody)
        _, checks = on.health()
        assert checks["customer hts"][0] == "unknown"
        assert checks["customer htsnonprod"][0] == "healthy"
        assert checks["archive"][0] == "unknown"


# -- triggers come faster than they go ---------------------------------------------------------------------------------

BEHIND = "s3-trigger-behind"


@contextmanager
def watched(settings: str = "") -> Iterator[tuple[World, TransientTrigger, Deployment]]:
    """The bucket alone, watched by a Nightshift that is halted."""
    with World(NIGHT, thin=True) as world:
        system = TransientTrigger(world)
        toml = trigger_configuration(system, others=False).replace(
            "[[systems]]", f"[remediations.{BEHIND}]\nstanding = 20\n{settings}\n[[systems]]", 1
        )
        with Deployment(world, toml) as nightshift:
            world.run(timedelta(minutes=10))
            yield world, system, nightshift
            assert failures(world) == ()
            assert [each.name for each in world.trail.of(writes=True) if each.principal.role_arn] == []


@pytest.mark.scenario("0.4", BEHIND)
def test_triggers_that_come_faster_than_they_go_are_told_before_one_is_stuck() -> None:
    """Whose they are, what waits, and what would help; the other customer keeps up."""
    with watched() as (world, system, nightshift):
        system.lines["hts"].wedge_consumer()
        for _ in range(30):
            system.submit()
        world.run(timedelta(minutes=11))
        [incident] = nightshift.of(BEHIND)
        assert incident.verdict is Verdict.ESCALATED
        [mail] = world.mail
        text = " ".join(f"{mail.subject} {mail.text}".split())
        for part in (
            "triggers come faster than they go",
            "30 triggers stand in metadata-prod",
            "30 of the 30 oldest are hts's: its consumer finishes less than it is told",
            "htsnonprod: 0 of the 30 oldest; 0 messages in its queue, 0 dead, 2 of 2 tasks run",
            "--service customer-hts-processor --desired-count 3 (a write)",
            "Nothing was changed.",
        ):
            assert part in text, part


@pytest.mark.scenario("0.4", BEHIND)
def test_a_burst_that_is_worked_off_is_not_told() -> None:
    """Many at once, and gone within minutes."""
    with watched() as (world, system, nightshift):
        for _ in range(60):
            system.submit()
        world.run(timedelta(minutes=30))
        assert system.triggers == []
        assert nightshift.of(BEHIND) == []


@pytest.mark.scenario("0.4", BEHIND)
@pytest.mark.parametrize("deleted, told", [(9.5, False), (5.0, True)])
def test_the_systems_own_counters_say_whether_as_many_go_as_come(deleted: float, told: bool) -> None:
    """Many stand because many come: where as many go, nobody is told."""
    with watched() as (world, system, nightshift):

        def count() -> None:
            minute = world.agenda.ms // 60_000 - 1
            for name, value in (("TriggerCreationRate", 10.0), ("TriggerDeletionRate", deleted)):
                world.metrics.of("CustomMetrics", name).put(minute, value)

        world.every(timedelta(minutes=1), count, order=Order.METERS)
        system.lines["hts"].wedge_consumer()
        for _ in range(30):
            system.submit()
        world.run(timedelta(minutes=12))
        assert bool(nightshift.of(BEHIND)) is told
