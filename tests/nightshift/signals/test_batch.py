"""One bad item does not spoil the batch it is asked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Rejected
from nightshift.model import ResourceRead
from nightshift.remediation import Unread
from nightshift.signals.batch import Answer, Piece, chunks, halving, invalid


@given(st.integers(1, 600), st.data())
def test_bad_items_are_singled_out(size: int, data: st.DataObject) -> None:
    """Up to two bad items, and they alone, are unknown; more never cost more calls; none is left out."""
    items = [ResourceRead("test", str(number)) for number in range(size)]
    bad = set(data.draw(st.lists(st.sampled_from(items), max_size=6, unique=True)))
    calls = 0

    def ask(part: Sequence[ResourceRead]) -> Mapping[ResourceRead, Answer]:
        nonlocal calls
        calls += 1
        if bad.intersection(part):
            raise Rejected("test:Ask", "ValidationError", "of one")
        return dict.fromkeys(part, None)

    answers = halving(ask, items, one_spoils_all=invalid)

    unread = {item for item, answer in answers.items() if isinstance(answer, Unread)}
    assert answers.keys() == set(items)
    assert unread >= bad
    assert unread == bad or len(bad) > 2
    assert calls <= 1 + 4 * (size - 1).bit_length()


def test_an_error_that_concerns_all_is_not_taken_apart() -> None:
    """What would be refused of each half as well is asked once."""
    calls = []

    def ask(part: Sequence[ResourceRead]) -> Mapping[ResourceRead, Answer]:
        calls.append(len(part))
        raise Rejected("test:Ask", "ExpiredToken")

    items = [ResourceRead("test", str(number)) for number in range(8)]
    answers = halving(ask, items, one_spoils_all=invalid)
    assert calls == [8]
    assert all(isinstance(answer, Unread) for answer in answers.values())


@given(st.integers(0, 2_000), st.integers(1, 600))
def test_chunks_lose_nothing(count: int, size: int) -> None:
    """The chunks are the items in their order, in as few chunks as there can be."""
    items = list(range(count))
    parts = list(chunks(items, size))
    assert [item for part in parts for item in part] == items
    assert len(parts) == -(-count // size)


def test_a_piece_answers_for_its_own_queries_only() -> None:
    """What was not asked is not answered, and what was not answered is unknown."""
    mine, missed, foreign = (ResourceRead("test", name) for name in ("mine", "missed", "foreign"))
    piece = Piece((mine, missed), lambda: {mine: None, foreign: None})
    assert piece.answers() == {mine: None, missed: Unread("AWS gave no answer for it")}
