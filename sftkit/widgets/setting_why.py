"""Why a setting is there, in one line for those who learn: one table, setting_why.json, in English and Chinese.

The help of a setting (SFTConfig) says what it does; this says why one would care. Shown in teaching mode (`sk.teach`).
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib import resources

from sftkit.runs import classroom
from sftkit.widgets.labels import label, language
from sftkit.wording import in_language


@cache
def whys() -> dict[str, dict[str, str]]:
    """setting_why.json: setting -> language -> why."""
    text = resources.files("sftkit.widgets").joinpath("setting_why.json").read_text(encoding="utf-8")
    return json.loads(text)


def why_html(name: str, lang: str | None = None) -> str:
    """The line under a setting's help in teaching mode; nothing else."""
    if not classroom.teaching():
        return ""
    title = escape(label("form.why", lang))
    return f"<span class='sft-because'><b>{title}</b> {escape(whys()[name][lang or language()])}</span>"


def lesson_html(lang: str | None = None) -> str:
    """What stands at the form's head in teaching mode: what a run may take, and where runs lie."""
    if not classroom.teaching():
        return ""
    lang = lang or language()
    caps = in_language(classroom.in_words(classroom.sound_caps()), lang)
    folder = label("form.teach_folder", lang, folder=classroom.runs_folder("runs").absolute())
    return f"<p class='sft-lesson'>{escape(label('form.teach', lang))} {escape(caps)} {escape(folder)}</p>"
