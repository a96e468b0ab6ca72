"""
What a person has to be told, once each: pure functions from a change of the record to notices.

A notice is told because something changed that a person needs to know: an incident ended, a question is out, capacity
is on lease, a guardrail holds an incident for long, something would be done if it were allowed. Attempts, settling and
looks are not mailed; they are in the timeline and in the final report. Every notice has a key; the record keeps the
keys that were told, so a tick that dies between telling and saving tells twice rather than never.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift.model import Incident, Mode, Phase, Refusal, Severity, Verdict
from nightshift.report.context import (
    Context,
    TimelineEvent,
    asking,
    given_back,
    headline,
    observed_only,
    relapsed,
    sentence,
    state,
)
from nightshift.report.render import render
from nightshift.report.safe import ascii_subject, inert, plain_line, safe
from nightshift.report.words import Page, arn_of, clock, count, duration, moment, name_of, utc

__all__ = [
    "BODY_LIMIT",
    "LASTING",
    "QUIET_GUARDS",
    "Notice",
    "asking_key",
    "blind_notice",
    "hold_in_storm",
    "short",
    "storm_notice",
    "storm_over_notice",
    "transition",
    "unanswered",
]

BODY_LIMIT = 200_000
"""
bytes of a body; SNS takes 262,144 for body and attributes together

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
"""
LASTING = timedelta(minutes=10)
"""a hold that is shorter passes before a person has found the lamp"""

GIVE_BACK = "give-back"
"""what holds back the return of what was lent"""

QUIET_GUARDS = frozenset(
    {"cooldown", "lease", "link", "one-cause", "same-plan", "approval", "mode", "storm", GIVE_BACK}
)
"""
Holds that are told in the final report only.

``cooldown``, ``lease``, ``link`` and ``same-plan`` pass by themselves and end in a report; ``approval`` and ``mode``
have notices of their own (asking, would-act); a ``storm`` holds everything at once and is told in one page for all;
what is held by ``one-cause`` is named in the report of the release that may be its cause; what cannot be given back has
an incident of its own.
"""

_HELD = "held:"
_SHOWN = 40
_CUT = "[The report was too long and ends here; `nightshift show` has all of it.]"


@dataclass(frozen=True, slots=True)
class Notice:
    """
    One message to people. ``key`` names the transition; the record keeps it, so that it is told once.

    Whatever it is made from, SNS takes it: the subject is 1 to 99 visible ASCII characters, the body is non-empty text
    of at most 200,000 bytes in UTF-8 without controls. It is plain text, and stays text where somebody forwards it.
    ``level`` is whom it is for, where nobody has answered those that were told before.
    """

    key: str
    subject: str
    body: str
    severity: Severity
    level: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", safe(self.key, 120))
        object.__setattr__(self, "subject", ascii_subject(inert(self.subject)))
        object.__setattr__(self, "body", _publishable(self.body))


def _publishable(body: str) -> str:
    text = "\n".join(inert(plain_line(line)).rstrip() for line in body.split("\n")).strip("\n") + "\n"
    raw = text.encode("utf-8", "replace")
    if len(raw) > BODY_LIMIT:
        kept = raw[: BODY_LIMIT - len(_CUT) - 2].decode("utf-8", "ignore")
        text = f"{kept.rpartition(chr(10))[0] or kept}\n{_CUT}\n"
    return text if text.strip() else "(nothing to say)\n"


# -- one incident ----------------------------------------------------------------------------------------------------


def transition(
    before: Incident | None, after: Incident, *, context: Context, events: Iterable[TimelineEvent] = ()
) -> tuple[Notice, ...]:
    """
    What people need to be told because ``before`` became ``after``: nothing that ``after.notices`` names already.

    ``before`` is the record as it was loaded, None for a new one. An incident that ends is told exactly once, whatever
    its verdict. A hold is told once per guardrail, when it lasts: see :data:`LASTING` and :data:`QUIET_GUARDS`.
    """
    key = _key(before, after, context)
    if key is None or key in after.notices or (key.startswith("closed:") and _ended(after)):
        return ()
    body = render(after, events, context=context)
    return (Notice(key=key, subject=_subject(after, context), body=body, severity=after.severity),)


def unanswered(incident: Incident, level: str, *, context: Context, events: Iterable[TimelineEvent] = ()) -> Notice:
    """
    The report on an incident once more, to the next level, because nobody has said that they are on it.

    Its key is not that of an end: an end is told once.
    """
    body = render(incident, events, context=replace(context, level=safe(level, 20)))
    subject = f"UNANSWERED, {level}: {short(incident)} - {headline(incident, context)} [{incident.severity.value}]"
    return Notice(f"unanswered:{level}", subject, body, incident.severity, level)


def hold_in_storm(notice: Notice) -> bool:
    """Whether it only says that something is held back: in a storm everything is."""
    return notice.key.startswith(_HELD)


def _ended(incident: Incident) -> bool:
    return any(told.startswith("closed:") for told in incident.notices)


def _key(before: Incident | None, after: Incident, context: Context) -> str | None:
    """The transition's name. At most one applies: a record is in one phase."""
    if after.decided:
        return f"closed:{(after.verdict or Verdict.BROKEN).value}"
    if after.refusal is not None and _tell_hold(before, after, after.refusal, context):
        return f"{_HELD}{safe(after.refusal.guard, 60)}"
    if relapsed(after):
        return "relapsed"
    if after.phase is Phase.LEASED:
        return "leased"
    if asking(after) and after.approval is not None:
        return asking_key(after.approval.plan_hash)
    if observed_only(after, context):
        return "would-act"
    return None


def asking_key(plan_hash: str) -> str:
    """By what a question is known. It is asked aloud once: whoever asks it anew forgets that it was."""
    return f"asking:{safe(plan_hash, 40)}"


def _tell_hold(before: Incident | None, after: Incident, refusal: Refusal, context: Context) -> bool:
    """
    A hold that a person should know of: not one that is told in another way, and not one that soon passes.

    It lasts if it says so, or if it still stands at the next look and the incident is old enough. While calls are made
    or their effect is verified nothing is held.
    """
    if after.phase in {Phase.ACTING, Phase.VERIFYING} or refusal.guard in QUIET_GUARDS:
        return False
    if context.mode is Mode.OBSERVE or f"{_HELD}{safe(refusal.guard, 60)}" in after.notices:
        return False  # where nothing may be done nothing is held back: would-act says what would be done
    held_before = before is not None and before.refusal is not None and before.refusal.guard == refusal.guard
    if refusal.retry_after is None or refusal.retry_after >= LASTING:
        return True
    return held_before and utc(context.now) - utc(after.opened_at) >= LASTING


def _subject(incident: Incident, context: Context) -> str:
    """What a locked telephone shows: the state, how bad, which one, what is wrong."""
    word = state(incident, context)
    if word == (incident.verdict or Verdict.BROKEN).value.upper() and (incident.verdict or Verdict.BROKEN) in _NEEDED:
        word += ", needs you"
    elif word == "FIXED" and incident.lease_ends is not None and given_back(incident):
        word += ", lease returned"
    elif incident.phase is Phase.LEASED and incident.lease_ends is not None:
        word += f" until {clock(incident.lease_ends, context.now)}"
    elif asking(incident) and incident.approval is not None:
        word += f" by {clock(incident.approval.expires_at, context.now)}"
    elif word == "HELD" and incident.refusal is not None:
        word += f" by {safe(incident.refusal.guard, 20).replace('-', ' ')}"
    return f"{word}: {short(incident)} - {headline(incident, context)} [{incident.severity.value}]"


def short(incident: Incident) -> str:
    """Which one. A service's name may be in use in every cluster: whose it is stands beside it."""
    arn, group = arn_of(incident.target), safe(incident.group, 32)
    whose = f" of {group}" if group and arn is not None and arn.kind == "ecs:service" else ""
    name, room = name_of(incident.target), max(_SHOWN - len(whose), 20)
    return (name if len(name) <= room else f"{name[: room // 2 - 2]}...{name[1 - room // 2 :]}") + whose


_NEEDED = frozenset(
    {Verdict.ESCALATED, Verdict.REVERTED, Verdict.BROKEN, Verdict.INEFFECTIVE, Verdict.REFUSED, Verdict.UNVERIFIABLE}
)


# -- many at once ----------------------------------------------------------------------------------------------------


def storm_notice(
    reason: str,
    sick: Iterable[str],
    *,
    since: datetime,
    now: datetime | None = None,
    groups: Mapping[str, tuple[int, int]] | None = None,
    evidence: Mapping[str, Iterable[str]] | None = None,
    deployment: str = "",
) -> Notice:
    """
    The one page for a storm: so much is sick at once that nothing is fixed one by one.

    ``sick`` are the targets' ARNs; ``groups`` maps a system to (sick, registered); ``evidence`` is more
    to be told, by the headings of sections: those without a line are left out.
    """
    targets = sorted(set(sick))
    what = f"{count(len(targets), 'target')} sick at once" if targets else "what everything runs on does not answer"
    page = Page()
    page.title(f"STORM  {what}")
    page.blank()
    page.text(
        sentence(safe(reason, 400) or "too much is sick")
        + " When this much fails together the cause is rarely in each target, so Nightshift starts no cure anywhere"
        " while it lasts. It watches, and takes back what it has lent."
    )
    page.text("It needs a person now: look for one common cause.")
    page.blank()
    _since(page, since, now, deployment)
    worst = sorted((groups or {}).items(), key=lambda item: (-item[1][0], item[0]))
    if worst:
        page.section("SYSTEMS")
    page.items((f"{safe(name, 80)}: {bad:,} of {count(every, 'target')} sick" for name, (bad, every) in worst), _SHOWN)
    for title, lines in (evidence or {}).items():
        shown = [safe(line, 500) for line in lines]
        if shown:
            page.section(title)
            page.items(shown, _SHOWN)
    page.section("SICK")
    page.items((safe(target, 1100) for target in targets) if targets else ("nothing that can be seen",), _SHOWN)
    page.section("NEXT")
    page.item("What do they share? A deployment, a network path, a database, a quota, a key, an AWS service, a Region.")
    page.item("See the AWS Health Dashboard: https://health.aws.amazon.com/health/status")
    page.item(
        "Cure the common cause. When the account is calm again Nightshift goes on by itself with what is still sick."
    )
    page.item(
        "You get one page for the whole storm, one when it is over, and a report for every incident when it ends."
    )
    return Notice("storm", f"STORM, needs you: {what} [SEV1]", str(page), Severity.SEV1)


def storm_over_notice(
    reason: str, sick: Iterable[str], *, since: datetime, now: datetime, deployment: str = ""
) -> Notice:
    """
    The end of a storm, to those who were told of it.

    ``reason`` is what it was last; ``sick`` are the ARNs of what is sick still, which is looked after one by one again.
    """
    targets = sorted(set(sick))
    lasted = duration(utc(now) - utc(since))
    page = Page()
    page.title(f"STORM OVER  after {lasted}")
    page.blank()
    page.text(
        "The account has been calm for long enough. Nightshift goes on one by one with what is still sick, within its"
        " limits; what it held back has a report of its own when it ends."
    )
    page.blank()
    _since(page, since, now, deployment)
    page.section("IT WAS")
    page.item(sentence(safe(reason, 400) or "too much was sick"))
    page.section("STILL SICK")
    page.items((safe(target, 1100) for target in targets) if targets else ("nothing",), _SHOWN)
    still = f"{count(len(targets), 'target')} still sick" if targets else "nothing is sick"
    return Notice("storm-over", f"STORM OVER after {lasted}: {still} [SEV1]", str(page), Severity.SEV1)


def blind_notice(
    unreadable: Mapping[str, str], *, since: datetime, now: datetime | None = None, deployment: str = ""
) -> Notice:
    """What Nightshift cannot see: ``unreadable`` maps a service or target to why. Not seen is not healthy."""
    page = Page()
    names = sorted(unreadable)
    page.title(f"BLIND  {count(len(names), 'service or target', 'services or targets')} cannot be read")
    page.blank()
    page.text(
        "Nightshift cannot tell whether these are healthy. It does nothing to what it cannot see, and would not notice"
        " if it failed."
    )
    page.text("It needs a person: until this is mended nobody watches them.")
    page.blank()
    _since(page, since, now, deployment)
    page.section("NOT READABLE")
    page.items((f"{safe(name, 1100)}: {safe(unreadable[name], 300)}" for name in names), _SHOWN)
    page.section("NEXT")
    page.item("Access denied: grant the action that is named to Nightshift's reading roles.")
    page.item("Throttled, timed out or 5xx: see the AWS Health Dashboard, https://health.aws.amazon.com/health/status")
    page.item("Does not exist: take it out of the configuration, or find out who deleted it.")
    first = name_of(names[0]) if names else "nothing"
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return Notice("blind", f"BLIND: cannot read {first[:40]}{others} [SEV2]", str(page), Severity.SEV2)


def _since(page: Page, since: datetime, now: datetime | None, deployment: str) -> None:
    page.pair("Since", moment(since) + (f", for {duration(utc(now) - utc(since))}" if now is not None else ""))
    if deployment:
        page.pair("In", f"deployment {safe(deployment, 40)}")
