"""
A client without HTTP: what `boto3.Session` gives in a thin world.

It keeps what the code under test can feel of the real one: parameters are checked against botocore's own model of the
service, an error answer is a ClientError, and the SDK's retries (mode "standard": which errors, how long it waits, the
retry quota of each client) happen above the seam. It leaves out what nobody can feel and everybody pays for: URLs,
signatures, serializers and parsers, which are nine tenths of the time of a call to moto.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache, partial
from typing import Any, Protocol

import botocore.session
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from botocore.retries import standard
from botocore.retries.quota import RetryQuota
from botocore.validate import ParamValidator

from sandbox.seam import THIN, Answer, Call, Do, Outcome, Seam

TOKENS = {("dynamodb", "TransactWriteItems"): "ClientRequestToken"}
"""idempotency tokens that the SDK fills in, once for a call and all its retries"""
ADDED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("s3", "GetObject"): {"ChecksumMode": "ENABLED"},
    ("s3", "ListObjectVersions"): {"EncodingType": "url"},
    ("s3", "ListObjectsV2"): {"EncodingType": "url"},
}
"""what the SDK adds to parameters, where the caller does not say it"""


_LONGEST = standard.ExponentialBackoff._MAX_BACKOFF  # noqa: SLF001 - the SDK's own number, not a copy of it


class Cloud(Protocol):
    """What answers calls."""

    seam: Seam

    def knows(self, service: str, operation: str) -> bool:
        """Whether there is an answer to this operation."""

    def answer(self, call: Call) -> Outcome:
        """Answer one attempt of one call."""


def half_the_backoff(base: float, attempt: int) -> float:
    """Seconds before the next attempt: the middle of what the SDK draws from, so that both clouds wait equally long."""
    return 0.5 * float(min(base * 2 ** (attempt - 1), _LONGEST))


def sleep(seconds: float) -> None:
    """Sleep as `time.sleep` does it now: who keeps that function itself would sleep in the world of then."""
    time.sleep(seconds)


class ThinSession:
    """A session whose clients go straight to the seam."""

    def __init__(self, cloud: Cloud, region: str) -> None:
        self._cloud = cloud
        self._region = region

    def client(  # the real one's signature, as far as it is used
        self,
        service: str,
        *,
        region_name: str | None = None,
        config: Any = None,
        aws_access_key_id: str = "",
        aws_secret_access_key: str = "",
        aws_session_token: str = "",
    ) -> ThinClient:
        """A client of a service; with the keys of a role's session it acts under its name."""
        del aws_secret_access_key, aws_session_token
        retries = (getattr(config, "retries", None) or {}) if config is not None else {}
        attempts = int(retries.get("total_max_attempts") or (4 if service == "dynamodb" else 3))
        return ThinClient(self._cloud, service, region_name or self._region, aws_access_key_id, attempts)


class ThinClient:
    """A client of one service: `client.get_item(...)`."""

    def __init__(self, cloud: Cloud, service: str, region: str, key: str, attempts: int) -> None:
        self._cloud = cloud
        self._service = service
        self._region = region
        self._key = key
        self._retries = _Retries(service, attempts)
        self._url = f"{THIN}{service}"

    def __getattr__(self, name: str) -> Any:
        operation = _operations(self._service).get(name)
        if operation is None:
            raise AttributeError(f"{self._service} has no operation {name}")
        method = partial(self._call, operation)
        setattr(self, name, method)
        return method

    def answers(self, name: str) -> bool:
        """Whether the cloud answers the operation of that method."""
        return self._cloud.knows(self._service, _operations(self._service).get(name, ""))

    def get_paginator(self, name: str) -> _Paginator:
        """Pages by the tokens that botocore's model of the service names."""
        operation = _operations(self._service)[name]
        return _Paginator(getattr(self, name), _pages(self._service)[operation])

    def _call(self, operation: str, **params: Any) -> dict[str, Any]:
        params = {**ADDED.get((self._service, operation), {}), **params}
        _check(self._service, operation, params)
        token = TOKENS.get((self._service, operation))
        if token is not None and token not in params:
            params[token] = str(uuid.uuid4())
        context: dict[str, Any] = {}
        attempt = 1
        while True:
            response, raised = self._attempt(operation, params, attempt)
            if response is not None and response[0].status_code < 300:
                self._retries.succeeded(context, response)
                return response[1]
            delay = self._retries.delay(operation, context, attempt, (response, raised))
            if delay is not None:
                sleep(delay)
                attempt += 1
                continue
            if raised is not None or response is None:
                raise raised or RuntimeError(f"{operation}: neither an answer nor an error")
            response[1].setdefault("ResponseMetadata", {})["RetryAttempts"] = attempt - 1
            raise ClientError(response[1], operation)

    def _attempt(self, operation: str, params: dict[str, Any], attempt: int) -> Outcome:
        cloud = self._cloud
        call = cloud.seam.call(
            self._service,
            operation,
            dict(params),
            region=self._region,
            key=self._key,
            attempt=attempt,
            url=self._url,
        )
        elsewhere: Do = partial(cloud.answer, call)
        return cloud.seam.pass_through(call, elsewhere)


class OperatorClient:
    """The operator's client in a thin world: what the thin cloud does not answer (mostly to build things) moto does."""

    def __init__(self, thin: ThinClient, full: Callable[[], Any]) -> None:
        self._thin = thin
        self._full = full

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thin if self._thin.answers(name) else self._full(), name)


class _Retries:
    """Whether and when a client tries again: the SDK's own classes, put together as the SDK does it."""

    def __init__(self, service: str, attempts: int) -> None:
        adapter = standard.RetryEventAdapter()
        detector = standard.ThrottlingErrorDetector(adapter)
        self._service = service
        self._quota = standard.RetryQuotaChecker(RetryQuota(), detector)
        self._handler = standard.RetryHandler(
            standard.RetryPolicy(
                standard.StandardRetryConditions(max_attempts=attempts),
                standard.ExponentialBackoff(random=lambda: 0.5, service_name=service, throttling_detector=detector),
            ),
            adapter,
            self._quota,
            service_name=service,
            sleep=sleep,
        )

    def succeeded(self, context: dict[str, Any], response: tuple[Any, Answer]) -> None:
        """Give back what the attempts took of the quota."""
        self._quota.release_retry_quota(context, response[0])

    def delay(self, operation: str, context: dict[str, Any], attempt: int, outcome: Outcome) -> float | None:
        """Seconds until the next attempt; None: that was the last one."""
        response, raised = outcome
        delay = self._handler.needs_retry(
            response=response,
            caught_exception=raised,
            attempts=attempt,
            operation=_model(self._service).operation_model(operation),
            request_dict={"context": context},
        )
        return None if delay is None or delay is False else float(delay)


class _Paginator:
    """A paginator of one operation."""

    def __init__(self, method: Any, rule: Mapping[str, Any]) -> None:
        self._method = method
        self._input, self._output = str(rule["input_token"]), str(rule["output_token"])

    def paginate(self, **params: Any) -> Iterator[dict[str, Any]]:
        """Every page."""
        while True:
            page = self._method(**params)
            yield page
            token = page.get(self._output)
            if not token:
                return
            params[self._input] = token


@cache
def _session() -> botocore.session.Session:
    return botocore.session.Session()


@cache
def _model(service: str) -> Any:
    return _session().get_service_model(service)


@cache
def _operations(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in _model(service).operation_names}


@cache
def _pages(service: str) -> dict[str, Any]:
    found: dict[str, Any] = (
        _session().get_component("data_loader").load_service_model(service, "paginators-1")["pagination"]
    )
    return found


# -- parameters, by the model ---------------------------------------------------------------------------------------

_checked: dict[tuple[str, str], set[Any]] = {}
_SHAPES: dict[type, str] = {str: "s", bytes: "b", bool: "?", float: "f", datetime: "t"}


def _check(service: str, operation: str, params: dict[str, Any]) -> None:
    """
    Raise ParamValidationError for what the real client would not send.

    Parameters of a form that has passed before are not checked again: the model looks at names, types and least sizes.
    """
    known = _checked.setdefault((service, operation), set())
    form = _form(params)
    if form in known:
        return
    shape = _model(service).operation_model(operation).input_shape
    if shape is None:
        if params:
            raise ParamValidationError(report=f"{operation} takes no parameters")
    else:
        report = ParamValidator().validate(params, shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())
    known.add(form)


def _form(value: Any) -> Any:
    kind = type(value)
    if kind is str or kind is bytes:
        return _SHAPES[kind] if value else f"{_SHAPES[kind]}0"
    if kind is dict:
        return tuple([(key, _form(each)) for key, each in value.items()])
    if kind is list or kind is tuple:
        return frozenset([_form(each) for each in value]) if value else ()
    if kind is int:
        return "i" if value > 0 else value
    return _SHAPES.get(kind) or f"{kind.__module__}.{kind.__qualname__}"
