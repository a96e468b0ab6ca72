"""The alarms and dashboards of the targets whose configuration asks for them (``alarms = true``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from constructs import Construct
from nightshift.config import Policy
from nightshift.errors import ConfigError
from nightshift.model import Arn, Target
from nightshift.remediations.s3_trigger_behind import S3TriggerBehind

from infra.dashboards import SystemDashboard
from infra.watching import QueueAlarms, QueueMetrics, ServiceAlarms, ServiceMetrics
from infra.watching_base import Alarms
from infra.watching_serverless import (
    BucketMetrics,
    ClusterAlarms,
    ClusterMetrics,
    FunctionAlarms,
    FunctionMetrics,
    GraphAlarms,
    GraphMetrics,
    TableAlarms,
    TableMetrics,
    TriggerMetrics,
)

__all__ = ["MOST", "Watched"]

MOST: Final = 300
"""alarms that one stack makes: CloudFormation takes 500 resources, and the rest of the stack is some of them"""


class Watched(Construct):
    """
    Alarms with the runbooks' thresholds, one dashboard for each system. Raises ConfigError.

    They wake Nightshift as every alarm of the account does, and tell nobody: what people have to know it reports.
    """

    def __init__(self, scope: Construct, id_: str, *, policy: Policy) -> None:
        super().__init__(scope, id_)
        behind = Counter(str(target.load_balancer) for target in policy.targets)
        made = 0
        for group, targets in policy.groups.items():
            asked = [target for target in targets if target.alarms]
            if not asked:
                continue
            system = Construct(self, group)
            services: list[Alarms] = [
                _of_service(system, target, shared=behind[str(target.load_balancer)] > 1)
                for target in asked
                if target.arn.kind == "ecs:service"
            ]
            named = [
                each(system, target.arn.resource.replace("/", "-"), metrics(target.arn))
                for target in asked
                for kind, each, metrics in _BY_KIND
                if kind == target.arn.kind
            ]
            about = [*services, *named]
            made += sum(len(each.all) for each in about)
            customers = [each for target in asked if target.triggers for each in target.triggers.customers]
            SystemDashboard(
                system,
                "Dashboard",
                dashboard_name=f"nightshift-{policy.name}-{policy.region}-{group}",  # they have no Region of their own
                about=about,
                waiting=[QueueMetrics(each.queue.name) for each in customers],
                triggers=TriggerMetrics(_counters(policy)) if customers else None,
                stored=[BucketMetrics(target.arn.name) for target in asked if target.arn.kind == "s3:bucket"],
            )
        if made > MOST:
            raise ConfigError(
                f"the targets of {policy.name} ask for {made} alarms, and one stack makes {MOST}",
                remedy="Take alarms = true off some, and make theirs in their own stacks (docs/how-to/alarms.md)",
            )


def _of_service(scope: Construct, target: Target, *, shared: bool) -> ServiceAlarms:
    cluster, _, service = target.arn.resource.removeprefix("service/").partition("/")
    try:
        metrics = ServiceMetrics(
            cluster_name=cluster,
            service_name=service,
            load_balancer_full_name=_name(target.load_balancer),
            target_group_full_name=_name(target.target_group),
            shared=shared,
        )
    except ValueError as error:
        raise ConfigError(f"{target.arn}: {error}", remedy="Correct its load_balancer and target_group") from None
    return ServiceAlarms(scope, f"{cluster}/{service}", metrics)


def _counters(policy: Policy) -> str:
    """The namespace in which systems count their own triggers: where the remediation that reads it looks."""
    behind = policy.remediations.get(S3TriggerBehind.name)
    return behind.namespace if isinstance(behind, S3TriggerBehind) else S3TriggerBehind().namespace


def _table(arn: Arn) -> TableMetrics:
    """A table, or one index of it: each is a target of its own."""
    table, _, index = arn.resource.removeprefix("table/").partition("/index/")
    return TableMetrics(table, (index,), whole=False) if index else TableMetrics(table)


def _name(arn: Arn | None) -> str | None:
    """What CloudWatch calls a load balancer or a target group: ``app/name/id``, ``targetgroup/name/id``."""
    return arn.resource.removeprefix("loadbalancer/") if arn is not None else None


_BY_KIND: Final[tuple[tuple[str, Callable[..., Alarms], Callable[[Arn], object]], ...]] = (
    ("sqs:queue", QueueAlarms, lambda arn: QueueMetrics(arn.name)),
    ("appsync:apis", GraphAlarms, lambda arn: GraphMetrics(arn.name)),
    ("lambda:function", FunctionAlarms, lambda arn: FunctionMetrics(arn.name)),
    ("dynamodb:table", TableAlarms, _table),
    ("rds:cluster", ClusterAlarms, lambda arn: ClusterMetrics(arn.name)),
)
"""kinds of targets besides services, with their alarms and metrics"""
