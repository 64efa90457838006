"""The shape of a row: any of the columns people have, to a list of messages.

prompt/response columns under any names     {"question": "…", "response": "…"}
a column of messages                        {"messages": [{"role": "user", "content": "…"}, …]}
Alpaca                                      {"instruction": "…", "input": "…", "output": "…"}
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sftkit.config import SFTConfig, nearest
from sftkit.data.reading import Row, read_rows
from sftkit.errors import DataError

_HALF = re.compile(
    "[\ud800-\udfff]"
)  # a lone surrogate: what is left of an emoji cut in two in JSON's spelling

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True)
class Columns:
    """Where prompt and answer are. `extra`: Alpaca's `input`, added below the instruction."""

    prompt: str
    answer: str | None
    extra: str | None = None
    task: str | None = None


@dataclass(frozen=True)
class Example:
    """One row as messages. `row` counts from 1 in its file."""

    messages: list[Message]
    task: str = ""
    row: int = 0


def find_columns(config: SFTConfig, columns: Iterable[str], file: object = None) -> Columns:
    """The columns to read. `input_key` and `output_key` rule; when they stand at their defaults and are absent,
    `messages` and Alpaca's names are taken too. Raises `DataError` listing the columns and the nearest name."""
    known = list(columns)
    task = config.task_key if config.task_key in known else None
    prompt, answer = config.input_key, config.output_key
    if prompt == SFTConfig.model_fields["input_key"].default and prompt not in known:
        if "messages" in known:
            prompt, answer = "messages", None
        elif "instruction" in known and "output" in known:
            prompt, answer = "instruction", "output"
    extra = "input" if (prompt, answer) == ("instruction", "output") and "input" in known else None
    holds_messages = prompt in ("messages", "conversations")
    if answer not in known and holds_messages:
        answer = None
    for setting, name in (("input_key", prompt), ("output_key", answer)):
        if name is not None and name not in known:
            hint = nearest(name, known)
            raise DataError(f"no column {name!r} ({setting}). Columns: {', '.join(known)}. {hint}".rstrip(), file=file)  # fmt: skip
    return Columns(prompt, answer, extra, task)


def read_examples(config: SFTConfig, split: str = "train", *, hub: bool = False) -> list[Example]:
    """The rows of one split as messages, in file order; `max_samples` of the training rows, drawn with the seed.

    Raises `DataError` with the file and the row.
    """
    rows = read_rows(config, split, hub=hub)
    if not rows:
        return []
    file = config.eval_dataset if split == "eval" else config.dataset
    columns = find_columns(config, dict.fromkeys(key for row in rows for key in row), file)
    numbers = range(len(rows))
    if split == "train" and config.max_samples and config.max_samples < len(rows):
        numbers = sorted(random.Random(config.seed).sample(numbers, config.max_samples))
    return [to_example(rows[number], columns, file=file, number=number + 1) for number in numbers]


def to_example(row: Row, columns: Columns, *, file: object = None, number: int = 0) -> Example:
    """One row as messages. A missing answer becomes an empty one, which trains nothing and is counted later."""

    def fault(message: str, field: str) -> DataError:
        return DataError(message, file=file, row=number or None, field=field)

    prompt = row.get(columns.prompt)
    if isinstance(prompt, str) and columns.answer is None:
        prompt = _parsed(prompt)
    if isinstance(prompt, list):
        messages = [_message(turn, columns.prompt, fault) for turn in prompt]
    elif columns.answer is None:
        raise fault("should be a list of messages; with plain text, set output_key.", columns.prompt)
    else:
        text = _plain(prompt, columns.prompt, fault)
        more = _plain(row.get(columns.extra), columns.extra, fault) if columns.extra else ""
        messages = [{"role": "user", "content": f"{text}\n\n{more}" if more else text}]
    if columns.answer is not None and not (messages and messages[-1]["role"] == "assistant"):
        answer = _plain(row.get(columns.answer), columns.answer, fault)
        messages.append({"role": "assistant", "content": answer})
    task = row.get(columns.task) if columns.task else None
    return Example(messages, "" if task is None else str(task), number)


def _parsed(text: str) -> Any:
    """Messages stored as JSON text, as CSV files have them; other text stays."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _plain(value: Any, field: str, fault) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        text = str(value)
        if found := _HALF.search(text):
            raise fault(
                f"holds half a character ({found.group()!r}), which no tokenizer takes: mend the text.", field
            )
        return text
    raise fault(f"should be text, is {type(value).__name__}.", field)


def _message(turn: Any, field: str, fault) -> Message:
    if not isinstance(turn, dict) or "role" not in turn or "content" not in turn:
        raise fault("each message needs 'role' and 'content'.", field)
    role, content = turn["role"], turn["content"]
    if role not in ("system", "user", "assistant"):
        raise fault(f"role {role!r} is not system, user or assistant.", field)
    if isinstance(content, list):  # parts, as the OpenAI API has them
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return {"role": role, "content": _plain(content, field, fault)}
