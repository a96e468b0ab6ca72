"""
A synthesized stack as it would stand in an account: its roles and what their policies say, every reference resolved.

What a stack does not name itself is called by its logical id; ``names`` says what is really called otherwise, such as
the table and the queue that the sandbox has made. An intrinsic, or a resource's attribute, that nobody has taught this
raises :class:`~tools.iam.policy.NotUnderstood`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tools.iam.policy import NotUnderstood, Statement, parse

__all__ = ["Role", "Stack", "Template"]

Template = dict[str, Any]


@dataclass(frozen=True)
class Role:
    """One role of the stack. ``boundary`` is None where it has none, or one that is not the stack's own to know."""

    logical_id: str
    name: str
    arn: str
    statements: tuple[Statement, ...]
    trust: tuple[Statement, ...]
    boundary: tuple[Statement, ...] | None = None


_ARNS: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "arn:{partition}:dynamodb:{region}:{account}:table/{name}",
    "AWS::Events::Rule": "arn:{partition}:events:{region}:{account}:rule/{name}",
    "AWS::IAM::ManagedPolicy": "arn:{partition}:iam::{account}:policy{path}{name}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role{path}{name}",
    "AWS::KMS::Key": "arn:{partition}:kms:{region}:{account}:key/{name}",
    "AWS::Lambda::Function": "arn:{partition}:lambda:{region}:{account}:function:{name}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}:*",
    "AWS::S3::Bucket": "arn:{partition}:s3:::{name}",
    "AWS::SNS::Topic": "arn:{partition}:sns:{region}:{account}:{name}",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{name}",
}
"""what ``Fn::GetAtt … Arn`` gives, by the resource's type"""
_REF_IS_ARN = {"AWS::IAM::ManagedPolicy", "AWS::SNS::Topic"}
_REF_IS_NAME = {
    "AWS::DynamoDB::Table",
    "AWS::Events::Rule",
    "AWS::IAM::Role",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
}
_OWN_NAME = {"AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::Role": "RoleName"}


class Stack:
    """A template, in one account and Region."""

    def __init__(
        self, template: Template, account: str, region: str, *, names: Mapping[str, str] | None = None
    ) -> None:
        self.template = template
        self.account = account
        self.region = region
        self.partition = "aws"
        self._names = names or {}

    # -- resources ---------------------------------------------------------------------------------------------------

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by logical id."""
        resources: dict[str, dict[str, Any]] = self.template["Resources"]
        return {name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == kind}

    def only(self, kind: str, part: str = "") -> str:
        """The logical id of the one resource of a type whose logical id contains ``part``. Raises NotUnderstood."""
        found = [name for name in self.of_type(kind) if part in name]
        if len(found) != 1:
            raise NotUnderstood(f"{len(found)} resources of type {kind} are called {part or 'anything'}")
        return found[0]

    def arn(self, logical_id: str) -> str:
        """The ARN of a resource."""
        kind, properties = self._resource(logical_id)
        if kind not in _ARNS:
            raise NotUnderstood(f"the ARN of {logical_id}, which is of type {kind}")
        return _ARNS[kind].format(
            partition=self.partition,
            region=self.region,
            account=self.account,
            name=self.name(logical_id),
            path=properties.get("Path", "/"),
        )

    def name(self, logical_id: str) -> str:
        """What a resource is called in the account."""
        kind, properties = self._resource(logical_id)
        own = properties.get(_OWN_NAME.get(kind, ""))
        return str(own) if isinstance(own, str) else self._names.get(logical_id, logical_id)

    def _resource(self, logical_id: str) -> tuple[str, dict[str, Any]]:
        found = self.template["Resources"].get(logical_id)
        if found is None:
            raise NotUnderstood(f"a reference to {logical_id}, which is not in the template")
        return found["Type"], found.get("Properties", {})

    # -- intrinsics --------------------------------------------------------------------------------------------------

    def text(self, value: Any) -> str:
        """A value as text, with what CloudFormation fills in. Raises NotUnderstood."""
        match value:
            case str():
                return value
            case {"Fn::GetAtt": [str(name), "Arn"]}:
                return self.arn(name)
            case {"Ref": str(name)}:
                return self._ref(name)
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(map(self.text, parts))
        raise NotUnderstood(f"the intrinsic {value}")

    def _ref(self, name: str) -> str:
        kind, _ = self._resource(name)
        if kind in _REF_IS_ARN:
            return self.arn(name)
        if kind in _REF_IS_NAME:
            return self.name(name)
        raise NotUnderstood(f"a reference to {name}, which is of type {kind}")

    def resolved(self, value: Any) -> Any:
        """The same value without intrinsics. Raises NotUnderstood."""
        if isinstance(value, list):
            return [self.resolved(each) for each in value]
        if isinstance(value, dict):
            if len(value) == 1 and (next(iter(value)) == "Ref" or next(iter(value)).startswith("Fn::")):
                return self.text(value)
            return {key: self.resolved(each) for key, each in value.items()}
        return value

    # -- roles -------------------------------------------------------------------------------------------------------

    @cached_property
    def roles(self) -> dict[str, Role]:
        """The roles of the stack, by logical id."""
        return {name: self._role(name, properties) for name, properties in self.of_type("AWS::IAM::Role").items()}

    def _role(self, logical_id: str, properties: Mapping[str, Any]) -> Role:
        if properties.get("ManagedPolicyArns"):
            raise NotUnderstood(f"{logical_id} has policies that are not the stack's own")
        statements = [
            statement for document in self._documents(logical_id, properties) for statement in self.statements(document)
        ]
        return Role(
            logical_id=logical_id,
            name=self.name(logical_id),
            arn=self.arn(logical_id),
            statements=tuple(statements),
            trust=parse(self.resolved(properties["AssumeRolePolicyDocument"]), principals=True),
            boundary=self._boundary(properties.get("PermissionsBoundary")),
        )

    def _documents(self, logical_id: str, properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        yield from (policy["PolicyDocument"] for policy in properties.get("Policies", ()))
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::RolePolicy"):
            for each in self.of_type(kind).values():
                if {"Ref": logical_id} in (*each.get("Roles", ()), each.get("RoleName")):
                    yield each["PolicyDocument"]

    def _boundary(self, value: Any) -> tuple[Statement, ...] | None:
        if not isinstance(value, dict):  # none, or the customer's own: what it says is not in the template
            return None
        return self.statements(self.of_type("AWS::IAM::ManagedPolicy")[value["Ref"]]["PolicyDocument"])

    def statements(self, document: Mapping[str, Any]) -> tuple[Statement, ...]:
        """The statements of an identity's policy in the template."""
        return parse(self.resolved(document))

    def role(self, part: str) -> Role:
        """The one role whose logical id or name contains ``part``. Raises NotUnderstood."""
        found = [role for role in self.roles.values() if part in role.logical_id or part == role.name]
        if len(found) != 1:
            raise NotUnderstood(f"{len(found)} roles are called {part}")
        return found[0]
