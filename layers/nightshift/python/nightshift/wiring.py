"""
How events get from where they arise to who consumes them: what a policy lets a service of AWS do, whom a bucket tells.

Pure, and total over whatever stands in a policy or a notification configuration. What depends on something that is not
known here is UNCLEAR, or in part: never a yes, and never a no.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from nightshift import strict_json
from nightshift.model import Arn

__all__ = ["SERVICES", "Asked", "Share", "Word", "like", "relays", "says", "tells"]

SERVICES: Mapping[str, str] = {
    "events:rule": "events.amazonaws.com",
    "s3:bucket": "s3.amazonaws.com",
    "sns:topic": "sns.amazonaws.com",
}
"""who calls in the name of a source that pushes its events: the Principal of the policy that lets it"""
_LONGEST = 100_000  # bytes; policies of queues and of functions have at most 20 KB
_PARTS = 6  # of an ARN
_PUT = frozenset({"s3:ObjectCreated:*", "s3:ObjectCreated:Put"})


# -- policies ----------------------------------------------------------------------------------------------------------


class Word(StrEnum):
    """What a policy says to somebody who asks."""

    ALLOWED = "allowed"
    SILENT = "not allowed"
    DENIED = "denied"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Asked:
    """A service of AWS that wants to act on a resource, in the name of a source of an account."""

    service: str
    action: str
    resource: str
    source: str
    account: str

    @property
    def known(self) -> Mapping[str, str]:
        """What is known of its request, by the names of IAM's condition keys in lower case."""
        return {
            "aws:principalisawsservice": "true",
            "aws:principalservicename": self.service,
            "aws:securetransport": "true",
            "aws:sourceaccount": self.account,
            "aws:sourcearn": self.source,
        }


def says(policy: object, asked: Asked) -> Word:
    """What a policy says, as text of JSON; no policy is silent, and one that cannot be read in one way is unclear."""
    if not policy:
        return Word.SILENT
    try:
        said = strict_json.loads(str(policy), limit=_LONGEST)
    except strict_json.NotStrict:
        return Word.UNCLEAR
    statements = _listed(said.get("Statement")) if isinstance(said, dict) else [said]
    if not all(isinstance(each, dict) for each in statements):
        return Word.UNCLEAR
    denied, allowed = (
        [_fits(each, asked) for each in statements if each.get("Effect") == effect] for effect in ("Deny", "Allow")
    )
    if True in denied:
        return Word.DENIED
    if None in denied or (None in allowed and True not in allowed):
        return Word.UNCLEAR
    return Word.ALLOWED if True in allowed else Word.SILENT


def _fits(statement: Mapping[str, Any], asked: Asked) -> bool | None:
    """Whether a statement is about this; None where that depends on what is not known."""
    return _all(
        (
            _principal(statement, asked.service),
            _named(statement, "Action", lambda each: like(each.lower(), asked.action.lower())),
            _named(statement, "Resource", lambda each: like(each, asked.resource)),
            _conditions(statement.get("Condition"), asked.known),
        )
    )


def _all(found: Iterable[bool | None]) -> bool | None:
    every = list(found)
    return False if False in every else None if None in every else True


def _principal(statement: Mapping[str, Any], service: str) -> bool | None:
    if "NotPrincipal" in statement:
        return None
    said = statement.get("Principal")
    if not isinstance(said, dict):
        return said == "*"
    return "*" in _listed(said.get("AWS")) or bool({"*", service} & set(map(str, _listed(said.get("Service")))))


def _named(statement: Mapping[str, Any], name: str, covers: Any) -> bool | None:
    """By ``Action`` or ``NotAction``, ``Resource`` or ``NotResource``; None where there is neither."""
    if f"Not{name}" in statement:
        return not any(covers(str(each)) for each in _listed(statement[f"Not{name}"]))
    return any(covers(str(each)) for each in _listed(statement[name])) if name in statement else None


def _conditions(said: object, known: Mapping[str, str]) -> bool | None:
    """All of them must hold."""
    if said is None:
        return True
    if not isinstance(said, dict):
        return None
    tests = [
        _holds(str(operator).lower(), str(key).lower(), _listed(values), known)
        for operator, keys in said.items()
        for key, values in (keys.items() if isinstance(keys, dict) else [("", None)])
    ]
    return _all(tests)


def _holds(operator: str, key: str, values: Iterable[object], known: Mapping[str, str]) -> bool | None:
    has = known.get(key)
    if has is None:
        return None
    wanted = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    match operator.removesuffix("ifexists"):
        case "stringequals":
            return has in wanted
        case "stringnotequals":
            return has not in wanted
        case "bool" | "stringequalsignorecase":
            return has.lower() in [each.lower() for each in wanted]
        case "stringlike":
            return any(like(each, has) for each in wanted)
        case "stringnotlike":
            return not any(like(each, has) for each in wanted)
        case "arnequals" | "arnlike":
            return any(_like_arn(each, has) for each in wanted)
        case "arnnotequals" | "arnnotlike":
            return not any(_like_arn(each, has) for each in wanted)
    return None


def _like_arn(pattern: str, arn: str) -> bool:
    """Part by part: a wildcard of IAM's does not reach over a colon, but in the last part."""
    parts = pattern.split(":", _PARTS - 1)
    return len(parts) == _PARTS and all(map(like, parts, arn.split(":", _PARTS - 1)))


def like(pattern: str, text: str) -> bool:
    """IAM's ``*`` and ``?``, and nothing else."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def _listed(value: object) -> list[Any]:
    """IAM takes one of a thing in the place of a list of them."""
    return value if isinstance(value, list) else [] if value is None else [value]


# -- notifications of a bucket -----------------------------------------------------------------------------------------


class Share(StrEnum):
    """How many of some keys somebody is told of."""

    ALL = "all"
    SOME = "some"
    NONE = "none"


def tells(
    configuration: Mapping[str, Any], kind: str, arn: Arn | None = None, *, start: str = "", end: str = ""
) -> Share:
    """
    Of how many keys that begin and end so S3 itself tells somebody when one is put.

    ``kind`` is ``Queue``, ``LambdaFunction`` or ``Topic``, ``arn`` the one that is told; any one where it is not given.
    A filter's prefix and suffix are text, not patterns. Several filters that each take some keys may take all of them
    together: that is not worked out, and is said to be some.
    """
    field = {"LambdaFunction": "LambdaFunctionArn"}.get(kind, f"{kind}Arn")
    found = [
        _taken(each, start, end)
        for each in configuration.get(f"{kind}Configurations") or ()
        if (arn is None or each.get(field) == str(arn)) and not _PUT.isdisjoint(each.get("Events") or ())
    ]
    return Share.ALL if Share.ALL in found else Share.SOME if Share.SOME in found else Share.NONE


def relays(configuration: Mapping[str, Any], *, start: str = "", end: str = "") -> str:
    """Who else may be told of such keys, and may tell others; empty where nobody is."""
    if configuration.get("EventBridgeConfiguration") is not None:
        return "EventBridge"
    return "a topic" if tells(configuration, "Topic", start=start, end=end) is not Share.NONE else ""


def _taken(each: Mapping[str, Any], start: str, end: str) -> Share:
    rules = ((each.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    named = {str(rule.get("Name", "")).lower(): str(rule.get("Value", "")) for rule in rules}
    prefix, suffix = named.pop("prefix", ""), named.pop("suffix", "")
    if not (_either(prefix, start, str.startswith) and _either(suffix, end, str.endswith)):
        return Share.NONE
    return Share.ALL if start.startswith(prefix) and end.endswith(suffix) and not named else Share.SOME


def _either(one: str, other: str, begins: Any) -> bool:
    return bool(begins(one, other) or begins(other, one))
