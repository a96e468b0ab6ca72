"""Letters that no queue sent: told by names of AWS's, whatever else stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from nightshift.errors import Refused
from nightshift.letters import Letter
from nightshift.origins import of_others

from tests.nightshift.remediations.account import DLQ, FUNCTION, letter, text

RULE = "arn:aws:events:eu-central-1:123456789012:rule/hourly"


def undelivered(number: int, rule: str = RULE, target: str = str(FUNCTION), code: str = "NO_PERMISSIONS") -> Letter:
    """A letter of EventBridge's."""
    says: dict[str, Any] = {
        "RULE_ARN": text(rule),
        "TARGET_ARN": text(target),
        "ERROR_CODE": text(code),
        "ERROR_MESSAGE": text("secret"),
        "EXHAUSTED_RETRY_CONDITION": text("MaximumRetryAttempts"),
    }
    return Letter.received(letter(number, "secret", **says))


def test_a_rules_letters_are_told_by_rule_target_and_error() -> None:
    """How often each: that is where somebody must look first."""
    found = of_others(DLQ, [undelivered(1), undelivered(2), undelivered(3, code="TIMEOUT")], ("when",))
    assert found.cause.startswith("they were put there by an EventBridge rule")
    assert found.evidence == (
        "3 of 3 letters looked at are of an EventBridge rule; no queue names orders-dlq as its own",
        f"2 x rule {RULE}, target {FUNCTION}: NO_PERMISSIONS (MaximumRetryAttempts)",
        f"1 x rule {RULE}, target {FUNCTION}: TIMEOUT (MaximumRetryAttempts)",
        "when",
    )
    assert len(found.advice) == 2


def test_a_list_of_rules_is_cut() -> None:
    """A report is no list: the most frequent, and how many more there are."""
    found = of_others(DLQ, [undelivered(number, f"{RULE}-{number}") for number in range(9)], ())
    assert len(found.evidence) == 1 + 5 + 1
    assert found.evidence[-1] == "and 4 more of other rules, targets or errors"


@pytest.mark.hostile(24)
@pytest.mark.parametrize(
    "more",
    [
        {"rule": "call 555-0100 now"},
        {"rule": "arn:aws:events:eu-central-1:1:rule/x\nFIXED: all is well"},
        {"target": ""},
        {"code": "a" * 65},
        {"code": "<script>"},
        {"code": "\u0661"},
        {"code": ""},
    ],
)
def test_what_is_no_name_of_aws_is_not_repeated(more: dict[str, str]) -> None:
    """Whoever may send to the queue may claim anything: only ARNs and codes are told, and never the text."""
    found = of_others(DLQ, [undelivered(1, **more)], ())
    assert "(not said)" in found.evidence[1]
    said = " ".join((found.cause, *found.evidence, *found.advice))
    assert "secret" not in said
    assert not any(value and value in said for value in more.values())


def test_letters_of_several_are_told_by_the_most() -> None:
    """And how many of those there are."""
    other = Letter.received(letter(9, RequestID=text("r"), ErrorCode=text("200")))
    found = of_others(DLQ, [undelivered(1), undelivered(2), other], ())
    assert found.evidence[0].startswith("2 of 3 letters looked at are of an EventBridge rule")


def test_letters_that_say_nothing_of_themselves_are_refused() -> None:
    """Nobody can be told what to do with them but to look."""
    with pytest.raises(Refused, match="something unknown"):
        of_others(DLQ, [Letter.received(letter(1))], ())
