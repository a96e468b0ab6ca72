"""A bucket's pipeline in the configuration: what is raw and what is curated are apart, or the file is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from nightshift.config import ConfigErrors, Policy, from_json, parse_toml, to_json
from nightshift.model import Arn

SQS = "arn:aws:sqs:eu-central-1:123456789012"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:etl"
HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.pipeline-backlog]
[[systems]]
name = "pulse"
[[systems.targets]]
arn = "arn:aws:s3:::raw-data"
"""
SAID = {
    "raw": "air/raw/",
    "raw_suffix": ".json",
    "curated": "arn:aws:s3:::curated-data",
    "curated_prefix": "air/",
    "curated_suffix": ".parquet",
    "queue": f"{SQS}:etl",
    "dead_letters": f"{SQS}:etl-dlq",
    "function": FUNCTION,
    "timeout": "PT1M",
}
NONE = "<none>"
"""stands for what a file does not say"""


def written(head: str = HEAD, **other: str) -> str:
    """A file with these values in its pipeline."""
    lines = "\n".join(f'{key} = "{value}"' for key, value in (SAID | other).items() if value != NONE)
    return f"{head}[systems.targets.pipeline]\n{lines}\n"


def parsed(text: str) -> Policy:
    """Read a file."""
    return parse_toml(text, path="prod.toml")


def test_a_bucket_says_what_is_made_of_it_and_by_whom() -> None:
    """What it names counts as linked; nobody is taken to be idempotent; JSON says the same as TOML."""
    policy = parsed(written(window="PT6H"))
    [target] = policy.targets
    assert target.pipeline is not None
    assert (target.pipeline.timeout, target.pipeline.window) == (timedelta(minutes=1), timedelta(hours=6))
    assert (target.pipeline.dated, target.pipeline.idempotent) == (True, False)
    assert {Arn.parse(FUNCTION), Arn.parse(f"{SQS}:etl-dlq"), Arn.parse("arn:aws:s3:::curated-data")} <= {
        *target.linked
    }
    assert from_json(to_json(policy)) == policy


@pytest.mark.parametrize(
    "text, says",
    [
        (HEAD, "no enabled remediation takes the kind s3:bucket"),
        (HEAD + "[systems.targets.pipeline]\n", "raw: is missing"),
        (written(curated="arn:aws:s3:::raw-data"), "are not apart"),
        (written(curated="arn:aws:s3:::raw-data", curated_prefix="air/raw/made/"), "are not apart"),
        (written(curated="arn:aws:s3:::curated-data/air"), "does not name one s3:bucket"),
        (written(curated=f"{SQS}:curated"), "does not name one s3:bucket"),
        (written(function=f"{FUNCTION}:live"), "does not name one lambda:function"),
        (written(queue=FUNCTION), "does not name one sqs:queue"),
        (written(dead_letters=f"{SQS}:etl"), "is the queue itself"),
        (written(dead_letters=NONE), "has no dead_letters"),
        (written(queue=NONE, function=NONE), "function: is missing"),
        (written(queue=NONE, dead_letters=FUNCTION), "does not name one sqs:queue"),
        (written(queue="arn:aws:sqs:us-east-1:123456789012:etl"), "its region is us-east-1"),
        (written(raw="air/raw"), "does not fit"),
        (written(raw="air/*/"), "does not fit"),
        (written(raw_suffix=""), "raw_suffix"),
        (written(curated_suffix=">x"), "does not fit"),
        (written(timeout="PT16M"), "timeout"),
        (written(window="PT1H"), "window"),
        (written(HEAD.replace("arn:aws:s3:::raw-data", f"{SQS}:raw")), "has no pipeline"),
    ],
)
def test_what_could_be_processed_for_ever_or_by_the_wrong_one_is_no_configuration(text: str, says: str) -> None:
    """It is said, with the line."""
    with pytest.raises(ConfigErrors) as error:
        parsed(text)
    assert says in str(error.value)
    assert error.value.line


def test_one_bucket_may_hold_both_under_two_prefixes() -> None:
    """Only they must be apart."""
    assert parsed(written(curated="arn:aws:s3:::raw-data", curated_prefix="air/curated/")).targets


def test_a_function_that_s3_calls_itself_has_no_queue_and_may_keep_what_failed() -> None:
    """Neither is made up, and JSON says the same as TOML."""
    for dead_letters in (NONE, f"{SQS}:etl-dlq"):
        policy = parsed(written(queue=NONE, dead_letters=dead_letters))
        [target] = policy.targets
        assert target.pipeline is not None
        assert target.pipeline.queue is None
        assert (target.pipeline.dead_letters is None) == (dead_letters == NONE)
        assert None not in target.linked
        assert from_json(to_json(policy)) == policy
