"""The form's room for a pasted command: what each of its flags is, what to watch, and one click that takes it over."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from ipywidgets import HTML, Button, HBox, Layout, Textarea, VBox

from sftkit import command
from sftkit.command import Flag, Translation
from sftkit.errors import ConfigError, Fault
from sftkit.widgets.background import Debounced
from sftkit.widgets.labels import label, language

TYPING = 0.3  # seconds without a key after which what was typed is read


class PastePanel(VBox):
    """`.text` is the input, `.found` the Translation of what stands in it (None: nothing, or no command).

    `use(settings)` enters settings and returns what is wrong with them; `undo()` takes the last entry back.
    """

    def __init__(
        self, use: Callable[[dict[str, Any]], list[Fault]], undo: Callable[[], None], lang: str | None
    ):
        self._lang, self._use, self._undo = lang, use, undo
        self.found: Translation | None = None
        self.text = Textarea(placeholder=self._("form.paste_hint"), rows=6, layout=Layout(width="auto"))
        self.use_button = Button(description=self._("form.fill"), icon="check", disabled=True)
        self.undo_button = Button(description=self._("form.undo"), icon="undo", disabled=True)
        self.use_button.on_click(lambda _button: self.use())
        self.undo_button.on_click(lambda _button: self._take_back())
        self.said, self.about = HTML(), HTML()
        self._reading = Debounced(self.read, TYPING)
        super().__init__([self.text, HBox([self.use_button, self.undo_button]), self.said, self.about])
        self.add_class("sft-paste")
        self.text.observe(lambda _change: self._reading.request(), "value")

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    def read(self) -> None:
        """Explain what is pasted."""
        self._reading.cancel()
        self.found, self.about.value, notes = None, "", []
        self.text.value = command.masked(self.text.value)  # a key has no business on the page
        if self.text.value.strip():
            try:
                self.found = command.translate(self.text.value, self._lang or language())
            except ConfigError as error:
                notes = [("stop", fault.said_in(self._lang or language())) for fault in error.faults]
        if self.found:
            self.about.value = self._table(self.found)
            notes = self._notes(self.found)
        self.use_button.disabled = not (self.found and self.found.settings)
        self.undo_button.disabled = True
        self._say(notes)

    def use(self) -> None:
        """Enter the settings; those that are faulty too, as far as their inputs can show them."""
        self.read()  # what stands there now, should the click have been faster
        if self.found is None:
            return
        faults = self._use(self.found.settings)
        self.undo_button.disabled = False
        done = ("good", self._("form.filled", n=len(self.found.settings)))
        self._say(
            [
                done,
                *(("stop", fault.said_in(self._lang or language())) for fault in faults),
                *self._notes(self.found)[1:],
            ]
        )

    def _take_back(self) -> None:
        self._undo()
        self.undo_button.disabled = True
        self._say([])

    def _notes(self, found: Translation) -> list[tuple[str, str]]:
        traps = sum(bool(flag.trap) for flag in found.flags)
        notes = [("inform", self._("form.pasted_sum", flags=len(found.flags), traps=traps))]
        notes += [("stop", fault.said_in(self._lang or language())) for fault in found.faults]
        if found.unused:
            notes.append(("warn", self._("form.pasted_unused", flags=", ".join(found.unused))))
        return notes + [("inform", note) for note in found.notes]

    def _say(self, notes: list[tuple[str, str]]) -> None:
        self.said.value = "".join(
            f"<span class='sft-note sft-{level}'>{escape(words)}</span>" for level, words in notes
        )

    def _table(self, found: Translation) -> str:
        keys = ("form.pasted_flag", "form.pasted_value", "form.pasted_setting", "form.pasted_about")
        head = "".join(f"<th scope='col'>{escape(self._(key))}</th>" for key in keys)
        rows = "".join(self._row(flag, flag.name in found.unknown) for flag in found.flags)
        return f"<div class='sft-flags' tabindex='0'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"  # fmt: skip

    def _row(self, flag: Flag, unknown: bool) -> str:
        sentence = self._(f"help.{flag.setting}") if flag.setting else flag.sentence
        setting = self._(f"field.{flag.setting}") if flag.setting else "–"
        trap = f"<span class='sft-note sft-warn'>{escape(flag.trap)}</span>" if flag.trap else ""
        kind = "stop" if unknown else "text" if flag.setting else "inform"
        cells = (f"<code class='sft-{kind}'>{escape(flag.name)}</code>", f"<code>{escape(flag.value)}</code>")
        said = f"<span class='sft-{'stop' if unknown else 'help'}'>{escape(sentence)}</span>{trap}"
        return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, escape(setting), said)) + "</tr>"
