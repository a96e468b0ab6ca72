"""
Eight nights: each one breaks an account in one way and shows what Nightshift does about it, or does not, and why.

A scene is a story with an end that is known: `make demo` plays them for a person, the scenario tests play the same ones
and look at what the world is like afterwards. Each has an account of its own, so that no night disturbs another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nightshift.model import Incident, Ledger, Verdict

from sandbox.deployment import Deployment
from sandbox.images import Behaviour
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

if TYPE_CHECKING:
    from sandbox.mailbox import Mail
    from sandbox.systems.queue_service import QueueService
    from sandbox.trail import Event

__all__ = [
    "SCENES",
    "Played",
    "Scene",
    "Stage",
    "api_configuration",
    "api_name",
    "api_target",
    "configuration",
    "failures",
    "play",
    "release_configuration",
    "stage",
]

NIGHT = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
"""a Thursday: no window, no freeze"""

DLQ = "sqs-dlq-backlog"
STALLED = "ecs-service-stalled"
UNHEALTHY = "ecs-targets-unhealthy"
RELEASE = "ecs-deployment-bad"
TRAFFIC = "alb-traffic-missing"


@dataclass(frozen=True)
class Stage:
    """What a scene is played on."""

    world: World
    system: QueueService
    nightshift: Deployment

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, limit: timedelta = timedelta(hours=4)) -> None:
        """Let time pass until every incident has ended (looked at once a minute)."""
        end = self.world.now + limit
        while self.world.now < end and not self.nightshift.settled:
            self.minutes(1)

    def until(self, condition: Callable[[], object], limit: timedelta = timedelta(hours=2)) -> None:
        """Let time pass until the condition holds."""
        self.world.run_until(condition, limit)

    def outage(self, minutes: float = 6, *, letters: int = 12, poison: int = 0) -> None:
        """What the consumer needs goes down for a while, so that messages end up in the dead-letter queue."""
        dependency = self.system.shape.needs[0]
        self.system.break_dependency(dependency)
        self.system.send(letters)
        self.system.send_poison(poison)
        self.minutes(minutes)
        self.system.heal_dependency(dependency)


@dataclass(frozen=True)
class Scene:
    """
    One night.

    ``ends`` is what each remediation's incident must end as; ``calls`` says whether anything may be changed.
    """

    key: str
    title: str
    breaks: str
    system: type[DocumentManagement | UsageMetrics]
    perform: Callable[[Stage], None]
    ends: tuple[tuple[str, Verdict], ...]
    changes: bool = True
    mode: str = "auto"
    settings: str = ""


@dataclass(frozen=True)
class Played:
    """
    What came of a scene. ``lost`` is messages that are missing or from nowhere, by the world's own count.

    ``taken`` is how many letters left the dead-letter queue by Nightshift's hand, by the world's own count;
    ``done`` is what the audit trail shows under each incident's name: IAM actions, and how often each was tried.
    """

    scene: Scene
    incidents: tuple[Incident, ...]
    mail: tuple[Mail, ...]
    ledger: Ledger
    taken: int
    processed: int
    duplicates: int
    dead: int
    waiting: int
    quarantined: int
    lost: int
    virtual: timedelta
    calls: int
    writes: int
    errors: tuple[str, ...] = ()
    trail: tuple[Event, ...] = ()
    done: Mapping[str, Counter[str]] = field(default_factory=dict)

    @property
    def as_told(self) -> bool:
        """Whether it ended as the scene says, nothing was lost, and no function failed."""
        ends = sorted((incident.remediation, incident.verdict) for incident in self.incidents)
        acted = any(incident.calls for incident in self.incidents)
        return (
            ends == sorted(self.scene.ends)
            and not self.lost
            and not self.errors
            and self.ledger.balanced
            and (self.scene.changes or not acted)
        )


def configuration(system: QueueService, *, mode: str = "auto", settings: str = "", limits: str = "") -> str:
    """A deployment's TOML for one system: its dead-letter queue and the service that consumes the queue."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[limits]
{limits}

[remediations.{DLQ}]
mode = "auto"
{settings}

[remediations.{STALLED}]
mode = "auto"

[[systems]]
name = "{system.shape.stack}"

[[systems.targets]]
arn = "{system.dlq_arn}"
mode = "{mode}"
source = "{system.queue_arn}"
consumer = "{system.service_arn}"

[[systems.targets]]
arn = "{system.service_arn}"
mode = "{mode}"
queue = "{system.queue_arn}"
"""


def api_configuration(system: UsageMetrics, *, mode: str = "auto", settings: str = "") -> str:
    """A deployment's TOML for a service behind a load balancer, and nothing else."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.{STALLED}]
mode = "auto"

[remediations.{UNHEALTHY}]
mode = "auto"
{settings}

[[systems]]
name = "{system.shape.stack}"
{api_target(system, mode=mode)}"""


def api_target(system: UsageMetrics, *, mode: str = "auto") -> str:
    """The service behind the load balancer, as a target."""
    group = system.target_group
    return f"""
[[systems.targets]]
arn = "{group.service.arn}"
mode = "{mode}"
load_balancer = "{group.load_balancer_arn}"
target_group = "{group.arn}"
"""


def api_name(system: UsageMetrics) -> str:
    """What the service's target says of its name, where it has one: a line of the table that comes last."""
    return f'dns = {{ zone = "{system.zone}", name = "{system.name}" }}\n' if system.zone else ""


def release_configuration(
    system: UsageMetrics, *, mode: str = "auto", settings: str = "", others: bool = False, roles: bool = True
) -> str:
    """The API, its aggregator and the aggregator's dead letters, as their team would register them."""
    world, group = system.world, system.target_group
    more = f'[remediations.{STALLED}]\nmode = "auto"\n[remediations.{DLQ}]\nmode = "auto"\n' if others else ""
    named = f'roles = ["{system.execution_role}"]' if roles else ""
    letters = f"""
[[systems.targets]]
arn = "{system.dlq_arn}"
mode = "{mode}"
source = "{system.queue_arn}"
consumer = "{system.service_arn}"
"""
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"
[notify]
emails = ["oncall@example.com"]
[storm]
targets = 5
floor = 5
percent = 100
[remediations.{RELEASE}]
mode = "auto"
{settings}
{more}
[[systems]]
name = "{system.shape.stack}"
[[systems.targets]]
arn = "{system.api.arn}"
mode = "{mode}"
load_balancer = "{group.load_balancer_arn}"
target_group = "{group.arn}"
{named}
[[systems.targets]]
arn = "{system.service_arn}"
mode = "{mode}"
queue = "{system.queue_arn}"
{named}
{letters if others else ""}
"""


@contextmanager
def stage(scene: Scene, *, seed: int = 0) -> Iterator[Stage]:
    """The account of a scene, with its system at work for half an hour and Nightshift switched on."""
    with World(NIGHT, seed=seed) as world:
        system = scene.system(world)
        toml = configuration(system, mode=scene.mode, settings=scene.settings)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            system.offer(6)
            world.run(timedelta(minutes=20))
            yield Stage(world, system, nightshift)


def play(scene: Scene, *, seed: int = 0) -> Played:
    """Play a scene to its end, and count."""
    with stage(scene, seed=seed) as on:
        scene.perform(on)
        on.system.offer(0)
        on.minutes(5)
        return _count(scene, on)


def _count(scene: Scene, on: Stage) -> Played:
    world, incidents = on.world, tuple(on.nightshift.all)
    ledgers = [incident.ledger for incident in incidents]
    names = ("moved", "processed", "returned", "quarantined", "remaining", "left", "uncertain")
    bucket = on.nightshift.environment.quarantine
    stored = world.client("s3").list_objects_v2(Bucket=bucket).get("KeyCount", 0)
    writes = [event for event in world.trail.of(writes=True) if event.principal.role_arn and not event.error]
    done = Counter(event.name for event in writes)
    vanished = done["sqs.DeleteMessage"] - done["sqs.SendMessage"] - stored  # taken out, and neither sent on nor stored
    return Played(
        scene=scene,
        incidents=incidents,
        mail=tuple(world.mail),
        ledger=Ledger(**{name: sum(getattr(ledger, name) for ledger in ledgers) for name in names}),
        taken=done["sqs.SendMessage"] + stored + _moved_by_tasks(world),
        processed=len(world.processed),
        duplicates=sum(count - 1 for count in world.processed.duplicates.values()),
        dead=on.system.dead,
        waiting=on.system.backlog,
        quarantined=stored,
        lost=sum(abs(count) for count in world.unaccounted().values()) + max(vanished, 0),
        virtual=world.now - NIGHT,
        calls=len(world.trail),
        writes=len(writes),
        done=_by_incident(world),
        trail=tuple(world.trail),
        errors=failures(world),
    )


def _moved_by_tasks(world: World) -> int:
    """What the message move tasks moved that were started under an incident's name."""
    started = {
        int(event.at.timestamp() * 1000)
        for event in world.trail.of("sqs.StartMessageMoveTask")
        if event.principal.role_arn is not None and not event.error
    }
    return sum(task.moved for task in world.move_tasks.all if task.started_ms in started)


def failures(world: World) -> tuple[str, ...]:
    """What no function of ours should have done: raised, or given a message back as failed."""
    raised = [f"{each.function}: {each.error!r}" for each in world.lambdas.errors]
    returned = [
        f"{each.function}: gave back {len(each.result['batchItemFailures'])} messages at {each.at:%H:%M}"
        for each in world.lambdas.invocations
        if isinstance(each.result, dict) and each.result.get("batchItemFailures")
    ]
    return (*raised, *returned)


def _by_incident(world: World) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for event in world.trail:
        if event.principal.role_arn is not None:
            found[event.principal.name][f"{event.service}:{event.operation}"] += 1
    return dict(found)


# -- the scenes ----------------------------------------------------------------------------------------------------


def _transient(on: Stage) -> None:
    on.outage()
    on.until_settled()


def _poison(on: Stage) -> None:
    on.outage(letters=8, poison=4)
    on.until_settled()


def _stalled(on: Stage) -> None:
    on.outage()
    on.system.wedge_consumer()
    on.until_settled()


def _bad_image(on: Stage) -> None:
    on.system.ship_bad_image(Behaviour.HANGS)
    on.system.finish_deployment()
    on.until_settled()
    on.minutes(20)


def _recovered(on: Stage) -> None:
    on.outage()
    on.until(lambda: on.nightshift.all)
    on.minutes(2)
    on.world.client("sqs").start_message_move_task(SourceArn=on.system.dlq_arn)
    on.until_settled()


def _mid_deployment(on: Stage) -> None:
    on.outage(minutes=4)
    on.system.ship_bad_image(Behaviour.CRASHES)
    on.until_settled()


def _observe(on: Stage) -> None:
    on.outage()
    on.until_settled()


def _kill_switch(on: Stage) -> None:
    on.outage(minutes=12, letters=400)
    on.until(lambda: on.world.trail.of("sqs.StartMessageMoveTask"))
    on.minutes(1)
    on.nightshift.pause("the database team asked us to stop")
    on.until_settled()


SCENES: tuple[Scene, ...] = (
    Scene(
        "transient",
        "Letters died in an outage, and the outage is over",
        "the malware scan is down for six minutes",
        DocumentManagement,
        _transient,
        ((DLQ, Verdict.FIXED),),
    ),
    Scene(
        "poison",
        "Some letters can never be processed",
        "corrupt documents arrive during an outage",
        DocumentManagement,
        _poison,
        ((DLQ, Verdict.FIXED),),
    ),
    Scene(
        "stalled",
        "The consumer hangs while letters wait",
        "an outage, and then every task of the processor hangs",
        DocumentManagement,
        _stalled,
        ((DLQ, Verdict.FIXED), (STALLED, Verdict.FIXED)),
    ),
    Scene(
        "bad-image",
        "A restart does not help",
        "a release whose tasks run and do nothing",
        UsageMetrics,
        _bad_image,
        ((STALLED, Verdict.ESCALATED),),
    ),
    Scene(
        "recovered",
        "Somebody else was faster",
        "an outage; a colleague redrives by hand a minute later",
        UsageMetrics,
        _recovered,
        ((DLQ, Verdict.RECOVERED),),
        changes=False,
    ),
    Scene(
        "mid-deployment",
        "The consumer is being deployed",
        "an outage, and then a release that never becomes healthy",
        DocumentManagement,
        _mid_deployment,
        ((DLQ, Verdict.REFUSED),),
        changes=False,
        settings='deadline = "PT1H"',
    ),
    Scene(
        "observe",
        "Nightshift may only watch",
        "the same outage, in mode observe",
        DocumentManagement,
        _observe,
        ((DLQ, Verdict.REFUSED),),
        changes=False,
        mode="observe",
    ),
    Scene(
        "kill-switch",
        "Somebody pulls the kill switch mid-way",
        "a long outage; the redrive is under way when it is stopped",
        UsageMetrics,
        _kill_switch,
        ((DLQ, Verdict.ESCALATED),),
        settings='deadline = "PT1H"\nrate = 1',
    ),
)
"""in the order in which they are played"""
