"""There is no record that cannot be told, and none that tells what it must not."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nightshift.checklists import Every
from nightshift.digests import Period, counted
from nightshift.model import (
    Alternative,
    Approval,
    Attempt,
    Call,
    CallRecord,
    Diagnosis,
    Finding,
    Incident,
    Ledger,
    Mode,
    Outcome,
    Phase,
    Plan,
    Refusal,
    Severity,
    Signal,
    Step,
    Verdict,
)
from nightshift.report import Context, render, to_json, transition
from nightshift.report.digest import digest_to_json, render_digest
from nightshift.report.notices import BODY_LIMIT
from nightshift.report.timeline import timeline_markdown, timeline_to_json
from nightshift.report.updates import resolved_notice, update_notice
from pydantic import JsonValue

Make: TypeAlias = Callable[..., Incident]
Backdrop: TypeAlias = Callable[..., Context]

TEXT = st.text(st.characters(exclude_categories=()), max_size=60) | st.sampled_from(
    ["\ud800", "\x1b[2J", "a\nFIXED  b", "\u202e", "", "arn:aws:sqs:eu-central-1:111122223333:q", "x" * 2000]
)
TEXTS = st.lists(TEXT, max_size=30).map(tuple)
TIME = st.datetimes(timezones=st.timezones() | st.none())
SPAN = st.timedeltas(timedelta(0), timedelta(days=400))
JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=6,
)
FACTS = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), JSON, max_size=4)
WHOLE = st.integers(0, 2000)


@dataclass(frozen=True)
class Line:
    """A line of a timeline."""

    at: datetime
    kind: str
    text: str


CALL = st.builds(
    Call, TEXT, TEXT, TEXT, params=FACTS, before=FACTS, times=WHOLE, why=TEXT, stops=st.booleans(), free=st.just(()),
    grants=st.just(()),
)  # fmt: skip
STEP = st.builds(
    Step, TEXT, st.lists(CALL, max_size=2).map(tuple), SPAN, why=TEXT, undo=st.lists(CALL, max_size=1).map(tuple)
)
PLAN = st.builds(
    Plan, TEXT, TEXT, TEXT, st.lists(STEP, max_size=2).map(tuple), TEXT, TEXT,
    cost_per_hour=st.floats(allow_nan=False, allow_infinity=False), lease=st.none() | SPAN,
)  # fmt: skip
RECORD = st.builds(
    CallRecord, TIME, TEXT | st.just("undo x"), TEXT, TEXT, st.sampled_from(Outcome), request_id=TEXT, before=FACTS,
    after=FACTS, error=TEXT | st.just("x:GetY: AccessDenied"), count=WHOLE,
)  # fmt: skip
INCIDENT = st.builds(
    Incident, id=TEXT, remediation=TEXT, target=TEXT, group=TEXT, opened_at=TIME, look_at=TIME, deadline=TIME,
    finding=st.builds(
        Finding, TEXT, TEXT, TEXT, evidence=TEXTS,
        signals=st.lists(st.builds(Signal, TEXT, st.floats(), st.floats(), TEXT, TEXT), max_size=2).map(tuple),
        severity=st.sampled_from(Severity),
    ),
    phase=st.sampled_from(Phase), severity=st.sampled_from(Severity),
    diagnosis=st.none() | st.builds(
        Diagnosis, TEXT, TEXT, evidence=TEXTS, facts=st.just({}),
        rejected=st.lists(st.builds(Alternative, TEXT, TEXT), max_size=2).map(tuple),
    ),
    plan=st.none() | PLAN,
    attempts=st.lists(
        st.builds(Attempt, WHOLE, TEXT, TIME, verdict=st.none() | st.sampled_from(Verdict), why=TEXT), max_size=3
    ).map(tuple),
    approval=st.none()
    | st.builds(
        Approval, TEXT, TIME, TIME, answer=st.sampled_from(["", "approved", "denied"]), by=TEXT, why=TEXT,
        answered_at=st.none(), used_at=st.none(),
    ),
    refusal=st.none() | st.builds(
        Refusal, TEXT, TEXT, numbers=FACTS, retry_after=st.none() | SPAN, link=st.none() | TEXT
    ),
    calls=st.lists(RECORD, max_size=3).map(tuple),
    ledger=st.builds(Ledger, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE),
    links=TEXTS, healthy_looks=WHOLE, sick_looks=WHOLE, unknown_looks=WHOLE,
    settle_until=st.none() | TIME, verify_until=st.none() | TIME, lease_ends=st.none() | TIME,
    closed_at=st.none() | TIME,
    verdict=st.none() | st.sampled_from(Verdict), why=TEXT, notices=st.just(()), config_hash=TEXT,
    intent=st.none(), scratch=st.just({}), step=st.just(0),
)  # fmt: skip
CONTEXT = st.builds(Context, TIME, st.sampled_from(Mode), title=TEXT, case=TEXT, deployment=TEXT, linked=st.just({}))
EVENTS = st.lists(st.builds(Line, TIME, TEXT, TEXT), max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.none() | INCIDENT, INCIDENT, CONTEXT, EVENTS)
@pytest.mark.hostile(11)
@pytest.mark.hostile(14)
@pytest.mark.hostile(15)
def test_any_record_can_be_published(
    before: Incident | None, after: Incident, context: Context, events: list[Line]
) -> None:
    """Whatever is in a record, its notice obeys SNS's rules, its text encodes, and its JSON is strict."""
    for notice in transition(before, after, context=context, events=events):
        assert 1 <= len(notice.subject) <= 99
        assert notice.subject.isascii()
        assert notice.subject.isprintable()
        assert len(notice.body.encode()) <= BODY_LIMIT
    text = render(after, events, context=context)
    assert not {unicodedata.category(char) for char in text if char != "\n"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    json.dumps(to_json(after, events, context=context), allow_nan=False, ensure_ascii=False).encode()
    if after.decided:
        assert len(transition(before, after, context=context)) == 1
    week = Period(Every.WEEKLY, "w", datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 8, tzinfo=UTC))
    digest = counted(week, [after, before], [after], now=week.until, days={})
    notices = (
        update_notice(after, "update:0:1", 1, context=context, events=events),
        resolved_notice(after, context=context, events=events),
    )
    for text in (
        *(notice.body for notice in notices),
        render_digest(digest, None),
        timeline_markdown(after, events, context=context),
    ):
        assert not {unicodedata.category(char) for char in text if char != "\n"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert all(1 <= len(notice.subject) <= 99 for notice in notices)
    for document in (digest_to_json(digest, None), timeline_to_json(after, events, context=context)):
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


CANARIES = (
    "AKIAIOSFODNN7CANARY1",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYCANARYKEYX",
    "canary@example.com",
    "password=c4nary",
    "Bearer c4nary-c4nary-c4nary",
    "eyJjNG5hcnkiOiJjNG5hcnkifQ.c4nary.c4nary",
)
CANARY = " ".join(CANARIES)


@pytest.mark.hostile(22)
def test_no_canary_comes_out(redriven: Make, held: Make, backdrop: Backdrop) -> None:
    """A secret in any text of a record, or a body in any parameter, is in no report, no subject and no JSON."""
    plan = redriven().plan
    assert plan is not None
    call = replace(
        plan.calls[0], why=CANARY, params={"MessageBody": "c4nary", "x": CANARY}, before={"Payload": "c4nary"}
    )
    plan = replace(
        plan,
        summary=CANARY,
        risk=CANARY,
        undo_by_hand=CANARY,
        steps=(replace(plan.steps[0], name=CANARY, calls=(call,)),),
    )
    full = redriven()
    assert full.diagnosis is not None
    poisoned = {
        "id": CANARY,
        "target": CANARY,
        "group": CANARY,
        "why": CANARY,
        "links": (CANARY,),
        "config_hash": CANARY,
        "finding": Finding("x", CANARY, CANARY, (Signal(CANARY, 1, 1, CANARY, CANARY),), (CANARY,)),
        "diagnosis": Diagnosis(CANARY, CANARY, (CANARY,), (Alternative(CANARY, CANARY),)),
        "plan": plan,
        "attempts": (Attempt(1, CANARY, full.opened_at, None, CANARY),) * 2,
        "refusal": Refusal(CANARY, CANARY, {"x": CANARY, CANARY: 1}, None, CANARY),
    }
    calls = (
        replace(full.calls[0], step=CANARY, action=CANARY, resource=CANARY, request_id=CANARY, error=CANARY,
                before={"body": "c4nary", "x": CANARY}, after={CANARY: CANARY}),
    )  # fmt: skip
    events = [Line(full.opened_at, CANARY, CANARY)]
    context = backdrop(title=CANARY, deployment=CANARY, linked={CANARY: CANARY}, case=f"Proof     {CANARY}")
    for incident in (redriven(**poisoned, calls=calls, verdict=Verdict.ESCALATED), held(**poisoned)):
        out = [render(incident, events, context=context), json.dumps(to_json(incident, events, context=context))]
        for notice in transition(None, incident, context=context, events=events):
            out += [notice.key, notice.subject, notice.body]
        for text in out:
            assert "canary" not in text.lower().replace("[redacted]", "")
            assert "c4nary" not in text


def test_the_event_tells_the_same_facts(redriven: Make, backdrop: Backdrop) -> None:
    """Machines get the schema's name, full ARNs, the calls with before and after, and the ledger."""
    event = to_json(redriven(), context=backdrop())
    assert event["schema"] == "nightshift.report/1"
    assert (event["verdict"], event["state"], event["region"]) == ("fixed", "FIXED", "eu-central-1")
    assert event["opened_at"] == "2025-03-02T03:14:00+00:00"
    assert event["calls"][0]["after"] == {"ApproximateNumberOfMessages": 0}
    assert event["messages"]["balanced"] is True
    assert event["plan"]["hash"] == redriven().plan.hash  # type: ignore[union-attr]  # this incident has a plan
