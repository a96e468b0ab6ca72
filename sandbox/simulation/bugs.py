"""
Seeded bugs: mistakes that engineers make in a service like this one, put into it on purpose, one at a time.

The promises are only worth what they catch. Each bug here is a patch of production code, with the promises that must
notice it. A bug that no seed shows would mean that a check is asleep.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from botocore.config import Config
from nightshift import (
    acting,
    aws,
    carrying,
    decide,
    engine,
    guardrails,
    incidents,
    letters,
    loans,
    notify,
    pipelines,
    retelling,
    sweep,
    upkeep,
)
from nightshift.errors import Ambiguous, AwsError, NightshiftError, Rejected, Stopped
from nightshift.model import Healthy, Outcome, Phase, SwitchState, Unknown, Verdict
from nightshift.remediations import REMEDIATIONS, pipeline_backlog, s3_trigger_stuck
from nightshift.remediations.execution_failed import ExecutionFailed
from nightshift.remediations.s3_trigger_stuck import S3TriggerStuck
from nightshift.remediations.stack_stuck import StackStuck
from nightshift.retelling import marker

from sandbox.simulation import loan

__all__ = ["BUGS", "Bug"]

Patches = Callable[[], Iterator[AbstractContextManager[Any]]]


@dataclass(frozen=True, slots=True)
class Bug:
    """One mistake: what it is, how it is put in, and who must notice."""

    name: str
    what: str
    patches: Patches
    noticed_by: frozenset[str]

    @contextmanager
    def planted(self) -> Iterator[None]:
        """With the bug in place."""
        with ExitStack() as stack:
            for each in self.patches():
                stack.enter_context(each)
            yield


BUGS: dict[str, Bug] = {}


def _bug(what: str, *noticed_by: str) -> Callable[[Patches], Patches]:
    def add(patches: Patches) -> Patches:
        name = patches.__name__.strip("_").replace("_", "-")
        BUGS[name] = Bug(name, what, patches, frozenset(noticed_by))
        return patches

    return add


def _without(name: str) -> AbstractContextManager[Any]:
    """The guardrails without one of them."""
    kept = tuple(guard for guard in guardrails.GUARDRAILS if guard.__name__ != name)
    assert len(kept) == len(guardrails.GUARDRAILS) - 1, name  # noqa: S101 - a bug that plants nothing proves nothing
    return patch.object(guardrails, "GUARDRAILS", kept)


def _calls(rewrite: Callable[[str, dict[str, Any]], None]) -> AbstractContextManager[Any]:
    """The incident table's calls, each rewritten before it is made."""
    original = incidents.Incidents._call

    def call(self: Any, operation: str, **params: Any) -> dict[str, Any]:
        rewrite(operation, params)
        return original(self, operation, **params)

    return patch.object(incidents.Incidents, "_call", call)


# -- the record ------------------------------------------------------------------------------------------------------


@_bug(
    "a record is claimed by whoever reads it: no condition on the claim",
    "once per attempt",
    "report is trail",
    "no defect",
)
def _claim_without_condition() -> Iterator[AbstractContextManager[Any]]:
    def rewrite(operation: str, params: dict[str, Any]) -> None:
        if operation == "UpdateItem" and "claims = claims + :one" in params["UpdateExpression"]:
            params["ConditionExpression"] = "attribute_exists(pk) AND phase <> :closed"
            params["ExpressionAttributeValues"] = {
                name: value for name, value in params["ExpressionAttributeValues"].items() if name != ":now"
            }

    yield _calls(rewrite)
    yield patch.object(incidents.Incidents, "still_ours", _ours_always)
    yield patch.object(incidents.Incidents, "_save_item", _unfenced(incidents.Incidents._save_item))


def _ours_always(store: Any, claim: Any, now: datetime) -> tuple[bool, Any]:
    return True, store.switch()


def _unfenced(original: Any) -> Any:
    def save_item(self: Any, claim: Any, incident: Any, **how: Any) -> dict[str, Any]:
        item: dict[str, Any] = original(self, claim, incident, **how)
        update = item["Update"]
        update["ConditionExpression"] = "attribute_exists(pk)"
        del update["ExpressionAttributeValues"][":epoch"]
        if not update["ExpressionAttributeValues"]:
            del update["ExpressionAttributeValues"]
        return item

    return save_item


@_bug(
    "the lease is shorter than the function's timeout, and nothing is fenced",
    "once per attempt",
    "report is trail",
    "no defect",
)
def _short_lease() -> Iterator[AbstractContextManager[Any]]:
    original = incidents.Incidents.__init__

    def init(self: Any, aws_: Any, table: str, *, lease: timedelta = timedelta(seconds=2)) -> None:
        original(self, aws_, table, lease=timedelta(seconds=2))

    yield patch.object(incidents.Incidents, "__init__", init)
    yield patch.object(incidents.Incidents, "still_ours", _ours_always)
    yield patch.object(acting._Hand, "_check_allowed", _switch_only)
    yield patch.object(incidents.Incidents, "_save_item", _unfenced(incidents.Incidents._save_item))


def _switch_only(hand: Any, call: Any) -> None:
    switch = hand.incidents.switch()
    allowed = (SwitchState.ON, SwitchState.PAUSED) if call.stops else (SwitchState.ON,)
    if switch.state not in allowed:
        raise Stopped("the kill switch")


@_bug("a name that the expression does not use: DynamoDB refuses every save", "no defect", "ended and told")
def _unused_expression_name() -> Iterator[AbstractContextManager[Any]]:
    def rewrite(operation: str, params: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            for item in params["TransactItems"]:
                if "Update" in item and "#a0" in item["Update"].get("ExpressionAttributeNames", {}):
                    item["Update"]["ExpressionAttributeNames"]["#unused"] = "unused"

    yield _calls(rewrite)


@_bug(
    "record and kill switch are read without ConsistentRead",
    "stopped when told",
    "once per attempt",
    "nothing after the end",
)
def _inconsistent_read() -> Iterator[AbstractContextManager[Any]]:
    def rewrite(operation: str, params: dict[str, Any]) -> None:
        if operation == "GetItem":
            params["ConsistentRead"] = False
        elif operation == "BatchGetItem":
            for request in params["RequestItems"].values():
                request["ConsistentRead"] = False

    yield _calls(rewrite)


@_bug("the effect comes before the intent", "once per attempt", "report is trail", "ended and told", "verdicts true")
def _effect_before_intent() -> Iterator[AbstractContextManager[Any]]:
    original = engine.Engine._act
    perform = acting.Acting.perform

    def act(self: Any, case: Any, incident: Any, plan: Any, number: int, *, first: bool) -> Any:
        step = plan.steps[number]
        done = perform(self._acting, case.remediation, case.claim, incident, plan, step)
        with patch.object(acting.Acting, "perform", lambda *_: done):
            return original(self, case, incident, plan, number, first=first)

    yield patch.object(engine.Engine, "_act", act)


@_bug("a closed incident keeps its target", "locks released")
def _lock_leaks() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(incidents.Incidents, "_releasing", lambda self, incident: [])


# -- calls whose outcome nobody knows ----------------------------------------------------------------------------------


@_bug("a time-out is taken for `it did not happen`", "report is trail", "once per attempt", "messages conserved")
def _timeout_means_no() -> Iterator[AbstractContextManager[Any]]:
    original = aws.translate

    def translate(error: Any, call: Any, *, writing: bool) -> AwsError:
        found = original(error, call, writing=writing)
        return Rejected(found.action, found.code, resource=found.resource) if isinstance(found, Ambiguous) else found

    yield patch.object(aws, "translate", translate)


@_bug(
    "clients that act repeat themselves, as the SDK does by default",
    "report is trail",
    "once per attempt",
    "messages conserved",
)
def _sdk_retries() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(aws, "_ACTING", Config(retries={"mode": "standard", "total_max_attempts": 3}))


@_bug(
    "a letter whose sending has an unknown outcome is sent again",
    "once per attempt",
    "messages conserved",
    "report is trail",
)
def _send_again() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(carrying.Carrier, "may_send", lambda self, letter: "")


@_bug("a letter is deleted before it is sent", "messages conserved")
def _delete_before_send() -> Iterator[AbstractContextManager[Any]]:
    original = carrying.Carrier.send

    def send(self: Any, letter: letters.Letter) -> bool:
        self._delete(letter)
        return original(self, letter)

    yield patch.object(carrying.Carrier, "send", send)


@_bug("a bad letter is deleted, and storing it is forgotten", "messages conserved")
def _store_forgotten() -> Iterator[AbstractContextManager[Any]]:
    original = acting._Hand.__call__

    def call(self: Any, call: Any, /, **free: Any) -> dict[str, Any]:
        return {} if call.operation == "PutObject" else original(self, call, **free)

    yield patch.object(acting._Hand, "__call__", call)


@_bug("a call that failed is left out of the report", "report is trail")
def _unknown_untold() -> Iterator[AbstractContextManager[Any]]:
    original = acting._Hand._record

    def record(self: Any, call: Any, outcome: Outcome, **more: Any) -> None:
        if outcome is Outcome.DONE:
            original(self, call, outcome, **more)

    yield patch.object(acting._Hand, "_record", record)
    yield patch.object(engine.Engine, "_found", lambda self, case, incident, step, calls: (incident, ()))


@_bug("what died half-way is known from the step's notes alone", "messages conserved")
def _counters_forgotten() -> Iterator[AbstractContextManager[Any]]:
    from nightshift.remediations.sqs_dlq_backlog import SqsDlqBacklog  # noqa: PLC0415 - only this bug is inside a remediation

    yield patch.object(SqsDlqBacklog, "settle_ledger", lambda self, read, target, incident: incident.ledger)


# -- triggers --------------------------------------------------------------------------------------------------------


@_bug("another customer's entry counts as proof", "triggers kept")
def _proof_of_others() -> Iterator[AbstractContextManager[Any]]:
    original = S3TriggerStuck._proof

    def proof(self: Any, archive: Any, trigger: Any, **more: Any) -> Any:
        careless = self.model_copy(update={"customer_field": ""})
        return original(careless, archive, trigger, **{**more, "alone": True})

    yield patch.object(S3TriggerStuck, "_proof", proof)


@_bug("that a trigger is sent again is noted after it was sent", "triggers kept", "once per attempt")
def _noted_after_sending() -> Iterator[AbstractContextManager[Any]]:
    def send_once(self: Any, act: Any, send: Any, get: Any) -> bool:
        noted = marker(get.params["Key"], get.before["etag"])
        if act.memory.get(noted):
            return False
        act(send, MessageBody=s3_trigger_stuck._event(get))
        return bool(act.memory.add(noted))

    yield patch.object(S3TriggerStuck, "_send_once", send_once)


# -- raw files -------------------------------------------------------------------------------------------------------


@_bug("what is curated is not looked at again right before a raw file is told of", "files kept")
def _curated_ignored() -> Iterator[AbstractContextManager[Any]]:
    original = pipelines.unprocessed

    def unprocessed(route: Any, listed: Any, now: Any) -> Any:
        return original(route, lambda side, start: iter(()) if side == route.curated else listed(side, start), now)

    yield patch.object(pipeline_backlog, "unprocessed", unprocessed)


@_bug("that a raw file is told of is noted after it was", "files kept", "once per attempt")
def _file_noted_after_sending() -> Iterator[AbstractContextManager[Any]]:
    def send_once(act: Any, send: Any, names: Any, body: Any) -> bool:
        if act.memory.get(names[0]):
            return False
        act(send, MessageBody=body)
        for name in names:
            act.memory.add(name)
        return True

    yield patch.object(retelling, "send_once", send_once)


# -- executions ------------------------------------------------------------------------------------------------------


@_bug("what failed again is tried again", "executions once")
def _tried_again() -> Iterator[AbstractContextManager[Any]]:
    original = ExecutionFailed._way

    def way(self: Any, run: Any, begun: int, *more: Any, **named: Any) -> Any:
        return original(self, run, 0, *more, **named)

    yield patch.object(ExecutionFailed, "_way", way)


# -- telling ---------------------------------------------------------------------------------------------------------


@_bug("an end is noted as told before it is told", "ended and told")
def _noted_before_told() -> Iterator[AbstractContextManager[Any]]:
    original = engine.Engine._finish

    def finish(self: Any, claim: Any, after: Any) -> Any:
        told: list[Any] = []
        notify_, self._notify = self._notify, told.append
        try:
            incident = original(self, claim, after)
        finally:
            self._notify = notify_
        for notice in told:
            notify_(notice)
        return incident

    yield patch.object(engine.Engine, "_finish", finish)


@_bug("a report that cannot be published is forgotten", "ended and told")
def _unsent_ignored() -> Iterator[AbstractContextManager[Any]]:
    original = notify.Notifier.__call__

    def publish(self: Any, notice: Any) -> None:
        try:
            original(self, notice)
        except NightshiftError:
            return

    yield patch.object(notify.Notifier, "__call__", publish)


@_bug("what cannot be seen counts as healthy", "verdicts true")
def _unknown_is_healthy() -> Iterator[AbstractContextManager[Any]]:
    original = engine.Engine._observe

    def observe(self: Any, case: Any) -> Any:
        seen = original(self, case)
        return Healthy("nothing to be seen") if isinstance(seen, Unknown) else seen

    yield patch.object(engine.Engine, "_observe", observe)


@_bug("fixed, because the call was answered with 200", "verdicts true")
def _answered_means_fixed() -> Iterator[AbstractContextManager[Any]]:
    yield patch.dict(
        decide._BY_PHASE,
        {
            Phase.VERIFYING: lambda incident, seen, pace, now: decide.Close(
                Verdict.FIXED, "it was answered", attempt=Verdict.FIXED
            )
        },
    )


@_bug("the sweep ends at the first target that cannot be judged", "no defect", "sickness noticed")
def _sweep_gives_up() -> Iterator[AbstractContextManager[Any]]:
    original = sweep.Sweep._follow

    def follow(self: Any, looks: Any, *more: Any) -> Any:
        for look in looks:
            if isinstance(look.seen, Unknown):
                raise RuntimeError(look.seen.reason)  # noqa: TRY004 - the mistake, not a check of types
        return original(self, looks, *more)

    yield patch.object(sweep.Sweep, "_follow", follow)


# -- guardrails --------------------------------------------------------------------------------------------------------


@_bug("the tag `protected` is not looked at", "in bounds")
def _protected_ignored() -> Iterator[AbstractContextManager[Any]]:
    yield _without("protected")


@_bug("the tag that opts in is not looked at", "in bounds")
def _opt_in_ignored() -> Iterator[AbstractContextManager[Any]]:
    yield _without("opted_in")


@_bug("mode `observe` is only a word", "approved", "in bounds")
def _observe_ignored() -> Iterator[AbstractContextManager[Any]]:
    yield _without("mode")


@_bug("nobody's yes is needed", "approved")
def _approval_ignored() -> Iterator[AbstractContextManager[Any]]:
    yield _without("approval")


@_bug("what is being changed is changed by us, too", "not mid-deployment", "in bounds")
def _mid_change_ignored() -> Iterator[AbstractContextManager[Any]]:
    yield _without("mid_change")


@_bug("the storm brake brakes nothing", "braked")
def _brake_ignored() -> Iterator[AbstractContextManager[Any]]:
    def rewrite(operation: str, params: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            for item in params["TransactItems"]:
                check = item.get("ConditionCheck")
                if check is not None and check["Key"]["pk"]["S"] == "BRAKE":
                    check["ConditionExpression"] = "attribute_not_exists(pk) OR attribute_exists(pk)"
                    check.pop("ExpressionAttributeValues", None)

    yield _without("storm_brake")
    yield _calls(rewrite)


@_bug("the kill switch is read once per step", "stopped when told")
def _switch_read_once() -> Iterator[AbstractContextManager[Any]]:
    original = acting._Hand._check_allowed

    def check(self: Any, call: Any) -> None:
        if not self.records:
            original(self, call)

    yield patch.object(acting._Hand, "_check_allowed", check)


@_bug("the kill switch is read by the guardrails only, not before each write", "stopped when told")
def _switch_not_read_again() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(acting._Hand, "_check_allowed", lambda self, call: None)


@_bug("nothing cools down", "one at a time")
def _no_cooldown() -> Iterator[AbstractContextManager[Any]]:
    original = incidents.Incidents.intend

    def intend(self: Any, *args: Any, cooldown: timedelta, **more: Any) -> Any:
        return original(self, *args, cooldown=timedelta(seconds=-60), **more)

    yield _without("cooldown")
    yield patch.object(incidents.Incidents, "intend", intend)


@_bug("budgets are counted, and not kept", "within budget")
def _no_budget() -> Iterator[AbstractContextManager[Any]]:
    original = incidents._spend
    yield _without("target_budget")
    yield _without_both()
    yield patch.object(incidents, "_spend", lambda pk, sk, limit, now: original(pk, sk, 10**6, now))


def _without_both() -> AbstractContextManager[Any]:
    names = {"target_budget", "account_budget"}
    return patch.object(
        guardrails, "GUARDRAILS", tuple(each for each in guardrails.GUARDRAILS if each.__name__ not in names)
    )


@_bug("what is lent costs nothing, as far as anybody counts", "within budget")
def _no_money() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(incidents, "_micros", lambda dollars: 0)


@_bug("one try more than is allowed", "within budget", "once per attempt")
def _one_attempt_more() -> Iterator[AbstractContextManager[Any]]:
    original = engine._pace

    def pace(remediation: Any) -> Any:
        found = original(remediation)
        return dataclasses.replace(found, max_attempts=found.max_attempts + 1)

    yield patch.object(engine, "_pace", pace)
    yield _without("attempts_left")


@_bug("a call whose answer was lost counts as made", "report is trail")
def _lost_means_done() -> Iterator[AbstractContextManager[Any]]:
    for remediation in (*REMEDIATIONS, loan.QueueSlow):
        yield patch.object(remediation, "reconcile", lambda self, read, call, since: Outcome.DONE)


# -- what is lent ------------------------------------------------------------------------------------------------------


@_bug("what was lent is taken back without looking whose it is", "loans returned")
def _revert_blindly() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(loan.QueueSlow, "still_ours", lambda self, read, plan: True)


@_bug(
    "`already back` is believed before a late request is impossible",
    "loans returned",
    "once per attempt",
    "report is trail",
)
def _late_requests_forgotten() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(loan, "_LANDS", timedelta(0))
    yield patch.object(engine, "LATE", timedelta(0))


@_bug("fixed is the end: what was lent stays out", "loans returned")
def _lease_never_ends() -> Iterator[AbstractContextManager[Any]]:
    original = engine.Engine._close

    def close(self: Any, case: Any, incident: Any, how: Any) -> Any:
        if how.verdict is Verdict.FIXED:
            incident = dataclasses.replace(incident, lent=False)
        return original(self, case, incident, how)

    yield patch.object(engine.Engine, "_close", close)


@_bug("what was lent is taken back only where it helped", "loans returned")
def _failed_loan_stays_out() -> Iterator[AbstractContextManager[Any]]:
    original = engine.Engine._take_back

    def take_back(self: Any, case: Any, incident: Any) -> Any:
        if incident.lent and incident.phase is not Phase.LEASED:
            return engine._Back(dataclasses.replace(incident, lent=False))
        return original(self, case, incident)

    yield patch.object(engine.Engine, "_take_back", take_back)


@_bug("an end that leaves what was lent out calls people, and so does what is out", "ended and told")
def _called_twice() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(loans, "ends_out", lambda loan: False)
    original = loans.not_back

    def not_back(before: Any, after: Any, events: Any) -> str:
        return after.why if after.decided and after.lent else original(before, after, events)

    yield patch.object(loans, "not_back", not_back)


# -- what is told again ------------------------------------------------------------------------------------------------


@_bug("which update was told is not kept", "updates paced")
def _update_forgotten() -> Iterator[AbstractContextManager[Any]]:
    yield patch.object(
        engine,
        "updated",
        lambda incident, update: dataclasses.replace(incident, notices=(*incident.notices, "update:")),
    )


@_bug("what people keep up is looked at once a month", "upkeep noticed")
def _seldom_looked_at() -> Iterator[AbstractContextManager[Any]]:
    for remediation in (upkeep.Upkeep, StackStuck):
        yield patch.object(remediation, "turn", timedelta(days=30))
