"""A function that fails: which figures are a failure, which are none, and what is recommended for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import Arn, Diagnosis, Finding, Healthy, MetricQuery, Query, Severity, Sick, Target, Unknown
from nightshift.remediation import KEPT, Kept, Reader, Readings, Series, Unread
from nightshift.remediations.lambda_failing import LambdaFailing

from tests.nightshift.remediations.account import FUNCTION, NOW

TARGET = Target(FUNCTION, "group")
OLD, NEW = [60.0] * 5, [60.0] * 5
PLAIN: Mapping[str, Any] = {
    "FunctionName": "etl",
    "Timeout": 30,
    "MemorySize": 256,
    "State": "Active",
    "LastUpdateStatus": "Successful",
    "LastModified": "2026-11-01T00:00:00.000+0000",
    "RevisionId": "r-1",
}


@dataclass
class Eyes:
    """What there is to be read: the function, and its figures of each of the last ten whole minutes."""

    function: Any = field(default_factory=lambda: dict(PLAIN))
    calls: Any = field(default_factory=lambda: [60.0] * 10)
    errors: Any = field(default_factory=lambda: [0.0] * 10)
    throttles: Any = field(default_factory=lambda: [0.0] * 10)
    slowest: Any = field(default_factory=lambda: [900.0, 900.0])
    longest: Any = field(default_factory=lambda: [1000.0] * 10)
    at_once: Any = field(default_factory=lambda: [3.0] * 10)
    memory: Any = field(default_factory=list)

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(query) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return NOW

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery):
            assert (query.kind, query.key) == ("lambda.function", str(FUNCTION))
            return self.function
        name = "p99" if query.stat == "p99" else query.metric
        values = {
            "Invocations": self.calls,
            "Errors": self.errors,
            "Throttles": self.throttles,
            "p99": self.slowest,
            "Duration": self.longest,
            "ConcurrentExecutions": self.at_once,
            "memory_utilization": self.memory,
        }[name]
        if isinstance(values, Unread):
            return values
        end = NOW - timedelta(minutes=1)
        times = [end - timedelta(seconds=query.period * back) for back in range(len(values), 0, -1)]
        return Series(tuple((at, value) for at, value in zip(times, values, strict=True) if value is not None))


def eyes(**other: Any) -> Eyes:
    """A function that is well, but for this; names of AWS's are its configuration."""
    figures = {name: value for name, value in other.items() if name[0].islower()}
    said = {name: value for name, value in other.items() if name[0].isupper()}
    return Eyes(function={**PLAIN, **said}, **figures)


def detect(on: Eyes, remediation: LambdaFailing | None = None) -> Healthy | Sick | Unknown:
    """What a look finds."""
    one = remediation or LambdaFailing()
    return one.detect(TARGET, on.seen(*one.watch(TARGET)))


def sick(on: Eyes) -> Finding:
    """The finding."""
    seen = detect(on)
    assert isinstance(seen, Sick), seen
    return seen.finding


def diagnose(on: Eyes) -> Diagnosis:
    """What a diagnosis says."""
    return LambdaFailing().diagnose(cast("Reader", on), TARGET, Finding("lambda-failing", str(FUNCTION), "it fails"))


# -- errors ------------------------------------------------------------------------------------------------------------


def test_what_is_well_is_well() -> None:
    """And says how well."""
    assert detect(eyes()) == Healthy("0 of 600 calls failed in 10 minutes")


def test_more_than_five_per_cent_in_both_halves_is_a_failure() -> None:
    """With the figure."""
    finding = sick(eyes(errors=[6.0] * 10))
    assert finding.symptom == "etl: 60 of 600 calls failed in 10 minutes"
    [signal] = finding.signals
    assert (signal.value, signal.threshold, signal.unit) == (10.0, 5.0, "%")
    assert finding.severity is Severity.SEV2


@pytest.mark.parametrize(
    "other",
    [
        {"errors": [3.0] * 10},  # exactly five per cent
        {"errors": [60.0] * 5 + [0.0] * 5},  # over
        {"errors": [0.0] * 5 + [60.0] * 5},  # not long enough
        {"errors": [0.0] * 4 + [60.0] * 4 + [0.0] * 2},  # a burst over the middle, and over
        {"errors": [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 3.0], "calls": [1.0] * 10},  # four failures
        {"errors": [], "calls": [None] * 5 + [10.0] * 5},  # none in the first half
    ],
    ids=["at the limit", "over", "just begun", "a burst", "too few", "no calls at first"],
)
def test_what_is_not_a_rate_is_no_failure(other: dict[str, Any]) -> None:
    """Less, or shorter, or over."""
    assert isinstance(detect(eyes(**other)), Healthy)


def test_five_failures_are_enough() -> None:
    """And what is still going on may skip a minute."""
    few = {"calls": [2.0] * 10, "errors": [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0]}
    assert isinstance(detect(eyes(**few)), Sick)


def test_nobody_calls_it() -> None:
    """Idle is no failure, whatever was read of its past."""
    assert detect(eyes(calls=[], errors=[], slowest=[])) == Healthy("not called in 10 minutes", idle=True)
    assert detect(eyes(calls=[], State="Inactive")) == Healthy("not called in 10 minutes, idle", idle=True)


# -- throttles ---------------------------------------------------------------------------------------------------------


def test_calls_that_are_turned_away_are_a_failure() -> None:
    """In three of the last five minutes, more than one per cent of all that asked."""
    finding = sick(eyes(throttles=[0.0] * 7 + [10.0] * 3))
    assert finding.symptom == "etl: 30 of 330 calls were turned away in 5 minutes"
    assert finding.signals[0].value == 9.1


@pytest.mark.parametrize(
    "throttles",
    [[50.0] * 5 + [0.0] * 5, [0.0] * 8 + [50.0] * 2, [0.0] * 7 + [1.0] * 3],
    ids=["over", "two minutes", "one per cent"],
)
def test_a_few_that_are_turned_away_are_none(throttles: list[float]) -> None:
    """They are tried again."""
    assert isinstance(detect(eyes(throttles=throttles)), Healthy)


def test_a_function_of_which_every_call_is_turned_away_is_sick() -> None:
    """None of them counts as a call."""
    assert isinstance(detect(eyes(calls=[], errors=[], slowest=[], throttles=[9.0] * 10)), Sick)


def test_where_nothing_was_asked_lately_nothing_was_turned_away() -> None:
    """Of what was turned away before, nothing is left."""
    assert isinstance(detect(eyes(calls=[], errors=[], slowest=[], throttles=[9.0] * 5)), Sick)
    assert isinstance(detect(eyes(calls=[1.0, *[None] * 9], errors=[], throttles=[9.0, *[None] * 9])), Healthy)


# -- slowness, state ---------------------------------------------------------------------------------------------------


def test_calls_that_nearly_time_out_are_a_failure() -> None:
    """The slowest hundredth, in both halves."""
    finding = sick(eyes(slowest=[28_000.0, 27_000.0]))
    assert finding.symptom == "etl: its slowest calls take 27.0 of the 30 seconds that they may"
    assert finding.severity is Severity.SEV3


@pytest.mark.parametrize(
    "other",
    [
        {"slowest": [28_000.0, 26_999.0]},
        {"slowest": [28_000.0]},
        {"slowest": [28_000.0] * 2, "calls": [3.0] * 10},
        {"slowest": [28_000.0] * 2, "Timeout": None},
    ],
    ids=["not in both", "one figure", "few calls", "no timeout known"],
)
def test_what_is_quick_enough_is_well(other: dict[str, Any]) -> None:
    """Or cannot be called slow."""
    assert isinstance(detect(eyes(**other)), Healthy)


def test_what_aws_calls_failed_is_a_failure_without_any_call() -> None:
    """By AWS's code; an update that failed is less bad, because what ran before still runs."""
    broken = sick(eyes(State="Failed", StateReasonCode="EniLimitExceeded", calls=Unread("throttled")))
    assert broken.symptom == "etl: AWS cannot run it (EniLimitExceeded)"
    assert broken.severity is Severity.SEV2
    update = sick(eyes(LastUpdateStatus="Failed"))
    assert update.symptom == ("etl: its last update failed (AWS gives no reason code), and what ran before still runs")
    assert update.severity is Severity.SEV3


def test_a_deliberate_stop_is_no_failure() -> None:
    """Whatever its figures are."""
    stopped = eyes(ReservedConcurrentExecutions=0, throttles=[60.0] * 10, State="Failed")
    assert detect(stopped) == Healthy("stopped on purpose: reserved concurrency 0")


@pytest.mark.parametrize(
    "other", [{"calls": Unread("no")}, {"errors": Unread("no")}, {"throttles": Unread("no")}, {"slowest": Unread("no")}]
)
def test_figures_that_cannot_be_read_are_unknown(other: dict[str, Any]) -> None:
    """Missing is not well."""
    assert detect(eyes(**other)) == Unknown("no")


@pytest.mark.parametrize("function", [None, Unread("throttled")])
def test_a_function_that_cannot_be_read_is_unknown(function: Any) -> None:
    """Gone, or nobody can tell; and no diagnosis is made of it."""
    assert isinstance(detect(Eyes(function=function)), Unknown)
    with pytest.raises(Missing if function is None else Unreadable):
        diagnose(Eyes(function=function))


def test_a_version_or_an_alias_is_not_the_function() -> None:
    """Its figures are others'."""
    alias = Target(Arn.parse(f"{FUNCTION}:live"), "group")
    one = LambdaFailing()
    assert isinstance(one.detect(alias, Readings(NOW)), Unknown)


# -- why, and what would help ------------------------------------------------------------------------------------------

TIMED_OUT = {"errors": [60.0] * 10, "longest": [30_000.0] * 10}


def test_timeouts_are_the_cause_where_a_call_took_as_long_as_it_may() -> None:
    """Twice the timeout is recommended, never more than AWS's limit."""
    found = diagnose(eyes(**TIMED_OUT))
    assert found.cause == "etl: calls run into its timeout of 30 seconds"
    assert found.evidence == (
        "600 of 600 calls failed in 10 minutes",
        "its slowest call took 30.0 of at most 30 seconds",
        "at most 3 ran at once; none are reserved for it",
        "it has 256 MB of memory; how much of it is used nobody measures: Lambda Insights is off",
    )
    command = "aws lambda update-function-configuration --function-name etl --timeout 60 --revision-id r-1"
    assert found.advice == (
        f"try 60 seconds instead of 30: {command} (a write; never add --environment to it)",
        "read what it says, REPORT lines too: aws logs tail /aws/lambda/etl --since 30m (read only)",
    )
    long = eyes(**{**TIMED_OUT, "longest": [800_000.0] * 10}, Timeout=800, RevisionId=None)
    assert "--timeout 900 (a write" in diagnose(long).advice[0]


@pytest.mark.parametrize("timeout", [900, None])
def test_no_timeout_beyond_awss_limit_is_recommended(timeout: int | None) -> None:
    """Nor any in the place of one that nobody knows."""
    slow = eyes(Timeout=30, errors=[60.0] * 10, longest=[900_000.0] * 10)
    slow.function["Timeout"] = timeout
    found = diagnose(slow)
    assert "update-function-configuration" not in " ".join(found.advice)
    assert ("AWS's limit of 900 seconds" in found.advice[0]) is (timeout == 900)


def test_memory_is_the_cause_only_where_it_is_measured() -> None:
    """Full memory often looks like a timeout: more memory is also more CPU, so it goes first."""
    found = diagnose(eyes(**TIMED_OUT, memory=[95.0] * 10))
    assert found.cause == "etl: its memory is full"
    assert "it used 95 % of its 256 MB of memory" in found.evidence
    assert "--memory-size 512 --revision-id r-1" in found.advice[0]
    assert "--timeout" not in found.advice[0]
    assert "--timeout" in diagnose(eyes(**TIMED_OUT, memory=[89.0] * 10)).advice[0]
    assert "AWS's limit of 10240 MB" in diagnose(eyes(**TIMED_OUT, memory=[95.0], MemorySize=10_240)).advice[0]


def test_errors_that_are_neither_are_its_codes() -> None:
    """Nothing is recommended but to read what it says, where it says it."""
    found = diagnose(eyes(errors=[60.0] * 10, LoggingConfig={"LogGroup": "/a b"}))
    assert "its code, or what it needs" in found.cause
    assert found.advice == ("read what it says, REPORT lines too: aws logs tail '/a b' --since 30m (read only)",)


def test_slowness_is_told_before_calls_fail() -> None:
    """With the same recommendation."""
    found = diagnose(eyes(slowest=[29_000.0] * 2, longest=[29_500.0]))
    assert found.cause == "etl: calls take nearly as long as its timeout of 30 seconds lets them"
    assert "--timeout 60" in found.advice[0]


@pytest.mark.parametrize("reserved, whose", [(5, "its reserved concurrency of 5"), (None, "the account's concurrency")])
def test_whose_concurrency_is_used_up(reserved: int | None, whose: str) -> None:
    """Its own, or the account's."""
    found = diagnose(eyes(throttles=[30.0] * 10, ReservedConcurrentExecutions=reserved))
    assert whose in found.cause
    assert any("get-account-settings" in text for text in found.advice)
    assert ("reserved are 5" in " ".join(found.evidence)) is (reserved == 5)


def test_what_aws_calls_failed_is_explained_by_its_code() -> None:
    """With where its text stands."""
    found = diagnose(eyes(State="Failed", StateReasonCode="EniLimitExceeded", calls=[], longest=[], at_once=[]))
    assert found.cause == "etl: AWS cannot run it (EniLimitExceeded)"
    assert "aws lambda get-function-configuration --function-name etl" in found.advice[0]


@pytest.mark.parametrize(
    "changed, named",
    [
        ("2026-11-19T02:30:00.000+0000", True),
        ("2026-11-19T01:00:00.000+0000", True),
        ("2026-11-19T00:59:59.000+0000", False),
        ("2026-11-19T03:00:01.000+0000", False),
        ("0001-01-01T00:00:00.000+1400", False),
        ("yesterday", False),
        (None, False),
    ],
)
def test_a_change_is_a_suspect_for_two_hours(changed: str | None, named: bool) -> None:
    """And never where it cannot be read, or has not been yet."""
    found = diagnose(eyes(errors=[60.0] * 10, LastModified=changed))
    assert ("a suspect" in found.evidence[-1]) is named
    assert ("take it back" in found.advice[0]) is named


def test_what_is_over_when_the_cause_is_sought_waits() -> None:
    """Well again, or not to be seen: the next look says which."""
    for on in (eyes(), eyes(calls=Unread("throttled"))):
        with pytest.raises(Refused) as refused:
            diagnose(on)
        assert refused.value.retry_after == timedelta(minutes=1)


_ANY: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just({"LogGroup": []})
)


@given(st.dictionaries(st.sampled_from([*PLAIN, "LoggingConfig", "ReservedConcurrentExecutions"]), _ANY))
def test_whatever_a_configuration_says_is_understood(said: dict[str, Any]) -> None:
    """Detection and diagnosis are total."""
    on = eyes(**TIMED_OUT, **said)
    assert isinstance(detect(on), Healthy | Sick | Unknown)
    assert diagnose(on).advice


# -- by alias ----------------------------------------------------------------------------------------------------------


@dataclass
class Aliases(Eyes):
    """A function that is called by its aliases: of each so many calls, and so many that failed."""

    called: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    listed: list[dict[str, Any]] = field(default_factory=list)

    def pages(self, service: str, operation: str, key: str, *, limit: int, **params: Any) -> list[dict[str, Any]]:
        """The aliases that there are."""
        assert (service, operation, key, limit, params) == (
            *("lambda", "ListAliases", "Aliases", 100),
            {"FunctionName": "etl"},
        )
        return self.listed

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery) or len(query.dimensions) == 1:
            return super()._answer(query)
        (_, name), (_, resource) = query.dimensions
        calls, failed = self.called.get(resource.removeprefix(f"{name}:"), (0.0, 0.0))
        return Series(((NOW - timedelta(minutes=3), calls if query.metric == "Invocations" else failed),))


def told(on: Aliases) -> Diagnosis:
    """What people are told in the end."""
    notes: dict[str, Any] = {}
    found = LambdaFailing().detail(cast("Reader", on), TARGET, diagnose(on), notes)
    assert notes == {}
    return found


LIVE = {"Name": "live", "FunctionVersion": "8", "RevisionId": "r 8"}


def test_an_alias_whose_calls_fail_comes_first() -> None:
    """With the command, and without the version: AWS does not keep what an alias had before."""
    found = told(Aliases(errors=[6.0] * 10, listed=[LIVE], called={"live": (600.0, 60.0)}))
    assert found.evidence[-1] == "60 of 600 calls as live (version 8) failed"
    assert found.advice[0].startswith("if it began when live was pointed to version 8, point it back: ")
    assert "--name live --function-version VERSION --revision-id 'r 8' (a write)" in found.advice[0]


@pytest.mark.parametrize("failed, named", [(30.0, False), (30.1, True), (0.0, False)])
def test_an_alias_whose_calls_succeed_is_not_to_be_moved(failed: float, named: bool) -> None:
    """Five in a hundred may fail of its calls, as of all."""
    found = told(Aliases(errors=[6.0] * 10, listed=[LIVE], called={"live": (600.0, failed)}))
    assert any("update-alias" in line for line in found.advice) is named


@pytest.mark.parametrize("weights, named", [({"9": 0.1, "10": 0.2}, True), ({}, False), (None, False)])
def test_a_canary_is_left_to_whoever_runs_it(weights: Any, named: bool) -> None:
    """An alias without weights is none; one without a revision is named without."""
    alias = {"Name": "live", "FunctionVersion": "8", "RoutingConfig": {"AdditionalVersionWeights": weights}}
    found = told(Aliases(errors=[6.0] * 10, listed=[alias], called={"live": (600.0, 60.0)}))
    assert ("is being moved between version 8 and 10, 9" in found.advice[0]) is named
    assert "--revision-id" not in found.advice[0]


def test_an_alias_that_nobody_calls_is_said_to_be_none() -> None:
    """Its callers name the function itself: to move an alias changes nothing for them."""
    found = told(Aliases(errors=[6.0] * 10, listed=[LIVE]))
    assert found.evidence[-1] == "nobody calls it as live (version 8): to move that alias changes nothing"
    assert not any("update-alias" in line for line in found.advice)


def test_aliases_are_looked_at_only_where_calls_fail() -> None:
    """A call that is turned away, or takes long, is no version's doing that could be told."""
    on = Aliases(slowest=[29_000.0, 29_000.0], listed=[LIVE], called={"live": (600.0, 60.0)})
    assert told(on) == diagnose(on)


def test_what_another_remediation_cures_is_named() -> None:
    """Calls that are turned away: where that looks after the function, people hear of them from it alone."""
    assert diagnose(eyes(throttles=[10.0] * 10)).whose == "lambda-throttled"
    assert diagnose(eyes(errors=[6.0] * 10)).whose == ""


@dataclass
class Moved(Aliases):
    """A function whose target names its alias, of which sweeps have noted where it pointed."""

    noted: tuple[Kept, ...] = ()

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery) and query.kind == KEPT:
            assert query.key == f"lambda.alias|{FUNCTION}:live"
            return {KEPT: self.noted}
        if isinstance(query, MetricQuery) and len(query.dimensions) > 1:
            calls, failed = self.called["live"]
            times = [NOW - timedelta(minutes=back) for back in range(11, 1, -1)]
            return Series(tuple((at, calls if query.metric == "Invocations" else failed) for at in times))
        return super()._answer(query)


def noted(left: float, since: float) -> tuple[Kept, ...]:
    """An alias that was moved between so many hours ago."""
    places = (("7", 30.0, left), ("8", since, 0.0))
    return tuple(
        Kept({"FunctionVersion": each}, NOW - timedelta(hours=first), NOW - timedelta(hours=last))
        for each, first, last in places
    )


@pytest.mark.parametrize(
    "stood, failed, alias, whose",
    [
        (noted(0.6, 0.5), 6.0, "live", "lambda-alias-bad"),
        (noted(6.0, 5.9), 6.0, "live", "lambda-alias-bad"),
        (noted(6.2, 6.1), 6.0, "live", ""),
        (noted(0.6, 0.5)[:1], 6.0, "live", ""),
        ((), 6.0, "live", ""),
        (noted(0.6, 0.5), 0.0, "live", ""),
        (noted(0.6, 0.5), 6.0, None, ""),
    ],
)
def test_what_fails_since_an_alias_was_moved_is_another_ones(
    stood: tuple[Kept, ...], failed: float, alias: str | None, whose: str
) -> None:
    """Where sweeps saw that, and the calls that name it fail: there people hear of it, if it takes the target."""
    on = Moved(errors=[6.0] * 10, called={"live": (60.0, failed)}, noted=stood)
    target = replace(TARGET, alias=alias)
    finding = Finding("lambda-failing", str(FUNCTION), "it fails")
    assert LambdaFailing().diagnose(cast("Reader", on), target, finding).whose == whose


def test_an_environment_is_told_by_its_names_and_never_written() -> None:
    """Whoever writes one value has all others deleted."""
    found = diagnose(eyes(errors=[60.0] * 10, LastModified="2026-11-19T02:00:00.000+0000"))
    assert "AWS replaces it whole" in found.advice[1]
    assert "keys(Environment.Variables)" in found.advice[1]
    assert not any("--environment" in line and "never" not in line for line in found.advice)
