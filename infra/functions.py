"""The functions, the layers they share, what wakes them, and how long each thing may take."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from constructs import Construct
from nightshift.config import Policy, to_json
from nightshift.model import Severity

from infra.acknowledge import acknowledge
from infra.data import Data
from infra.messaging import Messaging
from infra.options import Options
from infra.permissions import Grant, Place
from infra.roles import (
    function_role,
    reads_of_look,
    reads_of_reports,
    reads_of_sweep,
    write_role_arns,
    write_role_prefix,
)

__all__ = ["TICK", "VISIBILITY", "Functions"]

ROOT = Path(__file__).resolve().parent.parent

TICK = cdk.Duration.seconds(120)
"""what one batch of work may take; an incident's lease (180 s) outlives it, so that no tick starts beside another"""
VISIBILITY = cdk.Duration.seconds(720)
"""six times that: what AWS asks of a queue that Lambda reads, so that throttled batches are not given out twice"""
SWEEP = cdk.Duration.seconds(120)
"""what one look at everything may take"""
DIGEST = cdk.Duration.minutes(5)
"""what reading a month of records and metrics may take"""
ALARM = cdk.Duration.seconds(30)
"""what passing on one alarm may take"""
KEEP_LOGS = logs.RetentionDays.THREE_MONTHS
"""as long as a closed incident stays readable"""

_NOT_SHIPPED = ["**/__pycache__", "**/*.pyc"]

_OF_SWEEP = ("DeleteItem", "GetItem", "PutItem")
"""what the sweep does to records: it opens incidents, and keeps pointers, the brake and the heartbeat"""
_OF_TICK = ("BatchGetItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "UpdateItem")
"""what a tick does to records: it claims, saves and closes incidents, and keeps their leases, budgets and memory"""


_OF_DIGEST = ("BatchGetItem", "GetItem", "PutItem", "Query")
"""what reports by the clock do to records: they read them, and note what was told"""


@dataclass(frozen=True)
class _Kind:
    """How a function runs. ``late`` is how old an event may be before it is set aside; None for what reads a queue."""

    name: str
    what: str
    memory: int  # MB; 1,769 MB are one CPU
    timeout: cdk.Duration
    reserved: int
    late: cdk.Duration | None = None
    retries: int = 0


def service_name(policy: Policy) -> str:
    """What our own metrics are told apart by: two deployments in one account must not speak for each other."""
    return f"nightshift-{policy.name}"


class Functions(Construct):
    """
    Sweep, alarm and tick: one code asset, one set of layers, a role and a log group each.

    And ``digest``, where the configuration asks for anything that is sent by the clock.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        policy: Policy,
        place: Place,
        data: Data,
        messaging: Messaging,
        options: Options,
    ) -> None:
        super().__init__(scope, id_)
        self._policy = policy
        self._data = data
        self._messaging = messaging
        self._options = options
        self._layers = _layers(self, policy, options)
        self._code = lambda_.Code.from_asset(str(ROOT / "functions"), exclude=_NOT_SHIPPED)
        self.sweep = self._make_sweep(reads_of_sweep(policy, place))
        self.alarm = self._make_alarm()
        self.tick, self.tick_role = self._make_tick(reads_of_look(policy, place))
        self.digest = self._make_digest(reads_of_reports(policy, place)) if policy.notify.reports else None

    @property
    def all(self) -> dict[str, lambda_.Function]:
        """The functions by the name of their file."""
        digest = {"digest": self.digest} if self.digest is not None else {}
        return {"sweep": self.sweep, "alarm": self.alarm, "tick": self.tick, **digest}

    def _make_sweep(self, reads: set[Grant]) -> lambda_.Function:
        """Every minute, look at everything: one at a time, and what comes late is dropped, for the next sees more."""
        kind = _Kind("Sweep", "looks at everything every minute", 1024, SWEEP, 1, late=cdk.Duration.seconds(60))
        function, _ = self._function(
            kind,
            own=[
                *self._may_record(_OF_SWEEP),
                self._may_count_sweeps(),
                *self._may_send_work(),
                *self._may_tell(self._messaging.of(Severity.SEV1)),  # of a storm, and of nothing else
                self._may_probe(),
            ],
            reads=reads,
        )
        rule = events.Rule(
            self,
            "EveryMinute",
            description="Nightshift looks at everything under its care",
            schedule=events.Schedule.rate(cdk.Duration.minutes(1)),
        )
        rule.add_target(self._target(function, late=cdk.Duration.seconds(60), retries=1))
        return function

    def _make_alarm(self) -> lambda_.Function:
        """Any alarm that changes its state wakes us, and no more: an alarm that lies can only make us look."""
        late = cdk.Duration.minutes(5)
        kind = _Kind("Alarm", "passes on what an alarm is about", 512, ALARM, 2, late=late, retries=2)
        function, _ = self._function(kind, own=self._may_send_work())
        rule = events.Rule(
            self,
            "AlarmChanged",
            description="Nightshift looks at what an alarm is about",
            event_pattern=events.EventPattern(
                source=["aws.cloudwatch"],
                detail_type=["CloudWatch Alarm State Change"],
                account=[self._policy.account],
                region=[self._policy.region],
            ),
        )
        rule.add_target(self._target(function, late=late, retries=4))
        return function

    def _make_tick(self, reads: set[Grant]) -> tuple[lambda_.Function, iam.Role]:
        """Take work from the queue: look at one target, move one incident."""
        work = self._messaging.work
        kind = _Kind("Tick", "looks at one target, moves one incident", 512, TICK, self._options.concurrency)
        own = [
            *self._may_record(_OF_TICK),
            *self._may_tell(*(self._messaging.of(each) for each in Severity), *self._messaging.others.values()),
            iam.PolicyStatement(
                sid="TakeWork",
                actions=["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
                resources=[work.queue_arn],
            ),
            self._may_use_key("KeyOfWork", "sqs", "kms:Decrypt"),
        ]
        if roles := write_role_arns(self, self._policy):
            own.append(
                iam.PolicyStatement(
                    sid="ActUnderAWriteRole", actions=["sts:AssumeRole", "sts:SetSourceIdentity"], resources=roles
                )
            )
        function, role = self._function(kind, own=own, reads=reads)
        mapping = lambda_.EventSourceMapping(
            self,
            "TickWork",
            target=function,
            event_source_arn=work.queue_arn,
            batch_size=5,
            max_concurrency=self._options.concurrency,
            report_batch_item_failures=True,
        )
        why = "Lambda takes no destination for a queue; what fails goes to the queue's own dead-letter queue"
        acknowledge(mapping, {"Serverless-LambdaEventSourceMappingDestination": why})
        return function, role

    def _make_digest(self, reads: set[Grant]) -> lambda_.Function:
        """
        Every quarter of an hour, look whether a report is due.

        Not once a week: what one look could not send the next one does, a quarter of an hour later. A look that finds
        nothing due reads one item for each report. Its three tries come within minutes, so that the alarm hears them.
        """
        late = cdk.Duration.minutes(10)
        kind = _Kind("Digest", "sends reports by the clock", 1024, DIGEST, 1, late=late, retries=2)
        own = [
            *self._may_record(_OF_DIGEST),
            *self._may_tell(self._messaging.of(Severity.SEV4)),
            self._may_use_key("KeyOfWhatFailed", "sqs", "kms:Decrypt", "kms:GenerateDataKey"),
        ]
        function, _ = self._function(kind, own=own, reads=reads)
        rule = events.Rule(
            self,
            "EveryQuarterOfAnHour",
            description="Nightshift looks whether a report is due",
            schedule=events.Schedule.cron(minute="0/15"),
        )
        rule.add_target(self._target(function, late=late, retries=2))
        return function

    # -- one function ------------------------------------------------------------------------------------------------

    def _function(
        self, kind: _Kind, *, own: list[iam.PolicyStatement], reads: set[Grant] | None = None
    ) -> tuple[lambda_.Function, iam.Role]:
        log_group = logs.LogGroup(
            self,
            f"{kind.name}Logs",
            encryption_key=self._data.key,
            retention=KEEP_LOGS,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        own = [
            *own,
            iam.PolicyStatement(
                sid="Log", actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
            ),
        ]
        if kind.late is not None:
            own.append(
                iam.PolicyStatement(
                    sid="SetAsideWhatFailed", actions=["sqs:SendMessage"], resources=[self._messaging.missed.queue_arn]
                )
            )
        traces = {Grant("xray:PutTelemetryRecords", "*"), Grant("xray:PutTraceSegments", "*")}
        role = function_role(
            self,
            f"{kind.name}Role",
            what=kind.what,
            own=own,
            reads={*(reads or ()), *traces},
        )
        others = " ".join(f"{name}={topic.topic_arn}" for name, topic in self._messaging.others.items())
        function = lambda_.Function(
            self,
            kind.name,
            description=f"Nightshift ({self._policy.name}) {kind.what}",
            code=self._code,
            handler=f"{kind.name.lower()}.handler",
            runtime=self._options.runtime,
            architecture=self._options.architecture,
            layers=self._layers,
            role=role.without_policy_updates(),
            log_group=log_group,
            memory_size=kind.memory,
            timeout=kind.timeout,
            reserved_concurrent_executions=kind.reserved if self._options.reserve else None,
            tracing=lambda_.Tracing.ACTIVE,
            on_failure=destinations.SqsDestination(self._messaging.missed) if kind.late else None,
            max_event_age=kind.late,
            retry_attempts=kind.retries if kind.late else None,
            environment={
                "NIGHTSHIFT_CONFIG": "/opt/nightshift/config.json",
                "NIGHTSHIFT_TABLE": self._data.table.table_name,
                "NIGHTSHIFT_TOPIC_ARN": self._messaging.reports.topic_arn,
                **({"NIGHTSHIFT_TOPICS": others} if others else {}),
                "NIGHTSHIFT_QUEUE_URL": self._messaging.work.queue_url,
                "NIGHTSHIFT_QUARANTINE": self._data.quarantine.bucket_name,
                "NIGHTSHIFT_WRITE_ROLES": write_role_prefix(self, self._policy),
                "POWERTOOLS_METRICS_NAMESPACE": "Nightshift",
                "POWERTOOLS_SERVICE_NAME": service_name(self._policy),
            },
        )
        newest = dict.fromkeys(("AwsSolutions-L1", "Serverless-LambdaLatestVersion"), _WHY_RUNTIME)
        acknowledge(function, {**newest, "Serverless-LambdaDLQ": _WHY_NO_DLQ})
        return function, role

    def _target(self, function: lambda_.Function, *, late: cdk.Duration, retries: int) -> targets.LambdaFunction:
        return targets.LambdaFunction(
            function, dead_letter_queue=self._messaging.missed, max_event_age=late, retry_attempts=retries
        )

    # -- what a function does with what is our own -------------------------------------------------------------------

    def _may_record(self, how: Sequence[str]) -> list[iam.PolicyStatement]:
        """Keep records, all but one: the kill switch is a person's to set, and no code of ours may."""
        table = self._data.table.table_arn
        return [
            iam.PolicyStatement(
                sid="KeepRecords", actions=[f"dynamodb:{name}" for name in sorted(how)], resources=[table]
            ),
            iam.PolicyStatement(sid="FindWhatIsDue", actions=["dynamodb:Query"], resources=[f"{table}/index/due"]),
            iam.PolicyStatement(
                sid="TheKillSwitchIsAPersons",
                effect=iam.Effect.DENY,
                actions=["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                resources=[table],
                conditions={"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["SWITCH"]}},
            ),
            # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
            self._may_use_key(
                "KeyOfRecords",
                "dynamodb",
                "kms:Decrypt",
                "kms:DescribeKey",
                "kms:Encrypt",
                "kms:GenerateDataKey",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
            ),
        ]

    def _may_count_sweeps(self) -> iam.PolicyStatement:
        """Add to how often a day was looked at, and to nothing else: the sweep claims no record."""
        return iam.PolicyStatement(
            sid="CountSweeps",
            actions=["dynamodb:UpdateItem"],
            resources=[self._data.table.table_arn],
            conditions={"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["HEARTBEAT"]}},
        )

    def _may_send_work(self) -> list[iam.PolicyStatement]:
        return [
            iam.PolicyStatement(
                sid="SendWork", actions=["sqs:SendMessage"], resources=[self._messaging.work.queue_arn]
            ),
            self._may_use_key("KeyOfWork", "sqs", "kms:Decrypt", "kms:GenerateDataKey"),
        ]

    def _may_tell(self, *topics: sns.Topic) -> list[iam.PolicyStatement]:
        arns = list(dict.fromkeys(topic.topic_arn for topic in topics))
        return [
            iam.PolicyStatement(sid="TellPeople", actions=["sns:Publish"], resources=arns),
            self._may_use_key("KeyOfReports", "sns", "kms:Decrypt", "kms:GenerateDataKey"),
        ]

    def _may_probe(self) -> iam.PolicyStatement:
        """HeadBucket: whether S3 answers at all, which the storm brake wants to know."""
        return iam.PolicyStatement(
            sid="ProbeS3", actions=["s3:ListBucket"], resources=[self._data.quarantine.bucket_arn]
        )

    def _may_use_key(self, sid: str, service: str, *actions: str) -> iam.PolicyStatement:
        """Our own key, only through the service that holds what it encrypts."""
        return iam.PolicyStatement(
            sid=sid,
            actions=list(actions),
            resources=[self._data.key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"{service}.{self._policy.region}.amazonaws.com"}},
        )


_WHY_RUNTIME = "Python 3.13 is what the layer is built for and what the tests run on; both move together, on purpose"
_WHY_NO_DLQ = (
    "Failures go to an on-failure destination, which also keeps the error, or to the DLQ of the queue it reads"
)


def _layers(scope: Construct, policy: Policy, options: Options) -> list[lambda_.ILayerVersion]:
    """Our code, what it depends on, and the configuration: three, because they change at three different paces."""

    def layer(id_: str, description: str, directory: Path, *exclude: str) -> lambda_.ILayerVersion:
        return lambda_.LayerVersion(
            scope,
            id_,
            description=description,
            code=lambda_.Code.from_asset(str(directory), exclude=[*_NOT_SHIPPED, *exclude]),
            compatible_runtimes=[options.runtime],
            compatible_architectures=[options.architecture],
        )

    made = [layer("Code", "nightshift", ROOT / "layers" / "nightshift", "python/nightshift/cli")]
    if options.dependencies is not None:
        made.append(layer("Dependencies", "requirements/layer.txt", options.dependencies))
    with tempfile.TemporaryDirectory(prefix="nightshift-config-") as scratch:
        file = Path(scratch) / "nightshift" / "config.json"
        file.parent.mkdir()
        file.write_text(to_json(policy), encoding="utf-8")
        made.append(layer("Configuration", f"{policy.name} {policy.hash}", Path(scratch)))  # copied at once
    return made
