"""SQS for the thin cloud: moto's own queues, and the sandbox's physics on them, without the web server around them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.utils import camelcase_to_underscores
from moto.sqs.constants import MAXIMUM_MESSAGE_LENGTH, MAXIMUM_VISIBILITY_TIMEOUT
from moto.sqs.exceptions import EmptyBatchRequest, InvalidParameterValue, MaxVisibilityTimeout
from moto.sqs.models import MAXIMUM_MESSAGE_DELAY, Message, Queue, SQSBackend

from sandbox.seam import Answer, AwsError, Call, new_id

__all__ = ["Sqs"]

_PREFIXED = frozenset(
    {
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        "InvalidBatchEntryId",
        "TooManyEntriesInBatchRequest",
        "UnsupportedOperation",
    }
)
"""codes that the SDK tells as they were when SQS spoke XML (moto says some of them so already)"""
_BATCH = 10  # entries that SendMessageBatch takes, and messages that ReceiveMessage gives
_BATCH_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
_SYSTEM: Mapping[str, Callable[[Message], Any]] = {
    "SenderId": lambda message: message.sender_id,
    "SentTimestamp": lambda message: str(message.sent_timestamp),
    "ApproximateReceiveCount": lambda message: str(message.approximate_receive_count),
    "ApproximateFirstReceiveTimestamp": lambda message: str(message.approximate_first_receive_timestamp),
    "MessageDeduplicationId": lambda message: message.deduplication_id,
    "MessageGroupId": lambda message: message.group_id,
    "SequenceNumber": lambda message: message.sequence_number,
}


def _by_attribute(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, camelcase_to_underscores(name)) for name in names]


_BASE, _FIFO, _KMS = map(_by_attribute, (Queue.BASE_ATTRIBUTES, Queue.FIFO_ATTRIBUTES, Queue.KMS_ATTRIBUTES))


class Sqs:
    """SQS's operations, one method each."""

    def __init__(self, backend: Callable[[], SQSBackend], region: str) -> None:
        self._backend = backend
        self._host = f"https://sqs.{region}.amazonaws.com"
        self.operations: Mapping[str, Callable[[Call], Answer]] = {
            name: _translated(do)
            for name, do in {
                "ChangeMessageVisibility": self._change_visibility,
                "CreateQueue": self._create,
                "DeleteMessage": self._delete,
                "GetQueueAttributes": self._attributes,
                "ListDeadLetterSourceQueues": self._sources,
                "ListQueues": self._list,
                "ListQueueTags": self._tags,
                "ReceiveMessage": self._receive,
                "SendMessage": self._send,
                "SendMessageBatch": self._send_batch,
                "SetQueueAttributes": self._set,
                "TagQueue": self._tag,
                "UntagQueue": self._untag,
            }.items()
        }

    def _create(self, call: Call) -> Answer:
        name = call.params["QueueName"]
        self._backend().create_queue(name, dict(call.params.get("tags") or {}), **call.params.get("Attributes", {}))
        return {"QueueUrl": self._url(name)}

    def _attributes(self, call: Call) -> Answer:
        """As moto does it, less the conversion of every name at every call."""
        queue, asked = self._backend().get_queue(_name(call)), call.params.get("AttributeNames", [])
        if asked != ["All"]:
            found = self._backend().get_queue_attributes(queue.name, asked)
        else:
            groups = [
                _BASE,
                *([_FIFO] if queue.fifo_queue else []),
                *([_KMS] if vars(queue).get("kms_master_key_id") else []),
            ]
            found = {name: getattr(queue, attribute) for group in groups for name, attribute in group}
            if queue.policy:
                found["Policy"] = queue.policy
            if queue.redrive_policy:
                found["RedrivePolicy"] = json.dumps(queue.redrive_policy)
        shown = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in found.items()
            if value is not None
        }
        return {"Attributes": shown} if shown else {}

    def _set(self, call: Call) -> Answer:
        self._backend().set_queue_attributes(_name(call), call.params["Attributes"])
        return {}

    def _list(self, call: Call) -> Answer:
        prefix, size = call.params.get("QueueNamePrefix") or "", call.params.get("MaxResults")
        names = [name for name in self._backend().queues if name.startswith(prefix)]
        start = int(call.params.get("NextToken") or 0)
        part = names[start : start + (size or 1000)]
        answer: Answer = {"QueueUrls": [self._url(name) for name in part]} if part else {}
        if size and start + size < len(names):
            answer["NextToken"] = str(start + size)
        return answer

    def _sources(self, call: Call) -> Answer:
        found = self._backend().list_dead_letter_source_queues(_name(call))
        return {"queueUrls": [self._url(queue.name) for queue in found]}

    def _tags(self, call: Call) -> Answer:
        tags = self._backend().get_queue(_name(call)).tags
        return {"Tags": dict(tags)} if tags else {}

    def _tag(self, call: Call) -> Answer:
        self._backend().tag_queue(_name(call), call.params["Tags"])
        return {}

    def _untag(self, call: Call) -> Answer:
        self._backend().untag_queue(_name(call), call.params["TagKeys"])
        return {}

    def _receive(self, call: Call) -> Answer:
        params = call.params
        queue = self._backend().get_queue(_name(call))
        settings = vars(queue)
        count = params.get("MaxNumberOfMessages", 1)
        wait = int(params.get("WaitTimeSeconds", settings["receive_message_wait_time_seconds"]))
        _within(count, 1, _BATCH, "MaxNumberOfMessages")
        _within(wait, 0, 20, "WaitTimeSeconds")
        visibility = int(params.get("VisibilityTimeout", settings["visibility_timeout"]))
        if visibility > MAXIMUM_VISIBILITY_TIMEOUT:
            raise MaxVisibilityTimeout
        taken = self._backend().receive_message(
            queue.name, count, wait, visibility, params.get("MessageAttributeNames", [])
        )
        asked = {*params.get("AttributeNames", ()), *params.get("MessageSystemAttributeNames", ())}
        return {"Messages": [_shown(message, asked) for message in taken]} if taken else {}

    def _send(self, call: Call) -> Answer:
        params = call.params
        queue = self._backend().get_queue(_name(call))
        if not queue.fifo_queue and not params.keys() - {"QueueUrl", "MessageBody", "MessageAttributes"}:
            return {"MessageId": self._put(queue, params).id}
        message = self._backend().send_message(
            _name(call),
            params["MessageBody"],
            message_attributes=_copied(params.get("MessageAttributes")),
            delay_seconds=params.get("DelaySeconds"),
            deduplication_id=params.get("MessageDeduplicationId"),
            group_id=params.get("MessageGroupId"),
        )
        return {"MessageId": message.id}

    def _put(self, queue: Queue, entry: Mapping[str, Any]) -> Message:
        """What moto does for a standard queue, less a reading of all of its attributes."""
        body = entry["MessageBody"]
        if len(body.encode()) > vars(queue)["maximum_message_size"]:
            raise InvalidParameterValue("One or more parameters are invalid. Reason: Message must be shorter.")
        message = Message(new_id(), body)
        message.message_attributes = _copied(entry.get("MessageAttributes"))
        message.mark_sent(delay_seconds=int(entry.get("DelaySeconds", vars(queue)["delay_seconds"])))
        queue.add_message(message)
        return message

    def _send_batch(self, call: Call) -> Answer:
        queue = self._backend().get_queue(_name(call))
        given = call.params["Entries"]
        if not given:
            raise EmptyBatchRequest
        if not queue.fifo_queue and _plain_batch(given):
            put = [(entry["Id"], self._put(queue, entry).id) for entry in given]
            return {"Successful": [{"Id": id_, "MessageId": message} for id_, message in put]}
        entries = {
            str(number): {"DelaySeconds": None, **entry, "MessageAttributes": _copied(entry.get("MessageAttributes"))}
            for number, entry in enumerate(given)
        }
        sent, failed = self._backend().send_message_batch(_name(call), entries)
        done = [{"Id": vars(message)["user_id"], "MessageId": message.id} for message in sent]
        return {"Successful": done, **({"Failed": failed} if failed else {})}

    def _delete(self, call: Call) -> Answer:
        self._backend().delete_message(_name(call), call.params["ReceiptHandle"])
        return {}

    def _change_visibility(self, call: Call) -> Answer:
        if call.params["VisibilityTimeout"] > MAXIMUM_VISIBILITY_TIMEOUT:
            raise MaxVisibilityTimeout
        self._backend().change_message_visibility(
            _name(call), call.params["ReceiptHandle"], call.params["VisibilityTimeout"]
        )
        return {}

    def _url(self, name: str) -> str:
        backend = self._backend()
        return f"{self._host}/{backend.account_id}/{name}"


def _name(call: Call) -> str:
    return str(call.params["QueueUrl"]).rpartition("/")[2]


def _within(value: int, least: int, most: int, parameter: str) -> None:
    if not least <= value <= most:
        reason = f"Reason: Must be between {least} and {most}, if provided."
        raise InvalidParameterValue(f"Value {value} for parameter {parameter} is invalid. {reason}")


def _plain_batch(entries: Sequence[Mapping[str, Any]]) -> bool:
    """Whether nothing about a batch needs moto's judgement."""
    bodies = [len(entry["MessageBody"].encode()) for entry in entries]
    return (
        len({entry["Id"] for entry in entries}) == len(entries) <= _BATCH
        and sum(bodies) <= MAXIMUM_MESSAGE_LENGTH
        and all(_BATCH_ID.fullmatch(entry["Id"]) for entry in entries)
        and all(0 <= (entry.get("DelaySeconds") or 0) <= MAXIMUM_MESSAGE_DELAY for entry in entries)
    )


def _copied(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Message attributes that neither the sender nor another receiver holds."""
    return {name: dict(value) for name, value in (attributes or {}).items()}


def _shown(message: Message, asked: set[str]) -> Answer:
    shown: Answer = {"MessageId": message.id, "ReceiptHandle": message.receipt_handle, "Body": message.body}
    if message.message_attributes:
        shown["MessageAttributes"] = _copied(message.message_attributes)
    names = _SYSTEM if "All" in asked else asked & _SYSTEM.keys()
    system = {name: value for name in names if (value := _SYSTEM[name](message)) is not None}
    if system:
        shown["Attributes"] = system
    return shown


def _translated(do: Callable[[Call], Answer]) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        try:
            return do(call)
        except ServiceException as error:
            prefix = "AWS.SimpleQueueService." if error.code in _PREFIXED else ""
            raise AwsError(f"{prefix}{error.code}", error.message) from error

    return answer
