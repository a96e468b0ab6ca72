"""
Gap filled: moto's GetMetricData takes 20 to 40 s for many series, fails on percentiles and ignores metric math.

GetMetricData, GetMetricStatistics, ListMetrics and PutMetricData work on the account's own store. Only
MetricStat queries are answered; an expression is refused loudly, because an answer of "no data" would be
believed.
"""

import re
from datetime import UTC, datetime
from typing import Any

from sandbox.clock import Agenda, to_ms
from sandbox.metrics import MINUTE_MS, Dimensions, Metrics, Sample, dimensions, known_statistic
from sandbox.seam import Answer, AwsError, Call, Seam

MAX_QUERIES = 500
MAX_DATAPOINTS = 100_800
MAX_STATISTICS = 1_440
_OF_ONE_VALUE = frozenset({"Average", "Sum", "Minimum", "Maximum"})
"""the statistics that are the value itself, where a period holds one value"""
_ID = re.compile(r"[a-z][A-Za-z0-9_]*\Z")


class ExpressionsAreNotAnswered(NotImplementedError):
    """The sandbox has no metric math."""


def _ms(moment: Any) -> int:
    if isinstance(moment, datetime):
        return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if isinstance(moment, str):
        return _ms(datetime.fromisoformat(moment))
    return int(moment * 1000)


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationError", message)


class MetricData:
    """CloudWatch's metric operations."""

    def __init__(self, agenda: Agenda, metrics: Metrics, seam: Seam) -> None:
        self._agenda = agenda
        self._metrics = metrics
        seam.fake(
            "cloudwatch",
            GetMetricData=self._get_metric_data,
            GetMetricStatistics=self._get_metric_statistics,
            ListMetrics=self._list_metrics,
            PutMetricData=self._put_metric_data,
        )

    def points(
        self, namespace: str, name: str, dims: Dimensions, statistic: str, period: int, start_ms: int, end_ms: int
    ) -> list[tuple[int, float]]:
        """The visible datapoints of a statistic, oldest first: (start of the period in epoch minutes, value)."""
        series = self._metrics.find(namespace, name, dims)
        if series is None:
            return []
        minutes = max(period // 60, 1)
        start = start_ms // MINUTE_MS // minutes * minutes
        end = min(-(-end_ms // MINUTE_MS), self._metrics.horizon(self._agenda.ms))
        if minutes == 1 and statistic in _OF_ONE_VALUE:
            plain = series.plain(start, end)
            if plain is not None:
                return plain
        return [
            (first, float(bucket.statistic(statistic))) for first, bucket in series.buckets(start, end, minutes).items()
        ]

    def _get_metric_data(self, call: Call) -> Answer:
        params = call.params
        queries = params["MetricDataQueries"]
        start, end = _ms(params["StartTime"]), _ms(params["EndTime"])
        self._check(queries, start, end)
        newest_first = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        budget = min(params.get("MaxDatapoints") or MAX_DATAPOINTS, MAX_DATAPOINTS)
        token = params.get("NextToken") or "0:0"
        first, skip = (int(part) for part in token.split(":"))
        results: list[dict[str, Any]] = []
        next_token = None
        for number, query in enumerate(queries):
            if number < first or query.get("ReturnData") is False:
                continue
            stat = query["MetricStat"]
            metric = stat["Metric"]
            points = self.points(
                metric["Namespace"],
                metric["MetricName"],
                dimensions(metric.get("Dimensions")),
                stat["Stat"],
                stat["Period"],
                start,
                end,
            )
            if newest_first:
                points.reverse()
            points = points[skip:]
            shown = points[:budget]
            budget -= len(shown)
            complete = len(shown) == len(points)
            results.append(
                {
                    "Id": query["Id"],
                    "Label": query.get("Label") or metric["MetricName"],
                    "Timestamps": [datetime.fromtimestamp(minute * 60, UTC) for minute, _ in shown],
                    "Values": [value for _, value in shown],
                    "StatusCode": "Complete" if complete else "PartialData",
                }
            )
            if not complete:
                next_token = f"{number}:{skip + len(shown)}"
                break
            skip = 0
        answer: Answer = {"MetricDataResults": results, "Messages": []}
        if next_token:
            answer["NextToken"] = next_token
        return answer

    @staticmethod
    def _check(queries: list[dict[str, Any]], start: int, end: int) -> None:
        if len(queries) > MAX_QUERIES:
            raise _invalid("The collection MetricDataQueries must not have a size greater than 500.")
        if end <= start:
            raise _invalid("The parameter StartTime must be less than the parameter EndTime.")
        seen = set()
        for query in queries:
            if not _ID.match(query["Id"]):
                raise _invalid(f"The value {query['Id']} for parameter Id must start with a lowercase letter.")
            if query["Id"] in seen:
                raise _invalid(f"The values for parameter Id in MetricDataQueries are not unique: {query['Id']}.")
            seen.add(query["Id"])
            if "Expression" in query:
                raise ExpressionsAreNotAnswered(query["Expression"])
            stat = query.get("MetricStat")
            if not stat:
                raise _invalid("Either MetricStat or Expression must be given in each MetricDataQuery.")
            if stat["Period"] not in (1, 5, 10, 20, 30) and stat["Period"] % 60:
                raise _invalid(f"Period {stat['Period']} must be 1, 5, 10, 20, 30 or a multiple of 60.")
            if not known_statistic(stat["Stat"]):
                raise _invalid(f"The value {stat['Stat']} for parameter Stat is not supported.")

    def _get_metric_statistics(self, call: Call) -> Answer:
        params = call.params
        start, end, period = _ms(params["StartTime"]), _ms(params["EndTime"]), params["Period"]
        dims = dimensions(params.get("Dimensions"))
        names = [*params.get("Statistics", ()), *params.get("ExtendedStatistics", ())]
        if end <= start:
            raise AwsError("InvalidParameterValue", "The parameter StartTime must be less than the parameter EndTime.")
        if (end - start) // 1000 // period > MAX_STATISTICS:
            raise AwsError(
                "InvalidParameterCombination", f"You have requested more than the limit of {MAX_STATISTICS} datapoints."
            )
        found: dict[int, dict[str, Any]] = {}
        for name in names:
            for minute, value in self.points(params["Namespace"], params["MetricName"], dims, name, period, start, end):
                point = found.setdefault(
                    minute, {"Timestamp": datetime.fromtimestamp(minute * 60, UTC), "Unit": "None"}
                )
                if name.startswith("p"):
                    point.setdefault("ExtendedStatistics", {})[name] = value
                else:
                    point[name] = value
        return {"Label": params["MetricName"], "Datapoints": list(found.values())}

    def _list_metrics(self, call: Call) -> Answer:
        params = call.params
        wanted = {(each["Name"], each.get("Value")) for each in params.get("Dimensions", ())}
        found = [
            {"Namespace": ns, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in dims]}
            for ns, name, dims in self._metrics.series
            if params.get("Namespace") in (None, ns)
            and params.get("MetricName") in (None, name)
            and all(any(key == n and v in (None, value) for key, value in dims) for n, v in wanted)
        ]
        start = int(params.get("NextToken") or 0)
        answer: Answer = {"Metrics": found[start : start + MAX_QUERIES]}
        if start + MAX_QUERIES < len(found):
            answer["NextToken"] = str(start + MAX_QUERIES)
        return answer

    def _put_metric_data(self, call: Call) -> Answer:
        namespace = call.params["Namespace"]
        if namespace.startswith("AWS/"):
            raise AwsError("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid.")
        for datum in call.params.get("MetricData", ()):
            minute = (_ms(datum["Timestamp"]) if "Timestamp" in datum else self._agenda.ms) // MINUTE_MS
            self._metrics.of(namespace, datum["MetricName"], dimensions(datum.get("Dimensions"))).merge(
                minute, _sample(datum)
            )
        return {}


def _sample(datum: dict[str, Any]) -> Sample:
    if "StatisticValues" in datum:
        stats = datum["StatisticValues"]
        return Sample(stats["SampleCount"], stats["Sum"], stats["Minimum"], stats["Maximum"])
    if "Values" in datum:
        counts = datum.get("Counts") or [1] * len(datum["Values"])
        return Sample.of(value for value, count in zip(datum["Values"], counts, strict=True) for _ in range(int(count)))
    return Sample.of([float(datum["Value"])])
