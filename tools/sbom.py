"""
Write the layer's bill of materials: CycloneDX, in build/sbom.json.

What ships is not what was asked for but what lies in the built layer, so that is what is described: cyclonedx-py reads
the distributions there (names, versions, licences, who needs whom), and to each of them are added the SHA-256 of every
file of it and what it says of its own compiled parts (PEP 770: the crates in pydantic-core). Then the bill is compared
with the layer and with the lock, both ways, and checked against CycloneDX's own schema. It is written only if all of
that holds.

The same layer gives the same bytes: no time, no random number, no path of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, TypeAlias

from tools.build_layer import LOCK, PLATFORM, PYTHON, build_layer

ROOT = Path(__file__).resolve().parent.parent
SBOM = ROOT / "build" / "sbom.json"
AUDIT = ROOT / ".venv-audit" / "bin"
SPEC = "1.6"
_KEPT = ("type", "name", "version", "description", "hashes", "licenses", "purl")
"""what is kept of a compiled part: the rest are paths and references of the machine that built it"""
_CHECK = f"""
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V{SPEC.replace(".", "_")}).validate_str(sys.stdin.read())
sys.exit(str(error)[:2000] if error else 0)
"""

Bom: TypeAlias = dict[str, Any]


class SbomError(Exception):
    """The bill cannot be made, or is not what lies in the layer."""


def normal(name: str) -> str:
    """Return a distribution's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# -- what lies in the layer ------------------------------------------------------------------------------------------


def installed(packages: Path) -> dict[str, Distribution]:
    """Return the distributions of a directory, by name."""
    return {normal(each.name): each for each in distributions(path=[str(packages)])}


def locked(lock: str) -> dict[str, str]:
    """Return the version of every package of a lock, by name. The layer's lock is for one platform: no markers."""
    pins = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+) \\$", lock, flags=re.MULTILINE)
    return {normal(name): version for name, version in pins}


def files_of(packages: Path) -> dict[str, list[Path]]:
    """
    Return every file of a directory, by the distribution that it belongs to.

    The layer keeps no RECORD, so a distribution owns its ``.dist-info`` and what it calls its top level. Raises
    SbomError for what belongs to nobody, or to two.
    """
    owners: dict[str, str] = {}
    for name, distribution in installed(packages).items():
        tops = (distribution.read_text("top_level.txt") or name.replace("-", "_")).split()
        info = f"{distribution.name}-{distribution.version}.dist-info"
        here = [each.name for each in packages.iterdir() if each.name.removesuffix(".py") in tops or each.name == info]
        here += [each.name for each in packages.glob("*.dist-info") if _is_of(each, name)]
        for top in dict.fromkeys(here):
            if owners.setdefault(top, name) != name:
                raise SbomError(f"{top} belongs to {owners[top]} and to {name}")
    found: dict[str, list[Path]] = {}
    for path in sorted(each for each in packages.rglob("*") if each.is_file()):
        top = path.relative_to(packages).parts[0]
        if top not in owners:
            raise SbomError(f"{top} belongs to no distribution of the layer")
        found.setdefault(owners[top], []).append(path)
    return found


def _is_of(info: Path, name: str) -> bool:
    return normal(info.name.removesuffix(".dist-info").rpartition("-")[0]) == name


# -- the bill --------------------------------------------------------------------------------------------------------


def described(packages: Path) -> Bom:
    """Have cyclonedx-py describe the distributions of a directory, under Nightshift as what they are for."""
    with tempfile.TemporaryDirectory(prefix="nightshift-sbom-") as scratch:
        python = Path(scratch) / "python"  # it asks a Python where it looks: one that looks into the layer only
        python.write_text(
            f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(packages))} exec {shlex.quote(str(AUDIT / "python"))} "$@"\n',
            encoding="utf-8",
        )
        python.chmod(0o700)
        made = subprocess.run(
            [
                *(AUDIT / "cyclonedx-py", "environment", "-S", python, "--pyproject", ROOT / "pyproject.toml"),
                *("--output-reproducible", "--short-PURLs", "--no-validate", "--spec-version", SPEC),
            ],
            env={name: os.environ[name] for name in os.environ.keys() - {"PYTHONPATH", "SOURCE_DATE_EPOCH"}},
            capture_output=True,
            text=True,
            check=False,
        )
    if made.returncode:
        raise SbomError(f"cyclonedx-py failed: {made.stderr.strip()[-500:]}")
    bom: Bom = json.loads(made.stdout)
    return bom


def complete(bom: Bom, packages: Path) -> Bom:
    """Add to each package its files and its compiled parts, and to the whole what it was built for."""
    files = files_of(packages)
    components = [
        {**each, "components": [*_parts(files.get(normal(each["name"]), [])), *_files(files, each["name"], packages)]}
        for each in bom["components"]
    ]
    metadata = dict(bom["metadata"])
    properties = [*metadata.get("properties", ()), *({"name": f"nightshift:{k}", "value": v} for k, v in _built_for())]
    tools = [_only(each, "type", "name", "version") for each in metadata.get("tools", {}).get("components", ())]
    metadata |= {"properties": properties, "tools": {"components": tools}}
    return {**bom, "metadata": metadata, "components": components}


def _built_for() -> Iterator[tuple[str, str]]:
    yield "lock", LOCK.relative_to(ROOT).as_posix()
    yield "platform", PLATFORM
    yield "python", PYTHON


def _files(files: Mapping[str, list[Path]], name: str, packages: Path) -> Iterator[Bom]:
    for path in files.get(normal(name), ()):
        yield {
            "type": "file",
            "name": path.relative_to(packages).as_posix(),
            "hashes": [{"alg": "SHA-256", "content": _digest(path)}],
        }


def _parts(files: list[Path]) -> Iterator[Bom]:
    """What a distribution says of the compiled parts in it (PEP 770: ``.dist-info/sboms``)."""
    for path in files:
        if path.parent.name == "sboms" and path.name.endswith(".cyclonedx.json"):
            own = json.loads(path.read_text(encoding="utf-8"))
            parts = [_only(each, *_KEPT) for each in own.get("components", ())]
            yield from sorted(parts, key=lambda part: (part["name"], part.get("version", "")))


def _only(component: Bom, *names: str) -> Bom:
    return {name: component[name] for name in names if name in component}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- whether it is true ----------------------------------------------------------------------------------------------


def differences(bom: Bom, packages: Path, lock: Mapping[str, str]) -> list[str]:
    """Say where the bill, the layer and the lock differ, each compared with each; empty where they do not."""
    there = {name: each.version for name, each in installed(packages).items()}
    said = {normal(each["name"]): each.get("version", "") for each in bom["components"]}
    found = [*_versions("the bill", said, "the layer", there), *_versions("the lock", dict(lock), "the layer", there)]
    real = {
        path.relative_to(packages).as_posix(): _digest(path) for path in sorted(packages.rglob("*")) if path.is_file()
    }
    listed = {
        part["name"]: part["hashes"][0]["content"]
        for each in bom["components"]
        for part in each.get("components", ())
        if part["type"] == "file"
    }
    found += [f"{name} is in the layer and not in the bill" for name in sorted(real.keys() - listed.keys())]
    found += [f"{name} is in the bill and not in the layer" for name in sorted(listed.keys() - real.keys())]
    changed = (name for name in sorted(real.keys() & listed.keys()) if listed[name] != real[name])
    found += [f"{name} is another file than the bill says" for name in changed]
    root = bom["metadata"].get("component", {})
    if root.get("name") != "nightshift" or not root.get("version"):
        found.append("the bill does not say that it is Nightshift's")
    return found


def _versions(one: str, ours: Mapping[str, str], other: str, theirs: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield f"{name}: {one} says {ours.get(name, 'nothing')}, {other} {theirs.get(name, 'nothing')}"


def check_schema(text: str) -> None:
    """Check a bill against CycloneDX's schema. Raises SbomError."""
    checked = subprocess.run(
        [AUDIT / "python", "-I", "-c", _CHECK], input=text, capture_output=True, text=True, check=False
    )
    if checked.returncode:
        raise SbomError(f"not CycloneDX {SPEC}: {checked.stderr.strip()[-2000:]}")


def sbom(packages: Path, lock: Mapping[str, str]) -> str:
    """Return the bill of a layer's packages. Raises SbomError where it would not be true."""
    bom = complete(described(packages), packages)
    wrong = differences(bom, packages, lock)
    if wrong:
        raise SbomError("\n".join(wrong))
    text = json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    check_schema(text)
    return text


def main() -> int:
    """Build the layer where it is not built yet, write its bill, and say where."""
    try:
        text = sbom(build_layer() / "python", locked(LOCK.read_text(encoding="utf-8")))
    except SbomError as error:
        print(error, file=sys.stderr)
        return 1
    SBOM.parent.mkdir(exist_ok=True)
    SBOM.write_text(text, encoding="utf-8")
    components = json.loads(text)["components"]
    kinds = [part["type"] for each in components for part in each["components"]]
    files = kinds.count("file")
    print(f"{SBOM.relative_to(ROOT)}: {len(components)} packages, {len(kinds) - files} compiled parts, {files} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
