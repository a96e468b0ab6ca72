"""
Nightshift from a laptop: the code that runs in AWS, with one's own credentials.

Only this package may use Typer and Rich, and neither enters the layer. Every command is a function of what it is told
and of a :class:`~nightshift.cli.context.Context`, which holds all that a test wants to bring itself: the AWS session,
the clock, the two consoles.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command that was typed."""
    from nightshift.cli.app import app
    from nightshift.cli.context import Context

    app(obj=Context(), prog_name="nightshift")
