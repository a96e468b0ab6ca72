"""
Runbook 3, the Document Management System: uploads are queued, scanned for malware, read by OCR and indexed.

Resources  queue dms-processing-<env>, dead-letter queue dms-processing-dlq-<env>, ECS service dms-processor
           in cluster dms-<env>
Causes     the malware scan or the search index is down (everything fails, and works again afterwards); a
           corrupt document (fails for ever); the processor hangs; a bad release; a deployment in progress;
           somebody scaled it to zero
"""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

from sandbox.systems.queue_service import QueueService, Shape, json_body
from sandbox.world import World

SCANNER = "malware-scan"
INDEX = "opensearch"
_KINDS = ("invoice", "contract", "minutes", "scan", "offer", "delivery-note")


class DocumentManagement(QueueService):
    """The document management system of one environment."""

    def __init__(
        self, world: World, env: str = "prod", *, tasks: int = 2, per_second: float = 0.5, ordered: bool = False
    ) -> None:
        dice = world.dice(f"documents/{env}")
        suffix = ".fifo" if ordered else ""
        shape = Shape(
            queue=f"dms-processing-{env}{suffix}",
            dead_letter_queue=f"dms-processing-dlq-{env}{suffix}",
            cluster=f"dms-{env}",
            service="dms-processor",
            stack=f"dms-{env}",
            needs=(SCANNER, INDEX),
            tasks=tasks,
            per_second=per_second,
            holds=timedelta(seconds=6),
        )
        super().__init__(world, shape, documents(dice), corrupt_documents(dice), is_corrupt)

    def scanner_down(self) -> None:
        """The malware scan stops answering."""
        self.break_dependency(SCANNER)

    def scanner_up(self) -> None:
        """The malware scan answers again."""
        self.heal_dependency(SCANNER)

    def index_down(self) -> None:
        """The search index turns red."""
        self.break_dependency(INDEX)

    def index_up(self) -> None:
        """The search index is green again."""
        self.heal_dependency(INDEX)


def documents(dice: Random) -> Iterator[str]:
    """Bodies of good documents, each different."""
    while True:
        document, tenant = f"doc-{dice.getrandbits(48):012x}", f"tenant-{dice.randrange(40):02d}"
        key = f"{tenant}/documents/{document}/{dice.choice(_KINDS)}.pdf"
        yield json_body(documentId=document, tenantId=tenant, key=key)


def corrupt_documents(dice: Random) -> Iterator[str]:
    """Bodies that can never be processed, of the kinds that real queues hold."""
    for good in documents(dice):
        document = f"doc-{dice.getrandbits(48):012x}"
        yield from (
            good[: dice.randrange(len(good) // 2, len(good) - 2)],  # cut off on the way
            json_body(documentId=document, error="corrupt"),
            json_body(
                documentId=document, tenantId="tenant-07", key=f"tenant-07/documents/{document}/zero.pdf", sizeBytes=0
            ),
            json_body(Service="Amazon S3", Event="s3:TestEvent", Bucket=f"dms-documents-{document}"),
        )


def is_corrupt(body: str) -> bool:
    """Whether the processor fails at a body, every time."""
    return not body.endswith("}") or '"error"' in body or '"sizeBytes":0' in body or "s3:TestEvent" in body
