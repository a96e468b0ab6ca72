"""What is seen after it was not: an incident is about what is seen, and a target that has healed is left alone."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from nightshift.config import Level, SeverityTable
from nightshift.errors import StoreUnavailable
from nightshift.incidents import Incidents
from nightshift.model import Phase, Severity, Verdict

from tests.nightshift.test_engine import HOUR, night
from tests.nightshift.test_giving_back import remind
from tests.support.toy import MINUTE, Account, Night, Toy

TOLD = {Severity.SEV3: SeverityTable(respond_within=30 * MINUTE, update_every=HOUR)}


def blinded(account: Account, toy: Toy) -> tuple[Night, list[bool]]:
    """A sick target that nobody can see, for as long as the list says so."""
    here, failing = Night(account, toy, account.queue("orders", delay=5)), [True]

    def rule(name: str, params: Any) -> None:
        del params
        if failing[0] and name == "sqs:GetQueueAttributes":
            unavailable: Any = {
                "Error": {"Code": "ServiceUnavailable", "Message": "no"},
                "ResponseMetadata": {"HTTPStatusCode": 503},
            }
            raise ClientError(unavailable, "GetQueueAttributes")

    account.wire.before.append(rule)
    return here, failing


def test_what_was_not_to_be_seen_and_is_sick_is_worked_on_as_what_it_is(account: Account) -> None:
    """With its own finding, and all the attempts and the time that its remediation has."""
    toy = Toy(cures=False, patience=20 * MINUTE, cooldown=15 * MINUTE, confirm=2, looks=3)
    here, failing = blinded(account, toy)
    here.look()
    here.minutes(6)
    failing[0] = False
    incident = here.until_closed(400)
    assert len(incident.attempts) == 3
    assert "delayed" in incident.finding.symptom


def test_what_was_seen_sick_does_not_end_because_it_can_be_seen(account: Account) -> None:
    """It heals after an attempt: that is what the report says."""
    here, failing = blinded(account, Toy(cures=False, patience=2 * MINUTE, max_attempts=3, cooldown=30 * MINUTE))
    here.look()
    here.minutes(2)
    failing[0] = False
    here.minutes(8)
    assert (here.incident.phase, len(here.incident.attempts)) == (Phase.OPEN, 1)
    account.set(here.target, DelaySeconds="0")
    assert "can be seen again" not in here.until_closed(400).why


def test_a_look_that_fails_makes_no_healed_target_sick_again(account: Account) -> None:
    """It had been seen healthy, and nobody is paged about it because one read was throttled."""
    here = night(
        account,
        Toy(cures=False, max_attempts=1, patience=MINUTE),
        escalation=(Level(emails=("boss@example.com",)),),
        severities={Severity.SEV3: SeverityTable(respond_within=30 * MINUTE)},
    )
    incident = here.until_closed(30)
    account.mails()
    account.set(here.target, DelaySeconds="0")
    for _ in range(60):
        account.clock.pass_(MINUTE)
        here.sweep()
        again = account.incidents.get(incident.id)
        assert again is not None
        if again.remind_at is None or again.remind_at <= account.clock() + MINUTE:
            break
    assert account.incidents.pointers() == {}
    account.wire.fail("sqs:GetQueueAttributes", "Throttling", times=1)
    account.clock.pass_(MINUTE)
    here.sweep()
    remind(account, here)
    assert account.mails() == []


def test_between_quiet_and_a_new_incident_nobody_takes_a_sick_target_for_healed(account: Account) -> None:
    """The one ends and the other begins in one write: where that fails, all is as it was."""
    here = night(account, Toy(cures=False, max_attempts=1, patience=MINUTE), severities=TOLD)
    here.until_closed(30)
    account.clock.pass_(24 * HOUR)
    account.mails()
    throttled = StoreUnavailable("dynamodb:TransactWriteItems: ThrottlingException")
    with patch.object(Incidents, "open", side_effect=throttled), pytest.raises(StoreUnavailable):
        here.sweep()
    remind(account, here)
    assert not any(mail.startswith("RESOLVED") for mail in account.mails())


def test_who_had_let_go_of_a_target_does_not_say_whose_doing_its_health_is(account: Account) -> None:
    """A later incident may have cured it."""
    here = night(account, Toy(cures=False, max_attempts=1, patience=MINUTE), severities=TOLD)
    assert here.until_closed(30).verdict is Verdict.ESCALATED
    for minute in range(24 * 60 - 5):
        account.clock.pass_(MINUTE)
        if minute % 60 == 0:
            here.look()
            remind(account, here)
    account.mails()
    later = Night(account, Toy(cures=True), here.target, severities=TOLD)
    for _ in range(100):
        later.minutes(1)
        remind(account, later)
    assert later.incident.verdict is Verdict.FIXED
    [resolved] = [mail for mail in account.mails() if mail.startswith("RESOLVED")]
    assert "Nightshift's doing" not in " ".join(resolved.split())
