"""Once a minute: look at every target, open what is new, hand out what is due."""

from __future__ import annotations

from typing import Any

from nightshift import edge
from nightshift.errors import EventRejected
from nightshift.events import parse_schedule


@edge.function
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Run one sweep. Fails, and so is missed by the dead-man alarm, where the incident table cannot be used."""
    del context
    service = edge.service()
    try:
        parse_schedule(event, account=service.policy.account, region=service.policy.region)
    except EventRejected as error:
        return edge.rejected(error.reason)
    swept = service.sweep()
    service.work.incidents(swept.due, now=swept.at)
    edge.count("SweepCompleted")
    edge.count("TargetsSick", swept.sick)
    edge.count("TargetsUnknown", swept.unknown)
    edge.count("IncidentsOpened", len(swept.opened))
    edge.count("StormBrake", int(swept.braking))
    figures = {"targets": swept.targets, "sick": swept.sick, "unknown": swept.unknown, "due": len(swept.due)}
    edge.logger.info("swept", extra={**figures, "opened": swept.opened})
    return figures
