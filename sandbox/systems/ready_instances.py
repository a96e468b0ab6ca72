"""
Instances of the functions of OpenData Pulse (runbook 1): calls that name an alias wait for one to start, or find it.

Gap filled: moto knows no provisioned concurrency, and measures no call. Here a share of the calls that come in a minute
finds no instance, and waits until one has started; whatever is kept ready of the alias serves as many at once, and only
what goes past that may wait. What is kept ready is claimed from the function's reservation, or from the account, and is
paid for by the hour.

Causes     calls come in steeper than instances are there; callers name no alias; AWS cannot have them ready; somebody
           sets another number, moves the alias, or has autoscaling set the number; nobody measures starts

Source: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.metrics import Sample
from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.pulse_functions import PulseFunction, PulseFunctions, functions_target
from sandbox.world import World

__all__ = ["ALIAS", "API", "ITEM", "Instances", "Kept", "ReadyInstances", "instances_configuration", "instances_target"]

API = "opendata-pulse-api"
ALIAS = "live"
ITEM = "lambda-provisioned-gib"
MEMORY = 256
_LEAST = 100  # that AWS keeps for functions without a reservation
_DIMENSION = "lambda:function:ProvisionedConcurrency"


@dataclass(eq=False)
class Kept:
    """What is kept ready of an alias or a version."""

    number: int
    ready_at_ms: int
    failed: bool = False


@dataclass(eq=False)
class Instances:
    """Of one function: its alias, how its calls find it, and what is kept ready."""

    version: str = "7"
    weights: dict[str, float] = field(default_factory=dict)  # other versions that the alias leads to, too
    cold: float = 0.0  # share of the calls for which no instance is there
    others_cold: float = 0.0  # the same of calls that do not name the alias
    start_ms: float = 1500.0
    by_alias: float = 1.0  # share of the calls that name the alias
    insights: bool = True
    kept: dict[str, Kept] = field(default_factory=dict)  # by alias or version
    scaled: bool = False  # whether autoscaling sets how many are kept ready of the alias
    cannot: bool = False  # whether AWS fails to have them ready


class ReadyInstances(PulseFunctions):
    """The functions of an account, with an alias each."""

    def __init__(self, world: World, *names: str, limit: int = 1000) -> None:
        super().__init__(world, *(names or (API,)), limit=limit)
        self.instances = {name: Instances() for name in self.all}
        self.takes = timedelta(minutes=2)
        for name, function in self.all.items():
            function.reserved, function.asks = 40, 300
            self.world.bill.has(name, ITEM, 0)
        world.every(timedelta(minutes=1), self._measure_starts, order=Order.METERS)
        world.seam.fake(
            "lambda",
            GetAlias=self._alias,
            ListProvisionedConcurrencyConfigs=self._configs,
            PutProvisionedConcurrencyConfig=self._keep,
            DeleteProvisionedConcurrencyConfig=self._let_go,
        )
        before = world.seam.fakes.get(("application-autoscaling", "DescribeScalableTargets"))

        def scaled(call: Call) -> Answer | None:
            if call.params["ServiceNamespace"] == "lambda":
                return self._scaled(call)
            return before(call) if before else None

        world.seam.fake("application-autoscaling", DescribeScalableTargets=scaled)

    # -- what is so

    @property
    def api(self) -> Instances:
        """Those of the first function."""
        return next(iter(self.instances.values()))

    def kept(self, name: str = "") -> int | None:
        """How many are kept ready of a function's alias; None where nobody has asked for any."""
        found = self.instances[name or self.etl.name].kept.get(ALIAS)
        return None if found is None else found.number

    def waits(self, name: str) -> bool:
        """Whether calls of a function still wait more often than they may."""
        function, of = self.all[name], self.instances[name]
        calls, _, past = self._served(function, of)
        return bool(calls) and round(past * of.cold) > 0.05 * calls

    # -- causes

    def steep(self, share: float = 0.3, name: str = "") -> None:
        """This share of the calls finds no instance from now on."""
        self.instances[name or self.etl.name].cold = share

    def set_kept(self, number: int, label: str = ALIAS, name: str = "") -> None:
        """Somebody asks for another number, of the alias or a version."""
        function = name or self.etl.name
        self.instances[function].kept[label] = Kept(number, self.world.agenda.ms)
        self._bill(function)

    # -- what happens

    def _ready(self, kept: Kept | None) -> int:
        return kept.number if kept is not None and not kept.failed and self.world.agenda.ms >= kept.ready_at_ms else 0

    def _served(self, function: PulseFunction, of: Instances) -> tuple[int, int, int]:
        """Calls of the alias in a minute, those that what is kept ready serves, and those that go past it."""
        came = self._minute(function)
        calls = round(came.ran * of.by_alias)
        most = max(round(came.at_once * of.by_alias), 1)
        ready = min(self._ready(of.kept.get(ALIAS)), most)
        served = calls * ready // most
        return calls, served, calls - served

    def _measure_starts(self) -> None:
        minute, claimed = self.world.agenda.ms // 60_000 - 1, self.others
        for name, function in self.all.items():
            of, came = self.instances[name], self._minute(function)
            claimed += function.reserved if function.reserved is not None else came.at_once
            if function.reserved is None:
                claimed += sum(each.number for each in of.kept.values())
            if not came.ran:
                continue
            calls, served, past = self._served(function, of)
            self._put_as(name, "Invocations", minute, float(calls))
            self._put_as(name, "ConcurrentExecutions", minute, float(max(round(came.at_once * of.by_alias), 1)))
            if ALIAS in of.kept:
                self._put_as(name, "ProvisionedConcurrencyInvocations", minute, float(served))
                self._put_as(name, "ProvisionedConcurrencySpilloverInvocations", minute, float(past))
            self._put_starts(name, of, minute, came.ran, past)
        self.world.metrics.of("AWS/Lambda", "ClaimedAccountConcurrency").put(minute, float(claimed))

    def _put_as(self, name: str, metric: str, minute: int, value: float) -> None:
        dims = {"FunctionName": name, "Resource": f"{name}:{ALIAS}"}
        self.world.metrics.of("AWS/Lambda", metric, dims).put(minute, value)

    def _put_starts(self, name: str, of: Instances, minute: int, ran: int, past: int) -> None:
        """Insights has one line for each call, and counts a start where there was one."""
        if not of.insights:
            return
        own = {"function_name": name}
        self.world.metrics.of("LambdaInsights", "memory_utilization", own).put(minute, Sample.of([40.0] * ran))
        others = ran - round(ran * of.by_alias)
        by_version = {"$LATEST": round(others * of.others_cold)}
        by_version[of.version] = by_version.get(of.version, 0) + round(past * of.cold)
        for version, starts in by_version.items():
            if starts:
                sample, dims = Sample.of([of.start_ms] * starts), {**own, "version": version}
                self.world.metrics.of("LambdaInsights", "init_duration", dims).put(minute, sample)
        if every := sum(by_version.values()):
            sample = Sample.of([of.start_ms] * every)
            self.world.metrics.of("LambdaInsights", "init_duration", own).put(minute, sample)

    def _bill(self, name: str) -> None:
        number = sum(each.number for each in self.instances[name].kept.values() if not each.failed)
        self.world.bill.has(name, ITEM, number * MEMORY / 1024)

    # -- the calls

    def _of(self, call: Call) -> Instances:
        return self.instances[self._named(call).name]

    def _alias(self, call: Call) -> Answer:
        of, name = self._of(call), call.params["FunctionName"]
        if call.params["Name"] != ALIAS:
            raise AwsError("ResourceNotFoundException", f"Cannot find alias arn: {self.arn(name)}", 404)
        return {
            "AliasArn": f"{self.arn(name)}:{ALIAS}",
            "Name": ALIAS,
            "FunctionVersion": of.version,
            "RevisionId": "0",
            **({"RoutingConfig": {"AdditionalVersionWeights": dict(of.weights)}} if of.weights else {}),
        }

    def _configs(self, call: Call) -> Answer:
        arn = self.arn(self._named(call).name)
        shown = [self._shown(f"{arn}:{label}", kept) for label, kept in self._of(call).kept.items()]
        return {"ProvisionedConcurrencyConfigs": shown}

    def _shown(self, arn: str, kept: Kept) -> dict[str, Any]:
        ready = self._ready(kept)
        told = {
            "FunctionArn": arn,
            "RequestedProvisionedConcurrentExecutions": kept.number,
            "AvailableProvisionedConcurrentExecutions": ready,
            "AllocatedProvisionedConcurrentExecutions": ready,
            "Status": "FAILED" if kept.failed else "READY" if ready else "IN_PROGRESS",
        }
        return {**told, "StatusReason": "FUNCTION_ERROR_INIT_FAILURE"} if kept.failed else told

    def _keep(self, call: Call) -> Answer:
        """AWS keeps nothing ready of $LATEST, no more than is reserved, and leaves the others their hundred."""
        function, of = self._named(call), self._of(call)
        label, wanted = str(call.params["Qualifier"]), int(call.params["ProvisionedConcurrentExecutions"])
        there = of.kept.get(label)
        if label != ALIAS:
            raise AwsError("ResourceNotFoundException", "Cannot find alias or version", 404)
        if of.version == "$LATEST":
            problem = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            raise AwsError("InvalidParameterValueException", problem)
        if there is not None and not there.failed and not self._ready(there):
            raise AwsError("ResourceConflictException", "An operation is in progress", 409)
        others = sum(each.number for name, each in of.kept.items() if name != label)
        if function.reserved is not None and others + wanted > function.reserved:
            problem = "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution"
            raise AwsError("InvalidParameterValueException", problem)
        if function.reserved is None and self.unreserved - others - wanted < _LEAST:
            raise AwsError("InvalidParameterValueException", f"below its minimum value of [{_LEAST}]")
        ready_at = self.world.agenda.ms + int(self.takes / timedelta(milliseconds=1))
        of.kept[label] = Kept(wanted, ready_at, failed=of.cannot)
        self._bill(function.name)
        told = self._shown("", of.kept[label])
        del told["FunctionArn"]
        return {**told, "Status": "IN_PROGRESS"}

    def _let_go(self, call: Call) -> Answer:
        """While AWS is still at it, nothing else may be asked."""
        of, label = self._of(call), str(call.params["Qualifier"])
        kept = of.kept.get(label)
        if kept is not None and not kept.failed and not self._ready(kept):
            raise AwsError("ResourceConflictException", "An operation is in progress", 409)
        of.kept.pop(label, None)
        self._bill(self._named(call).name)
        return {}

    def _scaled(self, call: Call) -> Answer:
        names = {f"function:{name}:{ALIAS}" for name, of in self.instances.items() if of.scaled}
        found = [each for each in call.params.get("ResourceIds", ()) if each in names]
        return {
            "ScalableTargets": [
                {
                    "ServiceNamespace": "lambda",
                    "ResourceId": each,
                    "ScalableDimension": _DIMENSION,
                    "MinCapacity": 1,
                    "MaxCapacity": 10,
                    "RoleARN": "arn:aws:iam::aws:role/aws-service-role/lambda.application-autoscaling.amazonaws.com/x",
                    "CreationTime": self.world.now,
                }
                for each in found
            ]
        }


def instances_target(system: ReadyInstances, name: str = "", *, mode: str = "auto", ceiling: int = 20) -> str:
    """A function as a target of a configuration: of which alias some may be kept ready, and how many at most."""
    more = f'provisioned = {{ alias = "{ALIAS}", ceiling = {ceiling} }}'
    return functions_target(system, name, mode=mode, more=more)


def instances_configuration(system: ReadyInstances, *, tables: str, mode: str = "auto", ceiling: int = 20) -> str:
    """A deployment's TOML for functions of whose alias some may be kept ready."""
    world = system.world
    targets = "".join(instances_target(system, name, mode=mode, ceiling=ceiling) for name in system.all)
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
