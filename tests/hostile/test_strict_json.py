"""JSON from outside is read in the one way in which everybody reads it, or not at all; and only in one place."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import nightshift
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nightshift.letters import BUILT_IN_RULES, Letter, Meaning, Rule, meaning
from nightshift.strict_json import DEPTH, NotStrict, loads

MEGABYTE = 1024 * 1024

REFUSED = {
    "cut off": '{"a": ',
    "nothing": "",
    "two documents": "{} {}",
    "NaN": '{"a": NaN}',
    "infinity": "[-Infinity]",
    "larger than a number": "[1e999]",
    "larger than a number, spelt out": "9" * 400 + ".0",
    "a key twice": '{"mode": "observe", "mode": "auto"}',
    "a key twice, deep inside": '[{"a": [{"b": 1, "b": 1}]}]',
    "a key twice, spelt differently": '{"mode": 1, "\\u006dode": 2}',
    "two halves of keys": '{"\\ud800": 1, "\\ud801": 2}',
    "five thousand digits": "[" + "1" * 5_000 + "]",
    "deep": "[" * (DEPTH + 1) + "]" * (DEPTH + 1),
    "deep, of tables": '{"a":' * (DEPTH + 1) + "1" + "}" * (DEPTH + 1),
    "endless": "[" * 100_000,
    "a byte order mark": "\ufeff{}",
    "large": '"' + "x" * MEGABYTE + '"',
    "large in bytes": '"' + "é" * (MEGABYTE // 2) + '"',
    "a control": '"a\nb"',
}


@pytest.mark.hostile(9)
@pytest.mark.hostile(10)
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_has_no_single_meaning_is_refused_quickly_and_without_its_words(text: str) -> None:
    """One line of ours; a letter that says it is no JSON, and so poison: it is stored, whole, before it is deleted."""
    begun = time.perf_counter()
    with pytest.raises(NotStrict) as refused:
        loads(text, limit=MEGABYTE)
    assert time.perf_counter() - begun < 2
    assert refused.value.__cause__ is None
    assert len(str(refused.value)) < 100
    assert text not in str(refused.value) or not text
    assert meaning(Letter("m", "h", text), BUILT_IN_RULES, Meaning.TRANSIENT)[0] is Meaning.POISON
    guess = Rule.model_validate(
        {"name": "r", "means": "obsolete", "when": {"test": "json-equals", "path": "mode", "value": "auto"}}
    )
    assert meaning(Letter("m", "h", text), [guess], Meaning.UNKNOWN)[0] is Meaning.UNKNOWN


@pytest.mark.hostile(9)
def test_what_is_large_or_deep_within_reason_is_read() -> None:
    """As deep and as large as the limit says."""
    text = "[" * DEPTH + "]" * DEPTH
    assert json.dumps(loads(text, limit=MEGABYTE)) == text
    many = json.dumps([{"a": 1}] * 100_000)
    assert len(loads(many, limit=MEGABYTE)) == 100_000
    assert loads("9" * 4_000, limit=MEGABYTE) == int("9" * 4_000)


@pytest.mark.hostile(11)
def test_half_a_character_becomes_one_that_can_be_written() -> None:
    """In keys and values, escaped or not; two halves that belong together are their letter."""
    read = loads('{"a\\ud800": ["\\udc00x", "\\ud83d\\ude00", "\ud800"]}', limit=MEGABYTE)
    assert read == {"a\ufffd": ["\ufffdx", "\U0001f600", "\ufffd"]}
    json.dumps(read, ensure_ascii=False).encode()


TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(JSON)
def test_every_document_means_itself(document: object) -> None:
    """What has one meaning has the one that Python's own reader finds."""
    for ascii_only in (True, False):
        assert loads(json.dumps(document, ensure_ascii=ascii_only), limit=MEGABYTE) == document


@given(st.text(st.characters(exclude_categories=())) | st.binary())
@example(b"\xff")
@example("\\ud800")
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    """Nothing else is ever raised, and what is read can be written."""
    try:
        read = loads(text, limit=1000)
    except NotStrict:
        return
    json.dumps(read, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.hostile(10)
def test_nobody_reads_json_in_another_way() -> None:
    """
    Every place where text becomes data goes through this one; TOML is read in one place, by the configuration.

    But for the table of prices, which is in the package itself.
    The command line reads back what it has written itself, to show it; where a member stands in an event that was read
    so before is found by the length of what is before it.
    """
    root = Path(nightshift.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "json.loads", "json.load", "json_module.loads", "json_module.load", "json.JSONDecoder", "tomllib.loads",
                "tomllib.load", "pickle.loads", "yaml.safe_load", "yaml.load", "ast.literal_eval",
            }:  # fmt: skip
                found.add((path.relative_to(root).as_posix(), ast.unparse(node)))
    ours = {
        ("cli/looking.py", "json_module.loads"),
        ("failed_events.py", "json.JSONDecoder"),
        ("prices.py", "tomllib.loads"),
    }
    assert found - ours == {("strict_json.py", "json.loads"), ("config.py", "tomllib.loads")}
