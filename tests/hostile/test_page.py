"""docs/reference/hostile-input.md says what the tests say: every row has its proof, and every proof its row."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "hostile-input.md"
ROWS = 35
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*?) \|$", re.MULTILINE)


def marked() -> dict[int, set[str]]:
    """The tests that carry ``@pytest.mark.hostile(row)``, by row, as the page names them."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.hostile":
                    [row] = mark.args
                    found[ast.literal_eval(row)].add(f"[{node.name}](../../{path.relative_to(ROOT).as_posix()})")
    return found


def test_every_row_has_a_test_and_every_test_its_row() -> None:
    """All rows of the list, once each, in order; a row without a test is a promise without a proof."""
    found = marked()
    assert sorted(found) == list(range(1, ROWS + 1))
    assert [int(row) for row, *_ in _ROW.findall(PAGE.read_text(encoding="utf-8"))] == list(range(1, ROWS + 1))


def test_the_page_names_the_tests_that_there_are() -> None:
    """No more and no fewer, row by row."""
    named = {int(row): set(tests.split("<br>")) for row, _, _, tests in _ROW.findall(PAGE.read_text(encoding="utf-8"))}
    assert named == marked()
