"""
The command `discover`: what carries a tag and is not registered, as TOML for a person to read and to put into the file.

It registers nothing. What may be touched is what the configuration lists, and a role is made from that list alone: were
a tag enough, whoever may tag a resource could widen what Nightshift may write to.
"""

from __future__ import annotations

import itertools
import json as json_module
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from nightshift.aws import Aws
from nightshift.cli import pages
from nightshift.cli.context import Context, Declined, here
from nightshift.cli.deployment import Looking, Where, identify, path_of
from nightshift.cli.looking import policy_for
from nightshift.cli.options import AsJson, Config, Profile
from nightshift.config import ConfigErrors, Policy, parse_toml
from nightshift.errors import AwsError
from nightshift.guardrails import OPT_IN_TAG, PROTECTED_TAG
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Readings, Unread
from nightshift.report import safe
from nightshift.report.words import count
from nightshift.signals import gather, queue_arn, queue_url

__all__ = ["discover"]

_MOST = 500
"""resources of one tag: more is no system that a person reviews target by target"""
_SYSTEM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SYSTEM_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Proposal:
    """A target as it would stand in the file: what AWS says of it, and nothing that allows anything."""

    arn: Arn
    links: Mapping[str, Arn] = field(default_factory=dict)
    about: tuple[str, ...] = ()

    @property
    def toml(self) -> str:
        """Its table. No mode and no roles: it is watched, until somebody writes more."""
        said = [f"# {line}" for line in self.about]
        set_ = [f"{key} = {json_module.dumps(str(arn))}" for key, arn in (("arn", self.arn), *self.links.items())]
        return "\n".join([*said, "[[systems.targets]]", *set_]) + "\n"


@dataclass(slots=True)
class _Found:
    """What was found, sorted by what becomes of it: resource and reason where it is not proposed."""

    proposed: list[Proposal] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    not_read: list[tuple[str, str]] = field(default_factory=list)


def discover(
    ctx: typer.Context,
    *,
    tag: Annotated[
        list[str],
        typer.Option("--tag", metavar="KEY=VALUE", help="The tag to look for; said again, all of them must be there."),
    ],
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="NAME", help="The system they belong to. Default: the first tag's value."),
    ] = None,
    config: Config = None,
    profile: Profile = None,
    json: AsJson = False,
) -> None:
    """
    Print what carries a tag and is not registered yet, as TOML.

    Registers nothing and writes nothing: read it, put it into the file, validate, deploy. What is printed has no mode
    and is only watched until you say more. Load balancers, target groups and source queues are read from AWS.

    Exit code 1 where something that carries the tag could not be read: then what is printed is not all there is.
    """
    context = here(ctx, json=json)
    tags = [_tag(each) for each in tag]
    policy = policy_for(context, config)
    name = _name(system, tags[0][1])
    aws, _ = identify(context, Where(config, profile=profile), policy, kind=Looking)
    said = safe(", ".join("=".join(each) for each in tags), 200)
    with context.err.status(f"looking for {said} …"):
        found = _look(context, aws, policy, tags)
        _keep_valid(context, policy, str(config), found)
    toml = _toml(policy, name, said, found.proposed)
    document = {
        "schema": "nightshift.discover/1",
        "deployment": policy.name,
        "account": policy.account,
        "region": policy.region,
        "at": pages.time_document(context.clock()),
        "tags": [{"key": safe(key, 128), "value": safe(value, 256)} for key, value in tags],
        "system": name,
        "proposed": [
            {"arn": str(each.arn), **{key: str(arn) for key, arn in each.links.items()}, "about": list(each.about)}
            for each in found.proposed
        ],
        "registered": found.registered,
        "left_out": [{"resource": resource, "why": why} for resource, why in found.left_out],
        "not_read": [{"resource": resource, "why": why} for resource, why in found.not_read],
        "toml": toml,
    }
    for resource, why in (*found.left_out, *found.not_read):
        context.note(f"left out: {resource}: {why}")
    context.tell(document, toml.rstrip("\n") or f"# {_nothing(said, found)}")
    if found.not_read:
        raise typer.Exit(1)


def _tag(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key or not value:
        raise typer.BadParameter("say KEY=VALUE, as in customer=dhbw", param_hint="--tag")
    return key, value


def _name(system: str | None, value: str) -> str:
    name = value if system is None else system
    if not _SYSTEM.fullmatch(name) or len(name) > _SYSTEM_LENGTH:
        raise Declined(
            f"{safe(name, 80)} cannot be a system's name",
            "Say --system with lower-case letters, digits and hyphens, at most 32, beginning with a letter",
        )
    return name


# -- looking ---------------------------------------------------------------------------------------------------------


def _look(context: Context, aws: Aws, policy: Policy, tags: Sequence[tuple[str, str]]) -> _Found:
    """Raises AwsError where the tags themselves cannot be read."""
    found = _Found()
    filters = [{"Key": key, "Values": [value]} for key, value in tags]
    tagged: dict[Arn, Mapping[str, str]] = {}
    for each in aws.pages(
        "resourcegroupstaggingapi", "GetResources", "ResourceTagMappingList", limit=_MOST, TagFilters=filters
    ):
        try:
            arn = Arn.parse(str(each.get("ResourceARN")))
        except ValueError:
            found.not_read.append((safe(each.get("ResourceARN"), 300), "its name is no ARN"))
            continue
        tagged[arn] = {str(tag.get("Key")): str(tag.get("Value")) for tag in each.get("Tags") or ()}
    kinds = {kind for each in policy.remediations.values() for kind in each.kinds}
    wanted: list[Arn] = []
    for arn in sorted(tagged):
        if policy.target(arn) is not None:
            found.registered.append(str(arn))
        elif arn.kind not in kinds:
            found.left_out.append((safe(arn, 1100), f"no enabled remediation takes the kind {safe(arn.kind, 80)}"))
        else:
            wanted.append(arn)
    reads = [ResourceRead("ecs.service", str(arn)) for arn in wanted if arn.kind == "ecs:service"]
    readings = gather(aws, reads, now=context.clock())
    for arn in wanted:
        try:
            proposal = _KINDS.get(arn.kind, _plain)(aws, arn, readings)
        except _LeftOut as error:
            found.left_out.append((safe(arn, 1100), str(error)))
        except (AwsError, _NotRead, ValueError) as error:
            found.not_read.append((safe(arn, 1100), safe(str(error), 400)))
        else:
            about = (*proposal.about, _consent(tagged[arn]))
            found.proposed.append(Proposal(arn, proposal.links, about))
    return found


class _LeftOut(Exception):
    """It is nothing to register, and this is why. Never leaves this module."""


class _NotRead(Exception):
    """It could not be read, and this is why. Never leaves this module."""


def _plain(aws: Aws, arn: Arn, readings: Readings) -> Proposal:
    del aws, readings
    return Proposal(arn)


def _service(aws: Aws, arn: Arn, readings: Readings) -> Proposal:
    service = readings.resource(ResourceRead("ecs.service", str(arn)))
    if isinstance(service, Unread):
        raise _NotRead(service.reason)
    if service is None or service.get("status") != "ACTIVE":
        raise _LeftOut("there is no such service any more")
    cluster = safe(str(service.get("clusterArn", "")).rpartition("/")[2], 255)
    about = f"{safe(arn.name, 255)} in cluster {cluster}, {count(int(service.get('desiredCount') or 0), 'task')}"
    groups = [each["targetGroupArn"] for each in service.get("loadBalancers") or () if each.get("targetGroupArn")]
    if not groups:
        return Proposal(arn, about=(f"{about}, behind no load balancer",))
    if len(groups) > 1:
        return Proposal(arn, about=(about, f"it has {len(groups)} target groups: name the one that tells how it is"))
    answer = aws.read("elbv2", "DescribeTargetGroups", TargetGroupArns=groups)
    balancers = [
        str(each) for group in answer.get("TargetGroups") or () for each in group.get("LoadBalancerArns") or ()
    ]
    applications = [each for each in balancers if ":loadbalancer/app/" in each]
    if len(balancers) != 1 or balancers != applications:
        return Proposal(
            arn, about=(about, "its target group is not behind one application load balancer: none is named")
        )
    return Proposal(
        arn, {"load_balancer": Arn.parse(balancers[0]), "target_group": Arn.parse(str(groups[0]))}, (about,)
    )


def _queue(aws: Aws, arn: Arn, readings: Readings) -> Proposal:
    del readings
    urls = list(aws.pages("sqs", "ListDeadLetterSourceQueues", "queueUrls", limit=_MOST, QueueUrl=queue_url(arn)))
    if not urls:
        raise _LeftOut("it is no dead-letter queue: messages in it are work, not failures")
    if len(urls) > 1:
        return Proposal(arn, about=(f"the dead-letter queue of {len(urls)} queues: name its source and consumer",))
    source = queue_arn(str(urls[0]))
    about = f"the dead-letter queue of {safe(source.name, 80)}: name the consumer, which AWS does not say"
    return Proposal(arn, {"source": source}, (about,))


_KINDS: Mapping[str, Callable[[Aws, Arn, Readings], Proposal]] = {"ecs:service": _service, "sqs:queue": _queue}


def _consent(tags: Mapping[str, str]) -> str:
    key, value = OPT_IN_TAG
    if PROTECTED_TAG in tags:
        return f"carries {PROTECTED_TAG}={safe(tags[PROTECTED_TAG], 80)}"
    if tags.get(key) == value:
        return f"carries {key}={value}: it may be touched as far as you give it a mode"
    return f"lacks {key}={value}: whatever its mode, it is only watched"


# -- saying ----------------------------------------------------------------------------------------------------------


def _keep_valid(context: Context, policy: Policy, config: str, found: _Found) -> None:
    """What the configuration would not take is not proposed: its own rules are asked."""
    path = path_of(config)
    file = path.read_text(encoding="utf-8")
    name = next(each for n in itertools.count() if (each := f"discovered-{n}") not in policy.groups)

    def problem(proposals: Iterable[Proposal]) -> str:
        text = "\n".join([file, "[[systems]]", f'name = "{name}"', *(each.toml for each in proposals)])
        try:
            parse_toml(text, path=str(path), registry=context.registry)
        except ConfigErrors as errors:
            return errors.problem
        return ""

    if found.proposed and problem(found.proposed):
        refused = {each.arn: problem([each]) for each in found.proposed}
        found.not_read += [(safe(arn, 1100), safe(why, 400)) for arn, why in refused.items() if why]
        found.proposed = [each for each in found.proposed if not refused[each.arn]]


def _toml(policy: Policy, name: str, said: str, proposed: Sequence[Proposal]) -> str:
    if not proposed:
        return ""
    if name in policy.groups:
        head = [f"# Put these below the other targets of the system {name}."]
    else:
        head = ["[[systems]]", f'name = "{name}"']
    return "\n".join(
        [
            f"# Not registered: {count(len(proposed), 'resource')} with {said}.",
            "# To register it, read this, put it into the file, `nightshift validate`, deploy. No mode: only watched.",
            *head,
            "",
            "\n".join(each.toml for each in proposed),
        ]
    )


def _nothing(said: str, found: _Found) -> str:
    if found.registered:
        return f"Nothing to register: what carries {said} is registered ({count(len(found.registered), 'target')})."
    return f"Nothing to register carries {said}."
