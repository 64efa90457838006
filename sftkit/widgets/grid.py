"""The comparison grid, kernel half: prompts as rows, two to six blinded answers across, every vote straight to the store.

sk.ComparisonGrid(answers, store=store, rater="ana")
sk.ComparisonGrid(store=store, rater="ana", project="pilot")       # beside others, without double work

The browser half is widgets/src/grid.ts; the messages between them are written down in widgets/src/protocol.ts. The page
knows the answers by their places, "a" on the left. Which model stands where stays in this process until `reveal`: no
trait and no message carries a model's name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

import pandas as pd
import traitlets
from IPython.display import display

from sftkit.errors import ConfigError, Fault, FilterError, SftkitError
from sftkit.generation.table import Generations
from sftkit.ratings import DIMENSIONS, Dimension, RatingStore
from sftkit.ratings.blind import comparisons
from sftkit.ratings.projects import Project
from sftkit.widgets import grid_judge, grid_picture
from sftkit.widgets.background import in_background
from sftkit.widgets.grid_arguments import across_of, check, human, in_language
from sftkit.widgets.grid_filter import GridFilter, columns, disagreements, verdicts
from sftkit.widgets.grid_line import Line
from sftkit.widgets.grid_rows import Rows
from sftkit.widgets.grid_steps import earlier, steps
from sftkit.widgets.grid_votes import NOTHING, Said, evidence_of, is_empty, ratings_of, read, state_of
from sftkit.widgets.labels import label, language, table
from sftkit.widgets.packed import STATIC, PackedWidget, bundle

FRESH = 1.0  # seconds for which the store need not be read again: a page asks at once when a cell has made its grid
KINDS = "hello rows row next hold vote judge history part filter progress reveal".split()

Message = dict[str, Any]


class ComparisonGrid(PackedWidget):
    """Rate answers side by side, blind, by mouse or keys (`?` shows them).

    answers: the Generations to compare; store: where votes go, and what was voted before comes from; rater: the
    person's name, stored as "human:<name>". models: which to compare and in which order (default: all of `answers`).
    across: how many stand side by side, the first of `models` always among them; default: all of 2 to 6 models, which
    are then ranked; else 2, each against the first. project: the name of a project of the store (`store.project`), from
    which everything else then comes; what to rate next is leased, so that raters do no double work.
    seed: of the rule that decides which model stands where. lang: "en", "zh" or None for the language of
    `sk.set_language`. dimensions: what is scored from 1 to 5. show_judge: "after_vote" lets the rater look at what
    judges said of a comparison once it has a vote (a vote that is changed after that says so in its evidence,
    "after_judge"); "never" keeps it back. strategy: what comes next: "unrated" (top to bottom), "overlap", "value" or
    "random", see sftkit/ratings/queue.py. repeats, checks: shares of comparisons that come again with sides reversed, and
    that have an answer made worse, to measure the rater. filter: which rows to show, see `filter`.

    Raises ConfigError for an argument that cannot be, StoreError when the store cannot be written.

        grid = sk.ComparisonGrid(answers, store=store, rater="ana")
        grid                        # the last line of a cell shows it; then grid.progress, grid.ratings
    """

    _labels = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        answers: Generations | None = None,
        *,
        store: RatingStore,
        rater: str,
        models: Sequence[str] | None = None,
        across: int | None = None,
        project: str | Project | None = None,
        seed: int = 0,
        lang: str | None = None,
        dimensions: Sequence[Dimension] = DIMENSIONS,
        show_judge: str = "after_vote",
        strategy: str = "unrated",
        repeats: float = 0.0,
        checks: float = 0.0,
        filter: str = "",
    ):
        check(answers, project, show_judge, strategy)
        self.store, self.rater, self.show_judge, self._lang = store, human(rater), show_judge, lang
        self.project = store.project(project) if isinstance(project, str) else project
        if self.project is not None:
            p = self.project
            answers, models, across, seed, dimensions = p.answers(), p.models, p.across, p.seed, p.dimensions
            strategy, repeats, checks = p.strategy, p.repeats, p.checks
        across = across if across is not None else across_of(models if models is not None else answers.models)
        found = comparisons(answers, self.rater, models, seed, across, repeats, checks)
        self.seed, self._rows = seed, Rows(answers, found)
        self._line = Line(found, store, self.rater, strategy, seed, self.project)
        self._dimensions = [in_language(dimension, lang) for dimension in dimensions]
        self._after_judge: set[int] = set()  # rows whose judge was looked at
        self._revealed = False
        self._twice = {c.prompt_id for c in found if c.repeat}
        self._known: dict[int, Said] = {}
        if self.project is None:
            store.register(answers)
        self._read_store()
        self._filter = GridFilter(self._filtered)
        self._filter.set(filter)
        labels = {key: label(key, lang) for key in table() if key.startswith("grid.")}
        super().__init__(_packed=bundle("grid"), _labels=labels)
        self._picture = grid_picture.Picture(
            lambda: grid_picture.html(self, self._name(), lang), lambda: repr(self), self.send
        )
        self.on_msg(self._receive)

    # for the person who types

    @property
    def ratings(self) -> pd.DataFrame:
        """This rater's current ratings of these comparisons, in the columns of `store.frame()`; a ranking has one row a pair."""
        frame = self._own()
        here = {(c.prompt_id, name) for c in self._rows.comparisons for name in c.models}
        rows = zip(frame["prompt_id"], frame["model_a"], frame["model_b"])
        kept = [(p, a) in here and (p, b) in here for p, a, b in rows]
        return frame[frame["current"] & pd.Series(kept, index=frame.index, dtype=bool)].reset_index(drop=True)

    @property
    def selected(self) -> pd.DataFrame:
        """The rows that pass the filter: row, prompt_id, task, prompt, reference, the answers, and what this rater said.

        Answers are in columns "A", "B", … by their place, which differs from row to row, until `reveal`; then in one
        column a model. rated: whether there is a vote. verdict: text, never missing: a place ("a" is the leftmost),
        "tie", "both_bad", "skipped", "ranked", or "" where nothing is decided. ranking: {place: 1 is best}, scores:
        {dimension: {place: 1 to 5}}, tags: a list, each empty where nothing was said; note and reason (of a skip): text.
        """
        frame, kept = self._table(), self._filter.rows
        frame = frame if kept is None else frame[frame["row"].isin(kept)]
        frame = frame.assign(verdict=verdicts(frame), reason=frame["reason"].fillna("").astype(str))
        frame = frame.rename(columns={"votes": "rated"}).drop(columns=["text", "models"])
        return frame.reset_index(drop=True)

    @property
    def filter(self) -> str:
        """Which rows are shown, as an expression: "task == 'math' and unrated and 'python' in text"; "" shows all.

        Set it to change it; ConfigError says what is wrong with it, and where.
        """
        return self._filter.text

    @filter.setter
    def filter(self, text: str) -> None:
        self._filter.set(text)
        self.send({"filter": self._filter.told()})

    @property
    def progress(self) -> tuple[int, int]:
        """(comparisons with a vote, comparisons)."""
        known = list(self._known.values())  # a copy: votes arrive in another thread while a cell runs
        return sum(said.is_vote for said in known), len(self._rows)

    def reveal(self) -> None:
        """Show the models' names from now on. Votes that come after it say so in their evidence, "names_known"."""
        self._revealed = True
        self._picture.changed()
        self.send({"revealed": True})

    def __repr__(self) -> str:
        done, total = self.progress
        return f"ComparisonGrid({done} of {total} rated by {self.rater})"

    def _ipython_display_(self) -> None:
        bundle, about = self._repr_mimebundle_()
        display(bundle, metadata=about, raw=True)
        self._picture.show()  # under it, for the notebook without a kernel

    # messages: one method a kind, each from the page's question to the answer

    def _receive(self, _widget: Any, content: Message, _buffers: Any) -> None:
        # an error is shown under the widget: in a callback it would be lost in the server's log
        try:
            if content["kind"] not in KINDS:
                raise KeyError(f"there is no message {content['kind']!r}")
            reply: Message | None = getattr(self, f"_on_{content['kind']}")(content)
        except Exception as error:
            reply = _error(error)
        if reply is not None:
            self.send({"ask": content.get("ask"), **reply})

    def _on_hello(self, _content: Message) -> Message:
        if time.monotonic() - self._read_at > FRESH:
            self._read_store()
        self._line.arrange()
        self._picture.opened()
        plain = self._line.order == list(range(len(self._rows)))
        return {
            "grid": self._name(),
            "columns": self._rows.columns,
            "states": self._states(),
            "order": None if plain else self._line.order,
            "dimensions": self._dimensions,
            "tags": sorted({tag for said in self._known.values() for tag in said.opinion["tags"]}),
            "filterable": self._filterable(),
            "filter": self._filter.told(),
            "project": self.project and {"name": self.project.name, "overlap": self.project.overlap},
            "judges": self.show_judge != "never",
            "instructions": self.project.instructions if self.project else "",
            "steps": self._steps,
            "revealed": self._revealed,
        }

    def _on_rows(self, content: Message) -> Message:
        rows = content.get("rows") or range(*slice(content["from"], content["to"]).indices(len(self._rows)))
        flags = {row for row in rows if row in self._known and self._known[row].opinion["flag"]}
        return {"rows": [self._rows.preview(row, self._shown(row), row in flags) for row in rows]}

    def _on_row(self, content: Message) -> Message:
        row = content["row"]
        if not 0 <= row < len(self._rows):
            raise IndexError(f"there is no row {row}")
        said = self._known.get(row)
        return {
            **self._rows.whole(row, self._shown(row), self._revealed),
            "opinion": said.opinion if said else NOTHING,
            "rating": said.id if said else 0,
            "judged": self._judges_of(row),
            "closed": None,
        }

    def _on_next(self, content: Message) -> Message:
        return {"row": self._line.next(content["row"], self._known, self._filter.rows)}

    def _on_hold(self, content: Message) -> Message:
        held = self._line.hold(content["row"], self._known)
        return {"closed": None if held else label("grid.closed_why", self._lang)}

    def _on_vote(self, content: Message) -> Message:
        row = self._rows.of_id[content["id"]]
        known = self._known.get(row)
        # kept in a browser since before a restart, and overtaken by a vote from elsewhere: the newer one stays
        stale = bool(
            content["restored"] and known and known.id > content["base"] and known.key != content["key"]
        )
        if not stale:
            self._store(row, content)
        said = self._known.get(row)
        wanted = content.get("next") and self.project is not None  # elsewhere the page finds it by itself
        return {
            "row": row,
            "state": state_of(said),
            "opinion": said.opinion if said else NOTHING,
            "rating": said.id if said else 0,
            "stale": stale,
            "judged": self._judges_of(row),
            "next": self._line.next(row, self._known, self._filter.rows) if wanted else None,
        }

    def _on_part(self, content: Message) -> Message:
        """A piece of the page that few answers need: what colours code, what sets math."""
        name = {"code": "grid_code.js", "math": "grid_math.js"}[content["name"]]
        return {"source": (STATIC / name).read_text(encoding="utf-8")}

    def _on_judge(self, content: Message) -> Message:
        row = self._rows.of_id[content["id"]]
        prompt_id, shown = self._rows.comparisons[row].prompt_id, self._shown(row)
        if not self._judges_of(row):
            return {"judges": []}
        self._after_judge.add(row)
        frame = self._rows.answers.frame
        mine = Generations(frame[(frame["prompt_id"] == prompt_id) & frame["model"].isin(shown)])
        verdicts = grid_judge.verdicts_on(self.store, prompt_id, shown)
        return {"judges": grid_judge.shown(verdicts, shown, mine, self.store)}

    def _on_history(self, content: Message) -> Message:
        """What was said of a row before: by this rater, and by the others once the names are shown."""
        row = self._rows.of_id[content["id"]]
        comparison = self._rows.comparisons[row]
        frame = self.store.frame(prompt_id=comparison.prompt_id)
        if self.project is not None:
            frame = frame[frame["project"] == self.project.name]
        raters = [r for r in frame["rater"].unique() if r.startswith("human:")] if self._revealed else []
        names = {"": self.rater, **{r.removeprefix("human:"): r for r in raters if r != self.rater}}
        frames = {name: frame[frame["rater"] == rater] for name, rater in names.items()}
        return {"earlier": earlier(frames, comparison, self._shown(row))}

    def _on_filter(self, content: Message) -> Message:
        try:
            self._filter.set(content["text"])
        except FilterError as error:
            said = "\n".join(fault.said_in(self._lang or language()) for fault in error.faults)
            return {**self._filter.told(), "text": content["text"], "fault": said}
        return self._filter.told()

    def _on_progress(self, content: Message) -> None:
        """How far all raters are, looked up beside the kernel's main thread."""
        answer = {"ask": content.get("ask")}
        in_background(
            lambda: {"all": self._line.progress(), "states": self._states()},
            lambda found: self.send({**answer, **found}),
            lambda error: self.send({**answer, **_error(error)}),
        )

    def _on_reveal(self, _content: Message) -> Message:
        if "." in (states := self._states()) or "o" in states:
            raise ConfigError([Fault("reveal", label("grid.reveal_later", self._lang))])
        self.reveal()
        return {}

    # what the messages are made of

    def _read_store(self) -> None:
        """What this rater said before, from the store."""
        own = self._own()
        self._known, self._steps = read(own, self._rows.comparisons), steps(own, self._rows.comparisons)
        self._read_at = time.monotonic()

    def _own(self) -> pd.DataFrame:
        frame = self.store.frame(self.rater)
        return frame if self.project is None else frame[frame["project"] == self.project.name]

    def _shown(self, row: int) -> tuple[str, ...]:
        """The models from left to right: as when the row was rated, else by the rule."""
        said = self._known.get(row)
        return said.shown if said else self._rows.comparisons[row].shown

    def _states(self) -> str:
        known = dict(self._known)
        closed = self._line.closed(known)
        return "".join("x" if row in closed else state_of(known.get(row)) for row in range(len(self._rows)))

    def _judges_of(self, row: int) -> int:
        """Judges whose verdict this rater may see: of none before there is a vote."""
        said = self._known.get(row)
        if self.show_judge == "never" or said is None or not said.is_vote:
            return 0
        return grid_judge.count(self.store, self._rows.comparisons[row].prompt_id, said.shown)

    def _store(self, row: int, content: Message) -> None:
        comparison, shown, opinion = self._rows.comparisons[row], self._shown(row), content["opinion"]
        evidence = evidence_of(
            comparison, self.seed, after_judge=row in self._after_judge, names_known=self._names_known,
            step=content["step"] if content.get("step") in ("undo", "redo") else "",
        )  # fmt: skip
        if self._line.design:
            evidence["queue"] = self._line.design
        rows = ratings_of(
            opinion,
            comparison,
            shown,
            # a retraction ends all that the rater said of these models, the same comparison the other way round included
            empty="open" if comparison.prompt_id in self._twice else "retracted",
            rater=self.rater,
            prompt_id=comparison.prompt_id,
            seconds=content["seconds"],
            key=content["key"],
            evidence=evidence,
            project=self.project and self.project.name,
            probability=self._line.probability.get(comparison.id),
        )
        numbers = self.store.add_many(rows)
        self._read_at = -FRESH  # a page that opens now gets this one's steps too
        if is_empty(opinion):
            self._known.pop(row, None)
        else:
            self._known[row] = Said({**NOTHING, **opinion}, shown, max(numbers), content["key"], evidence)
        self._picture.changed()

    @property
    def _names_known(self) -> bool:
        """Whether the names were shown to this rater, now or before a restart."""
        return self._revealed or any(said.evidence.get("names_known") for said in self._known.values())

    def _table(self) -> pd.DataFrame:
        shown = [self._shown(row) for row in range(len(self._rows))]
        return self._rows.table(shown, self._known, self._revealed)

    def _filtered(self, disagreement: bool) -> pd.DataFrame:
        """What a filter looks at."""
        pairs = [(c.prompt_id, c.models) for c in self._rows.comparisons]
        odd = disagreements(self.store, self.rater, pairs) if disagreement else None
        return columns(self._table(), odd)

    def _filterable(self) -> dict[str, list[str]]:
        values = {"task": self._rows.tasks}
        if self._revealed:
            values["model"] = list(dict.fromkeys(name for c in self._rows.comparisons for name in c.models))
        return values

    def _name(self) -> str:
        """What this grid is called in the browser's storage: the same after a restart, and it names nothing."""
        parts = [
            str(self.store.url),
            self.rater,
            self.seed,
            self.project and self.project.name,
            *self._rows.of_id,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _error(error: Exception) -> Message:
    return {"error": str(error) if isinstance(error, SftkitError) else f"{type(error).__name__}: {error}"}
