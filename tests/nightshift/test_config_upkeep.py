"""Secrets, stacks, certificates and backups in the configuration: each by its ARN, some with a word of its own."""

from __future__ import annotations

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json

HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.{}]
[[systems]]
name = "data"
[[systems.targets]]
arn = "arn:aws:{}"
"""
SECRET = HEAD.format(
    "secret-rotation-overdue", "secretsmanager:eu-central-1:123456789012:secret:dms/database/password-a1B2c3"
)
STACK = HEAD.format("stack-stuck", "cloudformation:eu-central-1:123456789012:stack/Api-Stack/0a1b2c3d-0000-11ef")
CERTIFICATE = HEAD.format("certificate-expiring", "acm:eu-central-1:123456789012:certificate/0a1b2c3d-0000-11ef")
LOCKS = HEAD.format("terraform-lock-held", "dynamodb:eu-central-1:123456789012:table/terraform-state-lock")
LOCKS += 'terraform_locks = ["states/a.tfstate", "states/env:/test/a.tfstate"]'
TABLE = HEAD.format("backup-stale", "dynamodb:eu-central-1:123456789012:table/orders")
BUCKET = HEAD.format("backup-stale", "s3:::terraform-state")


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


@pytest.mark.parametrize("text", [SECRET, SECRET + "rotate_within = 30", STACK, CERTIFICATE])
def test_what_people_keep_up_is_registered_by_its_arn(text: str) -> None:
    """JSON says the same as TOML."""
    policy = parsed(text)
    assert from_json(to_json(policy)) == policy
    assert policy.targets[0].rotate_within == (30 if "rotate_within" in text else None)


def test_a_table_of_locks_names_the_states_that_are_locked_in_it() -> None:
    """As Terraform calls them: the bucket, and the key; of another table none are known."""
    policy = parsed(LOCKS)
    assert from_json(to_json(policy)) == policy
    assert policy.targets[0].terraform_locks == ("states/a.tfstate", "states/env:/test/a.tfstate")
    assert parsed(STACK).targets[0].terraform_locks is None


@pytest.mark.parametrize("text", [TABLE, TABLE.replace("orders", "orders/index/by-day"), BUCKET])
def test_what_is_backed_up_is_registered_by_its_arn(text: str) -> None:
    """Nothing is replicated unless the configuration says so."""
    policy = parsed(text)
    assert from_json(to_json(policy)) == policy
    assert not policy.targets[0].replicated


def test_a_bucket_may_have_to_be_replicated() -> None:
    """JSON says so, too."""
    policy = parsed(BUCKET + "replicated = true")
    assert from_json(to_json(policy)) == policy
    assert policy.targets[0].replicated


@pytest.mark.parametrize(
    "text, says",
    [
        (SECRET.replace("-a1B2c3", ""), "does not name one secretsmanager:secret"),
        (STACK.replace("/0a1b2c3d-0000-11ef", ""), "does not name one cloudformation:stack"),
        (CERTIFICATE.replace("certificate/0a1b2c3d-0000-11ef", "certificate/"), "does not name one acm:certificate"),
        (TABLE + "replicated = true", "a target of kind dynamodb:table has no replicated"),
        (TABLE.replace("orders", "orders/stream/1"), "is no table and no index"),
        (TABLE.replace("orders", ""), "is no table and no index"),
        (BUCKET + "replicated = 1", "replicated"),
        (STACK + "rotate_within = 30", "a target of kind cloudformation:stack has no rotate_within"),
        (SECRET + "rotate_within = 0", "rotate_within: 0"),
        (SECRET + 'rotate_within = "P30D"', "rotate_within"),
        (LOCKS.replace("states/a.tfstate", "states/a.tfstate-md5"), "states/a.tfstate-md5 is the digest of a state"),
        (LOCKS.replace("env:/test/a.tfstate", "a.tfstate"), "states/a.tfstate is named already"),
        (LOCKS.replace("env:/test/a.tfstate", "b" * 500).replace("a.tf", "a" * 200), "more than 700 characters"),
        (LOCKS.replace("states/a.tfstate", "states"), r"terraform_locks\[0\]"),
        (LOCKS.replace("states/a.tfstate", "states/a,b"), r"terraform_locks\[0\]"),
        (LOCKS.replace("states/a.tfstate", "states/${aws:username}"), r"terraform_locks\[0\]"),
        (LOCKS.partition("terraform_locks")[0] + "terraform_locks = []", "terraform_locks"),
        (LOCKS.replace("-state-lock", "-state-lock/index/a"), "is no table, and has no terraform_locks"),
        (STACK + 'terraform_locks = ["states/a.tfstate"]', "is no table, and has no terraform_locks"),
        (SECRET.replace("123456789012:secret", "123456789013:secret"), "its account is 123456789013"),
    ],
)
def test_what_is_wrong_with_one_is_said(text: str, says: str) -> None:
    """With what to write instead."""
    with pytest.raises(ConfigErrors, match=says):
        parsed(text)
