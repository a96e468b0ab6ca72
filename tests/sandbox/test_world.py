"""The world is closed, deterministic, and leaves nothing behind."""

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from sandbox import World
from sandbox.seam import LeftTheSandbox
from sandbox.systems.document_management import DocumentManagement

START = datetime(2026, 11, 2, 3, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def night(seed: int) -> tuple[str, tuple[Any, ...]]:
    """A night with everything in it, as two fingerprints."""
    with World(START, seed=seed) as world:
        dms = DocumentManagement(world)
        dms.offer(per_minute=15)
        client = boto3.client("sqs")

        def handler(event: dict[str, Any], context: Any) -> None:
            client.receive_message(QueueUrl=dms.dlq_url, MaxNumberOfMessages=5, VisibilityTimeout=0)
            client.send_message(QueueUrl=dms.queue_url, MessageBody=f"{uuid.uuid4()} {random.random()}")

        world.lambdas.schedule(handler, timedelta(minutes=1))
        world.at(timedelta(minutes=4), dms.scanner_down)
        world.at(timedelta(minutes=9), dms.scanner_up)
        world.at(timedelta(minutes=12), dms.wedge_consumer)
        world.at(timedelta(minutes=15), dms.start_deployment)
        world.run(timedelta(minutes=25))
        done = tuple((each.at, each.fingerprint, each.worker) for each in world.processed)
        assert world.lambdas.errors == []
        return world.trail.digest(), done


def test_one_seed_is_one_run() -> None:
    """The same seed gives the same trail and the same truth; another seed gives another."""
    assert night(1) == night(1) != night(2)


def test_one_seed_is_one_run_in_another_process() -> None:
    """Nothing depends on the hash seed or on what else the process did."""
    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; import test_world; print(test_world.night(1)[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "5"},
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert run.stdout.strip() == night(1)[0]


def test_nothing_leaves_the_process(world: World) -> None:
    """A call outside of AWS fails: there is no network."""
    with pytest.raises(LeftTheSandbox), urllib.request.urlopen("http://example.com/"):
        pass
    with pytest.raises(LeftTheSandbox):
        boto3.client("sqs", endpoint_url="http://localhost:4566").list_queues()
    with pytest.raises(LeftTheSandbox), socket.socket() as sock:
        sock.connect(("192.0.2.1", 80))


def test_clients_made_before_the_world_are_inside_too() -> None:
    """Whoever made the client, and whenever: its calls stay in the sandbox."""
    session = boto3.session.Session()
    client = session.client(
        "sqs", region_name="eu-central-1", aws_access_key_id="AKIAEARLIER", aws_secret_access_key="x"
    )
    with World(START) as world:
        client.create_queue(QueueName="early")
        assert [event.name for event in world.trail] == ["sqs.CreateQueue"]


def test_the_world_puts_everything_back() -> None:
    """Clock, environment and chance are as they were, also after an error."""
    environment, state, sleep = dict(os.environ), random.getstate(), time.sleep
    with pytest.raises(ZeroDivisionError), World(START):
        raise ZeroDivisionError
    assert (dict(os.environ), random.getstate(), time.sleep) == (environment, state, sleep)
    assert abs(datetime.now(UTC) - START) > timedelta(days=1) or datetime.now(UTC) > START
    with World(START):
        pass


def test_one_world_at_a_time(world: World) -> None:
    """Two clocks in one process would be none."""
    with pytest.raises(RuntimeError, match="one world at a time"), World(START):
        pass


def test_worlds_begin_empty() -> None:
    """What one world held, the next one does not know."""
    with World(START) as world:
        world.client("sqs").create_queue(QueueName="old")
    with World(START) as world:
        assert "QueueUrls" not in world.client("sqs").list_queues()


def test_thread_pools_work_in_order(world: World) -> None:
    """Code that uses threads runs, one thing after the other, so that its calls have one order."""
    order: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            pool.submit(order.append, number)
        assert order == [0, 1, 2, 3, 4]


def test_another_account_and_region() -> None:
    """The account's number and the region are the world's own."""
    with World(START, account="999988887777", region="us-east-1") as world:
        assert world.client("sts").get_caller_identity()["Account"] == "999988887777"
        dms = DocumentManagement(world)
        assert dms.queue_arn == "arn:aws:sqs:us-east-1:999988887777:dms-processing-prod"
        dms.send(3)
        world.run(timedelta(minutes=2))
        assert len(world.processed) == 3


def test_a_minute_is_what_happens_in_it(world: World, dms: DocumentManagement) -> None:
    """A virtual minute with work in it is a few dozen entries of the agenda: a count, as seconds depend on others."""
    dms.offer(per_minute=20)
    client = boto3.client("sqs")

    def handler(event: dict[str, Any], context: Any) -> None:
        for _ in range(8):
            client.get_queue_attributes(QueueUrl=dms.dlq_url, AttributeNames=["All"])

    world.lambdas.schedule(handler, timedelta(minutes=1))
    world.run(timedelta(minutes=2))
    before = world.agenda._number
    world.run(timedelta(minutes=40))
    assert (world.agenda._number - before) / 40 < 100
