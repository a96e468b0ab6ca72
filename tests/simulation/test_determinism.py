"""One seed is one run: on every machine, in every process, however often, on both clouds."""

import os
import subprocess
import sys
from pathlib import Path

from sandbox.simulation.clouds import digest, trace
from sandbox.simulation.run import play
from sandbox.simulation.story import draw

ROOT = Path(__file__).parents[2]
SEEDS = tuple(range(10))
DEAR = (0, 9)
"""those that are played on the full cloud, too"""


def digests(seeds: tuple[int, ...] = SEEDS, dear: tuple[int, ...] = DEAR) -> list[str]:
    """The digests of some runs: of all on the thin cloud, and of a few on the full one."""
    found = []
    for thin, some in ((True, seeds), (False, dear)):
        for seed in some:
            with play(draw(seed, small=True), thin=thin) as played:
                found.append(digest(trace(played)))
    return found


def _elsewhere(hash_seed: str) -> list[str]:
    """The same digests, found by a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    return done.stdout.split()


def test_the_same_seed_twice_is_the_same_run() -> None:
    """A run leaves nothing behind that the next one feels, and the clouds give the same."""
    thin, full = digests(DEAR[:1], DEAR[:1])
    assert digests(DEAR[:1], DEAR[:1]) == [thin, full]
    assert thin == full


def test_the_order_of_hashes_changes_nothing() -> None:
    """Processes whose strings are hashed differently, and whose sets so have another order, play the same runs."""
    one, two = _elsewhere("1"), _elsewhere("2")
    assert one == two
    assert one[: len(SEEDS)] == digests(SEEDS, ())


if __name__ == "__main__":
    sys.stdout.write("\n".join(digests()) + "\n")
