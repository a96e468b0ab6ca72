"""How a deployment may differ from the usual one. The defaults are what production gets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import aws_lambda as lambda_
from nightshift.errors import ConfigError

__all__ = ["GENERATE", "Options"]

GENERATE = "generate"
"""instead of a permissions boundary's ARN: the stack makes one of its own (infra/boundary.py)"""
_POLICY = re.compile(r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/[\w+=,.@/-]+", re.ASCII)


@dataclass(frozen=True)
class Options:
    """
    Settings of the deployment itself, from the CDK's context.

    ``dependencies`` is the built layer of third-party packages; None leaves it out, which only a test wants.
    ``concurrency`` is how many ticks may run at once. ``reserve`` off leaves the functions' concurrency to the account,
    for accounts whose limit is so low that AWS lets nobody reserve any. ``boundary`` is the ARN of a permissions
    boundary for every role, or ``generate`` for one that the stack makes. ``runtime`` and ``architecture`` are what
    the layer was built for.
    """

    dependencies: Path | None = None
    concurrency: int = 5
    reserve: bool = True
    boundary: str | None = None
    runtime: lambda_.Runtime = field(default_factory=lambda: lambda_.Runtime.PYTHON_3_13)
    architecture: lambda_.Architecture = field(default_factory=lambda: lambda_.Architecture.ARM_64)

    def __post_init__(self) -> None:
        if self.boundary not in {None, "", GENERATE} and not _POLICY.fullmatch(str(self.boundary)):
            raise ConfigError(
                f"{self.boundary!r} is not the ARN of a policy",
                remedy=f"Write arn:aws:iam::ACCOUNT:policy/NAME, or {GENERATE} for a boundary that the stack makes",
            )
