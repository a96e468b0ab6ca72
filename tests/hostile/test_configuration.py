"""A configuration that was made to hurt is refused, soon, with what to do about it; and none can say a pattern."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from nightshift.config import (
    MAX_BYTES,
    MAX_ITEMS,
    MAX_JSON_BYTES,
    MAX_PROBLEMS,
    ConfigErrors,
    from_json,
    json_schema,
    parse_toml,
    to_json,
)
from nightshift.letters import Rule
from nightshift.remediations import REMEDIATIONS
from pydantic import ValidationError

HEAD = """name = "prod"
account = "111122223333"
region = "eu-central-1"
[notify]
emails = ["oncall@example.com"]
[remediations.sqs-dlq-backlog]
"""
SYSTEM = """[[systems]]
name = "a"
[[systems.targets]]
arn = "arn:aws:sqs:eu-central-1:111122223333:q"
"""
WHOLE = HEAD + SYSTEM
M = 1_000_000
SOON = 15.0
"""seconds on a machine that others use too; a tenth of that on one of our own"""

BOMBS = {
    "deep lists": (HEAD + "x = " + "[" * M, "nested too deeply"),
    "deep tables": (HEAD + "x = " + "{a=" * (M // 3), "nested too deeply"),
    "a deep key": ("a." * (M // 2) + "a = 1", "nested too deeply"),
    "too large": (WHOLE + "#" * MAX_BYTES, "is larger than"),
    "a number of a million digits": (HEAD + "threshold = " + "1" * M, "a number has thousands of digits"),
    "a number of five thousand digits": (HEAD + "threshold = " + "1" * 5000, "a number has thousands of digits"),
    "a number of a hundred digits": (HEAD + "threshold = " + "1" * 100 + "\n" + SYSTEM, "more than 64 bits"),
    "not a number": (HEAD + "threshold = nan\n" + SYSTEM, "no number to compare with"),
    "infinity": (HEAD + "threshold = inf\n" + SYSTEM, "no number to compare with"),
    "a key twice": (HEAD + 'mode = "observe"\nmode = "auto"\n' + SYSTEM, "It stands twice"),
    "a table twice": (HEAD + "[remediations.sqs-dlq-backlog]\n" + SYSTEM, "It stands twice"),
    "half a character": (WHOLE.replace('"prod"', '"\\ud800"'), "is not TOML"),
    "a control in a name": (WHOLE.replace('"a"', '"a\\u0007"'), "invisible characters"),
    "a control in a rule's name": (
        HEAD + 'rules = [{name="a\\u001b[2J", means="poison", when={test="not-json"}}]\n' + SYSTEM,
        "invisible characters",
    ),
    "a name turned round": (HEAD + 'trusted = ["\u202egnp"]\n' + SYSTEM, "invisible characters"),
    "a control in a key": (HEAD + '"a\\nb" = 1\n' + SYSTEM, "a name with invisible characters"),
    "a raw control": (WHOLE + 'x = "\x00"', "is not TOML"),
    "a huge list": (HEAD + "rules = [" + "{}," * 200_000 + "]\n" + SYSTEM, f"more than {MAX_ITEMS}"),
    "a huge list of names": (WHOLE + "remediations = [" + '"x",' * 30_000 + "]", f"more than {MAX_ITEMS}"),
    "a huge list of addresses": (WHOLE.replace('"oncall@example.com"', '"a",' * 30_000), f"more than {MAX_ITEMS}"),
    "a huge table": (HEAD + "".join(f"k{n}=1\n" for n in range(30_000)) + SYSTEM, f"more than {MAX_ITEMS}"),
    "huge numbers of systems": (HEAD + "[[systems]]\n" * 30_000, f"more than {MAX_ITEMS}"),
    "everything wrong": (HEAD + "[[systems]]\n" * MAX_ITEMS, "is missing"),
    "a date": (HEAD + "cooldown = 07:32:00\n" + SYSTEM, "is a date or time"),
    "no end of a string": (HEAD + 'x = "' + "a" * M, "is not TOML"),
}


@pytest.mark.hostile(29)
@pytest.mark.parametrize("text, problem", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_with_its_place_and_a_remedy(text: str, problem: str) -> None:
    """Soon, in few words, on its line where it has one; nothing of it is believed."""
    begun = time.perf_counter()
    with pytest.raises(ConfigErrors) as caught:
        parse_toml(text, path="prod.toml")
    assert time.perf_counter() - begun < SOON
    error = caught.value
    assert any(problem in str(each) for each in error.problems), str(error)
    assert all(each.path == "prod.toml" and each.remedy for each in error.problems)
    assert error.line or problem == "is larger than"
    assert len(error.problems) <= MAX_PROBLEMS
    assert len(str(error)) < 50_000
    assert str(error).isprintable() or "\n" in str(error)
    assert not any(ord(char) < 32 and char != "\n" for char in str(error))


@pytest.mark.hostile(29)
def test_what_yaml_guesses_toml_does_not() -> None:
    """Times, yes and no, numbers with leading zeros: text is text only in quotes, and an account's number is text."""
    assert parse_toml(WHOLE.replace("111122223333", "000012345678"), path="x").account == "000012345678"
    for guess in ("account = 0123", "account = 111122223333", 'protected = "no"', "mode = NO", "cooldown = 22:00"):
        with pytest.raises(ConfigErrors):
            parse_toml(f"{guess}\n{WHOLE.partition(chr(10))[2]}", path="x")


@pytest.mark.hostile(29)
@pytest.mark.parametrize(
    "broken",
    [
        lambda text: "[" * 500_000,
        lambda text: text.replace('"name":"prod"', '"name":"prod","name":"prod"'),
        lambda text: text.replace('"threshold":1', '"threshold":NaN'),
        lambda text: text.replace('"threshold":1', '"threshold":1e999'),
        lambda text: text.replace('"threshold":1', f'"threshold":{"1" * 5000}'),
        lambda text: text.replace('"threshold":1', f'"threshold":{"[" * 30}{"]" * 30}'),
        lambda text: text.replace('"name":"prod"', '"name":"\\ud800"'),
        lambda text: text.replace('"name":"prod"', '"name":"prod\\u0000"'),
        lambda text: text.replace('"rules":[', '"rules":[' + "{}," * 200_000),
        lambda text: text + " " * MAX_JSON_BYTES,
        lambda text: b"\xff" + text.encode(),
    ],
    ids=range(11),
)
def test_what_is_shipped_is_read_as_strictly(broken: Any) -> None:
    """The configuration layer is made by us; whatever it is not, stops the function before it looks at anything."""
    text = to_json(parse_toml(WHOLE, path="x"))
    assert from_json(text).name == "prod"
    assert broken(text) != text
    begun = time.perf_counter()
    with pytest.raises(ConfigErrors):
        from_json(broken(text), path="config.json")
    assert time.perf_counter() - begun < SOON


def _settings(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        for key, inner in schema.items():
            if key == "properties":
                yield from ((each, facts) for each, facts in inner.items())
            yield from _settings(inner, key)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _settings(inner, name)


@pytest.mark.hostile(30)
def test_no_setting_is_a_pattern() -> None:
    """A pattern of somebody's, on somebody else's text, can run for hours: there is no place to write one."""
    settings = list(_settings(json_schema()))
    assert len(settings) > 50
    for name, facts in settings:
        assert facts.get("format") != "regex", name
        assert not any(word in name.lower() for word in ("regex", "regexp", "pattern", "glob", "match", "expression"))
    tests = {
        facts["const"]
        for model in json_schema()["$defs"].values()
        if "const" in (facts := model.get("properties", {}).get("test", {}))
    }
    assert tests == {"not-json", "key-missing", "json-is-not", "json-equals", "attribute-equals", "body-contains"}


@pytest.mark.hostile(30)
def test_what_a_rule_says_is_taken_by_the_letter_and_takes_no_time() -> None:
    """A text that would be a pattern is a text; looking for it takes as long as the body is."""
    with pytest.raises(ValidationError):
        Rule.model_validate({"name": "r", "means": "poison", "when": {"test": "regex", "text": "(a+)+$"}})
    from nightshift.letters import Letter

    rule = Rule.model_validate(
        {"name": "r", "means": "poison", "when": {"test": "body-contains", "text": "(a+)+$" + "a" * 200}}
    )
    begun = time.perf_counter()
    assert not rule.when.holds(Letter("m", "h", "a" * 1_000_000 + "!"))
    assert time.perf_counter() - begun < 2
    assert rule.when.holds(Letter("m", "h", "x(a+)+$" + "a" * 200))


@pytest.mark.hostile(30)
def test_no_remediation_makes_a_pattern_of_what_it_is_told() -> None:
    """Patterns are compiled once, when a module is loaded, from our own text."""
    import ast
    import inspect

    for module in {inspect.getmodule(each) for each in REMEDIATIONS}:
        assert module is not None
        tree = ast.parse(inspect.getsource(module))
        inside = [node for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) for node in ast.walk(each)]
        assert not [node for node in inside if isinstance(node, ast.Name) and node.id == "re"]


@pytest.mark.hostile(21)
def test_nothing_selected_is_nothing_done() -> None:
    """No wildcard, no selector and no empty list stands for everything."""
    for arn in ("*", "arn:aws:sqs:eu-central-1:111122223333:*", "arn:aws:sqs:*:111122223333:q", ""):
        with pytest.raises(ConfigErrors):
            parse_toml(WHOLE.replace("arn:aws:sqs:eu-central-1:111122223333:q", arn), path="x")
    for text in (HEAD, HEAD + "systems = []", HEAD + '[[systems]]\nname = "a"\ntargets = []'):
        with pytest.raises(ConfigErrors):
            parse_toml(text, path="x")


def test_the_shipped_form_is_what_is_tried_here() -> None:
    """The replacements above are about text that is there."""
    text = to_json(parse_toml(WHOLE, path="x"))
    assert all(part in text for part in ('"threshold":1', '"name":"prod"', '"rules":['))
    assert json.loads(text)["name"] == "prod"
