"""
Container images: what a tag points to, and how what it points to behaves once it runs.

Gap filled: moto's ECR derives digests from manifests that nobody has. Here an image is a digest with a
behaviour; DescribeImages and BatchGetImage answer from it for the repositories that were pushed to.
"""

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sandbox.clock import Agenda
from sandbox.seam import Answer, AwsError, Call, Seam


class Behaviour(StrEnum):
    """How a container behaves."""

    WORKS = "works"
    CRASHES = "exits soon after its start, every time"
    HANGS = "runs, and does nothing"
    FAILS = "runs, and fails at every message or request"


@dataclass(frozen=True, slots=True)
class Image:
    """What was pushed."""

    repository: str
    digest: str
    behaviour: Behaviour
    pushed_at: datetime


class Images:
    """The registry of the account."""

    def __init__(self, agenda: Agenda, seam: Seam, account: str, region: str) -> None:
        self.host = f"{account}.dkr.ecr.{region}.amazonaws.com"
        self._account = account
        self._agenda = agenda
        self._tags: dict[str, dict[str, Image]] = defaultdict(dict)  # repository -> tag -> image
        self._pushed: dict[str, list[Image]] = defaultdict(list)
        seam.fake("ecr", DescribeImages=self._describe_images, BatchGetImage=self._batch_get_image)

    def uri(self, repository: str, tag: str = "latest") -> str:
        """An image as a task definition names it."""
        return f"{self.host}/{repository}:{tag}"

    def push(self, repository: str, tag: str = "latest", behaviour: Behaviour = Behaviour.WORKS) -> Image:
        """Build and push: the tag now points to a new digest."""
        text = f"{repository}:{tag}:{behaviour.name}:{len(self._pushed[repository])}"
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        image = Image(repository, digest, behaviour, self._agenda.now)
        self._tags[repository][tag] = image
        self._pushed[repository].append(image)
        return image

    def resolve(self, uri: str) -> Image:
        """What an image reference points to now. What was never pushed works, and has a digest of its own."""
        repository, tag = self._parse(uri)
        if repository not in self._tags or tag not in self._tags[repository]:
            return self.push(repository, tag)
        return self._tags[repository][tag]

    def _parse(self, uri: str) -> tuple[str, str]:
        path = uri.removeprefix(f"{self.host}/")
        repository, _, tag = path.rpartition(":")
        return (repository, tag) if repository else (path, "latest")

    def _find(self, repository: str, image_id: dict[str, str]) -> Image | None:
        digest, tag = image_id.get("imageDigest"), image_id.get("imageTag")
        tagged = self._tags[repository].get(tag) if tag else None
        if tag and (tagged is None or digest in (None, tagged.digest)):
            return tagged
        return next((image for image in self._pushed[repository] if image.digest == digest), None)

    def _detail(self, image: Image) -> dict[str, Any]:
        tags = sorted(tag for tag, each in self._tags[image.repository].items() if each.digest == image.digest)
        detail: dict[str, Any] = {
            "registryId": self._account,
            "repositoryName": image.repository,
            "imageDigest": image.digest,
            "imagePushedAt": image.pushed_at,
        }
        return detail | ({"imageTags": tags} if tags else {})

    def _describe_images(self, call: Call) -> Answer | None:
        repository = call.params["repositoryName"]
        if repository not in self._pushed:
            return None
        if not call.params.get("imageIds"):
            return {"imageDetails": [self._detail(image) for image in self._pushed[repository]]}
        found = []
        for image_id in call.params["imageIds"]:
            image = self._find(repository, image_id)
            if image is None:
                name = (
                    f"imageTag:'{image_id['imageTag']}'"
                    if "imageTag" in image_id
                    else f"imageDigest:'{image_id['imageDigest']}'"
                )
                message = (
                    f"The image with imageId {{{name}}} does not exist within the repository with name '{repository}'"
                )
                raise AwsError("ImageNotFoundException", message)
            found.append(image)
        return {"imageDetails": [self._detail(image) for image in found]}

    def _batch_get_image(self, call: Call) -> Answer | None:
        repository = call.params["repositoryName"]
        if repository not in self._pushed:
            return None
        images, failures = [], []
        for image_id in call.params["imageIds"]:
            image = self._find(repository, image_id)
            if image is None:
                failures.append(
                    {"imageId": image_id, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
                )
            else:
                images.append(
                    {
                        "registryId": self._account,
                        "repositoryName": repository,
                        "imageId": {**image_id, "imageDigest": image.digest},
                    }
                )
        return {"images": images, "failures": failures}
