"""Triggers and events in the configuration: each customer's own queue, or the file is wrong and says where."""

from __future__ import annotations

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json
from nightshift.model import Arn

SQS = "arn:aws:sqs:eu-central-1:123456789012"
ECS = "arn:aws:ecs:eu-central-1:123456789012:service/prod"
HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.s3-trigger-stuck]
[[systems]]
name = "changes"
[[systems.targets]]
arn = "arn:aws:s3:::metadata"
"""
TRIGGERS = """
[systems.targets.triggers]
prefix = "customers/"
archive = "archive/"
"""


def customer(name: str, **other: str) -> str:
    """A customer's table."""
    named = {"queue": f"{SQS}:{name}", "dead_letters": f"{SQS}:{name}-dlq", "consumer": f"{ECS}/{name}"} | other
    lines = "\n".join(f'{key} = "{value}"' for key, value in {"name": name, **named}.items())
    return f"[[systems.targets.triggers.customers]]\n{lines}\n"


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_bucket_says_where_its_triggers_stand_and_who_is_told() -> None:
    """Each customer is found by its name alone; what it names counts as linked; JSON says the same as TOML."""
    policy = parsed(HEAD + TRIGGERS + customer("hts") + customer("other"))
    [target] = policy.targets
    assert target.triggers is not None
    hts = target.triggers.customer("hts")
    assert hts is not None
    assert (hts.queue, hts.consumer) == (Arn.parse(f"{SQS}:hts"), Arn.parse(f"{ECS}/hts"))
    assert target.triggers.customer("HTS") is None
    assert Arn.parse(f"{SQS}:other-dlq") in target.linked
    assert from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD, "no enabled remediation takes the kind s3:bucket"),
        (HEAD + TRIGGERS, "customers: is missing"),
        (HEAD + TRIGGERS + customer("hts") + customer("hts"), '"hts" is another customer\'s'),
        (HEAD + TRIGGERS + customer("hts") + customer("other", queue=f"{SQS}:hts"), "is named already"),
        (HEAD + TRIGGERS + customer("hts", dead_letters=f"{SQS}:hts"), "is named already"),
        (HEAD + TRIGGERS + customer("hts", consumer=f"{SQS}:x"), "is of kind sqs:queue"),
        (HEAD + TRIGGERS + customer("hts", queue="arn:aws:sqs:us-east-1:123456789012:hts"), "its region is us-east-1"),
        (HEAD + TRIGGERS.replace("archive/", "customers/old/") + customer("hts"), "are not apart"),
        (HEAD + TRIGGERS.replace("customers/", "cust*/") + customer("hts"), "does not fit"),
        (HEAD + TRIGGERS + customer("h/s"), "does not fit"),
        (HEAD.replace("s3:::metadata", "s3:::metadata/x") + TRIGGERS + customer("hts"), "does not name one s3:bucket"),
        (HEAD.replace("arn:aws:s3:::metadata", f"{SQS}:q") + TRIGGERS + customer("hts"), "has no triggers"),
    ],
)
def test_what_could_send_a_message_to_the_wrong_queue_is_no_configuration(text: str, says: str) -> None:
    """It is said, with the line."""
    with pytest.raises(ConfigErrors) as error:
        parsed(text)
    assert says in str(error.value)
    assert error.value.line


BACKUP = """
[systems.targets.backup]
bucket = "arn:aws:s3:::safe"
prefix = "changes/"
"""


def test_an_archive_says_where_it_is_backed_up() -> None:
    """JSON says the same as TOML; the other bucket is no target, and nothing that is linked."""
    policy = parsed(HEAD + TRIGGERS + customer("hts") + BACKUP)
    backup = policy.targets[0].backup
    assert backup is not None
    assert (str(backup.bucket), backup.prefix) == ("arn:aws:s3:::safe", "changes/")
    assert backup.bucket not in policy.targets[0].linked
    assert from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD + BACKUP, "there is no archive to back up"),
        (HEAD + TRIGGERS + customer("hts") + BACKUP.replace("safe", "metadata"), "is the bucket itself"),
        (HEAD + TRIGGERS + customer("hts") + BACKUP.replace("safe", "safe/x"), "does not name one s3:bucket"),
        (HEAD + TRIGGERS + customer("hts") + BACKUP.replace("arn:aws:s3:::safe", f"{SQS}:x"), "name one s3:bucket"),
        (HEAD + TRIGGERS + customer("hts") + BACKUP.replace("changes/", "changes"), "does not fit"),
    ],
)
def test_what_is_lost_with_its_bucket_is_no_backup(text: str, says: str) -> None:
    """It is said, with the line."""
    with pytest.raises(ConfigErrors) as error:
        parsed(text)
    assert says in str(error.value)
    assert error.value.line


KMS = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"


def test_a_bucket_and_its_backup_name_the_keys_with_which_they_are_encrypted() -> None:
    """Each its own, maybe another account's; JSON says the same as TOML."""
    theirs = KMS.replace("123456789012", "999999999999")
    text = f'{HEAD}{TRIGGERS}key = "{KMS}"\n{customer("hts")}{BACKUP}key = "{theirs}"\n'
    policy = parsed(text)
    [target] = policy.targets
    safe = Arn.parse("arn:aws:s3:::safe")
    assert target.keyed == ((target.arn, Arn.parse(KMS)), (safe, Arn.parse(theirs)))
    assert from_json(to_json(policy)) == policy
    assert parsed(HEAD + TRIGGERS + customer("hts") + BACKUP).targets[0].keyed == ()


@pytest.mark.parametrize(
    "key, says",
    [
        (KMS.replace("key/0a1b", "alias/ours"), "is of kind kms:alias. Name its id: aws kms describe-key"),
        (KMS.replace("eu-central-1", "us-east-1"), "its region is us-east-1"),
        (f"{SQS}:hts", "is of kind sqs:queue"),
        ("0a1b", "ARN"),
    ],
)
@pytest.mark.parametrize("table", [TRIGGERS, BACKUP])
def test_what_no_permission_can_name_is_no_key(key: str, says: str, table: str) -> None:
    """It is said, with the line."""
    of_triggers = f'key = "{key}"\n' if table is TRIGGERS else ""
    of_backup = f'key = "{key}"\n' if table is BACKUP else ""
    with pytest.raises(ConfigErrors) as error:
        parsed(f"{HEAD}{TRIGGERS}{of_triggers}{customer('hts')}{BACKUP}{of_backup}")
    assert says in str(error.value)
    assert error.value.line


FUNCTION = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.event-source-broken]
[[systems]]
name = "etl"
[[systems.targets]]
arn = "arn:aws:lambda:eu-central-1:123456789012:function:etl"
"""
RULE = "arn:aws:events:eu-central-1:123456789012:rule/hourly"


def test_a_function_says_where_its_events_come_from() -> None:
    """JSON says the same as TOML; it may say nothing."""
    sources = ["arn:aws:s3:::content", RULE, f"{SQS}:orders"]
    policy = parsed(f"{FUNCTION}events_from = {sources}")
    assert [str(each) for each in policy.targets[0].events_from] == sources
    assert from_json(to_json(policy)) == policy
    assert parsed(FUNCTION).targets[0].events_from == ()


@pytest.mark.parametrize("alias", ["live", "blue-1", "1a", "_", "a" * 128])
def test_a_function_says_by_which_alias_it_is_called(alias: str) -> None:
    """JSON says the same as TOML; it may say none."""
    policy = parsed(f'{FUNCTION}alias = "{alias}"')
    assert policy.targets[0].alias == alias
    assert from_json(to_json(policy)) == policy
    assert parsed(FUNCTION).targets[0].alias is None


@pytest.mark.parametrize("alias", ["", "7", "$LATEST", "a:b", "a b", "a*", "a" * 129])
def test_what_can_be_no_alias_is_no_configuration(alias: str) -> None:
    """A number is a version."""
    with pytest.raises(ConfigErrors, match="alias"):
        parsed(f'{FUNCTION}alias = "{alias}"')


@pytest.mark.parametrize(
    "text, says",
    [
        (
            f'{FUNCTION.replace(":etl", ":etl:live")}alias = "live"',
            "function:etl:live has no alias. Remove it: only a function itself",
        ),
        (f'{HEAD}alias = "live"\n{TRIGGERS}{customer("hts")}', "metadata has no alias. Remove it"),
        (f'{FUNCTION}events_from = ["{ECS}/x"]', "is of kind ecs:service. Name one of kind s3:bucket"),
        (f'{FUNCTION}events_from = ["{RULE}", "{RULE}"]', "is named already. Keep one of them"),
        (f'{FUNCTION}events_from = ["{RULE.replace("eu-central", "us-west")}"]', "its region is us-west-1"),
        (f'{FUNCTION}events_from = ["arn:aws:s3:::content/x"]', "does not name one s3:bucket"),
        (f'{FUNCTION}events_from = ["{RULE}*"]', "wildcard"),
        (
            f'{HEAD}events_from = ["{RULE}"]\n{TRIGGERS}{customer("hts")}',
            "a target of kind s3:bucket has no events_from. Remove it: only lambda:function",
        ),
    ],
)
def test_what_can_bring_no_events_is_no_configuration(text: str, says: str) -> None:
    """It is said, with the line."""
    with pytest.raises(ConfigErrors) as error:
        parsed(text)
    assert says in str(error.value)
    assert error.value.line
