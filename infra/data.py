"""What must outlive everything else: the key, the incident table, the quarantine, the logs' settings."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.acknowledge import acknowledge

__all__ = ["Data"]


class Data(Construct):
    """
    The customer key, the incident table and the quarantine bucket.

    All three stay when the stack is deleted: the table says what was done to the account, and the bucket holds messages
    that exist nowhere else.
    """

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        self.key = _key(self)
        self.table = _table(self, self.key)
        self.quarantine = _quarantine(self)


def _key(scope: Construct) -> kms.Key:
    """One key for records, reports, work and logs. Roles say which functions may use it; here, which services may."""
    stack = cdk.Stack.of(scope)
    key = kms.Key(
        scope,
        "Key",
        description="Nightshift: incidents, reports, work, logs",
        enable_key_rotation=True,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="WhatCouldNotBeDeliveredMayBeKept",
            principals=[iam.ServicePrincipal("events.amazonaws.com"), iam.ServicePrincipal("sns.amazonaws.com")],
            actions=["kms:Decrypt", "kms:GenerateDataKey"],
            resources=["*"],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    key.add_to_resource_policy(
        iam.PolicyStatement(
            sid="CloudWatchLogsMayEncryptOurLogs",
            principals=[iam.ServicePrincipal(f"logs.{stack.region}.amazonaws.com")],
            actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"],
            resources=["*"],
            conditions={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": (
                        f"arn:{stack.partition}:logs:{stack.region}:{stack.account}:log-group:*"
                    )
                }
            },
        )
    )
    return key


def _table(scope: Construct, key: kms.Key) -> dynamodb.Table:
    """The incident table: one item per fact, every write conditional (see nightshift/incidents.py)."""
    table = dynamodb.Table(
        scope,
        "Table",
        partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
        billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
        encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
        encryption_key=key,
        point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
            point_in_time_recovery_enabled=True
        ),
        time_to_live_attribute="expires",
        deletion_protection=True,
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    table.add_global_secondary_index(
        index_name="due",
        partition_key=dynamodb.Attribute(name="due_shard", type=dynamodb.AttributeType.STRING),
        sort_key=dynamodb.Attribute(name="due_at", type=dynamodb.AttributeType.STRING),
        projection_type=dynamodb.ProjectionType.INCLUDE,
        non_key_attributes=["state", "incident", "count"],  # what a pointer says, so that a sweep reads no item twice
    )
    return table


def _quarantine(scope: Construct) -> s3.Bucket:
    """
    Where messages are set apart. Nothing in it expires: these are somebody's messages, for a person to drop.

    It is encrypted by S3 and not with our key: whoever puts an object needs leave to use the key, and a session policy
    is made from the plan, which knows no key. With our key every letter would be refused, when it matters.
    """
    bucket = s3.Bucket(
        scope,
        "Quarantine",
        encryption=s3.BucketEncryption.S3_MANAGED,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        versioned=True,
        lifecycle_rules=[
            s3.LifecycleRule(
                id="what-was-replaced-or-deleted-by-hand",
                noncurrent_version_expiration=cdk.Duration.days(90),
                abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
            )
        ],
        removal_policy=cdk.RemovalPolicy.RETAIN,
    )
    acknowledge(
        bucket,
        {
            "AwsSolutions-S1": (
                "Who put an object here is in its incident's record; who read it is a CloudTrail data event, which "
                "docs/how-to/deploy.md says how to turn on. Server access logs would add a second bucket, without "
                "integrity and hours late"
            )
        },
    )
    return bucket
