"""A sweep's reading costs what AWS's limits demand, and no more."""

from __future__ import annotations

import pytest

from benchmarks.sweep import ALLOWED, main, measure


@pytest.mark.parametrize("queues, listed, measured", [(100, 1, 1), (1_000, 1, 2), (2_500, 3, 5)])
def test_as_few_calls_as_the_limits_allow(queues: int, listed: int, measured: int) -> None:
    """A page for a thousand queues, a call for five hundred metrics, everything read."""
    cost = measure(queues)
    assert cost.calls == {"ListQueues": listed, "GetMetricData": measured}
    assert cost.ratio <= ALLOWED
    assert cost.unread == 0


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The command ends well and prints a row for each size."""
    assert main(["--queues", "10", "20", "--latency", "0"]) == 0
    first_cells = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines()]
    assert first_cells == ["queues", "---:", "10", "20"]
