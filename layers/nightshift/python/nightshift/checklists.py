"""
The runbooks' checklists, as data: what is to be looked at every week, month and quarter.

A line is either computed from what Nightshift has read and recorded (``measure`` names the figures, ``failures`` the
remediations whose incidents answer it), or it is for a person, and ``how`` says how. Most are both: a figure is no
review. Nothing is ever ticked off here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nightshift.config import Policy

__all__ = ["CHECKLIST", "Every", "Task", "tasks"]


class Every(StrEnum):
    """How often something is looked at."""

    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"


@dataclass(frozen=True, slots=True)
class Task:
    """
    One line of a runbook's checklist.

    ``source`` is the runbook and the scenario's number in it. ``kind`` is of what targets there must be one (empty: it
    concerns every deployment). ``measures`` are the names of figures that answer it, by how they begin; ``failures``
    remediations whose incidents do; ``money`` and ``lent`` say that Nightshift's own do.
    """

    every: Every
    source: str
    text: str
    how: str = ""
    kind: str = ""
    measures: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    money: bool = False


_TRIGGERS = "triggers"
_SERVICE, _QUEUE, _BUCKET = "ecs:service", "sqs:queue", "s3:bucket"

CHECKLIST: tuple[Task, ...] = (
    Task(
        Every.WEEKLY,
        "0.14",
        "Average trigger age below 5 minutes",
        kind=_TRIGGERS,
        measures=("trigger age",),
    ),
    Task(
        Every.WEEKLY,
        "0.14",
        "Archive updates: more than 99 % succeed",
        kind=_TRIGGERS,
        measures=("archive updates",),
    ),
    Task(Every.WEEKLY, "0.14", "Dead-letter queues near zero", kind=_QUEUE, measures=("dead letters",)),
    Task(
        Every.WEEKLY,
        "0.15",
        "Archive: every change has its entries and its meeting",
        "nightshift verify-change CHANGE says how far one change got",
        kind=_TRIGGERS,
        failures=("archive-broken", "archive-object-lost"),
    ),
    Task(
        Every.WEEKLY,
        "0.15",
        "No trigger is left standing for an hour",
        "nightshift health SYSTEM counts what stands",
        kind=_TRIGGERS,
        failures=("s3-trigger-stuck", "s3-trigger-behind"),
    ),
    Task(
        Every.WEEKLY,
        "0.16",
        "ECS: how much of CPU and memory is used",
        "Compare with the task definition's sizes",
        kind=_SERVICE,
        measures=("CPU", "memory"),
    ),
    Task(Every.WEEKLY, "0.16", "SQS: how much went through", kind=_QUEUE, measures=("messages done",)),
    Task(Every.WEEKLY, "0.16", "S3: how storage grows", kind=_BUCKET, measures=("size",)),
    Task(
        Every.WEEKLY,
        "2.17",
        "Alarms and metrics",
        "aws cloudwatch describe-alarms --state-value ALARM, and again with INSUFFICIENT_DATA",
        failures=("alarm-raised",),
    ),
    Task(
        Every.WEEKLY,
        "2.17",
        "Updates of the Terraform providers",
        "terraform init -upgrade in a branch, then read the plan",
    ),
    Task(
        Every.WEEKLY,
        "2.17",
        "Rules of security groups",
        "aws ec2 describe-security-groups --filters Name=ip-permission.cidr,Values=0.0.0.0/0",
    ),
    Task(
        Every.WEEKLY,
        "2.17",
        "Cost: what could be saved",
        "The Cost Explorer has the bill; here is only what Nightshift itself lent",
        money=True,
    ),
    Task(
        Every.MONTHLY,
        "0.16",
        "How long processing takes, and whose is slow",
        "Group the processors' logs by customer, or watch TriggerAge by customer",
        kind=_TRIGGERS,
        measures=("trigger age",),
        failures=("s3-trigger-behind",),
    ),
    Task(
        Every.MONTHLY,
        "0.16",
        "ECS: sizes of the tasks",
        "A new size is a release: register a revision, and deploy it",
        kind=_SERVICE,
        measures=("CPU", "memory"),
        failures=("ecs-capacity-short",),
    ),
    Task(
        Every.MONTHLY,
        "0.16",
        "Cost of S3 (the archive first), SQS and ECS",
        "The Cost Explorer has the bill, by service and tag",
        kind=_BUCKET,
        measures=("size", "messages done"),
        money=True,
    ),
    Task(
        Every.MONTHLY,
        "0.17",
        "What roles may do",
        "aws iam generate-service-last-accessed-details --arn ROLE names what a role has not used",
        failures=("event-source-broken",),
    ),
    Task(
        Every.MONTHLY,
        "0.17",
        "Who came from other accounts",
        "CloudTrail: AssumeRole where userIdentity.accountId is not this account",
    ),
    Task(
        Every.MONTHLY,
        "0.17",
        "Encryption of buckets, queues and tables",
        "aws s3api get-bucket-encryption --bucket NAME; the KMS console says which keys are disabled",
        failures=("s3-access-denied",),
    ),
    Task(
        Every.MONTHLY,
        "2.18",
        "Access keys and secrets: rotate what is old",
        "aws iam generate-credential-report, aws secretsmanager list-secrets; consumers first, then the secret",
    ),
    Task(
        Every.MONTHLY, "2.18", "The documentation is current", "Whoever was on call this month knows what was missing"
    ),
    Task(Every.MONTHLY, "2.18", "Who has access, and still needs it", "IAM Identity Center: assignments by group"),
    Task(
        Every.MONTHLY,
        "2.18",
        "A backup can be restored",
        "Restore one into a new cluster or a scratch bucket, read it, delete it",
    ),
    Task(Every.QUARTERLY, "2.19", "Security audit and penetration test", "Announce it: [calendar] can name its dates"),
    Task(
        Every.QUARTERLY,
        "2.19",
        "Disaster recovery test",
        "Rebuild one customer from its state and backups, in an account of its own",
    ),
    Task(Every.QUARTERLY, "2.19", "Capacity planning", "This report's figures beside those of three months ago"),
    Task(
        Every.QUARTERLY,
        "2.19",
        "Procedures of incident response",
        "Play one: nightshift demo, then this quarter's worst",
    ),
)
"""in the order of the runbooks"""


def tasks(policy: Policy, every: Every) -> tuple[Task, ...]:
    """What of the checklists concerns this deployment."""
    kinds = {target.arn.kind for target in policy.targets}
    if any(target.triggers is not None for target in policy.targets):
        kinds |= {_TRIGGERS, _QUEUE}
    return tuple(task for task in CHECKLIST if task.every is every and (not task.kind or task.kind in kinds))
