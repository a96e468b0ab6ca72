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
