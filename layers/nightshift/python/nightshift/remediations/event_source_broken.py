"""
Events do not reach their consumer: say which wire is broken, and the command that mends it.

Symptom   an event source mapping is disabled, or cannot read its source; a bucket no longer tells a queue or a function
          of its objects; or a policy no longer lets S3, EventBridge or SNS call the function, or S3 send to the queue
Cause     somebody's change of the mapping, of the notification configuration, or of a resource's policy
Cure      none of ours: whoever may call what is for people to say; each broken wire is told with one command
Proof     the wire is whole again
Undo      nothing was changed
Source    runbook 0 task 3 and task 4, runbook 1 "Ingestion failure" (bucket and role policies); R1, R2, R21

Nothing fails where events stop to come: no error, no letter, no log line. So it is read as it is set up, at each sweep:
for a function its mappings, its policy and itself, for a bucket its notifications and the policy of each queue.

What it will not do: call a function broken that somebody has stopped (reserved concurrency 0), or a mapping that a
person has disabled of which nobody has said that it must work (``events_from``); take a policy for broken by a
condition that it cannot judge; or see behind a topic or EventBridge, which may tell others (``relayed``). Whether a
rule still has the function as its target, it does not read.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias

from pydantic import Field

from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.signals import queue_url
from nightshift.wiring import SERVICES, Asked, Share, Word, relays, says, tells

__all__ = ["EventSourceBroken"]

_OFF = frozenset({"Disabled", "Disabling"})
_GONE = "Deleting"
_PROBLEM = "PROBLEM"
_FAILED = "function call failed"
_LAMBDA, _S3, _SQS = "lambda.amazonaws.com", "s3.amazonaws.com", "sqs.amazonaws.com"
"""what CloudTrail calls the services in which the change was made"""
_READ_ONLY, _WRITE = "(read only)", "(a write)"


@dataclass(frozen=True, slots=True)
class _Fault:
    """One wire that is broken, what would mend it, and what AWS calls whoever was changed."""

    what: str
    advice: tuple[str, ...]
    service: str
    severity: Severity = Severity.SEV2


@dataclass(slots=True)
class _Found:
    """What there is to say of a target's wires: those that are broken, and why others cannot be judged."""

    faults: list[_Fault] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    whole: int = 0


_Answer: TypeAlias = Mapping[str, Any] | Unread | None


class EventSourceBroken(ReportOnly):
    """A function, or the queues of a bucket of triggers, to which events no longer get."""

    name: ClassVar[str] = "event-source-broken"
    title: ClassVar[str] = "events do not reach their consumer"
    kinds: ClassVar[tuple[str, ...]] = ("lambda:function", "s3:bucket")
    reads: ClassVar[tuple[str, ...]] = ()  # everything is read as the sweep reads it

    relayed: bool = Field(
        default=False,
        description="whether buckets tell through a topic or EventBridge, which then is taken to tell the consumer",
    )

    def takes(self, target: Target) -> bool:
        """A bucket is one of triggers: of another, nobody has said whom it should tell."""
        return super().takes(target) and (target.arn.kind == "lambda:function" or target.triggers is not None)

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        """For a function three calls and one a bucket that calls it; for a bucket one, and one a queue."""
        if target.triggers is not None:
            queues = tuple(_queue(each) for each in target.triggers.customers)
            return (_notifications(target.arn), *queues)
        pushed = _pushed(target)
        buckets = tuple(_notifications(each) for each in pushed if each.kind == "s3:bucket")
        policy = (_policy(target.arn),) if pushed else ()
        return (_function(target.arn), _mappings(target.arn), *policy, *buckets)

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick where one wire is certainly broken, whatever is known of the others."""
        try:
            found = self._look(target, seen)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            return Unknown(f"what was read of {target.arn.name} cannot be understood: {type(error).__name__}")
        if isinstance(found, Healthy | Unknown):
            return found
        if not found.faults:
            return Unknown(found.blind[0]) if found.blind else Healthy(_wires(found.whole))
        first, more = found.faults[0], len(found.faults) - 1
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{target.arn.name}: {first.what}{f', and {more} more' if more else ''}",
                evidence=tuple(each.what for each in found.faults[1:]),
                severity=min(each.severity for each in found.faults),
            )
        )

    def _look(self, target: Target, seen: Readings) -> _Found | Healthy | Unknown:
        found = _Found()
        if target.triggers is not None:
            notifications = seen.resource(_notifications(target.arn))
            if not isinstance(notifications, Mapping):
                return Unknown(_why(notifications, f"{target.arn} does not exist"))
            for customer in target.triggers.customers:
                self._queue(target, customer, notifications, seen, found)
            return found
        if target.arn.resource.count(":") != 1:
            return Unknown(
                "name the function itself, without a version or an alias: what calls those is listed with it"
            )
        function = seen.resource(_function(target.arn))
        if not isinstance(function, Mapping):
            return Unknown(_why(function, f"there is no function {target.arn.name}"))
        if function.get("ReservedConcurrentExecutions") == 0:
            return Healthy("stopped on purpose: reserved concurrency 0")
        self._mappings(target, seen, found)
        for source in _pushed(target):
            self._pushes(target, source, seen, found)
        return found

    # -- event source mappings

    def _mappings(self, target: Target, seen: Readings, found: _Found) -> None:
        answer = seen.resource(_mappings(target.arn))
        if not isinstance(answer, Mapping):
            found.blind.append(_why(answer, "its event source mappings were not listed"))
            return
        listed = [each for each in answer.get("Mappings", ()) if each.get("State") != _GONE]
        for source in _polled(target):
            if not any(_reads(each, source) for each in listed):
                quoted = shlex.quote(str(source))
                create = f"aws lambda create-event-source-mapping --function-name {shlex.quote(target.arn.name)}"
                found.faults.append(
                    _Fault(
                        f"no event source mapping reads {source.name} for it",
                        (f"make it again, as it was: {create} --event-source-arn {quoted} {_WRITE}",),
                        _LAMBDA,
                    )
                )
        for each in listed:
            wanted = any(_reads(each, source) for source in _polled(target))
            fault = _of_mapping(each, wanted=wanted)
            if fault is None:
                found.whole += 1
            else:
                found.faults.append(fault)

    # -- who calls a function

    def _pushes(self, target: Target, source: Arn, seen: Readings, found: _Found) -> None:
        """Whether a source still calls the function, where that can be seen, and whether it may."""
        if source.kind == "s3:bucket" and not self._tells_function(target.arn, source, seen, found):
            return
        policy = seen.resource(_policy(target.arn))
        if isinstance(policy, Unread):
            found.blind.append(policy.reason)
            return
        service = SERVICES[source.kind]
        asked = Asked(service, "lambda:InvokeFunction", str(target.arn), str(source), target.arn.account)
        word = says((policy or {}).get("Policy"), asked)
        name = shlex.quote(target.arn.name)
        if word is Word.ALLOWED:
            found.whole += 1
        elif word is Word.UNCLEAR:
            found.blind.append(f"the policy of {target.arn.name} has conditions for {service} that are not known here")
        elif word is Word.DENIED:
            look = f"aws lambda get-policy --function-name {name} {_READ_ONLY}"
            what = f"a Deny of its policy keeps {service} from calling it for {source.name}"
            found.faults.append(_Fault(what, (f"find the Deny, and ask whose it is: {look}",), _LAMBDA))
        elif target.alias is not None and source.kind != "s3:bucket":  # a bucket has said whom it calls
            found.blind.append(
                f"{target.arn.name} is called by its alias {target.alias}, whose own policy is not read here"
            )
        else:
            allow = (
                f"aws lambda add-permission --function-name {name} --statement-id {_statement(source)} "
                f"--action lambda:InvokeFunction --principal {service} --source-arn {shlex.quote(str(source))} "
                f"--source-account {target.arn.account} {_WRITE}"
            )
            what = f"its policy does not let {service} call it for {source.name}"
            found.faults.append(_Fault(what, (f"let it, for that source alone: {allow}",), _LAMBDA))

    def _tells_function(self, function: Arn, bucket: Arn, seen: Readings, found: _Found) -> bool:
        """Whether a bucket itself calls the function by its plain name: then its policy is to be judged."""
        answer = seen.resource(_notifications(bucket))
        if not isinstance(answer, Mapping):
            found.blind.append(_why(answer, f"{bucket} does not exist"))
            return False
        named = [str(each.get("LambdaFunctionArn")) for each in answer.get("LambdaFunctionConfigurations", ())]
        if str(function) in named:  # of whatever: which of S3's events it should hear of, nobody has said
            return True
        if any(each.startswith(f"{function}:") for each in named):
            found.blind.append(f"{bucket.name} calls an alias of {function.name}, whose own policy is not read here")
            return False
        entry = {"Id": "nightshift", "LambdaFunctionArn": str(function), "Events": ["s3:ObjectCreated:*"]}
        self._untold(bucket, function, relays(answer), _added(bucket, "LambdaFunction", entry), found)
        return False

    # -- whom a bucket tells

    def _queue(
        self, target: Target, customer: Customer, notifications: Mapping[str, Any], seen: Readings, found: _Found
    ) -> None:
        """Whether a bucket tells a customer's queue of its triggers, and whether that may be sent."""
        start = f"{target.triggers.prefix if target.triggers else ''}{customer.name}/"
        keys = {"start": start, "end": ".json"}
        if tells(notifications, "Queue", customer.queue, **keys) is Share.NONE:
            rule = [{"Name": "prefix", "Value": start}]
            entry = {
                "Id": customer.name,
                "QueueArn": str(customer.queue),
                "Events": ["s3:ObjectCreated:*"],
                "Filter": {"Key": {"FilterRules": rule}},
            }
            by = relays(notifications, **keys)
            self._untold(target.arn, customer.queue, by, _added(target.arn, "Queue", entry), found, start)
            return
        queue = seen.resource(_queue(customer))
        if not isinstance(queue, Mapping):
            found.blind.append(_why(queue, f"{customer.queue} does not exist"))
            return
        service = SERVICES["s3:bucket"]
        asked = Asked(service, "sqs:SendMessage", str(customer.queue), str(target.arn), customer.queue.account)
        word, name = says(queue.get("Policy"), asked), customer.queue.name
        if word is Word.ALLOWED:
            found.whole += 1
        elif word is Word.UNCLEAR:
            found.blind.append(f"the policy of {name} has conditions for {service} that are not known here")
        else:
            what = f"the policy of {name} {'denies' if word is Word.DENIED else 'does not let'} {service}"
            what += f" to send to it for {target.arn.name}" if word is Word.DENIED else f" send for {target.arn.name}"
            found.faults.append(_Fault(what, tuple(_send(asked, customer.queue, word)), _SQS))

    def _untold(
        self, bucket: Arn, consumer: Arn, by: str, advice: tuple[str, ...], found: _Found, start: str = ""
    ) -> None:
        """A bucket that does not tell a consumer itself: broken, unless a relay may."""
        if by and self.relayed:
            found.whole += 1
        elif by:
            found.blind.append(
                f"{bucket.name} tells {by} and not {consumer.name}: if that tells {consumer.name}, set relayed = true"
            )
        else:
            where = f" of what is put under {start}" if start else " of anything"
            what = f"{bucket.name} does not tell {consumer.name}{where}"
            found.faults.append(_Fault(what, advice, _S3))

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        found = self._look(target, read.seen(*self.watch(target)))
        if not isinstance(found, _Found) or not found.faults:
            raise Refused("wiring", "no wire is certainly broken any more", retry_after=timedelta(minutes=1))
        services = dict.fromkeys(each.service for each in found.faults)
        advice = [line for each in found.faults for line in each.advice]
        lookup = "aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventSource,AttributeValue="
        advice += [
            f"see who changed it last, which is not known here: {lookup}{each} {_READ_ONLY}" for each in services
        ]
        return Diagnosis(
            target=str(target.arn),
            cause=f"{target.arn.name}: {'; '.join(each.what for each in found.faults)}",
            evidence=(*(each.what for each in found.faults), *found.blind, _wires(found.whole, "other ")),
            advice=("ask whoever owns it before anything is switched on: it may be off for a reason", *advice),
        )


# -- what is read ------------------------------------------------------------------------------------------------------


def _function(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.function", str(arn))


def _mappings(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.mappings", str(arn))


def _policy(arn: Arn) -> ResourceRead:
    return ResourceRead("lambda.policy", str(arn))


def _notifications(arn: Arn) -> ResourceRead:
    return ResourceRead("s3.notifications", str(arn))


def _queue(customer: Customer) -> ResourceRead:
    return ResourceRead("sqs.queue", str(customer.queue))


def _pushed(target: Target) -> tuple[Arn, ...]:
    """The sources that call the function."""
    return tuple(each for each in target.events_from if each.kind in SERVICES)


def _polled(target: Target) -> tuple[Arn, ...]:
    """The sources that a mapping reads for the function."""
    return tuple(each for each in target.events_from if each.kind not in SERVICES)


def _wires(count: int, which: str = "") -> str:
    return f"{count} {which}wire{' is' if count == 1 else 's are'} whole"


def _why(answer: _Answer, gone: str) -> str:
    return answer.reason if isinstance(answer, Unread) else gone


# -- what is broken, and what would mend it ----------------------------------------------------------------------------


def _reads(mapping: Mapping[str, Any], source: Arn) -> bool:
    """Whether a mapping is of that source: of a table, its stream; of a stream, a consumer of it."""
    arn = str(mapping.get("EventSourceArn", ""))
    return arn == str(source) or arn.startswith(f"{source}/")


def _of_mapping(mapping: Mapping[str, Any], *, wanted: bool) -> _Fault | None:
    """
    What is wrong with a mapping; None where nothing is, or where a person has disabled one that nobody needs.

    Of what AWS says of its last batch only that the call failed is understood; its words are not quoted.
    """
    uuid, state = shlex.quote(str(mapping.get("UUID", "?"))), mapping.get("State")
    name = str(mapping.get("EventSourceArn", "")).rpartition(":")[2] or "a source without an ARN"
    look = f"aws lambda get-event-source-mapping --uuid {uuid} {_READ_ONLY}"
    if state in _OFF:
        person = "user" in str(mapping.get("StateTransitionReason", "")).lower()
        if person and not wanted:
            return None
        enable = f"aws lambda update-event-source-mapping --uuid {uuid} --enabled {_WRITE}"
        whom = "a person" if person else "Lambda itself"
        advice = (f"switch it on: {enable}",) if person else (f"see why first: {look}", f"then: {enable}")
        return _Fault(f"the event source mapping of {name} is {state}, by {whom}", advice, _LAMBDA)
    said = str(mapping.get("LastProcessingResult", ""))
    if not said.upper().startswith(_PROBLEM):
        return None
    if _FAILED in said.lower():
        what = f"the last batch of {name} failed in the function itself: its wire is whole"
        return _Fault(what, (f"see what it says of that: {look}",), _LAMBDA, Severity.SEV3)
    what = f"the event source mapping of {name} has a problem with its source or its role"
    return _Fault(what, (f"read AWS's words: {look}",), _LAMBDA)


def _statement(source: Arn) -> str:
    """An id for a statement: IAM takes letters, digits, hyphens and underscores."""
    return f"nightshift-{source.service}-{''.join(each if each.isalnum() else '-' for each in source.name)}"[:100]


def _send(asked: Asked, queue: Arn, word: Word) -> Iterator[str]:
    """How people let S3 send to a queue: its policy is one text, which is replaced whole."""
    url = shlex.quote(queue_url(queue))
    read = f"aws sqs get-queue-attributes --queue-url {url} --attribute-names Policy {_READ_ONLY}"
    if word is Word.DENIED:
        yield f"find the Deny, and ask whose it is: {read}"
        return
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": asked.service},
        "Action": asked.action,
        "Resource": asked.resource,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": asked.source},
            "StringEquals": {"aws:SourceAccount": asked.account},
        },
    }
    yield f"read its policy, which is replaced whole: {read}"
    yield f"add to its statements {json.dumps(statement, separators=(',', ':'))}"
    yield (f"and set it: aws sqs set-queue-attributes --queue-url {url} --attributes file://attributes.json {_WRITE}")


def _added(bucket: Arn, kind: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """How people let a bucket tell somebody: its configuration is replaced whole."""
    name = shlex.quote(bucket.name)
    read = f"aws s3api get-bucket-notification-configuration --bucket {name} {_READ_ONLY}"
    put = f"aws s3api put-bucket-notification-configuration --bucket {name}"
    return (
        f"read its notifications, which are replaced whole: {read}",
        f"add to its {kind}Configurations {json.dumps(entry, separators=(',', ':'))}",
        f"and put it: {put} --notification-configuration file://notifications.json {_WRITE}",
    )
