"""Metric math makes of a window what CloudWatch makes of it, and refuses what it does not know."""

import pytest

from sandbox.metric_math import NotUnderstood, formula

THREE_IN_THE_MORNING = 3 * 60


@pytest.mark.parametrize(
    "expression, value",
    [
        ("a", 6),
        ("a + b * 2", 14),
        ("(a + b) * 2", 20),
        ("a - b - 1", 1),
        ("a / b / 3", 0.5),
        ("100 * a / 8", 75),
        ("a > b", 1),
        ("a <= b", 0),
        ("a > b AND b > a", 0),
        ("a > b OR b > a", 1),
        ("FILL(a, 0)", 6),
        ("FILL(gone, 0) + a", 6),
        ("IF(a >= 6, b, 0)", 4),
        ("IF(a < 6, gone, 0)", 0),
        ("IF(HOUR(gone) >= 3 AND HOUR(gone) < 4, 1, 0)", 1),
        ("gone", None),
        ("gone + 1", None),
        ("IF(gone > 0, 1, 0)", None),
        ("a / 0", None),
        ("FILL(a / 0, 7)", 7),
    ],
)
def test_what_is_made_of_a_window(expression: str, value: float | None) -> None:
    """`a` reported 6 and `b` 4, at three in the morning; `gone` reported nothing."""
    assert formula(expression)({"a": 6, "b": 4, "gone": None}, THREE_IN_THE_MORNING) == value


@pytest.mark.parametrize(
    "expression", ["", "a +", "(a", "a b", "RATE(a)", "FILL(a)", "FILL(a, 0", "SUM([a, b])", "A", "a ? b", "IF(a, b)"]
)
def test_what_is_not_known_is_refused(expression: str) -> None:
    """No guess: somebody would believe it."""
    with pytest.raises(NotUnderstood):
        formula(expression)
