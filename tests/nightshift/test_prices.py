"""The price table: what lent capacity costs, and what has no price."""

from __future__ import annotations

from datetime import date

import pytest
from nightshift.prices import parse, per_hour, table

ROW = """
[items.{item}]
what = "a thing"
source = "https://aws.amazon.com/thing/pricing/"
written = 2026-11-26
eu-west-1 = {price}
"""


def test_a_price_is_of_one_region() -> None:
    """The same unit costs more in Ireland than in Virginia."""
    ireland, virginia = per_hour("eu-west-1", "dynamodb-write-unit"), per_hour("us-east-1", "dynamodb-write-unit")
    assert ireland is not None
    assert virginia is not None
    assert ireland > virginia > 0


@pytest.mark.parametrize(
    "region, item", [("eu-west-1", "a-thing-nobody-sells"), ("mars-north-1", "dynamodb-write-unit"), ("", "")]
)
def test_what_is_not_in_the_table_has_no_price(region: str, item: str) -> None:
    """No price is guessed from another Region's, and none is zero: what has no price is refused."""
    assert per_hour(region, item) is None


def test_every_price_says_where_it_stands_and_when_it_was_written_down() -> None:
    """So that whoever reads a report's dollars can look them up."""
    for price in table().values():
        assert price.source.startswith("https://aws.amazon.com/"), price
        assert price.written >= date(2026, 11, 1), price
        assert price.dollars, price


def test_a_write_costs_five_times_a_read() -> None:
    """So it is in every Region: a row that breaks it was mistyped (DynamoDB pricing, provisioned capacity)."""
    writes, reads = table()["dynamodb-write-unit"].dollars, table()["dynamodb-read-unit"].dollars
    assert writes.keys() == reads.keys()
    for region, dollars in writes.items():
        assert dollars == pytest.approx(5 * reads[region]), region


@pytest.mark.parametrize("price", ["0", "0.0", "-1.0", "inf", "nan", '"0.1"', "true"])
def test_a_price_is_a_number_above_zero(price: str) -> None:
    """A nought that was forgotten would make a loan look free."""
    with pytest.raises(ValueError, match=r"eu-west-1"):
        parse(ROW.format(item="thing", price=price))


def test_a_row_without_its_source_is_refused() -> None:
    """Nobody could compare it with anything."""
    with pytest.raises(ValueError, match="source"):
        parse('[items.thing]\nwhat = "a thing"\nwritten = 2026-11-26\neu-west-1 = 1.0')


def test_an_item_without_a_region_is_refused() -> None:
    """A row that prices nothing is one that somebody has not finished."""
    with pytest.raises(ValueError, match="dollars"):
        parse('[items.thing]\nwhat = "a"\nsource = "https://aws.amazon.com/x"\nwritten = 2026-11-26')
