"""The dimensions that a judge scores: which, in which order, and new ones with their anchors.

A dimension that is unticked stays in the list, so that it can be ticked again. The six keep their words; a new one can be
changed and taken away. All text is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Any

import traitlets
from ipywidgets import HTML, Button, Checkbox, HBox, Text, VBox

from sftkit.ratings.dimensions import DIMENSIONS, Dimension
from sftkit.widgets.fold import Fold
from sftkit.widgets.grid_arguments import in_language
from sftkit.widgets.labels import label

ANCHORS = {1: "judge.dim_low", 3: "judge.dim_middle", 5: "judge.dim_high"}
FIELDS = {
    "name": "judge.dim_name",
    **{str(n): key for n, key in ANCHORS.items()},
    "example": "judge.dim_example",
}


class DimensionsForm(VBox):
    """`.value` is what is ticked, in order. `.add(dimension)` adds one, or takes the place of one of the same name."""

    value = traitlets.Tuple()

    def __init__(self, chosen: tuple[Dimension, ...], lang: str | None):
        self._lang, self._note = lang, HTML()
        self._lines = [Line(d, True, self) for d in chosen]
        names = {d.name for d in chosen}
        self._lines += [Line(d, False, self) for d in DIMENSIONS if d.name not in names]
        self._list = VBox()
        self._new = NewDimension(self)
        self._fold = Fold(self.word("judge.dim_new"), self._new)
        super().__init__([self._note, self._list, self._fold])
        self.add_class("sft-dimensions")
        self.tell()

    @property
    def input(self) -> DimensionsForm:
        """As every row of the rules has one."""
        return self

    def word(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    def words(self, dimension: Dimension) -> tuple[str, list[str]]:
        """(label, what 1, 3 and 5 mean), in this form's language."""
        told = in_language(dimension, self._lang)
        return str(told["label"]), [f"{n}: {text}" for n, text in told["anchors"].items()]

    def show(self, faults: list[str]) -> None:
        """Faults above the list."""
        self._note.value = "".join(
            f"<span class='sft-note sft-stop' role='alert'>{escape(words)}</span>" for words in faults
        )

    def tell(self) -> None:
        """After any change: the lines in their order, and the value."""
        self._list.children = tuple(self._lines)
        for place, line in enumerate(self._lines):
            line.up.disabled, line.down.disabled = place == 0, place == len(self._lines) - 1
        self.value = tuple(line.dimension for line in self._lines if line.tick.value)

    def move(self, line: Line, by: int) -> None:
        place = self._lines.index(line)
        other = max(0, min(len(self._lines) - 1, place + by))
        self._lines.insert(other, self._lines.pop(place))
        self.tell()

    def remove(self, line: Line) -> None:
        self._lines.remove(line)
        self.tell()

    def edit(self, line: Line) -> None:
        self._new.fill(line.dimension)
        self._fold.is_open = True

    def add(self, dimension: Dimension) -> None:
        names = [line.dimension.name for line in self._lines]
        place = names.index(dimension.name) if dimension.name in names else len(names)
        self._lines[place : place + 1] = [Line(dimension, True, self)]
        self._fold.is_open = False
        self.tell()


class Line(HBox):
    """One dimension: ticked or not, its buttons, what its scores mean."""

    def __init__(self, dimension: Dimension, ticked: bool, form: DimensionsForm):
        self.dimension = dimension
        name, anchors = form.words(dimension)
        self.tick = Checkbox(value=ticked, description=name, indent=False)
        self.tick.observe(lambda _change: form.tell(), "value")
        self.up = _button(form.word("judge.dim_up", name=name), "arrow-up", lambda: form.move(self, -1))
        self.down = _button(form.word("judge.dim_down", name=name), "arrow-down", lambda: form.move(self, 1))
        buttons = [self.up, self.down]
        if dimension not in DIMENSIONS:
            buttons += [
                _button(form.word("judge.dim_edit", name=name), "pencil", lambda: form.edit(self)),
                _button(form.word("judge.dim_remove", name=name), "trash", lambda: form.remove(self)),
            ]
        told = "".join(f"<span class='sft-help'>{escape(line)}</span>" for line in anchors)
        super().__init__([self.tick, HBox(buttons), HTML(told)])
        self.add_class("sft-dimension")


class NewDimension(VBox):
    """The fields of a new dimension, or of one that is changed; faults beside each when it is added."""

    def __init__(self, form: DimensionsForm):
        self._form = form
        self.fields: dict[str, Any] = {
            name: Text(description=form.word(key), continuous_update=False) for name, key in FIELDS.items()
        }  # sent when a field is left: an echo of half a word must not overtake who types on
        self.note = HTML()
        self.button = Button(description=form.word("judge.dim_add"), icon="plus")
        self.button.on_click(lambda _button: self._add())
        super().__init__([*self.fields.values(), self.button, self.note])

    def fill(self, dimension: Dimension | None) -> None:
        texts = {str(n): text for n, text in dimension.anchors.items()} if dimension else {}
        if dimension:
            texts |= {"name": dimension.label, "example": dimension.example}
        for name, field in self.fields.items():
            field.value = texts.get(name, "")
        self.note.value = ""

    def _add(self) -> None:
        texts = {name: field.value.strip() for name, field in self.fields.items()}
        word, name = self._form.word, re.sub(r"[\W_]+", "_", texts["name"]).strip("_").lower()
        faults = [word("judge.dim_empty", field=word(FIELDS[n])) for n in FIELDS if not texts[n]]
        if texts["name"] and not name.isidentifier():
            faults.append(word("judge.dim_bad", name=texts["name"]))
        if name in {d.name for d in DIMENSIONS}:
            faults.append(word("judge.dim_six", name=texts["name"]))
        self.note.value = "".join(
            f"<span class='sft-note sft-stop' role='alert'>{escape(f)}</span>" for f in faults
        )
        if not faults:
            anchors = {n: texts[str(n)] for n in ANCHORS}
            self._form.add(Dimension(name, texts["name"], anchors, texts["example"]))
            self.fill(None)


def _button(words: str, icon: str, action: Callable[[], None]) -> Button:
    made = Button(icon=icon, tooltip=words)
    made.on_click(lambda _button: action())
    return made
