"""
A person's answer to a question: `approve`, `deny`; and their word that they are on it: `ack`.

The answer is bound to the incident, to the hash of the plan that was shown, and to the question's expiry; it counts
once; it is kept under the caller's IAM identity as STS tells it. Nothing is done here: the next tick looks again, and
asks every guardrail again, before it acts.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer

from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Deployment, Where, find
from nightshift.cli.options import AsJson, Config, Profile, Region, Stack, Table, Why, Yes
from nightshift.cli.switching import reason
from nightshift.cli.telling import load
from nightshift.incidents import Event
from nightshift.model import Acknowledgement, Approval, Incident, Phase, Plan, SwitchState, Verdict
from nightshift.report import safe
from nightshift.report.words import duration, moment, name_of

__all__ = ["ack", "approve", "deny"]

_NOT_ASKING = {
    Phase.OPEN: "it is still being looked at, or a guardrail holds it",
    Phase.ACTING: "its cure is being applied",
    Phase.SETTLING: "its cure was applied and is taking effect",
    Phase.VERIFYING: "its cure was applied and is being verified",
    Phase.LEASED: "it is fixed, and what was lent will be taken back",
    Phase.ENDING: "it has ended, and people are being told",
}

_Id = Annotated[str, typer.Argument(metavar="ID", help="The incident's id.")]
_PlanHash = Annotated[
    str | None,
    typer.Option(
        "--plan", metavar="HASH", help="Only if the question is about this plan: for whoever says --yes unseen."
    ),
]


def approve(
    ctx: typer.Context,
    incident: _Id,
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="A reason, if you like. It is kept, and shown.")
    ] = "",
    plan: _PlanHash = None,
    yes: Yes = False,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Say yes to the plan that an incident asks about.

    Shows the plan first. The yes is for this very plan, counts once, and only until the question expires; everything is
    checked again before anything is done.
    """
    context = here(ctx, json=json)
    deployment = find(context, Where(config, stack, table, profile, region))
    _answer(context, deployment, incident, "approved", reason(why) if why else "", plan, yes=yes)


def deny(
    ctx: typer.Context,
    incident: _Id,
    *,
    why: Why,
    plan: _PlanHash = None,
    yes: Yes = False,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """Say no to the plan that an incident asks about. The incident closes as refused, with your reason."""
    context = here(ctx, json=json)
    why = reason(why)
    deployment = find(context, Where(config, stack, table, profile, region))
    _answer(context, deployment, incident, "denied", why, plan, yes=yes)


def ack(
    ctx: typer.Context,
    incident: _Id,
    *,
    why: Annotated[
        str, typer.Option("--why", metavar="TEXT", help="What you are doing, if you like. It is kept.")
    ] = "",
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    region: Region = None,
    json: AsJson = False,
) -> None:
    """
    Say that you are on it: nobody else is told of the incident.

    Answers no question, and changes nothing that Nightshift does.
    """
    context = here(ctx, json=json)
    why = reason(why) if why else ""
    deployment = find(context, Where(config, stack, table, profile, region))
    store = deployment.incidents
    found = load(store, incident)
    _nobody_yet(found)
    word = Acknowledgement(deployment.caller.arn, context.clock(), why)
    because = f": {why}" if why else ""
    if not store.acknowledge(found.id, word, event=Event(word.at, "acknowledged", f"{word.by} is on it{because}")):
        _nobody_yet(load(store, incident))  # says who was faster
        raise Declined("the record could not be written", "Try again")
    document = {
        "schema": "nightshift.acknowledgement/1",
        "incident": found.id,
        "target": safe(found.target, 1100),
        "by": word.by,
        "why": safe(why, 400),
        "at": pages.time_document(word.at),
    }
    said = f"{word.by} is on incident {found.id} ({name_of(found.target)})."
    context.tell(document, pages.lines((said, "bold green"), "Nobody else is told of it."))


def _nobody_yet(incident: Incident) -> None:
    """Raises Declined where somebody is on it already, or nobody is needed any more."""
    word = incident.acknowledged
    if word is not None:
        raise Declined(f"{safe(word.by, 200, people=False)} is on it already, since {moment(word.at)}")
    if incident.verdict in (Verdict.FIXED, Verdict.RECOVERED) and incident.decided:
        raise Declined(f"it is closed ({incident.verdict.value}: {safe(incident.why, 300)}): nobody is needed")


def _answer(
    context: Context, deployment: Deployment, incident_id: str, word: str, why: str, only: str | None, *, yes: bool
) -> None:
    if context.json and not yes:
        raise typer.BadParameter(
            "--json asks nothing back: say --yes, and --plan HASH to bind it to the plan you have read"
        )
    store = deployment.incidents
    incident = load(store, incident_id)
    asked, plan = _question(incident, context.clock())
    if only is not None and only != plan.hash:
        raise Declined(
            f"the question is about plan {plan.hash}, not {safe(only, 40)}", "Look at it again: nightshift show"
        )
    if not yes:
        _show(context, incident, asked, plan)
        verb = {"approved": "Approve", "denied": "Deny"}[word]
        typer.confirm(f"{verb} plan {plan.hash} for {name_of(incident.target)} as {deployment.caller.arn}?", abort=True)
    now = context.clock()
    if now >= asked.expires_at:  # the reader took their time
        raise _expired(asked)
    given = replace(asked, answer=word, by=deployment.caller.arn, why=why, answered_at=now)
    because = f": {why}" if why else ""
    event = Event(now, word, f"{word} plan {plan.hash} by {deployment.caller.arn}{because}")
    taken = store.answer(incident.id, given, asked=asked, now=now, event=event)
    after = store.get(incident.id)
    if not taken or (after is not None and _another(after, given)):
        _question(after or incident, now)  # says what has happened meanwhile
        raise Declined("the question was asked anew meanwhile", f"Look at it: nightshift show {incident.id}")
    _confirm(context, deployment, incident, given)


def _question(incident: Incident, now: datetime) -> tuple[Approval, Plan]:
    """The question that is open, and the plan it is about. Raises Declined, which says why there is none."""
    asked, plan = incident.approval, incident.plan
    if incident.phase is Phase.CLOSED:
        how = (incident.verdict or Verdict.BROKEN).value
        if incident.verdict is Verdict.RECOVERED:
            raise Declined(f"it healed by itself meanwhile: there is nothing to answer ({safe(incident.why, 300)})")
        raise Declined(f"it is closed ({how}: {safe(incident.why, 300)}): there is nothing to answer")
    if incident.phase is not Phase.AWAITING:
        raise Declined(f"it is not waiting for an answer: {_NOT_ASKING[incident.phase]} (phase {incident.phase.value})")
    if asked is None or plan is None or asked.plan_hash != plan.hash:
        raise Declined(
            "it waits, but has no question open now", "It asks anew at its next look, within a minute or two"
        )
    if asked.answer:
        at = f" at {moment(asked.answered_at)}" if asked.answered_at else ""
        raise Declined(
            f"it was {asked.answer} already, by {safe(asked.by, 200, people=False)}{at}", "An answer counts once"
        )
    if now >= asked.expires_at:
        raise _expired(asked)
    return asked, plan


def _expired(asked: Approval) -> Declined:
    return Declined(
        f"the question expired at {moment(asked.expires_at)}, and an answer no longer counts",
        "The incident closes as refused at its next look; a target that stays sick is taken up afresh later",
    )


def _another(after: Incident, given: Approval) -> bool:
    """Whether it is somebody else's answer to this question that counts."""
    kept = after.approval
    same = kept is not None and (kept.plan_hash, kept.asked_at) == (given.plan_hash, given.asked_at)
    return (
        kept is not None
        and same
        and (kept.answer, kept.by, kept.answered_at) != (given.answer, given.by, given.answered_at)
    )


def _show(context: Context, incident: Incident, asked: Approval, plan: Plan) -> None:
    left = asked.expires_at - context.clock()
    cause = incident.diagnosis.cause if incident.diagnosis else "not known"
    context.out.print(
        pages.lines(
            (f"{safe(incident.remediation, 80)} on {safe(incident.target, 1100)}", "bold"),
            f"  Seen  {safe(incident.finding.symptom, 400)}",
            f"  Cause {safe(cause, 600)}",
            *pages.plan_lines(plan),
            f"  Until {moment(asked.expires_at)}, {duration(left)} from now",
        ),
        soft_wrap=True,
    )


def _confirm(context: Context, deployment: Deployment, incident: Incident, given: Approval) -> None:
    switch = deployment.incidents.switch()
    document = {
        "schema": "nightshift.answer/1",
        "incident": incident.id,
        "target": safe(incident.target, 1100),
        "plan": given.plan_hash,
        "answer": given.answer,
        "by": given.by,
        "why": safe(given.why, 400),
        "answered_at": pages.time_document(given.answered_at),
        "expires_at": pages.time_document(given.expires_at),
        "switch": switch.state.value if switch.state else None,
    }
    follows = (
        "Within a minute or two it looks again, and acts if everything still holds."
        if given.answer == "approved"
        else "The incident closes as refused at its next look, within a minute or two."
    )
    context.tell(
        document,
        pages.lines(
            (
                f"{given.answer.capitalize()} by {given.by}: plan {given.plan_hash} of incident {incident.id}.",
                "bold green",
            ),
            follows,
        ),
    )
    if given.answer == "approved" and switch.state is not SwitchState.ON:
        state = switch.state.value if switch.state else "not on"
        context.note(
            f"The kill switch is {state} ({safe(switch.reason, 400)}): nothing is done before `nightshift resume`."
        )
