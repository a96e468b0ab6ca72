"""What every command works with, and how it answers: a person on two consoles, a machine with one JSON document."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import boto3
import typer
from botocore.exceptions import BotoCoreError
from rich.console import Console, RenderableType

from nightshift.aws import Aws, Runner, Threads
from nightshift.config import ConfigErrors
from nightshift.errors import AwsError, ConfigError, NightshiftError
from nightshift.remediation import Remediation
from nightshift.report import safe
from nightshift.service import utc_now

__all__ = ["Context", "Declined", "here"]

_UNWATCHED_WIDTH = 200
"""columns where nobody watches: a file or a pipe wants its cells whole"""
_NO_CREDENTIALS = frozenset(
    {
        "CredentialRetrievalError",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "RequestExpired",
        "SSOTokenLoadError",
        "SignatureDoesNotMatch",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "UnrecognizedClientException",
    }
)
"""what AWS and its SDK say where the credentials, not the request, are at fault"""


class Declined(NightshiftError):
    """The command cannot do what was asked: ``problem`` says why, ``remedy`` what to do. Nothing was written."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}. {remedy}" if remedy else problem)


class Context:
    """
    The world of a command: sessions, the time, the two consoles, the remediations that there are.

    ``session`` makes an AWS session for a profile's name (None: the default). ``run`` is how independent reads are run.
    What is meant for the reader goes to ``out``, what is about the command itself to ``err``.
    """

    def __init__(
        self,
        *,
        session: Callable[[str | None], boto3.Session] | None = None,
        run: Runner | None = None,
        clock: Callable[[], datetime] = utc_now,
        out: Console | None = None,
        err: Console | None = None,
        registry: Sequence[type[Remediation]] | None = None,
    ) -> None:
        self.clock = clock
        self.out = out or _console(stderr=False)
        self.err = err or _console(stderr=True)
        self.json = False
        self._session = session or (lambda profile: boto3.Session(profile_name=profile))
        self._run: Runner = run or Threads()
        self._registry = registry

    @property
    def registry(self) -> Sequence[type[Remediation]]:
        """Every remediation that there is, in the order in which they stand."""
        if self._registry is None:
            from nightshift.remediations import REMEDIATIONS

            self._registry = REMEDIATIONS
        return self._registry

    def aws(self, profile: str | None, region: str | None, kind: type[Aws] = Aws) -> Aws:
        """
        AWS with the caller's own credentials.

        Raises Declined where there is no such profile, or no Region is known.
        """
        try:
            session = self._session(profile)
        except BotoCoreError as error:
            raise Declined(_credentials(error), _LOG_IN) from error
        region = region or session.region_name
        if not region:
            raise Declined("no Region is known", "Name --config or --region")
        return kind(region, session=session, run=self._run)

    # -- answering ---------------------------------------------------------------------------------------------

    def tell(self, document: Mapping[str, Any], *page: RenderableType) -> None:
        """Answer: the document for a machine, or the page for a person."""
        if self.json:
            text = json_module.dumps(document, indent=2, allow_nan=False)
            typer.echo(text, file=self.out.file)
            return
        for part in page:
            if isinstance(part, str) or hasattr(part, "plain"):
                self.out.print(part, soft_wrap=True)  # an ARN is copied: it must not be broken
            else:
                self.out.print(part)

    def note(self, text: str, style: str = "yellow") -> None:
        """Say something about the command itself, on stderr."""
        self.err.print(text, style=style, soft_wrap=True)

    def fail(self, error: NightshiftError | BotoCoreError) -> None:
        """Say what went wrong: a line on stderr for each problem, and with ``--json`` a document that says the same."""
        problems = list(error.problems) if isinstance(error, ConfigErrors) else [error]
        for problem in problems:
            self.note(f"nightshift: {_sentence(problem)}", style="bold red")
        if self.json:
            said: dict[str, Any] = {"kind": type(error).__name__, "message": _sentence(error)}
            if isinstance(error, ConfigErrors):
                said["problems"] = [problem_document(problem) for problem in error.problems]
            self.tell({"schema": "nightshift.error/1", "error": said})


def here(ctx: typer.Context, *, json: bool) -> Context:
    """The context that this command was started with."""
    context: Context = ctx.obj
    context.json = json
    return context


def problem_document(problem: ConfigError) -> dict[str, Any]:
    """One thing that is wrong with a configuration, for machines."""
    return {"path": problem.path, "line": problem.line, "problem": problem.problem, "remedy": problem.remedy}


_UNREACHED = frozenset({"ConnectTimeoutError", "EndpointConnectionError"})
_LOG_IN = "Log in (aws sso login, say), or name another --profile"


def _sentence(error: Exception) -> str:
    if isinstance(error, AwsError) and error.code in _NO_CREDENTIALS:
        return f"AWS does not take these credentials ({error.code}). {_LOG_IN}"
    if isinstance(error, AwsError) and error.code in _UNREACHED:
        return f"AWS cannot be reached ({error.code}, {error.action}). Is there such a Region, and a way to it?"
    if isinstance(error, BotoCoreError):
        return f"{_credentials(error)}. {_LOG_IN}"
    return safe(str(error), 2000, people=False)


def _credentials(error: BotoCoreError) -> str:
    return f"AWS cannot be asked: {safe(str(error).rstrip('.'), 300)}"


def _console(*, stderr: bool) -> Console:
    """Text is text: nothing that somebody else wrote is taken for markup, an emoji or a number to colour."""
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, _UNWATCHED_WIDTH)
    return console
