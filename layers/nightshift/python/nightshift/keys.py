"""
The keys of KMS with which the objects of a bucket are encrypted: what a call needs of them, in the caller's name.

Which key that is people say in the configuration, so that a role, and a plan, name it and no other.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
"""

from __future__ import annotations

from nightshift.model import Arn

__all__ = ["decrypting", "encrypting", "named"]


def named(key: Arn | None) -> str:
    """A key as a diagnosis keeps it: empty where S3's own is used, of which nobody needs leave."""
    return "" if key is None else str(key)


def decrypting(key: str) -> tuple[tuple[str, str], ...]:
    """What reading an object, or copying from one, needs beside S3's own leave, as grants of a call."""
    return (("kms:Decrypt", key),) if key else ()


def encrypting(key: str) -> tuple[tuple[str, str], ...]:
    """The same of writing an object, or copying onto one."""
    return (("kms:GenerateDataKey", key),) if key else ()
