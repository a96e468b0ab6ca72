"""
What the stack tells a function: the only place where the environment is read.

A handler calls ``Environment.load(os.environ)`` once, when it starts, and passes on what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from nightshift.config import ConfigErrors
from nightshift.errors import ConfigError

__all__ = ["Environment"]


_TopicArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$")]


class Environment(BaseModel):
    """The variables of a function, checked. One that is set to nothing counts as not set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Path = Field(default=Path("/opt/nightshift/config.json"), description="the path of the configuration")
    table: str = Field(pattern=r"^[A-Za-z0-9_.-]{3,255}$", description="the name of the incident table")
    topic_arn: _TopicArn = Field(description="the ARN of the report topic")
    topics: dict[str, _TopicArn] = Field(
        default={},
        description="other report topics, as in SEV1=arn:aws:sns:eu-central-1:123456789012:sev1, with spaces between",
    )
    queue_url: str = Field(pattern=r"^https?://[!-~]+/[!-~]+$", description="the URL of the work queue")
    quarantine: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="the name of the quarantine bucket"
    )
    write_roles: str = Field(
        pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/nightshift/[a-z0-9-]+-$",
        description="the ARN of the write roles up to the remediation's name, "
        "as in arn:aws:iam::123456789012:role/nightshift/prod-eu-central-1-",
    )
    region: str = Field(pattern=r"^[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}$", description="the Region; Lambda sets it")
    service: str = Field(default="nightshift", min_length=1, description="the service's name in logs and metrics")
    namespace: str = Field(default="Nightshift", min_length=1, description="the namespace of our own metrics")

    @field_validator("topics", mode="before")
    @classmethod
    def _parted(cls, value: object) -> object:
        """``SEV1=arn… L1=arn…`` as a mapping."""
        return dict(pair.partition("=")[::2] for pair in value.split()) if isinstance(value, str) else value

    @classmethod
    def load(cls, variables: Mapping[str, str]) -> Environment:
        """
        Read and check the variables of a function (``os.environ``); others are not looked at.

        Raises ConfigErrors, which names every one that is missing or wrong.
        """
        given = {name: variables[name] for name in _VARIABLES if variables.get(name)}
        try:
            return cls.model_validate({_VARIABLES[name]: value for name, value in given.items()})
        except ValidationError as error:
            raise ConfigErrors([_problem(str(detail["loc"][0]), given) for detail in error.errors()]) from error

    def write_role(self, remediation: str) -> str:
        """The ARN of the role under which a remediation writes."""
        return self.write_roles + remediation


_VARIABLES = {
    "NIGHTSHIFT_CONFIG": "config",
    "NIGHTSHIFT_TABLE": "table",
    "NIGHTSHIFT_TOPIC_ARN": "topic_arn",
    "NIGHTSHIFT_TOPICS": "topics",
    "NIGHTSHIFT_QUEUE_URL": "queue_url",
    "NIGHTSHIFT_QUARANTINE": "quarantine",
    "NIGHTSHIFT_WRITE_ROLES": "write_roles",
    "AWS_REGION": "region",
    "POWERTOOLS_SERVICE_NAME": "service",
    "POWERTOOLS_METRICS_NAMESPACE": "namespace",
}


def _problem(name: str, given: Mapping[str, str]) -> ConfigError:
    variable = next(variable for variable, field in _VARIABLES.items() if field == name)
    wrong = f"{variable} is {given[variable][:200]!r}" if variable in given else f"{variable} is not set"
    belongs = Environment.model_fields[name].description
    return ConfigError(wrong, remedy=f"Deploy again with {belongs}; the stack sets it.")
