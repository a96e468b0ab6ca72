"""What is deployed: every rule here is a promise of the service, not a copy of the template."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern
from nightshift.config import Policy, from_json, load_toml, parse_toml
from nightshift.environment import Environment
from nightshift.errors import ConfigError
from nightshift.incidents import Incidents

from infra.stack import stack_name
from tests.infra.conftest import ACCOUNT, REGION, TOML, synthesize
from tests.infra.reading import Template, allowed, everything, named, of_type, text_of

ALARM_EVENT: dict[
    str, Any
] = {  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    "version": "0",
    "id": "c4c1c1c9-6542-e61b-6ef0-8c4d36933a92",
    "detail-type": "CloudWatch Alarm State Change",
    "source": "aws.cloudwatch",
    "account": ACCOUNT,
    "time": "2026-11-21T02:38:00Z",
    "region": REGION,
    "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:letters"],
    "detail": {
        "alarmName": "letters",
        "configuration": {"metrics": [{"id": "m1", "metricStat": {"metric": {"name": "X", "dimensions": {}}}}]},
        "previousState": {"value": "OK", "timestamp": "2026-11-21T02:33:00.000+0000"},
        "state": {"value": "ALARM", "timestamp": "2026-11-21T02:38:00.000+0000"},
    },
}


# -- what must not be lost -------------------------------------------------------------------------------------------


@pytest.mark.hostile(35)
def test_the_record_can_be_restored_to_any_second_and_survives_the_stack(template: Template) -> None:
    """The incident table has point-in-time recovery, and no deletion of the stack and no slip removes it."""
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert "StreamSpecification" not in table


def test_the_table_is_the_one_that_the_code_uses(template: Template) -> None:
    """Keys, index and expiry are named as nightshift/incidents.py names them."""
    (table,) = of_type(template, "AWS::DynamoDB::Table").values()
    code = inspect.getsource(inspect.getmodule(Incidents) or Incidents)
    (index,) = table["GlobalSecondaryIndexes"]
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert [key["AttributeName"] for key in index["KeySchema"]] == ["due_shard", "due_at"]
    carried = index["Projection"]["NonKeyAttributes"]
    assert (index["Projection"]["ProjectionType"], sorted(carried)) == ("INCLUDE", ["count", "incident", "state"])
    for name in (
        "pk",
        "sk",
        "due_shard",
        "due_at",
        index["IndexName"],
        table["TimeToLiveSpecification"]["AttributeName"],
    ):
        assert f'"{name}"' in code, f"incidents.py does not speak of {name}"


@pytest.mark.parametrize("kind", ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::KMS::Key", "AWS::Logs::LogGroup"])
def test_what_holds_evidence_stays_when_the_stack_goes(template: Template, kind: str) -> None:
    """Records, messages set apart, logs, and the key to all of them are retained on deletion and on replacement."""
    those = [each for each in template["Resources"].values() if each["Type"] == kind]
    assert those
    for each in those:
        assert each["DeletionPolicy"] == each["UpdateReplacePolicy"] == "Retain"


def test_nothing_in_quarantine_expires(template: Template) -> None:
    """Messages set apart are somebody's: only versions that a person replaced or deleted go, and only after months."""
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & rule.keys()
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 30
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}


def test_the_quarantine_is_shut(template: Template) -> None:
    """It is not public, not readable without TLS, and encrypted in a way that needs no leave to write to it."""
    (bucket,) = of_type(template, "AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (policy,) = of_type(template, "AWS::S3::BucketPolicy").values()
    assert _refuses_plain_text(policy["PolicyDocument"])


def test_the_key_rotates(template: Template) -> None:
    """AWS replaces the key's material every year by itself."""
    (key,) = of_type(template, "AWS::KMS::Key").values()
    assert key["EnableKeyRotation"] is True


def test_logs_are_ours_and_end(template: Template) -> None:
    """Every function writes to a log group of the stack, encrypted, kept as long as an incident and no longer."""
    groups = of_type(template, "AWS::Logs::LogGroup")
    for group in groups.values():
        assert group["RetentionInDays"] == 90
        assert "KmsKeyId" in group
    for function in of_type(template, "AWS::Lambda::Function").values():
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups


# -- what takes how long ---------------------------------------------------------------------------------------------


def test_every_wait_outlives_what_it_waits_for(template: Template) -> None:
    """
    A tick's timeout < an incident's lease < the queue's visibility timeout.

    Else two ticks work on one incident, or a message is given out again while its first tick still runs. AWS asks for
    six times the timeout.
    """
    tick = named(template, "AWS::Lambda::Function", "FunctionsTick")["Timeout"]
    lease = inspect.signature(Incidents).parameters["lease"].default.total_seconds()
    work = named(template, "AWS::SQS::Queue", "Work")
    assert tick < lease < work["VisibilityTimeout"]
    assert work["VisibilityTimeout"] >= 6 * tick
    attempts = work["RedrivePolicy"]["maxReceiveCount"]
    assert work["MessageRetentionPeriod"] > attempts * work["VisibilityTimeout"], "work would expire unfinished, unseen"


def test_ticks_never_outnumber_what_is_reserved_for_them(template: Template) -> None:
    """The queue hands out no more batches at once than the function may run: a throttled batch counts as failed."""
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    tick = named(template, "AWS::Lambda::Function", "FunctionsTick")
    assert mapping["ScalingConfig"]["MaximumConcurrency"] <= tick["ReservedConcurrentExecutions"]


def test_only_the_message_that_failed_comes_back(template: Template) -> None:
    """The tick names the messages of a batch that failed; the others are done."""
    (mapping,) = of_type(template, "AWS::Lambda::EventSourceMapping").values()
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_sweeps_neither_overlap_nor_pile_up(template: Template) -> None:
    """One at a time, never repeated, and one that could not start within a minute is dropped: the next sees more."""
    sweep = named(template, "AWS::Lambda::Function", "FunctionsSweep")
    assert sweep["ReservedConcurrentExecutions"] == 1
    invoke = named(template, "AWS::Lambda::EventInvokeConfig", "Sweep")
    assert (invoke["MaximumRetryAttempts"], invoke["MaximumEventAgeInSeconds"]) == (0, 60)


@pytest.mark.parametrize("name", ["Sweep", "Alarm", "Tick"])
def test_functions_say_what_they_need(template: Template, name: str) -> None:
    """Memory, timeout, concurrency, tracing and runtime are written down, not defaults."""
    function = named(template, "AWS::Lambda::Function", f"Functions{name}")
    assert function["Handler"] == f"{name.lower()}.handler"
    assert function["Runtime"] == "python3.13"
    assert function["Architectures"] == ["arm64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert {"MemorySize", "Timeout", "ReservedConcurrentExecutions"} <= function.keys()


# -- what wakes it ---------------------------------------------------------------------------------------------------


def _alarm_pattern(template: Template) -> EventPattern:
    rules = [rule for rule in of_type(template, "AWS::Events::Rule").values() if "EventPattern" in rule]
    assert len(rules) == 1, "one rule hears all alarms"
    return EventPattern.load(json.dumps(rules[0]["EventPattern"]))


@pytest.mark.parametrize("state", ["ALARM", "OK", "INSUFFICIENT_DATA"])
def test_every_alarm_of_the_account_wakes_us(template: Template, state: str) -> None:
    """The pattern takes the event in AWS's own shape, whatever the alarm and whatever its new state."""
    event: Any = {**ALARM_EVENT, "detail": {**ALARM_EVENT["detail"], "state": {"value": state}}}
    assert _alarm_pattern(template).matches_event(event)


@pytest.mark.parametrize(
    "other",
    [
        {"source": "com.example.forged"},
        {"account": "999999999999"},
        {"region": "us-east-1"},
        {"detail-type": "CloudWatch Alarm Configuration Change"},
        {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification"},
    ],
    ids=["forged", "foreign-account", "foreign-region", "other-detail", "other-service"],
)
@pytest.mark.hostile(17)
def test_nothing_else_wakes_us(template: Template, other: dict[str, Any]) -> None:
    """Other sources (nobody but AWS may say ``aws.``), other accounts and other kinds of event are not for us."""
    event: Any = {**ALARM_EVENT, **other}
    assert not _alarm_pattern(template).matches_event(event)


def test_a_sweep_a_minute(template: Template) -> None:
    """The schedule is valid, enabled, and as often as EventBridge can."""
    (rule,) = [each for each in of_type(template, "AWS::Events::Rule").values() if "ScheduleExpression" in each]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")


def test_what_eventbridge_cannot_deliver_is_kept(template: Template) -> None:
    """Every target of every rule has a dead-letter queue, an end to its retries and a maximum age."""
    for rule in of_type(template, "AWS::Events::Rule").values():
        for target in rule["Targets"]:
            assert "Missed" in text_of(target["DeadLetterConfig"]["Arn"])
            assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 300
            assert target["RetryPolicy"]["MaximumRetryAttempts"] <= 4


@pytest.mark.hostile(19)
def test_only_our_rules_may_call_our_functions(template: Template) -> None:
    """Every permission to invoke names the one rule it is for."""
    permissions = of_type(template, "AWS::Lambda::Permission").values()
    assert len(permissions) == 2
    for permission in permissions:
        assert permission["Principal"] == "events.amazonaws.com"
        assert permission["SourceArn"]["Fn::GetAtt"][0] in of_type(template, "AWS::Events::Rule")


# -- what tells people -----------------------------------------------------------------------------------------------


@pytest.mark.hostile(34)
def test_silence_is_an_alarm(template: Template) -> None:
    """The dead man's switch: a sweep that does not say that it is done counts as one that is not."""
    alarm = named(template, "AWS::CloudWatch::Alarm", "SweepSilent")
    assert (alarm["Namespace"], alarm["MetricName"]) == ("Nightshift", "SweepCompleted")
    assert alarm["TreatMissingData"] == "breaching"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Period"] * alarm["EvaluationPeriods"] <= 600


def test_the_heartbeat_is_the_one_that_the_sweep_emits(template: Template) -> None:
    """The alarm's namespace and dimensions are those that nightshift/edge.py gives its metrics."""
    alarm = named(template, "AWS::CloudWatch::Alarm", "SweepSilent")
    sweep = named(template, "AWS::Lambda::Function", "Sweep")
    variable = "POWERTOOLS_SERVICE_NAME"
    code = (
        "import json; from nightshift import edge; "
        f"edge.count({alarm['MetricName']!r}); print(json.dumps(edge.metrics.serialize_metric_set()))"
    )
    started = subprocess.run(  # a start of its own, with the function's own variable
        [sys.executable, "-c", code],
        env={**os.environ, variable: sweep["Environment"]["Variables"][variable]},
        capture_output=True,
        text=True,
        check=True,
    )
    emitted: dict[str, Any] = json.loads(started.stdout)
    (directive,) = emitted["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == alarm["Namespace"]
    assert {name: emitted[name] for name in directive["Dimensions"][0]} == {
        each["Name"]: each["Value"] for each in alarm["Dimensions"]
    }


def test_alarms_can_fire(template: Template) -> None:
    """No alarm asks for more breaching points than it looks at: CloudFormation takes that, CloudWatch does not."""
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm.get("DatapointsToAlarm", 1) <= alarm["EvaluationPeriods"]


def test_alarms_need_nothing_of_ours(template: Template) -> None:
    """They go to a topic that uses neither our functions nor our key, and that CloudWatch may publish to."""
    topic = next(name for name in of_type(template, "AWS::SNS::Topic") if "Alarms" in name)
    assert "KmsMasterKeyId" not in template["Resources"][topic].get("Properties", {})
    for alarm in of_type(template, "AWS::CloudWatch::Alarm").values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]
    policies = [
        each for each in of_type(template, "AWS::SNS::TopicPolicy").values() if {"Ref": topic} in each["Topics"]
    ]
    principals = [statement["Principal"] for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    assert {"Service": "cloudwatch.amazonaws.com"} in principals


@pytest.mark.parametrize("failing", ["SweepFails", "AlarmFails", "TickFails", "SweepThrottled", "TickThrottled"])
def test_functions_that_fail_are_told_of(template: Template, failing: str) -> None:
    """Errors and throttles of each function raise an alarm."""
    assert named(template, "AWS::CloudWatch::Alarm", failing)["Namespace"] == "AWS/Lambda"


@pytest.mark.parametrize("queue", ["DeadLetters", "Missed"])
def test_what_was_set_aside_is_told_of(template: Template, queue: str) -> None:
    """A single message in either of the two queues raises an alarm, and waits there for as long as SQS can."""
    name = next(name for name in of_type(template, "AWS::SQS::Queue") if queue in name)
    alarms = [
        alarm
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
        and text_of(alarm["Dimensions"][0]["Value"]) == f"${{{name}}}"
    ]
    assert [alarm["Threshold"] for alarm in alarms] == [1]
    assert template["Resources"][name]["Properties"]["MessageRetentionPeriod"] == 14 * 24 * 3600


@pytest.mark.hostile(34)
def test_everybody_is_told_of_both(template: Template, policy: Policy) -> None:
    """Each address of the configuration gets the reports and the alarms."""
    told = {
        (each["Endpoint"], text_of(each["TopicArn"])) for each in of_type(template, "AWS::SNS::Subscription").values()
    }
    topics = {f"${{{name}}}" for name in of_type(template, "AWS::SNS::Topic")}
    assert told == {(email, topic) for email in policy.notify.emails for topic in topics}


def test_nothing_travels_in_the_clear(template: Template) -> None:
    """Topics and queues refuse whatever comes without TLS; reports and work are encrypted at rest with our key."""
    for kind, policies in (("AWS::SNS::Topic", "AWS::SNS::TopicPolicy"), ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy")):
        refusing = {
            text_of(target)
            for policy in of_type(template, policies).values()
            if _refuses_plain_text(policy["PolicyDocument"])
            for target in policy.get("Topics", policy.get("Queues", []))
        }
        assert refusing == {f"${{{name}}}" for name in of_type(template, kind)}
    for queue in of_type(template, "AWS::SQS::Queue").values():
        assert "KmsMasterKeyId" in queue
    assert "KmsMasterKeyId" in named(template, "AWS::SNS::Topic", "Reports")


def _refuses_plain_text(document: dict[str, Any]) -> bool:
    return any(
        statement["Effect"] == "Deny"
        and statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport") == "false"
        for statement in document["Statement"]
    )


# -- how the code finds it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Sweep", "Alarm", "Tick"])
def test_the_environment_is_the_one_that_the_functions_read(template: Template, name: str) -> None:
    """What the stack sets is complete and valid to nightshift/environment.py, the only reader."""
    function = named(template, "AWS::Lambda::Function", f"Functions{name}")
    filled = {
        "NIGHTSHIFT_TABLE": "table",
        "NIGHTSHIFT_TOPIC_ARN": f"arn:aws:sns:{REGION}:{ACCOUNT}:reports",
        "NIGHTSHIFT_QUEUE_URL": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/work",
        "NIGHTSHIFT_QUARANTINE": "quarantine",
    }
    variables = function["Environment"]["Variables"]
    assert {key for key, value in variables.items() if not isinstance(value, str)} == filled.keys()
    environment = Environment.load({**variables, **filled, "AWS_REGION": REGION})
    assert environment.write_role("x") == f"arn:aws:iam::{ACCOUNT}:role/nightshift/prod-{REGION}-x"
    assert str(environment.config) == "/opt/nightshift/config.json"


def test_the_configuration_is_shipped_as_it_was_validated(template: Template, policy: Policy, outdir: Path) -> None:
    """The configuration layer holds exactly the policy that was synthesized, where the functions look for it."""
    (shipped,) = outdir.glob("asset.*/nightshift/config.json")
    assert from_json(shipped.read_text(encoding="utf-8")) == policy
    assert template["Outputs"]["ConfigHash"]["Value"] == policy.hash


def test_the_layer_holds_what_runs_and_nothing_else(outdir: Path) -> None:
    """No compiled files, and no command line: its packages are not in the layer either."""
    (code,) = (each.parent.parent for each in outdir.glob("asset.*/python/nightshift"))
    names = {str(each.relative_to(code)) for each in code.rglob("*")}
    assert {"python/nightshift/engine.py", "python/nightshift/prices.toml"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc") or "nightshift/cli" in name]


def test_the_command_line_finds_everything_by_the_stack(template: Template) -> None:
    """The outputs are all that a laptop needs to know."""
    assert {"Name", "Table", "Topic", "Queue", "Quarantine", "WriteRoles"} <= template["Outputs"].keys()


def test_the_kill_switch_is_nobodys_but_a_persons(template: Template) -> None:
    """
    Nothing in the stack writes an item: a fresh deployment is halted until somebody resumes it.

    The item is named only where the functions' roles are denied to write it.
    """
    text = everything(template)
    denied = [
        statement
        for role in of_type(template, "AWS::IAM::Role").values()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement.get("Condition") == {"ForAnyValue:StringEquals": {"dynamodb:LeadingKeys": ["SWITCH"]}}
    ]
    assert {each["Effect"] for each in denied} == {"Deny"}
    assert text.count("SWITCH") == len(denied) == 2
    assert "Custom::" not in text
    assert "AWS::CloudFormation::CustomResource" not in text


# -- the template as a whole -----------------------------------------------------------------------------------------


def test_everything_says_whose_it_is(template: Template) -> None:
    """Whatever can be tagged is tagged with the service and the deployment."""
    cannot = {
        "AWS::IAM::ManagedPolicy",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
    for name, each in template["Resources"].items():
        if each["Type"] not in cannot:
            tags = {tag["Key"]: tag["Value"] for tag in each["Properties"]["Tags"]}
            assert tags == {"service": "nightshift", "nightshift:deployment": "prod"}, name


@pytest.mark.hostile(19)
def test_no_foreign_account_is_named(template: Template) -> None:
    """Every account number in the template is the deployment's own."""
    assert set(re.findall(r"(?<![0-9a-f])\d{12}(?![0-9a-f])", everything(template))) == {ACCOUNT}


def test_the_same_configuration_gives_the_same_template(template: Template, policy: Policy, tmp_path: Path) -> None:
    """A second synthesis differs in nothing: a diff shows what somebody changed."""
    assert synthesize(policy, tmp_path) == template


@pytest.mark.usefixtures("_validation")
def test_the_template_is_valid_to_the_cdk(policy: Policy, tmp_path: Path) -> None:
    """The CDK's own rules find nothing (cdk-nag's run in every synthesis here)."""
    assert synthesize(policy, tmp_path)


@pytest.mark.parametrize("path", sorted(Path("config").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_can_be_deployed(path: Path, tmp_path: Path) -> None:
    """Each example synthesizes, with all the permissions that it needs known, and cdk-nag content."""
    policy = load_toml(path)
    assert synthesize(policy, tmp_path)["Outputs"]["Name"]["Value"] == policy.name


A_PERSONS = [
    *(f"cognito-idp:{what}" for what in ("AdminResetUserPassword", "AdminSetUserPassword", "UpdateUserPoolClient")),
    *(f"secretsmanager:{what}" for what in ("GetSecretValue", "PutSecretValue", "RotateSecret", "UpdateSecret")),
    *(f"ec2:{what}" for what in ("AuthorizeSecurityGroupIngress", "RunInstances", "TerminateInstances")),
    *(f"rds:{what}" for what in ("DeleteDBCluster", "ModifyDBInstance", "RestoreDBClusterFromSnapshot")),
    "appsync:UpdateResolver",
    "cloudformation:UpdateStack",
    "ecs:RegisterTaskDefinition",
    "lambda:UpdateFunctionCode",
    "sqs:PurgeQueue",
]
"""what the runbooks do and Nightshift never does: credentials, code, infrastructure, and what nothing brings back"""


@pytest.mark.corrects("user-pool-client")
@pytest.mark.corrects("random-password")
@pytest.mark.corrects("secret-before-database")
@pytest.mark.corrects("auto-approve")
@pytest.mark.corrects("purge-queue")
@pytest.mark.parametrize("path", sorted(Path("config").glob("*.toml")), ids=lambda path: path.stem)
def test_what_is_a_persons_alone_no_role_may_do(path: Path, tmp_path: Path) -> None:
    """No role of any configuration that we ship: whoever takes one over could not do it either."""
    template = synthesize(load_toml(path), tmp_path)
    for role in of_type(template, "AWS::IAM::Role"):
        granted = {action for action, _, _ in allowed(template, role)}
        assert [action for action in A_PERSONS if any(fnmatchcase(action, each) for each in granted)] == [], role


@pytest.mark.parametrize("name", ["nightshift-prod-MessagingDeadLetters30EBD3E2-x", "Nightshift-prod-Work"])
@pytest.mark.hostile(32)
def test_nightshift_does_not_look_after_itself(name: str, tmp_path: Path) -> None:
    """A configuration that registers one of our own resources is refused, by name."""
    text = TOML.replace("protected-dlq", name)
    with pytest.raises(ConfigError, match="own"):
        synthesize(parse_toml(text, path="test.toml"), tmp_path)


def test_a_stack_is_called_after_its_deployment(policy: Policy) -> None:
    """Two deployments in one account are two stacks."""
    assert stack_name(policy) == "nightshift-prod"
