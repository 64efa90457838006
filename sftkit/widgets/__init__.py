"""The kernel half of what a notebook shows. Names are loaded when first used: a form needs no figure, and so on."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "ComparisonGrid": "grid",
    "DatasetView": "dataset_view",
    "EvalSetForm": "eval_set_form",
    "JudgePanel": "judge_panel",
    "LaunchForm": "launch_form",
    "LossCurves": "loss_curves",
    "ReportView": "report_view",
    "RunMonitor": "run_monitor",
    "RunsTable": "runs_table",
    "TokenLens": "token_lens",
    "WidgetCheck": "widget_check",
    "label": "labels",
    "set_language": "labels",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value
