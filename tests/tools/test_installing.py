"""Nothing is installed whose bytes are not known beforehand: by any step, for any environment, on any machine."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import build_layer, lock

ROOT = Path(__file__).parents[2]
MAKEFILE = re.sub(r"\\\n\s*", "", (ROOT / "Makefile").read_text(encoding="utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
OURS = [each for part in ("benchmarks", "infra", "sandbox", "tests", "tools") for each in (ROOT / part).rglob("*.py")]
NPM = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
EDITABLE = {"--no-deps", "--no-build-isolation", "--editable"}
"""the project itself, in place: nothing is fetched for it, not even what builds it"""


# -- every step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [each for each in MAKEFILE.splitlines() if re.search(r"\bpip (install|sync)\b", each)])
def test_every_environment_is_installed_by_hash(line: str) -> None:
    """Each step of the Makefile that installs packages takes only what its lock's hashes admit."""
    words = set(line.split())
    assert "--require-hashes" in re.split(r"[\s,)]+", line) or words >= EDITABLE


def _installs() -> Iterator[tuple[str, set[str]]]:
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        if '"pip"' not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "subprocess.run":
                words = {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}
                if "pip" in words and words & {"install", "sync"}:
                    yield path.relative_to(ROOT).as_posix(), {str(word) for word in words}


def test_whatever_our_own_programs_install_is_hashed_too() -> None:
    """The layer, the deploy test's too: by hash, only wheels (no build code runs), nothing that no lock names."""
    found = dict(_installs())
    assert "tools/build_layer.py" in found
    for words in found.values():
        assert {"--require-hashes", "--only-binary", ":all:", "--no-deps"} <= words


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_names_no_place(path: Path) -> None:
    """A lock holds exact versions with SHA-256 hashes, and no line that says where else to look."""
    text = re.sub(r" \\\n\s*", " ", path.read_text(encoding="utf-8"))
    pins = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    locked = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,-]+\])?==\S+( ; [^#]+?)?( --hash=sha256:[0-9a-f]{64})+")
    assert pins
    for pin in pins:
        assert locked.fullmatch(pin), pin


def test_the_locks_are_the_ones_that_are_written() -> None:
    """Each lock comes from `make lock`, and the file of plain pins says what the demo's lock says."""
    assert {f"requirements/{path.name}" for path in LOCKS} == set(lock.LOCKS)
    plain = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    demo = (ROOT / "requirements" / "demo.txt").read_text(encoding="utf-8")
    assert plain == f"{lock.HEADER}{lock.without_hashes(demo)}-e .\n"


def test_node_packages_are_hashed_and_run_nothing_when_installed() -> None:
    """`npm ci` takes what package-lock.json says, with the integrity of every package, and no package's scripts run."""
    packages = {name: each for name, each in NPM["packages"].items() if name}
    assert packages
    for name, each in packages.items():
        assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", each["integrity"]), name
        assert "resolved" not in each, f"{name} names a place to look"
    assert NPM["packages"][""]["devDependencies"] == {
        name.removeprefix("node_modules/"): each["version"] for name, each in packages.items()
    }
    runs = [line for line in MAKEFILE.splitlines() if "npm-cli.js" in line]
    assert len(runs) == 2, "one installs, one writes the lock"
    for line in runs:
        said = line.partition("npm-cli.js")[2].split()
        assert "--ignore-scripts" in said
        assert said[0] == "ci" or {"install", "--package-lock-only"} <= set(said)


def test_every_environment_goes_when_asked() -> None:
    """`make clean` removes every environment that the Makefile makes, and none of them is committed."""
    made = set(re.findall(r"^(\.venv[\w-]*)/\.done:", MAKEFILE, flags=re.MULTILINE))
    (cleaned,) = re.findall(r"rm -rf (build .*)", MAKEFILE)
    assert made <= set(cleaned.split())
    assert "/.venv*/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


# -- the layer -------------------------------------------------------------------------------------------------------


class Shelf:
    """A place with one small wheel on it, instead of a registry; and a lock that names it."""

    def __init__(self, tmp_path: Path) -> None:
        self.wheels = tmp_path / "wheels"
        self.lock = tmp_path / "layer.txt"
        self.wheels.mkdir()
        self.wheel = self.wheels / "tiny-1.0-py3-none-any.whl"
        info = "tiny-1.0.dist-info"
        with zipfile.ZipFile(self.wheel, "w") as archive:
            for name, content in {
                "tiny.py": "VALUE = 1\n",
                f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: stowaway\n",
                f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
                f"{info}/entry_points.txt": "[console_scripts]\ntiny = tiny:VALUE\n",
                f"{info}/RECORD": "",
            }.items():
                archive.writestr(name, content)
        self.locked(hashlib.sha256(self.wheel.read_bytes()).hexdigest())

    def locked(self, digest: str) -> None:
        """Say which hash the wheel must have."""
        by_hash = f" \\\n    --hash=sha256:{digest}" if digest else ""
        self.lock.write_text(f"tiny==1.0{by_hash}\n", encoding="utf-8")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The layer is built from a shelf: offline, into a cache of its own."""
    shelf = Shelf(tmp_path)
    for name, value in {"UV_OFFLINE": "1", "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(shelf.wheels)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(build_layer, "LOCK", shelf.lock)
    monkeypatch.setattr(build_layer, "CACHE", tmp_path / "layers")
    return shelf


def tree(directory: Path) -> dict[str, bytes | None]:
    """Everything in a directory, by name: bytes of files, None for directories."""
    return {
        each.relative_to(directory).as_posix(): each.read_bytes() if each.is_file() else None
        for each in directory.rglob("*")
    }


def test_the_same_lock_gives_the_same_bytes(shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two builds, each from nothing, differ in no name and no byte; what an installer leaves behind is in neither."""
    first = build_layer.build_layer()
    monkeypatch.setattr(build_layer, "CACHE", tmp_path / "elsewhere")
    second = build_layer.build_layer()
    assert first != second
    assert tree(first) == tree(second)
    assert {name for name, content in tree(first).items() if content is not None} == {
        "python/tiny.py",
        *(f"python/tiny-1.0.dist-info/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt")),
    }


@pytest.mark.parametrize("digest", ["0" * 64, ""], ids=["wrong", "none"])
@pytest.mark.parametrize("setting", ["", "UV_NO_VERIFY_HASHES"])
def test_a_wheel_that_is_not_the_locked_one_is_no_layer(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, digest: str, setting: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """One changed digit fails the build, nothing is left of it, and no setting of the caller's shell changes that."""
    if setting:
        monkeypatch.setenv(setting, "1")
    shelf.locked(digest)
    with pytest.raises(subprocess.CalledProcessError):
        build_layer.build_layer()
    assert "hash" in capfd.readouterr().err.lower()
    assert not list(build_layer.CACHE.iterdir())


def test_a_layer_is_kept_under_what_it_was_made_of(shelf: Shelf) -> None:
    """Another lock is another layer: none is ever taken for the build of another."""
    before = build_layer.layer_directory()
    shelf.locked("0" * 64)
    assert build_layer.layer_directory() != before
