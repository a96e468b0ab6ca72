"""
The aliases of Lambda functions: where one pointed, and since when, by what sweeps have noted of it.

AWS keeps no history of an alias, and the number below may never have run. So each sweep notes the version that it
finds: what was last seen in one place and first in another was moved in between. While an alias has weights, it is
being moved, by CodeDeploy say, and points nowhere.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift.model import Arn, MetricQuery, ResourceRead
from nightshift.remediation import Kept, Reader, history, kept

__all__ = ["LATELY", "Move", "calls", "lately", "moved", "noted", "where"]

LATELY = timedelta(hours=6)
"""how long after an alias was moved what fails is told with that: a person who is asked may take hours"""
_GAP = timedelta(minutes=10)
"""without a sweep that saw it: longer, and nobody knows when it was moved, nor over what"""


@dataclass(frozen=True, slots=True)
class Move:
    """
    How an alias came to where it points.

    It pointed to ``before`` for ``ran`` and was last seen there at ``left``; it was first seen at ``version`` at
    ``since``. ``known``: it was looked at often enough meanwhile. ``returned``: it had pointed there before.
    ``gone_back_from``: the versions that it was taken away from like that.
    """

    version: str
    before: str
    ran: timedelta
    left: datetime
    since: datetime
    known: bool
    returned: bool
    gone_back_from: frozenset[str]


@dataclass(slots=True)
class _Stay:
    """For how long an alias pointed to one version, and to no other beside it."""

    version: str
    since: datetime
    seen: datetime
    known: bool  # whether it was looked at often enough on the way here


def moved(stood: Sequence[Kept]) -> Move | None:
    """The last move of an alias; None where none was seen, or where it is being moved now."""
    if not stood or stood[-1].what.get("Weights"):
        return None
    stays = _stays(stood)
    if len(stays) < 2:  # noqa: PLR2004 - one place, and one before it
        return None
    *_, before, now = stays
    order = [each.version for each in stays]
    back = frozenset(order[n - 1] for n in range(1, len(order)) if order[n] in order[:n])
    return Move(
        version=now.version,
        before=before.version,
        ran=before.seen - before.since,
        left=before.seen,
        since=now.since,
        known=now.known,
        returned=now.version in order[:-1],
        gone_back_from=back,
    )


def _stays(stood: Sequence[Kept]) -> list[_Stay]:
    """One for each version that it pointed to alone, in order: neither other changes of it, nor what is on its way."""
    found: list[_Stay] = []
    known, looked = True, stood[0].since
    for each in stood:
        known, looked = known and each.since - looked <= _GAP, each.seen
        if each.what.get("Weights"):
            continue
        version = str(each.what.get("FunctionVersion"))
        if found and found[-1].version == version:
            found[-1].seen = each.seen
        else:
            found.append(_Stay(version, each.since, each.seen, known))
        known = True
    return found


def lately(stood: Sequence[Kept], now: datetime) -> Move | None:
    """The last move, where it was not long ago."""
    move = moved(stood)
    return move if move is not None and now - move.since <= LATELY else None


def where(arn: Arn, alias: str) -> ResourceRead:
    """Where an alias of a function points."""
    return ResourceRead("lambda.alias", f"{arn}:{alias}")


def noted(read: Reader, arn: Arn, alias: str) -> tuple[Kept, ...]:
    """Where sweeps saw it point, the oldest first."""
    query = where(arn, alias)
    return kept(read.seen(history(query)), query)


def calls(arn: Arn, alias: str, minutes: int, version: str = "") -> tuple[MetricQuery, MetricQuery]:
    """
    Calls that named an alias, and those of them that failed: all of them, or those that one version answered.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html
    """
    answered = (("ExecutedVersion", version),) if version else ()
    dimensions = (*answered, ("FunctionName", arn.name), ("Resource", f"{arn.name}:{alias}"))
    ran, failed = (
        MetricQuery("AWS/Lambda", metric, dimensions, "Sum", 60, minutes) for metric in ("Invocations", "Errors")
    )
    return ran, failed
