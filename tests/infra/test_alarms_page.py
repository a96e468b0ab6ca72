"""The page on alarms is executed: its code makes the alarms that its table lists, and its key is one that there is."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from aws_cdk import aws_sns as sns
from nightshift.config import parse_toml

from infra.watching_serverless import (
    ClusterAlarms,
    ClusterMetrics,
    FunctionAlarms,
    FunctionMetrics,
    GraphAlarms,
    GraphMetrics,
    TableAlarms,
    TableMetrics,
)
from tests.infra.test_watching import API, Theirs, alarms, parts

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "alarms.md").read_text(encoding="utf-8")
WINDOWS = {"unknown": "missing", "fine": "notBreaching", "**bad**": "breaching"}
INDEX = "by-station"
GRAPH = "a1b2c3d4e5f6g7h8i9j0k1l2m3"
KINDS = {"crunch": "<function>", GRAPH: "<api>"}
SHARED = frozenset({"high-error-rate", "high-latency"})
"""alarms of a service, too"""


def block(language: str) -> str:
    """The one block of the page in a language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def judged(alarm: dict[str, Any]) -> tuple[str, str]:
    """How an alarm judges, in the words of the table, and what missing data means to it."""
    [seconds] = {seconds for *_, seconds in parts(alarm).values()}
    return f"{alarm['DatapointsToAlarm']} of {alarm['EvaluationPeriods']} × {seconds // 60} min", alarm[
        "TreatMissingData"
    ]


def named(name: str) -> str:
    """What the table calls an alarm: with what it is of before it, where a service has one of the same name."""
    owner, _, what = name.rpartition("/")
    what = what.replace(INDEX, "<index>")
    return f"{KINDS[owner]}/{what}" if owner in KINDS and what in SHARED else what


def test_the_pages_code_makes_what_its_table_lists(tmp_path: Path) -> None:
    """Each alarm by its name, with the windows and the meaning of missing data that the table says."""
    stack = Theirs(tmp_path)
    scope = {
        "self": stack,
        "cluster": SimpleNamespace(cluster_name=API["cluster_name"]),
        "service": SimpleNamespace(service_name=API["service_name"]),
        "balancer": SimpleNamespace(load_balancer_full_name=API["load_balancer_full_name"]),
        "group": SimpleNamespace(target_group_full_name=API["target_group_full_name"]),
        "dead_letters": SimpleNamespace(queue_name="letters"),
        "pager": sns.Topic.from_topic_arn(stack, "Pager", "arn:aws:sns:eu-central-1:111122223333:pager"),
    }
    exec(block("python"), scope)
    # "in the same manner"
    FunctionAlarms(stack, "Function", FunctionMetrics("crunch"))
    TableAlarms(stack, "Table", TableMetrics("hot", (INDEX,)))
    GraphAlarms(stack, "Graph", GraphMetrics(GRAPH))
    ClusterAlarms(stack, "Cluster", ClusterMetrics("documents"))
    made = [(named(name), judged(each)) for name, each in alarms(stack.template()).items()]
    rows = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]
    listed = [(name.strip("`"), (row[2], WINDOWS[row[3]])) for row in rows for name in row[0].split(", ")]
    assert sorted(made) == sorted(listed)


def test_the_pages_key_is_one_that_there_is() -> None:
    """Its target is taken as it stands."""
    head = (
        'name = "shop"\naccount = "123456789012"\nregion = "eu-central-1"\n[notify]\nemails = ["a@example.com"]\n'
        '[remediations.ecs-service-stalled]\n[[systems]]\nname = "shop"\n'
    )
    [target] = parse_toml(head + block("toml"), path="alarms.md").targets
    assert target.alarms
