"""The command `digest`: what the last week or month came to, from the records and from what was measured."""

from __future__ import annotations

from typing import Annotated

import typer

from nightshift.checklists import Every
from nightshift.cli import pages
from nightshift.cli.context import here
from nightshift.cli.deployment import Looking, Where, find
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table
from nightshift.digests import collect, until_now
from nightshift.report import safe
from nightshift.report.digest import digest_to_json, render_digest

__all__ = ["digest"]

_SPANS = (Every.WEEKLY, Every.MONTHLY)


def digest(
    ctx: typer.Context,
    span: Annotated[str, typer.Argument(metavar="SPAN", help="weekly or monthly.")],
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Say what the last 7 or 30 days came to: what was done and cured, what recurs, what is lent, and what is unknown.

    From the records, and (with a configuration) from the metrics of what is registered, beside the same time before;
    then the runbooks' checklists, each line with its figures or with how a person answers it. Writes nothing.
    """
    context = here(ctx, json=json)
    every = next((each for each in _SPANS if each.value == span), None)
    if every is None:
        raise typer.BadParameter(f"there is no digest {safe(span, 40)}: say weekly or monthly")
    deployment = find(context, Where(config, stack, table, profile, region), kind=Looking)
    now = context.clock()
    found = collect(until_now(every, now), deployment.policy, deployment.aws, deployment.incidents, now=now)
    page = render_digest(found, deployment.policy, deployment.name)
    context.tell(digest_to_json(found, deployment.policy, deployment.name), pages.headed(page))
