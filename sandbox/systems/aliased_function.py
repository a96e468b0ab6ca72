"""
OpenData Pulse (runbook 1) once more: functions that are called by an alias, and what a new version of them does.

Gap filled: moto takes any revision of an alias, measures nothing, and writes no log. Here a version works or fails in
one way or another; its calls are counted for the function, for the alias, and for the version that answered them; what
fails says so in the version's own stream of the log.

Causes     a version fails by its own code, or by what it needs; somebody moves the alias, by weights perhaps; callers
           name no alias; a version is deleted; what every version needs fails

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.clock import Order
from sandbox.seam import Answer, AwsError, Call, new_id
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = [
    "ALIAS",
    "DENIED",
    "IMPORT",
    "OUT_OF_MEMORY",
    "TIMEOUT",
    "UNCLEAR",
    "AliasedFunction",
    "AliasedFunctions",
    "aliases_configuration",
    "aliases_target",
]

FUNCTION, ALIAS = "opendata-pulse-api", "live"
IMPORT = "[ERROR] Runtime.ImportModuleError: Unable to import module 'handler': No module named 'rows'"
TIMEOUT = "2026-11-19T01:10:02.000Z 7a1f Task timed out after 30.03 seconds"
OUT_OF_MEMORY = "RequestId: 7a1f Error: Runtime exited with error: signal: killed"
DENIED = "[ERROR] ClientError: An error occurred (AccessDeniedException) when calling the Query operation"
UNCLEAR = "[ERROR] KeyError: 'hunter2'"
_NAMESPACE = "AWS/Lambda"
_KEPT = timedelta(minutes=30)  # of the log: nobody asks for more


@dataclass
class Version:
    """One version: what it is, and with which line in its log so many of its calls fail."""

    number: str
    code: str
    failing: float = 0.0  # share of calls
    says: str = IMPORT
    memory: int = 256


@dataclass(eq=False)
class AliasedFunction:
    """One function, its versions, and where its alias points."""

    name: str
    versions: dict[str, Version] = field(default_factory=lambda: {"7": Version("7", "code-7")})
    points_to: str = "7"
    weights: dict[str, float] = field(default_factory=dict)
    revision: str = field(default_factory=new_id)
    calls: int = 60  # a minute, by the alias
    bare: int = 0  # a minute, by the function's name alone
    bare_failing: float = 0.0
    needs_down: bool = False  # whether what every version needs refuses it
    group: str = ""  # the log group, where it is one of its own
    log: list[tuple[datetime, str, str]] = field(default_factory=list)  # when, stream, line
    moves: list[tuple[str, bool]] = field(default_factory=list)  # where it was pointed to in order, and if under a role
    tags: dict[str, str] = field(default_factory=lambda: dict(OPT_IN))

    def point(self, version: str, weights: dict[str, float] | None = None, *, role: bool = False) -> None:
        """Somebody points the alias elsewhere."""
        self.points_to, self.weights, self.revision = version, weights or {}, new_id()
        self.moves.append((version, role))

    def release(self, number: str = "8", *, failing: float = 0.3, says: str = IMPORT, code: str = "") -> None:
        """Somebody publishes a version, and points the alias to it."""
        self.versions[number] = Version(number, code or f"code-{number}", failing, says)
        self.point(number)

    @property
    def well(self) -> bool:
        """Whether calls that name the alias succeed."""
        return not self.needs_down and not self.versions[self.points_to].failing


class AliasedFunctions:
    """The functions of an account that are called by an alias."""

    def __init__(self, world: World, *names: str) -> None:
        self.world = world
        self.all = {name: AliasedFunction(name) for name in names or (FUNCTION,)}
        world.every(timedelta(minutes=1), self._measure, order=Order.METERS)
        world.seam.fake(
            "lambda",
            GetAlias=lambda call: self._answer(self._alias(call)),
            GetFunctionConcurrency=self._concurrency,
            GetFunctionConfiguration=self._configuration,
            ListAliases=lambda call: {"Aliases": [self._answer(self._named(call))]},
            ListEventSourceMappings=self._mappings,
            ListTags=lambda call: {"Tags": dict(self.all[str(call.params["Resource"]).split(":")[6]].tags)},
            ListVersionsByFunction=self._versions,
            UpdateAlias=self._update,
        )
        world.seam.fake("logs", FilterLogEvents=self._filtered)

    @property
    def api(self) -> AliasedFunction:
        """The first of them."""
        return next(iter(self.all.values()))

    def arn(self, name: str = "") -> str:
        """A function's ARN."""
        return self.world.arn("lambda", f"function:{name or self.api.name}")

    def has_a_past(self, minutes: int = 90) -> None:
        """It has been called as it is now for a while before this world began."""
        now = self.world.agenda.ms // 60_000 - 1
        for function in self.all.values():
            for minute in range(now - minutes, now):
                self._count(function, minute, {function.points_to: (function.calls, 0)})

    # -- physics

    def _measure(self) -> None:
        """A minute of everybody's calls, as Lambda counts them and as they are logged."""
        minute = self.world.agenda.ms // 60_000 - 1
        for function in self.all.values():
            shares = {**function.weights, function.points_to: 1.0 - sum(function.weights.values())}
            answered = {}
            for number, share in shares.items():
                calls, version = round(function.calls * share), function.versions[number]
                errors = round(calls * (1.0 if function.needs_down else version.failing))
                answered[number] = (calls, errors)
                self._log(function, version, errors)
            self._count(function, minute, answered)

    def _count(self, function: AliasedFunction, minute: int, answered: dict[str, tuple[int, int]]) -> None:
        """Calls and those that failed, by the version that answered them; of no calls Lambda reports nothing."""
        name = {"FunctionName": function.name}
        alias = name | {"Resource": f"{function.name}:{ALIAS}"}
        for number, (calls, errors) in answered.items():
            self._put(alias | {"ExecutedVersion": number}, minute, calls, errors)
        calls, errors = (sum(each[n] for each in answered.values()) for n in (0, 1))
        self._put(alias, minute, calls, errors)
        bare = round(function.bare * function.bare_failing)
        self._put(name, minute, calls + function.bare, errors + bare)

    def _put(self, dimensions: dict[str, str], minute: int, calls: int, errors: int) -> None:
        for metric, value in (("Invocations", calls), ("Errors", errors)) if calls else ():
            self.world.metrics.of(_NAMESPACE, metric, dimensions).put(minute, float(value))

    def _log(self, function: AliasedFunction, version: Version, errors: int) -> None:
        now = self.world.now
        stream = f"{now:%Y/%m/%d}/[{version.number}]{'0' * 32}"
        line = DENIED if function.needs_down else version.says
        function.log = [each for each in function.log if now - each[0] <= _KEPT]
        function.log += [(now, stream, line)] * errors

    # -- the calls

    def _named(self, call: Call) -> AliasedFunction:
        found = self.all.get(str(call.params["FunctionName"]))
        if found is None:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        return found

    def _alias(self, call: Call) -> AliasedFunction:
        function = self._named(call)
        if call.params["Name"] != ALIAS:
            raise AwsError("ResourceNotFoundException", "Cannot find alias", 404)
        return function

    def _answer(self, function: AliasedFunction) -> Answer:
        weights = {"RoutingConfig": {"AdditionalVersionWeights": dict(function.weights)}} if function.weights else {}
        return {
            "AliasArn": f"{self.arn(function.name)}:{ALIAS}",
            "Name": ALIAS,
            "FunctionVersion": function.points_to,
            "Description": "",
            "RevisionId": function.revision,
            **weights,
        }

    def _update(self, call: Call) -> Answer:
        """Not where it has changed since it was read, and not to what does not exist."""
        function, wanted = self._alias(call), str(call.params["FunctionVersion"])
        if call.params.get("RevisionId", function.revision) != function.revision:
            text = "The Revision Id provided does not match the latest Revision Id."
            raise AwsError("PreconditionFailedException", text, 412)
        if wanted not in function.versions:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        function.point(wanted, function.weights, role=call.principal.role_arn is not None)
        return self._answer(function)

    def _configuration(self, call: Call) -> Answer:
        function = self._named(call)
        return {
            "FunctionName": function.name,
            "FunctionArn": self.arn(function.name),
            "Timeout": 30,
            "MemorySize": 256,
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "LastModified": "2026-11-10T00:00:00.000+0000",
            **({"LoggingConfig": {"LogGroup": function.group}} if function.group else {}),
        }

    def _concurrency(self, call: Call) -> Answer:
        self._named(call)
        return {}

    def _versions(self, call: Call) -> Answer:
        function = self._named(call)
        latest = Version("$LATEST", "code-latest")
        return {
            "Versions": [
                {
                    "FunctionName": function.name,
                    "Version": each.number,
                    "CodeSha256": each.code,
                    "MemorySize": each.memory,
                    "Environment": {"Variables": {"DATABASE_PASSWORD": "hunter2"}},
                    "RevisionId": new_id(),
                    "LastModified": f"2026-11-1{n % 10}T00:00:00.000+0000",
                }
                for n, each in enumerate((latest, *function.versions.values()))
            ]
        }

    def _mappings(self, call: Call) -> Answer:
        function = self.all.get(str(call.params.get("FunctionName")))
        if function is None or not function.bare:
            return {"EventSourceMappings": []}
        source = self.world.arn("sqs", f"{function.name}-events")
        return {
            "EventSourceMappings": [{"UUID": "0", "FunctionArn": self.arn(function.name), "EventSourceArn": source}]
        }

    def _filtered(self, call: Call) -> Answer:
        """Every line of this log is of a failure, so the pattern is taken for matched."""
        name = str(call.params["logGroupName"]).removeprefix("/aws/lambda/")
        function = self.all.get(name)
        if function is None:
            raise AwsError("ResourceNotFoundException", "The specified log group does not exist.", 400)
        prefix, since = str(call.params["logStreamNamePrefix"]), int(call.params["startTime"])
        found = [
            {"logStreamName": stream, "timestamp": round(at.timestamp() * 1000), "message": line}
            for at, stream, line in function.log
            if stream.startswith(prefix) and at.timestamp() * 1000 >= since
        ]
        return {"events": found[: int(call.params["limit"])], "searchedLogStreams": []}


def aliases_target(system: AliasedFunctions, name: str = "", *, mode: str = "auto", more: str = "") -> str:
    """A function with its alias as a target of a configuration."""
    return f'\n[[systems.targets]]\narn = "{system.arn(name)}"\nalias = "{ALIAS}"\nmode = "{mode}"\n{more}\n'


def aliases_configuration(
    system: AliasedFunctions, *, tables: str, mode: str = "auto", names: Iterable[str] | None = None, more: str = ""
) -> str:
    """A deployment's TOML for functions with an alias, and for whatever remediations ``tables`` has."""
    world = system.world
    targets = "".join(aliases_target(system, name, mode=mode, more=more) for name in names or system.all)
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

{tables}

[[systems]]
name = "pulse"
{targets}
"""
