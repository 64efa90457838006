"""The rarer settings of the form, in groups that are closed at first; their rows are built when a group is opened."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ipywidgets import VBox

from sftkit.config import GROUPS
from sftkit.widgets.fold import Fold
from sftkit.widgets.labels import label
from sftkit.widgets.setting import settings
from sftkit.widgets.setting_rows import Rows
from sftkit.widgets.shared import Shared

if TYPE_CHECKING:
    from sftkit.runs import Finding


class SettingGroups:
    """`.names[group]` are a group's settings, `.folds[group]` is what stands on the page for it."""

    def __init__(self, rows: Rows, shared: Shared, lang: str | None):
        self._rows, self._lang = rows, lang
        rarer = [setting for setting in settings().values() if not setting.common]
        names = {group: [setting.name for setting in rarer if setting.group == group] for group in GROUPS}
        self.names = {group: inside for group, inside in names.items() if inside}
        self.folds = {
            group: Fold(label(f"group.{group}", lang), self._rows_of(group), shared=shared)
            for group in self.names
        }

    def _rows_of(self, group: str) -> Callable[[], VBox]:
        return lambda: VBox([self._rows[name] for name in self.names[group]])

    def count(self, findings: list[Finding]) -> None:
        """Each group's name with the number of its settings that need a look, since it may be closed."""
        for group, names in self.names.items():
            title = label(f"group.{group}", self._lang)
            levels = [finding.level for finding in findings if finding.field in names]
            for level, words in (("stop", "form.to_mend"), ("warn", "form.to_note")):
                if count := levels.count(level):
                    title += " · " + label(words, self._lang, n=count)
            self.folds[group].title = title
