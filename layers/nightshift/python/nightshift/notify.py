"""
Telling people: one message per transition that a person needs to know of, to one SNS topic.

The topic of the level it is for; else of the severity, where that has recipients of its own (those of the report topic
are among them); else the report topic. So a notice is published once, whoever gets it.
"""

from __future__ import annotations

from collections.abc import Mapping

from nightshift.aws import Aws
from nightshift.errors import AwsError, Unsent
from nightshift.report import Notice

__all__ = ["Notifier"]


class Notifier:
    """Publishes notices. Told twice is better than not told: this client may repeat itself."""

    def __init__(self, aws: Aws, topic_arn: str, topics: Mapping[str, str] | None = None) -> None:
        self._aws = aws
        self._topic_arn = topic_arn
        self._topics = topics or {}

    def __call__(self, notice: Notice) -> None:
        """Publish a notice. Raises Unsent where SNS did not take it."""
        by_severity = self._topics.get(notice.severity.value, self._topic_arn)
        try:
            self._aws.own(
                "sns",
                "Publish",
                TopicArn=self._topics.get(notice.level, by_severity),
                Subject=notice.subject,
                Message=notice.body,
                MessageAttributes={
                    "severity": {"DataType": "String", "StringValue": notice.severity.value},
                    "transition": {"DataType": "String", "StringValue": notice.key.partition(":")[0]},
                },
            )
        except AwsError as error:
            raise Unsent(str(error)) from error
