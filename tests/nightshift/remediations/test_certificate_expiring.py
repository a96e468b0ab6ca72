"""A certificate that ends: when it is told, how urgent it is, and what keeps it from being renewed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.model import Arn, Healthy, ResourceRead, Severity, Sick, Target, Unknown
from nightshift.remediations.certificate_expiring import CertificateExpiring

from tests.nightshift.remediations.account import NOW
from tests.nightshift.remediations.keeping import Kept

ARN = Arn.parse("arn:aws:acm:eu-central-1:123456789012:certificate/0a1b")
KEPT = Kept(CertificateExpiring(), Target(ARN, "group"))
DAY = timedelta(days=1)
RECORD = {"Name": "_x1.api.example.com.", "Type": "CNAME", "Value": "_x2.acm-validations.aws."}


def certificate(left: float, **other: Any) -> dict[str, Any]:
    """One that has so many days left; what is None is not said."""
    plain = {
        "DomainName": "api.example.com",
        "Status": "ISSUED",
        "Type": "AMAZON_ISSUED",
        "NotAfter": NOW + left * DAY,
        "InUseBy": ["arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/api/1"],
    }
    return {name: value for name, value in {**plain, **other}.items() if value is not None}


def test_it_reads_the_certificate_and_writes_nothing() -> None:
    """Its description, as the sweep reads it."""
    assert KEPT.remediation.watch(KEPT.target) == (ResourceRead("acm.certificate", str(ARN)),)
    assert (KEPT.remediation.reads, KEPT.remediation.writes) == ((), ())


@pytest.mark.parametrize(
    "left, symptom, severity",
    [
        (30, "ends within 30 days, 2026-12-19 03:00 UTC", Severity.SEV3),
        (7.01, "ends within 30 days, 2026-11-26", Severity.SEV3),
        (7, "ends within 7 days, 2026-11-26 03:00 UTC", Severity.SEV2),
        (0, "has ended, 2026-11-19 03:00 UTC", Severity.SEV1),
    ],
)
def test_it_gets_more_urgent_and_reads_otherwise_then(left: float, symptom: str, severity: Severity) -> None:
    """So each step is told anew, and a day that passes is not."""
    finding = KEPT.sick(certificate(left))
    assert finding.symptom.startswith(f"the certificate of api.example.com {symptom}")
    assert finding.severity is severity
    assert finding.signals[0].value == int(left)
    assert KEPT.sick(certificate(left)).symptom == finding.symptom


def test_one_that_holds_long_enough_is_well_and_one_that_waits_is_idle() -> None:
    """What was requested and never issued has no end yet."""
    assert KEPT.healthy(certificate(31)) == "it holds until 2026-12-20 03:00 UTC"
    seen = KEPT.seen(certificate(0, Status="PENDING_VALIDATION", NotAfter=None))
    assert isinstance(seen, Healthy)
    assert seen.idle


@pytest.mark.parametrize("used, severity", [(True, Severity.SEV1), (False, Severity.SEV3)])
def test_one_that_nobody_accepts_is_told_by_whether_anything_shows_it(used: bool, severity: Severity) -> None:
    """Also one that still has years."""
    found = certificate(900, Status="REVOKED", **({} if used else {"InUseBy": []}))
    finding = KEPT.sick(found)
    assert (finding.symptom, finding.severity) == ("the certificate of api.example.com is REVOKED", severity)
    told = KEPT.told(found)
    assert told.cause == "it was revoked"
    assert ("ACM knows of nothing that uses it" in told.evidence) is not used
    assert KEPT.sick(certificate(0, Status="EXPIRED", NotAfter=None, DomainName=None)).signals == ()


def test_an_imported_one_needs_its_successor() -> None:
    """Under the same ARN: then whatever uses it shows that."""
    told = KEPT.told(certificate(20, Type="IMPORTED"))
    assert told.cause == "it was imported, and ACM renews no such certificate"
    [advice] = told.advice
    assert f"aws acm import-certificate --certificate-arn {ARN} --certificate fileb://certificate.pem" in advice
    assert told.evidence[1] == "renewal: none was begun"


def test_one_that_acm_cannot_validate_is_told_with_the_record_that_is_missing() -> None:
    """The one that it looks for, and no other."""
    options = [
        {"DomainName": "api.example.com", "ValidationStatus": "SUCCESS", "ResourceRecord": RECORD | {"Name": "other"}},
        {"DomainName": "www.example.com", "ValidationStatus": "PENDING_VALIDATION", "ResourceRecord": RECORD},
        {"DomainName": "by.mail.example.com", "ValidationStatus": "FAILED"},
    ]
    summary = {"RenewalStatus": "PENDING_VALIDATION", "RenewalStatusReason": "PCA_ACCESS_DENIED"}
    told = KEPT.told(certificate(20, DomainValidationOptions=options, RenewalSummary=summary))
    assert told.cause == "ACM cannot validate its domain any more"
    assert "ACM looks for the record _x1.api.example.com. CNAME _x2.acm-validations.aws." in told.evidence
    assert "renewal: PENDING_VALIDATION (PCA_ACCESS_DENIED)" in told.evidence
    assert "_x1.api.example.com." in told.advice[0]
    assert not any("other" in each for each in told.evidence)


@pytest.mark.parametrize(
    "other, cause, advice",
    [
        (
            {"RenewalSummary": {"RenewalStatus": "PENDING_VALIDATION"}},
            "nobody has answered ACM's mail",
            "resend-validation-email",
        ),
        ({"InUseBy": []}, "nothing uses it", "let it end"),
        ({"RenewalSummary": {"RenewalStatus": "FAILED"}}, "ACM has not renewed it", "describe-certificate"),
        ({}, "ACM has not renewed it", "request another one in time"),
    ],
)
def test_any_other_has_a_cause_that_acm_tells(other: dict[str, Any], cause: str, advice: str) -> None:
    """Mail that nobody answered, nothing that uses it, or a renewal that failed."""
    told = KEPT.told(certificate(20, **other))
    assert cause in told.cause
    assert advice in " ".join(told.advice)


def test_many_users_are_counted() -> None:
    """Five are named."""
    told = KEPT.told(certificate(20, InUseBy=[f"user-{number}" for number in range(7)]))
    assert told.evidence[:6] == (*(f"used by user-{number}" for number in range(5)), "and by 2 more")


def test_what_cannot_be_told_is_unknown() -> None:
    """Unread, gone, without an end, in a state that nobody knows."""
    for found in KEPT.blind():
        assert isinstance(KEPT.seen(found), Unknown)
    assert "until when" in KEPT.unknown(certificate(1, NotAfter=None))
    assert "until when" in KEPT.unknown(certificate(1, Status="NEW_STATE"))
    assert "cannot be understood" in KEPT.unknown(certificate(1, InUseBy=3))


@given(
    st.dictionaries(
        st.sampled_from([*certificate(1), "DomainValidationOptions", "RenewalSummary"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.text(max_size=5),
            st.just(NOW),
            st.just("ISSUED"),
            st.just([{"ResourceRecord": 1}]),
        ),
    )
)
def test_any_reading_can_be_judged(found: dict[str, Any]) -> None:
    """It is one of the three."""
    assert isinstance(KEPT.seen(found), Healthy | Sick | Unknown)


def test_the_record_that_a_renewal_lacks_is_named_although_the_first_validation_had_it() -> None:
    """What stands beside the renewal is how the domains were validated when the certificate was issued."""
    option = {"DomainName": "api.example.com", "ValidationMethod": "DNS", "ResourceRecord": RECORD}
    told = KEPT.told(
        certificate(
            20,
            DomainValidationOptions=[option | {"ValidationStatus": "SUCCESS"}],
            RenewalSummary={
                "RenewalStatus": "PENDING_VALIDATION",
                "DomainValidationOptions": [option | {"ValidationStatus": "PENDING_VALIDATION"}],
            },
        )
    )
    assert told.cause == "ACM cannot validate its domain any more"
    assert RECORD["Name"] in told.advice[0]


@pytest.mark.parametrize("status", ["VALIDATION_TIMED_OUT", "FAILED"])
def test_what_was_never_issued_is_not_told_to_be_used(status: str) -> None:
    """Nothing can use it: it is asked for anew, and validated by the record that is in the answer."""
    option = {"DomainName": "api.example.com", "ValidationMethod": "DNS", "ResourceRecord": RECORD}
    options = [option | {"ValidationStatus": "FAILED"}]
    told = KEPT.told(certificate(20, Status=status, NotAfter=None, InUseBy=[], DomainValidationOptions=options))
    assert told.cause == "it was never issued: its domain was not validated"
    assert any(RECORD["Name"] in each for each in told.advice)
    blind = KEPT.told(certificate(20, Status=status, NotAfter=None, InUseBy=[], DomainValidationOptions=[]))
    assert blind.advice[-1].startswith("see why: aws acm describe-certificate")
