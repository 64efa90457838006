"""Preflight checks of the rows: columns, empty answers, what is cut, and what the eval set shares with training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sftkit.data import Columns, Example, encoder
from sftkit.data.lens.leak import asked_twice
from sftkit.data.lens.rows import Item
from sftkit.data.turns import holds_turns
from sftkit.errors import DataError
from sftkit.runs.findings import Finding, check
from sftkit.runs.look import Look
from sftkit.runs.sources import Seen, Split, answer_of, prompt_of
from sftkit.wording import said_of, say

# Names that data sets give to the two columns, the likeliest first.
PROMPTS = "prompt question instruction query input problem user human text_input source".split()
ANSWERS = "response answer output completion chosen target solution reply assistant gpt label".split()
CONVERSATIONS = "messages conversations conversation chat dialogue".split()
ANY_LENGTH = 10**6  # tokens: longer than any row
MANY_CUT = 0.05  # share of rows cut at max_len that is worth a word


@check
def columns_are_there(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        for source, columns in split.columns:
            if not isinstance(columns, DataError):
                continue
            fix = _mapping(split, source)
            named = look.config.input_key not in source.rows[0]
            key = "input_key" if named else "output_key"
            yield Finding("stop", key if field == "dataset" else field, said_of(columns), fix, _label(fix))


def _label(fix: dict[str, Any]) -> str:
    return say("Set {settings}", settings=", ".join(f"{name}={value!r}" for name, value in fix.items())) if fix else ""  # fmt: skip


def _mapping(split: Split, source: Seen) -> dict[str, Any]:
    """The proposed columns, where the other sources can be read with them too."""
    fix = proposed_mapping(source.rows[:1000])
    mended = Split(split.config.with_(**fix), split.split, split.sources).columns
    spoilt = [name for (name, now), (_, was) in zip(mended, split.columns) if isinstance(now, DataError) and isinstance(was, Columns)]  # fmt: skip
    return {} if spoilt else fix


def proposed_mapping(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns that most likely hold prompt and answer: by their names, else the only two that hold text."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    by_low = {name.lower(): name for name in reversed(names)}
    for talk in CONVERSATIONS:
        if talk in by_low and holds_turns(rows[0].get(by_low[talk])):
            return {"input_key": by_low[talk], "output_key": None}
    prompt = next((by_low[name] for name in PROMPTS if name in by_low), None)
    answer = next((by_low[name] for name in ANSWERS if name in by_low and by_low[name] != prompt), None)
    if prompt and answer:
        return {"input_key": prompt, "output_key": answer}
    texts = [name for name in names if _is_text([row.get(name) for row in rows])]
    if len(texts) == 2:
        first = prompt if prompt in texts else next((name for name in texts if name != answer), texts[0])
        return {"input_key": first, "output_key": next(name for name in texts if name != first)}
    return {}


def _is_text(values: list[Any]) -> bool:
    """Whether a column holds text, though a row in ten may have none: such rows are told of one by one."""
    given = [value for value in values if value is not None]
    return len(given) >= 0.9 * len(values) and all(isinstance(value, str) for value in given)


@check("tokenizer")
def rows_have_shape(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        for _, _, faults in split.shaped:
            if faults:
                one = len(faults) == 1
                words = say("1 row cannot be used. It is: {first}", first=said_of(faults[0])) if one else say("{n} rows cannot be used. The first: {first}", n=len(faults), first=said_of(faults[0]))  # fmt: skip
                yield Finding("stop", field, words)


@check("tokenizer")
def rows_are_not_empty(look: Look) -> Iterator[Finding]:
    for field, split in look.splits.items():
        for source, examples, _ in split.shaped:
            yield from _empty(field, split, source, examples)


def _empty(field: str, split: Split, source: Seen, examples: list[Example]) -> Iterator[Finding]:
    """What the rows of one source lack; where all of them lack it, columns that have it."""
    for what, empty in (
        (say("prompt"), [example for example in examples if not prompt_of(example)]),
        (say("answer"), [example for example in examples if not answer_of(example)]),
    ):
        if not empty:
            continue
        everywhere = len(empty) == len(examples)
        effect = say("it trains nothing") if what == "answer" else say("the answer is taught to no question")
        some = say("{n} of {total} rows has", n=1, total=len(examples)) if len(empty) == 1 else say("{n} of {total} rows have", n=len(empty), total=len(examples))  # fmt: skip
        count = say("every row has") if everywhere else some
        level = "stop" if everywhere and what == "answer" else "warn"
        first = split.name_of(empty[0])
        filled = [{name: value for name, value in row.items() if value} for row in source.rows[:1000]]
        fix = proposed_mapping(filled) if everywhere else {}
        if fix == {name: getattr(split.config, name) for name in fix}:
            fix = {}
        yield Finding(level, field, say("{count} an empty {what} (the first: {first}): {effect}.", count=count, what=what, first=first, effect=effect), fix, _label(fix))  # fmt: skip


@check("tokenizer")
def tokens_are_trained(look: Look) -> Iterator[Finding]:
    seen = look.encoded
    if isinstance(seen, DataError):
        set_by = [name for name in ("chat_template", "apply_chat_template") if getattr(look.config, name)]
        yield Finding("stop", *set_by or ["pretrain"], said_of(seen))
        return
    if not seen:
        return
    cut = [row for row in seen if row.truncated]
    idle = [example for example, row in zip(look.looked_at, seen) if not row.loss_mask.any()]
    of = (
        say("of {n} rows looked at", n=len(seen))
        if len(seen) < look.rows_used
        else say("of {n} rows", n=len(seen))
    )
    if len(idle) == len(seen):
        yield Finding(
            "stop",
            "max_len" if cut else "dataset",
            say("None {of} has a token to train on: {why_idle}.", of=of, why_idle=_why_idle(cut)),
        )
    elif idle:
        yield Finding("warn", "dataset", say("{idle} {of} have no token to train on ({row} for one): {why_idle}.", idle=len(idle), of=of, row=look.train.name_of(idle[0]), why_idle=_why_idle(cut)), *(_longer(look) if cut else ({}, "")))  # fmt: skip
    if cut:
        level = "warn" if len(cut) > MANY_CUT * len(seen) else "inform"
        yield Finding(level, "max_len", say("{cut} {of} are longer than max_len {max_len} and are cut; a cut answer is not taught to end.", cut=len(cut), of=of, max_len=look.config.max_len), *_longer(look))  # fmt: skip
    if shorter := [row for row in seen if row.dropped_turns and not row.truncated]:
        turns = sum(row.dropped_turns for row in shorter)
        yield Finding("inform", "max_len", say("{shorter} {of} do not fit max_len {max_len} and lose their last turns ({turns} messages); they end with a whole answer.", shorter=len(shorter), of=of, max_len=look.config.max_len, turns=turns))  # fmt: skip


def _longer(look: Look) -> tuple[dict[str, int], str]:
    """The max_len that holds every row looked at, as far as the model's positions go; none where that helps nobody."""
    whole = encoder(look.local.with_(max_len=ANY_LENGTH))
    cut = [example for example, row in look.seen if row.truncated]
    needed = max(len(row.input_ids) for row in whole.encode(cut))
    most = look.model_config.get("max_position_embeddings") or needed
    better = min(-(-needed // 64) * 64, most)
    if better <= look.config.max_len:
        return {}, ""
    return {"max_len": better}, say("Set max_len={better}", better=better)


@check("tokenizer")
def rows_fit_the_positions(look: Look) -> Iterator[Finding]:
    """Beyond its positions a model has learned nothing of where a token stands; some fail, others babble."""
    most = look.model_config.get("max_position_embeddings")
    if not isinstance(most, int) or look.config.max_len <= most:
        return
    longer = [example for example, row in look.seen if row.used > most]
    if longer:
        yield Finding("warn", "max_len", say("{longer} of {seen} rows looked at ({row} for one) are longer than the {most} tokens that the model was made for.", longer=len(longer), seen=len(look.seen), row=look.train.name_of(longer[0]), most=most), {"max_len": most}, say("Set max_len={most}", most=most))  # fmt: skip


def _why_idle(cut: list) -> str:
    return say("the prompt alone fills max_len") if cut else say("the answers are empty")


@check("tokenizer")
def eval_rows_in_training(look: Look) -> Iterator[Finding]:
    train, evals = look.train.examples, look.eval.examples
    if not train or not evals:
        return
    trained = {source.place.resolve() for source in look.train.sources if source.place}
    if same := [source for source in look.eval.sources if source.place and source.place.resolve() in trained]:
        what = say("It") if len(look.eval.sources) == 1 else same[0].name
        yield Finding("warn", "eval_dataset", say("{what} is the training data itself: the eval loss will say nothing about new rows.", what=what))  # fmt: skip
        return
    pairs = list(
        asked_twice(*([Item(one.source, one.row, one).asks for one in rows] for rows in (train, evals)))
    )
    if pairs:
        shared = [evals[number] for number in sorted({number for _, number, _ in pairs})]
        equal = len({number for _, number, same_answer in pairs if same_answer})
        first = "" if look.train.whole else say(" (in the first {n} training rows)", n=len(train))
        yield Finding("warn", "eval_dataset", say("{shared} of {evals} eval prompts are in the training data too{first}, {equal} of them with the same answer. The first: {row}.", shared=len(shared), evals=len(evals), first=first, equal=equal, row=look.eval.name_of(shared[0])))  # fmt: skip


@check("tokenizer")
def tasks_missing_from_eval(look: Look) -> Iterator[Finding]:
    train, evals = ({example.task for example in split.examples} - {""} for split in look.splits.values())
    missing = sorted(train - evals)
    if look.eval.examples and missing:
        named = ", ".join(missing[:5])
        named = say("{names} and {n} more", names=named, n=len(missing) - 5) if len(missing) > 5 else named
        columns = {found.task for _, found in look.train.columns if isinstance(found, Columns) and found.task}
        by = ", ".join(sorted(columns))
        yield Finding(
            "warn",
            "eval_dataset",
            say("Trained but never evaluated: {named} (by column {by}).", named=named, by=by),
        )
