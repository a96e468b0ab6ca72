"""A table that looks tampered with: every sign of it is told at the highest severity, and nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Readings, Series, Unread
from nightshift.remediations.table_suspicious import Expected, TableSuspicious

from tests.nightshift.remediations.account import NOW

ARN = Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/orders")
ORDERS = Target(ARN, "pulse")
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
DAY = timedelta(days=1)
MIB = 1024 * 1024
TABLE: dict[str, Any] = {
    "TableStatus": "ACTIVE",
    "ItemCount": 5000,
    "TableSizeBytes": 90 * MIB,
    "DeletionProtectionEnabled": True,
    "SSEDescription": {"Status": "ENABLED", "KMSMasterKeyArn": KEY},
    "StreamSpecification": {"StreamEnabled": True},
}
MADE: dict[str, Any] = {
    "BackupName": "before-v2",
    "BackupCreationDateTime": NOW - 3 * DAY,
    "BackupSizeBytes": 100 * MIB,
    "BackupStatus": "AVAILABLE",
    "BackupType": "USER",
}
BACKUPS: dict[str, Any] = {
    "PointInTimeRecoveryStatus": "ENABLED",
    "EarliestRestorableDateTime": NOW - 35 * DAY,
    "LatestRestorableDateTime": NOW - timedelta(minutes=5),
    "Backups": [MADE],
}
ACCESS: dict[str, Any] = {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
OFF: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED", "Backups": []}
ALL = Expected(
    deletion_protection=True, continuous_backups=True, stream=True, key=KEY, expires_by="expires", least_items=1000
)


def tells(expected: Expected | None = ALL) -> TableSuspicious:
    """The remediation, with what was said of the table."""
    return TableSuspicious(tables={} if expected is None else {"orders": expected})


def seen(table: Any = TABLE, backups: Any = BACKUPS, access: Any = ACCESS, arn: Arn = ARN) -> Readings:
    """What a look read."""
    read = zip(("table", "backups", "access"), (table, backups, access), strict=True)
    return Readings(NOW, {ResourceRead(f"dynamodb.{what}", str(arn)): found for what, found in read})


def look(expected: Expected | None = ALL, **found: Any) -> Observation:
    """What it makes of that."""
    return tells(expected).detect(ORDERS, seen(**found))


def sick(expected: Expected | None = ALL, **found: Any) -> Finding:
    """What is wrong, always at the highest severity."""
    observed = look(expected, **found)
    assert isinstance(observed, Sick), observed
    assert observed.finding.severity is Severity.SEV1
    return observed.finding


def policy(*principals: Any, effect: str = "Allow") -> dict[str, Any]:
    """A table's policy, a statement for each principal."""
    statements = [{"Effect": effect, "Principal": each, "Action": "dynamodb:*"} for each in principals]
    return {**ACCESS, "Policy": json.dumps({"Statement": statements})}


def event(name: str, asked: Any, minutes: int = 10, **more: Any) -> dict[str, Any]:
    """An event, as CloudTrail gives it."""
    told = {"userIdentity": {"arn": "arn:aws:iam::123456789012:user/mallory"}, "requestParameters": asked, **more}
    return {
        "EventName": name,
        "EventTime": NOW - timedelta(minutes=minutes),
        "CloudTrailEvent": json.dumps(told),
    }


class Eyes:
    """The account: the readings, and CloudTrail."""

    def __init__(self, readings: Readings, events: Mapping[str, list[Any]]) -> None:
        self.readings, self.events = readings, events

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One lookup, by the name of an event."""
        assert (service, operation) == ("cloudtrail", "LookupEvents")
        [wanted] = params["LookupAttributes"]
        assert wanted["AttributeKey"] == "EventName"
        return {"Events": self.events.get(wanted["AttributeValue"], [])}

    def seen(self, *queries: Query) -> Readings:
        """The same readings; of metrics, one of seven a minute."""
        metrics: dict[Query, Any] = {each: Series(((NOW, 7.0),)) for each in queries if isinstance(each, MetricQuery)}
        return Readings(NOW, {**self.readings.answers, **metrics})


def told(expected: Expected | None = ALL, events: Mapping[str, list[Any]] | None = None, **found: Any) -> Diagnosis:
    """What people are told in the end."""
    eyes: Any = Eyes(seen(**found), events or {})
    remediation = tells(expected)
    diagnosis = remediation.diagnose(eyes, ORDERS, Finding(remediation.name, str(ARN), "it looks odd"))
    return remediation.detail(eyes, ORDERS, diagnosis, {})


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_table_as_it_must_be_is_healthy_and_nothing_is_written() -> None:
    """By three readings, every quarter of an hour."""
    assert isinstance(look(), Healthy)
    assert len(tells().watch(ORDERS)) == 3
    assert (TableSuspicious.writes, TableSuspicious.turn) == ((), timedelta(minutes=15))


def test_what_nobody_has_said_is_not_judged() -> None:
    """A table without protection, key, stream and backups is no sign of anything by itself."""
    bare = {"TableStatus": "ACTIVE", "ItemCount": 0, "TableSizeBytes": 0}
    assert isinstance(look(None, table=bare, backups=OFF), Healthy)
    assert isinstance(look(None, access={"TimeToLiveStatus": "DISABLED"}), Healthy)


def test_of_a_table_and_its_indexes_the_table_alone_is_looked_at() -> None:
    """Unless a target lists it: then the table of an index is."""
    index = Target(replace(ARN, resource="table/orders/index/by-day"), "pulse")
    assert tells().takes(ORDERS)
    assert not tells().takes(index)
    listed = replace(index, remediations=(TableSuspicious.name,))
    assert tells().takes(listed)
    found = tells().detect(listed, seen(table={**TABLE, "DeletionProtectionEnabled": False}, arn=index.arn))
    assert isinstance(found, Sick)
    assert found.finding.symptom == "orders: its deletion protection is off"


@pytest.mark.parametrize(
    "found, says",
    [
        ({"table": None}, "there is no such table"),
        ({"table": TABLE | {"TableStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}}, "nobody can read it"),
        ({"table": TABLE | {"TableStatus": "ARCHIVING"}}, "it is being archived"),
        ({"table": TABLE | {"TableStatus": "ARCHIVED"}}, "it was archived"),
        ({"table": TABLE | {"TableStatus": "DELETING"}}, "it is being deleted"),
        (
            {"table": TABLE | {"TableSizeBytes": 49 * MIB}},
            "it has lost more than 50 % of what its backup before-v2 of 2026-11-16 03:00 UTC holds",
        ),
        ({"access": policy("*")}, "its policy lets everybody in"),
        ({"access": policy({"AWS": "*"})}, "its policy lets everybody in"),
        (
            {"access": policy({"AWS": ["arn:aws:iam::999999999999:root", "888888888888"]})},
            "its policy lets account 999999999999 and account 888888888888 in",
        ),
        ({"access": policy({"AWS": "AIDAEXAMPLE"})}, "its policy lets somebody whose account it does not name in"),
    ],
)
def test_what_needs_nobody_to_say_it(found: dict[str, Any], says: str) -> None:
    """A table that is lost, much smaller, or open to strangers."""
    assert sick(None, **found).symptom.startswith(f"orders: {says}")


@pytest.mark.parametrize(
    "found, says",
    [
        ({"table": TABLE | {"ItemCount": 999}}, "it has fewer items than the 1000 that it must have"),
        ({"table": TABLE | {"DeletionProtectionEnabled": False}}, "its deletion protection is off"),
        ({"table": TABLE | {"SSEDescription": None}}, "it is encrypted with a key of AWS's own than it must be"),
        (
            {"table": TABLE | {"SSEDescription": {"KMSMasterKeyArn": "other"}}},
            "it is encrypted with another key than it must be",
        ),
        ({"table": TABLE | {"StreamSpecification": None}}, "its stream is off"),
        ({"backups": OFF}, "its continuous backups are off"),
        ({"access": {"TimeToLiveStatus": "DISABLED"}}, "its items expire no more, and should by expires"),
        ({"access": ACCESS | {"AttributeName": "created"}}, "its items expire by created, and should by expires"),
        (
            {"access": {"TimeToLiveStatus": "ENABLING"}},
            "its items expire by an attribute that is not said, and should by expires",
        ),
    ],
)
def test_what_was_said_of_it_must_be_so(found: dict[str, Any], says: str) -> None:
    """Each in the words that people are told."""
    assert sick(**found).symptom == f"orders: {says}"


def test_where_nothing_may_expire_anything_that_does_is_told() -> None:
    """Switched on by somebody: what it deletes is gone."""
    assert sick(Expected(expires_by="")).symptom == "orders: its items expire by expires, and should not at all"
    assert isinstance(look(Expected(expires_by=""), access={"TimeToLiveStatus": "DISABLED"}), Healthy)


def test_all_signs_are_one_finding() -> None:
    """The worst first; the figures beside it."""
    found = sick(table=TABLE | {"ItemCount": 3, "TableSizeBytes": 0}, access=policy("*"))
    assert found.symptom == (
        "orders: it has fewer items than the 1000 that it must have; it has lost more than 50 % of what its backup "
        "before-v2 of 2026-11-16 03:00 UTC holds; its policy lets everybody in"
    )
    assert [(each.value, each.threshold) for each in found.signals] == [(3.0, 1000), (100.0, 50)]


@pytest.mark.parametrize(
    "found",
    [
        {"table": TABLE | {"TableSizeBytes": 50 * MIB}},  # half is not more than half
        {"backups": BACKUPS | {"Backups": []}, "table": TABLE | {"TableSizeBytes": 0}},
        {
            "backups": BACKUPS | {"Backups": [MADE | {"BackupStatus": "CREATING"}]},
            "table": TABLE | {"TableSizeBytes": 0},
        },
        {"backups": BACKUPS | {"Backups": [MADE | {"BackupType": "SYSTEM"}]}, "table": TABLE | {"TableSizeBytes": 0}},
        {
            "backups": BACKUPS | {"Backups": [MADE | {"BackupSizeBytes": MIB - 1}]},
            "table": TABLE | {"TableSizeBytes": 0},
        },
        {"backups": BACKUPS | {"Backups": [MADE | {"BackupSizeBytes": None}]}, "table": TABLE | {"TableSizeBytes": 0}},
        {"table": TABLE | {"TableSizeBytes": None}},
        {"table": TABLE | {"TableStatus": "UPDATING"}},
        {"access": policy({"AWS": f"arn:aws:iam::{ARN.account}:role/app"}, {"Service": "events.amazonaws.com"})},
        {"access": policy("*", effect="Deny")},
    ],
)
def test_what_is_no_sign(found: dict[str, Any]) -> None:
    """Little was lost, a backup of nothing, our own account, services of AWS, and whatever is only denied."""
    assert isinstance(look(**found), Healthy)


def test_the_newest_backup_is_what_it_is_compared_with() -> None:
    """An old one was of more."""
    old = MADE | {"BackupCreationDateTime": NOW - 20 * DAY, "BackupSizeBytes": 900 * MIB}
    assert isinstance(look(backups=BACKUPS | {"Backups": [old, MADE]}), Healthy)


def test_accounts_that_were_named_are_no_strangers() -> None:
    """Nor is anybody, where everybody may be let in."""
    shared = policy({"AWS": "arn:aws:iam::999999999999:root"})
    assert isinstance(look(Expected(accounts=("999999999999",)), access=shared), Healthy)
    assert isinstance(look(Expected(accounts=("*",)), access=policy("*")), Healthy)


def test_all_but_a_few_are_strangers() -> None:
    """Who allows by NotPrincipal lets in whoever it does not name."""
    text = json.dumps({"Statement": {"Effect": "Allow", "NotPrincipal": {"AWS": "*"}}})
    assert sick(access=ACCESS | {"Policy": text}).symptom == "orders: its policy lets all but a few in"


@pytest.mark.parametrize(
    "found, says",
    [
        ({"table": Unread("denied")}, "denied"),
        ({"backups": Unread("slow")}, "slow"),
        ({"access": None}, "dynamodb.access of orders is not known"),
        ({"table": TABLE | {"TableStatus": "CREATING"}}, "orders is CREATING"),
        ({"table": TABLE | {"ItemCount": None}}, "DynamoDB does not say how many items orders has"),
        ({"table": TABLE | {"SSEDescription": 7}}, "what was read of orders cannot be understood: AttributeError"),
        ({"backups": {"Backups": []}}, "DynamoDB does not say how orders is backed up"),
        *(
            ({"access": ACCESS | {"Policy": text}}, "the policy of orders cannot be understood")
            for text in ("{", "[]", "{}", '{"Statement": ["Allow"]}', '{"Statement": [{"Effect": "allow"}]}')
        ),
    ],
)
def test_what_cannot_be_read_is_unknown(found: dict[str, Any], says: str) -> None:
    """Not well; and whatever speaks against it beside that is told all the same."""
    assert look(**found) == Unknown(says)
    beside: dict[str, Any] = {"backups": OFF} if "backups" not in found else {"access": policy("*")}
    assert isinstance(look(**{**found, **beside}), Sick)


@given(
    st.tuples(
        *[
            st.dictionaries(
                st.sampled_from(sorted({*TABLE, *BACKUPS, *ACCESS, "Policy"})),
                st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers() | st.text()),
            )
            for _ in range(3)
        ]
    )
)
def test_detection_is_total(found: tuple[dict[str, Any], ...]) -> None:
    """Whatever was read."""
    table, backups, access = found
    assert isinstance(look(table=table, backups=backups, access=access), Healthy | Sick | Unknown)


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_whoever_did_it_is_named_the_newest_first() -> None:
    """With what it could be put back to; refused attempts are told as such; other tables' events are left out."""
    events = {
        "UpdateTimeToLive": [
            event("UpdateTimeToLive", {"tableName": "orders"}),
            event("UpdateTimeToLive", {"tableName": str(ARN)}, 5, errorCode="AccessDenied"),
            event("UpdateTimeToLive", {"tableName": "others"}),
            event("UpdateTimeToLive", None),
            event("UpdateTimeToLive", ["odd"]),
            {"EventName": "UpdateTimeToLive"},
        ]
    }
    diagnosis = told(events=events, access=ACCESS | {"AttributeName": "created"})
    assert diagnosis.cause == "orders: its items expire by created, and should by expires"
    assert diagnosis.evidence == (
        "its items expire by created, and should by expires",
        "it could be put back to any time from 2026-10-15 03:00 UTC to 2026-11-19 02:55 UTC",
        "its newest backup is before-v2, of 2026-11-16 03:00 UTC",
        "UpdateTimeToLive by arn:aws:iam::123456789012:user/mallory, and was refused at 2026-11-19 02:55 UTC",
        "UpdateTimeToLive by arn:aws:iam::123456789012:user/mallory at 2026-11-19 02:50 UTC",
        "in the last hour 7 conditional writes failed, and 7 items expired",
    )
    assert any("describe-time-to-live" in each for each in diagnosis.advice)
    assert diagnosis.whose == ""


def test_who_changed_a_key_is_told_whichever_key_it_was() -> None:
    """CloudTrail names keys by an id that may be an alias: a person knows which one the table's is."""
    events = {"DisableKey": [event("DisableKey", {"keyId": KEY}, userIdentity={"invokedBy": "AWS Internal"})]}
    diagnosis = told(events=events, table=TABLE | {"TableStatus": "ARCHIVING"})
    assert "DisableKey by AWS Internal at 2026-11-19 02:50 UTC" in diagnosis.evidence
    assert any("describe-table" in each for each in diagnosis.advice)


def test_where_nobody_is_named_that_is_said() -> None:
    """It is minutes late, and an end that no event brings about has none."""
    assert any("CloudTrail names nobody for DeleteTable" in each for each in told(table=None).evidence)
    few = told(table=TABLE | {"ItemCount": 3})
    assert not any("CloudTrail names nobody" in each for each in few.evidence)


@pytest.mark.parametrize(
    "backups, command",
    [
        (BACKUPS, "aws dynamodb restore-table-to-point-in-time --source-table-name orders"),
        (OFF | {"Backups": [MADE]}, "aws dynamodb restore-table-from-backup --target-table-name orders-restored"),
        (OFF, "aws dynamodb list-backups --table-name orders --backup-type ALL (read only)"),
        (None, "aws dynamodb list-backups --table-name orders --backup-type ALL (read only)"),
    ],
)
def test_how_a_person_would_put_it_back_is_told(backups: Any, command: str) -> None:
    """Beside itself, and not by us."""
    diagnosis = told(table=None, backups=backups)
    assert command in diagnosis.advice[-1]
    assert any("nothing that it could be put back from" in each for each in diagnosis.evidence) == (backups is OFF)
    unread = "what it could be put back from could not be read"
    assert (unread in diagnosis.evidence) == (backups is None)


def test_what_opens_or_unprotects_it_is_told_with_the_command_that_undoes_it() -> None:
    """Marked as writes: nobody runs them but people."""
    diagnosis = told(table=TABLE | {"DeletionProtectionEnabled": False}, access=policy("*"), backups=OFF)
    text = " ".join(diagnosis.advice)
    for command in ("delete-resource-policy", "--deletion-protection-enabled (a write)", "update-continuous-backups"):
        assert command in text


@pytest.mark.parametrize(
    "backups, whose",
    [
        (OFF, "backup-stale"),
        (OFF | {"Backups": [MADE | {"BackupCreationDateTime": NOW - 8 * DAY}]}, "backup-stale"),
        (OFF | {"Backups": [MADE]}, ""),
    ],
)
def test_backups_alone_are_anothers_where_that_tells_of_them(backups: Any, whose: str) -> None:
    """With any other sign they are told here."""
    assert told(backups=backups).whose == whose
    assert told(backups=backups, access=policy("*")).whose == ""


def test_what_is_over_or_cannot_be_read_is_not_told() -> None:
    """Looked at again in a minute, or as soon as it can be read."""
    with pytest.raises(Refused, match="it is as it must be again"):
        told()
    with pytest.raises(Unreadable):
        told(table=Unread("denied"))
