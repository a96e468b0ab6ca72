"""
What people are about to change is backed up for whoever asks, before they change it.

Played in the thin cloud, except for the one night that is told whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Incident, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.aurora import AuroraDatabase
from sandbox.systems.upkeep import UpkeepSystem
from sandbox.world import World


@dataclass(frozen=True)
class Night:
    """A table, a cluster, and somebody who is about to change them."""

    world: World
    upkeep: UpkeepSystem
    database: AuroraDatabase
    nightshift: Deployment

    @property
    def incident(self) -> Incident:
        """The one backup that was asked for."""
        [incident] = self.nightshift.of("backup-on-demand")
        return incident

    @property
    def backups(self) -> list[str]:
        """How each backup of the table is, by its name."""
        return [f"{each['BackupName']} {each['BackupStatus']}" for each in self.upkeep.table.backups]

    @property
    def told(self) -> list[str]:
        """What was mailed, by its first words."""
        return [(mail.subject or "").partition(": ")[0] for mail in self.world.mail]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))


@contextmanager
def night(*, thin: bool = True, mode: str = "auto", more: str = "") -> Iterator[Night]:
    """A calm night until now."""
    with World(NIGHT, thin=thin) as world:
        upkeep, database = UpkeepSystem(world), AuroraDatabase(world)
        toml = f"""
            name = "demo"
            account = "{world.account}"
            region = "{world.region}"
            [notify]
            emails = ["oncall@example.com"]
            [remediations.backup-on-demand]
            mode = "{mode}"
            [[systems]]
            name = "pulse"
            [[systems.targets]]
            arn = "{upkeep.table.arn}"
            mode = "auto"
            {more}
            [[systems.targets]]
            arn = "{database.arn}"
            mode = "auto"
        """
        with Deployment(world, "\n".join(line.strip() for line in toml.splitlines())) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=2))
            yield Night(world, upkeep, database, nightshift)
            assert failures(world) == ()


@pytest.mark.scenario("1.19", "backup-on-demand")
@pytest.mark.parametrize("thin", [True, False], ids=["thin", "full"])
def test_a_table_is_backed_up_before_somebody_changes_its_schema(*, thin: bool) -> None:
    """Made once; said when it can be put back from it, and not before; with how to delete it."""
    with night(thin=thin) as on:
        asked = on.nightshift.back_up(on.upkeep.table.arn, "another sort key")
        assert asked is not None
        on.minutes(10)
        assert on.incident.verdict is Verdict.FIXED
        [made] = on.backups
        assert made.endswith(" AVAILABLE")
        assert on.told == ["DONE"]
        [mail] = on.world.mail
        assert "another sort key" in mail.text
        assert "aws dynamodb delete-backup" in mail.text
        assert on.upkeep.table.backups[0]["BackupArn"] in mail.text
        assert "Go on" in mail.text


@pytest.mark.scenario("1.19", "backup-on-demand")
@pytest.mark.scenario("2.20", "backup-on-demand")
def test_a_database_is_snapshotted_and_it_is_told_when_that_is_available() -> None:
    """A snapshot takes minutes: while it is being made nobody is told that it is there."""
    with night() as on:
        assert on.nightshift.back_up(on.database.arn) is not None
        on.minutes(3)
        assert len(on.database.cluster.snapshots) == 1
        assert on.told == []
        on.minutes(6)
        assert on.told == ["DONE"]
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_an_answer_that_is_lost_makes_no_second_one() -> None:
    """Names of a table's backups need not be unique: it looks for its own before it makes another."""
    with night() as on:
        on.world.faults.add(Kind.TIMEOUT_AFTER, "dynamodb.CreateBackup", times=1)
        on.nightshift.back_up(on.upkeep.table.arn)
        on.minutes(15)
        assert len(on.backups) == 1
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.19", "backup-on-demand")
@pytest.mark.parametrize("kind", [Kind.TIMEOUT_BEFORE, Kind.THROTTLED])
def test_a_backup_that_aws_did_not_let_in_is_asked_for_once_more(kind: Kind) -> None:
    """Nothing was sent, so no attempt is used up; a yes is for one try, and whoever waits hears of it at once."""
    with night() as on:
        on.world.faults.add(kind, "rds.CreateDBClusterSnapshot", times=1)
        on.nightshift.back_up(on.database.arn)
        on.minutes(5)
        assert on.database.cluster.snapshots == {}
        assert [said.partition(" by ")[0] for said in on.told] == ["APPROVE?"]
        assert on.nightshift.answer(on.incident, yes=True, why="still wanted")
        on.minutes(15)
        assert len(on.database.cluster.snapshots) == 1
        assert on.incident.verdict is Verdict.FIXED


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_a_backup_that_was_never_begun_is_told() -> None:
    """It may not be made: minutes later that is known, and whoever waits for it hears of it."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "rds.CreateDBClusterSnapshot", times=1)
        on.nightshift.back_up(on.database.arn)
        on.minutes(20)
        assert on.database.cluster.snapshots == {}
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.told == ["ESCALATED, needs you"]
        assert on.nightshift.back_up(on.database.arn) is not None
        on.minutes(10)
        assert len(on.database.cluster.snapshots) == 1


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_a_snapshot_that_fails_is_told_and_not_called_a_backup() -> None:
    """Whoever waits for it must not begin."""
    with night() as on:
        asked = on.nightshift.back_up(on.database.arn)
        on.world.run_until(lambda: bool(on.database.cluster.snapshots), timedelta(minutes=5))
        on.database.cluster.spoiled |= set(on.database.cluster.snapshots)
        on.minutes(10)
        assert asked is not None
        assert on.incident.verdict is Verdict.ESCALATED
        assert "FAILED" in on.incident.why
        assert on.told == ["ESCALATED, needs you"]


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_a_cluster_that_is_being_changed_is_waited_for() -> None:
    """RDS makes no snapshot of it: once it is available, it is made."""
    with night() as on:
        on.database.cluster.status = "modifying"
        assert on.nightshift.back_up(on.database.arn) is None
        on.database.cluster.status = "available"
        assert on.nightshift.back_up(on.database.arn) is not None
        on.database.cluster.status = "modifying"
        on.minutes(4)
        assert not on.database.cluster.snapshots
        on.database.cluster.status = "available"
        on.minutes(15)
        assert len(on.database.cluster.snapshots) == 1


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_of_two_people_at_once_the_second_is_told_of_the_first() -> None:
    """One is under way; once it is over, another one can be asked for."""
    with night() as on:
        assert on.nightshift.back_up(on.upkeep.table.arn) is not None
        assert on.nightshift.back_up(on.upkeep.table.arn) is None
        on.minutes(10)
        assert len(on.backups) == 1
        assert on.nightshift.back_up(on.upkeep.table.arn) is not None
        on.minutes(10)
        assert len(set(on.backups)) == 2


@pytest.mark.scenario("1.19", "backup-on-demand")
@pytest.mark.parametrize("mode, more", [("observe", ""), ("auto", "protected = true")], ids=["observed", "protected"])
def test_what_nightshift_may_not_touch_it_does_not_back_up(mode: str, more: str) -> None:
    """It costs money, and its name stands in somebody's list."""
    with night(mode=mode, more=more) as on:
        assert on.nightshift.back_up(on.upkeep.table.arn) is None
        on.minutes(5)
        assert (on.backups, on.nightshift.all) == ([], [])


@pytest.mark.scenario("1.19", "backup-on-demand")
def test_a_halted_nightshift_makes_none_and_goes_on_when_it_may() -> None:
    """Halted, nothing is written, whoever has asked for it."""
    with night() as on:
        on.nightshift.pause("all hands off", hard=True)
        on.nightshift.back_up(on.upkeep.table.arn)
        on.minutes(5)
        assert on.backups == []
        on.nightshift.resume()
        on.minutes(5)
        assert len(on.backups) == 1
