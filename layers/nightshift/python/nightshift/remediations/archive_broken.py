"""
The archive does not say of a change what it should: tell which, for whom, and what to do about it.

Symptom   of the last week's changes one says nothing, was processed for nobody, was handed in again since, lacks its
          meeting, or is not there though a trigger of it stands; or it was deleted, or cannot be read, for an hour
Cause     an event was lost, a consumer could not write, or somebody deleted or wrote over an object
Cure      none of ours: whether a customer is to be mailed of a change once more is for people to say
Proof     every change of the week says that it was processed, for each of its customers
Undo      nothing was changed
Source    runbook 0 "Audit Archive Integrity" and task 4; R19

It tells only what is certain. An entry of which nobody can say whose it is may be anybody's; a customer whose trigger
stands is the trigger's business (`s3-trigger-stuck`); and whether a change was handed in again is only known where the
configuration says how the archive calls that. Deleted and unreadable objects are put back by `archive-object-lost`,
which has an hour for it before they are told here. Of more changes than a look opens, the newest are audited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from pydantic import Field

from nightshift import states
from nightshift.archives import (
    NAME,
    Archived,
    Words,
    archive_of,
    change_of,
    key_of,
    replication,
    triggers_of,
    understood,
    versioning,
)
from nightshift.errors import Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    Json,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread

__all__ = ["ArchiveBroken"]

_NEAR = timedelta(minutes=5)  # how far two clocks may be apart before what one says is before the other means anything
_SHOWN = 20  # changes that a report names
_WANTED = frozenset({"true", "yes"})


class Fault(StrEnum):
    """What is wrong with a change."""

    DELETED = "deleted"
    UNREADABLE = "cannot be read"
    EMPTY = "says nothing of what was done"
    LOST = "neither processed nor triggered"
    STALE = "handed in again, and not processed since"
    NO_MEETING = "without its meeting"
    ORPHAN = "a trigger, and no object in the archive"


@dataclass(frozen=True, slots=True)
class _Broken:
    """A change, what is wrong with it, and for which customers; none named: for all that it has."""

    key: str
    fault: Fault
    customers: tuple[str, ...] = ()

    def __str__(self) -> str:
        of = f" for {', '.join(self.customers)}" if self.customers else ""
        return f"{self.key}: {self.fault}{of}"


@dataclass(frozen=True, slots=True)
class _Standing:
    """The triggers that stand: by change, of whom. ``whole``: none stands but these."""

    of: Mapping[str, frozenset[str]]
    whole: bool


class ArchiveBroken(ReportOnly, Words):
    """An archive of which some change is not what it should be."""

    name: ClassVar[str] = "archive-broken"
    title: ClassVar[str] = "the archive does not say that changes were processed"
    kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)
    needs: ClassVar[tuple[str, ...]] = ("triggers",)
    reads: ClassVar[tuple[str, ...]] = ("s3:GetBucketVersioning", "s3:GetReplicationConfiguration")

    late: timedelta = Field(
        default=timedelta(hours=1),
        ge=timedelta(minutes=15),
        le=timedelta(hours=24),
        description="how long after its last writing a change may still be under way",
    )
    orphan: timedelta = Field(
        default=timedelta(minutes=15),
        ge=timedelta(minutes=5),
        le=timedelta(hours=24),
        description="how long a trigger may stand before its change is in the archive",
    )
    customers_field: str = Field(
        default="", max_length=64, description="where the archive lists a change's customers; empty: nobody knows"
    )
    submitted: str = Field(
        default="", max_length=64, description="what an entry says where a change was handed in; empty: nobody knows"
    )
    meeting_wanted: str = Field(
        default="",
        max_length=64,
        description="what says of a change that it wants a meeting; empty: none is looked for",
    )
    meeting_field: str = Field(
        default="", max_length=64, description="where the change, or an entry of it, holds that meeting"
    )
    expires_after: timedelta | None = Field(
        default=None,
        gt=timedelta(0),
        description="the age at which a lifecycle rule of the bucket deletes an object, if one does: that is no loss",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        if target.triggers is None:
            return ()
        return (archive_of(target.arn, target.triggers), triggers_of(target.arn, target.triggers))

    def detect(self, target: Target, seen: Readings) -> Observation:
        """What is broken shows whatever else could not be read; that nothing is, only where everything could."""
        if target.triggers is None:
            return Unknown(f"nobody has said what stands in {target.arn.name}")
        archive = seen.resource(archive_of(target.arn, target.triggers))
        listing = seen.resource(triggers_of(target.arn, target.triggers))
        for each in (archive, listing):
            if isinstance(each, Unread):
                return Unknown(each.reason)
        if not isinstance(archive, Mapping) or not isinstance(listing, Mapping):
            return Unknown(f"{target.arn} does not exist")
        try:
            standing = _standing(target.triggers, listing)
            broken = list(self._audit(target.triggers, archive, listing, standing, seen.at))
            blind = _blind(target.triggers, archive, standing)
            count = len(archive["Recent"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return Unknown(f"the archive of {target.arn.name} cannot be understood: {type(error).__name__}")
        if broken:
            return Sick(self._finding(target, broken))
        return Unknown(blind) if blind else Healthy(f"{count} changes of the last week, none of them broken")

    def _audit(
        self,
        triggers: Triggers,
        archive: Mapping[str, Any],
        listing: Mapping[str, Any],
        standing: _Standing,
        now: datetime,
    ) -> Iterator[_Broken]:
        for each in archive["Deleted"]:
            if change_of(triggers, each["Key"]) and self._is_late(each, now) and not self._expired(each):
                yield _Broken(each["Key"], Fault.DELETED)
        for each in archive["Recent"]:
            change, body = change_of(triggers, each["Key"]), archive["Bodies"].get(each["Key"])
            if not change or body is None or not self._is_late(each, now):
                continue
            said = understood(body, self)
            if isinstance(said, str):
                yield _Broken(each["Key"], Fault.UNREADABLE)
            elif not said.entries:
                yield _Broken(each["Key"], Fault.EMPTY)
            else:
                yield from self._judge(triggers, change, said, standing)
        if not archive["Truncated"]:
            yield from self._orphans(triggers, archive, listing, now)

    def _is_late(self, listed: Mapping[str, Any], now: datetime) -> bool:
        late: bool = now - listed["LastModified"] > self.late
        return late

    def _expired(self, deleted: Mapping[str, Any]) -> bool:
        """Whether it was as old when it was deleted as the bucket lets an object become."""
        age: timedelta = deleted["LastModified"] - deleted["Written"]
        return self.expires_after is not None and age >= self.expires_after

    def _judge(self, triggers: Triggers, change: str, said: Archived, standing: _Standing) -> Iterator[_Broken]:
        """What a change that can be read says too little of. Whose trigger stands is the trigger's business."""
        key, waits = key_of(triggers.archive, change), standing.of.get(change, frozenset())
        if self._misses_its_meeting(said):
            yield _Broken(key, Fault.NO_MEETING)
        if not standing.whole:
            return
        done = [each for each in said.entries if each.kind == self.processed]
        odd = any(each.kind is None for each in said.entries)  # it may be about anything, and for anybody
        customers = self._customers(triggers, said)
        if customers is None:
            if not done and not odd and not waits:
                yield _Broken(key, Fault.LOST)
            return
        lost, stale = list[str](), list[str]()
        again = self._handed_in(said)
        for customer in customers:
            own = [each for each in done if each.customer in (customer, None)]
            if customer in waits or odd:
                continue
            if not own:
                lost.append(customer)
            elif again is not None and all(each.at is not None and each.at < again - _NEAR for each in own):
                stale.append(customer)
        if lost:
            yield _Broken(key, Fault.LOST, tuple(lost))
        if stale:
            yield _Broken(key, Fault.STALE, tuple(stale))

    def _customers(self, triggers: Triggers, said: Archived) -> tuple[str, ...] | None:
        """For whom a change is, of those that are configured; None where nobody can say."""
        named = said.document.get(self.customers_field) if self.customers_field else None
        if isinstance(named, list) and named and all(isinstance(each, str) for each in named):
            return tuple(each.name for each in triggers.customers if each.name in named)
        return (triggers.customers[0].name,) if len(triggers.customers) == 1 else None

    def _handed_in(self, said: Archived) -> datetime | None:
        """When a change was last handed in; None where it does not say so, or one that cannot be read may be later."""
        every = [each.at for each in said.entries if self.submitted and each.kind == self.submitted]
        times = [at for at in every if at is not None]
        return max(times) if times and len(times) == len(every) else None

    def _misses_its_meeting(self, said: Archived) -> bool:
        if not self.meeting_wanted or not self.meeting_field:
            return False
        wanted = said.document.get(self.meeting_wanted)
        if wanted is not True and str(wanted).casefold() not in _WANTED:
            return False
        places = (said.document, *said.document[self.modifications])
        return not any(place.get(self.meeting_field) for place in places)

    def _orphans(
        self, triggers: Triggers, archive: Mapping[str, Any], listing: Mapping[str, Any], now: datetime
    ) -> Iterator[_Broken]:
        """Triggers whose change never was in the archive."""
        gone = {each["Key"] for each in archive["Deleted"]}
        for each in listing["Oldest"]:
            customer, change = _named(triggers, each["Key"])
            key = key_of(triggers.archive, change)
            known = not change or key in archive["Keys"] or key in gone
            if not known and now - each["LastModified"] > self.orphan:
                yield _Broken(key, Fault.ORPHAN, (customer,))

    def _finding(self, target: Target, broken: Sequence[_Broken]) -> Finding:
        counts = Counter(each.fault for each in broken)
        lost = {Fault.DELETED, Fault.UNREADABLE, Fault.LOST, Fault.STALE, Fault.ORPHAN} & counts.keys()
        count = len({each.key for each in broken})
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=f"{count} change{'s' if count != 1 else ''} of the archive of {target.arn.name}: "
            + ", ".join(f"{number} {fault}" for fault, number in sorted(counts.items())),
            signals=(Signal("broken changes", count, 0, "7 days", "changes"),),
            evidence=tuple(str(each) for each in broken[:_SHOWN]),
            severity=Severity.SEV2 if lost else Severity.SEV3,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """What is broken now, by its kind. Raises Refused where nothing is, Unreadable where that cannot be told."""
        triggers = target.triggers
        if triggers is None:
            raise Refused("triggers", "nobody has said what stands in the bucket")
        of_archive, of_triggers = archive_of(target.arn, triggers), triggers_of(target.arn, triggers)
        seen = read.seen(of_archive, of_triggers)
        archive, listing = (_there(seen, query) for query in (of_archive, of_triggers))
        broken = list(self._audit(triggers, archive, listing, _standing(triggers, listing), seen.at))
        if not broken:
            raise Refused("archive", "no change is broken any more", retry_after=timedelta(minutes=1))
        faults = Counter(each.fault for each in broken)
        return Diagnosis(
            target=str(target.arn),
            cause="; ".join(f"{count} {fault}: {_CAUSES[fault]}" for fault, count in sorted(faults.items())),
            evidence=tuple(str(each) for each in broken[:_SHOWN]),
            facts={"customers": sorted({name for each in broken for name in each.customers})},
            advice=tuple(dict.fromkeys(_ADVICE[fault] for fault in Fault if fault in faults)),
        )

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """What stands in the queues of those whose changes are broken, and whether the bucket keeps what is lost."""
        del notes
        triggers = target.triggers
        if triggers is None:
            return diagnosis
        here = {"Bucket": target.arn.name, "ExpectedBucketOwner": triggers.customers[0].queue.account}
        affected = diagnosis.facts["customers"] or [each.name for each in triggers.customers]
        queues = [
            _depth(read, arn)
            for each in triggers.customers
            if each.name in affected
            for arn in (each.queue, each.dead_letters)
        ]
        return replace(
            diagnosis, evidence=(*diagnosis.evidence, *queues, versioning(read, here), replication(read, here))
        )


# -- what is read ------------------------------------------------------------------------------------------------------


def _there(seen: Readings, query: ResourceRead) -> Mapping[str, Any]:
    """What was read. Raises Unreadable."""
    found = seen.resource(query)
    if isinstance(found, Mapping):
        return found
    reason = found.reason if isinstance(found, Unread) else "it does not exist"
    raise Unreadable("s3:ListBucketVersions", "Unread", reason, resource=query.key)


def _named(triggers: Triggers, key: str) -> tuple[str, str]:
    """The customer and the change of a trigger; empty where the key is odd."""
    customer, _, name = key.removeprefix(triggers.prefix).partition("/")
    change = name.removesuffix(".json")
    odd = (
        not NAME.fullmatch(customer)
        or not NAME.fullmatch(change)
        or key != f"{triggers.prefix}{customer}/{change}.json"
    )
    return ("", "") if odd else (customer, change)


def _standing(triggers: Triggers, listing: Mapping[str, Any]) -> _Standing:
    of: dict[str, set[str]] = {}
    for each in listing["Oldest"]:
        customer, change = _named(triggers, each["Key"])
        of.setdefault(change, set()).add(customer)
    whole = not listing["Truncated"] and listing["Count"] == len(listing["Oldest"])
    return _Standing({change: frozenset(names) for change, names in of.items()}, whole)


def _blind(triggers: Triggers, archive: Mapping[str, Any], standing: _Standing) -> str:
    """What could not be seen, so that nobody can say that nothing is broken; empty where all could."""
    if archive["Truncated"]:
        return f"there are more versions under {triggers.archive} than were listed"
    if not standing.whole:
        return f"there are more triggers under {triggers.prefix} than were listed"
    unread = {key: why for key, why in archive["Unread"].items() if change_of(triggers, key)}
    for key, why in sorted(unread.items()):
        return f"{len(unread)} objects of the archive were not read; {key}: {why}"
    return ""


def _depth(read: Reader, queue: Arn) -> str:
    try:
        held = states.messages(states.queue(read, queue))
    except (Missing, Unreadable) as error:
        return f"{queue.name} cannot be read: {error}"
    return f"{queue.name}: {'an unknown number of' if held is None else held} messages"


# -- words -------------------------------------------------------------------------------------------------------------

_CAUSES: Final[Mapping[Fault, str]] = {
    Fault.DELETED: "somebody or something deleted them",
    Fault.UNREADABLE: "somebody or something wrote over them",
    Fault.EMPTY: "whoever wrote them did not say what was done",
    Fault.LOST: "their event was lost, or a consumer deleted the trigger and wrote nothing",
    Fault.STALE: "the event of the last time was lost, or its consumer wrote nothing",
    Fault.NO_MEETING: "the meeting could not be made",
    Fault.ORPHAN: "the trigger was written, and the change was not; or it was deleted long ago",
}
_PUT_BACK: Final = (
    "Put the object back from its newest version that can be read, or from the backup; one object, never a prefix "
    "(`archive-object-lost` does it, with a person's leave)"
)
_VERIFY: Final = (
    "See with `nightshift verify-change CHANGE` how far it got, and in the consumer's and the mail log whether the "
    "customer was mailed; if not, hand the change in once more"
)
_ADVICE: Final[Mapping[Fault, str]] = {
    Fault.DELETED: _PUT_BACK,
    Fault.UNREADABLE: _PUT_BACK,
    Fault.EMPTY: "Look at what wrote the object: a change begins with an entry that says who handed it in",
    Fault.LOST: _VERIFY,
    Fault.STALE: _VERIFY,
    Fault.NO_MEETING: "Look in the consumer's log for Microsoft Graph: its credentials may have expired",
    Fault.ORPHAN: "Find out whose trigger it is; hand its change in once more, or delete it if nobody needs it",
}
