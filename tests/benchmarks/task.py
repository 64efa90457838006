"""What every trainer of the benchmark is given: one model, the same rows as token ids, and one judge of the result."""

from __future__ import annotations

import json
import math
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sftkit import data
from sftkit.config import SFTConfig

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS = 8192, 256, 1024, 4, 4
ROWS, EVAL_ROWS, BATCH, MICRO, MAX_LEN, RATE = 512, 128, 32, 8, 1024, 1e-3


@dataclass(frozen=True)
class Task:
    """A folder with `model/`, `train.jsonl` and `eval.jsonl` (prompt, response), `train.ids.jsonl` (input_ids, labels)."""

    folder: Path
    tokens: int = 0
    trained: int = 0

    @property
    def config(self) -> SFTConfig:
        """The task as sftkit's settings."""
        return SFTConfig(
            pretrain=str(self.folder / "model"), dataset=str(self.folder / "train.jsonl"), train_batch_size=BATCH,
            micro_train_batch_size=MICRO, max_len=MAX_LEN, learning_rate=RATE, bf16=False, zero_stage=0,
            lr_scheduler="constant", lr_warmup_ratio=0.0, seed=1, save_path=None,
        )  # fmt: skip


def prepare(folder: Path, source: Path) -> Task:
    """Write the task, from the first rows of `source` (Alpaca rows, or prompt and response)."""
    rows = [_as_pair(row) for row in data.read_rows(source)[: ROWS + EVAL_ROWS]]
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train", rows[:ROWS]), ("eval", rows[ROWS:])):
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in part), encoding="utf-8"
        )
    _write_model(folder / "model", rows)
    task = Task(folder)
    lines = list(_encoded(task.config, "train"))
    (folder / "train.ids.jsonl").write_text(
        "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    return Task(folder, sum(len(line["input_ids"]) for line in lines), sum(sum(label != -100 for label in line["labels"]) for line in lines))  # fmt: skip


def _as_pair(row: dict) -> dict[str, str]:
    if "instruction" not in row:
        return {"prompt": row["prompt"], "response": row["response"]}
    more = f"\n\n{row['input']}" if row.get("input") else ""
    return {"prompt": row["instruction"] + more, "response": row["output"]}


def _encoded(config: SFTConfig, split: str) -> Iterator[dict[str, list[int]]]:
    for row in data.encoder(config).encode(data.read_examples(config, split)):
        ids = row.input_ids.tolist()
        yield {"input_ids": ids, "labels": [i if taught else -100 for i, taught in zip(ids, row.loss_mask)]}


def _write_model(folder: Path, rows: list[dict[str, str]]) -> None:
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet, show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator((text for row in rows for text in row.values()), trainer)
    shape = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=HEADS, max_position_embeddings=2048, bos_token_id=0, eos_token_id=1,
        pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(shape).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    words = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "add_bos_token": True, "tokenizer_class": "PreTrainedTokenizerFast"}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")


def eval_loss(task: Task, model_folder: Path) -> float:
    """Mean loss of a response token of the held-out rows: plain transformers, one row at a time, for every trainer."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    total, count = 0.0, 0
    config = task.config.with_(eval_dataset=str(task.folder / "eval.jsonl"))
    with torch.no_grad():
        for row in _encoded(config, "eval"):
            ids, labels = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
            number = int((labels[:, 1:] != -100).sum())
            total += float(model(input_ids=ids, labels=labels).loss) * number
            count += number
    return total / count


@dataclass
class Outcome:
    """One run: seconds and CPU seconds of the steps, from command to first step, peak memory of the process in MB."""

    name: str
    steps: int
    seconds: float
    cpu_seconds: float
    first_step: float
    memory_mb: float
    eval_loss: float = math.nan


def run(name: str, command: list[str], env: dict[str, str], log: Path) -> Outcome:
    """Run a trainer, which prints a line `BENCH {json}` after its first and its last step (see `peers/marks.py`)."""
    started = time.time()
    with log.open("w") as output:
        code = subprocess.run(command, env={**os.environ, **env, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}, stdout=output, stderr=output).returncode  # fmt: skip
    marks = [json.loads(line[6:]) for line in log.read_text(errors="replace").splitlines() if line.startswith("BENCH ")]  # fmt: skip
    if code or not marks:
        raise RuntimeError(f"{name} failed ({code}): see {log}\n{log.read_text(errors='replace')[-1500:]}")
    first, last = marks[0], marks[-1]
    return Outcome(
        name, last["step"], last["time"] - first["time"], last["cpu"] - first["cpu"], first["time"] - started, last["memory_mb"],
    )  # fmt: skip
