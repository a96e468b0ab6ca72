"""
The promises of the design, as checks over what a run left behind: the world's account, the trail, the records, mail.

What a caller was told does not count here. ``effects`` are the writes that really happened, with the moment at which
each was sent and the invocation that sent it. Wherever a check has an exemption, it says which fact makes it true, and
a seeded bug (:mod:`.bugs`) proves that the exemption hides nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any
from urllib.parse import unquote_plus

from nightshift import loans
from nightshift.engine import GIVE_BACK_EVERY, GIVE_BACK_TRIES
from nightshift.incidents import Event
from nightshift.model import Call as PlannedCall
from nightshift.model import Incident, Outcome, SwitchState, Verdict
from nightshift.report import GIVE_BACK
from nightshift.stacks import ROLLBACK_FAILED

from sandbox.clock import from_ms, to_ms
from sandbox.ledger import fingerprint
from sandbox.mailbox import Mail
from sandbox.seam import Call
from sandbox.simulation.hub import Running
from sandbox.simulation.loan import LENT, ORIGINAL
from sandbox.simulation.nemesis import Fault
from sandbox.simulation.run import (
    BACKUP,
    CAPACITY,
    LATE,
    MAINTENANCE,
    MOST,
    RESERVED,
    SCALING,
    TASKS,
    TRIGGERS,
    WIRES,
    Human,
    Played,
    Stage,
    stuck_for,
)
from sandbox.systems.aliased_function import DENIED
from sandbox.systems.hot_aggregates import READS, WRITES
from sandbox.systems.transient_trigger import TransientTrigger, readable
from sandbox.trail import Event as TrailEvent

__all__ = ["PROMISES", "Violation", "check"]

MINUTE_MS = 60_000
LATENCY_MS = 200
"""longer than an undisturbed call takes"""
CALLS = 60_000
"""more than any run needs: beyond it something goes round and round"""
OVERTIME = timedelta(minutes=45)
"""how long after its deadline an incident may stay open: what was begun settles, is verified and is taken back"""
_ABOUT = re.compile(r"^ *Incident +(\S+) \(", re.MULTILINE)
"""the line of a report that says which incident it is about"""
_END_OF_WATCHING = {"WOULD ACT": "REFUSED", "STARTED AGAIN": "FIXED", "DONE": "FIXED"}
"""what a report says instead where nothing may be done but to watch, or where people had asked"""
_LOOKED, _JUST_NOW = timedelta(minutes=8), timedelta(seconds=30)
"""how long before its verdict an incident may have looked last, and how often we look ourselves"""
_REACH = timedelta(minutes=6)
"""from the intent of a call to the look that finds out what became of it: a dead tick's lease, and then some"""
_NEVER = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
_NEGLECTED = timedelta(minutes=150)
"""after which somebody knows what people have neglected: an hour until it counts, an hour until it is looked at"""
_AGAIN = timedelta(minutes=2)
"""within which a publication whose answer was lost is repeated, or lands late"""
_EXPECTED = {"Crash", "Fenced", "StoreUnavailable", "Unsent"}
"""what a tick or a sweep may end with: it is taken up again"""
_LIMITS = "application-autoscaling.RegisterScalableTarget"
_POINTS = "lambda.UpdateAlias"
_FOLLOWS, _ENDS = "application-autoscaling.PutScalingPolicy", "application-autoscaling.DeregisterScalableTarget"
_CONTINUES = "cloudformation.ContinueUpdateRollback"
_RANGES = "rds.ModifyDBCluster"
_SNAPSHOTS = "rds.CreateDBClusterSnapshot"
_RESERVES = "lambda.PutFunctionConcurrency"
_KEEPS, _LETS_GO = "lambda.PutProvisionedConcurrencyConfig", "lambda.DeleteProvisionedConcurrencyConfig"
_UPDATES = "dynamodb.UpdateTable"
_ONCE = {
    _CONTINUES,
    _RANGES,
    "ecs.UpdateService",
    "events.EnableRule",
    "appsync.CreateApiCache",
    _UPDATES,
    "ecs.StopTask",
    "ecs.StopServiceDeployment",
    "sqs.SetQueueAttributes",
    "sqs.StartMessageMoveTask",
    _LIMITS,
    _FOLLOWS,
    _RESERVES,
    _POINTS,
    _KEEPS,
}
"""writes of which an attempt makes at most one"""
_RAISED = {"VisibilityTimeout", "MessageRetentionPeriod"}
"""all that is ever set of a queue"""
_SENDS = {"sqs.SendMessage", "lambda.Invoke"}
"""what gives a letter another chance: at most once an incident"""
_NOTHING_LASTS = {
    "s3.GetObject",
    "s3.ListObjectsV2",
    "stepfunctions.DescribeExecution",
    "stepfunctions.DescribeStateMachineForExecution",
    "stepfunctions.ListExecutions",
    "sqs.ReceiveMessage",
    "sqs.ListMessageMoveTasks",
    "sqs.ChangeMessageVisibility",
}
"""made under a write role, and nothing of them stays: letters that were hidden show themselves again"""
_BY_TEN = ("sqs:", "s3:", "states:", "lambda:")
"""of which many calls are made in one step: they are recorded when it ends"""
_STOPS = {"sqs.CancelMessageMoveTask", "sqs.ListMessageMoveTasks", "sqs.ChangeMessageVisibility"}
"""what only stops or takes back what we did: allowed while Nightshift is paused"""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was not kept, and how that shows."""

    promise: str
    text: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.text}"


@dataclass(frozen=True)
class Case:
    """A run that has ended, with what several checks want to know of it."""

    played: Played

    @cached_property
    def incidents(self) -> dict[str, Incident]:
        """By id."""
        return {incident.id: incident for incident in self.played.incidents}

    @cached_property
    def writes(self) -> list[Call]:
        """Writes to targets that happened, in the order in which they were sent."""
        return sorted(
            (call for call in self.played.effects if call.principal.role_arn is not None), key=lambda call: call.number
        )

    @cached_property
    def by_incident(self) -> dict[str, list[Call]]:
        """The same by whose name they were made in."""
        found: dict[str, list[Call]] = defaultdict(list)
        for call in self.writes:
            found[call.principal.name].append(call)
        return found

    @cached_property
    def events(self) -> dict[str, list[Event]]:
        """The timelines, by incident."""
        incidents = self.played.stage.nightshift.incidents
        return {id_: incidents.events(id_) for id_ in self.incidents}

    @cached_property
    def mail(self) -> dict[str, list[Mail]]:
        """What people were told, by the incident that it is about."""
        found: dict[str, list[Mail]] = defaultdict(list)
        for mail in self.played.stage.world.mail:
            if about := _ABOUT.search(mail.text):
                found[about[1]].append(mail)
        return found

    @cached_property
    def invocations(self) -> dict[int, Running]:
        """By number."""
        return {running.number: running for running in self.played.stage.hub.all}

    def invocation(self, call: Call) -> Running:
        """Who sent a call."""
        return self.invocations[call.notes["invocation"]]

    @property
    def stale_ms(self) -> int:
        """How old what a guardrail saw may have been."""
        return MINUTE_MS if self.played.story.rates.get(Fault.STALE) else 0

    @property
    def skew(self) -> timedelta:
        """How far two clocks may be apart."""
        return timedelta(milliseconds=2 * self.played.story.skew_ms)


def check(played: Played) -> list[Violation]:
    """Every violation of a run; none is what we promise."""
    case = Case(played)
    return [Violation(name, text) for name, promise in PROMISES.items() for text in promise(case)]


# -- 0: no defect of our own -----------------------------------------------------------------------------------------


def no_defect(case: Case) -> Iterator[str]:
    """No function ends with an error that is not the world's doing, and none goes round and round."""
    stage = case.played.stage
    for where, error in stage.errors:
        if type(error).__name__ not in _EXPECTED:
            yield f"{where} raised {type(error).__name__}: {str(error)[:200]}"
    for done in stage.world.lambdas.errors:
        if type(done.error).__name__ not in _EXPECTED:
            yield f"{done.function} raised {type(done.error).__name__}: {str(done.error)[:200]}"
    if not any((case.played.story.rates, case.played.story.denials)):
        for where, error in stage.errors:
            if type(error).__name__ != "Fenced":
                yield f"{where} raised {type(error).__name__} although nothing went wrong: {str(error)[:200]}"
    calls = sum(running.calls for running in stage.hub.all)
    if calls > CALLS:
        yield f"{calls} calls in one run"


# -- 1: no message is lost -------------------------------------------------------------------------------------------


def messages_conserved(case: Case) -> Iterator[str]:
    """Every message is processed, waiting, dead, stored, or gone for a reason that is not ours; none is made up."""
    played = case.played
    world = played.stage.world
    for print_, count in world.unaccounted().items():
        yield f"the world cannot account for {count} of message {print_}"
    ledger, present, stored = world.ledger, world.queues.present(), _stored(played)
    extra = 0
    for print_, original in played.stage.sent.items():
        there = len(ledger.processed.times.get(print_, ())) + present[print_] + stored[print_]
        there += ledger.expired[print_] + ledger.purged[print_]
        if there < original:
            yield f"message {print_} was sent {original} times, and {there} can be found"
        kept = min(stored[print_], present[print_])  # stored, and could not be deleted: one letter, still where it was
        extra += max(there - kept - original, 0)
    uncertain = sum(incident.ledger.uncertain for incident in played.incidents)
    if extra > uncertain:
        yield f"{extra} messages exist twice, and the reports call {uncertain} uncertain"
    for incident in played.incidents:
        if not incident.ledger.balanced:
            yield f"the ledger of {incident.id} does not balance: {incident.ledger}"
        yield from _moved_as_told(case, incident)


def _stored(played: Played) -> Counter[str]:
    """Fingerprints of the letters in quarantine."""
    found: Counter[str] = Counter()
    for key, body in played.quarantine.items():
        if key.startswith("letters/"):
            found[fingerprint(json.loads(body)["body"])] += 1
    return found


def _moved_as_told(case: Case, incident: Incident) -> Iterator[str]:
    """What a report says was moved is what left the dead-letter queue by our hand."""
    if incident.remediation not in {"sqs-dlq-backlog", "lambda-dlq-backlog"}:
        return
    writes = case.by_incident.get(incident.id, [])
    sent = {_sent(call) for call in writes if call.name in _SENDS}
    stored = {_letter(call): to_ms(call.at) for call in writes if call.name == "s3.PutObject"}
    handles = {call.notes["answer"].get("TaskHandle") for call in writes if call.name == "sqs.StartMessageMoveTask"}
    tasks = [task for task in case.played.stage.world.move_tasks.all if task.handle in handles]
    by_task = sum(task.moved for task in tasks)
    began = min((task.started_ms for task in tasks), default=1 << 62)
    first = {letter for letter, at in stored.items() if at < began}  # later ones may be letters that the task had moved
    told, least, most = incident.ledger, len(sent | first) + by_task, len(sent | stored.keys()) + by_task
    if told.moved > most or told.moved + told.uncertain < least:
        how = f"{len(sent)} were sent, {len(stored)} stored, {by_task} moved by a task"
        yield f"{incident.id} says that {told.moved} letters moved (and {told.uncertain} are uncertain); {how}"


def _sent(call: Call) -> str:
    """The fingerprint of a letter that was sent home, or of an event that its function was given."""
    if call.name == "lambda.Invoke":
        payload = call.params["Payload"]
        return fingerprint(payload if isinstance(payload, str) else bytes(payload).decode())
    return fingerprint(call.params["MessageBody"])


def _letter(put: Call) -> str:
    """The fingerprint of a letter that was set apart."""
    body = put.params["Body"]
    text = body if isinstance(body, bytes | str) else body.getvalue()  # the SDK makes a file of it
    return fingerprint(json.loads(text)["body"])


def triggers_kept(case: Case) -> Iterator[str]:
    """
    No trigger is deleted without a copy that was stored before, and an entry for its customer since it was written.

    None is sent twice, or once it was processed; and no customer is mailed twice about one writing of it, but where a
    queue gave the same message to its consumer twice, which is what it promises.
    """
    for bucket in case.played.stage.buckets:
        writes = [call for call in case.writes if call.params.get("Bucket") == bucket.bucket]
        for call in writes:
            if call.name == "s3.DeleteObject":
                yield from _deleted_with_proof(case, bucket, call)
        yield from _sent_once(case, bucket)
        messages: dict[tuple[str, str, datetime], set[str]] = defaultdict(set)
        for mail in bucket.mails:
            messages[mail.customer, mail.change, mail.written].add(mail.message)
        for (customer, change, written), several in messages.items():
            if len(several) > 1:
                yield f"{customer} was mailed of {change} ({written:%H:%M:%S}) for {len(several)} messages"


def archive_kept(case: Case) -> Iterator[str]:
    """
    Nothing is put into an archive but a version of the same object that can be read, or its copy, where it was lost.

    Each once an attempt, and only if S3 was asked to see that nobody had written it since.
    """
    for bucket in case.played.stage.buckets:
        copies = [
            call for call in case.writes if call.name == "s3.CopyObject" and call.params["Bucket"] == bucket.bucket
        ]
        for call in copies:
            key, (source, _, version) = call.params["Key"], call.params["CopySource"].partition("?versionId=")
            every = bucket.versions(key)
            copies_of = (each for each in case.played.stage.backups if each.system is bucket)
            saved = {f"{each.bucket}/{name}": each.body(name) for each in copies_of for name in each.keys}
            own = source == f"{bucket.bucket}/{key}" and readable(dict(every).get(version) or b"")
            copy = source.endswith(f"/{key}") and "CopySourceIfMatch" in call.params and source in saved
            if not own and not (copy and readable(saved[source])):
                yield f"{call.params['CopySource']} was copied over {key}"
            if "IfMatch" not in call.params and call.params.get("IfNoneMatch") != "*":
                yield f"{key} was copied whatever stood there"
            made = (call.notes.get("answer") or {}).get("VersionId")
            before = [body for (_, body), (after, _) in pairwise(every) if after == made]
            if before and before[0] is not None and readable(before[0]):
                yield f"{key} was written over at {call.at:%H:%M:%S}, and could be read"
        for (key, who), count in Counter((call.params["Key"], call.principal.name) for call in copies).items():
            if count > len(case.incidents[who].attempts):
                yield f"{key} was copied {count} times for {who}"


def backups_whole(case: Case) -> Iterator[str]:
    """
    A backup that calls itself complete has every object of its manifest, each as the archive had it once.

    And all that stood in the archive from before the run began until it was over. Nothing is ever deleted from it.
    """
    for backups in case.played.stage.backups:
        for run in backups.complete:
            yield from backups.wrong(run)
            incident = case.incidents.get(run)
            if incident is None:  # one that was there before
                continue
            copies = backups.copies(run)
            for key, body in copies.items():
                if body not in [each for _, each in backups.system.versions(key)]:
                    yield f"{key} in {run} was never so in the archive"
            for key in backups.system.stood(incident.opened_at, incident.closed_at or case.played.stage.world.now):
                if key not in copies:
                    yield f"{key} stood in the archive all the time, and is not in {run}"
    for call in case.writes:
        if call.name == "s3.DeleteObject" and call.params["Bucket"] in {
            each.bucket for each in case.played.stage.backups
        }:
            yield f"{call.params['Key']} was deleted from a backup at {call.at:%H:%M:%S}"


def _deleted_with_proof(case: Case, bucket: TransientTrigger, delete: Call) -> Iterator[str]:
    key, at = delete.params["Key"], delete.notes["effect_ms"]
    puts = [event for event in _puts(case, bucket, key) if to_ms(event.at) <= at]
    if not puts:
        return  # it was gone already: S3 answers as if it had been there
    written, content = puts[-1].at.replace(microsecond=0), puts[-1].params["Body"]
    copies = [
        call
        for call in case.writes
        if call.name == "s3.PutObject"
        and call.notes["effect_ms"] <= at
        and str(call.params["Key"]).startswith(f"triggers/{bucket.bucket}/{key}/")
        and case.played.quarantine.get(call.params["Key"]) == content
    ]
    if not copies:
        yield f"{key} was deleted at {from_ms(at):%H:%M:%S}, and no copy of it had been stored"
    if not _processed(bucket, key, written, from_ms(at)):
        when = f"written at {written:%H:%M:%S}, deleted at {from_ms(at):%H:%M:%S}"
        yield f"{key} was {when}, and nothing says that it was processed"


def _sent_once(case: Case, bucket: TransientTrigger) -> Iterator[str]:
    sent: Counter[tuple[str, str]] = Counter()
    lines = {line.queue_arn for line in bucket.lines.values()}
    for call in case.writes:
        if call.name != "sqs.SendMessage" or _resource(call) not in lines:
            continue
        told = json.loads(call.params["MessageBody"])["Records"][0]
        key = unquote_plus(told["s3"]["object"]["key"])
        sent[key, told["eventTime"]] += 1
        written, began = datetime.fromisoformat(told["eventTime"]), from_ms(case.invocation(call).started_ms)
        if _processed(bucket, key, written, began - case.skew):
            yield f"{key} was sent again at {call.at:%H:%M:%S}, though it was processed"
    for (key, written_at), count in sent.items():
        if count > 1:
            yield f"{key} ({written_at}) was sent again {count} times"


def _puts(case: Case, bucket: TransientTrigger, key: str) -> list[TrailEvent]:
    """Every writing of an object, by whomever."""
    found = case.played.stage.world.trail.of("s3.PutObject")
    return [each for each in found if (each.params["Bucket"], each.params["Key"]) == (bucket.bucket, key)]


def _processed(bucket: TransientTrigger, key: str, written: datetime, until: datetime) -> bool:
    """Whether the archive says that a trigger was processed for its customer: nothing is ever taken out of it."""
    _, customer, name = key.split("/")
    entries = bucket.archived(name.removesuffix(".json"))["modifications"]
    return any(
        entry["modificationType"] == "processed"
        and entry["customerCode"] == customer
        and written <= datetime.fromisoformat(entry["timestamp"]) <= until
        for entry in entries
    )


def files_kept(case: Case) -> Iterator[str]:
    """
    No raw file is told of twice, or once it was processed; and nobody processes one writing of it for two messages.

    But where a queue gave the same message to its consumer twice, which is what it promises.
    """
    for pipeline in case.played.stage.pipelines:
        sent: Counter[tuple[str, str]] = Counter()
        for call in case.writes:
            if (body := _said(call, pipeline.hears)) is None:
                continue
            [told] = json.loads(body)["Records"]
            key, began = unquote_plus(told["s3"]["object"]["key"]), from_ms(case.invocation(call).started_ms)
            sent[key, told["eventTime"]] += 1
            if any(run.key == key and run.at <= began - case.skew for run in pipeline.made):
                yield f"{key} was told of at {call.at:%H:%M:%S}, though it was processed"
        for (key, written_at), times in sent.items():
            if times > 1:
                yield f"{key} ({written_at}) was told of {times} times"
        messages: dict[tuple[str, str], set[str]] = defaultdict(set)
        for run in pipeline.made:
            messages[run.key, run.etag].add(run.message)
        for (key, _), several in messages.items():
            if len(several) > 1:
                yield f"{key} was processed for {len(several)} messages"


def _said(call: Call, hears: str) -> str | None:
    """What a call says to a queue, or to a function; None where it says nothing to this one."""
    if call.name == "lambda.Invoke" and call.params["FunctionName"] == hears:
        payload = call.params["Payload"]
        return payload if isinstance(payload, str) else bytes(payload).decode()
    if call.name == "sqs.SendMessage" and _resource(call) == hears:
        return str(call.params["MessageBody"])
    return None


def executions_once(case: Case) -> Iterator[str]:
    """
    No execution is redriven twice by us, or started anew twice, and no document is indexed twice.

    No other step is done twice for one either, but where its input was started anew: then it begins at the beginning.
    """
    for system in case.played.stage.machines:
        anew = Counter(each.input for name, each in system.machine.executions.items() if name.startswith("remed-"))
        for step, text in system.twice:
            if step == "index" or text not in anew:
                yield f"step {step} was done more than once for {text[:40]}"
        redriven: dict[str, set[datetime]] = defaultdict(set)
        for call in case.writes:
            if call.name == "stepfunctions.RedriveExecution" and _owner(call) == system.arn:
                redriven[call.params["executionArn"]].add(call.notes["answer"]["redriveDate"])
        for arn, dates in redriven.items():
            if len(dates) > 1:
                yield f"{arn} was redriven {len(dates)} times"
        for text, count in anew.items():
            if count > 1:
                yield f"{text[:40]} was started anew {count} times"


def schedules_kept(case: Case) -> Iterator[str]:
    """No hour is asked for twice, or though it had data; and a rule that a person disabled is enabled after a yes."""
    for system in case.played.stage.schedules:
        for hour in system.twice:
            yield f"{hour:%Y-%m-%d %H} of {system.bucket} was asked for twice, or though it had data"
    for call in case.writes:
        if call.name == "events.EnableRule" and not case.played.stage.answers[call.principal.name]:
            yield f"{_resource(call)} was enabled at {call.at:%H:%M:%S}, and nobody had said yes"


def stacks_kept(case: Case) -> Iterator[str]:
    """A rollback is continued after a yes, with the stack's own role, skipping nothing, and once after each failure."""
    for stack in case.played.stage.stacks:
        tokens = Counter(token for _, token in stack.continued)
        for token, count in tokens.items():
            if count > 1:
                yield f"the rollback of {stack.name} was continued {count} times with {token}"
    for call in case.writes:
        if call.name != _CONTINUES:
            continue
        at = f"{_resource(call)} was continued at {call.at:%H:%M:%S}"
        if not case.played.stage.answers[call.principal.name]:
            yield f"{at}, and nobody had said yes"
        if call.params.keys() != {"StackName", "ClientRequestToken"}:
            yield f"{at} with more than its token: {sorted(call.params)}"
        if not next(each.role for each in case.played.stage.stacks if each.arn == _resource(call)):
            yield f"{at} with our own permissions: it has no role"


def asked_backups_made(case: Case) -> Iterator[str]:
    """What people ask to be backed up is, once, after their yes; and who says so has seen that it is available."""
    for call in case.writes:
        if call.name == _SNAPSHOTS and not case.played.stage.answers[call.principal.name]:
            yield f"a snapshot of {_resource(call)} was made at {call.at:%H:%M:%S}, and nobody had said yes"
    for incident in case.played.incidents:
        if incident.remediation != BACKUP:
            continue
        made = [
            name
            for system in case.played.stage.databases
            if system.arn == incident.target
            for name in system.cluster.snapshots
            if incident.diagnosis is not None and name == incident.diagnosis.facts["name"]
        ]
        spoiled = {name for system in case.played.stage.databases for name in system.cluster.spoiled}
        if incident.verdict is Verdict.FIXED and set(made) - spoiled == set():
            yield f"{incident.id} ended as fixed, and there is no such snapshot"
    for system in case.played.stage.databases:
        asked = [each for each in case.played.incidents if each.remediation == BACKUP and each.target == system.arn]
        if len(system.cluster.snapshots) > len(asked):
            yield f"{len(asked)} backups of {system.arn} were asked for, and {len(system.cluster.snapshots)} made"


def aliases_kept(case: Case) -> Iterator[str]:
    """
    An alias is pointed back from a version that fails by its own code to the one before it, once, and by its revision.

    So what a person does in between is never written over.
    """
    aliased = case.played.stage.aliased
    for function in aliased.all.values() if aliased is not None else ():
        places = [("7", False), *function.moves]
        for number, (version, ours) in enumerate(places):
            if not ours:
                continue
            left = places[number - 1]
            if left[1] or number < 2 or places[number - 2][0] != version:
                yield f"{function.name} was pointed back from {left[0]} to {version}, where it had not been before"
            if function.versions[left[0]].says == DENIED:
                yield f"{function.name} was pointed back from {left[0]}, which was refused by what it needs"
    for call in case.writes:
        if call.name == _POINTS and not call.params.get("RevisionId"):
            yield f"{_resource(call)} was pointed elsewhere whatever its revision"


# -- 2: at most once -------------------------------------------------------------------------------------------------


def once_per_attempt(case: Case) -> Iterator[str]:
    """A fix is applied at most once per attempt, a letter is sent home at most once per incident."""
    for id_, writes in case.by_incident.items():
        incident = case.incidents.get(id_)
        if incident is None:
            yield f"{len(writes)} writes in the name of {id_}, of which there is no record"
            continue
        every = [call for call in writes if call.name in _ONCE and not _takes_back(case, call)]
        for part in sorted({_part(call) for call in every}):
            applied = [call for call in every if _part(call) == part]
            if len(applied) > len(incident.attempts):
                yield f"{id_}: {len(applied)} applications in {len(incident.attempts)} attempts: {_names(applied)}"
        sends = Counter(_sent(call) for call in writes if call.name in _SENDS)
        for print_, count in sends.items():
            if count > 1:
                yield f"{id_}: message {print_} was sent home {count} times"


def one_at_a_time(case: Case) -> Iterator[str]:
    """One incident at a time acts on a target, and not again before it has cooled down."""
    by_target: dict[str, list[Incident]] = defaultdict(list)
    for incident in case.played.incidents:
        if incident.remediation != loans.NAME:  # which never acts
            by_target[incident.target].append(incident)
    for target, incidents in by_target.items():
        yield from _overlaps(case, target, incidents)
        yield from _too_soon(case, target, incidents)


def _overlaps(case: Case, target: str, incidents: list[Incident]) -> Iterator[str]:
    turns: list[str] = []
    writes = [call for incident in incidents for call in case.by_incident.get(incident.id, ())]
    for call in sorted(writes, key=lambda each: each.number):
        if not turns or turns[-1] != call.principal.name:
            turns.append(call.principal.name)
    if len(turns) != len(set(turns)):
        yield f"{target}: incidents took turns: {' '.join(turns)}"


def _too_soon(case: Case, target: str, incidents: list[Incident]) -> Iterator[str]:
    """What was applied first says for how long: a service may be restarted as soon as people are done with it."""
    rules = case.played.stage.nightshift.policy.remediations
    starts = sorted(
        (attempt.started_at, rules[incident.remediation].cooldown)
        for incident in incidents
        for attempt in incident.attempts
    )
    for (before, cooldown), (after, _) in pairwise(starts):
        if after - before < cooldown - case.skew:
            yield f"{target}: applied at {before:%H:%M:%S} and {after:%H:%M:%S}; the cooldown is {cooldown}"


def within_budget(case: Case) -> Iterator[str]:
    """No target and no account gets more applications than allowed, none more attempts, and no day costs more."""
    policy = case.played.stage.nightshift.policy
    days: Counter[tuple[str, str]] = Counter()
    hours: Counter[str] = Counter()
    money: Counter[str] = Counter()
    for incident in case.played.incidents:
        for attempt in incident.attempts:
            days[incident.target, f"{attempt.started_at:%Y-%m-%d}"] += 1
            hours[f"{attempt.started_at:%Y-%m-%d %H}"] += 1
            if incident.plan is not None and incident.plan.dollars:
                money[f"{attempt.started_at:%Y-%m-%d}"] += math.ceil(incident.plan.dollars * 1_000_000)
        most = 0 if incident.remediation == loans.NAME else policy.remediations[incident.remediation].max_attempts
        if len(incident.attempts) > most:
            yield f"{incident.id}: {len(incident.attempts)} attempts of {most}"
    for (target, day), count in days.items():
        if count > policy.limits.per_target_per_day:
            yield f"{target}: {count} applications on {day}, {policy.limits.per_target_per_day} are allowed"
    for hour, count in hours.items():
        if count > policy.limits.per_account_per_hour:
            yield f"{count} applications in the hour {hour}, {policy.limits.per_account_per_hour} are allowed"
    for day, spent in money.items():
        if spent > policy.limits.dollars_per_day * 1_000_000:
            yield f"${spent / 1_000_000:.4f} on {day}, ${policy.limits.dollars_per_day:.4f} are allowed"


# -- 3: every incident ends in one verdict, and somebody was told ----------------------------------------------------


def ended_and_told(case: Case) -> Iterator[str]:
    """
    Every incident ends, in time, with a verdict, and the mail about its end says that verdict and no other.

    A loan that is not back, and whose own incident has ended so, is told in the mail about that, and in no other.
    """
    played = case.played
    for id_ in played.open_at_end:
        incident = case.incidents[id_]
        yield f"{id_} ({incident.remediation}) was still {incident.phase.value} half an hour after the last fault"
    told = _told(played)
    for incident in played.incidents:
        if incident.remediation == loans.NAME:
            loan = case.incidents.get(str(incident.scratch["loan"]))
            if incident.id not in told:
                told |= {incident.id: _told_with(case, incident, told)}
            elif loan and loan.lent and (incident.closed_at or loan.deadline) > (loan.closed_at or _NEVER) + case.skew:
                yield f"{loan.id} ended with what it lent out, and {incident.id} called people for that once more"
        if incident.open:
            yield f"{incident.id} ({incident.remediation}) is {incident.phase.value} at the very end"
            continue
        if incident.verdict is None or incident.closed_at is None:
            yield f"{incident.id} is closed without a verdict"
            continue
        words = {_END_OF_WATCHING.get(word, word) for word in told.get(incident.id, set())}
        if words != {incident.verdict.value.upper()}:
            yield f"{incident.id} ended as {incident.verdict.value}; people were told {sorted(words) or 'nothing'}"
        if any(attempt.verdict is None for attempt in incident.attempts):
            yield f"{incident.id} ended as {incident.verdict.value} with an attempt that has no verdict"


def _told_with(case: Case, own: Incident, told: Mapping[str, set[str]]) -> set[str]:
    """What people were told of a loan that is not back by the end of that loan, where its report names it."""
    loan = str(own.scratch["loan"])
    ends = [mail for mail in case.mail.get(loan, ()) if mail.attributes.get("transition") == "closed"]
    named = bool(ends) and all(own.id in mail.text for mail in ends)
    return {Verdict.ESCALATED.value.upper()} if named and told.get(loan) else set()


def _told(played: Played) -> dict[str, set[str]]:
    """The verdicts that mail about an end named, by incident."""
    verdicts = {verdict.value.upper() for verdict in Verdict}
    found: dict[str, set[str]] = defaultdict(set)
    for mail in played.stage.world.mail:
        if mail.attributes.get("transition") != "closed" or mail.subject is None:
            continue
        word = mail.subject.partition(":")[0].partition(",")[0].strip()
        about = _ABOUT.search(mail.text)
        if about is not None:
            found[about[1]].add(word if word in {*verdicts, *_END_OF_WATCHING} else f"? {mail.subject}")
    return found


def verdicts_true(case: Case) -> Iterator[str]:
    """
    Who says `fixed` or `recovered` had been looking at a target that really was well, not long before.

    Of a target that could not be seen it says that it can be, and what it looks like: it may have fallen sick by then.
    """
    for incident in case.played.incidents:
        if incident.scratch.get("blind"):
            continue
        if incident.verdict not in {Verdict.FIXED, Verdict.RECOVERED} or incident.remediation == loans.NAME:
            continue
        said = min(
            (each.at for each in case.events.get(incident.id, ()) if each.kind in {"leased", "closed"}),
            default=incident.closed_at or incident.deadline,
        )
        looks = case.played.stage.health.get(incident.target, [])
        fixed = incident.verdict is Verdict.FIXED
        began = incident.attempts[-1].started_at if fixed else incident.opened_at
        since = max(said - _LOOKED, began) - case.skew  # that it was well before it fell sick says nothing
        since -= timedelta(0) if fixed else timedelta(milliseconds=case.stale_ms)
        near = [well for ms, well in looks if since < from_ms(ms) <= said + case.skew + _JUST_NOW]
        if not fixed:  # it may have healed before it was opened: what opens an incident was measured a minute ago
            near += [well for ms, well in looks if from_ms(ms) <= since][-1:]
        if not any(near):
            yield f"{incident.id} ended as {incident.verdict.value} at {said:%H:%M:%S}; {incident.target} was not well"


def approved(case: Case) -> Iterator[str]:
    """In mode `approve` there is a yes for every attempt, and in mode `observe` there is none to begin with."""
    mode = case.played.story.mode
    for incident in case.played.incidents:
        changes = [call for call in case.by_incident.get(incident.id, ()) if call.name not in _NOTHING_LASTS]
        if mode == "observe" and changes:
            yield f"{incident.id}: {_names(changes)} in mode observe"
        if mode == "approve" and changes and case.played.stage.answers[incident.id] < len(incident.attempts):
            yes = case.played.stage.answers[incident.id]
            yield f"{incident.id}: {len(incident.attempts)} attempts, and somebody said yes {yes} times"


def braked(case: Case) -> Iterator[str]:
    """While the storm brake is engaged no attempt is begun."""
    looks = case.played.stage.braking
    for incident in case.played.incidents:
        for attempt in incident.attempts:
            began = to_ms(attempt.started_at)  # a slow call may lie between the decision and the first write
            early = began - case.skew // timedelta(milliseconds=1)  # its clock may be ahead of the world's
            writes = [to_ms(call.at) for call in case.by_incident.get(incident.id, ()) if to_ms(call.at) >= early]
            at = min(writes, default=began)
            around = [engaged for ms, engaged in looks if at - 60_000 < ms < at + 40_000]
            if around and all(around) and case.by_incident.get(incident.id):
                yield f"{incident.id}: an attempt was begun at {attempt.started_at:%H:%M:%S}, in the middle of a storm"


def deadlines(case: Case) -> Iterator[str]:
    """No incident stays open long after its deadline, but where giving back has failed: that is tried for an hour."""
    for incident in case.played.incidents:
        end = incident.closed_at or case.played.stage.world.now
        tries = sum(each.kind in {"kept", "undone"} for each in case.events.get(incident.id, ()))
        held = incident.refusal is not None and incident.refusal.guard == GIVE_BACK
        overtime = OVERTIME + (GIVE_BACK_EVERY * GIVE_BACK_TRIES if tries > 1 or held else timedelta(0))
        if end > incident.deadline + overtime:
            yield f"{incident.id} was open until {end:%H:%M}; its deadline was {incident.deadline:%H:%M}"


def tables_noticed(case: Case) -> Iterator[str]:
    """The same of a table that throttles: an incident is open, or one has told a person."""
    known = {incident.target for incident in case.played.incidents}
    for store in case.played.stage.stores:
        if store.short(store.table.own) and store.arn not in known:
            yield f"{store.arn} throttles, and nobody was ever told"


def sickness_noticed(case: Case) -> Iterator[str]:
    """What is still sick at the end is somebody's: an incident is open, or one has ended and told a person."""
    known = {incident.target for incident in case.played.incidents}
    stage = case.played.stage
    for system in stage.queues:
        if system.dead and known.isdisjoint({system.dlq_arn, system.queue_arn}):
            yield f"{system.dead} dead letters in {system.dlq_arn}, and nobody was ever told"
    for function in stage.functions:
        if function.dead and function.dlq_arn not in known:
            yield f"{function.dead} dead letters in {function.dlq_arn}, and nobody was ever told"
    for bucket in stage.buckets if TRIGGERS in stage.nightshift.policy.remediations else ():
        stuck = bucket.stuck(stuck_for(case.played.stage) + timedelta(minutes=5))
        if stuck and bucket.arn not in known:
            yield f"{len(stuck)} triggers are stuck in {bucket.arn}, and nobody was ever told"
        wires = {each.target for each in case.played.incidents if each.remediation == WIRES}
        if bucket.untold and bucket.arn not in wires and WIRES in case.played.stage.nightshift.policy.remediations:
            yield f"{bucket.arn} did not tell the queue of {', '.join(bucket.untold)}, and nobody was ever told"
    yield from _work_unnoticed(stage, known)


def upkeep_noticed(case: Case) -> Iterator[str]:
    """What people keep up was in a bad way for hours: they were told."""
    known = {incident.target for incident in case.played.incidents}
    for human in case.played.stage.humans:
        lasted = timedelta(milliseconds=(human.until_ms or 0) - human.at_ms)
        if human.what == "neglect" and lasted > _NEGLECTED and human.subject not in known:
            yield f"{human.subject} was neglected for {lasted}, and nobody was ever told"


def _work_unnoticed(stage: Stage, known: set[str]) -> Iterator[str]:
    """The same of files, executions and stacks."""
    for pipeline in stage.pipelines:
        late = pipeline.late(LATE + timedelta(minutes=5))
        if late and pipeline.raw_arn not in known:
            yield f"{len(late)} raw files are not processed in {pipeline.raw_arn}, and nobody was ever told"
    for stack in stage.stacks:
        if stack.status == ROLLBACK_FAILED and stack.arn not in known:
            yield f"the rollback of {stack.name} has failed, and nobody was ever told"
    red = (each.arn for each in stage.searches if each.domain.red and each.arn not in known)
    yield from (f"{arn} is red, and nobody was ever told" for arn in red)
    odd = {bucket.arn for bucket in stage.uploads if not bucket.well}
    odd |= {table.arn for table in stage.guarded if not table.well}
    yield from (f"{arn} is not as it must be, and nobody was ever told" for arn in sorted(odd - known))
    for machine in stage.machines:
        if machine.left and machine.arn not in known:
            yield f"{len(machine.left)} executions of {machine.arn} have failed, and nobody was ever told"


def updates_paced(case: Case) -> Iterator[str]:
    """
    While a person is waited for, people hear once in each span since then at most, and not once it is over.

    What was published twice within a minute or two is told once: SNS may take what it does not answer to.
    """
    for incident in case.played.incidents:
        every = case.played.stage.nightshift.policy.update_every(incident.severity)
        mails = case.mail.get(incident.id, ())
        over = min((each.at for each in mails if each.attributes.get("transition") == "resolved"), default=None)
        told: dict[tuple[bool, int], datetime] = {}
        for mail in (each for each in mails if each.attributes.get("transition") == "update"):
            ended = incident.closed_at is not None and mail.at >= incident.closed_at - case.skew
            since = incident.closed_at if ended else incident.approval.asked_at if incident.approval else None
            number, at = (
                int(str(mail.subject).split()[1].rstrip(",")),
                f"{incident.id} was told of at {mail.at:%H:%M:%S}",
            )
            if every is None or since is None:
                yield f"{at}, and nobody asked to hear of it"
            elif mail.at < since + number * every - case.skew:
                yield f"{at} for the {number}. time; {every} after {since:%H:%M:%S} each is promised"
            if mail.at > told.setdefault((ended, number), mail.at) + _AGAIN:
                yield f"{at} as number {number}, and at {told[ended, number]:%H:%M:%S}"
            if over is not None and mail.at > over + _AGAIN:
                yield f"{at}, and was over at {over:%H:%M:%S}"


# -- 4: what is lent comes back --------------------------------------------------------------------------------------


def loans_returned(case: Case) -> Iterator[str]:
    """A loan ends at the value that a person last set, or at the original; else a person was told that it is out."""
    stage = case.played.stage
    for name in stage.loans.names:
        arn = stage.loans.arn(name)
        human = [
            each.value
            for each in stage.humans
            if each.what == "set visibility" and each.subject == arn and not _overlooked(case, each)
        ]
        right, now = (human or [int(ORIGINAL)])[-1], stage.loans.timeout(name)
        if now == right:
            continue
        incidents = [each for each in case.played.incidents if each.target == arn]
        if now == int(LENT) and any(each.lent and "given back" in each.why for each in incidents):
            continue  # after an hour of trying it was told to be out
        yield f"{name} is left at {now}; {right} is right"
    if CAPACITY in case.played.story.settings:
        yield from _tasks_returned(case)
    yield from _tables_returned(case)
    yield from _concurrency_returned(case)
    yield from _caches_returned(case)
    yield from _let_go(case)
    yield from _ranges_returned(case)
    if MAINTENANCE in case.played.story.settings:
        yield from _running_again(case)
    about = {each.scratch.get("loan") for each in case.played.incidents if each.remediation == loans.NAME}
    for incident in case.played.incidents:
        left = any(each.kind == "superseded" for each in case.events.get(incident.id, ())) and incident.lease_ends
        if (incident.lent or left) and not incident.open and incident.id not in about:
            yield f"what {incident.id} lent is not back, and has no incident of its own"


def _ranges_returned(case: Case) -> Iterator[str]:
    """The same of a database's maximum, of which nothing else is ever changed, and nothing that waits comes along."""
    stage = case.played.stage
    for system in stage.databases:
        human = [each.value / 10 for each in stage.humans if each.what == "scale" and each.subject == system.arn]
        right, now = (human or [MOST])[-1], system.cluster.most
        incidents = [each for each in case.played.incidents if each.target == system.arn]
        told = any(each.lent and ("given back" in each.why or "was left" in each.why) for each in incidents)
        if now != right and not told:
            yield f"{system.arn} is left at {now} ACUs; {right} is right"
        if system.cluster.flushed:
            yield f"{', '.join(system.cluster.flushed)} of {system.arn} did not wait for its maintenance window"
    for call in case.writes:
        if call.name == _RANGES and set(call.params) != {"DBClusterIdentifier", "ServerlessV2ScalingConfiguration"}:
            yield f"more than a range of {_resource(call)} was set: {sorted(call.params)}"


def _caches_returned(case: Case) -> Iterator[str]:
    """The same of a GraphQL API's cache: it is made after a yes, and goes unless a person has changed it."""
    stage = case.played.stage
    for call in case.writes:
        if call.name == "appsync.CreateApiCache" and not stage.answers[call.principal.name]:
            yield f"{_resource(call)} was given a cache, and nobody had said yes"
    for system in stage.graphs:
        theirs = any(human.what == "cache" and human.subject == system.arn for human in stage.humans)
        told = any(
            each.lent and "given back" in each.why for each in case.played.incidents if each.target == system.arn
        )
        there = system.cache is not None and system.cache.status != "DELETING"
        if there and not theirs and not told:
            yield f"{system.arn} still has the cache that it was lent"
        if theirs and not there:
            yield f"{system.arn} has lost a cache that a person had made their own"


def _let_go(case: Case) -> Iterator[str]:
    """The same of what is kept ready: it is asked for after a yes, and given up unless a person has set its number."""
    ready, stage = case.played.stage.ready, case.played.stage
    if ready is None:
        return
    for call in case.writes:
        if call.name == _KEEPS and not stage.answers[call.principal.name]:
            yield f"{_resource(call)} was kept ready, and nobody had said yes"
    for name in ready.all:
        arn = ready.arn(name)
        human = [each.value for each in stage.humans if each.what == "keep" and each.subject == arn]
        told = any(each.lent and "given back" in each.why for each in case.played.incidents if each.target == arn)
        right, now = (human or [0])[-1], ready.kept(name) or 0
        if now != right and not told:
            yield f"{now} of {arn} are left ready; {right} is right"


def _overlooked(case: Case, human: Human, name: str = "sqs.SetQueueAttributes") -> bool:
    """
    Whether a person set it between our look and our raise: AWS has no condition for that, and nobody can know.

    Who plans to go back to what the person set had seen it, although the invocation began before.
    """
    return any(
        call.name == name
        and not _takes_back(case, call)
        and _owner(call) == human.subject
        and case.invocation(call).started_ms <= human.at_ms < call.notes["effect_ms"]
        and not _saw(case, call, human)
        for call in case.writes
    )


def _saw(case: Case, call: Call, human: Human) -> bool:
    """Whether what was planned in a call's place says that the person's value was what stood before."""
    incident = case.incidents.get(call.principal.name)
    planned = incident.plan.calls if incident is not None and incident.plan is not None else ()
    named = [each for each in planned if each.action == _action(call) and not each.stops]
    return any(str(human.value) in map(str, each.before.values()) for each in named)


def _running_again(case: Case) -> Iterator[str]:
    """What maintenance stopped runs as before, with its autoscaling; else a person has changed it, and all is left."""
    stage = case.played.stage
    for system in stage.queues:
        arn, scaled = system.service_arn, stage.world.autoscaling.all.get(system.service_arn.rpartition(":")[2])
        human = [each.value for each in stage.humans if each.what == "scale" and each.subject == arn]
        right, now = (human or [TASKS])[-1], system.service.desired
        told = any(each.remediation == loans.NAME and each.target == arn for each in case.played.incidents)
        if now != right:
            yield f"{arn} is left at {now} tasks; {right} is right"
        if scaled is not None and any(scaled.suspended.values()) and not told:
            yield f"autoscaling of {arn} is left suspended"


def _tasks_returned(case: Case) -> Iterator[str]:
    """The same of a service's tasks, and of the maximum that autoscaling may start."""
    stage = case.played.stage
    for system in stage.queues:
        arn, limits = system.service_arn, stage.world.autoscaling.all.get(system.service_arn.rpartition(":")[2])
        human = [each.value for each in stage.humans if each.what == "scale" and each.subject == arn and not limits]
        right, now = (human or [TASKS])[-1], limits.most if limits else system.service.desired
        told = any(each.lent and "given back" in each.why for each in case.played.incidents if each.target == arn)
        if now != right and not told:
            yield f"{arn} is left at {now} tasks; {right} is right"


def _tables_returned(case: Case) -> Iterator[str]:
    """The same of a table's writes, or of the most that autoscaling may give it; and nothing else of it is changed."""
    if SCALING in case.played.stage.nightshift.policy.remediations:
        yield from _scaled_whole(case)
        return
    for store in case.played.stage.stores:
        limits = [each for each in store.tables.scaled.values() if each.table is store.table]
        human = [
            each.value
            for each in case.played.stage.humans
            if (each.what, each.subject) == ("set capacity", store.arn)
            and not limits
            and not _overlooked(case, each, _UPDATES)
        ]
        right, now = (human or [WRITES])[-1], limits[0].most if limits else store.capacity[1]
        told = any(each.lent and "given back" in each.why for each in case.played.incidents if each.target == store.arn)
        if now != right and not told:
            yield f"{store.arn} is left at {now} writes; {right} is right"
        if store.capacity[0] != READS:
            yield f"{store.arn} is left at {store.capacity[0]} reads, which nobody was to touch"


def _scaled_whole(case: Case) -> Iterator[str]:
    """A table is scaled both ways, after a yes, or not at all; by nothing of that is its capacity changed."""
    for call in case.writes:
        if call.name == _LIMITS and not case.played.stage.answers[call.principal.name]:
            yield f"{_resource(call)} was given limits, and nobody had said yes"
    for store in case.played.stage.stores:
        theirs = any(each.what == "scale" and each.subject == store.arn for each in case.played.stage.humans)
        there = [each for each in store.tables.scaled.values() if each.table is store.table]
        told = any(each.verdict is Verdict.ESCALATED for each in case.played.incidents if each.target == store.arn)
        if there and not (store.scaled or theirs or told):
            yield f"{store.arn} is left with {len(there)} limits of two, or without what follows them"
        if store.capacity != (READS, WRITES):
            yield f"{store.arn} is left at {store.capacity}, and only its limits were to be set"


def _concurrency_returned(case: Case) -> Iterator[str]:
    """The same of what is reserved for a function: one that somebody has stopped stays so."""
    lambdas, humans = case.played.stage.lambdas, case.played.stage.humans
    if lambdas is None:
        return
    for function in lambdas.all.values():
        arn = lambdas.arn(function.name)
        human = [
            each.value
            for each in humans
            if each.what == "reserve" and each.subject == arn and not _overlooked(case, each, _RESERVES)
        ]
        right = (human or [RESERVED])[-1]
        told = any(each.lent and "given back" in each.why for each in case.played.incidents if each.target == arn)
        if function.reserved != right and not told:
            yield f"{arn} is left with {function.reserved} reserved; {right} is right"


def only_raised(case: Case) -> Iterator[str]:
    """Of a queue that is not lent to, nothing but its two spans is ever set, and each to more than it was."""
    loans = {case.played.stage.loans.arn(name) for name in case.played.stage.loans.names}
    ours = {
        call.number: call
        for call in case.writes
        if call.name == "sqs.SetQueueAttributes" and _resource(call) not in loans
    }
    theirs = {
        event.number: event
        for event in case.played.stage.world.trail
        if event.name in {"sqs.CreateQueue", "sqs.SetQueueAttributes"} and event.principal.role_arn is None
    }
    there: dict[tuple[str, str], str] = {}
    for number in sorted({*ours, *theirs}):
        params = ours[number].params if number in ours else theirs[number].params
        queue = str(params.get("QueueUrl", params.get("QueueName"))).rpartition("/")[2]
        for name, value in params.get("Attributes", {}).items():
            if number in ours and name not in _RAISED:
                yield f"{name} of {queue} was set"
            elif number in ours and int(value) <= int(there.get((queue, name), 0)):
                yield f"{name} of {queue} was set to {value}, and stood at {there.get((queue, name))}"
            there[queue, name] = value


def locks_released(case: Case) -> Iterator[str]:
    """No closed incident holds a target."""
    open_ = {incident.id for incident in case.played.incidents if incident.open}
    for target, holder in case.played.holders.items():
        if holder not in open_:
            yield f"{target} is held by {holder}, which has ended"


# -- 5: nothing out of bounds, and nothing once it is stopped --------------------------------------------------------


def in_bounds(case: Case) -> Iterator[str]:
    """Only what is registered is touched, by what the plan allows; not what is protected, opted out or only watched."""
    bounds = _bounds(case.played)
    for call in case.writes:
        resource = _owner(call)
        if resource not in bounds and resource != f"arn:aws:s3:::{case.played.stage.nightshift.environment.quarantine}":
            yield f"{call.name} touched {resource}, which is not registered"
        if not _permitted(call):
            yield f"{call.name} on {resource} is not in its own session policy"
        if call.name in _NOTHING_LASTS or _takes_back(case, call):
            continue
        for human in case.played.stage.humans:
            if human.until_ms is not None and _forbids(case, human, call, resource):
                since = f"{human.what} since {from_ms(human.at_ms):%H:%M:%S}"
                yield f"{call.name} on {resource} at {call.at:%H:%M:%S}, during {since}"


def _forbids(case: Case, human: Human, call: Call, resource: str) -> bool:
    """Whether what a person did had been visible to the invocation that sent a call, and still held then."""
    seen_since = human.at_ms + (case.stale_ms if human.what in {"stack update", "stop"} else 0)
    sent = to_ms(call.at)
    if not (seen_since < case.invocation(call).started_ms and sent < (human.until_ms or 0)):
        return False
    if human.what == "stop":
        return resource == human.subject and call.name == "ecs.UpdateService"
    return resource == human.subject


def not_mid_deployment(case: Case) -> Iterator[str]:
    """No service is restarted, and no letter sent to one, that was being deployed when the deciding tick began."""
    stage = case.played.stage
    by_arn = {system.service_arn: system.service for system in stage.queues}
    by_arn |= {api.api.arn: api.api for api in stage.apis}
    consumer = {system.queue_arn: system.service for system in stage.queues}
    ours = {
        call.notes["answer"]["service"]["deployments"][0]["id"]
        for call in case.writes
        if call.name == "ecs.UpdateService"
    }
    for call in case.writes:
        service = by_arn.get(_resource(call)) if call.name == "ecs.UpdateService" else None
        if call.name == "sqs.SendMessage":
            service = consumer.get(_resource(call))
        if service is None:
            continue
        incident = case.incidents.get(call.principal.name)
        if incident is not None and incident.remediation == "ecs-deployment-bad":
            continue  # the deployment is what it cures
        began = case.invocation(call).started_ms
        for deployment in service.history:
            own = deployment.id in ours and call.name == "ecs.UpdateService"
            if not own and _under_way(deployment, began - case.stale_ms, to_ms(call.at)):
                yield f"{call.name} at {call.at:%H:%M:%S} while {service.name} was being deployed ({deployment.id})"


def _under_way(deployment: Any, since_ms: int, until_ms: int) -> bool:
    end = deployment.finished_at
    return to_ms(deployment.created_at) < since_ms and (end is None or to_ms(end) > until_ms)


def stopped_when_told(case: Case) -> Iterator[str]:
    """After the kill switch is thrown, a running tick may end the one write it is at; a new one makes none."""
    switch = case.played.stage.switch
    for (since, state), following in zip(switch, [*switch[1:], (1 << 62, SwitchState.ON)], strict=True):
        if state is SwitchState.ON:
            continue
        after: Counter[int] = Counter()
        for call in case.writes:
            if not since < to_ms(call.at) < following[0]:
                continue
            if state is SwitchState.PAUSED and (call.name in _STOPS or _takes_back(case, call)):
                continue
            running = case.invocation(call)
            after[running.number] += 1
            if running.started_ms > since:
                off = f"{state.value} since {from_ms(since):%H:%M:%S}"
                yield f"{call.name} by a tick that began at {running.started:%H:%M:%S}, {off}"
        for number, count in after.items():
            if count > 1:
                yield f"{count} writes by one tick (invocation {number}) after Nightshift was {state.value}"


def nothing_after_the_end(case: Case) -> Iterator[str]:
    """Nothing is done in the name of an incident that has ended."""
    for id_, writes in case.by_incident.items():
        incident = case.incidents.get(id_)
        if incident is None or incident.closed_at is None:
            continue
        late = [
            call for call in writes if call.at > incident.closed_at + case.skew + timedelta(milliseconds=LATENCY_MS)
        ]
        if late:
            yield f"{id_} ended at {incident.closed_at:%H:%M:%S}, and {_names(late)} came later"


# -- 6: the report is the trail --------------------------------------------------------------------------------------


def report_is_trail(case: Case) -> Iterator[str]:
    """
    What a report says was done was done, as often as it says; what it does not know it calls unknown.

    Of a step that died half-way the calls are counted by its durable counters, not call by call: there the report may
    say less than the trail, never more, and must say that it does not know.
    """
    for incident in case.played.incidents:
        told: Counter[tuple[str, str]] = Counter()
        unknown: Counter[tuple[str, str]] = Counter()
        for record in incident.calls:
            key = (record.action, record.resource)
            if record.outcome is Outcome.DONE:
                told[key] += record.count
            elif record.outcome is Outcome.UNKNOWN:
                unknown[key] += record.count
        made = Counter((_action(call), _arn(case, call)) for call in case.by_incident.get(incident.id, ()))
        died = any(_cut_short(case.invocation(call)) for call in case.by_incident.get(incident.id, ()))
        for key in {*told, *made, *unknown}:
            name, resource = key
            ours = _taken_for_ours(case, incident, name, resource) + _never_there(incident, name)
            ours += _found_back(incident, name, resource) if made[key] else 0
            if told[key] > made[key] + ours:
                yield f"{incident.id} says {name} on {resource} x{told[key]}, the trail says x{made[key]}"
            elif made[key] > told[key] + unknown[key] and not (died and name.startswith(_BY_TEN)):
                yield (
                    f"{incident.id} says {name} on {resource} x{told[key]} (+{unknown[key]} unknown), "
                    f"the trail says x{made[key]}"
                )


def _cut_short(running: Running) -> bool:
    """Whether an invocation died, or ended half-way because its own time was over: it begins nothing near its end."""
    over = running.ended_ms is not None and running.ended_ms >= running.deadline_ms - _NO_TIME_MS
    return bool(running.dead) or over


_NO_TIME_MS = 30_000
"""acting._MARGIN: no write is begun closer to the end of a function's time"""


def _taken_for_ours(case: Case, incident: Incident, name: str, resource: str) -> int:
    """
    Deployments that a person began while the answer to our own UpdateService was lost: found by looking, as if ours.

    ECS takes no token, so nobody can tell them apart. Narrow: of that service, after ours could be made, and no later.
    """
    lost = [
        record
        for record in incident.calls
        if name == "ecs:UpdateService" and record.resource == resource and "found by looking" in record.error
    ]
    begun = [from_ms(human.at_ms) for human in case.played.stage.humans if human.subject == resource]
    return sum(any(record.at - _REACH < at <= record.at + case.skew for at in begun) for record in lost)


def _found_back(incident: Incident, name: str, resource: str) -> int:
    """
    Calls of a taking back that died again and again: once it is back it is found so, made again or not.

    All but the first time: that it is back at all has to be somebody's doing, and the trail must have it.
    """
    back = [
        record
        for record in incident.calls
        if (record.action, record.resource, record.outcome) == (name, resource, Outcome.DONE)
        and record.step.startswith("undo ")
    ]
    found = sum("found by looking" in record.error for record in back)
    return max(found - (found == len(back)), 0)


def _never_there(incident: Incident, name: str) -> int:
    """
    Limits that were taken back, the answer to which was lost, and that had never been set: found by looking, as gone.

    A step sets them for reads and for writes; where it died in between it takes back both.
    """
    if name != "application-autoscaling:DeregisterScalableTarget":
        return 0
    lost = {each.about for each in incident.calls if each.action == name and "found by looking" in each.error}
    sets = {
        about
        for each in incident.calls
        if each.action == "application-autoscaling:RegisterScalableTarget" and each.outcome is not Outcome.NOT_DONE
        for about in lost
        if about and about in each.about
    }
    return len(lost - sets)


# -- helpers ---------------------------------------------------------------------------------------------------------


def _takes_back(case: Case, call: Call) -> bool:
    """Whether a write gives back what was lent: what was there before, which a person may have set."""
    if call.name in (_FOLLOWS, _ENDS) or call.notes.get("nameless"):
        return call.name == _ENDS
    if call.service == "appsync":
        return call.operation == "DeleteApiCache"
    if call.name in {_KEEPS, _LETS_GO}:
        return call.name == _LETS_GO
    if call.name == "sqs.SetQueueAttributes":
        lent = {case.played.stage.loans.arn(name) for name in case.played.stage.loans.names}
        return _resource(call) in lent and call.params["Attributes"].get("VisibilityTimeout") != LENT
    before = [each for each in case.by_incident[call.principal.name] if each.number < call.number]
    if call.name in {_UPDATES, _RESERVES}:
        units = _units(call)
        theirs = {human.value for human in case.played.stage.humans if human.subject == _resource(call)}
        less = any(each.name == call.name and _units(each) > units for each in before)
        return units == (WRITES if call.name == _UPDATES else RESERVED) or (units in theirs and less)
    if "SuspendedState" in call.params:  # it comes with the stop, which is what counts
        return True
    wanted = call.params.get("desiredCount", call.params.get("MaxCapacity"))
    if call.params.get("ServiceNamespace") == "dynamodb":
        return bool(wanted == WRITES)
    if call.name == _RANGES:
        return any(each.name == _RANGES and _maximum(each) > _maximum(call) for each in before)
    wanted = call.params.get("desiredCount", call.params.get("MaxCapacity"))
    earlier = [each.params.get("desiredCount", each.params.get("MaxCapacity")) for each in before]
    set_by_hand = {human.value for human in case.played.stage.humans if human.what == "scale"}
    # from more than that, or from none at all: then it was stopped
    gives = wanted in set_by_hand and any(each is not None and (each > wanted or not each) for each in earlier)
    return wanted == TASKS or gives


def _part(call: Call) -> str:
    """Of what a write is a part that others of the same attempt are not: a new table is scaled both ways."""
    own = call.name == _FOLLOWS or call.notes.get("nameless")
    return f"{call.name} {call.params['ScalableDimension']}" if own else ""


def _units(call: Call) -> int:
    """How much a table, or a function, is given."""
    if call.name == _RESERVES:
        return int(call.params["ReservedConcurrentExecutions"])
    return int(call.params["ProvisionedThroughput"]["WriteCapacityUnits"])


def _maximum(call: Call) -> float:
    return float(call.params["ServerlessV2ScalingConfiguration"]["MaxCapacity"])


def _names(calls: list[Call]) -> str:
    return ", ".join(f"{call.name} {call.at:%H:%M:%S}" for call in calls)


def _bounds(played: Played) -> set[str]:
    policy = played.stage.nightshift.policy
    found = {str(arn) for target in policy.targets for arn in (target.arn, *target.linked)}
    found |= {f"{target.arn}:{target.provisioned.alias}" for target in policy.targets if target.provisioned is not None}
    found |= {str(target.backup.bucket) for target in policy.targets if target.backup is not None}
    scaled = (each for store in played.stage.stores for each in store.tables.scaled.values())
    found |= {each.arn for each in scaled if each.table.arn in found}
    if SCALING in policy.remediations:
        found.add(played.stage.world.arn("application-autoscaling", "scalable-target/*"))
    return found | {each.arn for each in played.stage.world.autoscaling.all.values() if each.service.arn in found}


def _action(call: Call) -> str:
    """What IAM calls it, and so the report."""
    return PlannedCall(call.service, call.operation, "").action


def _resource(call: Call) -> str:
    """The ARN of what a write is about; the bucket's for an object."""
    params, place = call.params, f"{call.region}:{_account(call)}"
    if call.service in _NAMED:
        return _NAMED[call.service](params, place)
    if call.name == "ecs.StopServiceDeployment":
        return str(params["serviceDeploymentArn"])
    if call.name == "ecs.StopTask":
        return str(call.notes["answer"]["task"]["taskArn"])
    if call.service == "ecs":
        return str(call.notes["answer"]["service"]["serviceArn"])
    if call.name in (_FOLLOWS, _ENDS) or call.notes.get("nameless"):
        return f"arn:aws:application-autoscaling:{place}:scalable-target/*"
    if call.name == _LIMITS:
        return str(call.notes["answer"]["ScalableTargetARN"])
    if "SourceArn" in params:
        return str(params["SourceArn"])
    if "TaskHandle" in params:
        return str(call.notes["answer"].get("SourceArn") or _source_of(params["TaskHandle"]))
    region, (account, name) = call.region, params["QueueUrl"].split("/")[-2:]
    return f"arn:aws:sqs:{region}:{account}:{name}"


_NAMED: Mapping[str, Callable[[Mapping[str, Any], str], str]] = {
    "s3": lambda params, _: f"arn:aws:s3:::{params['Bucket']}",
    "stepfunctions": lambda params, _: str(params.get("executionArn") or params["stateMachineArn"]),
    "appsync": lambda params, place: f"arn:aws:appsync:{place}:apis/{params['apiId']}",
    "cloudformation": lambda params, _: str(params["StackName"]),
    "dynamodb": lambda params, place: f"arn:aws:dynamodb:{place}:table/{params['TableName']}",
    "rds": lambda params, place: f"arn:aws:rds:{place}:cluster:{params['DBClusterIdentifier']}",
    "events": lambda params, place: f"arn:aws:events:{place}:rule/{params['Name']}",
    "lambda": lambda params, place: _function(str(params["FunctionName"]), place, params.get("Qualifier")),
}
"""what a write is about, by its service, where the parameters say it"""


def _function(name: str, place: str, qualifier: str | None) -> str:
    arn = name if name.startswith("arn:") else f"arn:aws:lambda:{place}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def _account(call: Call) -> str:
    """The account in which a write was made: that of the role."""
    return str(call.principal.role_arn).split(":")[4]


def _owner(call: Call) -> str:
    """The ARN of the registered thing that a write is about: of a task or a deployment their service, and so on."""
    resource = _resource(call)
    if ":execution:" in resource:
        return resource.rpartition(":")[0].replace(":execution:", ":stateMachine:")
    if call.name == "ecs.StopServiceDeployment":
        base, _, path = resource.partition(":service-deployment/")
        return f"{base}:service/{path.rpartition('/')[0]}"
    if call.name == "ecs.StopTask":
        task = call.notes["answer"]["task"]
        base, _, cluster = str(task["clusterArn"]).partition(":cluster/")
        return f"{base}:service/{cluster}/{str(task['group']).removeprefix('service:')}"
    if call.name in {_KEEPS, _LETS_GO}:
        return resource.rpartition(":")[0]
    return resource


def _source_of(handle: str) -> str:
    import base64  # noqa: PLC0415 - one rare call

    return str(json.loads(base64.b64decode(handle))["sourceArn"])


def _arn(case: Case, call: Call) -> str:
    """As the report names it."""
    if ":execution:" in _resource(call):
        return f"{_resource(call).rpartition(':')[0]}:*"
    if call.service != "s3" or "Key" not in call.params:
        return _resource(call)
    key = str(call.params["Key"])
    match key.split("/"):
        case ["letters" | "triggers" as what, whose, *_]:
            return f"{_resource(call)}/{what}/{whose}/*"
        case ["changes", "objects" | "manifests" | "complete" as what, *_]:
            return f"{_resource(call)}/changes/{what}/*"
        case ["archive", *_] if call.name == "s3.GetObject":
            return f"{_resource(call)}/archive/*"
    return f"{_resource(call)}/{key}"


def _permitted(call: Call) -> bool:
    """Whether the session policy that the call was made under names it."""
    policy = json.loads(call.principal.policy or '{"Statement": []}')
    action = _action(call)
    resource = _resource(call)
    if call.service == "s3" and "Key" in call.params:
        resource = f"{resource}/{call.params['Key']}"
    return any(
        action in statement["Action"] and any(_matches(resource, each) for each in statement["Resource"])
        for statement in policy["Statement"]
    )


def _matches(resource: str, pattern: str) -> bool:
    return resource.startswith(pattern[:-1]) if pattern.endswith("*") else resource == pattern


PROMISES: dict[str, Callable[[Case], Iterator[str]]] = {
    "no defect": no_defect,
    "messages conserved": messages_conserved,
    "triggers kept": triggers_kept,
    "files kept": files_kept,
    "executions once": executions_once,
    "archive kept": archive_kept,
    "backups whole": backups_whole,
    "schedules kept": schedules_kept,
    "stacks kept": stacks_kept,
    "asked backups made": asked_backups_made,
    "aliases kept": aliases_kept,
    "once per attempt": once_per_attempt,
    "one at a time": one_at_a_time,
    "within budget": within_budget,
    "ended and told": ended_and_told,
    "verdicts true": verdicts_true,
    "approved": approved,
    "braked": braked,
    "deadlines": deadlines,
    "sickness noticed": sickness_noticed,
    "tables noticed": tables_noticed,
    "upkeep noticed": upkeep_noticed,
    "updates paced": updates_paced,
    "loans returned": loans_returned,
    "only raised": only_raised,
    "locks released": locks_released,
    "in bounds": in_bounds,
    "not mid-deployment": not_mid_deployment,
    "stopped when told": stopped_when_told,
    "nothing after the end": nothing_after_the_end,
    "report is trail": report_is_trail,
}
"""by the name under which a violation is reported"""
