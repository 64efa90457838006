"""The loss curve of one run or several: plotly for the notebook, matplotlib for a PNG, one offline HTML file.

    loss_figure(run)                    # a plain plotly figure, no widget
    loss_png([run, other], "curve.png")
    loss_html(run, "curve.html")

Every run is three traces, in this order: the logged loss (thin), the smoothed one, the eval points.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sftkit.report.figures import COLOURS

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = 2_000  # most points of a line: more cannot be told apart on a screen, and each update sends them all
SMOOTHING = 0.6
LINES = {"loss": {"width": 1}, "smooth": {"width": 2.5}, "eval": {"width": 1, "dash": "dot"}}
PARTS = tuple(LINES)  # the traces of a run
WORDS = {
    "loss": "loss",
    "smooth": "smoothed",
    "eval": "eval loss",
    "step": "step",
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


@dataclass(frozen=True)
class Curve:
    """What is drawn of a run. Float64 arrays: `step`, `loss`, `smooth`, `epoch`, `rate` of one length (at most POINTS),
    `eval_step`, `eval_loss` of another."""

    name: str
    step: np.ndarray
    loss: np.ndarray
    smooth: np.ndarray
    epoch: np.ndarray
    rate: np.ndarray
    eval_step: np.ndarray
    eval_loss: np.ndarray


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the pull towards its start: the weights weight^0, weight^1, … of the present
    and earlier values are divided by their sum (Kingma and Ba 2015, section 3). weight: 0 (none) to below 1."""
    return pd.Series(values, dtype=float).ewm(alpha=1 - weight, ignore_na=True).mean().to_numpy()


def sampled(values: np.ndarray, limit: int = POINTS) -> np.ndarray:
    """Which points of a long line to draw: rising indices of the least and the greatest value of every stretch, and of
    both ends; at most `limit` (4 or more). No peak is lost. `values` holds no NaN."""
    if len(values) <= limit:
        return np.arange(len(values))
    stretches = limit // 2 - 1
    width = -(-len(values) // stretches)
    table = np.append(values, np.full(stretches * width - len(values), values[-1])).reshape(stretches, width)
    first = np.arange(stretches) * width
    picks = np.concatenate(
        [[0], first + table.argmin(axis=1), first + table.argmax(axis=1), [len(values) - 1]]
    )
    return np.unique(np.minimum(picks, len(values) - 1))


def curve_of(run: Any, weight: float = SMOOTHING, limit: int = POINTS) -> Curve:
    """The points of `run` (a Run, or anything with `.id` and `.metrics()`) that are drawn."""
    metrics = run.metrics()
    table = metrics[["step", "epoch", "loss", "learning_rate", "eval_loss"]].apply(
        pd.to_numeric, errors="coerce"
    )
    logged = table[np.isfinite(table["loss"]) & table["step"].notna()]
    evals = table[np.isfinite(table["eval_loss"]) & table["step"].notna()]
    loss = logged["loss"].to_numpy(float)
    smooth, keep = smoothed(loss, weight), sampled(loss, limit)
    few = sampled(evals["eval_loss"].to_numpy(float), limit)
    column = {name: logged[name].to_numpy(float)[keep] for name in ("step", "epoch", "learning_rate")}
    return Curve(
        name=str(run.id),
        step=column["step"],
        loss=loss[keep],
        smooth=smooth[keep],
        epoch=column["epoch"],
        rate=column["learning_rate"],
        eval_step=evals["step"].to_numpy(float)[few],
        eval_loss=evals["eval_loss"].to_numpy(float)[few],
    )


def points(curve: Curve, part: str) -> dict[str, np.ndarray]:
    """x, y and what the hover tells besides, of one of the PARTS of a curve."""
    if part == "eval":
        return {"x": curve.eval_step, "y": curve.eval_loss}
    if part == "smooth":
        return {"x": curve.step, "y": curve.smooth}
    return {"x": curve.step, "y": curve.loss, "customdata": np.column_stack([curve.epoch, curve.rate])}


def as_list(runs: Any) -> list[Any]:
    """One run or several, as a list."""
    return list(runs) if isinstance(runs, Iterable) else [runs]


def loss_figure(runs: Any, smoothing: float = SMOOTHING, words: dict[str, str] = WORDS) -> go.Figure:
    """A plotly figure of the loss by step, one colour a run. runs: a Run or several; smoothing: 0 to below 1; words: the
    names of lines and axes, as WORDS.

    It has no background of its own, and its text is grey: it reads in light and dark.
    """
    import plotly.graph_objects as go

    curves = [curve_of(run, smoothing) for run in as_list(runs)]
    figure = go.Figure(layout=_layout(len(curves), words))
    for number, curve in enumerate(curves):
        for part in PARTS:
            figure.add_trace(_trace(go, curve, part, number, len(curves) == 1, words))
    if not any(len(curve.step) for curve in curves):
        figure.add_annotation(text=words["none"], showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def _trace(go: Any, curve: Curve, part: str, number: int, alone: bool, words: dict[str, str]) -> Any:
    """One of the PARTS of the run with this number. Alone, its parts are named; among others, the runs are."""
    name = html.escape(curve.name)
    full = words[part] if alone else f"{words[part]} · {name}"
    colour = COLOURS[(number + (alone and part == "eval")) % len(COLOURS)]
    more = "  ({epoch} %{{customdata[0]:.2f}}, {rate} %{{customdata[1]:.2e}})".format_map(words)
    return go.Scatter(
        **points(curve, part),
        name=name if part == "smooth" and not alone else full,
        showlegend=alone or part == "smooth",
        legendgroup=None if alone else curve.name,
        hovertemplate=f"%{{y:.4f}}{more if part == 'loss' else ''}<extra>{full}</extra>",
        mode="lines+markers" if part == "eval" else "lines",
        line={"color": colour, **LINES[part]},
        marker={"color": colour, "size": 9, "symbol": "diamond"},
        opacity=0.65 if part == "loss" else 1,
    )


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


def png_bytes(runs: Any, smoothing: float = SMOOTHING, dpi: int = 150) -> bytes:
    """The picture of `loss_png` itself: 8 by 3.6 inches at `dpi`."""
    from io import BytesIO

    from matplotlib.figure import Figure

    curves = [curve_of(run, smoothing) for run in as_list(runs)]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axis = figure.subplots()
    for number, curve in enumerate(curves):
        _draw(axis, curve, COLOURS[number % len(COLOURS)], len(curves) == 1)
    axis.set(xlabel="step", ylabel="loss")
    axis.set_ylim(bottom=0)
    axis.grid(color="#ddd", linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if any(len(curve.step) for curve in curves):
        axis.legend(frameon=False, loc="upper right", fontsize=9)
    else:
        axis.text(0.5, 0.5, WORDS["none"], transform=axis.transAxes, ha="center", color="#777")
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=dpi, metadata={"Software": None})
    return picture.getvalue()


def _draw(axis: Any, curve: Curve, colour: str, alone: bool) -> None:
    name = curve.name.replace("$", r"\$")  # a pair of dollars is mathematics to matplotlib
    axis.plot(curve.step, curve.loss, color=colour, linewidth=0.8, alpha=0.4, label="loss" if alone else None)
    axis.plot(curve.step, curve.smooth, color=colour, linewidth=2.2, label="smoothed" if alone else name)
    if len(curve.eval_step):
        other, label = (COLOURS[1], "eval loss") if alone else (colour, None)
        axis.plot(curve.eval_step, curve.eval_loss, "D:", color=other, markersize=6, linewidth=1, label=label)
