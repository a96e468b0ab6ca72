"""The failures that Nightshift knows, one module each."""

from __future__ import annotations

from nightshift.remediation import Remediation
from nightshift.remediations.alarm_raised import AlarmRaised
from nightshift.remediations.alb_traffic_missing import AlbTrafficMissing
from nightshift.remediations.appsync_slow import AppsyncSlow
from nightshift.remediations.archive_backup_due import ArchiveBackupDue
from nightshift.remediations.archive_broken import ArchiveBroken
from nightshift.remediations.archive_object_lost import ArchiveObjectLost
from nightshift.remediations.aurora_saturated import AuroraSaturated
from nightshift.remediations.backup_on_demand import BackupOnDemand
from nightshift.remediations.backup_stale import BackupStale
from nightshift.remediations.certificate_expiring import CertificateExpiring
from nightshift.remediations.database_backup_stale import DatabaseBackupStale
from nightshift.remediations.dynamodb_autoscaling_missing import DynamodbAutoscalingMissing
from nightshift.remediations.dynamodb_throttled import DynamodbThrottled
from nightshift.remediations.ecs_capacity_short import EcsCapacityShort
from nightshift.remediations.ecs_deployment_bad import EcsDeploymentBad
from nightshift.remediations.ecs_errors_high import EcsErrorsHigh
from nightshift.remediations.ecs_latency_high import EcsLatencyHigh
from nightshift.remediations.ecs_maintenance import EcsMaintenance
from nightshift.remediations.ecs_service_stalled import EcsServiceStalled
from nightshift.remediations.ecs_targets_unhealthy import EcsTargetsUnhealthy
from nightshift.remediations.event_source_broken import EventSourceBroken
from nightshift.remediations.execution_failed import ExecutionFailed
from nightshift.remediations.hours_missing import HoursMissing
from nightshift.remediations.lambda_alias_bad import LambdaAliasBad
from nightshift.remediations.lambda_cold_starts import LambdaColdStarts
from nightshift.remediations.lambda_dlq_backlog import LambdaDlqBacklog
from nightshift.remediations.lambda_failing import LambdaFailing
from nightshift.remediations.lambda_throttled import LambdaThrottled
from nightshift.remediations.opensearch_unhealthy import OpensearchUnhealthy
from nightshift.remediations.pipeline_backlog import PipelineBacklog
from nightshift.remediations.s3_access_denied import S3AccessDenied
from nightshift.remediations.s3_trigger_behind import S3TriggerBehind
from nightshift.remediations.s3_trigger_stuck import S3TriggerStuck
from nightshift.remediations.schedule_disabled import ScheduleDisabled
from nightshift.remediations.secret_rotation_overdue import SecretRotationOverdue
from nightshift.remediations.sign_ins_failing import SignInsFailing
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog
from nightshift.remediations.stack_rollback_failed import StackRollbackFailed
from nightshift.remediations.stack_stuck import StackStuck
from nightshift.remediations.table_suspicious import TableSuspicious
from nightshift.remediations.terraform_lock_held import TerraformLockHeld
from nightshift.remediations.uploads_failing import UploadsFailing
from nightshift.remediations.visibility_timeout_short import VisibilityTimeoutShort

__all__ = ["REMEDIATIONS"]

REMEDIATIONS: tuple[type[Remediation], ...] = (
    BackupOnDemand,  # before anything of it is changed
    EcsMaintenance,  # what people have stopped is left alone until they are done
    EcsDeploymentBad,  # first what was changed: whatever else is sick then may come of it, and waits
    LambdaAliasBad,  # the same of functions
    EcsServiceStalled,  # then the consumer: letters that are sent back to one that hangs only die again
    EcsTargetsUnhealthy,  # waits while tasks are missing: that is the one before
    AlbTrafficMissing,  # only told; waits while no task is healthy: that is the one before
    AuroraSaturated,  # what waits for its database is not short of tasks
    EcsCapacityShort,  # more tasks of what hangs or leaks are no cure
    DynamodbThrottled,  # what waits for a table is slow, too
    DynamodbAutoscalingMissing,  # waits while it throttles: that is the one before
    EcsLatencyHigh,  # what none of those explains: a leak is restarted once, anything else is for people
    EcsErrorsHigh,  # and this is only told
    LambdaThrottled,  # messages of which a function's calls are turned away come back, and die
    LambdaColdStarts,  # what is turned away waits for more than a start: that is the one before
    VisibilityTimeoutShort,  # messages that come back too early die, and are no use to redrive
    SqsDlqBacklog,  # then what it left behind; its diagnosis waits until the consumer works
    ArchiveObjectLost,  # without a change's object nothing is known of its triggers
    LambdaDlqBacklog,  # the same for what a function left behind: it, too, waits until the function works
    S3TriggerStuck,  # then what is left of that: a trigger whose message waits or died is one of theirs
    ScheduleDisabled,  # what a schedule starts is its function's, once it does
    HoursMissing,  # waits until the schedule runs again: that is the one before
    PipelineBacklog,  # the same of raw data: first its dead letters, then what nobody was told of
    AppsyncSlow,  # waits while what it stands on is throttled
    ArchiveBackupDue,  # what was put back is in it
    ExecutionFailed,  # then what has failed at any of these; its diagnosis waits until nothing fails any more
    EventSourceBroken,  # told only, as all that follow: what is not called does not fail
    OpensearchUnhealthy,
    DatabaseBackupStale,
    S3TriggerBehind,
    ArchiveBroken,
    LambdaFailing,
    TableSuspicious,
    S3AccessDenied,
    UploadsFailing,  # what the bucket itself refuses is the one's before
    SignInsFailing,
    StackRollbackFailed,  # what people have changed, and only they know to be mended
    StackStuck,
    TerraformLockHeld,
    CertificateExpiring,
    SecretRotationOverdue,
    BackupStale,
    AlarmRaised,  # what nobody can cure here is told last
)
"""All of them, in the order in which a person would fix them. What a configuration does not name is not deployed."""
