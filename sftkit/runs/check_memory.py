"""Preflight checks of memory: what a run will need of each card, or of this machine, against what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from sftkit.config import SFTConfig
from sftkit.runs import classroom, memory
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import listed, say

GIB = 2**30
# Of memory.CONTEXT, what a process has for itself: a cap does not count the libraries' code.
OWN = 350 * 2**20


@check("device")
def memory_suffices(look: Look) -> Iterator[Finding]:
    """The states alone are certain, so only they stop a run; activations are an estimate."""
    if look.shape is None or (room := room_for_a_rank(look)) is None:
        return
    need = need_of(look, look.config)
    where = _where(look, room)
    parts = listed(say("{name} {size}", name=say(name), size=_gib(size)) for name, size in need.parts.items() if size > 0.02 * need.total)  # fmt: skip
    words = say("About {total} of {where}: {parts}.", total=_gib(need.total), where=where, parts=parts)
    if need.total <= room:
        free = free_for_a_rank(look)
        if need.total <= free:
            yield Finding("inform", "micro_train_batch_size", words)
        else:
            yield Finding(
                "warn",
                "micro_train_batch_size",
                say("Only {free} are free now. {words}", free=_gib(free), words=words),
            )
        return
    fix = memory.nearest_that_fits(
        look.config,
        lambda config: _fits(look, config, room),
        gpu=bool(look.gpus),
        quantizes=find_spec("bitsandbytes") is not None,
    )
    label = say("Set {settings}", settings=", ".join(f"{name}={value}" for name, value in fix.items())) if fix else ""  # fmt: skip
    libraries = OWN if room == _capped(look) else memory.CONTEXT
    level = "stop" if need.states + libraries > room else "warn"
    field = "micro_train_batch_size" if level == "warn" else "zero_stage"
    more = say(" No setting makes it fit: take a smaller model, or ask for a larger cap.") if room == _capped(look) else say(" No setting makes it fit: take a smaller model, or more cards.")  # fmt: skip
    end = "" if fix else more
    yield Finding(level, field, say("It will not fit. {words}{end}", words=words, end=end) if level == "stop" else say("It may not fit. {words}{end}", words=words, end=end), fix, label)  # fmt: skip


@check("device")
def offload_fits_the_machine(look: Look) -> Iterator[Finding]:
    if look.shape is None or not look.gpus or look.config.launcher != "local":
        return
    host, room = need_of(look, look.config).host * look.config.processes, machine_memory()
    if host > room:
        yield Finding("stop", "adam_offload", say("The optimizer state takes {host} of this machine's memory, which has {room}.", host=_gib(host), room=_gib(room)), {"adam_offload": False}, say("Keep it on the cards"))  # fmt: skip


def _fits(look: Look, config: SFTConfig, room: int) -> bool:
    need = need_of(look, config)
    return need.total <= room and need.host * config.processes <= machine_memory()


def need_of(look: Look, config: SFTConfig) -> memory.Estimate:
    """What a rank of `config` needs, with the rows as long as those looked at."""
    lengths = [row.used for _, row in look.seen if row.used]
    trained = [int(row.loss_mask.sum()) for _, row in look.seen if row.used]
    share = sum(trained) / sum(lengths) if lengths else 1.0
    return memory.estimate(config, look.shape, memory.Micro.of(config, lengths, share), gpu=bool(look.gpus))


def room_for_a_rank(look: Look) -> int | None:
    """Bytes of the smallest card that will be used, or of the machine for each of its processes; None where the ranks
    run elsewhere."""
    if look.gpus:
        used = [gpu for gpu in look.gpus if gpu.id in look.used_cards] or look.gpus
        smallest = min(gpu.memory_mb for gpu in used) * 2**20
        return smallest or None
    if look.config.launcher != "local":
        return None
    return min(machine_memory() // look.config.processes, _capped(look) or machine_memory())


def _capped(look: Look) -> int | None:
    """Bytes that a rank may take where a cap is set."""
    cap = classroom.sound_caps().memory
    return cap // look.config.processes if cap and not look.gpus else None


def _where(look: Look, room: int) -> str:
    if look.gpus:
        return say("a card of {size}", size=_gib(room))
    if room == _capped(look):
        return say("the {size} that a process of a run may take here", size=_gib(room))
    return say("the {size} that this machine has for a process", size=_gib(room))


def free_for_a_rank(look: Look) -> int:
    """Bytes of that which nobody uses now."""
    if look.gpus:
        used = [gpu for gpu in look.gpus if gpu.id in look.used_cards] or look.gpus
        return min(gpu.memory_mb - gpu.used_mb for gpu in used) * 2**20
    return min(machine_memory(), psutil.virtual_memory().available) // look.config.processes


def machine_memory() -> int:
    """Bytes of memory that this machine has, or its container may use."""
    room = psutil.virtual_memory().total
    with suppress(OSError, ValueError):  # no cgroup v2, or "max": no limit
        room = min(room, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return room


def _gib(size: float) -> str:
    return f"{size / GIB:.3g} GiB" if size >= 0.1 * GIB else f"{size / 2**20:.0f} MiB"
