"""
Dead letters: what they are and what they mean.

A letter's body is somebody's data. It is read here, hashed and compared with rules; what leaves this module about it (a
meaning, the name of a rule, a fingerprint) says nothing of what stands in it.

A body counts as JSON only where every reader reads the same in it (:mod:`nightshift.strict_json`). Nothing in it is
decoded, opened or followed: a key of S3 in it stays the text that it is, so that it can name no path.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from nightshift import strict_json
from nightshift.model import Arn
from nightshift.remediation import Reader
from nightshift.signals import queue_url

__all__ = [
    "BUILT_IN_RULES",
    "DRY",
    "SKEW",
    "Letter",
    "Meaning",
    "Origin",
    "Rule",
    "look",
    "look_at",
    "meaning",
    "origin",
    "plain",
    "receive_params",
    "unplain",
]

SKEW: Final = timedelta(minutes=1)
"""how far AWS's clock and ours may be apart"""

_AT_ONCE = 10  # messages a ReceiveMessage gives at most (SQS's limit)
DRY: Final = 3
"""answers in a row with nothing new: a short poll asks only some of a queue's servers"""

_ROUNDS = 12  # receives that a look may take
_LARGEST = 1024 * 1024  # bytes: what SQS takes, attributes included
_MILLISECONDS = 15  # digits: a time that a calendar has


# -- a letter --------------------------------------------------------------------------------------------------------


L = TypeVar("L", bound="Letter")


class _Absent:
    """What stands at a path that leads nowhere, and in a body that is not JSON."""


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Letter:
    """One message of a dead-letter queue, as ReceiveMessage gave it. Its ``repr`` shows nothing of what it says."""

    id: str
    handle: str = field(repr=False)
    body: str = field(repr=False)
    attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    system: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def received(cls, message: Mapping[str, Any]) -> Self:
        """Take a message of ReceiveMessage apart."""
        return cls(
            id=str(message["MessageId"]),
            handle=str(message["ReceiptHandle"]),
            body=str(message["Body"]),
            attributes={
                name: {part: value[part] for part in ("DataType", "StringValue", "BinaryValue") if part in value}
                for name, value in message.get("MessageAttributes", {}).items()
            },
            system=dict(message.get("Attributes", {})),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Thirty-two hexadecimal digits over body and attributes: equal for equal content, whatever its id."""
        content = {"body": self.body, "attributes": plain(self.attributes)}
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def sent_at(self) -> datetime | None:
        """When it was put into the queue that it died in: SQS keeps this time when it makes it a dead letter."""
        text = self.system.get("SentTimestamp", "")
        known = text.isascii() and text.isdecimal() and len(text) < _MILLISECONDS
        return datetime.fromtimestamp(int(text) / 1000, UTC) if known else None

    @property
    def source(self) -> str | None:
        """The ARN of the queue that it died in, where SQS says so."""
        return self.system.get("DeadLetterQueueSourceArn")

    def sent_since(self, moment: datetime) -> bool:
        """Whether it was sent after ``moment``: it is then not one of those that had been waiting."""
        return self.sent_at is not None and self.sent_at >= moment - SKEW

    @cached_property
    def document(self) -> Any:
        """The body as JSON; :data:`ABSENT` where it is none, or says two things at once, or goes too deep."""
        try:
            return strict_json.loads(self.body, limit=_LARGEST)
        except strict_json.NotStrict:
            return ABSENT

    def at(self, path: str) -> Any:
        """What stands at ``Records.0.eventName`` in the body, or at ``/Records/0/eventName``; or :data:`ABSENT`."""
        here = self.document
        for part in _parts(path):
            if isinstance(here, Mapping) and part in here:
                here = here[part]
            elif isinstance(here, list) and _is_index(part) and int(part) < len(here):
                here = here[int(part)]
            else:
                return ABSENT
        return here


def _parts(path: str) -> list[str]:
    """The steps of a path: with a slash in front it is a JSON pointer (RFC 6901), which can name any key there is."""
    if not path.startswith("/"):
        return path.split(".")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _is_index(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < _MILLISECONDS


def plain(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Message attributes as JSON can carry them: bytes as base64."""
    return {
        name: {
            part: base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
            for part, value in attribute.items()
        }
        for name, attribute in attributes.items()
    }


def unplain(attributes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Any]]:
    """What :func:`plain` was made of, as SQS takes it: what it says of lists is always empty. Raises ValueError."""
    return {
        name: {
            part: base64.b64decode(value, validate=True) if part == "BinaryValue" else value
            for part, value in attribute.items()
            if part in {"DataType", "StringValue", "BinaryValue"}
        }
        for name, attribute in attributes.items()
    }


# -- what it means ---------------------------------------------------------------------------------------------------


class Meaning(StrEnum):
    """Why a letter died, and so what may be done with it."""

    POISON = "poison"
    """no consumer can ever process it: stored apart"""
    OBSOLETE = "obsolete"
    """nobody needs it to be processed: stored apart"""
    PERMISSION = "permission"
    """its consumer was not allowed to: a person must change that first; left"""
    TRANSIENT = "transient"
    """it met a failure that is over: sent home"""
    KEEP = "keep"
    """somebody wants it where it is: left"""
    UNKNOWN = "unknown"
    """nobody can tell: left"""

    @property
    def stored(self) -> bool:
        """Whether it is to be stored apart."""
        return self in {Meaning.POISON, Meaning.OBSOLETE}


_WHICH = Field(description="which test it is")


class _Test(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Path = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="where in the JSON body, as in Records.0.eventName; or as a JSON pointer, /Records/0/eventName",
    ),
]


class NotJson(_Test):
    """The body is not JSON."""

    test: Annotated[Literal["not-json"], _WHICH]

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        return letter.document is ABSENT


class KeyMissing(_Test):
    """The body is JSON, and has nothing at ``path``."""

    test: Annotated[Literal["key-missing"], _WHICH]
    path: Path

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        return letter.document is not ABSENT and letter.at(self.path) is ABSENT


class JsonIsNot(_Test):
    """The body is JSON, and what stands at ``path`` is not of this ``kind``, or nothing does: a schema's one line."""

    test: Annotated[Literal["json-is-not"], _WHICH]
    path: Path
    kind: Annotated[
        Literal["object", "list", "text", "number", "boolean", "null"], Field(description="what should stand there")
    ]

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        return letter.document is not ABSENT and _kind(letter.at(self.path)) != self.kind


def _kind(value: object) -> str:
    """What JSON calls a value; nothing that it has a word for where there is none."""
    if isinstance(value, bool):
        return "boolean"
    kinds: Mapping[type | tuple[type, ...], str] = {
        dict: "object",
        list: "list",
        str: "text",
        (int, float): "number",
        type(None): "null",
    }
    return next((name for kind, name in kinds.items() if isinstance(value, kind)), "")


class JsonEquals(_Test):
    """The body is JSON, and has exactly ``value`` at ``path``: 1 is 1.0, and neither is true."""

    test: Annotated[Literal["json-equals"], _WHICH]
    path: Path
    value: Annotated[str | bool | int | float, Field(description="what stands there")]

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        found = letter.at(self.path)
        return isinstance(found, bool) == isinstance(self.value, bool) and bool(found == self.value)


class AttributeEquals(_Test):
    """The message attribute ``name`` has the text ``value``."""

    test: Annotated[Literal["attribute-equals"], _WHICH]
    name: Annotated[str, Field(min_length=1, max_length=256, description="the attribute's name")]
    value: Annotated[str, Field(description="its whole text")]

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        return letter.attributes.get(self.name, {}).get("StringValue") == self.value


class BodyContains(_Test):
    """The body contains ``text``, letter for letter. There are no patterns here: one can be made to run for hours."""

    test: Annotated[Literal["body-contains"], _WHICH]
    text: Annotated[str, Field(min_length=1, max_length=256, description="what the body contains, to the letter")]

    def holds(self, letter: Letter) -> bool:
        """Whether it is so for ``letter``."""
        return self.text in letter.body


When: TypeAlias = Annotated[
    NotJson | KeyMissing | JsonIsNot | JsonEquals | AttributeEquals | BodyContains, Field(discriminator="test")
]


class Rule(BaseModel):
    """One rule for reading letters. The first of a list that holds decides; its name is all that a report shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80, description="what a report calls it")]
    means: Annotated[Meaning, Field(description="why such a letter died, and so what may be done with it")]
    when: Annotated[When, Field(description="what holds for such a letter")]


BUILT_IN_RULES: Final = (
    Rule(name="the body is not JSON", means=Meaning.POISON, when=NotJson(test="not-json")),
    Rule(
        name="S3's test event",
        means=Meaning.OBSOLETE,
        when=JsonEquals(test="json-equals", path="Event", value="s3:TestEvent"),
    ),
)
"""What S3 sends once when a notification is set up, and what a program that expects JSON can never read."""


def meaning(letter: Letter, rules: Iterable[Rule], otherwise: Meaning) -> tuple[Meaning, str]:
    """What a letter means, and the name of the rule that says so: the first that holds."""
    for rule in rules:
        if rule.when.holds(letter):
            return rule.means, rule.name
    return otherwise, "no rule holds"


class Origin(StrEnum):
    """Who puts a letter into a queue that is no SQS queue's dead-letter queue."""

    RULE = "an EventBridge rule"
    FUNCTION = "asynchronous invocations of a Lambda function"
    DESTINATION = "a Lambda function's on-failure destination"
    TOPIC = "an SNS subscription"
    UNKNOWN = "something unknown"


def origin(letter: Letter) -> Origin:
    """
    Who put this letter there, by what it says of itself.

    Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html,
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    if {"RULE_ARN", "TARGET_ARN"} <= letter.attributes.keys():
        return Origin.RULE
    if {"RequestID", "ErrorCode"} <= letter.attributes.keys():
        return Origin.FUNCTION
    if letter.at("requestContext.condition") is not ABSENT and letter.at("requestPayload") is not ABSENT:
        return Origin.DESTINATION
    if letter.at("Type") == "Notification" and letter.at("TopicArn") is not ABSENT:
        return Origin.TOPIC
    return Origin.UNKNOWN


# -- looking ---------------------------------------------------------------------------------------------------------


def receive_params(queue: Arn, *, hide: timedelta) -> dict[str, Any]:
    """
    How letters are received: at most ten, with everything that SQS knows of them, by a short poll.

    A short poll asks only some of a queue's servers, so whoever receives asks several times.
    """
    return {
        "QueueUrl": queue_url(queue),
        "MaxNumberOfMessages": _AT_ONCE,
        "VisibilityTimeout": int(hide.total_seconds()),
        "WaitTimeSeconds": 0,
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    }


def look(read: Reader, queue: Arn, count: int) -> tuple[Letter, ...]:
    """As :func:`look_at`, for letters of a queue."""
    return look_at(Letter, read, queue, count)


def look_at(kind: type[L], read: Reader, queue: Arn, count: int) -> tuple[L, ...]:
    """
    Look at up to ``count`` letters without hiding them from anybody: in no order, each once.

    It counts as a receive, so it may be done only to a queue that has no RedrivePolicy of its own.
    """
    found: dict[str, L] = {}
    idle = 0
    for _ in range(_ROUNDS):
        answer = read("sqs", "ReceiveMessage", **receive_params(queue, hide=timedelta(0)))
        letters = {letter.id: letter for letter in map(kind.received, answer.get("Messages", ()))}
        idle = idle + 1 if letters.keys() <= found.keys() else 0
        found |= letters
        if len(found) >= count or idle >= DRY:
            break
    return tuple(found.values())[:count]
