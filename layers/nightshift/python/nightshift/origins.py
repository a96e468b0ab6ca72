"""
Letters that no queue sent: whose they are, and what people should do with them.

SQS takes back only what came from one of its queues. Who else uses a queue for what it could not deliver says so in the
letter: EventBridge and Lambda in its attributes, a Lambda destination and SNS in its body. All of that is what a letter
claims, and anybody who may send to the queue can claim it: it is told, and nothing is done by it.

Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html,
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html,
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nightshift.errors import Refused
from nightshift.letters import Letter, Origin, origin
from nightshift.model import Arn, Diagnosis

__all__ = ["of_others"]

_TOLD = 5  # of each kind, the most frequent: a report is no list
_LONGEST = 64  # letters of an error code: AWS's are shorter


def of_others(queue: Arn, letters: Sequence[Letter], evidence: Sequence[str]) -> Diagnosis:
    """What to tell of letters that have no home queue. Raises Refused where they do not even say whose they are."""
    kinds = Counter(origin(letter) for letter in letters)
    kind, count = kinds.most_common(1)[0]
    if kind is Origin.UNKNOWN:
        raise Refused(
            "source",
            f"no queue names {queue.name} as its dead-letter queue, so its letters cannot be sent home; "
            f"they seem to come from {kind}",
        )
    return Diagnosis(
        target=str(queue),
        cause=f"they were put there by {kind}, which no move of SQS can give them back to",
        evidence=(
            f"{count} of {len(letters)} letters looked at are of {kind}; no queue names {queue.name} as its own",
            *_figures(kind, [letter for letter in letters if origin(letter) is kind]),
            *evidence,
        ),
        advice=_ADVICE[kind],
    )


_NAME_IT = (
    "name that function as the target's `function` in the configuration: then its events are given to it once more, "
    "once it works (lambda-dlq-backlog)"
)
_BY_HAND = (
    "until then: aws lambda invoke --invocation-type Event with the event of each letter; delete the letter only when "
    "that was accepted"
)
_REACH = "see why the rule's target could not be reached: its policy, its role, whether it exists"
_AGAIN = (
    "then send each letter's body to that target by hand, or put it on the bus again (aws events put-events), and "
    "delete the letter: EventBridge does not take it back"
)
_ENDPOINT = "see why the subscription's endpoint could not be reached: its policy, its key, whether it exists"
_ONE = "then give each letter's message to that subscriber by hand, not to the topic: its other subscribers have it"
_ADVICE = {
    Origin.RULE: (_REACH, _AGAIN),
    Origin.FUNCTION: (_NAME_IT, _BY_HAND),
    Origin.DESTINATION: (_NAME_IT, _BY_HAND),
    Origin.TOPIC: (_ENDPOINT, _ONE),
}


def _figures(kind: Origin, letters: Sequence[Letter]) -> tuple[str, ...]:
    """Which rule, target and error, how often: names of AWS's, and nothing else of what a letter says."""
    if kind is not Origin.RULE:
        return ()
    found = Counter(
        f"rule {_name(letter, 'RULE_ARN')}, target {_name(letter, 'TARGET_ARN')}: {_code(letter, 'ERROR_CODE')}"
        f" ({_code(letter, 'EXHAUSTED_RETRY_CONDITION')})"
        for letter in letters
    )
    lines = [f"{count} x {what}" for what, count in found.most_common(_TOLD)]
    more = len(found) - len(lines)
    return (*lines, *([f"and {more} more of other rules, targets or errors"] if more else []))


def _name(letter: Letter, attribute: str) -> str:
    """An ARN that a letter names, if it is one."""
    text = _text(letter, attribute)
    try:
        return str(Arn.parse(text))[:200]
    except ValueError:
        return "(not said)"


def _code(letter: Letter, attribute: str) -> str:
    text = _text(letter, attribute)
    known = text.isascii() and text.replace("_", "").isalnum() and len(text) <= _LONGEST
    return text if known else "(not said)"


def _text(letter: Letter, attribute: str) -> str:
    return str(letter.attributes.get(attribute, {}).get("StringValue", ""))
