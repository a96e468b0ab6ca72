"""Rules of EventBridge as a thin world answers for them: the rules themselves are moto's, in a full world and here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.events.models import events_backends

from sandbox.seam import Answer, AwsError, Call

__all__ = ["Rules"]


class Rules:
    """The few operations that anybody here makes."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self.operations: dict[tuple[str, str], Callable[[Call], Answer]] = {
            ("events", "DescribeRule"): self._describe,
            ("events", "DisableRule"): self._disable,
            ("events", "EnableRule"): self._enable,
            ("events", "ListTagsForResource"): self._tags,
            ("events", "PutRule"): self._put,
            ("events", "TagResource"): self._tag,
            ("events", "UntagResource"): self._untag,
        }

    @property
    def _backend(self) -> Any:
        return events_backends[self._account][self._region]

    def _rule(self, call: Call) -> Any:
        bus = call.params.get("EventBusName", "default")
        found = self._backend.event_buses[bus].rules.get(call.params["Name"])
        if found is None:
            raise AwsError("ResourceNotFoundException", f"Rule {call.params['Name']} does not exist.")
        return found

    def _put(self, call: Call) -> Answer:
        params = call.params
        made = self._backend.put_rule(
            params["Name"],
            event_bus_arn=params.get("EventBusName"),
            scheduled_expression=params.get("ScheduleExpression"),
            state=params.get("State"),
            tags=[dict(tag) for tag in params.get("Tags", ())],
        )
        return {"RuleArn": made.arn}

    def _describe(self, call: Call) -> Answer:
        rule = self._rule(call)
        told = {
            "Name": rule.name,
            "Arn": rule.arn,
            "State": rule.state,
            "ScheduleExpression": rule.scheduled_expression,
            "ManagedBy": rule.managed_by,
            "EventBusName": rule.event_bus_name,
        }
        return {key: value for key, value in told.items() if value is not None}

    def _enable(self, call: Call) -> Answer:
        self._rule(call).enable()
        return {}

    def _disable(self, call: Call) -> Answer:
        self._rule(call).disable()
        return {}

    def _tags(self, call: Call) -> Answer:
        return {"Tags": self._backend.list_tags_for_resource(call.params["ResourceARN"])["Tags"]}

    def _tag(self, call: Call) -> Answer:
        self._backend.tag_resource(
            call.params["ResourceARN"], {each["Key"]: each["Value"] for each in call.params["Tags"]}
        )
        return {}

    def _untag(self, call: Call) -> Answer:
        self._backend.untag_resource(call.params["ResourceARN"], list(call.params["TagKeys"]))
        return {}
