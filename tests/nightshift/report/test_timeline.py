"""The draft of a review: what happened, in order; what only people know is left blank; nothing in it is markup."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from nightshift.model import (
    Acknowledgement,
    Alternative,
    Approval,
    Diagnosis,
    Finding,
    Incident,
    Outcome,
    Refusal,
    Signal,
    Verdict,
)
from nightshift.report import Context
from nightshift.report.timeline import entries, timeline_markdown, timeline_to_json

Make: TypeAlias = Callable[..., Incident]
Backdrop: TypeAlias = Callable[..., Context]
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Line:
    """A line of a timeline."""

    at: datetime
    kind: str
    text: str


def test_everything_stands_in_its_order(redriven: Make, backdrop: Backdrop) -> None:
    """Events and calls together, oldest first, each once; whoever answered and was on it."""
    incident = redriven()
    at = incident.opened_at
    asked = Approval("x", at, at + 9 * MINUTE, "approved", "eva", "go on", at + 2 * MINUTE)
    incident = replace(incident, approval=asked, acknowledged=Acknowledgement("tom", at + 3 * MINUTE, "on it"))
    found = entries(incident, [Line(at + MINUTE, "held", "window: people work on it")])
    assert [entry.at for entry in found] == sorted(entry.at for entry in found)
    kinds = [entry.kind for entry in found]
    assert kinds.count("opened") == kinds.count("closed") == 1
    assert kinds[0] == "opened"
    assert {"held", "answered", "acknowledged", "call"} <= set(kinds)
    again = entries(incident, [Line(at, kind, "told") for kind in ("opened", "closed", "answered", "acknowledged")])
    assert len(again) == 4 + len(incident.calls)


def test_a_call_says_what_became_of_it(redriven: Make, backdrop: Backdrop) -> None:
    """Its outcome, what changed, its error and its request's id: what CloudTrail must confirm."""
    incident = redriven()
    first = replace(
        incident.calls[0],
        outcome=Outcome.UNKNOWN,
        before={"desiredCount": 2},
        after={"desiredCount": 4},
        error="timed out",
        request_id="r-1",
        count=3,
    )
    text = timeline_markdown(replace(incident, calls=(first,)), context=backdrop())
    said = "(3 times): UNKNOWN whether it happened; desiredCount 2 -\\> 4; timed out; request id r-1"
    assert said in text


def test_what_only_people_know_is_left_blank(redriven: Make, backdrop: Backdrop) -> None:
    """Headings that nobody has filled in, and nothing that pretends to."""
    text = timeline_markdown(redriven(), context=backdrop())
    for heading in ("Impact", "Root cause", "Prevention", "Runbook and alarms", "What went well, what did not"):
        assert re.search(rf"^## {heading} \(for people\)\n\n\*.+\*\n\nTODO$", text, re.MULTILINE)


def test_decisions_are_told_with_what_spoke_against_them(redriven: Make, backdrop: Backdrop) -> None:
    """Diagnosis, evidence, rejected causes, plan, guardrail, approval, attempts."""
    incident = redriven(refusal=Refusal("freeze", "it is the quarter's end"), verdict=Verdict.ESCALATED)
    diagnosis = Diagnosis(
        incident.target, "the disk is full", ("98 % used",), (Alternative("a leak", "flat"),), advice=("buy",)
    )
    asked = Approval("x", incident.opened_at, incident.opened_at)
    text = timeline_markdown(replace(incident, diagnosis=diagnosis, approval=asked), context=backdrop(label="P1"))
    for said in (
        "- Diagnosis: The disk is full.",
        "- Evidence: 98 % used",
        "- Rejected: a leak: flat",
        "- Advice to people: buy",
        "- Guardrail freeze: It is the quarter's end.",
        ": nobody answered",
        "- Attempt 1, ",
        "| Severity | SEV3, P1 |",
    ):
        assert said in text


def test_an_incident_that_nothing_is_known_of_is_a_draft_too(redriven: Make, backdrop: Backdrop) -> None:
    """It says what it does not know."""
    incident = redriven(
        diagnosis=None, plan=None, attempts=(), calls=(), notices=(), links=(), verdict=None, closed_at=None, group=""
    )
    incident = replace(incident, finding=Finding("x", incident.target, ""), phase=type(incident.phase).OPEN, why="")
    text = timeline_markdown(incident, context=backdrop(deployment=""))
    for said in ("No signal was recorded.", "None was recorded.", "Nobody, as far as the record says.", "not ended"):
        assert said in text
    assert "| Ended |" not in text


NASTY = "| a\n# FIXED <b onclick=x>[x](http://evil.example) `rm` @channel @eva ![i](u) ~~no~~ $x$ *b* _i_ \\"


def test_other_peoples_text_is_text(redriven: Make, backdrop: Backdrop) -> None:
    """It opens no row, heading, link, code, tag or picture, and calls nobody."""
    incident = redriven(
        target=NASTY,
        group=NASTY,
        why=NASTY,
        notices=(NASTY,),
        refusal=Refusal(NASTY, NASTY),
        finding=Finding("x", NASTY, NASTY, (Signal(NASTY, 1, 1, NASTY, NASTY),), (NASTY,)),
        diagnosis=Diagnosis(NASTY, NASTY, (NASTY,), (Alternative(NASTY, NASTY),)),
    )
    calls = tuple(replace(each, action=NASTY, resource=NASTY, error=NASTY) for each in incident.calls)
    events = [Line(incident.opened_at, NASTY, NASTY)]
    text = timeline_markdown(replace(incident, calls=calls), events, context=backdrop(title=NASTY, label=NASTY))
    plain = re.sub(r"\\.", "", text)  # what is escaped is text
    for line in plain.splitlines():
        assert line.count("|") in {0, 3, 4}, line
        assert not re.search(r"[`<\[\]~$]", line), line
        assert line.startswith("# Post-incident review: ") or not re.match(r"#(?!# )", line), line
        assert line.count("*") in {0, 2}, line
        assert not re.search(r"(?<!\w)@\w", line), line
    headings = [line for line in plain.splitlines() if line.startswith("#")]
    assert len(headings) == 1 + 5 + 5


def test_a_very_long_incident_keeps_its_beginning_and_its_end(redriven: Make, backdrop: Backdrop) -> None:
    """And says how much is left out."""
    incident = redriven(calls=())
    events = [Line(incident.opened_at + n * MINUTE / 60, "n", f"event {n}") for n in range(900)]
    text = timeline_markdown(incident, events, context=backdrop())
    assert "| event 0 |" in text
    assert "lines left out" in text
    assert "| event 899 |" in text
    assert "| event 450 |" not in text


def test_a_machine_gets_the_lines_and_the_draft(redriven: Make, backdrop: Backdrop) -> None:
    """Strict JSON."""
    incident = redriven()
    document = json.loads(json.dumps(timeline_to_json(incident, context=backdrop()), allow_nan=False))
    assert document["schema"] == "nightshift.timeline/1"
    assert document["entries"][0]["kind"] == "opened"
    assert document["markdown"] == timeline_markdown(incident, context=backdrop())
    assert "Root cause" in document["for_people"]
