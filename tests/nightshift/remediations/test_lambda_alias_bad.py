"""An alias is pointed back where its last move is why calls fail, as far as that is known; else people are told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from dataclasses import replace as changed
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from nightshift.errors import Denied, Missing, Refused
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import KEPT, Kept, Progress, Reader, Readings, Series, Unread, history
from nightshift.remediations.lambda_alias_bad import LambdaAliasBad

from tests.nightshift.remediations.account import FUNCTION, NOW

CURE = LambdaAliasBad()
TARGET = Target(FUNCTION, "pulse", alias="live")
FINDING = Finding(CURE.name, str(FUNCTION), "etl: 180 of 600 calls as live (version 8) in 10 minutes failed")
ALIAS = ResourceRead("lambda.alias", f"{FUNCTION}:live")
END = NOW - timedelta(minutes=1)
IMPORT = "[ERROR] Runtime.ImportModuleError: Unable to import module 'handler': No module named 'rows'"
GROUP = "/aws/lambda/etl"


def pointing(version: str = "8", revision: str = "r8", **weights: float) -> dict[str, Any]:
    """An alias, as it is read."""
    return {"FunctionVersion": version, "RevisionId": revision, "Weights": {key[1:]: weights[key] for key in weights}}


def kept(*stays: tuple[Any, float, float]) -> tuple[Kept, ...]:
    """What sweeps noted: where the alias pointed, from and until how many minutes ago."""
    whats = (
        (what if isinstance(what, dict) else pointing(what, f"r{what}"), since, seen) for what, since, seen in stays
    )
    return tuple(Kept(what, NOW - timedelta(minutes=a), NOW - timedelta(minutes=b)) for what, a, b in whats)


def version(number: str, **other: Any) -> dict[str, Any]:
    """A version, as it is listed."""
    said = {"Version": number, "CodeSha256": f"code-{number}", "RevisionId": number, "MemorySize": 256}
    return {**said, "Environment": {"Variables": {"PASSWORD": "hunter2"}}, **other}


@dataclass
class Eyes:
    """What there is to be read: an alias that was moved 22 minutes ago, and since then a third of its calls fail."""

    alias: Any = field(default_factory=pointing)
    kept_: Any = field(default_factory=lambda: kept(("7", 300, 25), ("8", 22, 1)))
    calls: Any = field(default_factory=lambda: [60.0] * 10)  # each minute: as live
    errors: Any = field(default_factory=lambda: [18.0] * 10)
    of_now: Any = field(default_factory=lambda: ([60.0] * 20, [18.0] * 20))  # the same of version 8
    of_before: Any = field(default_factory=lambda: ([60.0] * 40 + [0.0] * 22, [0.0] * 62))  # and of version 7
    everybody: Any = field(default_factory=lambda: ([60.0] * 10, [18.0] * 10))
    function: Any = field(default_factory=lambda: {"FunctionName": "etl"})
    versions: Any = field(default_factory=lambda: [version("$LATEST"), version("7"), version("8")])
    mappings: list[Any] = field(default_factory=list)
    lines: Any = field(default_factory=lambda: [IMPORT] * 20)
    time: datetime = NOW
    asked: list[dict[str, Any]] = field(default_factory=list)

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(self.time, {query: self._answer(query) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return self.time

    def __call__(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """What CloudWatch has of the log."""
        assert (service, operation) == ("logs", "FilterLogEvents")
        self.asked.append(params)
        if isinstance(self.lines, Exception):
            raise self.lines
        if self.lines and isinstance(self.lines[0], dict):
            page = self.lines[min(len(self.asked), len(self.lines)) - 1]
            return cast("dict[str, Any]", page)
        return {"events": [{"message": line} for line in self.lines]}

    def pages(self, service: str, operation: str, key: str, *, limit: int, **params: Any) -> Iterator[Any]:
        """Its versions, and what calls it."""
        assert (service, params) == ("lambda", {"FunctionName": "etl"})
        found = {
            ("ListVersionsByFunction", "Versions", 5000): self.versions,
            ("ListEventSourceMappings", "EventSourceMappings", 100): self.mappings,
        }
        yield from found[operation, key, limit]

    def _answer(self, query: Query) -> Any:
        if not isinstance(query, MetricQuery):
            function = ResourceRead("lambda.function", str(FUNCTION))
            return {ALIAS: self.alias, history(ALIAS): {KEPT: self.kept_}, function: self.function}[query]
        which = int(query.metric == "Errors")
        said = dict(query.dimensions)
        assert said["FunctionName"] == "etl"
        assert said.get("Resource", "etl:live") == "etl:live"
        if "Resource" not in said:
            values = self.everybody[which]
        elif "ExecutedVersion" in said:
            values = (
                self.of_now if said["ExecutedVersion"] == self.kept_[-1].what["FunctionVersion"] else self.of_before
            )[which]
        else:
            values = (self.calls, self.errors)[which]
        if isinstance(values, Unread):
            return values
        values = values[-query.minutes :]
        times = [END - timedelta(minutes=back) for back in range(len(values), 0, -1)]
        return Series(tuple((at, value) for at, value in zip(times, values, strict=True) if value is not None))


def detect(on: Eyes, target: Target = TARGET) -> Observation:
    """What a look finds."""
    return CURE.detect(target, on.seen(*CURE.watch(target)))


def diagnose(on: Eyes | None = None, one: LambdaAliasBad = CURE) -> Diagnosis:
    """What a diagnosis says."""
    return one.diagnose(cast("Reader", on or Eyes()), TARGET, FINDING)


def told(on: Eyes, one: LambdaAliasBad = CURE) -> str:
    """Why it is not pointed back."""
    found = diagnose(on, one)
    assert found.advice != ()
    assert "hunter2" not in repr(found)
    return found.cause


def planned(on: Eyes | None = None) -> Plan:
    """The plan."""
    found = diagnose(on)
    assert found.advice == (), found.cause
    return CURE.plan(found)


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_calls_that_name_the_alias_and_fail_are_a_symptom() -> None:
    """In both halves of ten minutes, and still; with the version that it points to."""
    seen = detect(Eyes())
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "etl: 180 of 600 calls as live (version 8) in 10 minutes failed"
    assert seen.finding.severity is Severity.SEV2
    [signal] = seen.finding.signals
    assert (signal.value, signal.threshold, signal.unit) == (30.0, 5.0, "%")


@pytest.mark.parametrize(
    "errors",
    [
        [0.0] * 10,
        [3.0] * 10,  # five per cent are no more than five per cent
        [18.0] * 5 + [0.0] * 5,
        [0.0] * 5 + [18.0] * 5,
        [18.0] * 8 + [0.0] * 2,
    ],
)
def test_a_burst_or_a_few_are_no_symptom(errors: list[float]) -> None:
    """They are over, or few."""
    assert isinstance(detect(Eyes(errors=errors)), Healthy)


def test_few_errors_of_few_calls_are_no_symptom() -> None:
    """Four of four."""
    assert isinstance(detect(Eyes(calls=[0.4] * 10, errors=[0.4] * 10)), Healthy)


def test_an_alias_that_nobody_names_is_idle() -> None:
    """It is neither well nor sick."""
    assert detect(Eyes(calls=[0.0] * 10, errors=[0.0] * 10)) == Healthy(
        "nobody called it as live in 10 minutes", idle=True
    )


@pytest.mark.parametrize(
    "on, why",
    [
        (Eyes(alias=Unread("denied")), "denied"),
        (Eyes(alias=None), "etl has no alias live"),
        (Eyes(calls=Unread("no calls")), "no calls"),
        (Eyes(errors=Unread("no errors")), "no errors"),
    ],
)
def test_what_cannot_be_read_is_unknown(on: Eyes, why: str) -> None:
    """With why."""
    assert detect(on) == Unknown(why)


def test_each_sweep_is_to_note_where_the_alias_points() -> None:
    """AWS keeps no history of it; and a function without an alias is none of ours."""
    assert CURE.keeps(TARGET) == (ALIAS,)
    assert CURE.takes(TARGET)
    assert not CURE.takes(changed(TARGET, alias=None))


# -- pointed back ------------------------------------------------------------------------------------------------------


def test_it_is_pointed_back_to_the_version_before() -> None:
    """One call, for the revision that was read; with what was there, and with the command that undoes it."""
    plan = planned()
    [call] = plan.calls
    assert (call.action, call.resource) == ("lambda:UpdateAlias", str(FUNCTION))
    assert call.params == {"FunctionName": "etl", "Name": "live", "FunctionVersion": "7", "RevisionId": "r8"}
    assert call.before == {"FunctionVersion": "8", "RevisionId": "r8"}
    assert plan.summary == "point live of etl back from version 8 to 7"
    assert plan.lease is None
    assert plan.undo_by_hand.endswith("aws lambda update-alias --function-name etl --name live --function-version 8")
    assert "provisioned concurrency" in plan.risk


def test_the_report_says_what_is_known_of_both_versions() -> None:
    """By name alone where an environment differs."""
    versions = [version("7"), version("8", Environment={"Variables": {"PASSWORD": "hunter3"}})]
    found = diagnose(Eyes(versions=versions))
    text = "\n".join(found.evidence)
    for said in (
        "live was moved from version 7 to 8 between 02:35 and 02:38 UTC",
        "0 of 1800 calls of version 7 failed in 30 minutes before",
        "180 of 600 calls of version 8 failed in 10 minutes since",
        "180 of 180 calls that failed name live",
        "what differs: code, Environment",
        "20 of 20 errors in its log are of its own code",
    ):
        assert said in text
    assert "hunter" not in repr(found)


def test_only_the_log_of_that_version_is_read() -> None:
    """Of the last ten minutes."""
    on = Eyes()
    diagnose(on)
    [asked] = on.asked
    assert asked["logGroupName"] == GROUP
    assert asked["logStreamNamePrefix"] == "2026/11/19/[8]"
    assert asked["startTime"] == round((NOW - timedelta(minutes=10)).timestamp() * 1000)


def test_streams_of_the_day_before_are_read_where_it_was_moved_then() -> None:
    """A stream's name says when it was begun."""
    on = Eyes(kept_=kept(("7", 1000, 190), ("8", 185, 1)), of_now=([60.0] * 190, [18.0] * 190))
    on.of_before = ([60.0] * 240, [0.0] * 240)
    assert planned(on).calls
    assert [each["logStreamNamePrefix"] for each in on.asked] == ["2026/11/18/[8]", "2026/11/19/[8]"]


def test_the_log_is_read_on_until_there_is_enough_or_nothing_more() -> None:
    """CloudWatch may answer with no line, and a token."""
    lines = [{"events": [], "nextToken": "a"}, {"events": [{"message": IMPORT}] * 9}]
    on = Eyes(lines=lines)
    assert planned(on).calls
    assert [each.get("nextToken") for each in on.asked] == [None, "a"]
    on = Eyes(lines=[{"events": [{"message": IMPORT}] * 200, "nextToken": "a"}])
    assert planned(on).calls
    assert len(on.asked) == 1
    on = Eyes(lines=[{"events": [], "nextToken": "a"}])
    assert "only 0 of 0 errors" in told(on)
    assert len(on.asked) == 5


@pytest.mark.parametrize(
    "line",
    [
        IMPORT,
        "[ERROR] Runtime.HandlerNotFound: Handler 'main' missing on module 'app'",
        "2026-11-19T01:10:02.000Z 7a1f Task timed out after 30.03 seconds",
        "REPORT RequestId: 7a1f Duration: 3000.00 ms Status: timeout",
        '{"type":"platform.report","record":{"status":"timeout"}}',
        "RequestId: 7a1f Error: Runtime exited with error: signal: killed",
        '{"level":"ERROR","errorType":"TypeError","errorMessage":"x"}',
        "[ERROR] NameError: name 'rows' is not defined",
    ],
)
def test_an_import_a_handler_a_timeout_and_memory_are_the_code(line: str) -> None:
    """In text and in JSON."""
    assert planned(Eyes(lines=[line] * 5)).calls


# -- told instead ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, why",
    [
        ("[ERROR] ClientError: An error occurred (AccessDeniedException)", "20 of 20 errors in its log are of what it"),
        ("[ERROR] ThrottlingException: Rate exceeded", "are of what it calls, or may not call"),
        ("[ERROR] ImportError: AccessDenied", "are of what it calls, or may not call"),
        ('{"errorType":"Error","code":"ECONNREFUSED"}', "are of what it calls, or may not call"),
        ("[ERROR] KeyError: 'hunter2'", "only 0 of 20 errors in its log are of its own code"),
        ("[ERROR] RuntimeError: hunter2", "only 0 of 20 errors"),
    ],
)
def test_what_another_version_would_meet_too_is_told(line: str, why: str) -> None:
    """A permission, a limit, a service that does not answer; and what nobody can tell. No word of it is repeated."""
    assert why in told(Eyes(lines=[line] * 20))


def test_one_in_ten_lines_may_be_something_else() -> None:
    """And no more."""
    other = "[ERROR] KeyError: 'hunter2'"
    assert planned(Eyes(lines=[IMPORT] * 18 + [other] * 2)).calls
    assert "only 17 of 20" in told(Eyes(lines=[IMPORT] * 17 + [other] * 3))
    assert "3 of 20 errors in its log are of what it calls" in told(Eyes(lines=[IMPORT] * 17 + ["Throttled"] * 3))
    assert "only 4 of 4" in told(Eyes(lines=[IMPORT] * 4))


@pytest.mark.parametrize("error", [Denied("logs:FilterLogEvents", "X"), Missing("logs:FilterLogEvents", "X")])
def test_a_log_that_cannot_be_read_tells_nothing(error: Exception) -> None:
    """What is not known is told."""
    assert "of what kind the errors are could not be read" in told(Eyes(lines=error))


def test_a_log_of_its_own_is_not_read() -> None:
    """The one that Lambda makes is."""
    assert "in a group of its own" in told(Eyes(function={"LoggingConfig": {"LogGroup": "all-of-them"}}))
    assert planned(Eyes(function={"LoggingConfig": {"LogGroup": GROUP}})).calls


@pytest.mark.parametrize(
    "stays, why",
    [
        ([("7", 300, 40), ("8", 22, 1)], "nobody looked for a while when it was moved"),
        ([("8", 900, 500), ("7", 499, 25), ("8", 22, 1)], "version 8 had been there before: it is itself a way back"),
        ([("7", 900, 800), ("6", 799, 600), ("7", 599, 300), ("6", 299, 25), ("8", 22, 1)], "version 6 was gone back"),
        ([("7", 84, 25), ("8", 22, 1)], "it had pointed to version 7 for 59 minutes only"),
    ],
)
def test_a_way_back_that_is_not_known_to_be_one_is_told(stays: list[tuple[str, float, float]], why: str) -> None:
    """With the command, to be given by whoever knows."""
    on = Eyes(kept_=kept(*stays))
    assert why in told(on)
    assert "--function-version" in diagnose(on).advice[0]
    assert "--revision-id r8 (a write)" in diagnose(on).advice[0]


def test_changes_of_an_alias_that_are_no_moves_count_for_none() -> None:
    """Its description, say: another revision, and the same version."""
    assert planned(Eyes(kept_=kept((pointing("7", "a"), 85, 50), (pointing("7", "b"), 49, 25), ("8", 22, 1)))).calls


def test_what_was_moved_step_by_step_was_moved_from_where_it_was_before() -> None:
    """Whoever moved it by weights did so under the eyes of sweeps; the minutes of that are nobody's."""
    on = Eyes(kept_=kept(("7", 300, 35), (pointing("7", "w", _8=0.1), 34, 24), ("8", 22, 1)))
    assert planned(on).calls[0].params["FunctionVersion"] == "7"
    on = Eyes(kept_=kept(("7", 300, 50), (pointing("7", "w", _8=0.1), 34, 24), ("8", 22, 1)))
    assert "nobody looked for a while" in told(on)


@pytest.mark.parametrize(
    "calls, errors, why",
    [
        ([0.5] * 62, [0.0] * 62, "15 calls of version 7 failed in 30 minutes before, too few to tell"),
        ([], [], "0 of 0 calls of version 7"),
        ([60.0] * 62, [0.6] * 62, "18 of 1800 calls of version 7 failed in 30 minutes before: it was not well either"),
    ],
)
def test_a_version_that_is_not_known_to_have_been_well_is_no_way_back(
    calls: list[float], errors: list[float], why: str
) -> None:
    """Less than one per cent failed, of enough."""
    assert why in told(Eyes(of_before=(calls, errors)))
    assert planned(Eyes(of_before=([60.0] * 62, [0.59] * 62))).calls


def test_what_the_version_before_did_otherwise_says_nothing_of_then() -> None:
    """Only the half hour until it was left counts."""
    early = [18.0] * 5 + [0.0] * 57
    assert planned(Eyes(of_before=([60.0] * 62, early))).calls


@pytest.mark.parametrize(
    "figures",
    [
        ([1.9] * 20, [1.9] * 20),
        ([60.0] * 20, [0.0] * 20),
        ([60.0] * 20, [18.0] * 12 + [0.0] * 8),
        ([], []),
    ],
)
def test_a_version_that_is_not_seen_to_fail_is_not_blamed(figures: Any) -> None:
    """Figures of the alias alone may be another version's."""
    assert "too few to say that it is this version that fails" in told(Eyes(of_now=figures))


def test_a_version_that_was_well_for_an_hour_is_not_blamed() -> None:
    """It is by when it began to fail, not by when a person says yes."""
    stays = kept(("7", 900, 95), ("8", 92, 1))
    before = ([60.0] * 130, [0.0] * 130)
    late = ([60.0] * 92, [0.0] * 70 + [18.0] * 22)
    assert "version 8 had been well for more than 60 minutes" in told(Eyes(kept_=stays, of_now=late, of_before=before))
    soon = ([60.0] * 92, [0.0] * 20 + [18.0] * 72)
    assert planned(Eyes(kept_=stays, of_now=soon, of_before=before)).calls


def test_most_of_what_fails_must_name_the_alias() -> None:
    """Else most goes on failing; who calls the function by its name alone is said where it is known."""
    one = {"FunctionArn": str(FUNCTION), "EventSourceArn": "arn:aws:sqs:eu-central-1:123456789012:events"}
    other = {"FunctionArn": f"{FUNCTION}:live", "EventSourceArn": "arn:aws:sqs:eu-central-1:123456789012:others"}
    on = Eyes(everybody=([600.0] * 10, [37.0] * 10), mappings=[one, other])
    assert "190 of 370 calls that failed do not name live" in told(on)
    assert diagnose(on).evidence[-1] == "event sources that call it without an alias: events"
    on = Eyes(everybody=([600.0] * 10, [37.0] * 10), mappings=[other])
    assert "without an alias" not in repr(diagnose(on).evidence)
    assert planned(Eyes(everybody=([600.0] * 10, [36.0] * 10))).calls


@pytest.mark.parametrize(
    "versions, why",
    [
        ([version("8")], "version 7 is not there any more"),
        ([version("7")], "version 8 is not there any more"),
        ([version("7"), version("8", CodeSha256="code-7", Description="again")], "versions 7 and 8 are equal"),
    ],
)
def test_there_must_be_another_version_to_go_back_to(versions: list[Any], why: str) -> None:
    """One that does something else."""
    assert why in told(Eyes(versions=versions))


def test_what_changes_with_every_deployment_is_no_version() -> None:
    """$LATEST, whichever of the two it is."""
    assert "one of the two is $LATEST" in told(Eyes(kept_=kept(("$LATEST", 300, 25), ("8", 22, 1))))
    on = Eyes(alias=pointing("$LATEST", "r$LATEST"), kept_=kept(("7", 300, 25), ("$LATEST", 22, 1)))
    assert "one of the two is $LATEST" in told(on)


def test_what_no_move_explains_is_for_another_one_to_tell() -> None:
    """Where it sees that the function fails; else people hear of it from here."""
    for stays in ((), kept(("8", 300, 1)), kept(("7", 900, 420), ("8", 419, 1))):
        found = diagnose(Eyes(kept_=stays))
        assert found.whose == "lambda-failing"
        assert "was not seen to be moved lately: it points to version 8" in found.cause
        assert found.advice == ("read what it says: aws logs tail /aws/lambda/etl --since 30m (read only)",)
    assert diagnose(Eyes(kept_=(), everybody=([6000.0] * 10, [18.0] * 10))).whose == ""


def test_what_is_being_moved_is_left_to_whoever_moves_it() -> None:
    """CodeDeploy takes it back by its own alarms."""
    weighted = pointing("7", "w", _8=0.5)
    for stays in (kept(("7", 300, 25), (weighted, 22, 1)), kept(("7", 300, 25), ("8", 22, 1))):
        found = diagnose(Eyes(alias=weighted, kept_=stays))
        assert "live is being moved between version 7 and 8" in found.cause
        assert "CodeDeploy takes it back by its own alarms" in found.advice[0]
    assert diagnose(Eyes(kept_=kept(("7", 300, 25), (weighted, 22, 1)))).whose == "lambda-failing"


def test_what_does_not_fail_any_more_or_was_moved_just_now_is_looked_at_again() -> None:
    """The next sweep notes it."""
    with pytest.raises(Refused, match="do not fail any more") as over:
        diagnose(Eyes(errors=[0.0] * 10))
    with pytest.raises(Refused, match="moved since it was last looked at") as moved:
        diagnose(Eyes(alias=pointing("9", "r9")))
    assert (over.value.retry_after, moved.value.retry_after) == (timedelta(minutes=1), timedelta(minutes=2))


# -- afterwards --------------------------------------------------------------------------------------------------------


CALL = planned().calls[0]


def test_the_answer_says_where_it_points_now() -> None:
    """And its new revision, for whoever points it forward again."""
    answer = {"FunctionVersion": "7", "RevisionId": "r9", "AliasArn": "x"}
    assert CURE.effect(CALL, answer) == {"FunctionVersion": "7", "RevisionId": "r9"}
    assert CURE.effect(CALL, {}) == {}


@pytest.mark.parametrize(
    "alias, seconds, outcome",
    [
        (pointing("7", "r9"), 0, Outcome.DONE),
        (pointing("8", "r8"), 59, Outcome.UNKNOWN),
        (pointing("8", "r8"), 60, Outcome.NOT_DONE),
        (pointing("8", "r9"), 600, Outcome.UNKNOWN),
        (pointing("9", "r9"), 600, Outcome.UNKNOWN),
        (None, 600, Outcome.UNKNOWN),
        (Unread("denied"), 600, Outcome.UNKNOWN),
    ],
)
def test_what_became_of_a_lost_answer_is_told_by_the_revision(alias: Any, seconds: int, outcome: Outcome) -> None:
    """Another one, and our version: it was done. The old one, after a while: it was not."""
    on = Eyes(alias=alias)
    assert CURE.reconcile(cast("Reader", on), CALL, NOW - timedelta(seconds=seconds)) is outcome


@pytest.mark.parametrize(
    "alias, progress",
    [
        (pointing("7", "r9"), Progress.NEXT),
        (pointing("8", "r9"), Progress.STOP),
        (pointing("7", "r9", _8=0.1), Progress.STOP),
        (Unread("denied"), Progress.WAIT),
        (None, Progress.WAIT),
    ],
)
def test_it_goes_on_where_the_alias_is_where_we_pointed_it(alias: Any, progress: Progress) -> None:
    """Who has moved it since has the last word."""
    plan = planned()
    found, why, ledger = CURE.progress(cast("Reader", Eyes(alias=alias)), plan, plan.steps[0], {})
    assert (found, ledger) == (progress, None)
    assert why


@pytest.mark.parametrize(
    "on, kind",
    [
        (Eyes(alias=pointing("7", "r9"), errors=[0.0] * 10), Healthy),
        (Eyes(alias=pointing("7", "r9"), errors=[0.59] * 10), Healthy),
        (Eyes(alias=pointing("7", "r9"), errors=[0.7] * 10), Sick),
        (Eyes(errors=[18.0] + [0.0] * 9), Sick),
        (Eyes(calls=[1.9] * 10, errors=[0.0] * 10), Unknown),
        (Eyes(alias=Unread("denied")), Unknown),
    ],
)
def test_cured_is_less_than_one_per_cent_of_enough_calls(on: Eyes, kind: type) -> None:
    """In ten minutes."""
    assert isinstance(CURE.verify(TARGET, FINDING, on.seen(*CURE.watch(TARGET))), kind)


def test_nobody_calling_proves_nothing() -> None:
    """It is idle, which is unknown to an incident."""
    seen = CURE.verify(TARGET, FINDING, Eyes(calls=[0.0] * 10, errors=[0.0] * 10).seen(*CURE.watch(TARGET)))
    assert isinstance(seen, Healthy)
    assert seen.idle


def test_it_is_done_once_in_a_day_unless_a_person_says_otherwise() -> None:
    """One attempt; and a person is asked where the function has no tag of its own for it."""
    assert (CURE.max_attempts, CURE.cooldown) == (1, timedelta(hours=24))
    assert CURE.auto_tag == "auto-rollback"


def test_names_are_quoted_in_commands() -> None:
    """Whatever a plan's facts say."""
    facts = {"function": str(FUNCTION), "alias": "live; rm", "from": "8", "to": "7", "revision": "r"}
    assert "--name 'live; rm'" in CURE.plan(Diagnosis(str(FUNCTION), "bad", facts=facts)).undo_by_hand
    assert isinstance(CALL, Call)
    assert Arn.parse(CALL.resource) == FUNCTION
