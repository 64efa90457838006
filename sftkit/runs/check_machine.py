"""Preflight checks of this machine: who uses its cards, what they can compute, whether a port is taken."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import psutil

from sftkit.runs import cards, classroom, hardware, queue, queue_turn
from sftkit.runs.findings import Finding, check
from sftkit.runs.hardware import cpu_flags
from sftkit.runs.look import Look
from sftkit.wording import listed, say

BUSY = 0.3  # share of a card's memory in use from which it counts as somebody's
BF16 = (8, 0)  # Ampere: the first cards that compute in bfloat16
# The first cards that each kind of flash attention runs on.
FLASH = {"auto": (8, 0), "flash_attention_2": (8, 0), "flash_attention_3": (9, 0)}
PLAIN_ATTENTION = {"attn_implementation": "sdpa", "flash_attn": False}  # runs on every card


@check("device")
def gpus_are_free(look: Look) -> Iterator[Finding]:
    if look.config.launcher != "local":
        return
    free = [gpu.id for gpu in look.gpus if not _is_busy(gpu)]
    count = len(look.used_cards)
    for gpu in look.gpus:
        if gpu.id not in look.used_cards or not _is_busy(gpu):
            continue
        who = [user.words for user in look.card_users if user.card == gpu.id]
        by = say(", by {who}", who=listed(who[:3], "; ")) if who else ""
        fix = {"gpus": free[:count]} if count and len(free) >= count else {}
        label = say("Use GPU {ids}", ids=", ".join(map(str, free[:count]))) if fix else ""
        yield Finding("warn", "gpus", say("GPU {id} ({name}) is in use: {used_mb} of {memory_mb} MiB taken{by}.", id=gpu.id, name=gpu.name, used_mb=gpu.used_mb, memory_mb=gpu.memory_mb, by=by), fix, label)  # fmt: skip


@check("device")
def no_other_run_of_ours_is_there(look: Look) -> Iterator[Finding]:
    if look.config.launcher != "local":
        return
    wanted = tuple(f"GPU {card}" for card in look.used_cards) if look.gpus else (queue.CPU,)
    places = queue.holders(wanted)
    if not places or classroom.sound_caps():  # then runs wait for each other: check_classroom.py
        return
    used = ", ".join(device for device in wanted if any(device in place.devices for place in places))
    names = [(queue_turn.said(place, queue.person()), place.waits) for place in places]
    runs = listed(say("{run} (waiting)", run=name) if waits else name for name, waits in names)
    yield Finding("warn", "gpus", say("{used} is used by the run {runs}: both get slower, or run out of memory. To wait for its end, launch with queue=True.", used=used, runs=runs))  # fmt: skip


def _is_busy(gpu: hardware.GPU) -> bool:
    return bool(gpu.memory_mb) and gpu.used_mb > BUSY * gpu.memory_mb


@check("device")
def cards_compute_in_bf16(look: Look) -> Iterator[Finding]:
    if not look.config.bf16 or look.config.launcher != "local":
        return
    for card in _older_than(look, BF16):
        fix = {"bf16": False, "fp16": True, **PLAIN_ATTENTION}
        yield Finding("stop", "bf16", say("GPU {id} does not compute in bfloat16 (compute capability {card}; it takes 8.0).", id=card.id, card=_version(card)), fix, say("Train in float16"))  # fmt: skip
        return


@check("device")
def cards_have_flash_attention(look: Look) -> Iterator[Finding]:
    """In half precision `auto` is torch's own flash attention, which old cards lack as well."""
    config = look.config
    if config.launcher != "local" or config.attn_implementation not in FLASH or not (config.bf16 or config.fp16):  # fmt: skip
        return
    least = FLASH[config.attn_implementation]
    for card in _older_than(look, least):
        fix = {"attn_implementation": "auto"} if card.capability >= FLASH["auto"] else PLAIN_ATTENTION
        yield Finding("stop", "attn_implementation", say("{attn_implementation} takes flash attention, which needs compute capability {least}.{least2}; GPU {id} has {card}.", attn_implementation=config.attn_implementation, least=least[0], least2=least[1], id=card.id, card=_version(card)), fix, say("Set attn_implementation={attn_implementation}", attn_implementation=fix['attn_implementation']))  # fmt: skip
        return


def _older_than(look: Look, capability: tuple[int, int]) -> list[cards.Card]:
    """The cards in use that are known to have less."""
    return [
        card
        for card in look.card_facts
        if card.id in look.used_cards and card.capability and card.capability < capability
    ]


def _version(card: cards.Card) -> str:
    return ".".join(map(str, card.capability or ()))


@check("device")
def the_port_is_free(look: Look) -> Iterator[Finding]:
    """A run takes a free port by itself; whoever sets MASTER_PORT thinks otherwise."""
    wished = os.environ.get("MASTER_PORT")
    if not wished:
        return
    if not (wished.isdigit() and 0 < int(wished) < 2**16):
        yield Finding("inform", "launcher", say("MASTER_PORT={wished} is no port. The run takes a free one by itself.", wished=wished))  # fmt: skip
    elif (who := _listener(int(wished))) is not None:
        yield Finding("inform", "launcher", say("The port {wished} (MASTER_PORT) is taken{who}. The run takes a free one by itself.", wished=wished, who=who))  # fmt: skip


def _listener(port: int) -> str | None:
    """Who listens on a port here, in words that may be empty; None where nobody does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just been closed is free
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:  # one below 1024, say, that only root may take
                return None
        else:
            return None
    with suppress(psutil.Error):  # some systems tell root only
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                if connection.pid == os.getpid():
                    return say(" by this kernel itself, pid {pid}", pid=connection.pid)
                return say(
                    " by {name}, pid {pid}", name=psutil.Process(connection.pid).name(), pid=connection.pid
                )
    return ""


@check("device")
def the_cpu_computes_in_bf16(look: Look) -> Iterator[Finding]:
    """Measured on one core: without the instructions a bf16 product takes 1.3 times as long as fp32's with AVX-512, and
    40 times with AVX2."""
    if not look.config.bf16 or look.gpus or look.config.launcher != "local":
        return
    flags = cpu_flags()
    if not flags & {"avx2", "avx512f"} or flags & {"avx512_bf16", "amx_bf16"}:
        return
    level, times = ("inform", say("a little")) if "avx512f" in flags else ("warn", say("many times"))
    yield Finding(level, "bf16", say("This CPU has no instructions for bfloat16: float32 is {times} faster here.", times=times), {"bf16": False}, say("Train in float32"))  # fmt: skip
