"""
The archive (runbook 0, "Backup and Recovery"): what of it is put back and when, and what is only told.

Whatever happens, nothing is written over what somebody wrote since, and no more than a few objects are touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from nightshift.aws import Serial
from nightshift.cli.app import app
from nightshift.cli.context import Context
from nightshift.model import Incident, Severity, Verdict
from typer.testing import CliRunner

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.backups import Backups, backup_table
from sandbox.systems.transient_trigger import FIELDS, TransientTrigger, archive_configuration
from sandbox.world import World

LOST = "archive-object-lost"
FREE = {"auto_restore": "enabled"}
"""the tag without which a person is asked"""


@dataclass(frozen=True)
class Night:
    """The email distribution system, and Nightshift switched on."""

    world: World
    system: TransientTrigger
    nightshift: Deployment

    def of(self, name: str) -> Incident:
        """The one incident of a remediation."""
        [incident] = self.nightshift.of(name)
        return incident

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, name: str = LOST, limit: float = 8 * 60) -> None:
        """Let time pass until every incident of a remediation has ended, of which there is at least one."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self._settled(name):
            self.minutes(1)
        assert self._settled(name)

    def _settled(self, name: str) -> bool:
        found = self.nightshift.of(name)
        return bool(found) and not any(each.open for each in found)


@contextmanager
def night(
    settings: str = "", *, thin: bool = True, mode: str = "auto", versioned: bool = True, more: str = ""
) -> Iterator[Night]:
    """A night on which one change was processed as it should be."""
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world, versioned=versioned)
        system.tag(**FREE)
        tables = f'[remediations.{LOST}]\nmode = "auto"\n{settings}\n{more}\n'
        with Deployment(world, archive_configuration(system, tables, mode=mode)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            system.submit(change="CHG-0")
            on.minutes(20)
            assert nightshift.incidents.open_ids(limit=1) == []
            yield on
            assert system.twice == []
            assert failures(world) == ()


# -- put back ----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.23", "archive-object-lost")
@pytest.mark.scenario("3.16", "archive-object-lost")
@pytest.mark.parametrize("thin", [True, False])
def test_an_object_that_was_deleted_is_put_back(thin: bool) -> None:
    """Its newest version is copied to where it stood: all that was done about the change is known again."""
    with night(thin=thin) as on:
        before = on.system.archived("CHG-0")
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert on.of(LOST).verdict is Verdict.FIXED
        assert on.system.archived("CHG-0") == before
        assert on.written == ["s3.CopyObject"]


@pytest.mark.scenario("0.23", "archive-object-lost")
@pytest.mark.parametrize("thin", [True, False])
def test_an_object_that_cannot_be_read_is_replaced_by_the_version_before(thin: bool) -> None:
    """Whatever was written over it stays a version of it."""
    with night(thin=thin) as on:
        before = on.system.archived("CHG-0")
        on.system.write("archive/CHG-0.json", b'{"changeId": "CHG-0", "modif')
        on.until_settled()
        assert on.of(LOST).verdict is Verdict.FIXED
        assert on.system.archived("CHG-0") == before


def test_versions_that_cannot_be_read_either_are_passed_over() -> None:
    """The newest that can be read is put back, however often it was written over since."""
    with night() as on:
        before = on.system.archived("CHG-0")
        for broken in (b"[]", b'{"modifications": []}', b""):
            on.system.write("archive/CHG-0.json", broken)
            on.minutes(0.2)
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert on.of(LOST).verdict is Verdict.FIXED
        assert on.system.archived("CHG-0") == before


# -- not without leave -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.23", "archive-object-lost")
@pytest.mark.parametrize("yes", [True, False])
def test_a_person_is_asked_unless_the_bucket_says_otherwise(yes: bool) -> None:
    """The modes allow it, and yet: a deletion may have been meant."""
    with night() as on:
        on.system.tag()
        on.system.remove("archive/CHG-0.json")
        on.minutes(8)
        asked = on.of(LOST)
        assert on.written == []
        assert asked.approval is not None
        on.nightshift.answer(asked, yes=yes, why="seen")
        on.until_settled()
        assert on.of(LOST).verdict is (Verdict.FIXED if yes else Verdict.REFUSED)
        assert on.written == (["s3.CopyObject"] if yes else [])


def test_where_it_is_only_watched_the_report_names_what_would_be_put_back() -> None:
    """In mode observe nothing is written."""
    with night(mode="observe") as on:
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert (on.of(LOST).verdict, on.written) == (Verdict.REFUSED, [])
        assert "archive/CHG-0.json" in on.world.mail[-1].text


def test_a_protected_bucket_is_left_alone() -> None:
    """The tag says so, whoever else says what."""
    with night() as on:
        on.system.tag(**FREE, protected="true")
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert (on.of(LOST).verdict, on.written) == (Verdict.REFUSED, [])


# -- not ours ----------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.23", "archive-object-lost")
def test_a_prefix_that_was_deleted_is_told_at_once_and_nothing_is_synced() -> None:
    """More than a few at once are no accident of one object: it is told at the highest severity."""
    with night() as on:
        for number in range(1, 5):
            on.system.submit(change=f"CHG-{number}")
        on.minutes(10)
        for number in range(5):
            on.system.remove(f"archive/CHG-{number}.json")
        on.until_settled()
        incident = on.of(LOST)
        assert (incident.verdict, incident.severity) == (Verdict.ESCALATED, Severity.SEV1)
        assert on.written == []
        assert "not sync a backup over the archive" in on.world.mail[-1].text


def test_without_versions_what_cannot_be_read_is_told() -> None:
    """Nothing can be put back; the report says what would have helped."""
    with night(versioned=False) as on:
        on.system.write("archive/CHG-0.json", b"")
        on.until_settled()
        assert (on.of(LOST).verdict, on.written) == (Verdict.ESCALATED, [])
        assert "Switch the bucket's versions on" in on.world.mail[-1].text


@contextmanager
def backed_up(*, thin: bool = True, versioned: bool = True) -> Iterator[tuple[Night, Backups]]:
    """A night on which the archive has been backed up."""
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world, versioned=versioned)
        system.tag(**FREE)
        backups = Backups(system)
        due = '[remediations.archive-backup-due]\nmode = "auto"\nbatch = 2\n'
        toml = archive_configuration(system, f'[remediations.{LOST}]\nmode = "auto"\n{due}').rstrip()
        with Deployment(world, toml + backup_table(backups)) as nightshift:
            on = Night(world, system, nightshift)
            system.submit(change="CHG-0")
            on.minutes(10)
            nightshift.resume()
            on.until_settled("archive-backup-due")
            assert backups.complete
            yield on, backups
            assert failures(world) == ()


@pytest.mark.scenario("0.23", "archive-object-lost")
@pytest.mark.scenario("3.16", "archive-object-lost")
@pytest.mark.parametrize("thin", [True, False])
def test_an_object_of_which_no_version_is_left_comes_from_the_backup(thin: bool) -> None:
    """A rule has deleted what stood there before: its copy of the newest complete run is put in its place."""
    with backed_up(thin=thin) as (on, backups):
        before = on.system.archived("CHG-0")
        done = len(on.written)
        on.system.write("archive/CHG-0.json", "no list")
        on.system.forget("archive/CHG-0.json")
        on.until_settled()
        assert on.of(LOST).verdict is Verdict.FIXED
        assert on.system.archived("CHG-0") == before
        assert on.written[done:] == ["s3.CopyObject"]
        source = f"{backups.bucket}/changes/objects/{backups.complete[-1]}/archive/CHG-0.json"
        assert on.world.trail.of("s3.CopyObject")[-1].params["CopySource"] == source


@pytest.mark.scenario("0.23", "archive-object-lost")
def test_where_no_versions_are_kept_the_copy_is_named_and_nothing_written_over() -> None:
    """What stands there cannot be read, and would be gone: whoever puts the copy back decides that."""
    with backed_up(versioned=False) as (on, backups):
        done = len(on.written)
        on.system.write("archive/CHG-0.json", "no list")
        on.until_settled()
        found = on.of(LOST)
        assert found.verdict is Verdict.ESCALATED
        assert found.diagnosis is not None
        assert f"changes/objects/{backups.complete[-1]}/archive/CHG-0.json" in found.diagnosis.advice[0]
        assert on.written[done:] == []


def test_an_object_of_which_no_version_can_be_read_is_told() -> None:
    """An audit that finds nothing to go by leaves it to the backup, and to a person."""
    with night() as on:
        on.system.write("archive/CHG-9.json", b"?")
        on.until_settled()
        assert (on.of(LOST).verdict, on.written) == (Verdict.ESCALATED, [])
        assert "from the backup" in on.world.mail[-1].text


def test_nothing_is_put_back_where_others_are_told_of_it() -> None:
    """Whoever is told of what is written to the archive would process the copy: that is for a person."""
    with night() as on:
        told: dict[str, Any] = {
            "Id": "all",
            "QueueArn": on.system.lines["hts"].queue_arn,
            "Events": ["s3:ObjectCreated:*"],
        }
        told["Filter"] = {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".json"}]}}
        on.world.client("s3").put_bucket_notification_configuration(
            Bucket=on.system.bucket, NotificationConfiguration={"QueueConfigurations": [told]}
        )
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert (on.of(LOST).verdict, on.written) == (Verdict.ESCALATED, [])


# -- others are at it --------------------------------------------------------------------------------------------------


def test_what_somebody_wrote_meanwhile_is_not_written_over() -> None:
    """Between the look and the deed a person restores it, with more in it: S3 itself refuses the copy."""
    with night() as on:
        document = on.system.archived("CHG-0") | {"restored": "by hand"}
        assumed: list[Any] = []

        def meanwhile(call: Any, _answer: Any) -> None:
            assumed.append(call)
            if len(assumed) == 1:
                on.system.write("archive/CHG-0.json", document)

        on.world.seam.after("sts", "AssumeRole", meanwhile)
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert assumed
        assert on.system.archived("CHG-0") == document
        assert on.of(LOST).verdict is Verdict.RECOVERED


def test_what_is_deleted_again_is_told_in_the_end() -> None:
    """Somebody deletes it as often as it is put back: that is not ours to win."""
    with night() as on:
        copies: list[Any] = []

        def again(call: Any, _answer: Any) -> None:
            copies.append(call)
            on.world.at(timedelta(seconds=30), lambda: on.system.remove("archive/CHG-0.json"))

        on.world.seam.after("s3", "CopyObject", again)
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        assert on.of(LOST).verdict is Verdict.ESCALATED
        assert len(copies) == 3


# -- audited -----------------------------------------------------------------------------------------------------------

BROKEN = "archive-broken"
AUDIT = f'[remediations.{BROKEN}]\n{FIELDS}customers_field = "customers"\nsubmitted = "submitted"\n'


@pytest.mark.scenario("0.15", "archive-broken")
@pytest.mark.parametrize("thin", [True, False])
def test_a_change_that_nobody_processed_and_nobody_waits_for_is_told(thin: bool) -> None:
    """Its event was lost and its trigger is gone: after an hour nobody would ever hear of it again."""
    with night(thin=thin, more=AUDIT) as on:
        on.system.lose("hts")
        change = on.system.submit()
        on.minutes(10)
        on.system.remove(f"customers/hts/{change}.json")
        on.minutes(40)
        assert on.nightshift.of(BROKEN) == []
        on.until_settled(BROKEN)
        assert on.of(BROKEN).verdict is Verdict.ESCALATED
        told = " ".join(on.world.mail[-1].text.split())
        assert f"archive/{change}.json: neither processed nor triggered for hts" in told
        assert "customer-hts-changes-dlq: 0 messages" in told
        assert "versions of the bucket: enabled" in told
        assert "replication of the bucket: none" in told
        assert on.written == []


@pytest.mark.scenario("0.15", "archive-broken")
def test_a_trigger_without_a_change_is_told() -> None:
    """Whoever wrote it did not write the change first."""
    with night(more=AUDIT) as on:
        on.system.lose("hts")
        on.system.write("customers/hts/CHG-77.json", {"changeId": "CHG-77"})
        on.until_settled(BROKEN)
        assert "CHG-77.json: a trigger, and no object in the archive for hts" in " ".join(
            on.world.mail[-1].text.split()
        )


def test_a_change_whose_trigger_stands_is_the_triggers_business() -> None:
    """Nothing is lost of it yet: it is stuck, which others tell of."""
    with night(more=AUDIT) as on:
        on.system.lose("hts")
        on.system.submit()
        on.minutes(3 * 60)
        assert on.nightshift.of(BROKEN) == []


def test_what_was_lost_and_put_back_is_not_told_by_the_audit() -> None:
    """Whoever puts it back has an hour for it."""
    with night(more=AUDIT) as on:
        on.system.remove("archive/CHG-0.json")
        on.until_settled()
        on.minutes(2 * 60)
        assert on.nightshift.of(BROKEN) == []


# -- how far one change got --------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.6", "verify-change")
@pytest.mark.parametrize("thin", [True, False])
def test_whoever_asks_is_told_how_far_a_change_got_for_each_customer(thin: bool, tmp_path: Path) -> None:
    """One customer's event was lost: first it is in flight, then stuck; the other's is done. Nothing is written."""
    with night(thin=thin, more=AUDIT, mode="observe") as on:
        config = tmp_path / "changes.toml"
        text = archive_configuration(on.system, f"[remediations.{LOST}]\n{AUDIT}", mode="observe")
        config.write_text(text, encoding="utf-8")
        on.system.lose("hts")
        change = on.system.submit()

        def asked() -> tuple[int, dict[str, str]]:
            context = Context(session=lambda _: boto3.Session(), run=Serial(), clock=lambda: on.world.now)
            words = ["verify-change", change, "--config", str(config), "--json"]
            result = CliRunner(env={"NIGHTSHIFT_DEPLOYMENT": None}).invoke(app, words, obj=context)
            [bucket] = json.loads(result.stdout)["buckets"]
            return result.exit_code, {each["customer"]: each["verdict"] for each in bucket["customers"]}

        on.minutes(5)
        assert asked() == (1, {"hts": "in flight", "htsnonprod": "done"})
        on.minutes(15)
        assert asked() == (1, {"hts": "stuck", "htsnonprod": "done"})
        on.system.lose_no_more()
        on.system.submit("hts", change=change)
        on.minutes(16)
        assert asked() == (1, {"hts": "done", "htsnonprod": "stuck"})  # handed in again, and sent to one of them alone
        assert on.written == []
