"""Failures of the real libraries, provoked for test_signatures.py: prints {name: {type, message, traceback}} as JSON.

    python provoked.py FOLDER

FOLDER holds a tiny model. Runs by itself, since torch and transformers stay out of the process that tests.
"""

# ruff: noqa: E402, SIM115
# The environment is read when the libraries are imported; what is opened here is opened to fail.

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import traceback
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])


class StandInHub(BaseHTTPRequestHandler):
    """Refuses as the hub does: by status and the header X-Error-Code."""

    def do_GET(self) -> None:
        gated = "/gated" in self.path
        self.send_response(403 if gated else 401)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


hub = ThreadingHTTPServer(("127.0.0.1", 0), StandInHub)
threading.Thread(target=hub.serve_forever, daemon=True).start()
os.environ |= {
    "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
    "HF_HOME": str(FOLDER / "hub"),
    "HF_HUB_OFFLINE": "0",
    "GLOO_SOCKET_IFNAME": "lo",
}

import deepspeed
import huggingface_hub
import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
import transformers
from peft import LoraConfig, get_peft_model

from sftkit import data
from sftkit.config import SFTConfig
from sftkit.training.loss_watch import LossWatch


def cpu_memory_of_torch():
    torch.empty(2**50)


def cpu_memory_of_numpy():
    np.ones(2**47)


def cpu_memory_of_python():
    bytearray(2**62)


def port():
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        one.listen()
        other.bind(one.getsockname())


def port_of_torch():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        dist.TCPStore("127.0.0.1", one.getsockname()[1], 1, is_master=True, timeout=timedelta(seconds=2))


def group_timeout():
    """Two ranks of gloo in one process's life: the second joins and then says nothing."""
    store = dist.FileStore(str(FOLDER / "store"), 2)
    silent = os.fork()
    dist.init_process_group(
        "gloo", store=store, rank=0 if silent else 1, world_size=2, timeout=timedelta(seconds=1)
    )
    if not silent:
        import time

        time.sleep(4)
        os._exit(0)
    try:
        dist.all_reduce(torch.zeros(1))
    finally:
        os.kill(silent, 9)
        os.waitpid(silent, 0)


def group_never_came():
    dist.TCPStore("127.0.0.1", 1, 2, is_master=False, timeout=timedelta(seconds=1))


def flash_attn():
    config = transformers.AutoConfig.from_pretrained(FOLDER, attn_implementation="flash_attention_2")
    transformers.AutoModelForCausalLM.from_config(config)


def gated_model():
    transformers.AutoModelForCausalLM.from_pretrained("owner/gated")


def gated_model_in_our_words():
    data.encoder(SFTConfig(pretrain="owner/gated", dataset="d.jsonl"))


def hub_unknown():
    transformers.AutoModelForCausalLM.from_pretrained("owner/model")


def hub_unknown_in_our_words():
    data.encoder(SFTConfig(pretrain="owner/model", dataset="d.jsonl"))


def hub_offline():
    huggingface_hub.constants.HF_HUB_OFFLINE = (
        True  # as the variable does; a dead server is tried again for a minute
    )
    transformers.AutoModelForCausalLM.from_pretrained("owner/model")


def hub_offline_in_our_words():
    data.encoder(SFTConfig(pretrain="owner/model", dataset="d.jsonl"))


def missing_column():
    (FOLDER / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n')
    list(
        data.read_examples(SFTConfig(pretrain="m", dataset=str(FOLDER / "rows.jsonl"), input_key="question"))
    )


def data_row():
    (FOLDER / "bad.jsonl").write_text('{"prompt": "a", "response": "b"}\n{"prompt": 3')
    list(data.read_examples(SFTConfig(pretrain="m", dataset=str(FOLDER / "bad.jsonl"))))


def batch_arithmetic():
    config = {"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 1}
    deepspeed.DeepSpeedConfig(config)


def settings():
    SFTConfig(pretrain="m", dataset="d", max_len=3)


def nan():
    LossWatch(100, FOLDER).look(3, float("nan"), 1.0, lambda: ["rows.jsonl row 1"])


def device_assert_on_cpu():
    torch.nn.Embedding(4, 2)(torch.tensor([9]))


def pad_token():
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    tokenizer.pad_token = None
    tokenizer(["a", "b c"], padding=True)


def tokenizer():
    broken = _copy("no tokenizer", "config.json")
    transformers.PreTrainedTokenizerFast.from_pretrained(broken)


def architecture():
    other = _copy("architecture", "config.json")
    told = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(told | {"model_type": "llamma"}))
    transformers.AutoModelForCausalLM.from_pretrained(other)


def weights_cut():
    other = _copy("cut", "config.json", "model.safetensors")
    whole = (other / "model.safetensors").read_bytes()
    (other / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    safetensors.torch.load_file(other / "model.safetensors")


def weights_pointer():
    other = _copy("pointer", "config.json")
    (other / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    transformers.AutoModelForCausalLM.from_pretrained(other)


def weights_of_another():
    model = torch.nn.Linear(2, 3)
    model.load_state_dict(torch.nn.Linear(4, 3).state_dict())


def target_modules():
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER)
    get_peft_model(model, LoraConfig(target_modules=["no_such_layer"]))


def disk_full():
    with open("/dev/full", "w") as file:
        file.write("x" * 10_000)


def disk_full_of_torch():
    torch.save(torch.zeros(100_000), "/dev/full")


def permission():
    open("/proc/sys/kernel/random/boot_id", "w")  # the superuser neither


def missing_file():
    open(FOLDER / "none" / "file")


def import_error():
    import no_such_package  # noqa: F401


def too_many_files():
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, before[1]))
    held = []
    try:
        while True:
            held.append(open("/dev/null"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def unknown():
    raise LookupError("the tide is out")


def _copy(name: str, *files: str) -> Path:
    folder = FOLDER / name
    folder.mkdir()
    for file in files:
        shutil.copy(FOLDER / file, folder)
    return folder


def provoke(function) -> dict:
    try:
        function()
    except BaseException as error:
        words = "".join(traceback.format_exception(error))
        return {"type": type(error).__name__, "message": str(error), "traceback": words}
    return {"type": "nothing", "message": "it went well", "traceback": ""}


if __name__ == "__main__":
    names = [
        name for name, value in list(globals().items()) if getattr(value, "__module__", "") == "__main__"
    ]
    found = {
        name: provoke(globals()[name]) for name in names if name not in ("provoke", "_copy", "StandInHub")
    }
    (FOLDER / "provoked.json").write_text(json.dumps(found))
