"""A consumer finishes what is good, and fails at what is not."""

import io
import json
import zipfile
from datetime import timedelta

from sandbox import World
from sandbox.consumers import Consumer
from sandbox.event_sources import pollers_of
from sandbox.systems.document_management import DocumentManagement, is_corrupt
from sandbox.systems.usage_metrics import UsageMetrics

MINUTE = timedelta(minutes=1)


def test_good_messages_are_finished_once(world: World, dms: DocumentManagement) -> None:
    """Each body that was sent is in the record exactly once."""
    bodies = dms.send(50)
    world.run_until(lambda: dms.backlog == 0, 10 * MINUTE)
    assert all(world.processed.count(body) == 1 for body in bodies)


def test_the_rate_is_per_working_task(world: World, dms: DocumentManagement) -> None:
    """Two tasks at half a message per second need a minute for sixty; one needs two."""
    dms.send(60)
    both = world.run_until(lambda: dms.backlog == 0, 10 * MINUTE)
    dms.service.wedge(dms.service.running[:1])
    dms.send(60)
    alone = world.run_until(lambda: dms.backlog == 0, 10 * MINUTE)
    assert 1.8 < alone / both < 2.2


def test_poison_dies_and_nothing_else_does(world: World, dms: DocumentManagement) -> None:
    """What is corrupt fails as often as it may, and then lies in the dead-letter queue."""
    dms.offer(per_minute=10)
    poison = dms.send_poison(4)
    world.run(10 * MINUTE)
    assert sorted(world.queues.bodies(dms.dlq)) == sorted(poison)
    assert all(is_corrupt(body) for body in poison)
    assert not any(is_corrupt(each.body) for each in world.processed)


def test_poison_is_of_many_kinds(world: World, dms: DocumentManagement) -> None:
    """Some of it is no JSON at all, and some looks like a document."""
    kinds = set()
    for body in dms.send_poison(8):
        try:
            kinds.add(tuple(sorted(json.loads(body))))
        except ValueError:
            kinds.add(("not JSON",))
    assert len(kinds) == 4


def test_everything_fails_while_a_dependency_is_down(world: World, dms: DocumentManagement) -> None:
    """And works again afterwards: what has not died yet is finished, and what died can be brought back."""
    dms.scanner_down()
    dms.send(20)
    world.run(2 * MINUTE)
    assert (len(world.processed), dms.backlog) == (0, 20)
    dms.scanner_up()
    world.run(5 * MINUTE)
    assert len(world.processed) == 20
    dms.index_down()
    dms.send(5)
    world.run(10 * MINUTE)
    assert dms.dead == 5


def test_poison_that_is_moved_home_dies_again(world: World, dms: DocumentManagement) -> None:
    """A redrive cures only what can be cured."""
    dms.send_poison(3)
    world.run(10 * MINUTE)
    world.client("sqs").start_message_move_task(SourceArn=dms.dlq_arn)
    world.run(10 * MINUTE)
    assert (dms.dead, len(world.processed)) == (3, 0)


def test_a_message_sent_twice_is_finished_twice(world: World, dms: DocumentManagement) -> None:
    """A redrive by hand that crashes between send and delete leaves a duplicate, and the record shows it."""
    body = dms.send(1)[0]
    world.client("sqs").send_message(QueueUrl=dms.queue_url, MessageBody=body)
    world.run(2 * MINUTE)
    assert (world.processed.count(body), list(world.processed.duplicates.values())) == (2, [2])


def test_usage_events_are_consumed_in_the_other_system_too(world: World) -> None:
    """The queue of runbook 4 has the same physics."""
    usage = UsageMetrics(world)
    usage.database_down()
    usage.send(30)
    usage.send_poison(3)
    world.run_until(lambda: usage.dead == 33, 20 * MINUTE)
    usage.database_up()
    world.client("sqs").start_message_move_task(SourceArn=usage.dlq_arn)
    world.run(10 * MINUTE)
    assert (len(world.processed), usage.dead, world.unaccounted()) == (30, 3, {})


def test_a_lambda_consumes_while_its_mapping_is_enabled(world: World) -> None:
    """Disabled, or with no concurrency left to it, a function takes nothing."""
    sqs, functions = world.client("sqs"), world.client("lambda")
    url = sqs.create_queue(QueueName="etl")["QueueUrl"]
    role = world.client("iam").create_role(RoleName="etl", Path="/", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    functions.create_function(
        FunctionName="etl", Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": code.getvalue()}
    )
    mapping = functions.create_event_source_mapping(FunctionName="etl", EventSourceArn=world.arn("sqs", "etl"))["UUID"]
    Consumer(
        agenda=world.agenda,
        queues=world.queues,
        dependencies=world.dependencies,
        dice=world.dice("etl"),
        queue=world.queues.find(url),
        workers=pollers_of((world.account, world.region), mapping),
    )
    sqs.send_message(QueueUrl=url, MessageBody="1")
    world.run(MINUTE)
    assert len(world.processed) == 1
    functions.put_function_concurrency(FunctionName="etl", ReservedConcurrentExecutions=0)
    sqs.send_message(QueueUrl=url, MessageBody="2")
    world.run(MINUTE)
    assert len(world.processed) == 1
    functions.delete_function_concurrency(FunctionName="etl")
    sqs.send_message(QueueUrl=url, MessageBody="3")
    world.run(MINUTE)
    assert len(world.processed) == 3
