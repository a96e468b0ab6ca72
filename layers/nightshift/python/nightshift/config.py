"""
One deployment's configuration: written as TOML by a person, read as :class:`Policy` by the engine.

::

    config/prod.toml --load_toml--> Policy --to_json--> the Lambda's configuration layer --from_json--> the same Policy

Everything wrong with a file is said at once, each problem with its line and what to do about it
(:class:`ConfigErrors`); nothing is guessed, converted or skipped. What is not said is the most careful value: every
mode is ``observe``, on the remediation *and* on the target, and the more careful of the two counts.

A target's ``consumer``, ``source`` and ``queue`` need not be targets themselves: naming them here is what lists them.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import re
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, time, timedelta
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetPydanticSchema, PositiveInt, ValidationError, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import ErrorDetails, PydanticCustomError, core_schema

from nightshift import strict_json
from nightshift.calendar import Calendar, Dates, Freeze, Window, zone
from nightshift.errors import ConfigError
from nightshift.letters import Rule
from nightshift.model import (
    Arn,
    Backup,
    Cache,
    Customer,
    Database,
    DnsRecord,
    Hours,
    Mode,
    Pipeline,
    Provisioned,
    Schedule,
    Severity,
    Target,
    Throughput,
    Triggers,
)
from nightshift.remediation import Remediation

__all__ = [
    "ConfigErrors",
    "Limits",
    "Notify",
    "Policy",
    "Storm",
    "from_json",
    "json_schema",
    "load_json",
    "load_toml",
    "locate",
    "parse_toml",
    "role_name",
    "to_json",
]

Registry: TypeAlias = Sequence[type[Remediation]]
Loc: TypeAlias = tuple[str | int, ...]
"""where something stands in the file: ``("systems", 0, "targets", 2, "arn")``"""
T = TypeVar("T", bound=BaseModel)

MAX_BYTES = 1024 * 1024
"""of TOML: some eight thousand targets"""
MAX_JSON_BYTES = 4 * MAX_BYTES
"""of JSON, which says every default: whatever fits as TOML must fit as JSON"""
MAX_DEPTH = 16
"""the deepest thing a file can say is at depth 6; tomllib is quadratic in the length of a dotted key"""
MAX_ROLE_NAME = 64
"""https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""
MAX_ITEMS = 20_000
"""entries of one list or table: more than a file of that size has targets"""
MAX_PROBLEMS = 2_000
"""after which nobody looks for more: a file that is wrong in so many places is no configuration"""
MAX_SHOWN = 50
"""problems listed in one error's text; all of them are in ``problems``"""
LONGEST = timedelta(days=30)
"""nothing waits longer: records of closed incidents are gone after 90 days"""


class ConfigErrors(ConfigError):
    """
    Everything that is wrong with one configuration: ``problems``, at least one, in the order of the file.

    Its text has one line for each. Its own ``problem``, ``remedy``, ``path`` and ``line`` are those of the first.
    """

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        first = problems[0]
        super().__init__(first.problem, remedy=first.remedy, path=first.path, line=first.line)
        self.problems = tuple(problems)
        shown = [str(problem) for problem in self.problems[:MAX_SHOWN]]
        if len(self.problems) > MAX_SHOWN:
            shown.append(f"… and {len(self.problems) - MAX_SHOWN} more.")
        self.args = ("\n".join(shown),)


# -- the file, as written --------------------------------------------------------------------------------------------

_REMEDY_DURATION = (
    'Write a duration as ISO 8601 in quotes ("PT15M" is 15 minutes, "PT4H" 4 hours) or a number of seconds'
)

_SHAPES = {
    "appsync:apis": (re.compile(r"apis/[a-z0-9]{1,64}", re.ASCII), "apis/<API id>"),
    "cognito-idp:userpool": (re.compile(r"userpool/[\w-]{1,55}", re.ASCII), "userpool/<pool id>"),
    "cloudwatch:alarm": (re.compile(r"alarm:[!-~]{1,255}", re.ASCII), "alarm:<alarm name>"),
    "es:domain": (re.compile(r"domain/[a-z][a-z0-9-]{2,27}", re.ASCII), "domain/<name>"),
    "events:rule": (re.compile(r"rule/([\w.-]{1,256}/)?[\w.-]{1,64}", re.ASCII), "rule/<name> or rule/<bus>/<name>"),
    "ecs:service": (re.compile(r"service/[\w-]{1,255}/[\w-]{1,255}", re.ASCII), "service/<cluster>/<service>"),
    "lambda:function": (re.compile(r"function:[\w-]{1,140}(:[\w$-]{1,128})?", re.ASCII), "function:<name>"),
    "rds:cluster": (re.compile(r"cluster:[a-z][a-z0-9-]{0,62}", re.ASCII), "cluster:<name>"),
    "sqs:queue": (re.compile(r"[\w-]{1,80}|[\w-]{1,75}\.fifo", re.ASCII), "<queue name>"),
    "states:stateMachine": (re.compile(r"stateMachine:[\w.+=@-]{1,80}", re.ASCII), "stateMachine:<name>"),
    "s3:bucket": (re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII), "<bucket>"),
    "secretsmanager:secret": (
        re.compile(r"secret:[\w/+=.@-]{1,512}-[A-Za-z0-9]{6}", re.ASCII),
        "secret:<name>-<six characters>",
    ),
    "cloudformation:stack": (
        re.compile(r"stack/[A-Za-z][A-Za-z0-9-]{0,127}/[\w-]{1,64}", re.ASCII),
        "stack/<name>/<id>",
    ),
    "acm:certificate": (re.compile(r"certificate/[\w-]{1,64}", re.ASCII), "certificate/<id>"),
}
"""
What the last part of an ARN looks like, for the kinds we know: an ECS ARN without its cluster (the format before 2019)
names nothing that can be read in batch.
"""


def _arn(value: object) -> Arn:
    if not isinstance(value, str):
        raise _wrong(f"{_show(value)} is not text", "Write the ARN in quotes")
    if "*" in value or "?" in value:
        raise _wrong(
            f"{_show(value)} has a wildcard", "Write one target for each resource: nothing unlisted is touched"
        )
    try:
        arn = Arn.parse(value)
    except ValueError:
        raise _wrong(f"{_show(value)} is not an ARN", "Write arn:partition:service:region:account:resource") from None
    shape = _SHAPES.get(arn.kind)
    if shape is not None and not shape[0].fullmatch(arn.resource):
        remedy = f"Write arn:{arn.partition}:{arn.service}:{arn.region}:{arn.account}:{shape[1]}"
        raise _wrong(f"{_show(arn.resource)} does not name one {arn.kind}", remedy)
    return arn


def _wrong(problem: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("nightshift", "{problem}", {"problem": problem, "remedy": remedy})


_ACCOUNT = "[0-9]{12}"
_REGION = "[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}"
_ARN_SCHEMA = core_schema.no_info_plain_validator_function(_arn)
_Arn: TypeAlias = Annotated[
    Arn, GetPydanticSchema(lambda _, __: _ARN_SCHEMA), WithJsonSchema({"type": "string", "pattern": "^arn:aws[a-z-]*:"})
]
_NAME = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
_Name: TypeAlias = Annotated[str, Field(pattern=f"^{_NAME}$", max_length=32)]
_Email: TypeAlias = Annotated[str, Field(pattern=r"^[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+$", max_length=254)]
_Duration: TypeAlias = Annotated[timedelta, Field(strict=False, gt=timedelta(0), le=LONGEST)]


class _Table(BaseModel):
    """One table of the file. Strict: ``"3"`` is no number and ``"no"`` no boolean."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Recipients(_Table):
    """Who else is told of incidents of one severity."""

    emails: tuple[_Email, ...] = Field(min_length=1, description="at least one address, besides those of [notify]")


class Notify(_Table):
    """Who is told."""

    emails: tuple[_Email, ...] = Field(
        min_length=1, description="at least one address, as in oncall@example.com: nothing may end without anybody told"
    )
    severities: dict[Severity, Recipients] = Field(
        default={}, description="[notify.severities.SEV1] to SEV4: who else is told of these"
    )
    digests: tuple[Literal["weekly", "monthly"], ...] = Field(
        default=(), max_length=2, description="which digests are sent: of each whole week, of each calendar month"
    )
    reports_at: str = Field(
        default="07:00",
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description='from when on digests are sent, by the clock of timezone, as in "07:00"',
    )
    health_at: str | None = Field(
        default=None,
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description='when, each day, people are told how every system is, by the clock of timezone, as in "07:00"; '
        "not at all when not said",
    )
    timezone: str = Field(
        default="UTC",
        pattern="^[A-Za-z][A-Za-z0-9_+/-]*$",
        max_length=64,
        description='whose clock reports_at and health_at mean: UTC, or a place, as in "Europe/Berlin"',
    )

    @property
    def reports(self) -> bool:
        """Whether anything is sent by the clock."""
        return bool(self.digests) or self.health_at is not None


class SeverityTable(_Table):
    """What one severity means here."""

    label: str = Field(
        default="", max_length=20, pattern="^[ -~]*$", description='what people here call it, as in "P0" or "Critical"'
    )
    respond_within: _Duration | None = Field(
        default=None,
        description="how soon somebody must say that they are on it; 15 minutes for SEV1, then 1, 4 and 24 hours",
    )
    escalate_after: Annotated[timedelta, Field(strict=False, ge=timedelta(0), le=LONGEST)] | None = Field(
        default=None,
        description="when the first level of [[escalation]] is told, counted from when a person is wanted; PT0S is at "
        "once, the response time when not said",
    )
    update_every: _Duration | None = Field(
        default=None,
        ge=timedelta(minutes=5),
        description="how often people hear what has changed while nobody says that they are on it; not at all when "
        "not said",
    )


class Level(_Table):
    """Who is told next while nobody acknowledges."""

    emails: tuple[_Email, ...] = Field(min_length=1, description="at least one address")
    after: _Duration | None = Field(
        default=None,
        description="how long after the level before it, the severity's response time when not said; for the first "
        "level how long after that time has passed, at once when not said",
    )


RESPOND_WITHIN: Mapping[Severity, timedelta] = MappingProxyType(
    {
        Severity.SEV1: timedelta(minutes=15),
        Severity.SEV2: timedelta(hours=1),
        Severity.SEV3: timedelta(hours=4),
        Severity.SEV4: timedelta(hours=24),
    }
)
"""response times where the file says none: those of runbook 0's P1 to P4"""


class Limits(_Table):
    """What may happen at most."""

    per_target_per_day: PositiveInt = Field(default=4, le=24, description="applications to one target in a day")
    per_account_per_hour: PositiveInt = Field(default=10, le=100, description="applications in the account in an hour")
    dollars_per_action: float = Field(
        default=10.0, ge=0, le=100_000, description="what one application may cost in US dollars while it is out"
    )
    dollars_per_day: float = Field(
        default=50.0, ge=0, le=1_000_000, description="what all applications of a day may cost, given back early or not"
    )
    approval_expiry: _Duration = Field(default=timedelta(hours=4), description="how long a question waits for a yes")


class Storm(_Table):
    """When so much is sick at once that the cause is elsewhere: no fix per target, one page."""

    targets: PositiveInt = Field(default=3, description="so many sick targets are a storm")
    percent: PositiveInt = Field(default=30, le=100, description="so many per cent of all targets are a storm")
    floor: PositiveInt = Field(default=2, description="fewer sick targets than this are never a storm")
    calm: _Duration = Field(
        default=timedelta(minutes=10), description="how long it must be calm before the brake lets go"
    )


_Maintenance: TypeAlias = Annotated[
    tuple[str, ...],
    Field(description="names of [[calendar.windows]]: while one is open people work on it, and it is left alone"),
]


_PREFIX = r"([A-Za-z0-9_.-]+/)+"
"""without what IAM would read as a wildcard, and what a listing would encode"""
_Prefix: TypeAlias = Annotated[str, Field(pattern=f"^{_PREFIX}$", max_length=200)]


class CustomerTable(_Table):
    """One customer of a bucket of triggers."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64, description="what its triggers stand under"
    )
    queue: _Arn = Field(description="the queue that S3 tells of its triggers")
    dead_letters: _Arn = Field(description="that queue's dead-letter queue")
    consumer: _Arn = Field(description="the ECS service that drains the queue")


class TriggersTable(_Table):
    """What stands in a bucket of triggers."""

    prefix: _Prefix = Field(
        default="customers/", description="where triggers stand, as <prefix><customer>/<change>.json; ends with a slash"
    )
    archive: _Prefix = Field(
        default="archive/", description="where changes stand, as <archive><change>.json; ends with a slash"
    )
    customers: tuple[CustomerTable, ...] = Field(
        min_length=1, max_length=20, description="[[systems.targets.triggers.customers]], at least one"
    )
    key: _Arn | None = Field(
        default=None, description="the key of KMS with which the bucket's objects are encrypted, if it is not S3's own"
    )


class BackupTable(_Table):
    """Where an archive is backed up."""

    bucket: _Arn = Field(description="another S3 bucket of this account")
    prefix: _Prefix = Field(default="archive-backups/", description="where runs stand in it; ends with a slash")
    key: _Arn | None = Field(
        default=None, description="the key of KMS with which the bucket's objects are encrypted, if it is not S3's own"
    )


_Suffix: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=32)]


class PipelineTable(_Table):
    """What a function makes of the objects of a bucket."""

    raw: _Prefix = Field(description="where raw objects stand, as <raw>…<raw_suffix>; ends with a slash")
    raw_suffix: _Suffix = Field(description='how the names of raw objects end, as in ".json": others are nobody\'s')
    curated: _Arn = Field(description="the bucket with what is made of them")
    curated_prefix: _Prefix = Field(
        description="where it stands, as <curated_prefix>…<curated_suffix> with the same in between; ends with a slash"
    )
    curated_suffix: _Suffix = Field(description='how the names of what is made end, as in ".parquet"')
    queue: _Arn | None = Field(
        default=None, description="the queue that S3 tells of raw objects; none where it tells the function itself"
    )
    dead_letters: _Arn | None = Field(
        default=None,
        description="the queue's dead-letter queue; without a queue where the function's failed events go, if they are "
        "kept: its dead-letter queue or on-failure destination",
    )
    function: _Arn = Field(description="the Lambda function that takes them from the queue, or is told by S3 itself")
    timeout: timedelta = Field(
        strict=False,
        ge=timedelta(seconds=1),
        le=timedelta(minutes=15),
        description="the function's timeout: after twice as long an object is late",
    )
    window: timedelta = Field(
        default=timedelta(hours=24),
        strict=False,
        ge=timedelta(hours=3),
        le=timedelta(days=7),
        description="how far back is looked",
    )
    dated: bool = Field(
        default=True,
        description="whether what is in between begins with the day (UTC), as in 2026/11/26/: then older days are not "
        "listed; else all there ever was is, up to a bound",
    )
    idempotent: bool = Field(
        default=False,
        description="whether an object that is processed twice is the same as one that is processed once: nothing is "
        "processed again without it",
    )


_KEYS = r"[A-Za-z0-9/_.=-]+%Y[A-Za-z0-9/_.=-]*%m[A-Za-z0-9/_.=-]*%d[A-Za-z0-9/_.=-]*%H[A-Za-z0-9/_.=-]*"
"""so that keys in the order of their letters are in the order of their hours"""


_Period: TypeAlias = Annotated[timedelta, Field(strict=False, ge=timedelta(minutes=1), le=timedelta(hours=4))]


class HoursTable(_Table):
    """What the runs of a rule leave in a bucket, hour by hour."""

    bucket: _Arn = Field(description="the bucket in which each hour has at least one object")
    keys: str = Field(
        pattern=f"^{_KEYS}$",
        max_length=200,
        description="what the keys of an hour's objects start with, in UTC: %Y, %m, %d and %H, each once and in this "
        'order, as in "raw/year=%Y/month=%m/day=%d/hour=%H/"',
    )
    idempotent: bool = Field(
        default=False,
        description="whether a second run for the same hour changes nothing: without it nothing is asked for while "
        "Lambda may yet make a call that it has turned away",
    )
    timestamp: str = Field(
        default="timestamp",
        pattern="^[A-Za-z_][A-Za-z0-9_]*$",
        max_length=64,
        description="what the function calls the hour that it is asked for, beside backfill = true",
    )
    most: int = Field(default=24, ge=1, le=24, description="hours back from now that are looked at, and filled in")


class ScheduleTable(_Table):
    """What a rule starts, and how often."""

    function: _Arn = Field(description="the Lambda function that the rule starts")
    period: _Period = Field(description="how often: the rate of its schedule")
    expected: Literal["enabled", "disabled"] = Field(
        default="enabled", description="the state that it is meant to be in: one that is meant to be disabled stays so"
    )
    hours: HoursTable | None = Field(
        default=None, description="[systems.targets.schedule.hours]: what its runs leave where, hour by hour"
    )


class CacheTable(_Table):
    """What a GraphQL API may answer from memory for a while."""

    holds: str = Field(
        min_length=1, max_length=200, description="what that is, in a few words: they stand in the question to a person"
    )
    ttl: Annotated[timedelta, Field(strict=False, ge=timedelta(seconds=1), le=timedelta(hours=1))] = Field(
        description="how old an answer may be: whole seconds, an hour at most"
    )
    behavior: Literal["full-request", "per-resolver"] = Field(
        default="full-request",
        description="full-request: every resolver's answer is kept, by its arguments and by who asks; per-resolver: "
        "only what resolvers are set up to keep, which is nothing where none is",
    )
    public: bool = Field(
        default=False, description="whether whoever asks may see all of it: nothing of it is one user's own"
    )


class DatabaseTable(_Table):
    """What AWS does not say of an Aurora cluster."""

    connections: int = Field(
        ge=1,
        le=100_000,
        description="how many connections an instance of it takes: what SHOW max_connections says, also after a change "
        "of its capacity, until it is rebooted",
    )
    ceiling: float | None = Field(
        default=None,
        ge=1,
        le=256,
        multiple_of=0.5,
        description="ACUs above which its maximum is never lent; that of the remediation when not said",
    )
    used_by: tuple[_Arn, ...] = Field(
        default=(),
        max_length=8,
        description="the ECS services and Lambda functions that use it: whose releases may be why it is busy",
    )


_Units: TypeAlias = Annotated[int, Field(ge=1, le=1_000_000)]


class ThroughputTable(_Table):
    """How much a loan may bring a DynamoDB table or index to."""

    read: _Units | None = Field(
        default=None,
        description="read capacity units that a loan may never bring it above; the remediation's if unsaid",
    )
    write: _Units | None = Field(default=None, description="the same of write capacity units")


class ProvisionedTable(_Table):
    """Of which alias of a function instances may be kept ready for a while, and how many."""

    alias: str = Field(
        pattern="^[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*$",
        max_length=128,
        description="the alias that its callers name: AWS keeps nothing ready of $LATEST",
    )
    ceiling: int = Field(
        ge=1, le=1000, description="how many at most: each is paid for by the hour while it is kept ready, calls or not"
    )


class DnsTable(_Table):
    """The name by which people reach a service."""

    zone: str = Field(
        pattern="^[A-Z0-9]{4,32}$", description="the id of its hosted zone in Route 53, as in Z0123456789"
    )
    name: str = Field(
        pattern=r"^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)+$", max_length=253, description="as in api.example.com"
    )


_Alias: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{0,127}[A-Za-z_-][A-Za-z0-9_-]{0,127}$", max_length=128)
]
_Client: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+]{1,128}$")]
_Lock: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9_./:=@+-]{1,500}$")]
_LOCKS = 700
"""characters of all the locks of one table together: they are part of what is read by one name"""


class TargetTable(_Table):
    """One AWS resource under care."""

    arn: _Arn = Field(description="the resource's ARN, in the deployment's account and Region, without wildcards")
    mode: Mode | None = Field(
        default=None,
        description="how far anything may go on it: observe (also when not said) < approve < auto. "
        "The more careful of this and the remediation's mode counts",
    )
    protected: bool = Field(default=False, description="whether it must never be touched, only watched")
    remediations: tuple[str, ...] = Field(
        default=(), description="the enabled remediations that take care of it; all that fit its kind when not said"
    )
    consumer: _Arn | None = Field(
        default=None, description="of a queue: the ECS service or Lambda function that drains it"
    )
    source: _Arn | None = Field(default=None, description="of a dead-letter queue: the queue its letters came from")
    function: _Arn | None = Field(
        default=None,
        description="of a dead-letter or on-failure queue of a Lambda function's asynchronous invocations: that "
        "function, with the version or alias that is to be given its failed events again, if it is one",
    )
    letters: tuple[Rule, ...] = Field(
        default=(),
        max_length=50,
        description="[[systems.targets.letters]], of a dead-letter queue: what its own letters mean; the first rule "
        "that holds decides, and they come before the remediation's",
    )
    queue: _Arn | None = Field(default=None, description="of a service or function: the queue it consumes")
    load_balancer: _Arn | None = Field(
        default=None, description="of an ECS service: the application load balancer that sends it requests"
    )
    target_group: _Arn | None = Field(
        default=None, description="of an ECS service: the target group its tasks are registered in"
    )
    dns: DnsTable | None = Field(
        default=None,
        description="of an ECS service behind a load balancer: the record of Route 53 by which people reach it",
    )
    roles: tuple[_Arn, ...] = Field(
        default=(),
        max_length=4,
        description="of an ECS service: the roles its task definitions name, which a rollback passes on to its tasks",
    )
    triggers: TriggersTable | None = Field(
        default=None, description="of an S3 bucket: where its triggers stand, and who is told of them"
    )
    backup: BackupTable | None = Field(
        default=None, description="of an S3 bucket with triggers: where its archive is backed up"
    )
    pipeline: PipelineTable | None = Field(
        default=None, description="of an S3 bucket: what is made of its objects, and by whom"
    )
    schedule: ScheduleTable | None = Field(
        default=None, description="of a rule of EventBridge: what it starts, how often, and what that leaves where"
    )
    cache: CacheTable | None = Field(
        default=None, description="of a GraphQL API of AppSync: what it may answer from memory, where it has no cache"
    )
    clients: tuple[_Client, ...] | None = Field(
        default=None, min_length=1, max_length=8, description="of a Cognito user pool: the ids of its app clients"
    )
    api: _Arn | None = Field(
        default=None, description="of a Cognito user pool: the GraphQL API of AppSync that its tokens open"
    )
    database: DatabaseTable | None = Field(
        default=None, description="of an Aurora cluster: what AWS does not say of it, and who uses it"
    )
    throughput: ThroughputTable | None = Field(
        default=None, description="of a DynamoDB table or index: how much a loan may bring it to"
    )
    provisioned: ProvisionedTable | None = Field(
        default=None, description="of a Lambda function: of which alias instances may be kept ready, and how many"
    )
    depends_on: tuple[_Arn, ...] = Field(
        default=(),
        max_length=8,
        description="of an ECS service: other ECS services, registered too, that it cannot serve without; of a GraphQL "
        "API: the DynamoDB tables and Lambda functions that its resolvers ask",
    )
    log_group: _Arn | None = Field(
        default=None,
        description="of an ECS service: the CloudWatch log group with a line of JSON for each request (path, "
        "statusCode, duration in ms), of which a report counts fifteen minutes by path",
    )
    events_from: tuple[_Arn, ...] = Field(
        default=(),
        max_length=8,
        description="of a Lambda function: the S3 buckets, EventBridge rules and SNS topics that call it, and the "
        "queues, streams and tables that an event source mapping reads for it",
    )
    alias: _Alias | None = Field(
        default=None,
        description="of a Lambda function: the alias by which it is called, of which every sweep notes the version",
    )
    rotate_within: PositiveInt | None = Field(
        default=None,
        le=3650,
        description="of a secret: after how many days it should have another value, if not after as many as "
        "secret-rotation-overdue says",
    )
    terraform_locks: tuple[_Lock, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="of a DynamoDB table in which Terraform's S3 backend locks its states: those states, each as "
        "bucket/key (bucket/env:/workspace/key where it is not the default workspace)",
    )
    replicated: bool = Field(
        default=False, description="of an S3 bucket: whether it should be copied to another one (replication)"
    )
    maintenance: _Maintenance = ()
    alarms: bool = Field(
        default=False,
        description="of a service, dead-letter queue, function, table, API or Aurora cluster: whether the stack makes "
        "alarms for it, and a dashboard for its system; of a bucket of triggers: whether that dashboard shows them",
    )


class SystemTable(_Table):
    """Targets that make one system."""

    name: _Name = Field(
        description="the system's name: lower-case letters, digits and hyphens, at most 32, beginning with a letter"
    )
    maintenance: _Maintenance = ()
    targets: tuple[TargetTable, ...] = Field(
        min_length=1, description="[[systems.targets]], at least one, each with its arn"
    )


class Deployment(_Table):
    """One deployment of Nightshift: one account, one Region."""

    name: _Name = Field(
        description="the deployment's name: lower-case letters, digits and hyphens, at most 32, beginning with a letter"
    )
    account: str = Field(pattern=f"^{_ACCOUNT}$", description="the account's 12 digits, in quotes")
    region: str = Field(pattern=f"^{_REGION}$", description="the Region, as in eu-central-1")
    notify: Notify = Field(description="[notify] with emails: who is told")
    limits: Limits = Field(default=Limits(), description="what may happen at most")
    severities: dict[Severity, SeverityTable] = Field(
        default={},
        description="[severities.SEV1] to SEV4: what they are called here, and how soon somebody must respond",
    )
    escalation: tuple[Level, ...] = Field(
        default=(), max_length=5, description="[[escalation]], in order: L1, L2 and so on, each told if nobody responds"
    )
    storm: Storm = Field(default=Storm(), description="when so much is sick that nothing is fixed one by one")
    calendar: Calendar = Field(default=Calendar(), description="when people work on it, and when nothing is changed")
    remediations: dict[str, dict[str, Any]] = Field(
        min_length=1,
        description="[remediations.<name>], one for each that is enabled: what is not named is not deployed at all",
    )
    systems: tuple[SystemTable, ...] = Field(
        min_length=1, description="[[systems]], at least one, each with its targets"
    )


# -- the policy, as read ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """
    What one deployment may do, to what, and how far: validated as a whole.

    ``targets`` stand in the order of the file, ``remediations`` (enabled ones only, by name) in that of the registry.
    """

    name: str
    account: str
    region: str
    notify: Notify
    limits: Limits
    storm: Storm
    targets: tuple[Target, ...]
    remediations: Mapping[str, Remediation]
    calendar: Calendar = field(default_factory=Calendar)
    severities: Mapping[Severity, SeverityTable] = field(default_factory=dict)
    escalation: tuple[Level, ...] = ()

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits over everything in it: what every report names as the rules it followed."""
        return _hash(_content(self))

    @cached_property
    def groups(self) -> Mapping[str, tuple[Target, ...]]:
        """The targets of each system, by the system's name."""
        found: dict[str, list[Target]] = {}
        for target in self.targets:
            found.setdefault(target.group, []).append(target)
        return MappingProxyType({group: tuple(targets) for group, targets in found.items()})

    @cached_property
    def _by_arn(self) -> Mapping[str, Target]:
        return {str(target.arn): target for target in self.targets}

    def target(self, arn: Arn | str) -> Target | None:
        """The registered target of that ARN, if there is one."""
        return self._by_arn.get(str(arn))

    def mode_for(self, target: Target, remediation: Remediation) -> Mode:
        """How far ``remediation`` may go on ``target``: the more careful of both modes; not said is ``observe``."""
        return min(target.mode or Mode.OBSERVE, remediation.mode, key=lambda mode: mode.rank)

    def label(self, severity: Severity) -> str:
        """What people here call a severity; empty where they call it nothing else."""
        said = self.severities.get(severity)
        return said.label if said else ""

    def respond_within(self, severity: Severity) -> timedelta:
        """How soon somebody must say that they are on an incident of that severity."""
        said = self.severities.get(severity)
        return (said.respond_within if said else None) or RESPOND_WITHIN[severity]

    def escalate_after(self, severity: Severity) -> timedelta:
        """How long after a person is wanted the first level is told that nobody has said anything."""
        said = self.severities.get(severity)
        after = said.escalate_after if said else None
        return self.respond_within(severity) if after is None else after

    def update_every(self, severity: Severity) -> timedelta | None:
        """How often people hear of an incident of that severity while it waits for one of them; None for not at all."""
        said = self.severities.get(severity)
        return said.update_every if said else None

    @cached_property
    def reminds(self) -> bool:
        """Whether anybody hears again of what has ended."""
        return bool(self.escalation) or any(each.update_every for each in self.severities.values())


def role_name(deployment: str, region: str, remediation: str) -> str:
    """The name of the role with which a remediation writes."""
    return f"{deployment}-{region}-{remediation}"


# -- reading and writing ---------------------------------------------------------------------------------------------


def load_toml(path: Path | str, *, registry: Registry | None = None) -> Policy:
    """
    Read and validate one deployment's TOML file. Raises ConfigErrors.

    ``registry`` is the remediations there are; by default those of :mod:`nightshift.remediations`.
    """
    return parse_toml(_read(Path(path), MAX_BYTES), path=str(path), registry=registry)


def parse_toml(text: str | bytes, *, path: str, registry: Registry | None = None) -> Policy:
    """Validate the text of one deployment's TOML; ``path`` is what errors name. Raises ConfigErrors."""
    problems = _Problems(path)
    text = _decoded(text, problems, MAX_BYTES).replace("\r\n", "\n")
    try:
        lines = locate(text)  # first, because it is what limits the nesting
        raw = tomllib.loads(text)
    except _TooDeep as error:
        problems.fail((), "is nested too deeply", f"Nest at most {MAX_DEPTH} levels", line=error.line)
    except ValueError as error:
        problem, remedy, line = _malformed(error, text)
        problems.fail((), problem, remedy, line=line)
    problems.lines = lines
    return _policy(raw, problems, _registry(registry))


def load_json(path: Path | str, *, registry: Registry | None = None) -> Policy:
    """Read back what :func:`to_json` wrote to a file. Raises ConfigErrors on anything else."""
    return from_json(_read(Path(path), MAX_JSON_BYTES), path=str(path), registry=registry)


def to_json(policy: Policy) -> str:
    """The policy as canonical JSON, with its hash: what is shipped to the functions."""
    return _canonical({**_content(policy), "hash": policy.hash})


def from_json(text: str | bytes, *, path: str = "", registry: Registry | None = None) -> Policy:
    """
    Read back what :func:`to_json` wrote: an equal policy, of equal hash. Raises ConfigErrors on anything else.

    It was valid when it was shipped. What is not valid now was changed since, or was made by another version.
    """
    problems = _Problems(path)
    again = "Deploy again: this is made from the TOML and not for editing"
    try:
        raw = strict_json.loads(_decoded(text, problems, MAX_JSON_BYTES), limit=MAX_JSON_BYTES, depth=MAX_DEPTH)
    except strict_json.NotStrict as error:
        problems.fail((), f"is not the JSON that was shipped: {_cut(str(error))}", again)
    if not isinstance(raw, dict):
        problems.fail((), "is not a JSON object", again)
    stated = raw.pop("hash", None)
    policy = _policy(raw, problems, _registry(registry))
    if stated != policy.hash:
        problems.fail(("hash",), f"the content's hash is {policy.hash}, but {_show(stated)} was shipped", again)
    return policy


def json_schema(*, registry: Registry | None = None) -> dict[str, Any]:
    """The JSON Schema of the TOML, for editors: every setting of every remediation, typed and described."""
    known = _registry(registry)
    models: list[type[BaseModel]] = [Deployment, *known]
    references, schema = models_json_schema(
        [(model, "validation") for model in models],
        schema_generator=_Schema,
        ref_template="#/$defs/{model}",
    )
    root: dict[str, Any] = schema["$defs"].pop(references[Deployment, "validation"]["$ref"].rpartition("/")[2])
    root["properties"]["remediations"] |= {
        "properties": {
            each.name: {**references[each, "validation"], "title": each.name, "description": each.title}
            for each in known
        },
        "additionalProperties": False,
    }
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Nightshift: one deployment"}
    return {**head, **{key: value for key, value in root.items() if key != "title"}, "$defs": schema["$defs"]}


class _Schema(GenerateJsonSchema):
    """Durations may also be numbers of seconds."""

    def timedelta_schema(self, schema: core_schema.TimedeltaSchema) -> JsonSchemaValue:
        text = super().timedelta_schema(schema)
        return {"anyOf": [text, {"type": "number", "description": "seconds"}]}


def _registry(registry: Registry | None) -> Registry:
    if registry is not None:
        return registry
    from nightshift.remediations import REMEDIATIONS  # noqa: PLC0415 - a test brings its own, and needs none of these

    return REMEDIATIONS


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        problem = ConfigError(
            f"cannot be read: {getattr(error, 'strerror', error)}", remedy="Name a file that is there", path=str(path)
        )
        raise ConfigErrors([problem]) from error


def _decoded(text: str | bytes, problems: _Problems, limit: int) -> str:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > limit:
        problems.fail((), f"is larger than {limit} bytes", "Split it: one file for one account and Region")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.fail((), f"is not UTF-8 (byte {error.start})", "Save it as UTF-8", line=line)


def _content(policy: Policy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "account": policy.account,
        "region": policy.region,
        "notify": policy.notify.model_dump(mode="json"),
        "limits": policy.limits.model_dump(mode="json"),
        "storm": policy.storm.model_dump(mode="json"),
        "calendar": policy.calendar.model_dump(mode="json"),
        "escalation": [level.model_dump(mode="json") for level in policy.escalation],
        "severities": {each.value: table.model_dump(mode="json") for each, table in policy.severities.items()},
        "remediations": {name: settings.model_dump(mode="json") for name, settings in policy.remediations.items()},
        "systems": [
            {"name": name, "targets": [_written(target) for target in targets]}
            for name, targets in policy.groups.items()
        ],
    }


def _written(target: Target) -> dict[str, Any]:
    links = {name: str(arn) for name in _LINKS if (arn := getattr(target, name)) is not None}
    mode = {"mode": target.mode.value} if target.mode is not None else {}
    return {
        "arn": str(target.arn),
        "protected": target.protected,
        "remediations": list(target.remediations),
        **({"roles": [str(role) for role in target.roles]} if target.roles else {}),
        **({"triggers": _triggers_written(target.triggers)} if target.triggers is not None else {}),
        **({"backup": _backup_written(target.backup)} if target.backup is not None else {}),
        **({"pipeline": _pipeline_written(target.pipeline)} if target.pipeline is not None else {}),
        **({"schedule": _schedule_written(target.schedule)} if target.schedule is not None else {}),
        **({"cache": _cache_written(target.cache)} if target.cache is not None else {}),
        **({"clients": list(target.clients)} if target.clients is not None else {}),
        **({"database": _database_written(target.database)} if target.database is not None else {}),
        **({"throughput": _throughput_written(target.throughput)} if target.throughput is not None else {}),
        **({"provisioned": asdict(target.provisioned)} if target.provisioned is not None else {}),
        **({"letters": [rule.model_dump(mode="json") for rule in target.letters]} if target.letters else {}),
        **({"depends_on": [str(each) for each in target.depends_on]} if target.depends_on else {}),
        **({"events_from": [str(each) for each in target.events_from]} if target.events_from else {}),
        **({"alias": target.alias} if target.alias is not None else {}),
        **({"rotate_within": target.rotate_within} if target.rotate_within is not None else {}),
        **({"terraform_locks": list(target.terraform_locks)} if target.terraform_locks is not None else {}),
        **({"replicated": True} if target.replicated else {}),
        **({"alarms": True} if target.alarms else {}),
        "maintenance": list(target.maintenance),
        **({"dns": {"zone": target.dns.zone, "name": target.dns.name}} if target.dns else {}),
        **mode,
        **links,
    }


def _triggers_written(triggers: Triggers) -> dict[str, Any]:
    customers = [
        {"name": each.name, **{key: str(getattr(each, key)) for key in _OF_CUSTOMER}} for each in triggers.customers
    ]
    key = {"key": str(triggers.key)} if triggers.key is not None else {}
    return {"prefix": triggers.prefix, "archive": triggers.archive, "customers": customers, **key}


def _backup_written(backup: Backup) -> dict[str, Any]:
    key = {"key": str(backup.key)} if backup.key is not None else {}
    return {"bucket": str(backup.bucket), "prefix": backup.prefix, **key}


def _pipeline_written(pipeline: Pipeline) -> dict[str, Any]:
    plain = {name: getattr(pipeline, name) for name in PipelineTable.model_fields if name not in _OF_PIPELINE}
    return {
        **PipelineTable.model_construct(**plain).model_dump(mode="json", include=set(plain)),
        **{name: str(arn) for name in _OF_PIPELINE if (arn := getattr(pipeline, name)) is not None},
    }


def _schedule_written(schedule: Schedule) -> dict[str, Any]:
    hours = schedule.hours
    return {
        "function": str(schedule.function),
        "period": schedule.period.total_seconds(),
        "expected": schedule.expected,
        **({"hours": {**asdict(hours), "bucket": str(hours.bucket)}} if hours is not None else {}),
    }


def _cache_written(cache: Cache) -> dict[str, Any]:
    return {**asdict(cache), "ttl": cache.ttl.total_seconds()}


def _database_written(database: Database) -> dict[str, Any]:
    return {
        "connections": database.connections,
        **({"ceiling": database.ceiling} if database.ceiling is not None else {}),
        **({"used_by": [str(each) for each in database.used_by]} if database.used_by else {}),
    }


def _throughput_written(throughput: Throughput) -> dict[str, int]:
    return {name: units for name, units in asdict(throughput).items() if units is not None}


def _canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()[:12]


# -- validation ------------------------------------------------------------------------------------------------------


@dataclass
class _Problems:
    """What is wrong so far."""

    path: str
    lines: Mapping[Loc, int] = field(default_factory=dict)
    found: list[ConfigError] = field(default_factory=list)

    def add(self, loc: Loc, problem: str, remedy: str, *, line: int | None = None) -> None:
        where = _dotted(loc)
        text = f"{where}: {problem}" if where else problem
        self.found.append(ConfigError(text, remedy=f"{remedy}.", path=self.path, line=line or self.line(loc)))
        if len(self.found) >= MAX_PROBLEMS:
            raise self.error()

    def line(self, loc: Loc) -> int | None:
        """The line of ``loc``, or of what it is missing from."""
        return next((self.lines[loc[:n]] for n in range(len(loc), -1, -1) if loc[:n] in self.lines), None)

    def fail(self, loc: Loc, problem: str, remedy: str, *, line: int | None = None) -> NoReturn:
        self.add(loc, problem, remedy, line=line)
        raise self.error()

    def error(self) -> ConfigErrors:
        """What was found, each once, in the order of the file."""
        unique = {str(problem): problem for problem in self.found}
        return ConfigErrors(sorted(unique.values(), key=lambda problem: problem.line or 0))


def _policy(raw: Mapping[str, Any], problems: _Problems, registry: Registry) -> Policy:
    for loc, problem, remedy in _unspeakable(raw):
        problems.add(loc, problem, remedy)
    if problems.found:
        raise problems.error()
    known = {remediation.name: remediation for remediation in registry}
    file = _validated(Deployment, raw, (), problems, known)
    settings = _settings(raw.get("remediations"), problems, known)
    _check_roles(raw, settings, problems)
    _check_calendar(raw, settings, problems)
    _check_targets(raw, settings, problems, known)
    if file is not None:
        _check_zone(file.notify.timezone, ("notify", "timezone"), problems)
    if file is None or problems.found:
        raise problems.error()
    return Policy(
        name=file.name,
        account=file.account,
        region=file.region,
        notify=file.notify,
        limits=file.limits,
        storm=file.storm,
        targets=tuple(
            _target(system.name, table, system.maintenance) for system in file.systems for table in system.targets
        ),
        remediations=MappingProxyType({name: settings[name] for name in known if name in settings}),
        calendar=file.calendar,
        severities=MappingProxyType(dict(file.severities)),
        escalation=file.escalation,
    )


_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""controls but line breaks and tabs (a rule may look for those in a body), and what breaks lines or turns text round"""


def _unspeakable(raw: Mapping[str, Any]) -> Iterator[tuple[Loc, str, str]]:
    """
    What TOML or Python's JSON can say and our settings cannot.

    Dates, infinities, numbers, lists and nesting without end, and text that steers a terminal or reorders a line.
    """
    todo: list[tuple[Loc, Any]] = [((), raw)]
    while todo:
        loc, value = todo.pop()
        if isinstance(value, dict | list):
            if len(loc) > MAX_DEPTH:
                yield loc, "is nested too deeply", f"Nest at most {MAX_DEPTH} levels"
                continue
            if len(value) > MAX_ITEMS:
                yield loc, f"has {len(value)} entries, more than {MAX_ITEMS}", "Write fewer, or split the file"
                continue
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            todo += [((*loc, key), part) for key, part in parts]
            if isinstance(value, dict) and any(_STEERING.search(key) or "\n" in key or "\t" in key for key in value):
                yield loc, "has a name with invisible characters in it", "Write names in visible characters"
        elif isinstance(value, str) and _STEERING.search(value):
            yield loc, "has invisible characters in it", "Write it in visible characters, line breaks and tabs"
        elif isinstance(value, date | time):
            yield (
                loc,
                "is a date or time, which no setting is",
                f"{_REMEDY_DURATION}; dates and times stand in quotes too",
            )
        elif isinstance(value, float) and not math.isfinite(value):
            yield loc, f"is {value}, which is no number to compare with", "Write a finite number"
        elif isinstance(value, int) and value.bit_length() > 63:  # noqa: PLR2004 - what TOML guarantees
            yield loc, "is a number of more than 64 bits", "Write a smaller number"


def _validated(
    model: type[T], raw: object, at: Loc, problems: _Problems, known: Mapping[str, type[Remediation]]
) -> T | None:
    """Validate strictly, as JSON: there ``"auto"`` is a mode and a list a tuple, but ``"3"`` is no number."""
    try:
        return model.model_validate_json(json.dumps(raw), strict=None if issubclass(model, _Table) else True)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["type"] == "too_short" and detail["ctx"]["actual_length"] < len(detail["input"]):
                continue  # not short: pydantic does not count what is wrong itself
            loc = (*at, *(part for part in detail["loc"] if part != "[key]"))
            problems.add(loc, *_explained(detail, loc, known))
        return None


def _settings(raw: object, problems: _Problems, known: Mapping[str, type[Remediation]]) -> dict[str, Remediation]:
    """The enabled remediations, with their settings."""
    found: dict[str, Remediation] = {}
    for name, values in raw.items() if isinstance(raw, dict) else ():
        loc = ("remediations", name)
        if name not in known:
            problems.add(loc, "there is no such remediation", _suggestion(name, known, "There are"))
        elif isinstance(values, dict):  # else the file's own model says so
            settings = _validated(known[name], _seconds(known[name], values), loc, problems, known)
            if settings is not None:
                found[name] = settings
                for setting, value in settings:
                    if isinstance(value, timedelta) and not timedelta(0) <= value <= LONGEST:
                        problems.add(
                            (*loc, setting),
                            f"{_show(values.get(setting))} is not between nothing and {LONGEST.days} days",
                            _REMEDY_DURATION,
                        )
    return found


_ENDLESS_SECONDS = 10**12


def _seconds(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers of seconds as ISO 8601 where the setting is a duration: strict pydantic takes only that."""
    found = dict(values)
    for name, info in model.model_fields.items():
        value = found.get(name)
        if timedelta not in (info.annotation, *get_args(info.annotation)) or isinstance(value, bool):
            continue
        if isinstance(value, int | float) and abs(value) < _ENDLESS_SECONDS:
            found[name] = f"{'-' if value < 0 else ''}PT{abs(value):f}S"
    return found


_LINKS = {
    "consumer": (("sqs:queue",), ("ecs:service", "lambda:function")),
    "source": (("sqs:queue",), ("sqs:queue",)),
    "function": (("sqs:queue",), ("lambda:function",)),
    "queue": (("ecs:service", "lambda:function"), ("sqs:queue",)),
    "load_balancer": (("ecs:service",), ("elasticloadbalancing:loadbalancer",)),
    "target_group": (("ecs:service",), ("elasticloadbalancing:targetgroup",)),
    "log_group": (("ecs:service",), ("logs:log-group",)),
    "api": (("cognito-idp:userpool",), ("appsync:apis",)),
}
"""what may have the link, and what it may point to"""
_EVENTS = ("s3:bucket", "events:rule", "sns:topic", "sqs:queue", "kinesis:stream", "dynamodb:table")
"""what may stand among a function's ``events_from``"""
_OF_CUSTOMER = {"queue": "sqs:queue", "dead_letters": "sqs:queue", "consumer": "ecs:service"}
"""what a customer of a bucket of triggers names, and of which kind it is"""
_OF_PIPELINE = {
    "curated": "s3:bucket",
    "queue": "sqs:queue",
    "dead_letters": "sqs:queue",
    "function": "lambda:function",
}
"""the same of a pipeline"""


def _check_roles(raw: Mapping[str, Any], settings: Mapping[str, Remediation], problems: _Problems) -> None:
    name, region = raw.get("name"), raw.get("region")
    for remediation in settings if _fits(_NAME, name) and _fits(_REGION, region) else ():
        role = role_name(str(name), str(region), remediation)
        if len(role) > MAX_ROLE_NAME:
            problems.add(
                ("name",),
                f"the write role's name {_cut(role)} has {len(role)} characters, and IAM allows {MAX_ROLE_NAME}",
                f"Make the deployment's name {len(role) - MAX_ROLE_NAME} characters shorter",
            )


def _check_targets(
    raw: Mapping[str, Any],
    settings: Mapping[str, Remediation],
    problems: _Problems,
    known: Mapping[str, type[Remediation]],
) -> None:
    """What no single value shows: checked for whatever is valid by itself, so that all problems are said at once."""
    enabled = raw.get("remediations")
    enabled = enabled if isinstance(enabled, dict) else {}
    systems: dict[str, Loc] = {}
    arns: dict[Arn, Loc] = {}
    idle = set(settings)
    for loc, system, table in _tables(raw):
        here = (*loc[:2], "name")
        if systems.setdefault(system, here) != here:
            there = _dotted(systems[system][:-1])
            problems.add(here, f"{_show(system)} is the name of {there} already", "Give each system its own name")
        if table is None:
            continue
        target = _target(system, table)
        if arns.setdefault(target.arn, loc) != loc:
            line = problems.line((*arns[target.arn], "arn"))
            there = f"{_dotted(arns[target.arn])}{f' (line {line})' if line else ''}"
            problems.add((*loc, "arn"), f"{target.arn} is {there} already", "Keep one of them")
        _check_home(target, loc, raw.get("account"), raw.get("region"), problems)
        _check_links(target, loc, problems)
        _check_alarms(target, loc, problems)
        takers = {name for name, remediation in settings.items() if remediation.takes(target)}
        idle -= takers
        if _check_listed(target, loc, enabled, problems, known) and not takers and len(settings) == len(enabled):
            kinds = "; ".join(f"{name} takes {' and '.join(settings[name].kinds)}" for name in settings)
            problems.add(
                (*loc, "arn"),
                f"no enabled remediation takes the kind {target.arn.kind}",
                f"Enable one that does, or remove the target: {kinds or 'none is enabled'}",
            )
    if not problems.found:  # else its target may be one of those that are wrong
        for name in sorted(idle):
            remedy = "Register one, or remove it: its role would be for nothing"
            problems.add(("remediations", name), "has no target", remedy)


def _target(group: str, table: TargetTable, maintenance: tuple[str, ...] = ()) -> Target:
    """As it is under care: what its whole system says of maintenance is said of it too."""
    said = {name: getattr(table, name) for name in TargetTable.model_fields}
    dns = DnsRecord(table.dns.zone, table.dns.name) if table.dns else None
    tables = {
        "dns": dns,
        "triggers": _triggers(table.triggers),
        "backup": Backup(**vars(table.backup)) if table.backup is not None else None,
        "pipeline": _pipeline(table.pipeline),
        "schedule": _schedule(table.schedule),
        "cache": None if table.cache is None else Cache(**dict(table.cache)),
        "database": Database(**dict(table.database)) if table.database is not None else None,
        "throughput": Throughput(table.throughput.read, table.throughput.write) if table.throughput else None,
        "provisioned": Provisioned(**dict(table.provisioned)) if table.provisioned is not None else None,
    }
    target = Target(group=group, **{**said, **tables})
    return replace(target, maintenance=tuple(dict.fromkeys((*maintenance, *target.maintenance))))


def _triggers(table: TriggersTable | None) -> Triggers | None:
    if table is None:
        return None
    return Triggers(table.prefix, table.archive, tuple(Customer(**dict(each)) for each in table.customers), table.key)


def _pipeline(table: PipelineTable | None) -> Pipeline | None:
    return None if table is None else Pipeline(**dict(table))


def _schedule(table: ScheduleTable | None) -> Schedule | None:
    if table is None:
        return None
    hours = Hours(**vars(table.hours)) if table.hours is not None else None
    return Schedule(table.function, table.period, table.expected, hours)


def _check_calendar(raw: Mapping[str, Any], settings: Mapping[str, Remediation], problems: _Problems) -> None:
    """What no single value of the calendar shows, and whether whoever names a window names one that there is."""
    try:
        calendar = Calendar.model_validate_json(json.dumps(raw.get("calendar", {})))
    except ValidationError:
        return  # said by the file's own model
    names: dict[str, Loc] = {}
    for n, window in enumerate(calendar.windows):
        here: Loc = ("calendar", "windows", n)
        _check_zone(window.timezone, (*here, "timezone"), problems)
        if window.begins == window.ends:
            problems.add((*here, "ends"), "is when it begins", "Write an earlier or a later time")
        if names.setdefault(window.name, here) != here:
            there = _dotted(names[window.name])
            problems.add(
                (*here, "name"), f"{_show(window.name)} is the name of {there} already", "Give it its own name"
            )
    freeze = calendar.freeze
    _check_zone(freeze.timezone, ("calendar", "freeze", "timezone"), problems)
    for n, dates in enumerate(freeze.dates):
        if dates.last < dates.first:
            here = ("calendar", "freeze", "dates", n, "last")
            problems.add(here, f"{dates.last} is before {dates.first}", "Write the first day first")
    for n, name in enumerate(freeze.override):
        if name not in settings:
            here = ("calendar", "freeze", "override", n)
            problems.add(here, f"{_show(name)} is not enabled", _suggestion(name, settings, "There are"))
    for loc, named in _windows_named(raw, settings):
        for n, name in enumerate(named):
            if name not in names:
                problems.add((*loc, n), f"there is no window {_show(name)}", _suggestion(name, names, "There are"))


def _check_zone(name: str, loc: Loc, problems: _Problems) -> None:
    if zone(name) is None:
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        say = f"Did you mean {near[0]}" if near else "Write UTC, or a place"
        problems.add(loc, f"there is no time zone {_show(name)} here", f"{say}, as in Europe/Berlin")


def _windows_named(
    raw: Mapping[str, Any], settings: Mapping[str, Remediation]
) -> Iterator[tuple[Loc, tuple[str, ...]]]:
    """Where windows are named, as far as it can be read."""
    for name, each in settings.items():
        yield ("remediations", name, "only_in"), each.only_in
    for loc, _, table in _tables(raw):
        if table is not None:
            yield (*loc, "maintenance"), table.maintenance
            continue
        system = raw["systems"][loc[1]].get("maintenance")
        if isinstance(system, list):
            yield (*loc, "maintenance"), tuple(each for each in system if isinstance(each, str))


def _tables(raw: Mapping[str, Any]) -> Iterator[tuple[Loc, str, TargetTable | None]]:
    """Every target that is valid by itself, with its system's name; before them, None to name the system."""
    systems = raw.get("systems")
    for i, system in enumerate(systems if isinstance(systems, list) else ()):
        if not isinstance(system, dict):
            continue
        group = system.get("name")
        if not isinstance(group, str):
            group = f"systems[{i}]"  # its missing name is said elsewhere
        yield ("systems", i), group, None
        targets = system.get("targets")
        for j, table in enumerate(targets if isinstance(targets, list) else ()):
            try:
                yield (
                    ("systems", i, "targets", j),
                    group,
                    TargetTable.model_validate_json(json.dumps(table)),
                )
            except ValidationError:
                continue  # said by the file's own model


def _check_home(target: Target, loc: Loc, account: object, region: object, problems: _Problems) -> None:
    """One deployment serves one account and Region; S3's ARNs name neither."""
    if not _fits(_ACCOUNT, account) or not _fits(_REGION, region):
        return
    ours = {"partition": _partition(str(region)), "account": account, "region": region}
    named: list[tuple[Loc, Arn | None]] = [((key,), getattr(target, key)) for key in ("arn", *_LINKS)]
    named += [(("events_from", n), arn) for n, arn in enumerate(target.events_from)]
    of_tables = (
        *_of_customers(target),
        *_of_backup(target),
        *_of_pipeline(target),
        *_of_schedule(target),
        *_of_database(target),
    )
    named += [(key, arn) for key, arn, _ in of_tables]
    named += _keys(target)
    for key, arn in named:
        wrong = [
            f"its {what} is {getattr(arn, what) or 'not said'}, but the deployment's is {our}"
            for what, our in ours.items()
            if arn is not None
            and getattr(arn, what) != our
            and (getattr(arn, what) or arn.service != "s3")
            and (what != "account" or arn.service != "kms")  # S3 takes keys of its own Region, and of any account
        ]
        if wrong:
            remedy = "One file serves one account and Region: correct the ARN, or register it in the file of its own"
            problems.add((*loc, *key), "; ".join(wrong), remedy)


def _fits(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _partition(region: str) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")


def _check_links(target: Target, loc: Loc, problems: _Problems) -> None:
    for key, (holders, kinds) in _LINKS.items():
        arn = getattr(target, key)
        if arn is None:
            continue
        if target.arn.kind not in holders:
            remedy = f"Remove it: only {' and '.join(holders)} have one"
            problems.add((*loc, key), f"a target of kind {target.arn.kind} has no {key}", remedy)
        elif arn.kind not in kinds:
            problems.add((*loc, key), f"{arn} is of kind {arn.kind}", f"A {key} is of kind {' or '.join(kinds)}")
        elif arn == target.arn:
            problems.add((*loc, key), "is the target itself", f"Name the queue the letters came from, or remove {key}")
        elif key == "load_balancer" and not arn.resource.startswith("loadbalancer/app/"):
            remedy = "Only application load balancers (loadbalancer/app/…) say how requests were answered: remove it"
            problems.add((*loc, key), f"{arn} is no application load balancer", remedy)
        elif key == "log_group" and arn.resource.count(":") > 1:
            problems.add((*loc, key), f"{arn} is more than the log group", "Remove what follows its name (:*)")
    _check_needed(target, loc, problems)
    _check_task_roles(target, loc, problems)
    _check_triggers(target, loc, problems)
    _check_backup(target, loc, problems)
    _check_keys(target, loc, problems)
    _check_events(target, loc, problems)
    _check_alias(target, loc, problems)
    _check_pipeline(target, loc, problems)
    _check_schedule(target, loc, problems)
    _check_cache(target, loc, problems)
    _check_database(target, loc, problems)
    _check_letters(target, loc, problems)
    _check_locks(target, loc, problems)
    _check_kept_up(target, loc, problems)
    _check_table(target, loc, problems)
    _check_provisioned(target, loc, problems)
    if target.dns is not None and target.load_balancer is None:
        problems.add(
            (*loc, "dns"), "there is no load balancer that it could lead to", "Name the load_balancer, or remove it"
        )
    for one, other in (("load_balancer", "target_group"), ("target_group", "load_balancer")):
        if getattr(target, one) is not None and getattr(target, other) is None:
            problems.add((*loc, one), f"has no {other} beside it", f"Name the {other} too: metrics need both")


def _check_kept_up(target: Target, loc: Loc, problems: _Problems) -> None:
    if target.rotate_within is not None and target.arn.kind != "secretsmanager:secret":
        remedy = "Remove it: only secrets (secretsmanager:secret) have one"
        problems.add((*loc, "rotate_within"), f"a target of kind {target.arn.kind} has no rotate_within", remedy)
    if target.replicated and target.arn.kind != "s3:bucket":
        remedy = "Remove it: only buckets (s3:bucket) are copied to another one"
        problems.add((*loc, "replicated"), f"a target of kind {target.arn.kind} has no replicated", remedy)


def _check_task_roles(target: Target, loc: Loc, problems: _Problems) -> None:
    for n, role in enumerate(target.roles):
        if target.arn.kind != "ecs:service":
            problems.add((*loc, "roles"), f"a target of kind {target.arn.kind} has no roles", "Remove them")
        elif role.kind != "iam:role" or role.account != target.arn.account or role.partition != target.arn.partition:
            remedy = "A role is arn:aws:iam::ACCOUNT:role/NAME, of the deployment's account"
            problems.add((*loc, "roles", n), f"{role} is no role of this account", remedy)


def _check_locks(target: Target, loc: Loc, problems: _Problems) -> None:
    """The states that Terraform locks in a table: a digest is no lock."""
    locks, here = target.terraform_locks, (*loc, "terraform_locks")
    if locks is None:
        return
    if not _TABLE.fullmatch(f"{target.arn.service}:{target.arn.resource}"):
        remedy = "Remove them: only a DynamoDB table (…:table/<name>) holds the locks of Terraform's S3 backend"
        problems.add(here, f"{target.arn} is no table, and has no terraform_locks", remedy)
    for n, lock in enumerate(locks):
        if lock.endswith("-md5"):
            problems.add((*here, n), f"{lock} is the digest of a state", "Name the state: bucket/key, without -md5")
        elif lock in locks[:n]:
            problems.add((*here, n), f"{lock} is named already", "Keep one of them")
    if sum(map(len, locks)) > _LOCKS:
        problems.add(here, f"their names have more than {_LOCKS} characters", "Name those that people wait for")


_TABLE = re.compile(r"dynamodb:table/[\w.-]{3,255}", re.ASCII)


def _check_letters(target: Target, loc: Loc, problems: _Problems) -> None:
    """Letters come from a queue or from a function; and only a queue has any."""
    for other in ("source", "consumer") if target.function is not None else ():
        if getattr(target, other) is not None:
            remedy = "Keep one: a function's failed events go back to the function, a queue's letters to the queue"
            problems.add((*loc, "function"), f"has a {other} beside it", remedy)
    if target.letters and target.arn.kind != "sqs:queue":
        remedy = "Remove them: only a dead-letter queue (sqs:queue) has letters"
        problems.add((*loc, "letters"), f"a target of kind {target.arn.kind} has no letters", remedy)


_NEEDED = {"ecs:service": ("ecs:service",), "appsync:apis": ("dynamodb:table", "lambda:function")}
"""what may depend on what"""


def _check_cache(target: Target, loc: Loc, problems: _Problems) -> None:
    """What a GraphQL API may keep, and the clients of a user pool."""
    if target.clients is not None and target.arn.kind != "cognito-idp:userpool":
        remedy = "Remove them: only a Cognito user pool (…:userpool/<id>) has clients"
        problems.add((*loc, "clients"), f"a target of kind {target.arn.kind} has no clients", remedy)
    if target.cache is None:
        return
    if target.arn.kind != "appsync:apis":
        remedy = "Remove it: only a GraphQL API of AppSync (…:apis/<id>) has one"
        problems.add((*loc, "cache"), f"a target of kind {target.arn.kind} has no cache", remedy)
    elif not target.depends_on:
        remedy = "Name the tables and functions in depends_on: while one of them is the cause, a cache is no cure"
        problems.add((*loc, "cache"), "nobody has said what the API stands on", remedy)
    if target.cache.ttl % timedelta(seconds=1):
        problems.add((*loc, "cache", "ttl"), "is no whole number of seconds", "Say one, as in PT5M")


def _check_table(target: Target, loc: Loc, problems: _Problems) -> None:
    """A stream or a backup of a table has an ARN like an index's, and no capacity."""
    if target.arn.kind != "dynamodb:table":
        if target.throughput is not None:
            remedy = "Remove it: only tables of DynamoDB and their indexes have one"
            problems.add((*loc, "throughput"), f"a target of kind {target.arn.kind} has no throughput", remedy)
        return
    match target.arn.resource.split("/"):
        case ["table", table] | ["table", table, "index", _] if table:
            return
    remedy = "Name the table (table/NAME), or one of its global secondary indexes (table/NAME/index/NAME)"
    problems.add((*loc, "arn"), f"{target.arn} is no table and no index", remedy)


def _check_provisioned(target: Target, loc: Loc, problems: _Problems) -> None:
    """Instances are those of a function that is named itself: the alias is said beside it."""
    if target.provisioned is None:
        return
    if target.arn.kind != "lambda:function":
        remedy = "Remove it: only lambda:function has one"
        problems.add((*loc, "provisioned"), f"a target of kind {target.arn.kind} has no provisioned", remedy)
    elif target.arn.resource.count(":") != 1:
        remedy = "Name the function itself, and its alias in provisioned"
        problems.add((*loc, "arn"), f"{target.arn} names a version or an alias", remedy)


def _check_needed(target: Target, loc: Loc, problems: _Problems) -> None:
    for n, needed in enumerate(target.depends_on):
        home = (needed.account, needed.region) == (target.arn.account, target.arn.region)
        if needed.kind not in _NEEDED.get(target.arn.kind, ()) or needed == target.arn or not home:
            remedy = (
                "Only an ECS service depends on another one that is registered too, and a GraphQL API on tables and "
                "functions: name that, or remove it"
            )
            problems.add((*loc, "depends_on", n), f"{needed} is nothing that {target.arn} can depend on", remedy)


def _check_events(target: Target, loc: Loc, problems: _Problems) -> None:
    """Who calls a function, or is read for it."""
    if target.events_from and target.arn.kind != "lambda:function":
        remedy = "Remove it: only lambda:function has one"
        problems.add((*loc, "events_from"), f"a target of kind {target.arn.kind} has no events_from", remedy)
        return
    for n, source in enumerate(target.events_from):
        here = (*loc, "events_from", n)
        if source.kind not in _EVENTS:
            remedy = f"Name one of kind {', '.join(_EVENTS)}"
            problems.add(here, f"{source} is of kind {source.kind}", remedy)
        elif source in target.events_from[:n]:
            problems.add(here, f"{source} is named already", "Keep one of them")


def _check_alias(target: Target, loc: Loc, problems: _Problems) -> None:
    """The name by which a function is called: of the function, not of one of its versions."""
    if target.alias is not None and (target.arn.kind != "lambda:function" or target.arn.resource.count(":") > 1):
        remedy = "Remove it: only a function itself (…:function:<name>, without a version) has one"
        problems.add((*loc, "alias"), f"{target.arn} has no alias", remedy)


_WATCHED = ("ecs:service", "sqs:queue", "lambda:function", "dynamodb:table", "appsync:apis", "rds:cluster", "s3:bucket")
_KINDS = ", ".join(_WATCHED)


def _check_alarms(target: Target, loc: Loc, problems: _Problems) -> None:
    """Alarms are made for what we know the metrics of, and for a queue only where messages in it are a failure."""
    if not target.alarms:
        return
    here = (*loc, "alarms")
    if target.arn.kind not in _WATCHED:
        problems.add(here, f"there are no alarms for the kind {target.arn.kind}", f"Remove it: there are for {_KINDS}")
    elif target.arn.kind == "s3:bucket" and target.triggers is None:
        problems.add(here, "has no triggers beside it", "Remove it: a bucket is drawn where it holds triggers")
    elif target.arn.kind == "sqs:queue" and target.source is None:
        problems.add(here, "has no source beside it", "Name the queue whose dead letters it holds, or remove it")


def _of_customers(target: Target) -> Iterator[tuple[Loc, Arn, str]]:
    """What the customers of a bucket of triggers name: where it stands, what it is, and of which kind it must be."""
    for n, customer in enumerate(target.triggers.customers if target.triggers is not None else ()):
        for key, kind in _OF_CUSTOMER.items():
            yield ("triggers", "customers", n, key), getattr(customer, key), kind


def _check_triggers(target: Target, loc: Loc, problems: _Problems) -> None:
    """A trigger must be one customer's, and one queue's: else a message could be sent to the wrong one."""
    if target.triggers is None:
        return
    if target.arn.kind != "s3:bucket":
        remedy = "Remove them: only S3 buckets (arn:aws:s3:::<bucket>) have triggers"
        problems.add((*loc, "triggers"), f"{target.arn} has no triggers", remedy)
    prefix, archive = target.triggers.prefix, target.triggers.archive
    if prefix.startswith(archive) or archive.startswith(prefix):
        problems.add(
            (*loc, "triggers"), f"{prefix} and {archive} are not apart", "Name two prefixes, neither in the other"
        )
    taken: dict[Arn | str, Loc] = {}
    for n, customer in enumerate(target.triggers.customers):
        here: Loc = ("triggers", "customers", n, "name")
        if taken.setdefault(customer.name, here) != here:
            problems.add((*loc, *here), f"{_show(customer.name)} is another customer's", "Give each its own name")
    for here, arn, kind in _of_customers(target):
        if arn.kind != kind:
            problems.add((*loc, *here), f"{arn} is of kind {arn.kind}", f"A {here[-1]} is of kind {kind}")
        elif kind == "sqs:queue" and taken.setdefault(arn, here) != here:
            remedy = "Name the queue of this customer alone"
            problems.add((*loc, *here), f"{arn} is named already, {_dotted(taken[arn])}", remedy)


def _of_backup(target: Target) -> Iterator[tuple[Loc, Arn, str]]:
    """What a backup names: where it stands, what it is, and of which kind it must be."""
    if target.backup is not None:
        yield ("backup", "bucket"), target.backup.bucket, "s3:bucket"


def _check_backup(target: Target, loc: Loc, problems: _Problems) -> None:
    """What is lost with a bucket must not be all that there was of it."""
    if target.backup is None:
        return
    if target.triggers is None:
        problems.add((*loc, "backup"), "there is no archive to back up", "Name its triggers too, or remove it")
    for here, arn, kind in _of_backup(target):
        if arn.kind != kind or "/" in arn.resource:
            problems.add((*loc, *here), f"{arn} does not name one {kind}", f"A {here[-1]} is arn:aws:s3:::<bucket>")
        elif arn == target.arn:
            problems.add((*loc, *here), "is the bucket itself", "Name another bucket: one alone is no backup")


def _keys(target: Target) -> Iterator[tuple[Loc, Arn]]:
    """The keys with which a bucket's objects and their backup are encrypted: where each stands, and what it is."""
    for name, table in (("triggers", target.triggers), ("backup", target.backup)):
        if table is not None and table.key is not None:
            yield (name, "key"), table.key


def _check_keys(target: Target, loc: Loc, problems: _Problems) -> None:
    """IAM knows a key by its id alone."""
    for here, key in _keys(target):
        if key.kind != "kms:key":
            remedy = "Name its id: aws kms describe-key --key-id ALIAS --query KeyMetadata.Arn"
            problems.add((*loc, *here), f"{key} is of kind {key.kind}", remedy)


def _of_pipeline(target: Target) -> Iterator[tuple[Loc, Arn, str]]:
    """What a pipeline names: where it stands, what it is, and of which kind it must be."""
    for key, kind in _OF_PIPELINE.items() if target.pipeline is not None else ():
        if (arn := getattr(target.pipeline, key)) is not None:
            yield ("pipeline", key), arn, kind


def _check_pipeline(target: Target, loc: Loc, problems: _Problems) -> None:
    """What is made must not be what it is made of, or it would be made again for ever."""
    pipeline = target.pipeline
    if pipeline is None:
        return
    if target.arn.kind != "s3:bucket":
        remedy = "Remove it: only S3 buckets (arn:aws:s3:::<bucket>) have a pipeline"
        problems.add((*loc, "pipeline"), f"{target.arn} has no pipeline", remedy)
    for here, arn, kind in _of_pipeline(target):
        whole = kind != "s3:bucket" or "/" not in arn.resource
        whole = whole and (kind != "lambda:function" or arn.resource.count(":") == 1)
        if arn.kind != kind or not whole:
            remedy = f"A {here[-1]} is of kind {kind}, by its name alone"
            problems.add((*loc, *here), f"{arn} does not name one {kind}", remedy)
    if pipeline.queue is not None and pipeline.dead_letters is None:
        remedy = "Name the queue in which its messages die, or no queue where S3 tells the function itself"
        problems.add((*loc, "pipeline", "queue"), "has no dead_letters", remedy)
    elif pipeline.queue is not None and pipeline.queue == pipeline.dead_letters:
        problems.add((*loc, "pipeline", "dead_letters"), "is the queue itself", "Name the queue in which messages die")
    raw, curated = pipeline.raw, pipeline.curated_prefix
    if pipeline.curated == target.arn and (raw.startswith(curated) or curated.startswith(raw)):
        remedy = "Name another bucket, or two prefixes, neither in the other"
        problems.add((*loc, "pipeline", "curated_prefix"), f"{raw} and {curated} are not apart", remedy)


def _of_schedule(target: Target) -> Iterator[tuple[Loc, Arn, str]]:
    """What the schedule of a rule names: where it stands, what it is, and of which kind it must be."""
    if target.schedule is None:
        return
    yield ("schedule", "function"), target.schedule.function, "lambda:function"
    if target.schedule.hours is not None:
        yield ("schedule", "hours", "bucket"), target.schedule.hours.bucket, "s3:bucket"


def _check_schedule(target: Target, loc: Loc, problems: _Problems) -> None:
    if target.schedule is None:
        return
    if target.arn.kind != "events:rule":
        remedy = "Remove it: only rules of EventBridge (…:rule/<name>) have a schedule"
        problems.add((*loc, "schedule"), f"{target.arn} has no schedule", remedy)
    for here, arn, kind in _of_schedule(target):
        if arn.kind != kind:
            problems.add((*loc, *here), f"{arn} is of kind {arn.kind}", f"A {here[-1]} is of kind {kind}")
        elif kind == "lambda:function" and arn.resource.count(":") > 1:
            remedy = "Name the function itself: its figures are of all its versions"
            problems.add((*loc, *here), f"{arn} names a version or an alias", remedy)
    if target.schedule.hours is not None and target.schedule.period > timedelta(hours=1):
        remedy = "Remove the hours, or correct the period"
        problems.add((*loc, "schedule", "period"), "is longer than the hours that its runs fill", remedy)


def _of_database(target: Target) -> Iterator[tuple[Loc, Arn, str]]:
    """Who uses a database: where it stands, who it is, and of which kinds it may be."""
    for n, arn in enumerate(target.database.used_by if target.database is not None else ()):
        yield ("database", "used_by", n), arn, "ecs:service or lambda:function"


def _check_database(target: Target, loc: Loc, problems: _Problems) -> None:
    if target.database is None:
        return
    if target.arn.kind != "rds:cluster":
        remedy = "Remove it: only Aurora clusters (…:cluster:<name>) have a database"
        problems.add((*loc, "database"), f"{target.arn} has no database", remedy)
    for here, arn, kinds in _of_database(target):
        if arn.kind not in kinds.split(" or "):
            problems.add((*loc, *here), f"{arn} is of kind {arn.kind}", f"What uses a database is of kind {kinds}")
        elif arn.kind == "lambda:function" and arn.resource.count(":") > 1:
            remedy = "Name the function itself: its figures are of all its versions"
            problems.add((*loc, *here), f"{arn} names a version or an alias", remedy)


def _check_listed(
    target: Target, loc: Loc, enabled: Mapping[str, Any], problems: _Problems, known: Mapping[str, type[Remediation]]
) -> bool:
    """Whether the remediations that a target lists exist, are enabled, fit its kind, and have what they need."""
    good = True
    for n, name in enumerate(target.remediations):
        here = (*loc, "remediations", n)
        if name not in known:
            problems.add(here, f"{_show(name)} is no remediation", _suggestion(name, known, "There are"))
        elif name not in enabled:
            problems.add(here, f"{name} is not enabled", f"Add a table [remediations.{name}], or remove it here")
        elif target.arn.kind not in known[name].kinds:
            remedy = f"Remove it here: it takes {' and '.join(known[name].kinds)}"
            problems.add(here, f"{name} does not take the kind {target.arn.kind}", remedy)
        elif unnamed := [field for field in known[name].needs if getattr(target, field) is None]:
            problems.add(here, f"{name} needs its {' and its '.join(unnamed)}", "Name them too, or remove it here")
        else:
            continue
        good = False
    return good


# -- words for people ------------------------------------------------------------------------------------------------

_TABLES: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): Deployment,
    ("notify",): Notify,
    **{("notify", "severities", severity): Recipients for severity in Severity},
    **{("severities", severity): SeverityTable for severity in Severity},
    ("limits",): Limits,
    ("storm",): Storm,
    ("escalation",): Level,
    ("calendar",): Calendar,
    ("calendar", "windows"): Window,
    ("calendar", "freeze"): Freeze,
    ("calendar", "freeze", "dates"): Dates,
    ("systems",): SystemTable,
    ("systems", "targets"): TargetTable,
    ("systems", "targets", "cache"): CacheTable,
    ("systems", "targets", "backup"): BackupTable,
    ("systems", "targets", "pipeline"): PipelineTable,
    ("systems", "targets", "letters"): Rule,
    ("systems", "targets", "triggers"): TriggersTable,
    ("systems", "targets", "triggers", "customers"): CustomerTable,
    ("systems", "targets", "schedule"): ScheduleTable,
    ("systems", "targets", "database"): DatabaseTable,
    ("systems", "targets", "throughput"): ThroughputTable,
    ("systems", "targets", "provisioned"): ProvisionedTable,
    ("systems", "targets", "schedule", "hours"): HoursTable,
}


def _explained(detail: ErrorDetails, loc: Loc, known: Mapping[str, type[Remediation]]) -> tuple[str, str]:
    """Pydantic's finding as a problem and a remedy."""
    kind, message, context = detail["type"], detail["msg"], detail.get("ctx", {})
    names = tuple(part for part in loc if isinstance(part, str))
    table = _table(names[:-1], known)
    info = table.model_fields.get(names[-1]) if table is not None and names else None
    belongs = f"What belongs there: {info.description}" if info is not None and info.description else "Correct it"
    shown = _show(detail["input"])
    if kind == "nightshift":
        return str(context["problem"]), str(context["remedy"])
    if kind == "extra_forbidden":
        remedy = _suggestion(str(loc[-1]), table.model_fields, "There are") if table is not None else "Remove it"
        return "there is no such setting here", remedy
    if kind == "missing":
        return "is missing", belongs if belongs != "Correct it" else "Add it"
    if kind == "enum":
        return f"{shown} is not known", f"Write one of {context['expected']}"
    if kind.startswith("time_delta"):
        return f"{shown} is not a duration", _REMEDY_DURATION
    if kind == "string_type":
        return f"{shown} is not text", f"Put it in quotes. {belongs}"
    if kind == "string_pattern_mismatch":
        return f"{shown} does not fit", belongs
    if kind == "too_short" and not context["actual_length"]:
        return "is empty", belongs
    for theirs, ours in _THEIR_WORDS.items():
        message = message.replace(theirs, ours)
    return f"{shown} {message.removeprefix('Input ')}" if message.startswith(
        "Input "
    ) else f"{shown}: {message}", belongs


_THEIR_WORDS = {
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid dictionary": "a table",
    "an object": "a table",
}


def _table(names: tuple[str, ...], known: Mapping[str, type[Remediation]]) -> type[BaseModel] | None:
    """The model of a table, by the keys that lead there; None where it cannot be told (a choice of several)."""
    if len(names) < 2 or names[0] != "remediations":  # noqa: PLR2004 - remediations.<name>
        return _TABLES.get(names)
    table: type[BaseModel] | None = known.get(names[1])
    for name in names[2:]:
        info = table.model_fields.get(name) if table is not None else None
        inner = {part for part in _parts(info.annotation) if isinstance(part, type)} if info is not None else set()
        models = [part for part in inner if issubclass(part, BaseModel)]
        table = models[0] if len(models) == 1 else None
    return table


def _parts(annotation: object) -> Iterator[object]:
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)


def _suggestion(name: str, there: Iterator[str] | Sequence[str] | Mapping[str, Any], say: str) -> str:
    names = list(there)
    near = difflib.get_close_matches(name[:100], names, n=1)
    return f"{f'Did you mean {near[0]}? ' if near else ''}{say}: {', '.join(names) or 'none'}"


def _show(value: object) -> str:
    """A value as it may stand in one line of a terminal."""
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else "a list"
    return _cut(json.dumps(value, default=str))


def _cut(text: str, width: int = 120) -> str:
    text = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _dotted(loc: Loc) -> str:
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if _BARE_KEY.fullmatch(part) else f".{_cut(json.dumps(part), 64)}"
    return text.removeprefix(".")


# -- lines -----------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r'''
      \#[^\n]*
    | (?P<string> """(?:\\.|[^\\])*?(?:"{3,5}|\Z) | \'\'\'.*?(?:\'{3,5}|\Z) | "(?:\\.|[^"\\\n])*"? | '[^'\n]*'? )
    | (?P<mark> [\[\]{}=,.\n] )
    | (?P<bare> [^\s\#"'\[\]{}=,.]+ )
    ''',
    re.DOTALL | re.VERBOSE,
)
"""every alternative ends wherever the text does, so that a scan is linear whatever the text is"""


class _TooDeep(Exception):
    """Never leaves this module."""

    def __init__(self, line: int) -> None:
        self.line = line


def locate(text: str) -> dict[Loc, int]:
    """
    The line on which each table, key and array element of a TOML text begins: tomllib gives none.

    For a valid text there is one for every path of the parsed data; of any other, as many as can be told.
    """
    return _Locator().read(text)


class _Locator:
    def __init__(self) -> None:
        self.lines: dict[Loc, int] = {(): 1}
        self._line = 1
        self._table: Loc = ()  # of the header above
        self._counts: dict[Loc, int] = {}  # last index of each array of tables
        self._stack: list[tuple[Loc, bool]] = []  # open brackets of the value under way: path, is it an array?
        self._index: list[int] = []  # of the open arrays (-1 for inline tables)
        self._key: list[str] = []
        self._value: Loc | None = None  # path of the value under way; None while a key is being read
        self._header = 0  # opening brackets of the header under way

    def read(self, text: str) -> dict[Loc, int]:
        seen = 0
        for match in _TOKEN.finditer(text):
            self._line += text.count("\n", seen, match.start())
            seen = match.start()
            if match.lastgroup == "mark":
                self._mark(match[0])
            elif match.lastgroup is not None:
                self._word(match[0], quoted=match.lastgroup == "string")
        return self.lines

    def _note(self, path: Loc) -> Loc:
        if len(path) > MAX_DEPTH:
            raise _TooDeep(self._line)
        self.lines.setdefault(path, self._line)
        return path

    def _word(self, token: str, *, quoted: bool) -> None:
        if self._value is not None or (self._stack and self._stack[-1][1]):
            self._begin()
        else:
            if len(self._key) >= MAX_DEPTH:
                raise _TooDeep(self._line)
            self._key.append(_unquoted(token) if quoted else token)

    def _begin(self) -> Loc:
        """The path of the value that begins here."""
        if self._stack and self._stack[-1][1]:
            return self._note((*self._stack[-1][0], self._index[-1]))
        return self._value or ()

    def _mark(self, sign: str) -> None:
        array = bool(self._stack) and self._stack[-1][1]
        if sign == "\n":
            if not self._stack:
                self._key, self._value, self._header = [], None, 0
        elif sign in "[{" and (array or self._value is not None):
            self._stack.append((self._begin(), sign == "["))
            self._index.append(0 if sign == "[" else -1)
            self._key, self._value = [], None
        elif sign == "[" and not self._stack and not self._key:
            self._header += 1
        elif sign == "]" and self._header and not self._stack:
            self._open()
        elif sign == "=" and self._value is None and not array and self._key:
            self._assign()
        elif sign == "," and self._stack:
            self._index[-1] += 1
            self._key, self._value = [], None
        elif sign in "]}" and self._stack:
            self._value = self._stack.pop()[0]
            self._index.pop()

    def _assign(self) -> None:
        path = self._stack[-1][0] if self._stack else self._table
        for part in self._key:
            path = self._note((*path, part))
        self._key, self._value = [], path

    def _open(self) -> None:
        path: Loc = ()
        for n, part in enumerate(self._key, start=1):
            path = self._note((*path, part))
            if self._header > 1 and n == len(self._key):
                self._counts[path] = self._counts.get(path, -1) + 1
            if path in self._counts:
                path = self._note((*path, self._counts[path]))
        self._table, self._key, self._header = path, [], 0


def _unquoted(token: str) -> str:
    if token.startswith("'") or "\\" not in token:
        return token[1:-1]
    try:
        return str(tomllib.loads(f"key = {token}")["key"])
    except ValueError:
        return token  # tomllib will say so


_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
"""how tomllib ends its messages"""
_ENDLESS = re.compile(r"[0-9_]{4000}")


def _malformed(error: ValueError, text: str) -> tuple[str, str, int]:
    """What tomllib says, as problem, remedy and line."""
    at = _AT.search(str(error))
    if at is None:  # not its own error: int() on thousands of digits
        endless = _ENDLESS.search(text)
        line = text.count("\n", 0, endless.start()) + 1 if endless else 1
        return "a number has thousands of digits", "Write a smaller number", line
    said = _cut(str(error)[: at.start()])
    problem = f"is not TOML: {said[:1].lower()}{said[1:]}{f' (column {at[2]})' if at[2] else ''}"
    line = int(at[1]) if at[1] else max(1, len(text.splitlines()))
    if any(words in said for words in ("overwrite", "twice", "Duplicate")):
        return problem, "It stands twice in the file: keep one", line
    return problem, "Correct it: text stands in quotes, a list in [ ], and true and false are small", line
