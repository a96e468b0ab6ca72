"""docs/coverage.md says what the tests say."""

from tools.scenario_coverage import PAGE, TITLES, page


def test_the_coverage_page_is_current() -> None:
    """Every marked test stands on the page, and nothing else does (make coverage-page writes it)."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_no_scenario_has_lost_its_tests() -> None:
    """A scenario with a title has at least one test."""
    rows = page()
    assert [scenario for scenario in TITLES if f"| {scenario} |" not in rows] == []
