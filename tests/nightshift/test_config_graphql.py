"""A GraphQL API and a user pool in the configuration: what may be kept, what stands behind it, who opens what."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, load_toml, parse_toml, to_json
from nightshift.events import Alarm, alarm_targets
from nightshift.model import Arn, Cache

HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.appsync-slow]
[[systems]]
name = "data"
[[systems.targets]]
arn = "arn:aws:appsync:eu-central-1:123456789012:apis/a1"
"""
STANDS = 'depends_on = ["arn:aws:dynamodb:eu-central-1:123456789012:table/hot"]\n'
CACHE = """
[systems.targets.cache]
holds = "air quality"
ttl = "PT5M"
public = true
"""
FULL = HEAD + STANDS + CACHE
POOL = (
    HEAD.replace("appsync-slow", "sign-ins-failing")
    .replace("appsync:", "cognito-idp:")
    .replace("apis/a1", "userpool/A")
)
CLIENTS = 'clients = ["1example23456789"]\n'
OPENS = 'api = "arn:aws:appsync:eu-central-1:123456789012:apis/a1"\n'


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_an_api_says_what_it_may_keep_and_what_it_stands_on() -> None:
    """By default whole requests, and nothing that somebody has not called public; JSON says the same as TOML."""
    policy = parsed(FULL)
    [target] = policy.targets
    assert target.cache == Cache("air quality", timedelta(minutes=5), "full-request", public=True)
    assert target.depends_on == (Arn.parse("arn:aws:dynamodb:eu-central-1:123456789012:table/hot"),)
    assert from_json(to_json(policy)) == policy
    [careful] = parsed(FULL.replace("public = true", 'behavior = "per-resolver"')).targets
    assert careful.cache is not None
    assert (careful.cache.behavior, careful.cache.public) == ("per-resolver", False)
    assert parsed(HEAD).targets[0].cache is None


def test_a_user_pool_says_its_clients_and_what_their_tokens_open() -> None:
    """Without a client there is nothing to look at."""
    policy = parsed(POOL + CLIENTS + OPENS)
    [target] = policy.targets
    assert target.clients == ("1example23456789",)
    assert str(target.api).endswith("apis/a1")
    assert from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD + CACHE, "what the API stands on"),
        (FULL.replace("PT5M", "PT61M"), "1 hour"),
        (FULL.replace("PT5M", "PT0.5S"), "1 second"),
        (FULL.replace("PT5M", "PT1.5S"), "whole number of seconds"),
        (FULL.replace("air quality", ""), "holds"),
        (FULL.replace("public = true", 'behavior = "operation"'), "behavior"),
        (FULL.replace("dynamodb:eu-central-1:123456789012:table/hot", "sqs:eu-central-1:123456789012:q"), "depend on"),
        (FULL.replace("dynamodb:eu-central-1", "dynamodb:us-east-1"), "depend on"),
        (HEAD + CLIENTS, "has no clients"),
        (HEAD + OPENS, "has no api"),
        (POOL, "no enabled remediation takes"),
        (POOL + "clients = []\n", "clients"),
        (POOL + CLIENTS.replace("1example23456789", "a b"), "clients"),
        (POOL + CLIENTS + OPENS.replace("appsync:", "sqs:").replace("apis/a1", "q"), "is of kind sqs:queue"),
        (POOL + CLIENTS + CACHE, "has no cache"),
    ],
)
def test_what_cannot_be_is_said(text: str, says: str) -> None:
    """With the line, before anything is deployed."""
    with pytest.raises(ConfigErrors) as caught:
        parsed(text)
    assert says in str(caught.value)


def test_the_example_of_the_runbook_declares_what_is_safe() -> None:
    """OpenData Pulse's API, what it stands on, and the pool whose tokens open it."""
    policy = load_toml(Path(__file__).parents[2] / "config" / "opendata-pulse.toml")
    [api] = [each for each in policy.targets if each.arn.kind == "appsync:apis"]
    [pool] = [each for each in policy.targets if each.arn.kind == "cognito-idp:userpool"]
    assert api.cache is not None
    assert api.cache.public
    assert pool.api == api.arn


def test_an_alarm_about_an_api_is_about_whoever_opens_it_too() -> None:
    """What an API refuses may be its pool's doing; another one's is not."""
    [api], [pool] = parsed(FULL).targets, parsed(POOL + CLIENTS + OPENS).targets
    [alone] = parsed(POOL + CLIENTS).targets
    every = (api, pool, alone)
    for dimensions, found in (
        ({"GraphQLAPIId": "a1"}, (api, pool)),
        ({"GraphQLAPIId": "a2"}, ()),
        ({"UserPool": "A", "UserPoolClient": "x"}, (pool, alone)),
        ({"UserPool": "B"}, ()),
    ):
        alarm = Alarm(name="a", arn="x", state="ALARM", dimensions=(dimensions,))
        assert alarm_targets([alarm], every) == found
