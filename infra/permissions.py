"""
Which resource each IAM action is allowed on: the narrowest that AWS offers for the targets at hand.

A remediation says which actions it needs (``reads``, ``writes``, ``delegates``), a target says which resources there
are; this module brings the two together. An action that is not in the table cannot be granted: synthesis stops and says
so, because a permission on a guessed resource is either missing at three in the morning or wider than anybody decided.

No CDK in here: permissions are data, and the tests read them as such.
Source: https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from nightshift.autoscaling import alarms
from nightshift.errors import ConfigError
from nightshift.model import Arn, Target
from nightshift.pipelines import Route
from nightshift.signals.locks import split

__all__ = [
    "ANYWHERE",
    "MANY",
    "NEVER",
    "PATTERNS",
    "UNDIVIDED",
    "WILDCARDS",
    "WORST",
    "Conditions",
    "Grant",
    "Place",
    "Statement",
    "condense",
    "granted_reads",
    "grants_for",
    "reason",
    "statements",
]

Conditions: TypeAlias = tuple[tuple[str, str, str], ...]
"""(operator, key, value) triples: ``("ArnEquals", "ecs:cluster", "arn:…")``"""

ANYWHERE: Mapping[str, str] = {
    "application-autoscaling:DescribeScalableTargets": "AWS has no resource type for it",
    "application-autoscaling:DescribeScalingActivities": "AWS has no resource type for it",
    "application-autoscaling:DescribeScalingPolicies": "AWS has no resource type for it",
    "appsync:CreateApiCache": "AWS has no resource type for an API's cache; which API it is, the guardrails check",
    "appsync:DeleteApiCache": "AWS has no resource type for an API's cache; which API it is, the guardrails check",
    "appsync:GetApiCache": "AWS has no resource type for an API's cache",
    "appsync:ListResolvers": "AWS has no resource type for listing resolvers",
    "cloudtrail:LookupEvents": "AWS has no resource type for looking events up",
    "cloudwatch:DescribeAlarms": "AWS leaves composite alarms out for whoever may not describe all of them",
    "cloudwatch:GetMetricData": "AWS has no resource type for metrics",
    "cloudwatch:ListMetrics": "AWS has no resource type for metrics",
    "dynamodb:DescribeLimits": "it is about the account, not about a table",
    "dynamodb:ListBackups": "AWS has no resource type for listing backups; which table's, the request says",
    "ec2:DescribeSecurityGroups": "EC2 scopes no Describe action",
    "ecs:DescribeTaskDefinition": "AWS has no resource type for reading task definitions",
    "ecs:ListTaskDefinitions": "AWS has no resource type for reading task definitions",
    "ecs:ListTasks": "its resource is the container instance, which Fargate has none of; the cluster is a condition",
    "elasticloadbalancing:DescribeListenerCertificates": "Elastic Load Balancing scopes no Describe action",
    "elasticloadbalancing:DescribeListeners": "Elastic Load Balancing scopes no Describe action",
    "elasticloadbalancing:DescribeLoadBalancers": "Elastic Load Balancing scopes no Describe action",
    "elasticloadbalancing:DescribeRules": "Elastic Load Balancing scopes no Describe action",
    "elasticloadbalancing:DescribeTargetGroups": "Elastic Load Balancing scopes no Describe action",
    "elasticloadbalancing:DescribeTargetHealth": "Elastic Load Balancing scopes no Describe action",
    "lambda:GetAccountSettings": "it is about the account, not about a function",
    "lambda:ListEventSourceMappings": "AWS has no resource type for listing event source mappings",
    "sqs:ListQueues": "it is about the account, not about a queue",
    "xray:PutTelemetryRecords": "AWS has no resource type for sending traces",
    "xray:PutTraceSegments": "AWS has no resource type for sending traces",
}
"""The only actions that may be allowed on ``*``, each with the reason that the acknowledgement of cdk-nag quotes."""

UNDIVIDED = frozenset({"cloudwatch:DescribeAlarms"})
"""
Of those, the ones that AWS does scope to resources, and answers in full only for whoever may do them on all.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
"""

PATTERNS: Mapping[str, str] = {
    "acm:*:certificate/": "which certificates a listener shows is its owner's choice of that moment; only described",
    "application-autoscaling:*:scalable-target/": (
        "scalable targets have names of AWS's making; which kind of them is a condition, which one is in the plan"
    ),
    "cloudwatch:*:alarm:": "alarms of autoscaling get the end of their names from AWS; what is scaled is in them",
    "cloudformation:*:stack/": "which stack owns a target is in its tags of that moment; it is only read",
    "ecr:*:repository/": "which repository an image comes from is in the task definition of that moment; only read",
    "ecs:*:service-deployment/": "deployments get their identifiers when they start; the service is in the pattern",
    "ecs:*:service-revision/": "revisions get their identifiers when they are made; the service is in the pattern",
    "ecs:*:task/": "tasks get their identifiers when they start; the cluster is in the pattern",
    "kms:*:key/": "the key is the queue owner's choice; described, or used through SQS for that queue's messages",
    "rds:*:cluster-snapshot:": "snapshots get their names from whoever makes them; they are only described",
    "rds:*:db:": "which instances a cluster has is its own choice of that moment; they are only described",
    "logs:*:log-group:": "log streams get their names when they start; the log group is in the pattern",
    "states:*:execution:": "executions get their names when they start; the state machine is in the pattern",
    "s3:*:": "objects get their keys when they are put there; the bucket and the prefix are in the pattern",
}
"""Why a resource has a ``*`` in it, by its service and the start of its name."""

WILDCARDS: Mapping[str, str] = {
    "kms:*": "the account's own, for the key: without it nobody could ever change or delete the key again",
    "kms:GenerateDataKey*": "what CloudWatch Logs asks of a log group's key, for this account's log groups only",
    "kms:ReEncrypt*": "what CloudWatch Logs asks of a log group's key, for this account's log groups only",
}
"""The only patterns of actions that anybody is allowed: all of them in the policy of our key, each with its reason."""

NEVER: Mapping[str, str] = {
    "application-autoscaling:DeleteScalingPolicy": "ends somebody's autoscaling",
    "application-autoscaling:DeregisterScalableTarget": "ends somebody's autoscaling, with all its policies",
    "appsync:DeleteGraphqlApi": "takes down what is looked after",
    "appsync:TagResource": "as ecs:TagResource",
    "appsync:UntagResource": "as ecs:UntagResource",
    "appsync:UpdateResolver": "changes what an API answers",
    "cloudformation:DeleteStack": "takes down what is looked after",
    "cloudtrail:DeleteTrail": "ends the record of what was done",
    "cloudtrail:StopLogging": "ends the record of what was done",
    "cognito-idp:AdminSetUserPassword": "would sign in as somebody else",
    "cognito-idp:UpdateUserPoolClient": "sets whatever it does not name back to its default",
    "dynamodb:DeleteTable": "destroys records",
    "ecs:DeleteService": "takes down what is looked after",
    "ecs:TagResource": "a service that could tag could give itself leave to touch a target",
    "ecs:UntagResource": "a service that could untag could take off somebody's `protected`",
    "es:AddTags": "as ecs:TagResource",
    "es:DeleteDomain": "destroys all that can be found in it",
    "es:RemoveTags": "as ecs:UntagResource",
    "iam:*": "would be leave to everything",
    "kms:DisableKey": "makes what is encrypted unreadable",
    "kms:ScheduleKeyDeletion": "makes what is encrypted unreadable for ever",
    "lambda:DeleteFunction": "takes down what is looked after",
    "lambda:TagResource": "as ecs:TagResource",
    "lambda:UntagResource": "as ecs:UntagResource",
    "logs:DeleteLogGroup": "destroys the record of what was done",
    "organizations:*": "is about more than this account",
    "rds:AddTagsToResource": "as ecs:TagResource",
    "rds:DeleteDBCluster": "destroys what is looked after",
    "rds:DeleteDBClusterSnapshot": "destroys what it could be restored from",
    "rds:DeleteDBInstance": "takes down what is looked after",
    "rds:RemoveTagsFromResource": "as ecs:UntagResource",
    "s3:DeleteBucket": "destroys what was set apart",
    "s3:DeleteObject": "destroys what was set apart",
    "s3:DeleteObjectVersion": "destroys what was set apart",
    "secretsmanager:GetSecretValue": "reads somebody's secret",
    "secretsmanager:RotateSecret": "could lock out whoever uses a secret",
    "sns:DeleteTopic": "silences the reports",
    "sqs:DeleteQueue": "destroys every message in it",
    "sqs:PurgeQueue": "destroys every message in a queue",
    "sqs:SetQueueAttributes": "could shorten a retention, or change who may read a queue",
    "sqs:TagQueue": "as ecs:TagResource",
    "sqs:UntagQueue": "as ecs:UntagResource",
    "states:DeleteStateMachine": "takes down what is looked after",
    "states:StopExecution": "ends somebody's work half-way",
    "states:TagResource": "as ecs:TagResource",
    "states:UntagResource": "as ecs:UntagResource",
    "tag:TagResources": "as ecs:TagResource",
    "tag:UntagResources": "as ecs:UntagResource",
}
"""
What must not happen by Nightshift's hand, and why. Each role denies everything that it is not allowed, and so all of
this; a boundary denies it by name.
"""

WORST: Mapping[str, str] = {
    "application-autoscaling:DeregisterScalableTarget": (
        "End the autoscaling of any scaled table of this account, with all its policies"
    ),
    "application-autoscaling:PutScalingPolicy": (
        "Have any scaled table of this account follow another figure, and so have too little capacity, or too much"
    ),
    "application-autoscaling:RegisterScalableTarget": (
        "Set any limits of any scaled service or table of this account, and so its number of tasks or its capacity, or "
        "suspend its autoscaling"
    ),
    "appsync:CreateApiCache": (
        "Give any GraphQL API of this account that has no cache one of any size, which costs money by the hour and may "
        "show one user what another one asked for"
    ),
    "appsync:DeleteApiCache": "Take any cache of a GraphQL API of this account away: all its load falls on the tables",
    "cloudformation:ContinueUpdateRollback": (
        "Continue the failed rollback of a registered stack, with its own role, and have it skip what could not be "
        "rolled back"
    ),
    "cloudwatch:DeleteAlarms": (
        "Delete the alarms by which a registered service or table is scaled, which then is so no more"
    ),
    "cloudwatch:PutMetricAlarm": (
        "Have a registered service or table scaled by another figure, and so have too little of it, or too much"
    ),
    "dynamodb:CreateBackup": "Make backups of a registered table without end, which cost money; none can be deleted",
    "dynamodb:DeleteItem": "Make Nightshift forget an incident, a lease or a budget, and so act more often than it may",
    "dynamodb:PutItem": "Invent or overwrite incidents; never the kill switch, which is denied by its key",
    "dynamodb:UpdateTable": "Take a registered table's capacity away, or buy as much as the account may have",
    "dynamodb:UpdateItem": "Change what an incident's record says; never the kill switch, which is denied by its key",
    "ecs:StopServiceDeployment": "Stop somebody's deployment of a registered service, and roll it back",
    "ecs:StopTask": "Stop tasks of the cluster of a registered service, as fast as they start",
    "ecs:UpdateService": (
        "Scale a registered service to zero, restart it for ever, or give it another network or task definition: one "
        "without roles, or with roles that the service's target names (others need iam:PassRole, which is denied)"
    ),
    "rds:CreateDBClusterSnapshot": (
        "Make as many snapshots of a registered cluster as the account may have, so that nobody can make another one"
    ),
    "rds:ModifyDBCluster": (
        "Change anything about a registered Aurora cluster: its password, its version, how long backups are kept. IAM "
        "knows one change from the others, handing the password to Secrets Manager, and that is denied"
    ),
    "events:DisableRule": "Stop what a registered rule starts",
    "events:EnableRule": "Start again what somebody had stopped",
    "iam:PassRole": "Have ECS start tasks with a role that a registered service's target names, whatever they run",
    "kms:Decrypt": "Read what a queue, bucket, table or topic holds, through its service, where it may be read anyway",
    "kms:Encrypt": "Nothing that reading and writing the table does not allow already",
    "kms:GenerateDataKey": "Nothing that sending to the queue or topic, or writing the bucket or table, does not allow",
    "kms:ReEncryptFrom": "Nothing that reading and writing the table does not allow already",
    "kms:ReEncryptTo": "Nothing that reading and writing the table does not allow already",
    "lambda:DeleteProvisionedConcurrencyConfig": (
        "Give up what is kept ready of the one alias that a registered function names: its calls wait for a start"
    ),
    "lambda:DeleteFunctionConcurrency": "Switch a registered function on that somebody had switched off",
    "lambda:InvokeFunction": "Call the function of a listed queue, schedule or pipeline, with any event, and often",
    "lambda:PutFunctionConcurrency": "Switch a registered function off, or take the account's concurrency for it",
    "lambda:PutProvisionedConcurrencyConfig": (
        "Keep as many instances of the one alias that a registered function names ready as the account may have: they "
        "are paid for by the hour, and others have so many less"
    ),
    "lambda:UpdateAlias": "Point an alias of a registered function at any version of it",
    "logs:CreateLogStream": "Add a stream to the function's own log",
    "logs:PutLogEvents": "Write false lines into the function's own log; none can be removed",
    "s3:DeleteObject": "Delete triggers of a registered bucket, stored or not, of which one knows what is in them",
    "s3:PutObject": (
        "Store objects under letters/ or triggers/ of the quarantine, or hide a stored one under a newer version. "
        "`archive-object-lost`: copy any object of a registered archive, as it is or once was, over another of it. "
        "`archive-backup-due`: copy objects of an archive over others of its backup, or call a run complete that is not"
    ),
    "sns:Publish": "Send false reports to the subscribers",
    "sqs:CancelMessageMoveTask": "Stop somebody's redrive of a registered dead-letter queue half-way",
    "sqs:ChangeMessageVisibility": "Hide letters of a registered dead-letter queue for up to twelve hours",
    "sqs:DeleteMessage": (
        "A write role: delete letters of a registered dead-letter queue, one by one, without storing them first. The "
        "tick: lose work, which the next sweep hands out again"
    ),
    "sqs:SendMessage": (
        "A write role: put invented messages into a registered source queue, for its consumer to process. A function: "
        "put hints into the work queue, which make us look"
    ),
    "sqs:SetQueueAttributes": (
        "Change anything about a registered queue: who may read it (its policy), where its letters go, or how long it "
        "keeps messages, which are deleted then; IAM has no condition on which attribute"
    ),
    "sqs:StartMessageMoveTask": "Send every letter of a registered dead-letter queue home at once, poison included",
    "states:RedriveExecution": "Run all that failed in a registered state machine again, and what people had aborted",
    "states:StartExecution": "Start a registered state machine with an invented input, as often as it can be started",
    "sts:AssumeRole": "Act under a write role of this deployment, within all that the role allows",
    "sts:SetSourceIdentity": "Act under the name of an incident that does not exist",
    "xray:PutTelemetryRecords": "Send false figures about traces",
    "xray:PutTraceSegments": "Send false traces",
}
"""
The worst that somebody could do who has taken over a role: one line for each action that changes anything.

It counts with what IAM alone allows: no plan, no guardrail, no session policy.
"""

MANY = 50
"""ARNs of one kind that reads name one by one; more would not fit into a role, and a pattern takes their place"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this is deployed. ``quarantine`` is the ARN of our bucket there, which may be a token of the CDK."""

    partition: str
    account: str
    region: str
    quarantine: str = ""

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account in this Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One action on one resource, under conditions."""

    action: str
    resource: str
    conditions: Conditions = ()


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """What a policy holds: actions that share resources and conditions. Of a condition's values, one must be met."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()


Scope: TypeAlias = Callable[[Target, Place], Iterable[tuple[str, Conditions]]]


# -- scopes: which resources of a target an action is for ------------------------------------------------------------


def _of(kind: str, *fields: str) -> Scope:
    """The target itself, or what it names as ``fields``, where that is of ``kind``."""

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        del place
        for arn in _named(target, fields):
            if arn.kind == kind:
                yield str(arn), ()

    return scope


def _named(target: Target, fields: tuple[str, ...]) -> list[Arn]:
    consumer = target.consumer if target.pipeline is None else target.pipeline.function
    every = {"arn": target.arn, "consumer": consumer, "source": target.source, "queue": target.queue}
    every["function"] = target.function if target.schedule is None else target.schedule.function
    if target.pipeline is not None and target.pipeline.queue is None:  # S3 tells it itself, and so are we to
        every["function"] = target.pipeline.function
    return [arn for name in fields if (arn := every[name]) is not None]


def _function_itself(*fields: str) -> Scope:
    """A function without the version or alias that a target may name: its settings and tags are the function's own."""

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        del place
        for arn in _named(target, fields):
            if arn.kind == "lambda:function":
                yield str(replace(arn, resource=":".join(arn.resource.split(":")[:2]))), ()

    return scope


def _alias_kept(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The one alias of a function of which its target says that instances may be kept ready."""
    del place
    if target.provisioned is not None:
        yield f"{target.arn}:{target.provisioned.alias}", ()


def _configured(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """A function, and the one alias of it whose memory is read: IAM is asked about what is named with a qualifier."""
    yield from _function_itself(*_SERVICE)(target, place)
    yield from _alias_kept(target, place)


def _anywhere(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    del target, place
    yield "*", ()


_SERVICE = ("arn", "consumer")


def _part_of_service(kind: str, suffix: str) -> Scope:
    """What belongs to an ECS service, as in ``task/<cluster>/*`` or ``service-deployment/<cluster>/<service>/*``."""

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        for arn in _named(target, _SERVICE):
            if arn.kind != "ecs:service":
                continue
            _, cluster, service = arn.resource.split("/")
            yield place.arn("ecs", f"{kind}/{cluster}/{suffix.format(service=service)}"), ()

    return scope


def _with_service(part: Scope) -> Scope:
    """A part of a service for which AWS requires leave on the service too."""

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        yield from part(target, place)
        yield from _of("ecs:service", *_SERVICE)(target, place)

    return scope


def _tasks_listed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """ListTasks has the container instance as its resource, which Fargate has none of: the cluster is a condition."""
    for arn in _named(target, _SERVICE):
        if arn.kind == "ecs:service":
            cluster = place.arn("ecs", f"cluster/{arn.resource.split('/')[1]}")
            yield "*", (("ArnEquals", "ecs:cluster", cluster),)


def _scaled_limits(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """
    What autoscaling may do with an ECS service, a table or an index: a scalable target's name does not say whose it is.

    Its namespace and dimension are conditions; a plan's session policy narrows it to the one scalable target.
    """
    kind = "dynamodb:index" if "/index/" in target.arn.resource else target.arn.kind
    for dimension in _DIMENSIONS.get(kind, ()):
        yield (
            place.arn("application-autoscaling", "scalable-target/*"),
            (
                ("StringEquals", "application-autoscaling:scalable-dimension", dimension),
                ("StringEquals", "application-autoscaling:service-namespace", target.arn.service),
            ),
        )


_DIMENSIONS = {
    "ecs:service": ("ecs:service:DesiredCount",),
    "dynamodb:table": ("dynamodb:table:ReadCapacityUnits", "dynamodb:table:WriteCapacityUnits"),
    "dynamodb:index": ("dynamodb:index:ReadCapacityUnits", "dynamodb:index:WriteCapacityUnits"),
}
"""what Application Auto Scaling calls what it may set, by what it is of"""


def _table(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """A table, also of an index: IAM knows an index by its table where its capacity is described or set."""
    del place
    if target.arn.kind == "dynamodb:table":
        yield str(replace(target.arn, resource=target.arn.resource.partition("/index/")[0])), ()


def _scaling_alarms(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The alarms by which autoscaling follows the use of a service, a table or an index."""
    del place
    if target.arn.kind in _DIMENSIONS:
        yield from ((pattern, ()) for pattern in alarms(target.arn))


def _cluster(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    for arn in _named(target, _SERVICE):
        if arn.kind == "ecs:service":
            yield place.arn("ecs", f"cluster/{arn.resource.split('/')[1]}"), ()


def _quarantine(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Where letters and triggers are set apart; a plan's session policy narrows it to the one queue's or bucket's."""
    if target.arn.kind == "sqs:queue":
        yield f"{place.quarantine}/letters/*", ()
    if target.triggers is not None:
        yield f"{place.quarantine}/triggers/*", ()


def _listed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """
    A prefix of a bucket, as a query names it: ListBucket is about the bucket, and the prefix is a condition.

    Whoever looks after triggers also lists which letters were set apart, by name and date; whoever fills in hours
    lists those of its schedule.
    """
    if target.triggers is not None:
        yield place.quarantine, (("StringLike", "s3:prefix", "letters/*"),)
        yield from _known_to_be_gone(target, place)
    named = str(target.arn) if target.pipeline is None else str(Route.of(target.arn, target.pipeline))
    bucket, slash, prefix = named.partition("/")
    if target.arn.kind == "s3:bucket" and "*" in prefix:  # a pipeline: both its sides
        route = Route.parse(named)
        for side in (route.raw, route.curated):
            yield route.arn(side), (("StringEquals", "s3:prefix", side.prefix),)
    elif target.arn.kind == "s3:bucket" and slash:
        yield bucket, (("StringEquals", "s3:prefix", prefix.partition("%Y")[0]),)
    hours = target.schedule.hours if target.schedule is not None else None
    if hours is not None:
        yield str(hours.bucket), (("StringLike", "s3:prefix", f"{hours.keys.partition('%Y')[0]}*"),)


def _known_to_be_gone(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """
    That an object of a bucket of triggers is gone: S3 says so (404) only to who may list it, the key as the prefix.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    del place
    if target.triggers is not None:
        for each in (target.triggers.prefix, target.triggers.archive):
            yield str(target.arn), (("StringLike", "s3:prefix", f"{each}*"),)


def _versions(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The versions of an archive's objects: of the whole prefix, as a query names it, or of one object in it."""
    del place
    bucket, slash, prefix = str(target.arn).partition("/")
    if target.triggers is not None:
        yield bucket, (("StringLike", "s3:prefix", f"{target.triggers.archive}*"),)
    elif target.arn.kind == "s3:bucket" and slash:
        yield bucket, (("StringLike", "s3:prefix", f"{prefix}*"),)


def _read_objects(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """What stands in a bucket of triggers; or under one prefix, as a query names it."""
    yield from _objects("prefix", "archive")(target, place)
    if target.arn.kind == "s3:bucket" and "/" in target.arn.resource:
        yield f"{target.arn}*", ()


def _put_back(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """
    An object of an archive, and only as a copy of what the archive holds, or its backup.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/amazon-s3-policy-keys.html
    """
    for resource, _ in _objects("archive")(target, place):
        for source in (resource, *(copies for copies, _ in _copies(target, place))):
            yield resource, (("StringLike", "s3:x-amz-copy-source", source.rpartition(":::")[2]),)


def _copies(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """What the runs of a backup have copied."""
    del place
    if target.backup is not None:
        yield f"{target.backup.bucket}/{target.backup.prefix}objects/*", ()


def _replaced(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """
    What is copied out of a backup; and what stands where it is put, whose ETag IfMatch compares.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    yield from _copies(target, place)
    yield from _objects("archive")(target, place)


def _backup_listed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Which runs of a backup there are."""
    del place
    if target.backup is not None:
        yield str(target.backup.bucket), (("StringEquals", "s3:prefix", target.backup.prefix),)


def _backed_up(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Where a backup of an archive stands: copies of nothing but that archive, and what is written of them."""
    del place
    backup, triggers = target.backup, target.triggers
    if backup is None or triggers is None:
        return
    under = f"{backup.bucket}/{backup.prefix}"
    source = f"{target.arn.resource}/{triggers.archive}*"
    yield f"{under}objects/*", (("StringLike", "s3:x-amz-copy-source", source),)
    yield f"{under}manifests/*", ()
    yield f"{under}complete/*", ()


def _archive_listed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """An archive's keys, and that one of them is gone meanwhile: the prefix is a condition, and so is the key."""
    del place
    if target.triggers is not None:
        yield str(target.arn), (("StringLike", "s3:prefix", f"{target.triggers.archive}*"),)


def _archive_and_backup_listed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    yield from _archive_listed(target, place)
    yield from _backup_listed(target, place)


def _backup_read(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """What a run has written, to be compared with what it says of itself."""
    del place
    if target.backup is not None:
        yield f"{target.backup.bucket}/{target.backup.prefix}*", ()


def _objects(*prefixes: str, only: Conditions = ()) -> Scope:
    """What stands in a bucket of triggers, under its ``prefix`` or its ``archive``."""

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        del place
        for name in prefixes if target.triggers is not None else ():
            yield f"{target.arn}/{getattr(target.triggers, name)}*", only

    return scope


def _told(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Where messages are sent: home, where letters came from; or to the queues that are told of a bucket's objects."""
    yield from _of("sqs:queue", "source")(target, place)
    for customer in target.triggers.customers if target.triggers is not None else ():
        yield str(customer.queue), ()
    if target.pipeline is not None and target.pipeline.queue is not None:
        yield str(target.pipeline.queue), ()


def _key_of_queue(*fields: str) -> Scope:
    """
    The key that a queue is encrypted with, whichever it is: only through SQS, and only for this queue's own messages.

    Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
    """

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        for arn in _named(target, fields):
            if arn.kind == "sqs:queue":
                yield (
                    place.arn("kms", "key/*"),
                    (
                        ("StringEquals", "kms:EncryptionContext:aws:sqs:arn", str(arn)),
                        ("StringEquals", "kms:ViaService", f"sqs.{place.region}.amazonaws.com"),
                    ),
                )

    return scope


def _key_of_objects(*tables: str) -> Scope:
    """
    The key that the configuration names for a bucket's objects: only through S3, and only for that bucket's own.

    The context is the object's ARN, or the bucket's where the bucket has a key of its own made from that one.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """

    def scope(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
        for bucket, key in target.keyed:
            if ("triggers" if bucket == target.arn else "backup") in tables:
                yield from _through_s3(key, bucket, place)

    return scope


def _through_s3(key: Arn, bucket: Arn, place: Place) -> Iterable[tuple[str, Conditions]]:
    for context in (str(bucket), f"{bucket}/*"):
        yield (
            str(key),
            (
                ("StringEquals", "kms:ViaService", f"s3.{place.region}.amazonaws.com"),
                ("StringLike", "kms:EncryptionContext:aws:s3:arn", context),
            ),
        )


def keys_of(grants: Iterable[Grant], targets: Iterable[Target], place: Place) -> set[Grant]:
    """What whoever reads objects by ``grants`` needs of the keys that the configuration names for their buckets."""
    buckets = {grant.resource.partition("/")[0] for grant in grants if grant.action in _OPENS}
    found: set[Grant] = set()
    for target in targets:
        for bucket, key in target.keyed:
            if str(bucket) in buckets:
                found |= {Grant("kms:Decrypt", name, on) for name, on in _through_s3(key, bucket, place)}
    return found


_OPENS = frozenset({"s3:GetObject", "s3:GetObjectVersion"})


def _either(*scopes: Scope) -> Scope:
    return lambda target, place: (each for scope in scopes for each in scope(target, place))


def _any_key(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Which key a queue has is in its attributes of that moment: any of this account and Region."""
    del target
    yield place.arn("kms", "key/*"), ()


def _api(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """A GraphQL API: the target itself, or what a user pool's tokens open."""
    del place
    for arn in (target.arn, target.api):
        if arn is not None and arn.kind == "appsync:apis":
            yield str(arn), ()


def _function_logs(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    for arn in _named(target, _SERVICE):
        if arn.kind == "lambda:function":
            yield place.arn("logs", f"log-group:/aws/lambda/{arn.name}:*"), ()


def _requests_log(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The one log group that a service's target names, and no other: logs hold what nobody meant to be read."""
    del place
    if target.log_group is not None:
        yield f"{target.log_group}:*", ()


def _executions(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The executions of a state machine, which have ARNs of their own, made of the machine's name."""
    if target.arn.kind == "states:stateMachine":
        yield place.arn("states", f"execution:{target.arn.name}:*"), ()


def _instances(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Which instances a cluster has is asked at that moment, by its name: any of this account and Region."""
    if target.arn.kind == "rds:cluster":
        yield place.arn("rds", "db:*"), ()


def _snapshots(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The snapshots of a cluster are asked for by its name, and have names of their own: any of this account's."""
    for arn, _ in _of("rds:cluster", "arn")(target, place):
        yield arn, ()
        yield place.arn("rds", "cluster-snapshot:*"), ()


def _snapshot_made(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """A cluster, and snapshots that we name: the name of one is made of who asks when, and is not known before."""
    for arn, _ in _of("rds:cluster", "arn")(target, place):
        yield arn, ()
        yield place.arn("rds", "cluster-snapshot:nightshift-*"), ()


def _ranged(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """A cluster: not to hand its password over, which is all that IAM tells from a change of its range."""
    for arn, _ in _of("rds:cluster", "arn")(target, place):
        yield arn, (("BoolIfExists", "rds:ManageMasterUserPassword", "false"),)


def _stacks(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Which stack owns a target is in its tags, which are read at that moment: any, where it is not one itself."""
    itself = target.arn.kind == "cloudformation:stack"
    yield str(target.arn) if itself else place.arn("cloudformation", "stack/*"), ()


def _continued(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The stack itself, with the role that it has: whoever may name another one could have it act with that."""
    for stack, _ in _of("cloudformation:stack", "arn")(target, place):
        yield stack, (("Null", "cloudformation:RoleArn", "true"),)


def _locks(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The items of a table that are locks, as a query names them, and none beside them: not the digests, say."""
    if target.arn.kind == "dynamodb:table":
        table, locks = split(target.arn)
        for lock in locks:
            yield (
                place.arn("dynamodb", f"table/{table}"),
                (("ForAnyValue:StringEquals", "dynamodb:LeadingKeys", lock),),
            )


def _repositories(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """Which repository an image comes from is in the task definition, which may change: any of this account's."""
    for arn in _named(target, _SERVICE):
        if arn.kind == "ecs:service":
            yield place.arn("ecr", "repository/*"), ()


def _passed(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The roles of a service's task definitions, which ECS takes only from whoever may pass them, and only ECS gets."""
    del place
    for role in target.roles:
        yield str(role), (("StringEquals", "iam:PassedToService", "ecs-tasks.amazonaws.com"),)


def _certificates(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """One that is a target; what the listeners of a load balancer show is read at that moment: any of this account."""
    yield from _of("acm:certificate", "arn")(target, place)
    if target.load_balancer is not None:
        yield place.arn("acm", "certificate/*"), ()


def _zone(target: Target, place: Place) -> Iterable[tuple[str, Conditions]]:
    """The hosted zone of the name by which people reach a service; zones have no Region and no account."""
    if target.dns is not None:
        yield f"arn:{place.partition}:route53:::hostedzone/{target.dns.zone}", ()


_SCOPES: Mapping[str, Scope] = {
    **dict.fromkeys(ANYWHERE, _anywhere),
    # -- SQS: taking from the dead-letter queue, giving to the queue that the letters came from
    "sqs:CancelMessageMoveTask": _of("sqs:queue", "arn"),
    "sqs:ChangeMessageVisibility": _of("sqs:queue", "arn"),
    "sqs:DeleteMessage": _of("sqs:queue", "arn"),
    "sqs:GetQueueAttributes": _of("sqs:queue", "arn"),
    "sqs:ListDeadLetterSourceQueues": _of("sqs:queue", "arn"),
    "sqs:ListMessageMoveTasks": _of("sqs:queue", "arn"),
    "sqs:ReceiveMessage": _of("sqs:queue", "arn"),
    "sqs:SendMessage": _told,
    "sqs:SetQueueAttributes": _of("sqs:queue", "arn"),
    "sqs:StartMessageMoveTask": _of("sqs:queue", "arn"),
    "kms:Decrypt": _either(_key_of_queue("arn", "source"), _key_of_objects("triggers")),
    "kms:DescribeKey": _any_key,
    "kms:GenerateDataKey": _either(_key_of_queue("source"), _key_of_objects("triggers", "backup")),
    # -- S3: what was set apart, and triggers
    "s3:DeleteObject": _objects("prefix", only=(("Null", "s3:if-match", "false"),)),
    "s3:GetBucketNotification": _of("s3:bucket", "arn"),
    "s3:GetBucketVersioning": _of("s3:bucket", "arn"),
    "s3:GetReplicationConfiguration": _of("s3:bucket", "arn"),
    "s3:GetObject": _read_objects,
    "s3:GetObjectVersion": _objects("archive"),
    "s3:GetObjectVersionTagging": _objects("archive"),
    "s3:ListBucket": _listed,
    "s3:ListBucketVersions": _versions,
    "s3:PutObject": _quarantine,
    # -- S3: a bucket that is a target
    "s3:GetBucketCORS": _of("s3:bucket", "arn"),
    "s3:GetBucketLogging": _of("s3:bucket", "arn"),
    "s3:GetBucketOwnershipControls": _of("s3:bucket", "arn"),
    "s3:GetBucketPolicy": _of("s3:bucket", "arn"),
    "s3:GetBucketPublicAccessBlock": _of("s3:bucket", "arn"),
    "s3:GetBucketTagging": _of("s3:bucket", "arn"),
    "s3:GetEncryptionConfiguration": _of("s3:bucket", "arn"),
    # -- what stands around a target
    "cloudformation:DescribeStacks": _stacks,
    # -- what people keep up
    "acm:ListTagsForCertificate": _of("acm:certificate", "arn"),
    "cloudformation:ContinueUpdateRollback": _continued,
    "cloudformation:DescribeStackEvents": _of("cloudformation:stack", "arn"),
    "secretsmanager:DescribeSecret": _of("secretsmanager:secret", "arn"),
    "secretsmanager:ListSecretVersionIds": _of("secretsmanager:secret", "arn"),
    # -- whatever stands around a target
    "cloudwatch:DeleteAlarms": _scaling_alarms,
    "cloudwatch:PutMetricAlarm": _scaling_alarms,
    "cloudwatch:ListTagsForResource": _of("cloudwatch:alarm", "arn"),
    "ecs:ListTagsForResource": _of("ecs:service", *_SERVICE),
    "sqs:ListQueueTags": _of("sqs:queue", "arn"),
    # -- the way of a request to a service
    "acm:DescribeCertificate": _certificates,
    "route53:ListResourceRecordSets": _zone,
    # -- ECS
    "application-autoscaling:DeregisterScalableTarget": _scaled_limits,
    "application-autoscaling:PutScalingPolicy": _scaled_limits,
    "application-autoscaling:RegisterScalableTarget": _scaled_limits,
    "ecs:DescribeClusters": _cluster,
    "ecs:DescribeServiceDeployments": _with_service(_part_of_service("service-deployment", "{service}/*")),
    "ecs:DescribeServiceRevisions": _with_service(_part_of_service("service-revision", "{service}/*")),
    "ecs:DescribeServices": _of("ecs:service", *_SERVICE),
    "ecs:DescribeTasks": _part_of_service("task", "*"),
    "ecs:ListServiceDeployments": _of("ecs:service", *_SERVICE),
    "ecs:ListTasks": _tasks_listed,
    "ecs:StopServiceDeployment": _with_service(_part_of_service("service-deployment", "{service}/*")),
    "ecs:StopTask": _part_of_service("task", "*"),
    "ecs:UpdateService": _of("ecs:service", "arn"),
    "iam:PassRole": _passed,
    "ecr:BatchGetImage": _repositories,
    "ecr:DescribeImages": _repositories,
    # -- Lambda
    "lambda:DeleteFunctionConcurrency": _of("lambda:function", "arn"),
    "lambda:DeleteProvisionedConcurrencyConfig": _alias_kept,
    "lambda:GetAlias": _function_itself(*_SERVICE),
    "lambda:GetFunction": _of("lambda:function", *_SERVICE),
    "lambda:GetPolicy": _of("lambda:function", "arn"),
    "lambda:GetFunctionConcurrency": _function_itself(*_SERVICE),
    "lambda:InvokeFunction": _of("lambda:function", "function"),
    "lambda:ListAliases": _function_itself(*_SERVICE),
    "lambda:ListProvisionedConcurrencyConfigs": _of("lambda:function", "arn"),
    "lambda:ListTags": _function_itself(*_SERVICE),
    "lambda:GetFunctionConfiguration": _configured,
    "lambda:ListVersionsByFunction": _function_itself(*_SERVICE),
    "lambda:PutFunctionConcurrency": _of("lambda:function", "arn"),
    "lambda:PutProvisionedConcurrencyConfig": _alias_kept,
    "lambda:UpdateAlias": _of("lambda:function", "arn"),
    "logs:FilterLogEvents": _function_logs,
    "logs:GetQueryResults": _requests_log,
    "logs:StartQuery": _requests_log,
    # -- Step Functions
    "states:DescribeExecution": _executions,
    "states:DescribeStateMachine": _of("states:stateMachine", "arn"),
    "states:DescribeStateMachineForExecution": _executions,
    "states:ListExecutions": _of("states:stateMachine", "arn"),
    "states:ListTagsForResource": _of("states:stateMachine", "arn"),
    "states:RedriveExecution": _executions,
    "states:StartExecution": _of("states:stateMachine", "arn"),
    # -- RDS and OpenSearch
    "es:DescribeDomain": _of("es:domain", "arn"),
    "es:DescribeDomainHealth": _of("es:domain", "arn"),
    "es:ListTags": _of("es:domain", "arn"),
    "rds:CreateDBClusterSnapshot": _snapshot_made,
    "rds:DescribeDBClusterSnapshots": _snapshots,
    "rds:DescribeDBClusters": _of("rds:cluster", "arn"),
    "rds:DescribeDBInstances": _instances,
    "rds:ListTagsForResource": _of("rds:cluster", "arn"),
    "rds:ModifyDBCluster": _ranged,
    # -- DynamoDB
    "dynamodb:CreateBackup": _table,
    "dynamodb:DescribeContinuousBackups": _table,
    "dynamodb:DescribeTimeToLive": _table,
    "dynamodb:GetResourcePolicy": _table,
    "dynamodb:DescribeTable": _table,
    "dynamodb:GetItem": _locks,
    "dynamodb:ListTagsOfResource": _table,
    "dynamodb:UpdateTable": _table,
    # -- AppSync and Cognito
    "appsync:GetGraphqlApi": _api,
    "appsync:ListTagsForResource": _of("appsync:apis", "arn"),
    "cognito-idp:DescribeUserPool": _of("cognito-idp:userpool", "arn"),
    "cognito-idp:DescribeUserPoolClient": _of("cognito-idp:userpool", "arn"),
    "cognito-idp:ListTagsForResource": _of("cognito-idp:userpool", "arn"),
    # -- EventBridge
    "events:DescribeRule": _of("events:rule", "arn"),
    "events:DisableRule": _of("events:rule", "arn"),
    "events:EnableRule": _of("events:rule", "arn"),
    "events:ListTagsForResource": _of("events:rule", "arn"),
    "events:ListTargetsByRule": _of("events:rule", "arn"),
}

_OWN: Mapping[tuple[str, str], Scope] = {
    ("archive-backup-due", "kms:Decrypt"): _key_of_objects("triggers"),
    ("archive-backup-due", "kms:GenerateDataKey"): _key_of_objects("backup"),
    ("archive-object-lost", "kms:Decrypt"): _key_of_objects("triggers", "backup"),
    ("archive-object-lost", "kms:GenerateDataKey"): _key_of_objects("triggers"),
    ("archive-backup-due", "s3:GetObject"): _objects("archive"),
    ("archive-backup-due", "s3:ListBucket"): _archive_listed,
    ("archive-backup-due", "s3:PutObject"): _backed_up,
    ("archive-object-lost", "s3:GetObject"): _replaced,
    ("archive-object-lost", "s3:PutObject"): _put_back,
    ("s3-trigger-stuck", "s3:ListBucket"): _known_to_be_gone,
}
"""Where a remediation does with an action what no other does: on what."""

_OWN_READS: Mapping[tuple[str, str], Scope] = {
    ("archive-backup-due", "s3:GetObject"): _backup_read,
    ("archive-backup-due", "s3:ListBucket"): _archive_and_backup_listed,
    ("archive-object-lost", "s3:GetObject"): _copies,
    ("archive-object-lost", "s3:ListBucket"): _backup_listed,
}
"""The same of what a diagnosis reads, where that is another thing than what a write role reads for it."""


# -- from remediations and targets to statements ---------------------------------------------------------------------


def grants_for(
    actions: Iterable[str], targets: Iterable[Target], place: Place, *, who: str, reading: bool = False
) -> set[Grant]:
    """
    Every (action, resource) pair that ``who`` needs for ``targets``, to act or (``reading``) to look.

    Raises ConfigError for an action that this module has no resource for, or that none of the targets has.
    """
    targets = tuple(targets)
    found: set[Grant] = set()
    for action in sorted(set(actions)):
        scope = (_OWN_READS if reading else _OWN).get((who, action), _SCOPES.get(action))
        if scope is None:
            raise ConfigError(
                f"{who} needs {action}, and infra/permissions.py does not say on which resource",
                remedy="Add the narrowest resource that AWS offers for it to _SCOPES there",
            )
        found |= {Grant(action, resource, on) for target in targets for resource, on in scope(target, place)}
    return found


def granted_reads(action: str, arn: Arn, place: Place) -> set[Grant]:
    """What ``action`` needs to read the one resource that a query names."""
    if action in ANYWHERE:
        return {Grant(action, "*")}
    return grants_for([action], [Target(arn=arn, group="")], place, who=f"reading {arn.kind}")


def statements(grants: Iterable[Grant]) -> tuple[Statement, ...]:
    """The same permissions in as few statements as possible, in an order that depends on nothing but them."""
    by_resource: dict[tuple[str, Conditions], set[str]] = {}
    for grant in grants:
        by_resource.setdefault((grant.resource, grant.conditions), set()).add(grant.action)
    by_actions: dict[tuple[tuple[str, ...], Conditions], set[str]] = {}
    for (resource, on), actions in by_resource.items():
        by_actions.setdefault((tuple(sorted(actions)), on), set()).add(resource)
    alike: dict[tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]], set[Conditions]] = {}
    for (actions_, on), resources in by_actions.items():
        names = tuple((operator, key) for operator, key, _ in on)
        alike.setdefault((actions_, tuple(sorted(resources)), names), set()).add(on)
    found = [
        Statement(actions_, resources_, merged)
        for (actions_, resources_, _), ons in alike.items()
        for merged in _merged(ons)
    ]
    return tuple(sorted(found))


def _merged(ons: set[Conditions]) -> list[tuple[tuple[str, str, tuple[str, ...]], ...]]:
    """
    Conditions on the same keys, as one where only one key's value differs.

    With two that differ, one list for each would allow combinations that nobody granted.
    """
    by_key = [{value for _, _, value in same} for same in zip(*ons, strict=True)]
    if sum(len(values) > 1 for values in by_key) > 1:
        return [tuple((operator, key, (value,)) for operator, key, value in on) for on in ons]
    first = next(iter(ons))
    return [
        tuple((operator, key, tuple(sorted(values))) for (operator, key, _), values in zip(first, by_key, strict=True))
    ]


def condense(grants: Iterable[Grant], place: Place, *, many: int = MANY) -> set[Grant]:
    """
    The same reads, with one pattern of this account and Region where an action would name more than ``many`` resources.

    For reading only: a role that writes names every resource, or does not fit and is refused.
    """
    by_action: dict[tuple[str, Conditions], set[str]] = {}
    for grant in grants:
        by_action.setdefault((grant.action, grant.conditions), set()).add(grant.resource)
    found: set[Grant] = set()
    for (action, on), resources in by_action.items():
        short = resources if len(resources) <= many else {_pattern(resource, place) for resource in resources}
        found |= {Grant(action, resource, on) for resource in short}
    return found


def _pattern(resource: str, place: Place) -> str:
    """Every resource of the same kind in this account and Region; S3 names neither, so there one by one it is."""
    if not resource.startswith("arn:") or ":s3:" in resource:
        return resource
    arn = Arn.parse(resource)
    kind, slash, _ = arn.resource.partition("/")
    return place.arn(arn.service, f"{kind}/*" if slash else "*")


def reason(resource: str, actions: Iterable[str]) -> str:
    """Why ``resource`` has a ``*`` in it. Raises ConfigError if nobody said."""
    if resource == "*":
        silent = sorted(set(actions) - ANYWHERE.keys())
        if silent:
            raise ConfigError(
                f"{', '.join(silent)} would be allowed on every resource, and infra/permissions.py does not say why",
                remedy="Name a resource, or add the reason to ANYWHERE there",
            )
        return "; ".join(f"{action}: {ANYWHERE[action]}" for action in sorted(actions))
    if resource.endswith(("/letters/*", "/triggers/*")):  # the quarantine bucket's ARN may be a token yet
        return "objects get their keys when they are put there; the bucket is in the pattern, and it is ours"
    _, _, service, _, _, name = resource.split(":", 5)
    for start, why in PATTERNS.items():
        of, _, prefix = start.partition(":*:")
        if service == of and name.startswith(prefix):
            return why
    if name in {"*", "service/*"}:
        return f"more than {MANY} targets: their ARNs do not fit into a policy; only this account and Region, only read"
    raise ConfigError(
        f"{resource} is a pattern, and infra/permissions.py does not say why",
        remedy="Name a resource, or add the reason to PATTERNS there",
    )
