"""
Lambda functions: how each is set up, and how many of it may run at once.

``lambda.function`` is the function's configuration by AWS's own field names, with ``ReservedConcurrentExecutions``
where it has some of its own, and None where there is no such function. Its environment is not kept: it may hold
secrets. AWS has no batch for it: two calls a function. A version or alias behind its name is left out: concurrency is
the function's own, and IAM, asked about a qualified name, grants what the function's does not.

``lambda.alias`` is where an alias points: its ``FunctionVersion`` and ``RevisionId``, and ``Weights``, the shares of
other versions while it is being moved. Its key is the function's ARN with the alias behind it.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html,
https://docs.aws.amazon.com/lambda/latest/api/API_GetAlias.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nightshift.errors import Missing
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["alias_pieces", "function_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_KEPT = (
    "DeadLetterConfig",
    "FunctionName",
    "LastModified",
    "LastUpdateStatus",
    "LastUpdateStatusReasonCode",
    "LoggingConfig",
    "MemorySize",
    "RevisionId",
    "State",
    "StateReasonCode",
    "Timeout",
)


def function_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a function."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_function, aws, read, arn))


def _function(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    name = arn.resource.split(":")[1]
    try:
        found = aws.read("lambda", "GetFunctionConfiguration", FunctionName=name)
        limit = aws.read("lambda", "GetFunctionConcurrency", FunctionName=name)
    except Missing:
        return {read: None}
    reserved = limit.get("ReservedConcurrentExecutions")
    kept = {field: found[field] for field in _KEPT if field in found}
    return {read: kept if reserved is None else {**kept, "ReservedConcurrentExecutions": reserved}}


def alias_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece an alias."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_alias, aws, read, arn))


def _alias(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    name, _, alias = arn.resource.removeprefix("function:").partition(":")
    try:
        found = aws.read("lambda", "GetAlias", FunctionName=name, Name=alias)
    except Missing:
        return {read: None}
    kept = {field: str(found[field]) for field in ("FunctionVersion", "RevisionId")}
    weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return {read: {**kept, "Weights": {str(version): float(share) for version, share in weights.items()}}}
