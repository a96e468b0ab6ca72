"""What a thin world tells of load balancers, groups, certificates and names is what moto tells of the same ones."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox.scenes import NIGHT
from sandbox.systems.usage_metrics import UsageMetrics
from sandbox.world import World

NO_CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/12345678-0000-4000-8000-000000000000"
WORLDS: dict[str, Callable[[UsageMetrics], object]] = {
    "as it was built": lambda _: None,
    "listeners deleted": UsageMetrics.lose_listeners,
    "listeners lead elsewhere": UsageMetrics.lead_elsewhere,
    "maintenance page": UsageMetrics.show_maintenance_page,
    "group closed": UsageMetrics.close_security_group,
    "certificate": lambda system: system.serve_https(valid=timedelta(days=3)),
    "certificate expired": lambda system: system.serve_https(valid=timedelta(minutes=5)),
    "name": UsageMetrics.serve_by_name,
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_thin_world_tells_what_moto_tells(name: str) -> None:
    """Each answer along the way of a request says nothing else than moto's, and leaves out no list or entry of one."""
    with World(NIGHT, thin=True) as world:
        system = UsageMetrics(world)
        WORLDS[name](system)
        world.run(timedelta(minutes=10))
        asked = 0
        for service, method, params in _way(world, system):
            thin = getattr(world.client(service), method)(**params)
            full = getattr(world._full(service), method)(**params)
            for answer in (thin, full):  # moto tells the text of the record that it makes itself as that of a dict
                answer.get("ResourceRecordSets", [])[:] = [
                    each for each in answer.get("ResourceRecordSets", ()) if each["Type"] != "SOA"
                ]
            _within(thin, full, f"{service}.{method}")
            asked += 1
        assert asked >= (3 if name == "listeners deleted" else 5)


@pytest.mark.parametrize(
    "service, method, params",
    [
        (
            "elbv2",
            "describe_load_balancers",
            {"LoadBalancerArns": ["arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/gone/1"]},
        ),
        (
            "elbv2",
            "describe_listeners",
            {"LoadBalancerArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/gone/1"},
        ),
        ("ec2", "describe_security_groups", {"GroupIds": ["sg-0123456789abcdef0"]}),
        (
            "acm",
            "describe_certificate",
            {"CertificateArn": NO_CERTIFICATE},
        ),
        ("route53", "list_resource_record_sets", {"HostedZoneId": "ZGONE"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_there_is_refused_alike(service: str, method: str, params: dict[str, Any]) -> None:
    """With the same code, by which remediations tell `gone` from `not allowed`."""
    with World(NIGHT, thin=True) as world:
        UsageMetrics(world)
        codes = []
        for client in (world.client(service), world._full(service)):
            with pytest.raises(ClientError) as refused:
                getattr(client, method)(**params)
            codes.append(refused.value.response["Error"]["Code"])
        assert codes[0] == codes[1]


def _way(world: World, system: UsageMetrics) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every question along the way of a request to the API."""
    balancer = system.target_group.load_balancer_arn
    yield "elbv2", "describe_load_balancers", {"LoadBalancerArns": [balancer]}
    yield "elbv2", "describe_listeners", {"LoadBalancerArn": balancer}
    yield "ec2", "describe_security_groups", {"GroupIds": [system.security_group]}
    for listener in world._full("elbv2").describe_listeners(LoadBalancerArn=balancer)["Listeners"]:
        arn = listener["ListenerArn"]
        yield "elbv2", "describe_rules", {"ListenerArn": arn}
        certificates = world._full("elbv2").describe_listener_certificates(ListenerArn=arn)["Certificates"]
        yield "elbv2", "describe_listener_certificates", {"ListenerArn": arn}
        for each in certificates:
            yield "acm", "describe_certificate", {"CertificateArn": each["CertificateArn"]}
    if system.zone:
        yield "route53", "list_resource_record_sets", {"HostedZoneId": system.zone}
        more = {"StartRecordName": system.name, "StartRecordType": "A", "MaxItems": "1"}
        yield "route53", "list_resource_record_sets", {"HostedZoneId": system.zone, **more}


def _within(thin: Any, full: Any, where: str) -> None:
    """The thin answer leaves keys out, but says of each that it has what the full one says."""
    if isinstance(thin, dict):
        for key, value in thin.items():
            if key != "ResponseMetadata":
                assert key in full, f"{where}: moto tells no {key}"
                _within(value, full[key], f"{where}.{key}")
    elif isinstance(thin, list):
        assert len(thin) == len(full), where
        for number, (ours, theirs) in enumerate(zip(thin, full, strict=True)):
            _within(ours, theirs, f"{where}[{number}]")
    else:
        assert thin == full, where
