"""Discovery says what could be registered, and registers nothing: a tag widens nobody's permissions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from nightshift.config import parse_toml
from nightshift.guardrails import OPT_IN_TAG
from nightshift.model import Mode
from nightshift.remediations import REMEDIATIONS

from tests.nightshift.cli.desk import QUEUE, Desk
from tests.nightshift.signals.cloud import ACCOUNT, REGION

TOML = f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"

[notify]
emails = ["oncall@example.com"]

[remediations.sqs-dlq-backlog]
mode = "auto"

[remediations.ecs-service-stalled]
mode = "auto"

[[systems]]
name = "post"

[[systems.targets]]
arn = "{QUEUE}"
mode = "auto"

[[systems.targets]]
arn = "arn:aws:ecs:{REGION}:{ACCOUNT}:service/post/carrier"
"""
TAG = ("--tag", "customer=dhbw")
TAGS = {"customer": "dhbw"}
SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/lecture-dhbw-cluster/backend"


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """A desk with a configuration that takes queues and services."""
    desk.registry = tuple(REMEDIATIONS)
    desk.config.write_text(TOML, encoding="utf-8")
    return desk


def told(desk: Desk, *words: str, code: int = 0) -> dict[str, Any]:
    """What discovery says to a machine."""
    result = desk.run("discover", "--config", str(desk.config), "--json", *(words or TAG))
    assert result.exit_code == code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def backend(desk: Desk, *, customer: str = "dhbw", groups: int = 1, tags: Mapping[str, str] | None = None) -> str:
    """Let there be a customer's service, behind a load balancer if it has target groups."""
    client = desk.cloud.session.client
    cluster, made = f"lecture-{customer}-cluster", []
    vpc = client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [each["SubnetId"] for each in client("ec2").describe_subnets()["Subnets"][:2]]
    for number in range(groups):
        group = client("elbv2").create_target_group(
            Name=f"{customer}-{number}", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        balancer = client("elbv2").create_load_balancer(Name=f"{customer}-lb-{number}", Subnets=subnets)
        client("elbv2").create_listener(
            LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
        )
        made.append({"targetGroupArn": group, "containerName": "main", "containerPort": 80})
    client("ecs").create_cluster(clusterName=cluster)
    client("ecs").register_task_definition(
        family="task", containerDefinitions=[{"name": "main", "image": "image", "memory": 1}]
    )
    return str(
        client("ecs").create_service(
            cluster=cluster,
            serviceName="backend",
            taskDefinition="task",
            desiredCount=2,
            loadBalancers=made,
            tags=[{"key": key, "value": value} for key, value in {"customer": customer, **(tags or {})}.items()],
        )["service"]["serviceArn"]
    )


def dead_letters(desk: Desk, *sources: str, name: str = "letters-dlq") -> str:
    """Let there be a tagged dead-letter queue of these queues."""
    arn = QUEUE.replace("letters", name)
    desk.letters(name, tags=TAGS)
    sqs = desk.cloud.session.client("sqs")
    for source in sources:
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        sqs.create_queue(QueueName=source, Attributes={"RedrivePolicy": policy})
    return arn


# -- what is proposed --------------------------------------------------------------------------------------------------


def test_a_customers_service_is_printed_as_it_would_be_registered(desk: Desk) -> None:
    """With its load balancer and target group, its cluster beside it; and nobody else's service of that name."""
    assert backend(desk) == SERVICE
    backend(desk, customer="edt")
    document = told(desk)
    [proposed] = document["proposed"]
    assert (proposed["arn"], document["system"]) == (SERVICE, "dhbw")
    assert ":loadbalancer/app/dhbw-lb-0/" in proposed["load_balancer"]
    assert ":targetgroup/dhbw-0/" in proposed["target_group"]
    assert proposed["about"][0] == "backend in cluster lecture-dhbw-cluster, 2 tasks"


def test_what_is_printed_can_be_put_into_the_file_as_it_stands(desk: Desk) -> None:
    """Then it is registered and only watched: no mode, no roles; and discovery has nothing more to say."""
    backend(desk, tags=dict([OPT_IN_TAG]))
    dead_letters(desk, "orders")
    printed = desk.run("discover", *TAG, "--config", str(desk.config)).stdout
    policy = parse_toml(TOML + printed, path="prod.toml")
    assert [str(target.arn) for target in policy.groups["dhbw"]] == [SERVICE, QUEUE.replace("letters", "letters-dlq")]
    for target in policy.groups["dhbw"]:
        assert (target.mode, target.roles) == (None, ())
        assert {policy.mode_for(target, each) for each in policy.remediations.values()} == {Mode.OBSERVE}
    desk.config.write_text(TOML + printed, encoding="utf-8")
    document = told(desk)
    assert (document["proposed"], len(document["registered"])) == ([], 2)
    again = desk.run("discover", *TAG, "--config", str(desk.config)).stdout
    assert "# Nothing to register: what carries customer=dhbw is registered (2 targets)." in again


def test_a_system_that_is_there_is_not_begun_again(desk: Desk) -> None:
    """Its targets alone are printed, and where they belong; the name is the tag's value, or what was said."""
    backend(desk)
    printed = desk.run("discover", *TAG, "--system", "post", "--config", str(desk.config)).stdout
    assert "[[systems]]" not in printed
    assert "# Put these below the other targets of the system post." in printed
    assert parse_toml(TOML + printed, path="prod.toml").groups["post"][2].arn.name == "backend"
    assert told(desk, *TAG, "--system", "lecture")["system"] == "lecture"


def test_a_dead_letter_queue_names_its_source_and_leaves_its_consumer_to_a_person(desk: Desk) -> None:
    """Where several queues use it nobody can tell; a queue of work is none, however it is tagged."""
    arn = dead_letters(desk, "orders")
    shared = dead_letters(desk, "one", "two", name="shared-dlq")
    desk.letters("work", tags=TAGS)
    document = told(desk)
    assert [(each["arn"], each.get("source")) for each in document["proposed"]] == [
        (arn, QUEUE.replace("letters", "orders")),
        (shared, None),
    ]
    assert [each["resource"].rpartition(":")[2] for each in document["left_out"]] == ["work"]
    assert "no dead-letter queue" in document["left_out"][0]["why"]


@pytest.mark.parametrize("groups, said", [(0, "behind no load balancer"), (2, "it has 2 target groups")])
def test_where_there_is_not_one_target_group_none_is_guessed(desk: Desk, groups: int, said: str) -> None:
    """None is named, and that is said."""
    backend(desk, groups=groups)
    [proposed] = told(desk)["proposed"]
    assert set(proposed) == {"arn", "about"}
    assert any(said in line for line in proposed["about"])


@pytest.mark.parametrize("balancers", [[], ["net/a/1"], ["app/a/1", "app/b/2"]])
def test_a_load_balancer_that_does_not_tell_is_not_named(desk: Desk, balancers: list[str]) -> None:
    """None, a network one, or several: what one of them says of requests would not be what happens."""
    backend(desk)
    arns = [f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/{each}" for each in balancers]
    desk.cloud.answers["DescribeTargetGroups"] = lambda _: {"TargetGroups": [{"LoadBalancerArns": arns}]}
    [proposed] = told(desk)["proposed"]
    assert set(proposed) == {"arn", "about"}
    assert "not behind one application load balancer" in proposed["about"][1]


def test_every_tag_that_is_said_must_be_there(desk: Desk) -> None:
    """Two tags are narrower than one."""
    backend(desk)
    assert told(desk, *TAG, "--tag", "stage=prod")["proposed"] == []
    assert (
        "# Nothing to register carries customer=x."
        in desk.run("discover", "--tag", "customer=x", "--config", str(desk.config)).stdout
    )


@pytest.mark.parametrize(
    "tags, said",
    [
        ({}, "lacks auto-remediation=enabled: whatever its mode, it is only watched"),
        ({"auto-remediation": "enabled"}, "carries auto-remediation=enabled: it may be touched as far as you give"),
        ({"auto-remediation": "enabled", "protected": "tr\nue"}, "carries protected=tr ue"),
    ],
)
def test_whether_it_consents_is_said(desk: Desk, tags: dict[str, str], said: str) -> None:
    """Whoever registers it sees what a mode would mean; what a tag says stays in its line."""
    backend(desk, tags=tags)
    [proposed] = told(desk)["proposed"]
    assert said in proposed["about"][-1]
    printed = desk.run("discover", *TAG, "--config", str(desk.config)).stdout
    assert len(parse_toml(TOML + printed, path="prod.toml").groups["dhbw"]) == 1


# -- wrong turns -------------------------------------------------------------------------------------------------------


def test_discovery_registers_nothing(desk: Desk) -> None:
    """The file is as it was, nothing is written to AWS, and a second time the same is said."""
    backend(desk)
    before = told(desk)
    assert desk.wrote() == set()
    assert desk.config.read_text(encoding="utf-8") == TOML
    assert told(desk) == before


def test_what_no_remediation_takes_is_left_out_and_said(desk: Desk) -> None:
    """A bucket of the customer's is no target."""
    s3 = desk.cloud.session.client("s3")
    s3.create_bucket(Bucket="content-dhbw-prod", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_tagging(Bucket="content-dhbw-prod", Tagging={"TagSet": [{"Key": "customer", "Value": "dhbw"}]})
    document = told(desk)
    assert document["proposed"] == []
    assert document["left_out"][0]["why"] == "no enabled remediation takes the kind s3:bucket"
    result = desk.run("discover", *TAG, "--config", str(desk.config))
    assert "left out: arn:aws:s3:::content-dhbw-prod" in result.stderr


@pytest.mark.parametrize("operation", ["DescribeServices", "DescribeTargetGroups"])
def test_what_could_not_be_read_is_listed_and_fails(desk: Desk, operation: str) -> None:
    """The rest is printed: half an answer is no whole one."""
    backend(desk)
    arn = dead_letters(desk, "orders")
    desk.cloud.fail(operation, "AccessDeniedException")
    document = told(desk, code=1)
    assert [each["arn"] for each in document["proposed"]] == [arn]
    [lost] = document["not_read"]
    assert lost["resource"] == SERVICE
    assert "AccessDenied" in lost["why"]


def test_a_service_that_is_gone_is_not_proposed(desk: Desk) -> None:
    """AWS remembers the tags of what was deleted for a while."""
    backend(desk, groups=0)
    desk.cloud.answers["DescribeServices"] = lambda _: {"services": [{"serviceName": "backend", "status": "INACTIVE"}]}
    document = told(desk)
    assert (document["proposed"], document["left_out"][0]["why"]) == ([], "there is no such service any more")


def test_where_tags_cannot_be_read_nothing_is_said_to_carry_them(desk: Desk) -> None:
    """The action that is missing is named as IAM calls it."""
    desk.cloud.fail("GetResources", "AccessDeniedException")
    result = desk.run("discover", *TAG, "--config", str(desk.config))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "tag:GetResources" in result.stderr


def test_what_the_configuration_would_not_take_is_not_proposed(desk: Desk) -> None:
    """Its own rules are asked, so that nothing is printed that `validate` would refuse; the others are."""
    mapping = [{"ResourceARN": arn, "Tags": []} for arn in (SERVICE, SERVICE.replace(REGION, "us-east-1"), "no ARN\n")]
    backend(desk)
    desk.cloud.answers["GetResources"] = lambda _: {"ResourceTagMappingList": mapping}
    document = told(desk, code=1)
    assert [each["arn"] for each in document["proposed"]] == [SERVICE]
    assert {each["resource"] for each in document["not_read"]} == {SERVICE.replace(REGION, "us-east-1"), "no ARN"}


@pytest.mark.parametrize("words", [("--tag", "customer"), ("--tag", "=dhbw"), ("--tag", "customer="), ()])
def test_a_tag_is_a_key_and_a_value(desk: Desk, words: tuple[str, ...]) -> None:
    """A key alone would mean everybody."""
    assert desk.run("discover", "--config", str(desk.config), *words).exit_code == 2
    assert not desk.cloud.calls


@pytest.mark.parametrize("value", ["Hochschule 1", "x" * 33, "-a", "Ä", "a\nb"])
def test_a_system_needs_a_name_that_the_configuration_takes(desk: Desk, value: str) -> None:
    """Another one can be said."""
    result = desk.run("discover", "--config", str(desk.config), "--tag", f"customer={value}")
    assert result.exit_code == 1
    assert "Say --system" in result.stderr
    assert not desk.cloud.calls
