"""The command `verify-change`: how far one change got, customer by customer, by everything that can be read of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift.archives import NAME, Archived, Words, key_of, understood
from nightshift.aws import Aws
from nightshift.cli import pages
from nightshift.cli.context import Declined, here
from nightshift.cli.deployment import Looking, Where, identify
from nightshift.cli.looking import policy_for, suggestion
from nightshift.cli.options import AsJson, Config, Profile
from nightshift.config import Policy
from nightshift.errors import AwsError, Missing
from nightshift.letters import SKEW
from nightshift.model import Arn, Customer, ResourceRead, Target, Triggers
from nightshift.remediation import Readings
from nightshift.report import safe
from nightshift.report.words import count, duration, moment
from nightshift.signals import gather
from nightshift.states import messages

__all__ = ["verify_change"]

DONE, IN_FLIGHT, STUCK, UNKNOWN = "done", "in flight", "stuck", "unknown"
_STYLE = {DONE: "green", IN_FLIGHT: "yellow", STUCK: "bold red", UNKNOWN: "bold yellow"}
_SOON = timedelta(minutes=15)
"""how long a change may take (runbook 0, task 3)"""
_LOGGED = timedelta(hours=24)
_PAGES = 10  # of a log: a search may come up with empty ones
_LINES = 3
_MAIL = re.compile(r"e-?mail|\bSES\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Words:
    """How the archive calls things, as the remediations that read it are told."""

    words: Words
    customers: str = ""
    submitted: str = ""


@dataclass(frozen=True, slots=True)
class _Archive:
    """A change's object: what it says, or why nobody can say; ``missing``: it is certainly not there."""

    said: Archived | None
    why: str
    written: datetime | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class _Logged:
    """What a customer's log says of a change, the newest last; why nobody can say, where it is not read."""

    lines: tuple[str, ...] = ()
    why: str = ""

    @property
    def mail(self) -> str | None:
        """The newest line that speaks of mail. No line is no proof of anything."""
        return next((line for line in reversed(self.lines) if _MAIL.search(line)), None)


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a change stands for one customer."""

    customer: str
    verdict: str
    why: str
    processed: datetime | None = None
    trigger: str = ""
    queue: int | None = None
    dead_letters: int | None = None
    log: _Logged = field(default_factory=_Logged)


def verify_change(
    ctx: typer.Context,
    change: Annotated[str, typer.Argument(help="The change's id: its object in the archive is <id>.json.")],
    *,
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="NAME", help="The system that it belongs to. Default: all of them."),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    json: AsJson = False,
) -> None:
    """
    Say how far a change got: done, in flight, stuck or unknown, customer by customer.

    Looks with your own credentials and writes nothing: what the archive says of it, whether its trigger still stands,
    how much waits in the customer's queues, and what the consumer's log says, where the configuration names one. Only
    an entry for that very customer, from after the change was handed in, makes it done.

    Exit code 0 only when it is done for every customer that it is for.
    """
    context = here(ctx, json=json)
    policy = policy_for(context, config)
    if not NAME.fullmatch(change):
        raise Declined(f"{safe(change, 80)} is no id of a change", "Name it without its prefix, and without .json")
    targets = _chosen(policy, system)
    aws, _ = identify(context, Where(config=config, profile=profile), policy, kind=Looking)
    names, now = _named(policy), context.clock()
    with context.err.status(f"looking for {change} …"):
        found = [(target, *_looked(aws, policy, target, triggers, names, change, now)) for target, triggers in targets]
    stands = [each for _, _, standing in found for each in standing]
    done = bool(stands) and all(each.verdict == DONE for each in stands)
    document = {
        "schema": "nightshift.verify-change/1",
        "deployment": policy.name,
        "at": pages.time_document(now),
        "change": change,
        "done": done,
        "buckets": [_document(*each) for each in found],
    }
    context.tell(document, *_page(change, found))
    if not done:
        raise typer.Exit(1)


def _chosen(policy: Policy, system: str | None) -> list[tuple[Target, Triggers]]:
    if system is not None and system not in policy.groups:
        raise Declined(
            f"there is no system {safe(system, 80)} in this configuration",
            suggestion(system, policy.groups, "There are"),
        )
    targets = policy.targets if system is None else policy.groups[system]
    found = [(each, each.triggers) for each in targets if each.triggers is not None]
    if not found:
        raise Declined("no bucket of triggers is registered there", "Name another --system, or register the bucket")
    return found


def _named(policy: Policy) -> _Words:
    """The settings of whoever audits the archive, else of whoever looks after its triggers."""
    for name in ("archive-broken", "s3-trigger-stuck"):
        if name in policy.remediations:
            said = policy.remediations[name].model_dump()
            words = Words(**{key: said[key] for key in Words.model_fields})
            return _Words(words, said.get("customers_field", ""), said.get("submitted", ""))
    return _Words(Words())


# -- what is read ----------------------------------------------------------------------------------------------------


def _looked(
    aws: Aws, policy: Policy, target: Target, triggers: Triggers, names: _Words, change: str, now: datetime
) -> tuple[_Archive, list[_Stand]]:
    archive = _archive(aws, target.arn, triggers, names, change)
    customers = _customers(triggers, names, archive)
    queues = [ResourceRead("sqs.queue", str(arn)) for each in customers for arn in (each.queue, each.dead_letters)]
    readings = gather(aws, queues, now=now)
    standing = []
    for each in customers:
        trigger = _trigger(aws, target.arn, triggers, each, change)
        verdict, why, processed = _judged(names, archive, trigger, each, now, alone=len(triggers.customers) == 1)
        standing.append(
            _Stand(
                customer=each.name,
                verdict=verdict,
                why=why,
                processed=processed,
                trigger=_stands(trigger, now),
                queue=_held(readings, each.queue),
                dead_letters=_held(readings, each.dead_letters),
                log=_logged(aws, policy.target(str(each.consumer)), change, now),
            )
        )
    return archive, standing


def _archive(aws: Aws, bucket: Arn, triggers: Triggers, names: _Words, change: str) -> _Archive:
    try:
        answer = aws.read("s3", "GetObject", Bucket=bucket.name, Key=key_of(triggers.archive, change))
    except Missing:
        return _Archive(None, "the archive has no object for it", missing=True)
    except AwsError as error:
        return _Archive(None, f"the archive cannot be read: {safe(str(error), 300)}")
    said = understood(answer["Body"], names.words)
    if isinstance(said, str):
        return _Archive(None, f"its object in the archive cannot be read: {said}", answer["LastModified"])
    return _Archive(said, count(len(said.entries), "entry", "entries"), answer["LastModified"])


def _customers(triggers: Triggers, names: _Words, archive: _Archive) -> Sequence[Customer]:
    """Those that a change is for, where it says so; else all that there are."""
    named = archive.said.document.get(names.customers) if archive.said is not None and names.customers else None
    chosen = [each for each in triggers.customers if isinstance(named, list) and each.name in named]
    return chosen or triggers.customers


def _trigger(aws: Aws, bucket: Arn, triggers: Triggers, customer: Customer, change: str) -> datetime | str | None:
    """When its trigger was written; None where none stands; why nobody can say."""
    key = f"{triggers.prefix}{customer.name}/{change}.json"
    try:
        written: datetime = aws.read("s3", "HeadObject", Bucket=bucket.name, Key=key)["LastModified"]
    except Missing:
        return None
    except AwsError as error:
        return safe(str(error), 300)
    return written


def _held(readings: Readings, queue: Arn) -> int | None:
    found = readings.resource(ResourceRead("sqs.queue", str(queue)))
    return messages(found) if isinstance(found, Mapping) else None


def _logged(aws: Aws, consumer: Target | None, change: str, now: datetime) -> _Logged:
    """The newest lines of the consumer's log that name a change."""
    if consumer is None or consumer.log_group is None:
        return _Logged(why="no log group is configured for its consumer")
    lines: list[str] = []
    more: dict[str, str] = {}
    asked = {
        "logGroupName": consumer.log_group.resource.removeprefix("log-group:"),
        "filterPattern": f'"{change}"',
        "startTime": int((now - _LOGGED).timestamp() * 1000),
    }
    try:
        for _ in range(_PAGES):
            page = aws.read("logs", "FilterLogEvents", **asked, **more)
            lines = [*lines, *(safe(str(each.get("message", "")), 300) for each in page.get("events", ()))][-_LINES:]
            if not page.get("nextToken"):
                return _Logged(tuple(lines))
            more = {"nextToken": page["nextToken"]}
    except AwsError as error:
        return _Logged(why=f"the log cannot be read: {safe(str(error), 300)}")
    return _Logged(tuple(lines), f"only the first {_PAGES} pages of the log were read")


# -- what it comes to ------------------------------------------------------------------------------------------------


def _judged(
    names: _Words, archive: _Archive, trigger: datetime | str | None, customer: Customer, now: datetime, *, alone: bool
) -> tuple[str, str, datetime | None]:
    """How far it got for one customer, why we think so, and when it was processed. What is not certain is unknown."""
    if isinstance(trigger, str):
        return UNKNOWN, f"its trigger cannot be seen: {trigger}", None
    if archive.said is None:
        if trigger is not None and archive.missing:
            return STUCK, "a trigger stands, and the archive has no object for it", None
        return UNKNOWN, archive.why, None
    if not names.words.timestamp_field or not (names.words.customer_field or alone):
        return UNKNOWN, "the configuration does not say where the archive names customer and time", None
    done = [each for each in archive.said.entries if each.kind == names.words.processed]
    own = [each for each in done if each.customer == customer.name or not names.words.customer_field]
    times = [each.at for each in own if each.at is not None and each.at <= now + SKEW]
    processed = max(times, default=None)
    if processed is not None and (trigger is None or processed >= trigger):
        again = _again(names, archive.said, processed)
        if again is None:
            return UNKNOWN, "it was processed, and what was done later may be about it once more", processed
        if not again and trigger is None:
            return DONE, f"processed at {moment(processed)}, and its trigger is gone", processed
        if not again and trigger is not None:
            return _waits(trigger, now), "it was processed, and its trigger still stands", processed
    if len(times) < len(own) or any(each.customer is None for each in done if names.words.customer_field):
        return UNKNOWN, "an entry of the archive may or may not be about it", processed
    if trigger is not None:
        return _waits(trigger, now), "it is not processed, and its trigger stands", processed
    if archive.written is not None and now - archive.written <= _SOON:
        return IN_FLIGHT, "it was written a moment ago, and is neither processed nor triggered yet", processed
    return STUCK, "it is neither processed nor triggered: its event was lost", processed


def _again(names: _Words, said: Archived, processed: datetime) -> bool | None:
    """
    Whether a change was handed in once more after it was processed; None where that may be.

    Where the configuration does not say how the archive calls that, any later entry of another kind may be it.
    """
    perhaps = False
    for each in said.entries:
        sure = bool(names.submitted) and each.kind == names.submitted
        other = each.kind == names.words.processed or (names.submitted and each.kind is not None and not sure)
        if other or (each.at is not None and each.at <= processed):
            continue
        if sure and each.at is not None:
            return True
        perhaps = True
    return None if perhaps else False


def _waits(trigger: datetime, now: datetime) -> str:
    return STUCK if now - trigger > _SOON else IN_FLIGHT


def _stands(trigger: datetime | str | None, now: datetime) -> str:
    if trigger is None:
        return "gone"
    return "not known" if isinstance(trigger, str) else f"stands for {duration(now - trigger)}"


# -- what is said ----------------------------------------------------------------------------------------------------


def _document(target: Target, archive: _Archive, standing: Sequence[_Stand]) -> dict[str, Any]:
    return {
        "bucket": str(target.arn),
        "system": target.group,
        "archive": {"read": archive.said is not None, "seen": archive.why, "at": pages.time_document(archive.written)},
        "customers": [
            {
                "customer": each.customer,
                "verdict": each.verdict,
                "why": each.why,
                "processed_at": pages.time_document(each.processed),
                "trigger": each.trigger,
                "queue": each.queue,
                "dead_letters": each.dead_letters,
                "log": list(each.log.lines),
                "log_not_read": each.log.why or None,
                "mail": each.log.mail,
            }
            for each in standing
        ],
    }


def _page(change: str, found: Sequence[tuple[Target, _Archive, list[_Stand]]]) -> Iterator[Any]:
    for target, archive, standing in found:
        written = f", written at {moment(archive.written)}" if archive.written is not None else ""
        yield Text(f"{change} in {safe(target.arn.name, 80)} ({target.group}): {archive.why}{written}", "bold")
        rows = [
            (
                each.customer,
                Text(each.verdict, _STYLE[each.verdict]),
                each.why,
                each.trigger,
                _number(each.queue),
                _number(each.dead_letters),
            )
            for each in standing
        ]
        yield pages.table("CUSTOMER", "VERDICT", "WHY", "TRIGGER", "IN QUEUE", "DEAD", rows=rows)
        for each in standing:
            yield from (f"{each.customer}: {line}" for line in each.log.lines)
            if each.log.why:
                yield f"{each.customer}: {each.log.why}."
            elif each.log.mail is None:
                yield f"{each.customer}: no line of the log speaks of mail."
    yield "Nothing was written."


def _number(held: int | None) -> str:
    return "?" if held is None else str(held)
