"""P1 of runbook 0: all customers at once. One page with what answers, no fix one by one, and one when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from nightshift.model import Verdict
from nightshift.remediations.ecs_service_stalled import EcsServiceStalled

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.mailbox import Mail
from sandbox.scenes import NIGHT, failures
from sandbox.systems.transient_trigger import CLUSTER, FIELDS, TransientTrigger, trigger_configuration
from sandbox.world import World

NAMES = ("hts", "htsnonprod", "cds")
SETTINGS = f"{FIELDS}idempotent = true\n"


@dataclass(frozen=True)
class Night:
    """The email distribution system, with Nightshift switched on."""

    world: World
    system: TransientTrigger
    nightshift: Deployment

    @property
    def pages(self) -> list[Mail]:
        """Everything that was told about the whole system."""
        return [mail for mail in self.world.mail if str(mail.subject).startswith("STORM")]

    @property
    def written(self) -> list[str]:
        """What was changed under any incident's name."""
        return [each.name for each in self.world.trail.of(writes=True) if each.principal.role_arn]

    def minutes(self, count: float) -> None:
        """Let so many minutes pass."""
        self.world.run(timedelta(minutes=count))

    def wedge(self) -> None:
        """The processors of all customers hang, while changes are submitted."""
        for line in self.system.lines.values():
            line.wedge_consumer()
        for _ in range(3):
            self.system.submit()

    def restart(self) -> None:
        """Somebody restarts all of them by hand."""
        for name in NAMES:
            service = f"customer-{name}-processor"
            self.world.client("ecs").update_service(cluster=CLUSTER, service=service, forceNewDeployment=True)


@contextmanager
def night(*, thin: bool = True) -> Iterator[Night]:
    """Three customers, each with a service and a dead-letter queue; every one of them is well."""
    with World(NIGHT, thin=thin) as world:
        system = TransientTrigger(world, customers=NAMES)
        with Deployment(world, trigger_configuration(system, settings=SETTINGS)) as nightshift:
            nightshift.resume()
            on = Night(world, system, nightshift)
            system.submit()
            on.minutes(20)
            assert (nightshift.all, system.triggers) == ([], [])
            yield on
            assert failures(world) == ()
            assert system.twice == []


def joined(mail: Mail) -> str:
    """A mail as one line."""
    return " ".join(f"{mail.subject} {mail.text}".split())


@pytest.mark.scenario("0.19", "storm")
def test_all_customers_at_once_are_one_page_with_probes_and_nothing_is_restarted() -> None:
    """S3, SQS, ECS and STS answer, so it is none of them; what most have in common is named; and then it is over."""
    with night() as on:
        on.wedge()
        on.minutes(45)
        assert on.nightshift.incidents.brake().engaged
        [page] = on.pages
        for text in (
            "[SEV1]",
            "STS: answers",
            "S3: answers",
            "reads of targets were answered",
            "ECS: ",
            "SQS: ",
            "IN COMMON",
            EcsServiceStalled.title,
        ):
            assert text in joined(page), text
        assert [mail.subject for mail in on.world.mail] == [page.subject]
        assert on.written == []
        on.restart()
        on.minutes(60)
        assert not on.nightshift.incidents.brake().engaged
        [_, over] = on.pages
        assert str(over.subject).startswith("STORM OVER after")
        assert over.at > page.at
        assert on.system.triggers == []
        assert {each.verdict for each in on.nightshift.all} == {Verdict.RECOVERED}
        assert len(on.world.mail.about("RECOVERED")) == len(on.nightshift.all)
        assert on.written == []


@pytest.mark.scenario("0.19", "storm")
@pytest.mark.parametrize("kind", [Kind.DENIED, Kind.ERROR_BEFORE])
def test_when_nothing_can_be_seen_of_any_customer_it_is_one_page_and_no_report_each(kind: Kind) -> None:
    """Denied or broken: unknown is neither well nor sick. It is told once, with the common error, and once after."""
    with night() as on:
        for name in ("ecs.*", "sqs.*", "cloudwatch.*", "s3.ListObjectsV2"):
            on.world.faults.add(
                kind, name, times=None, where=lambda call: bool(call.function) and call.name != "sqs.SendMessageBatch"
            )
        on.wedge()
        on.minutes(30)
        [page] = on.pages
        for text in (
            "Nothing can be seen of any of 7 targets",
            "STS: answers",
            "ECS: 0 of ",
            "IN COMMON",
            "most say: ",
        ):
            assert text in joined(page), text
        assert on.nightshift.all == []
        assert [mail.subject for mail in on.world.mail] == [page.subject]
        on.restart()
        on.world.faults.clear()
        on.minutes(40)
        [_, over] = on.pages
        assert str(over.subject).startswith("STORM OVER after")
        assert on.written == []


@pytest.mark.scenario("0.19", "storm")
def test_a_service_of_aws_that_answers_nothing_for_once_is_no_storm() -> None:
    """One request serves many targets: that it fails for a sweep or two is unknown, and passes."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "ecs.DescribeServices", times=2, where=lambda call: bool(call.function))
        on.minutes(20)
        assert on.pages == []
        assert not on.nightshift.incidents.brake().engaged


@pytest.mark.scenario("0.19", "storm")
def test_a_service_of_aws_that_answers_nothing_any_more_is_a_storm_though_no_other_fails() -> None:
    """ECS alone: no restart can be trusted, and no customer is treated meanwhile."""
    with night() as on:
        on.world.faults.add(Kind.DENIED, "ecs.DescribeServices", times=None, where=lambda call: bool(call.function))
        on.minutes(10)
        [page] = on.pages
        assert "ECS answers nothing of what is read: no fix can be trusted" in joined(page)
        assert "ecs:DescribeServices" in joined(page)
        assert on.written == []


@pytest.mark.scenario("0.21", "ecs-service-stalled")
def test_one_customer_alone_is_no_storm_and_is_restarted() -> None:
    """P2: the others are well, so it is theirs alone."""
    with night() as on:
        on.system.lines["hts"].wedge_consumer()
        for _ in range(3):
            on.system.submit()
        on.minutes(60)
        assert on.pages == []
        assert "ecs.UpdateService" in on.written
        assert on.system.triggers == []
