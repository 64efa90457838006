"""The shape of a row: any of the columns people have, to a list of messages.

prompt/response columns under any names     {"question": "…", "response": "…"}
a column of messages, OpenAI's or ShareGPT's {"messages": [{"role": "user", "content": "…"}, …]}
                                            {"conversations": [{"from": "human", "value": "…"}, …]}
Alpaca, Dolly                               {"instruction": "…", "input": "…", "output": "…"}
                                            {"instruction": "…", "context": "…", "response": "…"}
Beside them, where present: `system`, the system message; with Alpaca, `history`, [[question, answer], …].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftkit.config import SFTConfig, nearest
from sftkit.data import mixing
from sftkit.data.patched import Patched, kept
from sftkit.data.reading import Row, named_sources, open_source
from sftkit.data.turns import Message, as_turns, earlier, holds_turns, message, plain
from sftkit.errors import DataError
from sftkit.wording import listed, say

# Columns of prompt and answer that are taken unasked, and what is added below that prompt.
SHAPES = {
    ("messages", None): None,
    ("conversations", None): None,
    ("instruction", "output"): "input",
    ("instruction", "response"): "context",
}
_FIELDS = SFTConfig.model_fields
PLAIN_KEYS = (_FIELDS["input_key"].default, _FIELDS["output_key"].default)


@dataclass(frozen=True)
class Columns:
    """Where prompt and answer are. `extra`: added below the prompt; `history`: exchanges before it."""

    prompt: str
    answer: str | None
    extra: str | None = None
    task: str | None = None
    system: str | None = None
    history: str | None = None

    def __str__(self) -> str:
        asked = [self.system, self.history, self.prompt, self.extra]
        names = " + ".join(name for name in asked if name)
        return f"{names} -> {self.answer}" if self.answer else names


@dataclass(frozen=True)
class Example:
    """One row as messages. `row` counts from 1 in its `source`, a file, folder or hub id."""

    messages: list[Message]
    task: str = ""
    row: int = 0
    source: str = ""


def find_columns(
    config: SFTConfig, columns: Iterable[str] | Row, file: object = None, *, elsewhere: bool = False
) -> Columns:
    """The columns to read. `columns`: their names, or a row, whose values then tell what holds conversations.

    `input_key` and `output_key` rule. Where `input_key` is absent and stands at its default, or names a column of
    another source (`elsewhere`), the known shapes are taken too. Raises `DataError` listing the columns and the
    nearest name.
    """
    known = list(columns)
    row = columns if isinstance(columns, Mapping) else {}
    prompt, answer = config.input_key, config.output_key
    if prompt not in known and (elsewhere or prompt == PLAIN_KEYS[0]):
        shapes = (PLAIN_KEYS, *SHAPES)
        fits = (shape for shape in shapes if all(name is None or name in known for name in shape))
        prompt, answer = next(fits, (prompt, answer))
    if answer not in known and (prompt in ("messages", "conversations") or holds_turns(row.get(prompt))):
        answer = None
    for setting, name in (("input_key", prompt), ("output_key", answer)):
        if name is not None and name not in known:
            words = say("no column {name!r} ({setting}). Columns: {columns}.", name=name, setting=setting, columns=", ".join(known))  # fmt: skip
            others = [column for column in known if column not in (prompt, answer)]  # the other one is taken
            raise DataError(listed(filter(None, (words, nearest(name, others))), " "), file=file)

    def there(name: str | None) -> str | None:
        return name if name in known and name not in (prompt, answer) else None

    task = there(config.task_key)
    if task is None and config.task_key == _FIELDS["task_key"].default:
        task = there("category")  # Dolly's name for it
    history = there("history") if (prompt, answer) in SHAPES and answer else None
    return Columns(prompt, answer, there(SHAPES.get((prompt, answer))), task, there("system"), history)


def find_all_columns(
    config: SFTConfig, files: Sequence[str], firsts: Sequence[Row]
) -> list[Columns | DataError]:
    """For each source its columns, or why they cannot be told. `firsts`: a row of each, with every column as a key."""
    found: list[Columns | DataError] = []
    elsewhere = any(config.input_key in first for first in firsts)
    for file, first in zip(files, firsts, strict=True):
        try:
            found.append(find_columns(config, first, file, elsewhere=elsewhere))
        except DataError as error:
            found.append(error)
    return found


def read_examples(config: SFTConfig, split: str = "train", *, hub: bool = False, tell: Callable[[str], None] | None = None) -> list[Example]:  # fmt: skip
    """The rows of one split as messages, by source and then in file order.

    Of the training rows those that `dataset_probs`, `dataset_caps` and `max_samples` draw with the seed (`mixing`).
    Each source finds its own columns. `tell` hears what patches beside the data change. Raises `DataError` with the file
    and the row.
    """
    names, wanted = named_sources(config, split)
    sources = [open_source(name, wanted, hub=hub) for name in names]
    for source in sources if tell else ():
        if isinstance(source, Patched):
            tell(str(source))
    firsts = [first_row(source) for source in sources]
    numbers = used(config, split, sources)
    examples: list[Example] = []
    for name, columns, source, chosen in zip(
        names, find_all_columns(config, names, firsts), sources, numbers
    ):
        if isinstance(columns, DataError):
            raise columns
        rows = zip(chosen, source.take(chosen))
        examples += [to_example(row, columns, file=name, number=number + 1) for number, row in rows]
    return examples


def first_row(source: Any) -> Row:
    """A row that tells the columns: every column as a key, with the values of the first row that is used."""
    return dict.fromkeys(source.columns) | source.take(kept(source)[:1])[0]


def used(config: SFTConfig, split: str, sources: Sequence[Any]) -> list[Sequence[int]]:
    """Numbers (0 = the first of the file) of the rows that are used of each opened source: of those that its patch leaves,
    what `mixed` draws. So a patch draws the rows that the file would with its rows deleted by hand."""
    left = [kept(source) for source in sources]
    chosen = mixed(config, split, [len(rows) for rows in left])
    return [numbers if isinstance(rows, range) else [rows[number] for number in numbers] for rows, numbers in zip(left, chosen, strict=True)]  # fmt: skip


def mixed(config: SFTConfig, split: str, counts: Sequence[int]) -> list[Sequence[int]]:
    """Which rows of each source are used, given how many each has: held-out rows are all used."""
    if split == "eval":
        return [range(count) for count in counts]
    return mixing.drawn(counts, probs=config.dataset_probs, caps=config.dataset_caps, max_samples=config.max_samples, seed=config.seed)  # fmt: skip


def to_example(row: Row, columns: Columns, *, file: object = None, number: int = 0) -> Example:
    """One row as messages. A missing answer becomes an empty one, which trains nothing and is counted later."""

    def fault(text: str, field: str) -> DataError:
        return DataError(text, file=file, row=number or None, field=field)

    def text_of(name: str | None) -> str:
        return plain(row.get(name), name, fault) if name else ""

    if (
        columns.prompt not in row and columns.answer not in row
    ):  # a row of another shape: it would be an empty one
        words = say("has no such column, which the rows of this source have; it has {columns}.", columns=", ".join(map(str, row)) or "{}")  # fmt: skip
        raise fault(words, columns.prompt)
    messages = _asked(row.get(columns.prompt), columns, fault)
    if messages is None:
        text, more = text_of(columns.prompt), text_of(columns.extra)
        messages = [{"role": "user", "content": f"{text}\n\n{more}" if more else text}]
    if columns.history:
        messages = earlier(row.get(columns.history), columns.history, fault) + messages
    if (system := text_of(columns.system)) and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    if columns.answer is not None and messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": text_of(columns.answer)})
    task = row.get(columns.task) if columns.task else None
    return Example(messages, "" if task is None else str(task), number, "" if file is None else str(file))


def _asked(prompt: Any, columns: Columns, fault: Any) -> list[Message] | None:
    """The conversation in the prompt column; None where that holds plain text."""
    turns = None if isinstance(prompt, str) and columns.answer is not None else as_turns(prompt)
    if turns is None and columns.answer is None:
        raise fault(say("should be a list of messages; with plain text, set output_key."), columns.prompt)
    if turns == []:
        raise fault(say("holds no messages."), columns.prompt)
    return turns and [message(turn, columns.prompt, fault) for turn in turns]
