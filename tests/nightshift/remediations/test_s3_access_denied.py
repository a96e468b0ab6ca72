"""A bucket that refuses requests: when that is a failure, and which of its own rules are named for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied, Missing, Rejected, Undeclared, Unreadable
from nightshift.model import Arn, Call, Diagnosis, Finding, Healthy, MetricQuery, Severity, Sick, Target, Unknown
from nightshift.remediation import Reader, Readings, Series, Unread
from nightshift.remediations.s3_access_denied import S3AccessDenied

from tests.nightshift.remediations.account import NOW

TARGET = Target(Arn.parse("arn:aws:s3:::content"), "group")
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
DENY: dict[str, Any] = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"}
NOT_SET = {
    "GetBucketEncryption": "ServerSideEncryptionConfigurationNotFoundError",
    "GetBucketPolicy": "NoSuchBucketPolicy",
    "GetPublicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "GetBucketOwnershipControls": "OwnershipControlsNotFoundError",
}


# -- seeing ------------------------------------------------------------------------------------------------------------


def detect(asked: Any, refused: Any, of_day: Any = (900.0,)) -> Healthy | Sick | Unknown:
    """What a look finds by these figures of the last whole minutes."""
    one = S3AccessDenied()
    queries = cast("tuple[MetricQuery, ...]", one.watch(TARGET))
    answers = {}
    for query, values in zip(queries, (asked, refused, of_day), strict=True):
        end = NOW - timedelta(minutes=1)
        answers[query] = (
            values
            if isinstance(values, Unread)
            else Series(tuple((end - timedelta(minutes=len(values) - n), value) for n, value in enumerate(values)))
        )
    return one.detect(TARGET, Readings(NOW, cast("Any", answers)))


def test_request_metrics_are_read_by_the_id_of_their_filter() -> None:
    """Which is a setting."""
    one = S3AccessDenied(filter_id="uploads")
    assert {query.dimensions for query in one.watch(TARGET) if isinstance(query, MetricQuery)} == {
        (("BucketName", "content"), ("FilterId", "uploads"))
    }


def test_many_refused_requests_in_both_halves_are_a_failure() -> None:
    """With the share of them."""
    seen = detect([10.0] * 10, [4.0] * 10)
    assert isinstance(seen, Sick)
    assert seen.finding.symptom == "content: 40 of 100 requests were refused in 10 minutes (4xx)"
    assert seen.finding.severity is Severity.SEV2
    [signal] = seen.finding.signals
    assert (signal.value, signal.threshold) == (40.0, 20.0)


@pytest.mark.parametrize(
    "asked, refused",
    [
        ([10.0] * 10, [2.0] * 10),  # at the limit
        ([10.0] * 10, [10.0] * 5 + [0.0] * 5),
        ([10.0] * 10, [0.0] * 5 + [10.0] * 5),
        ([1.0] * 10, [0.0] + [1.0] * 9),  # nine
        ([10.0] * 5, [10.0] * 5),  # nothing was asked before
        ([], []),
    ],
)
def test_what_is_less_or_shorter_is_none(asked: list[float], refused: list[float]) -> None:
    """Some requests are for what is not there; none at all prove nothing."""
    found = detect(asked, refused)
    assert isinstance(found, Healthy)
    assert found.idle == (not asked)


def test_a_bucket_whose_requests_nobody_counts_is_unknown() -> None:
    """With how to switch it on; and so is one whose figures cannot be read."""
    seen = detect([], [], [])
    assert isinstance(seen, Unknown)
    assert (
        "aws s3api put-bucket-metrics-configuration --bucket content --id EntireBucket "
        "--metrics-configuration Id=EntireBucket switches request metrics on"
    ) in seen.reason
    assert isinstance(detect([1.0], [], []), Healthy)
    every: tuple[tuple[Any, ...], ...] = ((Unread("no"), []), ([], Unread("no")), ([], [], Unread("no")))
    for figures in every:
        assert detect(*figures) == Unknown("no")


# -- why ---------------------------------------------------------------------------------------------------------------


@dataclass
class Eyes:
    """A Reader of one bucket's settings: what is not said is not set, an exception is raised."""

    settings: dict[str, Any] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One setting."""
        action = Call(service, operation, "").action
        if action not in S3AccessDenied.reads:
            raise Undeclared(action)
        self.used.add(action)
        assert params == ({"KeyId": KEY} if service == "kms" else {"Bucket": "content"})
        found = self.settings.get(operation)
        if found is None:
            raise Rejected(action, NOT_SET[operation])
        if isinstance(found, BaseException):
            raise found
        return cast("dict[str, Any]", found)


def diagnose(**settings: Any) -> Diagnosis:
    """What a diagnosis says of a bucket with these settings."""
    read = cast("Reader", Eyes(settings))
    return S3AccessDenied().diagnose(read, TARGET, Finding("s3-access-denied", str(TARGET.arn), "it refuses"))


def encrypted(state: Any) -> dict[str, Any]:
    """Settings of a bucket with a key in that state."""
    rules = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}}]
    described = state if isinstance(state, BaseException) else {"KeyMetadata": {"KeyState": state}}
    return {
        "GetBucketEncryption": {"ServerSideEncryptionConfiguration": {"Rules": rules}},
        "DescribeKey": described,
    }


def policy(*statements: Any) -> dict[str, Any]:
    """Settings of a bucket with that policy."""
    one = statements[0] if len(statements) == 1 else list(statements)
    return {"GetBucketPolicy": {"Policy": json.dumps({"Statement": one})}}


def test_every_declared_read_is_used() -> None:
    """And none beside them."""
    read = Eyes(encrypted("Enabled"))
    S3AccessDenied().diagnose(cast("Reader", read), TARGET, Finding("x", "y", "z"))
    assert read.used == set(S3AccessDenied.reads)


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", "PendingImport", "Unavailable"])
def test_a_key_that_is_not_enabled_is_the_cause(state: str) -> None:
    """Before any rule that may be one."""
    found = diagnose(**encrypted(state), **policy(DENY | {"Condition": {"Bool": {"aws:SecureTransport": "false"}}}))
    assert found.cause == f"content: its default key {KEY} is {state}"
    assert any("get-bucket-encryption --bucket content" in text for text in found.advice)


def test_a_key_that_is_gone_is_the_cause() -> None:
    """KMS says so; what else it says is not taken for that."""
    assert diagnose(**encrypted(Missing("kms:DescribeKey", "NotFoundException"))).cause.endswith("does not exist")
    with pytest.raises(Rejected):
        diagnose(**encrypted(Rejected("kms:DescribeKey", "InvalidArnException")))


def test_a_key_that_is_well_is_no_cause() -> None:
    """Nor one of S3's own."""
    own = {"GetBucketEncryption": {"ServerSideEncryptionConfiguration": {"Rules": [{"BucketKeyEnabled": True}]}}}
    for settings in (encrypted("Enabled"), own):
        found = diagnose(**settings)
        assert found.cause.startswith("nothing in the configuration of content refuses requests")
        assert found.rejected != ()
        assert "simulate-principal-policy" in found.advice[-1]


@pytest.mark.parametrize(
    "principal, whom, sure",
    [
        ("*", "everybody", True),
        ({"AWS": "*"}, "everybody", True),
        ({"AWS": ["*"]}, "everybody", True),
        ({"AWS": "arn:aws:iam::123456789012:root"}, "those whom it names", False),
        (None, "all but those it names", False),
    ],
)
def test_a_deny_without_a_condition_is_told_with_whom_it_denies(principal: Any, whom: str, sure: bool) -> None:
    """For everybody it is the cause; for some it may be."""
    statement = {name: value for name, value in {**DENY, "Principal": principal}.items() if value is not None}
    found = diagnose(**policy({"Effect": "Allow", "Action": "s3:*"}, statement))
    says = f"statement 2 of its policy denies s3:PutObject to {whom}, without a condition"
    assert says in found.evidence
    assert (found.cause == f"content: {says}") is sure
    assert any("get-bucket-policy --bucket content" in text for text in found.advice)


@pytest.mark.parametrize(
    "condition, says",
    [
        ({"Bool": {"aws:SecureTransport": "false"}}, "requests without TLS"),
        ({"StringNotEquals": {"aws:sourceVpce": "vpce-1"}}, "do not come through a named VPC endpoint"),
        ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, "from other addresses"),
        ({"Null": {"s3:x-amz-server-side-encryption": "true"}}, "do not name the encryption"),
        ({"StringLike": {"aws:Odd": "x"}}, "under a condition on aws:Odd"),
        (
            {"Bool": {"aws:SecureTransport": "false"}, "NotIpAddress": {"aws:SourceIp": "x"}},
            "requests without TLS, and requests from other addresses than the named ones",
        ),
    ],
)
def test_a_deny_under_a_condition_may_be_why(condition: dict[str, Any], says: str) -> None:
    """By what its keys are usually there for; its values are not quoted."""
    found = diagnose(**policy(DENY | {"Condition": condition}))
    assert found.cause.startswith("content has 1 rules that refuse requests")
    assert says in found.evidence[1]
    assert "10.0.0.0" not in repr(found)


@pytest.mark.parametrize(
    "statement, covered",
    [
        ({"Action": "*"}, "s3:PutObject, s3:GetObject, s3:ListBucket"),
        ({"Action": ["S3:put*", "s3:DeleteObject"]}, "s3:PutObject"),
        ({"Action": "s3:*Object"}, "s3:PutObject, s3:GetObject"),
        ({"Action": "s3:?etObject"}, "s3:GetObject"),
        ({"Action": "S3:Put*t"}, "s3:PutObject"),
        ({"Action": None, "NotAction": ["s3:Get*", "s3:ListBucket"]}, "s3:PutObject"),
        ({"Action": "s3:DeleteObject"}, None),
        ({"Action": None}, None),
        ({"Effect": "Allow"}, None),
    ],
)
def test_only_a_deny_of_putting_getting_or_listing_counts(statement: dict[str, Any], covered: str | None) -> None:
    """Patterns and exceptions are understood as IAM understands them."""
    whole = {name: value for name, value in {**DENY, **statement}.items() if value is not None}
    found = diagnose(**policy(whole))
    assert any(f"denies {covered} to" in text for text in found.evidence) is (covered is not None)
    assert (len(found.evidence) == 1) is (covered is None)


@pytest.mark.parametrize("text", ["no JSON", '{"a": 1, "a": 2}', "x" * 100_001])
def test_a_policy_that_cannot_be_read_in_one_way_is_said(text: str) -> None:
    """It is a fact about the bucket, and no cause."""
    assert any("its policy is not JSON" in each for each in diagnose(GetBucketPolicy={"Policy": text}).evidence)


def test_blocked_public_access_and_access_lists_may_be_why() -> None:
    """Each by what it refuses."""
    block = {"BlockPublicAcls": True, "RestrictPublicBuckets": True}
    found = diagnose(
        GetPublicAccessBlock={"PublicAccessBlockConfiguration": block},
        GetBucketOwnershipControls={"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    )
    assert found.cause.startswith("content has 3 rules that refuse requests")
    none = diagnose(
        GetPublicAccessBlock={"PublicAccessBlockConfiguration": dict.fromkeys(block, False)},
        GetBucketOwnershipControls={"OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]}},
    )
    assert none.cause.startswith("nothing in the configuration")


def test_what_is_denied_to_nightshift_too_is_evidence() -> None:
    """Of a Deny for everybody, or of a permission that is missing; never a reason to say nothing."""
    denied = {name: Denied("s3:X", "AccessDenied") for name in NOT_SET}
    found = diagnose(**denied)
    assert found.cause == "content does not let Nightshift read its configuration either"
    assert len(found.evidence) == 5
    assert found.rejected == ()
    assert found.advice != ()
    key = diagnose(**encrypted(Denied("kms:DescribeKey", "AccessDenied")))
    assert "kms:DescribeKey is denied to Nightshift too" in key.evidence[1]


@pytest.mark.parametrize("operation", NOT_SET)
def test_what_cannot_be_read_at_all_has_no_diagnosis(operation: str) -> None:
    """Later; and what S3 refuses for another reason is not taken for a setting that is not there."""
    for error in (Unreadable("s3:X", "SlowDown"), Rejected("s3:X", "InvalidBucketName")):
        with pytest.raises(type(error)):
            diagnose(**{operation: error})


_TEXTS = st.text(max_size=5) | st.sampled_from(["Deny", "*", "s3:*", "s3:PutObject"])
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(["Effect", "Action", "NotAction", "Principal", "Condition", "Statement"])


@given(_JUNK | st.lists(st.dictionaries(_NAMES, _JUNK, max_size=5), max_size=3).map(lambda each: {"Statement": each}))
def test_whatever_a_policy_says_is_understood(said: Any) -> None:
    """As far as it can be; nobody's text breaks a diagnosis."""
    assert diagnose(GetBucketPolicy={"Policy": json.dumps(said)}).advice
