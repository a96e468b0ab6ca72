"""Events that do not reach their consumer: which wires are broken, which are not, and which nobody can see."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Refused
from nightshift.model import (
    Arn,
    Customer,
    Diagnosis,
    Finding,
    Healthy,
    Query,
    ResourceRead,
    Severity,
    Sick,
    Target,
    Triggers,
    Unknown,
)
from nightshift.remediation import Reader, Readings, Unread
from nightshift.remediations.event_source_broken import EventSourceBroken

from tests.nightshift.remediations.account import FUNCTION, NOW, SERVICE

ACCOUNT = "123456789012"
ORDERS = Arn.parse(f"arn:aws:sqs:eu-central-1:{ACCOUNT}:orders")
CONTENT = Arn.parse("arn:aws:s3:::content")
RULE = Arn.parse(f"arn:aws:events:eu-central-1:{ACCOUNT}:rule/hourly")
TABLE = Arn.parse(f"arn:aws:dynamodb:eu-central-1:{ACCOUNT}:table/orders")
CHANGES = Arn.parse(f"arn:aws:sqs:eu-central-1:{ACCOUNT}:customer-hts-changes")
OTHER = Arn.parse(f"arn:aws:sqs:eu-central-1:{ACCOUNT}:customer-two-changes")
CUSTOMERS = (Customer("hts", CHANGES, CHANGES, SERVICE), Customer("two", OTHER, OTHER, SERVICE))
METADATA = Target(Arn.parse("arn:aws:s3:::metadata"), "changes", triggers=Triggers("customers/", "archive/", CUSTOMERS))
LIVE = {"FunctionName": "etl", "Timeout": 30}


def allows(service: str, action: str, resource: Arn, source: Arn, **other: Any) -> dict[str, Any]:
    """A statement that lets a service act in the name of a source."""
    condition = {"ArnLike": {"AWS:SourceArn": str(source)}, "StringEquals": {"AWS:SourceAccount": ACCOUNT}}
    statement = {"Effect": "Allow", "Action": action, "Resource": str(resource), "Condition": condition}
    return {**statement, "Principal": {"Service": service}, **other}


def policy(*statements: Any) -> dict[str, str]:
    """A policy of these statements."""
    return {"Policy": json.dumps({"Version": "2012-10-17", "Statement": list(statements)})}


def mapping(source: str = str(ORDERS), **other: Any) -> dict[str, Any]:
    """An event source mapping of the function."""
    return {"UUID": "u-1", "EventSourceArn": source, "FunctionArn": str(FUNCTION), "State": "Enabled", **other}


def queue_told(queue: Arn, prefix: str) -> dict[str, Any]:
    """A notification of a bucket to a queue."""
    rules = [{"Name": "Prefix", "Value": prefix}]
    return {"QueueArn": str(queue), "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": rules}}}


MAY_SEND = {
    each: policy(allows("s3.amazonaws.com", "SQS:SendMessage", each, METADATA.arn)) for each in (CHANGES, OTHER)
}
TELLS = {"QueueConfigurations": [queue_told(CHANGES, "customers/hts/"), queue_told(OTHER, "customers/two/")]}


@dataclass
class Eyes:
    """What there is to be read, by the kind and the name of what it is of."""

    target: Target
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        assert all(isinstance(query, ResourceRead) for query in queries)
        found = cast("tuple[ResourceRead, ...]", queries)
        return Readings(NOW, {query: self.answers[query.kind, Arn.parse(query.key).name] for query in found})

    def look(self, **settings: Any) -> Healthy | Sick | Unknown:
        """What a look finds."""
        one = EventSourceBroken(**settings)
        return one.detect(self.target, self.seen(*one.watch(self.target)))

    def sick(self, **settings: Any) -> Finding:
        """The finding."""
        seen = self.look(**settings)
        assert isinstance(seen, Sick), seen
        return seen.finding

    def diagnose(self) -> Diagnosis:
        """What a diagnosis says."""
        one = EventSourceBroken()
        return one.diagnose(cast("Reader", self), self.target, Finding(one.name, str(self.target.arn), "x"))

    @property
    def advice(self) -> str:
        """What people should do, as one text."""
        return "\n".join(self.diagnose().advice)


def function(*sources: Arn, mappings: Any = None, allowed: Any = None, bucket: Any = None, live: Any = LIVE) -> Eyes:
    """A function to which events come from these sources."""
    listed = mappings if isinstance(mappings, Unread) else {"Mappings": tuple(mappings or ())}
    answers = {
        ("lambda.function", "etl"): live,
        ("lambda.mappings", "etl"): listed,
        ("lambda.policy", "etl"): allowed,
        ("s3.notifications", "content"): bucket,
    }
    return Eyes(Target(FUNCTION, "etl", events_from=sources), answers)


def bucket(told: Any = TELLS, hts: Any = MAY_SEND[CHANGES], two: Any = MAY_SEND[OTHER]) -> Eyes:
    """A bucket of triggers with two customers."""
    answers = {
        ("s3.notifications", "metadata"): told,
        ("sqs.queue", CHANGES.name): hts,
        ("sqs.queue", OTHER.name): two,
    }
    return Eyes(METADATA, answers)


# -- whose it is -------------------------------------------------------------------------------------------------------


def test_it_takes_functions_and_buckets_of_triggers() -> None:
    """Of another bucket nobody has said whom it should tell."""
    one = EventSourceBroken()
    assert one.takes(Target(FUNCTION, "g"))
    assert one.takes(METADATA)
    assert not one.takes(Target(CONTENT, "g"))
    assert not one.takes(Target(ORDERS, "g"))


def test_only_what_may_be_broken_is_read() -> None:
    """A function that nobody calls has no policy to look at."""
    one = EventSourceBroken()
    assert {each.kind for each in one.watch(Target(FUNCTION, "g")) if isinstance(each, ResourceRead)} == {
        "lambda.function",
        "lambda.mappings",
    }


# -- a function's mappings ---------------------------------------------------------------------------------------------


def test_a_mapping_that_works_is_well() -> None:
    """Also where nobody has said that there must be one."""
    assert function(ORDERS, mappings=[mapping()]).look() == Healthy("1 wire is whole")
    assert function(mappings=[mapping(LastProcessingResult="OK")]).look() == Healthy("1 wire is whole")
    assert function().look() == Healthy("0 wires are whole")


@pytest.mark.parametrize("state", ["Disabled", "Disabling"])
def test_a_mapping_that_lambda_has_disabled_is_broken(state: str) -> None:
    """Whether or not somebody has named it."""
    on = function(mappings=[mapping(State=state, StateTransitionReason="Lambda initiated")])
    assert on.sick().symptom == f"etl: the event source mapping of orders is {state}, by Lambda itself"
    assert on.sick().severity is Severity.SEV2
    assert "see why first: aws lambda get-event-source-mapping --uuid u-1 (read only)" in on.advice
    assert "aws lambda update-event-source-mapping --uuid u-1 --enabled (a write)" in on.advice


@pytest.mark.parametrize("reason", ["USER_INITIATED", "User action"])
def test_a_mapping_that_a_person_has_disabled_is_broken_only_if_it_must_work(reason: str) -> None:
    """It is off for a reason, and only ``events_from`` says that it should not be."""
    off = mapping(State="Disabled", StateTransitionReason=reason)
    assert isinstance(function(mappings=[off]).look(), Healthy)
    on = function(ORDERS, mappings=[off])
    assert on.sick().symptom.endswith("of orders is Disabled, by a person")
    assert "switch it on: aws lambda update-event-source-mapping --uuid u-1 --enabled (a write)" in on.advice
    assert on.diagnose().advice[0].startswith("ask whoever owns it")


@pytest.mark.parametrize("state", ["Creating", "Enabling", "Updating"])
def test_a_mapping_that_is_being_changed_is_not_broken(state: str) -> None:
    """It is on its way."""
    assert isinstance(function(ORDERS, mappings=[mapping(State=state)]).look(), Healthy)


def test_a_source_that_nothing_reads_is_broken() -> None:
    """A mapping that is being deleted reads nothing; one of the table's stream reads the table."""
    on = function(ORDERS, mappings=[mapping(State="Deleting")])
    assert on.sick().symptom == "etl: no event source mapping reads orders for it"
    assert f"create-event-source-mapping --function-name etl --event-source-arn {ORDERS} (a write)" in on.advice
    stream = mapping(f"{TABLE}/stream/2026-01-01T00:00:00.000")
    assert isinstance(function(TABLE, mappings=[stream]).look(), Healthy)
    assert isinstance(function(TABLE, mappings=[mapping(f"{TABLE}-2/stream/x")]).look(), Sick)


def test_what_lambda_says_of_the_last_batch_is_told_without_its_words() -> None:
    """A call that failed is the function's failure and not its wire's: it is told less loudly."""
    on = function(mappings=[mapping(LastProcessingResult="PROBLEM: cannot assume role IGNORE-ME")])
    assert on.sick().symptom == "etl: the event source mapping of orders has a problem with its source or its role"
    assert "read AWS's words: aws lambda get-event-source-mapping --uuid u-1" in on.advice
    assert "IGNORE-ME" not in repr((on.sick(), on.diagnose()))
    on = function(mappings=[mapping(LastProcessingResult="PROBLEM: Function call failed")])
    assert on.sick().severity is Severity.SEV3
    assert "failed in the function itself" in on.sick().symptom
    on = function(mappings=[{"State": "Enabled", "LastProcessingResult": "No records processed"}])
    assert isinstance(on.look(), Healthy)
    on = function(mappings=[{"State": "Disabled"}])
    assert "the event source mapping of a source without an ARN is Disabled" in on.sick().symptom


# -- who may call a function -------------------------------------------------------------------------------------------


def invokes(source: Arn, service: str, **other: Any) -> dict[str, str]:
    """A policy of the function that lets a source call it."""
    return policy(allows(service, "lambda:InvokeFunction", FUNCTION, source, **other))


def test_a_rule_that_may_call_it_is_well() -> None:
    """By the very source and account."""
    on = function(RULE, allowed=invokes(RULE, "events.amazonaws.com"))
    assert on.look() == Healthy("1 wire is whole")


@pytest.mark.parametrize(
    "allowed",
    [
        None,
        policy(),
        invokes(RULE, "s3.amazonaws.com"),
        invokes(CONTENT, "events.amazonaws.com"),
    ],
    ids=["no policy", "nothing in it", "another service", "another source"],
)
def test_a_rule_that_may_not_call_it_is_told_with_the_command_that_lets_it(allowed: Any) -> None:
    """That rule alone, of that account alone."""
    on = function(RULE, allowed=allowed)
    assert on.sick().symptom == "etl: its policy does not let events.amazonaws.com call it for hourly"
    assert (
        "aws lambda add-permission --function-name etl --statement-id nightshift-events-hourly "
        f"--action lambda:InvokeFunction --principal events.amazonaws.com --source-arn {RULE} "
        f"--source-account {ACCOUNT} (a write)"
    ) in on.advice
    assert "AttributeKey=EventSource,AttributeValue=lambda.amazonaws.com (read only)" in on.advice


def test_a_deny_is_told_as_one_and_nothing_is_to_be_added() -> None:
    """A permission more would not help."""
    allow = allows("events.amazonaws.com", "lambda:InvokeFunction", FUNCTION, RULE)
    on = function(RULE, allowed=policy(allow, {**allow, "Effect": "Deny"}))
    assert on.sick().symptom == "etl: a Deny of its policy keeps events.amazonaws.com from calling it for hourly"
    assert "aws lambda get-policy --function-name etl (read only)" in on.advice
    assert "add-permission" not in on.advice


def test_a_condition_that_is_not_known_is_unknown() -> None:
    """Never a fault; but a fault beside it is told, with what is not known."""
    odd = invokes(RULE, "events.amazonaws.com", Condition={"StringEquals": {"aws:SourceOrgID": "o-1"}})
    on = function(RULE, allowed=odd)
    why = "the policy of etl has conditions for events.amazonaws.com that are not known here"
    assert on.look() == Unknown(why)
    assert isinstance(function(RULE, ORDERS, allowed=odd).look(), Sick)
    assert why in function(RULE, ORDERS, allowed=odd).diagnose().evidence


CALLS = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": str(FUNCTION), "Events": ["s3:ObjectCreated:*"]}]}


def test_a_bucket_must_call_it_and_may() -> None:
    """Both are looked at; one that does not call needs no leave."""
    may = invokes(CONTENT, "s3.amazonaws.com")
    assert isinstance(function(CONTENT, allowed=may, bucket=CALLS).look(), Healthy)
    assert function(CONTENT, bucket=CALLS).sick().symptom.endswith("does not let s3.amazonaws.com call it for content")
    on = function(CONTENT, allowed=may, bucket={})
    assert on.sick().symptom == "etl: content does not tell etl of anything"
    entry = f'{{"Id":"nightshift","LambdaFunctionArn":"{FUNCTION}","Events":["s3:ObjectCreated:*"]}}'
    assert f"add to its LambdaFunctionConfigurations {entry}" in on.advice


def test_what_calls_an_alias_cannot_be_judged_from_here() -> None:
    """An alias has a policy of its own."""
    alias = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": f"{FUNCTION}:live", "Events": []}]}
    seen = function(CONTENT, bucket=alias).look()
    assert seen == Unknown("content calls an alias of etl, whose own policy is not read here")


# -- whom a bucket tells -----------------------------------------------------------------------------------------------


def test_a_bucket_that_tells_every_queue_and_may_is_well() -> None:
    """Each customer's is a wire of its own."""
    assert bucket().look() == Healthy("2 wires are whole")


def test_a_bucket_that_no_longer_tells_a_queue_is_told_with_what_to_add() -> None:
    """The configuration is replaced whole: that is said, and what is there is read first."""
    on = bucket({"QueueConfigurations": TELLS["QueueConfigurations"][1:]})
    what = "metadata does not tell customer-hts-changes of what is put under customers/hts/"
    assert on.sick().symptom == f"metadata: {what}"
    assert on.diagnose().evidence == (what, "1 other wire is whole")
    assert "replaced whole: aws s3api get-bucket-notification-configuration --bucket metadata (read only)" in on.advice
    entry = f'{{"Id":"hts","QueueArn":"{CHANGES}","Events":["s3:ObjectCreated:*"]'
    assert entry in on.advice
    assert "put-bucket-notification-configuration --bucket metadata" in on.advice
    assert "AttributeValue=s3.amazonaws.com" in on.advice


def test_a_bucket_that_tells_nobody_is_one_incident() -> None:
    """With how many there are."""
    assert bucket({}).sick().symptom.endswith("under customers/hts/, and 1 more")


@pytest.mark.parametrize("relay", ["EventBridgeConfiguration", "TopicConfigurations"])
def test_who_is_told_by_another_way_is_unknown_unless_the_configuration_says_so(relay: str) -> None:
    """What a topic or a rule does then is not seen from here."""
    topic = {"TopicArn": f"arn:aws:sns:eu-central-1:{ACCOUNT}:t", "Events": ["s3:ObjectCreated:*"]}
    on = bucket({relay: {} if relay.startswith("Event") else [topic]})
    seen = on.look()
    assert isinstance(seen, Unknown)
    assert "set relayed = true" in seen.reason
    assert on.look(relayed=True) == Healthy("2 wires are whole")
    assert isinstance(bucket({}).look(relayed=True), Sick)


def test_a_filter_that_takes_only_some_triggers_breaks_no_wire() -> None:
    """Nobody knows here how triggers are called; one that is lost is found by its age."""
    some = [queue_told(CHANGES, "customers/hts/CHG-"), *TELLS["QueueConfigurations"][1:]]
    assert isinstance(bucket({"QueueConfigurations": some}).look(), Healthy)


def test_a_queue_to_which_s3_may_not_send_is_told_with_the_statement_that_lets_it() -> None:
    """S3 drops what it may not send, and says nothing."""
    on = bucket(hts={"QueueArn": "x"})
    assert (
        on.sick().symptom
        == "metadata: the policy of customer-hts-changes does not let s3.amazonaws.com send for metadata"
    )
    statement = json.dumps(
        {
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": str(CHANGES),
            "Condition": {
                "ArnEquals": {"aws:SourceArn": "arn:aws:s3:::metadata"},
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
            },
        },
        separators=(",", ":"),
    )
    assert f"add to its statements {statement}" in on.advice
    assert "customer-hts-changes --attributes file://attributes.json (a write)" in on.advice
    assert isinstance(bucket(hts=policy(json.loads(statement))).look(), Healthy)


def test_a_deny_of_a_queue_is_told_as_one() -> None:
    """And what is not known of it is unknown."""
    allow = allows("s3.amazonaws.com", "SQS:SendMessage", CHANGES, METADATA.arn)
    on = bucket(hts=policy(allow, {**allow, "Effect": "Deny"}))
    assert "policy of customer-hts-changes denies s3.amazonaws.com to send to it for metadata" in on.sick().symptom
    assert "set-queue-attributes" not in on.advice
    odd = policy({**allow, "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}})
    seen = bucket(hts=odd).look()
    assert seen == Unknown(
        "the policy of customer-hts-changes has conditions for s3.amazonaws.com that are not known here"
    )


# -- what cannot be seen, and what is on purpose -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "on, why",
    [
        (function(live=Unread("no")), "no"),
        (function(live=None), "there is no function etl"),
        (function(mappings=Unread("no")), "no"),
        (function(RULE, allowed=Unread("no")), "no"),
        (function(CONTENT, bucket=Unread("no")), "no"),
        (function(CONTENT, bucket=None), "arn:aws:s3:::content does not exist"),
        (bucket(Unread("no")), "no"),
        (bucket(None), "arn:aws:s3:::metadata does not exist"),
        (bucket(hts=Unread("no")), "no"),
        (bucket(hts=None), f"{CHANGES} does not exist"),
    ],
)
def test_what_cannot_be_read_is_unknown(on: Eyes, why: str) -> None:
    """It is told as what cannot be seen, and proves nothing."""
    assert on.look() == Unknown(why)


def test_a_function_that_somebody_has_stopped_is_left_alone() -> None:
    """Reserved concurrency 0 is a switch that people use."""
    on = function(RULE, live={**LIVE, "ReservedConcurrentExecutions": 0})
    assert on.look() == Healthy("stopped on purpose: reserved concurrency 0")


def test_a_version_is_not_judged() -> None:
    """The function is named itself."""
    target = Target(replace(FUNCTION, resource="function:etl:7"), "g")
    assert isinstance(EventSourceBroken().detect(target, Readings(NOW)), Unknown)


def test_what_was_mended_meanwhile_is_not_told() -> None:
    """The diagnosis looks again."""
    for on in (bucket(), function(live=None)):
        with pytest.raises(Refused) as refused:
            on.diagnose()
        assert refused.value.retry_after is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Policy",
                    "Mappings",
                    "QueueConfigurations",
                    "LambdaFunctionConfigurations",
                    "Filter",
                    "State",
                    "Events",
                ]
            ),
            each,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), st.none()) | st.none() | _JSON.map(lambda each: {"Mappings": each}), _JSON)
def test_any_answer_is_judged(one: Any, other: Any) -> None:
    """Whatever stands in what was read, a look has an answer."""
    things = Target(FUNCTION, "etl", events_from=(ORDERS, CONTENT, RULE))
    for target in (things, METADATA):
        watched = EventSourceBroken().watch(target)
        odd = other if isinstance(other, dict) else {"Policy": other, "QueueConfigurations": other, "Mappings": other}
        for answers in (dict.fromkeys(watched, one), dict.fromkeys(watched, odd)):
            seen = EventSourceBroken().detect(target, Readings(NOW, cast("Any", answers)))
            assert isinstance(seen, Healthy | Sick | Unknown)


@pytest.mark.parametrize(
    "event", ["s3:ObjectRemoved:*", "s3:ObjectCreated:CompleteMultipartUpload", "s3:ObjectCreated:Copy"]
)
def test_a_function_is_told_by_a_bucket_of_whatever_it_is_told(event: str) -> None:
    """Which of S3's events it should hear of nobody has said."""
    told = {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": str(FUNCTION), "Events": [event]}]}
    may = policy(allows("s3.amazonaws.com", "lambda:InvokeFunction", FUNCTION, CONTENT))
    assert isinstance(function(CONTENT, bucket=told, allowed=may).look(), Healthy)


def test_the_policy_of_an_alias_is_not_the_functions() -> None:
    """Leave to call the alias stands in its own policy, which is not read: that is unknown, and no fault."""
    eyes = function(RULE, allowed=None)
    eyes.target = replace(eyes.target, alias="live")
    assert isinstance(eyes.look(), Unknown)
