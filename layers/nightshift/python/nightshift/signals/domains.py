"""
Domains of OpenSearch: how each is set up, and whether that is being changed.

``es.domain`` is the domain by AWS's own field names, and None where there is no such domain. Where it is reached and
who may reach it is not kept.

Source: https://docs.aws.amazon.com/opensearch-service/latest/APIReference/API_DescribeDomain.html
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

__all__ = ["domain_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_KEPT = ("ClusterConfig", "Deleted", "DomainName", "EBSOptions", "EngineVersion", "Processing", "UpgradeProcessing")


def domain_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a domain."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_domain, aws, read, arn))


def _domain(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    try:
        found = aws.read("opensearch", "DescribeDomain", DomainName=arn.name)["DomainStatus"]
    except Missing:
        return {read: None}
    return {read: {name: found[name] for name in _KEPT if name in found}}
