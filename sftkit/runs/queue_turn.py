"""Whose turn it is in the line of runs, and what one waits for: a pure rule over the places in it.

A run needs its GPUs for itself. Of the CPU it needs as many cores as it may use (all of them without a cap), and where
memory is capped, that much. Whoever has waited longer goes first, except that a person's second run, where only one at
a time is allowed, keeps nobody else waiting.

Standard library only: the supervisor imports this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

CPU = "CPU"
SHOWN = 3  # runs named in what one waits for


@dataclass(frozen=True)
class Place:
    """One run's place in the line: its devices, and whether it `waits` for them or uses them.

    `person`: whose it is, (uid, name). `cores`, `memory` (bytes), `runs`: its caps; `cpus`: the cores it is on.
    """

    number: int
    run: str
    devices: tuple[str, ...]
    waits: bool
    person: tuple[int, str] = (0, "")
    cores: int | None = None
    memory: int | None = None
    runs: int | None = None
    cpus: tuple[int, ...] = ()

    @classmethod
    def of(cls, number: int, owner: int, told: dict[str, Any]) -> Place:
        """From a place's file, whatever is written there."""

        def whole(name: str) -> int | None:
            return value if isinstance(value := told.get(name), int) and value > 0 else None

        def row(name: str) -> tuple:
            return tuple(value) if isinstance(value := told.get(name), list) else ()

        return cls(
            number=number,
            run=str(told.get("run", ""))[:80],
            devices=tuple(str(device) for device in row("devices")),
            waits=bool(told.get("waits")),
            person=(owner, str(told.get("user", ""))[:40]),
            cores=whole("cores"),
            memory=whole("memory"),
            runs=whole("runs"),
            cpus=tuple(cpu for cpu in row("cpus") if isinstance(cpu, int)),
        )


@dataclass(frozen=True)
class Machine:
    """What there is to share: cores, and memory in bytes."""

    cores: int
    memory: int

    def cores_of(self, place: Place) -> int:
        """Cores that a run takes: all of them where it is on the CPU without a cap."""
        if place.cores:
            return min(place.cores, self.cores)
        return self.cores if CPU in place.devices else 0


def waits_for(mine: Place, places: Iterable[Place], machine: Machine) -> str:
    """What `mine` waits for, in words; "" when it may start."""
    others = sorted(
        (place for place in places if place.number != mine.number), key=lambda place: place.number
    )
    claims, counts = [place for place in others if not place.waits], Counter()
    counts.update(place.person for place in claims)
    for place in others:
        if place.waits and place.number < mine.number and counts[place.person] < (place.runs or counts.total() + 1):  # fmt: skip
            claims.append(place)
            counts[place.person] += 1
    if mine.runs and counts[mine.person] >= mine.runs:
        own = [place.run for place in claims if place.person == mine.person]
        at_a_time = "1 run" if mine.runs == 1 else f"{mine.runs} runs"
        return f"waiting for {_some(own)} of yours: {at_a_time} at a time"
    return _words(mine, _in_the_way(mine, claims, machine))


def _in_the_way(mine: Place, claims: Sequence[Place], machine: Machine) -> list[Place]:
    """Those that hold, or have waited longer for, something that `mine` needs and there is not enough of."""
    cards = set(mine.devices) - {CPU}
    found = [place for place in claims if cards & set(place.devices)]
    on_cores = [place for place in claims if machine.cores_of(place)]
    if (
        machine.cores_of(mine)
        and machine.cores_of(mine) + sum(map(machine.cores_of, on_cores)) > machine.cores
    ):
        found += on_cores
    in_memory = [place for place in claims if place.memory]
    wanted = sum(min(place.memory, machine.memory) for place in [mine, *in_memory] if place.memory)
    if mine.memory and wanted > machine.memory:
        found += in_memory
    return sorted(set(found), key=lambda place: place.number)


def _words(mine: Place, before: list[Place]) -> str:
    if not before:
        return ""
    users = [place for place in before if not place.waits]
    waiting = len(before) - len(users)
    held = [device for device in mine.devices if any(device in place.devices for place in users)]
    by = f", held by run {_some([said(place, mine.person) for place in users])}" if users else ""
    ahead = f" ({waiting} run{'s' if waiting > 1 else ''} before it in the queue)" if waiting else ""
    return f"waiting for {', '.join(held or mine.devices)}{by}{ahead}"


def said(place: Place, person: tuple[int, str]) -> str:
    """A run's name; another person's with that person's."""
    return place.run if place.person == person else f"{place.run} of {place.person[1] or place.person[0]}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def least_used(places: Iterable[Place], allowed: Iterable[int], count: int) -> tuple[int, ...]:
    """The `count` of the allowed cores that the fewest runs are on, those of the lowest number first."""
    use = Counter(cpu for place in places if not place.waits for cpu in place.cpus)
    return tuple(sorted(sorted(allowed, key=lambda cpu: (use[cpu], cpu))[:count]))
