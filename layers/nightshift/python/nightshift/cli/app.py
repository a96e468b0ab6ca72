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
from nightshift.cli.answering import approve, deny
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.looking import explain, remediations, scan, validate
from nightshift.cli.options import AsJson
from nightshift.cli.switching import pause, resume, status
from nightshift.cli.telling import incidents, show
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


_TRY, _CONFIGURE, _RUN = "Try it", "Configure it", "Run it"

for _command, _panel in (
    (demo, _TRY),
    (remediations, _CONFIGURE),
    (validate, _CONFIGURE),
    (scan, _CONFIGURE),
    (explain, _CONFIGURE),
    (status, _RUN),
    (incidents, _RUN),
    (show, _RUN),
    (approve, _RUN),
    (deny, _RUN),
    (pause, _RUN),
    (resume, _RUN),
):
    app.command(_command.__name__, rich_help_panel=_panel)(_command)
