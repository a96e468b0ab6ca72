"""The systems are what their runbooks say, and can be found as the service finds them."""

import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.usage_metrics import UsageMetrics

README = Path(__file__).parents[2] / "sandbox" / "README.md"


def consenting(world: World) -> set[str]:
    """ARNs that carry the consent to remediation."""
    pages = world.client("resourcegroupstaggingapi").get_paginator("get_resources")
    tags = [{"Key": "auto-remediation", "Values": ["enabled"]}]
    return {each["ResourceARN"] for page in pages.paginate(TagFilters=tags) for each in page["ResourceTagMappingList"]}


def test_names_are_the_runbooks(world: World) -> None:
    """Runbook 3 and runbook 4, side by side in one account."""
    dms, usage = DocumentManagement(world, env="dev"), UsageMetrics(world)
    assert (dms.queue.name, dms.dlq.name) == ("dms-processing-dev", "dms-processing-dlq-dev")
    assert usage.api.arn.endswith(":service/ioanyt-prod/delivery-standard")
    assert {*dms.arns, *usage.arns, usage.api.arn} <= consenting(world)


def test_consent_can_be_taken_back(world: World, dms: DocumentManagement) -> None:
    """Without the tag it is not found; protected, it says so."""
    dms.opt_out(dms.dlq_arn)
    dms.opt_out(dms.service_arn)
    assert consenting(world) == {dms.queue_arn}
    dms.protect(dms.queue_arn)
    dms.protect(dms.service_arn)
    assert world.client("sqs").list_queue_tags(QueueUrl=dms.queue_url)["Tags"]["protected"] == "true"
    service = world.client("ecs").describe_services(cluster="dms-prod", services=["dms-processor"], include=["TAGS"])
    assert {"key": "protected", "value": "true"} in service["services"][0]["tags"]


def test_a_stack_can_be_in_the_middle_of_an_update(world: World, dms: DocumentManagement) -> None:
    """Its resources name it, and it says what it is doing; unknown stacks are errors as ever."""
    stack = world.client("sqs").list_queue_tags(QueueUrl=dms.queue_url)["Tags"]["aws:cloudformation:stack-name"]
    cloudformation = world.client("cloudformation")
    dms.start_stack_update()
    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "UPDATE_IN_PROGRESS"
    dms.finish_stack_update()
    assert cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="unknown")


def test_the_readme_runs() -> None:
    """The code in the README is executed as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(code, str(README), "exec"), {})  # it is our own page
