"""How words travel: reports and alarms to people, work to the ticking function, what could not be delivered aside."""

from __future__ import annotations

from collections.abc import Iterable

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct
from nightshift.config import Policy
from nightshift.escalation import level_name
from nightshift.model import Severity

from infra.acknowledge import acknowledge

__all__ = ["Messaging"]

KEEP = cdk.Duration.days(14)
"""the longest that SQS keeps a message"""


class Messaging(Construct):
    """
    The report topics, the alarm topic, the work queue and two places for what went wrong.

    ``others`` are the topics of severities that have recipients of their own, and of the levels of escalation, by the
    name that the functions know.

    ``dead_letters`` holds work that no tick could finish; ``missed`` holds events that reached no function or that a
    function could not take, and reports that reached nobody. No event has to be put back from either: the next sweep
    finds all work again in the world.
    """

    def __init__(self, scope: Construct, id_: str, *, key: kms.Key, policy: Policy, visibility: cdk.Duration) -> None:
        super().__init__(scope, id_)
        self.alarms = _alarm_topic(self)
        self.dead_letters = _queue(self, "DeadLetters", key, retention=KEEP)
        self.missed = _queue(self, "Missed", key, retention=KEEP)
        self.reports = self._reports("Reports", key, policy.notify.emails)
        self.others = {
            severity.value: self._reports(f"Reports{severity.value}", key, (*policy.notify.emails, *more.emails))
            for severity, more in sorted(policy.notify.severities.items())
        }
        for number, level in enumerate(policy.escalation):
            name = level_name(number)
            self.others[name] = self._reports(f"Reports{name}", key, level.emails)
        for email in policy.notify.emails:
            self.alarms.add_subscription(subscriptions.EmailSubscription(email))
        acknowledge(
            self.alarms,
            {
                "Serverless-SNSRedrivePolicy": (
                    "The way to people must not depend on a queue and its key; an alarm that could not be sent can "
                    "still be seen in CloudWatch"
                )
            },
        )
        self.work = _queue(
            self,
            "Work",
            key,
            retention=cdk.Duration.hours(4),  # five attempts take one; what is older, sweeps have asked for anew
            visibility=visibility,
            dead_letters=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=5),
        )
        last = {
            self.dead_letters: "It is itself the dead-letter queue of the work queue",
            self.missed: "It is itself where rules, functions and subscriptions leave what they could not deliver",
        }
        for queue, why in last.items():
            acknowledge(queue, dict.fromkeys(("AwsSolutions-SQS3", "Serverless-SQSRedrivePolicy"), why))

    def of(self, severity: Severity) -> sns.Topic:
        """Where reports of a severity go."""
        return self.others.get(severity.value, self.reports)

    def _reports(self, id_: str, key: kms.Key, emails: Iterable[str]) -> sns.Topic:
        topic = sns.Topic(self, id_, master_key=key, enforce_ssl=True)
        for email in dict.fromkeys(emails):
            topic.add_subscription(subscriptions.EmailSubscription(email, dead_letter_queue=self.missed))
        return topic


def _queue(
    scope: Construct,
    id_: str,
    key: kms.Key,
    *,
    retention: cdk.Duration,
    visibility: cdk.Duration | None = None,
    dead_letters: sqs.DeadLetterQueue | None = None,
) -> sqs.Queue:
    return sqs.Queue(
        scope,
        id_,
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key,
        enforce_ssl=True,
        retention_period=retention,
        visibility_timeout=visibility,
        dead_letter_queue=dead_letters,
    )


def _alarm_topic(scope: Construct) -> sns.Topic:
    """
    The way to people when Nightshift itself fails.

    It shares nothing with what it watches: no code, and not the key either, which stops everything else when somebody
    disables it. All that an alarm says is its name and a number.
    """
    stack = cdk.Stack.of(scope)
    topic = sns.Topic(scope, "Alarms", enforce_ssl=True)
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            sid="OurAlarmsMayPublish",
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": stack.account}},
        )
    )
    return topic
