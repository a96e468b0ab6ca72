"""
Gap filled: a stack in moto is complete the moment it is made, and cannot be caught in the middle of an update.

DescribeStacks and DescribeStackEvents answer for the stacks that the systems belong to, with the status and the events
that a cause gave them; for all others moto does. An update that could not be rolled back stays so until somebody
continues its rollback, which takes a while, and fails again unless what failed was mended before.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ContinueUpdateRollback.html
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Agenda, Order
from sandbox.seam import Answer, AwsError, Call, Seam, new_id

ROLLBACK = timedelta(minutes=3)
"""how long the continued rollback of a stack takes"""


@dataclass
class Stack:
    """
    One CloudFormation stack.

    ``role`` is what CloudFormation acts with in it; ``events`` come newest first. ``mended``: what failed would not
    fail again. ``continued`` is who continued its rollback with which token.
    """

    name: str
    arn: str
    created_at: datetime
    status: str = "UPDATE_COMPLETE"
    updated_at: datetime | None = None
    role: str = ""
    parent: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    mended: bool = False
    continued: list[tuple[str, str]] = field(default_factory=list)


class Stacks:
    """The stacks of the account, by name."""

    def __init__(self, agenda: Agenda, seam: Seam, place: tuple[str, str]) -> None:
        self.all: dict[str, Stack] = {}
        self._agenda = agenda
        self._account, self._region = place
        seam.fake(
            "cloudformation",
            DescribeStacks=self._describe,
            DescribeStackEvents=self._events,
            ContinueUpdateRollback=self._continue,
        )

    def add(self, name: str, *, role: str = "") -> Stack:
        """A stack is there, complete; the same name is the same stack."""
        if name not in self.all:
            arn = f"arn:aws:cloudformation:{self._region}:{self._account}:stack/{name}/{new_id()}"
            self.all[name] = Stack(name, arn, self._agenda.now, role=role)
        return self.all[name]

    # -- causes

    def set_status(self, name: str, status: str) -> None:
        """Somebody updates a stack, or the update ends: `UPDATE_IN_PROGRESS`, `UPDATE_COMPLETE`."""
        stack = self.all[name]
        if status in {"UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"}:
            stack.updated_at = self._agenda.now
        self._say(stack, status)

    def fail(self, name: str, status: str, resource: str, reason: str) -> None:
        """An operation fails at a resource, and the stack stays in that status."""
        stack = self.all[name]
        self.set_status(name, "UPDATE_IN_PROGRESS")
        self._say(stack, f"{status.partition('_')[0]}_FAILED", resource, reason)
        self._say(stack, status)

    def fail_rollback(self, name: str, resource: str = "Database", reason: str = "the instance is gone") -> None:
        """An update fails, and what it has changed cannot be changed back."""
        stack = self.all[name]
        stack.mended = False
        self.set_status(name, "UPDATE_IN_PROGRESS")
        self._say(stack, "UPDATE_FAILED", resource, "the new settings are not valid")
        self._say(stack, "UPDATE_ROLLBACK_IN_PROGRESS")
        self._stay(stack, "", resource, reason)

    # -- what happens

    def _say(self, stack: Stack, status: str, resource: str = "", reason: str = "", token: str = "") -> None:
        """Something is so from now on, of the stack itself or of a resource in it."""
        if not resource:
            stack.status = status
        event = {
            "StackId": stack.arn,
            "EventId": f"{stack.name}-{len(stack.events)}",
            "StackName": stack.name,
            "LogicalResourceId": resource or stack.name,
            "PhysicalResourceId": resource.lower() or stack.arn,
            "ResourceType": f"AWS::Test::{resource}" if resource else "AWS::CloudFormation::Stack",
            "Timestamp": self._agenda.now,
            "ResourceStatus": status,
            **({"ResourceStatusReason": reason} if reason else {}),
            **({"ClientRequestToken": token} if token else {}),
        }
        stack.events.insert(0, event)

    def _stay(self, stack: Stack, token: str, resource: str = "Database", reason: str = "the instance is gone") -> None:
        self._say(stack, "UPDATE_FAILED", resource, reason, token)
        self._say(stack, "UPDATE_ROLLBACK_FAILED", token=token)

    def _end(self, stack: Stack, token: str) -> None:
        if stack.mended:
            self._say(stack, "UPDATE_ROLLBACK_COMPLETE", token=token)
        else:
            self._stay(stack, token)

    # -- what is answered

    def _named(self, call: Call) -> Stack | None:
        asked = call.params.get("StackName")
        return next((stack for stack in self.all.values() if asked in (stack.name, stack.arn)), None)

    def _describe(self, call: Call) -> Answer | None:
        if "StackName" not in call.params:
            return {"Stacks": [self._shown(stack) for stack in self.all.values()]}
        stack = self._named(call)
        return None if stack is None else {"Stacks": [self._shown(stack)]}

    def _events(self, call: Call) -> Answer | None:
        stack = self._named(call)
        return None if stack is None else {"StackEvents": [dict(event) for event in stack.events]}

    def _continue(self, call: Call) -> Answer | None:
        stack, token = self._named(call), str(call.params.get("ClientRequestToken", ""))
        if stack is None:
            return None
        if token and any(event.get("ClientRequestToken") == token for event in stack.events):
            raise AwsError("TokenAlreadyExistsException", "A client request token already exists.")
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise AwsError("ValidationError", f"Stack:{stack.arn} is in {stack.status} state and can not be continued")
        stack.continued.append((call.principal.name, token))
        self._say(stack, "UPDATE_ROLLBACK_IN_PROGRESS", token=token)
        self._agenda.at(ROLLBACK, lambda: self._end(stack, token), Order.PHYSICS)
        return {}

    @staticmethod
    def _shown(stack: Stack) -> dict[str, Any]:
        return {
            "StackId": stack.arn,
            "StackName": stack.name,
            "CreationTime": stack.created_at,
            **({"LastUpdatedTime": stack.updated_at} if stack.updated_at else {}),
            "StackStatus": stack.status,
            "RollbackConfiguration": {},
            "DisableRollback": False,
            "NotificationARNs": [],
            **({"RoleARN": stack.role} if stack.role else {}),
            **({"ParentId": stack.parent, "RootId": stack.parent} if stack.parent else {}),
            "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        }
