"""The `sftkit` command: the same rooms from a terminal.

    sftkit demo | data | train | launch | join | runs | card | settings | doctor | generate | judge | rate | report | translate

`train`, `launch` and `doctor` take every setting of SFTConfig as a flag, and OpenRLHF's own flags too:
    sftkit launch --pretrain data/tiny-base --dataset data/train.jsonl --bf16 false
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sftkit.config import SFTConfig
from sftkit.data_command import data as look_at_data
from sftkit.errors import ConfigError, GenerationError, SftkitError
from sftkit.rate_command import rate
from sftkit.terminal import console_of, warn_of_passwords

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = console_of()

# The settings of a run travel as they stand to the one place that knows their flags.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}
RunsDir = Annotated[Path, typer.Option("--runs-dir", help="Folder of the run folders.")]


def main() -> None:
    """Entry point: an error that sftkit raises on purpose is its message and exit code 1, without a traceback."""
    warn_of_passwords()
    try:
        app()
    except SftkitError as error:
        console_of(stderr=True).print(str(error), style="red")
        sys.exit(1)


def _config(context: typer.Context) -> SFTConfig:
    import shlex

    return SFTConfig.from_command(shlex.join(["launch", *context.args])) if context.args else SFTConfig()


def _launched(context: typer.Context, runs_dir: Path, queue: bool = False):
    """The run, once preflight has had its say."""
    from sftkit.demo import show_findings
    from sftkit.runs import launch as start
    from sftkit.runs import preflight

    config = _config(context)
    findings = preflight(config, runs_dir)
    show_findings(findings, console)
    return start(config, runs_dir=runs_dir, queue=queue, findings=findings)


@app.command()
def demo(
    data: Annotated[Path, typer.Option(help="The project's data folder.")] = Path("data"),
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """The main job, end to end, on the project's tiny model: about two minutes on two CPU cores."""
    from sftkit.demo import main_job

    main_job(data, runs_dir, console)


@app.command(context_settings=SETTINGS)
def train(context: typer.Context, runs_dir: RunsDir = Path("runs")) -> None:
    """Launch a run and follow it to its end. Takes every setting as a flag; `sftkit settings` lists them."""
    from sftkit.demo import follow, shown

    run = _launched(context, runs_dir)
    console.print(f"run folder  {shown(run.folder)}", soft_wrap=True)
    follow(run)
    console.print(f"tuned model {shown(run.model_path)}", soft_wrap=True)


@app.command(context_settings=SETTINGS)
def launch(
    context: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    queue: Annotated[
        bool, typer.Option("--queue", help="Wait until no other run of yours uses the same GPUs, or the CPU.")
    ] = False,
) -> None:
    """Launch a run and leave it running. Takes every setting as a flag; `sftkit settings` lists them.

    On several hosts: --launcher pdsh or manual with --hostfile, or --launcher slurm in a batch script:

    #SBATCH --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 --signal=USR1@300

    sftkit launch --launcher slurm --num_processes 16 --runs-dir /shared/runs --pretrain … --dataset …
    """
    run = _launched(context, runs_dir, queue)
    console.print(f"{run.folder}\nstop it with a checkpoint: sftkit runs --stop {run.id}", soft_wrap=True)
    if (
        os.environ.get("ENVIRONMENT") == "BATCH" and not sys.stdin.isatty()
    ):  # Slurm ends a job with its script
        console.print("in a batch job: waiting for the run to end")
        console.print(str(run.wait()), soft_wrap=True)


@app.command()
def join(
    run_folder: Annotated[Path, typer.Argument(help="The run's folder, on the disk that the hosts share.")],
    node_rank: Annotated[
        int, typer.Option("--node-rank", help="This host's line in the hostfile; the first is 0.")
    ],
) -> None:
    """Start this host's processes of a run with --launcher manual. The run's log says what to type where."""
    from sftkit.runs.starters import join as start

    console.print(f"host {node_rank} of {run_folder}: its processes end with the run, or with this command")
    raise typer.Exit(start(run_folder.absolute(), node_rank))


@app.command(context_settings=SETTINGS)
def runs(
    context: typer.Context,
    runs_dir: RunsDir = Path("runs"),
    stop: Annotated[
        str, typer.Option(help="Stop this run with a checkpoint, or take it out of the queue.")
    ] = "",
    kill: Annotated[str, typer.Option(help="End this run at once, without a checkpoint.")] = "",
    resume: Annotated[str, typer.Option(help="Go on with this stopped or failed run.")] = "",
    duplicate: Annotated[
        str, typer.Option(help="Launch a copy of this run; settings that change follow as flags.")
    ] = "",
    delete: Annotated[str, typer.Option(help="Delete this run; asks first.")] = "",
    why: Annotated[str, typer.Option(help="Say why this run failed, with the raw lines of its log.")] = "",
    queue: Annotated[
        bool, typer.Option("--queue", help="Resume or launch when the devices are free.")
    ] = False,
    keep_model: Annotated[bool, typer.Option("--keep-model", help="Delete all but the model.")] = False,
    outside: Annotated[
        bool, typer.Option("--outside", help="Delete what save_path and ckpt_path put elsewhere, too.")
    ] = False,
    sure: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """The runs in a folder with their states; or stop, kill, resume, copy, delete or explain one."""
    from sftkit import run_commands as do
    from sftkit.runs import load_run

    if context.args and not duplicate:
        raise ConfigError(
            f"`sftkit runs` does not know {' '.join(context.args)}; settings go with --duplicate."
        )
    for name, act in (
        (stop, lambda run: do.stop(run, console)),
        (kill, lambda run: console.print(f"{run.id} {run.kill().state}", soft_wrap=True)),
        (resume, lambda run: console.print(f"{run.resume(queue).id} goes on", soft_wrap=True)),
        (duplicate, lambda run: do.duplicate(run, context.args, queue, console)),
        (delete, lambda run: do.delete(run, keep_model, outside, sure, console)),
        (why, lambda run: do.why(run, console)),
    ):
        if name:
            act(load_run(_one(runs_dir, name)))
    if not (stop or kill or resume or duplicate or delete or why):
        do.show(runs_dir, console)


def _one(runs_dir: Path, start: str) -> Path:
    """The run folder of that name, or the only one whose name begins so."""
    from sftkit.runs.folder import run_folders

    found = [folder for folder in run_folders(runs_dir) if folder.name.startswith(start)]
    return found[0] if len(found) == 1 else runs_dir / start


@app.command()
def card(
    run: Annotated[str, typer.Argument(help="The run's folder, or the beginning of its name.")],
    html: Annotated[Path | None, typer.Option(help="Write the card as one HTML file.")] = None,
    md: Annotated[
        Path | None, typer.Option(help="Write it as Markdown, the curve as a PNG beside it.")
    ] = None,
    language: Annotated[str, typer.Option(help="en or zh; without it, that of SFTKIT_LANG.")] = "",
    runs_dir: RunsDir = Path("runs"),
) -> None:
    """All that a run is and was: settings, data, versions, curve, answers, and a cell that launches it anew."""
    from sftkit.report.run_card import RunCard
    from sftkit.runs import load_run
    from sftkit.widgets import labels

    labels.set_language(language or labels.language())  # which refuses what there is not
    folder = run if (Path(run) / "run.json").is_file() else _one(runs_dir, run)
    shown = RunCard(load_run(folder), labels.language())
    for path in [*([shown.to_html(html)] if html else []), *([shown.to_markdown(md)] if md else [])]:
        console.print(f"card  {path}", soft_wrap=True)
    if not (html or md):
        console.print(shown.markdown(), soft_wrap=True)


@app.command()
def settings(
    openrlhf: Annotated[
        str, typer.Option("--openrlhf", help="Show that version's flags beside them, such as 0.8.9.")
    ] = "",
) -> None:
    """Every setting of a run: its flag, its default, what it is."""
    from sftkit.command import names

    table = Table("flag", *([f"OpenRLHF {openrlhf}"] if openrlhf else []), "default", "", box=None)
    for name, field in SFTConfig.model_fields.items():
        default = "needed" if field.is_required() else "" if field.default is None else str(field.default)
        flag = names.spelling(name, names.version(openrlhf))
        theirs = [f"--{flag}" if flag else ""] if openrlhf else []
        table.add_row(f"--{name}", *theirs, default, field.description)
    console.print(table)


@app.command(context_settings=SETTINGS)
def doctor(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Then compute three steps and say what the run will need.")
    ] = False,
) -> None:
    """What preflight says of settings given as flags, nothing is launched; without any: what this machine can do."""
    if not context.args and not dry_run:
        from sftkit.runs.machine import machine

        return console.print(str(machine()), soft_wrap=True)
    from sftkit.demo import show_findings
    from sftkit.runs import preflight

    config = _config(context)
    show_findings(preflight(config), console)
    if dry_run:
        from sftkit.runs.dry_run import dry_run as rehearse

        with console.status("starting") as status:
            result = rehearse(config, progress=lambda line: status.update(Text(line)))
        console.print(str(result))


@app.command()
def generate(
    models: Annotated[
        list[str], typer.Argument(help="name=folder, name=hub id or name=run folder; several.")
    ],
    prompts: Annotated[Path, typer.Option(help="JSONL with prompt, and where known task and reference.")],
    out: Annotated[Path, typer.Option(help="Where the answers go.")] = Path("answers.parquet"),
    input_key: Annotated[
        str, typer.Option(help="Column of the question; empty: as the run was trained.")
    ] = "",
    output_key: Annotated[str, typer.Option(help="Column of the right answer; empty: likewise.")] = "",
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 128,
    temperature: Annotated[float, typer.Option(help="0: always the likeliest token.")] = 0.0,
) -> None:
    """Answers of several models to the same prompts, into one Parquet file."""
    from sftkit.generation import generate as answer

    pairs = [
        (name or Path(place).name, place) for name, _, place in (item.rpartition("=") for item in models)
    ]
    named = dict(pairs)
    if len(named) < len(pairs):
        raise GenerationError(
            f"two models have one name among {', '.join(name for name, _ in pairs)}: write NAME=FOLDER"
        )
    answers = answer(
        named,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        input_key=input_key or None,
        output_key=output_key or None,
    )
    answers.save(out)
    console.print(f"{len(answers.frame)} answers in {out}", soft_wrap=True)


@app.command(context_settings=SETTINGS)
def judge(
    context: typer.Context,
    answers: Annotated[Path | None, typer.Argument(help="Parquet file of `sftkit generate`.")] = None,
    store: Annotated[str, typer.Option(help="Rating store, as a database URL.")] = "sqlite:///ratings.db",
    model: Annotated[
        str, typer.Option(help="Judge model; empty: the offline rule that checks references.")
    ] = "",
    base_url: Annotated[str, typer.Option(help="OpenAI-compatible endpoint; empty: OpenAI's.")] = "",
    limit: Annotated[int | None, typer.Option(help="The first prompts only.")] = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Calls, tokens, dollars, minutes; nothing is asked.")
    ] = False,
    spend_limit: Annotated[
        float | None, typer.Option(help="Dollars after which nothing more is asked.")
    ] = None,
    exam: Annotated[bool, typer.Option("--exam", help="The judge's admission exam; 1 if it fails.")] = False,
    replay: Annotated[bool, typer.Option("--replay", help="Read the stored replies again, offline.")] = False,
    diff: Annotated[
        tuple[str, str], typer.Option(help="Two raters: where they differ; nothing is asked.")
    ] = ("", ""),
    rules: Annotated[bool, typer.Option("--rules", help="List every rule and its flag.")] = False,
    max_concurrency: Annotated[int | None, typer.Option(help="Calls at once, at most.")] = None,
    requests_per_minute: Annotated[float | None, typer.Option(help="Limit to keep.")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="Limit to keep.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a try.")] = None,
    max_retries: Annotated[int | None, typer.Option(help="Tries after the first.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Price file of your own, TOML.")] = None,
    api_key_env: Annotated[
        str, typer.Option(help="Environment variable that holds the key.")
    ] = "OPENAI_API_KEY",
) -> None:
    """Verdicts of a judge into the store. Every rule of the judge is a flag too: --both-orders false, --questions off …

    `sftkit judge --rules` lists them. The key comes from OPENAI_API_KEY.
    """
    from sftkit import judge_command as do
    from sftkit.judging import ReferenceJudge
    from sftkit.ratings import RatingStore

    if rules:
        return do.show_rules(console)
    if replay:
        return do.show_replay(RatingStore(store), console)
    if any(diff):
        return do.show_diff(RatingStore(store), *diff, console)
    answers, words = do.apart(answers, context.args)
    given = do.rules_of(words)
    found = do.answers_at(answers) if not exam else None
    if not model and not exam:
        ReferenceJudge().rate(found, store=RatingStore(store))
        return report(store)
    limits = {"max_concurrency": max_concurrency, "timeout": timeout, "max_retries": max_retries}
    limits |= {"requests_per_minute": requests_per_minute, "tokens_per_minute": tokens_per_minute}
    chosen = do.judge_of(model, base_url, given, api_key_env=api_key_env, prices=prices, **limits)
    if exam:
        raise typer.Exit(0 if do.show_exam(chosen, RatingStore(store), spend_limit, console) else 1)
    if estimate:
        return do.show_estimate(chosen, found, RatingStore(store), limit, console)
    do.run(chosen, found, RatingStore(store), limit, spend_limit, console)
    report(store)


@app.command()
def report(
    store: Annotated[str, typer.Argument(help="Rating store: ratings.db or a URL.")] = "sqlite:///ratings.db",
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write every table into this folder.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the win rates into this .png or .svg.")] = None,
    baseline: Annotated[str | None, typer.Option(help="The model the others are compared with.")] = None,
    lang: Annotated[str, typer.Option(help="Language of the HTML file: en or zh.")] = "en",
    project: Annotated[str, typer.Option(help="Only what was rated in this project.")] = "",
    named: Annotated[str, typer.Option("--store", help="The store, named as `judge` and `rate` do.")] = "",
) -> None:
    """Who won, and how surely, from the store."""
    from sftkit.ratings import RatingStore
    from sftkit.report import Report

    rated = RatingStore(named or store)
    result = Report(rated.project(project) if project else rated, baseline=baseline)
    console.print(str(result))
    made = [result.to_html(html, lang)] if html else []
    made += [csv] if csv and result.to_csv(csv) else []
    made += [(result.svg if picture.suffix.lower() == ".svg" else result.png)(picture)] if picture else []
    for path in made:
        console.print(f"report  {path}", soft_wrap=True)


@app.command()
def translate(
    script: Annotated[
        Path | None, typer.Argument(help="File with the command or the YAML; none: standard input.")
    ] = None,
    to: Annotated[
        str, typer.Option(help="python, sftkit, yaml, openrlhf==VERSION, trl, or trl-python.")
    ] = "python",
    quiet: Annotated[bool, typer.Option("--quiet", help="Leave out what each flag is and does.")] = False,
) -> None:
    """A launch command (OpenRLHF's train_sft of any version, TRL's, LLaMA-Factory's YAML) explained, and written anew.

    What each flag is, with its traps, goes to standard error; the settings in the form asked for to standard output.
    """
    from sftkit import command

    found = command.translate(script.read_text(encoding="utf-8") if script else sys.stdin.read())
    if not quiet:
        console_of(stderr=True).print(str(found), soft_wrap=True)
    if found.faults:
        raise ConfigError(list(found.faults))
    config = found.config
    write = {"python": config.to_code, "yaml": config.to_yaml, "trl-python": config.to_trl_python}
    text = write[to]() if to in write else config.to_command(to)
    console.print(text.rstrip("\n"), soft_wrap=True)


app.command()(rate)
app.add_typer(look_at_data, name="data")


if __name__ == "__main__":
    main()
