"""The options that commands share, each said once."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

__all__ = ["AsJson", "Config", "ConfigArgument", "Profile", "Region", "Stack", "Table", "Why", "Yes"]

_WHERE = "Which deployment"

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Answer with one JSON document on stdout.")]
Config: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="NIGHTSHIFT_DEPLOYMENT",
        help="The deployment's TOML; a bare name means config/NAME.toml.",
        rich_help_panel=_WHERE,
    ),
]
ConfigArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", help="The deployment's TOML; a bare name means config/NAME.toml."),
]
Stack: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The CloudFormation stack to find everything by. Default: the one that --config is deployed as.",
        rich_help_panel=_WHERE,
    ),
]
Table: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The incident table itself: no stack is looked up.", rich_help_panel=_WHERE),
]
Profile: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="The AWS profile whose credentials to use.", rich_help_panel=_WHERE)
]
Region: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The Region. Default: --config's, or the profile's.", rich_help_panel=_WHERE),
]
Why: TypeAlias = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason. It is kept, and shown.")]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask again.")]
