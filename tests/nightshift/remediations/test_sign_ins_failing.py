"""People who cannot sign in: when that is a failure, which setting is named for it, and what no report may hold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift import serving
from nightshift.errors import Missing, Undeclared
from nightshift.model import (
    Arn,
    Call,
    Diagnosis,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Query,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, Series, Unread
from nightshift.remediations.sign_ins_failing import SignInsFailing

from tests.nightshift.remediations.account import NOW

POOL = Arn.parse("arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_A")
GRAPH = Arn.parse("arn:aws:appsync:eu-central-1:123456789012:apis/a1")
TRIGGER = "arn:aws:lambda:eu-central-1:123456789012:function:pre-auth"
WEB, APP = "web1client", "app2client"
TARGET = Target(POOL, "group", clients=(WEB, APP), api=GRAPH)
ALONE = Target(POOL, "group", clients=(WEB,))
OLD = NOW - timedelta(days=90)
SECRET = "s3cr3t-of-the-client"
ONE = SignInsFailing()
VALID = "valid: access token 5 minutes, refresh token 30 days"
MORE, TURNED, LATELY = "more than the account's quota", "and was turned away", "times in 15 minutes"


def client(**other: Any) -> dict[str, Any]:
    """A client, as DescribeUserPoolClient gives it."""
    plain = {"ClientSecret": SECRET, "CreationDate": OLD, "LastModifiedDate": OLD}
    return {**plain, "ExplicitAuthFlows": ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"], **other}


@dataclass
class Eyes:
    """What there is to be read: the share of sign-ins that succeed, and of requests that the API refuses."""

    good: Any = field(default_factory=lambda: {WEB: [0.9] * 6, APP: [0.9] * 6})
    tried: Any = field(default_factory=lambda: {WEB: [50.0] * 6, APP: [50.0] * 6})
    refused: Any = field(default_factory=list)
    requests: Any = field(default_factory=lambda: [500.0] * 6)
    counts: dict[tuple[str, str], float] = field(default_factory=dict)
    pool: dict[str, Any] = field(default_factory=dict)
    clients: dict[str, dict[str, Any] | None] = field(default_factory=lambda: {WEB: client(), APP: client()})
    api: dict[str, Any] = field(default_factory=lambda: {"userPoolConfig": {"userPoolId": POOL.name}})
    used: set[str] = field(default_factory=set)

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """A read that is no batch's."""
        action = Call(service, operation, "").action
        if action not in SignInsFailing.reads:
            raise Undeclared(action)
        self.used.add(action)
        if operation == "GetGraphqlApi":
            assert params == {"apiId": "a1"}
            return {"graphqlApi": self.api}
        assert params["UserPoolId"] == POOL.name
        if operation == "DescribeUserPool":
            return {"UserPool": {"CreationDate": OLD, "LastModifiedDate": OLD, **self.pool}}
        found = self.clients[params["ClientId"]]
        if found is None:
            raise Missing(action, "ResourceNotFoundException")
        return {"UserPoolClient": found}

    def seen(self, *queries: Query) -> Readings:
        """The answers."""
        return Readings(NOW, {query: self._answer(cast("MetricQuery", query)) for query in queries})

    def now(self) -> datetime:
        """The time."""
        return NOW

    def _answer(self, query: MetricQuery) -> Any:
        names = dict(query.dimensions)
        whose = names.get("UserPoolClient", names.get("FunctionName", ""))
        if query.period != 300 or query.minutes != serving.WINDOW:
            count = self.counts.get((query.metric, whose))
            return Series(((NOW, count),) if count else ())
        if whose:
            values = (self.good if query.stat == "Average" else self.tried).get(whose, [])
        else:
            values = self.refused if query.metric == "4XXError" else self.requests
        if isinstance(values, Unread):
            return values
        bounds = serving.bounds(NOW, query)
        return Series(tuple(zip(bounds[-len(values) :], values, strict=True)) if values else ())


def detect(on: Eyes, target: Target = TARGET) -> Observation:
    """What a look finds."""
    return ONE.detect(target, on.seen(*ONE.watch(target)))


def sick(on: Eyes, target: Target = TARGET) -> Finding:
    """The finding."""
    seen = detect(on, target)
    assert isinstance(seen, Sick), seen
    return seen.finding


def diagnose(on: Eyes, target: Target = TARGET) -> Diagnosis:
    """What a diagnosis says."""
    finding = Finding(ONE.name, str(POOL), "many sign-ins fail", evidence=("50 were counted in 15 minutes",))
    return ONE.diagnose(cast("Reader", on), target, finding)


# -- seeing ------------------------------------------------------------------------------------------------------------


def test_a_client_through_which_most_sign_ins_fail_is_sick() -> None:
    """In two of the last three parts; the other clients may be well."""
    finding = sick(Eyes(good={WEB: [0.9] * 6, APP: [0.9, 0.9, 0.9, 0.2, 0.9, 0.1]}))
    assert finding.symptom == f"90 % of the sign-ins through client {APP} of eu-central-1_A fail"
    assert (finding.signals[0].value, finding.signals[0].threshold) == (90.0, 50)
    assert finding.evidence == ("150 were counted in 15 minutes",)
    assert finding.severity is Severity.SEV2


def test_an_api_that_refuses_more_than_one_request_in_twenty_is_sick() -> None:
    """It reports its refusals only where there are any."""
    finding = sick(Eyes(refused=[0.0, 0.0, 0.0, 50.0, 50.0, 50.0]))
    assert finding.symptom == "10 % of the requests to the API that eu-central-1_A opens are refused (4xx)"
    assert finding.signals[0].name == "4XXError"
    assert isinstance(detect(Eyes(refused=[25.0] * 6)), Healthy)


def test_what_is_not_enough_is_well_or_unknown() -> None:
    """People mistype; a few tell nothing, and nobody at all is nothing that went wrong."""
    half = {WEB: [0.5] * 6, APP: [0.9] * 6}
    assert detect(Eyes(good=half)) == Healthy("most sign-ins succeed")
    few = Eyes(tried={WEB: [19.0] * 6}, good={WEB: [0.0] * 6})
    quiet = detect(few, ALONE)
    assert isinstance(quiet, Healthy)
    assert quiet.idle
    waning = Eyes(tried={WEB: [50.0, 50.0, 50.0, 5.0, 5.0, 5.0]}, good={WEB: [0.0] * 6})
    assert isinstance(detect(waning, ALONE), Unknown)
    nobody = Eyes(tried={}, good={}, requests=[])
    assert isinstance(detect(nobody), Healthy)


@pytest.mark.parametrize(
    "on",
    [
        Eyes(good={WEB: Unread("no"), APP: []}),
        Eyes(tried={WEB: Unread("no"), APP: []}),
        Eyes(refused=Unread("no")),
        Eyes(requests=Unread("no")),
    ],
)
def test_what_cannot_be_seen_is_unknown(on: Eyes) -> None:
    """And neither sick nor well."""
    assert detect(on) == Unknown("no")


def test_a_pool_without_clients_is_not_looked_at() -> None:
    """There would be nothing to count."""
    bare = Target(POOL, "group")
    assert not ONE.takes(bare)
    assert ONE.takes(TARGET)
    assert ONE.watch(bare) == ()
    assert isinstance(detect(Eyes(), bare), Healthy)
    assert "explain it" in diagnose(Eyes(), bare).cause


@given(good=st.lists(st.floats(0, 1), max_size=6), tried=st.lists(st.floats(0, 1e6), max_size=6))
def test_any_figures_have_an_answer(good: list[float], tried: list[float]) -> None:
    """Detection is total."""
    assert isinstance(detect(Eyes(good={WEB: good}, tried={WEB: tried}), ALONE), Healthy | Sick | Unknown)


# -- why ---------------------------------------------------------------------------------------------------------------


def test_every_declared_read_is_used() -> None:
    """And none beside them."""
    on = Eyes()
    diagnose(on)
    assert on.used == set(SignInsFailing.reads)


@pytest.mark.parametrize(
    "on, cause",
    [
        (Eyes(clients={WEB: client(), APP: None}), f"there is no client {APP} any more"),
        (
            Eyes(clients={WEB: client(ExplicitAuthFlows=["ALLOW_REFRESH_TOKEN_AUTH"]), APP: client()}),
            f"client {WEB} has no way to sign in: it allows ALLOW_REFRESH_TOKEN_AUTH alone",
        ),
        (
            Eyes(api={"userPoolConfig": {"userPoolId": "another"}, "additionalAuthenticationProviders": [{}]}),
            "the API a1 takes no tokens of eu-central-1_A: it takes those of another",
        ),
        (Eyes(api={}), "the API a1 takes no tokens of eu-central-1_A: it takes those of no user pool"),
        (
            Eyes(counts={("SignInThrottles", APP): 12.0}),
            f"Cognito turned 12 sign-ins through client {APP} away in 15 minutes, for there were {MORE}",
        ),
        (
            Eyes(pool={"LambdaConfig": {"PreAuthentication": TRIGGER}}, counts={("Errors", "pre-auth"): 3.0}),
            f"pre-auth, which Cognito calls at a sign-in (PreAuthentication), failed 3 times {TURNED} 0 {LATELY}",
        ),
        (
            Eyes(pool={"LambdaConfig": {"UserMigration": TRIGGER}}, counts={("Throttles", "pre-auth"): 3.0}),
            f"pre-auth, which Cognito calls at a sign-in (UserMigration), failed 0 times {TURNED} 3 {LATELY}",
        ),
        (Eyes(pool={"SmsConfigurationFailure": "SNSSandbox"}), "Cognito cannot send text messages: SNSSandbox"),
        (Eyes(pool={"EmailConfigurationFailure": "SESLimit"}), "Cognito cannot send mail: SESLimit"),
        (
            Eyes(pool={"LastModifiedDate": NOW - timedelta(hours=3)}),
            f"the pool was changed at {NOW - timedelta(hours=3):%Y-%m-%d %H:%M} UTC",
        ),
        (
            Eyes(clients={WEB: client(LastModifiedDate=NOW), APP: client()}),
            f"client {WEB} was changed at {NOW:%Y-%m-%d %H:%M} UTC",
        ),
    ],
)
def test_the_setting_that_explains_it_is_named(on: Eyes, cause: str) -> None:
    """With what to do about it, what never to do, and what is there to be flushed by hand."""
    told = diagnose(on)
    assert told.cause == cause
    assert any("update-user-pool-client sets whatever it does not name back" in line for line in told.advice)
    assert "flush-api-cache" in told.advice[-1]


@pytest.mark.parametrize(
    "on",
    [
        Eyes(),
        Eyes(clients={WEB: client(ExplicitAuthFlows=[]), APP: client(ExplicitAuthFlows=None)}),
        Eyes(
            clients={
                WEB: client(
                    ExplicitAuthFlows=["ALLOW_REFRESH_TOKEN_AUTH"],
                    AllowedOAuthFlowsUserPoolClient=True,
                    AllowedOAuthFlows=["code"],
                ),
                APP: client(),
            }
        ),
        Eyes(pool={"LambdaConfig": {"PreAuthentication": TRIGGER, "CustomMessage": TRIGGER}}),
        Eyes(pool={"LambdaConfig": {"CustomMessage": TRIGGER}}, counts={("Errors", "pre-auth"): 3.0}),
        Eyes(pool={"LastModifiedDate": NOW - timedelta(hours=4)}),
        Eyes(pool={"LastModifiedDate": NOW, "CreationDate": NOW}),
        Eyes(pool={"LastModifiedDate": "yesterday"}),
        Eyes(
            api={
                "authenticationType": "API_KEY",
                "additionalAuthenticationProviders": [{"userPoolConfig": {"userPoolId": POOL.name}}],
            }
        ),
    ],
)
def test_what_explains_nothing_is_not_named(on: Eyes) -> None:
    """Cognito's default flows, a page to sign in at, a trigger that works, a change of long ago."""
    assert diagnose(on).cause == "neither the settings of eu-central-1_A nor those of its clients explain it"


def test_the_first_cause_is_told_and_the_others_beside_it() -> None:
    """In the order in which they are asked."""
    told = diagnose(Eyes(clients={WEB: None, APP: client()}, pool={"SmsConfigurationFailure": "SNSSandbox"}))
    assert told.cause == f"there is no client {WEB} any more"
    assert told.evidence[-1] == "beside that, Cognito cannot send text messages: SNSSandbox"
    assert len(told.advice) == len(set(told.advice)) == 4


def test_ways_to_sign_in_and_validity_are_shown_and_the_secret_is_not() -> None:
    """A report has nothing in it that lets anybody in, and nothing of a user."""
    units = {"AccessToken": "minutes"}
    shown = diagnose(
        Eyes(
            pool={"EmailConfiguration": {"From": "kim@example.com"}, "EstimatedNumberOfUsers": 4711},
            clients={
                WEB: client(AccessTokenValidity=5, RefreshTokenValidity=30, TokenValidityUnits=units),
                APP: client(ExplicitAuthFlows=[]),
            },
        )
    )
    assert shown.evidence[:4] == (
        "many sign-ins fail",
        "50 were counted in 15 minutes",
        f"client {WEB} allows ALLOW_REFRESH_TOKEN_AUTH, ALLOW_USER_SRP_AUTH; {VALID}",
        f"client {APP} allows Cognito's default flows; valid: as long as is the default",
    )
    for private in (SECRET, "kim@example.com", "4711"):
        assert private not in repr(shown)


def test_without_an_api_there_is_nothing_to_flush() -> None:
    """And none is read."""
    on = Eyes(api={})
    told = diagnose(on, replace(TARGET, api=None))
    assert "explain it" in told.cause
    assert "appsync:GetGraphqlApi" not in on.used
    assert not any("flush" in line for line in told.advice)


def test_nothing_is_ever_written() -> None:
    """It only tells."""
    assert SignInsFailing.writes == ()
