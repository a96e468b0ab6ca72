"""
The nights on which the permission proof stands: short ones, that together make every call there is.

What the scenes of the demo leave out is brought about here: queues with a key of the customer's, a Lambda consumer, a
service of which ECS lists no task for a moment, a read that fails and comes back, a base service that does not answer,
an alarm. Each night has an account and a deployment of its own, and gives the calls that its functions made, what must
be known of the account to judge them, and the incidents with their plans.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from io import StringIO
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from nightshift.acting import Acting
from nightshift.config import Policy
from nightshift.model import Phase, Step

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.images import Behaviour
from sandbox.scenes import (
    NIGHT,
    TRAFFIC,
    UNHEALTHY,
    Stage,
    api_name,
    api_target,
    configuration,
    release_configuration,
)
from sandbox.systems.aliased_function import AliasedFunctions, aliases_configuration
from sandbox.systems.aurora import BACKUPS, PRICE, AuroraDatabase, aurora_target
from sandbox.systems.aurora import NAME as SATURATED
from sandbox.systems.backups import Backups, backup_table
from sandbox.systems.document_management import INDEX, DocumentManagement
from sandbox.systems.document_processing import NAME as EXECUTIONS
from sandbox.systems.document_processing import DocumentProcessing, processing_target
from sandbox.systems.document_uploads import NAME as UPLOADS
from sandbox.systems.document_uploads import DocumentUploads, uploads_settings, uploads_target
from sandbox.systems.etl import Etl, pipeline_configuration
from sandbox.systems.etl_direct import DirectEtl
from sandbox.systems.etl_function import EtlFunction, etl_target
from sandbox.systems.graphql import GraphQl, UserPool, graphql_configuration, graphql_target, pool_target
from sandbox.systems.guarded_table import NAME as SUSPICIOUS
from sandbox.systems.guarded_table import GuardedTable, guarded_target, table_settings
from sandbox.systems.hot_aggregates import INDEX as BY_PLACE
from sandbox.systems.hot_aggregates import HotAggregates, table_configuration, table_target
from sandbox.systems.ingestion import Ingestion, schedule_configuration
from sandbox.systems.pulse_functions import PulseFunctions, functions_configuration, functions_target
from sandbox.systems.queue_service import WORK, tuning_configuration
from sandbox.systems.ready_instances import ReadyInstances, instances_configuration
from sandbox.systems.search import NAME as SEARCH
from sandbox.systems.search import DocumentSearch, search_target
from sandbox.systems.transient_trigger import (
    FIELDS,
    TransientTrigger,
    archive_configuration,
    trigger_configuration,
)
from sandbox.systems.upkeep import LOCKS, STATES, UpkeepSystem, upkeep_configuration
from sandbox.systems.uploads import BUCKET, SIGN_INS, Uploads
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.systems.wires import Wires
from sandbox.trail import Event
from sandbox.world import World
from tools.iam.needs import Account

if TYPE_CHECKING:
    from sandbox.seam import Call
    from sandbox.services import Service
    from sandbox.systems.queue_service import QueueService

__all__ = ["Night", "nights", "recorded"]

FUNCTION = "etl"
"""the Lambda function that the configuration of one night names as the consumer"""


@dataclass(frozen=True)
class Night:
    """
    What came of a night: the functions' calls, and what must be known to judge them.

    ``steps`` are those that were carried out, each with its incident, in the order of their sessions. ``words`` says
    what this account's own names are in general, the longest first. ``names`` says what the sandbox calls what the
    stack leaves unnamed.
    """

    key: str
    policy: Policy
    calls: tuple[Event, ...]
    account: Account
    steps: tuple[tuple[str, Step], ...]
    words: tuple[tuple[str, str], ...]
    names: dict[str, str]


# -- the stories -----------------------------------------------------------------------------------------------------


def _letters(on: Stage) -> None:
    """Many letters, in queues with a key; somebody stops it while they are being moved."""
    _with_keys(on.world, on.system)
    on.system.offer(0)
    on.outage(minutes=6, letters=90)
    on.until(lambda: on.world.trail.of("sqs.StartMessageMoveTask"))
    on.nightshift.pause("the database team asked us to stop")
    on.until(lambda: on.world.trail.of("sqs.CancelMessageMoveTask"))
    on.minutes(2)


def _key(world: World, name: str) -> str:
    return world.arn("kms", f"key/{name}")


def _with_keys(world: World, system: QueueService) -> None:
    for url in (system.queue_url, system.dlq_url):
        key = world.client("kms").create_key()["KeyMetadata"]["KeyId"]
        world.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": key})


def _few(on: Stage) -> None:
    """Fewer letters than a move of all is worth, one of them poison; a Lambda function consumes the queue."""
    mapping = {"UUID": "0", "FunctionArn": on.world.arn("lambda", f"function:{FUNCTION}"), "State": "Enabled"}
    on.world.seam.fake(
        "lambda",
        ListEventSourceMappings=lambda _: {"EventSourceMappings": [mapping]},
        GetFunctionConcurrency=lambda _: {},
    )
    on.system.offer(0)
    on.outage(minutes=6, letters=6, poison=1)
    on.until_settled()


def _restart(on: Stage) -> None:
    """The consumer hangs while messages wait, and ECS lists none of its tasks at first."""
    asked: list[Call] = []
    listed: Callable[[Call], Any] = on.world.seam.fakes["ecs", "ListTasks"]

    def at_first_none(call: Call) -> Any:
        asked.append(call)
        return {"taskArns": []} if len(asked) == 1 else listed(call)

    on.world.seam.fake("ecs", ListTasks=at_first_none)
    on.system.start_stack_update()
    on.system.wedge_consumer()
    on.until(lambda: asked)
    on.system.finish_stack_update()
    on.until(lambda: on.world.trail.of("ecs.UpdateService"))
    on.minutes(2)


def _bad_tasks(on: Stage, system: UsageMetrics) -> None:
    """One task of an API fails its health checks and is stopped; when all is well again, all of them do."""
    system.fail_checks(1)
    on.until_settled()
    system.fail_checks()
    on.until(lambda: on.world.trail.of("ecs.UpdateService"))
    on.minutes(2)


def _busy(on: Stage) -> None:
    """More comes in than the consumer's tasks can carry: it is lent one, which is given back."""
    _at_full_load(on)
    on.until(lambda: len(on.world.trail.of("ecs.UpdateService")) > 1)
    on.minutes(2)


def _limited(on: Stage) -> None:
    """The same where autoscaling is at its maximum."""
    _autoscaled(on)
    _at_full_load(on)
    on.until(lambda: len(_registered(on)) > 1)
    on.minutes(2)


def _worked_on(on: Stage) -> None:
    """Somebody has a service stopped that autoscaling scales, and started again."""
    _autoscaled(on)
    incident = on.nightshift.start_maintenance(on.system.service_arn, timedelta(minutes=30))
    on.until(lambda: on.system.service.desired == 0)
    on.minutes(4)
    if incident is not None:
        on.nightshift.end_maintenance(incident)
    on.until(lambda: len(_registered(on)) > 1)
    on.minutes(2)


def _registered(on: Stage) -> list[Event]:
    found = on.world.trail.of("application-autoscaling.RegisterScalableTarget")
    return [each for each in found if each.function]


def _autoscaled(on: Stage) -> None:
    name = {
        "ServiceNamespace": "ecs",
        "ResourceId": on.system.service_arn.rpartition(":")[2],
        "ScalableDimension": "ecs:service:DesiredCount",
    }
    autoscaling = on.world.client("application-autoscaling")
    autoscaling.register_scalable_target(**name, MinCapacity=2, MaxCapacity=2)
    cpu = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
    autoscaling.put_scaling_policy(
        **name,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 70.0, **cpu},
    )


def _at_full_load(on: Stage) -> None:
    on.system.offer(120)
    on.until(lambda: on.system.service.desired > on.system.shape.tasks)
    on.system.offer(60)


def _blind(on: Stage) -> None:
    """Queues cannot be listed for two minutes; then S3 does not answer; then an alarm is raised for nothing."""
    of_sweep = "nightshift-sweep"
    on.world.faults.add(Kind.DENIED, "sqs.ListQueues", times=2, where=lambda call: call.function == of_sweep)
    on.minutes(4)
    on.world.faults.add(Kind.DENIED, "s3.HeadBucket", times=1, where=lambda call: call.function == of_sweep)
    on.minutes(2)
    cloudwatch = on.world.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="dlq",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": on.system.shape.dead_letter_queue}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )
    cloudwatch.set_alarm_state(AlarmName="dlq", StateValue="ALARM", StateReason="forged")
    on.minutes(2)


@dataclass(frozen=True)
class _Story:
    key: str
    perform: Callable[[Stage], None]
    warm: float = 20
    consumer: str = "ecs"
    thin: bool = True  # as the full account, and ten times as fast; it knows no keys and no Lambda consumers
    more: str = ""


_MAINTENANCE = """
[remediations.ecs-maintenance]
mode = "auto"
"""
_CAPACITY = """
[remediations.ecs-capacity-short]
mode = "auto"
looks = 1
history = "PT20M"
lease = "PT20M"
task_dollars_per_hour = 0.05
"""
EVENTS = "lambda-dlq-backlog"
ERRORS, LATENCY = "ecs-errors-high", "ecs-latency-high"
_DAILY = 'health_at = "01:15"'
_BRIEF = 'history = "PT20M"\nsuspect = "PT5M"'
_SETTINGS = 'sample = 10\nrate = 1\nhealthy_for = "PT5M"'
_STORIES = (
    _Story("letters", _letters, warm=8, thin=False),
    _Story("few", _few, warm=8, consumer="lambda", thin=False),
    _Story("restart", _restart),
    _Story("blind", _blind, warm=1, thin=False),
    _Story("busy", _busy, more=_CAPACITY),
    _Story("limited", _limited, more=_CAPACITY),
    _Story("worked on", _worked_on, more=_MAINTENANCE),
)


# -- playing and recording -------------------------------------------------------------------------------------------


@cache
def nights() -> tuple[Night, ...]:
    """All of them, played once in a process. What the functions print is not for anybody here."""
    with redirect_stdout(StringIO()):
        logging.disable(logging.CRITICAL)
        try:
            releases = (_play_release("release under way", _under_way), _play_release("release complete", _complete))
            return (
                *(_play(story) for story in _STORIES),
                _play_api(),
                _play_silence(),
                _play_answers(),
                _play_triggers(),
                _play_pipeline(),
                _play_called(),
                _play_ordered(),
                _play_tuning(),
                _play_archive(),
                _play_backup(),
                _play_schedule(),
                _play_graphql(),
                _play_events(),
                _play_tables(),
                _play_scaling(),
                _play_concurrency(),
                _play_alias(),
                _play_ready(),
                *releases,
                _play_executions(),
                _play_databases(),
                _play_reports(),
                _play_digest(),
                _play_health(),
                _play_health_of_customers(),
                _play_upkeep(),
                _play_suspicions(),
            )
        finally:
            logging.disable(logging.NOTSET)


def _play(story: _Story) -> Night:
    with World(NIGHT) as world:
        system = DocumentManagement(world)
        toml = configuration(system, settings=_SETTINGS)
        if story.consumer == "lambda":
            function = world.arn("lambda", f"function:{FUNCTION}")
            toml = toml.replace(f'consumer = "{system.service_arn}"', f'consumer = "{function}"')
        if story.more:
            toml = toml.replace("\n[[systems]]", f"{story.more}\n[[systems]]", 1)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(story.warm)
                story.perform(stage)
            return recorded(story.key, stage, steps)


def _play_api() -> Night:
    """The night of a service behind a load balancer, which has an account of its own."""
    with World(NIGHT) as world:
        system = UsageMetrics(world)
        system.ecs_stops_replacing()
        world.run(timedelta(minutes=10))  # what a load balancer has never reported cannot be seen
        enabled = f'[remediations.{UNHEALTHY}]\nmode = "auto"\n\n[[systems]]'
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", enabled) + api_target(system)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(8)
                _bad_tasks(stage, system)
            return recorded("bad tasks", stage, steps, service=system.api)


def _play_triggers() -> Night:
    """
    A trigger that was processed and stays, and one that nobody was told of; the answer to its deletion is lost.

    Then two that go away right before something is done about them, once the trigger, once what the archive says.
    """
    with World(NIGHT) as world:
        system = TransientTrigger(world, customers=("hts",), key=_key(world, "of-the-bucket"))
        behind = "[remediations.s3-trigger-behind]\n"
        toml = trigger_configuration(system, settings=f"{FIELDS}idempotent = true", letters=behind)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system.lines["hts"], nightshift)
            with _noting() as steps:
                system.deletes_fail = True
                system.submit()
                world.faults.add(Kind.TIMEOUT_AFTER, "s3.DeleteObject", times=1)
                stage.until_settled()
                system.deletes_fail = False
                system.lose("hts")
                system.submit()
                stage.until(lambda: world.trail.of("sqs.SendMessage", function="nightshift-tick"))
                stage.until_settled()
                for prefix in ("customers/", "archive/"):
                    _vanishes(world, system, prefix)
                    system.lose("hts")
                    system.submit()
                    stage.until(partial(_missed, world, prefix))
                    stage.until_settled()
            return recorded("triggers", stage, steps, words={system.bucket: "BUCKET"})


def _vanishes(world: World, system: TransientTrigger, prefix: str) -> None:
    """What a write role reads next under a prefix is deleted a moment before, once."""
    there = [prefix]

    def remove(call: Call) -> None:
        if there and call.principal.role_arn is not None and call.params["Key"].startswith(prefix):
            there.clear()
            with patch.object(world.seam, "function", None):  # by somebody else
                system.remove(call.params["Key"])

    world.seam.before("s3", "GetObject", remove)


def _missed(world: World, prefix: str) -> bool:
    """Whether a write role has read what was not there."""
    gone = [each for each in world.trail.of("s3.GetObject") if each.error == "NoSuchKey"]
    return any(each.principal.role_arn is not None and each.params["Key"].startswith(prefix) for each in gone)


def _play_pipeline() -> Night:
    """Raw files that nobody was told of: more than are told of first."""
    with World(NIGHT, thin=True) as world:
        system, etl = DocumentManagement(world), Etl(world)
        with Deployment(world, pipeline_configuration(etl, others=False)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                etl.lose()
                etl.arrive(5)
                stage.until(lambda: nightshift.all)
                stage.until_settled()
            words = {
                etl.raw: "RAW",
                etl.curated: "CURATED",
                etl.queue.name: "SOURCE",
                etl.dlq.name: "DLQ",
                f"function:{etl.function}": "function:CONSUMER",
            }
            return recorded("pipeline", stage, steps, words=words)


def _play_called() -> Night:
    """The same of a pipeline whose function S3 calls itself; the answer to the first call of ours is lost."""
    with World(NIGHT, thin=True) as world:
        system, etl = DocumentManagement(world), DirectEtl(world)
        with Deployment(world, pipeline_configuration(etl, others=False)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                etl.lose()
                etl.arrive(5)
                world.faults.add(Kind.TIMEOUT_AFTER, "lambda.Invoke", times=1)
                stage.until(lambda: nightshift.all)
                stage.until_settled()
            words = {
                etl.raw: "RAW",
                etl.curated: "CURATED",
                etl.dlq.name: "DLQ",
                f"function:{etl.function}": "function:CONSUMER",
            }
            return recorded("pipeline without a queue", stage, steps, words=words)


def _play_ordered() -> Night:
    """Letters of a queue that keeps an order: a person says yes, and SQS moves them; the answer to the move is lost."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world, ordered=True)
        with Deployment(world, configuration(system, settings=_SETTINGS)) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(20)
            with _noting() as steps:
                stage.outage(16)
                stage.until(lambda: any(each.phase is Phase.AWAITING for each in nightshift.all))
                [question] = [each for each in nightshift.all if each.phase is Phase.AWAITING]
                world.faults.add(Kind.TIMEOUT_AFTER, "sqs.StartMessageMoveTask", times=1)
                nightshift.answer(question, yes=True, why="their order is kept")
                stage.until_settled()
            return recorded("letters with an order", stage, steps)


def _play_tuning() -> Night:
    """Work takes longer than a message stays hidden; and letters would be forgotten before their queue's messages."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world)
        system.report_work()
        for arn in (system.queue_arn, system.dlq_arn):
            system.tag(arn, "auto-raise", "enabled")
        toml = tuning_configuration(system, settings=f'processing_metric = "{WORK}"')
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                sqs = world.client("sqs")
                sqs.set_queue_attributes(QueueUrl=system.dlq_url, Attributes={"MessageRetentionPeriod": "86400"})
                system.slow_down(timedelta(seconds=65))
                stage.until(lambda: len(world.trail.of("sqs.SetQueueAttributes", function="nightshift-tick")) > 1)
                stage.minutes(20)
            return recorded("queue tuning", stage, steps)


def _play_archive() -> Night:
    """An object of the archive is deleted, and the answer to its copy is lost; later a change is lost for good."""
    with World(NIGHT, thin=True) as world:
        system = TransientTrigger(world, customers=("hts",), versioned=True, key=_key(world, "of-the-bucket"))
        system.tag(auto_restore="enabled")
        tables = f'[remediations.archive-object-lost]\nmode = "auto"\n[remediations.archive-broken]\n{FIELDS}'
        with Deployment(world, archive_configuration(system, f'{tables}late = "PT15M"\n')) as nightshift:
            nightshift.resume()
            stage = Stage(world, system.lines["hts"], nightshift)
            with _noting() as steps:
                change = system.submit()
                stage.minutes(5)
                system.remove(f"archive/{change}.json")
                world.faults.add(Kind.TIMEOUT_AFTER, "s3.CopyObject", times=1)
                stage.until(lambda: world.trail.of("s3.CopyObject"))
                stage.until_settled()
                system.lose("hts")
                change = system.submit()
                stage.minutes(1)
                system.remove(f"customers/hts/{change}.json")
                stage.until(lambda: world.trail.of("s3.GetBucketReplication"))
                stage.until_settled()
            return recorded("archive", stage, steps, words={system.bucket: "BUCKET"})


def _play_backup() -> Night:
    """An archive is backed up in parts; then it has fewer objects, which is told, and one comes back from there."""
    with World(NIGHT, thin=True) as world:
        system = TransientTrigger(world, customers=("hts",), versioned=True, key=_key(world, "of-the-bucket"))
        backups = Backups(system, key=_key(world, "of-the-backup"))
        system.tag(auto_restore="enabled")
        tables = '[remediations.archive-backup-due]\nmode = "auto"\nbatch = 2\nevery = "PT1H"\n'
        tables += '[remediations.archive-object-lost]\nmode = "auto"\n'
        toml = archive_configuration(system, tables).rstrip() + backup_table(backups)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system.lines["hts"], nightshift)
            with _noting() as steps:
                for number in range(5):
                    system.write(f"archive/CHG-{number}.json", {"modifications": [{"modificationType": "submitted"}]})
                world.faults.add(Kind.TIMEOUT_AFTER, "s3.CopyObject", times=1)
                stage.until(lambda: world.trail.of("s3.CopyObject"))
                stage.until_settled()
                for number in range(4):
                    system.write(f"archive/CHG-{number}.json", b"no list")
                    system.remove(f"archive/CHG-{number}.json")
                stage.minutes(70)
                stage.until_settled()
                for number in range(4):
                    system.write(f"archive/CHG-{number}.json", {"modifications": [{"modificationType": "submitted"}]})
                stage.minutes(70)
                stage.until_settled()
                system.write("archive/CHG-1.json", b"no list")
                system.forget("archive/CHG-1.json")
                stage.until(lambda: any(each.remediation == "archive-object-lost" for each in nightshift.all[-1:]))
                stage.until_settled()
            return recorded("backup", stage, steps, words={backups.bucket: "BACKUP", system.bucket: "BUCKET"})


def _play_schedule() -> Night:
    """A rule that an automation has disabled is enabled, the answer lost; hours that are missing are filled in."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world)
        ingestion = Ingestion(world)
        ingestion.tag("auto-enable", "enabled")
        enables = '[remediations.schedule-disabled]\nmode = "auto"\nautomations = ["pipeline"]\n'
        fills = '[remediations.hours-missing]\nmode = "auto"\n'
        with Deployment(world, schedule_configuration(ingestion, settings=(enables, fills))) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(30)
                ingestion.disable(by="pipeline")
                world.faults.add(Kind.TIMEOUT_AFTER, "events.EnableRule", times=1)
                stage.until(lambda: any(not each.open for each in nightshift.all))
                ingestion.lose(5, 4)
                stage.until(lambda: len(ingestion.asked) == 2)  # noqa: PLR2004 - both
                stage.minutes(10)
            names = {ingestion.bucket: "BUCKET", ingestion.rule: "RULE", ingestion.function: "FUNCTION"}
            return recorded("schedule", stage, steps, words=names)


def _play_graphql() -> Night:
    """A slow API is lent a cache, the answer lost; then a cache that none uses is told, and that nobody can sign in."""
    with World(NIGHT, thin=True) as world:
        system, api = DocumentManagement(world), GraphQl(world)
        pool = UserPool(world, api)
        slow = '[remediations.appsync-slow]\nmode = "auto"\nlease = "PT30M"\ncache_dollars_per_hour = 0.05\n'
        tables = (slow, "[remediations.sign-ins-failing]\n")
        toml = graphql_configuration(world, graphql_target(api), pool_target(pool), settings=tables)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(20)
                api.busy()
                stage.until(lambda: any(each.phase is Phase.AWAITING for each in nightshift.all))
                world.faults.add(Kind.TIMEOUT_AFTER, "appsync.CreateApiCache", times=1)
                nightshift.answer(nightshift.all[0], yes=True, why="it is public")
                stage.until(lambda: api.works)
                api.busy(250)
                stage.until(lambda: world.trail.of("appsync.DeleteApiCache"))
                stage.minutes(20)
                api.make_cache(apiCachingBehavior="PER_RESOLVER_CACHING")
                api.busy()
                stage.until(lambda: world.trail.of("appsync.ListResolvers"))
                stage.until_settled()
                api.busy(200)
                pool.client.failing = 1.0
                stage.until(lambda: world.trail.of("cognito-idp.DescribeUserPool"))
                stage.until_settled()
            return recorded("graphql", stage, steps, words={api.id: "API", pool.id: "POOL"})


_TABLES = ('lease = "PT20M"', 'cooldown = "PT1M"', "read_dollars_per_hour = 0.0002", "write_dollars_per_hour = 0.001")


def _play_tables() -> Night:
    """An index is raised itself; then it, and after it its table, have autoscaling at its maximum, both ways."""
    with World(NIGHT, thin=True) as world:
        system, tables = DocumentManagement(world), HotAggregates(world)
        with Deployment(world, table_configuration(tables, settings=_TABLES)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                tables.ask(write=30, index=BY_PLACE)
                stage.until(partial(_so_many, world, "dynamodb.UpdateTable", 2))
                stage.minutes(3)  # until it is as it was
                scaled = []
                for done, part in ((4, BY_PLACE), (8, "")):
                    scaled += [
                        tables.autoscale(way, 5, tables.most(way, part), index=part) for way in ("Read", "Write")
                    ]
                    tables.ask(read=1.2 * tables.most("Read", part), write=30, index=part)
                    stage.until(partial(_so_many, world, _SETS_LIMITS, done))
                    tables.ask(read=5, write=5, index=part)
                stage.minutes(2)
            words = {tables.name: "TARGET", BY_PLACE: "INDEX"}
            words |= {each.arn.rpartition("/")[2]: "SCALABLE" for each in scaled}
            limited = {f"{each.resource} {each.dimension}": each.arn for each in scaled}
            return recorded("tables", stage, steps, words=words, scalable=limited)


def _play_scaling() -> Night:
    """A table and its index are to be scaled; of each the last policy is refused, and all of it is taken back."""
    with World(NIGHT, thin=True) as world:
        system, tables = DocumentManagement(world), HotAggregates(world)
        tables.has_lacked(60, 20, way="Read")
        tables.has_lacked(60, 20, index=BY_PLACE)
        toml = table_configuration(tables, settings=_TABLES[2:], table="dynamodb-autoscaling-missing")
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                for arn in (tables.arn, tables.index_arn):
                    world.faults.add(Kind.DENIED, _FOLLOWS, skip=1, times=1, where=partial(_about, arn))
                stage.until(lambda: sum(each.phase is Phase.AWAITING for each in nightshift.all) > 1)
                for incident in nightshift.all:
                    nightshift.answer(incident, yes=True, why="it is needed")
                stage.until_settled()
        parts = {f"table/{tables.name}": "table", f"table/{tables.name}/index/{BY_PLACE}": "index"}
        dimensions = [
            f"{resource} dynamodb:{kind}:{way}CapacityUnits"
            for resource, kind in parts.items()
            for way in ("Read", "Write")
        ]
        gone = world.arn("application-autoscaling", "scalable-target/0dd5gone")
        words = {tables.name: "TARGET", BY_PLACE: "INDEX", "0dd5gone": "SCALABLE"}
        return recorded("scaling", stage, steps, words=words, scalable=dict.fromkeys(dimensions, gone))


def _about(arn: str, call: Call) -> bool:
    """Whether a call is about what autoscaling calls by the end of that ARN."""
    return str(call.params["ResourceId"]) == arn.rpartition(":")[2]


_FOLLOWS = "application-autoscaling.PutScalingPolicy"
_SETS_LIMITS = "application-autoscaling.RegisterScalableTarget"


def _so_many(world: World, name: str, count: int) -> bool:
    """Whether ticks have made so many such calls."""
    return len(world.trail.of(name, function="nightshift-tick")) >= count


def _play_events() -> Night:
    """A function's failed events, in a queue with a key; one of them is none that anybody could read."""
    with World(NIGHT) as world:
        system, etl = DocumentManagement(world), EtlFunction(world)
        key = world.client("kms").create_key()["KeyMetadata"]["KeyId"]
        world.client("sqs").set_queue_attributes(QueueUrl=etl.dlq_url, Attributes={"KmsMasterKeyId": key})
        enabled = f'[remediations.{EVENTS}]\nmode = "auto"\nsample = 10\nhealthy_for = "PT5M"\n\n[[systems]]'
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", enabled, 1) + etl_target(etl)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(8)
                etl.letters(6)
                etl.rubbish()
                stage.until_settled()
            words = {etl.dlq.name: "DLQ", f"function:{etl.name}": "function:FUNCTION"}
            return recorded("events", stage, steps, words=words)


def _play_concurrency() -> Night:
    """A function's reservation is used up, and the answer to what is lent is lost; later that is not the limit."""
    with World(NIGHT, thin=True) as world:
        system, functions = DocumentManagement(world), PulseFunctions(world)
        functions.has_a_past()
        tables = '[remediations.lambda-throttled]\nmode = "auto"\nlease = "PT30M"\n'
        with Deployment(world, functions_configuration(functions, tables=tables)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(5)
                functions.etl.asks = 390
                world.faults.add(Kind.TIMEOUT_AFTER, "lambda.PutFunctionConcurrency", times=1)
                stage.until(lambda: nightshift.all)
                stage.until_settled()
                functions.etl.asks, functions.etl.too_fast = 60, 30
                stage.until(lambda: world.trail.of("lambda.ListEventSourceMappings"))
                stage.until_settled()
            return recorded("concurrency", stage, steps, words={f"function:{functions.etl.name}": "function:FUNCTION"})


def _play_alias() -> Night:
    """An alias is pointed to a bad version, and the answer to what points it back is lost; later nobody names it."""
    with World(NIGHT, thin=True) as world:
        system, functions = DocumentManagement(world), AliasedFunctions(world)
        functions.api.tags["auto-rollback"] = "enabled"
        tables = '[remediations.lambda-alias-bad]\nmode = "auto"\nproven_after = "PT5M"\n'
        with Deployment(world, aliases_configuration(functions, tables=tables)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(20)
                functions.api.release()
                world.faults.add(Kind.TIMEOUT_AFTER, "lambda.UpdateAlias", times=1)
                stage.until(lambda: nightshift.all)
                stage.until_settled()
                functions.api.bare, functions.api.bare_failing = 600, 0.3
                functions.api.release("9")
                stage.until(lambda: world.trail.of("lambda.ListEventSourceMappings"))
                stage.until_settled()
            return recorded("alias", stage, steps, words={f"function:{functions.api.name}": "function:FUNCTION"})


def _play_ready() -> Night:
    """A function's calls wait for a start; the answer to what is kept ready is lost, and it is given up again."""
    with World(NIGHT, thin=True) as world:
        system, functions = DocumentManagement(world), ReadyInstances(world)
        functions.etl.reserved = None
        tables = '[remediations.lambda-cold-starts]\nmode = "auto"\nlease = "PT20M"\ngib_dollars_per_hour = 0.02\n'
        with Deployment(world, instances_configuration(functions, tables=tables)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                functions.steep()
                stage.until(lambda: any(each.phase is Phase.AWAITING for each in nightshift.all))
                world.faults.add(Kind.TIMEOUT_AFTER, "lambda.PutProvisionedConcurrencyConfig", times=1)
                nightshift.answer(nightshift.all[0], yes=True, why="it has to be quick tonight")
                stage.until(lambda: world.trail.of("lambda.DeleteProvisionedConcurrencyConfig"))
                functions.steep(0.0)
                stage.until_settled()
            return recorded("ready", stage, steps, words={f"function:{functions.etl.name}": "function:FUNCTION"})


def _play_answers() -> Night:
    """The night of an API that leaks and is restarted; and of which then one path fails and another is slow."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        system.requests(600)
        world.run(timedelta(minutes=10))
        enabled = "".join(f'[remediations.{name}]\nmode = "auto"\n{_BRIEF}\n' for name in (ERRORS, LATENCY))
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", f"{enabled}\n[[systems]]", 1)
        toml += api_target(system) + f'log_group = "{system.log_group}"\n'
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(10)
                system.api.settle(timedelta(minutes=50))
                system.leak_memory(50)
                stage.until(lambda: world.trail.of("ecs.UpdateService"))
                system.leak_memory(0)
                stage.until_settled()
                system.fail_path("/v1/export", 0.6)
                stage.until(lambda: world.trail.of("logs.GetQueryResults"))
                stage.until_settled()
                system.fail_path("/v1/export", 0.0)
                system.slow_path("/v1/export", 3.0)
                stage.until(lambda: len(world.trail.of("logs.StartQuery")) > 1)
                stage.until_settled()
            return recorded("answers", stage, steps, service=system.api)


def _play_silence() -> Night:
    """Nobody comes any more to a service that has a name and speaks TLS: all of the way is looked along."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        system.requests(200)
        system.has_a_past()
        system.serve_https()
        system.serve_by_name()
        world.run(timedelta(minutes=10))
        enabled = f'[remediations.{TRAFFIC}]\nmode = "observe"\n\n[[systems]]'
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", enabled, 1)
        toml += api_target(system) + api_name(system)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                system.requests(0)
                stage.until(lambda: world.mail)
            return recorded("silence", stage, steps, service=system.api)


def _under_way(on: Stage, system: UsageMetrics) -> None:
    """A release whose tasks crash is stopped, and the answer is lost."""
    on.world.faults.add(Kind.TIMEOUT_AFTER, "ecs.StopServiceDeployment", times=1)
    system.release(Behaviour.CRASHES, service=system.api)
    on.until_settled()


def _complete(on: Stage, system: UsageMetrics) -> None:
    """A release is complete before it shows that requests fail."""
    system.release(service=system.api)
    on.until(lambda: system.api.completed)
    system.fail_requests(0.4)
    on.until(lambda: on.world.trail.of("ecs.UpdateService", function="nightshift-tick"))
    system.fail_requests(0.0)
    on.until_settled()


def _play_release(key: str, perform: Callable[[Stage, UsageMetrics], None]) -> Night:
    """A bad release of an API, in an account of its own."""
    with World(NIGHT) as world:
        system = UsageMetrics(world)
        system.tag(system.api.arn, "auto-rollback", "enabled")
        system.requests(200)
        world.run(timedelta(minutes=40))
        with Deployment(world, release_configuration(system, others=True)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                perform(stage, system)
            return recorded(key, stage, steps, service=system.api)


def _play_executions() -> Night:
    """Executions that failed for a while, of which one cannot be redriven; the answer to a redrive is lost."""
    with World(NIGHT, thin=True) as world:
        system, processing = DocumentManagement(world), DocumentProcessing(world, "archive")
        machine = processing.machine
        enabled = f'[remediations.{EXECUTIONS}]\nmode = "auto"\nany_failed = true\nidempotent = ["{machine.name}"]\n\n'
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", f"{enabled}[[systems]]", 1)
        with Deployment(world, toml + processing_target(processing)) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                processing.outage(INDEX, 2, documents=3)
                processing.failed[0].lost = True
                processing.upload(2)
                world.faults.add(Kind.TIMEOUT_AFTER, "stepfunctions.RedriveExecution", times=1)
                stage.until(lambda: nightshift.of(EXECUTIONS))
                stage.until_settled()
            named = {f"execution:{machine.name}:{name}": "execution:MACHINE:EXECUTION" for name in machine.executions}
            return recorded("executions", stage, steps, words={**named, machine.name: "MACHINE"})


def _play_databases() -> Night:
    """A database is lent a higher maximum, and gives it back; search turns red, backups go, and one is asked for."""
    with World(NIGHT, thin=True) as world:
        system, database, search = DocumentManagement(world), AuroraDatabase(world), DocumentSearch(world)
        quick = f'acu_dollars_per_hour = {PRICE}\nlease = "PT40M"\ncalm = "PT20M"\n'
        enabled = (
            f'[remediations.{SATURATED}]\nmode = "auto"\n{quick}[remediations.{SEARCH}]\n[remediations.{BACKUPS}]\n'
            '[remediations.backup-on-demand]\nmode = "auto"\n\n'
        )
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", f"{enabled}[[systems]]", 1)
        toml += aurora_target(database, users=(system.service_arn,)) + search_target(search)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                world.faults.add(Kind.TIMEOUT_AFTER, "rds.ModifyDBCluster", times=1)
                database.offer(2.8)
                stage.until(lambda: nightshift.of(SATURATED))
                stage.until(lambda: nightshift.of(SATURATED)[0].verdict)
                database.offer(0.6)
                stage.until_settled()
                search.lose_nodes(2)
                database.shorten_backups(1)
                stage.until(lambda: nightshift.of(SEARCH) and nightshift.of(BACKUPS))
                stage.until_settled()
                world.faults.add(Kind.TIMEOUT_AFTER, "rds.CreateDBClusterSnapshot", times=1)
                nightshift.back_up(database.arn)
                stage.until_settled()
            [snapshot] = database.cluster.snapshots
            words = {
                snapshot: "nightshift-SNAPSHOT",
                f"cluster:{database.cluster.name}": "cluster:DATABASE",
                search.domain.name: "DOMAIN",
            }
            return recorded("databases", stage, steps, words=words)


def _play_reports() -> Night:
    """A night of what is only told: an alarm is raised, a function fails and is called less, a bucket refuses."""
    with World(NIGHT) as world:
        system, uploads = DocumentManagement(world), Uploads(world)
        wires = Wires(uploads)
        enabled = "[remediations.alarm-raised]\n[remediations.lambda-failing]\n[remediations.s3-access-denied]\n"
        enabled += "[remediations.event-source-broken]\n"
        enabled += "\n[storm]\ntargets = 9\nfloor = 9\n\n[[systems]]"
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", enabled)
        for arn in (uploads.alarm_arn(SIGN_INS), uploads.function_arn, uploads.bucket_arn):
            toml += f'[[systems.targets]]\narn = "{arn}"\n{wires.sources() if arn == uploads.function_arn else ""}'
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                uploads.failed_sign_ins = 9
                uploads.function.failing = 1.0
                uploads.bucket.key = "Disabled"
                wires.forbid("events.amazonaws.com")
                stage.until(lambda: len(world.mail) == 4)  # noqa: PLR2004 - one report each
            return recorded("reports", stage, steps, words={SIGN_INS: "ALARM", BUCKET: "BUCKET"})


def _play_digest() -> Night:
    """The last minutes of a Sunday: something ends, and is told of again in the week's digest."""
    with World(datetime(2026, 11, 22, 23, 40, tzinfo=UTC)) as world:
        system = DocumentManagement(world)
        asked = '[notify]\ndigests = ["weekly"]\nreports_at = "00:00"\n'
        toml = configuration(system, mode="observe", settings=_SETTINGS).replace("[notify]\n", asked)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(6)
                stage.outage(minutes=3, letters=3)
                stage.until(lambda: any(each.attributes["transition"] == "digest" for each in world.mail))
            return recorded("digest", stage, steps)


def _play_health() -> Night:
    """A morning on which people are told how everything is: of each kind of thing that AWS says the state of, one."""
    with World(NIGHT, thin=True) as world:
        system, functions, tables = UsageMetrics(world), PulseFunctions(world), HotAggregates(world)
        api, database, processing = GraphQl(world), AuroraDatabase(world), DocumentProcessing(world, "archive")
        told = ("lambda-throttled", "dynamodb-throttled", "appsync-slow", SATURATED, EXECUTIONS)
        enabled = "".join(f"[remediations.{name}]\n" for name in told)
        toml = configuration(system, mode="observe", settings=_SETTINGS).replace("[notify]", f"[notify]\n{_DAILY}")
        toml = toml.replace("[[systems]]", f"{enabled}\n[[systems]]", 1) + api_target(system, mode="observe")
        toml += functions_target(functions, mode="observe") + table_target(tables, mode="observe")
        toml += graphql_target(api, mode="observe", cache=None) + aurora_target(database, mode="observe")
        with Deployment(world, toml + processing_target(processing, mode="observe")) as nightshift:
            nightshift.incidents.note_reported("health", "2026-11-18", world.now)
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(8)
                stage.until(lambda: any(each.attributes["transition"] == "health" for each in world.mail))
            words = {
                functions.etl.name: "FUNCTION",
                tables.name: "TARGET",
                api.id: "API",
                f"cluster:{database.cluster.name}": "cluster:DATABASE",
                processing.machine.name: "MACHINE",
            }
            return recorded("health", stage, steps, words=words, service=system.api)


def _play_health_of_customers() -> Night:
    """The same of a bucket of triggers: what waits for each customer, what has died, and what its archive got."""
    with World(NIGHT, thin=True) as world:
        system = TransientTrigger(world, customers=("hts",))
        toml = trigger_configuration(system, mode="observe").replace("[notify]", f"[notify]\n{_DAILY}")
        with Deployment(world, toml) as nightshift:
            nightshift.incidents.note_reported("health", "2026-11-18", world.now)
            stage = Stage(world, system.lines["hts"], nightshift)
            with _noting() as steps:
                system.submit()
                stage.until(lambda: any(each.attributes["transition"] == "health" for each in world.mail))
            return recorded("health of customers", stage, steps, words={system.bucket: "BUCKET"})


def _play_upkeep() -> Night:
    """What people have forgotten is told; a rollback that failed is continued after a yes, and the answer is lost."""
    with World(NIGHT, thin=True) as world:
        system, kept = DocumentManagement(world), UpkeepSystem(world)
        told = ("secret-rotation-overdue", "certificate-expiring", "stack-stuck", "terraform-lock-held", "backup-stale")
        more = "\n[storm]\ntargets = 9\nfloor = 9\n"
        toml = upkeep_configuration(kept, *told, "stack-rollback-failed", "backup-on-demand", mode="auto", more=more)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                kept.neglect(kept.by_hand, 100)
                kept.certificate.valid, kept.certificate.ends = False, world.now + timedelta(days=29)
                kept.lock(STATES[0])
                kept.table.continuous, kept.bucket.copies = None, {}
                world.stacks.fail_rollback(kept.stack.name)
                stage.until(lambda: len(world.mail) == 7)  # noqa: PLR2004 - six reports and a question
                kept.stack.mended = True
                world.faults.add(Kind.TIMEOUT_AFTER, "cloudformation.ContinueUpdateRollback", times=1)
                [asked] = nightshift.of("stack-rollback-failed")
                nightshift.answer(asked, yes=True, why="the instance is back")
                stage.until_settled()
                nightshift.back_up(kept.table.arn)
                stage.until_settled()
            words = {
                **{each.arn.rpartition(":")[2]: "SECRET" for each in (kept.rotated, kept.by_hand)},
                **{each.arn.rpartition("/")[2]: "CERTIFICATE" for each in (kept.certificate, kept.imported)},
                kept.stack.arn.partition("stack/")[2]: "STACK",
                LOCKS: "TARGET",
                **dict.fromkeys(STATES, "STATE"),
                kept.table.arn.rpartition("/")[2]: "TARGET",
                kept.bucket.arn.rpartition(":")[2]: "BUCKET",
            }
            return recorded("upkeep", stage, steps, words=words)


def _play_suspicions() -> Night:
    """A page may no longer upload, and somebody lets strangers into a table: both are told."""
    with World(NIGHT, thin=True) as world:
        system, uploads, table = DocumentManagement(world), DocumentUploads(world), GuardedTable(world)
        enabled = f"[remediations.{UPLOADS}]\n[remediations.{SUSPICIOUS}]\n"
        enabled += uploads_settings(uploads) + table_settings(table)
        toml = configuration(system, settings=_SETTINGS).replace("[[systems]]", f"{enabled}[[systems]]", 1)
        toml += uploads_target(uploads) + guarded_target(table)
        world.run(timedelta(minutes=30))
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            stage = Stage(world, system, nightshift)
            with _noting() as steps:
                stage.minutes(2)
                uploads.rules = ()
                table.let_in("999999999999")
                stage.until(lambda: len(world.mail) == 2)  # noqa: PLR2004 - one report each
            words = {uploads.bucket: "BUCKET", table.name: "TARGET"}
            return recorded("suspicions", stage, steps, words=words)


@contextmanager
def _noting() -> Iterator[list[tuple[str, Step]]]:
    """Note every step that is carried out, with the incident that it is for, in the order of their sessions."""
    steps: list[tuple[str, Step]] = []
    carry_out = Acting._run  # noqa: SLF001 - the one place through which every step goes, undo included

    def noted(acting: Acting, *args: Any) -> Any:
        steps.append((args[2].id, args[3]))
        return carry_out(acting, *args)

    with patch.object(Acting, "_run", noted):
        yield steps


def recorded(
    key: str,
    on: Stage,
    steps: Iterable[tuple[str, Step]],
    *,
    service: Service | None = None,
    words: Mapping[str, str] | None = None,
    scalable: Mapping[str, str] | None = None,
) -> Night:
    """
    What a night has come to by now: to be asked before its world ends.

    ``service`` is what it was about, ``words`` what else has a name of its own in it, ``scalable`` what autoscaling
    scales besides services.
    """
    world, environment = on.world, on.nightshift.environment
    calls = tuple(event for event in world.trail if event.function is not None)
    queues = _queues(world)
    homes: dict[str, tuple[str, ...]] = {}
    for arn, attributes in queues.items():
        if "RedrivePolicy" in attributes:
            dlq = _dead_letter_queue(attributes["RedrivePolicy"])
            homes[dlq] = (*homes.get(dlq, ()), arn)
    account = Account(
        account=world.account,
        region=world.region,
        keys={
            arn: world.arn("kms", f"key/{attributes['KmsMasterKeyId'].rsplit('/', 1)[-1]}")
            for arn, attributes in queues.items()
            if "KmsMasterKeyId" in attributes
        }
        | {str(bucket): str(key) for target in on.nightshift.policy.targets for bucket, key in target.keyed},
        homes=homes,
        stacks={stack.name: stack.arn for stack in world.stacks.all.values()},
        roles=_roles(world),
        queries=world.insights.asked,
        scalable={each.resource: each.arn for each in world.autoscaling.all.values()} | dict(scalable or {}),
    )
    return Night(
        key=key,
        policy=on.nightshift.policy,
        calls=calls,
        account=account,
        steps=tuple(steps),
        words=_words(world, on.system, service or on.system.service, words or {}),
        names={
            "AWS::DynamoDB::Table": environment.table,
            "AWS::S3::Bucket": environment.quarantine,
            "AWS::SNS::Topic Reports": environment.topic_arn.rsplit(":", 1)[-1],
            "AWS::SQS::Queue Work": environment.queue_url.rsplit("/", 1)[-1],
        },
    )


def _queues(world: World) -> dict[str, dict[str, str]]:
    sqs = world.client("sqs")
    found = {}
    for url in sqs.list_queues().get("QueueUrls", ()):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        found[attributes["QueueArn"]] = attributes
    return found


def _roles(world: World) -> dict[str, tuple[str, ...]]:
    """The roles that each task definition names."""
    ecs = world.client("ecs")
    found = {}
    for arn in ecs.list_task_definitions()["taskDefinitionArns"]:
        described = ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
        found[arn] = tuple(described[name] for name in ("taskRoleArn", "executionRoleArn") if name in described)
    return found


def _dead_letter_queue(policy: str) -> str:

    return str(json.loads(policy)["deadLetterTargetArn"])


def _words(
    world: World, system: QueueService, service: Service, more: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    shape = system.shape
    found = {
        **more,
        **{each.arn.rpartition("/")[2]: "SCALABLE" for each in world.autoscaling.all.values()},
        shape.dead_letter_queue: "DLQ",
        shape.queue: "SOURCE",
        f"{shape.cluster}/{shape.service}": "CLUSTER/SERVICE",
        f"{shape.cluster}/{service.name}": "CLUSTER/SERVICE",
        **{f"{shape.cluster}/{task.id}": "CLUSTER/TASK" for task in service.tasks},
        shape.cluster: "CLUSTER",
        f"function:{FUNCTION}": "function:CONSUMER",
        **{f"log-group:{name}": "log-group:LOG" for name in world.insights.groups},
    }
    if isinstance(system, UsageMetrics) and system.zone:
        found[system.zone] = "ZONE"
    return tuple(sorted(found.items(), key=lambda item: -len(item[0])))
