"""
A bucket refuses requests: say which of its own rules refuse them.

Symptom   many requests to a bucket are answered with an error of the caller's (4xx; 403 is not counted by itself)
Cause     a key that is disabled or gone, a Deny in the bucket's policy, blocked public access or access lists; as far
          as the bucket's own configuration says it
Cure      none of ours: who may read or write a bucket is for people to say
Proof     requests are answered again
Undo      nothing was changed
Source    runbook 2 "S3 Access Issues"; R21

What it will not do: open anything, read an object, quote a policy's own words, or call a bucket well whose requests
nobody counts: request metrics are off until somebody switches them on. What the caller itself may do (IAM), and who
changed the policy (CloudTrail), it does not read; the report says how to.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import strict_json
from nightshift.errors import Denied, Missing, Rejected
from nightshift.model import (
    Alternative,
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Series, Unread
from nightshift.wiring import like

__all__ = ["S3AccessDenied"]

_HALF = timedelta(minutes=5)
_MINUTES = 10  # two halves
_DAY = 24 * 60  # minutes
_QUARTER = 900  # seconds: a day is then a hundred points
_POLICY = 100_000  # bytes; a bucket policy has at most 20 KB
_NOT_SET = frozenset(
    {
        "NoSuchBucketPolicy",
        "NoSuchPublicAccessBlockConfiguration",
        "OwnershipControlsNotFoundError",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
"""what S3 answers where a bucket has no such setting"""
_UPLOADS = ("s3:PutObject", "s3:GetObject", "s3:ListBucket")
_CONDITIONS = {
    "aws:securetransport": "requests without TLS",
    "aws:sourcevpce": "requests that do not come through a named VPC endpoint",
    "aws:sourcevpc": "requests that do not come from a named VPC",
    "aws:sourceip": "requests from other addresses than the named ones",
    "s3:tlsversion": "requests with an old version of TLS",
    "s3:x-amz-server-side-encryption": "uploads that do not name the encryption that is wanted",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "uploads that do not name the key that is wanted",
    "aws:principalorgid": "callers of other organizations",
    "aws:principalarn": "some callers by their ARN",
    "aws:userid": "some callers by their id",
}
"""What a Deny under a condition on a key (in lower case) is usually there for."""


@dataclass(frozen=True, slots=True)
class _Rule:
    """One rule that refuses requests; ``all_of_them`` where it needs no condition to."""

    says: str
    all_of_them: bool = False


class S3AccessDenied(ReportOnly):
    """A bucket that answers many requests with 403, or another error of the caller's."""

    name: ClassVar[str] = "s3-access-denied"
    title: ClassVar[str] = "a bucket refuses requests"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    reads: ClassVar[tuple[str, ...]] = (
        "kms:DescribeKey",
        "s3:GetBucketOwnershipControls",
        "s3:GetBucketPolicy",
        "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration",
    )

    filter_id: str = Field(
        default="EntireBucket", min_length=1, max_length=64, description="the id of the bucket's metrics configuration"
    )
    error_percent: float = Field(default=20.0, gt=0, lt=100, description="per cent of requests that may be refused")
    least_errors: PositiveInt = Field(default=10, description="fewer refused requests in ten minutes are no failure")

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return self._counters(target)

    def _counters(self, target: Target) -> tuple[MetricQuery, MetricQuery, MetricQuery]:
        """What was asked and refused lately, and what was asked in a day."""
        return (
            self._metric(target.arn, "AllRequests", 60, _MINUTES),
            self._metric(target.arn, "4xxErrors", 60, _MINUTES),
            self._metric(target.arn, "AllRequests", _QUARTER, _DAY),
        )

    def _metric(self, arn: Arn, name: str, period: int, minutes: int) -> MetricQuery:
        """
        A request metric: there where a metrics configuration of the bucket has this id, and where it was asked.

        Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
        """
        dimensions = (("BucketName", arn.resource), ("FilterId", self.filter_id))
        return MetricQuery("AWS/S3", name, dimensions, "Sum", period, minutes)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """In each of two times five minutes: more than a burst, and more than a few."""
        found = [seen.metric(query) for query in self._counters(target)]
        for each in found:
            if isinstance(each, Unread):
                return Unknown(each.reason)
        asked, refused, of_day = (each for each in found if isinstance(each, Series))
        if not asked.points and not of_day.points:
            return Unknown(
                f"nobody counts the requests to {target.arn.resource}, or none came in a day: {self._on(target)}"
            )
        shares = [
            100 * bad / every if every else 0.0
            for bad, every in zip(_halves(refused, seen.at), _halves(asked, seen.at), strict=True)
        ]
        symptom = f"{refused.total:.0f} of {asked.total:.0f} requests were refused in {_MINUTES} minutes"
        if refused.total < self.least_errors or min(shares) <= self.error_percent:
            return Healthy(symptom, idle=asked.total == 0)
        percent = round(100 * refused.total / asked.total, 1)
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{target.arn.resource}: {symptom} (4xx)",
                signals=(Signal("refused requests", percent, self.error_percent, f"{_MINUTES} minutes", "%"),),
                severity=Severity.SEV2,
            )
        )

    def _on(self, target: Target) -> str:
        config = shlex.quote(f"Id={self.filter_id}")
        return (
            f"aws s3api put-bucket-metrics-configuration --bucket {target.arn.resource} "
            f"--id {shlex.quote(self.filter_id)} --metrics-configuration {config} switches request metrics on"
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        bucket, blind = target.arn.resource, list[str]()
        rules = [*_key(read, bucket, blind), *_policy(read, bucket, blind), *_access(read, bucket, blind)]
        sure = [rule for rule in rules if rule.all_of_them]
        clean = not rules and not blind
        return Diagnosis(
            target=str(target.arn),
            cause=_cause(bucket, rules, sure, blind),
            evidence=(finding.symptom, *(rule.says for rule in rules), *blind),
            rejected=(Alternative("the bucket's own configuration", "none of its rules refuses anybody"),)
            if clean
            else (),
            advice=_advice(bucket, rules, blind),
        )


def _halves(series: Series, now: Any) -> tuple[float, float]:
    """The sums of the five minutes before the last five, and of the last five."""
    middle = (now - timedelta(minutes=1)).replace(second=0, microsecond=0) - _HALF
    older = sum(value for at, value in series.points if at < middle)
    return older, series.total - older


# -- what a bucket says of itself --------------------------------------------------------------------------------------


def _setting(read: Reader, operation: str, bucket: str, blind: list[str], what: str) -> Mapping[str, Any]:
    """A setting, empty where there is none. That we may not read it is evidence: a Deny may be for everybody."""
    try:
        return read("s3", operation, Bucket=bucket)
    except Denied as error:
        blind.append(f"{what} cannot be read: {error.action} is denied to Nightshift too")
    except Rejected as error:
        if error.code not in _NOT_SET:
            raise
    return {}


def _key(read: Reader, bucket: str, blind: list[str]) -> list[_Rule]:
    """The key that everything in the bucket is encrypted with by default: without it nothing is read or written."""
    answer = _setting(read, "GetBucketEncryption", bucket, blind, "its encryption")
    for rule in answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ()):
        key = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
        if not key:
            continue
        try:
            state = read("kms", "DescribeKey", KeyId=key)["KeyMetadata"].get("KeyState")
        except Missing:
            return [_Rule(f"its default key {key} does not exist", all_of_them=True)]
        except Denied:
            blind.append(f"its default key {key} cannot be described: kms:DescribeKey is denied to Nightshift too")
            return []
        if state != "Enabled":
            return [_Rule(f"its default key {key} is {state}", all_of_them=True)]
    return []


def _policy(read: Reader, bucket: str, blind: list[str]) -> list[_Rule]:
    """Every Deny of the bucket's policy that is about objects or listing. By number: a Sid is somebody's own text."""
    text = _setting(read, "GetBucketPolicy", bucket, blind, "its policy").get("Policy")
    if text is None:
        return []
    try:
        said = strict_json.loads(str(text), limit=_POLICY)
    except strict_json.NotStrict:
        blind.append("its policy is not JSON that can be read in one way")
        return []
    statements = _listed(said.get("Statement")) if isinstance(said, dict) else []
    found = [_denied(number, each) for number, each in enumerate(statements, 1) if isinstance(each, dict)]
    return [rule for rule in found if rule is not None]


def _listed(value: object) -> list[Any]:
    """IAM takes one of a thing in the place of a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _denied(number: int, statement: Mapping[str, Any]) -> _Rule | None:
    if statement.get("Effect") != "Deny" or not (actions := _actions(statement)):
        return None
    where = f"statement {number} of its policy denies {', '.join(actions)}"
    conditions = statement.get("Condition")
    tests = conditions.values() if isinstance(conditions, dict) else ()
    keys = [key for each in tests if isinstance(each, dict) for key in each]
    if keys:
        what = [_CONDITIONS.get(key.lower(), f"under a condition on {key}") for key in dict.fromkeys(keys)]
        return _Rule(f"{where}: {', and '.join(what)}")
    everybody = statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
    whom = "everybody" if everybody else "those whom it names" if "Principal" in statement else "all but those it names"
    return _Rule(f"{where} to {whom}, without a condition", all_of_them=everybody)


def _actions(statement: Mapping[str, Any]) -> list[str]:
    """Which of putting, getting and listing a Deny covers."""
    if "NotAction" in statement:
        spared = [str(each) for each in _listed(statement["NotAction"])]
        return [name for name in _UPLOADS if not any(_covers(each, name) for each in spared)]
    named = [str(each) for each in _listed(statement.get("Action"))]
    return [name for name in _UPLOADS if any(_covers(each, name) for each in named)]


def _covers(pattern: str, action: str) -> bool:
    """Whether an action pattern of IAM's is about an action: wildcards stand anywhere, case does not matter."""
    return like(pattern.lower(), action.lower())


def _access(read: Reader, bucket: str, blind: list[str]) -> list[_Rule]:
    """What is refused to the public, and to those who set access lists."""
    answer = _setting(read, "GetPublicAccessBlock", bucket, blind, "its public access block")
    block = answer.get("PublicAccessBlockConfiguration", {})
    found = []
    if block.get("BlockPublicAcls"):
        found.append(_Rule("public access lists are blocked: an upload that sets one is refused"))
    if block.get("RestrictPublicBuckets"):
        found.append(_Rule("public buckets are restricted: if its policy is public, other accounts are refused"))
    controls = _setting(read, "GetBucketOwnershipControls", bucket, blind, "its ownership controls")
    rules = controls.get("OwnershipControls", {}).get("Rules", ())
    if any(rule.get("ObjectOwnership") == "BucketOwnerEnforced" for rule in rules):
        found.append(_Rule("access lists are switched off: an upload that sets one is refused (400)"))
    return found


# -- why, and what would help ------------------------------------------------------------------------------------------


def _cause(bucket: str, rules: list[_Rule], sure: list[_Rule], blind: list[str]) -> str:
    if sure:
        return f"{bucket}: {sure[0].says}"
    if rules:
        return f"{bucket} has {len(rules)} rules that refuse requests; which of them did, its metrics do not say"
    if blind:
        return f"{bucket} does not let Nightshift read its configuration either"
    return f"nothing in the configuration of {bucket} refuses requests: what callers may do, or what they ask for"


def _advice(bucket: str, rules: list[_Rule], blind: list[str]) -> tuple[str, ...]:
    name = shlex.quote(bucket)
    found = ["ask whoever owns the bucket before anything is opened: a rule may be there for a reason"]
    if any("default key" in each for each in (*(rule.says for rule in rules), *blind)):
        found.append(f"see which key it is: aws s3api get-bucket-encryption --bucket {name} (read only)")
    if any("policy" in each for each in (*(rule.says for rule in rules), *blind)):
        found.append(f"read the policy: aws s3api get-bucket-policy --bucket {name} (read only)")
    lookup = f"aws cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue={name}"
    found.append(f"see who changed it last, which is not known here: {lookup} (read only)")
    found.append(
        "check the caller's own permissions, which are not known here: aws iam simulate-principal-policy "
        f"--policy-source-arn ROLE --action-names s3:PutObject --resource-arns arn:aws:s3:::{name}/* (read only)"
    )
    return tuple(found)
