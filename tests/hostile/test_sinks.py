"""
What a message says stays in queues and in the quarantine; what a name or a reason says is shown as text, and no more.

The real handlers play nights in the sandbox in which every text that is not ours is hostile, and everything that they
and the commands let out is searched: mail (subject, body, attributes), logs and metrics, records and timelines, names
of stored letters, the work queue, terminals.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from nightshift.model import Verdict

from sandbox.scenes import Stage
from sandbox.seam import AwsError, Call, Do, Outcome, refused
from sandbox.systems.queue_service import json_body
from tests.hostile.corpus import HOSTILE, flaws, markup
from tests.hostile.nights import Let, rewrite, stage, until_over

STALLED = "ecs-service-stalled"
BODY = (
    "b0dy-canary",
    "AKIAIOSFODNN7BODYCAN",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYBODYCANARY",
    "erika.mustermann@b0dy.example",
    "Erika Mustermann",
    "DE89370400440532013000",
    "4111 1111 1111 1111",
)
"""what stands in messages and their attributes: secrets, and somebody's data"""


def _letters(on: Stage) -> None:
    """An outage, in which messages with all of that in them die; some of them can never be processed."""
    sqs = on.world.client("sqs")
    on.system.offer(0)  # so that few letters beside ours die
    on.minutes(1)
    on.system.break_dependency(on.system.shape.needs[0])
    for number in range(3):
        body = json_body(documentId=f"doc-{number}", tenantId=BODY[0], note=list(BODY), key=f"{BODY[0]}/../a+b%2F.pdf")
        sqs.send_message(
            QueueUrl=on.system.queue_url,
            MessageBody=body if number % 4 else body[:-20],
            MessageAttributes={
                "who": {"DataType": "String", "StringValue": BODY[4]},
                BODY[0]: {"DataType": "Binary", "BinaryValue": BODY[3].encode()},
            },
        )
    on.minutes(6)
    on.system.heal_dependency(on.system.shape.needs[0])
    on.system.offer(6)


def _quoting(on: Stage, name: str, parameter: str) -> None:
    """AWS turns one call of ours away, and quotes what it did not like."""
    turned_away: list[Call] = []

    def around(call: Call, do: Do) -> Outcome:
        if call.name != name or call.principal.role_arn is None or turned_away:
            return do()
        turned_away.append(call)
        body = call.params[parameter]
        quoted = body.decode() if isinstance(body, bytes) else str(body)
        return refused(
            call, AwsError("InvalidMessageContents", f"Value {quoted} for parameter {parameter} is invalid.")
        )

    on.world.seam.arounds.append(around)


def letters() -> Let:
    """A redrive of such letters, in which AWS quotes two of them when it refuses a call."""
    with stage() as (on, let):
        _quoting(on, "sqs.SendMessage", "MessageBody")
        _quoting(on, "s3.PutObject", "Body")
        _letters(on)
        until_over(on)
        return let()


def names() -> Let:
    """A queue whose tag, and a kill switch whose reason, is hostile; an alarm of such a name speaks of it."""
    with stage() as (on, let):
        rewrite(on, "sqs.ListQueueTags", lambda answer: answer.setdefault("Tags", {}).update(protected=HOSTILE))
        on.nightshift.resume(why=HOSTILE.encode("utf-8", "replace").decode())
        on.world.client("cloudwatch").put_metric_alarm(
            AlarmName=HOSTILE[:200].encode("utf-8", "replace").decode(),
            AlarmDescription=HOSTILE.encode("utf-8", "replace").decode(),
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=[{"Name": "QueueName", "Value": on.system.shape.dead_letter_queue}],
            Statistic="Maximum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=0,
            ComparisonOperator="GreaterThanThreshold",
        )
        _letters(on)
        until_over(on)
        return let()


def images() -> Let:
    """A service that hangs, and runs an image of such a name."""

    def change(answer: dict[str, Any]) -> None:
        for task in answer["tasks"]:
            for container in task["containers"]:
                container["image"] = HOSTILE

    with stage(stalled_for="PT5M") as (on, let):
        rewrite(on, "ecs.DescribeTasks", change)
        _hang(on)
        return let()


def reasons() -> Let:
    """A restart that fails, for a reason that ECS puts in such words, beside such events."""
    with stage(stalled_for="PT5M") as (on, let):

        def change(answer: dict[str, Any]) -> None:
            for service in answer["services"]:
                service["events"] = [{"id": "1", "createdAt": on.world.now, "message": HOSTILE}]
                if on.world.trail.of("ecs.UpdateService"):
                    for deployment in service["deployments"]:
                        deployment |= {"rolloutState": "FAILED", "rolloutStateReason": HOSTILE}

        rewrite(on, "ecs.DescribeServices", change)
        _hang(on)
        return let()


def _hang(on: Stage) -> None:
    on.system.wedge_consumer()
    on.system.send(20)
    until_over(on)


# -- what must be so after each of them --------------------------------------------------------------------------------


def ends_as_others_do(played: Let) -> None:
    """No function fails because of a text: each incident ends, in a verdict, and somebody is told."""
    assert played.raised == ()
    assert played.incidents
    assert all(incident.verdict is not None for incident in played.incidents)
    assert {incident.id for incident in played.incidents} <= set(re.findall(r"Incident  (\S+)", _mails(played)))


def keeps_messages_to_itself(played: Let) -> None:
    """Nothing that a message or its attributes say leaves the queue and the quarantine: it is in no sink at all."""
    for sink, text in played.sinks.items():
        assert [canary for canary in BODY if canary in text] == [], sink


def mails_plain_visible_text(played: Let) -> None:
    """Subject, body and attributes: as SNS takes them, without controls, foreign links, markup or secrets."""
    for mail in played.mail:
        assert mail.subject is not None
        assert 1 <= len(mail.subject) <= 99
        assert mail.subject.isascii()
        assert mail.subject.isprintable()
        assert len(mail.text.encode()) <= 200_000
        assert flaws(mail.text) == []
        assert markup(f"{mail.subject}\n{mail.text}") == []
        assert set(mail.attributes) == {"severity", "transition"}
        assert all(re.fullmatch(r"[A-Za-z0-9-]+", value) for value in mail.attributes.values())


def begins_no_line_with_somebody_elses_words(played: Let) -> None:
    """Whatever a text says, it stands indented under a heading of ours: it is no heading, no header and no formula."""
    begun = [line for mail in played.mail for line in mail.text.splitlines() if line and not line.startswith(" ")]
    assert all(re.match(r"[A-Z][A-Z ,?]+(?:  |$)", line) for line in begun), begun


def has_no_link_on_which_anything_happens(played: Let) -> None:
    """A mail scanner follows every link. Ours lead to pages of AWS's console; an approval is a command, with IAM."""
    pages = (
        r"https://([a-z0-9-]+\.console|health|docs)\.aws\.amazon\.com/\S*|https://sqs\.[a-z0-9-]+\.amazonaws\.com/\S*"
    )
    for mail in played.mail:
        links = re.findall(r"https?://\S+", mail.text)
        assert all(re.fullmatch(pages, link) for link in links), links


def logs_lines_of_json_in_ascii(played: Let) -> None:
    """A text can neither begin a line nor add a field; other people's stands under one key, cleaned."""
    assert played.logs.isascii()
    for line in played.lines:
        assert isinstance(line, dict)
        assert "_aws" in line or {"level", "message", "timestamp"} <= line.keys()
        if "level" in line:
            ours = {key: value for key, value in line.items() if key != "untrusted"}
            assert "Bcc" not in json.dumps(ours)
            assert flaws(json.dumps(line.get("untrusted", {}), ensure_ascii=False)) == []


def counts_by_names_of_its_own(played: Let) -> None:
    """No text of anybody else's is a metric's name or dimension."""
    counted = [line for line in played.lines if "_aws" in line]
    assert counted
    for line in counted:
        said = {key: value for key, value in line.items() if key not in {"_aws", "service"}}
        assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in said)
        assert all(isinstance(number, float | int) for numbers in said.values() for number in numbers)
        assert line["service"] == "nightshift"


def shows_text_on_terminals(played: Let) -> None:
    """No command passes on what steers a terminal; what is for machines is JSON."""
    assert played.terminal
    for command, text in played.terminal.items():
        assert flaws(text) == [], command


EVERY = (
    ends_as_others_do,
    keeps_messages_to_itself,
    mails_plain_visible_text,
    begins_no_line_with_somebody_elses_words,
    has_no_link_on_which_anything_happens,
    logs_lines_of_json_in_ascii,
    counts_by_names_of_its_own,
    shows_text_on_terminals,
)


def _mails(played: Let) -> str:
    return "\n".join(mail.text for mail in played.mail)


# -- the nights (each is played once, and then everything is asked of it) ----------------------------------------------


@pytest.mark.hostile(7)
@pytest.mark.hostile(22)
@pytest.mark.hostile(25)
@pytest.mark.hostile(28)
def test_nothing_that_a_message_says_leaves_the_queue_and_the_quarantine() -> None:
    """
    A redrive of letters full of secrets: no sink has any of it.

    The search finds what is there: the quarantine has a stored letter whole, under a name that is made of the queue's
    name, a digest and SQS's id. Of a letter that AWS turns away, and quotes, the report has AWS's code.
    """
    played = letters()
    for check in EVERY:
        check(played)
    [incident] = played.incidents
    assert incident.ledger.quarantined == len(played.objects) > 0
    assert all(BODY[0] in stored and BODY[4] in stored for stored in played.objects)
    name = re.compile(r"letters/dms-processing-dlq-prod/[0-9a-f]{32}-[0-9a-f-]{36}\.json")
    assert all(name.fullmatch(key) for key in played.keys)
    refusals = [call for call in incident.calls if "InvalidMessageContents" in call.error]
    assert {call.action for call in refusals} == {"sqs:SendMessage", "s3:PutObject"}
    assert all(call.error.endswith(": InvalidMessageContents") for call in refusals)


@pytest.mark.hostile(11)
@pytest.mark.hostile(12)
@pytest.mark.hostile(13)
@pytest.mark.hostile(14)
@pytest.mark.hostile(22)
@pytest.mark.hostile(26)
def test_hostile_tags_and_names_are_shown_as_text() -> None:
    """A tag that protects a queue, the kill switch's reason, the name of an alarm: told, and harmless."""
    played = names()
    for check in EVERY:
        check(played)
    assert [incident.verdict for incident in played.incidents] == [Verdict.REFUSED]
    assert "protected=x Bcc" in _mails(played)
    assert any("Bcc" in line.get("untrusted", {}).get("alarm", "") for line in played.lines)


@pytest.mark.hostile(11)
@pytest.mark.hostile(12)
@pytest.mark.hostile(26)
def test_the_hostile_name_of_an_image_is_shown_as_text() -> None:
    """What a service runs is somebody's choice of words; a restart of it is refused, in ours."""
    played = images()
    for check in EVERY:
        check(played)
    assert "where the tag of x Bcc" in _mails(played)


@pytest.mark.hostile(11)
@pytest.mark.hostile(12)
@pytest.mark.hostile(15)
@pytest.mark.hostile(26)
def test_hostile_reasons_of_aws_are_shown_as_text() -> None:
    """Why a deployment failed, as ECS puts it: told as the reason of an attempt that did not help."""
    played = reasons()
    for check in EVERY:
        check(played)
    [incident] = [incident for incident in played.incidents if incident.remediation == STALLED]
    assert "Bcc" in incident.attempts[0].why
    assert "Bcc" in _mails(played)
