"""A state of Terraform that has been locked for long: since when, by whom, and what a person must be sure of first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn, Healthy, ResourceRead, Severity, Sick, Target, Unknown
from nightshift.remediations.terraform_lock_held import TerraformLockHeld

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Kept

ARN = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/terraform-state-lock")
STATE, OTHER = "lecture-states/dhbw/prod.tfstate", "lecture-states/env:/test/prod.tfstate"
KEPT = Kept(TerraformLockHeld(), Target(ARN, "group", terraform_locks=(STATE, OTHER)))
ID = "0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f"


def lock(minutes: float | None = None, **other: Any) -> dict[str, Any]:
    """What the holder of a lock says of itself, which has held it for so long."""
    plain = {"ID": ID, "Operation": "OperationTypeApply", "Who": "runner@ci-7", "Version": "1.9.5"}
    return {**plain, **({} if minutes is None else {"Created": NOW - timedelta(minutes=minutes)}), **other}


def held(**locks: dict[str, Any]) -> dict[str, Any]:
    """A table in which these are held."""
    names = {"state": STATE, "other": OTHER}
    return {"Held": {names[name]: said for name, said in locks.items()}}


def test_it_reads_the_locks_that_are_named_and_writes_nothing() -> None:
    """And takes no table in which none is."""
    assert KEPT.remediation.watch(KEPT.target) == (ResourceRead("dynamodb.locks", f"{ARN},{STATE},{OTHER}"),)
    assert (KEPT.remediation.reads, KEPT.remediation.writes) == ((), ())
    assert KEPT.remediation.takes(KEPT.target)
    assert not KEPT.remediation.takes(Target(ARN, "group"))
    assert KEPT.remediation.query(Target(ARN, "group")) == ResourceRead("dynamodb.locks", str(ARN))


def test_no_item_is_no_lock() -> None:
    """What lies beside it is nobody's."""
    assert KEPT.healthy(held()) == "no state is locked"


@pytest.mark.parametrize("minutes, sick", [(-5, False), (0, False), (60, False), (60.1, True), (60 * 24 * 900, True)])
def test_an_operation_may_hold_a_state_for_an_hour(minutes: float, sick: bool) -> None:
    """A clock that is a little ahead of ours is no reason to doubt."""
    found = held(state=lock(minutes))
    assert isinstance(KEPT.seen(found), Sick) is sick
    if not sick:
        assert KEPT.healthy(found).startswith(f"{STATE} is locked since 2026-11-19 0")


def test_the_hour_can_be_set() -> None:
    """Where an apply takes longer."""
    kept = Kept(TerraformLockHeld(longest=timedelta(hours=3)), KEPT.target)
    assert isinstance(kept.seen(held(state=lock(179))), Healthy)
    assert isinstance(kept.seen(held(state=lock(181))), Sick)


def test_people_are_told_who_holds_it_and_what_to_be_sure_of() -> None:
    """The symptom reads the same for as long as the same locks are held; nobody is told to unlock first."""
    finding = KEPT.sick(held(state=lock(90)))
    assert finding.symptom == f"Terraform's state {STATE} has been locked since 2026-11-19 01:30 UTC"
    assert finding.severity is Severity.SEV3
    [signal] = finding.signals
    assert (signal.value, signal.threshold, signal.unit) == (1.5, 1, "hours")
    told = KEPT.told(held(state=lock(90)))
    assert told.evidence == (f"{STATE}: held by runner@ci-7 for Apply with Terraform 1.9.5",)
    look, find, unlock, then, never = told.advice
    assert look == (
        "see who holds it: aws dynamodb get-item --table-name terraform-state-lock "
        f"""--key '{{"LockID": {{"S": "{STATE}"}}}}' --consistent-read (read only)"""
    )
    assert "while it is, wait for it" in find
    assert unlock == (
        f"once you are sure that it has ended, where {STATE} is configured: terraform force-unlock {ID} (a write)"
    )
    assert "terraform plan" in then
    assert "do not delete the item" in never


def test_several_are_told_together_and_a_younger_one_is_left_out() -> None:
    """The oldest says how old."""
    finding = KEPT.sick(held(state=lock(90), other=lock(300)))
    assert finding.symptom == (
        f"Terraform's state {STATE} has been locked since 2026-11-19 01:30 UTC; "
        f"Terraform's state {OTHER} has been locked since 2026-11-18 22:00 UTC"
    )
    assert finding.signals[0].value == 5
    assert KEPT.sick(held(state=lock(90), other=lock(5))) == KEPT.sick(held(state=lock(90)))


@pytest.mark.parametrize(
    "unclear", [{}, lock(), lock(-6), lock(Created="yesterday"), lock(Created=NOW.replace(tzinfo=None))]
)
def test_a_lock_that_does_not_say_since_when_is_unknown(unclear: dict[str, Any]) -> None:
    """Neither free nor old, and a date that is still to come is none; it hides no other that is old."""
    assert KEPT.unknown(held(other=unclear)) == f"{OTHER} is locked, and its lock does not say since when"
    assert KEPT.unknown(held(other=unclear, state=lock(5))).startswith(OTHER)
    told = KEPT.told(held(other=unclear, state=lock(90)))
    assert told.evidence[1:] == (f"{OTHER} is locked too, and its lock does not say since when",)
    assert OTHER not in " ".join(told.advice)


def test_what_a_holder_says_gets_into_no_command() -> None:
    """An id that is none of Terraform's is left out, and what is not said is not made up."""
    for hostile in ("x; rm -rf ~", "-force", "", "0a1b2c3d\n", "$(reboot)"):
        told = KEPT.told(held(state=lock(90, ID=hostile)))
        assert "terraform force-unlock ID (a write)" in told.advice[2]
    bare = {"Created": lock(90)["Created"]}
    told = KEPT.told(held(state=bare))
    assert told.evidence == (f"{STATE}: held by somebody without a name for an operation without a name",)
    assert "terraform force-unlock ID (a write)" in told.advice[2]


def test_what_cannot_be_told_is_unknown() -> None:
    """Unread, gone, or nothing that can be understood."""
    for found in (*KEPT.blind(), {"Held": None}, {"Held": {STATE: None}}):
        assert isinstance(KEPT.seen(found), Unknown)


@given(
    st.dictionaries(
        st.sampled_from([STATE, OTHER]),
        st.one_of(
            st.none(),
            st.dictionaries(
                st.sampled_from([*lock(0)]),
                st.one_of(st.none(), st.integers(), st.text(), st.datetimes(), st.just(NOW)),
            ),
        ),
    )
)
def test_any_reading_can_be_judged(locks: dict[str, Any]) -> None:
    """It is one of the three."""
    assert isinstance(KEPT.seen({"Held": locks}), Healthy | Sick | Unknown)
