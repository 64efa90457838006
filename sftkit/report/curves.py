"""The loss curves of one run or several as pictures: a plotly figure, one offline HTML file, a PNG by matplotlib.

    loss_figure(run)                    # a plain plotly figure, no widget
    loss_png([run, other], "curve.png")
    loss_html(run, "curve.html")

What is drawn of a run is in lines.py. In the figure it is three traces, in this order: the logged loss (thin), the
smoothed one, the eval points. Colours and greys are to be read on white and on black, and the background is whatever
the picture is put on.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sftkit.pictures import chinese_fonts, fonts
from sftkit.report.lines import SMOOTHING, XY, RunLines, View, points_each

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Ten colours of middle lightness, told apart by most eyes; the next ten runs have them again, dashed.
COLOURS = [
    "#2b7fc3", "#e08a00", "#0f9d72", "#c85fa0", "#8a63d2", "#d5502a", "#3fa7d6", "#8f7d1f", "#c2455f", "#6b8794",
]  # fmt: skip
GREY = "#808080"  # of words and axes
LINES = {"loss": {"width": 1}, "smooth": {"width": 2.5}, "eval": {"width": 1, "dash": "dot"}}
PARTS = tuple(LINES)  # the traces of a run
AXIS_WORDS = {"step": "step", "tokens": "tokens", "seconds": "time"}  # the word of each x axis
WORDS = {
    "loss": "loss",
    "smooth": "smoothed",
    "eval": "eval loss",
    "saved": "checkpoint",
    "step": "step",
    "tokens": "tokens",
    "time": "seconds",
    "epoch": "epoch",
    "rate": "learning rate",
    "none": "No loss logged yet",
}
# Without this plotly shows a button that uploads the chart to its maker.
CONFIG = {"showSendToCloud": False, "plotlyServerURL": "", "displaylogo": False, "responsive": True}
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>{title}</title>
<style>body {{ margin: 1rem; font: 14px system-ui, sans-serif }} .curve {{ height: calc(100vh - 2rem) }}</style></head>
<body><div class="curve">{figure}</div></body></html>
"""


def as_list(runs: Any) -> list[Any]:
    """One run or several, as a list."""
    return list(runs) if isinstance(runs, Iterable) else [runs]


def loss_figure(runs: Any, smoothing: float = SMOOTHING, words: dict[str, str] = WORDS) -> go.Figure:
    """A plotly figure of the loss by step, one colour a run. runs: a Run or several; smoothing: 0 to below 1; words: the
    names of lines and axes, as WORDS.

    It has no background of its own, and its text is grey: it reads in light and dark.
    """
    import plotly.graph_objects as go

    curves = curves_of(runs, View(smoothing=smoothing))
    figure = go.Figure(layout=_layout(len(curves), words))
    for number, (lines, drawn) in enumerate(curves):
        for part in PARTS:
            figure.add_trace(_trace(go, lines, drawn, part, number, len(curves) == 1, words))
    if not any(len(drawn["loss"][0]) for _, drawn in curves):
        figure.add_annotation(text=words["none"], showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def curves_of(runs: Any, view: View) -> list[tuple[RunLines, dict[str, XY]]]:
    """Each run's lines, read to the end, and the points of them to draw."""
    from dataclasses import replace

    many = [RunLines(run) for run in as_list(runs)]
    for lines in many:
        lines.read()
    view = replace(view, points=points_each(len(many)))
    return [(lines, lines.drawn(view)) for lines in many]


def _trace(
    go: Any, lines: RunLines, drawn: dict[str, XY], part: str, number: int, alone: bool, words: dict[str, str]
) -> Any:
    """One of the PARTS of the run with this number. Alone, its parts are named; among others, the runs are."""
    name = html.escape(lines.name)
    full = words[part] if alone else f"{words[part]} · {name}"
    colour = COLOURS[(number + (alone and part == "eval")) % len(COLOURS)]
    dash = {"dash": "dash"} if part == "smooth" and number >= len(COLOURS) else {}
    more = "  ({epoch} %{{customdata[0]:.2f}}, {rate} %{{customdata[1]:.2e}})".format_map(words)
    x, y = drawn[part]
    return go.Scatter(
        x=x,
        y=y,
        customdata=_more(lines, x) if part == "loss" else None,
        name=name if part == "smooth" and not alone else full,
        showlegend=alone or part == "smooth",
        legendgroup=None if alone else lines.name,
        hovertemplate=f"%{{y:.4f}}{more if part == 'loss' else ''}<extra>{full}</extra>",
        mode="lines+markers" if part == "eval" else "lines",
        line={"color": colour, **LINES[part], **dash},
        marker={"color": colour, "size": 9, "symbol": "diamond"},
        opacity=0.65 if part == "loss" else 1,
    )


def _more(lines: RunLines, steps: np.ndarray) -> np.ndarray:
    """Epoch and learning rate at these logged steps, (steps, 2)."""
    table = lines.points.steps
    rows = np.searchsorted(table.column("step"), steps)
    return np.column_stack([table.column("epoch")[rows], table.column("learning_rate")[rows]])


def _layout(runs: int, words: dict[str, str]) -> dict[str, Any]:
    axis = {
        "gridcolor": "rgba(128,128,128,0.25)",
        "zeroline": False,
        "linecolor": "#888",
        "ticks": "outside",
        "tickcolor": "#888",
    }
    spike = {"showspikes": False}  # its white rim glares on a dark page
    above = {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "font": {"size": 12}}
    return {
        "template": "none",
        "height": 380,
        "margin": {"l": 60, "r": 15, "t": 30 + 12 * (runs > 2), "b": 45},
        "xaxis": {**axis, "title": words["step"], "rangemode": "tozero", **spike},
        "yaxis": {**axis, "title": words["loss"], "rangemode": "tozero"},
        "font": {"color": "#808080"},  # to be read on white and on black
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": above,
        "showlegend": True,
        "hovermode": "x unified",
        "modebar": {
            "remove": ["select2d", "lasso2d"],
            "bgcolor": "rgba(0,0,0,0)",
            "color": "#888",
            "activecolor": COLOURS[0],
        },
        "hoverlabel": {
            "bgcolor": "rgba(40,40,40,0.92)",
            "font": {"color": "#fff", "size": 12},
            "namelength": -1,
        },
    }


def loss_html(runs: Any, path: str | Path, smoothing: float = SMOOTHING) -> Path:
    """The figure as one file of about 5 MB that opens offline, plotly's JavaScript inside. Returns the path."""
    path, runs = Path(path), as_list(runs)
    figure = loss_figure(runs, smoothing).update_layout(height=None)
    inside = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        include_mathjax=False,
        default_height="100%",
        config=CONFIG,
    )
    title = html.escape("Loss of " + ", ".join(str(run.id) for run in runs))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.format(title=title, figure=inside), encoding="utf-8")
    return path


def loss_png(runs: Any, path: str | Path, smoothing: float = SMOOTHING) -> Path:
    """The curve as a PNG, drawn by matplotlib: no browser, no display needed. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_bytes(runs, smoothing))
    return path


def png_bytes(
    runs: Any,
    smoothing: float = SMOOTHING,
    dpi: int = 150,
    words: dict[str, str] = WORDS,
) -> bytes:
    """The picture of `loss_png` itself: 8 by 3.6 inches at `dpi`, on no background."""
    curves = curves_of(runs, View(smoothing=smoothing))
    return picture([lines.name for lines, _ in curves], [drawn for _, drawn in curves], dpi=dpi, words=words)


def picture(
    names: Sequence[str],
    drawn: Sequence[dict[str, XY]],
    *,
    axis: str = "step",
    log: bool = False,
    span: tuple[float | None, float | None] = (None, None),
    dpi: int = 150,
    words: dict[str, str] = WORDS,
) -> bytes:
    """A PNG of lines that are there already, a name and the parts of `RunLines.drawn` a run. span: ends of the x axis."""
    from io import BytesIO

    from matplotlib.figure import Figure

    if not chinese_fonts() and not "".join(words.values()).isascii():
        words = WORDS  # English can be read, boxes cannot
    file = BytesIO()
    with fonts():
        figure = Figure(figsize=(8, 3.6 + 0.17 * max(0, len(names) - 8)), layout="constrained")
        figure.patch.set_alpha(0)
        plot = figure.subplots()
        for number, (name, parts) in enumerate(zip(names, drawn)):
            _draw(plot, name, parts, number, len(names) == 1, words)
        _axes(plot, words[AXIS_WORDS[axis]], words["loss"], log, span)
        if any(len(parts["loss"][0]) for parts in drawn):
            aside = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if len(names) > 6 else {"loc": "upper right"}  # fmt: skip
            plot.legend(frameon=False, fontsize=9, labelcolor=GREY, **aside)
        else:
            plot.text(0.5, 0.5, words["none"], transform=plot.transAxes, ha="center", color=GREY)
        figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def _axes(plot: Any, x: str, y: str, log: bool, span: tuple[float | None, float | None]) -> None:
    plot.patch.set_alpha(0)
    plot.set_xlabel(x, color=GREY)
    plot.set_ylabel(y, color=GREY)
    plot.set_xlim(*span)
    plot.locator_params(axis="x", integer=True)  # steps are whole
    if log:
        plot.set_yscale("log")
        for axis_part in ("major", "minor"):
            getattr(plot.yaxis, f"set_{axis_part}_formatter")(_plain_logs())
    plot.grid(color=GREY, alpha=0.25, linewidth=0.6)
    plot.tick_params(which="both", colors=GREY)
    plot.spines[["top", "right"]].set_visible(False)
    plot.spines[["left", "bottom"]].set_color(GREY)


def _plain_logs() -> Any:
    """Ticks of a logarithmic axis as people write numbers: 2 and 0.04, not 2 × 10⁰ and 4e-02."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    return Plain(minor_thresholds=(2, 0.5))


def _draw(
    plot: Any, name: str, parts: dict[str, XY], number: int, alone: bool, words: dict[str, str]
) -> None:
    name = name.replace("$", r"\$")  # a pair of dollars is mathematics to matplotlib
    colour, dash = COLOURS[number % len(COLOURS)], "--" if number >= len(COLOURS) else "-"
    plot.plot(*parts["loss"], color=colour, linewidth=0.8, alpha=0.4, label=words["loss"] if alone else None)
    plot.plot(*parts["smooth"], dash, color=colour, linewidth=1.8, label=words["smooth"] if alone else name)
    for place, part in enumerate(part for part in parts if part.startswith("eval") and len(parts[part][0])):
        other = COLOURS[(1 + place) % len(COLOURS)] if alone else colour
        label = " · ".join([words["eval"], *part.split("/", 1)[1:]]).replace("$", r"\$") if alone else None
        plot.plot(*parts[part], "D:", color=other, markersize=4, linewidth=1, label=label)
    if len(parts["saved"][0]):
        hollow = {
            "markerfacecolor": "none",
            "markeredgecolor": colour,
            "label": words["saved"] if alone else None,
        }
        plot.plot(*parts["saved"], "s", markersize=7, linewidth=0, **hollow)
