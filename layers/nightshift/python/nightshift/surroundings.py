"""
What stands around a target, for the guardrails: its tags, its CloudFormation stack, deployments under way.

Read right before a plan is judged, never cached. What cannot be read is Unread, and refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from nightshift.aws import Aws
from nightshift.errors import AwsError, Missing, Rejected
from nightshift.model import Arn, ResourceRead, Target
from nightshift.remediation import Readings, Unread
from nightshift.signals import queue_url

__all__ = ["ACTIONS", "changes", "tags_of"]

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "cloudwatch:alarm": ("cloudwatch:ListTagsForResource",),
    "sqs:queue": ("sqs:ListQueueTags",),
    "ecs:service": ("ecs:ListTagsForResource", "ecs:DescribeServices"),
    "s3:bucket": ("s3:GetBucketTagging",),
    "lambda:function": ("lambda:ListTags",),
    "dynamodb:table": ("dynamodb:ListTagsOfResource",),
    "states:stateMachine": ("states:ListTagsForResource",),
    "events:rule": ("events:ListTagsForResource",),
    "appsync:apis": ("appsync:ListTagsForResource",),
    "cognito-idp:userpool": ("cognito-idp:ListTagsForResource",),
    "secretsmanager:secret": ("secretsmanager:DescribeSecret",),
    "cloudformation:stack": ("cloudformation:DescribeStacks",),
    "acm:certificate": ("acm:ListTagsForCertificate",),
    "rds:cluster": ("rds:ListTagsForResource",),
    "es:domain": ("es:ListTags",),
    "*": ("cloudformation:DescribeStacks",),
}
"""the IAM actions that looking around needs, by the kind of what is looked at"""


_MOST = 50  # a resource: AWS's limit


def tags_of(aws: Aws, arn: Arn) -> Mapping[str, str] | Unread:
    """A resource's own tags, as name to value."""
    how = _TAGS.get(arn.kind)
    if how is None:
        return Unread(f"nobody has taught Nightshift how to read tags of {arn.kind}")
    try:
        return how(aws, arn)
    except AwsError as error:
        return Unread(str(error))


def _named(service: str, operation: str, parameter: str, tags: str) -> Callable[[Aws, Arn], Mapping[str, str]]:
    """Of what is asked for by its ARN. AWS answers with a mapping, or with pairs that it calls Key or key."""

    def read(aws: Aws, arn: Arn) -> Mapping[str, str]:
        found = aws.read(service, operation, **{parameter: str(arn)}).get(tags) or {}
        return dict(found) if isinstance(found, Mapping) else _pairs(found)

    return read


def _pairs(tags: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {tag.get("Key") or tag["key"]: tag.get("Value", tag.get("value", "")) for tag in tags}


def _of_queue(aws: Aws, arn: Arn) -> Mapping[str, str]:
    return dict(aws.read("sqs", "ListQueueTags", QueueUrl=queue_url(arn)).get("Tags", {}))


def _of_function(aws: Aws, arn: Arn) -> Mapping[str, str]:
    """No version and no alias has tags."""
    itself = replace(arn, resource=":".join(arn.resource.split(":")[:2]))
    return dict(aws.read("lambda", "ListTags", Resource=str(itself)).get("Tags", {}))


def _of_table(aws: Aws, arn: Arn) -> Mapping[str, str]:
    """No index has tags. Nor has a table that is gone: what is told of that does not wait, and it has not opted in."""
    table = replace(arn, resource=arn.resource.partition("/index/")[0])
    try:
        return _pairs(aws.pages("dynamodb", "ListTagsOfResource", "Tags", limit=_MOST, ResourceArn=str(table)))
    except Missing:
        return {}


def _of_stack(aws: Aws, arn: Arn) -> Mapping[str, str]:
    """Its own, which CloudFormation gives to what is in it, too."""
    return _pairs(aws.read("cloudformation", "DescribeStacks", StackName=str(arn))["Stacks"][0].get("Tags", ()))


def _of_bucket(aws: Aws, arn: Arn) -> Mapping[str, str]:
    """S3 answers with an error where there are no tags."""
    try:
        answer = aws.read("s3", "GetBucketTagging", Bucket=arn.resource)
    except Rejected as error:
        if error.code != "NoSuchTagSet":
            raise
        return {}
    return _pairs(answer.get("TagSet", ()))


_TAGS: Mapping[str, Callable[[Aws, Arn], Mapping[str, str]]] = {
    "sqs:queue": _of_queue,
    "ecs:service": _named("ecs", "ListTagsForResource", "resourceArn", "tags"),
    "cloudwatch:alarm": _named("cloudwatch", "ListTagsForResource", "ResourceARN", "Tags"),
    "events:rule": _named("events", "ListTagsForResource", "ResourceARN", "Tags"),
    "appsync:apis": _named("appsync", "ListTagsForResource", "resourceArn", "tags"),
    "cognito-idp:userpool": _named("cognito-idp", "ListTagsForResource", "ResourceArn", "Tags"),
    "s3:bucket": _of_bucket,
    "dynamodb:table": _of_table,
    "lambda:function": _of_function,
    "states:stateMachine": _named("stepfunctions", "ListTagsForResource", "resourceArn", "tags"),
    "secretsmanager:secret": _named("secretsmanager", "DescribeSecret", "SecretId", "Tags"),
    "cloudformation:stack": _of_stack,
    "acm:certificate": _named("acm", "ListTagsForCertificate", "CertificateArn", "Tags"),
    "rds:cluster": _named("rds", "ListTagsForResource", "ResourceName", "TagList"),
    "es:domain": _named("opensearch", "ListTags", "ARN", "TagList"),
}
"""how the tags of each kind are read"""


def changes(
    aws: Aws, target: Target, tags: Mapping[str, str] | Unread, seen: Readings, *, own: bool = True
) -> tuple[str, ...] | Unread:
    """
    What is being changed around the target right now, one line each; ``seen`` holds the services' descriptions.

    Without ``own``, a deployment of the target itself does not count: it is what is to be cured.
    """
    if isinstance(tags, Unread):
        return tags
    found = []
    stack = tags.get("aws:cloudformation:stack-id") or tags.get("aws:cloudformation:stack-name")
    if stack:
        status = _stack_status(aws, stack)
        if isinstance(status, Unread):
            return status
        if status.endswith("_IN_PROGRESS"):
            found.append(f"its CloudFormation stack {tags.get('aws:cloudformation:stack-name', stack)} is {status}")
    for read in deployments_to_watch(target):
        if not own and read.key == str(target.arn):
            continue
        service = seen.resource(read)
        if isinstance(service, Unread):
            return service
        if service is not None and (line := _deploying(service)):
            found.append(line)
    return tuple(found)


def deployments_to_watch(target: Target) -> tuple[ResourceRead, ...]:
    """The ECS services whose deployments concern the target: itself, or the one that consumes from it."""
    services = [arn for arn in (target.arn, target.consumer) if arn is not None and arn.kind == "ecs:service"]
    return tuple(ResourceRead("ecs.service", str(arn)) for arn in services)


def _stack_status(aws: Aws, stack: str) -> str | Unread:
    try:
        stacks = aws.read("cloudformation", "DescribeStacks", StackName=stack).get("Stacks", ())
    except (Missing, Rejected):  # a tag may outlive its stack; DescribeStacks answers ValidationError then
        return "DELETED"
    except AwsError as error:
        return Unread(str(error))
    return str(stacks[0].get("StackStatus", "")) if stacks else "DELETED"


def _deploying(service: Mapping[str, Any]) -> str | None:
    deployments = service.get("deployments", ())
    rolling = [deployment for deployment in deployments if deployment.get("rolloutState") == "IN_PROGRESS"]
    if len(deployments) > 1 or rolling:
        return f"service {service.get('serviceName', '?')} is being deployed ({len(deployments)} deployments)"
    return None
