"""The network test: echoes between neighbours, all at the same time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sistasks.consensus.events import Unknown
from sistasks.suites.distributed.outcome import Outcome, stuck, work

if TYPE_CHECKING:
    from sistasks.suites.distributed.arena import Arena


async def network(arena: Arena) -> Outcome:
    """Let every node ask its neighbour for echoes; the nodes measure."""
    outcome = Outcome("network")
    await arena.get_ready("network", arena.config.limit)
    before = await work(arena)
    started = time.monotonic()
    await arena.start()

    def ready(number: int) -> bool:
        return any(
            isinstance(event, Unknown) and event.kind == "pinged" for event in arena.ear(number).events
        )

    if not await arena.wait(lambda: all(map(ready, arena.alive)), arena.config.limit):
        late = [number for number in arena.alive if not ready(number)]
        outcome.violations.append(stuck(late, 0, f"not all echoes after {arena.config.limit:.0f} s"))
    outcome.seconds = time.monotonic() - started
    used = (await work(arena)).since(before)
    outcome.remarks += used.remarks()
    messages = sum(frames for frames, _ in used.edges.values())
    if messages:
        arena.rate = messages / outcome.seconds
        cost = (sum(used.guests.values()) + used.switch) / messages
        outcome.samples["network.message_cost"] = [round(cost * 1e9)]
    await arena.finish(arena.config.limit)
    return outcome
