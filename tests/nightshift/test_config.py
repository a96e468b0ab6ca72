"""The configuration: what is valid is exactly what was meant, and what is not is said, with its line and its remedy."""

# ruff: noqa: E501 - one wrong file is one line of the table, so that it can be read as a table

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nightshift import config
from nightshift.calendar import Calendar
from nightshift.config import (
    ConfigErrors,
    Limits,
    Policy,
    _registry,
    from_json,
    json_schema,
    load_json,
    load_toml,
    locate,
    parse_toml,
    to_json,
)
from nightshift.errors import ConfigError
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    DnsRecord,
    Finding,
    Healthy,
    Mode,
    Observation,
    Outcome,
    Plan,
    Queries,
    Severity,
    Target,
)
from nightshift.remediation import Reader, Readings, Remediation
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"


class _Toy(Remediation):
    """A remediation that never finds anything."""

    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()

    def watch(self, target: Target) -> Queries:
        return ()

    def detect(self, target: Target, seen: Readings) -> Observation:
        return Healthy()

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        raise NotImplementedError

    def plan(self, diagnosis: Diagnosis) -> Plan:
        raise NotImplementedError

    def reconcile(self, read: Reader, call: Call, since: object) -> Outcome:
        raise NotImplementedError


class Rule(BaseModel):
    """A setting of several parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    at_least: int = 1


class Letters(_Toy):
    """Takes queues, and has a setting of every sort."""

    name: ClassVar[str] = "letters"
    title: ClassVar[str] = "Letters pile up"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)

    rate: PositiveInt = Field(default=10, le=500, description="letters a second")
    share: float = Field(default=0.5, description="share of all letters")
    window: timedelta | None = Field(default=None, description="how long to look back")
    eager: bool = Field(default=False, description="whether to hurry")
    skip: tuple[str, ...] = Field(default=(), description="names of letters to leave")
    rules: tuple[Rule, ...] = Field(default=(), description="what letters mean")
    either: Rule | Limits | None = Field(default=None, description="one of two")


class Stalled(_Toy):
    """Takes services."""

    name: ClassVar[str] = "stalled"
    title: ClassVar[str] = "A service does no work"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service", "lambda:function")


class Endless(_Toy):
    """Has a name that leaves little room in a role's."""

    name: ClassVar[str] = "endless-" * 5 + "name"
    title: ClassVar[str] = "A name too long"
    kinds: ClassVar[tuple[str, ...]] = ("sqs:queue",)


REGISTRY = (Letters, Stalled, Endless)

DLQ = "arn:aws:sqs:eu-central-1:111122223333:orders-dlq"
QUEUE = "arn:aws:sqs:eu-central-1:111122223333:orders"
SERVICE = "arn:aws:ecs:eu-central-1:111122223333:service/shop/worker"
ALB = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/shop/50dc6c495c0c9188"
LOG = "arn:aws:logs:eu-central-1:111122223333:log-group:/ecs/shop"
GROUP = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/shop/6d0ecf831eec9f09"

HEAD = """\
name = "prod"
account = "111122223333"
region = "eu-central-1"
notify.emails = ["oncall@example.com"]
"""
REMEDIATIONS = """\
[remediations.letters]
mode = "approve"
[remediations.stalled]
"""
SYSTEMS = f"""\
[[systems]]
name = "shop"
[[systems.targets]]
arn = "{DLQ}"
mode = "auto"
source = "{QUEUE}"
consumer = "{SERVICE}"
[[systems.targets]]
arn = "{SERVICE}"
queue = "{QUEUE}"
"""
GOOD = HEAD + REMEDIATIONS + SYSTEMS
LINES = GOOD.splitlines()


def parsed(text: str | bytes = GOOD) -> Policy:
    """The policy of a text."""
    return parse_toml(text, path="prod.toml", registry=REGISTRY)


def refused(text: str | bytes) -> list[str]:
    """The problems of a text that is not valid, a line each."""
    with pytest.raises(ConfigErrors) as caught:
        parsed(text)
    assert all(problem.remedy.endswith(".") for problem in caught.value.problems)
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    return str(caught.value).splitlines()


def changed(old: str, new: str) -> str:
    """The valid file with one thing in it replaced."""
    assert old in GOOD
    return GOOD.replace(old, new, 1)


# -- what is valid ---------------------------------------------------------------------------------------------------


def test_a_valid_file_is_the_policy_it_says() -> None:
    """Every word of the file is in the policy, typed."""
    policy = parsed()

    assert (policy.name, policy.account, policy.region) == ("prod", "111122223333", "eu-central-1")
    assert policy.notify.emails == ("oncall@example.com",)
    assert policy.targets == (
        Target(Arn.parse(DLQ), "shop", Mode.AUTO, consumer=Arn.parse(SERVICE), source=Arn.parse(QUEUE)),
        Target(Arn.parse(SERVICE), "shop", queue=Arn.parse(QUEUE)),
    )
    assert dict(policy.remediations) == {"letters": Letters(mode=Mode.APPROVE), "stalled": Stalled()}
    assert policy.groups == {"shop": policy.targets}
    assert re.fullmatch(r"[0-9a-f]{12}", policy.hash)


def test_a_target_is_found_by_its_arn_and_nothing_else_is() -> None:
    """A link is listed, but is not a target."""
    policy = parsed()

    assert policy.target(DLQ) is policy.targets[0]
    assert policy.target(Arn.parse(SERVICE)) is policy.targets[1]
    assert policy.target(QUEUE) is None  # a source is listed, but not a target


def test_a_remediation_that_is_not_named_is_not_there() -> None:
    """What is not named is not enabled, and not deployed."""
    assert "endless" not in str(parsed().remediations)


def test_remediations_stand_in_the_order_of_the_registry() -> None:
    """The order of the file does not change what is asked first."""
    text = HEAD + "[remediations.stalled]\n[remediations.letters]\n" + SYSTEMS

    assert list(parsed(text).remediations) == ["letters", "stalled"]
    assert list(from_json(to_json(parsed(text)), registry=REGISTRY).remediations) == ["letters", "stalled"]


@pytest.mark.parametrize("on_target", [None, *Mode])
@pytest.mark.parametrize("on_remediation", list(Mode))
def test_the_more_careful_mode_counts_and_observe_is_the_default(on_target: Mode | None, on_remediation: Mode) -> None:
    """Something must be said twice before anything is changed."""
    target = Target(Arn.parse(DLQ), "shop", on_target)

    mode = parsed().mode_for(target, Letters(mode=on_remediation))

    assert mode.rank == min((on_target or Mode.OBSERVE).rank, on_remediation.rank)


def test_every_mode_is_observe_by_default() -> None:
    """A file that says nothing about modes changes nothing."""
    policy = parsed(changed('mode = "approve"\n', "").replace('mode = "auto"\n', ""))

    modes = {policy.mode_for(target, each) for target in policy.targets for each in policy.remediations.values()}

    assert modes == {Mode.OBSERVE}


@pytest.mark.parametrize(
    "written, meant",
    [
        ('"PT15M"', timedelta(minutes=15)),
        ("900", timedelta(minutes=15)),
        ("1.5", timedelta(seconds=1.5)),
        ('"P1DT2H"', timedelta(hours=26)),
    ],
)
def test_a_duration_is_iso_8601_or_a_number_of_seconds(written: str, meant: timedelta) -> None:
    """The same in every table, optional settings included."""
    text = HEAD + f"limits.approval_expiry = {written}\nstorm.calm = {written}\n" + REMEDIATIONS + SYSTEMS
    text = text.replace("[remediations.letters]", f"[remediations.letters]\ncooldown = {written}\nwindow = {written}")

    policy = parsed(text)
    letters = policy.remediations["letters"]

    assert isinstance(letters, Letters)
    assert {policy.limits.approval_expiry, policy.storm.calm, letters.cooldown, letters.window} == {meant}


CALENDAR = """\
[[calendar.windows]]
name = "sunday"
days = ["sun"]
begins = "02:00"
ends = "06:00"
timezone = "Europe/Berlin"
[calendar.freeze]
last_days_of_quarter = 7
dates = [{name = "inventory", first = "2026-11-20", last = "2026-11-22"}]
override = ["stalled"]
"""


def test_a_calendar_is_what_it_says_and_survives_the_journey() -> None:
    """What a system says of maintenance is said of each of its targets, once; the same policy comes out of the JSON."""
    text = HEAD + CALENDAR + REMEDIATIONS + SYSTEMS
    text = text.replace('name = "shop"', 'name = "shop"\nmaintenance = ["sunday"]')
    text = text.replace('mode = "auto"', 'mode = "auto"\nmaintenance = ["sunday"]')
    text = text.replace("[remediations.stalled]", '[remediations.stalled]\nonly_in = ["sunday"]')

    policy = parsed(text)

    assert [target.maintenance for target in policy.targets] == [("sunday",), ("sunday",)]
    assert policy.remediations["stalled"].only_in == ("sunday",)
    [window] = policy.calendar.windows
    assert (window.begins, window.ends, [*window.days], window.timezone) == ("02:00", "06:00", ["sun"], "Europe/Berlin")
    freeze = policy.calendar.freeze
    assert (freeze.last_days_of_quarter, freeze.override) == (7, ("stalled",))
    assert freeze.dates[0].last == date(2026, 11, 22)
    assert from_json(to_json(policy), registry=REGISTRY) == policy
    assert policy.hash != parsed().hash


def test_a_calendar_that_is_not_said_is_empty() -> None:
    """No window, no freeze."""
    assert parsed().calendar == Calendar()


SEVERITIES = """\
[severities.SEV1]
label = "P0"
respond_within = "PT5M"
[severities.SEV4]
label = "P3"
[notify.severities.SEV1]
emails = ["lead@example.com"]
[[escalation]]
emails = ["lead@example.com"]
[[escalation]]
emails = ["cto@example.com"]
after = "PT15M"
"""


def test_severities_have_the_names_times_and_recipients_of_the_file() -> None:
    """What it does not say is as runbook 0 has it; the same policy comes out of the JSON."""
    policy = parsed(HEAD + SEVERITIES + REMEDIATIONS + SYSTEMS)

    assert [level.after for level in policy.escalation] == [None, timedelta(minutes=15)]
    assert [policy.label(each) for each in Severity] == ["P0", "", "", "P3"]
    assert [policy.respond_within(each) for each in Severity] == [
        timedelta(minutes=5),
        timedelta(hours=1),
        timedelta(hours=4),
        timedelta(hours=24),
    ]
    assert policy.notify.emails == ("oncall@example.com",)
    assert {each: more.emails for each, more in policy.notify.severities.items()} == {
        Severity.SEV1: ("lead@example.com",)
    }
    assert from_json(to_json(policy), registry=REGISTRY) == policy


def test_text_may_have_a_byte_order_mark_and_windows_line_ends() -> None:
    """Editors add them unasked."""
    assert parsed(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == parsed()
    assert parsed("\ufeff" + GOOD) == parsed()


def test_a_policy_cannot_be_changed() -> None:
    """What was validated is what is used."""
    policy = parsed()

    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        policy.remediations["letters"] = Letters()  # type: ignore[index]
    with pytest.raises(ValueError, match="frozen"):
        policy.limits.per_target_per_day = 100  # type: ignore[misc]


# -- what is not -----------------------------------------------------------------------------------------------------


def _window(**more: str) -> str:
    keys = {"name": "sunday", "begins": "02:00", "ends": "06:00", **more}
    days = f'days = ["{keys.pop("days")}"]\n' if "days" in keys else ""
    lines = "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    return f"[[calendar.windows]]\n{lines}{days}"


def _freeze(line: str) -> str:
    return f"[calendar.freeze]\n{line}\n"


WRONG: Mapping[str, tuple[str, str, str, str]] = {
    # what: (old, new, the part of the new text on whose line the problem is, the problem)
    "unknown key": ('name = "prod"', 'nane = "prod"', "nane", "nane: there is no such setting here. Did you mean name?"),
    "unknown table": ("[remediations.letters]", "[limit]\n[remediations.letters]", "[limit]", "Did you mean limits?"),
    "unknown key of a target": ("source =", "sauce =", "sauce", "systems[0].targets[0].sauce: there is no such setting"),
    "unknown setting": ('mode = "approve"', "rat = 3", "rat", "letters.rat: there is no such setting here. Did you mean rate?"),
    "unknown remediation": (
        "[remediations.stalled]",
        "[remediations.installed]",
        "installed",
        f"there is no such remediation. Did you mean stalled? There are: letters, stalled, {Endless.name}.",
    ),
    "unknown mode": ('mode = "auto"', 'mode = "yolo"', "yolo", "\"yolo\" is not known. Write one of 'observe', 'approve' or 'auto'."),
    "unknown mode of a remediation": ('mode = "approve"', 'mode = "NO"', "NO", '"NO" is not known'),
    "missing account": ('account = "111122223333"\n', "", "name", "account: is missing. What belongs there: the account's 12 digits"),
    "missing emails": ('notify.emails = ["oncall@example.com"]', "notify = {}", "notify", "notify.emails: is missing"),
    "nobody to tell": ('"oncall@example.com"', "", "emails", "notify.emails: is empty"),
    "no email": ("oncall@example.com", "oncall", "emails", 'notify.emails[0]: "oncall" does not fit. What belongs there: at least'),
    "account without quotes": ('"111122223333"', "111122223333", "account", "111122223333 is not text. Put it in quotes"),
    "account too short": ('"111122223333"', '"1111"', "account", '"1111" does not fit. What belongs there: the account'),
    "region": ('"eu-central-1"', '"Frankfurt"', "region", 'region: "Frankfurt" does not fit'),
    "deployment name": ('"prod"', '"Prod 1"', "name", 'name: "Prod 1" does not fit. What belongs there: the deployment\'s name'),
    "system name": ('"shop"', '"Shop/1"', "Shop", 'systems[0].name: "Shop/1" does not fit'),
    "table expected": ('notify.emails = ["oncall@example.com"]', "notify = 3", "notify", "notify: 3 should be a table"),
    "list expected": ('["oncall@example.com"]', '"oncall@example.com"', "emails", "should be a list"),
    "remediation as value": ("[remediations.stalled]", "[remediations]\nstalled = 1", "stalled", "stalled: 1 should be a table"),
    "systems as table": ("[[systems]]", "[systems]", "[systems]", "systems: a table should be a list"),
    "number as text": ('mode = "approve"', 'rate = "3"', "rate", 'rate: "3" should be a valid integer'),
    "boolean as text": ('mode = "approve"', 'eager = "no"', "eager", 'eager: "no" should be a valid boolean'),
    "boolean as number": ('mode = "auto"', "protected = 1", "protected", "protected: 1 should be a valid boolean"),
    "number as boolean": ('mode = "approve"', "rate = true", "rate", "rate: true should be a valid integer"),
    "unknown part of a setting": ('mode = "approve"', 'rules = [\n{text = "a"},\n{text = "b", atleast = 1}]', '"b"', "letters.rules[1].atleast: there is no such setting here. Did you mean at_least?"),
    "a missing part of a setting": ('mode = "approve"', "rules = [{at_least = 2}]", "rules", "letters.rules[0].text: is missing"),
    "unknown part of a choice": ('mode = "approve"', "either = {what = 2}", "either", "what: there is no such setting here. Remove it."),
    "too much": ('mode = "approve"', "rate = 501", "rate", "rate: 501 should be less than or equal to 500. What belongs there: letters a second."),
    "too little": ('mode = "approve"', "rate = 0", "rate", "rate: 0 should be greater than 0"),
    "too many attempts": ('mode = "approve"', "max_attempts = 4", "max_attempts", "4 should be less than or equal to 3"),
    "infinite": ('mode = "approve"', "share = inf", "share", "share: is inf"),
    "not a number": ('mode = "approve"', "share = nan", "share", "share: is nan"),
    "an infinity by overflow": ('mode = "approve"', "share = 1e999", "share", "share: is inf"),
    "a number too large": ('mode = "approve"', f"rate = 0x{'f' * 5000}", "rate", "rate: is a number of more than 64 bits"),
    "a number without end": ('mode = "approve"', f"rate = {'9' * 5000}", "rate", "a number has thousands of digits"),
    "a time": ('mode = "approve"', "cooldown = 22:00:00", "cooldown", "is a date or time, which no setting is"),
    "a date": ('mode = "approve"', "cooldown = 2024-02-30T25:00:00Z", "cooldown", "is not TOML: invalid"),
    "a duration of words": ('mode = "approve"', 'cooldown = "15 minutes"', "cooldown", '"15 minutes" is not a duration. Write a duration as ISO 8601'),
    "a duration of a boolean": ('mode = "approve"', "cooldown = true", "cooldown", "true is not a duration"),
    "a negative duration": ('mode = "approve"', 'cooldown = "-PT15M"', "cooldown", '"-PT15M" is not between nothing and 30 days'),
    "negative seconds": ('mode = "approve"', "cooldown = -900", "cooldown", "-900 is not between nothing and 30 days"),
    "a century": ('mode = "approve"', 'deadline = "P100Y"', "deadline", '"P100Y" is not between nothing and 30 days'),
    "more seconds than there are": ('mode = "approve"', "deadline = 1e300", "deadline", "deadline: 1e+300 is not a duration"),
    "a limit of nothing": ("[remediations.letters]", 'limits.approval_expiry = "PT0S"\n[remediations.letters]', "limits", "should be greater than"),
    "wildcard": (f'arn = "{DLQ}"', 'arn = "arn:aws:sqs:eu-central-1:111122223333:*"', "targets", "has a wildcard. Write one target for each"),
    "half a wildcard": (f'arn = "{DLQ}"', f'arn = "{DLQ[:-1]}?"', "arn", "has a wildcard"),
    "wildcard in a link": (f'source = "{QUEUE}"', f'source = "{QUEUE}*"', "source", "targets[0].source: "),
    "not an ARN": (f'arn = "{DLQ}"', 'arn = "orders-dlq"', "orders-dlq", '"orders-dlq" is not an ARN. Write arn:partition:'),
    "a number for an ARN": (f'arn = "{DLQ}"', "arn = 5", "arn = 5", "5 is not text. Write the ARN in quotes"),
    "an ECS service without its cluster": (f'arn = "{SERVICE}"', f'arn = "{SERVICE.replace("shop/", "")}"', "service/worker", "does not name one ecs:service. Write arn:aws:ecs:eu-central-1:111122223333:service/<cluster>/<service>"),
    "a version of a state machine": (f'arn = "{SERVICE}"', f'arn = "{SERVICE.replace(":ecs:", ":states:").replace("service/shop/worker", "stateMachine:docs:3")}"', "docs:3", "does not name one states:stateMachine. Write arn:aws:states:"),
    "a database of a queue": (f'source = "{QUEUE}"', "database = { connections = 9 }", "database", "has no database. Remove it: only Aurora clusters"),
    "a database without its connections": (f'source = "{QUEUE}"', "database = { ceiling = 4 }", "database", "database.connections: is missing. What belongs there: how many connections"),
    "a ceiling of a third": (f'source = "{QUEUE}"', "database = { connections = 9, ceiling = 4.3 }", "ceiling", "4.3 should be a multiple of 0.5"),
    "a queue that uses a database": (f'source = "{QUEUE}"', f'database = {{ connections = 9, used_by = ["{QUEUE}"] }}', "used_by", "is of kind sqs:queue. What uses a database is of kind ecs:service or lambda:function"),
    "a version that uses a database": (f'source = "{QUEUE}"', f'database = {{ connections = 9, used_by = ["{SERVICE.replace(":ecs:", ":lambda:").replace("service/shop/worker", "function:etl:live")}"] }}', "used_by", "names a version or an alias. Name the function itself"),
    "a user of another account": (f'source = "{QUEUE}"', f'database = {{ connections = 9, used_by = ["{SERVICE.replace("1111", "9999")}"] }}', "used_by", "database.used_by[0]: its account is 9999"),
    "a cluster with a snapshot": (f'arn = "{SERVICE}"', f'arn = "{SERVICE.replace(":ecs:", ":rds:").replace("service/shop/worker", "cluster:dms:1")}"', "dms:1", "does not name one rds:cluster. Write arn:aws:rds:"),
    "a domain with an index": (f'arn = "{SERVICE}"', f'arn = "{SERVICE.replace(":ecs:", ":es:").replace("service/shop/worker", "domain/search/docs")}"', "search/docs", "does not name one es:domain. Write arn:aws:es:"),
    "a queue with a path": (f'arn = "{DLQ}"', f'arn = "{DLQ}/x"', "dlq/x", "does not name one sqs:queue"),
    "another account": (f'arn = "{DLQ}"', f'arn = "{DLQ.replace("1111", "9999")}"', "9999", "its account is 999922223333, but the deployment's is 111122223333. One file serves one account"),
    "another Region": (f'arn = "{DLQ}"', f'arn = "{DLQ.replace("eu-", "us-")}"', "us-central-1", "its region is us-central-1, but"),
    "no Region": (f'arn = "{DLQ}"', f'arn = "{DLQ.replace("eu-central-1", "")}"', "sqs::", "its region is not said"),
    "another partition": (f'arn = "{DLQ}"', f'arn = "{DLQ.replace("arn:aws:", "arn:aws-cn:")}"', "aws-cn", "its partition is aws-cn"),
    "a link to another account": (f'queue = "{QUEUE}"', f'queue = "{QUEUE.replace("1111", "9999")}"', "9999", "targets[1].queue: its account is 9999"),
    "a consumer of wrong kind": (f'consumer = "{SERVICE}"', f'consumer = "{QUEUE}"', "consumer", "is of kind sqs:queue. A consumer is of kind ecs:service or lambda:function"),
    "a source of wrong kind": (f'source = "{QUEUE}"', f'source = "{SERVICE}"', "source", "A source is of kind sqs:queue"),
    "a queue of wrong kind": (f'queue = "{QUEUE}"', f'queue = "{SERVICE}"', "queue =", "A queue is of kind sqs:queue"),
    "a load balancer of another sort": (f'queue = "{QUEUE}"', f'load_balancer = "{ALB.replace("/app/", "/net/")}"\ntarget_group = "{GROUP}"', "load_balancer", "is no application load balancer. Only application load balancers"),
    "a window at no time": ("[remediations.letters]", _window(begins="25:00") + "[remediations.letters]", "25:00", 'calendar.windows[0].begins: "25:00" does not fit. What belongs there: when it begins'),
    "a window of no length": ("[remediations.letters]", _window(ends="02:00") + "[remediations.letters]", "ends", "calendar.windows[0].ends: is when it begins"),
    "a window on no day": ("[remediations.letters]", _window(days="SUNDAY") + "[remediations.letters]", "SUNDAY", '"SUNDAY" is not known. Write one of \'mon\''),
    "a window nowhere": ("[remediations.letters]", _window(timezone="Europe/Berln") + "[remediations.letters]", "Berln", 'there is no time zone "Europe/Berln" here. Did you mean Europe/Berlin'),
    "a window without quotes": ("[remediations.letters]", _window().replace('"02:00"', "02:00:00") + "[remediations.letters]", "02:00:00", "is a date or time, which no setting is"),
    "two windows of one name": ("[remediations.letters]", _window() + _window() + "[remediations.letters]", "sunday", 'calendar.windows[1].name: "sunday" is the name of calendar.windows[0] already'),
    "maintenance in no window": (f'queue = "{QUEUE}"', f'queue = "{QUEUE}"\nmaintenance = ["sunday"]', "sunday", 'targets[1].maintenance[0]: there is no window "sunday". There are: none'),
    "a system in no window": ('name = "shop"', 'name = "shop"\nmaintenance = ["sunday"]', "maintenance", 'systems[0].maintenance[0]: there is no window "sunday"'),
    "only in no window": ("[remediations.letters]", _window() + '[remediations.letters]\nonly_in = ["sundy"]\n', "sundy", 'letters.only_in[0]: there is no window "sundy". Did you mean sunday?'),
    "a freeze that ends before it begins": ("[remediations.letters]", _freeze('dates = [{name = "x", first = "2026-12-20", last = "2026-12-19"}]') + "[remediations.letters]", "12-19", "calendar.freeze.dates[0].last: 2026-12-19 is before 2026-12-20"),
    "a freeze of no days": ("[remediations.letters]", _freeze('dates = [{name = "x", first = "2026-02-30", last = "2026-12-19"}]') + "[remediations.letters]", "02-30", 'calendar.freeze.dates[0].first: "2026-02-30"'),
    "a freeze of half a quarter": ("[remediations.letters]", _freeze("last_days_of_quarter = 32") + "[remediations.letters]", "32", "32 should be less than or equal to 31. What belongs there: so many days at the end"),
    "a freeze nowhere": ("[remediations.letters]", _freeze('timezone = "Mars"') + "[remediations.letters]", "Mars", 'calendar.freeze.timezone: there is no time zone "Mars" here'),
    "a freeze without what is not enabled": ("[remediations.letters]", _freeze('override = ["leters"]') + "[remediations.letters]", "leters", 'calendar.freeze.override[0]: "leters" is not enabled. Did you mean letters?'),
    "an unknown key of a freeze": ("[remediations.letters]", _freeze("last_day_of_quarter = 3") + "[remediations.letters]", "last_day", "Did you mean last_days_of_quarter?"),
    "reports nowhere": ('notify.emails = ["oncall@example.com"]', 'notify.emails = ["oncall@example.com"]\nnotify.timezone = "Europe/Berln"', "Berln", 'notify.timezone: there is no time zone "Europe/Berln" here. Did you mean Europe/Berlin'),
    "health at no time": ('notify.emails = ["oncall@example.com"]', 'notify.emails = ["oncall@example.com"]\nnotify.health_at = "7"', "health_at", 'notify.health_at: "7" does not fit. What belongs there: when, each day'),
    "a severity that there is not": ("[remediations.letters]", "[severities.SEV5]\n[remediations.letters]", "SEV5", 'severities.SEV5: "SEV5" is not known. Write one of'),
    "a severity with another key": ("[remediations.letters]", '[severities.SEV1]\nlabl = "P0"\n[remediations.letters]', "labl", "severities.SEV1.labl: there is no such setting here. Did you mean label?"),
    "a response that takes no time": ("[remediations.letters]", '[severities.SEV1]\nrespond_within = "PT0S"\n[remediations.letters]', "respond", "severities.SEV1.respond_within: "),
    "recipients that are none": ("[remediations.letters]", "[notify.severities.SEV1]\nemails = []\n[remediations.letters]", "emails", "notify.severities.SEV1.emails: is empty. What belongs there: at least one address"),
    "recipients of no severity": ("[remediations.letters]", '[notify.severities.P1]\nemails = ["a@example.com"]\n[remediations.letters]', "P1", 'notify.severities.P1: "P1" is not known'),
    "a level without anybody": ("[remediations.letters]", "[[escalation]]\nemails = []\n[remediations.letters]", "emails", "escalation[0].emails: is empty. What belongs there: at least one address"),
    "a level with another key": ("[remediations.letters]", '[[escalation]]\nemails = ["a@example.com"]\nafer = "PT5M"\n[remediations.letters]', "afer", "escalation[0].afer: there is no such setting here. Did you mean after?"),
    "a load balancer alone": (f'queue = "{QUEUE}"', f'load_balancer = "{ALB}"', "load_balancer", "targets[1].load_balancer: has no target_group beside it. Name the target_group too"),
    "a target group alone": (f'queue = "{QUEUE}"', f'target_group = "{GROUP}"', "target_group", "targets[1].target_group: has no load_balancer beside it"),
    "a load balancer for a target group": (f'queue = "{QUEUE}"', f'load_balancer = "{GROUP}"\ntarget_group = "{GROUP}"', "load_balancer", "A load_balancer is of kind elasticloadbalancing:loadbalancer"),
    "a name without a load balancer": (f'queue = "{QUEUE}"', 'dns = { zone = "Z0123456789", name = "api.example.com" }', "dns", "targets[1].dns: there is no load balancer that it could lead to. Name the load_balancer, or remove it"),
    "a name that is none": (f'queue = "{QUEUE}"', f'load_balancer = "{ALB}"\ntarget_group = "{GROUP}"\ndns = {{ zone = "Z0123456789", name = "https://x" }}', "dns", "dns.name"),
    "a queue behind a load balancer": (f'source = "{QUEUE}"', f'load_balancer = "{ALB}"\ntarget_group = "{GROUP}"', "load_balancer", "a target of kind sqs:queue has no load_balancer"),
    "a role of another account": (f'queue = "{QUEUE}"', 'roles = ["arn:aws:iam::999922223333:role/x"]', "roles", "targets[1].roles[0]: arn:aws:iam::999922223333:role/x is no role of this account"),
    "a role that is none": (f'queue = "{QUEUE}"', f'roles = ["{DLQ}"]', "roles", "is no role of this account. A role is arn:aws:iam::ACCOUNT:role/NAME"),
    "roles of a queue": (f'source = "{QUEUE}"', 'roles = ["arn:aws:iam::111122223333:role/x"]', "roles", "a target of kind sqs:queue has no roles. Remove them"),
    "a log group of a queue": (f'source = "{QUEUE}"', f'log_group = "{LOG}"', "log_group", "a target of kind sqs:queue has no log_group"),
    "a log group that is none": (f'queue = "{QUEUE}"', f'log_group = "{DLQ}"', "log_group", "A log_group is of kind logs:log-group"),
    "a log group with its streams": (f'queue = "{QUEUE}"', f'log_group = "{LOG}:*"', "log_group", "wildcard"),
    "a log group with a stream": (f'queue = "{QUEUE}"', f'log_group = "{LOG}:log-stream:x"', "log_group", "is more than the log group. Remove what follows its name"),
    "what a queue depends on": (f'source = "{QUEUE}"', f'depends_on = ["{SERVICE}"]', "depends_on", "targets[0].depends_on[0]: "),
    "a queue to depend on": (f'queue = "{QUEUE}"', f'depends_on = ["{QUEUE}"]', "depends_on", "Only an ECS service depends on another one"),
    "what depends on itself": (f'queue = "{QUEUE}"', f'depends_on = ["{SERVICE}"]', "depends_on", "is nothing that"),
    "what depends on another account": (f'queue = "{QUEUE}"', 'depends_on = ["arn:aws:ecs:eu-central-1:999922223333:service/prod/db"]', "depends_on", "is nothing that"),
    "alarms for what there are none for": (f'arn = "{SERVICE}"', f'arn = "{SERVICE.replace(":ecs:", ":states:").replace("service/shop/worker", "stateMachine:worker")}"\nalarms = true', "alarms", "targets[1].alarms: there are no alarms for the kind states:stateMachine"),
    "alarms for a bucket without triggers": (f'arn = "{SERVICE}"', 'arn = "arn:aws:s3:::worker"\nalarms = true', "alarms", "targets[1].alarms: has no triggers beside it. Remove it"),
    "alarms for a queue at work": (f'source = "{QUEUE}"', "alarms = true", "alarms", "targets[0].alarms: has no source beside it. Name the queue whose dead letters it holds"),
    "alarms by name": (f'source = "{QUEUE}"', f'source = "{QUEUE}"\nalarms = "create"', "alarms", "targets[0].alarms: "),
    "a service with a source": (f'queue = "{QUEUE}"', f'source = "{QUEUE}"', "source", "targets[1].source: a target of kind ecs:service has no source. Remove it: only sqs:queue"),
    "its own source": (f'source = "{QUEUE}"', f'source = "{DLQ}"', "source", "source: is the target itself"),
    "a system without targets": ("[[systems]]", '[[systems]]\nname = "empty"\n[[systems]]', "[[systems]]", "systems[0].targets: is missing"),
    "a target that nobody takes": (f'arn = "{SERVICE}"', 'arn = "arn:aws:dynamodb:eu-central-1:111122223333:table/orders"', "dynamodb", "no enabled remediation takes the kind dynamodb:table. Enable one that does"),
    "a listed remediation that is none": ('mode = "auto"', 'remediations = ["leters"]', "leters", 'targets[0].remediations[0]: "leters" is no remediation. Did you mean letters?'),
    "a listed remediation that is not enabled": ('mode = "auto"', f'remediations = ["{Endless.name}"]', "remediations = ", "is not enabled. Add a table [remediations."),
    "a listed remediation of another kind": ('mode = "auto"', 'remediations = ["letters", "stalled"]', "remediations = ", "remediations[1]: stalled does not take the kind sqs:queue"),
    "a role's name too long": ("[remediations.stalled]", f"[remediations.stalled]\n[remediations.{Endless.name}]", "name", "has 62 characters"),
    "malformed": ('name = "prod"', "name = prod", "name", "is not TOML: invalid value (column 8). Correct it"),
    "a key twice": ('mode = "auto"', 'mode = "auto"\nmode = "observe"', "observe", "is not TOML: cannot overwrite a value"),
    "a table twice": ("[remediations.stalled]", "[remediations.stalled]\n[remediations.stalled]", "stalled", "stands twice in the file"),
    "an open string": ('mode = "auto"', 'mode = "auto', "auto", "is not TOML"),
    "YAML": ('name = "prod"', "name: prod", "name", "is not TOML"),
}  # fmt: skip


@pytest.mark.parametrize("old, new, part, problem", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_with_its_line_and_its_remedy(old: str, new: str, part: str, problem: str) -> None:
    """Each wrong file gives its problem, on the line of the offending key."""
    text = changed(old, new)
    if problem == "has 62 characters":  # 64 is allowed: two more in the deployment's name, and one more
        text = text.replace('"prod"', '"production"')
        problem = "has 68 characters, and IAM allows 64. Make the deployment's name 4 characters shorter."

    said = refused(text)

    assert any(problem in line for line in said), said
    assert not any("systems: is empty" in line for line in said)  # one problem does not cause another
    first = next(line for line in said if problem in line)
    number = int(first.split(":")[1])
    assert first.startswith("prod.toml:")
    assert part in text.splitlines()[number - 1] or part not in new, (number, first)


def test_no_targets_at_all_is_an_error() -> None:
    """An empty list never means everything."""
    assert refused(HEAD + REMEDIATIONS) == [
        "prod.toml:1: systems: is missing. What belongs there: [[systems]], at least one, each with its targets."
    ]
    assert "systems: is empty" in refused(HEAD + "systems = []\n" + REMEDIATIONS)[0]
    assert (
        "systems[0].targets: is empty" in refused(HEAD + 'systems = [{name = "a", targets = []}]\n' + REMEDIATIONS)[0]
    )


def test_no_remediations_at_all_is_an_error() -> None:
    """A deployment without any would watch nothing."""
    assert "remediations: is missing" in refused(HEAD + SYSTEMS)[0]
    assert any("remediations: is empty" in line for line in refused(HEAD + "[remediations]\n" + SYSTEMS))


def test_an_enabled_remediation_without_a_target_is_an_error() -> None:
    """It would be given a role for nothing."""
    text = GOOD[: GOOD.rindex("[[systems.targets]]")]

    assert refused(text) == [
        "prod.toml:7: remediations.stalled: has no target. Register one, or remove it: its role would be for nothing."
    ]


def test_a_target_stands_once_in_all_systems() -> None:
    """The second is said to be wrong, and where the first one is."""
    text = GOOD + f'[[systems]]\nname = "other"\n[[systems.targets]]\narn = "{DLQ}"\n'

    assert refused(text) == [
        f"prod.toml:21: systems[1].targets[0].arn: {DLQ} is systems[0].targets[0] (line 11) already. Keep one of them."
    ]


def test_a_system_stands_once() -> None:
    """Two of one name would be one group."""
    text = GOOD + f'[[systems]]\nname = "shop"\n[[systems.targets]]\narn = "{QUEUE}"\n'

    assert refused(text) == [
        'prod.toml:19: systems[1].name: "shop" is the name of systems[0] already. Give each system its own name.'
    ]


def test_all_problems_are_said_at_once_in_the_order_of_the_file() -> None:
    """Nobody likes to be told one thing a deployment; the first problem is also the error's own."""
    text = changed('"prod"', '"Prod"').replace(f'arn = "{SERVICE}"', 'arn = "x"').replace('"approve"', "1")
    text = text.replace(f'source = "{QUEUE}"', f'source = "{QUEUE.replace("eu-", "us-")}"')

    with pytest.raises(ConfigErrors) as caught:
        parsed(text)

    lines = [problem.line for problem in caught.value.problems]
    assert lines == [1, 6, 13, 16]
    assert isinstance(caught.value, ConfigError)
    assert (caught.value.line, caught.value.path) == (1, "prod.toml")
    assert caught.value.problem.startswith("name: ")


def test_a_thousand_problems_are_counted_not_printed() -> None:
    """All of them are in the error, fifty in its text."""
    text = HEAD + "".join(f"x{n} = 1\n" for n in range(1000)) + REMEDIATIONS + SYSTEMS

    said = refused(text)

    assert len(said) == config.MAX_SHOWN + 1
    assert said[-1] == "… and 950 more."


def test_a_file_for_another_partition_is_valid_there() -> None:
    """China's and GovCloud's ARNs have their own partition."""
    there = GOOD.replace("eu-central-1", "cn-north-1").replace("arn:aws:", "arn:aws-cn:")

    assert parsed(there).targets[0].arn.partition == "aws-cn"
    assert any("its partition is aws, but" in line for line in refused(there.replace("arn:aws-cn:", "arn:aws:")))
    assert (
        parsed(there.replace("cn-north-1", "us-gov-west-1").replace("aws-cn", "aws-us-gov")).region == "us-gov-west-1"
    )


def test_s3_names_neither_account_nor_region() -> None:
    """An empty account is right where AWS leaves it empty, and only there."""

    class Buckets(_Toy):
        name: ClassVar[str] = "buckets"
        title: ClassVar[str] = "A bucket leaks"
        kinds: ClassVar[tuple[str, ...]] = ("s3:bucket",)

    text = (
        HEAD + '[remediations.buckets]\n[[systems]]\nname = "a"\n[[systems.targets]]\narn = "arn:aws:s3:::documents"\n'
    )

    assert parse_toml(text, path="", registry=(Buckets,)).targets[0].arn.name == "documents"


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_too_large_is_not_parsed() -> None:
    """The cap comes before the parser."""
    assert refused(GOOD + "#" * config.MAX_BYTES) == [
        "prod.toml: is larger than 1048576 bytes. Split it: one file for one account and Region."
    ]


@pytest.mark.parametrize(
    "deep",
    ["a = " + "[" * 100_000, "a = " + "{a=" * 50_000, "a" + ".a" * 100_000 + " = 1", "[" + "a." * 100_000 + "a]", "a = [" + "[{a=" * 50_000],
    ids=["arrays", "tables", "key", "header", "both"],
)  # fmt: skip
def test_deep_nesting_is_refused_before_it_is_parsed(deep: str) -> None:
    """Neither a RecursionError nor the quadratic time that tomllib takes for a long dotted key."""
    assert refused(f"# one\n{deep}\n") == ["prod.toml:2: is nested too deeply. Nest at most 16 levels."]


def test_bytes_that_are_not_utf_8_are_named() -> None:
    """With their line, and their place."""
    assert refused(b'name = "prod"\nregion = "\xff"') == ["prod.toml:2: is not UTF-8 (byte 24). Save it as UTF-8."]
    assert refused('name = "\ud800"')[0].startswith("prod.toml:1: is not UTF-8")


def test_what_is_shown_of_a_value_cannot_fake_a_line_or_fill_the_terminal() -> None:
    """Control characters are escaped, long values cut."""
    said = refused(changed('"prod"', '"a\\nprod.toml:1: all is well\\u001b[2J' + "x" * 1000 + '"'))

    assert len(said) == 1
    assert len(said[0]) < 400
    assert "\x1b" not in said[0]


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    """Nor is one that is no file."""
    with pytest.raises(ConfigErrors, match="cannot be read: No such file or directory"):
        load_toml(tmp_path / "none.toml", registry=REGISTRY)
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_toml(tmp_path, registry=REGISTRY)
    with pytest.raises(ConfigErrors, match="cannot be read"):
        load_toml("a\0b", registry=REGISTRY)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    """TOML on a laptop, JSON in the function."""
    (tmp_path / "prod.toml").write_text(GOOD)
    (tmp_path / "prod.json").write_text(to_json(parsed()))

    assert load_toml(tmp_path / "prod.toml", registry=REGISTRY) == parsed()
    assert load_json(str(tmp_path / "prod.json"), registry=REGISTRY) == parsed()


# -- what is shipped -------------------------------------------------------------------------------------------------


def test_what_is_shipped_is_read_back_exactly() -> None:
    """An equal policy, of equal hash, written equally."""
    policy = parsed()

    back = from_json(to_json(policy), registry=REGISTRY)

    assert back == policy
    assert back.hash == policy.hash
    assert to_json(back) == to_json(policy)


def test_the_hash_does_not_depend_on_how_the_file_is_written() -> None:
    """Comments, order and spelt-out defaults change nothing; a setting does."""
    other = "# comment\n" + changed(
        "[remediations.stalled]\n", '[remediations.stalled]\nmode = "observe"\ncooldown = 900\n'
    )

    assert parsed(other).hash == parsed().hash
    assert parsed(changed('mode = "auto"', 'mode = "approve"')).hash != parsed().hash


SHIPPED: Mapping[str, Callable[[str], str | bytes]] = {
    "empty": lambda _: "",
    "cut off": lambda text: text[:-1],
    "not an object": lambda _: "[]",
    "a setting changed": lambda text: text.replace('"mode":"approve"', '"mode":"auto"'),
    "a target removed": lambda text: re.sub(r'\{"arn":"[^}]*worker"[^}]*\},', "", text, count=1) + " ",
    "without hash": lambda text: re.sub(r'"hash":"\w+",', "", text),
    "another hash": lambda text: re.sub(r'"hash":"\w+"', '"hash":null', text),
    "a key twice": lambda text: text.replace("{", '{"name":"prod",', 1),
    "an unknown setting": lambda text: text.replace("{", '{"new":1,', 1),
    "a remediation that is gone": lambda text: text.replace('"stalled"', '"gone"'),
    "NaN": lambda text: text.replace('"share":0.5', '"share":NaN'),
    "infinite": lambda text: text.replace('"share":0.5', '"share":1e999'),
    "deep": lambda text: "[" * 200_000,
    "quite deep": lambda text: text.replace('"share":0.5', f'"share":{"[" * 20}{"]" * 20}'),
    "endless": lambda text: text.replace('"share":0.5', f'"share":{"9" * 5000}'),
    "half a character": lambda text: text.replace('"prod"', '"\\ud800"'),
    "not UTF-8": lambda _: b"\xff",
    "too large": lambda text: text + " " * config.MAX_JSON_BYTES,
}


@pytest.mark.parametrize("broken", SHIPPED.values(), ids=SHIPPED.keys())
def test_anything_wrong_with_what_was_shipped_stops_it(broken: Callable[[str], str | bytes]) -> None:
    """Fail closed: no default stands in for a setting that cannot be read."""
    text = to_json(parsed())
    assert broken(text) != text

    with pytest.raises(ConfigErrors):
        from_json(broken(text), path="config.json", registry=REGISTRY)


def test_the_largest_toml_fits_as_json() -> None:
    """What can be deployed can be read back."""
    arns = (f'{{arn="arn:aws:sqs:eu-central-1:111122223333:{n}"}},' for n in range(20_000))
    text = HEAD + "[remediations.letters]\n[[systems]]\nname = 'a'\ntargets = [" + "".join(arns) + "]"
    assert config.MAX_BYTES * 0.9 < len(text) < config.MAX_BYTES

    policy = parsed(text)

    assert from_json(to_json(policy), registry=REGISTRY) == policy


# -- any input at all ------------------------------------------------------------------------------------------------

PIECES = [
    *LINES,
    "[[",
    "]]",
    "[",
    "]",
    "{",
    "}",
    '"""',
    "'''",
    '"',
    "'",
    "=",
    ",",
    ".",
    "\n",
    "#",
    "\\",
    "1",
    "nan",
    "true",
]
PIECES += [
    "[[systems]]",
    "mode",
    "limits.per_target_per_day = 2",
    "systems = 1",
    "[remediations]",
    "2024-01-01",
    "\x00",
    "ß",
]


def _either(read: Callable[[], Policy]) -> None:
    try:
        policy = read()
    except ConfigError:
        return
    assert from_json(to_json(policy), registry=REGISTRY) == policy


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_policy_or_a_config_error(data: bytes) -> None:
    """Never another exception."""
    _either(lambda: parsed(data))
    _either(lambda: from_json(data, registry=REGISTRY))


@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("\n".join)
    | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
)
@settings(max_examples=200, deadline=None)
def test_any_pieces_of_toml_are_a_policy_or_a_config_error(text: str) -> None:
    """Nor is there another exception for what is nearly right."""
    _either(lambda: parsed(text))
    _either(lambda: parsed(GOOD + text))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([DLQ, QUEUE, "auto", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def _spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON data where something stands, as container and key."""
    for key in list(value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()):
        yield value, key
        yield from _spots(value[key])


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_anything_anywhere_is_a_policy_or_a_config_error(data: st.DataObject) -> None:
    """One value of a valid configuration is replaced by any other."""
    content = json.loads(to_json(parsed()))
    container, key = data.draw(st.sampled_from(list(_spots(content))))
    container[key] = data.draw(JSON)

    _either(lambda: from_json(json.dumps(content), registry=REGISTRY))


# -- lines -----------------------------------------------------------------------------------------------------------

TRICKY = '''\
# [[not]] = "a table"
"quoted key" . 'lit.eral' . "\\u0061b" = """
[not.a.table]
key = 1 \\""" "" ' # no comment
"""
dotted.deep."x=y" = [ 1, # [comment], { }
  "]", '}', ["nested", [ ]],
  { a = 1, b.c = 2.5, d = { e = [ { f = 1979-05-27 07:32:00 } ] } },
]
lit = \'\'\'
a = "b"\'\'\'\'\'
empty = {}
none = []

[a . "b" ] # comment
c = 1.5
d = 07:32:00

[[s]]
n = "one"
[s.t]
u = 1
[[s.list]]
v = 1
[[s.list]]
v = 2
[s.list.w]
x = true
[[s]]
[[s.list]]
v = 3
[z]
'''


def _paths(value: Any, path: config.Loc = ()) -> Iterator[config.Loc]:
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _paths(part, (*path, key))


def test_every_path_of_a_text_has_a_line_and_no_other_has() -> None:
    """Tables, arrays of tables, dotted and quoted keys, inline tables, strings of all four sorts, comments."""
    lines = locate(TRICKY)

    assert set(lines) == set(_paths(tomllib.loads(TRICKY)))
    where = {path: TRICKY.splitlines()[line - 1] for path, line in lines.items()}
    assert where["quoted key", "lit.eral", "ab"].startswith('"quoted key"')
    assert where["dotted", "deep", "x=y", 1].lstrip().startswith('"]"')
    assert where["dotted", "deep", "x=y", 4, "d", "e", 0, "f"].lstrip().startswith("{ a")
    assert where["a", "b", "d"] == "d = 07:32:00"
    assert (lines["s", 0, "list", 1, "v"], lines["s", 1, "list", 0, "v"]) == (26, 31)
    assert where["s", 0, "list", 1, "w", "x"] == "x = true"
    assert where["z",] == "[z]"


KEYS = st.sampled_from(["a", "b-c", "1", '"q.x"', "'l'", '"\\t"', '"["'])
SCALARS = st.sampled_from(
    ["1", "-2.5e3", "true", '"x"', "'#'", '"""a\n]"""', "'''\n='''", "1979-05-27T07:32:00Z", '"\\""']
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[\n" + " ,\n".join(parts) + "]")
        | st.lists(st.tuples(KEYS, inner), max_size=2).map(
            lambda kv: "{" + ", ".join(f"{k} = {v}" for k, v in kv) + "}"
        )
    ),
    max_leaves=5,
)
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
STATEMENTS = (
    st.builds("{} = {}".format, DOTTED, VALUES)
    | DOTTED.map("[{}]".format)
    | DOTTED.map("[[ {} ]] # c".format)
    | st.just("# [x] = {")
)


@given(st.lists(STATEMENTS, max_size=8).map("\n".join))
@settings(max_examples=300, deadline=None)
def test_the_locator_and_tomllib_agree_on_every_valid_text(text: str) -> None:
    """For a valid text, there is a line for every path and for nothing else; for any text, there is no exception."""
    lines = locate(text)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines) == set(_paths(data))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


# -- what editors and readers get ------------------------------------------------------------------------------------


def _described(schema: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for name, setting in schema.get("properties", {}).items():
        yield name, bool(setting.get("description"))


def test_the_schema_types_and_describes_every_setting() -> None:
    """An editor completes and explains what is written."""
    schema = json_schema(registry=REGISTRY)

    remediations = schema["properties"]["remediations"]
    assert set(remediations["properties"]) == {each.name for each in REGISTRY}
    assert remediations["additionalProperties"] is False
    assert remediations["properties"]["letters"]["description"] == "Letters pile up"
    letters = schema["$defs"]["Letters"]["properties"]
    assert (letters["rate"]["maximum"], letters["rate"]["description"]) == (500, "letters a second")
    assert {kind["type"] for kind in letters["cooldown"]["anyOf"]} == {"string", "number"}
    tables = [schema, *(each for each in schema["$defs"].values() if "properties" in each)]
    assert len(tables) == len(REGISTRY) + 32
    assert [name for table in tables for name, described in _described(table) if not described] == ["text", "at_least"]
    assert all(table["additionalProperties"] is False for table in tables)


def test_the_schema_and_the_model_agree() -> None:
    """What is valid here is valid in the editor."""
    jsonschema = importlib.import_module("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(registry=REGISTRY))

    validator.check_schema(validator.schema)
    assert list(validator.iter_errors(tomllib.loads(GOOD))) == []
    assert list(validator.iter_errors(tomllib.loads(changed('mode = "auto"', 'mode = "yolo"')))) != []
    assert list(validator.iter_errors(tomllib.loads(changed("source", "sauce")))) != []


def test_a_service_may_name_what_sends_it_requests() -> None:
    """Both go into the target, and survive being shipped."""
    role = "arn:aws:iam::111122223333:role/worker"
    dns = 'dns = { zone = "Z0123456789", name = "api.example.com" }'
    text = changed(
        f'queue = "{QUEUE}"', f'load_balancer = "{ALB}"\ntarget_group = "{GROUP}"\nroles = ["{role}"]\n{dns}'
    )

    policy = parsed(text)

    [service] = [target for target in policy.targets if str(target.arn) == SERVICE]
    assert (str(service.load_balancer), str(service.target_group)) == (ALB, GROUP)
    assert service.dns == DnsRecord("Z0123456789", "api.example.com")
    assert [str(each) for each in service.roles] == [role]
    shipped = from_json(to_json(policy), registry=REGISTRY)
    assert (shipped.targets, shipped.hash) == (policy.targets, policy.hash)


def test_alarms_are_made_where_a_target_asks_for_them_and_only_there() -> None:
    """It survives being shipped, and a file that says nothing of alarms has the hash that it always had."""
    policy = parsed(changed(f'queue = "{QUEUE}"', f'queue = "{QUEUE}"\nalarms = true'))
    assert [str(target.arn) for target in policy.targets if target.alarms] == [SERVICE]
    assert from_json(to_json(policy), registry=REGISTRY).targets == policy.targets
    assert "alarms" not in to_json(parsed(GOOD))


class Behind(_Toy):
    """Looks at services behind a load balancer."""

    name: ClassVar[str] = "behind"
    title: ClassVar[str] = "Nobody is served"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    needs: ClassVar[tuple[str, ...]] = ("load_balancer", "target_group")


def test_a_remediation_takes_only_targets_that_name_what_it_needs() -> None:
    """One that is listed and could never look would be a silent end."""
    registry = (*REGISTRY, Behind)
    behind = f'load_balancer = "{ALB}"\ntarget_group = "{GROUP}"'
    listed = 'remediations = ["stalled", "behind"]'
    text = changed("[remediations.stalled]", "[remediations.behind]\n[remediations.stalled]")
    policy = parse_toml(text.replace(f'queue = "{QUEUE}"', f"{behind}\n{listed}"), path="prod.toml", registry=registry)
    taken = [str(target.arn) for target in policy.targets if policy.remediations["behind"].takes(target)]
    assert taken == [SERVICE]
    with pytest.raises(ConfigErrors, match=r"remediations\[1\]: behind needs its load_balancer and its target_group"):
        parse_toml(text.replace(f'queue = "{QUEUE}"', listed), path="prod.toml", registry=registry)
    with pytest.raises(ConfigErrors, match=r"behind: has no target"):
        parse_toml(text, path="prod.toml", registry=registry)


SCHEMA_COMMAND = (
    "python -c 'import json; from nightshift.config import json_schema; print(json.dumps(json_schema(), indent=2))'"
    " > config/schema.json"
)


def test_the_shipped_schema_is_current() -> None:
    """config/schema.json is generated, and nobody forgot to."""
    shipped = (CONFIG / "schema.json").read_text()

    assert json.loads(shipped) == json_schema(), f"run: {SCHEMA_COMMAND}"


def test_every_setting_of_every_remediation_is_described() -> None:
    """What a setting is for stands with the setting."""
    silent = [
        (each.name, name)
        for each in _registry(None)
        for name, info in each.model_fields.items()
        if not info.description
    ]

    assert silent == []


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_valid(path: Path) -> None:
    """Also for editors, and it comes back from what is shipped."""
    policy = load_toml(path)

    assert from_json(to_json(policy)) == policy
    validator = importlib.import_module("jsonschema").Draft202012Validator(json_schema())
    assert list(validator.iter_errors(tomllib.loads(path.read_text()))) == []


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_called_as_its_file(path: Path) -> None:
    """Reports print commands with ``--config <name>``, and that means config/<name>.toml."""
    assert load_toml(path).name == path.stem
