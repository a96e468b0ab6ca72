"""The roles that are deployed, against the calls that were made: none missing, and no write that is never used."""

import pytest
from nightshift.config import parse_toml
from nightshift.remediation import Remediation
from nightshift.remediations import REMEDIATIONS

from sandbox.scenes import SCENES, play
from sandbox.trail import Event
from sandbox.world import ACCOUNT, REGION
from tests.infra.conftest import synthesize
from tests.infra.reading import Template, allowed, may, of_type, role_of
from tests.support.permissions import OWN_RESOURCE, looked_at, needed

ROLES = {"nightshift-sweep": "SweepRole", "nightshift-tick": "TickRole"}
SQS, ECS = f"arn:aws:sqs:{REGION}:{ACCOUNT}", f"arn:aws:ecs:{REGION}:{ACCOUNT}"


def system(name: str, queue: str, dlq: str, service: str) -> str:
    """A system's part of the configuration, as the scenes write it."""
    return f"""
[[systems]]
name = "{name}"
[[systems.targets]]
arn = "{SQS}:{dlq}"
mode = "auto"
source = "{SQS}:{queue}"
consumer = "{ECS}:service/{service}"
[[systems.targets]]
arn = "{ECS}:service/{service}"
mode = "auto"
queue = "{SQS}:{queue}"
"""


TOML = f"""
name = "demo"
account = "{ACCOUNT}"
region = "{REGION}"
[notify]
emails = ["oncall@example.com"]
[remediations.sqs-dlq-backlog]
mode = "auto"
[remediations.ecs-service-stalled]
mode = "auto"
{system("dms-prod", "dms-processing-prod", "dms-processing-dlq-prod", "dms-prod/dms-processor")}
{system("usage", "usage-events-prod", "usage-events-dlq-prod", "ioanyt-prod/usage-aggregator")}
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """The stack for both systems of the scenes."""
    return synthesize(parse_toml(TOML, path="nights.toml"), tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def calls() -> list[Event]:
    """Every call that a function made, of its own or under a write role, over nights that use every call there is."""
    keys = {"poison", "stalled", "kill-switch"}
    return [event for scene in SCENES if scene.key in keys for event in play(scene).trail if event.function]


def write_role(template: Template, name: str) -> str:
    """The write role of that name."""
    [role] = [key for key, each in of_type(template, "AWS::IAM::Role").items() if each.get("RoleName") == name]
    return role


def test_the_functions_may_do_all_that_they_did(template: Template, calls: list[Event]) -> None:
    """Every call under a function's own role is allowed by the role that is deployed, on the very resource."""
    for event in calls:
        if event.principal.role_arn is not None or event.function not in ROLES:
            continue
        role = role_of(template, ROLES[event.function])
        ours = {action for action, resource, _ in allowed(template, role) if resource.startswith("${")}
        for action, resource in looked_at(event, ACCOUNT, REGION):
            granted = action in ours if resource == OWN_RESOURCE else may(template, role, action, resource)
            assert granted, f"{role} may not {action} on {resource}"


def test_the_write_roles_may_do_all_that_was_done(template: Template, calls: list[Event]) -> None:
    """Every write is allowed by its write role too: a session policy can only take away."""
    for event in calls:
        if event.principal.role_arn is None:
            continue
        role = write_role(template, event.principal.role_arn.rsplit("/", 1)[-1])
        action, resource = needed(event, ACCOUNT, REGION)
        if event.service == "s3":  # the bucket's name is the stack's to give
            bucket, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
            assert bucket
            assert [each for name, each, _ in allowed(template, role) if name == action and "letters/*" in each]
            assert key.startswith("letters/")
            continue
        if not resource:  # a task's handle hides its queue
            assert action in {name for name, _, _ in allowed(template, role)}
            continue
        assert may(template, role, action, resource), f"{role} may not {action} on {resource}"


@pytest.mark.parametrize("remediation", REMEDIATIONS, ids=lambda remediation: remediation.name)
def test_no_write_is_granted_that_is_never_used(
    template: Template, calls: list[Event], remediation: type[Remediation]
) -> None:
    """What a write role allows was done in the nights, or is done by AWS in our name while it serves what was done."""
    name = f"demo-{REGION}-{remediation.name}"
    used = {
        needed(event, ACCOUNT, REGION)[0]
        for event in calls
        if event.principal.role_arn is not None and event.principal.role_arn.endswith(name)
    }
    granted = {action for action, _, _ in allowed(template, write_role(template, name))}
    assert granted - set(remediation.delegates) - used == set()
    assert used <= set(remediation.writes)
