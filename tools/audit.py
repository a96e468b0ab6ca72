"""
Ask what is known against the locked packages: pip-audit, made to say plainly what it could not find out.

pip-audit by itself exits with 0 where a mirror answers in the database's place and knows no package: "no known
vulnerabilities" and "nobody was asked" look alike. Here they do not: what was not checked is named, and with
``--strict`` it fails. Every pin of a lock is asked about, also those for another platform than this one.

An advisory is accepted only by an entry of requirements/accepted-advisories.toml, with a reason and a day on which that
ends. The packages' names and versions leave this machine, and nothing else of it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
LAYER = "requirements/layer.txt"
ACCEPTED = ROOT / "requirements" / "accepted-advisories.toml"
PIP_AUDIT = ROOT / ".venv-audit" / "bin" / "pip-audit"
SERVICES = ("pypi", "osv")
LONGEST = timedelta(days=180)
"""how far ahead an acceptance may end: what is accepted for ever is forgotten"""
PATIENCE = 600.0
"""seconds that one run of pip-audit may take"""

Pin: TypeAlias = tuple[str, str]
"""a package's name, as PEP 503 writes it, and its version"""

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_UNREACHABLE = re.compile(r"\brequests\.exceptions\.\w+|\bServiceError\b|may be blocking this service")
_SHOWN = 200
"""characters of an advisory's text that are shown"""


class AuditError(Exception):
    """The check itself went wrong: a lock or the list of accepted advisories cannot be used, or pip-audit failed."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An advisory that we live with, why, and the day on which that ends."""

    id: str
    reason: str
    expires: date


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known against one package. ``ids`` are the advisory's own and its aliases."""

    package: str
    version: str
    ids: tuple[str, ...]
    fixed: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found out about the pins of a lock. ``unreachable`` says why nobody could be asked."""

    findings: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()
    unreachable: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Lines for a person, whether anything speaks against the lock, and whether all of it was checked."""

    lines: tuple[str, ...]
    clean: bool
    complete: bool


Run: TypeAlias = Callable[[Path], "subprocess.CompletedProcess[str]"]
"""runs pip-audit over a file of pins; raises subprocess.TimeoutExpired"""


# -- what is asked about ---------------------------------------------------------------------------------------------


def pins(lock: str) -> tuple[Pin, ...]:
    """Return every pin of a lock, whatever platform it is for. Raises AuditError for a line that pins nothing."""
    found: dict[Pin, None] = {}
    for line in lock.splitlines():
        if not line.strip() or line.startswith(("#", " ")):  # a comment; hashes and reasons are indented
            continue
        pin = _PIN.match(line)
        if pin is None:
            raise AuditError(f"not a pin: {_plain(line)}")
        found[normal(pin[1]), pin[2]] = None
    return tuple(found)


def normal(name: str) -> str:
    """Return a package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def rounds(wanted: Sequence[Pin]) -> tuple[tuple[Pin, ...], ...]:
    """Return the pins in as many parts as it takes for no part to name a package twice: pip-audit refuses that."""
    parts: list[dict[str, str]] = []
    for name, version in wanted:
        part = next((each for each in parts if name not in each), None)
        if part is None:
            parts.append(part := {})
        part[name] = version
    return tuple(tuple(part.items()) for part in parts)


# -- asking ----------------------------------------------------------------------------------------------------------


def pip_audit(service: str) -> Run:
    """Return what runs pip-audit against a service, deaf to settings of the caller's shell."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_AUDIT_")}

    def run(requirements: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(PIP_AUDIT, "--requirement", requirements, "--disable-pip", "--no-deps"),
                *("--vulnerability-service", service, "--format", "json", "--progress-spinner", "off"),
                *("--cache-dir", ROOT / "build" / "audit"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,  # it exits with 1 for a finding and for a failure of its own: its words tell them apart
        )

    return run


def ask(wanted: Sequence[Pin], run: Run) -> Answer:
    """Ask about every pin. Raises AuditError where pip-audit failed for another reason than the way to its service."""
    findings: list[Finding] = []
    unchecked: list[str] = []
    with tempfile.TemporaryDirectory(prefix="nightshift-audit-") as scratch:
        for part in rounds(wanted):
            requirements = Path(scratch) / "pins.txt"
            requirements.write_text("".join(f"{name}=={version}\n" for name, version in part), encoding="utf-8")
            try:
                answer = read(run(requirements), part)
            except subprocess.TimeoutExpired:
                answer = Answer(unreachable=f"no answer within {PATIENCE:.0f} seconds")
            if answer.unreachable:
                return answer
            findings += answer.findings
            unchecked += answer.unchecked
    return Answer(tuple(findings), tuple(unchecked))


def read(ran: subprocess.CompletedProcess[str], wanted: Sequence[Pin]) -> Answer:
    """Make sense of one run: a pin that the answer does not speak of was not checked. Raises AuditError."""
    try:
        listed = json.loads(ran.stdout)["dependencies"]
        checked = {(normal(each["name"]), each["version"]): each["vulns"] for each in listed if "vulns" in each}
        findings = tuple(_finding(pin, vuln) for pin in wanted for vuln in checked.get(pin, ()))
    except (ValueError, KeyError, TypeError):
        said = ran.stderr.strip().splitlines() or ["it said nothing"]
        why = next((line for line in reversed(said) if _UNREACHABLE.search(line)), "")
        if not why:
            raise AuditError(f"pip-audit failed: {_plain(said[-1])}") from None
        return Answer(unreachable=_plain(why))
    return Answer(findings, tuple(f"{name} {version}" for name, version in wanted if (name, version) not in checked))


def _finding(pin: Pin, vuln: Mapping[str, Any]) -> Finding:
    name, version = pin
    return Finding(
        package=name,
        version=version,
        ids=tuple(dict.fromkeys(map(_plain, (vuln["id"], *vuln.get("aliases", ()))))),
        fixed=tuple(map(_plain, vuln.get("fix_versions", ()))),
        text=_plain(vuln.get("description", "")),
    )


def _plain(text: object) -> str:
    """Return somebody else's text as one visible line, not longer than a person reads here."""
    line = " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


# -- what we live with -----------------------------------------------------------------------------------------------


def acceptances(text: str) -> tuple[Acceptance, ...]:
    """Read the list of accepted advisories. Raises AuditError for an entry that does not say all that it must."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise AuditError(f"{ACCEPTED.name}: {error}") from None
    entries = document.pop("accepted", [])
    if document or not isinstance(entries, list):
        raise AuditError(f"{ACCEPTED.name} holds [[accepted]] entries and nothing else")
    found = tuple(_acceptance(entry, number) for number, entry in enumerate(entries, start=1))
    if len({each.id for each in found}) < len(found):
        raise AuditError(f"{ACCEPTED.name} accepts an advisory twice")
    return found


def _acceptance(entry: object, number: int) -> Acceptance:
    where = f"{ACCEPTED.name}, entry {number}"
    if not isinstance(entry, dict) or set(entry) != {"id", "reason", "expires"}:
        raise AuditError(f"{where}: say id, reason and expires, and nothing else")
    texts = entry["id"], entry["reason"]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise AuditError(f"{where}: id and reason are text")
    if not isinstance(entry["expires"], date) or isinstance(entry["expires"], datetime):
        raise AuditError(f"{where}: expires is a day, as in 2027-02-01, without quotes")
    return Acceptance(entry["id"].strip(), entry["reason"].strip(), entry["expires"])


def overdue(accepted: Iterable[Acceptance], today: date) -> tuple[str, ...]:
    """Say which acceptances are over, or would be too late: each of them fails the check."""
    lines = []
    for each in accepted:
        if each.expires <= today:
            lines.append(f"{each.id} was accepted until {each.expires}: look again ({each.reason})")
        elif each.expires > today + LONGEST:
            lines.append(f"{each.id} is accepted until {each.expires}: more than {LONGEST.days} days ahead")
    return tuple(lines)


# -- the report ------------------------------------------------------------------------------------------------------


def report(lock: str, wanted: Sequence[Pin], answer: Answer, accepted: Sequence[Acceptance], today: date) -> Report:
    """Say what is known against a lock."""
    asked = f"{lock}: {len(wanted)} package{'s' if len(wanted) != 1 else ''}"
    if answer.unreachable:
        line = f"{asked}, NOTHING WAS CHECKED: the vulnerability service cannot be reached ({answer.unreachable})"
        return Report((line,), clean=True, complete=False)
    if len(answer.unchecked) == len(wanted):
        line = f"{asked}, NOTHING WAS CHECKED: the service knows none of them (does a mirror answer in its place?)"
        return Report((line,), clean=True, complete=False)
    valid = [each for each in accepted if today < each.expires <= today + LONGEST]
    open_, known = [], []
    for finding in answer.findings:
        why = next((each for each in valid if each.id in finding.ids), None)
        if why is None:
            open_ += _lines(finding)
        else:
            known.append(f"  {finding.package} {finding.version}: {why.id} accepted until {why.expires}: {why.reason}")
    count = len(answer.findings) - len(known)
    lines = [f"{asked}, {count or 'no'} known {'vulnerability' if count == 1 else 'vulnerabilities'}", *open_, *known]
    if answer.unchecked:
        lines.append(f"  NOT CHECKED ({len(answer.unchecked)}): {', '.join(answer.unchecked)}")
    return Report(tuple(lines), clean=not open_, complete=not answer.unchecked)


def _lines(finding: Finding) -> list[str]:
    fixed = f"fixed in {', '.join(finding.fixed)}" if finding.fixed else "no version with a fix"
    return [
        f"  {finding.package} {finding.version}: {', '.join(finding.ids)}; {fixed}",
        *([f"      {finding.text}"] if finding.text else []),
    ]


def audit(
    locks: Sequence[str], accepted: Sequence[Acceptance], run: Run, *, today: date, strict: bool
) -> tuple[list[str], int]:
    """
    Check the locks: what to say, and the exit code.

    0: nothing is known against them, or (unless ``strict``) nobody could be asked. 1: something is, an acceptance is
    over, or not everything was checked. Raises AuditError.
    """
    late = overdue(accepted, today)
    lines = list(late)
    clean = not late
    complete = True
    for lock in locks:
        path = ROOT / lock
        wanted = pins(path.read_text(encoding="utf-8")) if path.is_file() else ()
        if not wanted:  # an empty list is a wrong name or a changed format, never "nothing to fear"
            raise AuditError(f"{lock} is no lock: it pins nothing")
        found = report(lock, wanted, ask(wanted, run), accepted, today)
        lines += found.lines
        clean = clean and found.clean
        complete = complete and found.complete
    return lines, 0 if clean and (complete or not strict) else 1


def main(arguments: Sequence[str] | None = None, *, run: Run | None = None) -> int:
    """Check, and say what came of it."""
    parser = argparse.ArgumentParser(prog="make audit", description="What is known against the locked packages.")
    parser.add_argument("locks", nargs="*", default=[LAYER], help=f"lock files; {LAYER} when not said")
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0], help="the vulnerability database to ask")
    parser.add_argument("--strict", action="store_true", help="fail where not everything could be checked")
    said = parser.parse_args(arguments)
    try:
        accepted = acceptances(ACCEPTED.read_text(encoding="utf-8"))
        lines, code = audit(
            said.locks, accepted, run or pip_audit(said.service), today=datetime.now(UTC).date(), strict=said.strict
        )
    except AuditError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
