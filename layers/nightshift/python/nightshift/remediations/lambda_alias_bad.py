"""
An alias was pointed to a version that fails: point it back to the one that worked before.

Symptom   more than 5 % of the calls that name the alias fail, in each of two times five minutes, and still
Cause     the version that it points to now: its calls fail since the alias was moved to it, those of the version before
          did not, and what they fail with is their own code: an import, a handler, a timeout, memory
Cure      the version before, if that had been called and well, and had stayed there for an hour
Proof     the alias points there, and less than 1 % of enough calls fail, for ten minutes
Undo      none: to point it forward again is for people, and the report has the command
Source    runbook 1 "Lambda Function Rollback"; R11

AWS keeps no history of an alias, so every sweep notes where it points. What was not noted is not known, and what is not
known is told: since when it points there, whether the version before was called enough to tell, of what kind the errors
are. The log is read for that, of this version's own streams, and counted by kind: no word of it is repeated.

What it will not do: go to a number that may never have run, to $LATEST, to what equals the version that fails, or back
from what was itself a way back; move an alias that somebody is moving (weights: CodeDeploy takes it back by its own
alarms); blame a version for a permission, a limit or a service that does not answer; or move an alias while most of the
calls that fail do not name it. A version does not undo what it did to data: a person says yes, unless the function is
tagged ``auto-rollback=enabled``. Provisioned concurrency of the alias is started anew for the version before.

Where the alias was not moved lately, why its calls fail is for ``lambda-failing`` to tell.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import aliases, failing, states, turned_away
from nightshift.aliases import Move
from nightshift.errors import Denied, Missing, Refused
from nightshift.model import (
    Alternative,
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Ledger,
    MetricQuery,
    Observation,
    Outcome,
    Plan,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Step,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Reader, Readings, Remediation, Series, Unread
from nightshift.signals import function_metric
from nightshift.states import minutes

__all__ = ["LambdaAliasBad"]

_WELL = 1.0  # per cent of calls that may fail of a version that is well: before it was left, and once it is back (R11)
_BEFORE = 30  # minutes before the alias was moved that say how it was then
_VERSIONS = 5000  # of one function: a hundred pages; who keeps more is told so
_MAPPINGS = 100  # event source mappings of one function; there is hardly ever more than one
_PROVES = timedelta(minutes=failing.MINUTES + 1)
"""after which a look sees whole minutes since then, and none before; and whether the alias is still where we left it"""
_LANDS = timedelta(seconds=60)  # how long a request whose answer was lost may still take effect
_SOON = timedelta(minutes=1)
_TELLS = "lambda-failing"  # why calls fail that no move explains
_OF_ITSELF = frozenset(
    {"CodeSize", "Description", "FunctionArn", "LastModified", "LastUpdateStatus", "RevisionId", "State", "Version"}
)
"""what differs between any two versions, or says nothing of what they do"""

# -- what is read of a log
_PATTERN = '?"[ERROR]" ?"Task timed out" ?errorType ?"Runtime exited" ?"Status: timeout" ?OutOfMemory'
_LINES = 200  # that tell of what kind the errors are
_PAGES = 5  # CloudWatch may answer with none, and go on
_MOST = 0.9  # of the lines that are errors must be of the version's own code
_CODE = re.compile(
    r"Task timed out after|[\"']?status[\"']?: ?\"?timeout|OutOfMemory|Runtime exited|signal: killed"
    r"|\bRuntime\.(?:\w{1,40})|\b(?:Import|ModuleNotFound|Syntax|Indentation|Name|UnboundLocal|Attribute|Type|Reference"
    r"|NotImplemented)Error\b",
    re.ASCII | re.IGNORECASE,
)
"""an import, a handler, a timeout, memory: what another version of the code explains"""
_ELSEWHERE = re.compile(
    r"AccessDenied|UnauthorizedOperation|not authorized|ExpiredToken|Throttl|TooManyRequests|RateExceeded"
    r"|ThroughputExceeded|LimitExceeded|ServiceUnavailable|Connect(?:ion)?(?:Timeout|Error|Refused)|ECONN|ETIMEDOUT"
    r"|EndpointConnection|ReadTimeout|ClientError|getaddrinfo",
    re.ASCII | re.IGNORECASE,
)
"""a permission, a limit, a service that does not answer: the version before would meet the same"""


class LambdaAliasBad(Remediation):
    """An alias of a Lambda function since whose last move calls fail."""

    name: ClassVar[str] = "lambda-alias-bad"
    title: ClassVar[str] = "the version that an alias points to is bad"
    kinds: ClassVar[tuple[str, ...]] = ("lambda:function",)
    needs: ClassVar[tuple[str, ...]] = ("alias",)
    reads: ClassVar[tuple[str, ...]] = (
        "lambda:ListVersionsByFunction",
        "lambda:ListEventSourceMappings",
        "logs:FilterLogEvents",
    )
    writes: ClassVar[tuple[str, ...]] = ("lambda:UpdateAlias",)
    auto_tag: ClassVar[str] = "auto-rollback"

    max_attempts: PositiveInt = Field(default=1, le=1, description="rollbacks per incident before it escalates")
    cooldown: timedelta = Field(default=timedelta(hours=24), description="between two rollbacks of one alias")
    patience: timedelta = Field(default=timedelta(minutes=20), description="how long a cure may take to show")
    error_percent: float = Field(default=5.0, gt=1, lt=100, description="per cent of calls that may fail")
    least_errors: PositiveInt = Field(default=5, description="fewer failed calls in ten minutes are no failure")
    calls: PositiveInt = Field(default=20, description="calls that it takes to tell how a version fares")
    suspect_for: timedelta = Field(
        default=timedelta(minutes=60),
        ge=timedelta(minutes=15),
        le=timedelta(hours=2),
        description="how long after an alias was moved what fails is blamed on that",
    )
    proven_after: timedelta = Field(
        default=timedelta(minutes=60),
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
        description="how long the alias must have pointed to the version to go back to",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return (_alias(target), *aliases.calls(target.arn, str(target.alias), failing.MINUTES))

    def keeps(self, target: Target) -> tuple[ResourceRead, ...]:
        return (_alias(target),)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Whether calls that name the alias fail; whether its last move is why is for the diagnosis to say."""
        found = self._figures(target, seen)
        if isinstance(found, Healthy | Unknown):
            return found
        version, lately = found
        if not lately.lasts(self.error_percent, self.least_errors):
            return Healthy(f"{lately.errors:.0f} of {_calls(target, version, lately)} failed")
        return self._sick(target, version, lately)

    def _figures(self, target: Target, seen: Readings) -> tuple[str, failing.Failing] | Healthy | Unknown:
        """Where the alias points, and what became of the calls that name it."""
        found = seen.resource(_alias(target))
        if isinstance(found, Unread):
            return Unknown(found.reason)
        if found is None:
            return Unknown(f"{target.arn.name} has no alias {target.alias}")
        series = [seen.metric(query) for query in aliases.calls(target.arn, str(target.alias), failing.MINUTES)]
        for each in series:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        calls, errors = (each for each in series if isinstance(each, Series))
        if not calls.total:
            return Healthy(f"nobody called it as {target.alias} in {failing.MINUTES} minutes", idle=True)
        return str(found.get("FunctionVersion")), failing.since(calls, errors, seen.at)

    def _sick(self, target: Target, version: str, lately: failing.Failing) -> Sick:
        share = round(lately.percent, 1)
        signal = Signal("failed calls", share, self.error_percent, f"{failing.MINUTES} minutes", "%")
        symptom = f"{target.arn.name}: {lately.errors:.0f} of {_calls(target, version, lately)} failed"
        return Sick(Finding(self.name, str(target.arn), symptom, signals=(signal,), severity=Severity.SEV2))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        seen = read.seen(*self.watch(target))
        alias = seen.resource(_alias(target))
        if not isinstance(self.detect(target, seen), Sick) or not isinstance(alias, Mapping):
            raise Refused("alias", f"calls as {target.alias} do not fail any more", retry_after=_SOON)
        noted, now = aliases.noted(read, target.arn, str(target.alias)), read.now()
        if alias.get("Weights") or not (move := aliases.lately(noted, now)):
            return self._unmoved(read, target, alias, finding)
        if noted[-1].what != alias:
            raise Refused("alias", f"{target.alias} was moved since it was last looked at", retry_after=2 * _SOON)
        between = f"between {move.left:%H:%M} and {move.since:%H:%M} UTC"
        moved = f"{target.alias} was moved from version {move.before} to {move.version} {between}"
        happened = (finding.symptom, moved)
        try:
            evidence = self._to_blame(read, target, move)
        except _NotToBlameError as error:
            return Diagnosis(
                target=str(target.arn),
                cause=f"calls of {target.arn.name} as {target.alias} fail, and it is not pointed back: {error}",
                evidence=(*happened, *error.evidence),
                advice=_by_hand(target, alias, move),
            )
        return Diagnosis(
            target=str(target.arn),
            cause=f"version {move.version} of {target.arn.name} is bad: calls as {target.alias} fail since it is there",
            evidence=(
                *happened,
                *evidence,
                "the version may have changed data: to point the alias back does not undo that",
                "whoever deploys from code will bring it back with the next deployment",
            ),
            rejected=(
                Alternative("it failed before", f"version {move.before} did not, until the alias was moved"),
                Alternative("what it calls fails", "its errors are of its own code"),
                Alternative("somebody is moving it", "it has no weights"),
            ),
            facts={
                "function": str(target.arn),
                "alias": str(target.alias),
                "from": move.version,
                "to": move.before,
                "revision": str(alias.get("RevisionId")),
            },
        )

    def _unmoved(self, read: Reader, target: Target, alias: Mapping[str, Any], finding: Finding) -> Diagnosis:
        """
        No move explains it: it was not moved lately, nobody noted that it was, or it is being moved.

        Another one tells why, where it sees that calls fail: among all calls these may be few.
        """
        version, weights = alias.get("FunctionVersion"), sorted(map(str, alias.get("Weights") or ()))
        why = f"{target.alias} was not seen to be moved lately: it points to version {version}"
        advice: tuple[str, ...] = (_log(target),)
        if weights:
            why = f"{target.alias} is being moved between version {version} and {', '.join(weights)}"
            advice = ("leave it to whoever moves it (CodeDeploy takes it back by its own alarms), or ask them", *advice)
        cause = f"calls of {target.arn.name} as {target.alias} fail, and {why}"
        calls, errors = (
            states.series(read, function_metric(target.arn, name, "Sum", failing.MINUTES))
            for name in ("Invocations", "Errors")
        )
        seen = failing.since(calls, errors, read.now()).lasts(self.error_percent, self.least_errors)
        return Diagnosis(str(target.arn), cause, (finding.symptom,), advice=advice, whose=_TELLS if seen else "")

    def _to_blame(self, read: Reader, target: Target, move: Move) -> tuple[str, ...]:
        """The evidence against the version that the alias points to. Raises _NotToBlameError for too little."""
        if not move.known:
            raise _NotToBlameError("nobody looked for a while when it was moved: over what is not known")
        if move.returned:
            raise _NotToBlameError(f"version {move.version} had been there before: it is itself a way back")
        if move.before in move.gone_back_from:
            raise _NotToBlameError(f"version {move.before} was gone back from once: nobody goes back to it")
        if move.ran < self.proven_after:
            ran = f"it had pointed to version {move.before} for {minutes(move.ran)} minutes only"
            raise _NotToBlameError(f"{ran}: whether that one is good is not known")
        return (
            self._was(read, target, move),
            self._is(read, target, move),
            self._others(read, target),
            f"what differs: {_differ(read, target, move)}",
            self._kinds(read, target, move),
        )

    def _was(self, read: Reader, target: Target, move: Move) -> str:
        """How the version before fared until the alias was moved: what was hardly called says nothing of it."""
        since = move.left - timedelta(minutes=_BEFORE)
        span = minutes(read.now() - since) + 1
        calls, errors = (
            sum(value for at, value in states.series(read, query).points if since <= at < move.left)
            for query in aliases.calls(target.arn, str(target.alias), span, move.before)
        )
        text = f"{errors:.0f} of {calls:.0f} calls of version {move.before} failed in {_BEFORE} minutes before"
        if calls < self.calls:
            raise _NotToBlameError(f"{text}, too few to tell whether it was well")
        if 100 * errors >= _WELL * calls:
            raise _NotToBlameError(f"{text}: it was not well either")
        return text

    def _is(self, read: Reader, target: Target, move: Move) -> str:
        """How the version that the alias points to fares, and that it has from the beginning, or nearly so."""
        span = minutes(read.now() - move.left) + 1
        queries = aliases.calls(target.arn, str(target.alias), max(span, failing.MINUTES), move.version)
        calls, errors = (states.series(read, query) for query in queries)
        since = turned_away.end(read.now()) - timedelta(minutes=failing.MINUTES)
        ran, bad = (Series(tuple(each for each in series.points if each[0] >= since)) for series in (calls, errors))
        lately = failing.since(ran, bad, read.now())
        failed = f"{lately.errors:.0f} of {lately.calls:.0f} calls of version {move.version} failed"
        text = f"{failed} in {failing.MINUTES} minutes"
        if lately.calls < self.calls or not lately.lasts(self.error_percent, self.least_errors):
            raise _NotToBlameError(f"{text}: too few to say that it is this version that fails")
        asked = dict(calls.points)
        began = next(at for at, count in errors.points if 100 * count > self.error_percent * asked.get(at, 0.0))
        if began - move.left > self.suspect_for:
            raise _NotToBlameError(
                f"version {move.version} had been well for more than {minutes(self.suspect_for)} minutes"
            )
        return f"{text} since"

    def _others(self, read: Reader, target: Target) -> str:
        """What calls the function by another name is not helped: most of what fails must name the alias."""
        queries = (function_metric(target.arn, "Errors", "Sum", failing.MINUTES), self.watch(target)[2])
        every, ours = states.sums(read, *(query for query in queries if isinstance(query, MetricQuery)))
        if ours * 2 < every:
            mappings = read.pages(
                "lambda",
                "ListEventSourceMappings",
                "EventSourceMappings",
                limit=_MAPPINGS,
                FunctionName=target.arn.name,
            )
            bare = sorted(
                str(each.get("EventSourceArn")).rpartition(":")[2]
                for each in mappings
                if str(each.get("FunctionArn")).endswith(f":function:{target.arn.name}")
            )
            says = (f"event sources that call it without an alias: {', '.join(bare)}",) if bare else ()
            raise _NotToBlameError(
                f"{every - ours:.0f} of {every:.0f} calls that failed do not name {target.alias}, and would still fail",
                *says,
            )
        return f"{ours:.0f} of {every:.0f} calls that failed name {target.alias}"

    def _kinds(self, read: Reader, target: Target, move: Move) -> str:
        """Of what kind the errors are, by the log of that version's own streams."""
        group = (states.function(read, target.arn).get("LoggingConfig") or {}).get("LogGroup")
        if group not in {None, f"/aws/lambda/{target.arn.name}"}:
            raise _NotToBlameError("its log is in a group of its own, so of what kind the errors are is not known")
        try:
            kinds = _counted(read, target.arn, move)
        except (Denied, Missing) as error:
            raise _NotToBlameError(f"of what kind the errors are could not be read: {error}") from error
        every, code, elsewhere = kinds.total(), kinds["code"], kinds["elsewhere"]
        said = f"{code} of {every} errors in its log are of its own code"
        if elsewhere > (1 - _MOST) * every:
            raise _NotToBlameError(f"{elsewhere} of {every} errors in its log are of what it calls, or may not call")
        if every < self.least_errors or code < _MOST * every:
            raise _NotToBlameError(f"only {said} as far as it can be told (an import, a handler, a timeout, memory)")
        return f"{said}: an import, a handler, a timeout or memory"

    # -- the plan --------------------------------------------------------------------------------------------------

    def plan(self, diagnosis: Diagnosis) -> Plan:
        facts = diagnosis.facts
        arn, alias, now, to = Arn.parse(facts["function"]), str(facts["alias"]), str(facts["from"]), str(facts["to"])
        call = Call(
            "lambda",
            "UpdateAlias",
            str(arn),
            params={"FunctionName": arn.name, "Name": alias, "FunctionVersion": to, "RevisionId": facts["revision"]},
            before={"FunctionVersion": now, "RevisionId": facts["revision"]},
            why="the version that it pointed to before, unless somebody has changed the alias since",
        )
        return Plan(
            remediation=self.name,
            target=str(arn),
            summary=f"point {alias} of {arn.name} back from version {now} to {to}",
            steps=(Step("point-back", (call,), settle=_PROVES, why="calls go to the version before"),),
            risk="data that the version has changed stays changed; provisioned concurrency of the alias, if it has "
            "any, is started anew for the version before, which takes minutes",
            undo_by_hand=f"to point it forward again: {_command(arn.name, alias, now)}",
        )

    def effect(self, call: Call, answer: Mapping[str, Any]) -> Mapping[str, Json]:
        return {name: str(answer[name]) for name in ("FunctionVersion", "RevisionId") if answer.get(name)}

    def reconcile(self, read: Reader, call: Call, since: datetime) -> Outcome:
        """Lambda takes no token; but every change of an alias gives it another revision."""
        query = aliases.where(Arn.parse(call.resource), str(call.params["Name"]))
        found = read.seen(query).resource(query)
        if not isinstance(found, Mapping):
            return Outcome.UNKNOWN
        if found.get("RevisionId") == call.before["RevisionId"]:
            return Outcome.NOT_DONE if read.now() >= since + _LANDS else Outcome.UNKNOWN
        return Outcome.DONE if found.get("FunctionVersion") == call.params["FunctionVersion"] else Outcome.UNKNOWN

    # -- how it goes -----------------------------------------------------------------------------------------------

    def progress(
        self, read: Reader, plan: Plan, step: Step, scratch: Mapping[str, Any]
    ) -> tuple[Progress, str, Ledger | None]:
        params = step.calls[0].params
        query = aliases.where(Arn.parse(plan.target), str(params["Name"]))
        found = read.seen(query).resource(query)
        if not isinstance(found, Mapping):
            return Progress.WAIT, "where the alias points cannot be read", None
        if found.get("FunctionVersion") != params["FunctionVersion"] or found.get("Weights"):
            return Progress.STOP, f"somebody has moved {params['Name']} since", None
        return Progress.NEXT, f"{params['Name']} points to version {params['FunctionVersion']}", None

    def verify(self, target: Target, before: Finding, after: Readings) -> Observation:
        """Cured is less than not sick: hardly a call fails in ten minutes, and there were enough to tell."""
        found = self._figures(target, after)
        if isinstance(found, Healthy | Unknown):
            return found
        version, lately = found
        if lately.calls < self.calls:
            return Unknown(f"{_calls(target, version, lately)} are too few to tell")
        if lately.percent >= _WELL:
            return self._sick(target, version, lately)
        return Healthy(f"{lately.errors:.0f} of {_calls(target, version, lately)} failed")


class _NotToBlameError(Exception):
    """Why an alias is not pointed back: people are told, with more evidence perhaps."""

    def __init__(self, why: str, *evidence: str) -> None:
        self.evidence = evidence
        super().__init__(why)


def _alias(target: Target) -> ResourceRead:
    return aliases.where(target.arn, str(target.alias))


def _calls(target: Target, version: str, lately: failing.Failing) -> str:
    return f"{lately.calls:.0f} calls as {target.alias} (version {version}) in {failing.MINUTES} minutes"


# -- what is compared --------------------------------------------------------------------------------------------------


def _differ(read: Reader, target: Target, move: Move) -> str:
    """
    By which settings two versions differ, by name: an environment holds secrets. Raises _NotToBlameError.

    Source: https://docs.aws.amazon.com/lambda/latest/api/API_ListVersionsByFunction.html
    """
    name = target.arn.name
    listed = read.pages("lambda", "ListVersionsByFunction", "Versions", limit=_VERSIONS, FunctionName=name)
    found = {str(each.get("Version")): each for each in listed}
    old, new = found.get(move.before), found.get(move.version)
    if not move.before.isdecimal() or not move.version.isdecimal():
        raise _NotToBlameError("one of the two is $LATEST, which is no version: it changes with every deployment")
    if old is None or new is None:
        raise _NotToBlameError(f"version {move.before if old is None else move.version} is not there any more")
    differs = sorted(key for key in {*old, *new} - _OF_ITSELF if old.get(key) != new.get(key))
    if not differs:
        raise _NotToBlameError(f"versions {move.before} and {move.version} are equal: going back would change nothing")
    return ", ".join("code" if each == "CodeSha256" else each for each in differs)


def _counted(read: Reader, arn: Arn, move: Move) -> Counter[str]:
    """
    Errors of ten minutes in the log of one version, by kind: "code", "elsewhere", "unclear".

    A stream's name begins with the day on which it was begun (UTC) and the version in brackets.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html,
    https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
    """
    now, kinds = read.now(), Counter[str]()
    start = max(move.left, now - timedelta(minutes=failing.MINUTES))
    for day in sorted({f"{move.left:%Y/%m/%d}", f"{now:%Y/%m/%d}"}):
        token: dict[str, str] = {}
        for _ in range(_PAGES):
            answer = read(
                "logs",
                "FilterLogEvents",
                logGroupName=f"/aws/lambda/{arn.name}",
                logStreamNamePrefix=f"{day}/[{move.version}]",
                startTime=round(start.timestamp() * 1000),
                filterPattern=_PATTERN,
                limit=_LINES,
                **token,
            )
            kinds.update(_kind(str(each.get("message"))) for each in answer.get("events", ()))
            if kinds.total() >= _LINES or not answer.get("nextToken"):
                break
            token = {"nextToken": str(answer["nextToken"])}
    return kinds


def _kind(line: str) -> str:
    if _ELSEWHERE.search(line):
        return "elsewhere"
    return "code" if _CODE.search(line) else "unclear"


# -- what people may do ------------------------------------------------------------------------------------------------


def _command(name: str, alias: str, version: str, revision: object = None) -> str:
    only = f" --revision-id {shlex.quote(str(revision))}" if revision else ""
    return (
        f"aws lambda update-alias --function-name {shlex.quote(name)} --name {shlex.quote(alias)} "
        f"--function-version {shlex.quote(version)}{only}"
    )


def _by_hand(target: Target, alias: Mapping[str, Any], move: Move) -> tuple[str, ...]:
    """What to do where it was moved lately, and that is not known to be why."""
    command = _command(target.arn.name, str(target.alias), move.before, alias.get("RevisionId"))
    return (
        f"if it began when {target.alias} was pointed to version {move.version}, point it back: {command} (a write)",
        _log(target),
    )


def _log(target: Target) -> str:
    group = shlex.quote(f"/aws/lambda/{target.arn.name}")
    return f"read what it says: aws logs tail {group} --since 30m (read only)"
