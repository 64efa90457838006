"""Answers to fixed prompts while the model is trained: what is in them, and that the training does not feel them."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file

from sftkit.config import SFTConfig
from sftkit.data import encoder, read_examples
from sftkit.runs import load_run
from sftkit.training import dataset, samples
from sftkit.training.model import load_model
from sftkit.training.run_files import RunFiles
from tests.conftest import TrainedRun, train


@pytest.fixture(scope="module")
def config(tiny_model, tiny_rows) -> SFTConfig:
    """Four steps of 16 rows, a checkpoint after the second and the fourth."""
    return SFTConfig(
        pretrain=str(tiny_model), dataset=str(tiny_rows), bf16=False, zero_stage=1, train_batch_size=16,
        micro_train_batch_size=8, learning_rate=3e-3, save_steps=2, sample_tokens=12,
    )  # fmt: skip


def answers(run: TrainedRun) -> list[dict]:
    return [
        json.loads(line) for line in (run.folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    ]


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> TrainedRun:
    return train(tmp_path_factory.mktemp("samples") / "run", config)


def test_the_same_prompts_are_answered_at_each_checkpoint(whole, config):
    found = answers(whole)
    assert [line["step"] for line in found] == [2, 2, 2, 4, 4, 4]
    assert [line["row"] for line in found[:3]] == [line["row"] for line in found[3:]]
    examples = {example.row: example for example in read_examples(config)}
    for line in found:
        example = examples[line["row"]]
        assert [*line["prompt"], {"role": "assistant", "content": line["reference"]}] == example.messages
        assert (line["task"], line["source"]) == (example.task, example.source)
        assert line["response"] and line["tokens"] == 12 and line["finish_reason"] == "length"


def test_they_are_read_as_a_table(whole):
    frame = load_run(whole.folder).samples()
    assert list(frame.columns[:7]) == ["step", "prompt", "response", "reference", "task", "source", "row"]
    assert frame["step"].tolist() == [2, 2, 2, 4, 4, 4]


def test_the_answers_are_those_of_transformers_with_the_finished_model(whole, config):
    model = transformers.AutoModelForCausalLM.from_pretrained(whole.folder / "model")
    ours = encoder(config)
    for line in answers(whole)[3:]:
        text = ours.template.render(line["prompt"], add_generation_prompt=True)
        ids = ours.vocabulary.tokenizer.encode(text, add_special_tokens=False).ids
        out = model.generate(input_ids=torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
        theirs = ours.vocabulary.tokenizer.decode(out.tolist(), skip_special_tokens=True).strip()
        assert line["response"] == theirs


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"zero_stage": 0, "bf16": True},
        {"zero_stage": 3, "num_processes": 2, "micro_train_batch_size": 4},
        {"zero_stage": 2, "num_processes": 2, "packing": True, "max_len": 96, "micro_train_batch_size": 1},
        {"lora_rank": 4, "lora_dropout": 0.2, "gradient_checkpointing": True},
    ],
    ids=lambda settings: ", ".join(f"{name} {value}" for name, value in settings.items()) or "plain",
)
def test_the_training_is_the_same_bit_for_bit_with_and_without_answers(config, tmp_path, settings):
    """Losses, norms and weights, although dropout draws from the same random numbers and the answers come in between."""
    config = config.with_(**settings, save_steps=1)
    asked = train(tmp_path / "asked", config)
    plain = train(tmp_path / "plain", config.with_(sample_prompts=0))
    assert len(answers(asked)) == 12 and not (plain.folder / "samples.jsonl").exists()
    for name in ("loss", "grad_norm"):
        assert asked.column(name) == plain.column(name)
    ours, theirs = (load_file(run.folder / "model" / "model.safetensors") for run in (asked, plain))
    for name, weight in theirs.items():
        assert torch.equal(ours[name], weight)


def test_prompts_come_from_the_eval_set_and_a_resumed_run_answers_as_the_whole_one(config, whole, tmp_path):
    (tmp_path / "eval.jsonl").write_text(
        "".join(json.dumps({"prompt": f"Add {n} and {n}.", "response": f"{n + n}"}) + "\n" for n in range(2)),
        encoding="utf-8",
    )
    config = config.with_(eval_dataset=str(tmp_path / "eval.jsonl"), eval_steps=0)
    run = train(tmp_path / "run", config)
    found = answers(run)
    assert {line["source"] for line in found} == {str(tmp_path / "eval.jsonl")} and len(found) == 4
    checkpoints = run.folder / "checkpoints"
    (checkpoints / "step-4").rename(tmp_path / "later")
    with (run.folder / "samples.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "prom')
    resumed = train(run.folder, config, resume=True)
    assert answers(resumed) == found
    again = train(
        run.folder, config, resume=True
    )  # from its last step: nothing is left to train, nothing new to say
    assert answers(again) == found and again.status["state"] == "finished"


class Engine:
    """What a sampler needs of DeepSpeed's engine, around a model of one's own."""

    device = torch.device("cpu")

    def __init__(self, model: torch.nn.Module):
        self.module = model

    def __call__(self, turn):
        return self.module(turn)

    def eval(self):
        self.module.eval()

    def train(self):
        self.module.train()

    def zero_optimization_partition_weights(self) -> bool:
        return False


@pytest.fixture
def sampler(config, monkeypatch, tmp_path):
    """A function that makes a sampler of one rank, after step 2, whose model is changed by `spoil`."""
    monkeypatch.setattr(samples.dist, "get_rank", lambda: 0)

    def make(spoil=lambda model: None) -> samples.Sampler:
        files = RunFiles(tmp_path, step=2)
        loaded = dataset.load(files, config)
        model = load_model(config, Engine.device, loaded.rows.largest_id)
        spoil(model)
        return samples.Sampler(Engine(model), loaded, config, files)

    return make


def test_what_takes_too_long_is_cut(sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "LIMIT", -1.0)
    sampler().ask()
    frame = [
        json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["tokens"] for line in frame] == [1, 1, 1]


def test_a_model_that_cannot_answer_trains_on(sampler, tmp_path, capsys):
    def spoil(model):
        model.model.forward = lambda **given: (_ for _ in ()).throw(ValueError("no cache here"))

    asked = sampler(spoil)
    asked.ask()
    assert "does not answer while it is trained: ValueError: no cache here" in capsys.readouterr().out
    assert asked._engine.module.training and not (tmp_path / "samples.jsonl").exists()


def test_an_answer_ends_at_its_end_token_while_the_others_go_on(sampler, tmp_path):
    """A head that prefers the end token for the first prompt only."""
    asked = sampler()
    end = min(asked._ends)
    plain = asked._engine.module._next

    def ends_the_first(turn):
        logits = plain(turn)
        logits[0, end] = 1e9
        return logits

    asked._engine.module._next = ends_the_first
    asked.ask()
    lines = [
        json.loads(line) for line in (tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [(line["response"], line["tokens"], line["finish_reason"]) for line in lines[:1]] == [
        ("", 0, "stop")
    ]
    assert [line["tokens"] for line in lines[1:]] == [12, 12]
