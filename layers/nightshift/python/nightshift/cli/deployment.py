"""
Which deployment is meant, where its parts are, and whether these credentials are of its account.

A deployment's stack says by its outputs where everything is (infra/stack.py); ``--table`` goes without. Before anything
else, STS is asked who the caller is: that name is what an answer or a switch is kept under, and its account must be the
configuration's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from nightshift.aws import Aws
from nightshift.cli.context import Context, Declined
from nightshift.config import Policy, load_toml
from nightshift.environment import Environment
from nightshift.errors import Rejected, Undeclared
from nightshift.incidents import Incidents

__all__ = [
    "Caller",
    "Deployment",
    "Looking",
    "NoStack",
    "NotDeployed",
    "Where",
    "find",
    "identify",
    "path_of",
    "policy_of",
    "stack_name",
]

_READS = ("Get", "Query", "Scan", "BatchGet")
_EMPTY: Mapping[str, Mapping[str, Any]] = {"GetItem": {}, "BatchGetItem": {"Responses": {}}}
"""what is in a table that is not there"""


class NoStack(Declined):
    """Nothing is deployed under that name."""

    def __init__(self, stack: str, account: str, region: str) -> None:
        super().__init__(
            f"there is no stack {stack} in {account}/{region}",
            "Deploy it, or name the right --stack, --table, --profile or --region",
        )


class Looking(Aws):
    """AWS for a command that only looks: no own record, message or notice is written, and no role is assumed."""

    def own(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Read what is Nightshift's own. Raises Undeclared for anything else."""
        if not operation.startswith(_READS):
            raise Undeclared(f"a command that only looks asked for {service}:{operation}")
        return super().own(service, operation, **params)

    def assume(self, *_: Any, **__: Any) -> Any:
        """Never: whoever only looks needs no write role. Raises Undeclared."""
        raise Undeclared("a command that only looks asked for a write role")


class NotDeployed(Looking):
    """The same, where there is no incident table yet: nothing is open, nothing was ever switched on."""

    def own(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """What an empty table says. Raises Undeclared for anything but items by their keys."""
        del params
        if service != "dynamodb" or operation not in _EMPTY:
            raise Undeclared(f"there is no table yet for {service}:{operation}")
        return dict(_EMPTY[operation])


@dataclass(frozen=True, slots=True)
class Where:
    """What was said about which deployment is meant."""

    config: str | None = None
    stack: str | None = None
    table: str | None = None
    profile: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs this, as STS tells it."""

    arn: str
    account: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment as the command line sees it. ``policy`` is None where no configuration was named."""

    aws: Aws
    caller: Caller
    incidents: Incidents
    policy: Policy | None = None
    table: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the deployment is called, where that is known."""
        return self.policy.name if self.policy else self.outputs.get("Name", "")

    @property
    def environment(self) -> Environment:
        """What a function of this deployment would be told; a part that is not known has a name that names nothing."""
        account, region = self.caller.account, self.aws.region
        known = self.outputs
        return Environment(
            table=self.table or "not-deployed",
            topic_arn=known.get("Topic", f"arn:aws:sns:{region}:{account}:not-known"),
            queue_url=known.get("Queue", "https://not-known/not-known"),
            quarantine=known.get("Quarantine", "not-known"),
            write_roles=known.get("WriteRoles", f"arn:aws:iam::{account}:role/nightshift/not-known-"),
            region=region,
        )


def find(context: Context, where: Where, *, kind: type[Aws] = Aws) -> Deployment:
    """
    Find the deployment that is meant.

    Raises Declined where it is not there, or is another account's; ConfigErrors; AwsError; and what Typer makes a usage
    error of where nothing was said.
    """
    if not (where.config or where.stack or where.table):
        raise typer.BadParameter("say which deployment: --config FILE, --stack NAME or --table NAME")
    policy = policy_of(context, where.config) if where.config else None
    aws, caller = identify(context, where, policy, kind=kind)
    if where.table:
        return Deployment(aws, caller, Incidents(aws, where.table), policy, where.table)
    stack = where.stack or (stack_name(policy) if policy else "")
    outputs = _outputs(aws, stack, caller)
    if "Table" not in outputs:
        raise Declined(
            f"the stack {stack} has no output Table", "Name a stack that Nightshift is deployed as, or --table"
        )
    if policy is not None and outputs.get("Name", policy.name) != policy.name:
        raise Declined(f"the stack {stack} is the deployment {outputs['Name']}, the configuration is {policy.name}'s")
    return Deployment(aws, caller, Incidents(aws, outputs["Table"]), policy, outputs["Table"], outputs)


def identify(context: Context, where: Where, policy: Policy | None, *, kind: type[Aws] = Aws) -> tuple[Aws, Caller]:
    """Ask STS who runs this. Raises Declined where that is not the configuration's account, and AwsError."""
    if policy and where.region and where.region != policy.region:
        raise Declined(f"--region is {where.region}, but {where.config} is for {policy.region}", "Leave --region out")
    aws = context.aws(where.profile, policy.region if policy else where.region, kind)
    answer = aws.read("sts", "GetCallerIdentity")
    caller = Caller(str(answer["Arn"]), str(answer["Account"]))
    if policy and caller.account != policy.account:
        raise Declined(
            f"these credentials are of account {caller.account} ({caller.arn}), "
            f"but {where.config} is for {policy.account}",
            "Name another --profile",
        )
    return aws, caller


def path_of(config: str) -> Path:
    """Where the configuration is; a bare name means ``config/<name>.toml``, as for ``cdk deploy``."""
    path = Path(config)
    return Path("config", f"{config}.toml") if not path.suffix and path.name == config else path


def policy_of(context: Context, config: str) -> Policy:
    """The configuration. Raises ConfigErrors."""
    return load_toml(path_of(config), registry=context.registry)


def stack_name(policy: Policy) -> str:
    """What infra/stack.py calls a deployment's stack (the layer never imports infra: a test compares the two)."""
    return f"nightshift-{policy.name}"


def _outputs(aws: Aws, stack: str, caller: Caller) -> dict[str, str]:
    try:
        found = aws.read("cloudformation", "DescribeStacks", StackName=stack).get("Stacks", ())
    except Rejected as error:
        if error.code != "ValidationError":  # what DescribeStacks calls a stack that there is not
            raise
        found = ()
    if not found:
        raise NoStack(stack, caller.account, aws.region)
    return {output["OutputKey"]: output["OutputValue"] for output in found[0].get("Outputs", ())}
