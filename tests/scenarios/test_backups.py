"""
The daily backup of an archive (runbook 0, "Daily Archive Backup"): every object, in another bucket, with a manifest.

What calls itself complete is; nothing is ever pruned; and where the archive shrinks, people hear of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from nightshift.model import Incident, Verdict

from sandbox.deployment import Deployment
from sandbox.scenes import NIGHT, failures
from sandbox.systems.backups import PREFIX, Backups, backup_table
from sandbox.systems.transient_trigger import TransientTrigger, archive_configuration
from sandbox.world import World

DUE = "archive-backup-due"
DAY = 26 * 60
"""minutes after which a backup is due, about"""


@dataclass(frozen=True)
class Night:
    """The email distribution system with a bucket for backups, and Nightshift switched on."""

    world: World
    system: TransientTrigger
    backups: Backups
    nightshift: Deployment

    @property
    def incidents(self) -> list[Incident]:
        """Those of the backup, the oldest first."""
        return sorted(self.nightshift.of(DUE), key=lambda each: each.opened_at)

    @property
    def written(self) -> set[str]:
        """What was changed under any incident's name, or may have been."""
        return {each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn}

    @property
    def archive(self) -> dict[str, Any]:
        """What stands in the archive."""
        s3, bucket = self.world.client("s3"), self.system.bucket
        found = s3.list_objects_v2(Bucket=bucket, Prefix="archive/").get("Contents", ())
        bodies = {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"] for each in found}
        return {key: body if isinstance(body, bytes) else body.read() for key, body in bodies.items()}

    def fill(self, count: int, start: int = 0) -> None:
        """So many changes stand in the archive."""
        for number in range(start, start + count):
            document = {"changeId": f"OLD-{number:04d}", "modifications": [{"modificationType": "processed"}]}
            self.system.write(f"archive/OLD-{number:04d}.json", document)

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until_settled(self, count: int = 1, limit: float = 30 * 60) -> None:
        """Let time pass until so many incidents have ended, and none is open."""
        end = self.world.now + timedelta(minutes=limit)
        while self.world.now < end and not self._settled(count):
            self.minutes(1)
        assert self._settled(count)

    def _settled(self, count: int) -> bool:
        return len(self.incidents) >= count and not any(each.open for each in self.incidents)


@contextmanager
def night(
    settings: str = "", *, thin: bool = True, mode: str = "auto", count: int = 5, made: bool = True
) -> Iterator[Night]:
    """A night on which so many changes stand in the archive, and none was ever backed up."""
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world, versioned=True)
        backups = Backups(system)
        tables = f'[remediations.{DUE}]\nmode = "auto"\n{settings}\n'
        config = archive_configuration(system, tables, mode=mode).rstrip() + backup_table(backups)
        config = config if made else config.replace(backups.bucket, "not-there")
        with Deployment(world, config) as nightshift:
            nightshift.resume()
            on = Night(world, system, backups, nightshift)
            on.fill(count)
            yield on
            for run in backups.complete:
                assert backups.wrong(run) == []
            assert failures(world) == ()


# -- made --------------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.22", "archive-backup-due")
@pytest.mark.parametrize("thin", [True, False])
def test_an_archive_that_was_never_backed_up_is_copied_whole(thin: bool) -> None:
    """In parts, a tick each; what is complete holds every object as it stands in the archive, and says how many."""
    with night("batch = 2", thin=thin) as on:
        on.until_settled()
        [incident] = on.incidents
        assert incident.verdict is Verdict.FIXED
        [run] = on.backups.complete
        assert run == incident.id
        assert on.backups.copies(run) == on.archive
        assert on.written == {"s3.CopyObject", "s3.PutObject"}
        told = on.world.mail[-1].text
        assert "versions of the bucket: enabled" in told
        assert "replication of the bucket: none" in told


@pytest.mark.scenario("0.22", "archive-backup-due")
def test_it_is_made_once_a_day_and_the_old_ones_are_kept() -> None:
    """What is new is in the new run; nothing of the old one is touched."""
    with night() as on:
        on.until_settled()
        first = on.backups.copies(on.backups.complete[0])
        on.fill(3, start=5)
        on.minutes(DAY - 60)
        assert len(on.incidents) == 1
        on.until_settled(2)
        assert [each.verdict for each in on.incidents] == [Verdict.FIXED, Verdict.FIXED]
        old, new = on.backups.complete
        assert on.backups.copies(old) == first
        assert on.backups.copies(new) == on.archive


# -- told --------------------------------------------------------------------------------------------------------------


@pytest.mark.scenario("0.22", "archive-backup-due")
def test_an_archive_that_shrinks_is_backed_up_and_told() -> None:
    """More than one in a hundred is gone since yesterday: the new run stands beside the old one, and it is told."""
    with night(count=10) as on:
        on.until_settled()
        on.system.remove("archive/OLD-0003.json")
        on.until_settled(2)
        second = on.incidents[1]
        assert second.verdict is Verdict.ESCALATED
        assert "the archive holds 9 objects, and held 10 at" in second.why
        assert "Delete no earlier run" in " ".join(on.world.mail[-1].text.split())
        old, new = on.backups.complete
        assert (len(on.backups.copies(old)), len(on.backups.copies(new))) == (10, 9)
        on.until_settled(3)  # and the next day's is made all the same
        assert on.incidents[2].verdict is Verdict.FIXED


@pytest.mark.scenario("0.22", "archive-backup-due")
def test_an_archive_in_which_nothing_stands_is_told_and_never_called_backed_up() -> None:
    """An empty listing is not a whole archive: somebody deleted it, or the prefix is wrong."""
    with night(count=0) as on:
        on.until_settled()
        assert on.incidents[0].verdict is Verdict.ESCALATED
        assert on.backups.keys == []


def test_a_bucket_that_does_not_exist_is_told() -> None:
    """Nobody makes it but people."""
    with night(made=False) as on:
        on.until_settled()
        assert on.incidents[0].verdict is Verdict.ESCALATED
        assert "not-there, into which it is backed up, does not exist" in " ".join(on.world.mail[-1].text.split())


# -- while it is written to --------------------------------------------------------------------------------------------


def test_what_is_written_while_it_is_copied_is_copied_as_it_is_then() -> None:
    """S3 refuses to copy what was written since it was listed; it is listed again."""
    with night(count=4) as on:
        listed: list[Any] = []

        def meanwhile(call: Any, _answer: Any) -> None:
            if call.principal.role_arn and not listed:
                listed.append(call)
                on.system.write("archive/OLD-0002.json", {"changeId": "OLD-0002", "modifications": [], "more": "new"})
                on.system.remove("archive/OLD-0003.json")

        on.world.seam.after("s3", "ListObjectsV2", meanwhile)
        on.until_settled()
        assert listed
        [run] = on.backups.complete
        assert on.backups.copies(run) == on.archive
        assert len(on.archive) == 3


def test_a_copy_that_is_gone_before_it_was_compared_makes_the_attempt_a_failure() -> None:
    """Somebody deletes from the backup as it is made: that run is not called complete, and people are told."""
    with night("max_attempts = 1") as on:

        def spoil(call: Any, _answer: Any) -> None:
            if "manifests/" in call.params["Key"]:
                on.backups.remove(f"{PREFIX}objects/{on.incidents[0].id}/archive/OLD-0001.json")

        on.world.seam.after("s3", "PutObject", spoil)
        on.until_settled()
        assert on.incidents[0].verdict is Verdict.ESCALATED
        assert on.backups.complete == []
        assert "archive/OLD-0001.json" in on.incidents[0].why


# -- not without leave -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("yes", [True, False])
def test_where_a_person_is_asked_nothing_is_copied_before(yes: bool) -> None:
    """In mode approve."""
    with night(mode="approve") as on:
        on.minutes(8)
        assert on.written == set()
        on.nightshift.answer(on.incidents[0], yes=yes, why="seen")
        on.until_settled()
        assert on.incidents[0].verdict is (Verdict.FIXED if yes else Verdict.REFUSED)
        assert len(on.backups.complete) == yes


def test_where_it_is_only_watched_nothing_is_copied() -> None:
    """The report says what would be."""
    with night(mode="observe") as on:
        on.until_settled()
        assert (on.incidents[0].verdict, on.written, on.backups.keys) == (Verdict.REFUSED, set(), [])
        assert "objects a tick" in " ".join(on.world.mail[-1].text.split())


def test_a_protected_bucket_is_left_alone() -> None:
    """The tag says so, whoever else says what."""
    with night() as on:
        on.system.tag(protected="true")
        on.until_settled()
        assert (on.incidents[0].verdict, on.written) == (Verdict.REFUSED, set())


def test_the_kill_switch_stops_it_and_no_run_is_called_complete() -> None:
    """What was copied by then stays; the next incident begins a run of its own."""
    with night("batch = 1", count=8) as on:
        while not on.backups.keys:
            on.minutes(1)
        on.nightshift.pause("the storage team asked us to stop")
        on.minutes(3)
        many = len(on.backups.keys)
        on.minutes(10)
        assert (len(on.backups.keys), on.backups.complete) == (many, [])
        on.nightshift.resume()
        on.until_settled()
        [run] = on.backups.complete
        assert on.backups.copies(run) == on.archive
        assert json.loads(on.backups.body(f"{PREFIX}complete/{run}.8.{sum(map(len, on.archive.values()))}.json"))
