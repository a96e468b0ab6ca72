"""Whatever goes wrong is one line and an exit code; with --json there is one document on stdout, and nothing else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ProfileNotFound
from nightshift import __version__
from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.cli.deployment import stack_name
from nightshift.cli.reference import reference
from nightshift.config import parse_toml
from typer.main import get_command
from typer.testing import CliRunner

from tests.nightshift.cli.desk import ID, ME, TOML, Desk, Toy
from tests.nightshift.signals.cloud import ACCOUNT, REGION

ROOT = Path(__file__).parents[3]
GROUP: Any = get_command(app)
COMMANDS = tuple(GROUP.commands)
WORDS = [
    f"{name} {more}".split()
    for name, command in GROUP.commands.items()
    for more in getattr(command, "commands", None) or [""]
]
"""what is typed for each command, those of a group of commands by both their words"""


def test_the_version_is_said(desk: Desk) -> None:
    """And nothing else."""
    assert desk.run("--version").stdout == f"nightshift {__version__}\n"


def test_the_commands_are_those_that_are_promised() -> None:
    """In the order in which a person meets them."""
    promised = (
        "demo simulate remediations validate discover scan explain health verify-change digest status incidents show"
    )
    assert (
        *promised.split(),
        "timeline",
        "leases",
        "backup",
        "approve",
        "deny",
        "ack",
        "pause",
        "resume",
        "maintenance",
        "quarantine",
    ) == COMMANDS
    assert tuple(GROUP.commands["maintenance"].commands) == ("start", "end", "list")
    assert tuple(GROUP.commands["quarantine"].commands) == ("list", "show", "restore", "discard")


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_every_command_has_help_and_json(desk: Desk, words: list[str]) -> None:
    """Without exception."""
    result = desk.run(*words, "--help")
    assert result.exit_code == 0
    assert "--json" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("incidents",),
        ("status",),
        ("show", ID),
        ("timeline", ID),
        ("digest", "weekly"),
        ("approve", ID, "--yes"),
        ("deny", ID, "--why", "no", "--yes"),
        ("pause", "--why", "stop"),
        ("resume", "--why", "go"),
        ("scan",),
        ("explain", "toy-backlog", "letters"),
        ("quarantine", "list"),
        ("quarantine", "restore", "letters/x/y.json", "--why", "mended", "--yes"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
class TestEveryCommand:
    """What holds for each command that needs AWS."""

    def test_without_a_deployment_it_is_wrong_usage(self, desk: Desk, words: tuple[str, ...]) -> None:
        result = desk.run(*words)
        assert result.exit_code == 2
        assert "say which deployment" in result.stderr

    def test_a_refusal_is_one_line_and_no_traceback(self, desk: Desk, words: tuple[str, ...]) -> None:
        desk.cloud.fail("GetCallerIdentity", "AccessDenied")
        result = desk.run(*words, "--config", str(desk.config))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "Traceback" not in result.stderr
        assert result.stderr.count("\n") == 1
        assert "sts:GetCallerIdentity: AccessDenied" in result.stderr

    def test_a_refusal_is_one_document_too(self, desk: Desk, words: tuple[str, ...]) -> None:
        desk.cloud.fail("GetCallerIdentity", "ExpiredToken")
        result = desk.run(*words, "--config", str(desk.config), "--json")
        told = json.loads(result.stdout)
        assert (result.exit_code, told["schema"], told["error"]["kind"]) == (1, "nightshift.error/1", "Rejected")
        assert "AWS does not take these credentials (ExpiredToken)" in told["error"]["message"]
        assert "--profile" in result.stderr

    def test_a_region_that_cannot_be_reached_is_said_with_what_to_look_at(
        self, desk: Desk, words: tuple[str, ...]
    ) -> None:
        desk.cloud.fail("GetCallerIdentity", "EndpointConnectionError")
        result = desk.run(*words, "--config", str(desk.config))
        assert result.exit_code == 1
        assert "AWS cannot be reached (EndpointConnectionError, sts:GetCallerIdentity)" in result.stderr
        assert "Is there such a Region" in result.stderr

    def test_a_configuration_that_is_wrong_is_said_by_line(self, desk: Desk, words: tuple[str, ...]) -> None:
        desk.config.write_text("name = 1\n", encoding="utf-8")
        result = desk.run(*words, "--config", str(desk.config), "--json")
        told = json.loads(result.stdout)["error"]
        assert (result.exit_code, told["kind"]) == (1, "ConfigErrors")
        assert len(told["problems"]) == result.stderr.count("\n") > 1
        assert not desk.cloud.calls


def test_a_stack_says_where_everything_is(desk: Desk) -> None:
    """By the configuration's name or by its own."""
    desk.deploy()
    desk.record()
    for words in (("--config", str(desk.config)), ("--stack", "nightshift-prod", "--region", REGION)):
        told = json.loads(desk.run("status", *words, "--json").stdout)
        assert (told["deployment"], told["open"]) == ("prod", [ID])


def test_a_stack_that_there_is_not_is_said(desk: Desk) -> None:
    """With the account and the Region in which it was looked for."""
    result = desk.run("status", "--config", str(desk.config))
    assert result.exit_code == 1
    assert f"there is no stack nightshift-prod in {ACCOUNT}/{REGION}" in result.stderr


def test_a_stack_of_another_deployment_is_refused(desk: Desk) -> None:
    """Pausing the wrong one would leave the right one running."""
    desk.deploy(Name="test")
    result = desk.run("pause", "--why", "x", "--config", str(desk.config))
    assert result.exit_code == 1
    assert "is the deployment test, the configuration is prod's" in result.stderr
    assert desk.wrote() == set()


def test_a_table_that_there_is_not_is_said(desk: Desk) -> None:
    """In AWS's own words, in one line."""
    result = desk.run("status", "--table", "other", "--region", REGION)
    assert result.exit_code == 1
    assert "dynamodb:GetItem: ResourceNotFoundException" in result.stderr


def test_a_region_that_is_not_the_configuration_s_is_refused(desk: Desk) -> None:
    """The same names may exist there."""
    result = desk.run("status", "--config", str(desk.config), "--region", "us-east-1")
    assert result.exit_code == 1
    assert f"--region is us-east-1, but {desk.config} is for {REGION}" in result.stderr


def test_a_profile_that_there_is_not_is_said() -> None:
    """The SDK raises that before any call."""

    def session(profile: str | None) -> boto3.Session:
        raise ProfileNotFound(profile=profile)

    context = Context(session=session, run=Serial(), registry=(Toy,))
    words = ["status", "--table", "t", "--profile", "nobody", "--region", REGION]
    result = CliRunner().invoke(app, words, obj=context)
    assert result.exit_code == 1
    assert "The config profile (nobody) could not be found" in result.stderr


def test_a_region_has_to_come_from_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Region is guessed."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    context = Context(session=lambda _: boto3.Session("a", "b"), run=Serial(), registry=(Toy,))
    result = CliRunner().invoke(app, ["status", "--table", "t"], obj=context)
    assert result.exit_code == 1
    assert "no Region is known" in result.stderr


def test_a_bug_keeps_its_traceback(desk: Desk) -> None:
    """Only what was raised on purpose becomes a line: a bug that looks like a refusal is never found."""

    def broken() -> None:
        raise ZeroDivisionError

    desk.record()
    desk.meanwhile = broken
    result = desk.on_table("approve", ID, "--yes")
    assert isinstance(result.exception, ZeroDivisionError)


def test_what_goes_through_a_pipe_is_plain(desk: Desk) -> None:
    """No terminal sequence, and no cell is cut."""
    desk.record()
    assert "\x1b" not in desk.on_table("status").output
    assert ME in desk.on_table("pause", "--hard", "--why", "x").stdout


def test_the_stack_is_called_as_infra_calls_it() -> None:
    """The layer may not import infra, so the name is written twice; here the two meet."""
    source = (ROOT / "infra" / "stack.py").read_text(encoding="utf-8")
    written = re.search(r'def stack_name\(policy: Policy\) -> str:\n(?: +""".*"""\n)? +return f"(.+)"', source)
    assert written is not None
    policy = parse_toml(TOML, path="prod.toml", registry=(Toy,))
    assert stack_name(policy) == written[1].format(policy=policy)


def test_the_reference_is_current() -> None:
    """`python -m nightshift.cli.reference > docs/reference/cli.md` makes it so."""
    assert (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == reference()


def test_the_installed_command_starts() -> None:
    """With its own registry, in a process of its own, quietly."""
    done = subprocess.run(
        [sys.executable, "-c", "from nightshift.cli import main; main()", "remediations", "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["schema"] == "nightshift.remediations/1"
    assert not done.stderr
