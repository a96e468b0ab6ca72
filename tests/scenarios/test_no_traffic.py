"""Requests stop coming to an API: every cause by which they do, what people are told, and what is no such thing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, TRAFFIC, Stage, api_configuration, api_name, failures
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Api(Stage):
    """A stage on which the API behind the load balancer is played."""

    system: UsageMetrics

    @property
    def incident(self) -> Incident:
        """The one incident about missing requests."""
        [incident] = self.nightshift.of(TRAFFIC)
        return incident

    @property
    def told(self) -> str:
        """The one report that people got, without its line ends."""
        [mail] = self.world.mail
        return " ".join(mail.text.split())

    @property
    def writes(self) -> list[str]:
        """What was changed under any incident's name."""
        return [event.name for event in self.world.trail.of(writes=True) if event.principal.role_arn]


@contextmanager
def staged(
    *,
    past: bool = True,
    quiet: bool = False,
    before: Callable[[UsageMetrics], object] = lambda _: None,
    mode: str = "auto",
    settings: str = "",
) -> Iterator[Api]:
    """The API at work as it was all week, or but for this hour a week ago, and Nightshift switched on."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        system.requests(300)
        if past:
            hour = (NIGHT - WEEK, NIGHT - WEEK + timedelta(hours=6))
            system.has_a_past(quiet=hour if quiet else None)
        before(system)
        world.run(timedelta(minutes=10))  # a load balancer that has never reported is one that cannot be seen
        enabled = f'[remediations.{TRAFFIC}]\nmode = "{mode}"\n{settings}\n[[systems]]'
        toml = api_configuration(system, mode=mode).replace("[[systems]]", enabled, 1) + api_name(system)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Api(world, system, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


# -- what keeps requests away ------------------------------------------------------------------------------------------


def _expiring(system: UsageMetrics) -> None:
    system.serve_https(valid=timedelta(minutes=25))


CAUSES: dict[str, tuple[Callable[[UsageMetrics], object], Callable[[UsageMetrics], object], str, str]] = {
    "listener deleted": (
        lambda _: None,
        UsageMetrics.lose_listeners,
        "the load balancer has no listener",
        "DeleteListener",
    ),
    "listener leads elsewhere": (
        lambda _: None,
        UsageMetrics.lead_elsewhere,
        "no listener sends requests to the target group delivery-standard",
        "forwarded elsewhere",
    ),
    "maintenance page": (
        lambda _: None,
        UsageMetrics.show_maintenance_page,
        "no listener sends requests to the target group delivery-standard",
        "a fixed response",
    ),
    "security group closed": (
        lambda _: None,
        UsageMetrics.close_security_group,
        "security groups let nobody in at port 80",
        "RevokeSecurityGroupIngress",
    ),
    "certificate expired": (
        _expiring,
        lambda _: None,
        "the certificate is not valid: HTTPS:443: certificate of api.example.com is EXPIRED",
        "failed TLS handshakes",
    ),
    "name leads elsewhere": (
        UsageMetrics.serve_by_name,
        lambda system: system.change_name("old-alb.eu-central-1.elb.amazonaws.com"),
        "api.example.com does not lead to this load balancer, but to old-alb.eu-central-1.elb.amazonaws.com",
        "ChangeResourceRecordSets",
    ),
    "nobody asks": (
        lambda _: None,
        lambda system: system.requests(0),
        "nobody connects, and nothing was found that keeps them away",
        "curl -sv",
    ),
}


@pytest.mark.scenario("4.5", TRAFFIC)
@pytest.mark.parametrize("cause", CAUSES)
def test_what_keeps_requests_away_is_told_once_and_nothing_is_written(cause: str) -> None:
    """Escalated with the cause, how to see who did it and what to do; nothing of the account is changed for it."""
    before, breaks, said, shown = CAUSES[cause]
    with staged(before=before) as on:
        breaks(on.system)
        on.until(lambda: on.nightshift.all)
        on.until_settled()
        on.minutes(90)
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.incident.severity is Severity.SEV2
        assert on.incident.attempts == ()
        assert on.incident.diagnosis is not None
        assert said in on.incident.diagnosis.cause
        assert said in on.told
        assert shown in on.told
        assert on.writes == []
        assert "0.0.0.0/0" not in "".join(on.incident.diagnosis.advice)


@pytest.mark.scenario("4.5", TRAFFIC)
def test_it_is_seen_within_twenty_minutes_and_not_before_a_quarter_of_an_hour() -> None:
    """Fifteen minutes without a request, and two looks."""
    with staged() as on:
        on.system.close_security_group()
        began = on.world.now
        on.until(lambda: on.world.mail)
        assert timedelta(minutes=15) < on.world.now - began < timedelta(minutes=22)


@pytest.mark.scenario("4.5", TRAFFIC)
def test_what_is_watched_only_is_told_in_full() -> None:
    """Mode observe: there is nothing to be done by us, so the report is the same."""
    with staged(mode="observe") as on:
        on.system.close_security_group()
        on.until(lambda: on.world.mail)
        assert on.incident.verdict is Verdict.ESCALATED
        assert "let nobody in at port 80" in on.told


@pytest.mark.scenario("4.5", TRAFFIC)
def test_what_could_not_be_read_is_said_and_not_taken_as_well() -> None:
    """No leave to read security groups: the report names the action, and blames nothing that was not seen."""
    with staged() as on:
        on.world.faults.add(Kind.DENIED, "ec2.DescribeSecurityGroups", times=None)
        on.system.close_security_group()
        on.until(lambda: on.world.mail)
        assert "not allowed: grant ec2:DescribeSecurityGroups" in on.told
        assert "nothing was found" in on.told
        assert "let nobody in" not in on.told


# -- what is no such thing ---------------------------------------------------------------------------------------------


@pytest.mark.scenario("4.5", TRAFFIC)
def test_where_this_hour_was_quiet_last_week_too_nobody_is_woken() -> None:
    """Silence at night is no failure."""
    with staged(quiet=True) as on:
        on.system.requests(0)
        on.minutes(120)
        assert on.nightshift.all == []


@pytest.mark.scenario("4.5", TRAFFIC)
def test_a_service_without_a_week_behind_it_is_not_called_sick() -> None:
    """There is nothing to compare its silence with."""
    with staged(past=False) as on:
        on.system.requests(0)
        on.minutes(120)
        assert on.nightshift.all == []


@pytest.mark.scenario("4.5", TRAFFIC)
def test_a_service_that_was_stopped_on_purpose_is_left_alone() -> None:
    """Desired count 0 is somebody's decision."""
    with staged() as on:
        on.system.api.scale(0)
        on.minutes(120)
        assert on.nightshift.all == []


def test_where_no_task_can_answer_that_is_the_failure_and_not_silence() -> None:
    """Requests come, the load balancer answers 503: what cares for the tasks speaks, and nobody says that none come."""
    with staged() as on:
        on.system.break_pulls()
        for task in on.system.api.running:
            on.system.api.fail_task(task, "EssentialContainerExited", "Essential container in task exited", exit_code=1)
        on.minutes(60)
        assert not [mail for mail in on.world.mail if "no request" in mail.text]
        assert all(incident.verdict is not Verdict.ESCALATED for incident in on.nightshift.of(TRAFFIC))


def test_requests_that_come_back_in_time_are_no_incident() -> None:
    """Ten minutes without any are not a quarter of an hour."""
    with staged() as on:
        on.system.requests(0)
        on.minutes(10)
        on.system.requests(300)
        on.minutes(60)
        assert on.nightshift.all == []


def test_silence_after_it_was_told_is_not_told_again_and_a_new_one_is() -> None:
    """One report for one silence; requests for an hour; the next silence is another failure."""
    with staged() as on:
        on.system.requests(0)
        on.minutes(120)
        assert len(on.world.mail) == 1
        on.system.requests(300)
        on.minutes(60)
        on.system.requests(0)
        on.minutes(60)
        assert [incident.verdict for incident in on.nightshift.of(TRAFFIC)] == [Verdict.ESCALATED] * 2


def test_in_a_storm_silence_waits_for_the_one_page_about_the_storm() -> None:
    """While too much is sick at once, no target's own silence is explained."""
    with staged(settings='deadline = "PT1H"') as on:
        on.world.faults.add(Kind.DENIED, "s3.HeadBucket", times=None, where=lambda call: bool(call.function))
        on.system.requests(0)
        on.until(lambda: on.nightshift.all and on.nightshift.settled)
        assert on.incident.verdict is Verdict.REFUSED
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "storm"
