"""Preflight checks of the caps that a class, or an administrator, has set (`classroom.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from sftkit.errors import ConfigError
from sftkit.runs import classroom, queue
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.wording import listed, say


@check
def caps_are_numbers(look: Look) -> Iterator[Finding]:
    try:
        classroom.caps()
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("stop", "", say("{variable} in the environment: {message} {fix}", variable=fault.field, message=fault.message, fix=fault.fix))  # fmt: skip


@check
def caps_hold_on_this_machine_only(look: Look) -> Iterator[Finding]:
    if classroom.sound_caps() and look.config.launcher != "local":
        fix = {"launcher": "local", "hostfile": None, "num_processes": None}
        yield Finding("stop", "launcher", say("Runs are capped here, and caps hold on this machine only."), fix, say("Train on this machine"))  # fmt: skip


@check
def processes_have_a_core_each(look: Look) -> Iterator[Finding]:
    cores, processes = classroom.sound_caps().cores, look.config.processes
    if cores and processes > cores and not look.config.gpus:
        yield Finding("warn", "num_processes", say("{processes} processes share {cores} cores, which is slower than fewer processes.", processes=processes, cores=cores), {"num_processes": None}, say("Use one process"))  # fmt: skip


@check("device")
def what_a_run_may_take(look: Look) -> Iterator[Finding]:
    caps = classroom.sound_caps()
    if not caps or look.config.launcher != "local":
        return
    said = [classroom.in_words(caps)]
    with suppress(OSError):  # a queue that cannot be used is told at the launch
        wanted = tuple(f"GPU {card}" for card in look.used_cards) if look.gpus else (queue.CPU,)
        if waits_for := queue.would_wait_for(wanted, caps):
            said.append(say("Launched now, it would be {waits_for}.", waits_for=waits_for))
    yield Finding("inform", "", listed(said, " "))
