"""The checks are tested: each seeded bug breaks a promise that must notice it, on a seed that keeps all without it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sandbox.simulation.bugs import BUGS
from sandbox.simulation.campaign import drawn
from sandbox.simulation.lives import LIVES
from sandbox.simulation.nemesis import Fault
from sandbox.simulation.promises import Violation, check
from sandbox.simulation.run import play
from sandbox.simulation.story import UPKEEP, Scene, Story

NOTICED = {
    "claim-without-condition": 276,
    "short-lease": 276,
    "unused-expression-name": 1,
    "effect-before-intent": 31,
    "lock-leaks": 1,
    "timeout-means-no": 10,
    "sdk-retries": 10,
    "store-forgotten": 1,
    "unknown-untold": 10,
    "unknown-is-healthy": 149,
    "answered-means-fixed": 76,
    "sweep-gives-up": 1,
    "observe-ignored": 4,
    "approval-ignored": 5,
    "no-cooldown": 6,
    "no-budget": 2,
    "one-attempt-more": 200,
    "lost-means-done": 102,
    "revert-blindly": 52,
    "lease-never-ends": 10,
    "failed-loan-stays-out": 227,
}
"""the first seed, of those from 1 on, that shows each bug: the table of docs/reliability.md"""
SETTINGS = {
    "limits": "per_target_per_day = 4",
    "storm": "targets = 40\nfloor = 40",
    "remediations.sqs-dlq-backlog": 'healthy_for = "PT5M"\ncanary_patience = "PT5M"\ndeadline = "PT24M"\n'
    "confirm = 1\nlooks = 1",
    "remediations.ecs-service-stalled": 'stalled_for = "PT10M"',
    "remediations.queue-slow": 'deadline = "PT20M"\nlease = "PT3M"\nconfirm = 4',
}
LETTERS = Story(seed=1, documents=1, loans=0, settings=SETTINGS, scenes=(Scene(720, "outage", 0, (240, 8, 3)),))
"""eleven letters die in an outage, three of them bad"""
HALTED = replace(LETTERS, scenes=(*LETTERS.scenes, Scene(780, "halt in the act", 0, (180,))))
"""the switch is thrown between two writes of one step"""
UNHEARD = Story(
    seed=1,
    documents=0,
    loans=2,
    settings=SETTINGS,
    scenes=(Scene(720, "slow", 0, (240,)), Scene(721, "slow", 1, (240,))),
    denials=(("sns.Publish", 720, 2400),),
)
"""nothing can be published until everything is over"""


def meanwhile(what: str) -> Story:
    """The letters, and somebody who forbids to touch the system, or changes it himself."""
    return replace(LETTERS, scenes=(*LETTERS.scenes, Scene(900, what, 0, (900,))))


LIFE = {life.name: life.story for life in LIVES}
AIMED = {
    "proof-of-others": LIFE["trigger that was lost"],
    "no-money": LIFE["tasks, and money for one of two"],
    "noted-after-sending": replace(  # whoever sends it dies right afterwards
        LIFE["trigger sent again in vain"],
        rates={Fault.CRASH_AFTER: 1.0},
        only=frozenset({"sqs.SendMessage/1"}),
    ),
    "curated-ignored": LIFE["files that were lost, others that were not"],
    "file-noted-after-sending": replace(
        LIFE["files told of in vain, twice"],
        rates={Fault.CRASH_AFTER: 1.0},
        only=frozenset({"sqs.SendMessage/1"}),
    ),
    "tried-again": LIFE["execution that fails again, not tried again"],
    "send-again": replace(LETTERS, seed=3, rates={Fault.TIMEOUT_AFTER: 0.06}),
    "delete-before-send": replace(LETTERS, seed=2, rates={Fault.ERROR_BEFORE: 0.06}),
    "counters-forgotten": replace(LETTERS, seed=3, rates={Fault.CRASH_AFTER: 0.03}),
    "protected-ignored": meanwhile("protect"),
    "opt-in-ignored": meanwhile("opt out"),
    "mid-change-ignored": meanwhile("stack update"),
    "noted-before-told": UNHEARD,
    "unsent-ignored": UNHEARD,
    "inconsistent-read": replace(HALTED, rates={Fault.STALE: 1.0}),  # nobody who does not ask for it sees what is new
    "late-requests-forgotten": Story(
        seed=33,
        documents=0,
        loans=3,
        settings={**SETTINGS, "remediations.queue-slow": 'deadline = "PT20M"\nlease = "PT3M"\ncooldown = "PT1M"'},
        scenes=tuple(Scene(720 + number * 7, "slow for ever", number, (600,)) for number in range(3)),
        rates={Fault.LANDS_LATE: 0.08},
    ),
    "called-twice": LIFE["database that is lent to in vain"],
    "update-forgotten": replace(
        LIFE["letters come back, no attempt left"],
        brief=False,
        trouble=30 * 60,
        settings={
            **LIFE["letters come back, no attempt left"].settings,
            **{f"severities.SEV{number}": 'update_every = "PT5M"' for number in (2, 3)},
        },
    ),
    "seldom-looked-at": Story(
        seed=1,
        loans=0,
        documents=0,
        settings={f"remediations.{name}": "" for name in UPKEEP},
        scenes=tuple(Scene(720, what, 0, (10_000,)) for what in ("state locked", "stack stuck", "backups stop")),
        trouble=10_200,
    ),
    "switch-read-once": HALTED,
    "switch-not-read-again": HALTED,
    "brake-ignored": Story(
        seed=1,
        documents=1,
        loans=4,
        settings={**SETTINGS, "storm": "targets = 3"},
        scenes=(Scene(720, "all at once", 0, (600, 8, 0)),),
    ),
}
"""stories for the bugs that small seeds hardly ever show; larger ones do"""


def played(story: Story) -> list[Violation]:
    """What a story breaks."""
    with play(story) as run:
        return check(run)


@pytest.mark.simulated
@pytest.mark.parametrize("name", NOTICED)
def test_a_seeded_bug_is_noticed(name: str) -> None:
    """On its seed, one of the promises that must notice it is broken."""
    with BUGS[name].planted():
        found = {violation.promise for violation in played(drawn(NOTICED[name], bug=name))}
    assert found & BUGS[name].noticed_by


@pytest.mark.simulated
@pytest.mark.parametrize("seed", sorted(set(NOTICED.values())))
def test_without_a_bug_the_seed_keeps_every_promise(seed: int) -> None:
    """What is noticed is the bug."""
    assert played(drawn(seed, bug="none")) == []


@pytest.mark.parametrize("name", AIMED)
def test_a_bug_that_chance_seldom_shows_is_noticed_where_it_must_show(name: str) -> None:
    """In a story that aims at it, and that keeps every promise without it."""
    assert played(AIMED[name]) == []
    with BUGS[name].planted():
        assert {violation.promise for violation in played(AIMED[name])} & BUGS[name].noticed_by


def test_no_bug_is_left_out() -> None:
    """Every bug of the catalogue is noticed in this file."""
    assert NOTICED.keys() | AIMED.keys() == BUGS.keys()
    assert not NOTICED.keys() & AIMED.keys()
