"""
An AWS account in a process of its own: ministack, and a few lines for what it lacks or gets wrong.

Run by ministack's own Python (.venv-ministack), never imported. Each addition names the gap that it fills:

- SQS has neither ListDeadLetterSourceQueues nor message move tasks. The first is answered from the queues' redrive
  policies; of the second only the list, which is empty: nothing here starts one.
- A batch of messages is checked against an action of its own. To AWS ``SendMessageBatch`` is ``sqs:SendMessage``.
  Likewise reading a function's concurrency is checked as writing it, and the resource of what is about move tasks is
  not looked for in ``SourceArn``.
- A role's trust is asked without the source identity that the caller gives.
- DynamoDB's requests are checked without saying which items they are about (``dynamodb:LeadingKeys``), so that what is
  allowed for some items is allowed for none, and what is denied for some is denied for none. To AWS each item of a
  transaction is checked by itself.
- A function's layers are unpacked, but not to /opt. A variable that points there is made to point into the layer.
- With TLS it also takes port 443, which nobody asked for.
"""

import dataclasses
import json
import re
from contextvars import ContextVar
from typing import Any

# The emulator lives in an environment of its own (.venv-ministack), which mypy does not see: hence the ignores.
from ministack import app  # type: ignore[import-not-found]
from ministack.core import iam_actions, iam_evaluator, lambda_runtime  # type: ignore[import-not-found]
from ministack.services import dynamodb, sqs, sts  # type: ignore[import-not-found]


def list_dead_letter_source_queues(data: dict[str, Any], _url: str) -> dict[str, Any]:
    """Answer which queues name this one as the place for their dead letters."""
    dead = sqs._get_q(data["QueueUrl"])["attributes"]["QueueArn"]
    urls = []
    for url, queue in sqs._queues.items():
        policy = json.loads(queue["attributes"].get("RedrivePolicy") or "{}")
        if policy.get("deadLetterTargetArn") == dead:
            urls.append(url)
    return {"queueUrls": urls}


def list_message_move_tasks(_data: dict[str, Any], _url: str) -> dict[str, Any]:
    """Answer that nobody has ever moved anything."""
    return {"Results": []}


_named = iam_actions.extract_iam_action


def extract_iam_action(service: str, method: str, *rest: Any, **named: Any) -> Any:
    """Name the action that AWS checks."""
    action = _named(service, method, *rest, **named)
    if action == "lambda:PutFunctionConcurrency" and method == "GET":
        return "lambda:GetFunctionConcurrency"
    return action.removesuffix("Batch") if action and action.startswith("sqs:") else action


_located = iam_actions.extract_resource_arn


def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: bytes, *rest: Any) -> Any:
    """Name the resource that AWS checks."""
    if service == "sqs" and b'"SourceArn"' in (body or b""):
        return json.loads(body)["SourceArn"]
    return _located(service, method, path, headers, body, *rest)


_asked: ContextVar[Any] = ContextVar("what AssumeRole was asked with")
_tagged = sts._session_tags
_trusted = iam_evaluator.evaluate_trust_policy


def session_tags(params: Any, **named: Any) -> Any:
    """Remember what AssumeRole was asked with: this is the last that sees it before the trust policy is evaluated."""
    _asked.set(params)
    return _tagged(params, **named)


def evaluate_trust_policy(document: Any, caller: str, context: Any = None) -> Any:
    """Ask a role's trust with the source identity too, where one is given."""
    identity = sts._p(_asked.get(), "SourceIdentity") if context is not None else ""
    if identity:
        known = {**context.service_context, "sts:sourceidentity": identity}
        context = dataclasses.replace(context, service_context=known)
    return _trusted(document, caller, context)


@dataclasses.dataclass(frozen=True)
class OfItems:
    """A table, and which of its items an action is about."""

    table: str
    keys: list[str]


def leading_keys(asked: dict[str, Any]) -> list[str]:
    """Answer the partition keys of what a request names: an item, a partition, or a batch of items to read."""
    if "RequestItems" in asked:
        read = [(table, key) for table, wanted in asked["RequestItems"].items() for key in wanted["Keys"]]
        return sorted({_value(key[_partition_key(table)]) for table, key in read})
    if "KeyConditionExpression" in asked:
        name = _partition_key(asked["TableName"], asked.get("IndexName"))
        names = [name, *(short for short, long in asked.get("ExpressionAttributeNames", {}).items() if long == name)]
        equals = rf"(?<![\w#:])(?:{'|'.join(map(re.escape, names))})\s*=\s*(:\w+)"
        (value,) = re.findall(equals, asked["KeyConditionExpression"])
        return [_value(asked["ExpressionAttributeValues"][value])]
    item = asked.get("Key") or asked.get("Item")
    return [_value(item[_partition_key(asked["TableName"])])] if item else []


def _partition_key(table: str, index: str | None = None) -> str:
    name, _, _ = dynamodb._resolve_index_keys(dynamodb._tables[table], index)
    return str(name)


def _value(value: dict[str, str]) -> str:
    (plain,) = value.values()
    return plain


_described = iam_actions.dynamodb_service_context
_taken_apart = iam_actions.dynamodb_transaction_checks
_enforced = iam_evaluator.enforce


def dynamodb_service_context(body: bytes) -> Any:
    """Say which items a request is about too."""
    context = _described(body)
    keys = leading_keys(json.loads(body)) if context else []
    return {**context, "dynamodb:LeadingKeys": keys} if keys else context


def dynamodb_transaction_checks(action: str, body: bytes, *rest: Any) -> Any:
    """Say of each item of a transaction which one it is."""
    if not _taken_apart(action, body, *rest):
        return []
    checks = []
    for item in json.loads(body)["TransactItems"]:
        for how, what in item.items():
            alone = json.dumps({"TransactItems": [{how: what}]}).encode()
            checks += [(name, OfItems(table, leading_keys(what))) for name, table in _taken_apart(action, alone, *rest)]
    return checks


def enforce(*who: Any, resource_arn: Any = "*", service_context: Any = None) -> Any:
    """Check an item of a transaction as the item that it is."""
    if isinstance(resource_arn, OfItems):
        service_context = {**service_context, "dynamodb:LeadingKeys": resource_arn.keys}
        resource_arn = resource_arn.table
    return _enforced(*who, resource_arn=resource_arn, service_context=service_context)


POINT_INTO_LAYERS = """
    for _name, _value in env.items():
        for _layer in filter(None, os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep)):
            if _value.startswith("/opt/") and os.path.exists(os.path.join(_layer, _value[len("/opt/"):])):
                os.environ[_name] = os.path.join(_layer, _value[len("/opt/"):])
"""
SETS_ENVIRONMENT = "    os.environ.update(env)\n"


def main() -> None:
    """Fill the gaps, then be an AWS account until somebody ends this process."""
    sqs._HANDLERS["ListDeadLetterSourceQueues"] = list_dead_letter_source_queues
    sqs._HANDLERS["ListMessageMoveTasks"] = list_message_move_tasks
    iam_actions.extract_iam_action = extract_iam_action
    iam_actions.extract_resource_arn = extract_resource_arn
    sts._session_tags = session_tags
    iam_evaluator.evaluate_trust_policy = evaluate_trust_policy
    iam_actions.dynamodb_service_context = dynamodb_service_context
    iam_actions.dynamodb_transaction_checks = dynamodb_transaction_checks
    iam_evaluator.enforce = enforce
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(SETS_ENVIRONMENT) != 1:
        raise SystemExit("ministack sets a function's environment in another way now: see POINT_INTO_LAYERS")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(SETS_ENVIRONMENT, SETS_ENVIRONMENT + POINT_INTO_LAYERS)
    app._port_is_bindable = lambda *_: False
    app.main()


if __name__ == "__main__":
    main()
