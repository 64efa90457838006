"""Many runs at once, each under a name, and none made twice: what an experiment in a notebook takes.

runs = sk.launch_all({"1e-4": config.with_(learning_rate=1e-4), "1e-3": config})
sk.LossCurves(runs)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sftkit.config import SFTConfig
from sftkit.errors import LaunchError, RunError
from sftkit.runs import classroom, facts
from sftkit.runs import folder as disk
from sftkit.runs.findings import Finding, preflight
from sftkit.runs.launcher import launch
from sftkit.runs.run import Run

LOST = ("failed", "stopped")  # states of a run that did not do what it was asked for


def launch_all(
    configs: Mapping[str, SFTConfig],
    runs_dir: str | Path = "runs",
    queue: bool = True,
    *,
    again: bool = False,
) -> dict[str, Run]:
    """A run for each of these settings, by the same names, which are not made twice: return at once, as `launch` does.

        same = sk.launch_all({"once more": config})     # was trained above: found, not made again
        sk.LossCurves(same)                             # {name: run} is what it takes

    A run under `runs_dir` with the same settings, model and data, from the same folder, that has finished or is on its
    way is taken instead of a new one, so that the cell may be run again after a restart.

    - `queue`: one after the other on each device; False: all at the same time, for runs so small that they share one.
    - `again`: make them all, whatever there is.

    Raises `LaunchError` with every finding of level "stop", by name, before any of them is started.
    """
    runs_dir = classroom.runs_folder(runs_dir)
    there = {name: None if again else made_before(config, runs_dir) for name, config in configs.items()}
    found = {name: preflight(configs[name], runs_dir) for name, run in there.items() if run is None}
    _refuse(found)
    return {
        name: run or launch(configs[name], runs_dir, queue, findings=found[name])
        for name, run in there.items()
    }


def _refuse(found: Mapping[str, list[Finding]]) -> None:
    stops = [(name, finding) for name, some in found.items() for finding in some if finding.level == "stop"]
    if stops:
        told = "\n".join(f"  - {name}: {finding}" for name, finding in stops)
        raise LaunchError(
            f"None of these runs was launched. In the way:\n{told}", [finding for _, finding in stops]
        )


def made_before(config: SFTConfig, runs_dir: str | Path = "runs") -> Run | None:
    """The newest run under `runs_dir` of these settings, from this folder, on the model and the data as they are now,
    that has finished or may still finish; None where there is none."""
    model = facts.of_model(config.pretrain)
    folders = [folder for folder in disk.run_folders(Path(runs_dir)) if _is_of(disk.read_json(folder / disk.RUN), config, model)]  # fmt: skip
    for folder in sorted(folders, key=lambda folder: folder.name, reverse=True):
        try:
            run = Run(folder)
            if run.status.state not in LOST and (not run.status.ended or run.model_path.is_dir()):
                return run
        except (RunError, OSError):  # damaged, or deleted since
            continue
    return None


def _is_of(record: dict, config: SFTConfig, model: dict[str, str]) -> bool:
    """Whether a run.json tells of these settings on the same model and data."""
    same = record.get("config") == config.to_dict() and record.get("cwd") == str(Path.cwd())
    return same and record.get("model") == model and not facts.changed(record, Path.cwd())
