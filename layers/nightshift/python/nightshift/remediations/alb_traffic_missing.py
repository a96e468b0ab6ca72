"""
Requests stop coming: look along their way from the name to the tasks, and tell people where it is broken.

Symptom   no request in a quarter of an hour, and last week there were some in every quarter of this hour
Cause     a listener, a rule, a security group, a certificate, a name, or something before all of them
Cure      none of a machine's: each is somebody's decision, and the wrong one opens a door to the world
Proof     requests come again
Undo      nothing is done
Source    runbook 4 "No Traffic / Zero Requests"; R7

A load balancer counts a request only once a task was found for it, and reports nothing where there is none to count. So
silence is believed only while it reports its tasks; connections and what it answered by itself are looked at first, for
a door that nobody reaches is another failure than one that nobody gets through. What could not be read is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from nightshift import states
from nightshift.errors import AwsError, Denied, Missing, Refused
from nightshift.model import (
    Alternative,
    Arn,
    Diagnosis,
    DnsRecord,
    Finding,
    Healthy,
    MetricQuery,
    Observation,
    Queries,
    ResourceRead,
    Severity,
    Sick,
    Signal,
    Target,
    Unknown,
)
from nightshift.remediation import Reader, Readings, ReportOnly, Series, Unread
from nightshift.signals import balancer_metric, group_metric
from nightshift.states import minutes

__all__ = ["AlbTrafficMissing"]

_WEEK = timedelta(days=7)
_QUARTER = timedelta(minutes=15)
_QUARTERS = 4
_MOST = 0.8  # share of the minutes in which the tasks must have been reported before silence means anything
_LATE = timedelta(minutes=3)  # how old the start of the newest minute may be
_LISTENERS, _RULES, _CERTIFICATES = 50, 200, 50  # AWS's defaults: 50 listeners, 100 rules, 25 certificates
_RECORDS = 20  # of one name: more than that are not told apart here
_LINES = 3  # of one kind in a report
_SHOWN = 3  # sources or names in one line of a report

_COUNTS: Mapping[str, str] = {
    "NewConnectionCount": "new connections",
    "RejectedConnectionCount": "connections rejected at its limit",
    "ClientTLSNegotiationErrorCount": "failed TLS handshakes",
    "HTTPCode_ELB_5XX_Count": "requests that it answered with 5xx by itself",
    "HTTP_Fixed_Response_Count": "fixed responses",
    "HTTP_Redirect_Count": "redirects",
    "RequestCount": "requests for any of its target groups",
}
"""
What a load balancer counts for itself as a whole, each only where there is any.

Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""
_BEFORE_IT = (".cloudfront.net", ".awsglobalaccelerator.com")
_WORLD = frozenset({"0.0.0.0/0", "::/0"})


@dataclass(frozen=True, slots=True)
class _Part:
    """
    What one part of the way shows, for the report.

    ``cause`` is what keeps every request away for certain, ``perhaps`` what may do so; ``unread`` what was not seen.
    """

    seen: tuple[str, ...] = ()
    cause: str = ""
    perhaps: str = ""
    unread: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Listener:
    """A listener, and its rules in the order in which they are tried."""

    arn: str
    protocol: str
    port: int
    rules: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        return f"{self.protocol}:{self.port}"

    def reached(self) -> Iterator[Mapping[str, Any]]:
        """The rules that a request can come to: those up to the first one that takes every request."""
        for rule in self.rules:
            yield rule
            if _takes_all(rule):
                return

    def serves(self, group: Arn) -> bool:
        """Whether any request can come to that target group."""
        return any(_forwards(rule, group) for rule in self.reached())

    def said(self, group: Arn) -> str:
        """What it does, in a line: how many rules lead to the group, and where the last one leads."""
        ours = sum(_forwards(rule, group) for rule in self.reached())
        hidden = sum(_forwards(rule, group) for rule in self.rules) - ours
        last = [*self.reached()][-1:]
        rest = f"; whatever no other rule takes: {_does(last[0], group)}" if last else "; it has no rule"
        behind = f"; {hidden} more never reached" if hidden else ""
        return f"listener {self.name}: {ours} rules lead to the target group{behind}{rest}"


class AlbTrafficMissing(ReportOnly):
    """A service behind a load balancer to which no requests come any more."""

    name: ClassVar[str] = "alb-traffic-missing"
    title: ClassVar[str] = "requests stop coming"
    kinds: ClassVar[tuple[str, ...]] = ("ecs:service",)
    needs: ClassVar[tuple[str, ...]] = ("load_balancer", "target_group")
    reads: ClassVar[tuple[str, ...]] = (
        "elasticloadbalancing:DescribeLoadBalancers",
        "elasticloadbalancing:DescribeListeners",
        "elasticloadbalancing:DescribeRules",
        "elasticloadbalancing:DescribeListenerCertificates",
        "ec2:DescribeSecurityGroups",
        "acm:DescribeCertificate",
        "route53:ListResourceRecordSets",
    )

    silent_for: timedelta = Field(
        default=_QUARTER,
        ge=timedelta(minutes=5),
        le=timedelta(minutes=30),
        description="how long no request must have come to be a failure",
    )
    least: PositiveInt = Field(
        default=60,
        description="requests in the same hour last week below which silence means nothing: with 60, a quarter of an "
        "hour without any is no chance",
    )

    # -- seeing ----------------------------------------------------------------------------------------------------

    def watch(self, target: Target) -> Queries:
        metrics = self._metrics(target)
        return () if metrics is None else (*metrics, ResourceRead("ecs.service", str(target.arn)))

    def _metrics(self, target: Target) -> tuple[MetricQuery, MetricQuery, MetricQuery] | None:
        """Requests now, tasks now, and requests a week ago: in the hour that ends a quarter of an hour later."""
        if target.load_balancer is None or target.target_group is None:
            return None
        window = minutes(self.silent_for)
        between = (target.load_balancer, target.target_group)
        hour = group_metric(*between, "RequestCount", "Sum", _QUARTERS * minutes(_QUARTER))
        return (
            group_metric(*between, "RequestCount", "Sum", window),
            group_metric(*between, "HealthyHostCount", "Maximum", window),
            replace(hour, ago=minutes(_WEEK - _QUARTER)),
        )

    def detect(self, target: Target, seen: Readings) -> Observation:
        metrics = self._metrics(target)
        if metrics is None:
            return Unknown(f"nobody has said which load balancer {target.arn.name} stands behind")
        service = states.seen_service(target, seen)
        if isinstance(service, Healthy | Unknown):
            return service
        requests, tasks, before = (seen.metric(query) for query in metrics)
        if isinstance(requests, Unread):
            return Unknown(requests.reason)
        if requests.total > 0:
            return Healthy(f"{requests.total:.0f} requests in {minutes(self.silent_for)} minutes")
        if isinstance(tasks, Unread):
            return Unknown(tasks.reason)
        if isinstance(before, Unread):
            return Unknown(before.reason)
        return self._silent(target, tasks, before, seen.at)

    def _silent(self, target: Target, tasks: Series, before: Series, now: datetime) -> Observation:
        """What it means that no request was reported: nothing, where the load balancer reports nothing at all."""
        name, window = target.arn.name, minutes(self.silent_for)
        if len(tasks.points) < window * _MOST or now - tasks.points[-1][0] > _LATE:
            return Unknown(f"the load balancer reports neither requests nor tasks of {name}: that is no zero")
        if tasks.points[-1][1] < 1:
            return Unknown(f"no task of {name} is healthy: whether requests would come cannot be told")
        quarters = _quarters(before, now)
        if not before.points:
            return Healthy(f"no request, and none at this hour last week, if {name} was there then", idle=True)
        if min(quarters) <= 0 or sum(quarters) < self.least:
            return Healthy(
                f"no request, and too few to compare with at this hour last week: {sum(quarters):.0f}", idle=True
            )
        return Sick(
            Finding(
                remediation=self.name,
                target=str(target.arn),
                symptom=f"{name} has had no request for {window} minutes; at this hour last week it had "
                f"{sum(quarters):.0f}",
                signals=(
                    Signal("RequestCount", 0.0, 1.0, f"{window} minutes", "requests"),
                    Signal("RequestCount", sum(quarters), float(self.least), "the same hour last week", "requests"),
                ),
                severity=Severity.SEV2,
            )
        )

    # -- diagnosis -------------------------------------------------------------------------------------------------

    def diagnose(self, read: Reader, target: Target, finding: Finding) -> Diagnosis:
        balancer, group = target.load_balancer, target.target_group
        if balancer is None or group is None:
            raise Refused("load-balancer", "the configuration names no load balancer and target group of the service")
        counts, counted = _counted(read, balancer, minutes(self.silent_for))
        described, itself = _balancer(read, balancer)
        listeners, doors = _listeners(read, balancer, group)
        parts = (
            counted,
            itself,
            doors,
            _groups(read, described, listeners, group),
            _certificates(read, listeners, group),
            _name(read, target.dns, described),
            _Part(unread=("what stands before the load balancer: a CDN, a firewall (WAF), a proxy, the clients",)),
        )
        causes = [part.cause for part in parts if part.cause]
        perhaps = [part.perhaps for part in parts if part.perhaps] if not causes else []
        blamed = [part for part in parts if (part.cause if causes else part.perhaps)]
        advice = (
            *(line for part in blamed for line in part.advice),
            *(() if causes else _outside(target, described)),
        )
        return Diagnosis(
            target=str(target.arn),
            cause="; ".join(causes) or _nothing_found(counts, perhaps),
            evidence=(
                finding.symptom,
                *(line for part in parts for line in part.seen),
                *(f"not looked at: {line}" for part in parts for line in part.unread),
            ),
            rejected=(
                Alternative("it is always quiet now", "last week requests came in every quarter of this hour"),
                Alternative("its tasks do not answer", "the load balancer calls at least one of them healthy"),
                Alternative("somebody stopped it", "tasks are desired"),
            ),
            advice=advice,
        )


# -- comparing -------------------------------------------------------------------------------------------------------


def _quarters(before: Series, now: datetime) -> list[float]:
    """The requests of each quarter of the hour last week, the newest first."""
    found = [0.0] * _QUARTERS
    end = now - _WEEK + _QUARTER
    for at, value in before.points:
        which = int((end - at) / _QUARTER)  # metrics are a minute late, so the oldest are a little older than an hour
        found[min(max(which, 0), _QUARTERS - 1)] += value
    return found


# -- the parts of the way --------------------------------------------------------------------------------------------


def _counted(read: Reader, balancer: Arn, window: int) -> tuple[Mapping[str, float], _Part]:
    """What the load balancer counted of connections, and of requests that never reached a task."""
    queries = {name: balancer_metric(balancer, name, "Sum", window) for name in _COUNTS}
    readings = read.seen(*queries.values())
    answers = {name: readings.metric(query) for name, query in queries.items()}
    counts = {name: answer.total for name, answer in answers.items() if isinstance(answer, Series)}
    why = sorted({answer.reason for answer in answers.values() if isinstance(answer, Unread)})
    unread = (f"{len(answers) - len(counts)} of the load balancer's own counts ({'; '.join(why)})",) if why else ()
    said = ", ".join(f"{count:.0f} {_COUNTS[name]}" for name, count in counts.items() if count)
    seen = (f"the load balancer as a whole, in {window} minutes: {said or 'nothing'}",) if counts else ()
    logs = (
        f"aws elbv2 describe-load-balancer-attributes --load-balancer-arn {balancer} says whether and where it has them"
    )
    if counts.get("RejectedConnectionCount"):
        cause = f"the load balancer turned {counts['RejectedConnectionCount']:.0f} connections away: it is at its limit"
        return counts, _Part(seen, cause, unread=unread, advice=(f"See in its connection logs who connects: {logs}",))
    if counts.get("ClientTLSNegotiationErrorCount"):
        perhaps = f"{counts['ClientTLSNegotiationErrorCount']:.0f} TLS handshakes failed: clients come, and go again"
        advice = ("Try a handshake from outside: openssl s_client -connect NAME:443 -servername NAME",)
        return counts, _Part(seen, perhaps=perhaps, unread=unread, advice=advice)
    if counts.get("HTTPCode_ELB_5XX_Count"):
        number = counts["HTTPCode_ELB_5XX_Count"]
        perhaps = f"{number:.0f} requests reached the load balancer and no task: it answered them itself, with 5xx"
        advice = (f"See in its access logs which requests these were: {logs}",)
        return counts, _Part(seen, perhaps=perhaps, unread=unread, advice=advice)
    return counts, _Part(seen, unread=unread)


def _balancer(read: Reader, balancer: Arn) -> tuple[Mapping[str, Any], _Part]:
    """The load balancer itself; nothing where it could not be read."""
    look = f"aws elbv2 describe-load-balancers --load-balancer-arns {balancer}"
    who = "See who deleted it: " + _trail("DeleteLoadBalancer")
    gone = _Part(cause="the load balancer does not exist any more", advice=(who, "Build it again from its own stack."))
    try:
        answer = read("elbv2", "DescribeLoadBalancers", LoadBalancerArns=[str(balancer)])
    except Missing:
        return {}, gone
    except AwsError as error:
        return {}, _Part(unread=(f"the load balancer ({_why(error)}); by hand: {look}",))
    described = next((each for each in answer.get("LoadBalancers", ()) if _is(each, balancer)), None)
    if described is None:
        return {}, gone
    state, scheme = str(described.get("State", {}).get("Code")), str(described.get("Scheme", "of an unknown scheme"))
    seen = (f"the load balancer is {state}, and {scheme}",)
    if state == "active":
        return described, _Part(seen)
    advice = (f"Read what AWS says of it: {look}", "Ask AWS Support where it does not mend by itself.")
    if state == "active_impaired":  # it works, and cannot grow
        return described, _Part(seen, perhaps=f"the load balancer is {state}", advice=advice)
    return described, _Part(seen, f"the load balancer is {state}", advice=advice)


def _listeners(read: Reader, balancer: Arn, group: Arn) -> tuple[tuple[_Listener, ...] | None, _Part]:
    """The listeners with their rules, and whether any leads to our target group; None where they were not read."""
    look = f"aws elbv2 describe-listeners --load-balancer-arn {balancer}"
    try:
        found = tuple(
            _Listener(
                arn=str(each.get("ListenerArn")),
                protocol=str(each.get("Protocol")),
                port=int(each.get("Port", 0)),
                rules=_rules(read, str(each.get("ListenerArn"))),
            )
            for each in read.pages(
                "elbv2", "DescribeListeners", "Listeners", limit=_LISTENERS, LoadBalancerArn=str(balancer)
            )
        )
    except AwsError as error:
        return None, _Part(unread=(f"listeners and rules ({_why(error)}); by hand: {look}",))
    if not found:
        advice = (
            "See who deleted it: " + _trail("DeleteListener"),
            "Bring it back from the stack that owns the load balancer; what is there: " + look,
        )
        return found, _Part(("the load balancer has no listener",), "the load balancer has no listener", advice=advice)
    seen = _few([each.said(group) for each in found], "listeners")
    if any(each.serves(group) for each in found):
        return found, _Part(seen)
    hidden = any(_forwards(rule, group) for each in found for rule in each.rules)
    cause = (
        f"a rule that comes first takes every request away from the target group {_short(group)}"
        if hidden
        else f"no listener sends requests to the target group {_short(group)}"
    )
    return found, _Part(
        seen,
        cause,
        advice=(
            "See who changed it: " + _trail("ModifyListener") + " (or ModifyRule, CreateRule, DeleteListener)",
            f"Is it a maintenance page that nobody took down? aws elbv2 describe-rules --listener-arn {found[0].arn}",
            f"Else lead to the target group again, from the stack that owns the listener. The target group: {group}",
        ),
    )


def _rules(read: Reader, listener: str) -> tuple[Mapping[str, Any], ...]:
    found = read.pages("elbv2", "DescribeRules", "Rules", limit=_RULES, ListenerArn=listener)
    return tuple(sorted(found, key=_priority))


def _groups(read: Reader, balancer: Mapping[str, Any], listeners: Sequence[_Listener] | None, group: Arn) -> _Part:
    """Whether the load balancer's security groups let anybody in at the ports of its listeners. We never open one."""
    ids = [str(each) for each in balancer.get("SecurityGroups", ())]
    if not balancer or listeners is None:
        return _Part(unread=("security groups: which there are, or for which ports, is not known",))
    if not ids:
        return _Part(("the load balancer names no security group",))
    look = f"aws ec2 describe-security-groups --group-ids {' '.join(ids)}"
    try:
        found = read("ec2", "DescribeSecurityGroups", GroupIds=ids).get("SecurityGroups", ())
    except AwsError as error:
        return _Part(unread=(f"security groups ({_why(error)}); by hand: {look}",))
    allowed = [each for one in found for each in one.get("IpPermissions", ())]
    ports = sorted({each.port for each in listeners if each.serves(group)})
    open_to = {port: [source for each in allowed if _admits(each, port) for source in _sources(each)] for port in ports}
    shut = [port for port in ports if not open_to[port]]
    seen = _few([f"port {port} is open to {_listed(open_to[port]) or 'nobody'}" for port in ports], "ports")
    advice = (
        "See who closed it: " + _trail("RevokeSecurityGroupIngress"),
        f"What is let in now: {look}",
        "Let in again whoever should reach it, and nobody else, from the stack that owns the group.",
        "Nightshift never opens a security group: who should reach it, its team must say.",
    )
    if ports and shut == ports:
        cause = f"the load balancer's security groups let nobody in at {' and '.join(map(_port, ports))}"
        return _Part(seen, cause, advice=advice)
    narrow = [port for port in ports if port in shut or not _WORLD.intersection(open_to[port])]
    if narrow and balancer.get("Scheme") == "internet-facing":
        perhaps = f"the load balancer faces the internet, and {' and '.join(map(_port, narrow))} is open to a few only"
        return _Part(seen, perhaps=perhaps, advice=advice)
    return _Part(seen)


def _certificates(read: Reader, listeners: Sequence[_Listener] | None, group: Arn) -> _Part:
    """Whether what the listeners show to clients is valid."""
    seen: list[str] = []
    unread: list[str] = []
    bad: list[str] = []
    good = 0
    for listener in listeners or ():
        if listener.protocol != "HTTPS" or not listener.serves(group):
            continue
        try:
            arns = [
                str(each.get("CertificateArn"))
                for each in read.pages(
                    "elbv2",
                    "DescribeListenerCertificates",
                    "Certificates",
                    limit=_CERTIFICATES,
                    ListenerArn=listener.arn,
                )
            ]
        except AwsError as error:
            unread.append(f"certificates of {listener.name} ({_why(error)})")
            continue
        for arn in arns:
            wrong, line = _certificate(read, arn)
            if wrong is None:
                unread.append(f"{line} of {listener.name}")
                continue
            seen.append(f"{listener.name}: {line}")
            good += not wrong
            bad += [arn] if wrong else []
    shown, unshown = _few(seen, "certificates"), _few(unread, "certificates")
    if not bad:
        return _Part(shown, unread=unshown)
    advice = (
        f"Read why: aws acm describe-certificate --certificate-arn {bad[0]}",
        "Have it renewed or issued again: the record by which ACM validates it must still be there.",
        "Put it on the listener: aws elbv2 modify-listener --listener-arn LISTENER --certificates CertificateArn=NEW",
    )
    what = (
        f"{len(bad)} of {len(bad) + good} certificates that could be read {'is' if len(bad) == 1 else 'are'} not valid"
    )
    if good or unread:
        return _Part(shown, perhaps=what, unread=unshown, advice=advice)
    return _Part(shown, f"the certificate is not valid: {seen[0]}", advice=advice)


def _certificate(read: Reader, arn: str) -> tuple[bool | None, str]:
    """Whether a certificate is wrong, and a line about it; None where it was not looked at."""
    name = arn.rpartition("/")[2]
    if ":acm:" not in arn:
        return None, f"certificate {name}, which is not ACM's,"
    try:
        found = read("acm", "DescribeCertificate", CertificateArn=arn).get("Certificate", {})
    except AwsError as error:
        return None, f"certificate {name} ({_why(error)})"
    status, until = str(found.get("Status")), found.get("NotAfter")
    if not isinstance(until, datetime):
        return status != "ISSUED", f"certificate of {found.get('DomainName')} is {status}"
    over = until <= read.now()
    line = f"certificate of {found.get('DomainName')} is {status}, valid until {until:%Y-%m-%d %H:%M} UTC"
    return over or status != "ISSUED", f"{line}{', which is over' if over else ''}"


def _name(read: Reader, dns: DnsRecord | None, balancer: Mapping[str, Any]) -> _Part:
    """Whether the name by which people come leads to the load balancer."""
    if dns is None:
        by_hand = "nslookup NAME, and compare with the load balancer's DNS name"
        return _Part(unread=(f"DNS: the target names no record (dns = {{zone, name}}); by hand: {by_hand}",))
    look = (
        f"aws route53 test-dns-answer --hosted-zone-id {dns.zone} --record-name {dns.name} --record-type A; "
        f"nslookup {dns.name}"
    )
    try:
        answer = read(
            "route53",
            "ListResourceRecordSets",
            HostedZoneId=dns.zone,
            StartRecordName=dns.name,
            MaxItems=str(_RECORDS),
        )
    except AwsError as error:
        return _Part(unread=(f"DNS ({_why(error)}); by hand: {look}",))
    records = [each for each in answer.get("ResourceRecordSets", ()) if _host(each.get("Name")) == _host(dns.name)]
    leads = sorted({place for each in records for place in _leads(each)})
    advice = ("See who changed it: " + _trail("ChangeResourceRecordSets"), f"Ask for it: {look}")
    if not leads:
        cause = f"the zone {dns.zone} has no address for {dns.name}"
        return _Part((f"DNS: no address for {dns.name} in zone {dns.zone}",), cause, advice=advice)
    seen = (f"DNS: {dns.name} leads to {_listed(leads)}",)
    ours = _host(balancer.get("DNSName"))
    if not ours:
        return _Part(seen, unread=("whether that is the load balancer: its own name could not be read",))
    if ours in leads:
        return _Part(seen)
    if any(place.endswith(_BEFORE_IT) for place in leads):
        before = f"{dns.name} leads to what stands before the load balancer: {_listed(leads)}"
        return _Part(
            seen, perhaps=before, advice=(f"Look there next: its own metrics and origins ({_listed(leads)}).",)
        )
    lead = f"Lead it to the load balancer again, from the stack that owns the zone: {ours}"
    return _Part(
        seen, f"{dns.name} does not lead to this load balancer, but to {_listed(leads)}", advice=(*advice, lead)
    )


# -- where nothing was found -----------------------------------------------------------------------------------------


def _nothing_found(counts: Mapping[str, float], perhaps: Sequence[str]) -> str:
    if perhaps:
        return f"not certain; perhaps: {'; '.join(perhaps)}"
    connections = counts.get("NewConnectionCount")
    if connections is None:
        return "nothing was found that keeps requests away, and whether anybody connects could not be read"
    if connections:
        return f"{connections:.0f} connections came and no request: nothing was found that keeps requests away"
    return "nobody connects, and nothing was found that keeps them away: look before the load balancer, and at clients"


def _outside(target: Target, balancer: Mapping[str, Any]) -> tuple[str, ...]:
    """What shows from outside what cannot be seen from within."""
    host = target.dns.name if target.dns else str(balancer.get("DNSName", "NAME"))
    return (
        f"Ask from outside AWS, as a client would: curl -sv https://{host}/health",
        "Look at what stands before it (CDN, WAF, proxy): its errors and blocked requests, and its last changes.",
        "Have a canary outside ask every minute (CloudWatch Synthetics, or a Route 53 health check), and alarm on it.",
    )


# -- words -----------------------------------------------------------------------------------------------------------


def _why(error: AwsError) -> str:
    return f"not allowed: grant {error.action}" if isinstance(error, Denied) else f"{error.action}: {error.code}"


def _trail(event: str) -> str:
    return f"aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue={event}"


def _listed(places: Sequence[str]) -> str:
    some = list(dict.fromkeys(places))
    more = f" and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
    return f"{', '.join(some[:_SHOWN])}{more}"


def _few(lines: Sequence[str], what: str) -> tuple[str, ...]:
    """As many lines as a report has room for."""
    more = (f"{len(lines) - _LINES} more {what}",) if len(lines) > _LINES else ()
    return (*lines[:_LINES], *more)


def _port(port: int) -> str:
    return f"port {port}"


def _short(group: Arn) -> str:
    return group.resource.split("/")[1]


# -- what AWS says ---------------------------------------------------------------------------------------------------


def _is(described: Mapping[str, Any], balancer: Arn) -> bool:
    return described.get("LoadBalancerArn") == str(balancer)


def _priority(rule: Mapping[str, Any]) -> tuple[bool, int]:
    """Numbers first, the default last."""
    priority = str(rule.get("Priority"))
    return (not priority.isdecimal(), int(priority) if priority.isdecimal() else 0)


def _forwards(rule: Mapping[str, Any], group: Arn) -> bool:
    """Whether a rule gives requests to a target group. One with the weight 0 gets none."""
    for action in rule.get("Actions", ()):
        several = action.get("ForwardConfig", {}).get("TargetGroups", ())
        if any(each.get("TargetGroupArn") == str(group) and each.get("Weight", 1) > 0 for each in several):
            return True
        if not several and action.get("TargetGroupArn") == str(group):
            return True
    return False


def _does(rule: Mapping[str, Any], group: Arn) -> str:
    """What a rule does with a request."""
    if _forwards(rule, group):
        return "forwarded to it"
    kinds = [str(action.get("Type")) for action in rule.get("Actions", ())]
    return {"forward": "forwarded elsewhere", "fixed-response": "a fixed response", "redirect": "redirected"}.get(
        kinds[-1] if kinds else "", "nothing that is known here"
    )


def _takes_all(rule: Mapping[str, Any]) -> bool:
    """Whether every request meets a rule's conditions."""
    return all(
        each.get("Field") in {"path-pattern", "host-header"} and not {"*", "/*"}.isdisjoint(_values(each))
        for each in rule.get("Conditions", ())
    )


def _values(condition: Mapping[str, Any]) -> tuple[str, ...]:
    more = (condition.get(name, {}).get("Values", ()) for name in ("PathPatternConfig", "HostHeaderConfig"))
    return (*condition.get("Values", ()), *(value for values in more for value in values))


def _admits(permission: Mapping[str, Any], port: int) -> bool:
    protocol = permission.get("IpProtocol")
    if protocol == "-1":
        return True
    return protocol in {"tcp", "6"} and permission.get("FromPort", 0) <= port <= permission.get("ToPort", 0)


def _sources(permission: Mapping[str, Any]) -> Iterator[str]:
    """From where a permission lets requests in."""
    for where, key in (
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("UserIdGroupPairs", "GroupId"),
        ("PrefixListIds", "PrefixListId"),
    ):
        yield from (str(each.get(key)) for each in permission.get(where, ()))


def _leads(record: Mapping[str, Any]) -> Iterator[str]:
    """Where a record of a name leads."""
    if record.get("Type") not in {"A", "AAAA", "CNAME"}:
        return
    if alias := record.get("AliasTarget"):
        yield _host(alias.get("DNSName"))
    yield from (_host(each.get("Value")) for each in record.get("ResourceRecords", ()))


def _host(name: object) -> str:
    """A name as it is compared: without the last dot, and without what an alias to a load balancer may begin with."""
    text = str(name or "").lower().rstrip(".").replace("\\052", "*")
    return text.removeprefix("dualstack.")
