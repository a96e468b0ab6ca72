"""A series is whole periods that AWS calls complete; everything else is unknown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import MetricQuery
from nightshift.remediation import Series, Unread
from nightshift.signals import gather, queue_metric
from nightshift.signals.metrics import LATE, window

from tests.nightshift.signals.cloud import NOW, Cloud, Params, minutes_ago, queue, result


def visible(name: str, minutes: int = 15, period: int = 60) -> MetricQuery:
    """A metric of a queue."""
    return queue_metric(queue(name), "ApproximateNumberOfMessagesVisible", "Maximum", minutes, period=period)


def name_of(asked: Params) -> str:
    """The queue that one of a call's queries is about."""
    return str(asked["MetricStat"]["Metric"]["Dimensions"][0]["Value"])


def names_in(params: Params) -> set[str]:
    """The queues that a call asks about."""
    return {name_of(asked) for asked in params["MetricDataQueries"]}


def said(answer: Series | Unread) -> str:
    """The reason of an answer that must be unknown."""
    assert isinstance(answer, Unread)
    return answer.reason


def test_five_hundred_metrics_are_one_call(cloud: Cloud) -> None:
    """1,001 metrics are three calls, and each gets its own answer."""
    queries = [visible(f"q{number:04}") for number in range(1_001)]
    for number, query in enumerate(queries):
        cloud.report(query, float(number), end=minutes_ago(5))
    readings = gather(cloud.aws(), queries, now=NOW)
    assert sorted(len(params["MetricDataQueries"]) for params in cloud.asked("GetMetricData")) == [1, 500, 500]
    assert [readings.metric(query) for query in queries] == [
        Series(((minutes_ago(5), float(number)),)) for number in range(1_001)
    ]


def test_the_same_query_of_two_remediations_is_read_once(cloud: Cloud) -> None:
    """However often a query is asked, AWS hears it once."""
    gather(cloud.aws(), [visible("a"), visible("b"), visible("a")], now=NOW)
    (call,) = cloud.asked("GetMetricData")
    assert len(call["MetricDataQueries"]) == 2


def test_one_metric_over_two_windows_is_read_once(cloud: Cloud) -> None:
    """The wider window answers for the narrower one, which sees its own minutes only."""
    cloud.report(visible("a"), *(float(number) for number in range(30)), end=minutes_ago(2))
    narrow, wide = visible("a", minutes=3), visible("a", minutes=20)
    readings = gather(cloud.aws(), [narrow, wide], now=NOW)
    (call,) = cloud.asked("GetMetricData")
    assert len(call["MetricDataQueries"]) == 1
    narrower, wider = readings.metric(narrow), readings.metric(wide)
    assert isinstance(narrower, Series)
    assert isinstance(wider, Series)
    assert (narrower.last(99), len(wider.points)) == ((27.0, 28.0, 29.0), 20)


def test_queries_of_one_window_share_their_calls(cloud: Cloud) -> None:
    """A call has one window and one period, so queries are grouped by both."""
    gather(cloud.aws(), [visible("a"), visible("b"), visible("c", 60), visible("d", 60, 300)], now=NOW)
    calls = {
        frozenset(names_in(params)): (params["StartTime"], params["EndTime"]) for params in cloud.asked("GetMetricData")
    }
    three = NOW.replace(minute=0, second=0)
    assert calls == {
        frozenset("ab"): (minutes_ago(16), minutes_ago(1)),
        frozenset("c"): (minutes_ago(61), minutes_ago(1)),
        frozenset("d"): (three - timedelta(minutes=55), three + timedelta(minutes=5)),
    }


def test_a_query_may_be_about_a_span_that_is_over(cloud: Cloud) -> None:
    """It ends so many minutes ago, has a call of its own, and sees nothing of what came since."""
    now, before = visible("a"), replace(visible("a", minutes=60), ago=90)
    cloud.report(visible("a"), *(float(number) for number in range(200)), end=minutes_ago(2))
    readings = gather(cloud.aws(), [now, before, replace(before, metric="NumberOfMessagesSent")], now=NOW)
    assert sorted((params["StartTime"], params["EndTime"]) for params in cloud.asked("GetMetricData")) == [
        (minutes_ago(151), minutes_ago(91)),
        (minutes_ago(16), minutes_ago(1)),
    ]
    then, lately = readings.metric(before), readings.metric(now)
    assert isinstance(then, Series)
    assert isinstance(lately, Series)
    assert (then.points[0][0], then.points[-1][0], len(then.points)) == (minutes_ago(151), minutes_ago(92), 60)
    assert lately.points[-1] == (minutes_ago(2), 199.0)


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis adds the zone
    st.sampled_from([1, 10, 60, 300, 3600]),
    st.integers(1, 10_000),
)
def test_a_window_holds_whole_periods_that_are_over(now: datetime, period: int, minutes: int) -> None:
    """It begins and ends at a period's start, is never shorter than asked, and leaves late data a minute."""
    span = window(visible("a", minutes, period), now)
    step = timedelta(seconds=period)
    assert span.start.timestamp() % period == span.end.timestamp() % period == 0
    assert LATE <= now - span.end < LATE + step
    assert timedelta(minutes=minutes) <= span.end - span.start < timedelta(minutes=minutes) + step


def test_points_are_whole_numbered_and_oldest_first(cloud: Cloud) -> None:
    """The period that is not over is not there, nor is what is not a number; times are UTC wherever they come from."""
    cloud.report(visible("a"), 1.0, math.nan, 3.0, 4.0, 5.0)  # the last two are this minute and the one before
    there = timezone(timedelta(hours=5, minutes=30))

    def every_point_in_another_zone(params: Params) -> dict[str, Any]:
        points = [(at.astimezone(there), value) for at, value in next(iter(cloud.points.values()))]
        return {"MetricDataResults": [result("m0", points)]}

    for answer in (cloud.metric_data, every_point_in_another_zone):
        cloud.answers["GetMetricData"] = answer
        series = gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a"))
        assert series == Series(((minutes_ago(4), 1.0), (minutes_ago(2), 3.0)))
        assert all(at.tzinfo is UTC for at, _ in series.points)


def test_complete_with_no_values_is_an_empty_series(cloud: Cloud) -> None:
    """Nothing was reported is an answer. It is not zero, and not unknown."""
    assert gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a")) == Series(())


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden", "SomethingNew", None])
def test_a_metric_that_is_not_complete_is_unknown(cloud: Cloud, status: str | None) -> None:
    """Part of a series is no series, and a result that is missing is not an empty one; the others are not touched."""

    def answer(params: Params) -> dict[str, Any]:
        results = []
        for asked in params["MetricDataQueries"]:
            if name_of(asked) != "b":
                results.append(result(asked["Id"], [(minutes_ago(3), 1.0)]))
            elif status:
                results.append(result(asked["Id"], [(minutes_ago(3), 1.0)], status))
        return {"MetricDataResults": results}

    cloud.answers["GetMetricData"] = answer
    readings = gather(cloud.aws(), [visible("a"), visible("b"), visible("c")], now=NOW)
    assert (status or "no result") in said(readings.metric(visible("b")))
    assert readings.metric(visible("a")) == readings.metric(visible("c")) == Series(((minutes_ago(3), 1.0),))


def test_pages_are_followed_and_put_together(cloud: Cloud) -> None:
    """A series may begin on one page and end on the next; it counts once AWS calls it complete."""

    def answer(params: Params) -> dict[str, Any]:
        if "NextToken" not in params:
            return {"MetricDataResults": [result("m0", [(minutes_ago(4), 1.0)], "PartialData")], "NextToken": "2"}
        assert params["NextToken"] == "2"
        return {"MetricDataResults": [result("m0", [(minutes_ago(3), 2.0)]), result("m1")]}

    cloud.answers["GetMetricData"] = answer
    readings = gather(cloud.aws(), [visible("a"), visible("b")], now=NOW)
    assert readings.metric(visible("a")) == Series(((minutes_ago(4), 1.0), (minutes_ago(3), 2.0)))
    assert readings.metric(visible("b")) == Series(())


def test_an_internal_error_is_not_forgotten_on_the_next_page(cloud: Cloud) -> None:
    """What failed on one page may lack points, whatever a later page says of the rest."""
    pages: Iterator[dict[str, Any]] = iter(
        [
            {"MetricDataResults": [result("m0", status="InternalError")], "NextToken": "2"},
            {"MetricDataResults": [result("m0", [(minutes_ago(3), 2.0)])]},
        ]
    )
    cloud.answers["GetMetricData"] = lambda _: next(pages)
    assert "InternalError" in said(gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a")))


def test_a_page_that_fails_spoils_what_was_not_complete(cloud: Cloud) -> None:
    """A partial page is no answer: what is partial, empty or not yet seen is unknown, with the failure as reason."""
    cloud.answers["GetMetricData"] = lambda _: {
        "MetricDataResults": [
            result("m0", [(minutes_ago(3), 1.0)]),
            result("m1", [(minutes_ago(3), 1.0)], "PartialData"),
            result("m2"),
        ],
        "NextToken": "2",
    }
    cloud.fail("GetMetricData", "ThrottlingException", lambda params: "NextToken" in params)
    readings = gather(cloud.aws(), [visible(name) for name in "abcd"], now=NOW)
    assert readings.metric(visible("a")) == Series(((minutes_ago(3), 1.0),))
    assert all("ThrottlingException" in said(readings.metric(visible(name))) for name in "bcd")


def test_pages_without_end_end(cloud: Cloud) -> None:
    """More pages than points could fill are not followed, and what they say is not believed."""
    cloud.answers["GetMetricData"] = lambda _: {"MetricDataResults": [], "NextToken": "again"}
    assert "more pages" in said(gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a")))
    assert cloud.count["GetMetricData"] <= 5


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "ServiceUnavailable"])
def test_a_call_that_fails_makes_exactly_its_own_metrics_unknown(cloud: Cloud, code: str) -> None:
    """One of three calls fails: its five hundred are unknown, for that reason, and no others."""
    queries = [visible(f"q{number:04}") for number in range(1_001)]
    cloud.fail("GetMetricData", code, lambda params: "q0700" in names_in(params))
    readings = gather(cloud.aws(threads=True), queries, now=NOW)
    unread = [query for query in queries if isinstance(readings.metric(query), Unread)]
    assert unread == queries[500:1000]
    assert code in said(readings.metric(queries[700]))
    assert cloud.count["GetMetricData"] == 3


def test_a_denial_names_the_action(cloud: Cloud) -> None:
    """Who reads the reason knows what to grant; nobody asks again in smaller pieces."""
    cloud.fail("GetMetricData", "AccessDenied")
    reason = said(gather(cloud.aws(), [visible("a"), visible("b")], now=NOW).metric(visible("a")))
    assert reason.endswith("grant cloudwatch:GetMetricData")
    assert cloud.count["GetMetricData"] == 1


def test_one_query_that_aws_refuses_does_not_blind_the_others(cloud: Cloud) -> None:
    """AWS refuses the whole call for one bad query: it is found by halving, and it alone is unknown."""
    queries = [visible(f"q{number:04}") for number in range(500)]
    cloud.fail("GetMetricData", "ValidationError", lambda params: "q0123" in names_in(params))
    readings = gather(cloud.aws(), queries, now=NOW)
    assert [query for query in queries if isinstance(readings.metric(query), Unread)] == [visible("q0123")]
    assert cloud.count["GetMetricData"] <= 1 + 2 * 9


def test_a_query_that_the_sdk_refuses_does_not_blind_the_others(cloud: Cloud) -> None:
    """The SDK checks a request before it is sent, and refuses all of it as well."""
    bad = MetricQuery("AWS/SQS", "", (("QueueName", "a"),), "Sum")
    readings = gather(cloud.aws(), [visible("a"), bad, visible("b")], now=NOW)
    assert "ParamValidation" in said(readings.metric(bad))
    assert readings.metric(visible("a")) == readings.metric(visible("b")) == Series(())


def test_a_message_about_the_call_makes_silence_unknown(cloud: Cloud) -> None:
    """AWS did as much as it could: what is there counts, what is not is not "nothing was reported"."""
    cloud.answers["GetMetricData"] = lambda _: {
        "MetricDataResults": [result("m0", [(minutes_ago(3), 1.0)]), result("m1")],
        "Messages": [{"Code": "MaxMetricsExceeded", "Value": "Maximum number of allowed metrics exceeded"}],
    }
    readings = gather(cloud.aws(), [visible("a"), visible("b")], now=NOW)
    assert readings.metric(visible("a")) == Series(((minutes_ago(3), 1.0),))
    assert "Maximum number of allowed metrics" in said(readings.metric(visible("b")))


def test_a_message_about_a_metric_makes_it_unknown(cloud: Cloud) -> None:
    """AWS has something to say about the series, so it is not taken as it stands."""
    messages = [{"Code": "ArithmeticError", "Value": "One or more data-points have been dropped"}]
    cloud.answers["GetMetricData"] = lambda _: {"MetricDataResults": [result("m0", Messages=messages)]}
    assert "data-points have been dropped" in said(gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a")))


@pytest.mark.parametrize(
    "garbage",
    [
        {"Timestamps": [minutes_ago(3)], "Values": []},
        {"Timestamps": ["yesterday"], "Values": [1.0]},
        {"Timestamps": [minutes_ago(3)], "Values": ["many"]},
    ],
    ids=["fewer values than times", "no time", "no number"],
)
def test_points_that_cannot_be_understood_are_unknown(cloud: Cloud, garbage: dict[str, Any]) -> None:
    """An answer that is not what it should be is no answer, and no exception; its neighbour's stands."""
    cloud.answers["GetMetricData"] = lambda _: {"MetricDataResults": [result("m0") | garbage, result("m1")]}
    readings = gather(cloud.aws(), [visible("a"), visible("b")], now=NOW)
    assert "cannot be understood" in said(readings.metric(visible("a")))
    assert readings.metric(visible("b")) == Series(())


def test_an_answer_that_makes_no_sense_at_all_is_unknown(cloud: Cloud) -> None:
    """Even then nothing is raised."""
    cloud.answers["GetMetricData"] = lambda _: {"MetricDataResults": 42}
    assert "cannot be understood" in said(gather(cloud.aws(), [visible("a")], now=NOW).metric(visible("a")))
    assert "cannot be understood" in said(
        gather(cloud.aws(), [visible("a", period=0)], now=NOW).metric(visible("a", period=0))
    )
