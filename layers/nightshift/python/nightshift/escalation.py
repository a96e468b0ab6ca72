"""
Who is told next while nobody says that they are on it. Pure.

An incident wants a person from when it asks, or from when it has ended and needs one. The first level is told when the
severity's response time has passed since, each following one after its own ``after``, or another response time. Each is
told once; an acknowledgement ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from nightshift.config import Policy
from nightshift.model import Incident

__all__ = ["Turn", "level_name", "next_turn"]


@dataclass(frozen=True, slots=True)
class Turn:
    """Which level is told next, and when."""

    level: str
    at: datetime


def level_name(number: int) -> str:
    """What the level of that number is called, from 0: L1, L2, L3."""
    return f"L{number + 1}"


def next_turn(incident: Incident, policy: Policy) -> Turn | None:
    """Whom to tell next, and when; None where nobody is left, nobody is wanted, or somebody is on it."""
    if incident.wanted_since is None or incident.acknowledged is not None:
        return None
    response = policy.respond_within(incident.severity)
    at = incident.wanted_since + response
    for number, level in enumerate(policy.escalation):
        at += level.after or (response if number else timedelta(0))
        name = level_name(number)
        if f"unanswered:{name}" not in incident.notices:
            return Turn(name, at)
    return None
