"""Looking at everything: what is opened, woken, told and held back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.config import Storm
from nightshift.errors import StoreUnavailable
from nightshift.guardrails import Brake
from nightshift.incidents import Pointer
from nightshift.model import Arn, Finding, Healthy, Observation, Phase, ResourceRead, Sick, Target, Unknown, Verdict
from nightshift.reading import Reading
from nightshift.remediation import history, kept
from nightshift.sweep import BLIND_SWEEPS, MANY, Look, storm

from tests.support.toy import MINUTE, START, Account, Night, Toy, policy, queue_arn

TOY = Toy()


def target(name: str, group: str = "system", **links: Any) -> Target:
    """A target that is only looked at."""
    named: dict[str, Any] = {key: Arn.parse(queue_arn(to)) for key, to in links.items()}
    return Target(Arn.parse(queue_arn(name)), group, **named)


def sick(each: Target) -> Look:
    """A sick look at it."""
    return Look(each, TOY, Sick(Finding("toy", str(each.arn), "it hurts")))


def healthy(each: Target) -> Look:
    """A healthy look at it."""
    return Look(each, TOY, Healthy())


def judge(
    *looks: Look,
    before: Brake | None = None,
    pointers: dict[tuple[str, str], Pointer] | None = None,
    failing: tuple[str, ...] = (),
    dark: str = "",
    minutes: int = 0,
    **settings: Any,
) -> Brake:
    """What the storm brake says."""
    rules = policy([look.target for look in looks], [TOY], storm=Storm(**settings))
    return storm(before or Brake(), looks, pointers or {}, failing, rules, START + minutes * MINUTE, dark=dark)


def many(count: int, group: str = "system") -> list[Target]:
    """Independent targets."""
    return [target(f"{group}-{number}", group) for number in range(count)]


# -- the storm brake ---------------------------------------------------------------------------------------------------


def test_three_at_once_are_a_storm() -> None:
    """Three independent targets in an account of many."""
    all_of_them = many(20)
    assert not judge(*map(sick, all_of_them[:2]), *map(healthy, all_of_them[2:])).engaged
    brake = judge(*map(sick, all_of_them[:3]), *map(healthy, all_of_them[3:]))
    assert brake.engaged
    assert brake.sick == 3
    assert brake.since == START
    assert "3 targets" in brake.reason


def test_small_groups_are_helped() -> None:
    """One sick target of one, two or three is helped; two of five are more than 30 %."""
    for size in (1, 2, 3):
        one, *others = many(size)
        assert not judge(sick(one), *map(healthy, others)).engaged
    five = many(5)
    assert judge(*map(sick, five[:2]), *map(healthy, five[2:])).engaged
    seven = many(7)
    assert not judge(*map(sick, seven[:2]), *map(healthy, seven[2:])).engaged


def test_groups_are_counted_apart() -> None:
    """Two sick targets of two large systems are two failures."""
    one, two = many(7, "one"), many(7, "two")
    assert not judge(sick(one[0]), sick(two[0]), *map(healthy, one[1:]), *map(healthy, two[1:])).engaged


def test_a_dead_letter_queue_and_its_sick_consumer_count_once() -> None:
    """Linked targets are one failure, whichever of them names the other."""
    worker = target("worker", queue="orders")
    orders = target("orders")
    letters = target("letters", consumer="worker", source="orders")
    rest = map(healthy, many(20, "system"))
    assert judge(sick(worker), sick(orders), sick(letters), *rest).sick in {0, 1}
    assert not judge(sick(worker), sick(orders), sick(letters), *map(healthy, many(20))).engaged
    assert (
        judge(sick(worker), sick(orders), sick(letters), *map(sick, many(20)[:2]), *map(healthy, many(20)[2:])).sick
        == 3
    )


def test_two_remediations_of_one_target_count_once() -> None:
    """A target is one target."""
    one, *others = many(8)
    assert not judge(sick(one), sick(one), sick(one), *map(healthy, others)).engaged


def test_what_is_old_is_no_storm() -> None:
    """Targets that we are quiet about, or that fell sick long ago, are not "at once"."""
    ten = many(20)
    old = {
        (str(each.arn), "toy"): Pointer(str(each.arn), "toy", state, START - age)
        for each, state, age in zip(
            ten, ("quiet", "open", "open"), (timedelta(0), 40 * MINUTE, 40 * MINUTE), strict=False
        )
    }
    assert not judge(*map(sick, ten[:5]), *map(healthy, ten[5:]), pointers=old).engaged
    assert judge(*map(sick, ten[:6]), *map(healthy, ten[6:]), pointers=old).engaged


def test_it_lets_go_with_hysteresis() -> None:
    """Engaged at three; at two it stays; only after ten calm minutes at one or none it lets go."""
    all_of_them = many(20)
    brake = judge(*map(sick, all_of_them[:3]), *map(healthy, all_of_them[3:]))
    two = (*map(sick, all_of_them[:2]), *map(healthy, all_of_them[2:]))
    one = (*map(sick, all_of_them[:1]), *map(healthy, all_of_them[1:]))
    held = judge(*two, before=brake, minutes=30)
    assert held.engaged
    assert held.calm_since is None
    calm = judge(*one, before=held, minutes=31)
    assert calm.calm_since == START + 31 * MINUTE
    assert judge(*one, before=calm, minutes=40).engaged
    relapse = judge(*two, before=calm, minutes=40)
    assert relapse.calm_since is None
    assert not judge(*one, before=calm, minutes=41).engaged


def test_a_storm_is_told_once() -> None:
    """Engaged and told stays told while it lasts; a new one is told anew."""
    three = [*map(sick, many(3))]
    told = replace(judge(*three), told=True)
    assert judge(*three, before=told, minutes=5).told
    assert judge(*three, before=told, minutes=5).since == START
    assert not judge(*three, before=Brake(told=True)).told


def test_a_base_service_that_does_not_answer_is_a_storm() -> None:
    """No fix can be trusted then, and calm does not begin."""
    brake = judge(*map(healthy, many(5)), failing=("STS",))
    assert brake.engaged
    assert "STS" in brake.reason
    assert judge(*map(healthy, many(5)), before=brake, failing=("STS",), minutes=60).engaged


def test_many_blind_looks_are_one_failure() -> None:
    """Reading itself has failed."""
    blind = [Look(each, TOY, Unknown("no")) for each in many(MANY + 1)]
    assert judge(*blind).engaged
    assert not judge(*blind[1:]).engaged


def test_sweeps_that_prove_nothing_are_a_storm_only_in_a_row() -> None:
    """One request serves many targets and may fail for once; while it stays dark there is no calm."""
    brake = Brake()
    for _ in range(BLIND_SWEEPS - 1):
        brake = judge(*map(healthy, many(5)), before=brake, dark="nothing can be seen")
        assert not brake.engaged
    assert not judge(*map(healthy, many(5)), before=brake).dark
    brake = judge(*map(healthy, many(5)), before=brake, dark="nothing can be seen", minutes=3)
    assert (brake.engaged, brake.reason) == (True, "nothing can be seen")
    again = judge(*map(healthy, many(5)), before=replace(brake, dark=0), dark="nothing can be seen", minutes=60)
    assert (again.engaged, again.calm_since, again.dark) == (True, None, 1)


@given(st.lists(st.sampled_from(["sick", "healthy", "unknown"]), max_size=12), st.booleans(), st.integers(0, 60))
def test_the_brake_is_total_and_pure(states: list[str], engaged: bool, minutes: int) -> None:
    """Whatever is seen, it says something, twice the same; it never engages without a reason."""
    seen: dict[str, Observation] = {
        "sick": Sick(Finding("toy", "x", "y")),
        "healthy": Healthy(),
        "unknown": Unknown("z"),
    }
    looks = [Look(each, TOY, seen[state]) for each, state in zip(many(len(states)), states, strict=True)]
    before = Brake(True, "before", START, told=True) if engaged else Brake()
    brake = judge(*looks, before=before, minutes=minutes)
    assert brake == judge(*looks, before=before, minutes=minutes)
    assert bool(brake.reason) is brake.engaged


# -- the sweep ---------------------------------------------------------------------------------------------------------


def test_a_storm_opens_everything_and_acts_on_nothing(account: Account) -> None:
    """One page; every sick target has its incident; none is acted on until it is over."""
    targets = [account.queue(f"queue-{number}", delay=5, group="all") for number in range(3)]
    rules = policy(targets, [Toy()])
    sweep, engine = account.sweep(rules), account.engine(rules)
    swept = sweep()
    assert swept.braking
    assert len(swept.opened) == 3
    for incident_id in swept.opened:
        engine.tick(incident_id)
    assert account.wire.written == []
    [mail] = account.mails()
    assert mail.startswith("STORM")
    account.clock.pass_(MINUTE)
    sweep()
    assert account.mails() == []
    for each in targets[1:]:
        account.set(each, DelaySeconds="0")
    for _ in range(20):
        account.clock.pass_(MINUTE)
        for incident_id in sweep().due:
            engine.tick(incident_id)
    assert len(account.wire.written) == 1


def test_a_storm_that_cannot_be_told_does_not_stop_the_sweep(account: Account) -> None:
    """SNS is down: the brake holds, incidents are opened and handed out, and the page comes later."""
    targets = [account.queue(f"queue-{number}", delay=5) for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    account.wire.fail("sns:Publish", "InternalError", status=500)
    swept = sweep()
    assert len(swept.opened) == 3
    assert account.incidents.brake().engaged
    assert account.mails() == []
    sweep()
    assert len(account.mails()) == 1


def test_the_page_of_a_storm_says_what_answers_and_what_is_common(account: Account) -> None:
    """Probes of what everything runs on, what this sweep's own reads came to, and the failure that most have."""
    targets = [account.queue(f"queue-{number}", delay=5, group="all") for number in range(3)]
    account.sweep(policy(targets, [Toy()]))()
    [mail] = account.mails()
    for text in (
        "STS: answers",
        "S3: answers",
        "SQS: 3 of 3 reads of targets were answered",
        "ECS: nothing was read of it",
        f"3 of 3: {Toy.title}",
    ):
        assert text in mail


def test_nothing_to_be_seen_of_all_is_one_page_and_no_incident_each(account: Account) -> None:
    """Denied, throttled or broken: the third sweep in a row tells of it as of a storm, with the common error."""
    targets = [account.queue(f"queue-{number}", delay=0, group="all") for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    account.wire.fail("sqs:GetQueueAttributes", "AccessDenied", status=403, times=99)
    for _ in range(BLIND_SWEEPS - 1):
        assert not sweep().braking
        account.clock.pass_(MINUTE)
    assert account.mails() == []
    for _ in range(6):
        swept = sweep()
        assert (swept.braking, swept.opened) == (True, ())
        account.clock.pass_(MINUTE)
    [mail] = account.mails()
    assert mail.startswith("STORM")
    for text in (
        "Nothing can be seen of any of 3 targets",
        "SQS: 0 of 3 reads of targets were answered",
        "3 of 3 looks",
    ):
        assert text in " ".join(mail.split()), text
    assert "grant sqs:GetQueueAttributes" in " ".join(mail.split())


def test_what_was_read_and_says_nothing_is_no_storm(account: Account) -> None:
    """Queues that do not exist, or figures that nobody counts: reading has not failed, and each is told by itself."""
    targets = [target(f"gone-{number}", "all") for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    opened = 0
    for _ in range(BLIND_SWEEPS + 1):
        swept = sweep()
        assert (swept.braking, swept.unknown) == (False, 3)
        opened += len(swept.opened)
        account.clock.pass_(MINUTE)
    assert (opened, account.mails()) == (3, [])


def test_the_end_of_a_storm_is_told_once_to_those_who_were_told_of_it(account: Account) -> None:
    """With what is sick still; and the brake lets go only when it could be told."""
    targets = [account.queue(f"queue-{number}", delay=5, group="all") for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    sweep()
    account.mails()
    for each in targets[1:]:
        account.set(each, DelaySeconds="0")
    for _ in range(11):
        account.clock.pass_(MINUTE)
        assert sweep().braking or account.clock() >= START + 11 * MINUTE
    [mail] = account.mails()
    assert mail.startswith("STORM OVER")
    assert mail.endswith(f"STILL SICK\n  - {targets[0].arn}\n")
    account.clock.pass_(MINUTE)
    assert not sweep().braking
    assert account.mails() == []


def test_the_brake_holds_until_the_end_of_the_storm_could_be_told(account: Account) -> None:
    """SNS is down when it is calm again: nothing is begun that nobody knows of, and it is told a minute later."""
    targets = [account.queue(f"queue-{number}", delay=5, group="all") for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    sweep()
    account.mails()
    for each in targets:
        account.set(each, DelaySeconds="0")
    account.clock.pass_(MINUTE)
    sweep()
    account.clock.pass_(10 * MINUTE)
    account.wire.fail("sns:Publish", "InternalError", status=500)
    assert sweep().braking
    account.clock.pass_(MINUTE)
    assert not sweep().braking
    assert [mail.partition("\n")[0][:10] for mail in account.mails()] == ["STORM OVER"]


def test_a_storm_that_nobody_was_told_of_ends_without_a_word(account: Account) -> None:
    """An end that nobody waits for would only be a riddle."""
    targets = [account.queue(f"queue-{number}", delay=0) for number in range(3)]
    sweep = account.sweep(policy(targets, [Toy()]))
    calm = account.clock() - 10 * MINUTE
    account.incidents.set_brake(Brake(True, "before", calm, calm_since=calm))
    assert not sweep().braking
    assert account.mails() == []


def test_what_aws_says_stands_apart_in_the_log(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """Words of an error are other people's: under one key, cleaned, and in no field of ours."""
    account.wire.fail("s3:HeadBucket", "Slow\nDown", status=503, times=9)
    account.wire.fail("sns:Publish", "Internal\nError", status=500)
    account.sweep(policy([account.queue("orders")], [Toy()]))()
    said = [vars(record) for record in caplog.records if record.name == "nightshift.sweep"]
    assert [each["msg"] for each in said] == ["probe failed", "the storm could not be told"]
    for each in said:
        assert "error" not in each
        assert each["untrusted"].keys() == {"error"}
        assert each["untrusted"]["error"].isprintable()


def test_it_opens_once_and_hands_out_what_is_due(account: Account) -> None:
    """A second sweep opens nothing new, and names what falls due before the next one."""
    night = Night(account, Toy(confirm=3), account.queue("orders", delay=5))
    first = night.sweep()
    assert len(first.opened) == 1
    assert set(first.due) == set(first.opened)
    account.clock.pass_(timedelta(seconds=30))
    again = night.sweep()
    assert again.opened == ()
    assert set(again.due) == set(first.opened)
    assert account.incidents.heartbeat() == (account.clock(), {"targets": 1, "sick": 1, "unknown": 0})


class Keeper(Toy):
    """One that wants it noted how its queue was."""

    def keeps(self, target: Target) -> tuple[ResourceRead, ...]:
        return (ResourceRead("sqs.queue", str(target.arn)),)


def test_what_a_remediation_keeps_is_noted_by_each_sweep(account: Account) -> None:
    """As it was read; what could not be read is not noted, and a look for an event notes nothing."""
    orders, gone = account.queue("orders"), target("gone")
    night = Night(account, Keeper(), orders, gone)
    name = history(ResourceRead("sqs.queue", str(orders.arn))).key
    night.sweep.wake([orders])
    assert account.incidents.kept(name) == ()
    night.sweep()
    account.clock.pass_(MINUTE)
    account.set(orders, VisibilityTimeout="60")
    night.sweep()
    assert [(each.what["VisibilityTimeout"], each.since) for each in account.incidents.kept(name)] == [
        ("30", START),
        ("60", START + MINUTE),
    ]
    assert account.incidents.kept(history(ResourceRead("sqs.queue", str(gone.arn))).key) == ()


def test_what_was_noted_is_a_reading_like_any_other(account: Account) -> None:
    """For a diagnosis of whichever remediation; of what nobody keeps nothing is known."""
    orders = account.queue("orders")
    night = Night(account, Keeper(), orders)
    query = ResourceRead("sqs.queue", str(orders.arn))
    night.sweep()
    reading = Reading(account.aws, account.incidents, night.policy, Toy(), quarantine="q", clock=account.clock)
    seen = reading.seen(query, history(query), history(ResourceRead("sqs.queue", queue_arn("other"))))
    [noted] = kept(seen, query)
    assert noted.what == seen.resource(query)
    assert kept(seen, ResourceRead("sqs.queue", queue_arn("other"))) == ()
    assert kept(reading.seen(query), query) == ()


def test_a_wake_only_looks(account: Account) -> None:
    """An event about a healthy target does nothing; about a sick one it opens what the sweep would; twice, once."""
    orders, well = account.queue("orders", delay=5), account.queue("well")
    sweep = account.sweep(policy([orders, well], [Toy()]))
    assert sweep.wake([well]) == ()
    [opened] = sweep.wake([orders])
    assert sweep.wake([orders]) == (opened,)
    assert account.wire.written == []
    assert account.incidents.brake() == Brake()


def test_a_blind_target_is_told_of(account: Account) -> None:
    """Unreadable for three sweeps: an incident that never acts, ends unverifiable, and is told once."""
    night = Night(account, Toy(), account.queue("orders", delay=5))
    account.wire.fail("sqs:GetQueueAttributes", "AccessDenied", status=403, times=10_000)
    for _ in range(BLIND_SWEEPS - 1):
        night.look()
        assert night.ids == []
        account.clock.pass_(MINUTE)
    incident = night.until_closed()
    assert incident.verdict is Verdict.UNVERIFIABLE
    assert account.wire.written == []
    [mail] = account.mails()
    assert "sqs:GetQueueAttributes" in mail
    night.minutes(5)
    assert len(night.ids) == 1


def test_blindness_is_counted_in_a_row(account: Account) -> None:
    """Seen in between: counted from one again."""
    night = Night(account, Toy(), account.queue("orders"))
    for _ in range(3):
        account.wire.fail("sqs:GetQueueAttributes", "Throttling", times=BLIND_SWEEPS - 1)
        night.minutes(BLIND_SWEEPS)
    assert night.ids == []
    assert account.incidents.pointers() == {}


def test_a_blind_target_that_turns_out_sick_is_an_incident(account: Account) -> None:
    """The count gives way to the incident."""
    night = Night(account, Toy(), account.queue("orders", delay=5))
    account.wire.fail("sqs:GetQueueAttributes", "Throttling", times=1)
    night.minutes(1)
    assert account.incidents.pointers()[str(night.target.arn), "toy"].state == "unknown"
    assert night.until_closed().verdict is Verdict.FIXED


def test_what_stays_sick_is_taken_up_after_a_day(account: Account) -> None:
    """Quiet for a day, then afresh."""
    night = Night(account, Toy(cures=False, max_attempts=1, patience=MINUTE), account.queue("orders", delay=5))
    night.until_closed()
    account.clock.pass_(timedelta(hours=23))
    night.sweep()
    assert account.incidents.open_ids() == []
    account.clock.pass_(timedelta(hours=1))
    night.sweep()
    assert len(account.incidents.open_ids()) == 1


class Rare(Toy):
    """Looked at now and then."""

    turn: ClassVar[timedelta] = timedelta(minutes=20)
    retold: ClassVar[timedelta] = timedelta(days=7)
    steady: ClassVar[bool] = True


def test_what_changes_slowly_is_looked_at_now_and_then_each_target_in_its_own_minute(account: Account) -> None:
    """Once in so many minutes, always in the same one of them, and not all in one."""
    targets = [account.queue(f"q{number}") for number in range(12)]
    night = Night(account, Rare(), *targets)
    looks = []
    for _ in range(40):
        account.clock.pass_(MINUTE)
        looks.append(night.sweep().targets)
    assert looks[:20] == looks[20:]
    assert sum(looks[:20]) == 12
    assert max(looks) < 6


def test_whoever_is_woken_or_asks_looks_at_once(account: Account) -> None:
    """Turns are the sweep's alone: an event, and a person's look, do not wait for one."""
    night = Night(account, Rare(), account.queue("orders", delay=5))
    assert len(night.sweep.look([night.target])) == 1
    assert len(night.sweep.wake([night.target])) == 1


def test_what_stays_as_it_was_told_is_told_afresh_after_so_long_and_no_sooner(account: Account) -> None:
    """A week, where that is what it says; whatever minute its turns are in."""
    night = Night(account, Rare(advises=("mend it",)), account.queue("orders", delay=5))
    night.minutes(25)
    assert night.incident.verdict is Verdict.ESCALATED
    account.clock.pass_(timedelta(days=6))
    night.minutes(25)
    assert len(night.ids) == 1
    account.clock.pass_(timedelta(days=1))
    night.minutes(25)
    assert len(night.ids) == 2


def test_what_says_something_else_than_was_told_is_told_at_once(account: Account) -> None:
    """It got worse, and people know of the old trouble only. Where figures move by themselves, a day must pass."""
    for remediation, ends in ((Rare, 2), (Toy, 1)):
        name = remediation.__name__
        night = Night(account, remediation(advises=("mend it",)), account.queue(name, delay=5))
        night.minutes(25)
        assert night.incident.verdict is Verdict.ESCALATED
        account.set(night.target, DelaySeconds="9")
        night.minutes(25)
        assert len(night.ids) == ends
        assert ("9 s" in night.incident.finding.symptom) is (ends == 2)


def test_of_a_record_that_is_gone_nobody_knows_what_was_told(account: Account) -> None:
    """So it counts as told."""
    night = Night(account, Rare(), account.queue("orders", delay=5))
    account.incidents.point(Pointer(str(night.target.arn), "toy", "quiet", account.clock(), "gone"), was=None)
    night.minutes(25)
    assert night.ids == []


def test_a_remediation_that_fails_does_not_keep_the_others_from_looking(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in one is unknown for its target, and the rest is looked at all the same."""

    class Clumsy(Toy):
        name = "clumsy"

        def detect(self, target: Target, seen: Any) -> Observation:
            raise KeyError("a bug")

    class Clumsier(Toy):
        name = "clumsier"

        def watch(self, target: Target) -> Any:
            raise KeyError("a bug")

    sweep = account.sweep(policy([account.queue("orders", delay=5)], [Clumsy(), Clumsier(), Toy()]))
    swept = sweep()
    assert len(swept.opened) == 2  # what two remediations read alike serves the one that could not say what it wants
    assert (swept.sick, swept.unknown) == (2, 1)


@pytest.mark.hostile(35)
def test_no_table_no_sweep(account: Account) -> None:
    """It fails, so that the dead-man alarm notices."""
    account.wire.fail("dynamodb:Query", "InternalServerError", status=500)
    with pytest.raises(StoreUnavailable):
        account.sweep(policy([account.queue("orders")], [Toy()]))()


def test_recovered_targets_are_not_quiet(account: Account) -> None:
    """Healed and sick again: a new incident at once."""
    night = Night(account, Toy(confirm=3), account.queue("orders", delay=5))
    night.look()
    account.set(night.target, DelaySeconds="0")
    night.minutes(1)
    assert night.incident.phase is Phase.CLOSED
    account.set(night.target, DelaySeconds="5")
    night.minutes(1)
    assert len(night.ids) == 2
