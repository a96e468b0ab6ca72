"""How a deployment may differ from the usual one. The defaults are what production gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aws_cdk import aws_lambda as lambda_

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """
    Settings of the deployment itself, from the CDK's context.

    ``dependencies`` is the built layer of third-party packages; None leaves it out, which only a test wants.
    ``concurrency`` is how many ticks may run at once. ``reserve`` off leaves the functions' concurrency to the account,
    for accounts whose limit is so low that AWS lets nobody reserve any. ``boundary`` is the ARN of a permissions
    boundary for every role. ``runtime`` and ``architecture`` are what the layer was built for.
    """

    dependencies: Path | None = None
    concurrency: int = 5
    reserve: bool = True
    boundary: str | None = None
    runtime: lambda_.Runtime = field(default_factory=lambda: lambda_.Runtime.PYTHON_3_13)
    architecture: lambda_.Architecture = field(default_factory=lambda: lambda_.Architecture.ARM_64)
