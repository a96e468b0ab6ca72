"""Handlers are called as Lambda calls them, and nothing that they raise stops the world."""

import json
from datetime import timedelta
from typing import Any

import boto3

from sandbox import World
from sandbox.faults import Crash, Kind
from sandbox.queues import redrive_policy
from sandbox.systems.document_management import DocumentManagement

MINUTE = timedelta(minutes=1)
Event = dict[str, Any]


class Recorder:
    """A handler that remembers its events, and raises as often as it is told to."""

    def __init__(self, *, failures: int = 0, error: BaseException | None = None, answer: Any = None) -> None:
        self.events: list[Event] = []
        self.contexts: list[Any] = []
        self.failures = failures
        self.error = error or RuntimeError("no")
        self.answer = answer

    def __call__(self, event: Event, context: Any) -> Any:
        self.events.append(event)
        self.contexts.append(context)
        if len(self.events) <= self.failures:
            raise self.error
        return self.answer(event) if callable(self.answer) else self.answer


def make_queue(world: World, tries: int = 3, visibility: int = 30) -> tuple[str, str]:
    """A work queue with a dead-letter queue."""
    sqs = world.client("sqs")
    dead = sqs.create_queue(QueueName="work-dead")["QueueUrl"]
    attributes = {
        "VisibilityTimeout": str(visibility),
        "RedrivePolicy": redrive_policy(world.arn("sqs", "work-dead"), tries),
    }
    return sqs.create_queue(QueueName="work", Attributes=attributes)["QueueUrl"], dead


def test_a_schedule_calls_every_minute(world: World) -> None:
    """On the minute, with EventBridge's scheduled event."""
    recorder = Recorder()
    world.lambdas.schedule(recorder, every=MINUTE, name="sweep")
    world.run(3 * MINUTE)
    assert [event["time"] for event in recorder.events] == [f"2026-11-02T03:0{minute}:00Z" for minute in (1, 2, 3)]
    assert recorder.events[0] | {"id": "", "time": ""} == {
        "version": "0",
        "id": "",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": world.account,
        "time": "",
        "region": world.region,
        "resources": [f"arn:aws:events:{world.region}:{world.account}:rule/sweep"],
        "detail": {},
    }


def test_the_context_is_lambdas(world: World) -> None:
    """A request id of its own, and the time that is left, in virtual time."""
    left = []

    def handler(event: Event, context: Any) -> None:
        left.append(context.get_remaining_time_in_millis())
        world.run(timedelta(seconds=4))
        left.append(context.get_remaining_time_in_millis())

    done = world.lambdas.invoke(handler, {})
    assert (done.ok, left) == (True, [60_000, 56_000])
    recorder = Recorder()
    world.lambdas.schedule(recorder, every=MINUTE, name="sweep", timeout=timedelta(seconds=120))
    world.run(2 * MINUTE)
    assert len({context.aws_request_id for context in recorder.contexts}) == 2
    assert recorder.contexts[0].invoked_function_arn.endswith(":function:sweep")


def test_an_event_that_fails_is_tried_twice_more(world: World) -> None:
    """After one minute and after two more; then it goes to the on-failure queue, with its reason."""
    failed = world.client("sqs").create_queue(QueueName="failed")["QueueUrl"]
    recorder = Recorder(failures=99)
    world.lambdas.events(recorder, {"source": ["app"]}, name="alarm", on_failure=failed)
    started = world.now
    world.client("events").put_events(Entries=[{"Source": "app", "DetailType": "t", "Detail": '{"a": 1}'}])
    world.run(10 * MINUTE)
    assert [each.at - started for each in world.lambdas.errors] == [0 * MINUTE, 1 * MINUTE, 3 * MINUTE]
    record = json.loads(world.queues.bodies(failed)[0])
    assert record["requestPayload"]["detail"] == {"a": 1}
    assert (record["requestContext"]["condition"], record["requestContext"]["approximateInvokeCount"]) == (
        "RetriesExhausted",
        3,
    )


def test_an_event_that_works_the_second_time_is_done(world: World) -> None:
    """A retry that succeeds ends it."""
    recorder = Recorder(failures=1)
    world.lambdas.events(recorder, {"source": ["app"]})
    world.client("events").put_events(Entries=[{"Source": "app", "DetailType": "t", "Detail": "{}"}])
    world.run(10 * MINUTE)
    assert (len(recorder.events), world.lambdas.discarded) == (2, [])


def test_only_matching_events_arrive(world: World) -> None:
    """Patterns are EventBridge's own."""
    recorder = Recorder()
    world.lambdas.events(recorder, {"source": ["aws.cloudwatch"], "detail": {"state": {"value": ["ALARM"]}}})
    for value in ("OK", "ALARM"):
        world.events.publish("aws.cloudwatch", "CloudWatch Alarm State Change", {"state": {"value": value}}, [])
    world.run(MINUTE)
    assert [event["detail"]["state"]["value"] for event in recorder.events] == ["ALARM"]


def test_events_of_aws_cannot_be_forged(world: World) -> None:
    """PutEvents refuses the sources of AWS, broken detail, and nothing else."""
    answer = world.client("events").put_events(
        Entries=[
            {"Source": "aws.cloudwatch", "DetailType": "t", "Detail": "{}"},
            {"Source": "app", "DetailType": "t", "Detail": "{"},
            {"Source": "app", "DetailType": "t", "Detail": "{}"},
        ]
    )
    assert answer["FailedEntryCount"] == 2
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [
        "NotAuthorizedForSourceException",
        "MalformedDetail",
        None,
    ]


def test_a_queue_calls_with_sqs_records(world: World) -> None:
    """The real shape; what returns is deleted."""
    url, _ = make_queue(world)
    recorder = Recorder()
    world.lambdas.queue(recorder, url, batch_size=2)
    sqs = world.client("sqs")
    for number in range(3):
        attributes = {"k": {"DataType": "String", "StringValue": "v"}}
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageAttributes=attributes)
    world.run(timedelta(seconds=1))
    records = [record for event in recorder.events for record in event["Records"]]
    assert sorted(record["body"] for record in records) == ["0", "1", "2"]
    assert max(len(event["Records"]) for event in recorder.events) == 2
    record = records[0]
    assert set(record) == {
        *("messageId", "receiptHandle", "body", "attributes", "messageAttributes"),
        *("md5OfBody", "eventSource", "eventSourceARN", "awsRegion"),
    }
    assert record["messageAttributes"]["k"] == {
        "stringValue": "v",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", world.arn("sqs", "work"))
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert world.queues.depth(url).total == 0


def test_a_delayed_message_comes_when_it_is_due(world: World) -> None:
    """A delay is the clock of whoever sends it."""
    url, _ = make_queue(world)
    recorder = Recorder()
    world.lambdas.queue(recorder, url)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x", DelaySeconds=90)
    world.run(timedelta(seconds=89))
    assert recorder.events == []
    world.run(timedelta(seconds=2))
    assert len(recorder.events) == 1


def test_only_what_failed_comes_back(world: World) -> None:
    """Partial batch responses are honoured; after maxReceiveCount the message dies."""
    url, dead = make_queue(world)

    def answer(event: Event) -> Any:
        bad = [record["messageId"] for record in event["Records"] if record["body"] == "bad"]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in bad]}

    recorder = Recorder(answer=answer)
    world.client("sqs").send_message_batch(
        QueueUrl=url, Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(["good", "bad", "good"])]
    )
    world.lambdas.queue(recorder, url)
    world.run(5 * MINUTE)
    assert [len(event["Records"]) for event in recorder.events] == [3, 1, 1]
    assert (world.queues.bodies(dead), world.unaccounted()) == (["bad"], {})


def test_a_response_that_makes_no_sense_fails_the_batch(world: World) -> None:
    """An identifier that was not in the batch means that everything is tried again."""
    url, dead = make_queue(world)
    world.lambdas.queue(Recorder(answer={"batchItemFailures": [{"itemIdentifier": "nobody"}]}), url)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    world.run(5 * MINUTE)
    assert world.queues.bodies(dead) == ["x"]


def test_a_crash_is_recorded_and_tried_again(world: World, dms: DocumentManagement) -> None:
    """The process that dies in the middle of a batch gets the batch again after its visibility timeout."""
    url, _ = make_queue(world)
    client = boto3.client("sqs")

    def handler(event: Event, context: Any) -> None:
        client.get_queue_url(QueueName="work")

    world.faults.crash(at_call=1)
    world.lambdas.queue(handler, url)
    world.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    world.run(MINUTE)
    first, second = world.lambdas.invocations
    assert (type(first.error), second.ok, second.at - first.at) == (Crash, True, timedelta(seconds=30))


def test_calls_are_recorded_under_the_functions_name(world: World, dms: DocumentManagement) -> None:
    """Who called is in the trail, and so is what went wrong."""
    client = boto3.client("sqs")
    world.faults.add(Kind.DENIED, "sqs.GetQueueAttributes")
    world.lambdas.schedule(
        lambda event, context: client.get_queue_attributes(QueueUrl=dms.dlq_url, AttributeNames=["All"]),
        MINUTE,
        name="sweep",
    )
    world.run(MINUTE)
    assert [(event.principal.name, event.error) for event in world.trail.of(function="sweep")] == [
        ("sweep", "AccessDenied")
    ]


def test_what_a_handler_does_to_its_event_stays_there(world: World) -> None:
    """Each call gets its own copy."""
    seen = []

    def handler(event: Event, context: Any) -> None:
        seen.append(len(event["detail"]))
        event["detail"]["more"] = 1
        raise RuntimeError

    world.lambdas.events(handler, {"source": ["app"]})
    world.client("events").put_events(Entries=[{"Source": "app", "DetailType": "t", "Detail": "{}"}])
    world.run(5 * MINUTE)
    assert seen == [0, 0, 0]
