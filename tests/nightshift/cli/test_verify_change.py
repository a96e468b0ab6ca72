"""How far a change got: done is only what the archive proves for that very customer; what is not certain is unknown."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from nightshift.remediations import REMEDIATIONS

from tests.nightshift.cli.desk import NOW, Desk
from tests.nightshift.signals.cloud import ACCOUNT, REGION

SERVICE = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/prod"
SQS = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
NAMES = 'customer_field = "customerCode"\ntimestamp_field = "timestamp"\n'
AUDIT = f'[remediations.archive-broken]\n{NAMES}customers_field = "customers"\nsubmitted = "submitted"\n'


def toml(settings: str = AUDIT, customers: tuple[str, ...] = ("hts", "other"), log: str = "") -> str:
    """A deployment with one bucket of triggers; and one system without."""
    of = "".join(
        f'[[systems.targets.triggers.customers]]\nname = "{name}"\nqueue = "{SQS}:{name}"\n'
        f'dead_letters = "{SQS}:{name}-dlq"\nconsumer = "{SERVICE}/{name}"\n'
        for name in customers
    )
    return f"""
name = "prod"
account = "{ACCOUNT}"
region = "{REGION}"
[notify]
emails = ["oncall@example.com"]
[remediations.ecs-service-stalled]
{settings}
[[systems]]
name = "changes"
[[systems.targets]]
arn = "arn:aws:s3:::metadata"
[systems.targets.triggers]
{of}
[[systems]]
name = "others"
[[systems.targets]]
arn = "{SERVICE}/hts"
{log}
"""


class Office:
    """A desk in front of an account with a bucket of triggers; ``objects`` is its content, and when it was written."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.denied: set[str] = set()
        self.log: list[dict[str, Any]] = []
        desk.registry = REMEDIATIONS
        desk.config.write_text(toml(), encoding="utf-8")
        for operation in ("GetObject", "HeadObject"):
            desk.cloud.faults[operation] = self._fault
            desk.cloud.answers[operation] = self._object
        desk.cloud.answers["FilterLogEvents"] = lambda params: self.log[int(params.get("nextToken", 0))]
        for name in ("hts", "hts-dlq", "other", "other-dlq"):
            desk.letters(name)

    def put(self, key: str, body: object = b"", ago: float = 10) -> None:
        """Somebody writes an object, so many minutes ago."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.objects[key] = (text, NOW - timedelta(minutes=ago))

    def archive(self, *entries: object, customers: object = ("hts", "other"), ago: float = 10) -> None:
        """What the archive says of the change."""
        self.put("archive/CHG-1.json", {"modifications": entries, "customers": customers}, ago)

    def told(self, *words: str) -> tuple[int, dict[str, Any]]:
        """What is said to a machine, and the exit code."""
        result = self.desk.run("verify-change", "CHG-1", "--config", str(self.desk.config), "--json", *words)
        return result.exit_code, json.loads(result.stdout)

    def of(self, customer: str) -> dict[str, Any]:
        """What is said of one customer."""
        _, document = self.told()
        found: dict[str, Any]
        [found] = [each for each in document["buckets"][0]["customers"] if each["customer"] == customer]
        return found

    def _fault(self, params: dict[str, Any]) -> str | None:
        if params["Key"] in self.denied:
            return "AccessDenied"
        return None if params["Key"] in self.objects else "NoSuchKey"

    def _object(self, params: dict[str, Any]) -> dict[str, Any]:
        body, at = self.objects[params["Key"]]
        return {"Body": body, "LastModified": at}


@pytest.fixture
def office(desk: Desk) -> Office:
    """An office in which nothing was submitted yet."""
    return Office(desk)


def entry(kind: str = "processed", who: str | None = "hts", ago: float | None = 8) -> dict[str, str | None]:
    """An entry of the archive, of so many minutes ago."""
    at = "?" if ago is None else f"{NOW - timedelta(minutes=ago):%Y-%m-%dT%H:%M:%SZ}"
    return {"modificationType": kind, "customerCode": who, "timestamp": at}


SUBMITTED = entry("submitted", "web", 10)


def test_a_change_that_was_processed_for_everybody_it_is_for_is_done(office: Office) -> None:
    """Exit code 0, and only then; a customer that it is not for is not asked about."""
    office.archive(SUBMITTED, entry(), customers=["hts"])
    code, document = office.told()
    assert (code, document["done"], document["schema"]) == (0, True, "nightshift.verify-change/1")
    [bucket] = document["buckets"]
    assert bucket["archive"] == {"read": True, "seen": "2 entries", "at": "2026-11-20T02:57:42+00:00"}
    assert bucket["customers"] == [
        {
            "customer": "hts",
            "verdict": "done",
            "why": bucket["customers"][0]["why"],
            "processed_at": "2026-11-20T02:59:42+00:00",
            "trigger": "gone",
            "queue": 0,
            "dead_letters": 0,
            "log": [],
            "log_not_read": "no log group is configured for its consumer",
            "mail": None,
        }
    ]


def test_one_customer_that_is_not_done_is_enough(office: Office) -> None:
    """Another customer's entry proves nothing."""
    office.archive(SUBMITTED, entry(), ago=20)
    code, document = office.told()
    assert (code, document["done"]) == (1, False)
    assert {each["customer"]: each["verdict"] for each in document["buckets"][0]["customers"]} == {
        "hts": "done",
        "other": "stuck",
    }


@pytest.mark.parametrize(
    "entries, trigger, archived, verdict, why",
    [
        ([SUBMITTED, entry()], 5, 10, "in flight", "it is not processed, and its trigger stands"),
        ([SUBMITTED, entry()], 9, 10, "in flight", "it was processed, and its trigger still stands"),
        ([entry(ago=30)], 31, 30, "stuck", "it was processed, and its trigger still stands"),
        ([SUBMITTED], 16, 10, "stuck", "it is not processed, and its trigger stands"),
        ([SUBMITTED], 15, 10, "in flight", "it is not processed, and its trigger stands"),
        ([SUBMITTED], None, 15, "in flight", "it was written a moment ago"),
        ([SUBMITTED], None, 16, "stuck", "its event was lost"),
        ([SUBMITTED, entry(ago=-9)], None, 16, "unknown", "may or may not be about it"),
        ([SUBMITTED, entry(ago=None)], None, 16, "unknown", "may or may not be about it"),
        ([SUBMITTED, entry(who=None)], None, 16, "unknown", "may or may not be about it"),
        ([entry(), entry("submitted", "web", 7)], None, 16, "stuck", "its event was lost"),
        ([entry(), entry("submitted", "web", None)], None, 16, "unknown", "may be about it once more"),
        ([entry(), {"modificationType": 3}], None, 16, "unknown", "may be about it once more"),
        ([entry(), entry("approved", "web", 1)], None, 16, "done", "its trigger is gone"),
        ([SUBMITTED, entry(), entry(who="other", ago=1)], None, 16, "done", "its trigger is gone"),
    ],
)
def test_what_the_archive_and_the_trigger_come_to(
    office: Office, entries: list[object], trigger: float | None, archived: float, verdict: str, why: str
) -> None:
    """An entry counts for the writing of the trigger that it came after, and for the time that it was handed in."""
    office.archive(*entries, ago=archived)
    if trigger is not None:
        office.put("customers/hts/CHG-1.json", ago=trigger)
    said = office.of("hts")
    assert (said["verdict"], why in said["why"]) == (verdict, True), said["why"]


def test_where_nobody_says_what_hands_a_change_in_any_later_entry_may_be_it(office: Office) -> None:
    """Without a later one it is done."""
    office.desk.config.write_text(toml(AUDIT.replace('submitted = "submitted"', "")), encoding="utf-8")
    office.archive(SUBMITTED, entry())
    assert office.of("hts")["verdict"] == "done"
    office.archive(SUBMITTED, entry(), entry("approved", "web", 1))
    assert office.of("hts")["verdict"] == "unknown"


@pytest.mark.parametrize(
    "settings, customers, verdict",
    [
        (f"[remediations.s3-trigger-stuck]\n{NAMES}", ("hts", "other"), "done"),
        ("[remediations.s3-trigger-stuck]\n", ("hts", "other"), "unknown"),
        ("[remediations.s3-trigger-stuck]\n" + NAMES.partition("\n")[2], ("hts",), "done"),
        ("[remediations.s3-access-denied]\n", ("hts",), "unknown"),
    ],
)
def test_the_archives_words_are_those_of_the_remediations(
    office: Office, settings: str, customers: tuple[str, ...], verdict: str
) -> None:
    """Where nobody has said them nothing is proven; one customer alone needs no name."""
    office.desk.config.write_text(toml(settings, customers), encoding="utf-8")
    office.archive(entry())
    assert office.of("hts")["verdict"] == verdict


def test_what_is_not_there_or_cannot_be_read_is_unknown(office: Office) -> None:
    """But a trigger without an object in the archive is stuck: nobody can process it."""
    assert office.of("hts")["why"] == "the archive has no object for it"
    office.put("customers/hts/CHG-1.json", ago=1)
    assert office.of("hts")["verdict"] == "stuck"
    office.put("archive/CHG-1.json", b"{")
    assert "cannot be read" in office.of("hts")["why"]
    office.denied = {"archive/CHG-1.json"}
    assert "AccessDenied" in office.of("hts")["why"]
    office.denied = {"customers/hts/CHG-1.json"}
    said = office.of("hts")
    assert (said["verdict"], said["trigger"]) == ("unknown", "not known")
    office.desk.cloud.fail("GetQueueAttributes", "AccessDenied")
    assert (office.of("hts")["queue"], office.of("hts")["dead_letters"]) == (None, None)


def test_the_newest_lines_of_the_consumers_log_are_shown(office: Office) -> None:
    """Where the configuration names its log group; only lines that name the change, over all pages, and the last."""
    log = f'log_group = "arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/hts"\n'
    office.desk.config.write_text(toml(log=log), encoding="utf-8")
    office.archive(SUBMITTED, entry())
    lines = [{"message": f"CHG-1 step {number}"} for number in range(4)]
    office.log = [{"events": lines, "nextToken": "1"}, {"events": [], "nextToken": "2"}, {"events": [{}]}]
    said = office.of("hts")
    assert said["log"] == ["CHG-1 step 2", "CHG-1 step 3", ""]
    assert (said["log_not_read"], said["mail"]) == (None, None)
    [asked, *_] = office.desk.cloud.asked("FilterLogEvents")
    assert (asked["logGroupName"], asked["filterPattern"]) == ("/ecs/hts", '"CHG-1"')
    assert asked["startTime"] == int((NOW - timedelta(hours=24)).timestamp() * 1000)
    office.log = [{"events": [{"message": "sent mail of CHG-1 to jane@example.com"}, {"message": "done\x1b[2J"}]}]
    said = office.of("hts")
    assert "sent mail of CHG-1" in said["mail"]
    assert "jane" not in said["mail"]
    office.log = [{"events": [], "nextToken": "0"}]
    assert "only the first 10 pages" in office.of("hts")["log_not_read"]
    office.desk.cloud.fail("FilterLogEvents", "AccessDeniedException")
    assert "the log cannot be read" in office.of("hts")["log_not_read"]


def test_a_person_gets_a_table(office: Office) -> None:
    """With what was read, and what was not."""
    log = f'log_group = "arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/hts"\n'
    office.desk.config.write_text(toml(log=log), encoding="utf-8")
    office.archive(SUBMITTED, entry())
    office.log = [{"events": [{"message": "CHG-1 done"}]}]
    office.desk.cloud.fail("GetQueueAttributes", "AccessDenied", when=lambda params: "dlq" in params["QueueUrl"])
    shown = office.desk.run("verify-change", "CHG-1", "--config", str(office.desk.config)).stdout
    assert "CHG-1 in metadata (changes): 2 entries, written at" in shown
    assert "hts: CHG-1 done" in shown
    assert "hts: no line of the log speaks of mail." in shown
    assert "other: no log group is configured for its consumer." in shown
    assert "?" in shown
    assert shown.endswith("Nothing was written.\n")
    assert office.desk.wrote() <= {"FilterLogEvents"}


@pytest.mark.parametrize(
    "words, said",
    [
        (["CHG/1"], "is no id of a change"),
        (["CHG-1", "--system", "change"], "Did you mean changes?"),
        (["CHG-1", "--system", "others"], "no bucket of triggers is registered there"),
    ],
)
def test_what_cannot_be_meant_is_declined(office: Office, words: list[str], said: str) -> None:
    """And nothing is asked of AWS."""
    result = office.desk.run("verify-change", *words, "--config", str(office.desk.config))
    assert result.exit_code == 1
    assert said in result.stderr
    assert not office.desk.cloud.calls


def test_one_system_alone(office: Office) -> None:
    """The one that was named."""
    office.archive(SUBMITTED, entry(), customers=["hts"])
    assert office.told("--system", "changes")[0] == 0
