"""The outer limit: whatever is attached to a role later, it stays within this."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from nightshift.config import Policy, parse_toml
from nightshift.errors import ConfigError

from infra.boundary import LIMIT, document
from infra.options import GENERATE, Options
from infra.permissions import NEVER
from tests.infra.conftest import ACCOUNT, REGION, TOML, synthesize
from tests.infra.reading import of_type
from tools.iam.policy import Decision, Grant, decide, glob, grants, parse, permitted
from tools.iam.stack import Stack

ADMINISTRATOR = parse({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
SAYS = {"kms:ViaService": None, "dynamodb:LeadingKeys": None}


@pytest.fixture(scope="module")
def bound(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack with a boundary of its own, its resources called as CloudFormation would."""
    template = synthesize(policy, tmp_path_factory.mktemp("bound"), Options(boundary=GENERATE))
    names = {name: f"nightshift-prod-{name}-x" for name in template["Resources"]}
    return Stack(template, ACCOUNT, REGION, names=names)


def test_every_role_is_within_the_one_boundary(bound: Stack) -> None:
    """The stack makes one policy, and each role has it."""
    (made,) = (name for name in of_type(bound.template, "AWS::IAM::ManagedPolicy") if name.startswith("Boundary"))
    for role in of_type(bound.template, "AWS::IAM::Role").values():
        assert role["PermissionsBoundary"] == {"Ref": made}


def test_what_a_role_allows_its_boundary_allows(bound: Stack) -> None:
    """No role loses anything by it: each action on each resource, whatever the conditions say."""
    for role in bound.roles.values():
        assert role.boundary is not None
        for grant in grants(role.statements):
            resource = grant.resource.replace("*", "x") if grant.resource != "*" else "*"
            assert decide(role.boundary, grant.action, resource, _as_allowed(grant)) is Decision.ALLOWED, grant


def _as_allowed(grant: Grant) -> dict[str, str | None]:
    return {**SAYS, **{condition.key: condition.values[0] for condition in grant.conditions}}


def test_a_boundary_names_no_action_that_no_role_has(bound: Stack) -> None:
    """It is made from the same grants: what no role may, it does not mention."""
    roles = {grant.action for role in bound.roles.values() for grant in grants(role.statements)}
    limits = {grant.action for role in bound.roles.values() for grant in grants(role.boundary or ())}
    assert limits == roles


@pytest.mark.parametrize("action", sorted(NEVER))
def test_what_must_never_be_is_denied_by_name_with_administrator_access_too(bound: Stack, action: str) -> None:
    """IAM, purging, deleting, tagging, keys and trails: whatever is attached, and whatever a resource's policy says."""
    example = action.replace("*", "PutRolePolicy")
    for role in bound.roles.values():
        assert role.boundary is not None
        assert decide(role.boundary, example, "arn:aws:any:::thing", SAYS) is Decision.DENIED
        assert not permitted([ADMINISTRATOR, role.boundary], example, "arn:aws:any:::thing", SAYS)


@pytest.mark.parametrize(
    "action, resource",
    [
        ("sqs:DeleteMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:unregistered"),
        ("sqs:DeleteMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:observed-dlq"),
        ("sqs:DeleteMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:documents-dlq"),
        ("ecs:UpdateService", f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/apps/other"),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"),
        ("ec2:TerminateInstances", "*"),
        ("rds:DeleteDBCluster", f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:x"),
    ],
)
def test_an_administrator_is_still_within_it(bound: Stack, action: str, resource: str) -> None:
    """Another queue, one that is only observed, another Region, another role, another service: none of it."""
    for role in bound.roles.values():
        assert role.boundary is not None
        assert not permitted([ADMINISTRATOR, role.boundary], action, resource, SAYS)


def _size(policy: Policy) -> int:
    return len(json.dumps(document(policy, partition="aws"), separators=(",", ":")))


def _many(count: int) -> Policy:
    target = """
[[systems.targets]]
arn = "arn:aws:sqs:eu-central-1:111122223333:a-dead-letter-queue-with-a-rather-long-name-{0:04}-dlq"
mode = "auto"
source = "arn:aws:sqs:eu-central-1:111122223333:a-queue-with-a-rather-long-name-{0:04}"
"""
    return parse_toml(TOML + "".join(target.format(number) for number in range(count)), path="t")


@pytest.mark.parametrize("count", [0, 10, 30, 100])
def test_it_fits_into_one_policy(count: int) -> None:
    """AWS takes one policy as a boundary: targets that do not fit one by one are covered by account and Region."""
    assert _size(_many(count)) <= LIMIT


@pytest.mark.parametrize("count", range(1, 14))
def test_with_what_it_denies_it_fits_into_one_policy_too(count: int) -> None:
    """What is denied everywhere but on buckets of triggers names each of them: that counts as what is allowed does."""
    text = (
        TOML[: TOML.index("[remediations")]
        + '[remediations.s3-trigger-stuck]\nmode = "auto"\n[[systems]]\nname = "s"\n'
    )
    for number in range(count):
        text += f"""
[[systems.targets]]
arn = "arn:aws:s3:::a-bucket-with-a-name-as-long-as-the-names-of-buckets-may-be-{number:02}"
mode = "auto"
[systems.targets.triggers]
prefix = "changes/"
archive = "archive/"
[[systems.targets.triggers.customers]]
name = "hts"
queue = "arn:aws:sqs:eu-central-1:111122223333:q-{number}"
dead_letters = "arn:aws:sqs:eu-central-1:111122223333:q-{number}-dlq"
consumer = "arn:aws:ecs:eu-central-1:111122223333:service/apps/c{number}"
"""
    policy = parse_toml(text, path="t")
    try:
        size = _size(policy)
    except ConfigError:
        assert count > 7, "so many fit"
    else:
        assert size <= LIMIT


def test_however_many_targets_there_are_only_this_account_and_region_are_in_it() -> None:
    """A pattern takes the place of names, never that of the account or the Region."""
    for statement in _allowed(_many(100)):
        for resource in statement:
            parts = resource.split(":", 5)
            assert resource == "*" or glob("arn:aws:s3:::nightshift-*", resource) or parts[4] == ACCOUNT, resource


def _allowed(policy: Policy) -> Iterable[list[str]]:
    return (each["Resource"] for each in document(policy, partition="aws")["Statement"] if each["Effect"] == "Allow")


def test_it_can_be_made_before_anything_is_deployed(policy: Policy) -> None:
    """The document holds no reference to the stack: somebody else may make the policy, and give its ARN."""
    text = json.dumps(document(policy, partition="aws"))
    assert "Token" not in text
    assert "Fn::" not in text
    assert "Ref" not in text.replace("arn:", "")


@pytest.mark.parametrize("boundary", ["yes", "arn:aws:iam::1:policy/x", "arn:aws:sqs:eu-central-1:111122223333:q"])
def test_a_boundary_that_is_no_policy_is_refused(boundary: str) -> None:
    """A slip of the keyboard must not become a deployment without one, or one that CloudFormation cannot make."""
    with pytest.raises(ConfigError, match="not the ARN of a policy"):
        Options(boundary=boundary)


def test_a_boundary_that_is_a_policy_is_taken(tmp_path: Path, policy: Policy) -> None:
    """The account's own, or one that AWS manages."""
    for boundary in (f"arn:aws:iam::{ACCOUNT}:policy/team/limit", "arn:aws:iam::aws:policy/PowerUserAccess"):
        assert Options(boundary=boundary).boundary == boundary


def test_nothing_but_the_autoscaling_of_tables_can_be_ended() -> None:
    """Only where a table may be scaled; the role says of which kind, and the plan of which table."""
    ends = "application-autoscaling:DeregisterScalableTarget"
    table = """
[[systems.targets]]
arn = "arn:aws:dynamodb:eu-central-1:111122223333:table/hot"
mode = "auto"
"""
    scaled = f"arn:aws:application-autoscaling:{REGION}:{ACCOUNT}:scalable-target/0dd5"
    for name, may in (("dynamodb-autoscaling-missing", True), ("dynamodb-throttled", False)):
        policy = parse_toml(TOML + table + f'[remediations.{name}]\nmode = "auto"\n', path="t")
        boundary = parse({"Version": "2012-10-17", "Statement": document(policy, partition="aws")["Statement"]})
        assert permitted([ADMINISTRATOR, boundary], ends, scaled, SAYS) is may
        elsewhere = scaled.replace(REGION, "us-east-1")
        assert permitted([ADMINISTRATOR, boundary], ends, elsewhere, SAYS) is False


def _tuned(count: int) -> list[dict[str, object]]:
    """The statements about a deployment that may set attributes of so many queues."""
    target = """
[[systems.targets]]
arn = "arn:aws:sqs:eu-central-1:111122223333:queue-{0}"
mode = "auto"
"""
    toml = TOML + "".join(target.format(number) for number in range(count))
    policy = parse_toml(toml + '[remediations.visibility-timeout-short]\nmode = "auto"\n', path="t")
    return list(document(policy, partition="aws")["Statement"])


def test_the_attributes_of_no_other_queue_can_be_set() -> None:
    """Of those that a remediation may raise something of they can; of many, those of this account and Region."""
    few, many = (parse({"Version": "2012-10-17", "Statement": _tuned(count)}) for count in (1, 40))
    ours, other = (f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" for name in ("queue-0", "elsewhere"))
    elsewhere = f"arn:aws:sqs:us-east-1:{ACCOUNT}:queue-0"
    for boundary, queue, allowed in (
        (few, ours, True),
        (few, other, False),
        (few, elsewhere, False),
        (many, ours, True),
        (many, elsewhere, False),
    ):
        assert permitted([ADMINISTRATOR, boundary], "sqs:SetQueueAttributes", queue, SAYS) is allowed, queue
