"""
The account's own metric store: what physics measures every virtual minute, and what PutMetricData puts.

One series holds runs of equal minutes, so that ten thousand quiet queues cost nothing per minute: a value
that holds until further notice is one run with an open end. A minute becomes visible one minute after it is
over, as in CloudWatch.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

MINUTE_MS = 60_000
OPEN = 1 << 40
DELAY_MINUTES = 1

Dimensions = tuple[tuple[str, str], ...]
Key = tuple[str, str, Dimensions]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one minute of one metric holds: the statistics, and values to take percentiles from."""

    count: float
    total: float
    least: float
    most: float
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sample":
        """A sample of single values."""
        ordered = tuple(sorted(values))
        return cls(len(ordered), math.fsum(ordered), ordered[0], ordered[-1], ordered)

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            self.count + other.count,
            self.total + other.total,
            min(self.least, other.least),
            max(self.most, other.most),
            tuple(sorted(self.values + other.values)),
        )

    def times(self, minutes: int) -> "Sample":
        """The same sample in each of several minutes."""
        if minutes == 1:
            return self
        values = tuple(value for value in self.values for _ in range(minutes))
        return Sample(self.count * minutes, self.total * minutes, self.least, self.most, values)


Value = float | Sample


class Bucket:
    """What one period holds, while it is being filled."""

    __slots__ = ("count", "least", "most", "total", "values")

    def __init__(self) -> None:
        self.count = 0.0
        self.total = 0.0
        self.least = math.inf
        self.most = -math.inf
        self.values: list[tuple[float, float]] = []

    def add(self, value: Value, minutes: int) -> None:
        """Add a value that held for some minutes."""
        if isinstance(value, Sample):
            self.count += value.count * minutes
            self.total += value.total * minutes
            self.least = min(self.least, value.least)
            self.most = max(self.most, value.most)
            self.values += ((each, minutes) for each in value.values or (value.total / (value.count or 1),))
        else:
            self.count += minutes
            self.total += value * minutes
            self.least = min(self.least, value)
            self.most = max(self.most, value)
            self.values.append((value, minutes))

    def statistic(self, name: str) -> float:
        """Average, Sum, Minimum, Maximum, SampleCount or a percentile such as p95 or p99.9."""
        match name:
            case "Average":
                return self.total / self.count if self.count else 0.0
            case "Sum":
                return self.total
            case "Minimum":
                return self.least
            case "Maximum":
                return self.most
            case "SampleCount":
                return self.count
        return self._percentile(float(name[1:]))

    def _percentile(self, percent: float) -> float:
        ordered = sorted(self.values)
        rank, passed = percent / 100 * sum(weight for _, weight in ordered), 0.0
        for value, weight in ordered:
            passed += weight
            if passed >= rank:
                return value
        return ordered[-1][0]


def known_statistic(name: str) -> bool:
    """Whether a statistic is one that we can answer."""
    if name in ("Average", "Sum", "Minimum", "Maximum", "SampleCount"):
        return True
    try:
        return name.startswith("p") and 0 <= float(name[1:]) <= 100
    except ValueError:
        return False


@dataclass(slots=True)
class Series:
    """One metric over time, as runs of equal minutes in order."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)

    def put(self, minute: int, value: Value, until: int | None = None) -> None:
        """Say what one minute holds, or what every minute from it until another holds."""
        end = minute + 1 if until is None else until
        if self.ends and self.ends[-1] > minute:
            self.ends[-1] = minute
            if self.starts[-1] >= minute:
                self._drop()
        if self.ends and self.ends[-1] == minute and self.values[-1] == value:
            self.ends[-1] = end
            return
        self.starts.append(minute)
        self.ends.append(end)
        self.values.append(value)

    def merge(self, minute: int, sample: Sample) -> None:
        """Add a sample to a minute, whenever that was."""
        where = bisect_right(self.starts, minute) - 1
        if where >= 0 and self.ends[where] > minute:
            present = self.values[where]
            together = (present if isinstance(present, Sample) else Sample.of([present])) + sample
            if self.ends[where] - self.starts[where] > 1:
                self._split(where, minute)
                where = bisect_right(self.starts, minute) - 1
            self.values[where] = together
            return
        self.starts.insert(where + 1, minute)
        self.ends.insert(where + 1, minute + 1)
        self.values.insert(where + 1, sample)

    def buckets(self, start: int, end: int, period: int) -> dict[int, Bucket]:
        """What each period of some minutes holds, by its first minute, from one minute to before another."""
        found: dict[int, Bucket] = {}
        where = max(bisect_right(self.starts, start) - 1, 0)
        for index in range(where, len(self.starts)):
            minute = max(self.starts[index], start)
            if minute >= end:
                break
            last, value = min(self.ends[index], end), self.values[index]
            while minute < last:
                first = minute // period * period
                stop = min(last, first + period)
                bucket = found.get(first)
                if bucket is None:
                    bucket = found[first] = Bucket()
                bucket.add(value, stop - minute)
                minute = stop
        return found

    def plain(self, start: int, end: int) -> list[tuple[int, float]] | None:
        """Each minute with its one value; None where a minute holds a sample of several."""
        found: list[tuple[int, float]] = []
        for index in range(max(bisect_right(self.starts, start) - 1, 0), len(self.starts)):
            minute = max(self.starts[index], start)
            if minute >= end:
                break
            value = self.values[index]
            if isinstance(value, Sample):
                return None
            number = float(value)
            found += [(each, number) for each in range(minute, min(self.ends[index], end))]
        return found

    def _split(self, where: int, minute: int) -> None:
        start, end, value = self.starts[where], self.ends[where], self.values[where]
        pieces = [(s, e) for s, e in ((start, minute), (minute, minute + 1), (minute + 1, end)) if s < e]
        self.starts[where : where + 1] = [s for s, _ in pieces]
        self.ends[where : where + 1] = [e for _, e in pieces]
        self.values[where : where + 1] = [value] * len(pieces)

    def _drop(self) -> None:
        self.starts.pop()
        self.ends.pop()
        self.values.pop()


def dimensions(pairs: Mapping[str, str] | Iterable[Mapping[str, str]] | None) -> Dimensions:
    """Dimensions as a key: {"QueueName": "q"} or [{"Name": "QueueName", "Value": "q"}]."""
    if not pairs:
        return ()
    if isinstance(pairs, Mapping):
        return tuple(sorted((str(name), str(value)) for name, value in pairs.items()))
    return tuple(sorted((pair["Name"], pair["Value"]) for pair in pairs))


class Metrics:
    """All series of the account."""

    def __init__(self) -> None:
        self.series: dict[Key, Series] = {}

    def of(self, namespace: str, name: str, dims: Mapping[str, str] | Dimensions = ()) -> Series:
        """A series, made when it is first asked for."""
        key = (namespace, name, dims if isinstance(dims, tuple) else dimensions(dims))
        found = self.series.get(key)
        if found is None:
            found = self.series[key] = Series()
        return found

    def find(self, namespace: str, name: str, dims: Dimensions) -> Series | None:
        """A series, if it exists."""
        return self.series.get((namespace, name, dims))

    @staticmethod
    def horizon(now_ms: int) -> int:
        """The first minute that is not visible yet."""
        return now_ms // MINUTE_MS - DELAY_MINUTES
