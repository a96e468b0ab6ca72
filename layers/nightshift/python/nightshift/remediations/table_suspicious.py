"""
A table of DynamoDB looks as if somebody had tampered with it: wake people, and leave it as it is.

Symptom   a table is gone, or nobody can read it for want of its key; it has lost half of what its newest backup holds,
          or has fewer items than it must have; another account may read it; what protects it was taken away; its items
          expire by another attribute than they should
Cause     somebody did that, by mistake or on purpose: who, as far as CloudTrail says it
Cure      none of ours: to shut somebody out, or to put a table back, is for people to decide
Proof     it is as the configuration says that it must be
Undo      nothing was changed
Source    runbook 1 "Severity 1": "Security breach detected", "Complete DynamoDB table corruption"

What it will not do: shut anybody out, put anything back, or read an item. What nobody has said of a table is not
judged: that it has no deletion protection is no sign where nobody said that it must have it. That it stands in an
inaccessible state, is shared with strangers, or is much smaller than its newest backup needs nobody to say. How large a
table is DynamoDB counts about every six hours, so what was lost is seen that late. Who read or wrote items CloudTrail
does not tell in its event history.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html,
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetResourcePolicy.html,
https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from nightshift import states, strict_json
from nightshift.errors import Refused, Unreadable
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
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.signals import table_metric
from nightshift.upkeep import READ_ONLY, WRITE, moment, time_of

__all__ = ["Expected", "TableSuspicious"]

_SOME = 1024 * 1024  # bytes: of a backup that is smaller, half is nothing
_OLD = timedelta(days=7)  # of a newest backup, from where on backup-stale tells that there are no continuous ones
_TOLD = 50  # events of a kind that are looked at: CloudTrail's own page
_EVENT = 200_000  # bytes of one event
_NAME = 200  # characters of somebody's name
_SHOWN = 5  # of who did something
_POLICY = 50_000  # bytes; DynamoDB takes 20 KB
_HOUR = 60  # minutes
_STRANGE = {
    "INACCESSIBLE_ENCRYPTION_CREDENTIALS": "nobody can read it: its key is disabled, deleted or denied to DynamoDB",
    "ARCHIVING": "it is being archived: its key could not be used for a week",
    "ARCHIVED": "it was archived: its key could not be used for a week",
    "DELETING": "it is being deleted",
}
"""states in which a table is as good as lost"""
_KNOWN = frozenset({"ACTIVE", "UPDATING", "REPLICATION_NOT_AUTHORIZED"})
_EFFECTS = ("Allow", "Deny")
_ACCOUNT = re.compile(r"(?:arn:[\w-]+:(?:iam|sts)::)?(\d{12})(?::.*)?", re.ASCII)


class Expected(BaseModel):
    """What one table must be. What is not said is not judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deletion_protection: bool = Field(default=False, description="whether it must be protected from being deleted")
    continuous_backups: bool = Field(default=False, description="whether point-in-time recovery must be on")
    stream: bool = Field(default=False, description="whether it must have a stream")
    key: str = Field(default="", max_length=200, description="ARN of the key of KMS with which it must be encrypted")
    expires_by: str | None = Field(
        default=None, max_length=255, description='attribute by which its items expire; "" where none may'
    )
    least_items: NonNegativeInt = Field(default=0, description="how many items it must have at the least")
    accounts: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description='other accounts, of twelve digits, that its policy may let in; "*" for everybody',
    )


@dataclass(frozen=True, slots=True)
class _Sign:
    """One thing that is not as it must be, and what CloudTrail calls whatever brings it about."""

    what: str
    says: str
    events: tuple[str, ...] = ()
    signal: Signal | None = None


class TableSuspicious(ReportOnly):
    """A table of DynamoDB that somebody may have tampered with."""

    name: ClassVar[str] = "table-suspicious"
    title: ClassVar[str] = "a table looks as if somebody had tampered with it"
    kinds: ClassVar[tuple[str, ...]] = ("dynamodb:table",)
    reads: ClassVar[tuple[str, ...]] = ("cloudtrail:LookupEvents",)
    turn: ClassVar[timedelta] = timedelta(minutes=15)
    steady: ClassVar[bool] = True

    lost_percent: float = Field(
        default=50, gt=0, lt=100, description="per cent of what its newest backup holds that a table may have lost"
    )
    tables: dict[str, Expected] = Field(
        default={},
        max_length=1000,
        description="[remediations.table-suspicious.tables.NAME]: what the table of that name must be",
    )

    def takes(self, target: Target) -> bool:
        """Of a table and its indexes the table alone: they are lost together."""
        return super().takes(target) and (self.name in target.remediations or "/index/" not in target.arn.resource)

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return _queries(target.arn)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick by any sign, whatever else cannot be read; healthy only by all that there is to read."""
        signs, blind = self._signs(target, seen)
        if signs:
            name = _table(target.arn)
            return Sick(
                Finding(
                    remediation=self.name,
                    target=str(target.arn),
                    symptom=f"{name}: {'; '.join(each.says for each in signs)}",
                    signals=tuple(each.signal for each in signs if each.signal is not None),
                    severity=Severity.SEV1,
                )
            )
        if blind:
            return Unknown(blind[0])
        return Healthy("it is as it must be, as far as anybody has said how")

    def _signs(self, target: Target, seen: Readings) -> tuple[list[_Sign], list[str]]:
        """What speaks against it, the worst first, and what could not be read or understood."""
        found, blind = dict[str, Mapping[str, Any]](), list[str]()
        for query in _queries(target.arn):
            answer = seen.resource(query)
            if isinstance(answer, Unread):
                blind.append(answer.reason)
            elif answer is not None:
                found[query.kind] = answer
            elif query.kind == "dynamodb.table":
                return [_Sign("gone", "there is no such table", ("DeleteTable",))], []
            else:
                blind.append(f"{query.kind} of {_table(target.arn)} is not known")
        signs, expected = list[_Sign](), self.tables.get(_table(target.arn), Expected())
        for kind, judge in (
            ("dynamodb.table", self._of_table),
            ("dynamodb.backups", self._of_backups),
            ("dynamodb.access", self._of_access),
        ):
            if kind not in found:
                continue
            try:
                signs += judge(target.arn, found, expected, blind)
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                blind.append(f"what was read of {_table(target.arn)} cannot be understood: {type(error).__name__}")
        return signs, blind

    def _of_table(
        self, arn: Arn, found: Mapping[str, Mapping[str, Any]], expected: Expected, blind: list[str]
    ) -> Iterator[_Sign]:
        """As DynamoDB describes it."""
        table = found["dynamodb.table"]
        status = str(table.get("TableStatus"))
        if status in _STRANGE:
            events = ("DeleteTable",) if status == "DELETING" else ("UpdateTable", "DisableKey", "ScheduleKeyDeletion")
            yield _Sign("state", _STRANGE[status], events)
        elif status not in _KNOWN:
            blind.append(f"{_table(arn)} is {status}")
            return
        items = table.get("ItemCount")
        if expected.least_items and not isinstance(items, int):
            blind.append(f"DynamoDB does not say how many items {_table(arn)} has")
        elif isinstance(items, int) and items < expected.least_items:
            signal = Signal("items", float(items), expected.least_items, "6 hours")
            yield _Sign("items", f"it has fewer items than the {expected.least_items} that it must have", (), signal)
        if expected.deletion_protection and not table.get("DeletionProtectionEnabled"):
            yield _Sign("protection", "its deletion protection is off", ("UpdateTable",))
        key = (table.get("SSEDescription") or {}).get("KMSMasterKeyArn")
        if expected.key and key != expected.key:
            which = "a key of AWS's own" if key is None else "another key"
            yield _Sign("key", f"it is encrypted with {which} than it must be", ("UpdateTable",))
        if expected.stream and not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            yield _Sign("stream", "its stream is off", ("UpdateTable",))

    def _of_backups(
        self, arn: Arn, found: Mapping[str, Mapping[str, Any]], expected: Expected, blind: list[str]
    ) -> Iterator[_Sign]:
        """Compared with its newest backup, which is the only note that AWS keeps of what it was."""
        backups = found["dynamodb.backups"]
        made, size = _made(backups), found.get("dynamodb.table", {}).get("TableSizeBytes")
        if made and isinstance(size, int):
            at, name, held = made[0]
            lost = 100 * (held - size) / held if held >= _SOME else 0.0
            if lost > self.lost_percent:
                signal = Signal("lost since its newest backup", round(lost, 1), self.lost_percent, "6 hours", "%")
                says = f"it has lost more than {self.lost_percent:g} % of what its backup {name} of {moment(at)} holds"
                yield _Sign("lost", says, ("RestoreTableFromBackup", "UpdateTimeToLive"), signal)
        status = backups.get("PointInTimeRecoveryStatus")
        if expected.continuous_backups and status == "DISABLED":
            yield _Sign("backups", "its continuous backups are off", ("UpdateContinuousBackups",))
        elif expected.continuous_backups and status != "ENABLED":
            blind.append(f"DynamoDB does not say how {_table(arn)} is backed up")

    def _of_access(
        self, arn: Arn, found: Mapping[str, Mapping[str, Any]], expected: Expected, blind: list[str]
    ) -> Iterator[_Sign]:
        """Whom its policy lets in, and by what its items expire."""
        access = found["dynamodb.access"]
        text = access.get("Policy")
        if text is not None:
            strangers = _strangers(str(text), {arn.account, *expected.accounts})
            if strangers is None:
                blind.append(f"the policy of {_table(arn)} cannot be understood")
            elif strangers:
                yield _Sign("open", f"its policy lets {' and '.join(strangers)} in", ("PutResourcePolicy",))
        if expected.expires_by is None:
            return
        on = access.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
        by = str(access.get("AttributeName") or "an attribute that is not said") if on else ""
        if by != expected.expires_by:
            says = f"its items expire by {by}" if by else "its items expire no more"
            should = f"by {expected.expires_by}" if expected.expires_by else "not at all"
            yield _Sign("expiry", f"{says}, and should {should}", ("UpdateTimeToLive",))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        """By a reading of now. Raises Refused where nothing speaks against it any more."""
        del finding
        seen = read.seen(*_queries(target.arn))
        signs, blind = self._signs(target, seen)
        if not signs and blind:
            raise Unreadable("dynamodb:DescribeTable", "Unread", blind[0], resource=str(target.arn))
        if not signs:
            raise Refused("table", "it is as it must be again", retry_after=timedelta(minutes=1))
        name = _table(target.arn)
        back = seen.resource(ResourceRead("dynamodb.backups", str(target.arn)))
        kept = back if isinstance(back, Mapping) else {}
        unknown = () if isinstance(back, Mapping) else ("what it could be put back from could not be read",)
        alone = [each.what for each in signs] == ["backups"]
        made = _made(kept)
        stale = alone and not (made and seen.at - made[0][0] <= _OLD)
        return Diagnosis(
            target=str(target.arn),
            cause=f"{name}: {signs[0].says}",
            evidence=(*(each.says for each in signs), *blind, *(unknown or _restorable(kept, made))),
            advice=_advice(target.arn, signs, kept, made),
            whose="backup-stale" if stale else "",
            facts={"events": list(dict.fromkeys(event for each in signs for event in each.events))},
        )

    def detail(self, read: Reader, target: Target, diagnosis: Diagnosis, notes: dict[str, Json]) -> Diagnosis:
        """Who did it, as far as CloudTrail has it, and what was asked of the table in the last hour."""
        del notes
        names = [str(each) for each in diagnosis.facts["events"]]
        acts = sorted((act for name in names for act in _acts(read, target.arn, name)), reverse=True)
        told = [f"{what} by {who} at {moment(at)}" for at, what, who in acts[:_SHOWN]]
        if names and not acts:
            told = [f"CloudTrail names nobody for {' or '.join(names)}: it is some minutes late, and keeps 90 days"]
        table = replace(target.arn, resource=target.arn.resource.partition("/index/")[0])
        failed, expired = states.sums(
            read,
            table_metric(table, "ConditionalCheckFailedRequests", "Sum", _HOUR),
            table_metric(table, "TimeToLiveDeletedItemCount", "Sum", _HOUR),
        )
        told.append(f"in the last hour {failed:.0f} conditional writes failed, and {expired:.0f} items expired")
        return replace(diagnosis, evidence=(*diagnosis.evidence, *told))


# -- what is read ------------------------------------------------------------------------------------------------------


def _queries(arn: Arn) -> tuple[ResourceRead, ...]:
    return tuple(ResourceRead(f"dynamodb.{what}", str(arn)) for what in ("table", "backups", "access"))


def _table(arn: Arn) -> str:
    return arn.resource.split("/")[1]


def _made(backups: Mapping[str, Any]) -> list[tuple[datetime, str, int]]:
    """When its backups were made, how they are called, and how many bytes they hold: the newest first."""
    made = []
    for each in backups.get("Backups", ()):
        at, size = time_of(each, "BackupCreationDateTime"), each.get("BackupSizeBytes")
        if each.get("BackupStatus") == "AVAILABLE" and each.get("BackupType") != "SYSTEM" and at is not None:
            made.append((at, str(each.get("BackupName")), size if isinstance(size, int) else 0))
    return sorted(made, reverse=True)


def _strangers(text: str, known: set[str]) -> list[str] | None:
    """Whom a policy lets in that is not known; None where it cannot be read. A condition may narrow it: not asked."""
    try:
        said = strict_json.loads(text, limit=_POLICY)
    except strict_json.NotStrict:
        return None
    statements = _listed(said.get("Statement")) if isinstance(said, dict) else []
    if not statements or not all(isinstance(each, dict) and each.get("Effect") in _EFFECTS for each in statements):
        return None  # no policy, or one in a form that we do not know: whom it lets in is not known either
    found = []
    for statement in statements:
        if statement["Effect"] != "Allow":
            continue
        if "NotPrincipal" in statement:
            found.append("all but a few")
        whom = statement.get("Principal")
        for each in _listed(whom.get("AWS")) if isinstance(whom, dict) else _listed(whom):
            account = _ACCOUNT.fullmatch(str(each))
            if "*" in known:
                continue
            if account is None:
                found.append("everybody" if each == "*" else "somebody whose account it does not name")
            elif account[1] not in known:
                found.append(f"account {account[1]}")
    return list(dict.fromkeys(found))


def _listed(value: object) -> list[Any]:
    """IAM takes one of a thing in the place of a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _acts(read: Reader, arn: Arn, name: str) -> Iterator[tuple[datetime, str, str]]:
    """
    Who did that to this table, or to a key: the newest page.

    Autoscaling calls UpdateTable too, so it may be more than a page; what a caller sent is not told.
    """
    wanted = [{"AttributeKey": "EventName", "AttributeValue": name}]
    for event in read("cloudtrail", "LookupEvents", LookupAttributes=wanted, MaxResults=_TOLD).get("Events", ()):
        try:
            told = strict_json.loads(event["CloudTrailEvent"], limit=_EVENT)
            asked, who = told.get("requestParameters") or {}, told["userIdentity"]
            about = {
                str(asked.get(field) or "").partition("/stream/")[0].rpartition("/")[2]
                for field in ("tableName", "resourceArn", "targetTableName")
            }
            if name not in {"DisableKey", "ScheduleKeyDeletion"} and _table(arn) not in about:
                continue
            by = str(who.get("arn") or who.get("invokedBy") or "somebody without a name")[:_NAME]
            refused = ", and was refused" if told.get("errorCode") else ""
            yield event["EventTime"].astimezone(UTC), name, f"{by}{refused}"
        except (AttributeError, KeyError, TypeError, ValueError):
            continue


# -- what people should do ---------------------------------------------------------------------------------------------


def _restorable(kept: Mapping[str, Any], made: Sequence[tuple[datetime, str, int]]) -> Iterator[str]:
    first, last = (time_of(kept, f"{which}RestorableDateTime") for which in ("Earliest", "Latest"))
    if first is not None and last is not None:
        yield f"it could be put back to any time from {moment(first)} to {moment(last)}"
    for at, name, _ in made[:1]:
        yield f"its newest backup is {name}, of {moment(at)}"
    if not made and last is None:
        yield "as far as DynamoDB says, there is nothing that it could be put back from"


def _advice(
    arn: Arn, signs: Sequence[_Sign], kept: Mapping[str, Any], made: Sequence[tuple[datetime, str, int]]
) -> tuple[str, ...]:
    """First find out whether somebody meant it; then shut out; then put back, beside what is there."""
    name, kinds = _table(arn), {each.what for each in signs}
    one = f"--table-name {shlex.quote(name)}"
    lookup = f"aws cloudtrail lookup-events --lookup-attributes AttributeKey=ResourceName,AttributeValue={name}"
    found = [
        f"ask whoever CloudTrail names whether they meant it: {lookup} {READ_ONLY}",
        "if nobody did, take it for a breach: tell the security team first, and leave the table as it is",
        "shutting somebody out is for people: a session ends by what its role is denied from now on, not by a new key",
    ]
    if "open" in kinds:
        found.append(f"read the policy: aws dynamodb get-resource-policy --resource-arn {arn} {READ_ONLY}")
        found.append(f"if nobody needs it: aws dynamodb delete-resource-policy --resource-arn {arn} {WRITE}")
    if "expiry" in kinds:
        found.append(f"what expires is gone within days: aws dynamodb describe-time-to-live {one} {READ_ONLY}")
    if "protection" in kinds:
        found.append(f"protect it again: aws dynamodb update-table {one} --deletion-protection-enabled {WRITE}")
    if "backups" in kinds:
        switch = "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        found.append(f"back it up again: aws dynamodb update-continuous-backups {one} {switch} {WRITE}")
    if kinds & {"state", "key"}:
        found.append(f"see its key: aws dynamodb describe-table {one} --query Table.SSEDescription {READ_ONLY}")
    if kinds & {"gone", "state", "items", "lost"}:
        found.append(_back(name, kept, made))
    return tuple(found)


def _back(name: str, kept: Mapping[str, Any], made: Sequence[tuple[datetime, str, int]]) -> str:
    """How a person would put it back, as another table."""
    other = shlex.quote(f"{name}-restored")
    if time_of(kept, "LatestRestorableDateTime") is not None:
        command = f"restore-table-to-point-in-time --source-table-name {shlex.quote(name)} --target-table-name {other}"
        command = f"aws dynamodb {command} --restore-date-time TIME"
    elif made:
        command = f"aws dynamodb restore-table-from-backup --target-table-name {other} --backup-arn ARN"
    else:
        look = f"aws dynamodb list-backups --table-name {shlex.quote(name)} --backup-type ALL {READ_ONLY}"
        return (
            "see what there is to put it back from, also the backup that DynamoDB makes of a table with continuous "
            f"backups when it is deleted, and keeps for 35 days: {look}"
        )
    return f"put it back beside itself, to a time before that, and decide then who goes over to it: {command} {WRITE}"
