"""The comparison grid, kernel half: prompts as rows, two blinded answers across, every vote straight to the store.

sk.ComparisonGrid(answers, store=store, rater="ana")

The browser half is widgets/src/grid.ts; the messages between them are written down in widgets/src/protocol.ts. The page
knows the answers as "a" (left) and "b" (right). Which model stands where stays in this process: no trait and no message
carries a model's name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets

from sftkit.errors import ConfigError, Fault, SftkitError
from sftkit.generation.table import Generations
from sftkit.ratings import DIMENSIONS, Dimension, Rating, RatingStore
from sftkit.ratings.blind import RULE, comparisons
from sftkit.widgets import grid_judge
from sftkit.widgets.labels import label

PREVIEW = 240  # characters of a prompt or an answer in a closed row
_STATIC = Path(__file__).parent / "static"
_OTHER = {"a": "b", "b": "a", "tie": "tie"}
_STATES = {"a": "a", "b": "b", "tie": "t", None: "o"}
SHOW_JUDGE = ("after_vote", "never")
_NOTHING: dict[str, Any] = {"verdict": None, "ranking": {}, "scores": {}, "note": "", "tags": [], "flag": False, "reason": None}  # fmt: skip

Opinion = dict[str, Any]  # as in protocol.ts


class ComparisonGrid(anywidget.AnyWidget):
    """Rate answers side by side, blind, by mouse or keys (`?` shows them).

    answers: the Generations to compare; store: where votes go, and what was voted before comes from; rater: the
    person's name, stored as "human:<name>". models: which to compare and in which order (default: all of `answers`);
    each is shown against the first. seed: of the rule that decides which model stands left. lang: "en", "zh" or None
    for the language of `sk.set_language`. dimensions: what is scored from 1 to 5. show_judge: "after_vote" lets the rater
    look at what judges said of a comparison once it has a vote (a vote that is changed after that says so in its
    evidence, "after_judge"); "never" keeps it back.

    Raises ConfigError for unknown models, an empty rater or another show_judge, StoreError when the store cannot be written.
    """

    _esm = _STATIC / "grid.js"
    _css = _STATIC / "grid.css"
    _labels = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        answers: Generations,
        *,
        store: RatingStore,
        rater: str,
        models: Sequence[str] | None = None,
        seed: int = 0,
        lang: str | None = None,
        dimensions: Sequence[Dimension] = DIMENSIONS,
        show_judge: str = "after_vote",
    ):
        if show_judge not in SHOW_JUDGE:
            raise ConfigError([Fault("show_judge", f"{show_judge!r} is none of {', '.join(SHOW_JUDGE)}.")])
        self.show_judge, self._revealed = show_judge, set()
        self._table = answers
        self.store, self.rater, self.seed = store, _human(rater), seed
        self._comparisons = comparisons(answers, self.rater, models, seed)
        self._row_of = {comparison.id: row for row, comparison in enumerate(self._comparisons)}
        self._prompts = answers.prompts.set_index("prompt_id").to_dict("index")
        columns = answers.frame[["prompt_id", "model", "response", "finish_reason"]]
        self._answers = {(p, m): (text, finish) for p, m, text, finish in columns.itertuples(index=False)}
        self._dimensions = [_in_language(dimension, lang) for dimension in dimensions]
        store.register(answers)
        self._read_store()
        super().__init__(_labels={key: label(key, lang) for key in _label_keys() if key.startswith("grid.")})
        self.on_msg(self._receive)

    @property
    def ratings(self) -> pd.DataFrame:
        """This rater's current ratings of these comparisons, in the columns of `store.frame()`."""
        frame = self.store.frame(self.rater)
        mine = {(c.prompt_id, frozenset((c.baseline, c.other))) for c in self._comparisons}
        keys = zip(frame["prompt_id"], frame["model_a"], frame["model_b"])
        here = pd.Series([(p, frozenset((a, b))) in mine for p, a, b in keys], index=frame.index, dtype=bool)
        return frame[frame["current"] & here].reset_index(drop=True)

    @property
    def progress(self) -> tuple[int, int]:
        """(comparisons with a verdict, comparisons)."""
        known = list(self._known.values())  # a copy: votes arrive in another thread while a cell runs
        return sum(rating["verdict"] in _OTHER for rating in known), len(self._comparisons)

    def __repr__(self) -> str:
        done, total = self.progress
        return f"ComparisonGrid({done} of {total} rated by {self.rater})"

    def _read_store(self) -> None:
        """What this rater said before: row -> the current rating, from the store."""
        rows = {
            (c.prompt_id, frozenset((c.baseline, c.other))): row for row, c in enumerate(self._comparisons)
        }
        self._known: dict[int, dict[str, Any]] = {}
        frame = self.store.frame(self.rater)
        for rating in frame[frame["current"]].to_dict("records"):
            row = rows.get((rating["prompt_id"], frozenset((rating["model_a"], rating["model_b"]))))
            if row is not None:
                self._known[row] = rating

    def _left(self, row: int) -> str:
        """The model on the left: as when it was rated, else by the rule."""
        comparison, known = self._comparisons[row], self._known.get(row)
        if known is not None and known["shown_first"] in ("a", "b"):
            return known[f"model_{known['shown_first']}"]
        return comparison.baseline if comparison.baseline_left else comparison.other

    def _sides(self, row: int) -> dict[str, str]:
        comparison, left = self._comparisons[row], self._left(row)
        return {"a": left, "b": comparison.other if left == comparison.baseline else comparison.baseline}

    # messages: one method a kind, each from the page's question to the answer

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        kinds: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "rows": self._rows,
            "row": self._row,
            "vote": self._vote,
            "judge": self._judge,
        }
        try:
            reply = kinds[content["kind"]](content)
        except SftkitError as error:
            reply = {"error": str(error)}
        except (
            Exception
        ) as error:  # shown under the widget: in a callback it would be lost in the server's log
            reply = {"error": f"{type(error).__name__}: {error}"}
        self.send({"ask": content.get("ask"), **reply})

    def _hello(self, _content: dict[str, Any]) -> dict[str, Any]:
        self._read_store()
        states = "".join(self._state(row) for row in range(len(self._comparisons)))
        return {
            "grid": self._name(),
            "columns": 2,
            "states": states,
            "order": None,
            "dimensions": self._dimensions,
            "tags": [],
            "filterable": {},
            "filter": {"text": "", "rows": None, "error": None},
            "project": None,
            "revealed": False,
        }

    def _rows(self, content: dict[str, Any]) -> dict[str, Any]:
        return {
            "rows": [
                self._preview(row)
                for row in range(*slice(content["from"], content["to"]).indices(len(self._comparisons)))
            ]
        }

    def _preview(self, row: int) -> dict[str, Any]:
        prompt_id = self._comparisons[row].prompt_id
        prompt = self._prompts[prompt_id]
        shown = [self._answers[prompt_id, model][0][:PREVIEW] for model in self._sides(row).values()]
        last = prompt["prompt"][-1]["content"][:PREVIEW]
        return {"prompt": last, "task": prompt["task"] or "", "answers": shown, "flag": False}

    def _row(self, content: dict[str, Any]) -> dict[str, Any]:
        row = content["row"]
        comparison = self._comparisons[row]
        prompt = self._prompts[comparison.prompt_id]
        sides = self._sides(row)
        answers = {side: self._answers[comparison.prompt_id, model] for side, model in sides.items()}
        return {
            "row": row,
            "id": comparison.id,
            "prompt": prompt["prompt"],
            "task": prompt["task"] or "",
            "reference": prompt["reference"] or "",
            "answers": [
                {"side": s, "text": text, "cut": end == "length"} for s, (text, end) in answers.items()
            ],
            "names": None,
            "closed": None,
            "opinion": self._opinion(row),
            "rating": self._known.get(row, {}).get("id", 0),
            "judged": len(self._judges(row)["rater"].unique()),
        }

    def _vote(self, content: dict[str, Any]) -> dict[str, Any]:
        row = self._row_of[content["id"]]
        known = self._known.get(row, {"id": 0, "key": None})
        # kept in a browser since before a restart, and overtaken by a vote from elsewhere: the newer one stays
        stale = content["restored"] and known["id"] > content["base"] and known["key"] != content["key"]
        if not stale:
            self._store(row, content)
        saved = self._known.get(row, {"id": 0})
        return {
            "row": row,
            "state": self._state(row),
            "opinion": self._opinion(row),
            "rating": saved["id"],
            "stale": bool(stale),
            "next": None,
            "judged": len(self._judges(row)["rater"].unique()),
        }

    def _judges(self, row: int) -> pd.DataFrame:
        """Verdicts that this rater may see: of no judge before there is a vote."""
        if self.show_judge == "never" or self._known.get(row, {}).get("verdict") not in _OTHER:
            return pd.DataFrame(columns=["rater"])
        sides = self._sides(row)
        return grid_judge.verdicts_on(self.store, self._comparisons[row].prompt_id, sides["a"], sides["b"])

    def _judge(self, content: dict[str, Any]) -> dict[str, Any]:
        row = self._row_of[content["id"]]
        verdicts = self._judges(row)
        if verdicts.empty:
            return {"judges": []}
        self._revealed.add(row)
        frame, sides = self._table.frame, self._sides(row)
        mine = (frame["prompt_id"] == self._comparisons[row].prompt_id) & frame["model"].isin(sides.values())
        return {"judges": grid_judge.shown(verdicts, sides["a"], Generations(frame[mine]), self.store)}

    def _store(self, row: int, content: dict[str, Any]) -> None:
        comparison, opinion = self._comparisons[row], content["opinion"]
        baseline_left = self._left(row) == comparison.baseline
        stored = opinion if baseline_left else _mirrored(opinion)
        empty = not (stored["verdict"] or stored["scores"] or stored["note"])
        rating = Rating(
            self.rater,
            comparison.prompt_id,
            comparison.baseline,
            comparison.other,
            "retracted" if empty else stored["verdict"] or "open",
            scores=stored["scores"],
            note=stored["note"],
            shown_first="a" if baseline_left else "b",
            seconds=content["seconds"],
            evidence={"sides": RULE, "seed": self.seed}
            | ({"after_judge": True} if row in self._revealed else {}),
            key=content["key"],
        )
        number = self.store.add(rating)
        if empty:
            self._known.pop(row, None)
        else:
            self._known[row] = {**rating.__dict__, "id": number}

    def _opinion(self, row: int) -> Opinion:
        """The current rating in the page's sides."""
        known = self._known.get(row)
        if known is None:
            return _NOTHING
        verdict = known["verdict"] if known["verdict"] in _OTHER else None
        scores = {name: score for name, score in known["scores"].items() if isinstance(score, dict)}
        opinion = {**_NOTHING, "verdict": verdict, "scores": scores, "note": known["note"]}
        return opinion if known["model_a"] == self._left(row) else _mirrored(opinion)

    def _state(self, row: int) -> str:
        return _STATES[self._opinion(row)["verdict"]] if row in self._known else "."

    def _name(self) -> str:
        """What this grid is called in the browser's storage: the same after a restart, and it names nothing."""
        parts = [str(self.store.url), self.rater, self.seed, *self._row_of]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _human(rater: str) -> str:
    if not isinstance(rater, str) or not rater.strip():
        raise ConfigError([Fault("rater", "is empty.", 'Say who rates: rater="ana".')])
    return rater if rater.startswith("human:") else f"human:{rater.strip()}"


def _mirrored(opinion: Opinion) -> Opinion:
    """The same opinion with left and right exchanged."""
    scores = {
        name: {_OTHER[side]: value for side, value in score.items()}
        for name, score in opinion["scores"].items()
    }
    return {**opinion, "verdict": _OTHER.get(opinion["verdict"]), "scores": scores}


def _label_keys() -> list[str]:
    return list(
        json.loads(resources.files("sftkit.widgets").joinpath("labels.json").read_text(encoding="utf-8"))
    )


def _in_language(dimension: Dimension, lang: str | None) -> dict[str, Any]:
    """A dimension for the page; the six are translated as long as their words are ours."""
    key = f"dimension.{dimension.name}"
    ours = dimension in DIMENSIONS
    anchors = {str(n): label(f"{key}.{n}", lang) if ours else text for n, text in dimension.anchors.items()}
    return {
        "name": dimension.name,
        "label": label(key, lang) if ours else dimension.label,
        "anchors": anchors,
    }
