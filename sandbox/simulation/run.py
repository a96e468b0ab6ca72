"""A story played to its end: the world, the systems, the real handlers, the nemesis, and what is left afterwards."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Any
from unittest.mock import patch

from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider
from botocore.retries.standard import ExponentialBackoff
from nightshift.config import parse_toml, to_json
from nightshift.engine import Engine
from nightshift.model import Incident, Phase, SwitchState
from nightshift.remediation import Remediation
from nightshift.remediations import REMEDIATIONS
from nightshift.stacks import ROLLBACK_FAILED
from nightshift.sweep import Sweep

from sandbox.clock import NeverHappened
from sandbox.deployment import Deployment
from sandbox.fakes.autoscaling import DIMENSION
from sandbox.fakes.stacks import Stack
from sandbox.fakes.tables import Tables
from sandbox.images import Behaviour
from sandbox.ledger import fingerprint
from sandbox.queues import setting
from sandbox.seam import Call
from sandbox.simulation.environments import Environments
from sandbox.simulation.hub import Hub
from sandbox.simulation.loan import Loans, QueueSlow
from sandbox.simulation.nemesis import Nemesis
from sandbox.simulation.story import SETTLE, START, UPKEEP, Scene, Story
from sandbox.systems.aliased_function import DENIED, IMPORT, AliasedFunction, AliasedFunctions, aliases_target
from sandbox.systems.aurora import BACKUPS as STALE
from sandbox.systems.aurora import NAME as SATURATED
from sandbox.systems.aurora import AuroraDatabase, aurora_target
from sandbox.systems.aurora import databases as aurora
from sandbox.systems.backups import Backups, backup_table
from sandbox.systems.document_management import INDEX, DocumentManagement
from sandbox.systems.document_processing import NAME as EXECUTIONS
from sandbox.systems.document_processing import DocumentProcessing, processing_target, state_machines
from sandbox.systems.document_uploads import NAME as UPLOADS
from sandbox.systems.document_uploads import DocumentUploads, uploads_settings, uploads_target
from sandbox.systems.ecs_system import OPT_IN
from sandbox.systems.etl import Etl, pipeline_target
from sandbox.systems.etl_direct import DirectEtl
from sandbox.systems.etl_function import EtlFunction, etl_target
from sandbox.systems.graphql import GraphQl, graphql_target
from sandbox.systems.guarded_table import NAME as SUSPICIOUS
from sandbox.systems.guarded_table import GuardedTable, guarded_target, table_settings
from sandbox.systems.hot_aggregates import HotAggregates, table_target
from sandbox.systems.ingestion import Ingestion, schedule_target
from sandbox.systems.pulse_functions import PulseFunctions, functions_target
from sandbox.systems.queue_service import QueueService
from sandbox.systems.ready_instances import ReadyInstances, instances_target
from sandbox.systems.search import NAME as SEARCH
from sandbox.systems.search import DocumentSearch, search_domains, search_target
from sandbox.systems.transient_trigger import TransientTrigger, bucket_target
from sandbox.systems.upkeep import STATES, Certificate, UpkeepSystem
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.systems.wires import secure
from sandbox.thin.client import half_the_backoff
from sandbox.world import World

__all__ = ["Human", "Played", "Stage", "play", "stuck_for"]

REGISTRY: tuple[type[Remediation], ...] = (*REMEDIATIONS, QueueSlow)
CAPACITY = "remediations.ecs-capacity-short"
"""the table of a configuration that looks at a service's capacity, and not at whether it hangs"""
MAINTENANCE = "remediations.ecs-maintenance"
_ONLY_SAVED = "object only saved"
BACKUP = "backup-on-demand"
"""the same where people have services stopped"""
RELEASE = "remediations.ecs-deployment-bad"
"""the same for releases"""
TRAFFIC = "alb-traffic-missing"
OF_APIS = ("ecs-targets-unhealthy", "ecs-latency-high", "ecs-errors-high", TRAFFIC)
TRIGGERS = "s3-trigger-stuck"
WIRES = "event-source-broken"
PIPELINE = "pipeline-backlog"
LATE = timedelta(minutes=5)
"""after which a raw file is late: twice its function's timeout is less"""
TUNING = "remediations.visibility-timeout-short"
"""the same for a queue's own settings, and for nothing else of it"""
DAY = 86_400
ARCHIVE = "archive-object-lost"
BACKUPS = "archive-backup-due"
DISABLED, HOURS = "schedule-disabled", "hours-missing"
EVENTS = "lambda-dlq-backlog"
GRAPHS = "appsync-slow"
TABLES, SCALING = "dynamodb-throttled", "dynamodb-autoscaling-missing"
ROLLBACKS = "stack-rollback-failed"
THROTTLED = "lambda-throttled"
ALIASES = "lambda-alias-bad"
COLD = "lambda-cold-starts"
_MENDED = "UPDATE_ROLLBACK_COMPLETE"
RESERVED = 10
"""what is reserved for a function, until somebody sets another value"""
SHORT = 80
"""per cent of CPU above which a service is short of it"""
TASKS = 2
"""how many tasks a service has, until somebody sets another number"""
MOST = 2.0
"""ACUs that a database may have, until somebody sets another maximum"""
LIMIT = timedelta(minutes=60)
"""after the time to settle: how long the last incident may take that was opened after the faults had ended"""


@dataclass(frozen=True, slots=True)
class Human:
    """Something a person did: to what, and until when it held (None: it was at once over)."""

    at_ms: int
    what: str
    subject: str
    until_ms: int | None = None
    value: int = 0


@dataclass(kw_only=True)
class Systems:
    """What Nightshift looks after in a story."""

    queues: list[QueueService]
    loans: Loans
    apis: list[UsageMetrics]
    buckets: list[TransientTrigger]
    backups: list[Backups]
    pipelines: list[Etl]
    machines: list[DocumentProcessing]
    schedules: list[Ingestion]
    graphs: list[GraphQl]
    databases: list[AuroraDatabase]
    searches: list[DocumentSearch]
    uploads: list[DocumentUploads]
    guarded: list[GuardedTable]
    functions: list[EtlFunction]
    stores: list[HotAggregates]
    stacks: list[Stack]
    lambdas: PulseFunctions | None
    aliased: AliasedFunctions | None
    ready: ReadyInstances | None
    upkeep: UpkeepSystem | None

    def whose(self, remediation: str) -> Sized:
        """Those that a remediation may look at."""
        found: dict[str, Sized] = {
            QueueSlow.name: self.loans.names,
            **dict.fromkeys(OF_APIS, self.apis),
            TRIGGERS: self.buckets,
            ARCHIVE: self.buckets,
            BACKUPS: self.backups,
            WIRES: self.buckets,
            PIPELINE: self.pipelines,
            EXECUTIONS: self.machines,
            DISABLED: self.schedules,
            HOURS: self.schedules,
            GRAPHS: self.graphs,
            SATURATED: self.databases,
            STALE: self.databases,
            BACKUP: self.databases,
            SEARCH: self.searches,
            UPLOADS: self.uploads,
            SUSPICIOUS: self.guarded,
            EVENTS: self.functions,
            TABLES: self.stores,
            SCALING: self.stores,
            ROLLBACKS: self.stacks,
            THROTTLED: self.lambdas.all if self.lambdas else (),
            ALIASES: self.aliased.all if self.aliased else (),
            COLD: self.ready.all if self.ready else (),
            **dict.fromkeys(UPKEEP, (self.upkeep,) if self.upkeep else ()),
        }
        return found.get(remediation, self.queues)


@dataclass(kw_only=True)
class Stage(Systems):
    """What a story is played on, and what people did there."""

    story: Story
    world: World
    hub: Hub
    nemesis: Nemesis
    nightshift: Deployment
    environments: Environments
    sent: Counter[str]  # what producers sent, by fingerprint
    humans: list[Human] = field(default_factory=list)
    switch: list[tuple[int, SwitchState]] = field(default_factory=list)
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)  # how often somebody said yes, by incident
    health: dict[str, list[tuple[int, bool]]] = field(default_factory=dict)  # by target: when, and whether it was well
    braking: list[tuple[int, bool]] = field(default_factory=list)
    braked: bool = False  # the storm brake, as the table has it

    @property
    def ms(self) -> int:
        """The present, in milliseconds."""
        return self.world.agenda.ms

    def note(self, what: str, subject: str, minutes: float | None = None, value: int = 0) -> None:
        """A person does something that may hold for a while."""
        until = None if minutes is None else self.ms + round(minutes * 60_000)
        self.humans.append(Human(self.ms, what, subject, until, value))


@dataclass(frozen=True)
class Played:
    """What came of a story."""

    story: Story
    stage: Stage
    incidents: tuple[Incident, ...]
    open_at_end: tuple[str, ...]
    holders: Mapping[str, str]
    quarantine: Mapping[str, bytes]

    @property
    def effects(self) -> list[Call]:
        """Writes under a role, and publications, that really happened."""
        return self.stage.nemesis.effects


@contextlib.contextmanager
def play(story: Story, *, thin: bool = True) -> Iterator[Played]:
    """Play a story to its end; the world is there to be looked at until the block is left."""
    with _stage(story, thin=thin) as stage:
        world = stage.world
        for scene in story.scenes:
            world.at(START + timedelta(seconds=scene.at), _begin(stage, scene))
        world.every(timedelta(minutes=1), lambda: _answer(stage))
        world.every(timedelta(seconds=20), lambda: _look(stage))
        _run(stage, story.quiet_at - START, after=max((scene.at for scene in story.scenes), default=0))
        _heal(stage)
        healed = world.now
        _run(stage, timedelta(seconds=story.settle))
        late = [each.id for each in stage.nightshift.all if each.open and each.opened_at < healed]
        if world.now - healed < timedelta(minutes=SETTLE):
            late = []  # nobody promised them to be closed so soon
        _come_to_rest(stage)
        yield Played(
            story,
            stage,
            incidents=tuple(stage.nightshift.all),
            open_at_end=tuple(late),
            holders=_holders(stage),
            quarantine=_quarantine(stage),
        )


def _run(stage: Stage, span: timedelta, *, after: int = 0) -> None:
    """Let a span pass. A brief story ends earlier: after its last scene, when it has had incidents and none is open."""
    if not stage.story.brief:
        stage.world.run(span)
        return
    end, scenes = stage.world.now + span, START + timedelta(seconds=after)
    while stage.world.now < end and not (stage.world.now > scenes and _over(stage)):
        stage.world.run(timedelta(minutes=1))


def _over(stage: Stage) -> bool:
    return not stage.nightshift.incidents.open_ids(limit=1) and bool(stage.nightshift.all)


def _holders(stage: Stage) -> dict[str, str]:
    """Which incident holds which target."""
    pages = stage.world.client("dynamodb").scan(TableName=stage.nightshift.environment.table)["Items"]
    leases = [item for item in pages if item["sk"]["S"] == "LEASE" and "holder" in item]
    return {item["pk"]["S"].removeprefix("TARGET#"): item["holder"]["S"] for item in leases}


def _quarantine(stage: Stage) -> dict[str, bytes]:
    """What was set apart, by key."""
    s3, bucket = stage.world.client("s3"), stage.nightshift.environment.quarantine
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
    bodies = {key: s3.get_object(Bucket=bucket, Key=key)["Body"] for key in keys}
    return {key: body if isinstance(body, bytes) else body.read() for key, body in bodies.items()}


# -- the stage -----------------------------------------------------------------------------------------------------


def _uploads(world: World) -> list[DocumentUploads]:
    """One bucket, to which people have uploaded for a while."""
    found = DocumentUploads(world)
    found.past(40)
    return [found]


@contextlib.contextmanager
def _stage(story: Story, *, thin: bool) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        stack.callback(gc.enable)
        gc.disable()  # speed only: nothing is to be found among what lives until the run is over
        world = stack.enter_context(World(START, seed=story.seed, thin=thin))
        stack.enter_context(_quietly())
        stack.enter_context(patch.object(ExponentialBackoff, "delay_amount", _delay))
        sent = _counted(world)
        queues = _systems(world, story)
        apis = [UsageMetrics(world, f"a{number}", tasks=TASKS) for number in range(story.apis)]
        wired = f"remediations.{WIRES}" in story.settings
        versioned = any(f"remediations.{name}" in story.settings for name in (ARCHIVE, BACKUPS))
        buckets = [_bucket(world, n, wired=wired, versioned=versioned) for n in range(story.triggers)]
        backups = _backups(story, buckets)
        pipelines = [_pipeline(world, story) for _ in range(story.pipelines)]
        account = state_machines(world)
        machines = [DocumentProcessing(world, f"x{number}", machines=account) for number in range(story.machines)]
        schedules = [_ingestion(world, number) for number in range(story.schedules)]
        graphs = [GraphQl(world, f"g{number}", takes=timedelta(minutes=2)) for number in range(story.graphs)]
        clusters, domains = aurora(world), search_domains(world)
        databases = [AuroraDatabase(world, f"d{n}", most=MOST, account=clusters) for n in range(story.databases)]
        searches = [DocumentSearch(world, f"s{n}", account=domains) for n in range(story.searches)]
        functions = [EtlFunction(world, f"f{n}", timeout=1, destination=bool(n % 2)) for n in range(story.functions)]
        upkeep = UpkeepSystem(world) if f"remediations.{UPKEEP[0]}" in story.settings else None
        tables = Tables(world) if story.stores else None
        stores = [HotAggregates(world, f"-s{number}", tables=tables) for number in range(story.stores)]
        stacks = [_stack(world, number) for number in range(story.stacks)]
        lambdas, ready = _functions(world, story)
        loans = Loans(world, story.loans)
        nemesis = Nemesis(world, story.seed, story.weather, only=story.only)
        hub = Hub(world, fate=nemesis.fate, skew_ms=nemesis.skew_ms)
        stack.callback(hub.close)
        stack.enter_context(patch.object(time, "sleep", hub.sleep))
        environments = Environments()
        systems = Systems(
            queues=queues,
            loans=loans,
            apis=apis,
            buckets=buckets,
            backups=backups,
            pipelines=pipelines,
            machines=machines,
            schedules=schedules,
            graphs=graphs,
            databases=databases,
            searches=searches,
            uploads=_uploads(world) if story.uploads else [],
            guarded=[GuardedTable(world)] if story.guarded else [],
            functions=functions,
            stores=stores,
            stacks=stacks,
            lambdas=lambdas,
            aliased=_called_by_alias(world, story.aliased),
            ready=ready,
            upkeep=upkeep,
        )
        toml = configuration(story, world, systems)
        nightshift = stack.enter_context(Deployment(world, toml, registry=REGISTRY, handlers=environments.handler))
        stage = Stage(
            **vars(systems),
            story=story,
            world=world,
            hub=hub,
            nemesis=nemesis,
            nightshift=nightshift,
            environments=environments,
            sent=sent,
        )
        loans.told = lambda name: _look_at_loan(stage, name)
        world.seam.after("dynamodb", "PutItem", lambda call, _answer: _brake(stage, call))
        stack.enter_context(_overheard(stage.errors))
        _switch(stage, SwitchState.ON)
        for system in queues:
            system.offer(1)
        for function in functions:
            function.per_minute = 1
        if lambdas is not None:
            lambdas.has_a_past()
        for api in apis:
            api.ecs_stops_replacing()
            api.requests(60)
            if f"remediations.{TRAFFIC}" in story.settings:
                api.has_a_past()
        yield stage


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """No log lines and no metrics: they are tested elsewhere, and cost as much as the rest."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            patch.dict(os.environ, {"POWERTOOLS_METRICS_DISABLED": "true", "POWERTOOLS_DEV": "false"}),
            patch.object(AmazonCloudWatchEMFProvider, "flush_metrics", _forget_metrics),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(before)


def _forget_metrics(provider: Any, **_: Any) -> None:
    provider.clear_metrics()


@contextlib.contextmanager
def _overheard(errors: list[tuple[str, BaseException]]) -> Iterator[None]:
    """Every error that a handler's edge or the sweep's bulkhead would swallow, with who raised it."""

    def listening(owner: type, name: str) -> Any:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                errors.append((f"{owner.__name__}.{name}", error))
                raise

        return patch.object(owner, name, call)

    def swallowed(message: str, **more: Any) -> None:
        error = sys.exc_info()[1]
        errors.append((f"{message} {more.get('extra')}", error or RuntimeError(message)))

    with (
        listening(Engine, "tick"),
        listening(Sweep, "__call__"),
        listening(Sweep, "wake"),
        patch("nightshift.sweep._LOG.exception", swallowed),
    ):
        yield


def _delay(backoff: Any, context: Any) -> float:
    return half_the_backoff(backoff._get_base_scale(context), context.attempt_number)  # noqa: SLF001 - the SDK's own scale


def _counted(world: World) -> Counter[str]:
    """What is put into queues by anybody but us."""
    sent: Counter[str] = Counter()
    put = world.queues.put

    def counting(queue: Any, body: str, *more: Any) -> Any:
        if not queue.name.endswith("-work"):
            sent[fingerprint(body)] += 1
        return put(queue, body, *more)

    vars(world.queues)["put"] = counting  # the one way in
    return sent


def _systems(world: World, story: Story) -> list[QueueService]:
    documents = [
        DocumentManagement(world, f"d{number}", tasks=TASKS, per_second=1.0, ordered=story.ordered)
        for number in range(story.documents)
    ]
    usage = [UsageMetrics(world, f"u{number}", tasks=TASKS, api=False) for number in range(story.usage)]
    return [*documents, *usage]


def _bucket(world: World, number: int, *, wired: bool, versioned: bool) -> TransientTrigger:
    """A bucket of triggers with two customers, whose consumers mail as often as they are told; and may tell them."""
    customers = (f"t{number}-one", f"t{number}-other")
    system = TransientTrigger(world, f"t{number}", customers=customers, versioned=versioned)
    system.idempotent = False
    if wired:
        secure(system)
    return system


def _stack(world: World, number: int) -> Stack:
    """A stack with a role of its own."""
    stack = world.stacks.add(f"Api{number}Stack", role=f"arn:aws:iam::{world.account}:role/deploys")
    stack.tags |= OPT_IN
    return stack


def _pipeline(world: World, story: Story) -> Etl:
    """One whose function adds rows as often as it is told."""
    return DirectEtl(world, idempotent=False) if story.called else Etl(world, idempotent=False)


def _backups(story: Story, buckets: list[TransientTrigger]) -> list[Backups]:
    """Where a story has any of them backed up, or something that only a backup has, of all."""
    wanted = f"remediations.{BACKUPS}" in story.settings or any(each.what == _ONLY_SAVED for each in story.scenes)
    return [Backups(each) for each in buckets] if wanted else []


def _ingestion(world: World, number: int) -> Ingestion:
    """An ingestion that runs every five minutes."""
    system = Ingestion(world, f"-i{number}", period=timedelta(minutes=5))
    system.trail.late = timedelta(minutes=1)
    return system


def configuration(story: Story, world: World, systems: Systems) -> str:
    """The deployment's TOML."""
    auto = 'mode = "auto"\n'
    tables = "\n".join(
        f"[{name}]\n{auto if name.startswith('remediations') else ''}{text}"
        for name, text in story.settings.items()
        if not name.startswith("remediations") or systems.whose(name.partition(".")[2])
    )
    place = f'name = "demo"\naccount = "{world.account}"\nregion = "{world.region}"\n'
    said = uploads_settings(*systems.uploads) + table_settings(*systems.guarded)
    parts = [f'{place}[notify]\nemails = ["oncall@example.com"]\n{tables}\n{said}']
    of_service = ["ecs-capacity-short" if CAPACITY in story.settings else "ecs-service-stalled"]
    if RELEASE in story.settings:
        of_service = ["ecs-deployment-bad"]
    if MAINTENANCE in story.settings:
        stalled = "remediations.ecs-service-stalled" in story.settings
        of_service = ["ecs-service-stalled", "ecs-maintenance"] if stalled else ["ecs-maintenance"]
    for number, system in enumerate(systems.queues):
        parts.append(f'[[systems]]\nname = "system-{number}"\n')
        if TUNING in story.settings:
            parts += [
                f'[[systems.targets]]\narn = "{arn}"\nmode = "{story.mode}"\nconsumer = "{system.service_arn}"\n{more}'
                for arn, more in ((system.queue_arn, ""), (system.dlq_arn, f'source = "{system.queue_arn}"\n'))
            ]
            continue
        parts.append(
            f'[[systems.targets]]\narn = "{system.dlq_arn}"\nmode = "{story.mode}"\nsource = "{system.queue_arn}"\n'
            f'consumer = "{system.service_arn}"\nremediations = ["sqs-dlq-backlog"]\n'
        )
        parts.append(
            f'[[systems.targets]]\narn = "{system.service_arn}"\nmode = "{story.mode}"\nqueue = "{system.queue_arn}"\n'
            f'remediations = {json.dumps(of_service)}\nroles = ["{system.execution_role}"]\n'
        )
    of_api = [name for name in OF_APIS if f"remediations.{name}" in story.settings]
    for number, api in enumerate(systems.apis):
        parts.append(
            f'[[systems]]\nname = "api-{number}"\n[[systems.targets]]\narn = "{api.api.arn}"\nmode = "{story.mode}"\n'
            f'load_balancer = "{api.target_group.load_balancer_arn}"\ntarget_group = "{api.target_group.arn}"\n'
            f'log_group = "{api.log_group}"\nremediations = {json.dumps(of_api)}\n'
        )
    parts += [
        f'[[systems]]\nname = "changes-{number}"\n{bucket_target(system, mode=story.mode)}\n'
        + (backup_table(systems.backups[number]) if systems.backups else "")
        for number, system in enumerate(systems.buckets)
    ]
    parts += [
        f'[[systems]]\nname = "pulse"\n{pipeline_target(system, mode=story.mode)}\n' for system in systems.pipelines
    ]
    parts += [
        f'[[systems]]\nname = "processing-{number}"\n{processing_target(system, mode=story.mode)}\n'
        for number, system in enumerate(systems.machines)
    ]
    parts += [
        f'[[systems]]\nname = "ingestion-{number}"\n{schedule_target(system, mode=story.mode)}\n'
        for number, system in enumerate(systems.schedules)
    ]
    scaled = [name for name in (TABLES, SCALING) if f"remediations.{name}" in story.settings]
    of_tables = f"remediations = {json.dumps(scaled)}\n"
    of_events = f"remediations = {json.dumps([EVENTS])}\n"  # and not of the one that stands in for all that lend
    parts += [
        f'[[systems]]\nname = "graph-{number}"\n{graphql_target(system, mode=story.mode)}\n'
        for number, system in enumerate(systems.graphs)
    ]
    parts += [
        f'[[systems]]\nname = "database-{number}"\n{aurora_target(system, mode=story.mode)}\n'
        for number, system in enumerate(systems.databases)
    ]
    parts += [
        f'[[systems]]\nname = "search-{number}"\n{search_target(system, mode=story.mode)}\n'
        for number, system in enumerate(systems.searches)
    ]
    parts += [f'[[systems]]\nname = "uploads"\n{uploads_target(each, mode=story.mode)}\n' for each in systems.uploads]
    parts += [f'[[systems]]\nname = "guarded"\n{guarded_target(each, mode=story.mode)}\n' for each in systems.guarded]
    parts += [
        f'[[systems]]\nname = "function-{number}"\n{etl_target(system, mode=story.mode, more=of_events)}\n'
        for number, system in enumerate(systems.functions)
    ]
    parts += [
        f'[[systems]]\nname = "table-{number}"\n{table_target(system, mode=story.mode, more=of_tables, index=False)}\n'
        for number, system in enumerate(systems.stores)
    ]
    parts += [
        f'[[systems]]\nname = "stack-{number}"\n[[systems.targets]]\narn = "{stack.arn}"\nmode = "{story.mode}"\n'
        for number, stack in enumerate(systems.stacks)
    ]
    if systems.upkeep is not None:
        parts += ['[[systems]]\nname = "kept-up"\n', *_kept_up(systems.upkeep, mode=story.mode)]
    parts += _of_functions(systems, mode=story.mode)
    loans = systems.loans
    if loans.names:
        parts.append('[[systems]]\nname = "slow"\n')
    parts += [
        f'[[systems.targets]]\narn = "{loans.arn(name)}"\nmode = "{story.mode}"\nremediations = ["queue-slow"]\n'
        for name in loans.names
    ]
    return "".join(parts)


def _of_functions(systems: Systems, *, mode: str) -> Iterator[str]:
    """What is called, by name or as an alias, as systems of a configuration."""
    lambdas, aliased, ready = systems.lambdas, systems.aliased, systems.ready
    if lambdas is not None:
        called = "".join(functions_target(lambdas, name, mode=mode) for name in lambdas.all)
        yield f'[[systems]]\nname = "pulse"\n{called}\n'
    if aliased is not None:
        called = "".join(aliases_target(aliased, name, mode=mode) for name in aliased.all)
        yield f'[[systems]]\nname = "api"\n{called}\n'
    if ready is not None:
        called = "".join(instances_target(ready, name, mode=mode) for name in ready.all)
        yield f'[[systems]]\nname = "ready"\n{called}\n'


def _kept_up(system: UpkeepSystem, *, mode: str) -> Iterator[str]:
    """What people keep up, as targets of a configuration."""
    more = {system.locks: f"terraform_locks = {json.dumps(STATES)}\n"}
    for remediation, arns in _cared_for(system).items():
        for arn in arns:
            yield (
                f'[[systems.targets]]\narn = "{arn}"\nmode = "{mode}"\n{more.get(arn, "")}'
                f"remediations = {json.dumps([remediation])}\n"
            )


def _cared_for(system: UpkeepSystem) -> dict[str, list[str]]:
    return {
        "certificate-expiring": [system.certificate.arn, system.imported.arn],
        "secret-rotation-overdue": [system.rotated.arn, system.by_hand.arn],
        "stack-stuck": [system.stack.arn],
        "terraform-lock-held": [system.locks],
        "backup-stale": [system.table.arn],
    }


# -- what happens ----------------------------------------------------------------------------------------------------


def _begin(stage: Stage, scene: Scene) -> Any:
    do = _SCENES[scene.what]
    return lambda: do(stage, scene)


def _later(stage: Stage, seconds: float, do: Any) -> None:
    stage.world.at(timedelta(seconds=seconds), do)


def _system(stage: Stage, scene: Scene) -> QueueService | None:
    return stage.queues[scene.which % len(stage.queues)] if stage.queues else None


def _outage(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is None:
        return
    span, letters, poison = scene.numbers
    dependency = system.shape.needs[0]
    system.break_dependency(dependency)
    system.send(letters)
    system.send_poison(poison)
    _later(stage, span, lambda: system.heal_dependency(dependency))


def _poison(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        system.send_poison(max(scene.numbers[1] % 5, 1))


def _wedge(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        system.wedge_consumer()
        system.send(scene.numbers[1])


def _bad_image(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is None:
        return
    kinds = (Behaviour.HANGS, Behaviour.CRASHES, Behaviour.FAILS)
    stage.note("deployment", system.service_arn)
    system.ship_bad_image(kinds[scene.numbers[1] % 3])
    system.send(scene.numbers[1])
    _later(stage, scene.numbers[0] * 2, lambda: _ship_good(stage, system))


def _ship_good(stage: Stage, system: QueueService) -> None:
    stage.note("deployment", system.service_arn)
    system.ship_good_image()


def _flap(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        url, body = system.dlq_url, next(system.producer.bodies)
        stage.world.queues.put(stage.world.queues.find(url), body)


def _letters(stage: Stage, scene: Scene) -> None:
    """
    Letters have died, as after an outage.

    So many good ones, that nobody can read, that look good and are not, and whose home SQS cannot tell.
    """
    system = _system(stage, scene)
    if system is None:
        return
    good, bad, failing, strange = scene.numbers
    kinds = (*("good",) * good, *("bad",) * bad, *("failing",) * failing, *("strange",) * strange)
    for kind in kinds:
        body = next(system.producer.bodies)
        text = {"bad": body[:-1], "failing": f'{body[:-1]},"error":"x"}}'}.get(kind, body)
        letter = stage.world.queues.put(system.dlq, text)
        if kind != "strange":
            stage.world.queues.dead_letter_sources[letter.id] = system.queue_arn


def _hang(stage: Stage, scene: Scene) -> None:
    """The service runs an image that hangs, since ever: its tasks do nothing, and new ones do nothing either."""
    system = _system(stage, scene)
    if system is not None:
        image, primary = system.push_image(Behaviour.HANGS), system.service.primary
        primary.images = {name: (uri, image) for name, (uri, _) in primary.images.items()}
        for task in system.service.tasks:
            task.image = image
        system.send(scene.numbers[1])


def _busy(stage: Stage, scene: Scene) -> None:
    """More comes in for a while than a service's tasks can easily carry."""
    system = _system(stage, scene)
    if system is not None:
        system.offer(scene.numbers[1])
        _later(stage, scene.numbers[0], lambda: system.offer(1))


def _autoscaled(stage: Stage, scene: Scene) -> None:
    """A service is scaled by its CPU, and is at its maximum."""
    system = _system(stage, scene)
    if system is None:
        return
    cpu = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
    client, resource = stage.world.client("application-autoscaling"), system.service_arn.rpartition(":")[2]
    name = {"ServiceNamespace": "ecs", "ResourceId": resource, "ScalableDimension": DIMENSION}
    client.register_scalable_target(**name, MinCapacity=TASKS, MaxCapacity=TASKS)
    client.put_scaling_policy(
        **name,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 70.0, **cpu},
    )


def _maintain(stage: Stage, scene: Scene) -> None:
    """Somebody has a service stopped; ``numbers``: for how many minutes, and after how many they end it (0: never)."""
    system = _system(stage, scene)
    if system is None:
        return
    lasts, after = scene.numbers
    incident = stage.nightshift.start_maintenance(system.service_arn, timedelta(minutes=lasts), "the simulation")
    if incident is not None:
        stage.answers[incident.id] += 1  # whoever asks has said yes
        if after:
            _later(stage, after * 60, lambda: stage.nightshift.end_maintenance(incident))


def _back_up(stage: Stage, scene: Scene) -> None:
    """Somebody has a database backed up."""
    system = stage.databases[scene.which % len(stage.databases)]
    incident = stage.nightshift.back_up(system.arn, "the simulation")
    if incident is not None:
        stage.answers[incident.id] += 1  # whoever asks has said yes


def _snapshot_fails(stage: Stage, scene: Scene) -> None:
    """What is being made of a database comes to nothing."""
    cluster = stage.databases[scene.which % len(stage.databases)].cluster
    cluster.spoiled |= set(cluster.snapshots)


def _scale(stage: Stage, scene: Scene) -> None:
    """A person sets another number of tasks."""
    system = _system(stage, scene)
    if system is not None:
        stage.note("scale", system.service_arn, value=scene.numbers[0])
        system.service.scale(scene.numbers[0])


def _release(stage: Stage, scene: Scene) -> None:
    """A release of its own, which hangs or crashes; ``numbers``: which, and whether anybody must be asked."""
    system = _system(stage, scene)
    if system is None:
        return
    crashes, free = scene.numbers
    if free:
        system.tag(system.service_arn, "auto-rollback", "enabled")
    stage.note("deployment", system.service_arn)
    system.release(Behaviour.CRASHES if crashes else Behaviour.HANGS)
    system.send(3)


def _bad_tasks(stage: Stage, scene: Scene) -> None:
    """So many tasks of an API fail their health checks (0: all); where it is for good, new ones do, too."""
    count, for_good = scene.numbers
    api = stage.apis[scene.which % len(stage.apis)]
    if for_good:
        api.break_checks()
    api.fail_checks(count or None)


def _leak(stage: Stage, scene: Scene) -> None:
    """The tasks of an API leak, so much an hour, from now on; later what they call is slow too, or it is not (0)."""
    percent, later = scene.numbers
    api = stage.apis[scene.which % len(stage.apis)]
    api.api.settle(timedelta(0))
    api.leak_memory(percent)
    if later:
        _later(stage, later, lambda: api.slow_dependency(4.0))


def _errors(stage: Stage, scene: Scene) -> None:
    """This percentage of an API's requests fails."""
    stage.apis[scene.which % len(stage.apis)].fail_requests(scene.numbers[0] / 100)


def _no_way_in(stage: Stage, scene: Scene) -> None:
    """Somebody deletes the listeners of an API's load balancer."""
    stage.apis[scene.which % len(stage.apis)].lose_listeners()


def _bucket_of(stage: Stage, scene: Scene) -> TransientTrigger:
    """Whose triggers a scene is about; what befalls them is over after a while, where the scene says so."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    if scene.numbers:
        _later(stage, scene.numbers[0], lambda: _heal_bucket(system))
    return system


def _heal_bucket(system: TransientTrigger) -> None:
    system.deletes_fail = system.archive_fails = system.forgives = False
    system.lose_no_more()


def _work_slows(stage: Stage, scene: Scene) -> None:
    """The work on a message takes about as long as that stays hidden; ``numbers``: whether anybody must be asked."""
    system = _system(stage, scene)
    if system is None:
        return
    if scene.numbers[0]:
        system.tag(system.queue_arn, "auto-raise", "enabled")
    system.report_work()
    system.slow_down(timedelta(seconds=65))
    system.offer(6)


def _work_slows_more(stage: Stage, scene: Scene) -> None:
    """The work takes far longer than before: what was enough is not any more."""
    system = _system(stage, scene)
    if system is not None:
        system.slow_down(timedelta(seconds=scene.numbers[0]))


def _letters_forgotten(stage: Stage, scene: Scene) -> None:
    """Somebody has a dead-letter queue keep its letters for a day; ``numbers``: whether anybody must be asked."""
    system = _system(stage, scene)
    if system is None:
        return
    if scene.numbers[0]:
        system.tag(system.dlq_arn, "auto-raise", "enabled")
    _set_attribute(stage, system.dlq_url, "MessageRetentionPeriod", DAY)


def _set_timeout(stage: Stage, scene: Scene) -> None:
    """A person sets a queue's visibility timeout."""
    system = _system(stage, scene)
    if system is not None:
        _set_attribute(stage, system.queue_url, "VisibilityTimeout", scene.numbers[0])


def _set_attribute(stage: Stage, url: str, name: str, value: int) -> None:
    stage.world.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={name: str(value)})


def _trigger_stays(stage: Stage, scene: Scene) -> None:
    """A change is processed for all its customers, and nobody can delete its triggers."""
    system = _bucket_of(stage, scene)
    system.deletes_fail = True
    system.submit()


def _trigger_lost(stage: Stage, scene: Scene) -> None:
    """A change is processed for one customer; the queue of the other is never told."""
    system = _bucket_of(stage, scene)
    system.lose(next(iter(system.lines)))
    system.submit()


def _trigger_forgotten(stage: Stage, scene: Scene) -> None:
    """A change's consumer, which mails once, cannot write the archive, and lets the message go."""
    system = _bucket_of(stage, scene)
    system.archive_fails = system.forgives = system.idempotent = True
    system.submit()


def _trigger_again(stage: Stage, scene: Scene) -> None:
    """Somebody submits a change once more whose trigger stands: it is another writing, and the customer's to get."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    if system.triggers:
        customer, _, name = system.triggers[0].partition("/")
        system.submit(customer, change=name.removesuffix(".json"))


def _trigger_removed(stage: Stage, scene: Scene) -> None:
    """Somebody deletes a trigger by hand."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    if system.triggers:
        system.remove(f"customers/{system.triggers[0]}")


def _protect_bucket(stage: Stage, scene: Scene) -> None:
    system = stage.buckets[scene.which % len(stage.buckets)]
    stage.note("protect", system.arn, scene.numbers[0] / 60)
    system.tag(protected="true")
    _later(stage, scene.numbers[0], system.tag)


def _queue_untold(stage: Stage, scene: Scene) -> None:
    """A bucket no longer tells the queue of its first customer."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    system.route(*list(system.lines)[1:])


def _files_lost(stage: Stage, scene: Scene) -> None:
    """So many raw files come in, and nobody is told of them."""
    [system] = stage.pipelines
    system.lose()
    system.arrive(scene.numbers[0])


def _files_arrive(stage: Stage, scene: Scene) -> None:
    """So many raw files come in, and are processed."""
    [system] = stage.pipelines
    system.arrive(scene.numbers[0])


def _files_forgotten(stage: Stage, scene: Scene) -> None:
    """The same, and their function finishes whatever it is told, and makes nothing of it."""
    [system] = stage.pipelines
    system.forgets = True
    _files_lost(stage, scene)


def _executions_fail(stage: Stage, scene: Scene) -> None:
    """So many documents fail while the index is down, for so many seconds; some more are corrupt."""
    system = stage.machines[scene.which % len(stage.machines)]
    count, corrupt, seconds = scene.numbers
    system.down(INDEX)
    system.upload(count)
    system.upload(corrupt, corrupt=True)
    _later(stage, seconds, lambda: system.up(INDEX))


def _definition(stage: Stage, scene: Scene) -> None:
    """Somebody changes the definition of a state machine."""
    stage.machines[scene.which % len(stage.machines)].release("r2")


def _redrive_executions(stage: Stage, scene: Scene) -> None:
    """Somebody redrives by hand all that has failed."""
    system = stage.machines[scene.which % len(stage.machines)]
    for each in system.failed:
        system.machines.redrive(system.machine, each)


def _database_busy(stage: Stage, scene: Scene) -> None:
    """Load that needs so many tenths of an ACU comes to a database, for so many seconds."""
    system = stage.databases[scene.which % len(stage.databases)]
    tenths, seconds = scene.numbers
    system.offer(tenths / 10)
    _later(stage, seconds, lambda: system.offer(0.6))


def _database_scaled(stage: Stage, scene: Scene) -> None:
    """A person sets another maximum of a database, in tenths of an ACU."""
    system = stage.databases[scene.which % len(stage.databases)]
    stage.note("scale", system.arn, value=scene.numbers[0])
    system.scale_by_hand(scene.numbers[0] / 10)


def _database_waits(stage: Stage, scene: Scene) -> None:
    """Somebody has left a change of a database for its maintenance window."""
    stage.databases[scene.which % len(stage.databases)].leave_for_the_window()


def _backups_shortened(stage: Stage, scene: Scene) -> None:
    """Somebody has a database's automated backups kept for so many days."""
    stage.databases[scene.which % len(stage.databases)].shorten_backups(scene.numbers[0])


def _uploads_barred(stage: Stage, scene: Scene) -> None:
    """Somebody sets the CORS rules of a bucket for another page."""
    stage.uploads[scene.which % len(stage.uploads)].rules = ()


def _table_opened(stage: Stage, scene: Scene) -> None:
    """Somebody takes a table's protection away, and lets another account in."""
    table = stage.guarded[scene.which % len(stage.guarded)]
    table.unprotect()
    table.let_in("999999999999")


def _search_red(stage: Stage, scene: Scene) -> None:
    """So many nodes of a domain of OpenSearch fail."""
    stage.searches[scene.which % len(stage.searches)].lose_nodes(scene.numbers[0])


def _object_deleted(stage: Stage, scene: Scene) -> None:
    """
    So many changes are processed, and a minute later somebody deletes them from the archive.

    Whether the bucket says that nobody needs to be asked, and whether they are deleted whenever they are put back.
    """
    system = stage.buckets[scene.which % len(stage.buckets)]
    many, free, again = scene.numbers
    if free:
        system.tag(auto_restore="enabled")
    keys = [f"archive/{system.submit()}.json" for _ in range(many)]
    for key in keys:
        _later(stage, 60, partial(system.remove, key))
    if again:
        stage.world.seam.after(
            "s3", "CopyObject", lambda call, _: _later(stage, 5, partial(system.remove, call.params["Key"]))
        )


def _object_broken(stage: Stage, scene: Scene) -> None:
    """A change is processed, and a minute later somebody writes over it what nobody can read."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    system.tag(auto_restore="enabled")
    key = f"archive/{system.submit()}.json"
    _later(stage, 60, partial(system.write, key, b'{"modif'))


def _object_only_saved(stage: Stage, scene: Scene) -> None:
    """
    A change is processed and backed up (or not); then somebody writes over it, and a rule deletes what stood before.

    ``numbers``: whether the backup has it.
    """
    system = stage.buckets[scene.which % len(stage.buckets)]
    system.tag(auto_restore="enabled")
    change = system.submit()
    key = f"archive/{change}.json"
    if scene.numbers[0]:
        _later(stage, 60, lambda: stage.backups[scene.which].save(change))
    _later(stage, 70, partial(_worn_out, system, key))


def _worn_out(system: TransientTrigger, key: str) -> None:
    """Nobody can read what stands under a key, and nothing is left of what stood there before."""
    system.write(key, b'{"modif')
    system.forget(key)


def _archived(stage: Stage, scene: Scene) -> None:
    """So many changes stand in the archive that did not before, and so many of those that did do no more."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    more, fewer = scene.numbers
    for number in range(more):
        system.write(f"archive/OLD-{number:03d}.json", {"modifications": []})
    for number in range(fewer):
        system.remove(f"archive/OLD-{number:03d}.json")


def _archive_written(stage: Stage, scene: Scene) -> None:
    """Whenever an object was listed to be copied, somebody writes it anew, so many times in all."""
    system = stage.buckets[scene.which % len(stage.buckets)]
    left = list(range(scene.numbers[0]))

    def write(call: Call, _answer: Any) -> None:
        if call.principal.role_arn and left:
            system.write("archive/OLD-001.json", {"modifications": [], "number": left.pop()})

    stage.world.seam.after("s3", "ListObjectsV2", write)


def _rule_disabled(stage: Stage, scene: Scene) -> None:
    """A person disables the rule that starts an ingestion."""
    stage.schedules[scene.which % len(stage.schedules)].disable()


def _api_busy(stage: Stage, scene: Scene) -> None:
    """
    An API is asked for twice what its table carries.

    ``numbers``: per cent of that which is asked again and again, whether AWS can make a cache, for how many seconds the
    table turns away what is too much (it is then given more), and for how long all of this lasts, where it ends.
    """
    repeats, cannot, throttled, *seconds = scene.numbers
    system = stage.graphs[scene.which % len(stage.graphs)]
    system.repeats, system.cannot = repeats / 100, bool(cannot)
    system.throttles = "table" if throttled else ""
    system.busy()
    for each in seconds:
        _later(stage, each, partial(system.busy, 200))
    if throttled:
        _later(stage, throttled, partial(setattr, system, "carries", 1000))


def _cache_changed(stage: Stage, scene: Scene) -> None:
    """A person changes an API's cache, if it has one that works: it is theirs from then on."""
    system = stage.graphs[scene.which % len(stage.graphs)]
    if system.cache is not None and system.cache.status == "AVAILABLE":
        stage.note("cache", system.arn)
        system.change_cache(ttl=60)


def _hours_lost(stage: Stage, scene: Scene) -> None:
    """Of so many hours, three hours ago, there is nothing; ``numbers``: how many, and how many can never be fetched."""
    count, never = scene.numbers
    system = stage.schedules[scene.which % len(stage.schedules)]
    lost = system.lose(*range(3, 3 + count))
    system.never |= set(lost[:never])


def _rollback_fails(stage: Stage, scene: Scene) -> None:
    """
    An update of a stack cannot be rolled back; ``numbers``: whether what failed is mended, and whether it has a role.

    It is mended at once: who says yes does so because of that.
    """
    mended, role = scene.numbers
    stack = stage.stacks[scene.which % len(stage.stacks)]
    stage.world.stacks.fail_rollback(stack.name)
    stack.mended = bool(mended)
    stack.role = stack.role if role else ""


def _failed_events(stage: Stage, scene: Scene) -> None:
    """
    A function has failed at events for good, as after an outage.

    So many good ones, that nobody can read, and that it fails at each time; where it is closed, their queue takes none
    of those that fail again.
    """
    good, bad, failing, closed = scene.numbers
    system = stage.functions[scene.which % len(stage.functions)]
    system.letters(good)
    system.rubbish(bad)
    system.fails_at.add("failing")
    system.letters(failing, kind="failing")
    system.queue_closed = bool(closed)


def _store(stage: Stage, scene: Scene) -> HotAggregates:
    return stage.stores[scene.which % len(stage.stores)]


def _table_busy(stage: Stage, scene: Scene) -> None:
    """For a while a table is asked for so many writes a second; ``numbers``: for how long, and how many."""
    system = _store(stage, scene)
    system.ask(write=scene.numbers[1])
    _later(stage, scene.numbers[0], lambda: system.ask(write=5))


def _table_lacked(stage: Stage, scene: Scene) -> None:
    """A table has lacked writes on two days of this week."""
    _store(stage, scene).has_lacked(60, 20)


def _table_scaled(stage: Stage, scene: Scene) -> None:
    """A table's writes are scaled by their use, and at their maximum."""
    system = _store(stage, scene)
    system.autoscale("Write", system.most("Write"), system.most("Write"))


def _set_capacity(stage: Stage, scene: Scene) -> None:
    """A person sets another number of writes, if the table is not being changed."""
    system = _store(stage, scene)
    if system.table.status == "ACTIVE" and system.most("Write") != scene.numbers[0]:
        stage.note("set capacity", system.arn, value=scene.numbers[0])
        system.set_by_hand(system.most("Read"), scene.numbers[0])


def _table_lowered(stage: Stage, scene: Scene) -> None:
    """A table's capacity was lowered so often that AWS takes no other decrease for a while."""
    _store(stage, scene).lowered(4, since=stage.world.now - timedelta(minutes=scene.numbers[0]))


def _calls_come_in(stage: Stage, scene: Scene) -> None:
    """More calls of a function are asked for than are reserved for it; ``numbers``: how many a minute, for how long."""
    if stage.lambdas is not None:
        asks, *seconds = scene.numbers
        function = list(stage.lambdas.all.values())[scene.which]
        function.asks = asks
        for each in seconds:
            _later(stage, each, partial(setattr, function, "asks", 60))


def _called_by_alias(world: World, count: int) -> AliasedFunctions | None:
    found = AliasedFunctions(world, *(f"api-{number}" for number in range(count))) if count else None
    if found is not None:
        found.has_a_past()
    return found


def _version_is_bad(stage: Stage, scene: Scene) -> None:
    """
    A version that fails is published, and the alias pointed to it.

    ``numbers``: whether what it needs refuses it, and whether the function is tagged to be rolled back.
    """
    denied, free = scene.numbers
    for function in _aliased(stage, scene):
        if free:
            function.tags["auto-rollback"] = "enabled"
        stage.note("move alias", stage.aliased.arn(function.name) if stage.aliased else "")
        function.release(says=DENIED if denied else IMPORT)


def _alias_is_moved(stage: Stage, scene: Scene) -> None:
    """A person points an alias to another version, which works or does not: ``numbers`` says whether."""
    for function in _aliased(stage, scene):
        stage.note("move alias", stage.aliased.arn(function.name) if stage.aliased else "")
        function.release("9", failing=0.0 if scene.numbers[0] else 0.3)


def _way_back_is_bad(stage: Stage, scene: Scene) -> None:
    """What an alias had pointed to before fails, too, from now on."""
    for function in _aliased(stage, scene):
        function.versions["7"].failing = 0.3


def _aliased(stage: Stage, scene: Scene) -> list[AliasedFunction]:
    return [] if stage.aliased is None else [list(stage.aliased.all.values())[scene.which]]


def _account_is_small(stage: Stage, scene: Scene) -> None:
    """The account may run no more at once than this."""
    if stage.lambdas is not None:
        stage.lambdas.limit = scene.numbers[0]


def _reserve(stage: Stage, scene: Scene) -> None:
    """A person reserves another number for a function; 0 stops it."""
    if stage.lambdas is not None:
        function = list(stage.lambdas.all.values())[scene.which]
        stage.note("reserve", stage.lambdas.arn(function.name), value=scene.numbers[0])
        function.reserved = scene.numbers[0]


def _functions(world: World, story: Story) -> tuple[PulseFunctions | None, ReadyInstances | None]:
    """Functions that share an account: those that are called by name, or those that are called as an alias."""
    names = [f"pulse-{number}" for number in range(story.lambdas)]
    ready = [f"ready-{number}" for number in range(story.ready)]
    return PulseFunctions(world, *names) if names else None, ReadyInstances(world, *ready) if ready else None


def _starts_cold(stage: Stage, scene: Scene) -> None:
    """Calls wait for a start; ``numbers``: per cent of them, whether AWS can start any, and how many run at once."""
    if stage.ready is not None:
        percent, cannot, at_once = scene.numbers
        name = list(stage.ready.all)[scene.which]
        stage.ready.all[name].asks = at_once * 30  # of two seconds each
        stage.ready.instances[name].cannot = bool(cannot)
        stage.ready.steep(percent / 100, name)


def _keep_by_hand(stage: Stage, scene: Scene) -> None:
    """A person has so many kept ready; 0: none any more."""
    if stage.ready is not None:
        name, number = list(stage.ready.all)[scene.which], scene.numbers[0]
        stage.note("keep", stage.ready.arn(name), value=number)
        if number:
            stage.ready.set_kept(number, name=name)
        else:
            stage.ready.instances[name].kept.clear()


def _kept_by_autoscaling(stage: Stage, scene: Scene) -> None:
    """A person has autoscaling set how many are kept ready: it begins with as many as there are."""
    if stage.ready is not None:
        name = list(stage.ready.all)[scene.which]
        stage.note("keep", stage.ready.arn(name), value=stage.ready.kept(name) or 0)
        stage.ready.instances[name].scaled = True


def _is_neglected(stage: Stage, arn: str) -> bool:
    now = stage.ms
    return any(each.what == "neglect" and each.subject == arn and (each.until_ms or 0) > now for each in stage.humans)


def _neglected(stage: Stage, scene: Scene, arn: str, cause: Callable[[], object], mend: Callable[[], object]) -> None:
    """Something that people keep up is in a bad way for so many seconds; then somebody mends it."""
    if _is_neglected(stage, arn):
        return
    cause()
    stage.note("neglect", arn, scene.numbers[0] / 60)
    _later(stage, scene.numbers[0], mend)


def _kept(stage: Stage) -> UpkeepSystem:
    if stage.upkeep is None:
        msg = "the story has nothing that people keep up"
        raise LookupError(msg)
    return stage.upkeep


def _certificate_ends(stage: Stage, scene: Scene) -> None:
    """A certificate ends in three weeks, and nobody can renew it."""
    each = (_kept(stage).certificate, _kept(stage).imported)[scene.which]
    _neglected(stage, scene, each.arn, lambda: _lasts(stage, each, 21, valid=False), lambda: _lasts(stage, each, 300))


def _lasts(stage: Stage, each: Certificate, days: int, *, valid: bool = True) -> None:
    each.valid, each.ends, each.renewal = valid, stage.world.now + timedelta(days=days), ""


def _secret_forgotten(stage: Stage, scene: Scene) -> None:
    """Nobody has given a secret another value for over a year."""
    system = _kept(stage)
    secret = system.by_hand
    _neglected(stage, scene, secret.arn, lambda: system.neglect(secret, 400), lambda: system.rotate(secret))


def _stack_stuck(stage: Stage, scene: Scene) -> None:
    """A stack takes no update any more."""
    stack = _kept(stage).stack
    cause, mend = (partial(stage.world.stacks.set_status, stack.name, each) for each in (ROLLBACK_FAILED, _MENDED))
    _neglected(stage, scene, stack.arn, cause, mend)


def _state_locked(stage: Stage, scene: Scene) -> None:
    """Somebody locks a state of Terraform's and goes."""
    system, state = _kept(stage), STATES[scene.which]
    _neglected(stage, scene, system.locks, partial(system.lock, state), partial(system.unlock, state))


def _backups_stop(stage: Stage, scene: Scene) -> None:
    """A table is not backed up any more."""
    table = _kept(stage).table
    cause, mend = (partial(setattr, table, "stopped", each) for each in (stage.world.now, None))
    _neglected(stage, scene, table.arn, cause, mend)


def _slow(stage: Stage, scene: Scene, *, curable: bool = True) -> None:
    name = stage.loans.names[scene.which]
    stage.loans.slow(name, curable=curable)
    _later(stage, scene.numbers[0], lambda: stage.loans.heal(name))


def _deployment(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        stage.note("deployment", system.service_arn)
        system.start_deployment()


def _stack_update(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        for arn in (system.dlq_arn, system.service_arn):
            stage.note("stack update", arn, scene.numbers[0] / 60)
        system.start_stack_update()
        _later(stage, scene.numbers[0], system.finish_stack_update)


def _protect(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        for arn in (system.dlq_arn, system.service_arn):
            stage.note("protect", arn, scene.numbers[0] / 60)
            system.protect(arn)
            _later(stage, scene.numbers[0], _untag(system, arn, "protected"))


def _opt_out(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        for arn in (system.dlq_arn, system.service_arn):
            stage.note("opt out", arn, scene.numbers[0] / 60)
            system.opt_out(arn)
            _later(stage, scene.numbers[0], _tag(system, arn))


def _untag(system: QueueService, arn: str, key: str) -> Any:
    return lambda: system.untag(arn, key)


def _tag(system: QueueService, arn: str) -> Any:
    return lambda: system.tag(arn, "auto-remediation", "enabled")


def _stop_service(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        stage.note("stop", system.service_arn, scene.numbers[0] / 60)
        system.stop_service()
        _later(stage, scene.numbers[0], lambda: _start(stage, system))


def _start(stage: Stage, system: QueueService) -> None:
    stage.note("scale", system.service_arn, value=TASKS)
    system.start_service()


def _redrive(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        with contextlib.suppress(Exception):  # a move is under way already: the person gives up
            stage.world.client("sqs").start_message_move_task(SourceArn=system.dlq_arn)


def _set_visibility(stage: Stage, scene: Scene) -> None:
    name = stage.loans.names[scene.which % len(stage.loans.names)]
    stage.note("set visibility", stage.loans.arn(name), value=45)
    stage.loans.change(name, 45)


def _restart(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        stage.note("deployment", system.service_arn)
        system.service.deploy()


def _switch(stage: Stage, state: SwitchState) -> None:
    stage.nightshift.set_switch(state, "the simulation says so")
    stage.switch.append((stage.ms, state))


def _pause(stage: Stage, scene: Scene, *, state: SwitchState = SwitchState.PAUSED) -> None:
    _switch(stage, state)
    _later(stage, scene.numbers[0], lambda: _switch(stage, SwitchState.ON))


def _ambush(stage: Stage, scene: Scene, *, state: SwitchState = SwitchState.PAUSED) -> None:
    """Somebody stops Nightshift just when it has made its n-th write from now."""
    writes = scene.numbers[0] // 60
    stage.nemesis.ambushes.append((writes, lambda: _pause(stage, scene, state=state)))


def _ambush_visibility(stage: Stage, scene: Scene) -> None:
    """Somebody changes what was lent, just after it was."""
    stage.nemesis.ambushes.append((1 + scene.numbers[0] % 3, lambda: _set_visibility(stage, scene)))


def _all_at_once(stage: Stage, scene: Scene) -> None:
    """One cause, and everything falls sick."""
    for number in range(len(stage.queues)):
        _outage(stage, replace(scene, which=number))
    for number in range(len(stage.loans.names)):
        _slow(stage, replace(scene, which=number))


def _redeploy(stage: Stage, scene: Scene) -> None:
    """The same configuration, new code: everybody starts afresh."""
    stage.environments.forget()


def _observe(stage: Stage, scene: Scene) -> None:
    """A configuration is deployed that only observes, and later the old one again; one at a time."""
    if any(each.what == "observe" and (each.until_ms or 0) > stage.ms for each in stage.humans):
        return
    old = stage.nightshift.policy
    watching = replace(stage.story, mode="observe")
    toml = configuration(watching, stage.world, stage)
    new = parse_toml(toml, path="sandbox.toml", registry=REGISTRY)
    for target in old.targets:
        stage.note("observe", str(target.arn), scene.numbers[0] / 60)
    _configure(stage, to_json(new))
    _later(stage, scene.numbers[0], lambda: _configure(stage, to_json(old)))


def _configure(stage: Stage, config: str) -> None:
    stage.nightshift.config.write_text(config, encoding="utf-8")
    stage.environments.forget()


# -- events, true and forged ---------------------------------------------------------------------------------------


def _alarm(stage: Stage, name: str, dimensions: dict[str, str], *, account: str = "") -> None:
    world = stage.world
    account = account or world.account
    stage.world.lambdas.deliver(
        {
            "version": "0",
            "id": "11111111-2222-3333-4444-555555555555",
            "detail-type": "CloudWatch Alarm State Change",
            "source": "aws.cloudwatch",
            "account": account,
            "time": f"{world.now:%Y-%m-%dT%H:%M:%SZ}",
            "region": world.region,
            "resources": [f"arn:aws:cloudwatch:{world.region}:{account}:alarm:{name}"],
            "detail": {
                "alarmName": name,
                "state": {"value": "ALARM", "timestamp": f"{world.now:%Y-%m-%dT%H:%M:%S.000+0000}", "reason": "x"},
                "previousState": {"value": "OK"},
                "configuration": {
                    "metrics": [
                        {
                            "id": "m1",
                            "metricStat": {
                                "metric": {"namespace": "AWS/SQS", "name": "x", "dimensions": dimensions},
                                "period": 60,
                                "stat": "Maximum",
                            },
                            "returnData": True,
                        }
                    ]
                },
            },
        }
    )


def _true_alarm(stage: Stage, scene: Scene) -> None:
    system = _system(stage, scene)
    if system is not None:
        _alarm(stage, "letters", {"QueueName": system.shape.dead_letter_queue})


def _forged_alarm(stage: Stage, scene: Scene) -> None:
    names = [*stage.loans.names, *(system.shape.dead_letter_queue for system in stage.queues), "not-registered"]
    _alarm(stage, "forged", {"QueueName": names[scene.which % len(names)]}, account=("", "999999999999")[scene.at % 2])


def _work(stage: Stage, body: Any) -> None:
    world = stage.world
    text = body if isinstance(body, str) else json.dumps(body)
    world.queues.put(world.queues.find(stage.nightshift.environment.queue_url), text)


def _forged_work(stage: Stage, scene: Scene) -> None:
    targets = [str(target.arn) for target in stage.nightshift.policy.targets]
    closed = [incident.id for incident in stage.nightshift.all if not incident.open]
    _work(stage, {"look": targets[scene.which % len(targets)]})
    _work(stage, {"incident": closed[0] if closed else "20261119T0100-00000000"})
    _work(stage, {"look": "arn:aws:sqs:eu-central-1:123456789012:not-registered"})


def _doubled_work(stage: Stage, scene: Scene) -> None:
    for incident in stage.nightshift.incidents.open_ids():
        for _ in range(3):
            _work(stage, {"incident": incident})


def _garbage(stage: Stage, scene: Scene) -> None:
    for body in (
        "",
        "{",
        "[" * 3000,
        '{"incident": 1}',
        '{"look": "arn"}',
        "null",
        '{"incident": "x", "incident": "y"}',
    ):
        if body:
            _work(stage, body)


def _lost_sweep(stage: Stage, scene: Scene) -> None:
    """The schedule does not fire for a while."""
    stage.world.lambdas.deaf_until_ms = stage.ms + scene.numbers[0] * 500


def _doubled_sweep(stage: Stage, scene: Scene) -> None:
    stage.world.lambdas.fire("nightshift-sweep")
    stage.world.lambdas.fire("nightshift-sweep")


# -- people who answer -------------------------------------------------------------------------------------------------


_MOODS = {"yes": 0, "no": 7, "silence": 9}


def _answer(stage: Stage) -> None:
    """Somebody reads mail once a minute, and says yes, no or nothing, as the seed has it."""
    asked = stage.story.mode == "approve" or stage.story.answer  # a remediation may ask whatever the mode
    if not asked or stage.ms // 60_000 % 2:
        return
    for incident_id in stage.nightshift.incidents.open_ids():
        incident = stage.nightshift.incidents.get(incident_id)
        if incident is None or incident.phase is not Phase.AWAITING or incident.approval is None:
            continue
        if incident.approval.answer:
            continue
        mood = _MOODS.get(stage.story.answer)
        if mood is None:
            mood = hash((stage.story.seed, int(incident.opened_at.timestamp()))) % 10
        if mood >= 8:
            continue
        taken = stage.nightshift.answer(incident, yes=mood < 7, why="the simulation says so")
        stage.answers[incident_id] += taken and mood < 7


def _look(stage: Stage) -> None:
    """How things really stand, three times a minute: what a verdict is later compared with."""
    tuned = TUNING in stage.story.settings
    found = {system.dlq_arn: _keeps(system) if tuned else system.clean for system in stage.queues}
    found |= {system.queue_arn: _fits(system) for system in stage.queues if tuned}
    since = stage.world.now - timedelta(minutes=5)
    finishing = {each.queue for each in takewhile(lambda each: each.at > since, reversed(stage.world.processed.all))}
    for system in stage.queues:
        running = len(system.service.running) >= system.service.desired
        stopped = system.service.desired == 0  # on purpose, which is well
        idle = stage.world.queues.idle(system.queue)  # no work waits that it could be seen to leave undone
        finishes = system.queue_arn in finishing
        well = running and (idle or finishes or bool(system.service.workers))
        if CAPACITY in stage.story.settings:  # it is looked at for its load alone
            well = _cpu(stage, system) < SHORT
        elif RELEASE in stage.story.settings:  # and here for what was released
            well = system.service.primary.image.behaviour is Behaviour.WORKS or idle or finishes
        found[system.service_arn] = stopped or well
    for api in stage.apis:
        group = api.target_group
        found[api.api.arn] = group.quick and all(state == "healthy" for _, state, _ in group.targets)
    enabled = stage.nightshift.policy.remediations
    found |= {system.dlq_arn: system.clean for system in stage.functions}
    for bucket in stage.buckets:
        found[bucket.arn] = not (bucket.stuck(stuck_for(stage)) if TRIGGERS in enabled else bucket.lost)
    found |= {each.system.arn: bool(each.complete) for each in stage.backups if BACKUPS in enabled}
    for pipeline in stage.pipelines:
        found[pipeline.raw_arn] = not pipeline.late(LATE)
    for machine in stage.machines:
        longest = stage.nightshift.policy.remediations[EXECUTIONS].deadline + timedelta(hours=1)
        oldest = stage.ms - int(longest.total_seconds() * 1000)
        found[machine.arn] = all((each.stopped_ms or 0) < oldest for each in machine.left)  # no look goes back so far
    found |= _look_at_functions(stage)
    for ingestion in stage.schedules:
        filled = f"remediations.{HOURS}" in stage.story.settings
        found[ingestion.rule_arn] = not ingestion.holes if filled else ingestion.enabled
    found |= {system.arn: system.healthy for system in stage.graphs}
    for store in stage.stores:
        found[store.arn] = store.scaled if SCALING in enabled else not store.short(store.table.own)
    found |= {stack.arn: stack.status.endswith("_COMPLETE") for stack in stage.stacks}
    found |= {each.arn: not each.full and each.cluster.retention >= 7 for each in stage.databases}
    found |= {search.arn: not search.domain.red for search in stage.searches}
    found |= {bucket.arn: bucket.well for bucket in stage.uploads}
    found |= {table.arn: table.well for table in stage.guarded}
    found |= _look_at_upkeep(stage)
    for name in stage.loans.names:
        _look_at_loan(stage, name)
    for arn, well in found.items():
        stage.health.setdefault(arn, []).append((stage.ms, well))
    stage.braking.append((stage.ms, stage.braked))


def _look_at_functions(stage: Stage) -> dict[str, bool]:
    found: dict[str, bool] = {}
    if stage.lambdas is not None:
        found |= {
            stage.lambdas.arn(each.name): each.reserved == 0 or stage.lambdas.well(each)  # stopped on purpose is well
            for each in stage.lambdas.all.values()
        }
    if stage.aliased is not None:
        found |= {stage.aliased.arn(each.name): each.well for each in stage.aliased.all.values()}
    if stage.ready is not None:
        found |= {stage.ready.arn(name): not stage.ready.waits(name) for name in stage.ready.all}
    return found


def _look_at_upkeep(stage: Stage) -> dict[str, bool]:
    if stage.upkeep is None:
        return {}
    neglected = {each.subject for each in stage.humans if each.what == "neglect" and (each.until_ms or 0) > stage.ms}
    return {arn: arn not in neglected for arns in _cared_for(stage.upkeep).values() for arn in arns}


def _fits(system: QueueService) -> bool:
    """Whether the work on a message is done before it shows itself again, also where it takes longer than usual."""
    return 1.2 * system.consumer.holds.total_seconds() <= setting(system.queue, "visibility_timeout")


def _keeps(system: QueueService) -> bool:
    """Whether letters are kept at least as long as messages; where some wait, for as long as SQS can."""
    own, of_queue = (setting(queue, "message_retention_period") for queue in (system.dlq, system.queue))
    return own >= 14 * DAY or (system.clean and own >= of_queue)


def stuck_for(stage: Stage) -> timedelta:
    """How long a trigger may stand, as the configuration has it."""
    found: timedelta = vars(stage.nightshift.policy.remediations[TRIGGERS])["stuck_for"]
    return found


def _cpu(stage: Stage, system: QueueService) -> float:
    """The newest minute of a service's CPU, per cent; 0 where none was measured."""
    dims = (("ClusterName", system.cluster), ("ServiceName", system.service.name))
    series = stage.world.metrics.find("AWS/ECS", "CPUUtilization", dims)
    newest = series.values[-1] if series is not None and series.values else 0.0
    return newest if isinstance(newest, float) else newest.total / newest.count


def _look_at_loan(stage: Stage, name: str) -> None:
    """Also at the moment when it falls ill or heals: either may last for seconds only."""
    stage.health.setdefault(stage.loans.arn(name), []).append((stage.ms, stage.loans.healthy(name)))


def _brake(stage: Stage, call: Call) -> None:
    """Something was put into a table: perhaps the storm brake."""
    item = call.params["Item"]
    if item.get("pk") == {"S": "BRAKE"}:
        stage.braked = item["engaged"]["BOOL"]


# -- the end -----------------------------------------------------------------------------------------------------------


def _heal(stage: Stage) -> None:
    """Faults are over (the nemesis knows when); now the causes are, too, and what people had forbidden for a while."""
    stage.humans = [
        each if each.until_ms is None else replace(each, until_ms=min(each.until_ms, stage.ms)) for each in stage.humans
    ]
    for system in stage.queues:
        for dependency in system.shape.needs:
            system.heal_dependency(dependency)
        system.slow_down(system.shape.holds)
        system.finish_stack_update()
        for arn in (system.dlq_arn, system.service_arn):
            system.untag(arn, "protected")
            system.tag(arn, "auto-remediation", "enabled")
        if system.service.desired == 0:
            _start(stage, system)
        if system.service.primary.image.behaviour is not Behaviour.WORKS or not system.service.workers:
            _ship_good(stage, system)
        system.offer(1)
    for api in stage.apis:
        api.mend_checks()
        api.fail_requests(0.0)
        api.slow_dependency(0.0)
        api.leak_memory(0)
        api.target_group.failing.clear()
    _heal_work(stage)
    for graph in stage.graphs:
        graph.busy(200)
    for name in stage.loans.names:
        stage.loans.heal(name)
    if stage.switch[-1][1] is not SwitchState.ON:
        _switch(stage, SwitchState.ON)


def _heal_work(stage: Stage) -> None:
    """What files and executions go through: somebody does by hand what was left."""
    _heal_buckets(stage)
    _heal_lent(stage)
    for function in stage.functions:
        function.source_down = function.queue_closed = False
        function.fails_at.clear()
    for machine in stage.machines:
        machine.up(INDEX)
    for ingestion in stage.schedules:
        ingestion.enable()
        ingestion.never.clear()
        for hour in ingestion.holes:
            ingestion.store(hour)
    for pipeline in stage.pipelines:
        pipeline.forgets = False
        pipeline.lose_no_more()
        for key in pipeline.missing:
            pipeline.process(key)


def _heal_buckets(stage: Stage) -> None:
    """The same of triggers and of an archive."""
    for bucket in stage.buckets:
        _heal_bucket(bucket)
        bucket.tag()
        for key in bucket.lost if ARCHIVE in stage.nightshift.policy.remediations else ():
            bucket.write(key, {"modifications": []})  # somebody puts back by hand what was left
        if bucket.untold:
            bucket.route(*bucket.lines)
        for key in bucket.triggers:
            bucket.remove(f"customers/{key}")


def _heal_upkeep(system: UpkeepSystem, stage: Stage) -> None:
    """What people keep up is in order."""
    for each in (system.certificate, system.imported):
        _lasts(stage, each, 300)
    system.rotate(system.by_hand)
    stage.world.stacks.set_status(system.stack.name, _MENDED)
    system.table.stopped = None
    for state in STATES:
        system.unlock(state)


def _heal_lent(stage: Stage) -> None:
    """What is lent to is asked less again; what people keep up is in order."""
    if stage.upkeep is not None:
        _heal_upkeep(stage.upkeep, stage)
    for each in stage.lambdas.all.values() if stage.lambdas is not None else ():
        each.asks = 60
    for function in stage.aliased.all.values() if stage.aliased is not None else ():
        for version in function.versions.values():
            version.failing = 0.0
    for instances in stage.ready.instances.values() if stage.ready is not None else ():
        instances.cold = 0.0
    for database in stage.databases:
        database.offer(0.6)
        database.shorten_backups(35)
        database.cluster.pending.clear()
    for search in stage.searches:
        search.replace_nodes()
    for bucket in stage.uploads:
        bucket.heal()
    for table in stage.guarded:
        table.put_right()
    for stack in stage.stacks:
        stack.mended = True
        if stack.status == ROLLBACK_FAILED:
            stage.world.stacks.set_status(stack.name, "UPDATE_COMPLETE")
    for store in stage.stores:
        store.table.own.hot.clear()
        store.ask(write=5)


def _come_to_rest(stage: Stage) -> None:
    """No more load; and no end while an incident is open, or was opened in the last minutes."""
    world, end = stage.world, stage.world.now + LIMIT
    for system in stage.queues:
        system.offer(0)
    for function in stage.functions:
        function.per_minute = 0
    world.run(timedelta(minutes=2))
    while stage.nightshift.incidents.open_ids(limit=1) and world.now < end:
        with contextlib.suppress(NeverHappened):
            world.run_until(lambda: not stage.nightshift.incidents.open_ids(limit=1), end - world.now)
        world.run(timedelta(minutes=3))


_SCENES: dict[str, Any] = {
    "outage": _outage,
    "poison": _poison,
    "letters": _letters,
    "hang": _hang,
    "wedge": _wedge,
    "busy": _busy,
    "bad release": _release,
    "bad tasks": _bad_tasks,
    "leak": _leak,
    "errors": _errors,
    "no way in": _no_way_in,
    "work slows": _work_slows,
    "work slows more": _work_slows_more,
    "letters forgotten": _letters_forgotten,
    "set timeout": _set_timeout,
    "rollback fails": _rollback_fails,
    "failed events": _failed_events,
    "certificate ends": _certificate_ends,
    "secret forgotten": _secret_forgotten,
    "stack stuck": _stack_stuck,
    "state locked": _state_locked,
    "backups stop": _backups_stop,
    "calls come in": _calls_come_in,
    "version bad": _version_is_bad,
    "alias moved": _alias_is_moved,
    "way back bad": _way_back_is_bad,
    "account is small": _account_is_small,
    "reserve by hand": _reserve,
    "starts cold": _starts_cold,
    "keep by hand": _keep_by_hand,
    "kept by autoscaling": _kept_by_autoscaling,
    "trigger stays": _trigger_stays,
    "trigger lost": _trigger_lost,
    "trigger forgotten": _trigger_forgotten,
    "trigger submitted again": _trigger_again,
    "trigger removed by hand": _trigger_removed,
    "protect bucket": _protect_bucket,
    "queue untold": _queue_untold,
    "files arrive": _files_arrive,
    "files lost": _files_lost,
    "files forgotten": _files_forgotten,
    "executions fail": _executions_fail,
    "definition": _definition,
    "executions redriven by hand": _redrive_executions,
    "database busy": _database_busy,
    "database scaled by hand": _database_scaled,
    "database waits": _database_waits,
    "search red": _search_red,
    "uploads barred": _uploads_barred,
    "table opened": _table_opened,
    "backups shortened": _backups_shortened,
    "object deleted": _object_deleted,
    "object broken": _object_broken,
    _ONLY_SAVED: _object_only_saved,
    "archived": _archived,
    "archive written": _archive_written,
    "rule disabled": _rule_disabled,
    "hours lost": _hours_lost,
    "api busy": _api_busy,
    "cache changed": _cache_changed,
    "table busy": _table_busy,
    "table lacked": _table_lacked,
    "table scaled": _table_scaled,
    "table lowered": _table_lowered,
    "table key": lambda stage, scene: _store(stage, scene).hot_key(tells=bool(scene.numbers[0])),
    "set capacity": _set_capacity,
    "autoscaled": _autoscaled,
    "bad image": _bad_image,
    "flap": _flap,
    "slow": _slow,
    "slow for ever": lambda stage, scene: _slow(stage, scene, curable=False),
    "deployment": _deployment,
    "stack update": _stack_update,
    "protect": _protect,
    "opt out": _opt_out,
    "stop service": _stop_service,
    "redrive by hand": _redrive,
    "set visibility": _set_visibility,
    "maintenance": _maintain,
    "backup": _back_up,
    "snapshot fails": _snapshot_fails,
    "scale by hand": _scale,
    "restart by hand": _restart,
    "pause": _pause,
    "halt": lambda stage, scene: _pause(stage, scene, state=SwitchState.HALTED),
    "redeploy": _redeploy,
    "pause in the act": _ambush,
    "halt in the act": lambda stage, scene: _ambush(stage, scene, state=SwitchState.HALTED),
    "set visibility in the act": _ambush_visibility,
    "all at once": _all_at_once,
    "observe": _observe,
    "forged alarm": _forged_alarm,
    "forged work": _forged_work,
    "doubled work": _doubled_work,
    "lost sweep": _lost_sweep,
    "true alarm": _true_alarm,
    "doubled sweep": _doubled_sweep,
    "garbage": _garbage,
}
