"""
The permission proof: granted = used, for every role and every session; and that the checker which says so can say no.

The nights are played once and judged by the stack that is deployed in them (tools/iam/proof.py). The mutations below
change one thing of a template or of a night, and each must be found.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from nightshift.remediation import Remediation
from nightshift.remediations import REMEDIATIONS

from tools.iam.needs import OPERATIONS
from tools.iam.nights import Night, nights
from tools.iam.policy import NotUnderstood, parse, permitted
from tools.iam.proof import FUNCTIONS, Proof, judge, missing, needs_of, proof, roles_of, stack_of, together
from tools.iam.stack import Template
from tools.iam.synth import deployed
from tools.permissions_page import PAGE, page

pytestmark = pytest.mark.timeout(300)  # the first of them makes the proof, which takes a minute of CPU

REMEDIES = [remediation.name for remediation in REMEDIATIONS]


# -- the proof -------------------------------------------------------------------------------------------------------


def test_nothing_that_was_called_is_missing() -> None:
    """Every call of every night, and what AWS did in our name for it, is allowed: by role and session together."""
    assert proof().missing == ()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_granted_nothing_that_is_never_used(function: str) -> None:
    """Each action on each resource under each condition that a function's role allows was needed in some night."""
    assert [finding for finding in proof().unused if finding.role == function] == []
    assert proof().uses[function]


@pytest.mark.parametrize("remediation", REMEDIATIONS, ids=lambda remediation: remediation.name)
def test_no_write_is_granted_that_is_never_used(remediation: type[Remediation]) -> None:
    """So was each that a write role allows; and its actions are those that the remediation declares."""
    assert [finding for finding in proof().unused if finding.role == remediation.name] == []
    assert {grant.action for grant in proof().uses[remediation.name]} == {*remediation.writes, *remediation.delegates}


def test_nothing_is_broader_than_it_must_be() -> None:
    """
    No pattern without a reason, no condition that AWS does not know, no write of a function on anything but our own.

    And no session that allows more than the calls of its step ask for, or more than its role.
    """
    assert proof().broader == ()


def test_every_step_had_a_session_and_used_what_it_was_given() -> None:
    """
    What a session is allowed, a session of that remediation used.

    A step may carry calls that a night had no reason to make (every step of a redrive may store a letter that turns out
    to be poison): those must have been made in another step of the same plan.
    """
    sessions = proof().sessions
    assert {session.step for session in sessions} == {
        "stop-task",
        "roll-back",
        "rest",
        *("raise-visibility-timeout", "raise-retention"),
        *("autoscaling", "undo autoscaling", "back up"),
        *("more-concurrency", "undo more-concurrency"),
        "point-back",
        *("delete", "send", "restore"),
        *("delete", "send"),
        *("enable", "fill-in", "continue"),
        *("cache", "undo cache"),
        *("keep-ready", "undo keep-ready"),
        *("copy", "complete"),
        *("restart", "quarantine", "canary", "redrive", "undo redrive"),
        *("more-tasks", "undo more-tasks", "higher-maximum", "undo higher-maximum"),
        *("more-capacity", "undo more-capacity", "other-limits", "undo other-limits"),
        *("stop", "undo stop"),
    }
    for name in REMEDIES:
        those = [session for session in sessions if session.remediation == name]
        given = {pair for session in those for pair in _without_key(session.allowed)}
        assert given == {pair for session in those for pair in _without_key(session.used)}, name


def _without_key(pairs: frozenset[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """A queue's key has another name in every account."""
    return ((action, "a key" if action.startswith("kms:") else resource) for action, resource in pairs)


def test_the_nights_make_every_call_that_there_is_a_rule_for() -> None:
    """No rule for an operation that nothing calls any more: such a rule could hide that a permission is left over."""
    assert {event.name for night in nights() for event in night.calls} == OPERATIONS.keys()


def test_a_boundary_that_the_stack_makes_takes_nothing_away() -> None:
    """With the generated permissions boundary on every role, each call of each night is still allowed."""
    for night in nights():
        stack = stack_of(night, bounded=True)
        assert all(role.boundary for role in stack.roles.values())
        assert missing(night, stack) == ()


def test_the_page_is_current() -> None:
    """docs/reference/permissions.md is what the proof says today (make permissions-page writes it)."""
    assert PAGE.read_text(encoding="utf-8") == page()


# -- mutations -------------------------------------------------------------------------------------------------------


class NotThereError(LookupError):
    """What is to be changed is not in this template: not every night has every remediation."""


def role_of(template: Template, role: str) -> dict[str, Any]:
    """The properties of a role."""
    found: list[dict[str, Any]] = [
        each["Properties"]
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::IAM::Role" and role in name
    ]
    if not found:
        raise NotThereError(role)
    return found[0]


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    """The statements in a role itself, to be changed."""
    found: list[dict[str, Any]] = role_of(template, role)["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def allowing(template: Template, role: str, action: str) -> dict[str, Any]:
    """The first statement of a role that allows an action."""
    for each in statements(template, role):
        if each["Effect"] == "Allow" and action in each["Action"]:
            return each
    raise NotThereError(action)


TICK, SWEEP, LETTERS, STALLED = "TickRole", "SweepRole", "Actingsqsdlqbacklog", "Actingecsservicestalled"
Mutation = Callable[[Template], object]


def drop(role: str, action: str) -> Mutation:
    """Take an action out of a role."""

    def mutate(template: Template) -> None:
        found = statements(template, role)
        for each in found:
            if each["Effect"] == "Allow":
                each["Action"] = [name for name in _many(each["Action"]) if name != action]
        found[:] = [each for each in found if each.get("Action", True)]

    return mutate


def change(role: str, action: str, **to: Any) -> Mutation:
    """Change the statement of a role that allows an action."""
    return lambda template: allowing(template, role, action).update(to)


def rename(role: str, action: str, old: str, new: str) -> Mutation:
    """Change a text in the resources of the statement of a role that allows an action."""

    def mutate(template: Template) -> None:
        statement = allowing(template, role, action)
        statement["Resource"] = json.loads(json.dumps(statement["Resource"]).replace(old, new))

    return mutate


def add(role: str, **statement: Any) -> Mutation:
    """Add a statement to a role."""
    return lambda template: statements(template, role).append({"Effect": "Allow", "Resource": "*", **statement})


def without_conditions(role: str, action: str) -> Mutation:
    """Take the conditions from every statement of a role that allows an action."""

    def mutate(template: Template) -> None:
        for each in statements(template, role):
            if each["Effect"] == "Allow" and action in each["Action"]:
                each.pop("Condition", None)

    return mutate


def through_another_service(template: Template) -> None:
    """Let the tick use the key through SES where it tells people through SNS."""
    [statement] = [each for each in statements(template, TICK) if each.get("Sid") == "KeyOfReports"]
    statement["Condition"]["StringEquals"]["kms:ViaService"] = "ses.eu-central-1.amazonaws.com"


def _many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def without(sid: str) -> Mutation:
    """Take the statements of that name from every role."""

    def mutate(template: Template) -> None:
        for each in template["Resources"].values():
            for policy in each["Properties"].get("Policies", ()):
                document = policy["PolicyDocument"]
                document["Statement"] = [one for one in document["Statement"] if one.get("Sid") != sid]

    return mutate


def distrust(template: Template) -> None:
    """Let the write role trust nobody under the name of an incident."""
    for statement in role_of(template, LETTERS)["AssumeRolePolicyDocument"]["Statement"]:
        statement["Condition"]["StringLike"]["sts:SourceIdentity"] = "nightshift"


def bound(template: Template) -> None:
    """Put a boundary on the tick's role that forgets one thing."""
    template["Resources"]["Outer"] = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "NotAction": "sns:Publish", "Resource": "*"}],
            }
        },
    }
    role_of(template, TICK)["PermissionsBoundary"] = {"Ref": "Outer"}


def untrace(template: Template) -> None:
    """Switch tracing off, and leave the permission."""
    for each in template["Resources"].values():
        each["Properties"].pop("TracingConfig", None)


FOUND: dict[str, tuple[str, str, str, Mutation]] = {
    # what it is for → what kind of finding, in whose role, about which action, the mutation
    "an action that is called is dropped from a function's role": (
        "missing",
        "tick",
        "sqs:ListQueueTags",
        drop(TICK, "sqs:ListQueueTags"),
    ),
    "what SQS does in our name is dropped from a write role": (
        "missing",
        "sqs-dlq-backlog",
        "sqs:GetQueueAttributes",
        drop(LETTERS, "sqs:GetQueueAttributes"),
    ),
    "a session needs leave to say in whose name it is": (
        "missing",
        "tick",
        "sts:SetSourceIdentity",
        drop(TICK, "sts:SetSourceIdentity"),
    ),
    "the key of a queue is left out": (
        "missing",
        "sqs-dlq-backlog",
        "kms:GenerateDataKey",
        drop(LETTERS, "kms:GenerateDataKey"),
    ),
    "an allow becomes a deny": (
        "missing",
        "sweep",
        "s3:ListBucket",
        change(SWEEP, "s3:ListBucket", Effect="Deny"),
    ),
    "a resource is another account's": (
        "missing",
        "ecs-service-stalled",
        "ecs:UpdateService",
        rename(STALLED, "ecs:UpdateService", "123456789012", "999999999999"),
    ),
    "a resource is in another Region": (
        "missing",
        "ecs-service-stalled",
        "ecs:UpdateService",
        rename(STALLED, "ecs:UpdateService", "eu-central-1", "us-east-1"),
    ),
    "a condition asks for another service": ("missing", "tick", "kms:GenerateDataKey", through_another_service),
    "the deny of everything else denies what is needed": (
        "missing",
        "ecs-service-stalled",
        "ecs:UpdateService",
        lambda template: statements(template, STALLED)[0].update(NotAction=["ecs:StopTask"]),
    ),
    "the write role trusts other names only": ("missing", "tick", "sts:AssumeRole", distrust),
    "a boundary is too narrow": ("missing", "tick", "sns:Publish", bound),
    "a write is widened to everything": (
        "broader",
        "sqs-dlq-backlog",
        "s3:PutObject",
        change(LETTERS, "s3:PutObject", Resource="*"),
    ),
    "a write is widened to every queue of the account": (
        "broader",
        "sqs-dlq-backlog",
        "sqs:SendMessage",
        rename(LETTERS, "sqs:SendMessage", "dms-processing-prod", "dms-*"),
    ),
    "an action becomes a pattern": ("broader", "tick", "sqs:*", change(TICK, "sqs:ListQueueTags", Action="sqs:*")),
    "a read role may write": (
        "broader",
        "tick",
        "sqs:DeleteMessage",
        add(TICK, Action="sqs:DeleteMessage", Resource="arn:aws:sqs:eu-central-1:123456789012:dms-processing-dlq-prod"),
    ),
    "a resource is of a kind that the action is not for": (
        "broader",
        "tick",
        "ecs:DescribeTasks",
        rename(TICK, "ecs:DescribeTasks", ":task/", ":cluster/"),
    ),
    "a condition is one that AWS does not know for the action": (
        "broader",
        "tick",
        "kms:DescribeKey",
        add(
            TICK,
            Action="kms:DescribeKey",
            Resource="arn:aws:kms:eu-central-1:123456789012:key/*",
            Condition={"StringEquals": {"kms:EncryptionContext:aws:sqs:arn": "x"}},
        ),
    ),
    "the condition that names the cluster is removed": (
        "broader",
        "tick",
        "ecs:ListTasks",
        without_conditions(TICK, "ecs:ListTasks"),
    ),
    "the flat no to everything else is removed": (
        "broader",
        "sqs-dlq-backlog",
        "sqs:PurgeQueue",
        without("NothingElse"),
    ),
    "the flat no has a hole": (
        "broader",
        "ecs-service-stalled",
        "iam:*",
        lambda template: statements(template, STALLED)[0].update(NotAction=["ecs:UpdateService", "iam:*"]),
    ),
    "the no to what is somebody else's is removed": ("broader", "alarm", "sqs:SendMessage", without("NothingOfOthers")),
    "the kill switch is left to the functions": (
        "broader",
        "tick",
        "dynamodb:PutItem",
        without("TheKillSwitchIsAPersons"),
    ),
    "an action is added that nobody calls": (
        "unused",
        "sweep",
        "sqs:ListQueueTags",
        add(
            SWEEP, Action="sqs:ListQueueTags", Resource="arn:aws:sqs:eu-central-1:123456789012:dms-processing-dlq-prod"
        ),
    ),
    "a resource is added that nobody calls": (
        "unused",
        "ecs-service-stalled",
        "ecs:UpdateService",
        add(
            STALLED, Action="ecs:UpdateService", Resource="arn:aws:ecs:eu-central-1:123456789012:service/dms-prod/other"
        ),
    ),
    "a condition is added that no call meets": (
        "unused",
        "sqs-dlq-backlog",
        "kms:Decrypt",
        add(
            LETTERS,
            Action="kms:Decrypt",
            Resource="arn:aws:kms:eu-central-1:123456789012:key/*",
            Condition={"StringEquals": {"kms:ViaService": "sns.eu-central-1.amazonaws.com"}},
        ),
    ),
    "tracing is off, and its permission stays": ("unused", "alarm", "xray:PutTraceSegments", untrace),
}
"""one change of a template each, and what must be found"""


def judged(mutate: Mutation) -> Proof:
    """All nights, judged by templates that were changed, as far as there is anything to be changed: in one at least."""
    found, changed = [], 0
    for night in nights():
        template = copy.deepcopy(stack_of(night).template)
        try:
            mutate(template)
            changed += 1
        except NotThereError:
            template = copy.deepcopy(stack_of(night).template)
        found.append(judge(night, deployed(template, night.policy, night.names)))
    assert changed
    return together(found)


@pytest.mark.parametrize("rule", FOUND)
def test_the_checker_finds(rule: str) -> None:
    """Each mutation of a role is found, as what it is, in the role and about the action that it is about."""
    kind, role, action, mutate = FOUND[rule]
    found = judged(mutate)
    assert (kind, role, action) in {
        (finding.kind, finding.role, finding.action) for finding in (*found.missing, *found.unused, *found.broader)
    }


NOT_UNDERSTOOD: dict[str, Mutation] = {
    "an operator of a condition": change(TICK, "sns:Publish", Condition={"DateGreaterThan": {"aws:CurrentTime": "x"}}),
    "a condition on what no call says": change(TICK, "sns:Publish", Condition={"StringEquals": {"aws:SourceIp": "x"}}),
    "a key of a statement": change(TICK, "sns:Publish", Principal="*"),
    "a policy variable": change(TICK, "sns:Publish", Resource="arn:aws:sns:eu-central-1:1:${aws:PrincipalTag/x}"),
    "an intrinsic": change(TICK, "sns:Publish", Resource={"Fn::ImportValue": "x"}),
    "an allow of everything but something": add(TICK, NotAction="iam:*"),
    "an action that AWS does not have": add(TICK, Action="sqs:DestroyQueue"),
    "a policy that is not the stack's": lambda template: [
        each["Properties"].update(ManagedPolicyArns=["arn:aws:iam::aws:policy/AdministratorAccess"])
        for each in template["Resources"].values()
        if each["Type"] == "AWS::IAM::Role"
    ],
}
"""what the checker was never taught"""


@pytest.mark.parametrize("what", NOT_UNDERSTOOD)
def test_the_checker_refuses_to_guess(what: str) -> None:
    """What it does not understand ends it: it neither passes nor counts as denied."""
    with pytest.raises(NotUnderstood):
        judged(NOT_UNDERSTOOD[what])


def with_session(night: Night, edit: Callable[[dict[str, Any]], object]) -> Night:
    """The same night, with every session policy changed."""

    def edited(policy: str) -> str:
        document = json.loads(policy)
        edit(document["Statement"][0])
        return json.dumps(document)

    return replace(
        night,
        calls=tuple(
            replace(
                event,
                params={**event.params, "Policy": edited(event.params["Policy"])}
                if event.name == "sts.AssumeRole"
                else event.params,
                principal=replace(event.principal, policy=edited(event.principal.policy))
                if event.principal.policy
                else event.principal,
            )
            for event in night.calls
        ),
    )


SESSIONS: dict[str, tuple[str, str, Callable[[dict[str, Any]], object]]] = {
    "it allows an action that no call of its step asks for, and that its role does not have": (
        "broader",
        "allows more than its role",
        lambda statement: statement["Action"].append("ecs:StopTask"),
    ),
    "it allows another resource": (
        "broader",
        "no call asks for it",
        lambda statement: statement["Resource"].append("arn:aws:ecs:eu-central-1:123456789012:service/dms-prod/api"),
    ),
    "it is a pattern where its step names one thing": (
        "broader",
        "no call asks for it",
        lambda statement: statement.update(Resource=["arn:aws:ecs:eu-central-1:123456789012:service/dms-prod/*"]),
    ),
    "it leaves out what its step calls": (
        "missing",
        "does not allow it",
        lambda statement: statement.update(Action=["ecs:StopTask"]),
    ),
}


@pytest.mark.parametrize("rule", SESSIONS)
def test_the_checker_finds_a_session_that(rule: str) -> None:
    """A session policy is exactly the calls of its step with what AWS does for them, and within its role."""
    kind, why, edit = SESSIONS[rule]
    [night] = [night for night in nights() if night.key == "restart"]
    found = judge(with_session(night, edit), stack_of(night))
    assert [finding for finding in (*found.missing, *found.broader) if finding.kind == kind and why in finding.why]


def test_an_operation_that_nobody_has_taught_is_refused() -> None:
    """A new call of the code fails here until somebody has said what it needs."""
    night = nights()[0]
    event = replace(night.calls[0], operation="PurgeQueue", service="sqs")
    with pytest.raises(NotUnderstood, match=r"sqs\.PurgeQueue"):
        needs_of(replace(night, calls=(event,)), stack_of(night))


def test_a_task_handle_says_its_queue_or_is_refused() -> None:
    """To cancel a move is allowed by the queue that is moved, which only the handle names."""
    [event] = [event for night in nights() for event in night.calls if event.name == "sqs.CancelMessageMoveTask"]
    night = nights()[0]
    assert {need.resource.rsplit(":", 1)[-1] for need in _needs(night, event)} >= {"dms-processing-dlq-prod"}
    with pytest.raises(NotUnderstood, match="handle"):
        _needs(night, replace(event, params={"TaskHandle": "b3RoZXI="}))


def _needs(night: Night, event: Any) -> set[Any]:
    asked = needs_of(replace(night, calls=(event,)), stack_of(night))
    return {need for those in asked.values() for need in those if not need.by.startswith("Lambda")}


def test_an_administrator_policy_gives_a_role_nothing() -> None:
    """Whatever is attached later, each role denies what it is not allowed, by name or by a flat no."""
    administrator = parse({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    for night in nights():
        for who, role in roles_of(stack_of(night)).items():
            for action in ("iam:PutRolePolicy", "sqs:PurgeQueue", "s3:DeleteObject", "sqs:TagQueue", "sts:AssumeRoot"):
                attached = (*role.statements, *administrator)
                assert not permitted([attached], action, "arn:aws:any:::thing", {"dynamodb:LeadingKeys": None}), who
