"""
The physics of ECS services: tasks that start, work, hang, fail, drain and stop; deployments that replace them.

A service keeps as many tasks as it should, never more than maximumPercent, never fewer healthy ones than
minimumHealthyPercent while it replaces them. A deployment resolves its image's tag once, so all of its tasks
run the same digest. A wedged task stays RUNNING and works no more: ECS does not see it, and only a
replacement helps. An image that fails goes on failing after a restart.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sandbox.clock import Agenda, Entry, Order
from sandbox.images import Behaviour, Image, Images
from sandbox.seam import new_id

TASK = "ecs-task"
"""what a bill calls one of them"""
SECOND_MS = 1000
KEPT_EVENTS = 100
STOPPED_TASK_KEPT_MS = 3600 * SECOND_MS
CHECKED_EVERY_MS = 15 * SECOND_MS
CRASHES_AFTER_MS = 10 * SECOND_MS
BASE_MEMORY_PERCENT = 35.0
LONGEST_BACK_OFF_MS = 300 * SECOND_MS


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take."""

    start_ms: tuple[int, int] = (20 * SECOND_MS, 40 * SECOND_MS)  # from being asked for to RUNNING
    ready_ms: int = 20 * SECOND_MS  # from RUNNING to counting as healthy
    stop_ms: int = 20 * SECOND_MS  # from SIGTERM to STOPPED
    deregister_ms: int = 30 * SECOND_MS  # behind a load balancer, before SIGTERM
    roll_back_ms: int = 5 * SECOND_MS  # from a request to stop a deployment to the beginning of its rollback


@dataclass(eq=False, slots=True)
class Task:
    """One copy of the service's container."""

    id: str
    arn: str
    deployment: "Deployment"
    image: Image
    created_at: datetime
    address: str
    status: str = "PROVISIONING"
    started_at: datetime | None = None
    ready: bool = False
    wedged: bool = False
    stopping_at: datetime | None = None
    stopped_at: datetime | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    exit_code: int | None = None
    container_reason: str | None = None

    @property
    def live(self) -> bool:
        """Starting or running, and meant to be."""
        return self.status in ("PROVISIONING", "PENDING", "RUNNING")

    @property
    def running(self) -> bool:
        """Running, and meant to be."""
        return self.status == "RUNNING"

    @property
    def works(self) -> bool:
        """Running, and doing its work."""
        return self.running and not self.wedged and self.image.behaviour is not Behaviour.HANGS

    @property
    def finishes(self) -> bool:
        """What it has taken, it still finishes: it works, or it drains in good order."""
        return self.works or (
            self.status == "DEACTIVATING" and not self.wedged and self.stop_code != "TaskFailedToStart"
        )


@dataclass(eq=False, slots=True)
class Deployment:
    """One rollout of a service, in ECS's two views: a deployment and a service deployment."""

    id: str
    arn: str
    revision_arn: str
    task_definition: str
    images: dict[
        str, tuple[str, Image]
    ]  # container name -> (image as the task definition names it, what it resolved to)
    created_at: datetime
    updated_at: datetime
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    reason: str = ""
    failed: int = 0
    outcome: str = "IN_PROGRESS"  # the service deployment's status
    finished_at: datetime | None = None
    rollback_of: "Deployment | None" = None  # whose service deployment it belongs to: it has none of its own
    rollback: "Deployment | None" = None  # what this one was given up for
    replaced: tuple[str, ...] = ()  # the revisions that it replaced

    @property
    def image(self) -> Image:
        """The image of the essential container, which is the first."""
        return next(iter(self.images.values()))[1]


class Place:
    """What a service needs from its account to run tasks."""

    def __init__(
        self, agenda: Agenda, images: Images, containers: Callable[[str], dict[str, str]], dice: Random
    ) -> None:
        self.agenda = agenda
        self.images = images
        self.containers = containers  # task definition ARN -> container name -> image
        self.dice = dice


@dataclass(eq=False)
class Service:
    """One ECS service."""

    place: Place
    arn: str
    cluster_arn: str
    name: str
    desired: int
    task_definition: str
    controller: str = "ECS"
    minimum_percent: int = 100
    maximum_percent: int = 200
    breaker: bool = False
    breaker_rolls_back: bool = False
    target_group_arn: str | None = None
    pace: Pace = field(default_factory=Pace)
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)  # the PRIMARY first
    history: list[Deployment] = field(default_factory=list)  # every deployment, oldest first
    tasks: list[Task] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)  # newest first
    load: float = 0.0  # how busy its tasks are, 0 to 1
    busy: Callable[[], float] | None = None  # asked for the load once a minute, if there is somebody who knows
    admits: Callable[[Task], bool] | None = None  # whether its load balancer calls a task healthy, if it has one
    cannot_start: str | None = None  # why no task of it can be started, if so
    leak_percent_per_hour: float = 0.0  # memory that a task gains with its age
    listeners: list[Callable[[], None]] = field(default_factory=list)  # told whenever who works may have changed
    created_at: datetime = field(init=False)
    _steady: bool = field(default=False, init=False)
    _blocked_until: int = field(default=0, init=False)
    _retry: Entry | None = field(default=None, init=False)
    _launches: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.created_at = self.place.agenda.now
        self.deploy()

    # -- what is so

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.cluster_arn.rpartition("/")[2]

    @property
    def primary(self) -> Deployment:
        """The newest deployment."""
        return self.deployments[0]

    @property
    def running(self) -> list[Task]:
        """Running tasks, of whatever deployment."""
        return [task for task in self.tasks if task.running]

    @property
    def workers(self) -> list[Task]:
        """Tasks that take and finish work."""
        return [task for task in self.tasks if task.works]

    def tasks_of(self, deployment: Deployment) -> list[Task]:
        """The live tasks of a deployment."""
        return [task for task in self.tasks if task.deployment is deployment and task.live]

    @property
    def completed(self) -> bool:
        """Whether the only deployment is complete."""
        return len(self.deployments) == 1 and self.primary.rollout == "COMPLETED"

    def memory_percent(self, task: Task) -> float:
        """How much of its memory a task uses."""
        age = self.place.agenda.now - (task.started_at or self.place.agenda.now)
        return min(BASE_MEMORY_PERCENT + self.leak_percent_per_hour * age.total_seconds() / 3600, 100.0)

    def kill_the_full(self) -> None:
        """Tasks whose memory is full are killed."""
        for task in self.running:
            if self.memory_percent(task) >= 100:
                task.container_reason = "OutOfMemoryError: Container killed due to memory usage"
                self.fail_task(task, "EssentialContainerExited", "Essential container in task exited", exit_code=137)

    # -- what people and causes do

    def deploy(self, task_definition: str | None = None, *, back_to: Deployment | None = None) -> Deployment:
        """Begin a new deployment; the tags of its images are resolved now, unless it goes back to an earlier one."""
        now = self.place.agenda.now
        self.task_definition = back_to.task_definition if back_to else task_definition or self.task_definition
        number = f"{self.place.dice.randrange(10**19):019d}"
        path = f"{self.cluster}/{self.name}"
        base = self.arn.partition(":service/")[0]
        deployment = Deployment(
            id=f"ecs-svc/{number}",
            arn=f"{base}:service-deployment/{path}/{new_id().replace('-', '')[:21]}",
            revision_arn=f"{base}:service-revision/{path}/{number}",
            task_definition=self.task_definition,
            images=dict(back_to.images) if back_to else self._resolved(),
            created_at=now,
            updated_at=now,
            reason=f"ECS deployment ecs-svc/{number} in progress.",
            replaced=tuple(each.revision_arn for each in self.deployments),
        )
        for older in self.deployments:
            older.status, older.updated_at = "ACTIVE", now
            if older.outcome == "IN_PROGRESS":
                self._close(older, "STOPPED", "A newer service deployment was started.")
        self.deployments.insert(0, deployment)
        self.history.append(deployment)
        self._steady, self._blocked_until = False, 0
        self.reconcile()
        return deployment

    def scale(self, desired: int) -> None:
        """Ask for another number of tasks. It starts no deployment."""
        self.desired = desired
        self.primary.updated_at = self.place.agenda.now
        self._steady = False
        self.reconcile()

    def settle(self, since: timedelta = timedelta(days=7)) -> None:
        """As if the service had been deployed some time ago and had run well since then."""
        then = self.place.agenda.now - since
        deployment = self.primary
        del self.deployments[1:]
        self.tasks = []
        for _ in range(self.desired):
            task = self._new_task(deployment)
            task.status, task.ready, task.created_at, task.started_at = "RUNNING", True, then, then
        self.created_at = min(self.created_at, then)
        deployment.created_at = then
        self.events.clear()
        self._complete(deployment, then + timedelta(minutes=2))
        self._steady = True
        self._tell()

    def wedge(self, tasks: list[Task] | None = None) -> None:
        """Running tasks stop working, and stay RUNNING."""
        for task in self.running if tasks is None else tasks:
            task.wedged = True
        self._tell()

    def stop_task(self, task: Task, code: str, reason: str) -> None:
        """Stop a task in good order: deregister, SIGTERM, STOPPED."""
        agenda = self.place.agenda
        if task.status in ("PROVISIONING", "PENDING"):
            self._stopped(task, code, reason)
            return
        if not task.running:
            return
        task.status, task.stop_code, task.stopped_reason, task.stopping_at = "DEACTIVATING", code, reason, agenda.now
        wait = self.pace.stop_ms + (self.pace.deregister_ms if self.target_group_arn else 0)
        agenda.at_ms(agenda.ms + wait, lambda: self._stopped(task, code, reason, exit_code=0), Order.PHYSICS)
        self._tell()

    def roll_back(self, deployment: Deployment) -> bool:
        """
        Give up a deployment for the last one that succeeded. False when there is none.

        The tasks of the revision before are a deployment; as a service deployment it is still the one that is given up,
        which now says so.

        Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html
        """
        target = self._proven(deployment)
        if target is None:
            return False
        deployment.rollback = self.deploy(back_to=target)
        deployment.rollback.rollback_of, deployment.rollback.revision_arn = deployment, target.revision_arn
        deployment.outcome, deployment.finished_at = "ROLLBACK_IN_PROGRESS", None
        return True

    def _proven(self, deployment: Deployment) -> Deployment | None:
        """The last service deployment before one that succeeded."""
        others = (each for each in reversed(self.history) if each is not deployment and each.rollback_of is None)
        return next((each for each in others if each.outcome == "SUCCESSFUL"), None)

    def _begin_back(self, deployment: Deployment) -> None:
        """Begin the rollback that was asked for, unless somebody has deployed meanwhile, or it was complete before."""
        if deployment.outcome != "ROLLBACK_REQUESTED":
            return
        if deployment is self.primary:
            self.roll_back(deployment)
        else:
            self._close(deployment, "STOPPED", "A newer service deployment was started.")

    def stop_deployment(self, deployment: Deployment, *, roll_back: bool) -> None:
        """What StopServiceDeployment does: a rollback is asked for, and begins after that."""
        if roll_back and self._proven(deployment) is not None:
            agenda = self.place.agenda
            deployment.outcome, deployment.updated_at = "ROLLBACK_REQUESTED", agenda.now
            agenda.at_ms(agenda.ms + self.pace.roll_back_ms, lambda: self._begin_back(deployment), Order.PHYSICS)
            return
        self._close(deployment, "STOPPED", "Service deployment stopped by user.")
        deployment.rollout, deployment.reason = "FAILED", f"ECS deployment {deployment.id} was stopped."

    # -- how it goes on

    def reconcile(self) -> None:
        """Start and stop what has to be, one step at a time."""
        if self.status != "ACTIVE" or not self.deployments:
            return
        primary = self.primary
        upper = max(self.desired * self.maximum_percent // 100, 0)
        lower = math.ceil(self.desired * self.minimum_percent / 100)
        mine = self.tasks_of(primary)
        self._stop_surplus(primary, mine, lower)
        live = sum(task.live for task in self.tasks)
        missing = min(self.desired - len(self.tasks_of(primary)), upper - live)
        if missing > 0 and primary.rollout != "FAILED":
            if self.place.agenda.ms >= self._blocked_until:
                started = [self._new_task(primary) for _ in range(missing)]
                self._say(f"has started {len(started)} tasks: {' '.join(f'(task {task.id})' for task in started)}.")
                for task in started:
                    self._begin(task)
            elif self._retry is None or self._retry.due != self._blocked_until:
                self._retry = self.place.agenda.at_ms(self._blocked_until, self.reconcile, Order.PHYSICS)
        self._judge(primary)

    def _stop_surplus(self, primary: Deployment, mine: list[Task], lower: int) -> None:
        stopped = []
        for task in mine[self.desired :]:
            self.stop_task(task, "ServiceSchedulerInitiated", f"Scaling activity initiated by deployment {primary.id}")
            stopped.append(task)
        for task in [task for task in self.tasks if task.live and task.deployment is not primary]:
            healthy = sum(each.ready and each.running for each in self.tasks)
            if task.running and healthy - task.ready < lower:
                continue
            self.stop_task(task, "ServiceSchedulerInitiated", f"Scaling activity initiated by deployment {primary.id}")
            stopped.append(task)
        if stopped:
            self._say(f"has stopped {len(stopped)} running tasks: {' '.join(f'(task {task.id})' for task in stopped)}.")

    def _resolved(self) -> dict[str, tuple[str, Image]]:
        containers = self.place.containers(self.task_definition)
        return {name: (uri, self.place.images.resolve(uri)) for name, uri in containers.items()}

    def _judge(self, primary: Deployment) -> None:
        """Whether the deployment is complete, and the service steady."""
        ready = sum(task.ready for task in self.tasks_of(primary))
        left = [task for task in self.tasks if task.deployment is not primary and task.status != "STOPPED"]
        if ready == len(self.tasks_of(primary)) == self.desired and not left and primary.rollout != "FAILED":
            if primary.rollout == "IN_PROGRESS":
                self._complete(primary, self.place.agenda.now)
            if not self._steady:
                self._steady = True
                self._say("has reached a steady state.")

    def _complete(self, deployment: Deployment, at: datetime) -> None:
        deployment.rollout, deployment.updated_at = "COMPLETED", at
        deployment.reason = f"ECS deployment {deployment.id} completed."
        self._close(deployment, "SUCCESSFUL", None)
        deployment.finished_at = at
        if deployment.rollback_of is not None:
            deployment.rollback_of.outcome, deployment.rollback_of.finished_at = "ROLLBACK_SUCCESSFUL", at
        del self.deployments[1:]
        self._say(f"(deployment {deployment.id}) deployment completed.", at)

    def _close(self, deployment: Deployment, outcome: str, reason: str | None) -> None:
        deployment.outcome, deployment.finished_at = outcome, self.place.agenda.now
        if reason:
            deployment.reason = reason

    def _new_task(self, deployment: Deployment) -> Task:
        self._launches += 1
        task_id = new_id().replace("-", "")
        base = self.arn.partition(":service/")[0]
        task = Task(
            id=task_id,
            arn=f"{base}:task/{self.cluster}/{task_id}",
            deployment=deployment,
            image=deployment.image,
            created_at=self.place.agenda.now,
            address=f"10.0.{self._launches // 250 % 250}.{self._launches % 250 + 4}",
        )
        self.tasks.append(task)
        return task

    def _begin(self, task: Task) -> None:
        agenda = self.place.agenda
        due = agenda.ms + self.place.dice.randint(*self.pace.start_ms)
        agenda.at_ms(due, lambda: self._started(task), Order.PHYSICS)

    def _started(self, task: Task) -> None:
        if task.status != "PROVISIONING":
            return
        if self.cannot_start is not None:
            self.fail_task(task, "TaskFailedToStart", self.cannot_start)
            return
        agenda = self.place.agenda
        task.status, task.started_at = "RUNNING", agenda.now
        if task.image.behaviour is Behaviour.CRASHES:
            agenda.at_ms(agenda.ms + CRASHES_AFTER_MS, lambda: self._crashed(task), Order.PHYSICS)
        else:
            agenda.at_ms(agenda.ms + self.pace.ready_ms, lambda: self._became_ready(task), Order.PHYSICS)
        self._tell()

    def _became_ready(self, task: Task) -> None:
        if task.running and self.admits is not None and not self.admits(task):
            agenda = self.place.agenda
            agenda.at_ms(agenda.ms + CHECKED_EVERY_MS, lambda: self._became_ready(task), Order.PHYSICS)
        elif task.running:
            task.ready = True
            self._tell()
            self.reconcile()

    def _crashed(self, task: Task) -> None:
        if task.running:
            self.fail_task(task, "EssentialContainerExited", "Essential container in task exited", exit_code=1)

    def fail_task(self, task: Task, code: str, reason: str, exit_code: int | None = None) -> None:
        """A task ended by itself."""
        deployment, agenda = task.deployment, self.place.agenda
        if deployment.rollout == "IN_PROGRESS":
            deployment.failed += 1
            deployment.updated_at = agenda.now
        back_off = min(10 * SECOND_MS * 2 ** min(deployment.failed // max(self.desired, 1), 10), LONGEST_BACK_OFF_MS)
        self._blocked_until = agenda.ms + (back_off if deployment.failed else 0)
        self._steady = False
        if deployment.failed and deployment.failed % max(3 * self.desired, 3) == 0:
            self._say("is unable to consistently start tasks successfully. See the Troubleshooting guide.")
        self._end_task(task, code, reason, exit_code)
        if self.breaker and deployment.rollout == "IN_PROGRESS" and deployment.failed >= self._breaker_limit:
            self._trip(deployment)
        self.reconcile()

    @property
    def _breaker_limit(self) -> int:
        return min(max(3, math.ceil(0.5 * self.desired)), 200)

    def _trip(self, deployment: Deployment) -> None:
        deployment.rollout = "FAILED"
        deployment.reason = "ECS deployment circuit breaker: tasks failed to start."
        self._close(deployment, "STOPPED", None)
        self._say(f"(deployment {deployment.id}) deployment failed: tasks failed to start.")
        if self.breaker_rolls_back and self.roll_back(deployment):
            self._say(f"rolling back to deployment {self.primary.id}.")

    def _stopped(self, task: Task, code: str, reason: str, exit_code: int | None = None) -> None:
        if task.status != "STOPPED":
            self._end_task(task, code, reason, exit_code)
            self.reconcile()

    def _end_task(self, task: Task, code: str, reason: str, exit_code: int | None) -> None:
        agenda = self.place.agenda
        task.stopping_at = task.stopping_at or agenda.now
        task.status, task.stopped_at, task.ready = "STOPPED", agenda.now, False
        task.stop_code, task.stopped_reason, task.exit_code = (
            task.stop_code or code,
            task.stopped_reason or reason,
            exit_code,
        )
        agenda.at_ms(agenda.ms + STOPPED_TASK_KEPT_MS, lambda: self.tasks.remove(task) if task in self.tasks else None)
        self._tell()

    def _say(self, message: str, at: datetime | None = None) -> None:
        event = {
            "id": new_id(),
            "createdAt": at or self.place.agenda.now,
            "message": f"(service {self.name}) {message}",
        }
        self.events.insert(0, event)
        del self.events[KEPT_EVENTS:]

    def _tell(self) -> None:
        for listener in self.listeners:
            listener()
