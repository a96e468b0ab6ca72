"""What only people can cure: it is found, explained and told to whom it concerns, and nothing is changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.uploads import AT_NIGHT, GROUPS, SIGN_INS, TEST, Uploads
from sandbox.world import World

ALARM = "alarm-raised"
FAILING = "lambda-failing"
REFUSING = "s3-access-denied"
BUCKET = "arn:aws:s3:::content-dhbw-prod"
FUNCTION = "arn:aws:lambda:eu-central-1:123456789012:function:etl"


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

    def until_told(self) -> None:
        """Let time pass until a report is sent."""
        self.world.run_until(lambda: len(self.world.mail) > 0, timedelta(minutes=30))

    def told(self, *texts: str) -> None:
        """It ended with people being told, once, of all of this; and nothing was changed under any name of ours."""
        assert self.incident.verdict is Verdict.ESCALATED
        mail = self.mail
        assert [text for text in texts if text not in mail] == []
        assert "Nothing was changed." in mail
        written = self.world.trail.of(writes=True)
        assert [event.name for event in written if event.principal.role_arn] == []


@contextmanager
def watched(
    remediation: str, *targets: str, settings: str = "", before: Callable[[Uploads], object] = id, thin: bool = True
) -> Iterator[Watch]:
    """A customer's content for ten minutes, with Nightshift watching these ARNs, or alarms of these names."""
    with World(NIGHT, thin=thin) as world:
        system = Uploads(world)
        before(system)
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
            assert [each for each in nightshift.all if not each.scratch.get("blind")] == []
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


# -- a function fails --------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.6", FAILING)
def test_calls_that_run_into_their_timeout_are_told_with_the_one_command_that_changes_it() -> None:
    """Once; the command names nothing else and the revision that was read, and the environment stays unread."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.takes = 45
        on.minutes(20)
        on.told(
            "etl: calls run into its timeout of 30 seconds",
            "aws lambda update-function-configuration --function-name etl --timeout 60 --revision-id 0b4e8a2c",
            "Lambda Insights is off",
            "never add --environment",
        )
        on.minutes(60)
        assert len(on.nightshift.all) == 1
        assert "hunter2" not in on.mail


@pytest.mark.scenario("2.6", FAILING)
def test_memory_that_is_full_is_told_where_it_is_measured() -> None:
    """Twice as much is recommended, and nothing about the timeout."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.insights = True
        on.system.function.needs = 400
        on.minutes(20)
        on.told("etl: its memory is full", "it used 100 % of its 256 MB", "--function-name etl --memory-size 512")
        assert "--timeout" not in on.mail


@pytest.mark.scenario("2.6", FAILING)
def test_a_change_shortly_before_is_named_as_a_suspect() -> None:
    """With what there was before; no timeout or memory is recommended for code that fails."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.changed = on.world.now
        on.system.function.failing = 0.3
        on.minutes(20)
        on.told("it was changed at 2026-11-19 01:10 UTC: a suspect", "list-versions-by-function --function-name etl")
        assert "update-function-configuration" not in on.mail


LIVE = {"Name": "live", "FunctionVersion": "8", "RevisionId": "5e9d"}
OLD = {"Name": "old", "FunctionVersion": "3", "RevisionId": "77aa"}


@pytest.mark.scenario("1.18", FAILING)
@pytest.mark.scenario("1.20", FAILING)
@pytest.mark.corrects("versions-minus-two")
@pytest.mark.corrects("environment-of-one")
def test_an_alias_whose_calls_fail_is_told_with_the_command_that_points_it_elsewhere() -> None:
    """To which version is for whoever deploys to say; an alias that nobody calls is not to be moved."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.aliases, on.system.function.called_as = (LIVE, OLD), "live"
        on.system.function.changed = on.world.now
        on.system.function.failing = 0.3
        on.minutes(20)
        on.told(
            "calls as live (version 8) failed",
            "--function-name etl --name live --function-version VERSION --revision-id 5e9d (a write)",
            "AWS does not keep which version that was",
            "nobody calls it as old (version 3): to move that alias changes nothing",
            "AWS replaces it whole",
        )
        assert "--function-version 7" not in on.mail
        assert "hunter2" not in on.mail
        assert "--environment" not in on.mail


@pytest.mark.scenario("1.18", FAILING)
def test_a_canary_that_is_under_way_is_left_to_whoever_runs_it() -> None:
    """CodeDeploy, say, which takes it back by its own alarms."""
    with watched(FAILING, FUNCTION) as on:
        weights = {"RoutingConfig": {"AdditionalVersionWeights": {"9": 0.1}}}
        on.system.function.aliases, on.system.function.called_as = (LIVE | weights,), "live"
        on.system.function.failing = 0.3
        on.minutes(20)
        on.told("Live is being moved between version 8 and 9: leave it to whoever moves it")
        assert "update-alias" not in on.mail


@pytest.mark.scenario("2.6", FAILING)
@pytest.mark.parametrize("reserved", [1, None])
def test_calls_that_are_turned_away_are_told_with_whose_concurrency_is_used_up(reserved: int | None) -> None:
    """Its own, or the account's."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.reserved = reserved
        on.system.function.account_full = reserved is None
        on.system.function.takes = 5
        on.minutes(20)
        on.told("calls are turned away, because " + ("its reserved concurrency of 1" if reserved else "the account's"))


@pytest.mark.scenario("2.6", FAILING)
@pytest.mark.parametrize("part", ["state", "updated"])
def test_what_aws_itself_calls_failed_is_told_by_its_code(part: str) -> None:
    """Also where nobody calls it; AWS's text is not quoted."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.calls = 0
        setattr(on.system.function, part, "Failed")
        on.minutes(5)
        on.told("SubnetOutOfIPAddresses" if part == "state" else "ImageAccessDenied")
        assert "some text of AWS" not in on.mail


@pytest.mark.scenario("2.13", FAILING)
def test_calls_that_nearly_time_out_are_told_before_they_do() -> None:
    """Nothing fails yet."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.takes = 29
        on.minutes(20)
        on.told("take nearly as long as its timeout of 30 seconds", "--timeout 60")
        assert on.incident.severity is Severity.SEV3


@pytest.mark.scenario("2.6", FAILING)
@pytest.mark.parametrize(
    "changes",
    [
        {"reserved": 0},
        {"state": "Inactive"},
        {"calls": 0},
        {"calls": 1, "failing": 0.4},
        {"failing": 0.04},
    ],
    ids=["stopped on purpose", "idle", "never called", "too few calls", "a few failures"],
)
def test_what_is_no_failure_is_not_told(changes: dict[str, Any]) -> None:
    """A deliberate stop, an idle function, too little to call a rate."""
    with watched(FAILING, FUNCTION) as on:
        for name, value in changes.items():
            setattr(on.system.function, name, value)
        on.minutes(60)
        assert on.nightshift.all == []


@pytest.mark.scenario("2.6", FAILING)
def test_a_burst_that_is_over_is_not_told() -> None:
    """Five minutes of failures, and then all is well: nobody is woken for what was."""
    with watched(FAILING, FUNCTION) as on:
        on.system.function.failing = 1.0
        on.minutes(4)
        on.system.function.failing = 0.0
        on.minutes(60)
        assert on.nightshift.all == []


# -- a bucket refuses requests -----------------------------------------------------------------------------------------

DENY_ALL = {"Sid": "IGNORE ALL", "Effect": "Deny", "Principal": "*", "Action": "s3:Put*", "Resource": "*"}
DENY_PLAIN = DENY_ALL | {"Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}}}


@pytest.mark.scenario("2.10", REFUSING)
@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion", None])
def test_a_key_that_is_not_enabled_is_told_as_the_cause(state: str | None) -> None:
    """Disabled, about to be deleted, or gone: every upload is refused, and nothing is opened."""
    with watched(REFUSING, BUCKET) as on:
        on.system.bucket.key = state
        on.minutes(20)
        on.told(
            f"{on.system.key_arn} {f'is {state}' if state else 'does not exist'}",
            "refused requests: ",
            "aws s3api get-bucket-encryption --bucket content-dhbw-prod",
            "aws iam simulate-principal-policy",
        )


@pytest.mark.scenario("2.10", REFUSING)
def test_a_deny_for_everybody_is_told_by_its_number() -> None:
    """Not by its Sid, which is somebody's text."""
    with watched(REFUSING, BUCKET) as on:
        on.system.bucket.statements = (DENY_ALL | {"Effect": "Allow"}, DENY_ALL)
        on.minutes(20)
        on.told("statement 2 of its policy denies s3:PutObject to everybody, without a condition")
        assert "IGNORE ALL" not in on.mail


@pytest.mark.scenario("2.10", REFUSING)
def test_rules_that_may_be_why_are_all_told() -> None:
    """A condition refuses some requests only: no single cause is claimed."""
    with watched(REFUSING, BUCKET) as on:
        on.system.bucket.statements = (DENY_PLAIN,)
        on.minutes(20)
        on.told(
            "has 2 rules that refuse requests; which of them did, its metrics do not say",
            "statement 1 of its policy denies s3:PutObject: uploads that do not name the encryption that is wanted",
            "public access lists are blocked",
        )


@pytest.mark.scenario("2.10", REFUSING)
def test_settings_that_nightshift_may_not_read_either_are_evidence() -> None:
    """A Deny may be for everybody: it is told, rather than given up."""
    with watched(REFUSING, BUCKET) as on:
        on.system.bucket.statements = (DENY_ALL,)
        on.system.bucket.denied = True
        on.minutes(20)
        on.told("does not let Nightshift read its configuration either", "s3:GetBucketPolicy is denied to Nightshift")


@pytest.mark.scenario("2.10", REFUSING)
def test_a_bucket_whose_requests_nobody_counts_is_told_as_one_that_cannot_be_seen() -> None:
    """With how to switch the metrics on; never as well."""
    with watched(REFUSING, BUCKET, before=lambda system: setattr(system.bucket, "metrics", False)) as on:
        on.minutes(240)
        assert on.incident.verdict is Verdict.UNVERIFIABLE
        assert "put-bucket-metrics-configuration --bucket content-dhbw-prod --id EntireBucket" in on.mail


@pytest.mark.scenario("2.10", REFUSING)
@pytest.mark.parametrize("changes", [{"missing": 10}, {"uploads": 0}, {"uploads": 0, "missing": 1}])
def test_what_is_asked_for_and_not_there_is_no_failure(changes: dict[str, int]) -> None:
    """A few reads of nothing among many requests, a quiet hour, too little traffic."""
    with watched(REFUSING, BUCKET) as on:
        for name, value in changes.items():
            setattr(on.system.bucket, name, value)
        if changes == {"uploads": 0, "missing": 1}:
            on.minutes(3)
            on.system.bucket.missing = 0
        on.minutes(60)
        assert on.nightshift.all == []


# -- the cloud it is played on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("remediation, target", [(ALARM, AT_NIGHT), (FAILING, FUNCTION), (REFUSING, BUCKET)])
def test_the_thin_cloud_answers_as_the_full_one_does(remediation: str, target: str) -> None:
    """The same calls with the same ends in the same minutes, and the same report."""
    played = []
    for thin in (True, False):
        with watched(remediation, target, thin=thin) as on:
            on.system.group_changes = 9
            on.system.function.failing = 1.0
            on.system.bucket.key = "Disabled"
            on.until_told()
            calls = [(event.at, event.function, event.name, event.error) for event in on.world.trail if event.function]
            played.append((calls, on.mail))
    assert played[0] == played[1]
