"""
Gap filled: what S3 tells of a new object, when it does, and that it can be lost.

moto tells at once and always, and sends a test event that nobody waits for. Here a bucket's configuration is kept
apart from moto, and a queue or a function is told a moment later, in S3's own words, unless somebody loses what it is
told.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any
from urllib.parse import quote_plus

from sandbox.clock import Agenda
from sandbox.queues import Queues
from sandbox.seam import Answer, AwsError, Call, Seam

DELAY = timedelta(seconds=2)


class Notifications:
    """What every bucket tells to queues and functions."""

    def __init__(self, agenda: Agenda, queues: Queues, seam: Seam, region: str) -> None:
        self.lost: Callable[[str], bool] = lambda _key: False  # whether what is told of a key never arrives
        self.functions: dict[str, Callable[[str], None]] = {}  # by ARN: what gives a function an event
        self._configured: dict[str, dict[str, Any]] = {}
        self._agenda = agenda
        self._queues = queues
        self._region = region
        self._puts = 0
        seam.fake(
            "s3",
            PutBucketNotificationConfiguration=self._configure,
            GetBucketNotificationConfiguration=self._configuration,
        )
        seam.after("s3", "PutObject", self._tell)

    def _configure(self, call: Call) -> Answer:
        self._configured[call.params["Bucket"]] = dict(call.params["NotificationConfiguration"])
        return {}

    def _configuration(self, call: Call) -> Answer:
        if call.params["Bucket"] not in self._configured:
            raise AwsError("NoSuchBucket", "The specified bucket does not exist", 404)
        return dict(self._configured[call.params["Bucket"]])

    def _tell(self, call: Call, answer: Answer) -> None:
        bucket, key = call.params["Bucket"], call.params["Key"]
        configured = self._configured.get(bucket, {})
        named = (configured.get(f"{kind}Configurations", ()) for kind in ("Queue", "LambdaFunction"))
        for each in chain.from_iterable(named):
            rules = {rule["Name"].lower(): rule["Value"] for rule in each["Filter"]["Key"]["FilterRules"]}
            if not key.startswith(rules.get("prefix", "")) or not key.endswith(rules.get("suffix", "")):
                continue
            if self.lost(key):
                continue
            body = self._event(call, answer, each.get("Id", ""))
            self._agenda.at(DELAY, partial(self._hears(each), body))

    def _hears(self, configured: dict[str, Any]) -> Callable[[str], object]:
        if "LambdaFunctionArn" in configured:
            return self.functions[configured["LambdaFunctionArn"]]
        return partial(self._queues.put, self._queues.find(configured["QueueArn"]))

    def _event(self, call: Call, answer: Answer, name: str) -> str:
        self._puts += 1
        bucket, body = call.params["Bucket"], call.params.get("Body", b"")
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self._region,
            "eventTime": f"{call.at:%Y-%m-%dT%H:%M:%S}.000Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": {"principalId": f"AWS:{call.principal.name}"},
            "requestParameters": {"sourceIPAddress": "10.0.0.1"},
            "responseElements": {},
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": name,
                "bucket": {"name": bucket, "ownerIdentity": {"principalId": "A"}, "arn": f"arn:aws:s3:::{bucket}"},
                "object": {
                    "key": quote_plus(call.params["Key"], safe="/"),
                    "size": len(body),
                    "eTag": answer["ETag"].strip('"'),
                    "sequencer": f"{self._puts:016X}",
                },
            },
        }
        return json.dumps({"Records": [record]}, separators=(",", ":"))
