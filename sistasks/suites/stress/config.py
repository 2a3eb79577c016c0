"""What the settings make of the stress suite: which classes of load, with which stressors, and for how long each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sistasks.errors import UsageError
from sistasks.guest.load import Load
from sistasks.suites.stress.table import CLASSES, PREFIX, STRESSORS
from sistasks.tables import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sistasks.settings import Settings
    from sistasks.suites.suite import Suite

ALL: Final = "all"


def choose(words: str) -> dict[str, tuple[str, ...]]:
    """What `stressors=` asks for.

    Args:
        words: `all`, or names with commas between: of classes, and of stressors, alone or as CLASS.STRESSOR. A name
            that is both is the class.

    Returns:
        Class -> names of its stressors, in the order of the table.

    Raises:
        UsageError: there is no such class or stressor.
    """
    asked: dict[str, set[str]] = {}
    for word in (one.strip() for one in words.split(",")):
        if word == ALL:
            asked |= {name: set(own) for name, own in STRESSORS.items()}
            continue
        name, _, stressor = word.rpartition(".")
        if not name and word not in STRESSORS:
            name = next((kind for kind, own in STRESSORS.items() if word in own), "")
        if word in STRESSORS:
            asked.setdefault(word, set()).update(STRESSORS[word])
        elif stressor in STRESSORS.get(name, {}):
            asked.setdefault(name, set()).add(stressor)
        else:
            known = [ALL, *CLASSES, *(one for own in STRESSORS.values() for one in own)]
            raise UsageError(
                f"stressors={words}: there is no {word!r}",
                nearest(word, known, "classes are " + ", ".join(CLASSES)),
            )
    return {
        name: tuple(one for one in own if one in asked[name])
        for name, own in STRESSORS.items()
        if name in asked
    }


def narrowed(suite: Suite, settings: Settings) -> Suite:
    """The suite with the tests that `stressors=` asks for.

    Raises:
        UsageError: it asks for what is not there, or for more than `duration=` has seconds.
    """
    chosen = choose(settings.stressors)
    shares(settings.duration, tuple(chosen))
    return replace(suite, tests={PREFIX + name: suite.tests[PREFIX + name] for name in chosen})


def shares(duration: float, classes: tuple[str, ...]) -> dict[str, float]:
    """Seconds of each class: whole ones, which is how stress-ng counts; the first get what is left over.

    Raises:
        UsageError: less than a second for each.
    """
    whole = int(duration)
    if whole < len(classes):
        raise UsageError(
            f"duration={duration:g} is too short for {len(classes)} classes of load",
            f"each takes a second at least: duration={len(classes)}, or fewer of them: stressors=",
        )
    each, over = divmod(whole, len(classes))
    return {name: float(each + (index < over)) for index, name in enumerate(classes)}


def load_of(settings: Settings, *, nodes: int, talking: str = "") -> Load:
    """What a node is told.

    Args:
        settings: what was asked.
        nodes: that are on the switch.
        talking: why nodes cannot talk to each other; empty: they can.

    Raises:
        UsageError: as `narrowed`.
    """
    from sistasks.suites.talk import NETWORK

    chosen = choose(settings.stressors)
    lines: Mapping[str, tuple[str, ...]] = {
        name: tuple(f"{one} {STRESSORS[name][one]}" for one in own) for name, own in chosen.items()
    }
    why = talking or ("one node has no neighbour" if nodes < 2 else "")
    return Load(
        seconds=shares(settings.duration, tuple(chosen)), stressors=lines,
        skipped={"network": why} if why else {},
        count=0 if why else nodes, network=NETWORK,
    )  # fmt: skip
