"""The command `health`: how a system is now, by everything that can be read of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Looking, Where, find, identify
from nightshift.cli.looking import policy_for, suggestion
from nightshift.cli.options import AsJson, Config, Profile, Stack, Table
from nightshift.cli.telling import open_now, row_document
from nightshift.config import Policy
from nightshift.errors import AwsError, StoreUnavailable
from nightshift.health import SystemHealth, look, worst
from nightshift.incidents import Incidents
from nightshift.model import Incident, Target
from nightshift.report import safe
from nightshift.report.words import count, moment
from nightshift.service import connect

__all__ = ["health"]

_MOST = 1000
"""open incidents that are looked through"""


def health(
    ctx: typer.Context,
    system: Annotated[
        str | None, typer.Argument(help="The system's name, as in the configuration; all of them when not said.")
    ] = None,
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    json: AsJson = False,
) -> None:
    """
    Say how a system is now: healthy, sick or unknown, target by target.

    Looks with your own credentials and writes nothing: what every remediation sees, how many tasks run of those that
    should, what the load balancer says of them, what AWS says of functions, tables, buckets, APIs and databases, how
    much waits in queues, which incidents are open; of a bucket of triggers also each customer's queues and consumer,
    and what the archive got lately. Nothing has to be deployed. What could not be read is unknown, with the reason.

    Exit code 0 only when everything was read and is healthy, 1 when anything is sick or unknown.
    """
    context = here(ctx, json=json)
    policy = policy_for(context, config)
    chosen = _chosen(policy, system)
    where = Where(config, stack, table, profile)
    aws, caller = identify(context, where, policy, kind=Looking)
    service = connect(policy, aws, Deployment(aws, caller, Incidents(aws, ""), policy).environment, clock=context.clock)
    targets = [target for group in chosen.values() for target in group]
    with context.err.status(f"looking at {count(len(targets), 'target')} …"):
        systems = look(aws, service.sweep, chosen, now=context.clock())
        incidents, why_not = _incidents(context, where, targets)
    overall = worst(each.health for each in systems)
    document = {
        "schema": "nightshift.health/1",
        "deployment": policy.name,
        "account": policy.account,
        "region": policy.region,
        "config_hash": policy.hash,
        "at": pages.time_document(context.clock()),
        "health": overall,
        "systems": [_document(each) for each in systems],
        "incidents": None if incidents is None else [row_document(context, each) for each in incidents],
        "incidents_not_read": why_not or None,
    }
    context.tell(document, *_page(systems, incidents, why_not))
    if overall != "healthy":
        raise typer.Exit(1)


def _chosen(policy: Policy, system: str | None) -> Mapping[str, tuple[Target, ...]]:
    if system is None:
        return policy.groups
    if system not in policy.groups:
        raise Declined(
            f"there is no system {safe(system, 80)} in this configuration",
            suggestion(system, policy.groups, "There are"),
        )
    return {system: policy.groups[system]}


def _incidents(context: Context, where: Where, targets: Sequence[Target]) -> tuple[list[Incident] | None, str]:
    """What is open on these targets; None, and why, where nobody can tell. It judges nothing: what is seen now does."""
    arns = {str(target.arn) for target in targets}
    try:
        store = find(context, where, kind=Looking).incidents
        return [each for each in open_now(context, store, _MOST) if each.target in arns], ""
    except (AwsError, Declined, StoreUnavailable) as error:
        return None, safe(error.problem if isinstance(error, Declined) else str(error), 400, people=False)


# -- what is said ----------------------------------------------------------------------------------------------------


def _document(system: SystemHealth) -> dict[str, Any]:
    return {
        "system": system.name,
        "health": system.health,
        "targets": [
            {
                "target": str(each.target.arn),
                "health": each.health,
                "checks": [
                    {"check": check.what, "health": check.health or None, "seen": check.seen, **check.more}
                    for check in each.checks
                ],
            }
            for each in system.targets
        ],
    }


def _page(systems: Sequence[SystemHealth], incidents: Sequence[Incident] | None, why_not: str) -> Iterator[Any]:
    rows = [
        (
            system.name,
            safe(each.target.arn.name, 80),
            check.what,
            Text(check.health, pages.HEALTH.get(check.health, "")),
            check.seen,
        )
        for system in systems
        for each in system.targets
        for check in each.checks
    ]
    yield pages.table("SYSTEM", "TARGET", "CHECK", "HEALTH", "SEEN", rows=rows)
    if incidents is None:
        yield f"Which incidents are open is not known: {why_not}."
    elif not incidents:
        yield "No incident is open."
    else:
        open_ones = [
            (each.id, moment(each.opened_at), safe(each.group, 80), safe(each.remediation, 60), each.phase.value)
            for each in incidents
        ]
        yield pages.table("OPEN INCIDENT", "SINCE", "SYSTEM", "REMEDIATION", "PHASE", rows=open_ones)
    yield ""
    for system in systems:
        found = Counter(each.health for each in system.targets)
        sums = ", ".join(f"{found[word]} {word}" for word in pages.HEALTH if found[word])
        said = f"{system.name}: {system.health} ({count(len(system.targets), 'target')}: {sums})"
        yield Text(said, pages.HEALTH[system.health])
    if len(systems) > 1 and all(system.health == "sick" for system in systems):
        yield Text("Every system is sick at once: look for what they share first.", "bold red")
    yield "Nothing was written."
