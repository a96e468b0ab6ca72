"""What people keep up, and forget (runbooks 1 to 4): told once, in time, with what to do. And rollbacks that failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Phase, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.upkeep import LOCK_ID, STATES, UpkeepSystem, upkeep_configuration
from sandbox.world import World

SECRETS = "secret-rotation-overdue"
CERTIFICATES = "certificate-expiring"
STACKS = "stack-stuck"
LOCKED = "terraform-lock-held"
ROLLBACKS = "stack-rollback-failed"
BACKUPS = "backup-stale"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Night:
    """What is kept up, and Nightshift watching."""

    world: World
    system: UpkeepSystem
    nightshift: Deployment

    @property
    def only(self) -> Incident:
        """The one incident that there was."""
        [incident] = self.nightshift.all
        return incident

    @property
    def mails(self) -> list[str]:
        """Every report that was sent, each as one line."""
        return [" ".join(f"{mail.subject} {mail.text}".split()) for mail in self.world.mail]

    @property
    def written(self) -> list[str]:
        """What was changed under an incident's name, or may have been."""
        events = self.world.trail.of(writes=True, function="nightshift-tick")
        return [each.name for each in events if each.principal.role_arn is not None]

    def hours(self, count: float) -> None:
        """Let so many hours pass."""
        self.world.run(timedelta(hours=count))

    def until(self, condition: Callable[[], object], hours: float = 3) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(hours=hours))

    def until_asked(self) -> None:
        """Until a person is asked."""
        self.until(lambda: any(each.phase is Phase.AWAITING for each in self.nightshift.all))

    def until_settled(self, hours: float = 3) -> None:
        """Until there was an incident and none is open."""
        self.until(lambda: self.nightshift.all and not any(each.open for each in self.nightshift.all), hours)

    def told(self, *texts: str) -> None:
        """People were told, once, of all of this, and nothing was changed."""
        assert self.only.verdict is Verdict.ESCALATED
        [mail] = self.mails
        assert [text for text in texts if text not in mail] == []
        assert "Nothing was changed." in mail
        assert self.written == []


@contextmanager
def night(*remediations: str, mode: str = "observe", more: str = "", thin: bool = True) -> Iterator[Night]:
    """Everything is well, and was for ten minutes."""
    with World(NIGHT, thin=thin) as world:
        system = UpkeepSystem(world)
        with Deployment(world, upkeep_configuration(system, *remediations, mode=mode, more=more)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.hours(0.2)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()
            assert world.trail.of("secretsmanager.GetSecretValue") == []


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.14", "secret-rotation-overdue")
@pytest.mark.scenario("2.18", "secret-rotation-overdue")
def test_a_rotation_that_fails_is_told_once_and_over_when_it_was_mended() -> None:
    """Its function broke: a day after its date has passed it is told, within the hour, and no value is ever read."""
    with night(SECRETS) as on:
        secret = on.system.rotated
        secret.works = False
        secret.due = on.world.now - timedelta(hours=23)
        on.until(lambda: on.world.mail)
        on.told(
            "the rotation of dms/database/password that was due by",
            "the function rotate-database did not finish it",
            "aws logs tail /aws/lambda/rotate-database --since 2d",
            "a rotation was begun and not finished",
            f"aws secretsmanager rotate-secret --secret-id {secret.arn} (a write)",
        )
        assert "IGNORE ALL" not in on.mails[0]
        on.hours(5)
        assert len(on.mails) == 1
        secret.works = True
        on.system.rotate(secret)
        on.hours(5)
        assert len(on.mails) == 1
        assert len(on.nightshift.all) == 1


@pytest.mark.scenario("3.14", "secret-rotation-overdue")
def test_a_rotation_that_is_only_late_is_not_told() -> None:
    """Secrets Manager tries again, and an hour later it is done."""
    with night(SECRETS) as on:
        on.system.rotated.works = False
        on.system.rotated.due = on.world.now
        on.hours(3)
        on.system.rotated.works = True
        on.hours(30)
        assert on.nightshift.all == []


@pytest.mark.scenario("2.18", "secret-rotation-overdue")
@pytest.mark.parametrize("thin", [True, False])
def test_an_old_secret_is_told_by_the_age_of_its_value(thin: bool) -> None:
    """Somebody changed its description yesterday, which makes it no younger."""
    with night(SECRETS, thin=thin) as on:
        on.system.neglect(on.system.by_hand, 100)
        on.until(lambda: on.world.mail)
        on.told(
            "graph/client has had the same value since 2026-08-11, longer than 90 days", "Never change the secret alone"
        )
        assert on.only.severity is Severity.SEV4


@pytest.mark.scenario("2.18", "secret-rotation-overdue")
def test_one_that_is_marked_to_be_deleted_is_told_at_once_again() -> None:
    """It was told as old, and now says something else: a day need not pass."""
    with night(SECRETS) as on:
        on.system.neglect(on.system.by_hand, 100)
        on.until(lambda: on.world.mail)
        on.system.by_hand.deleted = on.world.now + 7 * DAY
        on.until(lambda: len(on.world.mail) == 2)
        assert "is marked to be deleted, and nobody can read it" in on.mails[1]
        on.hours(30)
        assert len(on.mails) == 2


# -- certificates ------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("4.5", "certificate-expiring")
@pytest.mark.parametrize("thin", [True, False])
def test_a_certificate_that_cannot_be_renewed_is_told_with_the_record_that_is_missing(thin: bool) -> None:
    """Somebody took the record out of DNS long ago; ACM has tried for a month."""
    with night(CERTIFICATES, thin=thin) as on:
        on.system.certificate.valid, on.system.certificate.renewal = False, "PENDING_VALIDATION"
        on.system.certificate.ends = on.world.now + 29 * DAY
        on.until(lambda: on.world.mail)
        on.told("ends within 30 days", "CNAME _x2.acm-validations.aws.", "loadbalancer/app/dms/50dc6c495c0c9188")


@pytest.mark.scenario("4.5", "certificate-expiring")
def test_it_is_told_again_when_it_gets_urgent_and_not_before() -> None:
    """Thirty days, seven days, over: three reports of the one that nobody imports anew."""
    with night(CERTIFICATES) as on:
        for left, text in ((29, "ends within 30 days"), (6.9, "ends within 7 days"), (-0.1, "is EXPIRED")):
            on.system.imported.ends = on.world.now + left * DAY
            on.hours(4)
            assert text in on.mails[-1]
            assert "aws acm import-certificate" in on.mails[-1]
        assert len(on.mails) == 3


@pytest.mark.scenario("4.5", "certificate-expiring")
def test_one_that_acm_renews_is_nobodys_business() -> None:
    """Sixty days before its end, without anybody."""
    with night(CERTIFICATES) as on:
        on.system.certificate.ends = on.world.now + 61 * DAY
        on.hours(26)
        assert on.system.certificate.renewal == "SUCCESS"
        assert on.nightshift.all == []


# -- stacks ------------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.17", "stack-stuck")
@pytest.mark.parametrize("thin", [True, False])
def test_a_stack_that_has_failed_is_told_with_what_failed_first(thin: bool) -> None:
    """And with the one command that leads out of that state."""
    with night(STACKS, thin=thin) as on:
        on.world.stacks.fail(on.system.stack.name, "UPDATE_FAILED", "Table", "the table has too many indexes")
        on.until(lambda: on.world.mail)
        on.told(
            "OpenDataPulseApiStack is UPDATE_FAILED",
            "Table (AWS::Test::Table) UPDATE_FAILED: the table has too many indexes",
            f"aws cloudformation rollback-stack --stack-name {on.system.stack.arn} (a write)",
        )
        on.hours(4)
        assert len(on.mails) == 1


@pytest.mark.scenario("1.17", "stack-stuck")
def test_an_update_that_does_not_end_is_told_after_hours_and_a_slow_one_is_not() -> None:
    """Three hours are given to it."""
    with night(STACKS) as on:
        on.world.stacks.set_status(on.system.stack.name, "UPDATE_IN_PROGRESS")
        on.hours(2.9)
        assert on.nightshift.all == []
        on.until(lambda: on.world.mail)
        on.told("is UPDATE_IN_PROGRESS since 2026-11-19 01:", "aws cloudformation cancel-update-stack")


# -- locks of Terraform's states ---------------------------------------------------------------------------------------


@pytest.mark.scenario("2.7", "terraform-lock-held")
@pytest.mark.parametrize("thin", [True, False])
def test_a_lock_that_nobody_gives_back_is_told_once_and_left_as_it_is(thin: bool) -> None:
    """A run was cancelled: after an hour people are told whose lock it is; whatever the modes allow, it stays."""
    with night(LOCKED, mode="auto", thin=thin) as on:
        on.system.lock(STATES[1])
        on.hours(0.95)
        assert on.nightshift.all == []
        on.until(lambda: on.world.mail, 3)
        on.told(
            f"Terraform's state {STATES[1]} has been locked since 2026-11-19 01:",
            "held by runner@ci-7 for Apply with Terraform 1.9.5",
            "aws dynamodb get-item --table-name terraform-state-lock",
            "while it is, wait for it",
            f"terraform force-unlock {LOCK_ID} (a write)",
        )
        assert on.only.severity is Severity.SEV3
        assert "IGNORE ALL" not in on.mails[0]
        on.hours(3)
        assert len(on.mails) == 1
        assert on.system.locked() == [STATES[1]]


@pytest.mark.scenario("2.7", "terraform-lock-held")
def test_a_lock_that_is_taken_and_given_back_is_nobodys_business() -> None:
    """One apply after another, each within the hour: the digests that stay beside them are no locks."""
    with night(LOCKED) as on:
        for _ in range(4):
            on.system.lock(STATES[0])
            on.hours(0.9)
            on.system.unlock(STATES[0])
        on.hours(1)
        assert on.nightshift.all == []


@pytest.mark.scenario("2.7", "terraform-lock-held")
def test_once_it_was_given_back_the_next_one_is_told_anew() -> None:
    """A person has forced it; the run after it is cancelled as well."""
    with night(LOCKED) as on:
        on.system.lock(STATES[0])
        on.until(lambda: on.world.mail)
        on.system.unlock(STATES[0])
        on.hours(1)
        assert len(on.mails) == 1
        on.system.lock(STATES[0], who="alice@laptop.example.com")
        on.until(lambda: len(on.world.mail) == 2)
        assert "alice@laptop" not in on.mails[1]  # as any address: the advice says how to see it
        on.hours(3)
        assert len(on.mails) == 2


@pytest.mark.scenario("2.7", "terraform-lock-held")
def test_a_lock_that_says_nothing_is_told_as_what_cannot_be_seen() -> None:
    """Somebody has put the item there by hand: not taken for free, and of no age that anybody knows."""
    with night(LOCKED) as on:
        on.system.lock(STATES[0], info="\N{RIGHT-TO-LEFT OVERRIDE}locked by me")
        on.until(lambda: on.world.mail, 12)
        assert f"{STATES[0]} is locked, and its lock does not say since when" in on.mails[0]
        assert "locked by me" not in on.mails[0]
        assert on.system.locked() == [STATES[0]]


# -- backups -----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.21", "backup-stale")
@pytest.mark.scenario("1.19", "backup-stale")
@pytest.mark.parametrize("thin", [True, False])
def test_a_table_that_nothing_backs_up_is_told_with_what_it_could_be_put_back_to(thin: bool) -> None:
    """Somebody switched it off: an old backup is all there is, before whatever is changed next."""
    with night(BACKUPS, thin=thin) as on:
        for name in ("before-v1", "before-v2", "before-v3"):
            on.system.back_up(name)
        for each, age in zip(on.system.table.backups, (30, 20, 10), strict=True):
            each["BackupCreationDateTime"] -= age * DAY
        on.system.table.continuous = None
        on.until(lambda: on.world.mail)
        on.told(
            "opendata-pulse has no continuous backups, and none of the last 7 days",
            "the newest backup that was made by hand is before-v3, of 2026-11-09 ",
            "aws dynamodb update-continuous-backups --table-name opendata-pulse "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true (a write)",
            "Before its schema or its data are changed: aws dynamodb create-backup --table-name opendata-pulse",
        )
        on.hours(5)
        assert len(on.mails) == 1


@pytest.mark.scenario("1.19", "backup-stale")
def test_a_backup_before_the_schema_is_changed_ends_it() -> None:
    """Made by hand: nothing more is said, until it is a week old."""
    with night(BACKUPS) as on:
        on.system.table.continuous = None
        on.until(lambda: on.world.mail)
        on.system.back_up("before-v4")
        on.hours(2)
        assert not any(each.open for each in on.nightshift.all)
        on.hours(7 * 24)
        assert [mail for mail in on.mails if "before-v4, of 2026-11-19" in mail] == on.mails[1:]
        assert len(on.mails) == 2


@pytest.mark.scenario("2.21", "backup-stale")
@pytest.mark.scenario("1.19", "backup-stale")
def test_a_table_whose_continuous_backups_stand_still_is_told_once() -> None:
    """DynamoDB lags behind, and then catches up; to which time it could be put back stands in the report."""
    with night(BACKUPS) as on:
        on.system.table.stopped = on.world.now
        on.until(lambda: on.world.mail)
        on.told(
            "the newest time to which opendata-pulse can be put back is more than 30 minutes ago",
            "it can be put back to any time from 2026-10-30 ",
        )
        on.hours(4)
        on.system.table.stopped = None
        on.hours(4)
        assert len(on.mails) == 1
        assert not any(each.open for each in on.nightshift.all)


@pytest.mark.scenario("2.21", "backup-stale")
def test_a_table_that_was_backed_up_a_while_ago_and_one_that_lags_a_little_are_not_told() -> None:
    """Six days are within the week that is given, and a quarter of an hour is within the half."""
    with night(BACKUPS) as on:
        on.system.table.stopped = on.world.now
        on.hours(0.4)
        on.system.table.stopped = None
        on.hours(2)
        on.system.back_up("of-the-week")
        on.system.table.continuous = None
        on.hours(6 * 24)
        assert on.nightshift.all == []


@pytest.mark.scenario("2.21", "backup-stale")
@pytest.mark.parametrize("thin", [True, False])
@pytest.mark.parametrize(
    "versioning, copies, says",
    [
        ("Suspended", {"terraform-state-copy": True}, "terraform-state keeps no versions"),
        ("", {}, "nobody switched them on"),
        ("Enabled", {"terraform-state-copy": False}, "replication: 0 of 1 rules enabled"),
        ("Enabled", {}, "terraform-state should be replicated, and is not"),
    ],
)
def test_a_bucket_that_keeps_too_little_is_told(
    versioning: str, copies: dict[str, bool], says: str, thin: bool
) -> None:
    """The state of Terraform, of which the runbook says that it is kept; told once, and over once it is kept again."""
    with night(BACKUPS, thin=thin) as on:
        on.system.bucket.versioning, on.system.bucket.copies = versioning, copies
        on.until(lambda: on.world.mail)
        on.told(says, "(a write)")
        on.system.bucket.versioning, on.system.bucket.copies = "Enabled", {"terraform-state-copy": True}
        on.hours(3)
        assert len(on.mails) == 1
        assert not any(each.open for each in on.nightshift.all)


@pytest.mark.scenario("2.21", "backup-stale")
@pytest.mark.parametrize("denied", ["dynamodb.ListBackups", "s3.GetBucketReplication"])
def test_what_cannot_be_read_is_not_told_as_missing(denied: str) -> None:
    """Whoever may not see the backups cannot say that there are none; of what can be seen people hear."""
    missing = {"dynamodb.ListBackups": "has no continuous backups", "s3.GetBucketReplication": "should be replicated"}
    with night(BACKUPS) as on:
        on.world.faults.add(Kind.DENIED, denied, times=None)
        on.system.table.continuous = None
        on.system.bucket.copies = {}
        on.hours(3)
        for operation, says in missing.items():
            assert any(says in mail for mail in on.mails) is (operation != denied)
        assert on.written == []


# -- a rollback that failed --------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.17", "stack-rollback-failed")
@pytest.mark.parametrize("thin", [True, False])
def test_once_it_was_mended_and_a_person_said_yes_the_rollback_goes_on(thin: bool) -> None:
    """Whatever the modes allow, one is asked; it is done once, and proven by how the stack then is."""
    with night(ROLLBACKS, mode="auto", thin=thin) as on:
        stack = on.system.stack
        on.world.stacks.fail_rollback(stack.name)
        on.until_asked()
        assert stack.continued == []
        assert "Database (AWS::Test::Database) UPDATE_FAILED: the instance is gone" in on.mails[-1]
        stack.mended = True
        assert on.nightshift.answer(on.only, yes=True, why="the instance is back")
        on.until_settled()
        assert on.only.verdict is Verdict.FIXED
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert on.written == ["cloudformation.ContinueUpdateRollback"]
        assert [who for who, _ in stack.continued] == [on.only.id]


@pytest.mark.scenario("1.17", "stack-rollback-failed")
def test_one_that_fails_again_is_handed_over_once() -> None:
    """Nobody had mended anything: the yes was wrong, and there is no second try."""
    with night(ROLLBACKS, mode="auto") as on:
        on.world.stacks.fail_rollback(on.system.stack.name)
        on.until_asked()
        assert on.nightshift.answer(on.only, yes=True, why="try it")
        on.until_settled()
        on.hours(4)
        assert on.only.verdict is Verdict.ESCALATED
        assert "failed again" in on.mails[-1]
        assert len(on.system.stack.continued) == 1
        assert len(on.mails) == 2  # the question, and the end


@pytest.mark.scenario("1.17", "stack-rollback-failed")
def test_a_no_changes_nothing() -> None:
    """Somebody rolls it back by hand later."""
    with night(ROLLBACKS, mode="auto") as on:
        on.world.stacks.fail_rollback(on.system.stack.name)
        on.until_asked()
        assert on.nightshift.answer(on.only, yes=False, why="the database team is at it")
        on.until_settled()
        assert on.only.verdict is Verdict.REFUSED
        assert on.written == []


@pytest.mark.scenario("1.17", "stack-rollback-failed")
def test_what_somebody_continues_before_the_answer_has_recovered() -> None:
    """The question is taken back by the world; the yes that comes later finds nothing to do."""
    with night(ROLLBACKS, mode="auto") as on:
        stack = on.system.stack
        on.world.stacks.fail_rollback(stack.name)
        on.until_asked()
        stack.mended = True
        on.world.client("cloudformation").continue_update_rollback(StackName=stack.arn, ClientRequestToken="by-hand")
        on.until_settled()
        assert on.only.verdict is Verdict.RECOVERED
        assert on.written == []


@pytest.mark.scenario("1.17", "stack-rollback-failed")
@pytest.mark.parametrize("what", ["no role", "nested", "not tagged", "protected", "observed"])
def test_where_it_must_not_act_it_tells_and_changes_nothing(what: str) -> None:
    """Without a role CloudFormation would act with our permissions; a part is the root's; and what is forbidden is."""
    with night(ROLLBACKS, mode="observe" if what == "observed" else "auto") as on:
        stack = on.system.stack
        if what == "no role":
            stack.role = ""
        elif what == "nested":
            stack.parent = stack.arn.replace("OpenDataPulseApiStack", "Root")
        elif what == "not tagged":
            stack.tags.clear()
        elif what == "protected":
            stack.tags["protected"] = "yes"
        on.world.stacks.fail_rollback(stack.name)
        on.until_settled(13)
        assert on.only.verdict is (Verdict.ESCALATED if what in {"no role", "nested"} else Verdict.REFUSED)
        if what in {"no role", "nested"}:
            assert "aws cloudformation continue-update-rollback --stack-name" in on.mails[-1]
        assert len(on.mails) == 1
        assert stack.continued == []


@pytest.mark.scenario("1.17", "stack-rollback-failed")
def test_an_answer_that_was_lost_is_looked_for_and_not_asked_for_again() -> None:
    """By the token: it began, and CloudFormation is left to end it."""
    with night(ROLLBACKS, mode="auto") as on:
        stack = on.system.stack
        on.world.stacks.fail_rollback(stack.name)
        on.until_asked()
        stack.mended = True
        on.world.faults.add(Kind.TIMEOUT_AFTER, "cloudformation.ContinueUpdateRollback", times=1)
        assert on.nightshift.answer(on.only, yes=True, why="mended")
        on.until_settled()
        assert on.only.verdict is Verdict.FIXED
        assert len(stack.continued) == 1


@pytest.mark.scenario("1.17", "stack-rollback-failed")
@pytest.mark.scenario("1.17", "stack-stuck")
def test_both_of_them_tell_it_once_where_the_configuration_says_who() -> None:
    """`rollbacks = false`: the question is the report."""
    with night(ROLLBACKS, mode="auto", more=f"[remediations.{STACKS}]\nrollbacks = false\n") as on:
        on.world.stacks.fail_rollback(on.system.stack.name)
        on.until_asked()
        on.hours(1)
        assert [each.remediation for each in on.nightshift.all] == [ROLLBACKS]
        assert len(on.mails) == 1
