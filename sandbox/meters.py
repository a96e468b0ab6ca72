"""
Meters: once a virtual minute, what happened becomes metrics, as the services themselves report it.

A queue that holds nothing and where nothing happens is not visited: its zeros hold until six hours after the
last activity, and then it stops reporting, as on AWS. A queue with messages is active.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sandbox.clock import Agenda, Order
from sandbox.metrics import MINUTE_MS, Metrics
from sandbox.queues import Queues
from sandbox.services import Service

IDLE_MINUTES = 6 * 60
IDLE_CPU_PERCENT = 2.0
_GAUGES = (
    "ApproximateNumberOfMessagesVisible",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateAgeOfOldestMessage",
)
_COUNTERS = ("NumberOfMessagesSent", "NumberOfMessagesReceived", "NumberOfMessagesDeleted", "NumberOfEmptyReceives")

Meter = Callable[[int], None]  # takes the minute that just ended, in minutes since the epoch


class Meters:
    """Everything that is measured, every minute."""

    def __init__(self, agenda: Agenda, metrics: Metrics, queues: Queues) -> None:
        self.all: list[Meter] = [self._measure_queues]
        self._agenda = agenda
        self._metrics = metrics
        self._queues = queues
        self._busy: set[str] = set()
        agenda.every(timedelta(minutes=1), self._minute, order=Order.METERS)

    def _minute(self) -> None:
        minute = self._agenda.ms // MINUTE_MS - 1
        for meter in self.all:
            meter(minute)

    def measure_services(self, services: Mapping[Any, Service]) -> Meter:
        """A meter of ECS services: their load, their memory and their tasks."""

        def measure(minute: int) -> None:
            for service in services.values():
                self._measure_service(service, minute)

        return measure

    def _measure_service(self, service: Service, minute: int) -> None:
        put = self._metrics.of
        dims = (("ClusterName", service.cluster), ("ServiceName", service.name))
        if service.busy is not None:
            service.load = service.busy()
        if service.leak_percent_per_hour:
            service.kill_the_full()
        running = service.running
        pending = sum(task.live and not task.running for task in service.tasks)
        if running:  # a service without tasks reports no utilization
            load = service.load * sum(task.works for task in running) / len(running)
            memory = [service.memory_percent(task) for task in running]
            put("AWS/ECS", "CPUUtilization", dims).put(minute, round(IDLE_CPU_PERCENT + 90 * load, 2))
            put("AWS/ECS", "MemoryUtilization", dims).put(minute, round(sum(memory) / len(memory), 2))
        for name, count in (
            ("RunningTaskCount", len(running)),
            ("PendingTaskCount", pending),
            ("DesiredTaskCount", service.desired),
        ):
            put("ECS/ContainerInsights", name, dims).put(minute, float(count))

    def _measure_queues(self, minute: int) -> None:
        queues, put = self._queues, self._metrics.of
        queues.expire_all()
        visited = sorted(queues.touched | self._busy)
        queues.touched.clear()
        self._busy.clear()
        for arn in visited:
            if not queues.exists(arn):
                continue
            queue = queues.find(arn)
            depth, tally = queues.depth(queue), queues.tallies[arn]
            counters = (tally.sent, tally.received, tally.deleted, tally.empty_receives)
            age = 0 if depth.oldest_ms is None else (self._agenda.ms - depth.oldest_ms) // 1000
            dims = (("QueueName", queue.name),)
            if depth.total or any(counters):
                self._busy.add(arn)
            until = minute + 1 + (0 if depth.total else IDLE_MINUTES)
            for name, value in zip(_GAUGES, (depth.visible, depth.in_flight, depth.delayed, age), strict=True):
                put("AWS/SQS", name, dims).put(minute, value, until)
            for name, value in zip(_COUNTERS, counters, strict=True):
                put("AWS/SQS", name, dims).put(minute, value, until if not value else None)
            tally.reset()
