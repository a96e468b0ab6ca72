"""Commands that only look: `scan`, `explain`, `validate`, `remediations`."""

from __future__ import annotations

import difflib
import json as json_module
import sys
from collections import Counter
from typing import Annotated, Any

import typer
from rich.text import Text

from nightshift import config as configuration
from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here, problem_document
from nightshift.cli.deployment import (
    Deployment,
    Looking,
    NoStack,
    NotDeployed,
    Where,
    find,
    identify,
    path_of,
    policy_of,
)
from nightshift.cli.options import AsJson, Config, ConfigArgument, Profile, Stack, Table
from nightshift.config import ConfigErrors, Policy
from nightshift.engine import Explanation
from nightshift.guardrails import APPROVAL
from nightshift.health import how, seen, seen_document
from nightshift.incidents import Incidents
from nightshift.model import Mode, Target
from nightshift.remediation import Remediation
from nightshift.report import safe
from nightshift.report.words import count, duration, money
from nightshift.service import connect
from nightshift.sweep import Look

__all__ = ["explain", "policy_for", "remediations", "scan", "suggestion", "validate"]


# -- scan ------------------------------------------------------------------------------------------------------------


def scan(
    ctx: typer.Context,
    *,
    config: Config = None,
    profile: Profile = None,
    fail_on_sick: Annotated[bool, typer.Option("--fail-on-sick", help="Exit with 1 when a target is sick.")] = False,
    json: AsJson = False,
) -> None:
    """
    Look at every target once, as a sweep does, and write nothing.

    Needs a configuration and credentials that may read; nothing has to be deployed. What could not be read is unknown,
    with the reason, and never healthy.
    """
    context = here(ctx, json=json)
    policy = policy_for(context, config)
    aws, caller = identify(context, Where(config=config, profile=profile), policy, kind=Looking)
    service = connect(policy, aws, Deployment(aws, caller, Incidents(aws, ""), policy).environment, clock=context.clock)
    with context.err.status(f"looking at {count(len(policy.targets), 'target')} …"):
        looks = service.sweep.look(policy.targets)
    found = Counter(how(look.seen) for look in looks)
    document = {
        "schema": "nightshift.scan/1",
        "deployment": policy.name,
        "account": policy.account,
        "region": policy.region,
        "config_hash": policy.hash,
        "at": pages.time_document(context.clock()),
        "targets": len(policy.targets),
        **{word: found[word] for word in pages.HEALTH},
        "looks": [_look_document(policy, look) for look in looks],
    }
    summary = ", ".join(f"{found[word]} {word}" for word in pages.HEALTH)
    context.tell(
        document,
        pages.table(
            "TARGET", "SYSTEM", "REMEDIATION", "MODE", "HEALTH", "SEEN", rows=[_look_row(policy, x) for x in looks]
        ),
        f"{count(len(policy.targets), 'target')}, {count(len(looks), 'look')}: {summary}. Nothing was written.",
    )
    if fail_on_sick and found["sick"]:
        raise typer.Exit(1)


def _look_row(policy: Policy, look: Look) -> tuple[str | Text, ...]:
    word = how(look.seen)
    mode = policy.mode_for(look.target, look.remediation).value
    name = safe(look.target.arn.name, 80)
    return name, look.target.group, look.remediation.name, mode, Text(word, pages.HEALTH[word]), seen(look.seen)


def _look_document(policy: Policy, look: Look) -> dict[str, Any]:
    return {
        "target": str(look.target.arn),
        "system": look.target.group,
        "remediation": look.remediation.name,
        "mode": policy.mode_for(look.target, look.remediation).value,
        **seen_document(look.seen),
    }


# -- explain ---------------------------------------------------------------------------------------------------------


def explain(
    ctx: typer.Context,
    remediation: Annotated[str, typer.Argument(help="The remediation's name, as in the configuration.")],
    target: Annotated[str, typer.Argument(help="The target's ARN, or its name where only one is called so.")],
    *,
    config: Config = None,
    stack: Stack = None,
    table: Table = None,
    profile: Profile = None,
    json: AsJson = False,
) -> None:
    """
    Say what would be done about a target now, and which guardrail would speak.

    Looks, diagnoses and plans as the deployed Nightshift would, with your own credentials, which need to read only.
    Where nothing is deployed yet, budgets, leases and switches are those of a first night.
    """
    context = here(ctx, json=json)
    policy = policy_for(context, config)
    chosen = _remediation(policy, remediation)
    where = Where(config, stack, table, profile)
    with context.err.status(f"looking at {target} …"):
        aimed = _target(policy, target, chosen)
        deployment = _deployment(context, where, policy)
        service = connect(policy, deployment.aws, deployment.environment, clock=context.clock)
        told = service.engine.explain(aimed, chosen)
    conclusion, style = _conclusion(told)
    document = {
        "schema": "nightshift.explain/1",
        "deployment": policy.name,
        "deployed": bool(deployment.table),
        "config_hash": policy.hash,
        "at": pages.time_document(context.clock()),
        "remediation": chosen.name,
        "target": str(aimed.arn),
        "mode": told.mode.value,
        **seen_document(told.observation),
        "cause": safe(told.cause, 600) or None,
        "advice": [safe(text, 400) for text in told.advice],
        "diagnosis_refused": pages.refusal_document(told.diagnosis_refused) if told.diagnosis_refused else None,
        "plan": pages.plan_document(told.plan) if told.plan else None,
        "refusals": [pages.refusal_document(refusal) for refusal in told.refusals],
        "would_act": told.plan is not None and not told.refusals,
        "conclusion": conclusion,
    }
    context.tell(document, pages.lines(*_explained(aimed, chosen, told), "", (conclusion, style)))


def _deployment(context: Context, where: Where, policy: Policy) -> Deployment:
    """The deployment, or what there would be if it were there."""
    try:
        deployment = find(context, where, kind=Looking)
    except NoStack as error:
        if where.stack:
            raise
        context.note(f"{error.problem}: budgets, leases and switches are shown as on a first night.")
        aws, caller = identify(context, where, policy, kind=NotDeployed)
        return Deployment(aws, caller, Incidents(aws, ""), policy)
    deployed = deployment.outputs.get("ConfigHash", policy.hash)
    if deployed != policy.hash:
        context.note(
            f"What is deployed follows configuration {deployed}; this file is {policy.hash}: deploy it to let it count."
        )
    return deployment


def _explained(target: Target, remediation: Remediation, told: Explanation) -> list[str | Text | tuple[str, str]]:
    word = how(told.observation)
    said: list[str | Text | tuple[str, str]] = [
        (f"{remediation.name} on {target.arn.name} ({target.group}, mode {told.mode.value})", "bold"),
        "",
        (f"SEEN   {word}: {seen(told.observation)}", pages.HEALTH[word]),
        *pages.signal_lines(told.observation),
    ]
    if told.diagnosis_refused is not None:
        said += ["", (f"CAUSE  not ours to cure now: {_refused(told)}", "yellow")]
    if told.advice:
        said += ["", f"CAUSE  {safe(told.cause, 600)}", "", ("ONLY PEOPLE can cure this:", "bold")]
        said += [f"  {safe(text, 400)}" for text in told.advice]
    if told.plan is not None:
        said += ["", f"CAUSE  {safe(told.cause, 600)}", "", *pages.plan_lines(told.plan), ""]
        if told.refusals:
            said.append(("GUARDRAILS that would speak, in this order (the first one counts):", "bold"))
            said += [
                f"  {n}. {safe(r.guard, 60)}: {safe(r.reason, 400)}{_when(r)}" for n, r in enumerate(told.refusals, 1)
            ]
        else:
            said.append(("GUARDRAILS: none would speak.", "bold"))
    return said


def _refused(told: Explanation) -> str:
    refusal = told.diagnosis_refused
    return f"{safe(refusal.guard, 60)}: {safe(refusal.reason, 400)}{_when(refusal)}" if refusal else ""


def _when(refusal: Any) -> str:
    return f" (asked again after {duration(refusal.retry_after)})" if refusal.retry_after is not None else " (final)"


def _conclusion(told: Explanation) -> tuple[str, str]:
    word = how(told.observation)
    if word == "healthy":
        return "Nothing would be done: the target is healthy.", "green"
    if word == "unknown":
        return "Nothing would be done: what cannot be seen is never acted on.", "yellow"
    if told.advice:
        held = f", once {safe(told.refusals[0].guard, 60)} lets it" if told.refusals else ""
        return f"Nothing would be done; it would tell people{held}.", "yellow"
    if told.plan is None:
        return f"Nothing would be done: {_refused(told)}", "yellow"
    if not told.refusals:
        return "It would act now.", "bold red"
    if told.refusals[0].guard == APPROVAL:
        return "It would ask for approval of this plan.", "yellow"
    return f"It would not act: {safe(told.refusals[0].guard, 60)} holds it back.", "yellow"


def policy_for(context: Context, config: str | None) -> Policy:
    """The configuration that was named. One must be: Typer makes a usage error of it where none was."""
    if not config:
        raise typer.BadParameter("say which deployment: --config FILE")
    return policy_of(context, config)


def _remediation(policy: Policy, name: str) -> Remediation:
    found = policy.remediations.get(name)
    if found is None:
        raise Declined(
            f"{safe(name, 80)} is not enabled in this configuration",
            suggestion(name, policy.remediations, "Enabled are"),
        )
    return found


def _target(policy: Policy, name: str, remediation: Remediation) -> Target:
    matches = [target for target in policy.targets if name in (str(target.arn), target.arn.name)]
    fitting = [target for target in matches if remediation.takes(target)]
    if not matches:
        names = [target.arn.name for target in policy.targets if remediation.takes(target)]
        raise Declined(f"{safe(name, 300)} is no target of this configuration", suggestion(name, names, "It takes"))
    if not fitting:
        raise Declined(
            f"{remediation.name} does not take {safe(name, 300)}, a target of kind {matches[0].arn.kind}",
            f"It takes {' and '.join(remediation.kinds)}, where the target does not list others",
        )
    if len(fitting) > 1:
        raise Declined(
            f"{safe(name, 80)} is the name of {len(fitting)} targets",
            f"Name one of {', '.join(str(t.arn) for t in fitting)}",
        )
    return fitting[0]


def suggestion(name: str, there: Any, say: str) -> str:
    """The name that was probably meant, and those that there are."""
    names = sorted(set(there))
    near = difflib.get_close_matches(name[:100], names, n=1)
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")  # noqa: PLR2004 - a line
    return f"{f'Did you mean {near[0]}? ' if near else ''}{say} {shown or 'none'}"


# -- validate --------------------------------------------------------------------------------------------------------


def validate(
    ctx: typer.Context,
    config: ConfigArgument = None,
    *,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of the file instead, for editors.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check a configuration: say everything that is wrong with it, with its line, or what it comes to."""
    context = here(ctx, json=json)
    if schema:
        document = configuration.json_schema(registry=context.registry)
        context.tell(document, json_module.dumps(document, indent=2))
        return
    if not config:
        raise typer.BadParameter("say which file, or --schema")
    try:
        policy = policy_of(context, config)
    except ConfigErrors as errors:
        if not json:
            raise
        for problem in errors.problems:
            context.note(str(problem), style="bold red")
        problems = [problem_document(problem) for problem in errors.problems]
        context.tell({"schema": "nightshift.validate/1", "valid": False, "problems": problems})
        raise typer.Exit(1) from errors
    context.tell(_policy_document(policy), *_policy_page(policy, config))
    if path_of(config).stem != policy.name:
        name = policy.name
        context.note(f"Reports print commands with --config {name}, which means config/{name}.toml: call this file so.")


def _pairs(policy: Policy) -> list[tuple[Target, Remediation]]:
    each = policy.remediations.values()
    return [(target, remediation) for target in policy.targets for remediation in each if remediation.takes(target)]


def _policy_document(policy: Policy) -> dict[str, Any]:
    return {
        "schema": "nightshift.validate/1",
        "valid": True,
        "problems": [],
        "hash": policy.hash,
        **json_module.loads(configuration.to_json(policy)),
        "modes": [
            {"target": str(target.arn), "remediation": each.name, "mode": policy.mode_for(target, each).value}
            for target, each in _pairs(policy)
        ],
    }


def _policy_page(policy: Policy, config: str) -> list[Any]:
    counted = Counter(policy.mode_for(target, each) for target, each in _pairs(policy))
    modes = ", ".join(f"{counted[mode]} in mode {mode.value}" for mode in Mode)
    limits, storm = policy.limits, policy.storm
    rows = [
        (target.group, safe(target.arn.name, 80), target.arn.kind, each.name, _mode(policy, target, each))
        for target, each in _pairs(policy)
    ]
    bounds = (
        ("applications to one target", f"{limits.per_target_per_day} a day"),
        ("applications in the account", f"{limits.per_account_per_hour} an hour"),
        ("money", f"{money(limits.dollars_per_action)} an application, {money(limits.dollars_per_day)} a day"),
        ("a question waits", duration(limits.approval_expiry)),
        (
            "it is a storm from",
            f"{storm.targets} targets at once, or {storm.percent} % of a system (at least {storm.floor})",
        ),
        ("a storm is over after", f"{duration(storm.calm)} of calm"),
        ("who is told", ", ".join(policy.notify.emails)),
    )
    return [
        pages.lines(
            (
                f"{safe(config, 200)} is valid: {policy.name}, {policy.account}/{policy.region}, hash {policy.hash}",
                "bold green",
            ),
            f"{count(len(policy.groups), 'system')}, {count(len(policy.targets), 'target')}, "
            f"{count(len(policy.remediations), 'remediation')}; of what they may do for a target, {modes}",
        ),
        pages.table("SYSTEM", "TARGET", "KIND", "REMEDIATION", "MODE", rows=rows),
        pages.pairs(*bounds),
    ]


def _mode(policy: Policy, target: Target, remediation: Remediation) -> str:
    mode = policy.mode_for(target, remediation)
    if target.protected:
        return f"{mode.value}, but protected: only watched"
    own = target.mode or Mode.OBSERVE
    if own == remediation.mode:
        return mode.value
    return f"{mode.value} (target {own.value}, remediation {remediation.mode.value})"


# -- remediations ----------------------------------------------------------------------------------------------------


def remediations(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One remediation; all of them when not said.")] = None,
    *,
    json: AsJson = False,
) -> None:
    """List what Nightshift can cure: each remediation's case, settings and permissions."""
    context = here(ctx, json=json)
    known = {each.name: each for each in context.registry}
    if name is not None and name not in known:
        raise Declined(f"there is no remediation {safe(name, 80)}", suggestion(name, known, "There are"))
    chosen = [each for each in context.registry if name in (None, each.name)]
    document = {"schema": "nightshift.remediations/1", "remediations": [_remediation_document(each) for each in chosen]}
    page: list[Any] = []
    for each in chosen:
        page += _remediation_page(each, full=name is not None)
    context.tell(document, *page)


def case_of(remediation: type[Remediation]) -> str:
    """The docstring of a remediation's file: symptom, cause, cure, proof, undo."""
    module = sys.modules.get(remediation.__module__)
    return (module.__doc__ or "").strip() if module else ""


def _remediation_document(each: type[Remediation]) -> dict[str, Any]:
    return {
        "name": each.name,
        "title": each.title,
        "case": case_of(each),
        "kinds": list(each.kinds),
        "reads": list(each.reads),
        "writes": list(each.writes),
        "delegates": list(each.delegates),
        "settings": _settings(each),
    }


def _settings(each: type[Remediation]) -> list[dict[str, Any]]:
    schema = each.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "type": _type(facts, schema.get("$defs", {})),
            "default": facts.get("default"),
            "required": name in required,
            "description": facts.get("description") or "",
        }
        for name, facts in schema["properties"].items()
    ]


def _type(facts: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A setting's type in words: of the schema, because that is what a file is checked against."""
    if "$ref" in facts:
        return _type(definitions[facts["$ref"].rpartition("/")[2]], definitions)
    if "enum" in facts:
        return " | ".join(str(value) for value in facts["enum"])
    if "anyOf" in facts:
        return " or ".join(_type(part, definitions) for part in facts["anyOf"])
    if facts.get("type") == "array":
        return f"list of {_type(facts.get('items', {}), definitions)}"
    word = {
        "integer": "whole number",
        "number": "number",
        "boolean": "true | false",
        "string": "text",
        "null": "nothing",
    }.get(facts.get("type", ""), facts.get("type", "anything"))
    word = "duration" if facts.get("format") == "duration" else word
    bounds = {
        "exclusiveMinimum": "> {}", "minimum": ">= {}", "exclusiveMaximum": "< {}", "maximum": "<= {}"
    }  # fmt: skip
    return " ".join([word, *(text.format(facts[key]) for key, text in bounds.items() if key in facts)])


def _default(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_module.dumps(value)


def _remediation_page(each: type[Remediation], *, full: bool) -> list[Any]:
    permissions = {"reads": each.reads, "writes": each.writes, "AWS does for us": each.delegates}
    rows = [
        (
            setting["name"],
            setting["type"],
            _default(setting["default"]),
            setting["description"],
        )
        for setting in _settings(each)
    ]
    return [
        pages.lines(
            (f"{each.name}: {each.title}", "bold"),
            *([case_of(each), ""] if full else []),
            f"  takes {', '.join(each.kinds)}",
            *(f"  {what}: {', '.join(actions) or 'nothing'}" for what, actions in permissions.items()),
        ),
        pages.table("SETTING", "TYPE", "DEFAULT", "WHAT IT IS", rows=rows),
    ]
