"""
The sweep: look at everything, once a minute, in a few calls; open what is new, wake what is due, brake in a storm.

All work is derived again from the world each time, so a lost, late, repeated or forged event can change *when*
something is looked at, never *what* is done. One target that cannot be judged never keeps the others from being looked
at.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nightshift.aws import Aws
from nightshift.config import Policy
from nightshift.errors import AwsError, Unsent
from nightshift.guardrails import Brake
from nightshift.incidents import Event, Incidents, Pointer, incident_id
from nightshift.model import Arn, Finding, Healthy, Incident, Observation, Queries, Severity, Sick, Target, Unknown
from nightshift.notify import Notifier
from nightshift.remediation import Readings, Remediation, history
from nightshift.report import storm_notice, storm_over_notice, untrusted
from nightshift.signals import Answered, answered, commonest, gather

__all__ = ["Look", "Sweep", "Swept", "storm"]

_LOG = logging.getLogger(__name__)

BLIND_SWEEPS = 3
"""sweeps in a row in which a target could not be read, after which somebody is told"""
BLIND_DEADLINE = timedelta(minutes=30)
"""how long a target may stay unreadable before its incident says so and ends"""
CALM_SWEEPS = 3
"""healthy sweeps in a row after which we are no longer quiet about a target"""
ONSET = timedelta(minutes=30)
"""what fell sick within this time fell sick "at once" """
NEWS = timedelta(hours=1)
"""after an end: before, nobody hears that more of the same is wrong"""
MANY = 20
"""so many unreadable targets are one failure (of reading), not many: the storm brake tells of it"""
AHEAD = timedelta(seconds=45)
"""what falls due before the next sweep is handed out now, to be worked on when it is due"""


@dataclass(frozen=True, slots=True)
class Look:
    """What one remediation saw on one target."""

    target: Target
    remediation: Remediation
    seen: Observation


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep came to: figures for the heartbeat, and which incidents fall due before the next one, and when."""

    at: datetime
    targets: int
    sick: int
    unknown: int
    opened: tuple[str, ...]
    due: Mapping[str, datetime]
    braking: bool


class Sweep:
    """Looks at all targets, or at a few."""

    def __init__(
        self,
        policy: Policy,
        aws: Aws,
        incidents: Incidents,
        notifier: Notifier,
        *,
        quarantine: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._aws = aws
        self._incidents = incidents
        self._notify = notifier
        self._quarantine = quarantine
        self._clock = clock

    def __call__(self) -> Swept:
        """Look at everything. Raises StoreUnavailable or Unsent; the next sweep then does what this one left."""
        now = self._clock()
        pairs = [pair for pair in self._pairs(self.policy.targets) if _in_turn(*pair, now)]
        looks, readings = self._look(pairs)
        pointers = self._incidents.pointers()
        self._keep(pairs, readings, now)
        brake = self._brake(looks, answered(readings), pointers, now)
        opened = self._follow(looks, pointers, brake, now)
        due = dict(self._incidents.due(now + AHEAD))
        if self.policy.reminds:
            due |= self._incidents.reminders(now + AHEAD)
        swept = Swept(
            at=now,
            targets=len(looks),
            sick=sum(isinstance(look.seen, Sick) for look in looks),
            unknown=sum(isinstance(look.seen, Unknown) for look in looks),
            opened=opened,
            due={**dict.fromkeys(opened, now), **due},
            braking=brake.engaged,
        )
        self._incidents.beat(now, {"targets": swept.targets, "sick": swept.sick, "unknown": swept.unknown})
        return swept

    def wake(self, targets: Sequence[Target]) -> tuple[str, ...]:
        """
        Look at a few targets because an event named them: open what is sick, and name what is open.

        Only looks: whether the event was true, late, doubled or forged makes no difference to what follows.
        """
        now = self._clock()
        pointers = self._incidents.pointers()
        opened = self._open_sick(self.look(targets), pointers, now)
        already = [open_id for target in targets for open_id in self._incidents.open_on(str(target.arn))]
        return tuple(dict.fromkeys((*opened, *already)))

    def look(self, targets: Iterable[Target]) -> tuple[Look, ...]:
        """Read for all targets and remediations at once, then let every remediation judge: nothing is written."""
        return self._look(self._pairs(targets))[0]

    def _pairs(self, targets: Iterable[Target]) -> list[tuple[Target, Remediation]]:
        every = [each for each in self.policy.remediations.values() if not each.asked_for]
        return [(target, each) for target in targets for each in every if each.takes(target)]

    def _look(self, pairs: Sequence[tuple[Target, Remediation]]) -> tuple[tuple[Look, ...], Readings]:
        queries = [query for target, remediation in pairs for query in _watched(target, remediation)]
        readings = gather(self._aws, queries, now=self._clock())
        looks = tuple(Look(target, each, _judged(target, each, readings)) for target, each in pairs)
        return looks, readings

    def _keep(self, pairs: Sequence[tuple[Target, Remediation]], readings: Readings, now: datetime) -> None:
        """Note down what AWS keeps no history of: what was read, and nothing of what could not be."""
        wanted = dict.fromkeys(query for target, remediation in pairs for query in remediation.keeps(target))
        for query in wanted:
            found = readings.resource(query)
            if isinstance(found, Mapping):
                self._incidents.keep(history(query).key, found, now)

    # -- following up --------------------------------------------------------------------------------------------

    def _follow(
        self, looks: Sequence[Look], pointers: dict[tuple[str, str], Pointer], brake: Brake, now: datetime
    ) -> tuple[str, ...]:
        opened = list(self._open_sick(looks, pointers, now))
        unknown = [look for look in looks if isinstance(look.seen, Unknown)]
        if len(unknown) <= MANY and not brake.engaged:
            for look in unknown:
                opened += self._blind(look, pointers.get(_names(look)), now)
        for look in looks:
            pointer = pointers.get(_names(look))
            if pointer is not None and isinstance(look.seen, Healthy):
                self._calm(pointer)
        return tuple(opened)

    def _open_sick(
        self, looks: Iterable[Look], pointers: dict[tuple[str, str], Pointer], now: datetime
    ) -> tuple[str, ...]:
        opened = []
        for look in looks:
            if not isinstance(look.seen, Sick):
                continue
            pointer, over = pointers.get(_names(look)), ""
            if pointer is not None and pointer.state == "quiet":
                if now - pointer.since < look.remediation.retold and not self._changed(look, look.seen, pointer):
                    self._still_sick(pointer)
                    continue
                over = pointer.incident  # in one write: nobody must take it for healthy in between
            elif pointer is not None and pointer.state == "open":
                continue
            opened += self._open(look, look.seen.finding, now, look.remediation.deadline, over=over)
        return tuple(opened)

    def _open(
        self, look: Look, finding: Finding, now: datetime, deadline: timedelta, *, blind: bool = False, over: str = ""
    ) -> list[str]:
        target = str(look.target.arn)
        incident = Incident(
            id=incident_id(look.remediation.name, target, now),
            remediation=look.remediation.name,
            target=target,
            group=look.target.group,
            opened_at=now,
            look_at=now,
            deadline=now + deadline,
            finding=finding,
            severity=finding.severity,
            config_hash=self.policy.hash,
            scratch={"blind": True} if blind else {},
        )
        written = self._incidents.open(incident, Event(now, "opened", finding.symptom), over=over)
        return [incident.id] if written else []

    def _blind(self, look: Look, pointer: Pointer | None, now: datetime) -> list[str]:
        """A target that stays unreadable is told of, as an incident that never acts."""
        if not isinstance(look.seen, Unknown) or (pointer is not None and pointer.state != "unknown"):
            return []
        count = (pointer.count if pointer else 0) + 1
        if count >= BLIND_SWEEPS:
            symptom = f"cannot be seen: {look.seen.reason}"
            finding = Finding(look.remediation.name, str(look.target.arn), symptom, severity=Severity.SEV3)
            return self._open(look, finding, now, BLIND_DEADLINE, blind=True)
        fresh = Pointer(str(look.target.arn), look.remediation.name, "unknown", now, count=count)
        self._incidents.point(fresh, was="unknown" if pointer else None)
        return []

    def _calm(self, pointer: Pointer) -> None:
        """Healthy again: after a few sweeps we are no longer quiet about it, and count no more unreadable ones."""
        if pointer.state == "unknown" or (pointer.state == "quiet" and pointer.count + 1 >= CALM_SWEEPS):
            self._incidents.forget(pointer)
        elif pointer.state == "quiet":
            self._incidents.point(replace(pointer, count=pointer.count + 1), was="quiet")

    def _still_sick(self, pointer: Pointer) -> None:
        if pointer.count:
            self._incidents.point(replace(pointer, count=0), was="quiet")

    def _changed(self, look: Look, seen: Sick, pointer: Pointer) -> bool:
        """
        Whether something is wrong that people were not told of. Of a record that is gone nobody knows.

        It reads otherwise, or is newer than the end that they heard of. For an hour after that nobody hears of more, so
        that many are one report.
        """
        newest = seen.finding.newest
        if newest is not None and newest > pointer.since:
            return self._clock() - pointer.since >= NEWS
        told = self._incidents.get(pointer.incident) if look.remediation.steady else None
        return told is not None and told.finding.symptom != seen.finding.symptom

    # -- the storm brake -------------------------------------------------------------------------------------------

    def _brake(
        self,
        looks: Sequence[Look],
        services: Sequence[Answered],
        pointers: dict[tuple[str, str], Pointer],
        now: datetime,
    ) -> Brake:
        """Judge whether this is many failures or one, set the brake, then tell: the page may be late, the brake not."""
        before, probes = self._incidents.brake(), self._probe()
        failing = [service for service, error in probes.items() if error]
        dark = _dark(looks, services, self.policy.storm.floor)
        brake = storm(before, looks, pointers, failing, self.policy, now, dark=dark)
        if before.engaged and before.told and not brake.engaged:
            return self._over(before, brake, looks, now)
        if brake != before:
            self._incidents.set_brake(brake)
        if brake.engaged and not brake.told:
            page = storm_notice(
                brake.reason,
                sorted(str(look.target.arn) for look in looks if isinstance(look.seen, Sick)),
                since=brake.since or now,
                now=now,
                groups=_sick_of(looks),
                evidence={"IN COMMON": _common(looks), "PROBES": [*_probed(probes), *_served(services)]},
            )
            try:
                self._notify(page)
            except Unsent as error:  # the next sweep tells it; meanwhile this one goes on looking and handing out
                _LOG.warning("the storm could not be told", extra=untrusted(error=str(error)))
                return brake
            brake = replace(brake, told=True)
            self._incidents.set_brake(brake)
        return brake

    def _over(self, before: Brake, brake: Brake, looks: Sequence[Look], now: datetime) -> Brake:
        """Whoever was told of a storm is told that it is over, and then the brake lets go: not before they know."""
        sick = sorted({str(look.target.arn) for look in looks if isinstance(look.seen, Sick)})
        try:
            self._notify(storm_over_notice(before.reason, sick, since=before.since or now, now=now))
        except Unsent as error:
            _LOG.warning("the end of the storm could not be told", extra=untrusted(error=str(error)))
            return before
        self._incidents.set_brake(brake)
        return brake

    def _probe(self) -> dict[str, str]:
        """What the base services say without which no fix can be trusted: empty where they answer, else their error."""
        found = {}
        for service, operation, params in (
            ("sts", "GetCallerIdentity", {}),
            ("s3", "HeadBucket", {"Bucket": self._quarantine}),
        ):
            found[service.upper()] = ""
            try:
                self._aws.read(service, operation, **params)
            except AwsError as error:
                _LOG.warning("probe failed", extra={"probe": service, **untrusted(error=str(error))})
                found[service.upper()] = str(error)
        return found


def storm(
    before: Brake,
    looks: Sequence[Look],
    pointers: dict[tuple[str, str], Pointer],
    failing: Sequence[str],
    policy: Policy,
    now: datetime,
    *,
    dark: str = "",
) -> Brake:
    """
    Whether too much is sick at once to be many separate failures: pure, with hysteresis.

    Engages when ``storm.targets`` independent targets fell sick at once, or more than ``storm.percent`` of a group (at
    least ``storm.floor`` of it, so that small groups can be helped), or so many cannot be read, or a base service does
    not answer, or several sweeps in a row proved nothing (``dark`` says why this one did not). A target whose linked
    target is sick too is the same failure and counts once. Lets go only when less than half of that has been so for
    ``storm.calm``.
    """
    sick = _independent(look for look in looks if isinstance(look.seen, Sick) and _recent(look, pointers, before, now))
    sweeps = before.dark + 1 if dark else 0
    reason = _too_many(sick, looks, failing, policy) or (dark if sweeps >= BLIND_SWEEPS else None)
    if reason is not None:
        told = before.engaged and before.told
        since = before.since if before.engaged else now
        return Brake(engaged=True, reason=reason, since=since, sick=len(sick), told=told, dark=sweeps)
    if not before.engaged:
        return Brake(dark=sweeps)
    calm = len(sick) * 2 < policy.storm.targets and not failing and not dark
    if not calm:
        return replace(before, calm_since=None, sick=len(sick), dark=sweeps)
    calm_since = before.calm_since or now
    if now - calm_since >= policy.storm.calm:
        return Brake()
    return replace(before, calm_since=calm_since, sick=len(sick), dark=0)


def _dark(looks: Sequence[Look], services: Sequence[Answered], floor: int) -> str:
    """
    Why a sweep proves nothing; empty where it proves something.

    Nothing was seen of any target, because at least half of the reads failed; or a base service answered nothing of
    what was asked of it. One request serves many targets, and may fail for once: so it counts only where it lasts, and
    of at least ``floor`` targets.
    """
    targets = {look.target.arn for look in looks}
    failed = 0 < sum(each.asked for each in services) <= 2 * sum(each.unread for each in services)
    if failed and len(targets) >= floor and all(isinstance(look.seen, Unknown) for look in looks):
        return f"nothing can be seen of any of {len(targets)} targets: no fix can be trusted"
    silent = [
        each.service.upper() for each in services if each.service in _BASE and each.silent and each.things >= floor
    ]
    return f"{', '.join(silent)} answers nothing of what is read: no fix can be trusted" if silent else ""


_BASE = ("ecs", "s3", "sqs")
"""what everything that is cured here runs on"""


def _probed(probes: Mapping[str, str]) -> list[str]:
    return [f"{service}: {f'does not answer: {error}' if error else 'answers'}" for service, error in probes.items()]


def _served(services: Iterable[Answered]) -> list[str]:
    """What came of this sweep's own reads: of each service, of registered targets alone."""
    asked = {each.service: each for each in services}
    missing = [f"{service.upper()}: nothing was read of it" for service in _BASE if service not in asked]
    return [
        f"{each.service.upper()}: {each.asked - each.unread} of {each.asked} reads of targets were answered"
        f"{f'; of the others most say: {each.reason}' if each.unread else ''}"
        for each in asked.values()
    ] + missing


def _common(looks: Sequence[Look]) -> list[str]:
    """What most of what is wrong has in common, where it has."""
    failures = Counter(look.remediation.title for look in looks if isinstance(look.seen, Sick))
    unseen = [look.seen.reason for look in looks if isinstance(look.seen, Unknown)]
    found = [f"{count} of {failures.total()}: {title}" for title, count in failures.most_common(1) if count > 1]
    if len(unseen) > 1:
        found.append(f"{len(unseen)} of {len(looks)} looks saw nothing; most say: {commonest(unseen)}")
    return found


def _too_many(sick: Sequence[Target], looks: Sequence[Look], failing: Sequence[str], policy: Policy) -> str | None:
    if failing:
        return f"{', '.join(failing)} does not answer: no fix can be trusted"
    blind = sum(isinstance(look.seen, Unknown) for look in looks)
    if blind > MANY:
        return f"{blind} of {len(looks)} looks saw nothing: reading itself has failed"
    if len(sick) >= policy.storm.targets:
        return (
            f"{len(sick)} targets fell sick at once (limit {policy.storm.targets}): the cause is probably a shared one"
        )
    sizes = Counter(target.group for target in {look.target.arn: look.target for look in looks}.values())
    for group, count in sorted(Counter(target.group for target in sick).items()):
        percent = 100 * count / sizes[group]
        if count >= policy.storm.floor and percent > policy.storm.percent:
            share = f"{percent:.0f} %, limit {policy.storm.percent} %"
            return f"{count} of {sizes[group]} targets of {group} fell sick at once ({share})"
    return None


def _recent(look: Look, pointers: dict[tuple[str, str], Pointer], before: Brake, now: datetime) -> bool:
    """Whether this sickness is part of what is happening now, rather than one we are already quiet about."""
    pointer = pointers.get(_names(look))
    if pointer is None or pointer.state == "unknown":
        return True
    if pointer.state == "quiet":
        return False
    return before.engaged or now - pointer.since < ONSET


def _independent(looks: Iterable[Look]) -> tuple[Target, ...]:
    """One target per failure: a dead-letter queue whose consumer is sick too is not a second one."""
    sick = {look.target.arn: look.target for look in looks}
    cause = {arn: arn for arn in sick}

    def root(arn: Arn) -> Arn:
        while cause[arn] != arn:
            arn = cause[arn]
        return arn

    for arn, target in sick.items():
        causes = [linked for linked in target.linked if linked in sick]
        for linked in causes[:1] if target.triggers is not None else causes:  # its customers may fail each for itself
            cause[root(arn)] = root(linked)
    return tuple(target for arn, target in sick.items() if root(arn) == arn)


def _sick_of(looks: Sequence[Look]) -> dict[str, tuple[int, int]]:
    """How many of each group's targets are sick, and how many it has."""
    groups: dict[str, tuple[set[Arn], set[Arn]]] = {}
    for look in looks:
        sick, every = groups.setdefault(look.target.group, (set(), set()))
        every.add(look.target.arn)
        if isinstance(look.seen, Sick):
            sick.add(look.target.arn)
    return {group: (len(sick), len(every)) for group, (sick, every) in groups.items()}


def _watched(target: Target, remediation: Remediation) -> Queries:
    """What a remediation wants to read; nothing from one that fails, which then sees nothing, and says so."""
    try:
        return remediation.watch(target)
    except Exception:  # noqa: BLE001 - the bulkhead: whatever one of them raises, the others are looked at
        _LOG.exception("a remediation failed", extra={"remediation": remediation.name, "target": str(target.arn)})
        return ()


def _judged(target: Target, remediation: Remediation, readings: Readings) -> Observation:
    """What a remediation sees: a defect in one of them makes its own targets unknown, and leaves the others alone."""
    try:
        return remediation.detect(target, readings)
    except Exception as error:  # noqa: BLE001 - the bulkhead: whatever one of them raises, the others are looked at
        _LOG.exception("a remediation failed", extra={"remediation": remediation.name, "target": str(target.arn)})
        return Unknown(f"{remediation.name} failed: {type(error).__name__}")


def _in_turn(target: Target, remediation: Remediation, now: datetime) -> bool:
    """
    Whether this is the minute in which a remediation that looks rarely looks at that target.

    Each pair has a minute of its own, always the same: so no sweep reads all of them at once, and a sweep that was left
    out costs one turn.
    """
    turns = max(1, int(remediation.turn / timedelta(minutes=1)))
    digest = hashlib.sha256(f"{remediation.name}|{target.arn}".encode()).digest()
    return (int(now.timestamp()) // 60 + int.from_bytes(digest[:4], "big")) % turns == 0


def _names(look: Look) -> tuple[str, str]:
    return (str(look.target.arn), look.remediation.name)
