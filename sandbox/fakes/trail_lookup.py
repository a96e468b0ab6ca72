"""
Gap filled: moto does not know CloudTrail's LookupEvents.

It answers from the sandbox's own trail: who called what, newest first, a quarter of an hour late at most, as CloudTrail
does; of the names that are looked up here, and of no others.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sandbox.clock import Agenda
from sandbox.seam import Answer, AwsError, Call, Principal, Seam
from sandbox.trail import Event, Trail

_SERVICES = {"events": "events.amazonaws.com"}


class TrailLookup:
    """What CloudTrail tells of who enabled and disabled rules."""

    def __init__(self, agenda: Agenda, seam: Seam, trail: Trail, account: str) -> None:
        self.late = timedelta(minutes=5)
        self._agenda = agenda
        self._trail = trail
        self._account = account
        seam.fake("cloudtrail", LookupEvents=self._look)

    def _look(self, call: Call) -> Answer:
        wanted = call.params.get("LookupAttributes", ())
        if len(wanted) != 1 or wanted[0]["AttributeKey"] != "EventName":
            raise AwsError("InvalidLookupAttributesException", "the sandbox looks up one name of events")
        found = [self._told(event) for event in self._named(wanted[0]["AttributeValue"])]
        most = call.params.get("MaxResults", 50)
        return {"Events": found[:most]} | ({"NextToken": "more"} if len(found) > most else {})

    def _named(self, name: str) -> Iterator[Event]:
        until = self._agenda.now - self.late
        for event in reversed(self._trail.events):
            if event.operation == name and event.service in _SERVICES and event.at <= until and not event.injected:
                yield event

    def _told(self, event: Event) -> dict[str, Any]:
        asked = {key[:1].lower() + key[1:]: value for key, value in event.params.items()}
        told = {
            "eventSource": _SERVICES[event.service],
            "eventName": event.operation,
            "userIdentity": self._identity(event.principal),
            "requestParameters": asked,
            **({"errorCode": event.error} if event.error else {}),
        }
        return {
            "EventId": f"{event.number:08d}-0000-4000-8000-000000000000",
            "EventName": event.operation,
            "EventSource": _SERVICES[event.service],
            "EventTime": event.at,
            "Username": event.principal.name,
            "CloudTrailEvent": json.dumps(told, default=str),
        }

    def _identity(self, principal: Principal) -> dict[str, Any]:
        if principal.role_arn is None:
            return {"type": "IAMUser", "arn": f"arn:aws:iam::{self._account}:user/{principal.name}"}
        role = principal.role_arn.rpartition("/")[2]
        return {
            "type": "AssumedRole",
            "arn": f"arn:aws:sts::{self._account}:assumed-role/{role}/{principal.name}",
            "sessionContext": {"sessionIssuer": {"type": "Role", "userName": role}},
        }
