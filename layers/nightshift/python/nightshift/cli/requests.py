"""What people ask for from the command line has in common: which target is meant, the plan, and who was first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import typer

from nightshift.asking import ask, asked_incident, in_the_way
from nightshift.cli import pages
from nightshift.cli.context import Context, Declined
from nightshift.cli.deployment import Deployment
from nightshift.cli.looking import suggestion
from nightshift.config import Policy
from nightshift.guardrails import APPROVAL
from nightshift.health import seen
from nightshift.incidents import Incidents
from nightshift.model import Finding, Incident, Plan, Refusal, Request, SwitchState, Target
from nightshift.remediation import Remediation
from nightshift.report import safe
from nightshift.report.words import name_of
from nightshift.service import connect

__all__ = ["Asked", "chosen", "document", "first", "put", "said", "waits"]

Cure = TypeVar("Cure", bound=Remediation)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: of which target, by whom, and how that is called ("stop", "is not stopped")."""

    cure: Remediation
    target: Target
    finding: Finding
    request: Request
    verb: str
    refused: str

    @property
    def name(self) -> str:
        """The target's own name."""
        return name_of(str(self.target.arn))


def chosen(policy: Policy, wanted: type[Cure], name: str, one: str, several: str) -> tuple[Cure, Target]:
    """The target that is meant. Raises Declined where there is none, or nobody has allowed this."""
    cure = policy.remediations.get(wanted.name)
    if not isinstance(cure, wanted):
        raise Declined(
            f"{wanted.name} is not enabled in this configuration",
            f"Write [remediations.{wanted.name}] into it, and deploy",
        )
    takes = [target for target in policy.targets if cure.takes(target)]
    matches = [target for target in takes if name in (str(target.arn), target.arn.name)]
    if not matches:
        shared = Counter(target.arn.name for target in takes)
        names = [str(each.arn) if shared[each.arn.name] > 1 else each.arn.name for each in takes]
        raise Declined(f"{safe(name, 300)} is no {one} that {cure.name} takes", suggestion(name, names, "It takes"))
    if len(matches) > 1:
        raise Declined(
            f"{safe(name, 80)} is the name of {len(matches)} {several}",
            f"Name one of {', '.join(str(each.arn) for each in matches)}",
        )
    return cure, matches[0]


def put(
    context: Context, policy: Policy, deployment: Deployment, asked: Asked, *, yes: bool
) -> tuple[Incident, Plan, list[Refusal]] | None:
    """
    Show the plan, and write it down with its author's yes; None where somebody was faster.

    With it comes what it waits for. Raises Declined where something speaks against it for good.
    """
    service = connect(policy, deployment.aws, deployment.environment, clock=context.clock)
    told = service.engine.explain(asked.target, asked.cure, asked.finding)
    refusal = in_the_way(told)
    if refusal is not None:
        raise Declined(f"{asked.name} {asked.refused}: {said(refusal)}")
    if told.plan is None:
        raise Declined(f"{asked.name} {asked.refused}: {seen(told.observation)}")
    if not yes:
        symptom = safe(asked.finding.symptom, 600, people=False)
        context.out.print(pages.lines((symptom, "bold"), *pages.plan_lines(told.plan)), soft_wrap=True)
        typer.confirm(f"{asked.verb} {asked.name} as {asked.request.by}?", abort=True)
    incident = asked_incident(policy, asked.target, asked.finding, asked.request, told, told.plan)
    if not ask(deployment.incidents, incident, now=context.clock()):
        return None
    return incident, told.plan, [each for each in told.refusals if each.guard != APPROVAL]


def first(store: Incidents, cure: Remediation, target: Target) -> Incident | None:
    """What somebody else has asked for before, of the same."""
    found = store.open_of(cure.name, str(target.arn))
    return store.get(found) if found else None


def said(refusal: Refusal) -> str:
    """Why something is not done."""
    return f"{safe(refusal.guard, 60)}: {safe(refusal.reason, 400, people=False)}"


def document(plan: Plan, held: Iterable[Refusal]) -> dict[str, Any]:
    """The plan that was approved, and what it waits for."""
    return {"plan": pages.plan_document(plan), "held_by": [pages.refusal_document(each) for each in held]}


def waits(context: Context, store: Incidents, held: Iterable[Refusal] = ()) -> None:
    """What it waits for, in words; the kill switch as it stands."""
    for each in held:
        if each.guard != "kill-switch":
            context.note(f"It waits: {said(each)}")
    switch = store.switch()
    if switch.state is not SwitchState.ON:
        state = switch.state.value if switch.state else "not on"
        context.note(f"The kill switch is {state} ({safe(switch.reason, 400)}): nothing may be done before it is on.")
