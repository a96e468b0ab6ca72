"""The page on adding a remediation is executed: its code runs as it stands there, and keeps the project's rules."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from nightshift import remediations

from sandbox.scenes import Stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-remediation.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python file=(\w+)\n(.*?)```", TEXT, flags=re.DOTALL))
NAME = "ecs_consumer_behind"
FILES = {
    "remediation": f"layers/nightshift/python/nightshift/remediations/{NAME}.py",
    "test": f"tests/nightshift/remediations/test_{NAME}.py",
}
"""where the page says that its files stand"""
LINKS = re.findall(r"\[([^\]]+)\]\(([^)\s#]+)(?:#[^)]*)?\)", TEXT)

SHOWN = ModuleType("page_tests")
exec(compile(BLOCKS["test"], str(PAGE), "exec"), vars(SHOWN))  # it is our own page
behind = vars(SHOWN)["behind"]  # the page's own fixture
TESTS: list[str] = re.findall(r"^def (test_\w+)", BLOCKS["test"], flags=re.MULTILINE)


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the page says is done: its file is one of the package, and its lines are run at the end of the list."""
    (tmp_path / f"{NAME}.py").write_text(BLOCKS["remediation"], encoding="utf-8")
    monkeypatch.setattr(remediations, "__path__", [*remediations.__path__, str(tmp_path)])
    scope = {"REMEDIATIONS": remediations.REMEDIATIONS}
    exec(BLOCKS["list"], scope)
    monkeypatch.setattr(remediations, "REMEDIATIONS", scope["REMEDIATIONS"])
    yield
    del sys.modules[f"{remediations.__name__}.{NAME}"]
    delattr(remediations, NAME)


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("name", TESTS)
def test_the_pages_own_tests_pass(name: str, behind: Stage) -> None:
    """Every test that the page shows is run, with its own fixture, against the remediation that the page shows."""
    getattr(SHOWN, name)(behind)


def test_the_page_holds_one_file_its_place_in_the_list_and_one_test_file() -> None:
    """Nothing that its tests need stands anywhere else; each file is where the page says."""
    assert set(BLOCKS) == {"remediation", "list", "test"}
    assert [line for line in BLOCKS["list"].splitlines() if line] == [
        f"from nightshift.remediations.{NAME} import EcsConsumerBehind",
        "REMEDIATIONS = (*REMEDIATIONS, EcsConsumerBehind)",
    ]
    assert not [path for path in FILES.values() if f"`{path}`" not in TEXT]


@pytest.mark.parametrize("command", [("check",), ("format", "--diff")], ids=lambda command: command[0])
@pytest.mark.parametrize("block", FILES)
def test_the_pages_code_passes_ruff(block: str, command: tuple[str, ...]) -> None:
    """Whoever copies it has nothing to mend: it keeps the rules that hold where it stands."""
    ran = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "--stdin-filename", FILES[block], "-"],
        input=BLOCKS[block],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"


@pytest.mark.parametrize("text, target", sorted(set(LINKS)))
def test_every_link_leads_somewhere(text: str, target: str) -> None:
    """The file is there, and a test that is named is a test of that file."""
    path = (PAGE.parent / target).resolve()
    assert path.is_file()
    if re.fullmatch(r"test_\w+", text):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert text in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
