"""What was set apart is shown without its body, given back once, and dropped only as it was shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from nightshift.incidents import Event
from typer.testing import Result

from tests.nightshift.cli.desk import ID, ME, NOW, Desk
from tests.nightshift.signals.cloud import ACCOUNT, REGION

DLQ = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
HOME = f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"
KEY = "letters/letters/0123456789abcdef-m1.json"
TRIGGER = "triggers/metadata/customers/hts/CHG-1.json/2026-11-20T03:00:00+00:00-abc.json"
BODY = '{"order": 1, "password": "hunter2"}'


@pytest.fixture
def apart(desk: Desk) -> Desk:
    """A desk in front of a deployment with an empty quarantine, and of a queue and a bucket that things came from."""
    desk.deploy()
    s3 = desk.cloud.session.client("s3")
    for name in ("quarantine", "metadata"):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    desk.letters("orders")
    return desk


def letter(**changes: Any) -> dict[str, Any]:
    """A letter as it is stored."""
    return {
        "queue": DLQ,
        "messageId": "m1",
        "body": BODY,
        "messageAttributes": {
            "tenant": {"DataType": "String", "StringValue": "hts"},
            "raw": {"DataType": "Binary", "BinaryValue": "AP8="},
        },
        "attributes": {"DeadLetterQueueSourceArn": HOME, "SentTimestamp": "1"},
        "stored": {"by": "nightshift", "incident": ID, "means": "poison", "because": "not JSON"},
        **changes,
    }


def put(desk: Desk, key: str = KEY, body: object = None) -> None:
    """Let something be set apart."""
    text = body if isinstance(body, bytes) else json.dumps(letter() if body is None else body).encode()
    desk.cloud.session.client("s3").put_object(Bucket="quarantine", Key=key, Body=text)


def typed(desk: Desk, *words: str, input: str | None = None) -> Result:  # noqa: A002 - the runner's own word
    """Type a command about the quarantine."""
    return desk.run("quarantine", *words, "--config", str(desk.config), input=input)


def answer(desk: Desk, *words: str) -> dict[str, Any]:
    """What a command answers to a machine."""
    result = typed(desk, *words, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def arrived(desk: Desk, queue: str = "orders") -> list[dict[str, Any]]:
    """The messages of a queue."""
    sqs = desk.cloud.session.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[dict[str, Any]] = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
    ).get("Messages", [])
    return found


def objects(desk: Desk, bucket: str = "quarantine") -> list[str]:
    """What stands in a bucket."""
    found = desk.cloud.session.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    return [each["Key"] for each in found]


def right_before(desk: Desk, operation: str, happens: Callable[[], object]) -> None:
    """Let something happen once, while a call of an operation is on its way."""

    def fault(_: object) -> None:
        if desk.cloud.faults.pop(operation, None) is not None:
            happens()

    desk.cloud.faults[operation] = fault


# -- looking -----------------------------------------------------------------------------------------------------------


def test_the_list_says_what_it_is_and_never_what_is_in_it(apart: Desk) -> None:
    """From where, since when, how large, in which incident; letters and triggers."""
    put(apart)
    put(apart, TRIGGER, b"{}")
    listed = answer(apart, "list")["items"]
    assert [(each["kind"], each["target"], each["incident"], each["restored"]) for each in listed] == [
        ("letter", DLQ, ID, None),
        ("trigger", "arn:aws:s3:::metadata", "", None),
    ]
    assert listed[0]["bytes"] == len(json.dumps(letter()))
    for result in (typed(apart, "list"), typed(apart, "list", "--json")):
        assert "hunter2" not in result.output
        assert "order" not in result.output.replace("orders", "")
    assert apart.wrote() == set()


def test_the_list_can_be_about_one_target(apart: Desk) -> None:
    """By its name or its ARN."""
    put(apart)
    put(apart, "letters/letters-of-others/0-m2.json")
    put(apart, TRIGGER, b"{}")
    assert [each["key"] for each in answer(apart, "list", "letters")["items"]] == [KEY]
    assert [each["key"] for each in answer(apart, "list", DLQ)["items"]] == [KEY]
    assert [each["key"] for each in answer(apart, "list", "metadata")["items"]] == [TRIGGER]


def test_an_empty_quarantine_says_so(apart: Desk) -> None:
    """It is no error."""
    assert "Nothing is set apart." in typed(apart, "list").stdout
    assert answer(apart, "list")["items"] == []


def test_what_is_nobodys_is_listed_as_what_it_is(apart: Desk) -> None:
    """Whoever can write into the bucket can write anything: no line of it breaks the list."""
    put(apart, KEY, b"\xff not JSON")
    put(apart, "letters/letters/deeper/x.json", b"{}")
    [item] = answer(apart, "list")["items"]
    assert (item["key"], item["target"], item["incident"]) == (KEY, "", "")


def test_the_body_is_shown_only_when_it_is_asked_for_and_without_secrets(apart: Desk) -> None:
    """Why it was set apart is shown in any case."""
    put(apart)
    shown = answer(apart, "show", KEY)
    assert (shown["why"], shown["home"], "body" in shown) == ("poison: not JSON", HOME, False)
    assert "hunter2" not in typed(apart, "show", KEY).output
    body = answer(apart, "show", KEY, "--body")["body"]
    assert "order" in body
    assert "hunter2" not in body
    assert "order" in typed(apart, "show", KEY, "--body").stdout


@pytest.mark.parametrize("key", [KEY, "restored/letters/letters/x.json", "elsewhere/x.json"])
def test_what_is_not_there_is_said(apart: Desk, key: str) -> None:
    """And so is the key of something else."""
    result = typed(apart, "show", key)
    assert result.exit_code == 1
    assert "nightshift quarantine list" in result.stderr


def test_a_table_alone_does_not_say_which_bucket_it_is(apart: Desk) -> None:
    """The bucket must be named then."""
    put(apart)
    assert apart.on_table("quarantine", "list").exit_code == 1
    result = apart.on_table("quarantine", "list", "--bucket", "quarantine")
    assert KEY in result.stdout


# -- giving back -------------------------------------------------------------------------------------------------------


def test_a_letter_goes_home_as_it_was_and_its_copy_stays(apart: Desk) -> None:
    """Body and attributes; who did it stands in the incident's timeline."""
    apart.record()
    put(apart)
    done = answer(apart, "restore", KEY, "--why", "the parser is mended", "--yes")
    [message] = arrived(apart)
    assert message["Body"] == BODY
    assert message["MessageAttributes"] == {
        "tenant": {"DataType": "String", "StringValue": "hts"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    assert (done["restored"]["by"], done["restored"]["to"], done["incident_told"]) == (ME, HOME, True)
    assert KEY in objects(apart)
    told = apart.store.events(ID)[-1]
    assert told == Event(
        NOW, "restored", f"letter 0123456789abcdef-m1.json was given back to {HOME} by {ME}: the parser is mended"
    )


@pytest.mark.parametrize("body", ["ü" * 500_000, '"' * 1_040_000])
def test_the_largest_letter_goes_home_as_it_was(apart: Desk, body: str) -> None:
    """SQS takes 1 MiB, and escaped it is more: neither hides where it belongs, nor what it is."""
    put(apart, body=letter(body=body))
    assert json.loads(typed(apart, "show", KEY, "--json").stdout)["home"] == HOME
    assert typed(apart, "restore", KEY, "--why", "the parser is mended", "--yes").exit_code == 0
    assert [message["Body"] == body for message in arrived(apart)] == [True]


def test_a_letter_that_changes_while_it_is_read_is_not_put_together_of_two(apart: Desk) -> None:
    """What is read in parts is one object, or it is said."""
    put(apart, body=letter(body="a" * 1_040_000, messageId="m" * 20_000))
    reads: list[object] = []

    def fault(params: Mapping[str, Any]) -> str | None:
        if params["Key"] == KEY:
            reads.append(params)
            if len(reads) == 2:
                put(apart, body=letter(body="b" * 1_040_000, messageId="m" * 20_000))
        return None

    apart.cloud.faults["GetObject"] = fault
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert (result.exit_code, arrived(apart)) == (1, [])
    assert "it was stored anew while it was read" in result.stderr


def test_a_second_time_must_be_asked_for(apart: Desk) -> None:
    """The first is named, and nothing is sent; with --again it is, for whoever wants it twice."""
    put(apart)
    assert typed(apart, "restore", KEY, "--why", "x", "--yes").exit_code == 0
    result = typed(apart, "restore", KEY, "--why", "y", "--yes")
    assert result.exit_code == 1
    assert f"it was given back already, by {ME}" in result.stderr
    assert len(arrived(apart)) == 1
    assert answer(apart, "list")["items"][0]["restored"]["why"] == "x"
    assert typed(apart, "restore", KEY, "--why", "y", "--yes", "--again").exit_code == 0
    assert len(arrived(apart)) == 2


def test_of_two_people_at_once_one_gives_it_back(apart: Desk) -> None:
    """S3 takes the mark once, whoever is faster, before anything is sent."""
    put(apart)

    def other() -> None:
        assert typed(apart, "restore", KEY, "--why", "me first", "--yes").exit_code == 0

    right_before(apart, "PutObject", other)
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert result.exit_code == 1
    assert len(arrived(apart)) == 1


def test_it_is_shown_before_the_question_and_no_means_no(apart: Desk) -> None:
    """Where to, as whom; nothing is written after a no."""
    put(apart)
    result = typed(apart, "restore", KEY, "--why", "x", input="n\n")
    assert result.exit_code == 1
    for part in (f"Send this letter to {HOME}, as {ME}?", "poison: not JSON"):
        assert part in result.stdout
    assert (apart.wrote(), arrived(apart)) == (set(), [])
    assert typed(apart, "restore", KEY, "--why", "x", input="y\n").exit_code == 0
    assert len(arrived(apart)) == 1


@pytest.mark.parametrize("words", [("--json",), ("--why", " ", "--yes")])
def test_a_machine_says_yes_itself_and_everybody_says_why(apart: Desk, words: tuple[str, ...]) -> None:
    """Wrong usage, with nothing read."""
    why = () if "--why" in words else ("--why", "x")
    for command in ("restore", "discard"):
        assert typed(apart, command, KEY, *why, *words).exit_code == 2
    assert apart.wrote() == set()


def test_what_sqs_does_not_take_is_not_marked(apart: Desk) -> None:
    """It did not arrive, and may be tried again."""
    put(apart)
    apart.cloud.fail("SendMessage", "AccessDenied")
    assert typed(apart, "restore", KEY, "--why", "x", "--yes").exit_code == 1
    apart.cloud.faults.clear()
    assert objects(apart) == [KEY]
    assert typed(apart, "restore", KEY, "--why", "x", "--yes").exit_code == 0
    assert len(arrived(apart)) == 1


def test_a_second_time_that_fails_leaves_the_first_ones_mark(apart: Desk) -> None:
    """Who gave it back, and why, is not lost to somebody whose try did not arrive."""
    put(apart)
    assert typed(apart, "restore", KEY, "--why", "the first", "--yes").exit_code == 0
    apart.cloud.fail("SendMessage", "AccessDenied")
    assert typed(apart, "restore", KEY, "--why", "the second", "--yes", "--again").exit_code == 1
    apart.cloud.faults.clear()
    assert answer(apart, "show", KEY)["restored"]["why"] == "the first"
    assert len(arrived(apart)) == 1


def test_what_may_have_arrived_stays_marked(apart: Desk) -> None:
    """It is sent once, with no second attempt, and the answer says to look."""
    put(apart)
    apart.cloud.fail("SendMessage", "InternalFailure")
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert result.exit_code == 1
    assert "whether it arrived is not known" in result.stderr
    assert "hunter2" not in result.output
    assert apart.cloud.count["SendMessage"] == 1
    apart.cloud.faults.clear()
    assert answer(apart, "show", KEY)["restored"]["by"] == ME


def test_where_sqs_did_not_say_the_configuration_does(apart: Desk) -> None:
    """The dead-letter queue's `source`; where neither says, nothing is sent."""
    put(apart, body=letter(attributes={}))
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert result.exit_code == 1
    assert "which queue it came from is not known" in result.stderr
    text = apart.config.read_text(encoding="utf-8").replace('mode = "approve"', f'mode = "approve"\nsource = "{HOME}"')
    apart.config.write_text(text, encoding="utf-8")
    assert typed(apart, "restore", KEY, "--why", "x", "--yes").exit_code == 0
    assert len(arrived(apart)) == 1


def test_a_failed_event_of_a_function_goes_into_no_queue(apart: Desk) -> None:
    """It never was in one: it is said whose it is, and what a person can do; nothing is sent, and it is not marked."""
    put(apart, body=letter(attributes={}))
    named = f'mode = "approve"\nfunction = "arn:aws:lambda:{REGION}:{ACCOUNT}:function:etl"'
    apart.config.write_text(
        apart.config.read_text(encoding="utf-8").replace('mode = "approve"', named), encoding="utf-8"
    )
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert result.exit_code == 1
    assert "it is a failed event of arn:aws:lambda" in result.stderr
    assert "lambda invoke" in result.stderr
    assert arrived(apart) == []
    assert answer(apart, "show", KEY)["restored"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"attributes": {"DeadLetterQueueSourceArn": f"{HOME}.fifo"}},
        {"attributes": {"DeadLetterQueueSourceArn": "arn:aws:s3:::metadata"}},
        {"attributes": {"DeadLetterQueueSourceArn": "orders"}},
        {"attributes": {"DeadLetterQueueSourceArn": HOME.replace(ACCOUNT, "999999999999")}},
        {"body": {"no": "text"}},
        {"messageAttributes": {"raw": {"DataType": "Binary", "BinaryValue": "%"}}},
        {"messageAttributes": ["x"]},
    ],
    ids=["fifo", "no queue", "no ARN", "another account's", "no body", "no base64", "no attributes"],
)
def test_what_cannot_go_back_as_it_was_does_not(apart: Desk, changes: dict[str, Any]) -> None:
    """It is said, and it is not marked as given back."""
    put(apart, body=letter(**changes))
    assert typed(apart, "restore", KEY, "--why", "x", "--yes").exit_code == 1
    assert (arrived(apart), objects(apart)) == ([], [KEY])


def test_a_trigger_is_put_back_where_none_stands(apart: Desk) -> None:
    """As it was, to the byte; one that stands there by now is left alone."""
    s3 = apart.cloud.session.client("s3")
    put(apart, TRIGGER, b'{"changeId": "CHG-1"}\xff')
    assert "so that it is processed again" in typed(apart, "restore", TRIGGER, "--why", "x", input="y\n").stdout
    assert (
        s3.get_object(Bucket="metadata", Key="customers/hts/CHG-1.json")["Body"].read() == b'{"changeId": "CHG-1"}\xff'
    )
    s3.put_object(Bucket="metadata", Key="customers/hts/CHG-1.json", Body=b"newer")
    result = typed(apart, "restore", TRIGGER, "--why", "y", "--yes", "--again")
    assert result.exit_code == 1
    assert "something stands at s3://metadata/customers/hts/CHG-1.json by now" in result.stderr
    assert s3.get_object(Bucket="metadata", Key="customers/hts/CHG-1.json")["Body"].read() == b"newer"


@pytest.mark.parametrize("size, arrives", [(1_500_000, True), (12_000_000, False)])
def test_a_trigger_is_put_back_whole_or_not_at_all(apart: Desk, size: int, arrives: bool) -> None:
    """One read gives the first 1 MiB of an object; half a trigger is none."""
    put(apart, TRIGGER, b"x" * size)
    assert typed(apart, "restore", TRIGGER, "--why", "x", "--yes").exit_code == (0 if arrives else 1)
    s3 = apart.cloud.session.client("s3")
    found = s3.list_objects_v2(Bucket="metadata").get("Contents", [])
    assert [each["Size"] for each in found] == [size] * arrives
    assert len(objects(apart)) == 1 + arrives  # the mark


def test_an_incident_that_is_gone_does_not_hold_it_up(apart: Desk) -> None:
    """It is done, and said that no timeline tells of it."""
    put(apart)
    result = typed(apart, "restore", KEY, "--why", "x", "--yes")
    assert result.exit_code == 0
    assert f"could not be written into the timeline of incident {ID}" in result.stderr


# -- dropping ----------------------------------------------------------------------------------------------------------


def versions(desk: Desk) -> list[str]:
    """The versions that the quarantine has."""
    found = desk.cloud.session.client("s3").list_object_versions(Bucket="quarantine").get("Versions", [])
    return [each["Key"] for each in found]


def test_what_is_dropped_can_be_brought_back_for_a_while(apart: Desk) -> None:
    """Its version stays; who did it stands in the incident's timeline."""
    apart.record()
    put(apart)
    done = answer(apart, "discard", KEY, "--why", "a test message", "--yes")
    assert (objects(apart), versions(apart), done["incident_told"]) == ([], [KEY], True)
    assert done["version"]
    assert apart.store.events(ID)[-1].kind == "discarded"
    assert f"dropped by {ME}: a test message" in apart.store.events(ID)[-1].text


def test_what_is_dropped_for_ever_leaves_no_version(apart: Desk) -> None:
    """Of this object; one whose name begins alike stays."""
    put(apart)
    put(apart)
    put(apart, f"{KEY}.json")
    done = answer(apart, "discard", KEY, "--why", "personal data", "--yes", "--forever")
    assert (versions(apart), done["versions"]) == ([f"{KEY}.json"], 2)


@pytest.mark.parametrize("operation", ["ListObjectVersions", "DeleteObject"])
def test_what_was_dropped_half_way_can_be_dropped_for_ever(apart: Desk, operation: str) -> None:
    """Whoever may not delete versions, and is then allowed to, is not told that there is nothing."""
    put(apart)
    put(apart, f"{KEY}.json")
    words = ("discard", KEY, "--why", "personal data", "--yes", "--forever")
    apart.cloud.fail(operation, "AccessDenied", lambda params: operation != "DeleteObject" or "VersionId" in params)
    assert typed(apart, *words).exit_code == 1
    apart.cloud.faults.clear()
    assert versions(apart) == [KEY, f"{KEY}.json"]
    done = answer(apart, *words)
    assert (versions(apart), done["versions"], done["target"]) == ([f"{KEY}.json"], 1, DLQ)
    assert typed(apart, *words).exit_code == 1


def test_what_was_dropped_for_a_while_can_be_dropped_for_ever(apart: Desk) -> None:
    """Only with --forever: without it there is nothing to drop."""
    put(apart)
    assert typed(apart, "discard", KEY, "--why", "x", "--yes").exit_code == 0
    assert "there is no" in typed(apart, "discard", KEY, "--why", "x", "--yes").stderr
    assert answer(apart, "discard", KEY, "--why", "personal data", "--yes", "--forever")["versions"] == 1
    assert versions(apart) == []


def test_what_is_stored_anew_while_one_drops_its_past_for_ever_stays(apart: Desk) -> None:
    """The yes was to what had been dropped, and not to the letter that came back to its name meanwhile."""
    put(apart)
    assert typed(apart, "discard", KEY, "--why", "x", "--yes").exit_code == 0
    right_before(apart, "GetObject", lambda: put(apart, body=letter(body="another")))
    assert answer(apart, "discard", KEY, "--why", "personal data", "--yes", "--forever")["versions"] == 1
    assert objects(apart) == [KEY]
    assert versions(apart) == [KEY]


def test_it_is_dropped_only_as_it_was_shown(apart: Desk) -> None:
    """What was stored anew while the person read is not what they said yes to."""
    put(apart)
    right_before(apart, "DeleteObject", lambda: put(apart, body=letter(body="another")))
    result = typed(apart, "discard", KEY, "--why", "x", input="y\n")
    assert result.exit_code == 1
    assert "it is not any more what was shown" in result.stderr
    assert objects(apart) == [KEY]


def test_no_means_that_nothing_is_dropped(apart: Desk) -> None:
    """After it was shown."""
    put(apart)
    result = typed(apart, "discard", KEY, "--why", "x", "--forever", input="n\n")
    assert result.exit_code == 1
    assert "for ever, with every version of it" in result.stdout
    assert (apart.wrote(), objects(apart)) == (set(), [KEY])


def test_age_is_told_in_words(apart: Desk) -> None:
    """Since when, for a person; the moment, for a machine."""
    put(apart)
    at = answer(apart, "list")["items"][0]["at"]
    apart.now += timedelta(days=3)
    assert "ago" in typed(apart, "list").stdout
    assert at == answer(apart, "list")["items"][0]["at"]
