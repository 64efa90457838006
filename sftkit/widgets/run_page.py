"""What RunMonitor shows of a run, as HTML. Everything that comes from disk is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from sftkit.runs.causes import Diagnosis
from sftkit.runs.hardware import Device
from sftkit.widgets.labels import label
from sftkit.widgets.run_look import Seen
from sftkit.widgets.why import words as words_of

FORMS = {
    "loss": ("monitor.loss", "{:.4f}"),
    "eval_loss": ("monitor.eval_loss", "{:.4f}"),
    "learning_rate": ("monitor.learning_rate", "{:.3g}"),
    "grad_norm": ("monitor.grad_norm", "{:.3g}"),
    "tokens_per_second": ("monitor.tokens_per_second", "{:,.0f}"),
    "memory_mb": ("monitor.memory", "{:,.0f} MiB"),
    "epoch": ("monitor.epoch", "{:.2f}"),
}
LEVELS = ((0.95, "stop"), (0.85, "warn"), (0.0, "fine"))  # how full a memory is
TASKS = 40  # task types shown


def duration(seconds: float, lang: str | None = None) -> str:
    """A length of time as one says it: "42 s", "12 min", "3 h 5 min", "2 d 4 h"."""
    if seconds < 60:
        return label("monitor.seconds", lang, n=math.ceil(seconds))
    minutes = round(seconds / 60)
    if minutes < 60:
        return label("monitor.minutes", lang, n=minutes)
    if minutes < 48 * 60:
        return label("monitor.hours", lang, h=minutes // 60, m=minutes % 60)
    return label("monitor.days", lang, d=minutes // 1440, h=minutes % 1440 // 60)


def state_words(seen: Seen, lang: str | None = None) -> str:
    """The state, in words; that a stop was asked for goes before what the run itself says."""
    if seen.stop_asked and seen.status.state in ("starting", "running"):
        return label("monitor.stop_asked", lang)
    return label(f"monitor.state.{seen.status.state}", lang)


def head_html(name: str, seen: Seen, lang: str | None = None) -> str:
    """State, name, bar of progress, step and times, and the run's reason where no diagnosis tells it."""
    status = seen.status
    share = min(1.0, status.step / status.total_steps) if status.total_steps else 0.0
    reason = "" if seen.diagnosis else status.reason
    level = "stop" if status.state == "failed" else "help"
    waits = " sft-waits" if status.state in ("starting", "stopping") else ""
    return (
        f"<div class='sft-head sft-is-{status.state}'><span class='sft-dot'></span>"
        f"<b class='sft-state' role='status'>{escape(state_words(seen, lang))}</b>"
        f"<span class='sft-run'>{escape(name)}</span></div>"
        f"<div class='sft-bar sft-is-{status.state}{waits}' role='progressbar' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{share * 100:.0f}'><div style='width:{share * 100:.1f}%'></div></div>"
        f"<div class='sft-facts'>{escape(' · '.join(_facts(seen, share, lang)))}</div>"
        + (f"<div class='sft-reason sft-{level}'>{escape(reason)}</div>" if reason else "")
    )


def _facts(seen: Seen, share: float, lang: str | None) -> Iterable[str]:
    status = seen.status
    total = f"{status.total_steps:,}" if status.total_steps else "?"
    yield label("monitor.step", lang, step=f"{status.step:,}", total=total)
    if status.total_steps:
        yield f"{share:.0%}"
    if seen.spent is not None and status.state != "queued":
        key = "monitor.took" if status.ended else "monitor.elapsed"
        yield label(key, lang, time=duration(seen.spent, lang))
    if seen.left is not None:
        yield label("monitor.left", lang, time=duration(seen.left, lang))


def numbers_html(seen: Seen, lang: str | None = None) -> str:
    """The newest figures, eval loss by task type, and where the finished model lies."""
    if not seen.read:
        return ""
    cells = "".join(
        f"<div><span>{escape(label(key, lang))}</span><b>{escape(form.format(seen.figures[name]))}</b>"
        + (_change(seen.figures[name], seen.eval_before) if name == "eval_loss" else "")
        + "</div>"
        for name, (key, form) in FORMS.items()
        if name in seen.figures
    )
    if not cells:
        return "" if seen.diagnosis else f"<div class='sft-facts'>{escape(label('monitor.nothing_yet', lang))}</div>"  # fmt: skip
    model = label("monitor.model", lang, path=seen.model) if seen.model else ""
    facts = f"<div class='sft-facts'>{escape(model)}</div>" if model else ""
    return f"<div class='sft-numbers'>{cells}</div>{_tasks_html(seen, lang)}{facts}"


def _tasks_html(seen: Seen, lang: str | None) -> str:
    chips = "".join(
        f"<li><span>{escape(task)}</span> <b>{loss:.4f}</b>{_change(loss, seen.task_before.get(task))}</li>"
        for task, loss in sorted(seen.by_task.items())[:TASKS]
    )
    title = escape(label("monitor.by_task", lang))
    return f"<div class='sft-tasks'><span>{title}</span><ul>{chips}</ul></div>" if chips else ""


def _change(now: float, before: float | None) -> str:
    if before is None or now == before:
        return ""
    arrow, level = ("↓", "good") if now < before else ("↑", "warn")
    return f" <small class='sft-{level}'>{arrow} {abs(now - before):.4f}</small>"


def devices_html(devices: Iterable[Device], lang: str | None = None) -> str:
    """A line for each device: its use and its memory as bars."""
    lines = "".join(
        f"<div class='sft-device'><span class='sft-name' title='{escape(each.name, quote=True)}'>{escape(_device_name(each))}</span>"
        f"{_meter(label('monitor.use', lang), each.use, 100, f'{each.use:.0f} %' if each.use is not None else '', False)}"
        f"{_meter(label('monitor.memory', lang), each.used_mb, each.total_mb, _of_memory(each), True)}</div>"
        for each in devices
    )
    return f"<div class='sft-devices'>{lines}</div>" if lines else ""


def _device_name(device: Device) -> str:
    return f"GPU {device.id} · {device.name}" if device.kind == "gpu" else device.name


def _of_memory(device: Device) -> str:
    return f"{device.used_mb / 1024:.1f} / {device.total_mb / 1024:.1f} GiB"


def _meter(what: str, value: float | None, most: float, words: str, warns: bool) -> str:
    if value is None or not most:
        return "<span class='sft-meter'></span>"
    share = min(1.0, value / most)
    level = next(level for least, level in LEVELS if share >= least) if warns else "fine"
    return (
        f"<span class='sft-meter sft-{level}' role='meter' aria-label='{escape(what, quote=True)}' aria-valuemin='0' "
        f"aria-valuemax='100' aria-valuenow='{share * 100:.0f}'><i><u style='width:{share * 100:.0f}%'></u></i>"
        f"<em>{escape(what)} {escape(words)}</em></span>"
    )


def diagnosis_html(diagnosis: Diagnosis, lang: str | None = None) -> str:
    """Why the run failed: title, explanation, and the lines of the log that say so."""
    title, explanation = words_of(diagnosis, lang)
    evidence = escape(diagnosis.evidence.strip())
    lines = (
        f"<details><summary>{escape(label('monitor.evidence', lang))}</summary><pre>{evidence}</pre></details>"
        if evidence
        else ""
    )
    return (
        f"<div class='sft-why' role='alert'><b>{escape(title)}</b>"
        f"<div class='sft-words'>{escape(explanation)}</div>{lines}</div>"
    )


def gone_html(words: str, lang: str | None = None) -> str:
    """In the place of a run that has been deleted."""
    return (
        f"<div class='sft-head'><span class='sft-dot'></span><b class='sft-state' role='status'>"
        f"{escape(label('monitor.deleted', lang))}</b></div><div class='sft-facts'>{escape(words)}</div>"
    )


def copy_html(name: str, lang: str | None = None) -> str:
    """Above the form that a run is duplicated with."""
    return f"<p class='sft-hint'>{escape(label('monitor.copy_hint', lang, id=name))}</p>"
