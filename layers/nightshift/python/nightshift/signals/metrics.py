"""
Metrics: 500 a call, whole periods only.

A call's queries share one window, so they are grouped by it. The window ends at a whole period at least a minute ago:
the period that is still filling up, and one whose values may still be arriving, would look like a drop. The same metric
over two windows is read once, over the wider one.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from nightshift.errors import AwsError
from nightshift.model import MetricQuery
from nightshift.remediation import Series, Unread
from nightshift.signals.batch import Answer, Piece, chunks, halving, invalid, why

if TYPE_CHECKING:
    from nightshift.aws import Aws

__all__ = ["LATE", "metric_pieces", "window"]

LATE = timedelta(minutes=1)
"""How late a value may arrive. With the period cut to its start, a 60-second series ends one to two minutes ago."""

_QUERIES = 500  # a call: AWS's limit
_POINTS = 100_800  # a page: AWS's default and limit
_SPARE_PAGES = 3  # AWS may turn the page sooner than it must


@dataclass(frozen=True, slots=True)
class Window:
    """From ``start`` up to, and without, ``end``: both at the start of a period."""

    start: datetime
    end: datetime

    def holds(self, at: datetime, period: int) -> bool:
        """Whether the period that starts ``at`` lies in the window, whole."""
        return self.start <= at and at + timedelta(seconds=period) <= self.end


@dataclass(slots=True)
class _Result:
    """What the pages have said about one query so far."""

    points: dict[datetime, float] = field(default_factory=dict)
    status: str = ""
    failed: str = ""


def window(query: MetricQuery, now: datetime) -> Window:
    """The last whole periods that make up the query's minutes, or a little more where they do not divide."""
    end = _floor(now - LATE - timedelta(minutes=query.ago), query.period)
    return Window(_floor(end - timedelta(minutes=query.minutes), query.period), end)


def metric_pieces(aws: Aws, queries: Iterable[MetricQuery], now: datetime) -> Iterator[Piece[MetricQuery]]:
    """One piece a call."""
    asked: dict[MetricQuery, list[MetricQuery]] = defaultdict(list)
    for query in queries:
        asked[replace(query, minutes=0)].append(query)
    widest = {max(same, key=lambda query: query.minutes): tuple(same) for same in asked.values()}
    for _, group in groupby(sorted(widest, key=_order), key=_span):
        for part in chunks(tuple(group), _QUERIES):
            wanted = {query: widest[query] for query in part}
            yield Piece(tuple(query for same in wanted.values() for query in same), partial(_read, aws, wanted, now))


def _span(query: MetricQuery) -> tuple[int, int, int]:
    """What the queries of one call must share."""
    return (query.period, query.minutes, query.ago)


def _order(query: MetricQuery) -> tuple[Any, ...]:
    """By window, then alike next to alike: a metric that AWS refuses then shares its calls with its own kind."""
    return (*_span(query), query.namespace, query.metric, query.stat, query.dimensions)


def _floor(at: datetime, period: int) -> datetime:
    return datetime.fromtimestamp(int(at.timestamp()) // period * period, UTC)


def _read(aws: Aws, wanted: Mapping[MetricQuery, tuple[MetricQuery, ...]], now: datetime) -> dict[MetricQuery, Answer]:
    """Answer the widest queries by a call, and the narrower ones out of them."""
    found = halving(partial(_call, aws, now), tuple(wanted), one_spoils_all=invalid)
    return {query: _cut(found[wide], query, now) for wide, same in wanted.items() for query in same}


def _cut(answer: Answer, query: MetricQuery, now: datetime) -> Answer:
    if not isinstance(answer, Series):
        return answer
    start = window(query, now).start
    return Series(tuple(point for point in answer.points if point[0] >= start))


def _call(aws: Aws, now: datetime, queries: Sequence[MetricQuery]) -> dict[MetricQuery, Answer]:
    """
    One call with all its pages.

    Raises what the first page raises; a later page that fails spoils only what was not complete by then.
    """
    span = window(queries[0], now)
    request: dict[str, Any] = {
        "MetricDataQueries": [_asked(f"m{number}", query) for number, query in enumerate(queries)],
        "StartTime": span.start,
        "EndTime": span.end,
        "ScanBy": "TimestampAscending",
    }
    points = len(queries) * int((span.end - span.start).total_seconds()) // queries[0].period
    results: dict[str, _Result] = defaultdict(_Result)
    overall: list[str] = []
    cut_short = ""
    for page in range(_SPARE_PAGES + 2 * points // _POINTS):
        try:
            answer = aws.read("cloudwatch", "GetMetricData", **request)
        except AwsError as error:
            if page == 0:
                raise
            cut_short = why(error)
            break
        overall += _texts(answer)
        for result in answer.get("MetricDataResults", ()):
            _take(results[str(result.get("Id"))], result, span, queries[0].period)
        if not answer.get("NextToken"):
            break
        request["NextToken"] = answer["NextToken"]
    else:
        cut_short = "cloudwatch:GetMetricData: more pages than the points of the window can fill"
    return {
        query: _answer(results[f"m{number}"], cut_short, "; ".join(overall)) for number, query in enumerate(queries)
    }


def _asked(name: str, query: MetricQuery) -> dict[str, Any]:
    metric = {
        "Namespace": query.namespace,
        "MetricName": query.metric,
        "Dimensions": [{"Name": name, "Value": value} for name, value in query.dimensions],
    }
    return {"Id": name, "MetricStat": {"Metric": metric, "Period": query.period, "Stat": query.stat}}


def _texts(said: Mapping[str, Any]) -> list[str]:
    return [f"{each.get('Code', '')}: {each.get('Value', '')}"[:300] for each in said.get("Messages") or ()]


def _take(result: _Result, page: Mapping[str, Any], span: Window, period: int) -> None:
    """Add what one page says about one query."""
    result.status = str(page.get("StatusCode", ""))
    texts = _texts(page)
    if texts or result.status not in {"Complete", "PartialData"}:
        result.failed = result.failed or ": ".join((result.status or "no status", *texts))
    try:
        for at, value in zip(page.get("Timestamps") or (), page.get("Values") or (), strict=True):
            when, number = at.astimezone(UTC), float(value)
            if math.isfinite(number) and span.holds(when, period):
                result.points[when] = number
    except (AttributeError, TypeError, ValueError) as error:
        result.failed = f"points that cannot be understood ({error})"


def _answer(result: _Result, cut_short: str, overall: str) -> Series | Unread:
    """
    A series only where AWS says that it is complete.

    A message about the whole call means that as much as possible was done: what is there counts, the rest is unknown.
    """
    if result.failed:
        return Unread(f"cloudwatch:GetMetricData: {result.failed}")
    if result.status != "Complete":
        status = result.status or "no result"
        return Unread(cut_short or f"cloudwatch:GetMetricData: {status}{': ' + overall if overall else ''}")
    if not result.points and (cut_short or overall):
        return Unread(cut_short or f"cloudwatch:GetMetricData: {overall}")
    return Series(tuple(sorted(result.points.items())))
