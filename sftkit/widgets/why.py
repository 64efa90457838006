"""A diagnosis in the reader's language. Its English stands in `runs/signatures`; labels.json holds `cause.*` and `why.*`."""

from __future__ import annotations

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
