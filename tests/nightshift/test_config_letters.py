"""A dead-letter queue's own rules, and the function whose events it holds: valid, or the file says what is wrong."""

from __future__ import annotations

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json
from nightshift.letters import Meaning
from nightshift.model import Arn

SQS, FUNCTION = "arn:aws:sqs:eu-central-1:123456789012", "arn:aws:lambda:eu-central-1:123456789012:function:etl"
HEAD = f"""
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.sqs-dlq-backlog]
[remediations.lambda-dlq-backlog]
[[systems]]
name = "orders"
[[systems.targets]]
arn = "{SQS}:orders-dlq"
[[systems.targets]]
arn = "{SQS}:etl-failed"
"""
NAMED = f'{HEAD}function = "{FUNCTION}"\n'


def rule(**other: str) -> str:
    """A rule's table."""
    said = {
        "name": '"old shop"',
        "means": '"obsolete"',
        "when": '{ test = "json-equals", path = "/shop/0", value = "old" }',
    }
    lines = "\n".join(f"{key} = {value}" for key, value in (said | other).items() if value)
    return f"[[systems.targets.letters]]\n{lines}\n"


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_queue_names_its_function_and_has_rules_of_its_own() -> None:
    """The function counts as linked; rules keep their order; JSON says the same as TOML, and its hash tells rules."""
    policy = parsed(NAMED + rule() + rule(name='"mine"', means='"keep"'))
    target = policy.targets[1]
    assert target.function == Arn.parse(FUNCTION)
    assert target.function in target.linked
    assert [(each.name, each.means) for each in target.letters] == [
        ("old shop", Meaning.OBSOLETE),
        ("mine", Meaning.KEEP),
    ]
    assert from_json(to_json(policy)) == policy
    assert parsed(NAMED + rule()).hash != parsed(NAMED + rule(means='"poison"')).hash


@pytest.mark.parametrize(
    "text, says",
    [
        (NAMED + rule(name=""), "letters[0].name: is missing"),
        (NAMED + rule(means=""), "letters[0].means: is missing"),
        (NAMED + rule(means='"delete"'), 'letters[0].means: "delete" is not known'),
        (NAMED + rule(when=""), "letters[0].when: is missing"),
        (NAMED + rule(when='{ test = "regex", text = "(a+)+$" }'), "letters[0].when"),
        (NAMED + rule(when='{ test = "json-equals", path = "/a" }'), "value: is missing"),
        (NAMED + rule(when='{ test = "json-equals", path = "/a", value = [1] }'), "letters[0].when"),
        (NAMED + rule(action='"purge"'), "letters[0].action: there is no such setting here"),
        (NAMED + rule() * 51, "letters"),
        (NAMED + f'source = "{SQS}:orders"\n', "function: has a source beside it"),
        (NAMED + f'consumer = "{FUNCTION}"\n', "function: has a consumer beside it"),
        (HEAD + f'function = "{SQS}:orders"\n', "is of kind sqs:queue"),
        (HEAD + f'function = "{FUNCTION}:live:2"\n', "does not name one lambda:function"),
        (NAMED.replace("central-1:123456789012:function", "west-1:123456789012:function"), "its region is eu-west-1"),
        (
            f'{NAMED}[[systems.targets]]\narn = "{FUNCTION}"\nfunction = "{FUNCTION}"\n',
            "a target of kind lambda:function has no function",
        ),
        (
            f'{NAMED}[[systems.targets]]\narn = "{FUNCTION}"\n{rule()}',
            "a target of kind lambda:function has no letters",
        ),
        (f'{HEAD}remediations = ["lambda-dlq-backlog"]\n', "lambda-dlq-backlog needs its function"),
        (HEAD, "remediations.lambda-dlq-backlog: has no target"),
    ],
)
def test_what_is_wrong_is_said_and_where(text: str, says: str) -> None:
    """Before anything is deployed; nothing is guessed."""
    with pytest.raises(ConfigErrors) as caught:
        parsed(text)
    assert says in str(caught.value)
