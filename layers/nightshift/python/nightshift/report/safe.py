"""
The one sanitiser: what comes from outside and is about to be read by a person goes through :func:`safe`.

Names, tags, reasons and AWS's error messages are other people's text. In a report they may look strange, but they may
not start a line, reorder one, carry a secret, or make the report impossible to publish (SNS refuses a subject with a
line break; a lone surrogate cannot be encoded at all). Every function here is total over ``str`` and takes linear time.
"""

from __future__ import annotations

import functools
import re
import unicodedata

__all__ = ["REDACTED", "SUBJECT_LIMIT", "ascii_subject", "inert", "plain_line", "safe", "untrusted"]

SUBJECT_LIMIT = 99
"""
characters; SNS says "less than 100"

Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""
REDACTED = "[redacted]"

_READ_AT_MOST = 65_536
"""characters of one text that are looked at; no field of a record comes near it"""


# -- characters ----------------------------------------------------------------------------------------------------

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"  # colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*+(?:\x07|\x1b\\|\x9c)?"  # window titles, hyperlinks
    r"|\x1b[ -/]*+[0-~]?"
)
_SPACES = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85")
_GONE = frozenset({"Cc", "Cf", "Co"})
"""controls; bidi marks, joiners and other invisible letters; private use"""


def plain_line(text: str) -> str:
    """The text as one line of visible characters and spaces. Nothing is redacted."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, _ANSI.sub("", text)))


@functools.lru_cache(maxsize=4096)
def _visible(char: str) -> str:
    if char in _SPACES:
        return " "
    category = unicodedata.category(char)
    if category in _GONE:
        return ""
    if category.startswith("Z"):
        return " "
    if category == "Cs" or (ord(char) & 0xFFFE) == 0xFFFE:  # noqa: PLR2004 - U+xxFFFE and U+xxFFFF are no characters
        return "\ufffd"
    return char


# -- secrets -------------------------------------------------------------------------------------------------------

_TOKENS = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}+"  # AWS access key ids
    r"|(?:IQoJb3JpZ2lu|F[QSw]oGZXIvYXdz)[A-Za-z0-9+/=%]*+"  # AWS session tokens
    r"|eyJ[A-Za-z0-9_-]{5,}+(?:\.[A-Za-z0-9_-]*+){0,4}"  # JWT, JWE
    r"|gh[pousr]_[A-Za-z0-9]{16,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+|xox[a-z]-[\w-]{10,}+"
    r"|(?:sk|rk)_(?:live|test)_\w{10,}+|AIza[\w-]{30,}+"
    r"|(?<=hooks\.slack\.com/services/)\S++"
    r"|(?<![A-Za-z0-9/+=:_.-])(?=[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=]))"
    r"(?=[^A-Z]{0,39}[A-Z])(?=[^a-z]{0,39}[a-z])(?=[^0-9]{0,39}[0-9]).{40}"
)
"""The last line: 40 characters of mixed base64 look like an AWS secret access key. (Digests are hexadecimal.)"""

_BEARER = re.compile(r"\b(bearer)\s+[A-Za-z0-9._~+/=-]{8,}+", re.IGNORECASE)
_IN_URL = re.compile(r"://[^/\s:@]*+:[^/\s@]*+@")
_EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]++@[\w-]++(?:\.[\w-]++)++")
_FOREIGN_URL = re.compile(
    r"\bhttp(s?)://(?!(?:sqs\.[a-z0-9-]{1,32}\.amazonaws\.com(?:\.cn)?|(?:[a-z0-9-]{1,63}\.){0,6}aws\.amazon\.com)"
    r"(?:[/:?#\s]|$))|\bwww\.",
    re.IGNORECASE,
)
"""
Whatever leads neither to a queue nor to AWS's own pages. Anybody can have a host under amazonaws.com: a bucket, an API.
"""

_LABEL = re.compile(r"(?<![\w-])([\w-]++)(\\?[\"']?\s?[:=]|\s)\s?")
_VALUE = re.compile(
    r"(?:(?:basic|bearer|digest|aws4-hmac-sha256)\s)?(?:\\?\"[^\"]*+\"?|\\?'[^']*+'?|\S++)",
    re.IGNORECASE,
)
_WORDS = (
    "password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey", "privatekey", "credential",
    "signature", "authorization", "cookie", "connectionstring",
)  # fmt: skip
_ALONE = frozenset(
    {
        "accesskey", "accesskeyid", "accesstoken", "apikey", "authorization", "authtoken", "clientsecret",
        "connectionstring", "cookie", "credential", "credentials", "idtoken", "privatekey", "proxyauthorization",
        "refreshtoken", "secret", "secretaccesskey", "secretkey", "securitytoken", "sessiontoken", "setcookie",
        "signature", "token", "xamzsecuritytoken", "xapikey",
    }
)  # fmt: skip
_SHORT = ("pwd", "sig", "pass")
_ARN_FIELD = re.compile(r"\d{12}:$")
_NAME_OF_ONE = re.compile(r"[\"']?arn:aws[a-z-]{0,10}:secretsmanager:")
"""a secret's own name, which is none: `--secret-id` is what Secrets Manager calls it"""


def _labelled(text: str) -> str:
    """Hide what stands after ``password=``, ``"SecretAccessKey": ``, ``--token `` and their like."""
    out, at = [], 0
    while match := _LABEL.search(text, at):
        out.append(text[at : match.end()])
        at = match.end()
        if _names_a_secret(match[1], match[2], text[max(0, match.start() - 13) : match.start()]):
            value = _VALUE.match(text, at)
            if value is not None and not _NAME_OF_ONE.match(value[0]):
                out.append(REDACTED)
                at = value.end()
    return "".join((*out, text[at:]))


def _names_a_secret(key: str, mark: str, before: str) -> bool:
    """
    Whether the value after this key is nobody's business.

    ``=`` and quoted keys are settings, so any key that sounds secret counts. A bare colon is also how prose and AWS go
    on ("secretsmanager:GetSecretValue", "GetSessionToken: AccessDenied", an ARN), so there the key says nothing else.
    """
    name = re.sub(r"[-_]", "", key).lower()
    if name.endswith("arn"):
        return False
    if mark.isspace():
        return key.startswith("-") and (name in _SHORT or any(word in name for word in _WORDS))
    if "=" in mark or '"' in mark or "'" in mark:
        return name in _SHORT or name.endswith("pwd") or any(word in name for word in _WORDS)
    if _ARN_FIELD.search(before):
        return False
    return name in _ALONE or name.endswith(("password", "passwd", "passphrase", "pwd")) or _has_secret_end(key)


def _has_secret_end(key: str) -> bool:
    return key.lower().endswith(("_secret", "-secret", "_token", "-token", "_apikey", "_api_key", "-api-key"))


def _redacted(text: str, *, people: bool) -> str:
    text = _IN_URL.sub(f"://{REDACTED}@", text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _labelled(text)
    text = _TOKENS.sub(REDACTED, text)
    if people:
        text = _EMAIL.sub("[e-mail]", text)
    return _FOREIGN_URL.sub(lambda found: "www[.]" if found[1] is None else f"hxxp{found[1]}://", text)


# -- where text goes on to ---------------------------------------------------------------------------------------------

_MARKUP = re.compile(r"<(?=[A-Za-z/!?@#])|(?<=\])(?=\()|(?<=@)(?=(?:all|channel|everyone|here)\b)", re.IGNORECASE)


def inert(line: str) -> str:
    """
    A line that is safe to pass on into HTML, Markdown or a chat, by whoever forwards a mail there.

    It opens no tag, is no link under another name, and calls nobody.
    """
    return _MARKUP.sub(lambda found: "\u2039" if found[0] else " ", line)


# -- what the report uses --------------------------------------------------------------------------------------------


def safe(text: object, limit: int = 300, *, people: bool = True) -> str:
    """
    Text from outside, fit to be read: one line, at most ``limit`` characters, nothing invisible, nothing secret.

    Controls, terminal sequences and bidi marks go; line breaks become spaces; lone surrogates become U+FFFD. Access
    keys, tokens, passwords, signatures of URLs and (unless ``people`` is False: who answered a question must be named)
    e-mail addresses are replaced. Links that do not lead to AWS are made unclickable. What is cut ends in "…".
    """
    raw = str(text)
    line = " ".join(plain_line(raw[:_READ_AT_MOST]).split())
    if len(raw) > _READ_AT_MOST:  # a secret may have been cut in two: its first half is no longer recognisable
        line = line.rpartition(" ")[0]
    line = " ".join(_redacted(line, people=people).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def untrusted(**texts: str) -> dict[str, dict[str, str]]:
    """Other people's text as it may stand in a log, under one key: ``extra=untrusted(alarm=name)``."""
    return {"untrusted": {name: safe(text) for name, text in texts.items()}}


_ASCII = str.maketrans(
    {"\u2013": "-", "\u2014": "-", "\u2212": "-", "\u2026": "...", "\u2192": "->", "\u00d7": "x"}
    | {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'}
)


def ascii_subject(text: str) -> str:
    """
    A subject that SNS takes: 1 to 99 visible ASCII characters, the first a letter, a digit or "[".

    Folded first and redacted then: a full-width access key is an access key.
    """
    folded = unicodedata.normalize("NFKD", plain_line(text[:_READ_AT_MOST]).translate(_ASCII))
    line = safe(folded.encode("ascii", "ignore").decode("ascii"), _READ_AT_MOST)
    line = re.sub(r"^[^A-Za-z0-9\[]+", "", line)
    if not line:
        return "Nightshift report"
    return line if len(line) <= SUBJECT_LIMIT else line[: SUBJECT_LIMIT - 3].rstrip() + "..."
