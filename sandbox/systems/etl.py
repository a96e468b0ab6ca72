"""
Runbook 1, the processing half of OpenData Pulse: raw files come in, and a function makes a curated one of each.

Resources  a bucket with air/raw/<day>/<file>.json, a queue that S3 tells of it, a dead-letter queue, a Lambda function
           that takes from the queue, and a bucket with air/curated/<day>/<file>.parquet
Causes     a notification is lost; the function fails at everything, or at one file; it is turned away; it is stopped;
           its mapping is disabled; the bucket no longer tells the queue
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from moto.sqs.models import Queue

from sandbox.clock import Order
from sandbox.consumers import Consumer, pollers
from sandbox.ledger import fingerprint
from sandbox.queues import redrive_policy
from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

RAW, CURATED = "air/raw/", "air/curated/"
TIMEOUT = timedelta(minutes=2)
STORE = "store"
"""what the function needs for every file"""


@dataclass(frozen=True, slots=True)
class Row:
    """What one run of the function made: of which file, as of which writing of it, when, and for which message."""

    key: str
    etag: str
    at: datetime
    message: str  # the fingerprint of what it was told


class Etl:
    """
    The pipeline of one environment. There is one in a world: the functions that AWS lists are its own.

    Where its function is ``idempotent``, a second run over a file replaces its rows; else it adds them once more.
    """

    cures_letters = "sqs-dlq-backlog"

    def __init__(self, world: World, env: str = "prod", *, idempotent: bool = True) -> None:
        self.world = world
        self.raw, self.curated = f"pulse-{env}-raw", f"pulse-{env}-curated"
        self.function = f"pulse-{env}-etl"
        self.idempotent = idempotent
        self.reserved: int | None = None
        self.enabled = True
        self.throttled = False
        self.forgets = False  # it finishes messages, and makes nothing
        self.made: list[Row] = []  # by every run
        self.rows: list[Row] = []  # what is in the table
        self.poison: set[str] = set()
        self._lost = False
        self._figures: Counter[str] = Counter()
        self._numbers = count(1)
        self._s3 = world.client("s3")
        for bucket in (self.raw, self.curated):
            self._s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": world.region})
            tags = [{"Key": key, "Value": value} for key, value in OPT_IN.items()]
            self._s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
        self.dlq_url, self.dlq_arn = self._queue(f"pulse-{env}-processing-dlq")
        self._build(env)
        before = world.notifications.lost
        world.notifications.lost = lambda key: before(key) or (self._lost and key.startswith(RAW))
        world.every(timedelta(minutes=1), self._measure, order=Order.METERS)
        self.route()

    def _build(self, env: str) -> None:
        """The queue that S3 tells, and the function that takes from it."""
        world = self.world
        self.queue_url, self.queue_arn = self._queue(
            f"pulse-{env}-processing", RedrivePolicy=redrive_policy(self.dlq_arn, 3)
        )
        self.consumer = Consumer(
            agenda=world.agenda,
            queues=world.queues,
            dependencies=world.dependencies,
            dice=world.dice(f"consumer/{self.function}"),
            queue=self.queue,
            workers=pollers(self.function, 5, lambda: self.enabled and self.reserved != 0),
            per_second=0.2,
            holds=timedelta(seconds=8),
            poison=self._fails,
        )
        world.seam.fake(
            "lambda",
            GetFunctionConcurrency=self._concurrency,
            GetFunctionConfiguration=self._configuration,
            ListEventSourceMappings=self._mappings,
            ListTags=lambda _: {"Tags": dict(OPT_IN)},
        )

    # -- what is so

    @property
    def hears(self) -> str:
        """The ARN of whom S3 tells of a raw file."""
        return self.queue_arn

    @property
    def named(self) -> str:
        """How a configuration says that."""
        return f'queue = "{self.queue_arn}"\ndead_letters = "{self.dlq_arn}"'

    @property
    def letters(self) -> str:
        """How a configuration says whose the dead-letter queue's letters are."""
        return f'source = "{self.queue_arn}"\nconsumer = "{self.function_arn}"'

    @property
    def raw_arn(self) -> str:
        """The ARN of the bucket with raw files."""
        return f"arn:aws:s3:::{self.raw}"

    @property
    def curated_arn(self) -> str:
        """The ARN of the bucket with curated ones."""
        return f"arn:aws:s3:::{self.curated}"

    @property
    def function_arn(self) -> str:
        """The function's ARN."""
        return self.world.arn("lambda", f"function:{self.function}")

    @property
    def queue(self) -> Queue:
        """The queue itself."""
        return self.world.queues.find(self.queue_arn)

    @property
    def dlq(self) -> Queue:
        """The dead-letter queue itself."""
        return self.world.queues.find(self.dlq_arn)

    @property
    def dead(self) -> int:
        """Everything in the dead-letter queue."""
        return self.world.queues.depth(self.dlq).total

    @property
    def missing(self) -> list[str]:
        """The raw files of which there is no curated one."""
        return [key for key, _ in self._missing()]

    def late(self, span: timedelta) -> list[str]:
        """Those of them that have been there for longer than a span."""
        return [key for key, written in self._missing() if self.world.now - written > span]

    @property
    def runs(self) -> Counter[str]:
        """How often a file was processed to its end, idempotent or not."""
        return Counter(row.key for row in self.made)

    @property
    def duplicated(self) -> list[str]:
        """Files whose rows are in the table twice: what must never be."""
        found = Counter((row.key, row.etag) for row in self.rows)
        return sorted(key for (key, _), times in found.items() if times > 1)

    @property
    def again(self) -> int:
        """How many runs were over a file that had been processed to its end before."""
        return sum(times - 1 for times in self.runs.values())

    # -- load

    def arrive(self, files: int = 1) -> list[str]:
        """So many raw files come in now."""
        made = []
        for number in (next(self._numbers) for _ in range(files)):
            key = f"{RAW}{self.world.now:%Y/%m/%d}/{number:05d}.json"
            self.write(key)
            made.append(key)
        return made

    def arrive_poison(self) -> str:
        """A raw file comes in at which the function always fails."""
        key = f"{RAW}{self.world.now:%Y/%m/%d}/{next(self._numbers):05d}.json"
        self.poison.add(key)
        self.write(key)
        return key

    def write(self, key: str) -> None:
        """Somebody puts a raw object, anew or once more."""
        content = {"key": key, "at": self.world.now.isoformat()}
        self._s3.put_object(Bucket=self.raw, Key=key, Body=json.dumps(content).encode())

    def tell(self, key: str) -> None:
        """What is said of a file is given out once more: SQS and Lambda promise at least once, and no more."""
        record = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": self.raw}, "object": {"key": key}}}
        self._hear(json.dumps({"Records": [record]}))

    def _hear(self, body: str) -> None:
        self.world.queues.put(self.queue, body)

    # -- causes

    def process(self, key: str) -> None:
        """Somebody processes a file by hand."""
        self._works(json.dumps({"Records": [{"s3": {"object": {"key": key}}}]}))

    def lose(self) -> None:
        """What S3 tells of raw files gets lost, until it no longer does."""
        self._lost = True

    def lose_no_more(self) -> None:
        """What S3 tells arrives again."""
        self._lost = False

    def outage(self) -> None:
        """What the function needs is down: it fails at everything."""
        self.world.dependencies.fail(STORE)

    def outage_ends(self) -> None:
        """What the function needs is up again."""
        self.world.dependencies.heal(STORE)

    def route(self, *, told: bool = True) -> None:
        """The bucket tells the queue of raw files, or of none."""
        kind = self.hears.split(":")[2]
        field, configurations = {
            "sqs": ("QueueArn", "QueueConfigurations"),
            "lambda": ("LambdaFunctionArn", "LambdaFunctionConfigurations"),
        }[kind]
        configuration = {
            "Id": "raw",
            field: self.hears,
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": RAW}]}},
        }
        self._s3.put_bucket_notification_configuration(
            Bucket=self.raw, NotificationConfiguration={configurations: [configuration] if told else []}
        )

    def tag(self, key: str, value: str) -> None:
        """Somebody tags the bucket with raw files."""
        tags = [{"Key": key, "Value": value} for key, value in (OPT_IN | {key: value}).items()]
        self._s3.put_bucket_tagging(Bucket=self.raw, Tagging={"TagSet": tags})

    # -- what the function does

    def _fails(self, body: str) -> bool:
        """Process a message; whether that failed, so that it comes again."""
        if self.throttled:  # turned away at the door: neither a call nor an error
            self._figures["Throttles"] += 1
            return True
        self._figures["Invocations"] += 1
        if not self._works(body):
            self._figures["Errors"] += 1
            return True
        return False

    def _works(self, body: str) -> bool:
        key = unquote_plus(json.loads(body)["Records"][0]["s3"]["object"]["key"])
        if STORE in self.world.dependencies.down or key in self.poison:
            return False
        if self.forgets:
            return True
        try:
            etag = self._s3.head_object(Bucket=self.raw, Key=key)["ETag"]
        except ClientError:
            return True  # it was deleted: there is nothing to do
        if self.idempotent:
            self.rows = [row for row in self.rows if row.key != key]
        row = Row(key, etag, self.world.now, fingerprint(body))
        self.made.append(row)
        self.rows.append(row)
        made = f"{CURATED}{key.removeprefix(RAW).removesuffix('.json')}.parquet"
        self._s3.put_object(Bucket=self.curated, Key=made, Body=etag.encode())
        return True

    # -- what AWS says of it

    def _measure(self) -> None:
        """A minute of calls, as Lambda measures them; where there was none it reports nothing."""
        minute = self.world.agenda.ms // 60_000 - 1
        for name in ("Invocations", "Errors", "Throttles") if self._figures else ():
            series = self.world.metrics.of("AWS/Lambda", name, {"FunctionName": self.function})
            series.put(minute, float(self._figures[name]))
        self._figures.clear()

    def _known(self, call: Call) -> None:
        if call.params["FunctionName"] != self.function:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)

    def _concurrency(self, call: Call) -> Answer:
        self._known(call)
        return {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}

    def _configuration(self, call: Call) -> Answer:
        self._known(call)
        return {"FunctionName": self.function, "State": "Active", "Timeout": int(TIMEOUT.total_seconds())}

    def _mappings(self, call: Call) -> Answer:
        mapping = {
            "UUID": "0",
            "FunctionArn": self.function_arn,
            "EventSourceArn": self.queue_arn,
            "State": "Enabled" if self.enabled else "Disabled",
        }
        return {"EventSourceMappings": [mapping] if call.params["EventSourceArn"] == self.queue_arn else []}

    # -- building

    def _queue(self, name: str, **attributes: str) -> tuple[str, str]:
        settings = {"VisibilityTimeout": "60", "MessageRetentionPeriod": "1209600", **attributes}
        made = self.world.client("sqs").create_queue(QueueName=name, Attributes=settings, tags=OPT_IN)
        return made["QueueUrl"], self.world.queues.find(made["QueueUrl"]).queue_arn

    def _missing(self) -> Iterator[tuple[str, datetime]]:
        made = {each["Key"].removeprefix(CURATED).removesuffix(".parquet") for each in self._all(self.curated)}
        for each in self._all(self.raw):
            if each["Key"].removeprefix(RAW).removesuffix(".json") not in made:
                yield each["Key"], each["LastModified"]

    def _all(self, bucket: str) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._s3.list_objects_v2(Bucket=bucket, **more)
            yield from page.get("Contents", ())
            if not page.get("NextContinuationToken"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}


def pipeline_target(system: Etl, *, mode: str = "auto", idempotent: bool = True) -> str:
    """The bucket with raw files as a target of a configuration."""
    return f"""
[[systems.targets]]
arn = "{system.raw_arn}"
mode = "{mode}"

[systems.targets.pipeline]
raw = "{RAW}"
raw_suffix = ".json"
curated = "{system.curated_arn}"
curated_prefix = "{CURATED}"
curated_suffix = ".parquet"
{system.named}
function = "{system.function_arn}"
timeout = "PT{int(TIMEOUT.total_seconds())}S"
idempotent = {str(idempotent).lower()}
"""


def pipeline_configuration(
    system: Etl, *, mode: str = "auto", settings: str = "", idempotent: bool = True, others: bool = True
) -> str:
    """A deployment's TOML: the bucket, and with the ``others`` the dead-letter queue of what it is told to."""
    world = system.world
    letters = f"""
[[systems.targets]]
arn = "{system.dlq_arn}"
mode = "{mode}"
{system.letters}
"""
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.pipeline-backlog]
mode = "auto"
{settings}
{f"[remediations.{system.cures_letters}]" if others else ""}
{'mode = "auto"' if others else ""}

[[systems]]
name = "pulse"
{pipeline_target(system, mode=mode, idempotent=idempotent)}
{letters if others else ""}
"""
