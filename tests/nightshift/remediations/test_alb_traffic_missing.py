"""Silence: believed only against last week and while tasks are reported; then the way of a request, part by part."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightshift.errors import Denied, Missing, Refused, Unreadable
from nightshift.model import (
    Arn,
    Diagnosis,
    DnsRecord,
    Finding,
    Healthy,
    Observation,
    Query,
    Severity,
    Sick,
    Target,
    Unknown,
)
from nightshift.remediation import Readings, Series, Unread
from nightshift.remediations.alb_traffic_missing import AlbTrafficMissing
from nightshift.signals import group_metric
from pydantic import ValidationError

from tests.nightshift.remediations.account import NOW, SERVICE, Account, Eyes, read, service

CURE = AlbTrafficMissing()
BALANCER = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/api/50dc6c495c0c9188")
GROUP = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/api/6d0ecf831eec9f09")
OTHER = Arn.parse("arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/old/6d0ecf831eec9f00")
API = Target(SERVICE, "orders", load_balancer=BALANCER, target_group=GROUP)
NAMED = replace(API, dns=DnsRecord("Z0123456789", "api.example.com"))
FINDING = Finding(CURE.name, str(SERVICE), "worker has had no request for 15 minutes")
MINUTE, WEEK = timedelta(minutes=1), timedelta(days=7)
REQUESTS = group_metric(BALANCER, GROUP, "RequestCount", "Sum", 15)
TASKS = group_metric(BALANCER, GROUP, "HealthyHostCount", "Maximum", 15)
BEFORE = replace(group_metric(BALANCER, GROUP, "RequestCount", "Sum", 60), ago=7 * 24 * 60 - 15)
NAME = "app/api/50dc6c495c0c9188"
DNS_NAME = "api-1.eu-central-1.elb.amazonaws.com"
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/1"


# -- seeing ------------------------------------------------------------------------------------------------------------


def points(*values: float, ago: timedelta = 2 * MINUTE) -> Series:
    """A point a minute; the newest began that long ago."""
    return Series(tuple((NOW - ago - (len(values) - 1 - n) * MINUTE, value) for n, value in enumerate(values)))


BUSY = points(*[5.0] * 60, ago=WEEK - 13 * MINUTE)
QUIET, WELL = Series(), points(*[2.0] * 15)


def looked(
    requests: Any = QUIET, tasks: Any = WELL, before: Any = BUSY, described: Any = None, cure: AlbTrafficMissing = CURE
) -> Observation:
    """What a look says that read this."""
    answers: dict[Query, Any] = {
        REQUESTS: requests,
        TASKS: tasks,
        BEFORE: before,
        read("ecs.service", SERVICE): service() if described is None else described,
    }
    return cure.detect(API, Readings(NOW, answers))


def test_it_reads_now_and_the_same_hour_a_week_ago() -> None:
    """Two windows: the last quarter of an hour, and the hour around it last week."""
    assert CURE.watch(API) == (REQUESTS, TASKS, BEFORE, read("ecs.service", SERVICE))
    assert CURE.watch(Target(SERVICE, "orders")) == ()
    assert not CURE.takes(Target(SERVICE, "orders"))


def test_silence_where_last_week_there_was_work_is_sick() -> None:
    """The finding names both figures."""
    seen = looked()
    assert isinstance(seen, Sick)
    assert seen.finding.severity is Severity.SEV2
    assert [signal.value for signal in seen.finding.signals] == [0.0, 300.0]
    assert seen.finding.symptom == "worker has had no request for 15 minutes; at this hour last week it had 300"


def test_points_of_zero_are_silence_too() -> None:
    """Whether nothing was reported or nothing was counted is the same."""
    assert isinstance(looked(points(0.0, 0.0)), Sick)


def test_one_request_is_no_silence_whatever_else_is_known() -> None:
    """Requests that come need nothing to be compared with."""
    assert looked(points(0.0, 1.0), Unread("x"), Unread("x")) == Healthy("1 requests in 15 minutes")


@pytest.mark.parametrize(
    "tasks, why",
    [
        (Series(), "that is no zero"),
        (points(*[2.0] * 11), "that is no zero"),
        (points(*[2.0] * 12, ago=4 * MINUTE), "that is no zero"),
        (points(*[2.0] * 14, 0.0), "no task of worker is healthy"),
        (Unread("cloudwatch is down"), "cloudwatch is down"),
    ],
)
def test_silence_of_what_is_not_reported_or_cannot_answer_is_unknown(tasks: Any, why: str) -> None:
    """Missing points are a zero only while the load balancer reports that tasks could answer."""
    seen = looked(tasks=tasks)
    assert isinstance(seen, Unknown)
    assert why in seen.reason


def test_tasks_reported_in_four_of_five_minutes_and_three_minutes_ago_are_enough() -> None:
    """The limits themselves."""
    assert isinstance(looked(tasks=points(*[1.0] * 12, ago=3 * MINUTE)), Sick)


@pytest.mark.parametrize(
    "before, why",
    [
        (Series(), "if worker was there then"),
        (points(*[5.0] * 43, ago=WEEK - 13 * MINUTE), "too few to compare with"),  # the first quarter was quiet
        (points(*[5.0] * 45, ago=WEEK + 2 * MINUTE), "too few to compare with"),  # the last one was
        (points(*[0.98] * 60, ago=WEEK - 13 * MINUTE), "too few to compare with"),
    ],
)
def test_where_last_week_was_quiet_in_a_part_of_the_hour_silence_is_no_failure(before: Series, why: str) -> None:
    """An evening that ends a few minutes sooner, a service that is used now and then, one that is new."""
    seen = looked(before=before)
    assert isinstance(seen, Healthy)
    assert seen.idle  # and where requests were missed before, it is no sign that they came back
    assert why in seen.summary


def test_sixty_requests_an_hour_are_enough() -> None:
    """One a minute; the setting moves it."""
    once = points(*[1.0] * 60, ago=WEEK - 13 * MINUTE)
    assert isinstance(looked(before=once), Sick)
    assert isinstance(looked(before=once, cure=AlbTrafficMissing(least=61)), Healthy)


@pytest.mark.parametrize(
    "requests, before, described",
    [(Unread("u"), BUSY, None), (QUIET, Unread("u"), None), (QUIET, BUSY, Unread("u"))],
)
def test_what_cannot_be_read_is_unknown(requests: Any, before: Any, described: Any) -> None:
    """Each for itself."""
    assert looked(requests, before=before, described=described) == Unknown("u")


def test_what_was_stopped_on_purpose_is_healthy_and_what_nobody_sends_requests_unknown() -> None:
    """Desired count 0; no load balancer."""
    assert isinstance(looked(described=service(desiredCount=0)), Healthy)
    assert isinstance(CURE.detect(Target(SERVICE, "orders"), Readings(NOW)), Unknown)


@given(
    st.lists(st.tuples(st.integers(-90, 90), st.floats(allow_nan=False, allow_infinity=False, width=32)), max_size=9),
    st.lists(st.floats(0, 9), max_size=20),
)
def test_detection_is_total(before: list[tuple[int, float]], tasks: list[float]) -> None:
    """Whatever the series hold, and wherever their points lie, there is an answer."""
    series = Series(tuple((NOW - WEEK + at * MINUTE, value) for at, value in sorted(before)))
    assert isinstance(looked(tasks=points(*tasks), before=series), Healthy | Sick | Unknown)


@pytest.mark.parametrize("wrong", [{"silent_for": MINUTE}, {"silent_for": timedelta(hours=1)}, {"least": 0}])
def test_settings_have_bounds(wrong: dict[str, Any]) -> None:
    """The hour of last week must hold the silence."""
    with pytest.raises(ValidationError):
        AlbTrafficMissing(**wrong)


# -- the way of a request ----------------------------------------------------------------------------------------------


def forward(*groups: Arn, weight: int = 1) -> dict[str, Any]:
    """An action that forwards."""
    if len(groups) == 1 and weight == 1:
        return {"Type": "forward", "TargetGroupArn": str(groups[0])}
    return {
        "Type": "forward",
        "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": str(each), "Weight": weight} for each in groups]},
    }


def rule(action: dict[str, Any] | None, priority: str = "default", *conditions: dict[str, Any]) -> dict[str, Any]:
    """A rule of a listener."""
    return {"Priority": priority, "Conditions": list(conditions), "Actions": [action] if action else []}


def path(*values: str) -> dict[str, Any]:
    """A condition on the path."""
    return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}


def permission(*sources: str, ports: tuple[int, int] = (443, 443), protocol: str = "tcp") -> dict[str, Any]:
    """What a security group lets in."""
    ranges = [{"CidrIp": each} for each in sources]
    found: dict[str, Any] = {"IpProtocol": protocol, "IpRanges": ranges}
    return found if protocol == "-1" else found | {"FromPort": ports[0], "ToPort": ports[1]}


FIXED, REDIRECT = {"Type": "fixed-response"}, {"Type": "redirect"}
ISSUED = {"Status": "ISSUED", "DomainName": "api.example.com", "NotAfter": NOW + timedelta(days=30)}
ALIAS = {"Name": "api.example.com.", "Type": "A", "AliasTarget": {"DNSName": f"dualstack.{DNS_NAME}."}}


def way(
    *,
    balancer: dict[str, Any] | None = None,
    listeners: tuple[tuple[str, int], ...] = (("HTTPS", 443),),
    rules: tuple[dict[str, Any], ...] = (rule(forward(GROUP)),),
    permissions: tuple[dict[str, Any], ...] = (permission("0.0.0.0/0"),),
    certificates: dict[str, dict[str, Any]] | None = None,
    records: tuple[dict[str, Any], ...] = (ALIAS,),
    counts: dict[str, Any] | None = None,
    **other: Any,
) -> Account:
    """An account in which the way of a request is well, but for what is said."""
    described = {
        "LoadBalancerArn": str(BALANCER),
        "DNSName": DNS_NAME,
        "Scheme": "internet-facing",
        "State": {"Code": "active"},
        "SecurityGroups": ["sg-1"],
    } | (balancer or {})
    shown = {CERTIFICATE: ISSUED} if certificates is None else certificates
    answers: dict[str, Any] = {
        "elasticloadbalancing:DescribeLoadBalancers": {"LoadBalancers": [described]},
        "elasticloadbalancing:DescribeListeners": [
            {"ListenerArn": f"l{port}", "Protocol": protocol, "Port": port} for protocol, port in listeners
        ],
        "elasticloadbalancing:DescribeRules": list(rules),
        "elasticloadbalancing:DescribeListenerCertificates": [{"CertificateArn": arn} for arn in shown],
        "ec2:DescribeSecurityGroups": {"SecurityGroups": [{"IpPermissions": list(permissions)}]},
        "acm:DescribeCertificate": lambda **params: {"Certificate": shown[params["CertificateArn"]]},
        "route53:ListResourceRecordSets": {"ResourceRecordSets": list(records)},
    }
    metrics = {(NAME, name): value for name, value in (counts or {}).items()}
    return Account(answers=answers, metrics=metrics, **other)


def told(there: Account, target: Target = NAMED) -> Diagnosis:
    """The diagnosis; there is always advice, and never that to open something to the world."""
    found = CURE.diagnose(Eyes(there, AlbTrafficMissing), target, FINDING)
    assert found.advice
    assert "0.0.0.0/0" not in " ".join(found.advice)
    return found


def unseen(found: Diagnosis) -> list[str]:
    """What the diagnosis says was not looked at, but for what stands before the load balancer."""
    return [line for line in found.evidence if line.startswith("not looked at") and "what stands before" not in line]


def test_where_all_is_well_people_are_told_to_look_outside() -> None:
    """Nothing is made up: nobody connects, and what was looked at is listed."""
    found = told(way())
    assert found.cause.startswith("nobody connects")
    assert found.advice[0] == "Ask from outside AWS, as a client would: curl -sv https://api.example.com/health"
    assert found.evidence == (
        FINDING.symptom,
        "the load balancer as a whole, in 15 minutes: nothing",
        "the load balancer is active, and internet-facing",
        "listener HTTPS:443: 1 rules lead to the target group; whatever no other rule takes: forwarded to it",
        "port 443 is open to 0.0.0.0/0",
        "HTTPS:443: certificate of api.example.com is ISSUED, valid until 2026-12-19 03:00 UTC",
        f"DNS: api.example.com leads to {DNS_NAME}",
        "not looked at: what stands before the load balancer: a CDN, a firewall (WAF), a proxy, the clients",
    )


def test_every_permission_that_is_declared_is_used_and_no_other() -> None:
    """By one diagnosis of a target that names its record."""
    eyes = Eyes(way(), AlbTrafficMissing)
    CURE.diagnose(eyes, NAMED, FINDING)
    assert eyes.used == set(AlbTrafficMissing.reads)


def test_nothing_is_ever_planned() -> None:
    """A diagnosis of it always has advice; one without is a bug, and refused."""
    assert AlbTrafficMissing.writes == ()
    with pytest.raises(Refused):
        CURE.plan(Diagnosis(str(SERVICE), "x"))
    with pytest.raises(Refused, match="names no load balancer"):
        CURE.diagnose(Eyes(way(), AlbTrafficMissing), Target(SERVICE, "orders"), FINDING)


@pytest.mark.parametrize(
    "counts, cause, advice",
    [
        ({"RejectedConnectionCount": [3.0]}, "turned 3 connections away: it is at its limit", "connection logs"),
        ({"ClientTLSNegotiationErrorCount": [3.0]}, "perhaps: 3 TLS handshakes failed", "openssl s_client"),
        ({"HTTPCode_ELB_5XX_Count": [3.0]}, "perhaps: 3 requests reached the load balancer and no task", "access logs"),
        ({"NewConnectionCount": [3.0]}, "3 connections came and no request", "curl -sv"),
        ({"NewConnectionCount": Unread("no")}, "whether anybody connects could not be read", "curl -sv"),
    ],
)
def test_connections_without_requests_tell_another_story_than_none(
    counts: dict[str, Any], cause: str, advice: str
) -> None:
    """What the load balancer counts itself is looked at first."""
    found = told(way(counts=counts))
    assert cause in found.cause
    assert advice in " ".join(found.advice)


def test_counts_that_cannot_be_read_are_said_in_one_line() -> None:
    """However many they are."""
    found = told(
        way(
            counts={
                name: Unread("no leave")
                for name in (
                    "NewConnectionCount",
                    "RejectedConnectionCount",
                    "ClientTLSNegotiationErrorCount",
                    "HTTPCode_ELB_5XX_Count",
                    "HTTP_Fixed_Response_Count",
                    "HTTP_Redirect_Count",
                    "RequestCount",
                )
            }
        )
    )
    assert unseen(found) == ["not looked at: 7 of the load balancer's own counts (no leave)"]
    assert not any("as a whole" in line for line in found.evidence)


GONE = "the load balancer does not exist any more"


def test_a_load_balancer_that_is_gone() -> None:
    """Whether AWS says so or shows another one."""
    action = "elasticloadbalancing:DescribeLoadBalancers"
    assert GONE in told(way(fails={action: Missing(action, "LoadBalancerNotFound")})).cause
    assert GONE in told(way(balancer={"LoadBalancerArn": "another"})).cause


@pytest.mark.parametrize(
    "state, cause",
    [("failed", "the load balancer is failed"), ("active_impaired", "perhaps: the load balancer is active_impaired")],
)
def test_a_load_balancer_that_is_not_well(state: str, cause: str) -> None:
    """Impaired is not failed: it works, and cannot grow."""
    found = told(way(balancer={"State": {"Code": state}}))
    assert cause in found.cause
    assert "AWS Support" in " ".join(found.advice)


def test_no_listener_at_all() -> None:
    """And the command that shows who deleted it."""
    found = told(way(listeners=()))
    assert found.cause == "the load balancer has no listener"
    assert "DeleteListener" in found.advice[0]


@pytest.mark.parametrize(
    "rules, line",
    [
        (
            (rule(forward(OTHER)),),
            "0 rules lead to the target group; whatever no other rule takes: forwarded elsewhere",
        ),
        ((rule(FIXED),), "a fixed response"),
        ((rule(REDIRECT),), "redirected"),
        ((rule({"Type": "authenticate-oidc"}),), "nothing that is known here"),
        ((rule(None),), "nothing that is known here"),
        ((rule(forward(OTHER, GROUP, weight=0)),), "forwarded elsewhere"),
        ((), "it has no rule"),
    ],
)
def test_no_rule_that_leads_to_the_target_group(rules: tuple[dict[str, Any], ...], line: str) -> None:
    """What the listener does instead stands in the evidence."""
    found = told(way(rules=rules))
    assert found.cause == "no listener sends requests to the target group api"
    assert any(line in each for each in found.evidence)


@pytest.mark.parametrize(
    "condition",
    [(), (path("*"),), (path("/x", "/*"),), ({"Field": "host-header", "Values": ["*"]},)],
)
def test_a_rule_that_comes_first_and_takes_everything(condition: tuple[dict[str, Any], ...]) -> None:
    """A maintenance page that nobody took down: the rule to the target group is there, and never reached."""
    found = told(
        way(rules=(rule(forward(GROUP)), rule(forward(GROUP), "20", path("/v1/*")), rule(FIXED, "3", *condition)))
    )
    assert found.cause == "a rule that comes first takes every request away from the target group api"
    assert any(
        "2 more never reached; whatever no other rule takes: a fixed response" in each for each in found.evidence
    )


@pytest.mark.parametrize(
    "rules",
    [
        (rule(forward(OTHER, GROUP, weight=5)),),
        (rule(FIXED), rule(forward(GROUP), "10", path("/v1/*"))),
        (rule(forward(GROUP)), rule(FIXED, "3", path("/old/*"))),
        (rule(forward(GROUP)), rule(FIXED, "3", path("*"), path("/old"))),
        (rule(forward(GROUP)), rule(FIXED, "3", {"Field": "http-header", "Values": ["*"]})),
    ],
)
def test_a_rule_that_leads_there_for_some_requests_is_no_cause(rules: tuple[dict[str, Any], ...]) -> None:
    """Part of a weighted action, a narrow rule before the default, a narrow rule that takes some away."""
    assert told(way(rules=rules)).cause.startswith("nobody connects")


def test_many_listeners_are_not_listed_one_by_one() -> None:
    """A report has room for three, and says how many more there are."""
    found = told(way(listeners=tuple(("HTTP", 8000 + n) for n in range(5)), permissions=(permission(protocol="-1"),)))
    assert "2 more listeners" in found.evidence
    assert "2 more ports" in found.evidence


@pytest.mark.parametrize(
    "permissions",
    [
        (),
        (permission(),),
        (permission("0.0.0.0/0", ports=(80, 80)),),
        (permission("0.0.0.0/0", ports=(444, 500)),),
        (permission("0.0.0.0/0", protocol="udp"),),
    ],
)
def test_a_security_group_that_lets_nobody_in(permissions: tuple[dict[str, Any], ...]) -> None:
    """The wrong port, the wrong protocol, no source: all are shut. We never open one, nor say "to the world"."""
    found = told(way(permissions=permissions))
    assert found.cause == "the load balancer's security groups let nobody in at port 443"
    assert "port 443 is open to nobody" in found.evidence
    assert any("never opens a security group" in line for line in found.advice)


@pytest.mark.parametrize(
    "permitted",
    [
        permission("0.0.0.0/0", protocol="-1"),
        permission("0.0.0.0/0", protocol="6", ports=(0, 65535)),
        {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]},
    ],
)
def test_a_security_group_that_lets_everybody_in(permitted: dict[str, Any]) -> None:
    """By any protocol, by number, by IPv6."""
    assert told(way(permissions=(permitted,))).cause.startswith("nobody connects")


NARROW = (
    permission("10.0.0.0/8"),
    {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "UserIdGroupPairs": [{"GroupId": "sg-2"}]},
    {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": [{"PrefixListId": "pl-1"}]},
    permission("10.1.0.0/16", "10.0.0.0/8"),
)


def test_a_load_balancer_that_faces_the_internet_and_is_open_to_a_few_is_perhaps_the_cause() -> None:
    """A CDN's addresses would be right: it is said as what may be. One that is internal needs no more."""
    found = told(way(permissions=NARROW))
    assert "perhaps: the load balancer faces the internet, and port 443 is open to a few only" in found.cause
    assert "port 443 is open to 10.0.0.0/8, sg-2, pl-1 and 1 more" in found.evidence
    assert told(way(permissions=NARROW, balancer={"Scheme": "internal"})).cause.startswith("nobody connects")


def test_one_port_that_is_shut_beside_one_that_is_open_is_perhaps_the_cause() -> None:
    """Requests could still come by the other one."""
    found = told(way(listeners=(("HTTPS", 443), ("HTTP", 80))))
    assert "perhaps: the load balancer faces the internet, and port 80 is open to a few only" in found.cause


def test_a_load_balancer_without_a_security_group_is_said() -> None:
    """An old one: there is nothing to be shut."""
    assert "the load balancer names no security group" in told(way(balancer={"SecurityGroups": []})).evidence


OVER = {"Status": "ISSUED", "DomainName": "api.example.com", "NotAfter": NOW}


@pytest.mark.parametrize(
    "certificate, line",
    [
        (OVER, "is ISSUED, valid until 2026-11-19 03:00 UTC, which is over"),
        ({"Status": "EXPIRED", "DomainName": "x", "NotAfter": NOW - WEEK}, "is EXPIRED"),
        ({"Status": "REVOKED", "DomainName": "x", "NotAfter": NOW + WEEK}, "is REVOKED"),
        ({"Status": "PENDING_VALIDATION", "DomainName": "x"}, "is PENDING_VALIDATION"),
    ],
)
def test_a_certificate_that_is_not_valid(certificate: dict[str, Any], line: str) -> None:
    """By its status, or by the time of day."""
    found = told(way(certificates={CERTIFICATE: certificate}))
    assert found.cause.startswith("the certificate is not valid: HTTPS:443")
    assert line in found.cause
    assert CERTIFICATE in found.advice[0]


def test_one_bad_certificate_among_several_is_perhaps_the_cause() -> None:
    """Which one a client gets depends on the name that it asks for."""
    several = {CERTIFICATE: ISSUED, f"{CERTIFICATE}2": OVER, f"{CERTIFICATE}3": OVER}
    assert "perhaps: 2 of 3 certificates that could be read are not valid" in told(way(certificates=several)).cause
    with_another = {CERTIFICATE: OVER, "arn:aws:iam::123456789012:server-certificate/old": {}}
    found = told(way(certificates=with_another))
    assert "perhaps: 1 of 1 certificates that could be read is not valid" in found.cause
    assert unseen(found) == ["not looked at: certificate old, which is not ACM's, of HTTPS:443"]


def test_a_certificate_without_an_end_that_is_issued_is_good() -> None:
    """ACM says no end where there is none yet."""
    assert told(way(certificates={CERTIFICATE: {"Status": "ISSUED"}})).cause.startswith("nobody connects")


def test_a_listener_that_speaks_no_tls_or_serves_others_needs_no_certificate() -> None:
    """Nothing is said of certificates then."""
    plain = told(way(listeners=(("HTTP", 80),), permissions=(permission("0.0.0.0/0", ports=(80, 80)),)))
    elsewhere = told(way(rules=(rule(FIXED),)))
    assert not any("certificate" in line for line in (*plain.evidence, *elsewhere.evidence))


@pytest.mark.parametrize(
    "records, cause",
    [
        ((), "the zone Z0123456789 has no address for api.example.com"),
        (({"Name": "apis.example.com.", "Type": "A"},), "has no address for api.example.com"),
        (({"Name": "api.example.com.", "Type": "TXT", "ResourceRecords": [{"Value": "x"}]},), "has no address"),
        (
            ({"Name": "api.example.com.", "Type": "CNAME", "ResourceRecords": [{"Value": "old.example.com."}]},),
            "api.example.com does not lead to this load balancer, but to old.example.com",
        ),
        (
            ({"Name": "api.example.com.", "Type": "A", "ResourceRecords": [{"Value": "192.0.2.1"}]},),
            "but to 192.0.2.1",
        ),
        (
            ({"Name": "api.example.com.", "Type": "A", "AliasTarget": {"DNSName": "d1.cloudfront.net."}},),
            "perhaps: api.example.com leads to what stands before the load balancer: d1.cloudfront.net",
        ),
    ],
)
def test_a_name_that_leads_elsewhere(records: tuple[dict[str, Any], ...], cause: str) -> None:
    """Nowhere, to an old name, to fixed addresses: a cause. To a CDN: where to look next."""
    assert cause in told(way(records=records)).cause


def test_a_name_that_leads_here_among_others_is_no_cause() -> None:
    """Weighted and failover records lead to several places."""
    other = {"Name": "API.example.com", "Type": "CNAME", "ResourceRecords": [{"Value": "old.example.com"}]}
    assert told(way(records=(other, ALIAS))).cause.startswith("nobody connects")


def test_a_wildcard_is_found_as_route_53_writes_it() -> None:
    r"""It writes the star as \052."""
    target = replace(API, dns=DnsRecord("Z0123456789", "*.example.com"))
    assert told(way(records=(ALIAS | {"Name": "\\052.example.com."},)), target).cause.startswith("nobody connects")


def test_without_a_record_in_the_configuration_dns_is_not_looked_at_and_the_report_says_how() -> None:
    """The target names none."""
    found = told(way(), API)
    assert [line for line in unseen(found) if "nslookup NAME" in line] == unseen(found)
    assert f"https://{DNS_NAME}/health" in found.advice[0]


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "action, says",
    [
        ("elasticloadbalancing:DescribeLoadBalancers", ["the load balancer (", "security groups: ", "whether that is"]),
        ("elasticloadbalancing:DescribeListeners", ["listeners and rules (", "security groups: "]),
        ("elasticloadbalancing:DescribeRules", ["listeners and rules (", "security groups: "]),
        ("elasticloadbalancing:DescribeListenerCertificates", ["certificates of HTTPS:443 ("]),
        ("ec2:DescribeSecurityGroups", ["security groups ("]),
        ("acm:DescribeCertificate", ["certificate 1 ("]),
        ("route53:ListResourceRecordSets", ["DNS ("]),
    ],
)
def test_what_cannot_be_read_is_said_and_blamed_for_nothing(action: str, says: list[str]) -> None:
    """A denial names what to grant, a failure what AWS called it; the rest is looked at all the same."""
    for error, why in (
        (Denied(action, "AccessDenied"), f"grant {action}"),
        (Unreadable(action, "Throttled"), "Throttled"),
    ):
        found = told(way(fails={action: error}))
        lines = unseen(found)
        assert [any(part in line for line in lines) for part in says] == [True] * len(says)
        assert why in lines[0]
        assert "nothing was found" in found.cause


def test_several_causes_are_all_told_in_the_order_of_the_way() -> None:
    """Somebody has taken more than one thing down."""
    found = told(way(rules=(rule(FIXED),), records=()))
    assert found.cause == (
        "no listener sends requests to the target group api; the zone Z0123456789 has no address for api.example.com"
    )
