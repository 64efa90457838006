"""What many tests need: a very small model, and rows to train it on. No torch is imported here."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from sftkit.config import SFTConfig

TEXT = [
    "User:\nWhat is the capital of France?\n\nAssistant:\nThe capital of France is Paris.",
    "Add 12 and 30. The sum is 42. Write it in capitals: HELLO. I don't know. I cannot help with that.",
    "法国的首都是巴黎。我不知道。一加一等于二。",
    "The quick brown fox jumps over the lazy dog, 0123456789 times; (so they say)!",
]


def write_tokenizer(folder: Path, *, bos: str | None = "<s>", chat_template: str | None = None, extra: tuple[str, ...] = ()) -> None:  # fmt: skip
    """A byte-level BPE of 384 tokens. With `bos`, every text starts with it, as Llama's tokenizers do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [*([bos] if bos else []), "</s>", "<pad>", *extra]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=384, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT * 4, trainer)
    if bos:
        ids = [(bos, tokenizer.token_to_id(bos))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=ids)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "<pad>"}
    settings |= {"bos_token": bos} if bos else {}
    settings |= {"chat_template": chat_template} if chat_template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_model(
    folder: Path, *, hidden: int = 32, layers: int = 2, vocabulary: int = 384, seed: int = 0
) -> None:
    """A Llama with random weights: about 50,000 of them at these sizes."""
    heads, kv_heads, inner = 4, 2, 2 * hidden
    small = hidden * kv_heads // heads
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": 2, "torch_dtype": "float32",
    }  # fmt: skip
    shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "lm_head.weight": (vocabulary, hidden)}
    for layer in range(layers):
        part = f"model.layers.{layer}."
        for name, shape in {
            "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (small, hidden),
            "self_attn.v_proj": (small, hidden), "self_attn.o_proj": (hidden, hidden),
            "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner),
        }.items():  # fmt: skip
            shapes[f"{part}{name}.weight"] = shape
    random = np.random.default_rng(seed)
    weights = {name: random.normal(0, 0.08, shape).astype(np.float32) for name, shape in shapes.items()}
    norms = ["model.norm.weight"]
    norms += [f"model.layers.{layer}.{norm}.weight" for layer in range(layers) for norm in ("input_layernorm", "post_attention_layernorm")]  # fmt: skip
    weights |= {name: np.ones(hidden, np.float32) for name in norms}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def write_rows(path: Path, count: int, seed: int = 0) -> Path:
    """Sums as prompt and response rows, of lengths that differ, with a task."""
    random = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            a, b = random.integers(0, 99, 2)
            more = " 法国的首都是巴黎。" * int(random.integers(0, 3))
            answer = f"The sum is {a + b}." if random.random() < 0.6 else f"{a + b}"
            row = {
                "prompt": f"Add {a} and {b}.{more}",
                "response": answer,
                "task": "sum" if more else "plain sum",
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path


@pytest.fixture(scope="session", autouse=True)
def own_queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs of these tests and those of whoever else uses this machine do not see each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SFTKIT_QUEUE", str(tmp_path_factory.mktemp("queue") / "line"))
        yield


@pytest.fixture
def sftkit(tmp_path: Path) -> Callable[..., str]:
    """The `sftkit` command in a folder of its own: words in, what it prints out; no traceback for what a user can mend."""

    def call(*words: str, stdin: str = "", code: int = 0, seconds: float = 120, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "sftkit.cli", *words],
            cwd=tmp_path,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            env={**os.environ, "COLUMNS": "200", **environment},
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Llama with 50,000 random weights and a tokenizer of its own, which has no chat template."""
    folder = tmp_path_factory.mktemp("tiny_model")
    write_tokenizer(folder)
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 rows of prompt, response and task."""
    return write_rows(tmp_path_factory.mktemp("tiny_rows") / "train.jsonl", 64)


@dataclass
class TrainedRun:
    """What a run left in its folder."""

    folder: Path
    config: SFTConfig
    exit_codes: list[int]

    @property
    def log(self) -> str:
        return "".join(path.read_text(encoding="utf-8") for path in sorted(self.folder.glob("rank*.log")))

    @property
    def status(self) -> dict:
        return json.loads((self.folder / "status.json").read_text(encoding="utf-8"))

    @property
    def lines(self) -> list[dict]:
        return [
            json.loads(line)
            for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        ]

    @property
    def steps(self) -> list[dict]:
        return [line for line in self.lines if "loss" in line]

    @property
    def eval_losses(self) -> list[float]:
        return [line["eval_loss"] for line in self.lines if "eval_loss" in line]

    def column(self, name: str) -> list:
        return [line[name] for line in self.steps]

    def error(self, rank: int = 0) -> dict:
        return json.loads((self.folder / f"error-rank{rank}.json").read_text(encoding="utf-8"))


def train(folder: Path, config: SFTConfig, *, resume: bool = False, fails: bool = False) -> TrainedRun:
    """Run the ranks of `config` in `folder` to their end, without launch and supervisor. Fails when one of them does."""
    folder.mkdir(parents=True, exist_ok=True)
    run = {"config": config.to_dict(), "cwd": str(folder), "resume": resume}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    ranks = []
    for rank in range(config.processes):
        places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(config.processes)}
        host = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        }
        with (folder / f"rank{rank}.log").open("w") as log:
            command = [sys.executable, "-m", "sftkit.training.worker", str(folder)]
            ranks.append(
                subprocess.Popen(command, env={**os.environ, **places, **host}, stdout=log, stderr=log)
            )
    try:
        codes = [rank.wait(timeout=200) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    result = TrainedRun(folder, config, codes)
    assert fails or not any(codes), result.log
    return result


@pytest.fixture
def least_seconds() -> Callable[[Callable[[], object]], float]:
    """The least of three processor times of an action: what it costs, without what came in between.

    The garbage of the tests before is collected first and held apart meanwhile: late in a long test run one collection
    over all that they left costs more than many an action.
    """

    def seconds(action: Callable[[], object]) -> float:
        begin = time.process_time()
        action()
        return time.process_time() - begin

    def least(action: Callable[[], object], times: int = 3) -> float:
        gc.collect()
        gc.freeze()
        try:
            return min(seconds(action) for _ in range(times))
        finally:
            gc.unfreeze()

    return least
