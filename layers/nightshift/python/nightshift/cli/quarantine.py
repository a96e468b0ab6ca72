"""
What was set apart: `quarantine list`, `show`, `restore`, `discard`.

Letters that no consumer can process, and triggers that were processed and stayed, are stored whole in the quarantine
bucket before they are deleted elsewhere. Nothing in it expires and Nightshift never takes anything out of it: that is
for a person, with their own credentials.

Whatever is given back is noted in the bucket first, under a name made of the object's own, which S3 takes once: so two
people, or one person twice, do not send the same letter home twice. A note stays where the answer to the sending was
lost, because it may be there; where AWS certainly did not take it, it is taken back.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Annotated, Any, TypeAlias

import typer

from nightshift import strict_json
from nightshift.aws import LONGEST_BODY, Aws
from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Looking, Where, find
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table, Why, Yes
from nightshift.cli.switching import reason
from nightshift.errors import Ambiguous, AwsError, Missing, NightshiftError, Rejected
from nightshift.incidents import Event
from nightshift.letters import unplain
from nightshift.model import Arn
from nightshift.report import safe
from nightshift.report.words import duration, moment
from nightshift.signals import queue_url

__all__ = ["quarantine"]

_LETTERS, _TRIGGERS, _NOTES = "letters/", "triggers/", "restored/"
_SHOWN = 1_000  # objects that a list shows
_BODY = 20_000  # characters of a body that are shown
_VERSIONS = 1_000  # of one object, that are deleted for ever
_LONGEST = 10_000_000  # bytes of a stored letter: a message of 1 MiB, escaped
_PARTS = 4  # of a letter's or a trigger's key at least: what it is, whose, and its own name
_TAKEN = frozenset({"412", "ConditionalRequestConflict", "PreconditionFailed"})
"""what S3 says where an object stands that must not, or is not any more what it was"""

quarantine = typer.Typer(no_args_is_help=True, help="What was set apart: look at it, give it back, or drop it.")

_Key = Annotated[str, typer.Argument(metavar="KEY", help="The object's key, as `quarantine list` shows it.")]
_Bucket = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The quarantine bucket itself, where --table is named instead of a stack.",
        rich_help_panel="Which deployment",
    ),
]


@dataclass(frozen=True, slots=True)
class _Item:
    """One object that was set apart, and what it says of itself. ``home`` is where it came from, as far as known."""

    key: str
    kind: str
    target: str
    size: int
    at: datetime
    etag: str = ""
    version: str = ""
    incident: str = ""
    why: str = ""
    home: str = ""
    body: str = ""
    message: Mapping[str, Any] = field(default_factory=dict)


_Versions: TypeAlias = tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]
"""versions and delete markers of one key"""


@dataclass(frozen=True, slots=True)
class _Store:
    """The quarantine bucket of a deployment. Every call names the account that must own it."""

    deployment: Deployment
    bucket: str

    @property
    def aws(self) -> Aws:
        """The way to it."""
        return self.deployment.aws

    @property
    def where(self) -> dict[str, str]:
        """What each call says of it."""
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.deployment.caller.account}

    def keys(self, prefix: str) -> Iterable[Mapping[str, Any]]:
        """The newest version of every object under a prefix, in order."""
        return self.aws.pages("s3", "ListObjectsV2", "Contents", limit=100 * _SHOWN, Prefix=prefix, **self.where)

    def load(self, key: str, version: str = "") -> _Item:
        """One object, whole, as it is or as a version was. Raises Declined where it is none of these, or not there."""
        kind = _kind(key)
        which = {"VersionId": version} if version else {}
        try:
            found = self.aws.read("s3", "GetObject", Key=key, **which, **self.where)
        except Missing as error:
            raise Declined(f"there is no {safe(key, 1100)} in {self.bucket}", _LOOK) from error
        text = self.whole(key, found, version).decode("utf-8", "replace")
        more = _of_letter(text) if kind == "letter" else _of_trigger(key, text)
        return _Item(
            key=key,
            kind=kind,
            size=int(found["ContentLength"]),
            at=found["LastModified"],
            etag=str(found["ETag"]),
            version=str(found.get("VersionId", "")),
            **more,
        )

    def whole(self, key: str, found: Mapping[str, Any], version: str = "") -> bytes:
        """
        The whole body of an object, of which one read gives its beginning only: a letter of 1 MiB is longer as JSON.

        Raises Declined where the object is another one meanwhile, or is longer than any letter.
        """
        body, size = bytes(found["Body"]), int(found["ContentLength"])
        same = {"IfMatch": found["ETag"], **({"VersionId": version} if version else {}), **self.where}
        while len(body) < min(size, _LONGEST):
            part = f"bytes={len(body)}-{min(size, len(body) + LONGEST_BODY) - 1}"
            try:
                more = self.aws.read("s3", "GetObject", Key=key, Range=part, **same)
            except (Missing, Rejected) as error:
                raise Declined("it was stored anew while it was read", "Try again") from error
            if not more["Body"]:
                break
            body += more["Body"]
        return body

    def versions(self, key: str) -> _Versions:
        """The versions and the delete markers of this very key, the newest of each first."""
        answer = self.aws.read("s3", "ListObjectVersions", Prefix=key, MaxKeys=_VERSIONS, **self.where)
        versions, markers = (
            [each for each in answer.get(name, ()) if each["Key"] == key] for name in ("Versions", "DeleteMarkers")
        )
        return versions, markers

    def note_of(self, key: str) -> Mapping[str, Any] | None:
        """Who gave an object back, when and where to; None where nobody did."""
        try:
            body = self.aws.read("s3", "GetObject", Key=_note_key(key), **self.where)["Body"]
        except Missing:
            return None
        said = _json(body.decode("utf-8", "replace"))
        return said or {"by": "somebody", "at": "", "to": ""}


_LOOK = "`nightshift quarantine list` shows what there is"


def _kind(key: str) -> str:
    """Whether a key is that of a letter or of a trigger. Raises Declined for any other."""
    parts = key.split("/")
    if key.startswith(_LETTERS) and len(parts) == _PARTS - 1:
        return "letter"
    if key.startswith(_TRIGGERS) and len(parts) >= _PARTS:
        return "trigger"
    raise Declined(f"{safe(key, 1100)} is the key of nothing that was set apart", _LOOK)


def _json(text: str) -> dict[str, Any]:
    """A JSON object; an empty one where it is none: whoever can write into the bucket can write anything."""
    try:
        found = strict_json.loads(text, limit=_LONGEST)
    except strict_json.NotStrict:
        return {}
    return found if isinstance(found, dict) else {}


def _of_letter(text: str) -> dict[str, Any]:
    whole = _json(text)
    stored, system = (each if isinstance(each := whole.get(name), dict) else {} for name in ("stored", "attributes"))
    return {
        "target": str(whole.get("queue", "")),
        "incident": str(stored.get("incident", "")),
        "why": f"{stored.get('means', 'nobody has said why')}: {stored.get('because', '')}",
        "home": str(system.get("DeadLetterQueueSourceArn", "")),
        "body": str(whole.get("body", "")),
        "message": whole,
    }


def _of_trigger(key: str, text: str) -> dict[str, Any]:
    """``triggers/<bucket>/<key>/<when it was written>-<etag>.json``, and the content as it was."""
    bucket, _, rest = key.removeprefix(_TRIGGERS).partition("/")
    original = rest.rpartition("/")[0]
    return {
        "target": f"arn:aws:s3:::{bucket}",
        "why": "processed: it was deleted after that",
        "home": f"s3://{bucket}/{original}",
        "body": text,
    }


def _note_key(key: str) -> str:
    return f"{_NOTES}{key}"


def _open(context: Context, where: Where, bucket: str | None, *, kind: type[Aws] = Aws) -> _Store:
    """The quarantine of the deployment that is meant. Raises Declined where nobody says which bucket it is."""
    deployment = find(context, where, kind=kind)
    name = bucket or deployment.outputs.get("Quarantine", "")
    if not name:
        raise Declined("which bucket is the quarantine is not known", "Name --bucket, or --config or --stack")
    return _Store(deployment, name)


# -- looking -----------------------------------------------------------------------------------------------------------


@quarantine.command("list")
def list_(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="[TARGET]", help="Only what came from this: a queue's or bucket's name or ARN.")
    ] = "",
    *,
    bucket: _Bucket = None,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """List what was set apart: from which target, since when, how large, in which incident, and whether given back."""
    context = here(ctx, json=json)
    store = _open(context, Where(config, stack, table, profile, region), bucket, kind=Looking)
    name = target.rpartition(":")[2]
    prefixes = [f"{kind}{name}/" if name else kind for kind in (_LETTERS, _TRIGGERS)]
    found = list(islice((each for prefix in prefixes for each in store.keys(prefix)), _SHOWN + 1))
    items = store.aws.run([partial(_listed, store, str(each["Key"])) for each in found[:_SHOWN]])
    now = context.clock()
    rows = [(item, note) for item, note in items if item is not None]
    document = {
        "schema": "nightshift.quarantine/1",
        "bucket": store.bucket,
        "more": len(found) > _SHOWN,
        "items": [_document(item, note) for item, note in rows],
    }
    shown = pages.table(
        "from",
        "set apart",
        "bytes",
        "incident",
        "given back",
        "key",
        rows=[
            (
                safe(_name(item.target), 100),
                f"{duration(now - item.at)} ago",
                f"{item.size:,}",
                safe(item.incident, 40) or "-",
                "yes" if note is not None else "-",
                safe(item.key, 1100),
            )
            for item, note in rows
        ],
    )
    context.tell(document, shown if rows else "Nothing is set apart.")
    if len(found) > _SHOWN:
        context.note(f"These are the first {_SHOWN:,}; name a target to see fewer.")


def _listed(store: _Store, key: str) -> tuple[_Item | None, Mapping[str, Any] | None]:
    """One object for the list; none where it is gone meanwhile, or is nothing of ours."""
    try:
        return store.load(key), store.note_of(key)
    except Declined:
        return None, None


@quarantine.command("show")
def show_(
    ctx: typer.Context,
    key: _Key,
    *,
    body: Annotated[bool, typer.Option("--body", help="Show the body too, without what looks like a secret.")] = False,
    bucket: _Bucket = None,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Show one object that was set apart: why, in which incident, and where it would go. Its body only with --body."""
    context = here(ctx, json=json)
    store = _open(context, Where(config, stack, table, profile, region), bucket, kind=Looking)
    item = store.load(key)
    note = store.note_of(key)
    document = {"schema": "nightshift.quarantined/1", **_document(item, note)}
    if body:
        document["body"] = safe(item.body, _BODY)
    context.tell(document, _page(item, note, body=body))


def _page(item: _Item, note: Mapping[str, Any] | None, *, body: bool = False) -> Any:
    rows = [
        ("key", safe(item.key, 1100)),
        ("what", f"a {item.kind} of {item.size:,} bytes, set apart at {moment(item.at)}"),
        ("from", safe(item.target, 1100)),
        ("goes to", safe(item.home, 1100) or "not known"),
        ("because", safe(item.why, 400)),
        ("incident", safe(item.incident, 40) or "-"),
        ("message", safe(item.message.get("messageId", ""), 100) or "-"),
        ("given back", _told(note) if note is not None else "no"),
    ]
    return pages.pairs(*rows, *([("body", safe(item.body, _BODY))] if body else []))


def _told(note: Mapping[str, Any]) -> str:
    who, at, to = (safe(note.get(name, ""), 300, people=False) for name in ("by", "at", "to"))
    return f"by {who} at {at}, to {to}"


def _document(item: _Item, note: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "key": safe(item.key, 1100),
        "kind": item.kind,
        "target": safe(item.target, 1100),
        "home": safe(item.home, 1100),
        "bytes": item.size,
        "at": pages.time_document(item.at),
        "incident": safe(item.incident, 40),
        "why": safe(item.why, 400),
        "message": safe(item.message.get("messageId", ""), 100),
        "restored": None
        if note is None
        else {name: safe(note.get(name, ""), 300, people=False) for name in ("by", "at", "to", "why")},
    }


def _name(target: str) -> str:
    return target.rpartition(":")[2] or "not known"


# -- giving back -------------------------------------------------------------------------------------------------------


@quarantine.command()
def restore(
    ctx: typer.Context,
    key: _Key,
    *,
    why: Why,
    again: Annotated[bool, typer.Option("--again", help="Although it was given back before.")] = False,
    yes: Yes = False,
    bucket: _Bucket = None,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Give one object back: a letter to the queue that it came from, a trigger to its bucket, where none stands by now.

    Whatever made it be set apart should be mended first. The copy stays, marked: a second time must be asked for.
    """
    context = here(ctx, json=json)
    why = _asked(context, why, yes=yes)
    store = _open(context, Where(config, stack, table, profile, region), bucket)
    item = store.load(key)
    before = store.note_of(key)
    if before is not None and not again:
        raise Declined(
            f"it was given back already, {_told(before)}",
            "Where that was not enough: --again. It may be done twice then",
        )
    home = _home(store, item)
    if not yes:
        context.out.print(_page(item, before))
        typer.confirm(f"{_WHAT[item.kind]} {home}, as {store.deployment.caller.arn}?", abort=True)
    note = {
        "key": key,
        "by": store.deployment.caller.arn,
        "at": context.clock().isoformat(),
        "to": home,
        "why": why,
    }
    _note(store, key, note, again=again)
    try:
        _give(store, item, home)
    except Ambiguous as error:
        raise Declined(
            f"whether it arrived is not known ({error}): it stays marked as given back", "Look there before --again"
        ) from error
    except AwsError as error:
        # It certainly did not arrive: what was known of it before is what is known of it now.
        if before is None:
            store.aws.write_once("s3", "DeleteObject", Key=_note_key(key), **store.where)
        else:
            _note(store, key, before, again=True)
        if error.code in _TAKEN:
            raise Declined(f"something stands at {safe(home, 1100)} by now", "Look at it there") from error
        raise
    said = f"given back to {home} by {note['by']}: {why}"
    told = _remark(store, item, Event(context.clock(), "restored", f"{item.kind} {_short(key)} was {said}"))
    document = {"schema": "nightshift.restored/1", **_document(item, note), "incident_told": told}
    context.tell(document, pages.lines((f"It was {said}.", "bold green"), "Its copy stays, marked as given back."))
    _say_untold(context, item, told=told)


_WHAT = {
    "letter": "Send this letter to",
    "trigger": "Put this trigger back, so that it is processed again and its customer told, as",
}


def _asked(context: Context, why: str, *, yes: bool) -> str:
    """A reason that says something. What Typer makes a usage error of where nobody could be asked back."""
    if context.json and not yes:
        raise typer.BadParameter("--json asks nothing back: say --yes")
    return reason(why)


def _home(store: _Store, item: _Item) -> str:
    """
    Where it came from: as SQS said when the letter was stored, else as the configuration has it.

    Raises Declined where neither says, or where it cannot go back as it was.
    """
    home = item.home
    if item.kind == "letter" and not home and store.deployment.policy is not None:
        target = store.deployment.policy.target(item.target)
        if target is not None and target.function is not None:
            raise Declined(
                f"it is a failed event of {target.function}, and belongs into no queue",
                "`show --body` has it; give it to the function by hand: aws lambda invoke --invocation-type Event",
            )
        home = str(target.source) if target is not None and target.source is not None else ""
    if not home:
        raise Declined("which queue it came from is not known", "Name --config with the dead-letter queue's `source`")
    if item.kind == "letter":
        if not isinstance(item.message.get("body"), str):
            raise Declined("it has no body that could be sent", "`nightshift quarantine show --body` shows what it has")
        try:
            queue_url(Arn.parse(home))
        except ValueError as error:
            raise Declined(f"it says that it came from {safe(home, 300)}, which is no queue") from error
        if home.endswith(".fifo"):
            raise Declined("a FIFO queue's letters have an order that would not be kept", "Send it by hand")
        if Arn.parse(home).account != store.deployment.caller.account:
            raise Declined(f"it says that it came from {safe(home, 300)}, which is another account's")
    return home


def _note(store: _Store, key: str, note: Mapping[str, Any], *, again: bool) -> None:
    """Mark it as given back, before it is: S3 takes the mark once. Raises Declined where somebody was faster."""
    only = {} if again else {"IfNoneMatch": "*"}
    body = json_module.dumps(note).encode()
    try:
        store.aws.write_once(
            "s3",
            "PutObject",
            Key=_note_key(key),
            Body=body,
            ContentType="application/json",
            **only,
            **store.where,
        )
    except Rejected as error:
        if error.code in _TAKEN:
            raise Declined("somebody is giving it back just now", "`nightshift quarantine show` says who") from error
        raise


def _give(store: _Store, item: _Item, home: str) -> None:
    if item.kind == "letter":
        try:
            attributes = unplain(item.message.get("messageAttributes") or {})
        except (AttributeError, TypeError, ValueError) as error:
            raise Rejected("sqs:SendMessage", "MessageAttributes", "its attributes cannot be read") from error
        more = {"MessageAttributes": attributes} if attributes else {}
        url = queue_url(Arn.parse(home))
        store.aws.write_once("sqs", "SendMessage", QueueUrl=url, MessageBody=item.body, **more)
        return
    bucket, _, key = home.removeprefix("s3://").partition("/")
    found = store.aws.read("s3", "GetObject", Key=item.key, IfMatch=item.etag, **store.where)
    body = store.whole(item.key, found)
    if len(body) != item.size:
        raise Rejected("s3:PutObject", "TooLong", f"it has {item.size:,} bytes")
    store.aws.write_once(
        "s3",
        "PutObject",
        Bucket=bucket,
        Key=key,
        Body=body,
        ContentType="application/json",
        IfNoneMatch="*",
        ExpectedBucketOwner=store.deployment.caller.account,
    )


def _remark(store: _Store, item: _Item, event: Event) -> bool:
    """Write what was done into the timeline of its incident, where there is one: whether it stands there."""
    if not item.incident:
        return False
    try:
        return store.deployment.incidents.remark(item.incident, event)
    except NightshiftError:  # it is done: that its timeline does not say so must not look as if it were not
        return False


def _say_untold(context: Context, item: _Item, *, told: bool) -> None:
    if item.incident and not told:
        context.note(f"That could not be written into the timeline of incident {safe(item.incident, 40)}.")


def _short(key: str) -> str:
    return safe(key.rpartition("/")[2], 200)


# -- dropping ----------------------------------------------------------------------------------------------------------


@quarantine.command()
def discard(
    ctx: typer.Context,
    key: _Key,
    *,
    why: Why,
    forever: Annotated[
        bool, typer.Option("--forever", help="Every version of it, at once: nobody can bring it back.")
    ] = False,
    yes: Yes = False,
    bucket: _Bucket = None,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Drop one object that was set apart, if it is still the one that was shown.

    The bucket keeps the version for 90 days, and so it can be brought back; with --forever no version is left, also of
    what was dropped before.
    """
    context = here(ctx, json=json)
    why = _asked(context, why, yes=yes)
    store = _open(context, Where(config, stack, table, profile, region), bucket)
    before = _dropped(store, key) if forever else None
    item = store.load(key, str(before[0][0]["VersionId"]) if before is not None else "")
    if not yes:
        context.out.print(_page(item, store.note_of(key)))
        how = "for ever, with every version of it" if forever else "(its version is kept for 90 days)"
        typer.confirm(f"Drop this {item.kind} {how}, as {store.deployment.caller.arn}?", abort=True)
    if before is None:
        _drop(store, item)
    versions = _drop_versions(store, key, before or store.versions(key)) if forever else 0
    kept = f"{versions} versions of it are gone for ever" if forever else f"version {item.version or 'null'} is kept"
    said = f"dropped by {store.deployment.caller.arn}: {why} ({kept})"
    told = _remark(store, item, Event(context.clock(), "discarded", f"{item.kind} {_short(key)} was {said}"))
    document = {
        "schema": "nightshift.discarded/1",
        **_document(item, None),
        "version": item.version,
        "forever": forever,
        "versions": versions,
        "incident_told": told,
    }
    context.tell(document, pages.lines((f"It was {said}.", "bold green")))
    _say_untold(context, item, told=told)


def _dropped(store: _Store, key: str) -> _Versions | None:
    """What is left of what stands there no more, by us or by a command that came half-way; else None."""
    _kind(key)
    versions, markers = store.versions(key)
    return (versions, markers) if versions and not any(each.get("IsLatest") for each in versions) else None


def _drop(store: _Store, item: _Item) -> None:
    """Raises Declined where another object stands there by now."""
    try:
        store.aws.write_once("s3", "DeleteObject", Key=item.key, IfMatch=item.etag, **store.where)
    except Rejected as error:
        if error.code in _TAKEN:
            raise Declined(
                "it is not any more what was shown", "Look at it again: nightshift quarantine show"
            ) from error
        raise


def _drop_versions(store: _Store, key: str, these: _Versions) -> int:
    """
    Delete these versions and delete markers of this very key, markers last: how many versions there were.

    Of what was dropped before they are those that there were when it was shown: a letter that is stored anew under
    its name while the person reads is another one.
    """
    versions, markers = these
    for each in (*versions, *markers):
        store.aws.write_once("s3", "DeleteObject", Key=key, VersionId=each["VersionId"], **store.where)
    return len(versions)
