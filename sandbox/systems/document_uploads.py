"""
The uploads of runbook 3: a page has a URL signed by a function, and sends a document to a bucket with it.

Resources  bucket dms-documents-<env>, function dms-init-upload-<env>
Causes     the function fails; CORS does not let the page upload; URLs end before they are used; the network; S3 turns
           requests away; the bucket's key is disabled

Gap filled: moto counts no requests to a bucket and refuses none of them; a thin world has no such settings.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sandbox.clock import Order
from sandbox.metrics import Sample
from sandbox.seam import Answer, AwsError, Call
from sandbox.systems.ecs_system import OPT_IN
from sandbox.world import World

__all__ = [
    "NAME",
    "ORIGIN",
    "DocumentUploads",
    "uploads_configuration",
    "uploads_settings",
    "uploads_target",
]

NAME = "uploads-failing"
ORIGIN = "https://documents.example.com"
MIB = 1024 * 1024


class DocumentUploads:
    """The bucket of one environment, the page that uploads to it, and the function that lets it."""

    def __init__(self, world: World, env: str = "prod") -> None:
        self.world = world
        self.bucket = f"dms-documents-{env}"
        self.function = f"dms-init-upload-{env}"
        self.arn = f"arn:aws:s3:::{self.bucket}"
        self.uploads = 12  # a minute
        self.failing = 0.0  # the share of calls that the function fails
        self.rules: tuple[Answer, ...] = (
            {"AllowedOrigins": [ORIGIN], "AllowedMethods": ["PUT"], "AllowedHeaders": ["content-type"]},
        )
        self.valid = timedelta(minutes=15)
        self.used_after = timedelta(minutes=2)  # what passes between the page and the upload
        self.cut = False  # whether the network lets nobody through
        self.slow_down = False  # whether S3 turns away half of all requests
        self.key = "Enabled"
        self.counted = True  # whether request metrics are on
        self.unreadable = False  # whether its CORS rules may not be read
        self.arrived = 0
        world.every(timedelta(minutes=1), self._minute, order=Order.METERS)
        fakes: dict[str, Callable[[], Answer]] = {
            "GetBucketCors": self._cors,
            "GetBucketLogging": dict,
            "GetBucketEncryption": self._encryption,
            "GetBucketPolicy": _none("NoSuchBucketPolicy"),
            "GetPublicAccessBlock": _none("NoSuchPublicAccessBlockConfiguration"),
            "GetBucketOwnershipControls": _none("OwnershipControlsNotFoundError"),
            "GetBucketTagging": lambda: {"TagSet": [{"Key": key, "Value": value} for key, value in OPT_IN.items()]},
        }
        world.seam.fake("s3", **{name: self._own(answer) for name, answer in fakes.items()})
        world.seam.fake("kms", DescribeKey=self._key)

    @property
    def well(self) -> bool:
        """Whether what people upload arrives."""
        return (
            not self.failing
            and self._lets
            and self.used_after <= self.valid
            and not (self.cut or self.slow_down)
            and self.key == "Enabled"
        )

    @property
    def key_arn(self) -> str:
        """The key that the bucket is encrypted with."""
        return self.world.arn("kms", "key/5678abcd-12ab-34cd-56ef-1234567890ab")

    def heal(self) -> None:
        """People have seen to it."""
        self.failing, self.cut, self.slow_down, self.key = 0.0, False, False, "Enabled"
        self.used_after = timedelta(minutes=2)
        self.rules = ({"AllowedOrigins": [ORIGIN], "AllowedMethods": ["PUT"], "AllowedHeaders": ["content-type"]},)

    def past(self, minutes: int) -> None:
        """It has gone on like this for so many minutes."""
        now = self.world.agenda.ms // 60_000
        for minute in range(now - minutes, now):
            self._measure(minute)

    # -- what happens

    @property
    def _lets(self) -> bool:
        return any(ORIGIN in rule["AllowedOrigins"] and "PUT" in rule["AllowedMethods"] for rule in self.rules)

    def _minute(self) -> None:
        self._measure(self.world.agenda.ms // 60_000 - 1)

    def _measure(self, minute: int) -> None:
        """Each asks for a URL; then the browser asks whether it may, and sends the document if it may."""
        if not self.uploads:
            return
        failed = round(self.uploads * self.failing)
        signed = self.uploads - failed
        self._count(minute, "AWS/Lambda", {"FunctionName": self.function}, Invocations=self.uploads, Errors=failed)
        reached = 0 if self.cut else signed
        put = reached if self._lets else 0
        refused = reached - put
        broken = put // 2 if self.slow_down else 0
        if self.used_after > self.valid or self.key != "Enabled":
            refused += put - broken
        self.arrived += (reached + put) // 2 - refused - broken if self._lets else 0
        if not self.counted or not reached:
            return
        figures = {"AllRequests": reached + put, "4xxErrors": refused, "5xxErrors": broken, "PutRequests": put}
        where = {"BucketName": self.bucket, "FilterId": "EntireBucket"}
        self._count(minute, "AWS/S3", where, **figures)
        if put:
            sent = Sample.of([2.5 * MIB] * put)
            self.world.metrics.of("AWS/S3", "BytesUploaded", where).put(minute, sent)

    def _count(self, minute: int, namespace: str, where: dict[str, str], **figures: int) -> None:
        for name, value in figures.items():
            if value or name in {"AllRequests", "4xxErrors", "5xxErrors", "Errors"}:
                self.world.metrics.of(namespace, name, where).put(minute, float(value))

    # -- what is answered

    def _own(self, answer: Callable[[], Answer]) -> Callable[[Call], Answer | None]:
        return lambda call: answer() if call.params["Bucket"] == self.bucket else None

    def _cors(self) -> Answer:
        if self.unreadable:
            raise AwsError("AccessDenied", "Access Denied", 403)
        if not self.rules:
            raise AwsError("NoSuchCORSConfiguration", "The CORS configuration does not exist", 404)
        return {"CORSRules": list(self.rules)}

    def _encryption(self) -> Answer:
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.key_arn}
        return {"ServerSideEncryptionConfiguration": {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}}

    def _key(self, call: Call) -> Answer | None:
        if call.params["KeyId"] != self.key_arn:
            return None
        return {"KeyMetadata": {"KeyId": self.key_arn, "Arn": self.key_arn, "KeyState": self.key}}


def _none(code: str) -> Callable[[], Any]:
    def answer() -> Answer:
        raise AwsError(code, "it does not exist", 404)

    return answer


def uploads_settings(*systems: DocumentUploads) -> str:
    """What is said of each bucket."""
    return "".join(
        f'[remediations.{NAME}.buckets.{each.bucket}]\norigins = ["{ORIGIN}"]\nfunction = "{each.function}"\n'
        'valid = "PT15M"\n'
        for each in systems
    )


def uploads_target(system: DocumentUploads, *, mode: str = "auto") -> str:
    """The bucket as a target."""
    return f'[[systems.targets]]\narn = "{system.arn}"\nmode = "{mode}"\n'


def uploads_configuration(system: DocumentUploads, *others: str, mode: str = "observe") -> str:
    """A deployment's TOML for one bucket."""
    world = system.world
    tables = "".join(f"[remediations.{name}]\n" for name in (NAME, *others))
    return f"""
name = "demo"
account = "{world.account}"
region = "{world.region}"

[notify]
emails = ["oncall@example.com"]

{tables}
{uploads_settings(system)}
[[systems]]
name = "documents"
{uploads_target(system, mode=mode)}"""
