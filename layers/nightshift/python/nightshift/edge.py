"""
What all functions share at their edge: logs, metrics, and the service itself, made once per environment.

No decision is made here. Logs are JSON of one line each, in ASCII: whatever is in them can neither begin a line nor
steer a terminal. What came from outside stands under one key, ``untrusted``, cleaned, and never in the message. Events
and answers are not logged, whatever the environment says: they may hold what a queue holds.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from nightshift.environment import Environment
from nightshift.report import untrusted
from nightshift.service import Service, from_environment

__all__ = ["Handler", "count", "forget", "function", "logger", "rejected", "service", "untrusted"]

Handler = Callable[[Any, Any], Any]

_line = functools.partial(json.dumps, default=str, separators=(",", ":"), ensure_ascii=True)
logger = Logger(service="nightshift", json_serializer=_line)
for _name in ("boto3", "botocore", "urllib3"):  # whatever level Lambda is told to log at: theirs would quote letters
    logging.getLogger(_name).setLevel(logging.WARNING)
metrics = Metrics(namespace="Nightshift", service=os.environ.get("POWERTOOLS_SERVICE_NAME", "nightshift"))


@functools.lru_cache(maxsize=1)
def service() -> Service:
    """The service, made at the first event of an execution environment and kept."""
    return from_environment(Environment.load(os.environ))


def forget() -> None:
    """Start afresh, as a new execution environment would."""
    service.cache_clear()


def function(handler: Handler) -> Handler:
    """Wrap a handler: logs with the request id, metrics flushed at its end."""

    @functools.wraps(handler)
    def counted(event: Any, context: Any) -> Any:
        count("Invoked")  # an invocation with nothing else to count still has a metric to flush
        return handler(event, context)

    wrapped: Handler = metrics.log_metrics(logger.inject_lambda_context(counted, clear_state=True, log_event=False))
    return wrapped


def count(name: str, value: int = 1) -> None:
    """Add to a metric of this invocation."""
    metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def rejected(reason: str, times: int = 1) -> dict[str, str]:
    """Say once, clearly, that an event was not what it should be; it is dropped, so nothing retries it."""
    logger.warning("event rejected", extra={"reason": reason, "times": times})
    count("EventsRejected", times)
    return {"rejected": reason}
