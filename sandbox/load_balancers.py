"""
Load balancers: requests come in, tasks answer them or do not, and the target group says who is healthy.

Gap filled: moto's DescribeTargetHealth knows nothing of ECS tasks. As in AWS, a target that does not answer
becomes unhealthy, and ECS replaces its task after a while; with every target unhealthy the load balancer
fails open and still sends traffic. A task that never becomes healthy keeps its deployment from completing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sandbox.clock import Agenda, Order, to_ms
from sandbox.fakes.log_insights import Line, RequestLog
from sandbox.front_doors import OPEN, Passage
from sandbox.images import Behaviour
from sandbox.metrics import MINUTE_MS, Metrics, Sample
from sandbox.seam import Answer, Call, Seam
from sandbox.services import Service, Task

NAMESPACE = "AWS/ApplicationELB"
SAMPLES = 40
TIMEOUT_SECONDS = 60.0
SWAPS_FROM_PERCENT = 70.0


@dataclass(eq=False)
class TargetGroup:
    """A target group, the service behind it, and the load in front of it."""

    agenda: Agenda
    metrics: Metrics
    dice: Random
    arn: str
    load_balancer_arn: str
    service: Service
    port: int = 3000
    per_minute: float = 0.0  # requests offered
    task_per_minute: float = 600.0  # requests that one task answers at full load
    seconds: float = 0.08  # how long one answer takes without load
    errors: float = 0.0  # the share of requests that fail in the application
    replaced_after: timedelta | None = timedelta(minutes=2)  # how long ECS watches an unhealthy target; None: for ever
    failing: dict[str, str] = field(default_factory=dict)  # task id -> why it fails its health checks, and only those
    all_failing: str | None = None  # why every task does, also one that starts
    failing_paths: dict[str, float] = field(default_factory=dict)  # path -> the share of its requests that fail
    slow_paths: dict[str, float] = field(default_factory=dict)  # path -> seconds that its answers take longer
    slow: float = 0.0  # seconds that every answer takes longer, for what the tasks call: it costs no CPU
    paths: tuple[str, ...] = ("/",)  # what is asked for, in turn
    log: RequestLog | None = None
    door: Callable[[], Passage] = lambda: OPEN  # how far requests come that are offered
    _unhealthy_since: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.service.admits = lambda task: self._trouble(task) is None
        self.agenda.every(timedelta(seconds=15), self._check_health, order=Order.PHYSICS)

    @property
    def dims(self) -> tuple[tuple[str, str], ...]:
        """The dimensions of its metrics, as CloudWatch wants them."""
        balancer = self.load_balancer_arn.partition(":loadbalancer/")[2]
        return (("LoadBalancer", balancer), ("TargetGroup", self.arn.rpartition(":")[2]))

    def health(self, task: Task) -> tuple[str, str | None]:
        """The state of one target, and its reason."""
        if task.status == "DEACTIVATING":
            return "draining", "Target.DeregistrationInProgress"
        if (trouble := self._trouble(task)) is not None:
            return "unhealthy", trouble
        if not task.ready:
            return "initial", "Elb.InitialHealthChecking"
        return "healthy", None

    def _trouble(self, task: Task) -> str | None:
        if task.wedged or task.image.behaviour is Behaviour.HANGS:
            return "Target.Timeout"
        if task.image.behaviour is Behaviour.FAILS:
            return "Target.ResponseCodeMismatch"
        return self.all_failing or self.failing.get(task.id)

    @staticmethod
    def _answers(task: Task) -> bool:
        """Whether it answers requests, whatever its health checks say."""
        return task.works and task.image.behaviour is not Behaviour.FAILS

    @property
    def targets(self) -> list[tuple[Task, str, str | None]]:
        """Every registered task with its state and reason."""
        return [(task, *self.health(task)) for task in self.service.tasks if task.status in ("RUNNING", "DEACTIVATING")]

    def measure(self, minute: int) -> None:
        """One minute of traffic becomes metrics."""
        states = [state for _, state, _ in self.targets]
        healthy, unhealthy = states.count("healthy"), states.count("unhealthy")
        self._put("HealthyHostCount", minute, float(healthy))
        self._put("UnHealthyHostCount", minute, float(unhealthy))
        requests = round(self.per_minute * self.dice.uniform(0.95, 1.05))
        answering = healthy or sum(self._answers(task) for task, state, _ in self.targets if state == "unhealthy")
        passage = self.door()
        offered = self.per_minute if passage.arrives else 0.0
        load = offered / (self.task_per_minute * answering) if answering else 0.0
        self.service.load = min(load, 1.0)
        if not requests or not passage.connects:
            return
        self._put_own("NewConnectionCount", minute, requests)
        if not passage.arrives:
            self._put_own(passage.answer, minute, requests)
            return
        if not healthy and not unhealthy:
            self._put_own("HTTPCode_ELB_5XX_Count", minute, requests)
            self._put_own("HTTPCode_ELB_503_Count", minute, requests)
            return
        self._put("RequestCount", minute, float(requests))
        by_path = sum(self.failing_paths.values()) / len(self.paths)
        share = min(self.errors + by_path + max(load - 1.0, 0.0), 1.0)
        failed = requests if not answering else round(requests * share)
        if failed:  # counters of errors are reported only when there are any
            timed_out = not answering and any(task.wedged for task, _, _ in self.targets)
            if timed_out:
                self._put_own("HTTPCode_ELB_5XX_Count", minute, failed)
                self._put_own("HTTPCode_ELB_504_Count", minute, failed)
            else:
                self._put("HTTPCode_Target_5XX_Count", minute, float(failed))
        if requests - failed:
            self._put("HTTPCode_Target_2XX_Count", minute, float(requests - failed))
        times = self._times(load, requests, hanging=not answering)
        self._put("TargetResponseTime", minute, Sample.of(times))
        self._put_own("RequestCount", minute, requests)
        if self.log is not None and answering:
            self.log.write(minute, self._lines(times, max(share - by_path, 0.0)))

    def remember(self, span: timedelta, *, quiet: tuple[datetime, datetime] | None = None) -> None:
        """
        The past is as if the present load had come all the time, but for a quiet span; only what is reported of it.

        To be told before anything is measured: a series of equal minutes costs as much as one of them.
        """
        now = self.agenda.ms // MINUTE_MS
        start = now - round(span.total_seconds() / 60)
        gap = [to_ms(each) // MINUTE_MS for each in quiet] if quiet else [now, now]
        for name, value in (("HealthyHostCount", self.service.desired), ("UnHealthyHostCount", 0)):
            self.metrics.of(NAMESPACE, name, self.dims).put(start, float(value), now)
        requests = float(round(self.per_minute))
        for begins, ends in ((start, gap[0]), (gap[1], now)):
            if requests and begins < ends:
                self.metrics.of(NAMESPACE, "RequestCount", self.dims).put(begins, requests, ends)

    def _times(self, load: float, requests: int, *, hanging: bool) -> list[float]:
        if hanging:
            return [TIMEOUT_SECONDS] * min(requests, SAMPLES)
        stretch = 1 / max(1 - min(load, 0.98), 0.02)  # queueing: the closer to full, the longer it takes
        stretch *= self._swapping()
        return [
            self.seconds * stretch * self.dice.lognormvariate(0, 0.3)
            + self.slow
            + self.slow_paths.get(self.paths[number % len(self.paths)], 0.0)
            for number in range(min(requests, SAMPLES))
        ]

    @property
    def quick(self) -> bool:
        """Whether answers take less than a second without load, and do not fail."""
        return self.seconds * self._swapping() + self.slow < 1 and not self.errors

    def _swapping(self) -> float:
        """Tasks whose memory is nearly full collect garbage more than they work: up to sixty times as slow."""
        full = [self.service.memory_percent(task) for task in self.service.running]
        return 1 + max(sum(full) / len(full) - SWAPS_FROM_PERCENT, 0.0) * 2 if full else 1.0

    def _lines(self, times: list[float], everywhere: float) -> list[Line]:
        """A sample of a minute's requests as the application logs them: every so many of each path went wrong."""
        lines: list[Line] = []
        for number, seconds in enumerate(times):
            path = self.paths[number % len(self.paths)]
            share, turn = everywhere + self.failing_paths.get(path, 0.0), number // len(self.paths)
            wrong = int((turn + 1) * share + 1e-6) > int(turn * share + 1e-6)
            lines.append((path, 500 if wrong else 200, round(seconds * 1000)))
        return lines

    def _put_own(self, name: str, minute: int, count: int) -> None:
        """What the load balancer answers itself is counted for it as a whole, under no target group."""
        self.metrics.of(NAMESPACE, name, self.dims[:1]).put(minute, float(count))

    def _put(self, name: str, minute: int, value: float | Sample) -> None:
        self.metrics.of(NAMESPACE, name, self.dims).put(minute, value)

    def _check_health(self) -> None:
        if self.replaced_after is None:
            return
        limit, now = round(self.replaced_after.total_seconds() * 1000), self.agenda.ms
        unhealthy = {task.id: task for task, state, _ in self.targets if state == "unhealthy"}
        self._unhealthy_since = {each: self._unhealthy_since.get(each, now) for each in unhealthy}
        for each, since in self._unhealthy_since.items():
            if now - since >= limit:
                reason = f"Task failed ELB health checks in (target-group {self.arn})"
                self.service.stop_task(unhealthy[each], "ServiceSchedulerInitiated", reason)
                self.service.reconcile()


class TargetGroups:
    """The target groups that stand before ECS services."""

    def __init__(self, seam: Seam) -> None:
        self.all: dict[str, TargetGroup] = {}
        seam.fake("elbv2", DescribeTargetHealth=self._describe_target_health)

    def add(self, group: TargetGroup) -> TargetGroup:
        """A target group is there from now on."""
        self.all[group.arn] = group
        return group

    def measure(self, minute: int) -> None:
        """One minute of all traffic becomes metrics."""
        for group in self.all.values():
            group.measure(minute)

    def _describe_target_health(self, call: Call) -> Answer | None:
        group = self.all.get(call.params["TargetGroupArn"])
        if group is None:
            return None
        shown: list[dict[str, Any]] = []
        for task, state, reason in group.targets:
            health: dict[str, str] = {"State": state} | ({"Reason": reason, "Description": reason} if reason else {})
            target = {"Id": task.address, "Port": group.port, "AvailabilityZone": "eu-central-1a"}
            shown.append({"Target": target, "HealthCheckPort": str(group.port), "TargetHealth": health})
        return {"TargetHealthDescriptions": shown}
