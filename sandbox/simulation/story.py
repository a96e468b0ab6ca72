"""
What a run is made of, as data: the systems, the settings, the causes, the people, the forged events, the weather.

A story is drawn from a seed, and can be told with less in it. Every cause is a line that a person can read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from sandbox.simulation.nemesis import Death, Denial, Fault, Weather

__all__ = ["START", "UPKEEP", "Scene", "Story", "draw", "weathered"]

START = datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
"""a Thursday: no window, no freeze"""
WARM_UP = 12
"""minutes of quiet first: a dead-letter queue must have been seen for a while before anything is sent home"""
TROUBLE = (30, 120, 240)
"""minutes in which things go wrong, by the seed; then the causes are healed and the faults end"""
SETTLE = 30
"""minutes after which everything that was open must be closed and told"""
SYSTEMS = ((1, 0, 1), (2, 1, 3), (3, 0, 3), (2, 1, 4), (3, 1, 2), (0, 0, 6))
"""how many document systems, usage systems and slow queues there are"""
CROWDS = ((4, 3, 20), (2, 1, 40), (0, 0, 60), (0, 0, 60))
"""the same of an account with much in it: every minute several incidents begin"""
SMALL = (5, (10, 12), 12)
"""the same three of a small story, in which nothing waits for longer than a few minutes"""

_CAUSES = (
    "outage",
    "outage",
    "outage",
    "poison",
    "wedge",
    "wedge",
    "bad image",
    "flap",
    "slow",
    "slow",
    "slow for ever",
)
_PEOPLE = (
    "deployment",
    "stack update",
    "protect",
    "opt out",
    "stop service",
    "redrive by hand",
    "set visibility",
    "restart by hand",
    "set visibility in the act",
)
_SWITCHING = ("pause", "halt", "redeploy", "observe", "pause in the act", "pause in the act", "halt in the act")
_FORGED = ("forged alarm", "forged work", "doubled work", "lost sweep", "true alarm", "doubled sweep", "garbage")
_KINDS = tuple(Fault)

_PROFILES = ("stalled", "stalled", "capacity", "release", "apis")
"""what else Nightshift looks after in a story: its services' capacity or releases instead of their hangs, or APIs"""
_PROFILE_CAUSES = {"capacity": ("busy", "busy", "scale by hand"), "release": ("bad release",), "apis": ("bad tasks",)}
_QUICK = 'confirm = 1\nlooks = {looks}\npatience = "PT5M"\ndeadline = "PT{deadline}M"\ncooldown = "PT{cooldown}M"\n'
_PRICE = "\ntask_dollars_per_hour = 0.05"
_PROFILE_SETTINGS = {
    "capacity": (
        "ecs-capacity-short",
        'history = "PT20M"\nlease = "PT5M"\nstarting = "PT3M"\nrelease = "PT10M"\ncured = 78' + _PRICE,
    ),
    "release": ("ecs-deployment-bad", 'stalled_for = "PT5M"\nfailed_tasks = 2\nmax_attempts = 1'),
    "apis": (
        "ecs-targets-unhealthy",
        'unhealthy_for = "PT2M"\nstuck_for = "PT3M"\nwell_for = "PT2M"\nrollout = "PT5M"\nsuspect = "PT15M"',
    ),
}
_TRIGGERED = 0.3
"""the share of larger stories in which buckets of triggers are looked after, too"""
_TRIGGER_CAUSES = ("trigger stays", "trigger lost", "trigger lost", "trigger forgotten")
_TRIGGER_PEOPLE = ("trigger submitted again", "trigger removed by hand", "protect bucket")
_TRIGGER_SETTINGS = (
    'stuck_for = "PT5M"\nreprocess = "PT5M"\nmax_attempts = 2\n'
    'customer_field = "customerCode"\ntimestamp_field = "timestamp"\nidempotent = true'
)
_WORKED = 0.2
"""the share of larger stories in which each of these is looked after, too"""
_WORK: Mapping[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "machines": (
        "execution-failed",
        'any_failed = true\ncalm = "PT2M"\nalone = "PT2M"\nsample = 5',
        ("executions fail",),
        ("executions redriven by hand", "definition"),
    ),
    "functions": (
        "lambda-dlq-backlog",
        'healthy_for = "PT5M"\ncanary_patience = "PT5M"\nbatch = 10\nsample = 10',
        ("failed events",),
        (),
    ),
    "pipelines": (
        "pipeline-backlog",
        'healthy_for = "PT5M"\nreprocess = "PT5M"\ncanary = 1\nbatch = 2',
        ("files lost", "files lost", "files forgotten"),
        ("files arrive",),
    ),
    "rules": ("schedule-disabled", "", ("rule disabled",), ()),
    "hours": ("hours-missing", "", ("hours lost",), ()),
}
"""what does other work: who takes care of it, with which settings, what befalls it, and what people do"""
_SHARED = 0.15
"""the share of larger stories in which each of these is looked after, too"""
_LENT: Mapping[str, tuple[str, str, tuple[str, ...], tuple[str, ...], str]] = {
    "stores": (
        "dynamodb-throttled",
        'patience = "PT16M"\nlease = "PT8M"\nread_dollars_per_hour = 0.0001\nwrite_dollars_per_hour = 0.001',
        ("table busy",),
        ("set capacity", "table key"),
        "dynamodb.UpdateTable",
    ),
    "lambdas": (
        "lambda-throttled",
        'patience = "PT12M"\nlease = "PT8M"',
        ("calls come in",),
        ("reserve by hand", "account is small"),
        "lambda.PutFunctionConcurrency",
    ),
    "databases": (
        "aurora-saturated",
        'patience = "PT12M"\nsaturated_for = 5\nlease = "PT8M"\ncalm = "PT10M"\nacu_dollars_per_hour = 0.1',
        ("database busy",),
        ("database scaled by hand", "database waits"),
        "rds.ModifyDBCluster",
    ),
    "graphs": (
        "appsync-slow",
        'patience = "PT22M"\nlease = "PT30M"\ncache_dollars_per_hour = 1',
        ("api busy",),
        ("cache changed",),
        "appsync.DeleteApiCache",
    ),
}
"""the same of what is lent to, and with which call, which somebody may be denied"""
_RARELY = 'confirm = 1\nlooks = {looks}\nmax_attempts = 1\ndeadline = "PT30M"\ncooldown = "PT{cooldown}M"\n'
_AFTERWARDS = 75
"""minutes until all of these are closed: what was just lent is proved, kept for its lease, and given back"""
UPKEEP = ("certificate-expiring", "secret-rotation-overdue", "stack-stuck", "terraform-lock-held", "backup-stale")
"""what people keep up, and hear of when it is forgotten"""
_NEGLECTED = ("certificate ends", "secret forgotten", "stack stuck", "state locked", "backups stop")
_UPDATES = 'update_every = "PT{minutes}M"'


_MOST_STRUCK = 0.05
"""of the calls of a life: where more fail, hardly any tick of twenty calls comes to its end, for as long as it lasts"""
_SYSTEMS = {
    "documents": "document systems",
    "usage": "usage systems",
    "loans": "slow queues",
    "apis": "APIs",
    "triggers": "buckets of triggers",
    "pipelines": "pipelines",
    "machines": "state machines",
    "schedules": "ingestions",
    "graphs": "GraphQL APIs",
    "databases": "Aurora clusters",
    "searches": "search domains",
    "uploads": "upload buckets",
    "guarded": "guarded tables",
    "functions": "functions with failed events",
    "stores": "tables",
    "stacks": "stacks",
    "lambdas": "functions of one account",
    "aliased": "functions with an alias",
    "ready": "functions that are kept ready",
}
"""the fields of a story that count something, in words"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that happens: how many seconds after the start, what, to which (a number), and with what numbers."""

    at: int
    what: str
    which: int = 0
    numbers: tuple[int, ...] = ()

    def __str__(self) -> str:
        more = f" {self.numbers}" if self.numbers else ""
        return f"{timedelta(seconds=self.at)} {self.what} (of {self.which}){more}"


@dataclass(frozen=True, slots=True)
class Story:
    """
    One run. ``settings`` are lines of the configuration, by table.

    A ``brief`` one is over as soon as its incidents are. ``answer`` is what a person says who is asked: yes, no or
    silence; where nothing stands, the seed decides.
    """

    seed: int
    documents: int = 1
    ordered: bool = False  # whether the queues of documents keep an order
    usage: int = 0
    loans: int = 1
    apis: int = 0  # services behind load balancers
    triggers: int = 0  # buckets of triggers
    pipelines: int = 0  # 0 or 1: there is one in a world
    called: bool = False  # whether S3 calls its function itself, without a queue
    machines: int = 0  # state machines
    schedules: int = 0  # ingestions that a rule starts
    graphs: int = 0  # GraphQL APIs
    databases: int = 0  # Aurora clusters
    searches: int = 0  # domains of OpenSearch
    uploads: int = 0  # 0 or 1: a bucket that people upload to
    guarded: int = 0  # 0 or 1: a table that somebody may tamper with
    functions: int = 0  # functions with a queue for their failed events
    stores: int = 0  # tables of DynamoDB with a load
    stacks: int = 0  # stacks that CloudFormation updates
    lambdas: int = 0  # functions that share an account's concurrency: these or the ones before
    aliased: int = 0  # functions that are called by an alias: these or the ones before
    ready: int = 0  # functions of whose alias some may be kept ready: instead of those
    mode: str = "auto"
    settings: Mapping[str, str] = field(default_factory=dict)
    scenes: tuple[Scene, ...] = ()
    rates: Mapping[Fault, float] = field(default_factory=dict)
    denials: tuple[tuple[str, int, int], ...] = ()  # operation, from and to in seconds after the start
    skew_ms: int = 0
    warm_up: int = WARM_UP * 60
    trouble: int = TROUBLE[0] * 60
    settle: int = SETTLE * 60
    only: frozenset[str] | None = None  # the strikes that happen; None: all that are drawn
    brief: bool = False
    life: str = ""  # which life it is, in a seed's weather
    answer: str = ""
    death: Death | None = None

    @property
    def quiet_at(self) -> datetime:
        """When faults and causes end."""
        return START + timedelta(seconds=self.warm_up + self.trouble)

    @property
    def weather(self) -> Weather:
        """The faults, as the nemesis takes them."""
        start = int(START.timestamp() * 1000)
        denials = tuple(Denial(name, start + a * 1000, start + b * 1000) for name, a, b in self.denials)
        return Weather(self.rates, denials, self.skew_ms, int(self.quiet_at.timestamp() * 1000), self.death)

    @property
    def systems(self) -> str:
        """What there is in the account, and how much of it."""
        counts = ((getattr(self, name), what) for name, what in _SYSTEMS.items())
        return ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing"

    def lines(self) -> Iterator[str]:
        """The story as a person reads it."""
        yield f"seed {self.seed}: {self.life and f'{self.life}: '}{self.systems}"
        yield f"mode {self.mode}; " + "; ".join(f"[{table}] {text}" for table, text in self.settings.items() if text)
        if self.skew_ms:
            yield f"clocks up to {self.skew_ms} ms off"
        for name, begin, end in self.denials:
            yield f"{timedelta(seconds=begin)} to {timedelta(seconds=end)} {name} is denied"
        yield from map(str, self.scenes)

    def without(self, scenes: Callable[[Scene], bool]) -> Story:
        """The same with fewer scenes."""
        return replace(self, scenes=tuple(scene for scene in self.scenes if not scenes(scene)))


def draw(seed: int, *, faults: bool = True, small: bool = False) -> Story:
    """
    Draw a run from a seed.

    A small one has a system or two, three causes at most and waits of minutes: it is for a world whose calls are dear.
    """
    if small:
        return _small(Random(f"small story/{seed}"), seed, faults=faults)
    dice = Random(f"story/{seed}")
    trouble = dice.choice(TROUBLE) * 60
    crowd = dice.random() < 0.8
    documents, usage, loans = dice.choice(CROWDS if crowd else SYSTEMS)
    trouble = max(trouble, TROUBLE[1] * 60) if crowd else trouble
    story = Story(
        seed=seed,
        documents=documents,
        usage=usage,
        loans=loans,
        mode=dice.choices(("auto", "approve", "observe"), (8, 2, 0.5))[0],
        settings=_settings(dice, crowd=crowd),
        trouble=trouble,
    )
    scenes = [*_causes(dice, story)]
    story, more = _profiled(Random(f"profile/{seed}"), story)
    story, told = _triggered(Random(f"triggers/{seed}"), story)
    story, worked = _worked(Random(f"work/{seed}"), story)
    story, lent = _lent(Random(f"lent/{seed}"), story, faults=faults)
    story, kept = _kept_up(Random(f"upkeep/{seed}"), story)
    return _filled(dice, story, [*scenes, *more, *told, *worked], faults=faults, others=(*lent, *kept))


def weathered(story: Story, seed: int, life: str, *, operations: tuple[str, ...] = ()) -> Story:
    """
    The story of a life, which has no faults in it, in the weather of a seed: faults, events, switches, skewed clocks.

    It is short, so each call is struck more often. For a while somebody may be denied one of the ``operations`` that it
    makes, or another.
    """
    dice = Random(f"weather/{seed}")
    starts = [60, *(scene.at for scene in story.scenes)]
    rates, denials = _faults(dice, story, starts, operations)
    total = sum(rate for fault, rate in rates.items() if fault is not Fault.STALE)
    more = min(5.0, _MOST_STRUCK / total) if total else 0.0
    scenes = list(story.scenes)
    for pool, most in ((_SWITCHING, 1), (_FORGED, 4)):
        for _ in range(dice.randrange(most + 1)):
            at = max(dice.choice(starts) + dice.randrange(-120, 20 * 60), 60)
            scenes.append(Scene(at, dice.choice(pool), 0, (dice.randrange(1, 9) * 60,)))
    return replace(
        story,
        seed=seed,
        life=life,
        rates={fault: rate if fault is Fault.STALE else rate * more for fault, rate in rates.items()},
        denials=(*story.denials, *denials),
        skew_ms=dice.choice((0, 0, 2_000, 15_000)),
        scenes=tuple(sorted(scenes, key=lambda scene: (scene.at, scene.what, scene.which))),
    )


def _profiled(dice: Random, story: Story) -> tuple[Story, list[Scene]]:
    """What else is looked after, and the causes that belong to it. Drawn by itself: the rest stays as it is."""
    profile = dice.choice(_PROFILES)
    queues = story.documents + story.usage
    if profile == "stalled" or (profile != "apis" and not queues):
        return story, []
    name, text = _PROFILE_SETTINGS[profile]
    numbers = {"looks": dice.choice((1, 2)), "deadline": dice.choice((12, 18)), "cooldown": dice.choice((5, 15))}
    settings = {table: rows for table, rows in story.settings.items() if profile == "apis" or "stalled" not in table}
    settings[f"remediations.{name}"] = _QUICK.format(**numbers) + text
    story = replace(story, settings=settings, apis=dice.randrange(1, 7) if profile == "apis" else 0)
    count = story.apis or queues
    scenes = []
    for _ in range(dice.randrange(1, 2 + count * story.trouble // (25 * 60))):
        at = story.warm_up + dice.randrange(0, story.trouble - 10 * 60)
        scenes.append(_of_profile(dice, dice.choice(_PROFILE_CAUSES[profile]), at, dice.randrange(count)))
    if profile == "capacity":
        scenes += [Scene(5, "autoscaled", which) for which in range(count) if dice.random() < 0.4]
        if dice.random() < 0.3:  # money for a few loans
            limits = f"{settings['limits']}\ndollars_per_day = 0.03"
            story = replace(story, settings={**settings, "limits": limits})
    return story, scenes


def _triggered(dice: Random, story: Story) -> tuple[Story, list[Scene]]:
    """Buckets of triggers, and what befalls them. Drawn by itself, as a profile is."""
    if dice.random() >= _TRIGGERED:
        return story, []
    numbers = {"looks": dice.choice((1, 2)), "deadline": dice.choice((12, 18)), "cooldown": dice.choice((5, 15))}
    settings = {**story.settings, "remediations.s3-trigger-stuck": _QUICK.format(**numbers) + _TRIGGER_SETTINGS}
    story = replace(story, settings=settings, triggers=dice.randrange(1, 4))
    scenes = []
    for _ in range(dice.randrange(1, 2 + story.triggers * story.trouble // (20 * 60))):
        at, which = story.warm_up + dice.randrange(0, story.trouble - 10 * 60), dice.randrange(story.triggers)
        scenes.append(Scene(at, dice.choice(_TRIGGER_CAUSES), which, (dice.randrange(4, 25) * 60,)))
        if dice.random() < 0.3:
            near = at + dice.randrange(60, 12 * 60)
            scenes.append(Scene(near, dice.choice(_TRIGGER_PEOPLE), which, (dice.randrange(1, 9) * 60,)))
    return story, scenes


def _worked(dice: Random, story: Story) -> tuple[Story, list[Scene]]:
    """State machines, functions, a pipeline, schedules, and what befalls them. Drawn by itself, as a profile is."""
    scenes = []
    for kind, (name, own, causes, people) in _WORK.items():
        count = dice.randrange(1, 4)
        if dice.random() >= _WORKED or (kind == "hours" and story.schedules):
            continue
        numbers = {"looks": dice.choice((1, 2)), "deadline": dice.choice((18, 24)), "cooldown": dice.choice((5, 15))}
        rows = _QUICK.format(**numbers).replace('patience = "PT5M"', 'patience = "PT10M"') + own
        systems = "schedules" if kind in {"rules", "hours"} else kind
        count = 1 if kind == "pipelines" else count  # there is one in a world
        more: dict[str, Any] = {systems: count}
        story = replace(story, settings={**story.settings, f"remediations.{name}": rows}, **more)
        for _ in range(dice.randrange(1, 2 + count * story.trouble // (25 * 60))):
            at, which = story.warm_up + dice.randrange(0, story.trouble - 10 * 60), dice.randrange(count)
            scenes.append(_of_work(dice, dice.choice(causes), at, which))
            if people and dice.random() < 0.3:
                scenes.append(_of_work(dice, dice.choice(people), at + dice.randrange(60, 12 * 60), which))
    return story, scenes


def _of_work(dice: Random, what: str, at: int, which: int) -> Scene:
    numbers = {
        "executions fail": (dice.randrange(1, 5), dice.choice((0, 0, 0, 1)), dice.randrange(1, 10) * 60),
        "failed events": (*(dice.choice(each) for each in ((0, 1, 4, 12), (0, 0, 1, 2), (0, 0, 1, 2))), 0),
        "files lost": (dice.choice((1, 2, 4)),),
        "files forgotten": (dice.choice((1, 2)),),
        "files arrive": (dice.randrange(1, 4),),
        "hours lost": (dice.choice((1, 2)), dice.choice((0, 0, 1))),
    }
    return Scene(at, what, which, numbers.get(what, ()))


def _lent(dice: Random, story: Story, *, faults: bool) -> tuple[Story, list[Scene]]:
    """Tables, functions, databases, APIs that are lent to, and what befalls them. Drawn by itself, as a profile is."""
    scenes = []
    alone = not (story.functions or story.pipelines or story.schedules)  # else there are two accounts of functions
    for kind, (name, own, causes, people, write) in _LENT.items():
        count = dice.randrange(1, 4)
        if dice.random() >= _SHARED or (kind == "lambdas" and not alone):
            continue
        rows = _RARELY.format(looks=dice.choice((1, 3)), cooldown=dice.choice((15, 60))) + own
        more: dict[str, Any] = {kind: count}
        if kind == "graphs" and story.mode == "auto":
            more["answer"] = "as the seed has it"
        story = replace(
            story, settings={**story.settings, f"remediations.{name}": rows}, settle=_AFTERWARDS * 60, **more
        )
        if kind == "stores":
            scenes += [Scene(5, "table scaled", which) for which in range(count) if dice.random() < 0.3]
        for _ in range(dice.randrange(1, 2 + count * story.trouble // (40 * 60))):
            at, which = story.warm_up + dice.randrange(0, story.trouble - 10 * 60), dice.randrange(count)
            scenes.append(_of_lent(dice, dice.choice(causes), at, which))
            if faults and dice.random() < 0.5:
                scenes.append(_of_lent(dice, dice.choice(people), at + dice.randrange(60, 30 * 60), which))
            if faults and dice.random() < 0.1:
                begin = at + dice.randrange(0, 25 * 60)
                story = replace(story, denials=(*story.denials, (write, begin, begin + dice.randrange(1, 10) * 60)))
    return story, scenes


def _of_lent(dice: Random, what: str, at: int, which: int) -> Scene:
    """What a person sets is never what would be lent: nobody could tell whose it is (the page says so)."""
    span = dice.randrange(8, 30) * 60
    numbers = {
        "table busy": (span, dice.choice((35, 45, 60))),
        "table key": (dice.choice((0, 1)),),
        "set capacity": (dice.choice((31, 43, 58)),),
        "calls come in": (dice.choice((390, 390, 1200)), span),
        "reserve by hand": (dice.choice((0, 12, 30)),),
        "account is small": (dice.choice((160, 175, 200)),),
        "database busy": (dice.choice((28, 28, 200)), span),
        "database scaled by hand": (dice.choice((15, 25, 55)),),
        "api busy": (dice.choice((90, 90, 0)), int(dice.random() < 0.2), 0, span + 10 * 60),
    }
    return Scene(at, what, which, numbers.get(what, ()))


def _kept_up(dice: Random, story: Story) -> tuple[Story, list[Scene]]:
    """People who have services stopped, what people keep up, and how often they hear of it. Drawn by itself, too."""
    scenes = []
    settings = dict(story.settings)
    queues = story.documents + story.usage
    if dice.random() < _WORKED and queues and "remediations.ecs-service-stalled" in settings:
        settings["remediations.ecs-maintenance"] = 'patience = "PT5M"\ndeadline = "PT15M"'
        for _ in range(dice.randrange(1, 2 + queues * story.trouble // (45 * 60))):
            at = story.warm_up + dice.randrange(0, story.trouble - 10 * 60)
            numbers = (dice.randrange(6, 30), dice.choice((0, 2, 6, 12)))
            scenes.append(Scene(at, "maintenance", dice.randrange(queues), numbers))
        scenes += [Scene(5, "autoscaled", which) for which in range(queues) if dice.random() < 0.3]
        story = replace(story, settle=_AFTERWARDS * 60)
    if dice.random() < _WORKED and story.trouble > TROUBLE[0] * 60:
        settings |= {f"remediations.{name}": "confirm = 1" for name in UPKEEP}
        for _ in range(dice.randrange(1, 4)):
            at = story.warm_up + dice.randrange(0, story.trouble - 10 * 60)
            scenes.append(Scene(at, dice.choice(_NEGLECTED), dice.randrange(2), (dice.randrange(30, 180) * 60,)))
    if dice.random() < 0.5:
        for severity in ("SEV2", "SEV3"):
            settings[f"severities.{severity}"] = _UPDATES.format(minutes=dice.choice((5, 10, 30)))
    return replace(story, settings=settings), scenes


def _of_profile(dice: Random, what: str, at: int, which: int) -> Scene:
    numbers = {
        "busy": (dice.randrange(8, 25) * 60, dice.choice((90, 112, 130))),
        "scale by hand": (dice.choice((1, 3, 4, 5)),),
        "bad release": (dice.choice((0, 0, 1)), dice.choice((0, 1, 1))),
        "bad tasks": (dice.choice((0, 1, 1)), int(dice.random() < 0.2)),
    }
    return Scene(at, what, which, numbers[what])


def _small(dice: Random, seed: int, *, faults: bool) -> Story:
    """Few and short, but more faults for each call."""
    warm_up, trouble, settle = SMALL
    documents, usage, loans = dice.choice(((1, 0, 0), (1, 0, 0), (0, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 1)))
    story = Story(
        seed=seed,
        documents=documents,
        usage=usage,
        loans=loans,
        mode=dice.choices(("auto", "approve", "observe"), (8, 2, 0.5))[0],
        settings=_settings(dice),
        warm_up=warm_up * 60,
        trouble=dice.choice(trouble) * 60,
        settle=settle * 60,
        brief=True,
    )
    scenes = []
    for _ in range(dice.randrange(1, 4)):
        scene = _cause(dice, story, story.warm_up + dice.randrange(0, story.trouble - 6 * 60))
        span, *more = scene.numbers
        scene = replace(scene, numbers=(min(span, 8 * 60), *(min(number, 14) for number in more)))
        scenes.append(scene)
    story = _filled(dice, story, scenes, faults=faults)
    return replace(story, rates={fault: min(rate * 5, 0.3) for fault, rate in story.rates.items()})


def _filled(dice: Random, story: Story, scenes: list[Scene], *, faults: bool, others: tuple[Scene, ...] = ()) -> Story:
    """The story with its causes, and with the people and the weather that belong to them; and others with their own."""
    starts = [scene.at for scene in scenes] or [story.warm_up]
    if faults:
        scenes += _people(dice, story, starts)
        rates, denials = _faults(dice, story, starts)
        skew = dice.choice((0, 0, 2_000, 15_000))
        story = replace(story, rates=rates, denials=(*denials, *story.denials), skew_ms=skew)
    scenes += others
    return replace(story, scenes=tuple(sorted(scenes, key=lambda scene: (scene.at, scene.what, scene.which))))


def _settings(dice: Random, *, crowd: bool = False) -> dict[str, str]:
    deadline = dice.choice((12, 18, 24))
    storm = dice.choices(("targets = 3", "targets = 100\nfloor = 100"), (1, 15 if crowd else 4))[0]
    much = (24, 100)
    per_target, per_account = dice.choice(((4, 10), (2, 10), (4, 3), *(much,) * (12 if crowd else 1)))
    dlq = f'healthy_for = "PT5M"\ncanary_patience = "PT5M"\npatience = "PT5M"\ndeadline = "PT{deadline}M"\n'
    dlq += f"confirm = {dice.choice((1, 2))}\nlooks = {dice.choice((1, 2, 3))}\nrate = {dice.choice((1, 10))}\n"
    dlq += f'batch = {dice.choice((10, 100))}\nsample = {dice.choice((10, 30))}\ncooldown = "PT{dice.choice((2, 15))}M"'
    stalled = f'stalled_for = "PT5M"\nrollout = "PT8M"\npatience = "PT6M"\ndeadline = "PT{deadline}M"\n'
    stalled += (
        f'max_attempts = {dice.choice((1, 2))}\ncooldown = "PT{dice.choice((5, 60))}M"\nconfirm = {dice.choice((1, 3))}'
    )
    slow = f'deadline = "PT{deadline}M"\nlease = "PT{dice.choice((3, 8))}M"\nmax_attempts = {dice.choice((1, 2, 3))}\n'
    slow += f'confirm = {dice.choice((1, 2))}\nlooks = {dice.choice((1, 2))}\ncooldown = "PT{dice.choice((1, 5))}M"\n'
    slow += f'patience = "PT{dice.choice((2, 5))}M"'
    return {
        "limits": f"per_target_per_day = {per_target}\nper_account_per_hour = {per_account}",
        "storm": storm,
        "remediations.sqs-dlq-backlog": dlq,
        "remediations.ecs-service-stalled": stalled,
        "remediations.queue-slow": slow,
    }


def _causes(dice: Random, story: Story) -> Iterator[Scene]:
    if "targets = 3" in story.settings["storm"]:
        at = story.warm_up + dice.randrange(0, story.trouble - 10 * 60)
        yield Scene(at, "all at once", 0, (dice.randrange(4, 12) * 60, 3, 0))
    queues = story.documents + story.usage
    busy = (queues + story.loans) * story.trouble / (18 * 60)  # about as many as can end, one after the other
    for _ in range(dice.randrange(2, 3 + int(1.5 * busy))):
        yield _cause(dice, story, None)


def _cause(dice: Random, story: Story, at: int | None) -> Scene:
    queues = story.documents + story.usage
    what = dice.choice(_CAUSES)
    if what.startswith("slow") != (not queues or (bool(story.loans) and dice.random() < 0.4)):
        what = "slow" if not queues else dice.choice(_CAUSES[:8])
    if at is None:
        at = story.warm_up + dice.randrange(0, story.trouble - 10 * 60)
    if what.startswith("slow"):
        return Scene(at, what, dice.randrange(story.loans), (dice.randrange(2, 20) * 60,))
    numbers = (dice.randrange(2, 8) * 60, dice.choice((1, 3, 8, 14, 40)), dice.choice((0, 0, 1, 3)))
    return Scene(at, what, dice.randrange(queues), numbers)


def _people(dice: Random, story: Story, starts: list[int]) -> Iterator[Scene]:
    queues = story.documents + story.usage
    told: set[tuple[str, int]] = set()
    for pool, most in ((_PEOPLE, 3), (_SWITCHING, 2), (_FORGED, 6)):
        for _ in range(dice.randrange(1 + most * story.trouble // 1800)):
            what = dice.choice(pool)
            on_loan = what.startswith("set visibility")
            if on_loan and not story.loans:
                continue
            which = dice.randrange(story.loans) if on_loan else dice.randrange(max(queues, 1))
            if (what, which) in told and pool is not _FORGED:
                continue  # what one person has begun, another would end too early
            told.add((what, which))
            near = dice.choice(starts) + dice.randrange(-120, 12 * 60)
            at = min(max(near, 60), story.warm_up + story.trouble - 60)
            yield Scene(at, what, which, (dice.randrange(1, 9) * 60,))


def _faults(
    dice: Random, story: Story, starts: list[int], operations: tuple[str, ...] = ()
) -> tuple[dict[Fault, float], tuple[tuple[str, int, int], ...]]:
    rates: dict[Fault, float] = {}
    for fault in dice.sample(_KINDS, dice.choice((0, 1, 2, 3, len(_KINDS)))):
        rates[fault] = dice.choice((0.001, 0.004, 0.02)) if fault is not Fault.STALE else dice.choice((0.05, 0.3))
    rates.pop(Fault.DENIED, None)
    denials = []
    if dice.random() < 0.3:
        name = dice.choice((*_DENIED, *operations))
        begin = max(dice.choice(starts) + dice.randrange(-60, 600), 60)
        denials.append((name, begin, begin + dice.randrange(1, 10) * 60))
    return rates, tuple(denials)


_DENIED = (
    "dynamodb.UpdateItem",
    "dynamodb.TransactWriteItems",
    "sns.Publish",
    "sts.AssumeRole",
    "sqs.SendMessage",
    "sqs.DeleteMessage",
    "sqs.GetQueueAttributes",
    "sqs.SetQueueAttributes",
    "ecs.UpdateService",
    "ecs.DescribeServices",
    "cloudwatch.GetMetricData",
    "s3.PutObject",
)
