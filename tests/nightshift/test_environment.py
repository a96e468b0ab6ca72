"""The environment of a function: read in one place, checked as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from nightshift.config import ConfigErrors
from nightshift.environment import Environment

GOOD = {
    "NIGHTSHIFT_TABLE": "nightshift-prod",
    "NIGHTSHIFT_TOPIC_ARN": "arn:aws:sns:eu-central-1:111122223333:nightshift-prod",
    "NIGHTSHIFT_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/111122223333/nightshift-work",
    "NIGHTSHIFT_QUARANTINE": "nightshift-prod-quarantine",
    "NIGHTSHIFT_WRITE_ROLES": "arn:aws:iam::111122223333:role/nightshift/prod-eu-central-1-",
    "AWS_REGION": "eu-central-1",
}
ALL = {
    **GOOD,
    "NIGHTSHIFT_CONFIG": "/tmp/config.json",
    "NIGHTSHIFT_TOPICS": "SEV1=arn:aws:sns:eu-central-1:111122223333:one L1=arn:aws:sns:eu-central-1:111122223333:two",
    "POWERTOOLS_SERVICE_NAME": "night",
    "POWERTOOLS_METRICS_NAMESPACE": "Night",
}


def test_what_is_set_is_what_is_read() -> None:
    """Every variable has its field."""
    environment = Environment.load(ALL)

    assert environment == Environment(
        config=Path("/tmp/config.json"),
        table="nightshift-prod",
        topic_arn=GOOD["NIGHTSHIFT_TOPIC_ARN"],
        topics={
            "SEV1": "arn:aws:sns:eu-central-1:111122223333:one",
            "L1": "arn:aws:sns:eu-central-1:111122223333:two",
        },
        queue_url=GOOD["NIGHTSHIFT_QUEUE_URL"],
        quarantine="nightshift-prod-quarantine",
        write_roles=GOOD["NIGHTSHIFT_WRITE_ROLES"],
        region="eu-central-1",
        service="night",
        namespace="Night",
    )


def test_only_what_has_a_sensible_default_may_be_left_out() -> None:
    """An empty variable counts as one that is left out."""
    environment = Environment.load({**dict.fromkeys(ALL, ""), **GOOD})

    assert environment == Environment.load(GOOD)
    assert environment.config == Path("/opt/nightshift/config.json")
    assert (environment.service, environment.namespace) == ("nightshift", "Nightshift")


def test_other_variables_are_not_looked_at() -> None:
    """Lambda sets a good dozen of its own."""
    assert Environment.load({**GOOD, "PATH": "/usr/bin", "table": "x"}) == Environment.load(GOOD)


@pytest.mark.parametrize("missing", [{}, dict.fromkeys(GOOD, "")], ids=["unset", "empty"])
def test_everything_that_is_missing_is_named_at_once(missing: dict[str, str]) -> None:
    """Empty is missing too."""
    with pytest.raises(ConfigErrors) as caught:
        Environment.load(missing)

    said = [problem.problem for problem in caught.value.problems]
    assert said == [f"{name} is not set" for name in GOOD]
    assert all(name in str(caught.value) for name in GOOD)


def test_everything_that_is_wrong_is_named_at_once() -> None:
    """With its value, and with what belongs there."""
    wrong = dict.fromkeys(GOOD, "no such thing!")

    with pytest.raises(ConfigErrors) as caught:
        Environment.load(wrong)

    said = [problem.problem for problem in caught.value.problems]
    assert said == [f"{name} is {value!r}" for name, value in wrong.items()]
    assert "the ARN of the report topic" in str(caught.value)


@pytest.mark.parametrize(
    "prefix",
    [
        "arn:aws:iam::111122223333:role/nightshift/prod-eu-central-1",
        "arn:aws:iam::111122223333:role/prod-eu-central-1-",
        "arn:aws:iam::111122223333:role/nightshift/*-",
        "arn:aws:iam::1:role/nightshift/prod-",
    ],
)
def test_the_prefix_of_the_write_roles_can_name_nothing_but_our_own(prefix: str) -> None:
    """It is the start of the ARN of a role that may write."""
    with pytest.raises(ConfigErrors, match="NIGHTSHIFT_WRITE_ROLES is"):
        Environment.load({**GOOD, "NIGHTSHIFT_WRITE_ROLES": prefix})


@pytest.mark.parametrize("topics", ["SEV1", "SEV1=", "arn:aws:sns:eu-central-1:111122223333:one", "SEV1=a L1=b"])
def test_topics_are_names_with_arns(topics: str) -> None:
    """Half of it is not taken."""
    with pytest.raises(ConfigErrors, match="NIGHTSHIFT_TOPICS is"):
        Environment.load({**GOOD, "NIGHTSHIFT_TOPICS": topics})


def test_a_write_role_is_named_by_its_remediation() -> None:
    """The prefix and the name, and nothing between them."""
    role = Environment.load(GOOD).write_role("sqs-dlq-backlog")

    assert role == "arn:aws:iam::111122223333:role/nightshift/prod-eu-central-1-sqs-dlq-backlog"


def test_an_environment_cannot_be_changed() -> None:
    """It is read once."""
    environment = Environment.load(GOOD)

    with pytest.raises(ValueError, match="frozen"):
        environment.table = "other"  # type: ignore[misc]
