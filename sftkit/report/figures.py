"""Win rates as a picture: plotly for the notebook, matplotlib for a PNG. Returns plain figures, no widgets.

Both draw the same two panels: every rater over all prompts, and the best supported one task by task.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sftkit.errors import ReportError
from sftkit.pictures import fonts
from sftkit.report import words
from sftkit.report.shown import SHOWN
from sftkit.report.shown_models import voices

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
    models = ", ".join(map(str, dict.fromkeys(report.win_rates["model"])))
    overall = _bars(words.by_support(report.win_rates, report.beaten).head(2 * SHOWN), "rater", several)
    leader = report.leader
    mine = report.by_task[
        (report.by_task["rater"] == leader.rater) & (report.by_task["model"] == leader.model)
    ]
    tasks = _bars(mine.head(3 * SHOWN), "task", False)
    parts = [(_short(f"Win rate in per cent, {models} against {report.baseline}", 90), overall)]
    return parts + [(_short(f"{leader.model} by task, says {leader.rater}", 90), tasks)] * bool(tasks)


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


# pictures of matplotlib, for papers and slides


def save(report: Any, path: Path, name: str, form: str, dpi: int = 200) -> Path:
    """Draw a picture into a file; no browser, no display needed. See Report.png and Report.svg."""
    if name not in DRAW:
        raise ReportError(f"no figure {name!r}; figures: {', '.join(DRAW)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with fonts(**{"font.size": 9, "svg.fonttype": "none", "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False}):  # fmt: skip
        DRAW[name](report).savefig(path, format=form, dpi=dpi, bbox_inches="tight", facecolor="white")
    return path


def _nothing(text: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1))
    figure.text(0.5, 0.5, str(text), ha="center", va="center", wrap=True)
    return figure


def _win_rates(report: Any) -> Any:
    from matplotlib.figure import Figure

    parts = panels(report)
    heights = [len(bars) + 1 for _, bars in parts]
    figure = Figure(figsize=(8, 0.8 + 0.3 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
    colours = _colour_of(report)
    for axis, (title, bars) in zip(axes, parts, strict=True):
        values = [bar.value for bar in bars]
        spread = [[b.value - b.low for b in bars], [b.high - b.value for b in bars]]
        place = range(len(bars))
        axis.barh(place, values, color=[colours[b.rater] for b in bars], height=0.6, alpha=0.85)
        axis.errorbar(values, place, xerr=spread, fmt="none", ecolor="#222", elinewidth=1.1, capsize=2.5)
        axis.set_yticks(place, [bar.label for bar in bars])
        axis.set_ylim(len(bars) - 0.4, -0.6)
        axis.set_xlim(0, 100)
        axis.axvline(50, color="#666", linestyle=":", linewidth=1)
        axis.set_title(title, loc="left", fontsize=10)
        for y, bar in zip(place, bars):
            axis.text(101, y, f"n = {bar.n}", va="center", fontsize=7, color="#555")
    return figure


def _pairs(report: Any) -> Any:
    table = report.pairs
    if table.empty:
        return _nothing(words.NOTHING)
    voice = next(iter(voices(table)))
    rows = table[table["rater"] == voice]
    order = report.strengths[report.strengths["rater"] == voice]["model"].tolist()[:SHOWN]
    wide = rows.pivot(index="model", columns="against", values="win_rate").reindex(index=order, columns=order)
    return _matrix(
        100 * wide, f"Row preferred to column, per cent, says {words.describe(voice)}", (0, 100), "{:.0f}"
    )


def _scores(report: Any) -> Any:
    table = report.mean_scores
    if table.empty:
        return _nothing("No scores yet")
    voice = next(iter(voices(table)))
    rows = table[table["rater"] == voice]
    wide = rows.pivot(index="dimension", columns="model", values="mean")
    wide = wide.reindex(
        index=list(dict.fromkeys(rows["dimension"])), columns=list(dict.fromkeys(rows["model"]))
    )
    wide.index = [name.replace("_", " ") for name in wide.index]
    return _matrix(wide, f"Mean score, 1 to 5, says {words.describe(voice)}", (1, 5), "{:.2f}")


def _matrix(wide: pd.DataFrame, title: str, ends: tuple[float, float], form: str) -> Any:
    """A heat map with its figures written in; grey where there are none."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 0.85 * wide.shape[1], 1.2 + 0.38 * wide.shape[0]), layout="constrained")
    axis = figure.subplots()
    colours = colormaps["PuOr"].with_extremes(bad="#eee")
    axis.imshow(wide.to_numpy(float), cmap=colours, vmin=ends[0], vmax=ends[1], aspect="auto", alpha=0.75)
    axis.set_xticks(range(wide.shape[1]), [_short(str(c), 18) for c in wide.columns], rotation=30, ha="right")
    axis.set_yticks(range(wide.shape[0]), [_short(str(c), 24) for c in wide.index])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(_short(title, 90), loc="left", fontsize=9)
    for (y, x), value in np.ndenumerate(wide.to_numpy(float)):
        axis.text(x, y, "" if np.isnan(value) else form.format(value), ha="center", va="center", fontsize=8)
    return figure


def _calibration(report: Any) -> Any:
    from matplotlib.figure import Figure

    rows = report.calibration[report.calibration["calibrated"].notna()].head(2 * SHOWN)
    if rows.empty:
        return _nothing("Calibration needs a judge and humans on the same comparisons.")
    figure = Figure(figsize=(7, 1 + 0.55 * len(rows)), layout="constrained")
    axis = figure.subplots()
    people = "simulated raters" if words.only_simulated(report.votes["rater"].unique()) else "humans"
    kinds = [("judge raw", "judge", "judge_low", "judge_high", "#888"), (people, "human", "human_low", "human_high", COLOURS[1]), ("calibrated", "calibrated", "low", "high", COLOURS[0])]  # fmt: skip
    for step, (name, value, low, high, colour) in enumerate(kinds):
        spread = [100 * (rows[value] - rows[low]), 100 * (rows[high] - rows[value])]
        axis.errorbar(100 * rows[value], np.arange(len(rows)) + 0.2 * (step - 1), xerr=spread, fmt="o", color=colour, ms=4, capsize=2.5, label=name)  # fmt: skip
    several = rows["rater"].nunique() > 1
    axis.set_yticks(range(len(rows)), [_short(f"{r.model}, {r.rater}" if several else str(r.model)) for r in rows.itertuples()])  # fmt: skip
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.axvline(50, color="#666", linestyle=":", linewidth=1)
    axis.set_xlabel(f"win rate against {report.baseline}, per cent; 95 % intervals")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=3, frameon=False, fontsize=8)
    return figure


DRAW = {"win_rates": _win_rates, "pairs": _pairs, "scores": _scores, "calibration": _calibration}
