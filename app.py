"""
The CDK app: one deployment of Nightshift, from its TOML file.

    cdk deploy -c config=prod             config/prod.toml (also: NIGHTSHIFT_DEPLOYMENT=prod)
    cdk deploy -c config=/etc/ns.toml     any other file
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks, ServerlessChecks
from nightshift.config import Policy, load_toml
from nightshift.errors import ConfigError

from infra.options import Options
from infra.stack import NightshiftStack, stack_name
from tools.build_layer import layer_directory

ROOT = Path(__file__).resolve().parent
EXAMPLE = "example"
TICKS = range(2, 101)
"""how many may run at once; 2 is the least that Lambda takes for a queue"""
ARCHITECTURES = {"arm64": lambda_.Architecture.ARM_64, "x86_64": lambda_.Architecture.X86_64}
OURS = ("python3.13", "arm64")
"""what tools/build_layer.py builds the layer for: compiled code, which no other runtime or architecture can import"""


def make_app(*, context: dict[str, Any] | None = None, outdir: str | None = None) -> cdk.App:
    """Start an app with cdk-nag and with cdk.json's context, which only the CDK's command line would read by itself."""
    shared = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    app = cdk.App(context={**shared, **(context or {})}, outdir=outdir)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    return app


def config_path(name: str) -> Path:
    """Where a deployment's file is: a bare name means ``config/<name>.toml``."""
    path = Path(name)
    return path if path.suffix else ROOT / "config" / f"{name}.toml"


def options_from(app: cdk.App) -> Options:
    """Read the deployment's settings from the context. Raises ConfigError."""
    context = app.node.try_get_context
    dependencies = Path(context("layer") or layer_directory())
    if not (dependencies / "python").is_dir():
        raise ConfigError(
            f"the layer of third-party packages is not built (looked for {dependencies / 'python'})",
            remedy="Run `make layer`",
        )
    architecture = context("architecture") or "arm64"
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"there is no architecture {architecture!r}", remedy=f"Choose {' or '.join(ARCHITECTURES)}")
    runtime = context("runtime") or lambda_.Runtime.PYTHON_3_13.name
    if not context("layer") and (runtime, architecture) != OURS:
        raise ConfigError(
            f"the layer that `make layer` builds is for {OURS[0]} on {OURS[1]}, not for {runtime} on {architecture}",
            remedy="Build the packages of requirements/layer.txt for that, and say where: layer=DIR",
        )
    concurrency = str(context("concurrency") or 5)
    if not concurrency.isdecimal() or int(concurrency) not in TICKS:
        raise ConfigError(
            f"{concurrency!r} ticks at once make no sense", remedy=f"Say a number from {TICKS[0]} to {TICKS[-1]}"
        )
    reserve = str(context("reserve") or "true").lower()
    if reserve not in {"true", "false"}:
        raise ConfigError(f"reserve={reserve!r} says neither yes nor no", remedy="Say reserve=true or reserve=false")
    return Options(
        dependencies=dependencies,
        concurrency=int(concurrency),
        reserve=reserve == "true",
        boundary=context("permissions_boundary"),
        runtime=lambda_.Runtime(runtime, lambda_.RuntimeFamily.PYTHON),
        architecture=ARCHITECTURES[architecture],
    )


def build(app: cdk.App) -> NightshiftStack:
    """Make the stack that the context asks for. Raises ConfigError."""
    name = app.node.try_get_context("config") or os.environ.get("NIGHTSHIFT_DEPLOYMENT") or EXAMPLE
    policy: Policy = load_toml(config_path(name))
    return NightshiftStack(app, stack_name(policy), policy=policy, options=options_from(app))


def main() -> int:
    """Synthesize; what is wrong with the configuration is said plainly."""
    app = make_app()
    try:
        build(app)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the CLI shows it to whoever deploys
        return 1
    app.synth()
    return 0


if __name__ == "__main__":
    sys.exit(main())
