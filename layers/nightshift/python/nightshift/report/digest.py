"""The digest of a week or a month: what a person reads on a Monday morning, and the same facts for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from nightshift.checklists import Every, Task, tasks
from nightshift.config import Policy
from nightshift.digests import MOST, OFTEN, Digest, Lent, Recurrence
from nightshift.measures import Measure
from nightshift.model import Severity, Verdict
from nightshift.report.notices import Notice
from nightshift.report.safe import safe
from nightshift.report.words import Page, count, duration, joined, moment, money, name_of, number, shell, shown, utc

__all__ = ["checks", "digest_notice", "digest_to_json", "lent_line", "render_digest"]

_SHOWN = 40
"""lines of one list that a person reads"""
_LISTED = 1000
"""the same for a machine"""
_QUARTER = (1, 4, 7, 10)


def digest_notice(digest: Digest, policy: Policy) -> Notice:
    """The digest as it is mailed."""
    every = digest.period.every.value
    return Notice(f"digest:{every}", _subject(digest), render_digest(digest, policy, policy.name), Severity.SEV4)


def _subject(digest: Digest) -> str:
    said = _headline(digest)
    return f"{digest.period.every.value.upper()} {digest.period.name}: {said} [{Severity.SEV4.value}]"


def _headline(digest: Digest) -> str:
    if not digest.sweeps:
        return "NOT WATCHED: no sweep was completed"
    if digest.quiet:
        return "nothing happened, and it was watched" if not digest.missed else "nothing was seen; not all was watched"
    parts = [count(sum(digest.ended.values()), "incident")]
    parts += [f"{digest.fixed} of {digest.acted} cured"] if digest.acted else []
    parts += [f"{len(digest.recurring)} recurring"] if digest.recurring else []
    parts += [f"{len(digest.lent)} lent"] if digest.lent else []
    return ", ".join(parts)


# -- for people --------------------------------------------------------------------------------------------------------


def render_digest(digest: Digest, policy: Policy | None, deployment: str = "") -> str:
    """The whole digest as plain text. It is never empty: where nothing happened it says so, and who looked."""
    page = Page()
    period = digest.period
    page.title(f"{period.every.value.upper()} DIGEST  {_headline(digest)}")
    page.blank()
    page.pair("From", f"{moment(period.since)} to {moment(period.until)}")
    if deployment:
        page.pair("In", f"deployment {safe(deployment, 40)}")
    _watched(page, digest)
    _incidents(page, digest)
    _recurring(page, digest.recurring)
    _lent(page, digest.lent)
    _held(page, digest)
    _money(page, digest)
    _measures(page, digest)
    _unknown(page, digest)
    for every in _lists(digest):
        _checklist(page, digest, policy, every)
    page.section("MORE")
    where = f" --stack {shell(f'nightshift-{deployment}')}" if deployment else ""
    where += f" --region {shell(policy.region)}" if policy is not None else ""
    page.command(f"nightshift incidents{where}")
    page.command(f"nightshift leases{where}")
    return str(page)


def _watched(page: Page, digest: Digest) -> None:
    page.section("WATCHED")
    looks = sum(day.looks for day in digest.days.values())
    if not digest.sweeps:
        page.text("No sweep was completed in this time: nobody watched. What follows says nothing about health.")
        return
    sweeps = count(digest.sweeps, "sweep")
    page.text(f"{sweeps} of {digest.expected:,} (one a minute), {count(looks, 'look')} at targets.")
    if digest.quiet:
        page.text("Nothing was opened, nothing ended and nothing is open.")


def _incidents(page: Page, digest: Digest) -> None:
    if digest.quiet:
        return
    page.section("INCIDENTS")
    ended = joined([f"{times:,} {safe(verdict, 30)}" for verdict, times in digest.ended.items()]) or "none"
    page.text(f"Opened {digest.opened:,}, ended {sum(digest.ended.values()):,} ({ended}), open {digest.still_open:,}.")
    if digest.acted:
        rate = 100 * digest.fixed / digest.acted
        page.text(
            f"Something was done in {digest.acted:,} that ended; {digest.fixed:,} of them ({number(round(rate, 1))} %)"
            f" were cured, as their records prove. {count(digest.attempts, 'action')} in all."
        )
    else:
        page.text("Nothing was done to any target.")
    for kind in digest.kinds:
        how = ", ".join(f"{times:,} {safe(verdict, 30)}" for verdict, times in kind.ended.items())
        acted = f"; cured {kind.fixed:,} of {kind.acted:,}" if kind.acted else ""
        page.item(f"{safe(kind.remediation, 80)}: {how}{acted}")


def _recurring(page: Page, recurring: Sequence[Recurrence]) -> None:
    if not recurring:
        return
    page.section("RECURRING", f"{OFTEN} times or more within seven days: fix the root cause")
    page.items(
        (
            f"{safe(each.remediation, 80)} on {name_of(each.target)}"
            f"{f' of {safe(each.group, 80)}' if each.group else ''}: {count(each.actions, 'action')},"
            f" {count(each.incidents, 'incident')}; the newest is {safe(each.newest, 100)}"
            for each in recurring
        ),
        _SHOWN,
    )


def _lent(page: Page, lent: Sequence[Lent]) -> None:
    if not lent:
        return
    page.section("STILL LENT", "temporary changes that are out")
    page.items((lent_line(each) for each in lent), _SHOWN)


def lent_line(each: Lent) -> str:
    """A temporary change that is out, in a line."""
    price = "unknown" if each.dollars_per_hour is None else money(each.dollars_per_hour)
    until = "LEFT OUT, a person must take it back" if each.left_out else "until it is judged"
    if each.until is not None and not each.left_out:
        until = f"until {moment(each.until)}"
    what = safe(each.what, 200).rstrip(".") or "(not described)"
    return f"{name_of(each.target)}: {what}; {until}; {price} an hour ({safe(each.incident, 100)})"


def _held(page: Page, digest: Digest) -> None:
    if not digest.held:
        return
    page.section("HELD BACK", "by which guardrail")
    page.items((f"{safe(guard, 60)}: {count(times, 'incident')}" for guard, times in digest.held.items()), _SHOWN)


def _money(page: Page, digest: Digest) -> None:
    page.section("MONEY", "US dollars, for what Nightshift itself changed; the bill is not read")
    page.text(f"Planned {money(digest.dollars_planned)}, come to {money(digest.dollars_spent)} so far.")
    if digest.unpriced:
        page.text(f"The price of {count(digest.unpriced, 'action')} is not known.")


def _measures(page: Page, digest: Digest) -> None:
    known = [each for each in digest.measures if each.value is not None]
    if not known:
        return
    page.section("MEASURED", "beside the same time before")
    page.items(map(_figure, known), 3 * _SHOWN)


def _figure(each: Measure) -> str:
    unit = f" {each.unit}" if each.unit else ""
    before = "unknown" if each.before is None else f"{_round(each.before)}{unit}"
    asked = ""
    if each.limit is not None:
        verdict = "as it should be" if each.good else "NOT as it should be"
        asked = f"; asked for is {'less' if each.below else 'more'} than {number(each.limit)}{unit}: {verdict}"
    value = "unknown" if each.value is None else f"{_round(each.value)}{unit}"
    return f"{each.name}, {safe(each.of, 80)}: {value} (before: {before}){asked}"


def _round(value: float) -> str:
    return number(round(value, 1))


def _unknown(page: Page, digest: Digest) -> None:
    lines = [*unknown_lines(digest)]
    if lines:
        page.section("UNKNOWN", "not the same as healthy")
        page.items(lines, 3 * _SHOWN)


def unknown_lines(digest: Digest) -> Iterator[str]:
    """What nobody knows of this time, a line each."""
    if digest.missed:
        yield f"{duration(timedelta(minutes=digest.missed))} in which no sweep was completed: nobody watched then"
    unseen, looks = (sum(getattr(day, what) for day in digest.days.values()) for what in ("unknown", "looks"))
    if unseen:
        yield f"{unseen:,} of {count(looks, 'look')} saw nothing ({number(round(100 * unseen / max(looks, 1), 1))} %)"
    unproven = sum(digest.ended.get(verdict.value, 0) for verdict in (Verdict.UNVERIFIABLE, Verdict.BROKEN))
    if unproven:
        yield f"how {count(unproven, 'incident')} really ended: unverifiable, or broken"
    if digest.unclear_calls:
        yield f"whether {count(digest.unclear_calls, 'call')} happened: AWS gave no clear answer"
    if digest.unreadable:
        yield f"{count(digest.unreadable, 'record')} that cannot be read, and are not counted"
    if digest.cut:
        yield f"everything beyond the newest {MOST:,} incidents: they are not counted"
    if digest.unmeasured:
        yield f"{count(digest.unmeasured, 'figure')} that were not asked for, because there are so many"
    for text in digest.not_read:
        yield safe(text, 300)
    for each in digest.measures:
        if each.value is None:
            yield f"{each.name}, {safe(each.of, 80)}: {safe(each.why, 200) or 'not read'}"


# -- the checklists ----------------------------------------------------------------------------------------------------


def _lists(digest: Digest) -> tuple[Every, ...]:
    """Whose turn it is: what is due once a quarter stands in the report that comes in its first month."""
    if digest.period.every is Every.WEEKLY:
        return (Every.WEEKLY,)
    return (Every.MONTHLY, *((Every.QUARTERLY,) if utc(digest.period.until).month in _QUARTER else ()))


def checks(digest: Digest, policy: Policy | None, every: Every) -> Iterator[tuple[Task, str, list[str]]]:
    """Each line of a checklist, its verdict (``good``, ``bad``, ``unknown``, ``told`` or ``person``) and figures."""
    for task in tasks(policy, every) if policy is not None else ():
        yield (task, *_answer(task, digest, policy))


def _answer(task: Task, digest: Digest, policy: Policy | None) -> tuple[str, list[str]]:
    figures = [each for each in digest.measures if each.name.startswith(task.measures)] if task.measures else []
    said = [_figure(each) for each in figures if each.value is not None]
    missing = sum(each.value is None for each in figures)
    said += [f"{count(missing, 'figure')} unknown: see UNKNOWN"] if missing else []
    watched = [name for name in task.failures if policy is not None and name in policy.remediations]
    found = {kind.remediation: sum(kind.ended.values()) for kind in digest.kinds if kind.remediation in watched}
    said += [f"{safe(name, 80)}: {count(found.get(name, 0), 'incident')} ended" for name in watched]
    said += [f"planned {money(digest.dollars_planned)}, come to {money(digest.dollars_spent)}"] if task.money else []
    judged = {each.good for each in figures if each.limit is not None}
    if any(found.values()) or False in judged:
        return "bad", said
    if missing or (task.measures and not figures) or (watched and digest.missed):
        return "unknown", said
    if judged == {True} or (watched and not task.measures):
        return "good", said
    return ("told" if figures or task.money else "person"), said


_MARKS = {
    "good": "as it should be",
    "bad": "LOOK AT THIS",
    "unknown": "unknown",
    "told": "for a person to judge",
    "person": "for a person",
}


def _checklist(page: Page, digest: Digest, policy: Policy | None, every: Every) -> None:
    lines = [*checks(digest, policy, every)]
    if not lines:
        return
    page.section(f"{every.value.upper()} CHECKLIST", "of the runbooks; nothing is ticked off here")
    for task, verdict, said in lines:
        page.item(f"{task.text} ({task.source}): {_MARKS[verdict]}")
        for text in said[:_SHOWN]:
            page.text(text, 6)
        if len(said) > _SHOWN:
            page.text(f"… and {len(said) - _SHOWN:,} more", 6)
        if task.how:
            page.text(f"How: {task.how}.", 6)


# -- for machines ------------------------------------------------------------------------------------------------------


def digest_to_json(digest: Digest, policy: Policy | None, deployment: str = "") -> dict[str, Any]:
    """The facts of :func:`render_digest` as a mapping that ``json.dumps(…, allow_nan=False)`` takes."""
    period = digest.period
    return {
        "schema": "nightshift.digest/1",
        "deployment": safe(deployment, 40),
        "every": period.every.value,
        "period": period.name,
        "since": _time(period.since),
        "until": _time(period.until),
        "watched": {
            "sweeps": digest.sweeps,
            "expected": digest.expected,
            "looks": sum(day.looks for day in digest.days.values()),
            "unknown_looks": sum(day.unknown for day in digest.days.values()),
        },
        "incidents": {
            "opened": digest.opened,
            "open": digest.still_open,
            "ended": dict(digest.ended),
            "acted": digest.acted,
            "fixed": digest.fixed,
            "actions": digest.attempts,
            "by_remediation": [
                {
                    "remediation": safe(kind.remediation, 80),
                    "ended": dict(kind.ended),
                    "acted": kind.acted,
                    "fixed": kind.fixed,
                }
                for kind in digest.kinds
            ],
        },
        "recurring": [
            {
                "remediation": safe(each.remediation, 80),
                "target": safe(each.target, 1100),
                "system": safe(each.group, 80),
                "actions": each.actions,
                "incidents": each.incidents,
                "newest": safe(each.newest, 100),
            }
            for each in digest.recurring[:_LISTED]
        ],
        "lent": [
            {
                "incident": safe(each.incident, 100),
                "target": safe(each.target, 1100),
                "what": safe(each.what, 200),
                "since": _time(each.since),
                "until": _time(each.until) if each.until is not None else None,
                "left_out": each.left_out,
                "dollars_per_hour": shown(each.dollars_per_hour),
            }
            for each in digest.lent[:_LISTED]
        ],
        "held": {safe(guard, 60): times for guard, times in digest.held.items()},
        "dollars": {
            "planned": shown(round(digest.dollars_planned, 4)),
            "spent": shown(round(digest.dollars_spent, 4)),
            "unpriced_actions": digest.unpriced,
        },
        "measures": [
            {
                "name": each.name,
                "of": safe(each.of, 80),
                "unit": each.unit,
                "value": shown(each.value),
                "before": shown(each.before),
                "limit": each.limit,
                "good": each.good,
                "why_unknown": safe(each.why, 200),
            }
            for each in digest.measures
        ],
        "unknown": [*unknown_lines(digest)],
        "checklists": [
            {
                "every": every.value,
                "scenario": task.source,
                "text": task.text,
                "verdict": verdict,
                "said": said[:_SHOWN],
                "how": task.how,
            }
            for every in _lists(digest)
            for task, verdict, said in checks(digest, policy, every)
        ],
    }


def _time(when: datetime) -> str:
    return utc(when).isoformat()
