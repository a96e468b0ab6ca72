"""A secret that should have another value by now: when it is told, what is known of why, and what is never done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Refused, Unreadable
from nightshift.model import Arn, Healthy, ResourceRead, Severity, Sick, Target, Unknown
from nightshift.remediation import Unread
from nightshift.remediations.secret_rotation_overdue import SecretRotationOverdue

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Kept

ARN = Arn.parse("arn:aws:secretsmanager:eu-central-1:123456789012:secret:dms/database/pass-word-a1B2c3")
KEPT = Kept(SecretRotationOverdue(), Target(ARN, "group"))
DAY = timedelta(days=1)
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:rotate-db:live"


def secret(**other: Any) -> dict[str, Any]:
    """A secret that was rotated ten days ago; what is None is not said."""
    plain = {
        "RotationEnabled": True,
        "RotationLambdaARN": FUNCTION,
        "LastRotatedDate": NOW - 10 * DAY,
        "LastChangedDate": NOW - DAY,
        "LastAccessedDate": NOW - DAY,
        "NextRotationDate": NOW + 20 * DAY,
        "CurrentSince": NOW - 10 * DAY,
    }
    return {name: value for name, value in {**plain, **other}.items() if value is not None}


def by_hand(age: int, **other: Any) -> dict[str, Any]:
    """One that nothing rotates."""
    none = {"RotationEnabled": None, "RotationLambdaARN": None, "LastRotatedDate": None, "NextRotationDate": None}
    return secret(**{**none, "CurrentSince": NOW - age * DAY, **other})


def test_it_reads_no_value_and_writes_nothing() -> None:
    """One reading, as the sweep makes it; secrets only."""
    assert KEPT.remediation.watch(KEPT.target) == (ResourceRead("secretsmanager.secret", str(ARN)),)
    assert (KEPT.remediation.reads, KEPT.remediation.writes) == ((), ())
    assert KEPT.remediation.takes(KEPT.target)
    assert not KEPT.remediation.takes(Target(Arn.parse("arn:aws:sqs:eu-central-1:123456789012:q"), "group"))


def test_a_secret_that_is_rotated_in_time_is_well() -> None:
    """With when it is due next; one by hand says no such date."""
    assert KEPT.healthy(secret()) == "it has had its value since 2026-11-09, and is due by 2026-12-09"
    assert KEPT.healthy(by_hand(89)) == "it has had its value since 2026-08-22"


def test_a_rotation_whose_date_has_passed_has_failed() -> None:
    """Told with the date, which stays the same, and with the function that has to do it."""
    found = secret(NextRotationDate=NOW - 2 * DAY, Pending="v3")
    finding = KEPT.sick(found)
    assert finding.symptom == (
        "the rotation of dms/database/pass-word that was due by 2026-11-17 03:00 UTC has not happened"
    )
    assert finding.severity is Severity.SEV3
    told = KEPT.told(found)
    assert "the function rotate-db did not finish it" in told.cause
    assert told.evidence == (
        "last rotated: 2026-11-09 03:00 UTC",
        "last changed in any way: 2026-11-18 03:00 UTC",
        "last read: 2026-11-18",
        "rotation: on",
        "a rotation was begun and not finished: it has left a version that waits",
    )
    assert told.advice[0] == (
        "see why it failed: aws logs tail /aws/lambda/rotate-db --since 2d --filter-pattern '?ERROR ?Error' (read only)"
    )
    assert f"--secret-id {ARN} --version-stage AWSPENDING --remove-from-version-id v3 (a write)" in told.advice[1]
    assert told.advice[2].endswith(f"aws secretsmanager rotate-secret --secret-id {ARN} (a write)")


def test_what_another_service_rotates_is_that_services() -> None:
    """There is no function whose log could be read: CloudTrail says what was tried."""
    managed = secret(NextRotationDate=NOW - 2 * DAY, RotationLambdaARN=None, OwningService="rds")
    told = KEPT.told(managed)
    assert "rds did not finish it" in told.cause
    assert "aws cloudtrail lookup-events" in told.advice[0]
    assert len(told.advice) == 2
    del managed["OwningService"]
    assert "the service that owns it" in KEPT.told(managed).cause


@pytest.mark.parametrize("hours, overdue", [(23, False), (24, False), (25, True)])
def test_a_rotation_that_is_tried_again_has_a_day_for_it(hours: int, overdue: bool) -> None:
    """Secrets Manager tries a failed one several times."""
    seen = KEPT.seen(secret(NextRotationDate=NOW - timedelta(hours=hours)))
    assert isinstance(seen, Sick) is overdue


def test_a_date_in_the_past_is_no_failure_where_nothing_rotates_it() -> None:
    """Somebody switched the rotation off: what is left of its rules says nothing."""
    assert isinstance(KEPT.seen(by_hand(10, NextRotationDate=NOW - 9 * DAY)), Healthy)


def test_a_secret_is_as_old_as_its_value_not_as_its_last_change() -> None:
    """A tag that was set yesterday makes nobody's password younger."""
    found = by_hand(91, LastAccessedDate=None, LastChangedDate=None)
    finding = KEPT.sick(found)
    assert finding.symptom == "dms/database/pass-word has had the same value since 2026-08-20, longer than 90 days"
    assert (finding.severity, finding.signals[0].value, finding.signals[0].threshold) == (Severity.SEV4, 91, 90)
    told = KEPT.told(found)
    assert told.cause == "nothing rotates it, and nobody did"
    assert told.evidence == (
        "last rotated: never",
        "last changed in any way: not said",
        "last read: never, in this Region",
        "rotation: off",
    )
    assert "never change the secret alone" in told.advice[1]
    assert "--rotation-lambda-arn FUNCTION --rotation-rules AutomaticallyAfterDays=90 (a write)" in told.advice[2]


def test_what_is_rotated_too_rarely_is_told_with_its_schedule() -> None:
    """It works, and its own rules are wider than what is wanted."""
    told = KEPT.told(secret(CurrentSince=NOW - 100 * DAY))
    assert told.cause == "it is rotated less often than it should be"
    assert "--rotation-lambda-arn" not in told.advice[2]


@pytest.mark.parametrize("age, own, sick", [(40, None, False), (40, 30, True), (100, 3650, False), (4000, 3650, True)])
def test_a_secret_may_have_an_age_of_its_own(age: int, own: int | None, sick: bool) -> None:
    """A number of days that its target says; no schedule is longer than Secrets Manager takes."""
    kept = Kept(SecretRotationOverdue(), Target(ARN, "group", rotate_within=own))
    assert isinstance(kept.seen(by_hand(age)), Sick) is sick
    if age == 4000:
        assert "AutomaticallyAfterDays=1000 " in kept.told(by_hand(age)).advice[2]


def test_a_secret_that_is_to_be_deleted_is_told_before_anything_else() -> None:
    """Nobody can read it from then on, whatever its age."""
    found = by_hand(500, DeletedDate=NOW + 7 * DAY)
    assert KEPT.sick(found).severity is Severity.SEV2
    told = KEPT.told(found)
    assert told.evidence[0] == "its date of deletion is 2026-11-26 03:00 UTC"
    assert told.advice[1].endswith(f"aws secretsmanager restore-secret --secret-id {ARN} (a write)")
    assert KEPT.told(secret(DeletedDate="soon")).evidence[0] == "its date of deletion is not said"


def test_what_cannot_be_told_is_unknown() -> None:
    """Unread, gone, without an age, or not as AWS would say it: never well, never overdue."""
    for found in KEPT.blind():
        assert isinstance(KEPT.seen(found), Unknown)
    assert "since when" in KEPT.unknown(secret(CurrentSince=None))
    assert "does not exist" in KEPT.unknown(None)
    assert isinstance(KEPT.seen(secret(CurrentSince=NOW.replace(tzinfo=None))), Unknown)


def test_what_was_mended_meanwhile_is_not_told() -> None:
    """A diagnosis reads anew; what it cannot read it does not tell either."""
    with pytest.raises(Refused) as refused:
        KEPT.told(secret())
    assert (refused.value.guard, refused.value.retry_after) == ("upkeep", timedelta(minutes=1))
    with pytest.raises(Unreadable, match="throttled"):
        KEPT.told(Unread("throttled"))


@given(
    st.dictionaries(
        st.sampled_from(list(secret(DeletedDate=NOW, Pending="x", OwningService="x"))),
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.just(NOW)),
    )
)
def test_any_reading_can_be_judged(found: dict[str, Any]) -> None:
    """And whatever is wrong with a reading, it is not told as a secret's fault without its date."""
    seen = KEPT.seen(found)
    assert isinstance(seen, Healthy | Sick | Unknown)
