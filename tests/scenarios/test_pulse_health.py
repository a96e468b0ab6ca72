"""`nightshift health` of OpenData Pulse: runbook 1's health-check script, and runbook 3's daily checks."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from typer.testing import CliRunner

from sandbox.faults import Kind
from sandbox.scenes import NIGHT
from sandbox.systems.graphql import GraphQl, graphql_target
from sandbox.systems.hot_aggregates import HotAggregates, table_target
from sandbox.systems.pulse_functions import PulseFunctions, functions_target
from sandbox.world import World

HEAD = """
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.lambda-failing]
[remediations.dynamodb-throttled]
[remediations.appsync-slow]

[[systems]]
name = "pulse"
"""


def health(world: World, config: Path) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and what AWS says of each target by its name."""
    context = Context(session=lambda _: boto3.Session(), run=Serial(), clock=lambda: world.now)
    result = CliRunner(env={"NIGHTSHIFT_DEPLOYMENT": None}).invoke(
        app, ["health", "--config", str(config), "--json"], obj=context
    )
    document: dict[str, Any] = json.loads(result.stdout)
    states = {}
    for target in document["systems"][0]["targets"]:
        for check in target["checks"]:
            if check["check"] == "state":
                states[target["target"].rpartition(":")[2]] = (check["health"], check["seen"])
    return result.exit_code, states


@pytest.mark.scenario("1.29", "health")
@pytest.mark.scenario("3.18", "health")
@pytest.mark.scenario("1.21", "health")
def test_functions_tables_and_apis_are_as_aws_says(tmp_path: Path) -> None:
    """Each is told with its state; one that cannot be read is unknown, and then nothing is healthy as a whole."""
    with World(NIGHT, thin=True) as world:
        functions, store, api = PulseFunctions(world, "opendata-pulse-etl"), HotAggregates(world), GraphQl(world)
        config = tmp_path / "pulse.toml"
        targets = functions_target(functions), table_target(store), graphql_target(api)
        config.write_text(HEAD.format(world=world) + "\n".join(targets), encoding="utf-8")
        world.run(timedelta(minutes=20))
        _, states = health(world, config)
        assert states["opendata-pulse-etl"] == ("healthy", "active")
        assert states[f"table/{store.name}"] == ("healthy", "active")
        assert states[f"apis/{api.id}"] == ("healthy", "it is there")
        world.faults.add(Kind.DENIED, "dynamodb.DescribeTable", times=None, where=lambda _: True)
        code, states = health(world, config)
        assert code == 1
        assert states[f"table/{store.name}"][0] == "unknown"
        assert [each.name for each in world.trail.of(writes=True) if each.function] == []
