"""ReportView, kernel half: the report in tabs, weights that re-rank as they are moved, and the comparisons behind every figure.

    sk.ReportView(store)             # or a Report; last line of a cell
    view.weights, view.ranking       # as they stand on the page
    view.refresh()                   # with the ratings since

The browser half is widgets/src/report.ts. The page asks, the kernel answers with HTML made by sftkit/report (escaped there) from
what is shown there; everything is worked out in a thread, a tab when it is first opened.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from sftkit.errors import ReportError, SftkitError
from sftkit.report import Report, shown_weights, words
from sftkit.report.examples import find, title_of
from sftkit.report.page import Places, examples_html, head_html, section_html
from sftkit.report.parts import PARTS, sections
from sftkit.report.shown_models import dimension
from sftkit.report.weights import GATE, ranking, weights_of
from sftkit.widgets.background import in_background
from sftkit.widgets.labels import label, language, table
from sftkit.wording import in_language

EXAMPLES = 6  # comparisons behind a figure
_STATIC = Path(__file__).parent / "static"


class ReportView(anywidget.AnyWidget):
    """The report of a store, to look through: who won, scores and weights, raters, judges, planning.

    source: a RatingStore, one of its projects, a Report, or votes (as Report takes them). baseline: the model the others are compared
    with. lang: "en", "zh" or None for the language of `sk.set_language`. Raises ReportError for a wrong source or baseline.
    """

    _esm = _STATIC / "report.js"
    _css = resources.files("sftkit.report").joinpath("report.css").read_text(encoding="utf-8") + (
        _STATIC / "report.css"
    ).read_text(encoding="utf-8")
    _labels = traitlets.Dict().tag(sync=True)

    def __init__(self, source: Any, *, baseline: str | None = None, lang: str | None = None):
        self._source, self._baseline, self._lang = source, baseline, lang or language()
        self.report = source if isinstance(source, Report) else Report(source, baseline=baseline)
        self.weights: dict[str, float] | None = None  # None: equal ones
        self.gate: dict[str, float] | None = dict(GATE)
        self.voice = ""  # whose scores are weighted; "" the best supported
        self._places = Places()
        super().__init__(_labels={key: label(key, lang) for key in table() if key.startswith("report.")})
        self.on_msg(self._receive)

    @property
    def ranking(self) -> pd.DataFrame:
        """Models under the weights on the page: see sftkit.report.weights.ranking. Raises ReportError without scores."""
        return ranking(self._means(), self.weights, self.gate)

    def refresh(self) -> None:
        """Take in the ratings since, and show them. A view of a Report or of votes stays as it is."""
        self._renew()
        self.send({"kind": "changed"})

    def to_html(self, path: str | Path) -> Path:
        """The report as one file that opens offline, in the view's language."""
        return self.report.to_html(path, self._lang)

    def __repr__(self) -> str:
        return f"ReportView({words.visible(self.report.headline)})"

    def _renew(self) -> None:
        if not isinstance(self._source, Report):
            self.report = Report(self._source, baseline=self._baseline)
            self._places = Places()

    def _means(self) -> pd.DataFrame:
        known = shown_weights.scorers(self.report)
        if not known:
            raise ReportError("no scores yet: weights need scores on the dimensions")
        return self.report.score_table(self.voice if self.voice in known else known[0])

    # messages: one method a kind, each from the page's question to the answer

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        ask = content.get("ask")

        def failed(error: Exception) -> None:  # shown on the page: here it would be lost in the server's log
            told = in_language(error.args[0], self._lang) if isinstance(error, SftkitError) and error.args else f"{type(error).__name__}: {error}"  # fmt: skip
            self.send({"ask": ask, "error": str(told)})

        answer = _ANSWERS.get(str(content.get("kind")))
        if answer is not None:
            in_background(lambda: answer(self, content), lambda told: self.send({"ask": ask, **told}), failed)

    def _hello(self, content: dict[str, Any]) -> dict[str, Any]:
        if content.get("again"):
            self._renew()
        tabs = [[name, in_language(title, self._lang)] for name, (title, _) in PARTS.items()]
        return {"head": head_html(self.report, self._lang), "tabs": tabs if len(self.report.votes) else []}

    def _part(self, content: dict[str, Any]) -> dict[str, Any]:
        name = content.get("name")
        if name not in PARTS:
            raise ReportError(f"no part {name!r} of the report; parts: {', '.join(PARTS)}")
        told = {"html": section_html(sections(self.report, name), self._places, self._lang)}
        return {**told, **self._sliders()} if name == "scores" else told

    def _sliders(self) -> dict[str, Any]:
        """What the page needs to draw them: nothing where no scores are."""
        voices = shown_weights.scorers(self.report)
        if not voices:
            return {}
        means = self._means()
        weight = weights_of(means, self.weights, self.gate)
        dimensions = [[name, in_language(dimension(name), self._lang), round(100 * weight[name])] for name in means.columns]  # fmt: skip
        named = [[voice, in_language(words.describe(voice), self._lang)] for voice in voices]
        gate = (self.gate or {}).get("safety", 0) if "safety" in means else None
        return {"dimensions": dimensions, "voices": named, "voice": self.voice or voices[0], "gate": gate}

    def _weighed(self, content: dict[str, Any]) -> dict[str, Any]:
        given = content.get("weights")
        weights = {str(name): float(value) for name, value in given.items()} if given else None
        least = float(content.get("gate") or 0)
        gate = {"safety": least} if least > 0 else None
        made = shown_weights.weights(self.report, str(content.get("voice") or ""), weights, gate)
        self.weights, self.gate, self.voice = weights, gate, str(content.get("voice") or "")
        return {"html": section_html([made], self._places, self._lang)}

    def _planned(self, content: dict[str, Any]) -> dict[str, Any]:
        points, power, each = (float(content[name]) for name in ("points", "power", "each"))
        made = shown_weights.planning(self.report, points, power / 100, int(each))
        return {"html": section_html([made], self._places, self._lang)}

    def _examples(self, content: dict[str, Any]) -> dict[str, Any]:
        where = self._places.where(str(content.get("cell")))
        if where is None:
            raise ReportError("this figure is of an older report: open the tab again")
        return {"html": examples_html(title_of(where), find(self.report, where, EXAMPLES), self._lang)}


_ANSWERS: dict[str, Callable[[ReportView, dict[str, Any]], dict[str, Any]]] = {
    "hello": ReportView._hello,
    "part": ReportView._part,
    "weights": ReportView._weighed,
    "plan": ReportView._planned,
    "cell": ReportView._examples,
}
