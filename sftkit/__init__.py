"""sftkit: supervised fine-tuning and its judgement, from inside a notebook.

    import sftkit as sk

The public names are below; each is loaded when it is first used, so that importing sftkit costs next to nothing and
never brings torch into the kernel.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# The version of this package.
__version__ = "0.1.0"

# public name -> the module that has it
_HOME = {
    "SFTConfig": "sftkit.config",
    **dict.fromkeys(
        "SftkitError ConfigError FilterError DataError RunError DryRunError LaunchError RunNotFound GenerationError "
        "StoreError JudgeError ReportError".split(),
        "sftkit.errors",
    ),
    **dict.fromkeys("Translation translate".split(), "sftkit.command"),
    "tokenized": "sftkit.data",
    **dict.fromkeys("Profile profile".split(), "sftkit.data.lens.profile"),
    **dict.fromkeys("EvalSet make_eval_set".split(), "sftkit.data.lens.eval_set"),
    **dict.fromkeys("Match match".split(), "sftkit.data.lens.match"),
    **dict.fromkeys("Leaks leaks".split(), "sftkit.data.lens.leak"),
    **dict.fromkeys("Mix mix".split(), "sftkit.data.lens.mix"),
    "Embedder": "sftkit.data.lens.embedding",
    **dict.fromkeys("DryRun dry_run".split(), "sftkit.runs.dry_run"),
    **dict.fromkeys("MemoryTable memory_table".split(), "sftkit.runs.memory_table"),
    "Replay": "sftkit.runs.replay",
    **dict.fromkeys("Machine machine".split(), "sftkit.runs.machine"),
    "launch_all": "sftkit.runs.series",
    "RunCard": "sftkit.report.run_card",
    **dict.fromkeys("Classroom teach".split(), "sftkit.runs.classroom"),
    **dict.fromkeys("Finding Run launch list_runs load_run preflight".split(), "sftkit.runs"),
    **dict.fromkeys("Generations generate".split(), "sftkit.generation"),
    **dict.fromkeys("Rating RatingStore".split(), "sftkit.ratings"),
    **dict.fromkeys("Exam exam".split(), "sftkit.judging.exam"),
    **dict.fromkeys("Judge Panel Protocol ReferenceJudge".split(), "sftkit.judging"),
    **dict.fromkeys("Estimate Report agreement win_rate".split(), "sftkit.report"),
    **dict.fromkeys(
        "ComparisonGrid DatasetView EvalSetForm JudgePanel LaunchForm LossCurves ReportView RunMonitor RunsTable TokenLens WidgetCheck set_language".split(),
        "sftkit.widgets",
    ),
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'sftkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # the next look-up is a plain attribute
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:  # for editors: the same names, statically
    from sftkit.command import Translation as Translation
    from sftkit.command import translate as translate
    from sftkit.config import SFTConfig as SFTConfig
    from sftkit.data import tokenized as tokenized
    from sftkit.data.lens.embedding import Embedder as Embedder
    from sftkit.data.lens.eval_set import EvalSet as EvalSet
    from sftkit.data.lens.eval_set import make_eval_set as make_eval_set
    from sftkit.data.lens.leak import Leaks as Leaks
    from sftkit.data.lens.leak import leaks as leaks
    from sftkit.data.lens.match import Match as Match
    from sftkit.data.lens.match import match as match
    from sftkit.data.lens.mix import Mix as Mix
    from sftkit.data.lens.mix import mix as mix
    from sftkit.data.lens.profile import Profile as Profile
    from sftkit.data.lens.profile import profile as profile
    from sftkit.errors import ConfigError as ConfigError
    from sftkit.errors import DataError as DataError
    from sftkit.errors import DryRunError as DryRunError
    from sftkit.errors import FilterError as FilterError
    from sftkit.errors import GenerationError as GenerationError
    from sftkit.errors import JudgeError as JudgeError
    from sftkit.errors import LaunchError as LaunchError
    from sftkit.errors import ReportError as ReportError
    from sftkit.errors import RunError as RunError
    from sftkit.errors import RunNotFound as RunNotFound
    from sftkit.errors import SftkitError as SftkitError
    from sftkit.errors import StoreError as StoreError
    from sftkit.generation import Generations as Generations
    from sftkit.generation import generate as generate
    from sftkit.judging import Judge as Judge
    from sftkit.judging import Panel as Panel
    from sftkit.judging import Protocol as Protocol
    from sftkit.judging import ReferenceJudge as ReferenceJudge
    from sftkit.judging.exam import Exam as Exam
    from sftkit.judging.exam import exam as exam
    from sftkit.ratings import Rating as Rating
    from sftkit.ratings import RatingStore as RatingStore
    from sftkit.report import Estimate as Estimate
    from sftkit.report import Report as Report
    from sftkit.report import agreement as agreement
    from sftkit.report import win_rate as win_rate
    from sftkit.report.run_card import RunCard as RunCard
    from sftkit.runs import Finding as Finding
    from sftkit.runs import Run as Run
    from sftkit.runs import launch as launch
    from sftkit.runs import list_runs as list_runs
    from sftkit.runs import load_run as load_run
    from sftkit.runs import preflight as preflight
    from sftkit.runs.classroom import Classroom as Classroom
    from sftkit.runs.classroom import teach as teach
    from sftkit.runs.dry_run import DryRun as DryRun
    from sftkit.runs.dry_run import dry_run as dry_run
    from sftkit.runs.machine import Machine as Machine
    from sftkit.runs.machine import machine as machine
    from sftkit.runs.memory_table import MemoryTable as MemoryTable
    from sftkit.runs.memory_table import memory_table as memory_table
    from sftkit.runs.replay import Replay as Replay
    from sftkit.runs.series import launch_all as launch_all
    from sftkit.widgets import ComparisonGrid as ComparisonGrid
    from sftkit.widgets import DatasetView as DatasetView
    from sftkit.widgets import EvalSetForm as EvalSetForm
    from sftkit.widgets import JudgePanel as JudgePanel
    from sftkit.widgets import LaunchForm as LaunchForm
    from sftkit.widgets import LossCurves as LossCurves
    from sftkit.widgets import ReportView as ReportView
    from sftkit.widgets import RunMonitor as RunMonitor
    from sftkit.widgets import RunsTable as RunsTable
    from sftkit.widgets import TokenLens as TokenLens
    from sftkit.widgets import WidgetCheck as WidgetCheck
    from sftkit.widgets import set_language as set_language
