"""
Write docs/coverage.md: each scenario of the five runbooks, what covers it, and the tests that show it.

The scenarios stand in scenarios.toml. The tests are the source of the rest: a test that stands for a scenario carries
``@pytest.mark.scenario("3.4", "sqs-dlq-backlog")``. Where it is covered by what all remediations share, it names that:
``@pytest.mark.scenario("4.12", "calendar")``. What is out of scope says why instead.
Run by `make coverage-page`; a test fails when the page is not current, and when a scenario has neither.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
_TESTS = ROOT / "tests"
_TABLES = tomllib.loads(Path(__file__).with_name("scenarios.toml").read_text(encoding="utf-8"))
TITLES: Mapping[str, str] = _TABLES["scenarios"]
"""every scenario of the runbooks, by its number (runbook.row)"""
OUT_OF_SCOPE: Mapping[str, str] = _TABLES["out-of-scope"]
"""why Nightshift leaves it alone, by the scenario's number"""
CORRECTIONS: Mapping[str, str] = _TABLES["corrections"]
"""what the runbooks say that must not be copied, by a name of ours"""
SPINE = {
    "alarms",
    "calendar",
    "digest",
    "escalation",
    "health",
    "leases",
    "maintenance",
    "registry",
    "severities",
    "storm",
    "timeline",
    "updates",
    "verify-change",
}
"""what stands for a scenario though it is no remediation: parts of the spine, which all remediations share"""
_HEAD = """# Coverage

Each scenario of the five runbooks: what covers it, and the tests that show it. Written by `make coverage-page` from the
tests; a test fails when it is not current, or when a scenario has neither a test nor a reason to be left alone.

| scenario | what | covered by | tests |
|---|---|---|---|
"""
_WRONG = """
## What the runbooks say wrongly

Some of their commands do nothing, or harm. Each with the tests that show what is done instead, or that it never is.

| runbook: what it says | tests |
|---|---|
"""


@dataclass(frozen=True)
class Mark:
    """A test that stands for a scenario of a remediation, or of a part of the spine."""

    scenario: str
    remediation: str
    test: str
    file: Path


def marks() -> Iterator[Mark]:
    """Every test that stands for a scenario. Raises ValueError for a mark whose names nobody can tell."""
    for (scenario, remediation), test, file in _marked("scenario"):
        yield Mark(scenario, remediation, test, file)


def corrected() -> Mapping[str, list[str]]:
    """By what a runbook says wrongly: links to its tests. Raises ValueError for what none says."""
    rows: dict[str, list[str]] = {each: [] for each in CORRECTIONS}
    for (wrong,), test, file in _marked("corrects"):
        if wrong not in rows:
            msg = f"{file}: {test} corrects {wrong}, which scenarios.toml does not have"
            raise ValueError(msg)
        rows[wrong].append(_link(test, file))
    return rows


def _marked(mark: str) -> Iterator[tuple[tuple[str, ...], str, Path]]:
    """The arguments of every such mark, with its test and its file."""
    for path in sorted(_TESTS.rglob("test_*.py")):
        for node in ast.walk(_tree(path)):
            if not isinstance(node, ast.FunctionDef):
                continue
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == f"pytest.mark.{mark}":
                    yield tuple(_text(each, path) for each in call.args), node.name, path.relative_to(ROOT)


def _link(test: str, file: Path) -> str:
    return f"[{test}](../{file})"


def _text(node: ast.expr, path: Path) -> str:
    """What an argument of a mark says: written out, or by a constant of its file, or of the one it is imported from."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    name = ast.unparse(node)
    text = _constants(path).get(name) or _constants(_source(name, path)).get(name)
    if text is None:
        msg = f"{path.name}: a mark names {name}, which stands for nothing. Write its name out"
        raise ValueError(msg)
    return text


def _source(name: str, path: Path) -> Path:
    """The file that a name is imported from; this one where it is not, or is somebody else's."""
    for node in _tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module and name in {each.name for each in node.names}:
            source = ROOT.joinpath(*node.module.split(".")).with_suffix(".py")
            return source if source.exists() else path
    return path


@cache
def _constants(path: Path) -> Mapping[str, str]:
    """The texts that a file gives a name at its top."""
    return {
        target.id: node.value.value
        for node in _tree(path).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def covered() -> Mapping[str, Mapping[str, list[str]]]:
    """
    By scenario and by what covers it: links to its tests. Raises ValueError for a scenario that no runbook has.

    In the scenarios' order, those without any included.
    """
    rows: dict[str, dict[str, list[str]]] = {scenario: defaultdict(list) for scenario in TITLES}
    for mark in marks():
        if mark.scenario not in rows:
            msg = f"{mark.file}: {mark.test} stands for scenario {mark.scenario}, which scenarios.toml does not have"
            raise ValueError(msg)
        rows[mark.scenario][mark.remediation].append(_link(mark.test, mark.file))
    return rows


def page() -> str:
    """The page as it should be. Raises ValueError as `covered` does."""
    lines = []
    for scenario, by in covered().items():
        title = TITLES[scenario]
        lines += [f"| {scenario} | {title} | {_shown(name)} | {'<br>'.join(sorted(set(by[name])))} |" for name in by]
        if scenario in OUT_OF_SCOPE:
            lines.append(f"| {scenario} | {title} | out of scope | {OUT_OF_SCOPE[scenario]} |")
        elif not by:
            lines.append(f"| {scenario} | {title} | nothing yet | |")
    wrong = [f"| {CORRECTIONS[each]} | {'<br>'.join(sorted(set(tests)))} |" for each, tests in corrected().items()]
    return _HEAD + "\n".join(lines) + "\n" + _WRONG + "\n".join(wrong) + "\n"


def _shown(name: str) -> str:
    return f"all: {name}" if name in SPINE else f"`{name}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
