"""
Gap filled: moto writes a transaction again that it has written already.

AWS remembers the ClientRequestToken of a transaction for ten minutes: the same one again is answered, and changes
nothing; another one under the same token is refused. The SDK makes a token for each call and sends it with every
attempt, so a retry after a lost answer succeeds, where moto would fail it on its own conditions.
"""

from sandbox.clock import Agenda
from sandbox.seam import Answer, AwsError, Call, Seam

REMEMBERED_MS = 10 * 60 * 1000


class Transactions:
    """The tokens of the transactions that were written."""

    def __init__(self, agenda: Agenda, seam: Seam) -> None:
        self._agenda = agenda
        self._written: dict[str, tuple[int, str]] = {}  # token -> when, and what
        seam.fake("dynamodb", TransactWriteItems=self._again)
        seam.after("dynamodb", "TransactWriteItems", self._remember)

    def _again(self, call: Call) -> Answer | None:
        written = self._written.get(call.params.get("ClientRequestToken", ""))
        if written is None or written[0] < self._agenda.ms - REMEMBERED_MS:
            return None
        if written[1] != _content(call):
            raise AwsError(
                "IdempotentParameterMismatchException",
                "The request uses the same client token as a previous, but non-identical request.",
            )
        return {}

    def _remember(self, call: Call, answer: Answer) -> None:
        token = call.params.get("ClientRequestToken")
        if token is not None:
            self._written.setdefault(token, (self._agenda.ms, _content(call)))


def _content(call: Call) -> str:
    return repr(call.params["TransactItems"])
