"""An alarm changed its state: have a look at what it speaks of. The event itself is not believed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nightshift import edge
from nightshift.events import alarm_targets, parse_alarms


@edge.function
def handler(event: Any, context: Any) -> dict[str, Any]:
    """Put the registered targets of the alarms on the work queue, each once."""
    del context
    service = edge.service()
    heard = parse_alarms(event, account=service.policy.account, region=service.policy.region)
    answer: dict[str, Any] = {}
    for reason, times in Counter(heard.rejected).items():
        answer = edge.rejected(reason, times)
    if not heard.alarms:
        return answer
    targets = alarm_targets(heard.alarms, service.policy.targets)
    service.work.targets(str(target.arn) for target in targets)
    edge.count("AlarmsSeen", len(heard.alarms))
    named = edge.untrusted(alarm=heard.alarms[0].name)
    edge.logger.info("alarm", extra={**named, "alarms": len(heard.alarms), "targets": len(targets)})
    return {"targets": len(targets)}
