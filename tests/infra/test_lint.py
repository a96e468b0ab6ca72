"""What no template may say: ours say none of it, and each thing is found where it stands."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nightshift.config import Policy, load_toml

from infra.options import GENERATE, Options
from tests.infra.conftest import ACCOUNT, REGION, synthesize
from tests.infra.reading import Template
from tools.iam.lint import lint
from tools.iam.policy import NotUnderstood
from tools.iam.stack import Stack


def complaints(template: Template) -> set[tuple[str, str]]:
    """(rule, what) of everything that the lint says."""
    return {(each.rule, each.what) for each in lint(Stack(template, ACCOUNT, REGION))}


def test_our_template_says_none_of_it(template: Template) -> None:
    """No foreign ARN, no pattern of actions, nothing for anybody, everywhere or without a reason."""
    assert complaints(template) == set()


def test_nor_does_one_with_a_boundary(policy: Policy, tmp_path: Path) -> None:
    """A boundary that the stack makes is held to the same, but that its patterns are its own."""
    assert complaints(synthesize(policy, tmp_path, Options(boundary=GENERATE))) == set()


@pytest.mark.parametrize("path", sorted(Path("config").glob("*.toml")), ids=lambda path: path.stem)
def test_nor_does_any_configuration_that_we_ship(path: Path, tmp_path: Path) -> None:
    """Each example of ours, in its own account and Region."""
    policy = load_toml(path)
    assert lint(Stack(synthesize(policy, tmp_path), policy.account, policy.region)) == ()


# -- mutations -------------------------------------------------------------------------------------------------------

Mutation = Callable[[Template], object]


def of(kind: str, part: str = "") -> Callable[[Template], dict[str, Any]]:
    """The properties of the first resource of a type whose logical id contains ``part``."""
    return lambda template: next(
        each["Properties"] for name, each in template["Resources"].items() if each["Type"] == kind and part in name
    )


def says(kind: str, path: str, part: str = "", **statement: Any) -> Mutation:
    """Add an allow to the policy at ``path`` of a resource."""

    def mutate(template: Template) -> None:
        document: Any = of(kind, part)(template)
        for key in path.split("/"):
            document = document[int(key) if key.isdecimal() else key]
        document["Statement"].append({"Effect": "Allow", **statement})

    return mutate


def role(**statement: Any) -> Mutation:
    """Add an allow to the tick's role."""
    return says("AWS::IAM::Role", "Policies/0/PolicyDocument", "TickRole", **{"Resource": "*", **statement})


def queue(**statement: Any) -> Mutation:
    """Add an allow to the policy of the work queue."""
    return says("AWS::SQS::QueuePolicy", "PolicyDocument", "Work", **{"Resource": "*", "Action": "sqs:X", **statement})


def key(**statement: Any) -> Mutation:
    """Add an allow to the policy of the key."""
    return says("AWS::KMS::Key", "KeyPolicy", **{"Resource": "*", "Action": "kms:Decrypt", **statement})


def invoke(**changes: Any) -> Mutation:
    """Change who may invoke a function; None takes a property away."""

    def mutate(template: Template) -> None:
        permission = of("AWS::Lambda::Permission")(template)
        permission.update(changes)
        for name in [name for name, value in changes.items() if value is None]:
            del permission[name]

    return mutate


def arn(service: str, name: str, *, region: str = REGION, account: str = ACCOUNT, partition: str = "aws") -> str:
    """An ARN."""
    return f"arn:{partition}:{service}:{region}:{account}:{name}"


ELSEWHERE = "999999999999"
SERVICE = {"Service": "sns.amazonaws.com"}
FOUND: dict[str, tuple[str, Mutation]] = {
    # what it is → the rule that finds it, the mutation
    "an ARN of another account in a role": (
        "foreign",
        role(Action="sqs:GetQueueAttributes", Resource=arn("sqs", "q", account=ELSEWHERE)),
    ),
    "an ARN of another Region in a role": (
        "foreign",
        role(Action="sqs:GetQueueAttributes", Resource=arn("sqs", "q", region="us-east-1")),
    ),
    "an ARN of another partition in a role": (
        "foreign",
        role(Action="s3:GetObject", Resource="arn:aws-cn:s3:::bucket/key"),
    ),
    "an ARN of any account in a role": (
        "foreign",
        role(Action="sqs:ListQueueTags", Resource=arn("sqs", "q", account="*")),
    ),
    "a role of another account": (
        "foreign",
        role(Action="sts:AssumeRole", Resource=f"arn:aws:iam::{ELSEWHERE}:role/x"),
    ),
    "another account in a condition": (
        "foreign",
        role(
            Action="ecs:ListTasks", Condition={"ArnEquals": {"ecs:cluster": arn("ecs", "cluster/a", account=ELSEWHERE)}}
        ),
    ),
    "another account in the key's policy": ("foreign", key(Principal={"AWS": f"arn:aws:iam::{ELSEWHERE}:root"})),
    "another account in a queue's policy": (
        "foreign",
        queue(Principal=SERVICE, Condition={"ArnEquals": {"aws:SourceArn": arn("sns", "t", account=ELSEWHERE)}}),
    ),
    "another account in a trust": (
        "foreign",
        says(
            "AWS::IAM::Role",
            "AssumeRolePolicyDocument",
            "Acting",
            Action="sts:AssumeRole",
            Principal={"AWS": f"arn:aws:iam::{ELSEWHERE}:root"},
        ),
    ),
    "a function that another account's rule may invoke": (
        "foreign",
        invoke(SourceArn=arn("events", "rule/x", account=ELSEWHERE)),
    ),
    "a pattern of actions in a role": ("action-pattern", role(Action="sqs:Get*", Resource=arn("sqs", "q"))),
    "all of a service in a role": ("action-pattern", role(Action="sqs:*", Resource=arn("sqs", "q"))),
    "a pattern of actions in a queue's policy": (
        "action-pattern",
        queue(Action="sqs:*", Principal=SERVICE, Condition={"StringEquals": {"aws:SourceAccount": ACCOUNT}}),
    ),
    "everything but something": ("all-but", role(NotAction="iam:*")),
    "an action everywhere": ("everywhere", role(Action="sqs:DeleteMessage")),
    "a pattern that nobody explains": (
        "unexplained",
        role(Action="rds:ModifyDBCluster", Resource=arn("rds", "cluster:*")),
    ),
    "a queue for anybody": ("anybody", queue(Principal="*")),
    "a queue for any account": ("anybody", queue(Principal={"AWS": "*"})),
    "a service without saying for whom": ("deputy", queue(Principal=SERVICE)),
    "a function that anybody's rule may invoke": ("no-source", invoke(SourceArn=None)),
    "a function that anybody may invoke": ("anybody", invoke(Principal="*")),
    "a policy of AWS's": (
        "attached",
        lambda template: of("AWS::IAM::Role")(template).update(
            ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"]
        ),
    ),
}


@pytest.mark.parametrize("what", FOUND)
def test_the_lint_finds(template: Template, what: str) -> None:
    """Each is found, by the rule that is about it."""
    rule, mutate = FOUND[what]
    changed = copy.deepcopy(template)
    mutate(changed)
    assert rule in {found for found, _ in complaints(changed)}


def test_a_policy_in_an_unknown_place_is_refused(template: Template) -> None:
    """A new kind of resource cannot bring a policy in that nobody looks at."""
    changed = copy.deepcopy(template)
    changed["Resources"]["Secret"] = {
        "Type": "AWS::SecretsManager::ResourcePolicy",
        "Properties": {"ResourcePolicy": {"Version": "2012-10-17", "Statement": []}},
    }
    with pytest.raises(NotUnderstood, match="Secret"):
        complaints(changed)
