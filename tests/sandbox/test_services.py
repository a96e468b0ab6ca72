"""A service is rolled, wedged, broken and healed as on ECS."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sandbox import World
from sandbox.images import Behaviour
from sandbox.systems.document_management import DocumentManagement

MINUTE = timedelta(minutes=1)
CLUSTER = "dms-prod"
NAME = "dms-processor"


def seen(world: World) -> dict[str, Any]:
    """The service as DescribeServices shows it."""
    service: dict[str, Any] = world.client("ecs").describe_services(cluster=CLUSTER, services=[NAME])["services"][0]
    return service


def restart(world: World) -> dict[str, Any]:
    """Force a new deployment, and nothing else."""
    service: dict[str, Any] = world.client("ecs").update_service(
        cluster=CLUSTER, service=NAME, forceNewDeployment=True
    )["service"]
    return service


def test_a_settled_service_is_complete(world: World, dms: DocumentManagement) -> None:
    """One PRIMARY deployment, COMPLETED, with as many tasks as it should have."""
    service = seen(world)
    deployment = service["deployments"][0]
    assert (service["status"], service["desiredCount"], service["runningCount"], service["pendingCount"]) == (
        "ACTIVE",
        2,
        2,
        0,
    )
    assert [each["status"] for each in service["deployments"]] == ["PRIMARY"]
    assert (deployment["rolloutState"], deployment["failedTasks"]) == ("COMPLETED", 0)
    assert deployment["createdAt"] == world.now - timedelta(days=7)


def test_a_restart_rolls(world: World, dms: DocumentManagement) -> None:
    """New tasks first, then the old ones go; never fewer than minimumHealthyPercent; done in minutes, with events."""
    old = set(world.client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME)["taskArns"])
    started = world.now
    service = restart(world)
    assert [each["status"] for each in service["deployments"]] == ["PRIMARY", "ACTIVE"]
    assert (service["deployments"][0]["rolloutState"], service["deployments"][0]["createdAt"]) == (
        "IN_PROGRESS",
        started,
    )
    fewest = []
    world.every(timedelta(seconds=1), lambda: fewest.append(len(dms.service.workers)))
    took = world.run_until(lambda: seen(world)["deployments"][0]["rolloutState"] == "COMPLETED", 10 * MINUTE)
    assert MINUTE < took < 5 * MINUTE
    assert min(fewest) >= 2
    assert len(seen(world)["deployments"]) == 1
    new = set(world.client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME)["taskArns"])
    assert len(new) == 2
    assert not new & old
    assert seen(world)["events"][0]["message"] == f"(service {NAME}) has reached a steady state."


def test_without_room_to_spare_a_restart_is_an_outage(world: World, dms: DocumentManagement) -> None:
    """With 0 % and 100 % the old task goes before the new one comes."""
    world.client("ecs").update_service(
        cluster=CLUSTER,
        service=NAME,
        desiredCount=1,
        deploymentConfiguration={"minimumHealthyPercent": 0, "maximumPercent": 100},
    )
    world.run(2 * MINUTE)
    restart(world)
    world.run(timedelta(seconds=5))
    assert dms.service.workers == []
    dms.finish_deployment()
    assert len(dms.service.workers) == 1


def test_a_wedged_task_runs_and_works_no_more(world: World, dms: DocumentManagement) -> None:
    """ECS shows nothing wrong; the queue grows; only new tasks help."""
    dms.offer(per_minute=20)
    world.run(5 * MINUTE)
    dms.wedge_consumer()
    done = len(world.processed)
    world.run(10 * MINUTE)
    assert (len(world.processed), seen(world)["runningCount"]) == (done, 2)
    assert dms.backlog > 150
    restart(world)
    world.run_until(lambda: dms.backlog < 5, 30 * MINUTE)
    assert (dms.dead, world.unaccounted()) == (0, {})


def test_one_wedged_task_of_two_halves_the_work(world: World, dms: DocumentManagement) -> None:
    """The others go on, and StopTask replaces the one."""
    dms.service.wedge(dms.service.running[:1])
    assert len(dms.service.workers) == 1
    world.client("ecs").stop_task(cluster=CLUSTER, task=dms.service.running[0].arn, reason="it hangs")
    world.run(3 * MINUTE)
    stopped = world.client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME, desiredStatus="STOPPED")["taskArns"]
    task = world.client("ecs").describe_tasks(cluster=CLUSTER, tasks=stopped)["tasks"][0]
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "it hangs")
    assert len(dms.service.workers) == 2


@pytest.mark.parametrize("behaviour", [Behaviour.HANGS, Behaviour.FAILS])
def test_a_bad_image_fails_again_after_a_restart(world: World, dms: DocumentManagement, behaviour: Behaviour) -> None:
    """The restart succeeds, says ECS; the work is still not done. A good image cures it."""
    dms.ship_bad_image(behaviour)
    dms.finish_deployment()
    dms.send(5)
    world.run(2 * MINUTE)
    restart(world)
    dms.finish_deployment()
    world.run(10 * MINUTE)
    assert (seen(world)["deployments"][0]["rolloutState"], len(world.processed)) == ("COMPLETED", 0)
    dms.ship_good_image()
    dms.finish_deployment()
    world.client("sqs").start_message_move_task(SourceArn=dms.dlq_arn)
    world.run(10 * MINUTE)
    assert (len(world.processed), dms.backlog + dms.dead) == (5, 0)


def test_an_image_that_crashes_never_completes(world: World, dms: DocumentManagement) -> None:
    """Tasks start and exit, again and again; the old ones stay, because the new ones never become healthy."""
    dms.ship_bad_image(Behaviour.CRASHES)
    world.run(15 * MINUTE)
    primary, active = seen(world)["deployments"]
    assert (primary["rolloutState"], primary["failedTasks"] > 3, active["runningCount"]) == ("IN_PROGRESS", True, 2)
    assert any("unable to consistently start tasks" in event["message"] for event in seen(world)["events"])
    arns = world.client("ecs").list_tasks(cluster=CLUSTER, serviceName=NAME, desiredStatus="STOPPED")["taskArns"]
    container = world.client("ecs").describe_tasks(cluster=CLUSTER, tasks=arns[:1])["tasks"][0]["containers"][0]
    assert container["exitCode"] == 1


def test_the_circuit_breaker_rolls_back(world: World, dms: DocumentManagement) -> None:
    """After its threshold of failed tasks the deployment fails, and the last good one comes back, digest and all."""
    dms.service.breaker = dms.service.breaker_rolls_back = True
    good = dms.service.primary.image
    dms.ship_bad_image(Behaviour.CRASHES)
    world.run_until(lambda: len(dms.service.history) == 3, 20 * MINUTE)
    dms.finish_deployment()
    assert dms.service.primary.image == good
    briefs = world.client("ecs").list_service_deployments(cluster=CLUSTER, service=NAME)["serviceDeployments"]
    assert [each["status"] for each in briefs] == ["ROLLBACK_SUCCESSFUL", "SUCCESSFUL"]  # within the same deployment
    given_up, before = (each["serviceDeploymentArn"] for each in briefs)
    [shown] = world.client("ecs").describe_service_deployments(serviceDeploymentArns=[given_up])["serviceDeployments"]
    assert shown["rollback"]["serviceRevisionArn"] == briefs[1]["targetServiceRevisionArn"] != before


def test_a_deployment_in_progress_can_be_rolled_back(world: World, dms: DocumentManagement) -> None:
    """StopServiceDeployment returns to the last revision that succeeded; what is over cannot be stopped."""
    ecs = world.client("ecs")
    good = dms.service.primary.image
    dms.ship_bad_image(Behaviour.CRASHES)
    world.run(MINUTE)
    brief = ecs.list_service_deployments(cluster=CLUSTER, service=NAME, status=["IN_PROGRESS"])["serviceDeployments"][0]
    ecs.stop_service_deployment(serviceDeploymentArn=brief["serviceDeploymentArn"], stopType="ROLLBACK")
    asked = ecs.describe_service_deployments(serviceDeploymentArns=[brief["serviceDeploymentArn"]])
    assert (asked["serviceDeployments"][0]["status"], dms.service.primary.image == good) == (
        "ROLLBACK_REQUESTED",
        False,
    )
    world.run(MINUTE)
    dms.finish_deployment()
    shown = ecs.describe_service_deployments(serviceDeploymentArns=[brief["serviceDeploymentArn"]])
    assert (shown["serviceDeployments"][0]["status"], dms.service.primary.image) == ("ROLLBACK_SUCCESSFUL", good)
    with pytest.raises(ClientError) as caught:
        ecs.stop_service_deployment(serviceDeploymentArn=brief["serviceDeploymentArn"])
    assert caught.value.response["Error"]["Code"] == "ConflictException"


def test_a_revision_knows_the_digest_that_runs(world: World, dms: DocumentManagement) -> None:
    """A push moves the tag and not the running digest: so it shows that a restart would ship new code."""
    ecs = world.client("ecs")
    brief = ecs.list_service_deployments(cluster=CLUSTER, service=NAME)["serviceDeployments"][0]

    def digests() -> tuple[str, str]:
        revision = ecs.describe_service_revisions(serviceRevisionArns=[brief["targetServiceRevisionArn"]])[
            "serviceRevisions"
        ][0]
        tagged = world.client("ecr").describe_images(repositoryName=NAME, imageIds=[{"imageTag": "latest"}])[
            "imageDetails"
        ][0]
        return revision["containerImages"][0]["imageDigest"], tagged["imageDigest"]

    running, tagged = digests()
    assert running == tagged
    dms.push_image()
    assert digests()[0] == running != digests()[1]


def test_zero_means_zero(world: World, dms: DocumentManagement) -> None:
    """A service that somebody scaled to zero does nothing, is complete, and comes back when asked."""
    dms.stop_service()
    dms.send(3)
    world.run(5 * MINUTE)
    service = seen(world)
    assert (service["desiredCount"], service["runningCount"], dms.backlog) == (0, 0, 3)
    dms.start_service()
    world.run(3 * MINUTE)
    assert (dms.backlog, len(world.processed)) == (0, 3)


def test_another_controller_takes_no_restart(world: World, dms: DocumentManagement) -> None:
    """CodeDeploy's services are deployed by CodeDeploy."""
    dms.service.controller = "CODE_DEPLOY"
    with pytest.raises(ClientError) as caught:
        restart(world)
    assert caught.value.response["Error"]["Code"] == "InvalidParameterException"


def test_unknown_names_are_answered_as_by_ecs(world: World, dms: DocumentManagement) -> None:
    """A missing service is a failure in the answer; a missing cluster is an error."""
    ecs = world.client("ecs")
    assert ecs.describe_services(cluster=CLUSTER, services=["x"])["failures"][0]["reason"] == "MISSING"
    with pytest.raises(ClientError, match="Cluster not found"):
        ecs.describe_services(cluster="x", services=["x"])
    with pytest.raises(ClientError, match="Service not found"):
        ecs.update_service(cluster=CLUSTER, service="x", forceNewDeployment=True)


def test_what_a_task_held_when_it_died_comes_back(world: World, dms: DocumentManagement) -> None:
    """A restart in the middle of the work loses nothing."""
    dms.offer(per_minute=40)
    for _ in range(4):
        world.run(3 * MINUTE)
        restart(world)
    dms.offer(per_minute=0)
    world.run_until(lambda: dms.backlog == 0, 30 * MINUTE)
    assert (world.unaccounted(), dms.dead) == ({}, 0)
    assert len(world.processed) == dms.producer.sent


def test_a_new_task_definition_is_a_deployment(world: World, dms: DocumentManagement) -> None:
    """By family and revision or by ARN; the newest comes first when asked for, and an unknown one is refused."""
    ecs = world.client("ecs")
    image = world.images.uri(NAME, "v2")
    containers = [{"name": NAME, "image": image, "essential": True, "memory": 512}]
    second = ecs.register_task_definition(family=NAME, containerDefinitions=containers)["taskDefinition"][
        "taskDefinitionArn"
    ]
    newest = ecs.list_task_definitions(familyPrefix=NAME, sort="DESC", maxResults=5)["taskDefinitionArns"]
    assert newest[0] == second
    ecs.update_service(cluster=CLUSTER, service=NAME, taskDefinition=f"{NAME}:2")
    dms.finish_deployment()
    assert (seen(world)["taskDefinition"], dms.service.primary.image.digest) == (
        second,
        world.images.resolve(image).digest,
    )
    with pytest.raises(ClientError) as caught:
        ecs.update_service(cluster=CLUSTER, service=NAME, taskDefinition=f"{NAME}:99")
    assert caught.value.response["Error"]["Code"] == "ClientException"


def test_an_aborted_deployment_stays_where_it_is(world: World, dms: DocumentManagement) -> None:
    """ABORT stops it, and nothing comes back by itself."""
    ecs = world.client("ecs")
    dms.ship_bad_image(Behaviour.CRASHES)
    world.run(MINUTE)
    arn = dms.service.primary.arn
    ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ABORT")
    world.run(10 * MINUTE)
    assert ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]["status"] == "STOPPED"
    assert (seen(world)["deployments"][0]["rolloutState"], len(dms.service.history)) == ("FAILED", 2)


def test_a_deleted_service_is_inactive(world: World, dms: DocumentManagement) -> None:
    """It stops its tasks, and takes no updates."""
    world.client("ecs").delete_service(cluster=CLUSTER, service=NAME, force=True)
    world.run(2 * MINUTE)
    assert (seen(world)["status"], seen(world)["runningCount"]) == ("INACTIVE", 0)
    with pytest.raises(ClientError) as caught:
        restart(world)
    assert caught.value.response["Error"]["Code"] == "ServiceNotActiveException"


def test_lists_come_in_pages(world: World, dms: DocumentManagement) -> None:
    """Tasks and service deployments, with the SDK's own paginator."""
    ecs = world.client("ecs")
    world.client("ecs").update_service(cluster=CLUSTER, service=NAME, desiredCount=7)
    world.run(3 * MINUTE)
    pages = list(
        ecs.get_paginator("list_tasks").paginate(cluster=CLUSTER, family=NAME, PaginationConfig={"PageSize": 3})
    )
    assert [len(page["taskArns"]) for page in pages] == [3, 3, 1]
    for _ in range(3):
        restart(world)
        dms.finish_deployment()
    first = ecs.list_service_deployments(cluster=CLUSTER, service=NAME, maxResults=3)
    rest = ecs.list_service_deployments(cluster=CLUSTER, service=NAME, nextToken=first["nextToken"])
    assert (len(first["serviceDeployments"]), len(rest["serviceDeployments"])) == (3, 1)


def test_images_are_found_by_tag_and_by_digest(world: World, dms: DocumentManagement) -> None:
    """An untagged image is still there; what was never pushed is not."""
    ecr = world.client("ecr")
    old = world.images.resolve(world.images.uri(NAME)).digest
    new = dms.push_image().digest
    details = ecr.describe_images(repositoryName=NAME)["imageDetails"]
    assert [(each["imageDigest"], each.get("imageTags")) for each in details] == [(old, None), (new, ["latest"])]
    assert (
        ecr.describe_images(repositoryName=NAME, imageIds=[{"imageDigest": old}])["imageDetails"][0]["imageDigest"]
        == old
    )
    got = ecr.batch_get_image(repositoryName=NAME, imageIds=[{"imageTag": "latest"}, {"imageTag": "v9"}])
    assert (got["images"][0]["imageId"]["imageDigest"], got["failures"][0]["failureCode"]) == (new, "ImageNotFound")
    with pytest.raises(ClientError) as caught:
        ecr.describe_images(repositoryName=NAME, imageIds=[{"imageTag": "v9"}])
    assert caught.value.response["Error"]["Code"] == "ImageNotFoundException"
