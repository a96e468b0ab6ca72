"""docs/coverage.md says what the tests say, and no scenario of the runbooks is forgotten."""

from nightshift.remediations import REMEDIATIONS

from tools.scenario_coverage import OUT_OF_SCOPE, PAGE, SPINE, TITLES, corrected, covered, marks, page


def test_the_coverage_page_is_current() -> None:
    """Every marked test stands on the page, and nothing else does (make coverage-page writes it)."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_scenario_has_its_tests_or_a_reason() -> None:
    """A row that loses its last test fails here; so does a scenario that is added and covered by nothing."""
    assert {scenario for scenario, by in covered().items() if not by} - OUT_OF_SCOPE.keys() == WAITING


def test_every_wrong_command_of_the_runbooks_has_its_test() -> None:
    """What must not be copied is shown not to be."""
    assert {wrong for wrong, tests in corrected().items() if not tests} == UNCORRECTED


def test_what_is_left_alone_is_a_scenario() -> None:
    """A reason belongs to a row."""
    assert TITLES.keys() >= OUT_OF_SCOPE.keys()


def test_what_covers_a_scenario_is_there() -> None:
    """A remediation of the registry, or a part of the spine: a name that is neither covers nothing."""
    known = {each.name for each in REMEDIATIONS} | SPINE
    assert {mark.remediation for mark in marks()} <= known


def test_all_five_runbooks_are_there() -> None:
    """As many rows as the runbooks have scenarios (counted by hand)."""
    assert [sum(scenario.startswith(f"{book}.") for scenario in TITLES) for book in range(5)] == [26, 30, 21, 18, 12]


WAITING: set[str] = set()
"""scenarios that nothing covers yet"""

UNCORRECTED: set[str] = set()
"""wrong commands that nothing shows yet"""
