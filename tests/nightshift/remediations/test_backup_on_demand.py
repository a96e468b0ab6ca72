"""A backup that somebody asks for: made once, of what they meant, and called one when AWS says that it is available."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Outcome,
    Plan,
    Request,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Progress, Readings, Unread
from nightshift.remediations.backup_on_demand import BackupOnDemand

from tests.nightshift.remediations.account import NOW, Account, Eyes, Hand, read

CURE = BackupOnDemand()
TABLE = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/orders")
INDEX = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/orders/index/by-day")
CLUSTER = Arn.parse("arn:aws:rds:eu-central-1:123456789012:cluster:dms")
ME = "arn:aws:iam::123456789012:user/me"
REQUEST = Request(ME, NOW, NOW + timedelta(hours=6), "another sort key")
BOTH = pytest.mark.parametrize("arn", [TABLE, CLUSTER], ids=["table", "cluster"])
EVERY = pytest.mark.parametrize("arn", [TABLE, INDEX, CLUSTER], ids=["table", "index", "cluster"])


def target(arn: Arn) -> Target:
    """What is to be backed up."""
    return Target(arn, "orders")


def finding(arn: Arn, request: Request = REQUEST) -> Finding:
    """Somebody asks for it."""
    return CURE.asked(target(arn), request)


def query(arn: Arn) -> ResourceRead:
    """What is read of it."""
    return read("rds.snapshots" if arn is CLUSTER else "dynamodb.backups", arn)


def backup(arn: Arn, name: str, status: str = "available", at: datetime | None = NOW) -> dict[str, Any]:
    """A backup or a snapshot as AWS lists it."""
    if arn is CLUSTER:
        return {"DBClusterSnapshotIdentifier": name, "Status": status, "SnapshotCreateTime": at}
    return {"BackupName": name, "BackupStatus": status.upper(), "BackupCreationDateTime": at}


def account(arn: Arn, *backups: dict[str, Any], status: str = "available", **more: Any) -> Account:
    """An account in which it may be backed up, unless it is said otherwise."""
    there = Account(**more)
    there.services[arn] = {"Status": status, "Backups": list(backups)}
    return there


def eyes(there: Account) -> Eyes:
    """What is read."""
    return Eyes(there, BackupOnDemand)


def diagnosed(arn: Arn, *backups: dict[str, Any], **more: Any) -> Diagnosis:
    """The diagnosis."""
    return CURE.diagnose(eyes(account(arn, *backups, **more)), target(arn), finding(arn))


def planned(arn: Arn) -> Plan:
    """Diagnose and plan."""
    return CURE.plan(diagnosed(arn))


def made(arn: Arn, status: str = "available") -> dict[str, Any]:
    """The very backup that was asked for."""
    return backup(arn, str(diagnosed(arn).facts["name"]), status)


def seen(arn: Arn, found: Any) -> Readings:
    """What a look read."""
    return Readings(NOW, {query(arn): found})


# -- what is asked for -----------------------------------------------------------------------------------------------


@EVERY
def test_what_is_asked_for_says_who_and_why(arn: Arn) -> None:
    """The incident begins with it; nothing is wrong, so it wakes nobody."""
    name = "dms" if arn is CLUSTER else "orders"
    assert finding(arn).symptom == f"{ME} wants {name} backed up: another sort key"
    assert finding(arn, replace(REQUEST, why="")).symptom.endswith("backed up")
    assert (finding(arn).request, finding(arn).severity) == (REQUEST, Severity.SEV4)


@EVERY
def test_no_look_finds_that_somebody_wants_a_backup(arn: Arn) -> None:
    """A sweep that looked would see what there is, and nothing wrong with it."""
    assert CURE.asked_for
    assert CURE.watch(target(arn)) == (query(arn),)
    assert isinstance(CURE.detect(target(arn), seen(arn, {"Backups": []})), Healthy)
    assert CURE.detect(target(arn), seen(arn, Unread("throttled"))) == Unknown("throttled")
    assert CURE.detect(target(arn), seen(arn, None)) == Unknown(f"{arn} does not exist")


@BOTH
def test_what_was_asked_for_is_wanted_while_it_can_be_seen(arn: Arn) -> None:
    """It does not heal by itself, and what cannot be seen is not backed up."""
    assert CURE.recovered(target(arn), finding(arn), seen(arn, {"Backups": [made(arn)]})) == Sick(finding(arn))
    assert isinstance(CURE.recovered(target(arn), finding(arn), seen(arn, None)), Unknown)


@EVERY
def test_it_is_proved_by_the_very_one_that_was_asked_for(arn: Arn) -> None:
    """Available: not being made, not failed, and none of another name."""

    def verified(*backups: dict[str, Any], before: Finding | None = None) -> Any:
        return CURE.verify(target(arn), before or finding(arn), seen(arn, {"Backups": list(backups)}))

    own = str(diagnosed(arn).facts["name"])
    assert verified(backup(arn, "other"), made(arn)) == Healthy(f"{own} is available")
    for others in ([], [backup(arn, "other")], [made(arn, "creating")], [made(arn, "failed")]):
        assert verified(*others) == Sick(finding(arn))
    assert isinstance(verified(made(arn), before=replace(finding(arn), request=None)), Unknown)
    assert CURE.verify(target(arn), finding(arn), seen(arn, Unread("throttled"))) == Unknown("throttled")


# -- what speaks against it ------------------------------------------------------------------------------------------


@BOTH
def test_nothing_is_backed_up_that_nobody_asked_for(arn: Arn) -> None:
    """A finding without a request is none of ours."""
    with pytest.raises(Refused, match="nobody has asked"):
        CURE.diagnose(eyes(account(arn)), target(arn), replace(finding(arn), request=None))


@pytest.mark.parametrize("status", ["modifying", "stopped", "backing-up"])
def test_a_cluster_that_is_being_changed_is_waited_for(status: str) -> None:
    """RDS makes no snapshot of it."""
    with pytest.raises(Refused, match=f"a cluster that is {status}") as caught:
        diagnosed(CLUSTER, status=status)
    assert caught.value.retry_after == timedelta(minutes=5)


@EVERY
def test_what_cannot_be_listed_is_not_backed_up(arn: Arn) -> None:
    """Whether there is one of that name could not be told afterwards."""
    there = account(arn)
    there.services[arn] = Unread("throttled")
    with pytest.raises(Unreadable):
        CURE.diagnose(eyes(there), target(arn), finding(arn))
    there.services[arn] = None
    with pytest.raises(Missing):
        CURE.diagnose(eyes(there), target(arn), finding(arn))


@BOTH
def test_the_evidence_says_which_is_the_newest_already(arn: Arn) -> None:
    """Perhaps that is enough; what is being made, or has failed, counts for nothing."""
    found = diagnosed(
        arn,
        backup(arn, "old", at=NOW - timedelta(days=2)),
        backup(arn, "newer", at=NOW - timedelta(days=1)),
        backup(arn, "broken", "failed"),
        backup(arn, "timeless", at=None),
    )
    assert found.evidence == ("asked for at 2026-11-19 03:00 UTC", "the newest made by hand is newer")
    assert found.cause == f"{ME} is about to change {'dms' if arn is CLUSTER else 'orders'}: another sort key"
    assert diagnosed(arn).evidence[1] == "none was made by hand of late"
    quiet = CURE.diagnose(eyes(account(arn)), target(arn), finding(arn, replace(REQUEST, why="")))
    assert quiet.cause == f"{ME} is about to change {'dms' if arn is CLUSTER else 'orders'}"


# -- the plan --------------------------------------------------------------------------------------------------------


@EVERY
def test_one_call_makes_it_and_nothing_takes_it_back(arn: Arn) -> None:
    """A table for its index: they are backed up together. Asked for, final, and nothing lent."""
    plan = planned(arn)
    [step] = plan.steps
    [call] = step.calls
    name = diagnosed(arn).facts["name"]
    if arn is CLUSTER:
        assert (call.operation, call.resource) == ("CreateDBClusterSnapshot", str(CLUSTER))
        assert call.params == {"DBClusterIdentifier": "dms", "DBClusterSnapshotIdentifier": name}
        snapshot = f"arn:aws:rds:eu-central-1:123456789012:cluster-snapshot:{name}"
        assert call.grants == (("rds:CreateDBClusterSnapshot", snapshot),)
    else:
        assert (call.operation, call.resource) == ("CreateBackup", str(TABLE))
        assert call.params == {"TableName": "orders", "BackupName": name}
        assert call.grants == ()
    assert (plan.asks, plan.final, plan.lease, step.undo) == (True, True, None, ())
    assert str(name) in plan.summary
    assert "delete-" in plan.undo_by_hand


def test_its_name_is_the_requests_own_and_one_that_aws_takes() -> None:
    """The same for the same request; another at another time, and for another cluster: RDS knows it by that alone."""
    other = Arn.parse("arn:aws:rds:eu-central-1:123456789012:cluster:other")
    later = replace(REQUEST, at=NOW + timedelta(seconds=1))
    names = {
        str(CURE.diagnose(eyes(account(arn)), target(arn), finding(arn, request)).facts["name"])
        for arn, request in ((CLUSTER, REQUEST), (CLUSTER, REQUEST), (CLUSTER, later), (other, REQUEST))
    }
    assert len(names) == 3
    for name in names:
        assert len(name) <= 63
        assert name.startswith("nightshift-2026")
        assert not name.endswith("-")
        assert "--" not in name
        assert name.replace("-", "").isalnum()


@BOTH
def test_the_call_is_made_and_says_what_it_made(arn: Arn) -> None:
    """The report names it."""
    there, plan = account(arn), planned(arn)
    hand = Hand(there, plan.steps[0])
    CURE.apply(hand, plan, plan.steps[0])
    assert len(there.calls) == 1
    assert hand.scratch == {"began": NOW.isoformat()}
    [call] = plan.steps[0].calls
    assert CURE.effect(call, {"BackupDetails": {"BackupArn": "a"}}) == {"backup": "a"}
    assert CURE.effect(call, {"DBClusterSnapshot": {"DBClusterSnapshotArn": "s"}}) == {"backup": "s"}
    assert CURE.effect(call, {}) == {"backup": None}


@EVERY
def test_whether_it_was_made_is_told_by_its_name(arn: Arn) -> None:
    """There: made. Not there: not made, once a list would show it; before that nobody knows."""
    [call] = planned(arn).steps[0].calls
    whose = TABLE if arn is INDEX else arn
    own = backup(arn, str(diagnosed(arn).facts["name"]), "creating")

    def found(*backups: dict[str, Any], ago: float = 10) -> Outcome:
        return CURE.reconcile(eyes(account(whose, *backups)), call, NOW - timedelta(minutes=ago))

    assert found(own) is Outcome.DONE
    assert found(own, ago=0) is Outcome.DONE
    assert found(backup(arn, "other")) is Outcome.NOT_DONE
    assert found(ago=1) is Outcome.NOT_DONE
    assert found(ago=0.9) is Outcome.UNKNOWN


@BOTH
@pytest.mark.parametrize(
    "status, ago, progress",
    [
        ("available", 0, Progress.NEXT),
        ("available", 600, Progress.NEXT),
        ("creating", 0, Progress.WAIT),
        ("creating", 300, Progress.WAIT),  # a large one takes hours
        ("failed", 0, Progress.STOP),
        ("", 4.9, Progress.WAIT),
        ("", 5, Progress.STOP),
        ("", None, Progress.STOP),  # the record of when it began was lost, and so it was looked for before
        (None, 0, Progress.STOP),
    ],
)
def test_it_is_waited_for_as_long_as_it_is_being_made(
    arn: Arn, status: str | None, ago: float | None, progress: Progress
) -> None:
    """What has failed, or never came to be, is not waited for."""
    plan, listed = planned(arn), [] if status == "" else [made(arn, status or "")]
    if status is None:
        listed = [{name: value for name, value in listed[0].items() if "Status" not in name}]
    scratch = {} if ago is None else {"began": (NOW - timedelta(minutes=ago)).isoformat()}
    assert CURE.progress(eyes(account(arn, *listed)), plan, plan.steps[0], scratch)[0] is progress
