"""
Write docs/coverage.md: which scenario of the five runbooks is covered by which remediation and which tests.

The tests are the source: a test that stands for a scenario carries ``@pytest.mark.scenario("3.4", "sqs-dlq-backlog")``.
Where it is covered by what all remediations share, it names that: ``@pytest.mark.scenario("4.12", "calendar")``.
Run by `make coverage-page`; a test fails when the page is not current.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
TITLES = {
    "0.1": "Daily: queue depths of each customer, and recent changes of the archive",
    "0.3": "Daily: each customer's service, and where its errors are found",
    "0.4": "Triggers come faster than they go",
    "0.2": "Triggers that stand for more than a quarter of an hour",
    "0.6": "How far one change got",
    "0.15": "Audit the archive",
    "0.23": "Deleted or corrupt object of the archive; a prefix that was deleted",
    "3.16": "Put a version of an S3 object back",
    "0.8": "Stuck trigger: process it once more",
    "0.9": "Stuck trigger: delete it, where it was processed",
    "0.10": "Investigate a change that failed",
    "0.11": "The archive could not be written",
    "0.12": "Mail could not be sent",
    "0.19": "P1, all customers: probes, the common error, one page (no fix one by one)",
    "0.21": "P2, one customer: its queue and its service",
    "0.25": "Raise the visibility timeout; keep letters for 14 days",
    "0.7": "Stuck trigger: restart the consumer",
    "1.2": "Ingestion failure: no raw files, errors, missing hours",
    "1.3": "Ingestion diagnosis: the rule, its runs, who may call (told; no policy is changed)",
    "1.7": "ETL backlog while calls are turned away (waited for, told)",
    "1.4": "Test invocation (its errors are evidence; none is made for a test's sake)",
    "1.5": "Enable a disabled EventBridge rule",
    "1.6": "Backfill missed hours",
    "1.8": "Dead letters of the ETL",
    "1.9": "Reprocess raw files (those that are missing, never all of a day)",
    "2.6": "Lambda functions: state, memory and timeout (recommended, never changed)",
    "2.8": "Startup failures of ECS (told; what cannot start is not restarted)",
    "2.20": "Maintenance: a service is stopped for work on it, and started again",
    "2.15": "Alarms and dashboard, with metrics that there are",
    "3.1": "Processing success below 90 %",
    "3.10": "Reprocess a failed document",
    "3.4": "Messages in the dead-letter queue",
    "3.5": "Purge the dead-letter queue (never done: poison is stored, then deleted)",
    "4.4": "Unhealthy hosts",
    "4.5": "No traffic: listeners, security groups, certificate, DNS (told; nothing is ever opened)",
    "2.1": "P0 to P3: who is told, and how soon they must respond",
    "2.2": "Switch between customers: one's trouble is no other's",
    "2.3": "How every customer is",
    "4.1": "The health check: as many tasks run as should",
    "2.5": "Scale an ECS service",
    "2.11": "High CPU or memory",
    "4.3": "High latency",
    "2.10": "S3 answers 403, or uploads fail",
    "2.13": "Metrics of applications and infrastructure: an alarm for each",
    "2.14": "Security metrics: failed authentications, odd API use, trails, security groups",
    "4.8": "Scale out, and in again what was lent",
    "4.2": "High error rate",
    "4.10": "Log queries by path, as evidence",
    "4.6": "Deploy a new version (watched)",
    "4.7": "Roll a deployment back",
    "4.9": "Force restart of all tasks",
    "4.11": "Alert channels by severity, escalation from L1 to L3",
    "4.12": "Maintenance window, change freeze",
}
"""the runbooks' scenarios, by their number in the reference (runbook.row)"""
SPINE = {"alarms", "calendar", "escalation", "health", "registry", "severities", "storm", "verify-change"}
"""what stands for a scenario though it is no remediation: parts of the spine, which all remediations share"""
_HEAD = """# Coverage

Which runbook scenario is covered by which remediation, and by which tests. Written by `make coverage-page` from the
tests; a test fails when it is not current. A scenario that is not listed has no remediation yet.

| scenario | what | remediation | tests |
|---|---|---|---|
"""


def marks(path: Path) -> list[tuple[str, str, str]]:
    """(scenario, remediation, test) for every marked test of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.scenario":
                scenario, remediation = mark.args
                found.append((ast.literal_eval(scenario), _name(remediation), node.name))
    return found


def _name(node: ast.expr) -> str:
    """A remediation's name: written out, or by one of the scenes' constants."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return {
        "BROKEN": "event-source-broken",
        "BEHIND": "s3-trigger-behind",
        "REFUSING": "s3-access-denied",
        "FAILING": "lambda-failing",
        "ALARM": "alarm-raised",
        "DLQ": "sqs-dlq-backlog",
        "STALLED": "ecs-service-stalled",
        "UNHEALTHY": "ecs-targets-unhealthy",
        "RELEASE": "ecs-deployment-bad",
        "TRAFFIC": "alb-traffic-missing",
    }[ast.unparse(node)]


def page() -> str:
    """The page as it should be. Raises KeyError for a scenario without a title."""
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for scenario, remediation, test in marks(path):
            rows[scenario, remediation].append(f"[{test}](../{path.relative_to(ROOT)})")
    lines = [
        f"| {scenario} | {TITLES[scenario]} | {_shown(remediation)} | {'<br>'.join(sorted(tests))} |"
        for (scenario, remediation), tests in sorted(rows.items(), key=lambda row: _order(row[0][0]))
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _shown(name: str) -> str:
    return f"all: {name}" if name in SPINE else f"`{name}`"


def _order(scenario: str) -> tuple[int, int]:
    runbook, row = scenario.split(".")
    return int(runbook), int(row)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.exit(0)
