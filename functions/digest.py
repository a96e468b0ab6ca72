"""Every quarter of an hour: send the reports that the clock asks for, each once. The event says nothing but "look"."""

from __future__ import annotations

from typing import Any

from nightshift import edge
from nightshift.errors import EventRejected
from nightshift.events import parse_schedule


@edge.function
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Send what is due. Fails, and is tried again, where the incident table or the topic cannot be used."""
    del context
    service = edge.service()
    try:
        parse_schedule(event, account=service.policy.account, region=service.policy.region)
    except EventRejected as error:
        return edge.rejected(error.reason)
    told = service.reports()
    edge.count("ReportsSent", len(told))
    edge.logger.info("looked at the clock", extra={"told": told})
    return {"told": list(told)}
