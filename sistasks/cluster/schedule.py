"""A fault schedule as a person writes it: `loss=1%, delay=2ms; at 2s: cut 1-5|6-10; at 4s: heal`.

    schedule := step (";" step)*            step := ["at" TIME ":"] act ("," act)*
    act      := "heal" [KIND | "cut"]  |  "cut" (GROUP ("|" GROUP)+ | EDGES)
              | KIND ("=" | " ") VALUE ["by" NUMBER] ["on" EDGES]
    EDGES    := EDGE ("," EDGE)*            EDGE := NODES [">" NODES]
    GROUP    := NODES ("," NODES)*          NODES := NUMBER | NUMBER "-" NUMBER | "*"

Steps add up: what one sets holds until a later one sets the same kind on the same edges, or heals it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from sistasks.cluster.switching.faults import ANY, EVERY, KINDS, REORDER_BY, SHARES, TIMES, Cut, Faults, Rule
from sistasks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

Edges = frozenset[tuple[int, int]]

NODES_MAX: Final = 1000
BY_MAX: Final = 1000
_EXAMPLE: Final = "for example faults='loss=1%,delay=2ms' or faults='at 2s: cut 1-2|3-4; at 4s: heal'"
# units, the largest first: what one is in parts per million, nanoseconds, bytes a second
_PARTS: Final = (("%", 10**4),)
_NANOSECONDS: Final = (("s", 10**9), ("ms", 10**6), ("us", 10**3), ("ns", 1))
_BYTES: Final = (("GB/s", 10**9), ("MB/s", 10**6), ("kB/s", 10**3), ("B/s", 1))
_NUMBER: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,12}))?\s*([a-zµ%/]*)", re.IGNORECASE)
_ACT: Final = re.compile(r"(\w+)\s*[=\s]\s*(\S+?)(?:\s+by\s+([0-9]{1,9}))?(?:\s+on\s+(.+))?")
_SECOND: Final = 10**9
_TIME_MAX: Final = 3600 * _SECOND
_RATE_MAX: Final = 10**12


@dataclass(frozen=True, slots=True)
class Heal:
    """An end of faults: of one kind, of cuts (`cut`), or of all (empty)."""

    kind: str = ""


Act = Heal | Cut | Rule


@dataclass(frozen=True, slots=True)
class Step:
    """What changes at one time; `at` in nanoseconds since the start of the run."""

    at: int
    acts: tuple[Act, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens to the network in a run.

    Attributes:
        steps: in order of time.
    """

    steps: tuple[Step, ...] = ()

    def faults(self, seed: int) -> list[tuple[float, Faults]]:
        """The states of the network: (seconds since the start, what is wrong from then on).

        Args:
            seed: of the run; each step has another one made from it, so that chance does not repeat itself.
        """
        cuts: list[Cut] = []
        rules: list[Rule] = []
        states = []
        for number, step in enumerate(self.steps):
            for act in step.acts:
                if isinstance(act, Cut):
                    cuts.append(act)
                elif isinstance(act, Rule):
                    rules.append(act)
                else:
                    cuts = cuts if act.kind not in {"", "cut"} else []
                    rules = [rule for rule in rules if act.kind not in {"", rule.kind}]
            states.append((step.at / _SECOND, Faults(tuple(cuts), tuple(rules), seed * 1_000_003 + number)))
        return states

    def describe(self) -> str:
        """The text; `parse` makes an equal schedule of it."""
        return "; ".join(
            (f"at {_write(step.at, _NANOSECONDS)}: " if step.at else "")
            + ", ".join(map(_act_text, step.acts))
            for step in self.steps
        )


def parse(text: str, nodes: int = NODES_MAX) -> Schedule:
    """Read a schedule; an empty text is an empty schedule.

    Args:
        text: as above.
        nodes: how many nodes there are.

    Raises:
        UsageError: the text is no schedule, or names a node that is not there.
    """
    steps: list[Step] = []
    for clause in filter(None, (part.strip() for part in text.split(";"))):
        at = 0
        words = clause
        if re.match(r"at\b", clause):
            when, colon, words = clause.removeprefix("at").partition(":")
            if not colon:
                _refuse(clause, "has no ':' after its time", "write at 2s: and what happens then")
            at = _read(when.strip(), _NANOSECONDS, _TIME_MAX, clause, "a time such as 2s or 500ms")
        if steps and at < steps[-1].at:
            _refuse(clause, "stands after a step of a later time", "put the steps in order of time")
        steps.append(Step(at, tuple(_act(piece, nodes) for piece in _pieces(words, clause))))
    return Schedule(tuple(steps))


def _refuse(piece: str, why: str, remedy: str) -> NoReturn:
    shown = "".join(letter if letter.isprintable() else "?" for letter in piece)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    raise UsageError(f"faults: '{shown}' {why}", remedy)


def _pieces(words: str, clause: str) -> list[str]:
    """Parts at commas; a part that begins with a node belongs to the one before."""
    pieces: list[str] = []
    for part in (part.strip() for part in words.split(",")):
        if pieces and re.match(r"[0-9*]", part):
            pieces[-1] += f",{part}"
        else:
            pieces.append(part)
    if "" in pieces:
        _refuse(clause, "says nothing between two commas or after its time", _EXAMPLE)
    return pieces


def _act(piece: str, nodes: int) -> Act:
    word, _, rest = piece.partition(" ")
    if word == "heal":
        if rest.strip() not in {"", "cut", *KINDS}:
            _refuse(
                piece,
                "heals nothing that is known",
                f"write heal, or heal with one of cut, {', '.join(KINDS)}",
            )
        return Heal(rest.strip())
    if piece == "cut":
        _refuse(piece, "does not say what is cut", "write cut 1-5|6-10, cut 1>2 or cut 3")
    if word == "cut":
        return _cut(rest.strip(), piece, nodes)
    match = _ACT.fullmatch(piece)
    kind = match[1] if match else word
    if match is None or kind not in KINDS:
        known = ("heal", "cut", *KINDS)
        near = difflib.get_close_matches(re.split(r"[=\s]", piece)[0], known, 1)
        if near and kind not in KINDS:
            _refuse(piece, "is no fault", f"did you mean {near[0]}? {_EXAMPLE}")
        why = f"does not say how much {kind}" if kind in KINDS else "is no fault"
        _refuse(piece, why, _EXAMPLE)
    edges = _edges(match[4], piece, nodes) if match[4] else EVERY
    by = REORDER_BY
    if match[3]:
        by = int(match[3])
        if kind != "reorder" or not 1 <= by <= BY_MAX:
            _refuse(
                piece,
                f"has no use for by {match[3]}",
                f"by belongs to reorder, from 1 to {BY_MAX}: reorder 5% by 3",
            )
    return Rule(kind, _value(kind, match[2], piece), edges, by)


def _value(kind: str, text: str, piece: str) -> float:
    if kind in SHARES:
        return _read(text, _PARTS, 10**6, piece, f"a share from 0% to 100%: {kind}=5%") / 10**6
    if kind in TIMES:
        return _read(text, _NANOSECONDS, _TIME_MAX, piece, f"a time: {kind}=2ms") / _SECOND
    value = _read(text if "/" in text else f"{text}/s", _BYTES, _RATE_MAX, piece, "a rate: rate=1MB/s")
    if value < 1:
        _refuse(piece, "lets nothing pass", "write a rate of 1B/s or more, or cut")
    return float(value)


def _read(text: str, units: tuple[tuple[str, int], ...], most: int, piece: str, wanted: str) -> int:
    """A number with its unit, as a whole number of the smallest thing."""
    match = _NUMBER.fullmatch(text)
    unit = match[3].lower().replace("µ", "u") if match else ""
    factor = next((factor for name, factor in units if name.lower() == unit), None)
    if match is None or factor is None:
        _refuse(piece, f"has '{text}' where a number with its unit should be", f"write {wanted}")
    places = match[2] or ""
    scale: int = 10 ** len(places)
    value, rest = divmod(int(match[1] + places) * factor, scale)
    if rest or value > most:
        _refuse(piece, f"has '{text}', which is too {'fine' if rest else 'much'}", f"write {wanted}")
    return value


def _write(value: int, units: tuple[tuple[str, int], ...]) -> str:
    """What `_read` reads."""
    name, factor = next((unit for unit in units if value >= unit[1]), units[0])
    whole, rest = divmod(value, factor)
    places = str(rest).zfill(len(str(factor)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{places}{name}" if places else f"{whole}{name}"


def _cut(text: str, piece: str, nodes: int) -> Cut:
    if "|" not in text:
        return Cut(edges=_edges(text, piece, nodes))
    groups: list[frozenset[int]] = []
    for part in text.split("|"):
        group: set[int] = set()
        for item in part.split(","):
            group |= set(_nodes(item.strip(), piece, nodes))
        if ANY in group and len(group) > 1:
            _refuse(
                piece,
                "has * beside other nodes",
                "* is a group of its own: all that are not named: cut 1-3|*",
            )
        if any(group & other for other in groups):
            _refuse(piece, "has a node in two groups", "name each node once: cut 1-5|6-10")
        groups.append(frozenset(group))
    return Cut(groups=tuple(groups))


def _edges(text: str, piece: str, nodes: int) -> Edges:
    edges: set[tuple[int, int]] = set()
    for item in text.split(","):
        source, arrow, target = item.partition(">")
        sources = _nodes(source.strip(), piece, nodes)
        if arrow:
            targets = _nodes(target.strip(), piece, nodes)
            edges |= {(a, b) for a in sources for b in targets}
        else:
            edges |= {(a, ANY) for a in sources} | {(ANY, a) for a in sources}
    return EVERY if (ANY, ANY) in edges else frozenset(edges)


def _nodes(text: str, piece: str, nodes: int) -> Iterable[int]:
    if text == "*":
        return (ANY,)
    match = re.fullmatch(r"([0-9]{1,6})(?:\s*-\s*([0-9]{1,6}))?", text)
    if match is None:
        _refuse(
            piece, f"has '{text}' where nodes should be", "write nodes as 3, 1-5 or *, one-way edges as 1>2"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last:
        _refuse(piece, f"has '{text}', which are no nodes", "nodes count from 1, ranges upwards: 1-5")
    if last > nodes:
        _refuse(
            piece, f"names node {last}", f"there are {nodes}: write nodes from 1 to {nodes}, or more nodes="
        )
    return range(first, last + 1)


def describe(faults: Faults) -> str:
    """What is wrong, in the words of a schedule; `nothing` if nothing is."""
    acts: tuple[Act, ...] = (*faults.cuts, *faults.rules)
    return ", ".join(map(_act_text, acts)) or "nothing"


def _act_text(act: Act) -> str:
    if isinstance(act, Heal):
        return f"heal {act.kind}".strip()
    if isinstance(act, Cut):
        return "cut " + ("|".join(map(_group_text, act.groups)) if act.groups else _edges_text(act.edges))
    if act.kind in SHARES:
        value = _write(round(act.value * 10**6), _PARTS)
    elif act.kind in TIMES:
        value = _write(round(act.value * _SECOND), _NANOSECONDS)
    else:
        value = _write(round(act.value), _BYTES)
    by = f" by {act.by}" if act.kind == "reorder" and act.by != REORDER_BY else ""
    return f"{act.kind} {value}{by}" + ("" if act.edges == EVERY else f" on {_edges_text(act.edges)}")


def _ranges(nodes: Iterable[int]) -> list[str]:
    """Nodes as few ranges as possible: {1, 2, 3, 5} -> 1-3, 5; ANY is *."""
    runs: list[list[int]] = []
    for node in sorted(nodes):
        if runs and runs[-1][1] == node - 1 and runs[-1][0] != ANY:
            runs[-1][1] = node
        else:
            runs.append([node, node])
    return ["*" if a == ANY else str(a) if a == b else f"{a}-{b}" for a, b in runs]


def _group_text(group: frozenset[int]) -> str:
    return ",".join(_ranges(group))


def _edges_text(edges: Edges) -> str:
    if (ANY, ANY) in edges:
        return "*"
    both = {node for node, other in edges if other == ANY and (ANY, node) in edges}
    items = _ranges(both)
    targets: dict[int, set[int]] = {}
    for source, target in edges:
        if not (ANY in {source, target} and (source or target) in both):
            targets.setdefault(source, set()).add(target)
    alike: dict[frozenset[int], list[int]] = {}
    for source, found in sorted(targets.items()):
        alike.setdefault(frozenset(found), []).append(source)
    items += [
        f"{a}>{b}" for found, sources in alike.items() for a in _ranges(sources) for b in _ranges(found)
    ]
    return ",".join(items)
