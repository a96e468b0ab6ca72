"""
Lives: short stories without faults that together take every remediation through every way it can go.

Each ends as its line says where nothing crashes; :mod:`.exhaustive` then lets it crash at every call. They are as short
as the settings allow: letters lie in the dead-letter queue from the beginning, and the story is over with its incidents.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from nightshift.model import Verdict

from sandbox.simulation.story import Scene, Story
from sandbox.systems.queue_service import WORK

__all__ = ["LIVES", "Life"]

_FIXED, _RECOVERED, _REFUSED = Verdict.FIXED, Verdict.RECOVERED, Verdict.REFUSED
_ESCALATED, _REVERTED, _UNVERIFIABLE = Verdict.ESCALATED, Verdict.REVERTED, Verdict.UNVERIFIABLE


@dataclass(frozen=True, slots=True)
class Life:
    """A story with the verdicts of its incidents, and calls that it must make: else it would be another life."""

    name: str
    story: Story
    ends: tuple[Verdict, ...]
    does: tuple[str, ...] = ()
    never: tuple[str, ...] = ()

    @property
    def remediation(self) -> str:
        """Whose life it is."""
        if self.story.loans:
            return _SLOW
        found = [_BY_SCENE[scene.what] for scene in self.story.scenes if scene.what in _BY_SCENE]
        if found:
            return found[0]
        return _STALLED if self.story.scenes[0].what in {"wedge", "hang"} else _DLQ


# -- the lives ---------------------------------------------------------------------------------------------------------

_DLQ, _STALLED, _SLOW, _SHORT = "sqs-dlq-backlog", "ecs-service-stalled", "queue-slow", "ecs-capacity-short"
_RELEASE, _UNHEALTHY = "ecs-deployment-bad", "ecs-targets-unhealthy"
_WORK = "ecs-maintenance"
_BACKED_UP = "backup-on-demand"
_LATENCY, _ERRORS, _TRAFFIC = "ecs-latency-high", "ecs-errors-high", "alb-traffic-missing"
_STUCK, _BROKEN = "s3-trigger-stuck", "event-source-broken"
_FILES = "pipeline-backlog"
_TUNE = "visibility-timeout-short"
_EXECUTIONS = "execution-failed"
_LOST = "archive-object-lost"
_DUE = "archive-backup-due"
_DISABLED, _HOURS_MISSING = "schedule-disabled", "hours-missing"
_EVENTS = "lambda-dlq-backlog"
_GRAPHS = "appsync-slow"
_TABLES = "dynamodb-throttled"
_SCALING = "dynamodb-autoscaling-missing"
_ROLLBACK = "stack-rollback-failed"
_THROTTLED = "lambda-throttled"
_ALIASES = "lambda-alias-bad"
_COLD = "lambda-cold-starts"
_SATURATED, _SEARCH, _BACKUPS = "aurora-saturated", "opensearch-unhealthy", "database-backup-stale"
_UPLOADS, _SUSPICIOUS = "uploads-failing", "table-suspicious"
_BY_SCENE = {
    "busy": _SHORT,
    "maintenance": _WORK,
    "backup": _BACKED_UP,
    "bad release": _RELEASE,
    "bad tasks": _UNHEALTHY,
    "leak": _LATENCY,
    "errors": _ERRORS,
    "no way in": _TRAFFIC,
    "work slows": _TUNE,
    "letters forgotten": _TUNE,
    "failed events": _EVENTS,
    "calls come in": _THROTTLED,
    "version bad": _ALIASES,
    "starts cold": _COLD,
    "trigger stays": _STUCK,
    "trigger lost": _STUCK,
    "trigger forgotten": _STUCK,
    "queue untold": _BROKEN,
    "files lost": _FILES,
    "files forgotten": _FILES,
    "executions fail": _EXECUTIONS,
    "archived": _DUE,
    "object deleted": _LOST,
    "object broken": _LOST,
    "object only saved": _LOST,
    "rule disabled": _DISABLED,
    "hours lost": _HOURS_MISSING,
    "api busy": _GRAPHS,
    "table busy": _TABLES,
    "table lacked": _SCALING,
    "rollback fails": _ROLLBACK,
    "database busy": _SATURATED,
    "search red": _SEARCH,
    "uploads barred": _UPLOADS,
    "table opened": _SUSPICIOUS,
    "backups shortened": _BACKUPS,
}
"""which scene begins whose life, where the first does not say it"""
_MOVES, _CANCELS, _SENDS = "sqs.StartMessageMoveTask", "sqs.CancelMessageMoveTask", "sqs.SendMessage"
_STORES, _RESTARTS, _LENDS = "s3.PutObject", "ecs.UpdateService", "sqs.SetQueueAttributes"
_DELETES, _RAISES = "s3.DeleteObject", _LENDS
_REDRIVES, _STARTS = "stepfunctions.RedriveExecution", "stepfunctions.StartExecution"
_COPIES = "s3.CopyObject"
_ENABLES, _ASKS_FOR = "events.EnableRule", "lambda.Invoke"
_UPDATES = "dynamodb.UpdateTable"
_FOLLOWS, _ENDS = "application-autoscaling.PutScalingPolicy", "application-autoscaling.DeregisterScalableTarget"
_INVOKES, _RESERVES = "lambda.Invoke", "lambda.PutFunctionConcurrency"
_KEEPS, _LETS_GO = "lambda.PutProvisionedConcurrencyConfig", "lambda.DeleteProvisionedConcurrencyConfig"
_CACHES, _DROPS = "appsync.CreateApiCache", "appsync.DeleteApiCache"
_POINTS = "lambda.UpdateAlias"
_CONTINUES = "cloudformation.ContinueUpdateRollback"
_RANGES = "rds.ModifyDBCluster"
_SNAPSHOTS = "rds.CreateDBClusterSnapshot"
_SCALES, _LIMITS = "ecs.UpdateService", "application-autoscaling.RegisterScalableTarget"
_HOURS = 3 * 3600
"""longer than any life: what is wrong is healed when its incidents have ended"""
_SOON: Mapping[str, str | int] = {"patience": "PT1M", "confirm": 1, "looks": 1, "cooldown": "PT1M"}
_FAST: Mapping[str, Mapping[str, str | int]] = {
    "limits": {"per_target_per_day": 10, "per_account_per_hour": 50, "approval_expiry": "PT4M"},
    "storm": {"targets": 40, "floor": 40},
    _DLQ: {**_SOON, "healthy_for": "PT5M", "canary_patience": "PT5M", "rate": 1, "batch": 10, "sample": 10},
    _STALLED: {**_SOON, "stalled_for": "PT5M", "rollout": "PT5M"},
    _SLOW: {**_SOON, "lease": "PT3M", "max_attempts": 1},
}
_OWN: Mapping[str, Mapping[str, str | int | float]] = {
    _RELEASE: {**_SOON, "patience": "PT8M", "stalled_for": "PT5M", "failed_tasks": 2, "max_attempts": 1},
    _WORK: {**_SOON, "patience": "PT5M"},
    _UNHEALTHY: {
        **_SOON,
        "patience": "PT6M",
        "unhealthy_for": "PT2M",
        "stuck_for": "PT3M",
        "well_for": "PT2M",
        "rollout": "PT5M",
    },
    _LATENCY: {**_SOON, "patience": "PT15M", "history": "PT20M", "suspect": "PT0M", "rollout": "PT5M"},
    _STUCK: {
        **_SOON,
        "stuck_for": "PT5M",
        "reprocess": "PT5M",
        "customer_field": "customerCode",
        "timestamp_field": "timestamp",
        "idempotent": True,
    },
    _FILES: {**_SOON, "healthy_for": "PT5M", "reprocess": "PT5M", "canary": 1, "batch": 2},
    _EXECUTIONS: {**_SOON, "patience": "PT16M", "any_failed": True, "calm": "PT2M", "alone": "PT2M", "sample": 5},
    _SHORT: {
        **_SOON,
        "patience": "PT8M",
        "history": "PT20M",
        "lease": "PT12M",
        "max_attempts": 1,
        "task_dollars_per_hour": 0.05,
    },
    _LOST: dict(_SOON),
    _DUE: {**_SOON, "batch": 2, "every": "PT1H"},
    _DISABLED: {**_SOON},
    _HOURS_MISSING: {**_SOON},
    _GRAPHS: {**_SOON, "patience": "PT22M", "lease": "PT30M", "cache_dollars_per_hour": 1},
    _ROLLBACK: {**_SOON},
    _ERRORS: {**_SOON, "history": "PT20M", "suspect": "PT0M"},
    _TRAFFIC: _SOON,
    _BROKEN: _SOON,
    _TUNE: {**_SOON, "patience": "PT20M", "least": 8, "processing_metric": WORK},
    _THROTTLED: {**_SOON, "patience": "PT12M", "lease": "PT20M"},
    _ALIASES: {**_SOON, "patience": "PT8M", "max_attempts": 1, "proven_after": "PT5M"},
    _COLD: {**_SOON, "patience": "PT12M", "lease": "PT20M", "gib_dollars_per_hour": 0.02},
    _SATURATED: {
        **_SOON,
        "patience": "PT12M",
        "saturated_for": 5,
        "lease": "PT20M",
        "calm": "PT10M",
        "max_attempts": 1,
        "acu_dollars_per_hour": 0.1,
    },
    _SEARCH: _SOON,
    _UPLOADS: _SOON,
    _SUSPICIOUS: _SOON,
    _BACKUPS: _SOON,
    _BACKED_UP: {"patience": "PT12M"},
    _EVENTS: {**_SOON, "healthy_for": "PT5M", "canary_patience": "PT5M", "batch": 10, "sample": 10},
    _SCALING: {**_SOON, "read_dollars_per_hour": 0.0001, "write_dollars_per_hour": 0.001},
    _TABLES: {
        **_SOON,
        "patience": "PT16M",
        "lease": "PT20M",
        "max_attempts": 1,
        "read_dollars_per_hour": 0.0001,
        "write_dollars_per_hour": 0.001,
    },
}
"""of those that look at one thing alone"""
_LOADED = {**_SOON, "patience": "PT8M", "history": "PT20M", "lease": "PT12M", "max_attempts": 1}
"""of capacity: where that is looked at, and nothing else of a service"""


def _told(name: str, scenes: Iterable[Scene], settings: Mapping[str, str | int], story: Mapping[str, Any]) -> Story:
    """A story of one remediation with these settings: as short as they allow."""
    own = {**_FAST, **_OWN}.get(name, _LOADED)
    alone = name in {_SHORT, *_OWN}
    others = {each: rows for each, rows in _FAST.items() if not alone or each != _STALLED}
    if name == _TUNE:  # what is looked at of a queue alone
        others = {each: rows for each, rows in others.items() if each in {"limits", "storm"}}
    tables = {**others, name: {"deadline": "PT40M", **own, **settings}, **story.get("tables", {})}
    lines = {
        table if table in {"limits", "storm"} else f"remediations.{table}": "\n".join(
            f"{key} = {json.dumps(value)}" for key, value in rows.items()
        )
        for table, rows in tables.items()
    }
    systems = {"documents": 0, "loans": 1} if name == _SLOW else {"documents": 1, "loans": 0}
    more = {**systems, **{key: value for key, value in story.items() if key != "tables"}}
    blank = Story(seed=7, settings=lines, scenes=tuple(scenes), warm_up=0, trouble=_HOURS, brief=True)
    return replace(blank, **more)


def _at(minutes: float, what: str, *numbers: int, which: int = 0) -> Scene:
    return Scene(round(minutes * 60), what, which, numbers)


def _letters(
    *scenes: Scene,
    of: tuple[int, int, int, int] = (4, 0, 0, 0),
    has: Mapping[str, str | int] | None = None,
    **more: Any,
) -> Story:
    return _told(_DLQ, (_at(0.1, "letters", *of), *scenes), has or {}, more)


def _stalled(*scenes: Scene, what: str = "wedge", has: Mapping[str, str | int] | None = None, **more: Any) -> Story:
    return _told(_STALLED, (_at(0.1, what, 0, 3), *scenes), has or {}, more)


def _slow(
    *scenes: Scene, what: str = "slow", heals: int = _HOURS, has: Mapping[str, str | int] | None = None, **more: Any
) -> Story:
    return _told(_SLOW, (_at(0.1, what, heals), *scenes), has or {}, more)


def _short(*scenes: Scene, has: Mapping[str, str | int] | None = None, **more: Any) -> Story:
    return _told(_SHORT, (_at(0.1, "busy", 30 * 60, 112), *scenes), has or {}, more)


def _work(*scenes: Scene, lasts: int = 12, ends: int = 0, **more: Any) -> Story:
    return _told(_WORK, (_at(0.1, "maintenance", lasts, ends), *scenes), {}, {"answer": "yes", **more})


def _backup(*scenes: Scene, **more: Any) -> Story:
    return _told(
        _BACKED_UP, (_at(0.1, "backup"), *scenes), {}, {"documents": 0, "databases": 1, "answer": "yes", **more}
    )


def _released(*, crashes: int = 0, free: int = 1, **more: Any) -> Story:
    return _told(_RELEASE, (_at(6.1, "bad release", crashes, free),), {}, more)


def _bad(count: int, *, for_good: int = 0, **more: Any) -> Story:
    return _told(_UNHEALTHY, (_at(4.1, "bad tasks", count, for_good),), {}, {"documents": 0, "apis": 1, **more})


def _leaks(*, later: int = 0, **more: Any) -> Story:
    return _told(_LATENCY, (_at(0.1, "leak", 90, later),), {}, {"documents": 0, "apis": 1, **more})


def _fails(**more: Any) -> Story:
    return _told(_ERRORS, (_at(0.1, "errors", 50),), {}, {"documents": 0, "apis": 1, **more})


def _quiet(**more: Any) -> Story:
    return _told(_TRAFFIC, (_at(2.1, "no way in"),), {}, {"documents": 0, "apis": 1, **more})


def _tuned(*scenes: Scene, what: str = "work slows", free: int = 1, **more: Any) -> Story:
    return _told(_TUNE, (_at(0.1, what, free), *scenes), more.pop("has", {}), more)


def _triggers(*scenes: Scene, what: str, has: Mapping[str, str | int] | None = None, **more: Any) -> Story:
    return _told(_STUCK, (_at(0.1, what), *scenes), has or {}, {"documents": 0, "triggers": 1, **more})


def _wires(*scenes: Scene, **more: Any) -> Story:
    """Of a bucket of triggers, whose triggers are looked at too."""
    tables = {_STUCK: _OWN[_STUCK]}
    return _told(
        _BROKEN, (_at(1.1, "queue untold"), *scenes), {}, {"documents": 0, "triggers": 1, "tables": tables, **more}
    )


def _files(
    count: int, *scenes: Scene, what: str = "files lost", has: Mapping[str, str | int] | None = None, **more: Any
) -> Story:
    return _told(_FILES, (_at(0.1, what, count), *scenes), has or {}, {"documents": 0, "pipelines": 1, **more})


def _executions(
    *scenes: Scene, of: tuple[int, int, int] = (3, 0, 90), has: Mapping[str, Any] | None = None, **more: Any
) -> Story:
    return _told(
        _EXECUTIONS, (_at(0.1, "executions fail", *of), *scenes), has or {}, {"documents": 0, "machines": 1, **more}
    )


def _objects(
    many: int = 1, *, free: int = 1, again: int = 0, has: Mapping[str, str | int] | None = None, **more: Any
) -> Story:
    return _told(_LOST, (_at(0.1, "object deleted", many, free, again),), has or {}, {**_ARCHIVE, **more})


def _saved(*, there: int) -> Story:
    """Of an object that was written over when it was in a backup, or was not."""
    return _told(_LOST, (_at(0.1, "object only saved", there),), {}, _ARCHIVE)


def _due(*scenes: Scene, of: int = 3, has: Mapping[str, str | int] | None = None, **more: Any) -> Story:
    return _told(_DUE, (_at(0.1, "archived", of, 0), *scenes), has or {}, {**_ARCHIVE, **more})


_ARCHIVE: Mapping[str, int] = {"documents": 0, "triggers": 1}


def _scheduled(**more: Any) -> Story:
    return _told(_DISABLED, (_at(0.1, "rule disabled"),), {}, {"documents": 0, "schedules": 1, **more})


def _hours(count: int, *, never: int = 0, **more: Any) -> Story:
    scenes = (_at(0.1, "hours lost", count, never),)
    return _told(_HOURS_MISSING, scenes, {}, {"documents": 0, "schedules": 1, **more})


def _graph(*scenes: Scene, of: tuple[int, int, int] = (90, 0, 0), **more: Any) -> Story:
    """Of an API that is asked too much: what is asked again, whether AWS cannot make a cache, its table's throttling."""
    return _told(_GRAPHS, (_at(0.1, "api busy", *of), *scenes), {}, {"documents": 0, "graphs": 1, **more})


def _unrolled(*scenes: Scene, mended: int = 1, role: int = 1, **more: Any) -> Story:
    begins = _at(0.1, "rollback fails", mended, role)
    return _told(_ROLLBACK, (begins, *scenes), {}, {"documents": 0, "stacks": 1, **more})


def _database(*scenes: Scene, tenths: int = 28, seconds: int = 20 * 60, **more: Any) -> Story:
    begins = _at(0.1, "database busy", tenths, seconds)
    return _told(_SATURATED, (begins, *scenes), more.pop("has", {}), {"documents": 0, "databases": 1, **more})


def _unsaved(**more: Any) -> Story:
    return _told(_BACKUPS, (_at(2.1, "backups shortened", 1),), {}, {"documents": 0, "databases": 1, **more})


def _red(**more: Any) -> Story:
    return _told(_SEARCH, (_at(2.1, "search red", 2),), {}, {"documents": 0, "searches": 1, **more})


def _barred(**more: Any) -> Story:
    return _told(_UPLOADS, (_at(2.1, "uploads barred"),), {}, {"documents": 0, "uploads": 1, **more})


def _tampered(**more: Any) -> Story:
    return _told(_SUSPICIOUS, (_at(2.1, "table opened"),), {}, {"documents": 0, "guarded": 1, **more})


def _failed(
    *scenes: Scene,
    of: tuple[int, int, int, int] = (4, 0, 0, 0),
    which: int = 0,
    has: Mapping[str, str | int] | None = None,
    **more: Any,
) -> Story:
    begins = _at(0.1, "failed events", *of, which=which)
    return _told(_EVENTS, (begins, *scenes), has or {}, {"documents": 0, "functions": 1 + which, **more})


def _table(*scenes: Scene, has: Mapping[str, str | int] | None = None, **more: Any) -> Story:
    return _told(
        _TABLES, (_at(0.1, "table busy", 30 * 60, 35), *scenes), has or {}, {"documents": 0, "stores": 1, **more}
    )


def _unscaled(*scenes: Scene, answer: str = "yes", **more: Any) -> Story:
    begin = (_at(0.1, "table lacked"), *scenes)
    return _told(_SCALING, begin, {}, {"documents": 0, "stores": 1, "answer": answer, **more})


def _turned_away(*scenes: Scene, asks: int = 390, lambdas: int = 1, **more: Any) -> Story:
    begin = (_at(2.1, "calls come in", asks, which=which) for which in range(lambdas))
    return _told(_THROTTLED, (*begin, *scenes), {}, {"documents": 0, "lambdas": lambdas, **more})


def _pointed(*scenes: Scene, denied: int = 0, free: int = 1, **more: Any) -> Story:
    """Of an alias that sweeps have seen for a while before it is pointed to a bad version."""
    begin = _at(12.1, "version bad", denied, free)
    return _told(_ALIASES, (begin, *scenes), {}, {"documents": 0, "aliased": 1, **more})


def _ready(*scenes: Scene, of: tuple[int, int, int] = (30, 0, 10), **more: Any) -> Story:
    return _told(_COLD, (_at(0.1, "starts cold", *of), *scenes), {}, {"documents": 0, "ready": 1, **more})


def _denied(*operations: str, since: float, until: float) -> tuple[tuple[str, int, int], ...]:
    return tuple((operation, round(since * 60), round(until * 60)) for operation in operations)


_SEES = ("cloudwatch.GetMetricData", "sqs.GetQueueAttributes")

# fmt: off
LIVES: tuple[Life, ...] = (
    # letters
    Life("letters, one by one", _letters(), (_FIXED,), (_SENDS,), (_MOVES, _STORES)),
    Life("letters in two batches", _letters(_at(0.05, "redrive by hand"), of=(12, 0, 0, 0), has={"canary": 1}), (_FIXED,), (_SENDS,), (_MOVES,)),
    Life("letters, with a full move", _letters(of=(14, 0, 0, 0)), (_FIXED,), (_SENDS, _MOVES), (_CANCELS,)),
    Life("letters, some of them bad", _letters(of=(2, 2, 0, 0)), (_FIXED,), (_SENDS, _STORES)),
    Life("letters, all of them bad", _letters(of=(0, 2, 0, 0)), (_FIXED,), (_STORES,), (_SENDS,)),
    Life("letters come back, second attempt", _letters(of=(0, 0, 1, 0)), (_FIXED,), (_SENDS, _STORES)),
    Life("letters come back, no attempt left", _letters(_at(5.9, "outage", 240, 0, 0), of=(2, 0, 0, 0), has={"max_attempts": 1}), (_ESCALATED,), (_SENDS,)),
    Life("move paused half-way", _letters(_at(8.6, "pause", _HOURS), of=(100, 0, 0, 0), has={"deadline": "PT9M"}), (_ESCALATED,), (_MOVES, _CANCELS)),
    Life("move halted half-way", _letters(_at(8.6, "halt", _HOURS), of=(100, 0, 0, 0), has={"deadline": "PT9M"}), (_ESCALATED,), (_MOVES,), (_CANCELS,)),
    Life("move fails, then one by one", _letters(of=(0, 0, 0, 11), has={"canary": 1}), (_FIXED,), (_MOVES, _SENDS)),
    Life("letters redriven by hand", _letters(_at(3.5, "redrive by hand"), has={"looks": 3}), (_RECOVERED,), (), (_SENDS, _MOVES)),
    Life("letters, consumer mid-deployment", _letters(_at(2.5, "deployment")), (_FIXED,), (_SENDS,)),
    Life("letters, held until the deadline", _letters(_at(0.1, "stack update", _HOURS), has={"deadline": "PT8M"}), (_REFUSED,), (), (_SENDS,)),
    Life("letters, protected", _letters(_at(0.1, "protect", _HOURS)), (_REFUSED,), (), (_SENDS,)),
    Life("letters, only watched", _letters(mode="observe"), (_REFUSED,), (), (_SENDS,)),
    Life("letters, events overlap", _letters(_at(4, "true alarm"), _at(5, "doubled work"), _at(6, "true alarm"), of=(1, 0, 0, 0)), (_FIXED,), (_SENDS,)),
    Life("letters, approved", _letters(mode="approve", answer="yes"), (_FIXED,), (_SENDS,)),
    Life("letters with an order, approved", _letters(ordered=True, answer="yes"), (_FIXED,), (_MOVES,), (_SENDS, _STORES)),
    Life("letters with an order, denied", _letters(ordered=True, answer="no"), (_REFUSED,), (), (_MOVES, _SENDS)),
    Life("letters with an order, that come back", _letters(of=(2, 0, 6, 0), ordered=True, answer="yes"), (_ESCALATED,), (_MOVES,), (_SENDS, _STORES)),
    # events of a function
    Life("events, one by one", _failed(), (_FIXED,), (_INVOKES,), (_STORES,)),
    Life("events in two batches", _failed(of=(12, 0, 0, 0), has={"canary": 1}), (_FIXED,), (_INVOKES,), (_STORES,)),
    Life("events, some of them bad", _failed(of=(2, 2, 0, 0)), (_FIXED,), (_INVOKES, _STORES)),
    Life("events, all of them bad", _failed(of=(0, 2, 0, 0)), (_FIXED,), (_STORES,), (_INVOKES,)),
    Life("events come back, second attempt", _failed(of=(0, 0, 1, 0)), (_FIXED,), (_INVOKES, _STORES)),
    Life("events come back, no attempt left", _failed(of=(0, 0, 2, 0), has={"max_attempts": 1}), (_ESCALATED,), (_INVOKES,)),
    Life("events that are lost", _failed(of=(0, 0, 4, 1)), (_ESCALATED,), (_INVOKES,), (_STORES,)),
    Life("events of a destination", _failed(of=(3, 0, 1, 0), which=1), (_FIXED,), (_INVOKES, _STORES)),
    Life("events, approved", _failed(mode="approve", answer="yes"), (_FIXED,), (_INVOKES,)),
    Life("events, only watched", _failed(mode="observe"), (_REFUSED,), (), (_INVOKES,)),
    # a service
    Life("restart that helps", _stalled(), (_FIXED,), (_RESTARTS,)),
    Life("restart that does not help", _stalled(what="hang"), (_ESCALATED,), (_RESTARTS,)),
    Life("two restarts that do not help", _stalled(what="hang", has={"max_attempts": 2}), (_ESCALATED,), (_RESTARTS,)),
    Life("restarted by hand", _stalled(_at(5.1, "restart by hand"), has={"confirm": 6}), (_RECOVERED,), (), (_RESTARTS,)),
    Life("service mid-deployment", _stalled(_at(4.5, "deployment")), (_RECOVERED,), (), (_RESTARTS,)),
    # capacity
    Life("tasks that help", _short(), (_FIXED,), (_SCALES,), (_LIMITS,)),
    Life("tasks that do not help", _short(has={"cured": 20}), (_REVERTED,), (_SCALES,), (_LIMITS,)),
    Life("tasks, and somebody scales", _short(_at(33, "scale by hand", 5)), (_FIXED, _ESCALATED), (_SCALES,), (_LIMITS,)),
    Life("tasks, only watched", _short(mode="observe"), (_REFUSED,), (), (_SCALES, _LIMITS)),
    Life("tasks, and money for one of two", _short(_at(0.1, "busy", 30 * 60, 112, which=1), documents=2, tables={"limits": {**_FAST["limits"], "dollars_per_day": 0.015}}), (_FIXED, _RECOVERED), (_SCALES,), (_LIMITS,)),
    Life("higher maximum that helps", _short(_at(0.05, "autoscaled")), (_FIXED,), (_LIMITS,), (_SCALES,)),
    Life("higher maximum that does not help", _short(_at(0.05, "autoscaled"), has={"cured": 20}), (_REVERTED,), (_LIMITS,), (_SCALES,)),
    # a table's capacity
    Life("capacity that helps", _table(), (_FIXED,), (_UPDATES,), (_LIMITS,)),
    Life("capacity that does not help", _table(_at(10, "table key", 0)), (_REVERTED,), (_UPDATES,), (_LIMITS,)),
    Life("capacity, and somebody sets it", _table(_at(24, "set capacity", 60)), (_FIXED, _ESCALATED), (_UPDATES,), (_LIMITS,)),
    Life("capacity that does not go back yet", _table(_at(24, "table lowered", 50)), (_FIXED, _ESCALATED), (_UPDATES,), (_LIMITS,)),
    Life("capacity, approved", _table(mode="approve", answer="yes"), (_FIXED,), (_UPDATES,), (_LIMITS,)),
    Life("capacity, only watched", _table(mode="observe"), (_REFUSED,), (), (_UPDATES, _LIMITS)),
    Life("capacity that a hot key cannot use", _table(_at(0.05, "table key", 1)), (_ESCALATED,), (), (_UPDATES, _LIMITS)),
    Life("higher maximum of a table", _table(_at(0.05, "table scaled")), (_FIXED,), (_LIMITS,), (_UPDATES,)),
    # a table that is to be scaled
    Life("autoscaling of a table", _unscaled(), (_FIXED,), (_LIMITS, _FOLLOWS), (_UPDATES, _ENDS)),
    Life("autoscaling of a table, denied", _unscaled(answer="no"), (_REFUSED,), (), (_LIMITS, _FOLLOWS, _UPDATES)),
    Life("autoscaling of a table, only watched", _unscaled(mode="observe"), (_REFUSED,), (), (_LIMITS, _FOLLOWS)),
    # concurrency
    Life("concurrency that helps", _turned_away(), (_FIXED,), (_RESERVES,)),
    Life("concurrency that does not help", _turned_away(asks=1200), (_REVERTED,), (_RESERVES,)),
    Life("concurrency, and somebody reserves", _turned_away(_at(20, "reserve by hand", 30)), (_FIXED, _ESCALATED), (_RESERVES,)),
    Life("concurrency, and somebody stops it", _turned_away(_at(20, "reserve by hand", 0)), (_FIXED, _ESCALATED), (_RESERVES,)),
    Life("concurrency, approved", _turned_away(mode="approve", answer="yes"), (_FIXED,), (_RESERVES,)),
    Life("concurrency, only watched", _turned_away(mode="observe"), (_REFUSED,), (), (_RESERVES,)),
    Life("concurrency, and none to spare", _turned_away(_at(0.1, "account is small", 160)), (_ESCALATED,), (), (_RESERVES,)),
    Life("concurrency, enough for one of two", _turned_away(_at(0.1, "account is small", 175), lambdas=2), (_ESCALATED, _FIXED), (_RESERVES,)),
    # aliases
    Life("alias that is pointed back", _pointed(), (_FIXED,), (_POINTS,)),
    Life("alias that is pointed back in vain", _pointed(_at(25, "way back bad")), (_ESCALATED,), (_POINTS,)),
    Life("alias, and somebody moves it on", _pointed(_at(25, "alias moved", 1)), (_ESCALATED,), (_POINTS,)),
    Life("alias, approved", _pointed(free=0, answer="yes"), (_FIXED,), (_POINTS,)),
    Life("alias, denied", _pointed(free=0, answer="no"), (_REFUSED,), (), (_POINTS,)),
    Life("alias, of a version that is refused", _pointed(denied=1), (_ESCALATED,), (), (_POINTS,)),
    Life("alias, only watched", _pointed(mode="observe"), (_REFUSED,), (), (_POINTS,)),
    # instances that are kept ready
    Life("instances that calls find", _ready(answer="yes"), (_FIXED,), (_KEEPS, _LETS_GO)),
    Life("instances that are too few", _ready(of=(30, 0, 36), answer="yes"), (_REVERTED,), (_KEEPS, _LETS_GO)),
    Life("instances that cannot start", _ready(of=(30, 1, 10), answer="yes"), (_REVERTED,), (_KEEPS, _LETS_GO)),
    Life("instances, and somebody sets a number", _ready(_at(32, "keep by hand", 30), answer="yes"), (_FIXED, _ESCALATED), (_KEEPS,), (_LETS_GO,)),
    Life("instances, and autoscaling sets their number", _ready(_at(32, "kept by autoscaling"), answer="yes"), (_FIXED, _ESCALATED), (_KEEPS,), (_LETS_GO,)),
    Life("instances, somebody was quicker", _ready(_at(8, "keep by hand", 2), answer="yes"), (_ESCALATED,), (), (_KEEPS, _LETS_GO)),
    Life("instances, denied", _ready(answer="no"), (_REFUSED,), (), (_KEEPS,)),
    Life("instances, only watched", _ready(mode="observe"), (_REFUSED,), (), (_KEEPS,)),
    # maintenance
    Life("maintenance that is ended", _work(ends=6), (_FIXED,), (_SCALES,), (_LIMITS,)),
    Life("maintenance that nobody ends", _work(), (_ESCALATED,), (_SCALES,), (_LIMITS,)),
    Life("maintenance, with autoscaling", _work(_at(0.05, "autoscaled"), ends=6), (_FIXED,), (_LIMITS, _SCALES)),
    Life("maintenance, and somebody starts it", _work(_at(5, "scale by hand", 1)), (_FIXED, _ESCALATED), (_SCALES,), (_LIMITS,)),
    Life("maintenance, halted at its end", _work(_at(5, "halt", 1200)), (_ESCALATED, _ESCALATED), (_SCALES,), (_LIMITS,)),
    Life("maintenance, twice at once", _work(_at(0.2, "maintenance", 30, 0), ends=6), (_FIXED,), (_SCALES,), (_LIMITS,)),
    Life("maintenance that is withdrawn", _work(_at(0.05, "pause", 300), ends=2), (_REFUSED,), (), (_SCALES, _LIMITS)),
    # backups that people ask for
    Life("backup that is asked for", _backup(), (_FIXED,), (_SNAPSHOTS,)),
    Life("backup that fails", _backup(_at(3, "snapshot fails")), (_ESCALATED,), (_SNAPSHOTS,)),
    Life("backup, twice at once", _backup(_at(0.2, "backup")), (_FIXED,), (_SNAPSHOTS,)),
    Life("backup, halted meanwhile", _backup(_at(0.05, "halt", 150)), (_FIXED,), (_SNAPSHOTS,)),
    # releases
    Life("release that is rolled back", _released(), (_FIXED,), ("ecs.UpdateService",), ("ecs.StopServiceDeployment",)),
    Life("release that is stopped under way", _released(crashes=1), (_FIXED,), ("ecs.StopServiceDeployment",), ("ecs.UpdateService",)),
    Life("release, approved", _released(free=0, answer="yes"), (_FIXED,), ("ecs.UpdateService",)),
    Life("release, only watched", _released(mode="observe"), (_REFUSED,), (), ("ecs.UpdateService",)),
    # tasks behind a load balancer
    Life("bad task", _bad(1), (_FIXED,), ("ecs.StopTask",), ("ecs.UpdateService",)),
    Life("bad tasks, all of them", _bad(0), (_FIXED,), ("ecs.UpdateService",), ("ecs.StopTask",)),
    Life("bad tasks, for good", _bad(0, for_good=1), (_ESCALATED,), ("ecs.UpdateService",), ("ecs.StopTask",)),
    Life("bad task, only watched", _bad(1, mode="observe"), (_REFUSED,), (), ("ecs.StopTask",)),
    # answers behind a load balancer
    Life("leak that is restarted", _leaks(), (_FIXED,), ("ecs.UpdateService",), ("ecs.StopTask",)),
    Life("leak, and something else is slow", _leaks(later=33 * 60), (_ESCALATED,), ("ecs.UpdateService",), ("ecs.StopTask",)),
    Life("requests that fail", _fails(), (_ESCALATED,), (), ("ecs.UpdateService",)),
    Life("requests that stop coming", _quiet(), (_ESCALATED,), (), ("ecs.UpdateService",)),
    # triggers
    Life("triggers that were processed", _triggers(what="trigger stays"), (_FIXED,), (_STORES, _DELETES), (_SENDS,)),
    Life("triggers, deleted in two batches", _triggers(what="trigger stays", has={"batch": 1, "max_attempts": 2}), (_FIXED,), (_STORES, _DELETES), (_SENDS,)),
    Life("trigger that was lost", _triggers(what="trigger lost"), (_FIXED,), (_SENDS,), (_DELETES,)),
    Life("trigger that was lost, others that stay", _triggers(_at(0.05, "trigger stays"), what="trigger lost"), (_FIXED,), (_STORES, _DELETES, _SENDS)),
    Life("trigger sent again in vain", _triggers(what="trigger forgotten"), (_ESCALATED,), (_SENDS,), (_DELETES,)),
    Life("trigger without proof", _triggers(what="trigger lost", has={"idempotent": False}), (_ESCALATED,), (), (_SENDS, _DELETES)),
    Life("trigger that was lost, approved", _triggers(what="trigger lost", mode="approve", answer="yes"), (_FIXED,), (_SENDS,), (_DELETES,)),
    Life("triggers, only watched", _triggers(what="trigger stays", mode="observe"), (_REFUSED,), (), (_SENDS, _STORES, _DELETES)),
    # wires
    Life("queue that is not told", _wires(), (_ESCALATED,), (), (_SENDS, _STORES, _DELETES)),
    Life("queue that is not told, only watched", _wires(mode="observe"), (_ESCALATED,), (), (_SENDS, _STORES, _DELETES)),
    # raw files
    Life("file that was lost", _files(1), (_FIXED,), (_SENDS,)),
    Life("files that were lost, in waves", _files(4), (_FIXED,), (_SENDS,)),
    Life("files that were lost, others that were not", _files(2, _at(0.05, "files arrive", 2)), (_FIXED,), (_SENDS,)),
    Life("files told of in vain", _files(2, what="files forgotten", has={"max_attempts": 1}), (_ESCALATED,), (_SENDS,)),
    Life("files told of in vain, twice", _files(2, what="files forgotten", has={"max_attempts": 2}), (_ESCALATED,), (_SENDS,)),
    Life("file that was lost, approved", _files(1, mode="approve", answer="yes"), (_FIXED,), (_SENDS,)),
    Life("file that was lost, only watched", _files(1, mode="observe"), (_REFUSED,), (), (_SENDS,)),
    # raw files of a function that S3 calls itself
    Life("file that the function is given", _files(1, called=True), (_FIXED,), (_INVOKES,), (_SENDS,)),
    Life("files that the function is given, in waves", _files(4, called=True), (_FIXED,), (_INVOKES,), (_SENDS,)),
    Life("files given in vain", _files(2, what="files forgotten", has={"max_attempts": 1}, called=True), (_ESCALATED,), (_INVOKES,), (_SENDS,)),
    Life("file that the function is given, approved", _files(1, mode="approve", answer="yes", called=True), (_FIXED,), (_INVOKES,), (_SENDS,)),
    Life("file that the function would be given, only watched", _files(1, mode="observe", called=True), (_REFUSED,), (), (_INVOKES,)),
    # a queue's own settings
    Life("timeout that is raised", _tuned(), (_FIXED,), (_RAISES,)),
    Life("timeout, approved", _tuned(free=0, answer="yes"), (_FIXED,), (_RAISES,)),
    Life("timeout that is raised in vain", _tuned(_at(18, "work slows more", 200)), (_ESCALATED,), (_RAISES,)),
    Life("timeout that somebody raises", _tuned(_at(18, "set timeout", 300), free=0), (_RECOVERED,), (), (_RAISES,)),
    Life("timeout, only watched", _tuned(mode="observe"), (_REFUSED,), (), (_RAISES,)),
    Life("letters that would be forgotten", _tuned(what="letters forgotten"), (_FIXED,), (_RAISES,)),
    # executions
    Life("executions that are run again", _executions(), (_FIXED,), (_REDRIVES,), (_STARTS,)),
    Life("executions, run again in two batches", _executions(of=(4, 0, 90), has={"batch": 2}), (_FIXED,), (_REDRIVES,), (_STARTS,)),
    Life("executions, one of them corrupt", _executions(of=(2, 1, 90)), (_ESCALATED,), (_REDRIVES,), (_STARTS,)),
    Life("executions that fail again", _executions(of=(2, 0, _HOURS), has={"max_attempts": 1}), (_ESCALATED,), (_REDRIVES,), (_STARTS,)),
    Life("execution that fails again, not tried again", _executions(of=(1, 0, _HOURS), has={"max_attempts": 2}), (_ESCALATED,), (_REDRIVES,), (_STARTS,)),
    Life("executions, started anew", _executions(_at(1, "definition"), has={"idempotent": ["dms-processing-x0"]}), (_FIXED,), (_STARTS,), (_REDRIVES,)),
    Life("executions of an old definition", _executions(_at(1, "definition")), (_ESCALATED,), (), (_REDRIVES, _STARTS)),
    Life("executions redriven by hand", _executions(_at(3, "executions redriven by hand"), has={"confirm": 9}), (_RECOVERED,), (), (_REDRIVES,)),
    Life("executions, approved", _executions(mode="approve", answer="yes"), (_FIXED,), (_REDRIVES,), (_STARTS,)),
    Life("executions, only watched", _executions(mode="observe"), (_REFUSED,), (), (_REDRIVES, _STARTS)),
    # objects of an archive
    Life("object that was deleted", _objects(), (_FIXED,), (_COPIES,), (_DELETES, _STORES)),
    Life("two objects that were deleted", _objects(2), (_FIXED,), (_COPIES,), (_DELETES, _STORES)),
    Life("object that cannot be read", _told(_LOST, (_at(0.1, "object broken"),), {}, _ARCHIVE), (_FIXED,), (_COPIES,), (_DELETES, _STORES)),
    Life("object that is deleted again", _objects(again=1, has={"max_attempts": 2}), (_ESCALATED,), (_COPIES,)),
    Life("object that was deleted, approved", _objects(free=0, answer="yes"), (_FIXED,), (_COPIES,)),
    Life("object that was deleted, denied", _objects(free=0, answer="no"), (_REFUSED,), (), (_COPIES,)),
    Life("object that was deleted, only watched", _objects(mode="observe"), (_REFUSED,), (), (_COPIES,)),
    Life("objects, too many of them", _objects(4), (_ESCALATED,), (), (_COPIES,)),
    Life("object that only the backup has", _saved(there=1), (_FIXED,), (_COPIES,), (_DELETES, _STORES)),
    Life("object that was not backed up", _saved(there=0), (_ESCALATED,), (), (_COPIES,)),
    # backups of an archive
    Life("archive that is backed up", _due(), (_FIXED,), (_COPIES, _STORES), (_DELETES,)),
    Life("archive that is written to meanwhile", _due(_at(0.2, "archive written", 3)), (_FIXED,), (_COPIES, _STORES), (_DELETES,)),
    Life("archive that shrinks", _due(_at(30, "archived", 0, 1), _at(66, "archived", 0, 0), of=2), (_FIXED, _ESCALATED), (_COPIES, _STORES), (_DELETES,)),
    Life("archive that is empty", _due(of=0), (_ESCALATED,), (), (_COPIES, _STORES)),
    Life("archive, approved", _due(of=1, mode="approve", answer="yes"), (_FIXED,), (_COPIES, _STORES), (_DELETES,)),
    Life("archive, only watched", _due(mode="observe"), (_REFUSED,), (), (_COPIES, _STORES)),
    # schedules
    Life("rule that is enabled again", _scheduled(answer="yes"), (_FIXED,), (_ENABLES,)),
    Life("rule that stays disabled", _scheduled(answer="no"), (_REFUSED,), (), (_ENABLES,)),
    Life("rule, only watched", _scheduled(mode="observe"), (_REFUSED,), (), (_ENABLES,)),
    Life("hours that are missing", _hours(2), (_FIXED,), (_ASKS_FOR,)),
    Life("hours that fail", _hours(3, never=2), (_ESCALATED,), (_ASKS_FOR,)),
    Life("hours, only watched", _hours(1, mode="observe"), (_REFUSED,), (), (_ASKS_FOR,)),
    # caches
    Life("cache that cures", _graph(answer="yes"), (_FIXED,), (_CACHES, _DROPS)),
    Life("cache that does not help", _graph(of=(0, 0, 0), answer="yes"), (_REVERTED,), (_CACHES, _DROPS)),
    Life("cache that cannot be made", _graph(of=(90, 1, 0), answer="yes"), (_REVERTED,), (_CACHES, _DROPS)),
    Life("cache that somebody changes", _graph(_at(38, "cache changed"), answer="yes"), (_FIXED, _ESCALATED), (_CACHES,), (_DROPS,)),
    Life("cache, denied", _graph(answer="no"), (_REFUSED,), (), (_CACHES,)),
    Life("cache, only watched", _graph(mode="observe"), (_REFUSED,), (), (_CACHES,)),
    Life("cache, not for a throttled table", _graph(of=(90, 0, 20 * 60)), (_RECOVERED,), (), (_CACHES,)),
    # stacks
    Life("rollback that is continued", _unrolled(answer="yes"), (_FIXED,), (_CONTINUES,)),
    Life("rollback that fails again", _unrolled(mended=0, answer="yes"), (_ESCALATED,), (_CONTINUES,)),
    Life("rollback that is not continued", _unrolled(answer="no"), (_REFUSED,), (), (_CONTINUES,)),
    Life("rollback without a role", _unrolled(role=0), (_ESCALATED,), (), (_CONTINUES,)),
    Life("rollback, only watched", _unrolled(mode="observe"), (_REFUSED,), (), (_CONTINUES,)),
    # databases and search
    Life("database that is lent to", _database(), (_FIXED,), (_RANGES,)),
    Life("database that is lent to in vain", _database(tenths=200, seconds=_HOURS), (_ESCALATED, _ESCALATED), (_RANGES,)),
    Life("database that goes on running on what was lent", _database(seconds=_HOURS), (_ESCALATED, _ESCALATED), (_RANGES,)),
    Life("database, and somebody scales", _database(_at(18, "database scaled by hand", 60)), (_FIXED, _ESCALATED), (_RANGES,)),
    Life("database, whose window is waited for", _database(_at(0.05, "database waits"), seconds=_HOURS, has={"deadline": "PT15M"}), (_REFUSED,), (), (_RANGES,)),
    Life("database, approved", _database(seconds=30 * 60, mode="approve", answer="yes"), (_FIXED, _ESCALATED), (_RANGES,)),
    Life("database, only watched", _database(mode="observe"), (_REFUSED,), (), (_RANGES,)),
    Life("database, whose backups are few", _unsaved(), (_ESCALATED,), (), (_RANGES,)),
    Life("search that is red", _red(), (_ESCALATED,), (), (_RANGES,)),
    Life("uploads that a page may not make", _barred(), (_ESCALATED,), (), (_RANGES,)),
    Life("table that somebody tampers with", _tampered(), (_ESCALATED,), (), (_UPDATES,)),
    # loans
    Life("loan that cures", _slow(), (_FIXED,), (_LENDS,)),
    Life("loan that does not cure", _slow(what="slow for ever"), (_REVERTED,), (_LENDS,)),
    Life("two loans that do not cure", _slow(what="slow for ever", has={"max_attempts": 2}), (_REVERTED,), (_LENDS,)),
    Life("loan superseded while it is out", _slow(_at(4.5, "set visibility")), (_FIXED, _ESCALATED), (_LENDS,)),
    Life("loan superseded before it cures", _slow(_at(2.5, "set visibility"), what="slow for ever"), (_ESCALATED, _ESCALATED), (_LENDS,)),
    Life("slow, recovered by itself", _slow(heals=200, has={"confirm": 9}), (_RECOVERED,), (), (_LENDS,)),
    Life("slow, approved", _slow(mode="approve", answer="yes"), (_FIXED,), (_LENDS,)),
    Life("slow, denied", _slow(mode="approve", answer="no"), (_REFUSED,), (), (_LENDS,)),
    Life("slow, nobody answers", _slow(mode="approve", answer="silence"), (_REFUSED,), (), (_LENDS,)),
    Life("slow, only watched", _slow(mode="observe"), (_REFUSED,), (), (_LENDS,)),
    Life("slow, paused at first", _slow(_at(1.5, "pause", 180)), (_FIXED,), (_LENDS,)),
    Life("loan out while halted", _slow(_at(3.5, "halt", 360)), (_FIXED,), (_LENDS,)),
    Life("loan out at the deadline, halted", _slow(_at(2.2, "halt", 720), what="slow for ever", has={"deadline": "PT5M"}), (_REVERTED, _ESCALATED), (_LENDS,)),
    Life("storm", _slow(_at(0.1, "slow", _HOURS, which=1), loans=2, has={"deadline": "PT4M"}, tables={"storm": {"targets": 2}}), (_REFUSED,) * 2, (), (_LENDS,)),
    Life("storm that passes", _slow(_at(0.1, "slow", 200, which=1), heals=200, loans=2, tables={"storm": {"targets": 2, "calm": "PT1M"}}), (_RECOVERED,) * 2, (), (_LENDS,)),
    # what cannot be seen, or not be done
    Life("never to be seen", _slow(heals=0, denials=_denied(*_SEES, since=0, until=60)), (_UNVERIFIABLE,), (), (_LENDS,)),
    Life("not to be seen for a while", _slow(heals=0, denials=_denied(*_SEES, since=0, until=5)), (_RECOVERED,), (), (_LENDS,)),
    Life("cure that cannot be seen", _letters(of=(1, 0, 0, 0), denials=_denied(_SEES[1], since=8.5, until=60)), (_UNVERIFIABLE,), (_SENDS,)),
    Life("loan that cannot be seen", _slow(denials=_denied(_SEES[1], since=2.5, until=8)), (_FIXED,), (_LENDS,)),
    Life("restart that cannot be seen", _stalled(denials=_denied("ecs.DescribeServices", since=5.5, until=60), has={"deadline": "PT6M"}), (_ESCALATED,), (_RESTARTS,)),
    Life("role that cannot be assumed", _slow(denials=_denied("sts.AssumeRole", since=0, until=60)), (_ESCALATED,), (), (_LENDS,)),
    Life("loan that is denied", _slow(denials=_denied(_LENDS, since=0, until=60)), (_ESCALATED,), (), (_LENDS,)),
    Life("maintenance, of which a half is denied", _work(_at(0.05, "autoscaled"), denials=_denied(_SCALES, since=0, until=60)), (_REVERTED,), (_LIMITS,), (_SCALES,)),
)
# fmt: on
