"""One world for each test."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from sandbox import World
from sandbox.systems.document_management import DocumentManagement

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)


@pytest.fixture
def world() -> Iterator[World]:
    """A world at three in the morning."""
    with World(START, seed=1) as world:
        yield world


@pytest.fixture
def dms(world: World) -> DocumentManagement:
    """The document management system, in good health."""
    return DocumentManagement(world)
