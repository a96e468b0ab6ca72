"""
A state of Terraform has been locked for long: tell people who holds the lock, since when, and what to be sure of first.

Symptom   the item of a state's lock has stood in the lock table for longer than an operation takes
Cause     whoever took it is still at work, or ended without giving it back: a run that was cancelled, say
Cure      none of ours: nothing that can be read says which of both it is, and two who write one state destroy it
Proof     the item is gone
Undo      nothing was changed
Source    runbook 2 "Terraform State Lock"; R21

It never deletes the item, and has no permission to. The runbook reads the whole table, where the digests of the states
lie too: an item whose name ends in `-md5` is no lock. Who holds a lock is what the holder says of itself. A lock of
which nobody can tell since when it is held is unknown, and told as what cannot be seen; so is a table that is encrypted
with a key of your own, which Nightshift has no leave to use.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from nightshift.model import Healthy, ResourceRead, Severity, Signal, Target, Unknown
from nightshift.signals.locks import locked
from nightshift.upkeep import READ_ONLY, WRITE, Neglected, Upkeep, moment, time_of

__all__ = ["TerraformLockHeld"]

_HOUR = timedelta(hours=1)
_SKEW = timedelta(minutes=5)
"""how far the clock of a holder may be ahead of ours"""
_ID = re.compile(r"[0-9A-Fa-f-]{8,64}", re.ASCII)
"""the id of a lock, as Terraform makes it: nothing else is put into a command"""
_OPERATION = "OperationType"


class TerraformLockHeld(Upkeep):
    """A lock that nobody gives back."""

    name: ClassVar[str] = "terraform-lock-held"
    title: ClassVar[str] = "a state of Terraform has been locked for long"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table",)
    needs: ClassVar[tuple[str, ...]] = ("terraform_locks",)
    turn: ClassVar[timedelta] = timedelta(minutes=5)
    retold: ClassVar[timedelta] = timedelta(days=1)

    longest: timedelta = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="how long an operation of Terraform may hold a state"
    )

    def query(self, target: Target) -> ResourceRead:
        return locked(target.arn, target.terraform_locks or ())

    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        """By the oldest lock. One that is too old is told, also where nothing is known of another."""
        held: Mapping[str, Mapping[str, Any]] = found["Held"]
        since = {lock: at for lock in sorted(held) if (at := time_of(held[lock], "Created")) and at <= now + _SKEW}
        old = {lock: at for lock, at in since.items() if now - at > self.longest}
        unclear = [lock for lock in sorted(held) if lock not in since]
        if old:
            return self._told(target, held, old, unclear, now)
        if unclear:
            return Unknown(f"{unclear[0]} is locked, and its lock does not say since when")
        young = [f"{lock} is locked since {moment(at)}" for lock, at in since.items()]
        return Healthy("; ".join(young) or "no state is locked")

    def _told(
        self,
        target: Target,
        held: Mapping[str, Mapping[str, Any]],
        old: Mapping[str, datetime],
        unclear: list[str],
        now: datetime,
    ) -> Neglected:
        hours = (now - min(old.values())) / _HOUR
        return Neglected(
            symptom="; ".join(
                f"Terraform's state {lock} has been locked since {moment(at)}" for lock, at in old.items()
            ),
            cause="who took it is still at work, or has ended without giving it back: the lock does not say which",
            signals=(Signal("age of the lock", round(hours, 1), self.longest / _HOUR, "now", "hours"),),
            evidence=(
                *(f"{lock}: {_holder(held[lock])}" for lock in old),
                *(f"{lock} is locked too, and its lock does not say since when" for lock in unclear),
            ),
            advice=(
                *(f"see who holds it: {_look(target, lock)} {READ_ONLY}" for lock in old),
                "find that person or run, and see whether it is still at work: while it is, wait for it",
                *(
                    f"once you are sure that it has ended, where {lock} is configured: {_unlock(held[lock])}"
                    for lock in old
                ),
                "then see what it has left half done before anything else is applied: terraform plan",
                "do not delete the item: whoever has the lock by then would lose it, which force-unlock looks at first",
            ),
            severity=Severity.SEV3,
        )


def _holder(said: Mapping[str, Any]) -> str:
    """Who holds a lock, and what for, in the holder's own words."""
    what = str(said.get("Operation") or "an operation without a name").removeprefix(_OPERATION)
    version = said.get("Version")
    with_ = f" with Terraform {version}" if version else ""
    return f"held by {said.get('Who') or 'somebody without a name'} for {what}{with_}"


def _look(target: Target, lock: str) -> str:
    key = shlex.quote(json.dumps({"LockID": {"S": lock}}))
    return f"aws dynamodb get-item --table-name {shlex.quote(target.arn.name)} --key {key} --consistent-read"


def _unlock(said: Mapping[str, Any]) -> str:
    shown = str(said.get("ID"))
    return f"terraform force-unlock {shown if _ID.fullmatch(shown) else 'ID'} {WRITE}"
