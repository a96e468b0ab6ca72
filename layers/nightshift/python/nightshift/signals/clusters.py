"""
Aurora clusters: how each is, its range of ACUs, and which instances it has.

``rds.cluster`` is the cluster by AWS's own field names, and None where there is no such cluster. How it is reached and
under which name is not kept. A list by names would need leave to describe every cluster of the account: so one call a
cluster.

Source: https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBClusters.html
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

__all__ = ["cluster_pieces", "snapshot_pieces"]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_KEPT = (
    "BackupRetentionPeriod",
    "DBClusterIdentifier",
    "DBClusterMembers",
    "EarliestRestorableTime",
    "Engine",
    "LatestRestorableTime",
    "PendingModifiedValues",
    "ServerlessV2ScalingConfiguration",
    "Status",
)
_OF_SNAPSHOT = ("DBClusterSnapshotIdentifier", "SnapshotCreateTime", "Status")
_SNAPSHOTS = 1000  # of a cluster; an account may have a hundred, unless AWS has raised that


def cluster_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a cluster."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_cluster, aws, read, arn))


def _cluster(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    try:
        found = aws.read("rds", "DescribeDBClusters", DBClusterIdentifier=arn.name)["DBClusters"]
    except Missing:
        return {read: None}
    if not found:
        return {read: None}
    return {read: {name: found[0][name] for name in _KEPT if name in found[0]}}


def snapshot_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a cluster, of two calls."""
    for read, arn in reads.items():
        yield Piece((read,), partial(_snapshots, aws, read, arn))


def _snapshots(aws: Aws, read: ResourceRead, arn: Arn) -> dict[ResourceRead, Answer]:
    if _cluster(aws, read, arn)[read] is None:
        return {read: None}
    found = aws.pages(
        "rds",
        "DescribeDBClusterSnapshots",
        "DBClusterSnapshots",
        limit=_SNAPSHOTS,
        DBClusterIdentifier=arn.name,
        SnapshotType="manual",
    )
    return {read: {"Backups": [{name: each[name] for name in _OF_SNAPSHOT if name in each} for each in found]}}
