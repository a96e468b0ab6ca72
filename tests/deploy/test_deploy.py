"""
Deployed for real, as far as that goes on one machine: the CDK's own command line, real functions, their real roles.

A queue's consumer fails, its messages die, it is repaired. Nightshift is deployed into that account, woken by an alarm,
and sets apart the letter that can never be processed; by its own schedule it sends the others home, where they are
processed, and tells people. It is one story: the tests run in the order in which they are written
(`make deploy-test`; `make deploy-test ARGS="-k 'not schedule'"` leaves out the last, which takes minutes of real time).

What ministack cannot do, and what stands in for it:

- SQS has no message move tasks and no ListDeadLetterSourceQueues. Fewer letters than a sample are moved one by one
  anyway, which needs only what ministack has; the listing is answered by tests/deploy/account.py.
- SQS tells CloudWatch nothing: a thread counts and tells it (the fixture ``metrics``).
- Alarms neither evaluate by themselves nor reach EventBridge: the alarm function is invoked with the event. All else is
  called by nobody but the schedule and the queue.
- KMS keys encrypt nothing and their policies are not asked: that a write role may use a key is not shown here.
- Trails name access keys, not sessions: that the trail equals the report is shown on the sandbox, not here.
- Functions run on ministack's own Python, x86_64 or whatever this machine is, not on Lambda's.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from nightshift.model import SwitchState, Verdict

from tests.deploy.conftest import ACCOUNT, REGION, Account, Deployment, Orders, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]


def test_the_account_enforces_permissions(account: Account) -> None:
    """The control: who has no permission is denied. Without it nothing below would prove anything."""
    iam = account.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    nobody = account.client("sqs", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    with pytest.raises(ClientError, match=r"AccessDenied|not authorized"):
        nobody.list_queues()


def test_a_fresh_deployment_is_halted(deployment: Deployment) -> None:
    """The stack sets no kill switch, and a missing one counts as halted."""
    assert deployment.incidents.switch().state is None


def test_no_function_can_write_the_kill_switch(deployment: Deployment) -> None:
    """Not under its own role, and in no way; the controls: what else a tick and a sweep may write, they may."""
    every = {"put_item", "update_item", "delete_item", "Put", "Update", "Delete"}
    for who in ("Alarm", "Sweep", "Tick"):
        assert _denied(deployment, who, "SWITCH") == every, who
    assert _denied(deployment, "Tick", "BRAKE") == set()
    assert _denied(deployment, "Sweep", "HEARTBEAT") == set()
    assert _denied(deployment, "Sweep", "BRAKE") == {"update_item", "Update"}


def _denied(deployment: Deployment, who: str, item: str) -> set[str]:
    """Answer what a function's role may not do to an item, alone and in a transaction; no item meets the condition."""
    never = {"TableName": deployment.outputs["Table"], "ConditionExpression": "attribute_exists(nothing)"}
    key = {"pk": {"S": item}, "sk": {"S": "tried"}}
    put, delete = {**never, "Item": key}, {**never, "Key": key}
    update = {**delete, "UpdateExpression": "REMOVE nothing"}
    beside = {"Put": {**never, "Item": {"pk": {"S": "HEARTBEAT"}, "sk": {"S": "beside"}}}}
    calls = {"put_item": put, "update_item": update, "delete_item": delete}
    tried: dict[str, tuple[str, dict[str, Any]]] = {name: (name, parameters) for name, parameters in calls.items()}
    for name, parameters in (("Put", put), ("Update", update), ("Delete", delete)):
        tried[name] = ("transact_write_items", {"TransactItems": [beside, {name: parameters}]})
    said = dict(zip(tried, deployment.answers(who, list(tried.values())), strict=True))
    assert set(said.values()) <= {
        "AccessDeniedException",
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
    }, said
    return {name for name, answer in said.items() if answer == "AccessDeniedException"}


def test_nobody_else_can_take_a_write_role(account: Account, deployment: Deployment) -> None:
    """Somebody who may assume anything in the account may still not assume what only a tick may."""
    iam = account.client("iam")
    iam.create_user(UserName="operator")
    may = {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    iam.put_user_policy(UserName="operator", PolicyName="assume", PolicyDocument=document)
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    sts = account.client("sts", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(
            RoleArn=f"{deployment.outputs['WriteRoles']}sqs-dlq-backlog",
            RoleSessionName="20261121T0238-0123abcd",
            SourceIdentity="20261121T0238-0123abcd",
        )


def test_nobody_can_say_that_an_alarm_rang(deployment: Deployment) -> None:
    """Whoever may put events may not put one of AWS's own: the rule's source cannot be forged."""
    entry = {"Source": "aws.cloudwatch", "DetailType": "CloudWatch Alarm State Change", "Detail": "{}"}
    (answer,) = deployment.account.client("events").put_events(Entries=[entry])["Entries"]
    assert answer["ErrorCode"].startswith("NotAuthorizedForSource")


ALARM: dict[str, Any] = {
    "source": "aws.cloudwatch",
    "detail-type": "CloudWatch Alarm State Change",
    "account": ACCOUNT,
    "region": REGION,
    "resources": [f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:letters"],
    "detail": {
        "alarmName": "letters",
        "state": {"value": "ALARM"},
        "configuration": {
            "metrics": [
                {
                    "id": "m",
                    "metricStat": {
                        "metric": {
                            "namespace": "AWS/SQS",
                            "name": "ApproximateNumberOfMessagesVisible",
                            "dimensions": {"QueueName": "orders-dlq"},
                        }
                    },
                }
            ]
        },
    },
}


def test_an_alarm_of_another_account_is_nothing(deployment: Deployment) -> None:
    """The function itself looks again where an event comes from, whatever let it through."""
    assert "rejected" in _wake(deployment, {**ALARM, "account": "999999999999"})
    assert not deployment.open()


@pytest.mark.usefixtures("metrics")
def test_an_alarm_leads_to_an_act_under_the_write_role(deployment: Deployment, orders: Orders) -> None:
    """
    Alarm, work queue, tick: it looks, opens an incident, diagnoses, and sets apart what can never be processed.

    The tick's own role may neither put objects nor delete letters, and IAM is enforced: it is the write role that acts.
    """
    until(lambda: orders.old, 90, "the clock stands still")
    deployment.incidents.set_switch(SwitchState.ON, reason="the test watches", by="test", now=datetime.now(UTC))
    assert _wake(deployment, ALARM) == {"targets": 1}
    s3, bucket = deployment.account.client("s3"), deployment.outputs["Quarantine"]
    until(
        lambda: s3.list_objects_v2(Bucket=bucket).get("KeyCount", 0) == 1,
        60,
        "nothing was set apart",
        deployment.evidence,
    )
    (stored,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert stored["Key"].startswith("letters/orders-dlq/")
    assert "s3:TestEvent" in s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read().decode()
    until(lambda: orders.holds(orders.dead) == 3, 30, "what was set apart is still in the queue", deployment.evidence)
    assert len(deployment.open()) == 1


@pytest.mark.usefixtures("metrics")
def test_the_schedule_brings_it_to_its_end(deployment: Deployment, orders: Orders) -> None:
    """A few go home first, then the rest; every order is processed exactly once, and one report says so."""
    until(lambda: not deployment.open(), 800, "the incident does not end", deployment.evidence)
    assert orders.finished() == ["1", "2", "3"]
    assert orders.holds(orders.dead) == orders.holds(orders.queue) == 0
    (incident,) = deployment.incidents.recent()
    assert incident.verdict is Verdict.FIXED
    assert incident.ledger.balanced
    assert (incident.ledger.moved, incident.ledger.quarantined, incident.ledger.processed) == (4, 1, 3)
    (report,) = deployment.reports()
    assert "FIXED" in report
    assert "orders-dlq" in report
    assert deployment.incidents.heartbeat() is not None


def _wake(deployment: Deployment, event: dict[str, Any]) -> dict[str, Any]:
    """Give the alarm function an event, as EventBridge would."""
    said: dict[str, Any] = deployment.account.invoke(deployment.function("Alarm")["FunctionName"], event)
    return said
