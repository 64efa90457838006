"""Training on a CUDA card, by the same code as on the CPU. `make test-gpu`; nothing here runs without a card."""

from __future__ import annotations

import json

import pytest

import sftkit as sk

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpu") / "rows.jsonl"
    lines = [json.dumps({"prompt": f"{n} + 1?", "response": str(n + 1), "task": "sum"}) for n in range(64)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def trained(tiny_model, rows, folder, **settings) -> sk.Run:
    config = sk.SFTConfig(
        pretrain=str(tiny_model),
        dataset=str(rows),
        **{"train_batch_size": 16, "micro_train_batch_size": 4, "max_len": 64, **settings},
    )
    run = sk.launch(config, runs_dir=folder)
    status = run.wait(300)
    assert status.state == "finished", status.reason
    return run


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
@pytest.mark.parametrize("bf16", [False, True])
def test_every_stage_trains_and_exports(tiny_model, rows, tmp_path, zero_stage, bf16):
    run = trained(tiny_model, rows, tmp_path, zero_stage=zero_stage, bf16=bf16, gpus=(0,))
    losses = run.metrics()["loss"].dropna()
    assert len(losses) == 4 and losses.iloc[-1] < losses.iloc[0]
    assert (run.model_path / "model.safetensors").is_file()
    first = run.rows_at(1)
    assert (first["loss"] * first["tokens"]).sum() / first["tokens"].sum() == pytest.approx(
        losses.iloc[0], abs=1e-6
    )
    assert run.samples()["step"].tolist() == [4, 4, 4]


def test_a_dry_run_tells_the_memory_of_the_card(tiny_model, rows):
    config = sk.SFTConfig(
        pretrain=str(tiny_model), dataset=str(rows), train_batch_size=16, max_len=64, gpus=(0,)
    )
    told = sk.dry_run(config)
    assert (
        0 < told.peak_memory_mb <= told.reserved_memory_mb < told.device_memory_mb
        and "CPU" not in told.device
    )


def test_gpu_and_cpu_give_the_same_losses_in_fp32(tiny_model, rows, tmp_path, monkeypatch):
    on_gpu = trained(tiny_model, rows, tmp_path, bf16=False, gpus=(0,)).metrics()["loss"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    on_cpu = trained(tiny_model, rows, tmp_path, bf16=False).metrics()["loss"]
    assert on_gpu.to_list() == pytest.approx(on_cpu.to_list(), abs=1e-3)


@pytest.mark.parametrize(
    "settings", [{"packing": True, "micro_train_batch_size": 1}, {"attn_implementation": "sdpa"}]
)
def test_varlen_packed_and_row_by_row_learn_the_same(tiny_model, rows, tmp_path, settings):
    """torch's varlen attention in bfloat16 is the default on a card."""
    plain = trained(tiny_model, rows, tmp_path, gpus=(0,)).metrics()["loss"]
    other = trained(tiny_model, rows, tmp_path, gpus=(0,), **settings).metrics()["loss"]
    assert other.to_list() == pytest.approx(plain.to_list(), abs=0.02)


@pytest.mark.parametrize("zero_stage", [0, 2])
def test_float16_learns(tiny_model, rows, tmp_path, zero_stage):
    run = trained(tiny_model, rows, tmp_path, gpus=(0,), bf16=False, fp16=True, zero_stage=zero_stage)
    losses = run.metrics()["loss"]
    assert losses.iloc[-1] < losses.iloc[0]


@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_lora_learns_and_is_merged(tiny_model, rows, tmp_path, zero_stage):
    run = trained(
        tiny_model, rows, tmp_path, gpus=(0,), lora_rank=4, zero_stage=zero_stage, learning_rate=1e-2
    )
    losses = run.metrics()["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
    assert (run.model_path / "adapter" / "adapter_model.safetensors").is_file()


def test_qlora_learns_and_is_merged(tiny_model, rows, tmp_path):
    pytest.importorskip("bitsandbytes", reason="QLoRA NOT TESTED: no bitsandbytes")
    run = trained(tiny_model, rows, tmp_path, gpus=(0,), lora_rank=4, load_in_4bit=True, learning_rate=1e-2)
    assert (run.model_path / "model.safetensors").is_file()


def test_adam_offload_learns(tiny_model, rows, tmp_path):
    losses = trained(tiny_model, rows, tmp_path, gpus=(0,), adam_offload=True).metrics()["loss"]
    assert losses.iloc[-1] < losses.iloc[0]
