"""Somebody at a terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from tests.nightshift.cli.desk import Desk
from tests.nightshift.signals.cloud import Cloud


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk in front of an empty account, with an incident table."""
    with mock_aws():
        yield Desk(Cloud(), tmp_path)
