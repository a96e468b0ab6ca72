"""
The event bus: everything that is put on it, by services or by PutEvents, and whom it reaches.

Gap filled: moto's PutEvents accepts `aws.` sources (AWS does not), raises when a rule targets Lambda, and
delivers for disabled rules.
"""

import json
from collections.abc import Callable
from typing import Any

from sandbox.clock import Agenda
from sandbox.seam import Answer, AwsError, Call, Seam, new_id

Event = dict[str, Any]
MAX_ENTRIES = 10
MAX_BYTES = 1024 * 1024


class Bus:
    """The bus of the account: custom buses share it, because nothing here depends on which one an event took."""

    def __init__(self, agenda: Agenda, seam: Seam, place: tuple[str, str]) -> None:
        self.all: list[Event] = []
        self.receivers: list[Callable[[Event], None]] = []
        self._agenda = agenda
        self._account, self._region = place
        seam.fake("events", PutEvents=self._put_events)

    def publish(self, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]) -> Event:
        """A service of AWS puts an event on the bus."""
        event = {
            "version": "0",
            "id": new_id(),
            "detail-type": detail_type,
            "source": source,
            "account": self._account,
            "time": f"{self._agenda.now:%Y-%m-%dT%H:%M:%SZ}",
            "region": self._region,
            "resources": resources,
            "detail": detail,
        }
        self.all.append(event)
        for receive in self.receivers:
            receive(event)
        return event

    def of(self, detail_type: str) -> list[Event]:
        """Events by their detail type."""
        return [event for event in self.all if event["detail-type"] == detail_type]

    def _put_events(self, call: Call) -> Answer:
        entries = call.params["Entries"]
        if len(entries) > MAX_ENTRIES:
            raise AwsError(
                "ValidationException", f"1 validation error detected: at most {MAX_ENTRIES} entries are allowed."
            )
        if sum(len(json.dumps(entry, default=str).encode()) for entry in entries) > MAX_BYTES:
            raise AwsError("ValidationException", "Total size of the entries in the request is over the limit.")
        results = [self._put(entry) for entry in entries]
        return {"FailedEntryCount": sum("ErrorCode" in each for each in results), "Entries": results}

    def _put(self, entry: dict[str, Any]) -> dict[str, str]:
        for needed in ("Source", "DetailType", "Detail"):
            if not entry.get(needed):
                reason = f"Parameter {needed} is not valid. Reason: {needed} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": reason}
        if entry["Source"].startswith("aws."):
            return {"ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "Not authorized for the source."}
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            detail = None
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        event = self.publish(entry["Source"], entry["DetailType"], detail, list(entry.get("Resources", ())))
        return {"EventId": str(event["id"])}
