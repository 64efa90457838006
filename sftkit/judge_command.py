"""What `sftkit judge` does: verdicts of a judge into a store, what they would cost, and what the store says again."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sftkit.errors import ConfigError, Fault, JudgeError

# The flags of the command that are no rules: a slip in one of them comes here too.
OPTIONS = "store model base-url limit estimate spend-limit exam replay diff rules max-concurrency requests-per-minute tokens-per-minute timeout max-retries prices api-key-env".split()  # fmt: skip


def apart(answers: Path | None, words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The answers' file and the flags of rules: where no file is given, the first such flag was taken for it."""
    if answers is not None and str(answers).startswith("--"):
        return None, [str(answers), *words]
    return answers, list(words)


def rules_of(words: Sequence[str]) -> dict[str, Any]:
    """The rules of a Protocol given as flags: `--both-orders false --questions=off`. ConfigError with every fault."""
    from sftkit.judging import Protocol

    known = {name for name, *_ in Protocol.fields()}
    found, faults = {}, []
    for name, value in _pairs(words):
        if name not in known:
            close = difflib.get_close_matches(name.replace("_", "-"), OPTIONS, n=1, cutoff=0.8)
            near = f"Did you mean --{close[0]}?" if close else Protocol.nearest(name)
            faults.append(Fault(f"--{name}", "is no flag of sftkit judge.", near))
        elif value is None:
            faults.append(Fault(f"--{name}", "needs a value.", f"Write --{name} VALUE."))
        else:
            try:
                found[name] = Protocol.parsed(name, value)
            except ValueError as error:
                faults.append(Fault(f"--{name}", str(error)))
    if faults:
        raise ConfigError(faults)
    return found


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, given, value = word.lstrip("-").partition("=")
        if not given:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else None
        yield name.replace("-", "_"), value


def show_rules(console: Console) -> None:
    """Every rule of the judge: its flag, its default, what it does."""
    from sftkit.judging import Protocol

    table = Table("flag", "default", "", box=None)
    for name, default, choices, words in Protocol.fields():
        shown = (
            "all six" if isinstance(default, tuple) else "none" if default is None else str(default).lower()
        )
        table.add_row(
            f"--{name.replace('_', '-')}", shown, words + (f" ({', '.join(choices)})" if choices else "")
        )
    console.print(table)


def show_estimate(judge: Any, answers: Any, store: Any, limit: int | None, console: Console) -> None:
    console.print(f"{judge.rater}: {judge.estimate(answers, store, limit)}", soft_wrap=True)


def run(
    judge: Any, answers: Any, store: Any, limit: int | None, spend_limit: float | None, console: Console
) -> None:
    """The judge's run, told before and after. An interrupt leaves what was answered in the store."""
    from sftkit.judging.exam import reminder

    show_estimate(judge, answers, store, limit, console)
    if words := reminder(judge, store, "the same command with --exam"):
        console.print(words, soft_wrap=True)
    try:
        judge.rate(answers, store=store, limit=limit, spend_limit=spend_limit, remind=False)
    except KeyboardInterrupt:
        console.print("stopped; what was answered is in the store, and the same command goes on from there")
        raise
    now = judge.progress
    spent = f", ${now.spent:.4f}" if now.spent is not None else ""
    console.print(f"{now.scored} of {now.total} calls answered in {now.seconds:.0f} s{spent}", soft_wrap=True)
    if now.stopped == "spend_limit":
        console.print(
            f"stopped at the spending limit of ${spend_limit:.2f}; the same command with a higher one goes on"
        )
    failures = judge.failures(store)
    if len(failures):
        words = ", ".join(f"{row.n} {row.reason}" for row in failures.itertuples())
        console.print(f"unscored, asked again by the same command: {words}", soft_wrap=True)
    show_canaries(judge, store, console)


def show_exam(judge: Any, store: Any, spend_limit: float | None, console: Console) -> bool:
    """Let the judge sit its admission exam, told before and after; False where it failed."""
    from sftkit.judging.exam import Sitting

    sitting = Sitting(judge, store)
    console.print(f"{judge.rater}: {sitting.estimate()}", soft_wrap=True)
    found = sitting.run(spend_limit=spend_limit)
    colour = {True: "green", False: "red", None: "yellow"}[found.passed]
    console.print(Text(str(found), style=colour), soft_wrap=True)
    return found.passed is not False


def show_canaries(judge: Any, store: Any, console: Console) -> None:
    """Red where an answer that must not win did."""
    found = judge.canaries(store)
    if found.empty:
        return
    bad = found[~found["ok"]]
    if bad.empty:
        console.print(Text(f"canaries: none of {int(found['n'].sum())} broke its rule", style="green"))
        return
    kinds = "; ".join(
        f"{row.kind} must {row.must} and did not in {100 * row.rate:.0f} % of {row.n}"
        for row in bad.itertuples()
    )
    console.print(Text(f"canaries: this judge can be fooled. {kinds}", style="red"), soft_wrap=True)


def show_replay(store: Any, console: Console) -> None:
    """Every reply in the store read again, without a call."""
    from sftkit.judging import replay

    again = replay(store)
    if again.empty:
        raise JudgeError("no reply of a judge is in this store: run sftkit judge with a --model first")
    changed = again[~again["same"]]
    console.print(
        f"{len(again)} replies read again: {len(again) - len(changed)} as before, {len(changed)} otherwise"
    )
    _rows(changed, ["rater", "prompt_id", "model_a", "model_b", "verdict", "replayed", "reason"], console)


def show_diff(store: Any, rater_x: str, rater_y: str, console: Console) -> None:
    """The comparisons on which two raters differ."""
    from sftkit.judging import diff

    changed = diff(store, rater_x, rater_y)
    console.print(f"{len(changed)} comparisons on which {rater_x} and {rater_y} differ", soft_wrap=True)
    _rows(changed, ["prompt_id", "task", "model_a", "model_b", "verdict_x", "verdict_y"], console)


def _rows(frame: Any, columns: list[str], console: Console, most: int = 50) -> None:
    if frame.empty:
        return
    table = Table(*columns, box=None)
    for row in frame.head(most)[columns].itertuples(index=False):
        table.add_row(
            *(Text("" if cell is None or cell != cell else str(cell), overflow="fold") for cell in row)
        )
    console.print(table)
    if len(frame) > most:
        console.print(f"and {len(frame) - most} more")


def judge_of(model: str, base_url: str, rules: dict[str, Any], **options: Any) -> Any:
    """The judge; an option that is None has the judge's own default."""
    from sftkit.judging import Judge

    options = {name: value for name, value in options.items() if value is not None}
    return Judge(model, base_url or None, **options, **rules)


def answers_at(path: Path | None) -> Any:
    from sftkit.generation import Generations

    if path is None:
        raise JudgeError("which answers? Give the Parquet file of `sftkit generate`")
    return Generations.load(path)
