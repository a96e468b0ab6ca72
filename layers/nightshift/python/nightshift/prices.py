"""
What lent capacity costs: a table in the repository, prices.toml, by item and Region.

Prices travel with the code: to ask AWS's Price List on the way to every fix would be a call to another Region at the
worst of times, and whoever reviews a change sees what an estimate rests on. The table holds list prices, each with its
source and the day on which it was written down; none is taken for another's: a Region that is not listed has no known
price, and guardrail `cost` refuses what has none (docs/decisions/0017).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict, Field

_NOT_A_REGION = {"what", "source", "written"}


@dataclass(frozen=True)
class Price:
    """US dollars an hour of one ``item`` in each of its Regions: what it is, where that stands, when it was read."""

    item: str
    what: str
    source: str
    written: date
    dollars: Mapping[str, float]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    what: str = Field(min_length=1)
    source: str = Field(pattern=r"^https://aws\.amazon\.com/")
    written: date
    dollars: dict[str, float] = Field(min_length=1)


def per_hour(region: str, item: str) -> float | None:
    """US dollars for an hour of one ``item`` in ``region``; None where the table has no price for it."""
    price = table().get(item)
    return price.dollars.get(region) if price else None


@cache
def table() -> Mapping[str, Price]:
    """Every price, by item. Raises ValueError where prices.toml is not as it must be."""
    return parse(files(__package__).joinpath("prices.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Mapping[str, Price]:
    """
    A price table's text. Raises ValueError that says which item is wrong.

    A price is above zero: what is free needs none, and a nought that was forgotten would be lent without an end.
    """
    rows = tomllib.loads(text)
    prices = {}
    for item, row in rows.get("items", {}).items():
        known = {key: value for key, value in row.items() if key in _NOT_A_REGION}
        dollars = {key: value for key, value in row.items() if key not in _NOT_A_REGION}
        read = _Row.model_validate({**known, "dollars": dollars})
        for region, price in read.dollars.items():
            if not 0 < price < float("inf"):
                msg = f"prices.toml: {item} in {region} costs {price}: a price is above zero and finite"
                raise ValueError(msg)
        prices[item] = Price(item, read.what, read.source, read.written, read.dollars)
    return prices
