"""The one hand that writes: what it may do, what it refuses, and what it says afterwards."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from nightshift.acting import Acting, Done, session_policy
from nightshift.errors import Ambiguous, Denied, Fenced, NightshiftError, Rejected, Stopped, Undeclared
from nightshift.incidents import Claim, Event, incident_id
from nightshift.model import Call, Finding, Incident, Outcome, Plan, Step, SwitchState, Target
from nightshift.remediation import Actor

from tests.support.toy import MINUTE, ROLES, START, Account, Toy, change, queue_arn, tag

ARN = queue_arn("orders")
SET = change(ARN, {"DelaySeconds": "0"}, {"DelaySeconds": "5"})
TAG = tag(ARN, "a", "b")
UNTAG = Call("sqs", "UntagQueue", ARN, {"QueueUrl": TAG.params["QueueUrl"]}, free=("TagKeys",), times=2, stops=True)


class Scripted(Toy):
    """A toy whose step is made as the test says."""

    def apply(self, act: Actor, plan: Plan, step: Step) -> None:
        SCRIPT[0](act)


SCRIPT: list[Callable[[Actor], object]] = []


class Bench:
    """A claimed incident and a hand to act for it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.target: Target = account.queue("orders", delay=5)
        account.wire.calls.clear()
        self.acting = Acting(account.aws, account.incidents, role_prefix=ROLES, clock=account.clock)
        self.incident = Incident(
            id=incident_id("toy", ARN, START),
            remediation="toy",
            target=ARN,
            group="system",
            opened_at=START,
            look_at=START,
            deadline=START + 60 * MINUTE,
            finding=Finding("toy", ARN, "it hurts"),
        )
        account.incidents.open(self.incident, Event(START, "opened", ""))
        claim = account.incidents.claim(self.incident.id, START)
        assert claim is not None
        self.claim: Claim = claim

    def perform(self, script: Callable[[Actor], object], *calls: Call, toy: Toy | None = None) -> Done:
        """Run a script as a step of these calls."""
        SCRIPT[:] = [script]
        step = Step("step", calls, timedelta(0))
        plan = Plan("toy", ARN, "do it", (step,), risk="", undo_by_hand="")
        return self.acting.perform(toy or Scripted(), self.claim, self.incident, plan, step)

    @property
    def written(self) -> list[str]:
        """What reached AWS."""
        return self.account.wire.written


@pytest.fixture
def bench(account: Account) -> Bench:
    """A claimed incident and a hand to act for it."""
    return Bench(account)


# -- the session policy ------------------------------------------------------------------------------------------------


def test_the_policy_is_exactly_the_calls_and_their_grants() -> None:
    """Nothing more: no wildcard, no other resource, equal for equal calls in any order."""
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    send = Call("sqs", "SendMessage", ARN, grants=(("kms:Decrypt", key), ("kms:GenerateDataKey", key)))
    put = Call("s3", "CopyObject", "arn:aws:s3:::b/k")
    policy = json.loads(session_policy((SET, send, put)))
    allowed = {
        (action, resource)
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    assert allowed == {
        ("sqs:SetQueueAttributes", ARN),
        ("sqs:SendMessage", ARN),
        ("kms:Decrypt", key),
        ("kms:GenerateDataKey", key),
        ("s3:PutObject", "arn:aws:s3:::b/k"),
    }
    assert {statement["Effect"] for statement in policy["Statement"]} == {"Allow"}
    assert session_policy((put, send, SET)) == session_policy((SET, send, put))


def test_a_policy_that_does_not_fit_is_refused() -> None:
    """2,048 characters are STS's limit: a wider plan is refused, never widened."""
    calls = [replace(SET, resource=f"{ARN}-{number}") for number in range(60)]
    with pytest.raises(Undeclared):
        session_policy(calls)


def test_no_calls_no_policy() -> None:
    """An empty policy would be the whole role."""
    with pytest.raises(Undeclared):
        session_policy(())


def test_the_undo_has_only_its_own_permission(bench: Bench) -> None:
    """Undoing gets a session of its own, for the undo calls."""
    SCRIPT[:] = [lambda act: act(UNTAG, TagKeys=["a"])]
    step = Step("step", (SET,), timedelta(0), undo=(UNTAG,))
    plan = Plan("toy", ARN, "do it", (step,), risk="", undo_by_hand="")
    done = bench.acting.undo(Scripted(), bench.claim, bench.incident, plan, step)
    assert done.error is None
    [(_, assumed)] = bench.account.wire.made("sts:AssumeRole")
    assert json.loads(assumed["Policy"])["Statement"][0]["Action"] == ["sqs:UntagQueue"]
    assert done.records[0].step == "undo step"


# -- what is refused before anything is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [
        lambda act: act(TAG),  # not in the step
        lambda act: act(replace(SET, params={**SET.params, "Attributes": {"DelaySeconds": "9"}})),  # not as written
        lambda act: act(SET, QueueUrl="https://elsewhere"),  # a fixed parameter
        lambda act: act(SET, Label="x"),  # not left free
        lambda act: act(replace(SET, stops=True)),  # another call, though it would do the same
    ],
    ids=["not in the step", "not as written", "a fixed parameter", "not left free", "not the same call"],
)
def test_what_the_plan_does_not_say_is_not_sent(bench: Bench, script: Callable[[Actor], object]) -> None:
    """Undeclared, with nothing sent and nothing recorded."""
    done = bench.perform(script, SET)
    assert isinstance(done.error, Undeclared)
    assert bench.written == []
    assert done.records == ()
    assert not done.changed


def test_a_fixed_parameter_is_not_free_even_where_the_plan_says_both(bench: Bench) -> None:
    """A plan that fixes a value and leaves it free means the fixed one."""
    both = replace(SET, free=("Attributes",))
    done = bench.perform(lambda act: act(both, Attributes={"DelaySeconds": "9"}), both)
    assert isinstance(done.error, Undeclared)
    assert bench.written == []


@pytest.mark.parametrize(
    "call",
    [
        change(ARN, {"Policy": "{}"}, {}),
        change(ARN, {"DelaySeconds": "0", "RedrivePolicy": "{}"}, {}),
        change(ARN, {"KmsMasterKeyId": ""}, {}, stops=True),
        replace(SET, params={"QueueUrl": SET.params["QueueUrl"]}, free=("Attributes",)),
    ],
    ids=["its policy", "one more", "as an undo", "whatever it likes"],
)
def test_no_attribute_of_a_queue_is_set_that_is_not_declared(bench: Bench, call: Call) -> None:
    """IAM has no condition on which: the plan names them, and the remediation has declared each, or nothing is sent."""
    free = {"Attributes": {"DelaySeconds": "0"}} if call.free else {}
    done = bench.perform(lambda act: act(call, **free), call)
    assert isinstance(done.error, Undeclared)
    assert "of a queue" in str(done.error)
    assert bench.written == []


def test_no_more_often_than_planned(bench: Bench) -> None:
    """The third of two is refused."""

    def thrice(act: Actor) -> None:
        for _ in range(3):
            act(UNTAG, TagKeys=["a"])

    done = bench.perform(thrice, UNTAG)
    assert isinstance(done.error, Undeclared)
    assert bench.written == ["sqs:UntagQueue"] * 2
    assert [(record.outcome, record.count) for record in done.records] == [(Outcome.DONE, 2)]


def test_what_the_remediation_does_not_declare_is_not_sent(bench: Bench) -> None:
    """Not even where the plan says so."""
    purge = Call("sqs", "PurgeQueue", ARN, {"QueueUrl": SET.params["QueueUrl"]})
    done = bench.perform(lambda act: act(purge), purge)
    assert isinstance(done.error, Undeclared)
    assert not bench.account.wire.made("sqs:PurgeQueue")


# -- the last look before a write --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [SwitchState.PAUSED, SwitchState.HALTED])
def test_the_switch_is_read_before_every_call(bench: Bench, state: SwitchState) -> None:
    """Flipped between two calls of a step: the second is not made."""

    def flips(act: Actor) -> None:
        act(SET)
        bench.account.switch(state)
        act(TAG)

    done = bench.perform(flips, SET, TAG)
    assert isinstance(done.error, Stopped)
    assert bench.written == ["sqs:SetQueueAttributes"]


@pytest.mark.parametrize(
    "state, made", [(SwitchState.ON, True), (SwitchState.PAUSED, True), (SwitchState.HALTED, False)]
)
def test_paused_lets_only_stopping_calls_through(bench: Bench, state: SwitchState, made: bool) -> None:
    """What stops or takes back is allowed while paused, nothing while halted."""
    bench.account.switch(state)
    done = bench.perform(lambda act: act(UNTAG, TagKeys=["a"]), UNTAG)
    assert (bench.written == ["sqs:UntagQueue"]) is made
    assert isinstance(done.error, Stopped) is not made


def test_an_unreadable_switch_stops(bench: Bench) -> None:
    """Unknown is not on."""
    bench.account.wire.fail("dynamodb:BatchGetItem", "InternalServerError", status=500)
    done = bench.perform(lambda act: act(SET), SET)
    assert isinstance(done.error, Stopped)
    assert bench.written == []


def test_a_lost_epoch_is_fenced(bench: Bench) -> None:
    """Another tick has the record: nothing more is sent in its name."""

    def overtaken(act: Actor) -> None:
        act(SET)
        assert bench.account.incidents.claim(bench.incident.id, bench.claim.until) is not None
        act(TAG)

    done = bench.perform(overtaken, SET, TAG)
    assert isinstance(done.error, Fenced)
    assert bench.written == ["sqs:SetQueueAttributes"]


def test_nothing_is_begun_near_the_end_of_the_claim(bench: Bench) -> None:
    """A call takes up to 23 seconds; another tick may start when the claim ends."""

    def slow(act: Actor) -> None:
        assert act.seconds_left() == 150
        bench.account.clock.pass_(timedelta(seconds=151))
        assert act.seconds_left() < 0
        act(SET)

    done = bench.perform(slow, SET)
    assert isinstance(done.error, Fenced)
    assert bench.written == []


def test_nothing_is_begun_near_the_end_of_the_function_either(bench: Bench) -> None:
    """Lambda kills a tick before its claim ends: a call that is under way then is one whose answer nobody hears."""
    bench.claim = replace(bench.claim, killed=START + timedelta(seconds=120))

    def slow(act: Actor) -> None:
        assert act.seconds_left() == 90
        bench.account.clock.pass_(timedelta(seconds=91))
        assert act.seconds_left() < 0
        act(SET)

    done = bench.perform(slow, SET)
    assert isinstance(done.error, Fenced)
    assert bench.written == []


# -- outcomes ----------------------------------------------------------------------------------------------------------


def fails(code: str, status: int) -> Callable[[Bench], None]:
    """AWS answers with an error."""
    return lambda bench: bench.account.wire.fail("sqs:SetQueueAttributes", code, status=status)


def raises(error: BaseException) -> Callable[[Bench], None]:
    """The answer is lost."""
    return lambda bench: bench.account.wire.lose("sqs:SetQueueAttributes", error)


@pytest.mark.parametrize(
    "happens, error, outcome",
    [
        (lambda bench: None, None, Outcome.DONE),
        (fails("AccessDenied", 403), Denied, Outcome.NOT_DONE),
        (fails("InvalidAttributeValue", 400), Rejected, Outcome.NOT_DONE),
        (fails("ThrottlingException", 400), Rejected, Outcome.NOT_DONE),
        (fails("InternalFailure", 500), Ambiguous, Outcome.UNKNOWN),
        (raises(ReadTimeoutError(endpoint_url="https://sqs")), Ambiguous, Outcome.UNKNOWN),
        (raises(ConnectTimeoutError(endpoint_url="https://sqs")), Rejected, Outcome.NOT_DONE),
    ],
    ids=["done", "denied", "rejected", "throttled", "5xx", "read time-out", "connect time-out"],
)
def test_three_outcomes(
    bench: Bench, happens: Callable[[Bench], None], error: type[NightshiftError] | None, outcome: Outcome
) -> None:
    """Done, not done, unknown: and one attempt, whatever happens."""
    happens(bench)
    done = bench.perform(lambda act: act(SET), SET)
    assert (type(done.error) if done.error else None) is error
    assert [record.outcome for record in done.records] == [outcome]
    assert done.changed is (outcome is not Outcome.NOT_DONE)
    assert len(bench.written) <= 1


def test_a_time_out_after_the_effect_is_not_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would send it again by default; ours makes one attempt, also below the place where errors are raised."""
    sent: list[str] = []
    assume = bench.account.aws.assume

    def loses(request: Any, **kwargs: Any) -> None:
        sent.append(request.url)
        raise ReadTimeoutError(endpoint_url=request.url)

    def hooked(*args: Any, **kwargs: Any) -> Any:
        clients = assume(*args, **kwargs)
        client = clients._make("sqs", clients._credentials)
        client.meta.events.register("before-send.sqs.SetQueueAttributes", loses)
        clients._clients["sqs"] = client
        return clients

    monkeypatch.setattr(bench.account.aws, "assume", hooked)
    done = bench.perform(lambda act: act(SET), SET)
    assert isinstance(done.error, Ambiguous)
    assert [record.outcome for record in done.records] == [Outcome.UNKNOWN]
    assert len(sent) == 1


def test_a_role_that_cannot_be_assumed_sends_nothing(bench: Bench) -> None:
    """Denied by STS: the error names the action, no call is recorded."""
    bench.account.wire.fail("sts:AssumeRole", "AccessDenied", status=403)
    done = bench.perform(lambda act: act(SET), SET)
    assert isinstance(done.error, Denied)
    assert done.error.action == "sts:AssumeRole"
    assert done.records == ()


def test_a_call_is_recorded_before_its_line_is_written(bench: Bench) -> None:
    """A remediation that fails to describe what it did loses the description, not the record."""

    class Clumsy(Scripted):
        def effect(self, call: Call, answer: Any) -> Any:
            raise KeyError("no such thing")

    records: list[object] = []

    def script(act: Actor) -> None:
        try:
            act(SET)
        finally:
            records.extend(act.records)  # type: ignore[attr-defined]

    with pytest.raises(KeyError):
        bench.perform(script, SET, toy=Clumsy())
    assert len(records) == 1


def test_memory_survives(bench: Bench) -> None:
    """Counters are written through, bounded, and shared by all incidents of a target."""
    seen: list[object] = []

    def counts(act: Actor) -> None:
        seen.extend([act.memory.add("moved", 2, limit=3), act.memory.add("moved", 2, limit=3), act.memory.get("moved")])

    bench.perform(counts, SET)
    bench.perform(lambda act: seen.append(act.memory.get("moved")), SET)
    assert seen == [True, False, 2, 2]


def test_what_ended_it_early_is_in_the_answer(bench: Bench) -> None:
    """What was done until then is kept, with the remediation's own notes."""

    def script(act: Actor) -> None:
        act.scratch["at"] = act.now().isoformat()
        act(SET)
        act(TAG, Nonsense=1)

    done = bench.perform(script, SET, TAG)
    assert isinstance(done.error, Undeclared)
    assert len(done.records) == 1
    assert done.scratch == {"at": START.isoformat()}


def test_a_session_is_asked_for_what_iam_checks() -> None:
    """Of an action that AWS scopes to nothing that is `*`, and of no other: its record still says whose cache it is."""
    api = "arn:aws:appsync:eu-central-1:123456789012:apis/a1"
    make, other = Call("appsync", "CreateApiCache", api), Call("appsync", "UpdateResolver", api)
    [allowed] = json.loads(session_policy([make]))["Statement"]
    assert (allowed["Action"], allowed["Resource"]) == (["appsync:CreateApiCache"], ["*"])
    [allowed] = json.loads(session_policy([other]))["Statement"]
    assert allowed["Resource"] == [api]
    assert make.resource == api
