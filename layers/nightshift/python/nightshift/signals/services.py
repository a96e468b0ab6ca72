"""
ECS services: ten a call, of one cluster, with their tags.

``ecs.service`` is the service by AWS's own field names, and None where AWS calls it MISSING or its cluster is gone. A
service that was deleted a short while ago is still described, with ``status`` INACTIVE.

Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeServices.html
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nightshift.errors import AwsError, Denied, Missing
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals.batch import Answer, Piece, chunks, halving, invalid
from nightshift.signals.names import split_service_arn

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["service_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_SERVICES = 10  # a call: AWS's limit


def service_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a call; a service whose ARN does not say its cluster is a piece by itself, without a call."""
    clusters: dict[Arn, dict[ResourceRead, str]] = defaultdict(dict)
    for read, arn in reads.items():
        try:
            cluster, name = split_service_arn(arn)
        except ValueError as error:
            yield Piece((read,), partial(_unread, read, str(error)))
        else:
            clusters[replace(arn, resource=f"cluster/{cluster}")][read] = name
    for cluster_arn, named in clusters.items():
        for part in chunks(tuple(named), _SERVICES):
            yield Piece(tuple(part), partial(_read, aws, cluster_arn, {read: named[read] for read in part}))


def _unread(read: ResourceRead, reason: str) -> dict[ResourceRead, Answer]:
    return {read: Unread(reason)}


def _read(aws: Aws, cluster: Arn, named: Mapping[ResourceRead, str]) -> dict[ResourceRead, Answer]:
    return halving(partial(_call, aws, cluster, named), tuple(named), one_spoils_all=_one_spoils_all)


def _one_spoils_all(error: AwsError) -> bool:
    """Permission is checked for each service of a call, and one that is not allowed denies it all."""
    return isinstance(error, Denied) or invalid(error)


def _call(
    aws: Aws, cluster: Arn, named: Mapping[ResourceRead, str], reads: Sequence[ResourceRead]
) -> dict[ResourceRead, Answer]:
    names = sorted({named[read] for read in reads})
    try:
        answer = aws.read("ecs", "DescribeServices", cluster=str(cluster), services=names, include=["TAGS"])
    except Missing:
        return dict.fromkeys(reads, None)
    described = {str(service.get("serviceName")): service for service in answer.get("services", ())}
    failed = {  # AWS makes up the ARN from the name that we gave: in which of its two forms is not documented
        str(failure.get("arn")).rsplit("/", 1)[-1]: str(failure.get("reason")) for failure in answer.get("failures", ())
    }
    return {read: _service(named[read], described, failed) for read in reads}


def _service(name: str, described: Mapping[str, Mapping[str, object]], failed: Mapping[str, str]) -> Answer:
    if name in described:
        return dict(described[name])
    if failed.get(name) == "MISSING":
        return None
    return Unread(f"ecs:DescribeServices: {failed.get(name, 'no answer')} for service {name}")
