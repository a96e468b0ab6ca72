"""The kill switch keeps who set it and why, is never loosened by stopping; status is loud when nobody watches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from nightshift.guardrails import Brake
from nightshift.incidents import Switch
from nightshift.model import Phase, SwitchState, Verdict

from tests.nightshift.cli.desk import ID, ME, NOW, Desk

AT = "2026-11-20T03:07:42.000000Z"


def test_a_fresh_deployment_may_do_nothing_until_it_is_resumed(desk: Desk) -> None:
    """And who resumed it, when and why is kept."""
    assert desk.answer("status")["switch"] == {
        "state": None,
        "may_act": False,
        "reason": "it was never switched on (nightshift resume)",
        "by": "",
        "at": None,
    }
    told = desk.answer("resume", "--why", "first night")
    assert told["before"]["state"] is None
    assert told["after"] == {"state": "on", "may_act": True, "reason": "first night", "by": ME, "at": AT}
    assert desk.store.switch() == Switch(SwitchState.ON, "first night", ME, AT)


@pytest.mark.parametrize("words, state", [((), SwitchState.PAUSED), (("--hard",), SwitchState.HALTED)])
def test_stopping_keeps_who_and_why_and_says_what_it_was_before(
    desk: Desk, words: tuple[str, ...], state: SwitchState
) -> None:
    """Paused, or halted with ``--hard``."""
    desk.store.set_switch(SwitchState.ON, reason="go", by="eve", now=NOW)
    result = desk.on_table("pause", "--why", "migration tonight", *words)
    assert result.exit_code == 0, result.output
    assert desk.store.switch() == Switch(state, "migration tonight", ME, AT)
    was, _, now_is = result.stdout.partition("it is")
    assert "on by eve" in was
    assert f"{state.value} by {ME}" in now_is


@pytest.mark.parametrize("before", [None, SwitchState.HALTED])
def test_pausing_never_loosens(desk: Desk, before: SwitchState | None) -> None:
    """Paused lets us take back what we lent: after a halt only `resume` may allow that again."""
    if before is not None:
        desk.store.set_switch(before, reason="stop", by="eve", now=NOW)
    kept = desk.store.switch()
    result = desk.on_table("pause", "--why", "careful")
    assert result.exit_code == 1
    assert "stricter than paused" in result.stderr
    assert desk.store.switch() == kept
    assert desk.wrote() == set()


def test_pausing_does_not_loosen_what_somebody_halts_meanwhile(desk: Desk) -> None:
    """Two people stop it at once: the stricter one counts, whoever is later."""
    desk.store.set_switch(SwitchState.ON, reason="go", by="bob", now=NOW)

    def fault(params: object) -> None:
        desk.cloud.faults.pop("PutItem")
        desk.store.set_switch(SwitchState.HALTED, reason="it deletes tasks", by="eve", now=NOW)

    desk.cloud.faults["PutItem"] = fault
    result = desk.on_table("pause", "--why", "careful")
    assert (desk.store.switch().state, desk.store.switch().by) == (SwitchState.HALTED, "eve")
    assert result.exit_code == 1
    assert "stricter than paused (it deletes tasks)" in result.stderr


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize("words", [(), ("--why", " ")])
def test_a_switch_needs_a_reason(desk: Desk, command: str, words: tuple[str, ...]) -> None:
    """Missing or blank, it is wrong usage, and nothing is written."""
    assert desk.on_table(command, *words).exit_code == 2
    assert desk.wrote() == set()


def test_status_is_loud_when_no_sweep_was_ever_completed(desk: Desk) -> None:
    """A deployment that never ran looks like one that died."""
    result = desk.on_table("status")
    assert result.exit_code == 0
    assert "NOBODY IS WATCHING" in result.stderr


@pytest.mark.parametrize("seconds, stale", [(0, False), (180, False), (181, True)])
def test_a_heartbeat_is_stale_after_three_minutes(desk: Desk, seconds: int, stale: bool) -> None:
    """Three missed sweeps are tolerated, and no second more."""
    desk.store.beat(NOW - timedelta(seconds=seconds), {"targets": 12, "sick": 1})
    told = desk.answer("status")["heartbeat"]
    assert (told["stale"], told["age_seconds"], told["seen"]) == (stale, seconds, {"targets": 12, "sick": 1})
    result = desk.on_table("status")
    assert ("NOBODY IS WATCHING" in result.stderr) is stale
    assert "12 targets" in result.stdout


def test_status_names_what_is_open_and_what_brakes(desk: Desk) -> None:
    """And writes nothing."""
    desk.record()
    desk.record(
        id="20261120T0200-ffffffff", phase=Phase.CLOSED, verdict=Verdict.FIXED, closed_at=NOW, remediation="other"
    )
    desk.store.set_brake(Brake(engaged=True, reason="4 targets fell sick at once", since=NOW, sick=4))
    told = desk.answer("status")
    assert told["open"] == [ID]
    assert told["brake"] == {
        "engaged": True,
        "reason": "4 targets fell sick at once",
        "since": "2026-11-20T03:07:42+00:00",
        "sick": 4,
    }
    shown = desk.on_table("status").stdout
    assert "ENGAGED since 2026-11-20 03:07:42 UTC: 4 targets fell sick at once" in shown
    assert ID in shown
    assert desk.wrote() == set()
