"""The app: what it reads, and what it says when that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nightshift.errors import ConfigError

import app
from infra.options import Options
from tests.infra.conftest import TOML
from tools import build_layer


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer that is built, as far as anybody can see from outside."""
    (tmp_path / "layer" / "python").mkdir(parents=True)
    return tmp_path / "layer"


def _options(tmp_path: Path, context: dict[str, Any]) -> Options:
    return app.options_from(app.make_app(context=context, outdir=str(tmp_path / "out")))


def test_tests_and_the_cdk_see_the_same_flags(tmp_path: Path) -> None:
    """What cdk.json says holds however the app is started; what is said on the command line wins."""
    started = app.make_app(outdir=str(tmp_path), context={"@aws-cdk/core:stackRelativeExports": False})
    assert started.node.try_get_context("@aws-cdk/aws-iam:minimizePolicies") is True
    assert started.node.try_get_context("@aws-cdk/core:stackRelativeExports") is False


def test_a_bare_name_is_a_file_of_ours_and_a_path_is_itself() -> None:
    """``-c config=prod`` is config/prod.toml."""
    assert app.config_path("prod") == app.ROOT / "config" / "prod.toml"
    assert app.config_path("/etc/nightshift.toml") == Path("/etc/nightshift.toml")


def test_a_layer_that_is_not_built_is_said_so(tmp_path: Path) -> None:
    """Without it the functions would fail at their first event, in AWS."""
    with pytest.raises(ConfigError, match="make layer"):
        _options(tmp_path, {"layer": str(tmp_path / "nowhere")})


def test_settings_come_from_the_context(tmp_path: Path, layer: Path) -> None:
    """What an account may need otherwise is said on the command line."""
    boundary = "arn:aws:iam::111122223333:policy/b"
    context = {"layer": str(layer), "concurrency": "2", "reserve": "false", "permissions_boundary": boundary}
    options = _options(tmp_path, {**context, "runtime": "python3.12", "architecture": "x86_64"})
    assert (options.concurrency, options.reserve, options.boundary) == (2, False, boundary)
    assert (options.runtime.name, options.architecture.name) == ("python3.12", "x86_64")


@pytest.mark.parametrize("context", [{"architecture": "x86_64"}, {"runtime": "python3.12"}])
def test_our_layer_is_for_one_runtime_and_architecture(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch, context: dict[str, str]
) -> None:
    """It holds compiled code: with another one every function would be deployed, and fail at its first import."""
    monkeypatch.setattr(app, "layer_directory", lambda: layer)
    assert _options(tmp_path, {}).architecture.name == "arm64"
    with pytest.raises(ConfigError, match="layer=DIR"):
        _options(tmp_path, context)
    assert (f"python{build_layer.PYTHON}", build_layer.PLATFORM.partition("-")[0]) == (app.OURS[0], "aarch64")


@pytest.mark.parametrize(
    "context", [{"concurrency": "1"}, {"concurrency": "many"}, {"architecture": "mips"}, {"reserve": "maybe"}]
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, layer: Path, context: dict[str, str]) -> None:
    """Lambda takes no queue with less than two at once, and knows two architectures."""
    with pytest.raises(ConfigError):
        _options(tmp_path, {"layer": str(layer), **context})


def test_a_wrong_configuration_is_an_explanation_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever deploys reads which line is wrong and what to do, and the CDK stops."""
    file = tmp_path / "wrong.toml"
    file.write_text(TOML.replace('mode = "auto"', 'mode = "automatic"'), encoding="utf-8")
    monkeypatch.setenv("NIGHTSHIFT_DEPLOYMENT", str(file))
    assert app.main() == 1
    said = capsys.readouterr().err
    assert f"{file}:" in said
    assert "automatic" in said
    assert "Traceback" not in said


def test_the_app_synthesizes_without_an_account(tmp_path: Path, layer: Path) -> None:
    """No credentials, no network, no Docker: a file and the layer are enough."""
    file = tmp_path / "right.toml"
    file.write_text(TOML, encoding="utf-8")
    ran = _run({"config": str(file), "layer": str(layer)}, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "out" / "nightshift-prod.template.json").is_file()


def _run(context: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Start the app as the CDK's command line does."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment |= {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path / "out")}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=app.ROOT, env=environment, capture_output=True, text=True, check=False
    )
