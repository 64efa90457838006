"""The table of answers: which model said what to which prompt. Needs pandas only; no model is loaded here.

answers = Generations.from_frame(df)      # any answers: columns prompt, model, response are enough
answers.save("answers.parquet"); Generations.load("answers.parquet")
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.errors import GenerationError

COLUMNS = (
    "prompt_id",
    "prompt",
    "task",
    "reference",
    "model",
    "response",
    "finish_reason",
    "tokens",
    "seconds",
    "sampling",
    "fingerprint",
)
ROLES = ("system", "user", "assistant")
FINISH_REASONS = ("stop", "length")
LEFT = 'style="text-align: left; vertical-align: top"'  # JupyterLab aligns every cell to the right

Messages = list[dict[str, str]]


def as_messages(prompt: Any) -> Messages:
    """A prompt as a list of {"role", "content"}: text becomes one user message.

    Raises ValueError with the reason when it is neither text nor such a list.
    """
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    if hasattr(prompt, "tolist"):  # pandas reads a Parquet list column back as a numpy array
        prompt = prompt.tolist()
    if not isinstance(prompt, (list, tuple)) or not prompt:
        raise ValueError(f"a prompt is text or a list of messages, not {type(prompt).__name__}")
    messages = []
    for message in prompt:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError('each message is {"role": …, "content": text}')
        if message.get("role") not in ROLES:
            raise ValueError(f"role {message.get('role')!r} is none of {', '.join(ROLES)}")
        messages.append({"role": message["role"], "content": message["content"]})
    return messages


def prompt_id_of(messages: Messages) -> str:
    """The first 12 hex digits of the sha256 of the prompt's canonical JSON (sorted keys, no blanks, UTF-8)."""
    canonical = json.dumps(messages, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def prompt_text(prompt: Any) -> str:
    """A prompt as one readable text; several turns are headed by their role."""
    messages = as_messages(prompt)
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in messages)


class Generations:
    """Answers of one or more models to the same prompts, one row an answer.

    `.frame` holds the columns prompt_id, model, prompt (list of {"role", "content"}), task and reference (text or None),
    response (text), finish_reason ("stop", "length" or None where unknown), tokens (of the answer), seconds (its
    share of its batch's time), sampling (dict), fingerprint (of the model's files). Treat it as read-only.
    """

    def __init__(self, frame: pd.DataFrame):
        self.frame = _checked(frame)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Generations:
        """Any answers, whoever gave them.

            import pandas as pd

            rows = [
                {"prompt": "Add 2 and 3.", "model": "base", "response": "6"},
                {"prompt": "Add 2 and 3.", "model": "tuned", "response": "5"},
            ]
            sk.Generations.from_frame(pd.DataFrame(rows)).pairs()

        Needed: prompt (text or messages), model, response; the other columns of `.frame` may be there. Every fault is named
        in one GenerationError.
        """
        return cls(frame)

    @classmethod
    def load(cls, path: str | Path) -> Generations:
        """Read what `save` wrote. GenerationError says what is wrong with the file."""
        path = Path(path)
        if not path.is_file():
            raise GenerationError(f"no answers at {path}: give the file that Generations.save wrote")
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
            raise GenerationError(f"{path} is not a readable Parquet file: {error}") from error
        return cls(frame)

    def save(self, path: str | Path) -> Path:
        """Write Parquet, and return its path.

            sk.Generations.load(answers.save("answers.parquet")).models

        prompt is a list of structs, sampling JSON text, so that other programs can read it.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        text = pa.string()
        message = pa.struct([("role", text), ("content", text)])
        types = {"prompt": pa.list_(message), "tokens": pa.int64(), "seconds": pa.float64()}
        columns = self.frame.to_dict("list")
        columns["sampling"] = [json.dumps(s, ensure_ascii=False, sort_keys=True) for s in columns["sampling"]]
        columns["tokens"] = [None if pd.isna(t) else int(t) for t in columns["tokens"]]
        schema = pa.schema([(name, types.get(name, text)) for name in COLUMNS])
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({name: columns[name] for name in COLUMNS}, schema=schema), path)
        return path

    @property
    def models(self) -> list[str]:
        """Model names in the order of their first answer; the first is the baseline."""
        return list(dict.fromkeys(self.frame["model"]))

    @property
    def prompts(self) -> pd.DataFrame:
        """One row a prompt: prompt_id, prompt, task, reference, in the order of their first answer."""
        columns = ["prompt_id", "prompt", "task", "reference"]
        return self.frame.drop_duplicates("prompt_id")[columns].reset_index(drop=True)

    def response(self, prompt_id: str, model: str) -> str:
        """The answer of `model` to that prompt; GenerationError when there is none."""
        hit = self.frame[(self.frame["prompt_id"] == prompt_id) & (self.frame["model"] == model)]
        if hit.empty:
            raise GenerationError(
                f"no answer of {model!r} to prompt {prompt_id!r}; models: {', '.join(self.models)}"
            )
        return hit["response"].iloc[0]

    def pairs(self) -> pd.DataFrame:
        """Every comparison to make: each other model (model_b) against the first (model_a), one row a prompt.

        Columns prompt_id, prompt, task, reference, model_a, model_b, response_a, response_b. A prompt that one of
        the two has not answered is left out.
        """
        keys = ["prompt_id", "prompt", "task", "reference", "model", "response"]
        rows = self.frame[keys]
        base = rows[rows["model"] == self.models[0]] if len(rows) else rows
        others = [
            base.merge(
                rows[rows["model"] == name][["prompt_id", "model", "response"]],
                on="prompt_id",
                suffixes=("_a", "_b"),
            )
            for name in self.models[1:]
        ]
        order = ["prompt_id", "prompt", "task", "reference", "model_a", "model_b", "response_a", "response_b"]
        return pd.concat(others, ignore_index=True)[order] if others else pd.DataFrame(columns=order)

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"Generations({len(self.prompts)} prompts x {len(self.models)} model{'s' * (len(self.models) != 1)}: {', '.join(self.models)})"

    def _repr_html_(self, rows: int = 5, width: int = 160) -> str:
        """A short preview, prompts by models; every text is escaped because models wrote it."""
        shown = self.prompts.head(rows)
        answers = self.frame.set_index(["prompt_id", "model"])["response"]
        names = "".join(f"<th {LEFT}>{html.escape(name)}</th>" for name in self.models)
        lines = [
            f"<tr>{_cell(row.task or '', width)}{_cell(prompt_text(row.prompt), width)}"
            + "".join(_cell(answers.get((row.prompt_id, name)), width) for name in self.models)
            + "</tr>"
            for row in shown.itertuples()
        ]
        more = f"; first {len(shown)} shown" if len(self.prompts) > len(shown) else ""
        return (
            f"<p>{html.escape(repr(self))}{more}</p><table><thead><tr><th {LEFT}>task</th><th {LEFT}>prompt</th>{names}"
            f"</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        )


def _cell(text: Any, width: int) -> str:
    if not isinstance(text, str):
        return f"<td {LEFT}><i>none</i></td>"
    return f"<td {LEFT}>{html.escape(text if len(text) <= width else text[: width - 1] + '…')}</td>"


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of COLUMNS in its type, or one GenerationError that names every fault."""
    if not isinstance(frame, pd.DataFrame):
        raise GenerationError(f"answers are a pandas DataFrame, not {type(frame).__name__}")
    missing = [name for name in ("prompt", "model", "response") if name not in frame.columns]
    if missing:
        have = ", ".join(map(str, frame.columns))
        raise GenerationError(f"answers lack the column(s) {', '.join(missing)}; they have: {have}")
    rows, faults = [], []
    for number, record in enumerate(frame.to_dict("records")):
        try:
            rows.append(_row(record))
        except ValueError as error:
            faults.append(f"row {number}: {error}")
    faults += _clashes(rows)
    if faults:
        more = f"\n… and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise GenerationError(f"{len(faults)} fault(s) in the answers:\n" + "\n".join(faults[:10]) + more)
    # object columns: pandas' own text type would turn None into NaN
    checked = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in COLUMNS})
    checked["tokens"] = pd.to_numeric(checked["tokens"]).astype("Int64")
    checked["seconds"] = pd.to_numeric(checked["seconds"]).astype("float64")
    return checked


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """One answer with every column; ValueError with the reason."""
    messages = as_messages(record["prompt"])
    if not isinstance(record["model"], str) or not record["model"]:
        raise ValueError("model has no name")
    if not isinstance(record["response"], str):
        raise ValueError('response is not text (an empty answer is "")')
    finish = known(record.get("finish_reason"))
    if finish is not None and finish not in FINISH_REASONS:
        raise ValueError(f"finish_reason {finish!r} is none of {', '.join(FINISH_REASONS)}")
    sampling = known(record.get("sampling"))
    prompt_id = known(record.get("prompt_id"))
    return {
        "prompt_id": prompt_id_of(messages) if prompt_id is None else str(prompt_id),
        "prompt": messages,
        "task": _text(record.get("task")),
        "reference": _text(record.get("reference")),
        "model": record["model"],
        "response": record["response"],
        "finish_reason": finish,
        "tokens": known(record.get("tokens")),
        "seconds": known(record.get("seconds")),
        "sampling": json.loads(sampling) if isinstance(sampling, str) else (sampling or {}),
        "fingerprint": _text(record.get("fingerprint")),
    }


def known(value: Any) -> Any:
    """The value, or None for everything that pandas calls missing."""
    return None if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)) else value


def _text(value: Any) -> str | None:
    """Text as it is, missing as None, anything else as JSON (a reference may be a list of accepted answers)."""
    value = known(value)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value.tolist() if hasattr(value, "tolist") else value, ensure_ascii=False)


def _clashes(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Two answers of one model to one prompt, or two prompts under one id."""
    prompts: dict[str, Messages] = {}
    answered = set()
    for row in rows:
        key = (row["prompt_id"], row["model"])
        if key in answered:
            yield f"prompt {key[0]}: {key[1]!r} has more than one answer; keep one, or name the models apart"
        answered.add(key)
        if prompts.setdefault(row["prompt_id"], row["prompt"]) != row["prompt"]:
            yield f"prompt {row['prompt_id']}: the same prompt_id stands for different prompts"
