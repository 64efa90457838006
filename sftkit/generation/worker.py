"""The process that loads models and answers prompts; started by sftkit.generation.generate, talks through files only.

    python -m sftkit.generation.worker JOB_DIR

Reads JOB_DIR/job.json, appends to JOB_DIR/answers.jsonl one line an answer (so its length is the progress), and on
failure writes JOB_DIR/error.json {"type", "message", "model", "traceback"} and exits with 1.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, set_seed

from sftkit.data import ChatTemplate, Vocabulary, asking
from sftkit.generation.prompts import choose_templates
from sftkit.runs import weights

PARENT = os.getppid()
PIECE = 1 << 20  # bytes of a weight file read at one place
PIECES = 64  # places read in a weight file larger than all of them together


def main(job_dir: Path) -> None:
    """Answer every prompt with every model, one model in memory at a time."""
    job = json.loads((job_dir / "job.json").read_text(encoding="utf-8"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    vocabularies = {m["name"]: Vocabulary.load(m["path"]) for m in job["models"]}
    templates = choose_templates({name: v.chat_template for name, v in vocabularies.items()})
    current = None
    try:
        with (job_dir / "answers.jsonl").open("a", encoding="utf-8") as out:
            for entry in job["models"]:
                current = entry["name"]
                for answer in answer_all(entry, vocabularies[current], templates[current], job, device):
                    out.write(json.dumps(answer, ensure_ascii=False) + "\n")
                    out.flush()
                if device.type == "cuda":
                    torch.cuda.empty_cache()
    except Exception as error:
        raise ModelFailed(current, error) from error


class ModelFailed(Exception):
    """Which model was being asked when `error` came."""

    def __init__(self, model: str | None, error: Exception):
        self.model, self.error = model, error
        super().__init__(str(error))


def answer_all(
    entry: dict, vocabulary: Vocabulary, template: tuple[str, str], job: dict, device: torch.device
) -> Iterator[dict]:
    """Every prompt of the job answered by one model, longest prompts first (out of memory shows at once)."""
    set_seed(job["seed"])
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = (
        AutoModelForCausalLM.from_pretrained(entry["path"], dtype=dtype, **weights.options())
        .to(device)
        .eval()
    )
    chat = ChatTemplate.build(template[0], vocabulary)
    eos = asking.end_tokens(named_ends(model), vocabulary, chat)
    pad = asking.padding(vocabulary, eos)
    # our own settings only: a model's generation_config may carry sampling or penalties nobody asked for
    model.generation_config = GenerationConfig(eos_token_id=sorted(eos) or None, pad_token_id=pad)
    stamp = {
        "model": entry["name"],
        "sampling": job["sampling"] | {"template": template[1], "dtype": str(dtype).removeprefix("torch.")},
        "fingerprint": fingerprint(entry["path"], model.config),
    }
    for batch in batches(job["prompts"], vocabulary, chat, job["batch_size"]):
        if os.getppid() != PARENT:
            sys.exit("the process that asked for these answers is gone")
        started = time.perf_counter()
        outputs = answer_batch(model, [ids for _, ids in batch], pad, job["sampling"], device)
        seconds = (time.perf_counter() - started) / len(batch)
        for (prompt_id, _), new in zip(batch, outputs, strict=True):
            yield stamp | asking.answer(new, eos, vocabulary) | {"prompt_id": prompt_id, "seconds": seconds}


def named_ends(model: Any) -> Any:
    """The end of an answer as the model's own files name it."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    return named if named is not None else model.config.eos_token_id


def batches(
    prompts: list[dict], vocabulary: Vocabulary, chat: ChatTemplate, size: int
) -> Iterator[list[tuple[str, list[int]]]]:
    """Lists of (prompt_id, token ids), prompts of similar length together so that padding is small."""
    ids = []
    for prompt in prompts:
        ids.append((prompt["prompt_id"], asking.prompt_ids(prompt["messages"], vocabulary, chat)))
    ids.sort(key=lambda pair: -len(pair[1]))
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


@torch.inference_mode()
def answer_batch(
    model: Any, rows: list[list[int]], pad: int, sampling: dict, device: torch.device
) -> list[list[int]]:
    """New token ids per row. Padded on the left, so that every row goes on right where its prompt ends."""
    width = max(len(row) for row in rows)
    room = (getattr(model.config, "max_position_embeddings", None) or 1 << 30) - width
    if room < 1:
        raise ValueError(
            f"a prompt of {width} tokens does not fit this model ({model.config.max_position_embeddings} positions): "
            "shorten it or leave it out"
        )
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    warm = sampling["temperature"] > 0
    chosen = {"temperature": sampling["temperature"], "top_p": sampling["top_p"], "top_k": 0} if warm else {}
    out = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=min(sampling["max_new_tokens"], room),
        do_sample=warm,
        **chosen,
    )
    return out[:, width:].tolist()


def fingerprint(path: str, config: Any) -> str:
    """Hub models: "hub:<id>@<commit>". Folders: sha256 over config.json, tokenizer.json and the weight files.

    Of a weight file larger than 64 MiB 64 evenly spaced pieces of 1 MiB are read, so that 16 GB take no minute.
    """
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}@{getattr(config, '_commit_hash', None) or 'unknown'}"
    digest = hashlib.sha256()
    names = ["config.json", "tokenizer.json", *sorted(p.name for p in folder.glob("*.safetensors"))]
    for file in (folder / name for name in names):
        if file.is_file():
            size = file.stat().st_size
            digest.update(f"{file.name}:{size}\n".encode())
            with file.open("rb") as stream:
                for place in pieces(size):
                    stream.seek(place)
                    digest.update(stream.read(PIECE))
    return digest.hexdigest()


def pieces(size: int) -> list[int]:
    """Where to read PIECE bytes: everywhere in a small file, PIECES even places in a large one."""
    if size <= PIECE * PIECES:
        return list(range(0, size, PIECE))
    return [round(k * (size - PIECE) / (PIECES - 1)) for k in range(PIECES)]


def report_error(job_dir: Path, error: BaseException) -> None:
    cause = error.error if isinstance(error, ModelFailed) else error
    record = {
        "type": type(cause).__name__,
        "message": str(cause),
        "model": getattr(error, "model", None),
        "traceback": traceback.format_exc(),
    }
    (job_dir / "error.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    try:
        main(folder)
    except Exception as failure:
        report_error(folder, failure)
        sys.exit(1)
