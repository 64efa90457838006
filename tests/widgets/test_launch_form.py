"""The form without a browser: what is entered, what is said of it, what a click does. No loop runs unless a test
starts one, so checks are made at once."""

from __future__ import annotations

import asyncio
import threading
import time
from html import escape

import pytest
from ipywidgets import Checkbox, Combobox, Dropdown, Text, Widget

import sftkit as sk
from sftkit.errors import DryRunError
from sftkit.runs import Finding, dry_run, hardware
from sftkit.runs.dry_run import DryRun
from sftkit.widgets import form_check, launch_form
from sftkit.widgets.form_check import suggestions
from sftkit.widgets.launch_form import LaunchForm
from sftkit.widgets.setting import as_text, from_text

HOSTILE = "<img src=x onerror=alert(1)>"
SEED_SCRIPT = r"""
openrlhf.cli.train_sft \
   --max_len 2048 --dataset xxx --input_key question --output_key response --train_batch_size 256 \
   --micro_train_batch_size 2 --max_samples 500000 --pretrain meta-llama/Meta-Llama-3-8B \
   --save_path ./checkpoint/llama3-8b-sft --save_steps -1 --logging_steps 1 --eval_steps -1 --zero_stage 2 \
   --max_epochs 1 --bf16 --flash_attn --learning_rate 5e-6 --load_checkpoint --gradient_checkpointing
"""


@pytest.fixture
def form(settings, tmp_path):
    form = LaunchForm(settings, tmp_path / "runs", lang="en")
    yield form
    form.close()


def enter(form, **texts):
    for name, text in texts.items():
        form.rows[name].input.value = text


def beside(form, name):
    """What stands beside a field."""
    return form.rows[name].children[1].value


def fields(form, level):
    return {finding.field for finding in form.findings if finding.level == level}


# the inputs


def test_every_setting_has_a_row_made_from_its_type(form):
    assert set(form.rows) == set(sk.SFTConfig.model_fields)
    kinds = {
        "bf16": Checkbox,
        "lr_scheduler": Dropdown,
        "zero_stage": Dropdown,
        "dataset": Combobox,
        "l2": Text,
    }
    for name, kind in kinds.items():
        assert type(form.rows[name].input) is kind
    assert form.rows["zero_stage"].input.options == (0, 1, 2, 3)


def test_every_row_stands_once_in_the_form(form):
    def below(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from below(child)

    assert not set(form._groups.names["lora"]) & set(form.rows.built), (
        "a row is built when its group is opened"
    )
    for fold in form._groups.folds.values():
        fold.is_open = True
    shown = [widget for widget in below(form) if widget in form.rows.values()]
    assert len(shown) == len(form.rows)


def test_help_and_unit_stand_beside_every_field(form):
    for name, field in sk.SFTConfig.model_fields.items():
        assert "sft-help" in beside(form, name) and escape(field.description) in beside(form, name)
    assert "tokens" in beside(form, "max_len")
    assert "OpenRLHF --max_len; from 0.10.2 --data.max_len · TRL --max_length" in beside(form, "max_len")


def test_what_goes_in_comes_out(settings, tmp_path):
    changes = {
        "adam_betas": (0.8, 0.99), "max_samples": 500_000, "save_path": str(tmp_path / "m"), "output_key": None,
        "zero_stage": 3, "bf16": False, "lr_scheduler": "linear", "learning_rate": 5e-6, "eval_steps": 0,
    }  # fmt: skip
    config = settings.with_(**changes)
    form = LaunchForm(config, tmp_path)
    assert form.config == config
    assert eval(form.to_code(), {"sk": sk}) == form.config


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5e-6", float, 5e-6),
        ("500,000", int, 500_000),
        ("500_000", int, 500_000),
        ("0.9, 0.95", tuple[float, float], [0.9, 0.95]),
        ("(0 1)", tuple[int, ...], [0, 1]),
        ("abc", int, "abc"),
        ("1.5", int, "1.5"),
    ],
)
def test_text_to_value(text, kind, value):
    assert from_text(text, kind) == value


def test_numbers_are_shown_as_one_types_them():
    assert [as_text(value) for value in (5e-6, 1e-3, 2048, (0.9, 0.95))] == [
        "5e-6",
        "0.001",
        "2048",
        "0.9, 0.95",
    ]


def test_an_empty_input_is_none_or_the_default(form):
    enter(form, output_key="", max_len="", max_samples=" ")
    assert (form.config.output_key, form.config.max_len, form.config.max_samples) == (None, 2048, None)
    assert form.rows["max_len"].input.placeholder == "2048"


# faults


def test_an_empty_form_asks_for_model_and_data(tmp_path):
    form = LaunchForm(runs_dir=tmp_path, lang="en")
    assert fields(form, "stop") == {"pretrain", "dataset"}
    for name in ("pretrain", "dataset"):
        assert "Needed" in beside(form, name) and "sft-stop" not in beside(form, name)
    assert "Two settings are enough" in form._hint.value
    assert form._button.disabled and form.run is None
    with pytest.raises(sk.ConfigError) as caught:
        form.config  # noqa: B018
    assert len(caught.value.faults) == 2
    with pytest.raises(sk.ConfigError):
        form.to_code()


def test_all_faults_at_once_beside_their_fields(form):
    enter(form, train_batch_size="100", max_len="many", learning_rate="-1", lr_warmup_ratio="2")
    assert fields(form, "stop") == {"train_batch_size", "max_len", "learning_rate", "lr_warmup_ratio"}
    for name in fields(form, "stop"):
        assert "sft-stop" in beside(form, name)
    assert form._button.disabled
    assert "4 things stand in the way" in form._status.value and "max_len" in form._status.value
    assert "sft-stop" not in beside(form, "dataset")
    assert any(
        "1 to mend" in fold.title for fold in form._groups.folds.values()
    )  # lr_warmup_ratio, in a closed fold


def test_mending_takes_the_fault_away(form):
    enter(form, max_len="many")
    assert form._button.disabled
    enter(form, max_len="128")
    assert not form._button.disabled and "sft-stop" not in beside(form, "max_len")
    assert "Ready" in form._status.value


def test_a_fix_is_one_click(form):
    enter(form, train_batch_size="20")
    (button,) = form.rows["train_batch_size"].children[2:]
    assert button.description == "Set train_batch_size=16"
    button.click()
    assert form.config.train_batch_size == 16
    assert form.rows["train_batch_size"].children[2:] == ()


def test_a_fix_works_while_other_faults_stand(form):
    enter(form, max_len="many", train_batch_size="100")
    form.rows["train_batch_size"].children[2].click()
    assert form.rows["train_batch_size"].input.value == "96"
    assert fields(form, "stop") == {"max_len"}


def test_a_file_that_is_not_there_is_found_by_click(form, tiny_rows):
    enter(form, dataset=str(tiny_rows)[:-1])
    button = form.rows["dataset"].children[2]
    button.click()
    assert form.config.dataset == str(tiny_rows)


def test_figures_stand_in_one_block_and_warnings_do_not_bar_the_way(form):
    assert "One optimizer step is" in form._figures.value and "steps an epoch" in form._figures.value
    enter(form, learning_rate="0.5")
    assert "sft-warn" in beside(form, "learning_rate")
    assert not form._button.disabled and "1 to look at" in form._status.value


def test_findings_of_no_field_are_shown_with_their_fix(form):
    form._show([Finding("stop", "", HOSTILE, {"max_len": 64}, "Set max_len=64")])
    text, button = form._general.children
    assert HOSTILE not in text.value and "&lt;img" in text.value
    button.click()
    assert form.settings["max_len"] == 64


def test_text_from_outside_is_escaped_everywhere(form):
    enter(form, dataset=HOSTILE, input_key=HOSTILE, max_len=HOSTILE, save_path=HOSTILE)
    form.paste.text.value = f"train_sft --pretrain m --dataset d --nonsense '{HOSTILE}' --max_len {HOSTILE!r}"
    form.paste.use_button.click()
    pages = [row.children[1].value for row in form.rows.values()]
    pages += [
        form._status.value,
        form._figures.value,
        form.export.code.value,
        form.paste.said.value,
        form.paste.about.value,
    ]
    assert not any("<img" in page for page in pages)
    assert any("&lt;img" in page for page in pages)


# GPUs


def test_without_a_gpu_there_is_nothing_to_choose(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "gpus", lambda: [])
    form = LaunchForm(settings, tmp_path, lang="en")
    assert form.rows["gpus"].input.disabled and "No NVIDIA GPU here" in beside(form, "gpus")
    named = LaunchForm(settings.with_(gpus=[1]), tmp_path, lang="en")
    assert not named.rows["gpus"].input.disabled  # one must be able to take it back


def test_gpus_are_named_with_their_memory(settings, tmp_path, monkeypatch):
    cards = [hardware.GPU(0, "H200", 140 * 1024, 0, 0), hardware.GPU(1, "<b>", 80 * 1024, 40 * 1024, 9)]
    monkeypatch.setattr(hardware, "gpus", lambda: cards)
    form = LaunchForm(settings, tmp_path, lang="en")
    enter(form, gpus="0, 1")
    assert not form.rows["gpus"].input.disabled and form.config.gpus == (0, 1)
    assert "1: &lt;b&gt;, 40 of 80 GiB free" in beside(form, "gpus")


# paths


def test_paths_are_offered_as_one_types(form, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "more.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    enter(form, dataset="mo")
    assert form.rows["dataset"].input.options == ("models/", "more.jsonl")
    assert suggestions(str(tmp_path / "nowhere") + "/") == []


# a pasted command


def paste(form, text):
    form.paste.text.value = text


def test_the_seed_script_fills_the_form(form):
    paste(form, SEED_SCRIPT)
    assert "--max_samples" in form.paste.about.value and "drawn with the seed" in form.paste.about.value
    form.paste.use_button.click()
    assert form.config == sk.SFTConfig.from_command(SEED_SCRIPT)
    assert "sft-stop" not in form.paste.said.value and "taken over" in form.paste.said.value


def test_what_was_pasted_is_taken_back_by_a_click(form):
    enter(form, max_len="99", lora_rank="4")
    before = form.settings
    paste(form, SEED_SCRIPT)
    assert form.settings == before, "reading alone changes nothing"
    form.paste.use_button.click()
    assert form.settings["lora_rank"] == 0, "what the command leaves out is at its default"
    form.paste.undo_button.click()
    assert form.settings == before and form.paste.undo_button.disabled


def test_flags_without_a_setting_are_named_and_faults_shown(form):
    paste(
        form, "openrlhf.cli.train_sft --pretrain m --dataset d --use_wandb s3cret --zero_stage 3 --max_len 2"
    )
    form.paste.use_button.click()
    assert "--use_wandb" in form.paste.said.value and "max_len" in form.paste.said.value
    assert form.settings["zero_stage"] == 3 and form.settings["pretrain"] == "m"
    assert "max_len" in fields(form, "stop")


def test_a_pasted_key_does_not_stay_on_the_page(form):
    paste(
        form,
        "WANDB_API_KEY=s3cret train_sft --pretrain m --dataset d --use_wandb s3cret --hub_token='s3cret x'",
    )
    form.paste.use_button.click()
    pages = (form.paste.text.value, form.paste.about.value, form.paste.said.value, str(form.settings))
    assert not any("s3cret" in page for page in pages) and "WANDB_API_KEY" in form.paste.about.value


def test_an_unknown_flag_is_named_and_the_others_are_taken(form):
    paste(form, "openrlhf.cli.train_sft --pretrain m --datast d --max_len 77")
    assert "--datast" in form.paste.said.value and "--dataset?" in form.paste.said.value
    form.paste.use_button.click()
    assert form.settings["max_len"] == 77


def test_what_is_no_command_cannot_be_used(form):
    before = form.settings
    paste(form, "good morning")
    assert form.paste.use_button.disabled and "no launch command" in form.paste.said.value
    form.paste.use()
    assert form.settings == before
    paste(form, "")
    assert form.paste.said.value == "" and form.paste.about.value == ""


# code and commands


def test_settings_are_written_for_other_programs(form):
    written = {}
    for kind in form.export.kind.options:
        form.export.kind.value = kind[1]
        written[kind[1]] = form.export.text().text
        assert escape(written[kind[1]]) in form.export.code.value and "sft-copy" in form.export.code.value
    assert eval(written["python"], {"sk": sk}) == form.config
    assert sk.SFTConfig.from_yaml(written["yaml"]) == form.config
    for kind in ("sftkit", "openrlhf"):
        assert sk.SFTConfig.from_command(written[kind]) == form.config
    compile(written["trl_python"], "trl.py", "exec")


def test_openrlhfs_version_and_what_it_cannot_say(form):
    enter(form, task_key="kind")
    form.export.kind.value, form.export.version.value = "openrlhf", "0.8.9"
    assert (
        "--micro_train_batch_size" in form.export.code.value
        and "task_key=&#x27;kind&#x27;" in form.export.code.value
    )
    form.export.version.value = "0.11"
    assert "--train.micro_batch_size" in form.export.code.value
    enter(form, max_len="many")
    assert "no code yet" in form.export.code.value


# undo


def test_edits_are_undone_and_redone(form):
    enter(form, max_len="99")
    enter(form, max_len="100", lora_rank="2")
    form._undo.click()  # of one row: tests have no pause in which two edits would be one step
    form._undo.click()
    assert (form.settings["max_len"], form.settings["lora_rank"]) == (99, 0)
    form._redo.click()
    form._redo.click()
    assert (form.settings["max_len"], form.settings["lora_rank"]) == (100, 2) and form._redo.disabled
    form._undo.click()
    enter(form, max_len="5000")
    assert form._redo.disabled, "a new edit leaves nothing to redo"
    for _ in range(9):
        form.undo()
    assert form._undo.disabled


def test_a_fix_is_one_step_back(form):
    enter(form, train_batch_size="20")
    form.rows["train_batch_size"].children[2].click()
    form._undo.click()
    assert form.rows["train_batch_size"].input.value == "20"


def test_a_template_keeps_its_blanks_and_line_breaks(form):
    for text in ("Q: {}\nA: ", "{}", " {} ", "a\\n{}"):
        form.fill({"input_template": text})
        assert form.settings["input_template"] == text
        assert "\n" not in form.rows["input_template"].input.value


# dry run


class Told:
    title, explanation = "Out of memory", "The card is full."
    fixes = (Finding("warn", "micro_train_batch_size", "smaller", {"micro_train_batch_size": 1}, "Set 1"),)


RESULT = DryRun(
    1500.0, 0.0, 16000.0, (1500.0,), 0.25, 0.5, 40, 130.0, 9000, 1234.0, 2 * 10**9, "a <b> card", 1
)


def test_a_dry_run_shows_what_the_run_will_need(form, monkeypatch):
    asked = []
    monkeypatch.setattr(dry_run, "dry_run", lambda config, *rest, **more: asked.append(config) or RESULT)
    form._dry.click()
    page = form.rehearsal._page.value
    assert asked == [form.config] and "1.5 GB of 16 GB" in page and "40 steps" in page and "2 minutes" in page
    assert "2 GB" in page and "a &lt;b&gt; card" in page and not form._dry.disabled
    enter(form, max_len="64")
    assert "of other settings" in form.rehearsal._page.value


def test_a_dry_run_that_fails_says_why_and_how_to_mend_it(form, monkeypatch):
    def fail(*_args, **_more):
        raise DryRunError(f"The dry run failed: {HOSTILE}", Told())

    monkeypatch.setattr(dry_run, "dry_run", fail)
    form._dry.click()
    assert "Out of memory" in form.rehearsal._page.value and "<img" not in form.rehearsal._page.value
    form.rehearsal._fixes.children[0].click()
    assert form.settings["micro_train_batch_size"] == 1


def test_a_dry_run_is_followed_and_cancelled(settings, tmp_path, monkeypatch):
    def slow(config, runs_dir, *, progress, cancel):
        progress("step 1 of 3")
        assert cancel.wait(10)
        raise DryRunError("The dry run was cancelled.")

    monkeypatch.setattr(dry_run, "dry_run", slow)

    async def in_a_kernel():
        form = LaunchForm(settings, tmp_path, lang="en")
        form._dry.click()
        while "step 1 of 3" not in form.rehearsal._page.value:
            await asyncio.sleep(0.01)
        assert form._dry.disabled and form.rehearsal.cancel_button in form.rehearsal.children
        form.rehearsal.cancel_button.click()
        while form.rehearsal.running:
            await asyncio.sleep(0.01)
        return form

    form = asyncio.run(asyncio.wait_for(in_a_kernel(), 20))
    assert "was cancelled" in form.rehearsal._page.value and not form._dry.disabled


# launching


def end(run):
    run.wait(20)
    if not run.status.ended or run.is_alive:
        run.kill()


def test_a_run_may_wait_for_its_devices(form, monkeypatch):
    asked = []
    monkeypatch.setattr(launch_form, "launch", lambda config, runs_dir, queue: asked.append(queue) or 1 / 0)
    form._button.click()
    form.queue.value = True
    form._button.click()
    assert asked == [False, True]


def test_launch_starts_a_run_and_shows_its_monitor(form, fake_worker):
    run = form.launch()
    try:
        assert form.run is run and form.monitor.run is run
        assert run.config == form.config
        assert form.monitor in form._below.children
        assert run.wait(20).state == "finished"
    finally:
        end(run)


def test_the_button_launches(form, fake_worker):
    form._button.click()
    try:
        assert form.run is not None and form._button.description == "Launch another run"
    finally:
        end(form.run)


def test_launch_with_faults_raises_and_starts_nothing(form, fake_worker):
    enter(form, max_len="many")
    with pytest.raises(sk.ConfigError):
        form.launch()
    enter(form, max_len="128", dataset="nowhere.jsonl")
    with pytest.raises(sk.LaunchError):
        form.launch()
    assert form.run is None and not form.runs_dir.exists()


def test_what_stops_the_launch_itself_is_said_beside_the_field(form, monkeypatch):
    def refuse(config, runs_dir, queue):
        raise sk.LaunchError("Not launched", [Finding("stop", "dataset", "It was just deleted.")])

    monkeypatch.setattr(launch_form, "launch", refuse)
    form._button.click()
    assert form.run is None and "It was just deleted." in beside(form, "dataset")
    assert form._button.disabled and form._button.description == "Launch"


def test_any_other_error_is_shown_under_the_form(form, monkeypatch):
    def break_down(config, runs_dir, queue):
        raise OSError("disk on fire")

    monkeypatch.setattr(launch_form, "launch", break_down)
    form._button.click()
    assert form.errors.messages == ["OSError: disk on fire"] and not form._button.disabled


# in a kernel: a loop runs


def test_in_a_kernel_checks_wait_for_a_pause_and_run_in_a_thread(settings, tmp_path, monkeypatch):
    calls, loop_lives = [], threading.Event()

    def slow(config, runs_dir, tier=None):
        if tier == "instant":
            return []
        calls.append((threading.current_thread() is threading.main_thread(), config["max_len"]))
        in_time = loop_lives.wait(10)  # the loop can only go on if the check does not hold it
        return [
            Finding("stop", "max_len", f"{config['max_len']} it is" if in_time else "the loop stood still")
        ]

    monkeypatch.setattr(form_check, "preflight", slow)
    monkeypatch.setattr(launch_form, "TYPING", 0.1)

    async def type_in():
        form = LaunchForm(settings, tmp_path, lang="en")
        for text in ("1", "12", "128"):
            enter(form, max_len=text)
        while not form.findings:
            await asyncio.sleep(0.01)
            if calls:
                loop_lives.set()
        return form

    form = asyncio.run(asyncio.wait_for(type_in(), 20))
    assert calls == [(False, 128)]  # once, with the last text, off the main thread
    assert "128 it is" in beside(form, "max_len")


def test_a_click_and_a_cell_that_come_together_make_one_run(settings, tmp_path, fake_worker, monkeypatch):
    def slow(*args):
        begun.set()
        time.sleep(0.3)
        return really(*args)

    begun, really = threading.Event(), launch_form.launch
    monkeypatch.setattr(launch_form, "launch", slow)

    async def in_a_kernel():
        form = LaunchForm(settings, tmp_path / "runs", lang="en")
        form._button.click()
        form._button.click()  # a double click
        assert await asyncio.to_thread(begun.wait, 10)
        run = form.run or form.launch()
        monitor = form.monitor
        await asyncio.sleep(0.5)  # the click has its answer now
        assert form.run is run and form.monitor is monitor and not form._button.disabled
        form.close()
        return run

    run = asyncio.run(asyncio.wait_for(in_a_kernel(), 30))
    try:
        assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.id]
    finally:
        end(run)


def test_an_answer_to_an_older_question_is_dropped(settings, tmp_path, monkeypatch):
    def slower_when_smaller(config, runs_dir, tier=None):
        time.sleep(0.3 if config["max_len"] == 64 else 0.01)
        return [Finding("warn", "max_len", f"{config['max_len']} it is")]

    monkeypatch.setattr(form_check, "preflight", slower_when_smaller)
    monkeypatch.setattr(launch_form, "TYPING", 0.0)

    async def type_in():
        form = LaunchForm(settings, tmp_path, lang="en")
        await asyncio.sleep(0.1)
        enter(form, max_len="64")
        await asyncio.sleep(0.05)
        enter(form, max_len="128")
        await asyncio.sleep(0.6)
        return form

    assert "128 it is" in beside(asyncio.run(type_in()), "max_len")


def test_what_is_said_at_once_does_not_wait_and_nothing_flickers(settings, tmp_path, monkeypatch):
    go, shown = threading.Event(), []

    def look(config, runs_dir, tier=None):
        quick = Finding("warn", "seed", f"quick {config['seed']}")
        if tier == "instant":
            return [quick]
        go.wait(10)
        return [quick, Finding("warn", "pretrain", "slow"), Finding("warn", "seed", f"slow {config['seed']}")]

    monkeypatch.setattr(form_check, "preflight", look)
    monkeypatch.setattr(launch_form, "TYPING", 0.0)

    async def until(words):
        while [finding.message for finding in form.findings] != words:
            await asyncio.sleep(0.01)
        shown.append((form._status.value, form._style.seen))

    async def type_in():
        nonlocal form
        form = LaunchForm(settings, tmp_path, lang="en")
        await until(["quick 42"])
        go.set()
        await until(["quick 42", "slow", "slow 42"])
        go.clear()
        enter(form, seed="7")
        await until(["quick 7", "slow"])  # of what has changed only what is known of it now
        go.set()
        await until(["quick 7", "slow", "slow 7"])

    form = None
    asyncio.run(asyncio.wait_for(type_in(), 20))
    assert ["Checking" in status for status, _ in shown] == [True, False, True, False]
    assert [seen for _, seen in shown] == [0, 1, 1, 2], "the page waits until the last word on what was typed"


def test_a_check_that_breaks_is_shown(settings, tmp_path, monkeypatch):
    def broken(config, runs_dir, tier=None):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(form_check, "preflight", broken)
    assert LaunchForm(settings, tmp_path).errors.messages == ["RuntimeError: no such luck"]


def test_the_form_is_light(settings, tmp_path, least_seconds):
    LaunchForm(settings, tmp_path)  # imports done
    assert least_seconds(lambda: LaunchForm(settings, tmp_path).close()) < 1.0
    before = len(Widget.widgets or ())
    form = LaunchForm(settings, tmp_path)
    assert len(Widget.widgets or ()) - before < 110  # every model costs the browser a message
    form.close()


def test_chinese(settings, tmp_path):
    form = LaunchForm(settings, tmp_path, lang="zh")
    assert form._button.description == "启动" and "行" in beside(form, "train_batch_size")
    assert form.rows["learning_rate"].input.description == "学习率"
    enter(form, train_batch_size="20", learning_rate="0.5")
    assert "20 不是 micro_train_batch_size 8 × 1 个进程的整数倍。" in beside(form, "train_batch_size")
    assert form.rows["train_batch_size"].children[2].description == "设为 train_batch_size=16"
    assert "远超小模型的全量微调的常用范围" in beside(form, "learning_rate")
    enter(form, train_batch_size="16")
    assert "一个优化步 = 8 行 × 累积 2 次 × 1 个进程。" in form._figures.value
    form.paste.text.value = "train_sft --pretrain m --dataset d --pakcing_samples --max_len"
    assert "没有这个参数。" in form.paste.said.value and "没有值。" in form.paste.said.value
