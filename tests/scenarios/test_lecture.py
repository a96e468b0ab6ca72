"""The Lecture infrastructure: one service for each customer, all of one name; whose trouble it is, and whose not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
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
from nightshift.model import Incident, Phase, Verdict
from typer.testing import CliRunner, Result

from sandbox.deployment import Deployment
from sandbox.images import Behaviour
from sandbox.scenes import NIGHT, RELEASE, STALLED, UNHEALTHY, api_configuration, failures
from sandbox.services import Task
from sandbox.systems.lecture import BACKEND, CUSTOMERS, Lecture, LectureCustomer
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

CONFIG = Path(__file__).parents[2] / "config" / "lecture.toml"
CAPACITY = "ecs-capacity-short"
OTHERS = ("edt", "unilux")


def typed(world: World, config: Path, *words: str) -> Result:
    """What a person types, with credentials of their own."""
    context = Context(session=lambda _: boto3.Session(), run=Serial(), clock=lambda: world.now)
    return CliRunner(env={"NIGHTSHIFT_DEPLOYMENT": None}).invoke(app, [*words, "--config", str(config)], obj=context)


def written(world: World) -> list[tuple[str, str]]:
    """What was changed under any incident's name, and in which cluster."""
    events = [each for each in world.trail.of(writes=True) if each.principal.role_arn and not each.error]
    return [(each.name, str(each.params.get("cluster")).rpartition("/")[2]) for each in events]


@dataclass(frozen=True)
class Night:
    """All customers, and a Nightshift that may act for those that are registered."""

    world: World
    lecture: Lecture
    nightshift: Deployment
    config: Path

    @property
    def dhbw(self) -> LectureCustomer:
        """The customer that is in trouble."""
        return self.lecture["dhbw"]

    @property
    def written(self) -> list[tuple[str, str]]:
        """What was changed, and in which cluster."""
        return written(self.world)

    @property
    def running(self) -> dict[str, list[Task]]:
        """Every customer's tasks that run."""
        return {name: service.running for name, service in self.lecture.services.items()}

    def only(self, remediation: str) -> Incident:
        """The one incident of a remediation."""
        [incident] = self.nightshift.of(remediation)
        return incident

    def minutes(self, count: float) -> None:
        """Let time pass."""
        self.world.run(timedelta(minutes=count))

    def until(self, condition: Callable[[], object], limit: float = 240) -> None:
        """Let time pass until something is so."""
        self.world.run_until(condition, timedelta(minutes=limit))

    def until_settled(self) -> None:
        """Until there was an incident and none is open."""
        self.until(lambda: self.nightshift.settled, 400)

    def health(self, *words: str) -> tuple[int, dict[str, Any]]:
        """What `nightshift health` says to a machine, and its exit code."""
        result = typed(self.world, self.config, "health", *words, "--table", "nightshift-lecture", "--json")
        return result.exit_code, json.loads(result.stdout)


NOT_PLAYED = ("aurora-saturated", "database-backup-stale", "backup-stale", "terraform-lock-held")
"""what the configuration has of the customers' databases, and of what they share: it has nights of its own"""


def configuration(lecture: Lecture, *, mode: str, registered: tuple[str, ...], settings: str) -> str:
    """config/lecture.toml with the identifiers that AWS has given, with those customers' services alone."""
    head, *systems = re.split(r"^(?=\[\[systems\]\])", CONFIG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    head = re.sub(rf"^\[remediations\.({'|'.join(NOT_PLAYED)})\]\n(?:[^\[].*\n|\n)*", "", head, flags=re.MULTILINE)
    text = re.sub(r'^mode = "approve"$', f'mode = "auto"\n{settings}', head, flags=re.MULTILINE)
    named = {re.findall(r'^name = "(.*)"', system, flags=re.MULTILINE)[0]: system for system in systems}
    for name in CUSTOMERS:
        group = lecture[name].target_group
        begins, service, *_ = re.split(r"^(?=\[\[systems\.targets\]\])", named[name], flags=re.MULTILINE)
        kept = re.sub(
            r"^(#|mode|load_balancer|target_group).*\n", "", f"{begins}{service}", flags=re.MULTILINE
        ).rstrip()
        links = f'load_balancer = "{group.load_balancer_arn}"\ntarget_group = "{group.arn}"\nmode = "{mode}"\n'
        text += f"{kept}\n{links}" if name in registered else ""
    return text


@contextmanager
def night(
    tmp_path: Path,
    *,
    mode: str = "auto",
    registered: tuple[str, ...] = CUSTOMERS,
    settings: str = "",
    warm: float = 15,
) -> Iterator[Night]:
    """A quiet night until now, under some load."""
    with World(NIGHT, thin=True) as world:
        lecture = Lecture(world)
        lecture.ecs_stops_replacing()
        lecture.requests(300)
        world.run(timedelta(minutes=10))  # a load balancer that has never reported is one that cannot be seen
        toml = configuration(lecture, mode=mode, registered=registered, settings=settings)
        config = tmp_path / "lecture.toml"
        config.write_text(toml, encoding="utf-8")
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            on = Night(world, lecture, nightshift, config)
            on.minutes(warm)
            assert nightshift.all == []
            yield on
            assert failures(world) == ()


# -- one customer, and no other --------------------------------------------------------------------------------------


def bad_task(customer: LectureCustomer) -> None:
    """One task of two does not answer."""
    customer.fail_checks(1)


def all_hang(customer: LectureCustomer) -> None:
    """No task answers."""
    customer.hang_api()


@pytest.mark.scenario("2.2", "registry")
@pytest.mark.parametrize("cause", [bad_task, all_hang])
def test_one_customers_trouble_touches_no_other(tmp_path: Path, cause: Callable[[LectureCustomer], None]) -> None:
    """Cured in its own cluster; the services of that name in the others keep every task, and no mail is about them."""
    with night(tmp_path) as on:
        before = on.running
        cause(on.dhbw)
        on.until_settled()
        incident = on.only(UNHEALTHY)
        assert (incident.group, incident.target, incident.verdict) == ("dhbw", on.dhbw.api.arn, Verdict.FIXED)
        assert {cluster for _, cluster in on.written} == {"lecture-dhbw-cluster"}
        assert on.dhbw.healthy == 2
        assert all(on.running[name] == before[name] for name in OTHERS)
        assert {each.group for each in on.nightshift.all} == {"dhbw"}
        assert all(f"{BACKEND} of dhbw" in str(mail.subject) for mail in on.world.mail)


@pytest.mark.scenario("2.2", "registry")
def test_two_customers_in_trouble_are_two_incidents_in_two_clusters(tmp_path: Path) -> None:
    """The same failure under the same service's name, at the same time: each is cured where it is."""
    with night(tmp_path) as on:
        before = on.running
        bad_task(on.dhbw)
        bad_task(on.lecture["edt"])
        on.until_settled()
        assert {each.group: each.verdict for each in on.nightshift.of(UNHEALTHY)} == {
            "dhbw": Verdict.FIXED,
            "edt": Verdict.FIXED,
        }
        assert sorted(on.written) == [
            ("ecs.StopTask", "lecture-dhbw-cluster"),
            ("ecs.StopTask", "lecture-edt-cluster"),
        ]
        assert on.running["unilux"] == before["unilux"]


@pytest.mark.scenario("2.2", "registry")
def test_a_name_that_several_customers_have_must_be_said_in_full(tmp_path: Path) -> None:
    """`explain` by name is declined, with the three ARNs; by ARN it says whose it is."""
    with night(tmp_path, warm=0) as on:
        words = ("explain", UNHEALTHY, "--table", "nightshift-lecture")
        result = typed(on.world, on.config, *words, BACKEND)
        assert result.exit_code == 1
        assert f"{BACKEND} is the name of 3 targets" in result.stderr
        assert all(service.arn in result.stderr for service in on.lecture.services.values())
        told = typed(on.world, on.config, *words, on.dhbw.api.arn).stdout
        assert f"{UNHEALTHY} on {BACKEND} (dhbw, mode auto)" in told


@pytest.mark.scenario("2.2", "registry")
def test_a_tag_registers_nothing(tmp_path: Path) -> None:
    """A customer carries every tag that there is, and falls ill: it is in no configuration, so nobody looks at it."""
    with night(tmp_path, registered=("dhbw", "edt")) as on:
        stranger = on.lecture["unilux"]
        for key, value in (("customer", "dhbw"), ("auto-remediation", "enabled"), ("auto-rollback", "enabled")):
            stranger.tag(stranger.api.arn, key, value)
        stranger.hang_api()
        on.minutes(60)
        assert on.nightshift.all == []
        assert on.written == []
        assert stranger.healthy == 0
        assert on.health()[0] == 0


# -- how they are ----------------------------------------------------------------------------------------------------


@pytest.mark.scenario("2.3", "health")
def test_health_says_which_customer_is_ill(tmp_path: Path) -> None:
    """And why, what runs, what the load balancer says, and the incident that is open; the others are well."""
    with night(tmp_path, mode="approve") as on:
        assert on.health()[0] == 0
        on.dhbw.hang_api(1)
        on.until(lambda: any(each.phase is Phase.AWAITING for each in on.nightshift.all))
        code, told = on.health()
        assert (code, told["health"]) == (1, "sick")
        assert {each["system"]: each["health"] for each in told["systems"]} == {
            "dhbw": "sick",
            "edt": "healthy",
            "unilux": "healthy",
        }
        [target] = told["systems"][0]["targets"]
        checks = {check["check"]: (check["health"], check["seen"]) for check in target["checks"]}
        assert checks["tasks"] == ("healthy", "2 of 2 tasks run")
        assert checks["load balancer"] == ("sick", "1 healthy, 1 unhealthy")
        assert checks[UNHEALTHY][0] == "sick"
        assert checks[STALLED][0] == "healthy"
        assert [(each["system"], each["id"]) for each in told["incidents"]] == [("dhbw", on.only(UNHEALTHY).id)]
        assert on.health("edt")[0] == 0
        assert on.health("dhbw")[0] == 1
        assert on.written == []


@pytest.mark.scenario("2.1", "storm")
@pytest.mark.scenario("2.3", "health")
def test_all_customers_down_is_one_page_and_no_restart(tmp_path: Path) -> None:
    """What all of them need is gone: P0, one page that names every customer, and nothing is done to any of them."""
    with night(tmp_path) as on:
        before = on.running
        on.lecture.break_what_all_need()
        on.minutes(45)
        assert on.nightshift.incidents.brake().engaged
        [page] = [mail for mail in on.world.mail if str(mail.subject).startswith("STORM")]
        assert "[SEV1]" in str(page.subject)
        assert page.topic_arn.endswith("-SEV1")
        assert all(f"{name}: 1 of 1 target sick" in page.text for name in CUSTOMERS)
        assert (on.written, on.running) == ([], before)
        code, told = on.health()
        assert (code, {each["health"] for each in told["systems"]}) == (1, {"sick"})
        shown = typed(on.world, on.config, "health", "--table", "nightshift-lecture").stdout
        assert "Every system is sick at once: look for what they share first." in shown
        on.lecture.mend_what_all_need()
        on.until_settled()
        assert {each.verdict for each in on.nightshift.all} == {Verdict.RECOVERED}
        assert (on.written, on.running) == ([], before)


def test_a_customers_outage_that_no_restart_ends_is_handed_over_once(tmp_path: Path) -> None:
    """What one customer alone needs is gone: one restart, one report that a person must act; the others are left."""
    with night(tmp_path) as on:
        before = on.running
        on.dhbw.break_checks()
        on.until_settled()
        on.minutes(90)
        assert on.only(UNHEALTHY).verdict is Verdict.ESCALATED
        assert on.written == [("ecs.UpdateService", "lecture-dhbw-cluster")]
        ends = [mail for mail in on.world.mail if mail.attributes["transition"] == "closed" and "dhbw" in mail.text]
        assert [str(mail.subject).partition(",")[0] for mail in ends if UNHEALTHY in mail.text] == ["ESCALATED"]
        assert all(on.running[name] == before[name] for name in OTHERS)


@pytest.mark.scenario("4.1", "health")
def test_health_is_as_many_tasks_as_should_run(tmp_path: Path) -> None:
    """Two of two is healthy, one of two sick, none of none somebody's decision; and what cannot be read is unknown."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        system.requests(300)
        world.run(timedelta(minutes=20))
        config = tmp_path / "usage.toml"
        config.write_text(api_configuration(system), encoding="utf-8")

        def told() -> tuple[int, str, dict[str, tuple[str, str]]]:
            result = typed(world, config, "health", "--json", "--table", "none")
            document = json.loads(result.stdout)
            [target] = document["systems"][0]["targets"]
            seen = {check["check"]: (check["health"], check["seen"]) for check in target["checks"]}
            return result.exit_code, document["health"], seen

        before = len(world.trail.of(writes=True))
        code, word, seen = told()
        assert (code, word, seen["tasks"]) == (0, "healthy", ("healthy", "2 of 2 tasks run"))
        assert seen["load balancer"] == ("healthy", "2 healthy")
        system.break_pulls()
        system.api.stop_task(system.api.running[0], "UserInitiated", "test")
        world.run(timedelta(minutes=2))
        code, word, seen = told()
        assert (code, word, seen["tasks"]) == (1, "sick", ("sick", "1 of 2 tasks run"))
        system.api.scale(0)
        world.run(timedelta(minutes=2))
        code, word, seen = told()
        assert (code, word) == (0, "healthy")
        assert seen["tasks"] == ("healthy", "stopped on purpose: desired count 0")
        assert len(world.trail.of(writes=True)) == before


# -- what is cured for a customer as for anybody ---------------------------------------------------------------------


@pytest.mark.scenario("2.5", "ecs-capacity-short")
def test_a_customer_under_load_is_lent_a_task_and_gives_it_back(tmp_path: Path) -> None:
    """Three tasks for an hour in its cluster; the others keep two."""
    with night(tmp_path, warm=62) as on:
        on.dhbw.requests(1150)
        on.until(lambda: on.dhbw.api.desired == 3)
        assert [service.desired for service in on.lecture.services.values()] == [3, 2, 2]
        on.until(lambda: on.only(CAPACITY).phase is Phase.LEASED)
        on.dhbw.requests(300)
        on.until_settled()
        assert on.only(CAPACITY).verdict is Verdict.FIXED
        assert [service.desired for service in on.lecture.services.values()] == [2, 2, 2]
        assert set(on.written) == {("ecs.UpdateService", "lecture-dhbw-cluster")}


@pytest.mark.scenario("2.11", "ecs-capacity-short")
def test_a_customers_leak_is_told_and_not_multiplied(tmp_path: Path) -> None:
    """Memory rises with the age of its tasks: more of them would leak, too, and nobody else's tasks are looked at."""
    with night(tmp_path, warm=0) as on:
        on.dhbw.api.settle(timedelta(0))
        on.dhbw.leak_memory(38)
        on.until(lambda: any(not each.open for each in on.nightshift.of(CAPACITY)), 120)
        incident = on.only(CAPACITY)
        assert (incident.group, incident.verdict) == ("dhbw", Verdict.REFUSED)
        assert incident.refusal is not None
        assert incident.refusal.guard == "leak"
        assert on.written == []


@pytest.mark.scenario("2.8", RELEASE)
def test_a_customers_release_whose_tasks_crash_is_taken_back_for_that_customer(tmp_path: Path) -> None:
    """The release of the others, of the same service's name, stays what it is."""
    with night(tmp_path, warm=35) as on:
        definitions = {name: service.task_definition for name, service in on.lecture.services.items()}
        on.dhbw.tag(on.dhbw.api.arn, "auto-rollback", "enabled")
        on.dhbw.release_of(on.dhbw.api, Behaviour.CRASHES)
        assert on.dhbw.api.task_definition != definitions["dhbw"]
        on.until_settled()
        assert on.only(RELEASE).verdict is Verdict.FIXED
        assert {name: service.task_definition for name, service in on.lecture.services.items()} == definitions
        assert on.written == [("ecs.StopServiceDeployment", "None")]
        assert on.only(RELEASE).target == on.dhbw.api.arn


@pytest.mark.scenario("2.8", UNHEALTHY)
def test_where_a_customers_tasks_cannot_be_started_none_is_stopped(tmp_path: Path) -> None:
    """Its image cannot be pulled, and a task is bad: one fewer would be worse, so a person is told."""
    with night(tmp_path) as on:
        bad_task(on.dhbw)
        on.until(lambda: on.nightshift.of(UNHEALTHY))
        on.dhbw.break_pulls()
        on.dhbw.api.scale(3)
        on.until(lambda: not on.only(UNHEALTHY).open)
        assert on.only(UNHEALTHY).verdict is Verdict.REFUSED
        assert "ecs.StopTask" not in [name for name, _ in on.written]
        assert len(on.running["dhbw"]) == 2
