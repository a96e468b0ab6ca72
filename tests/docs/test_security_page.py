"""docs/security.md is read when something is wrong: every command in it can be typed, every proof it names is there."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
from botocore import xform_name
from nightshift.cli.app import app
from nightshift.remediations import REMEDIATIONS
from typer.core import TyperGroup
from typer.main import get_command

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LINES = [line.strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
TYPED = [line for line in LINES if line.startswith("nightshift ")]
AWS = [found for line in LINES for found in re.findall(r"(?:\$\(|^)(aws [^)].*?)(?:\)(?:; do)?$|$)", line)]
LINKS = re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", TEXT)
GLOBAL = {"--query", "--output"}
JMESPATH: Any = importlib.import_module("jmespath")  # what the AWS command line asks its queries with; it has no types


# -- commands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", dict.fromkeys(TYPED))
def test_every_command_of_ours_can_be_typed(line: str) -> None:
    """The command exists, and takes these words and options."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    _, name, *words = shlex.split(line, comments=True)
    command = group.commands[name]
    assert not command.make_context(name, words, parent=typer.Context(group)).args


def test_both_ways_to_stop_it_are_there() -> None:
    """The page shows both pauses, and begins with the one that stops everything."""
    assert "--hard" in TYPED[0]
    assert {"nightshift pause", "nightshift status"} <= {" ".join(line.split()[:2]) for line in TYPED}


def model_of(line: str) -> tuple[Any, list[str]]:
    """The operation of AWS's API that a line of the AWS command line calls, and its options."""
    _, service, command, *words = shlex.split(line)
    model = botocore.session.get_session().get_service_model(service)
    name = next(name for name in model.operation_names if xform_name(name, "-") == command)
    return model.operation_model(name), words


@pytest.mark.parametrize("line", AWS)
def test_every_command_of_aws_exists_and_says_what_it_must(line: str) -> None:
    """Service, operation and options are AWS's own (botocore's models), and no required one is missing."""
    operation, words = model_of(line)
    options = {word for word in words if word.startswith("--")}
    known = {f"--{xform_name(name, '-')}": name for name in operation.input_shape.members}
    assert options - GLOBAL <= known.keys()
    assert set(operation.input_shape.required_members) <= {known[option] for option in options - GLOBAL}


def test_no_command_is_overlooked() -> None:
    """Every line of a block is one of ours, one of AWS's, or the end of a loop."""
    assert len(AWS) >= 10
    for line in LINES:
        assert line == "done" or line in TYPED or any(found in line for found in AWS), line


def option(line: str, name: str) -> str:
    """What a line gives an option."""
    words = shlex.split(line)
    return words[words.index(name) + 1]


def queried(operation: str, answer: object) -> object:
    """What the page's query makes of an answer of AWS."""
    (line,) = {each for each in AWS if f" {operation} " in each}
    return JMESPATH.search(option(line, "--query"), answer)


@pytest.mark.parametrize("line", [line for line in AWS if "--policy-document" in line])
def test_every_policy_denies_everything(line: str) -> None:
    """A policy that is pasted in a hurry only denies, and denies all: in a role's policy it can then give nothing."""
    text = option(line, "--policy-document")
    (statement,) = json.loads(text)["Statement"]
    assert (statement["Effect"], statement["Action"], statement["Resource"]) == ("Deny", "*", "*")
    assert statement.get("Condition", {}).keys() <= {"DateLessThan"}
    assert len(text) < 240, "a role's own policies may fill 10,000 of its 10,240 characters"


def test_the_stop_of_the_roles_hits_every_write_role_and_no_other() -> None:
    """Of all roles under the path, the ones that act: named deployment, Region, remediation."""
    acting = [f"prod-eu-central-1-{each.name}" for each in REMEDIATIONS]
    others = ["nightshift-prod-FunctionsTickRole1A2B3C-x", "test-eu-central-1-sqs-dlq-backlog"]
    answer = {"Roles": [{"RoleName": name} for name in [*acting, *others]]}
    assert queried("list-roles", answer) == acting


def test_the_stop_of_the_tick_hits_the_tick() -> None:
    """The query finds the one function by what the CDK calls it in our stack."""
    kinds = {"FunctionsTick0F": "AWS::Lambda::Function", "FunctionsTickRole1A": "AWS::IAM::Role"}
    kinds |= {"FunctionsSweep2B": "AWS::Lambda::Function", "FunctionsTickWork3C": "AWS::Lambda::EventSourceMapping"}
    answer = {
        "StackResources": [
            {"LogicalResourceId": name, "PhysicalResourceId": f"physical-{name}", "ResourceType": kind}
            for name, kind in kinds.items()
        ]
    }
    assert queried("describe-stack-resources", answer) == ["physical-FunctionsTick0F"]


# -- what it refers to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text, target", sorted(set(LINKS)))
def test_every_link_leads_somewhere(text: str, target: str) -> None:
    """The file is there; a heading is one of its headings; a test that is named is a test of that file."""
    name, _, anchor = target.partition("#")
    path = (PAGE.parent / name).resolve() if name else PAGE
    assert path.is_file(), target
    content = path.read_text(encoding="utf-8")
    if anchor:
        assert anchor in {slug(heading) for heading in re.findall(r"^#+ (.+)$", content, re.MULTILINE)}
    if re.fullmatch(r"test_\w+", text):
        assert text in {node.name for node in ast.walk(ast.parse(content)) if isinstance(node, ast.FunctionDef)}


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_all_twelve_questions_are_answered() -> None:
    """Each has a row, and each row but a plain one leads to code, a test or a page."""
    rows = re.findall(r"^\| (\d+) \| ([^|]+\?[^|]*) \| (.+) \|$", TEXT, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 13))
    for _, _, answer in rows:
        assert "](" in answer


def test_every_alarm_stands_on_the_page() -> None:
    """What the stack raises about Nightshift is explained, by its name."""
    tree = ast.parse((ROOT / "infra" / "alarms.py").read_text(encoding="utf-8"))
    names = {
        call.args[0].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "self._alarm"
        and isinstance(call.args[0], ast.Constant)
    }
    assert len(names) >= 7
    assert {name for name in names if str(name) not in TEXT} == set()


def test_every_remediation_has_its_worst_case() -> None:
    """A remediation that may write has a row on what its role could do at worst."""
    for each in (each for each in REMEDIATIONS if each.writes):
        assert f"| write role of `{each.name}` |" in TEXT
