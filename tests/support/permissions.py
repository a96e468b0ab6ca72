"""What a call in the audit trail needs in IAM's words, and whether a session policy gives it."""

import json
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from sandbox.trail import Event


def needed(event: Event, account: str, region: str) -> tuple[str, str]:
    """(action, ARN) of a call that acts on a target. Raises KeyError for one that nobody has taught this."""
    params = event.params
    action = f"{event.service}:{event.operation}"
    if event.service == "s3":
        return action, f"arn:aws:s3:::{params['Bucket']}/{params['Key']}"
    if event.service == "ecs":
        return action, f"arn:aws:ecs:{region}:{account}:service/{params['cluster']}/{params['service']}"
    if "SourceArn" in params:
        return action, params["SourceArn"]
    if "TaskHandle" in params:
        return action, ""  # the handle hides its queue: the action alone is compared
    return action, f"arn:aws:sqs:{region}:{account}:{urlsplit(params['QueueUrl']).path.rsplit('/', 1)[-1]}"


def allowed(policy: str, action: str, arn: str) -> bool:
    """Whether a session policy allows it. Raises KeyError or ValueError on anything that it does not understand."""
    for statement in json.loads(policy)["Statement"]:
        if set(statement) != {"Effect", "Action", "Resource"} or statement["Effect"] != "Allow":
            message = f"a statement that this does not understand: {statement}"
            raise ValueError(message)
        if action in statement["Action"] and any(not arn or fnmatchcase(arn, each) for each in statement["Resource"]):
            return True
    return False


def looked_at(event: Event, account: str, region: str) -> list[tuple[str, str]]:
    """
    The (action, ARN) pairs of a call that a function makes under its own role, ``*`` where AWS has no resource.

    Raises KeyError for an operation that nobody has taught this: fail closed.
    """
    params = event.params

    def arn(service: str, resource: str) -> str:
        return f"arn:aws:{service}:{region}:{account}:{resource}"

    match event.name:
        case "sts.GetCallerIdentity":
            return []  # needs no permission
        case "sts.AssumeRole":
            return [("sts:AssumeRole", params["RoleArn"]), ("sts:SetSourceIdentity", params["RoleArn"])]
        case "cloudwatch.GetMetricData" | "sqs.ListQueues":
            return [(f"{event.service}:{event.operation}", "*")]
        case "cloudformation.DescribeStacks":
            return [("cloudformation:DescribeStacks", arn("cloudformation", f"stack/{params['StackName']}/0"))]
        case "ecs.DescribeServices":
            cluster = params["cluster"].rsplit("/", 1)[-1]
            return [("ecs:DescribeServices", arn("ecs", f"service/{cluster}/{name}")) for name in params["services"]]
        case "ecs.ListTagsForResource":
            return [("ecs:ListTagsForResource", params["resourceArn"])]
        case "ecs.ListTasks":
            return [("ecs:ListTasks", "*")]
        case "ecs.DescribeTasks":
            return [("ecs:DescribeTasks", task) for task in params["tasks"]]
        case "ecr.DescribeImages":
            return [("ecr:DescribeImages", arn("ecr", f"repository/{params['repositoryName']}"))]
    if event.service == "sqs" and event.operation != "SendMessageBatch":
        return [needed(event, account, region)]
    return [(action, OWN_RESOURCE) for action in _OWN_ACTIONS[event.name]]


OWN_RESOURCE = "our own"
_OWN_ACTIONS = {
    "dynamodb.BatchGetItem": ("dynamodb:BatchGetItem",),
    "dynamodb.DeleteItem": ("dynamodb:DeleteItem",),
    "dynamodb.GetItem": ("dynamodb:GetItem",),
    "dynamodb.PutItem": ("dynamodb:PutItem",),
    "dynamodb.Query": ("dynamodb:Query",),
    "dynamodb.TransactWriteItems": (
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ),
    "dynamodb.UpdateItem": ("dynamodb:UpdateItem",),
    "s3.HeadBucket": ("s3:ListBucket",),
    "sns.Publish": ("sns:Publish",),
    "sqs.SendMessageBatch": ("sqs:SendMessage",),
}
"""IAM's words for calls on what is Nightshift's own: DynamoDB asks for every kind of item of a transaction"""
