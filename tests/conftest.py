"""What every test in the tree runs under: no real credentials, no real account, no network."""

import os
import socket
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import pytest
from botocore.loaders import create_loader
from hypothesis import HealthCheck, settings

# How long a machine takes says nothing about the code: a busy one must not fail a test. pytest-timeout ends what hangs.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_SECURITY_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # as in worlds: where one was, moto would read them for each test
}
_NOT_OURS = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL",
)
_HERE = ("127.", "localhost", "::1")


_loader_of = cache(create_loader)


def _one_loader(paths: str | None = None) -> Any:
    """
    Speed only: every session of the process shares what one has read of the SDK's own files.

    Thousands are made, and reading is four fifths of what making a client takes.
    """
    loader = _loader_of(paths)
    loader.search_paths[:] = dict.fromkeys(loader.search_paths)  # every session of boto3 adds boto3's
    return loader


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that a test does reaches anybody: whoever wants to leave this machine fails, and so does its test."""
    for name, value in _VARIABLES.items():
        monkeypatch.setenv(name, value)
    for name in _NOT_OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(botocore.session, "create_loader", _one_loader)
    tried: list[str] = []
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX or (isinstance(address, tuple) and str(address[0]).startswith(_HERE)):
            connect(self, address)
            return
        tried.append(str(address))
        raise AssertionError(f"a test tried to connect to {address}")

    def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host is None or str(host).startswith(_HERE):
            return getaddrinfo(host, *args, **kwargs)
        tried.append(str(host))
        raise AssertionError(f"a test tried to look up {host}")

    getaddrinfo = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield
    assert not tried, f"a test tried to reach {', '.join(tried)}"


@pytest.fixture
def account() -> Iterator[Any]:
    """An empty account with Nightshift in it (:class:`tests.support.toy.Account`)."""
    from tests.support.toy import an_account

    with an_account() as account:
        yield account
