"""Every life ends as it says, and keeps every promise wherever it crashes; and a crash that breaks one is noticed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from nightshift import loans
from nightshift.model import Verdict

from sandbox.seam import Call, Do, Outcome
from sandbox.simulation.bugs import BUGS
from sandbox.simulation.exhaustive import Extent, explore, live, points, writes
from sandbox.simulation.lives import LIVES, Life
from sandbox.simulation.nemesis import Death, Nemesis
from sandbox.simulation.run import REGISTRY

BY_NAME = {life.name: life for life in LIVES}
CRASHES = 240
"""what the gate has time for"""
NO_DEFECT_ENDS_THERE = {Verdict.BROKEN, Verdict.INEFFECTIVE}
"""the verdict of a record on which ticks die again and again, and the one of an attempt"""


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_life_without_a_crash_ends_as_it_says(life: Life) -> None:
    """
    Each life has the incidents that its line says, makes the calls that it is about, and keeps every promise.

    Besides its remediation's there are those of what that lent and is not back.
    """
    played, found = live(life)
    assert found == []
    assert tuple(incident.verdict for incident in played.incidents) == life.ends
    assert {incident.remediation for incident in played.incidents} - {loans.NAME} == {life.remediation}
    made = {call.name for call in played.effects}
    assert set(life.does) <= made
    assert not set(life.never) & made


def test_the_lives_take_every_remediation_through_every_end() -> None:
    """Nothing that writes is left out, something that only tells lives too; and every verdict but a defect's is met."""
    lived = {life.remediation for life in LIVES}
    assert {each.name for each in REGISTRY if each.writes} <= lived
    assert lived & {each.name for each in REGISTRY if not each.writes}
    assert {verdict for life in LIVES for verdict in life.ends} == set(Verdict) - NO_DEFECT_ENDS_THERE
    assert len(BY_NAME) == len(LIVES)


@pytest.mark.parametrize("name", ["letters, some of them bad", "restart that helps", "loan superseded while it is out"])
def test_a_read_leaves_nothing(name: str) -> None:
    """Why crashes are merged: what a call that only reads finds in the account, it leaves there as it was."""
    original = Nemesis._effect
    looked: list[str] = []
    changed: list[str] = []

    def effect(nemesis: Nemesis, call: Call, do: Do) -> Outcome:
        if not call.function or writes(call):
            return original(nemesis, call, do)
        before = account(nemesis._world)
        outcome = original(nemesis, call, do)
        looked.append(call.name)
        if account(nemesis._world) != before:
            changed.append(call.name)
        return outcome

    with patch.object(Nemesis, "_effect", effect):
        _, found = live(BY_NAME[name])
    assert found == []
    assert len(looked) > 40
    assert changed == []


def account(world: Any) -> str:
    """Everything that a function can change, as text."""
    items = world.cloud._answers["dynamodb", "Scan"](SimpleNamespace(params={"TableName": "nightshift-demo"}))
    queues = [
        (
            name,
            vars(queue)["visibility_timeout"],
            vars(queue)["delay_seconds"],
            [vars(each) for each in queue._messages],
        )
        for name, queue in world.queues.backend.queues.items()
    ]
    services = [
        [(task.id, task.status) for task in service.tasks] + [each.id for each in service.history]
        for service in world.ecs.all.values()
    ]
    moves = [vars(task) for task in world.move_tasks.all]
    return repr((items, queues, services, moves, world.cloud.objects, len(world.mail)))


def test_what_is_merged_comes_to_the_same() -> None:
    """Every crash is played or has one that stands for it, and ends as that one does."""
    life = BY_NAME["slow, only watched"]
    calls, chosen = points(life)
    assert sum(point.stands_for for point in chosen) == 2 * calls
    each = explore([life], extent=Extent.ALL)
    merged = explore([life])
    assert each.played == 2 * calls == merged.played + merged.merged
    assert each.ends[life.name].keys() == merged.ends[life.name].keys()
    assert not each.violations
    assert not merged.violations


def test_all_that_run_die_at_once() -> None:
    """Where a zone goes down, every invocation that runs is gone, and nothing that it had begun goes on."""
    life = BY_NAME["letters, events overlap"]
    together = [point for point in points(life)[1] if point.death.everybody]
    assert together
    played, found = live(life, together[0].death)
    assert sum(running.dead.startswith("crash") for running in played.stage.hub.all) > 1
    assert found == []


def test_a_crash_kills_one_invocation_and_no_other() -> None:
    """A crash at a call ends the invocation that makes it: it makes no further call, and the others go on."""
    life = BY_NAME["loan that cures"]
    played, _ = live(life, Death(9, after=True))
    [dead] = [running for running in played.stage.hub.all if running.dead.startswith("crash")]
    assert (
        max(n for n, call in enumerate(played.stage.nemesis.calls, 1) if call.notes["invocation"] == dead.number) == 9
    )


@pytest.mark.simulated
@pytest.mark.timeout(600)
def test_no_crash_breaks_a_promise() -> None:
    """Crashes of every kind, spread over all lives; `python -m sandbox.simulation.exhaustive` plays the rest, too."""
    figures = explore(extent=Extent.GATE, workers=2, most=CRASHES)
    assert figures.violations == [], "\n".join(figures.lines())
    assert figures.played == CRASHES


@pytest.mark.parametrize("bug", ["noted-before-told", "effect-before-intent"])
def test_a_defect_that_only_a_crash_shows_is_found(bug: str) -> None:
    """An end that is noted before it is told, or an effect before its intent, is found at the call where it breaks."""
    with BUGS[bug].planted():
        figures = explore([BY_NAME["loan that cures"]], extent=Extent.GATE)
    assert BUGS[bug].noticed_by & {broken.promise for broken in figures.violations}
