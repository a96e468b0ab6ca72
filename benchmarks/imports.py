"""
How long each function takes to start, against bare boto3 with the same clients.

::

    python -m benchmarks.imports --runs 9

Every figure is the median over fresh processes; the contestants take turns, so that a busy machine is so for both. The
ratio is what carries over to another machine, milliseconds do not. ``--uncompiled`` runs without any ``.pyc``, as a
layer that ships none starts in Lambda.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FUNCTIONS = Path(__file__).resolve().parent.parent / "functions"
CLIENTS: Mapping[str, tuple[str, ...]] = {
    "alarm": ("sqs",),
    "sweep": ("cloudwatch", "dynamodb", "ecs", "sqs"),
    "tick": ("cloudwatch", "dynamodb", "ecs", "sns", "sqs", "sts"),
}
"""the clients that a function's first invocation makes; any other is taken to make those of the table and the queue"""
OTHERS = ("dynamodb", "sqs")

_BARE = """
import boto3
session = boto3.Session(region_name="eu-central-1")
for service in {clients!r}:
    session.client(service)
"""
_HANDLER = """
import {name}
from nightshift.aws import Aws
aws = Aws("eu-central-1")
for service in {clients!r}:
    aws.client(service)
"""
_TIMED = "import time; began = time.perf_counter()\n{code}\nprint('seconds', time.perf_counter() - began)"
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "nightshift",
    "POWERTOOLS_METRICS_NAMESPACE": "Nightshift",
}


def start(code: str, *, compiled: bool) -> float:
    """Run the code in a fresh process beside the functions, and say how many seconds it took. Raises RuntimeError."""
    environment = {"PATH": os.environ.get("PATH", ""), **_ENVIRONMENT}
    with tempfile.TemporaryDirectory() as nowhere:
        if not compiled:
            environment |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": nowhere}
        done = subprocess.run(  # noqa: S603 - this Python, and code from this file
            [sys.executable, "-c", _TIMED.format(code=code)],
            cwd=FUNCTIONS,  # where Lambda looks for the handler: Python puts it first on its path
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode or not last.startswith("seconds "):
        raise RuntimeError((done.stderr.strip().splitlines() or ["it printed no time"])[-1])
    return float(last.removeprefix("seconds "))


def compare(name: str, *, runs: int, compiled: bool) -> tuple[float, float]:
    """The median seconds of bare boto3 and of the function. Raises RuntimeError where it cannot be imported."""
    clients = CLIENTS.get(name, OTHERS)
    contestants = (_BARE.format(clients=clients), _HANDLER.format(name=name, clients=clients))
    for code in contestants:
        start(code, compiled=compiled)  # fills the disk's cache, and the .pyc files if there are to be any
    bare, ours = zip(*(tuple(start(code, compiled=compiled) for code in contestants) for _ in range(runs)), strict=True)
    return statistics.median(bare), statistics.median(ours)


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a function cannot be imported."""
    parser = argparse.ArgumentParser(prog="benchmarks.imports", description="How long each function takes to start.")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="fresh processes each (default: 9)")
    parser.add_argument("--uncompiled", action="store_true", help="without any .pyc file")
    options = parser.parse_args(words)

    names = sorted(path.stem for path in FUNCTIONS.glob("*.py") if path.stem.isidentifier() and path.stem[0] != "_")
    if not names:
        print(f"no functions in {FUNCTIONS}")
    else:
        print("| function | clients | bare boto3, ms | function, ms | ratio |\n|---|---:|---:|---:|---:|")
    failed = 0
    for name in names:
        clients = len(CLIENTS.get(name, OTHERS))
        try:
            bare, ours = compare(name, runs=options.runs, compiled=not options.uncompiled)
        except RuntimeError as error:
            failed += 1
            print(f"| {name} | {clients} | | cannot be imported: {error} | |")
        else:
            print(f"| {name} | {clients} | {bare * 1e3:.0f} | {ours * 1e3:.0f} | {ours / bare:.2f} |")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
