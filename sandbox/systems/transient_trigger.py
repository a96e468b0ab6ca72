"""
Runbook 0, the Transient Trigger Pattern: a change is put into the archive once, and a trigger for each customer.

Resources  a bucket with archive/<change>.json and customers/<customer>/<change>.json; for each customer a queue that S3
           tells of its triggers, a dead-letter queue, and an ECS service that processes them: it mails the customer,
           writes into the archive that it did, and deletes the trigger
Causes     a notification is lost; the bucket no longer tells a queue; a consumer hangs; the archive cannot be written;
           a trigger cannot be deleted; mail cannot be sent; an object of the archive is deleted, or written over
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from sandbox.ledger import fingerprint
from sandbox.systems.ecs_system import OPT_IN
from sandbox.systems.queue_service import QueueService, Shape
from sandbox.world import World

CLUSTER = "change-processor-cluster"
FIELDS = 'customer_field = "customerCode"\ntimestamp_field = "timestamp"\n'
"""what this archive calls the customer and the time of an entry: settings of whoever reads it"""


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that a customer got: about which change, as of which writing of its trigger, when, for which message."""

    customer: str
    change: str
    written: datetime
    at: datetime
    message: str = ""  # the fingerprint of what the consumer was told


class TransientTrigger:
    """The email distribution system of one environment, with its customers."""

    def __init__(
        self,
        world: World,
        env: str = "prod",
        customers: Iterable[str] = ("hts", "htsnonprod"),
        *,
        versioned: bool = False,
        key: str = "",
    ) -> None:
        self.world = world
        self.key = key
        self.bucket = f"metadata-{env}-{world.account}"
        self.mails: list[Mail] = []
        self.idempotent = True
        self.mail_fails = self.archive_fails = self.deletes_fail = False
        self.forgives = False
        self._lost: set[str] = set()
        self.untold: set[str] = set()  # customers of whom the bucket has not told the queue, at some time
        self._numbers = count(1)
        self._s3 = world.client("s3")
        where = {"LocationConstraint": world.region}
        self._s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)
        if versioned:
            self._s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        self.tag()
        self.lines = {each: self._line(each) for each in customers}
        before = world.notifications.lost
        world.notifications.lost = lambda key: before(key) or key.split("/")[1] in self._lost
        self.route(*self.lines)

    # -- what is so

    @property
    def arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:aws:s3:::{self.bucket}"

    @property
    def triggers(self) -> list[str]:
        """The triggers that stand."""
        found = self._s3.list_objects_v2(Bucket=self.bucket, Prefix="customers/").get("Contents", ())
        return [each["Key"].removeprefix("customers/") for each in found]

    def stuck(self, span: timedelta) -> list[str]:
        """The triggers that have stood for longer than a span."""
        found = self._s3.list_objects_v2(Bucket=self.bucket, Prefix="customers/").get("Contents", ())
        return [each["Key"] for each in found if self.world.now - each["LastModified"] > span]

    def versions(self, key: str) -> list[tuple[str, bytes | None]]:
        """Every version of an object by its id, the oldest first; None says that it was deleted."""
        found = self._s3.list_object_versions(Bucket=self.bucket, Prefix=key)
        every = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())][::-1]  # S3 tells the newest first
        own = sorted((each for each in every if each["Key"] == key), key=lambda each: each["LastModified"])
        return [(each["VersionId"], self._version(each) if "ETag" in each else None) for each in own]

    def stood(self, since: datetime, until: datetime) -> list[str]:
        """The keys of the archive under which something stood all the time from a moment to another."""
        found = self._s3.list_object_versions(Bucket=self.bucket, Prefix="archive/")
        every = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
        young = {each["Key"] for each in found.get("DeleteMarkers", ()) if each["LastModified"] <= until}
        return sorted({each["Key"] for each in every if "ETag" in each and each["LastModified"] < since} - young)

    @property
    def lost(self) -> list[str]:
        """The objects of the archive that were deleted, or that nobody can read."""
        found = self._s3.list_object_versions(Bucket=self.bucket, Prefix="archive/")
        gone = [each["Key"] for each in found.get("DeleteMarkers", ()) if each["IsLatest"]]
        stand = [each for each in found.get("Versions", ()) if each["IsLatest"]]
        return sorted([*gone, *(each["Key"] for each in stand if not readable(self._version(each)))])

    @property
    def twice(self) -> list[tuple[str, str]]:
        """Which customers were mailed twice about the same writing of a change: what must never be."""
        mailed = Counter((each.customer, each.change, each.written) for each in self.mails)
        return [(customer, change) for (customer, change, _), times in mailed.items() if times > 1]

    def archived(self, change: str) -> dict[str, Any]:
        """What the archive says of a change."""
        body = self._s3.get_object(Bucket=self.bucket, Key=f"archive/{change}.json")["Body"]
        found: dict[str, Any] = json.loads(body if isinstance(body, bytes) else body.read())
        return found

    def _version(self, listed: dict[str, Any]) -> bytes:
        where = {"Key": listed["Key"], "VersionId": listed["VersionId"]}
        body = self._s3.get_object(Bucket=self.bucket, **where)["Body"]
        return body if isinstance(body, bytes) else bytes(body.read())

    # -- load

    def submit(self, *customers: str, change: str = "") -> str:
        """Somebody submits a change, anew or once more: the archive first, then a trigger for each customer."""
        change = change or f"CHG-{next(self._numbers):04d}"
        names = list(customers or self.lines)
        try:
            document = self.archived(change)
        except ClientError:
            document = {"changeId": change, "customers": names, "modifications": []}
        document["modifications"].append(self._entry("submitted", "web"))
        self.write(f"archive/{change}.json", document)
        for name in names:
            self.write(f"customers/{name}/{change}.json", {"changeId": change, "customers": names})
        return change

    def write(self, key: str, document: object) -> None:
        """Somebody puts an object into the bucket."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def remove(self, key: str) -> None:
        """Somebody deletes an object."""
        self._s3.delete_object(Bucket=self.bucket, Key=key)

    def forget(self, key: str) -> None:
        """A lifecycle rule deletes what stood under a key before what stands there now."""
        for each in self._s3.list_object_versions(Bucket=self.bucket, Prefix=key).get("Versions", ()):
            if each["Key"] == key and not each["IsLatest"]:
                self._s3.delete_object(Bucket=self.bucket, Key=key, VersionId=each["VersionId"])

    def note(self, change: str, customer: str, at: datetime | None = None) -> None:
        """The archive says that a change was processed for a customer, whatever is true."""
        document = self.archived(change)
        document["modifications"].append(self._entry("processed", customer, at))
        self.write(f"archive/{change}.json", document)

    # -- causes

    def tag(self, **more: str) -> None:
        """Somebody tags the bucket: with what opts it in, and with this."""
        tags = [{"Key": key.replace("_", "-"), "Value": value} for key, value in {**OPT_IN, **more}.items()]
        self._s3.put_bucket_tagging(Bucket=self.bucket, Tagging={"TagSet": tags})

    def lose(self, *customers: str) -> None:
        """What S3 tells these customers' queues gets lost, until it no longer does."""
        self._lost |= set(customers)

    def lose_no_more(self) -> None:
        """What S3 tells arrives again."""
        self._lost.clear()

    def route(self, *customers: str) -> None:
        """The bucket tells the queues of these customers, and of no others."""
        self.untold |= {*self.lines} - {*customers}
        configurations = [
            {
                "Id": name,
                "QueueArn": self.lines[name].queue_arn,
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": f"customers/{name}/"}]}},
            }
            for name in customers
        ]
        self._s3.put_bucket_notification_configuration(
            Bucket=self.bucket, NotificationConfiguration={"QueueConfigurations": configurations}
        )

    # -- what a consumer does

    def _fails(self, customer: str, body: str) -> bool:
        """Process a message; whether that failed, so that it comes again."""
        key = unquote_plus(json.loads(body)["Records"][0]["s3"]["object"]["key"])
        change = key.rpartition("/")[2].removesuffix(".json")
        try:
            written = self._s3.head_object(Bucket=self.bucket, Key=key)["LastModified"]
        except ClientError:
            return False  # the trigger is gone: it was processed
        known = any((each.customer, each.change, each.written) == (customer, change, written) for each in self.mails)
        if not (known and self.idempotent):
            if self.mail_fails:
                return True
            self.mails.append(Mail(customer, change, written, self.world.now, fingerprint(body)))
        if self.archive_fails:
            return not self.forgives
        self.note(change, customer)
        if not self.deletes_fail:
            self.remove(key)
        return False

    def _entry(self, kind: str, customer: str, at: datetime | None = None) -> dict[str, str]:
        at = at or self.world.now
        return {"modificationType": kind, "customerCode": customer, "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}Z"}

    # -- building

    def _line(self, customer: str) -> QueueService:
        shape = Shape(
            queue=f"customer-{customer}-changes",
            dead_letter_queue=f"customer-{customer}-changes-dlq",
            cluster=CLUSTER,
            service=f"customer-{customer}-processor",
            stack=f"change-processor-{customer}",
            holds=timedelta(seconds=5),
        )
        return QueueService(self.world, shape, _nothing(), _nothing(), lambda body: self._fails(customer, body))


def readable(body: bytes) -> bool:
    """Whether it says what was done about a change."""
    try:
        return isinstance(json.loads(body)["modifications"], list)
    except (TypeError, ValueError):
        return False


def _nothing() -> Iterator[str]:
    """Triggers come by way of the bucket alone."""
    return iter(())


def bucket_target(system: TransientTrigger, *, mode: str = "auto") -> str:
    """The bucket as a target of a configuration."""
    customers = "\n".join(
        f"""
[[systems.targets.triggers.customers]]
name = "{name}"
queue = "{line.queue_arn}"
dead_letters = "{line.dlq_arn}"
consumer = "{line.service_arn}"
"""
        for name, line in system.lines.items()
    )
    return f"""
[[systems.targets]]
arn = "{system.arn}"
mode = "{mode}"

[systems.targets.triggers]
prefix = "customers/"
archive = "archive/"
{with_key(system.key)}{customers}"""


def with_key(key: str) -> str:
    """What the table of a bucket says of the key with which its objects are encrypted."""
    return f'key = "{key}"\n' if key else ""


def trigger_configuration(
    system: TransientTrigger, *, mode: str = "auto", settings: str = FIELDS, others: bool = True, letters: str = ""
) -> str:
    """A deployment's TOML: the bucket, and with the ``others`` each customer's service and dead-letter queue."""
    world = system.world
    tables = '[remediations.ecs-service-stalled]\nmode = "auto"\n[remediations.sqs-dlq-backlog]\nmode = "auto"\n'
    tables += letters
    lines = "\n".join(
        f"""
[[systems.targets]]
arn = "{line.service_arn}"
mode = "{mode}"
queue = "{line.queue_arn}"

[[systems.targets]]
arn = "{line.dlq_arn}"
mode = "{mode}"
source = "{line.queue_arn}"
consumer = "{line.service_arn}"
"""
        for line in system.lines.values()
    )
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

[remediations.s3-trigger-stuck]
mode = "auto"
{settings}
{tables if others else ""}
[[systems]]
name = "changes"
{bucket_target(system, mode=mode)}
{lines if others else ""}
"""


def archive_configuration(system: TransientTrigger, tables: str, *, mode: str = "auto") -> str:
    """A deployment's TOML: the bucket alone, and the tables of what is enabled for it."""
    return f"""
name = "demo"
account = "{system.world.account}"
region = "{system.world.region}"

[notify]
emails = ["oncall@example.com"]

{tables}
[[systems]]
name = "changes"
{bucket_target(system, mode=mode)}
"""
