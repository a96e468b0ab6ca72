"""The examples in config/ say of severities what the runbooks' own tables say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from nightshift.config import Policy, load_toml
from nightshift.model import Severity

CONFIG = Path(__file__).parents[2] / "config"
AT_ONCE, RULE = timedelta(0), timedelta(minutes=30)

RUNBOOKS: dict[str, list[tuple[str, timedelta, timedelta | None]]] = {
    # runbook 0, "Severity Levels": response time, escalation
    "transient-trigger": [
        ("P1", timedelta(minutes=15), AT_ONCE),  # "15 minutes", "Immediate"
        ("P2", timedelta(hours=1), timedelta(hours=2)),  # "1 hour", "After 2 hours"
        ("P3", timedelta(hours=4), timedelta(hours=8)),  # "4 hours", "After 8 hours"
        ("P4", timedelta(hours=24), timedelta(hours=48)),  # "24 hours", "After 48 hours"
    ],
    # runbook 1, "Severity Levels": response time
    "opendata-pulse": [
        ("Severity 1", timedelta(minutes=15), None),
        ("Severity 2", timedelta(hours=1), None),
        ("Severity 3", timedelta(hours=4), None),
        ("Severity 4", timedelta(hours=24), None),
    ],
    # runbook 2, "Escalation Matrix": response time
    "lecture": [
        ("P0", timedelta(minutes=15), None),
        ("P1", timedelta(hours=1), None),
        ("P2", timedelta(hours=4), None),
        ("P3", timedelta(days=1), None),  # "next business day"
    ],
    # runbook 3, "Severity Levels", and "if can't resolve in 30 minutes, escalate"
    "document-management": [
        ("P1", timedelta(minutes=15), RULE),  # "immediate": the soonest that any of the runbooks gives a person
        ("P2", timedelta(hours=1), RULE),
        ("P3", timedelta(hours=4), RULE),
        ("P4", timedelta(days=14), None),  # "next sprint", "create ticket only"
    ],
}


def policy(name: str) -> Policy:
    """The example of a runbook."""
    return load_toml(CONFIG / f"{name}.toml")


@pytest.mark.scenario("0.18", "severities")
@pytest.mark.scenario("1.1", "severities")
@pytest.mark.scenario("2.1", "severities")
@pytest.mark.scenario("3.17", "severities")
@pytest.mark.parametrize("name", RUNBOOKS)
def test_labels_response_and_escalation_are_the_runbooks(name: str) -> None:
    """Where a runbook says nothing of escalation, it goes on when nobody has responded in time."""
    rules = policy(name)
    said = [(rules.label(each), rules.respond_within(each), rules.escalate_after(each)) for each in Severity]
    assert said == [(label, respond, respond if goes is None else goes) for label, respond, goes in RUNBOOKS[name]]


@pytest.mark.scenario("0.26", "escalation")
def test_the_escalation_path_is_the_runbooks() -> None:
    """The on-call engineer is told at once; then the lead, the manager and the director, one after the other."""
    rules = policy("transient-trigger")
    told = [rules.notify.emails, *(level.emails for level in rules.escalation)]
    assert [emails[0].partition("@")[0] for emails in told] == [
        "pagerduty-oncall",
        "team-lead",
        "eng-manager",
        "director",
    ]


@pytest.mark.scenario("1.27", "updates")
def test_updates_come_every_half_hour_where_the_runbook_says_so() -> None:
    """Of what is critical or high; of the rest the end is enough."""
    rules = policy("opendata-pulse")
    assert [rules.update_every(each) for each in Severity] == [RULE, RULE, None, None]
