"""Work on incidents, one message each: SQS retries a failed one alone, and the sweep hands it out again anyway."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from nightshift import edge
from nightshift.errors import EventRejected, Fenced
from nightshift.events import check_batch, parse_work

ENOUGH = timedelta(seconds=60)
"""what must be left of an invocation to begin a tick: the next sweep hands out again what is left for lack of it"""

_processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@edge.function
def handler(event: Any, context: Any) -> Any:
    """Work through a batch, and name the messages that failed."""
    try:
        check_batch(event)
    except EventRejected as error:
        return edge.rejected(error.reason)
    return process_partial_response(event=event, record_handler=_work, processor=_processor, context=context)


def _work(record: SQSRecord, lambda_context: Any) -> None:
    service = edge.service()
    try:
        work = parse_work(record.body)
    except EventRejected as error:
        edge.rejected(error.reason)
        return
    if work.look:
        target = service.policy.target(work.look)
        incidents = service.sweep.wake([target]) if target is not None else ()
    else:
        incidents = (work.incident,)
    for incident_id in incidents:
        _tick(incident_id, timedelta(milliseconds=lambda_context.get_remaining_time_in_millis()))


def _tick(incident_id: str, left: timedelta) -> None:
    service = edge.service()
    with edge.logger.append_context_keys(incident=incident_id):
        if left < ENOUGH:  # begun now it would be killed half-way, and count as one that its record did not survive
            edge.logger.warning("left to the next sweep")
            edge.count("TicksPutOff")
            return
        try:
            incident = service.engine.tick(incident_id, left=left)
        except Fenced:  # another tick has it now, or its own time is over: the next one does what is to be done
            edge.logger.warning("fenced")
            edge.count("Fenced")
            return
        except Exception:
            edge.logger.exception("tick failed")
            edge.count("TicksFailed")
            raise
        if incident is None:
            return
        edge.count("Ticks")
        if not incident.open and incident.verdict is not None:
            edge.count(f"Verdict{incident.verdict.value.capitalize()}")
        edge.logger.info(
            "ticked",
            extra={"phase": incident.phase.value, "verdict": incident.verdict.value if incident.verdict else None},
        )
