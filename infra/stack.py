"""Everything that Nightshift is in one account and Region."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct
from nightshift.config import Policy
from nightshift.errors import ConfigError

from infra.alarms import Alarms
from infra.boundary import boundary
from infra.data import Data
from infra.functions import VISIBILITY, Functions
from infra.messaging import Messaging
from infra.options import GENERATE, Options
from infra.permissions import Place
from infra.roles import write_role, write_role_prefix
from infra.watched import Watched

__all__ = ["NightshiftStack", "stack_name"]


def stack_name(policy: Policy) -> str:
    """What a deployment's stack is called, and what the name of everything in it starts with."""
    return f"nightshift-{policy.name}"


def _not_ourselves(policy: Policy) -> None:
    """The service may not change itself: nothing of its own may be under its care. Raises ConfigError."""
    for target in policy.targets:
        for arn in (target.arn, *target.linked):
            if arn.name.lower().startswith(f"{stack_name(policy)}-"):
                raise ConfigError(
                    f"{arn} is Nightshift's own",
                    remedy="Take it out: Nightshift may not change itself, and has alarms of its own",
                )


class NightshiftStack(cdk.Stack):
    """
    One deployment. The kill switch is not in it: a fresh one is halted until somebody runs ``nightshift resume``.

    Its outputs are what the command line finds everything else by.
    """

    def __init__(self, scope: Construct, id_: str, *, policy: Policy, options: Options | None = None) -> None:
        tags = {"service": "nightshift", "nightshift:deployment": policy.name}
        super().__init__(
            scope,
            id_,
            stack_name=stack_name(policy),
            description=f"Nightshift ({policy.name}): looks after {len(policy.targets)} targets",
            env=cdk.Environment(account=policy.account, region=policy.region),
            tags=tags,
        )
        _not_ourselves(policy)
        options = options or Options()
        for key, value in tags.items():
            cdk.Tags.of(self).add(key, value)
        if options.boundary:
            iam.PermissionsBoundary.of(self).apply(
                boundary(self, policy)
                if options.boundary == GENERATE
                else iam.ManagedPolicy.from_managed_policy_arn(self, "Boundary", options.boundary)
            )

        self.data = Data(self, "Data")
        place = Place(
            self.partition,
            policy.account,
            policy.region,
            quarantine=self.data.quarantine.bucket_arn,
        )
        self.messaging = Messaging(self, "Messaging", key=self.data.key, policy=policy, visibility=VISIBILITY)
        self.functions = Functions(
            self,
            "Functions",
            policy=policy,
            place=place,
            data=self.data,
            messaging=self.messaging,
            options=options,
        )
        roles = Construct(self, "Acting")
        for remediation in policy.remediations.values():
            write_role(roles, remediation, policy=policy, place=place, trusted=self.functions.tick_role)
        Alarms(self, "Alarms", policy=policy, functions=self.functions, messaging=self.messaging)
        if any(target.alarms for target in policy.targets):
            Watched(self, "Watched", policy=policy)
        self._outputs(policy)

    def _outputs(self, policy: Policy) -> None:
        outputs = {
            "Name": ("the deployment", policy.name),
            "ConfigHash": ("the rules it follows", policy.hash),
            "Table": ("incidents", self.data.table.table_name),
            "Topic": ("reports", self.messaging.reports.topic_arn),
            "AlarmTopic": ("alarms of Nightshift itself", self.messaging.alarms.topic_arn),
            "Queue": ("work", self.messaging.work.queue_url),
            "Quarantine": ("messages set apart", self.data.quarantine.bucket_name),
            "WriteRoles": ("what the ARN of every write role starts with", write_role_prefix(self, policy)),
        }
        for name, topic in self.messaging.others.items():
            outputs[f"Topic{name}"] = (f"reports, {name}", topic.topic_arn)
        for key, (description, value) in outputs.items():
            cdk.CfnOutput(self, key, description=description, value=value)
