"""A service is what AWS describes, None where AWS calls it missing, and else unknown."""

from __future__ import annotations

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import gather

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud


def service(name: str, cluster: str = "prod") -> Arn:
    """The ARN of a service, made or not."""
    return Arn("aws", "ecs", REGION, ACCOUNT, f"service/{cluster}/{name}")


def read(arn: Arn) -> ResourceRead:
    """What it is like."""
    return ResourceRead("ecs.service", str(arn))


def test_ten_services_of_a_cluster_are_one_call(cloud: Cloud) -> None:
    """Twelve of one cluster and one of another are three calls, and each service comes with its tags."""
    arns = cloud.services("prod", [f"s{number:02}" for number in range(12)]) + cloud.services("test", ["s00"])
    readings = gather(cloud.aws(threads=True), map(read, arns), now=NOW)
    assert sorted(len(params["services"]) for params in cloud.asked("DescribeServices")) == [1, 2, 10]
    for arn in arns:
        answer = readings.resource(read(arn))
        assert isinstance(answer, dict)
        assert (answer["serviceArn"], answer["tags"]) == (str(arn), [{"key": "system", "value": "test"}])


def test_a_missing_service_is_none(cloud: Cloud) -> None:
    """AWS calls it MISSING, or its whole cluster is gone: it does not exist, and its neighbours do."""
    (there,) = cloud.services("prod", ["there"])
    readings = gather(cloud.aws(), map(read, [there, service("gone"), service("any", "no-such-cluster")]), now=NOW)
    assert isinstance(readings.resource(read(there)), dict)
    assert readings.resource(read(service("gone"))) is None
    assert readings.resource(read(service("any", "no-such-cluster"))) is None


@pytest.mark.parametrize("form", ["service/prod/{}", "service/{}"])
def test_a_failure_is_found_by_either_form_of_its_arn(cloud: Cloud, form: str) -> None:
    """Only MISSING means gone: any other failure, and a service that is not mentioned, is unknown."""
    prefix = f"arn:aws:ecs:{REGION}:{ACCOUNT}:"
    cloud.answers["DescribeServices"] = lambda _: {
        "services": [{"serviceName": "there", "status": "ACTIVE"}],
        "failures": [
            {"arn": prefix + form.format("gone"), "reason": "MISSING"},
            {"arn": prefix + form.format("odd"), "reason": "SOMETHING"},
        ],
    }
    answers = gather(cloud.aws(), [read(service(name)) for name in ("there", "gone", "odd", "silent")], now=NOW).answers
    assert answers == {
        read(service("there")): {"serviceName": "there", "status": "ACTIVE"},
        read(service("gone")): None,
        read(service("odd")): Unread("ecs:DescribeServices: SOMETHING for service odd"),
        read(service("silent")): Unread("ecs:DescribeServices: no answer for service silent"),
    }


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidParameterException"])
def test_a_service_that_spoils_its_call_is_unknown_alone(cloud: Cloud, code: str) -> None:
    """A permission is checked for every service of a call: the one that lacks it is found, the nine others are read."""
    arns = cloud.services("prod", [f"s{number}" for number in range(10)])
    cloud.fail("DescribeServices", code, lambda params: "s7" in params["services"])
    readings = gather(cloud.aws(), map(read, arns), now=NOW)
    answer = readings.resource(read(arns[7]))
    assert isinstance(answer, Unread)
    assert all(part in answer.reason for part in ("ecs:DescribeServices", code))
    assert [arn.name for arn in arns if isinstance(readings.resource(read(arn)), Unread)] == ["s7"]


def test_a_throttled_call_makes_exactly_its_own_services_unknown(cloud: Cloud) -> None:
    """The other clusters are read."""
    slow, fine = cloud.services("slow", ["a", "b"]), cloud.services("fine", ["a"])
    cloud.fail("DescribeServices", "ThrottlingException", lambda params: params["cluster"].endswith("/slow"))
    readings = gather(cloud.aws(), map(read, slow + fine), now=NOW)
    assert [type(readings.resource(read(arn))) for arn in slow + fine] == [Unread, Unread, dict]
    assert cloud.count == {"DescribeServices": 2}


def test_the_short_arn_is_unknown_and_says_what_to_write(cloud: Cloud) -> None:
    """Which cluster is not ours to guess."""
    short = Arn("aws", "ecs", REGION, ACCOUNT, "service/api")
    answer = gather(cloud.aws(), [read(short)], now=NOW).resource(read(short))
    assert isinstance(answer, Unread)
    assert "write service/CLUSTER/api" in answer.reason
    assert not cloud.calls
