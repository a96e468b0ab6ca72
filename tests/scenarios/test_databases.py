"""
Databases that have reached their capacity (runbooks 2 and 3): what is lent and given back, and what is left to people.

Whatever happens, nothing is sent but a range of ACUs, and what waits for the maintenance window goes on waiting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift import loans
from nightshift.model import Incident, Phase, Severity, Verdict

from sandbox.databases import AuroraCluster
from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import NIGHT, failures
from sandbox.systems.aurora import (
    BACKUPS,
    CONNECTIONS,
    NAME,
    PRICE,
    AuroraDatabase,
    aurora_configuration,
    aurora_target,
)
from sandbox.systems.document_management import DocumentManagement
from sandbox.systems.lecture import Lecture
from sandbox.world import World

CALM, BUSY, FLOOD = 0.6, 2.8, 20.0
"""ACUs that the load needs, where the cluster may have two"""
PRICED = f"acu_dollars_per_hour = {PRICE}\n"
QUICK = PRICED + 'lease = "PT40M"\ncalm = "PT20M"\n'
MODIFIES = "rds.ModifyDBCluster"


@dataclass(frozen=True)
class Night:
    """A database, and Nightshift switched on."""

    world: World
    system: AuroraDatabase
    nightshift: Deployment
    documents: DocumentManagement | None = None

    @property
    def cluster(self) -> AuroraCluster:
        """The cluster itself."""
        return self.system.cluster

    @property
    def incident(self) -> Incident:
        """The one incident."""
        [incident] = self.nightshift.of(NAME)
        return incident

    @property
    def not_back(self) -> Incident:
        """The one incident that says of it that its loan is not back."""
        [own] = self.nightshift.of(loans.NAME)
        assert (own.links, self.incident.links) == ((self.incident.id,), (own.id,))
        return own

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name, or may have been."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    @property
    def maxima(self) -> list[float]:
        """To what the maximum was set, in order."""
        return [most for _, most in self.cluster.history]

    @property
    def told(self) -> str:
        """All that people were told."""
        return " ".join(" ".join(mail.text for mail in self.world.mail).split())

    @property
    def subjects(self) -> list[str]:
        """What was mailed, by its first words."""
        return [(mail.subject or "").partition(":")[0] for mail in self.world.mail]

    def release(self) -> None:
        """Somebody releases the service that uses the database, and that is over."""
        assert self.documents is not None
        self.world.images.push("dms-processor")
        self.documents.service.deploy()
        self.minutes(8)

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, phase: Phase, limit: float = 180) -> None:
        """Let time pass until an incident has come so far; one about a loan that is not back does not count."""

        def come() -> bool:
            return any(each.phase is phase for each in self.nightshift.all if each.remediation != loans.NAME)

        self.world.run_until(come, timedelta(minutes=limit))


@contextmanager
def night(
    settings: str = QUICK,
    *,
    thin: bool = True,
    mode: str = "auto",
    documents: bool = False,
    ceiling: float | None = None,
    dollars: float = 30,
    most: float = 2.0,
    readers: int = 1,
    serverless: bool = True,
) -> Iterator[Night]:
    """A calm night until now; with documents, whose processor uses the database."""
    with World(NIGHT, thin=thin) as world:
        others = DocumentManagement(world) if documents else None
        users: Sequence[str] = (others.service_arn,) if others is not None else ()
        system = AuroraDatabase(world, most=most, readers=readers, serverless=serverless)
        target = aurora_target(system, mode=mode, users=users, ceiling=ceiling)
        toml = aurora_configuration(target, world=world, settings=settings, dollars=dollars)
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift, others)
            on.minutes(20)
            assert nightshift.all == []
            yield on
            assert set(on.written) <= {MODIFIES}
            assert on.cluster.flushed == []
            assert failures(world) == ()


def only_ranges(on: Night) -> bool:
    """Whether every call that Nightshift made on the cluster sets a range, and nothing else."""
    calls = [each for each in on.world.trail.of(MODIFIES) if each.principal.role_arn]
    return all(set(each.params) == {"DBClusterIdentifier", "ServerlessV2ScalingConfiguration"} for each in calls)


# -- lent, and given back --------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.6", "aurora-saturated")
@pytest.mark.scenario("3.11", "aurora-saturated")
@pytest.mark.parametrize("thin", [True, False])
def test_a_database_under_load_is_lent_twice_its_maximum_and_gives_it_back(thin: bool) -> None:
    """CPU falls, that is proven, and when the load is over and the lease has ended the old maximum is set again."""
    with night(thin=thin) as on:
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        assert (on.cluster.least, on.cluster.most) == (0.5, 4.0)
        assert on.incident.verdict is Verdict.FIXED
        on.system.offer(CALM)
        on.until(Phase.CLOSED)
        assert (on.cluster.least, on.cluster.most) == (0.5, 2.0)
        assert on.incident.verdict is Verdict.FIXED
        assert on.maxima == [4.0, 2.0]
        assert on.written == [MODIFIES] * 2
        assert only_ranges(on)
        assert [part.partition(" until ")[0] for part in on.subjects] == ["FIXED, ON LEASE", "FIXED, lease returned"]


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_what_waits_for_a_reboot_is_told() -> None:
    """Aurora derives parameters from the maximum, and applies them when somebody reboots: nobody of us does."""
    with night() as on:
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        assert "parameters of dms-cluster-prod-0, dms-cluster-prod-1 wait for a reboot" in on.told


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_what_the_database_runs_on_is_not_taken_from_it() -> None:
    """The lease ends, and the load is still there: it stays, people hear that at once, and how it ended, and decide."""
    with night() as on:
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        on.until(Phase.CLOSED)
        assert on.cluster.most == 4.0
        assert on.incident.verdict is Verdict.ESCALATED
        assert on.maxima == [4.0]
        assert "has used up to 2.8 ACUs in the last 20 minutes, and 2 would be all" in on.told
        assert "make it permanent, or take it back by hand" in on.told
        assert "MinCapacity=0.5,MaxCapacity=2" in on.told
        assert (on.not_back.verdict, on.not_back.severity) == (Verdict.ESCALATED, Severity.SEV2)
        assert on.not_back.closed_at is not None
        assert on.incident.lease_ends is not None
        assert on.not_back.closed_at <= on.incident.lease_ends + timedelta(minutes=10)
        on.minutes(60)
        assert on.maxima == [4.0]
        assert [on.subjects[0].partition(" until ")[0], *on.subjects[1:]] == [
            "FIXED, ON LEASE",
            "ESCALATED, needs you",  # what was lent is still out
            "ESCALATED, needs you",  # Nightshift has stopped asking whether it may go back
        ]


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_a_database_that_becomes_calm_after_its_lease_gives_back_then() -> None:
    """It is asked again for an hour: most loads end. That it was out for longer was told, once."""
    with night() as on:
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        assert on.incident.lease_ends is not None
        on.minutes((on.incident.lease_ends - on.world.now) / timedelta(minutes=1) + 5)
        assert on.cluster.most == 4.0
        on.system.offer(CALM)
        on.until(Phase.CLOSED)
        assert (on.cluster.most, on.incident.verdict) == (2.0, Verdict.FIXED)
        assert on.not_back.verdict is Verdict.ESCALATED
        on.minutes(60)
        assert [on.subjects[0].partition(" until ")[0], *on.subjects[1:]] == [
            "FIXED, ON LEASE",
            "ESCALATED, needs you",
            "FIXED, lease returned",
        ]


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_load_that_a_loan_does_not_carry_is_handed_over_once_with_what_was_lent() -> None:
    """One attempt; it stays, because the cluster runs on it; one report of both, the load and the loan, then quiet."""
    with night(PRICED) as on:
        on.system.offer(FLOOD)
        on.until(Phase.CLOSED)
        assert on.incident.verdict is Verdict.ESCALATED
        assert [attempt.verdict for attempt in on.incident.attempts] == [Verdict.INEFFECTIVE]
        assert on.cluster.most == 4.0
        assert "what was lent was left" in on.told
        on.minutes(90)
        assert on.maxima == [4.0]
        assert (on.not_back.verdict, on.not_back.severity) == (Verdict.ESCALATED, Severity.SEV2)
        [mail] = on.world.mail
        assert (mail.subject or "").endswith(" - the database has reached its capacity [SEV2]")
        assert f"{on.not_back.id}: what was lent is not back" in mail.text


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_a_maximum_that_somebody_has_set_since_is_left_alone() -> None:
    """The lease ends, and nothing is put back: the report says that somebody else has changed it."""
    with night() as on:
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        on.system.scale_by_hand(6.0)
        on.system.offer(CALM)
        on.until(Phase.CLOSED)
        assert (on.cluster.most, on.incident.verdict) == (6.0, Verdict.FIXED)
        assert on.written == [MODIFIES]
        assert "changed by somebody else" in on.told


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_a_person_is_asked_first_where_the_mode_says_so() -> None:
    """With the plan and what it costs; after a yes it is done."""
    with night(mode="approve") as on:
        on.system.offer(BUSY)
        on.until(Phase.AWAITING)
        assert on.cluster.most == 2.0
        assert "let each instance of dms-cluster-prod use 4 ACUs instead of 2" in on.told
        assert "$0.76 an hour" in on.told
        assert on.nightshift.answer(on.incident, yes=True, why="go")
        on.until(Phase.LEASED)
        assert on.cluster.most == 4.0


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_how_soon_it_pauses_is_left_as_it_is() -> None:
    """A range that goes down to nothing says how soon, and would be set to its default if nobody said it again."""
    with night() as on:
        on.cluster.least, on.cluster.pause_seconds = 0.0, 7200
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        assert (on.cluster.least, on.cluster.most, on.cluster.pause_seconds) == (0.0, 4.0, 7200)


@pytest.mark.scenario("2.12", "aurora-saturated")
def test_a_customers_database_is_lent_to_and_no_other() -> None:
    """Each customer's cluster has its own target, load and maximum."""
    with World(NIGHT, thin=True) as world:
        lecture = Lecture(world, ("dhbw", "edt"))
        busy = AuroraDatabase(world, "lecture-dhbw-cluster")
        calm = AuroraDatabase(world, "lecture-edt-cluster", account=busy.account)
        targets = [
            aurora_target(each, users=(lecture[name].api.arn,)) for each, name in ((busy, "dhbw"), (calm, "edt"))
        ]
        with Deployment(world, aurora_configuration(*targets, world=world, settings=QUICK)) as nightshift:
            nightshift.resume()
            world.run(timedelta(minutes=20))
            busy.offer(BUSY)
            world.run_until(lambda: any(each.lent for each in nightshift.all), timedelta(minutes=60))
            assert (busy.cluster.most, calm.cluster.most) == (4.0, 2.0)
            assert failures(world) == ()


# -- what it refuses -------------------------------------------------------------------------------------------------


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_memory_that_is_well_used_is_not_load() -> None:
    """A cluster at its maximum whose CPU has little to do: its memory is full of what is asked for often."""
    with night() as on:
        on.system.fill_memory(2.0)
        on.minutes(60)
        assert on.nightshift.all == []


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_load_that_passes_by_itself_is_left_alone() -> None:
    """A quarter of an hour is waited for; what ends before anything is done has recovered."""
    with night(settings=QUICK + "confirm = 5\n") as on:
        on.system.offer(BUSY)
        on.minutes(18)
        on.system.offer(CALM)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.RECOVERED)


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_what_waits_for_the_maintenance_window_is_not_brought_forward() -> None:
    """Somebody has left a change for it: they go first, and what they left goes on waiting."""
    with night(settings=QUICK + 'deadline = "PT30M"\n') as on:
        on.system.leave_for_the_window()
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.cluster.pending == {"EngineVersion": "16.9"}
        assert "waits for its maintenance window (EngineVersion)" in on.told


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_no_maximum_is_lent_whose_price_nobody_knows() -> None:
    """No list price is known for the Region, and nobody has said one."""
    with night("") as on:
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_no_maximum_is_lent_that_costs_more_than_an_action_may() -> None:
    """Four ACUs more for a day are more than ten dollars."""
    with night(PRICED, dollars=10) as on:
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cost"


@pytest.mark.scenario("3.6", "aurora-saturated")
@pytest.mark.parametrize("settings, ceiling", [("ceiling = 2\n", None), ("", 2.0)])
def test_nothing_is_lent_above_the_ceiling(settings: str, ceiling: float | None) -> None:
    """Of the remediation, or of the cluster itself: people are told what to look for."""
    with night(QUICK + settings, ceiling=ceiling) as on:
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert "uses all of 2 ACUs, and may not have more" in on.told
        assert "pg_stat_activity" in on.told


def test_a_ceiling_below_twice_the_maximum_is_what_is_lent() -> None:
    """In halves of an ACU."""
    with night(ceiling=3.5) as on:
        on.system.offer(2.5)
        on.until(Phase.LEASED)
        assert on.cluster.most == 3.5


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_provisioned_instances_are_told() -> None:
    """They are as large as they are: another class of instance is a person's to choose."""
    with night(serverless=False) as on:
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert "it is provisioned" in on.told


@pytest.mark.scenario("2.9", "aurora-saturated")
@pytest.mark.scenario("2.12", "aurora-saturated")
@pytest.mark.scenario("3.3", "aurora-saturated")
def test_connections_that_are_used_up_are_told_and_not_lent_to() -> None:
    """However busy the cluster is: more capacity takes no connection more. Who uses it is said, and that it grows."""
    with night(documents=True) as on:
        on.system.connect(30)
        on.system.leak_connections(3)
        on.minutes(40)
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.ESCALATED)
        assert f"of {CONNECTIONS} connections in use for 5 minutes" in on.told
        assert "dms-processor uses it" in on.told
        assert "opens connections and does not close them" in on.told
        assert "RDS Proxy" in on.told


@pytest.mark.scenario("2.9", "aurora-saturated")
def test_a_release_in_the_hour_in_which_connections_ran_out_is_named() -> None:
    """Who was released says more than how many there are."""
    with night(documents=True) as on:
        on.release()
        on.system.connect(185)
        on.until(Phase.CLOSED)
        assert on.incident.verdict is Verdict.ESCALATED
        assert "A suspect: dms-processor was released in that time" in on.told


@pytest.mark.scenario("3.6", "aurora-saturated")
def test_what_began_after_a_release_is_the_releases_doing() -> None:
    """For an hour: a query that was released is not carried by more capacity, but paid for."""
    with night(QUICK + 'deadline = "PT20M"\n', documents=True) as on:
        on.release()
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert on.incident.refusal is not None
        assert on.incident.refusal.guard == "cause"
        assert "dms-processor, which uses it, was released" in on.told


def test_a_cluster_that_somebody_has_stopped_is_left_alone() -> None:
    """It has nothing to carry, and is not started."""
    with night() as on:
        on.system.offer(FLOOD)
        on.minutes(5)
        on.system.stop()
        on.minutes(60)
        assert (on.nightshift.all, on.written) == ([], [])


def test_a_protected_cluster_is_not_lent_to() -> None:
    """The tag `protected` forbids everything."""
    with night() as on:
        on.system.protect()
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)


@pytest.mark.scenario("3.11", "aurora-saturated")
def test_only_watched_it_says_what_it_would_have_done() -> None:
    """Mode observe writes nothing."""
    with night(mode="observe") as on:
        on.system.offer(BUSY)
        on.until(Phase.CLOSED)
        assert (on.written, on.incident.verdict) == ([], Verdict.REFUSED)
        assert "use 4 ACUs instead of 2" in on.told


@pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER, Kind.ERROR_BEFORE])
def test_an_answer_that_was_lost_is_found_out_by_looking(kind: Kind) -> None:
    """The range that stands says whether it was set; it is lent once, whichever way it was."""
    with night() as on:
        on.world.faults.add(kind, MODIFIES, times=1)
        on.system.offer(BUSY)
        on.until(Phase.LEASED)
        assert on.maxima == [4.0]


@pytest.mark.parametrize("operation", ["rds.DescribeDBClusters", "cloudwatch.GetMetricData"])
def test_what_cannot_be_seen_is_not_lent_to(operation: str) -> None:
    """Unknown acts on nothing."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, operation, times=1000)
        on.system.offer(BUSY)
        on.minutes(60)
        assert on.written == []
        on.world.faults.clear()


# -- backups ---------------------------------------------------------------------------------------------------------


@contextmanager
def backed_up(settings: str = "days = 35\n", *, thin: bool = True) -> Iterator[Night]:
    """A night on which a database is backed up as it should be."""
    with World(NIGHT, thin=thin) as world:
        system = AuroraDatabase(world)
        toml = aurora_configuration(aurora_target(system), world=world, settings="")
        toml = toml.replace(f'[remediations.{NAME}]\nmode = "auto"', f"[remediations.{BACKUPS}]\n{settings}")
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            on.minutes(10)
            assert nightshift.all == []
            yield on
            assert on.written == []
            assert failures(world) == ()


@pytest.mark.scenario("3.12", "database-backup-stale")
@pytest.mark.scenario("2.21", "database-backup-stale")
@pytest.mark.parametrize("thin", [True, False])
def test_backups_that_are_kept_too_short_are_told(thin: bool) -> None:
    """Somebody has shortened their retention: with the command that lengthens it again."""
    with backed_up(thin=thin) as on:
        on.system.shorten_backups(7)
        on.until(Phase.CLOSED, limit=30)
        [incident] = on.nightshift.of(BACKUPS)
        assert incident.verdict is Verdict.ESCALATED
        assert "are kept for 7 days, and should be for 35" in on.told
        assert "--backup-retention-period 35" in on.told


@pytest.mark.scenario("3.12", "database-backup-stale")
@pytest.mark.scenario("3.15", "database-backup-stale")
@pytest.mark.scenario("2.16", "database-backup-stale")
def test_backups_that_have_stopped_are_told_with_what_there_is_to_restore() -> None:
    """To which time, and from which snapshot."""
    with backed_up() as on:
        on.system.take_snapshot("before-migration")
        on.system.stop_backups()
        on.until(Phase.CLOSED, limit=60)
        [incident] = on.nightshift.of(BACKUPS)
        assert incident.verdict is Verdict.ESCALATED
        assert "its automated backups have stopped" in on.told
        assert "the newest snapshot that was made by hand is before-migration" in on.told
        assert "it can be restored to any time from" in on.told


def test_a_stopped_database_is_not_backed_up_and_that_is_no_news() -> None:
    """The newest time to which it could be restored stands still with it."""
    with backed_up() as on:
        on.system.stop_backups()
        on.system.stop()
        on.minutes(60)
        assert on.nightshift.all == []
