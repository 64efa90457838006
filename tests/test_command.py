"""Launch commands to settings and back."""

from __future__ import annotations

import pytest

from sftkit.command.names import NAMES
from sftkit.config import SFTConfig
from sftkit.errors import ConfigError

SEED = r"""
openrlhf.cli.train_sft \
   --max_len 2048 \
   --dataset xxx \
   --input_key question \
   --output_key response \
   --train_batch_size 256 \
   --micro_train_batch_size 2 \
   --max_samples 500000 \
   --pretrain meta-llama/Meta-Llama-3-8B \
   --save_path ./checkpoint/llama3-8b-sft \
   --save_steps -1 \
   --logging_steps 1 \
   --eval_steps -1 \
   --zero_stage 2 \
   --max_epochs 1 \
   --bf16 \
   --flash_attn \
   --learning_rate 5e-6 \
   --load_checkpoint \
   --gradient_checkpointing
"""

EXPECTED = dict(
    max_len=2048, dataset="xxx", input_key="question", output_key="response", train_batch_size=256,
    micro_train_batch_size=2, max_samples=500000, pretrain="meta-llama/Meta-Llama-3-8B",
    save_path="./checkpoint/llama3-8b-sft", save_steps=-1, logging_steps=1, eval_steps=-1, zero_stage=2, max_epochs=1,
    bf16=True, flash_attn=True, learning_rate=5e-6, load_checkpoint=True, gradient_checkpointing=True,
)  # fmt: skip


def test_the_seed_script_is_taken_as_it_stands():
    config = SFTConfig.from_command(SEED)
    assert {name: getattr(config, name) for name in EXPECTED} == EXPECTED
    assert len(EXPECTED) == 19


def test_the_dotted_flags_say_the_same():
    dotted = """deepspeed --module openrlhf.cli.train_sft --data.max_len 2048 --data.dataset xxx
    --data.input_key question --data.output_key response --train.batch_size 256 --train.micro_batch_size 2
    --data.max_samples 500000 --model.model_name_or_path meta-llama/Meta-Llama-3-8B
    --ckpt.output_dir ./checkpoint/llama3-8b-sft --ckpt.save_steps -1 --logger.logging_steps 1 --eval.steps -1
    --ds.zero_stage 2 --train.max_epochs 1 --ds.param_dtype bf16 --ds.attn_implementation flash_attention_2
    --adam.lr 5e-6 --ckpt.load_enable --model.gradient_checkpointing_enable"""
    assert SFTConfig.from_command(dotted) == SFTConfig.from_command(SEED)


def test_a_script_with_comments_launcher_flags_and_equal_signs():
    config = SFTConfig.from_command(
        "#!/bin/bash\n# SFT\ndeepspeed --num_gpus 4 --module openrlhf.cli.train_sft --pretrain=m \\\r\n"
        "  --dataset 'my data.jsonl' --adam_betas 0.9 0.98  # tuned\n"
    )
    assert (config.pretrain, config.dataset, config.adam_betas) == ("m", "my data.jsonl", (0.9, 0.98))
    assert config.max_epochs == 2 and config.bf16 is False, "what OpenRLHF does when the script says nothing"


def test_trl_names():
    config = SFTConfig.from_command(
        "trl sft --model_name_or_path m --dataset_name d --per_device_train_batch_size 4"
        " --gradient_accumulation_steps 8 --num_train_epochs 3 --torch_dtype bfloat16"
    )
    assert (config.pretrain, config.train_batch_size, config.max_epochs) == ("m", 32, 3)


@pytest.mark.parametrize("target", ["sftkit", "openrlhf==0.8.9", "openrlhf==0.11"])
def test_written_commands_read_back_the_same(target):
    config = SFTConfig.from_command(SEED)
    assert SFTConfig.from_command(config.to_command(target)) == config
    other = SFTConfig(
        pretrain="a b", dataset="it's", bf16=False, output_key=None, l2=0.1, adam_betas=(0.8, 0.9)
    )
    assert SFTConfig.from_command(other.to_command(target)) == other


def test_versions_get_their_own_flags():
    config = SFTConfig.from_command(SEED)
    assert "--micro_train_batch_size 2" in config.to_command("openrlhf==0.8.9")
    assert "--train.micro_batch_size 2" in config.to_command("openrlhf==0.11")
    assert "--gradient_accumulation_steps 128" in config.to_command("trl")
    with pytest.raises(ConfigError, match="axolotl"):
        config.to_command("axolotl")


def test_unknown_flags_and_missing_values_are_all_named():
    with pytest.raises(ConfigError) as caught:
        SFTConfig.from_command("train_sft --pretrian x --frobnicate 1 --dataset --l2 1 2")
    text = str(caught.value)
    assert (
        "--pretrain?" in text
        and "--frobnicate" in text
        and "--dataset: has no value" in text
        and "--l2" in text
    )


def test_flags_without_a_setting_are_named_and_their_values_are_not():
    with pytest.warns(UserWarning, match="use_wandb") as caught:
        SFTConfig.from_command("train_sft --pretrain m --dataset d --use_wandb sk-secret")
    assert "sk-secret" not in str(caught[0].message)


def test_an_open_quote_is_a_clear_error():
    with pytest.raises(ConfigError, match="quote"):
        SFTConfig.from_command("train_sft --dataset 'open")


def test_the_table_knows_every_setting():
    assert set(NAMES) <= set(SFTConfig.model_fields)


def test_a_fenced_command_loses_nothing():
    fenced = f"```bash{SEED}```\n"
    assert SFTConfig.from_command(fenced) == SFTConfig.from_command(SEED)


@pytest.mark.parametrize("value", ["out/train_sft", "runs/sft.py", "launch", "sft"])
@pytest.mark.parametrize("program", ["sftkit launch", "accelerate launch --num_processes 1 sft.py"])
def test_a_value_that_looks_like_a_program_is_a_value(program, value):
    config = SFTConfig.from_command(f"{program} --pretrain m --dataset d --save_path {value} --max_len 99")
    assert (config.pretrain, config.save_path, config.max_len) == ("m", value, 99)
    assert config.max_epochs == 1, "OpenRLHF's defaults are for OpenRLHF's program"


def test_a_switch_with_a_value_that_says_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"bf16.*banana"):
        SFTConfig.from_command("sftkit launch --pretrain m --dataset d --bf16 banana")
    with pytest.raises(ConfigError, match="bf16"):
        SFTConfig.from_command("sftkit launch --pretrain m --dataset d --bf16 true EOF")


def test_ansi_quoted_templates_as_openrlhf_users_write_them():
    config = SFTConfig.from_command(r"train_sft --pretrain m --dataset d --input_template $'It\'s {}\n答：'")
    assert config.input_template == "It's {}\n答："


def test_no_gpus_named_is_none_in_every_spelling():
    config = SFTConfig(pretrain="m", dataset="d", gpus=())
    assert config.gpus is None and SFTConfig.from_command(config.to_command()) == config


def test_openrlhf_example_scripts_wrap_the_command_in_a_here_document():
    script = (
        "set -x\n\nread -r -d '' training_commands <<EOF"
        + SEED.rstrip()
        + '\nEOF\n    # --packing_samples\n\nif [[ ${1} != "slurm" ]]; then\n    deepspeed --module $training_commands\nfi\n'
    )
    assert SFTConfig.from_command(script) == SFTConfig.from_command(SEED)


def test_what_is_no_command_is_said_to_be_none():
    with pytest.raises(ConfigError, match="no launch command"):
        SFTConfig.from_command("hello")
