"""A diagnosis in the reader's language. Its English stands in `runs/signatures`; labels.json holds `cause.*` and `why.*`."""

from __future__ import annotations

from sftkit.runs import signatures
from sftkit.runs.causes import Diagnosis
from sftkit.widgets.labels import label, language, table


def words(diagnosis: Diagnosis, lang: str | None = None) -> tuple[str, str]:
    """Title and explanation, plain text: whoever puts them into HTML escapes them."""
    lang = lang or language()
    if lang == "en" or f"why.{diagnosis.cause}" not in table():
        return diagnosis.title, diagnosis.explanation
    known = f"cause.{diagnosis.cause}"
    title = label(known, lang) if known in table() else diagnosis.title
    explanation = label(f"why.{diagnosis.cause}", lang, **diagnosis.values)
    if diagnosis.values.get("free"):
        explanation += label("why.figures", lang, **diagnosis.values)
    return title, explanation


def title(english: str, lang: str | None = None) -> str:
    """The title of a failure, as `list_runs` gives it, in the reader's language."""
    known = {name: f"cause.{cause}" for cause, name in signatures.CAUSES.items()}.get(english)
    return label(known, lang) if known in table() and (lang or language()) != "en" else english
