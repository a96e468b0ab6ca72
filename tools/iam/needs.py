"""
What a recorded call needs in IAM's words: which actions on which resources, and what the request says of itself.

Most calls need the action of their own name on the resource that their parameters name. What AWS does in our name while
it serves them is written out here: a message move task receives, deletes and sends; whatever is encrypted with a key of
the customer's uses that key through its service; Lambda reads the queue, writes the log and sends the traces of a
function under the function's role. An operation that is not in the table raises
:class:`~tools.iam.policy.NotUnderstood`, and so does an action that AWS does not have, or a resource it is not for.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_sqs.html (API operations),
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html,
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html, https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from sandbox.trail import Event
from tools.iam.definitions import action as definition
from tools.iam.policy import NotUnderstood
from tools.iam.stack import Stack

__all__ = ["Account", "Need", "checked", "encrypted", "needs", "runtime"]

Said: TypeAlias = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """
    One action on one resource that must be allowed, and by what.

    ``context`` is what the request says by condition key, None for what it is known not to say. ``by`` is the
    operation, or who does it in our name.
    """

    action: str
    resource: str
    context: Said = ()
    by: str = ""


@dataclass(frozen=True)
class Account:
    """
    What must be known of an account to say what a call in it needs.

    ``keys`` says with which customer key a resource is encrypted, ``homes`` which queues a dead-letter queue's letters
    came from, ``stacks`` the ARN of a CloudFormation stack by its name, ``roles`` those that a task definition names,
    ``scalable`` the ARN of a scalable target by what it scales (of a table: and its dimension),
    ``queries`` the log group that a query is over.
    """

    account: str
    region: str
    partition: str = "aws"
    keys: Mapping[str, str] = field(default_factory=dict)
    homes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stacks: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scalable: Mapping[str, str] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and Region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


Pairs: TypeAlias = Iterable[tuple[str, str, Said]]
"""(action, resource, what the request says)"""
Params: TypeAlias = Mapping[str, Any]
Rule: TypeAlias = Callable[[Params, Account], Pairs]

ANYWHERE = "*"


# -- resources by what parameters say --------------------------------------------------------------------------------


def _queue(params: Params, account: Account) -> str:
    return account.arn("sqs", urlsplit(params["QueueUrl"]).path.rsplit("/", 1)[-1])


def _source(params: Params, account: Account) -> str:
    del account
    return str(params["SourceArn"])


def _moved_queue(params: Params, account: Account) -> str:
    """The queue of a move task: its handle is base64 of JSON that names it."""
    del account
    try:
        return str(json.loads(base64.b64decode(params["TaskHandle"], validate=True))["sourceArn"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise NotUnderstood(f"a task handle that does not name its queue: {params['TaskHandle']}") from error


def _cluster(params: Params) -> str:
    return str(params["cluster"]).rsplit("/", 1)[-1]


def _service(params: Params, account: Account) -> str:
    return account.arn("ecs", f"service/{_cluster(params)}/{params['service'].rsplit('/', 1)[-1]}")


def _updated(params: Params, account: Account) -> Pairs:
    """Who gives a service a task definition passes its roles on to ECS, which gives them to the tasks."""
    yield "ecs:UpdateService", _service(params, account), ()
    for role in account.roles.get(str(params.get("taskDefinition", "")), ()):
        yield "iam:PassRole", role, (("iam:PassedToService", "ecs-tasks.amazonaws.com"),)


def _service_deployment(action: str) -> Rule:
    """Deployments have ARNs of their own; AWS asks for leave on their service, too."""

    def rule(params: Params, account: Account) -> Pairs:
        arns = params.get("serviceDeploymentArns") or [params["serviceDeploymentArn"]]
        for arn in arns:
            yield action, str(arn), ()
            cluster, service = str(arn).split(":service-deployment/")[1].split("/")[:2]
            yield action, account.arn("ecs", f"service/{cluster}/{service}"), ()

    return rule


def _function(params: Params, account: Account) -> str:
    return account.arn("lambda", f"function:{params['FunctionName'].rsplit(':', 1)[-1]}")


def _qualified(params: Params, account: Account) -> str:
    """A function, or its alias or version where one is named."""
    qualifier = params.get("Qualifier")
    return f"{_function(params, account)}:{qualifier}" if qualifier else _function(params, account)


def _invoked(params: Params, account: Account) -> str:
    """By its ARN, whose version or alias counts, or by its name."""
    name = str(params["FunctionName"])
    return name if name.startswith("arn:") else _function(params, account)


def _execution(params: Params, account: Account) -> str:
    del account
    return str(params["executionArn"])


def _machine(params: Params, account: Account) -> str:
    del account
    return str(params["stateMachineArn"])


def _database(params: Params, account: Account) -> str:
    return account.arn("rds", f"cluster:{params['DBClusterIdentifier']}")


def _modified(params: Params, account: Account) -> Pairs:
    """A change of a cluster, and whether it hands the password over."""
    over = params.get("ManageMasterUserPassword")
    said = (("rds:ManageMasterUserPassword", None if over is None else str(over).lower()),)
    yield "rds:ModifyDBCluster", _database(params, account), said


def _snapshots(params: Params, account: Account) -> Pairs:
    """Those of a cluster: of it, and of whichever there are."""
    yield "rds:DescribeDBClusterSnapshots", _database(params, account), ()
    yield "rds:DescribeDBClusterSnapshots", account.arn("rds", "cluster-snapshot:*"), ()


def _snapshot_made(params: Params, account: Account) -> Pairs:
    """Of a cluster, and under a name."""
    yield "rds:CreateDBClusterSnapshot", _database(params, account), ()
    made = account.arn("rds", f"cluster-snapshot:{params['DBClusterSnapshotIdentifier']}")
    yield "rds:CreateDBClusterSnapshot", made, ()


def _domain(params: Params, account: Account) -> str:
    return account.arn("es", f"domain/{params['DomainName']}")


def _rule(params: Params, account: Account) -> str:
    bus = params.get("EventBusName", "")
    return account.arn("events", f"rule/{bus}/{params['Name']}" if bus else f"rule/{params['Name']}")


def _stack(params: Params, account: Account) -> str:
    name = params["StackName"]
    if name.startswith("arn:"):
        return str(name)
    return account.stacks.get(name) or account.arn("cloudformation", f"stack/{name}/unknown")


# -- keys ------------------------------------------------------------------------------------------------------------

_VIA = "kms:ViaService"
_QUEUE_CONTEXT = "kms:EncryptionContext:aws:sqs:arn"
_OBJECT_CONTEXT = "kms:EncryptionContext:aws:s3:arn"
_USES = {
    "dynamodb": ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo"),
    "sns": ("Decrypt", "GenerateDataKey"),
    "sqs in": ("Decrypt", "GenerateDataKey"),
    "sqs out": ("Decrypt",),
    "s3 in": ("GenerateDataKey",),
    "s3 out": ("Decrypt",),
}
"""
What a service does with a customer key in the caller's name.

DynamoDB documents these as the least that it asks of whoever uses a table, besides CreateGrant, which is for whoever
makes one. SQS generates a data key to take a message in, and decrypts one to give a message out. So does S3 with an
object; not for what it says of one, nor for a list.
"""


def _with_key(resource: str, account: Account, how: str) -> Iterator[tuple[str, str, Said]]:
    key = account.keys.get(resource)
    if key is None:
        return
    service = how.partition(" ")[0]
    said = (
        (_OBJECT_CONTEXT, None),
        (_QUEUE_CONTEXT, resource if service == "sqs" else None),
        (_VIA, f"{service}.{account.region}.amazonaws.com"),
    )
    yield from ((f"kms:{use}", key, said) for use in _USES[how])


def _with_key_of_bucket(resource: str, account: Account, how: str) -> Pairs:
    """The key of an object's bucket: in the object's name, or the bucket's, where that has a key made from it."""
    bucket = resource.partition("/")[0]
    if bucket not in account.keys:
        return
    for context in (bucket, resource):
        said = ((_OBJECT_CONTEXT, context), (_QUEUE_CONTEXT, None), (_VIA, f"s3.{account.region}.amazonaws.com"))
        yield from ((f"kms:{use}", account.keys[bucket], said) for use in _USES[how])


# -- operations ------------------------------------------------------------------------------------------------------


def _plain(name: str, resource: Callable[[Params, Account], str] | None = None, key: str = "") -> Rule:
    """One action, on what the parameters name or on nothing in particular; ``key`` is how its key is used."""

    def rule(params: Params, account: Account) -> Pairs:
        on = resource(params, account) if resource else ANYWHERE
        yield name, on, ()
        if key:
            yield from _with_key(on, account, key)

    return rule


def _table(name: str, params: Params, account: Account, items: Iterable[Params]) -> Pairs:
    """An action on a table, for each kind of item key: which incident it is does not matter."""
    table = account.arn("dynamodb", f"table/{params['TableName']}")
    for key in sorted({_kind_of_item(item) for item in items}):
        yield f"dynamodb:{name}", table, (("dynamodb:LeadingKeys", key),)
    yield from _with_key(table, account, "dynamodb")


def _kind_of_item(item: Params) -> str:
    if "LockID" in item:  # of Terraform's table
        return str(item["LockID"]["S"])
    kind, more, _ = item["pk"]["S"].partition("#")
    return f"{kind}#…" if more else kind


def _item(name: str, where: str) -> Rule:
    return lambda params, account: _table(name, params, account, [params[where]])


def _query(params: Params, account: Account) -> Pairs:
    table = account.arn("dynamodb", f"table/{params['TableName']}")
    on = f"{table}/index/{params['IndexName']}" if "IndexName" in params else table
    yield "dynamodb:Query", on, (("dynamodb:LeadingKeys", None),)
    yield from _with_key(table, account, "dynamodb")


def _batch_get(params: Params, account: Account) -> Pairs:
    for table, wanted in params["RequestItems"].items():
        yield from _table("BatchGetItem", {"TableName": table}, account, wanted["Keys"])


_OF_TRANSACTION = {"ConditionCheck": "Key", "Delete": "Key", "Put": "Item", "Update": "Key"}


def _transact(params: Params, account: Account) -> Pairs:
    """A transaction needs what each of its items would need by itself."""
    for item in params["TransactItems"]:
        (kind, what), *more = item.items()
        if more or kind not in _OF_TRANSACTION:
            raise NotUnderstood(f"an item of a transaction: {sorted(item)}")
        name = "ConditionCheckItem" if kind == "ConditionCheck" else f"{kind}Item"
        yield from _table(name, what, account, [what[_OF_TRANSACTION[kind]]])


def _start_move(params: Params, account: Account) -> Pairs:
    """SQS receives, deletes and sends in our name, from the dead-letter queue to where its letters came from."""
    dlq = _source(params, account)
    for name in ("StartMessageMoveTask", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage"):
        yield f"sqs:{name}", dlq, ()
    yield from _with_key(dlq, account, "sqs out")
    homes = (params["DestinationArn"],) if "DestinationArn" in params else account.homes.get(dlq, ())
    if not homes:
        raise NotUnderstood(f"where the letters of {dlq} came from")
    for home in homes:
        yield "sqs:SendMessage", home, ()
        yield from _with_key(home, account, "sqs in")


def _cancel_move(params: Params, account: Account) -> Pairs:
    dlq = _moved_queue(params, account)
    for name in ("CancelMessageMoveTask", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage"):
        yield f"sqs:{name}", dlq, ()
    yield from _with_key(dlq, account, "sqs out")


def _list_moves(params: Params, account: Account) -> Pairs:
    for name in ("ListMessageMoveTasks", "GetQueueAttributes"):
        yield f"sqs:{name}", _source(params, account), ()


def _assume(params: Params, account: Account) -> Pairs:
    del account
    role, identity = params["RoleArn"], params.get("SourceIdentity")
    said = (("sts:RoleSessionName", params["RoleSessionName"]), ("sts:SourceIdentity", identity))
    yield "sts:AssumeRole", role, said
    if identity is not None:
        yield "sts:SetSourceIdentity", role, (("sts:SourceIdentity", identity),)
    if params.get("Tags"):
        yield "sts:TagSession", role, ()


def _nothing(params: Params, account: Account) -> Pairs:
    """AWS answers it whatever a policy says, a deny included."""
    del params, account
    return ()


def _services(params: Params, account: Account) -> Pairs:
    cluster = _cluster(params)
    for name in params["services"]:
        yield "ecs:DescribeServices", account.arn("ecs", f"service/{cluster}/{name.rsplit('/', 1)[-1]}"), ()


def _tasks(params: Params, account: Account) -> Pairs:
    yield "ecs:ListTasks", ANYWHERE, (("ecs:cluster", account.arn("ecs", f"cluster/{_cluster(params)}")),)


def _log_of_query(params: Params, account: Account) -> str:
    """A query's identifier does not say its log group. Raises NotUnderstood for one that nobody began here."""
    number = str(params["queryId"])
    if number not in account.queries:
        raise NotUnderstood(f"the query {number}, whose log group nobody knows")
    return account.arn("logs", f"log-group:{account.queries[number]}:*")


def _stopped_task(params: Params, account: Account) -> str:
    task = str(params["task"])
    return task if task.startswith("arn:") else account.arn("ecs", f"task/{_cluster(params)}/{task}")


def _described_tasks(params: Params, account: Account) -> Pairs:
    for task in params["tasks"]:
        on = task if task.startswith("arn:") else account.arn("ecs", f"task/{_cluster(params)}/{task}")
        yield "ecs:DescribeTasks", on, ()


def _revisions(params: Params, account: Account) -> Pairs:
    """AWS lists both the revision and its service as required."""
    for revision in params["serviceRevisionArns"]:
        yield "ecs:DescribeServiceRevisions", revision, ()
        _, cluster, service, _ = revision.rsplit(":", 1)[-1].split("/")
        yield "ecs:DescribeServiceRevisions", account.arn("ecs", f"service/{cluster}/{service}"), ()


def _of_scaled(action: str, params: Params, account: Account) -> tuple[str, str, Any]:
    """What is done to a scalable target: its ARN, which its name does not say, and what a policy may ask of it."""
    resource, namespace, dimension = params["ResourceId"], params["ServiceNamespace"], params["ScalableDimension"]
    known = {"ecs": resource, "dynamodb": f"{resource} {dimension}"}.get(namespace, "")
    if known not in account.scalable:
        raise NotUnderstood(f"the scalable target of {namespace} {resource}")
    said = (
        ("application-autoscaling:scalable-dimension", dimension),
        ("application-autoscaling:service-namespace", namespace),
    )
    return f"application-autoscaling:{action}", account.scalable[known], said


def _limits(params: Params, account: Account) -> Pairs:
    """
    The limits of a service or a table: whoever sets them must be allowed to set the number itself, and to follow it.

    Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/auto-scaling-IAM.html,
    https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html,
    https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_id-based-policy-examples.html
    """
    yield _of_scaled("RegisterScalableTarget", params, account)
    resource, namespace = params["ResourceId"], params["ServiceNamespace"]
    names = {"ecs": ("DescribeServices", "UpdateService"), "dynamodb": ("DescribeTable", "UpdateTable")}[namespace]
    for name in names:
        yield f"{namespace}:{name}", account.arn(namespace, resource.partition("/index/")[0]), ()
    yield from _alarms(params, account, "PutMetricAlarm", "DeleteAlarms")


def _followed(action: str, *alarms: str) -> Rule:
    """
    A policy of target tracking: whoever makes or ends one must be allowed to do so with its alarms, and to see all.

    Source: https://docs.aws.amazon.com/autoscaling/application/userguide/security_iam_permission_validation.html
    """

    def rule(params: Params, account: Account) -> Pairs:
        yield _of_scaled(action, params, account)
        yield from _alarms(params, account, *alarms)

    return rule


def _alarms(params: Params, account: Account, *names: str) -> Pairs:
    """What is asked about the alarms by which AWS follows the use of what is scaled."""
    yield "cloudwatch:DescribeAlarms", "*", ()
    kinds = ("Alarm*", "ProvisionedCapacity*") if params["ServiceNamespace"] == "dynamodb" else ("Alarm*",)
    for name in names:
        for kind in kinds:
            alarm = account.arn("cloudwatch", f"alarm:TargetTracking-{params['ResourceId']}-{kind}")
            yield f"cloudwatch:{name}", alarm, ()


def _described_table(name: str) -> Rule:
    """A table, by its name or its ARN; an index is described and changed with its table."""

    def rule(params: Params, account: Account) -> Pairs:
        yield (
            f"dynamodb:{name}",
            params.get("ResourceArn") or account.arn("dynamodb", f"table/{params['TableName']}"),
            (),
        )

    return rule


def _bucket(params: Params, account: Account) -> str:
    return f"arn:{account.partition}:s3:::{params['Bucket']}"


def _object(params: Params, account: Account) -> str:
    return f"{_bucket(params, account)}/{params['Key']}"


def _listed(params: Params, account: Account) -> Pairs:
    yield "s3:ListBucket", _bucket(params, account), (("s3:prefix", params.get("Prefix")),)


def _headed(params: Params, account: Account) -> Pairs:
    """Whether a bucket answers is asked by leave to list all of it: the request has no prefix."""
    yield "s3:ListBucket", _bucket(params, account), (("s3:prefix", None),)


def _deleted(params: Params, account: Account) -> Pairs:
    yield "s3:DeleteObject", _object(params, account), (("s3:if-match", params.get("IfMatch")),)


def _versions_listed(params: Params, account: Account) -> Pairs:
    yield "s3:ListBucketVersions", _bucket(params, account), (("s3:prefix", params.get("Prefix")),)


def _gotten(params: Params, account: Account) -> Pairs:
    yield f"s3:GetObject{'Version' if 'VersionId' in params else ''}", _object(params, account), ()
    yield from _with_key_of_bucket(_object(params, account), account, "s3 out")


def _stored(params: Params, account: Account) -> Pairs:
    yield "s3:PutObject", _object(params, account), ()
    yield from _with_key_of_bucket(_object(params, account), account, "s3 in")


def _copied(params: Params, account: Account) -> Pairs:
    """
    The copy is put, and the version that it is made of is read; the source is as the SDK's header says it.

    What has tags is not copied.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html,
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """
    source, versioned, _ = params["CopySource"].partition("?versionId=")
    yield "s3:PutObject", _object(params, account), (("s3:x-amz-copy-source", params["CopySource"]),)
    yield f"s3:GetObject{'Version' if versioned else ''}", f"arn:{account.partition}:s3:::{source}", ()
    if "IfMatch" in params:  # which reads what stands there
        yield "s3:GetObject", _object(params, account), ()
    yield from _with_key_of_bucket(f"arn:{account.partition}:s3:::{source}", account, "s3 out")
    yield from _with_key_of_bucket(_object(params, account), account, "s3 in")


def _repository(params: Params, account: Account) -> str:
    return f"arn:{account.partition}:ecr:{account.region}:{params['registryId']}:repository/{params['repositoryName']}"


def _described_key(params: Params, account: Account) -> str:
    key = params["KeyId"]
    return str(key) if key.startswith("arn:") else account.arn("kms", f"key/{key.rsplit('/', 1)[-1]}")


def _zone(params: Params, account: Account) -> str:
    return f"arn:{account.partition}:route53:::hostedzone/{params['HostedZoneId']}"


def _pool(params: Params, account: Account) -> str:
    return account.arn("cognito-idp", f"userpool/{params['UserPoolId']}")


_KEY_SAYS_NOTHING: Said = ((_OBJECT_CONTEXT, None), (_QUEUE_CONTEXT, None), (_VIA, None))

OPERATIONS: Mapping[str, Rule] = {
    "acm.DescribeCertificate": _plain("acm:DescribeCertificate", lambda params, _: str(params["CertificateArn"])),
    "acm.ListTagsForCertificate": _plain("acm:ListTagsForCertificate", lambda params, _: str(params["CertificateArn"])),
    "application-autoscaling.DescribeScalableTargets": _plain("application-autoscaling:DescribeScalableTargets"),
    "application-autoscaling.DescribeScalingPolicies": _plain("application-autoscaling:DescribeScalingPolicies"),
    "application-autoscaling.DeregisterScalableTarget": _followed("DeregisterScalableTarget", "DeleteAlarms"),
    "application-autoscaling.PutScalingPolicy": _followed("PutScalingPolicy", "DeleteAlarms", "PutMetricAlarm"),
    "application-autoscaling.RegisterScalableTarget": _limits,
    "appsync.CreateApiCache": _plain("appsync:CreateApiCache"),
    "appsync.DeleteApiCache": _plain("appsync:DeleteApiCache"),
    "appsync.GetApiCache": _plain("appsync:GetApiCache"),
    "appsync.GetGraphqlApi": _plain(
        "appsync:GetGraphqlApi", lambda params, account: account.arn("appsync", f"apis/{params['apiId']}")
    ),
    "appsync.ListResolvers": _plain("appsync:ListResolvers"),
    "appsync.ListTagsForResource": _plain("appsync:ListTagsForResource", lambda params, _: str(params["resourceArn"])),
    "cognito-idp.DescribeUserPool": _plain("cognito-idp:DescribeUserPool", _pool),
    "cognito-idp.DescribeUserPoolClient": _plain("cognito-idp:DescribeUserPoolClient", _pool),
    "cognito-idp.ListTagsForResource": _plain(
        "cognito-idp:ListTagsForResource", lambda params, _: str(params["ResourceArn"])
    ),
    "cloudformation.ContinueUpdateRollback": lambda params, account: [
        (
            "cloudformation:ContinueUpdateRollback",
            _stack(params, account),
            (("cloudformation:RoleArn", params.get("RoleARN")),),
        )
    ],
    "cloudformation.DescribeStackEvents": _plain("cloudformation:DescribeStackEvents", _stack),
    "cloudformation.DescribeStacks": _plain("cloudformation:DescribeStacks", _stack),
    "cloudtrail.LookupEvents": _plain("cloudtrail:LookupEvents"),
    "cloudwatch.DescribeAlarms": _plain("cloudwatch:DescribeAlarms"),
    "cloudwatch.GetMetricData": _plain("cloudwatch:GetMetricData"),
    "cloudwatch.ListTagsForResource": _plain(
        "cloudwatch:ListTagsForResource", lambda params, _: str(params["ResourceARN"])
    ),
    "dynamodb.BatchGetItem": _batch_get,
    "dynamodb.CreateBackup": _described_table("CreateBackup"),
    "dynamodb.DescribeContinuousBackups": _described_table("DescribeContinuousBackups"),
    "dynamodb.DescribeTimeToLive": _described_table("DescribeTimeToLive"),
    "dynamodb.GetResourcePolicy": _described_table("GetResourcePolicy"),
    "dynamodb.DescribeLimits": _plain("dynamodb:DescribeLimits"),
    "dynamodb.DescribeTable": _described_table("DescribeTable"),
    "dynamodb.ListBackups": _plain("dynamodb:ListBackups"),
    "dynamodb.ListTagsOfResource": _described_table("ListTagsOfResource"),
    "dynamodb.UpdateTable": _described_table("UpdateTable"),
    "dynamodb.DeleteItem": _item("DeleteItem", "Key"),
    "dynamodb.GetItem": _item("GetItem", "Key"),
    "dynamodb.PutItem": _item("PutItem", "Item"),
    "dynamodb.Query": _query,
    "dynamodb.TransactWriteItems": _transact,
    "dynamodb.UpdateItem": _item("UpdateItem", "Key"),
    "ec2.DescribeSecurityGroups": _plain("ec2:DescribeSecurityGroups"),
    "ecr.DescribeImages": _plain("ecr:DescribeImages", _repository),
    "ecs.DescribeServiceRevisions": _revisions,
    "ecs.DescribeServices": _services,
    "ecs.DescribeTasks": _described_tasks,
    "ecs.ListServiceDeployments": _plain("ecs:ListServiceDeployments", _service),
    "ecs.ListTagsForResource": _plain("ecs:ListTagsForResource", lambda params, _: str(params["resourceArn"])),
    "ecs.ListTasks": _tasks,
    "ecs.DescribeServiceDeployments": _service_deployment("ecs:DescribeServiceDeployments"),
    "ecs.DescribeTaskDefinition": _plain("ecs:DescribeTaskDefinition"),
    "ecs.StopServiceDeployment": _service_deployment("ecs:StopServiceDeployment"),
    "ecs.UpdateService": _updated,
    "ecs.StopTask": _plain("ecs:StopTask", _stopped_task),
    "elbv2.DescribeListenerCertificates": _plain("elasticloadbalancing:DescribeListenerCertificates"),
    "elbv2.DescribeListeners": _plain("elasticloadbalancing:DescribeListeners"),
    "elbv2.DescribeLoadBalancers": _plain("elasticloadbalancing:DescribeLoadBalancers"),
    "elbv2.DescribeRules": _plain("elasticloadbalancing:DescribeRules"),
    "elbv2.DescribeTargetHealth": _plain("elasticloadbalancing:DescribeTargetHealth"),
    "events.DescribeRule": _plain("events:DescribeRule", _rule),
    "events.EnableRule": _plain("events:EnableRule", _rule),
    "events.ListTagsForResource": _plain("events:ListTagsForResource", lambda params, _: str(params["ResourceARN"])),
    "kms.DescribeKey": lambda params, account: [
        ("kms:DescribeKey", _described_key(params, account), _KEY_SAYS_NOTHING)
    ],
    "lambda.DeleteProvisionedConcurrencyConfig": _plain("lambda:DeleteProvisionedConcurrencyConfig", _qualified),
    "lambda.GetAccountSettings": _plain("lambda:GetAccountSettings"),
    "lambda.GetAlias": _plain("lambda:GetAlias", _function),
    "lambda.GetFunctionConcurrency": _plain("lambda:GetFunctionConcurrency", _function),
    "lambda.GetFunctionConfiguration": _plain("lambda:GetFunctionConfiguration", _qualified),
    "lambda.GetPolicy": _plain("lambda:GetPolicy", _function),
    "lambda.Invoke": _plain("lambda:InvokeFunction", _invoked),
    "lambda.ListAliases": _plain("lambda:ListAliases", _function),
    "lambda.ListProvisionedConcurrencyConfigs": _plain("lambda:ListProvisionedConcurrencyConfigs", _function),
    "lambda.ListTags": _plain("lambda:ListTags", lambda params, _: str(params["Resource"])),
    "lambda.ListEventSourceMappings": _plain("lambda:ListEventSourceMappings"),
    "lambda.ListVersionsByFunction": _plain("lambda:ListVersionsByFunction", _function),
    "lambda.UpdateAlias": _plain("lambda:UpdateAlias", _function),
    "lambda.PutFunctionConcurrency": _plain("lambda:PutFunctionConcurrency", _function),
    "lambda.PutProvisionedConcurrencyConfig": _plain("lambda:PutProvisionedConcurrencyConfig", _qualified),
    "opensearch.DescribeDomain": _plain("es:DescribeDomain", _domain),
    "opensearch.DescribeDomainHealth": _plain("es:DescribeDomainHealth", _domain),
    "opensearch.ListTags": _plain("es:ListTags", lambda params, _: str(params["ARN"])),
    "rds.CreateDBClusterSnapshot": _snapshot_made,
    "rds.DescribeDBClusterSnapshots": _snapshots,
    "rds.DescribeDBClusters": _plain("rds:DescribeDBClusters", _database),
    "rds.DescribeDBInstances": _plain("rds:DescribeDBInstances", lambda _, account: account.arn("rds", "db:*")),
    "rds.ListTagsForResource": _plain("rds:ListTagsForResource", lambda params, _: str(params["ResourceName"])),
    "rds.ModifyDBCluster": _modified,
    "route53.ListResourceRecordSets": _plain("route53:ListResourceRecordSets", _zone),
    "logs.FilterLogEvents": _plain(
        "logs:FilterLogEvents", lambda params, account: account.arn("logs", f"log-group:{params['logGroupName']}:*")
    ),
    "logs.GetQueryResults": _plain("logs:GetQueryResults", _log_of_query),
    "logs.StartQuery": _plain(
        "logs:StartQuery", lambda params, account: account.arn("logs", f"log-group:{params['logGroupName']}:*")
    ),
    "s3.CopyObject": _copied,
    "s3.DeleteObject": _deleted,
    "s3.GetBucketCors": _plain("s3:GetBucketCORS", _bucket),
    "s3.GetBucketEncryption": _plain("s3:GetEncryptionConfiguration", _bucket),
    "s3.GetBucketNotificationConfiguration": _plain("s3:GetBucketNotification", _bucket),
    "s3.GetBucketLogging": _plain("s3:GetBucketLogging", _bucket),
    "s3.GetBucketOwnershipControls": _plain("s3:GetBucketOwnershipControls", _bucket),
    "s3.GetBucketPolicy": _plain("s3:GetBucketPolicy", _bucket),
    "s3.GetBucketReplication": _plain("s3:GetReplicationConfiguration", _bucket),
    "s3.GetBucketTagging": _plain("s3:GetBucketTagging", _bucket),
    "s3.GetBucketVersioning": _plain("s3:GetBucketVersioning", _bucket),
    "s3.GetObject": _gotten,
    "s3.GetObjectTagging": _plain("s3:GetObjectVersionTagging", _object),
    "s3.GetPublicAccessBlock": _plain("s3:GetBucketPublicAccessBlock", _bucket),
    "s3.HeadBucket": _headed,
    "s3.HeadObject": _plain("s3:GetObject", _object),
    "s3.ListObjectVersions": _versions_listed,
    "s3.ListObjectsV2": _listed,
    "s3.PutObject": _stored,
    "secretsmanager.DescribeSecret": _plain("secretsmanager:DescribeSecret", lambda params, _: str(params["SecretId"])),
    "secretsmanager.ListSecretVersionIds": _plain(
        "secretsmanager:ListSecretVersionIds", lambda params, _: str(params["SecretId"])
    ),
    "sns.Publish": _plain("sns:Publish", lambda params, _: str(params["TopicArn"]), "sns"),
    "sqs.CancelMessageMoveTask": _cancel_move,
    "sqs.ChangeMessageVisibility": _plain("sqs:ChangeMessageVisibility", _queue),
    "sqs.DeleteMessage": _plain("sqs:DeleteMessage", _queue),
    "sqs.GetQueueAttributes": _plain("sqs:GetQueueAttributes", _queue),
    "sqs.ListDeadLetterSourceQueues": _plain("sqs:ListDeadLetterSourceQueues", _queue),
    "sqs.ListMessageMoveTasks": _list_moves,
    "sqs.ListQueueTags": _plain("sqs:ListQueueTags", _queue),
    "sqs.ListQueues": _plain("sqs:ListQueues"),
    "sqs.ReceiveMessage": _plain("sqs:ReceiveMessage", _queue, "sqs out"),
    "sqs.SendMessage": _plain("sqs:SendMessage", _queue, "sqs in"),
    "sqs.SendMessageBatch": _plain("sqs:SendMessage", _queue, "sqs in"),
    "sqs.SetQueueAttributes": _plain("sqs:SetQueueAttributes", _queue),
    "sqs.StartMessageMoveTask": _start_move,
    "stepfunctions.DescribeExecution": _plain("states:DescribeExecution", _execution),
    "stepfunctions.DescribeStateMachine": _plain("states:DescribeStateMachine", _machine),
    "stepfunctions.DescribeStateMachineForExecution": _plain("states:DescribeStateMachineForExecution", _execution),
    "stepfunctions.ListExecutions": _plain("states:ListExecutions", _machine),
    "stepfunctions.ListTagsForResource": _plain(
        "states:ListTagsForResource", lambda params, _: str(params["resourceArn"])
    ),
    "stepfunctions.RedriveExecution": _plain("states:RedriveExecution", _execution),
    "stepfunctions.StartExecution": _plain("states:StartExecution", _machine),
    "sts.AssumeRole": _assume,
    "sts.GetCallerIdentity": _nothing,
}
"""every operation that this was ever taught"""


def needs(event: Event, account: Account) -> frozenset[Need]:
    """What a recorded call needs. Raises NotUnderstood."""
    rule = OPERATIONS.get(event.name)
    if rule is None:
        raise NotUnderstood(f"nobody has said what {event.name} needs: add it to OPERATIONS in tools/iam/needs.py")
    found = frozenset(Need(*each, by=event.name) for each in rule(event.params, account))
    if event.error in _GONE and event.name in _ASKED_FOR:
        bucket, key = event.params["Bucket"], event.params["Key"]
        if event.name == "s3.CopyObject":
            bucket, _, key = event.params["CopySource"].partition("?")[0].partition("/")
        said = (("s3:prefix", key),)
        found |= {Need("s3:ListBucket", f"arn:{account.partition}:s3:::{bucket}", said, by=f"{event.name}, a key gone")}
    return found


_GONE = frozenset({"404", "NoSuchKey"})
_ASKED_FOR = frozenset({"s3.CopyObject", "s3.GetObject", "s3.HeadObject"})
"""
What S3 says is not there only to whoever may list it, the key as the prefix: of others it says that they are denied.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""


def checked(found: Iterable[Need], *, anywhere: Iterable[str]) -> None:
    """
    Hold needs against AWS's own data: the action exists, the resource is one that it is for, and none is left out.

    ``anywhere`` are the actions that may be needed on ``*`` although AWS knows resources for them. Raises
    NotUnderstood.
    """
    by_action: dict[tuple[str, str], set[str]] = {}
    for need in found:
        by_action.setdefault((need.action, need.by), set()).add(need.resource)
    for (name, by), resources in by_action.items():
        known = definition(name)
        if resources == {ANYWHERE}:
            if known.resources and name not in anywhere:
                raise NotUnderstood(f"{by} needs {name} on *, but it is for {', '.join(sorted(known.resources))}")
            continue
        kinds = [known.kinds_of(resource) for resource in resources]
        if not all(kinds):
            raise NotUnderstood(f"{name} is not for {', '.join(sorted(resources))}")
        if missing := known.required - frozenset().union(*kinds):
            raise NotUnderstood(f"{by} needs {name} on a {', '.join(sorted(missing))} too")


# -- what is encrypted, and what Lambda does -------------------------------------------------------------------------


def encrypted(stack: Stack) -> dict[str, str]:
    """Which of a stack's resources are encrypted with which customer key, as ARNs."""
    found = {}
    for kind, where in (("AWS::SQS::Queue", "KmsMasterKeyId"), ("AWS::SNS::Topic", "KmsMasterKeyId")):
        for name, properties in stack.of_type(kind).items():
            if where in properties:
                found[stack.arn(name)] = stack.text(properties[where])
    for name, properties in stack.of_type("AWS::DynamoDB::Table").items():
        if key := properties.get("SSESpecification", {}).get("KMSMasterKeyId"):
            found[stack.arn(name)] = stack.text(key)
    return found


def runtime(stack: Stack, account: Account) -> Iterator[tuple[str, Need]]:
    """
    What Lambda does under each function's role, by what the function is: (the role's logical id, the need).

    Logs it writes always; traces it sends where they are switched on; an event that failed for good goes to the queue
    that is named for it; a queue that wakes the function is read and emptied.
    """
    roles = {}
    for name, function in stack.of_type("AWS::Lambda::Function").items():
        role, _ = function["Role"]["Fn::GetAtt"]
        roles[name] = role
        log = stack.arn(function["LoggingConfig"]["LogGroup"]["Ref"]).removesuffix("*")
        for action in ("CreateLogStream", "PutLogEvents"):
            yield role, Need(f"logs:{action}", f"{log}log-stream:stream", by="Lambda (log)")
        if function.get("TracingConfig", {}).get("Mode") == "Active":
            for action in ("PutTelemetryRecords", "PutTraceSegments"):
                yield role, Need(f"xray:{action}", ANYWHERE, by="Lambda (traces)")
    for config in stack.of_type("AWS::Lambda::EventInvokeConfig").values():
        queue = stack.text(config["DestinationConfig"]["OnFailure"]["Destination"])
        for need in _on_queue(queue, account, ("SendMessage",), "sqs in", by="Lambda (failed events)"):
            yield roles[config["FunctionName"]["Ref"]], need
    for mapping in stack.of_type("AWS::Lambda::EventSourceMapping").values():
        queue = stack.text(mapping["EventSourceArn"])
        actions = ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")
        for need in _on_queue(queue, account, actions, "sqs out", by="Lambda (queue)"):
            yield roles[mapping["FunctionName"]["Ref"]], need


def _on_queue(queue: str, account: Account, actions: Iterable[str], key: str, *, by: str) -> Iterator[Need]:
    yield from (Need(f"sqs:{action}", queue, by=by) for action in actions)
    yield from (Need(*each, by=by) for each in _with_key(queue, account, key))
