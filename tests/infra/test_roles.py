"""Who may do what: read from the template, as AWS would."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from nightshift.config import Policy, parse_toml
from nightshift.errors import ConfigError
from nightshift.incidents import incident_id

from infra.options import Options
from infra.permissions import ANYWHERE, NEVER
from infra.roles import INCIDENT
from tests.infra.conftest import ACCOUNT, REGION, TOML, synthesize
from tests.infra.reading import Template, allowed, may, named, of_type, role_of, statements
from tools.iam.stack import Stack

FUNCTIONS = ("SweepRole", "AlarmRole", "TickRole")
DLQ = f"arn:aws:sqs:{REGION}:{ACCOUNT}:documents-dlq"
SOURCE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:documents"
SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/apps/documents"
LOOKS = re.compile(r"\w+:(BatchGet|Describe|Filter|Get|List|Query)\w*|sqs:ReceiveMessage|kms:Decrypt")
"""what only looks: letters are received with a visibility timeout of 0, so nothing is hidden from anybody"""
OWN = {
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "sns:Publish",
    "sqs:DeleteMessage",
    "sqs:SendMessage",
}
"""what changes something, and is allowed on resources of the stack itself"""
TRACES = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
TO_ACT = {"sts:AssumeRole", "sts:SetSourceIdentity"}


def _write_roles(template: Template) -> list[str]:
    return [name for name, role in of_type(template, "AWS::IAM::Role").items() if "RoleName" in role]


# -- the functions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", FUNCTIONS)
def test_a_function_changes_nothing_but_what_is_our_own(template: Template, role: str) -> None:
    """What a function may do to anybody else's resource is to look at it."""
    for action, resource, _ in allowed(template, role_of(template, role)):
        if LOOKS.fullmatch(action) or action in TRACES | TO_ACT:
            continue
        assert action in OWN, f"{action} on {resource}"
        assert resource.startswith("${"), f"{action} is allowed on {resource}, which is not ours"


def test_a_tick_can_act_only_under_a_write_role_of_its_own(template: Template) -> None:
    """It may assume exactly the write roles of this deployment that there are, by name."""
    names = {of_type(template, "AWS::IAM::Role")[role]["RoleName"] for role in _write_roles(template)}
    for action in TO_ACT:
        resources = {
            resource for each, resource, _ in allowed(template, role_of(template, "TickRole")) if each == action
        }
        assert resources == {f"arn:aws:iam::{ACCOUNT}:role/nightshift/{name}" for name in names}


@pytest.mark.parametrize("role", ["SweepRole", "AlarmRole"])
def test_nobody_else_can_act_at_all(template: Template, role: str) -> None:
    """The sweep and the alarm function may assume nothing."""
    assert not [action for action, _, _ in allowed(template, role_of(template, role)) if action.startswith("sts:")]


@pytest.mark.hostile(18)
def test_an_alarm_cannot_even_look(template: Template) -> None:
    """The one function that strangers can wake reads neither targets nor records: it can only put work on the queue."""
    actions = {action for action, _, _ in allowed(template, role_of(template, "AlarmRole"))}
    assert actions == {
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:SendMessage",
        *TRACES,
    }


def test_every_function_has_a_role_of_its_own(template: Template) -> None:
    """No two functions share a role, and none has one that was made elsewhere."""
    roles = [function["Role"]["Fn::GetAtt"][0] for function in of_type(template, "AWS::Lambda::Function").values()]
    assert len(roles) == len(set(roles)) == 3
    assert set(roles) <= of_type(template, "AWS::IAM::Role").keys()


@pytest.mark.parametrize(
    "action, resource",
    [
        ("sqs:GetQueueAttributes", DLQ),
        ("sqs:GetQueueAttributes", SOURCE),
        ("sqs:ListQueueTags", SOURCE),
        ("sqs:ReceiveMessage", DLQ),
        ("ecs:DescribeServices", SERVICE),
        ("ecs:ListTagsForResource", SERVICE),
        ("cloudwatch:GetMetricData", "*"),
        ("cloudformation:DescribeStacks", f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/documents/1"),
    ],
)
def test_a_look_can_see_what_the_diagnosis_needs(template: Template, action: str, resource: str) -> None:
    """The tick may read targets, what they are linked to, and what stands around them."""
    assert may(template, role_of(template, "TickRole"), action, resource)


# -- the write roles -------------------------------------------------------------------------------------------------


def test_there_is_a_write_role_for_each_remediation_that_may_act(template: Template, policy: Policy) -> None:
    """One each, under the name that the acting code makes up from the deployment, the Region and the remediation."""
    roles = of_type(template, "AWS::IAM::Role")
    names = {roles[name]["RoleName"] for name in _write_roles(template)}
    assert names == {f"prod-{REGION}-{name}" for name in policy.remediations}
    assert {roles[name]["Path"] for name in _write_roles(template)} == {"/nightshift/"}


def test_what_is_only_observed_gives_nobody_permission(tmp_path: Path) -> None:
    """A deployment in observe mode has no write role at all: it cannot act, whatever its code does."""
    template = synthesize(parse_toml(TOML.replace('"auto"', '"observe"'), path="t"), tmp_path)
    assert not _write_roles(template)
    assert not [each for each, _, _ in allowed(template, role_of(template, "TickRole")) if each.startswith("sts:")]


@pytest.mark.parametrize("name", ["observed", "observed-dlq", "protected", "protected-dlq", "unregistered"])
def test_nothing_observed_protected_or_unregistered_can_be_changed(template: Template, name: str) -> None:
    """No write role reaches it, with any action, not by a pattern either."""
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
    for role in _write_roles(template):
        for action in ("sqs:DeleteMessage", "sqs:SendMessage", "sqs:StartMessageMoveTask", "sqs:ReceiveMessage"):
            assert not may(template, role, action, arn)


def test_a_write_role_may_do_what_its_remediation_declares_and_no_more(template: Template, policy: Policy) -> None:
    """Every declared action is allowed somewhere, and nothing undeclared is."""
    for remediation in policy.remediations.values():
        role = role_of(template, f"Acting{remediation.name.replace('-', '')}")
        actions = {action for action, _, _ in allowed(template, role)}
        declared = {*remediation.writes, *remediation.delegates}
        assert actions == declared


def test_letters_go_home_and_never_the_other_way(template: Template) -> None:
    """What takes and deletes is allowed on the dead-letter queue only, what gives on its source only."""
    role = role_of(template, "Actingsqsdlqbacklog")
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:StartMessageMoveTask"):
        assert may(template, role, action, DLQ)
        assert not may(template, role, action, SOURCE)
    assert may(template, role, "sqs:SendMessage", SOURCE)
    assert not may(template, role, "sqs:SendMessage", DLQ)


def test_letters_are_set_apart_and_stay_there(template: Template) -> None:
    """Objects can be put under one prefix only, and nothing there can be read, replaced unseen or deleted."""
    role = role_of(template, "Actingsqsdlqbacklog")
    bucket = next(name for name in of_type(template, "AWS::S3::Bucket"))
    resources = {resource for action, resource, _ in allowed(template, role) if action.startswith("s3:")}
    assert resources == {f"${{{bucket}}}/letters/*"}
    assert {action for action, _, _ in allowed(template, role) if action.startswith("s3:")} == {"s3:PutObject"}


@pytest.mark.parametrize(
    "action",
    [
        "sqs:PurgeQueue",
        "sqs:DeleteQueue",
        "sqs:SetQueueAttributes",
        "sqs:TagQueue",
        "sqs:UntagQueue",
        "ecs:DeleteService",
        "ecs:TagResource",
        "s3:DeleteObject",
        "s3:PutObjectTagging",
        "iam:PassRole",
        "iam:PutRolePolicy",
        "kms:ScheduleKeyDeletion",
        "lambda:UpdateFunctionCode",
        "dynamodb:DeleteItem",
        "sts:AssumeRole",
        "events:DisableRule",
    ],
)
def test_a_write_role_says_no_to_everything_else(template: Template, action: str) -> None:
    """Purging, deleting, tagging, IAM and keys are denied outright: a policy that is attached later gives nothing."""
    for role in _write_roles(template):
        assert _denied(template, role, action, "arn:aws:any:::thing")


def _denied(template: Template, role: str, action: str, resource: str) -> bool:
    """Whether a role says no outright, conditions aside."""
    denied = [each for each in statements(template, role) if each.effect == "Deny" and not each.conditions]
    return any(each.speaks_of(action, resource) for each in denied)


@pytest.mark.parametrize("action", sorted(NEVER))
def test_every_role_denies_what_must_never_be(template: Template, action: str) -> None:
    """Outright, in the role itself: functions and write roles alike."""
    for role in of_type(template, "AWS::IAM::Role"):
        assert _denied(template, role, action.replace("*", "PutRolePolicy"), "arn:aws:any:::thing")


@pytest.mark.parametrize("role", FUNCTIONS)
def test_a_function_denies_to_change_what_is_not_our_own(template: Template, role: str) -> None:
    """Also with an action that it has: a queue's own policy, or one that is attached later, gives it nothing."""
    name = role_of(template, role)
    for action, resource in (
        ("dynamodb:PutItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"),
        ("sns:Publish", f"arn:aws:sns:{REGION}:{ACCOUNT}:everybody"),
        ("sqs:DeleteMessage", DLQ),
        ("sqs:SendMessage", SOURCE),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin"),
    ):
        assert _denied(template, name, action, resource), action


@pytest.mark.parametrize("role", ["SweepRole", "TickRole"])
def test_no_function_may_set_the_kill_switch(template: Template, role: str) -> None:
    """Whoever keeps records may write every item but that one."""
    for action in ("dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"):
        assert [
            each
            for each in statements(template, role_of(template, role))
            if each.effect == "Deny"
            and action in each.actions
            and each.conditions == {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["SWITCH"]}}
        ]


def test_each_function_keeps_records_as_it_needs_to(template: Template) -> None:
    """The sweep claims nothing, and updates nothing but how often it looked; the alarm function keeps no records."""
    found = {
        role: {action for action, _, _ in allowed(template, role_of(template, role)) if action.startswith("dynamodb:")}
        for role in FUNCTIONS
    }
    assert found["AlarmRole"] == set()
    assert found["SweepRole"] < found["TickRole"]
    counting = [
        each.conditions
        for each in statements(template, role_of(template, "SweepRole"))
        if each.effect == "Allow" and "dynamodb:UpdateItem" in each.actions
    ]
    assert counting == [{"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["HEARTBEAT"]}}]


def test_reports_by_the_clock_have_a_function_where_they_are_asked_for(template: Template, tmp_path: Path) -> None:
    """It reads records and figures, notes what was told and tells people: no target, no work, no write role."""
    assert not [name for name in of_type(template, "AWS::Lambda::Function") if "Digest" in name]
    asked = TOML.replace("[notify]", '[notify]\ndigests = ["weekly"]')
    digested = synthesize(parse_toml(asked, path="t"), tmp_path)
    role = role_of(digested, "DigestRole")
    actions = {action for action, _, _ in allowed(digested, role)}
    assert {action for action in actions if not action.startswith(("kms:", "logs:", "xray:"))} == {
        "cloudwatch:GetMetricData",
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "sns:Publish",
        "sqs:SendMessage",
    }
    assert _denied(digested, role, "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin")
    assert _denied(digested, role, "sqs:SendMessage", SOURCE)
    [rule] = [each for each in of_type(digested, "AWS::Events::Rule").values() if "report" in each["Description"]]
    assert rule["ScheduleExpression"] == "cron(0/15 * * * ? *)"
    alarms = of_type(digested, "AWS::CloudWatch::Alarm")
    assert [name for name in alarms if "DigestFails" in name]


def test_whoever_tells_the_days_health_reads_what_the_sweep_reads_and_how_things_are(
    template: Template, tmp_path: Path
) -> None:
    """Only where it is asked for: beside what the sweep reads, alarms and what stands behind a target; no write."""
    asked = synthesize(parse_toml(TOML.replace("[notify]", '[notify]\nhealth_at = "07:00"'), path="t"), tmp_path)
    role = role_of(asked, "DigestRole")
    looks = {(action, resource) for action, resource, _ in allowed(asked, role) if LOOKS.fullmatch(action)}
    sweep = {(action, resource) for action, resource, _ in allowed(template, role_of(template, "SweepRole"))}
    elsewhere = {each for each in sweep if LOOKS.fullmatch(each[0]) and not each[1].startswith("${")}
    assert elsewhere <= looks
    assert ("cloudwatch:DescribeAlarms", "*") in looks
    assert may(asked, role, "ecs:DescribeServices", SERVICE)
    assert may(asked, role, "sqs:GetQueueAttributes", SOURCE)
    for action, resource, _ in allowed(asked, role):
        if not LOOKS.fullmatch(action) and action not in TRACES:
            assert action in OWN
            assert resource.startswith("${")
    assert _denied(asked, role, "sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/admin")


@pytest.mark.hostile(19)
def test_only_the_tick_may_assume_a_write_role_and_only_as_an_incident(template: Template) -> None:
    """Its trust names the tick's role, and asks for an incident as session name and as source identity."""
    for name in _write_roles(template):
        trust = of_type(template, "AWS::IAM::Role")[name]["AssumeRolePolicyDocument"]["Statement"]
        for statement in trust:
            assert statement["Principal"] == {"AWS": {"Fn::GetAtt": [role_of(template, "TickRole"), "Arn"]}}
            assert statement["Condition"]["StringLike"]["sts:SourceIdentity"] == INCIDENT
        assuming = [each for each in trust if each["Action"] == "sts:AssumeRole"]
        assert [each["Condition"]["StringLike"]["sts:RoleSessionName"] for each in assuming] == [INCIDENT]
        assert {each["Action"] for each in trust} == {"sts:AssumeRole", "sts:SetSourceIdentity"}


def test_an_incident_is_called_what_the_trust_expects(policy: Policy) -> None:
    """The pattern is the shape of an incident's id, and of nothing that is spelt in any other way."""
    from datetime import UTC, datetime

    pattern = re.compile(INCIDENT.replace("?", "."))
    assert pattern.fullmatch(incident_id("sqs-dlq-backlog", DLQ, datetime(2026, 11, 21, 2, 38, tzinfo=UTC)))
    assert not pattern.fullmatch("nightshift")


# -- all of them -----------------------------------------------------------------------------------------------------


def test_nothing_is_allowed_everywhere_but_what_aws_offers_nowhere_else(template: Template) -> None:
    """A ``*`` as resource is for listed actions only, each with AWS's reason; an action is never a pattern."""
    for role in of_type(template, "AWS::IAM::Role"):
        for action, resource, _ in allowed(template, role):
            assert "*" not in action
            if resource == "*":
                assert action in ANYWHERE


def test_a_pattern_is_for_looking_or_for_what_has_no_name_yet(template: Template) -> None:
    """Where a changing action meets a pattern, the pattern is inside one target, one queue's key or one prefix."""
    inside = re.compile(
        rf"arn:aws:ecs:{REGION}:{ACCOUNT}:(task|service-deployment)/apps/.*|arn:aws:kms:.*|\$\{{DataQuarantine.*"
    )
    for role in of_type(template, "AWS::IAM::Role"):
        for action, resource, statement in allowed(template, role):
            if "*" not in resource or LOOKS.fullmatch(action) or action in TRACES:
                continue
            assert inside.fullmatch(resource), f"{action} on {resource}"
            if action.startswith("kms:"):
                assert "kms:ViaService" in statement.conditions["StringEquals"]


def test_no_policy_is_anybody_elses(template: Template) -> None:
    """No role has a policy of AWS's, or one that is not in this template."""
    for role in of_type(template, "AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role


def test_keys_are_used_only_through_what_they_encrypt(template: Template) -> None:
    """No role may use a key directly: only through SQS, SNS, DynamoDB or S3 (describing one gives nothing away)."""
    for role in of_type(template, "AWS::IAM::Role"):
        for action, resource, statement in allowed(template, role):
            if action.startswith("kms:") and action != "kms:DescribeKey":
                assert "kms:ViaService" in statement.conditions["StringEquals"], f"{action} on {resource}"


def test_a_boundary_is_on_every_role(policy: Policy, tmp_path: Path) -> None:
    """Where the account asks for a permissions boundary, no role is without."""
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    template = synthesize(policy, tmp_path, Options(boundary=boundary))
    for role in of_type(template, "AWS::IAM::Role").values():
        assert role["PermissionsBoundary"] == boundary


def test_concurrency_can_be_left_to_the_account(policy: Policy, tmp_path: Path) -> None:
    """In an account that has none to reserve, nothing is reserved, and the queue still holds ticks back."""
    template = synthesize(policy, tmp_path, Options(reserve=False, concurrency=2))
    for function in of_type(template, "AWS::Lambda::Function").values():
        assert "ReservedConcurrentExecutions" not in function
    mapping = named(template, "AWS::Lambda::EventSourceMapping", "TickWork")
    assert mapping["ScalingConfig"]["MaximumConcurrency"] == 2


def _many(count: int) -> str:
    target = """
[[systems.targets]]
arn = "arn:aws:sqs:eu-central-1:111122223333:a-dead-letter-queue-with-a-rather-long-name-{0:04}-dlq"
mode = "auto"
source = "arn:aws:sqs:eu-central-1:111122223333:a-queue-with-a-rather-long-name-{0:04}"
"""
    return TOML + "".join(target.format(number) for number in range(count))


def test_many_targets_still_fit(tmp_path: Path) -> None:
    """A hundred queues: what is written stays exact, in more than one policy; what is read becomes a pattern."""
    template = synthesize(parse_toml(_many(100), path="t"), tmp_path)
    role = role_of(template, "Actingsqsdlqbacklog")
    for number in (0, 57, 99):
        name = f"a-dead-letter-queue-with-a-rather-long-name-{number:04}-dlq"
        assert may(template, role, "sqs:DeleteMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
    assert not may(template, role, "sqs:DeleteMessage", f"arn:aws:sqs:{REGION}:{ACCOUNT}:another")
    assert may(template, role_of(template, "TickRole"), "sqs:GetQueueAttributes", f"arn:aws:sqs:{REGION}:{ACCOUNT}:x")
    for name, parts in _policies(template).items():
        assert len(parts) <= 10, name
        assert all(size <= 6_144 for size in parts), name


def _policies(template: Template) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for policy in of_type(template, "AWS::IAM::ManagedPolicy").values():
        text = json.dumps(policy["PolicyDocument"], separators=(",", ":"))
        size = len(re.sub(r'\{"Fn::Join":\["",\[\{[^}]*\},("[^"]*")\]\]\}', r"\1" + "b" * 76, text))
        found.setdefault(str(policy["Roles"]), []).append(size)
    return found


@pytest.mark.parametrize("count", [12, 16, 25, 30])
def test_what_stands_in_a_role_fits_with_the_longest_names_of_our_own_too(tmp_path: Path, count: int) -> None:
    """AWS counts what CloudFormation fills in: 10,240 characters for all that stands in a role, without white space."""
    levels = "".join(f'[notify.severities.SEV{n}]\nemails = ["s{n}@example.com"]\n' for n in range(1, 5))
    levels += "".join(f'[[escalation]]\nemails = ["l{n}@example.com"]\nafter = "PT{n}0M"\n' for n in range(1, 6))
    deployment, region = "a" * 25, "ap-southeast-2"
    text = f'name = "{deployment}"\naccount = "{ACCOUNT}"\nregion = "{region}"\n[notify]\nemails = ["o@example.com"]\n'
    text += f'{levels}[remediations.sqs-dlq-backlog]\nmode = "auto"\n[[systems]]\nname = "d"\n'
    for number in range(count):
        text += f"""
[[systems.targets]]
arn = "arn:aws:sqs:{region}:{ACCOUNT}:queue-number-{number:03}-dlq"
mode = "auto"
source = "arn:aws:sqs:{region}:{ACCOUNT}:queue-number-{number:03}"
consumer = "arn:aws:ecs:{region}:{ACCOUNT}:service/apps/service-{number:03}"
"""
    template = synthesize(parse_toml(text, path="t"), tmp_path)
    most = {"AWS::SQS::Queue": 80, "AWS::S3::Bucket": 63}
    names = {
        name: f"nightshift-{deployment}-{name}-ABCDEFGHIJKL"[: most.get(each["Type"], 255)]
        for name, each in template["Resources"].items()
    }
    names |= dict.fromkeys(of_type(template, "AWS::KMS::Key"), "0" * 36)
    stack = Stack(template, ACCOUNT, region, names=names)
    for role, properties in of_type(template, "AWS::IAM::Role").items():
        documents = [stack.resolved(each["PolicyDocument"]) for each in properties["Policies"]]
        assert sum(len(json.dumps(each, separators=(",", ":"))) for each in documents) <= 10_240, role


def test_too_many_targets_are_refused_rather_than_widened(tmp_path: Path) -> None:
    """Where the ARNs of what is written do not fit, synthesis stops and says what to do."""
    with pytest.raises(ConfigError, match="do not fit"):
        synthesize(parse_toml(_many(600), path="t"), tmp_path)
