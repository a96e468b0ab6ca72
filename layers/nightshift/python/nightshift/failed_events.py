"""
Events that a Lambda function failed at for good, as they lie in a queue: what the event is, and whose.

Lambda keeps them in two ways. The function's dead-letter queue gets the event itself, with message attributes that say
how it failed; an on-failure destination gets a record, in which the event stands beside the function's name. Either
way it is the event that is read, compared and given to the function again, to the letter as it was written.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Final

from nightshift import strict_json
from nightshift.carrying import Carrier
from nightshift.errors import Ambiguous, Rejected
from nightshift.letters import ABSENT, Letter
from nightshift.model import Arn

__all__ = ["LARGEST", "FailedEvent", "Recaller", "same_function", "unqualified"]

LARGEST: Final = 1024 * 1024
"""bytes of an event that Lambda takes without waiting for it"""
_EVENT: Final = "requestPayload"
_ACCEPTED: Final = 202
_LATEST: Final = "$LATEST"


class FailedEvent(Letter):
    """A letter that is a function's failed event, or claims to be; its ``payload`` is None where it is none."""

    @cached_property
    def _record(self) -> Mapping[str, Any] | None:
        """What a destination was told, if it was."""
        if self.of_queue:
            return None
        try:
            found = strict_json.loads(self.body, limit=LARGEST)
        except strict_json.NotStrict:
            return None
        context = found.get("requestContext") if isinstance(found, Mapping) else None
        whole = isinstance(context, Mapping) and {"condition", "functionArn"} <= context.keys() and _EVENT in found
        return found if whole else None

    @property
    def of_queue(self) -> bool:
        """Whether it is a dead-letter queue's, which does not say which function failed."""
        return {"RequestID", "ErrorCode"} <= self.attributes.keys()

    @cached_property
    def payload(self) -> str | None:
        """The event, as it was written; None where this is no failed event."""
        if self.of_queue:
            return self.body
        return None if self._record is None else _member(self.body, _EVENT)

    @cached_property
    def document(self) -> Any:
        """The event as JSON, which is what rules read; :data:`~nightshift.letters.ABSENT` where it is none."""
        if self._record is not None:
            return self._record[_EVENT]
        try:
            return strict_json.loads(self.body, limit=LARGEST)
        except strict_json.NotStrict:
            return ABSENT

    @cached_property
    def fingerprint(self) -> str:
        """
        Thirty-two hexadecimal digits over the event alone: each time that it fails, all around it is another.

        Lambda may write the same JSON in another way when it puts an event back, so it is the content that counts.
        """
        absent = self.document is ABSENT
        text = self.body if absent else json.dumps(self.document, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(f"{absent} {text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def not_of(self, function: Arn) -> str:
        """Why this is no event to be given to ``function``; empty where it may be one."""
        if self.payload is None:
            return "it is no failed event of a function"
        if len(self.payload.encode("utf-8", "surrogatepass")) > LARGEST:
            return "its event is larger than a function is given"
        named = self._record["requestContext"]["functionArn"] if self._record is not None else str(function)
        return "" if same_function(str(named), function) else "another function, version or alias failed at it"


def same_function(text: str, function: Arn) -> bool:
    """Whether a function's ARN, as a record names it, is that very one: who asks for no version gets the latest."""
    return text.removesuffix(f":{_LATEST}") == str(function).removesuffix(f":{_LATEST}")


def unqualified(function: Arn) -> Arn:
    """The function itself, without the version or alias that may follow its name."""
    return replace(function, resource=":".join(function.resource.split(":")[:2]))


class Recaller(Carrier):
    """
    Carries failed events back to their function.

    Lambda says that it has taken an event; what becomes of it is seen later, in the function's figures and in the
    queue. So the original is deleted when it was taken, as a message is when SQS has taken its copy.
    """

    letter: ClassVar[type[Letter]] = FailedEvent
    taker: ClassVar[str] = "Lambda"

    def _deliver(self, letter: Letter) -> None:
        call = self._calls["Invoke"]
        payload = letter.payload if isinstance(letter, FailedEvent) else None
        if payload is None:
            raise Rejected(call.action, "NoEvent", resource=call.resource)
        answer = self._act(call, Payload=payload.encode("utf-8", "surrogatepass"))
        if answer.get("StatusCode") != _ACCEPTED:
            raise Ambiguous(call.action, "NotAccepted", resource=call.resource)


# -- a member of an object, as it was written --------------------------------------------------------------------------

_BLANK = re.compile(r"[ \t\n\r]*")


def _member(text: str, name: str) -> str:
    """
    The text of one member of a JSON object that has it: read again, a number might lose digits.

    ``text`` has been read strictly before: it is an object, each key stands once, and nothing is too deep.
    """
    read = json.JSONDecoder().raw_decode
    at = _past(text, _past(text, 0) + 1)
    while True:
        key, at = read(text, at)
        at = _past(text, _past(text, at) + 1)  # the colon
        _, end = read(text, at)
        if key == name:
            return text[at:end]
        at = _past(text, _past(text, end) + 1)  # the comma


def _past(text: str, at: int) -> int:
    """Where the blanks at a place end."""
    found = _BLANK.match(text, at)
    return at if found is None else found.end()
