"""What to do, from what is known: every phase, every observation, every answer, every time."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.decide import (
    Close,
    Decision,
    Pace,
    Progressing,
    Propose,
    Reconcile,
    Retry,
    Return,
    Wait,
    decide,
    failed,
)
from nightshift.model import (
    Acknowledgement,
    Approval,
    Attempt,
    Finding,
    Healthy,
    Incident,
    Observation,
    Phase,
    Plan,
    Refusal,
    Sick,
    Unknown,
    Verdict,
)

from tests.support.toy import MINUTE, START

NOW = START
PACE = Pace(confirm=2, looks=2, max_attempts=3)
FINDING = Finding("toy", "arn", "it hurts")
HEALTHY, SICK, UNKNOWN = Healthy("well"), Sick(FINDING), Unknown("no answer")
SEEN: tuple[Observation, ...] = (HEALTHY, SICK, UNKNOWN)
REFUSAL = Refusal("storm", "too much at once")


def incident(**more: object) -> Incident:
    """An incident that has been seen often enough, with time left."""
    record = Incident(
        id="20260301T0300-00000000",
        remediation="toy",
        target="arn",
        group="system",
        opened_at=NOW - MINUTE,
        look_at=NOW,
        deadline=NOW + 60 * MINUTE,
        finding=FINDING,
        sick_looks=9,
        healthy_looks=9,
    )
    return replace(record, **more)  # type: ignore[arg-type]


def question(answer: str = "", *, left: timedelta = MINUTE) -> Approval:
    """A question to a person."""
    return Approval("hash", NOW - MINUTE, NOW + left, answer=answer, by="eva", why="because")


def attempts(count: int) -> tuple[Attempt, ...]:
    """So many attempts."""
    return tuple(Attempt(number + 1, "hash", NOW) for number in range(count))


def verdict(decision: Decision) -> Verdict | None:
    """The verdict with which it closes, if it does."""
    return decision.verdict if isinstance(decision, Close) else None


TIMES = (None, NOW - MINUTE, NOW, NOW + MINUTE)


@given(
    phase=st.sampled_from(Phase),
    seen=st.sampled_from(SEEN),
    approval=st.sampled_from(
        [None, *(question(a, left=left * MINUTE) for a in ("", "approved", "denied") for left in (-1, 0, 1))]
    ),
    times=st.tuples(*[st.sampled_from(TIMES)] * 4),
    deadline=st.sampled_from(TIMES[1:]),
    looks=st.tuples(*[st.integers(0, 4)] * 3),
    made=st.integers(0, 4),
    refusal=st.sampled_from([None, REFUSAL]),
)
def test_total_and_pure(  # noqa: PLR0917 - all that a decision is made from
    phase: Phase,
    seen: Observation,
    approval: Approval | None,
    times: tuple[object, ...],
    deadline: object,
    looks: tuple[int, int, int],
    made: int,
    refusal: Refusal | None,
) -> None:
    """Everything has an answer, the same each time; unknown never acts, never cures; no wait is in the past."""
    record = incident(
        phase=phase,
        approval=approval,
        deadline=deadline,
        hold_until=times[0],
        settle_until=times[1],
        verify_until=times[2],
        lease_ends=times[3],
        healthy_looks=looks[0],
        sick_looks=looks[1],
        unknown_looks=looks[2],
        attempts=attempts(made),
        refusal=refusal,
    )
    before = deepcopy(record)
    decision = decide(record, seen, PACE, NOW)
    assert decide(record, seen, PACE, NOW) == decision
    assert record == before
    if isinstance(decision, Wait):
        assert decision.until >= NOW
    if isinstance(seen, Unknown):
        assert not isinstance(decision, Propose | Retry)
        assert verdict(decision) not in {Verdict.FIXED, Verdict.RECOVERED}
    if isinstance(decision, Retry):
        assert made < PACE.max_attempts
        assert record.deadline > NOW
    if verdict(decision) in {Verdict.FIXED, Verdict.RECOVERED}:
        assert isinstance(seen, Healthy)
        assert looks[0] >= PACE.looks
    if isinstance(decision, Propose):
        assert phase in {Phase.OPEN, Phase.AWAITING}
    if phase is Phase.OPEN and record.deadline <= NOW and not isinstance(seen, Healthy):
        assert isinstance(decision, Close)


@pytest.mark.parametrize("phase, seen", list(product(Phase, SEEN)))
def test_every_phase_and_observation_has_an_answer(phase: Phase, seen: Observation) -> None:
    """No combination falls through."""
    assert decide(incident(phase=phase), seen, PACE, NOW) is not None


# -- open --


@pytest.mark.parametrize(
    "seen, more, expected",
    [
        (SICK, {}, Propose()),
        (SICK, {"hold_until": NOW}, Propose()),
        (HEALTHY, {"scratch": {"blind": True}}, Close(Verdict.RECOVERED, "it can be seen again: well")),
        (HEALTHY, {}, Close(Verdict.RECOVERED, "healed by itself: well")),
        (
            HEALTHY,
            {"attempts": attempts(2)},
            Close(Verdict.RECOVERED, "healed by itself after 2 attempt(s) that did not show: well"),
        ),
        (SICK, {"sick_looks": 1}, Wait(NOW + MINUTE, "sick, look 1 of 2")),
        (HEALTHY, {"healthy_looks": 1}, Wait(NOW + MINUTE, "healthy, look 1 of 2")),
        (HEALTHY, {"healthy_looks": 1, "deadline": NOW}, Wait(NOW + MINUTE, "healthy, look 1 of 2")),
        (UNKNOWN, {}, Wait(NOW + MINUTE, "cannot be seen: no answer")),
        (SICK, {"hold_until": NOW + MINUTE}, Wait(NOW + MINUTE, "held")),
        (SICK, {"hold_until": NOW + MINUTE, "refusal": REFUSAL}, Wait(NOW + MINUTE, "held: too much at once")),
        (SICK, {"deadline": NOW}, Close(Verdict.ESCALATED, "not cured by the deadline: it hurts")),
        (
            SICK,
            {"deadline": NOW, "refusal": REFUSAL},
            Close(Verdict.REFUSED, "held by storm until the deadline: too much at once"),
        ),
        (
            SICK,
            {"deadline": NOW, "refusal": REFUSAL, "attempts": attempts(1)},
            Close(Verdict.ESCALATED, "held by storm until the deadline: too much at once; still: it hurts"),
        ),
        (
            UNKNOWN,
            {"deadline": NOW},
            Close(Verdict.UNVERIFIABLE, "cannot be seen, and the deadline has passed: no answer"),
        ),
    ],
)
def test_open(seen: Observation, more: dict[str, object], expected: Decision) -> None:
    """Sick long enough, not held, in time: propose. Everything else waits or ends."""
    assert decide(incident(**more), seen, PACE, NOW) == expected


# -- awaiting --


@pytest.mark.parametrize(
    "seen, more, expected",
    [
        (SICK, {"approval": question()}, Wait(NOW + MINUTE, "waiting for an answer")),
        (SICK, {"approval": question("approved")}, Propose()),
        (SICK, {"approval": None}, Propose()),
        (UNKNOWN, {"approval": None}, Wait(NOW + MINUTE, "cannot be seen: no answer")),
        (UNKNOWN, {"approval": question("approved")}, Wait(NOW + MINUTE, "cannot be seen: no answer")),
        (
            UNKNOWN,
            {"approval": question(), "deadline": NOW},
            Close(Verdict.UNVERIFIABLE, "cannot be seen, and the deadline has passed: no answer"),
        ),
        (SICK, {"approval": question("denied")}, Close(Verdict.REFUSED, "denied by eva: because")),
        (UNKNOWN, {"approval": question("denied")}, Close(Verdict.REFUSED, "denied by eva: because")),
        (
            SICK,
            {"approval": question(left=timedelta(0))},
            Close(Verdict.REFUSED, "nobody answered before the question expired"),
        ),
        (
            SICK,
            {"approval": question("approved", left=timedelta(0))},
            Close(Verdict.REFUSED, "the approval expired before it could be used"),
        ),
        (
            SICK,
            {"approval": question("approved", left=timedelta(0)), "refusal": REFUSAL},
            Close(Verdict.REFUSED, "the approval expired before it could be used, held by storm: too much at once"),
        ),
        (HEALTHY, {"approval": question("approved")}, Close(Verdict.RECOVERED, "healed by itself: well")),
        (HEALTHY, {"approval": question(), "healthy_looks": 1}, Wait(NOW + MINUTE, "healthy, look 1 of 2")),
    ],
)
def test_awaiting(seen: Observation, more: dict[str, object], expected: Decision) -> None:
    """A yes proposes again (all is checked again); a no, or nobody, ends it; a target that healed needs no answer."""
    assert decide(incident(phase=Phase.AWAITING, **more), seen, PACE, NOW) == expected


# -- the rest --


@pytest.mark.parametrize("seen", SEEN)
def test_an_intent_without_an_outcome_is_reconciled(seen: Observation) -> None:
    """Whatever is seen: first find out what happened."""
    assert decide(incident(phase=Phase.ACTING), seen, PACE, NOW) == Reconcile()


@pytest.mark.parametrize("seen", SEEN)
def test_settling_and_leased_wait_for_their_time(seen: Observation) -> None:
    """Not before, and at once when it is over."""
    later = NOW + 5 * MINUTE
    settling, leased = (
        incident(phase=Phase.SETTLING, settle_until=later),
        incident(phase=Phase.LEASED, lease_ends=later),
    )
    assert decide(settling, seen, PACE, NOW) == Wait(later, "waiting for the step to take effect")
    assert decide(settling, seen, PACE, later) == Progressing()
    assert decide(leased, seen, PACE, NOW) == Wait(later, "what was lent is out until then")
    assert decide(leased, seen, PACE, later) == Return()


@pytest.mark.parametrize(
    "seen, more, expected",
    [
        (HEALTHY, {}, Close(Verdict.FIXED, "well", attempt=Verdict.FIXED)),
        (HEALTHY, {"healthy_looks": 1}, Wait(NOW + MINUTE, "healthy, look 1 of 2")),
        (SICK, {"verify_until": NOW + MINUTE}, Wait(NOW + MINUTE, "not healthy yet: it hurts")),
        (UNKNOWN, {"verify_until": NOW + MINUTE}, Wait(NOW + MINUTE, "not healthy yet: no answer")),
        (
            UNKNOWN,
            {},
            Close(
                Verdict.UNVERIFIABLE,
                "acted, but whether it helped cannot be seen: no answer",
                attempt=Verdict.UNVERIFIABLE,
            ),
        ),
        (SICK, {"attempts": attempts(1)}, Retry(Verdict.INEFFECTIVE, "still: it hurts")),
        (
            SICK,
            {"attempts": attempts(3)},
            Close(Verdict.ESCALATED, "3 of 3 attempts made and still: it hurts", attempt=Verdict.INEFFECTIVE),
        ),
        (
            SICK,
            {"attempts": attempts(1), "deadline": NOW},
            Close(Verdict.ESCALATED, "out of time, and still: it hurts", attempt=Verdict.INEFFECTIVE),
        ),
    ],
)
def test_verifying(seen: Observation, more: dict[str, object], expected: Decision) -> None:
    """Health in a row is a cure; still sick after patience is a failure; not seen is neither."""
    assert decide(incident(phase=Phase.VERIFYING, **more), seen, PACE, NOW) == expected


@pytest.mark.parametrize("seen", SEEN)
def test_what_was_decided_stays_decided(seen: Observation) -> None:
    """A verdict that people may have heard is the verdict, whatever is seen; a record without one is broken."""
    told = incident(phase=Phase.ENDING, verdict=Verdict.ESCALATED, why="still: it hurts")
    assert decide(told, seen, PACE, NOW) == Close(Verdict.ESCALATED, "still: it hurts")
    assert verdict(decide(replace(told, verdict=None), seen, PACE, NOW)) is Verdict.BROKEN


def test_closed_stays_closed() -> None:
    """There is nothing to do."""
    assert isinstance(decide(incident(phase=Phase.CLOSED), SICK, PACE, NOW), Wait)


def test_one_attempt_is_called_one() -> None:
    """Grammar, because people read it."""
    close = failed(incident(attempts=attempts(1)), replace(PACE, max_attempts=1), NOW, "it hurts")
    assert isinstance(close, Close)
    assert close.why == "1 of 1 attempt made and still: it hurts"


def test_after_a_plan_that_is_final_nothing_else_is_tried() -> None:
    """However many attempts are left: a person must. One that is not final leaves the next attempt."""
    plan = Plan("toy", "arn", "start all anew", (), risk="none", undo_by_hand="none", final=True)
    tried = incident(attempts=attempts(1), plan=plan)
    assert failed(tried, PACE, NOW, "it hurts") == Close(
        Verdict.ESCALATED, "nothing else is left to try, and still: it hurts", attempt=Verdict.INEFFECTIVE
    )
    assert failed(replace(tried, plan=replace(plan, final=False)), PACE, NOW, "it hurts") == Retry(
        Verdict.INEFFECTIVE, "still: it hurts"
    )


# -- what a person wants back ------------------------------------------------------------------------------------------

EVA = Acknowledgement("eva", NOW, "done")


@pytest.mark.parametrize("phase", [Phase.OPEN, Phase.AWAITING])
@pytest.mark.parametrize("seen", SEEN)
def test_what_was_not_begun_is_withdrawn(phase: Phase, seen: Observation) -> None:
    """Whatever is to be seen, nothing is begun any more."""
    record = incident(phase=phase, recalled=EVA, approval=question("approved"))
    assert decide(record, seen, PACE, NOW) == Close(Verdict.REFUSED, "withdrawn by eva before anything was done: done")
    tried = replace(record, attempts=attempts(1), recalled=replace(EVA, why=""))
    assert decide(tried, seen, PACE, NOW) == Close(Verdict.REFUSED, "withdrawn by eva before anything else was done")


@pytest.mark.parametrize("seen", SEEN)
def test_what_is_wanted_back_is_given_back_before_its_time(seen: Observation) -> None:
    """A lease ends when somebody says so."""
    record = incident(phase=Phase.LEASED, lease_ends=NOW + 60 * MINUTE)
    assert decide(record, seen, PACE, NOW) == Wait(NOW + 60 * MINUTE, "what was lent is out until then")
    assert decide(replace(record, recalled=EVA), seen, PACE, NOW) == Return()
