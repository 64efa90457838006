"""Tokens a second and model FLOPs utilisation of sftkit's worker on one card (a comparison with TRL is not written yet).

    python tests/benchmarks/gpu_training.py                       # Llama-3-8B's shape, random weights, 2,048 packed, bf16
    python tests/benchmarks/gpu_training.py --shape tiny --steps 3    # the same path on any machine, for a look at it

The model is made here, so nothing is downloaded. Utilisation is counted against the card's own matrix rate, measured
in the same run (a bf16 product of 8,192 x 8,192), and against its data sheet with --peak.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

SHAPES = {  # hidden, inner, layers, heads, key-value heads, vocabulary
    "llama3-8b": (4096, 14336, 32, 32, 8, 128256),
    "llama3-1b": (2048, 8192, 16, 32, 8, 128256),
    "tiny": (64, 128, 2, 4, 2, 512),
}


def flops_per_token(shape: tuple[int, ...], length: int) -> float:
    """Forward and backward, without what is computed twice: 6 N + 12 layers x hidden x length / 2.

    N: weights that multiply (all but the embedding). The second term is attention, halved because it is causal (PaLM,
    arXiv:2204.02311, appendix B, which does not halve).
    """
    hidden, inner, layers, heads, kv_heads, vocabulary = shape
    attention = 2 * hidden * hidden + 2 * hidden * hidden * kv_heads // heads
    weights = layers * (attention + 3 * hidden * inner) + vocabulary * hidden
    return 6 * weights + 6 * layers * hidden * length


def matrix_rate(device: str) -> float:
    """FLOPs a second of a large bf16 matrix product: median of ten."""
    import torch

    size = 8192 if device == "cuda" else 512
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        if device == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[3:])


def write_model(folder: Path, shape: tuple[int, ...]) -> None:
    """Random weights in bf16, and a tokenizer of one token a number, so that rows have exactly the length asked for."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    hidden, inner, layers, heads, kv_heads, vocabulary = shape
    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, max_position_embeddings=8192, rope_theta=500000.0,
    )  # fmt: skip
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    torch.set_default_dtype(torch.float32)
    words = {"<unk>": 0, "</s>": 1, "User:": 2, "Assistant:": 3} | {f"w{n}": n + 4 for n in range(400)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}), encoding="utf-8")


def write_rows(path: Path, count: int, length: int) -> None:
    """Rows of 1/8 to 1/2 of `length` tokens; their trained share is about four fifths."""
    import random

    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            words = [f"w{draw.randrange(400)}" for _ in range(draw.randrange(length // 8, length // 2))]
            cut = len(words) // 5
            file.write(
                json.dumps({"prompt": " ".join(words[:cut]), "response": " ".join(words[cut:])}) + "\n"
            )


def train(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """sftkit's worker, as a run starts it. Medians of its metrics, without the first steps."""
    from sftkit.config import SFTConfig

    config = SFTConfig(
        pretrain=str(folder / "model"), dataset=str(folder / "rows.jsonl"), max_len=options.length, packing=True,
        train_batch_size=options.rows, micro_train_batch_size=options.micro, gradient_checkpointing=True, bf16=True,
        zero_stage=options.zero, flash_attn=True, learning_rate=1e-5,
    )  # fmt: skip
    run = folder / f"run-{time.time():.0f}"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"config": config.to_dict(), "cwd": str(run)}), encoding="utf-8")
    worker = [sys.executable, "-m", "sftkit.training.worker", str(run)]
    subprocess.run(worker, check=True, env={**os.environ, "PYTHONPATH": str(HERE.parents[1])})
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line][1:]
    return {
        "tokens_per_second": statistics.median(line["tokens_per_second"] for line in steps),
        "memory_mb": max(line["memory_mb"] for line in steps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="llama3-8b")
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=64, help="rows a step")
    parser.add_argument("--micro", type=int, default=4, help="sequences of --length computed at a time")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--zero", type=int, default=2)
    parser.add_argument(
        "--peak", type=float, help="TFLOPs of the card's data sheet, such as 989 for an H100 or H200"
    )
    parser.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "sftkit-bench" / "gpu")
    options = parser.parse_args()
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape, folder = SHAPES[options.shape], options.folder / options.shape
    if not (folder / "model" / "tokenizer.json").exists():
        write_model(folder / "model", shape)
    write_rows(folder / "rows.jsonl", options.rows * options.steps, options.length)
    ours = train(folder, options)
    rate = matrix_rate(device)
    # Attention reaches back a quarter of a sequence on average: rows are 1/8 to 1/2 of it.
    work = flops_per_token(shape, options.length * 5 // 16) * ours["tokens_per_second"]
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{card}, {options.shape}, {options.length} packed: {ours['tokens_per_second']:,.0f} tokens/s, {ours['memory_mb']:,.0f} MB")  # fmt: skip
    print(
        f"{work / 1e12:.1f} TFLOPs, {work / rate:.1%} of the matrix rate measured ({rate / 1e12:.1f} TFLOPs)"
    )
    if options.peak:
        print(f"MFU {work / options.peak / 1e12:.1%} of {options.peak:g} TFLOPs")


if __name__ == "__main__":
    main()
