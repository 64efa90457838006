"""LLaMA-Factory on the task: `python llamafactory_sft.py TASK_FOLDER OUTPUT default|packing|neat_packing fp32|bf16`."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

# A stand-in for a package that it imports for sound, of which there is none here, and whose wheels need another torch.
sys.modules["torchaudio"] = ModuleType("torchaudio")
sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)

from llamafactory.data.formatter import EmptyFormatter, StringFormatter
from llamafactory.data.template import register_template
from llamafactory.train.tuner import run_exp
from marks import mark
from transformers import TrainerCallback

folder, output, way, dtype = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
register_template(
    name="bench",
    format_user=StringFormatter(slots=["User:\n{{content}}\n\nAssistant:\n"]),
    format_assistant=StringFormatter(slots=["{{content}}", {"eos_token"}]),
    format_prefix=EmptyFormatter(slots=[{"bos_token"}]),
)
columns = {"prompt": "prompt", "response": "response"}
(folder / "dataset_info.json").write_text(
    json.dumps({"bench": {"file_name": "train.jsonl", "columns": columns}})
)


class Marks(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        mark(state.global_step)


# Packs of 1,024 tokens hold about 11 rows: three of them make a step of about 32.
packs = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3}
WAYS = {"default": {}, "packing": {"packing": True, **packs}, "neat_packing": {"packing": True, "neat_packing": True, **packs}}  # fmt: skip
settings = {
    "stage": "sft", "do_train": True, "finetuning_type": "full", "model_name_or_path": str(folder / "model"),
    "dataset_dir": str(folder), "dataset": "bench", "template": "bench", "cutoff_len": 1024, "output_dir": output,
    "overwrite_output_dir": True, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "num_train_epochs": 1.0,
    "learning_rate": 1e-3, "lr_scheduler_type": "constant", "logging_steps": 1, "save_strategy": "no", "report_to": "none",
    "use_cpu": True, "adam_beta2": 0.95, "seed": 1, "disable_gradient_checkpointing": True, "bf16": dtype == "bf16",
    "overwrite_cache": True,
}  # fmt: skip
run_exp(settings | WAYS[way], callbacks=[Marks()])
