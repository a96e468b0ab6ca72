"""
What brings events to a function (runbook 1): a bucket and a rule that call it, and a queue that is read for it.

Where a wire is cut nothing fails: the function is called less, or not at all, and no error is counted anywhere.
"""

from __future__ import annotations

import json

from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.transient_trigger import TransientTrigger
from sandbox.systems.uploads import BUCKET, FUNCTION, Uploads

__all__ = ["Wires", "forbid", "secure"]

CALLS = 20
"""calls a minute that come by each wire"""


class Wires:
    """The wires of the function of a customer's content."""

    def __init__(self, uploads: Uploads) -> None:
        world = self.world = uploads.world
        self.uploads = uploads
        self.rule = world.arn("events", "rule/hourly")
        self.queue = world.arn("sqs", "content-changes")
        self.allowed = {"s3.amazonaws.com": uploads.bucket_arn, "events.amazonaws.com": self.rule}
        self.statements: list[Answer] = []
        self.mapping: Answer = {
            "UUID": "0b4e8a2c-6a5f-4b59-8f3e-1d2f3a4b5c6d",
            "EventSourceArn": self.queue,
            "FunctionArn": uploads.function_arn,
            "State": "Enabled",
            "StateTransitionReason": "USER_INITIATED",
        }
        self.told = True
        world.seam.fake("lambda", GetPolicy=self._policy, ListEventSourceMappings=self._mappings)
        self.tell()

    def sources(self) -> str:
        """The function's ``events_from``, as a configuration names them."""
        return f'events_from = ["{self.uploads.bucket_arn}", "{self.rule}", "{self.queue}"]\n'

    # -- causes

    def tell(self, *, told: bool = True) -> None:
        """The bucket calls the function when something is put into it, or no longer does."""
        self.told = told
        calls = [
            {"Id": "etl", "LambdaFunctionArn": self.uploads.function_arn, "Events": ["s3:ObjectCreated:*"]},
        ]
        self.world.client("s3").put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"LambdaFunctionConfigurations": calls} if told else {}
        )
        self._flow()

    def forbid(self, service: str) -> None:
        """Somebody takes away a service's leave to call the function."""
        self.allowed.pop(service)
        self._flow()

    def allow(self, service: str, source: str) -> None:
        """Somebody gives it back."""
        self.allowed[service] = source
        self._flow()

    def switch(self, state: str, reason: str = "USER_INITIATED") -> None:
        """Somebody, or Lambda itself, sets the mapping's state."""
        self.mapping |= {"State": state, "StateTransitionReason": reason}
        self._flow()

    # -- effects

    def _flow(self) -> None:
        whole = [
            self.told and "s3.amazonaws.com" in self.allowed,
            "events.amazonaws.com" in self.allowed,
            self.mapping["State"] == "Enabled",
        ]
        self.uploads.function.calls = CALLS * sum(whole)

    def _policy(self, call: Call) -> Answer:
        if call.params["FunctionName"] != FUNCTION or not (self.allowed or self.statements):
            raise AwsError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
        statements = [
            {
                "Sid": f"{service}-1",
                "Effect": "Allow",
                "Principal": {"Service": service},
                "Action": "lambda:InvokeFunction",
                "Resource": self.uploads.function_arn,
                "Condition": {
                    "ArnLike": {"AWS:SourceArn": source},
                    "StringEquals": {"AWS:SourceAccount": self.world.account},
                },
            }
            for service, source in self.allowed.items()
        ]
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": [*statements, *self.statements]}
        return {"Policy": json.dumps(policy), "RevisionId": "1"}

    def _mappings(self, _: Call) -> Answer:
        return {"EventSourceMappings": [dict(self.mapping)]}


# -- a bucket of triggers ----------------------------------------------------------------------------------------------


def secure(system: TransientTrigger) -> None:
    """Each customer's queue takes messages from the bucket, and from nobody else's: what its policy says."""
    for line in system.lines.values():
        _set(system, line.queue_url, line.queue_arn, system.arn)


def forbid(system: TransientTrigger, customer: str) -> None:
    """Somebody names another bucket in the policy of a customer's queue: what ours tells it is dropped."""
    line = system.lines[customer]
    _set(system, line.queue_url, line.queue_arn, f"{system.arn}-2")
    system.lose(customer)


def _set(system: TransientTrigger, url: str, arn: str, source: str) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "SQS:SendMessage",
        "Resource": arn,
        "Condition": {
            "ArnLike": {"aws:SourceArn": source},
            "StringEquals": {"aws:SourceAccount": system.world.account},
        },
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    system.world.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
