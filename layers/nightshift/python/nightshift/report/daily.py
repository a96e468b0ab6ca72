"""The day's health report: what a person reads on a phone in the morning, the worst of it in its first lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from nightshift.config import Policy
from nightshift.daily import Daily, OpenIncident, StuckAlarm
from nightshift.health import CUSTOMER, Check, SystemHealth, TargetHealth
from nightshift.model import Severity
from nightshift.report.digest import lent_line
from nightshift.report.notices import Notice
from nightshift.report.safe import safe
from nightshift.report.words import Page, capped, count, duration, moment, name_of, shell, utc

__all__ = ["daily_notice", "not_built", "render_daily"]

T = TypeVar("T")

_SHOWN = 40
"""lines of one list: with all lists full a report is about a quarter of what SNS takes"""
_CHECKS = 3
"""what is wrong with one target, of that"""
_NAMES = 20
"""healthy targets of one system that are named"""
_WORDS = ("sick", "unknown", "healthy")


def daily_notice(daily: Daily, policy: Policy) -> Notice:
    """The report as it is mailed."""
    subject = f"HEALTH {daily.day}: {_headline(daily)} [{Severity.SEV4.value}]"
    return Notice("health", subject, render_daily(daily, policy), Severity.SEV4)


def not_built(name: str, span: str, why: str) -> Notice:
    """What people get in place of a report that could not be made: silence would be taken for health."""
    page = Page()
    page.title(f"{name.upper()} {span}  could not be made")
    page.blank()
    page.text(f"This report could not be made: {safe(why, 300)}. It says nothing about how anything is.")
    page.text("The log of Nightshift's function digest has all of it. The next one is tried when it is due.")
    subject = f"{name.upper()} {span}: COULD NOT BE MADE [{Severity.SEV4.value}]"
    return Notice(name, subject, str(page), Severity.SEV4)


def _headline(daily: Daily) -> str:
    found = Counter(each.health for each in _targets(daily))
    parts = [] if daily.watched else ["NOT WATCHED"]
    parts += [f"{found[word]:,} {word}" for word in ("sick", "unknown") if found[word]]
    parts += [f"{found['healthy']:,} healthy"] if found["healthy"] else []
    parts += [count(len(daily.alarms), "stuck alarm")] if daily.alarms else []
    parts += [f"{len(daily.incidents):,} open"] if daily.incidents else []
    parts += ["not all was read"] if daily.not_read else []
    return ", ".join(parts)


def _targets(daily: Daily) -> Iterator[TargetHealth]:
    return (target for system in daily.systems for target in system.targets)


def render_daily(daily: Daily, policy: Policy) -> str:
    """The whole report as plain text: what is wrong first, then what nobody knows, then the rest, each list bounded."""
    page = Page()
    page.title(f"HEALTH  {_headline(daily)}")
    page.blank()
    page.pair("At", moment(daily.at))
    page.pair("In", f"deployment {safe(policy.name, 40)}")
    if daily.since is not None and (missed := (daily.day - daily.since).days - 1) > 0:
        page.text(f"Of {count(missed, 'day')} before this one there was no report: the last was of {daily.since}.")
    _watched(page, daily)
    if len(daily.systems) > 1 and all(system.health == "sick" for system in daily.systems):
        page.text("Every system is sick at once: look for what they share first.")
    _listed(page, "SICK", "", _wrong(daily, "sick"), _wrong_line)
    _listed(page, "UNKNOWN", "not the same as healthy", _wrong(daily, "unknown"), _wrong_line)
    _listed(page, "NOT READ", "", daily.not_read, partial(safe, limit=400))
    _listed(page, "SYSTEMS", "", daily.systems, _system)
    _listed(page, "ALARMS", "unchanged for more than a day", daily.alarms, partial(_alarm, daily))
    if daily.other_alarms:
        page.text(f"Besides, {count(daily.other_alarms, 'alarm')} about nothing that is registered here.")
    _listed(page, "OPEN INCIDENTS", "", daily.incidents, _incident)
    _listed(page, "STILL LENT", "temporary changes that are out", daily.lent, lent_line)
    _listed(page, "MEASURED", "judged by nobody", _figures(daily), _figure)
    well = [system for system in daily.systems if any(each.health == "healthy" for each in system.targets)]
    _listed(page, "HEALTHY", "", well, _healthy)
    page.section("MORE")
    where = f"--config {shell(policy.name)}"
    page.command(f"nightshift health {where}")
    page.command(f"nightshift incidents --open {where}")
    return str(page)


def _watched(page: Page, daily: Daily) -> None:
    if not daily.watched:
        when = "never" if daily.swept is None else f"{duration(daily.at - utc(daily.swept))} ago"
        page.text(f"NOT WATCHED: the last sweep that is known of was completed {when}.")


def _listed(page: Page, heading: str, note: str, items: Sequence[T], line: Callable[[T], str]) -> None:
    """A list with its heading; only what is shown of it is written out."""
    if items:
        page.section(heading, note)
        few, rest = capped(items, _SHOWN)
        page.items(map(line, few), _SHOWN)
        if rest:
            page.text(f"… and {rest:,} more", 4)


def _wrong(daily: Daily, word: str) -> list[tuple[TargetHealth, list[Check]]]:
    """Each target of which something is so, with what that is; and one that nothing judges."""
    found = [(each, [check for check in each.checks if check.health == word]) for each in _targets(daily)]
    return [(each, checks) for each, checks in found if checks or each.health == word]


def _wrong_line(wrong: tuple[TargetHealth, list[Check]]) -> str:
    each, checks = wrong
    few, rest = capped(checks, _CHECKS)
    said = "; ".join(f"{safe(check.what, 80)}: {safe(check.seen, 200)}" for check in few)
    return f"{_name(each)}: {said or 'nothing here says how it is'}{f'; and {rest:,} more' if rest else ''}"


def _name(each: TargetHealth) -> str:
    return f"{name_of(str(each.target.arn))} of {safe(each.target.group, 80)} ({each.target.arn.kind})"


def _system(system: SystemHealth) -> str:
    targets = _sums(each.health for each in system.targets)
    customers = [check for each in system.targets for check in each.checks if check.what.startswith(CUSTOMER)]
    of_customers = f"; customers: {_sums(check.health for check in customers)}" if customers else ""
    return f"{safe(system.name, 80)}: {system.health} ({targets}{of_customers})"


def _sums(found: Iterable[str]) -> str:
    sums = Counter(found)
    return ", ".join(f"{sums[word]:,} {word}" for word in _WORDS if sums[word])


def _alarm(daily: Daily, alarm: StuckAlarm) -> str:
    word = "raised" if alarm.state == "ALARM" else "without data"
    since = "AWS does not say since when" if alarm.since is None else f"for {duration(daily.at - alarm.since)}"
    few, rest = capped(alarm.about, _CHECKS)
    more = f" and {rest:,} more" if rest else ""
    return f"{safe(alarm.name, 100)}: {word}, {since}; about {', '.join(few)}{more}"


def _incident(each: OpenIncident) -> str:
    about = f"{name_of(each.target)}{f' of {safe(each.group, 80)}' if each.group else ''}"
    said = f"{safe(each.remediation, 80)} on {about}, {each.phase} since {moment(each.opened_at)}"
    return f"{said} [{each.severity.value}] ({safe(each.id, 100)})"


_NOT_FIGURES = {"log"}
"""how a person finds the errors of a log is in `nightshift health`: a command is no figure"""


def _figures(daily: Daily) -> list[tuple[TargetHealth, Check]]:
    return [
        (each, check)
        for each in _targets(daily)
        for check in each.checks
        if not check.health and check.what not in _NOT_FIGURES
    ]


def _figure(figure: tuple[TargetHealth, Check]) -> str:
    each, check = figure
    return f"{_name(each)}: {safe(check.seen, 200)}"


def _healthy(system: SystemHealth) -> str:
    names = [str(each.target.arn) for each in system.targets if each.health == "healthy"]
    few, rest = capped(names, _NAMES)
    more = f" and {rest:,} more" if rest else ""
    return f"{safe(system.name, 80)}: {', '.join(map(name_of, few))}{more}"
