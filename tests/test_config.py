"""SFTConfig: every fault at once, unknown names with the nearest, code that evaluates back."""

from __future__ import annotations

from pathlib import Path

import pytest

import sftkit as sk
from sftkit.config import GROUPS, SFTConfig
from sftkit.errors import ConfigError, SftkitError

MINIMAL = {"pretrain": "data/tiny-base", "dataset": "data/train.jsonl"}


def faults_of(**settings) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        SFTConfig(**settings)
    return {fault.field: str(fault) for fault in caught.value.faults}


def test_every_fault_is_reported_at_once():
    faults = faults_of(
        lerning_rate=1,
        train_batch_size=7,
        micro_train_batch_size=2,
        zero_stage=5,
        bf16="perhaps",
        adam_betas=(1, 2),
    )
    expected = {"pretrain", "dataset", "lerning_rate", "train_batch_size", "zero_stage", "bf16", "adam_betas"}
    assert set(faults) == expected
    assert "Did you mean 'learning_rate'?" in faults["lerning_rate"]
    assert "6 or 8" in faults["train_batch_size"]


def test_the_error_is_both_ours_and_a_value_error():
    with pytest.raises(SftkitError):
        SFTConfig()
    with pytest.raises(ValueError):
        SFTConfig()


@pytest.mark.parametrize(
    "settings, field",
    [
        ({"train_batch_size": 6, "micro_train_batch_size": 2, "num_processes": 2}, "train_batch_size"),
        ({"gpus": (0, 1), "num_processes": 4}, "num_processes"),
        ({"gpus": (0, 0)}, "gpus"),
        ({"input_template": "no place"}, "input_template"),
        ({"input_template": "Q: {}", "apply_chat_template": True}, "input_template"),
        ({"adam_offload": True, "zero_stage": 0}, "adam_offload"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"pretrain": ""}, "pretrain"),
        ({"eval_steps": -2}, "eval_steps"),
    ],
)
def test_what_cannot_work_is_refused(settings, field):
    assert field in faults_of(**{**MINIMAL, **settings})


def test_repr_code_and_dict_give_the_same_settings_back():
    config = SFTConfig(
        **MINIMAL,
        learning_rate=3e-4,
        gpus=(1, 0),
        adam_betas=(0.9, 0.99),
        input_template="Q: {}\nA:",
        bf16=False,
        output_key=None,
    )
    assert eval(repr(config), {"SFTConfig": SFTConfig}) == config
    assert eval(config.to_code(), {"sk": sk}) == config
    assert SFTConfig.from_dict(config.to_dict()) == config


def test_a_config_is_changed_only_by_copy():
    config = SFTConfig(**MINIMAL)
    changed = config.with_(learning_rate=1e-4)
    assert (config.learning_rate, changed.learning_rate) == (5e-6, 1e-4)
    with pytest.raises(ValueError):
        config.learning_rate = 1.0
    with pytest.raises(ConfigError):
        config.with_(learning_rate=-1)


def test_empty_text_stands_for_none_where_none_is_allowed():
    assert SFTConfig(**MINIMAL, eval_dataset="", output_key="").eval_dataset is None


def test_accumulation():
    config = SFTConfig(**MINIMAL, train_batch_size=64, micro_train_batch_size=4, num_processes=2)
    assert config.accumulation() == 8
    assert config.accumulation(processes=1) == 16


def test_every_field_says_what_it_is():
    for name, field in SFTConfig.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert field.json_schema_extra["group"] in GROUPS, name


def test_all_settings_of_the_seed_script_and_of_the_design_are_there():
    names = """max_len dataset input_key output_key train_batch_size micro_train_batch_size max_samples pretrain save_path
    save_steps logging_steps eval_steps zero_stage max_epochs bf16 flash_attn learning_rate load_checkpoint
    gradient_checkpointing eval_dataset input_template apply_chat_template packing lora_rank lora_alpha lr_scheduler
    lr_warmup_ratio adam_betas l2 max_norm adam_offload ckpt_path max_ckpt_num seed task_key""".split()
    assert not set(names) - set(SFTConfig.model_fields)


def test_faults_are_told_in_plain_words():
    faults = faults_of(
        **MINIMAL, max_len="abc", zero_stage=9, l2=-1, bf16="perhaps", lr_scheduler="steep", learning_rate=0
    )
    assert faults["max_len"] == "max_len: 'abc' is no whole number."
    assert faults["zero_stage"] == "zero_stage: 9 is too large: at most 3."
    assert faults["l2"] == "l2: -1 is too small: at least 0.0."
    assert faults["bf16"] == "bf16: 'perhaps' is neither true nor false."
    assert "is none of 'cosine_with_min_lr'" in faults["lr_scheduler"]
    assert "more than" in faults["learning_rate"]


@pytest.mark.parametrize(
    "settings, field",
    [
        ({"dataset": "a.jsonl, b.jsonl", "dataset_probs": (1.0,)}, "dataset_probs"),
        ({"dataset_probs": (-1.0,)}, "dataset_probs"),
        ({"dataset_probs": (float("nan"),)}, "dataset_probs"),
        ({"dataset_caps": (5, 6)}, "dataset_caps"),
        ({"dataset_caps": (-5,)}, "dataset_caps"),
        ({"fp16": True}, "fp16"),
        ({"flash_attn": True, "attn_implementation": "eager"}, "attn_implementation"),
        ({"chat_template": "chatml", "apply_chat_template": True}, "apply_chat_template"),
        ({"max_ckpt_num": 0}, "max_ckpt_num"),
        ({"load_in_4bit": True}, "load_in_4bit"),
        ({"launcher": "pdsh", "num_processes": 4}, "hostfile"),
        ({"launcher": "slurm"}, "num_processes"),
        ({"hostfile": "hosts"}, "hostfile"),
        ({"report_to": ("excel",)}, "report_to.0"),
    ],
)
def test_new_settings_that_cannot_work_are_refused(settings, field):
    assert field in faults_of(**{**MINIMAL, **settings})


def test_sources_are_separated_by_commas():
    config = SFTConfig(**{**MINIMAL, "dataset": "a.jsonl, owner/name", "dataset_probs": (3, 1)})
    assert config.sources == ["a.jsonl", "owner/name"]
    assert config.eval_sources == []


def test_with_packing_a_batch_need_not_be_a_multiple():
    assert SFTConfig(**MINIMAL, packing=True, train_batch_size=30, micro_train_batch_size=4)


def test_sources_may_be_given_as_paths_or_as_a_list():
    config = SFTConfig(pretrain="m", dataset=[Path("a.jsonl"), "owner/set"], eval_dataset=Path("e.jsonl"))
    assert (config.dataset, config.eval_dataset) == ("a.jsonl,owner/set", "e.jsonl")
    assert config.sources == ["a.jsonl", "owner/set"] and SFTConfig.from_dict(config.to_dict()) == config
    assert SFTConfig(pretrain="m", dataset="a", eval_dataset=[]).eval_dataset is None
    for wrong, words in (([], "is empty"), ([3], "is no text"), ([["a"]], "is no text")):
        with pytest.raises(ConfigError, match=words):
            SFTConfig(pretrain="m", dataset=wrong)
