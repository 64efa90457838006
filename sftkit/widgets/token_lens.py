"""TokenLens, kernel half: rows as the trainer sees them, the steps that train them, and the rows that fare worst.

    sk.TokenLens(config)         # or a run; last line of a cell
    print(lens)                  # the row in view, where there are no widgets
    lens.go(17); lens.search("Paris")

The browser half is widgets/src/lens.ts; the messages between them are in widgets/src/lens_protocol.ts. The page asks,
the kernel answers; nothing takes longer than SLICE, and what would comes in pieces that the page asks for one by one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from sftkit.config import SFTConfig
from sftkit.data import Example, encoder
from sftkit.data.browsing import Drawn, at_home
from sftkit.data.plan import Plan
from sftkit.errors import ConfigError, DataError, Fault, SftkitError
from sftkit.runs import facts
from sftkit.widgets import worst_rows
from sftkit.widgets.background import in_background
from sftkit.widgets.labels import label, table
from sftkit.widgets.token_view import RowView, row_view

SLICE = 0.15  # seconds that one answer may take the kernel
BLOCK = 256  # rows read between two looks at the clock
HITS = 200  # rows that a search lists
AROUND = 40  # characters shown before and after what was searched for
SPLITS = ("train", "eval")
_STATIC = Path(__file__).parent / "static"


class TokenLens(anywidget.AnyWidget):
    """A row as the trainer sees it: every token, trained, masked or cut; its neighbours in the step; the worst rows.

    source: an SFTConfig, or a Run, whose settings and folder then rule and whose losses are known. split: "train" or
    "eval". row: which row of the data is in view first (1 = the first of the first source). lang: "en", "zh" or None
    for the language of `sk.set_language`.

    Rows are read and encoded when they are looked at, never all of them. Raises `DataError` when the data or the
    tokenizer cannot be read, `ConfigError` for an unknown split.
    """

    _esm = _STATIC / "lens.js"
    _css = _STATIC / "lens.css"
    _labels = traitlets.Dict().tag(sync=True)

    def __init__(self, source: Any, *, split: str = "train", row: int | None = None, lang: str | None = None):
        self.run = None if isinstance(source, SFTConfig) else source
        config = source if self.run is None else self.run.config
        self.root = Path((self.run.record.get("cwd") if self.run is not None else None) or ".").absolute()
        self.config = at_home(config, self.root)
        self.encoder = encoder(self.config)
        self._opened: dict[str, Drawn] = {}
        self._measuring: Any = None  # a Scoring
        self.split, self.number = _known(split), 0
        self.drawn  # noqa: B018 (opened here, so that what is wrong is said here)
        if row is not None:
            self.number = self._found(row, None)
        words = {key: label(key, lang) for key in table() if key.startswith("lens.")}
        super().__init__(_labels=words)
        self.on_msg(self._receive)

    # for a person at the keyboard

    def go(self, row: int, source: str | None = None) -> TokenLens:
        """Bring a row of the data into view, counted from 1 in its source (None: the first), also where the lens is on a page
        already. Raises `DataError`."""
        self.number = self._found(row, source)
        self.send({"kind": "go", "split": self.split, "number": self.number})
        return self

    def _found(self, row: int, source: str | None) -> int:
        number = self.drawn.find(source, row)
        if number is None:
            raise DataError("is not there, or is not drawn by dataset_caps, dataset_probs and max_samples.", file=source or self.drawn.sources[0].name, row=row)  # fmt: skip
        return number

    def search(self, text: str, limit: int = HITS) -> list[tuple[str, int]]:
        """Source and row of those that hold `text`, in whatever case; at most `limit`. Looks through all rows."""
        hits = self._search(text, 0, limit, float("inf"))[0]
        return [self.drawn.place(hit["number"]) for hit in hits]

    def worst(self, by: str | None = None, limit: int = 50) -> Any:
        """The rows of the highest loss as a DataFrame: see `worst_rows.table`. Raises `RunError`."""
        return worst_rows.table(self.run, by, limit)

    @property
    def view(self) -> RowView:
        """The row in view."""
        return row_view(self.encoder, self.drawn.example(self.number))

    def __str__(self) -> str:
        view, (source, row) = self.view, self.drawn.place(self.number)
        counts = ", ".join(
            f"{count:,} {name.replace('_', ' ')}" for name, count in view.counts.items() if count
        )
        head = (
            f"row {row:,} of {source} ({self.number + 1:,} of {len(self.drawn):,} in {self.split}): {counts}"
        )
        return "\n".join([head, *view.warnings(), view.text()])

    def __repr__(self) -> str:
        source, row = self.drawn.place(self.number)
        return (
            f"TokenLens(row {row:,} of {source}, {len(self.drawn):,} rows in {self.split}; print() shows it)"
        )

    # rows and steps

    @property
    def drawn(self) -> Drawn:
        """The rows of the split in view."""
        return self._rows(self.split)

    def _rows(self, split: str) -> Drawn:
        if split not in self._opened:
            self._opened[split] = Drawn(self.config, split, self.root)
        return self._opened[split]

    @cached_property
    def plan(self) -> Plan:
        """What each step trains. Its order is known at once where the run wrote that it kept every row."""
        counts = getattr(self.run, "rows", {}).get("train", {})
        rows = self._rows("train")
        return Plan(self.config, rows, self.encoder, all_kept=counts.get("kept") == len(rows))

    # messages: one method a kind, each from the page's question to the answer

    def _receive(self, _widget: Any, content: dict[str, Any], _buffers: Any) -> None:
        ask, kind = content.get("ask"), content.get("kind")

        def failed(
            error: Exception,
        ) -> None:  # shown under the widget: here it would be lost in the server's log
            words = str(error) if isinstance(error, SftkitError) else f"{type(error).__name__}: {error}"
            self.send({"ask": ask, "error": words})

        def answer(reply: dict[str, Any]) -> None:
            self.send({"ask": ask, **reply})

        if kind in _SLOW:
            in_background(lambda: _SLOW[kind](self, content), answer, failed)
            return
        try:
            answer(_QUICK[kind](self, content))
        except Exception as error:
            failed(error)

    def _hello(self, content: dict[str, Any]) -> dict[str, Any]:
        config = self.config
        return {
            "split": self.split,
            "number": self.number,
            "rows": {
                split: len(self._rows(split)) for split in SPLITS if split == "train" or config.eval_dataset
            },
            "sources": {"train": config.sources, "eval": config.eval_sources},
            "packing": config.packing,
            "max_len": config.max_len,
            "losses": {
                **worst_rows.offered(self.run),
                "rows": min(worst_rows.MEASURED, len(self._rows("train"))),
            },
            "run": "" if self.run is None else self.run.id,
        }

    def _stale(self, content: dict[str, Any]) -> dict[str, Any]:
        """Sources that are not as the run read them: what is shown of them is not what was trained."""
        return {"stale": [] if self.run is None else facts.changed(self.run.record, self.root)}

    def _row(self, content: dict[str, Any]) -> dict[str, Any]:
        """A row; the page's last one is the one that `print` shows. A faulty row is told with its fault."""
        split, number = _known(content["split"]), int(content["number"])
        drawn = self._rows(split)
        if content.get("look"):
            self.split, self.number = split, number
        source, row = drawn.place(number)
        told = {"number": number, "source": source, "row": row}
        try:
            example = drawn.example(number)
            return {**told, "task": example.task, "view": row_view(self.encoder, example).as_dict()}
        except DataError as error:
            return {**told, "task": "", "fault": str(error)}

    def _find(self, content: dict[str, Any]) -> dict[str, Any]:
        """The number of a row by source and row."""
        return {
            "number": self._rows(_known(content["split"])).find(content.get("source"), int(content["row"]))
        }

    def _searched(self, content: dict[str, Any]) -> dict[str, Any]:
        drawn = self._rows(_known(content["split"]))
        hits, stopped = self._search(content["text"], int(content["from"]), HITS, SLICE, drawn)
        return {"hits": hits, "next": stopped, "total": len(drawn)}

    def _search(self, text: str, first: int, limit: int, seconds: float, drawn: Drawn | None = None) -> tuple[list[dict[str, Any]], int]:  # fmt: skip
        """Hits from row `first` on, until `limit` or the time is up, and the row to go on with."""
        drawn, wanted, hits = drawn or self.drawn, text.casefold(), []
        until = time.monotonic() + seconds
        while wanted and first < len(drawn) and len(hits) < limit:
            block = range(first, min(first + BLOCK, len(drawn)))
            candidates = [number for number in block if drawn.may_hold(number, wanted)]
            found = [(number, _hit(one, wanted)) for number, one in drawn.read(candidates)]
            for number, hit in found:
                if hit is not None and len(hits) < limit:
                    source, row = drawn.place(number)
                    hits.append({"number": number, "source": source, "row": row, **hit})
            first = hits[-1]["number"] + 1 if len(hits) == limit else block.stop
            if time.monotonic() > until:
                break
        return hits, first if wanted else len(drawn)

    def _step(self, content: dict[str, Any]) -> dict[str, Any]:
        """The layout of a step, of the step that trains a row, or how many rows are still to be measured."""
        plan = self.plan
        if not plan.known:
            return {"measured": plan.measured, "total": len(plan.drawn)}
        number, order = content.get("number"), plan.order
        steps = [] if number is None else plan.steps_of(int(number))
        step = steps[0] if steps else int(content.get("step") or 1)
        if number is not None and not steps:
            return {"steps": order.steps, "absent": True}
        laid = plan.layout(step)
        rows = sorted({row for hand in laid for micro in hand for rows in micro for row in rows})
        losses = worst_rows.at_step(self.run, step)
        places = {
            row: [*(place := plan.drawn.place(row)), int(plan.lengths[row]), losses.get(place)]
            for row in rows
        }
        return {"step": step, "steps": order.steps, "of": steps, "layout": laid, "rows": places, "per_epoch": order.steps_per_epoch}  # fmt: skip

    def _measure(self, content: dict[str, Any]) -> dict[str, Any]:
        return {"measured": self.plan.measure(SLICE), "total": len(self.plan.drawn)}

    def _worst(self, content: dict[str, Any]) -> dict[str, Any]:
        found = worst_rows.table(self.run, content.get("by"), int(content.get("limit") or 50))
        rows = self._rows("train")
        numbers = [rows.find(source, row) for source, row in zip(found["source"], found["row"])]
        listed = found.assign(number=numbers).astype(object).where(found.notna().assign(number=True), None)
        return {"by": found.attrs["by"], "columns": found.attrs["columns"], "of": found.attrs["of"], "rows": listed.to_dict("records")}  # fmt: skip

    def _score(self, content: dict[str, Any]) -> dict[str, Any]:
        self._measuring = worst_rows.score(self.run, len(self._rows("train")))
        return self._scoring(content)

    def _scoring(self, content: dict[str, Any]) -> dict[str, Any]:
        return {"scoring": worst_rows.progress(self._measuring)}

    def _stop(self, content: dict[str, Any]) -> dict[str, Any]:
        if self._measuring is not None and not self._measuring.done:
            self._measuring.stop()
        return self._scoring(content)


_QUICK: dict[str, Callable[[TokenLens, dict[str, Any]], dict[str, Any]]] = {
    "hello": TokenLens._hello,
    "row": TokenLens._row,
    "find": TokenLens._find,
    "search": TokenLens._searched,
    "step": TokenLens._step,
    "measure": TokenLens._measure,
    "scoring": TokenLens._scoring,
    "stop": TokenLens._stop,
}
# In a thread, since they may take seconds.
_SLOW = {"worst": TokenLens._worst, "score": TokenLens._score, "stale": TokenLens._stale}


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ConfigError([Fault("split", f"{split!r} is neither train nor eval.", "Say one of them.")])
    return split


def _hit(example: Example | DataError, wanted: str) -> dict[str, str] | None:
    """What stands around `wanted` (in lower case) in a row; None where it is not there, or the row is faulty."""
    if isinstance(example, DataError):
        return None
    text = "\n".join(turn["content"] for turn in example.messages)
    lower = text.casefold()
    at = lower.find(wanted)
    if at < 0:
        return None
    text = (
        text if len(lower) == len(text) else lower
    )  # ß becomes two letters: then the places are those of `lower`
    stop = at + len(wanted)
    return {
        "before": text[max(0, at - AROUND) : at],
        "match": text[at:stop],
        "after": text[stop : stop + AROUND],
    }
