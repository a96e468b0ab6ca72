"""What stands around a target: tags, stacks, deployments. What cannot be read refuses."""

from dataclasses import replace
from typing import Any

import pytest
from nightshift.errors import Rejected
from nightshift.model import Arn, ResourceRead, Target
from nightshift.remediation import Readings, Unread
from nightshift.surroundings import changes, deployments_to_watch, tags_of

from tests.support.toy import ACCOUNT, REGION, START, Account, queue_arn

SERVICE = Arn.parse(f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/worker")
QUEUE = Target(Arn.parse(queue_arn("orders")), "system", consumer=SERVICE)
READ = ResourceRead("ecs.service", str(SERVICE))
STACK = {"aws:cloudformation:stack-id": "arn:of:the:stack", "aws:cloudformation:stack-name": "prod"}


def seen(service: Any = None) -> Readings:
    """What was read of the consumer."""
    return Readings(START, {READ: service})


def service(*deployments: dict[str, str]) -> dict[str, Any]:
    """A service with these deployments."""
    return {"serviceName": "worker", "deployments": list(deployments)}


def stack(account: Account, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    """A stack in that state."""
    answer = {"Stacks": [{"StackStatus": status}] if status else []}
    read = account.aws.read

    def reads(name: str, operation: str, /, **params: Any) -> dict[str, Any]:
        return answer if name == "cloudformation" else read(name, operation, **params)

    monkeypatch.setattr(account.aws, "read", reads)


def test_tags_of_a_queue(account: Account) -> None:
    """As name to value; none is none, unreadable is Unread."""
    target = account.queue("orders", tags={"a": "b"})
    bare = account.queue("bare", tags={})
    assert tags_of(account.aws, target.arn) == {"a": "b"}
    assert tags_of(account.aws, bare.arn) == {}
    assert isinstance(tags_of(account.aws, Arn.parse(queue_arn("gone"))), Unread)
    assert tags_of(account.aws, Arn.parse(f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/gone")) == {}
    account.wire.fail("sqs:ListQueueTags", "AccessDenied", status=403)
    assert isinstance(tags_of(account.aws, target.arn), Unread)


def test_tags_of_a_service(account: Account) -> None:
    """The same for ECS."""
    ecs = account.aws.client("ecs")
    ecs.create_cluster(clusterName="prod")
    ecs.register_task_definition(
        family="worker", containerDefinitions=[{"name": "worker", "image": "worker", "memory": 128}]
    )
    ecs.create_service(cluster="prod", serviceName="worker", taskDefinition="worker", tags=[{"key": "a", "value": "b"}])
    assert tags_of(account.aws, SERVICE) == {"a": "b"}


def test_tags_of_an_alarm(account: Account) -> None:
    """As name to value."""
    cloudwatch = account.aws.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="tagged",
        Namespace="AWS/SQS",
        MetricName="x",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    [alarm] = cloudwatch.describe_alarms()["MetricAlarms"]
    assert tags_of(account.aws, Arn.parse(alarm["AlarmArn"])) == {"a": "b"}
    account.wire.fail("cloudwatch:ListTagsForResource", "AccessDenied", status=403)
    assert isinstance(tags_of(account.aws, Arn.parse(alarm["AlarmArn"])), Unread)


def test_tags_of_a_bucket_and_of_a_function(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 answers with an error where a bucket has none: that is none, and no other error is."""
    bucket = Arn.parse("arn:aws:s3:::content")
    said: dict[str, Any] = {"TagSet": [{"Key": "a", "Value": "b"}], "Tags": {"c": "d"}}

    def reads(name: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if isinstance(error := said.get("error"), Rejected):
            raise error
        return said

    monkeypatch.setattr(account.aws, "read", reads)
    assert tags_of(account.aws, bucket) == {"a": "b"}
    assert tags_of(account.aws, Arn.parse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:etl")) == {"c": "d"}
    said["error"] = Rejected("s3:GetBucketTagging", "NoSuchTagSet")
    assert tags_of(account.aws, bucket) == {}
    said["error"] = Rejected("s3:GetBucketTagging", "InvalidBucketName")
    assert isinstance(tags_of(account.aws, bucket), Unread)


def test_tags_of_a_state_machine(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its ARN; a tag may have no value."""
    said = {"tags": [{"key": "a", "value": "b"}, {"key": "protected"}]}
    monkeypatch.setattr(account.aws, "read", lambda *_, **__: said)
    machine = Arn.parse(f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:documents")
    assert tags_of(account.aws, machine) == {"a": "b", "protected": ""}


@pytest.mark.parametrize("name", ["rds:{}:{}:cluster:dms", "es:{}:{}:domain/search"])
def test_tags_of_a_database_and_of_search(name: str, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their ARN; a tag may have no value."""
    said = {"TagList": [{"Key": "a", "Value": "b"}, {"Key": "protected"}]}
    monkeypatch.setattr(account.aws, "read", lambda *_, **__: said)
    assert tags_of(account.aws, Arn.parse(f"arn:aws:{name.format(REGION, ACCOUNT)}")) == {"a": "b", "protected": ""}


def test_tags_of_an_index_are_its_tables(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index has none; they come by pages."""
    asked: list[str] = []

    def pages(*_: Any, ResourceArn: str, **__: Any) -> list[dict[str, str]]:  # noqa: N803 - as AWS calls it
        asked.append(ResourceArn)
        return [{"Key": "a", "Value": "b"}, {"Key": "protected"}]

    monkeypatch.setattr(account.aws, "pages", pages)
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/hot"
    for arn in (table, f"{table}/index/place"):
        assert tags_of(account.aws, Arn.parse(arn)) == {"a": "b", "protected": ""}
    assert asked == [table, table]


def test_tags_of_what_nobody_can_read(account: Account) -> None:
    """Unknown, not untagged."""
    assert isinstance(tags_of(account.aws, Arn.parse(f"arn:aws:sns:{REGION}:{ACCOUNT}:topic")), Unread)


def test_nothing_changes(account: Account) -> None:
    """No stack, one finished deployment, or no service at all."""
    assert changes(account.aws, QUEUE, {}, seen(service({"rolloutState": "COMPLETED"}))) == ()
    assert changes(account.aws, QUEUE, {}, seen(None)) == ()
    assert changes(account.aws, replace(QUEUE, consumer=None), {}, seen()) == ()


@pytest.mark.parametrize(
    "deployments",
    [({"rolloutState": "IN_PROGRESS"},), ({"rolloutState": "COMPLETED"}, {"rolloutState": "COMPLETED"})],
    ids=["rolling", "two"],
)
def test_a_deployment_of_the_consumer(account: Account, deployments: tuple[dict[str, str], ...]) -> None:
    """Somebody is deploying: not now."""
    found = changes(account.aws, QUEUE, {}, seen(service(*deployments)))
    assert isinstance(found, tuple)
    [line] = found
    assert "worker is being deployed" in line


@pytest.mark.parametrize(
    "status, changing",
    [
        ("UPDATE_IN_PROGRESS", True),
        ("UPDATE_ROLLBACK_IN_PROGRESS", True),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", True),
        ("UPDATE_COMPLETE", False),
        ("", False),
    ],
)
def test_the_stack(account: Account, monkeypatch: pytest.MonkeyPatch, status: str, changing: bool) -> None:
    """In progress, whatever kind of progress."""
    stack(account, monkeypatch, status)
    found = changes(account.aws, replace(QUEUE, consumer=None), STACK, seen())
    assert isinstance(found, tuple)
    assert bool(found) is changing


def test_a_tag_may_outlive_its_stack(account: Account) -> None:
    """No such stack: nothing is changing."""
    alone = replace(QUEUE, consumer=None)
    account.wire.fail("cloudformation:DescribeStacks", "ValidationError")
    assert changes(account.aws, alone, STACK, seen()) == ()
    account.wire.fail("cloudformation:DescribeStacks", "AccessDenied", status=403)
    assert isinstance(changes(account.aws, alone, STACK, seen()), Unread)


def test_what_cannot_be_read_refuses(account: Account) -> None:
    """Tags or services: unknown is not calm."""
    assert isinstance(changes(account.aws, QUEUE, Unread("no"), seen(service())), Unread)
    assert isinstance(changes(account.aws, QUEUE, {}, seen(Unread("no"))), Unread)
    assert isinstance(changes(account.aws, QUEUE, {}, Readings(START)), Unread)


def test_what_is_watched() -> None:
    """A service itself, or what consumes from a queue; a function has no deployments."""
    assert deployments_to_watch(QUEUE) == (READ,)
    assert deployments_to_watch(Target(SERVICE, "system")) == (READ,)
    assert deployments_to_watch(replace(QUEUE, consumer=None)) == ()


@pytest.mark.parametrize(
    "arn, answer",
    [
        (f"arn:aws:appsync:{REGION}:{ACCOUNT}:apis/a1", {"tags": {"a": "b"}}),
        (f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{REGION}_A", {"Tags": {"a": "b"}}),
    ],
)
def test_tags_of_an_api_and_of_a_user_pool(
    account: Account, monkeypatch: pytest.MonkeyPatch, arn: str, answer: dict[str, Any]
) -> None:
    """As name to value; none is none."""
    monkeypatch.setattr(account.aws, "read", lambda *_, **__: answer)
    assert tags_of(account.aws, Arn.parse(arn)) == {"a": "b"}
    monkeypatch.setattr(account.aws, "read", lambda *_, **__: {})
    assert tags_of(account.aws, Arn.parse(arn)) == {}


def test_tags_of_what_people_keep_up(account: Account) -> None:
    """Of a secret and of a stack they come with its description; the stack's are those that it was given itself."""
    secret = account.aws.client("secretsmanager").create_secret(
        Name="db", SecretString="x", Tags=[{"Key": "a", "Value": "b"}]
    )
    assert tags_of(account.aws, Arn.parse(secret["ARN"])) == {"a": "b"}
    made = account.aws.client("cloudformation").create_stack(
        StackName="api",
        TemplateBody='{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}',
        Tags=[{"Key": "a", "Value": "b"}],
    )
    assert tags_of(account.aws, Arn.parse(made["StackId"])) == {"a": "b"}
    certificate = account.aws.client("acm").request_certificate(
        DomainName="api.example.com", Tags=[{"Key": "a", "Value": "b"}]
    )
    assert tags_of(account.aws, Arn.parse(certificate["CertificateArn"])) == {"a": "b"}
    table = account.aws.client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "a", "Value": "b"}],
    )["TableDescription"]
    for arn in (table["TableArn"], f"{table['TableArn']}/index/by-day"):
        assert tags_of(account.aws, Arn.parse(arn)) == {"a": "b"}
    for action in (
        "secretsmanager:DescribeSecret",
        "cloudformation:DescribeStacks",
        "acm:ListTagsForCertificate",
        "dynamodb:ListTagsOfResource",
    ):
        account.wire.fail(action, "AccessDenied", status=403)
    for arn in (secret["ARN"], made["StackId"], certificate["CertificateArn"], table["TableArn"]):
        assert isinstance(tags_of(account.aws, Arn.parse(arn)), Unread)
