"""
An AWS account in a process of its own: ministack, and a few lines for what it lacks or gets wrong.

Run by ministack's own Python (.venv-ministack), never imported. Each addition names the gap that it fills:

- SQS has neither ListDeadLetterSourceQueues nor message move tasks. The first is answered from the queues' redrive
  policies; of the second only the list, which is empty: nothing here starts one.
- A batch of messages is checked against an action of its own. To AWS ``SendMessageBatch`` is ``sqs:SendMessage``.
  Likewise reading a function's concurrency is checked as writing it, and the resource of what is about move tasks is
  not looked for in ``SourceArn``.
- A role's trust is asked without the source identity that the caller gives.
- A function's layers are unpacked, but not to /opt. A variable that points there is made to point into the layer.
- With TLS it also takes port 443, which nobody asked for.
"""

import dataclasses
import json
from contextvars import ContextVar
from typing import Any

from ministack import app  # type: ignore[import-not-found]
from ministack.core import iam_actions, iam_evaluator, lambda_runtime  # type: ignore[import-not-found]
from ministack.services import sqs, sts  # type: ignore[import-not-found]


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
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(SETS_ENVIRONMENT) != 1:
        raise SystemExit("ministack sets a function's environment in another way now: see POINT_INTO_LAYERS")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(SETS_ENVIRONMENT, SETS_ENVIRONMENT + POINT_INTO_LAYERS)
    app._port_is_bindable = lambda *_: False
    app.main()


if __name__ == "__main__":
    main()
