"""
A queue, its dead-letter queue, and the ECS service that consumes it: what several systems have at their heart.

Every cause of a failure is a method with the cause's name. What it leads to is left to physics.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from moto.sqs.models import Queue

from sandbox.consumers import Consumer, Producer, tasks_of
from sandbox.images import Behaviour, Image
from sandbox.metrics import Sample
from sandbox.queues import redrive_policy
from sandbox.services import Deployment, Service
from sandbox.systems.ecs_system import OPT_IN, EcsSystem
from sandbox.world import World

WORK_NAMESPACE, WORK = "Application", "ProcessingTime"
"""the metric by which an application says how long it works on a message, in seconds"""


@dataclass(frozen=True)
class Shape:
    """What a queue service is made of."""

    queue: str
    dead_letter_queue: str
    cluster: str
    service: str
    stack: str
    needs: tuple[str, ...] = ()  # the dependencies without which every message fails
    tasks: int = 2
    per_second: float = 1.0  # messages that one task takes per second
    holds: timedelta = timedelta(seconds=3)
    visibility_timeout: int = 60
    max_receive_count: int = 3
    retention: timedelta = timedelta(days=14)
    dead_letter_retention: timedelta = timedelta(days=14)


class QueueService(EcsSystem):
    """The resources of a queue service, its load, and what can go wrong with it."""

    def __init__(
        self,
        world: World,
        shape: Shape,
        bodies: Iterator[str],
        bad_bodies: Iterator[str],
        poison: Callable[[str], bool],
    ) -> None:
        super().__init__(world, shape.cluster, shape.stack)
        self.shape = shape
        self._bad_bodies = bad_bodies
        self.dlq_url, self.dlq_arn = self._make_queue(shape.dead_letter_queue, shape.dead_letter_retention)
        policy = redrive_policy(self.dlq_arn, shape.max_receive_count)
        self.queue_url, self.queue_arn = self._make_queue(shape.queue, shape.retention, RedrivePolicy=policy)
        self.service = self.make_service(shape.service, shape.tasks)
        self.consumer = Consumer(
            agenda=world.agenda,
            queues=world.queues,
            dependencies=world.dependencies,
            dice=world.dice(f"consumer/{shape.service}/{shape.queue}"),
            queue=self.queue,
            workers=tasks_of(self.service),
            per_second=shape.per_second,
            holds=shape.holds,
            needs=shape.needs,
            poison=poison,
        )
        self.service.listeners.append(self.consumer.wake)
        self.service.busy = self.consumer.busy
        self.producer = Producer(world.agenda, world.queues, self.queue, bodies)

    # -- what is so

    @property
    def environment(self) -> dict[str, str]:
        """Where the messages are."""
        return {"QUEUE_URL": self.queue_url}

    @property
    def queue(self) -> Queue:
        """The queue itself."""
        return self.world.queues.find(self.shape.queue)

    @property
    def dlq(self) -> Queue:
        """The dead-letter queue itself."""
        return self.world.queues.find(self.shape.dead_letter_queue)

    @property
    def service_arn(self) -> str:
        """The ARN of the consuming service."""
        return self.service.arn

    @property
    def backlog(self) -> int:
        """Everything that waits or is being worked on in the queue."""
        return self.world.queues.depth(self.queue).total

    @property
    def dead(self) -> int:
        """Everything in the dead-letter queue, in flight or not."""
        return self.world.queues.depth(self.dlq).total

    @property
    def clean(self) -> bool:
        """Whether its dead-letter queue is empty."""
        return self.world.queues.empty(self.dlq)

    @property
    def arns(self) -> tuple[str, str, str]:
        """What the system consists of: queue, dead-letter queue, service."""
        return self.queue_arn, self.dlq_arn, self.service.arn

    # -- load

    def offer(self, per_minute: float) -> None:
        """Messages come in at this rate from now on."""
        self.producer.per_minute = per_minute

    def send(self, count: int) -> list[str]:
        """Send good messages now."""
        return self.producer.send(count)

    def send_poison(self, count: int) -> list[str]:
        """Send messages now that can never be processed."""
        bodies = [next(self._bad_bodies) for _ in range(count)]
        for body in bodies:
            self.world.queues.put(self.queue, body)
        return bodies

    # -- causes

    def break_dependency(self, name: str) -> None:
        """A dependency goes down: everything that needs it fails until it is up again."""
        self.world.dependencies.fail(name)

    def heal_dependency(self, name: str) -> None:
        """A dependency is up again."""
        self.world.dependencies.heal(name)

    def wedge_consumer(self) -> None:
        """The running tasks hang: they stay RUNNING and take nothing. Only new tasks help."""
        self.service.wedge()

    def slow_down(self, holds: timedelta) -> None:
        """The work on a message takes so long from now on."""
        self.consumer.holds = holds

    def report_work(self) -> None:
        """The application reports from now on how long it works on a message."""
        self.consumer.measured = True
        series = self.world.metrics.of(WORK_NAMESPACE, WORK, (("QueueName", self.shape.queue),))

        def measure(minute: int) -> None:
            worked, self.consumer.worked = self.consumer.worked, []
            if worked:
                series.put(minute, Sample.of(worked))

        self.world.meters.all.append(measure)

    def push_image(self, behaviour: Behaviour = Behaviour.WORKS) -> Image:
        """Somebody pushes an image under the tag that the service runs, and deploys nothing."""
        return self.push(self.service, behaviour)

    def ship_bad_image(self, behaviour: Behaviour = Behaviour.HANGS) -> Deployment:
        """Somebody ships a bad release: its tasks fail in their way, and do so again after every restart."""
        self.push_image(behaviour)
        return self.service.deploy()

    def ship_good_image(self) -> Deployment:
        """Somebody ships a release that works."""
        self.push_image()
        return self.service.deploy()

    def release(self, behaviour: Behaviour = Behaviour.WORKS, *, service: Service | None = None) -> Deployment:
        """Somebody releases a version of its own: a new image under a new tag, in a new task definition."""
        return self.release_of(service or self.service, behaviour)

    def start_deployment(self) -> Deployment:
        """Somebody deploys: the image is good, and it takes its time."""
        return self.ship_good_image()

    def finish_deployment(self, limit: timedelta = timedelta(minutes=30)) -> timedelta:
        """Let the world run until the deployment is complete."""
        return self.world.run_until(lambda: self.service.completed, limit)

    def stop_service(self) -> None:
        """Somebody scales the service to zero on purpose."""
        self.service.scale(0)

    def start_service(self) -> None:
        """Somebody scales the service back."""
        self.service.scale(self.shape.tasks)

    def tag(self, arn: str, key: str, value: str) -> None:
        """Somebody tags one of the system's resources."""
        if ":sqs:" in arn:
            url = self.queue_url if arn == self.queue_arn else self.dlq_url
            self.world.client("sqs").tag_queue(QueueUrl=url, Tags={key: value})
        else:
            super().tag(arn, key, value)

    def untag(self, arn: str, key: str) -> None:
        """Somebody removes a tag from one of the system's resources."""
        if ":sqs:" in arn:
            url = self.queue_url if arn == self.queue_arn else self.dlq_url
            self.world.client("sqs").untag_queue(QueueUrl=url, TagKeys=[key])
        else:
            super().untag(arn, key)

    # -- building

    def _make_queue(self, name: str, retention: timedelta, **attributes: str) -> tuple[str, str]:
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        url = self.world.client("sqs").create_queue(
            QueueName=name,
            Attributes={
                "VisibilityTimeout": str(self.shape.visibility_timeout),
                "MessageRetentionPeriod": str(int(retention.total_seconds())),
                **attributes,
            },
            tags=OPT_IN,
        )["QueueUrl"]
        queue = self.world.queues.find(url)
        queue.tags = dict(self.tags)  # CloudFormation sets its own tags; nobody else may
        return url, queue.queue_arn


def json_body(**fields: object) -> str:
    """A message body as the applications write it."""
    return json.dumps(fields, separators=(",", ":"))


def queue_target(system: QueueService, *, mode: str = "auto") -> str:
    """The queue as a target of a configuration."""
    return f"""
[[systems.targets]]
arn = "{system.queue_arn}"
mode = "{mode}"
consumer = "{system.service_arn}"
"""


def tuning_configuration(system: QueueService, *, mode: str = "auto", settings: str = "") -> str:
    """A deployment's TOML for the queue and its dead-letter queue, as what looks after their settings sees them."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.visibility-timeout-short]
mode = "auto"
{settings}

[[systems]]
name = "{system.shape.stack}"
{queue_target(system, mode=mode)}
[[systems.targets]]
arn = "{system.dlq_arn}"
mode = "{mode}"
source = "{system.queue_arn}"
consumer = "{system.service_arn}"
"""
