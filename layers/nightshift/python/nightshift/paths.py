"""
Which paths of an application fail or are slow, by its own log: the evidence that tells one endpoint from all of them.

CloudWatch Logs Insights bills every byte that it reads. So it is asked once an incident, over a quarter of an hour,
right before people are told, and its answer is fetched at the next look. The query is a constant: nothing of a name
or a message gets into it. What comes back is counts by path. Of a path only plain words are shown.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nightshift.errors import Refused
from nightshift.model import Arn, Json
from nightshift.remediation import Reader, Unread

__all__ = ["QUERY", "READS", "Path", "counted", "plain"]

READS = ("logs:StartQuery", "logs:GetQueryResults")
"""what a remediation that asks must declare"""

_TROUBLE = r'[Ll]evel"? ?[:=] ?"?(?:error|Error|ERROR|fatal|FATAL)|\bERROR\b|statusCode"? ?[:=] ?"?5[0-9][0-9]'
QUERY = f"""fields path, duration
| parse @message /(?<trouble>{_TROUBLE})/
| filter ispresent(path)
| stats count(*) as requests, count(trouble) as failed, pct(duration, 95) as slow by path
| sort requests desc
| limit 100"""
"""
Requests, those of them that went wrong, and the 95th percentile of how long they took (in ms), by path.

A line went wrong where it says so by its level (level=error, "level": "ERROR"), by the bare word ERROR, or by its code.
"""

_WINDOW = timedelta(minutes=15)
_AGAIN = timedelta(minutes=1)
_PATIENCE = timedelta(minutes=4)
_ON_ITS_WAY = frozenset({"Scheduled", "Running", "Unknown"})
_LONGEST = 6  # parts of a path that are shown

_WORD = re.compile(r"v[0-9]{1,3}|[a-z]{1,20}(?:[_-][a-z]{1,20}){0,2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Path:
    """How requests to one path went. ``slow`` is the 95th percentile of how long they took, in milliseconds."""

    name: str
    requests: int
    failed: int
    slow: float

    @property
    def text(self) -> str:
        """A line of evidence."""
        return f"{self.name}: {self.failed} of {self.requests} requests went wrong, p95 {self.slow:.0f} ms"


def counted(read: Reader, log_group: Arn | None, notes: dict[str, Json]) -> tuple[Path, ...] | Unread:
    """
    The paths in the log of the last minutes, or why nobody can tell.

    Refuses, for a minute, while the answer is on its way, and notes what was asked. Raises what a read raises.
    """
    if log_group is None:
        return Unread("the configuration names no log_group of the service")
    now = read.now()
    if "query" not in notes:
        started = read(
            "logs",
            "StartQuery",
            logGroupName=log_group.resource.partition(":")[2],
            startTime=int((now - _WINDOW).timestamp()),
            endTime=int(now.timestamp()),
            queryString=QUERY,
        )
        notes["query"], notes["asked"] = str(started.get("queryId")), now.isoformat()
        raise Refused("evidence", "CloudWatch Logs Insights counts requests by path", retry_after=_AGAIN)
    answer = read("logs", "GetQueryResults", queryId=notes["query"])
    status = str(answer.get("status"))
    if status == "Complete":
        return _paths(answer.get("results", ()))
    if status in _ON_ITS_WAY and now < datetime.fromisoformat(notes["asked"]) + _PATIENCE:
        raise Refused("evidence", "CloudWatch Logs Insights still counts requests by path", retry_after=_AGAIN)
    return Unread(f"CloudWatch Logs Insights gave no answer ({status})")


def plain(path: str) -> str:
    """
    A path without what may be a secret or a person: only plain words are shown.

    >>> plain("/v1/customers/4711/reset-password/eyJhbGciOi?mail=a@example.com")
    '/v1/customers/*/reset-password/*'
    """
    parts = [part for part in path.partition("?")[0].partition("#")[0].split("/") if part]
    shown = [part if _WORD.fullmatch(part) else "*" for part in parts[:_LONGEST]]
    return "/" + "/".join([*shown, *(["*"] if len(parts) > _LONGEST else [])])


def _paths(rows: Iterable[Iterable[Mapping[str, Any]]]) -> tuple[Path, ...]:
    """Paths that look the same once they are plain are one."""
    found: dict[str, Path] = {}
    for row in rows:
        values = {str(each.get("field")): str(each.get("value")) for each in row}
        name = plain(values.get("path", ""))
        old = found.get(name, Path(name, 0, 0, 0.0))
        found[name] = Path(
            name,
            old.requests + int(_number(values, "requests")),
            old.failed + int(_number(values, "failed")),
            max(old.slow, _number(values, "slow")),
        )
    return tuple(found.values())


def _number(values: Mapping[str, str], name: str) -> float:
    try:
        value = float(values.get(name, ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
