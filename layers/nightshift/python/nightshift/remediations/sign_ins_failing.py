"""
People cannot sign in, or an API does not take their tokens: tell which setting explains it.

Symptom   more than half of the sign-ins through a client of a user pool fail, or the API that its tokens open refuses
          more than one request in twenty, in two of the last three parts of five minutes
Cause     asked in order: a client that is gone or has no way to sign in, an API that takes no tokens of this pool,
          Cognito's quota, a trigger of the pool that fails, messages that cannot be sent, a change of the last hours
Cure      none: it tells people what the pool, its clients and the API are set to
Proof     most sign-ins succeed again
Undo      nothing to undo
Source    runbook 1 "Authentication Failures", runbook 3 "High API Error Rate"; R14

What it will not do: change a client (whatever an update does not name is set back to its default), allow weaker ways to
sign in, reset a password, or sign in to try. No report has anything of a user in it: only counts, names and settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import serving, states
from nightshift.errors import Missing
from nightshift.model import (
    Arn,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Unread
from nightshift.serving import Part, State
from nightshift.signals import api_metric, function_metric, pool_metric

__all__ = ["SignInsFailing"]

_WINDOW = serving.WINDOW
_LATELY = 15  # minutes that a diagnosis looks back
_SIGNS_IN = frozenset(
    {
        "ADMIN_NO_SRP_AUTH",
        "ALLOW_ADMIN_USER_PASSWORD_AUTH",
        "ALLOW_CUSTOM_AUTH",
        "ALLOW_USER_AUTH",
        "ALLOW_USER_PASSWORD_AUTH",
        "ALLOW_USER_SRP_AUTH",
        "CUSTOM_AUTH_FLOW_ONLY",
        "USER_PASSWORD_AUTH",
    }
)
"""the flows by which somebody signs in; what else there is renews a session"""
_TRIGGERS = (
    "CreateAuthChallenge",
    "DefineAuthChallenge",
    "PostAuthentication",
    "PreAuthentication",
    "PreTokenGeneration",
    "UserMigration",
    "VerifyAuthChallengeResponse",
)
"""the triggers without which nobody signs in"""


_ELSE = (
    "change a client only where it is deployed from: update-user-pool-client sets whatever it does not name back to "
    "its default"
)


@dataclass(frozen=True, slots=True)
class _Cause:
    """What explains it, and what people should do about it."""

    text: str
    advice: str


class SignInsFailing(ReportOnly):
    """A Cognito user pool through which people cannot sign in."""

    name: ClassVar[str] = "sign-ins-failing"
    title: ClassVar[str] = "people cannot sign in"
    kinds: ClassVar[tuple[str, ...]] = ("cognito-idp:userpool",)
    needs: ClassVar[tuple[str, ...]] = ("clients",)
    reads: ClassVar[tuple[str, ...]] = (
        "appsync:GetGraphqlApi",
        "cognito-idp:DescribeUserPool",
        "cognito-idp:DescribeUserPoolClient",
    )

    failed: float = Field(default=50, gt=0, lt=100, description="per cent of sign-ins through one client that may fail")
    sign_ins: PositiveInt = Field(default=20, description="sign-ins in five minutes that it takes to tell")
    refused: float = Field(default=5, gt=0, lt=100, description="per cent of requests that the API may refuse (4xx)")
    requests: PositiveInt = Field(default=100, description="requests in five minutes that it takes to tell")
    suspect: timedelta = Field(
        default=timedelta(hours=3), le=timedelta(days=7), description="how long after a change that is named as a cause"
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        return tuple(query for _, pair, _, _ in self._judged(target) for query in pair)

    def _judged(self, target: Target) -> Iterator[tuple[str, tuple[MetricQuery, MetricQuery], float, int]]:
        """What is looked at: whose figures they are, the figures, what share of them may be bad, and how many tell."""
        for client in target.clients or ():
            succeeded = pool_metric(target.arn, client, "SignInSuccesses", "Average", _WINDOW)
            asked = pool_metric(target.arn, client, "SignInSuccesses", "SampleCount", _WINDOW)
            yield client, (succeeded, asked), self.failed, self.sign_ins
        if target.api is not None:
            refused = api_metric(target.api, "4XXError", "Sum", _WINDOW)
            asked = api_metric(target.api, "Latency", "SampleCount", _WINDOW)
            yield "", (refused, asked), self.refused, self.requests

    def detect(self, target: Target, seen: Readings) -> Observation:
        """Sick where one client or the API is; quiet where nobody signed in."""
        told: list[State] = []
        for client, pair, above, least in self._judged(target):
            parts = _parts(client, pair, seen)
            if isinstance(parts, Unknown):
                return parts
            told.append(serving.judged(parts, above, least))
            if told[-1] is State.BAD:
                return Sick(self._finding(target, client, parts, above))
        if State.UNTOLD in told:
            return Unknown("it failed, and too few have tried since to tell whether it still does")
        if all(state is State.QUIET for state in told):
            return Healthy(f"too few sign-ins to tell: fewer than {self.sign_ins} in five minutes", idle=True)
        return Healthy("most sign-ins succeed")

    def _finding(self, target: Target, client: str, parts: Sequence[Part], above: float) -> Finding:
        worst = max((part.value or 0.0) for part in parts[-3:])
        asked = sum(part.requests for part in parts[-3:])
        name = target.arn.name
        if client:
            symptom = f"{worst:.0f} % of the sign-ins through client {client} of {name} fail"
            signal = Signal("sign-ins that fail", round(worst, 1), above, "5 minutes, 2 of 3", "%")
        else:
            symptom = f"{worst:.0f} % of the requests to the API that {name} opens are refused (4xx)"
            signal = Signal("4XXError", round(worst, 1), above, "5 minutes, 2 of 3", "%")
        return Finding(
            remediation=self.name,
            target=str(target.arn),
            symptom=symptom,
            signals=(signal,),
            evidence=(f"{asked:.0f} were counted in 15 minutes",),
            severity=Severity.SEV2,
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        name, clients = target.arn.name, target.clients or ()
        pool = read("cognito-idp", "DescribeUserPool", UserPoolId=name)["UserPool"]
        settings = {client: _client(read, name, client) for client in clients}
        found = [
            *(cause for client, set_to in settings.items() for cause in _of_client(client, set_to)),
            *_of_api(read, target),
            *_of_quota(read, target),
            *_of_triggers(read, pool),
            *_of_messages(pool),
            *self._changed(read.now(), pool, settings),
        ]
        evidence = (
            finding.symptom,
            *finding.evidence,
            *(_shown(client, set_to) for client, set_to in settings.items() if set_to is not None),
        )
        if not found:
            found = [
                _Cause(
                    f"neither the settings of {name} nor those of its clients explain it",
                    "look at what the application sends, and at the pool's log of user activity if it has one",
                )
            ]
        first, *others = found
        return Diagnosis(
            target=str(target.arn),
            cause=first.text,
            evidence=(*evidence, *(f"beside that, {each.text}" for each in others)),
            advice=(
                *dict.fromkeys(each.advice for each in found),
                _ELSE,
                *_flush(target),
            ),
        )

    def _changed(
        self, now: datetime, pool: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any] | None]
    ) -> Iterator[_Cause]:
        """Whatever was changed lately."""
        named = {
            "the pool": pool,
            **{f"client {client}": each for client, each in settings.items() if each is not None},
        }
        for what, each in named.items():
            at, made = each.get("LastModifiedDate"), each.get("CreationDate")
            if isinstance(at, datetime) and at != made and at >= now - self.suspect:
                yield _Cause(
                    f"{what} was changed at {at:%Y-%m-%d %H:%M} UTC",
                    "compare what was changed with what was there before: CloudTrail has who did it and what was sent",
                )


# -- what explains it ------------------------------------------------------------------------------------------------


def _of_client(client: str, set_to: Mapping[str, Any] | None) -> Iterator[_Cause]:
    """A client that is gone, or has no way to sign in. One without flows of its own has Cognito's default ones."""
    if set_to is None:
        yield _Cause(
            f"there is no client {client} any more", "deploy the client again, and give its new id to the application"
        )
        return
    flows = set(set_to.get("ExplicitAuthFlows") or ())
    by_page = set_to.get("AllowedOAuthFlowsUserPoolClient") and set_to.get("AllowedOAuthFlows")
    if flows and not flows & _SIGNS_IN and not by_page:
        yield _Cause(
            f"client {client} has no way to sign in: it allows {', '.join(sorted(flows))} alone",
            "allow the flow that the application uses, and none that sends a password where it did not before",
        )


def _of_api(read: Reader, target: Target) -> Iterator[_Cause]:
    """An API that takes no tokens of this pool: it asks for another's, or for none."""
    if target.api is None:
        return
    api = read("appsync", "GetGraphqlApi", apiId=target.api.name)["graphqlApi"]
    ways = (api, *(api.get("additionalAuthenticationProviders") or ()))
    pools = [str(way["userPoolConfig"].get("userPoolId")) for way in ways if way.get("userPoolConfig")]
    if target.arn.name not in pools:
        yield _Cause(
            f"the API {target.api.name} takes no tokens of {target.arn.name}: it takes those of "
            f"{' and '.join(pools) or 'no user pool'}",
            "set the API's user pool right, in the code that it is deployed from",
        )


def _of_quota(read: Reader, target: Target) -> Iterator[_Cause]:
    for client in target.clients or ():
        [turned_away] = states.sums(read, pool_metric(target.arn, client, "SignInThrottles", "Sum", _LATELY))
        if turned_away:
            yield _Cause(
                f"Cognito turned {turned_away:.0f} sign-ins through client {client} away in {_LATELY} minutes, for "
                "there were more than the account's quota",
                "find out who signs in so often; if all of that is meant, ask for a higher quota (Service Quotas)",
            )


def _of_triggers(read: Reader, pool: Mapping[str, Any]) -> Iterator[_Cause]:
    """Functions that Cognito calls while somebody signs in: where one fails, nobody does."""
    config = pool.get("LambdaConfig") or {}
    for trigger in _TRIGGERS:
        if not config.get(trigger):
            continue
        function = Arn.parse(str(config[trigger]))
        failed, throttled = states.sums(
            read, *(function_metric(function, metric, "Sum", _LATELY) for metric in ("Errors", "Throttles"))
        )
        if failed or throttled:
            yield _Cause(
                f"{function.name}, which Cognito calls at a sign-in ({trigger}), failed {failed:.0f} times and was "
                f"turned away {throttled:.0f} times in {_LATELY} minutes",
                f"read what it says: aws logs tail /aws/lambda/{function.name} --since 30m (read only)",
            )


def _of_messages(pool: Mapping[str, Any]) -> Iterator[_Cause]:
    """Codes that cannot be sent, as Cognito says it: a code of its own, without anybody's address."""
    for name, what in (("EmailConfigurationFailure", "mail"), ("SmsConfigurationFailure", "text messages")):
        if pool.get(name):
            yield _Cause(
                f"Cognito cannot send {what}: {pool[name]}", f"mend how the pool sends {what}: its role, and its limits"
            )


# -- figures and settings --------------------------------------------------------------------------------------------


def _parts(client: str, pair: tuple[MetricQuery, MetricQuery], seen: Readings) -> tuple[Part, ...] | Unknown:
    """
    What share failed, in per cent, and of how many.

    A sign-in counts 1 where it succeeds and 0 where it does not; an API reports its refusals only where there are any.
    """
    figure, count = (seen.metric(query) for query in pair)
    if isinstance(figure, Unread):
        return Unknown(figure.reason)
    if isinstance(count, Unread):
        return Unknown(count.reason)
    values, asked = dict(figure.points), dict(count.points)
    found = []
    for at in serving.bounds(seen.at, pair[0]):
        of, value = asked.get(at, 0.0), values.get(at)
        if client:
            found.append(Part(at, of, None if value is None else 100 * (1 - value)))
        else:
            found.append(Part(at, of, 100 * (value or 0.0) / of if of else None))
    return tuple(found)


def _client(read: Reader, pool: str, client: str) -> Mapping[str, Any] | None:
    """
    A client's settings; None where it is gone. Its secret is among them: nothing is told of them but what is named.

    Source: https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_DescribeUserPoolClient.html
    """
    try:
        answer = read("cognito-idp", "DescribeUserPoolClient", UserPoolId=pool, ClientId=client)
    except Missing:
        return None
    found: Mapping[str, Any] = answer["UserPoolClient"]
    return found


def _shown(client: str, set_to: Mapping[str, Any]) -> str:
    """A client's ways to sign in, and how long its tokens are valid."""
    flows = ", ".join(sorted(set_to.get("ExplicitAuthFlows") or ())) or "Cognito's default flows"
    units = set_to.get("TokenValidityUnits") or {}
    spans = [
        f"{word} token {set_to[f'{kind}TokenValidity']} {units.get(f'{kind}Token', default)}"
        for kind, word, default in (
            ("Access", "access", "hours"),
            ("Id", "id", "hours"),
            ("Refresh", "refresh", "days"),
        )
        if set_to.get(f"{kind}TokenValidity")
    ]
    return f"client {client} allows {flows}; valid: {', '.join(spans) or 'as long as is the default'}"


def _flush(target: Target) -> tuple[str, ...]:
    """AppSync's cache keeps answers by who asked: it may go on giving what an identity of before was to see."""
    if target.api is None:
        return ()
    advice = (
        "where the API has a cache that keeps what somebody was given or refused before, flush it once, and while its "
        "tables carry less than half of what they can: all the load comes back at once (aws appsync flush-api-cache "
        f"--api-id {target.api.name}, a write)"
    )
    return (advice,)
