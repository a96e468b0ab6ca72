"""
The mailbox: everything that was published to a topic can be read here.

Gap filled: moto accepts what SNS refuses. Real SNS takes a subject of 1 to 99 characters without line breaks
or control characters (we insist on ASCII, which every channel shows), and a message of 1 byte to 256 KiB,
attributes included.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sandbox.seam import Answer, AwsError, Call, Principal, Seam

MAX_BYTES = 256 * 1024
MAX_SUBJECT = 99


@dataclass(frozen=True, slots=True)
class Mail:
    """One message that was published."""

    at: datetime
    topic_arn: str
    subject: str | None
    text: str
    attributes: dict[str, str]
    message_id: str
    principal: Principal
    function: str | None

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.subject or '(no subject)'}"


class Mailbox:
    """All mail, oldest first."""

    def __init__(self, seam: Seam) -> None:
        self.all: list[Mail] = []
        seam.before("sns", "Publish", self._check)
        seam.after("sns", "Publish", self._deliver)
        seam.before("sns", "PublishBatch", self._no_batches)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Mail]:
        return iter(self.all)

    def __getitem__(self, index: int) -> Mail:
        return self.all[index]

    def about(self, words: str) -> list[Mail]:
        """Mail whose subject or text contains the words."""
        return [mail for mail in self.all if words in (mail.subject or "") or words in mail.text]

    @staticmethod
    def _check(call: Call) -> None:
        subject, text = call.params.get("Subject"), call.params.get("Message", "")
        if subject is not None:
            plain = subject.isascii() and subject.isprintable()
            if not 0 < len(subject) <= MAX_SUBJECT or not plain or subject[0].isspace():
                raise AwsError("InvalidParameter", "Invalid parameter: Subject")
        if not text:
            raise AwsError("InvalidParameter", "Invalid parameter: Empty message")
        size = len(text.encode())
        for name, value in (call.params.get("MessageAttributes") or {}).items():
            size += len(name) + len(value["DataType"]) + len(str(value.get("StringValue", "")).encode())
            size += len(value.get("BinaryValue", b""))
        if size > MAX_BYTES:
            raise AwsError("InvalidParameter", "Invalid parameter: Message too long")

    @staticmethod
    def _no_batches(call: Call) -> None:
        raise NotImplementedError("the mailbox does not read PublishBatch; publish one by one")

    def _deliver(self, call: Call, answer: Answer) -> None:
        params = call.params
        self.all.append(
            Mail(
                at=call.at,
                topic_arn=params.get("TopicArn") or params.get("TargetArn") or "",
                subject=params.get("Subject"),
                text=params["Message"],
                attributes={
                    name: str(value.get("StringValue", ""))
                    for name, value in (params.get("MessageAttributes") or {}).items()
                },
                message_id=answer["MessageId"],
                principal=call.principal,
                function=call.function,
            )
        )
