"""Reading a template: its resources by type, its roles as statements, and what a role may do."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Template = dict[str, Any]


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of a type, by logical id."""
    return {name: each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind}


def named(template: Template, kind: str, part: str) -> dict[str, Any]:
    """The properties of the one resource of a type whose logical id contains ``part``."""
    found = [each for name, each in of_type(template, kind).items() if part in name]
    assert len(found) == 1, f"{len(found)} resources of {kind} are called {part}"
    return found[0]


@dataclass(frozen=True)
class Statement:
    """One statement of a role, with references as ``${LogicalId}`` text."""

    effect: str
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[str, ...]
    not_resources: tuple[str, ...]
    conditions: dict[str, dict[str, Any]]

    def speaks_of(self, action: str, resource: str) -> bool:
        """Whether it decides about an action on a resource, conditions aside."""
        if self.not_actions:
            if any(fnmatch.fnmatchcase(action, pattern) for pattern in self.not_actions):
                return False
        elif not any(fnmatch.fnmatchcase(action, pattern) for pattern in self.actions):
            return False
        if self.not_resources:
            return not any(fnmatch.fnmatchcase(resource, pattern) for pattern in self.not_resources)
        return any(fnmatch.fnmatchcase(resource, pattern) for pattern in self.resources)


def text_of(value: Any) -> str:
    """An ARN, with what CloudFormation fills in as ``${LogicalId}``."""
    match value:
        case str():
            return value
        case {"Fn::GetAtt": [name, _]} | {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::Join": ["", parts]}:
            return "".join(map(text_of, parts))
    raise AssertionError(f"nobody has taught this test to read {value}")


def statements(template: Template, role: str) -> list[Statement]:
    """Everything that a role is allowed or denied, in the role itself and in policies of the stack."""
    properties = template["Resources"][role]["Properties"]
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for each in of_type(template, kind).values():
            documents += [each["PolicyDocument"]] * ({"Ref": role} in each.get("Roles", []))
    return [_statement(each) for document in documents for each in document["Statement"]]


def _statement(raw: dict[str, Any]) -> Statement:
    return Statement(
        effect=raw["Effect"],
        actions=tuple(_many(raw.get("Action", []))),
        not_actions=tuple(_many(raw.get("NotAction", []))),
        resources=tuple(text_of(each) for each in _many(raw.get("Resource", []))),
        not_resources=tuple(text_of(each) for each in _many(raw.get("NotResource", []))),
        conditions=raw.get("Condition", {}),
    )


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def allowed(template: Template, role: str) -> Iterator[tuple[str, str, Statement]]:
    """Every (action, resource) that a role is allowed, with the statement that says so."""
    for statement in statements(template, role):
        if statement.effect == "Allow":
            for action in statement.actions:
                for resource in statement.resources:
                    yield action, resource, statement


def may(template: Template, role: str, action: str, resource: str) -> bool:
    """Whether a role may do ``action`` on ``resource``, taking conditions as met: an explicit deny wins."""
    those = [each for each in statements(template, role) if each.speaks_of(action, resource)]
    return any(each.effect == "Allow" for each in those) and not any(each.effect == "Deny" for each in those)


def role_of(template: Template, part: str) -> str:
    """The logical id of the one role that is called so."""
    found = [name for name in of_type(template, "AWS::IAM::Role") if part in name]
    assert len(found) == 1, f"{len(found)} roles are called {part}"
    return found[0]


def everything(template: Template) -> str:
    """The whole template as text."""
    return json.dumps(template, sort_keys=True)
