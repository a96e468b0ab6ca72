"""The account that the readers' tests read."""

from collections.abc import Iterator

import pytest
from moto import mock_aws

from tests.nightshift.signals.cloud import Cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An empty account in this process."""
    with mock_aws():
        yield Cloud()
