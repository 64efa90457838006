"""Why a run failed, in the reader's language."""

from __future__ import annotations

from sftkit.runs.causes import Diagnosis
from sftkit.widgets.labels import language
from sftkit.wording import chinese, in_language


def words(diagnosis: Diagnosis, lang: str | None = None) -> tuple[str, str]:
    """Title and explanation, plain text: whoever puts them into HTML escapes them."""
    lang = lang or language()
    return in_language(diagnosis.title, lang), in_language(diagnosis.explanation, lang)


def title(english: str, lang: str | None = None) -> str:
    """The title of a failure, as `list_runs` gives it, in the reader's language."""
    return english if (lang or language()) == "en" else chinese().get(english, english)
