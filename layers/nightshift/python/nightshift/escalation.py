"""
Who is told next, and when people hear again, while nobody says that they are on it. Pure.

An incident wants a person from when it asks, or from when it has ended and needs one. The first level is told when the
severity's time for that has passed since (its response time where nothing else is said), each following one after its
own ``after``, or another response time. Each is told once; an acknowledgement ends it.

Those who were told first hear of it again every so often, where their severity says how often: at most once in each
span of that length since a person is wanted, however late or doubled our looks are, and for so long at most. What was
missed is not made up for: the next update says everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift.config import Policy
from nightshift.model import Incident

__all__ = ["MOST_UPDATES", "Turn", "Update", "level_name", "next_turn", "next_update", "updated"]

MOST_UPDATES = 48
"""updates on one incident: a day of them, at one each half hour; by then it is taken up afresh, or nobody reads them"""
_UPDATE = "update:"


@dataclass(frozen=True, slots=True)
class Turn:
    """Which level is told next, and when."""

    level: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Update:
    """The update that comes next, by its number since a person is wanted, and when."""

    number: int
    at: datetime


def level_name(number: int) -> str:
    """What the level of that number is called, from 0: L1, L2, L3."""
    return f"L{number + 1}"


def next_turn(incident: Incident, policy: Policy) -> Turn | None:
    """Whom to tell next, and when; None where nobody is left, nobody is wanted, or somebody is on it."""
    if incident.wanted_since is None or incident.acknowledged is not None:
        return None
    response = policy.respond_within(incident.severity)
    at = incident.wanted_since + policy.escalate_after(incident.severity)
    for number, level in enumerate(policy.escalation):
        at += level.after or (response if number else timedelta(0))
        name = level_name(number)
        if f"unanswered:{name}" not in incident.notices:
            return Turn(name, at)
    return None


def next_update(incident: Incident, policy: Policy, now: datetime) -> Update | None:
    """When people hear again what has changed; None where nobody is to, or somebody is on it."""
    every, since = policy.update_every(incident.severity), incident.wanted_since
    if every is None or since is None or incident.acknowledged is not None:
        return None
    number = max(_told(incident) + 1, (now - since) // every)
    return Update(number, since + number * every) if number <= MOST_UPDATES else None


def updated(incident: Incident, update: Update) -> Incident:
    """The record once that update was told: of all updates it keeps only the newest."""
    others = tuple(key for key in incident.notices if not key.startswith(_UPDATE))
    return replace(incident, notices=(*others, f"{_scope(incident)}{update.number}"))


def _told(incident: Incident) -> int:
    """The number of the newest update since a person is wanted; 0 where there was none."""
    scope = _scope(incident)
    return max((int(key.removeprefix(scope)) for key in incident.notices if key.startswith(scope)), default=0)


def _scope(incident: Incident) -> str:
    """Whoever asked and later gave up wants people twice: each time it is counted anew."""
    since = incident.wanted_since
    return f"{_UPDATE}{int(since.timestamp()) if since else 0}:"
