"""
A crash before and after every AWS call of a life, one at a time: the next ticks finish what it began.

A crash between two calls leaves the account as the first of them left it, so the crash after a call is also the crash
before the next one. Reads leave nothing: what dies after a read is what died after the write before it.
"""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Outcome, Verdict

from tests.support.toy import Account, Crash, Night, Toy, an_account

READS = ("Get", "List", "Describe", "Query", "Scan", "BatchGetItem", "Head")
LIVES = {
    "fixed at once": Toy(),
    "in two steps": Toy(steps=2, undoes=True),
    "no help": Toy(cures=False, max_attempts=2, cooldown=timedelta(minutes=1), patience=timedelta(minutes=1)),
    "on lease": Toy(lease=timedelta(minutes=5)),
    "no help, on lease": Toy(cures=False, max_attempts=1, patience=timedelta(minutes=1), lease=timedelta(minutes=30)),
}

SAME = {"no help": 7, "no help, on lease": 7}
"""writes with which these begin as others do: opened, claimed, assumed, intended, made, noted, saved"""


class Fuse:
    """Counts the writes of ticks and sweeps, and crashes after number ``at``."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.burnt = ""
        self.armed = False

    def __call__(self, name: str, params: dict[str, Any]) -> None:
        if not self.armed or name.partition(":")[2].startswith(READS):
            return
        self.count += 1
        if self.count == self.at:
            self.burnt = name
            raise Crash(name)


def live(account: Account, toy: Toy, fuse: Fuse) -> tuple[Night, Incident]:
    """A whole life of one incident; a tick or sweep that crashes is gone, and the next ones come as ever."""
    night = Night(account, toy, account.queue("orders", delay=5))
    account.wire.after.append(fuse)
    for _ in range(90):
        fuse.armed = True
        wait = timedelta(minutes=1)
        try:
            for incident_id in account.incidents.open_ids() or night.sweep().opened:
                night.engine.tick(incident_id)
        except Crash:
            wait = timedelta(minutes=4)  # what a dead tick held is free by then
        fuse.armed = False
        if not account.incidents.open_ids() and account.incidents.recent():
            break
        account.clock.pass_(wait)
    incidents = account.incidents.recent()
    assert len(incidents) == 1, f"{len(incidents)} incidents after a crash in {fuse.burnt}"
    night.ids = [incidents[0].id]
    return night, incidents[0]


def writes_of(life: str) -> int:
    """How many writes a life has when nothing crashes."""
    with an_account() as account:
        fuse = Fuse(0)
        live(account, LIVES[life], fuse)
        return fuse.count


@pytest.mark.parametrize("life", LIVES)
def test_a_crash_after_any_write_is_finished_by_the_next_ticks(life: str) -> None:
    """The effect happens at most once per attempt, there is one verdict, somebody is told, and no lock is left."""
    total = writes_of(life)
    assert total > 8
    for at in range(1 + SAME.get(life, 0), total + 1):
        with an_account() as account:
            fuse = Fuse(at)
            night, incident = live(account, LIVES[life], fuse)
            check(account, night, incident, LIVES[life], f"{life}: crash after write {at}, {fuse.burnt}")


def check(account: Account, night: Night, incident: Incident, toy: Toy, where: str) -> None:
    """What must hold however often something crashed."""
    assert not incident.open, where
    effects = Counter(
        (params["Attributes"].get("VisibilityTimeout"), params["Attributes"].get("DelaySeconds"))
        for _, params in account.wire.made("sqs:SetQueueAttributes")
    )
    cures = sum(count for (visibility, _), count in effects.items() if visibility != "30")
    assert cures <= len(incident.attempts), f"{where}: {cures} applications in {len(incident.attempts)} attempts"
    assert all(attempt.verdict is not None for attempt in incident.attempts), where
    expected = {Verdict.FIXED} if toy.cures else {Verdict.ESCALATED, Verdict.REVERTED}
    assert incident.verdict in expected, f"{where}: {incident.verdict}: {incident.why}"
    lease = account.incidents.lease(incident.target, account.clock())
    assert lease.holder is None, where
    mails = account.mails()
    ends = [mail for mail in mails if mail.startswith(incident.verdict.value.upper()) and "ON LEASE" not in mail[:40]]
    assert 1 <= len(ends) <= 2, f"{where}: told {len(ends)} times of the end: {[mail[:50] for mail in mails]}"
    assert account.attribute(night.target, "VisibilityTimeout") == "30", f"{where}: what was lent is still out"
    reported = sum(
        record.count
        for record in incident.calls
        if record.action == "sqs:SetQueueAttributes" and record.outcome is Outcome.DONE
    )
    assert reported == sum(effects.values()), f"{where}: {reported} reported, {dict(effects)} made"
    assert not incident.lent, where
