"""A week's figures, from records alone: what they prove is counted, what nobody knows is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from nightshift.checklists import CHECKLIST, Every, tasks
from nightshift.config import parse_toml
from nightshift.digests import MOST, Digest, Period, counted, last_whole, until_now
from nightshift.incidents import Watched
from nightshift.measures import MOST as MOST_MEASURED
from nightshift.measures import Measure, measured, wanted
from nightshift.model import (
    Attempt,
    CallRecord,
    Finding,
    Incident,
    MetricQuery,
    Outcome,
    Phase,
    Plan,
    Refusal,
    Verdict,
)
from nightshift.remediation import Readings, Series, Unread
from nightshift.report.digest import checks, digest_notice, digest_to_json, render_digest
from nightshift.report.notices import BODY_LIMIT

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = Period(Every.WEEKLY, "2026-W10", MONDAY, MONDAY + timedelta(days=7))
NOW = WEEK.until + timedelta(hours=7)
HOUR = timedelta(hours=1)
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:orders-dlq"
WHOLE = {date(2026, 3, 2 + day): Watched(1440, 2880, 0) for day in range(7)}
HEAD = """
name = "prod"
account = "123456789012"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
digests = ["weekly", "monthly"]
"""
LETTERS = """
[remediations.sqs-dlq-backlog]
[[systems]]
name = "orders"
[[systems.targets]]
arn = "arn:aws:sqs:eu-central-1:123456789012:orders-dlq"
source = "arn:aws:sqs:eu-central-1:123456789012:orders"
consumer = "arn:aws:ecs:eu-central-1:123456789012:service/prod/orders"
"""
ALARM = """
[remediations.alarm-raised]
[[systems.targets]]
arn = "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:sign-ins"
"""
POLICY = parse_toml(HEAD + LETTERS + ALARM, path="t")
PLAN = Plan("cure", QUEUE, "Lend a task.", (), risk="low", undo_by_hand="", cost_per_hour=0.5, lease=2 * HOUR)


def call(at: datetime, outcome: Outcome = Outcome.DONE, step: str = "lend") -> CallRecord:
    """A call that was made."""
    return CallRecord(at, step, "ecs:UpdateService", QUEUE, outcome)


def incident(number: int = 0, **more: Any) -> Incident:
    """One of Tuesday, cured."""
    at = MONDAY + timedelta(days=1, minutes=number)
    record = Incident(
        id=f"20260303T00{number:02}-00000000",
        remediation="cure",
        target=QUEUE,
        group="orders",
        opened_at=at,
        look_at=at,
        deadline=at + 6 * HOUR,
        finding=Finding("cure", QUEUE, "it hurts"),
        phase=Phase.CLOSED,
        verdict=Verdict.FIXED,
        closed_at=at + HOUR,
        attempts=(Attempt(1, "x", at),),
        calls=(call(at),),
    )
    return replace(record, **more)


def week(*ended: Incident | None, still_open: tuple[Incident | None, ...] = (), **more: Any) -> Digest:
    """A week that was watched, with these incidents."""
    return counted(WEEK, ended, still_open, **{"now": NOW, "days": WHOLE, **more})


def page(digest: Digest) -> str:
    """What a person reads, without its line breaks."""
    return " ".join(render_digest(digest, POLICY, "prod").split())


# -- spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "every, now, name, since, days",
    [
        (Every.WEEKLY, datetime(2026, 3, 9, tzinfo=UTC), "2026-W10", MONDAY, 7),
        (Every.WEEKLY, datetime(2026, 3, 8, 23, 59, tzinfo=UTC), "2026-W09", MONDAY - timedelta(days=7), 7),
        (Every.WEEKLY, datetime(2027, 1, 5, tzinfo=UTC), "2026-W53", datetime(2026, 12, 28, tzinfo=UTC), 7),
        (Every.MONTHLY, datetime(2026, 3, 1, tzinfo=UTC), "2026-02", datetime(2026, 2, 1, tzinfo=UTC), 28),
        (Every.MONTHLY, datetime(2026, 1, 31, tzinfo=UTC), "2025-12", datetime(2025, 12, 1, tzinfo=UTC), 31),
    ],
)
def test_the_last_whole_week_or_month(every: Every, now: datetime, name: str, since: datetime, days: int) -> None:
    """From Monday to Monday, from the first to the first, in UTC."""
    assert last_whole(every, now) == Period(every, name, since, since + timedelta(days=days))


def test_whoever_asks_is_told_up_to_this_moment() -> None:
    """What ended in it too."""
    period = until_now(Every.WEEKLY, NOW)
    assert period.since == MONDAY
    assert period.since <= NOW < period.until


# -- what was done ---------------------------------------------------------------------------------------------------


def test_a_cure_counts_where_the_record_proves_it() -> None:
    """Fixed of those in which something was done: a call that did not happen is nothing, nor is a recovery a cure."""
    digest = week(
        incident(1),
        incident(2, verdict=Verdict.ESCALATED),
        incident(3, verdict=Verdict.RECOVERED, attempts=(), calls=()),
        incident(
            4, verdict=Verdict.REFUSED, attempts=(), calls=(), refusal=Refusal("freeze", "it is the quarter's end")
        ),
        incident(5, verdict=Verdict.ESCALATED, calls=(call(MONDAY, Outcome.NOT_DONE),)),
        incident(6, verdict=None),
    )
    assert (digest.acted, digest.fixed, digest.opened) == (3, 1, 6)
    assert digest.ended == {"broken": 1, "escalated": 2, "fixed": 1, "recovered": 1, "refused": 1}
    assert digest.held == {"freeze": 1}
    assert "1 of them (33.3 %) were cured, as their records prove. 4 actions in all." in page(digest)


def test_what_was_begun_before_the_week_counts_in_its_own() -> None:
    """An incident counts where it ended, an action where it was begun."""
    before = MONDAY - HOUR
    old = incident(opened_at=before, attempts=(Attempt(1, "x", before),), closed_at=MONDAY + HOUR)
    digest = week(old)
    assert (digest.opened, digest.attempts, digest.fixed) == (0, 0, 1)
    later = incident(opened_at=WEEK.until, attempts=(Attempt(1, "x", WEEK.until),), phase=Phase.OPEN)
    assert (week(still_open=(later,)).opened, week(still_open=(later,)).attempts) == (0, 0)


def test_what_is_open_is_counted_as_that() -> None:
    """With what holds it; one that ended since the index was read is left to the others."""
    held = incident(1, phase=Phase.OPEN, verdict=None, refusal=Refusal("window", "people work on it"), calls=())
    digest = week(still_open=(held, incident(2), None))
    assert (digest.still_open, digest.held, digest.unreadable) == (1, {"window": 1}, 1)


@pytest.mark.parametrize(
    "days, recurring", [((0, 1, 2), True), ((0, 1), False), ((0, 3.5, 6.9), True), ((0, 0, 0), True)]
)
def test_three_in_a_week_call_for_the_root_cause(days: tuple[float, ...], recurring: bool) -> None:
    """The same on the same target; also where nothing was done, and it only came back."""
    times = [MONDAY + timedelta(days=day) for day in days]
    acted = [incident(n, opened_at=at, attempts=(Attempt(1, "x", at),)) for n, at in enumerate(times)]
    told = [replace(each, remediation="told", attempts=(), calls=()) for each in acted]
    other = [replace(each, target=f"{QUEUE}{n}") for n, each in enumerate(acted)]
    found = {each.remediation: (each.actions, each.incidents) for each in week(*acted, *told, *other).recurring}
    assert found == ({"cure": (3, 3), "told": (0, 3)} if recurring else {})


def test_three_in_a_month_are_no_recurrence_unless_they_stand_in_one_week() -> None:
    """A month has four weeks."""
    month = Period(Every.MONTHLY, "2026-03", MONDAY, MONDAY + timedelta(days=31))
    for step, recurring in ((7, 0), (3, 1)):
        times = [MONDAY + timedelta(days=step * n) for n in range(4)]
        ended = [incident(n, opened_at=at, attempts=(Attempt(1, "x", at),)) for n, at in enumerate(times)]
        assert len(counted(month, ended, (), now=NOW, days={}).recurring) == recurring


def test_attempts_of_one_incident_are_actions_too() -> None:
    """Three tries of the same cure within an hour are three."""
    at = MONDAY + HOUR
    [again] = week(incident(attempts=tuple(Attempt(n, "x", at) for n in range(1, 4)))).recurring
    assert (again.actions, again.incidents) == (3, 1)


# -- money and what is lent --------------------------------------------------------------------------------------------


def test_money_is_what_was_planned_and_what_it_has_come_to() -> None:
    """Given back after an hour, a loan of two cost half; what stays is counted for a day; nobody's price is said."""
    at = MONDAY + timedelta(days=1)
    back = incident(1, plan=PLAN, attempts=(Attempt(1, "x", at),), calls=(call(at), call(at + HOUR, step="undo lend")))
    stays = incident(2, plan=replace(PLAN, lease=None, cost_per_hour=0.25))
    unknown = incident(3, plan=replace(PLAN, cost_per_hour=None))
    digest = week(back, stays, unknown)
    assert (digest.dollars_planned, digest.dollars_spent, digest.unpriced) == (1.0 + 6.0, 0.5 + 6.0, 1)
    assert "Planned $7.00, come to $6.50 so far. The price of 1 action is not known." in page(digest)


def test_what_is_out_is_listed_with_its_price_and_its_end() -> None:
    """And what could not be given back is for a person."""
    out = incident(1, plan=PLAN, lent=True, phase=Phase.LEASED, verdict=None, lease_ends=NOW + HOUR)
    left = incident(2, plan=replace(PLAN, cost_per_hour=None), lent=True, verdict=Verdict.ESCALATED)
    judged = incident(3, plan=PLAN, lent=True, phase=Phase.VERIFYING, verdict=None, attempts=())
    said = page(week(left, still_open=(out, judged)))
    assert "Lend a task; until 2026-03-09 08:00:00 UTC; $0.50 an hour (20260303T0001" in said
    assert "Lend a task; LEFT OUT, a person must take it back; unknown an hour (20260303T0002" in said
    assert "Lend a task; until it is judged; $0.50 an hour (20260303T0003" in said


# -- nothing, and what nobody knows ------------------------------------------------------------------------------------


def test_a_quiet_week_says_that_it_was_watched() -> None:
    """Every minute of it."""
    digest = week()
    assert digest.quiet
    assert digest_notice(digest, POLICY).subject == "WEEKLY 2026-W10: nothing happened, and it was watched [SEV4]"
    assert "10,080 sweeps of 10,080 (one a minute), 20,160 looks at targets." in page(digest)
    assert "UNKNOWN" not in page(digest)


def test_a_week_in_which_nobody_looked_is_no_quiet_week() -> None:
    """It says so first."""
    digest = week(days={})
    assert digest_notice(digest, POLICY).subject == "WEEKLY 2026-W10: NOT WATCHED: no sweep was completed [SEV4]"
    assert "nobody watched. What follows says nothing about health." in page(digest)


def test_everything_unknown_is_listed() -> None:
    """Minutes without a sweep, looks that saw nothing, ends and calls that nobody is sure of, records, figures."""
    digest = week(
        incident(1, verdict=Verdict.UNVERIFIABLE, calls=(call(MONDAY, Outcome.UNKNOWN),)),
        None,
        days={**WHOLE, date(2026, 3, 4): Watched(1380, 2760, 276)},
        cut=True,
        unmeasured=3,
        not_read=("the moon",),
        measures=(Measure("trigger age, average", "bucket", "s", limit=300.0, why="nothing was reported"),),
    )
    said = page(digest)
    for line in (
        "1 h in which no sweep was completed: nobody watched then",
        "276 of 20,040 looks saw nothing (1.4 %)",
        "how 1 incident really ended: unverifiable, or broken",
        "whether 1 call happened: AWS gave no clear answer",
        "1 record that cannot be read, and are not counted",
        f"everything beyond the newest {MOST:,} incidents: they are not counted",
        "3 figures that were not asked for, because there are so many",
        "the moon",
        "trigger age, average, bucket: nothing was reported",
    ):
        assert line in said


# -- what was measured -------------------------------------------------------------------------------------------------


def answers(value: Callable[[MetricQuery], Series | Unread], policy: Any = POLICY) -> dict[str, Measure]:
    """The figures of a week in which every metric says what ``value`` says, by their names."""
    those, _ = wanted(policy, WEEK.span)
    queries = [query for each in those for query in (*each.queries, *each.before)]
    return {each.name: each for each in measured(those, Readings(NOW, {query: value(query) for query in queries}))}


def points(*values: float) -> Series:
    """A series of an hour each."""
    return Series(tuple((MONDAY + n * HOUR, value) for n, value in enumerate(values)))


BUCKET = """
[remediations.ecs-service-stalled]
[remediations.s3-trigger-behind]
namespace = "Mail"
[[systems]]
name = "mail"
[[systems.targets]]
arn = "arn:aws:s3:::metadata"
[systems.targets.triggers]
prefix = "customers/"
archive = "archive/"
[[systems.targets.triggers.customers]]
name = "hts"
queue = "arn:aws:sqs:eu-central-1:123456789012:hts"
dead_letters = "arn:aws:sqs:eu-central-1:123456789012:hts-dlq"
consumer = "arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"
[[systems.targets]]
arn = "arn:aws:ecs:eu-central-1:123456789012:service/prod/hts"
queue = "arn:aws:sqs:eu-central-1:123456789012:hts"
"""
MAIL = parse_toml(HEAD + BUCKET, path="t")


def test_an_average_is_what_was_summed_over_what_was_counted() -> None:
    """An hour with a thousand triggers weighs more than one with a single one; this week beside the one before."""

    def said(query: MetricQuery) -> Series:
        if query.ago:
            return points(50, 50) if query.stat == "Sum" else points(1, 1)
        return points(1000, 10_000) if query.stat == "Sum" else points(1, 99)

    age = answers(said, MAIL)["trigger age, average"]
    assert (age.value, age.before, age.good) == (110.0, 50.0, True)


@pytest.mark.parametrize("failed, share, good", [(None, 100.0, True), (1.0, 99.0, False), (0.5, 99.497, True)])
def test_the_share_that_succeeded(failed: float | None, share: float, good: bool) -> None:
    """What failed is not counted where nothing failed; more than 99 % is asked for, not 99."""
    by = {"ArchiveUpdateSuccess": points(99.0), "ArchiveUpdateFailure": points() if failed is None else points(failed)}
    found = answers(lambda query: by.get(query.metric, points(1)), MAIL)["archive updates that succeeded"]
    assert found.value == pytest.approx(share, abs=0.001)
    assert found.good is good


def test_what_nobody_reported_is_unknown_and_not_zero() -> None:
    """Of nothing there is no share, no average, no sum and no size."""
    for each in answers(lambda _: points(), MAIL).values():
        assert (each.value, each.good, each.why) == (None, None, "nothing was reported")
    for each in answers(lambda _: Unread("denied"), MAIL).values():
        assert (each.value, each.why) == (None, "denied")


def test_a_week_before_that_nobody_knows_keeps_no_figure_back() -> None:
    """It is only not compared."""
    found = answers(lambda query: Unread("denied") if query.ago else points(2, 4), MAIL)
    assert (found["messages done"].value, found["messages done"].before) == (6, None)
    assert (found["CPU, highest"].value, found["size, standard storage"].value) == (4, 4)
    assert "messages done, hts: 6 (before: unknown)" in page(week(measures=tuple(found.values())))


def test_more_than_anybody_reads_is_not_measured_and_that_is_said() -> None:
    """So many of a kind, and how many are left out."""
    first = POLICY.targets[0]
    many = [
        replace(first, arn=replace(first.arn, resource=f"q{n}-dlq"), source=replace(first.arn, resource=f"q{n}"))
        for n in range(2 * MOST_MEASURED + 5)
    ]
    those, left = wanted(replace(POLICY, targets=tuple(many)), WEEK.span)
    assert (len(those), left) == (4 * MOST_MEASURED, 10)


# -- the runbooks' lists -------------------------------------------------------------------------------------------


def verdicts(digest: Digest, every: Every = Every.WEEKLY, policy: Any = POLICY) -> dict[str, str]:
    """What the list says of each line."""
    return {task.text: verdict for task, verdict, _ in checks(digest, policy, every)}


DEAD = "Dead-letter queues near zero"


@pytest.mark.parametrize(
    "value, verdict", [(0.0, "good"), (1.0, "bad"), (None, "unknown")], ids=["empty", "one", "unknown"]
)
def test_a_line_with_a_limit_is_judged(value: float | None, verdict: str) -> None:
    """Unknown is not good."""
    measures = (Measure("dead letters, average", "orders-dlq", value=value, limit=1.0),)
    assert verdicts(week(measures=measures))[DEAD] == verdict


def test_a_line_that_nobody_measured_is_unknown() -> None:
    """Not good by default."""
    assert verdicts(week())[DEAD] == "unknown"


def test_a_line_about_failures_is_as_good_as_it_was_watched() -> None:
    """None of them is good where every minute was watched, unknown where not; one of them is looked at."""
    alarms = "Alarms and metrics"
    assert verdicts(week())[alarms] == "good"
    assert verdicts(week(days={}))[alarms] == "unknown"
    assert verdicts(week(incident(remediation="alarm-raised")))[alarms] == "bad"
    without = parse_toml(HEAD + LETTERS, path="t")
    assert verdicts(week(), policy=without)[alarms] == "person"


def test_what_there_is_none_of_is_not_on_the_list() -> None:
    """A deployment without triggers is not asked about them; what concerns everybody always stands there."""
    mine = {task.source for task in tasks(POLICY, Every.WEEKLY)}
    assert mine == {"0.14", "0.16", "2.17"}
    assert {task.source for task in tasks(MAIL, Every.WEEKLY)} == {"0.14", "0.15", "0.16", "2.17"}
    assert {task.source for task in tasks(POLICY, Every.QUARTERLY)} == {"2.19"}


def test_the_lists_are_those_of_the_runbooks() -> None:
    """Every task of their weekly, monthly and quarterly lists has a line; whoever must do it is told how."""
    count = {(task.every.value, task.source): 0 for task in CHECKLIST}
    for task in CHECKLIST:
        count[task.every.value, task.source] += 1
        assert task.how or task.measures or task.failures
    assert count == {
        ("weekly", "0.14"): 3,
        ("weekly", "0.15"): 2,
        ("weekly", "0.16"): 3,
        ("weekly", "2.17"): 4,
        ("monthly", "0.16"): 3,
        ("monthly", "0.17"): 3,
        ("monthly", "2.18"): 4,
        ("quarterly", "2.19"): 4,
    }


def test_without_a_configuration_there_is_no_list() -> None:
    """And nothing else is missing."""
    said = render_digest(week(), None)
    assert "CHECKLIST" not in said
    assert digest_to_json(week(), None)["checklists"] == []


def test_however_much_there_is_sns_takes_it() -> None:
    """Thousands of incidents on thousands of targets, each with a hostile name."""
    records = [
        incident(
            n % 60, target=f"{QUEUE}{n}\nFIXED\x1b[2J", attempts=(Attempt(1, "x", MONDAY),) * 3, remediation=f"r{n}"
        )
        for n in range(MOST)
    ]
    measures = tuple(Measure("CPU, average", f"s{n}" * 40, "%", why="x" * 900) for n in range(500))
    notice = digest_notice(week(*records, measures=measures), POLICY)
    assert len(notice.body.encode()) <= BODY_LIMIT
    assert "\x1b" not in notice.body
    assert not any(line.startswith("FIXED") for line in notice.body.splitlines())
