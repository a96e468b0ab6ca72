"""
The one way to AWS: the only module that makes clients, and the one that says what an AWS error means.

Reads may be repeated, so the SDK's own retries serve (one layer of them). Writes may not: an acting client makes
exactly one attempt, because boto3 by default repeats *any* operation after a time-out, and a time-out proves nothing.
Measured before this was settled: one ``send_message`` whose answer timed out after the effect became three messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ParamValidationError,
)

from nightshift.errors import Ambiguous, AwsError, Denied, Missing, Rejected, Unreadable
from nightshift.model import Call

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["LONGEST_BODY", "ActingClients", "Aws", "Serial", "Threads", "kept_out", "throttled", "translate"]

T = TypeVar("T")

_READING = Config(
    retries={"mode": "standard", "total_max_attempts": 4},  # jittered back-off; then it is unknown, and we say so
    connect_timeout=3,
    read_timeout=10,
    max_pool_connections=16,
    user_agent_appid="nightshift",
)
_ACTING = Config(
    retries={"total_max_attempts": 1},  # a write is made once; what became of it is found out by looking
    connect_timeout=3,
    read_timeout=20,
    user_agent_appid="nightshift",
)

_DENIED = frozenset(
    {
        "403",  # of a HEAD, whose answer has no body that could say more
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "KMS.AccessDeniedException",
        "KmsAccessDenied",
        "KmsAccessDeniedException",
        "NotAuthorized",
        "UnauthorizedException",
        "UnauthorizedOperation",
    }
)
_MISSING = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "ClusterNotFoundException",
        "DBClusterNotFoundFault",
        "DBInstanceNotFound",
        "ExecutionDoesNotExist",
        "LoadBalancerNotFound",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "NotFound",
        "NotFoundException",
        "ObjectNotFoundException",
        "QueueDoesNotExist",
        "RepositoryNotFoundException",
        "ResourceNotFoundException",
        "ServiceNotFoundException",
        "StateMachineDoesNotExist",
        "TableNotFoundException",
    }
)
_UNREACHED = frozenset({ConnectTimeoutError.__name__, EndpointConnectionError.__name__})
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ResourceInUseException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""botocore's own list (botocore.retries.standard.ThrottledRetryableChecker), less DynamoDB's transaction code."""

_CARRIES = frozenset({"Body", "MessageAttributes", "MessageBody", "Payload", "input"})
"""parameters that hold what people send each other: AWS's message about a call that has one may quote it"""

_SERVER_ERROR = 500
LONGEST_BODY = 1024 * 1024
"""bytes of an object that are read: whoever gets more than that has not got all of it"""


class Runner(Protocol):
    """Runs independent reads: many at a time in AWS, one after the other where order must be reproducible."""

    def __call__(self, work: Iterable[Callable[[], T]], /) -> list[T]:
        """Run every piece of work and give the results in the order of the work."""


class Serial:
    """One after the other, in order: for a laptop, a test and the simulation."""

    def __call__(self, work: Iterable[Callable[[], T]], /) -> list[T]:
        """Run each, in order."""
        return [piece() for piece in work]


class Threads:
    """``width`` at a time. boto3 clients are safe to share between threads; they are made before the threads start."""

    def __init__(self, width: int = 8) -> None:
        self._width = width

    def __call__(self, work: Iterable[Callable[[], T]], /) -> list[T]:
        """Run them, ``width`` at a time, and give the results in the order of the work."""
        pieces = list(work)
        if len(pieces) <= 1:
            return [piece() for piece in pieces]
        with ThreadPoolExecutor(max_workers=min(self._width, len(pieces))) as pool:
            return [future.result() for future in [pool.submit(piece) for piece in pieces]]


class Aws:
    """
    AWS in one Region, with the credentials of whoever runs this.

    Clients are made when first used and shared. ``run`` is how independent reads are run.
    """

    def __init__(self, region: str, *, session: boto3.Session | None = None, run: Runner | None = None) -> None:
        self.region = region
        self.run: Runner = run or Threads()
        self._session = session or boto3.Session(region_name=region)
        self._clients: dict[str, Any] = {}
        self._lock = Lock()  # clients may be shared between threads; the session that makes them may not

    def client(self, service: str) -> Any:
        """The shared client for reading from ``service`` (and for this service's own table, topic and work queue)."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(service, region_name=self.region, config=_READING)
            return self._clients[service]

    def read(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """
        Make one read, by its API name: ``read("sqs", "GetQueueAttributes", QueueUrl=…)``.

        Raises Denied, Missing, Rejected or Unreadable.
        """
        method = getattr(self.client(service), xform_name(operation))
        try:
            return _whole(method(**params))
        except (ClientError, BotoCoreError) as error:
            raise translate(error, Call(service, operation, _subject(params)), writing=False) from error

    def own(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """
        Make one call on what is Nightshift's own: its table, topic and work queue.

        The SDK may repeat it, so it must bear that: writes to the table carry conditions or absolute values, a notice
        told twice does no harm. Raises what :meth:`read` raises.
        """
        return self.read(service, operation, **params)

    def write_once(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """
        Make one write in the caller's own name, with one attempt: for a person at a terminal, who has the permission.

        Nothing that runs by itself does. Raises Denied, Missing, Rejected or Ambiguous.
        """
        call = Call(service, operation, _subject(params), free=tuple(params))
        client = self._session.client(service, region_name=self.region, config=_ACTING)
        try:
            return _whole(getattr(client, xform_name(operation))(**params))
        except (ClientError, BotoCoreError) as error:
            raise translate(error, call, writing=True) from (None if _carries(call) else error)

    def pages(self, service: str, operation: str, key: str, /, *, limit: int, **params: Any) -> Iterator[Any]:
        """
        Every item under ``key`` over all pages.

        Raises Unreadable after more than ``limit`` items: half an answer must not pass for a whole one.
        """
        client = self.client(service)
        seen = 0
        try:
            for page in client.get_paginator(xform_name(operation)).paginate(**params):
                for item in page.get(key, ()):
                    seen += 1
                    if seen > limit:
                        raise Unreadable(f"{service}:{operation}", "TooMany", f"more than {limit} items")
                    yield item
        except (ClientError, BotoCoreError) as error:
            raise translate(error, Call(service, operation, _subject(params)), writing=False) from error

    def assume(
        self, role_arn: str, *, session_name: str, policy: str, source_identity: str, duration: timedelta
    ) -> ActingClients:
        """
        Assume a write role, cut down to ``policy``, under a name that the account's trail will show.

        Raises Denied, Rejected (a policy that is too large, say) or Unreadable.
        """
        answer = self.read(
            "sts",
            "AssumeRole",
            RoleArn=role_arn,
            RoleSessionName=session_name,
            Policy=policy,
            SourceIdentity=source_identity,
            DurationSeconds=int(duration.total_seconds()),
        )["Credentials"]
        return ActingClients(self._acting_client, answer)

    def _acting_client(self, service: str, credentials: Mapping[str, Any]) -> Any:
        with self._lock:  # the session is shared for what it has loaded; its own credentials are not used
            return self._session.client(
                service,
                region_name=self.region,
                config=_ACTING,
                aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"],
                aws_session_token=credentials["SessionToken"],
            )


class ActingClients:
    """Clients that may write, with one attempt a call."""

    def __init__(self, make: Callable[[str, Mapping[str, Any]], Any], credentials: Mapping[str, Any]) -> None:
        self._make = make
        self._credentials = credentials
        self._clients: dict[str, Any] = {}

    def __call__(self, call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
        """Make ``call`` once. Raises Denied, Missing, Rejected or Ambiguous."""
        try:
            if call.service not in self._clients:
                self._clients[call.service] = self._make(call.service, self._credentials)
            return _whole(getattr(self._clients[call.service], xform_name(call.operation))(**params))
        except (ClientError, BotoCoreError) as error:
            raise translate(error, call, writing=True) from (None if _carries(call) else error)


def _whole(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer with its body read, so that what fails on the way fails here; of a longer one more than the longest."""
    found = dict(answer)
    if hasattr(found.get("Body"), "read"):
        found["Body"] = found["Body"].read(LONGEST_BODY + 1)
    return found


def throttled(error: BaseException) -> bool:
    """Whether AWS turned the call away at the door for being too frequent."""
    return isinstance(error, AwsError) and error.code in _THROTTLED


def kept_out(error: BaseException) -> bool:
    """Whether the call never got in, and may a moment later: throttled, or AWS could not be reached."""
    return throttled(error) or (isinstance(error, AwsError) and error.code in _UNREACHED)


def translate(error: ClientError | BotoCoreError, call: Call, *, writing: bool) -> AwsError:
    """
    What an SDK error means to us.

    Anything not known to have been refused before it had an effect is Ambiguous for a write and Unreadable for a read.
    Of a call that carries a message only AWS's code is kept: its text, and the SDK's, quote what they do not like.
    """
    unclear = Ambiguous if writing else Unreadable
    longest = 0 if _carries(call) else 300
    if isinstance(error, ParamValidationError):
        return Rejected(call.action, "ParamValidation", str(error)[:longest], resource=call.resource)
    if isinstance(error, ConnectTimeoutError | EndpointConnectionError):  # nothing was sent
        return (Rejected if writing else Unreadable)(call.action, type(error).__name__, resource=call.resource)
    if not isinstance(error, ClientError):
        return unclear(call.action, type(error).__name__, resource=call.resource)
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    text = str(error.response.get("Error", {}).get("Message", ""))[:longest]
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _DENIED or code.startswith("AccessDenied"):
        return Denied(call.action, code, text, resource=call.resource)
    if code in _MISSING:
        return Missing(call.action, code, text, resource=call.resource)
    if code in _THROTTLED:  # refused at the door: for a write, nothing happened
        return (Rejected if writing else Unreadable)(call.action, code, text, resource=call.resource)
    if status >= _SERVER_ERROR or status == 0:
        return unclear(call.action, code, text, resource=call.resource)
    details = error.response if longest else None
    return Rejected(call.action, code, text, resource=call.resource, details=details)


def _carries(call: Call) -> bool:
    return not _CARRIES.isdisjoint(call.free)


def _subject(params: Mapping[str, Any]) -> str:
    """What a read is about, for its error: the one parameter that names the thing."""
    for name in (
        "QueueUrl",
        "SourceArn",
        "EventSourceArn",
        "service",
        "cluster",
        "Bucket",
        "TableName",
        "RoleArn",
        "StackName",
        "SecretId",
        "CertificateArn",
        "DBClusterIdentifier",
        "DomainName",
    ):
        if name in params:
            return str(params[name])
    return ""
