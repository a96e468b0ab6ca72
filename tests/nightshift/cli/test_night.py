"""From the question to what follows: the answer that was typed is the one that the engine acts on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from nightshift.config import load_toml
from nightshift.engine import Engine
from nightshift.environment import Environment
from nightshift.model import Incident, Phase, SwitchState, Verdict
from nightshift.service import connect

from tests.nightshift.cli.desk import ID, ME, NOW, Desk, Toy
from tests.nightshift.signals.cloud import ACCOUNT, REGION


@pytest.fixture
def engine(desk: Desk) -> Engine:
    """The deployed engine, a sick queue that may be cured with a yes, and an incident that has been looked at twice."""
    topic = desk.cloud.session.client("sns").create_topic(Name="reports")["TopicArn"]
    environment = Environment(
        table=desk.table,
        topic_arn=topic,
        queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/work",
        quarantine="quarantine",
        write_roles=f"arn:aws:iam::{ACCOUNT}:role/nightshift/prod-{REGION}-",
        region=REGION,
    )
    desk.letters(messages=2, tags={"auto-remediation": "enabled"})
    desk.record(phase=Phase.OPEN, plan=None, approval=None, diagnosis=None, sick_looks=2)
    desk.store.set_switch(SwitchState.ON, reason="go", by=ME, now=NOW)
    policy = load_toml(desk.config, registry=(Toy,))
    return connect(policy, desk.cloud.aws(), environment, clock=lambda: desk.now).engine


def tick(desk: Desk, engine: Engine) -> Incident:
    """Let a minute pass, and look."""
    desk.now += timedelta(minutes=1)
    after = engine.tick(ID)
    assert after is not None
    return after


def waiting(desk: Desk) -> int:
    """How many messages the queue holds."""
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/letters"
    name = "ApproximateNumberOfMessages"
    answer = desk.cloud.session.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(answer["Attributes"][name])


def test_nothing_is_done_until_somebody_says_yes(desk: Desk, engine: Engine) -> None:
    """Then the plan that was shown is carried out, once."""
    assert tick(desk, engine).phase is Phase.AWAITING
    assert tick(desk, engine).phase is Phase.AWAITING
    assert waiting(desk) == 2
    assert desk.on_table("approve", ID, input="y\n").exit_code == 0
    after = tick(desk, engine)
    assert after.phase is Phase.SETTLING
    assert waiting(desk) == 0
    assert after.approval is not None
    assert (after.approval.by, after.approval.used_at) == (ME, desk.now)
    assert desk.on_table("approve", ID, "--yes").exit_code == 1


def test_a_no_ends_it_with_its_reason(desk: Desk, engine: Engine) -> None:
    """The incident closes as refused, and says who refused it and why."""
    assert tick(desk, engine).phase is Phase.AWAITING
    assert desk.on_table("deny", ID, "--why", "they are invoices", "--yes").exit_code == 0
    after = tick(desk, engine)
    assert (after.phase, after.verdict) == (Phase.CLOSED, Verdict.REFUSED)
    assert after.why == f"denied by {ME}: they are invoices"
    assert waiting(desk) == 2


def test_a_yes_does_not_get_past_the_kill_switch(desk: Desk, engine: Engine) -> None:
    """Somebody stops it between the yes and the next look: nothing is done."""
    assert tick(desk, engine).phase is Phase.AWAITING
    assert desk.on_table("approve", ID, "--yes").exit_code == 0
    assert desk.on_table("pause", "--why", "wait").exit_code == 0
    after = tick(desk, engine)
    assert after.phase is Phase.AWAITING
    assert after.refusal is not None
    assert after.refusal.guard == "kill-switch"
    assert waiting(desk) == 2
