"""Uploads that fail: on which part of their way is said, and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied, Missing, Refused, Rejected, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Query,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Readings, Series, Unread
from nightshift.remediations.uploads_failing import Upload, UploadsFailing
from nightshift.serving import bounds

from tests.nightshift.remediations.account import NOW

BUCKET = Arn.parse("arn:aws:s3:::dms-documents")
APP = "https://app.example.com"
DOCUMENTS = Target(BUCKET, "documents")
SIGNER = "dms-init-upload"
LET = {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"], "AllowedHeaders": ["*"]}
NO_CORS = Rejected("s3:GetBucketCORS", "NoSuchCORSConfiguration", "The CORS configuration does not exist")
LOGGED = {"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "dms/"}}
CALM: Mapping[str, float] = {
    "Invocations": 100,
    "Errors": 0,
    "AllRequests": 300,
    "4xxErrors": 0,
    "5xxErrors": 0,
    "PutRequests": 100,
}


def tells(**upload: Any) -> UploadsFailing:
    """The remediation, with what was said of the bucket."""
    said: dict[str, Any] = {"origins": (APP,), "function": SIGNER, "valid": timedelta(minutes=15)} | upload
    return UploadsFailing(buckets={BUCKET.name: Upload(**said)})


def seen(remediation: UploadsFailing, **now: Any) -> dict[Query, Any]:
    """Half an hour of each metric: calm, but for ``now``, a number or one for each five minutes."""
    figures = {**CALM, **now}
    found: dict[Query, Any] = {}
    for query in remediation.watch(DOCUMENTS):
        assert isinstance(query, MetricQuery)
        value = figures.get(query.metric)
        if isinstance(value, Unread):
            found[query] = value
            continue
        values = value if isinstance(value, list) else [value] * 96
        points = [(at, float(each)) for at, each in zip(bounds(NOW, query), values, strict=False) if each]
        found[query] = Series(tuple(points))
    return found


def look(remediation: UploadsFailing | None = None, /, **now: Any) -> Observation:
    """What a look finds."""
    remediation = remediation or tells()
    return remediation.detect(DOCUMENTS, Readings(NOW, seen(remediation, **now)))


def finding(remediation: UploadsFailing | None = None, /, **now: Any) -> Finding:
    """What is wrong."""
    found = look(remediation, **now)
    assert isinstance(found, Sick), found
    return found.finding


class Eyes:
    """The account: what is measured, and what the bucket says of itself."""

    def __init__(self, remediation: UploadsFailing, answers: Mapping[str, Any], **now: Any) -> None:
        self.answers, self.found = answers, seen(remediation, **now)
        self.largest: Any = now.get("BytesUploaded", Series())
        self.used: set[str] = set()

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """One read of a setting."""
        assert (service, params) == ("s3", {"Bucket": BUCKET.name})
        self.used.add(operation)
        answer = self.answers.get(operation, {})
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def seen(self, *queries: Query) -> Readings:
        """Whatever is measured."""
        return Readings(NOW, {query: self.found.get(query, self.largest) for query in queries})


def told(remediation: UploadsFailing | None = None, /, cors: Any = (LET,), log: Any = None, **now: Any) -> Diagnosis:
    """What people are told."""
    remediation = remediation or tells()
    rules = cors if isinstance(cors, Exception) else {"CORSRules": list(cors)}
    answers = {"GetBucketCors": rules, "GetBucketLogging": LOGGED if log is None else log}
    eyes: Any = Eyes(remediation, answers, **now)
    return remediation.diagnose(eyes, DOCUMENTS, Finding(UploadsFailing.name, str(BUCKET), "uploads fail"))


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_only_buckets_that_somebody_uploads_to_are_looked_at() -> None:
    """As the settings or the target say; one that is listed and not described is judged by its requests."""
    listed = Target(BUCKET, "documents", remediations=(UploadsFailing.name,))
    assert tells().takes(DOCUMENTS)
    assert not UploadsFailing().takes(DOCUMENTS)
    assert UploadsFailing().takes(listed)
    assert not tells().takes(Target(BUCKET, "documents", remediations=("s3-access-denied",)))
    assert {query.namespace for query in UploadsFailing().watch(listed) if isinstance(query, MetricQuery)} == {"AWS/S3"}
    assert UploadsFailing.writes == ()


def test_uploads_that_arrive_are_nobodys_business() -> None:
    """A request in a hundred that fails is within what the runbook allows."""
    assert look(**{"4xxErrors": 10}) == Healthy("most uploads succeed")
    assert look(tells(function="")) == Healthy("most uploads succeed")


def test_a_function_that_fails_to_sign_comes_first() -> None:
    """Whatever else fails: without a URL nobody uploads; also where nobody counts the bucket's requests."""
    found = finding(Errors=[0, 0, 0, 50, 60, 40], AllRequests=Unread("no"))
    assert found.symptom == "dms-documents: 60 % of the calls to dms-init-upload, which signs its URLs, fail"
    assert found.severity is Severity.SEV2
    assert finding(Errors=50, **{"5xxErrors": 300}).symptom.endswith("which signs its URLs, fail")


@pytest.mark.parametrize(
    "now, says",
    [
        ({"5xxErrors": 60}, "20 % of the requests to it fail in S3 (5xx)"),
        ({"4xxErrors": 30}, "10 % of the requests to it are refused (4xx)"),
        ({"4xxErrors": [0, 0, 0, 300, 0, 300]}, "100 % of the requests to it are refused (4xx)"),
    ],
)
def test_requests_that_fail_are_told_by_whose_error_it_is(now: dict[str, Any], says: str) -> None:
    """S3's own comes before the caller's; two of three times five minutes are enough."""
    assert finding(**now).symptom == f"dms-documents: {says}"


@pytest.mark.parametrize("method, put, well", [("PUT", 1, True), ("PUT", 0, False), ("POST", 0, False)])
def test_urls_that_are_signed_and_never_used_are_told(method: str, put: int, well: bool) -> None:
    """The page may not upload, or does not get there: S3 counts nothing that could have failed."""
    found = look(tells(method=method), PutRequests=[9, 9, 9, 0, put, 0], Errors=2)
    if well:
        assert found == Healthy("most uploads succeed")
    else:
        assert isinstance(found, Sick)
        assert found.finding.symptom == "dms-documents: 294 URLs were signed in 15 minutes, and nothing was uploaded"


def test_few_calls_do_not_tell_that_nothing_arrives() -> None:
    """Somebody may look at the page, and upload nothing."""
    assert look(Invocations=[99, 99, 99, 99, 19, 99], PutRequests=0) == Healthy("most uploads succeed")


def test_silence_is_idle_and_too_little_after_failures_is_unknown() -> None:
    """Nothing is called well that nobody has tried again."""
    assert look(AllRequests=3, Invocations=0) == Healthy(
        "too few requests to tell: fewer than 20 in five minutes", idle=True
    )
    assert isinstance(look(AllRequests=[99, 99, 99, 3, 3, 3], **{"4xxErrors": [99, 99, 99, 0, 0, 0]}), Unknown)
    gone = look(Invocations=[99, 99, 99, 3, 3, 3], Errors=[99, 99, 99, 0, 0, 0])
    assert gone == Unknown("the calls that sign URLs failed, and too few were made since")


@pytest.mark.parametrize(
    "now, says",
    [
        ({"Invocations": Unread("denied")}, "denied"),
        ({"4xxErrors": Unread("denied")}, "denied"),
        ({"AllRequests": 0}, "nobody counts the requests to dms-documents"),
    ],
)
def test_what_cannot_be_seen_is_unknown(now: dict[str, Any], says: str) -> None:
    """Uploads that nobody counts are not well; what can be seen to fail is told all the same."""
    found = look(**now)
    assert isinstance(found, Unknown)
    assert says in found.reason
    assert isinstance(look(Invocations=Unread("denied"), **{"5xxErrors": 300}), Sick)


@given(st.dictionaries(st.sampled_from(sorted(CALM)), st.integers(0, 1000) | st.lists(st.integers(0, 1000))))
def test_detection_is_total(now: dict[str, Any]) -> None:
    """Whatever was measured."""
    assert isinstance(look(**now), Healthy | Sick | Unknown)


# -- diagnosis ---------------------------------------------------------------------------------------------------------


def test_the_function_is_told_with_its_log() -> None:
    """Nothing is said of CORS as a cause."""
    diagnosis = told(Errors=50, cors=())
    assert diagnosis.cause == "dms-documents: dms-init-upload fails, so nobody gets a URL to upload with"
    assert diagnosis.advice == ("read what it says: aws logs tail /aws/lambda/dms-init-upload --since 30m (read only)",)


def test_s3_itself_is_told_with_patience() -> None:
    """Slow Down ends by itself."""
    diagnosis = told(**{"5xxErrors": 300})
    assert "503 Slow Down" in diagnosis.cause
    assert "try again" in diagnosis.advice[0]


@pytest.mark.parametrize(
    "cors, says",
    [
        (NO_CORS, "it has no CORS rules: no page may upload to it from a browser"),
        ((), "it has no CORS rules: no page may upload to it from a browser"),
        ((LET | {"AllowedOrigins": ["https://app.example.org"]},), f"no CORS rule names {APP}"),
        ((LET | {"AllowedOrigins": None},), f"no CORS rule names {APP}"),
        ((LET | {"AllowedMethods": ["GET"]},), f"no CORS rule lets {APP} PUT"),
        ((LET | {"AllowedHeaders": ["x-*"]},), f"no CORS rule lets {APP} send content-type"),
    ],
)
@pytest.mark.parametrize("now", [{"PutRequests": 0}, {"4xxErrors": 200}])
def test_a_page_that_cors_does_not_let_upload_is_the_cause(cors: Any, says: str, now: dict[str, Any]) -> None:
    """Of what is refused, and of what never arrives; then nobody else's rules are looked at."""
    diagnosis = told(cors=cors, **now)
    assert diagnosis.cause == f"dms-documents: {says}"
    assert says in diagnosis.evidence
    assert diagnosis.whose == ""
    assert "aws s3api put-bucket-cors --bucket dms-documents" in diagnosis.advice[1]
    assert diagnosis.rejected == ()


@pytest.mark.parametrize(
    "rule",
    [
        LET,
        LET | {"AllowedOrigins": [APP], "AllowedHeaders": ["Content-Type"]},
        LET | {"AllowedOrigins": ["*"]},
    ],
)
def test_where_cors_lets_it_the_rest_is_told_in_order(rule: Any) -> None:
    """How long URLs are valid, what the largest upload was, where answers are logged; and what to look for."""
    diagnosis = told(cors=(rule,), BytesUploaded=Series(((NOW, 3.5 * 1024 * 1024),)), **{"4xxErrors": 30})
    assert diagnosis.cause.endswith("URLs that have expired, what they ask for, or its rules")
    assert diagnosis.evidence[1:] == (
        "its URLs are signed for 15 minutes",
        "the largest upload of a day had 3.5 MiB",
        "each answer is written down, hours late, in s3://logs/dms/",
    )
    assert diagnosis.rejected[0].cause == "CORS"
    assert any("6 MB or 10 MB" in each for each in diagnosis.advice)
    assert diagnosis.whose == ""


def test_what_the_bucket_refuses_to_most_is_anothers() -> None:
    """From the share on that s3-access-denied tells."""
    assert told(**{"4xxErrors": 60}).whose == ""
    assert told(**{"4xxErrors": 61}).whose == "s3-access-denied"


def test_a_url_ends_with_what_it_was_signed_with() -> None:
    """Longer than an hour is told as what a role's credentials may not last for; unsaid, it is said to be."""
    assert any("temporary" in each for each in told(tells(valid=timedelta(hours=2)), PutRequests=0).evidence)
    assert "how long its URLs are valid nobody has said" in told(tells(valid=None), PutRequests=0).evidence


def test_nothing_that_arrives_where_cors_is_right_is_the_page_or_the_network() -> None:
    """Which only a browser shows."""
    diagnosis = told(PutRequests=0, log={})
    assert "nobody reaches the bucket with them" in diagnosis.cause
    assert "look at its console" in diagnosis.advice[0]
    assert "nobody logs what it answers" in diagnosis.evidence[-1]


def test_settings_that_may_not_be_read_are_said_to_be_unread() -> None:
    """A CORS rule that nobody could read is no rejected cause."""
    no = Denied("s3:GetBucketCORS", "AccessDenied", "no")
    diagnosis = told(cors=no, log=Denied("s3:GetBucketLogging", "AccessDenied", "no"), **{"4xxErrors": 30})
    assert "its CORS rules cannot be read: s3:GetBucketCORS is denied to Nightshift too" in diagnosis.evidence
    assert "whether it is logged cannot be read: s3:GetBucketLogging is denied to Nightshift too" in diagnosis.evidence
    assert diagnosis.rejected == ()
    unsaid = told(tells(origins=()), **{"4xxErrors": 30})
    assert "which pages upload to it nobody has said, so its CORS rules cannot be judged" in unsaid.evidence
    assert unsaid.rejected == ()


def test_any_other_refusal_of_s3_ends_the_diagnosis() -> None:
    """It is not taken for a bucket without rules."""
    with pytest.raises(Rejected):
        told(cors=Rejected("s3:GetBucketCORS", "MethodNotAllowed", "no"), PutRequests=0)
    with pytest.raises(Missing):
        told(cors=Missing("s3:GetBucketCORS", "NoSuchBucket", "no"), PutRequests=0)


def test_what_is_over_or_cannot_be_seen_by_now_is_not_told() -> None:
    """Looked at again in a minute, or as soon as it can be seen."""
    with pytest.raises(Refused, match="they do not fail any more"):
        told()
    with pytest.raises(Unreadable):
        told(**{"4xxErrors": Unread("denied")})
