"""The form's room for its settings as code, or for another program, with what that program cannot say."""

from __future__ import annotations

from html import escape

from ipywidgets import HTML, Dropdown, HBox, Text, VBox

from sftkit import command
from sftkit.config import SFTConfig
from sftkit.errors import ConfigError
from sftkit.widgets.labels import label, language

KINDS = ("python", "sftkit", "openrlhf", "trl_python", "trl", "yaml")
NEWEST = "0.11"


class ExportPanel(VBox):
    """`.kind` chooses the form of writing, `.version` that of OpenRLHF; `show(config)` writes, None: there is none yet."""

    def __init__(self, lang: str | None):
        self._lang = lang
        self._config: SFTConfig | None = None
        words = {
            "python": "form.export_python", "sftkit": "form.export_sftkit", "openrlhf": "form.export_openrlhf",
            "trl_python": "form.export_trl_python", "trl": "form.export_trl", "yaml": "form.export_yaml",
        }  # fmt: skip
        options = [(self._(words[kind]), kind) for kind in KINDS]
        self.kind = Dropdown(options=options, description=self._("form.export_as"))
        self.version = Text(value=NEWEST, description=self._("form.export_version"), continuous_update=False)
        self.code = HTML()
        self.version.add_class("sft-hidden")
        super().__init__([HBox([self.kind, self.version]), self.code])
        self.add_class("sft-export")
        for chooser in (self.kind, self.version):
            chooser.observe(lambda _change: self._write(), "value")

    def _(self, key: str, **values: object) -> str:
        return label(key, self._lang, **values)

    def show(self, config: SFTConfig | None) -> None:
        """Write these settings; None where they make no config yet."""
        self._config = config
        self._write()

    def text(self) -> command.Written:
        """What is written, and what is left out. Raises ConfigError where there is no config."""
        if self._config is None:
            raise ConfigError(self._("form.code_faults"))
        config, kind, lang = self._config, self.kind.value, self._lang or language()
        if kind == "trl_python":
            from sftkit.command.trl_python import trl_python

            return trl_python(config, lang)
        if kind in ("python", "yaml"):
            return command.Written(config.to_code() if kind == "python" else config.to_yaml())
        target = f"openrlhf=={self.version.value.strip()}" if kind == "openrlhf" else kind
        return command.write(config, target, lang)

    def _write(self) -> None:
        (self.version.remove_class if self.kind.value == "openrlhf" else self.version.add_class)("sft-hidden")
        if self._config is None:
            self.code.value = f"<span class='sft-help'>{escape(self._('form.code_faults'))}</span>"
            return
        written = self.text()
        left = "".join(f"<li>{escape(str(each))}</li>" for each in written.left_out)
        told = f"<div class='sft-note sft-warn'>{escape(self._('form.left_out'))}<ul>{left}</ul></div>" if left else ""  # fmt: skip
        self.code.value = (
            f"{told}<div class='sft-copied-from'><button type='button' class='sft-copy jupyter-button' "
            f"data-done='{escape(self._('form.copied'))}'>{escape(self._('form.copy'))}</button>"
            f"<pre class='sft-code' tabindex='0'>{escape(written.text)}</pre></div>"
        )
