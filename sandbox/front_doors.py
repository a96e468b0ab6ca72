"""
Front doors: the way of a request from a name to a target group, as the account's own resources make it.

Nothing is simulated here that is not in the account: the load balancer with its listeners and rules, its security
groups, its certificates and the name that leads to it are moto's, whoever changed them. What they do to requests is.
A request comes by its name, where there is one, to port 443, or to 80 where nothing listens there.
"""

from dataclasses import dataclass
from typing import Any

from moto.acm.models import acm_backends
from moto.ec2.models import ec2_backends
from moto.elbv2.models import elbv2_backends
from moto.route53.models import route53_backends

__all__ = ["OPEN", "FrontDoors", "Passage"]

PORTS = (443, 80)


@dataclass(frozen=True, slots=True)
class Passage:
    """How far a request comes, and by what it is counted."""

    connects: bool = True
    arrives: bool = True  # at the target group
    answer: str = ""  # the metric of how it ends where it connects and does not arrive


OPEN = Passage()
NOBODY = Passage(connects=False, arrives=False)


class FrontDoors:
    """All of an account."""

    def __init__(self, account: str, region: str) -> None:
        self._account = account
        self._region = region

    def passage(self, balancer_arn: str, group_arn: str, name: tuple[str, str] | None) -> Passage:
        """How far a request to a target group comes. ``name`` is the hosted zone and the name that people use."""
        balancer = self._of(elbv2_backends).load_balancers.get(balancer_arn)
        if balancer is None or (name is not None and not self._leads(*name, balancer.dns_name)):
            return NOBODY
        listeners = {int(each.port): each for each in balancer.listeners.values()}
        port = next((port for port in PORTS if port in listeners), None)
        if port is None or not self._lets_in(balancer, port):
            return NOBODY
        listener = listeners[port]
        if listener.protocol == "HTTPS" and not self._valid(listener.certificate):
            return Passage(arrives=False, answer="ClientTLSNegotiationErrorCount")
        [action] = next(rule.actions for rule in _ordered(listener) if _takes_all(rule))
        if action.type == "fixed-response":
            return Passage(arrives=False, answer="HTTP_Fixed_Response_Count")
        if action.type == "redirect":
            return Passage(arrives=False, answer="HTTP_Redirect_Count")
        if group_arn in _groups(action.data):
            return OPEN
        return Passage(arrives=False, answer="HTTPCode_ELB_5XX_Count")  # the other group has no targets

    def _of(self, backends: Any) -> Any:
        return backends[self._account][self._region]

    def _leads(self, zone: str, name: str, to: str) -> bool:
        """Whether a name leads to a load balancer."""
        found = route53_backends[self._account]["aws"].list_resource_record_sets(zone, "", name, 300)[0]
        return any(
            each.name.rstrip(".") == name and (each.alias_target or {}).get("DNSName", "").rstrip(".") == to
            for each in found
        )

    def _lets_in(self, balancer: Any, port: int) -> bool:
        """Whether its security groups let the world in at a port."""
        groups = [self._of(ec2_backends).get_security_group_from_id(each) for each in balancer.security_groups]
        rules = [rule for group in groups for rule in group.ingress_rules]
        return any(rule.from_port <= port <= rule.to_port and rule.cidr_ipv4 == "0.0.0.0/0" for rule in rules)

    def _valid(self, certificate: str) -> bool:
        bundle = self._of(acm_backends)._certificates[certificate]  # noqa: SLF001 - moto has no other way to look
        bundle.check()  # as moto does whenever it is asked: time passes for certificates, too
        return bool(bundle.status == "ISSUED")


def _ordered(listener: Any) -> list[Any]:
    """The rules in the order in which they are tried."""
    rules = list(listener.rules.values())
    return sorted(rules, key=lambda rule: (rule.is_default, 0 if rule.is_default else int(rule.priority)))


def _takes_all(rule: Any) -> bool:
    return all({"*", "/*"} & {*each.get("Values", ())} for each in rule.conditions)


def _groups(action: dict[str, Any]) -> list[str]:
    several = action.get("ForwardConfig", {}).get("TargetGroups", ())
    return [each["TargetGroupArn"] for each in several] or [str(action.get("TargetGroupArn"))]
