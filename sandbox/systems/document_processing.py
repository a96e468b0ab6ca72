"""
Runbook 3, the Document Management System: each document is an execution that is scanned, read by OCR and indexed.

Resources  state machine dms-processing-<env>
Causes     the malware scan, the OCR or the search index is down (everything fails there, and works again afterwards);
           a corrupt document (OCR fails at it for ever); a changed definition; somebody aborts; an EXPRESS machine
"""

import itertools
import json
from datetime import timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.state_machines import Execution, StateMachine, StateMachines, TaskStep
from sandbox.systems.document_management import INDEX, SCANNER
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = [
    "CODE",
    "NAME",
    "OCR",
    "DocumentProcessing",
    "processing_configuration",
    "processing_target",
    "state_machines",
]

OCR = "ocr"
CODE = "thumbnails"
"""what nobody has called passing: the code of a step, which fails with an error of its own"""
STEPS = (
    TaskStep("scan", needs=SCANNER),
    TaskStep("ocr", takes=timedelta(seconds=20), needs=OCR, times_out=True),
    TaskStep("thumbnails", needs=CODE, error="KeyError"),
    TaskStep("index", needs=INDEX, error="Lambda.TooManyRequestsException"),
)
NAME = "execution-failed"


class DocumentProcessing:
    """The processing of the documents of one environment."""

    def __init__(
        self, world: World, env: str = "prod", *, kind: str = "STANDARD", machines: StateMachines | None = None
    ) -> None:
        self.world = world
        self.machines = machines or state_machines(world)
        self.machine: StateMachine = self.machines.make(
            f"dms-processing-{env}", *STEPS, kind=kind, bad=_corrupt, tags=dict(OPT_IN)
        )
        self.per_minute = 0.0
        self._credit = 0.0
        self._numbers = itertools.count(1)
        self._dice = world.dice(f"processing/{env}")
        world.every(timedelta(minutes=1), self._produce, order=Order.PHYSICS)

    @property
    def arn(self) -> str:
        """The state machine's ARN."""
        return self.machine.arn

    # -- load

    def offer(self, per_minute: float) -> None:
        """Documents come in at this rate from now on."""
        self.per_minute = per_minute

    def upload(self, count: int = 1, **more: Any) -> list[Execution]:
        """Somebody uploads documents now: each is an execution, named by the document."""
        return [self._upload(**more) for _ in range(count)]

    def _upload(self, **more: Any) -> Execution:
        document = f"doc-{next(self._numbers):05d}-{self._dice.getrandbits(32):08x}"
        text = json.dumps({"documentId": document, "tenantId": "tenant-07", "owner": "Erika Mustermann", **more})
        return self.machines.start(self.machine, document, text)

    def _produce(self) -> None:
        self._credit += self.per_minute
        for _ in range(int(self._credit)):
            self._upload()
        self._credit %= 1

    # -- causes

    def down(self, name: str) -> None:
        """What a step needs stops working."""
        self.world.dependencies.fail(name)

    def up(self, name: str) -> None:
        """It works again."""
        self.world.dependencies.heal(name)

    def outage(self, name: str, minutes: float, documents: int = 0) -> list[Execution]:
        """What a step needs is down for a while; so many documents come in besides."""
        self.down(name)
        found = self.upload(documents)
        self.world.run(timedelta(minutes=minutes))
        self.up(name)
        return found

    def release(self, revision: str) -> None:
        """Somebody changes the definition."""
        self.machines.release(self.machine, revision)

    # -- what is so

    @property
    def failed(self) -> list[Execution]:
        """What has failed or timed out."""
        return self.machine.of("FAILED", "TIMED_OUT")

    @property
    def left(self) -> list[Execution]:
        """What has failed and whose document was not finished by another execution since."""
        return [each for each in self.failed if not self.machine.finished[each.input]]

    @property
    def twice(self) -> list[tuple[str, str]]:
        """What was done more than once for one document: what must never be."""
        return [each for each, times in self.machine.done.items() if times > 1]


def state_machines(world: World) -> StateMachines:
    """The state machines of a world's account."""
    found = StateMachines(world.agenda, world.dependencies, world.metrics, world.seam, (world.account, world.region))
    world.meters.all.append(found.measure)
    return found


def _corrupt(text: str) -> str | None:
    """The step at which a document fails for ever."""
    return "ocr" if '"corrupt": true' in text else None


def processing_target(system: DocumentProcessing, *, mode: str = "auto") -> str:
    """The state machine as a target."""
    return f'[[systems.targets]]\narn = "{system.arn}"\nmode = "{mode}"\n'


def processing_configuration(system: DocumentProcessing, *, mode: str = "auto", settings: str = "") -> str:
    """A deployment's TOML for one state machine."""
    world = system.world
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.{NAME}]
mode = "auto"
{settings}

[[systems]]
name = "documents"
{processing_target(system, mode=mode)}"""
