"""What docs/how-to/operate.md says of the credentials that each command needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["actions_on_table", "named", "rows"]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"
_OF_TRANSACTION = {"ConditionCheck": "ConditionCheckItem", "Delete": "DeleteItem", "Put": "PutItem"}
_OF_TRANSACTION |= {"Update": "UpdateItem"}


def rows() -> list[tuple[tuple[str, ...], str]]:
    """Each row but the one about all of them: the commands, and what it says."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("\n## What your credentials need\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (`[^|]+`) \| (.+) \|$", section, re.MULTILINE)
    return [(tuple(re.findall(r"`([^`]+)`", commands)), said) for commands, said in found]


def named(command: str) -> set[str]:
    """The IAM actions that the row of a command names."""
    (said,) = (said for commands, said in rows() if command in commands)
    return set(re.findall(r"`([a-z0-9-]+:[A-Za-z]+)`", said))


def actions_on_table(calls: Iterable[tuple[str, Mapping[str, Any]]], table: str) -> Iterator[str]:
    """The IAM actions that calls need on a table: of a transaction those of its items."""
    for operation, params in calls:
        if operation == "TransactWriteItems":
            for item in params["TransactItems"]:
                yield from (f"dynamodb:{_OF_TRANSACTION[kind]}" for kind in item)
        elif params.get("TableName") == table or table in (params.get("RequestItems") or {}):
            yield f"dynamodb:{operation}"
