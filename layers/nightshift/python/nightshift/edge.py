"""
What all functions share at their edge: logs, metrics, traces, and the service itself, made once per environment.

No decision is made here. Logs are JSON; what came from outside stands under one key, ``untrusted``, never in the
message.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from nightshift.environment import Environment
from nightshift.errors import EventRejected
from nightshift.service import Service, from_environment

__all__ = ["Handler", "count", "forget", "function", "logger", "rejected", "service"]

Handler = Callable[[Any, Any], Any]

logger = Logger(service="nightshift")
metrics = Metrics(namespace="Nightshift", service=os.environ.get("POWERTOOLS_SERVICE_NAME", "nightshift"))


@functools.lru_cache(maxsize=1)
def service() -> Service:
    """The service, made at the first event of an execution environment and kept."""
    return from_environment(Environment.load(os.environ))


def forget() -> None:
    """Start afresh, as a new execution environment would."""
    service.cache_clear()


def function(handler: Handler) -> Handler:
    """Wrap a handler: logs with the request id, metrics flushed at its end, traced where that is switched on."""

    @functools.wraps(handler)
    def counted(event: Any, context: Any) -> Any:
        count("Invoked")  # an invocation with nothing else to count still has a metric to flush
        return handler(event, context)

    wrapped: Handler = metrics.log_metrics(logger.inject_lambda_context(counted, clear_state=True))
    if os.environ.get("NIGHTSHIFT_TRACE") == "1":  # the Tracer costs 0.3 s of every cold start
        from aws_lambda_powertools import Tracer  # noqa: PLC0415 - only who asks for it pays for it

        wrapped = Tracer(service="nightshift").capture_lambda_handler(wrapped)
    return wrapped


def count(name: str, value: int = 1) -> None:
    """Add to a metric of this invocation."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def rejected(error: EventRejected) -> dict[str, str]:
    """Say once, clearly, that an event was not what it should be; it is dropped, so nothing retries it."""
    logger.warning("event rejected", extra={"reason": error.reason})
    count("EventsRejected")
    return {"rejected": error.reason}
