"""A function may say of which alias instances may be kept ready, and how many; nothing else has any."""

from __future__ import annotations

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json
from nightshift.model import Provisioned

FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:api"
HEAD = f"""
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.lambda-cold-starts]
[remediations.lambda-throttled]
[[systems]]
name = "api"
[[systems.targets]]
arn = "{FUNCTION}"
"""


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_function_may_say_of_which_alias_and_how_many() -> None:
    """Both; JSON says the same as TOML."""
    for text, provisioned in (
        ('provisioned = { alias = "live", ceiling = 20 }', Provisioned("live", 20)),
        ('provisioned = { alias = "2-live_B", ceiling = 1 }', Provisioned("2-live_B", 1)),
    ):
        policy = parsed(HEAD + text)
        assert policy.targets[0].provisioned == provisioned
        assert from_json(to_json(policy)) == policy


def test_a_function_that_says_none_is_not_looked_at_for_it() -> None:
    """What asks about starts has no target then, and that is said."""
    assert parsed(HEAD.replace("[remediations.lambda-cold-starts]\n", "")).targets[0].provisioned is None
    with pytest.raises(ConfigErrors, match=r"lambda-cold-starts: has no target"):
        parsed(HEAD)


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD + 'provisioned = { alias = "live" }', "ceiling"),
        (HEAD + "provisioned = { ceiling = 5 }", "alias"),
        (HEAD + 'provisioned = { alias = "live", ceiling = 0 }', "ceiling"),
        (HEAD + 'provisioned = { alias = "$LATEST", ceiling = 5 }', "alias"),
        (HEAD + 'provisioned = { alias = "7", ceiling = 5 }', "alias"),  # a version, which nobody's callers follow
        (HEAD + 'provisioned = { alias = "", ceiling = 5 }', "alias"),
        (HEAD + 'provisioned = { alias = "live", ceiling = 5, colour = 1 }', "colour"),
        (
            HEAD.replace("lambda:eu-central-1:123456789012:function:api", "sqs:eu-central-1:123456789012:q")
            + 'provisioned = { alias = "live", ceiling = 5 }',
            "a target of kind sqs:queue has no provisioned",
        ),
        (
            HEAD.replace("function:api", "function:api:live") + 'provisioned = { alias = "live", ceiling = 5 }',
            "names a version or an alias",
        ),
    ],
)
def test_what_makes_no_sense_is_said(text: str, says: str) -> None:
    """Where it is written."""
    with pytest.raises(ConfigErrors, match=r".") as caught:
        parsed(text)
    assert says in str(caught.value)
