"""OpenRLHF's train_sft on the task, on a CPU: `python openrlhf_sft.py TASK_FOLDER OUTPUT default|packing fp32|bf16`.

It is written for GPUs. What is put in the place of CUDA here is named a stand-in; its loop, data, model and DeepSpeed
settings are its own. It knows bf16 and fp16 only.
"""

from __future__ import annotations

import os
import runpy
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import torch
import torch.distributed.device_mesh as mesh
from marks import mark

folder, output, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
os.environ |= {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29611", "DS_ACCELERATOR": "cpu"}  # fmt: skip


class StandIn(ModuleType):
    """A package that needs CUDA to be imported; whatever is asked of it is never called here."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: (_ for _ in ()).throw(RuntimeError(f"{self.__name__}.{name} needs CUDA"))


for name in ("flash_attn", "flash_attn.bert_padding", "flash_attn.utils", "flash_attn.utils.distributed"):  # fmt: skip
    sys.modules[name] = StandIn(name)
    sys.modules[name].__spec__ = ModuleSpec(name, None)

# Stand-ins for the card.
torch.cuda.current_device = lambda: "cpu"
for name in ("set_device", "synchronize", "empty_cache"):
    setattr(torch.cuda, name, lambda *_, **__: None)  # one each: torch's compiler keeps a list of them
own_mesh = mesh.init_device_mesh
mesh.init_device_mesh = lambda _device, *rest, **more: own_mesh("cpu", *rest, **more)

import deepspeed
import deepspeed.ops

deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
own_init = deepspeed.init_distributed
deepspeed.init_distributed = lambda dist_backend="gloo", **more: own_init(dist_backend="gloo", **more)
own_initialize = deepspeed.initialize


def initialize(*rest, **more):
    config = more.get("config") or more["config_params"]
    if "optimizer" in config:  # its fused Adam is a CUDA kernel
        config["optimizer"]["params"]["torch_adam"] = True
    return own_initialize(*rest, **more)


deepspeed.initialize = initialize

from openrlhf.trainer import sft_trainer

own_logs = sft_trainer.SFTTrainer.save_logs_and_checkpoints


def save_logs_and_checkpoints(self, args, global_step, *rest, **more):
    mark(global_step)
    return own_logs(self, args, global_step, *rest, **more)


sft_trainer.SFTTrainer.save_logs_and_checkpoints = save_logs_and_checkpoints

sys.argv = f"""train_sft --data.max_len 1024 --data.dataset {folder}/train.jsonl --data.input_key prompt
    --data.output_key response --train.batch_size 32 --train.micro_batch_size 8 --model.model_name_or_path {folder}/model
    --ckpt.output_dir {output} --ckpt.path {output}-ckpt --logger.logging_steps 1 --ds.zero_stage 2 --train.max_epochs 1
    --ds.param_dtype bf16 --ds.attn_implementation sdpa --adam.lr 1e-3 --lr_scheduler constant
    --lr_warmup_ratio 0""".split()
sys.argv += ["--data.input_template", "User:\n{}\n\nAssistant:\n"]
if way == "packing":
    sys.argv.append("--ds.packing_samples")
runpy.run_module("openrlhf.cli.train_sft", run_name="__main__")
