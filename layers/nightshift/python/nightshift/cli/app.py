"""`nightshift`: the commands, in the order in which a person meets them, and what their errors look like."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError
from rich.console import Console
from typer.core import TyperGroup

from nightshift import __version__
from nightshift.cli.answering import ack, approve, deny
from nightshift.cli.backup import backup
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.digest import digest
from nightshift.cli.discover import discover
from nightshift.cli.health import health
from nightshift.cli.looking import explain, remediations, scan, validate
from nightshift.cli.maintenance import maintenance
from nightshift.cli.options import AsJson
from nightshift.cli.quarantine import quarantine
from nightshift.cli.switching import pause, resume, status
from nightshift.cli.telling import incidents, leases, show, timeline
from nightshift.cli.verify_change import verify_change
from nightshift.errors import NightshiftError

__all__ = ["app"]


class _Commands(TyperGroup):
    """Whatever Nightshift or AWS says no to becomes one clear line and exit code 1; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (NightshiftError, BotoCoreError) as error:
            context: Context = ctx.obj
            context.fail(error)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="nightshift",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Nightshift from your terminal: see what it sees, answer what it asks, stop it.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage. NO_COLOR is respected.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nightshift {__version__}")
        raise typer.Exit


@app.callback()
def _all(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Say the version, and nothing else.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    del version


def demo(
    ctx: typer.Context,
    *,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this scene; may be said again.")] = None,
    reports: Annotated[Path, typer.Option(metavar="DIR", help="Where the reports are written.")] = Path("build/demo"),
    json: AsJson = False,
) -> None:
    """Run Nightshift on an AWS account that exists on this machine only. Needs no credentials."""
    here(ctx, json=json)
    try:
        from nightshift.cli import demo as scenes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"moto", "sandbox", "time_machine"}:
            raise
        raise Declined(
            "the demo's account is not installed here", "Run `make demo` in a clone of the repository"
        ) from error
    # bound to this stdout: the scenes send the log of what runs in them elsewhere
    code = scenes.run(Console(file=sys.stdout), json=json, only=only or [], reports=reports)
    raise typer.Exit(code)


def simulate(
    ctx: typer.Context,
    *,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="The first seed.")] = 1,
    runs: Annotated[
        int | None,
        typer.Option(metavar="M", min=1, help="How many seeds. Default: 20, or with --minutes as many as it takes."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="N", min=0, help="No new seed is begun after so many minutes.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many processes. Default: one for each core.")
    ] = None,
    story: Annotated[bool, typer.Option("--story", help="Tell the story of this one seed, minute by minute.")] = False,
    moto: Annotated[
        bool, typer.Option("--moto", help="On the full cloud, with smaller stories: its calls are dear.")
    ] = False,
    lives: Annotated[
        bool,
        typer.Option(
            "--lives", help="Instead of what a seed draws: every way that every remediation can go, in its weather."
        ),
    ] = False,
    bug: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Plant this seeded bug (`all`: each of them), and say how many seeds it takes until it is noticed.",
        ),
    ] = "",
    short: Annotated[
        bool, typer.Option("--shrink/--no-shrink", help="Make a seed that fails into the shortest story that does.")
    ] = True,
    json: AsJson = False,
) -> None:
    """
    Play many nights in which everything goes wrong, each from its seed, and check every promise afterwards.

    Exit code 1 where a promise was broken, or where a planted bug was not noticed.
    """
    here(ctx, json=json)
    try:
        from nightshift.cli import simulate as simulation
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"greenlet", "moto", "sandbox", "time_machine"}:
            raise
        raise Declined(
            "the simulation's account is not installed here", "Run `make simulate` in a clone of the repository"
        ) from error
    code = simulation.run(
        Console(file=sys.stdout),
        seed=seed,
        runs=runs,
        minutes=minutes,
        jobs=jobs,
        json=json,
        story=story,
        moto=moto,
        lives=lives,
        bug=bug,
        short=short,
    )
    raise typer.Exit(code)


_TRY, _CONFIGURE, _RUN = "Try it", "Configure it", "Run it"

for _command, _panel in (
    (demo, _TRY),
    (simulate, _TRY),
    (remediations, _CONFIGURE),
    (validate, _CONFIGURE),
    (discover, _CONFIGURE),
    (scan, _CONFIGURE),
    (explain, _CONFIGURE),
    (health, _RUN),
    (verify_change, _RUN),
    (digest, _RUN),
    (status, _RUN),
    (incidents, _RUN),
    (show, _RUN),
    (timeline, _RUN),
    (leases, _RUN),
    (backup, _RUN),
    (approve, _RUN),
    (deny, _RUN),
    (ack, _RUN),
    (pause, _RUN),
    (resume, _RUN),
):
    app.command(_command.__name__.replace("_", "-"), rich_help_panel=_panel)(_command)
app.add_typer(maintenance, name="maintenance", rich_help_panel=_RUN)
app.add_typer(quarantine, name="quarantine", rich_help_panel=_RUN)
