"""The layer carries what runs, and nothing besides: each package is used, and nothing is used that is not in it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.build_layer import LOCK, PYTHON
from tools.sbom import locked, normal

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "nightshift" / "python" / "nightshift"
FUNCTIONS = [each for each in sorted((ROOT / "functions").glob("*.py")) if each.stem != "__init__"]
SHIPPED = [*(each for each in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "cli" not in each.parents), *FUNCTIONS]
PINS = locked(LOCK.read_text(encoding="utf-8"))
DIRECT = {
    normal(Requirement(each).name)
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
}
ON_LAMBDA = {
    "python_version": PYTHON,
    "python_full_version": f"{PYTHON}.0",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "platform_machine": "aarch64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
    "extra": "",
}
HALVES = {"botocore", "pydantic-core"}
"""the other half of boto3 and of pydantic, which pin it and pass its types on"""


@cache
def imported() -> frozenset[tuple[str, str]]:
    """Each (file, top-level module) that the shipped code imports, wherever in the file it does."""
    return frozenset(_imports())


def _imports() -> Iterator[tuple[str, str]]:
    for path in SHIPPED:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute"
                names = [node.module or ""]
            for name in names:
                yield path.relative_to(ROOT).as_posix(), name.partition(".")[0]


def tops(distribution_: Distribution) -> set[str]:
    """What a distribution puts at the top of the path: its modules, packages and its own record."""
    files = (each.parts for each in distribution_.files or ())
    return {parts[0] for parts in files if parts[0] != ".." and "__pycache__" not in parts}


def modules(name: str) -> set[str]:
    """The top-level modules of a package of the layer."""
    return {top.removesuffix(".py") for top in tops(distribution(name)) if not top.endswith(".dist-info")}


def needs(name: str) -> set[str]:
    """What a package needs on Lambda, extras left out."""
    wanted = map(Requirement, distribution(name).requires or ())
    return {normal(each.name) for each in wanted if each.marker is None or each.marker.evaluate(ON_LAMBDA)}


@pytest.mark.parametrize("name", sorted(PINS))
def test_what_is_looked_at_here_is_what_ships(name: str) -> None:
    """The environment of the tests holds each package of the layer in the layer's version."""
    assert distribution(name).version == PINS[name]


@pytest.mark.parametrize("name", sorted(DIRECT))
def test_every_package_that_the_layer_asks_for_is_used(name: str) -> None:
    """Code that ships imports it: what only the command line or the tests need is not among the dependencies."""
    assert modules(name) & {module for _, module in imported()}


def test_every_other_package_is_there_because_one_of_those_needs_it() -> None:
    """The lock is the closure of what is asked for: no package is missing, and none came along."""
    closure = set(DIRECT)
    while more := {each for name in closure for each in needs(name)} - closure:
        closure |= more
    assert closure == set(PINS)


def test_nothing_is_imported_that_does_not_ship() -> None:
    """Shipped code imports the standard library, itself and packages that are asked for by name, and nothing else."""
    allowed = sys.stdlib_module_names | {"nightshift"} | {top for name in DIRECT | HALVES for top in modules(name)}
    assert sorted((path, module) for path, module in imported() if module not in allowed) == []


START = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import alarm, sweep, tick
import nightshift
for module in pkgutil.walk_packages(nightshift.__path__, "nightshift."):
    importlib.import_module(module.name)
print(json.dumps({name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}))
"""


def test_every_function_starts_with_nothing_but_the_layer(tmp_path: Path) -> None:
    """All shipped modules are imported where there are only Python, the layer's packages and what the stack uploads."""
    packages = distribution("pydantic").locate_file("")
    for name in PINS:
        for top in tops(distribution(name)):
            (tmp_path / top).symlink_to(Path(str(packages)) / top)
    (tmp_path / "nightshift").mkdir()
    for path in PACKAGE.iterdir():
        if path.name not in {"cli", "__pycache__"}:
            (tmp_path / "nightshift" / path.name).symlink_to(path)
    for path in FUNCTIONS:
        (tmp_path / path.name).symlink_to(path)
    environment = {"POWERTOOLS_METRICS_NAMESPACE": "Nightshift", "PATH": ""}
    started = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", START, tmp_path],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    loaded = json.loads(started.stdout)
    assert {"alarm", "sweep", "tick", "nightshift.engine", "pydantic"} <= loaded.keys()
    assert "nightshift.cli" not in loaded
    foreign = {name for name, file in loaded.items() if "site-packages" in file}
    assert not foreign
