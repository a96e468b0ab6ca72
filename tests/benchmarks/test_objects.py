"""However much a bucket or a queue holds, one tick takes the same of it, and the next one goes on."""

from __future__ import annotations

import pytest

from benchmarks.objects import BOUND, FLAT, KINDS, main, measure


@pytest.mark.parametrize(
    "what, calls",
    [
        ("triggers", {"ListObjectsV2": 11}),
        ("raw files", {"ListObjectsV2": 32}),
        ("dead letters", {"ReceiveMessage": 10, "SendMessage": 100, "DeleteMessage": 100}),
        ("archive to back up", {"ListObjectsV2": 1, "CopyObject": 300, "PutObject": 1}),
    ],
)
def test_what_a_tick_takes_does_not_grow_with_what_there_is(what: str, calls: dict[str, int]) -> None:
    """Beyond what one look lists neither calls nor memory grow."""
    some, many = measure(what, 2 * BOUND + 1_000), measure(what, 10 * BOUND)
    assert some.calls == many.calls == calls
    assert many.peak <= FLAT * some.peak


@pytest.mark.parametrize("what", ["triggers", "raw files", "archive to back up"])
def test_the_next_look_goes_on_where_this_one_stopped(what: str) -> None:
    """It begins with the oldest of what is left."""
    assert "0000000" in KINDS[what](1_000, 0).worked
    assert "0000500" in KINDS[what](1_000, 500).worked


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends well and prints a row for each kind and size."""
    assert main(["--keys", "100", "200"]) == 0
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [what for what in KINDS for _ in range(2)]
