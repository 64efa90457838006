"""TRL's SFTTrainer on the task: `python trl_sft.py TASK_FOLDER OUTPUT default|packing|padding_free|grouped fp32|bf16`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from datasets import Dataset
from marks import mark
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

folder, output, way, dtype = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
WAYS = {
    "default": {},
    "grouped": {"train_sampling_strategy": "group_by_length"},
    "padding_free": {"padding_free": True, "max_length": None},
    # Packs of 1,024 tokens hold about 11 rows: three of them make a step of about 32.
    "packing": {
        "packing": True,
        "packing_strategy": "bfd_split",
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 3,
    },
}


class Marks(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        mark(state.global_step)


settings = {
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4, "num_train_epochs": 1, "learning_rate": 1e-3,
    "lr_scheduler_type": "constant", "max_length": 1024, "bf16": dtype == "bf16", "use_cpu": True, "report_to": "none",
    "save_strategy": "no", "logging_steps": 1, "gradient_checkpointing": False, "adam_beta2": 0.95, "seed": 1,
    "max_grad_norm": 1.0, "disable_tqdm": True, "model_init_kwargs": {"dtype": "float32"},
}  # fmt: skip
rows = Dataset.from_list([json.loads(line) for line in (folder / "train.ids.jsonl").open()])
trainer = SFTTrainer(
    str(folder / "model"), args=SFTConfig(output_dir=output, **(settings | WAYS[way])), train_dataset=rows, callbacks=[Marks()],
)  # fmt: skip
trainer.train()
trainer.save_model(output)
