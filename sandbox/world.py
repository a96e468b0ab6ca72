"""
The world: an embedded AWS account with cause and effect on a virtual clock.

`with World(start) as world:` puts everything in place (moto, the seam, fake credentials, the frozen clock,
one seed for every id and dice), and puts everything back afterwards. One world at a time in a process.
"""

import concurrent.futures
import os
import random
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import cache, partial
from random import Random
from types import TracebackType
from typing import Any, ClassVar, Self
from unittest.mock import patch

import boto3
import time_machine
from botocore.loaders import Loader
from botocore.retries.standard import RetryHandler
from moto import mock_aws
from moto.acm.models import acm_backends
from moto.awslambda.models import lambda_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.core import responses
from moto.core.serialize import AttributePicker
from moto.core.utils import method_names_from_class
from moto.ec2.models import ec2_backends
from moto.ecs.models import ecs_backends
from moto.elbv2.models import elbv2_backends
from moto.events.models import events_backends
from moto.moto_api._internal import mock_random
from moto.route53.models import route53_backends
from moto.sqs.models import sqs_backends

from sandbox.alarms import Alarms
from sandbox.bills import Bill
from sandbox.clock import Agenda, Entry, Order
from sandbox.consumers import Dependencies
from sandbox.events import Bus
from sandbox.fakes.autoscaling import Autoscaling
from sandbox.fakes.composite_alarms import CompositeAlarms
from sandbox.fakes.conditional_copies import ConditionalCopies
from sandbox.fakes.ecs_services import EcsServices
from sandbox.fakes.log_insights import LogInsights
from sandbox.fakes.metric_data import MetricData
from sandbox.fakes.move_tasks import MoveTasks
from sandbox.fakes.notifications import Notifications
from sandbox.fakes.stacks import Stacks
from sandbox.fakes.transactions import Transactions
from sandbox.faults import Faults
from sandbox.front_doors import FrontDoors
from sandbox.images import Images
from sandbox.lambdas import Lambdas
from sandbox.ledger import Ledger, ProcessedLog
from sandbox.load_balancers import TargetGroups
from sandbox.mailbox import Mailbox
from sandbox.meters import Meters
from sandbox.metrics import Metrics
from sandbox.queues import Queues
from sandbox.seam import OPERATOR_KEY, LeftTheSandbox, Seam
from sandbox.services import TASK, Service
from sandbox.thin.client import OperatorClient, sleep
from sandbox.thin.cloud import ThinCloud
from sandbox.trail import Trail

ACCOUNT = "123456789012"
REGION = "eu-central-1"


class World:
    """
    One AWS account, one region, one virtual clock, one seed.

    A `thin` world is the same account with the same physics, many times quicker: its calls pass through no client of
    the SDK and no server of moto's (see `sandbox.thin`), only through the seam.
    """

    _current: ClassVar["World | None"] = None

    def __init__(
        self, start: datetime, seed: int = 0, account: str = ACCOUNT, region: str = REGION, *, thin: bool = False
    ) -> None:
        self.seed = seed
        self.account = account
        self.region = region
        self.agenda = Agenda(start)
        self.bill = Bill(self.agenda)
        self.seam = Seam(lambda: self.agenda.now)
        self.trail = Trail()
        self.faults = Faults(self.agenda, self.dice("faults"))
        self.seam.arounds += [self.trail.around, self.faults.around]
        self.mail = Mailbox(self.seam)
        self.ledger = Ledger()
        self.queues = Queues(self.agenda, self.ledger, self.dice("queues"), account, region)
        self.move_tasks = MoveTasks(self.agenda, self.queues, self.seam)
        self.metrics = Metrics()
        self.metric_data = MetricData(self.agenda, self.metrics, self.seam)
        self.meters = Meters(self.agenda, self.metrics, self.queues)
        self.dependencies = Dependencies()
        self.images = Images(self.agenda, self.seam, account, region)
        self.ecs = EcsServices(self.agenda, self.images, self.seam, self.dice("ecs"), (account, region))
        self.ecs.created.append(self._bill_tasks)
        self.front_doors = FrontDoors(account, region)
        self.target_groups = TargetGroups(self.seam)
        self.insights = LogInsights(self.agenda, self.seam)
        self.meters.all += [self.target_groups.measure, self.meters.measure_services(self.ecs.all)]
        self.autoscaling = Autoscaling(self.agenda, self.ecs, self.metrics, self.seam, (account, region))
        self.stacks = Stacks(self.agenda, self.seam, (account, region))
        self.notifications = Notifications(self.agenda, self.queues, self.seam, region)
        self.events = Bus(self.agenda, self.seam, (account, region))
        self.alarms = Alarms(self.agenda, self.metrics, self.events, self.seam, (account, region))
        CompositeAlarms(self.agenda, self.alarms, self.seam)
        self.lambdas = Lambdas(self.agenda, self.queues, self.seam, (account, region))
        self.events.receivers.append(self.lambdas.deliver)
        self.cloud = ThinCloud(self) if thin else None
        if not thin:
            Transactions(self.agenda, self.seam)
            ConditionalCopies(account, self.seam)
        self.set_clock: Callable[[int], Any] = lambda _ms: None  # Python's own clock, in milliseconds since the epoch
        self._has_moto = not thin
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if World._current is not None:
            raise RuntimeError("one world at a time: another one is still open in this process")
        World._current = self
        with ExitStack() as stack:
            stack.callback(self._leave)
            self._enter(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # -- time

    @property
    def now(self) -> datetime:
        """The present, in UTC."""
        return self.agenda.now

    def at(self, when: datetime | timedelta, do: Callable[[], object], order: Order = Order.CODE) -> Entry:
        """Do something at a moment, or after a span from now."""
        return self.agenda.at(when, do, order)

    def every(self, period: timedelta, do: Callable[[], object], order: Order = Order.CODE) -> Entry:
        """Do something at every multiple of a period, until it is cancelled."""
        return self.agenda.every(period, do, order=order)

    def run(self, for_: timedelta) -> None:
        """Let the world run: the clock jumps from one thing that happens to the next."""
        self.agenda.run(for_)

    def run_until(self, condition: Callable[[], object], limit: timedelta) -> timedelta:
        """Let the world run until the condition holds; `NeverHappened` when it does not within the limit."""
        return self.agenda.run_until(condition, limit)

    # -- access

    def client(self, service: str) -> Any:
        """The operator's client: recorded under that name, and spared by faults."""
        if self.cloud is None:
            return _operator_client(service, self.region)
        return OperatorClient(self.cloud.client(service, OPERATOR_KEY), partial(self._full, service))

    def _full(self, service: str) -> Any:
        """The operator's client of moto, in a thin world, which has no moto until somebody needs it."""
        if not self._has_moto:
            mock = _moto()
            mock.start(reset=False)
            self._stack.callback(mock.stop)
            self._has_moto = True
        return _operator_client(service, self.region)

    def dice(self, name: str) -> Random:
        """A source of chance of its own: what one part draws does not change what another one gets."""
        return Random(f"{self.seed}/{name}")

    @property
    def processed(self) -> ProcessedLog:
        """What consumers finished, by body: the ground truth."""
        return self.ledger.processed

    def unaccounted(self) -> dict[str, int]:
        """Messages that are missing or from nowhere, by fingerprint. Empty means that none was lost or made up."""
        return self.ledger.unaccounted(self.queues.present())

    def arn(self, service: str, resource: str) -> str:
        """An ARN in this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def _bill_tasks(self, service: Service) -> None:
        """Tasks are paid for from when they run until they have stopped."""

        def count() -> None:
            paid = sum(task.status in ("RUNNING", "DEACTIVATING") for task in service.tasks)
            self.bill.has(service.arn, TASK, paid)

        service.listeners.append(count)

    # -- in and out

    def _enter(self, stack: ExitStack) -> None:
        stack.enter_context(
            patch.dict(
                os.environ,
                {
                    "AWS_ACCESS_KEY_ID": "AKIASANDBOXSANDBOX00",
                    "AWS_SECRET_ACCESS_KEY": "sandbox",
                    "AWS_SESSION_TOKEN": "sandbox",
                    "AWS_DEFAULT_REGION": self.region,
                    "AWS_REGION": self.region,
                    "AWS_CONFIG_FILE": os.devnull,
                    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
                    "AWS_EC2_METADATA_DISABLED": "true",
                    "MOTO_ACCOUNT_ID": self.account,
                    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # 1,300 images that nobody here starts, in every world
                },
            )
        )
        os.environ.pop("AWS_PROFILE", None)
        os.environ.pop("AWS_ENDPOINT_URL", None)
        stack.callback(random.setstate, random.getstate())
        random.seed(self.seed)
        mock_random.seed(self.seed)
        if self.cloud is None:
            stack.enter_context(_moto())
        else:
            for backends in _THIN_BACKENDS:
                backends.reset()
        travel = time_machine.travel(self.agenda.now, tick=False)
        traveller = travel.start()
        stack.callback(travel.stop)
        self.set_clock = partial(_set_clock, traveller)
        self.agenda.bind(lambda seconds: self.set_clock(round(seconds * 1000)))
        ids = self.dice("uuid")
        for each in (
            patch.object(time, "sleep", lambda seconds: self.agenda.run(timedelta(seconds=seconds))),
            patch.object(time, "monotonic", lambda: self.agenda.ms / 1000),
            patch.object(uuid, "uuid4", lambda: uuid.UUID(int=ids.getrandbits(128), version=4)),
            patch.object(concurrent.futures.ThreadPoolExecutor, "submit", _submit_inline),
            patch.object(socket.socket, "connect", _no_network),
            patch.object(socket.socket, "connect_ex", _no_network),
            patch.object(socket, "getaddrinfo", _no_names),
            patch.object(Loader, "load_service_model", _load_once),
            patch.object(RetryHandler, "__init__", _sleep_here(RetryHandler.__init__)),
            patch.object(AttributePicker, "__call__", _pick_quickly(AttributePicker.__call__)),
            patch.object(responses, "method_names_from_class", _method_names),
        ):
            stack.enter_context(each)
        if self.cloud is not None:
            stack.enter_context(patch.object(boto3, "Session", self.cloud.session))
        self.queues.install(self.seam)
        stack.callback(self.queues.remove)
        self.seam.install()
        stack.callback(self.seam.remove)

    def _leave(self) -> None:
        World._current = None


_THIN_BACKENDS = (
    acm_backends,
    cloudwatch_backends,
    ec2_backends,
    ecs_backends,
    elbv2_backends,
    events_backends,
    lambda_backends,
    route53_backends,
    sqs_backends,
)
"""what the physics works on: a thin world has it without the rest of moto"""


def _set_clock(traveller: Any, ms: int) -> None:
    """What `move_to` does, in a tenth of its time: it is done at every call, and our times need no parsing."""
    traveller._destination_timestamp_ns = ms * 1_000_000  # noqa: SLF001 - as above; the lock pins the library


def _moto() -> Any:
    return mock_aws(config={"core": {"mock_credentials": False, "reset_boto3_session": True}})


@cache
def _operator_client(service: str, region: str) -> Any:
    return boto3.session.Session().client(
        service,
        region_name=region,
        aws_access_key_id=OPERATOR_KEY,
        aws_secret_access_key="sandbox",  # noqa: S106 - no secret: nothing here checks it
    )


_load_service_model = Loader.load_service_model


@cache
def _model(service: str, kind: str, version: str | None) -> Any:
    return _load_service_model(Loader(), service, kind, version)


def _load_once(loader: Loader, service_name: str, type_name: str, api_version: str | None = None) -> Any:
    """A service's model, read once in a process and shared, as one session shares it among its clients."""
    if type(loader) is not Loader:  # moto's own, which finds more
        return _load_service_model(loader, service_name, type_name, api_version)
    return _model(service_name, type_name, api_version)


def _submit_inline(
    _pool: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> concurrent.futures.Future[Any]:
    """A thread pool without threads: what is submitted is done at once, in order."""
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_running_or_notify_cancel()
    try:
        future.set_result(function(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 - a future holds whatever its function raised
        future.set_exception(error)
    return future


def _no_network(sock: socket.socket, address: object) -> None:
    sock.close()
    raise LeftTheSandbox(f"a socket would have connected to {address!r}")


def _no_names(host: object, *_: Any, **__: Any) -> None:
    raise LeftTheSandbox(f"somebody would have looked up {host!r}")


def _sleep_here(original: Callable[..., None]) -> Callable[..., None]:
    """The SDK's retries know the `time.sleep` of when it was imported: a client of a world sleeps in the world."""

    def init(handler: Any, *args: Any, **more: Any) -> None:
        original(handler, *args, **{"sleep": sleep, **more})

    return init


_method_names = cache(method_names_from_class)
"""Speed only: moto looks through a class's methods at every call."""


def _pick_quickly(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """
    Speed only: moto guesses aliases for every member of every answer, which is a third of a DynamoDB call.

    When the answer is a plain dict that has the member under its own name, there is nothing to guess.
    """

    def pick(picker: Any, context: Any) -> Any:
        answer = context.obj
        if type(answer) is dict and context.key in answer and not picker.response_transformers:
            return answer[context.key]
        return original(picker, context)

    return pick
