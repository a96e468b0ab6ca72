"""
Gap filled: moto answers every CloudWatch Logs Insights query with the lines themselves, and no thin cloud has logs.

A log group holds a sample of the requests that its application has answered, as lines of JSON. A query runs over them:
`fields`, `parse` with a regular expression, `filter ispresent`, `stats … by`, `sort` and `limit`. Anything else is
refused loudly, because an answer of "no line" would be believed. As in AWS, an answer takes its time.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.clock import Agenda
from sandbox.seam import Answer, AwsError, Call, Seam, new_id

Line = tuple[str, int, int]
"""a request: its path, the status of its answer, and how long that took in milliseconds"""
KEPT_MINUTES = 180
TAKES_MS = 5_000

_STAT = re.compile(r"(count|pct)\((\*|\w+)(?:, *(\d+))?\) as (\w+)\Z")
_PARSE = re.compile(r"parse @message /(.+)/\Z")
_STATS = re.compile(r"stats (.+) by (\w+)\Z")


class NotUnderstood(NotImplementedError):
    """A command of a query that the sandbox does not know."""


@dataclass(eq=False)
class RequestLog:
    """What one application has logged of late."""

    name: str
    minutes: deque[tuple[int, list[Line]]] = field(default_factory=lambda: deque(maxlen=KEPT_MINUTES))

    def write(self, minute: int, lines: list[Line]) -> None:
        """Log a minute's requests."""
        self.minutes.append((minute, lines))

    def events(self, start: int, end: int) -> list[dict[str, str]]:
        """The lines between two moments in epoch seconds, with the fields that CloudWatch finds in them."""
        within = (lines for minute, lines in self.minutes if start <= minute * 60 <= end)
        return [_event(*line) for lines in within for line in lines]


def _event(path: str, status: int, took: int) -> dict[str, str]:
    level = "error" if status >= 500 else "info"
    content = {"level": level, "method": "GET", "path": path, "statusCode": status, "duration": took}
    return {**{name: str(value) for name, value in content.items()}, "@message": json.dumps(content)}


@dataclass
class _Query:
    ready_ms: int
    rows: list[dict[str, str]]
    scanned: int


class LogInsights:
    """StartQuery and GetQueryResults."""

    def __init__(self, agenda: Agenda, seam: Seam) -> None:
        self.groups: dict[str, RequestLog] = {}
        self.never_ready = False
        self.asked: dict[str, str] = {}  # the log group that each query is over
        self._agenda = agenda
        self._queries: dict[str, _Query] = {}
        seam.fake("logs", StartQuery=self._start, GetQueryResults=self._results)

    def add(self, name: str) -> RequestLog:
        """A log group is there from now on."""
        return self.groups.setdefault(name, RequestLog(name))

    def _start(self, call: Call) -> Answer:
        params = call.params
        group = self.groups.get(params["logGroupName"])
        if group is None:
            raise AwsError("ResourceNotFoundException", f"Log group '{params['logGroupName']}' does not exist")
        if params["startTime"] >= params["endTime"]:
            raise AwsError("InvalidParameterException", "The end of the query is not after its start")
        events = group.events(params["startTime"], params["endTime"])
        number = new_id()
        self._queries[number] = _Query(self._agenda.ms + TAKES_MS, answer(params["queryString"], events), len(events))
        self.asked[number] = group.name
        return {"queryId": number}

    def _results(self, call: Call) -> Answer:
        query = self._queries.get(call.params["queryId"])
        if query is None:
            raise AwsError("ResourceNotFoundException", "The query does not exist")
        if self.never_ready or self._agenda.ms < query.ready_ms:
            return {"status": "Running", "results": []}
        rows = [[{"field": name, "value": value} for name, value in row.items()] for row in query.rows]
        return {"status": "Complete", "results": rows, "statistics": {"recordsScanned": float(query.scanned)}}


def answer(query: str, events: list[dict[str, str]]) -> list[dict[str, str]]:
    """What a query makes of events."""
    rows = events
    for line in query.split("\n"):
        rows = _command(line.strip().removeprefix("|").strip(), rows)
    return rows


def _command(command: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    word, _, rest = command.partition(" ")
    if word == "fields":
        return rows
    if found := _PARSE.match(command):
        pattern = re.compile(found[1].replace("(?<", "(?P<"))
        return [{**row, **match.groupdict()} if (match := pattern.search(row["@message"])) else row for row in rows]
    if word == "filter" and (found := re.fullmatch(r"ispresent\((\w+)\)", rest)):
        return [row for row in rows if found[1] in row]
    if found := _STATS.match(command):
        return _stats(re.split(r", (?=count|pct)", found[1]), found[2], rows)
    if word == "sort" and (found := re.fullmatch(r"(\w+) desc", rest)):
        name = found[1]
        return sorted(rows, key=lambda row: -float(row[name]))
    if word == "limit":
        return rows[: int(rest)]
    raise NotUnderstood(command)


def _stats(asked: list[str], by: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row[by], []).append(row)
    return [{by: key, **dict(_stat(each, members) for each in asked)} for key, members in groups.items()]


def _stat(asked: str, rows: Iterable[dict[str, str]]) -> tuple[str, str]:
    found = _STAT.match(asked)
    if found is None:
        raise NotUnderstood(asked)
    function, name, percent, result = found.groups()
    if function == "count":
        return result, str(sum(name == "*" or name in row for row in rows))
    values: list[Any] = sorted(float(row[name]) for row in rows if name in row)
    return result, str(values[max(math.ceil(len(values) * int(percent) / 100) - 1, 0)])
