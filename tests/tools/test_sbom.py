"""The bill of materials says what lies in the layer: all of it, nothing else, the same every time."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tools import sbom
from tools.audit import pins
from tools.build_layer import LOCK
from tools.sbom import SbomError, complete, differences, files_of, installed, locked

CRATES = {
    "bomFormat": "CycloneDX",
    "serialNumber": "urn:uuid:aaae60ae-e3d5-483f-ac7a-ed17d672d234",
    "components": [
        {
            "type": "library",
            "bom-ref": "path+file:///home/builder",
            "name": "b",
            "version": "1",
            "purl": "pkg:cargo/b@1",
        },
        {"type": "library", "name": "a", "version": "2", "licenses": [{"expression": "MIT"}]},
    ],
}
PINS = {"six": "1.17.0", "fast-json": "2.0"}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer of two packages: one module that says its top level, one package with a compiled part."""
    contents = {
        "six.py": "SIX = 6\n",
        "six-1.17.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: six\nVersion: 1.17.0\n",
        "six-1.17.0.dist-info/top_level.txt": "six\n",
        "fast_json/__init__.py": "",
        "fast_json/core.so": "\x7fELF",
        "fast_json-2.0.dist-info/METADATA": "Metadata-Version: 2.4\nName: Fast.JSON\nVersion: 2.0\n",
        "fast_json-2.0.dist-info/sboms/fast.cyclonedx.json": json.dumps(CRATES),
    }
    for name, content in contents.items():
        path = tmp_path / "python" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path / "python"


def described(layer: Path) -> dict[str, Any]:
    """What cyclonedx-py makes of a layer, as far as it matters here."""
    return {
        "bomFormat": "CycloneDX",
        "metadata": {
            "component": {"type": "application", "name": "nightshift", "version": "0.1.0"},
            "tools": {"components": [{"type": "application", "name": "cyclonedx-py", "version": "7", "licenses": []}]},
        },
        "components": [
            {"type": "library", "name": each.name, "version": each.version} for each in installed(layer).values()
        ],
    }


@pytest.fixture
def bill(layer: Path) -> dict[str, Any]:
    """The whole bill of that layer."""
    return complete(described(layer), layer)


def test_the_bill_of_a_layer_is_true(bill: dict[str, Any], layer: Path) -> None:
    """Packages as installed and as locked, every file with its hash: nothing is missing and nothing is too much."""
    assert differences(bill, layer, PINS) == []
    files = {part["name"] for each in bill["components"] for part in each["components"] if part["type"] == "file"}
    assert files == {each.relative_to(layer).as_posix() for each in layer.rglob("*") if each.is_file()}


def test_compiled_parts_are_told_and_the_machine_that_built_them_is_not(bill: dict[str, Any]) -> None:
    """What a wheel says of the libraries compiled into it stands under the wheel, without its builder's paths."""
    (fast,) = (each for each in bill["components"] if each["name"] == "Fast.JSON")
    parts = [part for part in fast["components"] if part["type"] == "library"]
    assert [(part["name"], part["version"]) for part in parts] == [("a", "2"), ("b", "1")]
    assert "file://" not in json.dumps(bill)
    assert "urn:uuid" not in json.dumps(bill)


def test_the_same_layer_gives_the_same_bill(bill: dict[str, Any], layer: Path, tmp_path: Path) -> None:
    """Made again, and made of a copy elsewhere, it is the same text: no path of this machine is in it."""
    other = tmp_path / "copy"
    layer.rename(other)
    assert json.dumps(complete(described(other), other)) == json.dumps(bill)
    assert str(tmp_path) not in json.dumps(bill)


@pytest.mark.parametrize("name", ["left-behind.txt", "six.so", "fast_json/more.py", "stray-1.0.dist-info/METADATA"])
def test_what_was_not_billed_is_found(bill: dict[str, Any], layer: Path, name: str) -> None:
    """A file that was put into the layer afterwards is named."""
    (layer / name).parent.mkdir(exist_ok=True)
    (layer / name).write_text("Name: stray\nVersion: 1.0\n", encoding="utf-8")
    assert f"{name} is in the layer and not in the bill" in differences(bill, layer, PINS)


def test_a_changed_file_and_a_lost_one_are_found(bill: dict[str, Any], layer: Path) -> None:
    """One byte is enough."""
    (layer / "six.py").write_text("SIX = 7\n", encoding="utf-8")
    (layer / "fast_json" / "core.so").unlink()
    assert differences(bill, layer, PINS) == [
        "fast_json/core.so is in the bill and not in the layer",
        "six.py is another file than the bill says",
    ]


@pytest.mark.parametrize(
    "lock, said",
    [
        ({"six": "1.17.0"}, "fast-json: the lock says nothing, the layer 2.0"),
        ({**PINS, "six": "1.16.0"}, "six: the lock says 1.16.0, the layer 1.17.0"),
        ({**PINS, "urllib3": "2.8.0"}, "urllib3: the lock says 2.8.0, the layer nothing"),
    ],
    ids=["not-locked", "other-version", "not-installed"],
)
def test_a_layer_that_is_not_the_locked_one_is_found(
    bill: dict[str, Any], layer: Path, lock: dict[str, str], said: str
) -> None:
    """The layer holds exactly what the lock says."""
    assert differences(bill, layer, lock) == [said]


def test_a_bill_with_another_package_or_for_somebody_else_is_found(bill: dict[str, Any], layer: Path) -> None:
    """A package that is not there, one that was left out, and a root that is not Nightshift."""
    wrong = copy.deepcopy(bill)
    wrong["components"][0]["version"] = "0"
    wrong["components"].append({"type": "library", "name": "ghost", "version": "1"})
    wrong["metadata"]["component"]["name"] = "other"
    said = differences(wrong, layer, PINS)
    assert "ghost: the bill says 1, the layer nothing" in said
    assert any(line.startswith(("six: the bill says 0", "fast-json: the bill says 0")) for line in said)
    assert "the bill does not say that it is Nightshift's" in said


@pytest.mark.parametrize("name", ["stray.py", "stray/data.json"])
def test_what_belongs_to_no_package_cannot_be_billed(layer: Path, name: str) -> None:
    """A file under nobody's name makes no bill at all."""
    (layer / name).parent.mkdir(exist_ok=True)
    (layer / name).write_text("", encoding="utf-8")
    with pytest.raises(SbomError, match="belongs to no distribution"):
        files_of(layer)


def test_what_belongs_to_two_packages_cannot_be_billed(layer: Path) -> None:
    """Two packages that claim one name hide each other's files."""
    (layer / "fast_json-2.0.dist-info" / "top_level.txt").write_text("fast_json\nsix\n", encoding="utf-8")
    with pytest.raises(SbomError, match=r"six\.py belongs to"):
        files_of(layer)


def test_a_bill_that_is_not_true_is_not_written(layer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever differs is said, line by line, instead."""
    monkeypatch.setattr(sbom, "described", described)
    monkeypatch.setattr(sbom, "check_schema", lambda text: None)
    assert json.loads(sbom.sbom(layer, PINS))["components"]
    with pytest.raises(SbomError, match=r"six: the lock says 2, the layer 1\.17\.0"):
        sbom.sbom(layer, {**PINS, "six": "2"})


def test_the_layers_lock_is_read_whole() -> None:
    """Every pin of requirements/layer.txt is compared; none has a marker, for the layer is for one platform."""
    text = LOCK.read_text(encoding="utf-8")
    assert locked(text) == dict(pins(text))
