"""Stories are drawn: what larger ones have in them, and that small ones stay as they are."""

from __future__ import annotations

from collections import Counter

from sandbox.simulation.campaign import drawn
from sandbox.simulation.lives import LIVES
from sandbox.simulation.run import _SCENES
from sandbox.simulation.story import UPKEEP, draw

SEEDS = range(200)
NEWER = ("stores", "lambdas", "databases", "graphs")


def test_larger_stories_have_everything_in_them() -> None:
    """What is lent to, what people keep up and have stopped, and updates: each in some, and in far from all."""
    stories = [draw(seed) for seed in SEEDS]
    had = Counter(kind for story in stories for kind in NEWER if many(story, kind))
    had.update(table for story in stories for table in story.settings)
    for kind in (*NEWER, *(f"remediations.{name}" for name in (*UPKEEP, "ecs-maintenance"))):
        assert len(SEEDS) // 40 < had[kind] < len(SEEDS) // 2, kind
    assert 0 < had["severities.SEV2"] < len(SEEDS)


def test_every_scene_that_is_drawn_can_be_played() -> None:
    """By its name; and nothing befalls what a story does not have."""
    for seed in SEEDS:
        story = draw(seed)
        assert {scene.what for scene in story.scenes} <= _SCENES.keys()
        whats = {scene.what for scene in story.scenes}
        assert story.stores or "table busy" not in whats
        assert story.lambdas or "calls come in" not in whats


def test_functions_of_one_account_are_not_drawn_beside_those_of_another() -> None:
    """They answer for the same calls."""
    stories = [draw(seed) for seed in SEEDS]
    assert not [story for story in stories if story.lambdas and (story.functions or story.pipelines or story.schedules)]


def test_who_acts_by_mistake_is_not_who_repairs() -> None:
    """Without faults nobody is denied anything, and nobody changes what was lent."""
    for seed in SEEDS:
        story = draw(seed, faults=False)
        assert story.denials == ()
        assert not {scene.what for scene in story.scenes} & {"set capacity", "reserve by hand", "cache changed"}


def test_small_stories_have_none_of_it() -> None:
    """They are for clouds whose calls are dear, and for bugs that they show on a certain seed."""
    for seed in SEEDS:
        story = draw(seed, small=True)
        assert not any(many(story, kind) for kind in NEWER)
        assert story.answer == ""
        assert len(story.settings) == 5


def many(story: object, kind: str) -> int:
    """How many of a kind a story has."""
    found: int = getattr(story, kind)
    return found


def test_every_life_has_its_turn_in_every_weather() -> None:
    """All that is in a life is in it, and more befalls it: the same for the same seed, and another for another."""
    stories = [drawn(seed, lives=True) for seed in range(2 * len(LIVES))]
    assert [story.life for story in stories] == 2 * [life.name for life in LIVES]
    for life, story in zip((*LIVES, *LIVES), stories, strict=True):
        assert {*life.story.scenes} <= {*story.scenes}
        assert {*life.story.denials} <= {*story.denials}
        assert {scene.what for scene in story.scenes} <= _SCENES.keys()
        assert life.name in next(iter(story.lines()))
    assert drawn(5, lives=True) == stories[5]
    first, second = stories[: len(LIVES)], stories[len(LIVES) :]
    assert all(one != other for one, other in zip(first, second, strict=True))
    assert len(LIVES) // 4 < sum(bool(story.rates) for story in first) < len(LIVES)
    assert any({name for name, *_ in story.denials} & {*life.does} for life, story in zip(LIVES, first, strict=True))
