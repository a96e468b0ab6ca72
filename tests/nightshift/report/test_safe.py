"""The one sanitiser: whatever people and AWS write, what comes out may be published."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nightshift.report import ascii_subject, safe

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=400)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PRESIGNED = "https://b.s3.amazonaws.com/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20250302&X-Amz-Signature=fe5f80f77d5fa3beca038a248ff0"


@pytest.mark.parametrize(
    "text, secret",
    [
        ("mail jane.doe+x@example.co.uk, please", "jane.doe"),
        ("Write to jane@example.com.", "example.com"),
        ("key AKIAIOSFODNN7EXAMPLE was used", "AKIAIOSFODNN7EXAMPLE"),
        ("key AK\x00IA\u200bIOSFODNN7EXAMPLE was used", "IOSFODNN7EXAMPLE"),
        ("\x1b[1mASIA\x1b[0mIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        (f"Authorization: Bearer {JWT}", "eyJ"),
        (f"got {JWT} back", "eyJ"),
        ("bearer abcdef0123456789", "abcdef0123456789"),
        ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNlcjpodW50ZXIy"),
        ("password=hunter2!", "hunter2"),
        ("db_password: hunter2", "hunter2"),
        ('{"dbPassword": "hunter 2", "a": 1}', "hunter"),
        (r"{\"SecretAccessKey\":\"hunter 2\"}", "hunter"),
        ("a=password=hunter2", "hunter2"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ("mysql --password hunter2 -h x", "hunter2"),
        ("postgres://app:hunter2@db.internal/x", "hunter2"),
        ("x-api-key: hunter2", "hunter2"),
        ("password:\nhunter2", "hunter2"),
        (PRESIGNED, "fe5f80f77d5fa3beca038a248ff0"),
        (PRESIGNED, "AKIA"),
        ("IQoJb3JpZ2luX2VjEJr//////////wEaDGV1LWNlbnRyYWwtMSJ", "wEaDGV1"),
        ("ghp_0123456789abcdefABCDEF", "0123456789abcdef"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("see https://hooks.slack.com/services/T000/B000/XXXX", "T000/B000"),
    ],
)
def test_secrets_are_replaced(text: str, secret: str) -> None:
    """Nothing that opens a door, and nobody's address, is passed on: however it is spelt, hidden or labelled."""
    assert secret in text or "\x00" in text or "\x1b" in text
    assert secret not in safe(text, 4000)
    assert secret not in ascii_subject(text)


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:secretsmanager:eu-central-1:111122223333:secret:prod/db-AbCdEf",
        "secretsmanager:GetSecretValue on x: AccessDenied",
        "sts:GetSessionToken: AccessDenied",
        "iam:UpdateLoginProfile: PasswordPolicyViolation: too short",
        "SecretArn=arn:aws:secretsmanager:eu-central-1:111122223333:secret:x",
        "repo@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "request id 7a62c49f-347e-4fc4-9331-6e8e7a96aa73",
        "commit 356a192b7913b04c54574d18c28d46e6395428ab",
        "https://sqs.eu-central-1.amazonaws.com/111122223333/orders",
        "der Auftrag für Müller & Söhne (北京)",
        "desiredCount 2 -> 4",
    ],
)
def test_what_a_reader_needs_stays(text: str) -> None:
    """ARNs, IAM actions, error codes, digests and request ids are what a report is for."""
    assert safe(text) == text


@pytest.mark.hostile(12)
def test_links_elsewhere_are_not_clickable() -> None:
    """A link in somebody's tag must not become a link in our mail; one that only looks like AWS's is elsewhere."""
    assert safe("see https://evil.example/x") == "see hxxps://evil.example/x"
    assert safe("http://amazonaws.com.evil.example") == "hxxp://amazonaws.com.evil.example"


@pytest.mark.hostile(11)
def test_one_visible_line() -> None:
    """Line breaks, terminal sequences and letters that reorder or hide text do not survive."""
    assert safe("a\r\nb\u2028c\u202egnp.exe\x1b[31mred\x1b]0;title\x07\x85end\ufeff") == "a b cgnp.exered end"
    assert safe("half a pair: \ud800") == "half a pair: \ufffd"
    assert safe("x" * 50, 10) == "x" * 9 + "…"


def test_who_answered_is_named() -> None:
    """The one place where an address is an answer: who approved."""
    by = "arn:aws:sts::111122223333:assumed-role/Ops/jane@example.com"
    assert safe(by, people=False) == by
    assert "jane" not in safe(by)


@given(ANYTHING, st.integers(1, 500))
@example("\ud800\udc00\x9b31m", 3)
def test_always_fit_to_publish(text: str, limit: int) -> None:
    """For any text at all: one line, within the limit, encodable, nothing invisible; twice is once."""
    clean = safe(text, limit)
    clean.encode("utf-8")
    assert len(clean) <= limit
    assert not {unicodedata.category(char) for char in clean} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert safe(clean, limit) == clean


@given(ANYTHING)
@example("\n\n")
@example("…")
@example("\uff21\uff2b\uff29\uff21" + "IOSFODNN7EXAMPLE")
@pytest.mark.hostile(14)
def test_any_text_makes_a_subject(text: str) -> None:
    """SNS's rule, which moto does not check: 1 to 99 visible ASCII characters, a letter, digit or [ first."""
    subject = ascii_subject(text)
    assert 1 <= len(subject) <= 99
    assert subject.isascii()
    assert subject.isprintable()
    assert subject[0].isalnum() or subject[0] == "["
    assert "AKIA" not in subject


@pytest.mark.parametrize(
    "part", ["a", "token", "a ", "a=", "eyJa.", "@", "a@b.", '"', "\x1b[", "-", "AKIA", "http://", "Bearer "]
)
def test_linear_time(part: str) -> None:
    """Nobody can stop the reports with a name that takes minutes to clean."""
    begun = time.perf_counter()
    safe(part * (200_000 // len(part)), 300)
    assert time.perf_counter() - begun < 2


def test_the_name_of_a_secret_is_none_and_what_stands_elsewhere_after_that_option_is() -> None:
    """`--secret-id` is how Secrets Manager asks for a name; HashiCorp's is a secret."""
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:dms/database/password-a1B2c3"
    assert safe(f"aws secretsmanager rotate-secret --secret-id {arn} now") == (
        f"aws secretsmanager rotate-secret --secret-id {arn} now"
    )
    assert safe(f"--secret-id '{arn}'") == f"--secret-id '{arn}'"
    assert safe("vault write auth --secret-id 84896a0c-1347-aa90 now") == "vault write auth --secret-id [redacted] now"
    assert safe(f"--token {arn} --token hunter2") == f"--token {arn} --token [redacted]"
