"""The alarms and dashboards of the targets whose configuration asks for them (``alarms = true``)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from constructs import Construct
from nightshift.config import Policy
from nightshift.errors import ConfigError
from nightshift.model import Arn, Target

from infra.dashboards import SystemDashboard
from infra.watching import QueueAlarms, QueueMetrics, ServiceAlarms, ServiceMetrics

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
            services = [
                _of_service(system, target, shared=behind[str(target.load_balancer)] > 1)
                for target in asked
                if target.arn.kind == "ecs:service"
            ]
            queues = [
                QueueAlarms(system, target.arn.name, QueueMetrics(target.arn.name))
                for target in asked
                if target.arn.kind == "sqs:queue"
            ]
            made += sum(len(each.all) for each in (*services, *queues))
            SystemDashboard(
                system,
                "Dashboard",
                dashboard_name=f"nightshift-{policy.name}-{group}",
                services=services,
                queues=queues,
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


def _name(arn: Arn | None) -> str | None:
    """What CloudWatch calls a load balancer or a target group: ``app/name/id``, ``targetgroup/name/id``."""
    return arn.resource.removeprefix("loadbalancer/") if arn is not None else None
