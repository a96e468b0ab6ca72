"""An alarm changed its state: have a look at what it speaks of. The event itself is not believed."""

from __future__ import annotations

from typing import Any

from nightshift import edge
from nightshift.errors import EventRejected
from nightshift.events import alarm_targets, parse_alarm


@edge.function
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Put the alarm's registered targets on the work queue."""
    del context
    service = edge.service()
    try:
        alarm = parse_alarm(event, account=service.policy.account, region=service.policy.region)
    except EventRejected as error:
        return edge.rejected(error)
    targets = alarm_targets(alarm, service.policy.targets) if alarm.detail.state.value == "ALARM" else ()
    service.work.targets(str(target.arn) for target in targets)
    edge.count("AlarmsSeen")
    edge.logger.info("alarm", extra={"untrusted": {"alarm": alarm.detail.alarm_name}, "targets": len(targets)})
    return {"targets": len(targets)}
