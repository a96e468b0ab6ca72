"""
Dead letters of a FIFO queue: a person is asked, each time; then SQS moves them itself, in their order.

None is looked at, because that would hold up its group; none is sent by us, so none can be sent twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from nightshift.model import Incident, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.ledger import fingerprint
from sandbox.scenes import DLQ, NIGHT, Stage, configuration, failures
from sandbox.systems.document_management import SCANNER, DocumentManagement
from sandbox.world import World


@contextmanager
def staged(*, thin: bool = True, settings: str = "", mode: str = "auto") -> Iterator[Stage]:
    """The document management system with queues that keep an order, at work."""
    with World(NIGHT, thin=thin) as world:
        system = DocumentManagement(world, ordered=True)
        with Deployment(world, configuration(system, settings=settings, mode=mode)) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(20)
            yield stage
            assert world.unaccounted() == {}
            assert failures(world) == ()


def asked(stage: Stage, limit: int = 120) -> Incident:
    """The incident, once a person is asked."""
    for _ in range(limit):
        stage.minutes(1)
        found = stage.nightshift.of(DLQ)
        if found and found[0].phase is Phase.AWAITING:
            return found[0]
    raise AssertionError([(each.phase, each.refusal, each.why) for each in stage.nightshift.all])


def writes(stage: Stage) -> list[str]:
    """What was done under any incident's name, besides looking at a move."""
    those = stage.world.trail.of(writes=True)
    names = [each.name for each in those if each.principal.role_arn and not each.error]
    return [name for name in names if name != "sqs.ListMessageMoveTasks"]


def finished(stage: Stage, bodies: list[str]) -> dict[str, list[str]]:
    """Which of these messages were processed, by group, in that order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for each in stage.world.processed.all:
        if each.body in bodies:
            groups[fingerprint(each.body)[:1]].append(each.body)
    return groups


@pytest.mark.scenario("3.4", DLQ)
@pytest.mark.scenario("0.21", DLQ)
@pytest.mark.parametrize("thin", [True, False])
def test_letters_with_an_order_are_moved_in_it_once_a_person_says_so(thin: bool) -> None:
    """However free the modes are; each is processed once, and before those of its group that died after it."""
    with staged(thin=thin) as stage:
        stage.system.offer(0)
        stage.system.break_dependency(SCANNER)
        bodies = stage.system.send(12)
        stage.minutes(16)
        stage.system.heal_dependency(SCANNER)
        dead = [message.body for message in stage.system.dlq._messages]
        assert {*bodies} <= {*dead}
        stage.system.offer(6)
        question = asked(stage)
        assert writes(stage) == []
        assert stage.nightshift.answer(question, yes=True, why="their order does not matter to us any more")
        stage.until_settled()
        [incident] = stage.nightshift.of(DLQ)
        assert (incident.verdict, incident.ledger.moved, incident.ledger.processed) == (
            Verdict.FIXED,
            len(dead),
            len(dead),
        )
        assert writes(stage) == ["sqs.StartMessageMoveTask"]
        for group, those in finished(stage, dead).items():
            assert those == [body for body in dead if fingerprint(body)[:1] == group]


@pytest.mark.parametrize("answer", [False, None])
def test_without_a_yes_nothing_is_moved(answer: bool | None) -> None:
    """A no, or nobody who says anything."""
    with staged() as stage:
        stage.outage(16)
        question = asked(stage)
        assert answer is None or stage.nightshift.answer(question, yes=answer, why="not now")
        stage.until_settled()
        assert stage.nightshift.of(DLQ)[0].verdict is Verdict.REFUSED
        assert writes(stage) == []


def test_where_they_come_back_it_is_stopped_and_told() -> None:
    """More than one in ten die again: the move is cancelled, and nothing else is tried."""
    with staged() as stage:
        stage.outage(16, letters=4)
        stage.system.send_poison(200)
        stage.minutes(30)
        question = asked(stage)
        assert stage.nightshift.answer(question, yes=True, why="try it")
        stage.until_settled()
        [incident] = stage.nightshift.of(DLQ)
        assert incident.verdict is Verdict.ESCALATED
        assert incident.ledger.balanced
        assert set(writes(stage)) <= {"sqs.StartMessageMoveTask", "sqs.CancelMessageMoveTask"}
        assert writes(stage).count("sqs.StartMessageMoveTask") == 1


def test_a_lost_answer_moves_nothing_twice() -> None:
    """SQS lists the moves that there were: it is found by looking."""
    with staged() as stage:
        stage.outage(16)
        question = asked(stage)
        stage.world.faults.add(Kind.TIMEOUT_AFTER, "sqs.StartMessageMoveTask", times=1)
        assert stage.nightshift.answer(question, yes=True, why="yes")
        stage.until_settled()
        assert stage.nightshift.of(DLQ)[0].verdict is Verdict.FIXED
        assert len(stage.world.move_tasks.all) == 1
