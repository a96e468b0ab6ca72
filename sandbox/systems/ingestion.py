"""
Runbook 1, OpenData Pulse: every hour a rule starts a function, which fetches the air quality of New South Wales.

Resources  rule opendata-pulse-hourly-ingestion, function opendata-pulse-ingest, and a bucket with at least one object
           for each hour, under nsw-air-quality/raw/<year>/<month>/<day>/<hour>/
Causes     somebody disables the rule; the upstream API is down; the rule may not start the function, or has no target;
           the function is stopped; some hours can never be fetched

A run stores a file of its own: of an hour that was fetched twice there are two.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.fakes.trail_lookup import TrailLookup
from sandbox.metrics import MINUTE_MS
from sandbox.seam import OPERATOR_KEY, Answer, Call, Principal
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

KEYS = "nsw-air-quality/raw/%Y/%m/%d/%H/"
HOUR = timedelta(hours=1)
RETRIES = (timedelta(minutes=1), timedelta(minutes=3))
"""after how long Lambda tries a scheduled run again that failed"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the function: when, for which hour, whether somebody asked for it, and whether it stored something."""

    at: datetime
    hour: datetime
    asked: bool
    stored: bool
    there: bool  # whether the hour had data before


class Ingestion:
    """The ingestion of one environment."""

    def __init__(self, world: World, env: str = "", *, period: timedelta = HOUR, past: int = 30) -> None:
        self.world = world
        self.period = period
        self.rule = f"opendata-pulse{env}-hourly-ingestion"
        self.function = f"opendata-pulse{env}-ingest"
        self.bucket = f"opendata-pulse{env}-raw-data-{world.account}"
        self.stack = f"OpenDataPulse{env}IngestionStack"
        self.runs: list[Run] = []
        self.api_down = False
        self.may_start = True
        self.has_target = True
        self.reserved: int | None = None
        self.timeout = 15
        self.never: set[datetime] = set()
        self._there: set[datetime] = set()
        self._s3, self._events = world.client("s3"), world.client("events")
        self.trail = TrailLookup(world.agenda, world.seam, world.trail, world.account)
        world.stacks.add(self.stack)
        self._build(past)
        world.every(period, self._fire, order=Order.PHYSICS)
        before = {name: world.seam.fakes.get(("lambda", name)) for name in self._answers}
        for name, answer in self._answers.items():
            world.seam.fake("lambda", **{name: _ours(answer, self._is_ours, before[name])})

    @property
    def _answers(self) -> dict[str, Any]:
        return {
            "GetFunctionConfiguration": self._configuration,
            "GetFunctionConcurrency": self._concurrency,
            "Invoke": self._invoke,
            "ListTags": lambda _: {"Tags": {}},
        }

    # -- what is so

    @property
    def rule_arn(self) -> str:
        """The rule's ARN."""
        return self.world.arn("events", f"rule/{self.rule}")

    @property
    def function_arn(self) -> str:
        """The function's ARN."""
        return self.world.arn("lambda", f"function:{self.function}")

    @property
    def bucket_arn(self) -> str:
        """The bucket's ARN."""
        return f"arn:aws:s3:::{self.bucket}"

    @property
    def enabled(self) -> bool:
        """Whether the rule is enabled."""
        return bool(self._events.describe_rule(Name=self.rule)["State"] == "ENABLED")

    @property
    def asked(self) -> list[Run]:
        """The runs that somebody asked for."""
        return [run for run in self.runs if run.asked]

    @property
    def twice(self) -> list[datetime]:
        """Hours that were asked for though they had data, or more than once: what must never be."""
        hours = [run.hour for run in self.asked]
        return [run.hour for run in self.asked if run.there or hours.count(run.hour) > 1]

    def stored(self, hour: datetime) -> list[str]:
        """The objects of an hour."""
        found = self._s3.list_objects_v2(Bucket=self.bucket, Prefix=hour.strftime(KEYS)).get("Contents", ())
        return [each["Key"] for each in found]

    def missing(self, back: int = 24) -> list[datetime]:
        """Which of the last hours that are over have no object, oldest first."""
        this = _hour(self.world.now)
        hours = [this - HOUR * number for number in range(back, 0, -1)]
        return [hour for hour in hours if not self.stored(hour)]

    @property
    def holes(self) -> list[datetime]:
        """The same of the last day as it really is: nobody is asked."""
        this = _hour(self.world.now)
        return [hour for back in range(24, 0, -1) if (hour := this - HOUR * back) not in self._there]

    # -- causes

    def disable(self, by: str = "") -> None:
        """Somebody disables the rule: a person, or a session of a role."""
        self._as(by, lambda: self._events.disable_rule(Name=self.rule))

    def enable(self) -> None:
        """Somebody enables the rule."""
        self._events.enable_rule(Name=self.rule)

    def tag(self, key: str, value: str) -> None:
        """Somebody tags the rule."""
        self._events.tag_resource(ResourceARN=self.rule_arn, Tags=[{"Key": key, "Value": value}])

    def untag(self, key: str) -> None:
        """Somebody takes a tag off the rule."""
        self._events.untag_resource(ResourceARN=self.rule_arn, TagKeys=[key])

    def lose(self, *back: int) -> list[datetime]:
        """Of these hours before this one there is nothing, as if nobody had ever fetched them."""
        hours = sorted(_hour(self.world.now) - HOUR * number for number in back)
        for hour in hours:
            for key in self.stored(hour):
                self._s3.delete_object(Bucket=self.bucket, Key=key)
        self._there -= set(hours)
        return hours

    def store(self, hour: datetime, name: str = "by-hand.json", body: bytes = b'{"stations": []}') -> None:
        """Somebody puts an object of an hour there."""
        self._s3.put_object(Bucket=self.bucket, Key=f"{hour.strftime(KEYS)}{name}", Body=body)
        self._there |= {hour} if body else set()

    # -- what happens

    def _fire(self) -> None:
        if not self.enabled or not self.has_target:
            return
        self._count("AWS/Events", "Invocations", {"RuleName": self.rule})
        if not self.may_start:
            self._count("AWS/Events", "FailedInvocations", {"RuleName": self.rule})
            return
        self._scheduled(_hour(self.world.now), 0)

    def _scheduled(self, hour: datetime, attempt: int) -> None:
        if self.reserved == 0:
            return
        if not self._run(hour, asked=False) and attempt < len(RETRIES):
            self.world.at(RETRIES[attempt], lambda: self._scheduled(hour, attempt + 1), Order.PHYSICS)

    def _run(self, hour: datetime, *, asked: bool) -> bool:
        """Fetch an hour and store it; whether that worked."""
        works = not self.api_down and hour not in self.never
        self.runs.append(Run(self.world.now, hour, asked, works, hour in self._there))
        self._count("AWS/Lambda", "Invocations", {"FunctionName": self.function})
        if not works:
            self._count("AWS/Lambda", "Errors", {"FunctionName": self.function})
            return False
        name = f"stations-{len(self.runs)}.json"
        self.world.at(timedelta(0), lambda: self.store(hour, name), Order.PHYSICS)
        return True

    def _count(self, namespace: str, name: str, dims: dict[str, str]) -> None:
        series, minute = self.world.metrics.of(namespace, name, dims), self.world.agenda.ms // MINUTE_MS
        before = series.buckets(minute, minute + 1, 1).get(minute)
        series.put(minute, 1.0 + (before.total if before else 0.0))

    # -- what is answered

    def _is_ours(self, call: Call) -> bool:
        named = call.params.get("FunctionName") or call.params.get("Resource", "").rpartition(":")[2]
        return bool(named == self.function)

    def _configuration(self, call: Call) -> Answer:
        del call
        return {
            "FunctionName": self.function,
            "FunctionArn": self.function_arn,
            "Timeout": self.timeout,
            "MemorySize": 256,
            "State": "Active",
            "LastUpdateStatus": "Successful",
        }

    def _concurrency(self, call: Call) -> Answer:
        del call
        return {} if self.reserved is None else {"ReservedConcurrentExecutions": self.reserved}

    def _invoke(self, call: Call) -> Answer:
        payload = json.loads(call.params["Payload"])
        hour = datetime.strptime(payload["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if self._run(hour, asked=True):
            return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": b"{}"}
        told = json.dumps({"errorType": "UpstreamError", "errorMessage": "api.nsw.gov.au answered 503"}).encode()
        return {"StatusCode": 200, "ExecutedVersion": "$LATEST", "FunctionError": "Unhandled", "Payload": told}

    # -- building

    def _build(self, past: int) -> None:
        world = self.world
        where = {"LocationConstraint": world.region}
        self._s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration=where)
        tags = {**OPT_IN, "aws:cloudformation:stack-name": self.stack}
        minutes = int(self.period / timedelta(minutes=1))
        rate = "1 hour" if self.period == HOUR else f"{minutes} minutes"
        self._events.put_rule(
            Name=self.rule,
            ScheduleExpression=f"rate({rate})",
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        this = _hour(world.now)
        for number in range(past, -1, -1):
            self.store(this - HOUR * number, "stations-0.json")
        started = world.metrics.of("AWS/Events", "Invocations", {"RuleName": self.rule})
        now = world.agenda.ms // MINUTE_MS
        for minute in range(now - 6 * 60, now + 1):
            if minute % minutes == 0:
                started.put(minute, 1.0)

    def _as(self, role: str, do: Any) -> None:
        principals = self.world.seam.principals
        before = principals[OPERATOR_KEY]
        if role:
            principals[OPERATOR_KEY] = Principal("job-17", f"arn:aws:iam::{self.world.account}:role/{role}")
        try:
            do()
        finally:
            principals[OPERATOR_KEY] = before


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _ours(answer: Any, ours: Any, before: Any) -> Any:
    """Answer for our own function; for all others whoever did before."""
    return lambda call: answer(call) if ours(call) else before(call) if before else None


def schedule_target(system: Ingestion, *, mode: str = "auto", more: str = "", hours: bool = True) -> str:
    """The rule as a target of a configuration."""
    filled = f"""
[systems.targets.schedule.hours]
bucket = "{system.bucket_arn}"
keys = "{KEYS}"
"""
    return f"""
[[systems.targets]]
arn = "{system.rule_arn}"
mode = "{mode}"

[systems.targets.schedule]
function = "{system.function_arn}"
period = "PT{int(system.period / timedelta(minutes=1))}M"
{more}{filled if hours else ""}"""


def schedule_configuration(
    system: Ingestion, *, mode: str = "auto", settings: Iterable[str] = (), more: str = "", hours: bool = True
) -> str:
    """A deployment's TOML: the rule, and the remediations of these tables."""
    world = system.world
    tables = "\n".join(settings)
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

{tables}

[[systems]]
name = "opendata-pulse"
{schedule_target(system, mode=mode, more=more, hours=hours)}
"""
