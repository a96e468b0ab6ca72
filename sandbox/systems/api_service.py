"""
An ECS service behind a load balancer, and its requests: what every API is, whatever else its system has.

Causes     it hangs, it fails its health checks or requests, it leaks memory, a bad release, no task can be
           started, more load than it can carry; before it: no requests come, listeners that are gone, lead
           elsewhere or show a maintenance page, a closed security group, an expired certificate, a name that
           leads elsewhere
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sandbox.certificates import self_signed
from sandbox.images import Behaviour
from sandbox.load_balancers import TargetGroup
from sandbox.services import Deployment, Service
from sandbox.systems.ecs_system import OPT_IN, EcsSystem

_ANYBODY = [
    {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]} for port in (80, 443)
]


class ApiService(EcsSystem):
    """A system with an API. One that calls :meth:`make_api` never has none."""

    _target_group: TargetGroup | None = None
    name = "api.example.com"
    """by which people come to the API, once it is served by its name"""
    zone = ""
    """the hosted zone of that name"""
    security_group = ""
    """who may come to the load balancer"""

    @property
    def target_group(self) -> TargetGroup:
        """What the load balancer sends requests to. Raises LookupError for a system without its API."""
        if self._target_group is None:
            raise LookupError("this system was made without its API")
        return self._target_group

    @property
    def api(self) -> Service:
        """The service behind the load balancer."""
        return self.target_group.service

    @property
    def log_group(self) -> str:
        """The ARN of the API's log group."""
        log = self.target_group.log
        return self.world.arn("logs", f"log-group:{log.name if log else ''}")

    @property
    def healthy(self) -> int:
        """How many of its tasks the load balancer calls healthy."""
        return [state for _, state, _ in self.target_group.targets].count("healthy")

    # -- load and causes

    def requests(self, per_minute: float) -> None:
        """Requests come in at this rate from now on."""
        self.target_group.per_minute = per_minute

    def has_a_past(self, *, quiet: tuple[datetime, datetime] | None = None) -> None:
        """The present load has come for eight days, but for a quiet span."""
        self.target_group.remember(timedelta(days=8), quiet=quiet)

    def hang_api(self, tasks: int | None = None) -> None:
        """Running tasks of the API stop answering (all, or the first few); ECS replaces them when it notices."""
        self.api.wedge(self.api.running[:tasks])

    def fail_checks(self, tasks: int | None = None, why: str = "Target.FailedHealthChecks") -> None:
        """Running tasks of the API (all, or the first few) fail their health checks until they are replaced."""
        self.target_group.failing |= {task.id: why for task in self.api.running[:tasks]}

    def break_checks(self, why: str = "Target.ResponseCodeMismatch") -> None:
        """What every health check of the API needs is gone: every task fails them, whenever it was started."""
        self.target_group.all_failing = why

    def mend_checks(self) -> None:
        """What the health checks need is back."""
        self.target_group.all_failing = None

    def break_pulls(self) -> None:
        """The API's image cannot be pulled any more: no task can be started."""
        self.api.cannot_start = "CannotPullContainerError: pull access denied"

    def ecs_stops_replacing(self) -> None:
        """Health checks no longer make ECS replace a task: an unhealthy target stays."""
        self.target_group.replaced_after = None

    def fail_requests(self, share: float) -> None:
        """This share of the requests fails in the application, whatever the tasks' health."""
        self.target_group.errors = share

    def fail_path(self, path: str, share: float) -> None:
        """This share of the requests to one path fails."""
        self.target_group.failing_paths[path] = share

    def slow_path(self, path: str, seconds: float) -> None:
        """Answers to one path take so much longer."""
        self.target_group.slow_paths[path] = seconds

    def slow_dependency(self, seconds: float) -> None:
        """What the API calls answers so much later: every answer takes longer, and no CPU is used for it."""
        self.target_group.slow = seconds

    def leak_memory(self, percent_per_hour: float) -> None:
        """The API's tasks leak: memory rises with their age until they are replaced, or killed."""
        self.api.leak_percent_per_hour = percent_per_hour

    def ship_bad_api(self, behaviour: Behaviour = Behaviour.CRASHES) -> Deployment:
        """Somebody ships a bad release of the API."""
        self.push(self.api, behaviour)
        return self.api.deploy()

    # -- causes, before the API

    def lose_listeners(self) -> None:
        """Somebody deletes the load balancer's listeners."""
        elb = self.world.client("elbv2")
        for listener in self._listeners():
            elb.delete_listener(ListenerArn=listener)

    def lead_elsewhere(self) -> None:
        """Somebody lets the listeners lead to another target group, in which there is nothing."""
        vpc = self.world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        other = self._make_group(f"{self.api.name}-blue", vpc, [{"Key": "team", "Value": "metrics"}])
        self._change_listeners({"Type": "forward", "TargetGroupArn": other["TargetGroupArn"]})

    def show_maintenance_page(self) -> None:
        """Somebody lets the listeners answer everything themselves, and forgets it."""
        page = {"StatusCode": "503", "ContentType": "text/plain", "MessageBody": "back soon"}
        self._change_listeners({"Type": "fixed-response", "FixedResponseConfig": page})

    def close_security_group(self) -> None:
        """Somebody takes everybody's leave to come to the load balancer."""
        self.world.client("ec2").revoke_security_group_ingress(GroupId=self.security_group, IpPermissions=_ANYBODY)

    def serve_https(self, valid: timedelta = timedelta(days=90)) -> None:
        """The load balancer speaks TLS, with a certificate that is valid so long; port 80 only sends people there."""
        elb, [plain] = self.world.client("elbv2"), self._listeners()
        https = {"Port": "443", "Protocol": "HTTPS", "StatusCode": "HTTP_301"}
        pem, key = self_signed(self.name, self.world.now, self.world.now + valid)
        certificate = self.world.client("acm").import_certificate(Certificate=pem, PrivateKey=key)["CertificateArn"]
        elb.create_listener(
            LoadBalancerArn=self.target_group.load_balancer_arn,
            Protocol="HTTPS",
            Port=443,
            Certificates=[{"CertificateArn": certificate}],
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group.arn}],
        )
        elb.modify_listener(ListenerArn=plain, DefaultActions=[{"Type": "redirect", "RedirectConfig": https}])

    def serve_by_name(self) -> None:
        """People come by a name from now on, which leads to the load balancer."""
        zone = self.world.client("route53").create_hosted_zone(Name="example.com", CallerReference=self.cluster)
        self.zone = zone["HostedZone"]["Id"].rpartition("/")[2]
        balancer = self.target_group.load_balancer_arn
        [described] = self.world.client("elbv2").describe_load_balancers(LoadBalancerArns=[balancer])["LoadBalancers"]
        self.change_name(described["DNSName"])

    def change_name(self, to: str) -> None:
        """Somebody lets the name lead to something else."""
        alias = {"HostedZoneId": "Z2P70J7EXAMPLE", "DNSName": to, "EvaluateTargetHealth": False}
        record = {"Name": self.name, "Type": "A", "AliasTarget": alias}
        self.world.client("route53").change_resource_record_sets(
            HostedZoneId=self.zone, ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]}
        )

    def _listeners(self) -> list[str]:
        found = self.world.client("elbv2").describe_listeners(LoadBalancerArn=self.target_group.load_balancer_arn)
        return [each["ListenerArn"] for each in found["Listeners"]]

    def _change_listeners(self, action: dict[str, Any]) -> None:
        for listener in self._listeners():
            self.world.client("elbv2").modify_listener(ListenerArn=listener, DefaultActions=[action])

    # -- building

    def make_api(
        self, name: str, *, balancer: str, group: str, tasks: int = 2, paths: tuple[str, ...] = ("/",), log: str = ""
    ) -> None:
        """The load balancer, its target group and the service; the first two have names of their own in the account."""
        world = self.world
        subnets = [each["SubnetId"] for each in world.client("ec2").describe_subnets()["Subnets"][:2]]
        vpc = world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        elb = world.client("elbv2")
        tags = [{"Key": key, "Value": value} for key, value in OPT_IN.items()]
        self.security_group = self._make_security_group(balancer, vpc)
        made: dict[str, Any] = elb.create_load_balancer(
            Name=balancer,
            Subnets=subnets,
            SecurityGroups=[self.security_group],
            Scheme="internet-facing",
            Tags=tags,
        )["LoadBalancers"][0]
        to = self._make_group(group, vpc, tags)
        elb.create_listener(
            LoadBalancerArn=made["LoadBalancerArn"],
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": to["TargetGroupArn"]}],
        )
        attached = {"targetGroupArn": to["TargetGroupArn"], "containerName": name, "containerPort": 3000}
        service = self.make_service(name, tasks, load_balancer=attached)
        way = made["LoadBalancerArn"], to["TargetGroupArn"]
        self._target_group = world.target_groups.add(
            TargetGroup(
                agenda=world.agenda,
                metrics=world.metrics,
                dice=world.dice(f"requests/{self.cluster}"),
                arn=to["TargetGroupArn"],
                load_balancer_arn=made["LoadBalancerArn"],
                service=service,
                door=lambda: world.front_doors.passage(*way, (self.zone, self.name) if self.zone else None),
                paths=paths,
                log=world.insights.add(log or f"/ecs/{group}"),
            )
        )

    def _make_security_group(self, name: str, vpc: str) -> str:
        ec2 = self.world.client("ec2")
        made = ec2.create_security_group(GroupName=name, Description="who may come to the load balancer", VpcId=vpc)
        ec2.authorize_security_group_ingress(GroupId=made["GroupId"], IpPermissions=_ANYBODY)
        return str(made["GroupId"])

    def _make_group(self, name: str, vpc: str, tags: list[dict[str, str]]) -> dict[str, Any]:
        made: dict[str, Any] = self.world.client("elbv2").create_target_group(
            Name=name, Protocol="HTTP", Port=3000, VpcId=vpc, TargetType="ip", HealthCheckPath="/health", Tags=tags
        )["TargetGroups"][0]
        return made
