"""README.md of an exported model: what it was made from and how, as the run's folder tells it, and no more.

Whoever publishes the model adds what a training cannot know: what it is good for, its limits, its licence. Absolute paths
are shortened to their last name, and what looks like a secret is left out: a model goes further than its run.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sftkit.config import SFTConfig
from sftkit.data import is_hub_id
from sftkit.runs import folder as disk
from sftkit.runs.check_secrets import SHAPES

NAME, BESIDE = "README.md", "README-sftkit.md"  # BESIDE: where the README is somebody else's
MARK = "<!-- written by sftkit; a README.md without this line is never overwritten -->"
ABSENT = "not recorded"
COUNTS = {
    "rows": "rows drawn",
    "kept": "rows trained on",
    "nothing_to_train": "rows left out, with nothing to train",
    "truncated": "rows whose answer is cut at max_len",
    "shortened": "rows without their last turns, which did not fit",
    "tokens": "tokens in one epoch",
    "trained_tokens": "of them trained",
}
WHERE = {
    "save_path",
    "ckpt_path",
    "report_to",
    "hostfile",
    "gpus",
    "load_checkpoint",
}  # of the machine, not the model


def name_for(folder: Path) -> str:
    """The file that the card of a model in `folder` goes to: one that is there and not ours is left alone."""
    try:
        ours = MARK in (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return NAME
    return NAME if ours else BESIDE


def text(run_folder: Path, name: str, device: str = "") -> str:
    """The card of the model `name` that the run in `run_folder` has made. `device`: what it was trained on."""
    record = disk.read_json(run_folder / disk.RUN)
    config = SFTConfig.from_dict(record["config"])
    lines, _ = disk.read_lines(run_folder / disk.METRICS)
    counts = disk.read_json(run_folder / disk.DATA)
    parts = [
        _head(config),
        f"# {_plain(name)}",
        f"{_code(_place(config.pretrain))}, {_manner(config)}, with sftkit.",
        "This card was written by the training run and says what it knows. How good the answers are, what the model is for,"
        " where it fails and under which licence it may be used, it does not know.",
        *_loading(config, name),
        *_data(record, counts),
        *_training(config, lines, counts),
        *_settings(config),
        *_made_with(record, device),
    ]
    return "\n\n".join(parts) + "\n"


def _head(config: SFTConfig) -> str:
    """What the Hugging Face hub reads."""
    base = [f"base_model: {json.dumps(config.pretrain)}"] if is_hub_id(config.pretrain) else []
    tags = ["sftkit", "sft", "deepspeed", *(["lora"] if config.lora_rank else [])]
    library = "peft" if _adapter_alone(config) else "transformers"
    return "\n".join(["---", *base, f"library_name: {library}", "pipeline_tag: text-generation", f"tags: [{', '.join(tags)}]", "---", MARK])  # fmt: skip


def _manner(config: SFTConfig) -> str:
    if not config.lora_rank:
        return "all weights tuned by supervised fine-tuning"
    result = (
        "an adapter alone"
        if _adapter_alone(config)
        else "merged into its weights; the adapter is in `adapter`"
    )
    return f"tuned by supervised fine-tuning with LoRA (rank {config.lora_rank}, {result})"


def _adapter_alone(config: SFTConfig) -> bool:
    return bool(config.lora_rank) and not config.merge_lora


def _loading(config: SFTConfig, name: str) -> list[str]:
    package, kind = ("peft", "AutoPeftModelForCausalLM") if _adapter_alone(config) else ("transformers", "AutoModelForCausalLM")  # fmt: skip
    own = "from transformers import AutoModelForCausalLM, AutoTokenizer" if package == "transformers" else f"from peft import {kind}\nfrom transformers import AutoTokenizer"  # fmt: skip
    folder = name if re.fullmatch(r"[\w.-]+", name) else "."
    code = f"""```python
{own}

folder = "{folder}"  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {kind}.from_pretrained(folder)
messages = [{{"role": "user", "content": "…"}}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs, max_new_tokens=256)
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))
```"""
    return ["## Loading it", "The tokenizer carries the chat template of the training, which asks in the words that were trained.", code]  # fmt: skip


def _data(record: dict[str, Any], counts: dict[str, Any]) -> list[str]:
    files = [
        (_code(_place(entry.get("path"))), entry.get("split", ""), _figure(entry.get("rows")), _code(entry["sha256"]) if entry.get("sha256") else ABSENT)
        for entry in record.get("data", [])
    ]  # fmt: skip
    splits = [split for split in ("train", "eval") if counts.get(split)]
    figures = [
        (words, *(_figure(counts[split].get(key)) for split in splits)) for key, words in COUNTS.items()
    ]
    patches = [(_code(_place(entry.get("path"))), _code(patch["file"]), _figure(patch["edited"]), _figure(patch["excluded"]), _code(patch["sha256"]))
        for entry in record.get("data", []) if (patch := entry.get("patch"))]  # fmt: skip
    parts = ["## Data", *([_table(("file", "split", "rows", "SHA-256"), files)] if files else [])]
    parts += [_table(("file", "patch beside it", "rows edited", "rows left out", "SHA-256"), patches)] if patches else []  # fmt: skip
    return [*parts, _table(("", *splits), figures)] if splits else parts


def _training(config: SFTConfig, lines: list[dict[str, Any]], counts: dict[str, Any]) -> list[str]:
    last = next((line for line in reversed(lines) if line.get("loss") is not None), {})
    held_out = next((line for line in reversed(lines) if line.get("eval_loss") is not None), {})
    trained = (counts.get("train") or {}).get("trained_tokens")
    facts = [
        ("optimizer steps", _figure(last.get("step"))),
        ("epochs", _figure(config.max_epochs)),
        ("tokens, over all epochs", _figure(last.get("tokens"))),
        ("of them trained", _figure(trained and trained * config.max_epochs)),
        ("loss of the last step", _figure(last.get("loss"))),
        ("eval loss", f"{_figure(held_out['eval_loss'])}, after step {held_out['step']}" if held_out else "not measured"),
        *((f"eval loss, {_plain(task)}", _figure(loss)) for task, loss in (held_out.get("eval_loss_by_task") or {}).items()),
        ("seconds of training", _figure(last.get("seconds"))),
    ]  # fmt: skip
    return [
        "## Training",
        _table(("", ""), facts),
        "Losses are the mean cross-entropy over trained tokens, in nats.",
    ]


def _settings(config: SFTConfig) -> list[str]:
    changed = [
        (_code(name), _code(_value(name, value)))
        for name, value in config.changed().items()
        if name not in WHERE
    ]
    return ["## Settings", "All others stand at their defaults.", _table(("setting", "value"), changed)]


def _value(name: str, value: Any) -> str:
    if name in ("pretrain", "dataset", "eval_dataset", "chat_template") and isinstance(value, str):
        return ", ".join(_place(part.strip()) for part in value.split(","))
    return json.dumps(value, ensure_ascii=False)


def _made_with(record: dict[str, Any], device: str) -> list[str]:
    machine = record.get("machine") or {}
    facts = [
        ("trained on", f"{_plain(device or ABSENT)}, {_figure(record.get('processes') or 1)} process(es)"),
        ("CPU", f"{_plain(machine.get('cpu') or ABSENT)}, {_figure(machine.get('cores'))} cores"),
        ("system", _plain(machine.get("system") or ABSENT)),
        ("git commit of the folder it was launched from", _commit(record.get("git_commit"))),
        ("launched", _plain(record.get("created") or ABSENT)),
        *((package, _plain(version)) for package, version in (record.get("versions") or {}).items()),
    ]
    return ["## Made with", _table(("", ""), facts)]


def _commit(value: Any) -> str:
    """Not through `_shown`: forty hexadecimal digits look like a key."""
    return f"`{value}`" if re.fullmatch(r"[0-9a-f]{7,64}", str(value)) else ABSENT


def _table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    columns = list(columns)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _place(value: Any) -> str:
    """A path or hub id; of an absolute path its last name."""
    said = str(value or ABSENT)
    return Path(said).name if Path(said).is_absolute() else said


def _figure(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return ABSENT
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _shown(value: Any) -> str:
    """One line without what looks like a secret."""
    said = " ".join(str(value).split())
    for shape in SHAPES:
        said = re.sub(shape, "…", said)
    return said


def _plain(value: Any) -> str:
    """Text of a cell or a heading that says itself, whatever is in it."""
    escaped = html.escape(_shown(value), quote=False)
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", escaped)


def _code(value: Any) -> str:
    """The same as code, which no Markdown and no HTML gets out of."""
    said = _shown(value).replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", said)), default=0) + 1)
    return f"{fence} {said} {fence}" if "`" in said else f"{fence}{said}{fence}"
