"""What a saved notebook shows of a grid when no kernel stands behind it: how far the rater is, the verdicts, the first rows.

JupyterLab shows a widget's error, not the bundle's other forms, when the widget's state is gone. So the picture is an
output of its own under the widget, brought up to date after votes: by its display id, and once the page was loaded anew
and JupyterLab no longer knows that id, by the page, which finds the output in the notebook. While the grid lives the page
hides the picture (both: widgets/src/picture.ts), and where it does not, the picture's own style hides the widget's error.

No answer is in it, and no model's name before they are revealed. All text is escaped.
"""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from collections.abc import Callable
from html import escape
from typing import Any

from sftkit.widgets.background import Debounced
from sftkit.widgets.grid_votes import LETTERS, Said
from sftkit.widgets.labels import label

ROWS = 20  # in the picture
LONGEST = 160  # characters of a prompt
PAUSE = 1.0  # seconds from a vote to the picture
# The output before the picture's, when no grid is in it: a widget that could not be found.
STYLE = (
    "<style>.jp-OutputArea-child:not(:has(.sftkit-grid)):has(+.jp-OutputArea-child .sftkit-picture){display:none}"
    ".sftkit-picture td,.sftkit-picture th{text-align:left!important;vertical-align:top;padding:3px 10px 3px 0}</style>"
)


class Picture:
    """The output under one grid. `html` makes it; `changed` has it made again soon; `tell` reaches the page."""

    def __init__(self, html: Callable[[], str], words: Callable[[], str], tell: Callable[[dict], None]):
        self._html, self._words, self._tell = html, words, tell
        self._pages = 0  # opened so far
        self._handles: list[Any] = []
        self._soon = Debounced(self._update, PAUSE)

    def show(self) -> None:
        """Put it under what the running cell has shown. Where no notebook is, nothing is shown."""
        if not _in_notebook():
            return
        from IPython.display import display

        self._handles.append(display(self._bundle(), raw=True, display_id=True))

    def opened(self) -> None:
        """A page has opened: the first one, or the same one loaded anew."""
        self._pages += 1
        if self._pages > 1:
            self.changed()

    def changed(self) -> None:
        if self._handles:
            self._soon.request()

    def _update(self) -> None:
        for handle in self._handles:
            handle.update(self._bundle(), raw=True)
        if self._pages > 1:
            self._tell({"picture": self._bundle()})

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self._html(), "text/plain": self._words()}


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def html(grid: Any, name: str, lang: str | None) -> str:
    """The picture of a ComparisonGrid. name: what the page knows the grid by."""
    known, rows = dict(grid._known), grid._rows
    done, total = grid.progress
    head = label("picture.saved", lang, done=done, total=total, rater=grid.rater.removeprefix("human:"))
    when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = "".join(_row(grid, row, known.get(row), lang) for row in range(min(ROWS, total)))
    names = [label(key, lang) for key in ("grid.prompt", "grid.verdict")]
    more = label("picture.more", lang, n=len(rows) - ROWS) if len(rows) > ROWS else ""
    return (
        f'{STYLE}<div class="sftkit-picture" data-grid="{escape(name)}"><p><b>{escape(head)}</b> <small>{when}</small></p>'
        f"<p>{escape(_counts(known, grid._revealed, lang))}</p><p>{escape(label('picture.run', lang))}</p>"
        f"<table><thead><tr><th>#</th><th>{escape(names[0])}</th><th>{escape(names[1])}</th></tr></thead>"
        f"<tbody>{lines}</tbody></table><p>{escape(more)}</p></div>"
    )


def _row(grid: Any, row: int, said: Said | None, lang: str | None) -> str:
    preview = grid._rows.preview(row, (), False)
    prompt = preview["prompt"][:LONGEST] + ("…" if len(preview["prompt"]) > LONGEST else "")
    task = f"<small>{escape(preview['task'])}</small> " if preview["task"] else ""
    verdict = verdict_words(said, grid._revealed, lang)
    flag = " ⚑" if said and said.opinion["flag"] else ""
    return f"<tr><td>{row + 1}</td><td>{task}{escape(prompt)}</td><td>{escape(verdict + flag)}</td></tr>"


def verdict_words(said: Said | None, revealed: bool, lang: str | None) -> str:
    """What was said, of places; of models once they are revealed. A ranking is "B > A = C"."""
    if said is None:
        return ""
    names = dict(zip(LETTERS, said.shown if revealed else LETTERS[: len(said.shown)].upper()))
    verdict, ranking = said.opinion["verdict"], said.opinion["ranking"]
    if verdict in ("a", "b"):
        return names[verdict]
    if verdict is not None:
        return label(f"grid.{verdict}", lang)
    if said.is_vote:
        ranks = sorted(set(ranking.values()))
        return " > ".join(
            " = ".join(names[p] for p in sorted(ranking) if ranking[p] == rank) for rank in ranks
        )
    return label("grid.begun", lang)


def _counts(known: dict[int, Said], revealed: bool, lang: str | None) -> str:
    """How often each verdict was given; rankings are counted together."""
    words = []
    for said in known.values():
        ranked = said.is_vote and said.opinion["verdict"] is None
        words.append(label("grid.ranked", lang) if ranked else verdict_words(said, revealed, lang))
    return " · ".join(f"{word}: {count}" for word, count in sorted(Counter(words).items()))
