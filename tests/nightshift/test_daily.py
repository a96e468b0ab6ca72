"""What a day's health report says: the worst first, what nobody knows beside it, and what was left off counted."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from nightshift.config import parse_toml
from nightshift.daily import MOST, STUCK, Daily, OpenIncident, StuckAlarm, today
from nightshift.digests import Lent
from nightshift.health import Check, SystemHealth, TargetHealth, needs, reads
from nightshift.incidents import Incidents
from nightshift.model import Arn, Customer, Finding, Healthy, Incident, Phase, Severity, Target, Triggers, Verdict
from nightshift.report.daily import daily_notice, not_built, render_daily
from nightshift.report.notices import BODY_LIMIT
from nightshift.sweep import Look

from tests.nightshift.signals.cloud import ACCOUNT, REGION, Cloud
from tests.support.table import make_table
from tests.support.toy import Toy

NOW = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)
DAY = date(2026, 11, 27)
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:letters"
POLICY = parse_toml(
    f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"
[notify]
emails = ["oncall@example.com"]
health_at = "07:00"
[remediations.lambda-failing]
[remediations.alarm-raised]
[[systems]]
name = "post"
[[systems.targets]]
arn = "arn:aws:lambda:{REGION}:{ACCOUNT}:function:sort"
[[systems.targets]]
arn = "arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:registered"
""",
    path="t",
)


def target(name: str, *checks: Check, kind: str = "sqs") -> TargetHealth:
    """How a queue is."""
    return TargetHealth(Target(Arn.parse(f"arn:aws:{kind}:{REGION}:{ACCOUNT}:{name}"), "post"), checks)


SICK = target(
    "letters", Check("sqs-dlq-backlog", "sick", "5 letters wait"), Check("queue", "", "5 messages in letters")
)
BLIND = target("parcels", Check("sqs-dlq-backlog", "unknown", "AccessDenied"))
WELL = target("stamps", Check("sqs-dlq-backlog", "healthy", "empty"))
UNJUDGED = target("cards", Check("queue", "", "0 messages in cards"))


def day(*targets: TargetHealth, **more: Any) -> Daily:
    """A day on which one system has these targets, and was watched."""
    facts: dict[str, Any] = {"day": DAY, "at": NOW, "swept": NOW, "systems": (SystemHealth("post", targets),)}
    return Daily(**(facts | more))


def page(daily: Daily) -> str:
    """What a person reads, without its line breaks."""
    return " ".join(render_daily(daily, POLICY).split())


# -- what is said ----------------------------------------------------------------------------------------------------


def test_a_phone_shows_how_much_is_wrong_and_then_what() -> None:
    """The subject counts; of what is sick and of what nobody knows each has its reason before anything else comes."""
    notice = daily_notice(day(WELL, SICK, BLIND, UNJUDGED), POLICY)
    assert notice.subject == "HEALTH 2026-11-27: 1 sick, 2 unknown, 1 healthy [SEV4]"
    assert notice.severity is Severity.SEV4
    text = " ".join(notice.body.split())
    assert text.startswith("HEALTH 1 sick, 2 unknown, 1 healthy At 2026-11-27 06:00:00 UTC In deployment prod SICK")
    order = [text.index(word) for word in ("SICK -", "UNKNOWN not the same", "SYSTEMS -", "MEASURED", "HEALTHY -")]
    assert order == sorted(order)
    assert "letters of post (sqs:queue): sqs-dlq-backlog: 5 letters wait" in text
    assert "parcels of post (sqs:queue): sqs-dlq-backlog: AccessDenied" in text
    assert "cards of post (sqs:queue): nothing here says how it is" in text
    assert "post: sick (1 sick, 2 unknown, 1 healthy)" in text
    assert "letters of post (sqs:queue): 5 messages in letters" in text
    assert "HEALTHY - post: stamps" in text


def test_what_is_sick_and_partly_unread_is_in_both_lists() -> None:
    """A failure in part is listed, though the target is sick anyway."""
    both = target("letters", Check("one", "sick", "it hurts"), Check("two", "unknown", "not read"))
    text = page(day(both))
    assert "SICK - letters of post (sqs:queue): one: it hurts" in text
    assert "UNKNOWN not the same as healthy - letters of post (sqs:queue): two: not read" in text


def test_more_than_three_failures_of_one_target_are_counted() -> None:
    """A list of twenty on one line is read by nobody."""
    text = page(day(target("letters", *(Check(f"check {number}", "sick", "it hurts") for number in range(5)))))
    assert "check 2: it hurts; and 2 more" in text
    assert "check 3" not in text


def test_customers_are_counted_beside_their_system() -> None:
    """Each is a check of its bucket of triggers, and so it stands in the lists, too."""
    bucket = target("x", Check("customer a", "healthy", "fine"), Check("customer b", "sick", "0 of 2 tasks run"))
    text = page(day(bucket))
    assert "post: sick (1 sick; customers: 1 sick, 1 healthy)" in text
    assert "customer b: 0 of 2 tasks run" in text


def test_where_nobody_watches_that_comes_first() -> None:
    """The report looks for itself, but once a day is no watch."""
    assert daily_notice(day(WELL, swept=None), POLICY).subject == "HEALTH 2026-11-27: NOT WATCHED, 1 healthy [SEV4]"
    assert "NOT WATCHED: the last sweep that is known of was completed never." in page(day(WELL, swept=None))
    ago = day(WELL, swept=NOW - timedelta(minutes=11))
    assert "the last sweep that is known of was completed 11 min ago." in page(ago)
    assert "NOT WATCHED" not in page(day(WELL, swept=NOW - timedelta(minutes=10)))


def test_where_every_system_is_sick_people_look_for_one_cause() -> None:
    """Only where there are several."""
    two = (SystemHealth("post", (SICK,)), SystemHealth("freight", (SICK,)))
    assert "Every system is sick at once: look for what they share first." in page(day(systems=two))
    assert "Every system" not in page(day(SICK))


def test_alarms_incidents_and_loans_have_their_lists() -> None:
    """What has been open, raised or lent for long is what nobody looks after."""
    alarm = StuckAlarm("high", "ALARM", NOW - timedelta(days=3), ("a", "b", "c", "d"))
    blind = StuckAlarm("dark", "INSUFFICIENT_DATA", None, ("letters",))
    row = OpenIncident("20261127T0300-00000000", NOW, QUEUE, "post", "sqs-dlq-backlog", Severity.SEV2, "awaiting")
    loan = Lent("20261127T0200-00000000", QUEUE, "two tasks more", NOW, NOW + timedelta(hours=1), 0.5, left_out=False)
    daily = day(WELL, alarms=(alarm, blind), other_alarms=2, incidents=(row,), lent=(loan,), not_read=("x: denied",))
    notice = daily_notice(daily, POLICY)
    assert notice.subject == "HEALTH 2026-11-27: 1 healthy, 2 stuck alarms, 1 open, not all was read [SEV4]"
    text = page(daily)
    assert "high: raised, for 3 d; about a, b, c and 1 more" in text
    assert "dark: without data, AWS does not say since when; about letters" in text
    assert "Besides, 2 alarms about nothing that is registered here." in text
    assert "sqs-dlq-backlog on letters of post, awaiting since 2026-11-27 06:00:00 UTC [SEV2]" in text
    assert "letters: two tasks more; until 2026-11-27 07:00:00 UTC; $0.50 an hour" in text
    assert "NOT READ - x: denied" in text


def test_a_report_is_bounded_and_counts_what_it_leaves_off() -> None:
    """Thousands of targets, each with the longest reason that there is: SNS takes it, and it ends as it should."""
    long = "it hurts " * 200
    many = [
        target(f"queue-{number}", *(Check(word, word, long) for word in ("sick", "unknown"))) for number in range(3000)
    ]
    systems = tuple(SystemHealth(f"system-{number}", tuple(many[number::50])) for number in range(50))
    well = SystemHealth("well", tuple(target(f"well-{number}", Check("x", "healthy", "y")) for number in range(100)))
    alarms = tuple(StuckAlarm("a" * 255, "ALARM", NOW, ("b" * 80,) * 50) for _ in range(MOST))
    row = OpenIncident("20261127T0300-00000000", NOW, QUEUE, "p" * 80, "r" * 80, Severity.SEV2, "awaiting")
    daily = day(systems=(*systems, well), alarms=alarms, incidents=(row,) * MOST, not_read=("z" * 500,) * 100)
    body = daily_notice(daily, POLICY).body
    assert len(body.encode()) < BODY_LIMIT / 2
    assert "too long" not in body
    text = " ".join(body.split())
    assert text.startswith("HEALTH 3,000 sick, 100 healthy, 1,000 stuck alarms, 1,000 open, not all was read")
    assert "… and 2,960 more" in text
    assert "… and 960 more" in text
    assert "well-19 and 80 more" in text
    assert text.endswith("nightshift incidents --open --config prod")


def test_nothing_that_somebody_else_wrote_becomes_a_heading() -> None:
    """A reason with line breaks and control characters stays one line of text."""
    text = render_daily(day(target("letters", Check("x", "sick", "no\nHEALTHY\n\x1b[2J all is well"))), POLICY)
    assert "\nHEALTHY" not in text
    assert "\x1b" not in text


def test_a_report_that_was_not_made_says_nothing_about_health() -> None:
    """Neither in its subject nor in its first line."""
    notice = not_built("health", "2026-11-27", "KeyError")
    assert notice.subject == "HEALTH 2026-11-27: COULD NOT BE MADE [SEV4]"
    assert notice.key == "health"


# -- what is read ----------------------------------------------------------------------------------------------------


class Looks:
    """A sweep that sees that everything is well."""

    def look(self, targets: Any) -> tuple[Look, ...]:
        """Healthy."""
        return tuple(Look(each, Toy(), Healthy("fine")) for each in targets)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An account in which only alarms are asked for."""
    from moto import mock_aws

    with mock_aws():
        made = Cloud()
        made.answers["GetFunctionConfiguration"] = lambda _: {"State": "Inactive"}
        made.answers["DescribeAlarms"] = lambda _: {"MetricAlarms": [], "CompositeAlarms": []}
        yield made


def look_at(cloud: Cloud) -> Daily:
    """What a day's report is made of."""
    store = Incidents(cloud.aws(), make_table(cloud.session.client("dynamodb")))
    sweep: Any = Looks()
    return today(POLICY, cloud.aws(), store, sweep, day=DAY, since=DAY, now=NOW)


def alarm(name: str, hours: float | None, *, function: str = "sort", **more: Any) -> dict[str, Any]:
    """An alarm on a function, so long in its state."""
    said: dict[str, Any] = {
        "AlarmName": name,
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}",
        "Dimensions": [{"Name": "FunctionName", "Value": function}],
        **more,
    }
    if hours is not None:
        said["StateTransitionedTimestamp"] = NOW - timedelta(hours=hours)
    return said


def test_an_idle_function_is_healthy_and_so_it_is_told(cloud: Cloud) -> None:
    """And where the table is empty nobody has ever watched."""
    found = look_at(cloud)
    [system] = found.systems
    assert {check.what: check.health for check in system.targets[0].checks}["state"] == "healthy"
    assert not found.watched
    assert found.not_read == ()


def test_an_alarm_is_stuck_after_a_day_whatever_it_is_made_of(cloud: Cloud) -> None:
    """By its own metric, by one of several, or as a target itself; since it changed, or else since AWS last said so."""
    several = alarm("several", 30, function="other")
    several["Metrics"] = [
        {"Id": "a", "MetricStat": {"Metric": {"Dimensions": [{"Name": "FunctionName", "Value": "sort"}]}}},
        {"Id": "b", "Expression": "a * 2"},
    ]
    updated = alarm("updated", None, StateUpdatedTimestamp=NOW - timedelta(hours=48))
    scaling = alarm("scaling", 99, AlarmActions=[f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:scalingPolicy:x"])
    ours = alarm("nightshift-prod-SweepSilent", 25, function="nobody")
    raised = [alarm("young", 24), alarm("old", 24.1), several, scaling, alarm("not-ours", 99, function="x"), ours]
    composite = [alarm("registered", 30, function="x"), alarm("nobody-knows", None)]

    def described(params: dict[str, Any]) -> dict[str, Any]:
        assert set(params["AlarmTypes"]) == {"CompositeAlarm", "MetricAlarm"}
        if params["StateValue"] == "ALARM":
            return {"MetricAlarms": raised, "CompositeAlarms": composite}
        return {"MetricAlarms": [updated]}

    cloud.answers["DescribeAlarms"] = described
    found = look_at(cloud)
    assert {each.name: (each.state, each.about) for each in found.alarms} == {
        "old": ("ALARM", ("sort",)),
        "several": ("ALARM", ("sort",)),
        "registered": ("ALARM", ("registered",)),
        "nobody-knows": ("ALARM", ("sort",)),
        "updated": ("INSUFFICIENT_DATA", ("sort",)),
        "nightshift-prod-SweepSilent": ("ALARM", ("Nightshift itself",)),
    }
    assert found.alarms[0].name == "updated"
    assert found.other_alarms == 1
    assert timedelta(hours=24) == STUCK


def test_alarms_without_an_end_are_looked_through_to_a_bound(cloud: Cloud) -> None:
    """And that there are more is said."""
    cloud.answers["DescribeAlarms"] = lambda _: {"MetricAlarms": [], "NextToken": "more"}
    found = look_at(cloud)
    assert len(found.not_read) == 2
    assert "beyond the first 1,000: they are not looked at" in found.not_read[0]


def test_alarms_that_cannot_be_read_leave_the_rest_told(cloud: Cloud) -> None:
    """With the reason; how targets are is told all the same."""
    cloud.fail("DescribeAlarms", "AccessDenied")
    found = look_at(cloud)
    assert found.systems[0].targets
    [why] = found.not_read
    assert why.startswith("alarms: ")
    assert "AccessDenied" in why


def record(number: int, **more: Any) -> Incident:
    """An incident of the day before."""
    at = NOW - timedelta(days=1)
    facts: dict[str, Any] = {
        "id": f"20261126T060{number}-00000000",
        "remediation": "cure",
        "target": f"{QUEUE}-{number}",
        "group": "post",
        "opened_at": at,
        "look_at": at,
        "deadline": at + timedelta(hours=6),
        "finding": Finding("cure", QUEUE, "it hurts"),
    }
    return Incident(**(facts | more))


def test_what_is_open_and_what_was_left_out_is_told(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended and is back is in neither list; a record that nobody can read is said."""
    ended = {"phase": Phase.CLOSED, "verdict": Verdict.ESCALATED, "closed_at": NOW}
    records = {
        "open": record(1),
        "lent": record(2, lent=True),
        "left out": record(3, lent=True, **ended),
        "over": record(4, **ended),
        "unreadable": None,
    }
    monkeypatch.setattr(Incidents, "open_ids", lambda *_, **__: ["open", "lent", "over"])
    monkeypatch.setattr(Incidents, "ended", lambda *_, **__: ["left out", "over", "unreadable"])
    monkeypatch.setattr(Incidents, "records", lambda _, ids: (records[each] for each in ids))
    found = look_at(cloud)
    assert [each.target[-1] for each in found.incidents] == ["1", "2"]
    assert [(each.target[-1], each.left_out) for each in found.lent] == [("2", False), ("3", True)]
    assert found.not_read == ("records that nobody can read: 1",)


# -- what reading takes ----------------------------------------------------------------------------------------------


def test_what_reading_a_target_takes_is_said_beforehand() -> None:
    """A role is made from it: HeadBucket and the archive of a bucket of triggers, the targets of a load balancer."""
    service = Arn.parse(f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod/api")
    queue, dead = Arn.parse(QUEUE), Arn.parse(f"{QUEUE}-dlq")
    triggers = Triggers("triggers/", "archive/", (Customer("acme", queue, dead, service),))
    bucket = Target(Arn.parse("arn:aws:s3:::bucket"), "post", triggers=triggers)
    assert [*needs(bucket)] == [
        ("s3:ListBucket", "arn:aws:s3:::bucket"),
        ("s3:ListBucket", "arn:aws:s3:::bucket/archive/"),
    ]
    assert [each.key for each in reads(bucket) if hasattr(each, "key")] == [str(service), str(queue), str(dead)]
    group = Arn.parse(f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/api/1")
    api = Target(service, "post", target_group=group, queue=queue)
    assert [*needs(api)] == [("elasticloadbalancing:DescribeTargetHealth", str(group))]
    assert [each.key for each in reads(api) if hasattr(each, "key")] == [str(service), str(queue)]
