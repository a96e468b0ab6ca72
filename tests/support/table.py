"""The incident table, as the stack makes it."""

from __future__ import annotations

from typing import Any

from sandbox import deployment

TABLE = "nightshift-incidents"


def make_table(dynamodb: Any, name: str = TABLE) -> str:
    """Make the table and its index with a DynamoDB client, and say its name."""
    deployment.make_table(dynamodb, name)
    return name
