"""Who may touch AWS, and how: read off the code itself, so that a new module cannot quietly do otherwise."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "layers" / "nightshift" / "python" / "nightshift"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "functions").glob("*.py")])


def callers(method: str) -> set[str]:
    """The modules in which something's ``method`` is called."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == method:
                found.add(path.relative_to(ROOT).as_posix().removeprefix("layers/nightshift/python/nightshift/"))
    return found


def mentions(name: str) -> set[str]:
    """The modules in which a name is used."""
    return {
        path.relative_to(ROOT).as_posix().removeprefix("layers/nightshift/python/nightshift/")
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == name
    }


def test_only_acting_assumes_a_write_role() -> None:
    """One module may change a target; the one that reads from a laptop refuses to, by overriding the method."""
    assert callers("assume") == {"acting.py"}
    assert mentions("ActingClients") <= {"aws.py", "acting.py", "cli/deployment.py"}


def test_only_the_table_the_topic_and_the_work_queue_are_written_directly() -> None:
    """Writes that the SDK may repeat go to what is Nightshift's own, and come from the three modules that own it."""
    assert callers("own") <= {"aws.py", "incidents.py", "notify.py", "service.py", "cli/deployment.py"}


def test_only_what_a_person_asks_for_is_written_in_the_callers_own_name() -> None:
    """What runs by itself acts under a write role; what was set apart is given back or dropped by whoever types it."""
    assert callers("write_once") == {"cli/quarantine.py"}


def test_only_the_client_factory_knows_boto3() -> None:
    """Everybody else is handed a Reader, an Actor or an Aws; the command line makes the laptop's session."""
    assert {module for module in mentions("boto3") if not module.startswith("cli/")} == {"aws.py"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    """Configuration comes in by parameter: only the edge of the functions, and the command line, look at os.environ."""
    uses = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv"}
    }
    assert not uses or path.name == "edge.py" or path.parent.name == "cli"
