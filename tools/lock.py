"""
Write the locks: every package of every environment, with the hashes of its files.

One resolution for Python 3.11 and newer, on every platform, so that a laptop, CI and Lambda run the same versions.
What is already locked stays unless ``--upgrade`` (or ``--upgrade-package NAME``) is given.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = ROOT / ".venv-uv" / "bin" / "uv"
COMPILE = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"),
)
LOCKS = {
    # The three of [project] dependencies and their closure: what runs in Lambda. First, because the others follow it.
    "requirements/layer.txt": ("pyproject.toml",),
    "requirements/dev.txt": ("pyproject.toml", "--group", "dev", "--constraints", "requirements/layer.txt"),
    "requirements/demo.txt": ("pyproject.toml", "--group", "demo", "--constraints", "requirements/dev.txt"),
    "requirements/audit.txt": ("--group", "audit"),
    "requirements/ministack.txt": ("--group", "ministack"),
    "requirements/uv.txt": ("--group", "bootstrap"),
}
HEADER = """\
# Nightshift and what `nightshift demo` needs, for `pip install -r requirements.txt` in an environment of your own.
# Written by `make lock` from requirements/demo.txt, which has the hashes: pip accepts none beside an editable install.
"""


def without_hashes(lock: str) -> str:
    """Return the pins of a lock: no hashes, no comments."""
    pins = re.findall(r"^([A-Za-z0-9][^\\\n]*?)\s*\\?$", lock, flags=re.MULTILINE)
    return "".join(f"{pin}\n" for pin in pins)


def main() -> None:
    """Compile each lock, then the one file of plain pins."""
    for lock, sources in LOCKS.items():
        subprocess.run([UV, *COMPILE, *sys.argv[1:], *sources, "--output-file", lock], cwd=ROOT, check=True)
        print(lock)
    pins = without_hashes((ROOT / "requirements/demo.txt").read_text(encoding="utf-8"))
    (ROOT / "requirements.txt").write_text(f"{HEADER}{pins}-e .\n", encoding="utf-8")
    print("requirements.txt")


if __name__ == "__main__":
    main()
