"""The day's health report: what a person reads on a phone in the morning, the worst of it in its first lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from nightshift.config import Policy
from nightshift.daily import Daily, OpenIncident, StuckAlarm
from nightshift.health import CUSTOMER, SystemHealth, TargetHealth
from nightshift.model import Severity
from nightshift.report.digest import lent_line
from nightshift.report.notices import Notice
from nightshift.report.safe import safe
from nightshift.report.words import Page, capped, count, duration, moment, name_of, shell, utc

__all__ = ["daily_notice", "not_built", "render_daily"]

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
    _listed(page, "SICK", "", _wrong(daily, "sick"))
    _listed(page, "UNKNOWN", "not the same as healthy", [*_wrong(daily, "unknown"), *_not_read(daily)])
    _listed(page, "SYSTEMS", "", map(_system, daily.systems))
    _listed(page, "ALARMS", "unchanged for more than a day", _alarms(daily))
    _listed(page, "OPEN INCIDENTS", "", map(_incident, daily.incidents))
    _listed(page, "STILL LENT", "temporary changes that are out", map(lent_line, daily.lent))
    _listed(page, "MEASURED", "judged by nobody", _figures(daily))
    _listed(page, "HEALTHY", "", _healthy(daily.systems))
    page.section("MORE")
    where = f"--config {shell(policy.name)}"
    page.command(f"nightshift health {where}")
    page.command(f"nightshift incidents --open {where}")
    return str(page)


def _watched(page: Page, daily: Daily) -> None:
    if not daily.watched:
        when = "never" if daily.swept is None else f"{duration(daily.at - utc(daily.swept))} ago"
        page.text(f"NOT WATCHED: the last sweep that is known of was completed {when}.")


def _listed(page: Page, heading: str, note: str, lines: Iterable[str]) -> None:
    lines = [*lines]
    if lines:
        page.section(heading, note)
        page.items(lines, _SHOWN)


def _wrong(daily: Daily, word: str) -> Iterator[str]:
    """Each target of which something is so, with what that is; and one that nothing judges."""
    for each in _targets(daily):
        checks = [check for check in each.checks if check.health == word]
        if checks:
            few, rest = capped(checks, _CHECKS)
            said = "; ".join(f"{safe(check.what, 80)}: {safe(check.seen, 200)}" for check in few)
            yield f"{_name(each)}: {said}{f'; and {rest:,} more' if rest else ''}"
        elif word == each.health:
            yield f"{_name(each)}: nothing here says how it is"


def _name(each: TargetHealth) -> str:
    return f"{name_of(str(each.target.arn))} of {safe(each.target.group, 80)} ({each.target.arn.kind})"


def _not_read(daily: Daily) -> Iterator[str]:
    return (safe(each, 400) for each in daily.not_read)


def _system(system: SystemHealth) -> str:
    targets = _sums(each.health for each in system.targets)
    customers = [check for each in system.targets for check in each.checks if check.what.startswith(CUSTOMER)]
    of_customers = f"; customers: {_sums(check.health for check in customers)}" if customers else ""
    return f"{safe(system.name, 80)}: {system.health} ({targets}{of_customers})"


def _sums(found: Iterable[str]) -> str:
    sums = Counter(found)
    return ", ".join(f"{sums[word]:,} {word}" for word in _WORDS if sums[word])


def _alarms(daily: Daily) -> Iterator[str]:
    yield from (_alarm(each, daily) for each in daily.alarms)
    if daily.other_alarms:
        yield f"besides, {count(daily.other_alarms, 'alarm')} of this account about nothing that is registered here"


def _alarm(alarm: StuckAlarm, daily: Daily) -> str:
    word = "raised" if alarm.state == "ALARM" else "without data"
    since = "AWS does not say since when" if alarm.since is None else f"for {duration(daily.at - alarm.since)}"
    few, rest = capped(alarm.about, _CHECKS)
    more = f" and {rest:,} more" if rest else ""
    return f"{safe(alarm.name, 100)}: {word}, {since}; about {', '.join(few)}{more}"


def _incident(each: OpenIncident) -> str:
    about = f"{name_of(each.target)}{f' of {safe(each.group, 80)}' if each.group else ''}"
    said = f"{safe(each.remediation, 80)} on {about}, {each.phase} since {moment(each.opened_at)}"
    return f"{said} [{each.severity.value}] ({safe(each.id, 100)})"


def _figures(daily: Daily) -> Iterator[str]:
    for each in _targets(daily):
        for check in each.checks:
            if not check.health and check.what not in _NOT_FIGURES:
                yield f"{_name(each)}: {safe(check.seen, 200)}"


_NOT_FIGURES = {"log"}
"""how a person finds the errors of a log is in `nightshift health`: a command is no figure"""


def _healthy(systems: Sequence[SystemHealth]) -> Iterator[str]:
    for system in systems:
        names = [name_of(str(each.target.arn)) for each in system.targets if each.health == "healthy"]
        few, rest = capped(names, _NAMES)
        if few:
            yield f"{safe(system.name, 80)}: {', '.join(few)}{f' and {rest:,} more' if rest else ''}"
