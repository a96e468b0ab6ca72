"""The page on adding a remediation is executed: its code is the whole cost of a third one."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from nightshift.remediations import REMEDIATIONS

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, Stage
from sandbox.systems.document_management import DocumentManagement
from sandbox.world import World

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-remediation.md"
BLOCKS = dict(re.findall(r"```python file=(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))


def load(name: str, code: str, folder: Path) -> ModuleType:
    """Import a block of the page as the module that it says it is."""
    path = folder / f"{name}.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Stage]:
    """The document management system, cared for by the page's remediation alone."""
    module = load("ecs_consumer_behind", BLOCKS["remediation"], tmp_path)
    scope = {"REMEDIATIONS": REMEDIATIONS, "EcsConsumerBehind": module.EcsConsumerBehind}
    exec(BLOCKS["line"], scope)  # the page's own line
    registry = scope["REMEDIATIONS"]
    assert isinstance(registry, tuple)
    with World(NIGHT) as world:
        system = DocumentManagement(world)
        system.offer(6)
        world.run(timedelta(minutes=20))
        toml = f"""
            name = "docs"
            account = "{world.account}"
            region = "{world.region}"
            [notify]
            emails = ["oncall@example.com"]
            [remediations.ecs-consumer-behind]
            mode = "auto"
            [[systems]]
            name = "documents"
            [[systems.targets]]
            arn = "{system.service_arn}"
            mode = "auto"
            queue = "{system.queue_arn}"
        """
        with Deployment(world, toml, registry=registry) as nightshift:
            nightshift.resume()
            yield Stage(world, system, nightshift)
    del sys.modules["ecs_consumer_behind"]


TESTS: list[str] = re.findall(r"^def (test_\w+)", BLOCKS["test"], flags=re.MULTILINE)


@pytest.mark.parametrize("name", TESTS)
def test_the_pages_own_tests_pass(name: str, behind: Stage, tmp_path: Path) -> None:
    """Every test that the page shows is run against the remediation that the page shows."""
    getattr(load("page_tests", BLOCKS["test"], tmp_path), name)(behind)


def test_the_page_costs_one_file_one_line_and_one_test_file() -> None:
    """The page holds exactly the three pieces of code that it promises."""
    assert set(BLOCKS) == {"remediation", "line", "test"}
    assert BLOCKS["line"].count("\n") == 1
