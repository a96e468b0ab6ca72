"""
docs/reference/cli.md, made from the help texts.

    python -m nightshift.cli.reference > docs/reference/cli.md
"""

from __future__ import annotations

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from nightshift.cli.app import app

__all__ = ["reference"]


def reference() -> str:
    """The reference page of the command line."""
    command = get_command(app)
    page = get_docs_for_click(obj=command, ctx=typer.Context(command), name="nightshift", title="The command line")
    return f"<!-- Made by `python -m nightshift.cli.reference`: edit the help texts, not this. -->\n\n{page.strip()}\n"


if __name__ == "__main__":
    print(reference(), end="")
