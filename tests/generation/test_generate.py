"""generate(): a real worker process on a tiny model, its failures and its end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from sftkit.errors import GenerationError
from sftkit.generation import Generations, ask, generate
from sftkit.runs import load_run

PROMPTS = ["Add 1 and 2.", "What is the capital of France? " * 3, "法国", "Hello", "Say 0123456789 " * 5]


@pytest.fixture(scope="module")
def other_model(tiny_model, tmp_path_factory):
    """The same tokenizer with a template of its own, and a vocabulary in which another token ends the answer."""
    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(tiny_model, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["chat_template"] = "{% for m in messages %}<{{ m['content'] }}>{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def answers(tiny_model, other_model):
    models = {"base": tiny_model, "tuned": str(other_model)}
    return generate(models, PROMPTS, max_new_tokens=12, batch_size=3, progress=False)


def test_the_table_is_complete_and_in_order(answers):
    assert isinstance(answers, Generations)
    frame = answers.frame
    assert answers.models == ["base", "tuned"] and len(frame) == 2 * len(PROMPTS)
    assert [p[0]["content"] for p in answers.prompts["prompt"]] == PROMPTS
    assert frame["model"].tolist() == ["base", "tuned"] * len(PROMPTS)
    assert set(frame["finish_reason"]) <= {"stop", "length"}
    assert frame["tokens"].between(0, 12).all() and (frame["seconds"] > 0).all()
    cut = frame["finish_reason"] == "length"
    assert (frame["tokens"][cut] == 12).all() and (frame["tokens"][~cut] < 12).all()
    assert frame["sampling"][0]["template"] == "lent by tuned" and frame["sampling"][0]["temperature"] == 0
    assert frame["fingerprint"].str.fullmatch("[0-9a-f]{64}").all()


def test_padding_changes_no_answer(answers, tiny_model, other_model):
    """Batches of three, padded on the left, against transformers alone, one unpadded prompt at a time."""
    script = """
import sys, json, torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
folder, prompts = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForCausalLM.from_pretrained(folder)
tokenizer = PreTrainedTokenizerFast(tokenizer_file=folder + "/tokenizer.json")
for prompt in prompts:
    ids = tokenizer("<s><" + prompt + ">", add_special_tokens=False, return_tensors="pt")["input_ids"]
    mask = torch.ones_like(ids)
    out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False)[0, ids.shape[1]:]
    print(json.dumps(tokenizer.decode(out, skip_special_tokens=True).strip()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tiny_model), json.dumps(PROMPTS)],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers.frame[answers.frame["model"] == "base"]["response"].tolist() == expected
    assert any(expected)


def test_a_seed_gives_the_same_samples(tiny_model):
    """Each model starts from the seed, whatever was drawn before it."""
    models = {"one": tiny_model, "two": tiny_model}
    frame = generate(models, PROMPTS, temperature=1.5, max_new_tokens=12, seed=3, progress=False).frame
    one, two = (frame[frame["model"] == name]["response"].tolist() for name in models)
    assert one == two and len(set(one)) > 1


def test_the_workers_own_words_come_back(tiny_model, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    (broken / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(GenerationError, match=r"model 'bad': .*\(\w+\)"):
        generate({"good": tiny_model, "bad": broken}, ["q"], max_new_tokens=2, progress=False)
    with pytest.raises(GenerationError, match="does not fit this model"):
        generate({"m": tiny_model}, ["long " * 2000], max_new_tokens=2, progress=False)


def test_wrong_calls_are_refused_before_anything_starts(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(ask.subprocess, "Popen", lambda *a, **k: pytest.fail("started a worker"))
    (tmp_path / "empty").mkdir()
    run = SimpleNamespace(id="r1", model_path=tmp_path / "none", status=SimpleNamespace(state="failed"))
    for models, words in [
        ({}, "no models"),
        ({"m": tmp_path / "typo"}, "no folder"),
        ({"m": tmp_path / "empty"}, r"no config\.json"),
        ({"m": run}, r"run r1 \(failed\) has no exported model"),
    ]:
        with pytest.raises(GenerationError, match=words):
            generate(models, ["q"])
    with pytest.raises(GenerationError, match=r"max_new_tokens.*temperature.*top_p.*batch_size"):
        generate({"m": tiny_model}, ["q"], max_new_tokens=0, temperature=-1, top_p=0, batch_size=0)


def test_a_run_stands_for_its_exported_model(tiny_model, tmp_path):
    """As an object, and as a folder that a new session knows by its path only."""
    (tmp_path / "run.json").write_text(json.dumps({"id": "r1", "config": {}}), encoding="utf-8")
    with pytest.raises(GenerationError, match="no exported model"):
        ask.model_path("m", str(tmp_path))
    shutil.copytree(tiny_model, tmp_path / "model")
    with pytest.raises(GenerationError, match="no exported model"):  # what lies there is an earlier run's
        ask.model_path("m", str(tmp_path))
    (tmp_path / "status.json").write_text('{"state": "finished"}', encoding="utf-8")
    assert ask.model_path("m", str(tmp_path)) == str(tmp_path / "model")
    assert ask.model_path("m", load_run(tmp_path)) == str(tmp_path / "model")


def worker_of_this_process():
    return [p for p in psutil.Process().children() if "sftkit.generation.worker" in p.cmdline()]


def test_an_interrupt_ends_the_worker(tiny_model, monkeypatch):
    seen = []

    def interrupt(_seconds):
        seen.extend(worker_of_this_process())
        raise KeyboardInterrupt

    monkeypatch.setattr(ask.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        generate({"m": tiny_model}, PROMPTS, progress=False)
    assert seen and not any(process.is_running() for process in seen)


def test_a_killed_worker_is_reported(tiny_model, monkeypatch):
    def kill(_seconds):
        if not process_ended:
            process_ended.extend(worker_of_this_process())
            process_ended[0].kill()

    process_ended = []
    monkeypatch.setattr(ask.time, "sleep", kill)
    with pytest.raises(GenerationError, match=r"ended by SIGKILL.*smaller batch_size"):
        generate({"m": tiny_model}, PROMPTS, progress=False)
    assert process_ended


def test_the_worker_does_not_outlive_its_caller(tiny_model):
    code = (
        "import sys; from sftkit.generation import generate\n"
        "generate({'m': sys.argv[1]}, [f'Hello {i}' for i in range(5000)], batch_size=1, progress=False)"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(tiny_model)])
    try:
        workers = wait_for(lambda: psutil.Process(caller.pid).children())
        job = workers[0].cmdline()[-1]
        assert wait_for(lambda: os.path.exists(os.path.join(job, "answers.jsonl")))
    finally:
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    try:
        assert wait_for(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_ZOMBIE)
    finally:
        shutil.rmtree(job, ignore_errors=True)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    return None
