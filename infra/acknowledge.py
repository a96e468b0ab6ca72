"""Saying why a finding of cdk-nag is accepted: one finding, on one construct, with its reason."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from constructs import IConstruct

__all__ = ["acknowledge"]


def acknowledge(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Accept ``findings`` (cdk-nag's identifier to the reason for it) on ``construct`` and what it is made of."""
    cdk.Validations.of(construct).acknowledge(
        *(cdk.Acknowledgment(id=finding, reason=reason) for finding, reason in sorted(findings.items()))
    )
