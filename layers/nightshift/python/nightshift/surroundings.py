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

_TAGS = 50  # a resource: AWS's limit

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


def tags_of(aws: Aws, arn: Arn) -> Mapping[str, str] | Unread:
    """A resource's own tags, as name to value."""
    try:
        if arn.service == "sqs":
            answer = aws.read("sqs", "ListQueueTags", QueueUrl=queue_url(arn))
            return dict(answer.get("Tags", {}))
        if arn.service == "ecs":
            answer = aws.read("ecs", "ListTagsForResource", resourceArn=str(arn))
            return {tag["key"]: tag.get("value", "") for tag in answer.get("tags", ())}
        if arn.kind == "cloudwatch:alarm":
            answer = aws.read("cloudwatch", "ListTagsForResource", ResourceARN=str(arn))
            return {tag["Key"]: tag.get("Value", "") for tag in answer.get("Tags", ())}
        if arn.kind == "events:rule":
            answer = aws.read("events", "ListTagsForResource", ResourceARN=str(arn))
            return {tag["Key"]: tag.get("Value", "") for tag in answer.get("Tags", ())}
        if arn.kind == "appsync:apis":
            return dict(aws.read("appsync", "ListTagsForResource", resourceArn=str(arn)).get("tags", {}))
        if arn.kind == "cognito-idp:userpool":
            return dict(aws.read("cognito-idp", "ListTagsForResource", ResourceArn=str(arn)).get("Tags", {}))
        if arn.kind == "s3:bucket":
            return _of_bucket(aws, arn)
        if arn.kind == "lambda:function":
            itself = replace(arn, resource=":".join(arn.resource.split(":")[:2]))  # no version and no alias has tags
            return dict(aws.read("lambda", "ListTags", Resource=str(itself)).get("Tags", {}))
        if arn.kind == "states:stateMachine":
            answer = aws.read("stepfunctions", "ListTagsForResource", resourceArn=str(arn))
            return {tag["key"]: tag.get("value", "") for tag in answer.get("tags", ())}
        if arn.kind in _KEPT_UP:
            return {tag["Key"]: tag.get("Value", "") for tag in _KEPT_UP[arn.kind](aws, str(arn))}
        if arn.kind == "rds:cluster":
            answer = aws.read("rds", "ListTagsForResource", ResourceName=str(arn))
            return {tag["Key"]: tag.get("Value", "") for tag in answer.get("TagList", ())}
        if arn.kind == "es:domain":
            answer = aws.read("opensearch", "ListTags", ARN=str(arn))
            return {tag["Key"]: tag.get("Value", "") for tag in answer.get("TagList", ())}
    except AwsError as error:
        return Unread(str(error))
    return Unread(f"nobody has taught Nightshift how to read tags of {arn.kind}")


def _of_secret(aws: Aws, arn: str) -> Iterable[Mapping[str, str]]:
    return list(aws.read("secretsmanager", "DescribeSecret", SecretId=arn).get("Tags", ()))


def _of_stack(aws: Aws, arn: str) -> Iterable[Mapping[str, str]]:
    """Its own, which CloudFormation gives to what is in it, too."""
    return list(aws.read("cloudformation", "DescribeStacks", StackName=arn)["Stacks"][0].get("Tags", ()))


def _of_certificate(aws: Aws, arn: str) -> Iterable[Mapping[str, str]]:
    return list(aws.read("acm", "ListTagsForCertificate", CertificateArn=arn).get("Tags", ()))


def _of_table(aws: Aws, arn: str) -> Iterable[Mapping[str, str]]:
    table = arn.partition("/index/")[0]  # no index has tags
    return aws.pages("dynamodb", "ListTagsOfResource", "Tags", limit=_TAGS, ResourceArn=table)


_KEPT_UP: Mapping[str, Callable[[Aws, str], Iterable[Mapping[str, str]]]] = {
    "secretsmanager:secret": _of_secret,
    "cloudformation:stack": _of_stack,
    "acm:certificate": _of_certificate,
    "dynamodb:table": _of_table,
}
"""how the tags of what people keep up are read"""


def _of_bucket(aws: Aws, arn: Arn) -> Mapping[str, str]:
    """S3 answers with an error where there are no tags."""
    try:
        answer = aws.read("s3", "GetBucketTagging", Bucket=arn.resource)
    except Rejected as error:
        if error.code != "NoSuchTagSet":
            raise
        return {}
    return {tag["Key"]: tag.get("Value", "") for tag in answer.get("TagSet", ())}


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
