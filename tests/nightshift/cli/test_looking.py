"""Commands that look write nothing, say unknown where they cannot see, and name what would hold a cure back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nightshift.aws import Aws, Serial
from nightshift.cli import looking
from nightshift.cli.deployment import Looking, NotDeployed
from nightshift.config import json_schema
from nightshift.errors import Undeclared
from nightshift.incidents import Incidents
from nightshift.model import SwitchState

from tests.nightshift.cli.desk import ME, NOW, QUEUE, TOML, Desk, Toy
from tests.nightshift.signals.cloud import REGION

TAGS = {"auto-remediation": "enabled"}
EXPLAIN = ("explain", "toy-backlog", "letters")


def scan(desk: Desk, *words: str) -> dict[str, dict[str, object]]:
    """What a scan tells a machine, by the target's name."""
    result = desk.run("scan", "--config", str(desk.config), "--json", *words)
    assert result.exit_code == 0, result.output
    return {look["target"].rpartition(":")[2]: look for look in json.loads(result.stdout)["looks"]}


def explain(desk: Desk, *words: str) -> dict[str, object]:
    """What an explanation tells a machine."""
    result = desk.run(*EXPLAIN, "--config", str(desk.config), "--json", *words)
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def guards(told: dict[str, object]) -> list[str]:
    """The guardrails that would speak, in order."""
    refusals = told["refusals"]
    assert isinstance(refusals, list)
    return [refusal["guard"] for refusal in refusals]


# -- scan ------------------------------------------------------------------------------------------------------------


def test_a_scan_says_of_every_target_how_it_is(desk: Desk) -> None:
    """Sick with its symptom, unknown with its reason, each with the mode that counts."""
    desk.letters(messages=2)
    looks = scan(desk)
    assert looks["letters"]["health"] == "sick"
    assert looks["letters"]["seen"] == "2 wait"
    assert looks["letters"]["mode"] == "approve"
    assert looks["parcels"]["health"] == "unknown"
    assert looks["parcels"]["seen"] == "there is no such queue"


def test_what_cannot_be_read_is_unknown_with_its_reason(desk: Desk) -> None:
    """One target that is denied does not hide the other."""
    desk.letters()
    desk.letters("parcels")
    desk.cloud.fail("GetQueueAttributes", "AccessDenied", lambda params: params["QueueUrl"].endswith("letters"))
    looks = scan(desk)
    assert looks["letters"]["health"] == "unknown"
    assert "AccessDenied" in str(looks["letters"]["seen"])
    assert looks["parcels"]["health"] == "healthy"
    assert "AccessDenied" in desk.run("scan", "--config", str(desk.config)).stdout


def test_a_scan_needs_no_deployment_and_writes_nothing(desk: Desk) -> None:
    """Who am I, and the reads themselves: that is all it asks AWS."""
    desk.letters(messages=2)
    scan(desk)
    assert desk.wrote() == set()
    assert set(desk.cloud.count) == {"GetCallerIdentity", "GetQueueAttributes"}


def test_a_sick_target_fails_a_scan_only_when_asked(desk: Desk) -> None:
    """What is unknown does not fail it: it is not known to be sick."""
    desk.letters(messages=1)
    assert desk.run("scan", "--config", str(desk.config)).exit_code == 0
    assert desk.run("scan", "--config", str(desk.config), "--fail-on-sick").exit_code == 1
    desk.cloud.session.client("sqs").purge_queue(QueueUrl=f"https://sqs.{REGION}.amazonaws.com/123456789012/letters")
    assert desk.run("scan", "--config", str(desk.config), "--fail-on-sick").exit_code == 0


def test_a_scan_on_a_terminal_is_a_table_and_a_sum(desk: Desk) -> None:
    """Every look is a row."""
    desk.letters(messages=2)
    shown = desk.run("scan", "--config", str(desk.config)).stdout
    for part in ("TARGET", "letters", "post", "toy-backlog", "sick", "2 wait", "unknown", "Nothing was written."):
        assert part in shown
    assert "2 targets, 2 looks: 0 healthy, 1 sick, 1 unknown." in shown


def test_the_account_must_be_the_configuration_s(desk: Desk) -> None:
    """Somebody else's credentials would see somebody else's queue of the same name."""
    desk.config.write_text(TOML.replace("123456789012", "210987654321"), encoding="utf-8")
    result = desk.run("scan", "--config", str(desk.config))
    assert result.exit_code == 1
    assert f"of account 123456789012 ({ME})" in result.stderr
    assert "is for 210987654321" in result.stderr
    assert set(desk.cloud.count) == {"GetCallerIdentity"}


# -- explain ---------------------------------------------------------------------------------------------------------


def test_explaining_names_the_plan_and_every_guardrail_in_their_order(desk: Desk) -> None:
    """All of them, not only the first."""
    desk.deploy()
    desk.letters(messages=2)
    told = explain(desk)
    assert told["health"] == "sick"
    assert told["cause"] == "nobody reads them"
    assert guards(told) == ["opted-in", "kill-switch", "approval"]
    assert told["would_act"] is False
    shown = desk.run(*EXPLAIN, "--config", str(desk.config)).stdout
    for part in ("SEEN   sick: 2 wait", "CAUSE  nobody reads them", "sqs:PurgeQueue", "1. opted-in", "3. approval"):
        assert part in shown
    assert "It would not act: opted-in holds it back." in shown


def test_explaining_writes_nothing_and_assumes_no_role(desk: Desk) -> None:
    """Credentials that may only read are enough."""
    desk.deploy()
    desk.letters(messages=2, tags=TAGS)
    explain(desk)
    assert desk.wrote() == set()


def test_explaining_what_only_people_can_cure_says_what_they_should_do(desk: Desk) -> None:
    """And that nothing would be done."""
    desk.deploy()
    desk.letters(messages=1, tags=TAGS)
    told = explain(desk)
    assert (told["advice"], told["plan"], told["would_act"]) == (["read them"], None, False)
    shown = desk.run(*EXPLAIN, "--config", str(desk.config)).stdout
    assert "ONLY PEOPLE can cure this:" in shown
    assert "Nothing would be done; it would tell people." in shown


def test_a_plan_that_only_waits_for_a_yes_would_ask(desk: Desk) -> None:
    """Waiting for a person is not being held back."""
    desk.deploy()
    desk.letters(messages=2, tags=TAGS)
    desk.store.set_switch(SwitchState.ON, reason="go", by=ME, now=NOW)
    told = explain(desk)
    assert guards(told) == ["approval"]
    assert told["conclusion"] == "It would ask for approval of this plan."


def test_a_plan_that_nothing_holds_back_would_act(desk: Desk) -> None:
    """And that is said in so many words."""
    desk.deploy()
    desk.letters(messages=2, tags=TAGS)
    desk.config.write_text(TOML.replace('"approve"', '"auto"'), encoding="utf-8")
    desk.store.set_switch(SwitchState.ON, reason="go", by=ME, now=NOW)
    result = desk.run(*EXPLAIN, "--config", str(desk.config))
    assert "It would act now." in result.stdout
    assert "deploy it to let it count" in result.stderr or not result.stderr


def test_rules_that_are_not_deployed_are_said_to_be_so(desk: Desk) -> None:
    """What is explained is this file, which may not be what runs."""
    desk.deploy(ConfigHash="000000000000")
    desk.letters()
    result = desk.run(*EXPLAIN, "--config", str(desk.config))
    assert result.exit_code == 0
    assert "follows configuration 000000000000" in result.stderr


def test_what_nothing_is_deployed_for_is_explained_as_a_first_night(desk: Desk) -> None:
    """Without a table, the kill switch was never on."""
    desk.letters(messages=2, tags=TAGS)
    result = desk.run(*EXPLAIN, "--config", str(desk.config))
    assert result.exit_code == 0, result.output
    assert "there is no stack nightshift-prod" in result.stderr
    assert "1. kill-switch" in result.stdout
    assert desk.wrote() == set()


def test_a_stack_that_was_named_must_be_there(desk: Desk) -> None:
    """Only the derived one may be missing."""
    result = desk.run(*EXPLAIN, "--config", str(desk.config), "--stack", "other")
    assert result.exit_code == 1
    assert "there is no stack other" in result.stderr


@pytest.mark.parametrize(
    "messages, said",
    [
        (0, "Nothing would be done: the target is healthy."),
        (3, "Nothing would be done: toy: too many to throw away (asked again after 5 min)"),
    ],
)
def test_what_would_not_even_be_planned_says_why(desk: Desk, messages: int, said: str) -> None:
    """Health, or the diagnosis' own refusal."""
    desk.deploy()
    desk.letters(messages=messages, tags=TAGS)
    told = explain(desk)
    assert (told["conclusion"], told["plan"]) == (said, None)
    assert said in desk.run(*EXPLAIN, "--config", str(desk.config)).stdout


def test_what_cannot_be_seen_is_never_acted_on(desk: Desk) -> None:
    """Unknown is neither healthy nor sick."""
    desk.deploy()
    told = explain(desk)
    assert told["conclusion"] == "Nothing would be done: what cannot be seen is never acted on."


@pytest.mark.parametrize(
    "words, said",
    [
        (("toy-backlogs", "letters"), "Did you mean toy-backlog?"),
        (("toy-backlog", "leters"), "Did you mean letters?"),
        (("toy-backlog", "nothing"), "It takes letters, parcels"),
    ],
)
def test_a_name_that_is_not_there_gets_a_suggestion(desk: Desk, words: tuple[str, str], said: str) -> None:
    """The nearest name, and what there is."""
    result = desk.run("explain", *words, "--config", str(desk.config))
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_target_may_be_named_by_its_arn(desk: Desk) -> None:
    """Names may repeat; ARNs do not."""
    desk.letters()
    result = desk.run("explain", "toy-backlog", QUEUE, "--config", str(desk.config), "--json")
    assert json.loads(result.stdout)["target"] == QUEUE


def test_whoever_only_looks_cannot_write_whatever_code_asks_for(desk: Desk) -> None:
    """It is not a matter of which code runs: the way to AWS itself refuses."""
    looking_only = Looking(REGION, session=desk.cloud.session, run=Serial())
    for operation in ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"):
        with pytest.raises(Undeclared):
            looking_only.own("dynamodb", operation, TableName=desk.table)
    with pytest.raises(Undeclared):
        looking_only.assume("arn:aws:iam::123456789012:role/x")
    assert Incidents(looking_only, desk.table).switch().state is None
    nowhere: Aws = NotDeployed(REGION, session=desk.cloud.session, run=Serial())
    assert Incidents(nowhere, "").switch().state is None
    assert Incidents(nowhere, "").counters("scope", ["a", "b"]) == {"a": 0, "b": 0}
    with pytest.raises(Undeclared):
        nowhere.own("dynamodb", "Query")


# -- validate --------------------------------------------------------------------------------------------------------


def test_every_problem_of_a_file_is_said_with_its_line(desk: Desk) -> None:
    """A line for each, in the order of the file."""
    desk.config.write_text(TOML.replace('"auto"', '"always"').replace('"oncall@example.com"', ""), encoding="utf-8")
    result = desk.run("validate", str(desk.config))
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert f"{desk.config}:7: " in lines[0]
    assert f"{desk.config}:10: " in lines[1]


def test_a_machine_gets_every_problem_as_data(desk: Desk) -> None:
    """Path, line, problem and remedy apart."""
    desk.config.write_text(TOML.replace('"auto"', '"always"'), encoding="utf-8")
    result = desk.run("validate", str(desk.config), "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["valid"]) == (1, False)
    (problem,) = told["problems"]
    assert (problem["path"], problem["line"]) == (str(desk.config), 10)
    assert problem["remedy"]


def test_a_valid_file_says_what_it_comes_to(desk: Desk) -> None:
    """Which remediation takes which target, how far, and why not further; no AWS is asked."""
    result = desk.run("validate", str(desk.config))
    assert result.exit_code == 0, result.output
    for part in ("prod, 123456789012/eu-west-1", "letters", "approve (target approve, remediation auto)", "4 a day"):
        assert part in result.stdout
    assert "1 in mode observe, 1 in mode approve, 0 in mode auto" in result.stdout
    assert not desk.cloud.calls


def test_a_machine_gets_the_policy_and_every_mode(desk: Desk) -> None:
    """The policy as it would be shipped, and the modes that follow from it."""
    told = json.loads(desk.run("validate", str(desk.config), "--json").stdout)
    assert told["valid"]
    assert told["modes"][0] == {"target": QUEUE, "remediation": "toy-backlog", "mode": "approve"}
    assert told["limits"]["per_target_per_day"] == 4


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_schema_is_that_of_the_configuration(desk: Desk, words: tuple[str, ...]) -> None:
    """Alone on stdout, so that it can be redirected into a file."""
    result = desk.run("validate", "--schema", *words)
    assert json.loads(result.stdout) == json_schema(registry=(Toy,))


def test_validating_nothing_is_wrong_usage(desk: Desk) -> None:
    """There is no default file."""
    assert desk.run("validate").exit_code == 2


def test_a_bare_name_means_the_file_that_would_be_deployed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for ``cdk deploy -c config=night``."""
    root = desk.config.parent
    (root / "config").mkdir()
    (root / "config" / "night.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.chdir(root)
    assert desk.run("validate", "night").exit_code == 0
    assert f"{Path('config', 'other.toml')}: cannot be read" in desk.run("validate", "other").stderr


def test_a_file_that_is_not_called_as_its_deployment_is_told(desk: Desk) -> None:
    """Reports print ``--config prod``: a person who types that finds no other file."""
    prod = desk.config.with_name("prod.toml")
    prod.write_text(desk.config.read_text(encoding="utf-8"), encoding="utf-8")
    other = desk.config.with_name("other.toml")
    other.write_text(desk.config.read_text(encoding="utf-8"), encoding="utf-8")
    assert desk.run("validate", str(prod)).stderr == ""
    result = desk.run("validate", str(other))
    assert result.exit_code == 0
    assert "config/prod.toml" in result.stderr


# -- remediations ----------------------------------------------------------------------------------------------------


def test_every_setting_is_listed_with_its_type_and_default(desk: Desk) -> None:
    """None is left out, and each has its description."""
    (told,) = json.loads(desk.run("remediations", "--json").stdout)["remediations"]
    assert (told["name"], told["kinds"], told["writes"]) == ("toy-backlog", ["sqs:queue"], ["sqs:PurgeQueue"])
    settings = {setting["name"]: setting for setting in told["settings"]}
    assert set(settings) == set(Toy.model_fields)
    assert (settings["mode"]["type"], settings["mode"]["default"]) == ("observe | approve | auto", "observe")
    assert (settings["cooldown"]["type"], settings["cooldown"]["default"]) == ("duration", "PT15M")
    assert (settings["max_attempts"]["type"], settings["max_attempts"]["default"]) == ("whole number > 0 <= 3", 3)
    assert all(setting["description"] for setting in told["settings"])


def test_one_remediation_is_told_with_its_case(desk: Desk) -> None:
    """The docstring of its file is its case."""
    shown = desk.run("remediations", "toy-backlog").stdout
    assert "toy-backlog: messages wait" in shown
    assert "A person at a terminal" in shown  # the docstring of its file
    assert "A person at a terminal" not in desk.run("remediations").stdout


def test_a_remediation_that_there_is_not_gets_a_suggestion(desk: Desk) -> None:
    """The nearest name."""
    result = desk.run("remediations", "toy-backlogs")
    assert result.exit_code == 1
    assert "Did you mean toy-backlog?" in result.stderr


@pytest.mark.parametrize(
    "facts, word",
    [
        ({"anyOf": [{"type": "string", "format": "duration"}, {"type": "null"}]}, "duration or nothing"),
        ({"type": "array", "items": {"type": "string"}}, "list of text"),
        ({"type": "boolean"}, "true | false"),
        ({"type": "number", "exclusiveMaximum": 1}, "number < 1"),
        ({}, "anything"),
    ],
)
def test_a_type_is_said_in_words(facts: dict[str, object], word: str) -> None:
    """Nobody has to know JSON Schema to fill in a TOML file."""
    assert looking._type(facts, {}) == word
