"""The nights of the demo, held against what is allowed: by a session's policy, and by the roles that are deployed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from nightshift.config import parse_toml

from sandbox.trail import Event
from sandbox.world import ACCOUNT, REGION
from tools.iam.needs import OPERATIONS, Account
from tools.iam.nights import Night
from tools.iam.policy import parse, permitted
from tools.iam.proof import Finding, missing
from tools.iam.stack import Stack
from tools.iam.synth import deployed, template_of

SQS, ECS = f"arn:aws:sqs:{REGION}:{ACCOUNT}", f"arn:aws:ecs:{REGION}:{ACCOUNT}"
HOMES = {
    f"{SQS}:dms-processing-dlq-prod": (f"{SQS}:dms-processing-prod",),
    f"{SQS}:usage-events-dlq-prod": (f"{SQS}:usage-events-prod",),
}
"""each dead-letter queue of the scenes, and where its letters came from"""
CONSUMERS = ("dms-prod/dms-processor", "ioanyt-prod/usage-aggregator")
NAMES = {
    "AWS::DynamoDB::Table": "nightshift-demo",
    "AWS::S3::Bucket": f"nightshift-demo-quarantine-{ACCOUNT}",
    "AWS::SNS::Topic Reports": "nightshift-demo-reports",
    "AWS::SQS::Queue Work": "nightshift-demo-work",
}
"""what the sandbox calls what the stack leaves unnamed (sandbox/deployment.py)"""


def needed(event: Event, account: str, region: str) -> tuple[str, str]:
    """(action, ARN) of a call by itself, without what AWS does in our name. Raises KeyError for an unknown one."""
    action, resource, _ = next(iter(OPERATIONS[event.name](event.params, Account(account, region))))
    return action, resource


def allowed(policy: str, action: str, arn: str) -> bool:
    """Whether a session policy allows it. Raises NotUnderstood on anything that the evaluator was not taught."""
    return permitted([parse(policy)], action, arn, {})


def not_allowed(calls: Iterable[Event]) -> tuple[Finding, ...]:
    """What functions did in scenes and the roles of a deployment that looks after both systems do not allow."""
    stack, night = _both_systems()
    return missing(
        Night(
            key=night.key,
            policy=night.policy,
            calls=tuple(event for event in calls if event.function is not None),
            account=night.account,
            steps=(),
            words=(),
            names=NAMES,
        ),
        stack,
    )


@cache
def _both_systems() -> tuple[Stack, Night]:
    toml = f"""
        name = "demo"
        account = "{ACCOUNT}"
        region = "{REGION}"
        [notify]
        emails = ["oncall@example.com"]
        [remediations.sqs-dlq-backlog]
        mode = "auto"
        [remediations.ecs-service-stalled]
        mode = "auto"
    """
    for (dlq, (home,)), consumer in zip(HOMES.items(), CONSUMERS, strict=True):
        toml += f"""
            [[systems]]
            name = "{consumer.partition("/")[0]}"
            [[systems.targets]]
            arn = "{dlq}"
            mode = "auto"
            source = "{home}"
            consumer = "{ECS}:service/{consumer}"
            [[systems.targets]]
            arn = "{ECS}:service/{consumer}"
            mode = "auto"
            queue = "{home}"
        """
    policy = parse_toml(toml, path="nights.toml")
    night = Night("of the demo", policy, (), Account(ACCOUNT, REGION, homes=HOMES), (), (), NAMES)
    return deployed(template_of(policy), policy, NAMES), night
