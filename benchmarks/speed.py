"""
How fast the sandbox's clock runs: virtual minutes in a second of ours.

::

    python -m benchmarks.speed --minutes 60

A whole system (queue, dead-letter queue, consumers, metrics) under an ordinary load, and the same with a failure that
fills the dead-letter queue, without Nightshift: the price of the world. Then with it, its real handlers sweeping every
minute: nothing fails; and each night of the demo from its first minute to its last.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sandbox import World
from sandbox.deployment import Deployment
from sandbox.scenes import SCENES, configuration, play
from sandbox.systems.document_management import DocumentManagement

START = datetime(2026, 11, 20, 3, tzinfo=UTC)
PER_MINUTE = 20
"""documents offered"""


def quiet(system: DocumentManagement) -> None:
    """Nothing fails."""
    del system


def failing(system: DocumentManagement) -> None:
    """What every document needs is down."""
    system.scanner_down()


def measure(minutes: int, happens: Callable[[DocumentManagement], None]) -> tuple[float, int, int]:
    """Let that many virtual minutes pass: how many in a real second, messages finished, and letters dead at the end."""
    with World(START) as world:
        system = DocumentManagement(world)
        system.offer(PER_MINUTE)
        happens(system)
        began = time.perf_counter()
        world.run(timedelta(minutes=minutes))
        return minutes / (time.perf_counter() - began), len(world.processed), system.dead


def watched(minutes: int) -> tuple[float, int, int]:
    """As :func:`measure`, nothing fails, and Nightshift looks every minute."""
    with World(START) as world:
        system = DocumentManagement(world)
        system.offer(PER_MINUTE)
        with Deployment(world, configuration(system)) as nightshift:
            nightshift.resume()
            began = time.perf_counter()
            world.run(timedelta(minutes=minutes))
            return minutes / (time.perf_counter() - began), len(world.processed), system.dead


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.speed", description="Virtual minutes per real second.")
    parser.add_argument("--minutes", type=int, default=60, metavar="N", help="virtual minutes to run (default: 60)")
    options = parser.parse_args(words)
    print("| the world | virtual minutes | finished | dead | virtual minutes per second |\n|---|---:|---:|---:|---:|")
    for happens in (quiet, failing):
        speed, finished, dead = measure(options.minutes, happens)
        print(f"| {happens.__name__} | {options.minutes} | {finished:,} | {dead:,} | {speed:,.0f} |")
    with quietly():
        speed, finished, dead = watched(options.minutes)
    print(f"| quiet, watched | {options.minutes} | {finished:,} | {dead:,} | {speed:,.0f} |")
    for scene in SCENES:
        began = time.perf_counter()
        with quietly():
            night = play(scene)
        seconds, lasted = time.perf_counter() - began, night.virtual / timedelta(minutes=1)
        print(f"| night: {scene.key} | {lasted:.0f} | {night.processed:,} | {night.dead:,} | {lasted / seconds:,.0f} |")
    return 0


@contextmanager
def quietly() -> Iterator[None]:
    """The functions' own lines (logs, metrics) go nowhere."""
    handlers = [each for each in logging.getLogger("nightshift").handlers if isinstance(each, logging.StreamHandler)]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        before = [handler.setStream(nowhere) for handler in handlers]
        yield
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream or sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
