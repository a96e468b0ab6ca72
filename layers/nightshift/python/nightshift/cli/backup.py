"""
The command `backup`: have a table or a database backed up before you change it.

It is made by the next tick, with its own permission and under the incident's name; nothing is written to what it is of
from here.
"""

from __future__ import annotations

from typing import Annotated

import typer

from nightshift.cli import pages, requests
from nightshift.cli.context import Declined, here
from nightshift.cli.deployment import Where, find
from nightshift.cli.looking import policy_for
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table, Yes
from nightshift.cli.switching import reason
from nightshift.model import Request
from nightshift.remediations.backup_on_demand import BackupOnDemand
from nightshift.report import safe

__all__ = ["backup"]


def backup(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(help="The table's or Aurora cluster's ARN, or its name where only one is called so.")
    ],
    *,
    why: Annotated[
        str,
        typer.Option("--reason", metavar="TEXT", help="What you are about to do, if you like. It is kept, and shown."),
    ] = "",
    yes: Yes = False,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Have a table or an Aurora cluster backed up now. Shows the plan first; your yes is its approval.

    Within a minute or two it is begun, and a report says when it is available: wait for that before you change
    anything. It stays until somebody deletes it.
    """
    context = here(ctx, json=json)
    if json and not yes:
        raise typer.BadParameter("--json asks nothing back: say --yes")
    why = reason(why) if why else ""
    policy, now = policy_for(context, config), context.clock()
    cure, aimed = requests.chosen(policy, BackupOnDemand, target, "table or cluster", "of them")
    deployment = find(context, Where(config, stack, table, profile, region))
    request = Request(deployment.caller.arn, now, now + cure.deadline, why)
    asked = requests.Asked(cure, aimed, cure.asked(aimed, request), request, "Back up", "is not backed up")
    done = requests.put(context, policy, deployment, asked, yes=yes)
    if done is None:
        other = requests.first(deployment.incidents, cure, aimed)
        if other is None:
            raise Declined("it could not be written down", "Try again")
        raise Declined(f"a backup of it is under way: incident {other.id}", f"See it: nightshift show {other.id}")
    incident, plan, held = done
    document = {
        "schema": "nightshift.backup/1",
        "incident": incident.id,
        "target": safe(incident.target, 1100),
        "by": safe(request.by, 200, people=False),
        "why": safe(why, 400),
        **requests.document(plan, held),
    }
    context.tell(
        document,
        pages.lines(
            (f"{asked.name} is to be backed up: incident {incident.id}.", "bold green"),
            f"Change nothing before it is available: a report says so, and so does\n  nightshift show {incident.id}",
        ),
    )
    requests.waits(context, deployment.incidents, held)
