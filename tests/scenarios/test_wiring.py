"""Events that stop to come: nothing fails, and people are told which wire is broken and what mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.transient_trigger import TransientTrigger, trigger_configuration
from sandbox.systems.uploads import Uploads
from sandbox.systems.wires import Wires, forbid, secure
from sandbox.world import World

BROKEN = "event-source-broken"
EVENTS, S3 = "events.amazonaws.com", "s3.amazonaws.com"


@dataclass(frozen=True)
class Watch:
    """What a story of wires is played on."""

    world: World
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident of a wire."""
        [incident] = self.nightshift.of(BROKEN)
        return incident

    @property
    def mail(self) -> str:
        """The one report about it, as one line."""
        [mail] = self.world.mail.about("events do not reach")
        return " ".join(f"{mail.subject} {mail.text}".split())

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def told(self, *texts: str) -> None:
        """It ended with people being told, once, of all of this; and nothing was changed under any name of ours."""
        assert self.incident.verdict is Verdict.ESCALATED
        mail = self.mail
        assert [text for text in texts if text not in mail] == []
        assert "Nothing was changed." in mail
        written = self.world.trail.of(writes=True)
        assert [event.name for event in written if event.principal.role_arn] == []


@contextmanager
def function(settings: str = "", *, named: bool = True, thin: bool = True) -> Iterator[tuple[Watch, Wires]]:
    """A function that a bucket and a rule call and for which a queue is read, for ten minutes; halted, only watched."""
    with World(NIGHT, thin=thin) as world:
        uploads = Uploads(world)
        wires = Wires(uploads)
        toml = f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"
[notify]
emails = ["oncall@example.com"]
[remediations.{BROKEN}]
{settings}
[remediations.lambda-failing]
[[systems]]
name = "content"
[[systems.targets]]
arn = "{uploads.function_arn}"
{wires.sources() if named else ""}"""
        with Deployment(world, toml) as nightshift:
            on = Watch(world, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on, wires
            assert failures(world) == ()


@contextmanager
def triggers(settings: str = "", *, thin: bool = True, **more: Any) -> Iterator[tuple[Watch, TransientTrigger]]:
    """A bucket of triggers of two customers; one change was processed as it should be."""
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world)
        secure(system)
        toml = trigger_configuration(system, **more).replace(
            "[[systems]]", f"[remediations.{BROKEN}]\n{settings}\n[[systems]]", 1
        )
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Watch(world, nightshift)
            system.submit()
            on.minutes(10)
            assert system.triggers == []
            assert nightshift.all == []
            yield on, system
            assert failures(world) == ()
            assert system.twice == []


# -- a function --------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.3", BROKEN)
def test_a_rule_that_may_no_longer_call_the_function_is_told_with_the_command_that_lets_it() -> None:
    """Within minutes, once; the function itself is well, and its own remediation has nothing to say."""
    with function() as (on, wires):
        wires.forbid(EVENTS)
        on.minutes(5)
        on.told(
            "SEV2",
            "etl: its policy does not let events.amazonaws.com call it for hourly",
            "aws lambda add-permission --function-name etl --statement-id nightshift-events-hourly",
            f"--principal {EVENTS} --source-arn {wires.rule} --source-account 123456789012 (a write)",
            "aws cloudtrail lookup-events",
        )
        on.minutes(120)
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("1.2", BROKEN)
@pytest.mark.parametrize(
    "cut, says",
    [
        (lambda wires: wires.tell(told=False), "content-dhbw-prod does not tell etl of anything"),
        (lambda wires: wires.forbid(S3), "does not let s3.amazonaws.com call it for content-dhbw-prod"),
        (lambda wires: wires.switch("Disabled", "Lambda initiated"), "content-changes is Disabled, by Lambda itself"),
        (lambda wires: wires.switch("Disabled"), "content-changes is Disabled, by a person"),
        (
            lambda wires: wires.mapping.update(LastProcessingResult="PROBLEM: Lambda failed to assume your role"),
            "content-changes has a problem with its source or its role",
        ),
    ],
    ids=["not told", "not allowed", "switched off by Lambda", "switched off by a person", "a problem"],
)
def test_a_wire_that_is_cut_is_told_though_nothing_fails(cut: Callable[[Wires], None], says: str) -> None:
    """The function is called less: no error, no alarm, and still somebody knows."""
    with function() as (on, wires):
        cut(wires)
        on.minutes(5)
        on.told(says, "2 other wires are whole")


@pytest.mark.scenario("1.3", BROKEN)
def test_several_wires_that_are_cut_are_one_report() -> None:
    """Each with what mends it."""
    with function() as (on, wires):
        wires.forbid(EVENTS)
        wires.switch("Disabled", "Lambda initiated")
        on.minutes(5)
        on.told("is Disabled, by Lambda itself, and 1 more", "--enabled (a write)", "add-permission")


@pytest.mark.scenario("1.3", BROKEN)
def test_a_deny_is_told_as_one_and_no_permission_is_recommended() -> None:
    """It would not help."""
    with function() as (on, wires):
        deny = {"Effect": "Deny", "Principal": "*", "Action": "lambda:*", "Resource": "*"}
        wires.statements.append(deny | {"Condition": {"ArnLike": {"AWS:SourceArn": wires.rule}}})
        on.minutes(5)
        on.told("a Deny of its policy keeps events.amazonaws.com from calling it for hourly")
        assert "add-permission" not in on.mail


@pytest.mark.scenario("1.3", BROKEN)
def test_what_a_person_has_switched_off_is_nobodys_failure_unless_it_is_named() -> None:
    """Nobody has said that this mapping must work."""
    with function(named=False) as (on, wires):
        wires.switch("Disabled")
        on.minutes(60)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.3", BROKEN)
def test_a_function_that_somebody_has_stopped_is_left_alone() -> None:
    """Reserved concurrency 0, and then the wires are cut: somebody is at work."""
    with function() as (on, wires):
        wires.uploads.function.reserved = 0
        wires.forbid(EVENTS)
        on.minutes(60)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.3", BROKEN)
def test_what_is_mended_before_anybody_was_told_is_not_told() -> None:
    """A deployment replaces a permission: for a minute there is none."""
    with function() as (on, wires):
        wires.forbid(EVENTS)
        on.minutes(1)
        wires.allow(EVENTS, wires.rule)
        on.minutes(60)
        assert all(each.verdict is Verdict.RECOVERED for each in on.nightshift.all)
        assert "ESCALATED" not in " ".join(str(mail.subject) for mail in on.world.mail)


@pytest.mark.scenario("1.3", BROKEN)
def test_a_policy_that_nightshift_may_not_read_is_told_as_one_that_cannot_be_seen() -> None:
    """Never as broken, and never as well."""
    with function() as (on, _):
        on.world.faults.add(Kind.DENIED, "lambda.GetPolicy", times=None)
        on.minutes(240)
        assert on.incident.verdict is Verdict.UNVERIFIABLE
        assert "lambda:GetPolicy" in on.mail


@pytest.mark.scenario("1.3", BROKEN)
def test_a_wire_that_is_mended_and_cut_again_is_told_again() -> None:
    """Two changes are two reports; one that lasts is one."""
    with function() as (on, wires):
        for _ in range(2):
            wires.forbid(EVENTS)
            on.minutes(60)
            wires.allow(EVENTS, wires.rule)
            on.minutes(30)
        assert [each.verdict for each in on.nightshift.all] == [Verdict.ESCALATED] * 2


# -- a bucket of triggers ----------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.10", BROKEN)
def test_a_bucket_that_no_longer_tells_a_customers_queue_is_told_before_any_trigger_is_late() -> None:
    """With the entry that is missing, and that the configuration is replaced whole; the other customer is well."""
    with triggers() as (on, system):
        system.route("htsnonprod")
        system.submit()
        on.minutes(5)
        on.told(
            "does not tell customer-hts-changes of what is put under customers/hts/",
            "replaced whole: aws s3api get-bucket-notification-configuration --bucket metadata-prod",
            '"Filter":{"Key":{"FilterRules":[{"Name":"prefix","Value":"customers/hts/"}]}}}',
            "1 other wire is whole",
        )
        assert on.incident.severity is Severity.SEV2
        assert system.triggers == ["hts/CHG-0002.json"]  # not touched: nobody was told of it, and it may not be sent


@pytest.mark.scenario("0.10", BROKEN)
def test_a_queue_to_which_the_bucket_may_no_longer_send_is_told() -> None:
    """S3 drops what it may not send, and says nothing to anybody."""
    with triggers() as (on, system):
        forbid(system, "hts")
        system.submit()
        on.minutes(5)
        on.told(
            "the policy of customer-hts-changes does not let s3.amazonaws.com send for metadata-prod",
            f'"aws:SourceArn":"{system.arn}"',
            "aws sqs set-queue-attributes --queue-url https://sqs.eu-central-1.amazonaws.com/123456789012/customer-hts",
        )


@pytest.mark.scenario("0.10", BROKEN)
@pytest.mark.parametrize("relayed", [True, False])
def test_a_bucket_that_tells_eventbridge_instead_is_judged_by_what_the_configuration_says(relayed: bool) -> None:
    """Whether a rule tells the queue cannot be seen: it is believed where somebody has said so, and else unknown."""
    with triggers("relayed = true" if relayed else "") as (on, system):
        on.world.client("s3").put_bucket_notification_configuration(
            Bucket=system.bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        on.minutes(120)
        if relayed:
            assert on.nightshift.all == []
        else:
            assert on.incident.verdict is Verdict.UNVERIFIABLE
            assert "set relayed = true" in on.mail


@pytest.mark.scenario("0.10", BROKEN)
def test_a_protected_bucket_is_told_all_the_same() -> None:
    """Nothing is written, so nothing forbids it; nor does the switch that is off, nor mode observe."""
    with triggers(mode="observe") as (on, system):
        on.nightshift.pause("the night is ours")
        system.route("htsnonprod")
        on.minutes(5)
        on.told("does not tell customer-hts-changes")


# -- the cloud it is played on -----------------------------------------------------------------------------------------


def test_the_thin_cloud_answers_as_the_full_one_does() -> None:
    """The same calls with the same ends in the same minutes, and the same reports."""
    played = []
    for thin in (True, False):
        with function(thin=thin) as (on, wires):
            wires.forbid(EVENTS)
            on.minutes(5)
            calls = [(event.at, event.function, event.name, event.error) for event in on.world.trail if event.function]
            played.append((calls, on.mail))
        with triggers(thin=thin) as (on, system):
            forbid(system, "hts")
            on.minutes(5)
            calls = [(event.at, event.function, event.name, event.error) for event in on.world.trail if event.function]
            played.append((calls, on.mail))
    assert played[:2] == played[2:]
