"""What happens to frames on edges that have no plain way: cut, faulty, to the host, to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sistasks.cluster.switching.fates import Fate
from sistasks.cluster.switching.faults import FINE, Faults

if TYPE_CHECKING:
    from sistasks.cluster.switching.forwarding import Switch
    from sistasks.cluster.switching.ports import Edge, Way


class _Unresolved:
    """The faults have changed: the first frame asks what its edge suffers now."""

    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:
        edge.way = self._resolve(switch.faults, edge)
        if edge.way is None:
            switch.deliver(edge, frames, now)
        else:
            edge.way.take(switch, edge, frames, now)

    @staticmethod
    def _resolve(faults: Faults, edge: Edge) -> Way | None:
        if edge.target.gone:
            return GONE
        if faults.cut(edge.source, edge.target.number):
            return CUT
        suffers = faults.of(edge.source, edge.target.number)
        if suffers == FINE:
            return None
        return _Faulty(Fate(suffers, faults.seed, edge.source, edge.target.number, edge))


class _Gone:
    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:  # noqa: ARG002 - Way
        edge.gone += len(frames)


class _Cut:
    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:
        edge.partition += len(frames)
        if switch.capture is not None:
            for frame in frames:
                switch.capture.met(edge.target.number, frame, now, "dropped: partition")


class _ToHost:
    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:  # noqa: ARG002 - Way
        for frame in frames:
            if switch.to_host(edge.source, frame[4:]):
                edge.frames += 1
                edge.bytes += len(frame) - 4
            else:
                edge.overflow += 1


class _Filter:
    """Frames for an address at the port that they came from."""

    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:  # noqa: ARG002 - Way
        edge.target.filtered += len(frames)


class _Faulty:
    def __init__(self, fate: Fate) -> None:
        self._meet = fate.meet

    def take(self, switch: Switch, edge: Edge, frames: list[bytes], now: int) -> None:
        at_once: list[bytes] = []
        for frame in frames:
            passed, words = self._meet(frame, now)
            if words and switch.capture is not None:
                switch.capture.met(
                    edge.target.number, passed[0].frame if passed else frame, now, ", ".join(words)
                )
            for one in passed:
                if one.due <= now:
                    at_once.append(one.frame)
                else:
                    switch.delay(edge, one)
        if at_once:
            switch.deliver(edge, at_once, now)


UNRESOLVED: Final = _Unresolved()
GONE: Final = _Gone()
CUT: Final = _Cut()
TO_HOST: Final = _ToHost()
FILTER: Final = _Filter()
