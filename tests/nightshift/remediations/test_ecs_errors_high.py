"""Requests that fail: when that is certain, what is behind it in which order, and what of a log is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from nightshift import paths, serving
from nightshift.errors import Denied, Missing, Refused, Unreadable
from nightshift.model import Arn, Diagnosis, Finding, Healthy, MetricQuery, Outcome, Sick, Target, Unknown
from nightshift.remediation import Readings, Series, Unread
from nightshift.remediations.ecs_errors_high import EcsErrorsHigh
from nightshift.serving import Counts, Part, State

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, Hand, read, service

CURE = EcsErrorsHigh()
PLACE = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
BALANCER, GROUP = Arn.parse(f"{PLACE}:loadbalancer/app/alb/1"), Arn.parse(f"{PLACE}:targetgroup/api/2")
LOG = Arn.parse("arn:aws:logs:eu-central-1:123456789012:log-group:/ecs/api")
DATABASE = Arn.parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/database")
API = Target(SERVICE, "orders", load_balancer=BALANCER, target_group=GROUP, log_group=LOG)
FINDING = Finding(CURE.name, str(SERVICE), "up to 50 % of the requests to worker fail")
MINUTE = timedelta(minutes=1)
EMPTY: dict[str, Any] = {}


def counts(span: int = serving.WINDOW) -> Counts:
    """The metrics."""
    found = Counts.of(API, span)
    assert found is not None
    return found


def parts(query: MetricQuery, *values: float | None) -> Series:
    """A series of the newest parts, the last one last; None: nothing was reported."""
    starts = serving.bounds(NOW, query)[-len(values) :]
    return Series(tuple((at, value) for at, value in zip(starts, values, strict=True) if value is not None))


def seen(requests: Any, failed: Any = (), through: Any = None, described: Any = None, **own: Any) -> Readings:
    """What a look read. ``own`` is what the load balancer answered itself, by the code."""
    asked = counts()
    said = {"failed": failed, "through": requests if through is None else through}

    def series(query: MetricQuery, values: Any) -> Any:
        return values if isinstance(values, Unread) else parts(query, *values) if values else Series()

    return Readings(
        NOW,
        {
            asked.requests: series(asked.requests, requests),
            asked.failed: series(asked.failed, said["failed"]),
            asked.through: series(asked.through, said["through"]),
            asked.own: series(asked.own, own.get("own", ())),
            **{
                query: series(query, own.get(f"c{code}", ()))
                for query, code in zip(asked.codes, (502, 503, 504), strict=True)
            },
            read("ecs.service", SERVICE): service() if described is None else described,
        },
    )


def there(**other: Any) -> Account:
    """An account in which a tenth of the requests has failed for an hour, and nothing explains it."""
    metrics = {
        ("app/alb/1", "RequestCount"): [100.0] * 190,
        ("app/alb/1", "HTTPCode_Target_5XX_Count"): [0.0] * 130 + [10.0] * 60,
        ("prod", "CPUUtilization"): [30.0] * 65,
        ("prod", "MemoryUtilization"): [40.0] * 65,
        **other.pop("metrics", {}),
    }
    answers = {
        "ecs:ListTasks": {"taskArns": []},
        "ecs:DescribeTasks": {"tasks": []},
        "elasticloadbalancing:DescribeTargetHealth": health("healthy", "healthy"),
        **other.pop("answers", {}),
    }
    services = {SERVICE: service(**other.pop("described", {})), **other.pop("services", {})}
    return Account(answers=answers, metrics=metrics, services=services, **other)


def health(*states: str) -> dict[str, Any]:
    """What DescribeTargetHealth says."""
    return {"TargetHealthDescriptions": [{"TargetHealth": {"State": state}} for state in states]}


def diagnosed(account: Account, target: Target = API) -> Diagnosis:
    """The diagnosis."""
    return CURE.diagnose(Eyes(account, EcsErrorsHigh), target, FINDING)


def refused(account: Account, target: Target = API) -> Refused:
    """What the diagnosis waits for."""
    with pytest.raises(Refused) as caught:
        diagnosed(account, target)
    return caught.value


# -- seeing ----------------------------------------------------------------------------------------------------------


def test_it_takes_a_service_behind_a_load_balancer_and_reads_what_that_counts() -> None:
    """Without one there is nothing to look at, and nothing is known."""
    assert CURE.takes(API)
    bare = Target(SERVICE, "orders", load_balancer=BALANCER)
    assert (CURE.takes(bare), CURE.watch(bare)) == (False, ())
    assert CURE.watch(API) == (*counts().all, read("ecs.service", SERVICE))
    assert isinstance(CURE.detect(bare, seen([100])), Unknown)
    assert refused(there(), bare).guard == "load-balancer"


@pytest.mark.parametrize(
    "requests, failed, kind",
    [
        ([100, 100, 100], [6, 6, 6], Sick),
        ([100, 100, 100], [6, 0, 6], Sick),
        ([100, 100, 100], [5, 5, 5], Healthy),
        ([100, 100, 100], [0, 0, 60], Healthy),
        ([50, 50, 50], [3, 3, None], Sick),
        ([49, 49, 49], [49, 49, 49], Healthy),
        ([100, 100, 100, 10, 10], [60, 60, 60, 5, 5], Unknown),
        ([100, 100, 100, 10, 100], [60, 60, 60, 5, 0], Unknown),
        ([100, 100, 10, 100, 100], [60, 60, 5, 0, 0], Healthy),
        ([100, 10, 10, 10], [60, 1, 1, 1], Healthy),
        ([], [], Healthy),
    ],
)
def test_two_of_three_parts_with_enough_requests_decide(requests: Any, failed: Any, kind: type) -> None:
    """And where they were bad, and too few came in since, nobody knows."""
    assert isinstance(CURE.detect(API, seen(requests, failed)), kind)


def test_too_few_requests_are_said() -> None:
    """As the reason why nothing is concluded."""
    found = CURE.detect(API, seen([10, 10, 10], [10, 10, 10]))
    assert found == Healthy("too few requests to tell: fewer than 50 in five minutes", idle=True)


def test_what_the_load_balancer_answers_itself_counts_and_is_told_apart() -> None:
    """503 was never a request of a task; 502 and 504 were."""
    found = CURE.detect(API, seen([0, 0, 0], own=[60, 60, 60], c503=[60, 60, 60]))
    assert isinstance(found, Sick)
    assert found.finding.signals[0].value == 100.0
    assert "180 requests got 503: no task to send them to" in found.finding.evidence
    found = CURE.detect(API, seen([100, 100, 100], own=[10, 10, 10], c502=[4, 4, 4], c504=[6, 6, 6]))
    assert isinstance(found, Sick)
    assert found.finding.signals[0].value == 10.0
    assert any("12 requests got 502" in line for line in found.finding.evidence)
    assert any("18 requests got 504" in line for line in found.finding.evidence)


def test_what_it_answers_itself_is_not_counted_while_others_get_requests_too() -> None:
    """It is counted for all services behind it together, and the report says that it was left out."""
    look = seen([100, 100, 100], [6, 6, 6], through=[102, 102, 102], own=[60, 60, 60], c502=[60, 60, 60])
    found = CURE.detect(API, look)
    assert isinstance(found, Sick)
    assert found.finding.signals[0].value == 6.0
    assert any("it is not counted here" in line for line in found.finding.evidence)


@pytest.mark.parametrize("described, kind", [({"desiredCount": 0}, Healthy), ({"status": "DRAINING"}, Unknown)])
def test_a_service_that_should_not_run_is_not_judged(described: Any, kind: type) -> None:
    """Stopped on purpose, or on its way out."""
    assert isinstance(CURE.detect(API, seen([100] * 3, [50] * 3, described=service(**described))), kind)


def test_what_cannot_be_read_is_unknown() -> None:
    """Any of the counters."""
    assert CURE.detect(API, seen([100] * 3, Unread("throttled"))) == Unknown("throttled")
    account = there(metrics={("app/alb/1", "RequestCount"): Unread("throttled")})
    with pytest.raises(Unreadable, match="throttled"):
        diagnosed(account)


# -- what is behind it -----------------------------------------------------------------------------------------------


def test_what_nothing_explains_is_for_people_with_what_was_ruled_out() -> None:
    """The time it began, the state of the service, and what to look at."""
    found = diagnosed(there())
    assert "fail in the application, or in what it calls" in found.cause
    assert "it began at 02:00 UTC" in found.evidence
    assert "all 2 tasks run, and 2 are healthy" in found.evidence
    assert found.advice[0].startswith("look at what all paths share")
    assert len(found.rejected) == 3


def test_the_codes_say_where_to_look() -> None:
    """A line of advice for each that occurred."""
    codes = {("app/alb/1", f"HTTPCode_ELB_{code}_Count"): [1.0] * 60 for code in ("502", "503", "504")}
    assert [line[:3] for line in diagnosed(there(metrics=codes)).advice[1:4]] == ["502", "503", "504"]


def test_what_was_better_in_the_newest_minute_is_waited_for() -> None:
    """The parts lag behind."""
    failed = [0.0] * 130 + [10.0] * 59 + [0.0]
    said = refused(there(metrics={("app/alb/1", "HTTPCode_Target_5XX_Count"): failed}))
    assert (said.guard, said.retry_after) == ("passing", MINUTE)
    quiet = {("app/alb/1", "RequestCount"): [100.0] * 180 + [0.0] * 10}
    assert diagnosed(there(metrics=quiet)).advice  # no request in a minute says nothing of it


def test_where_the_beginning_is_not_known_it_is_now() -> None:
    """All is well again in the parts, say."""
    metrics = {("app/alb/1", "HTTPCode_Target_5XX_Count"): [0.0] * 189 + [10.0]}
    assert "it began at 03:00 UTC" in diagnosed(there(metrics=metrics)).evidence


@pytest.mark.parametrize(
    "deployments",
    [[{"rolloutState": "IN_PROGRESS"}], [{"rolloutState": "COMPLETED"}] * 2, [], [EMPTY, EMPTY]],
)
def test_a_deployment_under_way_is_waited_for(deployments: Any) -> None:
    """Whatever fails then may be over with it."""
    assert refused(there(described={"deployments": deployments})).guard == "mid-change"


def test_a_release_that_came_first_has_its_own_incident_and_then_is_told() -> None:
    """Twenty minutes for that one; where there is none, people hear of it here."""
    recent = {"deployment": {"createdAt": NOW - 65 * MINUTE}}
    found = diagnosed(there(described=recent))
    assert found.cause == "the release of 01:55 UTC of worker came shortly before"
    assert found.facts == {}
    failed = [0.0] * 178 + [10.0] * 12
    fresh = there(
        described={"deployment": {"createdAt": NOW - 14 * MINUTE}},
        metrics={("app/alb/1", "HTTPCode_Target_5XX_Count"): failed},
    )
    said = refused(fresh)
    assert (said.guard, said.link) == ("cause", str(SERVICE))
    long_before = {"deployment": {"createdAt": NOW - 121 * MINUTE}}
    assert "release" not in diagnosed(there(described=long_before)).cause
    afterwards = {"deployment": {"createdAt": NOW - 50 * MINUTE}}
    assert "release" not in diagnosed(there(described=afterwards)).cause
    untold = {"deployment": {"createdAt": None}}
    assert "release" not in diagnosed(there(described=untold)).cause


def test_tasks_killed_for_their_memory_are_the_cause_and_exit_code_137_is_not() -> None:
    """By the reason that the container has."""
    killed = {"containers": [{"exitCode": 137, "reason": "OutOfMemoryError: killed"}]}
    stopped = {"containers": [{"exitCode": 137}]}
    listed = {"ecs:ListTasks": {"taskArns": ["t1", "t2"]}, "ecs:DescribeTasks": {"tasks": [killed, stopped]}}
    found = diagnosed(there(answers=listed))
    assert found.cause == "tasks of worker run out of memory and are killed"
    assert "1 tasks were killed for their memory in the last hour" in found.evidence
    other = {**listed, "ecs:DescribeTasks": {"tasks": [stopped]}}
    assert "memory" not in diagnosed(there(answers=other)).cause


def test_tasks_that_are_missing_or_unhealthy_go_first() -> None:
    """Linked with the incidents about them."""
    said = refused(there(described={"runningCount": 1}))
    assert (said.guard, said.link) == ("tasks", str(SERVICE))
    said = refused(there(answers={"elasticloadbalancing:DescribeTargetHealth": health("healthy", "unhealthy")}))
    assert (said.guard, said.link) == ("hosts", str(SERVICE))
    assert said.numbers == {"unhealthy": 1, "targets": 2}


@pytest.mark.parametrize(
    "described, word",
    [
        (None, "does not exist"),
        (service(desiredCount=0), "stopped it"),
        (service(runningCount=1), "1 of 2 tasks run"),
        (service(), "2 of its tasks do not answer"),
    ],
)
def test_what_the_service_needs_goes_first_where_it_is_sick_itself(described: Any, word: str) -> None:
    """By its tasks, and by what its own load balancer says."""
    target = replace(API, depends_on=(DATABASE,))
    account = there(
        services={DATABASE: described},
        metrics={("app/alb/1", "UnHealthyHostCount"): [2.0 if "answer" in word else 0.0] * 5},
        registered=(replace(API, arn=DATABASE),),
    )
    said = refused(account, target)
    assert (said.guard, said.link) == ("dependency", str(DATABASE))
    assert word in said.reason


@pytest.mark.parametrize("registered", [(), (Target(DATABASE, "x"),), (replace(API, arn=DATABASE),)])
@pytest.mark.parametrize("unhealthy", [[0.0] * 5, [1.0]])
def test_what_it_needs_and_is_well_is_said_to_be_well(registered: Any, unhealthy: list[float]) -> None:
    """Registered or not, with a load balancer or without."""
    metrics = {("app/alb/1", "UnHealthyHostCount"): unhealthy}
    account = there(services={DATABASE: service()}, registered=registered, metrics=metrics)
    found = diagnosed(account, replace(API, depends_on=(DATABASE,)))
    assert "database, which it needs, is well" in found.evidence


@pytest.mark.parametrize("metric, word", [("CPUUtilization", "CPU"), ("MemoryUtilization", "memory")])
def test_a_service_short_of_capacity_is_lent_to_first(metric: str, word: str) -> None:
    """Above the limit in any of the last five minutes, and not before."""
    said = refused(there(metrics={("prod", metric): [30.0] * 60 + [90.0, 20.0, 20.0, 20.0, 20.0]}))
    assert (said.guard, said.link) == ("capacity", str(SERVICE))
    assert said.reason.startswith(word)
    assert diagnosed(there(metrics={("prod", metric): [90.0] * 60 + [20.0] * 5})).advice
    assert f"{word} is not known" in diagnosed(there(metrics={("prod", metric): []})).evidence


def test_a_leak_is_told_and_not_restarted_here() -> None:
    """Memory rises by itself."""
    rising = [20 + minute * 1.1 for minute in range(65)]
    found = diagnosed(there(metrics={("prod", "MemoryUtilization"): rising}))
    assert "leaks memory" in found.cause
    assert found.advice[0].startswith("restart its tasks")


def test_nothing_is_ever_planned() -> None:
    """It has no writes."""
    with pytest.raises(Refused):
        CURE.plan(Diagnosis(str(SERVICE), "x"))
    assert CURE.writes == ()
    assert CURE.reconcile(Eyes(there(), EcsErrorsHigh), Hand, NOW) is Outcome.UNKNOWN  # type: ignore[arg-type]


# -- by path ---------------------------------------------------------------------------------------------------------

BY_PATH = Diagnosis(str(SERVICE), "it fails", ("seen",), facts={"by_path": True}, advice=("shared", "more"))


def row(path: str, requests: str, failed: str, slow: str = "80") -> list[dict[str, str]]:
    """A row of an answer."""
    values = {"path": path, "requests": requests, "failed": failed, "slow": slow}
    return [{"field": name, "value": value} for name, value in values.items()]


def detailed(*rows: Any, status: str = "Complete", asked: Any = NOW, **notes: Any) -> Diagnosis:
    """What becomes of a diagnosis once the query has answered."""
    account = there(answers={"logs:GetQueryResults": {"status": status, "results": list(rows)}})
    kept = {"query": "q", "asked": asked.isoformat(), **notes}
    return CURE.detail(Eyes(account, EcsErrorsHigh), API, BY_PATH, kept)


def test_a_query_is_begun_once_and_its_answer_fetched_at_the_next_look() -> None:
    """Over fifteen minutes in seconds, by a constant text; the notes carry it over."""
    asked: list[dict[str, Any]] = []

    def start(**params: Any) -> dict[str, str]:
        asked.append(params)
        return {"queryId": "q1"}

    account = there(answers={"logs:StartQuery": start, "logs:GetQueryResults": {"status": "Running"}})
    eyes, notes = Eyes(account, EcsErrorsHigh), dict[str, Any]()
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            CURE.detail(eyes, API, BY_PATH, notes)
        assert caught.value.retry_after == MINUTE
    [params] = asked
    assert params == {
        "logGroupName": "/ecs/api",
        "startTime": int(NOW.timestamp()) - 900,
        "endTime": int(NOW.timestamp()),
        "queryString": paths.QUERY,
    }
    assert notes == {"query": "q1", "asked": NOW.isoformat()}


@pytest.mark.parametrize("status, ago", [("Running", 4), ("Failed", 0), ("Timeout", 0), ("Cancelled", 0)])
def test_a_query_that_comes_to_nothing_is_said(status: str, ago: int) -> None:
    """After four minutes, or when it has ended otherwise."""
    found = detailed(status=status, asked=NOW - ago * MINUTE)
    assert found.evidence[-1] == f"which paths fail cannot be told: CloudWatch Logs Insights gave no answer ({status})"
    assert found.advice == BY_PATH.advice


def test_without_a_log_group_or_where_the_cause_is_known_nothing_is_asked() -> None:
    """The log costs money."""
    eyes = Eyes(there(), EcsErrorsHigh)
    assert "names no log_group" in CURE.detail(eyes, replace(API, log_group=None), BY_PATH, {}).evidence[-1]
    known = replace(BY_PATH, facts={})
    assert CURE.detail(eyes, API, known, {}) == known


def test_a_log_that_may_not_be_read_raises_what_it_raised() -> None:
    """The engine says so in the report."""
    account = there(fails={"logs:StartQuery": Denied("logs:StartQuery", "AccessDeniedException")})
    with pytest.raises(Denied):
        CURE.detail(Eyes(account, EcsErrorsHigh), API, BY_PATH, {})


def test_one_path_that_fails_alone_is_the_cause() -> None:
    """What helps most is in its code."""
    found = detailed(row("/a", "100", "1"), row("/b", "100", "60"), row("/c", "100", "0"))
    assert found.cause == "one path of worker fails: /b"
    assert found.advice == ("look at the code behind /b, and at what only that calls", "more")
    assert found.evidence[1:] == (
        "/b: 60 of 100 requests went wrong, p95 80 ms",
        "/a: 1 of 100 requests went wrong, p95 80 ms",
        "/c: 0 of 100 requests went wrong, p95 80 ms",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [row("/a", "100", "30"), row("/b", "100", "60")],
        [row("/a", "100", "60")],
        [row("/a", "100", "10"), row("/b", "1000", "40")],
    ],
)
def test_several_paths_or_the_only_one_are_what_they_share(rows: Any) -> None:
    """Also where one that fails has only a part of what fails."""
    found = detailed(*rows)
    assert "it is what they share" in found.cause
    assert found.advice == BY_PATH.advice


def test_a_log_without_anything_wrong_in_it_is_said() -> None:
    """Then it fails before the application, or behind its back."""
    assert "knows of no request that went wrong" in detailed(row("/a", "100", "0")).evidence[-1]
    assert "knows of no request that went wrong" in detailed().evidence[-1]


def test_five_paths_are_shown_and_nothing_of_what_may_be_a_secret() -> None:
    """Numbers, tokens, addresses and queries are cut off; what then looks the same is one."""
    rows = [
        row("/v1/users/17/orders", "10", "3"),
        row("/v1/users/18/orders?token=abc", "10", "4"),
        row("/reset/jane@example.com/eyJhbGciOiJ", "10", "2"),
        row("/a/b/c/d/e/f/g", "10", "1"),
        row("", "x", "nan", "inf"),
        *(row(f"/{word}", "10", "1") for word in ("x", "y", "z")),
    ]
    lines = detailed(*rows).evidence[1:]
    assert len(lines) == 5
    assert lines[0] == "/v1/users/*/orders: 7 of 20 requests went wrong, p95 80 ms"
    assert lines[1].startswith("/reset/*/*:")
    assert lines[2].startswith("/a/b/c/d/e/f/*:")
    assert not any(word in " ".join(lines) for word in ("17", "token", "jane", "eyJ"))


# -- the parts -------------------------------------------------------------------------------------------------------


def test_the_beginning_is_the_first_bad_part_after_the_last_good_one() -> None:
    """Parts with too few requests are passed over."""
    at = [NOW + number * MINUTE for number in range(5)]
    found = [Part(at[0], 100, 9), Part(at[1], 100, 1), Part(at[2], 100, 9), Part(at[3], 5, 0), Part(at[4], 100, 9)]
    assert serving.onset(found, 5, 50) == at[2]
    assert serving.onset(found[:2], 5, 50) is None
    assert serving.onset([Part(NOW, 100, None)], 5, 50) is None
    assert serving.judged(found, 5, 50) is State.BAD


def test_a_service_that_is_needed_and_cannot_be_read_is_not_taken_for_well() -> None:
    """A diagnosis that cannot read has nothing to say."""
    account = there(services={DATABASE: Unread("throttled")})
    with pytest.raises(Unreadable):
        diagnosed(account, replace(API, depends_on=(DATABASE,)))
    with pytest.raises(Missing):
        diagnosed(there(services={SERVICE: None}))
