"""The locks of Terraform's states: which are held, what is kept of what their holders say, and what is no lock."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from nightshift.model import Arn
from nightshift.remediation import Unread
from nightshift.signals import gather
from nightshift.signals.locks import locked, split

from tests.nightshift.signals.cloud import NOW, REGION, Cloud

TABLE = Arn.parse(f"arn:aws:dynamodb:{REGION}:123456789012:table/locks")
STATES = ("states/eu/prod.tfstate", "states/env:/dev/prod.tfstate")
READ = locked(TABLE, STATES)
INFO = {
    "ID": "0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f",
    "Operation": "OperationTypeApply",
    "Info": "the password is hunter2",
    "Who": "runner@ci-7",
    "Version": "1.9.5",
    "Created": "2026-11-20T01:00:00.123456789Z",
    "Path": STATES[0],
}


@pytest.fixture
def table(cloud: Cloud) -> Cloud:
    """An account with a lock table, in which the digest of a state lies."""
    client = cloud.session.client("dynamodb")
    client.create_table(
        TableName="locks",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "LockID", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "LockID", "KeyType": "HASH"}],
    )
    put(cloud, f"{STATES[0]}-md5", Digest={"S": "0a1b"})
    return cloud


def put(cloud: Cloud, lock: str, **attributes: Any) -> None:
    """An item of the table."""
    cloud.session.client("dynamodb").put_item(TableName="locks", Item={"LockID": {"S": lock}, **attributes})
    cloud.calls.clear()


def read(cloud: Cloud) -> Any:
    """What the reader makes of it."""
    return gather(cloud.aws(), [READ], now=NOW).resource(READ)


def test_the_key_says_the_table_and_its_locks() -> None:
    """A workspace's state has a colon in its name."""
    assert split(Arn.parse(READ.key)) == ("locks", STATES)
    assert split(TABLE) == ("locks", ())


def test_a_state_whose_item_is_not_there_is_not_locked(table: Cloud) -> None:
    """Its digest is not even asked for; each state is read as it is now."""
    assert read(table) == {"Held": {}}
    asked = table.asked("GetItem")
    assert [each["Key"]["LockID"]["S"] for each in asked] == list(STATES)
    assert all(each["ConsistentRead"] for each in asked)


def test_of_a_holder_its_names_and_its_date_are_kept(table: Cloud) -> None:
    """As Terraform writes them, to the nanosecond; what somebody added in words is not."""
    put(table, STATES[0], Info={"S": json.dumps(INFO)})
    assert read(table) == {
        "Held": {
            STATES[0]: {
                **{name: INFO[name] for name in ("ID", "Operation", "Who", "Version")},
                "Created": datetime(2026, 11, 20, 1, 0, 0, 123456, UTC),
            }
        }
    }


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"Info": {"S": ""}},
        {"Info": {"N": "7"}},
        {"Info": {"S": "[]"}},
        {"Info": {"S": "{"}},
        {"Info": {"S": '{"Who": "a", "Who": "b"}'}},
        {"Info": {"S": '{"Who": 7, "Created": 7}'}},
        {"Info": {"S": '{"Created": "2026-11-20T01:00:00"}'}},
        {"Info": {"S": '{"Info": "' + "x" * 70_000 + '"}'}},
    ],
)
def test_a_lock_of_which_nothing_can_be_understood_is_held(table: Cloud, item: dict[str, Any]) -> None:
    """Not read as free, and not guessed at: a time without a zone is none."""
    put(table, STATES[1], **item)
    assert read(table) == {"Held": {STATES[1]: {}}}


def test_what_a_holder_says_at_length_is_cut(table: Cloud) -> None:
    """It is anybody's text."""
    put(table, STATES[0], Info={"S": json.dumps({"Who": "x" * 5_000})})
    assert read(table) == {"Held": {STATES[0]: {"Who": "x" * 200}}}


def test_a_table_that_is_not_there_is_none_and_one_that_cannot_be_read_is_unknown(cloud: Cloud) -> None:
    """AWS has answered, or it has not: a table with another key, or one that we may not read."""
    assert read(cloud) is None
    for code in ("ValidationException", "AccessDeniedException"):
        cloud.fail("GetItem", code)
        assert isinstance(read(cloud), Unread)
