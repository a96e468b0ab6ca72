"""
Lambda event source mappings as consumers: pollers that work while the mapping and its function are enabled.

Gap filled: moto's mapping runs the function's code in Docker the moment a message is sent. Here the function
is a rate, and what moto keeps (the mapping's state, the function's reserved concurrency) decides whether it
is taken from.
"""

from collections.abc import Callable
from typing import Any

from moto.awslambda.models import lambda_backends

from sandbox.consumers import Worker, pollers


def pollers_of(place: tuple[str, str], mapping_id: str, count: int = 5) -> Callable[[], list[Worker]]:
    """The pollers of an event source mapping, by its UUID."""

    def enabled() -> bool:
        account, region = place
        backend: Any = lambda_backends[account][region]
        mapping = backend.get_event_source_mapping(mapping_id)
        if mapping is None or not mapping.enabled:
            return False
        return _reserved(backend, mapping.function_arn) != 0

    return pollers(mapping_id, count, enabled)


def _reserved(backend: Any, function_arn: str) -> int | None:
    reserved = backend.get_function(function_arn).reserved_concurrency
    return None if reserved is None else int(reserved)
