"""
The words of the design as data: nothing in here reads, decides or acts.

All times are aware UTC datetimes; all durations are timedeltas; money is US dollars.
Everything is frozen: a change is a new value (:func:`dataclasses.replace`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from nightshift.letters import Rule

__all__ = [
    "Acknowledgement",
    "Alternative",
    "Approval",
    "Arn",
    "Attempt",
    "Backup",
    "Cache",
    "Call",
    "CallRecord",
    "Customer",
    "Database",
    "Diagnosis",
    "DnsRecord",
    "Finding",
    "Healthy",
    "Hours",
    "Incident",
    "Intent",
    "Json",
    "Ledger",
    "Look",
    "MetricQuery",
    "Mode",
    "Observation",
    "Outcome",
    "Phase",
    "Pipeline",
    "Plan",
    "Provisioned",
    "Queries",
    "Query",
    "Refusal",
    "Request",
    "ResourceRead",
    "Schedule",
    "Severity",
    "Sick",
    "Signal",
    "Step",
    "SwitchState",
    "Target",
    "Throughput",
    "Triggers",
    "Unknown",
    "Verdict",
]

Json: TypeAlias = Any
"""A value that JSON can carry. (mypy's recursive aliases and pydantic disagree about a precise one.)"""


# -- names ---------------------------------------------------------------------------------------------------------

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>\d{12}|):"
    r"(?P<resource>[\x21-\x7e]{1,1024})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, order=True)
class Arn:
    """
    An Amazon Resource Name, taken apart.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
    """

    partition: str
    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Take ``arn:partition:service:region:account:resource`` apart. Raises ValueError on anything else."""
        match = _ARN.fullmatch(text)
        if match is None:
            msg = f"not an ARN: {text[:200]!r} (expected arn:partition:service:region:account:resource)"
            raise ValueError(msg)
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"arn:{self.partition}:{self.service}:{self.region}:{self.account}:{self.resource}"

    @property
    def kind(self) -> str:
        """What sort of thing it names: ``sqs:queue``, ``ecs:service``, ``lambda:function``, ``s3:bucket`` and so on."""
        if self.service in _BARE:
            return f"{self.service}:{_BARE[self.service]}"
        return f"{self.service}:{re.split('[:/]', self.resource, maxsplit=1)[0]}"

    @property
    def name(self) -> str:
        """The last part: the queue's, service's or function's own name."""
        return re.split("[:/]", self.resource)[-1]


_BARE = {"sqs": "queue", "s3": "bucket", "sns": "topic"}


class Mode(StrEnum):
    """How far a remediation may go on a target: ``observe`` < ``approve`` < ``auto``."""

    OBSERVE = "observe"
    APPROVE = "approve"
    AUTO = "auto"

    @property
    def rank(self) -> int:
        """0 for the most careful, 2 for the freest."""
        return list(Mode).index(self)


class Severity(StrEnum):
    """How fast a person should look; 1 is the worst. The five runbooks' own scales map onto it (R20)."""

    SEV1 = "SEV1"
    SEV2 = "SEV2"
    SEV3 = "SEV3"
    SEV4 = "SEV4"


class SwitchState(StrEnum):
    """
    The kill switch.

    ``on`` lets the guardrails decide. ``paused`` lets nothing new start, but what we started is stopped and what we
    lent is taken back. ``halted`` lets nothing be written at all. Missing or unreadable counts as ``halted``.
    """

    ON = "on"
    PAUSED = "paused"
    HALTED = "halted"


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer of a bucket of triggers: which queue tells of them, who drains it, and where its letters die."""

    name: str
    queue: Arn
    dead_letters: Arn
    consumer: Arn


@dataclass(frozen=True, slots=True)
class Triggers:
    """
    Triggers in a bucket: ``<prefix><customer>/<change>.json`` asks for a change to be processed for one customer.

    Whoever has done so writes it into ``<archive><change>.json``, which all customers share, and deletes the trigger.
    ``key`` is the key of KMS with which the bucket's objects are encrypted, where that is not S3's own.
    """

    prefix: str
    archive: str
    customers: tuple[Customer, ...]
    key: Arn | None = None

    def customer(self, name: str) -> Customer | None:
        """The customer of that very name."""
        return next((each for each in self.customers if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Backup:
    """Where an archive is backed up: under a prefix of another bucket, encrypted with ``key`` if not with S3's own."""

    bucket: Arn
    prefix: str
    key: Arn | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """
    A pipeline out of a bucket: of each object ``<raw>…<raw_suffix>`` a function makes one in the ``curated`` bucket.

    That one is called ``<curated_prefix>…<curated_suffix>``, with the same in between; where they are ``dated``, that
    begins with a day (UTC), as in ``2026/11/26/``. S3 tells the ``queue`` of an object, from which the ``function``
    takes it; without a queue it tells the function itself. What fails for good dies in ``dead_letters``, if they are
    kept. ``timeout`` is the function's, ``window`` how far back is looked. ``idempotent``: whoever processes an object
    twice has the same as whoever does it once.
    """

    raw: str
    raw_suffix: str
    curated: Arn
    curated_prefix: str
    curated_suffix: str
    queue: Arn | None
    dead_letters: Arn | None
    function: Arn
    timeout: timedelta
    window: timedelta
    dated: bool = True
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Hours:
    """
    What the runs of a schedule leave in a bucket: at least one object for each hour (UTC), under the hour's own prefix.

    ``keys`` is that prefix with ``%Y``, ``%m``, ``%d`` and ``%H`` in it, in this order. ``idempotent`` says that a
    second run for the same hour changes nothing, ``timestamp`` what the function calls the hour that it is asked for,
    ``most`` how many hours back are looked at.
    """

    bucket: Arn
    keys: str
    idempotent: bool = False
    timestamp: str = "timestamp"
    most: int = 24


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    What a rule of EventBridge starts, and how often.

    ``expected`` is the state that the rule is meant to be in: a rule that is meant to be disabled stays so.
    """

    function: Arn
    period: timedelta
    expected: str = "enabled"
    hours: Hours | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    """
    What a GraphQL API may answer from memory for a while.

    ``holds`` says what that is, in its owner's words; ``public`` that nothing of it is one user's own. An answer may be
    ``ttl`` old. ``behavior`` is ``full-request``, or ``per-resolver``: what resolvers are set up to keep, and no more.
    """

    holds: str
    ttl: timedelta
    behavior: str = "full-request"
    public: bool = False


@dataclass(frozen=True, slots=True)
class Database:
    """
    What AWS does not say of an Aurora cluster.

    ``connections`` is how many each of its instances takes (``max_connections``), ``ceiling`` the ACUs that its maximum
    may be lent at most, and ``used_by`` the services and functions that use it.
    """

    connections: int
    ceiling: float | None = None
    used_by: tuple[Arn, ...] = ()


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """The name by which people reach a service, and the hosted zone of Route 53 that it stands in."""

    zone: str
    name: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Of which alias of a function instances may be kept ready for a while, and how many at most: each costs money."""

    alias: str
    ceiling: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """How many capacity units a loan may bring a DynamoDB table or index to; None where the remediation says it."""

    read: int | None = None
    write: int | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """
    One AWS resource under care, as registered in the configuration.

    ``group`` is the system it belongs to. ``consumer`` (of a dead-letter queue or queue) is the service that drains it,
    ``source`` (of a dead-letter queue) the queue its letters came from, ``function`` the one whose failed events it
    holds, ``letters`` rules for reading its own letters, ``queue`` (of a service) what it consumes.
    ``load_balancer`` and ``target_group`` (of a service) send it requests, and hold its tasks; ``dns`` is its name in
    the world. ``roles`` are those that its task definitions name, ``depends_on`` what it cannot serve without
    (registered services; of a GraphQL API its tables and functions), ``log_group`` where it logs its requests.
    ``cache`` (of a GraphQL API) is what it may answer from memory, ``clients`` (of a user pool) are the ids of its
    clients, and ``api`` is what their tokens open. ``triggers`` (of a bucket) says what stands in it,
    ``backup`` where its archive is backed up,
    ``events_from`` (of a function) who must be able to call it, or must be read for it, ``alias`` the one by which it
    is called;
    ``pipeline`` (of a bucket) what is made of it, and by whom,
    ``schedule`` (of a rule) what it starts, and what that leaves where, ``rotate_within`` (of a secret) after how many
    days it should have another value, ``replicated`` (of a bucket) that it should be copied to another one,
    ``database`` (of an Aurora cluster) what AWS does not say of it,
    ``throughput`` (of a DynamoDB table or index) how much a loan may bring it to,
    ``provisioned`` (of a function) how many instances of which alias may be kept ready,
    ``terraform_locks`` (of a table) the states that Terraform locks in it.
    ``maintenance`` names the windows in which people work on it. ``alarms`` says whether the stack makes alarms and a
    dashboard for it: nothing but the stack asks.
    """

    arn: Arn
    group: str
    mode: Mode | None = None
    protected: bool = False
    remediations: tuple[str, ...] = ()
    consumer: Arn | None = None
    source: Arn | None = None
    function: Arn | None = None
    letters: tuple[Rule, ...] = ()
    queue: Arn | None = None
    load_balancer: Arn | None = None
    target_group: Arn | None = None
    dns: DnsRecord | None = None
    roles: tuple[Arn, ...] = ()
    triggers: Triggers | None = None
    backup: Backup | None = None
    pipeline: Pipeline | None = None
    schedule: Schedule | None = None
    cache: Cache | None = None
    clients: tuple[str, ...] | None = None
    api: Arn | None = None
    database: Database | None = None
    throughput: Throughput | None = None
    provisioned: Provisioned | None = None
    depends_on: tuple[Arn, ...] = ()
    log_group: Arn | None = None
    events_from: tuple[Arn, ...] = ()
    alias: str | None = None
    rotate_within: int | None = None
    terraform_locks: tuple[str, ...] | None = None
    replicated: bool = False
    maintenance: tuple[str, ...] = ()
    alarms: bool = False

    @property
    def keyed(self) -> tuple[tuple[Arn, Arn], ...]:
        """A bucket of triggers, and where its archive is backed up: each with its key, where that is not S3's own."""
        buckets = ((self.arn, self.triggers), (self.backup.bucket if self.backup is not None else None, self.backup))
        return tuple(
            (bucket, table.key)
            for bucket, table in buckets
            if bucket is not None and table is not None and table.key is not None
        )

    @property
    def linked(self) -> tuple[Arn, ...]:
        """Targets whose sickness can be the same failure as ours."""
        customers = self.triggers.customers if self.triggers is not None else ()
        of_customers = (arn for each in customers for arn in (each.consumer, each.dead_letters, each.queue))
        pipeline = self.pipeline
        of_pipeline = (
            () if pipeline is None else (pipeline.function, pipeline.dead_letters, pipeline.queue, pipeline.curated)
        )
        piped = (arn for arn in of_pipeline if arn is not None)
        scheduled = (self.schedule.function,) if self.schedule is not None else ()
        hours = self.schedule.hours if self.schedule is not None else None
        filled = (hours.bucket,) if hours is not None else ()
        users = self.database.used_by if self.database is not None else ()
        own = (self.consumer, self.source, self.function, self.queue, _table_of(self.arn))
        return (*(arn for arn in own if arn is not None), *of_customers, *piped, *scheduled, *filled, *users)


def _table_of(arn: Arn) -> Arn | None:
    """The table of an index of DynamoDB: an index has no tags and no status but its own, and is changed with it."""
    table, index, _ = arn.resource.partition("/index/")
    return (
        Arn(arn.partition, arn.service, arn.region, arn.account, table) if index and arn.service == "dynamodb" else None
    )


# -- what to read --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class MetricQuery:
    """
    One CloudWatch metric over the last ``minutes``, or over as many that ended ``ago`` minutes before.

    ``dimensions`` are sorted (name, value) pairs, ``period`` is seconds.

    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricStat.html
    """

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    stat: str
    period: int = 60
    minutes: int = 15
    ago: int = 0


@dataclass(frozen=True, slots=True, order=True)
class ResourceRead:
    """
    One resource's state: ``kind`` names the batched reader in :mod:`nightshift.signals`, ``key`` is the ARN.

    ``sqs.queue`` = its attributes, ``sqs.exists`` = whether it is listed, ``ecs.service`` = DescribeServices,
    ``s3.triggers`` = the oldest objects under a prefix, which is part of the ARN, ``s3.notifications`` = whom a bucket
    tells, ``lambda.mappings`` = what is read for a function, ``lambda.policy`` = who may call it,
    ``s3.pipeline`` = raw objects without a curated one, where what is raw and what is curated is part of the ARN,
    ``s3.archive`` = what was lately written or deleted under a prefix,
    ``states.machine`` = a state machine with its newest executions, ``events.rule`` = DescribeRule,
    ``s3.hours`` = of which of the last hours there are objects, by their keys, which are part of the ARN,
    ``dynamodb.table`` = DescribeTable, of an index with ``Index``;
    ``dynamodb.scaling`` = the limits that autoscaling has been told for it, by scalable dimension;
    ``secretsmanager.secret``, ``cloudformation.stack`` and ``acm.certificate`` = how each is described, without values;
    ``dynamodb.locks`` = who holds the locks that are part of the ARN,
    ``rds.cluster`` = DescribeDBClusters, ``es.domain`` = DescribeDomain;
    ``s3.runs`` = which runs under a prefix are complete;
    ``dynamodb.backups`` and ``s3.backups`` = what a table or a bucket could be put back from,
    ``dynamodb.access`` = whom a table lets in, and by what its items expire.
    """

    kind: str
    key: str


Query: TypeAlias = MetricQuery | ResourceRead
Queries: TypeAlias = tuple[Query, ...]


# -- what was seen -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured value against its threshold, over a window: what a report shows first."""

    name: str
    value: float
    threshold: float
    window: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What a person has asked for, and until when: ``by`` is who they are as STS tells it."""

    by: str
    at: datetime
    until: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A symptom seen on a target, with its evidence. Evidence is counts, names and hashes: never a message's body.

    ``request``: nothing is wrong; a person has asked for what follows. ``newest``: where many things may be wrong, when
    the newest of them came to be so; after an end, one that is newer is news.
    """

    remediation: str
    target: str
    symptom: str
    signals: tuple[Signal, ...] = ()
    evidence: tuple[str, ...] = ()
    severity: Severity = Severity.SEV3
    request: Request | None = None
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Healthy:
    """
    The target was read, and nothing is wrong with it.

    ``idle``: because nothing happened that could have gone wrong. That opens no incident, and proves no end of one.
    """

    summary: str = "healthy"
    idle: bool = False


@dataclass(frozen=True, slots=True)
class Sick:
    """The target was read, and this is wrong with it."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Unknown:
    """The target could not be read well enough to say. Never acts, never counts as cured, is reported."""

    reason: str


Observation: TypeAlias = Healthy | Sick | Unknown


@dataclass(frozen=True, slots=True)
class Alternative:
    """A cause that was considered and rejected, and why."""

    cause: str
    why_not: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """
    The cause, with evidence, and the rejected alternatives.

    ``facts`` is what :meth:`Remediation.plan` needs to think: JSON data with stable values only (no clock, no counts
    that move by themselves), because the plan's hash is made from it.

    ``advice`` is what people should do, what helps most first. A cause with advice is one that only people can cure:
    nothing is planned for it, and the incident ends ``escalated`` with what was found. ``whose`` names another
    remediation that looks after that cause: where it does so on this target, people hear of it from there alone.
    """

    target: str
    cause: str
    evidence: tuple[str, ...] = ()
    rejected: tuple[Alternative, ...] = ()
    facts: Mapping[str, Json] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    whose: str = ""


# -- what to do ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """
    One AWS call that a plan may make: the unit of permission, audit, approval and undo.

    ``params`` are fixed: the call is made with exactly these. ``free`` names parameters whose values are known only
    when the call is made (a receipt handle, a body); any other parameter is refused. ``times`` bounds how often it may
    be made. ``resource`` is the ARN that it is about, and that IAM checks (but see :attr:`checked`). ``grants`` is what
    AWS does in our name while serving the call, as (action, ARN) pairs: permission it needs besides its own. ``before``
    is what was there. ``stops`` marks a call that only stops or takes back what we did ourselves: it stays allowed
    while the kill switch is ``paused``.
    """

    service: str
    operation: str
    resource: str
    params: Mapping[str, Json] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    times: int = 1
    grants: tuple[tuple[str, str], ...] = ()
    before: Mapping[str, Json] = field(default_factory=dict)
    why: str = ""
    stops: bool = False

    @property
    def action(self) -> str:
        """What IAM calls it: ``ecs:UpdateService``."""
        service, key = _IAM_SERVICES.get(self.service, self.service), (self.service, self.operation)
        name = _IAM_NAMES.get(key, self.operation)
        return f"{service}:{_OF_VERSIONS.get(key, name) if 'VersionId' in self.params else name}"

    @property
    def checked(self) -> str:
        """What IAM is asked about: the resource, or ``*`` for an action that AWS scopes to none."""
        return "*" if self.action in _UNSCOPED else self.resource

    @property
    def about(self) -> str:
        """What it is about where its resource names nothing (``…/*``): its fixed parameters say it. Else empty."""
        if not self.resource.endswith("*"):
            return ""
        return ", ".join(f"{name}={value}" for name, value in sorted(self.params.items()) if isinstance(value, str))

    @property
    def essence(self) -> str:
        """All that it would do and what it found before, as text: calls with equal ones do the same."""
        return _text(_essence(self))


_IAM_SERVICES = {
    "elbv2": "elasticloadbalancing",
    "opensearch": "es",
    "resourcegroupstaggingapi": "tag",
    "stepfunctions": "states",
}
_IAM_NAMES = {
    ("s3", "GetBucketNotificationConfiguration"): "GetBucketNotification",
    ("s3", "ListObjectVersions"): "ListBucketVersions",
    ("s3", "ListObjectsV2"): "ListBucket",
    ("s3", "HeadObject"): "GetObject",
    ("s3", "HeadBucket"): "ListBucket",
    ("s3", "CopyObject"): "PutObject",
    ("s3", "GetBucketReplication"): "GetReplicationConfiguration",
    ("s3", "GetBucketCors"): "GetBucketCORS",
    ("s3", "GetBucketEncryption"): "GetEncryptionConfiguration",
    ("s3", "GetPublicAccessBlock"): "GetBucketPublicAccessBlock",
    ("lambda", "Invoke"): "InvokeFunction",
}
_OF_VERSIONS = {
    ("s3", "GetObject"): "GetObjectVersion",
    ("s3", "GetObjectTagging"): "GetObjectVersionTagging",
}
"""what it is called where a version is named"""
_UNSCOPED = frozenset({"appsync:CreateApiCache", "appsync:DeleteApiCache"})
"""
Actions that change something, and for which IAM knows no resource: which one it is, only our guardrails can check.

Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsappsync.html
"""


@dataclass(frozen=True, slots=True)
class Step:
    """
    Calls made in one tick, then ``settle`` before anybody looks whether they helped.

    ``undo`` is armed before the calls are made: what takes this step back (or stops it), as calls with ``stops=True``.
    """

    name: str
    calls: tuple[Call, ...]
    settle: timedelta
    undo: tuple[Call, ...] = ()
    why: str = ""


_A_DAY = timedelta(days=1)
"""for so long what stays is counted: by then somebody has read the report"""


@dataclass(frozen=True)
class Plan:
    """
    A list of AWS calls, each with what was there before, plus undo, settle time, cost per hour and risk.

    ``lease`` is how long what the plan changes may stay changed; ``None`` for a plan that changes nothing lasting.
    ``until``: it goes back at that time, however late it was begun, and is looked at every minute until then.
    ``final``: nothing is tried after it, however many attempts are left; where it does not help, a person must.
    ``asks``: a person is asked first, however free the modes are; why stands in ``risk``.
    ``undo_by_hand`` is the line a person would type. ``cost_per_hour`` is US dollars: 0.0 is a known
    zero, ``None`` a price that nobody knows.
    """

    remediation: str
    target: str
    summary: str
    steps: tuple[Step, ...]
    risk: str
    undo_by_hand: str
    cost_per_hour: float | None = 0.0
    lease: timedelta | None = None
    until: datetime | None = None
    final: bool = False
    asks: bool = False

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of every step, undo included: what the plan is permission for."""
        return tuple(call for step in self.steps for call in (*step.calls, *step.undo))

    @property
    def dollars(self) -> float | None:
        """What it costs while it is out, or in a day where it stays; None where nobody knows."""
        if self.cost_per_hour is None:
            return None
        return self.cost_per_hour * ((self.lease or _A_DAY) / timedelta(hours=1))

    @cached_property
    def hash(self) -> str:
        """
        Sixteen hexadecimal digits over everything the plan would do and what it found before.

        Equal plans hash equally whoever computes it and in whatever order mappings were filled; prose does not count.
        """
        essence = {
            "remediation": self.remediation,
            "target": self.target,
            "cost_per_hour": self.cost_per_hour,
            "lease": self.lease.total_seconds() if self.lease else None,
            "steps": [
                {
                    "name": step.name,
                    "settle": step.settle.total_seconds(),
                    "calls": [_essence(call) for call in step.calls],
                    "undo": [_essence(call) for call in step.undo],
                }
                for step in self.steps
            ],
        }
        if self.until is not None:
            essence["until"] = self.until.isoformat()
        return hashlib.sha256(_text(essence).encode()).hexdigest()[:16]


def _text(essence: Mapping[str, Json]) -> str:
    return json.dumps(essence, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _essence(call: Call) -> dict[str, Json]:
    return {
        "action": call.action,
        "resource": call.resource,
        "params": dict(call.params),
        "free": sorted(call.free),
        "grants": sorted(map(list, call.grants)),
        "times": call.times,
        "before": dict(call.before),
    }


class Outcome(StrEnum):
    """What became of a call. ``unknown`` is never treated as either of the others."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call that was made: what the report shows and the account's audit trail must confirm."""

    at: datetime
    step: str
    action: str
    resource: str
    outcome: Outcome
    request_id: str = ""
    before: Mapping[str, Json] = field(default_factory=dict)
    after: Mapping[str, Json] = field(default_factory=dict)
    error: str = ""
    count: int = 1
    about: str = ""

    def tells_of(self, call: Call | CallRecord) -> bool:
        """Whether it is a record of that call, or of the same one as another record: two calls may share a resource."""
        return (self.action, self.resource, self.about) == (call.action, call.resource, call.about)


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    Where the messages went: ``moved = processed + returned + quarantined + remaining``.

    ``moved`` left the dead-letter queue by our hand. ``processed`` were finished by the consumer, ``returned`` came
    back to the dead-letter queue, ``quarantined`` are stored apart, ``remaining`` wait in the source queue. ``left``
    were looked at and left where they are. ``uncertain`` is how many sends have an unknown outcome: at most that many
    messages may exist twice.
    """

    moved: int = 0
    processed: int = 0
    returned: int = 0
    quarantined: int = 0
    remaining: int = 0
    left: int = 0
    uncertain: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every message that we moved is accounted for."""
        return self.moved == self.processed + self.returned + self.quarantined + self.remaining

    def __bool__(self) -> bool:
        return any((self.moved, self.quarantined, self.left, self.uncertain))


# -- the incident --------------------------------------------------------------------------------------------------


class Phase(StrEnum):
    """
    Where an incident stands.

    ``open`` seen, not acted on (or held by a guardrail) → ``awaiting`` approval → ``acting`` intent written, calls
    being made → ``settling`` waiting for the step to take effect → ``verifying`` looking for health → ``leased`` fixed,
    what was temporary is still out → ``ending`` the verdict stands, people are being told → ``closed``.
    """

    OPEN = "open"
    AWAITING = "awaiting"
    ACTING = "acting"
    SETTLING = "settling"
    VERIFYING = "verifying"
    LEASED = "leased"
    ENDING = "ending"
    CLOSED = "closed"


class Verdict(StrEnum):
    """
    How an incident, or one attempt of it, ended.

    ``fixed`` our change was followed by health. ``recovered`` it healed without us. ``ineffective`` our change did not
    help (an attempt's verdict; the incident tries again or escalates). ``unverifiable`` nobody can tell. ``refused`` a
    guardrail said no. ``escalated`` a person must act now. ``reverted`` what we changed was put back and the target was
    not cured. ``broken`` Nightshift itself failed on the record.
    """

    FIXED = "fixed"
    RECOVERED = "recovered"
    INEFFECTIVE = "ineffective"
    UNVERIFIABLE = "unverifiable"
    REFUSED = "refused"
    ESCALATED = "escalated"
    REVERTED = "reverted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a guardrail said, kept. ``retry_after`` is None for "never". ``link`` is the target that must heal first."""

    guard: str
    reason: str
    numbers: Mapping[str, Json] = field(default_factory=dict)
    retry_after: timedelta | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What we are about to do, written before we do it, so that a crash afterwards cannot make us forget.

    ``known`` names the calls of it whose outcome was learned (``action resource``). ``undo``: what is done is taken
    back.
    """

    attempt: int
    step: int
    plan_hash: str
    written_at: datetime
    deadline: datetime
    known: tuple[str, ...] = ()
    undo: bool = False


@dataclass(frozen=True, slots=True)
class Approval:
    """
    A question to a person, and the answer.

    Bound to the plan's hash and to ``expires_at``; single use (``used_at``). ``by`` is the caller's IAM identity as STS
    tells it.
    """

    plan_hash: str
    asked_at: datetime
    expires_at: datetime
    answer: str = ""  # "", "approved" or "denied"
    by: str = ""
    why: str = ""
    answered_at: datetime | None = None
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A person's word that they are on it: nobody else is woken. ``by`` is who they are as STS tells it."""

    by: str
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One application of a plan, and what it led to."""

    number: int
    plan_hash: str
    started_at: datetime
    verdict: Verdict | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a sick target measured: its finding's first signal, and the threshold of that."""

    at: datetime
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Incident:
    """
    One record per target and failure.

    ``look_at`` is when to look again; ``deadline`` when to stop trying and say so. ``notices`` names the transitions a
    person was already told of. ``hold_until`` is when a guardrail that said "later" is asked again. ``lent`` says that
    something temporary of ours is out. ``scratch`` is the remediation's own memory between steps (JSON).
    ``trend`` is what the newest sick looks in a row measured before anything was done. ``controls`` are the targets of
    the same system that were sick in the same way when we acted and had not been treated: what became of them says
    what would have become of this one. ``remind_at`` is when the next
    level hears of one that has ended and that nobody has acknowledged. ``recalled``: a person wants back what is lent.
    ``owner`` is who declares the target, as its tags said when it was planned.
    """

    id: str
    remediation: str
    target: str
    group: str
    opened_at: datetime
    look_at: datetime
    deadline: datetime
    finding: Finding
    phase: Phase = Phase.OPEN
    severity: Severity = Severity.SEV3
    diagnosis: Diagnosis | None = None
    plan: Plan | None = None
    step: int = 0
    attempts: tuple[Attempt, ...] = ()
    intent: Intent | None = None
    approval: Approval | None = None
    refusal: Refusal | None = None
    hold_until: datetime | None = None
    calls: tuple[CallRecord, ...] = ()
    ledger: Ledger = Ledger()
    links: tuple[str, ...] = ()
    trend: tuple[Look, ...] = ()
    controls: tuple[str, ...] = ()
    healthy_looks: int = 0
    sick_looks: int = 0
    unknown_looks: int = 0
    settle_until: datetime | None = None
    verify_until: datetime | None = None
    lease_ends: datetime | None = None
    lent: bool = False
    verdict: Verdict | None = None
    why: str = ""
    notices: tuple[str, ...] = ()
    scratch: Mapping[str, Json] = field(default_factory=dict)
    closed_at: datetime | None = None
    config_hash: str = ""
    acknowledged: Acknowledgement | None = None
    remind_at: datetime | None = None
    recalled: Acknowledgement | None = None
    owner: str = ""

    @property
    def open(self) -> bool:
        """Whether there is still something to do for it."""
        return self.phase is not Phase.CLOSED

    @property
    def decided(self) -> bool:
        """Whether its verdict stands; people may not have been told of it yet."""
        return self.phase in {Phase.ENDING, Phase.CLOSED}

    @property
    def wanted_since(self) -> datetime | None:
        """Since when a person is wanted: it asks, or it has ended and needs one. None where nobody is."""
        if self.decided:
            return self.closed_at if self.verdict in _WANTS_A_PERSON else None
        asks = self.phase is Phase.AWAITING and self.approval is not None and not self.approval.answer
        return self.approval.asked_at if asks and self.approval is not None else None


_WANTS_A_PERSON = frozenset({Verdict.ESCALATED, Verdict.REVERTED, Verdict.UNVERIFIABLE, Verdict.BROKEN})
"""``refused`` is not among them: what somebody has forbidden, or only watches, wakes nobody twice"""
