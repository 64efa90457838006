"""Settings to other programs' commands and back: nothing is lost, and what is written is what each version takes."""

from __future__ import annotations

import ast
import json
import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftkit import command
from sftkit.command import names, words
from sftkit.command.trl_python import trl_python
from sftkit.config import SFTConfig
from sftkit.errors import ConfigError

SPEC = spec_from_file_location("openrlhf_flags", Path(__file__).with_name("openrlhf_flags.py"))
openrlhf_flags = module_from_spec(SPEC)
SPEC.loader.exec_module(openrlhf_flags)
TRL = json.loads(Path(__file__).with_name("trl_fields.json").read_text(encoding="utf-8"))
VERSIONS = openrlhf_flags.VERSIONS
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r,", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12).map(str.strip).filter(bool)  # fmt: skip
NUMBER = st.integers(1, 4096)
SHARE = st.floats(0, 0.99).map(lambda value: round(value, 4))

# A choice of values for every setting that stands alone; those that depend on each other are made in `config`.
ALONE = {
    "pretrain": WORD, "dataset": WORD, "eval_dataset": st.none() | WORD, "input_key": WORD, "output_key": st.none() | WORD,
    "task_key": st.none() | WORD, "dataset_split": WORD, "eval_split": st.none() | WORD,
    "max_len": st.integers(8, 10_000), "max_samples": st.none() | NUMBER, "packing": st.booleans(),
    "max_epochs": st.integers(1, 9), "learning_rate": st.floats(1e-9, 1), "lr_warmup_ratio": SHARE,
    "lr_scheduler": st.sampled_from(["cosine_with_min_lr", "cosine", "linear", "constant_with_warmup", "constant"]),
    "adam_betas": st.tuples(SHARE, SHARE), "l2": SHARE, "max_norm": st.floats(0, 100).map(lambda value: round(value, 3)),
    "zero_stage": st.integers(1, 3), "adam_offload": st.booleans(), "gradient_checkpointing": st.booleans(),
    "seed": st.integers(0, 2**32 - 1), "full_determinism": st.booleans(), "save_path": st.none() | WORD,
    "save_steps": st.integers(-1, 500), "eval_steps": st.integers(-1, 500), "logging_steps": st.integers(-1, 500),
    "ckpt_path": st.none() | WORD, "max_ckpt_num": st.sampled_from([-1, 1, 3, 50]), "load_checkpoint": st.booleans(),
    "report_to": st.sampled_from([None, ("wandb",), ("tensorboard", "mlflow")]), "lora_rank": st.sampled_from([0, 8, 64]),
    "lora_alpha": NUMBER, "lora_dropout": SHARE, "target_modules": st.none() | st.just(("q_proj", "v_proj")),
    "merge_lora": st.booleans(),
}  # fmt: skip
FORMATS = [{"bf16": True}, {"bf16": False}, {"bf16": False, "fp16": True}]
ATTENTION = [{}, {"flash_attn": True}, {"attn_implementation": "sdpa"}, {"attn_implementation": "eager"}]
TEMPLATES = [
    {},
    {"apply_chat_template": True},
    {"chat_template": "llama3"},
    {"chat_template": "my templates/t.jinja"},
]
TEMPLATES += [{"input_template": text} for text in ("Q: {}\nA: ", "it's \"{}\" \\n $HOME `x` {%", "User: {}\nAssistant: ")]  # fmt: skip
PLACES = [{}, {"gpus": (0, 2)}, {"num_processes": 4}, {"launcher": "slurm", "num_processes": 16}]
PLACES += [{"launcher": name, "hostfile": "my hosts", "num_processes": 8} for name in ("pdsh", "manual")]


@st.composite
def configs(draw) -> SFTConfig:
    wished = draw(st.sets(st.sampled_from(sorted(ALONE))))
    chosen = {name: draw(ALONE[name]) for name in wished | {"pretrain", "dataset"}}
    for part in (FORMATS, ATTENTION, TEMPLATES, PLACES):
        chosen |= draw(st.sampled_from(part))
    ranks = chosen.get("num_processes") or len(chosen.get("gpus", ())) or 1
    micro, steps = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    if draw(st.booleans()):
        chosen |= {"dataset": "a.jsonl,b c/d", "dataset_probs": (0.7, 0.3)}
    if draw(st.booleans()):
        chosen |= {"dataset_caps": (5,) * len(chosen["dataset"].split(","))}
    return SFTConfig(**chosen, micro_train_batch_size=micro, train_batch_size=micro * steps * ranks)


def without_comments(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# sftkit"))


@settings(max_examples=400, deadline=None)
@given(configs(), st.sampled_from([*VERSIONS, ""]))
def test_every_version_gives_the_same_settings_back(config, version):
    text = config.to_command(f"openrlhf=={version}")
    assert SFTConfig.from_command(text) == config, text


@settings(max_examples=100, deadline=None)
@given(configs())
def test_our_own_command_code_and_yaml_give_the_same_settings_back(config):
    assert SFTConfig.from_command(config.to_command()) == config
    assert SFTConfig.from_yaml(config.to_yaml()) == config
    assert eval(repr(config), {"SFTConfig": SFTConfig}) == config


@settings(max_examples=400, deadline=None)
@given(configs(), st.sampled_from(VERSIONS))
def test_every_version_takes_the_command_written_for_it(config, version):
    written = command.write(config, f"openrlhf=={version}")
    text = re.sub(r"\$'((?:[^'\\]|\\.)*)'", "x", without_comments(written.text)).replace("\\\n", " ")
    flags = shlex.split(text)
    program = flags.index("openrlhf.cli.train_sft")
    openrlhf_flags.parser(version).parse_args(
        flags[program + 1 :]
    )  # SystemExit where a flag or value is wrong


@settings(max_examples=400, deadline=None)
@given(configs(), st.sampled_from(VERSIONS))
def test_without_the_comments_just_what_was_named_is_lost(config, version):
    written = command.write(config, f"openrlhf=={version}")
    named = {left.setting for left in written.left_out}
    assert all(getattr(config, left.setting) == left.value and left.reason for left in written.left_out)
    back = command.translate(without_comments(written.text)).settings
    if "chat_template" in named:
        back.pop("input_template", None)  # OpenRLHF then has a template of its own
    assert SFTConfig(**{**back, **{name: getattr(config, name) for name in named}}) == config


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_left_unsaid_is_openrlhfs_default_too(version):
    """A rarer setting at its default is not written: then OpenRLHF must have the same default."""
    parser = openrlhf_flags.parser(version)
    silent = vars(parser.parse_args([]))
    for setting, field in SFTConfig.model_fields.items():
        flag = names.spelling(setting, names.version(version))
        if not flag or field.json_schema_extra["common"] or field.default is None:
            continue
        if setting in ("bf16", "attn_implementation"):
            continue  # bf16 is always written; "auto" is what is right on the machine, flash-attn or not
        assert silent[flag] == field.default, f"--{flag}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_of_names_is_that_of_the_wheels(version):
    there = {action.option_strings[0].lstrip("-") for action in openrlhf_flags.parser(version)._actions}
    of = names.version(version)
    for setting in names.NAMES:
        flag = names.spelling(setting, of)
        assert not flag or flag in there, f"--{flag} is not in {version}"
    for flag in there - {"h", "help"}:
        since, until = names.range_of(flag)
        if flag in names.SETTING_OF:
            assert since <= of < until, f"--{flag} is in {version}"
    known = set(names.SETTING_OF) | command.reading.others.WITHOUT_SETTING | {"h", "help"}
    assert not there - known


def test_a_version_between_two_wheels_gets_the_flags_of_its_time():
    config = SFTConfig(pretrain="m", dataset="d", flash_attn=True)
    assert "--flash_attn" in config.to_command("openrlhf==0.8.9.post1")
    assert "--attn_implementation flash_attention_2" in config.to_command("openrlhf==0.8.10")
    assert "--bf16" in config.to_command("openrlhf==0.9.1") and "--param_dtype bf16" in config.to_command("openrlhf==0.9.2")  # fmt: skip
    assert "--micro_train_batch_size" in config.to_command("openrlhf==0.10.1")
    assert "--train.micro_batch_size" in config.to_command("openrlhf==0.10.2")


def test_what_a_version_cannot_say_is_told():
    config = SFTConfig(
        pretrain="m", dataset="d", eval_dataset="e", bf16=False, lr_scheduler="linear", task_key="kind"
    )
    old = command.write(config, "openrlhf==0.5.9")
    assert {left.setting for left in old.left_out} == {"eval_dataset", "lr_scheduler", "task_key"}
    new = command.write(config, "openrlhf==0.11")
    assert {left.setting for left in new.left_out} == {"bf16", "task_key"}
    assert "# sftkit bf16=false (" in new.text and "fp16 only" in new.text
    chinese = command.write(config, "openrlhf==0.11", "zh")
    assert all(re.search("[一-鿿]", left.reason) for left in chinese.left_out)


@settings(max_examples=60, deadline=None)
@given(configs())
def test_trl_python_is_python_and_names_what_it_lacks(config):
    written = trl_python(config)
    tree = ast.parse(written.text)
    calls = {getattr(node.func, "id", "") for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert {"SFTConfig", "SFTTrainer"} <= calls
    assert all(left.comment.replace("\n", " ") in written.text for left in written.left_out)


@settings(max_examples=60, deadline=None)
@given(configs())
def test_trls_command_and_our_comments_give_most_settings_back(config):
    back = SFTConfig.from_command(config.to_command("trl")).to_dict()
    lost = {name for name, value in config.to_dict().items() if back[name] != value}
    # Its output folder is never empty, its schedule counts shares below 1, two of its words for attention are one of ours.
    assert lost <= {"save_path", "lr_warmup_ratio", "flash_attn", "lora_alpha", "lora_dropout", "target_modules", "gpus", "num_processes", "logging_steps", "save_steps", "eval_steps", "max_ckpt_num", "packing"}, lost  # fmt: skip


def test_a_setting_that_trl_has_nothing_for_is_told_whatever_it_is():
    config = SFTConfig(
        pretrain="m", dataset="o/d", task_key="kind", full_determinism=True, sample_prompts=7, lora_rank=4
    )
    told = {left.setting for left in command.write(config, "trl").left_out}
    assert {"task_key", "sample_prompts", "merge_lora"} <= told
    assert {left.setting for left in trl_python(config).left_out} == {"task_key", "sample_prompts"}


@settings(max_examples=200, deadline=None)
@given(configs())
def test_trl_has_every_argument_and_flag_that_is_written_for_it(config):
    tree = ast.parse(trl_python(config).text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    chosen = next(call for call in calls if getattr(call.func, "id", "") == "SFTConfig")
    assert {each.arg for each in chosen.keywords} <= set(TRL["SFTConfig"])
    text = without_comments(config.to_command("trl")).partition("sft \\\n")[2]
    flags = re.findall(r"(?m)^   --(\w+)", text) + re.findall(r"(?<= )--(lora_\w+)", text)
    assert (
        set(flags) - {"use_peft"} <= {name for names in TRL.values() for name in names}
        and "output_dir" in flags
    )


def test_trls_flags_are_known():
    known = set(names.SETTING_OF) | command.reading.others.WITHOUT_SETTING | names.DTYPE
    there = {name for kind in ("SFTConfig", "ScriptArguments", "ModelConfig") for name in TRL[kind]}
    assert not there - known


def test_an_unknown_target_is_refused():
    with pytest.raises(ConfigError, match="openrlhf==VERSION"):
        command.write(SFTConfig(pretrain="m", dataset="d"), "axolotl")


def test_every_sentence_is_in_both_languages_and_used():
    source = "".join(path.read_text(encoding="utf-8") for path in Path(words.__file__).parent.glob("*.py"))
    for kind, table in words.table().items():
        for key, said in table.items():
            assert set(said) == {"en", "zh"} and all(said.values()), (kind, key)
            assert re.search("[一-鿿]", said["zh"]), (kind, key)
            assert set(re.findall(r"\{(\w+)\}", said["en"])) == set(re.findall(r"\{(\w+)\}", said["zh"]))
            assert re.search(rf"\b{re.escape(key)}\b", source), f"{kind} {key} is used nowhere"
