"""Every text of a record may be anybody's: whatever it says, the record can be written, told and shown."""

from __future__ import annotations

import dataclasses
import json
import logging
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import given
from hypothesis import strategies as st
from nightshift import edge
from nightshift.aws import translate
from nightshift.cli import pages
from nightshift.incidents import _INCIDENT, Event, _dumped, _load, _time, _when
from nightshift.letters import BUILT_IN_RULES, Letter, Meaning, Rule, meaning
from nightshift.model import Approval, Call, CallRecord, Incident, Mode, Outcome, Phase, Verdict
from nightshift.report import Context, blind_notice, render, storm_notice, storm_over_notice, to_json, transition
from nightshift.report.words import clock, moment, utc

from tests.hostile.corpus import INJECTIONS, flaws, markup
from tests.hostile.nights import taped
from tests.nightshift.cli.desk import QUEUE, incident
from tests.support.toy import START, Account

CORPUS = pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS.keys())
NOW = datetime(2026, 11, 20, 3, 7, 42, tzinfo=UTC)


def filled(text: str, phase: Phase = Phase.CLOSED) -> Incident:
    """An incident in which every text is this one."""
    from nightshift.model import Alternative, Attempt, Diagnosis, Finding, Plan, Refusal, Signal, Step

    call = Call(text, text, text, params={text: text, "n": [text, {text: text}]}, before={text: text}, why=text)
    plan = Plan(text, text, text, (Step(text, (call,), timedelta(minutes=1)),), risk=text, undo_by_hand=text)
    record = CallRecord(
        NOW, text, text, text, Outcome.UNKNOWN, request_id=text, before={text: text}, after={"x": text}, error=text
    )
    answer = "denied" if phase is Phase.CLOSED else ""
    by = text if "@canary" not in text else "ada"  # who answered is named, also where an address is the name
    asked = Approval(text, NOW, NOW + timedelta(hours=1), answer=answer, by=by, why=text)
    return incident(
        id=text,
        remediation=text,
        target=text,
        group=text,
        phase=phase,
        verdict=Verdict.REFUSED if phase is Phase.CLOSED else None,
        closed_at=NOW if phase is Phase.CLOSED else None,
        finding=Finding(text, text, text, (Signal(text, 1.0, 1.0, text, text),), (text,)),
        diagnosis=Diagnosis(text, text, (text,), (Alternative(text, text),), {text: text}),
        plan=plan,
        attempts=(Attempt(1, text, NOW, Verdict.INEFFECTIVE, text), Attempt(2, text, NOW)),
        calls=(record,),
        approval=asked,
        refusal=Refusal(text, text, {text: text}, None, text),
        links=(text,),
        why=text,
        config_hash=text,
        scratch={"note": text},
    )


@pytest.mark.hostile(11)
@pytest.mark.hostile(12)
@pytest.mark.hostile(14)
@pytest.mark.hostile(15)
@CORPUS
@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.AWAITING, Phase.OPEN], ids=lambda phase: str(phase.value))
def test_every_notice_can_be_published_and_is_only_text(text: str, phase: Phase) -> None:
    """Through every field of a record: SNS takes it, nothing in it is invisible, secret, a link or markup."""
    context = Context(
        NOW, Mode.APPROVE, title=text, case=f"{text}\n\nProof   {text}", deployment=text, linked={text: text}
    )
    events = [Event(NOW, text, text)] * 3
    record = filled(text, phase)
    told = transition(None, record, context=context, events=events)
    told += (
        storm_notice(text, [text, QUEUE], since=NOW, now=NOW, groups={text: (1, 2)}, deployment=text),
        storm_notice(text, [text], since=NOW, evidence={"PROBES": [text]}),
        storm_over_notice(text, [text, QUEUE], since=NOW, now=NOW, deployment=text),
        blind_notice({text: text, QUEUE: text}, since=NOW, now=NOW, deployment=text),
    )
    assert len(told) == 5
    for notice in told:
        assert 1 <= len(notice.subject) <= 99
        assert notice.subject.isascii()
        assert notice.subject.isprintable()
        assert notice.subject[0].isalnum() or notice.subject[0] == "["
        assert 0 < len(notice.body.encode()) <= 200_000
        assert flaws(f"{notice.subject}\n{notice.body}") == []
        assert markup(f"{notice.subject}\n{notice.body}") == []
        assert flaws(notice.key) == []


@pytest.mark.hostile(12)
@CORPUS
def test_every_page_and_every_document_is_only_text(text: str) -> None:
    """On a terminal, and for machines: as JSON that every reader reads, of bounded size."""
    record = filled(text)
    context = Context(NOW, Mode.AUTO, title=text, case=text, deployment=text)
    events = [Event(NOW, text, text)] * 50
    assert flaws(render(record, events, context=context)) == []
    document = json.dumps(to_json(record, events, context=context), allow_nan=False, ensure_ascii=False)
    assert len(document.encode()) < 200_000
    assert flaws(document) == []
    assert record.plan is not None
    shown = [str(line) for line in pages.plan_lines(record.plan)] + [pages.how_it_stands(record, NOW)]
    assert flaws("\n".join(shown)) == []


@pytest.mark.hostile(11)
@pytest.mark.hostile(16)
def test_every_record_can_be_written_and_read_again(account: Account) -> None:
    """Half a character does not kill the tick that has to tell of it; a text without end is cut."""
    for number, text in enumerate(INJECTIONS.values()):
        made = dataclasses.replace(filled(text[:4000]), id=f"20261120T0300-{number:08x}", target=QUEUE)
        assert _load({"body": {"S": _dumped(made).decode()}}).phase is made.phase
        if not any("\ud800" <= char <= "\udfff" for char in text):
            assert _INCIDENT.validate_json(_dumped(made)) == made
        blank = incident(phase=Phase.OPEN, approval=None, plan=None)
        opened = dataclasses.replace(
            blank, id=made.id, target=f"{QUEUE}-{number}", finding=made.finding, opened_at=START, look_at=START
        )
        assert account.incidents.open(opened, Event(START, "opened", text))
        [event] = account.incidents.events(opened.id)
        event.text.encode()
        assert len(event.text) <= 4000
        found = account.incidents.get(opened.id)
        assert found is not None
        found.finding.symptom.encode()


@pytest.mark.hostile(16)
def test_a_record_full_of_much_is_cut_to_what_a_table_takes(account: Account) -> None:
    """An item of DynamoDB holds 400 KB: evidence is cut, the end is written."""
    lines = tuple("x" * 1000 for _ in range(2000))
    full = filled("y")
    big = dataclasses.replace(
        full, id="20261120T0300-1a2b3c4d", target=QUEUE, finding=dataclasses.replace(full.finding, evidence=lines)
    )
    assert account.incidents.open(big, Event(START, "opened", "much"))
    found = account.incidents.get(big.id)
    assert found is not None
    assert len(_dumped(found)) < 350_000


# -- what AWS quotes ---------------------------------------------------------------------------------------------------

CARRYING = Call("sqs", "SendMessage", QUEUE, free=("MessageBody", "MessageAttributes"))
STORING = Call("s3", "PutObject", "arn:aws:s3:::q/letters/x/*", free=("Key", "Body"))
PLAIN = Call("sqs", "TagQueue", QUEUE)


@pytest.mark.hostile(22)
@pytest.mark.parametrize("call", [CARRYING, STORING], ids=["send", "store"])
@pytest.mark.parametrize("code", ["InvalidMessageContents", "AccessDenied", "NoSuchKey", "InternalError", "Throttling"])
def test_what_aws_quotes_of_a_message_is_not_kept(call: Call, code: str) -> None:
    """Of a call that carries one, the error has AWS's code and nothing of its text; of others it has both."""
    answer = {
        "Error": {"Code": code, "Message": "Value b0dy-canary for parameter MessageBody is invalid."},
        "ResponseMetadata": {"HTTPStatusCode": 500 if code == "InternalError" else 400},
    }
    error = translate(ClientError(answer, call.operation), call, writing=True)
    assert code in str(error)
    assert "canary" not in f"{error} {error.details} {error.message}"
    assert "canary" in str(translate(ClientError(answer, "TagQueue"), PLAIN, writing=True))
    quoted = ParamValidationError(report="Invalid type for parameter MessageBody, value: b0dy-canary")
    assert "canary" not in str(translate(quoted, call, writing=True))


@pytest.mark.hostile(22)
def test_libraries_do_not_quote_what_they_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever level Lambda is told to log at: the SDK at DEBUG writes every body that it sends and receives."""
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]  # what setLevel() does
    assert edge.logger is not None
    for name in ("botocore.endpoint", "botocore.parsers", "boto3.resources", "urllib3.connectionpool"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)


@pytest.mark.hostile(22)
def test_events_are_not_logged_even_where_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Powertools would write the whole event for POWERTOOLS_LOGGER_LOG_EVENT."""
    monkeypatch.setenv("POWERTOOLS_LOGGER_LOG_EVENT", "true")
    handler = edge.function(lambda event, context: edge.logger.info("called"))
    with taped() as tape:
        handler({"body": "b0dy-canary"}, FunctionContext())
    assert "called" in tape.getvalue()
    assert "canary" not in tape.getvalue()


@pytest.mark.hostile(13)
@CORPUS
def test_whatever_is_logged_is_one_line_of_ascii(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what is not cleaned, such as the text of an exception: it steers no terminal and begins no line."""
    monkeypatch.setattr(logging.getLogger("nightshift"), "propagate", False)  # pytest's own log cannot bear all of it
    with taped() as tape:
        edge.logger.error("failed", exc_info=ValueError(text), extra={"error": text})
    [line] = tape.getvalue().splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["error"] == text


class FunctionContext:
    """What Lambda tells a function about itself."""

    function_name = "nightshift"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:nightshift"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"


# -- keys of S3 --------------------------------------------------------------------------------------------------------

KEYS = (
    "a+b/%C3%BC%2F..%2F..%2Fetc%2Fpasswd",
    "../../etc/passwd",
    "/etc/passwd",
    "%252e%252e/x",
    "k" * 1024,
    "%F0%9F%98%80" * 85,
    "\x00",
)


@pytest.mark.hostile(7)
@pytest.mark.hostile(28)
@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_a_key_in_a_letter_stays_the_text_that_it_is(key: str) -> None:
    """Nothing is decoded, cut or opened: a rule compares it as it came, and a letter goes home with what it had."""
    body = json.dumps({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": key, "sequencer": "0A"}}}]})
    letter = Letter("m", "h", body)
    assert letter.at("Records.0.s3.object.key") == key
    for value, holds in ((key, True), (unquote_plus(key) + "?", False)):
        when = {"test": "json-equals", "path": "Records.0.s3.object.key", "value": value}
        rule = Rule.model_validate({"name": "r", "means": "poison", "when": when})
        assert rule.when.holds(letter) is holds
    assert letter.body == body
    assert meaning(letter, BUILT_IN_RULES, Meaning.TRANSIENT)[0] is Meaning.TRANSIENT


# -- time --------------------------------------------------------------------------------------------------------------

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia")
BEGIN, CENTURY = datetime(2000, 1, 1, tzinfo=UTC), 36_524 * 86_400
ZONED = st.builds(
    lambda seconds, zone: (BEGIN + timedelta(seconds=seconds)).astimezone(zone),
    st.integers(0, CENTURY),
    st.sampled_from([ZoneInfo(name) for name in ZONES]),
)


@pytest.mark.hostile(31)
@given(ZONED, ZONED)
def test_times_are_in_utc_and_in_order(one: datetime, other: datetime) -> None:
    """Whatever the zone: what is stored sorts as time does, also where clocks are turned and in leap years."""
    stored, later = _time(one), _time(other)
    assert _when(stored) == one
    assert (stored["S"] < later["S"]) == (one.astimezone(UTC) < other.astimezone(UTC))


@pytest.mark.hostile(31)
@pytest.mark.parametrize(
    "local, told",
    [
        ("2026-03-29T01:59:59+01:00", "2026-03-29 00:59:59 UTC"),
        ("2026-03-29T03:00:00+02:00", "2026-03-29 01:00:00 UTC"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25 00:30:00 UTC"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25 01:30:00 UTC"),
        ("2028-02-29T23:59:59+00:00", "2028-02-29 23:59:59 UTC"),
        ("2026-12-31T23:30:00-01:00", "2027-01-01 00:30:00 UTC"),
    ],
)
def test_people_are_told_times_in_utc(local: str, told: str) -> None:
    """At both edges of summer time, on a leap day, at the turn of a year: no hour is told twice."""
    when = datetime.fromisoformat(local)
    assert moment(when) == told
    assert utc(when) == when
    assert clock(when, when) == told[11:16] + " UTC"
