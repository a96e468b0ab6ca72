"""Uploads that fail (runbook 3), a table that looks tampered with (runbook 1): told at once, and nothing is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Severity, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.document_uploads import ORIGIN, DocumentUploads, uploads_configuration
from sandbox.systems.guarded_table import GuardedTable, table_configuration
from sandbox.world import World

UPLOADS = "uploads-failing"
SUSPICIOUS = "table-suspicious"
REFUSING = "s3-access-denied"
STALE = "backup-stale"


@dataclass(frozen=True)
class Night:
    """What it is played on."""

    world: World
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

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], minutes: float = 60) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(minutes=minutes))

    def told(self, *texts: str) -> None:
        """People were told, once, of all of this."""
        assert self.only.verdict is Verdict.ESCALATED
        [mail] = self.mails
        assert [text for text in texts if text not in mail] == []
        assert "Nothing was changed." in mail


@contextmanager
def _watched(world: World, toml: str, minutes: float) -> Iterator[Night]:
    """Everything is well, and was for a while; and nothing is ever written."""
    with Deployment(world, toml) as nightshift:
        nightshift.resume()
        on = Night(world, nightshift)
        on.minutes(minutes)
        assert [each for each in nightshift.all if not each.scratch.get("blind")] == []
        yield on
        assert [each for each in world.trail.of(writes=True) if each.principal.role_arn] == []
        assert failures(world) == ()


@contextmanager
def uploading(
    *others: str, thin: bool = True, mode: str = "auto", before: Callable[[DocumentUploads], object] = id
) -> Iterator[tuple[Night, DocumentUploads]]:
    """People upload documents, and have for forty minutes."""
    with World(NIGHT, thin=thin) as world:
        system = DocumentUploads(world)
        before(system)
        world.run(timedelta(minutes=40))
        with _watched(world, uploads_configuration(system, *others, mode=mode), 5) as on:
            yield on, system


@contextmanager
def kept(
    *others: str, thin: bool = True, mode: str = "auto", said: bool = True
) -> Iterator[tuple[Night, GuardedTable]]:
    """A table is as it must be."""
    with World(NIGHT, thin=thin) as world:
        table = GuardedTable(world)
        with _watched(world, table_configuration(table, *others, mode=mode, said=said), 20) as on:
            yield on, table


# -- uploads -----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.7", UPLOADS)
@pytest.mark.parametrize("thin", [True, False])
def test_a_page_that_cors_no_longer_lets_upload_is_told_with_the_rule_that_is_missing(thin: bool) -> None:
    """Somebody has set the rules for another page: browsers ask, are refused, and upload nothing."""
    with uploading(thin=thin) as (on, system):
        system.rules = ({"AllowedOrigins": ["https://old.example.com"], "AllowedMethods": ["PUT"]},)
        on.until(lambda: on.world.mail)
        on.told(
            "SEV2",
            f"no CORS rule names {ORIGIN}".replace("https", "hxxps"),  # as mails defuse every link
            "aws s3api get-bucket-cors --bucket dms-documents-prod (read only)",
            "aws s3api put-bucket-cors --bucket dms-documents-prod",
        )
        if thin:
            on.minutes(120)
            assert len(on.world.mail) == 1


@pytest.mark.scenario("3.7", UPLOADS)
def test_a_function_that_signs_nothing_is_told_first() -> None:
    """Also where nobody counts what comes to the bucket."""
    with uploading(before=lambda system: setattr(system, "counted", False)) as (on, system):
        system.failing = 0.5
        on.until(lambda: any("which signs its URLs, fail" in mail for mail in on.mails))
        assert "aws logs tail /aws/lambda/dms-init-upload-prod" in on.mails[-1]


@pytest.mark.scenario("3.7", UPLOADS)
def test_urls_that_end_before_they_are_used_are_told_with_what_to_look_for() -> None:
    """The page signs when it is opened, and people take their time: S3 says 403, and CORS is not blamed."""
    with uploading() as (on, system):
        system.used_after = timedelta(minutes=40)
        on.until(lambda: on.world.mail)
        on.told(
            "50 % of the requests to it are refused (4xx)",
            "its URLs are signed for 15 minutes",
            "the largest upload of a day had 2.5 MiB",
            "nobody logs what it answers",
            "sign one when the upload begins",
        )
        assert "put-bucket-cors" not in on.mails[0]


@pytest.mark.scenario("3.7", UPLOADS)
def test_uploads_that_never_arrive_are_told_though_nothing_is_counted() -> None:
    """A proxy lets nobody through: URLs are signed, and S3 hears of nothing."""
    with uploading() as (on, system):
        system.cut = True
        on.until(lambda: on.world.mail)
        on.told("URLs were signed in 15 minutes, and nothing was uploaded", "the page, or the network before it")


@pytest.mark.scenario("3.7", UPLOADS)
def test_requests_that_s3_turns_away_are_told_as_its_own() -> None:
    """503 Slow Down: no rule of the bucket's is looked for."""
    with uploading() as (on, system):
        system.slow_down = True
        on.until(lambda: on.world.mail)
        on.told("fail in S3 (5xx)", "503 Slow Down", "Have whatever uploads try again")


@pytest.mark.scenario("3.7", UPLOADS)
def test_what_the_bucket_itself_refuses_is_told_once_by_whom_it_belongs_to() -> None:
    """Its key is disabled: s3-access-denied says so, and nobody hears of it twice."""
    with uploading(REFUSING) as (on, system):
        system.key = "Disabled"
        on.until(lambda: on.world.mail)
        on.minutes(120)
        [mail] = on.mails
        assert "its default key" in mail
        assert "is Disabled" in mail
        [told] = [each for each in on.nightshift.all if not each.open]
        assert told.remediation == REFUSING


@pytest.mark.scenario("3.7", UPLOADS)
def test_a_burst_of_failures_and_a_night_without_uploads_are_not_told() -> None:
    """A minute of it is over before anybody could look; and nobody uploads at night."""
    with uploading() as (on, system):
        system.used_after = timedelta(minutes=40)
        on.minutes(1)
        system.heal()
        on.minutes(60)
        system.uploads = 0
        on.minutes(120)
        assert on.mails == []


@pytest.mark.scenario("3.7", UPLOADS)
def test_a_bucket_whose_requests_nobody_counts_is_unknown_and_said_to_be() -> None:
    """Not well: with the command that has them counted."""
    with uploading(before=lambda system: setattr(system, "counted", False)) as (on, _):
        on.until(lambda: on.world.mail, 600)
        assert on.only.verdict is Verdict.UNVERIFIABLE
        assert "nobody counts the requests to dms-documents-prod" in on.mails[0]
        assert "put-bucket-metrics-configuration" in on.mails[0]


@pytest.mark.scenario("3.7", UPLOADS)
def test_rules_that_may_not_be_read_are_said_to_be_unread() -> None:
    """CORS is neither the cause nor ruled out."""
    with uploading() as (on, system):
        system.unreadable = True
        system.used_after = timedelta(minutes=40)
        on.until(lambda: on.world.mail)
        on.told("its CORS rules cannot be read: s3:GetBucketCORS is denied to Nightshift too")


# -- a table -----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("1.30", SUSPICIOUS)
@pytest.mark.parametrize("thin", [True, False])
def test_a_table_that_was_opened_and_unprotected_wakes_people_with_who_did_it(thin: bool) -> None:
    """At the highest severity, once; whatever the modes allow, it stays as it is."""
    with kept(thin=thin) as (on, table):
        table.unprotect()
        table.let_in("999999999999")
        on.until(lambda: on.world.mail)
        on.told(
            "SEV1",
            "opendata-pulse-prod: its deletion protection is off; its policy lets account 999999999999 in",
            "PutResourcePolicy by arn:aws:iam::123456789012:user/mallory at 2026-11-19 01:2",
            "it could be put back to any time from",
            "aws dynamodb delete-resource-policy",
            "tell the security team first",
        )
        assert on.only.severity is Severity.SEV1
        assert "IGNORE ALL" not in on.mails[0]
        assert table.stranger
        if thin:
            on.minutes(300)
            assert len(on.world.mail) == 1


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_a_table_that_is_gone_is_told_with_what_it_could_be_put_back_from() -> None:
    """Deleted by somebody: nothing is put back."""
    with kept() as (on, table):
        table.delete()
        on.until(lambda: on.world.mail)
        on.told("there is no such table", "DeleteTable by arn:aws:iam::123456789012:user/mallory", "list-backups")


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_a_table_that_nobody_can_read_any_more_needs_nobody_to_have_said_so() -> None:
    """Its key was disabled."""
    with kept(said=False) as (on, table):
        table.disable_key()
        on.until(lambda: on.world.mail)
        on.told("nobody can read it: its key is disabled, deleted or denied to DynamoDB", "DisableKey by")


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_items_that_were_deleted_are_told_once_dynamodb_has_counted() -> None:
    """Every six hours; who did it CloudTrail's history does not have, and that is said."""
    with kept(said=False) as (on, table):
        table.wipe(0.8)
        on.until(lambda: on.world.mail, 420)
        on.told(
            "it has lost more than 50 % of what its backup before-v2 of 2026-11-17",
            "CloudTrail names nobody",
            "Put it back beside itself",
        )
        assert on.world.now >= NIGHT + timedelta(hours=5)


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_items_that_expire_by_another_attribute_are_told_and_what_is_added_is_told_again() -> None:
    """What looks worse by now is told at once, and not a day later."""
    with kept() as (on, table):
        table.expire("created")
        on.until(lambda: on.world.mail)
        on.told("its items expire by created, and should by expires")
        table.let_in("999999999999")
        on.until(lambda: len(on.world.mail) == 2)
        assert "lets account 999999999999 in" in on.mails[1]


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_what_was_put_right_is_over_and_told_anew_when_it_comes_back() -> None:
    """An hour later somebody does it again."""
    with kept() as (on, table):
        table.unprotect()
        on.until(lambda: on.world.mail)
        table.put_right()
        on.minutes(60)
        assert len(on.world.mail) == 1
        table.unprotect()
        on.until(lambda: len(on.world.mail) == 2)


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_what_nobody_has_said_and_what_shrinks_a_little_are_no_suspicion() -> None:
    """Without a word in the configuration, a table may be unprotected; and a third of it may go."""
    with kept(said=False) as (on, table):
        table.unprotect()
        table.expire("")
        table.wipe(0.3)
        on.minutes(600)
        assert on.nightshift.all == []


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_backups_that_are_off_are_told_once_by_whom_they_belong_to() -> None:
    """Alone, and where no new backup was made, they are backup-stale's."""
    with kept(STALE) as (on, table):
        table.backups.clear()
        table.stop_backups()
        on.until(lambda: on.world.mail, 120)
        on.minutes(60)
        [mail] = on.mails
        assert "has no continuous backups, and none of the last 7 days" in mail
        [told] = [each for each in on.nightshift.all if not each.open]
        assert told.remediation == STALE


@pytest.mark.scenario("1.30", SUSPICIOUS)
def test_what_may_not_be_read_is_unknown_and_neither_well_nor_a_breach() -> None:
    """Its policy: said as what could not be seen, and not as a sign."""
    with kept() as (on, _):
        on.world.faults.add(Kind.DENIED, "dynamodb.GetResourcePolicy", times=None)
        on.until(lambda: on.world.mail, 600)
        assert on.only.verdict is Verdict.UNVERIFIABLE
        assert "GetResourcePolicy" in on.mails[0]
