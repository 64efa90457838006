"""Answers to the fixed prompts at each checkpoint: a table of prompt by checkpoint, the newest first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
from ipywidgets import HTML

from sftkit.runs import Run
from sftkit.widgets.labels import label

FILE = "samples.jsonl"
PROMPTS, CHECKPOINTS = 50, 12  # shown at most; run.samples() has them all
LONGEST = 1_200  # characters of an answer


class SamplesPane(HTML):
    """The answers of `run`; read again when the file has grown."""

    def __init__(self, run: Run, lang: str | None = None):
        self._lang = lang
        super().__init__()
        self.follow(run)

    def follow(self, run: Run) -> None:
        """Show the answers of this run from now on."""
        self.run, self._known = run, ()

    def read(self) -> str | None:
        """The table as HTML; None when it is shown already. In any thread."""
        path = self.run.folder / FILE
        file = path.stat() if path.is_file() else None
        known = (path, file and (file.st_size, file.st_mtime_ns))
        if known == self._known:
            return None
        self._known = known
        samples = self.run.samples() if file else pd.DataFrame()
        return table_html(samples, self._lang)

    def show(self, read: str | None) -> None:
        """Show what `read` gave. On the kernel's loop."""
        if read is not None:
            self.value = read


def table_html(samples: pd.DataFrame, lang: str | None = None) -> str:
    """Prompts down, checkpoints across from the newest to the oldest; an answer that stayed the same is dimmed."""
    if samples.empty:
        return f"<div class='sft-facts'>{escape(label('monitor.samples_none', lang))}</div>"
    steps = sorted(samples["step"].unique(), reverse=True)
    keys = samples["prompt"].map(_key)
    prompts = list(dict.fromkeys(keys))
    of = {(key, row["step"]): row for key, row in zip(keys, samples.to_dict("records"))}
    shown = steps[:CHECKPOINTS]
    reference = any(_is_text(row.get("reference")) for row in of.values())
    head = [label("monitor.prompt", lang), *([label("monitor.reference", lang)] if reference else [])]
    head += [label("monitor.at_step", lang, step=f"{int(step):,}") for step in shown]
    titles = "".join(f"<th scope='col'>{escape(title)}</th>" for title in head)
    rows = "".join(_row(key, shown, steps, of, reference) for key in prompts[:PROMPTS])
    more = _more(len(prompts), len(steps), lang)
    return f"<div class='sft-samples' tabindex='0'><table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table></div>{more}"


def _row(key: str, shown: list, steps: list, of: Mapping[tuple[str, Any], dict], reference: bool) -> str:
    first = next(row for (prompt, _), row in of.items() if prompt == key)
    cells = [f"<th scope='row'>{_prompt(first)}</th>"]
    if reference:
        text = first.get("reference")
        cells.append(f"<td class='sft-reference'>{_text(text if _is_text(text) else '')}</td>")
    for place, step in enumerate(shown):
        answer = of.get((key, step), {}).get("response")
        before = of.get((key, steps[place + 1]), {}).get("response") if place + 1 < len(steps) else None
        same = " class='sft-same'" if answer is not None and answer == before else ""
        cells.append(f"<td{same}>{_text(answer) if _is_text(answer) else ''}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _prompt(row: Mapping[str, Any]) -> str:
    """The messages of a prompt; who speaks is said where there is more than one."""
    messages = row["prompt"] if isinstance(row["prompt"], Sequence) else []
    if isinstance(messages, str):
        messages = [{"role": "", "content": messages}]
    parts = []
    for message in messages:
        role = f"<small>{escape(str(message.get('role', '')))}</small> " if len(messages) > 1 else ""
        parts.append(f"<div>{role}{_text(message.get('content'))}</div>")
    task = row.get("task")
    return "".join(parts) + (f"<small class='sft-task'>{escape(task)}</small>" if _is_text(task) else "")


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return escape(text if len(text) <= LONGEST else text[:LONGEST] + " …")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _key(prompt: Any) -> str:
    return json.dumps(prompt, ensure_ascii=False, sort_keys=True, default=str)


def _more(prompts: int, steps: int, lang: str | None) -> str:
    if prompts <= PROMPTS and steps <= CHECKPOINTS:
        return ""
    words = label("monitor.samples_more", lang, prompts=prompts, steps=steps)
    return f"<div class='sft-facts'>{escape(words)}</div>"
