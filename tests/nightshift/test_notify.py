"""One message for each notice, where those who should hear of it listen."""

import pytest
from nightshift.errors import Unsent
from nightshift.model import Severity
from nightshift.notify import Notifier
from nightshift.report import Notice

from tests.support.toy import Account

OWN = {"SEV1": "sev1", "L1": "first"}


def told(account: Account, notice: Notice) -> list[str]:
    """The topics that a notice is published to, by name."""
    sns = account.aws.client("sns")
    topics = {key: sns.create_topic(Name=name)["TopicArn"] for key, name in OWN.items()}
    Notifier(account.aws, account.topic, topics)(notice)
    return [params["TopicArn"].rpartition(":")[2] for _, params in account.wire.made("sns:Publish")]


def test_a_level_has_its_own_topic_whatever_the_severity(account: Account) -> None:
    """Who was told before is not told again by it; a level without a topic is told like its severity."""
    assert told(account, Notice("unanswered:L1", "x", "x", Severity.SEV1, "L1")) == ["first"]
    account.wire.calls.clear()
    assert told(account, Notice("unanswered:L2", "x", "x", Severity.SEV1, "L2")) == ["sev1"]


@pytest.mark.parametrize("severity, topic", [(Severity.SEV1, "sev1"), (Severity.SEV2, "reports")])
def test_a_severity_with_recipients_of_its_own_has_its_own_topic(
    account: Account, severity: Severity, topic: str
) -> None:
    """All others are told by the report topic; nobody is told twice."""
    assert told(account, Notice("closed:escalated", "ESCALATED", "It needs you.", severity)) == [topic]


def test_what_sns_does_not_take_is_not_told(account: Account) -> None:
    """Whoever asked hears of it, and tries again."""
    account.wire.fail("sns:Publish", "Throttling")
    with pytest.raises(Unsent):
        Notifier(account.aws, account.topic)(Notice("storm", "STORM", "x", Severity.SEV1))
