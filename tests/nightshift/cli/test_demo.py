"""`nightshift demo`: what it shows, writes and answers."""

import io
import json
from pathlib import Path

import pytest
from nightshift.cli.demo import run
from nightshift.errors import NightshiftError
from rich.console import Console


def test_a_night_is_told_and_its_reports_are_written(tmp_path: Path) -> None:
    """The verdict and the accounts on the terminal, the mail and the functions' log in files, and 0 for as told."""
    out = io.StringIO()
    assert run(Console(file=out, width=100), only=["recovered"], reports=tmp_path) == 0
    assert "recovered" in out.getvalue()
    assert str(tmp_path) in out.getvalue().replace("\n", "")
    [mail] = tmp_path.glob("recovered-*.txt")
    assert mail.read_text(encoding="utf-8").startswith("Subject: RECOVERED: usage-events-dlq-prod")
    log = (tmp_path / "recovered.log.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line) for line in log)


def test_json_is_one_document(tmp_path: Path) -> None:
    """With ``json`` there is nothing on the terminal but one document."""
    out = io.StringIO()
    assert run(Console(file=out), json=True, only=["recovered"], reports=tmp_path) == 0
    [night] = json.loads(out.getvalue())
    assert (night["scene"], night["as_told"], night["lost"]) == ("recovered", True, 0)


def test_a_scene_that_there_is_not_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the scenes that there are."""
    with pytest.raises(NightshiftError, match="no scene 'nope'; there are: transient, poison"):
        run(Console(file=io.StringIO()), only=["nope"], reports=tmp_path)
