"""
Gap filled: a stack in moto is complete the moment it is made, and cannot be caught in the middle of an update.

DescribeStacks answers for the stacks that the systems belong to, with the status that a cause gave them; for
all others moto does.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.clock import Agenda
from sandbox.seam import Answer, Call, Seam, new_id


@dataclass
class Stack:
    """One CloudFormation stack."""

    name: str
    arn: str
    created_at: datetime
    status: str = "UPDATE_COMPLETE"


class Stacks:
    """The stacks of the account, by name."""

    def __init__(self, agenda: Agenda, seam: Seam, place: tuple[str, str]) -> None:
        self.all: dict[str, Stack] = {}
        self._agenda = agenda
        self._account, self._region = place
        seam.fake("cloudformation", DescribeStacks=self._describe)

    def add(self, name: str) -> Stack:
        """A stack is there, complete; the same name is the same stack."""
        if name not in self.all:
            arn = f"arn:aws:cloudformation:{self._region}:{self._account}:stack/{name}/{new_id()}"
            self.all[name] = Stack(name, arn, self._agenda.now)
        return self.all[name]

    def set_status(self, name: str, status: str) -> None:
        """Somebody updates a stack, or the update ends: `UPDATE_IN_PROGRESS`, `UPDATE_COMPLETE`."""
        self.all[name].status = status

    def _describe(self, call: Call) -> Answer | None:
        asked = call.params.get("StackName")
        if asked is None:
            return {"Stacks": [self._shown(stack) for stack in self.all.values()]}
        for stack in self.all.values():
            if asked in (stack.name, stack.arn):
                return {"Stacks": [self._shown(stack)]}
        return None

    @staticmethod
    def _shown(stack: Stack) -> dict[str, Any]:
        return {
            "StackId": stack.arn,
            "StackName": stack.name,
            "CreationTime": stack.created_at,
            "StackStatus": stack.status,
            "RollbackConfiguration": {},
            "DisableRollback": False,
            "NotificationARNs": [],
            "Tags": [],
        }
