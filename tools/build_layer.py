"""
Build the third-party half of the Lambda layer from its lock, for Lambda's platform, without Docker.

The same lock gives the same bytes wherever it is built: wheels only, each checked against its hash, and nothing left
that an installer writes about itself. A build is kept under the hash of what went into it, so a second call costs
nothing, and it appears whole or not at all. Modification times stay as they are: the CDK trusts them to tell it what
changed.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "layer.txt"
CACHE = ROOT / "build" / "layer"
UV = ROOT / ".venv-uv" / "bin" / "uv"
PYTHON = "3.13"
PLATFORM = "aarch64-manylinux_2_28"  # Lambda's arm64 runs Amazon Linux 2023: glibc 2.34
OF_THE_INSTALLER = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_build.json", "uv_cache.json")


def layer_directory() -> Path:
    """Return where the layer of this lock is built: an asset whose top is ``python/``, as Lambda wants it."""
    recipe = LOCK.read_bytes() + Path(__file__).read_bytes()
    return CACHE / hashlib.sha256(recipe).hexdigest()[:16]


def build_layer() -> Path:
    """Return the built layer, building it first if this lock has not been built here."""
    built = layer_directory()
    if built.is_dir():
        return built
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".building-") as scratch:
        layer = Path(scratch) / "layer"
        packages = layer / "python"
        install(packages)
        strip(packages)
        try:
            layer.replace(built)
        except OSError:
            if not built.is_dir():  # else another build of the same lock was quicker: its bytes are these
                raise
    return built


def install(packages: Path) -> None:
    """Unpack the wheels of the lock, and nothing else, into a directory."""
    subprocess.run(
        [
            *(UV, "pip", "install", "--quiet", "--target", packages, "--link-mode", "copy"),
            *("--python-platform", PLATFORM, "--python-version", PYTHON),
            *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirements", LOCK),
        ],
        cwd=ROOT,
        env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
        check=True,
    )


def strip(packages: Path) -> None:
    """Remove what an installer writes about itself, what Lambda cannot run, and what differs between two builds."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    (packages / ".lock").unlink(missing_ok=True)
    for compiled in packages.rglob("__pycache__"):
        shutil.rmtree(compiled)
    for name in OF_THE_INSTALLER:
        for leftover in packages.glob(f"*.dist-info/{name}"):
            leftover.unlink()


def main() -> None:
    """Build, and say where."""
    print(build_layer().relative_to(ROOT))


if __name__ == "__main__":
    main()
