"""What was not checked never looks like what was checked and is clean."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from tools import audit
from tools.audit import LAYER, Acceptance, AuditError, acceptances, pins, rounds

TODAY = date(2026, 11, 26)
ROOT = Path(__file__).parents[2]
ADVISORY = {
    "id": "PYSEC-2026-1",
    "aliases": ["GHSA-aaaa-bbbb-cccc", "CVE-2026-0001"],
    "fix_versions": ["2.8.1"],
    "description": "A response\nmay \x1b[31mnever end",
}
ACCEPTED = Acceptance("CVE-2026-0001", "nothing here reads from strangers", TODAY + timedelta(days=30))

Asked = list[list[str]]


def ran(stdout: object = "", stderr: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    """What one run of pip-audit came to."""
    return subprocess.CompletedProcess([], code, stdout if isinstance(stdout, str) else json.dumps(stdout), stderr)


Advisories = Mapping[str, list[dict[str, Any]]]


def service(known: Advisories | None = None, *, skips: tuple[str, ...] = (), asked: Asked | None = None) -> audit.Run:
    """A pip-audit that has ``known`` advisories by package, and skips some packages as the real one does."""

    def run(requirements: Path) -> subprocess.CompletedProcess[str]:
        wanted = requirements.read_text(encoding="utf-8").split()
        if asked is not None:
            asked.append(wanted)
        listed: list[dict[str, Any]] = []
        for name, version in (each.split("==") for each in wanted):
            vulns = (known or {}).get(name, [])
            skipped = {"name": name, "skip_reason": "Dependency not found"}
            listed.append(skipped if name in skips else {"name": name, "version": version, "vulns": vulns})
        return ran({"dependencies": listed, "fixes": []}, code=1 if known else 0)

    return run


def checked(
    run: audit.Run, *accepted: Acceptance, strict: bool = False, locks: tuple[str, ...] = (LAYER,)
) -> tuple[str, int]:
    """What the check says, and its exit code."""
    lines, code = audit.audit(locks, accepted, run, today=TODAY, strict=strict)
    return "\n".join(lines), code


# -- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_pin_is_asked_about_whatever_it_is_for(path: Path) -> None:
    """No package of a lock is left out for its platform or its extras, or because it is locked in two versions."""
    text = path.read_text(encoding="utf-8")
    found = pins(text)
    assert len(found) == sum(line[:1].isalnum() for line in text.splitlines())
    asked: Asked = []
    _, code = checked(service(asked=asked), locks=(f"requirements/{path.name}",))
    assert code == 0
    assert sorted(pin for part in asked for pin in part) == sorted(f"{name}=={version}" for name, version in found)
    for part in asked:
        names = [pin.partition("==")[0] for pin in part]
        assert len(names) == len(set(names)), "pip-audit refuses a package that is named twice"


def test_a_package_in_two_versions_is_asked_about_twice() -> None:
    """A lock may hold a version for an old Python and one for a new one: both are somebody's."""
    lock = "a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:0\na==2 \\\nB_c.d[x,y]==3\n    # via a\n"
    assert pins(lock) == (("a", "1"), ("a", "2"), ("b-c-d", "3"))
    assert rounds(pins(lock)) == ((("a", "1"), ("b-c-d", "3")), (("a", "2"),))


@pytest.mark.parametrize("line", ["a>=1", "a @ https://example.com/a.whl", "-e .", "-r other.txt"])
def test_what_is_not_a_pin_fails(line: str) -> None:
    """A line that cannot be asked about is an error, and not one package less."""
    with pytest.raises(AuditError, match="not a pin"):
        pins(f"b==1\n{line}\n")


@pytest.mark.parametrize("lock", ["requirements/none.txt", "requirements/accepted-advisories.toml", "README.md"])
def test_what_is_no_lock_fails(lock: str) -> None:
    """A wrong name is an error: an empty list never means "nothing to fear"."""
    with pytest.raises(AuditError):
        checked(service(), locks=(lock,))


# -- what is said ----------------------------------------------------------------------------------------------------


def test_nothing_known_is_said_in_one_line() -> None:
    """A lock that was asked about, and against which nothing is known, passes, strictly too."""
    assert checked(service(), strict=True) == (f"{LAYER}: 13 packages, no known vulnerabilities", 0)


def test_an_advisory_fails_and_says_all_that_there_is_to_know() -> None:
    """The package, its version, every name of the advisory, and where it is fixed, in visible characters."""
    said, code = checked(service({"urllib3": [ADVISORY]}))
    assert code == 1
    assert "1 known vulnerability" in said
    assert "urllib3 2.8.0: PYSEC-2026-1, GHSA-aaaa-bbbb-cccc, CVE-2026-0001; fixed in 2.8.1" in said
    assert "A response may [31mnever end" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "error",
    [
        "requests.exceptions.ConnectionError: no route",
        "requests.exceptions.ProxyError: refused",
        "requests.exceptions.JSONDecodeError: a login page",
        "pip_audit._service.interface.ServiceError",
        "ERROR:pip_audit._cli:Tip: your network may be blocking this service. Try another service with `-s SERVICE`",
    ],
)
def test_where_nobody_answers_it_says_so_and_passes_unless_strict(error: str) -> None:
    """Offline, one line says that nothing was checked; with --strict that is a failure."""
    run = lambda _: ran(stderr=f"Traceback (most recent call last):\n{error}\n", code=1)  # noqa: E731 - a fake
    said, code = checked(run)
    assert (said.count("\n"), code) == (0, 0)
    assert "NOTHING WAS CHECKED" in said
    assert "no known" not in said
    assert checked(run, strict=True)[1] == 1


def test_an_answer_that_never_comes_is_no_answer() -> None:
    """A run that takes too long counts as a service that cannot be reached."""

    def run(_: Path) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired("pip-audit", audit.PATIENCE)

    assert "NOTHING WAS CHECKED" in checked(run)[0]


def test_a_mirror_that_knows_no_package_is_not_a_clean_bill() -> None:
    """Pip-audit says "no known vulnerabilities" and exits with 0 where every package was skipped: here it does not."""
    run = service(skips=tuple(name for name, _ in pins((ROOT / LAYER).read_text(encoding="utf-8"))))
    said, code = checked(run)
    assert "NOTHING WAS CHECKED" in said
    assert "no known" not in said
    assert code == 0
    assert checked(run, strict=True)[1] == 1


def test_what_was_skipped_is_named() -> None:
    """One package that the service does not know is said by name, and fails where everything must be checked."""
    said, code = checked(service(skips=("six",)))
    assert "NOT CHECKED (1): six 1.17.0" in said
    assert code == 0
    assert checked(service(skips=("six",)), strict=True)[1] == 1


def test_what_the_answer_is_silent_about_was_not_checked() -> None:
    """An answer that is cut short leaves packages unchecked, and says which."""
    said, _ = checked(lambda _: ran({"dependencies": [{"name": "six", "version": "1.17.0", "vulns": []}]}))
    assert "NOT CHECKED (12): annotated-types 0.8.0, " in said


def test_an_advisory_and_a_skipped_package_are_both_told() -> None:
    """What is known fails, whatever could not be asked about besides."""
    said, code = checked(service({"urllib3": [ADVISORY]}, skips=("six",)))
    assert "PYSEC-2026-1" in said
    assert "NOT CHECKED (1)" in said
    assert code == 1


@pytest.mark.parametrize("stdout", ["", "[]", "{}", '{"dependencies": [{"name": "six", "vulns": []}]}', "nonsense"])
def test_a_failure_of_the_tool_is_no_lack_of_network(stdout: str) -> None:
    """Whatever else goes wrong fails at once: only the way to the service is excused."""
    with pytest.raises(AuditError, match="six has duplicate requirements"):
        checked(lambda _: ran(stdout, "ERROR:pip_audit._cli:package six has duplicate requirements", 1))


# -- what we live with -----------------------------------------------------------------------------------------------


def test_an_accepted_advisory_passes_and_is_shown_with_its_reason() -> None:
    """Accepted under any of its names, until its day."""
    said, code = checked(service({"urllib3": [ADVISORY]}), ACCEPTED, strict=True)
    assert code == 0
    assert "urllib3 2.8.0: CVE-2026-0001 accepted until 2026-12-26: nothing here reads from strangers" in said
    assert checked(service({"urllib3": [ADVISORY, {**ADVISORY, "id": "X", "aliases": []}]}), ACCEPTED)[1] == 1


@pytest.mark.parametrize("days", [0, -1, 181, 4000], ids=["today", "past", "too-far", "for-ever"])
def test_an_acceptance_ends(days: int) -> None:
    """From its last day on, and where it would last longer than half a year, it accepts nothing and fails by itself."""
    late = Acceptance(ACCEPTED.id, ACCEPTED.reason, TODAY + timedelta(days=days))
    unreachable: audit.Run = lambda _: ran(stderr="requests.exceptions.ConnectionError", code=1)  # noqa: E731 - a fake
    for run in (service(), service(skips=("six",)), unreachable):
        said, code = checked(run, late)
        assert code == 1
        assert said.startswith("CVE-2026-0001 ")
    assert "1 known vulnerability" in checked(service({"urllib3": [ADVISORY]}), late)[0]


@pytest.mark.parametrize(
    "entry",
    [
        'id = "X"\nreason = "because"',
        'id = "X"\nexpires = 2027-01-01',
        'id = "X"\nreason = ""\nexpires = 2027-01-01',
        'id = "X"\nreason = "because"\nexpires = "2027-01-01"',
        'id = "X"\nreason = "because"\nexpires = 2027-01-01T00:00:00Z',
        'id = "X"\nreason = "because"\nexpires = 2027-01-01\npackage = "six"',
        'id = "X"\nreason = "y"\nexpires = 2027-01-01\n[[accepted]]\nid = "X"\nreason = "z"\nexpires = 2027-01-01',
        'id = "X"\nreason = "because"\nexpires = 2027-01-01\n[other]',
        "id = ",
    ],
)
def test_an_acceptance_says_what_why_and_until_when(entry: str) -> None:
    """An entry that lacks one of them, or says more, is an error."""
    with pytest.raises(AuditError, match="accepted-advisories"):
        acceptances(f"[[accepted]]\n{entry}\n")


def test_the_list_that_is_kept_can_be_read() -> None:
    """The repository's own list, and the example in it, are well formed."""
    text = audit.ACCEPTED.read_text(encoding="utf-8")
    acceptances(text)
    example = "\n".join(line.removeprefix("# ") for line in text.partition("#\n")[2].splitlines())
    (entry,) = acceptances(example)
    assert entry.id.startswith("GHSA-")


# -- how it is called ------------------------------------------------------------------------------------------------


def test_it_asks_about_the_layer_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    """`make audit` alone is about what ships; words name other locks."""
    assert audit.main([], run=service()) == 0
    assert audit.main([LAYER, "requirements/uv.txt"], run=service()) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        LAYER,
        LAYER,
        "requirements/uv.txt",
    ]


def test_what_went_wrong_is_said_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """No traceback: one line on stderr, exit code 1."""
    assert audit.main(["requirements/none.txt"], run=service()) == 1
    assert capsys.readouterr().err == "requirements/none.txt is no lock: it pins nothing\n"


def test_the_callers_shell_does_not_change_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of pip-audit in the environment neither moves its output nor names another database."""
    seen: dict[str, Any] = {}

    def run(command: list[object], **how: Any) -> subprocess.CompletedProcess[str]:
        seen.update(how, command=[str(word) for word in command])
        return ran()

    monkeypatch.setenv("PIP_AUDIT_OUTPUT", "/dev/null")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "https://example.com")
    monkeypatch.setattr(subprocess, "run", run)
    audit.pip_audit("osv")(Path("pins.txt"))
    assert not [name for name in seen["env"] if name.startswith("PIP_AUDIT_")]
    assert seen["command"][seen["command"].index("--vulnerability-service") + 1] == "osv"
    assert {"--disable-pip", "--no-deps"} <= set(seen["command"]), "pip resolves nothing and runs nobody's build"
