"""
What stands before a service, as a thin world answers for it: load balancers, security groups, certificates, names.

The things themselves are moto's, in a full world and here: only how they are told is written out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from moto.acm.models import acm_backends
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.route53.models import route53_backends

from sandbox.seam import Answer, AwsError, Call

__all__ = ["Doors"]


class Doors:
    """The few reading operations of four services."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region
        self.operations: dict[tuple[str, str], Callable[[Call], Answer]] = {
            ("acm", "DescribeCertificate"): self._certificate,
            ("ec2", "DescribeSecurityGroups"): self._security_groups,
            ("elbv2", "DescribeListenerCertificates"): self._listener_certificates,
            ("elbv2", "DescribeListeners"): self._listeners,
            ("elbv2", "DescribeLoadBalancers"): self._load_balancers,
            ("elbv2", "DescribeRules"): self._rules,
            ("route53", "ListResourceRecordSets"): self._records,
        }

    def _of(self, backends: Any) -> Any:
        return backends[self._account][self._region]

    def _load_balancers(self, call: Call) -> Answer:
        params = call.params
        found = _asked(
            lambda: self._of(elbv2_backends).describe_load_balancers(
                params.get("LoadBalancerArns"), params.get("Names")
            )
        )
        return {
            "LoadBalancers": [
                {
                    "LoadBalancerArn": each.arn,
                    "DNSName": each.dns_name,
                    "LoadBalancerName": each.name,
                    "Scheme": each.scheme,
                    "VpcId": each.vpc_id,
                    "State": {"Code": each.state},
                    "Type": each.type,
                    "SecurityGroups": list(each.security_groups),
                }
                for each in found
            ]
        }

    def _listeners(self, call: Call) -> Answer:
        params = call.params
        found = _asked(
            lambda: self._of(elbv2_backends).describe_listeners(
                params.get("LoadBalancerArn"), params.get("ListenerArns", [])
            )
        )
        return {
            "Listeners": [
                {
                    "ListenerArn": each.arn,
                    "LoadBalancerArn": each.load_balancer_arn,
                    "Port": int(each.port),
                    "Protocol": each.protocol,
                    "DefaultActions": [dict(action.data) for action in each.default_actions],
                }
                for each in found
            ]
        }

    def _rules(self, call: Call) -> Answer:
        params = call.params
        found = _asked(
            lambda: self._of(elbv2_backends).describe_rules(params.get("ListenerArn"), params.get("RuleArns"))
        )
        return {
            "Rules": [
                {
                    "RuleArn": each.arn,
                    "Priority": str(each.priority),
                    "Conditions": [dict(condition) for condition in each.conditions],
                    "Actions": [dict(action.data) for action in each.actions],
                    "IsDefault": each.is_default,
                }
                for each in found
            ]
        }

    def _listener_certificates(self, call: Call) -> Answer:
        found = _asked(lambda: self._of(elbv2_backends).describe_listener_certificates(call.params["ListenerArn"]))
        return {"Certificates": [{"CertificateArn": arn, "IsDefault": number == 0} for number, arn in enumerate(found)]}

    def _security_groups(self, call: Call) -> Answer:
        found = _asked(
            lambda: self._of(ec2_backends).describe_security_groups(
                group_ids=call.params.get("GroupIds", []), groupnames=call.params.get("GroupNames", []), filters={}
            )
        )
        return {
            "SecurityGroups": [
                {
                    "GroupId": each.id,
                    "GroupName": each.name,
                    "VpcId": each.vpc_id,
                    "IpPermissions": [_permission(rule) for rule in each.ip_permissions],
                }
                for each in found
            ]
        }

    def _certificate(self, call: Call) -> Answer:
        found = _asked(lambda: self._of(acm_backends).describe_certificate(call.params["CertificateArn"]))
        told = found.describe()["Certificate"]
        return {
            "Certificate": {
                **{
                    key: told[key]
                    for key in ("CertificateArn", "DomainName", "SubjectAlternativeNames", "Status", "Type")
                },
                "NotBefore": datetime.fromtimestamp(told["NotBefore"], UTC),
                "NotAfter": datetime.fromtimestamp(told["NotAfter"], UTC),
            }
        }

    def _records(self, call: Call) -> Answer:
        params = call.params
        found, name, kind, more = _asked(
            lambda: route53_backends[self._account]["aws"].list_resource_record_sets(
                params["HostedZoneId"].rpartition("/")[2],
                params.get("StartRecordType", ""),
                params.get("StartRecordName", ""),
                int(params.get("MaxItems", 300)),
            )
        )
        answer: Answer = {"ResourceRecordSets": [_record(each) for each in found], "IsTruncated": more}
        return answer | ({"NextRecordName": name, "NextRecordType": kind} if more else {})


def _asked(ask: Callable[[], Any]) -> Any:
    """What moto found, or its refusal as AWS would give it."""
    try:
        return ask()
    except ServiceException as error:
        raise AwsError(str(error.code), str(error.message), 400) from error
    except JsonRESTError as error:  # the older kind, which some services still raise
        raise AwsError(str(error.error_type), str(error.message), int(error.code)) from error


def _permission(rule: Any) -> dict[str, Any]:
    told = {
        "IpProtocol": rule.ip_protocol,
        "FromPort": rule.from_port,
        "ToPort": rule.to_port,
        "IpRanges": [dict(each) for each in rule.ip_ranges],
        "Ipv6Ranges": [dict(each) for each in rule.ipv6_ranges],
        "PrefixListIds": [dict(each) for each in rule.prefix_list_ids],
        "UserIdGroupPairs": [dict(each) for each in rule.source_groups],
    }
    return {key: value for key, value in told.items() if value is not None}


def _record(record: Any) -> dict[str, Any]:
    told = {
        "Name": record.name,
        "Type": record.type,
        "AliasTarget": record.alias_target,
        "ResourceRecords": [{"Value": _text(each)} for each in record.records or ()],
    }
    return {key: value for key, value in told.items() if value}


def _text(value: Any) -> str:
    """A record's text: moto wraps that of the SOA record which it makes itself."""
    return str(value["Value"] if isinstance(value, dict) else value)
