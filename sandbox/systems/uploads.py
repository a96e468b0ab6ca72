"""
What reports are about, of runbook 2: a trail whose events are counted, and the alarms that people have set on it.

Nothing here is cured by Nightshift. What goes wrong is measured as AWS measures it, so that whoever looks finds it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from sandbox.clock import Order
from sandbox.metrics import Sample
from sandbox.seam import Answer, AwsError, Call
from sandbox.world import World

TRAIL = "CloudTrailMetrics"
"""the namespace into which the trail's metric filters count"""
SIGN_INS = "failed-sign-ins"
GROUPS = "security-group-changes"
AT_NIGHT = "somebody-at-the-door"
"""a composite alarm: either of the two before, but for when a penetration test is announced"""
TEST = "penetration-test"


FUNCTION = "etl"
BUCKET = "content-dhbw-prod"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


@dataclass
class Function:
    """
    A Lambda function, as it is set up and as it fares.

    A call that takes longer than ``timeout`` fails at it, one that needs more than ``memory`` fails at once; what is
    more than may run at once is turned away, and then neither a call nor an error.
    """

    changed: datetime
    timeout: int = 30  # seconds
    memory: int = 256  # MB
    reserved: int | None = None
    state: str = "Active"
    updated: str = "Successful"
    calls: int = 60  # a minute
    takes: float = 1.0  # seconds
    needs: int = 100  # MB
    failing: float = 0.0  # share of calls that its code fails
    insights: bool = False  # whether Lambda Insights measures its memory
    account_full: bool = False  # whether others use up the account's concurrency
    aliases: tuple[Answer, ...] = ()  # as ListAliases gives them
    called_as: str = ""  # the alias that its callers name, if any


@dataclass
class Bucket:
    """
    A bucket into which content is uploaded, and what it refuses.

    Every upload is refused while the key is not enabled, or while the policy denies everybody to put; those without an
    encryption header while it asks for one. What is refused is only counted where request metrics are on.
    """

    uploads: int = 60  # a minute
    missing: int = 0  # a minute: reads of what is not there, which are 4xx too
    metrics: bool = True
    key: str | None = "Enabled"  # its state; None: it is gone
    statements: tuple[Answer, ...] = ()
    denied: bool = False  # whether its settings may not be read

    @property
    def refuses(self) -> bool:
        """Whether an upload is refused."""
        return self.key != "Enabled" or any(each["Effect"] == "Deny" for each in self.statements)


class Uploads:
    """A customer's content: who tries to get in, what is counted of it, and the function that takes uploads in."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failed_sign_ins = 0  # a minute; no event, no data: as a metric filter without a default value counts
        self.group_changes = 0
        self.test_announced: bool | None = False  # None: whoever reports it has stopped
        self.function = Function(changed=world.now - timedelta(days=9))
        world.every(timedelta(minutes=1), self._count, order=Order.METERS)
        world.every(timedelta(minutes=1), self._run, order=Order.METERS)
        self.bucket = Bucket()
        world.every(timedelta(minutes=1), self._upload, order=Order.METERS)
        world.seam.fake(
            "s3",
            GetBucketEncryption=self._setting(self._encryption),
            GetBucketPolicy=self._setting(self._policy),
            GetPublicAccessBlock=self._setting(lambda: {"PublicAccessBlockConfiguration": {"BlockPublicAcls": True}}),
            GetBucketOwnershipControls=self._setting(self._no_controls),
            GetBucketTagging=self._no_tags,
        )
        world.seam.fake("kms", DescribeKey=self._described)
        world.seam.fake(
            "lambda",
            GetFunctionConfiguration=self._configuration,
            GetFunctionConcurrency=self._concurrency,
            ListAliases=lambda call: {"Aliases": list(self._known(call).aliases)},
            ListTags=lambda _: {"Tags": {}},
        )
        for name, metric in ((SIGN_INS, "ConsoleSignInFailures"), (GROUPS, "SecurityGroupChanges")):
            self.alarm(name, Namespace=TRAIL, MetricName=metric, TreatMissingData="notBreaching")
        self.alarm(TEST, Namespace="Custom/Calendar", MetricName="PenetrationTest", Threshold=1)
        world.client("cloudwatch").put_composite_alarm(
            AlarmName=AT_NIGHT,
            AlarmRule=f'ALARM("{SIGN_INS}") OR ALARM("{GROUPS}")',
            ActionsSuppressor=TEST,
            ActionsSuppressorWaitPeriod=60,
            ActionsSuppressorExtensionPeriod=60,
        )

    def alarm(self, name: str, **more: Any) -> None:
        """Set an alarm: five of something in five minutes."""
        settings: dict[str, Any] = {
            "Statistic": "Sum",
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        } | more
        self.world.client("cloudwatch").put_metric_alarm(AlarmName=name, **settings)

    def alarm_arn(self, name: str) -> str:
        """An alarm's ARN."""
        return self.world.arn("cloudwatch", f"alarm:{name}")

    def _count(self) -> None:
        minute = self.world.agenda.ms // 60_000 - 1
        test = None if self.test_announced is None else float(self.test_announced)
        for namespace, metric, value in (
            (TRAIL, "ConsoleSignInFailures", float(self.failed_sign_ins) or None),
            (TRAIL, "SecurityGroupChanges", float(self.group_changes) or None),
            ("Custom/Calendar", "PenetrationTest", test),
        ):
            if value is not None:
                self.world.metrics.of(namespace, metric).put(minute, value)

    # -- the function

    @property
    def function_arn(self) -> str:
        """The function's ARN."""
        return self.world.arn("lambda", f"function:{FUNCTION}")

    def _run(self) -> None:
        """A minute of the function's calls, as Lambda measures them."""
        function = self.function
        if not function.calls or function.state == "Inactive":
            return
        seconds = min(function.takes, function.timeout)
        most = 0 if function.account_full else 1000 if function.reserved is None else function.reserved
        ran = min(function.calls, int(most * 60 / seconds))
        broken = function.takes > function.timeout or function.needs > function.memory or function.state == "Failed"
        errors = ran if broken else round(ran * function.failing)
        figures: dict[str, float | Sample] = {"Throttles": float(function.calls - ran)}
        if ran:
            at_once = min(most, max(1, round(ran * seconds / 60)))
            figures |= {
                "Invocations": float(ran),
                "Errors": float(errors),
                "ConcurrentExecutions": float(at_once),
                "Duration": Sample.of([1000.0 * seconds] * ran),
            }
        minute = self.world.agenda.ms // 60_000 - 1
        for name, value in figures.items():
            self.world.metrics.of("AWS/Lambda", name, {"FunctionName": FUNCTION}).put(minute, value)
            if function.called_as and name in {"Invocations", "Errors"}:
                dims = {"FunctionName": FUNCTION, "Resource": f"{FUNCTION}:{function.called_as}"}
                self.world.metrics.of("AWS/Lambda", name, dims).put(minute, value)
        if ran and function.insights:
            used = min(100.0, 100 * function.needs / function.memory)
            self.world.metrics.of("LambdaInsights", "memory_utilization", {"function_name": FUNCTION}).put(minute, used)

    def _known(self, call: Call) -> Function:
        if call.params["FunctionName"] != FUNCTION:
            raise AwsError("ResourceNotFoundException", "Function not found", 404)
        return self.function

    def _configuration(self, call: Call) -> Answer:
        function = self._known(call)
        return {
            "FunctionName": FUNCTION,
            "FunctionArn": self.function_arn,
            "Timeout": function.timeout,
            "MemorySize": function.memory,
            "State": function.state,
            "StateReason": "some text of AWS",
            **({"StateReasonCode": "SubnetOutOfIPAddresses"} if function.state == "Failed" else {}),
            "LastUpdateStatus": function.updated,
            **({"LastUpdateStatusReasonCode": "ImageAccessDenied"} if function.updated == "Failed" else {}),
            "LastModified": f"{function.changed.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000+0000",
            "RevisionId": "0b4e8a2c-6a5f-4b59-8f3e-1d2f3a4b5c6d",
            "Environment": {"Variables": {"DATABASE_PASSWORD": "hunter2"}},
        }

    def _concurrency(self, call: Call) -> Answer:
        reserved = self._known(call).reserved
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    # -- the bucket

    @property
    def bucket_arn(self) -> str:
        """The bucket's ARN, which names neither account nor Region."""
        return f"arn:aws:s3:::{BUCKET}"

    @property
    def key_arn(self) -> str:
        """The key's ARN."""
        return self.world.arn("kms", f"key/{KEY}")

    def _upload(self) -> None:
        """A minute of requests, as S3 counts them; where none was made it reports nothing."""
        bucket = self.bucket
        asked = bucket.uploads + bucket.missing
        if not bucket.metrics or not asked:
            return
        refused = bucket.missing + (bucket.uploads if bucket.refuses else 0)
        minute = self.world.agenda.ms // 60_000 - 1
        for name, value in (("AllRequests", asked), ("4xxErrors", refused)):
            dims = {"BucketName": BUCKET, "FilterId": "EntireBucket"}
            self.world.metrics.of("AWS/S3", name, dims).put(minute, float(value))

    def _setting(self, answer: Callable[[], Answer]) -> Callable[[Call], Answer]:
        def read(call: Call) -> Answer:
            if self.bucket.denied:
                raise AwsError("AccessDenied", "Access Denied", 403)
            return answer()

        return read

    def _encryption(self) -> Answer:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key_arn}
        rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
        return {"ServerSideEncryptionConfiguration": {"Rules": rules}}

    def _policy(self) -> Answer:
        if not self.bucket.statements:
            raise AwsError("NoSuchBucketPolicy", "The bucket policy does not exist", 404)
        return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": list(self.bucket.statements)})}

    def _no_controls(self) -> NoReturn:
        raise AwsError("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", 404)

    def _no_tags(self, call: Call) -> NoReturn:
        raise AwsError("NoSuchTagSet", "The TagSet does not exist", 404)

    def _described(self, call: Call) -> Answer | None:
        if call.params["KeyId"] != self.key_arn:
            return None
        if self.bucket.key is None:
            raise AwsError("NotFoundException", "Key does not exist", 400)
        return {"KeyMetadata": {"KeyId": KEY, "Arn": self.key_arn, "KeyState": self.bucket.key}}
