"""What a run card says, section by section: plain values, not yet HTML or Markdown. Everything here is what the run's
folder holds; what an older run did not record is said to be missing, never guessed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from sftkit.config import SFTConfig
from sftkit.errors import SftkitError
from sftkit.report.scrub import Scrub
from sftkit.runs.model_card import ABSENT, COUNTS
from sftkit.runs.replay import Replay
from sftkit.wording import as_it_is, in_language, listed, say

SAMPLES = 12  # prompts shown
LONGEST = 2_000  # characters of a text shown


@dataclass(frozen=True)
class Table:
    """Rows of text; `numeric`: the places of the columns that hold figures. `fold`: shown when opened, under these words."""

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numeric: frozenset[int] = frozenset()
    fold: str = ""


@dataclass(frozen=True)
class Answers:
    """One prompt with the answers of the first and the last checkpoint."""

    prompt: str
    task: str
    reference: str
    answers: list[tuple[str, str]]  # (which checkpoint, answer)


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order."""

    title: str
    about: str = ""
    tables: list[Table] = field(default_factory=list)
    picture: bytes = b""  # PNG
    alt: str = ""
    text: str = ""  # raw: a log, shown as it stands
    answers: list[Answers] = field(default_factory=list)
    code: str = ""


def sections(run: Any, scrub: Scrub, lang: str = "en") -> list[Section]:
    """Every section that has something to say of `run` in "en" or "zh", without secrets and paths of the machine."""
    record, status, metrics = run.record, run.status, run.metrics()
    makers = (
        lambda: _failure(run),
        lambda: _data(run, record),
        lambda: _settings(run.config),
        lambda: _curve(run, metrics, lang),
        lambda: _tasks(metrics),
        lambda: _samples(run),
        lambda: _times(record, status, metrics),
        lambda: _surroundings(record),
        lambda: _replay(run, scrub),
    )
    told = _Told(scrub, lang)
    return [_scrubbed(section, told) for make in makers if (section := make()) is not None]


def summary(run: Any, scrub: Scrub, lang: str = "en") -> list[str]:
    """The run in two or three sentences."""
    status, config, metrics = run.status, run.config, run.metrics()
    losses, evals = metrics["loss"].dropna(), metrics["eval_loss"].dropna()
    done = say("{step:,} of {total:,} steps", step=status.step, total=status.total_steps) if status.total_steps else say("{step:,} steps", step=status.step)  # fmt: skip
    said = [say("{pretrain}, tuned on {dataset}: {state} after {done}.", pretrain=config.pretrain, dataset=config.dataset, state=say(status.state), done=done)]  # fmt: skip
    if status.reason:
        said.append(status.reason[:LONGEST])
    if len(losses):
        ends = {"first": losses.iloc[0], "last": losses.iloc[-1]}
        with_evals = say("Loss {first:.4f} at the first logged step, {last:.4f} at the last; eval loss {evals:.4f}.", **ends, evals=evals.iloc[-1]) if len(evals) else None  # fmt: skip
        said.append(with_evals or say("Loss {first:.4f} at the first logged step, {last:.4f} at the last.", **ends))  # fmt: skip
    told = _Told(scrub, lang)
    return [told(line) for line in said]


def _failure(run: Any) -> Section | None:
    diagnosis = run.diagnosis
    if diagnosis is None:
        return None
    fixes = [(fix.fix_label or fix.field, fix.message) for fix in diagnosis.fixes]
    tables = [Table((say("change"), say("why")), fixes)] if fixes else []
    title = say("Why it failed: {title}", title=diagnosis.title)
    return Section(title, diagnosis.explanation, tables, text=diagnosis.evidence)


def _data(run: Any, record: dict[str, Any]) -> Section:
    files = [
        (entry["split"], entry["path"], _figure(entry["rows"]), entry["sha256"] or say(ABSENT))
        for entry in record.get("data") or []
    ]
    counts = {split: run.rows.get(split, {}) for split in ("train", "eval")}
    shown = [split for split in counts if counts[split]]
    lines = [
        (say(words), *(_figure(counts[split].get(name)) for split in shown)) for name, words in COUNTS.items()
    ]
    tables = (
        [Table((say("split"), say("source"), say("rows"), "SHA-256"), files, frozenset({2}))] if files else []
    )
    tables += (
        [Table((say("count"), *map(say, shown)), lines, frozenset(range(1, 1 + len(shown))))] if shown else []
    )
    tables += _patches(record)
    trained = counts["train"].get("trained_tokens")
    epochs = run.config.max_epochs
    much = say("{n:,} trained tokens in all, over {epochs} epochs", n=trained * epochs, epochs=epochs) if trained else say(ABSENT)  # fmt: skip
    about = say("What became of the rows: {much}.", much=much)
    return Section(say("Data"), about, tables)


def _patches(record: dict[str, Any]) -> list[Table]:
    """What patches beside the data changed of it."""
    patched = [(entry["path"], entry["patch"]) for entry in record.get("data") or [] if entry.get("patch")]
    lines = [
        (
            path,
            patch["file"],
            *(_figure(patch[name]) for name in ("edited", "excluded", "lost")),
            patch["sha256"],
        )
        for path, patch in patched
    ]
    columns = (say("source"), say("patch"), say("rows edited"), say("rows left out"), say("changes not applied"), "SHA-256")  # fmt: skip
    return [Table(columns, lines, frozenset({2, 3, 4}))] if lines else []


def _settings(config: SFTConfig) -> Section:
    changed = config.changed()
    rows = {True: [], False: []}
    for name, info in SFTConfig.model_fields.items():
        rows[name in changed].append((name, _value(getattr(config, name)), as_it_is(info.description or "")))
    columns = (say("setting"), say("value"), say("what it does"))
    rest = Table(columns, rows[False], fold=say("{n} settings at their defaults", n=len(rows[False])))
    return Section(say("Settings"), "", [Table(columns, rows[True]), rest])


def _curve(run: Any, metrics: pd.DataFrame, lang: str) -> Section | None:
    losses = metrics[["step", "loss"]].dropna()
    if losses.empty:
        return None
    from sftkit.report.curves import WORDS, png_bytes

    evals = metrics[["step", "eval_loss"]].dropna()
    x, y = losses["step"], losses["loss"]
    alt = say("Loss by step, from {first:.3f} at step {begin} to {last:.3f} at step {end}; lowest {least:.3f}.", first=y.iloc[0], begin=int(x.iloc[0]), last=y.iloc[-1], end=int(x.iloc[-1]), least=y.min())  # fmt: skip
    if len(evals):
        ends = {"first": evals["eval_loss"].iloc[0], "last": evals["eval_loss"].iloc[-1]}
        alt = listed([alt, say("Eval loss from {first:.3f} to {last:.3f}.", **ends)], " ")
    about = say("Mean over the trained tokens of each step, nats a token.")
    words = {name: in_language(as_it_is(word), lang) for name, word in WORDS.items()}
    return Section(say("Loss"), about, picture=png_bytes(run, dpi=110, words=words), alt=alt)


def _tasks(metrics: pd.DataFrame) -> Section | None:
    """Eval losses: all of them where there are few, else the first and the last; a column each, a line a task."""
    evals = metrics.dropna(subset=["eval_loss"])
    if evals.empty:
        return None
    shown = evals if len(evals) <= 6 else pd.concat([evals.head(2), evals.tail(4)])
    steps = tuple(say("step {n:,}", n=int(step)) for step in shown["step"])
    by_task = [value if isinstance(value, dict) else {} for value in shown["eval_loss_by_task"]]
    lines = [(say("all"), *(f"{loss:.4f}" for loss in shown["eval_loss"]))]
    for task in sorted({task for losses in by_task for task in losses}):
        lines.append((task or say("(no task)"), *(_loss(losses.get(task)) for losses in by_task)))
    return Section(say("Eval loss by task"), say("On held-out rows, nats a trained token."), [Table((say("task"), *steps), lines, frozenset(range(1, 1 + len(steps))))])  # fmt: skip


def _samples(run: Any) -> Section | None:
    samples = run.samples() if hasattr(run, "samples") else pd.DataFrame()
    if samples.empty:
        return None
    first, last = int(samples["step"].min()), int(samples["step"].max())
    steps = [first] if first == last else [first, last]
    found: dict[str, Answers] = {}
    for row in samples[samples["step"].isin(steps)].sort_values("step", kind="stable").to_dict("records"):
        key = json.dumps(row["prompt"], sort_keys=True, default=str)
        if key not in found and len(found) == SAMPLES:
            continue
        known = found.setdefault(key, Answers(_prompt(row["prompt"]), _text(row.get("task")), _text(row.get("reference")), []))  # fmt: skip
        known.answers.append((say("step {n:,}", n=int(row["step"])), _text(row["response"])))
    return Section(say("Answers"), say("The same prompts at the first and the last checkpoint."), answers=list(found.values()))  # fmt: skip


def _times(record: dict[str, Any], status: Any, metrics: pd.DataFrame) -> Section:
    from sftkit.runs.times import time_spent

    def last(column: str) -> float | None:
        values = metrics[column].dropna() if column in metrics else []
        return float(values.iloc[-1]) if len(values) else None

    speeds = (
        metrics["tokens_per_second"].dropna() if "tokens_per_second" in metrics else pd.Series(dtype=float)
    )
    memory = metrics["memory_mb"].dropna() if "memory_mb" in metrics else pd.Series(dtype=float)
    lines = [
        (say("launched"), record.get("created") or say(ABSENT)),
        (say("from start to end"), _time(time_spent(record, status))),
        (say("training steps alone"), _time(last("seconds"))),
        (say("tokens trained on, masked ones included"), _figure(last("tokens"))),
        (say("tokens a second (median)"), _figure(speeds.median() if len(speeds) else None)),
        (say("peak memory of the first process"), f"{memory.max():,.0f} MB" if len(memory) else say(ABSENT)),
    ]
    return Section(say("Time and memory"), "", [Table((say("what"), say("figure")), lines)])


def _surroundings(record: dict[str, Any]) -> Section:
    machine, versions = record.get("machine") or {}, record.get("versions") or {}
    memory = machine.get("memory_mb")
    lines = [
        (say("processes"), _figure(record.get("processes"))),
        (say("GPUs used"), ", ".join(map(str, record.get("gpus") or ())) or (say("the first") if machine.get("gpus") else say("none"))),
        (say("GPUs of the machine"), ", ".join(machine.get("gpus") or ()) or (say("none") if machine else say(ABSENT))),
        ("CPU", say("{cpu}, {n} cores", cpu=machine["cpu"], n=machine.get("cores")) if machine.get("cpu") else say(ABSENT)),
        (say("memory"), f"{memory:,} MB" if memory else say(ABSENT)),
        (say("system"), machine.get("system") or say(ABSENT)),
        ("git", say("commit {hash}", hash=record["git_commit"]) if record.get("git_commit") else say(ABSENT)),
    ]  # fmt: skip
    packages = [(name, str(version)) for name, version in versions.items()]
    model = [(say("model's {part}", part=say(part)), digest) for part, digest in (record.get("model") or {}).items() if part != "path" and digest]  # fmt: skip
    tables = [Table((say("what"), say("it was")), [*lines, *model])]
    return Section(say("Machine and versions"), "", tables + ([Table((say("package"), say("version")), packages)] if packages else []))  # fmt: skip


def _replay(run: Any, scrub: Scrub) -> Section | None:
    """Code with the paths of this card, so that it runs where these lead to the same files."""
    if not run.status.ended:
        return None
    try:
        replay = Replay.of(run)
        config = SFTConfig.from_dict(scrub.deep(replay.config.to_dict()))
        code = replace(replay, config=config, data=scrub.deep(replay.data)).to_code()
    except (SftkitError, KeyError) as error:
        return Section(say("Replay"), say("This run cannot be launched anew: {error}", error=error))
    return Section(say("Replay"), say("A notebook cell that launches the run anew, in the folder that the paths start from. It first says what is not as it was; where nothing differs, the losses are the same to the last bit."), code=code)  # fmt: skip


@dataclass(frozen=True)
class _Told:
    """Called with a text: what stands on the card for it, in the card's language and without what is nobody's business."""

    scrub: Scrub
    lang: str

    def __call__(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(self(one) for one in value)
        return self.scrub.deep(in_language(value, self.lang) if isinstance(value, str) else value)


def _scrubbed(section: Section, told: _Told) -> Section:
    clean = {name: told(getattr(section, name)) for name in ("title", "about", "alt", "text", "code")}
    tables = [replace(table, rows=told(table.rows), columns=told(table.columns), fold=told(table.fold)) for table in section.tables]  # fmt: skip
    answers = [Answers(*told([one.prompt, one.task, one.reference, one.answers])) for one in section.answers]
    return replace(section, **clean, tables=tables, answers=answers)


def _prompt(messages: Any) -> str:
    """The conversation as text: the last question alone, where it is all there is."""
    turns = messages if isinstance(messages, list) else [{"role": "user", "content": str(messages)}]
    alone = len(turns) == 1
    return "\n".join(_lines(turns, alone))[:LONGEST]


def _lines(turns: list[Any], alone: bool) -> Iterator[str]:
    for turn in turns:
        content = str(turn.get("content", "")) if isinstance(turn, dict) else str(turn)
        yield content if alone else f"{turn.get('role', '')}: {content}"


def _text(value: Any) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def _value(value: Any) -> str:
    if value is None:
        return say("none")
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return repr(value) if isinstance(value, float) else str(value)


def _figure(value: Any) -> str:
    known = isinstance(value, (int, float)) and not (isinstance(value, float) and math.isnan(value))
    return f"{value:,.0f}" if known else say(ABSENT)


def _loss(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else ""


def _time(seconds: float | None) -> str:
    if seconds is None:
        return say(ABSENT)
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return say("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return (
        say("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
        if minutes
        else say("{n:.1f} s", n=seconds)
    )
