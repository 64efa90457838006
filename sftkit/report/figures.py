"""Win rates as a picture: plotly for the notebook, matplotlib for a PNG. Returns plain figures, no widgets.

Both draw the same two panels: every rater over all prompts, and the best supported one task by task.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sftkit.report import words

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLOURS = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
]  # Okabe and Ito: told apart by all eyes
ROW = 30  # pixels a bar


@dataclass(frozen=True)
class Bar:
    """One bar: label, share of wins and interval in per cent, votes, who says so."""

    label: str
    value: float
    low: float
    high: float
    n: int
    rater: str


def panels(report: Any) -> list[tuple[str, list[Bar]]]:
    """[(title, bars)]: every rater over all prompts, then the best supported rater task by task."""
    if report.leader is None:
        return [("No scored votes yet", [])]
    several = report.win_rates["model"].nunique() > 1
    models = ", ".join(dict.fromkeys(report.win_rates["model"]))
    overall = _bars(report.win_rates, "rater", several)
    mine = report.by_task[report.by_task["rater"] == report.leader.rater]
    tasks = _bars(mine, "task", several)
    parts = [(_short(f"Win rate in per cent, {models} against {report.baseline}", 90), overall)]
    return parts + [(_short(f"By task, says {report.leader.rater}", 90), tasks)] * bool(tasks)


def _bars(table: pd.DataFrame, label: str, several: bool) -> list[Bar]:
    return [
        Bar(
            _short(f"{getattr(r, label)}, {r.model}" if several else str(getattr(r, label))),
            *(100 * share for share in (r.win_rate, r.low, r.high)),
            r.n,
            r.rater,
        )
        for r in table[table["n"] > 0].itertuples()
    ]


def _short(text: str, width: int = 48) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _colour_of(report: Any) -> dict[str, str]:
    return {
        rater: COLOURS[i % len(COLOURS)] for i, rater in enumerate(dict.fromkeys(report.win_rates["rater"]))
    }


def win_rate_figure(report: Any) -> go.Figure:
    """Horizontal bars with 95 % intervals and the line of no difference; every bar names n and its rater on hover."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    parts = panels(report)
    heights = [len(bars) + 1 for _, bars in parts]
    figure = make_subplots(
        rows=len(parts),
        cols=1,
        row_heights=heights,
        vertical_spacing=min(0.9 / len(parts), 2.2 / sum(heights)),
        subplot_titles=[html.escape(title) for title, _ in parts],
        shared_xaxes=False,
    )
    colours = _colour_of(report)
    for place, (_, bars) in enumerate(parts, 1):
        figure.add_trace(_trace(go, bars, colours), row=place, col=1)
    figure.update_xaxes(range=[0, 100], zeroline=False, ticksuffix=" %", fixedrange=True, gridcolor="#8884")
    figure.update_yaxes(autorange="reversed", automargin=True, fixedrange=True)
    figure.add_vline(x=50, line={"dash": "dot", "width": 1, "color": "#888"})
    figure.update_layout(
        height=110 + ROW * sum(heights),
        margin={"l": 10, "r": 20, "t": 40, "b": 30},
        showlegend=False,
        bargap=0.35,
        font_color="#777",  # to be read on white and on black
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _trace(go: Any, bars: list[Bar], colours: dict[str, str]) -> Any:
    return go.Bar(
        orientation="h",
        y=[html.escape(bar.label) for bar in bars],
        x=[bar.value for bar in bars],
        error_x={
            "type": "data",
            "array": [bar.high - bar.value for bar in bars],
            "arrayminus": [bar.value - bar.low for bar in bars],
            "color": "#777",
            "thickness": 1.5,
        },
        marker_color=[colours[bar.rater] for bar in bars],
        customdata=[
            [html.escape(words.describe(bar.rater)), bar.n, f"{bar.low:.0f} to {bar.high:.0f}"]
            for bar in bars
        ],
        hovertemplate="%{y}: %{x:.1f} %<br>95 % interval %{customdata[2]}<br>n = %{customdata[1]}<br>"
        "says %{customdata[0]}<extra></extra>",
    )


def win_rate_png(report: Any, path: Path) -> Path:
    """The picture as a PNG; no browser, no display needed."""
    from matplotlib.figure import Figure

    parts = panels(report)
    heights = [len(bars) + 1 for _, bars in parts]
    figure = Figure(figsize=(8, 0.8 + 0.36 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    colours = _colour_of(report)
    for axis, (title, bars) in zip(axes, parts, strict=True):
        labels = [
            bar.label.replace("$", r"\$") for bar in bars
        ]  # a pair of dollars is mathematics to matplotlib
        values = [bar.value for bar in bars]
        spread = [[b.value - b.low for b in bars], [b.high - b.value for b in bars]]
        place = range(len(bars))
        axis.barh(place, values, color=[colours[b.rater] for b in bars], height=0.6)
        axis.errorbar(values, place, xerr=spread, fmt="none", ecolor="#444", elinewidth=1.2, capsize=3)
        axis.set_yticks(place, labels)
        axis.set_ylim(len(bars) - 0.4, -0.6)
        axis.set_xlim(0, 100)
        axis.axvline(50, color="#888", linestyle=":", linewidth=1)
        axis.set_title(title.replace("$", r"\$"), loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return path
