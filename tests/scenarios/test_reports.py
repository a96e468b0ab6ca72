"""What only people can cure: it is found, explained and told to whom it concerns, and nothing is changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.uploads import AT_NIGHT, GROUPS, SIGN_INS, TEST, Uploads
from sandbox.world import World

ALARM = "alarm-raised"


@dataclass(frozen=True)
class Watch:
    """What a report's story is played on."""

    world: World
    system: Uploads
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one incident that there was."""
        [incident] = self.nightshift.all
        return incident

    @property
    def mail(self) -> str:
        """The one report that was sent, as one line."""
        [mail] = self.world.mail
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
def watched(remediation: str, *targets: str, settings: str = "") -> Iterator[Watch]:
    """A customer's content for ten minutes, with Nightshift watching these ARNs, or alarms of these names."""
    with World(NIGHT, thin=True) as world:
        system = Uploads(world)
        arns = [each if each.startswith("arn:") else system.alarm_arn(each) for each in targets]
        registered = "".join(f'\n[[systems.targets]]\narn = "{arn}"\n' for arn in arns)
        toml = f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"
[notify]
emails = ["oncall@example.com"]
[remediations.{remediation}]
{settings}
[[systems]]
name = "lecture"
{registered}"""
        with Deployment(world, toml) as nightshift:
            on = Watch(world, system, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


CONCERN = f"""
[remediations.{ALARM}.alarms.{SIGN_INS}]
severity = "SEV1"
row = "runbook 2, security metrics: failed authentication attempts"
whom = "the security team"
"""

# -- an alarm is raised ------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.14", ALARM)
def test_failed_sign_ins_are_told_with_what_was_counted_since_when_and_whose_they_are() -> None:
    """Halted as a new deployment is, and in mode observe: it is told within minutes, once, while it lasts."""
    with watched(ALARM, SIGN_INS, settings=CONCERN) as on:
        on.system.failed_sign_ins = 4
        on.minutes(15)
        on.told(
            "SEV1",
            f"the alarm {SIGN_INS} is raised since 2026-11-19 01:1",
            "CloudTrailMetrics/ConsoleSignInFailures is at least 5",
            "in 1 of 1 periods of 300 s",
            "runbook 2, security metrics: failed authentication attempts",
            "Tell the security team: it is theirs.",
            "aws logs describe-metric-filters --metric-namespace CloudTrailMetrics --metric-name ConsoleSignInFailures",
        )
        on.minutes(120)
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("2.14", ALARM)
def test_an_alarm_wakes_nightshift_by_its_own_name() -> None:
    """It is looked at in the minute in which it changes its state, by the alarm function."""
    with watched(ALARM, SIGN_INS) as on:
        on.world.lambdas.deaf_until_ms = on.world.agenda.ms + 60 * 60_000  # no sweep any more
        on.system.failed_sign_ins = 4
        on.minutes(15)
        assert on.incident.opened_at == on.world.now.replace(minute=13)
        assert on.incident.target == on.system.alarm_arn(SIGN_INS)


@pytest.mark.scenario("2.14", ALARM)
def test_a_composite_alarm_says_which_of_its_parts_are_raised() -> None:
    """And a metric filter of one of them is not made up for the whole."""
    with watched(ALARM, AT_NIGHT) as on:
        on.system.group_changes = 9
        on.minutes(15)
        on.told(f"the alarm {GROUPS} is ALARM", f"the alarm {SIGN_INS} is OK")
        assert "describe-metric-filters" not in on.mail


@pytest.mark.scenario("2.14", ALARM)
def test_what_is_announced_is_not_told_until_it_is_over() -> None:
    """Somebody's penetration test suppresses the composite alarm; what is still raised afterwards is told."""
    with watched(ALARM, AT_NIGHT) as on:
        on.system.test_announced = True
        on.minutes(10)
        on.system.failed_sign_ins = 4
        on.minutes(60)
        assert on.world.alarms.state(AT_NIGHT) == "ALARM"
        assert on.nightshift.all == []
        on.system.test_announced = False
        on.minutes(15)
        on.told(AT_NIGHT)


@pytest.mark.scenario("2.14", ALARM)
def test_switching_off_an_alarms_actions_does_not_silence_it() -> None:
    """Whoever gets in may do that first: it is told, and that its actions are off."""
    with watched(ALARM, SIGN_INS) as on:
        metric = {"Namespace": "CloudTrailMetrics", "MetricName": "ConsoleSignInFailures"}
        on.system.alarm(SIGN_INS, **metric, ActionsEnabled=False, TreatMissingData="notBreaching")
        on.system.failed_sign_ins = 4
        on.minutes(15)
        on.told("its own actions are switched off", f"aws cloudwatch enable-alarm-actions --alarm-names {SIGN_INS}")


@pytest.mark.scenario("2.14", ALARM)
def test_an_alarm_that_is_over_before_anybody_was_told_is_not_told() -> None:
    """Raised by hand for a test: CloudWatch judges it anew within the minute, and no report is worth it."""
    with watched(ALARM, SIGN_INS) as on:
        on.world.client("cloudwatch").set_alarm_state(AlarmName=SIGN_INS, StateValue="ALARM", StateReason="a drill")
        on.minutes(0.5)
        on.minutes(30)
        assert all(incident.verdict is Verdict.RECOVERED for incident in on.nightshift.all)
        assert "ESCALATED" not in " ".join(str(mail.subject) for mail in on.world.mail)
        assert "a drill" not in " ".join(mail.text for mail in on.world.mail)


@pytest.mark.scenario("2.14", ALARM)
def test_an_alarm_that_is_deleted_is_told_as_one_that_cannot_be_seen() -> None:
    """Nobody would hear of what it watched: not well, not sick, and not silent."""
    with watched(ALARM, GROUPS) as on:
        on.world.client("cloudwatch").delete_alarms(AlarmNames=[GROUPS])
        on.minutes(240)
        assert on.incident.verdict is Verdict.UNVERIFIABLE
        assert f"there is no alarm {GROUPS}" in on.mail


@pytest.mark.scenario("2.13", ALARM)
@pytest.mark.parametrize("always", [True, False])
def test_no_data_is_told_only_of_what_always_has_some(always: bool) -> None:
    """What reports a number every minute has stopped; a counter that says nothing has nothing to count."""
    concern = f"[remediations.{ALARM}.alarms.{TEST}]\nalways_reports = true\nseverity = 'SEV4'"
    with watched(ALARM, TEST, settings=concern if always else "") as on:
        on.system.test_announced = None
        on.minutes(12)
        assert on.nightshift.all == []
        on.minutes(30)
        if always:
            on.told("has had no data since", "has stopped reporting")
            assert on.incident.severity is Severity.SEV4
        else:
            assert on.nightshift.all == []


@pytest.mark.scenario("2.13", ALARM)
def test_what_is_told_is_quiet_until_it_was_well_and_then_is_told_again() -> None:
    """Two bursts of sign-ins are two reports; one long one is one."""
    with watched(ALARM, SIGN_INS) as on:
        for _ in range(2):
            on.system.failed_sign_ins = 4
            on.minutes(60)
            on.system.failed_sign_ins = 0
            on.minutes(60)
        assert [incident.verdict for incident in on.nightshift.all] == [Verdict.ESCALATED] * 2
        assert len(on.world.mail.about("ESCALATED")) == 2
