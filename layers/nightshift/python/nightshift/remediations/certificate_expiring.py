"""
A certificate ends soon, and is not renewed: tell people who uses it, and what keeps it from being renewed.

Symptom   less than thirty days are left of an ACM certificate; less than a week; none
Cause     it was imported, and nobody imported its successor; ACM cannot validate its domain any more (the record is
          gone); ACM does not renew what nothing uses; it was revoked
Cure      none of ours: its owner's key, DNS or mail is needed
Proof     it has a later end
Undo      nothing was changed
Source    runbook 4 "No Traffic" (check the ACM certificate status), runbook 2 "Monthly"; R7, R21

ACM renews its own certificates sixty days before they end, where something uses them and their domain can be validated:
of one of those, thirty days left is a renewal that has failed for a month. What a load balancer shows right now is
`alb-traffic-missing`'s to look at, once nobody comes any more; this is before that.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift.model import Arn, Healthy, ResourceRead, Severity, Signal, Target, Unknown
from nightshift.upkeep import READ_ONLY, WRITE, Neglected, Upkeep, moment, time_of

__all__ = ["CertificateExpiring"]

_SHOWN = 5  # of its users, and of records that are missing
_ENDED = frozenset({"EXPIRED", "REVOKED", "INACTIVE", "FAILED", "VALIDATION_TIMED_OUT"})
"""states in which nobody accepts a certificate, or there never was one"""


_NEVER = frozenset({"FAILED", "VALIDATION_TIMED_OUT"})
"""those of them in which there never was one"""


class CertificateExpiring(Upkeep):
    """A certificate that ends."""

    name: ClassVar[str] = "certificate-expiring"
    title: ClassVar[str] = "a certificate ends, and is not renewed"
    kinds: ClassVar[tuple[str, ...]] = ("acm:certificate",)

    days: PositiveInt = Field(default=30, le=365, description="how many days before its end it is told of")
    urgent: PositiveInt = Field(default=7, le=365, description="how many days before its end it is told of as urgent")

    def query(self, target: Target) -> ResourceRead:
        return ResourceRead("acm.certificate", str(target.arn))

    def judge(self, target: Target, found: Mapping[str, Any], now: datetime) -> Neglected | Healthy | Unknown:
        status, ends, name = str(found.get("Status", "")), time_of(found, "NotAfter"), _domain(found)
        if status == "PENDING_VALIDATION":
            return Healthy(f"the certificate of {name} has not been issued yet", idle=True)
        if status in _ENDED:
            symptom = f"the certificate of {name} is {status}"
            return self._told(target, found, now, symptom, Severity.SEV1 if _users(found) else Severity.SEV3)
        if ends is None or status != "ISSUED":
            return Unknown(f"ACM does not say until when the certificate of {name} holds ({status or 'no status'})")
        left = ends - now
        if left <= timedelta(0):
            return self._told(target, found, now, f"the certificate of {name} has ended, {moment(ends)}", Severity.SEV1)
        if left <= timedelta(days=min(self.urgent, self.days)):
            symptom = f"the certificate of {name} ends within {self.urgent} days, {moment(ends)}"
            return self._told(target, found, now, symptom, Severity.SEV2)
        if left <= timedelta(days=self.days):
            symptom = f"the certificate of {name} ends within {self.days} days, {moment(ends)}"
            return self._told(target, found, now, symptom, Severity.SEV3)
        return Healthy(f"it holds until {moment(ends)}")

    def _told(
        self, target: Target, found: Mapping[str, Any], now: datetime, symptom: str, severity: Severity
    ) -> Neglected:
        ends, users = time_of(found, "NotAfter"), _users(found)
        left = [] if ends is None else [Signal("days left", (ends - now).days, self.days, "now", "days")]
        cause, advice = _why(target.arn, found)
        missing = _missing(found)
        return Neglected(
            symptom=symptom,
            cause=cause,
            signals=tuple(left),
            evidence=(
                *(f"used by {each}" for each in users[:_SHOWN]),
                *([f"and by {len(users) - _SHOWN} more"] if len(users) > _SHOWN else []),
                *([] if users else ["ACM knows of nothing that uses it"]),
                f"renewal: {_renewal(found) or 'none was begun'}",
                *missing[:_SHOWN],
            ),
            advice=advice,
            severity=severity,
        )


def _domain(found: Mapping[str, Any]) -> str:
    return str(found.get("DomainName") or "an unknown name")


def _users(found: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, found.get("InUseBy", ())))


def _renewal(found: Mapping[str, Any]) -> str:
    """How ACM's renewal stands, and its code for why; empty where ACM has begun none."""
    summary = found.get("RenewalSummary") or {}
    status, reason = summary.get("RenewalStatus"), summary.get("RenewalStatusReason")
    return f"{status}{f' ({reason})' if reason else ''}" if status else ""


def _missing(found: Mapping[str, Any]) -> list[str]:
    """
    The records by which ACM would validate the domains that it cannot.

    By the renewal, where there is one: what stands beside it is how the domains were validated at first.
    """
    records = []
    renewal = (found.get("RenewalSummary") or {}).get("DomainValidationOptions")
    for each in renewal or found.get("DomainValidationOptions", ()):
        record = each.get("ResourceRecord")
        if each.get("ValidationStatus") != "SUCCESS" and record:
            records.append(f"ACM looks for the record {record['Name']} {record['Type']} {record['Value']}")
    return records


def _why(arn: Arn, found: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The cause, and what to do about it."""
    one = f"--certificate-arn {shlex.quote(str(arn))}"
    files = "--certificate fileb://certificate.pem --private-key fileb://key.pem --certificate-chain fileb://chain.pem"
    look = f"aws acm describe-certificate {one} --query Certificate.RenewalSummary {READ_ONLY}"
    if found.get("Status") == "REVOKED":
        return "it was revoked", ("request another one, and have its users show that", f"see when and why: {look}")
    if found.get("Type") == "IMPORTED":
        return (
            "it was imported, and ACM renews no such certificate",
            (f"import its successor under the same ARN: aws acm import-certificate {one} {files} {WRITE}",),
        )
    if found.get("Status") in _NEVER:
        why = _missing(found) or [f"see why: aws acm describe-certificate {one} {READ_ONLY}"]
        return "it was never issued: its domain was not validated", ("request it anew, and validate it", *why)
    if not _users(found):
        return "nothing uses it, and ACM renews no such certificate", ("let it end, or have something use it",)
    if missing := _missing(found):
        return (
            "ACM cannot validate its domain any more",
            (f"put the record back into DNS, as it was; ACM looks again by itself: {missing[0]}", f"see: {look}"),
        )
    if _renewal(found).startswith("PENDING_VALIDATION"):
        mail = f"aws acm resend-validation-email {one} --domain DOMAIN --validation-domain DOMAIN {WRITE}"
        return "nobody has answered ACM's mail to the domain's owners", (f"have it sent again, and answer it: {mail}",)
    return "ACM has not renewed it", (f"see why: {look}", "request another one in time, if it does not get on")
