"""The handlers, on the shapes in which AWS calls them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from nightshift import edge
from nightshift.config import to_json
from nightshift.environment import Environment
from nightshift.errors import Unsent
from nightshift.model import Plan, Step
from nightshift.remediation import Actor
from nightshift.service import Service, connect, from_environment, utc_now

from functions import alarm, digest, sweep, tick
from tests.hostile.shapes import OTHERS, WAYS, Event, Metric, Told, sqs_records
from tests.support.toy import ACCOUNT, MINUTE, QUARANTINE, REGION, ROLES, START, TABLE, Account, Toy, policy, queue_arn

SCHEDULE = OTHERS["schedule"]


def told(state: str = "ALARM", queue: str = "orders") -> Told:
    """An alarm on a queue."""
    return Told(state=state, metrics=(Metric({"QueueName": queue}),))


@dataclass
class Context:
    """What Lambda tells a function about itself."""

    function_name: str = "nightshift"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nightshift"
    aws_request_id: str = "52fdfc07-2182-454f-963f-5f0f9a621d72"
    left: Callable[[], float] = lambda: 120

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still run."""
        return round(self.left() * 1000)


@pytest.fixture
def environment(account: Account) -> Environment:
    """The functions' environment."""
    url = account.aws.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    return Environment(
        table=TABLE, topic_arn=account.topic, queue_url=url, quarantine=QUARANTINE, write_roles=ROLES, region=REGION
    )


@pytest.fixture
def service(account: Account, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The deployed service, with one sick and one healthy queue."""
    rules = policy([account.queue("orders", delay=5), account.queue("well")], [Toy()])
    service = connect(rules, account.aws, environment, clock=account.clock)
    monkeypatch.setattr(edge, "service", lambda: service)
    return service


def work(account: Account, environment: Environment) -> list[str]:
    """What stands on the work queue."""
    account.clock.pass_(MINUTE)
    answer = account.aws.client("sqs").receive_message(QueueUrl=environment.queue_url, MaxNumberOfMessages=10)
    return [message["Body"] for message in answer.get("Messages", [])]


def test_the_schedule_sweeps(account: Account, service: Service, environment: Environment) -> None:
    """One sweep; what is due is on the work queue."""
    assert sweep.handler(SCHEDULE, Context()) == {"targets": 2, "sick": 1, "unknown": 0, "due": 1}
    [body] = work(account, environment)
    assert list(json.loads(body)) == ["incident"]


def test_a_message_ticks(account: Account, service: Service, environment: Environment) -> None:
    """What the sweep hands out is worked on; a doubled message does nothing more."""
    sweep.handler(SCHEDULE, Context())
    [body] = work(account, environment)
    assert tick.handler(sqs_records(body, body), Context()) == {"batchItemFailures": []}
    assert account.wire.written == ["sqs:SetQueueAttributes"]


def test_the_clock_sends_what_is_due(account: Account, service: Service) -> None:
    """Nothing at the first look, for what was before it was not watched; then each week once."""
    notify = service.policy.notify.model_copy(update={"digests": ("weekly",)})
    service.reports.policy = replace(service.policy, notify=notify)
    assert digest.handler(SCHEDULE, Context()) == {"told": []}
    account.clock.pass_(7 * 24 * 60 * MINUTE)
    [week] = digest.handler(SCHEDULE, Context())["told"]
    assert week.startswith("weekly 2026-W")
    assert digest.handler(SCHEDULE, Context()) == {"told": []}
    account.wire.fail("sns:Publish", "InternalError", status=500)
    account.clock.pass_(7 * 24 * 60 * MINUTE)
    with pytest.raises(Unsent):
        digest.handler(SCHEDULE, Context())


@pytest.mark.hostile(5)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_an_alarm_makes_us_look(
    account: Account, service: Service, environment: Environment, way: Callable[[Told], Event]
) -> None:
    """Whichever way it comes: the target goes on the work queue; the look opens what is sick, and ticks it."""
    assert alarm.handler(way(told()), Context()) == {"targets": 1}
    [body] = work(account, environment)
    assert json.loads(body) == {"look": queue_arn("orders")}
    assert account.wire.written == []
    assert tick.handler(sqs_records(body), Context()) == {"batchItemFailures": []}
    [incident_id] = account.incidents.open_ids()
    assert incident_id == "20260301T0301-" + incident_id[-8:]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("other", [told("OK"), told(queue="unlisted"), told("INSUFFICIENT_DATA")], ids=range(3))
def test_other_alarms_do_nothing(
    account: Account, service: Service, environment: Environment, way: Callable[[Told], Event], other: Told
) -> None:
    """Nothing registered, or no alarm."""
    assert alarm.handler(way(other), Context()) == {"targets": 0}
    assert work(account, environment) == []


def test_a_batch_of_alarms_names_each_target_once(
    account: Account, service: Service, environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is none of ours in it is counted, and keeps nothing else from being heard."""
    said = json.dumps(told().notification)
    assert alarm.handler(sqs_records("no JSON", said, "no JSON", said), Context()) == {"targets": 1}
    assert len(work(account, environment)) == 1
    metrics = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    assert [(line["EventsRejected"], line["AlarmsSeen"]) for line in metrics] == [([2.0], [2.0])]


def test_a_forged_alarm_about_a_healthy_target_does_nothing(account: Account, service: Service) -> None:
    """We look, and it is well."""
    tick.handler(sqs_records(json.dumps({"look": queue_arn("well")})), Context())
    assert account.incidents.open_ids() == []
    assert account.wire.written == []


@pytest.mark.parametrize(
    "handler",
    [sweep.handler, alarm.handler, tick.handler, digest.handler],
    ids=["sweep", "alarm", "tick", "digest"],
)
@pytest.mark.parametrize(
    "event",
    [None, [], "x", {}, {"Records": "x"}, {"Records": [None]}, {"Records": [{}]}, {**SCHEDULE, "account": "9" * 12}],
    ids=range(8),
)
def test_what_is_none_of_ours_is_dropped(service: Service, handler: Any, event: Any) -> None:
    """Rejected in one line; nothing is retried."""
    assert list(handler(event, Context())) == ["rejected"]


def test_bad_messages_are_dropped_and_failed_ones_named(account: Account, service: Service) -> None:
    """One message of a batch fails: it alone comes again."""
    [incident_id] = service.sweep().opened
    account.wire.fail("dynamodb:UpdateItem", "InternalServerError", status=500)
    bodies = ("no JSON", json.dumps({"look": queue_arn("unlisted")}), json.dumps({"incident": incident_id}))
    assert tick.handler(sqs_records(*bodies), Context()) == {"batchItemFailures": [{"itemIdentifier": "message-2"}]}


def test_a_fenced_tick_is_no_failure(account: Account, service: Service) -> None:
    """Another tick has the record, and will do what is to be done."""
    [incident_id] = service.sweep().opened

    def overtake(name: str, params: dict[str, Any]) -> None:
        if name == "sts:AssumeRole":
            account.wire.after.remove(overtake)
            assert account.incidents.claim(incident_id, account.clock() + 10 * MINUTE) is not None

    account.wire.after.append(overtake)
    assert tick.handler(sqs_records(json.dumps({"incident": incident_id})), Context()) == {"batchItemFailures": []}
    assert account.wire.written == []


def test_a_tick_knows_when_its_function_is_killed(account: Account, service: Service) -> None:
    """
    A step goes on for as long as the invocation lasts, whose time the messages before it have used too.

    The claim is longer (a function's timeout < an incident's lease): who goes by that alone is killed half-way.
    """
    [incident_id] = service.sweep().opened
    told: list[float] = []

    class Asking(Toy):
        def apply(self, act: Actor, plan: Plan, step: Step) -> None:
            told.append(act.seconds_left())
            super().apply(act, plan, step)

    service.engine.policy = replace(service.policy, remediations={"toy": Asking()})
    tick.handler(sqs_records(json.dumps({"incident": incident_id})), Context(left=lambda: 70))
    assert told == [40], "30 seconds before its end nothing is begun any more: a call may take 23"


def test_what_there_is_no_time_for_is_left_to_the_next_sweep(account: Account, service: Service) -> None:
    """No tick is begun that would be killed half-way; its message is no failure, and its record not even claimed."""
    [incident_id] = service.sweep().opened
    late = Context(left=lambda: 59)
    assert tick.handler(sqs_records(json.dumps({"incident": incident_id})), late) == {"batchItemFailures": []}
    assert account.wire.written == []
    assert list(service.sweep().due) == [incident_id]
    tick.handler(sqs_records(json.dumps({"incident": incident_id})), Context())
    assert account.wire.written == ["sqs:SetQueueAttributes"]


def test_a_sweep_without_a_table_fails(account: Account, service: Service) -> None:
    """So that the dead-man alarm notices."""
    account.wire.fail("dynamodb:Query", "InternalServerError", status=500)
    with pytest.raises(Exception, match="dynamodb"):
        sweep.handler(SCHEDULE, Context())


def test_a_queue_that_does_not_take_work_fails(account: Account, service: Service) -> None:
    """The next sweep hands it out again."""
    account.wire.fail("sqs:SendMessageBatch", "InternalError", status=500)
    with pytest.raises(Unsent):
        service.work.targets([queue_arn("orders")])


def test_work_is_sent_in_batches_and_not_too_early(
    account: Account, service: Service, environment: Environment
) -> None:
    """Ten at a time, each at most a quarter of an hour from now."""
    due = {f"20260301T0300-0000000{number:x}": START + number * 3 * MINUTE for number in range(12)}
    service.work.incidents(due, now=START)
    sent = [entry for _, params in account.wire.made("sqs:SendMessageBatch") for entry in params["Entries"]]
    assert [entry["DelaySeconds"] for entry in sent] == [min(number * 180, 900) for number in range(12)]
    service.work.incidents({"20260301T0300-00000000": START - MINUTE}, now=START)


def test_the_deployed_service_comes_from_its_environment(
    account: Account, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration from the layer, everything else from variables; made once, and again after forget()."""
    from nightshift.remediations import REMEDIATIONS

    letters = next(each for each in REMEDIATIONS if "sqs:queue" in each.kinds)
    config = tmp_path / "config.json"
    config.write_text(to_json(policy([account.queue("letters")], [letters()])))
    here = from_environment(environment.model_copy(update={"config": config}))
    assert [str(each.arn) for each in here.policy.targets] == [queue_arn("letters")]
    assert utc_now().tzinfo is not None
    for name, value in {
        "NIGHTSHIFT_CONFIG": str(config),
        "NIGHTSHIFT_TABLE": TABLE,
        "NIGHTSHIFT_TOPIC_ARN": account.topic,
        "NIGHTSHIFT_QUEUE_URL": environment.queue_url,
        "NIGHTSHIFT_QUARANTINE": QUARANTINE,
        "NIGHTSHIFT_WRITE_ROLES": ROLES,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    edge.forget()
    assert edge.service() is edge.service()
    edge.forget()
