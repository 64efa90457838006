"""The style sheet of form, monitor and curves (forms.css), and the one thing about them that only the page can do.

The colours are JupyterLab's own, so that light and dark follow its theme. And JupyterLab's shortcuts are kept out: with the
focus on a button or a checkbox, `x` would cut the cell.
"""

from __future__ import annotations

from pathlib import Path

from anywidget import AnyWidget

GUARD = """
// A view is made before it stands on the page: look for the widget around it once it does.
function render({ el, signal }) {
  const mark = (tries) => {
    const roots = [".sft-form", ".sft-monitor", ".sft-curves"].map((name) => el.closest(name)).filter(Boolean);
    for (const root of roots) root.setAttribute("data-lm-suppress-shortcuts", "true");
    if (!roots.length && tries && !signal?.aborted) setTimeout(mark, 50, tries - 1);
  };
  mark(200);
}
export default { render };
"""


class Style(AnyWidget):
    """Shows nothing; put among the children of a form, a monitor or curves."""

    _esm = GUARD
    _css = Path(__file__).with_name("forms.css").read_text(encoding="utf-8")


def style_sheet() -> Style:
    """An empty widget that carries the style sheet onto the page, and keeps JupyterLab's shortcuts out of its parent."""
    sheet = Style()
    sheet.add_class("sft-hidden")
    return sheet
