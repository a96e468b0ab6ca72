"""The failures that Nightshift knows, one module each."""

from __future__ import annotations

from nightshift.remediation import Remediation
from nightshift.remediations.alb_traffic_missing import AlbTrafficMissing
from nightshift.remediations.ecs_capacity_short import EcsCapacityShort
from nightshift.remediations.ecs_deployment_bad import EcsDeploymentBad
from nightshift.remediations.ecs_service_stalled import EcsServiceStalled
from nightshift.remediations.ecs_targets_unhealthy import EcsTargetsUnhealthy
from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog

__all__ = ["REMEDIATIONS"]

REMEDIATIONS: tuple[type[Remediation], ...] = (
    EcsDeploymentBad,  # first what was changed: whatever else is sick then may come of it, and waits
    EcsServiceStalled,  # then the consumer: letters that are sent back to one that hangs only die again
    EcsTargetsUnhealthy,  # waits while tasks are missing: that is the one before
    AlbTrafficMissing,  # only told; waits while no task is healthy: that is the one before
    EcsCapacityShort,  # the last of a service's own: more tasks of what hangs or leaks are no cure
    SqsDlqBacklog,  # then what it left behind; its diagnosis waits until the consumer works
)
"""All of them, in the order in which a person would fix them. What a configuration does not name is not deployed."""
