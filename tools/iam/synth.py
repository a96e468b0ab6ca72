"""The template of a deployment, synthesized in this process: what CloudFormation would get."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from nightshift.config import Policy

from app import make_app
from infra.options import Options
from infra.stack import NightshiftStack, stack_name
from tools.iam.stack import Stack, Template

__all__ = ["deployed", "template_of"]


def template_of(policy: Policy, options: Options | None = None) -> Template:
    """Synthesize one deployment."""
    with tempfile.TemporaryDirectory(prefix="nightshift-synth-") as scratch:
        app = make_app(outdir=scratch)
        NightshiftStack(app, stack_name(policy), policy=policy, options=options)
        app.synth()
        found: Template = json.loads(
            (Path(scratch) / f"{stack_name(policy)}.template.json").read_text(encoding="utf-8")
        )
    return found


def deployed(template: Template, policy: Policy, names: Mapping[str, str]) -> Stack:
    """
    A template as it stands in the policy's account, where some of its resources are called as ``names`` says.

    A name is that of a resource type, and of a part of the logical id where there are several of it:
    ``AWS::SQS::Queue Work``. All others are called as CloudFormation does it, by stack and logical id.
    """
    plain = Stack(template, policy.account, policy.region)
    found = {name: f"{stack_name(policy)}-{name}" for name in template["Resources"]}
    for which, name in names.items():
        kind, _, part = which.partition(" ")
        found[plain.only(kind, part)] = name
    return Stack(template, policy.account, policy.region, names=found)
