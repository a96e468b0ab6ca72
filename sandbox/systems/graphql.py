"""
Runbook 1, OpenData Pulse: a GraphQL API on a table and a function, and the user pool whose tokens open it.

Resources  an AppSync API, what it stands on, its cache if it has one; a Cognito user pool with a client
Causes     more is asked than the table carries, which then turns away or is slow; a cache that no resolver uses, or
           that AWS cannot make; requests that fail; a client that is gone, changed or has no way to sign in

Gap filled: moto makes a cache at once, knows no resolvers, and nobody's requests go through it. Here a cache takes
minutes to come and to go, costs money from when it is asked for, and helps as far as what is asked repeats itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.metrics import MINUTE_MS, Sample
from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

HIT, CALM, PER_REQUEST = 8.0, 120.0, 10.0
"""milliseconds of an answer from the cache, of one from the table, and for each request that is more than it carries"""
CACHE = "appsync-cache-small"
DOLLARS = 0.058
"""of a small cache, an hour"""
HOLDS = "air quality by suburb"
_CHANGING = frozenset({"CREATING", "DELETING", "MODIFYING"})


@dataclass
class ApiCache:
    """A cache: what it was asked to be, how it is, and when that changes."""

    asked: dict[str, Any]
    status: str = "CREATING"
    until: datetime | None = None

    @property
    def told(self) -> Answer:
        """As AWS tells it."""
        kept = {name: value for name, value in self.asked.items() if name != "apiId"}
        return {"apiCache": {**kept, "status": self.status, "healthMetricsConfig": "DISABLED"}}


class GraphQl:
    """The API of one environment."""

    def __init__(self, world: World, env: str = "", *, takes: timedelta = timedelta(minutes=6)) -> None:
        self.world = world
        self.id = f"opendatapulse{env}graphqlapi"
        self.table = f"opendata-pulse{env}-hot-aggregates"
        self.function = f"opendata-pulse{env}-api"
        self.stack = f"OpenDataPulse{env}ApiStack"
        self.requests = 200  # a minute
        self.carries = 300  # a minute: what the table answers without delay
        self.repeats = 0.9  # of the requests, those that were asked lately
        self.failing = 0.0  # share of the requests
        self.throttles = ""  # "table", "index" or "function": who turns away what is too much
        self.takes = takes  # what AWS needs to make a cache
        self.cannot = False  # whether AWS fails to
        self.resolvers = {"getAirQualityData": False, "listSuburbs": False}  # field -> whether it is set up to cache
        self._cache: ApiCache | None = None
        world.bill.has(self.id, CACHE, 0)
        self.tags = {**OPT_IN, "aws:cloudformation:stack-name": self.stack}
        self.pool = ""
        self.refused = 0.0  # share of the requests: tokens that it does not take
        world.stacks.add(self.stack)
        world.every(timedelta(minutes=1), self._minute, order=Order.PHYSICS)
        _answer_for(world, "appsync", self._answers, self._is_ours)

    @property
    def _answers(self) -> dict[str, Callable[[Call], Answer]]:
        return {
            "GetGraphqlApi": self._described,
            "GetApiCache": lambda _: self._there().told,
            "CreateApiCache": self._create,
            "DeleteApiCache": self._delete,
            "ListResolvers": self._listed,
            "ListTagsForResource": lambda _: {"tags": dict(self.tags)},
        }

    # -- what is so

    @property
    def cache(self) -> ApiCache | None:
        """Its cache, if it has one."""
        return self._cache

    @cache.setter
    def cache(self, cache: ApiCache | None) -> None:
        """It is paid for while it is there, from when it is asked for."""
        self._cache = cache
        self.world.bill.has(self.id, CACHE, int(cache is not None))

    @property
    def dollars(self) -> float:
        """What its cache has cost."""
        return DOLLARS * self.world.bill.extra_hours(self.id, CACHE)

    @property
    def arn(self) -> str:
        """The API's ARN."""
        return self.world.arn("appsync", f"apis/{self.id}")

    @property
    def table_arn(self) -> str:
        """The table's ARN."""
        return self.world.arn("dynamodb", f"table/{self.table}")

    @property
    def function_arn(self) -> str:
        """The function's ARN."""
        return self.world.arn("lambda", f"function:{self.function}")

    @property
    def works(self) -> bool:
        """Whether the cache gives answers."""
        if self.cache is None or self.cache.status != "AVAILABLE":
            return False
        return self.cache.asked["apiCachingBehavior"] == "FULL_REQUEST_CACHING" or any(self.resolvers.values())

    @property
    def latency(self) -> float:
        """How long an answer takes now, on average, in milliseconds."""
        hits = self.requests * self.repeats if self.works else 0.0
        misses = self.requests - hits
        slow = CALM + PER_REQUEST * max(misses - self.carries, 0.0)
        return (hits * HIT + misses * slow) / self.requests if self.requests else 0.0

    @property
    def healthy(self) -> bool:
        """Whether answers are quick enough."""
        return self.latency <= 2000

    # -- causes

    def busy(self, requests: int = 600) -> None:
        """So many requests come in a minute from now on: twice what the table carries, where nobody says how many."""
        self.requests = requests

    def make_cache(self, status: str = "AVAILABLE", **asked: Any) -> None:
        """Somebody makes a cache, or has made one."""
        own = {"apiCachingBehavior": "FULL_REQUEST_CACHING", "type": "SMALL", "ttl": 3600}
        encrypted = {"transitEncryptionEnabled": True, "atRestEncryptionEnabled": True}
        self.cache = ApiCache({**own, **encrypted, **asked}, status)

    def change_cache(self, **asked: Any) -> None:
        """Somebody changes the cache."""
        cache = self._there()
        cache.asked |= asked

    def drop_cache(self) -> None:
        """Somebody has deleted the cache."""
        self.cache = None

    # -- what happens

    def _minute(self) -> None:
        """One minute of requests; and of the cache."""
        cache, now = self.cache, self.world.now
        if cache is not None and cache.until is not None and now >= cache.until:
            if cache.status == "DELETING":
                self.cache = None
            elif cache.status == "CREATING":
                cache.status = "FAILED" if self.cannot else "AVAILABLE"
        minute = self.world.agenda.ms // MINUTE_MS - 1
        if self.requests:
            took = self.latency
            said = Sample(self.requests, took * self.requests, HIT, max(took, HIT), (took,))
            self._of_api("Latency").put(minute, said)
        for metric, share in (("5XXError", self.failing), ("4XXError", self.refused)):
            if share:
                self._of_api(metric).put(minute, float(round(share * self.requests)))
        misses = self.requests * (1 - self.repeats if self.works else 1)
        over = float(max(round(misses - self.carries), 0))
        if over and self.throttles:
            self._turn_away(minute, over)

    def _turn_away(self, minute: int, count: float) -> None:
        metrics = self.world.metrics
        if self.throttles == "function":
            metrics.of("AWS/Lambda", "Throttles", {"FunctionName": self.function}).put(minute, count)
            return
        if self.throttles == "table":  # an index has its own figures
            metrics.of("AWS/DynamoDB", "ReadThrottleEvents", {"TableName": self.table}).put(minute, count)
        by_kind = {"TableName": self.table, "Operation": "Query"}
        metrics.of("AWS/DynamoDB", "ThrottledRequests", by_kind).put(minute, count)

    def _of_api(self, metric: str) -> Any:
        return self.world.metrics.of("AWS/AppSync", metric, {"GraphQLAPIId": self.id})

    # -- what is answered

    def _is_ours(self, call: Call) -> bool:
        return call.params.get("apiId") == self.id or call.params.get("resourceArn") == self.arn

    def _there(self) -> ApiCache:
        if self.cache is None:
            raise AwsError("NotFoundException", "Unable to find the cache of this API.", 404)
        return self.cache

    def _described(self, call: Call) -> Answer:
        del call
        pool = {"userPoolConfig": {"userPoolId": self.pool, "awsRegion": self.world.region, "defaultAction": "ALLOW"}}
        more = {"authenticationType": "AMAZON_COGNITO_USER_POOLS", **pool} if self.pool else {}
        return {
            "graphqlApi": {
                "apiId": self.id,
                "arn": self.arn,
                "name": "opendata-pulse",
                "authenticationType": "API_KEY",
                "additionalAuthenticationProviders": [more] if more else [],
                "tags": dict(self.tags),
            }
        }

    def _create(self, call: Call) -> Answer:
        if self.cache is not None:
            if self.cache.status in _CHANGING:
                raise AwsError("ConcurrentModificationException", "Another modification is in progress.", 409)
            raise AwsError("BadRequestException", "The API has already enabled caching.")
        self.cache = ApiCache(dict(call.params), until=self.world.now + self.takes)
        return self.cache.told

    def _delete(self, call: Call) -> Answer:
        del call
        cache = self._there()
        if cache.status in _CHANGING:
            raise AwsError("ConcurrentModificationException", "Another modification is in progress.", 409)
        cache.status, cache.until = "DELETING", self.world.now + timedelta(minutes=3)
        return {}

    def _listed(self, call: Call) -> Answer:
        if call.params["typeName"] != "Query":
            return {"resolvers": []}
        return {
            "resolvers": [
                {"typeName": "Query", "fieldName": name, **({"cachingConfig": {"ttl": 60}} if caches else {})}
                for name, caches in self.resolvers.items()
            ]
        }


@dataclass
class Client:
    """An app client, as it is set up and as it fares."""

    sign_ins: int = 10  # a minute
    failing: float = 0.1  # people mistype
    turned_away: int = 0  # a minute, beyond the quota
    settings: dict[str, Any] = field(default_factory=dict)
    gone: bool = False


class UserPool:
    """A user pool with one client. What it says of itself has secrets and addresses in it, as in AWS."""

    CLIENT = "1example23456789"
    SECRET = "client-secret-that-nobody-may-see"  # noqa: S105 - nobody's
    ADDRESS = "no-reply@opendata-pulse.example"

    def __init__(self, world: World, api: GraphQl | None = None) -> None:
        self.world = world
        self.api = api
        self.id = f"{world.region}_Pulse0001"
        if api is not None:
            api.pool = self.id
        self.made = world.now - timedelta(days=90)
        self.client = Client(settings={"ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]})
        self.settings: dict[str, Any] = {}
        self.trigger_errors = 0  # a minute
        world.every(timedelta(minutes=1), self._minute, order=Order.METERS)
        world.seam.fake(
            "cognito-idp",
            DescribeUserPool=self._described,
            DescribeUserPoolClient=self._described_client,
            ListTagsForResource=lambda _: {"Tags": {}},
        )

    @property
    def arn(self) -> str:
        """The pool's ARN."""
        return self.world.arn("cognito-idp", f"userpool/{self.id}")

    @property
    def trigger_arn(self) -> str:
        """The function that Cognito calls before somebody is signed in."""
        return self.world.arn("lambda", "function:opendata-pulse-pre-auth")

    def _minute(self) -> None:
        minute = self.world.agenda.ms // MINUTE_MS - 1
        of, metrics, client = {"UserPool": self.id, "UserPoolClient": self.CLIENT}, self.world.metrics, self.client
        if client.sign_ins:
            good = round(client.sign_ins * (1 - client.failing))
            said = Sample(client.sign_ins, good, float(good == client.sign_ins), float(good > 0))
            metrics.of("AWS/Cognito", "SignInSuccesses", of).put(minute, said)
        if client.turned_away:
            metrics.of("AWS/Cognito", "SignInThrottles", of).put(minute, float(client.turned_away))
        if self.trigger_errors:
            name = {"FunctionName": self.trigger_arn.rpartition(":")[2]}
            metrics.of("AWS/Lambda", "Errors", name).put(minute, float(self.trigger_errors))

    def _described(self, call: Call) -> Answer:
        del call
        plain = {"Id": self.id, "Name": "opendata-pulse", "CreationDate": self.made, "LastModifiedDate": self.made}
        mail = {"EmailConfiguration": {"From": self.ADDRESS}, "EstimatedNumberOfUsers": 4711}
        return {"UserPool": {**plain, **mail, **self.settings}}

    def _described_client(self, call: Call) -> Answer:
        if self.client.gone or call.params["ClientId"] != self.CLIENT:
            raise AwsError("ResourceNotFoundException", "User pool client does not exist.")
        plain = {"UserPoolId": self.id, "ClientId": self.CLIENT, "ClientSecret": self.SECRET}
        dates = {"CreationDate": self.made, "LastModifiedDate": self.made}
        return {"UserPoolClient": {**plain, **dates, **self.client.settings}}


def _answer_for(
    world: World, service: str, answers: dict[str, Callable[[Call], Answer]], ours: Callable[[Call], bool]
) -> None:
    """Answer for our own resources; for all others whoever did before."""
    before = {name: world.seam.fakes.get((service, name)) for name in answers}

    def told(name: str) -> Callable[[Call], Answer | None]:
        earlier = before[name]
        return lambda call: answers[name](call) if ours(call) else earlier(call) if earlier else None

    for name in answers:
        world.seam.fake(service, **{name: told(name)})


# -- as targets of a configuration -----------------------------------------------------------------------------------


def graphql_target(
    system: GraphQl, *, mode: str = "auto", cache: str | None = "full-request", public: bool = True, stands: bool = True
) -> str:
    """The API as a target: what it stands on, and what it may keep."""
    needs = f'depends_on = ["{system.table_arn}", "{system.function_arn}"]\n' if stands else ""
    declared = f"""
[systems.targets.cache]
holds = "{HOLDS}"
ttl = "PT5M"
behavior = "{cache}"
public = {str(public).lower()}
"""
    return f"""
[[systems.targets]]
arn = "{system.arn}"
mode = "{mode}"
{needs}{declared if cache else ""}"""


def pool_target(pool: UserPool) -> str:
    """The user pool as a target."""
    opens = f'api = "{pool.api.arn}"\n' if pool.api is not None else ""
    return f"""
[[systems.targets]]
arn = "{pool.arn}"
clients = ["{pool.CLIENT}"]
{opens}"""


def graphql_configuration(world: World, *targets: str, settings: Iterable[str] = ()) -> str:
    """A deployment's TOML: these targets, and the remediations of these tables."""
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
{"".join(targets)}
"""
