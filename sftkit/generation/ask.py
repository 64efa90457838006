"""Ask models for answers from a notebook: starts the worker process, shows its progress, brings back the table.

The kernel loads no torch: the worker (sftkit/generation/worker.py) is a process of its own that reads and writes
files in a temporary folder, and ends when it is done, when its caller is interrupted, or when its caller dies.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from sftkit.data.reading import is_hub_id
from sftkit.errors import GenerationError
from sftkit.generation.prompts import Keys, Prompts, read_prompts
from sftkit.generation.table import Generations
from sftkit.runs import folder as disk
from sftkit.runs import limits, load_run, weights

POLL = 0.1  # seconds between looks at the worker's file


def generate(
    models: Mapping[str, Any],
    prompts: Prompts,
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 32,
    limit: int | None = None,
    input_key: str | None = None,
    output_key: str | None = None,
    gpus: list[int] | None = None,
    progress: bool = True,
) -> Generations:
    """Answers of every model to every prompt.

        answers = sk.generate({"base": "data/tiny-base", "tuned": run}, "data/eval.jsonl", limit=4, max_new_tokens=16)
        answers.frame[["prompt_id", "model", "response"]]

    models: {name: model folder, Hub id, or Run}; the first is the baseline. prompts: a JSONL, JSON, CSV or Parquet file,
    a DataFrame or a list (see read_prompts). max_new_tokens: longest answer, in tokens. temperature: 0 is greedy. top_p:
    share of the probability that is drawn from. seed: of the drawing. batch_size: prompts at a time. limit: only the
    first prompts, so many. input_key, output_key: columns of the question and of the right answer; where they are not
    given, those that the first Run among the models was trained with. gpus: ids of the cards to use, [] for the CPU,
    None for whatever is visible; bf16 on a GPU, fp32 on a CPU. progress: a bar.

    Each model is asked with its own chat template; one without gets that of the others when they share one, else the
    project's "plain" (recorded in `sampling["template"]`).

    Raises DataError (prompts), GenerationError (settings, models, worker). An interrupt ends the worker.
    """
    sampling = {"max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    _check(sampling, batch_size)
    paths = {name: model_path(name, model) for name, model in models.items()}
    if not paths:
        raise GenerationError('no models: give {"base": "data/tiny-base", "tuned": run}')
    rows = read_prompts(prompts, limit, _keys(models, input_key, output_key))
    job = {
        "models": [{"name": name, "path": path} for name, path in paths.items()],
        "prompts": [{"prompt_id": row["prompt_id"], "messages": row["prompt"]} for row in rows],
        "sampling": sampling,
        "seed": seed,
        "batch_size": batch_size,
    }
    with tempfile.TemporaryDirectory(prefix="sftkit-generate-") as folder:
        answers = _run_worker(Path(folder), job, gpus, progress)
    return _table(rows, list(paths), answers)


def _keys(models: Mapping[str, Any], input_key: str | None, output_key: str | None) -> Keys:
    """The columns given, else those of the first Run."""
    run = next((run for run in map(_as_run, models.values()) if hasattr(run, "config")), None)
    if run is None:
        return Keys(input_key, output_key)
    config = run.config
    return Keys(input_key or config.input_key, output_key or config.output_key, config.task_key)


def _as_run(model: Any) -> Any:
    """The run of a run's folder; anything else as it is."""
    if not hasattr(model, "model_path") and (Path(model) / "run.json").is_file():
        return load_run(model)
    return model


def model_path(name: str, model: Any) -> str:
    """The absolute folder of a model, or a Hub id as it is. A Run, or its folder, gives its exported model."""
    if model is None:
        raise GenerationError(f"model {name!r} is None: a form has no run until its Launch is pressed")
    model = _as_run(model)
    if hasattr(model, "model_path"):
        folder, state = Path(model.model_path), model.status.state
        # save_path may hold the model of an earlier run, to be overwritten by this one at its end
        if state != "finished" or not disk.holds_model(folder):
            raise GenerationError(
                f"model {name!r}: the run {model.id} ({state}) has no exported model at {folder}; it is "
                "written when the run finishes (run.wait(); a stopped one: run.resume())"
            )
        return str(folder.resolve())
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not disk.holds_model(folder):
            raise GenerationError(
                f"model {name!r}: {folder} holds no config.json; is it a Hugging Face model?"
            )
        if pickles := weights.only_pickles(folder):
            raise GenerationError(f"model {name!r} at {folder}: {weights.refusal(pickles)}")
        return str(folder.resolve())
    if not is_hub_id(model):
        raise GenerationError(f"model {name!r}: no folder {folder}")
    return str(model)


def _check(sampling: dict[str, Any], batch_size: int) -> None:
    faults = []
    if sampling["max_new_tokens"] < 1:
        faults.append("max_new_tokens is at least 1")
    if sampling["temperature"] < 0:
        faults.append("temperature is 0 (greedy) or more")
    if not 0 < sampling["top_p"] <= 1:
        faults.append("top_p lies in (0, 1]")
    if batch_size < 1:
        faults.append("batch_size is at least 1")
    if faults:
        raise GenerationError("; ".join(faults))


def _run_worker(
    folder: Path, job: dict[str, Any], gpus: list[int] | None, progress: bool
) -> list[dict[str, Any]]:
    """Start the worker, follow its answers, and return them; GenerationError when it fails."""
    from tqdm.auto import tqdm

    (folder / "job.json").write_text(json.dumps(job, ensure_ascii=False), encoding="utf-8")
    total = len(job["models"]) * len(job["prompts"])
    answers: list[dict[str, Any]] = []
    with (
        tqdm(total=total, unit="answer", desc="loading models", disable=not progress) as bar,
        _worker(folder, gpus) as process,
    ):
        reader = _new_lines(folder / "answers.jsonl")
        while True:
            ended = process.poll() is not None  # asked before reading, so that nothing written is missed
            for answer in next(reader):
                answers.append(answer)
                bar.set_description(answer["model"], refresh=False)
                bar.update()
            if ended:
                break
            time.sleep(POLL)
    if process.returncode or len(answers) < total:
        raise GenerationError(_why(folder, process.returncode))
    return answers


@contextlib.contextmanager
def _worker(folder: Path, gpus: list[int] | None) -> Iterator[subprocess.Popen]:
    """The worker in a session of its own, writing to a file (never a pipe); ended whatever happens here."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "TOKENIZERS_PARALLELISM": "false"}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    command = [sys.executable, "-m", "sftkit.generation.worker", str(folder)]
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            preexec_fn=limits.for_child(),
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _new_lines(path: Path) -> Iterator[list[dict[str, Any]]]:
    """At each step the JSON lines completed since the last; a half-written one waits."""
    rest = b""
    place = 0
    while True:
        if path.is_file():
            with path.open("rb") as stream:
                stream.seek(place)
                fresh = stream.read()
            place += len(fresh)
            *lines, rest = (rest + fresh).split(b"\n")
            yield [json.loads(line) for line in lines]
        else:
            yield []


def _why(folder: Path, code: int | None) -> str:
    """What the worker said before it ended."""
    record = folder / "error.json"
    if record.is_file():
        error = json.loads(record.read_text(encoding="utf-8"))
        model = f"model {error['model']!r}: " if error["model"] else ""
        hint = "; try a smaller batch_size" if "OutOfMemory" in error["type"] else ""
        return f"{model}{error['message']} ({error['type']}){hint}"
    log = (folder / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (often: no memory left; try a smaller batch_size)" if name == "SIGKILL" else ""
        return f"the worker was ended by {name}{hint}"
    return "the worker ended early; its last words:\n" + "\n".join(log[-15:])


def _table(rows: list[dict[str, Any]], names: list[str], answers: list[dict[str, Any]]) -> Generations:
    """The answers in the order of prompts and models, whatever order the worker chose."""
    frame = pd.DataFrame(rows, dtype=object).merge(
        pd.DataFrame(answers), on="prompt_id", validate="one_to_many"
    )
    order = {row["prompt_id"]: place for place, row in enumerate(rows)}
    key = [(order[p], names.index(m)) for p, m in zip(frame["prompt_id"], frame["model"], strict=True)]
    frame = frame.iloc[sorted(range(len(frame)), key=key.__getitem__)]
    return Generations.from_frame(frame)
