"""The main job from end to end in the terminal: preflight, training, curve, answers, judge, report.

    sftkit demo            # about two minutes on two CPU cores; everything lands in one run folder

The same steps as lesson 01 (notebooks/01_first_run.ipynb), on the project's own small world (data/README.md).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from tqdm.auto import tqdm

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, LaunchError, RunError
from sftkit.runs import Finding, Run, launch, preflight

if TYPE_CHECKING:
    from sftkit.generation import Generations

# What the tiny model learns the small world with: found by trying, see data/README.md.
SETTINGS = {
    "max_len": 256,
    "train_batch_size": 32,
    "micro_train_batch_size": 16,
    "learning_rate": 5e-4,
    "zero_stage": 2,
    "bf16": False,
    "max_epochs": 1,
    "eval_steps": 50,
}
MAX_NEW_TOKENS = 64


def demo_config(data: Path, **changes: object) -> SFTConfig:
    """The demo's settings for the small world in `data`. Raises `ConfigError` where the folder is not it."""
    missing = [
        str(data / name) for name in ("tiny-base", "train.jsonl", "eval.jsonl") if not (data / name).exists()
    ]
    if missing:
        raise ConfigError(
            f"The demo needs the project's data folder; not found: {', '.join(missing)}. "
            "Run it in a checkout of the project, or say --data FOLDER."
        )
    files = {"pretrain": "tiny-base", "dataset": "train.jsonl", "eval_dataset": "eval.jsonl"}
    return SFTConfig(**{name: str(data / file) for name, file in files.items()}, **{**SETTINGS, **changes})


def main_job(data: Path, runs_dir: Path, console: Console) -> Run:
    """Runs the whole job, printing as it goes. Returns the finished run; its folder holds every result.

    Raises `LaunchError` where preflight stops it and `RunError` where the training fails.
    """
    started = time.monotonic()
    config = demo_config(data)
    console.rule("1  Preflight")
    findings = preflight(config, runs_dir)
    show_findings(findings, console)

    console.rule("2  Training with DeepSpeed")
    run = launch(config, runs_dir=runs_dir, findings=findings)
    console.print(f"run folder  {shown(run.folder)}", soft_wrap=True)
    follow(run)

    console.rule("3  Loss curve")
    curve_png, curve_html = draw_curve(run)
    console.print(f"{shown(curve_png)}\n{shown(curve_html)}", soft_wrap=True)

    console.rule("4  Answers of base and tuned model")
    from sftkit.generation import generate
    from sftkit.judging import ReferenceJudge, accuracy
    from sftkit.ratings import RatingStore
    from sftkit.report import Report

    models = {"base": config.pretrain, "tuned": run}
    answers = generate(models, config.eval_dataset, max_new_tokens=MAX_NEW_TOKENS)
    answers.save(run.folder / "answers.parquet")
    show_examples(answers, console)

    console.rule("5  Judge")
    store = RatingStore(f"sqlite:///{run.folder / 'ratings.db'}")
    ReferenceJudge().rate(answers, store=store)
    console.print("Right answers, by comparison with the references:", accuracy(answers), sep="\n")

    console.rule("6  Report")
    report = Report(store)
    report.to_html(run.folder / "report.html")
    report.png(run.folder / "report.png")
    console.print(str(report), markup=False, highlight=False)
    show_where(run, time.monotonic() - started, console)
    return run


def show_findings(findings: list[Finding], console: Console) -> None:
    """Prints preflight's findings; raises `LaunchError` when one of them stops the run."""
    style = {"stop": "bold red", "warn": "yellow", "inform": "dim"}
    for finding in findings:
        console.print(f"{finding.level:>6}  {finding}", style=style[finding.level], markup=False)
    stops = [finding for finding in findings if finding.level == "stop"]
    if stops:
        count = "One finding stops" if len(stops) == 1 else f"{len(stops)} findings stop"
        raise LaunchError(f"{count} the run; nothing was started.", stops)
    warned = sum(finding.level == "warn" for finding in findings)
    console.print("Nothing stops this run" + (f"; {warned} to look at." if warned else "."))


def follow(run: Run) -> None:
    """A progress bar until the run is over. Raises `RunError` with the reason when it fails or is stopped.

    Ctrl-C leaves the run going and says how to find it again.
    """
    with tqdm(desc="starting", unit="step") as bar:
        try:
            while True:
                status = run.status
                _advance(bar, run, status)
                if status.state in ("finished", "stopped", "failed"):
                    break
                time.sleep(0.5)
        except KeyboardInterrupt:
            bar.close()
            raise RunError(
                f"Left alone: the run goes on in {run.folder}. Stop it with `sftkit runs --stop {run.id}`."
            ) from None
    if status.state != "finished":
        raise RunError(
            f"The run {run.id} {status.state}: {status.reason or 'see train.log'}\nLog: {run.folder / 'train.log'}"
        )


def _advance(bar: tqdm, run: Run, status: object) -> None:
    bar.total = status.total_steps or None
    # Before the first step there is nothing to count, only time to show.
    bar.bar_format = None if status.step else "{desc}loading model and data, {elapsed}"
    bar.set_description(status.state, refresh=False)
    metrics = run.metrics()
    if len(metrics) and "loss" in metrics and metrics["loss"].notna().any():
        last = metrics[metrics["loss"].notna()].iloc[-1]
        bar.set_postfix_str(f"loss {last['loss']:.3f}", refresh=False)
    bar.update((status.step or 0) - bar.n)
    bar.refresh()


def draw_curve(run: Run) -> tuple[Path, Path]:
    """The loss curve as curve.png and curve.html in the run's folder."""
    from sftkit.report.curves import loss_html, loss_png

    png, html = run.folder / "curve.png", run.folder / "curve.html"
    loss_png(run, png)
    loss_html(run, html)
    return png, html


def show_examples(answers: Generations, console: Console, count: int = 3) -> None:
    """What the models say to the first prompts, a line each."""
    for prompt in answers.prompts.head(count).itertuples():
        console.print(f"\n{_line(prompt.prompt[-1]['content'])}", markup=False, style="bold")
        for model in answers.models:
            said = _line(answers.response(prompt.prompt_id, model))
            console.print(f"  {model:<6} {said}", markup=False)


def _line(text: str, width: int = 70) -> str:
    """A text on one line, without what a terminal would obey."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def show_where(run: Run, seconds: float, console: Console) -> None:
    """What the job has left where, and how to see it live."""
    console.print(f"Done in {seconds:.0f} s. What lies where:")
    for what, name in {
        "loss curve": "curve.png",
        "loss curve, to zoom": "curve.html",
        "report": "report.html",
        "report, as a picture": "report.png",
        "answers": "answers.parquet",
        "ratings": "ratings.db",
        "tuned model": "model",
    }.items():
        console.print(f"  {what:<21} {shown(run.folder / name)}", soft_wrap=True)
    console.print(
        "\nThe same live, in the notebook: [bold]make lab[/bold] (JupyterLab opens with lesson 01)",
        markup=True,
    )


def shown(path: Path) -> str:
    """A path as short as it can be typed from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
