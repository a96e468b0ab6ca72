"""
The report in plain text: what a person reads at three in the morning.

The verdict first, and whether anything is wanted of the reader; then what was seen, the cause, what was done, how that
was verified, what is still out, how to take it back by hand, and what to do next.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import timedelta
from typing import assert_never

from nightshift.model import Call, CallRecord, Incident, Ledger, Mode, Outcome, Phase, Plan, Refusal, Signal, Verdict
from nightshift.report.context import (
    Context,
    TimelineEvent,
    asking,
    drifted,
    given_back,
    headline,
    left_as_it_is,
    missing_permission,
    observed_only,
    relapsed,
    sentence,
    state,
    unknown_calls,
    why,
)
from nightshift.report.safe import safe
from nightshift.report.words import (
    Page,
    arn_of,
    capped,
    changes,
    clock,
    count,
    duration,
    joined,
    moment,
    money,
    name_of,
    number,
    shell,
    utc,
)

__all__ = ["render", "where"]

_EVIDENCE = 20
"""items of evidence, signals, alternatives or links in a report"""
_CALLS = 100
"""calls in a report; a record keeps equal calls as one"""
_TIMELINE = 40
"""events in a report: the first ten, and the newest"""
_MAIN_EVENTS = 10


def render(incident: Incident, events: Iterable[TimelineEvent] = (), *, context: Context) -> str:
    """The whole report on an incident, in any phase. Total: there is no record that it cannot tell."""
    page = Page()
    _verdict(page, incident, context)
    _seen(page, incident)
    _cause(page, incident)
    _done(page, incident, context)
    _messages(page, incident.ledger)
    _verification(page, incident, context)
    _lease(page, incident, context)
    _drift(page, incident)
    _undo(page, incident)
    _next(page, incident, context)
    _timeline(page, events)
    _linked(page, incident, context)
    page.section("MORE")
    page.command(f"nightshift show {shell(incident.id)}{where(incident, context)}")
    _console(page, incident)
    if incident.config_hash:
        page.text(f"Decided under configuration {safe(incident.config_hash, 64)}.")
    return str(page)


# -- the verdict -----------------------------------------------------------------------------------------------------

_MEANS = {
    Verdict.FIXED: "Nightshift acted, and the target is healthy again.",
    Verdict.RECOVERED: "The target is healthy again, and not by our doing.",
    Verdict.INEFFECTIVE: "What Nightshift did has not helped.",
    Verdict.UNVERIFIABLE: "Nobody can tell whether the target is healthy.",
    Verdict.REFUSED: "Nightshift has not cured this: it was not allowed to, or not sure enough.",
    Verdict.ESCALATED: "Nightshift could not cure this. It has stopped trying.",
    Verdict.REVERTED: "The cure did not help and was taken back. The target is as sick as before.",
    Verdict.BROKEN: "Nightshift itself failed on this incident and has let go of it.",
}


def _verdict(page: Page, incident: Incident, context: Context) -> None:
    page.title(f"{state(incident, context)}  {headline(incident, context)}: {name_of(incident.target)}")
    page.blank()
    reason = "" if observed_only(incident, context) else why(incident)
    page.text(" ".join(filter(None, (_means(incident, context), reason))))
    page.text(_wanted(incident, context))
    if context.level and incident.wanted_since is not None:
        waited = duration(utc(context.now) - utc(incident.wanted_since))
        page.text(f"Nobody has said in {waited} that they are on it. This is for {safe(context.level, 20)}.")
    page.blank()
    arn = arn_of(incident.target)
    where = [f"system {safe(incident.group, 80)}" if incident.group else ""]
    if arn is not None:
        where += [f"account {arn.account}" if arn.account else "", f"Region {arn.region}" if arn.region else ""]
    if context.deployment:
        where.append(f"deployment {safe(context.deployment, 40)}")
    label = f", {safe(context.label, 20)}" if context.label else ""
    page.pair("Severity", f"{incident.severity.value}{label}{_response(incident, context)}")
    page.pair("Target", safe(incident.target, 1100))
    page.pair("In", ", ".join(filter(None, where)))
    page.pair("Incident", f"{safe(incident.id, 100)} ({safe(incident.remediation, 80)}, mode {context.mode.value})")
    if incident.plan is not None:
        applied = count(len(incident.attempts), "attempt") if incident.calls else "not applied"
        page.pair("Cure", f"{safe(incident.plan.summary, 300).rstrip('.') or '(not described)'} ({applied})")
    if incident.approval is not None and incident.approval.answer == "approved":
        at = f", {moment(incident.approval.answered_at)}" if incident.approval.answered_at else ""
        page.pair("Approved", f"by {safe(incident.approval.by, 200, people=False) or 'somebody'}{at}")
    if incident.acknowledged is not None:
        word = incident.acknowledged
        because = f": {safe(word.why, 300)}" if word.why else ""
        page.pair("On it", f"{safe(word.by, 200, people=False) or 'somebody'}, {moment(word.at)}{because}")
    page.pair("Opened", moment(incident.opened_at))
    if incident.closed_at is not None:
        page.pair(
            "Closed",
            f"{moment(incident.closed_at)}, after {duration(utc(incident.closed_at) - utc(incident.opened_at))}",
        )
    else:
        page.pair("Now", f"{moment(context.now)}, {duration(utc(context.now) - utc(incident.opened_at))} later")


def _response(incident: Incident, context: Context) -> str:
    """How soon somebody must say that they are on it, where somebody must."""
    if incident.wanted_since is None or incident.acknowledged is not None or context.respond_within is None:
        return ""
    by = clock(incident.wanted_since + context.respond_within, context.now)
    return f": respond within {duration(context.respond_within)}, by {by}"


_ON_LEASE = {
    False: "Nightshift acted, and the target is healthy again. What it lent for that is still out.",
    True: "Nightshift acted, and the target is sick again, though what it lent is still out. It needs a person.",
}


def _means(incident: Incident, context: Context) -> str:
    if observed_only(incident, context):
        return "Nightshift knows a cure, but here it only observes: nothing was changed."
    if said := _asked(incident):
        return said
    match incident.phase:
        case Phase.ENDING | Phase.CLOSED:
            if incident.verdict is Verdict.ESCALATED and _advice(incident) and not incident.attempts:
                return "Nightshift has found the cause. Nothing was changed."
            if incident.verdict is Verdict.ESCALATED and _stopped(incident):
                return "Somebody stopped Nightshift in the middle of the cure, and nobody let it go on."
            return _MEANS[incident.verdict or Verdict.BROKEN]
        case Phase.LEASED:
            return _ON_LEASE[relapsed(incident)]
        case Phase.ACTING | Phase.SETTLING:
            return "Nightshift is on it: a cure is under way."
        case Phase.VERIFYING:
            return "Nightshift has acted and is looking whether it helped."
        case Phase.OPEN | Phase.AWAITING:
            if asking(incident):
                return "Nightshift knows a cure and asks for your approval."
            if incident.refusal is not None:
                return f"The guardrail {_guard(incident.refusal)} holds Nightshift back: {_reason(incident.refusal)}"
            return "Nightshift has seen this and is looking closer."
        case _:
            assert_never(incident.phase)


def _asked(incident: Incident) -> str:
    """What has come of what a person has asked for, or of what was lent; empty where it is what any other would be."""
    if "loan" in incident.scratch and incident.verdict is Verdict.ESCALATED:
        return "What Nightshift had changed for a while is not back as it was."
    if incident.finding.request is None:
        return ""
    if incident.phase is Phase.LEASED:
        return "It is stopped, as somebody has asked, and starts again by itself. Nothing is wrong."
    if incident.phase in (Phase.OPEN, Phase.AWAITING) and incident.refusal is None and not asking(incident):
        what = "it to be stopped" if incident.plan is not None and incident.plan.lease is not None else "it"
        return f"Somebody has asked for {what}. Nothing is wrong."
    if incident.decided and incident.verdict is Verdict.FIXED and incident.lease_ends is None:
        return "What somebody has asked for is done."
    if incident.decided and given_back(incident):
        return "It was stopped, as somebody had asked, and has been started again."
    return ""


def _advice(incident: Incident) -> tuple[str, ...]:
    """What people should do, where only they can cure the cause."""
    return incident.diagnosis.advice if incident.diagnosis is not None else ()


def _stopped(incident: Incident) -> bool:
    """Whether it was people who ended the cure, by the kill switch, rather than its failing."""
    return bool(incident.attempts) and incident.refusal is not None and incident.refusal.guard == "kill-switch"


def _wanted(incident: Incident, context: Context) -> str:
    """Whether the reader has to get up."""
    if asking(incident) and incident.approval is not None:
        return f"It needs your answer before {clock(incident.approval.expires_at, context.now)}: see NEXT."
    if incident.decided:
        match incident.verdict:
            case Verdict.FIXED | Verdict.RECOVERED if not _loose_ends(incident):
                return "You need to do nothing."
            case Verdict.FIXED | Verdict.RECOVERED:
                return "It can wait for the morning, but not for ever: see NEXT."
            case Verdict.ESCALATED | Verdict.REVERTED | Verdict.BROKEN | Verdict.INEFFECTIVE | None:
                return "It needs a person now: see NEXT."
            case Verdict.REFUSED | Verdict.UNVERIFIABLE:
                return "It needs a person: see NEXT."
    if incident.phase in (Phase.OPEN, Phase.AWAITING) and (
        incident.refusal is not None or context.mode is Mode.OBSERVE
    ):
        return "It will not be cured while this lasts: see NEXT."
    return "You need to do nothing now."


def _loose_ends(incident: Incident) -> bool:
    ledger = incident.ledger
    return bool(
        unknown_calls(incident)
        or ledger.quarantined
        or ledger.uncertain
        or ledger.returned
        or not ledger.balanced
        or left_as_it_is(incident)
    )


def _guard(refusal: Refusal) -> str:
    return f'"{safe(refusal.guard, 60).replace("-", " ")}"'


def _reason(refusal: Refusal) -> str:
    return sentence(safe(refusal.reason, 400) or "it gave no reason")


# -- what was seen, and why ------------------------------------------------------------------------------------------


def _seen(page: Page, incident: Incident) -> None:
    finding = incident.finding
    page.section("SEEN")
    page.text(safe(finding.symptom, 400) or "(no symptom was recorded)")
    page.items(map(_signal, finding.signals), _EVIDENCE)
    page.items((safe(text, 300) for text in finding.evidence), _EVIDENCE)


def _signal(signal: Signal) -> str:
    unit = f" {safe(signal.unit, 30)}" if signal.unit else ""
    window = f", over {safe(signal.window, 60)}" if signal.window else ""
    return f"{safe(signal.name, 100)}: {number(signal.value)}{unit} (threshold {number(signal.threshold)}{window})"


def _cause(page: Page, incident: Incident) -> None:
    diagnosis = incident.diagnosis
    page.section("CAUSE")
    if diagnosis is None:
        page.text("Not known: no diagnosis was made.")
        return
    page.text(safe(diagnosis.cause, 600) or "(not named)")
    page.items((safe(text, 300) for text in diagnosis.evidence), _EVIDENCE)
    if diagnosis.rejected:
        page.text("Considered and rejected:")
        page.items(
            (f"{safe(other.cause, 200)}: {safe(other.why_not, 300)}" for other in diagnosis.rejected),
            _EVIDENCE,
        )


# -- what was done ---------------------------------------------------------------------------------------------------


def _done(page: Page, incident: Incident, context: Context) -> None:
    if incident.calls:
        unknown = len(unknown_calls(incident))
        note = count(sum(record.count for record in incident.calls), "call")
        page.section("DONE", f"{note}, {unknown} of unknown outcome" if unknown else note)
        few, rest = capped(incident.calls, _CALLS)
        for record in few:
            _call_made(page, record, incident)
        if rest:
            page.text(f"… and {count(rest, 'line')} more")
        if len(incident.attempts) > 1:
            page.text(f"These were {count(len(incident.attempts), 'attempt')}:")
    else:
        page.section("DONE", "nothing: no call was made that changes anything")
    for attempt in incident.attempts if len(incident.attempts) > 1 else ():
        how = attempt.verdict.value if attempt.verdict else "under way"
        told = f": {safe(attempt.why, 200)}" if attempt.why else ""
        page.item(f"attempt {attempt.number}, {moment(attempt.started_at)}, {how}{told}", 4)
    if incident.plan is not None and not incident.calls:
        _plan(page, incident.plan, incident, context)
    if incident.refusal is not None and _refusal_counts(incident):
        _refusal(page, incident.refusal, waiting=not incident.decided)


def _call_made(page: Page, record: CallRecord, incident: Incident) -> None:
    outcome = {
        Outcome.DONE: "done",
        Outcome.NOT_DONE: "NOT DONE",
        Outcome.UNKNOWN: "UNKNOWN whether it happened",
    }[record.outcome]
    times = f" ({record.count:,} times)" if record.count != 1 else ""
    at = moment(record.at).removesuffix(" UTC")
    page.text(f"{at}  {_named(record, incident)}{times}: {outcome}")
    for line in changes(record.before, record.after):
        page.text(line, 23)
    if record.error:
        page.text(safe(record.error, 400), 23)
    trace = [f"step {safe(record.step, 60)}" if record.step else ""]
    trace.append(
        f"{'last ' if record.count != 1 else ''}request id {safe(record.request_id, 80)}" if record.request_id else ""
    )
    if any(trace):
        page.text(", ".join(filter(None, trace)), 23)


def _on(resource: str, incident: Incident) -> str:
    """Short where account and Region are the target's own."""
    arn, home = arn_of(resource), arn_of(incident.target)
    if (
        arn is None
        or home is None
        or (arn.account or home.account, arn.region or home.region) != (home.account, home.region)
    ):
        return safe(resource, 1100) or "(no resource)"
    return safe(arn.resource, 1100)


def _plan(page: Page, plan: Plan, incident: Incident, context: Context) -> None:
    heading = (
        "WOULD HAVE DONE"
        if incident.decided or context.mode is Mode.OBSERVE
        else "WANTS TO DO"
        if asking(incident) or incident.refusal is not None
        else "WILL DO"
    )
    page.section(heading, f"plan {safe(plan.hash, 16)}")
    page.text(safe(plan.summary, 400) or "(no summary)")
    several = len(plan.steps) > 1
    lines: list[tuple[str, Call | None]] = []
    for place, step in enumerate(plan.steps, start=1):
        settle = f", then wait {duration(step.settle)} and look" if step.settle else ""
        lines += [(f"step {place}, {safe(step.name, 60)}{settle}", None)] if several else []
        lines += [(_call_planned(call, incident), call) for call in step.calls]
    few, rest = capped(lines, _CALLS)
    for text, call in few:
        if call is None:
            page.text(text)
            continue
        page.item(text)
        for line in changes(call.before, {**call.params} if call.before else {}):
            page.text(line, 6)
        if call.why:
            page.text(f"because {safe(call.why, 300)}", 6)
    if rest:
        page.text(f"… and {count(rest, 'line')} more", 4)
    page.pair("Cost", _cost(plan))
    page.pair("Risk", safe(plan.risk, 300) or "not stated")
    page.pair("Lasts", f"{duration(plan.lease)}, then it is taken back" if plan.lease else "nothing to take back")


def _named(record: CallRecord, incident: Incident) -> str:
    about = f" ({safe(record.about, 300)})" if record.about else ""
    return f"{safe(record.action, 100)} on {_on(record.resource, incident)}{about}"


def _call_planned(call: Call, incident: Incident) -> str:
    times = f", at most {call.times:,} times" if call.times != 1 else ""
    given = ""
    if call.params and not call.before:
        given = " with " + joined([line.replace(" is ", "=", 1) for line in changes({}, call.params)])
    return f"{safe(call.action, 100)} on {_on(call.resource, incident)}{given}{times}"


def _cost(plan: Plan) -> str:
    if plan.cost_per_hour is None:
        return "nobody knows"
    if plan.cost_per_hour == 0:
        return "nothing extra"
    text = f"{money(plan.cost_per_hour)} an hour"
    if plan.lease is None:
        return text
    return f"{text}, about {money(plan.cost_per_hour * (plan.lease / timedelta(hours=1)))} for {duration(plan.lease)}"


def _refusal_counts(incident: Incident) -> bool:
    """A record keeps the last refusal; once the cure is under way or has worked it is of no interest."""
    if incident.decided:
        return incident.verdict not in (Verdict.FIXED, Verdict.RECOVERED)
    return not asking(incident)


def _refusal(page: Page, refusal: Refusal, *, waiting: bool) -> None:
    page.section("HELD BY", f"the guardrail {_guard(refusal)}")
    page.text(_reason(refusal))
    for line in changes({}, refusal.numbers):
        page.item(line.replace(" is ", ": ", 1))
    if refusal.retry_after is not None and waiting:
        page.text(f"It is asked again after {duration(refusal.retry_after)}.")
    if refusal.link:
        page.text(f"{'It waits' if waiting else 'It waited'} for this one to work: {safe(refusal.link, 1100)}")


# -- messages --------------------------------------------------------------------------------------------------------


def _messages(page: Page, ledger: Ledger) -> None:
    if not ledger:
        return
    page.section("MESSAGES")
    page.text(
        f"moved {ledger.moved:,} = processed {ledger.processed:,} + returned {ledger.returned:,}"
        f" + quarantined {ledger.quarantined:,} + remaining {ledger.remaining:,}"
    )
    if not ledger.balanced:
        known = ledger.processed + ledger.returned + ledger.quarantined + ledger.remaining
        gap = ledger.moved - known
        what = "not accounted for" if gap > 0 else "counted more than once"
        page.text(f"THIS DOES NOT ADD UP: {count(abs(gap), 'message')} {what}.")
    meaning = (
        (ledger.processed, "were finished by the consumer", "was finished by the consumer"),
        (
            ledger.returned,
            "failed again and are back in the dead-letter queue",
            "failed again and is back in the dead-letter queue",
        ),
        (ledger.quarantined, "are stored in the quarantine bucket", "is stored in the quarantine bucket"),
        (ledger.remaining, "wait for the consumer in the source queue", "waits for the consumer in the source queue"),
        (ledger.left, "were looked at and left where they are (left)", "was looked at and left where it is (left)"),
    )
    for amount, many, one in meaning:
        if amount:
            page.item(f"{amount:,} {one if amount == 1 else many}")
    if ledger.uncertain:
        page.item(
            f"up to {count(ledger.uncertain, 'message')} may exist twice (uncertain):"
            f" nobody knows whether {'its send' if ledger.uncertain == 1 else 'their sends'} happened"
        )


# -- verification, lease, undo ---------------------------------------------------------------------------------------


def _verification(page: Page, incident: Incident, context: Context) -> None:
    page.section("VERIFICATION")
    if not incident.calls and incident.verdict is not Verdict.RECOVERED:
        page.text("Nothing was done, so there is nothing to verify.")
    else:
        page.text(_proof(incident, context))
    looks = ((incident.healthy_looks, "healthy"), (incident.sick_looks, "sick"), (incident.unknown_looks, "unreadable"))
    found = [f"{how} {count(times, 'time')} in a row" for times, how in looks if times]
    page.text(f"Last seen {joined(found)}." if found else "Not looked at since.")
    if incident.calls and (asked := _case(context.case, "Proof")):
        page.text(f"What counts as proof: {asked}.")


def _proof(incident: Incident, context: Context) -> str:
    if incident.finding.request is not None and incident.lease_ends is not None:
        return "Passed: no task ran any more."
    if incident.finding.request is not None and incident.verdict is Verdict.FIXED:
        return "Passed: it is there, and available."
    match incident.phase:
        case Phase.ENDING | Phase.CLOSED:
            return {
                Verdict.FIXED: "Passed: after the change the target was healthy, look after look.",
                Verdict.RECOVERED: "The target was healthy, look after look. Nothing shows that Nightshift caused it.",
                Verdict.UNVERIFIABLE: "Not possible: the target could not be read well enough to say.",
                Verdict.REVERTED: "Failed: the target stayed sick, so the change was taken back.",
            }.get(incident.verdict or Verdict.BROKEN, "Not passed: the target was not seen healthy after the change.")
        case Phase.LEASED if relapsed(incident):
            return "Passed at first; since then the target has been seen sick, look after look."
        case Phase.LEASED:
            return "Passed: after the change the target was healthy, look after look."
        case Phase.VERIFYING if incident.verify_until is not None:
            return f"Under way, until {clock(incident.verify_until, context.now)} at the latest."
        case Phase.SETTLING if incident.settle_until is not None:
            return f"Not begun: the change takes effect by {clock(incident.settle_until, context.now)}."
        case _:
            return "Not begun."


def _case(case: str, label: str) -> str:
    """The paragraph under a label of the remediation's docstring."""
    match = re.search(rf"^{label}[ ]+(.+(?:\n[ ]+.+)*)", case[:4000], re.MULTILINE)
    return safe(match[1], 300).rstrip(".") if match else ""


def _lease(page: Page, incident: Incident, context: Context) -> None:
    ends = incident.lease_ends
    if ends is None:
        return
    page.section("ON LEASE")
    back = given_back(incident)
    if not incident.decided:
        left = utc(ends) - utc(context.now)
        when = f"in {duration(left)}" if left > timedelta(0) else f"overdue by {duration(left)}"
        page.text(f"What was changed goes back to its old value at {clock(ends, context.now)} ({when}), by itself.")
        _lent(page, incident)
        if incident.plan is not None:
            page.text(f"Until then it costs {_cost(incident.plan)}.")
        return
    if back:
        page.text(f"Returned: what was changed was put back at {moment(back[-1].at)}.")
        for record in back:
            for line in changes(record.before, record.after):
                page.item(line)
        return
    page.text(
        "Not put back by Nightshift: the value was no longer the one that it had set, is needed, or could not be"
        " changed. It is left as it is. What Nightshift had changed:"
    )
    _lent(page, incident)


def _lent(page: Page, incident: Incident) -> None:
    for record in incident.calls:
        if record.outcome is not Outcome.NOT_DONE and not record.step.startswith("undo "):
            for line in changes(record.before, record.after):
                page.item(f"{_on(record.resource, incident)}: {line}")


def _drift(page: Page, incident: Incident) -> None:
    """What is not any more as it is declared: whoever declares it undoes it, unless it is changed there."""
    found = drifted(incident)
    if not found:
        return
    page.section("DRIFT", "from what is declared" if incident.calls else "from what is declared, if it were done")
    few, rest = capped(found, _EVIDENCE)
    for each in few:
        [line] = changes({each.name: each.old}, {each.name: each.new})
        page.item(f"{_on(each.resource, incident)}: {line}")
    if rest:
        page.text(f"… and {count(rest, 'line')} more")
    who = safe(incident.owner, 200)
    whose = f"It is declared by {who}: the next apply of {who}" if who else "Whatever declares it (a stack, Terraform)"
    page.text(f"{whose} undoes this. Should it stay, it has to be changed there.")


def _undo(page: Page, incident: Incident) -> None:
    if incident.plan is None or not incident.plan.undo_by_hand.strip():
        return
    if not any(record.outcome is not Outcome.NOT_DONE for record in incident.calls):
        return
    returned = incident.lease_ends is not None or incident.verdict is Verdict.REVERTED
    if incident.decided and returned and given_back(incident):
        return
    page.section("UNDO BY HAND")
    for line in incident.plan.undo_by_hand[:4000].splitlines():
        if text := safe(line, 1000):
            page.command(text)


# -- what to do next -------------------------------------------------------------------------------------------------

_ALLOW = {
    "protected": "Cure it by hand. If Nightshift may act here, remove the protection (configuration or tag).",
    "opted-in": "If Nightshift may act here, tag the resource auto-remediation=enabled.",
    "registered": "If Nightshift may act here, name the resource in the deployment's configuration.",
    "mode": "If Nightshift may do this by itself, set the mode to approve or auto in the configuration.",
    "kill-switch": "Cure it by hand, or let Nightshift go on: nightshift resume. It then goes on at its next look.",
    "consumer": "Nothing, if the consumer recovers: Nightshift then goes on by itself. If not, look at its logs and its"
    " last deployment.",
    "freeze": "Cure it by hand, or wait for the freeze's end. If Nightshift must act all the same, name the remediation"
    " under calendar.freeze.override and deploy.",
    "window": "Nothing, if it can wait: Nightshift goes on when its time has come. If it cannot, cure it by hand.",
    "mid-change": "Look whether that change is stuck or is the cause. Nightshift goes on when it is over.",
    "storm": "Look for one common cause first. Nightshift fixes nothing one by one while so much is sick at once.",
    "target-budget": "It keeps coming back: look for the cause behind it. Nightshift tries no more often than this.",
    "account-budget": "Much has been changed this hour: look whether one cause is behind it. Nightshift goes on later.",
    "attempts": "All attempts are used up: cure it by hand.",
    "approval": "Cure it by hand, or approve the plan the next time you are asked.",
}


def _next(page: Page, incident: Incident, context: Context) -> None:
    page.section("NEXT")
    if asking(incident) and incident.approval is not None:
        _answer(page, incident, context)
        _respond(page, incident, context)
        return
    denied = missing_permission(incident)
    if denied:
        page.item(
            f"AWS denied {denied}. Waiting does not help: grant {denied} to Nightshift's role, or cure it by hand."
        )
    for record in unknown_calls(incident)[:_EVIDENCE]:
        page.item(f"Check by hand whether {_named(record, incident)} happened: AWS gave no clear answer.")
    for text in _for_ledger(incident.ledger):
        page.item(text)
    if left_as_it_is(incident):
        page.item("What was lent had been changed by somebody else and was left as it is: see the incident about that.")
    if not _for_asked(page, incident, context):
        for text in _for_state(incident, context):
            page.item(text)
    _respond(page, incident, context)


def _for_asked(page: Page, incident: Incident, context: Context) -> bool:
    """What is next of what a person has asked for; False where it is what it would be of anything else."""
    request = incident.finding.request
    if request is None:
        return False
    if incident.phase is Phase.LEASED:
        page.text("When the work is done, have it started again:")
        page.command(f"nightshift maintenance end {_whole(incident.target)}{where(incident, context)}")
        return True
    if incident.verdict is Verdict.FIXED and incident.lease_ends is None and incident.decided:
        page.item("Go on with what it was asked for. When it is not needed any more, delete it: see UNDO BY HAND.")
        return True
    if not incident.decided or incident.lease_ends is None or not given_back(incident):
        return False
    if incident.verdict is Verdict.FIXED:
        page.item("Nothing: it is as it was before.")
        return True
    who = safe(request.by, 200, people=False)
    page.text(f"Ask {who} whether the work is done. If it is not, have it stopped again:")
    config = f" --config {shell(context.deployment)}" if context.deployment else ""
    page.command(f"nightshift maintenance start {_whole(incident.target)} --until 2h{config}")
    return True


def _whole(arn: str) -> str:
    return shlex.quote(safe(arn, 1100))


def _respond(page: Page, incident: Incident, context: Context) -> None:
    """How to say that you are on it."""
    if incident.wanted_since is None or incident.acknowledged is not None:
        return
    page.text("Say that you are on it, and nobody else is told:")
    page.command(f"nightshift ack {shell(incident.id)}{where(incident, context)}")
    if context.next_update is not None:
        page.text(f"The next update comes at {clock(context.next_update, context.now)}, unless somebody does.")


def where(incident: Incident, context: Context) -> str:
    """Which deployment a command is about, so that it can be typed as it stands."""
    if not context.deployment:
        return ""
    arn = arn_of(incident.target)
    region = f" --region {shell(arn.region)}" if arn is not None and arn.region else ""
    return f" --stack {shell('nightshift-' + context.deployment)}{region}"


def _answer(page: Page, incident: Incident, context: Context) -> None:
    approval = incident.approval
    expires = clock(approval.expires_at, context.now) if approval else "it expires"
    page.text("If you agree:")
    page.command(f"nightshift approve {shell(incident.id)}{where(incident, context)}")
    page.text("If not:")
    page.command(f'nightshift deny {shell(incident.id)}{where(incident, context)} --why "…"')
    page.text(
        f"If nobody answers before {expires}, nothing is done and the incident closes as refused. A yes counts once and"
        " for this plan only; everything is checked again before acting. If the target heals first, nothing is done."
    )


def _for_ledger(ledger: Ledger) -> list[str]:
    texts = []
    if not ledger.balanced:
        texts.append("Find the messages that do not add up (see MESSAGES) before you change anything else there.")
    if ledger.quarantined:
        them = "it" if ledger.quarantined == 1 else "them"
        texts.append(
            f"Look at the {count(ledger.quarantined, 'message')} in quarantine: somebody has to mend or drop {them}."
        )
    if ledger.returned:
        texts.append(
            f"{count(ledger.returned, 'message')} failed again: the consumer's logs say why. Moving again is no cure."
        )
    if ledger.uncertain:
        texts.append(
            f"Up to {count(ledger.uncertain, 'message')} may be processed twice: check, if your consumer minds."
        )
    return texts


def _for_state(incident: Incident, context: Context) -> list[str]:
    if not incident.decided:
        return _for_open(incident, context)
    look = f"Look at {name_of(incident.target)} yourself"
    match incident.verdict:
        case Verdict.FIXED:
            back = (
                "What was lent has been returned. " if incident.lease_ends is not None and given_back(incident) else ""
            )
            return [f"{back}Nothing more tonight. If this comes back, the cause behind it is still there."]
        case Verdict.RECOVERED:
            return ["Nothing. If it comes back, it is worth finding out what made it sick."]
        case Verdict.UNVERIFIABLE:
            return [f"{look}: Nightshift cannot see whether it is healthy. Find out why it cannot be read."]
        case Verdict.REFUSED:
            return _for_refused(incident)
        case Verdict.ESCALATED if advice := _advice(incident):
            return [
                *([f"Tried so far: {_tried(incident)}."] if incident.attempts else []),
                *(sentence(safe(text, 400)) for text in advice[:_EVIDENCE]),
                "Nightshift stays quiet about this until it has been healthy again.",
            ]
        case Verdict.ESCALATED | Verdict.INEFFECTIVE:
            tried = f"Tried so far: {_tried(incident)}." if incident.attempts else "Nothing was tried."
            if _stopped(incident):
                return [
                    f"Begun, then stopped by the kill switch: {_tried(incident)}. DONE says what was done by then.",
                    f"{look}, and decide whether to go on by hand: nightshift resume does not take this one up again.",
                ]
            return [
                tried,
                f"{look}. Do not repeat what did not help; begin at CAUSE and what was rejected there.",
                "Nightshift stays quiet about this until it has been healthy again.",
            ]
        case Verdict.REVERTED:
            return [f"{look}: it is as sick as before. Tried and taken back: {_tried(incident)}."]
        case Verdict.BROKEN | None:
            return [
                "Check every call under DONE by hand: the last change may be half made.",
                f"{look}: Nightshift no longer does. The tick function's log names the error, under the incident id.",
            ]
        case _:
            assert_never(incident.verdict)


def _tried(incident: Incident) -> str:
    plan = incident.plan
    what = safe(plan.summary, 200).rstrip(".") if plan else ""
    times = count(len(incident.attempts), "attempt")
    return f"{what} ({times})" if what else times


def _for_open(incident: Incident, context: Context) -> list[str]:
    if incident.phase is Phase.LEASED:
        return [
            "Nothing: it is given back by itself, and you will be told.",
            "Should it stay? Change it where it is defined: a value that is no longer Nightshift's is left alone.",
        ]
    if incident.refusal is not None:
        return _for_refused(incident)
    if context.mode is Mode.OBSERVE and incident.plan is not None:
        return [f"Cure it by hand. {_ALLOW['mode']}"]
    return ["Nothing: you will be told how it ends."]


def _for_refused(incident: Incident) -> list[str]:
    approval = incident.approval
    if incident.decided and incident.recalled is not None:
        return ["Nothing: it was withdrawn before anything was done."]
    if approval is not None and approval.answer == "denied":
        by = safe(approval.by, 200, people=False) or "somebody"
        reason = f": {safe(approval.why, 300)}" if approval.why else ""
        return [f"Denied by {by}{reason}", "The target is still sick. Nightshift will not ask again for this incident."]
    if incident.decided and approval is not None and not approval.answer:
        return ["Nobody answered the question in time. The target is still sick: cure it by hand."]
    refusal = incident.refusal
    if refusal is None:
        return ["The target is still sick: cure it by hand."]
    return [
        _ALLOW.get(
            refusal.guard, "Look at HELD BY: what it names has to be settled by a person, or the cure made by hand."
        )
    ]


# -- the rest --------------------------------------------------------------------------------------------------------


def _timeline(page: Page, events: Iterable[TimelineEvent]) -> None:
    every = sorted(events, key=lambda event: utc(event.at))
    if not every:
        return
    page.section("TIMELINE", "UTC")
    skipped = len(every) - _TIMELINE
    shown = every if skipped <= 0 else [*every[:_MAIN_EVENTS], *every[skipped + _MAIN_EVENTS :]]
    for place, event in enumerate(shown):
        if skipped > 0 and place == _MAIN_EVENTS:
            page.text(f"… {count(skipped, 'event')} left out …")
        page.text(f"{moment(event.at).removesuffix(' UTC')}  {safe(event.kind, 30)}: {safe(event.text, 300)}")


def _linked(page: Page, incident: Incident, context: Context) -> None:
    if not incident.links:
        return
    page.section("LINKED", "incidents and targets with the same failure")
    notes = {link: safe(context.linked.get(link, ""), 120) for link in incident.links}
    page.items((f"{safe(link, 1100)}{f': {note}' if note else ''}" for link, note in notes.items()), _EVIDENCE)


_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{2,64}")


def _console(page: Page, incident: Incident) -> None:
    """Where CloudTrail shows every call that was made under the incident's name."""
    arn = arn_of(incident.target)
    if (
        arn is None
        or arn.partition != "aws"
        or not arn.region
        or not incident.calls
        or not _PLAIN_ID.fullmatch(incident.id)
    ):
        return
    page.text("What CloudTrail recorded under this incident's name:")
    page.command(
        f"https://{arn.region}.console.aws.amazon.com/cloudtrailv2/home?region={arn.region}#/events?Username={incident.id}"
    )
