"""What models are asked: prompts from a file, a DataFrame or a list, and the chat template for each model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.data.reading import read_rows
from sftkit.data.templates import PLAIN
from sftkit.errors import DataError
from sftkit.generation.table import Messages, as_messages, known, prompt_id_of

Prompts = str | Path | pd.DataFrame | list


@dataclass(frozen=True)
class Keys:
    """Columns of people's own names: `prompt`, and `answer`, the right answer where there is no `reference`."""

    prompt: str | None = None
    answer: str | None = None
    task: str | None = None


def read_prompts(prompts: Prompts, limit: int | None = None, keys: Keys = Keys()) -> list[dict[str, Any]]:
    """[{"prompt_id", "prompt" (messages), "task", "reference"}, …]; the first `limit` of them.

    A row has the column that `keys` names, or `prompt` (text or messages), or `messages`, or Alpaca's `instruction`
    (and `input`, `output`); where `messages` end in an assistant's turn, that turn is
    left out of the question and is the reference unless the row has one. A prompt met twice is asked once, with a
    warning. Raises DataError that names file and row.
    """
    file = prompts if isinstance(prompts, (str, Path)) else None
    rows = []
    for number, record in enumerate(_records(prompts), 1):
        try:
            rows.append(_prompt(record, keys))
        except ValueError as error:
            raise DataError(str(error), file=file, row=number) from error
        if limit is not None and len(rows) >= limit:
            break
    if not rows:
        raise DataError("no prompts to answer", file=file)
    return _unique(rows)


def _records(prompts: Prompts) -> Any:
    if isinstance(prompts, pd.DataFrame):
        return prompts.to_dict("records")
    return read_rows(prompts, "eval") if isinstance(prompts, (str, Path)) else prompts


def _prompt(record: Any, keys: Keys) -> dict[str, Any]:
    """One prompt; a bare text or list of messages is a record of its own."""
    if not isinstance(record, dict):
        record = {"prompt": record}

    def value(*names: str | None) -> Any:
        """What stands in the first of these columns that has something."""
        found = (known(record.get(name)) for name in names if name is not None)
        return next((one for one in found if one is not None), None)

    given, answer_key = value(keys.prompt, "prompt", "messages"), keys.answer
    if given is None and (given := value("instruction")) is not None:
        given, answer_key = "\n\n".join(filter(None, [given, value("input")])), keys.answer or "output"
    if given is None:
        raise ValueError(
            f"no column {keys.prompt or 'prompt'} or messages; it has: {', '.join(map(str, record))}. "
            "Say which it is with input_key."
        )
    messages, answer = _question(as_messages(given))
    prompt_id, reference = value("prompt_id"), value("reference")
    return {
        "prompt_id": str(prompt_id) if prompt_id is not None else prompt_id_of(messages),
        "prompt": messages,
        "task": value(keys.task, "task"),
        "reference": next((one for one in (reference, answer, value(answer_key)) if one is not None), None),
    }


def _question(messages: Messages) -> tuple[Messages, str | None]:
    """The turns up to the last that is not the assistant's, and the answer that followed."""
    if messages[-1]["role"] != "assistant":
        return messages, None
    if len(messages) == 1:
        raise ValueError("only an assistant's turn: there is nothing to answer")
    return messages[:-1], messages[-1]["content"]


def _unique(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        kept = first.setdefault(row["prompt_id"], row)
        if kept["prompt"] != row["prompt"]:
            raise DataError(f"the prompt_id {row['prompt_id']!r} stands for different prompts")
    if len(first) < len(rows):
        warnings.warn(
            f"{len(rows) - len(first)} prompt(s) occur more than once and are asked once", stacklevel=4
        )
    return list(first.values())


def choose_templates(own: dict[str, str | None]) -> dict[str, tuple[str, str]]:
    """{model: (template, where it is from)}: its own; else the only one that the others have; else the default.

    So a base model without a template is asked with the very text that its tuned child is asked with.
    """
    given = {name: text for name, text in own.items() if text}
    lender = next(iter(given), None)
    if len(set(given.values())) == 1:
        rest = (given[lender], f"lent by {lender}" if given[lender] != PLAIN else "plain")
    else:
        rest = (PLAIN, "plain")
    return {name: (text, "plain" if text == PLAIN else "own") if text else rest for name, text in own.items()}
