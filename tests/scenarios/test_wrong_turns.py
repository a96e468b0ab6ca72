"""Worlds in which acting would be wrong, or in which AWS does not do as it is told: what is not done, and said."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from nightshift.incidents import Event
from nightshift.model import Incident, Mode, Outcome, Phase, Verdict

from sandbox.deployment import Deployment
from sandbox.faults import Kind
from sandbox.scenes import DLQ, NIGHT, STALLED, Stage, configuration, failures
from sandbox.systems.document_management import DocumentManagement
from sandbox.world import World


@contextmanager
def staged(*, mode: Mode = Mode.AUTO, settings: str = "", limits: str = "", warm: float = 20) -> Iterator[Stage]:
    """The document management system at work, and Nightshift switched on."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world)
        with Deployment(world, configuration(system, mode=mode.value, settings=settings, limits=limits)) as nightshift:
            nightshift.resume()
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(warm)
            yield stage
            assert failures(world) == ()


def letters(stage: Stage) -> Incident:
    """The one incident about the dead-letter queue."""
    [incident] = stage.nightshift.of(DLQ)
    return incident


def writes(stage: Stage) -> list[str]:
    """What was changed under any incident's name."""
    return [event.name for event in stage.world.trail.of(writes=True) if event.principal.role_arn and not event.error]


# -- not ours to touch -----------------------------------------------------------------------------------------------


def test_a_protected_queue_is_never_touched() -> None:
    """The tag `protected` forbids everything, and the report says so."""
    with staged() as stage:
        stage.system.protect(stage.system.dlq_arn)
        stage.outage()
        stage.until_settled()
        assert letters(stage).verdict is Verdict.REFUSED
        assert letters(stage).refusal is not None
        assert "protected" in stage.world.mail[-1].text
        assert writes(stage) == []


def test_a_queue_that_has_not_opted_in_is_never_touched() -> None:
    """Without the tag `auto-remediation=enabled` the configuration alone is not enough."""
    with staged() as stage:
        stage.system.opt_out(stage.system.dlq_arn)
        stage.outage()
        stage.until_settled()
        assert letters(stage).verdict is Verdict.REFUSED
        assert "auto-remediation" in letters(stage).why
        assert writes(stage) == []


def test_nothing_is_done_before_somebody_has_switched_nightshift_on() -> None:
    """A new deployment has no kill-switch item: that counts as off, and the incident waits."""
    with World(NIGHT, thin=True) as world:
        system = DocumentManagement(world)
        with Deployment(world, configuration(system)) as nightshift:
            system.offer(6)
            stage = Stage(world, system, nightshift)
            stage.minutes(20)
            stage.outage()
            stage.minutes(60)
            assert letters(stage).phase is Phase.OPEN
            refusal = letters(stage).refusal
            assert refusal is not None
            assert refusal.guard == "kill-switch"
            assert writes(stage) == []


def test_while_the_kill_switch_is_off_letters_are_not_looked_at_again_every_minute() -> None:
    """Looking counts as a receive: one diagnosis says what would be done, and the next is made when it may be done."""
    with staged() as stage:
        stage.nightshift.pause("not tonight")
        stage.outage()
        stage.minutes(20)
        looks = len(stage.world.trail.of("sqs.ReceiveMessage", function="nightshift-tick"))
        assert looks > 0
        assert letters(stage).plan is not None
        stage.minutes(20)
        assert len(stage.world.trail.of("sqs.ReceiveMessage", function="nightshift-tick")) == looks
        stage.nightshift.resume()
        stage.until_settled()
        assert letters(stage).verdict is Verdict.FIXED


def test_a_service_that_was_stopped_on_purpose_is_not_started() -> None:
    """Desired count 0 is somebody's decision: no restart, and the letters wait."""
    with staged() as stage:
        stage.outage()
        stage.system.stop_service()
        stage.minutes(60)
        assert stage.nightshift.of(STALLED) == []
        assert stage.system.service.desired == 0
        assert writes(stage) == []


def test_a_restart_that_would_ship_new_code_is_refused() -> None:
    """Somebody pushed an image under the tag that the service runs: a forced deployment would roll it out."""
    with staged() as stage:
        stage.system.push_image()
        stage.system.wedge_consumer()
        stage.until_settled(timedelta(hours=7))
        [incident] = stage.nightshift.of(STALLED)
        assert incident.verdict is Verdict.REFUSED
        assert "ecs.UpdateService" not in writes(stage)


def test_nothing_is_touched_while_its_stack_is_being_updated_and_all_is_well_afterwards() -> None:
    """A CloudFormation update under way holds the redrive; when it is over, the letters go home."""
    with staged() as stage:
        stage.system.start_stack_update()
        stage.outage()
        stage.minutes(30)
        refusal = letters(stage).refusal
        assert refusal is not None
        assert refusal.guard == "mid-change"
        assert writes(stage) == []
        stage.system.finish_stack_update()
        stage.until_settled()
        assert letters(stage).verdict is Verdict.FIXED
        assert stage.system.dead == 0


# -- AWS does not do as it is told -------------------------------------------------------------------------------------


def test_a_queue_that_is_deleted_meanwhile_is_reported_and_never_acted_on() -> None:
    """A registered queue that no longer exists is unknown: not cured, not empty, and a person is told."""
    with staged(settings='deadline = "PT1H"') as stage:
        stage.outage()
        stage.until(lambda: stage.nightshift.all)
        stage.world.client("sqs").delete_queue(QueueUrl=stage.system.dlq_url)
        stage.until_settled()
        assert letters(stage).verdict is Verdict.UNVERIFIABLE
        assert "does not exist" in letters(stage).why
        assert writes(stage) == []


def test_access_denied_half_way_is_terminal_and_names_the_missing_action() -> None:
    """The canary may not be sent: the incident escalates at once, names the IAM action, and no letter is gone."""
    with staged() as stage:
        stage.world.faults.add(
            Kind.DENIED, "sqs.SendMessage", times=None, where=lambda call: call.principal.role_arn is not None
        )
        stage.outage()
        stage.until_settled()
        incident = letters(stage)
        assert incident.verdict is Verdict.ESCALATED
        assert "sqs:SendMessage" in incident.why
        assert "sqs:SendMessage" in stage.world.mail[-1].text
        assert "sqs.DeleteMessage" not in writes(stage)
        assert stage.world.unaccounted() == {}


def test_reads_that_are_throttled_make_the_target_unknown_and_the_cure_late_not_wrong() -> None:
    """Throttled for a quarter of an hour: nothing is done on what cannot be seen; then all is well."""
    with staged() as stage:
        stage.outage()
        fault = stage.world.faults.add(
            Kind.THROTTLED, "sqs.GetQueueAttributes", times=None, where=lambda call: call.function is not None
        )
        stage.minutes(15)
        assert fault.struck > 0
        assert writes(stage) == []
        stage.world.faults.clear()
        stage.until_settled()
        assert letters(stage).verdict is Verdict.FIXED
        assert stage.system.dead == 0


def test_a_send_whose_answer_is_lost_is_not_repeated() -> None:
    """One SendMessage times out after its effect: no letter is processed twice on our account, and it is counted."""
    with staged(settings='deadline = "PT1H"') as stage:
        fault = stage.world.faults.add(
            Kind.TIMEOUT_AFTER, "sqs.SendMessage", times=1, where=lambda call: call.principal.role_arn is not None
        )
        stage.outage()
        stage.until_settled()
        assert fault.struck == 1
        assert letters(stage).ledger.balanced
        assert sum(count - 1 for count in stage.world.processed.duplicates.values()) <= letters(stage).ledger.uncertain


def test_a_restart_whose_answer_is_lost_happens_once() -> None:
    """UpdateService times out after its effect: the new deployment is found by looking, and no second one is made."""
    with staged() as stage:
        stage.world.faults.add(Kind.TIMEOUT_AFTER, "ecs.UpdateService", times=1)
        stage.system.wedge_consumer()
        stage.until_settled()
        [incident] = stage.nightshift.of(STALLED)
        assert incident.verdict is Verdict.FIXED
        assert len(stage.world.trail.of("ecs.UpdateService")) == 1
        assert {call.outcome for call in incident.calls} <= {Outcome.DONE, Outcome.UNKNOWN}


# -- events can only make us look ----------------------------------------------------------------------------------


def test_a_forged_alarm_about_a_healthy_queue_changes_nothing() -> None:
    """Anybody with cloudwatch:SetAlarmState can raise an alarm: it makes us look, and nothing else."""
    with staged() as stage:
        _alarm_on(stage)
        stage.world.client("cloudwatch").set_alarm_state(AlarmName="dlq", StateValue="ALARM", StateReason="forged")
        stage.minutes(5)
        assert [each.function for each in stage.world.lambdas.invocations].count("nightshift-alarm") >= 1
        assert stage.nightshift.all == []
        assert writes(stage) == []


def _alarm_on(stage: Stage) -> None:
    stage.world.client("cloudwatch").put_metric_alarm(
        AlarmName="dlq",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": stage.system.shape.dead_letter_queue}],
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
    )


# -- approval --------------------------------------------------------------------------------------------------------


def answer(stage: Stage, word: str, why: str = "") -> bool:
    """A person answers the question that is open."""
    incident = letters(stage)
    assert incident.approval is not None
    now = stage.world.now
    given = dataclasses.replace(
        incident.approval, answer=word, by="arn:aws:iam::123456789012:user/ada", why=why, answered_at=now
    )
    event = Event(now, word, f"{word} by ada")
    return stage.nightshift.incidents.answer(incident.id, given, asked=incident.approval, now=now, event=event)


def asked(stage: Stage) -> None:
    """Wait for the question."""
    stage.outage()
    stage.until(lambda: any(incident.phase is Phase.AWAITING for incident in stage.nightshift.all))


def test_in_mode_approve_a_person_is_asked_with_the_plan_and_nothing_is_done_before_the_answer() -> None:
    """The mail holds plan, risk, cost and the command; the answer is used once, and the letters go home."""
    with staged(mode=Mode.APPROVE) as stage:
        asked(stage)
        stage.minutes(10)
        assert writes(stage) == []
        [mail] = [mail for mail in stage.world.mail if (mail.subject or "").startswith("APPROVE?")]
        assert f"nightshift approve {letters(stage).id}" in mail.text
        assert answer(stage, "approved")
        assert not answer(stage, "approved")
        stage.until_settled()
        assert letters(stage).verdict is Verdict.FIXED
        assert stage.system.dead == 0
        assert "user/ada" in stage.world.mail[-1].text


def test_a_denial_ends_the_incident_and_keeps_the_reason() -> None:
    """What a person said no to is refused, with the reason in the report."""
    with staged(mode=Mode.APPROVE) as stage:
        asked(stage)
        assert answer(stage, "denied", "the consumer is not idempotent")
        stage.until_settled()
        assert letters(stage).verdict is Verdict.REFUSED
        assert "not idempotent" in stage.world.mail[-1].text
        assert writes(stage) == []


def test_a_question_that_nobody_answers_expires() -> None:
    """After a while (four hours, if nothing else is said) the question is void: told, and a late yes is not taken."""
    with staged(mode=Mode.APPROVE, limits='approval_expiry = "PT30M"') as stage:
        asked(stage)
        stage.until_settled()
        assert letters(stage).verdict is Verdict.REFUSED
        assert "expired" in letters(stage).why
        assert not answer(stage, "approved")
        assert writes(stage) == []


def test_what_heals_while_a_person_is_asked_is_not_cured_afterwards() -> None:
    """A colleague empties the queue while the question is open: recovered, and a yes comes too late."""
    with staged(mode=Mode.APPROVE) as stage:
        asked(stage)
        stage.world.client("sqs").start_message_move_task(SourceArn=stage.system.dlq_arn)
        stage.until_settled()
        assert letters(stage).verdict is Verdict.RECOVERED
        assert not answer(stage, "approved")
        assert writes(stage) == []


# -- a storm -----------------------------------------------------------------------------------------------------------


def test_in_a_storm_nothing_is_fixed_target_by_target_and_one_page_goes_out() -> None:
    """Three systems fail at once: the brake engages, one page names them, and no target is touched."""
    with World(NIGHT, thin=True) as world:
        systems = [DocumentManagement(world, env) for env in ("prod", "stage", "test")]
        toml = configuration(systems[0])
        for system in systems[1:]:
            toml += (
                configuration(system).partition("[[systems]]")[1] + configuration(system).partition("[[systems]]")[2]
            )
        with Deployment(world, toml) as nightshift:
            nightshift.resume()
            for system in systems:
                system.offer(6)
            world.run(timedelta(minutes=20))
            systems[0].scanner_down()
            world.run(timedelta(minutes=6))
            systems[0].scanner_up()
            world.run(timedelta(minutes=40))
            assert len(nightshift.of(DLQ)) == 3
            assert nightshift.incidents.brake().engaged
            assert len([mail for mail in world.mail if (mail.subject or "").startswith("STORM")]) == 1
            assert [event.name for event in world.trail.of(writes=True) if event.principal.role_arn] == []
