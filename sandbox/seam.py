"""
The one place through which every AWS call of the process passes, whoever made the client and whenever.

The seam is botocore's `Endpoint._do_get_response`: one attempt of one call, after the request was validated,
serialized and signed, inside the SDK's own retry loop. The brief's usual hook, `before-call`, sits outside
that loop: a fake there would never be retried and a fault there would never meet the SDK's behaviour, so
moto's answers and our fakes share this seam instead.

An attempt passes through the arounds (the trail, the faults, a simulation), then meets a fake or moto, whose
effect happens or does not happen exactly once, and then the afters (what AWS does as a consequence).
"""

import itertools
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSResponse
from botocore.client import BaseClient
from botocore.endpoint import Endpoint
from moto.core.models import botocore_stubber

Answer = dict[str, Any]
Outcome = tuple[
    tuple[Any, Answer] | None, Exception | None
]  # what botocore expects of one attempt: answered, or raised
Do = Callable[[], Outcome]

_PARAMS = "nightshift_sandbox_params"
OPERATOR_KEY = "AKIAOPERATOROPERATOR"


class LeftTheSandbox(RuntimeError):
    """A call would have left this process. There is no network here."""


class AwsError(Exception):
    """
    An error answer of AWS, raised by a fake: it reaches the caller as the ClientError that botocore makes of it.

    ``details`` is what the answer says beside its code and message: why a transaction was cancelled, for one.
    """

    def __init__(self, code: str, message: str, status: int = 400, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.details = details or {}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who made a call: a role session, or a name that the sandbox gave."""

    name: str
    role_arn: str | None = None
    source_identity: str | None = None
    policy: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Call:
    """One attempt of one AWS call."""

    number: int
    at: datetime
    service: str
    operation: str
    params: dict[str, Any]
    region: str
    principal: Principal
    function: str | None
    attempt: int
    url: str
    error: str | None = None
    injected: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The call as people write it: `sqs.SendMessage`."""
        return f"{self.service}.{self.operation}"


def answered(call: Call, answer: Answer, status: int = 200) -> Outcome:
    """An answer as botocore would have parsed it."""
    answer.setdefault("ResponseMetadata", {"RequestId": _request_id(call), "HTTPStatusCode": status, "HTTPHeaders": {}})
    if call.url.startswith(THIN):
        return (_status(status), answer), None
    return (AWSResponse(call.url, status, {}, _Body()), answer), None


def _request_id(call: Call) -> str:
    return f"{call.number:08d}-0000-4000-8000-000000000000"


def _numbered(call: Call, outcome: Outcome) -> Outcome:
    """An outcome under the number of its call: each service of moto makes up request ids of another kind."""
    if outcome[0] is not None and "ResponseMetadata" in outcome[0][1]:
        outcome[0][1]["ResponseMetadata"]["RequestId"] = _request_id(call)
    return outcome


def refused(call: Call, error: AwsError) -> Outcome:
    """An error answer as botocore would have parsed it."""
    return answered(call, {"Error": {"Code": error.code, "Message": error.message}, **error.details}, error.status)


THIN = "thin:"
"""how the URLs of clients without HTTP begin: of their answers nobody reads more than the status"""


@cache
def _status(status: int) -> AWSResponse:
    return AWSResponse(THIN, status, {}, _Body())


class _Body(BytesIO):
    """An empty body that streams."""

    def stream(self, **_: Any) -> Any:
        """Everything at once."""
        yield self.read()


def error_code(outcome: Outcome) -> str | None:
    """The error code of an outcome, or None when it succeeded."""
    response, raised = outcome
    if raised is not None:
        return type(raised).__name__
    if response is None or response[0].status_code < 300:
        return None
    return str(response[1].get("Error", {}).get("Code") or response[0].status_code)


class Seam:
    """What stands between botocore and the account."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.fakes: dict[tuple[str, str], Callable[[Call], Answer | None]] = {}
        self.befores: dict[tuple[str, str], list[Callable[[Call], None]]] = defaultdict(list)
        self.afters: dict[tuple[str, str], list[Callable[[Call, Answer], None]]] = defaultdict(list)
        self.arounds: list[Callable[[Call, Do], Outcome]] = []
        self.principals: dict[str, Principal] = {OPERATOR_KEY: Principal("operator")}
        self.function: str | None = None
        self._now = now
        self._numbers = itertools.count(1)
        self._patches: list[Any] = []
        self.after("sts", "AssumeRole", self._remember_session)

    def fake(self, service: str, **operations: Callable[[Call], Answer | None]) -> None:
        """Answer operations ourselves. A fake may answer None: then moto does."""
        for operation, answer in operations.items():
            self.fakes[service, operation] = answer

    def before(self, service: str, operation: str, check: Callable[[Call], None]) -> None:
        """Look at a call before moto does; may raise AwsError."""
        self.befores[service, operation].append(check)

    def after(self, service: str, operation: str, consequence: Callable[[Call, Answer], None]) -> None:
        """Let something follow from a call that succeeded; may change the answer."""
        self.afters[service, operation].append(consequence)

    def install(self) -> None:
        """Put the seam into botocore."""
        seam, original_params, original = self, BaseClient._emit_api_params, Endpoint._do_get_response  # noqa: SLF001 - botocore has no public hook inside its retry loop

        def emit_api_params(client: Any, api_params: Any, operation_model: Any, context: Any) -> Any:
            context[_PARAMS] = original_params(client, api_params, operation_model, context)
            return context[_PARAMS]

        def do_get_response(endpoint: Any, request: Any, operation_model: Any, context: Any) -> Outcome:
            return seam.attempt(
                operation_model, context, request, lambda: original(endpoint, request, operation_model, context)
            )

        def send(_endpoint: Any, request: Any) -> Any:
            # Reached when the client is older than moto's import, and so has no stub of its own.
            response = botocore_stubber("before-send", request)
            if response is None:
                raise LeftTheSandbox(f"{request.method} {request.url}")
            return response

        self._patches = [
            patch.object(BaseClient, "_emit_api_params", emit_api_params),
            patch.object(Endpoint, "_do_get_response", do_get_response),
            patch.object(Endpoint, "_send", send),
        ]
        for each in self._patches:
            each.start()

    def remove(self) -> None:
        """Take the seam out again."""
        while self._patches:
            self._patches.pop().stop()

    def attempt(self, operation_model: Any, context: dict[str, Any], request: Any, moto: Do) -> Outcome:
        """One attempt of one call of botocore's, which moto answers where no fake does."""
        call = self.call(
            operation_model.service_model.service_name,
            operation_model.name,
            {name: _plain(value) for name, value in (context.get(_PARAMS) or {}).items()},
            region=context.get("client_region") or "",
            key=_access_key(request.headers.get("Authorization", "")),
            attempt=context.get("retries", {}).get("attempt", 1),
            url=request.url,
        )
        return self.pass_through(call, moto)

    def call(
        self,
        service: str,
        operation: str,
        params: dict[str, Any],
        *,
        region: str,
        key: str,
        attempt: int,
        url: str,
    ) -> Call:
        """The record of one attempt, by whoever has the access key (or by the function that runs)."""
        return Call(
            number=next(self._numbers),
            at=self._now(),
            service=service,
            operation=operation,
            params=params,
            region=region,
            principal=self.principals.get(key) or Principal(self.function or "unnamed"),
            function=self.function,
            attempt=attempt,
            url=url,
        )

    def pass_through(self, call: Call, elsewhere: Do) -> Outcome:
        """Through the arounds, to the fake or elsewhere (moto), to the consequences."""

        def innermost() -> Outcome:
            return self._answer(call, elsewhere)

        do: Do = innermost
        for around in reversed(self.arounds):
            do = _wrap(around, call, do)
        return do()

    def _answer(self, call: Call, moto: Do) -> Outcome:
        key = (call.service, call.operation)
        try:
            for check in self.befores.get(key, ()):
                check(call)
            fake = self.fakes.get(key)
            answer = fake(call) if fake else None
            outcome = _numbered(call, moto()) if answer is None else answered(call, answer)
            if error_code(outcome) is None and outcome[0] is not None:
                for consequence in self.afters.get(key, ()):
                    consequence(call, outcome[0][1])
        except AwsError as error:
            return refused(call, error)
        return outcome

    def _remember_session(self, call: Call, answer: Answer) -> None:
        params = call.params
        self.principals[answer["Credentials"]["AccessKeyId"]] = Principal(
            name=params["RoleSessionName"],
            role_arn=params["RoleArn"],
            source_identity=params.get("SourceIdentity"),
            policy=params.get("Policy"),
            tags=tuple((tag["Key"], tag["Value"]) for tag in params.get("Tags", ())),
        )


def _plain(value: Any) -> Any:
    """A parameter as its caller gave it: the SDK puts bytes into a file before it sends them."""
    return value.getvalue() if isinstance(value, BytesIO) else value


def _access_key(authorization: str | bytes) -> str:
    text = authorization.decode() if isinstance(authorization, bytes) else authorization
    return text.partition("Credential=")[2].partition("/")[0]


def _wrap(around: Callable[[Call, Do], Outcome], call: Call, inner: Do) -> Do:
    return lambda: around(call, inner)


def new_id() -> str:
    """An id from moto's seeded source, so that ours and moto's come from one seed."""
    from moto.moto_api._internal import mock_random  # noqa: PLC0415 - moto's seeded source moves with its internals

    return str(uuid.UUID(int=mock_random.getrandbits(128), version=4))
