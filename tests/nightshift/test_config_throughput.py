"""A table or an index may say how much a loan may bring it to; nothing else has a throughput."""

from __future__ import annotations

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json
from nightshift.model import Arn, Throughput

TABLE = "arn:aws:dynamodb:eu-central-1:123456789012:table/hot"
HEAD = f"""
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.dynamodb-throttled]
[[systems]]
name = "data"
[[systems.targets]]
arn = "{TABLE}"
"""


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_table_may_say_how_much_it_may_have() -> None:
    """One number, both, or none; JSON says the same as TOML."""
    for text, throughput in (
        ("", None),
        ("throughput = { write = 50 }", Throughput(write=50)),
        ("throughput = { read = 100, write = 50 }", Throughput(100, 50)),
    ):
        policy = parsed(HEAD + text)
        assert policy.targets[0].throughput == throughput
        assert from_json(to_json(policy)) == policy


def test_an_index_is_linked_to_its_table() -> None:
    """It has the table's tags; a table is linked to nothing."""
    assert parsed(HEAD.replace("table/hot", "table/hot/index/place")).targets[0].linked == (Arn.parse(TABLE),)
    assert parsed(HEAD).targets[0].linked == ()


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD.replace("table/hot", "table/hot/stream/2026"), "is no table and no index"),
        (HEAD.replace("table/hot", "table/hot/index/a/b"), "is no table and no index"),
        (HEAD + "throughput = { write = 0 }", "throughput.write"),
        (HEAD + "throughput = { colour = 1 }", "colour"),
        (
            HEAD.replace("dynamodb:eu-central-1:123456789012:table/hot", "sqs:eu-central-1:123456789012:q")
            + "throughput = { write = 1 }",
            "a target of kind sqs:queue has no throughput",
        ),
    ],
)
def test_what_makes_no_sense_is_said(text: str, says: str) -> None:
    """Where it is written."""
    with pytest.raises(ConfigErrors, match=r".") as caught:
        parsed(text)
    assert says in str(caught.value)
