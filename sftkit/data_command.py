"""What `sftkit data` does: look at data before training on them, and take an eval set out of them.

sftkit data profile data/train.jsonl --tokenizer data/tiny-base
sftkit data eval-set data/train.jsonl --size 200 --out data/eval.jsonl
sftkit data match data/train.jsonl data/eval.jsonl
sftkit data leaks data/train.jsonl data/eval.jsonl --embed-model bge-m3 --embed-url http://localhost:8000/v1
sftkit data mix --pretrain data/tiny-base --dataset a.jsonl,b.jsonl --dataset_probs 0.7,0.3
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sftkit.config import SFTConfig
from sftkit.errors import ConfigError, SftkitError
from sftkit.terminal import console_of

data = typer.Typer(help="Look at data before training on them: profile, eval set, match, leaks, mix.", no_args_is_help=True)  # fmt: skip
console = console_of()

Train = Annotated[str, typer.Argument(help="Training data: a file, or several with commas between.")]
Evals = Annotated[str, typer.Argument(help="Eval data, likewise.")]
InputKey = Annotated[str, typer.Option(help="Column of the prompt, or of messages; empty: the usual ones.")]
OutputKey = Annotated[str, typer.Option(help="Column of the answer; empty: the usual ones.")]
TaskKey = Annotated[str, typer.Option(help="Column of the task type; empty: task, or category.")]
Html = Annotated[Path | None, typer.Option(help="Write it as one HTML file.")]
Rules = Annotated[
    Path | None, typer.Option(help="Rules that guess task types: task, tab, regular expression; one a line.")
]
EmbedModel = Annotated[str, typer.Option(help="Embedding model: paraphrases, and clusters as task types.")]
EmbedUrl = Annotated[str, typer.Option(help="Its OpenAI-compatible address; empty: OpenAI's.")]
KeyEnv = Annotated[str, typer.Option("--api-key-env", help="Environment variable that holds the key.")]
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


@data.command()
def profile(
    dataset: Train,
    tokenizer: Annotated[str, typer.Option(help="Model whose tokens are counted.")] = "",
    max_len: Annotated[int | None, typer.Option(help="Longest row, in tokens.")] = None,
    html: Html = None,
    input_key: InputKey = "",
    output_key: OutputKey = "",
    task_key: TaskKey = "",
) -> None:
    """What is in the data: lengths, languages, task types, duplicates and what is wrong."""
    from sftkit.data.lens.profile import profile as look

    found = look(dataset, tokenizer or None, config=_columns(dataset, input_key, output_key, task_key), max_len=max_len)  # fmt: skip
    console.print(str(found), soft_wrap=True)
    if html:
        found.to_html(html)
        console.print(f"page  {html}", soft_wrap=True)


@data.command("eval-set")
def eval_set(
    dataset: Annotated[str, typer.Argument(help="Training data to take it from; with --release, the eval set.")],
    size: Annotated[float, typer.Option(help="Rows, or a share of them below 1.")] = 0.1,
    out: Annotated[Path | None, typer.Option(help="Where it goes (.jsonl); none: only show it.")] = None,
    by: Annotated[str, typer.Option(help="task, language, source, turns or a column; several with commas.")] = "task",
    seed: Annotated[int, typer.Option(help="The same seed takes the same rows.")] = 42,
    least: Annotated[int | None, typer.Option(help="Rows of each stratum at least.", show_default="10")] = None,
    train_out: Annotated[Path | None, typer.Option(help="Write the other rows there, instead of a patch beside the data.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Files that are there may be overwritten.")] = False,
    release: Annotated[bool, typer.Option("--release", help="Take its rows back into training.")] = False,
    rules: Rules = None,
    show_rules: Annotated[bool, typer.Option("--show-rules", help="Print the rules, to be saved and edited.")] = False,
    embed_model: EmbedModel = "",
    embed_url: EmbedUrl = "",
    judge: Annotated[str, typer.Option(help="Model that names the task types of rows without one.")] = "",
    judge_url: Annotated[str, typer.Option(help="Its OpenAI-compatible address.")] = "",
    sure: Annotated[bool, typer.Option("--yes", help="Ask the judge or the embedding model without asking first.")] = False,
    api_key_env: KeyEnv = "OPENAI_API_KEY",
    html: Html = None,
    input_key: InputKey = "",
    output_key: OutputKey = "",
    task_key: TaskKey = "",
) -> None:  # fmt: skip
    """Take an eval set out of training data: by task type and length, unlike any training row, held out by hash."""
    from sftkit.data.lens.eval_files import release as give_back
    from sftkit.data.lens.eval_set import make_eval_set
    from sftkit.data.lens.rows import read
    from sftkit.data.lens.tasks import rules_text

    if show_rules:
        return typer.echo(rules_text(), nl=False)  # rich would turn the tabs into blanks
    if release:
        return console.print(f"{give_back(dataset):,} rows are trained again", soft_wrap=True)
    config = _columns(dataset, input_key, output_key, task_key)
    rows = read(dataset, config=config, whole=True)
    guessing = {"embed": _embedder(embed_model, embed_url, api_key_env), "label": _labeller(judge, judge_url, api_key_env, rules)}  # fmt: skip
    _agreed(rows, guessing, sure)
    wanted = int(size) if size >= 1 else size
    kinds = [name.strip() for name in by.split(",") if name.strip()]
    made = make_eval_set(rows, wanted, kinds, seed=seed, least=least, rules=rules, **guessing)
    console.print(str(made), soft_wrap=True)
    _table(made.by_stratum)
    _page(made, html)
    if out:
        made.save(out, train_out=train_out, overwrite=overwrite)
        console.print(f"eval set  {out}", soft_wrap=True)


@data.command()
def match(
    train: Train,
    evals: Evals,
    rules: Rules = None,
    html: Html = None,
    input_key: InputKey = "",
    output_key: OutputKey = "",
    task_key: TaskKey = "",
) -> None:
    """Whether eval data are like the training data: task types, languages, lengths, turns, words."""
    from sftkit.data.lens.match import match as compare

    found = compare(train, evals, rules=rules, config=_columns(train, input_key, output_key, task_key))
    console.print(str(found), soft_wrap=True)
    _table(found.tasks)
    _page(found, html)


@data.command()
def leaks(
    train: Train,
    evals: Evals,
    near: Annotated[
        float, typer.Option(help="Jaccard similarity from which rows are nearly the same.")
    ] = 0.8,
    embed_model: EmbedModel = "",
    embed_url: EmbedUrl = "",
    api_key_env: KeyEnv = "OPENAI_API_KEY",
    limit: Annotated[int, typer.Option(help="Pairs shown at most.")] = 10,
    html: Html = None,
    input_key: InputKey = "",
    output_key: OutputKey = "",
    task_key: TaskKey = "",
) -> None:
    """Eval rows that are in the training data: exactly, nearly or in other words. Exit code 3 where there are some."""
    from sftkit.data.lens.leak import leaks as look

    embed = _embedder(embed_model, embed_url, api_key_env)
    found = look(train, evals, near=near, embed=embed, config=_columns(train, input_key, output_key, task_key))  # fmt: skip
    console.print(str(found), soft_wrap=True)
    for pair in found.pairs.head(limit).itertuples():
        console.print(f"\n{pair.kind} {pair.similarity:.2f}", soft_wrap=True)
        console.print(f"  {pair.train_source} {pair.train_row}: {_short(pair.train_text)}", soft_wrap=True)
        console.print(f"  {pair.eval_source} {pair.eval_row}: {_short(pair.eval_text)}", soft_wrap=True)
    _page(found, html)
    raise typer.Exit(3 if found.rows else 0)


@data.command(context_settings=SETTINGS)
def mix(context: typer.Context, html: Html = None) -> None:
    """What training draws from each source: rows, tokens, shares, epochs. Takes every setting of a run as a flag."""
    import shlex

    from sftkit.data.lens.mix import mix as look

    found = look(SFTConfig.from_command(shlex.join(["launch", *context.args])))
    console.print(str(found), soft_wrap=True)
    _page(found, html)


def _columns(dataset: str, input_key: str, output_key: str, task_key: str) -> SFTConfig | None:
    """Settings that name the columns; None where the usual ones are meant."""
    named = {"input_key": input_key, "output_key": output_key, "task_key": task_key}
    named = {name: value for name, value in named.items() if value}
    return SFTConfig(pretrain="no model", dataset=dataset, **named) if named else None


def _embedder(model: str, url: str, key_env: str) -> Any:
    from sftkit.data.lens.embedding import Embedder

    return Embedder(model, url or None, key_env) if model else None


def _labeller(model: str, url: str, key_env: str, rules: Path | None) -> Any:
    from sftkit.data.lens.tasks import task_names
    from sftkit.judging.task_labels import TaskLabels

    return TaskLabels(model, task_names(rules), url or None, api_key_env=key_env) if model else None


def _agreed(rows: Any, guessing: dict[str, Any], sure: bool) -> None:
    """Tell what asking takes, and go on only where that is wanted."""
    prompts = [item.prompt for item in rows.items if not item.task]
    asked = guessing["label"] or guessing["embed"]
    if not asked or not prompts:
        return
    console.print(str(asked.estimate(prompts)), soft_wrap=True)
    if not sure and not typer.confirm("Go on?"):
        raise ConfigError("nothing was asked and nothing was made.")


def _page(found: Any, html: Path | None) -> None:
    if html is None:
        return
    try:
        html.write_text(f'<!doctype html><meta charset="utf-8"><title>sftkit</title>{found.html()}', "utf-8")
    except OSError as error:
        raise SftkitError(f"{html}: cannot be written: {error.strerror}.") from None
    console.print(f"page  {html}", soft_wrap=True)


def _table(frame: Any) -> None:
    table = Table(*frame.columns, box=None)
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(f"{cell:.1%}" if isinstance(cell, float) else str(cell), overflow="fold") for cell in row))  # fmt: skip
    console.print(table)


def _short(text: str, width: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + "…"
