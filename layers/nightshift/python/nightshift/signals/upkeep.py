"""
What people keep up: secrets, stacks, certificates, backups. Each is one call for one of them, or two.

``secretsmanager.secret`` is DescribeSecret's answer by AWS's own field names, never a value, with since when the secret
has its current one (``CurrentSince``) and the version that a rotation has left behind, if one has (``Pending``).
``cloudformation.stack`` is DescribeStacks' answer. ``acm.certificate`` is DescribeCertificate's.
``dynamodb.backups`` is to which times a table can be put back, with what was backed up of it in the last 35 days
(``Backups``), and ``dynamodb.access`` by what its items expire, with its policy (``Policy``), if it has one.
``s3.backups`` is whether a bucket keeps versions (``Versioning``, empty where it never did), how many rules of
replication it has (``Rules``) and to which buckets those that are enabled copy (``CopiedTo``). Of all of them None is
what does not exist.

Source: https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html,
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecretVersionIds.html,
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html,
https://docs.aws.amazon.com/acm/latest/APIReference/API_DescribeCertificate.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListBackups.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetResourcePolicy.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketReplication.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from nightshift.errors import Missing, Rejected
from nightshift.model import Arn, ResourceRead
from nightshift.signals.batch import Answer, Piece

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = [
    "bucket_pieces",
    "certificate_pieces",
    "secret_pieces",
    "stack_pieces",
    "table_access_pieces",
    "table_backup_pieces",
]

Located: TypeAlias = Mapping[ResourceRead, Arn]

_VERSIONS = 100  # of a secret: one page; it keeps about as many
_BACK = timedelta(days=35)  # how far back a table's backups are listed
_BACKUPS = 2000  # of a table in that time; who has more is not told that there is none
_OF_SECRET = (
    "CreatedDate",
    "DeletedDate",
    "LastAccessedDate",
    "LastChangedDate",
    "LastRotatedDate",
    "NextRotationDate",
    "OwningService",
    "RotationEnabled",
    "RotationLambdaARN",
)
_OF_STACK = (
    "CreationTime",
    "DeletionTime",
    "LastUpdatedTime",
    "ParentId",
    "RoleARN",
    "RootId",
    "StackId",
    "StackName",
    "StackStatus",
)
_OF_CERTIFICATE = (
    "DomainName",
    "DomainValidationOptions",
    "InUseBy",
    "NotAfter",
    "RenewalEligibility",
    "RenewalSummary",
    "Status",
    "Type",
)
_OF_TABLE = (
    "EarliestRestorableDateTime",
    "LatestRestorableDateTime",
    "PointInTimeRecoveryStatus",
)
_OF_BACKUP = ("BackupCreationDateTime", "BackupName", "BackupSizeBytes", "BackupStatus", "BackupType")
_OF_ACCESS = ("AttributeName", "TimeToLiveStatus")


def secret_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a secret, of two calls."""
    return _each(aws, reads, _secret)


def stack_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a stack."""
    return _each(aws, reads, _stack)


def certificate_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a certificate."""
    return _each(aws, reads, _certificate)


def table_backup_pieces(aws: Aws, reads: Located, now: datetime) -> Iterator[Piece[ResourceRead]]:
    """One piece a table, of two calls."""
    return _each(aws, reads, partial(_table, since=now - _BACK))


def table_access_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a table, of two calls."""
    return _each(aws, reads, _access)


def bucket_pieces(aws: Aws, reads: Located) -> Iterator[Piece[ResourceRead]]:
    """One piece a bucket, of two calls."""
    return _each(aws, reads, _bucket)


def _each(aws: Aws, reads: Located, ask: Callable[[Aws, Arn], Answer]) -> Iterator[Piece[ResourceRead]]:
    for read, arn in reads.items():
        yield Piece((read,), partial(_one, aws, read, arn, ask))


def _one(aws: Aws, read: ResourceRead, arn: Arn, ask: Callable[[Aws, Arn], Answer]) -> dict[ResourceRead, Answer]:
    try:
        return {read: ask(aws, arn)}
    except Missing:
        return {read: None}


def _kept(found: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: found[name] for name in names if found.get(name) is not None}


def _secret(aws: Aws, arn: Arn) -> Answer:
    kept = _kept(aws.read("secretsmanager", "DescribeSecret", SecretId=str(arn)), _OF_SECRET)
    versions = aws.read("secretsmanager", "ListSecretVersionIds", SecretId=str(arn), MaxResults=_VERSIONS)["Versions"]
    for each in versions:
        stages = each.get("VersionStages", ())
        if "AWSCURRENT" in stages:
            kept["CurrentSince"] = each["CreatedDate"]
        elif "AWSPENDING" in stages:
            kept["Pending"] = each["VersionId"]
    return kept


def _stack(aws: Aws, arn: Arn) -> Answer:
    """A stack that is gone is described for ninety days; then CloudFormation says that the request is not valid."""
    try:
        stacks = aws.read("cloudformation", "DescribeStacks", StackName=str(arn))["Stacks"]
    except Rejected as error:
        if error.code != "ValidationError" or "does not exist" not in str(error):
            raise
        return None
    return _kept(stacks[0], _OF_STACK)


def _certificate(aws: Aws, arn: Arn) -> Answer:
    return _kept(aws.read("acm", "DescribeCertificate", CertificateArn=str(arn))["Certificate"], _OF_CERTIFICATE)


def _table(aws: Aws, arn: Arn, *, since: datetime) -> Answer:
    """By its name, also where an index is meant: they are backed up together."""
    name = arn.resource.split("/")[1]
    described = aws.read("dynamodb", "DescribeContinuousBackups", TableName=name)["ContinuousBackupsDescription"]
    backups = aws.pages(
        "dynamodb",
        "ListBackups",
        "BackupSummaries",
        limit=_BACKUPS,
        TableName=name,
        BackupType="ALL",
        TimeRangeLowerBound=since,
    )
    return {
        **_kept(described.get("PointInTimeRecoveryDescription", {}), _OF_TABLE),
        "Backups": [_kept(each, _OF_BACKUP) for each in backups],
    }


def _access(aws: Aws, arn: Arn) -> Answer:
    """A table without a policy of its own is answered with an error; an index has none but its table's."""
    table = replace(arn, resource="/".join(arn.resource.split("/")[:2]))
    expires = aws.read("dynamodb", "DescribeTimeToLive", TableName=table.resource.split("/")[1])
    kept = _kept(expires["TimeToLiveDescription"], _OF_ACCESS)
    try:
        kept["Policy"] = aws.read("dynamodb", "GetResourcePolicy", ResourceArn=str(table))["Policy"]
    except Rejected as error:
        if error.code != "PolicyNotFoundException":
            raise
    return kept


def _bucket(aws: Aws, arn: Arn) -> Answer:
    """A bucket without a rule has no configuration of replication at all, which S3 answers with an error."""
    name = arn.resource.partition("/")[0]
    versioning = aws.read("s3", "GetBucketVersioning", Bucket=name).get("Status", "")
    try:
        rules = aws.read("s3", "GetBucketReplication", Bucket=name)["ReplicationConfiguration"]["Rules"]
    except Rejected as error:
        if error.code != "ReplicationConfigurationNotFoundError":
            raise
        rules = []
    copied = {each["Destination"]["Bucket"] for each in rules if each.get("Status") == "Enabled"}
    return {
        "Versioning": versioning,
        "Rules": len(rules),
        "CopiedTo": sorted(each.rpartition(":")[2] for each in copied),
    }
