"""Launch commands to settings and back."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sftkit as sk
from sftkit import command
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


# translate: every flag explained


def test_every_flag_of_the_seed_is_explained():
    found = sk.translate(SEED)
    assert [flag.name for flag in found.flags] == [f"--{name}" for name in EXPECTED]
    assert all(flag.sentence and flag.setting == flag.name[2:] for flag in found.flags)
    traps = {flag.setting: flag.trap for flag in found.flags if flag.trap}
    assert {
        "max_len",
        "max_samples",
        "train_batch_size",
        "save_steps",
        "logging_steps",
        "load_checkpoint",
    } <= set(traps)
    assert "0.8.10" in traps["flash_attn"] and "0.9.2" in traps["bf16"]
    assert found.notes[0] == "OpenRLHF 0.2 to 0.8.9 takes these flags."
    assert {name: found.settings[name] for name in EXPECTED} == EXPECTED
    assert not (found.unknown or found.unused or found.faults)


def test_the_template_that_openrlhf_adds_unasked_is_taken_over_and_told():
    found = sk.translate(SEED)
    assert found.config.input_template == "User: {}\nAssistant: " and any(
        "template" in note for note in found.notes
    )
    chat = sk.translate("train_sft --pretrain m --dataset d --apply_chat_template --input_template 'x {}'")
    assert chat.config.input_template is None and chat.config.apply_chat_template


SECRETS = ("--use_wandb s3cret", "--logger.wandb.key=s3cret", "--hub_token s3cret", "--some_api_key s3cret")


@pytest.mark.parametrize("flag", SECRETS)
def test_a_secret_is_shown_nowhere(flag):
    found = sk.translate(f"WANDB_API_KEY=s3cret train_sft --pretrain m --dataset d {flag}")
    everywhere = f"{found} {found._repr_html_()} {found.settings} {found.flags} {found.faults} {found.notes}"
    assert "s3cret" not in everywhere
    assert any("environment" in each.trap and each.value == "•••" for each in found.flags)


def test_pasted_text_is_escaped():
    page = sk.translate("train_sft --pretrain '<img src=x>' --dataset d --bad '<b>'")._repr_html_()
    assert "<img" not in page and "&lt;img" in page and "<b>" not in page.replace("<b>OpenRLHF", "")


def test_unknown_flags_are_named_with_the_nearest_and_the_rest_is_kept():
    found = sk.translate("train_sft --pretrian x --pretrain m --dataset d --frobnicate 1")
    assert found.unknown == ("--pretrian", "--frobnicate") and "--pretrain?" in found.flags[0].sentence
    assert found.config.pretrain == "m"


def test_flags_of_versions_that_never_met():
    found = sk.translate("train_sft --pretrain m --dataset d --flash_attn --param_dtype bf16")
    assert "--flash_attn was there until 0.8.9, --param_dtype came with 0.9.2" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "bf16"),
    [("--bf16", True), ("--flash_attn", False), ("--param_dtype fp16", False), ("--ds.zero_stage 2", True)],
)
def test_the_number_format_is_that_of_the_flags_version(text, bf16):
    dotted = "--model.model_name_or_path m --data.dataset d" if ".z" in text else "--pretrain m --dataset d"
    assert sk.translate(f"train_sft {dotted} {text}").config.bf16 is bf16


# scripts as people have them

SCRIPT = r"""#!/bin/bash
set -x
export WANDB_API_KEY=s3cret
export CUDA_VISIBLE_DEVICES=0,1,2,3
MODEL="/models/my llama"
ARGS=(
  --pretrain "$MODEL"   # quoted
  --dataset ${DATA:-data/train.jsonl}
  # --packing_samples
  --train_batch_size 64
)
ARGS+=(--micro_train_batch_size 4)
deepspeed --include localhost:0,1 --master_port 29501 --module openrlhf.cli.train_sft "${ARGS[@]}"   --max_len 512 2>&1 | tee log.txt
python eval.py --model_path x --pretrain y
"""


def test_variables_arrays_comments_pipes_and_what_comes_after():
    found = sk.translate(SCRIPT)
    config = found.config
    assert (config.pretrain, config.dataset, config.max_len) == ("/models/my llama", "data/train.jsonl", 512)
    assert (config.train_batch_size, config.micro_train_batch_size, config.packing) == (64, 4, False)
    assert config.gpus == (0, 1) and not found.faults and "s3cret" not in str(found)


def test_a_variable_that_is_not_set_is_told():
    found = sk.translate("train_sft --pretrain $MODEL --dataset d --max_epochs ${EPOCHS}")
    assert [flag.name for flag in found.flags if "is not set" in flag.trap] == ["--pretrain", "--max_epochs"]
    with pytest.raises(ConfigError, match="EPOCHS"):
        found.config  # noqa: B018


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("deepspeed --num_gpus 4 --module", {"num_processes": 4}),
        ("deepspeed --num_gpus=2 --num_nodes 1 --module", {"num_processes": 2}),
        ("deepspeed --include localhost:1,3 --module", {"gpus": (1, 3)}),
        ("CUDA_VISIBLE_DEVICES=2 python -m", {"gpus": (2,)}),
        ("CUDA_VISIBLE_DEVICES=0,1,2,3 deepspeed --num_gpus 2 --module", {"gpus": (0, 1)}),
        ("torchrun --standalone --nproc_per_node 4 -m", {"num_processes": 4}),
        ("accelerate launch --num_processes 8 --mixed_precision bf16 -m", {"num_processes": 8, "bf16": True}),
        ("deepspeed --launcher slurm --module", {"launcher": "slurm"}),
        ("!deepspeed --module", {}),
        ("nohup deepspeed --module", {}),
    ],
)
def test_launchers(before, expected):
    found = sk.translate(f"{before} openrlhf.cli.train_sft --pretrain m --dataset d")
    assert not found.faults
    for name in ("gpus", "num_processes", "launcher", *expected):
        got = found.settings.get(name)
        assert got == expected.get(name) or tuple(got) == expected[name]


def test_every_gpu_of_the_machine_is_what_deepspeed_takes():
    assert any("every GPU" in note for note in sk.translate("deepspeed --module openrlhf.cli.train_sft --pretrain m --dataset d").notes)  # fmt: skip


def test_a_hostfile_says_how_many_processes(tmp_path):
    (tmp_path / "hosts").write_text("one slots=8\n# no slots=9\ntwo slots=8\n")
    config = sk.translate(f"deepspeed --hostfile {tmp_path}/hosts --module openrlhf.cli.train_sft --pretrain m --dataset d").config  # fmt: skip
    assert (config.launcher, config.num_processes) == ("pdsh", 16)


# TRL, LLaMA-Factory, YAML


def test_trls_script_has_trls_habits():
    found = sk.translate(
        "accelerate launch --num_processes 4 trl/scripts/sft.py --model_name_or_path m --dataset_name o/d"
        " --per_device_train_batch_size 2 --gradient_accumulation_steps 3 --warmup_steps 0.1 --use_peft --lora_r 32"
        " --eval_strategy steps --eval_steps 50 --adam_beta2 0.95 --report_to wandb --optim adamw_8bit"
    )
    config = found.config
    assert (config.train_batch_size, config.num_processes, config.learning_rate) == (24, 4, 2e-5)
    assert (config.lr_warmup_ratio, config.lora_rank, config.lora_alpha, config.eval_steps) == (
        0.1,
        32,
        32,
        50,
    )
    assert (
        config.adam_betas == (0.9, 0.95) and config.report_to == ("wandb",) and found.unused == ("--optim",)
    )


def test_lora_flags_without_use_peft_train_all_weights_in_trl():
    found = sk.translate("python sft.py --model_name_or_path m --dataset_name d --lora_r 8")
    assert found.config.lora_rank == 0 and any("--use_peft" in note for note in found.notes)


LLAMA_FACTORY = """
### model
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
deepspeed: examples/deepspeed/ds_z3_config.json
### dataset
dataset: identity
template: llama3
cutoff_len: 2048
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
flash_attn: fa2
"""


def test_llama_factorys_yaml():
    found = sk.translate(LLAMA_FACTORY)
    config = found.config
    assert (config.train_batch_size, config.max_epochs, config.lora_rank, config.zero_stage) == (8, 3, 8, 3)
    assert (config.max_len, config.lr_scheduler, config.flash_attn) == (2048, "cosine", True)
    assert found.unused == ("template",) and "dataset_info.json" in next(f for f in found.flags if f.name == "dataset").trap  # fmt: skip


def test_yaml_of_ours_and_faults_in_it():
    config = SFTConfig(
        pretrain="m: x", dataset="- d", learning_rate=5e-7, adam_betas=(0.1, 0.2), input_template="'{}'\n"
    )
    assert sk.translate(config.to_yaml()).config == config
    assert SFTConfig.from_yaml("pretrain: m\ndataset: d\nlearning_rate: 5e-6").learning_rate == 5e-6
    with pytest.raises(ConfigError, match="pretrain"):
        SFTConfig.from_yaml("pretrian: m\ndataset: d")
    for text in ("- a\n- b", "a: [", "!!python/object/apply:os.system ['true']"):
        with pytest.raises(ConfigError):
            SFTConfig.from_yaml(text)


@pytest.mark.parametrize(
    "text", ["", "   ", "hello: world and --more", "{{{", "--", "'", "$(", "a=(", "<<EOF\nx\nEOF", "\\"]
)
def test_nonsense_is_refused_in_words(text):
    with pytest.raises(ConfigError):
        SFTConfig.from_command(text)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("-= '\"\\$(){}#\n;|&<>aflags:*"), max_size=40))
def test_no_text_breaks_the_reader(text):
    with suppress(ConfigError):
        str(sk.translate(f"train_sft --pretrain m --dataset d {text}"))


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "<<a\n" * 20_000,
        "read x <<EOF\n" * 20_000,
        "train_sft --pretrain m --dataset d " + "$(" * 20_000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghij")),
    ],
)  # fmt: skip
def test_no_text_keeps_the_form_waiting(text):
    with suppress(ConfigError):
        sk.translate(text)
    command.masked(text)


def test_only_the_here_document_with_the_command_is_read():
    script = "cat > notes.txt <<'EOF'\nnothing --here\nEOF\n" + "train_sft --pretrain m --dataset d <<< x\n"
    assert SFTConfig.from_command(script).pretrain == "m"
