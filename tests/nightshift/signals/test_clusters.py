"""An Aurora cluster and a domain of OpenSearch are read as they are set up; how they are reached is not kept."""

from __future__ import annotations

import pytest
from nightshift.model import Arn, ResourceRead
from nightshift.remediation import Unread
from nightshift.signals import cluster_metric, domain_metric, gather, instance_metric

from tests.nightshift.signals.cloud import ACCOUNT, NOW, REGION, Cloud

CLUSTER = Arn("aws", "rds", REGION, ACCOUNT, "cluster:dms")
DOMAIN = Arn("aws", "es", REGION, ACCOUNT, "domain/search")
READ, SEARCH = ResourceRead("rds.cluster", str(CLUSTER)), ResourceRead("es.domain", str(DOMAIN))
SNAPSHOTS = ResourceRead("rds.snapshots", str(CLUSTER))


def test_a_cluster_is_its_status_its_range_and_its_instances(cloud: Cloud) -> None:
    """Asked for by its name; its endpoint and its user are left where they are."""
    said = {"Status": "available", "Engine": "aurora-mysql", "Endpoint": "x", "MasterUsername": "owner"}
    cloud.answers["DescribeDBClusters"] = lambda _: {"DBClusters": [said]}
    found = gather(cloud.aws(), [READ], now=NOW).resource(READ)
    assert found == {"Status": "available", "Engine": "aurora-mysql"}
    assert cloud.calls == [("DescribeDBClusters", {"DBClusterIdentifier": "dms"})]


def test_a_domain_is_its_nodes_and_whether_it_is_being_changed(cloud: Cloud) -> None:
    """Who may reach it, and where, is left where it is."""
    said = {"Processing": True, "ClusterConfig": {"InstanceCount": 3}, "Endpoint": "x", "AccessPolicies": "{}"}
    cloud.answers["DescribeDomain"] = lambda _: {"DomainStatus": said}
    found = gather(cloud.aws(), [SEARCH], now=NOW).resource(SEARCH)
    assert found == {"Processing": True, "ClusterConfig": {"InstanceCount": 3}}
    assert cloud.calls == [("DescribeDomain", {"DomainName": "search"})]


@pytest.mark.parametrize("read, operation", [(READ, "DescribeDBClusters"), (SEARCH, "DescribeDomain")])
def test_what_does_not_exist_is_none_and_what_is_denied_is_unknown(
    cloud: Cloud, read: ResourceRead, operation: str
) -> None:
    """The one is known, and the other is not."""
    code = {"DescribeDBClusters": "DBClusterNotFoundFault", "DescribeDomain": "ResourceNotFoundException"}[operation]
    cloud.fail(operation, code)
    assert gather(cloud.aws(), [read], now=NOW).resource(read) is None
    cloud.faults.clear()
    cloud.fail(operation, "AccessDenied")
    assert isinstance(gather(cloud.aws(), [read], now=NOW).resource(read), Unread)


def test_no_cluster_of_that_name_is_none(cloud: Cloud) -> None:
    """However AWS says it."""
    cloud.answers["DescribeDBClusters"] = lambda _: {"DBClusters": []}
    assert gather(cloud.aws(), [READ], now=NOW).resource(READ) is None


def test_metrics_are_named_by_what_they_are_of() -> None:
    """A cluster's and a domain's by their ARN, an instance's by its name; nothing else has them."""
    assert cluster_metric(CLUSTER, "CPUUtilization", "Maximum").dimensions == (("DBClusterIdentifier", "dms"),)
    assert instance_metric("dms-0", "CPUUtilization", "Maximum").dimensions == (("DBInstanceIdentifier", "dms-0"),)
    dimensions = domain_metric(DOMAIN, "Nodes", "Minimum").dimensions
    assert dimensions == (("ClientId", ACCOUNT), ("DomainName", "search"))
    with pytest.raises(ValueError, match="not an Aurora cluster"):
        cluster_metric(DOMAIN, "CPUUtilization", "Maximum")
    with pytest.raises(ValueError, match="not a domain"):
        domain_metric(CLUSTER, "Nodes", "Minimum")


def test_the_snapshots_of_a_cluster_are_those_that_were_made_by_hand(cloud: Cloud) -> None:
    """How each is, and since when; of what does not exist RDS lists none, so it is asked."""
    cloud.answers["DescribeDBClusters"] = lambda _: {"DBClusters": [{"Status": "available"}]}
    one = {"DBClusterSnapshotIdentifier": "a", "Status": "creating", "SnapshotCreateTime": NOW, "KmsKeyId": "k"}
    cloud.answers["DescribeDBClusterSnapshots"] = lambda _: {"DBClusterSnapshots": [one]}
    found = gather(cloud.aws(), [SNAPSHOTS], now=NOW).resource(SNAPSHOTS)
    assert found == {"Backups": [{name: value for name, value in one.items() if name != "KmsKeyId"}]}
    [(_, asked)] = [each for each in cloud.calls if each[0] == "DescribeDBClusterSnapshots"]
    assert (asked["DBClusterIdentifier"], asked["SnapshotType"]) == ("dms", "manual")
    cloud.fail("DescribeDBClusters", "DBClusterNotFoundFault")
    assert gather(cloud.aws(), [SNAPSHOTS], now=NOW).resource(SNAPSHOTS) is None
    cloud.faults.clear()
    cloud.answers["DescribeDBClusterSnapshots"] = lambda _: {"DBClusterSnapshots": [one] * 1001}
    assert isinstance(gather(cloud.aws(), [SNAPSHOTS], now=NOW).resource(SNAPSHOTS), Unread)
