"""What AWS says of a thing is healthy, sick or unknown; what it does not say, or nobody knows, is never healthy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from nightshift import standing
from nightshift.model import Arn
from nightshift.standing import Said

from tests.nightshift.signals.cloud import ACCOUNT, REGION, Cloud

CASES: list[tuple[Callable[[Mapping[str, Any]], Said], Mapping[str, Any], str, str]] = [
    (standing.function, {"State": "Active", "LastUpdateStatus": "Successful"}, "healthy", "active"),
    (standing.function, {"State": "Active", "LastUpdateStatus": "InProgress"}, "healthy", "an update is under way"),
    (standing.function, {"State": "Inactive"}, "healthy", "idle: the next call wakes it"),
    (standing.function, {"State": "Failed", "StateReason": "no subnet"}, "sick", "no subnet"),
    (standing.function, {"State": "Failed"}, "sick", "AWS does not say why"),
    (standing.function, {"State": "Active", "LastUpdateStatus": "Failed"}, "sick", "its last update failed"),
    (standing.function, {"State": "Pending"}, "unknown", "its state is Pending"),
    (standing.function, {}, "unknown", "its state is not told"),
    (standing.table, {"Table": {"TableStatus": "ACTIVE"}}, "healthy", "active"),
    (standing.table, {"Table": {"TableStatus": "UPDATING"}}, "healthy", "updating"),
    (standing.table, {"Table": {"TableStatus": "CREATING"}}, "unknown", "it is CREATING"),
    (standing.table, {"Table": {"TableStatus": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}}, "sick", "INACCESSIBLE"),
    (standing.table, {}, "unknown", "did not say"),
    (standing.bucket, {}, "healthy", "it answers"),
    (standing.graph, {"graphqlApi": {"apiId": "a"}}, "healthy", "it is there"),
    (standing.graph, {"graphqlApi": {"status": "ACTIVE"}}, "unknown", "did not describe it"),
    (standing.database, {"DBClusters": [{"Status": "available"}]}, "healthy", "available"),
    (standing.database, {"DBClusters": [{"Status": "backing-up"}]}, "healthy", "backing-up"),
    (standing.database, {"DBClusters": [{"Status": "modifying"}]}, "unknown", "it is modifying"),
    (standing.database, {"DBClusters": [{"Status": "storage-optimization"}]}, "healthy", "storage-optimization"),
    (standing.database, {"DBClusters": [{"Status": "resetting-master-credentials"}]}, "unknown", "it is resetting"),
    (standing.database, {"DBClusters": [{"Status": "update-iam-db-auth"}]}, "unknown", "it is update-iam-db-auth"),
    (standing.database, {"DBClusters": [{"Status": "failing-over"}]}, "sick", "it is failing-over"),
    (standing.database, {"DBClusters": [{"Status": "stopped"}]}, "sick", "it is stopped"),
    (standing.database, {"DBClusters": []}, "unknown", "did not say"),
    (standing.machine, {"status": "ACTIVE"}, "healthy", "active"),
    (standing.machine, {"status": "DELETING"}, "sick", "it is DELETING"),
    (standing.machine, {"status": 1}, "unknown", "did not say"),
]


@pytest.mark.corrects("graphql-status")
@pytest.mark.scenario("1.29", "health")
@pytest.mark.scenario("3.18", "health")
@pytest.mark.parametrize("judge, answer, health, said", CASES)
def test_a_state_is_judged_by_what_it_means(
    judge: Callable[[Mapping[str, Any]], Said], answer: Mapping[str, Any], health: str, said: str
) -> None:
    """An idle function is no failed one; a GraphQL API has no status; a state that nobody knows is no health."""
    found, why = judge(answer)
    assert found == health
    assert said in why


def test_a_state_machine_whose_definition_has_a_key_is_told_all_the_same() -> None:
    """
    Who may not decrypt the definition is told everything else, if that is all that is asked for.

    Source: https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeStateMachine.html
    """
    cloud = Cloud()
    cloud.fail(
        "DescribeStateMachine",
        "KmsAccessDeniedException",
        lambda params: params.get("includedData") != "METADATA_ONLY",
    )
    cloud.answers["DescribeStateMachine"] = lambda _: {"status": "ACTIVE"}
    machine = Arn("aws", "states", REGION, ACCOUNT, "stateMachine:documents")
    assert standing.standing(cloud.aws(), machine) == ("healthy", "active")
